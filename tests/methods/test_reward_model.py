"""The reward model: its loss by hand, what it learns, how it is measured, and that a reloaded one scores the
same.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from alignlab.errors import DataError, GuardStop
from alignlab.evals import preference
from alignlab.feedback import RuleJudge
from alignlab.feedback.reward_model import RewardModelJudge
from alignlab.methods import reward_model as method
from alignlab.models.label_noise import Labels
from alignlab.models.load import load_reward_model
from alignlab.models.policy import RewardModel
from alignlab.models.saving import save_reward_model
from alignlab.records import Comparison, Completion, Prompt, Ranking
from alignlab.run import RunDir, read_run
from alignlab.settings import AdapterSettings, ModelSettings, OptimSettings, RewardSettings

OpenRun = Callable[..., RunDir]
WORTH = {"zz": 2.0, "mm": 1.0, "aa": 0.7}
"""What the planted annotator likes: an answer is worth its middle."""
GOLD = RuleJudge("planted", lambda c: next(worth for part, worth in WORTH.items() if part in c.text))


def ranking(i: int, ranks: tuple[int, ...] = (1, 2, 3)) -> Ranking:
    prompt = Prompt.user(f"number {i}?")
    filler = "the quick brown fox"[i % 7 : i % 7 + 6]
    return Ranking(
        prompt, tuple(Completion(prompt, f"{filler} {part} {filler[::-1]}") for part in WORTH), ranks
    )


RANKINGS = [ranking(i) for i in range(60)]
SIGMOID = Labels(RewardSettings(), [])  # assumes nothing: the sigmoid of the margin
SETTINGS = RewardSettings(epochs=3, batch=8, held_out=0.25, max_length=64, optim=OptimSettings(lr=3e-3))


@pytest.fixture
def fresh(base: Path) -> RewardModel:
    return load_reward_model(base, ModelSettings(), init_head=True, trainable=True)


def test_it_learns_a_planted_preference_on_held_out_prompts(fresh: RewardModel, open_run: OpenRun):
    probes = [
        Comparison(Prompt.user("number 99?"), f"fox {good} fox", f"fox {bad} fox", meta={"probe": name})
        for name, good, bad in (
            ("as planted", "zz", "aa"),
            ("the other way", "aa", "zz"),
            ("as planted", "mm", "aa"),
        )
    ]
    run = open_run()
    summary = method.train(
        run, fresh, RANKINGS, SETTINGS, seed=0, annotator_ceiling=0.9, gold=GOLD, probes=probes
    )
    run.finish(summary)
    assert summary["held_out"] >= 8 and summary["rankings"] + summary["held_out"] == len(RANKINGS)
    assert (
        summary["accuracy"]["mean"] > 0.9
        and summary["accuracy"]["n"] == summary["n"] == summary["held_out"]
        and summary["test_pairs"] == 3 * summary["held_out"]
    )
    assert summary["length_floor"]["mean"] == 0.5  # equal lengths
    assert summary["ceiling"] == 0.9 and 0 <= summary["ece"] < 0.5
    assert summary["gold_accuracy"] == summary["accuracy"]  # the labels are gold here
    assert (
        summary["gold_accuracy_big"]["n"] == summary["held_out"]
    )  # of 2, 1 and 0.7 two pairs differ by one half
    assert summary["probes"]["as planted"]["mean"] == 1 and summary["probes"]["the other way"]["mean"] == 0
    assert (
        sum(summary["margins"]["counts"])
        == sum(row["n"] for row in summary["reliability"])
        == summary["test_pairs"]
    )
    json.dumps(summary, allow_nan=False)
    rows = read_run(run.out).metrics
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"] and rows[-1]["margin"] > rows[0]["margin"]
    assert set(rows[0]) == {
        "step",
        "loss",
        "accuracy",
        "margin",
        "min_reward",
        "mean_reward",
        "max_reward",
        "grad_norm",
        "learning_rate",
        "epoch",
    }


def test_the_loss_is_the_mean_over_pairs_then_over_prompts(
    fresh: RewardModel, open_run: OpenRun, monkeypatch: pytest.MonkeyPatch
):
    two = replace(ranking(2), completions=ranking(2).completions[:2], ranks=(2, 1))
    rankings = [ranking(0), ranking(1, (1, 2, 2)), two]
    seen: list[Tensor] = []
    scores_of_batch = method.last_scores
    monkeypatch.setattr(method, "last_scores", lambda *args: seen.append(scores_of_batch(*args)) or seen[-1])
    monkeypatch.setattr(method, "by_length", lambda *_: [[0, 1, 2]])
    run = open_run()
    method.train(run, fresh, rankings, replace(SETTINGS, epochs=1, held_out=0.0), seed=0)
    batch = torch.cat(seen)  # the first half of the prompts, then the other
    assert len(batch) == 3 + 3 + 2  # each completion is read once
    at, prompts = 0, []
    for r in (*rankings[::2], *rankings[1::2]):
        own, losses = batch[at : at + len(r.ranks)].detach(), []
        for i, j in combinations(range(len(r.ranks)), 2):
            if r.ranks[i] != r.ranks[j]:  # ties are left out
                losses.append(-logsigmoid((own[i] - own[j]) * (1 if r.ranks[i] < r.ranks[j] else -1)))
        prompts.append(torch.stack(losses).mean())
        at += len(r.ranks)
    (row,) = read_run(run.path).metrics
    assert row["loss"] == pytest.approx(torch.stack(prompts).mean().item(), rel=1e-6)
    assert (row["min_reward"], row["max_reward"]) == (batch.min().item(), batch.max().item())
    assert row["mean_reward"] == pytest.approx(batch.mean().item(), abs=1e-6)


@pytest.mark.parametrize(
    "adapter", [AdapterSettings(), AdapterSettings(rank=4)], ids=lambda a: f"rank {a.rank}"
)
def test_a_reloaded_one_gives_identical_scores(
    adapter: AdapterSettings, base: Path, open_run: OpenRun, tmp_path: Path
):
    made = load_reward_model(base, ModelSettings(), adapter=adapter, init_head=True, trainable=True)
    summary = method.train(open_run(), made, RANKINGS[:24], replace(SETTINGS, held_out=0.0), seed=0)
    save_reward_model(made, tmp_path / "saved", card="")
    again = load_reward_model(tmp_path / "saved", ModelSettings())
    completions = [c for r in RANKINGS[:24] for c in r.completions]
    completions[1] = replace(completions[1], finished=False)
    before, after = RewardModelJudge(made).score(completions), RewardModelJudge(again).score(completions)
    assert [s.value for s in before] == [s.value for s in after]
    assert (again.mean, again.std) == (made.mean, made.std) == (summary["score_mean"], summary["score_std"])
    assert "score_mean" in json.loads(
        (tmp_path / "saved" / ("alignlab.json" if adapter.rank else "config.json")).read_text()
    )


def test_scores_are_standard_over_the_training_completions(fresh: RewardModel, open_run: OpenRun):
    method.train(open_run(), fresh, RANKINGS, replace(SETTINGS, held_out=0.0, epochs=1), seed=0)
    values = [s.value for s in RewardModelJudge(fresh).score([c for r in RANKINGS for c in r.completions])]
    assert np.mean(values) == pytest.approx(0, abs=1e-4) and np.std(values) == pytest.approx(1, abs=1e-4)


def test_measure_on_scores_that_are_known():
    def rank(i: int, texts: tuple[str, ...], ranks: tuple[int, ...]) -> Ranking:
        prompt = Prompt.user(str(i))
        return Ranking(prompt, tuple(Completion(prompt, text) for text in texts), ranks)

    test = [
        rank(0, ("ccc", "bb", "a"), (1, 2, 3)),
        rank(1, ("ccc", "bb", "dd"), (2, 1, 1)),
    ]  # 3 pairs right for length; 2 wrong, a tie left out
    length = RuleJudge("length", lambda c: float(len(c.text)))
    found = preference.measure(length, test, gold=RuleJudge("less", lambda c: -0.3 * len(c.text)))
    assert found["accuracy"] == found["length_floor"] and found["accuracy"]["mean"] == 0.5
    assert found["n"] == 2 and found["test_pairs"] == 5  # (1 + 0) / 2, of two prompts
    assert found["gold_accuracy"]["mean"] == 0 and found["gold_accuracy"]["n"] == 2
    assert found["gold_accuracy_big"]["n"] == 1  # only "ccc" and "a" are 0.6 apart
    counts, edges = found["margins"]["counts"], found["margins"]["edges"]
    assert {edges[i]: n for i, n in enumerate(counts) if n} == {-1.0: 2, 1.0: 2, 2.0: 1}
    flat = preference.measure(RuleJudge("flat", lambda c: 0.0), test, labels=SIGMOID)
    assert flat["accuracy"]["mean"] == 0.5 and flat["ece"] < 0.5 and "gold_accuracy" not in flat
    none = preference.measure(length, [], labels=SIGMOID)
    assert (
        none["accuracy"] == {"mean": None, "ci": None, "n": 0}
        and none["ece"] is None
        and sum(none["margins"]["counts"]) == 0
    )


def test_calibration_of_scores_that_are_the_truth():
    """Labels drawn with probability sigmoid(score difference): nearly calibrated by construction; three times
    the scores are overconfident.
    """
    rng = np.random.default_rng(0)
    test, truth = [], {}
    for i in range(3000):
        prompt, values = Prompt.user(str(i)), rng.normal(size=2)
        first = rng.random() < 1 / (1 + np.exp(values[1] - values[0]))
        test.append(
            Ranking(
                prompt, (Completion(prompt, "one"), Completion(prompt, "two")), (1, 2) if first else (2, 1)
            )
        )
        truth |= {(prompt.text, "one"): values[0], (prompt.text, "two"): values[1]}
    exact, loud = (
        preference.measure(
            RuleJudge("known", lambda c, k=k: k * truth[c.prompt.text, c.text]), test, labels=SIGMOID
        )["ece"]
        for k in (1, 3)
    )
    assert exact < 0.03 < 0.1 < loud


def test_ties_alone_and_held_out_alone_are_errors(fresh: RewardModel, open_run: OpenRun):
    with pytest.raises(DataError, match="no ranking prefers"):
        method.train(open_run("ties"), fresh, [ranking(0, (1, 1, 1))], SETTINGS, seed=0)
    with pytest.raises(DataError, match="held out"):
        method.train(open_run("none"), fresh, RANKINGS, replace(SETTINGS, held_out=0.999999), seed=0)
    summary = method.train(
        open_run("some"), fresh, [ranking(0), ranking(1, (1, 1, 1))], SETTINGS, seed=0, held_out=[]
    )
    tied = method.train(
        open_run("tied"), fresh, [ranking(0)], SETTINGS, seed=0, held_out=[ranking(2, (1, 1, 1))]
    )
    assert (
        tied["held_out"] == 0 and tied["accuracy"]["n"] == 0
    )  # held-out ties alone measure nothing, and stop nothing
    assert sum(summary["dropped"].values()) == 1 and summary["held_out"] == 0


def test_a_loss_that_is_not_finite_stops_it_and_names_step_and_sample(fresh: RewardModel, open_run: OpenRun):
    with torch.no_grad():
        fresh.model.get_input_embeddings().weight[fresh.tokenizer.convert_tokens_to_ids("~")] = float("nan")
    odd = Prompt.user("the ~ one?")
    rankings = [
        *RANKINGS[:5],
        Ranking(odd, (Completion(odd, "yes" * 12), Completion(odd, "no")), (1, 2)),
    ]  # the longest, so the last of its batch
    with pytest.raises(GuardStop, match="at step 0") as stop:
        method.train(open_run(), fresh, rankings, replace(SETTINGS, held_out=0.0), seed=0)
    assert stop.value.where == "the ~ one?"
