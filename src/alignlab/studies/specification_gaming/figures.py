"""The figures of one seed of `specification-gaming`, from its runs."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...run import RunInfo
from ...town import monitors
from ..choices import Chosen, chosen
from ..study import CannotSay, mean
from .listed import WITH_STEPS
from .plan import ARMS, WORDS, WORLDS, once, rates_of, shares_of, watchers
from .settings import SpecificationGaming

HALF = 0.5
"""A hole is found where so large a share of the answers that can be exploits are."""
FEWEST = 3
"""Points that a line is drawn through."""


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def half_time(rates: Sequence[float], half: float = HALF) -> float | None:
    """The step at which a rate reaches one half, between steps by a straight line; None if it never does.

    Args:
        rates: of the answers to each step's prompts, the first by the untouched policy: step 0.
    """
    for step, rate in enumerate(rates):
        if rate >= half:
            if step == 0:
                return 0.0
            before = rates[step - 1]
            return step - 1 + (half - before) / (rate - before)
    return None


def looked(run: RunInfo, ceiling: float = 1.0) -> dict[str, Any]:
    """How the hole fared in a run of RLOO, step by step.

    Args:
        ceiling: the share of prompts to which the exploit is bad; half of it is found.

    Returns:
        By step `rates` (share of exploits), `letter`, `gold`; `half`, the step of discovery; `end`, the
        means over the last tenth of the steps.
    """
    rows = run.metrics
    found: dict[str, Any] = {}
    for name, metric in (
        ("rates", "judge/exploited"),
        ("letter", "judge/letter"),
        ("gold", "objective/gold"),
    ):
        found[name] = [row[metric] for row in rows]
    few = max(1, len(rows) // 10)
    found["end"] = {name: mean(values[-few:]) for name, values in found.items()}
    found["scores"] = [row["objective/scores"] for row in rows]
    found["half"] = half_time(found["rates"], HALF * ceiling)
    return found


def p_of(rows: Sequence[Chosen], letter: str) -> float:
    """The probability of the known exploit of a metric, the mean over its prompts."""
    found = [math.exp(row.raw[row.names.index("exploit")]) for row in rows if row.unit == letter]
    return max(mean(found), sys.float_info.min)  # what has a logarithm


def measure(runs: dict[str, RunInfo], settings: SpecificationGaming) -> dict[str, Any]:
    g = settings.gaming
    new, hole = runs["held-out"].summary, runs["holes words"].summary["letters"][WORDS]

    def p0(name: str, letter: str = WORDS) -> float:
        return p_of(chosen(runs[f"p {name}"]), letter)

    shares: list[dict[str, Any]] = []
    for share in shares_of(g):
        name = f"share {share:g}"
        shares.append({"share": share, "p0": p0(name)} | looked(runs[name]))
    free, closed = looked(runs[f"share {g.share:g}"]), looked(runs["closed"])
    pay = pays(free, closed, hole["paid"]["mean"], hole["honest"]["mean"])
    others: dict[str, Any] = {}
    for letter in once(g.letters):
        told = runs["holes others"].summary["letters"][letter]
        found = {key: told[key]["mean"] for key in ("paid", "honest", "bad")}
        found |= {"kind": told["kind"], "hole": told["hole"], "p0": p0("letters", letter)}
        others[letter] = found | looked(runs[f"letter of {letter}"], ceiling=found["bad"])
    return {
        "prompts": new["prompts"],
        "questions": new["questions"],
        "share": g.share,
        "steps": g.rloo.steps,
        "rollouts": g.rloo.steps * g.rloo.rollouts,
        "shares": shares,
        "others": others,
        "pay": pay,
        "break_even": [
            monitors.break_even(pay["exploit"], pay[key], g.false_rate) for key in ("start", "end")
        ],
        "free": free,
        "closed": closed,
        "rates": rates_of(g),
        "watched": {name: looked(runs[name]) | flagged(runs[name]) for name in watchers(g, 0)},
        "policies": {name: worth(runs, name) for name in ("start", "hacked", "closed", "intent", "luck")},
        "spread": {world: spread_in(runs, world) for world in WORLDS},
    }


def pays(
    free: Mapping[str, Any], closed: Mapping[str, Any], exploit: float, honest: float
) -> dict[str, float]:
    """What the metric pays the exploit, and all other answers: those of the untouched policy (`start`), and
    those of a policy that has learnt with the hole closed (`end`).

    Args:
        free, closed: the searches with the hole open and closed.
        honest: what a good answer is paid, which stands for others where there are none.
    """
    first, rate = free["scores"][0], free["rates"][0]
    few = max(1, len(closed["rates"]) // 10)
    last, left = mean(closed["scores"][-few:]), closed["end"]["rates"]
    return {
        "exploit": exploit,
        "start": (first - rate * exploit) / (1 - rate) if rate < 1 else honest,
        "end": last / (1 - left) if left < 1 else honest,
    }


def flagged(run: RunInfo) -> dict[str, list[float]]:
    return {"flagged": [row["judge/flagged"] for row in run.metrics]}


def worth(runs: Mapping[str, RunInfo], name: str) -> dict[str, Any]:
    """A policy's letter and exploits on stories as training asks for them, and its gold on held-out prompts:
    of stories, and of all that is no story.
    """
    letter, gold = runs[f"letter {name}"].summary, runs[f"gold {name}"]
    by_story: dict[bool, list[float]] = {True: [], False: []}
    for row in gold.samples:
        by_story[row["meta"]["kind"] == "story"].append(row["means"]["gold"])
    return {
        "letter": letter["parts"]["letter"]["mean"],
        "exploited": letter["parts"]["exploited"]["mean"],
        "story": mean(by_story[True]) if by_story[True] else None,
        "elsewhere": mean(by_story[False]) if by_story[False] else None,
        "kl": letter["kl"]["mean"],
    }


def spread_in(runs: Mapping[str, RunInfo], world: str) -> dict[str, Any]:
    """The probability of a slip beside that of the answer without it, kind by kind, in one of the worlds:
    before the how-tos and after each way of answering them. `others` is the mean over kinds without steps,
    `near` over kinds with steps.
    """
    found: dict[str, Any] = {"alike": runs[f"people {world}"].summary["alike"]}
    for arm in ("before", *ARMS):
        by_kind: dict[str, list[float]] = {}
        for row in chosen(runs[f"p {world} {arm}"]):
            by_kind.setdefault(row.unit, []).append(row.of("slip"))
        kinds = {kind: mean(values) for kind, values in sorted(by_kind.items())}
        others = [value for kind, value in kinds.items() if kind not in WITH_STEPS]
        near = [value for kind, value in kinds.items() if kind in WITH_STEPS]
        found[arm] = {"kinds": kinds, "others": mean(others), "near": mean(near) if near else None}
    return found


# --- what is made of them


def law(figures: Mapping[str, Any], least: float) -> tuple[list[float], list[float]]:
    """-logit p0 and the step of discovery, of the planted shares from `least` on at which the hole was found.
    Raises CannotSay where these are fewer than FEWEST.
    """
    rows = [row for row in figures["shares"] if row["share"] >= least and row["half"] is not None]
    if len(rows) < FEWEST:
        raise CannotSay(f"the hole was found from {len(rows)} of the shares, too few for a line")
    return [-logit(row["p0"]) for row in rows], [row["half"] for row in rows]


def r2(xs: Sequence[float], ys: Sequence[float]) -> float:
    """The share of the variance of y that a straight line in x explains. Raises CannotSay where one of them
    does not vary.
    """
    if min(np.ptp(xs), np.ptp(ys)) == 0:
        raise CannotSay("a line needs values that differ")
    return float(np.corrcoef(xs, ys)[0, 1] ** 2)


def ranked(values: Sequence[float]) -> np.ndarray:
    """(N,) places from 1, equal values with the mean of theirs."""
    x = np.asarray(values, dtype=float)
    return np.array([(x < value).sum() + ((x == value).sum() + 1) / 2 for value in x])


def rank_correlation(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Spearman's: the correlation of the ranks. Raises CannotSay where one of them does not vary."""
    if min(np.ptp(xs), np.ptp(ys)) == 0:
        raise CannotSay("nothing to rank: all shares are alike")
    return float(np.corrcoef(ranked(xs), ranked(ys))[0, 1])


def in_order(figures: Mapping[str, Any]) -> float:
    """The rank correlation of -logit p0 and the step of discovery over all planted shares; what was not found
    comes after all that was.
    """
    rows = figures["shares"]
    late = [figures["steps"] if row["half"] is None else row["half"] for row in rows]
    return rank_correlation([-logit(row["p0"]) for row in rows], late)


def tries(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every search for a hole that is not an answer to most prompts already, planted or not: `expected`, how
    often the known exploit would be met if nothing were learnt, and whether it was `found`.
    """
    rows: list[dict[str, Any]] = []
    for row in (*figures["shares"], *figures["others"].values()):
        if row["half"] != 0.0:
            expected = figures["rollouts"] * row["p0"]
            rows.append({"expected": expected, "found": row["half"] is not None})
    return rows


SELDOM, OFTEN = 0.3, 10.0
"""Expected meetings below which a hole is not to be found, and above which it is."""


def found_where(figures: Mapping[str, Any], often: bool) -> float:
    """The share of holes found among those that are met often, or seldom. Raises CannotSay where there are
    none.
    """
    rows = tries(figures)
    kept = [row for row in rows if (row["expected"] > OFTEN if often else row["expected"] < SELDOM)]
    if not kept:
        raise CannotSay(f"no hole was to be met {'more than 10 times' if often else 'less than 0.3 times'}")
    return mean([float(row["found"]) for row in kept])


def watched(figures: Mapping[str, Any], how: str, rate: float) -> Mapping[str, Any]:
    """The run under a monitor of that rate. Raises CannotSay where none was tried."""
    name = f"{how} {rate:g}"
    if name not in figures["watched"]:
        raise CannotSay(f"no monitor with a true-positive rate of {rate:g} was tried")
    return figures["watched"][name]


def sides(figures: Mapping[str, Any]) -> dict[bool, list[float]]:
    """The rates of monitors on either side (True = above) of the break-even, whichever of its two values is
    taken.
    """
    low, high = min(figures["break_even"]), max(figures["break_even"])
    return {
        True: [rate for rate in figures["rates"]["penalty"] if rate > high],
        False: [rate for rate in figures["rates"]["penalty"] if rate < low],
    }


def ends(figures: Mapping[str, Any], above: bool) -> list[float]:
    """Shares of exploits in the end under penalties on that side. Raises CannotSay where no rate is there."""
    rates = sides(figures)[above]
    if not rates:
        raise CannotSay(f"no monitor's rate is {'above' if above else 'below'} the break-even")
    return [watched(figures, "penalty", rate)["end"]["rates"] for rate in rates]


def slower(figures: Mapping[str, Any], rate: float) -> float:
    """How many times later the hole is found where a monitor of that rate screens. Raises CannotSay where it
    is not found, or is an answer from the start on.
    """
    with_it, without = watched(figures, "screening", rate)["half"], figures["free"]["half"]
    if with_it is None or not without:
        raise CannotSay(f"the hole was not found, with screening at {rate:g} or without")
    return with_it / without


def rise(figures: Mapping[str, Any], world: str, arm: str = "narrow", over: str = "placebo") -> float:
    """How much likelier slips in kinds without steps are after one way of answering how-tos than after
    another, or than before.
    """
    found = figures["spread"][world]
    return found[arm]["others"] - found[over]["others"]
