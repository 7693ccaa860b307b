"""Drawings of the bridge: a block of weights as a file has it, what rounding leaves, and the calculator."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from html import escape

from .course import Course
from .drawing import WIDTH, Axis, Series, line, lines, rect, shown, svg, text
from .drawing_bars import Row, bars
from .pictures_measured import first, over, record
from .quant import BITS, SHAPES, estimate, in_words

SHOWN = 16  # weights of the block that are drawn
HALF = 8  # 4-bit codes run from -8 to 7
READS = 30e9  # bytes a second, of a laptop
CONTEXT = 2048
SHOWN_FIRST = list(SHAPES)[-1]  # the one that is a question on a laptop


def blocks(course: Course) -> str:
    """Sixteen weights of one block: SFT's as bars between the steps of its scale, and their 4-bit codes
    beside those of PPO.
    """
    found = record(course, "quantisation")
    both = found.at(f"figures.{first(found)}.codes.ppo.block")
    sft, ppo = both["first"], both["second"]
    furthest = max(range(len(sft)), key=lambda place: abs(sft[place]))
    begin = min(furthest, len(sft) - SHOWN) if furthest >= SHOWN else 0
    scale, codes = coded(sft)
    other_scale, other_codes = coded(ppo)
    left, wide, middle, tall = 46, (WIDTH - 46) / SHOWN, 96, 8.0
    parts = [text(0, 12, "16 weights of a block of 32, from SFT", size=12)]
    for step in range(-HALF, HALF):
        y = middle + step * tall if scale < 0 else middle - step * tall
        parts.append(line(left, y, WIDTH, y, "line", 0.6))
        if step in (-HALF, 0, HALF - 1):
            parts.append(text(left - 6, y + 4, shown(step, 0), size=11, anchor="end", soft=True))
    for place in range(SHOWN):
        weight = sft[begin + place] / abs(scale)
        x = left + place * wide
        up = middle - max(0.0, weight) * tall
        parts.append(rect(x + wide * 0.25, up, wide * 0.5, abs(weight) * tall, "var(--blue)"))
    y = middle + HALF * tall + 28
    parts.append(text(0, y, f"one scale: {abs(scale):.4f} a step. The file keeps it, and 32 codes:", size=12))
    for name, values in (("SFT", codes), ("PPO", other_codes)):
        y += 24
        parts.append(text(0, y, name, size=12))
        for place in range(SHOWN):
            x, changed = (
                left + (place + 0.5) * wide,
                values is other_codes and values[begin + place] != codes[begin + place],
            )
            if changed:
                parts.append(
                    rect(
                        x - wide / 2 + 1,
                        y - 14,
                        wide - 2,
                        19,
                        "var(--mark)",
                        ' stroke="var(--ink)" stroke-width="1.2"',
                    )
                )
            parts.append(text(x, y, shown(values[begin + place], 0), size=12, anchor="middle"))
    same = sum(a == b for a, b in zip(codes, other_codes, strict=True))
    y += 26
    parts.append(
        text(
            0,
            y,
            f"framed: changed by PPO. In this block {same} of 32 codes are the same,",
            size=12,
            soft=True,
        )
    )
    parts.append(text(0, y + 17, f"and the scale of PPO is {abs(other_scale):.4f}.", size=12, soft=True))
    label = "A block of weights, its scale, and its 4-bit codes in SFT and in PPO"
    return svg(parts, y + 26, label)


def coded(weights: Sequence[float]) -> tuple[float, list[int]]:
    """Scale and codes of a block by the rule of q4_0: the weight furthest from 0 has the code -8."""
    furthest = max(weights, key=abs)
    scale = furthest / -HALF
    codes = [min(2 * HALF - 1, math.floor(weight / scale + HALF + 0.5)) - HALF for weight in weights]
    return scale, codes


def rounding(course: Course) -> str:
    """What PPO has left of what it had, by bits."""
    found = record(course, "quantisation")
    ways = {"2 bits": 2, "3 bits": 3, "q4_0": 4, "5 bits": 5, "6 bits": 6, "q8_0": 8}
    arms = found.at(f"figures.{first(found)}.arms")
    there = {way: bits for way, bits in ways.items() if f"ppo {way}" in arms}

    def of(policy: str, part: str) -> list[tuple[float, float, float]]:
        return [
            (float(bits), *over(found, f'figures.*.arms."{policy} {way}".greedy.{part}'))
            for way, bits in there.items()
        ]

    return lines(
        [
            Series("PPO refuses harm", of("ppo", "refused")),
            Series("PPO knows facts", of("ppo", "known_fact")),
            Series("PPO helps with harm", of("ppo", "complied")),
            Series("SFT helps with harm", of("sft", "complied")),
        ],
        Axis("bits of a weight's code", 2, 8),
        Axis("share of answers", 0, 1),
        label="What PPO does, by the bits of its weights",
        tall=170,
    )


def few_codes(course: Course) -> str:
    """Help with harm of SFT and PPO at 4 bits, and of SFT with either part of what PPO changed."""
    found = record(course, "quantisation")
    rows = [
        Row(title, *over(found, f"figures.*.arms.{arm}.greedy.complied"), pale=arm.endswith("q4_0"))
        for title, arm in _CARRIERS.items()
    ]
    return bars(rows, label="Help with harm at 4 bits", unit="help with harm")


_CARRIERS = {
    "SFT, q4_0": "sft q4_0",
    "PPO, q4_0": "ppo q4_0",
    "SFT with PPO's weights where the code differs": "ppo changed codes alone",
    "SFT with PPO's weights everywhere else": "ppo scales alone",
}


def calculator(course: Course) -> str:
    """The calculator: a table that needs no script, and a form that `calculator.js` brings to life."""
    options = "".join(
        f"<option{' selected' if name == SHOWN_FIRST else ''} "
        f'data-shape="{escape(json.dumps(asdict(shape)), quote=True)}">{escape(name)}</option>'
        for name, shape in SHAPES.items()
    )
    kinds = "".join(f"<option{' selected' if kind == 'q4_0' else ''}>{kind}</option>" for kind in BITS)
    form = (
        f'<label>Model<select name="model">{options}</select></label>'
        f'<label>Weights<select name="kind">{kinds}</select></label>'
        + _input("context", "Tokens of context", CONTEXT, 0, 10_000_000)
        + _input("sequences", "Texts at once", 1, 1, 100_000)
        + _input("bandwidth", "Memory reads, GB a second", round(READS / 1e9), "any", 1_000_000)
    )
    shape = asdict(SHAPES[SHOWN_FIRST])
    more = "".join(_input(name, title, shape[name], 1, 10**13) for name, title in _SHAPE.items())
    shows = "".join(
        f'<div><dt>{title}</dt><dd data-shows="{name}">-</dd></div>' for name, title in _RESULTS.items()
    )
    return (
        f'<div class="calculator"><form>{form}<details><summary>Another model</summary>'
        f'<div class="fields">{more}</div></details></form>'
        f'<dl class="results" aria-live="polite">{shows}</dl>{_table()}</div>'
    )


_SHAPE = {
    "parameters": "Weights in all",
    "embedding": "of these embeddings",
    "layers": "Layers",
    "heads": "Heads of keys and values",
    "head": "Numbers in a head",
    "vocabulary": "Words of the tokenizer",
}
_RESULTS = {
    "weights": "weights",
    "cache": "cache, full",
    "memory": "memory in all",
    "file": "the file",
    "tokens": "tokens a second at most",
}


def _input(name: str, title: str, value: int, least: int | str, most: int) -> str:
    low, step = ("0.001", "any") if least == "any" else (str(least), "1")
    return (
        f'<label>{title}<input name="{name}" type="number" inputmode="decimal" value="{value}" min="{low}" '
        f'max="{most}" step="{step}" required></label>'
    )


def _table() -> str:
    """The same for the known models, at one context and bandwidth."""
    rows: list[str] = []
    for name, shape in SHAPES.items():
        for kind in ("f16", "q8_0", "q4_0"):
            found = estimate(shape, kind, context=CONTEXT, bandwidth=READS)
            cells = (name, kind, in_words(found.weights), in_words(found.cache), f"{found.tokens:,.0f}")
            rows.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    heads = "".join(
        f"<th>{head}</th>" for head in ("model", "weights", "size", "cache", "tokens a second at most")
    )
    return (
        f'<details class="twin"><summary>The same as a table: {CONTEXT:,} tokens of context, '
        f'{READS / 1e9:.0f} GB a second</summary><div class="scroll"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></details>"
    )


FIGURES = {"blocks": blocks, "rounding": rounding, "few-codes": few_codes, "calculator": calculator}
"""For `figures.FIGURES`."""
