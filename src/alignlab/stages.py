"""The stages of a pipeline as functions: names in, a finished run folder out.

Each loads what it was named, opens its run, calls one method, and writes the model it made. The command line and the
recipes call the same functions; a stage never sees another's memory, only run folders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from . import names
from .config import to_dict
from .errors import DataError, UserError
from .records import Prompt, Ranking
from .run import RunDir, derive_seed, read_run, writing
from .run import list_runs as find_runs
from .settings import (
    BestOfNSettings,
    CollectSettings,
    DPOSettings,
    EvalSettings,
    ModelSettings,
    PPOSettings,
    PretrainSettings,
    RewardSettings,
    SamplingSettings,
    SFTSettings,
)


def _open(stage: str, out: Path, settings: Any, seed: int, resume: bool, *, models: Sequence[str] = (), data: Sequence[names.Data] = (), **options: str):
    """The run of one stage: its key covers the settings, the models it starts from, the data and every other option."""
    import torch

    for model in models:
        names.model_path(model)  # a name that stands for no model is an error before there is a run
    config = {"settings": to_dict(settings), "models": list(models), "options": options}
    run = RunDir.open(out, stage=stage, config=config, seed=seed, parents=names.parents(*models, *(d.name for d in data), *options.values()),
                      data={d.name: d.digest for d in data}, resume=resume)
    torch.manual_seed(derive_seed(seed, stage, "new weights"))  # a new adapter is drawn from torch's own generator
    return run


def _done(run: RunDir) -> dict[str, Any]:
    return {"run": str(run.out), "summary": read_run(run.out).summary, "text": f"{run.out}: done already, nothing to do"}


def _result(run: RunDir, text: str) -> dict[str, Any]:
    return {"run": str(run.out), "summary": read_run(run.out).summary, "text": f"{text}\n{run.out}"}


def _within_context(run: RunDir, settings: Any, model: Any) -> Any:
    """The settings with `max_length` at most the model's context: what is longer is dropped and counted, not learnt at positions it does not know."""
    from .models.load import context_of

    if (context := context_of(model)) >= settings.max_length:
        return settings
    run.note(f"the model's context is {context}: max_length {settings.max_length} stands for {context}")
    return replace(settings, max_length=context)


def _with_room(run: RunDir, prompts: Sequence[Prompt], policy: Any, sampling: SamplingSettings) -> list[Prompt]:
    """The prompts that leave room for an answer in the model's context; the others are counted."""
    from .data.checks import with_room
    from .models.load import context_of

    kept, said = with_room(prompts, policy.tokenizer, context=context_of(policy.model), new_tokens=sampling.max_new_tokens)
    run.note(said)
    return kept


def pretrain(*, data: str, out: Path, seed: int, resume: bool, settings: PretrainSettings) -> dict[str, Any]:
    """A base model of the town from nothing: tokenizer, rows, language modelling, then how it behaves."""
    import torch

    from .methods.pretrain import pretrain as train
    from .town import base, world

    if data != "town:corpus":
        raise UserError(f"pretrain reads the town's corpus, not {data!r}", remedy="start from a hub model for other text: --model NAME on the other commands")
    run = _open("pretrain", out, settings, seed, resume, data=[names.Data([], data, f"{data}@{world.VERSION}")])
    if run.done:
        return _done(run)
    torch.set_num_threads(settings.model.threads or 1)
    town = world.build()
    tokenizer = base.train_tokenizer(town, vocabulary=settings.vocabulary, seed=seed)
    model = base.new_model(base.SHAPES[settings.size], tokenizer, seed=seed)
    rows = base.rows(town, tokenizer, tokens=settings.tokens, context=settings.context, seed=derive_seed(seed, "corpus"))
    summary = train(run, model, rows, settings)

    from .evals import bare
    from .models.load import Policy, save_policy

    policy = Policy(model, tokenizer, name=str(out), device=torch.device("cpu"))
    summary["behaviour"] = asdict(bare.measure(town, policy, seed=seed))
    with writing(run.path):
        save_policy(policy, run.path / "checkpoint", card=base.card(settings, summary, seed=seed, commit=run.info["commit"]))
    run.finish(summary)
    answered = summary["behaviour"]["answered"]["mean"]
    return _result(run, f"held-out loss {summary['eval_loss']:.3f}; a bare question is answered in its first sentence {answered:.0%} of the time")


def sft(*, model: str, data: str, out: Path, seed: int, resume: bool, settings: SFTSettings, count: int = 0) -> dict[str, Any]:
    """Supervised fine-tuning on demonstrations."""
    from .methods import sft as method
    from .models.load import load_policy, save_policy

    demonstrations = names.data(data, "demonstration", seed=seed, count=count)
    run = _open("sft", out, settings, seed, resume, models=[model], data=[demonstrations])
    if run.done:
        return _done(run)
    policy = load_policy(names.model_path(model), settings.model, settings.adapter, trainable=True)
    run.note(demonstrations.report)
    summary = method.train(run, policy, demonstrations.records, _within_context(run, settings, policy.model), seed=seed)
    with writing(run.path):
        save_policy(policy, run.path / "checkpoint", card=_card("SFT", model, data, seed, summary))
    run.finish(summary)
    return _result(run, f"held-out loss {_s(summary['eval_loss_before'])} -> {_s(summary['eval_loss'])}")


def collect(*, model: str, data: str, annotator: str, gold: str, others: str, out: Path, seed: int, resume: bool, settings: CollectSettings,
            count: int = 0) -> dict[str, Any]:
    """K completions a prompt, ranked."""
    from .methods import collect as method
    from .models.load import load_policy

    prompts = names.data(data, "prompt", seed=seed, count=count)
    run = _open("collect", out, settings, seed, resume, models=[model], data=[prompts], annotator=annotator, others=others, gold=gold)
    if run.done:
        return _done(run)
    policy = load_policy(names.model_path(model), settings.model)
    asked = _with_room(run, prompts.records, policy, settings.sampling)
    other = names.other_completions(others, asked, per_prompt=settings.per_prompt, seed=seed)
    summary = method.run(run, policy, names.annotator(annotator, seed=derive_seed(seed, "annotator")), asked, settings,
                         others=other, gold=names.judge(gold), seed=seed)
    run.finish(summary)
    return _result(run, f"{summary['rankings']} rankings, {summary['pairs']} pairs, {summary['ties']} ties")


def _preferences(data: str, seed: int, count: int) -> tuple[names.Data, list[Ranking], list[Ranking] | None]:
    """Rankings to learn from and, where the data is split already, those kept for testing."""
    from .records import read_jsonl

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
    from .methods import reward_model as method
    from .models.load import load_reward_model, save_reward_model

    preferences, train, test = _preferences(data, seed, count)
    run = _open("reward", out, settings, seed, resume, models=[model], data=[preferences], gold=gold)
    if run.done:
        return _done(run)
    reward_model = load_reward_model(names.model_path(model), settings.model, adapter=settings.adapter, init_head=True, trainable=True)
    run.note(preferences.report)
    info = read_run(data) if (Path(data) / "run.json").exists() else None
    ceiling = info.summary.get("ceiling_test") if info else None
    summary = method.train(run, reward_model, train, _within_context(run, settings, reward_model.model), seed=seed, held_out=test,
                           annotator_ceiling=ceiling, gold=names.judge(gold), probes=names.probes(gold))
    with writing(run.path):
        save_reward_model(reward_model, run.path / "checkpoint", card=_card("reward model", model, data, seed, summary))
    run.finish(summary)
    return _result(run, f"held-out accuracy {_s(summary['accuracy'])}, longer answer preferred: {_s(summary['length_floor'])}")


def dpo(*, model: str, data: str, out: Path, seed: int, resume: bool, settings: DPOSettings, count: int = 0) -> dict[str, Any]:
    """Direct preference optimisation from the same rankings or comparisons."""
    from .methods import dpo as method
    from .models.load import load_policy, save_policy

    preferences, train, test = _preferences(data, seed, count)
    run = _open("dpo", out, settings, seed, resume, models=[model], data=[preferences])
    if run.done:
        return _done(run)
    policy = load_policy(names.model_path(model), settings.model, settings.adapter, trainable=True)
    run.note(preferences.report)
    summary = method.train(run, policy, train, _within_context(run, settings, policy.model), seed=seed, held_out=test)
    with writing(run.path):
        save_policy(policy, run.path / "checkpoint", card=_card("DPO", model, data, seed, summary))
    run.finish(summary)
    return _result(run, f"held-out accuracy of the implicit reward {_s(summary['accuracy'])}")


def ppo(*, model: str, reward: str, data: str, gold: str, ptx: str, out: Path, seed: int, resume: bool, settings: PPOSettings,
        count: int = 0, judge: str = "") -> dict[str, Any]:
    """PPO against a reward model, with a KL penalty against the model it starts from.

    `judge` names another judge to optimise; the value model still starts from the reward model.
    """
    from .feedback.reward_model import RewardModelJudge
    from .methods import ppo as method
    from .models.load import load_policy, load_reward_model, save_policy

    if not reward:
        raise UserError("ppo needs a reward model", remedy="--reward RUN, a run of `alignlab reward`")
    prompts = names.data(data, "prompt", seed=seed, count=count)
    texts = names.data(ptx, "text", seed=seed) if ptx and settings.ptx_coef else None
    run = _open("ppo", out, settings, seed, resume, models=[model, reward], data=[prompts, *([texts] if texts else [])], gold=gold, judge=judge)
    if run.done:
        return _done(run)
    policy = load_policy(names.model_path(model), settings.model, settings.adapter, trainable=True)
    reference = None if settings.adapter.rank else load_policy(names.model_path(model), settings.model)
    reward_path = names.model_path(reward)
    scorer = names.judge(judge) or RewardModelJudge(load_reward_model(reward_path, settings.model), normalise=settings.normalize_scores)
    value_model = load_reward_model(reward_path, settings.model, adapter=settings.adapter, trainable=True)
    rows = [policy.tokenizer(t.text)["input_ids"] for t in texts.records] if texts else None
    summary = method.train(run, policy, reference, value_model, prompts.records, settings, judge=scorer, gold=names.judge(gold), ptx_rows=rows, seed=seed)
    with writing(run.path):
        save_policy(policy, run.path / "checkpoint", card=_card("PPO", model, data, seed, summary))
    run.finish(summary)
    return _result(run, f"reward {summary['score_first']:.2f} -> {summary['score_last']:.2f}, KL {summary['kl_last']:.2f} nats a completion")


def best_of_n(*, model: str, reward: str, data: str, gold: str, out: Path, seed: int, resume: bool, settings: BestOfNSettings,
              count: int = 0) -> dict[str, Any]:
    """The best of N samples by the reward model, and proxy and gold against N."""
    from .feedback.reward_model import RewardModelJudge
    from .methods import best_of_n as method
    from .models.load import load_policy, load_reward_model

    if not reward:
        raise UserError("best-of-n needs a reward model", remedy="--reward RUN, a run of `alignlab reward`")
    prompts = names.data(data, "prompt", seed=0, count=count)  # as in evaluate: the same held-out prompts whatever the seed
    run = _open("best-of-n", out, settings, seed, resume, models=[model, reward], data=[prompts], gold=gold)
    if run.done:
        return _done(run)
    policy = load_policy(names.model_path(model), settings.model)
    judge = RewardModelJudge(load_reward_model(names.model_path(reward), settings.model))
    asked = _with_room(run, prompts.records, policy, settings.sampling)
    summary = method.run(run, policy, judge, names.judge(gold), asked, settings, seed=seed)
    run.finish(summary)
    return _result(run, f"score of one sample {_s(summary['proxy_one'])}, of the best of {settings.n} {_s(summary['proxy'])}")


def evaluate(*, model: str, data: str, judge: str, baseline: str, out: Path, seed: int, resume: bool, settings: EvalSettings,
             reference: str = "", completions: str = "") -> dict[str, Any]:
    """Held-out prompts answered greedily and at temperature 1, scored, and compared with a baseline prompt by prompt.

    `completions` names a best-of-n run whose picks are scored instead of the model's own answers.
    """
    from .evals import stage as method

    prompts = names.data(data, "prompt", seed=0, count=settings.prompts)
    if baseline:
        names.check_finished(baseline)
        if (stage := read_run(baseline).stage) != "eval":
            raise UserError(f"the baseline is a run of {stage}, not of eval", where=baseline, remedy="name a run of `alignlab eval` on the same prompts")
    run = _open("eval", out, settings, seed, resume, models=[model], data=[prompts], judge=judge, baseline=baseline, reference=reference,
                completions=completions)
    if run.done:
        return _done(run)
    found = names.judge(judge)
    if found is None:
        raise UserError("eval needs a judge", remedy="--judge town:gold, or reward:RUN")
    path = names.model_path(model)
    summary = method.run(run, path, prompts.records, found, settings, seed=seed, baseline=baseline,
                         reference=names.model_path(reference) if reference else "", completions=completions, bare=names.is_base(path))
    run.finish(summary)
    return _result(run, f"gold {_s(summary['gold'])} greedy" + (f", {_s(summary['gold_sampled'])} at temperature 1" if settings.sampled else ""))


def list_runs(*, folder: str) -> dict[str, Any]:
    """The runs below a folder, newest first."""
    found = find_runs(folder)
    rows = [{"run": str(info.path), "stage": info.stage, "status": info.status, "seed": info.seed, "seconds": info.seconds} for info in found]
    text = "\n".join(f"{row['status']:<8} {row['stage']:<10} {row['seconds']:>8.1f} s  {row['run']}" for row in rows) or f"no runs below {folder}"
    return {"runs": rows, "text": text}


def view(*, model: str, data: str, count: int) -> None:
    """Tokens and loss mask of the first rows, in colour."""
    from .data.view import show
    from .models.load import load_policy

    policy = load_policy(names.model_path(model), ModelSettings())
    show(names.data(data, "demonstration", count=count).records[:count], policy.tokenizer)


def _s(value: Any) -> str:
    """A rate with its interval, for people."""
    if isinstance(value, dict):
        if value["mean"] is None:
            return "unknown (nothing held out)"
        low, high = value["ci"]
        return f"{value['mean']:.3f} [{low:.3f}, {high:.3f}] (n = {value['n']})"
    return "-" if value is None else f"{value:.3f}"


def _card(method: str, model: str, data: str, seed: int, summary: dict[str, Any]) -> str:
    """The README of a model folder that a stage writes."""
    figures = "\n".join(f"- {key}: {value:.4g}" for key, value in summary.items() if isinstance(value, (int, float)) and not isinstance(value, bool))
    return f"# {method}\n\nMade by alignlab from `{model}` on `{data}`, seed {seed}.\n\n{figures}\n"
