"""Soft labels from a record to the update: who learns from them, who says that it cannot, and what an
accuracy means.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from alignlab import stages
from alignlab.data import load_records, write
from alignlab.data.formats import Useless, as_kind
from alignlab.errors import ConfigError, DataError
from alignlab.evals import preference
from alignlab.feedback import RuleJudge
from alignlab.feedback.annotators import shuffle_rankings
from alignlab.feedback.reward_model import RewardModelJudge
from alignlab.methods import direct, reward_model
from alignlab.models.load import load_policy, load_reward_model
from alignlab.records import Comparison, Completion, Prompt, Ranking, write_jsonl
from alignlab.run import RunDir, read_run
from alignlab.settings import (
    DPOSettings,
    KTOSettings,
    ModelSettings,
    OptimSettings,
    ORPOSettings,
    RewardSettings,
)

OpenRun = Callable[..., RunDir]
HI = Prompt.user("Hi?")
OPTIM = OptimSettings(lr=2e-3, warmup=0.0)


def pairs(count: int, label: Callable[[int], float | None]) -> list[Comparison]:
    return [
        Comparison(
            Prompt.user(f"{i} apples?"), f"yes, {i}" + "!" * (i % 4), "no" + "." * (i % 6), label=label(i)
        )
        for i in range(count)
    ]


# records


def test_a_label_is_a_probability() -> None:
    assert Comparison(HI, "a", "b", label=0).label == 0 and Comparison(HI, "a", "b").label is None
    for bad in (-0.1, 1.1, float("nan"), float("inf"), "0.5", True, [0.5]):
        with pytest.raises(DataError, match="probability from 0 to 1"):
            Comparison(HI, "a", "b", label=bad)  # type: ignore[arg-type]
    assert Comparison.from_json(Comparison(HI, "a", "b", label=0.25).to_json()) == Comparison(
        HI, "a", "b", label=0.25
    )
    assert "label" not in Comparison(HI, "a", "b").to_json()


def test_who_takes_labels_for_certain_gets_the_favoured_side() -> None:
    turned = Comparison(HI, "a", "b", chosen_finished=False, label=0.2).favoured
    assert (
        turned.chosen,
        turned.rejected,
        turned.chosen_finished,
        turned.rejected_finished,
        turned.label,
    ) == ("b", "a", True, False, None)
    assert Comparison(HI, "a", "b", label=0.5).favoured.tie and Comparison(
        HI, "a", "b", label=0.7
    ).favoured == Comparison(HI, "a", "b")
    liked = as_kind(Comparison(HI, "a", "b", label=0.2), "unpaired")
    assert [(u.completion, u.label) for u in liked] == [("b", True), ("a", False)]  # type: ignore[union-attr]
    with pytest.raises(Useless, match="one half"):
        as_kind(Comparison(HI, "a", "b", label=0.5), "demonstration")


def test_a_ranking_keeps_the_labels_of_its_pairs() -> None:
    labels = [0.9, 0.8, 0.6, 0.4, 0.3, 0.55]  # (0,1) (0,2) (0,3) (1,2) (1,3) (2,3)
    ranking = Ranking(
        HI, tuple(Completion(HI, text) for text in "abcd"), (1, 4, 3, 2), meta={"labels": labels}
    )
    assert [ranking.label(i, j) for i in range(4) for j in range(i + 1, 4)] == labels and ranking.label(
        3, 1
    ) == pytest.approx(0.7)
    assert {(c.chosen, c.rejected): c.label for c in ranking.comparisons()} == pytest.approx(
        {
            ("a", "b"): 0.9,
            ("a", "c"): 0.8,
            ("a", "d"): 0.6,
            ("c", "b"): 0.6,
            ("d", "b"): 0.7,
            ("d", "c"): 0.45,
        }
    )
    part = ranking.only([3, 0, 1])
    assert (
        part.meta["labels"] == pytest.approx([0.4, 0.7, 0.9])
        and Ranking.from_json(ranking.to_json()) == ranking
    )
    assert [(u.completion, u.label) for u in ranking.unpaired()] == [
        ("a", True),
        ("b", False),
        ("c", True),
        ("d", False),
    ], "a label counts for whom it favours, whatever the ranks say"
    (pair,) = as_kind(Comparison(HI, "a", "b", label=0.3), "ranking")
    assert isinstance(pair, Ranking) and pair.ranks == (2, 1) and pair.label(0, 1) == 0.3
    with pytest.raises(DataError, match="3 pairs"):
        Ranking(HI, ranking.completions[:3], (1, 2, 3), meta={"labels": [0.5]})
    with pytest.raises(DataError, match="probability"):
        Ranking(HI, ranking.completions[:2], (1, 2), meta={"labels": [float("nan")]})


def test_the_shuffled_control_shuffles_labels_too() -> None:
    rankings = [
        Ranking(HI, (Completion(HI, "a"), Completion(HI, "b")), (1, 2), meta={"labels": [0.9]})
        for _ in range(40)
    ]
    dealt = shuffle_rankings(rankings, seed=0)
    assert {(r.ranks, round(r.meta["labels"][0], 6)) for r in dealt} == {((1, 2), 0.9), ((2, 1), 0.1)}


def test_labels_in_files_of_others(tmp_path: Path) -> None:
    for ending, value in ((".jsonl", 0.25), (".csv", 0.25)):
        write(
            [Comparison(HI, "a", "b", label=value), Comparison(HI, "c", "d")],
            tmp_path / f"x{ending}",
            plain=True,
        )
        assert [c.label for c in load_records(tmp_path / f"x{ending}", "comparison").records] == [value, None]
    report = write(
        [Comparison(HI, "a", "b", label=0.25), Comparison(HI, "a", "c", label=0.5)],
        tmp_path / "hh.jsonl",
        format="hh",
    )
    assert report.lost == {"a soft label": 1} and report.left_out == {"a tie": 1}
    assert load_records(tmp_path / "hh.jsonl", "comparison").records[0].chosen == "b", (
        "the favoured one is chosen"
    )
    (tmp_path / "bad.jsonl").write_text(
        json.dumps({"prompt": "Hi?", "chosen": "a", "rejected": "b", "label": "safe"}) + "\n"
    )
    with pytest.raises(DataError, match="probability from 0 to 1, not 'safe'") as caught:
        load_records(tmp_path / "bad.jsonl", "comparison")
    assert "bad.jsonl:1" in str(caught.value) and "otherwise" in caught.value.remedy


# methods


@pytest.mark.parametrize("loss_type", ["sigmoid", "ipo"])
def test_dpo_learns_from_soft_labels_in_any_micro_batch(
    loss_type: str, base: Path, open_run: OpenRun
) -> None:
    soft = pairs(24, lambda i: (0.1, 0.5, None, 0.95)[i % 4])
    settings = DPOSettings(epochs=2, batch=8, held_out=0.25, max_length=64, optim=OPTIM, loss_type=loss_type)  # type: ignore[arg-type]
    found: list[list[dict[str, Any]]] = []
    for micro in (0, 3):
        run = open_run(f"micro {micro}")
        policy = load_policy(base, ModelSettings(), trainable=True)
        summary = direct.train(run, policy, soft, replace(settings, micro_batch=micro), seed=0)
        found.append(read_run(run.path).metrics)
    for a, b in zip(*found, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5) and a["grad_norm"] == pytest.approx(
            b["grad_norm"], rel=1e-4
        )
    assert summary["soft_labels"] == sum(c.label is not None for c in summary_pairs(run))
    assert 0 < summary["accuracy"]["mean"] <= summary["ceiling"] + 1e-9 < 1


def summary_pairs(run: RunDir) -> list[Comparison]:
    return load_records(run.path / "data" / "comparisons.jsonl", "comparison").records


def test_labels_of_1_leave_dpo_as_it_is_and_labels_near_0_turn_it(base: Path, open_run: OpenRun) -> None:
    settings = DPOSettings(epochs=3, batch=8, held_out=0.25, max_length=64, optim=OPTIM)
    margins: dict[str, float] = {}
    losses: dict[str, list[float]] = {}
    norms: dict[str, list[float]] = {}
    moved: dict[str, list[float]] = {}
    for name, label in (("none", None), ("one", 1.0), ("none of it", 0.02), ("half", 0.5)):
        run = open_run(name)
        summary = direct.train(
            run,
            load_policy(base, ModelSettings(), trainable=True),
            pairs(24, lambda _, label=label: label),
            settings,
            seed=0,
        )
        metrics = read_run(run.path).metrics
        margins[name], losses[name] = summary["margin"], [row["loss"] for row in metrics]
        norms[name] = [row["grad_norm"] for row in metrics]
        moved[name] = [row["rewards/margins"] for row in metrics]
    assert losses["one"] == losses["none"], "to the bit"
    assert margins["none"] > 0.1 and margins["none of it"] < -0.1
    # a label of one half wants the margin that is there at the start: what moves it after two steps is Adam,
    # to which a rounding error is a gradient like any other
    assert norms["half"][0] == 0 and norms["half"][1] < 1e-5 < 1 < min(norms["none"][:2])
    assert max(map(abs, moved["half"][:2])) < 1e-5 and moved["none"][1] > 0.1


def test_dpo_hinge_refuses_and_orpo_says_what_it_makes_of_them(
    base: Path, open_run: OpenRun, capsys: pytest.CaptureFixture[str]
) -> None:
    soft = pairs(16, lambda i: (0.1, 0.5, 0.9, None)[i % 4])
    policy = load_policy(base, ModelSettings(), trainable=True)
    with pytest.raises(ConfigError, match="mean nothing to loss_type hinge"):
        direct.train(open_run("hinge"), policy, soft, DPOSettings(loss_type="hinge", max_length=64), seed=0)
    run = open_run("orpo")
    direct.train(
        run, policy, soft, ORPOSettings(epochs=1, batch=4, held_out=0.0, max_length=64, optim=OPTIM), seed=0
    )
    learnt = summary_pairs(run)
    assert (
        len(learnt) == 12
        and all(c.label is None for c in learnt)
        and sum(c.chosen.startswith("no") for c in learnt) == 4
    )
    assert "orpo: 12 comparisons have soft labels, and orpo knows none" in capsys.readouterr().err


def test_kto_says_it_too(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_jsonl(tmp_path / "soft.jsonl", pairs(16, lambda i: 0.1 if i % 2 else 0.9))
    stages.kto(
        model=str(base),
        data=str(tmp_path / "soft.jsonl"),
        out=tmp_path / "kto",
        seed=0,
        resume=True,
        settings=KTOSettings(batch=8, max_length=64, held_out=0.0),
    )
    assert "kto: 16 prompts have soft labels, and kto knows none" in capsys.readouterr().err


def test_a_reward_model_states_the_labels_it_was_taught(base: Path, open_run: OpenRun) -> None:
    """Two kinds of pair, at 0.7 and at 0.95: hard labels know one kind, soft ones give each its margin; the
    accuracy stops at the ceiling.
    """
    rng = random.Random(0)
    worth = RuleJudge("planted", lambda c: float("zz" in c.text))
    prompts = [Prompt.user(f"number {i}{'?' * (i % 3)}") for i in range(90)]
    soft = [
        as_kind(
            Comparison(
                p,
                f"zz {rng.random():.2f}",
                f"{'aa' if i % 2 else 'mm'} {rng.random():.2f}",
                label=0.7 if i % 2 else 0.95,
            ),
            "ranking",
        )[0]
        for i, p in enumerate(prompts)
    ]
    settings = RewardSettings(epochs=8, batch=8, held_out=0.25, max_length=64, optim=OptimSettings(lr=3e-3))
    fresh = load_reward_model(base, ModelSettings(), init_head=True, trainable=True)
    run = open_run()
    summary = reward_model.train(run, fresh, soft, settings, seed=0, gold=worth)  # type: ignore[arg-type]
    assert (
        summary["gold_accuracy"]["mean"] == 1
        and summary["accuracy"]["mean"] == pytest.approx(summary["ceiling"])
        and 0.75 < summary["ceiling"] < 0.9
    )
    assert summary["ece"] < 0.15
    judge = RewardModelJudge(fresh, normalize=False)
    stated = {
        word: torch.sigmoid(
            torch.tensor(
                [
                    a.value - b.value
                    for a, b in zip(
                        judge.score([Completion(p, "zz 0.50") for p in prompts[:20]]),
                        judge.score([Completion(p, f"{word} 0.50") for p in prompts[:20]]),
                        strict=True,
                    )
                ]
            )
        ).mean()
        for word in ("aa", "mm")
    }
    assert stated["aa"].item() == pytest.approx(0.7, abs=0.12) and stated["mm"].item() == pytest.approx(
        0.95, abs=0.08
    )


def test_measure_counts_soft_labels_by_their_probability() -> None:
    judge = RuleJudge("length", lambda c: float(len(c.text)))
    test = [
        as_kind(Comparison(Prompt.user(str(i)), "long", "s", label=label), "ranking")[0]
        for i, label in enumerate((0.9, 0.6, 0.2))
    ]
    found = preference.measure(judge, test)  # type: ignore[arg-type]
    assert found["accuracy"]["mean"] == pytest.approx((0.9 + 0.6 + 0.2) / 3) and found[
        "ceiling"
    ] == pytest.approx((0.9 + 0.6 + 0.8) / 3)
    assert found["length_floor"]["mean"] == pytest.approx((0.9 + 0.6 + 0.2) / 3)
