"""A reward model from rankings, or an ensemble of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import names
from ..run import derive_seed, read_run, writing
from ..settings import RewardSettings
from .rankings import preferences
from .stage import card, done, open_run, rate, result, within_context


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
) -> dict[str, Any]:
    """A reward model: a scalar head on the SFT model, trained on rankings; or an ensemble of them.

    `model` may be a reward model, which is then trained on (a further round). `member` is the place in the
    ensemble that this one is made for.
    """
    if settings.members > 1 and member is None:
        return _ensemble(
            model=model,
            data=data,
            gold=gold,
            out=out,
            seed=seed,
            resume=resume,
            settings=settings,
            count=count,
        )
    parts, train, test, said = preferences(data, seed, count, settings.held_out)
    place = {} if member is None else {"member": str(member)}
    run = open_run("reward", out, settings, seed, resume, models=[model], data=parts, gold=gold, **place)
    if run.done:
        return done(run)
    import torch

    from ..methods import reward_model as method
    from ..models.folder import is_reward
    from ..models.load import load_reward_model, save_reward_model

    member = member or 0
    if member:  # a new adapter is drawn from torch's own generator
        torch.manual_seed(derive_seed(seed, "reward", "new weights", member))
    path = names.known.model_path(model)
    reward_model = load_reward_model(
        path,
        settings.model,
        adapter=settings.adapter,
        init_head=not is_reward(Path(path)),
        head_seed=member,
        trainable=True,
    )
    run.note(said)
    info = read_run(data) if (Path(data) / "run.json").exists() else None
    ceiling = info.summary.get("ceiling_test") if info else None
    summary = method.train(
        run,
        reward_model,
        train,
        within_context(run, settings, reward_model.model),
        seed=seed,
        member=member,
        held_out=test,
        annotator_ceiling=ceiling,
        gold=names.judges.maybe_judge(gold),
        probes=names.judges.probes(gold),
    )
    with writing(run.path):
        save_reward_model(
            reward_model,
            run.path / "checkpoint",
            card=card("cost model" if settings.safety else "reward model", model, data, seed, summary),
        )
    run.finish(summary)
    what = (
        f"safe or unsafe told right {rate(summary['sign_accuracy'])}"
        if settings.safety
        else f"longer answer preferred: {rate(summary['length_floor'])}"
    )
    return result(run, f"held-out accuracy {rate(summary['accuracy'])}, {what}")


def _ensemble(
    *,
    model: str,
    data: str,
    gold: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: RewardSettings,
    count: int,
) -> dict[str, Any]:
    """Members one after the other, each a run of its own below `members`, and how they do together on the
    held-out rankings.

    Member 0 is the reward model that the same command makes without `members`; the others have another head,
    another order and, with `bootstrap`, other data.
    """
    from ..feedback.ensemble import EnsembleJudge, Remembering
    from ..feedback.reward_model import RewardModelJudge

    parts, train, test, _ = preferences(data, seed, count, settings.held_out)
    run = open_run("reward", out, settings, seed, resume, models=[model], data=parts, gold=gold)
    if run.done:
        return done(run)
    from ..evals import preference
    from ..methods import reward_model as method
    from ..models.load import load_reward_model

    one = replace(settings, members=1)
    members = [
        reward(
            model=model,
            data=data,
            gold=gold,
            out=run.path / "members" / str(member),
            seed=seed,
            resume=resume,
            settings=one,
            count=count,
            member=member,
        )
        for member in range(settings.members)
    ]
    models = [load_reward_model(names.known.model_path(found["run"]), settings.model) for found in members]
    judges, first = [Remembering(RewardModelJudge(model)) for model in models], models[0]
    _, asked, _ = method.prepared(
        train, test, first.tokenizer, within_context(run, settings, first.model), seed
    )
    summary: dict[str, Any] = {
        "members": settings.members,
        "member_accuracy": [found["summary"]["accuracy"]["mean"] for found in members],
    }
    for how in ("mean", "worst", "uncertainty"):
        summary[how] = preference.measure(
            EnsembleJudge(judges, aggregation=how), asked, gold=names.judges.maybe_judge(gold)
        )
    summary |= summary["mean"] | {"spread": preference.measure_spread(EnsembleJudge(judges), asked)}
    run.finish(summary)
    alone = ", ".join(f"{value:.3f}" for value in summary["member_accuracy"])
    return result(
        run,
        (
            f"held-out accuracy of {settings.members} members together {rate(summary['accuracy'])}, of each "
            f"{alone}"
        ),
    )
