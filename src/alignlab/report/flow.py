"""The runs of a page as a picture: a box per run, an arrow from each to what was made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, GAP_X, GAP_Y, LINE, PAD = 182, 44, 16, 16, 10  # pixels
LETTERS = 27  # that fit on a line of a box


@dataclass(frozen=True)
class Box:
    """A run, or a model that runs started from. `parents` are keys of other boxes; `href` is empty for what
    has no folder here.
    """

    key: str
    name: str
    lines: Sequence[str]
    parents: frozenset[str]
    href: str = ""


def picture(boxes: Sequence[Box]) -> str:
    """An SVG: columns by how many steps lie before a box; an arrow that others together imply is left out.
    All text is escaped.
    """
    by_key = {box.key: box for box in boxes}
    above = {box.key: _ancestors(box.key, by_key) for box in boxes}
    drawn = _drawn(boxes, above)
    depth: dict[str, int] = {}
    columns: list[list[Box]] = []
    for box in sorted(boxes, key=lambda box: len(above[box.key])):
        depth[box.key] = 1 + max((depth[p] for p in above[box.key] if p in depth), default=-1)
    for box in boxes:
        while len(columns) <= depth[box.key]:
            columns.append([])
        columns[depth[box.key]].append(box)
    tall = {box.key: 2 * PAD + LINE * (1 + len(box.lines)) for box in boxes}
    height = max((sum(tall[box.key] + GAP_Y for box in column) - GAP_Y for column in columns), default=0)
    corner: dict[str, tuple[float, float]] = {}
    for n, column in enumerate(columns):
        y = (height - sum(tall[box.key] + GAP_Y for box in column) + GAP_Y) / 2
        for box in column:
            corner[box.key] = n * (WIDTH + GAP_X), y
            y += tall[box.key] + GAP_Y
    arrows = [_arrow(corner[start], tall[start], corner[end], tall[end]) for start, end in drawn]
    width = len(columns) * (WIDTH + GAP_X) - GAP_X
    marker = (
        '<marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0L8 4L0 8z" fill="#777"/></marker>'
    )
    label = "; ".join(f"{by_key[start].name} to {by_key[end].name}" for start, end in drawn)
    label = label or ", ".join(box.name for box in boxes)
    drawn_boxes = [_box(box, *corner[box.key], tall[box.key]) for box in boxes]
    return (
        f'<svg role="img" aria-label="{escape(label, quote=True)}" width="{width + 4}" '
        f'height="{height + 4:g}" viewBox="-2 -2 {width + 4} {height + 4:g}">'
        f"<defs>{marker}</defs>{''.join(arrows)}{''.join(drawn_boxes)}</svg>"
    )


def _drawn(boxes: Sequence[Box], above: Mapping[str, set[str]]) -> list[tuple[str, str]]:
    """The arrows, from key to key."""
    arrows = []
    for box in boxes:
        implied = set().union(*(above.get(parent, set()) for parent in box.parents))
        arrows += [(parent, box.key) for parent in box.parents if parent in above and parent not in implied]
    return arrows


def _ancestors(key: str, by_key: Mapping[str, Box]) -> set[str]:
    found: set[str] = set()
    todo = [key]
    while todo:
        for parent in by_key[todo.pop()].parents:
            if parent in by_key and parent not in found and parent != key:
                found.add(parent)
                todo.append(parent)
    return found


def _arrow(
    start: tuple[float, float], start_height: float, end: tuple[float, float], end_height: float
) -> str:
    x1, y1, x2, y2 = start[0] + WIDTH, start[1] + start_height / 2, end[0], end[1] + end_height / 2
    middle = (x1 + x2) / 2
    return (
        f'<path d="M{x1:g} {y1:g}C{middle:g} {y1:g} {middle:g} {y2:g} {x2 - 2:g} {y2:g}" fill="none" '
        'stroke="#777" stroke-width="1.3" marker-end="url(#tip)"/>'
    )


def _box(box: Box, x: float, y: float, height: float) -> str:
    lines = []
    for n, line in enumerate([box.name, *box.lines]):
        style = 'font-size="13"' if n else 'font-size="14" font-weight="600"'
        place = f'x="{x + PAD:g}" y="{y + PAD + 12 + LINE * n:g}"'
        lines.append(f"<text {place} {style}>{escape(_cut(line))}</text>")
    drawn = (
        f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{height:g}" rx="8" fill="#f6f5f2" '
        f'stroke="#9a9a9a"/>{"".join(lines)}'
    )
    title = f"<title>{escape(' · '.join([box.name, *box.lines]))}</title>"
    if box.href:
        return f'<a href="{escape(box.href, quote=True)}">{title}{drawn}</a>'
    return f"<g>{title}{drawn}</g>"


def _cut(line: str) -> str:
    return line if len(line) <= LETTERS else line[: LETTERS - 1] + "…"
