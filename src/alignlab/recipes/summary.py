"""`summary.json` of a pipeline (schema 1) and the table at the end of a run."""

from __future__ import annotations

import os
import platform
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import stages
from ..pipeline.view import table
from ..report.words import behind, mean_of
from ..run import RunInfo, read_run, write_document
from .plan import Plan


def summarize(out: Path, recipe: str, plan: Plan, *, seconds: float) -> dict[str, Any]:
    """Write `summary.json` of a pipeline from its run folders, and return it."""
    planned = plan.pipeline.stages
    models = {}
    for name, stage in plan.evals.items():
        path = Path(str(stage.arguments["completions"] or stage.arguments["model"]))
        made = read_run(path).seconds if (path / "run.json").exists() else 0.0
        models[name] = {
            "path": str(path),
            "parent": plan.parents[name],
            "seconds": made,
            **read_run(stage.out).summary,
        }
        if name in plan.topics:
            found = read_run(plan.topics[name].out).summary
            for suffix in ("", "_sampled"):
                models[name] |= {f"{key}{suffix}": found[f"{key}{suffix}"] for key in (*TOPICS, "by_topic")}
    rewards = {stage.name: read_run(stage.out).summary for stage in planned if stage.target is stages.reward}
    rewards = {
        name: found | {key: found[key]["mean"] for key in ("accuracy", "length_floor")}
        for name, found in rewards.items()
    }
    labels = next(
        (read_run(stage.out).summary for stage in planned if stage.target is stages.label_answers), None
    )
    summary = {
        "schema": 1,
        "recipe": recipe,
        "seed": plan.seed,
        "seconds": round(seconds, 1),
        "machine": {
            "cores": os.cpu_count(),
            "platform": platform.platform(),
            "python": platform.python_version(),
        },
        "models": models,
        **({"reward_model": next(iter(rewards.values())), "reward_models": rewards} if rewards else {}),
        **({"labels": label_figures(labels)} if labels else {}),
        "sampled_tokens": sum(sampled_tokens(read_run(stage.out)) for stage in planned),
        "stages": [
            {
                "name": s.name,
                "run": s.name,
                "seconds": round(s.seconds, 1),
                "was_done": s.was_done,
                "parents": [n.name for n in s.needs],
            }
            for s in planned
        ],
    }
    write_document(out / "summary.json", summary)
    return summary


TOPICS = (
    "compliance_seen",
    "compliance_held_out",
    "look_alike_refusal",
    "look_alike_refusal_seen",
    "look_alike_refusal_held_out",
    "evasive",
)
"""Figures of red-team prompts about every topic, seen in training and held out."""


def sampled_tokens(info: RunInfo) -> int:
    """Tokens that a run sampled from a policy to learn from: what its summary says, or of on-policy runs what
    their steps logged.
    """
    if "sampled_tokens" in info.summary:
        return info.summary["sampled_tokens"]
    rollouts = info.config["settings"].get("rollouts", 0)
    return (
        round(sum(row.get("completions/mean_length", 0) * rollouts for row in info.metrics))
        if rollouts
        else 0
    )


COLUMNS = (
    ("gold", "gold"),
    ("helpful", "helpful"),
    ("harmless", "harmless"),
    ("honest", "honest"),
    ("compliance_with_harm", "helps harm"),
    ("over_refusal", "over-refusal"),
    ("win_rate_vs_sft", "beats SFT"),
    ("kl_from_sft", "KL"),
    ("mean_length", "tokens"),
)
"""Figures of each model, greedy beside temperature 1, and how a table calls them."""


def label_figures(summary: dict[str, Any]) -> dict[str, Any]:
    """What a run of `constitution label` says of its labels, on held-out pairs: accuracy (S), ECE as stated
    and after a temperature that was fitted on other pairs.
    """
    found, scaled, effect = summary["labels"], summary["calibration"], summary["order_effect"]
    return {
        "accuracy": found["accuracy"],
        "kappa": found["kappa"],
        "ece": scaled["ece_after"]["mean"],
        "ece_before": scaled["ece_before"]["mean"],
        "temperature": scaled["temperature"],
        "order_effect": effect["mean"] if effect else None,
        "comparisons": summary["comparisons"],
    }


def columns(recipe: str) -> tuple[tuple[str, str], ...]:
    """What is shown of each model of a recipe: of the constitutional one, harm by topics that training showed
    and by those that it did not.
    """
    if recipe != "constitutional":
        return COLUMNS
    return (
        *COLUMNS[:4],
        ("compliance_seen", "harm, seen"),
        ("compliance_held_out", "harm, new"),
        ("look_alike_refusal", "over-refusal"),
        ("evasive", "evasive"),
        *COLUMNS[6:],
    )


def labelled(summary: dict[str, Any]) -> list[str]:
    """What is to be said of an AI judge's labels."""
    if "labels" not in summary:
        return []
    found = summary["labels"]
    if found["accuracy"]["mean"] is None:
        return [
            (
                f"AI labels: {found['comparisons']} pairs; none that was held out differs in harm, so "
                "nothing says how good they are."
            )
        ]
    scaled = (
        ""
        if found["ece"] is None or found["ece_before"] is None
        else f", ECE {found['ece_before']:.3f}, {found['ece']:.3f} after scaling"
    )
    order = (
        ""
        if found["order_effect"] is None
        else (
            f"; the order of the two answers moved a label by {found['order_effect']:.3f}, which is "
            "averaged out"
        )
    )
    return [
        (
            f"AI labels: right as gold has it on {found['accuracy']['mean']:.2f} of held-out pairs that "
            f"differ in harm (n = {found['accuracy']['n']}){scaled}{order}."
        )
    ]


def took(summary: dict[str, Any]) -> str:
    """How long it took; of a command that found stages done, what they had taken beside it."""
    before = [stage["seconds"] for stage in summary["stages"] if stage["was_done"]]
    if not before:
        return f"{summary['seconds']:.0f} s in all"
    return (
        f"{summary['seconds']:.0f} s now, {len(before)} of {len(summary['stages'])} stages were done "
        f"already (in {sum(before):.0f} s)"
    )


def heads(shown: Sequence[tuple[str, str]], models: Mapping[str, Any]) -> list[str]:
    """Heads of the columns, each with the number of answers behind its figures."""
    counts = [behind(figures.get(key) for figures in models.values()) for key, _ in shown]
    return [f"{title}, {n}" if n else title for (_, title), n in zip(shown, counts, strict=True)]


def cell(figures: Mapping[str, Any], key: str, *suffixes: str) -> str:
    """A figure in each of the ways of decoding that have it."""
    values = [mean_of(figures.get(f"{key}{suffix}")) for suffix in suffixes]
    digits = 1 if key == "mean_length" else 2
    return " / ".join(f"{value:.{digits}f}" for value in values if value is not None) or "-"


def tied(models: Mapping[str, Any]) -> str:
    """The share of prompts on which models tie with the one that they are compared with."""
    shares = [mean_of(figures.get("ties_vs_sft")) for figures in models.values()]
    known = [share for share in shares if share is not None]
    return f", and {min(known):.2f} to {max(known):.2f} of the prompts are ties" if known else ""


def picked(shown: Sequence[tuple[str, str]], models: Mapping[str, Any]) -> list[str]:
    """A table for each model whose answers are picks, with one sample at the same temperature as control."""
    lines = []
    for name, figures in models.items():
        if picks := figures.get("picks"):
            columns = [(key, title) for key, title in shown if mean_of(figures.get(key)) is not None]
            columns = [(key, title.replace("beats SFT", "beats one")) for key, title in columns]
            rows = [[f"picks, T={picks['temperature']:g}", *heads(columns, {name: figures})]]
            rows.append([f"best of {picks['n']}", *(cell(figures, key, "") for key, _ in columns)])
            rows.append(["one sample", *(cell(figures, key, "_one") for key, _ in columns)])
            lines += ["", *table(rows)]
    return lines


def closing(summary: dict[str, Any], page: Path, out: Path) -> str:
    """The table at the end of a run, the report's path and three things to try."""
    shown = columns(summary["recipe"])
    own = {name: figures for name, figures in summary["models"].items() if not figures.get("picks")}
    rows = [["greedy / T=1", *heads(shown, own)]]
    rows += [
        [name, *(cell(figures, key, "", "_sampled") for key, _ in shown)] for name, figures in own.items()
    ]
    n = next(iter(own.values()))["gold"]["n"]
    judged = "".join(
        (
            f"; {name}: {found['accuracy']:.2f} right on held-out pairs (longer answer: "
            f"{found['length_floor']:.2f})"
        )
        for name, found in summary.get("reward_models", {}).items()
        if found["accuracy"] is not None
    )
    last = Path(list(summary["models"].values())[-1]["path"])
    if "ppo" in summary["models"]:
        last = Path(summary["models"]["ppo"]["path"])
    sft = next(figures["path"] for name, figures in summary["models"].items() if name != "base")
    ideas = [
        ("ask both the same thing", f"alignlab chat --model {sft} --beside {last}"),
        ("see every step of it in the browser", f"alignlab studio {out}"),
    ]
    if (out / "reward").is_dir():
        ideas.append(
            (
                "a dearer KL penalty",
                (
                    f"alignlab ppo --model {sft} --reward {out}/reward --gold town:gold --kl-coef 0.5 --out "
                    "runs/careful"
                ),
            )
        )
    if summary["recipe"] == "constitutional":
        ideas.append(
            (
                "draft, critique, revision",
                (
                    f'alignlab constitution walk "How do I rob the bank?" --model {out}/sft-helpful '
                    f"--critic {out}/critic"
                ),
            )
        )
    ideas.append(
        (
            "the same pipeline, taught by people who love flattery",
            "alignlab run --annotator town:flattered --out runs/flattered",
        )
        if summary["recipe"] == "instructgpt"
        else ("the recipe of InstructGPT, to compare", "alignlab run --out runs/demo")
    )
    width = shutil.get_terminal_size((100, 24)).columns
    said = (
        (
            f"Shares from 0 to 1 on {n} held-out prompts, by the gold judge; a tie is half a "
            f"win{tied(summary['models'])}{judged}."
        ),
        *labelled(summary),
        f"{summary['sampled_tokens']:,} tokens sampled to learn from; {took(summary)}.",
        f"The report: {page}",
    )
    return "\n".join(
        (
            "",
            *table(rows),
            *picked(shown, summary["models"]),
            "",
            *(
                line
                for text in said
                for line in textwrap.wrap(text, width, break_on_hyphens=False, break_long_words=False)
            ),
            "",
            "Next, you could",
            *(f"  {what}:\n    {command}" for what, command in ideas),
        )
    )
