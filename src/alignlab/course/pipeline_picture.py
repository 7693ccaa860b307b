"""The pipeline picture: boxes in fixed places, and the way that each organization takes through them."""

from __future__ import annotations

from html import escape

from .course import Course
from .drawing import line, svg, text

BOXES = {  # name: x, y, what it says
    "base": (20, 16, "base model"),
    "demos": (165, 16, "demonstrations"),
    "sft": (310, 16, "SFT"),
    "answers": (310, 142, "its own answers"),
    "people": (165, 100, "people choose"),
    "ai": (165, 184, "a model chooses"),
    "pairs": (20, 142, "comparisons"),
    "reward": (20, 270, "reward model"),
    "dpo": (165, 270, "DPO"),
    "check": (310, 270, "program checks"),
    "best": (20, 352, "best of N"),
    "rl": (165, 352, "RL (PPO)"),
    "red": (310, 352, "red team, fix"),
    "serve": (310, 434, "deployed"),
}
WIDE, HIGH = 112, 44
PAGES = {
    "demos": "2-sft",
    "sft": "2-sft",
    "people": "3-reward",
    "reward": "3-reward",
    "rl": "4-rlhf",
    "dpo": "4-rlhf",
    "best": "1-problem",
    "ai": "5-constitution",
    "red": "6-safety",
    "serve": "bridge",
}
"""Where a box is explained."""
WAYS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "instructgpt": (
        "OpenAI (InstructGPT)",
        ("base", "demos", "sft", "answers", "people", "pairs", "reward", "rl", "red", "serve"),
        "People write, people choose, a reward model learns the choices, PPO follows it.",
    ),
    "constitutional": (
        "Anthropic (constitutional)",
        ("base", "demos", "sft", "answers", "ai", "pairs", "reward", "rl", "red", "serve"),
        "The model revises its own answers by written rules, and a model that reads the rules chooses.",
    ),
    "llama2": (
        "Meta (Llama 2)",
        ("base", "demos", "sft", "answers", "people", "pairs", "reward", "best", "rl", "red", "serve"),
        "Rounds: people choose, the best of several answers is learnt, PPO at the end.",
    ),
    "llama3": (
        "Meta (Llama 3)",
        ("base", "demos", "sft", "answers", "people", "pairs", "reward", "best", "dpo", "red", "serve"),
        "Rounds of best-of-N and DPO, without PPO.",
    ),
    "mixtral": (
        "Mistral (Mixtral)",
        ("base", "demos", "sft", "answers", "people", "pairs", "dpo", "serve"),
        "SFT, then DPO on pairs that people chose.",
    ),
    "zephyr": (
        "Hugging Face (Zephyr)",
        ("base", "demos", "sft", "answers", "ai", "pairs", "dpo", "serve"),
        "A stronger model writes the demonstrations and makes the choices; DPO learns from them.",
    ),
    "tulu3": (
        "Ai2 (Tulu 3)",
        ("base", "demos", "sft", "answers", "ai", "pairs", "dpo", "check", "rl", "serve"),
        "DPO on a model's choices, then RL where a program can check the answer.",
    ),
}


def pipeline(course: Course) -> str:
    """One drawing for each organization, of which a switch shows one; without a script all stand below each
    other.
    """
    return f'<div class="ways">{"".join(_way(name, course) for name in WAYS)}</div>'


def instructgpt(course: Course) -> str:
    """The way of InstructGPT alone."""
    return _way("instructgpt", course)


def _way(name: str, course: Course) -> str:
    title, way, said = WAYS[name]
    boxes = [_box(box, box in way, course) for box in BOXES]
    arrows = [_arrow(a, b) for a, b in zip(way, way[1:], strict=False)]
    tip = (
        f'<defs><marker id="fig-tip-{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" '
        'orient="auto"><path d="M0 0L8 4L0 8z" fill="var(--blue)"/></marker></defs>'
    )
    steps = ", ".join(BOXES[box][2] for box in way)
    parts = [tip, *boxes, *(arrow.replace("TIP", f"fig-tip-{name}") for arrow in arrows)]
    drawn = svg(parts, 490, f"{title}: {steps}")
    return (
        f'<div class="way" data-way="{escape(title, quote=True)}"><h4>{escape(title)}</h4>{drawn}'
        f"<p>{escape(said)} <code>alignlab run --recipe {name}</code></p></div>"
    )


def _box(name: str, on: bool, course: Course) -> str:
    x, y, said = BOXES[name]
    look = 'fill="var(--raised)" stroke="var(--blue)" stroke-width="2"'
    if not on:
        look = 'fill="none" stroke="var(--line)" stroke-dasharray="4 3"'
    drawn = f'<rect x="{x}" y="{y}" width="{WIDE}" height="{HIGH}" rx="7" {look}/>'
    drawn += text(x + WIDE / 2, y + HIGH / 2 + 4, said, anchor="middle", soft=not on)
    page = PAGES.get(name)
    return f'<a href="{page}.html">{drawn}</a>' if on and page in course.pages else drawn


def _arrow(start: str, end: str) -> str:
    """From the side of a box that looks at the other one."""
    (x1, y1, _), (x2, y2, _) = BOXES[start], BOXES[end]
    a = (x1 + WIDE / 2, y1 + HIGH / 2)
    b = (x2 + WIDE / 2, y2 + HIGH / 2)
    dx, dy = b[0] - a[0], b[1] - a[1]

    def edge(at: tuple[float, float], sign: float) -> tuple[float, float]:
        shrink = min(WIDE / 2 / abs(dx) if dx else 9.0, HIGH / 2 / abs(dy) if dy else 9.0)
        return at[0] + sign * dx * shrink, at[1] + sign * dy * shrink

    (ax, ay), (bx, by) = edge(a, 1), edge(b, -1)
    drawn = line(ax, ay, bx, by, "blue", 2)
    return drawn.replace("/>", ' marker-end="url(#TIP)"/>')
