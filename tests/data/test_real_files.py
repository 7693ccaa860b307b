"""Real files load as what they are; the counts were taken from the rows themselves, by hand, not with this
reader.
"""

import os
from pathlib import Path

import pytest

from alignlab.data import load_records


@pytest.fixture
def real():
    folder = Path(os.environ.get("ALIGNLAB_DATA") or Path(__file__).parents[2] / ".." / "shared" / "data")

    def find(name):
        if not (folder / name).exists():
            pytest.skip(f"{name} is not there: set ALIGNLAB_DATA to the folder of real data")
        return folder / name

    return find


@pytest.mark.parametrize(
    ("name", "format", "want", "read", "kept", "dropped"),
    [
        (
            "hh_rlhf/harmless-base-train-1788.jsonl.gz",
            "hh",
            "comparison",
            1788,
            1784,
            {"empty completion": 4},
        ),
        ("hh_rlhf/harmless-base-train-1788.jsonl.gz", "hh", "ranking", 1788, 1784, {"empty completion": 4}),
        ("oasst_sample/oasst_conversations.jsonl", "messages", "demonstration", 381, 381, {}),
        ("oasst_sample/oasst_ranked_pairs.jsonl", "preference", "comparison", 207, 207, {}),
        ("oasst_sample/oasst_ranked_pairs.jsonl", "preference", "demonstration", 207, 207, {}),
        ("oasst_sample/en_100_text.jsonl", "string", "prompt", 100, 100, {}),
        (
            "llamafactory_demo/dpo_en_demo.json",
            "sharegpt-preference",
            "comparison",
            299,
            294,
            {"duplicate": 5},
        ),
        ("llamafactory_demo/kto_en_demo.json", "unpaired-messages", "unpaired", 300, 300, {}),
        (
            "llamafactory_demo/kto_en_demo.json",
            "unpaired-messages",
            "demonstration",
            300,
            150,
            {"disliked completion": 150},
        ),
        ("llamafactory_demo/identity.json", "alpaca", "demonstration", 91, 91, {}),
        ("self_instruct/seed_tasks.jsonl", "self-instruct", "demonstration", 175, 175, {}),
        (
            "vicuna_reviews/vicuna_gpt4_pairs.jsonl",
            "numbered-answers",
            "ranking",
            1040,
            1001,
            {"a completion without a score": 39},
        ),
        (
            "vicuna_reviews/vicuna_gpt4_pairs.jsonl",
            "numbered-answers",
            "comparison",
            1040,
            904,
            {"a completion without a score": 39, "all completions tied": 97},
        ),
        (
            "vicuna_reviews/vicuna_gpt4_pairs.jsonl",
            "numbered-answers",
            "prompt",
            1040,
            80,
            {"duplicate": 960},
        ),
        ("xstest/xstest_prompts.csv", "prompt", "prompt", 450, 450, {}),
    ],
)
def test_loads_as_what_it_is(real, name, format, want, read, kept, dropped):
    loaded = load_records(real(name), want)
    assert loaded.report.formats == {format: read}
    assert (loaded.report.read, loaded.report.kept, loaded.report.dropped) == (read, kept, dropped)


def test_hh_pairs_are_cut_into_turns(real):
    pairs = load_records(real("hh_rlhf/harmless-base-train-1788.jsonl.gz"), "comparison").records
    assert all(
        pair.prompt.messages[0].role == "user" and pair.prompt.messages[-1].role == "user" for pair in pairs
    )
    assert sum(len(pair.prompt.messages) > 1 for pair in pairs) > 1000
    longer = sum(len(p.chosen) > len(p.rejected) for p in pairs) / len(pairs)
    assert longer == pytest.approx(0.45, abs=0.02)  # the length floor that its source states


def test_conversations_keep_their_turns(real):
    shown = load_records(real("oasst_sample/oasst_conversations.jsonl"), "demonstration").records
    assert sorted({len(d.prompt.messages) for d in shown}) == [1, 3, 5]
    assert sum(len(d.prompt.messages) == 3 for d in shown) == 296
    pairs = load_records(real("llamafactory_demo/dpo_en_demo.json"), "comparison").records
    assert sum(pair.prompt.messages[0].role == "system" for pair in pairs) > 70
