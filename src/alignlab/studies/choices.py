"""What a model knows and would choose, without sampling: the exact log-probability of each of several listed
answers to a prompt.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from .. import names
from ..errors import DataError
from ..evals.statistics import mean_by_prompt
from ..records import Prompt, read_jsonl
from ..run import RunInfo
from ..stages.stage import done, open_run, rate, result
from .choice import Choice
from .settings import ChoicesSettings


@dataclass(frozen=True)
class Chosen:
    """What a model makes of a choice, as a row of samples.jsonl.

    Attributes:
        raw: the log-probability of each answer, nats. p: the same as shares of the listed ones.
        first: 1 where the right answer is likelier than every other, else 0; None where none is right.
    """

    id: str
    names: list[str]
    unit: str
    right: int | None
    raw: list[float]
    p: list[float]
    first: int | None
    meta: dict[str, Any]

    def of(self, name: str) -> float:
        """The share of the answer of that name."""
        return self.p[self.names.index(name)]


def choices(
    *, model: str, asked: str, out: Path, seed: int, resume: bool, settings: ChoicesSettings
) -> dict[str, Any]:
    """The log-probability of every listed answer under a model, exactly, into samples.jsonl (`Chosen`).

    Args:
        asked: a list that the town makes (`choice_rows.LISTS`), as "facts:interview"; or a run that wrote
            data/choices.jsonl, or such a file.

    The summary has, over the choices that have a right answer, each an S over units: `first`, the share of
    which it is the likeliest; `p`, its share of the listed answers' probability; `logp`, the log of that; and
    `raw`, its log-probability, nats.
    """
    start, listed = names.models.model(model), read_choices(asked)
    run = open_run("study-choices", out, settings, seed, resume, uses=[start, listed])
    if run.done:
        return done(run)
    from ..models.load import load_policy

    policy, rows = load_policy(start.path, settings.model), listed.records
    chunks = run.in_chunks(rows, lambda _, some: raw_of(policy, some), desc="choices", size=CHUNK)
    raws = chain.from_iterable(chunks)
    found = [row_of(row, raw) for row, raw in zip(rows, raws, strict=True)]
    run.log_samples(0, found)
    summary: dict[str, Any] = {"choices": len(found)} | summarize(found)
    run.finish(summary)
    return result(run, f"{len(found)} choices, the right answer first in {rate(summary['first'])}")


CHUNK = 64  # choices, each of some dozen answers, between two points that a run goes on from


def read_choices(asked: str) -> names.data.Data:
    """The choices of a name, see `choices`. Raises DataError for a name that has none."""
    from . import choice_rows

    if (listed := choice_rows.listed(asked)) is not None:
        return names.data.Data(listed, f"choices:{asked}", names.data.digest_of(listed))
    path = Path(asked)
    if (path / "run.json").exists():
        rows = read_jsonl(path / "data" / "choices.jsonl", Choice) if _has_choices(path) else []
        data = names.data.of_a_run(asked, rows)
    elif path.is_file():
        rows = read_jsonl(path, Choice)
        data = names.data.Data(rows, asked, names.data.digest_of(rows))
    else:
        rows, data = [], names.data.Data([], asked, "")
    if not rows:
        raise DataError(
            "there are no choices",
            where=asked,
            remedy="a run or a file of choices, or one of " + ", ".join(choice_rows.LISTS),
        )
    return data


def _has_choices(run: Path) -> bool:
    return (run / "data" / "choices.jsonl").exists()


def raw_of(policy: Any, some: Sequence[Choice]) -> list[list[float]]:
    """The log-probability of each answer of some choices, nats.

    Raises:
        DataError: one that does not fit into the model's context; an answer that nothing stands before, of a
            tokenizer that begins no document.
    """
    from ..evals.likelihood import logps_of
    from ..models.policy import context_of

    rendered = [rendered_answer(policy.tokenizer, row, answer) for row in some for answer in row.answers]
    longest, context = max(len(one.ids) for one in rendered), context_of(policy.model)
    if longest > context:
        raise DataError(
            f"a choice with its answer is {longest} tokens long, and the model looks at {context}",
            remedy="shorter choices, or a model with more context",
        )
    sums = iter(logps_of(policy, rendered)[0].tolist())
    return [[next(sums) for _ in row.answers] for row in some]


def rendered_answer(tokenizer: Any, choice: Choice, answer: str) -> Any:
    """Tokens of a choice with one answer, and the mask of those that the answer consists of."""
    from ..models.chat import Rendered, example, text_ids
    from ..models.chat_template import ids_of

    if isinstance(choice.asked, Prompt):
        return example(tokenizer, choice.asked, answer)
    before, after = text_ids(tokenizer, choice.asked), ids_of(tokenizer, answer)
    if not before:
        raise DataError(
            f"nothing stands before the answers of {choice.id!r}, and the tokenizer begins no document",
            remedy="a text in `asked`, or a model whose tokenizer has a begin token",
        )
    return Rendered([*before, *after], [0] * len(before) + [1] * len(after))


def row_of(choice: Choice, raw: Sequence[float]) -> dict[str, Any]:
    """A row of samples.jsonl."""
    total = log_sum(raw)
    p = [math.exp(logp - total) for logp in raw]
    first = None
    if choice.right is not None:
        first = int(all(raw[choice.right] > logp for i, logp in enumerate(raw) if i != choice.right))
    plain = {"id": choice.id, "names": list(choice.names), "unit": choice.unit, "right": choice.right}
    return plain | {"raw": list(raw), "p": p, "first": first, "meta": dict(choice.meta)}


def log_sum(raw: Sequence[float]) -> float:
    """The log of the sum of probabilities that are given by their logs."""
    most = max(raw)
    return most + math.log(sum(math.exp(logp - most) for logp in raw))


def summarize(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The figures of a run of `choices`, see there; an S of nothing where no choice has a right answer."""
    known = [row for row in rows if row["right"] is not None]
    units = [row["unit"] for row in known]
    raw = [row["raw"][row["right"]] for row in known]
    p = [row["p"][row["right"]] for row in known]
    log_p = [chosen_raw - log_sum(row["raw"]) for chosen_raw, row in zip(raw, known, strict=True)]
    return {
        "first": mean_by_prompt([row["first"] for row in known], units, share=True),
        "p": mean_by_prompt(p, units, share=True),
        "logp": mean_by_prompt(log_p, units),
        "raw": mean_by_prompt(raw, units),
    }


def chosen(run: RunInfo) -> list[Chosen]:
    """What a finished run of `choices` found."""
    keys = Chosen.__dataclass_fields__
    return [Chosen(**{key: row[key] for key in keys}) for row in run.samples]
