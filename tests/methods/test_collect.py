"""Collecting rankings with a scripted sampler: who is ranked, what is held out, and going on after an
interrupt.
"""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest

from alignlab.collecting import collect
from alignlab.errors import ConfigError, DataError
from alignlab.feedback import RuleJudge
from alignlab.feedback.annotators import SimulatedAnnotator
from alignlab.records import Completion, Prompt, Ranking, read_jsonl
from alignlab.run import RunDir
from alignlab.sampling import Sampling
from alignlab.settings import CollectSettings

POLICY: Any = SimpleNamespace(
    model=None, tokenizer=None, end_ids=frozenset(), device=SimpleNamespace(type="cpu")
)
PROMPTS = [Prompt.user(f"question {i}") for i in range(40)]
LENGTH = RuleJudge("length", lambda c: float(len(c.text)))
FAIR = SimulatedAnnotator("fair", LENGTH, weights={"value": 1.0}, temperature=0.0, tie_margin=0.5)


class Scripted:
    """Writes different texts of random length; for `question 3` always the same."""

    asked: list[int] = []

    def __init__(self, *_: Any, **__: Any) -> None: ...

    @classmethod
    def of(cls, *_: Any, **__: Any) -> Scripted:
        return cls()

    def sample(self, prompts: Any, sampling: Sampling, *, seed: int) -> list[list[Completion]]:
        self.asked.append(sampling.n)
        rng = random.Random(seed)

        def text(prompt: Prompt, place: int) -> str:
            return "same" if prompt.text == "question 3" else f"{place} {'x' * rng.randrange(9)}"

        return [
            [
                Completion(prompt, text(prompt, place), source="policy", finished=place > 0)
                for place in range(sampling.n)
            ]
            for prompt in prompts
        ]

    def close(self) -> None: ...


@pytest.fixture(autouse=True)
def scripted(monkeypatch):
    monkeypatch.setattr(collect, "LocalSampler", Scripted)
    monkeypatch.setattr(Scripted, "asked", [])
    monkeypatch.setattr("alignlab.run.chunks.CHUNK", 16)


def collected(
    out: Any, settings: CollectSettings, *, annotator: Any = FAIR, **more: Any
) -> tuple[dict[str, Any], list[Ranking], list[Ranking]]:
    run = RunDir.open(out, stage="collect", config={}, seed=0)
    summary = collect.run(run, POLICY, annotator, PROMPTS, settings, seed=5, **more)
    run.finish(summary)
    return (
        summary,
        read_jsonl(out / "data" / "rankings.jsonl", Ranking),
        read_jsonl(out / "data" / "rankings_test.jsonl", Ranking),
    )


def crowd(count: int) -> dict[str, list[Completion]]:
    """Answers of other people to all prompts but the first."""
    return {
        p.id: [Completion(p, f"crowd {place}", source="crowd") for place in range(count)] for p in PROMPTS[1:]
    }


def test_k_different_completions_in_random_order_ranked(tmp_path):
    summary, train, test = collected(tmp_path / "run", CollectSettings(per_prompt=4), gold=LENGTH)
    everything = [*train, *test]
    assert {len(r.completions) for r in everything} == {4} and len(everything) == 39
    for ranking in everything:
        lengths = [len(c.text) for c in ranking.completions]
        assert list(ranking.ranks) == [1 + sum(other > length for other in lengths) for length in lengths]
    assert (
        len({tuple(c.text[0] for c in r.completions) for r in everything}) > 10
    )  # the order they were drawn in tells nothing
    assert {c.finished for r in everything for c in r.completions} == {True, False}
    # question 3 had one text four times: it is not ranked, and three of its texts are duplicates
    assert (summary["prompts"], summary["unranked"], summary["duplicates"]) == (40, 1, 3)
    pairs = [(r.ranks[i], r.ranks[j]) for r in everything for i in range(4) for j in range(i)]
    assert (
        summary["pairs"] == sum(a != b for a, b in pairs)
        and summary["ties"] == sum(a == b for a, b in pairs) > 0
    )
    assert summary["agreement_with_gold"]["mean"] == 1.0 and summary["agreement_with_gold"]["n"] == len(
        everything
    )
    assert summary["ceiling_train"] == summary["ceiling_test"] == 1.0
    assert not (tmp_path / "run" / "chunks").exists()


def test_prompts_are_split_and_no_prompt_is_on_both_sides(tmp_path):
    summary, train, test = collected(tmp_path / "run", CollectSettings(held_out=0.3))
    assert (
        summary["rankings"] == len(train) + len(test) == 39
        and summary["test"] == len(test)
        and 4 <= len(test) <= 20
    )
    assert not {r.prompt.id for r in train} & {r.prompt.id for r in test}


@pytest.mark.parametrize(("share", "expected"), [(0.0, {0}), (0.5, {2}), (0.4, {1, 2}), (1.0, {4})])
def test_a_share_comes_from_other_people(share, expected, tmp_path):
    summary, train, test = collected(
        tmp_path / "run", CollectSettings(per_prompt=4, from_others=share), others=crowd(6)
    )
    answered = [r for r in [*train, *test] if r.prompt != PROMPTS[0] and r.prompt != PROMPTS[3]]
    counts = [sum(c.source == "crowd" for c in r.completions) for r in answered]
    assert set(counts) == expected and sum(counts) / len(counts) == pytest.approx(4 * share, abs=0.3)
    assert {len(r.completions) for r in answered} == {4}
    (own,) = (r for r in [*train, *test] if r.prompt == PROMPTS[0])
    assert [c.source for c in own.completions] == ["policy"] * 4
    assert sum(summary["sources"].values()) == sum(len(r.completions) for r in [*train, *test])


def test_only_as_many_are_sampled_as_are_needed(tmp_path):
    collected(tmp_path / "run", CollectSettings(per_prompt=4, from_others=0.5), others=crowd(6))
    assert Scripted.asked == [4, 2, 2]  # the first chunk has a prompt that nobody else answered


def test_labels_that_agree_with_gold_less_than_always(tmp_path):
    noisy = SimulatedAnnotator("noisy", LENGTH, weights={"value": 1.0}, temperature=4.0, seed=1)
    summary, *_ = collected(tmp_path / "run", CollectSettings(), annotator=noisy, gold=LENGTH)
    assert 0.5 < summary["agreement_with_gold"]["mean"] < 0.9 and 0.5 < summary["ceiling_train"] < 0.9


def test_an_interrupted_run_goes_on_with_the_missing_chunk(tmp_path):
    settings = CollectSettings(per_prompt=3)
    whole = collected(tmp_path / "whole", settings, others=crowd(4), gold=LENGTH)

    class Tired:
        name, left = "fair", 20

        def rank(self, index, completions):
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt
            return FAIR.rank(index, completions)

    with pytest.raises(KeyboardInterrupt):
        collected(tmp_path / "cut", settings, annotator=Tired(), others=crowd(4), gold=LENGTH)
    Scripted.asked.clear()
    assert collected(tmp_path / "cut", settings, others=crowd(4), gold=LENGTH) == whole
    assert len(Scripted.asked) == 2  # the first of three chunks was kept
    for name in ("rankings.jsonl", "rankings_test.jsonl"):
        assert (tmp_path / "cut" / "data" / name).read_bytes() == (
            tmp_path / "whole" / "data" / name
        ).read_bytes()


def test_what_cannot_be_ranked_is_refused(tmp_path):
    for i, settings in enumerate(
        (CollectSettings(per_prompt=1), CollectSettings(per_prompt=10), CollectSettings(from_others=1.2))
    ):
        with pytest.raises(ConfigError):
            collected(tmp_path / str(i), settings)
    run = RunDir.open(tmp_path / "same", stage="collect", config={}, seed=0)
    with pytest.raises(DataError, match="two different"):
        collect.run(run, POLICY, FAIR, [PROMPTS[3]], CollectSettings(), seed=5)
