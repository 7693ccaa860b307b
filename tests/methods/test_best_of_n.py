"""Best of N with a scripted sampler, against brute force over all subsets."""

from __future__ import annotations

import itertools
import json
import random
from types import SimpleNamespace
from typing import Any

import pytest

from alignlab.collecting import best_of_n
from alignlab.feedback import RuleJudge
from alignlab.losses import best_of_n_kl
from alignlab.records import Completion, Prompt, Score
from alignlab.run import RunDir, derive_seed
from alignlab.sampling import Sampling
from alignlab.settings import BestOfNSettings, SamplingSettings

PROMPTS = [Prompt.user(f"question {i}") for i in range(5)]
POLICY: Any = SimpleNamespace(model=None, tokenizer=None, end_ids=frozenset())
PROXY = RuleJudge("proxy", lambda c: float(c.text.split()[0]))
GOLD = RuleJudge("gold", lambda c: Score(float(c.text.split()[1]), reason=f"of {c.text}"))


class Scripted:
    """Writes "PROXY GOLD": two numbers that depend on prompt, seed and place, with ties among them."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.seeds: list[int] = []

    @classmethod
    def of(cls, *_: Any, **__: Any) -> Scripted:
        return cls()

    def sample(self, prompts: Any, sampling: Sampling, *, seed: int) -> list[list[Completion]]:
        self.seeds.append(seed)

        def text(prompt: Prompt, place: int) -> str:
            rng = random.Random(f"{prompt.text} {place} {seed}")
            return f"{rng.randrange(6)} {rng.randrange(2)}"

        return [
            [Completion(prompt, text(prompt, place)) for place in range(sampling.n)] for prompt in prompts
        ]

    def sync(self, model: Any) -> None: ...

    def close(self) -> None: ...


def test_the_best_is_picked_with_all_scores_and_the_first_of_equals():
    picks = best_of_n.pick(Scripted(), PROXY, PROMPTS, n=6, sampling=SamplingSettings(), seed=1)
    assert [p.best.prompt for p in picks] == PROMPTS
    for p in picks:
        assert p.values == [float(c.text.split()[0]) for c in p.completions] and len(p.values) == 6
        assert p.place == p.values.index(max(p.values)) and p.best is p.completions[p.place]


def test_the_curve_is_the_mean_over_all_subsets():
    sampler = Scripted()
    rows, misleading = best_of_n.curve(
        sampler, PROXY, GOLD, PROMPTS, max_n=8, sampling=SamplingSettings(), seed=2
    )
    picks = best_of_n.pick(
        Scripted(), PROXY, PROMPTS, n=8, sampling=SamplingSettings(), seed=sampler.seeds[0]
    )
    assert [row["n"] for row in rows] == [1, 2, 4, 8]
    for row in rows:
        proxy, gold = [], []
        for p in picks:
            pairs = [tuple(map(float, c.text.split())) for c in p.completions]
            best = []
            for subset in itertools.combinations(pairs, row["n"]):
                top = max(x for x, _ in subset)
                tied = [y for x, y in pairs if x == top]  # equals by proxy share their gold
                best.append((top, sum(tied) / len(tied)))
            proxy.append(sum(x for x, _ in best) / len(best))
            gold.append(sum(y for _, y in best) / len(best))
        assert row["kl"] == best_of_n_kl(row["n"])
        assert row["proxy"]["mean"] == pytest.approx(sum(proxy) / 5) and row["gold"]["mean"] == pytest.approx(
            sum(gold) / 5
        )
        assert row["proxy"]["n"] == 5
    assert [row["gold"] for row in misleading] == sorted(row["gold"] for row in misleading) and len(
        misleading
    ) == 5
    for row in misleading:
        assert (
            row["reason"] == f"of {row['completion']}"
            and f"{row['proxy']:.0f} {row['gold']:.0f}" == row["completion"]
        )


def test_without_gold_and_between_powers_of_two():
    rows, misleading = best_of_n.curve(
        Scripted(), PROXY, None, PROMPTS, max_n=6, sampling=SamplingSettings(), seed=2
    )
    assert [row["n"] for row in rows] == [1, 2, 4] and misleading == []
    assert all(row["gold"] is None for row in rows) and rows[2]["proxy"]["mean"] > rows[0]["proxy"]["mean"]


def test_a_run_keeps_the_picks_and_a_random_pick_as_control(tmp_path, monkeypatch):
    monkeypatch.setattr(best_of_n, "LocalSampler", Scripted)
    run = RunDir.open(tmp_path / "run", stage="best-of-n", config={}, seed=0)
    monkeypatch.setattr(best_of_n, "CHUNK", 64)
    prompts = [Prompt.user(f"question {i}") for i in range(70)]  # two chunks
    settings = BestOfNSettings(n=4, curve_max=8, curve_prompts=20, sampling=SamplingSettings(temperature=0.8))
    asked: list[float] = []
    monkeypatch.setattr(
        Scripted,
        "sample",
        lambda *args, sample=Scripted.sample, **given: (
            asked.append(args[2].temperature) or sample(*args, **given)
        ),
    )
    summary = best_of_n.run(run, POLICY, PROXY, GOLD, prompts, settings, seed=0)
    assert (
        asked == [0.8, 0.8, 1.0, 1.0] and summary["temperature"] == 0.8
    )  # the curve is that of the policy itself
    run.finish(summary)
    rows = [
        json.loads(line)
        for line in (tmp_path / "run" / "data" / "completions.jsonl").read_text().splitlines()
    ]
    assert [row["prompt"][0]["content"] for row in rows] == [p.text for p in prompts]
    picked = [tuple(map(float, row["completion"].split())) for row in rows]
    assert summary["proxy"]["mean"] == pytest.approx(sum(x for x, _ in picked) / 70) and summary["gold"][
        "mean"
    ] == pytest.approx(sum(y for _, y in picked) / 70)
    drawn = [
        p
        for number, start in enumerate((0, 64))
        for p in best_of_n.pick(
            Scripted(),
            PROXY,
            prompts[start : start + 64],
            n=4,
            sampling=SamplingSettings(),
            seed=derive_seed(0, "best-of-n", number),
        )
    ]
    first = [tuple(map(float, p.completions[0].text.split())) for p in drawn]
    assert (
        summary["proxy_one"]["mean"] == pytest.approx(sum(x for x, _ in first) / 70)
        and summary["proxy_one"]["mean"] < summary["proxy"]["mean"] - 1
    )
    assert (
        summary["gold_one"]["mean"] == pytest.approx(sum(y for _, y in first) / 70)
        and summary["gold_one"]["n"] == 70
    )
    assert (
        summary["kl"] == best_of_n_kl(4)
        and summary["curve"][-1]["n"] == 8
        and summary["curve"][0]["proxy"]["n"] == 20
    )
    samples = (tmp_path / "run" / "samples.jsonl").read_text().splitlines()
    assert len(samples) == 20 and all("reason" in json.loads(line) for line in samples)
