"""Scripts that lie outside the package (docs/make_*.py, benchmarks/*.py), for their tests; and what several
tests look up.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def script(path: str) -> Any:
    """The script at this path of the project as a module, loaded anew."""
    file = ROOT / path
    spec = importlib.util.spec_from_file_location(f"script_{file.stem}", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look there
    spec.loader.exec_module(module)
    return module


def studies_settings() -> list[Any]:
    """The modules of settings that studies share and that each of them owns."""
    from alignlab.studies.catalogue import STUDIES

    places = {entry.settings.partition(":")[0]: None for entry in STUDIES.values()}
    return [importlib.import_module(f"alignlab.studies.{place}") for place in ("settings", *places)]


HEAVY = (
    "torch",
    "transformers",
    "datasets",
    "pyarrow",
    "peft",
    "matplotlib",
    "huggingface_hub",
    "uvicorn",
    "accelerate",
    "safetensors",
)
SCRIPT = """
import builtins, contextlib, io, json, os, sys
os.environ["HF_HUB_OFFLINE"] = "1"
heavy, real, tried = set(sys.argv[1].split(",")), builtins.__import__, []
def guarded(name, *rest, **more):
    if name.split(".")[0] in heavy:
        tried.append(name)
        raise ModuleNotFoundError(f"{name} was imported")
    return real(name, *rest, **more)
builtins.__import__ = guarded
from alignlab import cli
for arguments in json.load(sys.stdin):
    tried.clear()
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = cli.main(arguments)
        except BaseException as error:
            code = repr(error)
    print(json.dumps([code, out.getvalue(), err.getvalue(), tried]))
"""


TOKENIZING = ("transformers", "huggingface_hub")


def without_torch(commands: list[list[str]], allowed: tuple[str, ...] = ()) -> list[list[Any]]:
    """Exit code, stdout, stderr and refused imports of each command, in one process in which nothing heavy
    can be imported but what is allowed.
    """
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, ",".join({*HEAVY} - {*allowed})],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
