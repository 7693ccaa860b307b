"""The AI judge wherever a judge or an annotator is named: a model, a constitution, and loops that cannot tell
it from a reward model.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alignlab import names, stages
from alignlab.errors import UserError
from alignlab.feedback.ai import AIJudge
from alignlab.feedback.ai_annotator import AIAnnotator
from alignlab.records import Ranking, read_jsonl
from alignlab.run import read_run
from alignlab.settings import (
    BestOfNSettings,
    CollectSettings,
    EvalSettings,
    GRPOSettings,
    OnlineDPOSettings,
    OptimSettings,
    RejectionSettings,
    RLOOSettings,
    SamplingSettings,
    SFTSettings,
)

JUDGE = "ai:town-s,constitution=town,principles=2"
SHORT = SamplingSettings(max_new_tokens=8)
COMMON: dict[str, Any] = {
    "model": "town-s",
    "reward": "",
    "judge": JUDGE,
    "data": "town:risky",
    "gold": "",
    "seed": 0,
    "resume": True,
}


@pytest.mark.parametrize(
    ("stage", "settings", "figure"),
    [
        (stages.online_dpo, OnlineDPOSettings(steps=1, prompts=4, sampling=SHORT), "objective/scores"),
        (
            stages.online_dpo,
            OnlineDPOSettings(steps=1, prompts=4, ask="compare", sampling=SHORT),
            "judge/certainty",
        ),
        (stages.rloo, RLOOSettings(steps=1, rollouts=8, sampling=SHORT), "objective/scores"),
        (stages.grpo, GRPOSettings(steps=1, rollouts=8, sampling=SHORT), "objective/scores"),
    ],
    ids=["online-dpo score", "online-dpo compare", "rloo", "grpo"],
)
def test_loops_learn_from_it(stage: Callable[..., Any], settings: Any, figure: str, tmp_path: Path) -> None:
    stage(**COMMON, out=tmp_path / "run", settings=settings)
    (row,) = read_run(tmp_path / "run").metrics
    assert any(figure in name or name == "reward" for name in row), row.keys()


def test_it_picks_ranks_and_evaluates(tmp_path: Path) -> None:
    stages.sft(
        model="town-s",
        data="town:demos",
        out=tmp_path / "sft",
        seed=0,
        resume=True,
        settings=SFTSettings(epochs=1, optim=OptimSettings(lr=4e-3)),
        count=240,
    )
    learnt: dict[str, Any] = COMMON | {"model": str(tmp_path / "sft")}
    stages.rejection(
        **learnt,
        out=tmp_path / "rejection",
        settings=RejectionSettings(
            rounds=1, prompts=8, per_prompt=2, sampling=SamplingSettings(max_new_tokens=40)
        ),
    )
    found = stages.best_of_n(
        **COMMON, out=tmp_path / "bon", settings=BestOfNSettings(per_prompt=2, sampling=SHORT), count=6
    )["summary"]
    assert found["proxy"]["mean"] >= found["proxy_one"]["mean"]
    scored = stages.evaluate(
        model="town-s",
        data="town:risky",
        judge=JUDGE,
        baseline="",
        out=tmp_path / "eval",
        seed=0,
        resume=True,
        settings=EvalSettings(
            prompts=6, sampled=False, sampling=SamplingSettings(max_new_tokens=8, temperature=0.0)
        ),
    )["summary"]
    assert scored["gold"]["n"] == 6
    stages.collect(
        model="town-s",
        data="town:risky",
        annotator=JUDGE,
        gold="",
        others="town:crowd",
        out=tmp_path / "collect",
        seed=0,
        resume=True,
        settings=CollectSettings(per_prompt=3, held_out=0.0, sampling=SHORT),
        count=6,
    )
    rankings = read_jsonl(tmp_path / "collect" / "data" / "rankings.jsonl", Ranking)
    assert rankings and all(
        len(r.meta["labels"]) == len(r.ranks) * (len(r.ranks) - 1) // 2 and r.annotator == JUDGE
        for r in rankings
    )


def test_names_of_judges() -> None:
    judge, annotator = names.judges.judge(JUDGE).load(), names.people.annotator(JUDGE, seed=3).load()
    assert (
        isinstance(judge, AIJudge)
        and judge.principles == 2
        and judge.form.name == "document"
        and judge.constitution.name == "town"
    )
    assert isinstance(annotator, AIAnnotator) and annotator.judge.seed == 3 and annotator.name == JUDGE
    elsewhere = names.judges.judge("ai:http://127.0.0.1:9/v1#m").load()
    assert (
        isinstance(elsewhere, AIJudge)
        and elsewhere.form.name == "dialogue"
        and elsewhere.constitution.name == "general"
    )
    with pytest.raises(UserError, match="did you mean principles"):
        names.judges.judge("ai:town-s,principle=2").load()
    both: dict[str, Any] = COMMON | {"reward": "x"}
    with pytest.raises(UserError, match="two are named"):
        stages.best_of_n(**both, out=Path("x"), settings=BestOfNSettings())
