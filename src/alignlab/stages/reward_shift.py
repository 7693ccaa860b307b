"""A reward model away from the policy that it was trained on."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from .. import names
from ..errors import UserError
from ..run import derive_seed, whole_file
from ..settings import ShiftSettings
from ..text.lists import by_comma
from .stage import done, open_run, rate, result, room_for_answers


def reward_shift(
    *,
    model: str,
    reward: str,
    policies: str,
    data: str,
    gold: str,
    out: Path,
    seed: int,
    resume: bool,
    settings: ShiftSettings,
) -> dict[str, Any]:
    """A reward model's accuracy against gold on what the reference, its best-of-n and each policy write, over
    their KL from the reference.

    `summary.json` has a row per policy, nearest first, and `shift.svg` draws them. A run that was interrupted
    goes on with the first policy that is missing.
    """
    from ..report import charts

    if not reward or not gold:
        raise UserError(
            "reward-shift needs a reward model and a gold judge", remedy="--reward RUN --gold town:gold"
        )
    prompts = names.data.read_data(data, "prompt", seed=0, count=settings.prompts)
    start = names.models.model(model)
    others = [names.models.model(name) for name in by_comma(policies)]
    named_judge, named_truth = names.judges.reward_judge(reward, settings.model), names.judges.judge(gold)
    run = open_run(
        "reward-shift",
        out,
        settings,
        seed,
        resume,
        uses=[start, named_judge, *others, prompts, named_truth],
        gold=gold,
        reward=reward,
    )
    if run.done:
        return done(run)
    from ..evals import shift as method
    from ..models.load import load_policy

    judge, truth = named_judge.load(), named_truth.load()
    reference = load_policy(start.path, settings.model)
    asked = room_for_answers(run, prompts.records, reference, settings.sampling)

    def point(number: int, source: names.models.Model | int) -> dict[str, Any]:
        """The best of so many, or a policy; the first is the reference itself."""
        common = {
            "per_prompt": settings.per_prompt,
            "sampling": settings.sampling,
            "seed": derive_seed(seed, "reward-shift", number),
        }
        if isinstance(source, int):
            row = method.accuracy_on_best_of_n(judge, truth, reference, asked, n=source, **common)
            return {"policy": f"best of {source}", "kind": "best of", **row}
        if number == 0:
            row = method.accuracy_on_policy(judge, truth, reference, asked, reference=None, **common)
        else:
            policy = load_policy(source.path, settings.model)
            row = method.accuracy_on_policy(judge, truth, policy, asked, reference=reference, **common)
        return {"policy": Path(source.name).name, "kind": "policy", **row}

    sources = [start, *(int(n) for n in by_comma(settings.best_of)), *others]
    rows = [
        run.kept(f"points/{number:03d}", partial(point, number, source))
        for number, source in enumerate(run.track(sources, desc="reward shift"))
    ]
    rows.sort(key=lambda row: row["kl"]["mean"])

    drawn = charts.reward_shift(rows, title=f"{Path(reward).name}: right about pairs that gold tells apart")
    with whole_file(run.path / "shift.svg") as staging:
        staging.write_text(drawn, encoding="utf-8")
    run.finish({"reward": reward, "rows": rows})
    lines = [
        f"{row['policy']:<20} KL {row['kl']['mean']:7.2f}   accuracy {rate(row['accuracy'])}   "
        f"gold {row['gold']['mean']:.3f}"
        for row in rows
    ]
    return result(run, "\n".join(lines))
