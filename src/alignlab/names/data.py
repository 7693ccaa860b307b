"""What a name of data stands for.

data        town:NAME · a file or folder in a format of the field · a hub name · a run folder ·
            mix:0.3=A+0.7=B or mix:FILE.toml ·
            columns:prompt=q,completion=a:FILE (what its columns are; --columns writes it)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from ..errors import ConfigError, DataError, UserError
from ..records import Completion, Prompt, Record
from ..town import names as town
from .named import Named, runs_among
from .weights import check_finished

if TYPE_CHECKING:
    from ..data.formats import Want
    from ..run import RunInfo


@dataclass(frozen=True)
class Data:
    """Records, what they are called, the digest that goes into a run's key, the loader's report in words, and
    the runs that they come from.
    """

    records: Sequence[Any]
    name: str
    digest: str
    report: str = ""
    runs: tuple[str, ...] = ()


def read_data(name: str, want: str, *, seed: int = 0, count: int = 0) -> Data:
    """Records of the wanted kind ("text", "prompt", "demonstration", "comparison", "ranking", "unpaired")
    from a data name.
    """
    from ..data import mixture

    if name.startswith(mixture.PREFIX):
        return _mixture(name, want, seed=seed, count=count)
    if name.startswith(town.PREFIX):
        records = town.data(name.removeprefix(town.PREFIX), count=count, seed=seed)
        wanted = [one for record in records for one in _as(record, want, name)]
        return Data(wanted, name, f"{name}@{town.version()}#{digest_of(wanted)}")
    check_columns(name)
    runs = runs_among(name)
    records, report = _file(name, want, count)
    return Data(records, name, digest_of(records), report, runs)


def _file(name: str, want: str, count: int) -> tuple[Sequence[Any], str]:
    """Records of a file, a folder or a hub name, and the report of how they were read."""
    from ..data import redteam_sets
    from ..data.read import load_records

    attacks = redteam_sets.known(name) if want == "prompt" else None
    if attacks is None:
        loaded = load_records(name, cast("Want", want), limit=count or None)
        return loaded.records, str(loaded.report)
    report = f"{name}: {attacks.name}, {len(attacks.prompts)} prompts"
    if attacks.passed_over:
        report += f", {attacks.passed_over} rows passed over"
    return attacks.prompts[: count or None], report + attacks.not_read_text()


def _mixture(name: str, want: str, *, seed: int, count: int) -> Data:
    from ..data import mixture

    sources = mixture.sources(name)
    parts = [read_data(source.data, want, seed=seed) for source in sources]
    shares = [(source, part.records) for source, part in zip(sources, parts, strict=True)]
    records, report = mixture.mix(shares, seed=seed, count=count)
    reports = [report, *(part.report for part in parts if part.report)]
    runs = tuple(run for part in parts for run in part.runs)
    return Data(records, name, digest_of(records), "\n".join(reports), runs)


def run(name: str, *stages: str) -> Named[RunInfo | None]:
    """A finished run of one of these stages (of any, if none is named); an empty name, none."""
    from ..run import read_run
    from .known import run_of

    if not name:
        return Named(name, lambda: None)
    if stages:
        run_of(*stages)(name)
    return Named(name, lambda: read_run(name), runs_among(name))


def of_a_run(name: str, records: Sequence[Any] = ()) -> Data:
    """What a run wrote, by the run's own key."""
    from ..run import read_run

    check_finished(name)
    return Data(records, name, read_run(name).key, runs=(name,))


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
    if columns and (data.startswith(town.PREFIX) or (Path(data) / "run.json").exists()):
        raise ConfigError(
            "--columns says what a file of others calls its columns, and these are ours",
            where=data,
            remedy="take --columns away, or --data FILE",
        )


def kind(name: str) -> str:
    """What a data name holds by nature; of a mixture, what its first source holds."""
    from ..data import mixture
    from ..data.read import kind_of_source
    from ..data.write import kind_of_record

    if name.startswith(mixture.PREFIX):
        return kind(mixture.sources(name)[0].data)
    if name.startswith(town.PREFIX):
        return kind_of_record(town.data(name.removeprefix(town.PREFIX), count=2, seed=0)[0])
    check_columns(name)
    check_finished(name)
    return kind_of_source(name)


def _as(record: Record, want: str, name: str) -> list[Record]:
    from ..data.formats import as_kind

    try:
        return as_kind(record, cast("Want", want))
    except DataError as error:
        raise UserError(
            f"{name} holds {type(record).__name__.lower()}s where {want}s are needed",
            remedy=f"data of {want}s; alignlab doctor DATA says what data holds, docs/data.md which columns "
            "are which",
        ) from error


Others: TypeAlias = Callable[[Sequence[Prompt]], dict[str, list[Completion]]]
"""Completions by other people of some prompts, by prompt id."""


def other_completions(name: str, *, per_prompt: int, seed: int) -> Named[Others]:
    """Who has completions by other people: `town:crowd`, or a data set with answers to the same prompts.
    Empty name, nobody.
    """
    if not name:
        return Named(name, lambda: lambda prompts: {})
    if name == town.CROWD:
        return Named(name, lambda: lambda prompts: town.crowd(prompts, per_prompt=per_prompt, seed=seed))
    return Named(name, lambda: lambda prompts: _answers_in(name), runs_among(name))


def _answers_in(name: str) -> dict[str, list[Completion]]:
    by_prompt: dict[str, list[Completion]] = {}
    for row in read_data(name, "demonstration").records:
        by_prompt.setdefault(row.prompt.id, []).append(Completion(row.prompt, row.completion, source=name))
    return by_prompt


def digest_of(records: Sequence[Any]) -> str:
    """Sixteen hex digits of the records themselves: a file that changes makes another run."""
    digest = hashlib.sha256()
    for record in records:
        digest.update(json.dumps(record.to_json(), sort_keys=True).encode())
    return digest.hexdigest()[:16]
