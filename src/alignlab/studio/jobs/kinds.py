"""The first kinds of jobs: a run from end to end, answers to vote on, a reward model of votes, a model
aligned with it, and a measurement.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from ...votes import figures
from ...votes.tasks import task_of
from ..desk import Desk
from ..problems import Refused
from ..schema.parts import Id, Key, Part
from .kind import Kind

POLICIES = (
    "sft", "dpo", "ppo", "rloo", "grpo", "online-dpo", "rejection", "kto", "orpo", "simpo", "pretrain",
)  # fmt: skip
MOST_STEPS = 24
FOLDS = 5
FOLDED = (2 * FOLDS, 200)  # votes of which each is tested once, by a model that did not learn from it
SEED = Field(0, ge=0, lt=2**31)


def run_of(desk: Desk, run: str, *stages: str) -> str:
    """The folder of a finished run of the list. Raises Refused: 404 no such run, 422 another stage."""
    head = desk.shelf.look().find(run)
    if head.status != "done" or head.stage not in stages:
        what = f"a finished run of {' or '.join(stages)} is asked for"
        raise Refused(422, what, where=f"{head.path}: {head.stage}, {head.status}")
    return str(desk.folder_of(head))


# --- the whole of it


class Demo(Part):
    seed: int = SEED


def demo(desk: Desk, asked: Demo, out: Path) -> list[str]:
    return ["run", "--fast", "--seed", str(asked.seed), "--out", str(out)]


# --- something to vote on


class Sample(Part):
    model: Id = Field(json_schema_extra={"of": [*POLICIES]})
    prompts: int = Field(100, ge=1, le=500)
    answers: int = Field(2, ge=2, le=9)
    seed: int = SEED


def sample(desk: Desk, asked: Sample, out: Path) -> list[str]:
    model = run_of(desk, asked.model, *POLICIES)
    data = ["--data", "town:prompts", "--count", str(asked.prompts), "--per-prompt", str(asked.answers)]
    return ["collect", "--model", model, *data, *_end(asked.seed, out)]


# --- a reward model of what people said


class Learn(Part):
    task: Key = Field(json_schema_extra={"of": "task"})
    model: Id = Field(json_schema_extra={"of": [*POLICIES]})
    merge: Literal["none", "soft", "majority"] = "none"
    epochs: int = Field(2, ge=1, le=20)
    seed: int = SEED


def task_name(desk: Desk, task: str) -> str:
    """A task of the store. Raises Refused: 404."""
    if not desk.has_store:
        raise Refused(404, "there is no task yet", remedy="make one: alignlab studio import FILE --task NAME")
    with desk.store.reading() as connection:
        return task_of(connection, task)[0].name


def snapshot(desk: Desk, asked: Learn, out: Path) -> list[str]:
    where = ["--task", task_name(desk, asked.task), "--folder", str(desk.inside.root)]
    return ["collect", "--kind", "votes", *where, "--merge", asked.merge, *_end(asked.seed, out / "votes")]


def reward(desk: Desk, asked: Learn, out: Path) -> list[list[str]]:
    model = run_of(desk, asked.model, *POLICIES)
    data = ["--model", model, "--data", str(out / "votes"), "--gold", "town:gold"]
    with desk.store.reading() as connection:
        votes = len(figures.votes_of(connection, asked.task))
    folds = ["--folds", str(FOLDS)] if FOLDED[0] <= votes <= FOLDED[1] else []
    return [["reward", *data, "--epochs", str(asked.epochs), *folds, *_end(asked.seed, out / "reward")]]


# --- a model aligned with it


class Align(Part):
    """PPO asks for a reward model, DPO for rankings."""

    method: Literal["ppo", "dpo"] = "ppo"
    model: Id = Field(json_schema_extra={"of": [*POLICIES]})
    reward: Id | None = Field(None, json_schema_extra={"of": ["reward"]})
    rankings: Id | None = Field(None, json_schema_extra={"of": ["collect"]})
    steps: int = Field(12, ge=1, le=MOST_STEPS)
    seed: int = SEED


ON_THE_TOWN = (
    "--rollouts", "128", "--per-prompt", "2", "--epochs", "1", "--kl-coef", "0.1",
    "--optim.lr", "2e-4", "--optim.schedule", "constant", "--optim.weight-decay", "0",
)  # fmt: skip
"""PPO as `alignlab run` has it."""
BATCH = 16  # comparisons of a step of DPO


def align(desk: Desk, asked: Align, out: Path) -> list[str]:
    model = ["--model", run_of(desk, asked.model, *POLICIES)]
    end = _end(asked.seed, out / asked.method)
    if asked.method == "ppo":
        if asked.reward is None or asked.rankings is not None:
            raise Refused(422, "PPO learns from a reward model, and from nothing else", field="fields.reward")
        judged = ["--reward", run_of(desk, asked.reward, "reward"), "--data", "town:prompts"]
        steps = ["--count", "4000", "--gold", "town:gold", "--steps", str(asked.steps)]
        return ["ppo", *model, *judged, *steps, *ON_THE_TOWN, *end]
    if asked.rankings is None or asked.reward is not None:
        raise Refused(422, "DPO learns from rankings, and from nothing else", field="fields.rankings")
    data = ["--data", run_of(desk, asked.rankings, "collect"), "--count", str(asked.steps * BATCH)]
    how = ["--pairs-per-prompt", "1", "--batch", str(BATCH), "--beta", "0.3", "--optim.lr", "1e-4"]
    return ["dpo", *model, *data, *how, *end]


def aligned(desk: Desk, asked: Align, out: Path) -> list[list[str]]:
    return [_measured(str(out / asked.method), 400, asked.seed, out / "eval")]


# --- how good a model is


class Measure(Part):
    model: Id = Field(json_schema_extra={"of": [*POLICIES]})
    prompts: int = Field(400, ge=1, le=1000)
    baseline: Id | None = Field(None, json_schema_extra={"of": ["eval"]})
    seed: int = SEED


def measure(desk: Desk, asked: Measure, out: Path) -> list[str]:
    against = ["--baseline", run_of(desk, asked.baseline, "eval")] if asked.baseline else []
    model = run_of(desk, asked.model, *POLICIES)
    return [*_measured(model, asked.prompts, asked.seed, out), *against]


def _measured(model: str, prompts: int, seed: int, out: Path) -> list[str]:
    return ["eval", "--model", model, "--data", "town:test", "--prompts", str(prompts), *_end(seed, out)]


def _end(seed: int, out: Path) -> list[str]:
    return ["--seed", str(seed), "--out", str(out)]


FIRST: tuple[Kind, ...] = (
    Kind("demo", Demo, demo, 1200, "a small model from end to end: SFT, reward model, PPO, DPO, figures"),
    Kind("sample", Sample, sample, 600, "answers of a model to questions of the town, to vote on"),
    Kind("learn", Learn, snapshot, 600, "a reward model of a task's votes", reward),
    Kind("align", Align, align, 1200, "PPO or DPO of a few steps, and then its evaluation", aligned),
    Kind("measure", Measure, measure, 600, "a model's answers to held-out questions, scored"),
)
