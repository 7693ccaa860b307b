"""Stages that only studies and benchmarks need."""

from pathlib import Path

import pytest

from alignlab.errors import DataError
from alignlab.records import Completion, Ranking, read_jsonl
from alignlab.run import RunDir
from alignlab.studies import steps
from alignlab.studies.settings import RelabelSettings
from alignlab.town import sets, world


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
    found = steps.relabel(
        data=str(tmp_path / "label"),
        settings=RelabelSettings("town:harm-only"),
        out=tmp_path / "people",
        seed=0,
        resume=True,
    )["summary"]
    learn, test = (
        read_jsonl(tmp_path / "people" / "data" / f"{part}.jsonl", Ranking)
        for part in ("rankings", "rankings_test")
    )
    assert found["pairs"] == 3 and learn[0] == mixed_in and len(learn) == 3 and len(test) == 1
    assert all(
        r.annotator == "town:harm-only" and "safe" in r.meta and r.completions == before.completions
        for r, before in zip(learn[1:] + test, labelled, strict=True)
    )
    with pytest.raises(DataError, match="no labelled pairs"):
        steps.relabel(
            data=str(tmp_path),
            settings=RelabelSettings("town:harm-only"),
            out=tmp_path / "x",
            seed=0,
            resume=True,
        )
