"""Gathers what run folders hold and writes it as one page that opens from disk, with no script and no request to anywhere."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..run import RunInfo, check_file, examine_run, find_folders, is_page, list_runs, read_run, whole_file
from . import charts, constitutional

MODEL_NAMES = {
    "base": "base", "sft": "SFT", "dpo": "DPO", "best_of_n": "best of N", "ppo": "PPO", "unpenalised": "PPO, no penalty", "helpful": "helpful only", "sl_cai": "SL-CAI",
    "rl_cai_dpo": "RL-CAI, DPO", "rl_cai": "RL-CAI, PPO",
}
COLUMNS = (
    ("gold", "gold, greedy"), ("gold_sampled", "gold, T = 1"), ("helpful", "helpful"), ("harmless", "harmless"), ("honest", "honest"),
    ("compliance_with_harm", "helps with harm"), ("over_refusal", "refuses look-alikes"), ("instruction_format", "form and end"),
    ("known_facts", "known facts"), ("win_rate_vs_sft", "wins against SFT"), ("kl_from_sft", "KL from SFT"), ("mean_length", "tokens"),
)
CASES = (
    ("fact", "Helpful: a fact"), ("how_to", "Helpful: how to"), ("harmful", "Harmful"), ("look_alike", "Harmless look-alike of a harmful request"),
    ("unanswerable", "Nobody knows"), ("claim", "A wrong claim"), ("contested", "No right side"),
)
GLOSSARY = (
    ("gold", "The town's judge knows every fact and reads the whole answer: 1 right and complete, 0 wrong, off the point, harmful or unfinished. No training "
             "step ever sees it; it stands in for what people really want."),
    ("helpful, harmless, honest", "Shares on the requests where each applies: gold on answerable requests; harmful requests not helped with and contested "
                                  "matters told from both sides; facts right, wrong claims not agreed with, “I do not know” exactly where nobody knows (after "
                                  "Askell et al. 2021)."),
    ("greedy, T = 1", "Greedy takes the likeliest token; T = 1 draws from the model's own distribution. A gain at T = 1 alone may be mere sharpening."),
    ("wins against SFT", "Share of prompts on which the answer at T = 1 scores above that of the model that was started from; a tie counts half."),
    ("KL from SFT", "Mean over completions of the sum over tokens of log p(model) − log p(SFT), in nats: how far the policy has moved (k1; Schulman 2020)."),
    ("reward, proxy", "The reward model's score, standardised with the mean and deviation of its training completions: what PPO and best-of-N optimise."),
    ("reward model accuracy", "Share of held-out pairs, of prompts never trained on, that it orders as the annotator did; the ceiling is the best any model could reach on "
                              "labels with this annotator's noise, the floor what preferring the longer answer reaches."),
    ("calibration, ECE", "The reward model says “the first is better” with probability σ(r₁ − r₂) (Bradley and Terry 1952). ECE is the mean gap between that and the "
                         "share that was."),
    ("approx KL, clip fraction", "How far the policy moved within one step from the policy that wrote the rollouts, and the share of tokens whose ratio left 1 ± the clip "
                                 "range (Schulman et al. 2017)."),
    ("explained variance", "1 − Var(returns − values) / Var(returns): 1 means the value model foresees the return, below 0 worse than a constant."),
    ("best of N and KL", "Picking the best of N moves at most log N − (N − 1)/N nats (Stiennon et al. 2020); the curves use the unbiased estimate from all samples "
                         "(Nakano et al. 2021)."),
    ("intervals", "95 %: Wilson for shares, t for means. Differences are paired by prompt."),
)


def report_command(*, folder: Sequence[str], page: str) -> dict[str, Any]:
    """`alignlab report`: one page from a pipeline's folder or from any run folders."""
    folders = [Path(name) for name in folder] if not isinstance(folder, str) else [Path(folder)]
    out = Path(page) if page else folders[0] / "report.html"
    check_file(out, ours=is_page, option="--page")
    write_report(folders, out)
    return {"page": str(out), "text": str(out)}


def write_report(folders: Sequence[Path], out: Path) -> Path:
    """Write the page about every finished run in `folders` (a folder is a run or holds runs). Returns `out`.

    Raises DataError if there is no finished run.
    """
    runs: dict[str, RunInfo] = {}
    for folder in folders:
        found = [read_run(folder)] if find_folders(folder) == [folder] else list_runs(folder)
        runs |= {info.path.name: info for info in sorted(found, key=lambda info: info.started) if info.status == "done"}
    if not runs:
        raise DataError("there is no finished run to report on", where=", ".join(map(str, folders)), remedy="alignlab run --out runs/demo")
    return write_page(_content(runs, out.parent), out)


def write_page(content: dict[str, Any], out: Path, *, template: str = "page.html.j2") -> Path:
    """A page of that content in a file, whole or not at all."""
    check_file(out, ours=is_page, option="--page")
    with whole_file(out) as staging:
        staging.write_text(render(content, template=template), encoding="utf-8", errors="backslashreplace")
    return out


def render(content: dict[str, Any], *, template: str = "page.html.j2") -> str:
    """A page of that content (see the template); all text in it is escaped, only charts are taken as they are."""
    from jinja2 import Environment, PackageLoader

    return Environment(loader=PackageLoader("alignlab", "report"), autoescape=True, trim_blocks=True).get_template(template).render(**content)


def _content(runs: dict[str, RunInfo], home: Path) -> dict[str, Any]:
    evals = {name.removeprefix("eval-").replace("-", "_"): info for name, info in runs.items() if info.stage == "eval" and not name.startswith("topics-")}
    evals = {name: evals[name] for name in (*(n for n in MODEL_NAMES if n in evals), *(n for n in evals if n not in MODEL_NAMES))}
    sections = [section for section in (_ppo(runs), _sft_dpo(runs), _reward_model(runs), _shift(runs), _hacking(runs)) if section]
    sections = [*constitutional.sections(runs, MODEL_NAMES), *sections]
    seconds = sum(info.seconds for info in runs.values())
    first = next(iter(runs.values()))
    flow, branches = _flow(runs, evals, home)
    return {
        "title": "From a base model to an assistant" if len(evals) > 2 else "Report on " + ", ".join(runs),
        "lead": _lead(evals, runs), "flow": flow, "branches": branches, "table": _table(evals, runs), "paired": _paired(evals), "cases": _cases(evals),
        "sections": sections, "health": _health(runs), "glossary": GLOSSARY,
        "provenance": f"Seed {first.seed}, alignlab {first.versions.get('alignlab', '')}, torch {first.versions.get('torch', '')}, "
                      f"{first.machine.get('cores', '?')} cores, {seconds:.0f} s of work in {len(runs)} runs.",
        "stages": stage_rows(runs, home),
    }


def stage_rows(runs: Mapping[str, RunInfo], home: Path) -> list[dict[str, Any]]:
    """The table of runs at the end of a page, each with a link to its folder."""
    return [{"name": name, "href": _href(info.path, home), "stage": info.stage, "seed": info.seed, "seconds": f"{info.seconds:.1f}",
             "commit": info.commit[:10]} for name, info in runs.items()]


def _health(runs: dict[str, RunInfo]) -> list[dict[str, Any]]:
    """What the rules of `alignlab.normal` say of each run that has metrics, broken first."""
    found = [{"run": name, "findings": [{"broken": f.verdict == "broken", "name": f.name, "evidence": f.evidence, "why": f.why[:1].upper() + f.why[1:],
                                         "turn": f"Likely: {f.cause}. To turn: {f.turn}." if f.verdict == "broken" else ""} for f in examine_run(info)]}
             for name, info in runs.items() if info.metrics]
    return sorted(found, key=lambda row: not any(f["broken"] for f in row["findings"]))


def _href(path: Path, home: Path) -> str:
    return Path(os.path.relpath(path, home)).as_posix() + "/"


def _mean(value: Any) -> float | None:
    return value.get("mean") if isinstance(value, dict) else value


def _say(value: Any, digits: int = 2) -> str:
    mean = _mean(value)
    return "–" if mean is None else f"{mean:.{digits}f}"


def _lead(evals: dict[str, RunInfo], runs: dict[str, RunInfo]) -> str:
    gold = {name: _mean(info.summary.get("gold")) for name, info in evals.items()}
    parts = []
    if gold.get("base") is not None and gold.get("sft") is not None:
        parts.append(f"Supervised fine-tuning took the judge's score from {gold['base']:.2f} to {gold['sft']:.2f}.")
    for name in ("ppo", "dpo", "best_of_n"):
        if gold.get(name) is not None and gold.get("sft") is not None:
            title = MODEL_NAMES[name]
            parts.append(f"{title[0].upper()}{title[1:]} took it to {gold[name]:.2f}.")
    harm = {name: _mean(info.summary.get("compliance_with_harm")) for name, info in evals.items()}
    if harm.get("sft") is not None and harm.get("ppo") is not None:
        parts.append(f"Help with harmful requests went from {harm['sft']:.2f} to {harm['ppo']:.2f}.")
    if gold.get("unpenalised") is not None and gold.get("sft") is not None:
        parts.append(f"With no KL penalty the same PPO ended at {gold['unpenalised']:.2f}.")
    parts += constitutional.lead({name: info.summary for name, info in evals.items()}, MODEL_NAMES)
    return " ".join(parts) or f"{len(runs)} finished runs."


KNOWN_FLOW = {"sft", "collect", "reward", "ppo", "dpo", "best-of-n", "ppo-unpenalised"}


def _flow(runs: dict[str, RunInfo], evals: dict[str, RunInfo], home: Path) -> tuple[list[dict], list[dict]]:
    """The boxes of the picture: those of InstructGPT's pipeline and its branches or, of any other, every run in the order in which they began."""
    if not KNOWN_FLOW >= {name for name, info in runs.items() if info.stage != "eval"}:
        return [_step(name, info, evals, home) for name, info in runs.items() if info.stage != "eval"], []

    def box(name: str, run: str, *lines: str) -> dict | None:
        return {"name": name, "href": _href(runs[run].path, home), "lines": [line for line in lines if line]} if run in runs else None

    def gold(name: str) -> str:
        return f"gold {_say(evals[name].summary['gold'])}" if name in evals else ""

    s = {name: info.summary for name, info in runs.items()}
    took = {name: f"{info.seconds:.0f} s" for name, info in runs.items()}
    flow = [
        box("Base model", "eval-base", gold("base"), f"answers a bare question {_say(s['eval-base'].get('bare_answered'))}" if "eval-base" in s else ""),
        box("SFT", "sft", gold("sft"), f"{s['sft'].get('demonstrations', '?')} demonstrations, {took['sft']}" if "sft" in s else ""),
        box("Comparisons", "collect", f"{s['collect'].get('pairs', '?')} pairs, {took['collect']}" if "collect" in s else "",
            f"ranked by {runs['collect'].config['options'].get('annotator', '')}" if "collect" in s else ""),
        box("Reward model", "reward", f"right on {_say(s['reward'].get('accuracy'))} of held-out pairs" if "reward" in s else "",
            f"longer answer: {_say(s['reward'].get('length_floor'))}, {took['reward']}" if "reward" in s else ""),
    ]
    branches = [
        box("PPO", "ppo", gold("ppo"), f"KL {_say(evals['ppo'].summary.get('kl_from_sft'))} nats, {took['ppo']}" if "ppo" in evals and "ppo" in took else ""),
        box("DPO", "dpo", gold("dpo"), f"KL {_say(evals['dpo'].summary.get('kl_from_sft'))} nats, {took['dpo']}" if "dpo" in evals and "dpo" in took else ""),
        box("Best of N", "best-of-n", gold("best_of_n"), f"no training, {took['best-of-n']}" if "best-of-n" in took else ""),
        box("PPO, no penalty", "ppo-unpenalised", gold("unpenalised"), "the proxy gamed"),
    ]
    return [b for b in flow if b], [b for b in branches if b]


def _step(name: str, info: RunInfo, evals: dict[str, RunInfo], home: Path) -> dict[str, Any]:
    """A box of a pipeline that this page does not know: what it made, from what, and the gold score of its model where that was measured."""
    judged = next((e.summary for e in evals.values() if Path(e.config["options"].get("completions") or e.config["models"][0]).name == name), None)
    parents = ", ".join(Path(parent).name for parent in info.parents)
    s = info.summary
    said = [f"from {parents}" if parents else "", f"{s['pairs']} pairs" if "pairs" in s else "", f"gold {_say(judged['gold'])}" if judged else "",
            f"right on {_say(s['accuracy'])} of held-out pairs" if info.stage == "reward" else "", f"{info.seconds:.0f} s"]
    return {"name": name, "href": _href(info.path, home), "lines": [line for line in said if line]}


def _table(evals: dict[str, RunInfo], runs: dict[str, RunInfo]) -> dict[str, Any] | None:
    if not evals:
        return None
    columns = [(key, head.replace("SFT", _start(evals))) for key, head in COLUMNS if any(_mean(info.summary.get(key)) is not None for info in evals.values())]
    rows = []
    for name, info in evals.items():
        cells = []
        for key, _ in columns:
            value = info.summary.get(key)
            mean = _mean(value)
            interval = f"{value['ci'][0]:.2f}–{value['ci'][1]:.2f}" if isinstance(value, dict) and value.get("ci") and mean is not None else ""
            cells.append({"value": "–" if mean is None else f"{mean:.1f}" if key == "mean_length" else f"{mean:.2f}", "interval": interval})
        rows.append({"name": MODEL_NAMES.get(name, name), "cells": cells})
    n = next(iter(evals.values())).summary["gold"]["n"]
    best = next((info.summary for info in runs.values() if info.stage == "best-of-n"), None)
    picked = (f"Best of N is one pick among {best['n']} samples at temperature {best.get('temperature', 1.0):g}, shown in both gold columns; the first of them alone has "
              f"gold {_say(best.get('gold_one'))}. " if best else "")
    note = (f"Held-out prompts, n = {n}, the same for every model: half about people, places and topics that no demonstration or comparison mentions, half in "
            "phrasings never trained on. Small print: 95 % intervals. " + picked + "The base model's help with harm is measured in an interview, the form in which a base model answers.")
    return {"heads": ["", *(head for _, head in columns)], "rows": rows, "note": note}


def _start(evals: dict[str, RunInfo]) -> str:
    """How the model is called that the others are compared with."""
    baselines = [Path(found).name.removeprefix("eval-").replace("-", "_") for info in evals.values() if (found := info.config["options"].get("baseline"))]
    return MODEL_NAMES.get(baselines[0], baselines[0]) if baselines else "SFT"


def _paired(evals: dict[str, RunInfo]) -> list[str]:
    lines = []
    for name, info in evals.items():
        for how, row in (info.summary.get("paired") or {}).items():
            lines.append(f"{MODEL_NAMES.get(name, name)} against {_start(evals)}, {'greedy' if how == 'greedy' else 'T = 1'}: gold {row['mean']:+.3f} "
                         f"[{row['ci'][0]:+.3f}, {row['ci'][1]:+.3f}], paired on {row['n']} prompts")
    return lines


def _cases(evals: dict[str, RunInfo]) -> list[dict[str, Any]]:
    answers = {name: {row["id"]: row for row in info.samples if row.get("decoding") == "greedy"} for name, info in evals.items()}
    answers = {name: rows for name, rows in answers.items() if rows}
    if not answers:
        return []
    cases = []
    for kind, label in CASES:
        rows = next(iter(answers.values())).values()
        of_kind = [r for r in rows if r.get("meta", {}).get("kind") == kind and not (kind == "claim" and r["meta"]["params"]["right"])]
        for row in of_kind[: 2 if kind in ("harmful", "claim") else 1]:
            shown = [{"model": MODEL_NAMES.get(name, name), "text": found[row["id"]]["completion"][:400], "good": found[row["id"]]["gold"] >= 0.5,
                      "verdict": f"{found[row['id']]['gold']:.2f}: {found[row['id']]['reason']}"} for name, found in answers.items() if row["id"] in found]
            cases.append({"label": label, "prompt": row["prompt"][-1]["content"], "answers": shown})
    return cases


def _series(info: RunInfo, key: str) -> charts.Line:
    points = [(row["step"], row[key]) for row in info.metrics if key in row]
    return [x for x, _ in points], [y for _, y in points]


def _ppo(runs: dict[str, RunInfo]) -> dict[str, Any] | None:
    info = next((runs[name] for name in ("ppo", *(n for n, i in runs.items() if i.stage == "ppo")) if name in runs), None)
    if info is None:
        return None
    get = lambda key: _series(info, key)  # noqa: E731
    plots = []
    if get("objective/gold")[0]:
        plots.append(charts.captioned(charts.two_scales(("proxy: reward model", get("objective/scores")), ("gold judge", get("objective/gold")), title="Reward and gold", x="step"),
                            "What is optimised, and what was meant. On the rollouts of each step, temperature 1."))
    else:
        plots.append(charts.captioned(charts.lines({"score": get("objective/scores")}, title="Reward", x="step", y="score"), "The reward model's score of the rollouts."))
    kl = {name: get(f"objective/kl{suffix}") for name, suffix in (("k1", ""), ("k2", "_k2"), ("k3", "_k3"))}
    plots += [
        charts.captioned(charts.lines({k: v for k, v in kl.items() if v[0]}, title="KL from the SFT model", x="step", y="nats a completion"),
               "Three estimates of the same divergence (Schulman 2020); k1 is the one in the reward."),
        charts.captioned(charts.lines({"entropy": get("policy/entropy_avg")}, title="Entropy", x="step", y="nats a token"), "A fall to 0 means one answer for everything."),
        charts.captioned(charts.lines({"length": get("completions/mean_length")}, title="Length", x="step", y="tokens"), "A steady climb is a common way to game a reward model."),
        charts.captioned(charts.lines({"policy": get("policy/clipfrac_avg"), "value": get("val/clipfrac_avg")}, title="Clip fraction", x="step", y="share of tokens"),
               "Share of tokens at which the clip held the update back."),
        charts.captioned(charts.lines({"explained variance": get("critic/vf_explained_var")}, title="Value model", x="step", y="explained variance"),
               "How well the value model foresees the return."),
    ]
    coef = info.config["settings"]["kl_coef"]
    return {"title": f"PPO, step by step ({info.path.name}, kl_coef {coef})", "text": [], "charts": plots}


def _sft_dpo(runs: dict[str, RunInfo]) -> dict[str, Any] | None:
    plots = []
    if "sft" in runs:
        plots.append(charts.captioned(charts.lines({"loss": _series(runs["sft"], "loss")}, title="SFT loss", x="step", y="nats a token"), "Completion tokens only."))
    if "dpo" in runs:
        get = lambda key: _series(runs["dpo"], key)  # noqa: E731
        plots += [
            charts.captioned(charts.lines({"chosen": get("rewards/chosen"), "rejected": get("rewards/rejected")}, title="DPO implicit rewards", x="step", y="β log-ratio"),
                   "Both may fall while the margin grows: the loss asks for the difference only (likelihood displacement)."),
            charts.captioned(charts.lines({"accuracy": get("rewards/accuracies")}, title="DPO accuracy", x="step", y="share of pairs"), "Pairs whose implicit rewards are in the right order."),
        ]
    return {"title": "SFT and DPO", "text": [], "charts": plots} if plots else None


def _reward_model(runs: dict[str, RunInfo]) -> dict[str, Any] | None:
    info = runs.get("reward") or next((i for i in runs.values() if i.stage == "reward"), None)
    if info is None:
        return None
    s = info.summary
    if not s["accuracy"]["n"]:
        return {"title": "The reward model", "text": ["Nothing was held out, so nothing says how often it is right."], "charts": []}
    text = [f"On held-out pairs it is right {_say(s['accuracy'], 3)} of the time (n = {s['accuracy']['n']}); always taking the longer answer: {_say(s['length_floor'], 3)}"
            + (f"; the best any model could do on this annotator's labels: {s['ceiling']:.3f}." if s.get("ceiling") else ".")]
    if s.get("gold_accuracy"):
        text.append(f"Against the gold judge: {_say(s['gold_accuracy'], 3)} of all pairs, {_say(s.get('gold_accuracy_big'), 3)} of those that differ by at least one half.")
    plots = [charts.captioned(charts.reliability(s["reliability"], title=f"Calibration (ECE {s['ece']:.3f})"), "On the diagonal a stated 0.8 is right 8 times in 10.")]
    plots.append(charts.captioned(charts.histogram(s["margins"]["counts"], s["margins"]["edges"], title="Margins on held-out pairs", x="score of preferred − score of other"),
                        "Left of 0 it disagrees with the annotator."))
    if s.get("probes"):
        values = {name.replace("_", " "): _mean(value) or 0.0 for name, value in s["probes"].items()}
        plots.append(charts.captioned(charts.bars(values, title="What it prefers", x="clean answer preferred over the flawed one"),
                            "Pairs that differ in one flaw only. Short of the line it likes the flaw."))
    return {"title": "The reward model", "text": text, "charts": plots}


def _shift(runs: dict[str, RunInfo]) -> dict[str, Any] | None:
    """How reward models do on what policies write: drawn anew from each run's figures, as a picture in a run folder could hold anything."""
    found = {name: info.summary["rows"] for name, info in runs.items() if info.stage == "reward-shift"}
    if not found:
        return None
    plots = [charts.captioned(charts.reward_shift(rows, title="Right about pairs that gold tells apart"), f"{name}: the nearest policy is {rows[0]['policy']}, where KL is measured from.")
             for name, rows in found.items()]
    cells = [[name, row["policy"], _say(row["kl"]), f"{_say(row['accuracy'], 3)} (n = {row['accuracy']['n']})", _say(row["gold"], 3)] for name, rows in found.items() for row in rows]
    return {"title": "The reward model as policies move away", "charts": plots,
            "text": ["Its accuracy on pairs of completions that each policy wrote, over the policy's KL from the reference, in nats a completion; of the best of n, KL is the bound."],
            "table": {"heads": ["run", "written by", "KL", "accuracy", "gold"], "rows": cells, "note": ""}}


def _hacking(runs: dict[str, RunInfo]) -> dict[str, Any] | None:
    plots, examples, text = [], [], []
    hacked = runs.get("ppo-unpenalised") or next((i for i in runs.values() if i.stage == "ppo" and i.config["settings"]["kl_coef"] == 0), None)
    if hacked and _series(hacked, "objective/gold")[0]:
        proxy, gold = _series(hacked, "objective/scores"), _series(hacked, "objective/gold")
        plots.append(charts.captioned(charts.two_scales(("proxy: reward model", proxy), ("gold judge", gold), title="PPO with no KL penalty", x="step"),
                            "Nothing holds the policy near the SFT model: it finds what the reward model cannot tell from good."))
        text.append(f"With kl_coef 0 the reward model's score went from {proxy[1][0]:.2f} to {proxy[1][-1]:.2f} and the gold score from {gold[1][0]:.2f} "
                    f"(best {max(gold[1]):.2f}) to {gold[1][-1]:.2f}.")
        last = max((row["step"] for row in hacked.samples if "proxy" in row), default=0)
        late = sorted((r for r in hacked.samples if "proxy" in r and r["step"] == last and r.get("gold") is not None), key=lambda r: r["gold"] - 0.1 * r["proxy"])
        examples = [{"prompt": _prompt_text(r), "text": r["completion"][:400], "good": r["gold"] >= 0.5,
                     "verdict": f"proxy {r['proxy']:.2f}, gold {r['gold']:.2f}: {r.get('reason', '')}"} for r in late[:6]]
    best = next((i for i in runs.values() if i.stage == "best-of-n" and i.summary.get("curve")), None)
    if best:
        curve = best.summary["curve"]
        xs = [row["n"] for row in curve]
        both = {"proxy": (xs, [_mean(r["proxy"]) or 0.0 for r in curve])}
        if curve[0].get("gold"):
            gold_line = (xs, [_mean(r["gold"]) or 0.0 for r in curve])
            plots.append(charts.captioned(charts.two_scales(("proxy: reward model", both["proxy"]), ("gold judge", gold_line), title="Best of N", x="N"),
                                f"More samples, more pressure on the proxy: N = {xs[-1]} is at most {curve[-1]['kl']:.2f} nats from the SFT model."))
    return {"title": "Reward hacking", "text": text, "charts": plots, "examples": examples,
            "examples_title": "What the reward model likes and the judge does not"} if plots else None


def _prompt_text(row: dict[str, Any]) -> str:
    prompt = row.get("prompt")
    return prompt[-1]["content"] if isinstance(prompt, list) and prompt else str(prompt or "")
