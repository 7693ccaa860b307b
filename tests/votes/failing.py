"""A process that votes while its disk fails now and then: `failing.py FOLDER TASK PERSON POINTS`, with the
recorder loaded. It sends everything until it is saved, and prints the id of each vote and how often it was
not saved.
"""

from __future__ import annotations

import ctypes
import errno
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alignlab.votes import assignment, voting
from alignlab.votes.errors import NotSaved
from alignlab.votes.store import Store


def main(folder: str, task: str, person: str, points: int) -> None:
    fail = ctypes.CDLL(None).recorder_fail
    rng, store, refused = random.Random(0), Store.open(Path(folder)), 0

    def saved(operation: Callable[..., Any], *about: Any) -> Any:
        nonlocal refused
        while True:
            try:
                return store.do(operation, *about)
            except NotSaved:
                refused += 1

    for _ in range(points):
        fail(rng.randrange(12), rng.randrange(1, 6), rng.choice((errno.ENOSPC, errno.EIO)))
        asked = saved(assignment.ask, task, person).items[0]
        ballot = voting.Ballot(id=f"ballot-{asked.lease}", lease=asked.lease, strength=rng.randrange(-3, 4))
        saved(voting.vote_on, person, ballot)
        print(ballot.id, refused, flush=True)
    fail(0, 0, 0)
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]))
