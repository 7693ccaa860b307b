"""The split keeps a question on one side, whatever else is in the data."""

import random
from types import SimpleNamespace
from typing import Any

import pytest

from alignlab.data import by_question
from alignlab.data.split import in_folds
from alignlab.errors import ConfigError
from alignlab.records import Comparison, Completion, Demonstration, Prompt, Ranking, Text, prompt_in, question
from alignlab.stages.rankings import Split, _same_ranking, _together
from alignlab.town.names import data as town_data


def test_a_question_is_never_on_both_sides_and_order_does_not_matter():
    records = [Comparison(Prompt.user(f"Q{i % 200}?", row=i), f"a{i}", "b") for i in range(1000)]
    train, test = by_question(records, 0.2, seed=3)
    assert not {r.prompt.id for r in train} & {r.prompt.id for r in test}
    assert len(train) + len(test) == 1000 and 20 <= len({r.prompt.id for r in test}) <= 60
    shuffled = random.Random(0).sample(records, len(records))
    assert {r.chosen for r in by_question(shuffled, 0.2, seed=3)[1]} == {r.chosen for r in test}
    assert {r.chosen for r in by_question(records, 0.2, seed=4)[1]} != {r.chosen for r in test}


def test_kinds_agree_on_a_prompt_and_a_larger_share_contains_a_smaller():
    prompts = [Prompt.user(f"Q{i}?") for i in range(300)]
    held = {p.id for p in by_question(prompts, 0.1, seed=0)[1]}
    assert held == {
        d.prompt.id for d in by_question([Demonstration(p, "x") for p in prompts], 0.1, seed=0)[1]
    }
    assert held < {p.id for p in by_question(prompts, 0.3, seed=0)[1]}


def test_texts_and_limits():
    texts = [Text(str(i)) for i in range(100)]
    assert by_question(texts, 0, seed=0) == (texts, [])
    assert 0 < len(by_question(texts, 0.5, seed=0)[1]) < 100
    with pytest.raises(ConfigError, match="held_out is 1"):
        by_question(texts, 1, seed=0)


@pytest.mark.parametrize("name", ["demos", "prompts", "crowd", "verifiable"])
def test_no_question_of_the_town_is_on_both_sides_in_whatever_words(name: str):
    sides = by_question(town_data(name, count=600, seed=4), 0.3, seed=2)
    train, test = ([prompt_in(record) for record in side] for side in sides)
    asked = {question(prompt) for prompt in train}
    assert test and asked.isdisjoint(question(prompt) for prompt in test)
    assert len({prompt.text for prompt in train}) > len(asked)  # some are asked in several ways


def test_a_paraphrase_of_what_another_part_holds_out_moves_with_it():
    """Several collect runs as one."""

    def ranking(text: str, b: int) -> Ranking:
        prompt = Prompt.user(text, kind="sum", params={"a": 3, "b": b})
        return Ranking(prompt, (Completion(prompt, "7."), Completion(prompt, "8.")), (1, 2))

    names: list[Any] = [SimpleNamespace(name="one"), SimpleNamespace(name="two")]
    parts = [
        Split([names[0]], [ranking("What is 3 + 4?", 4)], [ranking("3 + 5?", 5)], ""),
        Split([names[1]], [ranking("Add 3 and 5.", 5)], [], ""),
    ]
    split = _together(parts, 0.1, 0, what="rankings", same=_same_ranking)
    assert [r.prompt.text for r in split.train] == ["What is 3 + 4?"]
    assert [r.prompt.text for r in split.test or []] == ["3 + 5?", "Add 3 and 5."]


def test_folds_are_of_about_as_many_questions_and_share_none():
    texts = [Text(f"text {n % 23}") for n in range(60)]
    folds = in_folds(texts, 5, seed=3)
    asked = [{record.text for record in fold} for fold in folds]
    assert sum(map(len, folds)) == 60 and sorted(map(len, asked)) == [4, 4, 5, 5, 5]
    assert len(set.union(*asked)) == 23
    assert in_folds(texts, 5, seed=3) == folds != in_folds(texts, 5, seed=4)
    assert in_folds(texts[:1], 2, seed=0) == [texts[:1], []]
