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
    "town-s": "258,496 parameters",
    "town-l": "2,213,568 parameters",
    "town": "1,049,728 parameters",
    "town-m": "1,049,728 parameters",
}
KL_AXIS = "KL from the SFT model, nats (root scale)"
Seeds = Sequence[dict[str, Any]]


def tell(seeds: Seeds) -> Told:
    best_of_n = each(seeds, "best_of_n", "reward")
    over = {f"best of N: {key}": seeds_summary(each(best_of_n, "fit", key)) for key in ("a", "b", "r2")}
    over["best of N: gain at the peak"] = seeds_summary(each(best_of_n, "best"))
    for name, figures in proposed(seeds, "best of N").items():
        for key in ("within", "exact", "lost"):
            over[f"best of N, {name}: {key}"] = seeds_summary(each(figures, key))
    sections = [one_axis(seeds), laws(seeds), reward_models(seeds), stopping(seeds)]
    return Told(conclusion(seeds), sections, claims(seeds), over)


def proposed(seeds: Seeds, what: str) -> dict[str, list[dict[str, Any]]]:
    """By proposal where to stop, its figures of each seed."""
    names = seeds[0]["stop"][what]["proposals"]
    return {name: each(seeds, "stop", what, "proposals", name) for name in names}


def claims(seeds: Seeds) -> list[Bar]:
    best_of_n, second = each(seeds, "best_of_n", "reward"), each(seeds, "stop", "best of N", "second opinion")
    law, *controls = proposed(seeds, "best of N").values()
    cheapest = [min(values) for values in zip(*(each(rows, "lost") for rows in controls), strict=True)]
    bars = [
        Bar(
            "the best-of-N law d (a - b d) explains more than 0.9 of the variance of gold's gain",
            [r2 > 0.9 for r2 in each(best_of_n, "fit", "r2")],
        ),
        Bar(
            "gold falls from its peak by the largest N, beyond two standard errors: the proxy is "
            "over-optimised",
            [row["fall"] > 2 * row["fall_error"] for row in best_of_n],
        ),
        Bar("the proxy itself never falls along N", list(map(never_falls, each(best_of_n, "proxy")))),
        Bar(
            "best of N: the law on a small labelled sample finds gold's peak within one step of N, in "
            "at least nine of ten draws of the sample",
            [share >= 0.9 for share in each(law, "within")],
        ),
        Bar(
            "best of N: where the law says to stop less gold is lost than at the highest mean of the same "
            "labels and than at always the same N",
            [lost < least for lost, least in zip(each(law, "lost"), cheapest, strict=True)],
        ),
        Bar(
            "best of N: the second reward model, with no gold label, finds it within one step, both "
            "ways round",
            [all(abs(row["place"] - row["top"]) <= 1 for row in rows) for rows in second],
        ),
    ]
    for name in seeds[0]["rl"]:
        claim = (
            f"{name.upper()}: the law on a small labelled sample finds gold's best length within one step of "
            "the grid, in at least nine of ten draws of the sample"
        )
        of_law = each(seeds, "stop", name.upper(), "proposals", "the law")
        bars.append(Bar(claim, [share >= 0.9 for share in each(of_law, "within")]))
    return bars


def never_falls(values: Sequence[float]) -> bool:
    return bool((np.diff(values) >= -1e-9).all())


def conclusion(seeds: Seeds) -> list[str]:
    best_of_n = each(seeds, "best_of_n", "reward")
    ns, fit, gains = best_of_n[0]["n"], each(best_of_n, "fit"), each(best_of_n, "gain")
    at = ", ".join(str(ns[place]) for place in each(best_of_n, "peak"))
    sentences = [
        f"Best of N by the reward model: gold gains {spread(each(best_of_n, 'best'))} at its peak "
        f"(N = {at}) and {spread(each(gains, -1), sign='+')} at N = {ns[-1]}. "
        f"The law d (a - b d) has a = {spread(each(fit, 'a'))}, b = {spread(each(fit, 'b'))}, "
        f"R2 = {spread(each(fit, 'r2'))} at every N and "
        f"{spread(each(best_of_n, 'r2_powers_of_2'))} on powers of 2."
    ]
    for name in seeds[0]["rl"]:
        rows = each(seeds, "rl", name)
        at = ", ".join(str(row["steps"][row["peak"]]) for row in rows)
        said = (
            f"{name.upper()} with no penalty: gold gains {spread(each(rows, 'best'), sign='+')} at its best "
            f"length ({at} steps) and {spread(each(rows, 'gain', -1), sign='+')} after "
            f"{rows[0]['steps'][-1]}, {spread(each(rows, 'kl', -1), 1)} nats away"
        )
        if all(each(rows, "fit")):
            said += f"; d (a - b log d) has R2 = {spread(each(rows, 'fit', 'r2'))}"
        sentences.append(f"{said}.")
    betas: list[str] = []
    for beta in seeds[0]["dpo"]:
        rows = each(seeds, "dpo", beta)
        gain, kl = spread(each(rows, "gain"), sign="+"), spread(each(rows, "kl"), 1)
        betas.append(f"beta {beta} gains {gain} at {kl} nats")
    labels = mean(each(seeds, "stop", "best of N", "labels"))
    said = [
        f"{name} {spread(each(figures, 'within'), 2)} and {spread(each(figures, 'lost'))}"
        for name, figures in proposed(seeds, "best of N").items()
    ]
    return [
        *sentences,
        f"DPO: {'; '.join(betas)}.",
        f"Where to stop, best of N, from {labels:.0f} gold labels; share of the deals within one step of the "
        f"peak on other questions, and gold lost there: {'; '.join(said)}.",
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
                "Best of N at its bound log N - (N - 1)/N with standard errors over questions; RL of each "
                "length and DPO of each beta at k1 of their own samples. All on the same prompts. Dashed: "
                "the laws.",
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
    for seed in seeds:
        fitted = {"best of N": seed["best_of_n"]["reward"]["fit"]}
        fitted |= {name.upper(): rl["fit"] for name, rl in seed["rl"].items()}
        for name, fit in fitted.items():
            if fit:
                rows.append([f"seed {seed['seed']}, {name}", *law_cells(fit)])
    coarse = spread(each(seeds, "best_of_n", "reward", "r2_powers_of_2"))
    return {
        "title": "The laws",
        "charts": [],
        "table": {
            "heads": ["", "a", "b", "R2", "peak, nats", "points"],
            "rows": rows,
            "note": "Least squares on gain over the start, d = sqrt(KL), best of N at every N from 2 (on "
            f"powers of 2 alone its R2 is {coarse}), RL at each length; R2 about the mean of the gains. 95 % "
            "intervals by bootstrap over questions, all prompts of one together.",
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
                spread(each(by_seed, "best")),
                spread(each(by_seed, "gain", -1)),
                *(spread(each(by_seed, "fit", key)) for key in ("a", "b", "r2")),
            ]
        )
        curves[name] = banded(row["kl"], row["gain"], row["gain_error"])
    heads = ["reward model", "held-out accuracy", "gold's peak at N", "gain there", f"gain at N = {ns[-1]}"]
    whose = "has the policy's size and all comparisons" if is_ours else "is one's own"
    note = (
        f"`reward` {whose}, the halves are disjoint. The gain at the peak is that of the N which is best on "
    )
    note += "the other half of the questions."
    if any(f"reward-{name}" in first for name in SIZES):
        differ = "; ".join(f"{name}: {text}" for name, text in SIZES.items() if name != "town-m")
        note += f" The bases have read the same tokens and differ in size: {differ}."
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
    table: list[list[str]] = []
    for what in seeds[0]["stop"]:
        grid = seeds[0]["stop"][what]["grid"]
        tops = ", ".join(str(grid[place]) for place in each(seeds, "stop", what, "top"))
        labels = f"{mean(each(seeds, 'stop', what, 'labels')):.0f}"
        for name, figures in proposed(seeds, what).items():
            places = ", ".join(str(grid[place]) for place in each(figures, "place"))
            shares = [spread(each(figures, key), 2) for key in ("within", "exact")]
            price = "0" if name == "always the same" else labels
            table.append([f"{what}: {name}", places, tops, *shares, spread(each(figures, "lost")), price])
    grid, second = seeds[0]["stop"]["best of N"]["grid"], each(seeds, "stop", "best of N", "second opinion")
    places, tops = (
        ", ".join("/".join(str(grid[row[key]]) for row in rows) for rows in second)
        for key in ("place", "top")
    )
    within = [mean([float(abs(row["place"] - row["top"]) <= 1) for row in rows]) for rows in second]
    exact = [mean([float(row["place"] == row["top"]) for row in rows]) for rows in second]
    lost = [mean(each(rows, "lost")) for rows in second]
    shares = [spread(within, 2), spread(exact, 2)]
    table.append(["best of N: second opinion, both ways", places, tops, *shares, spread(lost), "0"])
    return {
        "title": "Where to stop",
        "charts": [],
        "table": {
            "heads": [
                "how",
                "proposed",
                "gold's peak",
                "within one step",
                "exact",
                "gold lost",
                "gold labels",
            ],
            "rows": table,
            "note": (
                "Prompts are dealt many times: some are labelled, those of all other questions say where "
                "gold has its peak and what is lost at the proposal. One value a seed: the middle of the "
                "deals, or the share of the deals. The highest mean of the same labels and always the same N "
                "or length, fixed beforehand, are the controls of the law. The second opinion sees no gold; "
                "its peak is that of all prompts. Lost gold is counted from the peak as it is measured, so "
                "that a little of it is noise, alike for all."
            ),
        },
    }
