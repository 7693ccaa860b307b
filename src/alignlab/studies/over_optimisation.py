"""The study `over-optimisation`: gold and proxy against KL for best-of-N, RL and DPO on one axis, the laws of
Gao et al. (2022), and where to stop.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import stages
from ..errors import ConfigError
from ..evals.statistics import seeds_summary
from ..pipeline.runner import Stage
from ..report import charts
from ..run import RunInfo
from . import fits, steps
from .settings import ShareSettings, StudySettings
from .study import Bar, Planner, Study, Told, fresh, made, mean, numbers, of_the_town, spread, start

SIZES = {
    "town-s": "258,496 parameters, pretrained on 15.0M tokens",
    "town-l": "2,213,568 parameters, pretrained on 9.0M tokens",
    "town": "1,049,728 parameters, pretrained on 30.0M tokens",
    "town-m": "1,049,728 parameters, pretrained on 30.0M tokens",
}
HALVES = ("reward-half-a", "reward-half-b")
BLOCKS = 8  # the grid of an RL run: its steps in so many blocks


def plan(stage: Planner, model: str, settings: StudySettings, seed: int) -> dict[str, Stage]:
    s, o, new = settings, settings.over_optimisation, fresh(seed)
    gold = {"gold": s.own.gold}
    sizes = [part.strip() for part in o.sizes.split(",") if part.strip()]
    if not of_the_town(s) and any(size == "town" or size.startswith("town-") for size in sizes):
        raise ConfigError(
            (
                f"over_optimisation.sizes = {o.sizes} are models that know the town alone, and the prompts "
                "are others"
            ),
            remedy='--over-optimisation.sizes "", or models of your own',
        )

    # 1. SFT, comparisons, a reward model of all of them
    sft, ranked, reward = start(stage, model, s, seed)
    planned = made({"sft": sft, "collect": ranked, "reward": reward})

    # 2. the long runs first: RL with no penalty, on prompts the reward model has not seen
    rl = {"model": sft, "reward": reward, "data": s.own.fresh, "count": s.prompts, "seed": new, **gold}
    planned["ppo-free"] = stage("ppo-free", stages.ppo, ptx="", settings=o.ppo, **rl)
    planned["rloo-free"] = stage("rloo-free", stages.rloo, judge="", settings=o.rloo, **rl)

    # 3. reward models of fewer comparisons and of other sizes
    judges: list[Stage] = []
    for name, part, parts in ((HALVES[0], 0, 2), (HALVES[1], 1, 2), ("reward-few", 0, o.few)):
        some = stage(
            f"share-{name.removeprefix('reward-')}",
            steps.share,
            data=ranked,
            seed=seed,
            settings=ShareSettings(part, parts),
        )
        judges.append(stage(name, stages.reward, model=sft, data=some, seed=seed, settings=s.reward, **gold))
    for size in sizes:
        called = Path(size).name
        other = (
            stage(
                f"sft-{called}",
                stages.sft,
                model=size,
                data=s.own.demonstrations,
                count=s.demonstrations,
                seed=seed,
                settings=s.sft,
            )
            if s.own.demonstrations
            else size
        )
        judges.append(
            stage(
                f"reward-{called}",
                stages.reward,
                model=other,
                data=ranked,
                seed=seed,
                settings=s.reward,
                **gold,
            )
        )
    planned |= {judge.out.name: judge for judge in judges}

    # 4. DPO at several betas; best-of-N by every reward model, from the same samples; where the trained
    # policies ended
    asked = {"data": s.own.fresh, "seed": new, **gold}
    trained = {"ppo-free": planned["ppo-free"], "rloo-free": planned["rloo-free"]}
    for beta in numbers(o.dpo_betas, "over_optimisation.dpo_betas"):
        name = f"dpo-{beta:g}"
        trained[name] = planned[name] = stage(
            name, stages.dpo, model=sft, data=ranked, seed=seed, settings=replace(s.dpo, beta=beta)
        )
    planned["curve"] = stage(
        "curve", steps.curve, model=sft, rewards=[reward, *judges], settings=s.curve, **asked
    )
    for name, policy in trained.items():
        planned[f"point-{name}"] = stage(
            f"point-{name}",
            steps.point,
            model=policy,
            reference=sft,
            rewards=[reward],
            settings=s.point,
            **asked,
        )
    return planned


def measure(runs: dict[str, RunInfo], settings: StudySettings) -> dict[str, Any]:
    o = settings.over_optimisation
    rows = runs["curve"].samples
    table = {name: np.array([row["scores"][name] for row in rows]) for name in rows[0]["scores"]}
    gold = table.pop("gold")
    found: dict[str, Any] = {
        "start": {"gold": float(gold.mean()), "prompts": len(gold), "samples": gold.shape[1]},
        "best_of_n": {},
        "rl": {},
        "dpo": {},
    }

    # best of N by each reward model, with the law and its intervals
    for name, proxy in table.items():
        c = fits.best_of_n_curve(proxy, gold)
        fine = fits.best_of_n_curve(proxy, gold, every=True)
        law = fits.fit_over_prompts(fine.kl, fine.gold_PK, start_P=fine.gold_PK[:, 0], resamples=o.resamples)
        coarse = fits.fit(c.kl, (c.gold_PK - c.gold_PK[:, :1]).mean(0).tolist(), "best_of_n")
        means, gain_PK = c.gold_PK.mean(0), c.gold_PK - c.gold_PK[:, :1]
        errors = gain_PK.std(0, ddof=1) / math.sqrt(len(gold)) if len(gold) > 1 else np.zeros(len(c.ns))
        top = fits.peak(means.tolist())
        from_top = (
            [
                float((c.gold_PK[:, top] - c.gold_PK[:, i]).std(ddof=1) / math.sqrt(len(gold)))
                for i in range(len(c.ns))
            ]
            if len(gold) > 1
            else [0.0] * len(c.ns)
        )
        summary = (
            runs[name].summary if name in runs else {}
        )  # of a reward model of one's own nothing was held out here
        found["best_of_n"][name] = {
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

    # where to stop, by whoever does not know gold
    main, (a, b) = table["reward"], (table[name] for name in HALVES)
    few = [fits.by_labelled_sample(main, gold, o.labelled, seed=draw) for draw in range(o.draws)]
    peaks = {name: found["best_of_n"][name]["peak"] for name in ("reward", *HALVES)}
    found["stop"] = {
        "labelled sample": {
            "proposed": [place for place, _ in few],
            "labels": mean([float(labels) for _, labels in few]),
            "peak": peaks["reward"],
        },
        "second opinion": {
            "proposed": [fits.by_second_opinion(a, b), fits.by_second_opinion(b, a)],
            "labels": 0.0,
            "peak": [peaks[name] for name in HALVES],
        },
    }

    # RL along its steps, relative to the start that all share
    for name in ("ppo", "rloo"):
        info = runs[f"{name}-free"]
        path = [row for row in info.metrics if gold_of(row) is not None]
        kl = [max(0.0, row.get("objective/kl", row.get("kl", 0.0))) for row in path]
        proxy = [row.get("objective/scores", row.get("reward", 0.0)) for row in path]
        truth = [float(gold_of(row)) for row in path]  # type: ignore[arg-type]
        gain = [value - found["start"]["gold"] for value in truth]
        found["rl"][name] = {
            "kl": kl,
            "proxy": [value - proxy[0] for value in proxy],
            "gold": truth,
            "gain": gain,
            **rl_figures(kl, truth, gain, o.resamples),
            "end": runs[f"point-{name}-free"].summary["scores"],
            "end_kl": runs[f"point-{name}-free"].summary["kl"],
        }
    for name, info in runs.items():
        if name.startswith("point-dpo-"):
            found["dpo"][name.removeprefix("point-dpo-")] = {
                "kl": info.summary["kl"]["mean"],
                "gain": info.summary["scores"]["gold"]["mean"] - found["start"]["gold"],
                "gold": info.summary["scores"]["gold"],
                "proxy": info.summary["scores"]["reward"]["mean"] - float(main.mean()),
            }
    return found


def gold_of(row: dict[str, Any]) -> float | None:
    return row.get("objective/gold")


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
        at = (
            fits.nearest([math.sqrt(block[0]) for block in blocks], math.sqrt(thin.peak_kl))
            if thin.peak_kl is not None
            else len(blocks) - 1
        )
    except ValueError:  # too few steps that moved at all
        law, at = None, None
    return {
        "fit": law,
        "block_kl": [block[0] for block in blocks],
        "peak": fits.peak([block[1] for block in blocks]),
        "proposed": at,
    }


def within(proposed: int | Sequence[int], peak: int | Sequence[int]) -> list[bool]:
    """Whether each proposal is at most one grid step from its peak."""
    places = [proposed] if isinstance(proposed, int) else proposed
    peaks = [peak] * len(places) if isinstance(peak, int) else peak
    return [abs(place - top) <= 1 for place, top in zip(places, peaks, strict=True)]


def tell(seeds: Sequence[dict[str, Any]]) -> Told:
    judges = list(seeds[0]["best_of_n"])
    bon = [seed["best_of_n"]["reward"] for seed in seeds]
    ns = bon[0]["n"]
    first = bon[0]
    fit_rows = [
        [
            f"seed {i}, {name}",
            f"{f['a']:.3f} {ci(f['a_ci'])}",
            f"{f['b']:.3f} {ci(f['b_ci'])}",
            f"{f['r2']:.3f}",
            "none" if f["peak_kl"] is None else f"{f['peak_kl']:.2f} {ci(f['peak_ci'], 2)}",
            str(f["n"]),
        ]
        for i, seed in enumerate(seeds)
        for name, f in [("best of N", seed["best_of_n"]["reward"]["fit"])]
        + [(k.upper(), v["fit"]) for k, v in seed["rl"].items() if v["fit"]]
    ]
    judge_rows = []
    for name in judges:
        rows = [seed["best_of_n"][name] for seed in seeds]
        judge_rows.append(
            [
                name,
                spread([r["accuracy"] for r in rows]) if rows[0]["accuracy"] is not None else "-",
                ", ".join(str(r["n"][r["peak"]]) for r in rows),
                spread([max(r["gain"]) for r in rows]),
                spread([r["gain"][-1] for r in rows]),
                spread([r["fit"]["a"] for r in rows]),
                spread([r["fit"]["b"] for r in rows]),
                spread([r["fit"]["r2"] for r in rows]),
            ]
        )
    stop_rows = []
    for name in seeds[0]["stop"]:
        rows = [seed["stop"][name] for seed in seeds]
        shares = [mean([float(x) for x in within(r["proposed"], r["peak"])]) for r in rows]
        stop_rows.append(
            [
                f"best of N: {name}",
                ", ".join(say_n(r["proposed"], ns) for r in rows),
                ", ".join(say_n(r["peak"], ns) for r in rows),
                spread(shares, 2),
                f"{rows[0]['labels']:.0f}",
            ]
        )
    for name in seeds[0]["rl"]:
        rows = [seed["rl"][name] for seed in seeds]
        stop_rows.append(
            [
                f"{name.upper()}: the law on every fourth step",
                ", ".join(str(r["proposed"]) for r in rows),
                ", ".join(str(r["peak"]) for r in rows),
                spread(
                    [float(r["proposed"] is not None and within(r["proposed"], r["peak"])[0]) for r in rows],
                    2,
                ),
                "a quarter of the rollouts",
            ]
        )

    labelled = [seed["stop"]["labelled sample"] for seed in seeds]
    hit = [mean([float(x) for x in within(r["proposed"], r["peak"])]) for r in labelled]
    bars = [
        Bar(
            "the best-of-N law d (a - b d) explains more than 0.9 of the variance of gold's gain",
            [r["fit"]["r2"] > 0.9 for r in bon],
        ),
        Bar(
            (
                "gold falls from its peak by the largest N, beyond two standard errors: the proxy is "
                "over-optimised"
            ),
            [len(r["n"]) - 1 not in r["plateau"] for r in bon],
        ),
        Bar(
            "the proxy itself never falls along N",
            [all(b >= a - 1e-9 for a, b in zip(r["proxy"], r["proxy"][1:], strict=False)) for r in bon],
        ),
        Bar(
            (
                "best of N: the law on a small labelled sample finds gold's peak within one step of N, in "
                "at least nine of ten draws of the sample"
            ),
            [x >= 0.9 for x in hit],
        ),
        Bar(
            (
                "best of N: the second reward model, with no gold label, finds it within one step, both "
                "ways round"
            ),
            [
                all(
                    within(seed["stop"]["second opinion"]["proposed"], seed["stop"]["second opinion"]["peak"])
                )
                for seed in seeds
            ],
        ),
        *(
            Bar(
                (
                    f"{name.upper()}: the law on every fourth step finds gold's best block of steps within "
                    "one block"
                ),
                [
                    seed["rl"][name]["proposed"] is not None
                    and within(seed["rl"][name]["proposed"], seed["rl"][name]["peak"])[0]
                    for seed in seeds
                ],
            )
            for name in seeds[0]["rl"]
        ),
    ]
    conclusion = [
        f"Best of N by the reward model: gold gains {spread([max(r['gain']) for r in bon])} at its peak (N = {', '.join(str(ns[r['peak']]) for r in bon)}) and "
        f"{spread([r['gain'][-1] for r in bon], sign='+')} at N = {ns[-1]}, while the proxy goes on "
        f"rising. The law d (a - b d) has a = {spread([r['fit']['a'] for r in bon])}, "
        f"b = {spread([r['fit']['b'] for r in bon])}, R2 = {spread([r['fit']['r2'] for r in bon])}.",
        *(
            f"{name.upper()} with no penalty: gold gains {spread([max(seed['rl'][name]['gain']) for seed in seeds])} at best and {spread([seed['rl'][name]['gain'][-1] for seed in seeds], sign='+')} "
            f"at the end, {spread([seed['rl'][name]['kl'][-1] for seed in seeds], 1)} nats away"
            + (
                f"; d (a - b log d) has R2 = {spread([f['r2'] for f in laws])}."
                if len(laws := [seed["rl"][name]["fit"] for seed in seeds if seed["rl"][name]["fit"]])
                == len(seeds)
                else "."
            )
            for name in seeds[0]["rl"]
        ),
        "DPO: "
        + "; ".join(
            (
                f"beta {beta} gains {spread([seed['dpo'][beta]['gain'] for seed in seeds], sign='+')} at "
                f"{spread([seed['dpo'][beta]['kl'] for seed in seeds], 1)} nats"
            )
            for beta in seeds[0]["dpo"]
        )
        + ".",
        (
            f"Where to stop: from {labelled[0]['labels']:.0f} gold labels the law names an N within one "
            f"step of gold's peak in {spread(hit, 2)} of the draws."
        ),
    ]
    per_seed = len(seeds) == 1
    note_seed = "Seed by seed in summary.json; the picture is the first seed's." if not per_seed else ""
    series: dict[str, charts.Curve] = {"best of N": band(first["kl"], first["gain"], first["gain_error"])}
    grid = np.linspace(0.0, max(first["kl"]), 60).tolist()
    series["law, best of N"] = charts.Curve(
        grid, [fits.Fit(**first["fit"]).at(x) if x else 0.0 for x in grid], kind="dashed"
    )
    proxies: dict[str, charts.Curve] = {"best of N": charts.Curve(first["kl"], first["proxy"])}
    for name, r in seeds[0]["rl"].items():
        series[name.upper()] = charts.Curve(r["kl"], r["gain"], kind="points")
        proxies[name.upper()] = charts.Curve(r["kl"], r["proxy"], kind="points")
        if r["fit"]:
            grid = np.linspace(0.01, max(r["kl"]) or 1.0, 80).tolist()
            series[f"law, {name.upper()}"] = charts.Curve(
                grid, [fits.Fit(**r["fit"]).at(x) for x in grid], kind="dashed"
            )
    for series_, key in ((series, "gain"), (proxies, "proxy")):
        dots = sorted((row["kl"], row[key]) for row in seeds[0]["dpo"].values())
        series_["DPO, several betas"] = charts.Curve(
            [x for x, _ in dots], [y for _, y in dots], kind="points"
        )
    whose = "has the policy's size and all comparisons" if first["accuracy"] is not None else "is one's own"
    differ = "; ".join(f"{name}: {text}" for name, text in SIZES.items() if name != "town-m")
    bases = (
        f" The bases differ in more than size: {differ}."
        if any(f"reward-{name}" in judges for name in SIZES)
        else ""
    )
    sizes = {
        name: band(
            seeds[0]["best_of_n"][name]["kl"],
            seeds[0]["best_of_n"][name]["gain"],
            seeds[0]["best_of_n"][name]["gain_error"],
        )
        for name in judges
    }
    sections = [
        {
            "title": "Gold and proxy on one axis",
            "text": [note_seed] if note_seed else [],
            "charts": [
                charts.captioned(
                    charts.curves(
                        series,
                        title="Gold, gain over the start",
                        x="KL from the SFT model, nats (root scale)",
                        y="gold",
                        root_x=True,
                    ),
                    (
                        "Best of N at its bound log N - (N - 1)/N with standard errors over prompts; RL at "
                        "each step's k1, on its rollouts; DPO at k1 of its own samples. Dashed: the laws."
                    ),
                ),
                charts.captioned(
                    charts.curves(
                        proxies,
                        title="Proxy, gain over the start",
                        x="KL from the SFT model, nats (root scale)",
                        y="standardized score",
                        root_x=True,
                    ),
                    "What was optimised (DPO never saw it): the same reward model scores all.",
                ),
            ],
        },
        {
            "title": "The laws",
            "charts": [],
            "table": {
                "heads": ["", "a", "b", "R2", "peak, nats", "points"],
                "rows": fit_rows,
                "note": "Least squares on gain over the start, d = sqrt(KL), best of N at every N from 2 (on powers of 2 alone its R2 is "
                f"{spread([r['r2_powers_of_2'] for r in bon])}); R2 about the mean of the gains. 95 % "
                "intervals: best of N by bootstrap over prompts, RL over steps.",
            },
        },
        {
            "title": "Reward models of other sizes and fewer comparisons",
            "charts": [
                charts.captioned(
                    charts.curves(
                        sizes,
                        title="Gold of best-of-N by each reward model",
                        x="KL bound, nats (root scale)",
                        y="gain over the start",
                        root_x=True,
                    ),
                    "The same samples, picked by different judges.",
                )
            ],
            "table": {
                "heads": [
                    "reward model",
                    "held-out accuracy",
                    "gold's peak at N",
                    "gain there",
                    f"gain at N = {ns[-1]}",
                    "a",
                    "b",
                    "R2",
                ],
                "rows": judge_rows,
                "note": f"`reward` {whose}, the halves are disjoint." + bases,
            },
        },
        {
            "title": "Where to stop",
            "charts": [],
            "table": {
                "heads": ["how", "proposed", "gold's peak", "within one step", "gold labels"],
                "rows": stop_rows,
                "note": (
                    "One value a seed; of the labelled sample the middle proposal over the draws, and the "
                    "share of draws within one step. RL's steps are counted in blocks."
                ),
            },
        },
    ]
    over = {f"best of N: {key}": seeds_summary([r["fit"][key] for r in bon]) for key in ("a", "b", "r2")}
    over |= {
        "best of N: gain at the peak": seeds_summary([max(r["gain"]) for r in bon]),
        "labelled sample: within one step": seeds_summary(hit),
    }
    return Told(conclusion, sections, bars, over)


def band(xs: Sequence[float], ys: Sequence[float], errors: Sequence[float]) -> charts.Curve:
    return charts.Curve(
        xs,
        ys,
        [y - e for y, e in zip(ys, errors, strict=True)],
        [y + e for y, e in zip(ys, errors, strict=True)],
    )


def ci(pair: Sequence[float] | None, digits: int = 3) -> str:
    return f"[{pair[0]:.{digits}f}, {pair[1]:.{digits}f}]" if pair else ""


def say_n(places: int | Sequence[int], ns: Sequence[int]) -> str:
    """Places on the grid as N: the middle one of many draws, all of few."""
    if isinstance(places, int):
        return str(ns[places])
    return (
        "/".join(str(ns[place]) for place in places)
        if len(places) < 4
        else str(ns[sorted(places)[len(places) // 2]])
    )


OVER_OPTIMISATION = Study(
    title="Over-optimisation: how far to trust a reward model",
    question="Gold and proxy against KL for best-of-N, RL and DPO on one axis: do Gao et al.'s laws hold, what do reward-model size and comparisons change, and can one know where "
    "to stop without gold?",
    controls="The start (a random pick, N = 1) is measured on the same samples; every reward model picks among the same samples; prompts are new to all reward models; the laws' "
    "intervals come from a bootstrap; the proposal is tried on many draws of its labelled sample.",
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
        "curve",
        "over_optimisation",
    ),
    plan=plan,
    measure=measure,
    tell=tell,
)
