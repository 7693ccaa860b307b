"""Opinions over generations: panels side by side, a thin line for each matter."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from .charts import COLORS, as_svg, canvas


def panels(
    paths: Mapping[str, Mapping[str, Sequence[float]]],
    marked: Collection[str],
    *,
    title: str,
    x: str,
    y: str,
    mark: tuple[str, float],
) -> str:
    """One panel a name, one line a thing in it, from 0 to 1: the marked ones dark and whole, the others light
    and dashed.

    Args:
        mark: a vertical line by its name, and where it stands.
    """
    from matplotlib.ticker import MaxNLocator

    figure, first = canvas()
    figure.set_size_inches(1.3 + 1.5 * len(paths), 2.9)
    first.remove()
    axes = figure.subplots(1, len(paths), sharey=True, squeeze=False)[0]
    for panel, (name, lines) in zip(axes, paths.items(), strict=True):
        panel.axvline(mark[1], color="#555555", linewidth=1, linestyle=":")
        for thing, values in lines.items():
            style = {"color": COLORS[4], "linewidth": 1.0, "linestyle": "--"}
            if thing in marked:
                style = {"color": COLORS[0], "linewidth": 1.5}
            panel.plot(range(len(values)), values, **style)
        panel.set_title(name, fontsize=9)
        panel.set(ylim=(-0.02, 1.02))
        panel.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes[0].set_ylabel(y)
    behind = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"}
    said = {"fontsize": 8, "color": "#555555", "ha": "right", "va": "bottom", "rotation": 90, "bbox": behind}
    axes[0].annotate(mark[0], (mark[1] - 0.1, 0.0), **said)
    figure.supxlabel(x, fontsize=10)
    figure.suptitle(title, fontsize=11)
    return as_svg(figure, title)
