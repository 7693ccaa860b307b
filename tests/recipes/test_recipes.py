"""Recipes: what they plan, that no setting is ignored, and each from end to end at toy sizes."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from alignlab import cli
from alignlab.errors import ConfigError
from alignlab.pipeline.runner import Joined, Pipeline
from alignlab.recipes.catalogue import RECIPES, check
from alignlab.recipes.plan import Plan, own_completions
from alignlab.recipes.settings import PipelineSettings
from alignlab.settings import CollectSettings

TOY = (
    "--seed 1 --demonstrations 400 --eval.prompts 16 --eval.sampling.max-new-tokens 24 --sft.epochs 1"
).split()
MORE = {
    "llama2": (
        "--budget 176 --ppo-prompts 40 --ppo.steps 2 --ppo.rollouts 16 --rounds 1 --rejection.per_prompt 2 "
        "--reward.epochs 1"
    ),
    "llama3": "--budget 96 --rounds 2 --rejection.per_prompt 2 --reward.epochs 1",
    "mixtral": "--budget 64",
    "zephyr": "--budget 64",
    "tulu3": "--budget 64 --rlvr.steps 2 --rlvr.rollouts 8",
    "constitutional": "--red-team 24 --labelled 24 --compared 12 --ppo-prompts 40 --ppo.steps 2 "
    "--ppo.rollouts 16 --critic.tokens 20000 --critic.cases 4 --revise.helpful-count 24 --revise.rounds 2 "
    "--reward.epochs 1 --sl-cai.epochs 1 --eval.sampling.max-new-tokens 8",
}
NAMES = {
    "llama2": ["base", "sft", "rejection_1", "ppo"],
    "llama3": ["base", "sft", "rejection_1", "dpo_1", "rejection_2", "dpo_2"],
    "mixtral": ["base", "sft", "dpo"],
    "zephyr": ["base", "sft", "dpo"],
    "tulu3": ["base", "sft", "dpo", "rlvr"],
    "constitutional": ["base", "helpful", "sl_cai", "rl_cai_dpo", "rl_cai"],
}


def planned(name: str, out: Path, settings: PipelineSettings | None = None) -> Plan:
    plan = Plan(Pipeline(out), "town", settings or PipelineSettings(), 3)
    RECIPES[name].build(plan)
    return plan


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_names_each_stage_once_and_waits_for_what_it_reads(name: str, tmp_path: Path) -> None:
    plan = planned(name, tmp_path)
    stages = plan.pipeline.stages
    assert len({stage.name for stage in stages}) == len(stages)
    for place, stage in enumerate(stages):
        assert all(need in stages[:place] for need in stage.needs), stage.name
        read = [
            part for value in stage.arguments.values() if isinstance(value, str) for part in value.split(",")
        ]
        assert {str(need) for need in stage.needs} == {
            str(other)
            for other in stages
            if other is not stage and any(part.endswith(str(other)) for part in read)
        }, stage.name
    assert (
        list(plan.evals)[:2] == ["base", plan.start]
        and plan.start == ("helpful" if name == "constitutional" else "sft")
        and set(plan.parents.values()) <= {"", *plan.evals}
    )


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "constitutional"])
def test_recipes_sample_as_much_as_instructgpt(name: str, tmp_path: Path) -> None:
    s = PipelineSettings()
    total = 0
    for stage in planned(name, tmp_path, s).pipeline.stages:
        method, a = stage.target.__name__, stage.arguments
        if method == "collect":
            total += a["count"] * own_completions(s)
        elif method == "rejection":
            total += a["settings"].prompts * a["settings"].per_prompt * a["settings"].rounds
        elif method == "ppo" and stage.name == "ppo":
            total += s.ppo.steps * s.ppo.rollouts
        elif method == "grpo":
            total += s.rlvr.steps * s.rlvr.rollouts
    assert total == pytest.approx(s.budget, rel=0.02)


@pytest.mark.parametrize("name", [name for name in RECIPES if "ppo" in RECIPES[name].reads])
def test_every_recipe_with_ppo_gives_it_pretraining_text_where_that_has_a_weight(
    name: str, tmp_path: Path
) -> None:
    for weight, text in ((0.0, ""), (3.0, "town:plain")):
        settings = PipelineSettings()
        stages = planned(
            name, tmp_path, replace(settings, ppo=replace(settings.ppo, ptx_coef=weight))
        ).pipeline.stages
        found = [
            stage.arguments["ptx"]
            for stage in stages
            if stage.target.__name__ == "ppo" and stage.name != "ppo-unpenalised"
        ]
        assert found == [text]


def test_rounds_ask_other_prompts_and_learn_from_all_comparisons(tmp_path: Path) -> None:
    stages = {stage.name: stage for stage in planned("llama3", tmp_path).pipeline.stages}
    assert stages["collect-1"].arguments["seed"] != stages["collect-2"].arguments["seed"]
    assert stages["reward-2"].arguments["data"] == f"{tmp_path}/collect-1,{tmp_path}/collect-2"
    assert stages["dpo-2"].arguments["data"] == f"{tmp_path}/collect-2"


def test_own_completions() -> None:
    assert own_completions(PipelineSettings(collect=CollectSettings(per_prompt=4, from_others=0.5))) == 2
    assert own_completions(PipelineSettings(collect=CollectSettings(per_prompt=4, from_others=0.4))) == 3
    assert own_completions(PipelineSettings(collect=CollectSettings(per_prompt=4, from_others=1.0))) == 1


def test_stages_in_one_argument_are_all_waited_for(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    a, b = pipeline.stage("a", print), pipeline.stage("b", print)
    c = pipeline.stage("c", print, judge=Joined((a, b), "gated:"), again=a)
    assert c.needs == [a, b] and c.arguments["judge"] == f"gated:{tmp_path}/a,{tmp_path}/b"


@pytest.mark.parametrize("name", RECIPES)
def test_a_setting_that_a_recipe_does_not_read_is_refused(name: str) -> None:
    default = PipelineSettings()
    check(name, default, default)
    if "rounds" in RECIPES[name].reads:
        check(name, replace(default, rounds=3), default)
    else:
        with pytest.raises(ConfigError, match="does not read 'rounds'"):
            check(name, replace(default, rounds=3), default)


@pytest.mark.parametrize("name", ["llama2", "llama3"])
@pytest.mark.parametrize("changed", [{"rounds": 5}, {"prompts": 7}])
def test_what_a_recipe_works_out_itself_is_refused(name: str, changed: dict[str, int]) -> None:
    default = PipelineSettings()
    asked = replace(default, rejection=replace(default.rejection, **changed))
    with pytest.raises(ConfigError, match=f"'rejection.{next(iter(changed))}'"):
        check(name, asked, default)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("llama3", {"beta": 0.1, "nll_coef": 0.2, "loss_type": "sigmoid"}),
        ("zephyr", {"beta": 0.1, "epochs": 3.0, "best_only": True, "pairs_per_prompt": 1}),
        ("tulu3", {"beta": 5.0, "loss_type": "sigmoid_norm", "best_only": True, "pairs_per_prompt": 1}),
    ],
)
def test_dpo_is_the_published_one_and_a_user_can_change_it(
    name: str, published: dict[str, object], tmp_path: Path
) -> None:
    table, default = f"{name}_dpo", PipelineSettings()
    changed = replace(default, **{table: replace(getattr(default, table), beta=0.7)})
    check(name, changed, default)
    for settings, values in ((default, published), (changed, {**published, "beta": 0.7})):
        stages = planned(name, tmp_path, settings).pipeline.stages
        dpo = [stage.arguments["settings"] for stage in stages if stage.name.startswith("dpo")]
        assert dpo
        for found in dpo:
            assert {key: getattr(found, key) for key in values} == values


def test_an_unknown_recipe_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--recipe", "llama9"]) == 2
    assert "instructgpt" in capsys.readouterr().err


SLOW = {"llama3", "mixtral"}
"""Made of stages that the others run too: the campaign runs them whole."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.campaign) if name in SLOW else name for name in MORE]
)
def test_from_end_to_end(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert cli.main(["run", "--recipe", name, "--out", str(out), *TOY, *MORE[name].split()]) == 0
    said = capsys.readouterr().out
    summary = json.loads((out / "summary.json").read_text())
    assert summary["recipe"] == name and list(summary["models"]) == NAMES[name]
    assert all(model["gold"]["n"] == 16 for model in summary["models"].values())
    assert summary["sampled_tokens"] > 0 and f"{summary['sampled_tokens']:,} tokens" in said
    page = (out / "report.html").read_text()
    assert "What was made from what" in page and all(
        name in page for name in ("collect", f"eval-{NAMES[name][1]}")
    )
    if name == "constitutional":
        models = [summary["models"][model] for model in NAMES[name][1:]]
        assert all(
            model[key]["n"] == model[f"{key}_sampled"]["n"] > 0
            for model in models
            for key in ("compliance_seen", "compliance_held_out", "look_alike_refusal")
        )
        assert set(summary["labels"]) >= {"accuracy", "ece", "order_effect"} and "AI labels" in said
        assert all(
            title in page
            for title in (
                "Critique and revision",
                "Labels by an AI that reads the constitution",
                "Help and harm",
            )
        )


def test_a_pipeline_leaves_the_environment_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("ALIGNLAB_PROGRESS", raising=False)
    Pipeline(tmp_path).run()
    assert os.environ["OMP_NUM_THREADS"] == "3" and "ALIGNLAB_PROGRESS" not in os.environ
