"""`alignlab redteam judge FILE`: rows of prompt and completion in, the same rows with a label and P(refuses)
out; and the queue for a human.

Every row comes back, in order. One that no judge can read (no completion, a number in place of a text, a line
that is not JSON) comes back unscored, with the reason; it is never dropped from a count.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from .. import names
from ..data.files import file_rows, read_by
from ..data.formats import COMPLETIONS, PROMPTS, PROMPTS_BESIDE, Row, messages, truth, unpacked
from ..data.plain import byte_lines, open_plain
from ..errors import DataError, UserError
from ..feedback.safety.verdicts import LABELS, Label, Verdict, VerdictJudge, count_labels, judge_all, unscored
from ..names import known
from ..records import Completion, Message, Prompt
from ..run import check_file, whole_file
from ..text.documents import Malformed, from_json
from ..text.escapes import one_line
from ..text.lists import by_comma

BATCH = 256


# --- rows


@dataclass(slots=True)
class Judged:
    """One row of the file: what stood there, the completion read from it (None where that failed, with the
    reason) and each judge's verdict.
    """

    row: Any
    completion: Completion | None
    fault: str = ""
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    human: str = ""

    @property
    def id(self) -> str:
        """Sixteen hex digits of prompt and completion: what a human's label is found by."""
        text = json.dumps(
            self.row if self.completion is None else self.completion.to_json(), sort_keys=True, default=str
        )
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def verdict(self) -> Verdict:
        """The first judge's, unless a human has said."""
        first = next(iter(self.verdicts.values()))
        if self.human:
            p = float(self.human in ("refusal", "partial"))
            label = cast("Label", self.human)
            return Verdict.of(label, p, reason="a human says so", parts=first.parts)
        return first

    @property
    def labels(self) -> dict[str, str | None]:
        """What each judge says."""
        return {name: verdict.label for name, verdict in self.verdicts.items()}

    @property
    def disagreement(self) -> str:
        """Why a human should look, or the empty string: the first judge is unsure or has no label, or two
        judges differ.
        """
        if self.completion is None:
            return ""
        if len(set(self.labels.values()) - {None}) > 1:
            each = [f"{name} says {label or 'nothing'}" for name, label in self.labels.items()]
            return "judges differ: " + ", ".join(each)
        first = next(iter(self.verdicts.values()))
        if not first.scored:
            return "unscored: " + first.reason
        return first.reason if first.unsure else ""

    def to_json(self) -> dict[str, Any]:
        row = dict(self.row) if isinstance(self.row, Mapping) else {"row": self.row}
        if "label" in row:
            row["given_label"] = row["label"]
        row |= self.verdict().to_json()
        others = list(self.verdicts.items())[1:]
        if others:
            row["others"] = {name: verdict.to_json() for name, verdict in others}
        return row


def completion_of(row: Any) -> Completion:
    """The completion of a row: prompt as text or messages, completion as text, one assistant message, or null
    for an empty one.

    Raises:
        DataError: it has none, or of another type.
    """
    if not isinstance(row, Mapping):
        raise DataError(f"the row is a {type(row).__name__}, not an object with prompt and completion")
    read = Row(row)
    prompt = read.first(PROMPTS) or read.first(PROMPTS_BESIDE)
    answer = next((name for name in COMPLETIONS if name in read.columns), "")
    if not prompt or not answer:
        raise DataError(
            f"the row has no {'completion' if prompt else 'prompt'} (its columns: "
            f"{', '.join(map(str, row))!r:.80})"
        )
    request, text = unpacked(read[prompt], prompt), unpacked(read[answer], answer)
    if request == [] or isinstance(request, str):  # one turn: an attack may look like HH's turns
        turns = (Message("user", request or ""),)
    else:
        turns = messages(request, prompt)
    if isinstance(text, Mapping) or (isinstance(text, list) and len(text) == 1):
        text = messages(text, answer)[0].content
    if not isinstance(text, str | None):
        raise DataError(f"{answer} is a {type(text).__name__}, not a text")
    meta: dict[str, Any] = {}
    if isinstance(row.get("meta"), Mapping):
        meta |= row["meta"]
    for name in ("goal", "canary", "nonce", "expected"):
        if isinstance(row.get(name), str):
            meta[name] = row[name]
    finished = truth(read.get("finished"), "finished", True)
    return Completion(Prompt(turns, meta), text or "", finished=finished)


def rows_of(path: Path) -> Iterator[tuple[Any, str]]:
    """(row, fault) of a file; fault says why a line of JSONL is no row. Other files (JSON, CSV, Parquet) are
    read whole or not at all.
    """
    if not path.is_file():
        raise DataError(
            "no such file" if not path.exists() else "not a file",
            where=str(path),
            remedy="a JSONL, JSON, CSV or Parquet file of prompts and completions",
        )
    name = path.name.lower().removesuffix(".gz")
    if name.endswith((".csv", ".parquet", ".json")):
        for _, row in file_rows(path):
            yield row, ""
        return
    yield from (pair for _, pair in read_by(path, _lines))


def _lines(path: Path) -> Iterator[tuple[int, tuple[Any, str]]]:
    with open_plain(path) as file:
        for number, line in byte_lines(file, path):
            text = line.decode("utf-8", "replace").removeprefix("\ufeff")
            if not text.strip():
                continue
            try:
                yield number, (from_json(text, strict=False), "")
            except Malformed as error:
                yield number, (text[:200], f"line {number} is not JSON: {error}")


def judge_rows(rows: Iterator[tuple[Any, str]], judges: Sequence[VerdictJudge]) -> Iterator[Judged]:
    """Every row with what each judge says of it, in order."""
    batch: list[Judged] = []
    for row, fault in rows:
        item = Judged(row, None, fault)
        if not fault:
            try:
                item.completion = completion_of(row)
            except DataError as error:
                item.fault = error.what
        batch.append(item)
        if len(batch) == BATCH:
            yield from _judged(batch, judges)
            batch = []
    yield from _judged(batch, judges)


def _judged(batch: list[Judged], judges: Sequence[VerdictJudge]) -> list[Judged]:
    sound: list[Judged] = []
    completions: list[Completion] = []
    for item in batch:
        if item.completion is not None:
            sound.append(item)
            completions.append(item.completion)
    for judge in judges:
        for item, verdict in zip(sound, judge_all(judge, completions), strict=True):
            item.verdicts[judge.name] = verdict
        for item in batch:
            item.verdicts.setdefault(judge.name, unscored(item.fault))
    return batch


# --- the queue


def write_queue(path: Path, items: Sequence[Judged]) -> int:
    """Rows for a human, one a line, with a `human_label` to fill in, empty where nobody has yet; returns how
    many. Whole or not at all.
    """
    with whole_file(path) as staging, open(staging, "w", encoding="utf-8") as file:
        for item in items:
            row = {
                "id": item.id,
                "human_label": item.human,
                "why": item.disagreement,
                "said": item.labels,
                "choices": list(LABELS),
            }
            if item.completion:
                row |= {"prompt": item.completion.prompt.text, "completion": item.completion.text}
            file.write(json.dumps(row) + "\n")
    return len(items)


def untouched(content: bytes) -> bool:
    """Whether a file is a queue that nobody has filled in yet."""
    unfilled = re.compile(rb'{"id": "[^"]*", "human_label": "", "why": ')
    return all(map(unfilled.match, content.splitlines()))


def read_queue(path: Path) -> dict[str, str]:
    """Labels by row id from a queue that a human has gone through; rows left empty are not in it.

    Raises:
        DataError: a label that is none of the four.
    """
    labels = {}
    for number, (row, fault) in enumerate(rows_of(path), 1):
        if fault or not isinstance(row, Mapping) or "id" not in row:
            raise DataError(
                fault or "the row is none of a queue: it has no id",
                where=f"{path}:{number}",
                remedy="a file that --queue wrote, with human_label filled in",
            )
        label = str(row.get("human_label") or "").strip().lower()
        if label and label not in LABELS:
            raise DataError(
                f"human_label is {label!r:.40}",
                where=f"{path}:{number}",
                remedy="one of: " + ", ".join(LABELS),
            )
        if label:
            labels[str(row["id"])] = label
    return labels


# --- the command


def judge_command(file: str, judge: str, queue: str, human: str) -> dict[str, Any]:
    """Judge the rows of a file. `lines` are the rows as JSON, all in ASCII, so that no control character
    reaches a terminal.
    """
    if not file:
        raise UserError(
            "no file to judge", remedy="alignlab redteam judge FILE.jsonl, with rows of prompt and completion"
        )
    judges = list(map(names.judges.verdicts, by_comma(judge)))
    if not judges:
        raise UserError(
            "no judge", remedy=f"--judge, comma separated, the first decides: {', '.join(known.VERDICTS)}"
        )
    if queue:
        check_file(Path(queue), ours=untouched, option="--queue")
    by_human = read_queue(Path(human)) if human else {}
    items = list(judge_rows(rows_of(Path(file)), judges))
    if not any(item.completion for item in items):
        raise DataError(
            f"no row can be judged: {items[0].fault}" if items else "the file holds no rows",
            where=file,
            remedy="rows of prompt and completion, one JSON object a line",
        )
    for item in items:
        item.human = by_human.get(item.id, "")
    counts = count_labels([item.verdict() for item in items])
    result: dict[str, Any] = {
        "file": file,
        "judges": [one.name for one in judges],
        "n": len(items),
        "counts": counts,
        "unscored": counts["unscored"],
        "human": sum(bool(item.human) for item in items),
    }
    counted = ", ".join(f"{count} {label}" for label, count in counts.items() if count)
    line = f"{file}: {len(items)} rows, {counted}"
    if queue:
        disputed = [item for item in items if item.disagreement and not item.human]
        result["queue"] = {"file": queue, "rows": write_queue(Path(queue), disputed)}
        line += f"; {len(disputed)} to look at in {queue}"
    print(one_line(line), file=sys.stderr, flush=True)
    rows = [item.to_json() for item in items]
    return result | {"rows": rows, "lines": map(json.dumps, rows)}
