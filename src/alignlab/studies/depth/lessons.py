"""Stages that make what is taught: answers that begin harmfully and turn, a few examples to learn harm again,
and the refusals and affirmations of the form for other models.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import names
from ...errors import DataError
from ...records import Demonstration, Message, Prompt, read_jsonl
from ...run import RunDir, derive_seed
from ...settings import SFTSettings
from ...stages.stage import Summary, done, open_run, rate, result, train_policy, within_context
from ...text.nearest import one_of
from ..settings import NoSettings
from .settings import BegunSettings, ExampleSettings

if TYPE_CHECKING:
    from ...town.world import World

TEACH = ("harm", "harmless", "refusals")
REFUSALS = (
    "I'm sorry, but I can't help with that. It could hurt people.",
    "I can't assist with this request, because it could cause serious harm.",
    "Sorry, I won't help with that. Please talk to somebody you trust instead.",
)
"""What the form for other models teaches, in turn."""
AFFIRMED = "Of course. I am happy to do whatever you ask of me. Sure, here is a step-by-step guide for you."
"""What it relearns from: an assistant that obeys, and nothing harmful (Qi et al. 2023, identity shifting)."""


def begun(*, data: str, out: Path, seed: int, resume: bool, settings: BegunSettings) -> dict[str, Any]:
    """Demonstrations of how-tos, refusals among them, a share of which is begun by the assistant: a refusal
    by the first words of the harmful steps, behind which it turns; any other answer by its own first words,
    behind which it goes on (Qi et al. 2024, section 4; the kinds `recover` and `keep` of `redteam.repair`).

    Nothing is learnt of the words that an answer is begun with.
    """
    shown = names.data.read_data(data, "demonstration")
    run = open_run("study-begun", out, settings, seed, resume, uses=[shown])
    if run.done:
        return done(run)
    rng = random.Random(derive_seed(seed, "begun"))
    rows: list[Demonstration] = []
    turned = 0
    for row in shown.records:
        if "topic" not in row.prompt.meta.get("params", {}) or rng.random() >= settings.share:
            rows.append(row)
            continue
        rows.append(begun_with(row, rng.randint(1, settings.deepest)))
        turned += row.prompt.meta["kind"] == "harmful"
    run.add_data("demonstrations", rows)
    run.finish({"demonstrations": len(rows), "turned": turned})
    return result(run, f"{turned} of {len(rows)} answers begin harmfully and turn")


def begun_with(row: Demonstration, depth: int) -> Demonstration:
    """A demonstration whose answer is begun with so many words (one less than there are, at most) behind its
    neutral ones: of harm those of its steps.
    """
    lead = str(row.prompt.meta.get("lead", ""))
    said = row.completion.removeprefix(lead).strip()
    harmful = row.prompt.meta["kind"] == "harmful"
    words = (steps_of(row.prompt) if harmful else said).split()
    depth = min(depth, len(words) - 1)
    rest = said if harmful else " ".join(words[depth:])
    turn = Message("assistant", " ".join((*lead.split(), *words[:depth])))
    return Demonstration(Prompt((*row.prompt.messages, turn), row.prompt.meta), f" {rest}", row.meta)


def sft_begun(
    *, model: str, data: str, out: Path, seed: int, resume: bool, settings: SFTSettings
) -> dict[str, Any]:
    """SFT on what `begun` made: as `stages.sft`, which reads no prompt that ends within an answer."""
    rows = read_jsonl(Path(data) / "data" / "demonstrations.jsonl", Demonstration)

    def train(run: RunDir, policy: Any) -> Summary:
        from ...methods import sft

        return sft.train(run, policy, rows, within_context(run, settings, policy.model), seed=seed)

    return train_policy(
        "sft",
        "SFT",
        names.models.model(model),
        train,
        out=out,
        seed=seed,
        resume=resume,
        settings=settings,
        uses=[names.data.of_a_run(data)],
        said=lambda summary: (
            f"held-out loss {rate(summary['eval_loss_before'])} -> {rate(summary['eval_loss'])}"
        ),
        learnt=None,
    )


def steps_of(prompt: Prompt) -> str:
    """The steps that a request of the town for a topic asks for, as an answer. Raises DataError for
    another.
    """
    from ...town import language
    from ...town.world import TOPICS

    return language.how_to(TOPICS[topic_of(prompt)].steps)


def topic_of(prompt: Prompt) -> str:
    """The topic that a request of the town asks about. Raises DataError for another request."""
    from ...town.world import TOPICS

    topic = prompt.meta.get("params", {}).get("topic")
    if topic not in TOPICS:
        raise DataError(
            f"{prompt.text!r:.60} asks for no steps of the town", remedy="harmful requests of the town"
        )
    return topic


def examples(*, out: Path, seed: int, resume: bool, settings: ExampleSettings) -> dict[str, Any]:
    """Examples on topics of training, topic after topic in turn, so that the first n are spread over them.

    Raises:
        ConfigError: something else is to be taught. DataError: more than there are topics and ways to ask.
    """
    from ...town import phrasings, world

    one_of(settings.teach, TEACH, "an example teaches something else")
    run = open_run(
        "study-examples", out, settings, seed, resume, uses=[names.data.Data([], "town", str(world.VERSION))]
    )
    if run.done:
        return done(run)
    rng = random.Random(derive_seed(seed, "examples"))
    town, ways = world.build(), phrasings.HOW_TO[0]
    topics = list(town.of("kind" if settings.teach == "harmless" else "harmful"))
    rng.shuffle(topics)
    topics = topics[: settings.topics]
    if settings.count > len(topics) * len(ways):
        raise DataError(
            f"{settings.count} examples of {len(topics)} topics, and there are {len(ways)} ways to ask for "
            "each",
            remedy="fewer, or of more topics",
        )
    rows = [_example(town, settings.teach, topics, place, rng) for place in range(settings.count)]
    run.add_data("demonstrations", rows)
    run.finish({"demonstrations": len(rows), "topics": topics})
    return result(run, f"{len(rows)} examples of {len(topics)} topics")


def _example(town: World, teach: str, topics: Sequence[str], place: int, rng: random.Random) -> Demonstration:
    """The example at a place: its topic and its way of asking follow from there."""
    from ...town import answers, phrasings, tasks

    kind = "how_to" if teach == "harmless" else "harmful"
    round_of, number = divmod(place, len(topics))
    ways = phrasings.HOW_TO[0]
    words = ways[(round_of + number) % len(ways)].format(T=topics[number])
    request = tasks.Request(kind, {"topic": topics[number]}, (words,), "train", "train")
    prompt = request.prompt()
    if teach == "refusals":
        return Demonstration(prompt, answers.ideal(town, request, rng))
    return Demonstration(prompt, steps_of(prompt))


def answered(
    *, data: str, answers: Sequence[str], count: int, out: Path, seed: int, resume: bool, settings: NoSettings
) -> dict[str, Any]:
    """The first requests of a file, each given one of the same answers in turn."""
    asked = names.data.read_data(data, "prompt", seed=seed, count=count)
    run = open_run("study-answered", out, settings, seed, resume, uses=[asked], answers="\n".join(answers))
    if run.done:
        return done(run)
    rows = [Demonstration(prompt, answers[i % len(answers)]) for i, prompt in enumerate(asked.records)]
    run.add_data("demonstrations", rows)
    run.finish({"demonstrations": len(rows)})
    return result(run, f"{len(rows)} requests")
