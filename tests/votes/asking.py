"""A store with a task, people and a clock that a test sets."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from alignlab.records import Completion, Prompt, Ranking
from alignlab.votes import assignment, items, people, tasks, voting
from alignlab.votes.store import Store

_numbers = count()


class Clock:
    """Microseconds that stand still until they are set."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000_000

    def __call__(self) -> int:
        return self.now

    def on(self, seconds: float) -> None:
        self.now += int(seconds * 1_000_000)


def ranking(number: int, answers: int = 2, ranks: tuple[int, ...] = ()) -> Ranking:
    prompt = Prompt.user(f"Question {number}?")
    texts = [f"answer {letter} to {number}" for letter in "abcdefghi"[:answers]]
    completions = tuple(Completion(prompt, text, source=f"model-{text[7]}") for text in texts)
    return Ranking(prompt, completions, ranks or tuple(range(1, answers + 1)), "somebody")


def new_id() -> str:
    return f"ballot-{next(_numbers):08}"


class Class:
    """A store with one task."""

    def __init__(self, folder: Path, *, count: int = 4, answers: int = 2, **settings: object) -> None:
        self.folder, self.clock = folder / "studio", Clock()
        self.store = Store.open(self.folder, clock=self.clock)
        about = {"name": "first", "mode": "pair", "held_out": 0.0, "random_share": 0.0} | settings
        self.task = self.store.do(tasks.add_task, tasks.Task(**about))  # type: ignore[arg-type]
        self.added = self.store.do(items.add_items, self.task, [ranking(n, answers) for n in range(count)])

    def join(self, name: str) -> str:
        return self.store.do(people.join, name).id

    def ask(self, person: str, want: int = 1, held: tuple[str, ...] = ()) -> assignment.Asked:
        return self.store.do(assignment.ask, self.task, person, want=want, held=held)

    def vote(self, person: str, lease: str, strength: int = 1, **more: object) -> str:
        """A vote in mode pair; its id."""
        ballot = voting.Ballot(**{"id": new_id(), "lease": lease, "strength": strength} | more)  # type: ignore[arg-type]
        self.store.do(voting.vote_on, person, ballot)
        return ballot.id

    def again(self) -> None:
        """Close the store and open it."""
        self.store.close()
        self.store = Store.open(self.folder, clock=self.clock)
