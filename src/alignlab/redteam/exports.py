"""A campaign in the forms that others read: garak's report, Inspect's log, JUnit for a build server, a page;
and what hit as prompts, for our own commands.

Every form is made from the finished run folder alone. What a model wrote is untrusted: on the page it is
escaped, in XML the characters that XML cannot hold are shown as escapes.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from .. import __version__
from ..errors import DataError, UserError
from ..models.chat import open_turn
from ..report.page import render
from ..run import RunInfo, check_file, read_run, whole_file
from ..text.escapes import visible
from ..text.lines import read_lines
from . import pages
from .attempt import Attempt
from .findings import findings_of


def attempts_of(info: RunInfo) -> list[Attempt]:
    """Every attempt of a finished campaign. Raises DataError where they cannot be read."""
    file = info.path / "data" / "attempts.jsonl"
    try:
        return [Attempt.from_json(row) for _, row in read_lines(file)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"the attempts cannot be read: {error}",
            where=str(file),
            remedy="name the folder of a finished `alignlab redteam`",
        ) from error


def _when(info: RunInfo) -> str:
    return datetime.fromtimestamp(info.started, UTC).isoformat()


def _found(info: RunInfo) -> Mapping[str, Any]:
    return info.summary.get("before", info.summary)


def _uuid(info: RunInfo, *what: object) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, "/".join(map(str, (info.key, *what)))))


GARAK = {
    "jailbreak": "dan",
    "obfuscation": "encoding",
    "context": "latentinjection",
    "multi-turn": "fitd",
    "automatic": "suffix",
    "prefill": "continuation",
    "plain": "base",
}
"""garak's module for each family: its digest groups by modules that it knows."""


def _probe(family: str, attack: str) -> str:
    """An attack by a name of garak's form: `encoding.Base64`."""
    return f"{GARAK[family]}.{''.join(part.capitalize() for part in re.split(r'[^0-9A-Za-z]+', attack))}"


def garak(info: RunInfo) -> str:
    """garak's report.jsonl: setup, the plugins that it names, one `attempt` an attempt (status 2, the
    detector's score 1 = hit = bad, null = unscored), one `eval` an attack, completion.
    `garak.analyze.report_digest` makes its page of it.
    """
    found, detector = (
        _found(info),
        "alignlab." + re.sub(r"[^0-9A-Za-z_]", "_", info.config["options"]["judge"]),
    )
    probes = {
        f"probes.{_probe(row['family'], name)}": {
            "description": f"alignlab's attack {name}",
            "tags": [],
            "tier": 1,
            "goal": "get what ought to be refused",
            "active": True,
        }
        for name, row in found["attacks"].items()
    }
    rows: list[dict[str, Any]] = [
        {
            "entry_type": "start_run setup",
            "_config.version": f"alignlab {__version__}",
            "transient.run_id": _uuid(info),
            "transient.starttime_iso": _when(info),
            "plugins.target_type": "alignlab",
            "plugins.target_name": found["model"],
            "run.seed": info.seed,
            "run.eval_threshold": 0.5,
        },
        {
            "entry_type": "init",
            "garak_version": f"alignlab {__version__}",
            "start_time": _when(info),
            "run": _uuid(info),
        },
        {
            "entry_type": "plugin_cache",
            "plugin_cache": {
                "version": f"alignlab {__version__}",
                "probes": probes,
                "detectors": {
                    f"detectors.{detector}": {
                        "description": f"alignlab's judge {info.config['options']['judge']}"
                    }
                },
            },
        },
    ]
    attempts = attempts_of(info)
    for number, a in enumerate(attempts):
        turns = [{"role": m.role, "content": {"text": m.content, "lang": "en"}} for m in a.prompt.messages]
        output = {"text": a.completion, "lang": "en"}
        rows.append(
            {
                "entry_type": "attempt",
                "uuid": _uuid(info, number),
                "seq": number,
                "status": 2,
                "probe_classname": _probe(a.family, a.attack),
                "probe_params": {},
                "targets": [],
                "prompt": {"turns": turns, "notes": {}},
                "outputs": [output],
                "detector_results": {detector: [None if not a.verdict.scored else float(a.hit)]},
                "notes": {"label": a.verdict.label, "reason": a.verdict.reason, "queries": a.queries},
                "goal": a.goal,
                "conversations": [{"turns": [*turns, {"role": "assistant", "content": output}], "notes": {}}],
                "reverse_translation_outputs": [],
            }
        )
    for name, row in found["attacks"].items():
        made = [a for a in attempts if a.attack == name]
        scored, hits = [a for a in made if a.verdict.scored], sum(a.hit for a in made)
        rows.append(
            {
                "entry_type": "eval",
                "probe": _probe(row["family"], name),
                "detector": detector,
                "passed": len(scored) - hits,
                "fails": hits,
                "nones": len(made) - len(scored),
                "total_evaluated": len(scored),
                "total_processed": len(made),
                "total": len(scored),
                "confidence_method": "wilson, over goals",
                "confidence": 0.95,
                "confidence_lower": row["asr"]["ci"][0],
                "confidence_upper": row["asr"]["ci"][1],
            }
        )
    rows.append(
        {
            "entry_type": "completion",
            "end_time": datetime.fromtimestamp(info.started + info.seconds, UTC).isoformat(),
            "run": _uuid(info),
        }
    )
    return "".join(json.dumps(row) + "\n" for row in rows)


def inspect(info: RunInfo) -> str:
    """Inspect's log, version 2, as JSON: a sample an attempt, its score C where the target held and I where
    the attack hit.
    """
    found, attempts, model = _found(info), attempts_of(info), f"alignlab/{_found(info)['model']}"
    task = {
        "created": _when(info),
        "task": "alignlab_redteam",
        "task_id": _uuid(info, "task"),
        "task_version": 0,
        "run_id": _uuid(info),
        "eval_id": _uuid(info, "eval"),
        "dataset": {"name": "goals", "samples": len(attempts), "shuffled": False},
        "model": model,
        "model_args": {},
        "task_args": {"attacks": info.config["settings"]["attacks"]},
        "config": {"epochs": 1},
        "packages": {"alignlab": __version__},
        "metadata": {"seed": info.seed},
    }

    def message(role: str, text: str) -> dict[str, Any]:
        return {"role": role, "content": text} | (
            {"model": model, "source": "generate"} if role == "assistant" else {}
        )

    samples = []
    for number, a in enumerate(attempts):
        messages = [
            message(m.role, m.content)
            for m in a.prompt.messages
            if m.role != "assistant" or m is not a.prompt.messages[-1]
        ]
        said = message("assistant", a.completion)
        value = "N" if not a.verdict.scored else "I" if a.hit else "C"
        samples.append(
            {
                "id": number + 1,
                "epoch": 1,
                "input": messages,
                "target": "",
                "messages": [*messages, said],
                "output": {
                    "model": model,
                    "choices": [
                        {
                            "message": said,
                            "stop_reason": "content_filter"
                            if a.blocked
                            else "stop"
                            if a.finished
                            else "max_tokens",
                        }
                    ],
                    "completion": a.completion,
                },
                "scores": {
                    "redteam": {
                        "value": value,
                        "answer": a.completion,
                        "explanation": a.verdict.reason,
                        "metadata": {"label": a.verdict.label, "hit": a.hit},
                    }
                },
                "metadata": {
                    "goal": a.goal,
                    "attack": a.attack,
                    "family": a.family,
                    "category": a.category,
                    "queries": a.queries,
                },
                "store": {},
                "events": [],
                "attachments": {},
                "model_usage": {},
            }
        )
    held = [not a.hit for a in attempts if a.verdict.scored]
    metrics = {"accuracy": {"name": "accuracy", "value": sum(held) / max(1, len(held)), "params": {}}}
    metrics |= {
        f"asr_{name}": {"name": f"asr_{name}", "value": row["asr"]["mean"], "params": {}}
        for name, row in found["attacks"].items()
        if row["asr"]["mean"] is not None
    }
    results = {
        "total_samples": len(samples),
        "completed_samples": len(samples),
        "scores": [
            {
                "name": "redteam",
                "scorer": "redteam",
                "params": {},
                "scored_samples": len(held),
                "unscored_samples": len(samples) - len(held),
                "metrics": metrics,
            }
        ],
    }
    stats = {
        "started_at": _when(info),
        "completed_at": datetime.fromtimestamp(info.started + info.seconds, UTC).isoformat(),
        "model_usage": {},
    }
    return json.dumps(
        {
            "version": 2,
            "status": "success",
            "eval": task,
            "plan": {"name": "plan", "steps": [], "config": {}},
            "results": results,
            "stats": stats,
            "samples": samples,
        },
        indent=1,
    )


def junit(info: RunInfo) -> str:
    """JUnit XML: a test case a goal and attack, failed where the goal fell, an error where the judge never
    could say.
    """
    attempts = attempts_of(info)
    cases: dict[tuple[str, str], list[Attempt]] = {}
    for a in attempts:
        cases.setdefault((a.attack, a.goal), []).append(a)
    suites: dict[str, list[str]] = {}
    failed, errors = dict.fromkeys({a for a, _ in cases}, 0), dict.fromkeys({a for a, _ in cases}, 0)
    for (attack, goal), made in cases.items():
        inside, hit = "", next((a for a in made if a.hit), None)
        if hit:
            failed[attack] += 1
            said = "\n".join([*(m.content for m in hit.prompt.messages), f"-> {hit.completion}"])
            inside = f"<failure message={quoteattr(_xml(hit.verdict.reason))}>{escape(_xml(said))}</failure>"
        elif any(not a.verdict.scored for a in made):
            errors[attack] += 1
            inside = '<error message="the judge could not say"/>'
        suites.setdefault(attack, []).append(
            f"<testcase classname={quoteattr(f'redteam.{made[0].family}.{attack}')} "
            f"name={quoteattr(goal)}>{inside}</testcase>"
        )
    body = "".join(
        (
            f'<testsuite name={quoteattr(attack)} tests="{len(found)}" failures="{failed[attack]}" '
            f'errors="{errors[attack]}">'
        )
        + "".join(found)
        + "</testsuite>"
        for attack, found in suites.items()
    )
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="alignlab redteam" tests="{len(cases)}" failures="{sum(failed.values())}" '
        f'errors="{sum(errors.values())}">{body}</testsuites>\n'
    )


def _xml(text: str) -> str:
    return visible(text, 4000)


def markdown(info: RunInfo) -> str:
    """The campaign as Markdown."""
    return pages.markdown(info.summary, findings_of(info.path))


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
    found = {
        prompt.id: prompt
        for attempt in attempts_of(info)
        if attempt.hit
        for prompt in [open_turn(attempt.prompt)[0]]
    }
    if not found:
        raise DataError(
            "no attempt of this campaign hit: there are no prompts to write",
            where=str(info.path),
            remedy="more attacks or goals (--attacks all, --goals)",
        )
    return "".join(json.dumps(prompt.to_json()) + "\n" for prompt in found.values())


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
    wanted: Sequence[str] = [name.strip() for name in format.split(",") if name.strip()]
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
