"""Losses of reward models: comparisons, ties, people who err, and the sign of a cost."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from .masked import check_same_shape


def bradley_terry_loss(
    chosen_B: Tensor,
    rejected_B: Tensor,
    *,
    margin_B: Tensor | None = None,
    center: float = 0.0,
    label_smoothing: float = 0.0,
    label_B: Tensor | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean negative log-likelihood of comparisons under Bradley and Terry (1952); Ouyang et al. 2022,
    equation 1.

        z = r_chosen - r_rejected - margin
        f(z) = -(1 - e) log sigmoid(z) - e log sigmoid(-z)
        L = mean( f(z) ) + center mean( (r_chosen + r_rejected)^2 )
        with soft labels:  mean( l f(z) + (1 - l) f(-z) ) in place of mean( f(z) )     Bai et al. 2022, 4.1

    The soft label l is the probability that the chosen completion is the better one; with e = 0 its loss is
    the cross-entropy -l log sigmoid(z) - (1 - l) log sigmoid(-z), least where sigmoid(z) = l. Turning a pair
    round (and its margin's sign) and l to 1 - l changes nothing.

    Args:
        chosen_B, rejected_B: (B,) scores of the preferred and the other completion.
        margin_B: (B,) how much better the chosen one has to be (Touvron et al. 2023, equation 2).
        center: weight of the term that keeps scores near 0 (Eisenstein et al. 2023).
        label_smoothing: e, the share of labels taken to be wrong.
        label_B: (B,) soft labels l, from 0 to 1; None is 1 for every comparison.

    Returns:
        The mean loss, and `accuracy` (ties count half), `margin`, `min_reward`, `mean_reward`, `max_reward`.
        With soft labels `accuracy` is the share of labels drawn from them that the scores would agree with: l
        where the chosen one is ahead, 1 - l where it is behind. Nobody can have more than the mean of max(l,
        1 - l).
    """
    check_same_shape(
        chosen_B=chosen_B,
        rejected_B=rejected_B,
        **{name: x for name, x in {"margin_B": margin_B, "label_B": label_B}.items() if x is not None},
    )
    margin = chosen_B - rejected_B
    z = margin if margin_B is None else margin - margin_B
    loss = -(1 - label_smoothing) * logsigmoid(z) - label_smoothing * logsigmoid(-z)
    if label_B is not None:
        loss = label_B * loss + (1 - label_B) * (
            -(1 - label_smoothing) * logsigmoid(-z) - label_smoothing * logsigmoid(z)
        )
    total = loss.mean()
    if center:
        total = total + center * (chosen_B + rejected_B).square().mean()
    return total, _metrics(
        chosen_B.detach(), rejected_B.detach(), torch.ones_like(margin, dtype=torch.bool), label_B
    )


def rao_kupper_logprobs(difference_B: Tensor, log_theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities of the three outcomes of a comparison after Rao and Kupper (1967): a difference below
    a threshold is not seen.

        P(first)  = p1 / (p1 + theta p2) = sigmoid(d - log theta),   P(second) = sigmoid(-d - log theta)
        P(tie)    = (theta^2 - 1) p1 p2 / ((p1 + theta p2) (theta p1 + p2)) = (theta^2 - 1) P(first) P(second)

    With p = exp(score) and d the difference of the two scores. It is exactly what somebody does who sees two
    worths through Gumbel noise and calls it a tie where they are nearer than log theta. It says nothing of
    three or more that are ranked at once: there ties chain, the first with the second and the second with the
    third, and more pairs tie than this says.

    Args:
        difference_B: (B,) score of the first less score of the second.
        log_theta: the threshold, above 0; 0 knows no ties and is Bradley and Terry. `tie_parameter` makes it
            from a share of ties.

    Returns:
        Three (B,) of log P: first, second, tie.
    """
    first_B, second_B = logsigmoid(difference_B - log_theta), logsigmoid(-difference_B - log_theta)
    return first_B, second_B, first_B + second_B + 2 * log_theta + (-torch.expm1(-2 * log_theta)).log()


def davidson_logprobs(difference_B: Tensor, log_nu: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities of the three outcomes of a comparison after Davidson (1970): a tie is worth the
    geometric mean of both.

        P(first) : P(second) : P(tie)  =  p1 : p2 : nu sqrt(p1 p2)

    Among decided comparisons P(first) / P(second) is Bradley and Terry's, whatever nu is: scores keep their
    scale.

    Args:
        difference_B: (B,) score of the first less score of the second.
        log_nu: any number; two equals tie with probability nu / (2 + nu).

    Returns:
        Three (B,) of log P: first, second, tie.
    """
    half_B = difference_B / 2
    logits_3B = torch.stack([half_B, -half_B, log_nu.expand_as(half_B)])
    first_B, second_B, tie_B = logits_3B.log_softmax(0)
    return first_B, second_B, tie_B


def tie_parameter(rate: Tensor, *, kind: str) -> Tensor:
    """The parameter of a model of ties under which two equals tie with probability `rate`, between 0 and 1.

    rao_kupper: log theta = log (1 + rate) / (1 - rate)      davidson: log nu = log 2 rate / (1 - rate)
    """
    return (
        (1 + rate).log() - (1 - rate).log() if kind == "rao_kupper" else (2 * rate).log() - (1 - rate).log()
    )


TIES = {"rao_kupper": rao_kupper_logprobs, "davidson": davidson_logprobs}


def outcome_logprobs(
    difference_B: Tensor, *, ties: str, tie_rate: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Three (B,) of log P: first, second, tie, by the model of ties named; "" is Bradley and Terry's, in
    which the third means nothing and is 0.
    """
    if not ties:
        return logsigmoid(difference_B), logsigmoid(-difference_B), torch.zeros_like(difference_B)
    assert tie_rate is not None
    return TIES[ties](difference_B, tie_parameter(tie_rate, kind=ties))


def stated_probability(
    difference_B: Tensor, *, ties: str = "", tie_rate: Tensor | None = None, flip_B: Tensor | None = None
) -> Tensor:
    """(B,) the probability that a reward model states: that a label prefers the first, given that it decides.

        q = P(first) / (P(first) + P(second)),      (1 - f) q + f (1 - q)

    P is `outcome_logprobs`, f = `flip_B` the probability that whoever labels turns a label round. Without
    either it is sigmoid(d), and Davidson's q is that as well; Rao and Kupper's is surer, sigmoid(d - log
    theta) / (sigmoid(d - log theta) + sigmoid(-d - log theta)), since what is near is called a tie.

    Args:
        difference_B: (B,) score of the first less score of the second.
        ties, tie_rate, flip_B: what the model was fitted with, as in `preference_loss`. Label smoothing and
            margins shape the fit and are no part of what is stated.
    """
    first_B, second_B, _ = outcome_logprobs(difference_B, ties=ties, tie_rate=tie_rate)
    first_B = (first_B - second_B).sigmoid()
    if flip_B is None:
        return first_B
    return (1 - flip_B) * first_B + flip_B * (1 - first_B)


def preference_loss(
    chosen_B: Tensor,
    rejected_B: Tensor,
    *,
    tie_B: Tensor | None = None,
    ties: str = "",
    tie_rate: Tensor | None = None,
    margin_B: Tensor | None = None,
    center: float = 0.0,
    label_smoothing: float = 0.0,
    flip_B: Tensor | None = None,
    label_B: Tensor | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean negative log-likelihood of comparisons by people who tie and who err; with none of it,
    `bradley_terry_loss`.

        decided:  - (1 - e) log P(chosen) - e log P(rejected)          e = label_smoothing
                  - log ((1 - f) P(chosen) + f P(rejected))            f = flip_B
        soft:     l times the decided loss, 1 - l times that of the pair turned round     l = label_B
        tie:      - log P(tie)

    P is `rao_kupper_logprobs` or `davidson_logprobs`, and without `ties` sigmoid(chosen - rejected - margin).
    The second line with f = 1 - eta_k is CrowdBT (Chen et al. 2013, section 3), eta_k being the probability
    that annotator k labels as the scores have it: 1 is perfect, 1/2 random, 0 the contrary. Label smoothing
    fits the same mean, but pulls even a sure margin to log((1 - e) / e); the flip only says how much a label
    that goes against a sure margin is to be believed, so that its gradient vanishes there.

    Args:
        chosen_B, rejected_B: (B,) scores; of a tie, those of the two, in any order.
        tie_B: (B,) bool, where neither was preferred; needs `ties`, the name of the model, and `tie_rate`,
            the share of ties between equals.
        flip_B: (B,) or a single number, the probability that a label is turned round, by whoever gave it.
        label_B: (B,) soft labels, as in `bradley_terry_loss`; those of ties are not looked at.

    Returns:
        The mean loss, and the metrics of `bradley_terry_loss`; `accuracy` and `margin` are over decided
        comparisons, NaN where there is none.
    """
    if tie_B is not None and not ties:
        raise ValueError("ties need a model: ties='rao_kupper' or 'davidson'")
    given = {"margin_B": margin_B, "tie_B": tie_B, "label_B": label_B}
    check_same_shape(
        chosen_B=chosen_B, rejected_B=rejected_B, **{name: x for name, x in given.items() if x is not None}
    )
    difference_B = chosen_B - rejected_B
    z_B = difference_B if margin_B is None else difference_B - margin_B
    decided_B = torch.ones_like(z_B, dtype=torch.bool) if tie_B is None else ~tie_B
    right_B, wrong_B, even_B = outcome_logprobs(z_B, ties=ties, tie_rate=tie_rate)

    def likelihood(yes_B: Tensor, no_B: Tensor) -> Tensor:
        if flip_B is None:
            return (1 - label_smoothing) * yes_B + label_smoothing * no_B
        return torch.logaddexp(torch.log1p(-flip_B) + yes_B, flip_B.log() + no_B)

    likelihood_B = likelihood(right_B, wrong_B)
    if label_B is not None:
        likelihood_B = label_B * likelihood_B + (1 - label_B) * likelihood(wrong_B, right_B)
    total = -torch.where(decided_B, likelihood_B, even_B).mean()
    if center:
        total = total + center * (chosen_B + rejected_B).square().mean()
    return total, _metrics(chosen_B.detach(), rejected_B.detach(), decided_B, label_B)


def safety_loss(scores_N: Tensor, safe_N: Tensor) -> Tensor:
    """The sign term of a cost model, mean over N completions (Safe RLHF, Dai et al. 2023, the cost model's
    loss): a cost of 0 is where safe becomes unsafe.

        L = mean( - log sigmoid(s C) ),   C = - score,   s = 1 where unsafe, -1 where safe

    Dai et al. add log sigmoid(s C) of both completions of a comparison: twice this mean. sigmoid(C) is then
    the probability that a completion is unsafe.

    Args:
        scores_N: (N,) scores; the cost is their negative, so that higher is better here as everywhere.
        safe_N: (N,) bool.
    """
    return -logsigmoid(torch.where(safe_N, scores_N, -scores_N)).mean()


def _metrics(
    chosen_B: Tensor, rejected_B: Tensor, decided_B: Tensor, label_B: Tensor | None
) -> dict[str, Tensor]:
    margin_B = (chosen_B - rejected_B)[decided_B]
    right_B = (margin_B.sign() + 1) / 2
    if label_B is not None:
        right_B = label_B[decided_B] * right_B + (1 - label_B[decided_B]) * (1 - right_B)
    return {
        "accuracy": right_B.mean(),
        "margin": margin_B.mean(),
        "mean_reward": ((chosen_B + rejected_B) / 2).mean(),
        "min_reward": chosen_B.minimum(rejected_B).min(),
        "max_reward": chosen_B.maximum(rejected_B).max(),
    }
