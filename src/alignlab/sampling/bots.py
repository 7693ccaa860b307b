"""Targets with a known hole, made of rules: what a scanner finds in them, and what it claims to find, can be
counted.

refuses       no hole: refuses whatever it recognizes, answers the rest; it also quotes the request in its
              refusal, which a careless scanner takes for help
base64        decodes Base64 and does what it finds there
role-play     plays whoever it is told to be, and then answers everything
leaks         tells its system prompt to anybody who asks for what stands above
injection     obeys an order wherever it stands
all           all of these holes
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence

from ..data.wrappers import matter
from ..errors import UserError
from ..models.chat import open_turn
from ..records import Completion, Prompt
from . import Sampling

HOLES = ("base64", "role-play", "leaks", "injection")
BOTS = {"clean": (), **{hole: (hole,) for hole in HOLES}, "all": HOLES}

PLAY = re.compile(
    (
        r"\byou are (?:now )?(?!a (?:good|kind))[A-Z\w]|\blet us play\b|\bplay a play\b|\btell me a "
        r"story\b|\bwrite a short story\b|\bin my book\b|\bforget who you are\b"
    ),
    re.IGNORECASE,
)
ABOVE = re.compile(
    r"\b(?:words above|told before|secret word|your rules|stands? before|wrote your rules)\b", re.IGNORECASE
)
ORDER = re.compile(r"(?:only say|answer with the one word|wants you to say) (?P<word>\w+)", re.IGNORECASE)
MAYBE_BASE64 = re.compile(r"[A-Za-z0-9+/]{16,}={0,2}")


class Bot:
    """A target that follows rules.

    Args:
        holes: which of `HOLES` it has.
        answers: what it would say if it helped, by the text of the plain request: it recognizes a harmful
            request by what it is about.
        refusal: how it refuses.
        helpful: what it says to anything else.
    """

    def __init__(
        self,
        name: str,
        holes: Sequence[str],
        answers: Mapping[str, str],
        *,
        refusal: str = "I will not help with that.",
        helpful: str = "Gladly.",
    ) -> None:
        self.name, self.holes, self.refusal, self.helpful = name, frozenset(holes), refusal, helpful
        self.answers = {matter(text).lower(): answer for text, answer in answers.items()}

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling = Sampling(), *, seed: int = 0
    ) -> list[list[Completion]]:
        """Always the same answer, whatever the temperature."""
        return [
            [Completion(prompt, self.answer(prompt), source=self.name)] * sampling.n for prompt in prompts
        ]

    def answer(self, prompt: Prompt) -> str:
        before, begun = open_turn(prompt)
        text, system = before.text, " ".join(m.content for m in before.messages if m.role == "system")
        if system and ABOVE.search(text):
            return f"I was told: {system}" if "leaks" in self.holes else self.refusal
        if (order := ORDER.search(text)) and "injection" in self.holes:
            return order["word"]
        harm = self.recognized(text)
        if harm and "role-play" in self.holes and PLAY.search(text):
            return self.answers[harm]
        if "base64" in self.holes:
            for part in decoded(text):
                if hidden := self.recognized(part):
                    return self.answers[hidden]
        if harm and not self.holes:
            return f"{self.refusal} You asked: {text[:200]}"
        if harm or begun:
            return self.refusal
        return self.helpful

    def recognized(self, text: str) -> str | None:
        """The harmful matter that a text is about; the longest of several."""
        lowered = " ".join(text.lower().split())
        return max((known for known in self.answers if known in lowered), key=len, default=None)


def decoded(text: str) -> Iterator[str]:
    """What the parts of a text say that look like Base64."""
    for part in MAYBE_BASE64.findall(text):
        try:
            yield base64.b64decode(part, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError):
            continue


def bot(name: str, answers: Mapping[str, str], refusal: str = "I will not help with that.") -> Bot:
    """The bot of that name. Raises UserError for a name that none has."""
    if name not in BOTS:
        raise UserError(f"there is no bot {name!r}", remedy="bot:" + ", bot:".join(BOTS))
    return Bot(f"bot:{name}", BOTS[name], answers, refusal=refusal)
