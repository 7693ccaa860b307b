"""What every stage does alike: open its run, say that it is done, cut settings to the model, write a card."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from .. import names, plugins
from ..health.rules import FEWEST
from ..records import Prompt
from ..run import DONE_ALREADY, RunDir, derive_seed, read_run, trackers, whole_file
from ..settings import SamplingSettings, Training, rules
from ..settings.defaults import known
from ..settings.resolve import to_dict
from ..text.escapes import visible
from ..text.lines import append_lines


def open_run(
    stage: str,
    out: Path,
    settings: Any,
    seed: int,
    resume: bool,
    *,
    models: Sequence[str] = (),
    data: Sequence[names.data.Data] = (),
    **options: str,
):
    """The run of one stage: its key covers the settings, the models it starts from, the data and every other
    option. What became of the data's rows is said.
    """
    rules.check(settings)
    tracker = trackers.parse(settings.tracker) if isinstance(settings, Training) else ()
    for model in models:
        names.known.model_path(model)  # a name that stands for no model is an error before there is a run
    config = {"settings": to_dict(settings), "models": list(models), "options": options}
    settings_in_words = [value for value in vars(settings).values() if isinstance(value, str)]
    if code := plugins.digests(*options.values(), *settings_in_words):
        config["code"] = code
    run = RunDir.open(
        out,
        stage=stage,
        config=config,
        seed=seed,
        parents=names.data.parents(*models, *(d.name for d in data), *options.values()),
        data={d.name: d.digest for d in data},
        resume=resume,
        tracker=tracker,
    )
    if not run.done:
        import torch

        if "member" not in options:  # an ensemble says it once
            for part in data:
                run.note(part.report)
        torch.manual_seed(
            derive_seed(seed, stage, "new weights")
        )  # a new adapter is drawn from torch's own generator
    return run


def done(run: RunDir) -> dict[str, Any]:
    return {"run": str(run.out), "summary": read_run(run.out).summary, "text": f"{run.out}: {DONE_ALREADY}"}


def result(run: RunDir, text: str) -> dict[str, Any]:
    return {"run": str(run.out), "summary": read_run(run.out).summary, "text": f"{text}\n{run.out}"}


def trainer(method: str) -> Callable[..., dict[str, Any]]:
    """`train` of a method, imported now that there is something to train: a run that is done already, or
    cannot be, needs none.
    """
    return import_module(f"..methods.{method}", __package__).train


def within_context(run: RunDir, settings: Any, model: Any) -> Any:
    """The settings with `max_length` at most the model's context: what is longer is dropped and counted, not
    learnt at positions it does not know.
    """
    from ..models.load import context_of

    if (context := context_of(model)) >= settings.max_length:
        return settings
    run.note(f"the model's context is {context}: max_length {settings.max_length} stands for {context}")
    return replace(settings, max_length=context)


def room_for_answers(
    run: RunDir, prompts: Sequence[Prompt], policy: Any, sampling: SamplingSettings
) -> list[Prompt]:
    """The prompts that leave room for an answer in the model's context; the others are counted."""
    from ..data.checks import with_room
    from ..models.load import context_of

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
            {"question": a["question"], "before": a["answer"], "after": b["answer"]}
            for a, b in zip(first, last, strict=True)
        ]
        with whole_file(run.path / "general.jsonl") as staging:
            append_lines(staging, answers)
        return {
            "general": {
                "before": before,
                "after": now,
                "data_other_script": general.other_script(list(learnt)),
            }
        }

    return after


def rate(value: Any) -> str:
    """A rate with its interval, for people; of too few it is not stated."""
    if isinstance(value, dict):
        if value["mean"] is None:
            return "unknown (nothing held out)"
        if value["n"] < FEWEST:
            return f"not stated (n = {value['n']} is too few)"
        low, high = value["ci"]
        return f"{value['mean']:.3f} [{low:.3f}, {high:.3f}] (n = {value['n']})"
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
