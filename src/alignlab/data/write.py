"""Records -> files that other libraries read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from ..errors import DataError, UserError
from ..records import Record
from .formats import to_hh, to_trl


def write(records: Iterable[Record], path: str | Path, *, format: Literal["trl", "hh"] = "trl") -> int:
    """Write records as TRL columns or HH text pairs; the path's ending says JSONL or Parquet. Returns the number of rows.

    The file appears whole or not at all. Rankings become their comparisons; ties have no place in either format and are left out.

    Raises:
        DataError: nothing to write, or a record that the format has no place for.
    """
    path = Path(path)
    rows = [row for record in records for row in (to_trl if format == "trl" else to_hh)(record)]
    if not rows:
        raise DataError("no row to write: nothing but ties, or no records", where=str(path))
    if path.suffix not in (".jsonl", ".parquet"):
        raise UserError(f"cannot write a file ending in {path.suffix or 'nothing'}", where=str(path), remedy="name it .jsonl or .parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_name(path.name + ".partial")
    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        columns = list(dict.fromkeys(name for row in rows for name in row))
        pyarrow.parquet.write_table(pyarrow.table({name: [row.get(name) for row in rows] for name in columns}), staging)
    else:
        with open(staging, "w", encoding="utf-8", newline="\n") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    os.replace(staging, path)
    return len(rows)
