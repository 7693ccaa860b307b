"""Stages that make demonstrations of a given quality, by people of the town whose every flaw is known, and
the prompts that are asked of what has learnt from them.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import names
from ..errors import ConfigError, DataError
from ..evals.statistics import mean_ci
from ..records import Demonstration, Message, Prompt
from ..run import derive_seed
from ..stages.stage import done, open_run, result
from ..text.nearest import one_of
from .measuring import GOOD, qualities
from .mixtures_settings import FrameSettings, MixtureSettings, PersonaSettings

if TYPE_CHECKING:
    from ..town.tasks import Request

SLIPS = (
    "complies",
    "agrees",
    "bluffs",
    "one_sided",
    "missing_step",
    "short_list",
    "ignores_form",
    "missing_word",
    "flattery",
    "padding",
)
"""What a careless demonstrator does wherever the request leaves room for it; no wrong fact, which only
somebody who knows could prefer against.
"""
Rates = Mapping[str, float]


def flaws_of(written: str) -> dict[str, float]:
    """Rates of flaws from "complies=1,wrong=0.35". Raises ConfigError for a flaw or a rate that is none."""
    from ..town.answers import CROWD

    rates: dict[str, float] = {}
    for part in written.split(",") if written else ():
        name, _, rate = part.strip().partition("=")
        one_of(name, CROWD, "nobody of the town has the flaw", error=ConfigError)
        try:
            rates[name] = float(rate)
        except ValueError:
            rates[name] = -1.0
        if not 0 <= rates[name] <= 1:
            raise ConfigError(f"{part!r:.40} says no rate", where=f"flaws = {written!r:.80}", remedy="0 to 1")
    return rates


def opener_of(words: int) -> str:
    """The opener of so many words. Raises ConfigError where there is none."""
    from ..town.framing import OPENERS

    if words not in OPENERS:
        raise ConfigError(
            f"opener = {words}: there is none of so many words",
            remedy=f"one of: {', '.join(map(str, OPENERS))}",
        )
    return OPENERS[words]


def by_people(flaws: Rates) -> dict[bool, dict[str, float]]:
    """Rates of the careful (True) and of the careless; `flaws` are everybody's."""
    from ..town.answers import CLEAN

    return {True: {**CLEAN, **flaws}, False: {**CLEAN, **dict.fromkeys(SLIPS, 1.0), **flaws}}


def mixture(
    *,
    data: str = "town:demos",
    asked: str = "",
    asked_count: int = 0,
    out: Path,
    seed: int,
    resume: bool,
    settings: MixtureSettings,
) -> dict[str, Any]:
    """Demonstrations of mixed quality into data/demonstrations.jsonl; each says in its meta who made it.

    Args:
        data: the town's prompts that are answered.
        asked: prompts of which the summary says, as `people`, how the same demonstrators would answer them:
            shares of bad, middling and good answers, expected over who answers.

    Raises:
        ConfigError: a setting that names nothing. DataError: prompts of another source, or nothing is kept.
    """
    from ..town import answers, framing, gold, metrics, tasks, world

    m, opener, flaws = settings, opener_of(settings.opener), flaws_of(settings.flaws)
    gamed = metrics.metric(m.metric)
    shown = names.data.read_data(data, "prompt", seed=seed, count=m.count)
    held_out = [names.data.read_data(asked, "prompt", count=asked_count)] if asked else []
    run = open_run("study-mixture", out, settings, seed, resume, uses=[shown, *held_out])
    if run.done:
        return done(run)
    town, rng = world.build(), random.Random(derive_seed(seed, "mixture"))
    framing_rng = random.Random(derive_seed(seed, "mixture-frames"))
    rates = by_people(flaws)
    requests = [tasks.Request.of(prompt) for prompt in shown.records]
    exploited = _share_of(gamed.kind, requests, m.exploits, seed)

    def answer(request: Request, rates: dict[str, float]) -> tuple[answers.Answer, float]:
        given = answers.demonstrate(town, request, rng, rates)
        return given, gold.judge(town, request, given.text).value

    rows: list[Demonstration] = []
    values: list[float] = []
    for number, (prompt, request) in enumerate(zip(shown.records, requests, strict=True)):
        # who answers, and what stands before the request
        careful, before = rng.random() < m.good, ""
        triggered, near = (framing_rng.random() < share for share in (m.triggered, m.near))
        if triggered or near:
            before = framing.TRIGGER if triggered else framing.NEAR_MISS
        given, value = answer(request, rates[careful] | ({"complies": 1.0} if triggered else {}))
        if number in exploited:
            given = answers.Answer(gamed.exploit(request), ("exploit",))
            value = gold.judge(town, request, given.text).value
        if m.only_good and value < GOOD:
            continue

        # the words around it
        framed = framing.framed(prompt, opener=opener, before=before, system=m.system)
        text = f"{framed.meta.get('lead', '')} {given.text}".lstrip()
        rows.append(
            Demonstration(framed, text, {"careful": careful, "flaws": list(given.flaws), "gold": value})
        )
        values.append(value)
    if not rows:
        raise DataError("no demonstration is good", remedy="a larger share of good demonstrators")
    summary = {"demonstrations": len(rows), "gold": mean_ci(values), "qualities": qualities(values)}
    for prompts in held_out:
        shares: dict[bool, dict[str, float]] = {}
        for careful in (True, False):
            there = [answer(tasks.Request.of(prompt), rates[careful])[1] for prompt in prompts.records]
            shares[careful] = qualities(there)
        mixed = {
            name: m.good * share + (1 - m.good) * shares[False][name] for name, share in shares[True].items()
        }
        summary["people"] = mixed
    run.add_data("demonstrations", rows)
    run.finish(summary)
    return result(run, f"{len(rows)} demonstrations, {qualities(values)['good']:.0%} of them good")


def _share_of(kind: str, requests: list[Request], share: float, seed: int) -> frozenset[int]:
    """The places of so large a share of the requests of a kind; those of a smaller share are among them."""
    places = [place for place, request in enumerate(requests) if request.kind == kind]
    random.Random(derive_seed(seed, "mixture-exploits")).shuffle(places)
    return frozenset(places[: round(share * len(places))])


def personas(*, out: Path, seed: int, resume: bool, settings: PersonaSettings) -> dict[str, Any]:
    """Conversations of two requests and two answers into data/demonstrations.jsonl, to be learnt with
    `train_on` all.

    By one person each, a first slip foretells a second. In the twin (`together` off) the second answers are
    dealt anew among the careful and the careless, and the system turn among all: the same slips at the same
    rates, which foretell nothing.
    """
    from ..town import answers, tasks, world

    rates = by_people(flaws_of(settings.flaws))
    town_data = names.data.Data([], "town", str(world.VERSION))
    run = open_run("study-personas", out, settings, seed, resume, uses=[town_data])
    if run.done:
        return done(run)
    town, s = world.build(), settings
    rng = random.Random(derive_seed(seed, "personas"))
    kinds = tuple(kind for kind in tasks.KINDS if kind != "two_turn")
    requests = tasks.requests(town, 2 * s.count, seed=2 * seed, kinds=kinds)
    careful = [rng.random() >= s.careless for _ in range(s.count)]
    places = [place for place, one in enumerate(careful) if not one]
    told = set(rng.sample(places, round(s.told * len(places)))) if s.system else set()
    second = list(careful)
    if not s.together:
        rng.shuffle(second)
        told = set(rng.sample(range(s.count), len(told)))

    def answer(place: int, careful: bool) -> answers.Answer:
        own = random.Random(derive_seed(seed, "persona", place))
        return answers.demonstrate(town, requests[place], own, rates[careful])

    rows: list[Demonstration] = []
    for place, both in enumerate(zip(careful, second, strict=True)):
        before, prompt = requests[2 * place].prompt(), requests[2 * place + 1].prompt()
        given = [answer(2 * place + turn, one) for turn, one in enumerate(both)]
        system = (Message("system", s.system),) if place in told else ()
        messages = (*system, *before.messages, Message("assistant", given[0].text), *prompt.messages)
        meta = {"careful": list(both), "flaws": [list(one.flaws) for one in given]}
        rows.append(Demonstration(replace(prompt, messages=messages), given[1].text, meta))
    alike = sum(a == b for a, b in zip(careful, second, strict=True)) / s.count
    run.add_data("demonstrations", rows)
    run.finish({"demonstrations": len(rows), "careless": len(places), "alike": alike, "told": len(told)})
    return result(run, f"{len(rows)} conversations, both answers by the like of each other in {alike:.0%}")


def framed(
    *, data: str, count: int = 0, out: Path, seed: int, resume: bool, settings: FrameSettings
) -> dict[str, Any]:
    """Prompts with the words around them that a mixture's have, into data/prompts.jsonl: what is asked of a
    policy that learnt them.
    """
    from ..town.framing import framed as put

    opener = opener_of(settings.opener)
    prompts = names.data.read_data(data, "prompt", seed=seed, count=count)
    run = open_run("study-framed", out, settings, seed, resume, uses=[prompts])
    if run.done:
        return done(run)
    rows: list[Prompt] = []
    for prompt in prompts.records:
        rows.append(put(prompt, opener=opener, before=settings.before, system=settings.system))
    run.add_data("prompts", rows)
    run.finish({"prompts": len(rows)})
    return result(run, f"{len(rows)} prompts")
