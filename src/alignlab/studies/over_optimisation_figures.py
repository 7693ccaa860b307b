"""The figures of one seed of the study `over-optimisation`: curves, laws, and where proposals would stop."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ConfigError
from ..run import RunInfo
from . import fits
from .over_optimisation_settings import OverOptimisation, OverOptimisationSettings
from .study import each, numbered, numbers

HALVES = ("reward-half-a", "reward-half-b")


def lengths(settings: OverOptimisationSettings) -> list[int]:
    """The steps after which RL is looked at, rising. Raises ConfigError for none, or less than a step."""
    found = sorted({int(steps) for steps in numbers(settings.rl_steps, "over_optimisation.rl_steps")})
    if not found or found[0] < 1:
        raise ConfigError(f"over_optimisation.rl_steps = {settings.rl_steps!r}", remedy="as 1,4,16")
    return found


def measure(runs: dict[str, RunInfo], settings: OverOptimisation) -> dict[str, Any]:
    """Best of N by each reward model, RL by its length and DPO by its beta on the same prompts; where to stop
    without knowing gold.
    """
    o, rows = settings.over_optimisation, runs["curve"].samples
    table = {name: np.array(each(rows, "scores", name)) for name in rows[0]["scores"]}
    gold, questions = table.pop("gold"), numbered(rows)
    start = {"gold": gold.mean(1), "reward": table["reward"].mean(1)}
    best_of_n: dict[str, Any] = {}
    for name, proxy in table.items():
        # of a reward model of one's own nothing was held out here
        summary = runs[name].summary if name in runs else {}
        best_of_n[name] = of_best_of_n(proxy, gold, questions, summary, o)
    stop = {"best of N": of_stopping_best_of_n(table, gold, questions, best_of_n, o)}
    rl: dict[str, Any] = {}
    for name in ("ppo", "rloo"):
        rl[name], stop[name.upper()] = of_rl(runs, name, start, gold[:, 0], questions, o)
    dpo: dict[str, Any] = {}
    for name, info in runs.items():
        if name.startswith("point-dpo-"):
            dpo[name.removeprefix("point-dpo-")] = {
                "kl": info.summary["kl"]["mean"],
                "gain": float(gained(info, "gold", start).mean()),
                "gain_error": standard_error(gained(info, "gold", start), questions),
                "proxy": float(gained(info, "reward", start).mean()),
            }
    asked = {key: runs["curve"].summary[key] for key in ("prompts", "questions")}
    found = {"start": float(gold.mean()), "best_of_n": best_of_n, "rl": rl, "dpo": dpo, "stop": stop}
    return asked | found


def gained(info: RunInfo, judge: str, start: dict[str, np.ndarray]) -> np.ndarray:
    """(P,) what a policy gains over the start on each prompt, by one judge."""
    return np.array(each(info.samples, "means", judge)) - start[judge]


def standard_error(values_P: np.ndarray, questions_P: np.ndarray) -> float:
    """Of a mean over prompts, of which those of one question count as one draw; 0 of a single question."""
    asked = fits.rows_of(questions_P)
    if len(asked) < 2:
        return 0.0
    off = values_P - values_P.mean()
    sums = np.array([off[rows].sum() for rows in asked])
    return float(np.sqrt(len(asked) / (len(asked) - 1) * (sums**2).sum()) / len(values_P))


def along(gold_PK: np.ndarray, questions_P: np.ndarray) -> dict[str, Any]:
    """Gold along a grid whose first place is the start: gains, the best place, and the fall from it to the
    end. The best is chosen on one half of the questions and measured on the other.
    """
    gain_PK = gold_PK - gold_PK[:, :1]
    places_P = fits.chosen_elsewhere(gold_PK, questions_P)
    best_P = np.take_along_axis(gain_PK, places_P[:, None], 1)[:, 0]
    fall_P = best_P - gain_PK[:, -1]
    return {
        "gain": gain_PK.mean(0).tolist(),
        "gain_error": [standard_error(column, questions_P) for column in gain_PK.T],
        "peak": fits.peak(gold_PK.mean(0).tolist()),
        "best": float(best_P.mean()),
        "fall": float(fall_P.mean()),
        "fall_error": standard_error(fall_P, questions_P),
    }


def of_best_of_n(
    proxy: np.ndarray,
    gold: np.ndarray,
    questions_P: np.ndarray,
    summary: dict[str, Any],
    settings: OverOptimisationSettings,
) -> dict[str, Any]:
    """Best of N by one reward model, with the law and its intervals.

    Args:
        summary: of the run that made it; empty for one that was not made here.
    """
    c, fine = fits.best_of_n_curve(proxy, gold), fits.best_of_n_curve(proxy, gold, every=True)
    gains_PK = fine.gold_PK - fine.gold_PK[:, :1]
    law = fits.fit_over_prompts(fine.kl, gains_PK, questions_P=questions_P, resamples=settings.resamples)
    found = along(c.gold_PK, questions_P)
    return found | {
        "n": c.ns,
        "kl": c.kl,
        "kl_seen": c.kl_seen,
        "proxy": (c.proxy_PK - c.proxy_PK[:, :1]).mean(0).tolist(),
        "fit": law.to_json(),
        "r2_powers_of_2": fits.fit(c.kl, found["gain"], "best_of_n").r2,
        "accuracy": summary["accuracy"]["mean"] if summary else None,
        "pairs": summary.get("pairs"),
    }


def of_stopping_best_of_n(
    table: dict[str, np.ndarray],
    gold: np.ndarray,
    questions_P: np.ndarray,
    best_of_n: dict[str, Any],
    settings: OverOptimisationSettings,
) -> dict[str, Any]:
    """Where whoever does not know gold would stop, and what it costs."""
    o, c = settings, fits.best_of_n_curve(table["reward"], gold)
    picks_PK, labels_P = fits.first_picks(table["reward"], gold)
    found = fits.proposals(
        c.kl,
        picks_PK,
        c.gold_PK,
        "best_of_n",
        questions_P=questions_P,
        labels_P=labels_P,
        labelled=o.labelled,
        always=place_of(o.always_n, c.ns),
        draws=o.draws,
    ).to_json()
    second: list[dict[str, Any]] = []
    for name, other in (HALVES, HALVES[::-1]):
        place, row = fits.by_second_opinion(table[name], table[other]), best_of_n[name]
        lost = row["gain"][row["peak"]] - row["gain"][place]
        second.append({"place": place, "top": row["peak"], "lost": lost})
    return found | {"grid": c.ns, "second opinion": second}


def place_of(value: int, grid: list[int]) -> int:
    return fits.nearest(np.log2(np.maximum(grid, 0.5)).tolist(), float(np.log2(value)))


def of_rl(
    runs: dict[str, RunInfo],
    name: str,
    start: dict[str, np.ndarray],
    first_P: np.ndarray,
    questions_P: np.ndarray,
    settings: OverOptimisationSettings,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """RL without a penalty by its length, from none, with the law; and where proposals would stop.

    Args:
        first_P: gold of one sample of the start for each prompt, which a labeller would see.
    """
    o, steps = settings, lengths(settings)
    points = [runs[f"point-{name}-free-{length}"] for length in steps]
    kl = [0.0, *(max(0.0, info.summary["kl"]["mean"]) for info in points)]
    gains_PK = np.stack([np.zeros(len(first_P)), *(gained(info, "gold", start) for info in points)], 1)
    gold_PK = gains_PK + start["gold"][:, None]
    try:
        law = fits.fit_over_prompts(
            kl, gains_PK, "rl", questions_P=questions_P, resamples=o.resamples
        ).to_json()
    except ValueError:  # fewer than three lengths that moved at all
        law = None
    picks_PK = np.stack([first_P, *(np.array(each(info.samples, "scores", "gold")) for info in points)], 1)
    grid = [0, *steps]
    found = fits.proposals(
        kl,
        picks_PK,
        gold_PK,
        "rl",
        questions_P=questions_P,
        labels_P=np.full(len(picks_PK), len(grid)),
        labelled=o.labelled,
        always=place_of(o.always_steps, grid),
        draws=o.draws,
    ).to_json()
    proxy = [0.0, *(float(gained(info, "reward", start).mean()) for info in points)]
    rl = along(gold_PK, questions_P) | {"steps": grid, "kl": kl, "proxy": proxy, "fit": law}
    return rl, found | {"grid": grid}
