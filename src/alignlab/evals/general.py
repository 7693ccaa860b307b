"""Whether a model still is what it was outside of what it is taught: a few plain questions, answered
greedily, and the loss on a page of plain text.

Asked before and after training and kept in the summary, where the rules of `alignlab.health.rules` look at
them: a held-out loss falls just as well while everything else is lost. The questions and the page are in
English, and our own (`general.json`).
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.resources import files
from itertools import islice
from typing import Any

from ..errors import UserError
from ..models.policy import Policy, context_of
from ..records import Prompt, Text
from ..sampling import Sampling
from ..sampling.local import LocalSampler
from ..text.repetition import repetition
from ..text.rouge import words
from .likelihood import text_loss

NEW_TOKENS = 48  # of an answer: a loop shows in as many
MOST_TEXT = 512  # tokens of the page that are read
SEEN = 200  # texts that the share of other scripts is taken over


def measure(policy: Policy) -> tuple[dict[str, float], list[dict[str, str]]]:
    """Figures of a policy as it is now, and what it answered, question by question. The same weights give the
    same.

    Figures: `text_loss`, nats per token of the page; `right`, the share of ten questions of fact whose answer
    holds the word it should; of all answers the means of `repetition` (share of three-word sequences that
    were there before in the answer) and `other_script` (share of letters that are not Latin), and `empty`, the
    share without a word. Figures that this model cannot give are left out (a context too short for a question, a
    state that cannot be sampled from in slots).
    """
    page, facts, questions = _asked()
    figures: dict[str, float] = {}
    answers: list[dict[str, str]] = []
    with _as_it_was(policy.model):
        try:
            policy.model.eval()
            (loss,) = text_loss(policy, [Text(page)], min(MOST_TEXT, context_of(policy.model))).values()
            figures["text_loss"] = loss
            sampler = LocalSampler.of(policy, slots=len(questions))
            asked = [Prompt.user(question) for question in questions]
            if not all(sampler.has_room(prompt, NEW_TOKENS) for prompt in asked):
                return figures, answers
            groups = sampler.sample(asked, Sampling(max_new_tokens=NEW_TOKENS, temperature=0.0))
            texts = [group[0].text for group in groups]
            sampler.close()
        except UserError:  # the stage itself says what is wrong with a model that it cannot work with
            return figures, answers
    right = 0
    for question, text in zip(questions, texts, strict=True):
        right += not facts.get(question, set()).isdisjoint(words(text))
        answers.append({"question": question, "answer": text})
    figures |= {
        "right": right / len(facts),
        "repetition": sum(map(repetition, texts)) / len(texts),
        "other_script": other_script(texts),
        "empty": sum(not text.strip() for text in texts) / len(texts),
    }
    return figures, answers


def other_script(texts: Sequence[str]) -> float:
    """The share of the letters that are not Latin; 0 where there are none."""
    letters = [char for text in islice(texts, SEEN) for char in text if char.isalpha()]
    return sum(not unicodedata.name(char, "").startswith("LATIN") for char in letters) / max(1, len(letters))


@lru_cache(maxsize=1)
def _asked() -> tuple[str, dict[str, set[str]], list[str]]:
    """The page; the words of which one answers each question of fact; and all questions."""
    read = json.loads(files("alignlab.evals").joinpath("general.json").read_text(encoding="utf-8"))
    facts = {question: set(answers.split()) for question, answers in read["facts"]}
    return read["text"], facts, [*facts, *read["open"]]


@contextmanager
def _as_it_was(model: Any) -> Iterator[None]:
    """Mode and attention of the model are afterwards what they were: the sampler takes another attention than
    training does.
    """
    bare = model.get_base_model() if hasattr(model, "get_base_model") else model
    training, attention = model.training, bare.config._attn_implementation
    try:
        yield
    finally:
        model.train(training)
        bare.set_attn_implementation(attention)
