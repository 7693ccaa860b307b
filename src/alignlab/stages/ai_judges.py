"""What stages with an AI judge share: who judges, which pairs, and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import names
from ..errors import ConfigError, DataError, UserError
from ..records import Comparison, Completion
from ..run import RunDir
from ..sampling.address import is_endpoint
from ..sampling.endpoint import EndpointSampler
from ..settings import AIJudgeSettings, EndpointSettings
from ..text.lists import by_comma

if TYPE_CHECKING:
    from ..feedback.ai import AIJudge
    from ..feedback.ai_name import AIName


def judge_name(model: str, constitution: str, settings: AIJudgeSettings, *, labels: str = "soft") -> AIName:
    """What is asked of whom. Raises UserError without a model."""
    from ..feedback.ai_name import AIName

    if not model:
        raise UserError(
            "nobody judges",
            remedy=(
                "--judge-model M: a run of `alignlab constitution critic`, any model, or "
                "http://host:port/v1#model"
            ),
        )
    tags = tuple(by_comma(settings.tags))
    return AIName(
        model,
        constitution,
        settings.principles,
        tags,
        settings.ask,
        settings.orders,
        labels,
        settings.cot,
        1.0,
        settings.form,
    )


def ai_judge(
    run: RunDir, who: AIName, settings: AIJudgeSettings, seed: int, *, others: Sequence[str] = ()
) -> AIJudge:
    """The judge, with the run's settings; an endpoint's answers are kept in the run. `others`: models that
    are asked beside it.
    """
    if settings.endpoint != EndpointSettings() and not any(map(is_endpoint, (who.model, *others))):
        raise ConfigError(
            "endpoint.* says how a server is asked, and no model here is behind one",
            where=who.model,
            remedy="take it away, or --judge-model http://host:port/v1#model",
        )
    return names.judges.ai_judge(
        who, model=settings.model, endpoint=settings.endpoint, cache=run.path / "judge.jsonl", seed=seed
    )


def constitution_digest(who: AIName) -> str:
    """The digest of the constitution that a judge would read, without loading the judge."""
    from ..constitution import files, forms

    folder = who.model if is_endpoint(who.model) else names.models.model(who.model).path
    fitting = "town" if forms.form_of(who.form, folder).documents else "general"
    return files.load(who.constitution or fitting).digest


def lasting(settings: Any) -> Any:
    """The settings without how a server is asked: a run goes on with another budget."""
    return replace(settings, endpoint=EndpointSettings())


def comparisons(data: str, seed: int, count: int) -> names.data.Data:
    """Comparisons of a data name; of a run of `constitution label`, its held-out ones and then the others, so
    that `count` takes those first.
    """
    if not data:
        raise UserError(
            "no pairs are named",
            remedy="--data RUN, a run of `alignlab constitution label`, or a file of comparisons",
        )
    held_out = Path(data) / "data" / "comparisons_test.jsonl"
    if not held_out.exists():
        return names.data.read_data(data, "comparison", seed=seed, count=count)
    of_run = names.data.of_a_run(data)
    parts = [
        names.data.read_data(str(path), "comparison", seed=seed)
        for path in (held_out, held_out.with_name("comparisons.jsonl"))
    ]
    records = [c for part in parts for c in part.records][: count or None]
    return replace(of_run, records=records, digest="+".join(part.digest for part in parts) + f"/{count}")


def fitting(run: RunDir, judge: AIJudge, pairs: Sequence[Comparison]) -> list[Comparison]:
    """The pairs that the judge's context holds, those that are too long counted. Raises DataError if none is
    left.
    """
    kept = [c for c in pairs if judge.fits(Completion(c.prompt, c.chosen), Completion(c.prompt, c.rejected))]
    if not kept:
        raise DataError(
            f"none of {len(pairs)} pairs fits the judge's context", remedy="shorter pairs, or another judge"
        )
    if len(kept) < len(pairs):
        run.note(
            f"{len(pairs) - len(kept)} of {len(pairs)} pairs do not fit the judge's context and are left out"
        )
    return kept


def finish(run: RunDir, judge: AIJudge | None, summary: dict[str, Any]) -> None:
    """Close the run; what an endpoint cost goes into the summary."""
    if judge and isinstance(judge.reader, EndpointSampler):
        summary["endpoint"] = {**judge.reader.spent, "letters_only": judge.reader.letters_only}
    run.finish(summary)
