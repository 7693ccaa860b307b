"""Has a student's attack write its prompts, in his process."""

from __future__ import annotations

from types import ModuleType
from typing import Any


def drive(student: ModuleType, given: dict[str, Any]) -> dict[str, Any]:
    """{"target", "prompts"}: whom he attacks, and what he writes for each request."""
    prompts = [student.attack(request, seed) for request, seed in given["cases"]]
    return {"target": str(getattr(student, "TARGET", "")), "prompts": [str(prompt) for prompt in prompts]}
