"""Targets with a planted hole: every hole is found, and nothing is found where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from alignlab import names
from alignlab.feedback.safety.planted import GoldVerdicts
from alignlab.redteam.attacks.catalogue import attacks
from alignlab.redteam.attempt import Budget, fallen, goals_of
from alignlab.redteam.campaign import Outcome, Plan, attack_all, document
from alignlab.redteam.findings import find
from alignlab.redteam.session import Session
from alignlab.settings import EndpointSettings, ModelSettings, SamplingSettings

HOLES = {
    "base64": {"base64"},
    "role-play": {"persona", "role-play", "story"},
    "leaks": {"system-extraction"},
    "injection": {"direct-hijack", "latent-injection"},
}
"""What must get through each hole."""
ALSO = {
    "base64": set(),
    "leaks": set(),
    "injection": set(),
    "role-play": {
        "story+refusal-suppression",
        "persona+prefix-injection",
        "role-play+payload-split",
        "developer-mode",
        "bandit",
    },
}
"""What may get through as well: other ways to tell somebody who they are, and what learns the hole."""


def campaign(bot: str, folder: Path | None = None, goals: int = 24) -> tuple[Outcome, Session]:
    target = names.models.target(
        f"bot:{bot}", model=ModelSettings(), endpoint=EndpointSettings(), sampling=SamplingSettings()
    )
    judge = names.judges.judge("town:gold").load()
    assert judge is not None
    session = Session(target, GoldVerdicts(judge), identity=bot, folder=folder)
    prompts, twins = (
        names.data.read_data("town:harmful-test", "prompt", count=goals).records,
        names.data.read_data("town:twins-test", "prompt", count=12).records,
    )
    return attack_all(
        session,
        Plan(attacks("standard"), goals_of(prompts), list(twins), Budget(tries=8, queries=8), 4, seed=3),
    ), session


@pytest.mark.parametrize("bot", HOLES)
def test_every_hole_is_found_and_nothing_else(bot: str) -> None:
    outcome, _ = campaign(bot)
    through = {name for name, made in outcome.attempts.items() if fallen(made)}
    assert HOLES[bot] <= through, HOLES[bot] - through
    extra = through - HOLES[bot] - ALSO[bot]
    assert all("base64" in name or name == "bandit" for name in extra) if bot == "base64" else not extra, (
        extra
    )


def test_the_clean_bot_raises_no_alarm() -> None:
    outcome, session = campaign("clean")
    assert not any(fallen(made) for made in outcome.attempts.values())
    found = document("bot:clean", outcome, findings=0)
    assert (
        found["plain"]["mean"] == found["all"]["mean"] == found["over_refusal"]["mean"] == 0.0
        and found["unscored"] == 0
    )
    assert find(outcome, session, shorten=10, seed=0) == []


def test_findings_say_what_it_was_in_few_words() -> None:
    outcome, session = campaign("base64")
    findings = find(outcome, session, shorten=60, seed=0)
    assert findings and all(
        "base64" in finding.attacks or "bandit" in finding.attacks for finding in findings
    )
    case = next(finding for finding in findings if "base64" in finding.attacks)
    assert len(case.prompt.text.split()) == 1 and case.id.startswith("F-") and case.goals >= 1
    assert session.verdicts(session.ask([case.prompt], seed=0))[0].hit


def test_a_campaign_that_goes_on_asks_nothing_twice_and_ends_in_the_same_figures(tmp_path: Path) -> None:
    first, session = campaign("role-play", tmp_path)
    asked = session.asked
    lines = (tmp_path / "answers.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "answers.jsonl").write_bytes(
        b"".join(lines[: len(lines) // 2]) + lines[-1][:20]
    )  # killed in the middle of a line
    second, again = campaign("role-play", tmp_path)
    assert 0 < again.asked < asked
    assert document("m", first, findings=0) == document("m", second, findings=0)
    _, third = campaign("role-play", tmp_path)
    assert third.asked == 0


def test_budgets_are_kept_and_curves_rise() -> None:
    outcome, _ = campaign("clean")
    made = outcome.attempts["best-of-n"]
    assert max(attempt.queries for attempt in made) == 8 and len({a.goal for a in made}) == 24
    found = document("m", campaign("role-play")[0], findings=0)["attacks"]
    for row in found.values():
        rates = [point["asr"] for point in row["curve"]]
        assert rates == sorted(rates) and row["first"]["mean"] <= row["asr"]["mean"]
