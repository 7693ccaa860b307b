"""The task with a known optimum: the closed form against brute force, each figure against its definition, and
methods that should find it.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch

from alignlab.errors import ConfigError
from alignlab.studies import closed_form_methods as m
from alignlab.studies import closed_form_task as c
from alignlab.studies.closed_form_settings import ClosedFormSettings

SMALL = ClosedFormSettings(prompts=2, vocabulary=3, length=2, group=8, groups=8, steps=250, lr=0.1)


@pytest.fixture(scope="module")
def task() -> c.Task:
    return c.make_task(SMALL, 0)


def test_the_table_is_every_sequence_with_its_probability(task: c.Task) -> None:
    assert task.ids_CT.tolist() == [list(pair) for pair in itertools.product(range(3), repeat=2)]
    table = task.log_ref_PC
    assert table.exp().sum(1).tolist() == pytest.approx([1.0, 1.0])
    for prompt, (i, (first, second)) in itertools.product(
        range(2), enumerate(task.ids_CT.tolist())
    ):  # by hand: the root, then the row of the first token
        by_hand = (
            task.ref_PSV[prompt, 0].log_softmax(0)[first]
            + task.ref_PSV[prompt, 1 + first].log_softmax(0)[second]
        )
        assert table[prompt, i].item() == pytest.approx(by_hand.item(), abs=1e-12)


def test_three_tokens_share_a_row_only_if_they_share_the_prefix() -> None:
    task = c.make_task(replace(SMALL, length=3), 0)
    rows: dict[int, set[tuple[int, ...]]] = {}
    for ids, states in zip(task.ids_CT.tolist(), task.states_CT.tolist(), strict=True):
        for t, state in enumerate(states):
            rows.setdefault(state, set()).add(tuple(ids[:t]))
    assert len(rows) == task.ref_PSV.shape[1] == 13 and all(len(prefixes) == 1 for prefixes in rows.values())


def test_the_closed_form_is_the_optimum_by_brute_force(task: c.Task) -> None:
    best = c.optimum(task.log_ref_PC, task.reward_PC, task.beta)
    free = task.log_ref_PC.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [free], max_iter=500, tolerance_grad=1e-12, tolerance_change=1e-15, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        log_p = free.log_softmax(1)
        value = -((log_p.exp() * task.reward_PC).sum(1) - task.beta * c.kl(log_p, task.log_ref_PC)).sum()
        value.backward()
        return value

    optimizer.step(loss)  # type: ignore[arg-type]
    torch.testing.assert_close(free.detach().softmax(1), best.exp(), atol=1e-5, rtol=0)


def test_regret_is_beta_times_the_distance_and_the_frontier_touches_the_optimum(task: c.Task) -> None:
    g = torch.Generator().manual_seed(3)
    for _ in range(5):
        some = torch.randn(task.reward_PC.shape, generator=g, dtype=torch.float64).log_softmax(1)
        row = c.figures(task, some)
        assert (
            row["regret"] == pytest.approx(task.beta * row["kl_to_optimum"], abs=1e-9)
            and row["regret"] > 0
            and row["frontier_gap"] > -1e-6
        )
    row = c.figures(task, c.optimum(task.log_ref_PC, task.reward_PC, task.beta))
    assert row["kl_to_optimum"] == pytest.approx(0, abs=1e-12) and row["frontier_gap"] == pytest.approx(
        0, abs=1e-6
    )
    other = c.figures(
        task, c.optimum(task.log_ref_PC, task.reward_PC, 3 * task.beta)
    )  # right shape, wrong strength: only the distance sees it
    assert other["kl_to_optimum"] > 0.05 and other["frontier_gap"] == pytest.approx(0, abs=1e-6)


def test_best_of_n_is_what_picking_gives(task: c.Task) -> None:
    for n in (1, 2, 3):
        by_hand = torch.zeros_like(task.reward_PC)
        for prompt in range(2):
            p = task.log_ref_PC[prompt].exp()
            for drawn in itertools.product(range(9), repeat=n):
                pick = max(drawn, key=lambda i: task.reward_PC[prompt, i].item())
                by_hand[prompt, pick] += math.prod(p[i].item() for i in drawn)
        torch.testing.assert_close(c.best_of_n_table(task.log_ref_PC, task.reward_PC, n).exp(), by_hand)


@pytest.mark.parametrize(
    "learn",
    [
        lambda t: m.learn_ppo(t, SMALL, 1),
        lambda t: m.learn_group(t, "rloo", "reward", SMALL, 1),
        lambda t: m.learn_group(t, "grpo", "reward", SMALL, 1),
        lambda t: m.learn_group(t, "reinforce", "reward", SMALL, 1),
        lambda t: m.learn_group(t, "rloo", "whole k2", SMALL, 1),
        lambda t: m.learn_direct(t, "sigmoid", SMALL, 1),
    ],
    ids=["ppo", "rloo", "grpo", "reinforce", "whole k2", "dpo"],
)
def test_methods_that_should_find_the_optimum_do(task: c.Task, learn) -> None:
    begun = c.figures(task, task.log_ref_PC)["kl_to_optimum"]
    assert c.figures(task, learn(task))["kl_to_optimum"] < 0.03 * begun


def test_methods_with_another_fixed_point_end_there(task: c.Task) -> None:
    begun = c.figures(task, task.log_ref_PC)["kl_to_optimum"]
    for kind, penalty in (("rloo", "k1"), ("rloo", "k3"), ("grpo", "k3")):
        assert (
            c.figures(task, m.learn_group(task, kind, penalty, SMALL, 1))["kl_to_optimum"] > 0.05 * begun
        ), (kind, penalty)
    ipo = c.figures(task, m.learn_direct(task, "ipo", SMALL, 1), c.ipo_target(task))
    assert ipo["kl_to_own_target"] < 0.01 and ipo["kl_to_optimum"] > 0.2 * begun
    picked = c.figures(
        task, m.learn_rejection(task, 3, SMALL, 1), c.best_of_n_table(task.log_ref_PC, task.reward_PC, 3)
    )
    assert picked["kl_to_own_target"] < 0.02


def test_sampled_labels_get_nearer_with_more_of_them(task: c.Task) -> None:
    far, near = (
        c.figures(task, m.learn_direct(task, "sigmoid", SMALL, 1, comparisons=n))["kl_to_optimum"]
        for n in (20, 5000)
    )
    assert near < 0.3 * far


def test_settings_that_make_no_task_are_refused() -> None:
    for wrong in ({"beta": 0.0}, {"group": 1}, {"vocabulary": 12, "length": 6}):
        with pytest.raises(ConfigError):
            c.check(replace(SMALL, **wrong))
