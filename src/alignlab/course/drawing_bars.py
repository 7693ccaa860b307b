"""Bars as SVG: by name with their spread, or as parts of a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .drawing import WIDTH, legend, line, rect, shown, svg, text


@dataclass(frozen=True)
class Row:
    """A bar: its mean and standard deviation over seeds; with a second, hatched, below it; one that is set
    off is pale, as a control.
    """

    label: str
    mean: float
    sd: float = 0.0
    beside: tuple[float, float] | None = None
    pale: bool = False


def hatched(name: str, color: str) -> str:
    return (
        f'<pattern id="fig-{name}" width="5" height="5" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)"><rect width="5" height="5" fill="var(--paper)"/>'
        f'<rect width="2.2" height="5" fill="var(--{color})"/></pattern>'
    )


def bars(
    rows: Sequence[Row], *, label: str, unit: str, names: tuple[str, str] = ("", ""), most: float = 1.0
) -> str:
    """Horizontal bars from 0, each below its name, with the figure and its spread at its end.

    Args:
        unit: what the axis counts.
        names: of the plain and the hatched bar, where rows have both.
        most: the right end of the axis.
    """
    parts = [f"<defs>{hatched('bar', 'blue')}{hatched('pale', 'quiet')}</defs>"]
    y, right = 12.0, WIDTH - 92.0
    if names[1]:
        marks = [(rect(-10, -6, 20, 11, "var(--blue)"), names[0])]
        marks.append((rect(-10, -6, 20, 11, "url(#fig-bar)", ' stroke="var(--blue)"'), names[1]))
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
            figures = [(row.mean, row.sd, "url(#fig-pale)")]
        if row.beside:
            figures.append((*row.beside, "url(#fig-bar)"))
        for mean, sd, fill in figures:
            edge = ' stroke="var(--blue)"' if fill.endswith("-bar)") else ""
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


def stacks(
    rows: Mapping[str, Mapping[str, float]],
    parts: Sequence[tuple[str, str]],
    *,
    label: str,
    unit: str,
    whole: bool = False,
) -> str:
    """Bars of parts that lie beside each other, below the name of each; every second part is hatched.

    Args:
        parts: (name, color), in their order.
        whole: the parts of each row are all there is, so that no sum stands at its end.
    """
    defs = "".join(hatched(f"part-{place}", color) for place, (_, color) in enumerate(parts) if place % 2)
    fills = [
        f"url(#fig-part-{place})" if place % 2 else f"var(--{color})"
        for place, (_, color) in enumerate(parts)
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
