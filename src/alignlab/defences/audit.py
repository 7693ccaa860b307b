"""A defence that only writes down: what was asked, what came of it."""

from __future__ import annotations

import hashlib
import json
import time
from collections import deque
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from ..records import Completion, Prompt
from ..sampling import Sampler, Sampling
from .guard import Guard


class AuditLog(Guard):
    """Writes down what was asked and what came of it: time, digests of prompt and answer, lengths, who
    blocked. No text and no secret is kept. The last thousand rows are at hand, and `file` gets all of them.

    Cost: none. It stops nothing: it is how one finds out.
    """

    NAME = "audit-log"

    def __init__(self, target: Sampler, file: Path | None = None) -> None:
        super().__init__(target)
        self.file, self.rows = file, deque[dict[str, object]](maxlen=1000)

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling = Sampling(), *, seed: int = 0
    ) -> list[list[Completion]]:
        rows = self.pass_on(prompts, prompts, sampling, seed)
        entries = list(map(_entry, chain.from_iterable(rows)))
        self.rows += entries
        if self.file:
            with open(self.file, "a", encoding="utf-8") as file:
                file.writelines(json.dumps(entry) + "\n" for entry in entries)
        return rows


def _entry(completion: Completion) -> dict[str, object]:
    prompt, text = completion.prompt, completion.text
    return {
        "time": round(time.time(), 3),
        "prompt": prompt.id,
        "turns": len(prompt.messages),
        "characters": sum(len(message.content) for message in prompt.messages),
        "answer": hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16],
        "length": len(text),
        "finished": completion.finished,
        "blocked": completion.blocked,
    }
