"""The weights of the refusal classifier: what they make of features, and how they are read from their
file.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ModelError
from ...text.documents import from_json, read_text
from .. import sigmoid
from .features import DENSE, Reading, key_of

HERE = Path(__file__).parent
LETTERS = re.compile(r"[^a-z]+")
LETTER_SPREAD = 1.3  # standard deviation of one letter's log-probability, in nats


def letter_pairs(text: str) -> np.ndarray:
    """Counts (27, 27) of neighbouring letters, space being 0, in lower case."""
    codes = np.frombuffer(LETTERS.sub(" ", text.lower()).encode(), dtype=np.uint8).astype(int)
    codes = np.where(codes == 32, 0, codes - 96)
    if len(codes) < 2:
        return np.zeros((27, 27), dtype=int)
    return np.bincount(codes[:-1] * 27 + codes[1:], minlength=729).reshape(27, 27)


@dataclass
class Weights:
    """What `benchmarks/refusal/train_refusal.py` writes: for each n-gram and cue a weight for "refuses" and
    one for "in part", two biases, and the table of letters.
    """

    keys: np.ndarray  # (n,) uint32, ascending
    grams: np.ndarray  # (n, 2)
    dense: np.ndarray  # (DENSE, 2)
    bias: np.ndarray  # (2,)
    letters: np.ndarray  # (27, 27) log P(next letter | letter)
    card: dict[str, Any]

    @cached_property
    def table(self) -> dict[int, tuple[float, float]]:
        return {int(key): (float(a), float(b)) for key, (a, b) in zip(self.keys, self.grams, strict=True)}

    def logits(self, reading: Reading) -> tuple[float, float, int]:
        """Log-odds of refusing at all, of refusing in part only given that it refuses, and how many of the
        n-grams are known.
        """
        first, second = map(float, self.bias + np.asarray(reading.dense) @ self.dense)
        scale, known = 1 / math.sqrt(max(1, len(reading.grams))), 0
        for gram in sorted(reading.grams):  # a sum in the same order in every process has the same last bits
            if (pair := self.table.get(key_of(gram))) is not None:
                first, second, known = first + scale * pair[0], second + scale * pair[1], known + 1
        return first, second, known

    def p_refuses(self, reading: Reading) -> float:
        return sigmoid(self.logits(reading)[0])

    def letter_score(self, text: str) -> tuple[float, int] | None:
        """Mean log-probability of a letter after the one before, and of how many; None for fewer than 25, or
        where most letters are not Latin.
        """
        pairs = letter_pairs(text)
        latin = pairs[1:, :].sum()
        if latin < 25 or latin < 0.6 * sum(char.isalpha() for char in text):
            return None
        pairs[0, 0] = 0
        return float((pairs * self.letters).sum() / pairs.sum()), int(pairs.sum())

    def reads_like_words(self, text: str) -> bool:
        """Whether its letters follow each other as in sentences; a short text, as a list of foreign names, is
        given the benefit of the doubt.
        """
        score = self.letter_score(text)
        if score is None:
            return True
        mean, count = score
        return mean + LETTER_SPREAD / math.sqrt(count) >= self.card["gibberish_below"]


@cache
def shipped() -> Weights:
    """The weights that come with the package."""
    return load(HERE / "refusal.safetensors")


def load(path: Path) -> Weights:
    """Weights from a file and the card beside it. Raises ModelError where they are missing or broken."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors, card = load_file(path), from_json(read_text(path.with_suffix(".json")))
        keys = tensors["keys"]
        shapes = {"dense": (DENSE, 2), "grams": (len(keys), 2), "bias": (2,), "letters": (27, 27)}
        for name, shape in shapes.items():
            if tensors[name].shape != shape:
                raise ValueError(
                    f"{name} has other shapes than this version reads ({tensors[name].shape}, not {shape})"
                )
        grams = tensors["grams"].astype(np.float32)
        dense, bias, letters = (tensors[name].astype(np.float64) for name in ("dense", "bias", "letters"))
        return Weights(keys, grams, dense, bias, letters, card)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ModelError(
            f"the refusal classifier cannot be read: {error}",
            where=str(path),
            remedy=(
                "alignlab's own lies in the package: install it again; one of yours is written by "
                "benchmarks/refusal/train_refusal.py of its sources"
            ),
        ) from error
