"""SFT: what is learned, that the arrangement of a batch changes nothing, and what stops it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from alignlab.errors import ConfigError, DataError, GuardStop
from alignlab.methods import sft
from alignlab.models.chat import Rendered, example, render
from alignlab.models.load import load_policy
from alignlab.models.optimizer import MasterAdamW
from alignlab.models.policy import Policy
from alignlab.records import Demonstration, Message, Prompt, read_jsonl
from alignlab.run import RunDir, read_run
from alignlab.settings import ModelSettings, OptimSettings, SFTSettings

OpenRun = Callable[..., RunDir]
DEMOS = [Demonstration(Prompt.user(f"{i} apples and one?"), "yes " * (1 + i % 5)) for i in range(20)]
ONE_STEP = SFTSettings(
    epochs=1,
    batch=len(DEMOS),
    held_out=0.0,
    max_length=128,
    anyway=True,
    optim=OptimSettings(lr=3e-3, warmup=0.0),
)


@pytest.fixture
def policy(base: Path) -> Policy:
    return load_policy(base, ModelSettings(), trainable=True)


def by_hand(policy: Policy, demos: list[Demonstration]) -> tuple[float, int]:
    """Summed negative log-likelihood of completions and their end tokens, and their number: a row at a time,
    on all logits.
    """
    nll, count = 0.0, 0
    for demo in demos:
        ids = torch.tensor(
            policy.tokenizer(
                f"<user>{demo.prompt.text}<end><assistant>{demo.completion}<end>", add_special_tokens=False
            )["input_ids"]
        )
        n = len(policy.tokenizer(demo.completion)["input_ids"]) + 1
        with torch.no_grad():
            nll += cross_entropy(
                policy.model(input_ids=ids[None]).logits[0, -n - 1 : -1], ids[-n:], reduction="sum"
            ).item()
        count += n
    return nll, count


def test_the_loss_is_that_of_completion_tokens_by_hand(policy: Policy, open_run: OpenRun):
    nll, count = by_hand(policy, DEMOS)
    run = open_run()
    summary = sft.train(run, policy, DEMOS, ONE_STEP, seed=0, held_out=DEMOS[:7])
    run.finish(summary)
    (row,) = read_run(run.out).metrics
    assert row["loss"] == pytest.approx(nll / count, rel=1e-5)
    assert row["num_tokens"] == summary["num_tokens"] == count
    after, tested = by_hand(policy, DEMOS[:7])
    assert summary["eval_loss"] == row["eval_loss"] == pytest.approx(after / tested, rel=1e-5)
    assert set(row) == {
        "step",
        "loss",
        "entropy",
        "mean_token_accuracy",
        "num_tokens",
        "grad_norm",
        "learning_rate",
        "epoch",
        "eval_loss",
    }
    assert (
        0 < row["entropy"] <= torch.tensor(260.0).log().item()
        and row["learning_rate"] == 3e-3
        and row["epoch"] == 1
    )


def first_gradients(
    base: Path, run: RunDir, settings: SFTSettings, monkeypatch: pytest.MonkeyPatch
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    found: list[dict[str, torch.Tensor]] = []
    policy = load_policy(base, ModelSettings(), trainable=True)

    class Watched(MasterAdamW):
        def step(self) -> float:
            found.append({name: p.grad.clone() for name, p in policy.model.named_parameters()})
            return super().step()

    monkeypatch.setattr(sft, "MasterAdamW", Watched)
    sft.train(run, policy, DEMOS, settings, seed=0)
    return found[0], read_run(run.path).metrics[0]


@pytest.mark.parametrize(
    "change",
    [{"micro_batch": 3}, {"micro_batch": 1}, {"packing": True}, {"packing": True, "micro_batch": 7}],
    ids=str,
)
def test_micro_batches_and_packing_change_no_gradient(
    change: dict[str, Any], base: Path, open_run: OpenRun, monkeypatch: pytest.MonkeyPatch
):
    whole, row = first_gradients(base, open_run("whole"), ONE_STEP, monkeypatch)
    parts, other = first_gradients(base, open_run("parts"), replace(ONE_STEP, **change), monkeypatch)
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, rtol=1e-4, atol=1e-6, msg=name)
    for key in ("loss", "entropy", "mean_token_accuracy", "grad_norm"):
        assert other[key] == pytest.approx(row[key], rel=1e-5), key
    assert other["num_tokens"] == row["num_tokens"]


def test_it_learns_and_what_is_held_out_is_not_trained_on(policy: Policy, open_run: OpenRun):
    settings = replace(ONE_STEP, epochs=8, batch=4, held_out=0.3)
    run = open_run()
    summary = sft.train(run, policy, DEMOS, settings, seed=1)
    run.finish(summary)
    info = read_run(run.out)
    assert summary["eval_loss"] < 0.5 * summary["eval_loss_before"]
    assert (
        info.metrics[-1]["loss"] < 0.5 * info.metrics[0]["loss"]
        and info.metrics[-1]["mean_token_accuracy"] > info.metrics[0]["mean_token_accuracy"]
    )
    assert sum("eval_loss" in row for row in info.metrics) == 8 and len(info.metrics) == summary["steps"]
    trained = read_jsonl(run.out / "data" / "demonstrations.jsonl", Demonstration)
    assert (
        len(trained) == summary["demonstrations"]
        and len(trained) + summary["held_out"] == len(DEMOS)
        and summary["held_out"] > 0
    )
    json.dumps(summary, allow_nan=False)


def test_steps_cover_every_demonstration_once_an_epoch(
    policy: Policy, open_run: OpenRun, monkeypatch: pytest.MonkeyPatch
):
    seen: list[str] = []
    whole = sft.collate
    monkeypatch.setattr(
        sft,
        "collate",
        lambda rows, *rest: (
            seen.extend(policy.tokenizer.decode(row.ids) for row in rows) or whole(rows, *rest)
        ),
    )
    sft.train(open_run(), policy, DEMOS, replace(ONE_STEP, batch=6, epochs=2), seed=0)
    assert sorted(seen[:20]) == sorted(seen[20:]) and len(set(seen)) == len(DEMOS)
    assert seen[:20] != seen[20:]


def test_train_on_all_turns(policy: Policy, open_run: OpenRun):
    chat = Prompt((Message("user", "one?"), Message("assistant", "two"), Message("user", "three?")))
    demos = [Demonstration(chat, "four")]
    tokens = {}
    for train_on in ("last", "all"):
        summary = sft.train(open_run(train_on), policy, demos, replace(ONE_STEP, train_on=train_on), seed=0)
        tokens[train_on] = summary["num_tokens"]
        assert summary["eval_loss_before"] is summary["eval_loss"] is None
    assert tokens == {"last": 5, "all": 9}
    rendered = render(policy.tokenizer, (*chat.messages, Message("assistant", "four")), train_on="last")
    assert rendered == example(policy.tokenizer, chat, "four")


def test_long_demonstrations_are_cut_at_their_end_or_dropped_and_counted(
    policy: Policy, open_run: OpenRun, capsys: pytest.CaptureFixture[str]
):
    long = Demonstration(Prompt.user("long?"), "x" * 200)
    summary = sft.train(open_run(), policy, [*DEMOS, long], ONE_STEP, seed=0)
    assert summary["demonstrations"] == len(DEMOS) + 1 and summary["dropped"] == {} and summary["cut"] == 1
    assert "21 of 21 records fit into 128 tokens (longest 209), 1 of them cut" in capsys.readouterr().err
    assert summary["num_tokens"] == sum(len(d.completion) + 1 for d in DEMOS) + 128 - 8, (
        "no end token where it was cut"
    )
    summary = sft.train(open_run("drop"), policy, [*DEMOS, long], replace(ONE_STEP, truncate="drop"), seed=0)
    assert summary["demonstrations"] == len(DEMOS) and summary["dropped"] == {"too long": 1}
    assert "20 of 21" in capsys.readouterr().err


def test_what_is_cut_is_read_as_far_as_it_goes_and_never_ends(
    policy: Policy, open_run: OpenRun, monkeypatch: pytest.MonkeyPatch
):
    read: list[Rendered] = []
    collate = sft.collate
    monkeypatch.setattr(sft, "collate", lambda rows, *more: read.extend(rows) or collate(rows, *more))
    chat = Prompt((Message("user", "one?"), Message("assistant", "two"), Message("user", "three?")))
    for train_on, learnt in (("last", 40 - 20), ("all", 40 - 20 + 4)):
        read.clear()
        sft.train(
            open_run(train_on),
            policy,
            [Demonstration(chat, "x" * 50)],
            replace(ONE_STEP, train_on=train_on, max_length=40),
            seed=0,
        )
        whole = sft.encode(policy.tokenizer, Demonstration(chat, "x" * 50), train_on)
        assert [(row.ids, row.loss_mask) for row in read] == [(whole.ids[:40], whole.loss_mask[:40])]
        assert sum(read[0].loss_mask) == learnt and read[0].ids[-1] != whole.ids[-1]


def test_nothing_to_learn(policy: Policy, open_run: OpenRun):
    with pytest.raises(DataError, match="no record fits"):
        sft.train(open_run(), policy, DEMOS, replace(ONE_STEP, max_length=4), seed=0)
    with pytest.raises(DataError, match="held out"):
        sft.train(open_run(), policy, DEMOS, replace(ONE_STEP, held_out=0.999999), seed=0)


@pytest.mark.parametrize("packing", [False, True])
def test_a_loss_that_is_not_finite_stops_it_and_names_step_and_sample(
    packing: bool, policy: Policy, open_run: OpenRun
):
    with torch.no_grad():
        policy.model.get_input_embeddings().weight[policy.tokenizer.convert_tokens_to_ids("~")] = float("nan")
    run = open_run()
    demos = [*DEMOS, Demonstration(Prompt.user("the ~ one?"), "yes")]
    with pytest.raises(GuardStop, match="at step 0") as stop:
        sft.train(run, policy, demos, replace(ONE_STEP, batch=32, packing=packing), seed=0)
    assert "the ~ one?" in stop.value.where
    assert stop.value.exit_code == 6 and not run.done and not run.out.exists()


def test_packing_is_refused_where_a_model_cannot_keep_rows_apart(policy: Policy, open_run: OpenRun):
    policy.model.config.sliding_window = 4
    with pytest.raises(ConfigError, match="apart"):
        sft.train(open_run(), policy, DEMOS, replace(ONE_STEP, packing=True), seed=0)
