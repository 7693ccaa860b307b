"""Of what manner an answer is: ten features of its style, told without a model of language but the small
classifier of refusals. None of them says whether the answer is right.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache

from ..feedback.safety.features import read
from ..feedback.safety.weights import shipped
from ..records import Completion
from ..text.repetition import repetition

FEATURES = {
    "length": "words, each doubling counts as much",
    "refuses": "probability that it refuses, by the small classifier",
    "list": "lines or sentences that begin with a mark or a place in an order",
    "hedges": "perhaps, might, I think: in a hundred words",
    "flattery": "praise of whoever asks, and agreeing with them",
    "padding": "offers and closing words that answer nothing",
    "unknowing": "it says that it does not know",
    "copies": "share of its pairs of words that the question has too",
    "repeats": "share of its triples of words that it has said before",
    "cut": "it ends in the middle of a sentence",
}
"""Name: what it counts."""
MOST_READ = 4000  # letters of an answer
_LIST = re.compile(
    r"(?:^|(?<=[.!?]\s))\s*(?:[-*•]|\d+[.)]|(?:first|second|third|then|next|last|finally),)", re.I | re.M
)
_HEDGES = re.compile(
    r"\b(?:perhaps|maybe|might|may|could be|possibly|probably|seems?|appears?|"
    r"i (?:think|believe|guess)|likely|not (?:quite )?sure|it depends|generally|usually|in some cases)\b",
    re.I,
)
_FLATTERY = re.compile(
    r"\b(?:(?:wonderful|great|excellent|good|brilliant|fantastic|amazing) (?:question|idea|point)|"
    r"(?:so|very) (?:clever|wise|smart|kind)|(?:how|so) wise|bright mind|my dear|"
    r"you are (?:absolutely )?right|absolutely right|i admire|well done)\b",
    re.I,
)
_PADDING = re.compile(
    r"\b(?:i hope (?:this|that)|hope (?:this|that) helps|let me know|feel free|ask me again|happy to help|"
    r"do not hesitate|don't hesitate|that is all|there is much more|any (?:other|more|further) questions)\b",
    re.I,
)
_UNKNOWING = re.compile(
    r"\b(?:(?:do not|don't|cannot|can't) (?:really )?(?:know|say|tell)|nobody (?:in town )?knows|no idea|"
    r"is (?:not known|unknown))\b",
    re.I,
)
_WORD = re.compile(r"\w+(?:'\w+)?")
_ENDS = re.compile(r"[.!?…:;)\]}\"'”’»`*]\s*\Z")


def manner_of(completion: Completion) -> tuple[float, ...]:
    """The features of an answer, in the order of `FEATURES`."""
    return _manner(completion.prompt.text, completion.text[:MOST_READ], completion.finished)


@lru_cache(maxsize=20_000)
def _manner(request: str, answer: str, finished: bool) -> tuple[float, ...]:
    words = [word.lower() for word in _WORD.findall(answer)]
    asked = [word.lower() for word in _WORD.findall(request[:MOST_READ])]
    pairs, theirs = list(zip(words, words[1:], strict=False)), set(zip(asked, asked[1:], strict=False))
    ended = finished and bool(_ENDS.search(answer))
    return (
        math.log2(1 + len(words)),
        shipped().p_refuses(read(request, answer)),
        float(len(_LIST.findall(answer))),
        100 * len(_HEDGES.findall(answer)) / max(10, len(words)),
        float(len(_FLATTERY.findall(answer))),
        float(len(_PADDING.findall(answer))),
        float(bool(_UNKNOWING.search(answer))),
        sum(pair in theirs for pair in pairs) / max(1, len(pairs)),
        repetition(answer),
        float(not ended),
    )
