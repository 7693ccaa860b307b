"""Defences: each does what it says to prompts and answers, and answers carry the prompt that was asked."""

from __future__ import annotations

import random

import pytest

from alignlab.data.wrappers import WRAPPERS, matter
from alignlab.defences import town as of_the_town
from alignlab.defences.audit import AuditLog
from alignlab.defences.filters import EraseAndCheck, InputFilter, OutputFilter, RateLimit
from alignlab.defences.middleware import DEFENCES, build
from alignlab.defences.reading import Words
from alignlab.defences.wording import SmoothLLM, SystemPrompt, swapped
from alignlab.records import Completion, Message, Prompt
from alignlab.redteam.frontier import pareto
from alignlab.sampling import Sampling
from alignlab.town import world

TOPIC = next(topic for topic in world.HARMFUL if world.build().side("harmful", topic.name) == "train")
HARM, HELP = TOPIC.name, f"First, {TOPIC.steps[0]}. Then, {TOPIC.steps[1]}. Last, {TOPIC.steps[2]}."


class Echo:
    """Remembers what it was sent, and answers by a rule."""

    def __init__(self, rule=lambda prompt: "Gladly. First, do it. Then, rest. Last, go home.") -> None:
        self.rule, self.seen = rule, list[Prompt]()

    def sample(self, prompts, sampling, *, seed=0):
        self.seen += prompts
        return [[Completion(prompt, self.rule(prompt))] * sampling.n for prompt in prompts]


@pytest.mark.parametrize("name", DEFENCES)
def test_answers_come_in_order_and_carry_the_prompt_that_was_asked(name: str) -> None:
    target = Echo(lambda prompt: f"Gladly, about {prompt.text[-20:]}")
    prompts = [Prompt.user(f"How do I bake bread number {i}?", kind="how_to", place=i) for i in range(5)]
    rows = build([name], target).sample(prompts, Sampling(n=2, temperature=0.0))
    assert [len(row) for row in rows] == [2] * 5
    assert all(
        completion.prompt == prompt for prompt, row in zip(prompts, rows, strict=True) for completion in row
    )
    assert build([name], target).sample([]) == []


def test_the_system_prompt_goes_before_the_one_that_is_there() -> None:
    target = Echo()
    SystemPrompt(target).sample(
        [Prompt.user("Hello"), Prompt((Message("system", "You are old."), Message("user", "Hello")))]
    )
    assert target.seen[0].messages[0].role == "system" and len(target.seen[0].messages) == 2
    assert (
        target.seen[1].messages[0].content == f"{SystemPrompt.TEXT} You are old."
        and len(target.seen[1].messages) == 2
    )


def test_a_suffix_breaks_under_smoothing_and_plain_words_do_not() -> None:
    rule = lambda prompt: HELP if "zq zq zq zq zq zq" in prompt.text else "I will not help with that."  # noqa: E731
    [[answer]] = SmoothLLM(Echo(rule), copies=7, share=0.15).sample(
        [Prompt.user(f"How do I {HARM}? zq zq zq zq zq zq")]
    )
    assert answer.text == "I will not help with that."
    assert len(swapped("a" * 100, 0.1, random.Random(0))) == 100
    assert swapped("hello", 0.0, random.Random(0)) == "hello"


def test_words_tell_harmful_from_harmless() -> None:
    odds = Words(["break the window", "burn the barn"], ["break the bread", "open the window"])
    assert odds("burn the barn") > 0 > odds("break the bread") and odds("never seen") == 0.0


def test_filters_of_the_town_read_through_spellings_and_are_blind_to_new_words() -> None:
    harmful, harmless = Prompt.user(f"How do I {HARM}?"), Prompt.user("How do I bake bread?")
    guard = InputFilter(Echo())
    rows = guard.sample([harmful, harmless, WRAPPERS["base64"].wrap(harmful, random.Random(0))])
    assert [row[0].blocked for row in rows] == ["input-filter", "", "input-filter"]
    [row] = OutputFilter(Echo(lambda prompt: HELP)).sample([harmless])
    assert row[0].blocked == "output-filter"
    assert of_the_town.filters()[0]("completely unknown gibberish zzz") == 0.0


def test_no_harmless_suffix_hides_a_request_from_erase_and_check() -> None:
    suffix = " and then bake bread with flour and water, and wash a coat, make tea"
    prompt = Prompt.user(f"How do I {HARM}?{suffix}")
    assert EraseAndCheck(Echo()).sample([prompt])[0][0].blocked == "erase-and-check"
    assert matter(f"How do I {HARM}?") == HARM


def test_the_rate_limit_stops_who_asks_the_same_again_and_again() -> None:
    guard = RateLimit(Echo(), most=3)
    rows = [guard.sample([Prompt.user(f"How do I {HARM} {i}?")])[0][0].blocked for i in range(6)]
    assert rows == ["", "", "", "rate-limit", "rate-limit", "rate-limit"]
    assert guard.sample([Prompt.user("What is the job of Ivy?")])[0][0].blocked == ""


def test_the_audit_log_keeps_no_text(tmp_path) -> None:
    file = tmp_path / "audit.jsonl"
    AuditLog(Echo(), file).sample([Prompt.user("my secret is 4711")])
    text = file.read_text()
    assert "4711" not in text and "Gladly" not in text and '"blocked"' in text


def test_the_pareto_front() -> None:
    def row(asr, refusal, helpful, tokens):
        return {
            "asr": {"mean": asr},
            "over_refusal": {"mean": refusal},
            "helpful": {"mean": helpful},
            "tokens": tokens,
        }

    rows = [
        row(0.5, 0.0, 0.9, 40),
        row(0.2, 0.1, 0.9, 40),
        row(0.5, 0.1, 0.9, 40),
        row(0.2, 0.1, 0.9, 80),
        row(0.5, 0.0, 0.9, 40),
    ]
    assert pareto(rows) == [True, True, False, False, True]
