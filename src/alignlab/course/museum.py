"""The museum of reward hacking: what was paid and what was meant, step by step, and the same with a mend."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

from .course import Course
from .drawing import COLORS, DASHES, line, number, shown, svg, text
from .pictures_measured import record
from .records import Record, steps

WIDE, HIGH, ROW = 180, 64, 122
Curves = tuple[list[float], list[float]]
"""Proxy and gold by step, means over seeds."""


def museum(course: Course) -> str:
    """Each exhibit on a row: hacked on the left, mended on the right, on one scale."""
    gaming, dynamics = record(course, "specification-gaming"), record(course, "dynamics")
    rows: list[tuple[str, Curves, str, Curves | None]] = [
        (
            "A story: two words, and few others",
            _gaming(gaming, 'shares."0.1"'),
            "a monitor that catches half",
            _gaming(gaming, 'watched."penalty 0.5"'),
        ),
        ('A how-to: "First" and "Last"', _gaming(gaming, "others.steps"), "", None),
        ('A disputed matter: "because"', _gaming(gaming, "others.because"), "", None),
        (
            "A reward model, and no KL penalty",
            _dynamics(dynamics, "0"),
            "kl_coef 0.2",
            _dynamics(dynamics, "0.2"),
        ),
    ]
    parts = [
        *(text(x, 12, said) for x, said in ((26, "paid: the proxy"), (176, "meant: gold"))),
        line(0, 8, 20, 8, COLORS[0], 2),
        line(150, 8, 170, 8, COLORS[1], 2, DASHES[1]),
    ]
    told: list[str] = []
    for place, (title, hacked, mend, mended) in enumerate(rows):
        y = 26 + place * ROW
        both = [*hacked, *(mended or ())]
        low, high = min(0.0, *map(min, both)), max(map(max, both))
        parts.append(text(0, y + 12, title))
        parts += _chart(0, y + 20, hacked, low, high)
        told.append(f"{title}: proxy ends at {shown(hacked[0][-1])}, gold at {shown(hacked[1][-1])}")
        if mended:
            parts.append(text(WIDE + 44, y + 12, f"with {mend}", soft=True))
            parts += _chart(WIDE + 44, y + 20, mended, low, high)
            told.append(f"with {mend} {shown(mended[0][-1])} and {shown(mended[1][-1])}")
        else:
            parts.append(text(WIDE + 44, y + 56, "no mend was measured", soft=True))
    return svg(parts, 26 + len(rows) * ROW, "; ".join(told))


def _gaming(found: Record, arm: str) -> Curves:
    def by_step(name: str) -> list[float]:
        runs = [_at(found, f"figures.{seed}.{arm}.{name}") for seed in found.seeds]
        return [mean(values) for values in zip(*runs, strict=True)]

    return by_step("scores"), by_step("gold")


def _dynamics(found: Record, arm: str) -> Curves:
    series = found.document["figures"]["arms"][arm]["series"]
    return series["proxy"][0], series["gold"][0]  # means over seeds


def _at(found: Record, path: str) -> list[float]:
    value = found.document
    for key in steps(path):
        value = value[key]
    return list(value)  # type: ignore[arg-type]


def _chart(x: float, y: float, curves: Curves, low: float, high: float) -> Sequence[str]:
    parts = [line(x, y + HIGH, x + WIDE, y + HIGH), text(x, y + HIGH + 14, "step 0", size=11, soft=True)]
    parts.append(text(x + WIDE, y + HIGH + 14, str(len(curves[0]) - 1), size=11, anchor="end", soft=True))
    for which, values in enumerate(curves):
        across = WIDE / (len(values) - 1)
        points = "L".join(
            f"{number(x + across * step)} {number(y + HIGH * (high - value) / (high - low))}"
            for step, value in enumerate(values)
        )
        dash = f' stroke-dasharray="{DASHES[which]}"' if DASHES[which] else ""
        parts.append(
            f'<path d="M{points}" fill="none" stroke="var(--{COLORS[which]})" stroke-width="1.8"{dash}/>'
        )
    ends = [y + HIGH * (high - values[-1]) / (high - low) + 4 for values in curves]
    if (near := 11 - abs(ends[0] - ends[1])) > 0:  # two numbers, one above the other
        sign = 1 if ends[1] >= ends[0] else -1
        ends = [ends[0] - sign * near / 2, ends[1] + sign * near / 2]
    parts += [
        text(x + WIDE + 4, end, shown(values[-1]), size=11) for end, values in zip(ends, curves, strict=True)
    ]
    return parts
