"""The demos: plain Python with `# %%` cells in `lecture/demos`, run as they are or written as a notebook."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..run import whole_file
from ..text.nearest import one_of
from ..text.streams import say
from . import course
from .places import lecture_folder

CELL = re.compile(r"^# %%(?P<head>.*)\n", re.MULTILINE)


def demo(*, name: str, full: bool, notebook: str) -> dict[str, Any]:
    """Run a demo, in its form of a minute or of five, or write it as a notebook.

    Raises:
        UserError: there is no such demo.
    """
    text = source(name, FULL=full)
    if notebook:
        with whole_file(Path(notebook)) as staging:
            staging.write_text(json.dumps(as_notebook(text), indent=1) + "\n", encoding="utf-8")
        return {"notebook": notebook, "lines": [f"wrote {notebook}"]}
    known = {one.name: one for one in course.load(lecture_folder()).demos.values()}
    if name in known:
        seconds = known[name].full if full else known[name].seconds
        say(f"demo {name}: about {seconds} s on two cores")
    found = run(text, name)
    return {"run": str(found["watch"].path), "verdicts": found["watch"].verdicts}


def names() -> list[str]:
    return sorted(path.stem for path in (lecture_folder() / "demos").glob("*.py"))


def source(name: str, **settings: Any) -> str:
    """A demo's text, with other values for what its first cell sets (SEED, FULL, sizes).

    Raises:
        UserError: there is no such demo, or it sets no such name.
    """
    one_of(name, names(), "there is no demo")
    text = (lecture_folder() / "demos" / f"{name}.py").read_text(encoding="utf-8")
    for key, value in settings.items():
        line = re.search(rf"^{key} = [^#\n]*?(?=  #|$)", text, re.MULTILINE)
        if not line:
            raise UserError(f"the demo {name} sets no {key}", where=f"lecture/demos/{name}.py")
        text = f"{text[: line.start()]}{key} = {value!r}{text[line.end() :]}"
    return text


def run(text: str, name: str) -> dict[str, Any]:
    """Run a demo's text; what it has defined, by name."""
    module: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(text, f"lecture/demos/{name}.py", "exec"), module)
    return module


def as_notebook(text: str) -> dict[str, Any]:
    """A demo as an .ipynb document (nbformat 4.5): a cell for each `# %%`."""
    cells = []
    marks = [*CELL.finditer(text)]
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    for number, (mark, end) in enumerate(zip(marks, ends, strict=True)):
        body, head = text[mark.end() : end].strip("\n"), mark["head"].strip()
        cell: dict[str, Any] = {"id": f"cell-{number}", "metadata": {}}
        if head == "[markdown]":
            cell |= {"cell_type": "markdown"}
            body = re.sub(r"^# ?", "", body, flags=re.MULTILINE)
        else:
            cell |= {"cell_type": "code", "execution_count": None, "outputs": []}
            body = f"# {head}\n{body}" if head else body
        cells.append(cell | {"source": body.splitlines(keepends=True)})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
