"""One step ahead: the next batch is written beside the update, by the policy as it was before it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event, current_thread
from typing import Any

import pytest
import torch

from alignlab.errors import ConfigError, ResourceError
from alignlab.feedback import RuleJudge
from alignlab.methods import group, online_dpo, ppo
from alignlab.models.load import load_policy, load_reward_model
from alignlab.models.policy import Policy
from alignlab.records import Completion, Prompt
from alignlab.rollouts import sample as sampled
from alignlab.run import RunDir
from alignlab.run.reading import lines
from alignlab.sampling.local import LocalSampler
from alignlab.settings import (
    GRPOSettings,
    ModelSettings,
    OnlineDPOSettings,
    OptimSettings,
    PPOSettings,
    RLOOSettings,
    SamplingSettings,
    rules,
)

from .conftest import Killed

PROMPTS = [Prompt.user(f"{i}?") for i in range(14)]
LOW = RuleJudge("low", lambda c: -sum(c.ids) / 256 / max(1, len(c.ids)))
SHARED: dict[str, Any] = {
    "steps": 5,
    "sampler": "http://127.0.0.1:9/v1#elsewhere",
    "sampling": SamplingSettings(max_new_tokens=5),
    "optim": OptimSettings(lr=5e-3, schedule="constant", warmup=0.0, weight_decay=0.0),
}
BATCH = {"rollouts": 12, "missing_end_penalty": 0.0}
RLOO = RLOOSettings(**SHARED, **BATCH, per_prompt=3)
METHODS = [
    RLOO,
    GRPOSettings(**SHARED, **BATCH, per_prompt=3),
    PPOSettings(**SHARED, **BATCH, minibatch=6, importance_cap=2.0),
    OnlineDPOSettings(**SHARED, prompts=6),
]
Open = Callable[..., RunDir]


class Apart:
    """A sampler with weights of its own, as a server has them: those of the last sync."""

    def __init__(self, policy: Policy) -> None:
        self.policy = replace(policy, model=copy.deepcopy(policy.model))
        self.inner = LocalSampler.of(self.policy, name="policy")
        self.wrote: list[tuple[int, str]] = []  # after how many syncs, and in which thread
        self.brought: list[torch.Tensor] = []

    def sync(self, model: Any) -> None:
        self.policy.model.load_state_dict(model.state_dict())
        self.brought.append(torch.cat([p.detach().flatten() for p in model.parameters()]))

    def sample(self, prompts: Any, sampling: Any, *, seed: int = 0, first: int = 0) -> Any:
        thread = current_thread().name
        self.wrote.append((len(self.brought), thread))
        if thread == "ahead":
            self.wait()
        return self.inner.sample(prompts, sampling, seed=seed, first=first)

    def wait(self) -> None:
        """Before it writes ahead."""

    def close(self) -> None:
        self.inner.close()


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> list[Apart]:
    """The samplers that the runs of a test had."""
    made: list[Apart] = []

    def sampler(run: RunDir, policy: Policy, settings: Any) -> Apart:
        made.append(Apart(policy))
        return made[-1]

    monkeypatch.setattr(sampled, "_sampler", sampler)
    return made


def train(base: Path, run: RunDir, settings: Any, judge: Any = LOW) -> tuple[Any, list[Any], list[Any]]:
    """Weights, metrics without times, and completions."""
    torch.manual_seed(1)
    policy, reference = load_policy(base, ModelSettings(), trainable=True), load_policy(base, ModelSettings())
    if isinstance(settings, PPOSettings):
        value = load_reward_model(base, ModelSettings(), init_head=True, trainable=True)
        ppo.train(run, policy, reference, value, PROMPTS, settings, judge=judge, seed=3)
    elif isinstance(settings, OnlineDPOSettings):
        online_dpo.train(run, policy, reference, PROMPTS, settings, judge=judge, seed=3)
    else:
        group.train(run, policy, reference, PROMPTS, settings, judge=judge, seed=3)
    weights = torch.cat([p.detach().flatten() for p in policy.model.parameters()])
    metrics = lines(run.path / "metrics.jsonl")
    figures = [{k: v for k, v in row.items() if not k.startswith("time/")} for row in metrics]
    return weights, figures, lines(run.path / "samples.jsonl")


@pytest.mark.parametrize("settings", METHODS, ids=lambda s: type(s).__name__)
def test_each_batch_is_by_the_policy_as_it_was_one_update_before(
    settings: Any, base: Path, open_run: Open, apart: list[Apart]
) -> None:
    _, figures, _ = train(base, open_run("ahead"), replace(settings, staleness=1))
    assert [row["sampling/staleness"] for row in figures] == [0, 1, 1, 1, 1]
    assert apart[0].wrote == [(1, "MainThread"), *((at, "ahead") for at in (1, 2, 3, 4))]
    first, second, third, *_ = apart[0].brought
    assert not torch.equal(first, second) and not torch.equal(second, third)
    gap = [row["sampling/sampling_logp_difference/mean"] for row in figures]
    assert gap[0] < 1e-5 and min(gap[1:]) > 1e-3, "what the sampler's weights lack is seen, and only there"


@pytest.mark.parametrize("settings", METHODS, ids=lambda s: type(s).__name__)
def test_where_nothing_is_learnt_it_is_the_loop_that_takes_turns_to_the_bit(
    settings: Any, base: Path, open_run: Open, apart: list[Apart]
) -> None:
    still = replace(settings, optim=replace(settings.optim, lr=1e-30))
    turns = train(base, open_run("turns"), still)
    ahead = train(base, open_run("ahead"), replace(still, staleness=1))
    for row in ahead[1]:
        row.pop("sampling/staleness")
    assert torch.equal(turns[0], ahead[0]) and turns[1:] == ahead[1:]


def test_it_is_written_while_the_loop_goes_on(
    base: Path, open_run: Open, apart: list[Apart], monkeypatch: pytest.MonkeyPatch
) -> None:
    judged, waited = Event(), []

    def seen(c: Completion) -> float:
        if apart[0].wrote[-1][1] == "ahead":
            judged.set()
        return 0.0

    monkeypatch.setattr(Apart, "wait", lambda self: waited.append(judged.wait(60)))
    train(base, open_run("beside"), replace(RLOO, steps=2, staleness=1), RuleJudge("seen", seen))
    assert waited == [True], "it was judged before the next batch was there"


@pytest.mark.parametrize("settings", METHODS, ids=lambda s: type(s).__name__)
def test_a_run_that_was_killed_ends_in_the_same_bits(
    settings: Any, base: Path, open_run: Open, apart: list[Apart], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALIGNLAB_SAVE_EVERY_STEPS", "1")
    ahead = replace(settings, staleness=1, probes=2)
    whole = train(base, open_run("whole"), ahead)
    with pytest.raises(Killed):
        train(base, open_run("killed", die_at=3), ahead)
    again = train(base, open_run("killed"), ahead)
    assert torch.equal(whole[0], again[0]) and whole[1:] == again[1:]
    assert [thread for _, thread in apart[-1].wrote if thread == "ahead"] == ["ahead"], "step 3 was kept"


def test_what_goes_wrong_while_it_writes_is_said_when_its_step_comes(
    base: Path, open_run: Open, apart: list[Apart], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(self: Apart) -> None:
        raise ResourceError("the server is gone", remedy="start it")

    monkeypatch.setattr(Apart, "wait", gone)
    run = open_run("gone")
    with pytest.raises(ResourceError, match="the server is gone"):
        train(base, run, replace(RLOO, staleness=1))
    assert [row["step"] for row in lines(run.path / "metrics.jsonl")] == [0]


def test_what_cannot_be_is_said(base: Path) -> None:
    with pytest.raises(ConfigError, match="cannot write while it is updated"):
        rules.check(replace(RLOO, staleness=1, sampler=""))
    with pytest.raises(ConfigError, match="as if it were the policy's own"):
        rules.check(replace(METHODS[2], staleness=1, importance_cap=0.0))
    for settings in METHODS:
        rules.check(replace(settings, staleness=1))
