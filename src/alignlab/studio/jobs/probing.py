"""Kinds of jobs that look for how a model fails, and at what a constitution does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ..answers.constitutions import file_of
from ..campaigns import NAME, STAGE
from ..problems import Refused
from ..schema.constitutions import ConstitutionName
from ..schema.parts import Id, Part
from .kind import Kind
from .kinds import run_of

if TYPE_CHECKING:
    from ..desk import Desk

WALKED = 12  # prompts, the same each time
MOST_GOALS = 20
MODELS = ("pretrain", "sft", "dpo", "kto", "orpo", "simpo", "ppo", "rloo", "grpo", "online-dpo", "rejection")
"""Stages that leave a model which answers."""
CRITIC = "critic"
COMPARISONS = ("label", "collect")
Attacks = Literal["standard", "jailbreak", "obfuscation", "context", "multi-turn", "automatic", "prefill"]
Defence = Literal["self-reminder", "input-filter", "output-filter", "paraphrase", "smooth-llm"]


class WalkFields(Part):
    """Twelve fixed prompts: draft, critique, revision; the author drafts, the critic criticises."""

    constitution: ConstitutionName
    author: Id = Field(json_schema_extra={"of": list(MODELS)})
    critic: Id = Field(json_schema_extra={"of": [CRITIC]})
    rounds: Annotated[int, Field(ge=1, le=4)] = 2


class AblateFields(Part):
    """Each principle left out in turn: what changes in labels and critiques."""

    constitution: ConstitutionName
    critic: Id = Field(json_schema_extra={"of": [CRITIC]})
    data: Id = Field(
        description="a run of `constitution label` or `collect`", json_schema_extra={"of": list(COMPARISONS)}
    )
    count: Annotated[int, Field(ge=4, le=100)] = 20


class AttackFields(Part):
    """A small campaign."""

    model: Id = Field(json_schema_extra={"of": list(MODELS)})
    attacks: Attacks = "standard"
    defences: Annotated[list[Defence], Field(max_length=3)] = Field(default_factory=list)
    goals: Annotated[int, Field(ge=1, le=MOST_GOALS)] = 10


class ReproFields(Part):
    """A finding, asked again: greedily, and so many draws at temperature 1."""

    campaign: Id = Field(json_schema_extra={"of": [STAGE]})
    finding: Annotated[str, Field(pattern=f"^{NAME}$")]
    samples: Annotated[int, Field(ge=0, le=32)] = 8


def _walk(desk: Desk, asked: WalkFields, out: Path) -> list[str]:
    """The page and its table are written into the folder."""
    return [
        *("constitution", "walk", "--constitution", file_of(desk, asked.constitution)),
        *("--model", run_of(desk, asked.author, *MODELS)),
        *("--critic", run_of(desk, asked.critic, CRITIC)),
        *("--data", "town:risky-test", "--count", str(WALKED), "--rounds", str(asked.rounds)),
        *("--gold", "town:gold", "--page", str(out / "walk.html")),
    ]


def _ablate(desk: Desk, asked: AblateFields, out: Path) -> list[str]:
    return [
        *("constitution", "ablate", "--constitution", file_of(desk, asked.constitution)),
        *("--judge-model", run_of(desk, asked.critic, CRITIC)),
        *("--data", run_of(desk, asked.data, *COMPARISONS), "--count", str(asked.count)),
        *("--gold", "town:harmless", "--out", str(out)),
    ]


def _attack(desk: Desk, asked: AttackFields, out: Path) -> list[str]:
    return [
        *("redteam", run_of(desk, asked.model, *MODELS), "--attacks", asked.attacks),
        *("--defence", ",".join(asked.defences), "--goals", str(asked.goals)),
        *("--twins", str(2 * MOST_GOALS), "--out", str(out)),
    ]


def _repro(desk: Desk, asked: ReproFields, out: Path) -> list[str]:
    """Nothing is written but what it says."""
    head = desk.shelf.look().find(asked.campaign)
    if head.stage != STAGE or head.status != "done":
        raise Refused(422, "this is no finished campaign", where=head.stage, field="campaign")
    campaign = desk.campaigns.of(head).read("findings")
    if all(one.finding.id != asked.finding for one in campaign.findings.kept):
        raise Refused(404, f"there is no finding {asked.finding}", field="finding")
    return [
        *("redteam", "repro", asked.finding, "--run", str(desk.folder_of(head))),
        *("--samples", str(asked.samples)),
    ]


KINDS: tuple[Kind, ...] = (
    Kind("walk", WalkFields, _walk, 600, "drafts to twelve fixed prompts, criticised and revised"),
    Kind("ablate", AblateFields, _ablate, 900, "each principle left out in turn"),
    Kind("attack", AttackFields, _attack, 1800, "attacks on a model, at most 20 goals"),
    Kind("repro", ReproFields, _repro, 300, "a finding, asked again"),
)
