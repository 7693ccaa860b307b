"""The picture of RLHF's dynamics: what a page holds of it. Six linked panels, answers to the same prompts step by
step, one cursor over all of them; without a script small multiples of every arm and a table.

The script (`dynamics.js`) reads the figures from the page; what a model wrote is only ever a text node.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from .drawing import COLORS, DASHES, line, number, shown, svg, text
from .course import Course
from .pictures_measured import record
from .records import Record

PANELS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "score": ("Proxy and gold", ("proxy", "gold"), "score"),
    "kl": ("KL from the start", ("k1", "k3"), "nats an answer"),
    "entropy": ("Entropy", ("entropy",), "nats a token"),
    "length": ("Length", ("length",), "tokens"),
    "clipped": ("Clip share", ("clipped",), "share of tokens"),
    "explained": ("Value model: explained variance", ("explained",), "at most 1"),
}
"""Title, series and unit of each panel."""
NAMES = {"proxy": "proxy (reward model)", "gold": "gold (judge)", "k1": "k1", "k3": "k3"}
EVERY = 8
"""Steps between two rows of the table."""


def dynamics(course: Course) -> str:
    return fragment(record(course, "dynamics"))


def fragment(record: Record) -> str:
    """The picture as HTML: still drawings and a table, which the script puts its own panels in place of, and the
    figures as JSON.
    """
    document = record.document
    arms = document["figures"]["arms"]
    still = "".join(
        f'<figure class="arm"><figcaption>{_arm(arm)}</figcaption>{_multiples(arms[arm]["series"], arms)}</figure>'
        for arm in arms
    )
    data = {
        "steps": document["figures"]["steps"],
        "probes": document["probes"],
        "panels": [
            {"title": title, "series": list(series), "unit": unit} for title, series, unit in PANELS.values()
        ],
        "names": NAMES,
        "arms": [{"name": _arm(arm), **arms[arm]} for arm in arms],
        "seeds": document["seeds"],
    }
    inside = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return (
        f'<div class="dynamics"><div class="still">{still}</div>{_table(arms)}'
        f'<script type="application/json">{inside}</script></div>'
    )


def _arm(arm: str) -> str:
    return "no penalty" if arm == "0" else f"kl_coef {arm}"


def _multiples(series: Mapping[str, Any], arms: Mapping[str, Any]) -> str:
    """The six panels of one arm, small, each on the scale that all arms share."""
    parts: list[str] = []
    for place, (title, names, _) in enumerate(PANELS.values()):
        x, y = (place % 3) * 150, (place // 3) * 92
        low, high = scale([one["series"][name] for one in arms.values() for name in names])
        parts += [text(x, y + 12, title if len(title) < 20 else "Explained variance", size=11)]
        parts += [text(x + 132, y + 26, _tick(high), size=9, anchor="end", soft=True)]
        parts += [text(x + 132, y + 78, _tick(low), size=9, anchor="end", soft=True)]
        parts.append(line(x, y + 80, x + 132, y + 80))
        for which, name in enumerate(names):
            points = series[name][0]
            drawn = "L".join(
                f"{number(x + 132 * step / (len(points) - 1))} {number(y + 80 - 60 * (value - low) / (high - low))}"
                for step, value in enumerate(points)
            )
            dashed = f' stroke-dasharray="{DASHES[which]}"' if which else ""
            parts.append(
                f'<path d="M{drawn}" fill="none" stroke="var(--{COLORS[which]})" stroke-width="1.6"{dashed}/>'
            )
    label = "; ".join(f"{name} ends at {shown(series[name][0][-1])}" for name in series)
    return svg(parts, 184, label)


def scale(bands: Sequence[Sequence[Sequence[float]]]) -> tuple[float, float]:
    """What an axis goes from and to: the means of all arms, 0 among them."""
    values = [value for band in bands for value in band[0]]
    low, high = min(0.0, *values), max(0.0, *values)
    return low, high if high > low else low + 1


def _tick(value: float) -> str:
    return f"{value:.2g}".replace("-", "−")


def _table(arms: Mapping[str, Any]) -> str:
    """Every eighth step of every arm, in figures: what a screen reader, a printer or a browser without a script
    has in place of the cursor.
    """
    names = [name for _, series, _ in PANELS.values() for name in series]
    heads = "".join(f"<th>{escape(name)}</th>" for name in ("arm", "step", *names))
    rows = []
    for arm, one in arms.items():
        last = len(one["series"]["gold"][0]) - 1
        for step in sorted({*range(0, last, EVERY), last}):
            cells = "".join(f"<td>{shown(one['series'][name][0][step])}</td>" for name in names)
            rows.append(f"<tr><td>{_arm(arm)}</td><td>{step}</td>{cells}</tr>")
    return (
        '<details class="twin"><summary>The same in figures</summary><div class="scroll"><table class="figures">'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></details>"
    )
