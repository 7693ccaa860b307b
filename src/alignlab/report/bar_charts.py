"""Horizontal bars by name: sizes with their spread, parts of a whole, before and after."""

from __future__ import annotations

from collections.abc import Mapping

from .charts import COLOURS, as_svg, canvas


def lengths(values: Mapping[str, tuple[float, float]], *, title: str, x: str) -> str:
    """Horizontal bars from 0 for things that have a size, each with its spread."""
    figure, axes = canvas()
    names = list(values)[::-1]
    figure.set_size_inches(6.4, 0.9 + 0.26 * len(names))
    axes.barh(
        names,
        [values[name][0] for name in names],
        xerr=[values[name][1] for name in names],
        color=COLOURS[0],
        ecolor="#555555",
        capsize=2,
    )
    axes.grid(axis="y", visible=False)
    axes.set(title=title, xlabel=x)
    return as_svg(figure, title)


def shares(
    values: Mapping[str, Mapping[str, float]], *, title: str, x: str, colours: Mapping[str, str]
) -> str:
    """Horizontal bars of parts that sum to 1: one bar a name, one colour a part."""
    figure, axes = canvas()
    names = list(values)[::-1]
    figure.set_size_inches(6.4, 1.2 + 0.27 * len(names))
    left = [0.0] * len(names)
    for part, colour in colours.items():
        widths = [values[name].get(part, 0.0) for name in names]
        axes.barh(names, widths, left=left, color=colour, label=part)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.grid(axis="y", visible=False)
    axes.set(title=title, xlabel=x, xlim=(0, 1))
    figure.legend(fontsize=8, ncols=len(colours), loc="outside lower center")
    return as_svg(figure, title)


def before_after(
    values: Mapping[str, tuple[float, float | None]],
    *,
    title: str,
    x: str,
    sides: tuple[str, str] = ("before", "after"),
) -> str:
    """Horizontal bars from 0 to 1, one a name; where a second value is given, it stands below the first."""
    figure, axes = canvas()
    names, both = list(values)[::-1], any(after is not None for _, after in values.values())
    figure.set_size_inches(6.4, 1.1 + (0.32 if both else 0.24) * len(names))
    places = range(len(names))
    height = 0.4 if both else 0.7
    axes.barh(
        [place + (0.2 if both else 0) for place in places],
        [values[name][0] for name in names],
        height=height,
        color=COLOURS[1],
        label=sides[0],
    )
    if both:
        axes.barh(
            [place - 0.2 for place in places],
            [values[name][1] or 0.0 for name in names],
            height=height,
            color=COLOURS[0],
            label=sides[1],
        )
        axes.legend(fontsize=8, loc="lower right")
    axes.set_yticks(places, names)
    axes.grid(axis="y", visible=False)
    axes.set(title=title, xlabel=x, xlim=(0, 1), ylim=(-0.6, len(names) - 0.4))
    return as_svg(figure, title)
