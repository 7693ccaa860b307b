"""Horizontal bars by name: sizes with their spread, parts of a whole, before and after."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .charts import COLORS, as_svg, canvas


def lengths(values: Mapping[str, tuple[float, float]], *, title: str, x: str) -> str:
    """Horizontal bars from 0 for things that have a size, each with its spread."""
    figure, axes = canvas()
    names = list(values)[::-1]
    figure.set_size_inches(6.4, 0.9 + 0.26 * len(names))
    axes.barh(
        names,
        [values[name][0] for name in names],
        xerr=[values[name][1] for name in names],
        color=COLORS[0],
        ecolor="#555555",
        capsize=2,
    )
    axes.grid(axis="y", visible=False)
    axes.set(title=title, xlabel=x)
    return as_svg(figure, title)


def shares(
    values: Mapping[str, Mapping[str, float]], *, title: str, x: str, colors: Mapping[str, str]
) -> str:
    """Horizontal bars of parts that sum to 1: one bar per name, one color per part."""
    figure, axes = canvas()
    names = list(values)[::-1]
    width = max(3.68, 2.6 + 0.08 * max(map(len, names), default=0))
    column = 0.5 + 0.065 * max(map(len, colors))  # inches: a legend is cut where it is wider than its picture
    across = max(1, min(len(colors), int(width / column)))
    lines = math.ceil(len(colors) / across)
    figure.set_size_inches(width, 1.1 + 0.2 * lines + 0.27 * len(names))
    left = [0.0] * len(names)
    for part, color in colors.items():
        widths = [values[name].get(part, 0.0) for name in names]
        axes.barh(names, widths, left=left, color=color, label=part)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.grid(axis="y", visible=False)
    axes.set(title=title, xlabel=x, xlim=(0, 1))
    figure.legend(fontsize=8, ncols=across, loc="outside lower center")
    return as_svg(figure, title)


def before_after(
    values: Mapping[str, tuple[float, float | None]],
    *,
    title: str,
    x: str,
    sides: tuple[str, str] = ("before", "after"),
) -> str:
    """Horizontal bars from 0 to 1, one per name; where a second value is given, it stands below the first,
    which is hatched.
    """
    figure, axes = canvas()
    names = list(values)[::-1]
    places, before = np.arange(len(names)), [values[name][0] for name in names]
    after = [values[name][1] for name in names]
    if any(value is not None for value in after):
        figure.set_size_inches(6.4, 1.4 + 0.32 * len(names))
        hatched = {"color": COLORS[1], "hatch": "////", "edgecolor": "white", "linewidth": 0.4}
        axes.barh(places + 0.2, before, height=0.4, label=sides[0], **hatched)
        axes.barh(
            places - 0.2, [value or 0.0 for value in after], height=0.4, color=COLORS[0], label=sides[1]
        )
        figure.legend(fontsize=8, ncols=2, loc="outside lower center")
    else:
        figure.set_size_inches(6.4, 1.1 + 0.24 * len(names))
        axes.barh(places, before, height=0.7, color=COLORS[1], label=sides[0])
    axes.set_yticks(places, names)
    axes.grid(axis="y", visible=False)
    axes.set(title=title, xlabel=x, xlim=(0, 1), ylim=(-0.6, len(names) - 0.4))
    return as_svg(figure, title)


def stacks(
    values: Mapping[str, Mapping[str, float]],
    beside: Mapping[str, Mapping[str, float]],
    *,
    title: str,
    x: str,
    colors: Mapping[str, str],
    hatches: Mapping[str, str],
) -> str:
    """Horizontal bars, each a pile of its parts, those above 0 to the right and those below it to the left,
    with a tick at their sum; where `beside` has the same name, its control lies below as a thin one.

    Args:
        colors: of the parts, in the order in which they lie.
        hatches: of those parts that are hatched, which tells them apart in print without color.
    """
    figure, axes = canvas()
    names = list(values)[::-1]
    lines = len(colors) // 2 + 1
    figure.set_size_inches(
        max(3.68, 2.6 + 0.08 * max(map(len, names), default=0)), 1.1 + 0.2 * lines + 0.36 * len(names)
    )
    places = np.arange(len(names))
    axes.use_sticky_edges = False  # the outermost bar ends before the frame
    for piles, offset, height in ((values, 0.1, 0.5), (beside, -0.3, 0.18)):
        right, left = np.zeros(len(names)), np.zeros(len(names))
        for part, color in colors.items():
            widths = np.array([piles.get(name, {}).get(part, 0.0) for name in names])
            label = part if piles is values else None
            style = {"color": color, "hatch": hatches.get(part), "edgecolor": "white", "linewidth": 0.4}
            at = np.where(widths > 0, right, left)
            axes.barh(places + offset, widths, height=height, left=at, label=label, **style)
            right += widths.clip(min=0)
            left += widths.clip(max=0)
        if piles is values:
            tick = {"color": "black", "marker": "|", "markersize": 17, "linestyle": "none"}
            axes.plot(right + left, places + offset, label="in all", **tick)
    axes.axvline(0, color="#555555", linewidth=1)
    axes.set_yticks(places, names)
    axes.grid(axis="y", visible=False)
    axes.set(title=title, xlabel=x)
    figure.legend(fontsize=8, ncols=2, markerscale=0.5, loc="outside lower center")
    return as_svg(figure, title)
