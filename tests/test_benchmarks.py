"""The benchmarks fit the package as it is: each can be read, and those that plan a pipeline plan it."""

from __future__ import annotations

import inspect
import sys
from functools import partial
from pathlib import Path

import pytest

from alignlab import losses, names
from alignlab.health.rules import RULES
from alignlab.methods import direct, ppo, sft
from alignlab.models import load
from alignlab.pipeline.runner import Pipeline
from alignlab.recipes.settings import PipelineSettings
from alignlab.rollouts import sample
from alignlab.sampling import Sampling
from alignlab.sampling.local import LocalSampler
from alignlab.settings import ModelSettings
from alignlab.town import base

from .scripts import ROOT, script


@pytest.mark.parametrize("name", sorted(file.stem for file in ROOT.glob("benchmarks/*.py")))
def test_it_says_what_it_does(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All its imports are there, and its --help names the command."""
    found = script(f"benchmarks/{name}.py")
    assert f"benchmarks/{name}.py" in (found.__doc__ or "")
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
    with pytest.raises(SystemExit) as stopped:
        found.main()
    assert stopped.value.code == 0 and "usage" in capsys.readouterr().out


def test_pipelines_are_planned(tmp_path: Path) -> None:
    """Every stage takes the arguments that it is planned with."""
    pipeline = Pipeline(tmp_path / "bars")
    script("benchmarks/town_bars.py").plan(pipeline, PipelineSettings(), 0)
    constitutional = (
        script("benchmarks/constitutional.py").plan_of(tmp_path / "constitutional", 0, 1).pipeline
    )
    mixed = Pipeline(tmp_path / "mixed")
    recipes = script("benchmarks/recipes.py")
    recipes.plan_ptx(mixed, 0, [0.3])
    both = {name: Pipeline(tmp_path / name) for name in recipes.OWN_DPO}
    for name, planned in both.items():
        assert recipes.plan_published(planned, name, 0)[1] == "eval-dpo-usual"
    for planned, needed in (
        (mixed, {"ppo-plain-0.3", "eval-ppo-plain-0.3", "eval-ppo-corpus-0.3", "text-base", "text-ppo"}),
        *((planned, {"dpo-usual", "eval-dpo-usual", "eval-sft"}) for planned in both.values()),
        (pipeline, {"ppo", "eval-ppo-constant", "dpo-random"}),
        (constitutional, {"rl-cai", "sl-one-round", "ppo-people-label-harm"}),
    ):
        assert needed <= {stage.name for stage in planned.stages}
        for stage in planned.stages:
            inspect.signature(stage.target).bind(**stage.arguments)


def test_what_pages_have_in_common_is_made_once(tmp_path: Path) -> None:
    """Stages of one name in one folder are asked for the same: whoever comes second finds them done."""
    bars, methods, recipes = (script(f"benchmarks/{name}.py") for name in ("town_bars", "methods", "recipes"))
    planned = [Pipeline(tmp_path) for _ in range(3)]
    bars.plan(planned[0], bars.settings(), 20)
    methods.plan(planned[1], 20)
    recipes.plan_ptx(planned[2], 20, [3.0])
    first: dict[str, object] = {}
    shared: set[str] = set()
    for pipeline in planned:
        for stage in pipeline.stages:
            asked = inspect.signature(stage.target).bind(**stage.arguments)
            asked.apply_defaults()
            if stage.name in first:
                shared.add(stage.name)
            assert first.setdefault(stage.name, (stage.target, asked.arguments)) == (
                stage.target,
                asked.arguments,
            ), stage.name
    assert {"sft", "collect", "reward", "dpo", "ppo", "eval-sft", "eval-dpo", "eval-ppo"} <= shared
    assert {"collect-random", "reward-random", "dpo-random", "eval-ppo-random"} <= shared


def test_every_rule_that_a_fault_is_to_be_named_by_is_one() -> None:
    cases = script("benchmarks/normal.py").FAULTS
    assert len(cases) >= 40 and {name for case in cases for name in case.expect} <= {
        rule.name for rule in RULES
    }


def test_every_fault_is_put_where_the_loops_still_have_it() -> None:
    """A patch names a function of a loop: where that was renamed, the fault would end the benchmark."""
    normal = script("benchmarks/normal.py")
    places = (losses, direct, ppo, sample, sft, load, names.judges, LocalSampler)

    def functions() -> dict[tuple[str, str], object]:
        return {(place.__name__, name): value for place in places for name, value in vars(place).items()}

    plain, policy = functions(), load.load_policy(base.shipped("town-s"), ModelSettings())
    of_a_lab = (
        normal.dropout_on,
        normal.other_reference,
        normal.never_ends,
        normal.stale,
        normal.flipped_advantages,
        normal.flipped_values,
        normal.dpo_reference_of_base,
        normal.rule(normal.words),
    )
    for fault in (
        *(partial(fault, None) for fault in of_a_lab),
        normal.mask_without_end,
        normal.answers_of_others,
        partial(normal.sampling, temperature=0.6),
    ):
        with fault():
            assert len([key for key, value in functions().items() if value is not plain.get(key)]) == 1, fault
            sampler = sample.LocalSampler.of(policy)
            sampler.sync(policy.model)
            assert sampler.sample([[1, 2]], Sampling(max_new_tokens=2))
        assert functions() == plain


def test_a_gpu_is_compared_by_what_was_learnt() -> None:
    gpu = script("benchmarks/gpu.py")
    rows = [{"loss": 2.0, "grad_norm": 1.0, "step": 0}, {"loss": 1.0, "grad_norm": 0.5, "step": 1}]
    assert gpu.apart(rows, rows) == 0.0
    assert gpu.apart(rows, [rows[0], rows[1] | {"grad_norm": 0.25}]) == 0.5
    with pytest.raises(SystemExit, match="nothing was learnt"):
        gpu.apart([{"loss": 0.0, "grad_norm": 0.0}], [{"loss": 0.0, "grad_norm": 0.0}])
