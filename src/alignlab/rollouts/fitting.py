"""Prompts that a loop can learn on: short enough, with room for an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from ..data.checks import fit
from ..models.policy import Policy, context_of
from ..records import Prompt
from ..run import RunDir
from ..settings import GroupSettings, OnlineDPOSettings, PPOSettings, RejectionSettings
from ..settings.rules import check

OnPolicySettings: TypeAlias = PPOSettings | GroupSettings | OnlineDPOSettings | RejectionSettings


def prompts_that_fit(
    run: RunDir, policy: Policy, prompts: Sequence[Prompt], settings: OnPolicySettings
) -> tuple[list[Prompt], dict[str, int]]:
    """The prompts of at most `max_prompt_length` tokens that leave room for an answer, and how many were
    dropped, by reason. What was cut or dropped is said, and the prompts go into the run's data.

    Raises:
        ConfigError: settings that cannot work. DataError: no prompt fits, or most of them are lost.
    """
    check(settings)
    name, sampling = run.info["stage"], settings.sampling
    longest = min(settings.max_prompt_length, context_of(policy.model) - sampling.max_new_tokens)
    fitting, report = fit(
        prompts,
        policy.tokenizer,
        longest,
        truncate=settings.truncate,
        anyway=settings.anyway,
        setting="max_prompt_length",
    )
    cut = f", {report.cut} of them cut from the left" if report.cut else ""
    run.note(
        f"{name}: {report.kept} of {report.read} prompts fit into {longest} tokens (longest "
        f"{report.longest}){cut}"
    )
    if sampling.top_p < 1:
        run.note(
            f"{name}: top_p {sampling.top_p} samples from less than the policy; ratios and KL are those "
            "of the whole policy"
        )
    run.add_data("prompts", fitting)
    return fitting, report.dropped
