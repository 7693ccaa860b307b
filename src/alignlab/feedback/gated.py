"""Two reward models behind one judge: safety where it is in danger, helpfulness elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from ..records import Completion, Prompt, Score
from . import Judge, ScoreJudge, sigmoid


class GatedJudge(ScoreJudge):
    """The safety score on prompts that are tagged as dangerous and where its model finds a completion unsafe,
    the helpfulness score elsewhere (Touvron et al. 2023, section 3.2.3).

        R = R_safe if tagged(prompt) or sigmoid(raw R_safe) < threshold else R_helpful

    Each standardized by its own model's mean and deviation; the paper whitens the logits of the combination
    over a batch. The raw scores need a zero that means something: train both models with `center`. Without
    tags a refusal of a dangerous request is paid as unhelpful, and hardly more than the help.

    Args:
        helpful, safe: reward models as judges; the second reports its `raw` score beside the standardized
            one.
        threshold: below this probability of being safe, safety decides.
    """

    def __init__(self, helpful: Judge, safe: Judge, *, threshold: float = 0.15) -> None:
        super().__init__(f"gated:{helpful.name},{safe.name}")
        self.helpful, self.safe, self.threshold = helpful, safe, threshold

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        both = zip(completions, self.helpful.score(completions), self.safe.score(completions), strict=True)
        return [self._gate(completion.prompt, helpful, safe) for completion, helpful, safe in both]

    def _gate(self, prompt: Prompt, helpful: Score, safe: Score) -> Score:
        tagged, unsafe = is_tagged(prompt), sigmoid(safe.parts["raw"]) < self.threshold
        decides = safe if unsafe or tagged else helpful
        parts = {"helpful": helpful.value, "safe": safe.value}
        return Score(decides.value, parts | {"unsafe": float(unsafe), "tagged": float(tagged)})


def is_tagged(prompt: Prompt) -> bool:
    """Whether its set says that the prompt asks for harm: `harmful` (the red-team sets), or the town's kind
    of that name.
    """
    return prompt.meta.get("harmful") is True or prompt.meta.get("kind") == "harmful"
