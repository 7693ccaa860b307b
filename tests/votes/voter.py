"""A process that votes until it is killed: `voter.py FOLDER TASK PEOPLE`. It prints the id of a vote once it
was told that the vote is saved. `--synchronous=1` syncs less than the store does.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from alignlab.votes import assignment, database, voting
from alignlab.votes.store import Store


def main(folder: str, task: str, people: list[str]) -> None:
    store = Store.open(Path(folder))
    lock = threading.Lock()

    def votes(person: str) -> None:
        number = 0
        while asked := store.do(assignment.ask, task, person, want=3).items:
            for each in asked:
                ballot = voting.Ballot(id=f"{person}-{each.lease}", lease=each.lease, strength=number % 7 - 3)
                store.do(voting.vote_on, person, ballot)
                number += 1
                with lock:
                    print(ballot.id, flush=True)

    threads = [threading.Thread(target=votes, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    for option in [word for word in sys.argv if word.startswith("--")]:
        database.DURABLE["wal"] = int(option.partition("=")[2])
        sys.argv.remove(option)
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
