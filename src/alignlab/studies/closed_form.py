"""The study `closed-form`: how near each method comes to a policy that is known to be the best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..evals.statistics import seeds_summary
from ..pipeline.runner import Stage
from ..report import bar_charts, charts
from ..run import RunInfo, derive_seed
from ..stages.stage import done, open_run, result
from .closed_form_settings import ClosedForm, ClosedFormSettings
from .study import Bar, Form, Planner, Study, Told, each, mean, spread

RIGHT = (
    "PPO",
    "RLOO",
    "REINFORCE, batch baseline",
    "Dr. GRPO, KL in the reward",
    "GRPO, KL in the reward",
    "RLOO, k2 of the whole completion in the loss",
    "DPO, exact preferences",
)
"""Methods that ought to find the optimum; the others have another fixed point, for a reason the page
gives.
"""
WHY = {
    "GRPO as published (k3 in the loss)": (
        "divides by the spread of the raw scores: a KL penalty of its own for each prompt; and k3 (below)"
    ),
    "RLOO, k3 in the loss": "k3's gradient is that of KL(ref || policy), token by token",
    "RLOO, k2 in the loss": (
        "right for one token; of several, each pays for its own KL and not for what it leads to"
    ),
    "RLOO, k1 in the loss": "k1's gradient is 0 in the mean: no penalty at all",
    "DPO, sampled labels": "the same loss on a finite number of coin flips: what is missing is data",
    "IPO, exact preferences": (
        "maximises the chance to be preferred, not the reward: another optimum, which it does reach"
    ),
    "rejection sampling": "SFT on the best of n: the best-of-n distribution, no exponential tilt",
}
NEAR = 0.02
"""A method is at the optimum if its KL(pi || pi*) is below this share of the reference's."""


def learn(*, out: Path, seed: int, resume: bool, settings: ClosedFormSettings) -> dict[str, Any]:
    """Every method on one task, each a line of metrics.jsonl; exact figures of what it ends as."""
    import torch

    from . import closed_form_methods as m
    from . import closed_form_task as c

    c.check(settings)
    run = open_run("study-closed-form", out, settings, seed, resume)
    if run.done:
        return done(run)
    torch.set_num_threads(1)
    task, s = c.make_task(settings, seed), settings
    log_ref = task.log_ref_PC

    def random(name: str) -> int:
        return derive_seed(seed, "closed-form", name)

    methods: dict[str, Callable[[], Any]] = {"PPO": lambda: m.learn_ppo(task, s, random("ppo"))}
    for name, how in m.GROUP_METHODS.items():
        methods[name] = partial(m.learn_group, task, *how, s, random("group"))
    methods |= {
        "DPO, exact preferences": lambda: m.learn_direct(task, "sigmoid", s, random("dpo")),
        "DPO, sampled labels": lambda: m.learn_direct(
            task, "sigmoid", s, random("labels"), comparisons=s.comparisons
        ),
        "IPO, exact preferences": lambda: m.learn_direct(task, "ipo", s, random("ipo")),
        "rejection sampling": lambda: m.learn_rejection(task, s.best_of, s, random("rejection")),
    }
    targets = {
        "IPO, exact preferences": c.ipo_target(task),
        "rejection sampling": c.best_of_n_table(log_ref, task.reward_PC, s.best_of),
    }
    found = {
        "the reference": c.figures(task, log_ref),
        "the optimum": c.figures(task, c.optimum(log_ref, task.reward_PC, task.beta)),
    }
    for step, (name, method) in enumerate(run.track(list(methods.items()), desc="closed form")):
        found[name] = c.figures(task, method(), targets.get(name))
        run.log(step, found[name])
    for n in (1, 2, 4, 8, 16, 32):
        found[f"best of {n}"] = c.figures(task, c.best_of_n_table(log_ref, task.reward_PC, n))
    frontier = []
    for beta in (8.0, 4.0, 2.0, 1.4, 1.0, 0.8, 0.65, 0.5, 0.4, 0.3, 0.22, 0.15, 0.1):
        row = c.figures(task, c.optimum(log_ref, task.reward_PC, beta))
        frontier.append({"beta": beta, "kl": row["kl"], "reward": row["reward"]})
    run.finish({"methods": found, "frontier": frontier, "beta": s.beta})
    ppo, rloo, reference = (found[name]["kl_to_optimum"] for name in ("PPO", "RLOO", "the reference"))
    return result(
        run, f"KL to the optimum: PPO {ppo:.4f}, RLOO {rloo:.4f}, the reference {reference:.2f} nats"
    )


def plan(stage: Planner, model: str, settings: ClosedForm, seed: int) -> dict[str, Stage]:
    return {"closed-form": stage("closed-form", learn, seed=seed, settings=settings.closed_form)}


def measure(runs: dict[str, RunInfo], settings: ClosedForm) -> dict[str, Any]:
    return runs["closed-form"].summary


def tell(seeds: Sequence[dict[str, Any]]) -> Told:
    named = list(seeds[0]["methods"])
    names = [name for name in named if not name.startswith(("the ", "best of"))]
    best = [name for name in named if name.startswith("best of") and name != "best of 1"]

    def away(name: str) -> list[float]:
        return each(seeds, "methods", name, "kl_to_optimum")

    missed = [name for name in names if name not in RIGHT]
    off = sorted(missed, key=lambda name: -mean(away(name)))
    over: dict[str, Any] = {}
    for name in named:
        for key in ("kl_to_optimum", "regret", "frontier_gap"):
            over[f"{name}: {key}"] = seeds_summary(each(seeds, "methods", name, key))
    sections = [distance(seeds, names, best, off)]
    return Told(conclusion(seeds, names, best), sections, claims(seeds, names, off), over)


def conclusion(seeds: Sequence[dict[str, Any]], names: Sequence[str], best: Sequence[str]) -> list[str]:
    def away(name: str, digits: int = 3) -> str:
        return spread(each(seeds, "methods", name, "kl_to_optimum"), digits)

    def average(name: str) -> float:
        return mean(each(seeds, "methods", name, "kl_to_optimum"))

    nearest = min(best, key=average)
    own: list[str] = []
    for name in names:
        if "kl_to_own_target" in seeds[0]["methods"][name]:
            values = each(seeds, "methods", name, "kl_to_own_target")
            own.append(f"{name[0].upper()}{name[1:]}: {spread(values)} nats from its own target.")
    return [
        f"The reference is {away('the reference', 2)} nats from the optimum. PPO ends {away('PPO')} away, "
        f"RLOO {away('RLOO')}, DPO on exact preferences {away('DPO, exact preferences')}, GRPO "
        f"{away('GRPO, KL in the reward')} with the KL as part of the reward: at the optimum every group's "
        "shaped rewards are equal, whatever they are divided by.",
        "Where the KL goes matters more than the method: RLOO with the token-wise estimate in the loss ends "
        f"{away('RLOO, k3 in the loss')} away with k3, {away('RLOO, k2 in the loss')} with k2 and "
        f"{away('RLOO, k1 in the loss')} with k1, whose gradient is 0 in the mean; with k2 of the whole "
        f"completion {away('RLOO, k2 of the whole completion in the loss')}. GRPO as published: "
        f"{away('GRPO as published (k3 in the loss)')}.",
        f"Best-of-N comes no nearer than {away(nearest)} ({nearest}), where it lacks "
        f"{spread(each(seeds, 'methods', nearest, 'frontier_gap'))} of reward against the best policy of its "
        f"KL. {' '.join(own)}",
    ]


def claims(seeds: Sequence[dict[str, Any]], names: Sequence[str], off: Sequence[str]) -> list[Bar]:
    all_right: list[bool] = []
    all_off: list[bool] = []
    for methods in each(seeds, "methods"):
        limit = NEAR * methods["the reference"]["kl_to_optimum"]
        arrived = {name for name in names if methods[name]["kl_to_optimum"] < limit}
        all_right.append(arrived.issuperset(RIGHT))
        all_off.append(arrived.isdisjoint(off))
    return [
        Bar(f"within {NEAR:.0%} of the reference's distance to the optimum: {', '.join(RIGHT)}", all_right),
        Bar(f"further away: {', '.join(off)}", all_off),
    ]


def distance(
    seeds: Sequence[dict[str, Any]], names: Sequence[str], best: Sequence[str], off: Sequence[str]
) -> dict[str, Any]:
    """How far each method ends from the optimum, and reward against KL."""
    rows: list[list[str]] = []
    for name in ["the reference", *names, *best, "the optimum"]:
        found = each(seeds, "methods", name)
        figures = [
            spread(each(found, key)) for key in ("kl_to_optimum", "regret", "reward", "kl", "frontier_gap")
        ]
        rows.append([name, *figures, WHY.get(name, "")])
    lengths: dict[str, tuple[float, float]] = {}
    for name in (*names, *best):
        values = each(seeds, "methods", name, "kl_to_optimum")
        lengths[name] = mean(values), seeds_summary(values)["sd"] or 0.0

    def average(name: str, key: str) -> float:
        return mean(each(seeds, "methods", name, key))

    places = range(len(seeds[0]["frontier"]))
    kl, reward = ([mean(each(seeds, "frontier", i, key)) for i in places] for key in ("kl", "reward"))
    n_kl, n_reward = ([average(name, key) for name in best] for key in ("kl", "reward"))
    curves = {"the frontier": charts.Curve(kl, reward), "best of 2, 4, ... 32": charts.Curve(n_kl, n_reward)}
    for name in (*off, "PPO"):
        curves[name] = charts.Curve([average(name, "kl")], [average(name, "reward")], kind="points")
    bars = bar_charts.lengths(lengths, title="KL(policy || optimum)", x="nats a completion")
    frontier = charts.curves(
        curves, title="Reward against KL", x="KL from the reference, nats", y="mean reward"
    )
    return {
        "title": "Distance to the optimum",
        "charts": [
            charts.captioned(
                bars,
                "Exact: every completion is enumerated. Times beta it is the regret of the objective that "
                "all of them are said to maximise.",
            ),
            charts.captioned(
                frontier,
                "No policy lies above the frontier. A method below it wastes KL; one on it but elsewhere has "
                "another strength than asked for.",
            ),
        ],
        "table": {
            "heads": [
                "method",
                "KL to the optimum",
                "regret",
                "reward",
                "KL from the reference",
                "short of the frontier",
                "why it is not there",
            ],
            "rows": rows,
            "note": (
                "Mean ± standard deviation over seeds; each seed is another task. `regret` is what is lost "
                "of E r - beta KL; `short of the frontier` the reward lacking against the best policy of the "
                "same KL."
            ),
        },
    }


CLOSED_FORM = Study(
    title="How near each method comes to a policy known to be the best",
    controls=(
        "The reference and the optimum themselves; best-of-N exactly, without training; IPO and rejection "
        "sampling also against their own closed forms, which shows that the training is not what keeps them "
        "away; the same method with the KL at another place."
    ),
    town=Form(plan, measure, tell),
    town_alone="it has no data: its world is so small that every answer is counted",
)
