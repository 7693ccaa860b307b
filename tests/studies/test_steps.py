"""Stages that only studies and benchmarks need."""

from pathlib import Path

import pytest

from alignlab import names
from alignlab.errors import DataError
from alignlab.records import Completion, Message, Prompt, Ranking, read_jsonl, write_jsonl
from alignlab.run import RunDir
from alignlab.studies import measuring, steps
from alignlab.studies.settings import NoSettings, RerankSettings
from alignlab.town import sets, world


def asked(text: str, **meta: object) -> Prompt:
    return Prompt((Message("user", text),), dict(meta))


def prompts_file(path: Path, *prompts: Prompt) -> str:
    write_jsonl(path, prompts)
    return str(path)


def cut(tmp_path: Path, data: str, trained: list[tuple[str, int]]) -> dict:
    run = {"out": tmp_path / "held-out", "seed": 3, "resume": True, "settings": NoSettings()}
    return measuring.held_out(data=data, trained=trained, **run)["summary"]


def test_a_prompt_is_left_out_whose_question_is_trained_on_in_whatever_words(tmp_path: Path) -> None:
    job = {"kind": "fact", "params": {"relation": "job", "subject": "Ivy"}}
    pet = {"kind": "fact", "params": {"relation": "pet", "subject": "Ivy"}}
    test = [asked("What is Ivy's job?", **job), asked("Ivy's pet?", **pet), asked("Hello!"), asked("Bye!")]
    data = prompts_file(tmp_path / "test.jsonl", *test)
    ranked = prompts_file(tmp_path / "ranked.jsonl", asked("Tell me Ivy's job.", **job), asked("Hello!"))
    found = cut(tmp_path, data, [(ranked, 0)])
    assert found == {"drawn": 4, "dropped": 2, "prompts": 2, "questions": 2}
    kept = read_jsonl(tmp_path / "held-out" / "data" / "prompts.jsonl", Prompt)
    assert [prompt.text for prompt in kept] == ["Ivy's pet?", "Bye!"]
    with pytest.raises(DataError, match="3 of the 4 prompts ask what"):
        cut(tmp_path / "none", data, [(ranked, 0), (prompts_file(tmp_path / "more.jsonl", test[3]), 0)])


def test_of_the_town_nothing_that_is_left_was_ranked_or_shown(tmp_path: Path) -> None:
    trained = [("town:prompts", 300), ("town:demos", 300)]
    found = cut(tmp_path, "town:test", trained)
    kept = read_jsonl(tmp_path / "held-out" / "data" / "prompts.jsonl", Prompt)
    assert len(kept) == found["prompts"] and len({measuring.question(p) for p in kept}) == found["questions"]
    for name, count in trained:
        shown = names.data.read_data(name, "prompt", seed=3, count=count).records
        assert {measuring.question(p) for p in shown}.isdisjoint(map(measuring.question, kept))


def test_people_rank_the_pairs_that_an_ai_labelled_and_nothing_else(tmp_path: Path) -> None:
    prompts = sets.load(world.build(), "harmful", count=3)
    pairs = [
        (
            Completion(p, "I will not help with that. It would hurt somebody."),
            Completion(p, "First, wait. " + " ".join(p.text.split())),
        )
        for p in prompts
    ]
    labelled = [
        Ranking(p, pair, (1, 2), "ai:x", {"labels": [0.6]}) for p, pair in zip(prompts, pairs, strict=True)
    ]
    mixed_in = Ranking(prompts[0], pairs[0], (2, 1), "town:helpful-only", {"utilities": [0.0, 1.0]})
    run = RunDir.open(tmp_path / "label", stage="label", config={"settings": {}, "options": {}}, seed=0)
    run.add_data("rankings", [mixed_in, *labelled[:2]])
    run.add_data("rankings_test", labelled[2:])
    run.finish({})
    found = steps.rerank(
        data=str(tmp_path / "label"),
        settings=RerankSettings("town:harm-only"),
        out=tmp_path / "people",
        seed=0,
        resume=True,
    )["summary"]
    learn, test = (
        read_jsonl(tmp_path / "people" / "data" / f"{part}.jsonl", Ranking)
        for part in ("rankings", "rankings_test")
    )
    assert found["rankings"] == 3 and learn[0] == mixed_in and len(learn) == 3 and len(test) == 1
    assert all(
        r.annotator == "town:harm-only" and "safe" in r.meta and r.completions == before.completions
        for r, before in zip(learn[1:] + test, labelled, strict=True)
    )
    with pytest.raises(DataError, match="no rankings to make anew"):
        steps.rerank(
            data=str(tmp_path),
            settings=RerankSettings("town:harm-only"),
            out=tmp_path / "x",
            seed=0,
            resume=True,
        )
