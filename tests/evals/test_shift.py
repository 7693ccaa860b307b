"""Accuracy under distribution shift: by hand on scripted samples, and as a stage on the town."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from alignlab import stages
from alignlab.errors import ConfigError, UserError
from alignlab.evals import shift
from alignlab.feedback import RuleJudge
from alignlab.feedback.ensemble import EnsembleJudge
from alignlab.losses import best_of_n_kl
from alignlab.records import Completion, Prompt
from alignlab.run import read_run
from alignlab.sampling import Sampling
from alignlab.settings import ModelSettings, OptimSettings, RewardSettings, SamplingSettings, ShiftSettings

PROMPTS = [Prompt.user(str(i)) for i in range(3)]
TEXTS = ["a", "bb", "ccc", "dddd"]
GOLD = RuleJudge("length", lambda c: float(len(c.text)))
POLICY: Any = SimpleNamespace(
    model=SimpleNamespace(config=SimpleNamespace(get_text_config=lambda: None)),
    tokenizer=None,
    end_ids=frozenset(),
)


class Scripted:
    def __init__(self, *_: Any, **__: Any) -> None: ...

    @classmethod
    def of(cls, *_: Any, **__: Any) -> Scripted:
        return cls()

    def sample(self, prompts: Any, sampling: Sampling, *, seed: int) -> list[list[Completion]]:
        return [[Completion(prompt, TEXTS[i % 4]) for i in range(sampling.n)] for prompt in prompts]

    def close(self) -> None: ...


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shift, "LocalSampler", Scripted)


def test_pairs_by_hand(scripted: None) -> None:
    """A judge that is right but for taking the longest for the shortest: 3 of 6 pairs wrong; pairs of equal
    gold do not count.
    """
    judge = RuleJudge("fooled", lambda c: 0.0 if len(c.text) == 4 else float(len(c.text)))
    found = shift.accuracy_on_policy(
        judge, GOLD, POLICY, PROMPTS, per_prompt=4, sampling=SamplingSettings(), seed=0
    )
    assert found["accuracy"]["mean"] == 0.5 and found["accuracy"]["n"] == 3 and found["differ"]["n"] == 3
    assert found["gold"]["n"] == 3, "prompts, not their pairs or completions"
    assert found["kl"]["mean"] == 0 and found["gold"]["mean"] == 2.5 and found["proxy"]["mean"] == 1.5
    five = shift.accuracy_on_policy(
        GOLD, GOLD, POLICY, PROMPTS, per_prompt=5, sampling=SamplingSettings(), seed=0
    )  # "a" comes twice
    assert five["accuracy"]["mean"] == 1 and five["differ"]["mean"] == pytest.approx(9 / 10)


def test_what_fools_the_judge_is_what_it_picks(scripted: None) -> None:
    judge = EnsembleJudge([RuleJudge("likes b", lambda c: 9.0 if c.text == "bb" else float(len(c.text)))])
    found = shift.accuracy_on_best_of_n(
        judge, GOLD, POLICY, PROMPTS, n=2, per_prompt=2, sampling=SamplingSettings(), seed=0
    )  # picks bb and dddd
    assert (
        found["accuracy"]["mean"] == 0
        and found["kl"]["mean"] == best_of_n_kl(2)
        and found["judge/spread"] == 0
    )


def test_the_stage_draws_and_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from alignlab.records import Ranking, write_jsonl
    from alignlab.town import people, sets, world

    town = world.build()
    prompts = [p for p in sets.load(town, "prompts", count=24) if isinstance(p, Prompt)]
    answers = sets.crowd_completions(town, prompts, per_prompt=4, seed=0)
    fair = people.annotator(town, "fair", seed=0)
    rankings: list[Ranking] = [fair.rank(i, answers[p.id]) for i, p in enumerate(prompts)]
    write_jsonl(tmp_path / "rankings.jsonl", rankings)
    model = ModelSettings(threads=1)
    stages.reward(
        model="town-s",
        data=str(tmp_path / "rankings.jsonl"),
        gold="",
        out=tmp_path / "rm",
        seed=0,
        resume=True,
        settings=RewardSettings(optim=OptimSettings(lr=1e-3), model=model),
    )
    common: dict[str, Any] = {
        "model": "town-s",
        "reward": str(tmp_path / "rm"),
        "policies": "town-m",
        "data": "town:test",
        "gold": "town:gold",
        "seed": 0,
        "resume": True,
    }
    settings = ShiftSettings(
        prompts=6, per_prompt=2, best_of="2", model=model, sampling=SamplingSettings(max_new_tokens=12)
    )
    whole = stages.reward_shift(**common, out=tmp_path / "shift", settings=settings)
    rows = whole["summary"]["rows"]
    assert [row["kl"]["mean"] for row in rows] == sorted(row["kl"]["mean"] for row in rows) and {
        row["policy"] for row in rows
    } == {"town-s", "best of 2", "town-m"}
    assert rows[0]["policy"] == "town-s" and "<svg" in (tmp_path / "shift" / "shift.svg").read_text()

    real = shift.accuracy_on_policy
    calls: list[int] = []

    def dies(*args: Any, **more: Any) -> dict[str, Any]:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **more)

    monkeypatch.setattr(shift, "accuracy_on_policy", dies)
    with pytest.raises(KeyboardInterrupt):
        stages.reward_shift(**common, out=tmp_path / "again", settings=settings)
    assert (
        stages.reward_shift(**common, out=tmp_path / "again", settings=settings)["summary"]["rows"] == rows
        and len(calls) == 3
    )
    assert read_run(tmp_path / "again").status == "done"


def test_what_cannot_be_measured_is_said(tmp_path: Path) -> None:
    common: dict[str, Any] = {
        "model": "town-s",
        "policies": "",
        "data": "town:test",
        "gold": "town:gold",
        "seed": 0,
        "resume": True,
        "out": tmp_path / "x",
    }
    with pytest.raises(UserError, match="needs a reward model"):
        stages.reward_shift(**common, reward="", settings=ShiftSettings())
    for settings in (ShiftSettings(per_prompt=1), ShiftSettings(best_of="1"), ShiftSettings(best_of="many")):
        with pytest.raises(ConfigError):
            stages.reward_shift(**common, reward="town-s", settings=settings)
