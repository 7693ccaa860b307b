"""What there is to ask people about: rankings, and answers of runs to the same prompts, read out of the
folder by the ids of its runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

from ..data.read import records_of
from ..errors import DataError
from ..records import Completion, Message, Prompt, Ranking, role_of
from ..run import derive_seed
from ..text.documents import Malformed
from . import lists, schema
from .answers.beside import by_prompt, evaluation_of, rows_of
from .desk import Desk
from .heads import Head
from .inside import clean, number, row_of
from .problems import Refused
from .samples import completion_of, prompt_of
from .scan import below
from .shelf import Seen
from .watched import Watched

MOST_LINE = 2**20  # bytes of a ranking
MOST_READ = 2**28  # bytes of rankings of one run
FILES = ("data/rankings.jsonl", "data/rankings_test.jsonl")
MOST_SCORED = 200_000  # answers whose scores are looked up


def rankings_of(desk: Desk, asked: schema.Sourced) -> list[Ranking]:
    """All that could be asked about, in the order of the files. Raises Refused: 404 no such run, 422 nothing
    of the kind in it.
    """
    seen = desk.shelf.look()
    heads = [seen.find(run) for run in dict.fromkeys(asked.runs)]
    if asked.source != "eval" and len(heads) != 1:
        raise Refused(422, "rankings and steps are of one run", field="runs")
    match asked.source:
        case "rankings":
            found = _rankings(desk, heads[0])
        case "eval":
            found = _answered(desk, seen, heads)
        case "steps":
            found = _at_steps(desk.watch.of(heads[0]), asked)
    if not found:
        raise Refused(422, WITHOUT[asked.source], where=seen.name_of(heads[0].path), field="runs")
    return found


WITHOUT = {
    "rankings": "this run has no rankings",
    "eval": "these runs have no prompt in common that all of them answered",
    "steps": "no prompt was answered at both steps",
}


def _rankings(desk: Desk, head: Head) -> list[Ranking]:
    """Rankings of a run, held-out ones included, looked at as those of any file are."""
    rows = [row for name in FILES for row in _rows(desk, below(head.folder, name))]
    if not rows:
        return []
    try:
        return records_of(rows, "ranking", name="its rankings").records
    except DataError as error:
        raise Refused(422, error.what, where=error.where, remedy=error.remedy, field="runs") from None


def _rows(desk: Desk, path: str) -> Iterator[dict[str, Any]]:
    try:
        file = desk.inside.binary(path)
    except OSError:
        return
    with file:
        read = 0
        while line := file.readline(MOST_LINE + 1):
            read += len(line)
            if len(line) > MOST_LINE or read > MOST_READ:
                raise Refused(422, "its rankings are too long", field="runs")
            try:
                yield row_of(line)
            except Malformed as error:
                raise Refused(422, f"its rankings cannot be read: {error}", field="runs") from None


def _answered(desk: Desk, seen: Seen, heads: Sequence[Head]) -> list[Ranking]:
    """The same prompts as each run answered them."""
    if len(heads) < 2:
        raise Refused(422, "answers of two runs or more stand beside each other", field="runs")
    answers = []
    for head in heads:
        measured = evaluation_of(seen, head)
        answers.append(by_prompt(rows_of(desk.watch.of(measured))) if measured else {})
    found = []
    for name, first in answers[0].items():
        rows = [first, *(other[name] for other in answers[1:] if name in other)]
        prompt = prompt_in_row(first)
        if prompt and len(rows) == len(heads) and all(prompt_of(row) == prompt_of(first) for row in rows):
            named = zip(heads, rows, strict=True)
            found.append(_beside(prompt, [(seen.name_of(head.path), row) for head, row in named]))
    return found


def _at_steps(watched: Watched, asked: schema.Sourced) -> list[Ranking]:
    """Answers of one run at two steps: of its probes, or where it has none of samples of the same prompts."""
    if asked.a is None or asked.b is None or asked.a == asked.b:
        raise Refused(422, "two steps are compared: a and b", field="a")
    wanted = (float(asked.a), float(asked.b))
    sides: list[dict[str, Mapping[str, Any]]] = [{}, {}]
    for row in _probes(watched) or _samples(watched):
        step = number(row.get("step"))
        if step in wanted and (prompt := prompt_in_row(row)):
            sides[wanted.index(step)].setdefault(prompt.id, row)
    found = []
    for id, row in sides[0].items():
        if (other := sides[1].get(id)) and (prompt := prompt_in_row(row)):
            found.append(_beside(prompt, [(f"step {asked.a}", row), (f"step {asked.b}", other)]))
    return found


def _probes(watched: Watched) -> list[Mapping[str, Any]]:
    watched.catch_up("probes")
    with watched.lock("probes"):
        return lists.read(watched, "probes", watched.probes.whole(watched.probes.rows).tolist()[:MOST_SCORED])


def _samples(watched: Watched) -> list[Mapping[str, Any]]:
    watched.wait()
    watched.catch_up("samples")
    with watched.lock("samples"):
        index = watched.samples
        return lists.read(watched, "samples", index.whole(index.rows).tolist()[:MOST_SCORED])


def _beside(prompt: Prompt, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> Ranking:
    """Answers in an order of the prompt's own, so that which stands first says nothing of whose it is."""
    drawn = Random(derive_seed(0, "beside", prompt.id)).sample(list(rows), len(rows))
    completions = tuple(
        Completion(prompt, completion_of(row), finished=row.get("finished") is not False, source=name)
        for name, row in drawn
    )
    return Ranking(prompt, completions, (1,) * len(completions))


def prompt_in_row(row: Mapping[str, Any]) -> Prompt | None:
    """What was asked in a row of samples; None where it is no question."""
    meta = row.get("meta")
    try:
        messages = tuple(Message(role_of(said.role), said.content) for said in prompt_of(row))
    except DataError:
        return None
    return Prompt(messages, clean(meta) if isinstance(meta, dict) else {}) if messages else None


# --- what a reward model thinks of answers, as runs wrote it down


def scores_of(desk: Desk, run: str) -> dict[tuple[str, str], float]:
    """Rewards by prompt and answer: of the samples of a run, or for a reward model's own run of those that
    were made with it. Raises Refused: 404, and 422 where nothing was scored.
    """
    seen = desk.shelf.look()
    head = seen.find(run)
    heads = [head]
    if head.stage == "reward":
        heads = [seen.heads[path] for path in seen.families[head.path].children]
    found: dict[tuple[str, str], float] = {}
    for each in heads:
        for row in _samples(desk.watch.of(each)):
            score, prompt = number(row.get("proxy")), prompt_in_row(row)
            if score is not None and prompt:
                found[prompt.id, completion_of(row)] = score
    if not found:
        raise Refused(
            422,
            "no scores of a reward model lie in this run, nor in those made with it",
            where=seen.name_of(head.path),
            remedy="a run of ppo, rloo, grpo or online-dpo, with --keep-samples all",
            field="judge",
        )
    return found
