"""Charts of steps that have names or places: bars with lines over them, one panel under the other on one
axis, and lines that climb a ladder. Told apart by marker and dash as well as by color.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .charts import COLORS, MARKERS, as_svg, canvas

DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))


@dataclass(frozen=True)
class Panel:
    """A row of `stacked`: bars and lines over the places 0, 1, 2, ..., and a place that is marked, if any."""

    name: str
    bars: Sequence[float]
    lines: Mapping[str, Sequence[float]]
    mark: float | None = None


def stacked(panels: Sequence[Panel], *, title: str, x: str, bars: str, places: int) -> str:
    """Panels one under the other, each to its own peak of 1: shapes are compared, not sizes.

    Args:
        bars: what the bars are, for the legend.
        places: how many places are shown.
    """
    figure, _ = canvas(len(panels))
    figure.set_size_inches(4.4, 0.9 + 1.25 * len(panels))
    for axes, panel in zip(figure.axes, panels, strict=True):
        shown = _to_peak(panel.bars[:places])
        axes.bar(range(len(shown)), shown, width=0.9, color="#c4c4c4", label=bars)
        for number, (name, values) in enumerate(panel.lines.items()):
            line = _to_peak(values[:places])
            axes.plot(range(len(line)), line, label=name, markersize=3.5, **_style(number))
        if panel.mark is not None:
            axes.axvline(panel.mark, color="#555555", linewidth=1, linestyle=":")
        axes.set(ylim=(0, 1.08), yticks=(0, 1))
        axes.set_title(panel.name, fontsize=9, loc="left")
    figure.axes[-1].set_xlabel(x)
    figure.suptitle(title, fontsize=12)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, ncols=2, loc="outside lower center")
    return as_svg(figure, title)


def ladder(series: Mapping[str, Mapping[str, float]], rungs: Sequence[str], *, title: str, y: str) -> str:
    """A line for each name over steps that have names, from 0 to 1; a step that a line lacks is left out."""
    figure, axes = canvas()
    figure.set_size_inches(4.4, 4.2)
    for number, (name, values) in enumerate(series.items()):
        there = [place for place, rung in enumerate(rungs) if rung in values]
        heights = [values[rungs[place]] for place in there]
        axes.plot(there, heights, label=name, markersize=5, **_style(number))
    axes.set_xticks(range(len(rungs)), rungs, rotation=35, ha="right")
    axes.set(title=title, ylabel=y, ylim=(-0.03, 1.05))
    figure.legend(fontsize=8, ncols=2, loc="outside lower center")
    return as_svg(figure, title)


def _style(number: int) -> dict[str, Any]:
    place = number % len(COLORS)
    return {"color": COLORS[place], "marker": MARKERS[place], "linestyle": DASHES[place], "linewidth": 1.5}


def _to_peak(values: Sequence[float]) -> list[float]:
    most = max(values, default=0.0)
    return [max(0.0, value) / most if most > 0 else 0.0 for value in values]
