"""The study `closed-form`: how near each method comes to a policy that is known to be the best."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..evals.statistics import seeds_summary
from ..pipeline.runner import Stage
from ..report import bar_charts, charts
from ..run import RunInfo, derive_seed
from ..stages.stage import done, open_run, result
from .settings import ClosedFormSettings, StudySettings
from .study import Bar, Planner, Study, Told, mean, spread

RIGHT = (
    "PPO",
    "RLOO",
    "REINFORCE, batch baseline",
    "Dr. GRPO, KL in the reward",
    "GRPO, KL in the reward",
    "RLOO, k2 of the whole completion in the loss",
    "DPO, exact preferences",
)
"""Methods that ought to find the optimum; the others have another fixed point, for a reason the page gives."""
WHY = {
    "GRPO as published (k3 in the loss)": "divides by the spread of the raw scores: a KL penalty of its own for each prompt; and k3 (below)",
    "RLOO, k3 in the loss": "k3's gradient is that of KL(ref || policy), token by token",
    "RLOO, k2 in the loss": "right for one token; of several, each pays for its own KL and not for what it leads to",
    "RLOO, k1 in the loss": "k1's gradient is 0 in the mean: no penalty at all",
    "DPO, sampled labels": "the same loss on a finite number of coin flips: what is missing is data",
    "IPO, exact preferences": "maximises the chance to be preferred, not the reward: another optimum, which it does reach",
    "rejection sampling": "SFT on the best of n: the best-of-n distribution, no exponential tilt",
}
NEAR = 0.02
"""A method is at the optimum if its KL(pi || pi*) is below this share of the reference's."""


def learn(*, out: Path, seed: int, resume: bool, settings: ClosedFormSettings) -> dict[str, Any]:
    """Every method on one task, each a line of metrics.jsonl; exact figures of what it ends as."""
    import torch

    from . import closed_form as c

    c.check(settings)
    run = open_run("study-closed-form", out, settings, seed, resume)
    if run.done:
        return done(run)
    torch.set_num_threads(1)
    task, s = c.make_task(settings, seed), settings
    log_ref = task.log_ref_PC

    def random(name: str) -> int:
        return derive_seed(seed, "closed-form", name)

    methods = {"PPO": lambda: c.learn_ppo(task, s, random("ppo"))}
    methods |= {
        name: lambda how=how: c.learn_group(task, *how, s, random("group"))
        for name, how in c.GROUP_METHODS.items()
    }
    methods |= {
        "DPO, exact preferences": lambda: c.learn_direct(task, "sigmoid", s, random("dpo")),
        "DPO, sampled labels": lambda: c.learn_direct(
            task, "sigmoid", s, random("labels"), comparisons=s.comparisons
        ),
        "IPO, exact preferences": lambda: c.learn_direct(task, "ipo", s, random("ipo")),
        "rejection sampling": lambda: c.learn_rejection(task, s.best_of, s, random("rejection")),
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
    return result(
        run,
        f"KL to the optimum: PPO {found['PPO']['kl_to_optimum']:.4f}, RLOO {found['RLOO']['kl_to_optimum']:.4f}, "
        f"the reference {found['the reference']['kl_to_optimum']:.2f} nats",
    )


def plan(stage: Planner, model: str, settings: StudySettings, seed: int) -> dict[str, Stage]:
    return {"closed-form": stage("closed-form", learn, seed=seed, settings=settings.closed_form)}


def measure(runs: dict[str, RunInfo], settings: StudySettings) -> dict[str, Any]:
    return runs["closed-form"].summary


def tell(seeds: Sequence[dict[str, Any]]) -> Told:
    names = [name for name in seeds[0]["methods"] if not name.startswith(("the ", "best of"))]
    best = [name for name in seeds[0]["methods"] if name.startswith("best of") and name != "best of 1"]
    get = lambda name, key: [seed["methods"][name][key] for seed in seeds]  # noqa: E731
    begun = get("the reference", "kl_to_optimum")
    nearest = min(best, key=lambda name: mean(get(name, "kl_to_optimum")))
    off = sorted(
        (name for name in names if name not in RIGHT), key=lambda name: -mean(get(name, "kl_to_optimum"))
    )
    rows = [
        [
            name,
            *(spread(get(name, key)) for key in ("kl_to_optimum", "regret", "reward", "kl", "frontier_gap")),
            WHY.get(name, ""),
        ]
        for name in ["the reference", *names, *best, "the optimum"]
    ]
    heads = [
        "method",
        "KL to the optimum",
        "regret",
        "reward",
        "KL from the reference",
        "short of the frontier",
        "why it is not there",
    ]
    frontier = {
        key: [mean([seed["frontier"][i][key] for seed in seeds]) for i in range(len(seeds[0]["frontier"]))]
        for key in ("kl", "reward")
    }
    points = {
        name: charts.Curve([mean(get(name, "kl"))], [mean(get(name, "reward"))], kind="points")
        for name in (*off, "PPO")
    }
    n_curve = charts.Curve(
        [mean(get(name, "kl")) for name in best], [mean(get(name, "reward")) for name in best]
    )
    own = {
        name: get(name, "kl_to_own_target")
        for name in names
        if "kl_to_own_target" in seeds[0]["methods"][name]
    }
    conclusion = [
        f"The reference is {spread(begun, 2)} nats from the optimum. PPO ends {spread(get('PPO', 'kl_to_optimum'))} away, RLOO {spread(get('RLOO', 'kl_to_optimum'))}, "
        f"DPO on exact preferences {spread(get('DPO, exact preferences', 'kl_to_optimum'))}, GRPO "
        f"{spread(get('GRPO, KL in the reward', 'kl_to_optimum'))} with the KL as part of "
        "the reward: at the optimum every group's shaped rewards are equal, whatever they are divided by.",
        f"Where the KL goes matters more than the method: RLOO with the token-wise estimate in the loss ends {spread(get('RLOO, k3 in the loss', 'kl_to_optimum'))} away with k3, "
        f"{spread(get('RLOO, k2 in the loss', 'kl_to_optimum'))} with k2 and "
        f"{spread(get('RLOO, k1 in the loss', 'kl_to_optimum'))} with k1, whose gradient is 0 in the "
        "mean; "
        "with k2 of the whole completion "
        f"{spread(get('RLOO, k2 of the whole completion in the loss', 'kl_to_optimum'))}. GRPO as "
        "published: "
        f"{spread(get('GRPO as published (k3 in the loss)', 'kl_to_optimum'))}.",
        f"Best-of-N comes no nearer than {spread(get(nearest, 'kl_to_optimum'))} ({nearest}), where it lacks {spread(get(nearest, 'frontier_gap'))} of reward against the best "
        "policy of its KL. "
        + " ".join(
            f"{name[0].upper()}{name[1:]}: {spread(values)} nats from its own target."
            for name, values in own.items()
        ),
    ]
    arrived = [
        {
            name: seed["methods"][name]["kl_to_optimum"]
            < NEAR * seed["methods"]["the reference"]["kl_to_optimum"]
            for name in names
        }
        for seed in seeds
    ]
    bars = [
        Bar(
            f"within {NEAR:.0%} of the reference's distance to the optimum: {', '.join(RIGHT)}",
            [all(a[name] for name in RIGHT) for a in arrived],
        ),
        Bar(f"further away: {', '.join(off)}", [not any(a[name] for name in off) for a in arrived]),
    ]
    sections = [
        {
            "title": "Distance to the optimum",
            "charts": [
                charts.captioned(
                    bar_charts.lengths(
                        {
                            name: (mean(v), seeds_summary(v)["sd"])
                            for name in (*names, *best)
                            if (v := get(name, "kl_to_optimum"))
                        },
                        title="KL(policy || optimum)",
                        x="nats a completion",
                    ),
                    (
                        "Exact: every completion is enumerated. Times beta it is the regret of the "
                        "objective that all of them are said to maximise."
                    ),
                ),
                charts.captioned(
                    charts.curves(
                        {
                            "the frontier": charts.Curve(frontier["kl"], frontier["reward"]),
                            "best of 2, 4, ... 32": n_curve,
                            **points,
                        },
                        title="Reward against KL",
                        x="KL from the reference, nats",
                        y="mean reward",
                    ),
                    (
                        "No policy lies above the frontier. A method below it wastes KL; one on it but "
                        "elsewhere has another strength than asked for."
                    ),
                ),
            ],
            "table": {
                "heads": heads,
                "rows": rows,
                "note": "Mean ± standard deviation over seeds; each seed is another task. `regret` is what is lost of E r - beta KL; `short of the "
                "frontier` the reward lacking against the best policy of the same KL.",
            },
        }
    ]
    over = {
        f"{name}: {key}": seeds_summary(get(name, key))
        for name in seeds[0]["methods"]
        for key in ("kl_to_optimum", "regret", "frontier_gap")
    }
    return Told(conclusion, sections, bars, over)


CLOSED_FORM = Study(
    title="How near each method comes to a policy known to be the best",
    question=(
        "On a task whose KL-optimal policy is known in closed form, ref exp(r / beta) / Z: does each "
        "method, with the shipped losses, find it?"
    ),
    controls="The reference and the optimum themselves; best-of-N exactly, without training; IPO and rejection sampling also against their own closed forms, which shows that the "
    "training is not what keeps them away; the same method with the KL at another place.",
    reads=("closed_form",),
    plan=plan,
    measure=measure,
    tell=tell,
    town_alone="it has no data: its world is so small that every answer is counted",
)
