"""A reward model away from the policy that it was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import names
from ..errors import UserError
from ..run import derive_seed, whole_file
from ..settings import ShiftSettings
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

    `summary.json` has a row a policy, nearest first, and `shift.svg` draws them. A run that was interrupted
    goes on with the first policy that is missing.
    """
    from ..report import charts

    others = [name.strip() for name in policies.split(",") if name.strip()]
    if not reward or not gold:
        raise UserError(
            "reward-shift needs a reward model and a gold judge", remedy="--reward RUN --gold town:gold"
        )
    prompts = names.data.read(data, "prompt", seed=0, count=settings.prompts)
    run = open_run(
        "reward-shift",
        out,
        settings,
        seed,
        resume,
        models=[model, *names.models.reward_models(reward), *others],
        data=[prompts],
        gold=gold,
        reward=reward,
    )
    if run.done:
        return done(run)
    from ..evals import shift as method
    from ..models.load import load_policy

    judge, truth, reference = (
        names.judges.reward_judge(reward, settings.model),
        names.judges.judge(gold),
        load_policy(names.known.model_path(model), settings.model),
    )
    asked = room_for_answers(run, prompts.records, reference, settings.sampling)
    points = [
        ("policy", model),
        *(("best of", n) for n in settings.best_of.split(",") if n),
        *(("policy", name) for name in others),
    ]
    rows: list[dict[str, Any]] = []
    for number, (kind, name) in enumerate(run.track(points, desc="reward shift")):

        def made(number: int = number, kind: str = kind, name: Any = name) -> dict[str, Any]:
            common = {
                "per_prompt": settings.per_prompt,
                "sampling": settings.sampling,
                "seed": derive_seed(seed, "reward-shift", number),
            }
            if kind == "best of":
                found = method.accuracy_on_best_of_n(judge, truth, reference, asked, n=int(name), **common)
            else:
                policy = (
                    reference if number == 0 else load_policy(names.known.model_path(name), settings.model)
                )
                found = method.accuracy_on_policy(
                    judge, truth, policy, asked, reference=None if number == 0 else reference, **common
                )
            return {
                "policy": f"best of {name}" if kind == "best of" else Path(name).name,
                "kind": kind,
                **found,
            }

        rows.append(run.kept(f"points/{number:03d}", made))
    rows.sort(key=lambda row: row["kl"]["mean"])

    drawn = charts.reward_shift(rows, title=f"{Path(reward).name}: right about pairs that gold tells apart")
    with whole_file(run.path / "shift.svg") as staging:
        staging.write_text(drawn, encoding="utf-8")
    run.finish({"reward": reward, "rows": rows})
    text = "\n".join(
        (
            f"{row['policy']:<20} KL {row['kl']['mean']:7.2f}   accuracy {rate(row['accuracy'])}   gold "
            f"{row['gold']['mean']:.3f}"
        )
        for row in rows
    )
    return result(run, text)
