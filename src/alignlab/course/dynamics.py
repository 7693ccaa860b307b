"""The picture of RLHF's dynamics: what a page holds of it. Six linked panels, answers to the same prompts as
they change, one cursor over all of them; without a script small multiples of every arm and a table.

The script (`dynamics.js`) reads the figures from the page; what a model wrote is only ever a text node.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from .course import Course
from .drawing import COLORS, DASHES, line, number, shown, svg, text
from .pictures_measured import record
from .records import Record

PANELS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "score": ("Proxy and gold", ("proxy", "gold"), "score"),
    "kl": ("KL from the start", ("k1", "k3"), "nats, root scale"),
    "entropy": ("Entropy", ("entropy",), "nats a token"),
    "length": ("Length", ("length",), "tokens"),
    "clipped": ("Clip share", ("clipped",), "of tokens"),
    "explained": ("Explained variance", ("explained",), "of returns"),
}
"""Title, series and unit of each panel. KL has a root scale: without a penalty it leaves all others far
behind."""
NAMES = {"proxy": "proxy", "gold": "gold", "k1": "k1", "k3": "k3"}
EVERY = 8
"""Steps between two rows of the table."""


def dynamics(course: Course) -> str:
    return fragment(record(course, "dynamics"))


def fragment(record: Record) -> str:
    """The picture as HTML: still drawings, in whose place the script puts its own panels, a table, and the
    figures as JSON.
    """
    document = record.document
    arms = document["figures"]["arms"]
    still = "".join(
        f'<figure class="arm"><figcaption>{_arm(arm)}</figcaption>{_multiples(one["series"], arms)}</figure>'
        for arm, one in arms.items()
    )
    told = '<p class="quiet">Solid: proxy, k1 and the rest. Dashed: gold and k3. Means over seeds.</p>'
    said: dict[str, int] = {}
    named = [
        {"name": _arm(arm), **one, "answers": _answers(one["answers"], said)} for arm, one in arms.items()
    ]
    data = {
        "steps": document["figures"]["steps"],
        "probes": document["probes"],
        "panels": [
            {"title": title, "series": list(series), "unit": unit, "root": name == "kl"}
            for name, (title, series, unit) in PANELS.items()
        ],
        "names": NAMES,
        "arms": named,
        "said": [json.loads(one) for one in said],
        "seeds": document["seeds"],
    }
    inside = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return (
        f'<div class="dynamics"><div class="still">{still}{told}</div>{_table(arms)}'
        f'<script type="application/json">{inside}</script></div>'
    )


def _answers(probes: Sequence[Mapping[str, Any]], said: dict[str, int]) -> list[list[tuple[int, int]]]:
    """Of each probe its steps, and the place of what was said there among all that was said: most answers are
    given again and again, and a page holds each once.
    """
    found = []
    for probe in probes:
        rows = [
            (row["step"], {name: row[name] for name in row if name != "step"}) for row in probe["answers"]
        ]
        found.append([(step, said.setdefault(json.dumps(row), len(said))) for step, row in rows])
    return found


def _arm(arm: str) -> str:
    return "no penalty" if arm == "0" else f"kl_coef {arm}"


def _multiples(series: Mapping[str, Any], arms: Mapping[str, Any]) -> str:
    """The six panels of one arm, small, each on the scale that all arms share."""
    parts: list[str] = []
    for place, (panel, (title, names, _)) in enumerate(PANELS.items()):
        x, y = (place % 3) * 150, (place // 3) * 112
        low, high = scale([one["series"][name] for one in arms.values() for name in names])
        parts.append(text(x, y + 12, title, size=12))
        parts.append(text(x, y + 26, f"{_tick(low)} to {_tick(high)}", size=11, soft=True))
        parts.append(line(x, y + 94, x + 132, y + 94))
        power = 0.5 if panel == "kl" else 1
        for which, name in enumerate(names):
            points = series[name][0]
            across = 132 / (len(points) - 1)
            heights = [60 * (max(0.0, value - low) / (high - low)) ** power for value in points]
            drawn = "L".join(
                f"{number(x + across * step)} {number(y + 94 - height)}"
                for step, height in enumerate(heights)
            )
            dashed = f' stroke-dasharray="{DASHES[which]}"' if which else ""
            parts.append(
                f'<path d="M{drawn}" fill="none" stroke="var(--{COLORS[which]})" stroke-width="1.6"{dashed}/>'
            )
    label = "; ".join(f"{name} ends at {shown(series[name][0][-1])}" for name in series)
    return svg(parts, 210, label)


def scale(bands: Sequence[Sequence[Sequence[float]]]) -> tuple[float, float]:
    """What an axis goes from and to: the means of all arms, 0 among them."""
    values = [value for band in bands for value in band[0]]
    low, high = min(0.0, *values), max(0.0, *values)
    return low, high if high > low else low + 1


def _tick(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")


def _table(arms: Mapping[str, Any]) -> str:
    """Every eighth step of every arm, in figures: what a screen reader, a printer or a browser without a
    script has in place of the cursor.
    """
    names = [name for _, series, _ in PANELS.values() for name in series]
    heads = "".join(f"<th>{escape(name)}</th>" for name in ("arm", "step", *names))
    found = []
    for arm, one in arms.items():
        last = len(one["series"]["gold"][0]) - 1
        for step in sorted({*range(0, last, EVERY), last}):
            cells = "".join(f"<td>{shown(one['series'][name][0][step])}</td>" for name in names)
            found.append(f"<tr><td>{_arm(arm)}</td><td>{step}</td>{cells}</tr>")
    rows = "".join(found)
    return (
        '<details class="twin"><summary>The same in figures</summary><div class="scroll">'
        f'<table class="figures"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div></details>'
    )
