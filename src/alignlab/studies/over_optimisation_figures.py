"""The figures of one seed of the study `over-optimisation`: curves, laws, and where each proposal would stop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..run import RunInfo
from . import fits
from .settings import OverOptimisationSettings, StudySettings
from .study import each, mean

HALVES = ("reward-half-a", "reward-half-b")
BLOCKS = 8  # the grid of an RL run: its steps in so many blocks


def measure(runs: dict[str, RunInfo], settings: StudySettings) -> dict[str, Any]:
    """Best of N by each reward model, stopping without gold, RL along its steps, DPO at its end."""
    o, rows = settings.over_optimisation, runs["curve"].samples
    table = {name: np.array(each(rows, "scores", name)) for name in rows[0]["scores"]}
    gold = table.pop("gold")
    start = {"gold": float(gold.mean()), "prompts": len(gold), "samples": gold.shape[1]}
    best_of_n: dict[str, Any] = {}
    for name, proxy in table.items():
        # of a reward model of one's own nothing was held out here
        summary = runs[name].summary if name in runs else {}
        best_of_n[name] = of_best_of_n(proxy, gold, summary, o)
    rl: dict[str, Any] = {}
    for name in ("ppo", "rloo"):
        rl[name] = of_rl(runs[f"{name}-free"], start["gold"], o)
        end = runs[f"point-{name}-free"].summary
        rl[name] |= {"end": end["scores"], "end_kl": end["kl"]}
    dpo: dict[str, Any] = {}
    for name, info in runs.items():
        if name.startswith("point-dpo-"):
            scores = info.summary["scores"]
            dpo[name.removeprefix("point-dpo-")] = {
                "kl": info.summary["kl"]["mean"],
                "gain": scores["gold"]["mean"] - start["gold"],
                "gold": scores["gold"],
                "proxy": scores["reward"]["mean"] - float(table["reward"].mean()),
            }
    found = {"start": start, "best_of_n": best_of_n, "rl": rl, "dpo": dpo}
    return found | {"stop": where_to_stop(table, gold, best_of_n, o)}


def of_best_of_n(
    proxy: np.ndarray, gold: np.ndarray, summary: dict[str, Any], settings: OverOptimisationSettings
) -> dict[str, Any]:
    """Best of N by one reward model, with the law and its intervals.

    Args:
        summary: of the run that made it; empty for one that was not made here.
    """
    c, fine = fits.best_of_n_curve(proxy, gold), fits.best_of_n_curve(proxy, gold, every=True)
    law = fits.fit_over_prompts(
        fine.kl, fine.gold_PK, start_P=fine.gold_PK[:, 0], resamples=settings.resamples
    )
    means, gain_PK = c.gold_PK.mean(0), c.gold_PK - c.gold_PK[:, :1]
    coarse = fits.fit(c.kl, gain_PK.mean(0).tolist(), "best_of_n")
    top = fits.peak(means.tolist())
    errors = np.zeros(len(c.ns))
    if len(gold) > 1:
        errors = gain_PK.std(0, ddof=1) / math.sqrt(len(gold))
    from_top = [standard_error(c.gold_PK[:, top] - of_n_P) for of_n_P in c.gold_PK.T]
    return {
        "n": c.ns,
        "kl": c.kl,
        "kl_seen": c.kl_seen,
        "gold": means.tolist(),
        "gain": gain_PK.mean(0).tolist(),
        "gain_error": errors.tolist(),
        "proxy": (c.proxy_PK - c.proxy_PK[:, :1]).mean(0).tolist(),
        "fit": law.to_json(),
        "r2_powers_of_2": coarse.r2,
        "peak": top,
        "plateau": fits.plateau(means.tolist(), from_top),
        "accuracy": summary["accuracy"]["mean"] if summary else None,
        "pairs": summary.get("pairs"),
    }


def standard_error(values: np.ndarray) -> float:
    """Of a mean; 0 of a single value, which has none."""
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0


def where_to_stop(
    table: dict[str, np.ndarray],
    gold: np.ndarray,
    best_of_n: dict[str, Any],
    settings: OverOptimisationSettings,
) -> dict[str, Any]:
    """Places on the curve that are proposed by whoever does not know gold, and where gold has its peak."""
    o, (a, b) = settings, (table[name] for name in HALVES)
    places: list[int] = []
    labels: list[float] = []
    for draw in range(o.draws):
        place, bought = fits.by_labelled_sample(table["reward"], gold, o.labelled, seed=draw)
        places.append(place)
        labels.append(float(bought))
    return {
        "labelled sample": {"proposed": places, "labels": mean(labels), "peak": best_of_n["reward"]["peak"]},
        "second opinion": {
            "proposed": [fits.by_second_opinion(a, b), fits.by_second_opinion(b, a)],
            "labels": 0.0,
            "peak": [best_of_n[name]["peak"] for name in HALVES],
        },
    }


def of_rl(info: RunInfo, start: float, settings: OverOptimisationSettings) -> dict[str, Any]:
    """RL along those of its steps whose gold is known, relative to the start that all share."""
    kl: list[float] = []
    proxy: list[float] = []
    gold: list[float] = []
    for row in info.metrics:
        if row.get("objective/gold") is not None:
            kl.append(max(0.0, row.get("objective/kl", row.get("kl", 0.0))))
            proxy.append(row.get("objective/scores", row.get("reward", 0.0)))
            gold.append(float(row["objective/gold"]))
    gain = [value - start for value in gold]
    found = {"kl": kl, "proxy": [value - proxy[0] for value in proxy], "gold": gold, "gain": gain}
    return found | rl_figures(kl, gold, gain, settings.resamples)


def rl_figures(
    kl: Sequence[float], gold: Sequence[float], gain: Sequence[float], resamples: int
) -> dict[str, Any]:
    """The RL law on all steps; its peak by blocks of steps, and where the law on every fourth step would have
    stopped.
    """
    size = max(1, len(kl) // BLOCKS)
    starts = range(0, len(kl) - size + 1, size)
    blocks = [(mean(kl[i : i + size]), mean(gold[i : i + size])) for i in starts]
    try:
        law = fits.fit_over_points(kl, gain, "rl", resamples=resamples).to_json()
        thin = fits.fit(kl[::4], gain[::4], "rl")
        at = len(blocks) - 1
        if thin.peak_kl is not None:
            at = fits.nearest(np.sqrt(each(blocks, 0)).tolist(), math.sqrt(thin.peak_kl))
    except ValueError:  # too few steps that moved at all
        law, at = None, None
    return {"fit": law, "block_kl": each(blocks, 0), "peak": fits.peak(each(blocks, 1)), "proposed": at}
