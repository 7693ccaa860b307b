"""Makes the recorded run that the studio shows where there are no runs yet: `python docs/make_demo.py` (about
ten minutes on two cores) trains it below build/demo, goes on from what is there, and writes
`src/alignlab/studio/demo/run.tar.xz` with its card.

It is the recipe `instructgpt` with seed 0, which has a PPO without a KL penalty beside the one with. Of the
models two lie in the archive, in bf16; of the data the held-out rankings.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import lzma
import re
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save

from alignlab.run.manifest import MANIFEST, seal
from alignlab.studio.recorded import ARCHIVE, CARD, WEIGHTS

BUILD = Path(__file__).parents[1] / "build" / "demo"
OUT = "recorded"
MODELS = ("sft", "ppo")  # whose checkpoints are kept
DATA = ("collect/data/rankings_test.jsonl",)
LEFT_OUT = ("data", "checkpoint")  # folders of a run, but for those above
DICTIONARY = 2**24  # bytes: what unpacking holds in memory
OPTIONS: dict[str, Any] = {"ppo.probes": 16, "unpenalised.probes": 16}
MACHINE = re.compile(r"(?<![\w.])/(?:home|root|tmp|work|mnt|var|opt|srv|usr|private|Users)/")
"""What a path of a machine begins with."""


def command(fast: bool) -> list[str]:
    options = [part for name, value in OPTIONS.items() for part in (f"--{name}", str(value))]
    return ["run", "--out", OUT, "--seed", "0", *(["--fast", "--hacking"] if fast else []), *options]


def train(folder: Path, fast: bool) -> Path:
    """The run, made in a folder that no file of it names."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "alignlab.cli", *command(fast)], cwd=folder, check=True)
    return folder / OUT


def kept(run: Path, fast: bool) -> dict[str, bytes]:
    """The files of the archive by name."""
    files: dict[str, bytes] = {}
    for path in sorted(run.rglob("*")):
        name = path.relative_to(run).as_posix()
        _, _, below = name.partition("/")
        wanted = name in DATA or name.startswith(tuple(f"{model}/checkpoint/" for model in MODELS))
        if path.is_file() and (wanted or below.partition("/")[0] not in LEFT_OUT):
            files[name] = path.read_bytes()
    return {name: content(name, data, fast) for name, data in files.items() if not is_of_machine(name)}


def is_of_machine(name: str) -> bool:
    """Locks, states, and manifests, which are written anew."""
    parts = name.split("/")
    return parts[-1] in (".lock", "progress.json", MANIFEST) or any(
        part.startswith("state-") for part in parts
    )


def content(name: str, data: bytes, fast: bool) -> bytes:
    """Weights in bf16; of the machine no more than how many cores it has; the command that makes the whole,
    where a stage was there from an earlier one with the same key.
    """
    if name.endswith(WEIGHTS):
        return save({key: value.to(torch.bfloat16) for key, value in load(data).items()}, {"format": "pt"})
    if name.endswith("checkpoint/config.json"):
        return as_json(json.loads(data) | {"dtype": "bfloat16"})
    if name.endswith("run.json"):
        row = json.loads(data)
        row["machine"]["platform"] = row["machine"]["platform"].partition("-")[0]
        row["command"] = shlex.join(["alignlab", *command(fast)])
        return as_json(row)
    return data


def as_json(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()


def sealed(files: dict[str, bytes], folder: Path) -> dict[str, bytes]:
    """The same with manifests of what there is of each run."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    for name in [name for name in files if name.endswith("/run.json")]:
        run = name.removesuffix("run.json")
        seal(folder / run, wrote={})
        files[run + MANIFEST] = (folder / run / MANIFEST).read_bytes()
    return files


def check(files: dict[str, bytes]) -> None:
    """Raises SystemExit: a file names a place of this machine."""
    here = (str(Path.home()), str(BUILD.parents[1]), str(Path.cwd()))
    for name, data in files.items():
        text = data.decode("utf-8", "replace")
        if MACHINE.search(text) or any(place in text for place in here if len(place) > 2):
            raise SystemExit(f"{name} names a place of this machine")


def packed(files: dict[str, bytes]) -> bytes:
    """The archive: the same bytes for the same files."""
    inside = io.BytesIO()
    with tarfile.open(fileobj=inside, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files, key=lambda name: (name.endswith(WEIGHTS), name)):
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(files[name]), 0o644, 0
            archive.addfile(member, io.BytesIO(files[name]))
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": DICTIONARY}]
    return lzma.compress(inside.getvalue(), format=lzma.FORMAT_XZ, filters=filters)


def card(files: dict[str, bytes], archive: bytes) -> dict[str, Any]:
    """What the archive is, and how it was made."""
    runs = {
        name.removesuffix("/run.json"): json.loads(data)
        for name, data in files.items()
        if name.endswith("/run.json")
    }
    scores = json.loads(files["summary.json"])["models"]
    return {
        "schema": 1,
        "command": runs["sft"]["command"],
        "seed": 0,
        "commit": sorted({row["commit"] for row in runs.values()}),
        "versions": runs["sft"]["versions"],
        "cores": runs["sft"]["machine"]["cores"],
        "seconds": {name: round(row["seconds"], 1) for name, row in sorted(runs.items())},
        "cpu_seconds": round(sum(row["cpu_seconds"] for row in runs.values())),
        "gold": {name: row["gold"]["mean"] for name, row in scores.items()},
        "runs": sorted(runs),
        "bytes": {"archive": len(archive), "files": sum(map(len, files.values())), "count": len(files)},
        "sha256": hashlib.sha256(archive).hexdigest(),
    }


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--fast", action="store_true", help="small sizes, to see that it works")
    asked.add_argument("--build", type=Path, default=BUILD, help="where it is trained")
    asked.add_argument("--into", type=Path, default=ARCHIVE.parent, help="where the archive is written")
    given = asked.parse_args()
    run = train(given.build, given.fast)
    files = sealed(kept(run, given.fast), given.build / "kept")
    check(files)
    archive = packed(files)
    given.into.mkdir(parents=True, exist_ok=True)
    (given.into / ARCHIVE.name).write_bytes(archive)
    told = card(files, archive)
    (given.into / CARD.name).write_bytes(as_json(told) + b"\n")
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
