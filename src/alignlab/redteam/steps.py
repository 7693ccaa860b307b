"""Steps of a campaign in its run folder: the target made ready, attacked and its failures found, what came of
it kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from .. import names
from ..defences.middleware import build
from ..errors import UserError
from ..feedback.safety.verdicts import VerdictJudge
from ..run import RunDir, derive_seed
from ..sampling import Sampler, Sampling
from ..settings import RedteamSettings
from .campaign import Outcome, Plan, attack_all, usable
from .finding import Finding, Twin
from .findings import find
from .session import Session
from .target import local_sampler


def prepared(
    run: RunDir,
    model: str,
    stack: Sequence[str],
    plan: Plan,
    judge: VerdictJudge,
    s: RedteamSettings,
    *,
    folder: str = "",
) -> tuple[Session, Plan]:
    """A session with the target, and the plan without the attacks that this target gives no hold for."""
    target: Sampler = names.models.target(
        model, model=s.model, endpoint=s.endpoint, sampling=s.sampling, cache=run.path / "endpoint.jsonl"
    )
    local = local_sampler(target) is not None
    can = {"attacker"}
    if local or names.models.is_bot(model) or s.endpoint.prefill:
        can.add("prefill")
    if local and not stack:
        can |= {"logprobs", "gradients"}
    left, without = usable(plan.attacks, frozenset(can))
    if without:
        run.note(f"redteam: left out: {', '.join(without)}")
    if plan.attacks and not left:
        raise UserError(
            "none of the attacks works on this target", where=", ".join(without), remedy="--attacks standard"
        )
    sampling = Sampling.of(s.sampling)
    place = run.path / folder
    place.mkdir(exist_ok=True, parents=True)
    session = Session(
        build(list(stack), target),
        judge,
        sampling=sampling,
        identity=folder or label_of(model, stack),
        folder=place,
    )
    return session, Plan(left, plan.goals, plan.twins, plan.budget, plan.search_goals, plan.seed)


def campaign(run: RunDir, session: Session, plan: Plan, s: RedteamSettings) -> tuple[Outcome, list[Finding]]:
    """All attacks, and the findings."""
    outcome = attack_all(session, plan, track=lambda items: run.track(items, desc="red team"))
    return outcome, find(outcome, session, shorten=s.shorten, seed=derive_seed(plan.seed, "shorten"))


def keep_campaign(run: RunDir, outcome: Outcome, findings: Sequence[Finding], *, name: str = "") -> None:
    """Attempts, findings and the answers to the twins into the run's data."""
    twins = [
        Twin(answer.prompt, answer.text, verdict.label, verdict.p_refusal, verdict.reason)
        for answer, verdict in outcome.twins
    ]
    run.add_data(f"attempts{name}", outcome.everything)
    run.add_data(f"findings{name}", findings)  # type: ignore[arg-type]
    run.add_data(f"twins{name}", twins)


def correction(judge: str) -> Any:
    """What takes the shipped refusal classifier's measured errors out of a rate of compliance
    (`evals.scorers.corrected_for_a_new_model`); None for judges without a card.

    The model under attack is none of those whose answers were labelled: the errors are those on models left
    out, and as uncertain as these differ.
    """
    if judge != "refusal":
        return None
    from ..evals.scorers import corrected_for_a_new_model
    from ..feedback.safety.weights import shipped

    return partial(corrected_for_a_new_model, card=shipped().card)


def label_of(model: str, stack: Sequence[str]) -> str:
    return "+".join([model, *stack])
