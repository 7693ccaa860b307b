"""The study `kl-frontier`: what the KL penalty of PPO and RLOO, and DPO's beta, buy: reward against KL, by
the proxy and by gold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
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
from .study import Bar, Planner, Study, Told, each, fresh, made, mean, numbers, spread, start

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
    table = {
        name: np.array([row["scores"][name] for row in runs["curve"].samples]) for name in ("reward", "gold")
    }
    c = fits.best_of_n_curve(table["reward"], table["gold"])
    found["best_of_n"] = {
        "n": c.ns,
        "kl": c.kl,
        "kl_seen": c.kl_seen,
        "gold": c.gold_PK.mean(0).tolist(),
        "proxy": c.proxy_PK.mean(0).tolist(),
    }
    return found


def falls(values: Sequence[float]) -> bool:
    return all(b < a for a, b in zip(values, values[1:], strict=False))


def tell(seeds: Sequence[dict[str, Any]]) -> Told:
    sweeps = {method: each(seeds, "sweeps", method) for method in seeds[0]["sweeps"]}
    over: dict[str, Any] = {"sft: gold": seeds_summary(each(seeds, "sft", "gold", "mean"))}
    rows, series, proxies, said = [], {}, {}, []
    for method, by_seed in sweeps.items():
        title = NAMES[method]
        for i, row in enumerate(by_seed[0]):
            get = {key: each(by_seed, i, key, "mean") for key in ("kl", "gold", "proxy", "finished")}
            rows.append(
                [
                    f"{title}, {DIALS[method]} {row['dial']:g}",
                    *(spread(get[key]) for key in ("kl", "proxy", "gold", "finished")),
                ]
            )
            over |= {f"{method} {row['dial']:g}: {key}": seeds_summary(values) for key, values in get.items()}
        means = {
            key: [mean(each(by_seed, i, key, "mean")) for i in range(len(by_seed[0]))]
            for key in ("kl", "gold", "proxy")
        }
        errors = {
            key: [
                seeds_summary(each(by_seed, i, key, "mean"))["sd"]
                if len(seeds) > 1
                else half(by_seed[0][i][key])
                for i in range(len(by_seed[0]))
            ]
            for key in ("gold", "proxy")
        }
        for store, key in ((series, "gold"), (proxies, "proxy")):
            order = sorted(range(len(means["kl"])), key=lambda i: means["kl"][i])
            ys, es = [means[key][i] for i in order], [errors[key][i] for i in order]
            store[title] = charts.Curve(
                [max(0.0, means["kl"][i]) for i in order],
                ys,
                [y - e for y, e in zip(ys, es, strict=True)],
                [y + e for y, e in zip(ys, es, strict=True)],
            )
        best = [max(rows_, key=lambda row: row["gold"]["mean"]) for rows_ in by_seed]
        said.append(
            f"{title}: gold is best at {DIALS[method]} {', '.join(sorted({format(row['dial'], 'g') for row in best}))} ({spread(each(best, 'gold', 'mean'))}, "
            f"{spread(each(best, 'kl', 'mean'), 1)} nats); from the largest to the smallest "
            f"{DIALS[method]} KL goes from "
            f"{spread(each(by_seed, -1, 'kl', 'mean'), 2)} to "
            f"{spread(each(by_seed, 0, 'kl', 'mean'), 2)} nats and the proxy from "
            f"{spread(each(by_seed, -1, 'proxy', 'mean'), 2)} to "
            f"{spread(each(by_seed, 0, 'proxy', 'mean'), 2)}."
        )
    n = seeds[0]["best_of_n"]["n"]
    of_n = {
        key: [mean(each(seeds, "best_of_n", key, i)) for i in range(len(n))]
        for key in ("kl", "gold", "proxy")
    }
    for store, key in ((series, "gold"), (proxies, "proxy")):
        store["best of N (bound)"] = charts.Curve(of_n["kl"], of_n[key])
    conclusion = [
        f"The SFT model has gold {spread(each(seeds, 'sft', 'gold', 'mean'))} at temperature 1; best of N by the same reward model reaches "
        f"{max(of_n['gold']):.3f} at N = {n[of_n['gold'].index(max(of_n['gold']))]}.",
        *said,
    ]
    bars = []
    for method, by_seed in sweeps.items():
        bars.append(
            Bar(
                f"{NAMES[method]}: the larger {DIALS[method]}, the smaller the KL",
                [falls(each(rows_, "kl", "mean")) for rows_ in by_seed],
            )
        )
        if len(by_seed[0]) > 2:
            bars.append(
                Bar(
                    f"{NAMES[method]}: gold is best at neither end of the sweep",
                    [
                        0 < max(range(len(rows_)), key=lambda i: rows_[i]["gold"]["mean"]) < len(rows_) - 1
                        for rows_ in by_seed
                    ],
                )
            )
    caption = "Each dot is a policy, measured on its own samples at temperature 1; " + (
        "band: spread over seeds." if len(seeds) > 1 else "band: 95 % over prompts."
    )
    sections = [
        {
            "title": "Reward against KL",
            "charts": [
                charts.captioned(
                    charts.curves(
                        series,
                        title="Gold",
                        x="KL from the SFT model, nats (root scale)",
                        y="gold",
                        root_x=True,
                    ),
                    caption,
                ),
                charts.captioned(
                    charts.curves(
                        proxies,
                        title="Proxy",
                        x="KL from the SFT model, nats (root scale)",
                        y="standardized score",
                        root_x=True,
                    ),
                    caption,
                ),
            ],
            "table": {
                "heads": ["policy", "KL", "proxy", "gold", "ends by itself"],
                "rows": rows,
                "note": (
                    "Gold by the judge that knows the truth (the town's: 0 to 1), proxy in deviations of "
                    "the reward model's training scores; mean ± standard deviation over seeds."
                ),
            },
        }
    ]
    return Told(conclusion, sections, bars, over)


def half(s: dict[str, Any]) -> float:
    return (s["ci"][1] - s["ci"][0]) / 2


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
    reads=(
        "demonstrations",
        "prompts",
        "annotator",
        "own",
        "sft",
        "collect",
        "reward",
        "dpo",
        "point",
        "kl_frontier",
    ),
    plan=plan,
    measure=measure,
    tell=tell,
)
