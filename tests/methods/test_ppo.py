"""PPO on a tiny random model whose judge is a rule: it learns, it can be interrupted, and what it logs is
what it says.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
)

from alignlab import rollouts
from alignlab.errors import ConfigError, DataError, GuardStop
from alignlab.feedback import RuleJudge
from alignlab.methods import ppo
from alignlab.models.attention import use_plain_attention
from alignlab.models.forward import laid_out, token_stats
from alignlab.models.policy import Policy, RewardModel
from alignlab.models.state import trainable_tensors
from alignlab.records import Completion, Prompt
from alignlab.rollouts.batch import minibatches
from alignlab.run import RunDir
from alignlab.settings import AdapterSettings, OptimSettings, PPOSettings, SamplingSettings

WORDS = ["<pad>", "<end>", "<user>", "<assistant>", "good", *"abcdefghijk"]
SMALL = PPOSettings(
    steps=4,
    rollouts=12,
    epochs=2,
    minibatch=5,
    micro_batch=2,
    kl_coef=0.05,
    missing_end_penalty=0.0,
    sampling=SamplingSettings(max_new_tokens=6),
    optim=OptimSettings(lr=1e-2, schedule="constant", warmup=0.0, weight_decay=0.0),
)
PROMPTS = [Prompt.user(" ".join(random.Random(i).choices(WORDS[5:], k=1 + i % 4))) for i in range(18)]
GOOD = RuleJudge("good", lambda c: c.text.split().count("good"))


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    bare = Tokenizer(models.WordLevel(vocab={word: i for i, word in enumerate(WORDS)}, unk_token="<pad>"))
    bare.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bare,
        pad_token="<pad>",
        eos_token="<end>",
        additional_special_tokens=["<user>", "<assistant>"],
    )
    tokenizer.chat_template = (
        "{% for m in messages %}{{ '<' + m.role + '> ' + m.content + ' <end> ' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
    )
    return tokenizer


def config(**more: Any) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=32,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
        **more,
    )


def models_of(tokenizer: Any, *, rank: int = 0, **more: Any) -> tuple[Policy, Policy | None, RewardModel]:
    """Policy, reference and value model, the same every time; with a rank, adapters and no reference."""
    torch.manual_seed(0)
    policy, value = (
        LlamaForCausalLM(config(**more)),
        LlamaForSequenceClassification(config(num_labels=1, **more)),
    )
    reference = LlamaForCausalLM(config(**more)).eval().requires_grad_(False)
    reference.load_state_dict(policy.state_dict())
    for model in (policy, reference, value):
        use_plain_attention(model)  # as the loader does

    def adapted(model: Any) -> Any:
        return (
            get_peft_model(model, LoraConfig(r=rank, target_modules=["q_proj", "v_proj", "down_proj"]))
            if rank
            else model
        )

    cpu = torch.device("cpu")
    return (
        Policy(adapted(policy), tokenizer, "tiny", cpu),
        None if rank else Policy(reference, tokenizer, "tiny", cpu),
        RewardModel(adapted(value), tokenizer, "value", cpu),
    )


def train(
    out: Path,
    tokenizer: Any,
    settings: PPOSettings = SMALL,
    *,
    judge: Any = GOOD,
    rank: int = 0,
    seed: int = 3,
    dropout: float = 0.0,
    **more: Any,
):
    policy, reference, value = models_of(tokenizer, rank=rank, attention_dropout=dropout)
    run = RunDir.open(out, stage="ppo", config={}, seed=seed)
    summary = ppo.train(run, policy, reference, value, PROMPTS, settings, judge=judge, seed=seed, **more)
    run.finish(summary)
    return (
        policy,
        value,
        [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()],
        summary,
    )


def rollouts_of(
    tokenizer: Any,
    settings: PPOSettings,
    completions: list[Completion],
    scores: list[float],
    kl_coef: float = 0.0,
    **more: Any,
):
    """The models and one batch of rollouts, of a policy that has left its reference."""
    policy, reference, value = models_of(tokenizer, **more)
    with torch.no_grad():
        for p in policy.model.parameters():
            p += 0.02 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()))
    policy.model.eval(), value.model.eval()
    settings = replace(settings, rollouts=len(completions))
    first = minibatches(settings, seed=1)
    scores_B = rollouts.shaped_scores(scores, completions, settings)
    batch = ppo.read(policy, reference, value, completions, scores_B, first, settings, kl_coef)
    return policy, value, first, batch, rollouts.metrics.of_ppo(batch, kl_coef)


def read(prompt: Prompt) -> list[int]:
    """The prompt as the template below renders it."""
    return [WORDS.index(word) for word in ("<user>", *prompt.text.split(), "<end>", "<assistant>")]


def written(count: int, *, finished: bool = True) -> list[Completion]:
    """Completions of different lengths, as a sampler would hand them over."""
    rng = random.Random(7)
    found = []
    for i in range(count):
        ids = [rng.randrange(4, len(WORDS)) for _ in range(1 + i % 5)] + [1] * finished
        found.append(
            Completion(
                PROMPTS[i % len(PROMPTS)],
                " ".join(WORDS[t] for t in ids if t != 1),
                tuple(ids),
                tuple(-2.0 for _ in ids),
                finished,
                prompt_ids=tuple(read(PROMPTS[i % len(PROMPTS)])),
            )
        )
    return found


# it learns, and what it learns comes from the score


def test_the_score_rises_and_without_a_signal_it_does_not(tokenizer, tmp_path):
    settings = replace(SMALL, steps=15, rollouts=32, minibatch=16, micro_batch=0, kl_coef=0.01)

    class Shuffled(RuleJudge):
        rng = random.Random(0)

        def score(self, completions):
            scores = super().score(completions)
            self.rng.shuffle(scores)
            return scores

    gains = {}
    for name, judge in {
        "rule": GOOD,
        "shuffled": Shuffled("shuffled", GOOD.rule),
        "constant": RuleJudge("constant", lambda c: 1.0),
    }.items():
        *_, metrics, summary = train(tmp_path / name, tokenizer, settings, judge=judge, gold=GOOD)
        golds = [row["objective/gold"] for row in metrics]
        assert summary["gold_first"] == golds[0] and summary["gold_last"] == golds[-1]
        gains[name] = sum(golds[-3:]) / 3 - sum(golds[:2]) / 2
    assert gains["rule"] > 1.5
    assert max(gains["shuffled"], gains["constant"]) < gains["rule"] / 2, (
        gains
    )  # a policy that learns from noise drifts, a little and anywhere


def test_a_dearer_penalty_keeps_the_policy_nearer(tokenizer, tmp_path):
    kl = [
        train(tmp_path / str(coef), tokenizer, replace(SMALL, steps=8, kl_coef=coef))[3]["kl_last"]
        for coef in (0.0, 2.0)
    ]
    assert kl[1] < 0.5 * kl[0]


# the first ratio


@pytest.mark.parametrize("rank", [0, 4])
def test_the_ratio_of_every_first_minibatch_is_one(rank, tokenizer, tmp_path, monkeypatch):
    asked, updated, read, update = [], [], ppo.read, ppo.update
    monkeypatch.setattr(ppo, "read", lambda *a: asked.extend(a[5]) or read(*a))
    monkeypatch.setattr(ppo, "update", lambda *a: updated.append(a[3]) or update(*a))
    *_, metrics, _ = train(tmp_path / "run", tokenizer, rank=rank, dropout=0.5)
    assert asked == [
        minibatch for i, minibatch in enumerate(updated) if i % 6 < 3
    ]  # 4 steps of 2 passes of 3 updates: the first pass of each
    assert [row["val/ratio_first"] for row in metrics] == [1.0] * SMALL.steps
    assert any(row["val/ratio"] != 1.0 for row in metrics)
    assert max(row["sampling/sampling_logp_difference/max"] for row in metrics) < 1e-4
    assert (
        metrics[0]["objective/kl"]
        == metrics[0]["objective/kl_k3"]
        == metrics[0]["objective/non_score_reward"]
        == 0
    )  # it is its reference
    assert metrics[-1]["objective/kl_k3"] > 0


@pytest.mark.parametrize("micro_batch", [0, 1, 2, 3])
def test_old_logprobs_are_those_of_the_update_bit_for_bit(micro_batch, tokenizer):
    settings = replace(SMALL, micro_batch=micro_batch, sampling=SamplingSettings(temperature=0.7))
    policy, _, first, batch, _ = rollouts_of(
        tokenizer, settings, written(12), [0.0] * 12, attention_dropout=0.5
    )
    for rows in (torch.tensor(piece) for minibatch in first for piece in minibatch):
        layout = laid_out(policy.model, [batch.rollouts.rows[i] for i in rows], policy.pad_id)
        now = layout.back(token_stats(policy.model, layout.batch, temperature=0.7).logprobs_BT)
        assert now.requires_grad and torch.equal(now.detach(), batch.old_logprobs_BT[rows, : now.shape[1]])


def test_logprobs_and_values_do_not_depend_on_company(tokenizer):
    completions = written(9)
    _, _, _, together, _ = rollouts_of(tokenizer, SMALL, completions, [0.0] * 9)
    _, _, _, alone, _ = rollouts_of(tokenizer, SMALL, completions[:1], [0.0])
    mask = together.rollouts.mask_BT[0].bool()
    for name in ("old_logprobs_BT", "ref_logprobs_BT", "old_values_BT"):
        assert torch.allclose(
            getattr(together, name)[0][mask],
            getattr(alone, name)[0][alone.rollouts.mask_BT[0].bool()],
            atol=1e-5,
        )
        assert not getattr(together, name)[~together.rollouts.mask_BT.bool()].any()


# rewards


def test_a_completion_that_was_cut_pays_and_gets_no_end_token(tokenizer):
    settings = replace(SMALL, missing_end_penalty=1.5, score_clip=2.0, whiten_advantages=False)
    completions = [written(4)[3], written(4, finished=False)[3]]
    policy, _, _, batch, metrics = rollouts_of(tokenizer, settings, completions, [3.0, 3.0])
    assert batch.scores_B.tolist() == [2.0, 0.5]  # clipped, then the penalty
    assert (
        metrics["completions/clipped_ratio"] == 0.5
        and metrics["val/num_eos_tokens"] == 1
        and metrics["completions/mean_length"] == 4.5
    )
    for row, completion in enumerate(completions):
        places = batch.rollouts.mask_BT[row].nonzero().flatten().tolist()
        assert [batch.rollouts.rows[row].ids[t] for t in places] == list(completion.ids)
        # the last token that was written carries the score: with no penalty on KL its return is the score
        assert batch.returns_BT[row, places[-1]].item() == pytest.approx(batch.scores_B[row].item(), abs=1e-6)
        assert (batch.rollouts.rows[row].ids[places[-1]] in policy.end_ids) == completion.finished


def test_rewards_are_the_score_less_the_penalty_on_kl(tokenizer):
    completions = written(8)
    scores = [random.Random(i).uniform(-1, 1) for i in range(8)]
    settings = replace(SMALL, whiten_advantages=False, lam=1.0)
    _, _, _, batch, metrics = rollouts_of(tokenizer, settings, completions, scores, kl_coef=0.3)
    d = batch.old_logprobs_BT - batch.ref_logprobs_BT
    kl_B = d.sum(1)
    assert (
        metrics["objective/kl"] == pytest.approx(kl_B.mean().item(), rel=1e-5)
        and abs(metrics["objective/kl"]) > 0.01
    )
    assert metrics["objective/rlhf_reward"] == pytest.approx(
        (batch.scores_B - 0.3 * kl_B).mean().item(), rel=1e-4
    )
    assert metrics["objective/kl_k2"] == pytest.approx((d.square() / 2).sum(1).mean().item(), rel=1e-4)
    first = batch.rollouts.mask_BT.argmax(
        1, keepdim=True
    )  # gamma = lam = 1: the first return is the sum of all rewards
    assert torch.allclose(
        batch.returns_BT.gather(1, first).squeeze(1), batch.scores_B - 0.3 * kl_B, atol=1e-5
    )
    whitened = rollouts_of(tokenizer, SMALL, completions, scores, kl_coef=0.3)[3]
    inside = whitened.advantages_BT[whitened.rollouts.mask_BT.bool()]
    assert inside.mean().item() == pytest.approx(0, abs=1e-6) and inside.std(
        correction=0
    ).item() == pytest.approx(1, abs=1e-4)


def test_tokens_that_another_distribution_drew_are_weighed(tokenizer):
    """written() claims -2 nats for each token: the weight is the trainer's probability over that, capped, on
    the whitened advantage.
    """
    completions, scores = written(8), [float(i % 3) for i in range(8)]
    _, _, _, plain, _ = rollouts_of(tokenizer, SMALL, completions, scores)
    _, _, _, weighed, metrics = rollouts_of(
        tokenizer, replace(SMALL, importance_cap=0.5), completions, scores
    )
    inside = plain.rollouts.mask_BT.bool()
    weights = (plain.old_logprobs_BT + 2.0).exp().clamp(max=0.5)
    assert torch.allclose(
        weighed.advantages_BT[inside], (weights * plain.advantages_BT)[inside]
    ) and not torch.equal(weighed.advantages_BT, plain.advantages_BT)
    assert (
        0
        < metrics["sampling/importance_sampling_ratio/min"]
        < 0.5
        < metrics["sampling/importance_sampling_ratio/max"]
    )


# the update


def gradients(policy: Policy, value: RewardModel) -> torch.Tensor:
    return torch.cat(
        [
            p.grad.flatten()
            for model in (policy.model, value.model)
            for p in model.parameters()
            if p.grad is not None
        ]
    )


def test_micro_batches_change_nothing(tokenizer):
    scores = [float(i % 3) for i in range(12)]
    rows, found = list(range(2, 11)), []
    for size in (9, 1, 4):
        policy, value, _, batch, _ = rollouts_of(tokenizer, SMALL, written(12), scores)
        batch.old_logprobs_BT[batch.rollouts.mask_BT.bool()] -= 0.15  # some ratios are clipped
        metrics = ppo.update(policy, value, batch, [rows[i : i + size] for i in range(0, 9, size)], SMALL)
        found.append((gradients(policy, value), metrics))
    for gradient, metrics in found[1:]:
        assert torch.allclose(gradient, found[0][0], atol=1e-6, rtol=1e-4)
        assert metrics == pytest.approx(found[0][1], abs=1e-5)
    assert found[0][0].abs().max() > 1e-3


def test_passes_end_when_the_policy_has_moved_enough(tokenizer, tmp_path):
    settings = replace(SMALL, steps=2, epochs=5)
    *_, all_passes, _ = train(tmp_path / "all", tokenizer, settings)
    *_, few, _ = train(tmp_path / "few", tokenizer, replace(settings, stop_at_kl=1e-4))
    assert [row["policy/updates"] for row in all_passes] == [15, 15]
    assert all(3 <= row["policy/updates"] < 15 and row["policy/updates"] % 3 == 0 for row in few)


def test_the_coefficient_steers_for_the_target(tokenizer, tmp_path):
    settings = replace(SMALL, adaptive_kl=0.001, kl_horizon=100)
    *_, metrics, summary = train(tmp_path / "run", tokenizer, settings)
    coefs = [row["objective/kl_coef"] for row in metrics] + [summary["kl_coef_last"]]
    assert coefs[1] == pytest.approx(0.05 * (1 - 0.2 * 12 / 100))  # no KL at first: down
    assert coefs[-1] > coefs[-2]  # then above the target: up


def test_pretraining_text_is_kept_in_mind(tokenizer, tmp_path):
    text = [[5, 6, 7, 8] * 20, [9, 10, 11, 12] * 3]  # the first is longer than the context
    settings = replace(SMALL, ptx_coef=5.0, ptx_batch=2, steps=6)
    *_, metrics, _ = train(
        tmp_path / "run", tokenizer, settings, judge=RuleJudge("constant", lambda c: 0.0), ptx_rows=text
    )
    mixed_in = rollouts.PretrainingText(models_of(tokenizer)[0], text, settings, seed=0)
    assert sorted(len(row) for row in mixed_in.sample(seed=0)) == [12, 32]
    assert metrics[-1]["loss/ptx_avg"] < 0.5 * metrics[0]["loss/ptx_avg"]


# a run that is interrupted


@pytest.mark.parametrize("rank", [0, 4])
def test_a_resumed_run_equals_an_undisturbed_one(rank, tokenizer, tmp_path, monkeypatch):
    """State of step 1 is kept, step 2 is done but not kept, step 3 fails: steps 2 and on are done again, to
    the same bits.
    """
    settings = replace(
        SMALL,
        steps=5,
        adaptive_kl=0.5,
        kl_horizon=100,
        ptx_coef=0.5,
        ptx_batch=2,
        value_lr=2e-2,
        per_prompt=2,
        probes=3,
        probe_every=2,
    )
    arguments: dict[str, Any] = {
        "settings": settings,
        "rank": rank,
        "gold": RuleJudge("a", lambda c: c.text.count("a")),
        "ptx_rows": torch.randint(4, 16, (9, 12)),
    }
    policy, value, metrics, summary = train(tmp_path / "whole", tokenizer, **arguments)

    class Failing(RuleJudge):
        calls = 0

        def score(self, completions):
            self.calls += 1
            if self.calls == 4:
                raise KeyboardInterrupt
            return super().score(completions)

    monkeypatch.setenv("ALIGNLAB_SAVE_EVERY_STEPS", "2")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", tokenizer, **arguments, judge=Failing("good", GOOD.rule))
    assert len((tmp_path / "cut.partial" / "metrics.jsonl").read_text().splitlines()) == 3
    assert [p.name for p in (tmp_path / "cut.partial").glob("state-*")] == ["state-00000002"]
    policy_again, value_again, metrics_again, summary_again = train(tmp_path / "cut", tokenizer, **arguments)

    untimed = [
        [{k: v for k, v in row.items() if not k.startswith("time/")} for row in rows]
        for rows in (metrics, metrics_again)
    ]
    assert untimed[0] == untimed[1] and len(untimed[0]) == 5 and summary == summary_again
    for name in ("samples.jsonl", "tokens.jsonl", "probes.jsonl", "data/prompts.jsonl"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()
    for one, other in ((policy.model, policy_again.model), (value.model, value_again.model)):
        tensors, again = trainable_tensors(one), trainable_tensors(other)
        assert tensors and all(torch.equal(tensors[name], again[name]) for name in tensors)
    fresh = trainable_tensors(models_of(tokenizer, rank=rank)[0].model)
    assert not any(
        torch.equal(tensor, fresh[name]) for name, tensor in trainable_tensors(policy.model).items()
    )


# what is logged, and what is refused


def rows_in(run: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / f"{name}.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("rank", [0, 4])
def test_what_is_kept_to_look_at_changes_nothing_that_is_learnt(rank, tokenizer, tmp_path):
    """With probes and with all samples a run ends in the same bits, and shows the same few."""
    settings = replace(SMALL, sampling=replace(SMALL.sampling, temperature=0.7))
    watched = replace(settings, probes=5, probe_every=3)
    plain, _, metrics, summary = train(tmp_path / "plain", tokenizer, replace(settings, keep_samples="few"))
    again, _, others, same = train(tmp_path / "watched", tokenizer, watched)
    untimed = [
        [{k: v for k, v in row.items() if k[:5] != "time/"} for row in rows] for rows in (metrics, others)
    ]
    assert untimed[0] == untimed[1] and summary == same
    tensors, learnt = trainable_tensors(plain.model), trainable_tensors(again.model)
    assert tensors and all(torch.equal(tensors[name], learnt[name]) for name in tensors)
    few, every = rows_in(tmp_path / "plain", "samples"), rows_in(tmp_path / "watched", "samples")
    assert [row for row in every if row["shown"]] == few and len(every) == SMALL.steps * SMALL.rollouts
    assert [row["place"] for row in every] == [*range(SMALL.rollouts)] * SMALL.steps
    assert rows_in(tmp_path / "plain", "tokens") == rows_in(tmp_path / "watched", "tokens")
    probes = rows_in(tmp_path / "watched", "probes")
    assert [(row["step"], row["probe"]) for row in probes] == [
        (s, str(i)) for s in (0, 3, 4) for i in range(5)
    ]
    assert (
        len({json.dumps(row["prompt"]) for row in probes}) == 5
        and not (tmp_path / "plain/probes.jsonl").exists()
    )


def test_a_run_that_is_only_watched_otherwise_is_the_same_run(tmp_path):
    from alignlab.run.identity import difference, run_key
    from alignlab.settings.resolve import to_dict

    identity = {"stage": "ppo", "seed": 0, "data": {}}
    watched = replace(SMALL, keep_samples="few", probes=16, probe_every=1)
    plain, other = ({"settings": to_dict(settings)} for settings in (SMALL, watched))
    assert run_key(plain, identity, {}) == run_key(other, identity, {}) and difference(plain, other) == []


def test_tokens_of_shown_samples_are_those_that_were_learnt(tokenizer, tmp_path, monkeypatch):
    batches, read = [], ppo.read
    monkeypatch.setattr(ppo, "read", lambda *a: batches.append(read(*a)) or batches[-1])
    train(tmp_path / "run", tokenizer)
    samples = {(row["step"], row["place"]): row for row in rows_in(tmp_path / "run", "samples")}
    shown = [key for key, row in samples.items() if row["shown"]]
    rows = rows_in(tmp_path / "run", "tokens")
    assert [(row["step"], row["place"]) for row in rows] == shown
    for row in rows:
        batch, at, sample = batches[row["step"]], row["place"], samples[row["step"], row["place"]]
        completion = batch.rollouts.completions[at]
        mask = batch.rollouts.mask_BT[at].bool()
        columns = {"logprob": batch.old_logprobs_BT, "ref": batch.ref_logprobs_BT}
        columns |= {"advantage": batch.advantages_BT, "value": batch.old_values_BT}
        for name, tensor in columns.items():
            assert row[name] == pytest.approx(tensor[at][mask].tolist(), abs=1e-5), name
        assert "".join(row["pieces"]).replace("<end>", "").split() == completion.text.split()
        assert len(row["pieces"]) == sample["tokens"] == len(completion.ids)
        assert sample["kl"] == pytest.approx(sum(row["logprob"]) - sum(row["ref"]), abs=1e-3)


def test_from_a_size_on_only_what_is_shown_is_kept(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(rollouts.log, "MOST_KEPT", 3000)
    train(tmp_path / "run", tokenizer)
    rows = rows_in(tmp_path / "run", "samples")
    counts = [sum(row["step"] == step for row in rows) for step in range(SMALL.steps)]
    assert counts[0] == SMALL.rollouts and counts[-1] == 3
    assert [row["step"] for row in rows_in(tmp_path / "run", "tokens")].count(0) == 3


def test_metrics_carry_the_names_of_the_field(tokenizer, tmp_path):
    *_, metrics, _ = train(
        tmp_path / "run", tokenizer, replace(SMALL, gold_every=2, missing_end_penalty=1.0), gold=GOOD
    )
    names = {
        "objective/kl",
        "objective/entropy",
        "objective/non_score_reward",
        "objective/rlhf_reward",
        "objective/scores",
        "policy/approxkl_avg",
        "policy/clipfrac_avg",
        "policy/entropy_avg",
        "loss/policy_avg",
        "loss/value_avg",
        "val/clipfrac_avg",
        "val/ratio",
        "val/num_eos_tokens",
        "critic/vf_explained_var",
        "objective/kl_coef",
        "completions/mean_length",
        "completions/clipped_ratio",
        "completions/marks_ratio",
        "time/sampling",
        "time/updating",
    }
    for row in metrics:
        assert names <= row.keys() and ("objective/gold" in row) == (row["step"] % 2 == 0)
        assert row["objective/rlhf_reward"] == pytest.approx(
            row["objective/scores"] + row["objective/non_score_reward"], abs=1e-6
        )
        assert 0 < row["policy/entropy_avg"] < 2.8 and row["learning_rate"] == SMALL.optim.lr  # log 16 = 2.77
    samples = [json.loads(line) for line in (tmp_path / "run" / "samples.jsonl").read_text().splitlines()]
    assert {row["step"] for row in samples} == {0, 1, 2, 3} and all(
        {"prompt", "completion", "proxy", "gold", "kl"} <= row.keys() for row in samples
    )


def test_a_score_that_is_not_finite_stops_the_run(tokenizer, tmp_path):
    broken = RuleJudge("broken", lambda c: float("inf") if "good" in c.text else 0.0)  # a clip would hide it
    with pytest.raises(GuardStop, match="score of broken is inf at step 0") as error:
        train(tmp_path / "run", tokenizer, judge=broken)
    assert "good" in error.value.where


def test_settings_that_cannot_work_are_refused(tokenizer, tmp_path):
    wrong = [
        replace(SMALL, sampling=SamplingSettings(temperature=0.0)),
        replace(SMALL, per_prompt=5),
        replace(SMALL, ptx_coef=1.0),
        replace(SMALL, adapter=AdapterSettings(dropout=0.1)),
        replace(SMALL, minibatch=0),
        replace(SMALL, importance_cap=-1.0),
    ]
    for i, settings in enumerate(wrong):
        with pytest.raises(ConfigError):
            train(tmp_path / str(i), tokenizer, settings)
    with pytest.raises(DataError, match="no record fits"):  # found before the first step
        train(tmp_path / "long", tokenizer, replace(SMALL, sampling=SamplingSettings(max_new_tokens=30)))
