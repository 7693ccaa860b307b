"""A reward model from rankings, or an ensemble of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import names
from ..data.split import in_folds
from ..errors import DataError
from ..evals.statistics import wilson
from ..names.named import Named
from ..records import Ranking
from ..run import RunDir, derive_seed, read_run
from ..settings import RewardSettings
from .rankings import Split, preferences
from .stage import card, done, keep, open_run, rate, result, within_context

if TYPE_CHECKING:
    from ..feedback import Judge


def reward(
    *,
    model: str,
    data: str,
    gold: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: RewardSettings,
    count: int = 0,
    member: int | None = None,
    fold: int | None = None,
) -> dict[str, Any]:
    """A reward model: a scalar head on the SFT model, trained on rankings; or an ensemble of them.

    `model` may be a reward model, which is then trained on (a further round). `member` is the place in the
    ensemble that this one is made for, `fold` the part of the questions that it is tested on.
    """
    start, rankings = names.models.model(model), preferences(data, seed, count, settings.held_out)
    truth = names.judges.maybe_judge(gold)
    uses, place = [start, *rankings.parts, truth], {} if member is None else {"member": str(member)}
    if fold is not None:
        rankings = _without(rankings, settings.folds, fold, seed)
        place, settings = {"fold": f"{fold} of {settings.folds}"}, replace(settings, folds=0)
    run = open_run("reward", out, settings, seed, resume, uses=uses, gold=gold, **place)
    if run.done:
        return done(run)
    arguments = {"model": model, "data": data, "gold": gold, "seed": seed, "resume": resume, "count": count}
    if settings.members > 1 and member is None:
        return _ensemble(run, rankings, truth, settings, **arguments)
    crossed = _crossed(run, settings, arguments) if settings.folds else {}
    import torch

    from ..methods import reward_model as method
    from ..models.folder import is_reward
    from ..models.load import load_reward_model
    from ..models.saving import save_reward_model

    member = member or 0
    if member:  # a new adapter is drawn from torch's own generator
        torch.manual_seed(derive_seed(seed, "reward", "new weights", member))
    reward_model = load_reward_model(
        start.path,
        settings.model,
        adapter=settings.adapter,
        init_head=not is_reward(Path(start.path)),
        head_seed=member,
        trainable=True,
    )
    run.note(rankings.note)
    collected = read_run(data).summary if (Path(data) / "run.json").exists() else {}
    summary = method.train(
        run,
        reward_model,
        rankings.train,
        within_context(run, settings, reward_model.model),
        seed=seed,
        member=member,
        held_out=rankings.test,
        annotator_ceiling=collected.get("ceiling_test"),
        gold=truth.load(),
        probes=names.judges.probes(gold),
    )
    summary |= crossed
    title = "cost model" if settings.safety else "reward model"
    keep(run, reward_model, summary, save_reward_model, card(title, model, data, seed, summary))
    text = f"held-out accuracy {rate(summary['accuracy'])}"
    if crossed:
        text += f", folded {rate(summary['accuracy_folded'])}"
    if settings.safety:
        return result(run, f"{text}, safe or unsafe told right {rate(summary['sign_accuracy'])}")
    return result(run, f"{text}, longer answer preferred: {rate(summary['length_floor'])}")


def _without(split: Split[Ranking], folds: int, fold: int, seed: int) -> Split[Ranking]:
    """All of the data, one part of its questions held out. Raises DataError: a part without rankings."""
    parts = in_folds([*split.train, *(split.test or [])], folds, seed)
    if not all(parts):
        raise DataError(f"the data has fewer than {folds} questions", remedy="fewer --folds, or more data")
    train = [ranking for place, part in enumerate(parts) if place != fold for ranking in part]
    return split._replace(train=train, test=parts[fold])


def _crossed(run: RunDir, settings: RewardSettings, arguments: dict[str, Any]) -> dict[str, Any]:
    """How right models are on parts of the data that they did not learn from, each a run of its own below
    `folds`; the mean over all questions. Its interval is Wilson's of that many, though models that share data
    err alike.
    """
    arguments = arguments | {"gold": "", "settings": settings}
    parts = [
        reward(out=run.path / "folds" / str(fold), fold=fold, **arguments)["summary"]
        for fold in range(settings.folds)
    ]
    counts = [part["margins"]["counts"] for part in parts]
    curves = [part["reliability"] for part in parts if part["test_pairs"]]
    found = {
        "count": settings.folds,
        "length_floor": _over(parts, "length_floor"),
        "margins": parts[0]["margins"] | {"counts": [sum(bins) for bins in zip(*counts, strict=True)]},
        "reliability": [_pooled(bins) for bins in zip(*curves, strict=True)],
    }
    return {"accuracy_folded": _over(parts, "accuracy"), "folds": found}


def _over(parts: Sequence[dict[str, Any]], figure: str) -> dict[str, Any]:
    """S of a share over the questions of all parts."""
    told = [part[figure] for part in parts if part[figure]["n"]]
    n, right = sum(part["n"] for part in told), sum(part["mean"] * part["n"] for part in told)
    if not n:
        return {"mean": None, "ci": None, "n": 0}
    return {"mean": right / n, "ci": list(wilson(right, n)), "n": n}


def _pooled(bins: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One bin of several reliability curves as one."""
    n = sum(each["n"] for each in bins)
    means = {
        name: sum(each[name] * each["n"] for each in bins) / n if n else 0.0
        for name in ("confidence", "accuracy")
    }
    return bins[0] | means | {"n": n}


def _ensemble(
    run: RunDir,
    rankings: Split[Ranking],
    truth: Named[Judge | None],
    settings: RewardSettings,
    **arguments: Any,
) -> dict[str, Any]:
    """Members one after the other, each a run of its own below `members`, and how they do together on the
    held-out rankings.

    Member 0 is the reward model that the same command makes without `members`; the others have another head,
    another order and, with `bootstrap`, other data.
    """
    from ..evals import preference
    from ..feedback.ensemble import EnsembleJudge, Remembering
    from ..feedback.reward_model import RewardModelJudge
    from ..methods import reward_model as method
    from ..models.load import load_reward_model

    one = replace(settings, members=1)
    members = [
        reward(out=run.path / "members" / str(member), settings=one, member=member, **arguments)
        for member in range(settings.members)
    ]
    models = [load_reward_model(names.models.model(member["run"]).path, settings.model) for member in members]
    judges, first = [Remembering(RewardModelJudge(model)) for model in models], models[0]
    fitting = within_context(run, settings, first.model)
    _, held_out, _ = method.prepared(
        rankings.train, rankings.test, first.tokenizer, fitting, arguments["seed"]
    )
    accuracies = [member["summary"]["accuracy"]["mean"] for member in members]
    summary: dict[str, Any] = {"members": settings.members, "member_accuracy": accuracies}
    for how in ("mean", "worst", "uncertainty"):
        together = EnsembleJudge(judges, aggregation=how)
        summary[how] = preference.measure(together, held_out, gold=truth.load())
    summary |= summary["mean"] | {"spread": preference.measure_spread(EnsembleJudge(judges), held_out)}
    run.finish(summary)
    alone = ", ".join(f"{accuracy:.3f}" for accuracy in accuracies)
    return result(
        run,
        f"held-out accuracy of {settings.members} members together {rate(summary['accuracy'])}, of each "
        f"{alone}",
    )
