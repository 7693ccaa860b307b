"""What makes a run the same run: its key, in what two differ, and the code that made it."""

from __future__ import annotations

import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from .. import __version__
from ..settings.resolve import config_hash

_MACHINE_ONLY = {
    "threads",
    "device",
    "shard",
    "workers",
    "endpoint",
    "sampler",
    "tracker",
    "download",
    "keep_samples",
    "probes",
    "probe_every",
}  # settings that say where and how to work, who looks on and what is kept for him: no part of a run's key


def _without_machine(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_machine(item) for key, item in value.items() if key not in _MACHINE_ONLY}
    return value


def run_key(
    config: Mapping[str, Any],
    identity: Mapping[str, Any],
    lineage: Mapping[str, str],
    code: Mapping[str, str] | None = None,
    version: str = __version__,
) -> str:
    """The key of a run. Run folders count by their own keys and not by their paths, so that a pipeline can be
    moved.

    Args:
        lineage: the keys of the parents, by path.
        code: digests of the sources that it is made by (`code.sources`); none is left out of the key.
        version: of the package that makes it.
    """

    def portable(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: portable(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [portable(item) for item in value]
        return lineage.get(value, value) if isinstance(value, str) else value

    return config_hash(
        {
            "stage": identity["stage"],
            "seed": identity["seed"],
            "version": version.rpartition(".")[0],
            "parents": sorted(lineage.values()),
            "data": {lineage.get(name, name): digest for name, digest in identity["data"].items()},
            "config": json.dumps(portable(_without_machine(config)), sort_keys=True, default=str),
        }
        | ({"code": dict(code)} if code else {})
    )


def key_of(info: Mapping[str, Any], config: Mapping[str, Any], lineage: Mapping[str, str]) -> str:
    """The key that a run which is there would have if its parents had these keys: another one than its own
    where a parent was made anew since.

    Args:
        info, config: what its run.json and config.json hold.

    Raises:
        KeyError, TypeError, AttributeError: they hold something else.
    """
    return run_key(config, info, lineage, info.get("code"), info["versions"]["alignlab"])


def difference(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What of the settings of `now` was otherwise in `was`, in words."""
    return _differences(was, now, "")


def in_words(differences: list[str]) -> str:
    """The first few of them; where there is none, what else a key covers."""
    return "; ".join(differences[:4]) or "a parent was made anew, or another version of alignlab made it"


def _differences(was: Mapping[str, Any], now: Mapping[str, Any], prefix: str) -> list[str]:
    found: list[str] = []
    for key, value in now.items():
        before = was.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            found += _differences(before, dict.fromkeys(before) | dict(value), f"{prefix}{key}.")
        elif before != value and key not in _MACHINE_ONLY:
            found.append(f"{prefix}{key}: {before!r} then, {value!r} now")
    return found


def commit() -> str:
    """The commit of the checkout this package runs from; empty for an installed package, even inside somebody
    else's checkout.
    """
    package = Path(__file__).resolve().parents[1]
    with suppress(OSError, subprocess.SubprocessError):
        found = subprocess.run(
            ["git", "rev-parse", "--show-toplevel", "HEAD"],
            cwd=package,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=5,
        )
        top, _, commit = found.stdout.strip().partition("\n")
        if found.returncode == 0 and Path(top).resolve() == package.parent.parent:
            return commit
    return ""


def command() -> str:
    """The command line that this process follows, to be copied; empty in a notebook, or a script of somebody
    else's.
    """
    program = Path(sys.argv[0])
    if program.name == "alignlab" or program.parts[-3:] == ("alignlab", "cli", "__main__.py"):
        return shlex.join(["alignlab", *sys.argv[1:]])
    return ""


def versions() -> dict[str, str]:
    loaded = {
        name: getattr(sys.modules.get(name), "__version__", "") for name in ("torch", "transformers", "peft")
    }
    return {"alignlab": __version__, "python": platform.python_version()} | {
        name: version for name, version in loaded.items() if version
    }
