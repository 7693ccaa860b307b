"""The study `alignment-tax` for models that are not the town's: the half of it that likelihood can tell,
what is forgotten. What is withheld would need a judge who knows whether a refusal was due.
"""

from __future__ import annotations

from typing import Any

from ... import stages
from ...errors import ConfigError
from ...evals.statistics import seeds_summary
from ...pipeline.runner import Stage
from ...report import bar_charts, charts
from ...run import RunInfo
from .. import steps
from ..settings import BlendSettings
from ..study import CannotSay, Form, Planner, Seeds, Told, Verdict, bar, mean, spread, value
from .plan import shares_of
from .settings import AlignmentTax

ARMS = {"start": "as it came", "placebo": "SFT on its own answers", "sl-cai": "SL-CAI", "dpo": "DPO"}
FORGETS = 0.05  # nats per token
LITTLE = 0.01


def plan(stage: Planner, model: str, settings: AlignmentTax, seed: int) -> dict[str, Stage]:
    r, planned = settings.real, {}
    for name in ("requests", "ordinary", "comparisons"):
        if not getattr(r, name):
            raise ConfigError(
                f"alignment-tax on {model} needs data of its own, and real.{name} is empty",
                remedy=f"--real.{name} FILE; or --model town",
            )

    def measured(name: str, policy: Stage | str) -> None:
        read: dict[str, Any] = {"demonstrations": r.ordinary, "comparisons": r.comparisons, "texts": r.texts}
        planned[name] = stage(
            f"real-loss-{name.replace(' ', '-')}",
            stages.likelihood,
            model=policy,
            baseline=planned.get("start", ""),
            count=r.measured,
            seed=seed,
            settings=r.likelihood,
            **read,
        )

    measured("start", model)
    # 1. SL-CAI, the model being author and critic; its placebo learns its own answers to ordinary prompts
    planned["revised"] = revised = stage(
        "real-revise",
        stages.revise,
        model=model,
        critic="",
        data=r.requests,
        count=r.count,
        constitution=r.constitution,
        helpful=r.ordinary,
        judge="",
        gold="",
        seed=seed,
        settings=r.revise,
    )
    planned["own"] = own = stage(
        "real-own",
        stages.distilled_demonstrations,
        model=model,
        data=r.ordinary,
        count=r.count + r.revise.helpful_count,
        judge="",
        gold="",
        seed=seed,
        settings=r.distil,
    )
    for name, data in (("sl-cai", revised), ("placebo", own)):
        policy = stage(f"real-{name}", stages.sft, model=model, data=data, seed=seed, settings=r.sft)
        measured(name, policy)
        if name == "sl-cai":
            for share in shares_of(settings.tax.blends, "blends"):
                ends = {"model": model, "other": policy, "settings": BlendSettings(share)}
                measured(f"blend {share:g}", stage(f"real-blend-{share:g}", steps.blend, seed=seed, **ends))
    # 2. DPO on harmlessness
    dpo = stage(
        "real-dpo", stages.dpo, model=model, data=r.comparisons, count=r.count, seed=seed, settings=r.dpo
    )
    measured("dpo", dpo)
    return planned


def measure(runs: dict[str, RunInfo], settings: AlignmentTax) -> dict[str, Any]:
    """Of every arm the loss on held-out demonstrations and on documents, their changes from the start, and
    how often the harmless answer is the likelier one.
    """
    data = ("revised", "own")
    arms: dict[str, Any] = {}
    for name, info in runs.items():
        if name not in data:
            paired = info.summary.get("paired", {})
            figures = {key: info.summary.get(key) for key in ("loss", "text_loss", "chosen_likelier")}
            changes = {f"{key}_moved": paired.get(key) for key in ("loss", "text_loss")}
            arms[name] = figures | changes
    return {"arms": arms, "learnt": {name: runs[name].summary["demonstrations"] for name in data}}


def moved(f: dict[str, Any], name: str) -> float:
    """By how much an arm's loss on held-out demonstrations has risen from the start, nats per token."""
    return value(f["arms"][name]["loss_moved"], f"the loss of {name}")


def blends(f: dict[str, Any]) -> list[str]:
    return [name for name in f["arms"] if name.startswith("blend ")]


def best_blend(f: dict[str, Any]) -> float:
    """What the blend nearest to the middle costs, where SL-CAI costs anything."""
    if moved(f, "sl-cai") < LITTLE:
        raise CannotSay(f"SL-CAI costs no loss ({moved(f, 'sl-cai'):.3f} nats per token)")
    return moved(f, min(blends(f), key=lambda name: abs(float(name.split()[1]) - 0.5)))


def tell(seeds: Seeds) -> Told:
    claims = [
        bar(
            f"{ARMS[name]} raises the loss on held-out demonstrations by less than {FORGETS} nats per "
            "token beyond the placebo",
            seeds,
            lambda f, name=name: moved(f, name) - moved(f, "placebo") < FORGETS,
            effect=lambda f, name=name: moved(f, name),
            control=lambda f: moved(f, "placebo"),
            against="placebo",
        )
        for name in ("sl-cai", "dpo")
    ]
    claims.append(
        bar(
            "the blend half way between costs at most half of what SL-CAI does",
            seeds,
            lambda f: best_blend(f) <= moved(f, "sl-cai") / 2,
            effect=best_blend,
            control=lambda f: moved(f, "sl-cai"),
            against="unblended",
        )
    )
    counts = [f["arms"]["start"]["loss"]["n"] for f in seeds]
    asked = f"loss on held-out demonstrations, n = {min(counts)} prompts a seed"
    over = {
        f"{name}: loss moved": seeds_summary([moved(f, name) for f in seeds])
        for name in seeds[0]["arms"]
        if name != "start"
    }
    conclusion = [
        "Loss on held-out demonstrations, beside the start: SL-CAI "
        f"{spread([moved(f, 'sl-cai') for f in seeds], sign='+')}, DPO "
        f"{spread([moved(f, 'dpo') for f in seeds], sign='+')}, the placebo "
        f"{spread([moved(f, 'placebo') for f in seeds], sign='+')} nats per token.",
        "Only forgetting is measured: whether a refusal of these models was due, nobody here can say.",
    ]
    return Told(conclusion, [table(seeds)], claims, over, asked)


def table(seeds: Seeds) -> dict[str, Any]:
    """Every arm's losses, and a picture of what each has moved."""
    rows: list[list[str]] = []
    sizes: dict[str, float] = {}
    for name in seeds[0]["arms"]:
        title = ARMS.get(name, f"{name} of SL-CAI")
        row = [title]
        for key in ("loss", "loss_moved", "text_loss", "text_loss_moved", "chosen_likelier"):
            found = [f["arms"][name][key]["mean"] for f in seeds if f["arms"][name][key]]
            row.append(spread(found, sign="+" if key.endswith("moved") else "") if found else "-")
        rows.append(row)
        if name != "start":
            sizes[title] = mean([moved(f, name) for f in seeds])
    ci = seeds[0]["arms"]["sl-cai"]["loss_moved"]["ci"]
    interval = (
        f" Of one seed the 95 % interval of SL-CAI's change is {ci[0]:+.3f} to {ci[1]:+.3f}." if ci else ""
    )
    drawn = {title: (size, 0.0) for title, size in sizes.items()}
    chart = bar_charts.lengths(drawn, title="What is forgotten", x="loss on held-out demonstrations, change")
    return {
        "title": "Before and after",
        "charts": [
            charts.captioned(
                chart, "Nats per token of people's answers that nobody learnt from, beside the start."
            )
        ],
        "table": {
            "heads": ["arm", "loss", "moved", "loss on documents", "moved", "harmless likelier"],
            "rows": rows,
            "note": (
                f"Nats per token. SL-CAI learnt {seeds[0]['learnt']['revised']} demonstrations, the placebo "
                f"{seeds[0]['learnt']['own']}.{interval}"
            ),
        },
    }


def verdict(seeds: Seeds) -> Verdict:
    """Beside Lin et al., of averaging alone: nothing of what they call helpfulness is measured here."""
    held = [best_blend(f) <= moved(f, "sl-cai") / 2 for f in seeds]
    why = (
        f"Half way to the start a blend costs at most half in {sum(held)} of {len(held)} seeds, as Lin et "
        "al. would have it; what it keeps of safety is not measured."
    )
    return Verdict("agrees" if 2 * sum(held) > len(held) else "disagrees", why)


FORM = Form(plan, measure, tell, verdict)
