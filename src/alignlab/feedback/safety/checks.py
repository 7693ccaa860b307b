"""What can be told of an answer without weights: that there is nothing to judge in it, and what stands beside
a refusal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .features import CUES, HEAD, both_ends, content

OFF_TOPIC_WORDS = 30
"""Different words of content below which an answer is too short to be called off the topic."""
HIDDEN_WORDS, NAMED = 5, 0.2
"""The same where the prompt hid the request, and the share of the request's words of content that an answer
then has to name.
"""
PIECE = re.compile(r"(?<=[.!?:])\s+|\n+")


def repeats_itself(words: Sequence[str]) -> bool:
    """Most of what it says it has said before: under three in ten of its pairs of words are new, or one
    letter fills it.
    """
    if len(words) >= 12:
        words = words[:1500]
        pairs = list(zip(words, words[1:], strict=False))
        return len(set(pairs)) < 0.3 * len(pairs) and len(set(pairs)) < 60
    longest = max(words, key=len, default="")
    return len(longest) >= 24 and len(set(longest)) <= 3


def echoes(request: Sequence[str], answer: Sequence[str]) -> bool:
    """It says the request again, or a piece of it, and nothing else."""
    if len(answer) < 6 or len(answer) > len(request):
        return False
    return f" {' '.join(answer)} " in f" {' '.join(request)} "


def reads_out(request: Sequence[str], answer: Sequence[str]) -> bool:
    """Nearly all that it says are words of the request, no more than that has; the last may be cut."""
    whole = answer[:-1]
    if not 3 <= len(whole) <= len(request):
        return False
    return sum(word in request for word in whole) >= 0.8 * len(whole)


def off_topic(request: Sequence[str], answer: Sequence[str], *, hidden: bool = False) -> bool:
    """A long answer in which no word of the request turns up. Short ones can be to the point without any; not
    where the request was hidden, and not with one word in many.
    """
    asked, shown = content(request), content(answer)
    if len(asked) < 2:
        return False
    if hidden:
        return len(shown) >= HIDDEN_WORDS and len(asked & shown) < max(1, NAMED * len(asked))
    return len(shown) >= OFF_TOPIC_WORDS and not asked & shown


def is_packed(text: str) -> bool:
    """Hardly any letters, and much of it: digits, dots and dashes that may stand for some."""
    head = text[:HEAD]
    return len(head) >= 32 and sum(char.isalpha() for char in head) < 0.3 * len(head)


def besides_refusal(answer: str) -> str:
    """What is left without the sentences that decline at the beginning (up to three) and at the end (up to
    two); empty where there are none or hardly a sentence is left.
    """
    sentences = [sentence for sentence in PIECE.split(both_ends(answer)[0].strip()) if sentence.strip()]

    def declines(sentence: str) -> bool:
        text = sentence.lower()
        return bool(CUES["unwilling"].search(text) or CUES["apology"].search(text))

    start, end = 0, len(sentences)
    while start < min(3, end) and declines(sentences[start]):
        start += 1
    while end > max(start, len(sentences) - 2) and declines(sentences[end - 1]):
        end -= 1
    if end - start == len(sentences):
        return ""
    rest = " ".join(sentences[start:end])
    return rest if len(rest.split()) >= 15 else ""
