"""Drawings as SVG of a few kilobytes: the colors are those of the page (light, dark, print), letters keep their
size on a phone, and series differ by marker, dash or hatch too, so that they can be told apart in grey. The same
figures give the same bytes.

A drawing is 440 units wide. It has no style of its own, as the pages' policy allows none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH = 440
COLORS = ("blue", "orange", "green", "purple", "red", "quiet")
DASHES = ("", "6 3", "2 3", "9 3 2 3", "1 4", "12 4")
LETTER = 6.3  # units of a letter of 12, on average


@dataclass(frozen=True)
class Row:
    """A bar: its mean and standard deviation over seeds; with a second, hatched, below it; one that is set off is
    pale, as a control.
    """

    label: str
    mean: float
    sd: float = 0.0
    beside: tuple[float, float] | None = None
    pale: bool = False


@dataclass(frozen=True)
class Series:
    """Points (x, y, deviation) under a name: a line with markers, bare dots, or a dashed line without markers."""

    name: str
    points: Sequence[tuple[float, float, float]]
    kind: str = "line"  # line, dots, law
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
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(label, quote=True)}" '
        f'viewBox="0 0 {number(width)} {number(height)}">{"".join(parts)}</svg>'
    )


def hatched(name: str, color: str) -> str:
    return (
        f'<pattern id="{name}" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        f'<rect width="5" height="5" fill="var(--paper)"/><rect width="2.2" height="5" fill="var(--{color})"/></pattern>'
    )


def legend(entries: Sequence[tuple[str, str]], y: float) -> tuple[list[str], float]:
    """Marks (20 units wide, drawn about 0, 0) with their names, as many on a line as fit; and the y below them."""
    parts, x = [], 0.0
    for mark, name in entries:
        wide = 28 + LETTER * len(name) + 14
        if x and x + wide > WIDTH:
            x, y = 0.0, y + 19
        parts.append(f'<g transform="translate({number(x + 11)} {number(y - 4)})">{mark}</g>')
        parts.append(text(x + 27, y, name))
        x += wide
    return parts, y + 12


def bars(
    rows: Sequence[Row],
    *,
    label: str,
    unit: str,
    names: tuple[str, str] = ("", ""),
    most: float = 1.0,
    name: str = "h",
) -> str:
    """Horizontal bars from 0, each below its name, with the figure and its spread at its end.

    Args:
        unit: what the axis counts.
        names: of the plain and the hatched bar, where rows have both.
        most: the right end of the axis.
        name: of the hatching on the page, another one for each drawing.
    """
    parts = [f"<defs>{hatched(name, 'blue')}{hatched(name + '-pale', 'quiet')}</defs>"]
    y, right = 12.0, WIDTH - 92.0
    if names[1]:
        marks = [(rect(-10, -6, 20, 11, "var(--blue)"), names[0])]
        marks.append((rect(-10, -6, 20, 11, f"url(#{name})", ' stroke="var(--blue)"'), names[1]))
        found, y = legend(marks, y)
        parts += found
        y += 8
    scale = right / most
    drawn = []
    for row in rows:
        drawn.append(text(0, y + 8, row.label, size=13))
        y += 14
        figures = [(row.mean, row.sd, "var(--blue)")]
        if row.pale:
            figures = [(row.mean, row.sd, f"url(#{name}-pale)")]
        if row.beside:
            figures.append((*row.beside, f"url(#{name})"))
        for mean, sd, fill in figures:
            edge = ' stroke="var(--blue)"' if fill.endswith(f"#{name})") else ""
            edge = ' stroke="var(--quiet)"' if row.pale else edge
            drawn.append(rect(0, y, mean * scale, 13, fill, edge))
            tip = mean * scale
            if sd:
                low, high = max(0.0, mean - sd) * scale, min(most * 1.02, mean + sd) * scale
                drawn.append(line(low, y + 6.5, high, y + 6.5, "paper", 3.4))
                drawn.append(line(low, y + 6.5, high, y + 6.5, "ink", 1.4))
                tip = max(tip, high)
            figure = shown(mean) + (f" ± {shown(sd)}" if sd else "")
            drawn.append(text(tip + 6, y + 11, figure))
            y += 16
        y += 9
    parts += drawn
    parts.append(
        text(0, y + 10, f"{unit}, from 0 to {shown(most).removesuffix('0').removesuffix('.0')}", soft=True)
    )
    return svg(parts, y + 16, f"{label}: " + "; ".join(f"{row.label} {shown(row.mean)}" for row in rows))


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
    return f'<path d="M{number(x - 4)} {number(y - 4)}l8 8m0 -8l-8 8" fill="none" stroke="{color}" stroke-width="2.2"/>'


def _sample(one: Series, place: int) -> str:
    if one.kind == "law":
        return line(-10, 0, 10, 0, COLORS[place % len(COLORS)], 1.4, "3 3")
    if one.kind == "dots":
        return marker(place, 0, 0)
    return line(-11, 0, 11, 0, COLORS[place % len(COLORS)], 2, DASHES[place % len(DASHES)]) + marker(
        place, 0, 0
    )


def _drawn(
    one: Series, place: int, points: Sequence[tuple[float, float, float]], top: float, bottom: float
) -> list[str]:
    color = COLORS[place % len(COLORS)]
    parts = []
    if one.kind != "law":
        parts += [line(x, max(top, y - sd), x, min(bottom, y + sd), color, 1.3) for x, y, sd in points if sd]
    if one.kind != "dots" and points:
        path = "L".join(f"{number(x)} {number(y)}" for x, y, _ in points)
        dash = "3 3" if one.kind == "law" else DASHES[place % len(DASHES)]
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        width = 1.4 if one.kind == "law" else 2
        parts.append(
            f'<path d="M{path}" fill="none" stroke="var(--{color})" stroke-width="{width}"{dashed}/>'
        )
    if one.kind != "law":
        parts += [marker(place, x, y) for x, y, _ in points]
    for (x, y, _), name in zip(points, one.labels, strict=False):
        right = x > WIDTH - 110
        parts.append(text(x - 8 if right else x + 8, y - 6, name, size=11, anchor="end" if right else ""))
    return parts


def stacks(
    rows: Mapping[str, Mapping[str, float]],
    parts: Sequence[tuple[str, str]],
    *,
    label: str,
    unit: str,
    name: str,
    whole: bool = False,
) -> str:
    """Bars of parts that lie beside each other, below the name of each; every second part is hatched.

    Args:
        parts: (name, color), in their order.
        whole: the parts of each row are all there is, so that no sum stands at its end.
    """
    defs = "".join(hatched(f"{name}-{place}", color) for place, (_, color) in enumerate(parts) if place % 2)
    fills = [
        f"url(#{name}-{place})" if place % 2 else f"var(--{color})" for place, (_, color) in enumerate(parts)
    ]
    edges = [f' stroke="var(--{color})" stroke-width="0.8"' for _, color in parts]
    marks = [(rect(-10, -6, 20, 11, fills[n], edges[n]), part) for n, (part, _) in enumerate(parts)]
    found, y = legend(marks, 12.0)
    drawn = [f"<defs>{defs}</defs>", *found]
    y += 10
    most = max(sum(max(0.0, value) for value in row.values()) for row in rows.values())
    scale = (WIDTH - 60) / most
    for title, row in rows.items():
        drawn.append(text(0, y + 8, title, size=13))
        y, x = y + 14, 0.0
        for n, (part, _) in enumerate(parts):
            wide = max(0.0, row.get(part, 0.0)) * scale
            drawn.append(rect(x, y, wide, 13, fills[n], edges[n]))
            x += wide
        if not whole:
            drawn.append(text(x + 6, y + 11, shown(sum(max(0.0, value) for value in row.values()))))
        y += 25
    drawn.append(text(0, y + 10, unit, soft=True))
    said = "; ".join(
        f"{title} {shown(sum(max(0.0, v) for v in row.values()))}" for title, row in rows.items()
    )
    return svg(drawn, y + 16, f"{label}: {said}")


def beneath(first: str, second: str) -> str:
    """Two drawings of one figure, one below the other."""
    return f'<div class="pair">{first}{second}</div>'
