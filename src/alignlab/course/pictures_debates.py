"""One drawing for each debate, small, from its study's record; the study's own page has it in full."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..evals.statistics import seeds_summary
from .course import Course
from .drawing import Axis, Series, beneath, lines
from .drawing_bars import Row, bars, stacks
from .pictures_measured import first, over, record
from .records import NoSuchFigure, Record

LOST = {
    "refused": ("refused", "blue"),
    "does not know": ('says "I do not know"', "purple"),
    "wrong, though known": ("wrong, though it knows", "green"),
    "wrong, and gone": ("wrong, and forgotten", "red"),
}
TRAININGS = {
    "sft": "SFT on refusals",
    "twins 0.5": "and a look-alike for every second",
    "dpo": "DPO",
    "ppo": "PPO",
}


def alignment_tax(course: Course) -> str:
    """Points lost on harmless requests beyond the start, by why."""
    found = record(course, "alignment-tax")
    rows = {}
    for name, title in TRAININGS.items():
        rows[title] = _lost(found, name)
        placebo = {"dpo": "dpo placebo", "ppo": "ppo placebo"}.get(name, "placebo")
        if name != "twins 0.5":
            rows[f"{title}: its placebo"] = _lost(found, placebo)
    parts = [*((title, color) for title, color in LOST.values()), ("another mistake", "quiet")]
    return stacks(rows, parts, label="What safety costs", unit="gold lost on harmless requests")


def _lost(found: Record, arm: str) -> dict[str, float]:
    def of(arm: str, reason: str) -> float:
        return over(found, f'figures.*.arms."{arm}".greedy.harmless.lost."{reason}"')[0]

    reasons = list(found.at(f"figures.{first(found)}.arms.start.greedy.harmless.lost"))
    lost = {reason: of(arm, reason) - of("start", reason) for reason in reasons}
    parts = {title: lost.pop(reason, 0.0) for reason, (title, _) in LOST.items()}
    return parts | {"another mistake": sum(lost.values())}


def sycophancy(course: Course) -> str:
    """Raters by how much they can check and how much they like to be agreed with: where agreement with wrong
    claims rose, where it fell, and where the formula has it turn.
    """
    found = record(course, "sycophancy")
    cells = found.at(f"figures.{first(found)}.cells")
    drawings = []
    for noise, title in ((0.1, "little noise"), (0.5, "more noise")):
        rose, fell, turns = [], [], {}
        for place, cell in enumerate(cells):
            rater = cell["rater"]
            if rater["noise"] != noise:
                continue
            change = over(found, f"figures.*.cells.{place}.sampled.change")[0]
            at = (rater["knows"], rater["agreeing"], 0.0)
            (rose if change > 0 else fell).append((at, f"{change:+.2f}".replace("-", "−")))
            turns[rater["agreeing"]] = over(found, f"figures.*.cells.{place}.boundary")[0]
        law = [(min(1.12, knows), liking, 0.0) for liking, knows in sorted(turns.items())]
        series = [
            Series("agreement rose", [at for at, _ in rose], "dots", [name for _, name in rose]),
            Series("agreement fell", [at for at, _ in fell], "dots", [name for _, name in fell]),
            Series("where the formula has it turn", law, "law"),
        ]
        known = Axis(
            f"share of the facts that the rater can check ({title})",
            -0.06,
            1.16,
            ticks=[(n / 4, f"{n / 4:g}") for n in range(5)],
        )
        liking = Axis("how much the rater likes to be agreed with", 0, 1.4)
        drawings.append(lines(series, known, liking, label=f"Change in agreement, {title}", tall=170))
    return beneath(*drawings)


def specification_gaming(course: Course) -> str:
    """The step of discovery against how likely the exploit was; what was never found stands above."""
    found = record(course, "specification-gaming")
    never = 34.0

    def of(group: str) -> Series:
        points, labels = [], []
        for name in found.at(f"figures.{first(found)}.{group}"):
            base = f'figures.*.{group}."{name}"'
            chance = [max(1e-12, value) for value in found.find(f"{base}.p0").values()]
            rare = math.exp(sum(map(math.log, chance)) / len(chance))
            try:
                step = over(found, f"{base}.half")[0]
            except NoSuchFigure:
                step = never
            points.append((rare, step, 0.0))
            labels.append("" if group == "shares" or step == never else name)
        return Series(
            "planted holes" if group == "shares" else "holes nobody planted", points, "dots", labels
        )

    ticks = [(1e-12, "10⁻¹²"), (1e-9, "10⁻⁹"), (1e-6, "10⁻⁶"), (1e-3, "10⁻³"), (1.0, "1")]
    heights = [(float(n), str(n)) for n in (0, 8, 16, 24)] + [(never, "never")]
    return lines(
        [of("shares"), of("others")],
        Axis("chance of the exploit at the start", 1e-13, 3.0, log=10, ticks=ticks),
        Axis("step of discovery", 0, 36, ticks=heights),
        label="When a hole is found",
    )


def whose_values(course: Course) -> str:
    """Above the law, below the loop."""
    found = record(course, "whose-values")
    grid = [n / 25 for n in range(1, 25)]
    series = []
    for beta in ("1", "0.3"):
        points = []
        for seed in found.seeds:
            shifts = found.at(f'figures.{seed}.law."{beta}".shift')
            for matter, share in found.at(f"figures.{seed}.shares").items():
                if matter in shifts:
                    points.append((share, 1 / (1 + math.exp(-shifts[matter])), 0.0))
        law = [(p, 1 / (1 + ((1 - p) / p) ** (1 / float(beta))), 0.0) for p in grid]
        series.append(Series(f"the model, beta {beta}", sorted(points), "dots"))
        series.append(Series(f"the law, beta {beta}", law, "law"))
    share = Axis("share of the town that says yes", 0, 1)
    above = lines(
        series,
        share,
        Axis("model says yes", 0, 1),
        label="What the town thinks, what its model says",
        tall=190,
    )
    arms = {"no model": "no model", "matching": "a model that matches the town", "sharp": "a sharp model"}
    loops = []
    for arm, title in arms.items():
        many = range(int(found.at(f"figures.{first(found)}.loop.generations")) + 1)
        loops.append(Series(title, [(float(n), *_doubt(found, arm, n)) for n in many]))
    rounds = Axis("rounds of listening to the model", 0, 6)
    return beneath(
        above,
        lines(
            loops,
            rounds,
            Axis("doubt that is left in the town", 0, 1.2),
            label="The town over six rounds",
            tall=150,
        ),
    )


def _doubt(found: Record, arm: str, n: int) -> tuple[float, float]:
    """The doubt, p (1 - p), that is left on matters without news, as a share of what there was."""
    of_seeds = []
    for seed in found.seeds:
        loop = found.at(f"figures.{seed}.loop")
        paths = [path for matter, path in loop["arms"][arm]["paths"].items() if matter not in loop["news"]]
        before, after = (sum(path[at] * (1 - path[at]) for path in paths) for at in (0, n))
        of_seeds.append(after / before)
    summary = seeds_summary(of_seeds)
    return summary["mean"], summary["sd"] or 0.0


SAYS = {
    "truth": ("the truth", "blue"),
    "inherited": ("the supervisor's mistake", "orange"),
    "own": ("a mistake of its own", "quiet"),
}
LOOKS = {
    "alone": "a look at random",
    "consultancy": "where the author points",
    "debate": "where a rival points",
    "oracle": "where an oracle points",
}


def oversight(course: Course) -> str:
    """What a student says where its supervisor is wrong; how often a label is right, by who points."""
    found = record(course, "oversight")
    rows: dict[str, Mapping[str, float]] = {}
    for kind, title in (("scattered", "mistakes here and there"), ("rule", "mistakes by a rule")):
        for share in ("0.1", "0.3"):
            base = f'figures.*.students."{kind} {share}"."held out".of_wrong'
            rows[f"{title}, {share} of all"] = {
                name: over(found, f"{base}.{who}")[0] for who, (name, _) in SAYS.items()
            }
    above = stacks(
        rows,
        list(SAYS.values()),
        label="What the student says",
        unit="share of facts that no lesson told",
        whole=True,
    )
    looks = [Row(title, *over(found, f'figures.*.looks."{name}"')) for name, title in LOOKS.items()]
    return beneath(above, bars(looks, label="One look", unit="labels that are right"))


RUNGS = {
    "asked": "asked",
    "wrapped": "in a story",
    "question": "as text",
    "begun 3": "begun",
    "leaflet": "leaflet",
}
"""The rungs of the ladder, from the plain request to a leaflet that has to be written on; two more follow."""
MODELS = {
    "refusal": "SFT on refusals",
    "dpo": "DPO",
    "rloo": "RLOO",
    "sl-cai": "SL-CAI",
    "recovery": "taught to recover",
}


def depth(course: Course) -> str:
    """Help with harm at temperature 1, asked harder and harder."""
    found = record(course, "depth")
    series = []
    for model, title in MODELS.items():
        paths = [f'ladder."{model}"."{rung}".sampled' for rung in RUNGS]
        paths += [f'relearn."{model}".harm.10.asked.sampled', f'knows."{model}".harmful']
        points = [(float(place), *over(found, f"figures.*.{path}")) for place, path in enumerate(paths)]
        series.append(Series(title, points))
    names = [*RUNGS.values(), "10 lessons", "knows"]
    ticks = [(float(place), name) for place, name in enumerate(names)]
    return lines(
        series,
        Axis("", -0.35, 6.35, ticks=ticks),
        Axis("helps with harm; knows the steps", 0, 1),
        label="Asked harder and harder",
    )
