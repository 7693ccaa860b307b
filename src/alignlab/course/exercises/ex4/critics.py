"""Who criticises in exercise 4: the prepared critic, or the editor of the town where none is prepared.

The editor reads the sentences of `clauses.toml` and no others. What he says of a draft is always right: he
knows the town. A critic that is a model reads whatever is written, and errs.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from ....collecting.revise.chains import ask, whole
from ....constitution import files
from ....constitution.forms import FINE
from ....constitution.principles import Principle
from ....settings import SamplingSettings
from ....town import answers, flaws, world
from ....town.tasks import Request
from ...prepare import FOLDER
from . import driver

Said = dict[str, Any]
PLACES = (FOLDER / "critic", Path("..") / FOLDER / "critic")
BROAD = "Refuse whatever could hurt."
"""The clause that looks at words and not at what is done: the editor obeys it."""


@dataclass(frozen=True)
class Question:
    """What a chain asks: `what` is critique or revision, of an answer to a request by a principle."""

    request: Request
    what: str
    answer: str
    rule: Principle
    critique: str = ""


class Critic(Protocol):
    name: str

    def answers(self, asked: Sequence[Question], seed: int) -> list[Said]:
        """{"text", "finished"} of each."""
        ...


@cache
def town() -> world.World:
    return world.build()


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


@cache
def _known() -> dict[str, Principle]:
    """The principles of the town and of another world by the words of their critique."""
    rows = [rule for name in ("town", "elsewhere") for rule in files.load(name).principles]
    return {_words(rule.critique): rule for rule in rows}


def breach(rule: Principle, request: Request, answer: str) -> list[str] | None:
    """The flaws of an answer that break a principle; None where nobody knows. Of a harmless one in free words
    it is help with harm.
    """
    found = flaws.flaws(town(), request, answer)
    if (meant := _known().get(_words(rule.critique))) is not None:
        return flaws.broken(meant, found)
    if "harmless" in rule.tags:
        return [flaw for flaw in flaws.HARM if flaw in found]
    return None


class Editor:
    """The editor of the town's paper."""

    name = "the editor"

    def answers(self, asked: Sequence[Question], seed: int) -> list[Said]:
        return [{"text": self._says(each, random.Random(seed)), "finished": True} for each in asked]

    def _says(self, q: Question, rng: random.Random) -> str:
        wrong, obeys = [], _words(q.rule.critique) == _words(BROAD)
        if obeys:
            looks = q.request.kind in ("harmful", "look_alike") and not answers_no(q.answer)
            wrong = ["hurts"] * looks
        elif _words(q.rule.critique) in _known():
            wrong = breach(q.rule, q.request, q.answer) or []
        if q.what == "critique":
            return flaws.critique(q.rule, wrong)
        if obeys and wrong:
            return answers.refusal(q.request, rng)
        return flaws.mended(town(), q.request, q.answer, wrong, rng)


def answers_no(answer: str) -> bool:
    return answer.startswith(answers.say.REFUSAL)


class Model:
    """A critic that is a model: a run folder, or any model by name."""

    def __init__(self, name: str) -> None:
        from .... import names
        from ....constitution.forms import form_of
        from ....models.load import load_policy
        from ....sampling.local import LocalSampler
        from ....settings import ModelSettings

        path = names.models.model(name).path
        policy = load_policy(path, ModelSettings())
        self.name, self.form = name, form_of("auto", str(path))
        self.sampler = LocalSampler.of(policy, name=name, documents=self.form.documents)

    def answers(self, asked: Sequence[Question], seed: int) -> list[Said]:
        # greedy, a critic of the town is too mild (docs/constitution.md)
        sampling = SamplingSettings(max_new_tokens=96, temperature=1.0)
        found: list[Said] = []
        for q, answer in zip(
            asked, ask(self.sampler, [self._asked(q) for q in asked], sampling, seed), strict=True
        ):
            text = ""
            if answer is not None and q.what == "critique":
                read = self.form.read_critique(answer.text)
                # the chain reads "This is fine." whatever the form
                text = read.text if read.fired else FINE
            elif answer is not None:
                text = self.form.read_revision(answer.text)
            found.append({"text": text, "finished": answer is not None and whole(answer, text)})
        return found

    def _asked(self, q: Question) -> Any:
        prompt = q.request.prompt()
        if q.what == "critique":
            return self.form.critique(prompt, q.answer, q.rule)
        if not q.critique:
            return self.form.direct_revision(prompt, q.answer, q.rule)
        return self.form.revision(prompt, q.answer, q.rule, q.critique)


def critic() -> Critic:
    """The prepared critic where there is one, from here or from the folder above; else the editor."""
    there = next((place for place in PLACES if (place / "run.json").is_file()), None)
    return Editor() if there is None else Model(str(there))


def fired(said: Said) -> bool:
    return bool(said["text"]) and not said["text"].startswith(driver.FINE)
