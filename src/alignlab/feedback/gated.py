"""Two reward models behind one judge: safety where it is in danger, helpfulness elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from ..records import Completion, Score
from . import Judge, ScoreJudge, sigmoid


class GatedJudge(ScoreJudge):
    """The safety score where its model finds a completion unsafe, the helpfulness score elsewhere (Touvron et al. 2023, section 3.2.3).

        R = R_safe if sigmoid(raw R_safe) < threshold else R_helpful

    Each standardised by its own model's mean and deviation; the paper gates on prompts tagged as safety prompts too, and whitens the
    logits of the combination over a batch. The raw scores need a zero that means something: train both models with `center`.

    Args:
        helpful, safe: reward models as judges; the second reports its `raw` score beside the standardised one.
        threshold: below this probability of being safe, safety decides.
    """

    def __init__(self, helpful: Judge, safe: Judge, *, threshold: float = 0.15) -> None:
        super().__init__(f"gated:{helpful.name},{safe.name}")
        self.helpful, self.safe, self.threshold = helpful, safe, threshold

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        pairs = zip(self.helpful.score(completions), self.safe.score(completions), strict=True)
        return [self._gate(helpful, safe) for helpful, safe in pairs]

    def _gate(self, helpful: Score, safe: Score) -> Score:
        unsafe = sigmoid(safe.parts["raw"]) < self.threshold
        return Score(safe.value if unsafe else helpful.value, {"helpful": helpful.value, "safe": safe.value, "unsafe": float(unsafe)})
