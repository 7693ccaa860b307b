"""A campaign in the forms that others read: garak's report, Inspect's log, JUnit for a build server, a page;
and what hit as prompts, for our own commands.

Every form is made from the finished run folder alone. What a model wrote is untrusted: on the page it is
escaped, in XML the characters that XML cannot hold are shown as escapes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...errors import DataError, UserError
from ...models.chat import open_turn
from ...records import Prompt
from ...report.page import render
from ...run import RunInfo, check_file, read_run, whole_file
from ...text.lists import by_comma
from .. import pages, words
from ..finding import findings_of
from .finished import attempts_of
from .garak import garak
from .inspect import inspect
from .junit import junit


def markdown(info: RunInfo) -> str:
    """The campaign as Markdown."""
    return words.markdown(info.summary, findings_of(info.path))


def web(info: RunInfo) -> str:
    """The campaign's page as one HTML file that needs no network."""
    return render(
        pages.page_of(
            info.path,
            info.summary,
            info.config["options"]["judge"],
            info.seed,
            info.versions.get("alignlab", ""),
        )
    )


def prompts(info: RunInfo) -> str:
    """The prompts that hit, each once, as JSON lines that every command reads: to be revised under a
    constitution, or asked of another model. What a prefill put into the assistant's mouth is left out.

    Raises:
        DataError: nothing hit.
    """
    hits: dict[str, Prompt] = {}
    for attempt in attempts_of(info):
        if attempt.hit:
            prompt = open_turn(attempt.prompt)[0]
            hits[prompt.id] = prompt
    if not hits:
        raise DataError(
            "no attempt of this campaign hit: there are no prompts to write",
            where=str(info.path),
            remedy="more attacks or goals (--attacks all, --goals)",
        )
    return "".join(json.dumps(prompt.to_json()) + "\n" for prompt in hits.values())


FORMATS: dict[str, tuple[Callable[[RunInfo], str], str]] = {
    "garak": (garak, "garak.report.jsonl"),
    "inspect": (inspect, "inspect.json"),
    "junit": (junit, "junit.xml"),
    "markdown": (markdown, "report.md"),
    "html": (web, "report.html"),
    "prompts": (prompts, "data/prompts.jsonl"),
}


def export(*, run: str, format: str, out: str) -> dict[str, Any]:
    """`alignlab redteam export RUN --format garak`: the campaign in one of `FORMATS`, several by comma."""
    wanted: Sequence[str] = by_comma(format)
    if unknown := [name for name in wanted if name not in FORMATS]:
        raise UserError(f"there is no format {unknown[0]!r:.40}", remedy="one of: " + ", ".join(FORMATS))
    if out and len(wanted) != 1:
        raise UserError(
            "--out names one file, and several formats are asked for",
            remedy="one format, or no --out: each gets its own file in the run's folder",
        )
    info, written = read_run(run), []
    if info.stage != "redteam" or info.status != "done":
        raise UserError(
            f"{run} is no finished campaign",
            where=f"{info.stage}, {info.status}",
            remedy="the folder of a finished `alignlab redteam`",
        )
    for name in wanted:
        make, usual = FORMATS[name]
        file, text = Path(out) if out else info.path / usual, make(info).encode("utf-8", "backslashreplace")
        check_file(file, ours=lambda content, text=text: not out or content == text)
        with whole_file(file) as staging:
            staging.write_bytes(text)
        written.append(str(file))
    return {"files": written, "text": "\n".join(written)}
