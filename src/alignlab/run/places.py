"""Where a run may be made: what is wrong with `--out` is said before anything is loaded."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import ResourceError, ResumeRefused, UserError
from ..text.disk import is_leftover

LONGEST = (
    "checkpoint.partial/model-00001-of-00001.safetensors"  # what must still fit behind the folder's path
)
_BEGUN = {".lock", "config.json"}  # of a run that was killed before it had a run.json


def staging_of(out: Path) -> Path:
    """The folder that a run is made in."""
    return out.with_name(out.name + ".partial")


def check_out(out: Path) -> None:
    """Raise UserError for a path that cannot be a run folder, ResumeRefused where something else has its
    name, ResourceError without the right to write.
    """
    if out.name in ("", "..") or "\0" in str(out):
        raise UserError(f"{str(out)!r} is no name for a run folder", remedy="--out runs/NAME")
    check_parent(staging_of(out) / LONGEST, shown=out)
    for path in (out, staging_of(out)):
        if path.is_symlink():
            raise UserError(
                f"{path} is a link, and a run folder is moved to its name as a whole",
                where=f"{path} -> {os.readlink(path)}",
                remedy="--out with the path that it leads to, or another one",
            )
    staging = staging_of(out)
    if staging.exists() and not (staging / "run.json").exists() and not _only_begun(staging):
        raise ResumeRefused(
            f"{staging} exists and is no unfinished run", remedy="another --out, or move it away"
        )


def _only_begun(staging: Path) -> bool:
    """Whether all that a folder without a run.json holds is what a run writes before that."""
    if not staging.is_dir():
        return False
    return all(item.name in _BEGUN or is_leftover(item.name) for item in staging.iterdir())


def check_folder(out: Path) -> None:
    """Raise UserError for a path that cannot hold a pipeline's runs, ResourceError without the right to
    write.
    """
    if "\0" in str(out):
        raise UserError(f"{str(out)!r} is no name for a folder", remedy="--out runs/NAME")
    if (out / "run.json").exists():
        raise UserError(f"{out} is a run, and a folder for several is needed", remedy="another --out")
    check_parent(out / "stage.partial" / LONGEST, shown=out)


def check_parent(path: Path, *, shown: Path | None = None, option: str = "--out") -> None:
    """Raise UserError for a path below something that is no folder, ResourceError below one that cannot be
    entered or written.

    Args:
        shown: what the user gave, where that is another path.
    """
    below, shown = path.absolute(), shown or path
    while True:
        below = below.parent
        try:
            os.stat(below)
            break
        except FileNotFoundError:
            if below.is_symlink():
                raise UserError(
                    f"{below} is a link that leads nowhere", where=str(shown), remedy=f"another {option}"
                ) from None
        except NotADirectoryError:
            pass
        except PermissionError as error:
            raise ResourceError(
                f"{below} cannot be used: {error.strerror}",
                where=str(shown),
                remedy=f"another {option}, or the right to enter it",
            ) from None
        except OSError as error:  # a name that is too long, links in a circle
            raise UserError(f"{shown} cannot be made: {error.strerror}", remedy=f"another {option}") from None
    if not below.is_dir():
        raise UserError(
            f"{below} is a file, and a folder is needed there", where=str(shown), remedy=f"another {option}"
        )
    if not os.access(below, os.W_OK | os.X_OK):
        raise ResourceError(
            f"nothing can be written to {below}",
            where=str(shown),
            remedy=f"another {option}, or the right to write there",
        )
