"""`alignlab study`: what it lists, refuses and writes; each study from end to end at toy sizes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from alignlab import cli
from alignlab.pipeline.runner import Stage
from alignlab.studies.catalogue import STUDIES, study
from alignlab.studies.over_optimisation_settings import OverOptimisation, OverOptimisationSettings
from alignlab.studies.reward_shift_settings import RewardShift
from alignlab.studies.settings import OwnSettings

CLOSED = (
    "--closed-form.steps 20 --closed-form.prompts 2 --closed-form.vocabulary 3 --closed-form.length 2".split()
)


OWN = (
    "--own.demonstrations= --own.prompts mine.jsonl --test others.jsonl --own.gold "
    "judge_of_studies:near --annotator judge_of_studies:near"
).split()


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with prompts and a judge of one's own, which reads a column of the prompt's row."""
    monkeypatch.chdir(tmp_path)
    for name, numbers in (("mine", range(12)), ("others", range(12, 24))):
        (tmp_path / f"{name}.jsonl").write_text(
            "".join(
                json.dumps({"prompt": f"Tell me about number {i}.", "want": 10 + i}) + "\n" for i in numbers
            )
        )
    (tmp_path / "judge_of_studies.py").write_text(
        "def near(completion, want):\n    return 1.0 - min(1.0, abs(len(completion) - want) / 40)\n"
    )
    return tmp_path


def read(out: Path) -> dict:
    return json.loads((out / "summary.json").read_text())


def check_page(out: Path) -> str:
    """The page stands alone: charts inline, no script, nothing fetched."""
    page = (out / "study.html").read_text()
    assert (
        "<svg" in page
        and "<script" not in page
        and not re.findall(r'(?:src|href)="(?:https?:)?//', page)
        and "@import" not in page
    )
    return page


def test_without_a_name_it_lists_the_studies(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["study"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in STUDIES)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nonsense"], 2, "one of:"),
        (["closed-form", "--seeds", "0,x"], 2, "whole numbers"),
        (["closed-form", "--curve.most", "3"], 3, "belongs to alignlab study over-optimisation"),
        (["closed-form", "--own.gold", "constant"], 3, "not to closed-form"),
        (["demonstrations", "--own.prompts", "mine.jsonl"], 3, "not to demonstrations"),
        (["mixed-demonstrations", "--test", "others.jsonl"], 3, "of the town's alone"),
        (["kl-frontier", "--own.prompts", "mine.jsonl"], 3, "annotator = town:fair knows the town alone"),
        (["reward-shift", *OWN, "--test", "town:test"], 3, "test = town:test"),
        (["kl-frontier", *OWN, "--own.demonstrations", "town:demos"], 3, "own.demonstrations = town:demos"),
        (["kl-frontier", *OWN, "--own.gold", "town:gold"], 3, "own.gold = town:gold"),
        (["kl-frontier", *OWN, "--test", "mine.jsonl"], 4, "12 of the 12 prompts ask what"),
        (["over-optimisation", "--over-optimisation.rl-steps", "0,4"], 3, "rl_steps = '0,4'"),
        (["over-optimisation", *OWN], 3, "models that know the town alone"),
        (["kl-frontier", *OWN, "--own.gold", "no_such_module:x"], 2, "no module"),
        (["kl-frontier", *OWN, "--own.prompts", "gone.jsonl"], 4, "gone.jsonl"),
        (["closed-form", "--closed-form.beta", "0"], 3, "beta"),
    ],
)
def test_what_it_refuses(
    words: list[str], code: int, said: str, own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["study", *words, "--out", str(tmp_path / "s")]) == code
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error
    assert not (tmp_path / "s" / "summary.json").exists()


def test_closed_form_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "closed"
    words = ["study", "closed-form", "--seeds", "0,1", "--out", str(out), *CLOSED]
    assert cli.main(words) == 0
    said, summary = capsys.readouterr().out, read(out)
    assert (
        summary["schema"] == 1
        and summary["study"] == "closed-form"
        and summary["seeds"] == [0, 1]
        and summary["controls"]
    )
    assert summary["over_seeds"]["PPO: kl_to_optimum"]["n"] == 2 and set(summary["figures"]) == {"0", "1"}
    assert summary["bars"] and all(bar["of"] == 2 and 0 <= bar["held"] <= 2 for bar in summary["bars"])
    assert summary["conclusion"][0] in said and str(out / "study.html") in said
    page = check_page(out)
    assert "GRPO as published" in page and "seed 1: closed-form" in page
    made = (out / "seed-1" / "closed-form" / "run.json").stat().st_mtime_ns
    assert cli.main(words) == 0  # what is finished is used again
    assert (out / "seed-1" / "closed-form" / "run.json").stat().st_mtime_ns == made and read(out)[
        "figures"
    ] == summary["figures"]


def steps_of(run: Path) -> list[dict[str, float]]:
    """What a run logged of its steps, without how long they took."""
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [{key: value for key, value in row.items() if not key.startswith("time")} for row in rows]


TOY = (
    "--demonstrations 48 --sft.epochs 1 --measured 8 --point.per-prompt 2 --point.sampling.max-new-tokens 16"
).split()
RANKED = "--prompts 40 --reward.epochs 1 --collect.sampling.max-new-tokens 16 --dpo.epochs 0.5".split()


def test_over_optimisation_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "over"
    words = [
        "study",
        "over-optimisation",
        "--out",
        str(out),
        *TOY,
        *RANKED,
        "--curve.most",
        "8",
        "--curve.sampling.max-new-tokens",
        "16",
        *(
            "--over-optimisation.sizes town-s --over-optimisation.few 4 --over-optimisation.dpo-betas 0.1 "
            "--over-optimisation.labelled 4"
        ).split(),
        *(
            "--over-optimisation.draws 5 --over-optimisation.resamples 20 --over-optimisation.rl-steps 2,3 "
            "--over-optimisation.ppo.rollouts 8"
        ).split(),
        *("--over-optimisation.ppo.minibatch 8 --over-optimisation.ppo.sampling.max-new-tokens 16").split(),
        *(
            "--over-optimisation.rloo.rollouts 8 --over-optimisation.rloo.minibatch 8 "
            "--over-optimisation.rloo.sampling.max-new-tokens 16"
        ).split(),
    ]
    assert cli.main(words) == 0, capsys.readouterr().err
    summary, page = read(out), check_page(out)
    found = summary["figures"]["0"]
    assert set(found["best_of_n"]) == {
        "reward",
        "reward-half-a",
        "reward-half-b",
        "reward-few",
        "reward-town-s",
    }
    one = found["best_of_n"]["reward"]
    assert (
        one["n"] == [1, 2, 4, 8]
        and one["gain"][0] == 0
        and one["kl"][0] == 0
        and all(a <= b + 1e-9 for a, b in zip(one["kl_seen"], one["kl"], strict=True))
    )
    assert one["proxy"] == sorted(one["proxy"])
    assert set(found["dpo"]) == {"0.1"} and found["prompts"] == 8 >= found["questions"]
    for rl in found["rl"].values():
        assert rl["steps"] == [0, 2, 3] and rl["gain"][0] == rl["kl"][0] == 0
    assert set(found["stop"]) == {"best of N", "PPO", "RLOO"}
    for stop in found["stop"].values():
        assert set(stop["proposals"]) == {"the law", "the highest mean", "always the same"}
        assert stop["labels"] <= 4 * 8 and all(row["lost"] >= 0 for row in stop["proposals"].values())
    assert "n = 8 prompts" in summary["measured_on"] and "town:test" in summary["measured_on"]
    assert summary["measured_on"] in page and "after figures of its seed 0" in page
    new = found["held_out"]
    assert new["prompts"] + new["dropped"] == new["drawn"] and new["prompts"] >= new["questions"]
    short, long = (steps_of(out / "seed-0" / f"ppo-free-{length}") for length in (2, 3))
    assert len(short) == 2 and short == long[:2]  # a shorter run is where a longer one was
    assert "a (a - b d)" in page or "d (a - b d)" in page
    parents = {stage["name"]: stage["parents"] for stage in summary["stages"]}
    assert parents["seed-0/curve"].count("seed-0/reward-town-s") == 1  # a list of stages is waited for


def test_kl_frontier_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "frontier"
    words = [
        "study",
        "kl-frontier",
        "--out",
        str(out),
        *TOY,
        *RANKED,
        "--kl-frontier.ppo-kl-coefs",
        "1,0",
        "--kl-frontier.dpo-betas",
        "0.1",
        *(
            "--kl-frontier.ppo.steps 1 --kl-frontier.ppo.rollouts 8 --kl-frontier.ppo.minibatch 8 "
            "--kl-frontier.ppo.sampling.max-new-tokens 16"
        ).split(),
        *(
            "--kl-frontier.rloo-kl-coefs 0.1 --kl-frontier.rloo.steps 1 --kl-frontier.rloo.rollouts 8 "
            "--kl-frontier.rloo.minibatch 8"
        ).split(),
        *"--kl-frontier.rloo.sampling.max-new-tokens 16".split(),
        *("--kl-frontier.curve.most 4 --kl-frontier.curve.sampling.max-new-tokens 16").split(),
    ]
    assert cli.main(words) == 0, capsys.readouterr().err
    summary, page = read(out), check_page(out)
    sweeps = summary["figures"]["0"]["sweeps"]
    assert (
        [row["dial"] for row in sweeps["ppo"]] == [0.0, 1.0]
        and [row["dial"] for row in sweeps["rloo"]] == [0.1]
        and [row["dial"] for row in sweeps["dpo"]] == [0.1]
    )
    assert "PPO, kl_coef 1" in page and summary["over_seeds"]["dpo 0.1: kl"]["n"] == 1
    assert cli.main(["study", "kl-frontier", "--out", str(out), "--kl-frontier.dpo-betas", "0,1"]) == 3
    assert "beta above 0" in capsys.readouterr().err


def test_mixed_demonstrations_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "mixed"
    words = [
        "study",
        "mixed-demonstrations",
        "--out",
        str(out),
        *TOY,
        "--mixed.shares",
        "0.5,1",
        "--mixed.prompts",
        "16",
        *"--mixed.collect.sampling.max-new-tokens 16 --mixed.dpo.epochs 0.5 --mixed.more.epochs 0.5".split(),
    ]
    assert cli.main(words) == 0, capsys.readouterr().err
    summary, page = read(out), check_page(out)
    found = summary["figures"]["0"]
    assert found["rows"][1]["people"]["good"] == 1.0 > found["rows"][0]["people"]["good"]
    assert [row["share"] for row in found["rows"]] == [0.5, 1.0] and found["rows"][1]["shown"][
        "good"
    ] == 1.0 > found["rows"][0]["shown"]["good"]
    assert 0 < found["filtered"] < 48 and set(found["controls"]) == {"more sft", "filtered sft", "random dpo"}
    assert "What SFT does not learn" in page
    assert cli.main(["study", "mixed-demonstrations", "--out", str(out), "--mixed.control", "0.3"]) == 3
    assert "one of them" in capsys.readouterr().err


def test_demonstrations_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "sources"
    words = [
        "study",
        "demonstrations",
        "--out",
        str(out),
        *(
            "--demonstrations 400 --prompts 24 --sft.epochs 2 --dpo.epochs 0.5 --sources.count 12 "
            "--sources.eval.prompts 8"
        ).split(),
        *(
            "--collect.sampling.max-new-tokens 16 --sources.distil.sampling.max-new-tokens 128 "
            "--sources.self-instruct.batch 16 --sources.eval.sampling.max-new-tokens 16"
        ).split(),
    ]
    assert cli.main(words) == 0, capsys.readouterr().err
    summary, page = read(out), check_page(out)
    rows = summary["figures"]["0"]["rows"]
    assert (
        {row["demonstrations"] for row in rows.values()} == {12}
        and len(rows) == 7
        and all(row["gold"]["n"] == 8 for row in rows.values())
    )
    assert (
        rows["crowd"]["shown_gold"]["mean"] > rows["crowd-random"]["shown_gold"]["mean"]
        and rows["self-instruct"]["valid"]["n"] == 12
    )
    assert "one ordinary writer" in page and len(summary["bars"]) == 4
    few = ["--sources.self-instruct.rounds", "1", "--sources.self-instruct.batch", "2"]
    assert cli.main([*words[:3], str(tmp_path / "few"), *words[4:], *few]) == 4
    assert "of each are compared" in capsys.readouterr().err


def test_reward_shift_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "shift"
    words = [
        "study",
        "reward-shift",
        "--out",
        str(out),
        *TOY[:4],
        *RANKED,
        "--kl-frontier.ppo-kl-coefs",
        "0",
        "--kl-frontier.dpo-betas",
        "0.1",
        *(
            "--kl-frontier.ppo.steps 1 --kl-frontier.ppo.rollouts 8 --kl-frontier.ppo.minibatch 8 "
            "--kl-frontier.ppo.sampling.max-new-tokens 16"
        ).split(),
        *"--shift.prompts 8 --shift.best-of 2 --shift.sampling.max-new-tokens 16 --shift-prompts 8".split(),
    ]
    assert cli.main(words) == 0, capsys.readouterr().err
    summary, page = read(out), check_page(out)
    found = summary["figures"]["0"]
    assert set(found["rows"]) == {"before", "more", "refreshed"} and found["far"] == "ppo-kl-0"
    assert {row["policy"] for row in found["rows"]["before"]} == {"sft", "best of 2", "ppo-kl-0", "dpo-0.1"}
    parents = {stage["name"]: stage["parents"] for stage in summary["stages"]}
    assert {"seed-0/ppo-kl-0", "seed-0/dpo-0.1"} <= set(
        parents["seed-0/shift-before"]
    ) and "A reward model away from home" in page
    joined = {
        name: json.loads((out / "seed-0" / name / "summary.json").read_text())["rankings"]
        for name in ("join-more", "join-refreshed")
    }
    old = len((out / "seed-0" / "collect" / "data" / "rankings.jsonl").read_text().splitlines())
    assert all(count > old for count in joined.values())


SHORT = (
    "--kl-frontier.ppo-kl-coefs 0.1 --kl-frontier.ppo.steps 1 --kl-frontier.ppo.rollouts 8 "
    "--kl-frontier.ppo.minibatch 8 --kl-frontier.ppo.sampling.max-new-tokens 8"
).split()


def test_the_furthest_policy_is_the_one_whose_answers_were_ranked_anew() -> None:
    """Not DPO's, however far it is; and the start is the start, though a policy's KL is measured below 0."""

    def row(policy: str, kl: float, accuracy: float) -> dict[str, Any]:
        score = {"mean": accuracy, "n": 5}
        return {
            "policy": policy,
            "kind": "policy",
            "kl": {"mean": kl},
            "accuracy": score,
            "proxy": score,
            "gold": score,
        }

    near = [row("dpo-1", -0.01, 0.1), row("sft", 0.0, 0.9)]
    rows = [*near, row("ppo-kl-0", 2.0, 0.6), row("dpo-0.03", 9.0, 0.2)]
    anew = [*near, row("ppo-kl-0", 2.0, 0.7), row("dpo-0.03", 9.0, 0.1)]
    by_judge = {"before": rows, "more": rows, "refreshed": anew}
    told = study("reward-shift").town.tell([{"prompts": 5, "far": "ppo-kl-0", "rows": by_judge}])
    assert "0.900 of the time" in told.conclusion[0] and "0.600" in told.conclusion[0]
    assert [list(bar.held) for bar in told.bars] == [[True], [True]]


def test_a_question_put_to_a_model_prompts_a_judge_and_a_reward_model_of_ones_own(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing of the town is mixed in; a reward model that a first study trained is asked about in a second,
    under a name of its own.
    """
    words = [
        "study",
        "kl-frontier",
        "--model",
        "town-s",
        *OWN,
        *SHORT,
        "--kl-frontier.rloo-kl-coefs=",
        *TOY[4:-1],
        "8",
        *RANKED[:-4],
        "--collect.sampling.max-new-tokens",
        "8",
        *(
            "--kl-frontier.curve.most 2 --kl-frontier.curve.sampling.max-new-tokens 8 --dpo.epochs 0.5"
        ).split(),
    ]
    assert cli.main([*words, "--kl-frontier.dpo-betas", "0.1", "--out", "first"]) == 0, (
        capsys.readouterr().err
    )
    first = read(own / "first")
    assert {stage["name"].partition("/")[2] for stage in first["stages"]} >= {
        "collect",
        "reward",
        "ppo-kl-0.1",
        "dpo-0.1",
    } and "seed-0/sft" not in str(first["stages"])
    assert (
        first["settings"]["own"]["gold"] == "judge_of_studies:near"
        and 0 < first["figures"]["0"]["sft"]["gold"]["mean"] < 1
    )
    for stage in first["stages"]:
        run = json.loads((own / stage["run"] / "run.json").read_text())
        assert not any(name.startswith("town:") for name in run["data"]), stage["name"]
        assert "town" not in json.dumps(
            json.loads((own / stage["run"] / "config.json").read_text()).get("options", {})
        ), stage["name"]
    (own / "first" / "seed-0" / "reward").rename(own / "my-reward")
    assert (
        cli.main([*words, "--kl-frontier.dpo-betas=", "--own.reward", "my-reward", "--out", "second"]) == 0
    ), capsys.readouterr().err
    second = read(own / "second")
    assert "seed-0/reward" not in {stage["name"] for stage in second["stages"]} and set(
        second["figures"]["0"]["sweeps"]
    ) == {"ppo"}
    assert (
        second["figures"]["0"]["best_of_n"]["gold"] == first["figures"]["0"]["best_of_n"]["gold"]
    )  # the same samples, picked by the same model
    check_page(own / "second")


@pytest.mark.parametrize("name", ["over-optimisation", "reward-shift"])
def test_what_the_other_two_plan_with_data_of_ones_own(name: str, own: Path) -> None:
    """No stage reads or asks anything of the town, and no prompt that is measured was ranked."""
    planned: list[tuple[str, dict[str, Any]]] = []

    def stage(called: str, target: Any, /, **arguments: Any) -> Stage:
        planned.append((called, arguments))
        return Stage(called, target, own / called, arguments, [])

    sources = OwnSettings(
        demonstrations="",
        prompts="mine.jsonl",
        gold="judge_of_studies:near",
        reward="" if name == "reward-shift" else "my-reward",
    )
    own_data = {"own": sources, "test": "others.jsonl", "annotator": "judge_of_studies:near"}
    settings: Any = RewardShift(**own_data)
    if name == "over-optimisation":
        sizes = OverOptimisationSettings(sizes="other/model")
        settings = OverOptimisation(**own_data, over_optimisation=sizes)
    study(name).real.plan(stage, "my/model", settings, 0)
    assert planned and "town" not in str(
        [{key: value for key, value in arguments.items() if key != "settings"} for _, arguments in planned]
    )
    for called, arguments in planned:
        if arguments.get("data") in ("mine.jsonl", "others.jsonl"):
            assert arguments["data"] == ("others.jsonl" if called == "held-out" else "mine.jsonl"), called
        assert arguments.get("gold") in (None, "judge_of_studies:near") and not arguments.get("others")
        assert name == "reward-shift" or arguments.get("reward", "my-reward") == "my-reward"
    assert not any(
        called.startswith("sft") or (called == "reward" and name == "over-optimisation")
        for called, _ in planned
    )
