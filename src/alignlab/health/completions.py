"""Rules about what a model writes: its length and its end, and what became of what it could before."""

from __future__ import annotations

from statistics import fmean as mean

from .history import LENGTH, History, Hit, change


def length_drift(h: History) -> Hit | None:
    length = h.series(*LENGTH)
    if len(length) < 6:
        return None
    first, last, moved, noise = change(length)
    if abs(moved) < 3 * noise or (last < 1.5 * first and last > 0.6 * first):
        return None
    way = "grew" if moved > 0 else "fell"
    cause = (
        "the reward pays for length: a reward model often likes the longer answer"
        if moved > 0
        else "the reward pays for brevity, or a long answer is punished"
    )
    return Hit(
        "broken", f"{length.name} {way} from {first:.1f} to {last:.1f} tokens", length.span, cause=cause
    )


def no_end_tokens(h: History) -> Hit | None:
    cut = h.series("completions/clipped_ratio")
    if len(cut) < 2:
        return None
    first, last = mean(cut.head(0.15, 2)), mean(cut.tail(0.15, 2))
    steps = cut.span
    if first > 0.9 and last > 0.9:
        return Hit(
            "broken",
            f"{last:.0%} of the completions are cut at the limit, from the first step on",
            steps,
            cause=(
                "the model never writes an end token: pad = eos masked it in SFT, the template has none, or "
                "the sampler waits for another"
            ),
            turn="--model: an SFT model that was trained on its end token",
        )
    if last > 0.4 and last > first + 0.2:
        return Hit("broken", f"completions cut at the limit went from {first:.0%} to {last:.0%}", steps)
    if last > 0.3 and h.share >= 0.5:
        return Hit(
            "broken",
            f"{last:.0%} of the completions are cut at the limit",
            steps,
            cause="answers are longer than max_new_tokens leaves room for",
            turn="sampling.max_new_tokens: up",
        )
    if last > 0.02 and h.share >= 1:
        return Hit("normal", f"{last:.0%} of the completions are cut at the limit", steps)
    return None


def general_text_lost(h: History) -> Hit | None:
    """The loss on a page of plain text that nobody trains on."""
    if not (found := h.general("text_loss")):
        return None
    before, after = found
    if before > 6:
        return None  # it never knew English
    said = f"the loss on a page of plain English went from {before:.2f} to {after:.2f} nats per token"
    if not after - before <= 0.25:  # a NaN too
        return Hit("normal" if h.other_language else "broken", said, (0, 0))
    return Hit("normal", said, (0, 0)) if after - before > 0.05 else None


def general_answers_lost(h: History) -> Hit | None:
    """Plain questions answered greedily: facts forgotten, loops, nothing, or another language's letters."""
    right, loops, empty, script = (
        h.general(name) for name in ("right", "repetition", "empty", "other_script")
    )
    text = h.general("text_loss")
    lost = right[0] - right[1] if right and not h.other_language else 0.0
    if right and (
        lost > 0.45 or lost > 0.25 and text and text[1] > text[0] + 0.01
    ):  # three facts go in a sound run too, but then the text gets no dearer
        return Hit(
            "broken",
            (
                f"of ten plain questions of fact it answers {10 * right[1]:.0f} right ({10 * right[0]:.0f} "
                "before)"
            ),
            (0, 0),
        )
    if loops and loops[1] > max(0.35, loops[0] + 0.2):
        return Hit(
            "broken",
            f"{loops[1]:.0%} of what it answers to plain questions repeats itself ({loops[0]:.0%} before)",
            (0, 0),
        )
    if empty and empty[1] > max(0.25, empty[0] + 0.2):
        return Hit(
            "broken",
            f"{empty[1]:.0%} of plain questions get no word for an answer ({empty[0]:.0%} before)",
            (0, 0),
        )
    if script and script[1] > max(0.05, script[0] + 0.05):
        return Hit(
            "normal" if h.other_language else "broken",
            (
                f"{script[1]:.0%} of the letters in its answers to plain English questions are not Latin "
                f"({script[0]:.0%} before)"
            ),
            (0, 0),
        )
    return None
