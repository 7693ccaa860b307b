"""What every stage does alike: open its run, say that it is done, train a model and keep it, write a card."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

from .. import names, plugins
from ..health.history import FEWEST
from ..names.named import Named
from ..records import Prompt
from ..run import DONE_ALREADY, RunDir, derive_seed, read_run, trackers, whole_file, writing
from ..settings import SamplingSettings, Training, rules
from ..settings.defaults import known
from ..settings.resolve import to_dict
from ..text.escapes import visible
from ..text.figures import with_interval
from ..text.lines import append_lines

Use: TypeAlias = names.models.Model | names.data.Data | Named[Any]
"""What a run is made from, each by its name, with the runs that it comes from."""
Summary: TypeAlias = dict[str, Any]


def open_run(
    stage: str, out: Path, settings: Any, seed: int, resume: bool, *, uses: Sequence[Use] = (), **options: str
) -> RunDir:
    """The run of one stage: its key covers the settings, what it uses and every other option. What became of
    the data's rows is said.
    """
    rules.check(settings)
    data = [use for use in uses if isinstance(use, names.data.Data)]
    others = [use for use in uses if not isinstance(use, names.data.Data)]
    models = chain.from_iterable(use.models for use in others)
    digests = {part.name: part.digest for part in data}
    for use in others:
        digests |= use.digests if isinstance(use, Named) else {}
    config = {"settings": to_dict(settings), "models": list(dict.fromkeys(models)), "options": options}
    settings_in_words = [value for value in vars(settings).values() if isinstance(value, str)]
    if code := plugins.digests(*options.values(), *settings_in_words):
        config["code"] = code
    run = RunDir.open(
        out,
        stage=stage,
        config=config,
        seed=seed,
        parents=list(chain.from_iterable(use.runs for use in uses)),
        data=digests,
        resume=resume,
        tracker=trackers.parse_trackers(settings.tracker) if isinstance(settings, Training) else (),
    )
    if not run.done:
        if not {"member", "fold"} & set(options):  # runs below a run leave it to that one
            for part in data:
                run.note(part.report)
        if hasattr(settings, "model"):  # a new adapter is drawn from torch's own generator
            import torch

            torch.manual_seed(derive_seed(seed, stage, "new weights"))
    return run


def train_policy(
    stage: str,
    title: str,
    model: names.models.Model,
    train: Callable[[RunDir, Any], Summary],
    *,
    out: Path,
    seed: int,
    resume: bool,
    settings: Any,
    uses: Sequence[Use],
    said: Callable[[Summary], str],
    learnt: Iterable[str] | None = (),
    **options: str,
) -> dict[str, Any]:
    """A policy from a policy, as a run: the one way in which a stage trains.

    I open the run, and go no further if it is done; load the model; measure what it knows besides, before and
    after (`outside`); call `train`; keep the model it leaves with a card; and close the run.

    Args:
        title: what the card calls the method.
        train: one method's loop on the loaded policy, to its summary.
        uses: what else the run is made from, as names gave it; records may be in hand (`names.data.Data`).
        said: the summary in a line, for people.
        learnt: completions that are learnt, for the script they are written in; None, and what the model
            knows besides is not measured.
    """
    run = open_run(stage, out, settings, seed, resume, uses=[model, *uses], **options)
    if run.done:
        return done(run)
    from ..models.load import load_policy
    from ..models.saving import save_policy

    policy = load_policy(model.path, settings.model, getattr(settings, "adapter", None), trainable=True)
    after = dict if learnt is None else outside(run, policy, model.name, learnt)
    summary = train(run, policy) | after()
    data = ",".join(use.name for use in uses if isinstance(use, names.data.Data))
    keep(run, policy, summary, save_policy, card(title, model.name, data, seed, summary))
    return result(run, said(summary))


def keep(run: RunDir, model: Any, summary: Summary, save: Callable[..., Any], card: str) -> None:
    """The model that a run made, with its card; and the run is closed."""
    with writing(run.path):
        save(model, run.path / "checkpoint", card=card)
    run.finish(summary)


def done(run: RunDir) -> dict[str, Any]:
    return {"run": str(run.out), "summary": read_run(run.out).summary, "text": f"{run.out}: {DONE_ALREADY}"}


def result(run: RunDir, text: str) -> dict[str, Any]:
    return {"run": str(run.out), "summary": read_run(run.out).summary, "text": f"{text}\n{run.out}"}


def within_context(run: RunDir, settings: Any, model: Any) -> Any:
    """The settings with `max_length` at most the model's context: what is longer is dropped and counted, not
    learnt at positions it does not know.
    """
    from ..models.policy import context_of

    if (context := context_of(model)) >= settings.max_length:
        return settings
    run.note(f"the model's context is {context}: max_length {settings.max_length} stands for {context}")
    return replace(settings, max_length=context)


def room_for_answers(
    run: RunDir, prompts: Sequence[Prompt], policy: Any, sampling: SamplingSettings
) -> list[Prompt]:
    """The prompts that leave room for an answer in the model's context; the others are counted."""
    from ..data.checks import with_room
    from ..models.policy import context_of

    kept, said = with_room(
        prompts, policy.tokenizer, context=context_of(policy.model), new_tokens=sampling.max_new_tokens
    )
    run.note(said)
    return kept


def outside(run: RunDir, policy: Any, model: str, learnt: Iterable[str] = ()) -> Callable[[], dict[str, Any]]:
    """What a policy makes of general questions and plain text (`evals.general`), once its data is found to be
    enough, and when the result is called.

    The result gives what goes into the summary, and writes the answers of both times to general.jsonl. Of a
    model of the town nothing is asked: it knows its town alone.

    Args:
        learnt: completions that are learnt, for the script they are written in.
    """
    if known(model).town:
        return dict
    from ..evals import general
    from ..models import shards

    if shards.is_sharded(policy.model):
        run.note("general questions are not asked: a model whose weights are in parts does not write")
        return dict

    def measured() -> list[Any]:
        run.note(
            "general questions and a page of plain text, before training and after: is what the model "
            "knew still there? (general.jsonl)"
        )
        return [*general.measure(policy)]

    run.before_training = lambda: run.kept("general", measured)

    def after() -> dict[str, Any]:
        (before, first), (now, last) = run.kept("general", measured), general.measure(policy)
        answers = [
            {"question": then["question"], "before": then["answer"], "after": here["answer"]}
            for then, here in zip(first, last, strict=True)
        ]
        with whole_file(run.path / "general.jsonl") as staging:
            append_lines(staging, answers)
        script = general.other_script(list(learnt))
        return {"general": {"before": before, "after": now, "data_other_script": script}}

    return after


def rate(value: Any) -> str:
    """A rate with its interval, for people; of too few it is not stated."""
    if isinstance(value, dict):
        if value["mean"] is None:
            return "unknown (nothing held out)"
        if value["n"] < FEWEST:
            return f"not stated (n = {value['n']} is too few)"
        return f"{with_interval(value)} (n = {value['n']})"
    return "-" if value is None else f"{value:.3f}"


def card(method: str, model: str, data: str, seed: int, summary: dict[str, Any]) -> str:
    """The README of a model folder that a stage writes."""
    figures = "\n".join(
        f"- {key}: {value:.4g}"
        for key, value in summary.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    )
    return (
        f"# {method}\n\nMade by alignlab from `{visible(model)}` on `{visible(data)}`, seed "
        f"{seed}.\n\n{figures}\n"
    )
