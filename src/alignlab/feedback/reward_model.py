"""A reward model as a judge."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..models.batch import chunks
from ..models.chat import as_written
from ..models.forward import laid_out, last_scores
from ..models.policy import RewardModel
from ..records import Completion, Score
from . import ScoreJudge


class RewardModelJudge(ScoreJudge):
    """Scores prompt and completion at the last token that was really written.

    Special tokens inside an answer are read as such where the policy wrote them, and as text where it
    spelled them out. An unfinished completion has no end token, so it is read at its last word, as it is.
    `value` is standardized with the mean and deviation saved in the model (unless `normalize` is off); the
    raw score is in `parts`.
    """

    def __init__(
        self, reward_model: RewardModel, *, normalize: bool = True, batch_tokens: int = 4096
    ) -> None:
        super().__init__(f"reward:{reward_model.name}")
        self.reward_model, self.normalize, self.batch_tokens = reward_model, normalize, batch_tokens

    @torch.inference_mode()
    def score(self, completions: Sequence[Completion]) -> list[Score]:
        rm = self.reward_model
        rows = [as_written(rm.tokenizer, c) for c in completions]
        raw = [0.0] * len(rows)
        training = rm.model.training
        rm.model.eval()
        for chunk in chunks(rows, self.batch_tokens):
            scores = last_scores(rm.model, laid_out(rm.model, [rows[i] for i in chunk], rm.pad_id))
            for i, value in zip(chunk, scores.tolist(), strict=True):
                raw[i] = value
        rm.model.train(training)
        mean, std = 0.0, 1.0
        if self.normalize:
            mean, std = rm.mean, rm.std
        return [Score((value - mean) / std, {"raw": value}) for value in raw]
