"""Dots by name on an axis of powers of ten, with those that have no place on the other axis above it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .charts import COLORS, MARKERS, Curve, as_svg, canvas


@dataclass(frozen=True)
class Dot:
    """A dot at x, y; without y it stands, hollow, on the line above all others."""

    x: float
    y: float | None
    name: str = ""


def by_tens(
    series: Mapping[str, Sequence[Dot]],
    *,
    title: str,
    x: str,
    y: str,
    top: float,
    above: str,
    line: Curve | None = None,
    grey: tuple[float, float, str] | None = None,
) -> str:
    """One marker per series; x is above 0.

    Args:
        top: y of the line on which dots without y stand, named `above`.
        line: dashed, what the dots are expected on.
        grey: from, to and name of a zone of x.
    """
    figure, axes = canvas()
    figure.set_size_inches(5.6, 4.4)
    axes.set_xscale("log")
    if grey:
        low, high, name = grey
        axes.axvspan(low, high, color="#dddddd", alpha=0.6, linewidth=0)
        axes.text((low * high) ** 0.5, 0.3 * top, name, ha="center", fontsize=9, color="#333333")
    if line:
        axes.plot(line.xs, line.ys, color="#333333", linewidth=1.1, linestyle="--")
    axes.axhline(top, color="#999999", linewidth=0.8)
    for place, (name, dots) in enumerate(series.items()):
        if dots:
            _draw(axes, name, dots, top, place)
    axes.annotate(
        above,
        (1, 1),
        xycoords="axes fraction",
        xytext=(-3, -11),
        textcoords="offset points",
        ha="right",
        fontsize=8,
        color="#555555",
    )
    axes.set(title=title, xlabel=x, ylabel=y, ylim=(-0.04 * top, 1.35 * top))
    axes.set_yticks([tick for tick in axes.get_yticks() if 0 <= tick <= top])
    right = max(dot.x for dots in series.values() for dot in dots)
    axes.set_xlim(right=ROOM * right)
    figure.legend(fontsize=8, ncols=2, loc="outside lower center")
    return as_svg(figure, title)


ROOM = 30.0
"""Times the last dot's x: what its name needs."""


def _draw(axes: Any, name: str, dots: Sequence[Dot], top: float, place: int) -> None:
    """The dots of a series: names stand left of and below those of the first, right of and above those of the
    others. Dots at one place have one name.
    """
    color, marker = COLORS[place], MARKERS[place]
    style: dict[str, Any] = {"s": 42, "marker": marker, "edgecolor": color, "linewidth": 1.3, "zorder": 3}
    axes.scatter([], [], facecolor=color, label=name, **style)
    at: dict[tuple[float, float | None], list[str]] = {}
    for dot in dots:
        at.setdefault((dot.x, dot.y), []).append(dot.name)
    for (x, y), names in at.items():
        face = "white" if y is None else color
        height = top if y is None else y
        axes.scatter([x], [height], facecolor=face, **style)
        offset, how = _beside(place == 0, y is None)
        axes.annotate(
            ", ".join(names), (x, height), xytext=offset, textcoords="offset points", fontsize=8, **how
        )


def _beside(first: bool, hollow: bool) -> tuple[tuple[int, int], dict[str, Any]]:
    """Where a name stands: points from its dot, and how it is turned."""
    if hollow:
        return ((-4, -13), {"ha": "left"}) if first else ((2, 6), {"ha": "left", "rotation": 40})
    return ((-6, -9), {"ha": "right"}) if first else ((6, 4), {"ha": "left"})
