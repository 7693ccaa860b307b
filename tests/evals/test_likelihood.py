"""Held-out likelihoods: by hand on a tiny model, in any order and length, beside a baseline, and as a stage
on the town.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from alignlab import stages
from alignlab.errors import ConfigError, DataError, UserError
from alignlab.evals import likelihood
from alignlab.models.chat import example, text_ids
from alignlab.models.load import load_policy
from alignlab.models.policy import Policy
from alignlab.names.weights import model_path
from alignlab.records import Comparison, Demonstration, Prompt, Text
from alignlab.run import RunDir, read_run
from alignlab.settings import LikelihoodSettings, ModelSettings, OptimSettings, SFTSettings

SHOWN = [Demonstration(Prompt.user(f"What is {i} and {i}?"), "two " * (1 + i % 3)) for i in range(9)]
PAIRS = [
    Comparison(Prompt.user(f"Say {i}."), f"{i}" * (1 + i % 4), "No.", chosen_finished=i % 2 == 0)
    for i in range(7)
]
SETTINGS = LikelihoodSettings(model=ModelSettings(threads=1))
COMMON: dict[str, Any] = {"model": "town-s", "baseline": "", "seed": 0, "resume": True}


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy(model_path("town-s"), ModelSettings())


def measured(
    policy: Policy, folder: Path, shown: list[Demonstration], pairs: list[Comparison], **more: Any
) -> dict[str, Any]:
    run = RunDir.open(folder, stage="likelihood", config={}, seed=0)
    summary = likelihood.run(run, policy, shown, pairs, max_length=128, **more)
    run.finish(summary)
    return summary


def by_hand(policy: Policy, prompt: Prompt, text: str, finished: bool = True) -> list[float]:
    row = example(policy.tokenizer, prompt, text, finished=finished)
    with torch.no_grad():
        log_p = policy.model(torch.tensor([row.ids])).logits[0].log_softmax(-1)
    return [log_p[t - 1, row.ids[t]].item() for t in range(1, len(row.ids)) if row.loss_mask[t]]


def test_the_figures_are_those_of_each_record_by_itself(policy: Policy, tmp_path: Path) -> None:
    found = measured(
        policy, tmp_path / "run", SHOWN, [*PAIRS, Comparison(Prompt.user("Equal?"), "a", "b", tie=True)]
    )
    tokens = [by_hand(policy, d.prompt, d.completion) for d in SHOWN]
    assert (
        found["loss"]["mean"] == pytest.approx(-sum(sum(t) / len(t) for t in tokens) / len(tokens), abs=1e-4)
        and found["loss"]["n"] == 9
    )
    assert found["token_loss"] == pytest.approx(-sum(map(sum, tokens)) / sum(map(len, tokens)), abs=1e-4)
    margins = [
        sum(by_hand(policy, c.prompt, c.chosen, c.chosen_finished))
        - sum(by_hand(policy, c.prompt, c.rejected))
        for c in PAIRS
    ]
    assert found["margin"]["mean"] == pytest.approx(sum(margins) / len(margins), abs=1e-3)
    assert (
        found["chosen_likelier"]["mean"] == pytest.approx(sum(m > 0 for m in margins) / len(margins))
        and found["chosen_likelier"]["n"] == 7
    )
    assert found["margin"]["mean"] == pytest.approx(
        found["chosen_logp"]["mean"] - found["rejected_logp"]["mean"], abs=1e-6
    )


def test_documents_are_read_from_their_begin_token_on(policy: Policy, tmp_path: Path) -> None:
    documents = [Text("The baker lives by the mill. " * n) for n in (1, 2, 3)]
    run = RunDir.open(tmp_path / "run", stage="likelihood", config={}, seed=0)
    found = likelihood.run(run, policy, [], [], documents, max_length=16)["text_loss"]
    losses = []
    for d in documents:
        ids = text_ids(policy.tokenizer, d.text)[:16]
        assert ids[0] == policy.tokenizer.bos_token_id
        with torch.no_grad():
            log_p = policy.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        losses.append(-sum(log_p[t - 1, ids[t]].item() for t in range(1, len(ids))) / (len(ids) - 1))
    assert found["n"] == 3 and found["mean"] == pytest.approx(sum(losses) / 3, abs=1e-4)
    with pytest.raises(DataError, match="two tokens"):
        likelihood.text_loss(policy, documents, 1)


def test_the_stage_measures_documents_beside_a_baseline(tmp_path: Path) -> None:
    common: dict[str, Any] = COMMON | {
        "demonstrations": "",
        "comparisons": "",
        "texts": "town:corpus",
        "count": 40,
        "settings": SETTINGS,
    }
    before = stages.likelihood(**common, out=tmp_path / "before")
    assert before["summary"]["text_loss"]["n"] == 40 and "nats per token of a document" in before["text"]
    larger = stages.likelihood(
        **common | {"model": "town", "baseline": str(tmp_path / "before")}, out=tmp_path / "larger"
    )["summary"]
    assert larger["paired"]["text_loss"]["n"] == 40 and larger["paired"]["text_loss"]["ci"][1] < 0


def test_differences_are_paired_by_record_in_any_order(policy: Policy, tmp_path: Path) -> None:
    measured(policy, tmp_path / "before", SHOWN, PAIRS)
    same = measured(
        policy, tmp_path / "same", SHOWN[::-1], PAIRS[3:] + PAIRS[:2], baseline=str(tmp_path / "before")
    )["paired"]
    assert (
        same["loss"]["mean"] == pytest.approx(0, abs=1e-5)
        and same["loss"]["n"] == 9
        and same["margin"]["n"] == 6
    )
    with torch.no_grad():
        other = load_policy(model_path("town-s"), ModelSettings())
        other.model.get_output_embeddings().weight *= 0.5
    moved = measured(other, tmp_path / "moved", SHOWN, [], baseline=str(tmp_path / "before"))
    before = {
        row["record"]: row["value"]
        for row in read_run(tmp_path / "before").samples
        if row["figure"] == "loss"
    }
    after = {row["record"]: row["value"] for row in read_run(tmp_path / "moved").samples}
    assert moved["paired"]["loss"]["mean"] == pytest.approx(
        sum(after[key] - before[key] for key in after) / 9
    ) and set(moved["paired"]) == {"loss"}
    assert (
        moved["paired"]["loss"]["ci"][0] < moved["paired"]["loss"]["mean"] < moved["paired"]["loss"]["ci"][1]
    )
    with pytest.raises(DataError, match="measured none of these records"):
        measured(
            policy,
            tmp_path / "strange",
            [Demonstration(Prompt.user("Other?"), "yes")],
            [],
            baseline=str(tmp_path / "before"),
        )


def test_what_was_held_out_of_training_is_what_is_measured(tmp_path: Path) -> None:
    """The stage with SFT's seed and share measures the demonstrations that SFT kept back: the same loss, and
    none that it learnt.
    """
    rows = [{"prompt": d.prompt.text, "completion": d.completion} for d in SHOWN] + [
        {"prompt": f"And {i}?", "completion": "Yes."} for i in range(40)
    ]
    (tmp_path / "demos.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = str(tmp_path / "demos.jsonl")
    made = stages.sft(
        model="town-s",
        data=data,
        out=tmp_path / "sft",
        seed=4,
        resume=True,
        settings=SFTSettings(
            held_out=0.3, epochs=2, optim=OptimSettings(lr=1e-3), model=ModelSettings(threads=1)
        ),
    )["summary"]
    share = LikelihoodSettings(held_out=0.3, model=ModelSettings(threads=1))
    common: dict[str, Any] = COMMON | {
        "seed": 4,
        "demonstrations": data,
        "comparisons": "",
        "settings": share,
    }
    before = stages.likelihood(**common, out=tmp_path / "before")["summary"]
    moved: dict[str, Any] = {**common, "model": str(tmp_path / "sft"), "baseline": str(tmp_path / "before")}
    after = stages.likelihood(**moved, out=tmp_path / "after")
    assert before["loss"]["n"] == after["summary"]["loss"]["n"] == made["held_out"] > 5
    assert before["token_loss"] == pytest.approx(made["eval_loss_before"], abs=1e-4) and after["summary"][
        "token_loss"
    ] == pytest.approx(made["eval_loss"], abs=1e-4)
    assert after["summary"]["paired"]["loss"]["ci"][1] < 0 and "nats per token" in after["text"]
    assert set(read_run(tmp_path / "after").parents) == {str(tmp_path / "sft"), str(tmp_path / "before")}
    assert "done already" in stages.likelihood(**common, out=tmp_path / "before")["text"]


def test_what_cannot_be_measured_is_said(tmp_path: Path) -> None:
    out = {"out": tmp_path / "x", "settings": SETTINGS}
    with pytest.raises(UserError, match="needs text"):
        stages.likelihood(**COMMON, demonstrations="", comparisons="", **out)
    with pytest.raises(ConfigError, match="held_out = 0"):
        stages.likelihood(
            **COMMON,
            demonstrations="town:demos",
            comparisons="",
            out=tmp_path / "x",
            settings=LikelihoodSettings(held_out=0.0),
        )
    run = RunDir.open(tmp_path / "eval", stage="eval", config={}, seed=0)
    run.finish({})
    with pytest.raises(UserError, match="a run of eval, not of likelihood"):
        stages.likelihood(
            **COMMON | {"baseline": str(tmp_path / "eval")},
            demonstrations="town:demos",
            comparisons="",
            **out,
        )
    with pytest.raises(DataError, match="no record fits"):
        stages.likelihood(
            **COMMON,
            demonstrations="town:demos",
            comparisons="",
            count=4,
            out=tmp_path / "x",
            settings=LikelihoodSettings(max_length=3),
        )
    (tmp_path / "one.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    with pytest.raises(DataError, match="no question of the data is held out"):
        stages.likelihood(
            **COMMON,
            demonstrations=str(tmp_path / "one.jsonl"),
            comparisons="",
            out=tmp_path / "y",
            settings=LikelihoodSettings(held_out=1e-6),
        )
