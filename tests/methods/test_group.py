"""RLOO, REINFORCE, GRPO and Dr. GRPO on a tiny random model whose judge is a rule."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from alignlab.errors import ConfigError, DataError, GuardStop
from alignlab.feedback import RuleJudge
from alignlab.losses import group_advantages
from alignlab.methods import group
from alignlab.models.load import load_policy
from alignlab.models.policy import Policy
from alignlab.models.state import trainable_tensors
from alignlab.records import Completion, Prompt
from alignlab.rollouts import Rollouts
from alignlab.rollouts.batch import minibatches
from alignlab.run import RunDir
from alignlab.sampling.local import LocalSampler
from alignlab.settings import (
    AdapterSettings,
    GRPOSettings,
    ModelSettings,
    OptimSettings,
    RLOOSettings,
    SamplingSettings,
    rules,
)

PROMPTS = [Prompt.user(f"{i}?") for i in range(14)]
LOW = RuleJudge(
    "low", lambda c: -sum(token for token in c.ids) / 256 / max(1, len(c.ids))
)  # likes small ids: any token will do, so it is learnt at once
SHARED: dict[str, Any] = {
    "steps": 4,
    "rollouts": 12,
    "per_prompt": 3,
    "micro_batch": 5,
    "missing_end_penalty": 0.0,
    "sampling": SamplingSettings(max_new_tokens=5),
    "optim": OptimSettings(lr=5e-3, schedule="constant", warmup=0.0, weight_decay=0.0),
}
RLOO, REINFORCE = RLOOSettings(**SHARED), RLOOSettings(advantage="reinforce", **SHARED)
GRPO, DR_GRPO = GRPOSettings(**SHARED), GRPOSettings(advantage="dr_grpo", **SHARED)
KINDS = [RLOO, REINFORCE, GRPO, DR_GRPO]
Open = Callable[..., RunDir]


def models(base: Path, rank: int = 0) -> tuple[Policy, Policy | None]:
    torch.manual_seed(1)
    policy = load_policy(base, ModelSettings(), AdapterSettings(rank=rank, alpha=8), trainable=True)
    return policy, None if rank else load_policy(base, ModelSettings())


def train(base: Path, run: RunDir, settings: Any, *, judge: Any = LOW, rank: int = 0, **more: Any):
    policy, reference = models(base, rank)
    summary = group.train(run, policy, reference, PROMPTS, settings, judge=judge, seed=3, **more)
    return (
        policy,
        summary,
        [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()],
    )


def written(count: int) -> list[Completion]:
    rng = random.Random(7)
    found = []
    for i in range(count):
        ids = tuple(rng.randrange(40, 120) for _ in range(1 + i % 4))
        before = tuple(range(30, 34 + i // 3))  # what the prompt reads as, one of its own for each prompt
        logprobs = tuple(-5.0 for _ in ids)
        found.append(Completion(PROMPTS[i // 3], "x", ids, logprobs, i % 4 != 3, prompt_ids=before))
    return found


def moved(base: Path) -> tuple[Policy, Policy | None]:
    """A policy that has left its reference."""
    policy, reference = models(base)
    with torch.no_grad():
        for p in policy.model.parameters():
            p += 0.02 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()))
    policy.model.eval()
    return policy, reference


# it learns, and what it learns comes from the score


@pytest.mark.parametrize("settings", KINDS, ids=lambda s: s.advantage)
def test_the_score_rises_and_with_a_constant_one_nothing_moves(settings, base, open_run: Open):
    settings = replace(
        settings,
        steps=12,
        rollouts=24,
        per_prompt=4,
        micro_batch=0,
        kl_coef=0.01,
        optim=replace(settings.optim, lr=1e-2),
    )
    _, summary, metrics = train(base, open_run("rule"), settings, gold=LOW)
    assert summary["score_last"] > summary["score_first"] + 0.1 and summary["gold_last"] == metrics[-1][
        "objective/gold"
    ] == pytest.approx(summary["score_last"])
    assert summary["kl_last"] > 0.1 and summary["dropped"] == {}
    fresh = trainable_tensors(models(base)[0].model)
    policy, summary, metrics = train(
        base, open_run("constant"), replace(settings, steps=2), judge=RuleJudge("constant", lambda c: 1.0)
    )
    assert all(
        torch.equal(tensor, fresh[name]) for name, tensor in trainable_tensors(policy.model).items()
    )  # the gradient is 0 to the last bit
    assert summary["dead_last"] == 1.0 and metrics[-1]["kl"] == 0.0 == metrics[-1]["grad_norm"]


def test_dead_groups_cost_no_forward_pass_and_change_nothing(base, open_run: Open, monkeypatch):
    """Prompts whose completions all score alike: with no KL penalty they are skipped, and the gradient is
    that of all rows.
    """
    settings, gradients, asked = replace(RLOO, kl_coef=0.0, importance_cap=0.0), [], []
    completions = written(12)
    scores = torch.tensor([1.0, 1, 1, 0, 1, 2, 0.3, 0.3, 0.3, 5, 0, 0])
    minibatch = [[0, 1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11]]
    laid_out = group.laid_out
    monkeypatch.setattr(
        group, "laid_out", lambda model, rows, pad: asked.append(len(rows)) or laid_out(model, rows, pad)
    )
    for kl_coef in (0.0, 1e-30):  # the second is as good as none, but rows are not skipped
        policy, reference = moved(base)
        one = replace(settings, kl_coef=kl_coef, kl_penalty="k3_in_loss")
        batch = group.read(policy, reference, completions, scores, [[minibatch]], one)
        metrics, now_BT = group.update(policy, batch, minibatch, one)
        gradients.append(torch.cat([p.grad.flatten() for p in policy.model.parameters()]))
        assert group.describe(batch, now_BT, one)["frac_reward_zero_std"] == 0.5
        assert (
            batch.learnt_B.tolist()
            == [bool(kl_coef)] * 3 + [True, bool(kl_coef), True] + [bool(kl_coef)] * 3 + [True] * 3
        )
        assert metrics["ratio"] == 1.0
    assert asked == [1, 1, 3, 5, 4, 3]
    assert torch.allclose(gradients[0], gradients[1], atol=1e-7) and gradients[0].abs().max() > 1e-4
    _, summary, metrics = train(base, open_run(), settings, judge=RuleJudge("constant", lambda c: 2.0))
    assert (
        [row["updates"] for row in metrics] == [0.0] * 4
        and "grad_norm" not in metrics[0]
        and summary["kl_last"] is None
    )


# the first ratio, and who is asked


@pytest.mark.parametrize("rank", [0, 4])
@pytest.mark.parametrize(
    "settings",
    [RLOO, GRPO, replace(GRPO, minibatch=5, micro_batch=2), replace(GRPO, kl_coef=0.0)],
    ids=["reward", "loss", "minibatches", "none"],
)
def test_the_first_ratio_is_one_and_nobody_is_asked_in_vain(
    settings, rank, base, open_run: Open, monkeypatch
):
    passes, ratios, logprobs_under, update = [], [], Rollouts.logprobs_under, group.update
    monkeypatch.setattr(
        Rollouts,
        "logprobs_under",
        lambda self, asked, *a, **k: passes.append(len(asked)) or logprobs_under(self, asked, *a, **k),
    )
    monkeypatch.setattr(group, "update", lambda *a: ratios.append(update(*a)) or ratios[-1])
    _, _, metrics = train(base, open_run(), settings, rank=rank)
    updates = 3 if settings.minibatch else 1
    assert [row["ratio"] for row, _ in ratios[::updates]] == [1.0] * 4  # of the first update of each step
    both = settings.minibatch or settings.kl_penalty == "k1_in_reward"
    assert passes == ([2] * 4 if both else [1] * 4 if settings.kl_coef else [])
    assert (
        metrics[0].get("kl", 0.0) == 0.0
        and max(row["sampling/sampling_logp_difference/max"] for row in metrics) < 1e-4
    )
    assert all(
        row["sampling/importance_sampling_ratio/mean"] == pytest.approx(1, abs=1e-4) for row in metrics
    )


def test_old_logprobs_of_the_update_are_those_of_a_pass_before_it(base):
    policy, reference = moved(base)
    completions, passed = written(12), minibatches(GRPO, seed=1)
    scores = torch.arange(12.0)
    lazy = group.read(policy, reference, completions, scores, [passed], GRPO)
    _, now_BT = group.update(policy, lazy, passed[0], GRPO)
    eager = group.read(policy, reference, completions, scores, [passed, passed], GRPO)
    assert lazy.old_logprobs_BT is None and eager.old_logprobs_BT is not None
    assert torch.equal(now_BT, eager.old_logprobs_BT) and now_BT.any()


# rewards and advantages


@pytest.mark.parametrize("kind", ["rloo", "reinforce"])
def test_the_penalty_is_in_the_reward_before_the_baseline(kind, base):
    policy, reference = moved(base)
    settings = replace(RLOO, advantage=kind, kl_coef=0.3)
    passed = minibatches(GRPO, seed=1)
    scores = torch.arange(12.0) % 5
    r = group.read(policy, reference, written(12), scores, [passed], settings)
    assert r.ref_logprobs_BT is not None and r.old_logprobs_BT is not None
    kl = (r.old_logprobs_BT - r.ref_logprobs_BT).sum(1)
    assert kl.abs().min() > 1e-4
    assert torch.allclose(r.rewards_B, scores - 0.3 * kl) and torch.equal(
        r.advantages_B, group_advantages(r.rewards_B.view(4, 3), kind=kind).flatten()
    )
    metrics = group.describe(r, r.old_logprobs_BT, settings)
    assert metrics["kl"] == pytest.approx(kl.mean().item()) and metrics["reward"] == pytest.approx(
        r.rewards_B.mean().item()
    )
    assert (
        metrics["objective/scores"] == pytest.approx(scores.mean().item())
        and metrics["completions/clipped_ratio"] == 0.25
    )
    in_loss = group.read(
        policy, reference, written(12), scores, [passed], replace(settings, kl_penalty="k2_in_loss")
    )
    assert torch.equal(in_loss.rewards_B, scores)


@pytest.mark.parametrize(
    "settings",
    [
        replace(RLOO, importance_cap=1.1),
        GRPO,
        replace(GRPO, loss_mean="token", kl_penalty="k2_in_loss"),
        replace(GRPO, ratio_level="sequence"),
    ],
    ids=["rloo", "grpo", "token", "gspo"],
)
def test_micro_batches_change_nothing(settings, base):
    found = []
    for size in (9, 1, 4):
        policy, reference = moved(base)
        rows = list(range(3, 12))
        minibatch = [rows[i : i + size] for i in range(0, 9, size)]
        r = group.read(
            policy, reference, written(12), torch.arange(12.0) % 5, [[[[0, 1, 2]], minibatch]], settings
        )
        r.old_logprobs_BT[r.rollouts.mask_BT.bool()] -= 0.15  # some ratios are clipped
        metrics, _ = group.update(policy, r, minibatch, settings)
        found.append((torch.cat([p.grad.flatten() for p in policy.model.parameters()]), metrics))
    for gradient, metrics in found[1:]:
        assert torch.allclose(gradient, found[0][0], atol=2e-6, rtol=1e-3) and metrics == pytest.approx(
            found[0][1], abs=1e-5
        )
    assert found[0][0].abs().max() > 1e-3


def test_a_dearer_penalty_keeps_the_policy_nearer(base, open_run: Open):
    for name, settings in {"reward": RLOO, "loss": DR_GRPO}.items():
        settings = replace(settings, steps=10, rollouts=48, per_prompt=4, micro_batch=0)
        kl = [
            train(base, open_run(f"{name}{coef}"), replace(settings, kl_coef=coef))[1]["kl_last"]
            for coef in (1e-9, 2.0)
        ]
        assert kl[1] < 0.5 * kl[0], name


# a sampler that is not the trainer


def test_a_nucleus_is_seen_and_weighed(base, open_run: Open):
    settings = replace(GRPO, sampling=SamplingSettings(max_new_tokens=5, top_p=0.5))
    policy, _, metrics = train(base, open_run("weighed"), settings)
    ratios = [row["sampling/importance_sampling_ratio/mean"] for row in metrics]
    assert all(
        0.4 < ratio < 0.95 for ratio in ratios
    )  # at least half of the probability is in the nucleus, so a token's weight is from one half to 1
    assert all(
        row["sampling/importance_sampling_ratio/min"] > 0.49
        and row["sampling/sampling_logp_difference/mean"] > 0.1
        for row in metrics
    )
    other = train(base, open_run("plain"), replace(settings, importance_cap=0.0))[0]
    assert any(
        not torch.equal(tensor, trainable_tensors(other.model)[name])
        for name, tensor in trainable_tensors(policy.model).items()
    )


class Stale:
    """A sampler that never hears of the newer weights."""

    def __init__(self, base: Path) -> None:
        frozen = load_policy(base, ModelSettings())
        self.inner = LocalSampler.of(frozen)

    def sample(self, prompts, sampling, *, seed, first=0):
        return self.inner.sample(prompts, sampling, seed=seed, first=first)

    def sync(self, model):
        pass

    def close(self):
        self.inner.close()


def test_a_stale_sampler_is_seen(base, open_run: Open):
    *_, metrics = train(
        base, open_run(), replace(GRPO, optim=replace(GRPO.optim, lr=2e-2)), sampler=Stale(base)
    )
    differences = [row["sampling/sampling_logp_difference/mean"] for row in metrics]
    assert (
        differences[0] < 1e-5 < 1e-2 < differences[-1]
        and metrics[-1]["sampling/importance_sampling_ratio/max"] > 1.1
    )


# a run that is interrupted


class Failing(RuleJudge):
    calls = 0

    def score(self, completions):
        self.calls += 1
        if self.calls == 4:
            raise KeyboardInterrupt
        return super().score(completions)


@pytest.mark.parametrize(
    ("settings", "rank"), [(replace(RLOO, epochs=2, minibatch=6), 0), (GRPO, 4)], ids=["rloo", "grpo, LoRA"]
)
def test_a_resumed_run_equals_an_undisturbed_one(settings, rank, base, open_run: Open, monkeypatch):
    settings, gold = replace(settings, steps=5), RuleJudge("length", lambda c: len(c.ids))
    policy, summary, metrics = train(base, open_run("whole"), settings, rank=rank, gold=gold)
    monkeypatch.setenv("ALIGNLAB_SAVE_EVERY_STEPS", "2")
    with pytest.raises(KeyboardInterrupt):
        train(base, open_run("cut"), settings, rank=rank, gold=gold, judge=Failing("low", LOW.rule))
    again = open_run("cut")
    assert again.load_state()[0] == 2
    other, summary_again, metrics_again = train(base, again, settings, rank=rank, gold=gold)
    untimed = [
        [{k: v for k, v in row.items() if not k.startswith("time/")} for row in rows]
        for rows in (metrics, metrics_again)
    ]
    assert untimed[0] == untimed[1] and len(untimed[0]) == 5 and summary == summary_again
    tensors = trainable_tensors(other.model)
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in trainable_tensors(policy.model).items())


# what is logged, and what is refused


def test_metrics_carry_the_names_of_the_field(base, open_run: Open):
    *_, metrics = train(base, open_run(), replace(GRPO, epochs=2, gold_every=2), gold=LOW)
    names = {
        "reward",
        "reward_std",
        "frac_reward_zero_std",
        "kl",
        "entropy",
        "loss",
        "grad_norm",
        "learning_rate",
        "completions/mean_length",
        "completions/clipped_ratio",
        "completions/marks_ratio",
        "clip_ratio/low_mean",
        "clip_ratio/high_mean",
        "clip_ratio/region_mean",
        "sampling/sampling_logp_difference/mean",
        "sampling/importance_sampling_ratio/max",
        "objective/scores",
        "time/sampling",
    }
    for row in metrics:
        assert (
            names <= row.keys()
            and ("objective/gold" in row) == (row["step"] % 2 == 0)
            and 0 < row["entropy"] < 5.6
            and row["updates"] == 2
        )


def test_bad_settings_prompts_and_scores_are_refused(base, open_run: Open):
    wrong = [
        replace(RLOO, per_prompt=1),
        replace(RLOO, per_prompt=5),
        replace(RLOO, sampling=SamplingSettings(temperature=0.0)),
        replace(RLOO, cliprange=0.0),
        replace(RLOO, adapter=AdapterSettings(rank=2, dropout=0.1)),
        replace(RLOO, kl_coef=-1.0),
        replace(RLOO, steps=0),
        replace(RLOO, minibatch=-1),
        replace(REINFORCE, rollouts=1, per_prompt=1),
        replace(GRPO, ratio_level="sequence"),
    ]
    for i, settings in enumerate(wrong):
        with pytest.raises(ConfigError):
            train(base, open_run(str(i)), settings)
    rules.check(replace(REINFORCE, per_prompt=1))
    with pytest.raises(DataError, match="no record fits"):
        train(base, open_run("long"), replace(RLOO, max_prompt_length=2))
    with pytest.raises(GuardStop, match="score of broken is nan at step 0"):
        train(base, open_run("nan"), RLOO, judge=RuleJudge("broken", lambda c: float("nan")))


def test_tokens_of_completions_that_nothing_was_learnt_from_are_those_of_the_sampler(base, open_run: Open):
    """No model was asked about them: their rows have what they were drawn with, and no advantage."""
    settings = replace(RLOO, kl_coef=0.0, steps=2)
    run = open_run()
    train(base, run, settings, judge=RuleJudge("one", lambda c: 1.0))
    rows = [json.loads(line) for line in (run.path / "tokens.jsonl").read_text().splitlines()]
    assert rows and all(set(row) == {"step", "place", "pieces", "logprob"} for row in rows)
    assert all(len(row["pieces"]) == len(row["logprob"]) > 0 for row in rows)
    assert all(value < 0 for row in rows for value in row["logprob"])
