"""The process in which a student's file runs. It imports nothing of ours.

It is started by `python -I` with the numbers of two pipes; on them it gets requests and gives answers, each a
safetensors document behind its length. Before the student's file is read it bounds itself: no network, no
other program, no file outside its own folder, few processor seconds. That guards against accidents. A student
who wants to break out of Python can.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import resource
import sys
import traceback
from types import ModuleType
from typing import Any

MOST_BYTES = 2**27  # of a message
MOST_FILE = 2**20  # bytes of a file that a student's code writes
NEW_USER, NEW_NETWORK = 0x10000000, 0x40000000  # <sched.h>

ALONE = ("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn")
CHANGING = (
    "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod",
    "os.chown", "shutil.rmtree", "shutil.move",
)  # fmt: skip


# --- messages


def packed(words: dict[str, Any]) -> bytes:
    """A message: JSON words in which tensors may stand at any depth."""
    from safetensors.torch import save

    tensors: dict[str, Any] = {}
    text = json.dumps(_encoded(words, tensors))
    body = save(tensors, metadata={"words": text})
    return len(body).to_bytes(8, "little") + body


def unpacked(body: bytes) -> dict[str, Any]:
    """The words of a message without its length. Raises ValueError and its like for what is none."""
    from safetensors.torch import load

    size = int.from_bytes(body[:8], "little")
    header = json.loads(body[8 : 8 + size])
    return _decoded(json.loads(header["__metadata__"]["words"]), load(body))


def _encoded(value: Any, tensors: dict[str, Any]) -> Any:
    from torch import Tensor

    if isinstance(value, Tensor):
        key = str(len(tensors))
        tensors[key] = value.detach().cpu().clone().contiguous()
        return {"tensor": key}
    if isinstance(value, dict):
        return {"dict": {str(key): _encoded(item, tensors) for key, item in value.items()}}
    if isinstance(value, (list, tuple)):
        return [_encoded(item, tensors) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if hasattr(value, "tolist"):  # an array, or a number of one
        return _encoded(value.tolist(), tensors)
    raise TypeError(f"gives back {type(value).__name__}, which is no tensor, number or list")


def _decoded(value: Any, tensors: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        if "tensor" in value:
            return tensors[value["tensor"]]
        return {key: _decoded(item, tensors) for key, item in value["dict"].items()}
    if isinstance(value, list):
        return [_decoded(item, tensors) for item in value]
    return value


# --- what a call gives, here and in the parent's own process


def called(function: Any, case: dict[str, Any], gradient: str) -> dict[str, Any]:
    """{"value"}, and {"gradient"}: d value / d the argument of that name, None where no gradient flows."""
    import torch

    case = {name: value.clone() if isinstance(value, torch.Tensor) else value for name, value in case.items()}
    if not gradient:
        return {"value": function(*case.values())}
    leaf = case[gradient].requires_grad_()
    value = function(*case.values())
    found = None
    if isinstance(value, torch.Tensor) and value.requires_grad:
        [found] = torch.autograd.grad(value.sum(), [leaf], allow_unused=True)
    return {"value": value, "gradient": found}


def failed(error: BaseException, file: str) -> dict[str, Any]:
    """{"error": one line}, with the line of the student's file."""
    kind, text = type(error).__name__, " ".join(str(error).split())[:300]
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    if isinstance(error, SyntaxError) and error.filename == file:
        lines.append(error.lineno)
    at = f" (line {lines[-1]} of {os.path.basename(file)})" if lines else ""
    if isinstance(error, SystemExit):
        return {"error": f"ended the program: exit({error.code!r}){at}", "kind": kind}
    return {"error": f"{kind}: {text}{at}" if text else f"{kind}{at}", "kind": kind}


# --- bounds


def alone() -> str:
    """Takes this process off the network; returns what keeps it so: a namespace of the kernel, or the hook
    below alone.
    """
    try:
        if not ctypes.CDLL(None, use_errno=True).unshare(NEW_USER | NEW_NETWORK):
            return "namespace"
    except (OSError, AttributeError):  # no such call on this system
        pass
    return "hook"


def bounded(folder: str, closed: list[str], seconds: int) -> None:
    """From here on: no file outside `folder` is written, none of `closed` is read, nothing is started."""
    bounds = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: MOST_FILE, resource.RLIMIT_CPU: seconds}
    for kind, most in bounds.items():
        hard = resource.getrlimit(kind)[1]  # of whoever called the grader: a bound can only be lowered
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))
    inside, shut = (
        os.path.realpath(folder) + os.sep,
        tuple(os.path.realpath(path) + os.sep for path in closed),
    )
    real, writing = os.path.realpath, os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(args[0], (str, bytes, os.PathLike)):
            path = real(os.fsdecode(args[0]))
            if isinstance(args[2], int) and args[2] & writing:
                if not path.startswith(inside) and path != "/dev/null":
                    raise PermissionError(f"writes outside its own folder: {path}")
            elif (path + os.sep).startswith(shut):
                raise PermissionError("reads the grader's own files, which are closed while it grades")
        elif event == "import" and str(args[0]).partition(".")[0] == "alignlab":
            raise ImportError("alignlab is not there while it is graded: this part is yours to write")
        elif event.startswith("socket.") and event != "socket.gethostname":
            raise PermissionError("asks the network, which is not there while it is graded")
        elif event.startswith(ALONE):
            raise PermissionError("starts another process, which it may not while it is graded")
        elif event in ("os.kill", "os.killpg"):
            raise PermissionError("sends a signal to a process")
        elif event in CHANGING:
            for path in args:
                if isinstance(path, (str, bytes)) and not (real(os.fsdecode(path)) + os.sep).startswith(
                    inside
                ):
                    raise PermissionError(f"changes what is outside its own folder: {os.fsdecode(path)}")

    sys.addaudithook(hook)


def loaded(path: str, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    asks, answers = int(sys.argv[1]), int(sys.argv[2])
    network = alone()
    sys.dont_write_bytecode = True
    import torch
    from safetensors.torch import load, save  # noqa: F401  (before the hook)

    torch.set_num_threads(1)
    source, sink = os.fdopen(asks, "rb"), os.fdopen(answers, "wb")
    student, drivers, file = ModuleType("none"), {}, ""
    while len(head := source.read(8)) == 8:
        asked = unpacked(source.read(int.from_bytes(head, "little")))
        try:
            match asked["verb"]:
                case "load":
                    file = asked["file"]
                    drivers = {
                        name: loaded(path, f"driver_{name}") for name, path in asked["drivers"].items()
                    }
                    bounded(os.getcwd(), asked["closed"], asked["seconds"])
                    student = loaded(file, "student")
                    there = [name for name in asked["functions"] if callable(getattr(student, name, None))]
                    answer: dict[str, Any] = {"functions": there, "network": network}
                case "call":
                    results: list[dict[str, Any]] = []
                    for case in asked["cases"]:
                        try:
                            result = called(getattr(student, asked["function"]), case, asked["gradient"])
                            packed(result)  # what cannot be sent is this case's error
                            results.append(result)
                        except BaseException as error:  # noqa: BLE001  (the student's code raises anything)
                            results.append(failed(error, file))
                    answer = {"answers": results}
                case _:
                    answer = drivers[asked["driver"]].drive(student, asked["given"])
            body = packed({**answer, "id": asked["id"]})
        except BaseException as error:  # noqa: BLE001
            body = packed({**failed(error, file), "id": asked["id"]})
        sink.write(body)
        sink.flush()


if __name__ == "__main__":
    main()
