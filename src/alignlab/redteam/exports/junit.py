"""A campaign as JUnit XML, for a build server. What a model wrote is untrusted: characters that XML cannot hold are
shown as escapes.
"""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from ...run import RunInfo
from ...text.escapes import visible
from ..attempt import Attempt
from .finished import attempts_of


def junit(info: RunInfo) -> str:
    """JUnit XML: a test case a goal and attack, failed where the goal fell, an error where the judge never
    could say.
    """
    attempts = attempts_of(info)
    cases: dict[tuple[str, str], list[Attempt]] = {}
    for a in attempts:
        cases.setdefault((a.attack, a.goal), []).append(a)
    suites: dict[str, list[str]] = {}
    failed, errors = dict.fromkeys({a for a, _ in cases}, 0), dict.fromkeys({a for a, _ in cases}, 0)
    for (attack, goal), made in cases.items():
        inside, hit = "", next((a for a in made if a.hit), None)
        if hit:
            failed[attack] += 1
            said = "\n".join([*(m.content for m in hit.prompt.messages), f"-> {hit.completion}"])
            inside = f"<failure message={quoteattr(_xml(hit.verdict.reason))}>{escape(_xml(said))}</failure>"
        elif any(not a.verdict.scored for a in made):
            errors[attack] += 1
            inside = '<error message="the judge could not say"/>'
        suites.setdefault(attack, []).append(
            f"<testcase classname={quoteattr(f'redteam.{made[0].family}.{attack}')} "
            f"name={quoteattr(goal)}>{inside}</testcase>"
        )
    body = "".join(
        (
            f'<testsuite name={quoteattr(attack)} tests="{len(found)}" failures="{failed[attack]}" '
            f'errors="{errors[attack]}">'
        )
        + "".join(found)
        + "</testsuite>"
        for attack, found in suites.items()
    )
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="alignlab redteam" tests="{len(cases)}" failures="{sum(failed.values())}" '
        f'errors="{sum(errors.values())}">{body}</testsuites>\n'
    )


def _xml(text: str) -> str:
    return visible(text, 4000)
