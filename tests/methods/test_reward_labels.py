"""What a reward model makes of ties, margins, wrong labels, annotators and safe or unsafe labels; and what it
says to settings that contradict.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import logsigmoid

from alignlab.errors import ConfigError, DataError
from alignlab.feedback import RuleJudge
from alignlab.feedback.reward_model import RewardModelJudge
from alignlab.methods import reward_model as method
from alignlab.models.label_noise import margins_of
from alignlab.models.load import load_reward_model
from alignlab.models.policy import RewardModel
from alignlab.models.saving import save_reward_model
from alignlab.models.state import trainable_tensors
from alignlab.records import Completion, Prompt, Ranking, pairs_of
from alignlab.run import RunDir, read_run
from alignlab.settings import ModelSettings, OptimSettings, RewardSettings

from .conftest import Killed

OpenRun = Callable[..., RunDir]
WORTH = {"zz": 2.0, "mm": 1.0, "aa": 0.7}
GOLD = RuleJudge("planted", lambda c: next(worth for part, worth in WORTH.items() if part in c.text))
SETTINGS = RewardSettings(epochs=3, batch=8, held_out=0.25, max_length=64, optim=OptimSettings(lr=3e-3))


def ranking(i: int, ranks: tuple[int, ...] = (1, 2, 3), annotator: str = "", **meta: Any) -> Ranking:
    prompt = Prompt.user(f"number {i}?")
    filler = "the quick brown fox"[i % 7 : i % 7 + 6]
    return Ranking(
        prompt,
        tuple(Completion(prompt, f"{filler} {part} {filler[::-1]}") for part in WORTH),
        ranks,
        annotator,
        meta,
    )


@pytest.fixture
def fresh(base: Path) -> RewardModel:
    return load_reward_model(base, ModelSettings(), init_head=True, trainable=True)


@pytest.mark.parametrize("kind", ["rao_kupper", "davidson"])
def test_ties_teach_that_two_are_near(kind: str, fresh: RewardModel, base: Path, open_run: OpenRun):
    """The lower two always tie. Left out, nothing pulls them together; with a model of ties they end near,
    and ties are foreseen.
    """
    rankings = [ranking(i, (1, 2, 2)) for i in range(60)]
    run = open_run()
    summary = method.train(run, fresh, rankings, replace(SETTINGS, ties=kind, epochs=4), seed=0)
    assert (
        summary["accuracy"]["mean"] > 0.9
        and summary["labels"]["ties"] == kind
        and summary["labels"]["tie_rate"] > 1 / 3
    )
    assert summary["outcomes"]["nll"]["mean"] < summary["outcomes"]["nll_constant"] and summary["outcomes"][
        "tie_share"
    ] == pytest.approx(1 / 3)
    json.dumps(summary, allow_nan=False)
    rows = read_run(run.path).metrics
    assert rows[0]["labels/tie_rate"] != rows[-1]["labels/tie_rate"]
    one = ranking(99)
    scores = [score.value for score in RewardModelJudge(fresh).score(one.completions)]
    assert abs(scores[1] - scores[2]) < 0.5 * (scores[0] - max(scores[1:]))


def test_a_fixed_tie_rate_stays_and_only_ties_are_enough(
    fresh: RewardModel, open_run: OpenRun, tmp_path: Path
):
    run = open_run()
    summary = method.train(
        run,
        fresh,
        [ranking(i, (1, 1, 1)) for i in range(16)],
        replace(SETTINGS, ties="davidson", tie_rate=0.3, held_out=0),
        seed=0,
    )
    assert summary["labels"] == {"ties": "davidson", "tie_rate": pytest.approx(0.3), "tie_rate_learnt": False}
    save_reward_model(fresh, tmp_path / "saved", card="")
    assert json.loads((tmp_path / "saved" / "config.json").read_text())["labels"][
        "tie_rate"
    ] == pytest.approx(0.3)
    rows = read_run(run.path).metrics
    assert all("accuracy" not in row for row in rows)  # no pair was decided: no figure is made up


def test_margins_come_from_ranks_scores_and_the_data():
    places = {
        kind: replace(SETTINGS, margins=kind, margin_scale=3.0)
        for kind in ("none", "data", "ranks", "scores")
    }
    four = replace(
        ranking(0),
        completions=(*ranking(0).completions, Completion(ranking(0).prompt, "four")),
        ranks=(1, 2, 3, 4),
    )
    assert pairs_of(four.ranks) == ([0, 0, 0, 1, 1, 2], [1, 2, 3, 2, 3, 3])
    assert margins_of(four, places["ranks"]) == pytest.approx(
        [1, 2, 3, 1, 2, 1]
    )  # Llama 2's large margins: 1, 2, 3
    assert margins_of(replace(ranking(0), ranks=(1, 2, 2)), places["ranks"]) == pytest.approx([1.5, 1.5])
    assert margins_of(ranking(0, scores=[5.0, 3.0, 2.5]), places["scores"]) == pytest.approx([6, 7.5, 1.5])
    assert (
        margins_of(ranking(0), places["data"]) is None
        and margins_of(ranking(0, margin=0.5), places["none"]) is None
    )
    assert margins_of(ranking(0, margin=0.5), places["data"]) == [1.5, 1.5, 1.5]
    with pytest.raises(DataError, match="not ranked by scores"):
        margins_of(ranking(0), places["scores"])
    with pytest.raises(ConfigError, match="the data has margins"):
        margins_of(ranking(0, margin=0.5), replace(SETTINGS, ties="davidson"))


def test_margins_enter_the_loss(fresh: RewardModel, open_run: OpenRun, monkeypatch: pytest.MonkeyPatch):
    seen = []
    scores_of_batch = method.last_scores
    monkeypatch.setattr(method, "last_scores", lambda *args: seen.append(scores_of_batch(*args)) or seen[-1])
    run = open_run()
    method.train(run, fresh, [ranking(0)], replace(SETTINGS, epochs=1, held_out=0.0, margins="ranks"), seed=0)
    a, b, c = seen[0].detach()
    expected = -(logsigmoid(a - b - 0.5) + logsigmoid(a - c - 1) + logsigmoid(b - c - 0.5)) / 3
    assert read_run(run.path).metrics[0]["loss"] == pytest.approx(expected.item(), rel=1e-5)


def labels_by(people: dict[str, tuple[int, ...]], count: int = 80) -> list[Ranking]:
    """Rankings shared out among people who always rank in their own way."""
    names = list(people)
    return [ranking(i, people[names[i % len(names)]], names[i % len(names)]) for i in range(count)]


def test_reliabilities_find_the_contrary_one_and_undo_the_harm(
    fresh: RewardModel, base: Path, open_run: OpenRun
):
    """Two of five people rank upside down. Plain Bradley-Terry and the crowd model see the same labels."""
    rankings = labels_by(
        {"ann": (1, 2, 3), "bob": (1, 2, 3), "cy": (1, 2, 3), "dee": (3, 2, 1), "eve": (3, 2, 1)}, 150
    )
    test = [ranking(i) for i in range(500, 520)]
    settings = replace(SETTINGS, epochs=3)
    found = {}
    for annotators, lr in (("alike", 0.05), ("reliability", 0.2)):
        model = load_reward_model(base, ModelSettings(), init_head=True, trainable=True)
        run = open_run(annotators)
        found[annotators] = method.train(
            run,
            model,
            rankings,
            replace(settings, annotators=annotators, label_lr=lr),
            seed=0,
            held_out=test,
            gold=GOLD,
        )
    people = found["reliability"]["labels"]["annotators"]
    assert (
        min(people[name]["reliability"] for name in ("ann", "bob", "cy"))
        > 0.8
        > 0.4
        > max(people[name]["reliability"] for name in ("dee", "eve"))
    )
    assert people["ann"]["rankings"] == 30
    assert found["reliability"]["gold_accuracy"]["mean"] > 0.95 and "labels" not in found["alike"]
    assert {f"labels/reliability/{name}" for name in people} <= set(read_run(run.path).metrics[0])


def test_a_flip_rate_is_learnt(fresh: RewardModel, open_run: OpenRun):
    rankings = [ranking(i, (3, 2, 1) if i % 4 == 0 else (1, 2, 3)) for i in range(160)]
    summary = method.train(
        open_run(),
        fresh,
        rankings,
        replace(SETTINGS, noise="learnt", held_out=0.1, epochs=4),
        seed=0,
        gold=GOLD,
    )
    assert (
        summary["labels"]["flip_rate_learnt"]
        and 0.12 < summary["labels"]["flip_rate"] < 0.4
        and summary["gold_accuracy"]["mean"] > 0.9
    )


def test_a_cost_model_tells_safe_from_unsafe_by_its_sign(fresh: RewardModel, open_run: OpenRun):
    """Only "aa" does harm; most prompts tie, and still their labels teach."""

    def labelled(i: int) -> Ranking:
        return ranking(i, (1, 1, 2) if i % 2 else (1, 1, 1), safe=[True, True, False if i % 2 else None])

    settings = replace(SETTINGS, safety=1.0, epochs=4)
    run = open_run()
    summary = method.train(run, fresh, [*(labelled(i) for i in range(60)), ranking(99)], settings, seed=0)
    assert (
        summary["sign_accuracy"]["mean"] > 0.9
        and summary["unsafe_called_unsafe"]["mean"] > 0.8
        and summary["accuracy"]["mean"] > 0.9
    )
    assert (
        summary["dropped"] == {"rankings without a safe or unsafe label": 1} and fresh.model.config.cost_model
    )
    first, last = read_run(run.path).metrics[0], read_run(run.path).metrics[-1]
    assert last["loss/safety"] < first["loss/safety"]
    with pytest.raises(DataError, match="safe or unsafe label"):
        method.train(open_run("none"), fresh, [ranking(0)], settings, seed=0)


def test_the_cost_loss_is_the_papers(fresh: RewardModel, open_run: OpenRun, monkeypatch: pytest.MonkeyPatch):
    seen = []
    scores_of_batch = method.last_scores
    monkeypatch.setattr(method, "last_scores", lambda *args: seen.append(scores_of_batch(*args)) or seen[-1])
    pair = ranking(0).only([0, 2])
    pair = replace(
        pair, ranks=(2, 1), meta={"safer": [1, 2], "safe": [True, False]}
    )  # ranked by help: the harmful one is better; by harm: worse
    run = open_run()
    method.train(run, fresh, [pair], replace(SETTINGS, epochs=1, held_out=0.0, safety=1.0), seed=0)
    safe, unsafe = -seen[0].detach()  # costs
    expected = -logsigmoid(unsafe - safe) - logsigmoid(unsafe) - logsigmoid(-safe)
    assert read_run(run.path).metrics[0]["loss"] == pytest.approx(expected.item(), rel=1e-5)


def test_what_is_said_of_each_completion_stays_with_it():
    three = ranking(0, (2, 1, 3), safe=[True, False, None], scores=[1, 2, 0], note="kept")
    two = three.only([2, 0])
    assert (
        two.ranks == (3, 2)
        and two.meta == {"safe": [None, True], "scores": [0, 1], "note": "kept"}
        and two.completions[1].text == three.completions[0].text
    )


def test_members_and_bootstraps_differ_in_order_head_and_data_alone(base: Path, open_run: OpenRun):
    rankings = [ranking(i) for i in range(40)]
    found = {}
    for name, member, bootstrap in (
        ("plain", 0, False),
        ("again", 0, False),
        ("other", 1, False),
        ("drawn", 1, True),
    ):
        model = load_reward_model(base, ModelSettings(), init_head=True, head_seed=member, trainable=True)
        run = open_run(name)
        summary = method.train(
            run, model, rankings, replace(SETTINGS, epochs=1, bootstrap=bootstrap), seed=0, member=member
        )
        texts = [line for line in (run.path / "data" / "rankings.jsonl").read_text().splitlines()]
        found[name] = summary, texts, next(iter(trainable_tensors(model.model).values()))
    assert found["plain"][0] == found["again"][0] and torch.equal(found["plain"][2], found["again"][2])
    assert found["plain"][0]["held_out"] == found["other"][0]["held_out"] == found["drawn"][0]["held_out"]
    assert found["plain"][1] == found["other"][1] and not torch.equal(found["plain"][2], found["other"][2])
    drawn = found["drawn"][1]
    assert (
        len(drawn) == len(found["plain"][1])
        and len(set(drawn)) < len(drawn)
        and set(drawn) <= set(found["plain"][1])
    )


def test_what_is_learnt_of_labels_survives_a_kill(
    base: Path, open_run: OpenRun, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ALIGNLAB_SAVE_EVERY_STEPS", "1")
    rankings = labels_by({"ann": (1, 2, 2), "bob": (1, 2, 2), "eve": (2, 1, 1)}, 40)
    settings = replace(SETTINGS, epochs=2, annotators="reliability", ties="rao_kupper")

    def train(run: RunDir) -> tuple[dict[str, Any], RewardModel, list[dict[str, Any]]]:
        model = load_reward_model(base, ModelSettings(), init_head=True, trainable=True)
        return method.train(run, model, rankings, settings, seed=3), model, read_run(run.path).metrics

    whole, model, metrics = train(open_run("whole"))
    with pytest.raises(Killed):
        train(open_run("killed", die_at=4))
    again, same, rows = train(open_run("killed"))
    assert again == whole
    assert all(
        torch.equal(a, b)
        for a, b in zip(
            trainable_tensors(model.model).values(), trainable_tensors(same.model).values(), strict=True
        )
    )
    assert rows == metrics


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tie_rate": 0.2}, "tie_rate"),
        ({"ties": "davidson", "tie_rate": 1.0}, "tie_rate"),
        ({"ties": "davidson", "margins": "ranks"}, "margins"),
        ({"margins": "none", "margin_scale": 3.0}, "margin_scale"),
        ({"noise": "flip"}, "no label is turned round"),
        ({"label_smoothing": 0.5}, "label_smoothing"),
        ({"annotators": "reliability", "noise": "learnt"}, "reliability"),
        ({"label_lr": 0.1}, "nothing is learnt"),
        ({"safety": -1.0}, "safety"),
        ({"members": 0}, "members"),
    ],
)
def test_settings_that_contradict_are_refused(
    changes: dict[str, Any], said: str, fresh: RewardModel, open_run: OpenRun
):
    with pytest.raises(ConfigError, match=said):
        method.train(open_run(), fresh, [ranking(0)], replace(SETTINGS, **changes), seed=0)


def test_reliability_of_one_person_alone_is_refused(fresh: RewardModel, open_run: OpenRun):
    with pytest.raises(DataError, match="one annotator"):
        method.train(
            open_run(),
            fresh,
            [ranking(i, annotator="ann") for i in range(9)],
            replace(SETTINGS, annotators="reliability"),
            seed=0,
        )


@pytest.mark.parametrize(
    "change", [{}, {"ties": "davidson"}, {"safety": 1.0, "center": 0.01}], ids=["plain", "ties", "cost"]
)
def test_micro_batches_change_no_gradient(
    change: dict, base: Path, open_run: OpenRun, monkeypatch: pytest.MonkeyPatch
):
    found: list[list[torch.Tensor]] = []

    class Watched(method.MasterAdamW):
        def step(self) -> float:
            found.append([p.grad.clone() for p in self.params if p.grad is not None])
            return super().step()

    monkeypatch.setattr(method, "MasterAdamW", Watched)
    data = [ranking(i, (1, 2, 2) if i % 3 else (1, 2, 3), safe=[True, None, False]) for i in range(7)]
    rows = []
    for size in (0, 3, 1):
        run, model = (
            open_run(str(size)),
            load_reward_model(base, ModelSettings(), init_head=True, trainable=True),
        )
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model.model.score.weight.data.normal_(std=0.1)
        method.train(
            run,
            model,
            data,
            replace(SETTINGS, batch=len(data), micro_batch=size, epochs=1, held_out=0.0, **change),
            seed=0,
        )
        rows.append(read_run(run.path).metrics[0])
    whole, *parts = [
        gradients for gradients in found if len(gradients) > 1
    ]  # the labels' own optimiser has one
    for gradients in parts:
        for a, b in zip(gradients, whole, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    for row in rows[1:]:
        assert row == pytest.approx(rows[0], rel=1e-4, abs=1e-6)


def test_sizes_that_cannot_be_are_said(fresh: RewardModel, open_run: OpenRun):
    for change in ({"batch": 0}, {"micro_batch": -1}, {"epochs": 0.0}):
        with pytest.raises(ConfigError, match=next(iter(change))):
            method.train(
                open_run(next(iter(change))), fresh, [ranking(0)], replace(SETTINGS, **change), seed=0
            )
