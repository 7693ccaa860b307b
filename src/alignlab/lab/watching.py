"""What a loop of one's own says while it runs, and what it comes to: curves in the terminal, a run folder, a
page.
"""

from __future__ import annotations

import atexit
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..records import Completion
from ..run import RunDir
from ..text.streams import say

FOLDER = Path("runs/lecture/demos")
BLOCKS = "▁▂▃▄▅▆▇█"
EVERY = 5.0
"""Seconds between two lines where there is no terminal."""
Points = tuple["list[int]", "list[float]"]


class Watch:
    """A run of one's own loop. Use `watch`.

    Attributes:
        path: its folder.
        verdicts: what was claimed, and whether it held.
    """

    def __init__(self, run: RunDir, name: str, settings: Mapping[str, Any], cover: str = "") -> None:
        self.run, self.name, self.settings, self.cover = run, name, dict(settings), cover
        self.verdicts: list[dict[str, Any]] = []
        self.series: dict[str, dict[str, Points]] = {}
        self.path = run.out
        self._started, self._cpu, self._said = time.perf_counter(), time.process_time(), 0.0
        self._asked: dict[str, str] = {}
        self._answers: dict[str, list[dict[str, Any]]] = {}
        self._charts: list[dict[str, Any]] = []
        self._live: Any = None

    def predict(self, question: str, *options: str) -> str:
        """Ask for a prediction on a terminal, by a letter from A; "" where nobody sits at one."""
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return ""
        letters = "ABCDEFGH"[: len(options)]
        say("\n" + question)
        for letter, option in zip(letters, options, strict=True):
            say(f"  {letter}: {option}")
        answer = ""
        while answer not in (*letters, "-"):
            answer = _typed(f"your prediction ({', '.join(letters)}; - for none): ").upper()
        self._asked[question] = options[letters.index(answer)] if answer in letters else ""
        return self._asked[question]

    def log(self, step: int, arm: str = "", /, **numbers: Any) -> None:
        """Numbers of a step, each a point of a curve of its name; with several arms a curve for each."""
        row = {name: float(getattr(number, "detach", lambda: number)()) for name, number in numbers.items()}
        self.run.log(step, {f"{name} {arm}".strip(): number for name, number in row.items()})
        for name, number in row.items():
            steps, values = self.series.setdefault(name, {}).setdefault(arm, ([], []))
            steps.append(step)
            values.append(number)
        self._show()

    def answers(self, step: int, completions: Sequence[Completion], arm: str = "") -> None:
        """Answers to the same few prompts at a step, to see them change; the town's are judged."""
        from .answers import judge

        scores: list[Any] = [None] * len(completions)
        if all({"kind", "params"} <= set(c.prompt.meta) for c in completions):
            scores = list(judge("town:gold").score(completions))
        rows = []
        for completion, score in zip(completions, scores, strict=True):
            known = {"gold": score.value, "reason": score.reason} if score else {}
            rows.append({"arm": arm, **completion.to_json(), **known})
            shown = _said(step, arm, completion, score)
            self._answers.setdefault(completion.prompt.text, []).append(shown)
        self.run.log_samples(step, rows)

    def chart(self, svg: str, caption: str) -> None:
        """A chart of `alignlab.report.charts` for the page."""
        from ..report.charts import captioned

        self._charts.append(captioned(svg, caption))

    def verdict(
        self,
        claim: str,
        values: Sequence[float],
        *,
        at_least: float = -math.inf,
        at_most: float = math.inf,
        contrary: str,
    ) -> bool:
        """Whether a claim held: the mean of the values (of answers, 1 for yes and 0 for no; or of paired
        differences) within the bar. It is printed as a card, with an interval of 95 %.

        Args:
            contrary: what would have shown that the claim is wrong.
        """
        from ..evals.statistics import mean_ci

        found = mean_ci([float(value) for value in values])
        bar = f"at least {at_least:g}" if at_most == math.inf else f"at most {at_most:g}"
        held = found["mean"] is not None and at_least <= found["mean"] <= at_most
        row = {"claim": claim, **found, "bar": bar, "held": held, "contrary": contrary}
        self.verdicts.append(row)
        return held

    def done(self) -> Path:
        """Print the verdicts, keep the run and its page; say where. Returns the run folder."""
        from ..report.page import write_page

        if self._live:
            if self.cover:
                self._live.stop()
                _typed(f"Enter uncovers {self.cover}: ")
                self.cover = ""
                self._live.start()
                self._show()
            self._live.stop()
        seconds, cpu = time.perf_counter() - self._started, time.process_time() - self._cpu
        self._print_cards(seconds)
        spent = {"seconds": seconds, "cpu_seconds": cpu}
        self.run.path.mkdir(parents=True, exist_ok=True)
        write_page(self._content(seconds), self.run.path / "page.html")
        self.run.finish({"verdicts": self.verdicts, "predicted": self._asked, **spent})
        say(f"\n{self.name}: {self.path}/page.html")
        return self.path

    # below: how

    def _show(self) -> None:
        """The curves so far: a table on a terminal, a line now and then elsewhere."""
        if self._live is None and sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), refresh_per_second=4)
            self._live.start()
            atexit.register(self._live.stop)  # a loop that fails gives the terminal back
        if self._live:
            self._live.update(self._table())
        elif time.perf_counter() - self._said > EVERY:
            self._said = time.perf_counter()
            last = [
                f"{name}{f' ({arm})' if arm else ''} {values[-1]:.3g}"
                for name, arms in self.series.items()
                if name != self.cover
                for arm, (_, values) in list(arms.items())[-1:]
            ]
            say(f"{self.name}: " + ", ".join(last))

    def _table(self) -> Any:
        from rich.table import Table

        table = Table(title=self.name, title_justify="left")
        for head in ("", "arm", "", "first", "now"):
            table.add_column(head)
        for name, arms in self.series.items():
            low = min(min(values) for _, values in arms.values())
            high = max(max(values) for _, values in arms.values())
            for arm, (_, values) in arms.items():
                shown = spark(values, low, high), f"{values[0]:.3g}", f"{values[-1]:.3g}"
                if name == self.cover:
                    shown = "covered", "", ""
                table.add_row(name, arm, *shown)
        return table

    def _print_cards(self, seconds: float) -> None:
        where = f"seed {self.run.seed}, {seconds:.0f} s, run {self.run.key[:12]}"
        for row in self.verdicts:
            say(f"\n{'PASS' if row['held'] else 'FAIL'}  {row['claim']}")
            say(f"      {_figure(row)}; bar: {row['bar']}; {where}")
            say(f"      the contrary would have been: {row['contrary']}")

    def _content(self, seconds: float) -> dict[str, Any]:
        """What the page shows (`report.page`)."""
        from ..report.charts import captioned, lines

        curves = [
            captioned(
                lines({arm or name: line for arm, line in arms.items()}, title=name, x="step", y=name), ""
            )
            for name, arms in self.series.items()
        ]
        verdicts = {
            "heads": ["claim", "measured (95 %, n)", "bar", "held", "the contrary would have been"],
            "rows": [
                [row["claim"], _figure(row), row["bar"], "PASS" if row["held"] else "FAIL", row["contrary"]]
                for row in self.verdicts
            ],
        }
        predicted = [f"{question} {answer or 'No prediction.'}" for question, answer in self._asked.items()]
        answers = [
            {"label": "", "prompt": prompt, "answers": shown} for prompt, shown in self._answers.items()
        ]
        return {
            "title": f"Demo: {self.name}",
            "lead": ", ".join(f"{name} {value}" for name, value in self.settings.items()),
            "provenance": f"Seed {self.run.seed}, run {self.run.key[:12]}, {seconds:.0f} s.",
            "sections": [
                {"title": "What was claimed", "table": verdicts},
                {"title": "What you predicted", "text": predicted},
                {"title": "What was measured", "charts": self._charts},
                {"title": "Curves", "charts": curves},
                {
                    "title": "The same prompts, again and again",
                    "examples_title": "Greedy answers, step by step",
                    "examples": answers,
                },
            ],
            "glossary": [
                ("[end]", "The answer came to an end by itself; [cut]: it was cut at the longest length."),
                ("gold", "The judge of the town, who knows what is true; nothing learns from it here."),
            ],
        }


def watch(
    name: str, *, seed: int = 0, folder: str | Path = FOLDER, cover: str = "", **settings: Any
) -> Watch:
    """Watch a loop of one's own, as a run in a folder of its own: FOLDER/NAME-1, NAME-2 and so on.

    Args:
        cover: a curve that the terminal does not show before the end, so that it can be predicted.
        settings: what was set, for the run's configuration.
    """
    number = 1
    while any((Path(folder) / f"{name}-{number}{end}").exists() for end in ("", ".partial")):
        number += 1
    out = Path(folder) / f"{name}-{number}"
    return Watch(RunDir.open(out, stage=f"demo-{name}", config=settings, seed=seed), name, settings, cover)


def spark(values: Sequence[float], low: float, high: float, width: int = 40) -> str:
    """A curve as a line of blocks, from low to high; the newest values where there are more than `width`.

    >>> spark([0.0, 0.5, 1.0], 0.0, 1.0)
    '▁▅█'
    """
    span = (high - low) or 1.0
    places = [round((value - low) / span * 7) if math.isfinite(value) else 0 for value in values[-width:]]
    return "".join(BLOCKS[min(7, max(0, place))] for place in places)


def _typed(asked: str) -> str:
    """A line of whoever sits at the terminal; "-" where he has left it."""
    try:
        return input(asked).strip()
    except EOFError:
        return "-"


def _figure(row: Mapping[str, Any]) -> str:
    if row["mean"] is None:
        return "nothing was measured"
    between = f" [{row['ci'][0]:.3f}, {row['ci'][1]:.3f}]" if row["ci"] else ""
    return f"{row['mean']:.3f}{between} (n = {row['n']})"


def _said(step: int, arm: str, completion: Completion, score: Any) -> dict[str, Any]:
    """One answer, as the page shows it."""
    return {
        "model": f"{f'{arm}, ' if arm else ''}step {step}",
        "text": completion.text + (" [end]" if completion.finished else " [cut]"),
        "verdict": f"gold {score.value:.2f}: {score.reason}" if score else "",
        "good": score.value >= 0.5 if score else None,
    }
