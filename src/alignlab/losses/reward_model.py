"""Losses of reward models."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid

from .masked import check_same_shape


def bradley_terry_loss(chosen_B: Tensor, rejected_B: Tensor, *, margin_B: Tensor | None = None, center: float = 0.0,
                       label_smoothing: float = 0.0) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean negative log-likelihood of comparisons under Bradley and Terry (1952); Ouyang et al. 2022, equation 1.

        z = r_chosen - r_rejected - margin
        L = mean( -(1 - e) log sigmoid(z) - e log sigmoid(-z) ) + center mean( (r_chosen + r_rejected)^2 )

    Args:
        chosen_B, rejected_B: (B,) scores of the preferred and the other completion.
        margin_B: (B,) how much better the chosen one has to be (Touvron et al. 2023, equation 2).
        center: weight of the term that keeps scores near 0 (Eisenstein et al. 2023).
        label_smoothing: e, the share of labels taken to be wrong.

    Returns:
        The mean loss, and `accuracy` (ties count half), `margin`, `min_reward`, `mean_reward`, `max_reward`.
    """
    check_same_shape(chosen_B=chosen_B, rejected_B=rejected_B, **({} if margin_B is None else {"margin_B": margin_B}))
    margin = chosen_B - rejected_B
    z = margin if margin_B is None else margin - margin_B
    loss = -(1 - label_smoothing) * logsigmoid(z) - label_smoothing * logsigmoid(-z)
    total = loss.mean()
    if center:
        total = total + center * (chosen_B + rejected_B).square().mean()
    both = (chosen_B.detach() + rejected_B.detach()) / 2
    return total, {
        "accuracy": ((margin.detach().sign() + 1) / 2).mean(),
        "margin": margin.detach().mean(), "mean_reward": both.mean(),
        "min_reward": chosen_B.detach().minimum(rejected_B.detach()).min(),
        "max_reward": chosen_B.detach().maximum(rejected_B.detach()).max(),
    }
