"""What a client is told in the place of an answer."""

from __future__ import annotations

from typing import Any

from ..errors import UserError


class Refusal(Exception):
    """What a client is told in the place of an answer."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str = "",
        retry_after: int = 0,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.retry_after = status, message, retry_after
        self.code, self.param = code, param
        self.kind = kind or ("invalid_request_error" if status < 500 else "server_error")

    def to_json(self) -> dict[str, Any]:
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}

    @staticmethod
    def of(error: UserError) -> Refusal:
        """An error of ours that lies with the request: what is wrong and what mends it, in one line."""
        long = "context" in error.what and "fit" in error.what
        message = "; ".join(part for part in (error.what, error.where, error.remedy) if part)
        return Refusal(400, message, code="context_length_exceeded" if long else None)
