"""Checks of records beside each other: repeats, contradictions, leaks, and what length alone tells."""

from __future__ import annotations

from collections import Counter

from ...records import Comparison, Ranking, Text, prompt_in
from ...text.near_duplicates import near_duplicates
from ..read import same
from .findings import Finding, Patient, excerpt, folded, look_if, texts_of


def repeats(p: Patient) -> dict[int, int]:
    """Records that are an earlier one again: place -> place of the first."""
    first: dict[bytes, int] = {}
    return {i: j for i, record in enumerate(p.records) if (j := first.setdefault(same(record), i)) != i}


def duplicates(p: Patient) -> list[Finding]:
    again = repeats(p)
    return p.found(
        "duplicates",
        "note",
        "repeat an earlier record; of a file only the first is kept",
        "nothing, unless they were meant to weigh double",
        list(again),
        lambda i: f"as {p.places[again[i]]}: {excerpt(p.records[i])}",
    )


def repeated_prompts(p: Patient) -> list[Finding]:
    if p.records and isinstance(p.records[0], Text):
        return []
    ids = Counter(prompt_in(record).id for record in p.records)
    rows = [i for i, record in enumerate(p.records) if ids[prompt_in(record).id] > 1]
    return p.found(
        "repeated-prompts",
        "note",
        f"share their prompt with another; there are {len(ids)} different prompts",
        "nothing here: held-out data is split by question; a split by rows elsewhere would leak",
        rows,
    )


def contradictions(p: Patient) -> list[Finding]:
    pairs = {
        (r.prompt.id, r.chosen, r.rejected): i for i, r in enumerate(p.records) if isinstance(r, Comparison)
    }
    rows = [i for (prompt, chosen, rejected), i in pairs.items() if (prompt, rejected, chosen) in pairs]
    return p.found(
        "contradictions",
        p.rare(rows),
        "prefer the other way round than another record does",
        "keep both where people disagreed; else take both out",
        rows,
    )


def similar_records(p: Patient) -> list[Finding]:
    """Near duplicates, by shared runs of characters: no language is assumed."""
    again = repeats(p)
    earlier = {
        i: j
        for i, j in near_duplicates(["\n".join(texts_of(record)) for record in p.records])
        if i not in again
    }
    rows = list(earlier)
    verdict = look_if(len(rows) > 0.1 * len(p.records))
    return p.found(
        "similar-records",
        verdict,
        "are nearly the same as an earlier one (four fifths of their runs of 5 characters)",
        "keep one of each, or expect a held-out figure that flatters",
        rows,
        lambda i: f"like {p.places[earlier[i]]}: {excerpt(p.records[i])}",
    )


def leaked_prompts(p: Patient) -> list[Finding]:
    """Prompts that stand in the other data too: word for word, but for case and blanks, or nearly."""
    if not p.against:
        return []
    here, there = [folded(record) for record in p.records], [folded(record) for record in p.against]
    known = set(there)
    exact = [i for i, text in enumerate(here) if text in known]
    close = {i - len(there) for i, j in near_duplicates([*there, *here], first=len(there))} - set(exact)
    rows = [*exact, *sorted(close)]
    return p.found(
        "leaked-prompts",
        "broken",
        (
            f"have a prompt that is in {p.against_name} too: {len(exact)} the same but for case and "
            f"blanks, {len(close)} nearly"
        ),
        "take them out of the training data",
        rows,
    )


def length_bias(p: Patient) -> list[Finding]:
    """How often the better completion is the longer one, in tokens: what a reward model that only counts
    would score.
    """
    from scipy.special import betaincinv

    pairs: list[Comparison] = []
    for record in p.records:
        if isinstance(record, Ranking):
            pairs += record.comparisons()
        elif isinstance(record, Comparison):
            pairs.append(record)
    ids = p.reader.tokenizer
    lengths = [
        (
            len(ids(pair.chosen, add_special_tokens=False)["input_ids"]),
            len(ids(pair.rejected, add_special_tokens=False)["input_ids"]),
        )
        for pair in pairs
    ]
    apart = [a > b for a, b in lengths if a != b]
    if len(apart) < 20:
        return []
    k, n = sum(apart), len(apart)
    low, high = 0.0, 1.0
    if k:
        low = float(betaincinv(k, n - k + 1, 0.025))
    if k < n:
        high = float(betaincinv(k + 1, n - k, 0.975))
    verdict = look_if(low > 0.6 or high < 0.4)
    return [
        Finding(
            "length-bias",
            verdict,
            f"the chosen completion is the longer one in {k / n:.3f} [{low:.3f}, {high:.3f}] of {n} pairs",
            (
                "print this floor beside any accuracy; a length term or length-controlled pairs if it is "
                "far from a half"
            ),
            k,
        )
    ]
