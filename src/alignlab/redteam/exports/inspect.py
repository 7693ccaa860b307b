"""A campaign as Inspect's log."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from ... import __version__
from ...run import RunInfo
from .finished import attempts_of, began, document_of, uuid_of


def inspect(info: RunInfo) -> str:
    """Inspect's log, version 2, as JSON: a sample an attempt, its score C where the target held and I where
    the attack hit.
    """
    found, attempts, model = document_of(info), attempts_of(info), f"alignlab/{document_of(info)['model']}"
    task = {
        "created": began(info),
        "task": "alignlab_redteam",
        "task_id": uuid_of(info, "task"),
        "task_version": 0,
        "run_id": uuid_of(info),
        "eval_id": uuid_of(info, "eval"),
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
        "started_at": began(info),
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
