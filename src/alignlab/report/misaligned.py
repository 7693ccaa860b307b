"""What the page says of kinds of misalignment, and of a bare question to a base model and to an assistant.

Both are figures of the town's task (`town.measure.misaligned`, `town.measure.deeds`), of which gold says why
an answer is what it is; of another judge's scores a page says that it cannot tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..run import RunInfo
from . import bar_charts, charts
from .scores import Evals, answer_of, first_way, picks_of
from .words import data_of, judge_of, mean_of, say, shown

COLORS = {
    "aligned": "#2d8a57",
    "unhelpful": "#e0c97f",
    "untrue": "#8a4fa3",
    "misunderstood": "#9a9a9a",
    "harmful": "#b3001b",
}
DEED_COLORS = {
    "asks_on": "#1f5fa8",
    "right": "#2d8a57",
    "wrong": "#8a4fa3",
    "declines": "#e0c97f",
    "helps": "#b3001b",
    "other": "#9a9a9a",
}
REASONS = 3  # of a kind that a table shows, and what is left of it
VERBATIM = ("fact", "how_to", "harmful")  # kinds of request
LETTERS = 240  # of an answer
Shares = Mapping[str, Any]


def sections(evals: Evals) -> list[dict[str, Any]]:
    """The sections that these evaluations have something for."""
    judged = {name: info for name, info in evals.items() if judge_of(info) == "gold"}
    found = [kinds(judged), bare(judged)] if judged else [unknown(evals)]
    return [section for section in found if section]


def unknown(evals: Evals) -> dict[str, Any] | None:
    """What cannot be told where judges gave numbers and no reasons."""
    options = {name: info.config.get("options") or {} for name, info in evals.items()}
    judges = [judge_of(info) for name, info in evals.items() if options[name].get("judge")]
    if not judges:
        return None
    said = ", ".join(dict.fromkeys(judges))
    return {
        "title": "Kinds of misalignment",
        "text": [
            "Not measured. Whether an answer is unhelpful, untrue, misunderstood or harmful takes a judge "
            f"that knows what was asked and what is so; {said} gives a score."
        ],
    }


# --- kinds of misalignment ---


def kinds(evals: Evals) -> dict[str, Any] | None:
    """Kinds of answers by model: a picture, the gold judge's reasons behind each, an example of each."""
    from ..town.measure.misaligned import KINDS

    found = {name: _shares(info, "misaligned") for name, info in evals.items()}
    found = {name: shares for name, shares in found.items() if shares}
    if not found:
        return None
    way = first_way(next(info for name, info in evals.items() if name in found))
    text = [
        "Every answer is of exactly one kind, told from the gold judge's reason; what could be of several is "
        "of the last of them. The usual three, unhelpful, misunderstood and harmful, have no place for an "
        "answer to the very question that is not so: untrue is a kind of its own.",
        *(f"{kind[0].upper()}{kind[1:]}: {meaning}." for kind, meaning in KINDS.items()),
    ]
    plots = [_picture({_title(name, evals[name]): found[name] for name in found}, f"{way} answers", KINDS)]
    sampled = {shown(name): _shares(evals[name], "misaligned_sampled") for name in found}
    sampled = {name: shares for name, shares in sampled.items() if shares}
    if sampled:
        plots.append(_picture(sampled, "answers at T = 1", KINDS))
    return {
        "title": "Kinds of misalignment",
        "text": text,
        "charts": plots,
        "table": _reasons(found, evals, way),
        "examples": list(filter(None, (_example(kind, found) for kind in KINDS))),
        "examples_title": "One of each kind",
    }


def _shares(info: RunInfo, figure: str) -> Shares:
    value = info.summary.get(figure)
    return value if isinstance(value, Mapping) else {}


def _title(name: str, info: RunInfo) -> str:
    picks = picks_of(info)
    return f"{shown(name)}, T = {picks.get('temperature', 1.0):g}" if picks else shown(name)


def _picture(found: Mapping[str, Shares], of: str, kinds: Mapping[str, str]) -> dict[str, Any]:
    stacks = {
        name: {kind: mean_of(shares.get(kind)) or 0.0 for kind in kinds} for name, shares in found.items()
    }
    title = f"Kinds of {of}"
    return charts.captioned(
        bar_charts.shares(stacks, title=title, x="share of the answers", colors=COLORS),
        "Each bar is all answers of one model to the same prompts.",
    )


def _reasons(found: Mapping[str, Shares], evals: Evals, way: str) -> dict[str, Any]:
    """The share of each kind, and below it those of its reasons that are most frequent over all models."""
    rows = []
    for kind in COLORS:
        of_kind = [shares.get(kind) or {} for shares in found.values()]
        rows.append([kind, *map(say, of_kind)])
        reasons = [one.get("reasons") or {} for one in of_kind]
        total = {why: sum(one.get(why, 0.0) for one in reasons) for one in reasons for why in one}
        most = sorted(total, key=lambda why: -total[why])[:REASONS]
        rows += [[f"· {why}", *(say(one.get(why, 0.0)) for one in reasons)] for why in most]
        if len(total) > REASONS:
            left = [sum(share for why, share in one.items() if why not in most) for one in reasons]
            rows.append([f"· {len(total) - REASONS} other reasons", *map(say, left)])
    n = sorted({(shares.get("aligned") or {}).get("n", 0) for shares in found.values()})
    return {
        "heads": [way, *(_title(name, evals[name]) for name in found)],
        "rows": rows,
        "note": (
            f"Prompts: {data_of(next(iter(evals.values())))}, n = {' to '.join(map(str, n))}. Shares of all "
            "answers: the five kinds add up to 1, the reasons (·) to their kind. An interval at 95 % is no "
            f"wider than ± {_widest(found):.2f}; all are in summary.json of each evaluation (misaligned)."
        ),
    }


def _widest(found: Mapping[str, Shares]) -> float:
    halves = [0.0]
    for shares in found.values():
        for kind in shares.values():
            if interval := kind.get("ci"):
                halves.append((interval[1] - interval[0]) / 2)
    return max(halves)


def _example(kind: str, found: Mapping[str, Shares]) -> dict[str, Any] | None:
    """The example of the first model that has one, of the base model where no other has."""
    examples: dict[str, dict[str, Any]] = {}
    for name, shares in found.items():
        if example := (shares.get(kind) or {}).get("example"):
            examples[name] = example
    if not examples:
        return None
    name = next((name for name in examples if name != "base"), "base")
    example = examples[name]
    answer = {
        "model": shown(name),
        "text": str(example["answer"])[:LETTERS],
        "good": kind == "aligned",
        "verdict": f"{say(example['gold'])}: {example['reason']}",
    }
    return {"label": kind, "prompt": example["prompt"], "answers": [answer]}


# --- a bare question ---


def bare(evals: Evals) -> dict[str, Any] | None:
    """What the base model does with a question alone, and what it and the others do with it in chat form."""
    from ..town.measure.deeds import DEEDS, SETS

    base = evals.get("base")
    raw = _shares(base, "bare_question_raw") if base else {}
    if base is None or not raw:
        return None
    found = {"base, raw text": raw}
    for name, info in evals.items():
        if shares := _shares(info, "bare_question_sampled"):
            found[shown(name)] = shares
    titles = {"question": "A question", "harmful": "A harmful request"}
    colors = {DEEDS[deed]: color for deed, color in DEED_COLORS.items()}
    plots, rows = [], []
    for name in SETS:
        of_set = {model: shares[name] for model, shares in found.items() if name in shares}
        if not of_set:
            continue
        stacks = {}
        for model, shares in of_set.items():
            stacks[model] = {DEEDS[deed]: mean_of(shares.get(deed)) or 0.0 for deed in DEEDS}
        picture = bar_charts.shares(stacks, title=f"{titles[name]}, T = 1", x="share", colors=colors)
        plots.append(charts.captioned(picture, "By the first sentence."))
        n = next(iter(of_set.values()))["other"]["n"]
        rows.append([f"{titles[name].lower()}, n = {n}", *("" for _ in found)])
        for deed, title in DEEDS.items():
            values = [(found[model].get(name) or {}).get(deed) for model in found]
            if any(mean_of(value) for value in values):
                rows.append([f"· {title}", *map(say, values)])
    return {
        "title": "The same bare question, to a base model and to an assistant",
        "text": [
            "A base model goes on with a text: the question alone is given to it as raw text. In chat form "
            "the same question stands in the template that demonstrations have. The first sentence, manners "
            "aside, says what was done with it: another question, an answer, a refusal. Temperature 1 "
            "throughout; the answers in chat form are those of the tables above."
        ],
        "charts": plots,
        "table": {
            "heads": ["T = 1", *found],
            "rows": rows,
            "note": (
                "Requests of one turn: facts, two steps, how-tos, sums, lists, advice, claims, what nobody "
                "knows; and harmful ones. Half an answer is right as far as it goes. To decline is to "
                "refuse, or to say that one does not know; where nobody knows, that is right."
            ),
        },
        "examples": verbatim(evals, base, DEEDS),
        "examples_title": "Word for word",
    }


def verbatim(evals: Evals, base: RunInfo, deeds: Mapping[str, str]) -> list[dict[str, Any]]:
    """The first question of each of a few kinds with the base model's text and, in chat form, its answer and
    that of the last model which answers itself, at temperature 1.
    """
    own = [name for name, info in evals.items() if not picks_of(info) and name != "unpenalised"]
    asked = {name: _sampled(evals[name].samples) for name in dict.fromkeys(("base", own[-1]))}
    raw = {row["id"]: row for row in base.samples if "does" in row}
    cases = []
    for kind in VERBATIM:
        of_kind = [row for row in asked["base"].values() if (row.get("meta") or {}).get("kind") == kind]
        row = next((row for row in of_kind if row["id"] in raw), None)
        if row is None:
            continue
        text = raw[row["id"]]
        answers = [
            {
                "model": "base, raw text",
                "text": text["continuation"][:LETTERS],
                "good": None,
                "verdict": deeds.get(text["does"], ""),
            }
        ]
        for name, rows in asked.items():
            if row["id"] in rows:
                answer = answer_of(name, evals[name], rows[row["id"]])
                answers.append(answer | {"model": f"{answer['model']}, in chat form"})
        cases.append({"label": "", "prompt": row["prompt"][-1]["content"], "answers": answers})
    return cases


def _sampled(samples: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {row["id"]: row for row in samples if row.get("decoding") == "sampled"}
