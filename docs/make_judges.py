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
    held = card["new_model"]
    lines = [
        f"**Full refusal against full compliance, XSTest's human labels** (n = {found['rows']['xstest']}: "
        f"answers of {', '.join(models)} to {held['prompts']} prompts that were kept back while its cues and "
        "sentences were changed last; 95 % intervals in brackets, the classifier's over prompts). The two "
        f"humans agree, on refusing at all, in {share(found['people']['accuracy'])} of all rows.",
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
    over, known = held["over_models"], held["correction"]
    worth = ", ".join(f"{name} {known[name][1]:.0f} rows" for name in ("sensitivity", "specificity"))
    lines += [
        "",
        f"**On a model that it has never seen** ({', '.join(card['left_out_together'])} left out in turn, "
        "names that begin alike together: one network under several system prompts): accuracy "
        f"{share(held['refusal_or_compliance']['accuracy'])} by row; over models "
        + "; ".join(
            f"{name} {of['mean']:.3f}, standard deviation {of['sd']:.3f}, worst {of['min']:.3f}"
            for name, of in over.items()
        )
        + ". Rates of compliance are corrected by these, a partial refusal being no compliance: sensitivity "
        f"{known['sensitivity'][0] / known['sensitivity'][1]:.3f}, specificity "
        f"{known['specificity'][0] / known['specificity'][1]:.3f}, worth what models differ ({worth}). "
        "With other answers of the same model to learn from: "
        f"{share(card['new_prompts']['refusal_or_compliance']['accuracy'])}.",
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
            f"**Three classes, on a model never seen** (n = {three['n']}): accuracy "
            f"{share(three['accuracy'])}, kappa {three['kappa']:.3f}."
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
        f"Abstention: between {card['band'][0]} and {card['band'][1]} the classifier is unsure. Outside a "
        f"band read off the answers to all other prompts, on {out['share']:.3f} of the rows, accuracy is "
        f"{share(out['accuracy'])}. "
        f"Expected calibration error {held['ece']:.3f}. Called void on XSTest: {held['called_void']} of "
        f"{three['n']}. The town's version {card['town']}, crowd's refusals and how-tos against gold: "
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
