"""Stages that learn from data that is there: text, demonstrations, rankings, comparisons."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from .. import names
from ..errors import DataError, UserError
from ..records import Ranking, Unpaired
from ..run import derive_seed, read_run, writing
from ..settings import DPOSettings, KTOSettings, ORPOSettings, PretrainSettings, RewardSettings, SFTSettings, SimPOSettings
from ._parts import card, done, open_run, rate, result, within_context


def pretrain(*, data: str, out: Path, seed: int, resume: bool, settings: PretrainSettings) -> dict[str, Any]:
    """A base model of the town from nothing: tokenizer, rows, language modelling, then how it behaves."""
    import torch

    from ..methods.pretrain import pretrain as train
    from ..town import base, world

    if data != "town:corpus":
        raise UserError(f"pretrain reads the town's corpus, not {data!r}", remedy="start from a hub model for other text: --model NAME on the other commands")
    run = open_run("pretrain", out, settings, seed, resume, data=[names.Data([], data, f"{data}@{world.VERSION}")])
    if run.done:
        return done(run)
    torch.set_num_threads(settings.model.threads or 1)
    town = world.build()
    tokenizer = base.train_tokenizer(town, vocabulary=settings.vocabulary, seed=seed)
    model = base.new_model(base.SHAPES[settings.size], tokenizer, seed=seed)
    rows = base.rows(town, tokenizer, tokens=settings.tokens, context=settings.context, seed=derive_seed(seed, "corpus"))
    summary = train(run, model, rows, settings)

    from ..evals import bare
    from ..models.load import Policy, save_policy

    policy = Policy(model, tokenizer, name=str(out), device=torch.device("cpu"))
    summary["behaviour"] = asdict(bare.measure(town, policy, seed=seed))
    with writing(run.path):
        save_policy(policy, run.path / "checkpoint", card=base.card(settings, summary, seed=seed, commit=run.info["commit"]))
    run.finish(summary)
    answered = summary["behaviour"]["answered"]["mean"]
    return result(run, f"held-out loss {summary['eval_loss']:.3f}; a bare question is answered in its first sentence {answered:.0%} of the time")


def sft(*, model: str, data: str, out: Path, seed: int, resume: bool, settings: SFTSettings, count: int = 0) -> dict[str, Any]:
    """Supervised fine-tuning on demonstrations."""
    from ..methods import sft as method
    from ..models.load import load_policy, save_policy

    demonstrations = names.data(data, "demonstration", seed=seed, count=count)
    run = open_run("sft", out, settings, seed, resume, models=[model], data=[demonstrations])
    if run.done:
        return done(run)
    policy = load_policy(names.model_path(model), settings.model, settings.adapter, trainable=True)
    run.note(demonstrations.report)
    summary = method.train(run, policy, demonstrations.records, within_context(run, settings, policy.model), seed=seed)
    with writing(run.path):
        save_policy(policy, run.path / "checkpoint", card=card("SFT", model, data, seed, summary))
    run.finish(summary)
    return result(run, f"held-out loss {rate(summary['eval_loss_before'])} -> {rate(summary['eval_loss'])}")


def preferences(data: str, seed: int, count: int) -> tuple[names.Data, list[Ranking], list[Ranking] | None]:
    """Rankings to learn from and, where the data is split already, those kept for testing."""
    from ..records import read_jsonl

    if not data:
        raise UserError("no rankings or comparisons are named", remedy="--data RUN, a run of `alignlab collect`, or a file")
    folder = Path(data) / "data"
    if (folder / "rankings.jsonl").exists():
        info = read_run(data)
        if info.status != "done":
            raise DataError(f"the run {data} is not finished", where=data, remedy="give the command that made it again")
        train, test = read_jsonl(folder / "rankings.jsonl", Ranking), read_jsonl(folder / "rankings_test.jsonl", Ranking)
        return names.Data(train, data, info.key), train, test
    loaded = names.data(data, "ranking", seed=seed, count=count)
    return loaded, list(loaded.records), None


def reward(*, model: str, data: str, gold: str, out: Path, seed: int, resume: bool, settings: RewardSettings, count: int = 0) -> dict[str, Any]:
    """A reward model: a scalar head on the SFT model, trained on rankings."""
    from ..methods import reward_model as method
    from ..models.load import load_reward_model, save_reward_model

    rankings, train, test = preferences(data, seed, count)
    run = open_run("reward", out, settings, seed, resume, models=[model], data=[rankings], gold=gold)
    if run.done:
        return done(run)
    reward_model = load_reward_model(names.model_path(model), settings.model, adapter=settings.adapter, init_head=True, trainable=True)
    run.note(rankings.report)
    info = read_run(data) if (Path(data) / "run.json").exists() else None
    ceiling = info.summary.get("ceiling_test") if info else None
    summary = method.train(run, reward_model, train, within_context(run, settings, reward_model.model), seed=seed, held_out=test,
                           annotator_ceiling=ceiling, gold=names.judge(gold), probes=names.probes(gold))
    with writing(run.path):
        save_reward_model(reward_model, run.path / "checkpoint", card=card("reward model", model, data, seed, summary))
    run.finish(summary)
    return result(run, f"held-out accuracy {rate(summary['accuracy'])}, longer answer preferred: {rate(summary['length_floor'])}")


def dpo(*, model: str, data: str, out: Path, seed: int, resume: bool, settings: DPOSettings, count: int = 0) -> dict[str, Any]:
    """Direct preference optimisation from the same rankings or comparisons."""
    return _from_comparisons("dpo", "DPO", model=model, data=data, out=out, seed=seed, resume=resume, settings=settings, count=count)


def orpo(*, model: str, data: str, out: Path, seed: int, resume: bool, settings: ORPOSettings, count: int = 0) -> dict[str, Any]:
    """SFT on the chosen completions with an odds-ratio term against the rejected ones; no reference."""
    return _from_comparisons("orpo", "ORPO", model=model, data=data, out=out, seed=seed, resume=resume, settings=settings, count=count)


def simpo(*, model: str, data: str, out: Path, seed: int, resume: bool, settings: SimPOSettings, count: int = 0) -> dict[str, Any]:
    """Preference optimisation on mean log-probabilities; no reference."""
    return _from_comparisons("simpo", "SimPO", model=model, data=data, out=out, seed=seed, resume=resume, settings=settings, count=count)


def _from_comparisons(stage: str, title: str, *, model: str, data: str, out: Path, seed: int, resume: bool,
                      settings: DPOSettings | ORPOSettings | SimPOSettings, count: int) -> dict[str, Any]:
    from ..methods import direct as method
    from ..models.load import load_policy, save_policy

    rankings, train, test = preferences(data, seed, count)
    run = open_run(stage, out, settings, seed, resume, models=[model], data=[rankings])
    if run.done:
        return done(run)
    policy = load_policy(names.model_path(model), settings.model, settings.adapter, trainable=True)
    run.note(rankings.report)
    summary = method.train(run, policy, train, within_context(run, settings, policy.model), seed=seed, held_out=test)
    with writing(run.path):
        save_policy(policy, run.path / "checkpoint", card=card(title, model, data, seed, summary))
    run.finish(summary)
    return result(run, f"held-out accuracy of the implicit reward {rate(summary['accuracy'])}")


def kto(*, model: str, data: str, out: Path, seed: int, resume: bool, settings: KTOSettings, count: int = 0) -> dict[str, Any]:
    """Kahneman-Tversky optimisation from completions that were liked or not; of rankings and comparisons, from each completion by itself."""
    from ..methods import kto as method
    from ..models.load import load_policy, save_policy

    labelled, train, test = _labelled(data, seed, count)
    run = open_run("kto", out, settings, seed, resume, models=[model], data=[labelled])
    if run.done:
        return done(run)
    policy = load_policy(names.model_path(model), settings.model, settings.adapter, trainable=True)
    run.note(labelled.report)
    summary = method.train(run, policy, train, within_context(run, settings, policy.model), seed=seed, held_out=test)
    with writing(run.path):
        save_policy(policy, run.path / "checkpoint", card=card("KTO", model, data, seed, summary))
    run.finish(summary)
    return result(run, f"held-out accuracy of the implicit reward {rate(summary['accuracy'])}")


def _labelled(data: str, seed: int, count: int) -> tuple[names.Data, list[Unpaired], list[Unpaired] | None]:
    """As `preferences`, each completion by itself with its label."""
    if not data:
        raise UserError("no labelled completions are named", remedy="--data RUN, a run of `alignlab collect`, or a file")
    if (Path(data) / "data" / "rankings.jsonl").exists():
        loaded, train, test = preferences(data, seed, count)
        return loaded, [u for r in train for u in r.unpaired()], [u for r in test or [] for u in r.unpaired()]
    loaded = names.data(data, "unpaired", seed=seed, count=count)
    return loaded, list(loaded.records), None
