"""Online DPO and rejection sampling on a tiny random model whose judge is a rule."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from alignlab.errors import ConfigError, DataError, GuardStop
from alignlab.feedback import RuleJudge
from alignlab.methods import online_dpo, rejection
from alignlab.models.load import load_policy
from alignlab.models.state import trainable_tensors
from alignlab.records import Completion, Prompt
from alignlab.run import RunDir
from alignlab.settings import (
    AdapterSettings,
    ModelSettings,
    OnlineDPOSettings,
    OptimSettings,
    RejectionSettings,
    SamplingSettings,
)

PROMPTS = [Prompt.user(f"{i}?") for i in range(12)]
LOW = RuleJudge("low", lambda c: -sum(c.ids) / 256 / max(1, len(c.ids)))  # likes small ids
OPTIM = OptimSettings(lr=1e-2, schedule="constant", warmup=0.0, weight_decay=0.0)
ONLINE = OnlineDPOSettings(
    steps=4, prompts=8, beta=0.1, sampling=SamplingSettings(max_new_tokens=4), optim=OPTIM
)
REJECTION = RejectionSettings(
    rounds=2,
    prompts=10,
    per_prompt=4,
    batch=4,
    micro_batch=3,
    sampling=SamplingSettings(max_new_tokens=60),
    optim=OPTIM,
)
ENDED = RuleJudge("short", lambda c: -float(len(c.text)))
Open = Callable[..., RunDir]


def train(base, run: RunDir, settings: Any, *, judge: Any = LOW, rank: int = 0, **more: Any):
    torch.manual_seed(1)
    policy = load_policy(base, ModelSettings(), AdapterSettings(rank=rank, alpha=8), trainable=True)
    reference = None if rank else load_policy(base, ModelSettings())
    method = online_dpo if isinstance(settings, OnlineDPOSettings) else rejection
    summary = method.train(run, policy, reference, PROMPTS, settings, judge=judge, seed=3, **more)
    return (
        policy,
        summary,
        [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()],
    )


def fresh(base) -> dict[str, torch.Tensor]:
    return trainable_tensors(load_policy(base, ModelSettings(), trainable=True).model)


# online DPO


@pytest.mark.parametrize("ask", ["score", "compare"])
def test_online_dpo_learns_what_the_judge_prefers_and_nothing_from_one_that_cannot_tell(
    ask, base, open_run: Open
):
    settings = replace(ONLINE, ask=ask, steps=15, prompts=24)
    _, summary, metrics = train(base, open_run("rule"), settings, gold=LOW)
    assert summary["gold_last"] > summary["gold_first"] + 0.1 and summary["kl_last"] > 0.1
    assert (summary["score_last"] is None) == (ask == "compare") and ("judge/certainty" in metrics[0]) == (
        ask == "compare"
    )
    assert (
        metrics[0]["rewards/margins"] == 0.0 == metrics[0]["objective/kl"]
        and metrics[-1]["rewards/margins"] > 0
    )
    policy, _, metrics = train(
        base,
        open_run("constant"),
        replace(ONLINE, ask=ask, unfinished_loses=False),
        judge=RuleJudge("constant", lambda c: 0.0),
    )
    assert all(row["pairs/tied"] == 1.0 and "loss" not in row for row in metrics)
    assert all(
        torch.equal(tensor, fresh(base)[name]) for name, tensor in trainable_tensors(policy.model).items()
    )


def test_the_best_stands_against_the_worst_and_what_was_cut_behind_what_ended():
    def group(*what: tuple[str, bool]) -> list[Completion]:
        return [
            Completion(PROMPTS[0], text, tuple(map(ord, text)), (-1.0,) * len(text), ended)
            for text, ended in what
        ]

    length = RuleJudge("length", lambda c: len(c.text))
    three = replace(ONLINE, per_prompt=3)
    completions = [
        *group(("a", True), ("bbb", True), ("bb", True)),
        *group(("dddd", False), ("d", True), ("dd", True)),
        *group(("e", True), ("f", True), ("g", True)),
    ]
    pairs, scores, metrics = online_dpo.pairs_of(length, completions, three, 0)
    assert (
        pairs == [(1, 0), (5, 3)]
        and scores == [1, 3, 2, 4, 1, 2, 1, 1, 1]
        and metrics["pairs/tied"] == pytest.approx(1 / 3)
    )
    assert online_dpo.pairs_of(length, completions, replace(three, unfinished_loses=False), 0)[0] == [
        (1, 0),
        (3, 4),
    ]
    two = group(("a", True), ("bb", True), ("cccc", False), ("c", True))
    assert online_dpo.pairs_of(length, two, replace(ONLINE, ask="compare"), 0)[:2] == ([(1, 0), (3, 2)], [])


def test_micro_batches_of_online_dpo_change_nothing(base):
    found = []
    completions = [
        Completion(
            PROMPTS[i // 2],
            "x",
            tuple(40 + (7 * i + j) % 60 for j in range(1 + i % 4)),
            (-5.0,) * (1 + i % 4),
            prompt_ids=(30 + i // 2, 29),
        )
        for i in range(10)
    ]
    for size in (0, 2, 1):
        policy, reference = (load_policy(base, ModelSettings(), trainable=not i) for i in range(2))
        with torch.no_grad():
            for p in policy.model.parameters():
                p += 0.02 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()))
        policy.model.eval()
        metrics = online_dpo.update(
            policy,
            reference,
            completions,
            [(0, 1), (3, 2), (5, 4), (6, 7), (9, 8)],
            replace(ONLINE, micro_batch=size),
        )
        found.append((torch.cat([p.grad.flatten() for p in policy.model.parameters()]), metrics))
    for gradient, metrics in found[1:]:
        assert torch.allclose(gradient, found[0][0], atol=1e-6, rtol=1e-3) and metrics == pytest.approx(
            found[0][1], abs=1e-4
        )
    assert found[0][0].abs().max() > 1e-4 and found[0][1]["rewards/margins"] == pytest.approx(
        found[0][1]["rewards/chosen"] - found[0][1]["rewards/rejected"], abs=1e-6
    )


# rejection sampling


def test_rejection_sampling_learns_round_by_round(base, open_run: Open):
    _, summary, metrics = train(
        base, open_run("rule"), replace(REJECTION, rounds=3, epochs=3, per_prompt=6), judge=ENDED, gold=ENDED
    )
    assert (
        summary["proxy_last"] > summary["proxy_first"] + 5
        and summary["gold_last"] == summary["proxy_last"]
        and summary["kl_last"] > 0.1
    )
    rounds = [row for row in metrics if "round" in row]
    assert [row["round"] for row in rounds] == [0, 1, 2, 3] and rounds[0]["round/kl"] == 0.0
    assert all(
        row["round/proxy_best"] > row["round/proxy"] and 0 < row["round/distinct"] <= 1 for row in rounds
    )
    assert summary["steps"] == 3 * 8 == len(metrics) - 1


def test_the_best_that_ended_of_each_prompt_and_the_top_share_of_prompts(base):
    policy, reference = load_policy(base, ModelSettings()), load_policy(base, ModelSettings())
    completions = [
        Completion(
            p, f"{i}{j}", (50 + i, 60 + j), (-5.0, -5.0), finished=j < 2 and i != 2, prompt_ids=(30 + i, 29)
        )
        for i, p in enumerate(PROMPTS[:4])
        for j in range(3)
    ]
    scores = [1.0, 2, 9, 4, 3, 9, 7, 7, 7, 0, 0, 5]
    found = rejection.pick(
        policy,
        reference,
        completions,
        scores,
        RuleJudge("gold", lambda c: float(c.text == "01")),
        replace(REJECTION, per_prompt=3),
    )
    assert [row["completion"] for row in found["best"]] == ["01", "10", "30"] and found["figures"][
        "unfinished"
    ] == 1
    assert (
        found["figures"]["proxy_best"] == 2.0
        and found["figures"]["gold_best"] == pytest.approx(1 / 3)
        and found["figures"]["distinct"] == 1.0
    )
    assert [row["completion"] for row in rejection.top(found["best"], 0.5)] == ["10", "01"]
    newer = [
        {**found["best"][0], "completion": "new", "proxy": 3.0},
        {**found["best"][1], "completion": "worse", "proxy": 1.0},
    ]
    assert [row["completion"] for row in rejection.top([*found["best"], *newer], 1.0)] == ["10", "new", "30"]


# a run that is interrupted


@pytest.mark.parametrize(
    ("settings", "rank", "die_at"),
    [(ONLINE, 0, 2), (ONLINE, 4, 2), (REJECTION, 0, 4), (replace(REJECTION, keep_earlier=True), 4, 5)],
)
def test_a_resumed_run_equals_an_undisturbed_one(settings, rank, die_at, base, open_run: Open, monkeypatch):
    from .conftest import Killed

    judge = ENDED if settings.__class__ is RejectionSettings else LOW
    monkeypatch.setenv("ALIGNLAB_SAVE_EVERY_STEPS", "1")
    policy, summary, metrics = train(base, open_run("whole"), settings, judge=judge, rank=rank, gold=LOW)
    with pytest.raises(Killed):
        train(base, open_run("cut", die_at=die_at), settings, judge=judge, rank=rank, gold=LOW)
    again = open_run("cut")
    assert again.load_state()[0] == die_at
    other, summary_again, metrics_again = train(base, again, settings, judge=judge, rank=rank, gold=LOW)
    untimed = [
        [{k: v for k, v in row.items() if not k.startswith("time/")} for row in rows]
        for rows in (metrics, metrics_again)
    ]
    assert untimed[0] == untimed[1] and summary == summary_again
    tensors = trainable_tensors(other.model)
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in trainable_tensors(policy.model).items())
    assert (
        train(base, open_run("cut"), settings, judge=judge, rank=rank, gold=LOW)[1] == summary
    )  # killed after its last step


def test_bad_settings_prompts_and_scores_are_refused(base, open_run: Open):
    greedy = SamplingSettings(temperature=0.0)
    wrong = [
        replace(ONLINE, per_prompt=1),
        replace(ONLINE, per_prompt=3, ask="compare"),
        replace(ONLINE, beta=0.0),
        replace(ONLINE, sampling=greedy),
        replace(REJECTION, per_prompt=1),
        replace(REJECTION, top_share=0.0),
        replace(REJECTION, rounds=1, keep_earlier=True),
        replace(REJECTION, sampling=greedy),
    ]
    for i, settings in enumerate(wrong):
        with pytest.raises(ConfigError):
            train(base, open_run(str(i)), settings)
    broken = RuleJudge("broken", lambda c: float("nan"))
    for i, settings in enumerate((ONLINE, replace(ONLINE, ask="compare"), REJECTION)):
        with pytest.raises(GuardStop, match="of broken is nan at step 0"):
            train(base, open_run(f"nan{i}"), settings, judge=broken)
        with pytest.raises(DataError, match="no record fits"):
            train(base, open_run(f"long{i}"), replace(settings, max_prompt_length=2))
    with pytest.raises(DataError, match="no completion of this round ended"):
        train(
            base,
            open_run("cut"),
            replace(REJECTION, sampling=SamplingSettings(max_new_tokens=1), prompts=2, per_prompt=2),
        )
