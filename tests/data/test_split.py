"""The split keeps a prompt on one side, whatever else is in the data."""

import random

import pytest

from alignlab.data import by_prompt
from alignlab.errors import ConfigError
from alignlab.records import Comparison, Demonstration, Prompt, Text


def test_a_prompt_is_never_on_both_sides_and_order_does_not_matter():
    records = [Comparison(Prompt.user(f"Q{i % 200}?", row=i), f"a{i}", "b") for i in range(1000)]
    train, test = by_prompt(records, 0.2, seed=3)
    assert not {r.prompt.id for r in train} & {r.prompt.id for r in test}
    assert len(train) + len(test) == 1000 and 20 <= len({r.prompt.id for r in test}) <= 60
    shuffled = random.Random(0).sample(records, len(records))
    assert {r.chosen for r in by_prompt(shuffled, 0.2, seed=3)[1]} == {r.chosen for r in test}
    assert {r.chosen for r in by_prompt(records, 0.2, seed=4)[1]} != {r.chosen for r in test}


def test_kinds_agree_on_a_prompt_and_a_larger_share_contains_a_smaller():
    prompts = [Prompt.user(f"Q{i}?") for i in range(300)]
    held = {p.id for p in by_prompt(prompts, 0.1, seed=0)[1]}
    assert held == {d.prompt.id for d in by_prompt([Demonstration(p, "x") for p in prompts], 0.1, seed=0)[1]}
    assert held < {p.id for p in by_prompt(prompts, 0.3, seed=0)[1]}


def test_texts_and_limits():
    texts = [Text(str(i)) for i in range(100)]
    assert by_prompt(texts, 0, seed=0) == (texts, [])
    assert 0 < len(by_prompt(texts, 0.5, seed=0)[1]) < 100
    with pytest.raises(ConfigError, match="held_out is 1"):
        by_prompt(texts, 1, seed=0)
