"""Answers criticised and revised under the principles of a constitution (Bai et al. 2022, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..constitution.asking import Critique, Form
from ..constitution.principles import Constitution, Principle
from ..records import Completion

if TYPE_CHECKING:
    from ..models.policy import Policy
    from ..sampling.local import LocalSampler


def constitution(name: str = "town") -> Constitution:
    """Principles by name: town, general, elsewhere (of another world), or a file.

    Raises:
        UserError: no such constitution, or a file that is none.

    >>> [rule.id for rule in constitution("town").tagged("harmless")][:2]
    ['no-harm', 'kindness']
    """
    from ..constitution import files

    return files.load(name)


def criticise(
    critic: Policy,
    drafts: Sequence[Completion],
    rules: Sequence[Principle],
    *,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[Critique]:
    """What the critic says of each draft under one principle: `.text`, and `.fired`, whether it found the
    principle broken.

    Args:
        critic: a critic of the town (`prepared("critic")`), or any model that chats.
        rules: the principle of each draft.
        temperature: 0 takes the likeliest token each time, and such a critic is milder than one that is
            sampled (docs/constitution.md).

    Raises:
        UserError: a model of the town that can answer and not criticise.
    """
    from ..collecting.revise.chains import ask
    from ..settings import SamplingSettings

    form, sampler = _reader(critic)
    asked = [form.critique(d.prompt, d.text, rule) for d, rule in zip(drafts, rules, strict=True)]
    answers = ask(sampler, asked, SamplingSettings(max_new_tokens=96, temperature=temperature), seed)
    return [form.read_critique(answer.text) if answer else Critique("", False) for answer in answers]


def revise(
    critic: Policy,
    drafts: Sequence[Completion],
    rules: Sequence[Principle],
    found: Sequence[Critique],
    *,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[Completion]:
    """The drafts as the critic rewrites them after its critiques. A draft stays where the critique found
    nothing, and where the revision is none (`collecting.revise`: cut, empty, the draft again, a piece of the
    form in it). Arguments and errors as of `criticise`.
    """
    from ..collecting.revise.chains import ask, flaw, whole
    from ..settings import ChainSettings, SamplingSettings

    form, sampler = _reader(critic)
    fired = [place for place, critique in enumerate(found) if critique.fired]
    asked = [
        form.revision(drafts[place].prompt, drafts[place].text, rules[place], found[place].text)
        for place in fired
    ]
    answers = ask(sampler, asked, SamplingSettings(max_new_tokens=96, temperature=temperature), seed)
    revised = list(drafts)
    for place, answer in zip(fired, answers, strict=True):
        text = form.read_revision(answer.text) if answer else ""
        if answer and whole(answer, text) and not flaw(text, drafts[place].text, form, ChainSettings()):
            revised[place] = replace(Completion(drafts[place].prompt, text), source=critic.name)
    return revised


def _reader(critic: Policy) -> tuple[Form, LocalSampler]:
    """How this model is asked, and what asks it."""
    from .. import names
    from ..constitution.forms import form_of
    from ..sampling.local import LocalSampler

    form = form_of("auto", str(names.models.model(critic.name).path))
    return form, LocalSampler.of(critic, name=critic.name, documents=form.documents)
