"""What is wrong with data."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any, cast

from .. import names
from ..errors import CheckFailed, UserError
from ..settings import ModelSettings

if TYPE_CHECKING:
    from ..data.doctor import Diagnosis
    from ..data.formats import Want
    from ..data.read import Survey


def doctor(
    *,
    data: str,
    model: str,
    reward: str,
    against: str,
    kind: str,
    max_length: int,
    chat_template: str,
    count: int,
) -> dict[str, Any]:
    """Every check of the data for a model; exit code 5 if something is broken."""
    if not data:
        raise UserError("no data is named", remedy="alignlab doctor DATA --model M")
    want = kind or names.data.kind(data)
    found = surveyed(data, want, count)
    other = surveyed(against, "text" if want == "text" else "prompt", 0).records if against else []
    from ..data.doctor import examine
    from ..models.reader import load_reader

    settings = ModelSettings(chat_template=chat_template)
    reader = load_reader(names.models.model(model).path, settings)
    scorer = load_reader(names.models.model(reward).path, settings) if reward else None
    diagnosis = examine(
        found.records,
        found.places,
        reader,
        source=data,
        kind=want,
        max_length=max_length,
        report=found.report,
        broken=found.broken,
        reward=scorer,
        against=other,
        against_name=against,
    )
    return {
        **diagnosis.to_json(),
        "load": found.report.to_json(),
        "model": model,
        "text": said(diagnosis, found, reader.tokenizer, max_length),
        "styled": sys.stdout.isatty(),
        "exit_code": CheckFailed.exit_code if diagnosis.broken else 0,
    }


def surveyed(name: str, want: str, count: int) -> Survey:
    """All of a data name, whatever is wrong with it; sets of the town and mixtures come as training gets
    them.
    """
    from ..data.load_report import LoadReport
    from ..data.mixture import PREFIX
    from ..data.read import Survey, survey

    if not name.startswith(("town:", PREFIX)):
        names.data.check_columns(name)
        names.weights.check_finished(name)
        return survey(name, cast("Want", want), limit=count or None)
    records = list(names.data.read_data(name, want, count=count).records)
    return Survey(
        LoadReport(name, cast("Want", want), len(records), len(records), {want: len(records)}),
        records,
        [f"record {i}" for i in range(1, len(records) + 1)],
    )


def said(diagnosis: Diagnosis, found: Survey, tokenizer: Any, max_length: int = 0) -> str:
    """The findings for people, with the first row of each that the tokens explain; in colour on a
    terminal.
    """
    from rich.console import Console

    from ..data.lengths import told
    from ..data.view import show
    from ..text.escapes import visible

    console = Console(
        file=io.StringIO(), force_terminal=sys.stdout.isatty(), width=160, soft_wrap=True, highlight=False
    )

    def line(text: str, style: str = "") -> None:
        console.print(visible(text), style=style or None, markup=False)

    line(str(found.report))
    if t := diagnosis.tokens:
        line(
            (
                f"{t['sequences']:.0f} sequences: median {t['median']:.0f} tokens, 95 % at most "
                f"{t['p95']:.0f}, longest {t['longest']:.0f}"
            )
            + (
                f"; {t['trained_share']:.1%} of the tokens carry the loss"
                if diagnosis.kind != "prompt"
                else ""
            )
        )
        if len(diagnosis.lengths) > 1:
            line(
                "what each length keeps, where --truncate is "
                f"{diagnosis.truncate}:\n{told(diagnosis.lengths, here=max_length)}"
            )
    styles = {"broken": "bold red", "look": "yellow", "note": ""}
    for finding in diagnosis.findings:
        line(str(finding), styles[finding.verdict])
        if finding.check in SHOW_TOKENS and finding.rows:
            show([found.records[finding.rows[0]]], tokenizer, console=console, most=80)
    line(f"nothing found: {', '.join(diagnosis.passed)}")
    broken = len(diagnosis.broken)
    line(
        f"{broken} broken, {sum(f.verdict == 'look' for f in diagnosis.findings)} to look at"
        if diagnosis.findings
        else "nothing to mend"
    )
    return cast(io.StringIO, console.file).getvalue().rstrip("\n")


SHOW_TOKENS = (
    "empty-mask",
    "double-bos",
    "boundary-merges",
    "special-tokens-in-text",
    "same-tokens",
    "end-of-turn",
)
