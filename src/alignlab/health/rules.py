"""Is this normal? Rules over a run's metrics that tell a loud but healthy run from a broken one, with the
cause and one setting to turn.

Each rule is a pure function of a `History` (the rows of `metrics.jsonl`, the settings, the summary once there
is one). It says nothing, or one thing: "normal" for what looks alarming and is not, "broken" for what will
not mend itself, always with the figures. Rules look at metric names and not at methods, so a new loop that
logs the field's names is covered. Thresholds hold against noise: a level must be beyond what the rows' own
scatter explains. They were set on the runs of `benchmarks/normal.py`, which prints how often they are right.

    for finding in Watch(stage, settings, total).see(row): ...      # while training runs
    examine(stage, settings, rows, summary)                         # on any run
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..settings.resolve import by_new_names
from . import completions, displacement, distribution, optimizing, preferences, rewards
from .history import History, Hit, Row, Verdict


@dataclass(frozen=True)
class Rule:
    """One rule, and the text of its row in docs/normal.md.

    Attributes:
        reads: the metrics it needs; it is silent where none of the first is logged.
        means: what is measured.
        normal: when it is nothing to worry about.
        broken: what is wrong when it is not.
        cause: the likeliest cause.
        turn: what to turn: "setting: which way". The first that the stage has is named; one with dashes in
            front is an option of the command.
    """

    name: str
    reads: tuple[str, ...]
    means: str
    normal: str
    broken: str
    cause: str
    turn: tuple[str, ...]
    check: Callable[[History], Hit | None] = field(repr=False)


@dataclass(frozen=True)
class Finding:
    """What one rule says of one run."""

    name: str
    verdict: Verdict
    evidence: str
    steps: tuple[int, int]
    why: str
    cause: str
    turn: str

    def __str__(self) -> str:
        said = f"{self.evidence}. {self.why[:1].upper()}{self.why[1:]}"
        if self.verdict == "normal":
            return f"normal ({self.name}): {said}"
        return f"BROKEN ({self.name}): {said}\n  likely: {self.cause}\n  turn:   {self.turn}"

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "verdict": self.verdict,
            "evidence": self.evidence,
            "steps": list(self.steps),
            "why": self.why,
            "cause": self.cause,
            "turn": self.turn,
        }


CHECKS: tuple[Callable[[History], Hit | None], ...] = (
    optimizing.not_finite,
    optimizing.learning_rate_zero,
    distribution.negative_kl,
    distribution.reference_is_not_the_start,
    distribution.ratio_not_one,
    distribution.sampler_mismatch,
    distribution.kl_blow_up,
    distribution.kl_coef_out_of_range,
    rewards.value_collapse,
    distribution.entropy_collapse,
    distribution.entropy_explosion,
    rewards.dead_groups,
    completions.length_drift,
    completions.no_end_tokens,
    rewards.reward_constant,
    rewards.reward_flat,
    rewards.reward_falls,
    rewards.reward_saturated,
    rewards.over_optimisation,
    distribution.clip_fraction,
    distribution.update_too_large,
    displacement.likelihood_displacement,
    preferences.preferences_not_learnt,
    preferences.preferences_over_fitted,
    preferences.margin_saturated,
    preferences.reward_model_at_chance,
    preferences.reward_model_too_good,
    preferences.reward_model_over_fitted,
    preferences.length_detector,
    optimizing.loss_not_falling,
    completions.general_text_lost,
    completions.general_answers_lost,
    optimizing.over_fitting,
    optimizing.gradient_spikes,
    optimizing.gradients_always_clipped,
)


def _rules() -> tuple[Rule, ...]:
    """Each check with its row of rules.toml, which has its name."""
    rows = tomllib.loads(Path(__file__).with_name("rules.toml").read_text(encoding="utf-8"))
    rules = []
    for check in CHECKS:
        name = check.__name__.replace("_", "-")
        row = rows[name]
        rules.append(Rule(name, tuple(row.pop("reads")), turn=tuple(row.pop("turn")), check=check, **row))
    return tuple(rules)


RULES = _rules()


def turned(rule: Rule, hit: Hit, settings: Mapping[str, Any]) -> str:
    """The one thing to turn, as an option of the command line, with the value it has now."""
    history = History("", settings, ())
    for choice in (hit.turn,) if hit.turn else rule.turn:
        name, _, way = choice.partition(": ")
        if name.startswith("--"):
            return f"{name} ({way})"
        now = history.setting(name)
        if now is None and settings:
            continue
        if str(now) in (way, f"{way}.0"):
            return (
                f"no setting: {name} is {now} already, so the code that samples or scores does otherwise "
                "than the settings say"
            )
        if now is None:
            return f"--{name} {way}"
        return (
            f"--{name} {way} (now {now:g})"
            if isinstance(now, (int, float))
            else f"--{name} {way} (now {now})"
        )
    return "no setting of this stage"


def examine(
    stage: str,
    settings: Mapping[str, Any],
    rows: Sequence[Row],
    summary: Mapping[str, Any] | None = None,
    *,
    share: float = 1.0,
) -> list[Finding]:
    """What the rules say of a run, broken before normal. `share` is the part of the steps that is done."""
    settings = by_new_names(settings)
    history = History(stage, settings, [row for row in rows if _is_row(row)], summary or {}, share)
    findings = []
    for rule in RULES:
        if hit := rule.check(history):
            why = rule.broken if hit.verdict == "broken" else f"Normal: {rule.normal}"
            cause, turn = hit.cause or rule.cause, turned(rule, hit, settings)
            findings.append(Finding(rule.name, hit.verdict, hit.evidence, hit.steps, why, cause, turn))
    return sorted(findings, key=lambda finding: finding.verdict != "broken")


def _is_row(row: Any) -> bool:
    if not isinstance(row, Mapping):
        return False
    step = row.get("step")
    return isinstance(step, (int, float)) and abs(step) < math.inf


class Watch:
    """The rules over a run while it is made: each thing is said once. A function of the rows alone, so that a
    resumed run says what an undisturbed one would.

    Args:
        total: steps of the run. Rules look after each of the first 32 rows and then after every 32nd part of
            what there is, so that they cost nothing.
    """

    def __init__(self, stage: str, settings: Mapping[str, Any], total: int) -> None:
        self.stage, self.settings, self.total = stage, settings, max(1, total)
        self.rows: list[Row] = []
        self._said: set[tuple[str, Verdict]] = set()
        self._next = 1

    def see(self, row: Row) -> list[Finding]:
        """What is new with this row."""
        self.rows.append(row)
        if len(self.rows) < self._next:
            return []
        self._next = len(self.rows) + 1 + len(self.rows) // 32
        return self._new(
            examine(
                self.stage, self.settings, self.rows, share=min(0.999, (int(row["step"]) + 1) / self.total)
            )
        )

    def finish(self, summary: Mapping[str, Any]) -> list[Finding]:
        """What is new now that the run is over."""
        return self._new(examine(self.stage, self.settings, self.rows, summary))

    def _new(self, findings: Iterable[Finding]) -> list[Finding]:
        fresh = [finding for finding in findings if (finding.name, finding.verdict) not in self._said]
        self._said |= {(finding.name, finding.verdict) for finding in fresh}
        return fresh
