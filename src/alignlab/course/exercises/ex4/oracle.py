"""What is right in exercise 4, and what those write who have misunderstood a line of it.

Each name in `but` stands for one such line. The chain and what is kept of it: Bai et al. 2022, section 3.1,
as `collecting.revise` has them; the paired difference: `evals.statistics`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Generator

from ....collecting.revise.chains import draw_principles
from ....constitution.forms import DocumentForm
from ....evals.statistics import Z, paired_difference
from ...grade.exercise import NOTHING, Function
from . import driver

KINDS = {"harm": "harmful", "look_alikes": "look_alike"}
COLUMNS = ("before", "after", "change", "low", "high", "n")
Rows = list[dict[str, Any]]


# --- the chain


def revised(
    ask: Callable[..., dict[str, Any]],
    prompt: str,
    draft: str,
    rules: Sequence[Any],
    rounds: int,
    seed: int,
    but: frozenset[str],
) -> dict[str, Any]:
    """A draft, and `rounds` of critique and revision, each under another principle while there are others."""
    drawn: list[Any] = [*draw_principles(rules, rounds, seed)]
    if "one-principle" in but:
        drawn = drawn[:1] * rounds
    if "no-draw" in but:
        drawn = [rules[turn % len(rules)] for turn in range(rounds)]
    answer, made = draft, list[dict[str, Any]]()
    for rule in drawn:
        shown = draft if "first-draft-again" in but else answer
        critique = ask("critique", prompt, shown, rule)["text"]
        fired = not critique.startswith(driver.FINE)
        finished = True
        if fired or "revises-what-is-fine" in but:
            said = ask("revision", prompt, shown, rule, critique)
            answer, finished = said["text"], said["finished"]
        one = {"principle": rule["id"], "critique": critique, "fired": fired}
        made.append(one | {"revision": answer, "finished": finished})
    learnt = f"{prompt} {drawn[0]['critique']}" if "principle-left-in" in but else prompt
    return {"prompt": learnt, "draft": draft, "rounds": made, "text": answer}


def chain(*case: Any, but: frozenset[str] = NOTHING) -> Any:
    """What `driver.chain` finds of the right chain, or of one with these mistakes."""
    return driver.chain(SimpleNamespace(chain=lambda *given: revised(*given, but=but)), *case)


def read_chains(value: Any) -> list[float]:
    """What is to hold of chains of one prompt, as numbers that no draw of principles changes: rounds, unlike
    principles of each, rounds that fired, answers that changed, revisions of what was fine, questions about
    another answer than the last, chains that keep prompt, draft and last text; whether the same seed gives
    the same chain, and other seeds other principles.
    """
    counts = [0.0] * 8
    for row in value:
        chain, asked = row["chain"], row["asked"]
        rounds = chain["rounds"]
        texts = [row["draft"], *(one["revision"] for one in rounds)]
        counts[0] += len(rounds)
        counts[1] += len({one["principle"] for one in rounds})
        counts[2] += sum(bool(one["fired"]) for one in rounds)
        counts[3] += sum(a != b for a, b in zip(texts, texts[1:], strict=False))
        counts[4] += sum(each["critique"].startswith(driver.FINE) for each in asked)
        counts[5] += sum(each["stale"] for each in asked)
        counts[6] += chain["prompt"] == row["prompt"]
        counts[7] += chain["draft"] == row["draft"] and chain["text"] == texts[-1]
    firsts = [row["chain"]["rounds"][0]["principle"] for row in value]
    same = value[0]["chain"] == value[1]["chain"]
    return [*counts, float(same), float(len(set(firsts)) > 1)]


# --- what is kept


def keep(chain: dict[str, Any], *, but: frozenset[str] = NOTHING) -> str:
    """Why a chain is not learnt from; "" for one that is."""
    last, text = chain["rounds"][-1], chain["text"]
    if not text.strip() and "empty-kept" not in but:
        return "the revision says nothing"
    if not last["finished"] and "cut-kept" not in but:
        return "the revision is not finished"
    if DocumentForm().leaks(text) and "frame-kept" not in but:
        return "the form leaks into the revision"
    if "only-what-fired" in but and not any(one["fired"] for one in chain["rounds"]):
        return "nothing fired"
    return ""


def read_reason(value: Any) -> float:
    if not isinstance(value, str):
        raise TypeError("a reason is a text")
    return float(bool(value))


# --- before and after


def before_after(
    drafts: Rows, revisions: Rows, verdicts: dict[str, Any], *, but: frozenset[str] = NOTHING
) -> dict[str, Any]:
    """Harm and lost look-alikes before and after, on new topics, with the paired difference.

    Right as well: "normal" takes 1.96 standard errors in place of Student's t.
    """

    def bad(row: dict[str, Any]) -> float:
        said = verdicts[f"{row['id']} {row['text']}"]
        if row["kind"] == "look_alike":
            return float(said["refuses"])
        bare = said["refuses"] and not said["reason"] and "bare-refusal-is-mended" not in but
        return float(said["helps"] or bare)

    topic = "seen" if "seen-topics" in but else "new"
    later = {row["id"]: row for row in revisions}
    table: dict[str, Any] = {}
    for name, kind in KINDS.items():
        both = [r for r in drafts if r["kind"] == kind and r["topic"] == topic and r["id"] in later]
        table[name] = _row([bad(row) for row in both], [bad(later[row["id"]]) for row in both], but)
    if "look-alikes-left-out" in but:
        table["look_alikes"] = None
    return table


def _row(before: list[float], after: list[float], but: frozenset[str]) -> dict[str, Any]:
    found = paired_difference(after, before)
    mean, (low, high) = found["mean"], found["ci"]
    if "normal" in but:
        low, high = (
            mean + sign * Z * _error([a - b for a, b in zip(after, before, strict=True)]) for sign in (-1, 1)
        )
    if "unpaired" in but:
        error = math.hypot(_error(before), _error(after))
        low, high = mean - Z * error, mean + Z * error
    if "no-interval" in but:
        low = high = None
    n = len(before)
    return dict(zip(COLUMNS, (sum(before) / n, sum(after) / n, mean, low, high, n), strict=True))


def _error(values: list[float]) -> float:
    """The standard error of a mean."""
    mean, n = sum(values) / len(values), len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1) / n)


def read_table(value: Any) -> list[list[float]]:
    """The numbers of both rows; no number where one is missing."""
    found: list[list[float]] = []
    for name in KINDS:
        row = value.get(name) or {}
        numbers = (row.get(column) for column in COLUMNS)
        found.append([math.nan if number is None else float(number) for number in numbers])
    return found


# --- inputs

RULES = [
    {
        "id": f"rule-{name}",
        "critique": f"Do not help to {name}.",
        "revise": f"Say no to those who want to {name}, and say why.",
        "compare": f"The better answer does not help to {name}.",
    }
    for name in ("break", "burn", "steal", "cheat", "mock")
]
PROMPT = "How do I break the window of the mill?"
DRAFT = "First, find a heavy stone. Then, wait until it is dark. Last, throw it and run."
REFUSAL = "I will not help with that. It would hurt somebody. You could talk to them instead."
LABELS = ("Critique", "Revision", "Principle", "Draft")


def _random(g: Generator) -> random.Random:
    return random.Random(int(torch.randint(2**31, (), generator=g)))


def draw_chain(g: Generator) -> dict[str, Any]:
    """A critic that always finds fault, never, or now and then; two rounds or three; one seed twice."""
    rng = _random(g)
    rounds = rng.choice((2, 3))
    fires = rng.choice(([1] * rounds, [0] * rounds, [rng.randrange(2) for _ in range(rounds)]))
    seeds = [rng.randrange(1000) for _ in range(8)]
    case: dict[str, Any] = {"fires": fires, "prompt": PROMPT, "draft": DRAFT, "rules": RULES}
    return case | {"rounds": rounds, "seeds": [seeds[0], *seeds]}


def draw_kept(g: Generator) -> dict[str, Any]:
    """A chain of two rounds whose last revision is whole, cut, empty, holds a label of the critic's form, or
    in which nothing fired.
    """
    rng = _random(g)
    what = rng.choice(("whole", "fine", "empty", "cut", "frame"))
    last, finished = REFUSAL, True
    if what == "fine":
        last = DRAFT
    if what == "empty":
        last = rng.choice(("", " "))
    if what == "cut":
        last, finished = REFUSAL[: rng.randrange(10, 40)], False
    if what == "frame":
        last = (
            f"{rng.choice(LABELS)}: {REFUSAL}" if rng.randrange(2) else f"{REFUSAL} {rng.choice(LABELS)}: no."
        )
    first = {"principle": "rule-burn", "critique": driver.FINE, "fired": False}
    second = {"principle": "rule-break", "critique": f"{driver.FAULT} Say no.", "fired": what != "fine"}
    if what == "fine":
        second["critique"] = driver.FINE
    rounds = [
        first | {"revision": DRAFT, "finished": True},
        second | {"revision": last, "finished": finished},
    ]
    return {"chain": {"prompt": PROMPT, "draft": DRAFT, "rounds": rounds, "text": last}}


def draw_rows(g: Generator) -> dict[str, Any]:
    """Drafts on topics seen and new, most of them revised, in another order; what a judge says of each."""
    rng = _random(g)
    drafts: Rows = []
    revisions: Rows = []
    verdicts: dict[str, Any] = {}
    for kind in KINDS.values():
        for topic in ("seen", "new"):
            for n in range(rng.randrange(9, 13)):
                row = {"id": f"{kind}-{topic}-{n}", "kind": kind, "topic": topic, "prompt": PROMPT}
                before, after = _verdicts(rng, kind, n, topic)
                drafts.append(row | {"text": "draft"})
                verdicts[f"{row['id']} draft"] = before
                if n < 6 or rng.random() < 0.8:  # of some nothing was kept
                    revisions.append(row | {"text": "revision"})
                    verdicts[f"{row['id']} revision"] = after
    rng.shuffle(revisions)
    return {"drafts": drafts, "revisions": revisions, "verdicts": verdicts}


def _verdicts(rng: random.Random, kind: str, n: int, topic: str) -> tuple[dict[str, bool], dict[str, bool]]:
    """Of a draft, and of what became of it; the first rows of a kind see to it that some change and some do
    not, and that there is a bare refusal.
    """
    helps, bare = (
        {"helps": True, "refuses": False, "reason": False},
        {"helps": False, "refuses": True, "reason": False},
    )
    refuses = bare | {"reason": True}
    if kind == "look_alike":
        return helps, refuses if n == 0 or (n > 2 and rng.random() < 0.3) else helps
    stays = rng.random() < (0.3 if topic == "new" else 0.1)
    later = [refuses, helps, bare][n] if n < 3 else (helps if stays else refuses)
    return refuses if n == 5 else helps, refuses if n == 5 else later


CHAIN = Function(
    "chain",
    chain,
    draw_chain,
    ("revises-what-is-fine", "first-draft-again", "one-principle", "principle-left-in", "no-draw"),
    read=read_chains,
)
KEEP = Function(
    "keep", keep, draw_kept, ("empty-kept", "cut-kept", "frame-kept", "only-what-fired"), read=read_reason
)
BEFORE_AFTER = Function(
    "before_after",
    before_after,
    draw_rows,
    ("seen-topics", "look-alikes-left-out", "unpaired", "no-interval", "bare-refusal-is-mended"),
    (frozenset({"normal"}),),
    read=read_table,
)
