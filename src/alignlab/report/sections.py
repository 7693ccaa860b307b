"""What a page says of training: curves of each method, the reward model, and where a proxy was gamed."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import mean as average
from typing import Any

from ..run import RunInfo
from ..settings import PAIRS
from . import charts
from .words import mean_of, say

Runs = Mapping[str, RunInfo]
CURVES = (  # stages, metric (a line per run), title, unit, caption
    (("sft",), "loss", "SFT loss", "nats per token", "Completion tokens only."),
    (
        (*PAIRS, "kto", "online-dpo"),
        "rewards/chosen",
        "Implicit reward, chosen",
        "β log-ratio",
        (
            "It may fall while the margin grows: the loss asks for the difference only (likelihood "
            "displacement)."
        ),
    ),
    (
        (*PAIRS, "kto", "online-dpo"),
        "rewards/margins",
        "Margin of implicit rewards",
        "β log-ratio",
        "Chosen less rejected.",
    ),
    (
        (*PAIRS, "online-dpo"),
        "rewards/accuracies",
        "Pairs in the right order",
        "share of pairs",
        "By their implicit rewards.",
    ),
    (
        ("rloo", "grpo"),
        "objective/scores",
        "Score of the rollouts",
        "score",
        "The judge's, at each step, on the policy's own completions.",
    ),
    (("rloo", "grpo"), "kl", "KL from the reference", "nats per completion", "Before each update (k1)."),
)


def training(runs: Runs) -> list[dict[str, Any]]:
    """Every section about training that these runs have something for."""
    held_back = [(name, info) for name, info in runs.items() if info.stage == "ppo" and not _free(info)]
    sections = [_ppo(name, info) for name, info in held_back]
    sections += [_methods(runs), _reward_model(runs), _shift(runs), _hacking(runs)]
    return [section for section in sections if section]


def _free(info: RunInfo) -> bool:
    """PPO that nothing holds back."""
    return info.config["settings"]["kl_coef"] == 0


def _series(info: RunInfo, key: str) -> charts.Line:
    points = [(row["step"], row[key]) for row in info.metrics if key in row]
    return [x for x, _ in points], [y for _, y in points]


def _ppo(name: str, info: RunInfo) -> dict[str, Any]:
    def get(key: str) -> charts.Line:
        return _series(info, key)

    if get("objective/gold")[0]:
        first = charts.captioned(
            charts.two_scales(
                ("proxy: reward model", get("objective/scores")),
                ("gold judge", get("objective/gold")),
                title="Reward and gold",
                x="step",
            ),
            "What is optimized, and what was meant. On the rollouts of each step, temperature 1.",
        )
    else:
        first = charts.captioned(
            charts.lines({"score": get("objective/scores")}, title="Reward", x="step", y="score"),
            "The reward model's score of the rollouts.",
        )
    kl = {"k1": get("objective/kl"), "k2": get("objective/kl_k2"), "k3": get("objective/kl_k3")}
    plots = [
        first,
        charts.captioned(
            charts.lines(kl, title="KL from the reference", x="step", y="nats per completion"),
            "Three estimates of the same divergence (Schulman 2020); k1 is the one in the reward.",
        ),
        charts.captioned(
            charts.lines(
                {"entropy": get("policy/entropy_avg")}, title="Entropy", x="step", y="nats per token"
            ),
            "A fall to 0 means one answer for everything.",
        ),
        charts.captioned(
            charts.lines({"length": get("completions/mean_length")}, title="Length", x="step", y="tokens"),
            "A steady climb is a common way to game a reward model.",
        ),
        charts.captioned(
            charts.lines(
                {"policy": get("policy/clipfrac_avg"), "value": get("val/clipfrac_avg")},
                title="Clip fraction",
                x="step",
                y="share of tokens",
            ),
            "Share of tokens at which the clip held the update back.",
        ),
        charts.captioned(
            charts.lines(
                {"explained variance": get("critic/vf_explained_var")},
                title="Value model",
                x="step",
                y="explained variance",
            ),
            "How well the value model foresees the return.",
        ),
    ]
    return {
        "title": f"PPO, step by step ({name}, kl_coef {info.config['settings']['kl_coef']})",
        "text": [],
        "charts": plots,
    }


def _methods(runs: Runs) -> dict[str, Any] | None:
    """The curves of the other methods, a line per run."""
    plots = []
    for stages, key, title, y, caption in CURVES:
        curves = {name: _series(info, key) for name, info in runs.items() if info.stage in stages}
        curves = {name: line for name, line in curves.items() if line[0]}
        if curves:
            plots.append(charts.captioned(charts.lines(curves, title=title, x="step", y=y), caption))
    return {"title": "Training curves", "text": [], "charts": plots} if plots else None


def _reward_model(runs: Runs) -> dict[str, Any] | None:
    name, info = next(((name, info) for name, info in runs.items() if info.stage == "reward"), ("", None))
    if info is None:
        return None
    s = info.summary
    if not s["accuracy"]["n"]:
        return {
            "title": "The reward model",
            "text": ["Nothing was held out, so nothing says how often it is right."],
            "charts": [],
        }
    right = (
        f"{name}: on held-out pairs it is right {say(s['accuracy'], 3)} of the time (n = "
        f"{s['accuracy']['n']} prompts); always taking the longer answer: {say(s['length_floor'], 3)}"
    )
    if s.get("ceiling"):
        right += f"; the best any model could do on this annotator's labels: {s['ceiling']:.3f}"
    text = [f"{right}."]
    if s.get("gold_accuracy"):
        text.append(
            f"Against the gold judge: {say(s['gold_accuracy'], 3)} of all pairs, "
            f"{say(s.get('gold_accuracy_big'), 3)} of those that differ by at least one half."
        )
    plots = []
    if s["ece"] is not None:  # an ensemble's scores state no probability
        plots.append(
            charts.captioned(
                charts.reliability(s["reliability"], title=f"Calibration (ECE {s['ece']:.3f})"),
                "On the diagonal a stated 0.8 is right 8 times in 10.",
            )
        )
    plots.append(
        charts.captioned(
            charts.histogram(
                s["margins"]["counts"],
                s["margins"]["edges"],
                title="Margins on held-out pairs",
                x="score of preferred − score of other",
            ),
            "Left of 0 it disagrees with the annotator.",
        )
    )
    if s.get("probes"):
        values = {
            f"not {name.replace('_', ' ')}": mean_of(value) or 0.0 for name, value in s["probes"].items()
        }
        plots.append(
            charts.captioned(
                charts.bars(values, title="How often it prefers the clean answer", x="share of pairs"),
                "Pairs that differ in one flaw only: short of the line it prefers the answer that has it.",
            )
        )
    return {"title": "The reward model", "text": text, "charts": plots}


def _shift(runs: Runs) -> dict[str, Any] | None:
    """How reward models do on what policies write: drawn anew from each run's figures, as a picture in a run
    folder could hold anything.
    """
    plots, cells = [], []
    for name, info in runs.items():
        if info.stage != "reward-shift":
            continue
        rows = info.summary["rows"]
        plots.append(
            charts.captioned(
                charts.reward_shift(rows, title="Right about pairs that gold tells apart"),
                f"{name}: the nearest policy is {rows[0]['policy']}, where KL is measured from.",
            )
        )
        for row in rows:
            accuracy = f"{say(row['accuracy'], 3)} (n = {row['accuracy']['n']})"
            cells.append([name, row["policy"], say(row["kl"]), accuracy, say(row["gold"], 3)])
    if not plots:
        return None
    return {
        "title": "The reward model as policies move away",
        "charts": plots,
        "text": [
            (
                "Its accuracy on pairs of completions that each policy wrote, over the policy's KL from the "
                "reference, in nats per completion; of the best of n, KL is the bound."
            )
        ],
        "table": {"heads": ["run", "written by", "KL", "accuracy", "gold"], "rows": cells, "note": ""},
    }


def _hacking(runs: Runs) -> dict[str, Any] | None:
    plots, examples, text = [], [], []
    name, hacked = next(
        ((name, info) for name, info in runs.items() if info.stage == "ppo" and _free(info)), ("", None)
    )
    if hacked and _series(hacked, "objective/gold")[0]:
        proxy, gold = _series(hacked, "objective/scores"), _series(hacked, "objective/gold")
        plots.append(
            charts.captioned(
                charts.two_scales(
                    ("proxy: reward model", proxy),
                    ("gold judge", gold),
                    title="PPO with no KL penalty",
                    x="step",
                ),
                (
                    "Nothing holds the policy near the model it started from: it finds what the reward "
                    "model cannot tell from good."
                ),
            )
        )
        text.append(
            f"{name}: with kl_coef 0 the reward model's score went from {proxy[1][0]:.2f} to "
            f"{proxy[1][-1]:.2f} and the gold score from {gold[1][0]:.2f} "
            f"(best {max(gold[1]):.2f}) to {gold[1][-1]:.2f}."
        )
        examples = [_example(row) for row in _misjudged(hacked)[:6]]
    best = next((i for i in runs.values() if i.stage == "best-of-n" and i.summary.get("curve")), None)
    if best and (curve := best.summary["curve"])[0].get("gold"):
        xs = [row["n"] for row in curve]
        proxy_line = xs, [mean_of(row["proxy"]) or 0.0 for row in curve]
        gold_line = xs, [mean_of(row["gold"]) or 0.0 for row in curve]
        plots.append(
            charts.captioned(
                charts.two_scales(
                    ("proxy: reward model", proxy_line), ("gold judge", gold_line), title="Best of N", x="N"
                ),
                (
                    f"More samples, more pressure on the proxy: N = {xs[-1]} is at most "
                    f"{curve[-1]['kl']:.2f} nats from the model that wrote them."
                ),
            )
        )
    if not plots:
        return None
    return {
        "title": "Proxy and gold",
        "text": text,
        "charts": plots,
        "examples": examples,
        "examples_title": "What the reward model likes and the judge does not",
    }


def _example(row: Mapping[str, Any]) -> dict[str, Any]:
    """An answer that gold finds bad and the proxy good."""
    answer = {
        "text": row["completion"][:400],
        "good": False,
        "verdict": f"proxy {row['proxy']:.2f}, gold {row['gold']:.2f}: {row.get('reason', '')}",
    }
    return {"prompt": _prompt_text(row), "answers": [answer]}


def _misjudged(info: RunInfo) -> list[dict[str, Any]]:
    """Of the last step that samples were kept of, among those that are to be shown: those that gold finds bad
    and the proxy better than its mean over that step; the furthest apart first.
    """
    shown = [row for row in info.samples if row.get("shown", True)]
    rows = [row for row in shown if "proxy" in row and row.get("gold") is not None]
    if not rows:
        return []
    step = max(row["step"] for row in rows)
    last = [row for row in rows if row["step"] == step]
    usual = {row["step"]: row["objective/scores"] for row in info.metrics if "objective/scores" in row}
    bar = usual.get(step, average(row["proxy"] for row in last))
    wrong = [row for row in last if row["gold"] < 0.5 and row["proxy"] > bar]
    return sorted(wrong, key=lambda row: row["gold"] - 0.1 * row["proxy"])


def _prompt_text(row: Mapping[str, Any]) -> str:
    prompt = row.get("prompt")
    if isinstance(prompt, list) and prompt:
        return prompt[-1]["content"]
    return str(prompt or "")
