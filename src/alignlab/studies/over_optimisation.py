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
from . import steps
from .over_optimisation_figures import HALVES, measure
from .over_optimisation_page import tell
from .settings import ShareSettings, StudySettings
from .study import TO_DPO, Planner, Study, fresh, made, numbers, of_the_town, start


def plan(stage: Planner, model: str, settings: StudySettings, seed: int) -> dict[str, Stage]:
    s, o, new = settings, settings.over_optimisation, fresh(seed)
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
    planned = made({"sft": sft, "collect": ranked, "reward": reward})

    # 2. the long runs first: RL with no penalty, on prompts the reward model has not seen
    rl = {"model": sft, "reward": reward, "data": s.own.fresh, "count": s.prompts, "seed": new, **gold}
    planned["ppo-free"] = stage("ppo-free", stages.ppo, ptx="", settings=o.ppo, **rl)
    planned["rloo-free"] = stage("rloo-free", stages.rloo, judge="", settings=o.rloo, **rl)

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

    # 4. DPO at several betas; best-of-N by every reward model, from the same samples; where the trained
    # policies ended
    asked = {"data": s.own.fresh, "seed": new, **gold}
    trained = {"ppo-free": planned["ppo-free"], "rloo-free": planned["rloo-free"]}
    for beta in numbers(o.dpo_betas, "over_optimisation.dpo_betas"):
        name = f"dpo-{beta:g}"
        trained[name] = planned[name] = stage(
            name, stages.dpo, model=sft, data=ranked, seed=seed, settings=replace(s.dpo, beta=beta)
        )
    planned["curve"] = stage(
        "curve", steps.curve, model=sft, rewards=[reward, *judges], settings=s.curve, **asked
    )
    for name, policy in trained.items():
        planned[f"point-{name}"] = stage(
            f"point-{name}",
            steps.point,
            model=policy,
            reference=sft,
            rewards=[reward],
            settings=s.point,
            **asked,
        )
    return planned


OVER_OPTIMISATION = Study(
    title="Over-optimisation: how far to trust a reward model",
    question=(
        "Gold and proxy against KL for best-of-N, RL and DPO on one axis: do Gao et al.'s laws hold, what do "
        "reward-model size and comparisons change, and can one know where to stop without gold?"
    ),
    controls=(
        "The start (a random pick, N = 1) is measured on the same samples; every reward model picks among "
        "the same samples; prompts are new to all reward models; the laws' intervals come from a bootstrap; "
        "the proposal is tried on many draws of its labelled sample."
    ),
    reads=(*TO_DPO, "point", "curve", "over_optimisation"),
    plan=plan,
    measure=measure,
    tell=tell,
)
