"""A campaign as Inspect's log."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from ... import __version__
from ...run import RunInfo
from ..attempt import Attempt
from .finished import attempts_of, began, document_of, uuid_of


def inspect(info: RunInfo) -> str:
    """Inspect's log, version 2, as JSON: a sample per attempt, its score C where the target held and I where
    the attack hit.
    """
    document, attempts = document_of(info), attempts_of(info)
    model = f"alignlab/{document['model']}"
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
        row = {"role": role, "content": text}
        if role == "assistant":
            row |= {"model": model, "source": "generate"}
        return row

    samples = []
    for number, a in enumerate(attempts):
        turns = list(a.prompt.messages)
        if turns and turns[-1].role == "assistant":  # a prefill, which is part of the completion
            turns.pop()
        messages = [message(turn.role, turn.content) for turn in turns]
        answer = message("assistant", a.completion)
        samples.append(
            {
                "id": number + 1,
                "epoch": 1,
                "input": messages,
                "target": "",
                "messages": [*messages, answer],
                "output": {
                    "model": model,
                    "choices": [{"message": answer, "stop_reason": _stop_reason(a)}],
                    "completion": a.completion,
                },
                "scores": {
                    "redteam": {
                        "value": _score(a),
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
    for attack, row in document["attacks"].items():
        if row["asr"]["mean"] is not None:
            name = f"asr_{attack}"
            metrics[name] = {"name": name, "value": row["asr"]["mean"], "params": {}}
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


def _score(attempt: Attempt) -> str:
    """C where the target held, I where the attack hit, N where the judge could not say."""
    if not attempt.verdict.scored:
        return "N"
    return "I" if attempt.hit else "C"


def _stop_reason(attempt: Attempt) -> str:
    if attempt.blocked:
        return "content_filter"
    return "stop" if attempt.finished else "max_tokens"
