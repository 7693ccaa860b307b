"""Where a student's votes lie: one file of rankings."""

from __future__ import annotations

from pathlib import Path

from ....data.read import load_records
from ....records import Ranking

VOTES = "votes.jsonl"


def votes_in(folder: Path) -> list[Ranking]:
    """The rankings of a student's file; none where there is no file. Raises DataError for a broken one."""
    file = folder / VOTES
    if not file.is_file():
        return []
    return [ranking for ranking in load_records(file, "ranking").records if len(ranking.ranks) == 2]
