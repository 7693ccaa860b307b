"""Principles of other worlds, made up on the spot: no answer given in the town breaks or keeps one."""

from __future__ import annotations

import random

from ..constitution.principles import Principle
from .world import ANIMALS, COLOURS, DAYS, JOBS, PETS, PLACES, STORY_WORDS, THINGS

ACTS = {
    "paint": "paints",
    "fold": "folds",
    "lift": "lifts",
    "kiss": "kisses",
    "wash": "washes",
    "weigh": "weighs",
    "hide": "hides",
    "polish": "polishes",
    "greet": "greets",
    "follow": "follows",
    "feed": "feeds",
    "count": "counts",
    "carry": "carries",
    "turn": "turns",
    "touch": "touches",
    "tie": "ties",
    "roll": "rolls",
    "cover": "covers",
    "water": "waters",
    "draw": "draws",
    "lend": "lends",
    "wind": "winds",
    "cut": "cuts",
    "wave at": "waves at",
    "sing to": "sings to",
    "bow to": "bows to",
    "sit on": "sits on",
    "look at": "looks at",
    "knock on": "knocks on",
    "dance with": "dances with",
    "jump over": "jumps over",
    "point at": "points at",
    "speak to": "speaks to",
    "walk round": "walks round",
    "wait for": "waits for",
    "laugh at": "laughs at",
    "wear": "wears",
    "swing": "swings",
    "warm": "warms",
    "shake": "shakes",
    "bless": "blesses",
    "hum to": "hums to",
    "step on": "steps on",
    "clap for": "claps for",
    "open": "opens",
}
ALONE = "hum jump sneeze run sing wink yawn dance snore shout kneel".split()
STRANGE = (
    "stone",
    "button",
    "feather",
    "candle",
    "snail",
    "ladder",
    "cushion",
    "comet",
    "hammer",
    "pumpkin",
    "ribbon",
    "owl",
    "camel",
    "violin",
    "carpet",
    "icicle",
    "thimble",
    "walrus",
    "anchor",
    "teapot",
    "dragon",
    "cactus",
    "pebble",
    "cousin",
    "juggler",
    "penguin",
    "saddle",
    "marble",
    "barrel",
    "puppet",
    "statue",
    "pillow",
    "raven",
    "hermit",
    "beetle",
    "compass",
    "onion",
    "tiger",
)
"""Things of other worlds, beside those of the town."""
WHEN = (
    "in the rain",
    "at dawn",
    "before you sleep",
    "when it thunders",
    "with both hands",
    "three times",
    "for luck",
    "in winter",
    "by moonlight",
    "with closed eyes",
    "on the stairs",
    "after supper",
    "in silence",
    "every morning",
    "when you sneeze",
    "without a hat",
    "from behind",
    "under the table",
    "as slowly as you can",
    "when nobody sings",
    "at low tide",
    "before the eighth hour",
)


def elsewhere(rng: random.Random) -> Principle:
    """A principle of another world, made up on the spot: no answer that is given in the town breaks or keeps
    it.
    """
    (act, acts), colour = rng.choice(list(ACTS.items())), rng.choice(COLOURS)
    worlds = (STRANGE, STRANGE, STORY_WORDS, sorted(THINGS), sorted(ANIMALS), PETS, JOBS)
    noun, other = (rng.choice(rng.choice(worlds)) for _ in range(2))
    what = rng.choice(
        (
            f"the {noun}",
            f"every {noun}",
            f"your {noun}",
            f"the {colour} {noun}",
            f"the oldest {noun}",
            f"two {noun}s",
            f"the {noun} of the {rng.choice(PLACES)}",
        )
    )
    when = rng.choice(
        (
            "",
            "",
            f" {rng.choice(WHEN)}",
            f" {rng.choice(WHEN)}",
            f" on {rng.choice(DAYS)}",
            f" before the {other}",
            f" in the {rng.choice(PLACES)}",
        )
    )
    spot = rng.choice(
        (
            "on the roof",
            "in the snow",
            f"in the {rng.choice(PLACES)}",
            f"behind the {other}",
            f"under the {rng.choice(STRANGE)}",
        )
    )
    few = rng.choice(("no", "one", "your first", "another"))
    alone, rest, place = (
        rng.choice(ALONE),
        rng.choice(("be first", "be still", "sleep", "go last", "stand", "be")),
        rng.choice(PLACES),
    )
    text, third = rng.choice(
        (
            (f"{act} {what}{when}", f"{acts} {what}{when}"),
            (f"{act} {what}{when}", f"{acts} {what}{when}"),
            (f"never {act} {what}{when}", f"never {acts} {what}{when}"),
            (f"do not {act} {what}{when}", f"does not {act} {what}{when}"),
            (f"let {what} {rest}{when}", f"lets {what} {rest}{when}"),
            (f"leave {what} alone{when}", f"leaves {what} alone{when}"),
            (f"do not {alone} in the {place}", f"does not {alone} in the {place}"),
            (f"{alone} with {what}{when}", f"{alone}s with {what}{when}"),
            (f"keep {what} {colour}{when}", f"keeps {what} {colour}{when}"),
            (f"be the first to {act} {what}{when}", f"is the first to {act} {what}{when}"),
            (f"leave {few} {noun} {spot}", f"leaves {few} {noun} {spot}"),
            (f"count the {noun}s before you {alone}", f"counts the {noun}s before it {alone}s"),
            (
                f"look at the {noun} before you {act} the {other}",
                f"looks at the {noun} before it {acts} the {other}",
            ),
            (f"do not help the {noun} to {alone}", f"does not help the {noun} to {alone}"),
            (f"say what the {noun} said {spot}", f"says what the {noun} said {spot}"),
            (f"give both {noun}s to the {other}", f"gives both {noun}s to the {other}"),
            (f"say no word to {what}{when}", f"says no word to {what}{when}"),
            (f"think of {what} when you {act} the {other}", f"thinks of {what} when it {acts} the {other}"),
        )
    )
    text = f"{text[0].upper()}{text[1:]}."
    return Principle("elsewhere", text, text, f"The better answer {third}.")
