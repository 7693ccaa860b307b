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
from ..evals.statistics import seeds_summary
from ..pipeline.runner import Stage
from ..report import charts
from ..run import RunInfo
from . import fits, steps
from .settings import StudySettings
from .study import TO_DPO, Bar, Planner, Study, Told, banded, each, fresh, made, mean, numbers, spread, start

NAMES = {"ppo": "PPO", "rloo": "RLOO", "dpo": "DPO"}
DIALS = {"ppo": "kl_coef", "rloo": "kl_coef", "dpo": "beta"}


def plan(stage: Planner, model: str, settings: StudySettings, seed: int) -> dict[str, Stage]:
    s, f, new = settings, settings.kl_frontier, fresh(seed)
    sft, ranked, reward = start(stage, model, s, seed)
    rl = {
        "model": sft,
        "reward": reward,
        "data": s.own.fresh,
        "count": s.prompts,
        "gold": s.own.gold,
        "seed": new,
    }
    asked = {"data": s.own.fresh, "gold": s.own.gold, "seed": new}
    policies: dict[str, Stage] = {}
    for kl_coef in dial(f.ppo_kl_coefs, "ppo_kl_coefs"):
        policies[f"ppo {kl_coef:g}"] = stage(
            f"ppo-kl-{kl_coef:g}", stages.ppo, ptx="", settings=replace(f.ppo, kl_coef=kl_coef), **rl
        )
    for kl_coef in dial(f.rloo_kl_coefs, "rloo_kl_coefs"):
        policies[f"rloo {kl_coef:g}"] = stage(
            f"rloo-kl-{kl_coef:g}", stages.rloo, judge="", settings=replace(f.rloo, kl_coef=kl_coef), **rl
        )
    for beta in dial(f.dpo_betas, "dpo_betas"):
        policies[f"dpo {beta:g}"] = stage(
            f"dpo-{beta:g}", stages.dpo, model=sft, data=ranked, seed=seed, settings=replace(s.dpo, beta=beta)
        )
    if not policies:
        raise ConfigError(
            "kl_frontier: nothing to sweep",
            remedy="at least one of ppo_kl_coefs, rloo_kl_coefs and dpo_betas",
        )
    planned = made({"reward": reward}) | {
        "curve": stage("curve-frontier", steps.curve, model=sft, rewards=[reward], settings=f.curve, **asked),
        "point sft": stage(
            "point-sft", steps.point, model=sft, reference=sft, rewards=[reward], settings=s.point, **asked
        ),
    }
    for name, policy in policies.items():
        planned[f"point {name}"] = stage(
            "point-" + policy.out.name,
            steps.point,
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


def measure(runs: dict[str, RunInfo], settings: StudySettings) -> dict[str, Any]:
    found: dict[str, Any] = {"sft": runs["point sft"].summary["scores"], "sweeps": {}}
    for name, info in runs.items():
        if name.startswith("point ") and name != "point sft":
            method, value = name.split()[1:]
            row = {
                "dial": float(value),
                "kl": info.summary["kl"],
                "gold": info.summary["scores"]["gold"],
                "proxy": info.summary["scores"]["reward"],
                "finished": info.summary["finished"],
            }
            found["sweeps"].setdefault(method, []).append(row)
    for rows in found["sweeps"].values():
        rows.sort(key=lambda row: row["dial"])
    scores = each(runs["curve"].samples, "scores")
    c = fits.best_of_n_curve(np.array(each(scores, "reward")), np.array(each(scores, "gold")))
    found["best_of_n"] = {
        "n": c.ns,
        "kl": c.kl,
        "kl_seen": c.kl_seen,
        "gold": c.gold_PK.mean(0).tolist(),
        "proxy": c.proxy_PK.mean(0).tolist(),
    }
    return found


def tell(seeds: Sequence[dict[str, Any]]) -> Told:
    sweeps = {method: each(seeds, "sweeps", method) for method in seeds[0]["sweeps"]}
    start, best_of_n = each(seeds, "sft", "gold", "mean"), average_best_of_n(seeds)
    highest = max(best_of_n["gold"])
    conclusion = [
        f"The SFT model has gold {spread(start)} at temperature 1; best of N by the same reward model "
        f"reaches {highest:.3f} at N = {seeds[0]['best_of_n']['n'][best_of_n['gold'].index(highest)]}."
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
            rows.append([f"{NAMES[method]}, {DIALS[method]} {row['dial']:g}", *cells])
        gold[NAMES[method]], proxy[NAMES[method]] = along_kl(by_seed, "gold"), along_kl(by_seed, "proxy")
        conclusion.append(said_of(method, by_seed))
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


def said_of(method: str, by_seed: Sequence[Sequence[dict[str, Any]]]) -> str:
    """Where gold is best, and what the ends of the sweep differ in."""
    best = [max(rows, key=lambda row: row["gold"]["mean"]) for rows in by_seed]
    dials = ", ".join(sorted({f"{row['dial']:g}" for row in best}))

    def from_to(key: str) -> tuple[str, str]:
        return spread(each(by_seed, -1, key, "mean"), 2), spread(each(by_seed, 0, key, "mean"), 2)

    (kl, kl_at_last), (proxy, proxy_at_last) = from_to("kl"), from_to("proxy")
    return (
        f"{NAMES[method]}: gold is best at {DIALS[method]} {dials} ({spread(each(best, 'gold', 'mean'))}, "
        f"{spread(each(best, 'kl', 'mean'), 1)} nats); from the largest to the smallest {DIALS[method]} KL "
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
            "heads": ["policy", "KL", "proxy", "gold", "ends by itself"],
            "rows": rows,
            "note": (
                "Gold by the judge that knows the truth (the town's: 0 to 1), proxy in deviations of "
                "the reward model's training scores; mean ± standard deviation over seeds."
            ),
        },
    }


KL_FRONTIER = Study(
    title="The KL penalty, felt",
    question=(
        "What do PPO's and RLOO's kl_coef and DPO's beta buy: how far does the policy go, what does the "
        "reward model say, and what is true?"
    ),
    controls=(
        "The SFT model at KL 0 and best-of-N, which needs no training, on the same prompts; one reward "
        "model for all; prompts that it never saw."
    ),
    reads=(*TO_DPO, "point", "kl_frontier"),
    plan=plan,
    measure=measure,
    tell=tell,
)
