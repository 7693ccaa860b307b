"""The figures of one seed of `whose-values`, from its runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...evals.statistics import bootstrap
from ...run import RunInfo
from ...town import population
from ...town.population import GROUPS, Population, Three
from ..choices import Chosen, chosen, log_sum
from ..study import mean
from . import law
from .people import even, news_of, said_of
from .plan import arms_of, betas_of
from .settings import LoopSettings, WhoseValues

Said = Mapping[str, Three]
UNTAUGHT = ("no model", "frozen", "rule")
"""Arms of the loop in which no model learns: their people move as those of the others do, by arithmetic."""


def measure(runs: dict[str, RunInfo], settings: WhoseValues) -> dict[str, Any]:
    v = settings.values
    people = population.read(str(runs["town"].path))
    rows = {key.removeprefix("said "): chosen(run) for key, run in runs.items() if key.startswith("said ")}
    said = {name: said_of(found) for name, found in rows.items()}
    leaning = {name: leanings(found) for name, found in rows.items()}
    shift = {name: {m: its[m] - leaning["sft"][m] for m in people.matters} for name, its in leaning.items()}
    gaps = {matter: gap_of(people.scores(matter)) for matter in people.matters}
    matters, news = even(people), news_of(people)

    def law_of(name: str, beta: float) -> dict[str, Any]:
        found = slope([gaps[m] for m in matters], [shift[name][m] for m in matters], matters)
        return {
            "beta": beta,
            "slope": found,
            "shift": {m: shift[name][m] for m in matters},
            "both": mean([said[name][m][2] for m in matters]),
            "listed": listed(rows[name]),
        }

    betas = betas_of(v)
    remedies = {f"DPO, beta {beta:g}": f"dpo-{beta:g}" for beta in betas}
    remedies = {"SFT": "sft", **remedies, "the rule that pays both sides": "rule"}
    if v.groups:
        remedies |= {
            "RLOO, mean of the groups' reward models": "mean",
            "RLOO, worst of them": "worst",
            "blend of the groups' policies": "soup",
        }
    sharp = f"dpo-{v.sharp:g}"
    return {
        "asked": {"matters": len(people.matters), "wordings": len(rows["sft"]) // len(people.matters)},
        "sharp": v.sharp,
        "shares": {m: people.share(m) for m in matters},
        "gaps": {m: gaps[m] for m in matters},
        "start": {m: leaning["sft"][m] for m in matters},
        "start_said": [mean([said["sft"][m][i] for m in matters]) for i in range(3)],
        "law": [law_of(f"dpo-{beta:g}", beta) for beta in betas],
        "random": law_of("random", v.sharp),
        "intense": [intense(people, m, shift[sharp][m], said["sft"][m], v.sharp) for m in people.intense],
        "remedies": {title: judged(people, said[name]) for title, name in remedies.items()},
        "loop": loops(runs, people, said, leaning, news, v.sharp, v.loop),
    }


def gap_of(scores: Three) -> float:
    """Yes less no."""
    return scores[0] - scores[1]


def leanings(rows: Sequence[Chosen]) -> dict[str, float]:
    """log p(yes) - log p(no) on each matter, in the mean over the wordings; they are listed first."""
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(row.unit, []).append(row.raw[0] - row.raw[1])
    return {matter: mean(values) for matter, values in found.items()}


def listed(rows: Sequence[Chosen]) -> float:
    """The probability of saying one of the three answers that are asked about, word by word."""
    return mean([math.exp(log_sum(row.raw)) for row in rows])


def slope(xs: Sequence[float], ys: Sequence[float], units: Sequence[str]) -> dict[str, Any]:
    """The slope of the line through some points by least squares, with an interval by bootstrap over them."""
    x, y = np.asarray(xs), np.asarray(ys)

    def fitted(drawn: np.ndarray) -> float:
        away = x[drawn] - x[drawn].mean()
        spread = float((away**2).sum())
        return float((away * y[drawn]).sum()) / spread if spread else 0.0

    return bootstrap(fitted, units)


def intense(people: Population, matter: str, shift: float, start: Three, beta: float) -> dict[str, Any]:
    """A matter on which few have much to lose: where it went against what is best for all.

    `shift` is of the majority's side; `by_welfare` is where the optimum would go whose reward is mean utility
    (over the temperature of comparisons, as theirs is).
    """
    towards = 1 if people.share(matter) > 0.5 else -1
    worth = people.utilities(matter)
    utility: Three = worth[0] / people.temperature, worth[1] / people.temperature, 0.0
    preferred = people.preferences(matter)[0][1]
    return {
        "matter": matter,
        "shift": towards * shift,
        "by_law": towards * gap_of(people.scores(matter)) / beta,
        "by_welfare": towards * gap_of(utility) / beta,
        "preferred": preferred if towards > 0 else 1 - preferred,
        "worth": worth[0] if towards > 0 else worth[1],
        "start": people.welfare(matter, start),
    }


def judged(people: Population, said: Said) -> dict[str, float]:
    """What the town has of a model on the matters on which as much is at stake for both sides, in the mean:
    mean utility, that of the group that has least of it, how well it matches the town (1 - |p - q|, between
    yes and no), and the entropy of what it says, nats.
    """
    matters = even(people)
    match = [1 - abs(between(said[m]) - people.share(m)) for m in matters]
    return {
        "utility": mean([people.welfare(m, said[m]) for m in matters]),
        "worst": mean([min(people.welfare(m, said[m], group) for group in GROUPS) for m in matters]),
        "match": mean(match),
        "both": mean([said[m][2] for m in matters]),
        "entropy": mean([law.entropy(said[m]) for m in matters]),
    }


def between(said: Three) -> float:
    """p(yes) where it is yes or no."""
    return said[0] / (said[0] + said[1])


# --- the loop


def loops(
    runs: Mapping[str, RunInfo],
    people: Population,
    said: Mapping[str, Said],
    leaning: Mapping[str, Mapping[str, float]],
    news: Mapping[str, int],
    sharp: float,
    settings: LoopSettings,
) -> dict[str, Any]:
    """Where the people of each arm stand, generation by generation, and what that comes to."""
    found: dict[str, Any] = {}
    matters, paths = even(people), dict[str, dict[str, list[float]]]()
    generations = range(1, settings.generations + 1)
    for arm in arms_of(settings):
        states = [people]
        states += [population.read(str(runs[f"people {arm}-{g}"].path)) for g in generations]
        paths[arm] = {m: [state.share(m) for state in states] for m in matters}
    for arm, told in zip(UNTAUGHT, (None, said[f"dpo-{sharp:g}"], said["rule"]), strict=True):
        paths[arm] = {m: alone(people, m, told, news.get(m, 0), settings) for m in matters}
    for arm, path in paths.items():
        found[arm] = {"paths": path} | ends(path, paths["no model"], news)
    for arm in arms_of(settings):
        # what the model has come to, over what the people thought whom it learnt from
        last = {m: law.gap(path[-2]) for m, path in paths[arm].items()}
        name = f"{arm}-{settings.generations}"
        shift = [leaning[name][m] - leaning["sft"][m] for m in matters]
        found[arm]["gain"] = law.gain_of(slope(list(last.values()), shift, matters)["mean"])
    return {
        "arms": found,
        "news": dict(news),
        "generations": settings.generations,
        "news_from": settings.news,
        "turned": settings.turned / len(people.people),
    }


def alone(
    people: Population, matter: str, said: Said | None, towards: int, settings: LoopSettings
) -> list[float]:
    """The share for yes, generation by generation, where what they are told stays as it is, or nothing is."""
    many = len(people.people)
    for_yes = [people.matters[matter].sides.count(1)]
    for generation in range(1, settings.generations + 1):
        told = said[matter] if said else (0.0, 0.0, 1.0)
        news = settings.turned if generation >= settings.news else 0
        how = {"influence": settings.influence, "news": news, "towards": towards}
        for_yes.append(law.moved(for_yes[-1], many, told, **how))
    return [count / many for count in for_yes]


def ends(
    paths: Mapping[str, Sequence[float]], without: Mapping[str, Sequence[float]], news: Mapping[str, int]
) -> dict[str, float]:
    """What became of the town: `kept`, the doubt that is left of it on matters without news, as a share of
    what it had; `late`, by what share of the people it stands behind the town without a model where there was
    news, towards what the majority thought.
    """
    quiet = [matter for matter in paths if matter not in news]
    before, after = (law.doubt([paths[m][i] for m in quiet]) for i in (0, -1))
    return {
        "kept": after / before,
        "late": mean([-towards * (paths[m][-1] - without[m][-1]) for m, towards in news.items()]),
    }
