"""A phase diagram: what rose and what fell in a plane, and the line at which theory says that it turns."""

from __future__ import annotations

from collections.abc import Sequence

from .charts import COLORS, Line, as_svg, canvas

LOW, HIGH = -0.1, 1.3  # of y, a share, with room for what is written


def phases(
    points: Sequence[tuple[float, float, float]], boundary: Line, *, title: str, x: str, y: str
) -> str:
    """Triangles that point up where a figure rose and down where it fell, with the change beside each.

    Args:
        points: x, y from 0 to 1, and the change there.
        boundary: below this line, which is shaded, the figure is to rise.
    """
    figure, axes = canvas()
    figure.set_size_inches(3.9, 3.8)
    xs, ys = boundary[0], [min(HIGH, max(LOW, place)) for place in boundary[1]]
    axes.fill_between(xs, [LOW] * len(xs), ys, color="#dddddd", linewidth=0, zorder=0)
    axes.plot(xs, ys, color="#333333", linewidth=1.6, label="turns here, as computed")
    shapes = {"rose": ("^", COLORS[1], COLORS[1]), "fell": ("v", "white", COLORS[0])}
    for name, (marker, face, edge) in shapes.items():
        those = [point for point in points if (point[2] > 0) == (name == "rose")]
        if not those:
            continue
        across, up, _ = zip(*those, strict=True)
        style = {"facecolor": face, "edgecolor": edge, "linewidth": 1.6}
        axes.scatter(across, up, marker=marker, s=64, label=name, zorder=3, **style)
    behind = {"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}
    for across, up, change in points:
        axes.annotate(
            f"{change:+.2f}",
            (across, up),
            xytext=(0, 8),
            textcoords="offset points",
            fontsize=9,
            ha="center",
            bbox=behind,
        )
    said = {"fontsize": 9, "style": "italic", "color": "#333333", "transform": axes.transAxes}
    axes.text(0.02, 0.98, "computed: falls", va="top", **said)
    axes.text(0.98, 0.02, "computed: rises", ha="right", **said)
    axes.grid(visible=False)
    axes.set(title=title, xlabel=x, ylabel=y, xlim=(min(xs), max(xs)), ylim=(LOW, HIGH))
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    figure.legend(fontsize=8, ncols=3, loc="outside lower center", handlelength=1.4, columnspacing=1)
    return as_svg(figure, title)
