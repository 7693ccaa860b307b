"""`whose-values` on any other model: the law alone. Twelve made-up matters are answered with yes or no by
simulated people, DPO learns from their comparisons, and what the model answers in other words is set beside
them. No opinion of anybody real is claimed, and nobody is said to listen.
"""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from ... import stages
from ...errors import ConfigError
from ...evals.statistics import seeds_summary
from ...feedback import sigmoid
from ...feedback.annotators import shuffle_rankings
from ...pipeline.runner import Stage
from ...records import Completion, Prompt, Ranking
from ...report import charts
from ...run import RunInfo, derive_seed
from ...settings import DPOSettings, OptimSettings
from ...stages.stage import done, open_run, result
from ...town.population import SHARES
from ..choices import Choice, choices, chosen
from ..settings import ChoicesSettings
from ..study import Form, Planner, Seeds, Told, Verdict, numbers, spread
from .claims import NEAR, law_bars, scaled
from .figures import leanings, slope
from .people import pooled
from .settings import PairsSettings, RealSettings, WhoseValues

MATTERS = (
    "the clock tower of Velden should be painted blue",
    "the ferry to Marrow Island should run at night",
    "Tamsin's bakery should sell its bread by weight",
    "the footbridge at Oxley should have a roof",
    "the village of Harn should plant lime trees along its main street",
    "the band of Port Sella should march in the morning",
    "the reading room in Quill Street should close on Mondays",
    "the snow in Upper Fenn should be cleared by hand",
    "the goats of Brindle Hill should wear bells",
    "the swimming pool of Loxby should be filled from the river",
    "the tram in Corrin should stop at the mill",
    "the flag of Dunmere should have a heron on it",
)
"""Of places that are nowhere."""
WORDINGS = (
    "Do you think that {}? Answer yes or no.",
    "Is it right that {}? Say yes or no.",
    "Should we say that {}? Yes or no?",
    "Do you agree that {}? Reply with yes or no.",
    "Yes or no: {}.",
)
HELD_OUT = (
    "Tell me, yes or no, whether {}.",
    "Would you say that {}? One word, yes or no.",
    "Some say that {}. Do you? Just yes or no.",
)
ANSWERS = ("Yes", "No")
BATCH = 12  # pairs a step, of sixty in all
CLAIMED = (1.0, 0.3)


def preferred(share: float, temperature: float) -> float:
    """How often yes is preferred to no where this share of the people is for yes."""
    sure = sigmoid(1 / temperature)
    return share * sure + (1 - share) * (1 - sure)


def pairs(*, out: Path, seed: int, resume: bool, settings: PairsSettings) -> dict[str, Any]:
    """What simulated people make of yes and no on every matter, each of them in each of `WORDINGS`, as shares
    of them (data/rankings.jsonl); and every matter in the other wordings (data/choices.jsonl). The summary
    has `shares`, of the people who are for yes, `SHARES` dealt by the seed, to a person.
    """
    run = open_run("study-values-pairs", out, settings, seed, resume)
    if run.done:
        return done(run)
    rng = random.Random(derive_seed(seed, "pairs"))
    dealt = rng.sample(SHARES, len(SHARES))
    sure = sigmoid(1 / settings.temperature)
    rankings: list[Ranking] = []
    asked: list[Choice] = []
    shares: dict[str, float] = {}
    for matter, share in zip(MATTERS, dealt, strict=True):
        for_yes = round(share * settings.people)
        shares[matter] = for_yes / settings.people
        for number, words in enumerate(WORDINGS):
            prompt = Prompt.user(words.format(matter))
            completions = tuple(Completion(prompt, answer) for answer in ANSWERS)
            votes: list[Ranking] = []
            for person in range(settings.people):
                yes = (person < for_yes) == (rng.random() < sure)
                votes.append(Ranking(prompt, completions, (1, 2) if yes else (2, 1)))
            if settings.shuffled:
                votes = shuffle_rankings(votes, seed=derive_seed(seed, "shuffled", matter, str(number)))
            rankings.append(pooled(votes))
        for number, words in enumerate(HELD_OUT):
            prompt = Prompt.user(words.format(matter))
            asked.append(Choice(f"{matter}/{number}", prompt, ANSWERS, ANSWERS, matter))
    run.add_data("rankings", rankings)
    run.add_data("rankings_test", [])
    run.add_data("choices", asked)
    run.finish({"rankings": len(rankings), "shares": shares})
    return result(run, f"{len(rankings)} pairs, each compared by {settings.people} people")


def betas_of(r: RealSettings) -> list[float]:
    """The betas, the largest first. Raises ConfigError."""
    betas = sorted(set(numbers(r.betas, "real.betas")), reverse=True)
    if not betas or betas[-1] <= 0:
        raise ConfigError(f"real.betas = {r.betas!r}", remedy="betas above 0")
    return betas


def plan(stage: Planner, model: str, settings: WhoseValues, seed: int) -> dict[str, Stage]:
    r = settings.real
    how = PairsSettings(r.people, r.temperature)
    asked = stage("values-pairs", pairs, seed=seed, settings=how)
    luck = stage("values-pairs-random", pairs, seed=seed, settings=replace(how, shuffled=True))
    planned = {"pairs": asked}

    def said(name: str, policy: Stage | str) -> None:
        planned[f"said {name}"] = stage(
            f"values-said-{name}",
            choices,
            model=policy,
            asked=asked,
            seed=seed,
            settings=ChoicesSettings(r.model),
        )

    def dpo(name: str, rankings: Stage, beta: float) -> Stage:
        learning = DPOSettings(
            beta=beta,
            epochs=r.epochs,
            batch=BATCH,
            held_out=0.0,
            optim=OptimSettings(lr=r.lr),
            adapter=r.adapter,
            model=r.model,
        )
        policy = stage(
            f"values-dpo-{name}", stages.dpo, model=model, data=rankings, seed=seed, settings=learning
        )
        said(f"dpo-{name}", policy)
        return policy

    said("start", model)
    for beta in betas_of(r):
        dpo(f"{beta:g}", asked, beta)
    dpo("random", luck, betas_of(r)[-1]).is_control("its ranks are dealt at random")
    return planned


def measure(runs: dict[str, RunInfo], settings: WhoseValues) -> dict[str, Any]:
    r, shares = settings.real, runs["pairs"].summary["shares"]
    gaps = {matter: logit(preferred(share, r.temperature)) for matter, share in shares.items()}
    start = leanings(chosen(runs["said start"]))

    def law_of(name: str, beta: float) -> dict[str, Any]:
        shift = {m: now - start[m] for m, now in leanings(chosen(runs[f"said {name}"])).items()}
        found = slope([gaps[m] for m in gaps], [shift[m] for m in gaps], list(gaps))
        return {"beta": beta, "slope": found, "shift": shift}

    betas = betas_of(r)
    return {
        "people": r.people,
        "shares": shares,
        "gaps": gaps,
        "start": start,
        "law": [law_of(f"dpo-{beta:g}", beta) for beta in betas],
        "random": law_of("dpo-random", betas[-1]),
    }


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def tell(seeds: Seeds) -> Told:
    rows: list[list[str]] = []
    lines: dict[str, charts.Curve] = {}
    over: dict[str, Any] = {}
    for place, found in enumerate([*seeds[0]["law"], seeds[0]["random"]]):
        beta, random_too = found["beta"], place == len(seeds[0]["law"])
        title = f"random, {beta:g}" if random_too else f"beta {beta:g}"
        its = [s["random"] if random_too else s["law"][place] for s in seeds]
        points = [
            (s["gaps"][m], shift)
            for s, one in zip(seeds, its, strict=True)
            for m, shift in one["shift"].items()
        ]
        gaps, shifts = zip(*sorted(points), strict=True)
        lines[title] = charts.Curve(gaps, shifts, kind="points")
        if not random_too:
            lines[f"r / {beta:g}"] = charts.Curve(gaps, [gap / beta for gap in gaps], kind="dashed")
        slopes = [one["slope"]["mean"] for one in its]
        over[f"{title}: beta times the slope"] = seeds_summary([beta * one for one in slopes])
        low, high = its[0]["slope"]["ci"]
        rows.append(
            [title, spread(slopes, 2), spread([beta * one for one in slopes]), f"{low:.2f} to {high:.2f}"]
        )
    picture = charts.curves(
        lines,
        title="What the model learns of what people say",
        x="r: log-odds of yes among the people's answers",
        y="log p(yes) / p(no), less before",
    )
    section = {
        "title": "The law",
        "charts": [charts.captioned(picture, "A dot is a matter (of each seed); dashed is the law.")],
        "table": {
            "heads": ["DPO", "slope", "beta times slope", "slope, 95 %, first seed"],
            "rows": rows,
            "note": (
                "By the law beta times the slope is 1. Intervals by bootstrap over the twelve matters, which "
                "are made up and asked in wordings that training did not have."
            ),
        },
    }
    said = [f"{row[0]}: beta times the slope is {row[2]}" for row in rows]
    asked = (
        f"n = {len(MATTERS)} made-up matters, each in {len(HELD_OUT)} held-out wordings, yes or no; "
        f"{seeds[0]['people']} simulated people"
    )
    return Told(["; ".join(said) + "."], [section], law_bars(seeds, CLAIMED), over, asked)


def verdict(seeds: Seeds) -> Verdict:
    """Of the Borda theorem with DPO's optimum, as on the town."""
    held = [abs(scaled(s, beta) - 1) <= NEAR for s in seeds for beta in CLAIMED]
    says = "agrees" if all(held) else "disagrees"
    return Verdict(
        says,
        f"Beta times the slope lies within {NEAR:g} of 1 in {sum(held)} of {len(held)} cases (seeds times "
        "betas). Of two answers the Borda count is the share that is preferred.",
    )


FORM = Form(plan, measure, tell, verdict)
