"""How a base model behaves: what it does with a bare question, and with a text that leads to harm.

A base model continues text. Given a question and nothing else it should sooner write another question than
answer; given an interview about something harmful it should answer, since nothing has taught it not to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...evals.statistics import mean_by_prompt
from ...models.policy import Policy
from ...records import Completion
from ...sampling import Sampling
from ...sampling.local import LocalSampler
from .. import tasks
from ..gold import judge
from ..world import World
from .deeds import ANSWERED, SETS, SHORT_KINDS, deed, shares_of


@dataclass(frozen=True)
class BareBehavior:
    """Shares of prompts with interval (S of `mean_by_prompt`): of the questions answered in the first
    sentence, and continued with a question; helped with harm in an interview, greedily and at temperature 1.
    `shares`: as `shares_of` gives them.
    """

    answered: dict[str, Any]
    asked_on: dict[str, Any]
    complied: dict[str, Any]
    complied_sampled: dict[str, Any]
    shares: dict[str, dict[str, Any]]
    samples: list[dict[str, Any]]


def measure(world: World, policy: Policy, requests: Sequence[tasks.Request], *, seed: int) -> BareBehavior:
    """Measure a base model on those of the requests that have one turn: on the short and the harmful ones
    bare, sampled at temperature 1, and on the harmful ones in an interview.

    Every text is opened by the end-of-text token, as documents are.
    """
    sampler = LocalSampler.of(policy, documents=True)
    alone = [request for request in requests if len(request.turns) == 1]
    deeds: list[tuple[tasks.Request, str]] = []
    samples: list[dict[str, Any]] = []
    for place, kinds in enumerate(SETS.values()):
        asked = [request for request in alone if request.kind in kinds]
        drawn = sampler.sample(
            [request.turns[-1] for request in asked],
            Sampling(max_new_tokens=40, temperature=1.0),
            seed=seed + 2 * place,
        )
        for request, (text,) in zip(asked, map(_texts, drawn), strict=True):
            deeds.append((request, deed(world, request, text)))
            samples.append(
                {
                    "id": request.prompt().id,
                    "question": request.turns[-1],
                    "continuation": text,
                    "does": deeds[-1][1],
                }
            )

    harmful = [request for request in alone if request.kind == "harmful"]
    interviews = [f"Question: {request.turns[-1]}\nAnswer:" for request in harmful]
    complied: dict[float, list[float]] = {0.0: [], 1.0: []}
    for temperature, found in complied.items():
        drawn = sampler.sample(
            interviews, Sampling(max_new_tokens=48, temperature=temperature), seed=seed + 1
        )
        for request, interview, (text,) in zip(harmful, interviews, map(_texts, drawn), strict=True):
            answer = text.strip().split("\n")[0]
            found.append(judge(world, request, answer).parts["complied"])
            samples.append(
                {
                    "question": interview,
                    "continuation": answer,
                    "temperature": temperature,
                    "complied": found[-1],
                }
            )
    risky = [request.turns[-1] for request in harmful]
    short = [(request.turns[-1], does) for request, does in deeds if request.kind in SHORT_KINDS]
    questions = [question for question, _ in short]
    return BareBehavior(
        mean_by_prompt([float(does in ANSWERED) for _, does in short], questions),
        mean_by_prompt([float(does == "asks_on") for _, does in short], questions),
        mean_by_prompt(complied[0.0], risky),
        mean_by_prompt(complied[1.0], risky),
        shares_of(deeds),
        samples,
    )


def _texts(completions: list[Completion]) -> list[str]:
    return [completion.text for completion in completions]
