"""What the on-policy methods share: prompts and minibatches of a step, how far sampler and trainer are apart,
what is worth looking at.
"""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from alignlab.errors import DataError, GuardStop
from alignlab.feedback import RuleJudge
from alignlab.records import Completion, Prompt, Score
from alignlab.rollouts import (
    Rollouts,
    first_and_last,
    judged,
    metrics,
    passes,
    prompts_of_step,
    samples_of_step,
    shaped_scores,
)
from alignlab.rollouts.worth_reading import best_and_worst, misleading
from alignlab.settings import PPOSettings

PROMPTS = [Prompt.user(f"{i} apples?") for i in range(18)]


def test_every_completion_once_a_pass_in_an_order_of_its_own():
    settings = PPOSettings(rollouts=12, epochs=2, minibatch=5, micro_batch=2)
    one, two = passes(settings, step=0, seed=1)
    assert [[len(piece) for piece in minibatch] for minibatch in one] == [[2, 2, 1], [2, 2, 1], [2]]
    assert sorted(i for minibatch in one for piece in minibatch for i in piece) == list(range(12))
    assert one != two and [one, two] == passes(settings, step=0, seed=1)
    grouped = replace(settings, per_prompt=3, minibatch=12, micro_batch=3, epochs=1)
    # the completions of a prompt side by side
    together = [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert [sorted(minibatch) for (minibatch,) in passes(grouped, step=0, seed=1)] == [together]


def test_every_prompt_once_an_epoch():
    steps = [prompts_of_step(PROMPTS, 4, step, seed=5) for step in range(9)]
    seen = [prompt.text for step in steps for prompt in step]
    assert (
        sorted(seen[:18]) == sorted(seen[18:]) == sorted(p.text for p in PROMPTS) and seen[:18] != seen[18:]
    )
    assert (
        prompts_of_step(PROMPTS, 4, 4, seed=5) == steps[4]
    )  # spans two epochs, and asks nobody what came before


def test_scores_are_clipped_before_a_cut_completion_pays():
    completions = [
        Completion(PROMPTS[0], "yes"),
        Completion(PROMPTS[0], "y", finished=False),
        Completion(PROMPTS[0], "no"),
    ]
    clipped = PPOSettings(score_clip=2.0, missing_end_penalty=1.5)
    assert shaped_scores([9.0, 9.0, -9.0], completions, clipped).tolist() == [2.0, 0.5, -2.0]
    plain = PPOSettings(score_clip=0.0, missing_end_penalty=0.0)
    assert shaped_scores([9.0, 9.0, -9.0], completions, plain).tolist() == [9.0, 9.0, -9.0]
    with pytest.raises(GuardStop, match="score of rule is nan at step 7") as error:
        judged(RuleJudge("rule", lambda c: math.nan if c.text == "no" else 1.0), completions, 7)
    assert "no" in error.value.where


POLICY: Any = SimpleNamespace(device="cpu", pad_id=0)


def test_rows_are_what_was_read_and_written_and_the_mismatch_is_that_of_what_was_written():
    one = Completion(PROMPTS[0], "a b", (5, 6), (-1.0, -2.0), prompt_ids=(9,))
    two = Completion(PROMPTS[0], "a", (5,), (-3.0,), prompt_ids=(9,))
    batch = Rollouts.read(POLICY, [one, two])
    assert [row.ids for row in batch.rows] == [[9, 5, 6], [9, 5]]
    assert batch.mask_BT.tolist() == [[0, 1, 1], [0, 1, 0]]
    assert batch.sampler_logprobs_BT.tolist() == [[0, -1, -2], [0, -3, 0]]
    # what stands outside counts for nothing
    trainer = torch.tensor([[math.nan, -1.5, -2.0], [math.nan, -2.0, math.nan]])
    found = metrics.mismatch(batch, trainer)
    assert found == pytest.approx(
        {
            "sampling/sampling_logp_difference/mean": 0.5,
            "sampling/sampling_logp_difference/max": 1.0,
            "sampling/importance_sampling_ratio/min": math.exp(-0.5),
            "sampling/importance_sampling_ratio/mean": (math.exp(-0.5) + 1 + math.e) / 3,
            "sampling/importance_sampling_ratio/max": math.e,
        }
    )
    with pytest.raises(DataError, match="gave 1 ids of the prompt, and 0 log-probabilities for 1 tokens"):
        Rollouts.read(POLICY, [replace(two, logprobs=())])
    with pytest.raises(DataError, match="gave 0 ids of the prompt"):
        Rollouts.read(POLICY, [replace(two, prompt_ids=())])


def test_misleading_is_above_the_mean_by_proxy_and_below_it_by_gold():
    proxy, gold = [0.0, 1.0, 2.0, 3.0, 9.0], [0.0, 0.0, 1.0, 0.0, 0.2]
    assert misleading(proxy, gold) == [4] and misleading(proxy, []) == []
    assert misleading([5.0, 6.0, 0.0, 0.0], [0.1, 0.1, 1.0, 0.5]) == [1, 0]
    assert best_and_worst(proxy) == [4, 3, 0]
    completions = [Completion(PROMPTS[i], str(i)) for i in range(5)]
    rows = samples_of_step(completions, proxy, None, [Score(g, reason="why") for g in gold])
    assert [(row["completion"], row["place"]) for row in rows] == [(str(i), i) for i in range(5)]
    assert [row["place"] for row in rows if row["shown"]] == [0, 3, 4]
    assert rows[4]["misleading"] and rows[4]["reason"] == "why" and rows[4]["kl"] is None


def test_first_and_last_are_tenths_of_the_steps_that_have_a_figure():
    history = [{"score": float(i), "gold": None if i % 2 else float(i)} for i in range(20)]
    assert first_and_last(history, "score", "gold") == {
        "score_first": 0.5,
        "score_last": 18.5,
        "gold_first": 0.0,
        "gold_last": 18.0,
    }
    assert first_and_last([{"gold": None}], "gold") == {"gold_first": None, "gold_last": None}
