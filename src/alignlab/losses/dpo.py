"""Direct preference optimization."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid, relu

from .masked import check_same_shape, token_mean

DPO_LOSSES = ("sigmoid", "sigmoid_norm", "hinge", "ipo", "robust")


def dpo_loss(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    ref_chosen_logps: Tensor,
    ref_rejected_logps: Tensor,
    *,
    beta: float = 0.1,
    loss_type: str = "sigmoid",
    label_smoothing: float = 0.0,
    chosen_lengths: Tensor | None = None,
    rejected_lengths: Tensor | None = None,
    label_B: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Losses on the margin between implicit rewards, one per comparison.

        h = log [pi(chosen) / ref(chosen)] - log [pi(rejected) / ref(rejected)]
        sigmoid: -(1 - e) log sigmoid(beta h) - e log sigmoid(-beta h)      Rafailov et al. 2023, equation 7
                                                                            with e: Mitchell 2023 (cDPO),
                                                                            equation 3
        sigmoid_norm: the same, each log-ratio divided by its completion's token count
                                                                Lambert et al. 2024 (Tulu 3), section 5
        hinge:   max(0, 1 - beta h)            Zhao et al. 2023 (SLiC-HF), equation 4, on the log-ratio
        ipo:     (h - 1 / (2 beta))^2                                       Azar et al. 2023, equation 17
        robust:  [-(1 - e) log sigmoid(beta h) + e log sigmoid(-beta h)] / (1 - 2 e)
                                                                Chowdhury et al. 2024, equation 12

    A soft label l is the probability that the chosen completion is the better one. With L(h) the loss above,

        L_l(h) = l L(h) + (1 - l) L(-h)        Bai et al. 2022 (Constitutional AI), section 4.1; Mitchell 2023

    which for sigmoid is -l log sigmoid(beta h) - (1 - l) log sigmoid(-beta h), least where sigmoid(beta h) =
    l: cDPO with an e of each pair's own. For ipo it is (h - (2 l - 1) / (2 beta))^2 and a constant: the
    margin that is steered for shrinks with the label. hinge's least point jumps from one side to the other at
    l = 1/2 and says nothing of the probability, so it takes none.

    IPO here is the paper's: h is made of sums over tokens, and 1 / (2 beta) is the margin in nats a
    comparison that it steers for. TRL divides each log-ratio by its length first, so that its margin is in
    nats per token and its beta means another thing: handing mean log-probabilities to this function gives
    TRL's numbers.

    Args:
        *_logps: (B,) log-probability of the completion, summed over its tokens, in nats.
        beta: temperature; larger keeps the policy nearer to the reference.
        label_smoothing: e, the share of labels taken to be flipped; below 0.5 for `robust`.
        *_lengths: (B,) tokens of each completion, 1 or more, with its end token; for `sigmoid_norm`, and for
            no other.
        label_B: (B,) soft labels l, from 0 to 1; None is 1 for every comparison. Not for `hinge`.

    Returns:
        losses (B,), and the detached implicit rewards beta log(pi / ref) of chosen and rejected, (B,) each;
        for `sigmoid_norm` over the length, as the loss sees them.

    Raises:
        ValueError: an unknown loss_type, or a label_smoothing, labels or lengths that it cannot use.
    """
    check_same_shape(
        policy_chosen_logps=policy_chosen_logps,
        policy_rejected_logps=policy_rejected_logps,
        ref_chosen_logps=ref_chosen_logps,
        ref_rejected_logps=ref_rejected_logps,
        **({} if label_B is None else {"label_B": label_B}),
    )
    chosen, rejected = policy_chosen_logps - ref_chosen_logps, policy_rejected_logps - ref_rejected_logps
    if loss_type == "sigmoid_norm":
        if chosen_lengths is None or rejected_lengths is None:
            raise ValueError(
                "sigmoid_norm divides by the lengths of the completions: give chosen_lengths and "
                "rejected_lengths"
            )
        chosen, rejected = token_mean(chosen, chosen_lengths), token_mean(rejected, rejected_lengths)
    elif chosen_lengths is not None or rejected_lengths is not None:
        raise ValueError(f"lengths have no meaning for loss_type {loss_type!r}")
    h = chosen - rejected
    losses = _losses(h, beta, loss_type, label_smoothing)
    if label_B is not None:  # L_l(h) = l L(h) + (1 - l) L(-h)
        if loss_type == "hinge":
            raise ValueError("soft labels have no meaning for loss_type 'hinge'")
        losses = label_B * losses + (1 - label_B) * _losses(-h, beta, loss_type, label_smoothing)
    return losses, (beta * chosen).detach(), (beta * rejected).detach()


def better_nll(
    chosen_logps: Tensor,
    rejected_logps: Tensor,
    chosen_lengths: Tensor,
    rejected_lengths: Tensor,
    *,
    label_B: Tensor | None = None,
) -> Tensor:
    """Negative log-likelihood of the better completion, in nats per token, one a comparison: what stands
    beside DPO's loss, times a weight, so that chosen completions stay likely.

        NLL = -(1 / |y|) log pi(y | x),  y the chosen one          Pang et al. 2024 (RPO), equation 1, which
        L = L_DPO + a NLL                                          weighs the other term: a is 1 / alpha there

    Llama 3 takes a = 0.2 (Grattafiori et al. 2024, section 4.1.4). With a soft label l, which of the two is
    the better one is not known, and this is the mean over both: l NLL(chosen) + (1 - l) NLL(rejected). Each
    comparison weighs the same; TRL's `rpo_alpha` and its loss "sft" take the mean over all tokens of the
    chosen completions of a micro-batch together, where long ones weigh more.

    Args:
        *_logps: (B,) log-probability of the completion, summed over its tokens, in nats.
        *_lengths: (B,) tokens of each completion, 1 or more, with its end token.
        label_B: (B,) soft labels, from 0 to 1; None is 1 for every comparison.

    Returns:
        (B,), with its gradient.

    Raises:
        ValueError: shapes that differ, or a completion of no tokens.
    """
    chosen, rejected = token_mean(chosen_logps, chosen_lengths), token_mean(rejected_logps, rejected_lengths)
    if label_B is None:
        return -chosen
    check_same_shape(chosen_logps=chosen_logps, label_B=label_B)
    return -label_B * chosen - (1 - label_B) * rejected


def _losses(h: Tensor, beta: float, loss_type: str, label_smoothing: float) -> Tensor:
    """L(h) of each comparison, for a chosen completion that is surely the better one."""
    if loss_type in ("sigmoid", "sigmoid_norm"):  # Rafailov et al. 2023, (7); with e: Mitchell 2023, (3)
        return -(1 - label_smoothing) * logsigmoid(beta * h) - label_smoothing * logsigmoid(-beta * h)
    if loss_type == "robust":  # Chowdhury et al. 2024, (12)
        if not 0 <= label_smoothing < 0.5:
            raise ValueError(f"robust DPO needs a label_smoothing from 0 to below 0.5, not {label_smoothing}")
        return (-(1 - label_smoothing) * logsigmoid(beta * h) + label_smoothing * logsigmoid(-beta * h)) / (
            1 - 2 * label_smoothing
        )
    if label_smoothing:
        raise ValueError(f"label_smoothing has no meaning for loss_type {loss_type!r}")
    if loss_type == "hinge":  # Zhao et al. 2023, (4)
        return relu(1 - beta * h)
    if loss_type == "ipo":  # Azar et al. 2023, (17)
        return (h - 1 / (2 * beta)).square()
    raise ValueError(f"loss_type {loss_type!r} is not one of {', '.join(DPO_LOSSES)}")
