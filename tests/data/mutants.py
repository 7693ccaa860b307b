"""Mutated files through every reader of files, in a process of its own: `python mutants.py FOLDER FIRST
COUNT` prints what became of them as JSON.

Each mutant follows from its number. Whatever the bytes, a reader gives rows or raises a `UserError`; anything
else is listed with the mutant's number. The process has a limit of memory, and each mutant one of time, so
that a bomb ends in a failure and not in a machine that hangs.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import resource
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pyarrow
import pyarrow.parquet
from bombs import peak

from alignlab.constitution import files as constitution
from alignlab.data import harms, mixture, redteam_sets
from alignlab.data.formats import WANTS
from alignlab.data.read import load_records, survey
from alignlab.errors import UserError
from alignlab.interop import from_trl
from alignlab.redteam.judging import judge_rows, rows_of
from alignlab.settings import SFTSettings
from alignlab.settings.resolve import resolve

MEMORY = 3 * 2**30
SECONDS = 20

TURNS = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Yes. "}]
ROWS: list[list[dict[str, Any]]] = [
    [{"prompt": f"Q{i}?", "completion": f'A{i}, "so".'} for i in range(6)],
    [{"prompt": f"Q{i}?", "chosen": f"yes {i}", "rejected": f"no {i}", "margin": i / 2} for i in range(6)],
    [{"messages": TURNS, "label": i % 2 == 0} for i in range(4)],
    [
        {"prompt": TURNS[:1], "completions": ["a", "b", f"c{i}"], "scores": [1, 2.5, i], "meta": {"n": i}}
        for i in range(4)
    ],
    [{"instruction": f"Do {i}", "input": "", "output": "Done.", "history": [["a", "b"]]} for i in range(4)],
    [
        {"chosen": f"\n\nHuman: {i}?\n\nAssistant: yes", "rejected": f"\n\nHuman: {i}?\n\nAssistant: no"}
        for i in range(4)
    ],
    [
        {
            "id": i,
            "prompt": "May I kill a process?",
            "type": "homonyms",
            "label": "safe",
            "focus": "kill",
            "note": "",
        }
        for i in range(4)
    ],
    [
        {
            "entry_type": "attempt",
            "status": 2,
            "uuid": "u",
            "prompt": {"turns": [{"role": "user", "content": {"text": "x"}}]},
            "detector_results": {"d": [0.1, 1]},
        }
        for _ in range(3)
    ],
    [{"text": f"Once {i} upon."} for i in range(4)],
]
DOCUMENTS = {
    "constitution.toml": (
        'name = "mine"\n[[principles]]\nid = "a"\ncritique = "Is it so?"\nrevise = "Mend it."\ncompare = '
        '"Prefer it."\ntags = ["harmless", "b"]\n'
    ),
    "constitution.yaml": (
        "name: mine\nversion: 2024-01-01\nprinciples:\n- &a {id: a, critique: Is it so?, revise: Mend it., "
        "compare: Prefer it.}\n"
    ),
    "constitution.json": '{"a": {"prompt": ["Is it so?"], "edit_request": "Mend it."}}',
    "settings.toml": "epochs = 2\n[optim]\nlr = 1e-4\n[sft]\nmax_length = 128\n",
    "mix.toml": '[[source]]\ndata = "a.jsonl"\nweight = 0.5\n[[source]]\ndata = "town:demos"\nweight = 2\n',
    "trl.yaml": "learning_rate: 1.0e-4\nnum_train_epochs: 1\nbf16: true\nper_device_train_batch_size: 4\n",
    "harms.toml": harms.FILE.read_text(encoding="utf-8")[:4000],
}
WEIRD: list[Any] = [
    None,
    True,
    [],
    {},
    [[]],
    "",
    "\0",
    "\ud800",
    "a" * 5000,
    10**400,
    -1,
    1e308,
    float("nan"),
    float("inf"),
    [None],
    {"a": {"b": []}},
    ["x", 1],
    "[1]",
]
BITS = [
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b'"',
    b"'",
    b"\\",
    b"[",
    b"{",
    b"}",
    b"]",
    b",",
    b":",
    b"\n",
    b"\r",
    b"\t",
    b"\\u",
    b"9" * 5000,
    b"1e999",
    b"[" * 3000,
    b"- " * 200,
    b"a." * 300,
    b"*a ",
    b"&a ",
    b"!!set ",
    b"!!timestamp x",
    b"<<: ",
    b"\xe2\x80\xa8",
    b"\xc2\x85",
    b'"""',
    b"#",
    b"null",
    b"\xff\xff\xff\xff\x0f",
    b"\x1f\x8b",
]


class TooLong(BaseException):
    """No reader may catch it."""


def parquet(rows: list[dict[str, Any]], rng: random.Random) -> bytes:
    file = io.BytesIO()
    table = pyarrow.Table.from_pylist(rows)
    table = table.append_column(
        "when",
        pyarrow.array([rng.choice((0, 2**31 - 1))] * len(rows), pyarrow.int32()).view(pyarrow.date32()),
    )
    kind = rng.choice((pyarrow.timestamp("us", "Mars/Base"), pyarrow.duration("s"), pyarrow.time64("ns")))
    table = table.append_column(
        rng.choice(("other", "prompt")),
        pyarrow.array([rng.choice((1, 2**62))] * len(rows), pyarrow.int64()).view(kind),
    )
    pyarrow.parquet.write_table(
        table,
        file,
        compression=rng.choice(("none", "zstd", "gzip", "snappy")),
        use_dictionary=rng.random() < 0.7,
        store_schema=rng.random() < 0.8,
        row_group_size=rng.choice((2, 100)),
        data_page_version=rng.choice(("1.0", "2.0")),
    )
    return file.getvalue()


def spoilt(data: bytes, rng: random.Random) -> bytes:
    """The bytes with one to four mutations."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if not data:
            break
        a, b = sorted((rng.randrange(len(data)), rng.randrange(len(data))))
        match rng.randrange(8):
            case 0 | 1:
                data = (
                    data[:a]
                    + bytes([rng.choice((rng.randrange(256), data[a] ^ 1 << rng.randrange(8)))])
                    + data[a + 1 :]
                )
            case 2 | 3:
                data = data[:a] + rng.choice(BITS) + data[a:]
            case 4:
                data = data[:a]
            case 5:
                data = data[:a] + data[b:]
            case 6:
                data = data[:b] + data[a:b] * (100 if b - a < 2000 and rng.random() < 0.5 else 2) + data[b:]
            case 7:
                bit = rng.choice(BITS)
                data = data[:a] + bit + data[a + len(bit) :]
    return data


def mutant(number: int, folder: Path) -> tuple[Path, Callable[[], Any]]:
    """A mutated file, and what reads it."""
    rng = random.Random(number)
    if rng.random() < 0.25:
        name = rng.choice(list(DOCUMENTS))
        path = folder / name
        path.write_bytes(spoilt(DOCUMENTS[name].encode(), rng))
        return path, {
            "constitution": lambda: constitution.load(path),
            "settings": lambda: resolve(SFTSettings, file=path, section="sft", sections={"sft", "dpo"}),
            "mix": lambda: mixture.sources(f"mix:{path}"),
            "trl": lambda: from_trl.from_trl(file=str(path), args="", method="sft", write=""),
            "harms": lambda: harms.read_harms(path),
        }[path.stem]
    rows = [dict(row) for row in rng.choice(ROWS)]
    if rng.random() < 0.4:
        row = rng.choice(rows)
        row[rng.choice((*row, "meta", "system", "x" * 10_000))] = rng.choice(WEIRD)
    kind = rng.choice(("jsonl", "jsonl", "json", "json", "csv", "parquet", "parquet"))
    try:
        data = parquet(rows, rng) if kind == "parquet" else b""
    except (
        pyarrow.ArrowException,
        UnicodeEncodeError,
        OverflowError,
        ValueError,
    ):  # a row that no Parquet file can hold
        kind = "jsonl"
    lines = [json.dumps(row, ensure_ascii=rng.random() < 0.5) for row in rows]
    if kind == "csv":
        data = "\n".join(
            [
                ",".join(rows[0]),
                *(
                    ",".join('"' + str(value).replace('"', '""')[:9000] + '"' for value in row.values())
                    for row in rows
                ),
            ]
        ).encode("utf-8", "surrogatepass")
    elif kind != "parquet":
        text = (
            "\n".join(lines) + "\n"
            if kind == "jsonl"
            else rng.choice(("[{}]", '{{"data": [{}]}}', "[\n{}\n]")).format(",".join(lines))
        )
        data = text.encode("utf-8", "surrogatepass")
    packed = rng.random() < 0.2
    if packed and rng.random() < 0.5:
        data = gzip.compress(spoilt(data, rng))
    else:
        data = spoilt(gzip.compress(data) if packed else data, rng) if rng.random() < 0.9 else data
    path = folder / f"rows.{kind}{'.gz' if packed else ''}"
    path.write_bytes(data)
    want = rng.choice(WANTS)
    return path, rng.choice(
        (
            lambda: load_records(path, want),
            lambda: survey(path, want),
            lambda: redteam_sets.load_red_team_set(path),
            lambda: list(judge_rows(rows_of(path), [])),
        )
    )


def main(folder: Path, first: int, count: int) -> dict[str, Any]:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

    def ring(signal: int, frame: FrameType | None) -> None:
        raise TooLong

    signal.signal(signal.SIGALRM, ring)
    outcomes: Counter[str] = Counter()
    wrong: list[str] = []
    for number in range(first, first + count):
        print(number, file=sys.stderr, flush=True)  # where an abort in native code happened
        path, read = mutant(number, folder)
        signal.alarm(SECONDS)
        try:
            read()
            outcomes["read"] += 1
        except UserError as error:
            outcomes["refused"] += 1
            if (
                not error.what
                or str(folder) not in f"{error.where} {error.what}"
                and path.suffix in (".jsonl", ".json", ".csv", ".parquet", ".gz")
                and path.stem == "rows"
            ):
                wrong.append(f"{number} {path.name}: says not where: {error!s:.200}")
        except (Exception, TooLong) as error:
            wrong.append(f"{number} {path.name}: {type(error).__name__}: {error!s:.200}")
        finally:
            signal.alarm(0)
    return {**outcomes, "wrong": wrong, "mib": peak()}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
