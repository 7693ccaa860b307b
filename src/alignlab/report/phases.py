"""A phase diagram: what rose and what fell in a plane, and the line at which theory says that it turns."""

from __future__ import annotations

from collections.abc import Sequence

from .charts import COLORS, Line, as_svg, canvas


def phases(
    points: Sequence[tuple[float, float, float]], boundary: Line, *, title: str, x: str, y: str
) -> str:
    """Triangles that point up where a figure rose and down where it fell, with the change beside each.

    Args:
        points: x, y and the change there.
        boundary: y from 0 to 1 over x; below the line, which is shaded, the figure is to rise.
    """
    figure, axes = canvas()
    figure.set_size_inches(3.9, 3.6)
    xs, ys = boundary
    axes.fill_between(xs, [-0.1] * len(xs), ys, color="#dddddd", linewidth=0, zorder=0)
    axes.plot(xs, ys, color="#333333", linewidth=1.6, label="turns here, as computed")
    for rises, marker, filled, name in ((True, "^", True, "rose"), (False, "v", False, "fell")):
        those = [point for point in points if (point[2] > 0) == rises]
        if not those:
            continue
        axes.scatter(
            [across for across, _, _ in those],
            [up for _, up, _ in those],
            marker=marker,
            s=64,
            facecolor=COLORS[1] if filled else "white",
            edgecolor=COLORS[1] if filled else COLORS[0],
            linewidth=1.6,
            label=name,
            zorder=3,
        )
    for across, up, change in points:
        axes.annotate(
            f"{change:+.2f}", (across, up), xytext=(0, 7), textcoords="offset points", fontsize=9, ha="center"
        )
    axes.grid(visible=False)
    axes.set(title=title, xlabel=x, ylabel=y, xlim=(min(xs), max(xs)), ylim=(-0.1, 1.15))
    figure.legend(fontsize=8, ncols=3, loc="outside lower center", handlelength=1.4, columnspacing=1)
    return as_svg(figure, title)
