"""Our losses against TRL's own numbers on the same tensors.

`trl.json` holds inputs and what TRL's code made of them, with version, file, line and date: `record_trl.py`
wrote it. Where the two differ, the test says how and holds the difference to what explains it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from alignlab.losses import (
    better_nll,
    bradley_terry_loss,
    dpo_loss,
    entropy,
    gae,
    group_advantages,
    group_policy_loss,
    kl_estimate,
    kl_shaped_rewards,
    kto_baseline,
    kto_loss,
    masked_whiten,
    orpo_loss,
    ppo_policy_loss,
    ppo_value_loss,
    simpo_loss,
    token_logprobs,
    token_weights,
)

BOOK = json.loads(Path(__file__).with_name("trl.json").read_text())
CASES = {name: case for version in BOOK.values() for name, case in version["cases"].items()}
DTYPES = (torch.float64, torch.float32)


def named(prefix: str) -> list[str]:
    return [name for name in CASES if name.startswith(prefix)]


def read(name: str, dtype: torch.dtype) -> tuple[dict[str, Any], dict[str, Any]]:
    """Inputs and outputs of a case; lists of numbers as tensors, integers and truth values as they are."""

    def tensor(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        found = torch.tensor(value)
        return (
            found
            if found.dtype in (torch.bool, torch.int64)
            else torch.tensor(value, dtype=torch.float64).to(dtype)
        )

    return tuple(
        {key: tensor(value) for key, value in CASES[name][part].items()} for part in ("inputs", "outputs")
    )  # type: ignore[return-value]


def assert_close(
    ours: Any, theirs: Any, dtype: torch.dtype, *, recorded: torch.dtype = torch.float64
) -> None:
    """Equal to the digits of the coarser of the two precisions."""
    tolerance = 2e-5 if torch.float32 in (dtype, recorded) else 1e-12
    torch.testing.assert_close(
        torch.as_tensor(ours, dtype=torch.float64),
        torch.as_tensor(theirs, dtype=torch.float64),
        rtol=tolerance,
        atol=tolerance,
    )


def completions(inputs: dict[str, Any], *, mean: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """The leaf, and policy and reference log-probability of each completion: summed over its tokens, or their
    mean.
    """
    leaf = inputs["logprobs_BT"].clone().requires_grad_()
    count = inputs["mask_BT"].sum(1) if mean else 1
    return leaf, leaf.sum(1) / count, inputs["ref_logprobs_BT"].sum(1) / count


def test_the_record_says_where_it_comes_from() -> None:
    assert {"trl 1.12.0", "trl 1.16.0"} == set(BOOK)
    assert all(held["torch"] and held["recorded"] and held["seed"] for held in BOOK.values())
    assert all(case["source"].startswith("trl/") and ".py:" in case["source"] for case in CASES.values())
    assert len(CASES) >= 35


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", named("tokens/"))
def test_log_probabilities_and_entropies(name: str, dtype: torch.dtype) -> None:
    given, theirs = read(name, dtype)
    assert_close(
        token_logprobs(given["logits_BTV"], given["ids_BT"], temperature=given["temperature"])[:, 1:],
        theirs["logprobs_BT"],
        dtype,
    )
    assert_close(entropy(given["logits_BTV"], temperature=given["temperature"]), theirs["entropy_BT"], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["dpo/sigmoid", "dpo/sigmoid_beta", "dpo/hinge", "dpo/robust"])
def test_dpo(name: str, dtype: torch.dtype) -> None:
    """Loss, gradient and metrics of sigmoid, hinge and robust are TRL's."""
    given, theirs = read(name, dtype)
    leaf, policy, reference = completions(given)
    kind = name.removeprefix("dpo/").partition("_")[0]
    losses, chosen, rejected = dpo_loss(
        *policy.chunk(2),
        *reference.chunk(2),
        beta=given["beta"],
        loss_type=kind,
        label_smoothing=given["label_smoothing"],
    )
    losses.mean().backward()
    assert_close(losses.mean(), theirs["loss"], dtype)
    assert_close(leaf.grad, theirs["gradient_BT"], dtype)
    for key, ours in {
        "rewards/chosen": chosen,
        "rewards/rejected": rejected,
        "rewards/margins": chosen - rejected,
        "rewards/accuracies": (chosen > rejected).to(dtype),
        "logps/chosen": policy.chunk(2)[0],
        "logps/rejected": policy.chunk(2)[1],
    }.items():
        assert_close(ours.mean(), theirs[key], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_likelihood_beside_dpo(dtype: torch.dtype) -> None:
    """TRL takes it over all tokens of the chosen completions of a batch together, where a long one weighs
    more (its "sft" loss, before 1.0 `rpo_alpha`); ours, as RPO's, is the mean over each of them. Weighed by
    their lengths ours gives TRL's loss and gradient.
    """
    given, theirs = read("dpo/sigmoid_sft", dtype)
    leaf, policy, reference = completions(given)
    lengths, written = given["mask_BT"].sum(1), (leaf * given["mask_BT"][:, 1:]).sum(1)
    losses = dpo_loss(*policy.chunk(2), *reference.chunk(2), beta=given["beta"])[0]
    nll = better_nll(*written.chunk(2), *lengths.chunk(2))
    weights = lengths.chunk(2)[0].to(dtype)
    together = (weights * nll).sum() / weights.sum()
    loss = losses.mean() + given["sft_weight"] * together
    loss.backward()
    assert given["sft_weight"] == 0.2
    assert_close(loss, theirs["loss"], dtype)
    assert_close(leaf.grad, theirs["gradient_BT"], dtype)
    assert abs((together - nll.mean()).item()) > 1e-3


@pytest.mark.parametrize("dtype", DTYPES)
def test_label_smoothing_of_sigmoid_is_dropped_by_trl(dtype: torch.dtype) -> None:
    """TRL 1.16 reads `label_smoothing` for its robust and EXO losses alone and takes it in silence with the
    sigmoid one: its figures are those without. Ours is cDPO (Mitchell 2023, equation 3).
    """
    given, theirs = read("dpo/sigmoid_smoothed", dtype)
    _, policy, reference = completions(given)
    assert given["label_smoothing"] == 0.2
    plain = dpo_loss(*policy.chunk(2), *reference.chunk(2), beta=given["beta"])[0].mean()
    smoothed = dpo_loss(*policy.chunk(2), *reference.chunk(2), beta=given["beta"], label_smoothing=0.2)[
        0
    ].mean()
    assert_close(plain, theirs["loss"], dtype)
    h = (policy - reference).chunk(2)[0] - (policy - reference).chunk(2)[1]
    assert_close(
        smoothed, plain + 0.2 * given["beta"] * h.mean(), dtype
    )  # -e log s(-bh) + e log s(bh) = e b h
    assert abs((smoothed - plain).item()) > 1e-3


@pytest.mark.parametrize("dtype", DTYPES)
def test_ipo_that_trl_takes_over_tokens(dtype: torch.dtype) -> None:
    """TRL's `ipo` divides each log-ratio by the tokens of its completion, which equation 17 of Azar et al.
    does not. On mean log-probabilities ours is the same, on sums (ours, and the paper's) it is another loss:
    its target is 1 / (2 beta) nats a completion.
    """
    given, theirs = read("dpo/ipo", dtype)
    leaf, policy, reference = completions(given, mean=True)
    loss = dpo_loss(*policy.chunk(2), *reference.chunk(2), beta=given["beta"], loss_type="ipo")[0].mean()
    loss.backward()
    assert_close(loss, theirs["loss"], dtype)
    assert_close(leaf.grad, theirs["gradient_BT"], dtype)
    _, policy, reference = completions(given)
    assert (
        abs(
            dpo_loss(*policy.chunk(2), *reference.chunk(2), beta=given["beta"], loss_type="ipo")[0]
            .mean()
            .item()
            - theirs["loss"]
        )
        > 1e-3
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_sigmoid_norm(dtype: torch.dtype) -> None:
    """Loss and gradient are TRL's. Its logged rewards are of sums, which the loss never sees; ours are what
    the loss sees, over the length.
    """
    given, theirs = read("dpo/sigmoid_norm", dtype)
    leaf, policy, reference = completions(given)
    chosen_lengths, rejected_lengths = given["mask_BT"].sum(1).chunk(2)
    losses, chosen, _ = dpo_loss(
        *policy.chunk(2),
        *reference.chunk(2),
        beta=given["beta"],
        loss_type="sigmoid_norm",
        chosen_lengths=chosen_lengths,
        rejected_lengths=rejected_lengths,
    )
    losses.mean().backward()
    assert_close(losses.mean(), theirs["loss"], dtype)
    assert_close(leaf.grad, theirs["gradient_BT"], dtype)
    assert_close((chosen * chosen_lengths).mean(), theirs["rewards/chosen"], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", named("kto/"))
def test_kto(name: str, dtype: torch.dtype) -> None:
    """Loss, gradient and the KL baseline are TRL's on the same mismatched pairs."""
    given, theirs = read(name, dtype)
    leaf = given["logprobs_BT"].clone().requires_grad_()
    baseline = kto_baseline(given["kl_logprobs_BT"].sum(1), given["kl_ref_logprobs_BT"].sum(1))
    losses, _ = kto_loss(
        leaf.sum(1),
        given["ref_logprobs_BT"].sum(1),
        given["label_B"],
        baseline=baseline,
        beta=given["beta"],
        desirable_weight=given["desirable_weight"],
        undesirable_weight=given["undesirable_weight"],
    )
    losses.mean().backward()
    assert_close(baseline, theirs["kl"], dtype)
    assert_close(losses.mean(), theirs["loss"], dtype)
    assert_close(leaf.grad, theirs["gradient_BT"], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_simpo(dtype: torch.dtype) -> None:
    """Loss, gradient of the logits and rewards are TRL's, whose `logps` are means over tokens."""
    given, theirs = read("simpo", dtype)
    logits, mask = given["logits_BTV"].clone().requires_grad_(), given["mask_BT"]
    logps = (token_logprobs(logits, given["ids_BT"]) * mask).sum(1)
    lengths = mask.sum(1)
    losses, chosen, rejected = simpo_loss(
        *logps.chunk(2), *lengths.chunk(2), beta=given["beta"], gamma=given["simpo_gamma"]
    )
    losses.mean().backward()
    assert_close(losses.mean(), theirs["loss"], dtype)
    assert_close(logits.grad, theirs["gradient_BTV"], dtype)
    assert_close(chosen.mean(), theirs["rewards/chosen"], dtype)
    assert_close(rejected.mean(), theirs["rewards/rejected"], dtype)
    assert_close((logps / lengths).chunk(2)[0].mean(), theirs["logps/chosen"], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_orpo(dtype: torch.dtype) -> None:
    """The odds part is TRL's. The likelihood is not: TRL takes it over prompt and completion and over all
    tokens of the batch together, ours (and equation 6) is the mean over each chosen completion; put in place
    of ours, TRL's likelihood gives TRL's loss.
    """
    given, theirs = read("orpo", dtype)
    mask, seen = given["mask_BT"], given["attention_mask_BT"]
    each = token_logprobs(given["logits_BTV"], given["ids_BT"])
    losses, chosen, rejected, metrics = orpo_loss(
        *(each * mask).sum(1).chunk(2), *mask.sum(1).chunk(2), beta=given["beta"]
    )
    for key in ("log_odds_chosen", "log_odds_ratio"):
        assert_close(
            metrics[key].mean(), theirs[key], dtype, recorded=torch.float32
        )  # TRL makes them of floats
    assert_close(chosen.mean(), theirs["rewards/chosen"], dtype, recorded=torch.float32)
    assert_close(rejected.mean(), theirs["rewards/rejected"], dtype, recorded=torch.float32)
    read_too = (seen.bool() & (torch.arange(seen.shape[1]) > 0)).chunk(2)[0]
    nll = -each.chunk(2)[0][read_too].mean()
    assert_close(nll, theirs["nll_loss"], dtype, recorded=torch.float32)
    assert_close(
        losses.mean() - metrics["nll_loss"].mean() + nll, theirs["loss"], dtype, recorded=torch.float32
    )
    assert abs((nll - metrics["nll_loss"].mean()).item()) > 1e-3


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", named("reward/"))
def test_reward_model(name: str, dtype: torch.dtype) -> None:
    given, theirs = read(name, dtype)
    chosen, rejected = given["chosen_B"].requires_grad_(), given["rejected_B"].requires_grad_()
    loss, metrics = bradley_terry_loss(chosen, rejected, margin_B=given["margin_B"], center=given["center"])
    loss.backward()
    assert_close(loss, theirs["loss"], dtype)
    assert_close(chosen.grad, theirs["gradient_chosen_B"], dtype)
    assert_close(rejected.grad, theirs["gradient_rejected_B"], dtype)
    for key, value in metrics.items():
        assert_close(value, theirs[key], dtype, recorded=torch.float32)  # TRL's accuracy is a float


@pytest.mark.parametrize("kind", ["rloo", "grpo", "dr_grpo"])
def test_group_advantages(kind: str) -> None:
    """One group has equal scores. TRL's come out of a real trainer, in fp32."""
    given, theirs = read(f"advantages/{kind}", torch.float64)
    assert_close(
        group_advantages(given["scores_PG"], kind=kind),
        theirs["advantages_PG"],
        torch.float64,
        recorded=torch.float32,
    )


def test_advantages_over_the_deviation_of_the_batch() -> None:
    """TRL's `scale_rewards="batch"` divides what Dr. GRPO takes by the deviation (ddof 1, plus 1e-4) of all
    scores of the batch. There is no kind of ours for it.
    """
    given, theirs = read("advantages/grpo_batch", torch.float64)
    scores = given["scores_PG"]
    ours = group_advantages(scores, kind="dr_grpo") / (scores.std(correction=1) + 1e-4)
    assert_close(ours, theirs["advantages_PG"], torch.float64, recorded=torch.float32)


MEANS = {
    "grpo": "sequence",
    "grpo_kl": "sequence",
    "gspo": "sequence",
    "dr_grpo": "constant",
    "dapo": "token",
    "bnpo": "token",
}
"""TRL's loss -> the mean that it takes over tokens. DAPO's and BNPO's are one mean in a batch that is whole;
cut into micro-batches BNPO's is the mean of their means, DAPO's and ours the mean over all tokens."""


def group_loss(
    name: str, dtype: torch.dtype
) -> tuple[Tensor, Tensor, dict[str, Tensor], dict[str, Any], dict[str, Any]]:
    """The leaf, loss and metrics of ours on a case of the group losses, and its inputs and outputs."""
    given, theirs = read(name, dtype)
    mask, leaf = given["mask_BT"], given["logprobs_BT"].clone().requires_grad_()
    kind = name.removeprefix("group/")
    weights = token_weights(
        mask.to(dtype),
        mean=MEANS[kind],
        sequences=len(mask),
        tokens=float(mask.sum()),
        max_length=given["max_completion_length"],
    )
    loss, metrics = group_policy_loss(
        leaf,
        given["old_logprobs_BT"],
        given["advantages_B"],
        mask,
        weights_BT=weights,
        epsilon=given["epsilon_low"],
        epsilon_high=given["epsilon_high"],
        ref_logprobs_BT=given["ref_logprobs_BT"],
        kl_coef=given["beta"],
        estimator="k3",
        ratio_level="sequence" if kind == "gspo" else "token",
    )
    loss.backward()
    return leaf, loss, metrics, given, theirs


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [name for name in named("group/") if name != "group/rloo"])
def test_group_losses(name: str, dtype: torch.dtype) -> None:
    """Loss and gradient of GRPO (without and with k3 in the loss), Dr. GRPO, DAPO, BNPO and GSPO are TRL's,
    and the shares that the clip holds back. GSPO's ratio is one for a completion: TRL counts completions
    then, ours their tokens; here both count none.
    """
    leaf, loss, metrics, given, theirs = group_loss(name, dtype)
    assert_close(loss, theirs["loss"], dtype)
    assert_close(leaf.grad, theirs["gradient_BT"], dtype)
    assert (leaf.grad * (1 - given["mask_BT"])).abs().max() == 0
    for key in ("clip_ratio/low_mean", "clip_ratio/high_mean", "clip_ratio/region_mean"):
        assert_close(metrics[key], theirs[key], dtype, recorded=torch.float32)
    if name != "group/gspo":
        assert theirs["clip_ratio/low_mean"] > 0 and theirs["clip_ratio/high_mean"] > 0, (
            "the case does not reach the clip"
        )


def test_k3_of_grpo() -> None:
    """TRL logs nats a token, and so is this; our loops log `kl` in nats a completion."""
    given, theirs = read("group/grpo_kl", torch.float64)
    k3 = kl_estimate(given["logprobs_BT"], given["ref_logprobs_BT"], estimator="k3")
    assert_close((k3 * given["mask_BT"]).sum() / given["mask_BT"].sum(), theirs["kl"], torch.float64)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rloo_whose_ratio_trl_takes_of_the_whole_completion(dtype: torch.dtype) -> None:
    """TRL's RLOO has one ratio a completion, that of its whole probability, and clips that; ours has one a
    token. With completions as one action each (log-probabilities summed, a single "token") ours is TRL's to
    the last digit. With the first update of a batch, where the ratio is 1, the gradients differ by a
    constant: TRL's weighs a token 1 / completions, ours 1 / (completions x max_length).
    """
    given, theirs = read("group/rloo", dtype)
    mask, advantages = given["mask_BT"], given["advantages_B"]
    leaf, one = given["logprobs_BT"].clone().requires_grad_(), torch.ones(len(mask), 1, dtype=dtype)
    sums, old_sums = ((x * mask).sum(1, keepdim=True) for x in (leaf, given["old_logprobs_BT"]))
    loss, _ = group_policy_loss(
        sums,
        old_sums,
        advantages,
        one,
        weights_BT=one / len(mask),
        epsilon=given["epsilon_low"],
        epsilon_high=given["epsilon_high"],
    )
    loss.backward()
    assert_close(loss, theirs["loss"], dtype)
    assert_close(leaf.grad, theirs["gradient_BT"], dtype)

    token_leaf, length = given["logprobs_BT"].clone().requires_grad_(), mask.shape[1]
    weights = token_weights(
        mask.to(dtype), mean="constant", sequences=len(mask), tokens=0.0, max_length=length
    )
    first, _ = group_policy_loss(
        token_leaf, given["logprobs_BT"], advantages, mask, weights_BT=weights, epsilon=given["epsilon_low"]
    )
    first.backward()
    ratio = (sums - old_sums).exp().detach()
    free = theirs["gradient_BT"].abs().sum(1) > 0  # those whose ratio TRL's clip does not hold back
    assert free.any() and not free.all()
    assert_close((token_leaf.grad * length * ratio)[free], theirs["gradient_BT"][free], dtype)


def test_whitening() -> None:
    """TRL divides by the sample variance (ddof 1), we and lm-human-preferences by the population's: a factor
    of sqrt((n - 1) / n) on the deviation.
    """
    given, theirs = read("whiten", torch.float64)
    n, mask = int(given["mask_BT"].sum()), given["mask_BT"]
    factor = ((n - 1) / n) ** 0.5
    torch.testing.assert_close(
        masked_whiten(given["x_BT"], mask) * factor, theirs["whitened_BT"] * mask, rtol=1e-6, atol=1e-7
    )
    mean = (given["x_BT"] * mask).sum() / n
    kept = masked_whiten(given["x_BT"], mask, shift_mean=False)
    torch.testing.assert_close(
        ((kept - mean) * factor + mean) * mask, theirs["mean_kept_BT"] * mask, rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize("name", named("ppo/rollout_"))
def test_ppo_rewards_and_advantages(name: str) -> None:
    """TRL puts the score one position behind the last token, on a pad token, and has the value model learn a
    value there: its episode is one token longer than the completion, and with gamma or lambda below 1 the
    score reaches every token weaker. Ours stands on the last token (the end token, if one was written).
    Penalty, GAE and returns are the same on the same mask and rewards; whitening differs by ddof (see above).
    """
    given, theirs = read(name, torch.float64)
    mask, longer = (~given["padding_mask"]).long(), (~given["padding_mask_p1"]).long()
    assert (longer.sum(1) > mask.sum(1)).any() and (mask.sum(1) < mask.shape[1]).any()
    ours = kl_shaped_rewards(
        given["scores"], given["logprobs"], given["ref_logprobs"], mask, kl_coef=given["kl_coef"]
    )
    last = torch.zeros_like(ours).scatter(1, mask.sum(1, keepdim=True) - 1, given["scores"][:, None])
    beyond = torch.zeros_like(ours).scatter(1, longer.sum(1, keepdim=True) - 1, given["scores"][:, None])
    kl = kl_estimate(given["logprobs"], given["ref_logprobs"], estimator=given["kl_estimator"])
    assert_close(kl * mask, theirs["kl"], torch.float64, recorded=torch.float32)
    if given["kl_estimator"] == "k1":
        assert_close(ours - last + beyond, theirs["rewards"], torch.float64, recorded=torch.float32)
    else:  # whitened with ddof 1 over the longer episode, mean kept
        rewards, n = beyond - given["kl_coef"] * kl * mask, int(longer.sum())
        mean = (rewards * longer).sum() / n
        assert_close(
            ((masked_whiten(rewards, longer, shift_mean=False) - mean) * ((n - 1) / n) ** 0.5 + mean)
            * longer,
            theirs["rewards"],
            torch.float64,
            recorded=torch.float32,
        )
    advantages, returns = gae(
        theirs["rewards"], given["values"], longer, gamma=given["gamma"], lam=given["lam"]
    )
    assert_close(returns, theirs["returns"] * longer, torch.float64, recorded=torch.float32)
    whitened, n = masked_whiten(advantages, mask), int(mask.sum())
    assert_close(whitened * ((n - 1) / n) ** 0.5, theirs["advantages"], torch.float64, recorded=torch.float32)


@pytest.mark.parametrize("name", named("ppo/update_"))
def test_ppo_losses(name: str) -> None:
    """TRL takes the mean over the tokens of a micro-batch; with the same token count as denominator ours are
    the same. Its value loss counts the token behind the end as well (see above).
    """
    given, theirs = read(name, torch.float64)
    mask, longer = (~given["padding_mask"]).long(), (~given["padding_mask_p1"]).long()
    loss, metrics = ppo_policy_loss(
        given["new_logprobs"],
        given["mb_logprobs"],
        given["mb_advantage"],
        mask,
        cliprange=given["cliprange"],
        denominator=mask.sum(),
    )
    assert_close(loss, theirs["pg_loss"], torch.float64, recorded=torch.float32)
    if name.endswith("_0"):
        assert_close(metrics["val/ratio"], 1.0, torch.float64, recorded=torch.float32)
    else:
        assert metrics["policy/clipfrac_avg"] > 0, "the case does not reach the clip"
    loss, metrics = ppo_value_loss(
        given["vpred"],
        given["mb_values"],
        given["mb_return"],
        longer,
        cliprange_value=given["cliprange_value"],
        denominator=longer.sum(),
    )
    assert_close(loss, theirs["vf_loss"], torch.float64, recorded=torch.float32)
    assert_close(metrics["val/clipfrac_avg"], given["vf_clipfrac"], torch.float64, recorded=torch.float32)
