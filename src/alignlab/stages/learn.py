"""Stages that learn from data that is there: text, demonstrations, rankings, comparisons."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from .. import names
from ..data.split import by_prompt
from ..errors import UserError
from ..records import Ranking, Unpaired
from ..run import derive_seed, read_run, writing
from ..settings import (
    DPOSettings,
    KTOSettings,
    ORPOSettings,
    PretrainSettings,
    RewardSettings,
    SFTSettings,
    SimPOSettings,
)
from .stage import card, done, open_run, outside, rate, result, trainer, within_context


def pretrain(*, data: str, out: Path, seed: int, resume: bool, settings: PretrainSettings) -> dict[str, Any]:
    """A base model of the town from nothing: tokenizer, rows, language modelling, then how it behaves."""
    from ..town import base, world

    if data != "town:corpus":
        raise UserError(
            f"pretrain reads the town's corpus, not {data!r}",
            remedy="start from a hub model for other text: --model NAME on the other commands",
        )
    run = open_run(
        "pretrain", out, settings, seed, resume, data=[names.data.Data([], data, f"{data}@{world.VERSION}")]
    )
    if run.done:
        return done(run)
    import torch

    from ..methods.pretrain import pretrain as train

    torch.set_num_threads(settings.model.threads or 1)
    town = world.build()
    tokenizer = base.train_tokenizer(town, vocabulary=settings.vocabulary, seed=seed)
    model = base.new_model(base.SHAPES[settings.size], tokenizer, seed=seed)
    rows = base.rows(
        town, tokenizer, tokens=settings.tokens, context=settings.context, seed=derive_seed(seed, "corpus")
    )
    summary = train(run, model, rows, settings)

    from ..models.load import Policy, save_policy
    from ..town.measure import bare

    policy = Policy(model, tokenizer, name=str(out), device=torch.device("cpu"))
    summary["behaviour"] = asdict(bare.measure(town, policy, seed=seed))
    with writing(run.path):
        save_policy(
            policy,
            run.path / "checkpoint",
            card=base.card(settings, summary, seed=seed, commit=run.info["commit"]),
        )
    run.finish(summary)
    answered = summary["behaviour"]["answered"]["mean"]
    return result(
        run,
        (
            f"held-out loss {summary['eval_loss']:.3f}; a bare question is answered in its first sentence "
            f"{answered:.0%} of the time"
        ),
    )


def sft(
    *, model: str, data: str, out: Path, seed: int, resume: bool, settings: SFTSettings, count: int = 0
) -> dict[str, Any]:
    """Supervised fine-tuning on demonstrations."""
    demonstrations = names.data.read(data, "demonstration", seed=seed, count=count)
    run = open_run("sft", out, settings, seed, resume, models=[model], data=[demonstrations])
    if run.done:
        return done(run)
    from ..methods import sft as method
    from ..models.load import load_policy, save_policy

    policy = load_policy(names.known.model_path(model), settings.model, settings.adapter, trainable=True)
    after = outside(run, policy, model, (d.completion for d in demonstrations.records))
    summary = (
        method.train(
            run, policy, demonstrations.records, within_context(run, settings, policy.model), seed=seed
        )
        | after()
    )
    with writing(run.path):
        save_policy(policy, run.path / "checkpoint", card=card("SFT", model, data, seed, summary))
    run.finish(summary)
    return result(run, f"held-out loss {rate(summary['eval_loss_before'])} -> {rate(summary['eval_loss'])}")


R = TypeVar("R", Ranking, Unpaired)
Part = tuple[names.data.Data, list[R], list[R] | None]
"""One part of the data: what it is called, what to learn from and, where it is split already, what is kept for testing."""


def preferences(
    data: str, seed: int, count: int, held_out: float
) -> tuple[list[names.data.Data], list[Ranking], list[Ranking] | None, str]:
    """Rankings to learn from and, where the data is split already, those kept for testing; and what to tell
    the user of a mixture (`mixed`).
    """
    if not data:
        raise UserError(
            "no rankings or comparisons are named",
            remedy="--data RUN, a run of `alignlab collect`, or a file; RUN,RUN for several",
        )
    return mixed(
        [_preferences(part, seed, count) for part in parts_of(data)],
        held_out,
        seed,
        what="rankings",
        same=lambda r: (
            r.prompt.id,
            tuple(c.text for c in r.completions),
            r.ranks,
            r.annotator,
            tuple(r.meta.get("labels", ())),
        ),
    )


def labelled(
    data: str, seed: int, count: int, held_out: float
) -> tuple[list[names.data.Data], list[Unpaired], list[Unpaired] | None, str]:
    """As `preferences`, each completion by itself with its label."""
    if not data:
        raise UserError(
            "no labelled completions are named",
            remedy="--data RUN, a run of `alignlab collect`, or a file; RUN,RUN for several",
        )
    loaded = [_labelled(part, seed, count) for part in parts_of(data)]
    parts, train, test, said = mixed(
        [part for part, _ in loaded],
        held_out,
        seed,
        what="completions",
        same=lambda u: (u.prompt.id, u.completion, u.label, u.finished),
    )
    return parts, train, test, "\n".join(line for line in (said, *(soft for _, soft in loaded)) if line)


def parts_of(data: str) -> list[str]:
    """The names in `A,B`; a file whose name has a comma, and a `mix:`, stand for themselves. What columns are
    is said of each.
    """
    if data.startswith("columns:"):
        _, listed, rest = data.split(":", 2)
        return [f"columns:{listed}:{part}" for part in parts_of(rest)]
    return (
        [data]
        if Path(data).exists() or data.startswith("mix:")
        else [part.strip() for part in data.split(",") if part.strip()]
    )


def mixed(
    loaded: Sequence[Part[R]], held_out: float, seed: int, *, what: str, same: Callable[[R], Hashable]
) -> tuple[list[names.data.Data], list[R], list[R] | None, str]:
    """Several parts as one (InstructGPT's rounds: comparisons of the first policy and of the newer one), and
    what to tell the user of them.

    A prompt that is held out in one part is held out in all: its records in the others move to the test side.
    A part that is not split yet is split by `held_out`. The same record twice counts once.

    Args:
        what: what the records are called; same: what makes two of them the same.
    """
    if len(loaded) == 1:
        return [loaded[0][0]], *loaded[0][1:], ""
    if all(test is None for _, _, test in loaded):
        sides = [(train, []) for _, train, _ in loaded]
    else:
        sides = [
            (train, test) if test is not None else by_prompt(train, held_out, seed)
            for _, train, test in loaded
        ]
    kept = {r.prompt.id for _, test in sides for r in test}

    def once(records: Iterable[R]) -> list[R]:
        return list({same(record): record for record in records}.values())

    train = once(r for learn, _ in sides for r in learn if r.prompt.id not in kept)
    moved = [r for learn, _ in sides for r in learn if r.prompt.id in kept]
    test = once(r for part in (*(test for _, test in sides), moved) for r in part)
    counts = ", ".join(
        f"{len(learn)} + {len(rest)} of {part.name}"
        for (part, _, _), (learn, rest) in zip(loaded, sides, strict=True)
    )
    said = (
        f"mixture: {len(train)} {what} to learn from, {len(test)} held out ({counts}); {len(moved)} moved to the held-out side, "
        f"since another part holds their prompt out"
    )
    return (
        [part for part, _, _ in loaded],
        train,
        None if all(test is None for _, _, test in loaded) else test,
        said,
    )


def _preferences(data: str, seed: int, count: int) -> Part[Ranking]:
    """One part of the data: a run of collect, which is split, or anything else, which is not."""
    from ..records import read_jsonl

    folder = Path(data) / "data"
    if (folder / "rankings.jsonl").exists():
        names.known.check_finished(data)
        info = read_run(data)
        train, test = (
            read_jsonl(folder / "rankings.jsonl", Ranking),
            read_jsonl(folder / "rankings_test.jsonl", Ranking),
        )
        if not count or count >= len(train):
            return names.data.Data(train, data, info.key), train, test
        report = f"{data}: the first {count} of {len(train)} rankings to learn from, all {len(test)} held out"
        return names.data.Data(train[:count], data, f"{info.key}#{count}", report), train[:count], test
    loaded = names.data.read(data, "ranking", seed=seed, count=count)
    return loaded, list(loaded.records), None


def _labelled(data: str, seed: int, count: int) -> tuple[Part[Unpaired], str]:
    """As `_preferences`, each completion by itself; and what to tell of soft labels, of which only the
    favoured side is left.
    """
    if (Path(data) / "data" / "rankings.jsonl").exists():
        loaded, train, test = _preferences(data, seed, count)
        return (
            loaded,
            [u for r in train for u in r.unpaired()],
            [u for r in test or [] for u in r.unpaired()],
        ), _hardened(train)
    loaded = names.data.read(data, "unpaired", seed=seed, count=count)
    said = (
        _hardened(names.data.read(data, "ranking", seed=seed, count=count).records)
        if names.data.kind(data) in ("comparison", "ranking")
        else ""
    )
    return (loaded, list(loaded.records), None), said


def _hardened(rankings: Iterable[Ranking]) -> str:
    soft = sum("labels" in r.meta for r in rankings)
    return (
        (
            f"kto: {soft} prompts have soft labels, and kto knows none: a completion counts as liked if "
            "more than half of its label is for it"
        )
        if soft
        else ""
    )


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
        summary[how] = method.measure(
            EnsembleJudge(judges, aggregation=how), asked, gold=names.judges.maybe_judge(gold)
        )
    summary |= summary["mean"] | {"spread": method.measure_spread(EnsembleJudge(judges), asked)}
    run.finish(summary)
    alone = ", ".join(f"{value:.3f}" for value in summary["member_accuracy"])
    return result(
        run,
        (
            f"held-out accuracy of {settings.members} members together {rate(summary['accuracy'])}, of each "
            f"{alone}"
        ),
    )


def dpo(
    *, model: str, data: str, out: Path, seed: int, resume: bool, settings: DPOSettings, count: int = 0
) -> dict[str, Any]:
    """Direct preference optimisation from the same rankings or comparisons."""
    return _from_comparisons(
        "dpo",
        "DPO",
        model=model,
        data=data,
        out=out,
        seed=seed,
        resume=resume,
        settings=settings,
        count=count,
    )


def orpo(
    *, model: str, data: str, out: Path, seed: int, resume: bool, settings: ORPOSettings, count: int = 0
) -> dict[str, Any]:
    """SFT on the chosen completions with an odds-ratio term against the rejected ones; no reference."""
    return _from_comparisons(
        "orpo",
        "ORPO",
        model=model,
        data=data,
        out=out,
        seed=seed,
        resume=resume,
        settings=settings,
        count=count,
    )


def simpo(
    *, model: str, data: str, out: Path, seed: int, resume: bool, settings: SimPOSettings, count: int = 0
) -> dict[str, Any]:
    """Preference optimisation on mean log-probabilities; no reference."""
    return _from_comparisons(
        "simpo",
        "SimPO",
        model=model,
        data=data,
        out=out,
        seed=seed,
        resume=resume,
        settings=settings,
        count=count,
    )


def kto(
    *, model: str, data: str, out: Path, seed: int, resume: bool, settings: KTOSettings, count: int = 0
) -> dict[str, Any]:
    """Kahneman-Tversky optimisation from completions that were liked or not; of rankings and comparisons,
    from each completion by itself.
    """
    return _directly(
        "kto",
        "KTO",
        labelled,
        "kto",
        model=model,
        data=data,
        out=out,
        seed=seed,
        resume=resume,
        settings=settings,
        count=count,
    )


def _from_comparisons(stage: str, title: str, **arguments: Any) -> dict[str, Any]:
    return _directly(stage, title, preferences, "direct", **arguments)


def _directly(
    stage: str,
    title: str,
    read: Callable[..., Any],
    method: str,
    *,
    model: str,
    data: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: DPOSettings | ORPOSettings | SimPOSettings | KTOSettings,
    count: int,
) -> dict[str, Any]:
    """A policy from what was liked and what was not, with no sampling and no reward model in between."""
    parts, learn, test, said = read(data, seed, count, settings.held_out)
    run = open_run(stage, out, settings, seed, resume, models=[model], data=parts)
    if run.done:
        return done(run)
    from ..models.load import load_policy, save_policy

    policy = load_policy(names.known.model_path(model), settings.model, settings.adapter, trainable=True)
    run.note(said)
    after = outside(
        run,
        policy,
        model,
        (
            c.completion if isinstance(c, Unpaired) else c.completions[c.ranks.index(min(c.ranks))].text
            for c in learn
            if not isinstance(c, Unpaired) or c.label
        ),
    )
    summary = (
        trainer(method)(
            run, policy, learn, within_context(run, settings, policy.model), seed=seed, held_out=test
        )
        | after()
    )
    with writing(run.path):
        save_policy(policy, run.path / "checkpoint", card=card(title, model, data, seed, summary))
    run.finish(summary)
    return result(run, f"held-out accuracy of the implicit reward {rate(summary['accuracy'])}")
