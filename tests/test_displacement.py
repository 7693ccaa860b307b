"""When a falling chosen log-probability is said to be normal, when a failure, and when nothing is said."""

from __future__ import annotations

import json
import random

import pytest

from alignlab.health.displacement import FAR, WINDOW, Watch

STEPS = 200


def watched(
    chosen, rejected, *, relative: bool = True, steps: int = STEPS, noise: float = 0.0, seed: int = 0
) -> tuple[Watch, dict[int, str]]:
    """A watch after a run whose log-probabilities are these functions of the share of the run that is done,
    and what it said at which step.
    """
    watch, draw, said = Watch(steps, "a larger beta", relative), random.Random(seed), {}
    for step in range(steps):
        text = watch.see(
            step, chosen(step / steps) + draw.gauss(0, noise), rejected(step / steps) + draw.gauss(0, noise)
        )
        if text:
            said[step] = text
    return watch, said


def test_a_healthy_run_is_left_alone():
    watch, said = watched(lambda t: 0.3 * t, lambda t: -0.5 * t)
    assert not said and watch.verdict == "none" and watch.text == "" and watch.set_in is None
    assert watch.summary() == {
        "verdict": "none",
        "step": None,
        "chosen": pytest.approx(0.3, abs=0.02),
        "rejected": pytest.approx(-0.5, abs=0.03),
        "text": "",
    }


def test_a_little_is_normal_and_said_when_asked():
    watch, said = watched(lambda t: -0.5 * FAR * t, lambda t: -2 * FAR * t)
    assert (
        not said and watch.verdict == "normal" and "This is normal" in watch.text and "Turn" not in watch.text
    )
    assert watch.set_in is not None and WINDOW - 1 <= watch.set_in < 40


def test_far_down_is_a_failure_said_once_with_the_step_and_one_setting():
    watch, said = watched(lambda t: -3 * FAR * t, lambda t: -9 * FAR * t)
    ((step, text),) = said.items()
    assert watch.verdict == "failure" and step < STEPS / 2 and watch.set_in < step
    assert (
        f"since step {watch.set_in}" in text
        and "This is a failure" in text
        and text.endswith("Turn one setting: a larger beta.")
        and "normal" not in text
    )


def test_a_fall_that_was_made_good_again_is_none_at_the_end():
    watch, said = watched(lambda t: -0.5 * FAR if t < 0.5 else 0.01, lambda t: -FAR)
    assert not said and watch.verdict == "none" and watch.set_in is None and watch.text == ""
    watch, said = watched(lambda t: -2 * FAR if t < 0.5 else 0.01, lambda t: -3 * FAR)
    assert len(said) == 1 and watch.verdict == "failure" and watch.set_in is not None


def test_both_falling_alike_or_the_rejected_one_rising_is_no_displacement():
    """Without a margin that grows it is another trouble (forgetting, say), and not this one."""
    assert watched(lambda t: -9 * FAR * t, lambda t: -3 * FAR * t)[0].verdict == "none"
    assert watched(lambda t: -9 * FAR * t, lambda t: 0.1 * t)[0].verdict == "none"


@pytest.mark.parametrize("seed", range(10))
def test_without_a_known_start_the_noise_of_batches_sets_off_nothing_and_a_fall_is_seen(seed: int):
    level = {"relative": False, "noise": 0.15, "seed": seed}
    quiet, said = watched(lambda t: -0.9, lambda t: -1.4 - 0.5 * t, **level)
    assert not said and quiet.verdict != "failure"
    fallen, said = watched(lambda t: -0.9 - 4 * FAR * t, lambda t: -1.4 - 8 * FAR * t, **level)
    assert (
        len(said) == 1
        and fallen.verdict == "failure"
        and fallen.summary()["chosen"] == pytest.approx(-4 * FAR, abs=0.2)
    )


def test_a_short_run_looks_at_fewer_steps():
    watch, said = watched(lambda t: -4 * FAR, lambda t: -8 * FAR, steps=2)
    assert watch.window == 1 and watch.verdict == "failure" and list(said) == [0]
    watch, said = watched(lambda t: -9 * t, lambda t: -18 * t, steps=2, relative=False)
    assert watch.verdict == "none", "two steps are no start to compare with"


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("at", [3, WINDOW - 1, WINDOW, 60, 199])
def test_a_run_that_goes_on_says_what_an_undisturbed_one_says(relative: bool, at: int):
    def value(step: int) -> tuple[float, float]:
        return -0.9 - step / 200, -1.2 - step / 80

    whole, first = Watch(STEPS, "", relative), Watch(STEPS, "", relative)
    texts = [whole.see(step, *value(step)) for step in range(STEPS)]
    before = [first.see(step, *value(step)) for step in range(at)]
    again = Watch(STEPS, "", relative)
    again.load(json.loads(json.dumps(first.state())))
    assert before + [again.see(step, *value(step)) for step in range(at, STEPS)] == texts
    assert again.summary() == whole.summary()
