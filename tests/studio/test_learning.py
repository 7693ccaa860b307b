"""Learning from votes over HTTP: what there is to learn from, and style at once."""

from __future__ import annotations

import secrets

import pytest

from alignlab.records import Completion, Prompt, Ranking
from alignlab.studio.scan import id_of
from alignlab.votes import assignment, items, people, tasks, voting
from alignlab.votes.manner import FEATURES

from .conftest import Studio


def asked(number: int) -> Ranking:
    prompt = Prompt.user(f"What is the name of horse {number}?")
    texts = f"Horse {number} is called Bess, and it lives in the stable by the mill.", "Bess."
    return Ranking(prompt, tuple(Completion(prompt, text, source="ppo") for text in texts), (1, 2))


@pytest.fixture
def task(studio: Studio) -> str:
    """Two people and twelve pairs: one always takes the longer answer, the other the shorter one."""
    store = studio.desk.store
    task = store.do(tasks.add_task, tasks.Task(name="horses", mode="pair", overlap=2, held_out=0.0))
    store.do(items.add_items, task, [asked(number) for number in range(12)])
    for name, longer in (("Ada", True), ("Ben", False)):
        person = store.do(people.join, name).id
        for _ in range(12):
            [item] = store.do(assignment.ask, task, person, want=1).items
            first = (len(item.texts[0]) > len(item.texts[1])) == longer
            ballot = voting.Ballot(id=secrets.token_hex(8), lease=item.lease, strength=-1 if first else 1)
            store.do(voting.vote_on, person, ballot)
    return task


def test_what_there_is_to_learn_from(studio: Studio, task: str) -> None:
    found = studio.get("/api/learn")
    assert found["tasks"] == [{"id": task, "name": "horses", "mode": "pair", "votes": 24, "people": 2}]
    assert {run["stage"] for run in found["models"]} == {"sft", "ppo"}
    assert [run["name"] for run in found["aligned"]] == ["ppo"]


def test_a_folder_without_votes_stays_as_it_is(studio: Studio) -> None:
    assert studio.get("/api/learn")["tasks"] == []
    assert studio.get("/api/tasks/00000000/style", 404)["error"]["remedy"]
    assert not (studio.desk.inside.root / "studio").exists()


def test_style_is_told_at_once_and_with_one_vote_turned(studio: Studio, task: str) -> None:
    found = studio.get(f"/api/tasks/{task}/style")
    assert (found["votes"], found["items"], found["enough"], found["alike"]) == (24, 12, True, 0.0)
    assert [row["name"] for row in found["features"]] == [*FEATURES, "left"]
    longer = [person["longer"]["value"] for person in found["people"]]
    assert longer == [1, 0] and found["longer"]["value"] == 0.5
    assert all(person["annotator"] not in ("Ada", "Ben") for person in found["people"])
    first = found["weightiest"][0]
    assert len(first["answers"]) == 2 and first["prompt"][0]["content"].startswith("What is the name")
    turned = studio.get(f"/api/tasks/{task}/style?turned={first['vote']}")
    length = [row for row in turned["features"] if row["name"] == "length"][0]
    assert length["turned"] is not None and abs(length["turned"] - length["weight"]) > 0.01
    assert studio.get(f"/api/tasks/{task}/style?turned=00000000")["features"] == found["features"]
    assert studio.get("/api/tasks/00000000/style", 404)["error"]["code"] == "not_found"
    assert studio.get(f"/api/tasks/{task}/style?turned=../..", 422)["error"]["field"] == "turned"


def test_learning_is_a_snapshot_of_the_task_and_a_reward_model_of_it(studio: Studio, task: str) -> None:
    fields = {"task": task, "model": id_of("demo/sft"), "merge": "soft"}
    body = {"kind": "learn", "fields": fields}
    votes, reward = studio.ask("/api/commands", method="POST", body=body).json["commands"]
    root = studio.desk.inside.root
    assert votes.startswith(f"alignlab collect --kind votes --task horses --folder {root} --merge soft")
    assert f"--data {root}/studio/runs/learn-1/votes" in reward and "--folds 5" in reward
