"""Files that claim to be much more than they are, made by `python bombs.py make FOLDER` and read by `python
bombs.py read FOLDER`, which prints what was said of each.
"""

from __future__ import annotations

import gzip
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import pyarrow
import pyarrow.parquet

from alignlab.data.read import load_records, survey
from alignlab.errors import DataError

MEMORY = 3 * 2**30  # of addresses; what is used is asserted by the test
SECONDS = 100
MIB = 2**20
PAIR = b'{"prompt": "a", "chosen": "b", "rejected": "c"}\n'


def peak() -> int:
    """The most memory that this process has used, in MiB; `getrusage` also remembers that of the process it
    was forked from.
    """
    return (
        int(
            next(
                line.split()[1]
                for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines()
                if line.startswith("VmHWM")
            )
        )
        // 1024
    )


def packed(part: bytes, times: int, head: bytes = b"") -> bytes:
    """Gigabytes in a few megabytes: gzip members one after the other are one text."""
    return (gzip.compress(head) if head else b"") + gzip.compress(part) * times


def table(columns: dict[str, object], **options: object) -> bytes:
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(columns), sink, **{"compression": "zstd", **options})
    return sink.getvalue().to_pybytes()


def ranked(count: int) -> bytes:
    return (
        json.dumps(
            {"prompt": "a", "completions": [f"c{i}" for i in range(count)], "scores": list(range(count))}
        ).encode()
        + b"\n"
    )


BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "four gigabytes of rows": ("a.jsonl.gz", lambda: packed(PAIR * 300_000, 256)),
    "four gigabytes of nothing": ("a.jsonl.gz", lambda: packed(b"\n" * 16 * MIB, 256)),
    "ten million rows of nothing": ("a.jsonl", lambda: b"1\n" * 10_000_000),
    "empty lines in disguise": (
        "a.jsonl.gz",
        lambda: b"".join(
            gzip.compress(os.urandom(40_000).hex().encode() + b"\n" * 3 * MIB) for _ in range(20)
        ),
    ),
    "four gigabytes in one row": ("a.jsonl.gz", lambda: packed(b"a" * 16 * MIB, 256, b'{"prompt": "')),
    "four gigabytes in a list": (
        "a.json.gz",
        lambda: packed(PAIR.strip() + b"," + b" " * 16 * MIB, 256, b"["),
    ),
    "four gigabytes in an object": ("a.json.gz", lambda: packed(b" " * 16 * MIB, 256, b'{\n"data": [')),
    "four gigabytes in a cell": (
        "a.csv.gz",
        lambda: packed(b"a\n" * 8 * MIB, 256, b'prompt,chosen,rejected\na,b,"'),
    ),
    "four gigabytes of Parquet": ("a.parquet.gz", lambda: packed(b"PAR1" * 4 * MIB, 256)),
    "a list without end": ("a.json", lambda: b"[" + PAIR.strip() + b", " + b'"' + b"a" * 20 * MIB),
    "a row of twenty megabytes": (
        "a.jsonl",
        lambda: b'{"prompt": "' + b"a" * 20 * MIB + b'", "chosen": "b", "rejected": "c"}\n',
    ),
    "a document of seventy megabytes": ("a.json", lambda: b'{\n"data": ["' + b"a" * 70 * MIB + b'"]}'),
    "a quote that never closes": (
        "a.csv",
        lambda: b'prompt,chosen,rejected\na,b,"c\n' + b"a,b,c\n" * 3 * MIB,
    ),
    "quotes over many lines": ("a.csv", lambda: b"prompt,chosen,rejected\n" + b'"\n",' * 4 * MIB),
    "sixty thousand columns, CSV": (
        "a.csv",
        lambda: (
            b"prompt,chosen,rejected,"
            + b",".join(b"c%d" % i for i in range(60_000))
            + b"\n"
            + b"," * 60_002
            + b"\n"
        ),
    ),
    "sixty thousand columns, JSON": (
        "a.jsonl",
        lambda: json.dumps({"prompt": "a", **{f"c{i}": "x" for i in range(60_000)}}).encode() + b"\n",
    ),
    "sixty thousand columns, Parquet": (
        "a.parquet",
        lambda: table({"prompt": ["a"], **{f"c{i}": ["x"] for i in range(60_000)}}),
    ),
    "brackets, a line": ("a.jsonl", lambda: b"[" * 100_000 + b"\n"),
    "tables in tables": ("a.jsonl", lambda: b'{"prompt": ' + b'{"a": ' * 300 + b"1" + b"}" * 301 + b"\n"),
    "lists in lists, in a list": ("a.json", lambda: b"[" + b"[" * 300 + b"]" * 300 + b"]"),
    "a million lists": ("a.jsonl", lambda: b'{"prompt": [' + b"[]," * 2_000_000 + b"[]]}\n"),
    "five thousand digits": (
        "a.jsonl",
        lambda: b'{"prompt": "a", "completions": ["b", "c"], "scores": [1, ' + b"9" * 5000 + b"]}\n",
    ),
    "four thousand digits": (
        "a.jsonl",
        lambda: b'{"prompt": "a", "completions": ["b", "c"], "scores": [1, ' + b"9" * 4000 + b"]}\n",
    ),
    "three thousand completions": ("a.jsonl", lambda: ranked(3000)),
    "one value, twenty million rows": ("a.parquet", lambda: table({"prompt": ["a"] * 20_000_000})),
    "one megabyte, a thousand rows": ("a.parquet", lambda: table({"prompt": ["a" * MIB] * 1000})),
    "one megabyte, a thousand turns": (
        "a.parquet",
        lambda: table({"messages": [[{"role": "user", "content": "a" * 10_000}] * 100_000]}),
    ),
    "a page of zeros": ("a.parquet", lambda: table({"prompt": ["a" * 200 * MIB]}, use_dictionary=False)),
    "prefixes of a megabyte": (
        "a.parquet",
        lambda: table(
            {"prompt": ["a" * MIB + str(i) for i in range(500)]},
            use_dictionary=False,
            column_encoding={"prompt": "DELTA_BYTE_ARRAY"},
        ),
    ),
    "bytes of a fixed length": (
        "a.parquet",
        lambda: table({"prompt": ["a"] * 500, "x": pyarrow.array([b"a" * MIB] * 500, pyarrow.binary(MIB))}),
    ),
}


def make(folder: Path, titles: Sequence[str]) -> None:
    for title in titles:
        name, content = BOMBS[title]
        (folder / title).mkdir()
        (folder / title / name).write_bytes(content())


def read(folder: Path, titles: Sequence[str]) -> dict[str, Any]:
    """What is said of each, by the loader and by the doctor's reader, and the most memory that was used, in
    MiB.
    """
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

    def ring(signal: int, frame: FrameType | None) -> None:
        raise SystemExit("a reader hangs")

    signal.signal(signal.SIGALRM, ring)
    said: dict[str, list[str]] = {}
    for title in titles:
        print(title, file=sys.stderr, flush=True)
        path = folder / title / BOMBS[title][0]
        for reader in (
            lambda path: load_records(path, "comparison"),
            lambda path: survey(path, "comparison").broken[-1],
        ):
            signal.alarm(SECONDS)
            try:
                said.setdefault(title, []).append(str(reader(path)))
            except DataError as error:
                said.setdefault(title, []).append(str(error))
            except Exception as error:
                said.setdefault(title, []).append(f"{type(error).__name__}: {error!s:.200}")
            signal.alarm(0)
    return {"said": said, "mib": peak()}


if __name__ == "__main__":
    what, folder, *titles = sys.argv[1:]
    if what == "make":
        make(Path(folder), titles or list(BOMBS))
    else:
        print(json.dumps(read(Path(folder), titles or list(BOMBS))))
