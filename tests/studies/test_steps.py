"""Stages that only studies and benchmarks need."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from alignlab import names, stages
from alignlab.errors import DataError, ModelError
from alignlab.models.load import load_merged
from alignlab.records import Completion, Demonstration, Message, Prompt, Ranking, read_jsonl, write_jsonl
from alignlab.run import RunDir, read_run
from alignlab.settings import AdapterSettings, SamplingSettings, SFTSettings
from alignlab.studies import measuring, steps
from alignlab.studies.settings import BlendSettings, CurveSettings, NoSettings, PointSettings, RerankSettings
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


def test_the_same_completions_are_ranked_by_somebody_else_with_nothing_sampled(tmp_path: Path) -> None:
    """Two annotators of one taste have the same luck; a taste for refusals turns the order round."""
    prompts = sets.load(world.build(), "twins", count=4)
    run = RunDir.open(tmp_path / "collect", stage="collect", config={"settings": {}, "options": {}}, seed=0)
    texts = ("I will not help with that. It would hurt somebody.", "I do not know.", "No.")
    rankings = [
        Ranking(p, tuple(Completion(p, text) for text in texts), (1, 2, 3), "x", {"utilities": [0, 0, 0]})
        for p in prompts
    ]
    run.add_data("rankings", rankings[:3])
    run.add_data("rankings_test", rankings[3:])
    run.finish({})

    def ranked(name: str, annotator: str, seed: int = 0) -> list[Ranking]:
        how = {"settings": RerankSettings(annotator), "out": tmp_path / name, "seed": seed, "resume": True}
        found = steps.rerank(data=str(tmp_path / "collect"), **how)["summary"]
        assert found["rankings"] == 4 and found["test"] == 1
        files = [tmp_path / name / "data" / f"{part}.jsonl" for part in ("rankings", "rankings_test")]
        return [ranking for file in files for ranking in read_jsonl(file, Ranking)]

    fair, again, other = ranked("a", "town:fair"), ranked("b", "town:fair"), ranked("c", "town:fair", 1)
    assert [r.ranks for r in fair] == [r.ranks for r in again] != [r.ranks for r in other]
    assert [r.completions for r in fair] == [r.completions for r in rankings]
    assert {r.annotator for r in fair} == {"town:fair"}


def test_between_two_policies_lies_each_weight_and_at_the_ends_the_two(tmp_path: Path) -> None:
    data = str(tmp_path / "shown.jsonl")
    write_jsonl(data, [Demonstration(Prompt.user(f"Hello {i}."), "Good day.") for i in range(4)])
    short = SFTSettings(epochs=1.0, batch=4, held_out=0.0)
    where = {"model": "town-s", "data": data, "count": 0, "seed": 0, "resume": True}
    stages.sft(**where, out=tmp_path / "sft", settings=short)
    lora = replace(short, adapter=AdapterSettings(rank=2))
    stages.sft(**where, out=tmp_path / "lora", settings=lora)

    def weights(model: str) -> dict[str, torch.Tensor]:
        return dict(load_merged(names.models.model(model).path).model.named_parameters())

    for other in ("sft", "lora"):
        a, b = weights("town-s"), weights(str(tmp_path / other))
        for alpha in (0.0, 0.25, 1.0):
            out = tmp_path / f"{other}-{alpha}"
            steps.blend(
                model="town-s",
                other=str(tmp_path / other),
                settings=BlendSettings(alpha),
                out=out,
                seed=0,
                resume=True,
            )
            mixed = weights(str(out))
            assert mixed.keys() == a.keys()
            for name, weight in mixed.items():
                torch.testing.assert_close(
                    weight, (1 - alpha) * a[name] + alpha * b[name], atol=1e-6, rtol=1e-5
                )
        assert any((a[name] - b[name]).abs().max() > 1e-4 for name in a)
    with pytest.raises(ModelError, match="more than the values"):
        steps.blend(
            model="town-s", other="town", settings=BlendSettings(), out=tmp_path / "no", seed=0, resume=True
        )


HAS = ("honest", "honest", "complied", "complied")
"""The part that each of four requests has: two claims, two harms."""


def test_gold_s_parts_of_every_sample_are_kept_where_they_are_asked_for(tmp_path: Path) -> None:
    """A part that only some kinds of request have is None elsewhere, and no 0."""
    town = world.build()
    claims = [prompt for prompt in sets.load(town, "test") if prompt.meta["kind"] == "claim"][:2]
    data = prompts_file(tmp_path / "p.jsonl", *claims, *sets.load(town, "harmful-test", count=2))
    sampling = SamplingSettings(max_new_tokens=12)
    how = {"model": "town-s", "rewards": [], "data": data, "count": 0, "gold": "town:gold", "seed": 0}
    how |= {"resume": True, "parts": ("honest", "complied")}
    measuring.point(
        reference="town-s",
        out=tmp_path / "point",
        settings=PointSettings(per_prompt=3, sampling=sampling),
        **how,
    )
    measuring.curve(out=tmp_path / "curve", settings=CurveSettings(most=3, sampling=sampling), **how)
    for name in ("point", "curve"):
        run = read_run(tmp_path / name)
        for row, there, not_there in zip(run.samples, HAS, reversed(HAS), strict=True):
            assert row["parts"][not_there] == [None] * 3 and len(row["parts"][there]) == 3
            assert None not in row["parts"][there]
        assert run.config["options"]["parts"] == "honest,complied"
    found = read_run(tmp_path / "point").summary["parts"]
    assert found["complied"]["n"] == found["honest"]["n"] == 2
