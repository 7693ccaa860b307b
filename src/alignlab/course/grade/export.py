"""`alignlab exercise export`: a folder by which another tool calls our grader.

A folder of `templates` a tool. Its files are written as they lie there; in their names NAME is the exercise,
and ROW stands for each row of points.
"""

from __future__ import annotations

from importlib.metadata import requires
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...run.files import writing
from ...text.disk import write_whole
from ...text.nearest import one_of
from ..exercises import catalogue
from .folder import write_json
from .points import asked, key_name

TEMPLATES = Path(__file__).with_name("templates")
TOOLS = ("otter", "nbgrader", "mograder", "gradescope")


def export(name: str, for_: str, out: str, salt: str) -> dict[str, Any]:
    """The grader of an exercise for a tool, for the command line.

    Raises:
        UserError: no such exercise or tool, or a folder that holds something.
    """
    exercise, folder = catalogue.exercise(name), Path(out)
    one_of(for_, TOOLS, "--for names no tool that is known here:")
    if not out or folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(
            f"{folder} is there already, and is not empty" if out else "--out names no folder",
            remedy=f"--out {name}-{for_}",
        )
    key = key_name(name)
    said = {
        "name": name,
        "title": exercise.title,
        "rows": asked(exercise),
        "key": key,
        "key_path": str(folder.resolve() / key),
        "needs": [need for need in requires("alignlab") or [] if "extra ==" not in need],
    }
    with writing(folder), write_whole(folder) as staging:
        for template in sorted(path for path in (TEMPLATES / for_).rglob("*") if path.is_file()):
            written = str(template.relative_to(TEMPLATES / for_)).removesuffix(".j2").replace("NAME", name)
            for row in said["rows"] if "ROW" in written else [""]:
                _write(template, staging / written.replace("ROW", row), said | {"row": row})
        write_json(staging / key, {"exercise": name, "salt": salt})
    return {"folder": str(folder), "text": f"{folder}: {name} for {for_}; what to do is in its README.md"}


def _write(template: Path, path: Path, said: dict[str, Any]) -> None:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    text = environment.from_string(template.read_text(encoding="utf-8")).render(said)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    if text.startswith("#!"):
        path.chmod(0o755)
