"""The run that is asked for, beside the run that is there: is it the same, does it go on, is it refused?"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from ..errors import ResumeRefused, UserError
from ..settings.resolve import config_hash
from ..text.streams import say
from . import code, manifest
from .files import read_json, write_json
from .identity import command, commit, difference, in_words, run_key, versions
from .reading import is_run, read_run

Resume = bool | Literal["again", "changed"]
"""What to do with what is there: True goes on with it; False throws an unfinished run away; "again" makes a
finished one anew too; "changed" does so where other code or other parents made it. A run that is made anew
stays until the new one is whole."""


@dataclass(frozen=True)
class Wanted:
    """The run that is asked for, to compare with the run that is there. `lineage`: the keys of its parents,
    by path.
    """

    out: Path
    stage: str
    config: Mapping[str, Any]
    seed: int
    data: Mapping[str, str]
    lineage: Mapping[str, str]

    @cached_property
    def identity(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "seed": self.seed,
            "data": dict(self.data),
            "parents": list(self.lineage),
        }

    @cached_property
    def code(self) -> dict[str, str]:
        return code.sources(self.stage, self.config)

    @cached_property
    def key(self) -> str:
        return run_key(self.config, self.identity, self.lineage, self.code)

    @cached_property
    def key_without_code(self) -> str:
        return run_key(self.config, self.identity, self.lineage)

    def is_done(self, resume: Resume) -> bool:
        """Whether the folder holds this very run, finished. Raises ResumeRefused if it holds anything else
        that may not be made anew.
        """
        out = self.out
        if not out.exists() or (out.is_dir() and not any(out.iterdir())):
            return False
        if not is_run(out):
            raise ResumeRefused(f"{out} exists and is not a run", remedy="another --out, or move it away")
        anew = resume in ("again", "changed")
        if not anew:
            manifest.check_whole(out, weights=True, inner=True)
        info = read_json(out / "run.json")
        if (
            self.is_same(info)
            and info.get("status") == "done"
            and (not anew or resume == "changed" and not manifest.faults(out))
        ):
            return True
        found = difference(read_json(out / "config.json") | info, {**self.config, **self.identity})
        if anew and not found:
            return False
        if other := self.other_code(info):
            raise ResumeRefused(
                f"{out} was made by other code: {_listed(other)} changed since",
                remedy="--again makes it anew, another --out keeps it",
            )
        raise ResumeRefused(
            f"{out} is a run of {info['stage']!r} made by other settings, data or parents",
            where=in_words(found),
            remedy=f"another --out, or delete {out} and what was made from it"
            if found
            else "--again makes it anew, another --out keeps it",
        )

    def is_same(self, info: Mapping[str, Any]) -> bool:
        """Of runs made before the code was kept, all but the code is known."""
        return info.get("key") == (self.key if "code" in info else self.key_without_code)

    def other_code(self, info: Mapping[str, Any]) -> list[str]:
        """The sources that have changed, where nothing else has."""
        if info.get("key_without_code") != self.key_without_code or "code" not in info:
            return []
        return code.changed(info["code"], self.code)

    def goes_on(self, staging: Path, resume: Resume) -> bool:
        """Whether an unfinished run is kept. Where one is made again, only a try at that very thing is."""
        if not resume or not (staging / "run.json").exists() or holds_nothing(staging):
            return False
        if resume is True:
            return True
        info = read_json(staging / "run.json")
        return self.is_same(info) and (resume == "changed" or bool(info.get("again")))

    def begun(self, staging: Path, resume: Resume) -> dict[str, Any]:
        """What run.json says of the run that goes on or begins. Raises ResumeRefused for one that was begun
        otherwise.
        """
        whose = {
            "key": self.key,
            "key_without_code": self.key_without_code,
            "config_hash": config_hash(self.config),
            **self.identity,
            "code": self.code,
        }
        if (staging / "run.json").exists():
            info = read_json(staging / "run.json")
            other = self.other_code(info)
            if not self.is_same(info) and not other:
                raise ResumeRefused(
                    (
                        f"{staging} is an unfinished run of {info.get('stage')!r} made by other settings, "
                        "data or parents"
                    ),
                    where=in_words(
                        difference(
                            read_json(staging / "config.json") | info, {**self.config, **self.identity}
                        )
                    ),
                    remedy="the settings it was begun with, another --out, or --no-resume to begin anew",
                )
            if other:
                say(
                    f"{staging} was begun by other code: {_listed(other)} changed since; --no-resume "
                    "begins anew"
                )
                info["begun_by"] = {name: info["code"].get(name, "") for name in other}
            info |= whose
        else:
            info = {
                "schema": 1,
                "stage": self.stage,
                "status": "running",
                **whose,
                "command": command(),
                "commit": commit(),
                "versions": versions(),
                "machine": {"cores": os.cpu_count(), "platform": platform.platform()},
                "started": time.time(),
                "seconds": 0.0,
                "cpu_seconds": 0.0,
            }
            if resume == "again":
                info["again"] = True
        write_json(staging / "config.json", self.config)
        write_json(staging / "run.json", info)
        return info


def _listed(names: Sequence[str]) -> str:
    listed = ", ".join(names[:3])
    return f"{listed} and {len(names) - 3} more" if len(names) > 3 else listed


def holds_nothing(staging: Path) -> bool:
    """Whether a run stopped before its first result: then a command with other settings may have the folder,
    since nothing can be lost.
    """
    return not {item.name for item in staging.iterdir()} - {
        ".lock",
        "run.json",
        "config.json",
        "progress.json",
        "health.jsonl",
    }


def finished_key(path: str | Path) -> str:
    info = read_run(path, weights=True)
    if info.status != "done":
        raise UserError(
            f"the run {path} is not finished",
            remedy="give the command that made it again: it goes on where it was",
        )
    return info.key
