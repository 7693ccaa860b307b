"""A campaign as JUnit XML, for a build server. What a model wrote is untrusted: characters that XML cannot
hold are shown as escapes.
"""

from __future__ import annotations

from collections import Counter
from xml.sax.saxutils import escape, quoteattr

from ...run import RunInfo
from ...text.escapes import visible
from ..attempt import Attempt, unscored_goals
from .finished import attempts_of


def junit(info: RunInfo) -> str:
    """JUnit XML: a test case per goal and attack, failed where the goal fell, an error where the judge never
    could say.
    """
    cases: dict[tuple[str, str], list[Attempt]] = {}
    for a in attempts_of(info):
        cases.setdefault((a.attack, a.goal), []).append(a)
    suites: dict[str, list[str]] = {}
    failed: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    for (attack, goal), attempts in cases.items():
        inside = ""
        if hit := next((a for a in attempts if a.hit), None):
            failed[attack] += 1
            reason, text = quoteattr(_xml(hit.verdict.reason)), escape(_xml(_exchange(hit)))
            inside = f"<failure message={reason}>{text}</failure>"
        elif unscored_goals(attempts):
            errors[attack] += 1
            inside = '<error message="the judge could not say"/>'
        name = f"classname={quoteattr(f'redteam.{attempts[0].family}.{attack}')} name={quoteattr(goal)}"
        suites.setdefault(attack, []).append(f"<testcase {name}>{inside}</testcase>")
    body = ""
    for attack, tests in suites.items():
        counts = f'tests="{len(tests)}" failures="{failed[attack]}" errors="{errors[attack]}"'
        body += f"<testsuite name={quoteattr(attack)} {counts}>{''.join(tests)}</testsuite>"
    totals = f'tests="{len(cases)}" failures="{failed.total()}" errors="{errors.total()}"'
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    return f'{head}\n<testsuites name="alignlab redteam" {totals}>{body}</testsuites>\n'


def _exchange(attempt: Attempt) -> str:
    """What was sent, turn by turn, and what came back."""
    turns = [message.content for message in attempt.prompt.messages]
    return "\n".join([*turns, f"-> {attempt.completion}"])


def _xml(text: str) -> str:
    return visible(text, 4000)
