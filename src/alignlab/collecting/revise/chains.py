"""Drafts, critiques under sampled principles and revisions: chains, and answers to harmless prompts."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ...constitution.asking import Asked, Form
from ...constitution.forms import DocumentForm
from ...constitution.principles import Constitution, Principle
from ...feedback import Judge
from ...records import Chain, Completion, Demonstration, Prompt, Round
from ...run import derive_seed
from ...sampling import ModelSampler, Sampling
from ...settings import ChainSettings, ReviseSettings, SamplingSettings
from ...text.lists import by_comma
from ...text.repetition import repetition
from .. import demonstrations
from ..demonstrations import first_of

R = TypeVar("R")
Keep = Callable[[str, Callable[[], Iterable[Any]], type[Any]], list[Any]]
"""How the rows of a step are kept (its name, what makes it, their kind): as `RunDir.kept`, or `unkept`."""


@dataclass(frozen=True)
class Workshop:
    """Who drafts, who criticises and revises, by what, and how they are asked.

    Attributes:
        judge: where there is one, a revision that it finds worse than its draft is dropped.
    """

    author: ModelSampler
    critic: ModelSampler
    constitution: Constitution
    form: Form
    author_name: str = ""
    critic_name: str = ""
    judge: Judge | None = None


def pool_of(constitution: Constitution, settings: ChainSettings) -> list[Principle]:
    """The principles that are drawn from: those with any of `tags`, or the one that `principle` names. Raises
    UserError if there is none.
    """
    if settings.principle:
        return [constitution.get(settings.principle)]
    return list(constitution.tagged(*by_comma(settings.tags)))


def draw_principles(pool: Sequence[Principle], rounds: int, seed: int) -> list[Principle]:
    """A principle for each round, another each time while there are others."""
    rng = random.Random(seed)
    principles: list[Principle] = []
    while len(principles) < rounds:
        principles += rng.sample(list(pool), min(rounds - len(principles), len(pool)))
    return principles


def unkept(_: str, make: Callable[[], Iterable[R]], __: type[R]) -> list[R]:
    """A `Keep` that keeps nothing: made each time."""
    return list(make())


def revised(
    workshop: Workshop,
    asked: dict[int, Prompt],
    settings: ChainSettings,
    *,
    seed: int,
    number: int = 0,
    keep: Keep = unkept,
) -> list[Chain]:
    """A chain for each prompt, by its place: a draft, then `rounds` of critique and revision.

    Raises:
        ConfigError: settings that cannot be.
    """
    prompts = list(asked.values())
    pool = pool_of(workshop.constitution, settings)
    seeds = [derive_seed(seed, "principles", place, prompt.id) for place, prompt in asked.items()]
    principles = [draw_principles(pool, settings.rounds, own_seed) for own_seed in seeds]

    # 1. drafts
    def drafts() -> Iterator[Chain]:
        answers = ask(workshop.author, prompts, settings.sampling, derive_seed(seed, "draft", number))
        for prompt, answer in zip(prompts, answers, strict=True):
            text = answer.text.strip() if answer else ""
            reason = first_of(
                (answer is None, "no room for the draft"),
                (answer is not None and not answer.finished, "the draft is not finished"),
                (not text, "the draft says nothing"),
            )
            yield Chain(
                prompt,
                text,
                dropped=reason,
                author=workshop.author_name,
                critic=workshop.critic_name,
                constitution=workshop.constitution.digest,
                seed=seed,
            )

    chains = keep("drafts", drafts, Chain)
    for turn in range(settings.rounds):
        # 2. one critique and revision of each chain that is still whole
        def one_round(turn: int = turn, chains: Sequence[Chain] = tuple(chains)) -> Iterator[Chain]:
            left = [place for place, chain in enumerate(chains) if not chain.dropped]
            rounds = one_turn(
                workshop,
                [chains[place] for place in left],
                [principles[place][turn] for place in left],
                [seeds[place] for place in left],
                settings,
                seed=derive_seed(seed, "round", number, turn),
            )
            longer = dict(zip(left, rounds, strict=True))
            for place, chain in enumerate(chains):
                yield longer.get(place, chain)

        chains = keep(f"round-{turn + 1}", one_round, Chain)

    # 3. whether the last revision is better than the draft, where there is a judge of that
    if workshop.judge is None:
        return chains

    judge = workshop.judge

    def judged() -> Iterator[Chain]:
        changed = [chain for chain in chains if not chain.dropped and chain.text != chain.draft]
        before = [Completion(chain.prompt, chain.draft) for chain in changed]
        after = [Completion(chain.prompt, chain.text) for chain in changed]
        better = iter(judge.compare(after, before) if changed else [])
        for chain in chains:
            is_changed = not chain.dropped and chain.text != chain.draft
            if is_changed and next(better) < settings.judge_bar:
                yield replace(chain, dropped="worse than the draft to the judge")
            else:
                yield chain

    return keep("judged", judged, Chain)


def one_turn(
    workshop: Workshop,
    chains: Sequence[Chain],
    principles: Sequence[Principle],
    seeds: Sequence[int],
    settings: ChainSettings,
    *,
    seed: int,
) -> list[Chain]:
    """The chains with one more round, under one principle each; those whose critique or revision is none are
    dropped with the reason.

    A critic of documents that has written on past its critique has revised already: what it wrote is the
    revision. Without critiques (`settings.critique` false) the critic revises at once, and a revision that
    changes something counts as `fired`.
    """
    form, s = workshop.form, settings.critic_sampling
    # by place: critiques of those whose answer is to be revised; revisions, and why one is none
    critiques = dict.fromkeys(range(len(chains)), "")
    revisions: dict[int, tuple[str, str]] = {}
    dropped: dict[int, str] = {}
    fired: set[int] = set()

    # 1. what the principle has against the answer; where it has nothing, the answer stays
    if settings.critique:
        asked = []
        for chain, principle in zip(chains, principles, strict=True):
            asked.append(form.critique(chain.prompt, chain.text, principle))
        for place, answer in enumerate(ask(workshop.critic, asked, s, derive_seed(seed, "critique"))):
            if answer is None:
                dropped[place] = "no room for the critique"
                continue
            if isinstance(form, DocumentForm):
                read, written = form.read_both(answer.text)
            else:
                read, written = form.read_critique(answer.text), ""
            critiques[place] = read.text
            if not read.text:
                dropped[place] = "the critique says nothing"
            elif not whole(answer, read.text):
                dropped[place] = "the critique is not finished"
            elif not read.fired:
                revisions[place] = chains[place].text, ""
            else:
                fired.add(place)
                if written and (answer.finished or not answer.text.rstrip().endswith(written)):
                    revisions[place] = written, flaw(written, chains[place].text, form, settings)

    # 2. the answer mended
    left = [place for place in range(len(chains)) if place not in revisions and place not in dropped]
    asked = []
    for place in left:
        chain, principle = chains[place], principles[place]
        if settings.critique:
            asked.append(form.revision(chain.prompt, chain.text, principle, critiques[place]))
        else:
            asked.append(form.direct_revision(chain.prompt, chain.text, principle))
    answers = ask(workshop.critic, asked, s, derive_seed(seed, "revision"))
    for place, answer in zip(left, answers, strict=True):
        if answer is None:
            revisions[place] = "", "no room for the revision"
            continue
        revision = form.read_revision(answer.text)
        wrong = "the revision is not finished"
        if whole(answer, revision):
            wrong = flaw(revision, chains[place].text, form, settings)
        revisions[place] = revision, wrong

    # 3. the chains with this round
    longer: list[Chain] = []
    for place, chain in enumerate(chains):
        revision, reason = revisions.get(place, (chain.text, dropped.get(place, "")))
        has_fired = place in fired if settings.critique else revision != chain.text
        one = Round(principles[place].id, seeds[place], critiques[place], has_fired, revision)
        longer.append(replace(chain, rounds=(*chain.rounds, one), dropped=reason))
    return longer


def flaw(revision: str, before: str, form: Form, settings: ChainSettings) -> str:
    """Why a revision is none; "" if nothing speaks against it."""
    if not revision:
        return "the revision says nothing"
    if settings.critique and " ".join(revision.split()) == " ".join(before.split()):
        return "the draft again"
    if form.leaks(revision) and not form.leaks(before):
        return "the form leaks into the revision"
    if repetition(revision) > max(settings.max_repetition, repetition(before)):
        return "the revision repeats itself"
    return ""


def whole(answer: Completion, read: str) -> bool:
    """Whether what was read ended by itself: the end token, or the form's next heading."""
    return answer.finished or len(read) < len(answer.text.strip())


def ask(
    sampler: ModelSampler, asked: Sequence[Asked], s: SamplingSettings, seed: int
) -> list[Completion | None]:
    """One answer to each, in order; None where the model's context has no room."""
    room = getattr(sampler, "has_room", None)
    fits = [place for place, each in enumerate(asked) if room is None or room(each, s.max_new_tokens)]
    groups = sampler.sample([asked[place] for place in fits], Sampling.of(s), seed=seed) if fits else []
    answers = {place: group[0] for place, group in zip(fits, groups, strict=True)}
    return [answers.get(place) for place in range(len(asked))]


def answered(
    workshop: Workshop,
    asked: dict[int, Prompt],
    settings: ReviseSettings,
    *,
    seed: int,
    number: int,
    keep: Keep,
) -> list[Demonstration]:
    """The author's answers to harmless prompts; `meta["rejected"]` says which are not learned from."""

    def make() -> Iterator[Demonstration]:
        prompts = list(asked.values())
        sampling = replace(settings.sampling, temperature=settings.helpful_temperature)
        answers = ask(workshop.author, prompts, sampling, derive_seed(seed, "helpful", number))
        for prompt, answer in zip(prompts, answers, strict=True):
            text = answer.text.strip() if answer else ""
            reason = first_of(
                (answer is None, "no room for the answer"),
                (answer is not None and not answer.finished, "not finished"),
                (not text, "says nothing"),
                (repetition(text) > settings.max_repetition, "repeats itself"),
            )
            yield demonstrations.answered(prompt, text, reason, kind="helpful", author=workshop.author_name)

    return keep("helpful", make, Demonstration)
