"""KTO: the reference and the baseline it starts from, who learns what, the weights, mismatched pairs, and
that the arrangement of a batch changes nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from alignlab.errors import ConfigError, DataError, GuardStop
from alignlab.methods import kto
from alignlab.models.chat import Rendered, example
from alignlab.models.load import load_policy
from alignlab.models.optimizer import MasterAdamW
from alignlab.models.policy import Policy
from alignlab.records import Comparison, Completion, Prompt, Ranking, Unpaired, read_jsonl
from alignlab.run import RunDir, read_run
from alignlab.settings import AdapterSettings, KTOSettings, ModelSettings, OptimSettings

from .conftest import END

OpenRun = Callable[..., RunDir]
PROMPTS = [Prompt.user(f"{i} apples?") for i in range(24)]
LABELLED = [
    u
    for i, p in enumerate(PROMPTS)
    for u in (Unpaired(p, f"yes, {i}" + "!" * (i % 4), True), Unpaired(p, "no" + "." * (i % 6), False))
]
SETTINGS = KTOSettings(
    epochs=2, batch=12, held_out=0.25, max_length=64, beta=0.3, optim=OptimSettings(lr=2e-3, warmup=0.0)
)


@pytest.fixture
def policy(base: Path) -> Policy:
    return load_policy(base, ModelSettings(), trainable=True)


def logp(model: Any, ids: list[int], length: int) -> float:
    """Of the last `length` tokens of a row by itself, on all logits."""
    with torch.no_grad():
        log_p = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    return sum(log_p[t - 1, ids[t]].item() for t in range(len(ids) - length, len(ids)))


@pytest.mark.parametrize("micro_batch", [0, 5])
@pytest.mark.parametrize(
    "adapter", [AdapterSettings(), AdapterSettings(rank=4)], ids=lambda a: f"rank {a.rank}"
)
def test_rewards_and_kl_start_at_exactly_0_and_the_labels_are_learnt(
    adapter: AdapterSettings, micro_batch: int, base: Path, open_run: OpenRun
):
    policy = load_policy(base, ModelSettings(), adapter, trainable=True)
    run = open_run()
    optim = OptimSettings(lr=1e-2 if adapter.rank else 2e-3, warmup=0.0)
    summary = kto.train(
        run,
        policy,
        LABELLED,
        replace(SETTINGS, epochs=8, micro_batch=micro_batch, adapter=adapter, optim=optim),
        seed=0,
    )
    run.finish(summary)
    rows = read_run(run.out).metrics
    assert (
        rows[0]["kl"]
        == rows[0]["rewards/chosen"]
        == rows[0]["rewards/rejected"]
        == rows[0]["rewards/margins"]
        == 0
    )
    assert rows[0]["loss"] == pytest.approx(0.5, rel=1e-6)
    assert (
        rows[-1]["rewards/margins"] > 0.5 and rows[-1]["loss"] < 0.45 and all(row["kl"] >= 0 for row in rows)
    )
    assert summary["accuracy"]["mean"] > 0.9 and summary["auc"] > 0.9 and summary["margin"] > 0.1
    assert summary["accuracy"]["n"] * 2 == summary["held_out"] > 0 and summary["liked"] == summary["disliked"]
    assert set(rows[0]) == {
        "step",
        "loss",
        "kl",
        "rewards/chosen",
        "rewards/rejected",
        "rewards/margins",
        "logps/chosen",
        "logps/rejected",
        "grad_norm",
        "learning_rate",
        "epoch",
    }
    json.dumps(summary, allow_nan=False)


def test_the_labels_decide_and_shuffled_ones_teach_nothing(base: Path, open_run: OpenRun):
    def margin(labels: Callable[[int, bool], bool], name: str) -> float:
        changed = [replace(u, label=labels(i, u.label)) for i, u in enumerate(LABELLED)]
        policy = load_policy(base, ModelSettings(), trainable=True)
        return kto.train(
            open_run(name), policy, changed, replace(SETTINGS, epochs=6), seed=0, held_out=LABELLED[36:]
        )["margin"]

    right, turned = margin(lambda i, label: label, "right"), margin(lambda i, label: not label, "turned")
    shuffled = margin(lambda i, label: (i // 2) % 2 == 0, "shuffled")
    assert right > 0.2 and turned < -0.2 and abs(shuffled) < min(right, -turned) / 2


def test_the_first_steps_by_hand(base: Path, policy: Policy, open_run: OpenRun):
    """One batch, twice: the second step's loss, baseline and rewards from log-probabilities of rows by
    themselves.
    """
    learn = LABELLED[:6]
    settings = replace(SETTINGS, batch=6, epochs=2, desirable_weight=1.2)
    kto.train(
        open_run("one"),
        policy,
        learn,
        replace(settings, epochs=1, optim=replace(SETTINGS.optim, schedule="constant")),
        seed=0,
        held_out=[],
    )
    run = open_run("two")
    kto.train(
        run,
        load_policy(base, ModelSettings(), trainable=True),
        learn,
        replace(settings, optim=replace(SETTINGS.optim, schedule="constant")),
        seed=0,
        held_out=[],
    )
    row = read_run(run.path).metrics[1]
    reference = load_policy(base, ModelSettings())
    rows = [example(policy.tokenizer, u.prompt, u.completion) for u in learn]
    batch = kto.shuffled(6, kto.derive_seed(0, "kto"))
    others = kto.mismatched(rows, [u.prompt.id for u in learn], [batch], 64)

    def gain(r: Rendered) -> float:
        return logp(policy.model, r.ids, sum(r.loss_mask)) - logp(reference.model, r.ids, sum(r.loss_mask))

    z0 = max(0.0, sum(map(gain, others)) / 6)
    gains = [gain(r) for r in rows]
    losses = [
        1.2 / (1 + math.exp(0.3 * (g - z0))) if u.label else 1 / (1 + math.exp(0.3 * (z0 - g)))
        for u, g in zip(learn, gains, strict=True)
    ]
    assert row["kl"] == pytest.approx(z0, abs=1e-4) and row["loss"] == pytest.approx(
        sum(losses) / 6, rel=1e-5
    )
    assert row["rewards/chosen"] == pytest.approx(0.3 * sum(gains[::2]) / 3, abs=1e-4) and row[
        "rewards/rejected"
    ] == pytest.approx(0.3 * sum(gains[1::2]) / 3, abs=1e-4)
    assert row["logps/chosen"] == pytest.approx(
        sum(logp(policy.model, r.ids, sum(r.loss_mask)) for r in rows[::2]) / 3, rel=1e-4
    )


def test_micro_batches_change_no_gradient_and_no_baseline(
    base: Path, open_run: OpenRun, monkeypatch: pytest.MonkeyPatch
):
    found: list[list[torch.Tensor]] = []

    class Watched(MasterAdamW):
        def step(self) -> float:
            found.append([p.grad.clone() for p in self.params if p.grad is not None])
            return super().step()

    monkeypatch.setattr(kto, "MasterAdamW", Watched)
    rows = []
    for size in (0, 5, 1):
        run = open_run(str(size))
        kto.train(
            run,
            load_policy(base, ModelSettings(), trainable=True),
            LABELLED[:24],
            replace(SETTINGS, batch=24, micro_batch=size),
            seed=0,
            held_out=[],
        )
        rows.append(read_run(run.path).metrics[1])
    steps = len(found) // 3
    for other in (1, 2):
        for whole, part in zip(found[0], found[other * steps], strict=True):
            torch.testing.assert_close(part, whole, rtol=1e-4, atol=1e-6)
        assert rows[other] == pytest.approx(rows[0], rel=1e-3, abs=1e-4)


def test_mismatched_pairs_are_a_prompt_and_the_completion_of_another(policy: Policy):
    rows = [example(policy.tokenizer, u.prompt, u.completion) for u in LABELLED]
    prompts = [u.prompt.id for u in LABELLED]
    batches = [list(range(0, 12)), list(range(12, 47)), [47]]
    others = kto.mismatched(rows, prompts, batches, 64)
    cut = [row.loss_mask.index(1) for row in rows]
    for batch in batches:
        for i in batch:
            own = others[i].loss_mask.index(1)
            assert (
                others[i].ids[:own] == rows[i].ids[: cut[i]]
                and others[i].ids[-1] == END
                and len(others[i].ids) == len(others[i].loss_mask)
            )
            of = [
                j
                for j in (batch if len(batch) > 1 else range(48))
                if rows[j].ids[cut[j] :] == others[i].ids[own:] and prompts[j] != prompts[i]
            ]
            assert of, (
                "the completion of another prompt of the batch, or where the batch has a single prompt, "
                "of any"
            )


def test_a_prompt_without_another_prompt_is_refused_and_what_does_not_fit_behind_it_is_cut(
    policy: Policy, open_run: OpenRun
):
    with pytest.raises(DataError, match="another prompt"):
        kto.train(open_run(), policy, LABELLED[:2], SETTINGS, seed=0, held_out=[])
    rows = [
        example(policy.tokenizer, Prompt.user("x" * 59), "y"),
        example(policy.tokenizer, PROMPTS[0], "a long one"),
    ]
    behind, short = kto.mismatched(rows, ["full", "other"], [[0, 1]], 64)
    assert behind.ids == [*rows[0].ids[:62], *rows[1].ids[-11:-9]] and behind.loss_mask == [0] * 62 + [
        1,
        1,
    ], "the beginning of the other completion, to 64 tokens"
    assert short.ids == [*rows[1].ids[:-11], *rows[0].ids[62:]]


@pytest.mark.parametrize("label", [True, False])
def test_labels_that_are_all_the_same_are_refused(label: bool, policy: Policy, open_run: OpenRun):
    with pytest.raises(
        DataError, match=f"all 24 completions that are learnt from are {'liked' if label else 'disliked'}"
    ) as stop:
        kto.train(
            open_run(), policy, [u for u in LABELLED if u.label is label], SETTINGS, seed=0, held_out=[]
        )
    assert "both labels" in stop.value.remedy
    with pytest.raises(DataError, match="held out"):
        kto.train(open_run("held"), policy, LABELLED, replace(SETTINGS, held_out=0.999999), seed=0)


@pytest.mark.parametrize(
    ("liked", "disliked", "weight"),
    [(10, 10, 1), (10, 11, 1.1), (13, 10, 1), (10, 100, 10), (100, 10, 4 / 30), (4, 3, 1)],
)
def test_weights_follow_the_papers_range(
    liked: int, disliked: int, weight: float, open_run: OpenRun, capsys: pytest.CaptureFixture[str]
):
    chosen, other = kto.weights_of(open_run(), SETTINGS, liked, disliked)
    assert (
        chosen == pytest.approx(weight)
        and other == 1
        and 1 - 1e-9 <= chosen * liked / disliked <= 4 / 3 + 1e-9
    )
    assert f"desirable_weight {chosen:.4g}" in capsys.readouterr().err
    given = replace(SETTINGS, desirable_weight=chosen)
    assert kto.weights_of(open_run(), given, liked, disliked) == (chosen, 1)


def test_weights_out_of_the_range_are_said(open_run: OpenRun, capsys: pytest.CaptureFixture[str]):
    assert kto.weights_of(open_run(), replace(SETTINGS, desirable_weight=1.2), 40, 30) == (1.2, 1)
    assert "a desirable_weight from 0.75 to 1 is advised" in capsys.readouterr().err
    assert kto.weights_of(
        open_run(), replace(SETTINGS, desirable_weight=1.2, undesirable_weight=1.5), 40, 30
    ) == (1.2, 1.5)
    assert capsys.readouterr().err == ""


def test_completions_labelled_both_ways_and_long_ones_are_left_out_and_counted(
    policy: Policy, open_run: OpenRun
):
    extra = [replace(LABELLED[0], label=False), Unpaired(PROMPTS[0], "x" * 90, True)]
    run = open_run()
    summary = kto.train(
        run,
        policy,
        [*LABELLED, *extra],
        replace(SETTINGS, epochs=1),
        seed=0,
        held_out=[*extra, *LABELLED[:4]],
    )
    assert (
        summary["dropped"] == {"labelled both ways": 2, "too long": 1}
        and summary["liked"] == 23
        and summary["disliked"] == 24
    )
    assert summary["held_out"] == 3 and len(read_jsonl(run.path / "data" / "unpaired.jsonl", Unpaired)) == 47


def test_unfinished_completions_have_no_end_token(
    policy: Policy, open_run: OpenRun, monkeypatch: pytest.MonkeyPatch
):
    read: list[Rendered] = []
    ask = kto.completion_logprobs
    monkeypatch.setattr(
        kto, "completion_logprobs", lambda model, rows, *more: read.extend(rows) or ask(model, rows, *more)
    )
    cut = [replace(u, finished=u.label) for u in LABELLED[:8]]
    kto.train(open_run(), policy, cut, replace(SETTINGS, epochs=1), seed=0, held_out=[])
    assert [row.ids[-1] == END for row in read[:8]] == [True, False] * 4
    assert (
        json.loads(json.dumps(cut[1].to_json()))["finished"] is False
        and Unpaired.from_json(cut[1].to_json()) == cut[1]
    )


def test_a_ranking_gives_its_better_and_its_worse_half():
    p = PROMPTS[0]

    def labels(*ranks: int) -> dict[str, bool]:
        found = Ranking(p, tuple(Completion(p, text) for text in "abcde"[: len(ranks)]), ranks).unpaired()
        return {u.completion: u.label for u in found}

    assert labels(1, 2, 3, 4) == {"a": True, "b": True, "c": False, "d": False}
    assert labels(3, 2, 1) == {"c": True, "a": False}, "the middle one is neither"
    assert labels(1, 1, 1, 4) == {"a": True, "b": True, "c": True, "d": False}
    assert labels(1, 2, 2, 2) == {"a": True, "b": False, "c": False, "d": False}
    assert labels(1, 1, 1) == {} and labels(1, 2, 2, 4) == {"a": True, "d": False}
    assert len(Comparison(p, "a", "b").to_json()) == 3


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"batch": 1}, "batch = 1"),
        ({"epochs": 0.0}, "epochs = 0"),
        ({"beta": 0.0}, "beta = 0"),
        ({"desirable_weight": -1.0}, "desirable_weight = -1"),
        ({"undesirable_weight": 0.0}, "undesirable_weight = 0"),
    ],
)
def test_settings_that_make_no_sense(change: dict[str, Any], what: str, policy: Policy, open_run: OpenRun):
    with pytest.raises(ConfigError, match=what) as stop:
        kto.train(open_run(), policy, LABELLED, replace(SETTINGS, **change), seed=0)
    assert stop.value.remedy


def test_part_of_an_epoch_asks_the_reference_for_that_part(
    policy: Policy, open_run: OpenRun, monkeypatch: pytest.MonkeyPatch
):
    asked: list[list[int]] = []
    ask = kto.completion_logprobs
    monkeypatch.setattr(
        kto,
        "completion_logprobs",
        lambda model, rows, batches, pad: (
            asked.append([len(b) for b in batches]) or ask(model, rows, batches, pad)
        ),
    )
    run = open_run()
    summary = kto.train(
        run, policy, LABELLED, replace(SETTINGS, epochs=0.5, micro_batch=8), seed=0, held_out=[]
    )
    assert summary["steps"] == 2 and asked[:2] == [[8, 4, 8, 4]] * 2
    assert [row["rewards/chosen"] == 0 for row in read_run(run.path).metrics] == [True, False] and len(
        read_run(run.path).metrics
    ) == 2


def test_held_out_figures_by_hand():
    test = [
        Unpaired(PROMPTS[0], "a", True),
        Unpaired(PROMPTS[0], "b", False),
        Unpaired(PROMPTS[1], "c", True),
        Unpaired(PROMPTS[2], "d", False),
    ]
    found = kto.measure(test, [0.5, 0.25, 0.25, 0.75])
    assert found["accuracy"] == {"mean": 1.0, "ci": found["accuracy"]["ci"], "n": 1}, (
        "prompts with one label have no pair"
    )
    assert found["auc"] == (1 + 0 + 0.5 + 0) / 4 and found["margin"] == pytest.approx(0.375 - 0.5)
    assert found["eval_rewards"] == {"chosen": 0.375, "rejected": 0.5}
    assert kto.measure(test[:1], [1.0]) == {
        "accuracy": {"mean": None, "ci": None, "n": 0},
        "auc": None,
        "margin": None,
        "eval_rewards": {"chosen": 1.0},
    }


def test_a_batch_of_one_label_has_no_margin():
    rewards, logps = torch.tensor([1.0, 3.0]), torch.tensor([-2.0, -4.0])
    assert kto.by_label(rewards, logps, torch.tensor([True, True])) == {
        "rewards/chosen": 2,
        "logps/chosen": -3,
    }
    assert kto.by_label(rewards, logps, torch.tensor([True, False]))["rewards/margins"] == -2


def test_displacement_is_said(base: Path, open_run: OpenRun, capsys: pytest.CaptureFixture[str]):
    """Liked and disliked that share all but their last letter, dislike weighing far more: all of it becomes
    less likely.
    """
    alike = [
        Unpaired(p, f"the same words for all {i} {'a' if label else 'b'}", label)
        for i, p in enumerate(PROMPTS)
        for label in (True, False)
    ]
    hard = replace(
        SETTINGS,
        epochs=8,
        beta=0.02,
        desirable_weight=0.1,
        undesirable_weight=5.0,
        optim=OptimSettings(lr=5e-3, warmup=0.0),
    )
    found = kto.train(
        open_run(), load_policy(base, ModelSettings(), trainable=True), alike, hard, seed=0, held_out=[]
    )["likelihood_displacement"]
    said = capsys.readouterr().err
    assert (
        found["verdict"] == "failure"
        and said.count("likelihood displacement since step") == 1
        and "This is a failure" in said
        and "a larger beta" in said
    )


def test_a_loss_that_is_not_finite_stops_it_and_names_step_and_sample(policy: Policy, open_run: OpenRun):
    with torch.no_grad():
        policy.model.get_input_embeddings().weight[policy.tokenizer.convert_tokens_to_ids("~")] = float("nan")
    with pytest.raises(GuardStop, match="at step 0") as stop:
        kto.train(
            open_run(),
            policy,
            [*LABELLED[:12], Unpaired(Prompt.user("the ~ one?"), "a", True)],
            replace(SETTINGS, batch=13),
            seed=0,
            held_out=[],
        )
    assert stop.value.where
