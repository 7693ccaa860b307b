"""What is said of demonstrations, wherever they come from."""

from __future__ import annotations

from typing import Any


def told(summary: dict[str, Any]) -> str:
    """The counts of a collection in words."""
    why = ", ".join(f"{count} {reason}" for reason, count in summary["reasons"].items())
    return f"{summary['demonstrations']} demonstrations; {summary['rejected']} rejected" + (
        f" ({why})" if why else ""
    )
