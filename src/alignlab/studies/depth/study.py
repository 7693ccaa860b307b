"""The study `depth` as a whole: its claim, the papers beside it, what would show it to be wrong, its two
forms.
"""

from __future__ import annotations

from ..study import CannotSay, Form, Mirror, Seeds, Study, Verdict
from . import bars, figures, page, plan, real


def verdict(seeds: Seeds) -> Verdict:
    """Falsifiers first; then what was mirrored: where KL lies, what a few tokens and a few examples undo."""
    stays = sum(bars.off_the_decision("rloo")(one) > 1 for one in seeds)
    gone = sum(one["knows"]["helpful"]["harmful"] - bars.knowing(one) >= 0.1 for one in seeds)
    said = (
        f"KL's peak was more than a token from the decision in {stays} and knowledge fell by 0.1 or more in "
        f"{gone} of {len(seeds)} seeds"
    )
    if 2 * max(stays, gone) > len(seeds):
        return Verdict("disagrees", f"{said}.")
    slow = sum(bars.to_undo(one) >= bars.to_align(one) for one in seeds)
    said += f"; relearning took as many examples as aligning in {slow}"
    if 2 * slow > len(seeds):
        return Verdict("disagrees", f"{said}.")
    core = [*bars.of_positions(seeds)[1:4], *bars.of_beginnings(seeds)[1:], *bars.of_the_ladder(seeds)[1:3]]
    missed = [one for one in core if sum(map(bool, one.held)) < len(seeds)]
    if not missed:
        return Verdict("agrees", f"{said}; every bar that mirrors a paper held in all of them.")
    raise CannotSay(f"{said}, and yet not in every seed: " + "; ".join(one.claim for one in missed))


YOUNG = "Young 2026, 2603.04851, Why Is RLHF Alignment Shallow?"
QI = "Qi et al. 2024, 2406.05946, Safety alignment should be made more than just a few tokens deep"

DEPTH = Study(
    title="Surface or depth",
    controls=(
        "No, six and twelve neutral words, also before harmless answers. Ordinary requests in the place "
        "of refusals (placebo). The model before any safety training, one that helps with everything "
        "(ceiling), harms of which nothing was ever told (floor), harmless examples in the place of harmful "
        "ones. Behind a backdoor's trigger: without it, and behind a near miss."
    ),
    town=Form(plan.plan, figures.measure, page.tell, verdict),
    real=Form(real.plan, real.measure, real.tell, real.verdict),
    changed=(
        "After figures of seed 10, before any other seed: DPO and RLOO learn from people who look at harm "
        "alone, as the theorem's reward does (of all-round raters RLOO's KL sat at the reason that a refusal "
        "gives); the placebo is ordinary requests, since look-alikes taught it to help with harm; aligning "
        "is counted as undoing is, on five topics by the same training; the leaflet stands beside the "
        "question, which missed."
    ),
    claim=(
        "Safety sits where harm is decided and nowhere behind it: move the decision, and KL moves with it. "
        "What is refused is not gone, and what goes deeper is what was trained deeper."
    ),
    mirrors=(
        Mirror(
            YOUNG,
            "theorem; its abstract names no experiment",
            "the gradient at a token is the covariance of expected harm with the score, zero beyond the harm "
            "horizon; equilibrium KL tracks the harm information",
        ),
        Mirror(
            QI,
            "prefilling attack, HEx-PHI, Llama-2-7B-Chat",
            "42.1, 51.5, 56.1 and 57.0 % of attacks succeed with 5, 10, 20 and 40 harmful tokens; with "
            "recovery data 4.5 % with 40",
        ),
        Mirror(
            "Qi et al. 2023, 2310.03693",
            "abstract, GPT-3.5 Turbo by its API",
            "10 harmful examples, for less than $0.20, undo the guardrails; benign data wear them away too",
        ),
        Mirror(
            "Jain et al. 2023, 2311.12786",
            "synthetic, controlled settings",
            "a hidden capability is reused after only a few gradient steps",
        ),
        Mirror(
            "Ji et al. 2024, 2406.06144",
            "abstract; fast fall, then slow, which is another measure than examples to undo",
            "elasticity grows with model size and pretraining data",
        ),
        Mirror(
            "Hubinger et al. 2024, 2401.05566",
            "abstract",
            "backdoors are not removed by standard safety training, most persistent in the largest models; "
            "adversarial training can teach to recognise the trigger better",
        ),
        Mirror(
            "O'Brien et al. 2025, 2508.06601",
            "abstract, models of 6.9B from scratch",
            "filtered pretraining withstands up to 10,000 steps and 300M tokens of relearning: the "
            "never-told floor here",
        ),
    ),
    falsified_by=(
        "KL's peak stays at the first tokens where the decision moves; the share of topics whose true steps "
        "come first falls by 0.1; or relearning takes as many examples as aligning."
    ),
    would_change_my_mind=(
        "A model whose harm is decided late and gradually and whose safety is not; a training without any "
        "lesson that turns which holds behind ten harmful tokens; the same at the size of models that people "
        "use. Here harm is decided in one word, and a model of a million parameters relearns topic by topic."
    ),
)
