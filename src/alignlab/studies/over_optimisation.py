"""The study `over-optimisation`: gold and proxy against KL for best-of-N, RL and DPO on one axis, the laws of
Gao et al. (2022), and where to stop.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from .. import stages
from ..errors import ConfigError
from ..pipeline.runner import Stage
from ..text.lists import by_comma
from . import measuring, steps
from .over_optimisation_figures import HALVES, lengths, measure
from .over_optimisation_page import tell
from .over_optimisation_settings import OverOptimisation
from .settings import ShareSettings
from .study import Form, Mirror, Planner, Study, held_out, made, numbers, of_the_town, start, trained_on


def plan(stage: Planner, model: str, settings: OverOptimisation, seed: int) -> dict[str, Stage]:
    s, o = settings, settings.over_optimisation
    gold = {"gold": s.own.gold}
    sizes = by_comma(o.sizes)
    of_town = [size for size in sizes if size == "town" or size.startswith("town-")]
    if of_town and not of_the_town(s):
        raise ConfigError(
            (
                f"over_optimisation.sizes = {o.sizes} are models that know the town alone, and the prompts "
                "are others"
            ),
            remedy='--over-optimisation.sizes "", or models of your own',
        )

    # 1. SFT, comparisons, a reward model of all of them
    sft, ranked, reward = start(stage, model, s, seed)
    asked = held_out(stage, s.test, trained_on(s), seed)
    planned = made({"sft": sft, "collect": ranked, "reward": reward}) | {"held-out": asked}

    # 2. RL with no penalty, a run of each length, the longest first; it learns on the prompts that were
    # ranked, with a constant rate, so that a shorter run is where a longer one was
    trained: dict[str, Stage] = {}
    rl = {"model": sft, "reward": reward, "data": s.own.prompts, "count": s.prompts, "seed": seed}
    for length in reversed(lengths(o)):
        trained[f"ppo-free-{length}"] = stage(
            f"ppo-free-{length}", stages.ppo, ptx="", settings=replace(o.ppo, steps=length), **rl
        )
        trained[f"rloo-free-{length}"] = stage(
            f"rloo-free-{length}", stages.rloo, judge="", settings=replace(o.rloo, steps=length), **rl
        )

    # 3. reward models of fewer comparisons and of other sizes
    judges: list[Stage] = []
    for name, part, parts in ((HALVES[0], 0, 2), (HALVES[1], 1, 2), ("reward-few", 0, o.few)):
        some = stage(
            f"share-{name.removeprefix('reward-')}",
            steps.share,
            data=ranked,
            seed=seed,
            settings=ShareSettings(part, parts),
        )
        judges.append(stage(name, stages.reward, model=sft, data=some, seed=seed, settings=s.reward, **gold))
    learn = {"data": ranked, "seed": seed, "settings": s.reward, **gold}
    for size in sizes:
        other: Stage | str = size
        if s.own.demonstrations:
            shown = {"data": s.own.demonstrations, "count": s.demonstrations}
            other = stage(
                f"sft-{Path(size).name}", stages.sft, model=size, seed=seed, settings=s.sft, **shown
            )
        judges.append(stage(f"reward-{Path(size).name}", stages.reward, model=other, **learn))
    planned |= {judge.out.name: judge for judge in judges}

    # 4. DPO at several betas; then, on the same prompts, best-of-N by every reward model from the same
    # samples, and every policy
    for beta in numbers(o.dpo_betas, "over_optimisation.dpo_betas"):
        name = f"dpo-{beta:g}"
        trained[name] = stage(
            name, stages.dpo, model=sft, data=ranked, seed=seed, settings=replace(s.dpo, beta=beta)
        )
    measured = {"data": asked, "count": s.measured, "seed": seed, **gold}
    planned["curve"] = stage(
        "curve", measuring.curve, model=sft, rewards=[reward, *judges], settings=s.curve, **measured
    )
    for name, policy in trained.items():
        planned[f"point-{name}"] = stage(
            f"point-{name}",
            measuring.point,
            model=policy,
            reference=sft,
            rewards=[reward],
            settings=s.point,
            **measured,
        )
    return planned


FORM = Form(plan, measure, tell)
OVER_OPTIMISATION = Study(
    title="Over-optimisation: how far to trust a reward model",
    controls=(
        "Everything is measured on the same prompts, whose questions nothing was trained on, as gain over "
        "the start (a random pick, N = 1) prompt by prompt; every reward model picks among the same samples. "
        "What is best is chosen on one half of the questions and measured on the other. A proposal where to "
        "stop is judged on other questions than the labelled ones, beside the highest mean of the same "
        "labels and beside always stopping at the same place."
    ),
    town=FORM,
    real=FORM,
    mirrors=(
        Mirror(
            "Gao, Schulman and Hilton 2022, Scaling laws for reward model overoptimization",
            "figure 1",
            "gold's gain is d (a - b d) for best-of-N and d (a - b log d) for RL, d = sqrt(KL)",
        ),
    ),
    changed=(
        "In version 1 of the town, after figures of its seed 0, the law's fit was moved from powers of 2 to "
        "every N, the labelled sample from 50 prompts to 100, and PPO's rate from 5e-4 to 2e-4. For version "
        "2 PPO's and RLOO's claims were put anew, about runs of several lengths on held-out prompts where "
        "they were about blocks of steps on the run's own prompts, and the claim about lost gold was added."
    ),
)
