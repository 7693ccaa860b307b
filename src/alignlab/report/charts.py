"""Small charts as inline SVG: one idea each, readable on a phone and in print."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

COLORS = ("#1f5fa8", "#c2571a", "#2d8a57", "#8a4fa3", "#777777", "#b3001b")
MARKERS = ("o", "s", "^", "D", "v", "P")
"""One beside each color: print without color tells series apart by these, hollow ones in a second round."""
Line = tuple[Sequence[float], Sequence[float]]
FEWEST = 3  # points that make a curve


def captioned(svg: str, caption: str) -> dict[str, Any]:
    """A chart, what it says and how many pixels wide it is, as a page shows them: every chart at its own
    size, so that letters are of one size on all of them.
    """
    points = re.search(r'<svg[^>]* width="([0-9.]+)pt"', svg)
    return {"svg": svg, "caption": caption, "width": round(float(points[1]) * 4 / 3) if points else 0}


def canvas(rows: int = 1) -> Any:
    """A figure of the house's style, and its axes: so many rows on one x."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "alignlab",
            "font.family": "sans-serif",
            "font.size": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": "#e6e6e6",
            "axes.edgecolor": "#999999",
            "legend.frameon": False,
        }
    )
    figure, axes = pyplot.subplots(rows, sharex=True, figsize=(3.68, 2.6), layout="constrained")
    return figure, axes


def as_svg(figure: Any, label: str) -> str:
    from html import escape

    from matplotlib import pyplot

    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    pyplot.close(figure)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(label, quote=True)}"', 1)


def lines(
    series: Mapping[str, Line],
    *,
    title: str,
    x: str,
    y: str,
    log_x: bool = False,
    y_range: tuple[float, float] | None = None,
) -> str:
    """One line per name; points that are not finite are left out. A series of fewer than three points is no
    curve: without any other the chart is empty text.
    """
    series = {name: line for name, line in series.items() if len(line[0]) >= FEWEST}
    if not series:
        return ""
    figure, axes = canvas()
    for place, (name, (xs, ys)) in enumerate(series.items()):
        axes.plot(xs, ys, color=COLORS[place % len(COLORS)], label=name, linewidth=1.6, **_marked(xs, place))
    axes.set(title=title, xlabel=x, ylabel=y)
    _whole_steps(axes, x)
    if log_x:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
    if y_range:
        axes.set_ylim(*y_range)
    if len(series) > 1:
        axes.legend(fontsize=9)
    return as_svg(figure, title)


def _marked(xs: Sequence[float], place: int) -> dict[str, Any]:
    """The marker of a line, by its place among the others: at each of few points, at some of many; the first
    line is bare where it has many.
    """
    few = len(xs) < 15
    if not few and place == 0:
        return {}
    every = 1 if few else (place, max(1, len(xs) // 8))
    return _shape(place) | {"markersize": 3.5, "markevery": every}


def _shape(place: int) -> dict[str, Any]:
    filled = "full" if place < len(MARKERS) else "none"
    return {"marker": MARKERS[place % len(MARKERS)], "fillstyle": filled}


def reward_shift(rows: Sequence[Mapping[str, Any]], *, title: str) -> str:
    """Accuracy of a reward model over KL, from the rows of a run of `alignlab reward-shift`: the policies,
    and the best of n of the first row's policy.
    """

    def line(kind: str) -> Curve:
        xs, ys = [], []
        for row in rows:
            accuracy = row["accuracy"]["mean"]
            if accuracy is not None and (row["kind"] == kind or row is rows[0]):
                xs.append(row["kl"]["mean"])
                ys.append(accuracy)
        return Curve(xs, ys)

    return curves(
        {"policies": line("policy"), "best of n (bound)": line("best of")},
        title=title,
        x="KL from the reference, nats per completion",
        y="accuracy",
    )


def two_scales(left: tuple[str, Line], right: tuple[str, Line], *, title: str, x: str) -> str:
    """Two quantities that do not share a unit, each with an axis in its own color; empty text for fewer than
    three points.
    """
    if min(len(left[1][0]), len(right[1][0])) < FEWEST:
        return ""
    figure, axes = canvas()
    other = axes.twinx()
    other.grid(False)
    other.spines["right"].set_visible(True)
    for axis, (name, (xs, ys)), color in ((axes, left, COLORS[1]), (other, right, COLORS[0])):
        axis.plot(xs, ys, color=color, linewidth=1.8)
        axis.set_ylabel(name, color=color)
        axis.tick_params(axis="y", colors=color)
    axes.set(title=title, xlabel=x)
    _whole_steps(axes, x)
    return as_svg(figure, title)


def _whole_steps(axes: Any, x: str) -> None:
    from matplotlib.ticker import MaxNLocator

    if x == "step":
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def reliability(bins: Sequence[Mapping[str, float]], *, title: str) -> str:
    """Stated against true probability; the dotted line is perfect calibration, the area of a dot the number
    of pairs.
    """
    figure, axes = canvas()
    filled = [b for b in bins if b["n"]]
    most = max((b["n"] for b in filled), default=1)
    axes.plot([0, 1], [0, 1], color="#999999", linestyle=":", linewidth=1)
    axes.scatter(
        [b["confidence"] for b in filled],
        [b["accuracy"] for b in filled],
        s=[12 + 90 * b["n"] / most for b in filled],
        color=COLORS[0],
    )
    axes.set(
        title=title,
        xlabel="probability that the first is better, as stated",
        ylabel="share in which it was",
        xlim=(0, 1),
        ylim=(0, 1),
    )
    return as_svg(figure, title)


def histogram(counts: Sequence[float], edges: Sequence[float], *, title: str, x: str) -> str:
    figure, axes = canvas()
    widths = [b - a for a, b in zip(edges, edges[1:], strict=False)]
    colors = [COLORS[0] if left >= 0 else COLORS[1] for left in edges[:-1]]
    axes.bar(edges[:-1], counts, width=widths, align="edge", color=colors, edgecolor="white", linewidth=0.4)
    axes.set(title=title, xlabel=x, ylabel="pairs")
    return as_svg(figure, title)


def bars(values: Mapping[str, float], *, title: str, x: str, middle: float = 0.5) -> str:
    """Horizontal bars from 0 to 1 with a line where neither is preferred."""
    figure, axes = canvas()
    names = list(values)[::-1]
    figure.set_size_inches(
        max(3.68, 2.2 + 0.08 * max(map(len, names), default=0)), max(2.6, 1.1 + 0.26 * len(names))
    )
    axes.barh(
        names,
        [values[name] for name in names],
        color=[COLORS[2] if values[name] > middle else COLORS[1] for name in names],
    )
    axes.axvline(middle, color="#555555", linewidth=1)
    axes.set(xlabel=x, xlim=(0, 1))
    figure.suptitle(title, fontsize=12)  # over the names too: they may be wider than the bars
    return as_svg(figure, title)


@dataclass(frozen=True)
class Curve:
    """A line of `curves`: `low` and `high` bound a band about it; `kind` is a line, bare points, or a dashed
    line for what is a model of the others.
    """

    xs: Sequence[float]
    ys: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    kind: str = "line"  # line, points, dashed


def curves(
    series: Mapping[str, Curve],
    *,
    title: str,
    x: str,
    y: str,
    root_x: bool = False,
    whole_x: bool = False,
    marks: Mapping[str, float] | None = None,
) -> str:
    """Lines with bands, points with whiskers, dashed fits. A dashed line has the color of the line before
    it; all others have a marker each.

    Args:
        root_x: x grows with the square root, as distances do whose square is a KL.
        whole_x: x counts: its ticks are whole numbers.
        marks: vertical lines by name.
    """
    from matplotlib.ticker import MaxNLocator

    figure, axes = canvas()
    figure.set_size_inches(5.6, 3.5)
    place = -1
    for name, curve in series.items():
        place += curve.kind != "dashed"
        _draw(axes, name, curve, max(0, place))
    for name, where in (marks or {}).items():
        axes.axvline(where, color="#555555", linewidth=1, linestyle=":")
        axes.annotate(
            name,
            (where, 0.02),
            xycoords=("data", "axes fraction"),
            rotation=90,
            fontsize=8,
            color="#555555",
            ha="right",
            va="bottom",
        )
    axes.set(title=title, xlabel=x, ylabel=y)
    if whole_x:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if root_x:
        axes.set_xscale("function", functions=(lambda v: v.clip(min=0) ** 0.5, lambda v: v**2))
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(8))
    if len(series) > 1:
        axes.legend(fontsize=8)
    return as_svg(figure, title)


def _draw(axes: Any, name: str, c: Curve, place: int) -> None:
    color = COLORS[place % len(COLORS)]
    if c.kind == "points":
        whiskers = None
        if len(c.low):
            below = [v - a for v, a in zip(c.ys, c.low, strict=True)]
            whiskers = [below, [b - v for v, b in zip(c.ys, c.high, strict=True)]]
        style: dict[str, Any] = {"linestyle": "none", "markersize": 4, "linewidth": 1, "capsize": 2}
        style |= _shape(place)
        axes.errorbar(c.xs, c.ys, yerr=whiskers, color=color, label=name, **style)
        return
    style: dict[str, Any] = {"linewidth": 1.7, "linestyle": "-", **_marked(c.xs, place)}
    if c.kind == "dashed":
        style = {"linewidth": 1.1, "linestyle": "--"}
    elif len(c.xs) < FEWEST:
        style["linestyle"] = "none"
    axes.plot(c.xs, c.ys, color=color, label=name, **style)
    if len(c.low):
        axes.fill_between(c.xs, c.low, c.high, color=color, alpha=0.15, linewidth=0)


def plane(
    points: Mapping[str, tuple[float, float]], front: Collection[str], *, title: str, x: str, y: str
) -> str:
    """Numbered dots, from 0 to 1 on both axes; those of `front` are filled. The numbers are places in
    `points`, from 1.
    """
    figure, axes = canvas()
    figure.set_size_inches(5.6, 4.4)
    at: dict[tuple[float, float], list[int]] = {}
    for number, (name, (across, up)) in enumerate(points.items(), 1):
        axes.scatter(
            [across],
            [up],
            s=46,
            facecolor=COLORS[2] if name in front else "white",
            edgecolor=COLORS[2],
            linewidth=1.3,
            zorder=3,
        )
        at.setdefault((round(across, 2), round(up, 2)), []).append(number)
    for place, numbers in at.items():
        axes.annotate(
            ", ".join(map(str, numbers)), place, xytext=(5, 4), textcoords="offset points", fontsize=9
        )
    axes.set(title=title, xlabel=x, ylabel=y, xlim=(-0.03, 1.05), ylim=(-0.03, 1.05))
    return as_svg(figure, title)
