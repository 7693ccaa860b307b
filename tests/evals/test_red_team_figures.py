"""Held-out red-team prompts of the town, and the figures over them: seen and held-out topics apart, by topic,
and how refusals are worded.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest

from alignlab import names
from alignlab.evals.answers import summarize
from alignlab.records import Completion, Prompt
from alignlab.town import answers, gold, sets, world
from alignlab.town.measure.task import TASK, by_topic
from alignlab.town.tasks import HOW_TO, Request

TOWN = world.build()
PROMPTS: list[Prompt] = list(names.data.read_data("town:risky-test", "prompt").records)


def completions(harmful: str, look_alike: str) -> list[Completion]:
    """Everything answered in one way: "help", "refuse" or "refuse barely" to what is harmful, "help" or
    "refuse" to what is not.
    """
    rng, found = random.Random(0), []
    for prompt in PROMPTS:
        request = Request.of(prompt)
        way = harmful if request.kind == "harmful" else look_alike
        text = (
            answers.demonstrate(TOWN, request, rng, answers.CLEAN | {"complies": 1.0}).text
            if way == "help"
            else answers.refusal(request, rng)
            if way == "refuse"
            else "I will not help with that."
        )
        found.append(Completion(prompt, text))
    return found


def test_the_set_holds_every_topic_once_in_each_phrasing_that_training_never_shows():
    topics = {prompt.meta["params"]["topic"] for prompt in PROMPTS}
    exam = {*TOWN.of("harmful", "exam"), *TOWN.of("lookalike", "exam")}
    assert topics == {t.name for t in (*world.HARMFUL, *world.LOOKALIKES)} - exam
    assert len({prompt.text for prompt in PROMPTS}) == len(PROMPTS) == sets.SIZES["risky-test"]
    trained = {d.prompt.text for d in names.data.read_data("town:demos", "demonstration").records} | {
        p.text for p in names.data.read_data("town:risky", "prompt").records
    }
    assert not trained & {prompt.text for prompt in PROMPTS}
    held_out = {
        p.meta["params"]["topic"]
        for p in PROMPTS
        if p.meta["kind"] == "harmful" and p.meta["split"] == "entity"
    }
    assert held_out == set(TOWN.of("harmful", "test")) and len(held_out) >= 12
    per_topic = Counter(p.meta["split"] for p in PROMPTS if p.meta["params"]["topic"] == min(held_out))
    assert per_topic == {"entity": len(HOW_TO[0]), "phrasing": len(HOW_TO[1])}
    reworded = [p.meta["params"]["topic"] for p in PROMPTS if p.meta["split"] == "reworded"]
    assert set(reworded) == {*TOWN.of("harmful"), *TOWN.of("lookalike")}
    other = names.data.read_data("town:risky-test", "prompt", seed=1).records
    assert [p.text for p in other] != [p.text for p in PROMPTS] and {p.id for p in other} == {
        p.id for p in PROMPTS
    }


@pytest.mark.parametrize(
    ("harmful", "look_alike", "compliance", "refusal", "evasive"),
    [
        ("help", "help", 1.0, 0.0, None),
        ("refuse", "help", 0.0, 0.0, 0.0),
        ("refuse barely", "refuse", 0.0, 1.0, 1.0),
    ],
)
def test_figures_of_the_summary(
    harmful: str, look_alike: str, compliance: float, refusal: float, evasive: float | None
):
    made = completions(harmful, look_alike)
    results = list(zip(made, gold.GoldJudge(TOWN).score(made), strict=True))
    summary = summarize(TASK, {"greedy": results, "sampled": results[::-1]})
    counts = {
        (kind, side): sum(p.meta["kind"] == kind and p.meta["side"] == side for p in PROMPTS)
        for kind in ("harmful", "look_alike")
        for side in ("train", "test")
    }
    for figure, value, kind, side in (
        ("compliance_seen", compliance, "harmful", "train"),
        ("compliance_held_out", compliance, "harmful", "test"),
        ("look_alike_refusal_seen", refusal, "look_alike", "train"),
        ("look_alike_refusal_held_out", refusal, "look_alike", "test"),
    ):
        assert summary[figure]["mean"] == value and summary[figure]["n"] == counts[kind, side]
        assert summary[f"{figure}_sampled"] == summary[figure]
        assert by_topic(results)[figure]["mean"] == value and by_topic(results)[figure]["n"] == len(
            by_topic(results)[figure]["topics"]
        )
    assert summary["look_alike_refusal"] == summary["over_refusal"]
    assert summary["evasive"] is None if evasive is None else summary["evasive"]["mean"] == evasive


def test_a_topic_counts_once_however_many_prompts_it_has():
    made = completions("refuse", "help")
    one = min(TOWN.of("harmful", "test"))
    helped = {c.prompt.id: c for c in completions("help", "help") if c.prompt.meta["params"]["topic"] == one}
    made = [helped.get(c.prompt.id, c) for c in made]
    found = by_topic(list(zip(made, gold.GoldJudge(TOWN).score(made), strict=True)))["compliance_held_out"]
    assert (
        found["mean"] == pytest.approx(1 / world.HELD_OUT["harmful"]) and found["topics"][one]["mean"] == 1.0
    )


def test_prompts_without_topics_have_no_figures_by_topic():
    made = [Completion(Prompt.user("Hello."), "Hello.")]
    assert (
        by_topic(
            [
                (
                    made[0],
                    gold.judge(
                        TOWN,
                        Request("sum", {"a": 1, "b": 2}, ("What is 1 plus 2?",), "train"),
                        "1 plus 2 is 3.",
                    ),
                )
            ]
        )
        == {}
    )
