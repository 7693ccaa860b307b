"""Writes the tables of docs/judges.md from the cards that benchmarks/judges.py measured.

python benchmarks/judges.py --data ../shared/data --out runs/judges
python docs/make_judges.py runs/judges/cards.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent / "judges.md"


def share(s: dict[str, Any] | None, *, interval: bool = True) -> str:
    """0.959 (0.946-0.969), or a dash where nothing was measured."""
    if not s or s["mean"] is None:
        return "-"
    return f"{s['mean']:.3f}" + (f" ({s['ci'][0]:.3f}-{s['ci'][1]:.3f})" if interval and s["ci"] else "")


def scorers(cards: list[dict[str, Any]], column: str) -> list[str]:
    """The table of all scorers on one data set."""
    lines = [
        "| scorer | accuracy | precision | recall | false alarms | kappa | unscored |",
        "|---|---|---|---|---|---|---|",
    ]
    for card in cards:
        if one := card[column]:
            alarms = {"mean": 1 - one["specificity"]["mean"], "ci": None}
            lines.append(
                f"| {card['scorer']} | {share(one['accuracy'])} | {share(one['precision'])} | "
                f"{share(one['recall'])} | {share(alarms)} | {share(one['kappa'])} | {one['unscored']} |"
            )
    return lines


def page(found: dict[str, Any]) -> str:
    card, models = found["card"], found["models"]
    held = card["held_out"]
    lines = [
        f"**Full refusal against full compliance, XSTest's human labels** (n = {found['rows']['xstest']}, "
        f"models {', '.join(models)}; 95 % intervals in brackets). The two humans agree, "
        f"on refusing at all, in {share(found['people']['accuracy'])} of all rows.",
        "",
        *scorers(found["cards"], "xstest"),
        "",
    ]
    lines += [
        (
            "**The same by model** (accuracy; recall of refusals in brackets): phrase lists know the manner "
            "of one model and not of the next."
        ),
        "",
        "| scorer | " + " | ".join(models) + " |",
        "|---|" + "---|" * len(models),
    ]
    lines += [
        f"| {one['scorer']} | "
        + " | ".join(
            f"{one['by_model'][m]['accuracy']['mean']:.3f} ({one['by_model'][m]['recall']['mean']:.3f})"
            for m in models
        )
        + " |"
        for one in found["cards"]
    ]
    if apart := card.get("family_held_out"):
        lines += [
            "",
            f"With all models of a family left out together ({', '.join(apart['families'])}: one model "
            f"under several system prompts) the classifier's accuracy is "
            f"{share(apart['refusal_or_compliance']['accuracy'])}: "
            + ", ".join(f"{m} {one['accuracy']['mean']:.3f}" for m, one in apart["by_model"].items())
            + ".",
        ]
    lines += [
        "",
        (
            f"**PyRIT's gold labels of refusal** (n = {found['rows']['pyrit']}, never trained on; answers "
            "about something else count as refused there and are void here)."
        ),
        "",
        *scorers(found["cards"], "pyrit"),
        "",
    ]
    three = held["three_classes"]
    labels = ("refusal", "partial", "compliance")
    lines += [
        (
            f"**Three classes, held-out** (n = {three['n']}): accuracy {share(three['accuracy'])}, kappa "
            f"{three['kappa']:.3f}."
        ),
        "",
        "| human label | called refusal | called partial | called compliance | recall |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {t} | "
        + " | ".join(str(three["called"][t].get(s, 0)) for s in labels)
        + f" | {share(three['recall'][t])} |"
        for t in labels
    ]
    out = held["outside_band"]
    columns = ("refusal", "partial", "compliance", "void", "decoded")
    lines += [
        "",
        (
            "**What help is called, and what was made of it**: XSTest's full compliances by the shipped "
            "weights (in-sample as to the first row; shares of rows)."
        ),
        "",
        "| answer | refusal | partial | compliance | void | read decoded |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['answer']} | " + " | ".join(f"{row[column]:.3f}" for column in columns) + " |"
        for row in found["made_of_help"]
    ]
    lines += [
        "",
        f"Abstention: between {card['band'][0]} and {card['band'][1]} the classifier is unsure. Outside, on "
        f"{out['share']:.3f} of the rows, accuracy is {share(out['accuracy'])}. "
        f"Expected calibration error {held['ece']:.3f}. Called void on XSTest: {held['called_void']} of "
        f"{three['n']}. Town, crowd's refusals and how-tos against gold: "
        f"{share(card['town_crowd']['accuracy'])} (n = {card['town_crowd']['n']}). "
        f"{found['ms_an_answer']} ms an answer.",
        "",
        (
            f"Trained in {card['seconds']} s (all held-out fits included), seed {card['seed']}, commit "
            f"{card['commit']}; {card['ngrams']} n-grams."
        ),
        "",
        "| trained on | label | rows | weight of a row |",
        "|---|---|---|---|",
        *(
            f"| {row['source']} | {row['label']} | {row['rows']} | {row['weight']} |"
            for row in card["trained_on"]
        ),
    ]
    return "\n".join(lines)


def main(file: Path, target: Path = PAGE) -> None:
    text = target.read_text(encoding="utf-8")
    begin, end = "<!-- cards -->", "<!-- /cards -->"
    if begin not in text or end not in text:
        raise SystemExit(f"{target} has no marks {begin} and {end}")
    found = page(json.loads(file.read_text(encoding="utf-8")))
    target.write_text(
        text[: text.index(begin)] + f"{begin}\n{found}\n{end}" + text[text.index(end) + len(end) :],
        encoding="utf-8",
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
