"""Errors that a user can mend, each with the exit code the command line gives it.

    UserError                 2  the command was used wrongly
    ├── ConfigError           3  a setting is unknown, or has a value it cannot have
    ├── DataError             4  a data file is empty, broken or holds nothing to learn from
    ├── ModelError            4  a model folder is missing, broken or not safe to load
    ├── CheckFailed           5  a check or a grade did not pass
    ├── GuardStop             6  training was stopped by a guard: a loss not finite, a KL that ran away
    ├── ResumeRefused         7  a run folder exists and was made by other settings
    └── ResourceError         8  disk, memory or port; an endpoint that is away, or whose budget is spent

Everything else that is raised is our bug (exit code 1) and keeps its traceback.
"""

from __future__ import annotations


class UserError(Exception):
    """Something the user can mend: what is wrong, where it was seen, and what mends it.

    Args:
        what: one sentence that says what is wrong, with the offending value in it.
        where: file, row, setting or step at which it was seen.
        remedy: what to do about it, with the command if there is one.
    """

    exit_code = 2

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what, self.where, self.remedy = what, where, remedy
        lines = [what]
        if where:
            lines.append(f"  where:  {where}")
        if remedy:
            lines.append(f"  remedy: {remedy}")
        super().__init__("\n".join(lines))


class ConfigError(UserError):
    exit_code = 3


class DataError(UserError):
    exit_code = 4


class ModelError(UserError):
    exit_code = 4


class CheckFailed(UserError):
    exit_code = 5


class GuardStop(UserError):
    exit_code = 6


class ResumeRefused(UserError):
    exit_code = 7


class ResourceError(UserError):
    exit_code = 8


class Terminated(KeyboardInterrupt):
    """Asked to stop by SIGTERM; exit code 143."""
