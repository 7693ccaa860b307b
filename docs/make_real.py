"""Writes docs/real-models.md from what benchmarks/real_model.py measured.

python docs/make_real.py runs/real/real.json --data DATA_FOLDER

Without figures it writes anew what follows from the page's own counts and the card of the refusal judge,
after that has been trained again: python docs/make_real.py
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from alignlab.evals.statistics import mean_ci
from alignlab.feedback.safety.weights import shipped
from alignlab.redteam.steps import correction

DOCS = Path(__file__).parent
NAMES = {"kto": "KTO", "dpo": "DPO", "rloo": "RLOO", "rejection": "rejection sampling", "ppo": "PPO"}
UNDER_ATTACK = "SmolLM2 under a red team"
Rows = dict[str, dict[str, Any]]


def say(s: dict[str, Any], digits: int = 3, sign: bool = False) -> str:
    """A mean with its interval."""
    plus = "+" if sign else ""
    return f"{s['mean']:{plus}.{digits}f} [{s['ci'][0]:{plus}.{digits}f}, {s['ci'][1]:{plus}.{digits}f}]"


def table(heads: list[str], rows: list[list[str]]) -> str:
    return "\n".join(
        [
            "| " + " | ".join(heads) + " |",
            "|---" * len(heads) + "|",
            *("| " + " | ".join(row) + " |" for row in rows),
        ]
    )


def apart(s: dict[str, Any], zero: float = 0.0) -> bool:
    """Whether the interval leaves out what would be no effect."""
    return not s["ci"][0] <= zero <= s["ci"][1]


def verdict(difference: dict[str, Any]) -> str:
    """Whether a paired difference of losses shows anything."""
    return (
        "nothing that the interval shows"
        if not apart(difference)
        else "a gain"
        if difference["mean"] < 0
        else "a loss"
    )


def reward(rows: Rows) -> str:
    """The ensemble: each member, and what they are together."""
    row = rows["reward"]
    s = row["summary"]
    found = [(f"member {i}", accuracy) for i, accuracy in enumerate(row["members"])] + [
        (how, s[how]["accuracy"]) for how in ("mean", "worst", "uncertainty")
    ]
    floor = s["length_floor"]
    best = max(found, key=lambda pair: pair[1]["mean"])
    beats = {
        what: [name for name, accuracy in found if accuracy["ci"][0] > least]
        for what, least in (("coin", 0.5), ("length", max(0.5, floor["mean"])))
    }
    spread = s["spread"]
    lines = table(
        ["", "held-out accuracy", "n"],
        [[name, say(accuracy), str(accuracy["n"])] for name, accuracy in found]
        + [["always the longer answer", say(floor), str(floor["n"])]],
    )
    if beats["length"]:
        shows = f"Better than a coin and than length: {', '.join(beats['length'])}."
    elif beats["coin"]:
        shows = (
            f"Better than a coin ({', '.join(beats['coin'])}), and not shown to be better than always "
            "taking the longer answer."
        )
    else:
        shows = (
            f"No interval leaves out a coin: the best, {best[0]}, is at {say(best[1])}. Of {best[1]['n']} "
            "pairs that shows nothing."
        )
    together = [s[how]["accuracy"]["mean"] for how in ("mean", "worst", "uncertainty")]
    alone = [accuracy["mean"] for accuracy in row["members"]]
    gain = (
        f"The ways to put them together differ by {max(together) - min(together):.3f}, the members by "
        f"{max(alone) - min(alone):.3f}; an interval is "
        f"{best[1]['ci'][1] - best[1]['ci'][0]:.3f} wide."
    )
    unsure = (
        f"Where together they are wrong the members' spread is {say(spread['of_wrong'])}, where right "
        f"{say(spread['of_right'])} (in deviations of a score)."
    )
    return f"{lines}\n\n{shows} {gain} {unsure}"


def policies(rows: Rows) -> str:
    """What each method did to the same SFT model."""
    lines, said = [], []
    first = rows["eval-sft"]["summary"]
    start = rows["likelihood-sft"]["summary"]
    lines.append(
        [
            "SFT",
            say(first["gold_sampled"], 2),
            "",
            "",
            "",
            f"{first['mean_length']:.1f}",
            say(start["chosen_likelier"]),
            "",
            "",
        ]
    )
    for name, title in NAMES.items():
        if f"eval-{name}" not in rows or f"likelihood-{name}" not in rows:
            continue
        s, told = rows[f"eval-{name}"]["summary"], rows[f"likelihood-{name}"]["summary"]
        lines.append(
            [
                title,
                say(s["gold_sampled"], 2),
                say(s["paired"]["sampled"], 2, sign=True),
                say(s["win_rate_vs_sft"], 2),
                say(s["kl_from_sft"], 2),
                f"{s['mean_length']:.1f}",
                say(told["chosen_likelier"]),
                say(told["paired"]["margin"], 2, sign=True),
                say(told["paired"]["loss"], 3, sign=True),
            ]
        )
        three = {
            "reward": s["paired"]["sampled"],
            "margin": told["paired"]["margin"],
            "loss": told["paired"]["loss"],
        }
        moved = [
            f"{what} {say(value, 3 if what == 'loss' else 2, sign=True)}"
            for what, value in three.items()
            if apart(value)
        ]
        said.append(
            f"- {title}: "
            + ("moved " + ", ".join(moved) + "." if moved else "none of the three: each interval holds 0.")
            + trained(name, rows)
        )
    heads = [
        "",
        "reward",
        "less SFT's",
        "wins against SFT",
        "KL, nats",
        "tokens",
        "chosen likelier",
        "margin less SFT's, nats",
        "loss less SFT's, nats per token",
    ]
    n, pairs, demos = first["gold_sampled"]["n"], start["margin"]["n"], start["loss"]["n"]
    return (
        f"{table(heads, lines)}\n\nReward, wins and KL: {n} held-out prompts at temperature 1 (tokens: "
        f"greedy), at most 40 tokens. Margin: {pairs} held-out HH "
        f"comparisons. Loss: {demos} held-out OASST demonstrations. Differences are paired.\n\n"
        + "\n".join(said)
    )


def trained(name: str, rows: Rows) -> str:
    """What a method saw of itself while it trained."""
    s = rows[name]["summary"]
    if "kl_last" in s and "score_first" in s:
        return (
            f" While it trained, its own reward model's score went from {s['score_first']:.2f} to "
            f"{s['score_last']:.2f}, KL to {s['kl_last']:.2f} nats."
        )
    if "proxy_first" in s:
        best = s["rounds"][0]["proxy_best"]
        return (
            f" Its own reward model gave its samples {s['proxy_first']:.2f}, the best of each prompt "
            f"{best:.2f}, and {s['proxy_last']:.2f} after {len(s['rounds'])} rounds "
            f"({s['rounds'][0]['clipped_ratio']:.0%} of the first samples were cut, which are never learnt)."
        )
    return (
        f" Its implicit reward orders held-out pairs right {say(s['accuracy'], 2)} of the time (n = "
        f"{s['accuracy']['n']})."
    )


def gemma(rows: Rows) -> str:
    stages = [("base", "gemma"), ("SFT", "gemma-after-sft"), ("SFT, then DPO", "gemma-after-dpo")]
    found = [(title, rows[name]["summary"]) for title, name in stages if name in rows]
    lines = [
        [
            title,
            say(s["loss"]),
            say(s["paired"]["loss"], 3, sign=True) if "paired" in s else "",
            say(s["chosen_likelier"]),
            say(s["margin"], 1),
            say(s["paired"]["margin"], 2, sign=True) if "paired" in s else "",
        ]
        for title, s in found
    ]
    text = table(
        [
            "",
            "loss, nats per token",
            "less the row above's",
            "chosen likelier",
            "margin, nats",
            "less the row above's",
        ],
        lines,
    )
    s = found[0][1]
    text += (
        f"\n\nLoss on {s['loss']['n']} held-out OASST demonstrations, margins of {s['margin']['n']} "
        "held-out HH comparisons."
    )
    if "gemma-dpo" in rows:
        d = rows["gemma-dpo"]["summary"]
        shown = "which shows nothing: the interval holds one half"
        if d["accuracy"]["ci"][0] > 0.5:
            shown = "more than a coin"
        text += (
            f" DPO learnt {d['comparisons']} comparisons: its implicit reward orders {say(d['accuracy'])} "
            f"of {d['accuracy']['n']} held-out pairs right ({shown})."
        )
    return text


def constitutional(rows: Rows) -> str:
    """SL-CAI with one model as author and critic: its chains, refusals before and after; the same model as a
    judge of HH pairs.
    """
    s, sft = rows["revise"]["summary"], rows["sl-cai"]["summary"]
    text = (
        (
            f"{s['chains']} short HH requests were answered, criticised and revised once under the general "
            f"constitution, {say(s['kept'], 2)} of the chains were kept ("
        )
        + "; ".join(f"{number} dropped: {reason}" for reason, number in s["reasons"].items())
        + f"), {say(s['fired'], 2)} of the drafts criticised, {say(s['changed'], 2)} changed; "
        f"{s['helpful']} answers to OASST's questions were mixed in, {sft['demonstrations']} "
        "demonstrations learnt in one pass.\n\n"
    )
    lines = []
    for title, name in (("as it came", "instruct"), ("after SL-CAI", "sl-cai")):
        harm, tests = (rows[f"{goals}-{name}"]["summary"] for goals in ("harmbench", "xstest"))
        lines.append([title, say(harm["plain"], 2), say(tests["plain"], 2), say(tests["over_refusal"], 2)])
    n = [rows[f"{goals}-instruct"]["summary"]["plain"]["n"] for goals in ("harmbench", "xstest")]
    text += table(["", "complies, HarmBench", "complies, XSTest unsafe", "refuses XSTest safe"], lines)
    text += (
        f"\n\nGreedy, at most 48 tokens, n = {n[0]} and {n[1]} requests and "
        f"{rows['xstest-instruct']['summary']['over_refusal']['n']} harmless ones. The trained refusal "
        f"classifier says what an answer is "
        "([its card](judges.md)): compliance is an answer that is no refusal, not one that would help "
        "anybody."
    )
    if "agreement" in rows:
        found, c = rows["agreement"]["summary"]["labels"], rows["agreement"]["summary"]
        shown = "no more than a coin, as far as the interval shows"
        if found["accuracy"]["ci"][0] > 0.5:
            shown = "more than a coin"
        text += (
            f"\n\nAs a judge of {found['n']} HH pairs under a principle of the same constitution it agrees "
            f"with people in {say(found['accuracy'], 2)} ({shown}), "
            f"kappa {say(found['kappa'], 2)}, ECE {say(found['ece'], 2)}; which answer stands "
            f"first moves its label by {say(c['order_effect'], 2)}, and {say(c['order_flips'], 2)} of "
            "its verdicts change sides with the order."
        )
    if "revise-server" in rows:
        same = rows["revise-server"]["same"]
        text += (
            f"\n\nThe critic behind our own server (`alignlab serve`, `--critic http://...`), the author "
            f"here, both greedy: {round(same['mean'] * same['n'])} of {same['n']} chains are the same, "
            f"to the letter, as with both here."
        )
    return text


def of_the_card() -> str:
    """What the shipped card says of the refusal judge on models that it never saw."""
    card = shipped().card["new_model"]["refusal_or_compliance"]
    return (
        f"accuracy {say(card['accuracy'])}, refusals found {say(card['recall'])}, compliance found "
        f"{say(card['specificity'])}"
    )


def corrected_anew(page: str) -> str:
    """The page with the card's figures, and rates of all sets corrected by them, of the judge that is shipped
    now. What the rates count stays.
    """
    correct = correction("refusal")
    begin = page.index(f"## {UNDER_ATTACK}\n")
    end = page.index("\n## ", begin)
    part = page[begin:end]
    part = re.sub(r"(?<=it never saw: ).*?(?=\. The last column)", lambda _: of_the_card(), part)
    asked = re.search(r"^Requests: (.*?);", part, re.MULTILINE)
    assert asked is not None, "the page says how many requests of each set there were"
    n = sum(map(int, re.findall(r"(\d+) of ", asked[1])))
    lines = part.split("\n")
    for i, line in enumerate(lines):
        cells = line.split(" | ")
        if line.startswith("| ") and "[" in line:
            hits = round(float(cells[-2].split()[0]) * n)
            lines[i] = " | ".join([*cells[:-1], f"{say(correct(hits, n), 2)} |"])
    return page[:begin] + "\n".join(lines) + page[end:]


def battery(rows: Rows) -> str:
    """SmolLM2 under all attacks that need nothing but questions and a prefill."""
    found = {
        goals: rows[f"battery-{goals}"]["summary"]
        for goals in ("harmbench", "jailbreakbench", "xstest")
        if f"battery-{goals}" in rows
    }
    correct = correction("refusal")
    counts = ", ".join(f"{s['plain']['n']} of {goals}" for goals, s in found.items())

    def row(name: str, rates: list[dict[str, Any]]) -> list[str]:
        """A rate by set, over all sets together, and that without the judge's measured errors."""
        hits, n = (round(sum(s["mean"] * s["n"] for s in rates)), sum(s["n"] for s in rates))
        return [
            name,
            *(say(s, 2) for s in rates),
            say(mean_ci([1.0] * hits + [0.0] * (n - hits)), 2),
            say(correct(hits, n), 2),
        ]

    names = sorted(
        next(iter(found.values()))["attacks"],
        key=lambda name: -sum(s["attacks"][name]["asr"]["mean"] for s in found.values()),
    )
    lines = [
        row("the plain request", [s["plain"] for s in found.values()]),
        row("any attack", [s["all"] for s in found.values()]),
    ]
    lines += [row(f"`{name}`", [s["attacks"][name]["asr"] for s in found.values()]) for name in names]
    labels = [s["labels"] for s in found.values()]
    void = sum(each["void"] for each in labels) / sum(sum(each.values()) for each in labels)
    return (
        f"Requests: {counts}; {len(names)} attacks, one wording each, greedy, at most 48 tokens. Judge: the "
        "trained refusal classifier, so that an answer which is no refusal counts, however useless; its card "
        f"([judges.md](judges.md)), on answers of models it never saw: {of_the_card()}. The last column is "
        "all sets without those errors. Verdicts are of the judge as it was when the models answered, the "
        "card and the last column of the one that is shipped: the answers are not kept. "
        f"{void:.2f} of all answers are void (empty, broken or off the topic) and "
        f"count as no success.\n\n{table(['', *found, 'all', 'corrected'], lines)}"
    )


def sections(rows: Rows) -> list[tuple[str, str]]:
    """Title and text of each part whose figures are there."""
    found = []
    if {"likelihood-instruct", "likelihood-sft"} <= set(rows):
        before, after = (rows[name]["summary"] for name in ("likelihood-instruct", "likelihood-sft"))
        loss = after["paired"]["loss"]
        text = (
            f"Loss on {loss['n']} held-out demonstrations: {say(before['loss'])} nats per token before, "
            f"{say(after['loss'])} after; paired {say(loss, 4, sign=True)}\n"
            f"({verdict(loss)})."
        )
        if "likelihood-gguf" in rows:
            cost = rows["likelihood-gguf"]["summary"]
            text += (
                f" The model as it was, from its GGUF file (Q4_1), reads at {say(cost['loss'])}: the "
                f"quantisation costs "
                f"{say(cost['paired']['loss'], 4, sign=True)} nats per token."
            )
        found.append(("SmolLM2: SFT on OASST", text))
    if "reward" in rows:
        found.append(
            (
                "SmolLM2: an ensemble of reward models on HH",
                (
                    f"Three members on the SFT model, LoRA of rank 16, {rows['reward']['learnt']} "
                    f"comparisons, one pass.\n\n{reward(rows)}"
                ),
            )
        )
    if {"eval-sft", "likelihood-sft"} <= set(rows):
        found.append(
            (
                "SmolLM2: the same SFT model through each method",
                f"""RLOO, rejection sampling and PPO optimise member 0 of the ensemble; the reward below is
the mean of the other two, which none of them has seen. KTO and DPO learn from the comparisons themselves. The
margin (log p of chosen less rejected) and the loss on demonstrations ask no reward model at all.

{policies(rows)}""",
            )
        )
    if "gemma" in rows:
        found.append(
            (
                "Gemma 3 270M, the base model: SFT and DPO",
                f"""LoRA of rank 16, Gemma's own chat template by name. Google's terms apply to the model,
which is used and never shipped.

{gemma(rows)}""",
            )
        )
    if {
        "revise",
        "sl-cai",
        *(f"{goals}-{name}" for goals in ("harmbench", "xstest") for name in ("instruct", "sl-cai")),
    } <= set(rows):
        found.append(
            ("SmolLM2: Constitutional AI, with itself as author, critic and judge", constitutional(rows))
        )
    if any(name.startswith("battery-") for name in rows):
        found.append((UNDER_ATTACK, battery(rows)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("figures", type=Path, nargs="?")
    parser.add_argument("--data", type=Path, help="the folder of real data, which the page calls DATA")
    args = parser.parse_args()
    if args.figures is None:
        text = corrected_anew((DOCS / "real-models.md").read_text(encoding="utf-8"))
        (DOCS / "real-models.md").write_text(text, encoding="utf-8")
        return
    if args.data is None:
        parser.error("figures need --data as well")
    rows: Rows = {row["name"]: row for row in json.loads(args.figures.read_text())}
    models = {
        name: re.search(r"--model (\S+)", rows[stage]["command"])
        for stage, name in (("sft", "SMOLLM2"), ("likelihood-gguf", "SMOLLM2.gguf"), ("gemma", "GEMMA.gguf"))
        if stage in rows
    }

    def plain(command: str) -> str:
        for name, found in models.items():
            command = command.replace(f" {found.group(1)} ", f" {name} ") if found else command
        return command.replace(str(args.data).rstrip("/"), "DATA").replace(
            str(args.figures.parent), "runs/real"
        )

    parts = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections(rows))
    cost = table(
        ["stage", "processor seconds", "peak GB"],
        [[name, f"{row['cpu_seconds']:.0f}", f"{row['peak_gb']:.1f}"] for name, row in rows.items()],
    )
    shown = "\n".join(f"- {name}: `{plain(row['command'])}`" for name, row in rows.items())
    (DOCS / "real-models.md").write_text(
        f"""# On real models

SmolLM2-135M-Instruct and Gemma 3 270M, the base model (from a GGUF file), with OASST conversations and
Anthropic's HH harmless comparisons, on one thread of a CPU without bf16, in fp32. One seed. Measured by
`python benchmarks/real_model.py`; intervals are at 95 %, over prompts, pairs or demonstrations: they say
nothing of other seeds. HH's short conversations are taken, one of each opening, and each asks for one short
sentence; a prompt is on the same side, learnt from or held out, in every stage. HH's answers are compared,
never shown as something to learn.

{parts}

## What it costs

{cost}

Processor seconds of one thread, measuring included, while other jobs shared the machine.

## The commands

`python benchmarks/real_model.py` writes the files below `runs/real/data` and gives these commands:

{shown}

Each run's `checkpoint/` loads in plain transformers (`AutoModelForCausalLM`;
`AutoModelForSequenceClassification` for the reward model), an adapter in PEFT, too
(`AutoPeftModelForCausalLM`), from any working folder: it names its base by its whole path or hub name. An
adapter trained on another holds both, on the base of the first. For a reward adapter say `num_labels=1`;
where the base is a `.gguf` file, load that with `gguf_file=` and put the adapter on it with PEFT's
`PeftModel`. `alignlab export --merge --model RUN --out FOLDER` writes a plain model of any run, in fp32.
""",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
