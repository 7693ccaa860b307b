"""The data doctor: what in the data, the template or the pairing of models would break training, or quietly
spoil it.

A finding is `broken` (training refuses, or would learn something else than was meant), `look` (worth a look
before training) or `note` (what this library does about it, and others may not). What training itself refuses
is decided by the same functions (`checks`).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Literal

from ..errors import DataError, ModelError
from ..models.chat import (
    Rendered,
    begin_ids,
    completion_ids,
    end_token_id,
    marks,
    prompt_ids,
    template_of,
    texts,
    writes_its_end,
)
from ..models.reader import Reader
from ..models.template import TemplateBound
from ..records import Comparison, Completion, Demonstration, Message, Prompt, Ranking, Record, Text, Unpaired
from ..text.near_duplicates import near_duplicates
from .checks import encode, reads_otherwise, teaches
from .formats import GUESSED, NEGATIVE, REPEATED, TEMPLATED, completions_of
from .layouts import ORDER, parts
from .lengths import LENGTHS, Kept, Truncate, needs, table
from .read import LoadReport, same

Verdict = Literal["broken", "look", "note"]
RARE = 0.01  # a share of the records above which a flaw of single rows is worth a look
SHOWN = 3  # examples a finding


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found: which check, how bad, what and how often, where first, and what mends it.

    Attributes:
        rows: places in the records, for the view of tokens and mask.
    """

    check: str
    verdict: Verdict
    what: str
    remedy: str
    count: int = 0
    examples: tuple[str, ...] = ()
    rows: tuple[int, ...] = ()

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{self.verdict:<7}{self.check}: {self.what}",
                *(f"       {example}" for example in self.examples),
                f"       remedy: {self.remedy}",
            ]
        )

    def to_json(self) -> dict[str, Any]:
        return {
            name: list(value) if isinstance(value := getattr(self, name), tuple) else value
            for name in self.__slots__
        }


@dataclass(slots=True)
class Diagnosis:
    """All findings, the worst first, the checks that found nothing, and the figures they rest on: `lengths`
    is what each max_length keeps, by `truncate`.
    """

    source: str
    kind: str
    records: int
    findings: list[Finding] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)
    tokens: dict[str, float] = field(default_factory=dict)
    truncate: str = "drop"
    lengths: list[Kept] = field(default_factory=list)

    @property
    def broken(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.verdict == "broken"]

    def to_json(self) -> dict[str, Any]:
        return {
            "data": self.source,
            "kind": self.kind,
            "records": self.records,
            "tokens": self.tokens,
            "truncate": self.truncate,
            "lengths": [asdict(row) for row in self.lengths],
            "broken": len(self.broken),
            "findings": [finding.to_json() for finding in self.findings],
            "passed": self.passed,
        }


@dataclass(slots=True)
class _Patient:
    """What the checks look at."""

    records: Sequence[Record]
    places: Sequence[str]
    report: LoadReport | None
    broken: Sequence[DataError]
    reader: Reader
    max_length: int
    reward: Reader | None
    against: Sequence[Record]
    against_name: str
    sequences: list[list[Rendered]] = field(
        default_factory=list
    )  # empty lists where the template refused the record
    refused: dict[int, ModelError] = field(default_factory=dict)
    needs: list[tuple[int, int]] = field(
        default_factory=list
    )  # for each sequence, tokens at which the record is whole and at which it is not lost

    @property
    def truncate(self) -> Truncate:
        """What training does by default with rows of this kind that are too long."""
        return "end" if self.records and isinstance(self.records[0], Demonstration | Text) else "start"

    def found(
        self,
        check: str,
        verdict: Verdict,
        what: str,
        remedy: str,
        rows: Sequence[int] = (),
        said: Callable[[int], str] | None = None,
    ) -> Finding:
        """A finding in these records: `what` begins with how many of them."""
        examples = tuple(
            f"{self.places[i]}  {said(i) if said else excerpt(self.records[i])}" for i in rows[:SHOWN]
        )
        return Finding(
            check,
            verdict,
            f"{len(rows)} of {len(self.records)} {what}",
            remedy,
            len(rows),
            examples,
            tuple(rows[:SHOWN]),
        )

    def rare(self, rows: Sequence[int]) -> Verdict:
        return "look" if len(rows) > RARE * len(self.records) else "note"


def examine(
    records: Sequence[Record],
    places: Sequence[str],
    reader: Reader,
    *,
    source: str,
    kind: str,
    max_length: int = 0,
    report: LoadReport | None = None,
    broken: Sequence[DataError] = (),
    reward: Reader | None = None,
    against: Sequence[Record] = (),
    against_name: str = "",
) -> Diagnosis:
    """Every check over records that all are of one kind.

    Args:
        places: where each record stands, for people.
        max_length: tokens that training would allow; 0 = the model's context.
        report, broken: what the loader said, and the rows that it could not read.
        reward: a reward model that is to score answers to these prompts; against: records whose prompts must
            not be here.
    """
    patient = _Patient(
        records,
        places,
        report,
        broken,
        reader,
        min(max_length or reader.context, reader.context),
        reward,
        against,
        against_name,
    )
    for i, record in enumerate(records):
        try:
            sequences = encode(record, reader.tokenizer)
            patient.needs.append(
                needs(record, sequences, reader.tokenizer, patient.truncate, below=LENGTHS[0])
            )
            patient.sequences.append(sequences)
        except TemplateBound:
            raise
        except ModelError as error:
            patient.sequences.append([])
            patient.needs.append((0, 0))
            patient.refused[i] = error
    read = [row for row, sequences in zip(patient.needs, patient.sequences, strict=True) if sequences]
    diagnosis = Diagnosis(
        source,
        kind,
        len(records),
        tokens=_tokens(patient),
        truncate=patient.truncate,
        lengths=table(read, here=max_length, context=reader.context),
    )
    for check in CHECKS:
        findings = check(patient)
        diagnosis.findings += findings
        if not findings:
            diagnosis.passed.append(check.__name__.strip("_").replace("_", "-"))
    diagnosis.findings.sort(key=lambda finding: ("broken", "look", "note").index(finding.verdict))
    return diagnosis


def _tokens(p: _Patient) -> dict[str, float]:
    lengths = sorted(len(sequence.ids) for sequences in p.sequences for sequence in sequences)
    if not lengths:
        return {}
    learned = sum(sum(sequence.loss_mask) for sequences in p.sequences for sequence in sequences)
    return {
        "sequences": len(lengths),
        "median": median(lengths),
        "p95": lengths[int(0.95 * (len(lengths) - 1))],
        "longest": lengths[-1],
        "trained_share": learned / max(1, sum(lengths)),
        "max_length": p.max_length,
    }


def excerpt(record: Record) -> str:
    text = record.text if isinstance(record, Text | Prompt) else record.prompt.text
    return f"{text!r:.70}"


# --- the rows
# -----------------------------------------------------------------------------------------------------------------------


def unreadable_rows(p: _Patient) -> list[Finding]:
    if not p.broken:
        return []
    reasons = Counter(error.what.split("(")[0].strip() for error in p.broken)
    said = ", ".join(f"{count} x {reason}" for reason, count in reasons.most_common(4))
    examples = tuple(f"{error.where}  {error.what}" for error in p.broken[:SHOWN])
    rows = p.report.read if p.report else len(p.broken)
    return [
        Finding(
            "unreadable-rows",
            "broken",
            f"{len(p.broken)} of {rows} rows cannot be read: {said}",
            p.broken[0].remedy or "mend the rows, or take them out",
            len(p.broken),
            examples,
        )
    ]


def mixed_formats(p: _Patient) -> list[Finding]:
    if p.report is None or len(p.report.formats) < 2:
        return []
    said = ", ".join(f"{count} {name}" for name, count in p.report.formats.items())
    return [
        Finding(
            "mixed-formats",
            "broken",
            f"the rows are in different formats: {said}",
            "put each format into a file of its own, and name them as a mixture",
            min(p.report.formats.values()),
        )
    ]


def teaches_nothing(p: _Patient) -> list[Finding]:
    """Rows that the loader drops: empty or identical completions, ties."""
    if p.report is None or not p.report.dropped:
        return []
    dropped = sum(p.report.dropped.values())
    verdict: Verdict = (
        "broken" if not p.records and not p.broken else "look" if dropped > RARE * p.report.read else "note"
    )
    return [
        Finding(
            "teaches-nothing",
            verdict,
            f"{dropped} of {p.report.read} rows teach nothing and are dropped: {p.report.dropped_text()}",
            "look at what wrote the rows if there are many of them",
            dropped,
        )
    ]


def columns_not_read(p: _Patient) -> list[Finding]:
    """Columns with text that no reader used: a part of the prompt, perhaps, or marks on messages."""
    if p.report is None or not p.report.not_read:
        return []
    what = (
        "text that is no part of the prompt, but goes with it for a scorer,"
        if p.records and isinstance(p.records[0], Prompt)
        else "text that nobody reads"
    )
    return [
        Finding(
            "columns-not-read",
            "look",
            f"{what} stands in: {p.report.not_read_text()}",
            (
                "nothing, if neither prompt nor answer is made of it; --columns system=THEIRS (or prompt, "
                "input, completion) if one is"
            ),
            max(p.report.not_read.values()),
        )
    ]


DOUBTS = {
    GUESSED: ("guessed-prompts", "a column `prompt`, if the answers do not begin with theirs"),
    TEMPLATED: (
        "templated-prompts",
        "the texts alone: the model's own template is put around them, here and elsewhere",
    ),
    REPEATED: (
        "prompts-in-answers",
        "take the prompt off the answers: the model is given it, and need not say it again",
    ),
    NEGATIVE: ("negative-margins", "look at what the margins are; swap the answers if they are meant so"),
}


def doubtful_rows(p: _Patient) -> list[Finding]:
    """Rows that were read, and teach something else if they are not meant as they were read."""
    if p.report is None:
        return []
    return [
        Finding(check, "look" if count > RARE * p.report.read else "note", f"{count} {remark}", remedy, count)
        for remark, (check, remedy) in DOUBTS.items()
        if (count := p.report.remarks.get(remark, 0))
    ]


def damaged_text(p: _Patient) -> list[Finding]:
    found = {
        i: damage
        for i, record in enumerate(p.records)
        if (damage := next(filter(None, map(damage_of, texts_of(record))), ""))
    }
    return (
        [
            p.found(
                "damaged-text",
                p.rare(list(found)),
                "hold text that was damaged on its way here",
                "write the file again from its source as UTF-8, or take the rows out",
                list(found),
                found.__getitem__,
            )
        ]
        if found
        else []
    )


MOJIBAKE = re.compile(
    "[\u00c2-\u00f4][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013\u2014\u2018-\u201e\u2020-\u2022\u2026\u2030\u2039\u203a\u20ac\u2122]{1,3}"
)


def damage_of(text: str) -> str:
    """What is broken in the characters of a text, with the first place, or nothing: UTF-8 read as
    Windows-1252, lost characters, control codes.
    """
    if text.isascii() and text.isprintable():
        return ""
    for match in MOJIBAKE.finditer(text):
        raw = b"".join(_byte(char) for char in match[0])
        try:
            return f"{match[0]!r} stands for {raw.decode()!r}: UTF-8 read as Windows-1252"
        except UnicodeDecodeError:
            pass
    if "\ufffd" in text:
        return f"a lost character (U+FFFD) in {text[max(0, text.index(chr(0xFFFD)) - 20) :][:40]!r}"
    control = next((char for char in text if unicodedata.category(char) == "Cc" and char not in "\t\n\r"), "")
    return f"a control character, U+{ord(control):04X}" if control else ""


def _byte(char: str) -> bytes:
    try:
        return char.encode("cp1252")
    except UnicodeEncodeError:  # bytes that Windows-1252 leaves free are read as Latin-1 does
        return bytes([ord(char)]) if ord(char) < 256 else b"?"


def roles_out_of_order(p: _Patient) -> list[Finding]:
    rows = [i for i, record in enumerate(p.records) if ORDER in parts(record)]

    def said(i: int) -> str:
        return ", ".join(message.role for message in messages_of(p.records[i]))

    return (
        [
            p.found(
                "roles-out-of-order",
                "look",
                "have turns that do not alternate between user and assistant after at most one system turn",
                "join turns of one role, or take the rows out: few templates were made for them",
                rows,
                said,
            )
        ]
        if rows
        else []
    )


def labels_alike(p: _Patient) -> list[Finding]:
    labels = Counter(record.label for record in p.records if isinstance(record, Unpaired))
    if not labels or min(labels.values()) >= 0.1 * labels.total() and len(labels) == 2:
        return []
    liked = labels[True]
    what = f"{liked} of {labels.total()} completions are labelled as liked"
    if len(labels) < 2:
        return [
            Finding(
                "labels-alike",
                "broken",
                what + ": there is nothing to tell apart",
                "add completions with the other label, or use sft on the liked ones",
                labels.total(),
            )
        ]
    return [
        Finding(
            "labels-alike",
            "look",
            what,
            "weigh the rarer label up (KTO's desirable and undesirable weights)",
            min(labels.values()),
        )
    ]


def _repeats(p: _Patient) -> dict[int, int]:
    """Records that are an earlier one again: place -> place of the first."""
    first: dict[bytes, int] = {}
    return {i: j for i, record in enumerate(p.records) if (j := first.setdefault(same(record), i)) != i}


def duplicates(p: _Patient) -> list[Finding]:
    again = _repeats(p)
    return (
        [
            p.found(
                "duplicates",
                "note",
                "repeat an earlier record; of a file only the first is kept",
                "nothing, unless they were meant to weigh double",
                list(again),
                lambda i: f"as {p.places[again[i]]}: {excerpt(p.records[i])}",
            )
        ]
        if again
        else []
    )


def repeated_prompts(p: _Patient) -> list[Finding]:
    if p.records and isinstance(p.records[0], Text):
        return []
    ids = Counter(prompt_of(record).id for record in p.records)
    rows = [i for i, record in enumerate(p.records) if ids[prompt_of(record).id] > 1]
    return (
        [
            p.found(
                "repeated-prompts",
                "note",
                f"share their prompt with another; there are {len(ids)} different prompts",
                "nothing here: held-out data is split by prompt; a split by rows elsewhere would leak",
                rows,
            )
        ]
        if rows
        else []
    )


def contradictions(p: _Patient) -> list[Finding]:
    pairs = {
        (r.prompt.id, r.chosen, r.rejected): i for i, r in enumerate(p.records) if isinstance(r, Comparison)
    }
    rows = [i for (prompt, chosen, rejected), i in pairs.items() if (prompt, rejected, chosen) in pairs]
    return (
        [
            p.found(
                "contradictions",
                p.rare(rows),
                "prefer the other way round than another record does",
                "keep both where people disagreed; else take both out",
                rows,
            )
        ]
        if rows
        else []
    )


def similar_records(p: _Patient) -> list[Finding]:
    """Near duplicates, by shared runs of characters: no language is assumed."""
    again = _repeats(p)
    earlier = {
        i: j
        for i, j in near_duplicates(["\n".join(texts_of(record)) for record in p.records])
        if i not in again
    }
    rows = list(earlier)
    verdict: Verdict = "look" if len(rows) > 0.1 * len(p.records) else "note"
    return (
        [
            p.found(
                "similar-records",
                verdict,
                "are nearly the same as an earlier one (four fifths of their runs of 5 characters)",
                "keep one of each, or expect a held-out figure that flatters",
                rows,
                lambda i: f"like {p.places[earlier[i]]}: {excerpt(p.records[i])}",
            )
        ]
        if rows
        else []
    )


def leaked_prompts(p: _Patient) -> list[Finding]:
    """Prompts that stand in the other data too: word for word, but for case and blanks, or nearly."""
    if not p.against:
        return []
    here, there = [folded(record) for record in p.records], [folded(record) for record in p.against]
    known = set(there)
    exact = [i for i, text in enumerate(here) if text in known]
    close = {i - len(there) for i, j in near_duplicates([*there, *here], first=len(there))} - set(exact)
    rows = [*exact, *sorted(close)]
    return (
        [
            p.found(
                "leaked-prompts",
                "broken",
                (
                    f"have a prompt that is in {p.against_name} too: {len(exact)} the same but for case and "
                    f"blanks, {len(close)} nearly"
                ),
                "take them out of the training data",
                rows,
            )
        ]
        if rows
        else []
    )


def length_bias(p: _Patient) -> list[Finding]:
    """How often the better completion is the longer one, in tokens: what a reward model that only counts
    would score.
    """
    from scipy.special import betaincinv

    pairs = [
        pair
        for record in p.records
        for pair in (
            record.comparisons()
            if isinstance(record, Ranking)
            else [record]
            if isinstance(record, Comparison)
            else []
        )
    ]
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
    low, high = (
        float(betaincinv(k, n - k + 1, 0.025)) if k else 0.0,
        float(betaincinv(k + 1, n - k, 0.975)) if k < n else 1.0,
    )
    verdict: Verdict = "look" if low > 0.6 or high < 0.4 else "note"
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


# --- the template and the tokens
# ----------------------------------------------------------------------------------------------------


def template(p: _Patient) -> list[Finding]:
    """Messages that cannot be rendered, and a model with no end to write."""
    if not p.refused:
        return []
    reasons = Counter(error.what for error in p.refused.values())
    error = next(iter(p.refused.values()))
    return [
        p.found(
            "template",
            "broken",
            f"cannot be rendered: {', '.join(list(reasons)[:3])}",
            error.remedy or "give another template with --model.chat_template",
            list(p.refused),
            lambda i: p.refused[i].where or excerpt(p.records[i]),
        )
    ]


def end_of_turn(p: _Patient) -> list[Finding]:
    """Does what is trained end with a token that the model stops at?"""
    t = p.reader.tokenizer
    if not template_of(t) or p.refused or not p.records or isinstance(p.records[0], Text):
        return []
    found, end = [], end_token_id(t)
    name = t.convert_ids_to_tokens(end)
    if not writes_its_end(t):
        found.append(
            Finding(
                "end-of-turn",
                "look",
                (
                    f"the chat template writes no end token behind an answer; {name} stands in, here in "
                    "training and in sampling"
                ),
                (
                    "a template that writes the end token itself, if other libraries are to train or serve "
                    "the model"
                ),
            )
        )
    if end not in p.reader.stops:
        stops = ", ".join(map(str, t.convert_ids_to_tokens(sorted(p.reader.stops)))) or "nothing"
        found.append(
            Finding(
                "end-of-turn",
                "look",
                (
                    f"answers are trained to end with {name}, and the model's own files stop at {stops}; "
                    "here sampling stops at both"
                ),
                f"add {end} to eos_token_id in its generation_config.json, or other libraries will not stop",
            )
        )
    unfinished = [i for i, record in enumerate(p.records) if ends(record) and not any(ends(record))]
    if unfinished:
        verdict: Verdict = "broken" if len(unfinished) == len(p.records) else p.rare(unfinished)
        found.append(
            p.found(
                "end-of-turn",
                verdict,
                "have no completion that ends: no end token is trained on in them",
                (
                    "sample with a larger max_new_tokens, or take them out: a model learns to stop from "
                    "completions that stop"
                ),
                unfinished,
            )
        )
    return found


def pad_is_end(p: _Patient) -> list[Finding]:
    t = p.reader.tokenizer
    pad = t.pad_token_id
    if pad is not None and pad not in {
        *p.reader.stops,
        *([end_token_id(t)] if template_of(t) and not p.refused else []),
    }:
        return []
    what = f"the pad token is an end token ({t.pad_token})" if pad is not None else "there is no pad token"
    return [
        Finding(
            "pad-is-end",
            "note",
            f"{what}; here masks come from lengths, so the real end is trained on and scored all the same",
            (
                "a pad token of its own, if a library that masks by pad id is to train the model: it would "
                "never learn to stop there"
            ),
        )
    ]


def empty_mask(p: _Patient) -> list[Finding]:
    rows = [
        i for i, sequences in enumerate(p.sequences) if sequences and not teaches(p.records[i], sequences)
    ]
    return (
        [
            p.found(
                "empty-mask",
                "broken",
                "have a sequence in which no token carries the loss",
                "take them out: an empty completion that is not finished, or a template that drops it",
                rows,
            )
        ]
        if rows
        else []
    )


def double_bos(p: _Patient) -> list[Finding]:
    t, found = p.reader.tokenizer, []
    bos = t.bos_token_id
    if bos is None or not p.records:
        return []
    rows = [
        i
        for i, sequences in enumerate(p.sequences)
        if any(sequence.ids[:2] == [bos, bos] for sequence in sequences)
    ]
    if rows:
        found.append(
            p.found(
                "double-bos",
                "broken" if len(rows) > len(p.records) / 2 else "look",
                f"begin with {t.bos_token} twice",
                "take it out of the template, or out of texts that were rendered already",
                rows,
            )
        )
    own = begin_ids(t) == [bos]
    written = [sequences[0].ids[:1] == [bos] for sequences in p.sequences if sequences]
    if own and any(written):
        found.append(
            Finding(
                "double-bos",
                "note",
                (
                    f"the template writes {t.bos_token} and the tokenizer adds it too; here nothing is "
                    "added to what the template writes"
                ),
                "elsewhere, tokenise rendered text with add_special_tokens=False",
            )
        )
    elif own and written and not p.reader.own_template and not isinstance(p.records[0], Text):
        found.append(
            Finding(
                "double-bos",
                "look",
                (
                    f"the tokenizer puts {t.bos_token} before a text, and the chat template does not: the "
                    "model is trained without it"
                ),
                (
                    f"write {{{{ bos_token }}}} at the start of the template, if the model was pretrained "
                    f"with {t.bos_token}"
                ),
            )
        )
    return found


def boundary_merges(p: _Patient) -> list[Finding]:
    """Tokens that would span prompt and completion if both were tokenised in one piece."""
    t = p.reader.tokenizer
    said: dict[int, str] = {}
    for i, record in enumerate(p.records):
        if i in p.refused or not completions_of(record):
            continue
        prompt, completion = prompt_of(record), completions_of(record)[0]
        apart = [*prompt_ids(t, prompt), *completion_ids(t, prompt, completion, finished=False)]
        together = t("".join(texts(t, prompt, completion)), add_special_tokens=False)["input_ids"]
        if apart != together:
            k = next(
                (k for k, (x, y) in enumerate(zip(apart, together, strict=False)) if x != y),
                min(len(apart), len(together)),
            )
            said[i] = (
                f"apart {t.convert_ids_to_tokens(apart[k : k + 3])}, together "
                f"{t.convert_ids_to_tokens(together[k : k + 3])}"
            )
    return (
        [
            p.found(
                "boundary-merges",
                "note",
                "have other tokens where the completion begins when prompt and completion are tokenised in one piece; here they are tokenised apart, "
                "in training as in sampling",
                (
                    "a template that ends its generation prompt with a special token or a line break, if "
                    "another library is to train on this"
                ),
                list(said),
                said.__getitem__,
            )
        ]
        if said
        else []
    )


def special_tokens_in_text(p: _Patient) -> list[Finding]:
    """Turn marks and special tokens that somebody wrote into a text: in an answer or a system message they
    become the real ones.
    """
    pattern = marks(p.reader.tokenizer)
    said = {
        i: f"{match[0]!r} in {text[max(0, match.start() - 20) :][:60]!r}"
        for i, record in enumerate(p.records)
        for text in texts_of(record)
        if (match := pattern.search(text))
    }
    return (
        [
            p.found(
                "special-tokens-in-text",
                "look",
                (
                    "hold a special token or turn mark of this model in their text: in an answer it is read "
                    "as a real one, in a user's turn it is pulled apart"
                ),
                (
                    "take the marks out of answers; elsewhere, break them up before anybody's text reaches "
                    "a model"
                ),
                list(said),
                said.__getitem__,
            )
        ]
        if said
        else []
    )


def too_long(p: _Patient) -> list[Finding]:
    """What is cut to fit or is lost, what differs no more, and pairs that would become identical if their
    ends were cut.
    """
    found: list[Finding] = []
    read = [i for i, sequences in enumerate(p.sequences) if sequences]
    long = [i for i in read if p.needs[i][0] > p.max_length]
    lost = [i for i in long if p.needs[i][1] > p.max_length]
    said = (
        f"({len(long) / max(1, len(p.records)):.1%}) are longer than {p.max_length} tokens (the longest "
        f"{max((p.needs[i][0] for i in long), default=0)}): "
    )
    said += f"{len(long) - len(lost)} are cut (--truncate {p.truncate}) and {len(lost)} are lost"
    remedy = (
        "a larger max_length if the context allows it: the table above says what each keeps; or --truncate "
        "drop, to leave out what would be cut"
    )
    if lost and len(lost) == len(read):
        found.append(
            Finding(
                "too-long",
                "broken",
                f"nothing fits into {p.max_length} tokens, and nothing can be cut to it",
                "a larger max_length, if the model's context holds as many; shorter rows; or another model",
                len(read),
            )
        )
    elif long:
        found.append(
            p.found("too-long", "broken" if len(lost) > len(read) / 2 else p.rare(long), said, remedy, long)
        )
    alike = [
        i
        for i in read
        if isinstance(p.records[i], Comparison) and p.sequences[i][0].ids == p.sequences[i][1].ids
    ]
    cut = [
        i
        for i in long
        if len({tuple(sequence.ids[: p.max_length]) for sequence in p.sequences[i]}) < len(p.sequences[i])
        and i not in alike
    ]
    if cut:
        found.append(
            p.found(
                "alike-when-cut",
                "note",
                (
                    f"would have identical completions if their ends were cut at {p.max_length} tokens, and "
                    "--truncate end would drop them"
                ),
                "a larger max_length before --truncate end, or another library, trains on them",
                cut,
            )
        )
    if alike:
        found.append(
            p.found(
                "same-tokens",
                p.rare(alike),
                "have the same tokens in chosen and rejected, though the texts differ",
                "take them out: training drops them",
                alike,
            )
        )
    return found


def reward_reads_otherwise(p: _Patient) -> list[Finding]:
    """The same chat, rendered by the policy and by the reward model."""
    if p.reward is None or not p.records or isinstance(p.records[0], Text):
        return []
    rows, said = [], {}
    for i in range(min(len(p.records), 200)):
        if i in p.refused:
            continue
        if difference := reads_otherwise(p.reader.tokenizer, p.reward.tokenizer, p.records[i]):
            rows.append(i)
            said[i] = difference
    return (
        [
            p.found(
                "reward-reads-otherwise",
                "broken",
                f"(of the first 200) are read otherwise by the reward model {p.reward.name}",
                "train the reward model from the policy's own SFT model, or give both the same template",
                rows,
                said.__getitem__,
            )
        ]
        if rows
        else []
    )


CHECKS: tuple[Callable[[_Patient], list[Finding]], ...] = (
    unreadable_rows,
    mixed_formats,
    template,
    end_of_turn,
    pad_is_end,
    empty_mask,
    double_bos,
    boundary_merges,
    too_long,
    special_tokens_in_text,
    damaged_text,
    columns_not_read,
    doubtful_rows,
    teaches_nothing,
    roles_out_of_order,
    labels_alike,
    duplicates,
    repeated_prompts,
    contradictions,
    similar_records,
    length_bias,
    leaked_prompts,
    reward_reads_otherwise,
)


# --- parts of records
# ---------------------------------------------------------------------------------------------------------------


def prompt_of(record: Record) -> Prompt:
    if isinstance(record, Text):
        return Prompt.user(record.text)
    return record if isinstance(record, Prompt) else record.prompt


def messages_of(record: Record) -> tuple[Message, ...]:
    return prompt_of(record).messages


def ends(record: Record) -> list[bool]:
    """Whether each completion of the record is finished."""
    match record:
        case Comparison():
            return [record.chosen_finished, record.rejected_finished]
        case Ranking():
            return [completion.finished for completion in record.completions]
        case Completion() | Unpaired():
            return [record.finished]
    return [True] * len(completions_of(record))


def texts_of(record: Record) -> list[str]:
    return [*(message.content for message in messages_of(record)), *completions_of(record)]


def folded(record: Record) -> str:
    """A prompt's words without case and blanks, to find it again."""
    return " ".join(" ".join(message.content for message in messages_of(record)).casefold().split())
