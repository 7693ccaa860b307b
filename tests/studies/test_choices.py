"""The step `choices`: exact probabilities of listed answers, and the lists that the town gives."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from alignlab import names
from alignlab.errors import DataError
from alignlab.models.chat import Rendered, example, text_ids
from alignlab.models.chat_template import ids_of
from alignlab.models.load import load_policy
from alignlab.records import Prompt, write_jsonl
from alignlab.run import RunDir, read_run
from alignlab.settings import ModelSettings
from alignlab.studies import choice_rows
from alignlab.studies.choices import Choice, choices, chosen, row_of, summarize
from alignlab.studies.settings import ChoicesSettings
from alignlab.town import gold, sets, tasks, world

TOWN = world.build()
IN_CHAT = Choice(
    "a", Prompt.user("What is 2 plus 3?"), ("5.", "2 plus 3 is 5.", "No."), ("5", "s", "no"), "u", 1
)
IN_TEXT = Choice("b", "Question: How?\nAnswer:", (" First, wait.", " No."), ("how", "no"), "v", meta={"x": 1})
ALONE = Choice("c", "", ("Ivy is a baker.", "Ivy is a smith."), ("baker", "smith"), "u", 0)


def asked(tmp_path: Path, rows: Any, model: str = "town-s") -> Any:
    """What a model makes of some rows, or of a list by name."""
    if not isinstance(rows, str):
        write_jsonl(tmp_path / "rows.jsonl", rows)
        rows = str(tmp_path / "rows.jsonl")
    run = {"out": tmp_path / "run", "seed": 0, "resume": True, "settings": ChoicesSettings()}
    choices(model=model, asked=rows, **run)
    return read_run(tmp_path / "run")


def plainly(row: Rendered, model: Any) -> float:
    """The sum of the log-probabilities that the mask asks for, one row and nothing clever."""
    logits = model(torch.tensor([row.ids])).logits[0].log_softmax(-1)
    return sum(logits[t - 1, row.ids[t]].item() for t in range(1, len(row.ids)) if row.loss_mask[t])


@torch.no_grad()
def test_each_answer_has_the_probability_that_the_model_gives_it_token_by_token(tmp_path: Path) -> None:
    policy = load_policy(names.models.model("town-s").path, ModelSettings())
    found = chosen(asked(tmp_path, [IN_CHAT, IN_TEXT, ALONE]))
    for row, mine in zip((IN_CHAT, IN_TEXT, ALONE), found, strict=True):
        for answer, raw in zip(row.answers, mine.raw, strict=True):
            if isinstance(row.asked, Prompt):
                rendered = example(policy.tokenizer, row.asked, answer)
                assert rendered.ids[-1] in policy.end_ids
            else:
                before, after = text_ids(policy.tokenizer, row.asked), ids_of(policy.tokenizer, answer)
                rendered = Rendered([*before, *after], [0] * len(before) + [1] * len(after))
            assert raw == pytest.approx(plainly(rendered, policy.model), abs=2e-3)
        assert sum(mine.p) == pytest.approx(1)
        assert math.log(mine.p[0] / mine.p[1]) == pytest.approx(mine.raw[0] - mine.raw[1], abs=1e-9)
    assert found[1].right is found[1].first is None and found[1].meta == {"x": 1}
    assert found[2].of("smith") == found[2].p[1]


def test_figures_are_means_over_units(tmp_path: Path) -> None:
    """Two choices of one fact are one case; what has no right answer is none."""
    rows = [
        row_of(Choice("1", "x", ("a", "b"), ("a", "b"), "u", 0), [0.0, -math.log(3)]),
        row_of(Choice("2", "x", ("a", "b"), ("a", "b"), "u", 1), [0.0, 0.0]),
        row_of(Choice("3", "x", ("a", "b"), ("a", "b"), "v", 0), [-1001.0, -1000.0]),
        row_of(Choice("4", "x", ("a", "b"), ("a", "b"), "w"), [0.0, -1.0]),
    ]
    found = summarize(rows)
    assert [row["first"] for row in rows] == [1, 0, 0, None]
    assert found["first"]["mean"] == pytest.approx((0.5 + 0.0) / 2) and found["first"]["n"] == 2
    sigmoid = 1 / (1 + math.e)
    assert found["p"]["mean"] == pytest.approx(((0.75 + 0.5) / 2 + sigmoid) / 2)
    assert found["logp"]["mean"] == pytest.approx(
        ((math.log(0.75) + math.log(0.5)) / 2 + math.log(sigmoid)) / 2
    )
    assert found["raw"]["mean"] == pytest.approx((0.0 - 1001.0) / 2)
    assert summarize(rows[3:])["first"] == {"mean": None, "ci": None, "n": 0}


def test_a_choice_survives_its_file_and_a_run_of_its_own(tmp_path: Path) -> None:
    for row in (IN_CHAT, IN_TEXT, ALONE):
        assert Choice.from_json(json.loads(json.dumps(row.to_json()))) == row
    made = RunDir.open(tmp_path / "made", stage="x", config={"settings": {}, "options": {}}, seed=0)
    made.add_data("choices", [ALONE])
    made.finish({})
    found = asked(tmp_path, str(tmp_path / "made"))
    assert found.summary["choices"] == 1 and str(tmp_path / "made") in found.parents


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"answers": ["a"], "names": ["a"]}, "lists 1 answers"),
        ({"answers": ["a", "a"]}, "lists 2 answers"),
        ({"names": ["a"]}, "under 1 names"),
        ({"right": 2}, "number 2 of 2"),
        ({"answers": [" word" * 3000, "b"]}, "tokens long"),
        ({"answers": None}, "not a Choice"),
    ],
)
def test_what_is_no_choice_is_said(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    row = {
        "id": "x",
        "asked": "y",
        "answers": ["a", "b"],
        "names": ["a", "b"],
        "unit": "u",
        "right": 0,
    } | change
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(row) + "\n")
    run = {"out": tmp_path / "run", "seed": 0, "resume": True, "settings": ChoicesSettings()}
    with pytest.raises(DataError, match=said):
        choices(model="town-s", asked=str(file), **run)
    with pytest.raises(DataError, match="or one of facts, facts:interview"):
        choices(model="town-s", asked="fact", **run)


def test_every_fact_stands_among_all_values_of_its_relation() -> None:
    told = [choice_rows.facts(TOWN, form) for form in ("chat", "interview", "statement")]
    assert [len(rows) for rows in told] == [len(TOWN.facts)] * 3
    for chat, interview, statement in zip(*told, strict=True):
        true = TOWN.value(chat.meta["relation"], chat.meta["subject"])
        for row in (chat, interview, statement):
            assert row.names == tuple(world.VALUES[row.meta["relation"]]) and row.names[row.right] == true
            assert row.answers[row.right].strip() == statement.answers[row.right]
        request = tasks.Request("fact", dict(chat.meta), (chat.asked.text,), "train")
        assert gold.judge(TOWN, request, chat.answers[chat.right]).value == 1.0
        assert interview.asked == f"Question: {chat.asked.text}\nAnswer:" and statement.asked == ""
    assert sum(row.meta["shown"] for row in told[0]) < len(told[0])


def test_sides_of_a_matter_and_steps_of_a_topic_are_what_gold_reads() -> None:
    """And the words of the test are those that the test asks in."""
    rows = choice_rows.matters(TOWN, "chat")
    for row in rows[:: len(rows) // 12]:
        request = tasks.Request("contested", {"matter": row.unit}, (row.asked.text,), "train")
        verdicts = [gold.judge(TOWN, request, answer) for answer in row.answers]
        assert [verdict.value for verdict in verdicts] == [0.2, 0.2, 1.0] and row.right == 2
        assert verdicts[0].parts["pro"] and verdicts[1].parts["con"]
    asked_in = {row.asked.text for row in rows if row.meta["way"] == "test" and row.meta["side"] == "test"}
    for prompt in sets.load(TOWN, "test"):
        if prompt.meta["kind"] == "contested" and prompt.meta["split"] == "phrasing":
            assert prompt.text in asked_in
    steps = choice_rows.all_steps(TOWN, "chat")
    known = set(world.TOPICS) - {topic.name for topic in world.NEVER_KNOWN}
    assert {row.unit for row in steps} == known and {len(row.answers) for row in steps} == {12}
    for row in steps[::20]:
        request = tasks.Request("how_to", {"topic": row.unit}, (row.asked.text,), "train")
        values = [gold.judge(TOWN, request, answer).value for answer in row.answers]
        assert values == [1.0] + [0.0] * 11


def test_a_base_model_has_the_facts_that_its_corpus_tells(tmp_path: Path) -> None:
    """In the corpus's own form a base model puts the truth first; in chat, which it has not learnt, less."""
    found = asked(tmp_path, "facts:statement")
    assert found.summary["first"]["mean"] > 0.95 and found.summary["first"]["n"] == len(TOWN.facts)
