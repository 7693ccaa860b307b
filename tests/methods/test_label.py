"""AI feedback as stages: pairs labelled, killed and gone on with, an endpoint that goes wrong at any point,
and what is asked about a judge afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from alignlab import names, stages
from alignlab.collecting import label as method
from alignlab.errors import ConfigError, DataError, ModelError, ResourceError, UserError
from alignlab.feedback import RuleJudge
from alignlab.feedback.ai import AIJudge
from alignlab.names.named import Named
from alignlab.records import Comparison, Completion, Prompt, Ranking, read_jsonl, write_jsonl
from alignlab.run import read_run
from alignlab.settings import (
    AIJudgeSettings,
    BehaviourSettings,
    DPOSettings,
    EndpointSettings,
    LabelSettings,
    OptimSettings,
    RewardSettings,
    SamplingSettings,
)

from ..serving import Body, Reply, Server

SETTINGS = LabelSettings(
    principles=2, chunk=8, per_prompt=2, held_out=0.25, sampling=SamplingSettings(max_new_tokens=12)
)
QUICK = EndpointSettings(timeout=0.5, retries=1, concurrency=1)


def label(out: Path, **options: Any) -> dict[str, Any]:
    given = {
        "model": "town-s",
        "judge_model": "town-s",
        "data": "town:risky",
        "constitution": "",
        "helpful": "",
        "gold": "",
        "seed": 0,
        "resume": True,
        "settings": SETTINGS,
        "count": 24,
    }
    return stages.label_answers(**(given | options), out=out)["summary"]


def agreement(out: Path, **options: Any) -> dict[str, Any]:
    given = {
        "judge_model": "",
        "constitution": "",
        "gold": "",
        "injections": False,
        "seed": 0,
        "resume": True,
        "settings": AIJudgeSettings(chunk=8),
        "count": 0,
    }
    return stages.judge_agreement(**(given | options), out=out)["summary"]


@pytest.fixture(scope="module", autouse=True)
def length() -> Iterator[None]:
    """The gold judge `length`, who knows nothing of the town: an untaught policy's answers are all wrong to
    those who do.
    """
    real = names.judges.judge
    length = Named("length", lambda: RuleJudge("length", lambda c: float(len(c.text))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(names.judges, "judge", lambda name: length if name == "length" else real(name))
        yield


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("label") / "run"
    label(out, gold="length", settings=replace(SETTINGS, temperature=0.0))
    return out


def test_what_a_label_run_holds(labelled: Path) -> None:
    summary = read_run(labelled).summary
    rows, test = (
        read_jsonl(labelled / "data" / f"{name}.jsonl", Comparison)
        for name in ("comparisons", "comparisons_test")
    )
    assert len(rows) + len(test) == summary["comparisons"] > 16 and not {c.prompt.id for c in rows} & {
        c.prompt.id for c in test
    }
    for c in (*rows, *test):
        assert (
            c.label is not None
            and 0.5 <= c.label <= 1
            and len(c.meta["principles"]) == len(c.meta["orders"]) == 2
        )
        assert (
            c.meta["constitution"] == summary["constitution"]
            and c.meta["shown"] in ("chosen", "rejected")
            and c.chosen != c.rejected
        )
        assert (c.meta["plain"] > 0.5) == (c.meta["shown"] == "chosen") or c.meta["plain"] == 0.5
    assert (
        summary["judge"]["pairs"] == len(rows) + len(test)
        and summary["judge"]["verdicts"] == 4 * summary["judge"]["pairs"]
    )
    assert (
        summary["order_effect"]["mean"] > 0
        and summary["temperature"] == summary["calibration"]["temperature"]
        and summary["labels"]["accuracy"]["n"] > 0
    )
    assert [
        r.comparisons()[0].label for r in read_jsonl(labelled / "data" / "rankings_test.jsonl", Ranking)
    ] == [c.label for c in test]
    assert not (labelled / "chunks").exists()
    json.dumps(summary, allow_nan=False)


def test_what_the_judge_could_not_decide_is_left_out_where_that_is_wanted(
    labelled: Path, tmp_path: Path
) -> None:
    everything = [
        c
        for name in ("comparisons", "comparisons_test")
        for c in read_jsonl(labelled / "data" / f"{name}.jsonl", Comparison)
    ]
    bar = (
        sum(sorted(abs(c.meta["plain"] - 0.5) for c in everything)[len(everything) // 2 :][:2]) / 2
    )  # between two of them
    found = label(tmp_path / "some", gold="length", settings=replace(SETTINGS, temperature=0.0, certain=bar))
    kept = [
        c
        for name in ("comparisons", "comparisons_test")
        for c in read_jsonl(tmp_path / "some" / "data" / f"{name}.jsonl", Comparison)
    ]
    assert {c.prompt.id for c in kept} == {
        c.prompt.id for c in everything if abs(c.meta["plain"] - 0.5) >= bar
    } and 0 < len(kept) < len(everything)
    assert (
        found["comparisons"] == len(everything)
        and 0 < found["learnt"] < len(kept) + 1
        and found["labels"] == read_run(labelled).summary["labels"]
    )
    with pytest.raises(DataError, match="or more from one half"):
        label(tmp_path / "none", settings=replace(SETTINGS, certain=0.4999))


def test_a_label_run_is_learnt_from_softly(labelled: Path, tmp_path: Path) -> None:
    optim = OptimSettings(lr=1e-4)
    found = stages.reward(
        model="town-s",
        data=str(labelled),
        gold="",
        out=tmp_path / "rm",
        seed=0,
        resume=True,
        settings=RewardSettings(optim=optim),
    )["summary"]
    assert 0.5 <= found["ceiling"] < 1 and found["held_out"] == read_run(labelled).summary["rankings_test"]
    found = stages.dpo(
        model="town-s",
        data=str(labelled),
        out=tmp_path / "dpo",
        seed=0,
        resume=True,
        settings=DPOSettings(optim=optim),
    )["summary"]
    labels = [c.label for c in read_jsonl(labelled / "data" / "comparisons.jsonl", Comparison)]
    assert found["comparisons"] == len(labels) == read_run(labelled).summary["rankings"]
    assert found["soft_labels"] == (torch.tensor(labels) < 1).sum() > 0


def test_a_run_that_was_killed_ends_in_the_same_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = label(tmp_path / "whole")
    real, asked = AIJudge.verdicts, []

    def dies(self: AIJudge, first: Any, second: Any) -> Any:
        asked.append(len(first))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return real(self, first, second)

    monkeypatch.setattr(AIJudge, "verdicts", dies)
    with pytest.raises(KeyboardInterrupt):
        label(tmp_path / "cut")
    assert label(tmp_path / "cut") == whole and len(asked) == 4, (
        "two chunks were kept, the third is asked again"
    )
    for name in ("comparisons", "comparisons_test", "rankings"):
        assert (tmp_path / "cut" / "data" / f"{name}.jsonl").read_bytes() == (
            tmp_path / "whole" / "data" / f"{name}.jsonl"
        ).read_bytes()


def test_people_are_mixed_in_and_a_prompt_is_held_out_on_both_sides_or_on_none(tmp_path: Path) -> None:
    prompts = list({p.id: p for p in names.data.read_data("town:risky", "prompt", count=60).records}.values())
    people = [
        Ranking(p, tuple(Completion(p, text) for text in ("first", "second", "third")), (1, 2, 3), "people")
        for p in prompts
    ]
    write_jsonl(tmp_path / "people.jsonl", people)
    summary = label(tmp_path / "run", helpful=str(tmp_path / "people.jsonl"))
    sides = [
        read_jsonl(tmp_path / "run" / "data" / f"{name}.jsonl", Ranking)
        for name in ("rankings", "rankings_test")
    ]
    assert sum(r.annotator == "people" for side in sides for r in side) == summary["helpful"] == len(people)
    assert not {r.prompt.id for r in sides[0]} & {r.prompt.id for r in sides[1]} and all(sides)
    assert (
        summary["rankings"] == len(sides[0]) and sum(map(len, sides)) == len(people) + summary["comparisons"]
    )


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"per_prompt": 1}, "per_prompt = 1"),
        ({"certain": 0.5}, "certain = 0.5"),
        ({"sampling": SamplingSettings(temperature=0.0)}, "all be the same"),
        ({"temperature": 0.0}, "truth is known"),
        ({"labels": "hard", "temperature": 2.0}, "nothing to hard labels"),
        ({"chunk": 0}, "chunk = 0"),
        ({"endpoint": EndpointSettings(timeout=1)}, "no model here is behind one"),
    ],
)
def test_settings_that_cannot_be(change: dict[str, Any], what: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=what):
        label(tmp_path / "run", settings=replace(SETTINGS, **change))


def test_nobody_judges_and_nothing_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="nobody judges"):
        label(tmp_path / "a", judge_model="")
    monkeypatch.setattr(method, "two_different", lambda group, seed: None)
    with pytest.raises(DataError, match="no prompt got two different answers"):
        label(tmp_path / "b")


# an endpoint as the judge


def letters(p_a: Callable[[str], float]) -> Callable[[int, str, Body], Body]:
    """Answers with log-probabilities of A and B, by the text of the last message."""
    import math

    def answer(_: int, path: str, body: Body) -> Body:
        p = p_a(body["messages"][-1]["content"])
        top = [{"token": t, "logprob": math.log(max(q, 1e-9))} for t, q in (("A", p), ("B", 1 - p))]
        return {
            "choices": [
                {
                    "message": {"content": "A"},
                    "finish_reason": "length",
                    "logprobs": {"content": [{"token": "A", "logprob": 0.0, "top_logprobs": top}]},
                }
            ],
            "usage": {"total_tokens": 5},
        }

    return answer


def longer_first(text: str) -> float:
    """Likes the longer reply, and the first."""
    a, b = text.split("Reply A:\n")[1].split("\n\nReply B:\n")
    return 0.9 if len(a) > len(b.split("\n\n")[0]) else 0.3


def test_an_endpoint_that_goes_wrong_at_any_point_is_gone_on_with_and_nothing_paid_twice(
    tmp_path: Path,
) -> None:
    settings = replace(SETTINGS, principles=1, endpoint=QUICK)
    with Server(letters(longer_first)) as server:
        whole = label(tmp_path / "whole", judge_model=server.name, settings=settings, count=12)
        needed = len(server.requests)
    for broken in (Reply(b"", 503), Reply(b"{", 200), Reply(b"x" * 90, cut=True), Reply({}, slow=2.0)):
        for at in (0, needed // 2, needed - 1):
            state = {"broken": True}
            good, paid = letters(longer_first), []

            def answer(
                number: int,
                path: str,
                body: Body,
                at: int = at,
                state: Any = state,
                good: Any = good,
                broken: Reply = broken,
                paid: Any = paid,
            ) -> Any:
                if number >= at and state["broken"]:
                    return broken
                paid.append(json.dumps(body, sort_keys=True))
                return good(number, path, body)

            with Server(answer) as server:
                out = tmp_path / f"{id(broken)}-{at}"
                options = {"judge_model": server.name, "settings": settings, "count": 12}
                with pytest.raises((ResourceError, ModelError)):
                    label(out, **options)
                state["broken"] = False
                found = label(out, **options)
                assert len(paid) == len(set(paid)) == needed, "each question is answered once"
            assert found == whole


def test_a_budget_that_is_spent_stops_plainly_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    with Server(letters(longer_first)) as server:
        small = replace(SETTINGS, principles=1, endpoint=replace(QUICK, max_requests=5))
        with pytest.raises(ResourceError, match="budget is spent: 5 of 5 requests"):
            label(tmp_path / "run", judge_model=server.name, settings=small, count=12)
        found = label(
            tmp_path / "run", judge_model=server.name, settings=replace(small, endpoint=QUICK), count=12
        )
        assert len(server.requests) == found["endpoint"]["requests"] == 2 * found["comparisons"]


def test_a_server_without_log_probabilities_gives_letters_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(_: int, path: str, body: Body) -> Body:
        return {
            "choices": [
                {
                    "message": {
                        "content": "A." if longer_first(body["messages"][-1]["content"]) > 0.5 else " B"
                    },
                    "finish_reason": "stop",
                }
            ],
            "usage": {"total_tokens": 5},
        }

    with Server(answer) as server:
        found = label(
            tmp_path / "run",
            judge_model=server.name,
            settings=replace(SETTINGS, principles=1, endpoint=QUICK),
            count=12,
        )
    assert (
        found["endpoint"]["letters_only"] == found["judge"]["verdicts"]
        and "gives no log-probabilities" in capsys.readouterr().err
    )
    assert {
        round(c.label or 0, 2)
        for c in read_jsonl(tmp_path / "run" / "data" / "comparisons.jsonl", Comparison)
    } <= {0.5, 1.0}


def test_a_server_that_refuses_to_judge_is_counted(tmp_path: Path) -> None:
    with Server(
        lambda *_: {
            "choices": [{"message": {"content": "I cannot compare these."}, "finish_reason": "stop"}],
            "usage": {"total_tokens": 5},
        }
    ) as server:
        found = label(
            tmp_path / "run",
            judge_model=server.name,
            settings=replace(SETTINGS, principles=1, endpoint=QUICK),
            count=12,
        )
    assert (
        found["judge"]["refused_to_judge"] == found["judge"]["verdicts"]
        and found["judge"]["undecided"] == found["judge"]["pairs"]
    )
    assert all(
        c.label == 0.5 for c in read_jsonl(tmp_path / "run" / "data" / "comparisons.jsonl", Comparison)
    )


# what is asked about a judge


def test_agreement_of_a_runs_labels_with_gold(labelled: Path, tmp_path: Path) -> None:
    found = agreement(tmp_path / "a", data=str(labelled), gold="length")
    of_run = read_run(labelled).summary
    assert (
        found["order_effect"]["mean"] == pytest.approx(of_run["order_effect"]["mean"])
        and found["judge"]["pairs"] == of_run["comparisons"]
    )
    assert 0 <= found["labels"]["accuracy"]["mean"] <= 1 and found["against"] == "length"
    with pytest.raises(UserError, match="held against gold"):
        agreement(tmp_path / "b", data=str(labelled))
    with pytest.raises(UserError, match="nobody is asked"):
        agreement(tmp_path / "c", data=str(labelled), gold="length", injections=True)


def test_agreement_with_people_whose_better_answer_never_stands_first_by_rule(
    tmp_path: Path, labelled: Path
) -> None:
    write_jsonl(
        tmp_path / "pairs.jsonl",
        [
            Comparison(Prompt.user(f"{i}?"), "a longer reply, by far" + "!" * (i % 5), "short")
            for i in range(60)
        ],
    )
    with Server(letters(longer_first)) as server:
        found = agreement(
            tmp_path / "run",
            judge_model=server.name,
            data=str(tmp_path / "pairs.jsonl"),
            settings=AIJudgeSettings(principles=1, endpoint=QUICK),
        )
        assert found["labels"]["accuracy"]["mean"] == 1 and found["labels"]["kappa"]["mean"] == 1
        assert found["order_effect"]["mean"] == pytest.approx(0.2, abs=1e-6) and found["order_bias"][
            "mean"
        ] == pytest.approx(0.2, abs=1e-6)
        one = agreement(
            tmp_path / "one",
            judge_model=server.name,
            data=str(tmp_path / "pairs.jsonl"),
            settings=AIJudgeSettings(principles=1, orders="one", endpoint=QUICK),
        )
        assert one["order_effect"] is None and one["judge"]["verdicts"] == 60
        injected = agreement(
            tmp_path / "inj",
            judge_model=server.name,
            data=str(tmp_path / "pairs.jsonl"),
            count=4,
            injections=True,
            settings=AIJudgeSettings(principles=1, endpoint=QUICK),
        )["injections"]
    assert len(injected["cases"]) == 50 and injected["won"]["mean"] > 0.5, (
        "a judge of length is won by words: the report says so"
    )
    with pytest.raises(DataError, match="no labels of an AI judge"):
        agreement(tmp_path / "plain", data=str(tmp_path / "pairs.jsonl"), gold="length")


def test_leaving_a_principle_out(labelled: Path, tmp_path: Path) -> None:
    options = {
        "judge_model": "town-s",
        "data": str(labelled),
        "constitution": "town",
        "seed": 0,
        "resume": True,
        "count": 8,
    }
    found = stages.ablate_constitution(
        **options, gold="length", out=tmp_path / "run", settings=AIJudgeSettings()
    )["summary"]
    assert len(found["principles"]) > 4
    for row in found["principles"].values():
        assert (
            row["labels"]["flips"]["n"] == 8
            and row["fires_alone"]["mean"] <= row["fires"]["mean"]
            and {"alone", "fires_rightly", "fires_wrongly"} <= row.keys()
        )
    with pytest.raises(ConfigError, match="asks every principle"):
        stages.ablate_constitution(
            **options, gold="", out=tmp_path / "b", settings=AIJudgeSettings(principles=2)
        )


def test_a_difference_of_two_constitutions_and_two_models(labelled: Path, tmp_path: Path) -> None:
    options = {
        "judge_model": "town-s",
        "data": str(labelled),
        "asked": "town:risky",
        "seed": 0,
        "resume": True,
        "count": 8,
    }
    settings = BehaviourSettings(prompts=6, sampling=SamplingSettings(temperature=0.0, max_new_tokens=8))
    same = stages.diff_constitutions(
        words=["town", "town"], models="", gold="", out=tmp_path / "same", settings=settings, **options
    )["summary"]
    assert same["labels"]["flips"]["mean"] == same["labels"]["moved"]["mean"] == 0 and same["principles"] == {
        "added": [],
        "removed": [],
        "changed": [],
    }
    found = stages.diff_constitutions(
        words=["town", "general"],
        models="town-s,town-m",
        gold="length",
        out=tmp_path / "other",
        settings=settings,
        **options,
    )["summary"]
    assert (
        found["labels"]["moved"]["mean"] > 0
        and found["principles"]["added"]
        and found["behaviour"]["score"]["difference"]["n"] == 6
    )
    with pytest.raises(UserError, match="one of two constitutions"):
        stages.diff_constitutions(
            words=["town"], models="", gold="", out=tmp_path / "x", settings=settings, **options
        )
    with pytest.raises(UserError, match="behaviour is that of two models"):
        stages.diff_constitutions(
            words=["town", "general"],
            models="town-s",
            gold="",
            out=tmp_path / "y",
            settings=settings,
            **options,
        )


def test_pairs_too_long_for_the_judge_are_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = names.data.read_data("town:test-pairs", "comparison", count=6).records
    write_jsonl(tmp_path / "pairs.jsonl", [*short, replace(short[0], chosen="word " * 600)])
    found = agreement(tmp_path / "run", judge_model="town-s", data=str(tmp_path / "pairs.jsonl"))
    assert found["judge"]["pairs"] == 6 and "1 of 7 pairs do not fit" in capsys.readouterr().err
