"""Stages about data alone: into a file of another layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import names
from ..errors import UserError


def export(*, data: str, format: str, out: str, count: int, plain: bool, overwrite: bool) -> dict[str, Any]:
    """Records of any data name into a file that others read; what the layout cannot carry is counted."""
    from ..data import layouts
    from ..data.write import write

    if not data or not out:
        raise UserError("export needs data and a file", remedy="alignlab export --data D --format trl --out FILE.jsonl")
    known = layouts.LAYOUTS.get(format)
    kind = names.kind(data)
    loaded = names.data(data, kind, count=count)
    report = write(loaded.records, Path(out), format=format, plain=plain, overwrite=overwrite)
    said = [loaded.report, str(report), out]
    return {"file": out, "kind": kind, **report.to_json(), "readers": known.readers if known else format, "text": "\n".join(line for line in said if line)}
