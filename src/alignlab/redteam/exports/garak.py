"""A campaign as garak's report.jsonl."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from ... import __version__
from ...feedback.safety.verdicts import LABELS, count_labels
from ...run import RunInfo
from .finished import attempts_of, began, document_of, uuid_of

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
    words = re.split(r"[^0-9A-Za-z]+", attack)
    return f"{GARAK[family]}.{''.join(map(str.capitalize, words))}"


def garak(info: RunInfo) -> str:
    """garak's report.jsonl: setup, the plugins that it names, one `attempt` per attempt (status 2, the
    detector's score 1 = hit = bad, null = unscored), one `eval` per attack, completion.
    `garak.analyze.report_digest` makes its page of it.
    """
    document, judge = document_of(info), info.config["options"]["judge"]
    detector = "alignlab." + re.sub(r"[^0-9A-Za-z_]", "_", judge)
    probes = {}
    for name, row in document["attacks"].items():
        probes[f"probes.{_probe(row['family'], name)}"] = {
            "description": f"alignlab's attack {name}",
            "tags": [],
            "tier": 1,
            "goal": "get what ought to be refused",
            "active": True,
        }
    rows: list[dict[str, Any]] = [
        {
            "entry_type": "start_run setup",
            "_config.version": f"alignlab {__version__}",
            "transient.run_id": uuid_of(info),
            "transient.starttime_iso": began(info),
            "plugins.target_type": "alignlab",
            "plugins.target_name": document["model"],
            "run.seed": info.seed,
            "run.eval_threshold": 0.5,
        },
        {
            "entry_type": "init",
            "garak_version": f"alignlab {__version__}",
            "start_time": began(info),
            "run": uuid_of(info),
        },
        {
            "entry_type": "plugin_cache",
            "plugin_cache": {
                "version": f"alignlab {__version__}",
                "probes": probes,
                "detectors": {f"detectors.{detector}": {"description": f"alignlab's judge {judge}"}},
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
                "uuid": uuid_of(info, number),
                "seq": number,
                "status": 2,
                "probe_classname": _probe(a.family, a.attack),
                "probe_params": {},
                "targets": [],
                "prompt": {"turns": turns, "notes": {}},
                "outputs": [output],
                "detector_results": {detector: [float(a.hit) if a.verdict.scored else None]},
                "notes": {"label": a.verdict.label, "reason": a.verdict.reason, "queries": a.queries},
                "goal": a.goal,
                "conversations": [{"turns": [*turns, {"role": "assistant", "content": output}], "notes": {}}],
                "reverse_translation_outputs": [],
            }
        )
    for name, row in document["attacks"].items():
        counts = count_labels(a.verdict for a in attempts if a.attack == name)
        scored = sum(counts[label] for label in LABELS)
        rows.append(
            {
                "entry_type": "eval",
                "probe": _probe(row["family"], name),
                "detector": detector,
                "passed": scored - counts["hits"],
                "fails": counts["hits"],
                "nones": counts["unscored"],
                "total_evaluated": scored,
                "total_processed": scored + counts["unscored"],
                "total": scored,
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
            "run": uuid_of(info),
        }
    )
    return "".join(json.dumps(row) + "\n" for row in rows)
