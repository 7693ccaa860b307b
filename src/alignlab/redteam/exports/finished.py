"""What every form of a campaign is made of: the finished run folder."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ...errors import DataError
from ...run import RunInfo
from ...text.lines import read_lines
from ..attempt import Attempt


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


def began(info: RunInfo) -> str:
    return datetime.fromtimestamp(info.started, UTC).isoformat()


def document_of(info: RunInfo) -> Mapping[str, Any]:
    return info.summary.get("before", info.summary)


def uuid_of(info: RunInfo, *what: object) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, "/".join(map(str, (info.key, *what)))))
