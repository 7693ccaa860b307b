"""Why the store refused something, in the words of `UserError` and with a code that a program can go by."""

from __future__ import annotations

from typing import Literal

from ..errors import UserError

Code = Literal["not_found", "not_yours", "name_taken", "stale", "other_payload", "invalid"]


class Refused(UserError):
    """Something that the store does not do; nothing has changed.

    Attributes:
        code: not_found, not_yours (somebody else's item or vote), name_taken (say the return code), stale (it
            was superseded), other_payload (an id that was used for something else), invalid.
    """

    def __init__(self, code: Code, what: str, *, where: str = "", remedy: str = "") -> None:
        self.code = code
        super().__init__(what, where=where, remedy=remedy)


class NotSaved(UserError):
    """The disk did not take it: nothing has changed, and the same thing may be sent again."""

    exit_code = 8
    code = "not_saved"
