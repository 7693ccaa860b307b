"""Drawings as SVG of a few kilobytes: the colors are those of the page (light, dark, print), letters keep
their size on a phone, and series differ by marker, dash or hatch too, so that they can be told apart in
grey. The same figures give the same bytes.

A drawing is 440 units wide. It has no style of its own, as the pages' policy allows none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH = 440
COLORS = ("blue", "orange", "green", "purple", "red", "quiet")
DASHES = ("", "6 3", "2 3", "9 3 2 3", "1 4", "12 4")
LETTER = 6.3  # units of a letter of 12, on average


@dataclass(frozen=True)
class Series:
    """Points (x, y, deviation) under a name: a line with markers, dots, a plain line or a dashed one."""

    name: str
    points: Sequence[tuple[float, float, float]]
    kind: str = "line"  # line, dots, plain, law
    labels: Sequence[str] = field(default=())


def number(value: float) -> str:
    return (
        f"{value:.1f}".removesuffix(".0").replace("-0", "0")
        if abs(value) < 0.05
        else f"{value:.1f}".removesuffix(".0")
    )


def shown(value: float, digits: int = 2) -> str:
    return f"{value:.{digits}f}".replace("-", "−")


def text(
    x: float, y: float, said: str, *, size: int = 12, anchor: str = "", soft: bool = False, more: str = ""
) -> str:
    kind = ' class="soft"' if soft else ""
    where = f' text-anchor="{anchor}"' if anchor else ""
    return (
        f'<text x="{number(x)}" y="{number(y)}" font-size="{size}"{where}{kind}{more}>{escape(said)}</text>'
    )


def line(
    x1: float, y1: float, x2: float, y2: float, color: str = "line", width: float = 1, dash: str = ""
) -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<path d="M{number(x1)} {number(y1)}L{number(x2)} {number(y2)}" stroke="var(--{color})" '
        f'stroke-width="{number(width)}" fill="none"{dashed}/>'
    )


def rect(x: float, y: float, width: float, height: float, fill: str, more: str = "") -> str:
    return (
        f'<rect x="{number(x)}" y="{number(y)}" width="{number(max(0.0, width))}" height="{number(height)}" '
        f'fill="{fill}"{more}/>'
    )


def svg(parts: Sequence[str], height: float, label: str, width: float = WIDTH) -> str:
    role = "group" if any("<a " in part for part in parts) else "img"  # an image has nothing to press
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="{role}" aria-label="{escape(label, quote=True)}" '
        f'viewBox="0 0 {number(width)} {number(height)}" preserveAspectRatio="xMinYMin">'
        f"{''.join(parts)}</svg>"
    )


def legend(entries: Sequence[tuple[str, str]], y: float) -> tuple[list[str], float]:
    """Marks (20 units wide, drawn about 0, 0) with their names, as many on a line as fit; and the y below
    them.
    """
    parts, x = [], 0.0
    for mark, name in entries:
        wide = 28 + LETTER * len(name) + 14
        if x and x + wide > WIDTH:
            x, y = 0.0, y + 19
        parts.append(f'<g transform="translate({number(x + 11)} {number(y - 4)})">{mark}</g>')
        parts.append(text(x + 27, y, name))
        x += wide
    return parts, y + 12


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers from low to high, about so many."""
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw)
    first = math.ceil(low / step - 1e-9)
    return [place * step for place in range(first, math.floor(high / step + 1e-9) + 1)]


@dataclass(frozen=True)
class Axis:
    """One axis: what it counts, its ends, and whether it grows by powers of `log`, or by the square root, as
    distances do whose square is a KL.
    """

    name: str
    low: float
    high: float
    log: int = 0
    ticks: Sequence[tuple[float, str]] = ()
    root: bool = False

    def place(self, value: float) -> float:
        """From 0 to 1."""
        if self.log:
            value, low, high = math.log(value), math.log(self.low), math.log(self.high)
            return (value - low) / (high - low)
        share = (value - self.low) / (self.high - self.low)
        return math.sqrt(max(0.0, share)) if self.root else share

    @property
    def marks(self) -> Sequence[tuple[float, str]]:
        if self.ticks:
            return self.ticks
        if self.log:
            powers = range(round(math.log(self.low, self.log)), round(math.log(self.high, self.log)) + 1)
            return [(float(self.log) ** power, f"{self.log**power:g}") for power in powers]
        found = ticks(self.low, self.high)
        if self.root:
            found = [value for value in (0.0, 0.1, 0.5, 1.0, 2.0, 4.0, 7.0, 10.0, 15.0) if value <= self.high]
        return [(value, f"{value:.6g}".replace("-", "−")) for value in found]


LEFT, TALL = 44.0, 220.0


def lines(series: Sequence[Series], x: Axis, y: Axis, *, label: str, tall: float = TALL) -> str:
    """Series over two axes, with their names above."""
    marks = [(_sample(one, place), one.name) for place, one in _numbered(series) if one.name]
    parts, top = legend(marks, 12.0)
    top += 16
    parts.append(text(0, top - 10, y.name, soft=True))
    top += 2
    bottom, right = top + tall, WIDTH - 14.0

    def at(point: tuple[float, float]) -> tuple[float, float]:
        return LEFT + (right - LEFT) * x.place(point[0]), bottom - tall * y.place(point[1])

    for value, name in y.marks:
        _, height = at((x.low, value))
        parts.append(line(LEFT, height, right, height, "quiet" if value == 0 else "line", 1))
        parts.append(text(LEFT - 7, height + 4, name, anchor="end", soft=True))
    for value, name in x.marks:
        across, _ = at((value, y.low))
        parts.append(line(across, bottom, across, bottom + 4, "quiet"))
        parts.append(text(across, bottom + 18, name, anchor="middle", soft=True))
    parts.append(text(right, bottom + 36, x.name, anchor="end", soft=True))
    for place, one in _numbered(series):
        parts += _drawn(
            one, place, [(*at(p[:2]), tall * p[2] / (y.high - y.low)) for p in one.points], top, bottom
        )
    said = "; ".join(
        f"{one.name}: from {one.points[0][1]:.3g} to {one.points[-1][1]:.3g}" for one in series if one.name
    )
    return svg(parts, bottom + 42, f"{label}. {said}")


def _numbered(series: Sequence[Series]) -> list[tuple[int, Series]]:
    """Places of the colors: a law has that of the series before it."""
    place, found = -1, []
    for one in series:
        place += one.kind != "law"
        found.append((max(0, place), one))
    return found


def marker(place: int, x: float, y: float, *, hollow: bool = False) -> str:
    """Circle, square, triangle, diamond, cross, ring: one for each series."""
    color = f"var(--{COLORS[place % len(COLORS)]})"
    fill = "var(--paper)" if hollow or place == 5 else color
    look = f'fill="{fill}" stroke="{color}" stroke-width="1.5"'
    a, b = number(x), number(y)
    if place in (0, 5):
        return f'<circle cx="{a}" cy="{b}" r="4" {look}/>'
    if place == 1:
        return f'<rect x="{number(x - 3.6)}" y="{number(y - 3.6)}" width="7.2" height="7.2" {look}/>'
    if place == 2:
        return f'<path d="M{a} {number(y - 5)}l4.7 8.4h-9.4z" {look}/>'
    if place == 3:
        return f'<path d="M{a} {number(y - 5.4)}l4.6 5.4l-4.6 5.4l-4.6 -5.4z" {look}/>'
    cross = f"M{number(x - 4)} {number(y - 4)}l8 8m0 -8l-8 8"
    return f'<path d="{cross}" fill="none" stroke="{color}" stroke-width="2.2"/>'


def _sample(one: Series, place: int) -> str:
    if one.kind == "law":
        return line(-10, 0, 10, 0, COLORS[place % len(COLORS)], 1.4, "3 3")
    if one.kind == "dots":
        return marker(place, 0, 0)
    if one.kind == "plain":
        return line(-11, 0, 11, 0, COLORS[place % len(COLORS)], 2.4)
    return line(-11, 0, 11, 0, COLORS[place % len(COLORS)], 2, DASHES[place % len(DASHES)]) + marker(
        place, 0, 0
    )


def _drawn(
    one: Series, place: int, points: Sequence[tuple[float, float, float]], top: float, bottom: float
) -> list[str]:
    color = COLORS[place % len(COLORS)]
    parts = []
    if one.kind in ("line", "dots"):
        parts += [line(x, max(top, y - sd), x, min(bottom, y + sd), color, 1.3) for x, y, sd in points if sd]
    if one.kind != "dots" and points:
        path = "L".join(f"{number(x)} {number(y)}" for x, y, _ in points)
        dash = {"law": "3 3", "plain": ""}.get(one.kind, DASHES[place % len(DASHES)])
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        width = {"law": 1.4, "plain": 2.4}.get(one.kind, 2)
        parts.append(
            f'<path d="M{path}" fill="none" stroke="var(--{color})" stroke-width="{width}"{dashed}/>'
        )
    if one.kind in ("line", "dots"):
        parts += [marker(place, x, y) for x, y, _ in points]
    for (x, y, _), name in zip(points, one.labels, strict=False):
        right = x > WIDTH - 110
        parts.append(text(x - 8 if right else x + 8, y - 6, name, size=11, anchor="end" if right else ""))
    return parts


def beneath(first: str, second: str) -> str:
    """Two drawings of one figure, one below the other."""
    return f'<div class="pair">{first}{second}</div>'
