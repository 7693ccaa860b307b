"""What lies beside a student's functions in exercise 4: a constitution, predictions, the twelve drafts."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from ....constitution import files
from ....constitution.principles import Constitution
from ....errors import DataError
from ....records import Prompt
from ....text.documents import Malformed, from_json, from_toml, read_text

CONSTITUTION, PREDICTIONS = "constitution.toml", "predictions.toml"
NONE = "none"
GIVEN = Path(__file__).parent / "given"


def constitution(folder: Path) -> Constitution:
    """The student's, with whatever lint has against it. Raises DataError: there is none that can be read."""
    return files.read(folder / CONSTITUTION)


@cache
def twelve() -> tuple[tuple[Prompt, str], ...]:
    """The twelve requests and drafts that everybody predicts."""
    lines = read_text(GIVEN / "twelve.jsonl").splitlines()
    rows = [from_json(line) for line in lines]
    return tuple((Prompt.from_json(row), row["draft"]) for row in rows)


def predicted(folder: Path) -> list[str]:
    """Of each of the twelve the id of a principle, or "none"; "" where nothing is said.

    Raises:
        DataError: the file is no TOML.
    """
    try:
        table = from_toml(read_text(folder / PREDICTIONS))
    except OSError:
        table = {}
    except Malformed as error:
        raise DataError(f"{PREDICTIONS} is no TOML: {error}") from None
    return [str(table.get(f"p{n}", "")).strip() for n in range(1, 1 + len(twelve()))]
