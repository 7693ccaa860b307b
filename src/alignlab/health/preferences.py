"""Rules about learning from comparisons: reward models and direct methods."""

from __future__ import annotations

from statistics import fmean as mean

from .history import History, Hit, Series, at, error, tells
from .optimizing import _no_learning_rate


def at_chance(h: History) -> Hit | None:
    """A reward model's accuracy, or that of an implicit reward, over the later rows and on held-out pairs."""
    accuracy = h.series("accuracy", "rewards/accuracies")
    if len(accuracy) < 12 or h.share < 0.5 or _no_learning_rate(h):
        return None
    last = accuracy.tail(0.5, 8)
    steps = (accuracy.steps[-len(last)], accuracy.steps[-1])
    held = h.rate("accuracy")
    if held and tells(held):
        by_chance = held[2] < 0.56 or held[0] < 0.53 or held[1] <= 0.5 and held[2] < 0.6
    else:
        by_chance = mean(last) + 2 * error(last) < 0.56
    if not by_chance:
        return None
    evidence = f"{accuracy.name} is {mean(last):.2f} +- {error(last):.2f} {at(steps)}"
    if held:
        evidence += f", {held[0]:.2f} on held-out pairs"
    return Hit("broken", evidence, steps)


def reward_model_at_chance(h: History) -> Hit | None:
    return at_chance(h) if h.series("accuracy") else None


def preferences_not_learnt(h: History) -> Hit | None:
    if h.stage == "online-dpo":  # its pairs are new in each step, and near ties
        return None
    return at_chance(h) if h.series("rewards/accuracies") else None


def reward_model_too_good(h: History) -> Hit | None:
    accuracy, held = h.series("accuracy"), h.rate("accuracy")
    ceiling = h.summary.get("ceiling")
    if held and isinstance(ceiling, (int, float)) and held[1] > ceiling + 0.02:
        return Hit(
            "broken",
            (
                f"held-out accuracy {held[0]:.3f} is above the {ceiling:.3f} that the annotator's own noise "
                "allows"
            ),
            (0, 0),
        )
    if (
        held
        and held[0] > 0.985
        and held[1] > 0.9
        and not (isinstance(ceiling, (int, float)) and held[0] <= ceiling)
    ):  # of an annotator known to make no mistakes
        return Hit(
            "broken",
            f"held-out accuracy is {held[0]:.3f}: people agree with each other on 0.6 to 0.8 of such pairs",
            (0, 0),
        )
    epoch = h.series("epoch")
    if len(accuracy) < 12 or not epoch:
        return None
    once = [value for value, passed in zip(accuracy.values, epoch.values, strict=False) if passed <= 1.0][
        len(accuracy) // 4 :
    ]
    if (
        len(once) >= 8
        and mean(once[-8:]) > 0.985
        and not (isinstance(ceiling, (int, float)) and ceiling > 0.985)
    ):
        return Hit(
            "broken",
            f"accuracy is {mean(once[-8:]):.3f} on pairs that it sees for the first time",
            (accuracy.steps[0], accuracy.steps[len(once) - 1]),
        )
    return None


def reward_model_over_fitted(h: History) -> Hit | None:
    return _fitted(h, h.series("accuracy"))


def preferences_over_fitted(h: History) -> Hit | None:
    return _fitted(h, h.series("rewards/accuracies"))


def _fitted(h: History, accuracy: Series) -> Hit | None:
    held = h.rate("accuracy")
    if len(accuracy) < 8 or not held:
        return None
    last = mean(accuracy.tail(0.2, 4))
    if last > 0.9 and last - held[2] > 0.08:
        return Hit(
            "broken",
            (
                f"{accuracy.name} is {last:.3f} on what it trains on and {held[0]:.3f} [{held[1]:.3f}, "
                f"{held[2]:.3f}] on held-out pairs"
            ),
            accuracy.span,
        )
    return None


def length_detector(h: History) -> Hit | None:
    held, floor = h.rate("accuracy"), h.rate("length_floor")
    if not held or not floor or not tells(held) or floor[0] < 0.6 or floor[1] <= 0.5:
        return None
    if held[0] < floor[0] + 0.02:
        return Hit(
            "broken",
            f"held-out accuracy {held[0]:.3f}; always taking the longer answer: {floor[0]:.3f}",
            (0, 0),
        )
    return None


def margin_saturated(h: History) -> Hit | None:
    accuracy, margin = h.series("rewards/accuracies", "accuracy"), h.series("rewards/margins", "margin")
    if len(accuracy) < 8 or not margin:
        return None
    right, wide = mean(accuracy.tail(0.2, 4)), mean(margin.tail(0.2, 4))
    if right > 0.98 and wide > 8:
        return Hit(
            "broken",
            (
                f"{accuracy.name} is {right:.3f} and {margin.name} {wide:.1f}: the loss has nothing left to "
                "teach"
            ),
            accuracy.span,
        )
    return None
