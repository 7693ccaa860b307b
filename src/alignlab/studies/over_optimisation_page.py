"""What the figures of the study `over-optimisation` say: claims, sentences, tables and curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..evals.statistics import seeds_summary
from ..report import charts
from . import fits
from .study import Bar, Told, banded, each, mean, spread

SIZES = {
    "town-s": "258,496 parameters, pretrained on 15.0M tokens",
    "town-l": "2,213,568 parameters, pretrained on 9.0M tokens",
    "town": "1,049,728 parameters, pretrained on 30.0M tokens",
    "town-m": "1,049,728 parameters, pretrained on 30.0M tokens",
}
KL_AXIS = "KL from the SFT model, nats (root scale)"
Seeds = Sequence[dict[str, Any]]


def tell(seeds: Seeds) -> Told:
    best_of_n, labelled = each(seeds, "best_of_n", "reward"), each(seeds, "stop", "labelled sample")
    hits = [share_within(row) for row in labelled]
    over = {f"best of N: {key}": seeds_summary(each(best_of_n, "fit", key)) for key in ("a", "b", "r2")}
    over |= {
        "best of N: gain at the peak": seeds_summary(highest(best_of_n, "gain")),
        "labelled sample: within one step": seeds_summary(hits),
    }
    sections = [one_axis(seeds), laws(seeds), reward_models(seeds), stopping(seeds)]
    return Told(conclusion(seeds, hits), sections, claims(seeds, hits), over)


def within(proposed: int | Sequence[int], peak: int | Sequence[int]) -> list[bool]:
    """Whether each proposal is at most one grid step from its peak."""
    places = [proposed] if isinstance(proposed, int) else proposed
    peaks = [peak] * len(places) if isinstance(peak, int) else peak
    return [abs(place - top) <= 1 for place, top in zip(places, peaks, strict=True)]


def share_within(row: Mapping[str, Any]) -> float:
    return mean([float(is_near) for is_near in within(row["proposed"], row["peak"])])


def is_found(rl: Mapping[str, Any]) -> bool:
    """Whether the law on every fourth step proposes a block that is one from gold's best at most."""
    return rl["proposed"] is not None and within(rl["proposed"], rl["peak"])[0]


def highest(rows: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    return list(map(max, each(rows, key)))


def claims(seeds: Seeds, hits: Sequence[float]) -> list[Bar]:
    best_of_n, second = each(seeds, "best_of_n", "reward"), each(seeds, "stop", "second opinion")
    bars = [
        Bar(
            "the best-of-N law d (a - b d) explains more than 0.9 of the variance of gold's gain",
            [r2 > 0.9 for r2 in each(best_of_n, "fit", "r2")],
        ),
        Bar(
            "gold falls from its peak by the largest N, beyond two standard errors: the proxy is "
            "over-optimised",
            [len(row["n"]) - 1 not in row["plateau"] for row in best_of_n],
        ),
        Bar("the proxy itself never falls along N", list(map(never_falls, each(best_of_n, "proxy")))),
        Bar(
            "best of N: the law on a small labelled sample finds gold's peak within one step of N, in "
            "at least nine of ten draws of the sample",
            [share >= 0.9 for share in hits],
        ),
        Bar(
            "best of N: the second reward model, with no gold label, finds it within one step, both "
            "ways round",
            [all(within(row["proposed"], row["peak"])) for row in second],
        ),
    ]
    for name in seeds[0]["rl"]:
        claim = (
            f"{name.upper()}: the law on every fourth step finds gold's best block of steps within one block"
        )
        bars.append(Bar(claim, list(map(is_found, each(seeds, "rl", name)))))
    return bars


def never_falls(values: Sequence[float]) -> bool:
    return bool((np.diff(values) >= -1e-9).all())


def conclusion(seeds: Seeds, hits: Sequence[float]) -> list[str]:
    best_of_n = each(seeds, "best_of_n", "reward")
    ns, fit, gains = best_of_n[0]["n"], each(best_of_n, "fit"), each(best_of_n, "gain")
    at = ", ".join(str(ns[place]) for place in each(best_of_n, "peak"))
    sentences = [
        f"Best of N by the reward model: gold gains {spread(highest(best_of_n, 'gain'))} at its peak (N = {at}) "
        f"and {spread(each(gains, -1), sign='+')} at N = {ns[-1]}, while the proxy goes on rising. The law "
        f"d (a - b d) has a = {spread(each(fit, 'a'))}, b = {spread(each(fit, 'b'))}, "
        f"R2 = {spread(each(fit, 'r2'))}."
    ]
    for name in seeds[0]["rl"]:
        rows = each(seeds, "rl", name)
        said = (
            f"{name.upper()} with no penalty: gold gains {spread(highest(rows, 'gain'))} at best and "
            f"{spread(each(rows, 'gain', -1), sign='+')} at the end, {spread(each(rows, 'kl', -1), 1)} nats away"
        )
        if all(each(rows, "fit")):
            said += f"; d (a - b log d) has R2 = {spread(each(rows, 'fit', 'r2'))}"
        sentences.append(f"{said}.")
    betas: list[str] = []
    for beta in seeds[0]["dpo"]:
        rows = each(seeds, "dpo", beta)
        gain, kl = spread(each(rows, "gain"), sign="+"), spread(each(rows, "kl"), 1)
        betas.append(f"beta {beta} gains {gain} at {kl} nats")
    labels = seeds[0]["stop"]["labelled sample"]["labels"]
    return [
        *sentences,
        f"DPO: {'; '.join(betas)}.",
        f"Where to stop: from {labels:.0f} gold labels the law names an N within one step of gold's peak in "
        f"{spread(hits, 2)} of the draws.",
    ]


# --- sections of the page


def one_axis(seeds: Seeds) -> dict[str, Any]:
    """Gold and proxy of everything against KL, of the first seed."""
    seed, first = seeds[0], seeds[0]["best_of_n"]["reward"]
    kl = np.linspace(0.0, max(first["kl"]), 60).tolist()
    gold = {
        "best of N": banded(first["kl"], first["gain"], first["gain_error"]),
        "law, best of N": charts.Curve(kl, law(first["fit"], kl), kind="dashed"),
    }
    proxy = {"best of N": charts.Curve(first["kl"], first["proxy"])}
    for name, rl in seed["rl"].items():
        gold[name.upper()] = charts.Curve(rl["kl"], rl["gain"], kind="points")
        proxy[name.upper()] = charts.Curve(rl["kl"], rl["proxy"], kind="points")
        if rl["fit"]:
            kl = np.linspace(0.01, max(rl["kl"]) or 1.0, 80).tolist()
            gold[f"law, {name.upper()}"] = charts.Curve(kl, law(rl["fit"], kl), kind="dashed")
    for curves, key in ((gold, "gain"), (proxy, "proxy")):
        dots = sorted((row["kl"], row[key]) for row in seed["dpo"].values())
        curves["DPO, several betas"] = charts.Curve(each(dots, 0), each(dots, 1), kind="points")
    of_gold = charts.curves(gold, title="Gold, gain over the start", x=KL_AXIS, y="gold", root_x=True)
    of_proxy = charts.curves(
        proxy, title="Proxy, gain over the start", x=KL_AXIS, y="standardized score", root_x=True
    )
    text = ["Seed by seed in summary.json; the picture is the first seed's."]
    return {
        "title": "Gold and proxy on one axis",
        "text": text if len(seeds) > 1 else [],
        "charts": [
            charts.captioned(
                of_gold,
                "Best of N at its bound log N - (N - 1)/N with standard errors over prompts; RL at each step's "
                "k1, on its rollouts; DPO at k1 of its own samples. Dashed: the laws.",
            ),
            charts.captioned(
                of_proxy, "What was optimised (DPO never saw it): the same reward model scores all."
            ),
        ],
    }


def law(fit: Mapping[str, Any], kl: Sequence[float]) -> list[float]:
    """The gain that a law gives along a KL; none at 0."""
    fitted = fits.Fit(**fit)
    return [fitted.at(x) if x else 0.0 for x in kl]


def laws(seeds: Seeds) -> dict[str, Any]:
    rows: list[list[str]] = []
    for number, seed in enumerate(seeds):
        fitted = {"best of N": seed["best_of_n"]["reward"]["fit"]}
        fitted |= {name.upper(): rl["fit"] for name, rl in seed["rl"].items()}
        for name, fit in fitted.items():
            if fit:
                rows.append([f"seed {number}, {name}", *law_cells(fit)])
    coarse = spread(each(seeds, "best_of_n", "reward", "r2_powers_of_2"))
    return {
        "title": "The laws",
        "charts": [],
        "table": {
            "heads": ["", "a", "b", "R2", "peak, nats", "points"],
            "rows": rows,
            "note": "Least squares on gain over the start, d = sqrt(KL), best of N at every N from 2 (on powers "
            f"of 2 alone its R2 is {coarse}); R2 about the mean of the gains. 95 % intervals: best of N by "
            "bootstrap over prompts, RL over steps.",
        },
    }


def law_cells(fit: Mapping[str, Any]) -> list[str]:
    peak = "none"
    if fit["peak_kl"] is not None:
        peak = f"{fit['peak_kl']:.2f} {interval(fit['peak_ci'], 2)}"
    a, b = (f"{fit[key]:.3f} {interval(fit[f'{key}_ci'])}" for key in ("a", "b"))
    return [a, b, f"{fit['r2']:.3f}", peak, str(fit["n"])]


def interval(pair: Sequence[float] | None, digits: int = 3) -> str:
    return f"[{pair[0]:.{digits}f}, {pair[1]:.{digits}f}]" if pair else ""


def reward_models(seeds: Seeds) -> dict[str, Any]:
    first = seeds[0]["best_of_n"]
    ns, is_ours = first["reward"]["n"], first["reward"]["accuracy"] is not None
    rows: list[list[str]] = []
    curves: dict[str, charts.Curve] = {}
    for name, row in first.items():
        by_seed = each(seeds, "best_of_n", name)
        rows.append(
            [
                name,
                spread(each(by_seed, "accuracy")) if row["accuracy"] is not None else "-",
                ", ".join(str(of_seed["n"][of_seed["peak"]]) for of_seed in by_seed),
                spread(highest(by_seed, "gain")),
                spread(each(by_seed, "gain", -1)),
                *(spread(each(by_seed, "fit", key)) for key in ("a", "b", "r2")),
            ]
        )
        curves[name] = banded(row["kl"], row["gain"], row["gain_error"])
    heads = ["reward model", "held-out accuracy", "gold's peak at N", "gain there", f"gain at N = {ns[-1]}"]
    whose = "has the policy's size and all comparisons" if is_ours else "is one's own"
    note = f"`reward` {whose}, the halves are disjoint."
    if any(f"reward-{name}" in first for name in SIZES):
        differ = "; ".join(f"{name}: {text}" for name, text in SIZES.items() if name != "town-m")
        note += f" The bases differ in more than size: {differ}."
    picture = charts.curves(
        curves,
        title="Gold of best-of-N by each reward model",
        x="KL bound, nats (root scale)",
        y="gain over the start",
        root_x=True,
    )
    return {
        "title": "Reward models of other sizes and fewer comparisons",
        "charts": [charts.captioned(picture, "The same samples, picked by different judges.")],
        "table": {"heads": [*heads, "a", "b", "R2"], "rows": rows, "note": note},
    }


def stopping(seeds: Seeds) -> dict[str, Any]:
    ns = seeds[0]["best_of_n"]["reward"]["n"]
    table: list[list[str]] = []
    for name in seeds[0]["stop"]:
        rows = each(seeds, "stop", name)
        proposed = ", ".join(say_n(row["proposed"], ns) for row in rows)
        peaks = ", ".join(say_n(row["peak"], ns) for row in rows)
        shares, labels = spread(list(map(share_within, rows)), 2), f"{rows[0]['labels']:.0f}"
        table.append([f"best of N: {name}", proposed, peaks, shares, labels])
    for name in seeds[0]["rl"]:
        rows = each(seeds, "rl", name)
        proposed, peaks = ", ".join(map(str, each(rows, "proposed"))), ", ".join(map(str, each(rows, "peak")))
        shares = spread([float(is_found(row)) for row in rows], 2)
        how = f"{name.upper()}: the law on every fourth step"
        table.append([how, proposed, peaks, shares, "a quarter of the rollouts"])
    return {
        "title": "Where to stop",
        "charts": [],
        "table": {
            "heads": ["how", "proposed", "gold's peak", "within one step", "gold labels"],
            "rows": table,
            "note": (
                "One value a seed; of the labelled sample the middle proposal over the draws, and the "
                "share of draws within one step. RL's steps are counted in blocks."
            ),
        },
    }


def say_n(places: int | Sequence[int], ns: Sequence[int]) -> str:
    """Places on the grid as N: the middle one of many draws, all of few."""
    if isinstance(places, int):
        return str(ns[places])
    if len(places) < 4:
        return "/".join(str(ns[place]) for place in places)
    return str(ns[sorted(places)[len(places) // 2]])
