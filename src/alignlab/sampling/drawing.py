"""One token per row from logits: temperature, top-p, inverse CDF."""

from __future__ import annotations

import torch
from torch import Tensor

# a temperature below is taken for this one: all but the likeliest token have no probability left, and logits
# stay finite
COLDEST = 1e-6
NUCLEUS = 512  # likeliest tokens looked at before the whole vocabulary is sorted for top-p


def draw(
    logits_NV: Tensor, uniforms_N: Tensor, *, temperature: float = 1.0, top_p: float = 1.0
) -> tuple[Tensor, Tensor]:
    """One token per row by inverse CDF, and its log-probability under the distribution it was drawn from.

    The CDF runs in the order of the vocabulary, with or without top-p, so that tokens of equal probability
    have a fixed place.

    Args:
        logits_NV: (N, V), of any precision; the work is done in fp32.
        uniforms_N: (N,) fp32 in [0, 1).
        temperature: 0 takes the likeliest token; its log-probability is then the one at temperature 1.

    Returns:
        ids (N,) and log-probabilities (N,), fp32; not finite where the logits are not.
    """
    if temperature not in (0, 1):
        logits_NV = logits_NV.float() / max(temperature, COLDEST)
    probs_NV = logits_NV.softmax(-1, dtype=torch.float32)
    if temperature == 0:
        probs_N, ids_N = probs_NV.max(-1)
        return ids_N, probs_N.log()
    if top_p < 1:
        probs_NV = nucleus(probs_NV, top_p)
    cdf_NV = probs_NV.cumsum(-1)
    mass_N1 = cdf_NV[:, -1:]
    # A uniform of 24 bits is at most 1 - 2^-24, so its product with the mass rounds to less than the mass:
    # the first entry of the CDF above it exists, and it belongs to a token of probability above 0.
    ids_N1 = torch.searchsorted(cdf_NV, uniforms_N[:, None] * mass_N1, right=True)
    ids_N1.clamp_(max=probs_NV.shape[-1] - 1)  # a CDF of nan has no such entry
    return ids_N1.squeeze(1), (probs_NV.gather(1, ids_N1) / mass_N1).log().squeeze(1)


def nucleus(probs_NV: Tensor, top_p: float) -> Tensor:
    """Probabilities with 0 outside the nucleus, not renormalized (Holtzman et al. 2020, section 3.1).

    The nucleus is the smallest set of likeliest tokens with at least `top_p` of the probability; tokens as
    likely as the last one of it belong to it too.
    """
    ordered_NK = probs_NV.topk(min(NUCLEUS, probs_NV.shape[-1])).values
    mass_NK = ordered_NK.cumsum(-1)
    if (mass_NK[:, -1] < top_p).any():
        ordered_NK = probs_NV.sort(-1, descending=True).values
        mass_NK = ordered_NK.cumsum(-1)
    last_N1 = (mass_NK < top_p).sum(-1, keepdim=True).clamp(max=ordered_NK.shape[-1] - 1)
    return probs_NV * (probs_NV >= ordered_NK.gather(-1, last_N1))
