"""Mixtures: records of several sources in given shares.

    mix:0.3=town:demos+0.7=my-chats.jsonl     the weight stands before the name, so no name is mistaken for it
    mix:FILE.toml, mix:FILE.json              tables `source` with `data` and `weight`; paths may be
                                              relative to the file

Weights are shares of records. Nothing is repeated: the mixture is as large as the scarcest source allows, and
the others are cut to their shares, by a draw that follows from the seed.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..records import Record
from ..text.documents import Malformed, from_json, from_toml, read_text
from ..text.nearest import nearest
from .folders import local
from .formats import columns_in
from .own import reader_in
from .read import same

PREFIX = "mix:"
EXAMPLE = "mix:0.3=town:demos+0.7=my-chats.jsonl, or mix:FILE.toml with [[source]] tables of data and weight"
HEAVIEST = 1e9
WEIGHT = re.compile(r"(?:^|\+)(\d+(?:\.\d+)?|\.\d+)=")


@dataclass(frozen=True, slots=True)
class Source:
    """One part of a mixture: a data name and its weight."""

    data: str
    weight: float


def sources(name: str) -> list[Source]:
    """The parts of a mixture's name.

    Raises:
        ConfigError: it names neither weights nor a file, a weight is not above 0, or a source is named twice
            or is a mixture itself.
    """
    body = name.removeprefix(PREFIX)
    pieces = WEIGHT.split(body)
    if len(pieces) == 1:
        found = _from_file(Path(body))
    elif pieces[0]:
        raise ConfigError(f"{pieces[0]!r} has no weight in the mixture", where=name, remedy=EXAMPLE)
    else:
        found = [
            Source(data.strip(), float(weight))
            for weight, data in zip(pieces[1::2], pieces[2::2], strict=True)
        ]
    for source in found:
        if not source.data or source.data.startswith(PREFIX):
            raise ConfigError(
                "a source of the mixture has no name"
                if not source.data
                else "a mixture cannot hold a mixture",
                where=name,
                remedy=EXAMPLE,
            )
        if not 0 < source.weight <= HEAVIEST or source.weight < 1 / HEAVIEST:  # NaN is neither
            raise ConfigError(
                f"the weight of {source.data} is {source.weight}",
                where=name,
                remedy=(
                    f"a number above 0, from {1 / HEAVIEST:g} to {HEAVIEST:g}; leave out what is not wanted"
                ),
            )
    names = [source.data for source in found]
    if twice := next((data for data in names if names.count(data) > 1), ""):
        raise ConfigError(f"{twice} stands in the mixture twice", where=name, remedy="add its weights up")
    return found


def _from_file(file: Path) -> list[Source]:
    try:
        text = read_text(file)
        table: Any = from_toml(text) if file.suffix == ".toml" else from_json(text)
    except OSError as error:
        raise ConfigError(
            f"the mixture cannot be read: {error.strerror}", where=str(file), remedy=EXAMPLE
        ) from error
    except Malformed as error:
        raise ConfigError(
            f"the mixture is not {'TOML' if file.suffix == '.toml' else 'JSON'}: {error}",
            where=str(file),
            remedy=EXAMPLE,
        ) from error
    rows = table.get("source") if isinstance(table, dict) and set(table) == {"source"} else None
    if not isinstance(rows, list) or not rows:
        raise ConfigError(
            "a mixture holds tables named source and nothing else", where=str(file), remedy=EXAMPLE
        )
    found = []
    for number, row in enumerate(rows, 1):
        for key in row if isinstance(row, dict) else ["?"]:
            if key not in ("data", "weight"):
                raise ConfigError(
                    f"source {number} has {key!r}",
                    where=str(file),
                    remedy=nearest(key, ["data", "weight"]) or "a source has data and weight",
                )
        data, weight = row.get("data"), row.get("weight")
        if not isinstance(data, str) or isinstance(weight, bool) or not isinstance(weight, (int, float)):
            raise ConfigError(
                f"source {number} needs data (text) and weight (a number)", where=str(file), remedy=EXAMPLE
            )
        if reader_in(columns_in(data)[1]):
            raise ConfigError(
                f"source {number} names a reader, which is a program",
                where=str(file),
                remedy="name it on the command line: mix:0.3=my_readers:forum:posts.tsv+0.7=B.jsonl",
            )
        said, path = re.fullmatch(r"(columns:[^:]*:)?(.*)", data, re.DOTALL).groups(default="")  # type: ignore[union-attr]
        beside = local(file.parent / path)
        weight = (
            math.inf if weight > HEAVIEST else float(weight)
        )  # a whole number may be too large for a float
        found.append(Source(f"{said}{beside}" if beside.exists() else data, weight))
    return found


def mix(
    parts: Sequence[tuple[Source, Sequence[Record]]], *, seed: int, count: int = 0
) -> tuple[list[Record], str]:
    """The records of the mixture in random order, and what was taken of each source in words.

    A record that an earlier source holds too is left out of the later one.

    Args:
        count: at most this many records in all; 0 = as many as the scarcest source allows.

    Raises:
        ConfigError: a source so scarce, or a weight so small, that nothing of some source would be taken.
    """
    seen: set[bytes] = set()
    left: list[list[Record]] = []
    for _, records in parts:
        keys = [same(record) for record in records]
        left.append([record for record, key in zip(records, keys, strict=True) if key not in seen])
        seen.update(keys)
    whole = sum(source.weight for source, _ in parts)
    shares = [source.weight / whole for source, _ in parts]
    possible = min(
        math.floor(len(records) / share + 1e-9) for records, share in zip(left, shares, strict=True)
    )
    total = min(count, possible) if count else possible
    taken = [math.floor(total * share + 1e-9) for share in shares]
    for i in sorted(range(len(parts)), key=lambda i: taken[i] - total * shares[i])[: total - sum(taken)]:
        taken[i] += 1  # largest remainder
    if not all(taken):
        empty = parts[min(range(len(parts)), key=lambda i: (taken[i], len(left[i])))][0]
        raise ConfigError(
            f"nothing of {empty.data} would be in a mixture of {total} records",
            where=f"weight {empty.weight:g} of {whole:g}",
            remedy="a larger weight or more data for it, or leave it out",
        )
    mixed: list[Record] = []
    lines = [f"a mixture of {total} records" + ("" if total == possible else f" of {possible} possible")]
    for (source, records), own, share, n in zip(parts, left, shares, taken, strict=True):
        mixed += random.Random(f"mixture-{seed}-{source.data}").sample(own, n)
        again = len(records) - len(own)
        lines.append(
            f"  {source.data}: {n} of {len(own)} (share {n / total:.3f}, asked {share:.3f})"
            + (f"; {again} are in an earlier source" if again else "")
        )
    random.Random(f"mixture-{seed}").shuffle(mixed)
    return mixed, "\n".join(lines)
