"""The study `kl-frontier`: what the KL penalty of PPO and RLOO, and DPO's beta, buy: reward against KL, by
the proxy and by gold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from operator import itemgetter
from typing import Any

import numpy as np

from .. import stages
from ..errors import ConfigError
from ..evals.statistics import paired_difference, seeds_summary
from ..pipeline.runner import Stage
from ..report import charts
from ..run import RunInfo
from . import fits, measuring
from .kl_frontier_settings import KLFrontier, Swept
from .study import (
    Bar,
    Form,
    Planner,
    Study,
    Told,
    banded,
    each,
    held_out,
    made,
    mean,
    numbered,
    numbers,
    spread,
    start,
    trained_on,
)

NAMES = {"ppo": "PPO", "rloo": "RLOO", "dpo": "DPO"}
DIALS = {"ppo": "kl_coef", "rloo": "kl_coef", "dpo": "beta"}


def ppo_sweep(
    stage: Planner, settings: Swept, sft: Stage | str, reward: Stage | str, seed: int
) -> dict[float, Stage]:
    """PPO at each kl_coef, smallest first, on the prompts that were ranked."""
    s, f = settings, settings.kl_frontier
    swept: dict[float, Stage] = {}
    for kl_coef in dial(f.ppo_kl_coefs, "ppo_kl_coefs"):
        swept[kl_coef] = stage(
            f"ppo-kl-{kl_coef:g}",
            stages.ppo,
            model=sft,
            reward=reward,
            data=s.own.prompts,
            count=s.prompts,
            ptx="",
            seed=seed,
            settings=replace(f.ppo, kl_coef=kl_coef),
        )
    return swept


def dpo_sweep(
    stage: Planner, settings: Swept, sft: Stage | str, ranked: Stage, seed: int
) -> dict[float, Stage]:
    """DPO at each beta, smallest first."""
    swept: dict[float, Stage] = {}
    for beta in dial(settings.kl_frontier.dpo_betas, "dpo_betas"):
        how = replace(settings.dpo, beta=beta)
        swept[beta] = stage(f"dpo-{beta:g}", stages.dpo, model=sft, data=ranked, seed=seed, settings=how)
    return swept


def plan(stage: Planner, model: str, settings: KLFrontier, seed: int) -> dict[str, Stage]:
    s, f = settings, settings.kl_frontier
    sft, ranked, reward = start(stage, model, s, seed)
    new = held_out(stage, s.test, trained_on(s), seed)
    asked = {"data": new, "count": s.measured, "gold": s.own.gold, "seed": seed}
    policies: dict[str, Stage] = {}
    for kl_coef, policy in ppo_sweep(stage, s, sft, reward, seed).items():
        policies[f"ppo {kl_coef:g}"] = policy
    for kl_coef in dial(f.rloo_kl_coefs, "rloo_kl_coefs"):
        policies[f"rloo {kl_coef:g}"] = stage(
            f"rloo-kl-{kl_coef:g}",
            stages.rloo,
            model=sft,
            reward=reward,
            judge="",
            data=s.own.prompts,
            count=s.prompts,
            seed=seed,
            settings=replace(f.rloo, kl_coef=kl_coef),
        )
    for beta, policy in dpo_sweep(stage, s, sft, ranked, seed).items():
        policies[f"dpo {beta:g}"] = policy
    if not policies:
        raise ConfigError(
            "kl_frontier: nothing to sweep",
            remedy="at least one of ppo_kl_coefs, rloo_kl_coefs and dpo_betas",
        )
    planned = made({"reward": reward}) | {
        "held-out": new,
        "curve": stage(
            "curve-frontier", measuring.curve, model=sft, rewards=[reward], settings=f.curve, **asked
        ),
        "point sft": stage(
            "point-sft",
            measuring.point,
            model=sft,
            reference=sft,
            rewards=[reward],
            settings=s.point,
            **asked,
        ),
    }
    for name, policy in policies.items():
        planned[f"point {name}"] = stage(
            "point-" + policy.out.name,
            measuring.point,
            model=policy,
            reference=sft,
            rewards=[reward],
            settings=s.point,
            **asked,
        )
    return planned


def dial(text: str, name: str) -> list[float]:
    """The values of a sweep, smallest first, each once."""
    values = sorted(set(numbers(text, f"kl_frontier.{name}")))
    if values and (values[0] < 0 or (name == "dpo_betas" and values[0] == 0)):
        raise ConfigError(f"kl_frontier.{name} = {text!r}", remedy="no value below 0; DPO's beta above 0")
    return values


def measure(runs: dict[str, RunInfo], settings: KLFrontier) -> dict[str, Any]:
    sft, rows = runs["point sft"], runs["curve"].samples
    found: dict[str, Any] = {"prompts": len(rows), "sft": sft.summary["scores"], "sweeps": {}, "best": {}}
    start_P, questions = np.array(each(sft.samples, "means", "gold")), numbered(rows)
    gold: dict[str, list[np.ndarray]] = {}
    for name, info in runs.items():
        if name.startswith("point ") and name != "point sft":
            method, value = name.split()[1:]
            gold_P = np.array(each(info.samples, "means", "gold"))
            row = {
                "dial": float(value),
                "kl": info.summary["kl"],
                "gold": info.summary["scores"]["gold"],
                "gain": paired_difference(gold_P.tolist(), start_P.tolist()),
                "proxy": info.summary["scores"]["reward"],
                "finished": info.summary["finished"],
            }
            found["sweeps"].setdefault(method, []).append(row)
            gold.setdefault(method, []).append(gold_P)
    for method, columns in gold.items():
        found["best"][method] = at_best(np.stack(columns, 1), questions)
    scores = each(rows, "scores")
    c = fits.best_of_n_curve(np.array(each(scores, "reward")), np.array(each(scores, "gold")))
    found["best_of_n"] = {
        "n": c.ns,
        "kl": c.kl,
        "kl_seen": c.kl_seen,
        "gold": c.gold_PK.mean(0).tolist(),
        "proxy": c.proxy_PK.mean(0).tolist(),
    } | at_best(c.gold_PK, questions)
    return found | {"questions": int(questions.max()) + 1}


def at_best(gold_PK: np.ndarray, questions_P: np.ndarray) -> dict[str, Any]:
    """The best place of a sweep, and gold where the other half of the questions has its best."""
    places_P = fits.chosen_elsewhere(gold_PK, questions_P)
    best_P = np.take_along_axis(gold_PK, places_P[:, None], 1)
    return {"peak": fits.peak(gold_PK.mean(0).tolist()), "best": float(best_P.mean())}


def tell(seeds: Sequence[dict[str, Any]]) -> Told:
    sweeps = {method: each(seeds, "sweeps", method) for method in seeds[0]["sweeps"]}
    start, best_of_n = each(seeds, "sft", "gold", "mean"), average_best_of_n(seeds)
    at = ", ".join(str(row["n"][row["peak"]]) for row in each(seeds, "best_of_n"))
    conclusion = [
        f"The SFT model has gold {spread(start)} at temperature 1; best of N by the same reward model "
        f"reaches {spread(each(seeds, 'best_of_n', 'best'))} at N = {at}."
    ]
    over: dict[str, Any] = {"sft: gold": seeds_summary(start)}
    rows: list[list[str]] = []
    bars: list[Bar] = []
    gold: dict[str, charts.Curve] = {}
    proxy: dict[str, charts.Curve] = {}
    for method, by_seed in sweeps.items():
        for place, row in enumerate(by_seed[0]):
            cells: list[str] = []
            for key in ("kl", "proxy", "gold", "finished"):
                values = each(by_seed, place, key, "mean")
                over[f"{method} {row['dial']:g}: {key}"] = seeds_summary(values)
                cells.append(spread(values))
            gains = spread(each(by_seed, place, "gain", "mean"), sign="+")
            rows.append([f"{NAMES[method]}, {DIALS[method]} {row['dial']:g}", *cells[:3], gains, cells[3]])
        gold[NAMES[method]], proxy[NAMES[method]] = along_kl(by_seed, "gold"), along_kl(by_seed, "proxy")
        conclusion.append(said_of(method, by_seed, each(seeds, "best", method)))
        bars += claims(method, by_seed)
    for curves, key in ((gold, "gold"), (proxy, "proxy")):
        curves["best of N (bound)"] = charts.Curve(best_of_n["kl"], best_of_n[key])
    return Told(conclusion, [section(gold, proxy, rows, len(seeds))], bars, over)


def average_best_of_n(seeds: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    """Means over the seeds at each N."""
    found: dict[str, list[float]] = {}
    for key in ("kl", "gold", "proxy"):
        found[key] = list(map(mean, zip(*each(seeds, "best_of_n", key), strict=True)))
    return found


def along_kl(by_seed: Sequence[Sequence[dict[str, Any]]], key: str) -> charts.Curve:
    """A figure against KL, means over the seeds; the band is their spread, or of one seed the interval."""
    points: list[tuple[float, float, float]] = []
    for rows in zip(*by_seed, strict=True):
        values = each(rows, key, "mean")
        error = seeds_summary(values)["sd"] if len(rows) > 1 else half(next(iter(rows))[key])
        points.append((mean(each(rows, "kl", "mean")), mean(values), error))
    points.sort(key=itemgetter(0))
    return banded([max(0.0, kl) for kl, _, _ in points], each(points, 1), each(points, 2))


def half(s: dict[str, Any]) -> float:
    """Half the width of an interval; of none, 0: no band is drawn."""
    low, high = s["ci"] or (0.0, 0.0)
    return (high - low) / 2


def said_of(method: str, by_seed: Sequence[Sequence[dict[str, Any]]], best: Sequence[dict[str, Any]]) -> str:
    """Where gold is best, and what the ends of the sweep differ in."""
    chosen = [rows[found["peak"]] for rows, found in zip(by_seed, best, strict=True)]
    dials = ", ".join(f"{row['dial']:g}" for row in chosen)

    def from_to(key: str) -> tuple[str, str]:
        return spread(each(by_seed, -1, key, "mean"), 2), spread(each(by_seed, 0, key, "mean"), 2)

    (kl, kl_at_last), (proxy, proxy_at_last) = from_to("kl"), from_to("proxy")
    return (
        f"{NAMES[method]}: gold is best at {DIALS[method]} {dials} ({spread(each(best, 'best'))}, chosen on "
        f"one half of the questions and measured on the other; {spread(each(chosen, 'kl', 'mean'), 1)} "
        f"nats); from the largest to the smallest {DIALS[method]} KL "
        f"goes from {kl} to {kl_at_last} nats and the proxy from {proxy} to {proxy_at_last}."
    )


def claims(method: str, by_seed: Sequence[Sequence[dict[str, Any]]]) -> list[Bar]:
    falls: list[bool] = []
    inside: list[bool] = []
    for rows in by_seed:
        kl, gold = each(rows, "kl", "mean"), each(rows, "gold", "mean")
        falls.append(all(after < before for before, after in pairwise(kl)))
        inside.append(0 < gold.index(max(gold)) < len(rows) - 1)
    bars = [Bar(f"{NAMES[method]}: the larger {DIALS[method]}, the smaller the KL", falls)]
    if len(by_seed[0]) > 2:
        bars.append(Bar(f"{NAMES[method]}: gold is best at neither end of the sweep", inside))
    return bars


def section(
    gold: dict[str, charts.Curve], proxy: dict[str, charts.Curve], rows: list[list[str]], seeds: int
) -> dict[str, Any]:
    caption = "Each dot is a policy, measured on its own samples at temperature 1; band: "
    caption += "spread over seeds." if seeds > 1 else "95 % over prompts."
    pictures: list[dict[str, str]] = []
    for curves, title, unit in ((gold, "Gold", "gold"), (proxy, "Proxy", "standardized score")):
        picture = charts.curves(
            curves, title=title, x="KL from the SFT model, nats (root scale)", y=unit, root_x=True
        )
        pictures.append(charts.captioned(picture, caption))
    return {
        "title": "Reward against KL",
        "charts": pictures,
        "table": {
            "heads": ["policy", "KL", "proxy", "gold", "gain over SFT", "ends by itself"],
            "rows": rows,
            "note": (
                "Gold by the judge that knows the truth (the town's: 0 to 1), proxy in deviations of "
                "the reward model's training scores; the gain is prompt by prompt. Mean ± standard "
                "deviation over seeds."
            ),
        },
    }


FORM = Form(plan, measure, tell)
KL_FRONTIER = Study(
    title="The KL penalty, felt",
    controls=(
        "The SFT model at KL 0 and best-of-N, which needs no training, on the same prompts, whose questions "
        "nothing was trained on; one reward model for all; what is best is chosen on one half of the "
        "questions and measured on the other."
    ),
    town=FORM,
    real=FORM,
)
