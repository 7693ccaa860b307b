"""Drawings of what the methods do: each takes its figures from one record, mean and deviation over seeds."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import DataError
from ..evals.statistics import seeds_summary
from .course import Course
from .drawing import Axis, Series, beneath, lines
from .drawing_bars import Row, bars
from .records import Record


def record(course: Course, name: str) -> Record:
    if name not in course.records:
        raise DataError(f"there is no record {name}", remedy="python lecture/record.py FOLDER")
    return course.records[name]


def over(found: Record, path: str) -> tuple[float, float]:
    """Mean and standard deviation over seeds; of one seed, 0."""
    summary = seeds_summary(list(found.find(path).values()))
    return summary["mean"], summary["sd"] or 0.0


def point(found: Record, x: str, y: str) -> tuple[float, float, float]:
    return (over(found, x)[0], *over(found, y))


def first(found: Record) -> str:
    return found.seeds[0]


def over_optimisation(course: Course) -> str:
    found = record(course, "over-optimisation")
    counts = list(found.at(f"figures.{first(found)}.best_of_n.reward.by_n"))
    base = "figures.*.best_of_n.reward.by_n"

    def of(what: str) -> list[tuple[float, float, float]]:
        return [(float(n), *over(found, f"{base}.{n}.{what}")) for n in counts]

    by_n = Axis("answers to choose from, N", 1, float(counts[-1]), log=2)
    gold = lines(
        [Series("gold: what it is worth", of("gain"))],
        by_n,
        Axis("gain in gold", -0.15, 0.15),
        label="Gold",
        tall=150,
    )
    proxy = lines(
        [Series("", [], "dots"), Series("proxy: what the reward model says", of("proxy"))],
        by_n,
        Axis("gain in proxy", 0, 1.5),
        label="Proxy",
        tall=150,
    )
    return beneath(proxy, gold)


def over_optimisation_rl(course: Course) -> str:
    found = record(course, "over-optimisation")
    series = []
    for name, title in (("ppo", "PPO, no penalty"), ("rloo", "RLOO, no penalty")):
        base = f"figures.*.rl.{name}"
        many = range(len(found.at(f"figures.{first(found)}.rl.{name}.steps")))
        series.append(Series(title, [point(found, f"{base}.kl.{n}", f"{base}.gain.{n}") for n in many]))
    top = max(x for one in series for x, _, _ in one.points)
    return lines(
        series,
        Axis("KL from SFT, nats (square root)", 0, top * 1.05, root=True),
        Axis("gain in gold", -0.3, 0.2),
        label="Gold against KL",
    )


SOURCES = {
    "clean": ("a teacher who makes no mistakes (ceiling)", True),
    "crowd": ("a crowd that votes", False),
    "self-instruct": ("the model itself, checked (self-instruct)", False),
    "distil": ("a stronger model (distilled)", False),
    "people": ("people, one each", False),
    "distil-sft": ("a teacher no stronger (control)", True),
    "crowd-random": ("the same crowd, picked at random (control)", True),
}


def demonstrations(course: Course) -> str:
    found = record(course, "demonstrations")
    rows = [
        Row(title, *over(found, f"figures.*.rows.{name}.gold"), pale=pale)
        for name, (title, pale) in SOURCES.items()
    ]
    return bars(rows, label="Gold after SFT, by source", unit="gold, greedy")


def mixed_demonstrations(course: Course) -> str:
    found = record(course, "mixed-demonstrations")
    shares = list(found.at(f"figures.{first(found)}.rows"))

    def of(*keys: str) -> list[tuple[float, float, float]]:
        path = ".".join(keys)
        return [(float(share), *over(found, f'figures.*.rows."{share}".{path}')) for share in shares]

    series = [
        Series("the demonstrators themselves", of("people.good"), kind="line"),
        Series("SFT on their answers", of("sft.qualities.good")),
        Series("DPO on rankings of SFT's answers", of("dpo.qualities.good")),
    ]
    return lines(
        series,
        Axis("share of good demonstrators", 0, 1),
        Axis("share of good answers", 0, 1),
        label="Good answers by the share of good demonstrators",
    )


def reward_shift(course: Course) -> str:
    found = record(course, "reward-shift")
    rows = found.at(f"figures.{first(found)}.rows.before")

    def of(names: Sequence[str]) -> list[tuple[float, float, float]]:
        base = "figures.*.rows.before"
        points = []
        for name in names:
            points.append(point(found, f'{base}."{name}".kl', f'{base}."{name}".accuracy'))
        return sorted(points)

    policies = [name for name in rows if name != "ppo-kl-0" and not name.startswith("best of")]
    best = ["sft", *(name for name in rows if name.startswith("best of"))]
    series = [Series("trained policies", of(policies)), Series("best of N of the SFT model", of(best))]
    return lines(
        series,
        Axis("KL from the SFT model, nats", 0, 3.2),
        Axis("right about a pair", 0.1, 0.8, ticks=[(n / 10, f"0.{n}") for n in range(1, 9)]),
        label="Accuracy of the reward model against distance",
    )


def kl_frontier(course: Course) -> str:
    found = record(course, "kl-frontier")
    series = []
    for name, title in (("ppo", "PPO, by kl_coef"), ("rloo", "RLOO, by kl_coef"), ("dpo", "DPO, by beta")):
        dials = list(found.at(f"figures.{first(found)}.sweeps.{name}"))
        base = f"figures.*.sweeps.{name}"
        points = [point(found, f'{base}."{dial}".kl', f'{base}."{dial}".gold') for dial in dials]
        labels = [f"{float(dial):g}" if float(dial) > 1e-3 else "0" for dial in dials]
        series.append(Series(title, points, labels=labels))
    counts = found.at(f"figures.{first(found)}.best_of_n.by_n")
    base = "figures.*.best_of_n.by_n"
    best = [point(found, f"{base}.{n}.kl", f"{base}.{n}.gold") for n in counts]
    series.append(Series("best of N (bound)", best))
    far = max(x for one in series for x, _, _ in one.points)
    return lines(
        series,
        Axis("KL from the SFT model, nats (square root)", 0, far * 1.05, root=True),
        Axis("gold at temperature 1", 0, 0.5),
        label="Gold against KL",
        tall=250,
    )


STEPS = {"base": "base model", "sft": "after SFT", "dpo": "after DPO", "ppo": "after PPO"}


def three_hs(course: Course) -> str:
    found = record(course, "recipes")
    series = []
    for name in ("helpful", "honest", "harmless"):
        points = [
            (float(place), *over(found, f"figures.*.instructgpt.{step}.{name}"))
            for place, step in enumerate(STEPS)
        ]
        series.append(Series(name, points))
    steps = Axis("", -0.25, 3.25, ticks=[(float(place), name) for place, name in enumerate(STEPS.values())])
    return lines(series, steps, Axis("gold, greedy", 0, 1), label="The three Hs along the pipeline")


SHOWN = (
    "bandit",
    "persona",
    "prefill",
    "story",
    "refusal-suppression",
    "prefix-injection",
    "crescendo",
    "payload-split",
    "many-shot",
    "base64",
    "rot13",
    "leet",
)


def attacks(course: Course) -> str:
    found = record(course, "redteam")
    rows = []
    for name in SHOWN:
        before, after = (over(found, f"figures.*.{side}.attacks.{name}.asr") for side in ("before", "after"))
        rows.append(Row(name, *before, beside=after))
    rows.sort(key=lambda row: -row.mean)
    return bars(
        rows,
        label="Attacks before and after one fix",
        unit="share of harmful requests that fell",
        names=("before", "after the fix"),
    )


def defences(course: Course) -> str:
    found = record(course, "redteam")
    rows = []
    for name in found.at(f"figures.{first(found)}.frontier"):
        base = f'figures.*.frontier."{name}"'
        rows.append(Row(name, *over(found, f"{base}.asr_adaptive"), beside=over(found, f"{base}.helpful")))
    rows.sort(key=lambda row: row.mean)
    return bars(
        rows,
        label="Defences",
        unit="share of requests",
        names=("attacks that still work", "helpful answers left"),
    )


def rounds(course: Course) -> str:
    found = record(course, "redteam")
    numbers = list(found.at(f"figures.{first(found)}.rounds"))
    series = []
    for key, title in (
        ("asr_attacked", "attacks it was trained against"),
        ("asr_held_out", "attacks held out"),
        ("over_refusal", "look-alikes refused"),
        ("helpful", "helpful"),
    ):
        points = [(float(n), *over(found, f"figures.*.rounds.{n}.{key}")) for n in numbers]
        series.append(Series(title, points))
    ticks = [(float(n), "before" if n == "0" else f"round {n}") for n in numbers]
    across = Axis("", -0.1, len(numbers) - 0.9, ticks=ticks)
    return lines(series, across, Axis("share of requests", 0, 0.7), label="Rounds of attack and fix")


CONSTITUTION = {
    "helpful": "helpful (start)",
    "sl_cai": "SL-CAI",
    "rl_cai": "RL-CAI, by PPO",
    "rl_cai_dpo": "RL-CAI, by DPO",
    "sl_no_critique": "no critique",
    "sl_principles_of_another_world": "another world's rules",
}


def constitution(course: Course) -> str:
    found = record(course, "constitution")
    rows = []
    for name, title in CONSTITUTION.items():
        base = f"figures.*.models.{name}"
        harm = over(found, f"{base}.compliance_held_out")
        rows.append(Row(title, *harm, beside=over(found, f"{base}.look_alike_refusal_held_out"), pale=False))
    return bars(
        rows,
        label="Harm and over-refusal on topics that no training had",
        unit="share of requests of held-out topics",
        names=("helps with harm", "refuses a look-alike"),
    )


RECIPES = {
    "instructgpt": ("InstructGPT (OpenAI): SFT, reward model, PPO", "ppo"),
    "llama2": ("Llama 2 (Meta): rejection sampling, PPO", "ppo"),
    "llama3": ("Llama 3 (Meta): rejection sampling, DPO", "dpo_2"),
    "zephyr": ("Zephyr: a teacher's answers, DPO", "dpo"),
    "tulu3": ("Tulu 3: DPO, then checked rewards", "rlvr"),
}


def recipes(course: Course) -> str:
    found = record(course, "recipes")
    rows = []
    for name, (title, last) in RECIPES.items():
        base = f"figures.*.{name}"
        rows.append(Row(title, *over(found, f"{base}.{last}.gold"), beside=over(found, f"{base}.sft.gold")))
    rows.sort(key=lambda row: -row.mean)
    return bars(rows, label="Recipes", unit="gold, greedy", names=("at the end", "after its SFT alone"))


def clip(course: Course) -> str:
    """What PPO pays for a token against its ratio, a good one above and a bad one below, at clip range 0.2. A
    script makes the ratio something to drag.
    """
    grid = [n / 20 for n in range(0, 41)]

    def paid(sign: int, *, clipped: bool) -> list[tuple[float, float, float]]:
        return [(r, min(r * sign, min(1.2, max(0.8, r)) * sign) if clipped else r * sign, 0.0) for r in grid]

    drawings = []
    for sign, title, y in ((1, "a good token, A = +1", (0, 2)), (-1, "a bad token, A = −1", (-2, 0))):
        series = [
            Series("without the clip", paid(sign, clipped=False), "law"),
            Series("with it", paid(sign, clipped=True), "plain"),
        ]
        axes = Axis("ratio: how much likelier it is now", 0, 2), Axis(f"what is paid for {title}", *y)
        drawings.append(lines(series, *axes, label=f"The clip on {title}", tall=130))
    drag = (
        '<label hidden>ratio <input type="range" min="0" max="2" step="0.05" value="1.5"> '
        '<output aria-live="polite"></output></label>'
    )
    return f'<div class="clip">{beneath(*drawings)}{drag}</div>'
