"""DPO, ORPO and SimPO: the reference or that there is none, the margin and where it goes, and that the
arrangement of a batch changes nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from alignlab.errors import ConfigError, DataError, GuardStop
from alignlab.health.displacement import Watch
from alignlab.methods import direct
from alignlab.models.forward import completion_logprobs
from alignlab.models.load import load_policy
from alignlab.models.optimizer import MasterAdamW
from alignlab.models.policy import Policy
from alignlab.records import Comparison, Completion, Prompt, Ranking, read_jsonl
from alignlab.run import RunDir, read_run
from alignlab.settings import (
    AdapterSettings,
    DPOSettings,
    ModelSettings,
    OptimSettings,
    ORPOSettings,
    SimPOSettings,
    rules,
)

from .conftest import END

OpenRun = Callable[..., RunDir]
PAIRS = [
    Comparison(Prompt.user(f"{i} apples?"), f"yes, {i}" + "!" * (i % 4), "no" + "." * (i % 6))
    for i in range(24)
]
SETTINGS = DPOSettings(
    epochs=2, batch=8, held_out=0.25, max_length=64, optim=OptimSettings(lr=1e-3, warmup=0.0)
)
COMMON = {"epochs": 2, "batch": 8, "held_out": 0.25, "max_length": 64, "optim": SETTINGS.optim}
ORPO, SIMPO = ORPOSettings(beta=1.0, **COMMON), SimPOSettings(beta=2.0, gamma=0.5, **COMMON)
NORM = replace(SETTINGS, loss_type="sigmoid_norm", beta=5.0)


@pytest.fixture
def policy(base: Path) -> Policy:
    return load_policy(base, ModelSettings(), trainable=True)


def logp(model: Any, tokenizer: Any, prompt: Prompt, completion: str) -> float:
    """Of a completion and its end token: a row by itself, on all logits."""
    before, after = (
        tokenizer(text, add_special_tokens=False)["input_ids"]
        for text in (f"<user>{prompt.text}<end><assistant>", f"{completion}<end>")
    )
    with torch.no_grad():
        log_p = model(input_ids=torch.tensor([before + after])).logits[0].log_softmax(-1)
    return sum(log_p[len(before) + t - 1, token].item() for t, token in enumerate(after))


@pytest.mark.parametrize("micro_batch", [0, 3])
@pytest.mark.parametrize(
    "adapter", [AdapterSettings(), AdapterSettings(rank=4)], ids=lambda a: f"rank {a.rank}"
)
def test_the_first_margin_is_exactly_0_and_then_it_grows_on_held_out_prompts_too(
    adapter: AdapterSettings, micro_batch: int, base: Path, open_run: OpenRun
):
    policy = load_policy(base, ModelSettings(), adapter, trainable=True)
    optim = OptimSettings(lr=1e-2 if adapter.rank else 2e-3, warmup=0.0)
    run = open_run()
    summary = direct.train(
        run,
        policy,
        PAIRS,
        replace(SETTINGS, epochs=4, micro_batch=micro_batch, adapter=adapter, optim=optim),
        seed=0,
    )
    run.finish(summary)
    rows = read_run(run.out).metrics
    assert (
        rows[0]["rewards/margins"]
        == rows[0]["rewards/chosen"]
        == rows[0]["rewards/rejected"]
        == rows[0]["rewards/accuracies"]
        == 0
    )
    assert rows[0]["loss"] == pytest.approx(math.log(2), rel=1e-6)
    assert (
        rows[-1]["rewards/margins"] > 0.2
        and rows[-1]["rewards/accuracies"] == 1
        and rows[-1]["loss"] < rows[0]["loss"]
    )
    assert (
        summary["accuracy"]["mean"] > 0.9
        and summary["margin"] > 0.1
        and summary["accuracy"]["n"] == summary["held_out"] > 0
    )
    assert set(rows[0]) == {
        "step",
        "loss",
        "rewards/chosen",
        "rewards/rejected",
        "rewards/accuracies",
        "rewards/margins",
        "logps/chosen",
        "logps/rejected",
        "grad_norm",
        "learning_rate",
        "epoch",
    }
    json.dumps(summary, allow_nan=False)


def test_log_probabilities_rewards_and_reference_by_hand(base: Path, policy: Policy, open_run: OpenRun):
    learn, test = PAIRS[:6], PAIRS[6:11]
    run = open_run()
    reference = load_policy(base, ModelSettings())
    summary = direct.train(run, policy, learn, replace(SETTINGS, batch=6, epochs=1), seed=0, held_out=test)
    (row,) = read_run(run.path).metrics
    for side in ("chosen", "rejected"):
        by_hand = [logp(reference.model, policy.tokenizer, c.prompt, getattr(c, side)) for c in learn]
        assert row[f"logps/{side}"] == pytest.approx(sum(by_hand) / len(by_hand), rel=1e-5)
        gains = [
            SETTINGS.beta
            * (
                logp(policy.model, policy.tokenizer, c.prompt, getattr(c, side))
                - logp(reference.model, policy.tokenizer, c.prompt, getattr(c, side))
            )
            for c in test
        ]
        assert summary["eval_rewards"][side] == pytest.approx(sum(gains) / len(gains), abs=1e-5)
    likelier = [
        logp(reference.model, policy.tokenizer, c.prompt, c.chosen)
        > logp(reference.model, policy.tokenizer, c.prompt, c.rejected)
        for c in test
    ]
    assert summary["reference_accuracy"]["mean"] == pytest.approx(sum(likelier) / len(likelier))
    assert summary["margin"] == pytest.approx(
        summary["eval_rewards"]["chosen"] - summary["eval_rewards"]["rejected"], abs=1e-6
    )


@pytest.mark.parametrize(
    "settings",
    [SETTINGS, replace(SETTINGS, loss_type="ipo"), NORM, ORPO, SIMPO],
    ids=["sigmoid", "ipo", "sigmoid_norm", "orpo", "simpo"],
)
def test_micro_batches_change_no_gradient(
    settings: Any, base: Path, open_run: OpenRun, monkeypatch: pytest.MonkeyPatch
):
    found: list[list[torch.Tensor]] = []

    class Watched(MasterAdamW):
        def step(self) -> float:
            found.append([p.grad.clone() for p in self.params if p.grad is not None])
            return super().step()

    monkeypatch.setattr(direct, "MasterAdamW", Watched)
    rows = []
    for size in (0, 5, 1):
        run = open_run(str(size))
        policy = load_policy(base, ModelSettings(), trainable=True)
        direct.train(
            run,
            policy,
            PAIRS,
            replace(settings, batch=len(PAIRS), micro_batch=size, epochs=1),
            seed=0,
            held_out=[],
        )
        rows.append(read_run(run.path).metrics[0])
    for parts, row in zip(found[1:], rows[1:], strict=True):
        for whole, part in zip(found[0], parts, strict=True):
            assert (part - whole).norm() <= 1e-6 * whole.norm()
            scale = whole.abs().max().clamp(min=1)  # IPO's gradients reach 50 here
            torch.testing.assert_close(part / scale, whole / scale, rtol=1e-4, atol=1e-6)
        assert row == pytest.approx(rows[0], rel=1e-5, abs=1e-6)


def test_the_reference_is_asked_once_and_before_the_first_step(
    policy: Policy, open_run: OpenRun, monkeypatch: pytest.MonkeyPatch
):
    asked: list[tuple[int, bool]] = []
    ask = direct.completion_logprobs
    first = next(policy.model.parameters()).detach().clone()

    def watched(model: Any, rows: Any, *more: Any) -> torch.Tensor:
        asked.append((len(rows), torch.equal(first, next(model.parameters()))))
        return ask(model, rows, *more)

    monkeypatch.setattr(direct, "completion_logprobs", watched)
    prompt = Prompt.user("which?")
    four = Ranking(prompt, tuple(Completion(prompt, text) for text in "abcd"), (1, 2, 3, 4))
    summary = direct.train(open_run(), policy, PAIRS[:8], SETTINGS, seed=0, held_out=[four])
    assert summary["held_out"] == 6
    assert asked == [(16, True), (4, True), (4, False)]  # of six pairs of four completions each is read once


def test_the_reference_is_asked_without_dropout(policy: Policy):
    for layer in policy.model.model.layers:
        layer.self_attn.attention_dropout = 0.5
    rows = direct.encode(policy, PAIRS[0])
    once, again = (completion_logprobs(policy.model, rows, [[0, 1]], policy.pad_id) for _ in range(2))
    assert torch.equal(once, again) and policy.model.training
    assert once[0].item() == pytest.approx(
        logp(policy.model.eval(), policy.tokenizer, PAIRS[0].prompt, PAIRS[0].chosen), rel=1e-5
    )


def test_unfinished_completions_have_no_end_token(policy: Policy):
    pair = Comparison(Prompt.user("go on?"), "and so on", "and on", chosen_finished=False)
    chosen, rejected = direct.encode(policy, pair)
    assert chosen.ids[-1] != END and rejected.ids[-1] == END
    assert sum(chosen.loss_mask) == len("and so on") and sum(rejected.loss_mask) == len("and on") + 1


def test_pairs_of_a_ranking_are_drawn_by_the_seed_and_ties_left_out(policy: Policy, open_run: OpenRun):
    prompts = [Prompt.user(f"{i}?") for i in range(12)]
    rankings = [Ranking(p, tuple(Completion(p, text) for text in "abcd"), (1, 2, 3, 3)) for p in prompts]
    everything = direct.comparisons_of(rankings, 0, 0)
    assert len(everything) == 12 * 5 and not any({c.chosen, c.rejected} == {"c", "d"} for c in everything)
    assert direct.comparisons_of([replace(PAIRS[0], tie=True), PAIRS[1]], 0, 0) == [PAIRS[1]]
    two = direct.comparisons_of(rankings, 2, 0)
    assert (
        len(two) == 24
        and two == direct.comparisons_of(rankings, 2, 0)
        and two != direct.comparisons_of(rankings, 2, 1)
    )
    assert len({(c.prompt.id, c.chosen, c.rejected) for c in two}) == 24
    won = direct.comparisons_of(rankings, 0, 0, best_only=True)
    assert [(c.chosen, c.rejected) for c in won] == [("a", "b"), ("a", "c"), ("a", "d")] * 12
    drawn = direct.comparisons_of(rankings, 1, 0, best_only=True)
    assert [c.prompt for c in drawn] == prompts
    assert {c.chosen for c in drawn} == {"a"} and {c.rejected for c in drawn} == {"b", "c", "d"}
    equal = [replace(rankings[0], ranks=(1, 2, 1, 2), meta={"labels": [0.9, 0.5, 0.8, 0.3, 0.5, 0.6]})]
    both = direct.comparisons_of(equal, 0, 0, best_only=True)
    assert [(c.chosen, c.rejected, c.label) for c in both] == [
        ("a", "b", 0.9),
        ("a", "d", 0.8),
        ("c", "b", 0.7),
        ("c", "d", 0.6),
    ]
    run = open_run()
    summary = direct.train(
        run, policy, rankings, replace(SETTINGS, pairs_per_prompt=2, epochs=1), seed=0, held_out=[]
    )
    assert read_jsonl(run.path / "data" / "comparisons.jsonl", Comparison) == two
    assert (
        summary["comparisons"] == 24
        and summary["margin"] is None
        and summary["accuracy"]["n"] == 0
        and summary["eval_rewards"] == summary["eval_logps"] == {}
    )


def test_long_and_equal_comparisons_are_dropped_and_counted(policy: Policy, open_run: OpenRun):
    prompt = Prompt.user("long?")
    extra = [Comparison(prompt, "x" * 90, "y"), Comparison(prompt, "same", "same")]
    summary = direct.train(
        open_run(), policy, [*PAIRS, *extra], replace(SETTINGS, epochs=1), seed=0, held_out=extra + PAIRS[:2]
    )
    assert (
        summary["comparisons"] == len(PAIRS)
        and sum(summary["dropped"].values()) == 2
        and summary["held_out"] == 2
    )


def test_nothing_to_learn(policy: Policy, open_run: OpenRun):
    with pytest.raises(DataError, match="held out"):
        direct.train(open_run(), policy, PAIRS, replace(SETTINGS, held_out=0.999999), seed=0)


@pytest.mark.parametrize("settings", [NORM, ORPO, SIMPO], ids=["sigmoid_norm", "orpo", "simpo"])
def test_they_learn_what_is_preferred_and_the_opposite_of_it(settings: Any, base: Path, open_run: OpenRun):
    turned = [replace(c, chosen=c.rejected, rejected=c.chosen) for c in PAIRS]
    found = {}
    for name, pairs in (("right", PAIRS), ("turned", turned)):
        run = open_run(name)
        policy = load_policy(base, ModelSettings(), trainable=True)
        summary = direct.train(
            run, policy, pairs, replace(settings, epochs=6, optim=OptimSettings(lr=3e-3, warmup=0.0)), seed=0
        )
        rows = read_run(run.path).metrics
        assert (
            rows[-1]["rewards/accuracies"] == 1
            and rows[-1]["rewards/margins"] > rows[0]["rewards/margins"]
            and rows[-1]["loss"] < rows[0]["loss"]
        )
        assert (
            summary["accuracy"]["mean"] > 0.9
            and summary["margin"] > 0
            and summary["accuracy"]["n"] == summary["held_out"] > 0
        )
        found[name] = summary["eval_logps"]
        json.dumps(summary, allow_nan=False)
    assert (
        found["right"]["chosen"] > found["right"]["rejected"]
        and found["turned"]["chosen"] > found["turned"]["rejected"]
    )
    assert set(rows[0]) - {"nll_loss", "log_odds_chosen", "log_odds_ratio"} == {
        "step",
        "loss",
        "rewards/chosen",
        "rewards/rejected",
        "rewards/accuracies",
        "rewards/margins",
        "logps/chosen",
        "logps/rejected",
        "grad_norm",
        "learning_rate",
        "epoch",
    }


def test_orpo_and_simpo_by_hand(base: Path, open_run: OpenRun):
    """The first step's figures from log-probabilities of rows by themselves, and held-out ones after it."""
    learn, test = PAIRS[:6], PAIRS[6:11]
    start = load_policy(base, ModelSettings())

    def mean(model: Any, c: Comparison, side: str) -> float:  # a token a byte, and the end token
        return logp(model, start.tokenizer, c.prompt, getattr(c, side)) / (len(getattr(c, side)) + 1)

    for name, settings in (("orpo", ORPO), ("simpo", SIMPO)):
        policy, run = load_policy(base, ModelSettings(), trainable=True), open_run(name)
        summary = direct.train(
            run, policy, learn, replace(settings, batch=6, epochs=1), seed=0, held_out=test
        )
        (row,) = read_run(run.path).metrics
        good, bad = ([mean(start.model, c, side) for c in learn] for side in ("chosen", "rejected"))
        assert row["logps/chosen"] == pytest.approx(
            sum(logp(start.model, start.tokenizer, c.prompt, c.chosen) for c in learn) / 6, rel=1e-5
        )
        assert row["rewards/chosen"] == pytest.approx(settings.beta * sum(good) / 6, rel=1e-5)
        odds = [math.log(math.exp(x) / (1 - math.exp(x))) for x in good + bad]
        if name == "orpo":
            ratios = [odds[i] - odds[i + 6] for i in range(6)]
            assert row["nll_loss"] == pytest.approx(-sum(good) / 6, rel=1e-5) and row[
                "log_odds_chosen"
            ] == pytest.approx(sum(ratios) / 6, abs=1e-5)
            assert row["log_odds_ratio"] == pytest.approx(
                -sum(math.log1p(math.exp(-x)) for x in ratios) / 6, rel=1e-5
            )
            assert row["loss"] == pytest.approx(
                row["nll_loss"] - settings.beta * row["log_odds_ratio"], rel=1e-5
            )
        else:
            assert row["loss"] == pytest.approx(
                sum(math.log1p(math.exp(0.5 - 2 * (g - b))) for g, b in zip(good, bad, strict=True)) / 6,
                rel=1e-5,
            )
        after = [settings.beta * mean(policy.model, c, "chosen") for c in test]
        assert summary["eval_rewards"]["chosen"] == pytest.approx(sum(after) / 5, rel=1e-4)
        moved = [
            logp(policy.model, start.tokenizer, c.prompt, c.rejected)
            - logp(start.model, start.tokenizer, c.prompt, c.rejected)
            for c in test
        ]
        assert summary["eval_logps"]["rejected"] == pytest.approx(sum(moved) / 5, abs=1e-4)
        likelier = [mean(start.model, c, "chosen") > mean(start.model, c, "rejected") for c in test]
        assert summary["reference_accuracy"]["mean"] == pytest.approx(sum(likelier) / 5)


@pytest.mark.parametrize("settings", [ORPO, SIMPO], ids=["orpo", "simpo"])
def test_without_a_reference_only_held_out_rows_are_read_beforehand(
    settings: Any, policy: Policy, open_run: OpenRun, monkeypatch: pytest.MonkeyPatch
):
    asked: list[int] = []
    ask = direct.completion_logprobs
    monkeypatch.setattr(
        direct,
        "completion_logprobs",
        lambda model, rows, *more: asked.append(len(rows)) or ask(model, rows, *more),
    )
    direct.train(open_run(), policy, PAIRS[:8], settings, seed=0, held_out=PAIRS[8:11])
    assert asked == [6, 6]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"beta": 0.0}, "beta = 0"),
        ({"batch": 0}, "batch = 0"),
        ({"epochs": 0.0}, "epochs = 0"),
        ({"micro_batch": -1}, "micro_batch = -1"),
        ({"label_smoothing": 0.5}, "label_smoothing = 0.5"),
        ({"label_smoothing": -0.1}, "label_smoothing = -0.1"),
        ({"label_smoothing": 0.1, "loss_type": "hinge"}, "no meaning for loss_type hinge"),
        ({"label_smoothing": 0.1, "loss_type": "ipo"}, "no meaning"),
    ],
)
def test_settings_that_make_no_sense(change: dict[str, Any], what: str, policy: Policy, open_run: OpenRun):
    with pytest.raises(ConfigError, match=what) as stop:
        direct.train(open_run(), policy, PAIRS, replace(SETTINGS, **change), seed=0)
    assert stop.value.remedy
    if set(change) <= {"beta", "batch", "epochs", "micro_batch"}:
        for settings in (ORPO, SIMPO):
            with pytest.raises(ConfigError, match=what):
                direct.train(open_run(), policy, PAIRS, replace(settings, **change), seed=0)


def test_settings_that_are_said(policy: Policy, open_run: OpenRun, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(ConfigError, match="gamma = -1"):
        rules.check(replace(SIMPO, gamma=-1.0))
    for s in (SETTINGS, ORPO, SIMPO, NORM, replace(SETTINGS, loss_type="robust", label_smoothing=0.1)):
        direct.say_odd(s, open_run())
    assert capsys.readouterr().err == ""
    direct.say_odd(replace(SETTINGS, loss_type="robust"), open_run())
    direct.say_odd(replace(NORM, beta=0.1), open_run())
    said = capsys.readouterr().err
    assert (
        "robust with label_smoothing 0 is sigmoid" in said
        and "beta 0.1 makes it small; Tulu 3 uses 5" in said
    )


def test_displacement_is_said_once_and_kept_in_the_summary(
    base: Path, open_run: OpenRun, capsys: pytest.CaptureFixture[str]
):
    """Chosen and rejected that share all but their last letter, and steps far too large: both become less
    likely.
    """
    alike = [
        Comparison(Prompt.user(f"{i}?"), f"the same words for all {i} a", f"the same words for all {i} b")
        for i in range(24)
    ]
    hard = replace(
        SETTINGS, epochs=20, batch=6, beta=0.01, optim=OptimSettings(lr=3e-2, warmup=0.0, max_grad_norm=0.0)
    )
    summary = direct.train(
        open_run(), load_policy(base, ModelSettings(), trainable=True), alike, hard, seed=0, held_out=[]
    )
    said = capsys.readouterr().err
    found = summary["likelihood_displacement"]
    assert (
        said.count("likelihood displacement since step") == 1
        and "This is a failure" in said
        and "Turn one setting: a larger beta." in said
    )
    assert (
        found["verdict"] == "failure"
        and found["chosen"] < 0
        and found["rejected"] < found["chosen"]
        and f"since step {found['step']}:" in said
    )
    calm = direct.train(
        open_run("calm"),
        load_policy(base, ModelSettings(), trainable=True),
        PAIRS,
        replace(SETTINGS, epochs=4),
        seed=0,
        held_out=[],
    )
    assert (
        "failure" not in capsys.readouterr().err and calm["likelihood_displacement"]["verdict"] != "failure"
    )


def test_displacement_is_told_the_mean_over_tokens_against_the_reference(
    policy: Policy, open_run: OpenRun, monkeypatch: pytest.MonkeyPatch
):
    told: list[tuple[float, float]] = []
    monkeypatch.setattr(
        Watch, "see", lambda self, step, chosen, rejected: told.append((chosen, rejected)) or ""
    )
    run = open_run()
    direct.train(run, policy, PAIRS[:6], replace(SETTINGS, batch=6, micro_batch=4), seed=0, held_out=[])
    tokens = sum(len(c.chosen) + 1 for c in PAIRS[:6])
    rows = read_run(run.path).metrics
    assert told[0] == (0, 0) and told[1][0] == pytest.approx(
        rows[1]["rewards/chosen"] / SETTINGS.beta * 6 / tokens, rel=1e-4
    )
    run = open_run("simpo")
    direct.train(run, policy, PAIRS[:6], replace(SIMPO, batch=6), seed=0, held_out=[])
    assert told[2][0] == pytest.approx(read_run(run.path).metrics[0]["logps/chosen"] * 6 / tokens, rel=1e-5)


def test_a_loss_that_is_not_finite_stops_it_and_names_step_and_sample(policy: Policy, open_run: OpenRun):
    with torch.no_grad():
        policy.model.get_input_embeddings().weight[policy.tokenizer.convert_tokens_to_ids("~")] = float("nan")
    odd = Comparison(Prompt.user("the ~ one?"), "a", "b" * 40)  # the longest, so the last of its batch
    with pytest.raises(GuardStop, match="at step 0") as stop:
        direct.train(
            open_run(), policy, [*PAIRS, odd], replace(SETTINGS, batch=32, micro_batch=5), seed=0, held_out=[]
        )
    assert stop.value.where == "the ~ one?"


def test_the_likelihood_of_chosen_completions_is_added_with_its_weight(base: Path, open_run: OpenRun) -> None:
    """The first loss is log 2 and 0.2 times their mean negative log-likelihood, nats per token; and they end
    likelier than without it.
    """
    ends, learnt = {}, PAIRS[:8]
    settings = replace(SETTINGS, epochs=6, micro_batch=3, optim=OptimSettings(lr=2e-3, warmup=0.0))
    for weight in (0.0, 0.2):
        policy = load_policy(base, ModelSettings(), trainable=True)
        sums = [logp(policy.model.eval(), policy.tokenizer, pair.prompt, pair.chosen) for pair in learnt]
        lengths = [sum(direct.encode(policy, pair)[0].loss_mask) for pair in learnt]
        run = open_run()
        direct.train(run, policy, learnt, replace(settings, nll_coef=weight), seed=0, held_out=[])
        first, last = (read_run(run.path).metrics[i] for i in (0, -1))
        ends[weight] = last["logps/chosen"]
        nll = sum(-total / length for total, length in zip(sums, lengths, strict=True)) / len(learnt)
        assert first["loss"] == pytest.approx(math.log(2) + weight * nll, rel=1e-5)
        assert ("nll_loss" in first) == (weight > 0)
    assert first["nll_loss"] == pytest.approx(nll, rel=1e-5)
    assert ends[0.2] > ends[0.0]
