"""A class that votes at once: how long a vote takes until it is on the disk, and how long agreement takes.

    python benchmarks/votes.py --people 30 --votes 100 --folder /tmp

Each person is a thread that asks and votes as fast as it is answered, which is faster than any person. Beside
it stands what the disk takes for one sync by itself.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from alignlab.records import Completion, Prompt, Ranking
from alignlab.votes import assignment, figures, items, people, tasks, voting
from alignlab.votes.store import Store, audit


def timed(done: Callable[[], Any], milliseconds: list[float]) -> Any:
    begun = time.perf_counter()
    result = done()
    milliseconds.append(1000 * (time.perf_counter() - begun))
    return result


def said(name: str, milliseconds: list[float]) -> str:
    low, high = np.percentile(milliseconds, [50, 95])
    return f"{name:<28} median {low:8.2f} ms   p95 {high:8.2f} ms   n {len(milliseconds)}"


def syncs(folder: Path) -> list[float]:
    """What the disk takes to sync a page that was appended."""
    found: list[float] = []
    with open(folder / "page", "wb", buffering=0) as file:
        for _ in range(200):
            file.write(bytes(4096))
            timed(lambda: os.fdatasync(file.fileno()), found)
    return found


def class_of(store: Store, task: str, names: list[str], each: int) -> tuple[list[float], list[float]]:
    """Milliseconds of every question and of every vote."""
    asking: list[float] = []
    saving: list[float] = []

    def votes(person: str) -> None:
        for number in range(each):
            asked = timed(lambda: store.do(assignment.ask, task, person), asking).items
            if not asked:
                return
            strength = hash((person, number)) % 7 - 3
            ballot = voting.Ballot(id=f"{person}-{number:05}", lease=asked[0].lease, strength=strength)
            timed(lambda ballot=ballot: store.do(voting.vote_on, person, ballot), saving)

    threads = [threading.Thread(target=votes, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return asking, saving


def pair(number: int) -> Ranking:
    prompt = Prompt.user(f"Question {number}?")
    return Ranking(prompt, (Completion(prompt, f"one {number}"), Completion(prompt, f"two {number}")), (1, 2))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, default=30)
    parser.add_argument("--votes", type=int, default=100, help="of each")
    parser.add_argument("--folder", type=Path, default=None, help="where the disk is that is measured")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        print(said("one sync of the disk", syncs(Path(folder))))
        with Store.open(Path(folder) / "studio", url="") as store:
            about = tasks.Task(name="class", mode="pair", overlap=3)
            task = store.do(tasks.add_task, about)
            needed = -(-given.people * given.votes // about.overlap)
            store.do(items.add_items, task, map(pair, range(needed)))
            names = [store.do(people.join, f"person {n}").id for n in range(given.people)]
            begun = time.perf_counter()
            asking, saving = class_of(store, task, names, given.votes)
            seconds = time.perf_counter() - begun
            print(said("what next", asking), said("a vote on the disk", saving), sep="\n")
            print(f"{len(saving)} votes in {seconds:.1f} s")
            agreeing: list[float] = []
            with store.reading() as connection:
                votes = figures.votes_of(connection, task)
                for _ in range(5):
                    timed(lambda: figures.agreement(votes), agreeing)
                print(said(f"agreement of {len(votes)} votes", agreeing))
                print(f"history whole: {audit(connection).whole}")


if __name__ == "__main__":
    main()
