"""What a name of data stands for.

data        town:NAME · a file or folder in a format of the field · a hub name · a run folder · mix:0.3=A+0.7=B or mix:FILE.toml ·
            columns:prompt=q,completion=a:FILE (what its columns are; --columns writes it)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..errors import ConfigError, DataError, UserError
from ..records import Record
from .known import check_finished

if TYPE_CHECKING:
    from ..data.formats import Want


@dataclass(frozen=True)
class Data:
    """Records, what they are called, the digest that goes into a run's key, and the loader's report in words."""

    records: Sequence[Any]
    name: str
    digest: str
    report: str = ""


def read(name: str, want: str, *, seed: int = 0, count: int = 0) -> Data:
    """Records of the wanted kind ("text", "prompt", "demonstration", "comparison", "ranking", "unpaired")
    from a data name.
    """
    from ..data import mixture

    if name.startswith(mixture.PREFIX):
        parts = [(source, read(source.data, want, seed=seed)) for source in mixture.sources(name)]
        records, report = mixture.mix(
            [(source, part.records) for source, part in parts], seed=seed, count=count
        )
        return Data(
            records,
            name,
            digest_of(records),
            "\n".join([report, *(part.report for _, part in parts if part.report)]),
        )
    if name.startswith("town:"):
        from ..town import sets, world

        records = sets.load(world.build(), name.removeprefix("town:"), count=count, seed=seed)
        wanted = [one for record in records for one in _as(record, want, name)]
        return Data(wanted, name, f"{name}@{world.VERSION}#{digest_of(wanted)}")
    from ..data import redteam_sets
    from ..data.read import load

    check_columns(name)
    check_finished(name)
    if want == "prompt" and (known := redteam_sets.known(name)):
        kept = known.prompts[: count or None]
        return Data(
            kept,
            name,
            digest_of(kept),
            f"{name}: {known.name}, {len(known.prompts)} prompts"
            + (f", {known.passed_over} rows passed over" if known.passed_over else "")
            + known.not_read_text(),
        )
    loaded = load(name, cast("Want", want), limit=count or None)
    return Data(loaded.records, name, digest_of(loaded.records), str(loaded.report))


def check_columns(name: str) -> None:
    """Refuse to be told what the columns of data are that is ours. Raises ConfigError for that, and for a
    list that names no column.
    """
    from ..data import mixture
    from ..data.formats import columns_in

    columns, data = columns_in(name)
    if columns and data.startswith(mixture.PREFIX):
        raise ConfigError(
            "--columns cannot say the columns of a mixture: its files may differ",
            where=data,
            remedy="in the mixture, before each file: mix:0.3=columns:prompt=q:A.jsonl+0.7=B.jsonl",
        )
    if columns and (data.startswith("town:") or (Path(data) / "run.json").exists()):
        raise ConfigError(
            "--columns says what a file of others calls its columns, and these are ours",
            where=data,
            remedy="take --columns away, or --data FILE",
        )


def kind(name: str) -> str:
    """What a data name holds by nature; of a mixture, what its first source holds."""
    from ..data import mixture
    from ..data.read import kind_of
    from ..data.write import kind_of as kind_of_record

    if name.startswith(mixture.PREFIX):
        return kind(mixture.sources(name)[0].data)
    if name.startswith("town:"):
        from ..town import sets, world

        return kind_of_record(sets.load(world.build(), name.removeprefix("town:"), count=2)[0])
    check_columns(name)
    check_finished(name)
    return kind_of(name)


def _as(record: Record, want: str, name: str) -> list[Record]:
    from ..data.formats import as_kind

    try:
        return as_kind(record, cast("Want", want))
    except DataError as error:
        raise UserError(
            f"{name} holds {type(record).__name__.lower()}s where {want}s are needed",
            remedy=(
                f"data of {want}s; alignlab doctor DATA says what data holds, docs/data.md which columns "
                "are which"
            ),
        ) from error


def parents(*names: str) -> list[str]:
    """Those of the names that stand for run folders (also as `reward:RUN` and `gated:RUN,RUN`): the lineage
    that a run records.
    """
    from ..data import mixture
    from ..feedback import ai_name, ensemble

    plain = [
        part
        for name in names
        if name
        for part in (
            name.removeprefix("gated:").split(",")
            if name.startswith("gated:")
            else [ai_name.parse(name).model]
            if name.startswith(ai_name.PREFIX)
            else ensemble.parse(name.removeprefix("reward:")).runs
        )
    ]
    plain = [
        part
        for name in plain
        for part in ([s.data for s in mixture.sources(name)] if name.startswith(mixture.PREFIX) else [name])
    ]
    for name in plain:
        check_finished(name)
    return [name for name in plain if (Path(name) / "run.json").exists()]


def other_completions(
    name: str, prompts: Sequence[Any], *, per_prompt: int, seed: int
) -> dict[str, list[Any]]:
    """Completions by other people, by prompt id: `town:crowd`, or a data set with answers to the same
    prompts. Empty name, none.
    """
    if not name:
        return {}
    if name == "town:crowd":
        from ..town import sets, world

        return sets.crowd_completions(world.build(), list(prompts), per_prompt=per_prompt, seed=seed)
    from ..records import Completion

    found: dict[str, list[Any]] = {}
    for row in read(name, "demonstration").records:
        found.setdefault(row.prompt.id, []).append(Completion(row.prompt, row.completion, source=name))
    return found


def digest_of(records: Sequence[Any]) -> str:
    """Sixteen hex digits of the records themselves: a file that changes makes another run."""
    digest = hashlib.sha256()
    for record in records:
        digest.update(json.dumps(record.to_json(), sort_keys=True).encode())
    return digest.hexdigest()[:16]
