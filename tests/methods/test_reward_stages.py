"""Reward models as stages: ensembles that are whole or say who is missing, mixtures that keep held-out
prompts out, and PPO under a constraint.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from alignlab import names, stages
from alignlab.errors import ConfigError, DataError, ModelError, UserError
from alignlab.feedback.ensemble import EnsembleJudge
from alignlab.models.load import load_reward_model
from alignlab.records import Completion, Prompt, Ranking, Unpaired, read_jsonl
from alignlab.run import RunDir, read_run
from alignlab.settings import (
    AdapterSettings,
    BestOfNSettings,
    KTOSettings,
    ModelSettings,
    OptimSettings,
    PPOSettings,
    RewardSettings,
    RLOOSettings,
    SamplingSettings,
)
from alignlab.stages.rankings import labelled, preferences

from .conftest import Killed

REWARD = RewardSettings(epochs=1, batch=8, max_length=64, held_out=0.25, optim=OptimSettings(lr=3e-3))
SAMPLING = SamplingSettings(max_new_tokens=4, slots=8)
PPO = PPOSettings(
    steps=3,
    rollouts=8,
    epochs=1,
    minibatch=8,
    sampling=SAMPLING,
    optim=OptimSettings(lr=1e-3, schedule="constant"),
)


def ranking(
    i: int, *, ranks: tuple[int, ...] = (1, 2), safe: list[bool] | None = None, word: str = ""
) -> Ranking:
    prompt = Prompt.user(f"number {i}?")
    return Ranking(
        prompt,
        (Completion(prompt, f"yes {word}"), Completion(prompt, "no no")),
        ranks,
        meta={} if safe is None else {"safe": safe},
    )


def collected(out: Path, train: list[Ranking], test: list[Ranking]) -> str:
    """A finished run of `alignlab collect`."""
    run = RunDir.open(out, stage="collect", config={"out": out.name}, seed=0)
    run.add_data("rankings", train)
    run.add_data("rankings_test", test)
    run.finish({})
    return str(out)


@pytest.fixture(scope="module")
def rankings(tmp_path_factory: pytest.TempPathFactory) -> str:
    return collected(
        tmp_path_factory.mktemp("data") / "collect",
        [ranking(i) for i in range(24)],
        [ranking(i) for i in range(30, 36)],
    )


def reward(base: Path, data: str, out: Path, settings: RewardSettings, **more: Any) -> dict[str, Any]:
    return stages.reward(
        **{
            "model": str(base),
            "data": data,
            "gold": "",
            "out": out,
            "seed": 0,
            "resume": True,
            "settings": settings,
            **more,
        }
    )


@pytest.fixture(scope="module")
def ensemble(base: Path, rankings: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    return reward(base, rankings, tmp_path_factory.mktemp("runs") / "ensemble", replace(REWARD, members=3))[
        "run"
    ]


def test_member_0_is_the_single_model_and_the_others_differ(
    base: Path, rankings: str, ensemble: str, tmp_path: Path
):
    single = reward(base, rankings, tmp_path / "single", REWARD)
    weights = [
        load_reward_model(f"{path}/checkpoint", ModelSettings()).model.state_dict()
        for path in (single["run"], *(f"{ensemble}/members/{i}" for i in range(3)))
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not torch.equal(weights[1]["score.weight"], weights[2]["score.weight"]) and not torch.equal(
        weights[2]["score.weight"], weights[3]["score.weight"]
    )
    summary = read_run(ensemble).summary
    assert (
        summary["members"] == 3
        and len(summary["member_accuracy"]) == 3
        and summary["member_accuracy"][0] == single["summary"]["accuracy"]["mean"]
    )
    assert summary["accuracy"] == summary["mean"]["accuracy"] and {"worst", "uncertainty"} <= set(summary)
    assert summary["spread"]["mean"]["mean"] > 0
    assert "done already" in reward(base, rankings, Path(ensemble), replace(REWARD, members=3))["text"]


def test_folds_test_every_question_once_on_a_model_that_did_not_learn_from_it(
    base: Path, rankings: str, tmp_path: Path
):
    plain = reward(base, rankings, tmp_path / "plain", REWARD)
    made = reward(base, rankings, tmp_path / "folded", replace(REWARD, folds=3))
    folds = made["summary"]["folds"]
    parts = [read_run(f"{made['run']}/folds/{fold}").summary for fold in range(3)]
    folded = made["summary"]["accuracy_folded"]
    assert folds["count"] == 3 and folded["n"] == sum(part["accuracy"]["n"] for part in parts)
    right = sum(part["accuracy"]["mean"] * part["accuracy"]["n"] for part in parts)
    assert folded["mean"] == pytest.approx(right / folded["n"]) and "folded" in made["text"]
    assert sum(folds["margins"]["counts"]) == sum(part["test_pairs"] for part in parts)
    assert sum(each["n"] for each in folds["reliability"]) == sum(part["test_pairs"] for part in parts)
    files = [Path(f"{made['run']}/folds/{fold}/data/rankings.jsonl") for fold in range(3)]
    learnt = [{Ranking.from_json(json.loads(line)).prompt.id for line in file.open()} for file in files]
    whole = set.union(*learnt)
    assert all(whole - each for each in learnt) and not set.intersection(*(whole - each for each in learnt))
    besides = {"folds", "accuracy_folded"}
    assert {key: value for key, value in made["summary"].items() if key not in besides} == plain["summary"]
    with pytest.raises(DataError, match="fewer than 99 questions"):
        reward(base, rankings, tmp_path / "many", replace(REWARD, folds=99))


def test_a_killed_ensemble_goes_on_with_the_member_it_was_at(
    base: Path, rankings: str, ensemble: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    log = RunDir.log

    def die(self: RunDir, step: int, metrics: Any) -> None:
        log(self, step, metrics)
        if self.out.name == "1" and step == 1:
            raise Killed

    monkeypatch.setattr(RunDir, "log", die)
    with pytest.raises(Killed):
        reward(base, rankings, tmp_path / "killed", replace(REWARD, members=3))
    monkeypatch.setattr(RunDir, "log", log)
    assert (tmp_path / "killed.partial" / "members" / "0" / "run.json").exists() and not (
        tmp_path / "killed"
    ).exists()
    assert (
        reward(base, rankings, tmp_path / "killed", replace(REWARD, members=3))["summary"]
        == read_run(ensemble).summary
    )


@pytest.fixture
def three(ensemble: str, tmp_path: Path) -> Path:
    """A copy of the ensemble that may be broken."""
    shutil.copytree(ensemble, tmp_path / "three")
    return tmp_path / "three"


def missing(folder: Path) -> None:
    shutil.rmtree(folder / "members" / "1")


def broken(folder: Path) -> None:
    (folder / "members" / "1" / "checkpoint" / "model.safetensors").write_bytes(b"rubbish")


def headless(folder: Path) -> None:
    (folder / "members" / "1" / "checkpoint" / "config.json").unlink()


@pytest.mark.parametrize("harm", [missing, broken, headless], ids=lambda harm: harm.__name__)
def test_a_member_that_cannot_be_used_is_named_or_left_out_aloud(
    harm: Callable[[Path], None], three: Path, capsys: pytest.CaptureFixture[str]
):
    completions = list(ranking(0).completions)
    whole = names.judges.reward_judge(str(three)).load()
    assert isinstance(whole, EnsembleJudge) and len(whole.members) == 3
    kept = EnsembleJudge([whole.members[0], whole.members[2]]).score(completions)
    harm(three)
    for name in (str(three), f"ensemble:worst:{three}", f"ensemble:{three}/members/0,{three}/members/1"):
        with pytest.raises(ModelError, match="member 1 of the ensemble of"):
            names.judges.reward_judge(name).load()
    capsys.readouterr()
    judge = names.judges.reward_judge(f"ensemble:allow-missing:{three}").load()
    assert (
        isinstance(judge, EnsembleJudge)
        and len(judge.members) == 2
        and "member 1 of 3" in capsys.readouterr().err
    )
    assert [s.value for s in judge.score(completions)] == [s.value for s in kept]


def test_where_one_model_is_needed_an_ensemble_is_refused(ensemble: str):
    with pytest.raises(ModelError, match="ensemble of 3 reward models"):
        names.models.model(ensemble)
    assert names.models.model(f"{ensemble}/members/2").path.endswith("members/2/checkpoint")
    with pytest.raises(ConfigError, match="normalize_scores"):
        names.judges.reward_judge(ensemble, normalize=False).load()


def test_best_of_n_and_ppo_take_an_ensemble(base: Path, ensemble: str, tmp_path: Path):
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"number {i}?"}) + "\n" for i in range(8)))
    common = {"model": str(base), "data": str(prompts), "gold": "", "seed": 0, "resume": True}
    proxies = {}
    for how in ("mean", "worst", "uncertainty=2"):
        found = stages.best_of_n(
            **common,
            reward=f"ensemble:{how}:{ensemble}",
            out=tmp_path / how,
            settings=BestOfNSettings(per_prompt=4, sampling=SAMPLING),
        )
        proxies[how] = found["summary"]["proxy"]["mean"]
    assert proxies["worst"] < proxies["mean"] > proxies["uncertainty=2"]
    made = stages.ppo(
        **common, reward=f"ensemble:worst:{ensemble}", ptx="", out=tmp_path / "ppo", settings=PPO
    )
    rows = read_run(made["run"]).metrics
    assert len(rows) == 3 and all(row["judge/spread"] > 0 for row in rows)
    assert {f"{ensemble}/members/{i}" for i in range(3)} <= set(read_run(made["run"]).parents)
    group = RLOOSettings(
        steps=2,
        rollouts=8,
        per_prompt=4,
        sampling=SAMPLING,
        optim=OptimSettings(lr=1e-3, schedule="constant"),
    )
    made = stages.rloo(
        **common, reward=f"ensemble:uncertainty:{ensemble}", judge="", out=tmp_path / "rloo", settings=group
    )
    assert all(row["judge/spread"] > 0 for row in read_run(made["run"]).metrics)


def test_a_mixture_never_trains_on_what_another_part_holds_out(base: Path, tmp_path: Path):
    """The second round's run holds other prompts out; `both` stands in the two, `new` in the second alone."""
    first = collected(
        tmp_path / "first", [ranking(i) for i in range(20)], [ranking(i) for i in range(20, 25)]
    )
    second = collected(
        tmp_path / "second",
        [ranking(i, word="again") for i in range(5, 25)] + [ranking(3)],
        [ranking(i, word="again") for i in range(5)],
    )
    parts, train, test, said = preferences(f"{first},{second}", 0, 0, 0.2)
    assert [part.name for part in parts] == [first, second] and test is not None and "moved" in said
    held = {r.prompt.id for r in test}
    assert held == {ranking(i).prompt.id for i in (*range(5), *range(20, 25))} and not held & {
        r.prompt.id for r in train
    }
    assert len(train) == 15 + 15 and len(test) == 5 + 5 + 5 + 5  # ranking 3 stands in both and counts once
    made = reward(base, f"{first},{second}", tmp_path / "reward", REWARD)
    used = read_jsonl(Path(made["run"]) / "data" / "rankings.jsonl", Ranking)
    assert not held & {r.prompt.id for r in used} and made["summary"]["rankings"] == 30
    assert set(read_run(made["run"]).parents) >= {first, second}


def test_kto_learns_from_several_runs_and_files_as_the_others_do(base: Path, tmp_path: Path):
    """Completions of a prompt that one part holds out are learnt from in none; the same completion with the
    same label counts once.
    """
    first = collected(
        tmp_path / "first", [ranking(i) for i in range(20)], [ranking(i) for i in range(20, 25)]
    )
    second = collected(
        tmp_path / "second",
        [ranking(i, word="again") for i in range(5, 25)] + [ranking(3)],
        [ranking(i, word="again") for i in range(5)],
    )
    parts, train, test, said = labelled(f"{first},{second}", 0, 0, 0.2)
    _, rankings, rankings_test, _ = preferences(f"{first},{second}", 0, 0, 0.2)
    assert (
        [part.name for part in parts] == [first, second]
        and test is not None
        and rankings_test is not None
        and "completions to learn from" in said
    )
    for side, whole in ((train, rankings), (test, rankings_test)):
        assert {(u.prompt.id, u.completion, u.label) for u in side} == {
            (u.prompt.id, u.completion, u.label) for r in whole for u in r.unpaired()
        }
        assert len({(u.prompt.id, u.completion, u.label) for u in side}) == len(side)
    made = stages.kto(
        model=str(base),
        data=f"{first},{second}",
        out=tmp_path / "kto",
        seed=0,
        resume=True,
        settings=KTOSettings(batch=16),
    )
    used = read_jsonl(Path(made["run"]) / "data" / "unpaired.jsonl", Unpaired)
    assert not {u.prompt.id for u in used} & {u.prompt.id for u in test} and made["summary"]["liked"] + made[
        "summary"
    ]["disliked"] == len(train)
    assert set(read_run(made["run"]).parents) >= {first, second}
    file = tmp_path / "more.jsonl"
    file.write_text(
        "".join(
            json.dumps({"prompt": f"number {i}?", "completion": "yes" * (1 + i % 2), "label": i % 2 == 0})
            + "\n"
            for i in range(40)
        )
    )
    _, train, test, _ = labelled(f"{first},{file}", 0, 0, 0.3)
    assert (
        test
        and len(train) + len(test) > 40
        and not {u.prompt.id for u in train} & {u.prompt.id for u in test}
    )


def test_count_takes_the_first_rankings_of_a_run_and_leaves_what_is_held_out(base: Path, tmp_path: Path):
    """It was passed over without a word: a run of collect was always learnt from whole."""
    run = collected(tmp_path / "run", [ranking(i) for i in range(20)], [ranking(i) for i in range(20, 25)])
    (part,), train, test, _ = preferences(run, 0, 8, 0.2)
    assert (
        [r.prompt.id for r in train] == [ranking(i).prompt.id for i in range(8)]
        and test is not None
        and len(test) == 5
        and "the first 8 of 20" in part.report
    )
    (whole,), *_ = preferences(run, 0, 0, 0.2)
    (more,), every, *_ = preferences(run, 0, 20, 0.2)
    assert part.digest != whole.digest == more.digest and len(every) == 20
    made = stages.reward(
        model=str(base),
        data=run,
        gold="",
        out=tmp_path / "reward",
        seed=0,
        resume=True,
        settings=REWARD,
        count=8,
    )
    assert made["summary"]["rankings"] == 8 and run in read_run(made["run"]).parents
    liked, completions, *_ = labelled(run, 0, 8, 0.2)
    assert {u.prompt.id for u in completions} == {r.prompt.id for r in train}


def test_a_file_beside_a_run_is_split_and_files_alone_are_not(tmp_path: Path):
    first = collected(
        tmp_path / "first", [ranking(i) for i in range(20)], [ranking(i) for i in range(20, 25)]
    )
    file = tmp_path / "more.jsonl"
    file.write_text("".join(json.dumps(ranking(i, word="more").to_json()) + "\n" for i in range(10, 60)))
    _, train, test, _ = preferences(f"{first},{file}", 0, 0, 0.3)
    assert (
        test is not None and len(test) > 12 and not {r.prompt.id for r in train} & {r.prompt.id for r in test}
    )
    other = tmp_path / "other.jsonl"
    shutil.copy(file, other)
    _, train, test, _ = preferences(f"{file},{other}", 0, 0, 0.3)
    assert test is None and len(train) == 50
    with pytest.raises(DataError):
        preferences(f"{first},{tmp_path}/nothing.jsonl", 0, 0, 0.3)


def test_a_further_round_starts_from_the_reward_model_before(
    base: Path, rankings: str, ensemble: str, tmp_path: Path
):
    still = replace(REWARD, optim=OptimSettings(lr=1e-12))
    again = reward(base, rankings, tmp_path / "again", still, model=f"{ensemble}/members/1")
    before, after = (
        load_reward_model(f"{path}/checkpoint", ModelSettings()).model.score.weight
        for path in (f"{ensemble}/members/1", again["run"])
    )
    assert torch.allclose(before, after, atol=1e-6)


@pytest.mark.parametrize(
    "adapter", [AdapterSettings(), AdapterSettings(rank=4)], ids=lambda a: f"rank {a.rank}"
)
def test_constrained_ppo_logs_its_price_and_resumes_to_the_bit(
    adapter: AdapterSettings, base: Path, ensemble: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ALIGNLAB_SAVE_EVERY_STEPS", "1")
    data = tmp_path / "harm.jsonl"
    data.write_text("".join(json.dumps(ranking(i, safe=[True, False]).to_json()) + "\n" for i in range(24)))
    cost = reward(base, str(data), tmp_path / "cost", replace(REWARD, safety=1.0, adapter=adapter))["run"]
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"number {i}?"}) + "\n" for i in range(8)))
    common = {
        "model": str(base),
        "data": str(prompts),
        "gold": "",
        "ptx": "",
        "seed": 0,
        "resume": True,
        "reward": f"{ensemble}/members/0",
        "cost": cost,
        "settings": replace(PPO, cost_limit=0.3, lambda_lr=1.0),
    }
    whole = stages.ppo(**common, out=tmp_path / "whole")
    rows = read_run(whole["run"]).metrics
    assert rows[0]["safety/lambda"] == pytest.approx(1.0) and all(
        row["safety/limit"] == 0.3 and 0 < row["safety/cost"] < 1 for row in rows
    )
    for before, after in zip(rows, rows[1:], strict=False):
        assert (after["safety/lambda"] > before["safety/lambda"]) == (before["safety/cost"] > 0.3)
    assert {"cost_first", "cost_last", "lambda_last", "cost_limit"} <= set(whole["summary"])

    log = RunDir.log

    def die(self: RunDir, step: int, metrics: Any) -> None:
        log(self, step, metrics)
        if step == 2:
            raise Killed

    monkeypatch.setattr(RunDir, "log", die)
    with pytest.raises(Killed):
        stages.ppo(**common, out=tmp_path / "killed")
    monkeypatch.setattr(RunDir, "log", log)
    assert stages.ppo(**common, out=tmp_path / "killed")["summary"] == whole["summary"]
    without_time = [
        [
            {k: v for k, v in row.items() if not k.startswith("time/")}
            for row in read_run(tmp_path / name).metrics
        ]
        for name in ("whole", "killed")
    ]
    assert without_time[0] == without_time[1]


def test_a_constraint_needs_a_cost_model_and_its_settings_need_a_constraint(
    base: Path, ensemble: str, tmp_path: Path
):
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"prompt": "number 1?"}\n')
    common = {
        "model": str(base),
        "data": str(prompts),
        "gold": "",
        "ptx": "",
        "seed": 0,
        "resume": True,
        "reward": f"{ensemble}/members/0",
        "out": tmp_path / "ppo",
    }
    with pytest.raises(UserError, match="not a cost model"):
        stages.ppo(**common, cost=f"{ensemble}/members/1", settings=PPO)
    for changes in ({"cost_limit": 0.5}, {"lambda_lr": 1.0}):
        with pytest.raises(ConfigError, match="no cost model is named"):
            stages.ppo(**common, settings=replace(PPO, **changes))
    for changes in ({"lambda_start": 0.0}, {"lambda_start": 50.0}, {"cost_limit": 2.0}, {"lambda_lr": -1.0}):
        with pytest.raises(ConfigError):
            stages.ppo(**common, cost=f"{ensemble}/members/1", settings=replace(PPO, **changes))


def test_pretraining_text_needs_its_weight_and_the_weight_needs_text(
    base: Path, ensemble: str, tmp_path: Path
):
    common = {
        "model": str(base),
        "data": "town:prompts",
        "count": 4,
        "gold": "",
        "seed": 0,
        "resume": True,
        "reward": f"{ensemble}/members/0",
        "out": tmp_path / "ppo",
    }
    with pytest.raises(ConfigError, match="ptx_coef is 0"):
        stages.ppo(**common, ptx="town:corpus", settings=PPO)
    with pytest.raises(ConfigError, match="no pretraining text is named") as error:
        stages.ppo(**common, ptx="", settings=replace(PPO, ptx_coef=3.0))
    assert "--ptx DATA" in error.value.remedy
