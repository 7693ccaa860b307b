"""DPO: the reference, the margin it starts from and where it goes, and that the arrangement of a batch changes nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from alignlab.errors import DataError, GuardStop
from alignlab.methods import direct
from alignlab.models.forward import completion_logprobs
from alignlab.models.load import Policy, load_policy
from alignlab.models.optimizer import MasterAdamW
from alignlab.records import Comparison, Completion, Prompt, Ranking, read_jsonl
from alignlab.run import RunDir, read_run
from alignlab.settings import AdapterSettings, DPOSettings, ModelSettings, OptimSettings

from .conftest import END

OpenRun = Callable[..., RunDir]
PAIRS = [Comparison(Prompt.user(f"{i} apples?"), f"yes, {i}" + "!" * (i % 4), "no" + "." * (i % 6)) for i in range(24)]
SETTINGS = DPOSettings(epochs=2, batch=8, held_out=0.25, max_length=64, optim=OptimSettings(lr=1e-3, warmup=0.0))


@pytest.fixture
def policy(base: Path) -> Policy:
    return load_policy(base, ModelSettings(), trainable=True)


def logp(model: Any, tokenizer: Any, prompt: Prompt, completion: str) -> float:
    """Of a completion and its end token: a row by itself, on all logits."""
    before, after = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (f"<user>{prompt.text}<end><assistant>", f"{completion}<end>"))
    with torch.no_grad():
        log_p = model(input_ids=torch.tensor([before + after])).logits[0].log_softmax(-1)
    return sum(log_p[len(before) + t - 1, token].item() for t, token in enumerate(after))


@pytest.mark.parametrize("micro_batch", [0, 3])
@pytest.mark.parametrize("adapter", [AdapterSettings(), AdapterSettings(rank=4)], ids=lambda a: f"rank {a.rank}")
def test_the_first_margin_is_exactly_0_and_then_it_grows_on_held_out_prompts_too(adapter: AdapterSettings, micro_batch: int, base: Path,
                                                                                 open_run: OpenRun):
    policy = load_policy(base, ModelSettings(), adapter, trainable=True)
    optim = OptimSettings(lr=1e-2 if adapter.rank else 2e-3, warmup=0.0)
    run = open_run()
    summary = direct.train(run, policy, PAIRS, replace(SETTINGS, epochs=4, micro_batch=micro_batch, adapter=adapter, optim=optim), seed=0)
    run.finish(summary)
    rows = read_run(run.out).metrics
    assert rows[0]["rewards/margins"] == rows[0]["rewards/chosen"] == rows[0]["rewards/rejected"] == rows[0]["rewards/accuracies"] == 0
    assert rows[0]["loss"] == pytest.approx(math.log(2), rel=1e-6)
    assert rows[-1]["rewards/margins"] > 0.2 and rows[-1]["rewards/accuracies"] == 1 and rows[-1]["loss"] < rows[0]["loss"]
    assert summary["accuracy"]["mean"] > 0.9 and summary["margin"] > 0.1 and summary["accuracy"]["n"] == summary["held_out"] > 0
    assert set(rows[0]) == {"step", "loss", "rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins", "logps/chosen", "logps/rejected",
                            "grad_norm", "learning_rate", "epoch"}
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
        gains = [SETTINGS.beta * (logp(policy.model, policy.tokenizer, c.prompt, getattr(c, side))
                                  - logp(reference.model, policy.tokenizer, c.prompt, getattr(c, side))) for c in test]
        assert summary["eval_rewards"][side] == pytest.approx(sum(gains) / len(gains), abs=1e-5)
    likelier = [logp(reference.model, policy.tokenizer, c.prompt, c.chosen) > logp(reference.model, policy.tokenizer, c.prompt, c.rejected) for c in test]
    assert summary["reference_accuracy"]["mean"] == pytest.approx(sum(likelier) / len(likelier))
    assert summary["margin"] == pytest.approx(summary["eval_rewards"]["chosen"] - summary["eval_rewards"]["rejected"], abs=1e-6)


@pytest.mark.parametrize("loss_type", ["sigmoid", "ipo"])
def test_micro_batches_change_no_gradient(loss_type: Any, base: Path, open_run: OpenRun, monkeypatch: pytest.MonkeyPatch):
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
        direct.train(run, policy, PAIRS, replace(SETTINGS, batch=len(PAIRS), micro_batch=size, epochs=1, loss_type=loss_type), seed=0, held_out=[])
        rows.append(read_run(run.path).metrics[0])
    for parts, row in zip(found[1:], rows[1:], strict=True):
        for whole, part in zip(found[0], parts, strict=True):
            torch.testing.assert_close(part, whole, rtol=1e-4, atol=1e-6)
        assert row == pytest.approx(rows[0], rel=1e-5, abs=1e-6)


def test_the_reference_is_asked_once_and_before_the_first_step(policy: Policy, open_run: OpenRun, monkeypatch: pytest.MonkeyPatch):
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
    assert once[0].item() == pytest.approx(logp(policy.model.eval(), policy.tokenizer, PAIRS[0].prompt, PAIRS[0].chosen), rel=1e-5)


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
    assert len(two) == 24 and two == direct.comparisons_of(rankings, 2, 0) and two != direct.comparisons_of(rankings, 2, 1)
    assert len({(c.prompt.id, c.chosen, c.rejected) for c in two}) == 24
    run = open_run()
    summary = direct.train(run, policy, rankings, replace(SETTINGS, pairs_per_prompt=2, epochs=1), seed=0, held_out=[])
    assert read_jsonl(run.path / "data" / "comparisons.jsonl", Comparison) == two
    assert summary["comparisons"] == 24 and summary["margin"] is None and summary["accuracy"]["n"] == 0 and not summary["likelihood_displacement"]


def test_long_and_equal_comparisons_are_dropped_and_counted(policy: Policy, open_run: OpenRun):
    prompt = Prompt.user("long?")
    extra = [Comparison(prompt, "x" * 90, "y"), Comparison(prompt, "same", "same")]
    summary = direct.train(open_run(), policy, [*PAIRS, *extra], replace(SETTINGS, epochs=1), seed=0, held_out=extra + PAIRS[:2])
    assert summary["comparisons"] == len(PAIRS) and sum(summary["dropped"].values()) == 2 and summary["held_out"] == 2


def test_nothing_to_learn(policy: Policy, open_run: OpenRun):
    with pytest.raises(DataError, match="held out"):
        direct.train(open_run(), policy, PAIRS, replace(SETTINGS, held_out=0.999999), seed=0)


@pytest.mark.parametrize(("gains", "margin", "displaced"), [((-3.0, -5.0), 0.2, True), ((3.0, -5.0), 0.8, False), ((-5.0, -3.0), -0.2, False)])
def test_displacement_is_said(gains: tuple[float, float], margin: float, displaced: bool, policy: Policy, open_run: OpenRun,
                              monkeypatch: pytest.MonkeyPatch):
    """Both completions less likely than under the reference, the rejected one by more (Razin et al. 2024): the margin alone would not show it."""
    answers = iter([torch.zeros(2), torch.tensor([-40.0, -30.0]), torch.tensor([-40.0, -30.0]) + torch.tensor(gains)])
    monkeypatch.setattr(direct, "completion_logprobs", lambda *_: next(answers))
    summary = direct.train(open_run(), policy, PAIRS[:1], SETTINGS, seed=0, held_out=PAIRS[1:2])
    assert summary["likelihood_displacement"] is displaced and summary["margin"] == pytest.approx(margin)
    assert summary["eval_rewards"] == pytest.approx({"chosen": 0.1 * gains[0], "rejected": 0.1 * gains[1]})
    assert summary["reference_accuracy"]["mean"] == 0 and summary["accuracy"]["mean"] == float(margin > 0)


def test_a_loss_that_is_not_finite_stops_it_and_names_step_and_sample(policy: Policy, open_run: OpenRun):
    with torch.no_grad():
        policy.model.get_input_embeddings().weight[policy.tokenizer.convert_tokens_to_ids("~")] = float("nan")
    odd = Comparison(Prompt.user("the ~ one?"), "a", "b" * 40)  # the longest, so the last of its batch
    with pytest.raises(GuardStop, match="at step 0") as stop:
        direct.train(open_run(), policy, [*PAIRS, odd], replace(SETTINGS, batch=32, micro_batch=5), seed=0, held_out=[])
    assert stop.value.where == "the ~ one?"
