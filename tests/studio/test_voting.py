"""People vote over HTTP: two of them, blind; what is taken back, skipped, late, somebody else's, erased."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from alignlab.studio.guideline import blocks_of, changes_of
from alignlab.votes import items, people, tasks
from alignlab.votes.store import Store, audit, studio_folder

from ..votes.asking import Clock, ranking
from .conftest import Answer, Studio

GUIDELINE = "# How to read\n\nRead **both** answers.\n\n1. Is it true?\n2. Is it kind?\n"
SOURCES = ("model-a", "model-b", "model-c", "somebody")
_numbers = count()


def new_id() -> str:
    return f"ballot-{next(_numbers):08}"


class Room(Studio):
    """A studio with a task and a clock that a test sets."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.clock = Clock()
        self.desk._store = self.store = Store.open(studio_folder(folder), clock=self.clock)

    def open_task(self, guideline: str = "", count: int = 4, answers: int = 2, **settings: Any) -> str:
        about = {"name": "first", "mode": "pair", "held_out": 0.0, "random_share": 0.0} | settings
        task = self.store.do(tasks.add_task, tasks.Task(**about), guideline)  # type: ignore[arg-type]
        self.store.do(items.add_items, task, [ranking(n, answers) for n in range(count)])
        return task


class Voter:
    """Somebody who has joined; everything that they are sent is kept."""

    def __init__(self, room: Room, name: str) -> None:
        self.room, self.name = room, name
        self.id = room.store.do(people.join, name).id
        self.sent: list[Answer] = []
        self.cookie = f"cookie-of-{name}"
        room.store.do(people.open_session, self.id, self.cookie, expires=2**60)

    def ask(self, target: str, method: str = "GET", body: Any = None) -> Answer:
        cookie = ("Cookie", f"{self.room.desk.cookie}={self.cookie}")
        answer = self.room.ask(target, method=method, body=body, more=[cookie], signed_in=False)
        self.sent.append(answer)
        return answer

    def get(self, target: str) -> Any:
        answer = self.ask(target)
        assert answer.status == 200, answer.body
        return answer.json

    def post(self, target: str, **body: Any) -> Any:
        answer = self.ask(target, "POST", body)
        assert answer.status == 200, answer.body
        return answer.json

    def next(self, task: str, want: int = 1, held: tuple[str, ...] = ()) -> Any:
        return self.post(f"/api/tasks/{task}/next", want=want, held=held)

    def vote(self, lease: str, strength: int = 1, **more: Any) -> str:
        """A vote that is saved; its id."""
        vote = {"id": new_id(), "lease": lease, "strength": strength} | more
        taken = self.post("/api/votes", votes=[vote])
        assert [saved["id"] for saved in taken["saved"]] == [vote["id"]], taken
        return vote["id"]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    room = Room(tmp_path)
    yield room
    room.desk.close()


def refusal(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json["error"]["code"]


def test_two_people_vote_blind_each_in_an_order_of_their_own(room: Room) -> None:
    task = room.open_task(GUIDELINE, count=24, overlap=2)
    voters = [Voter(room, name) for name in ("Ada", "Bob")]
    orders: list[dict[str, str]] = []
    for voter in voters:
        me = voter.get("/api/me")
        assert (me["name"], me["role"], me["tasks"][0]["ahead"]) == (voter.name, "annotator", 24)
        voter.get(f"/api/tasks/{task}/guideline")
        seen: dict[str, str] = {}
        while (found := voter.next(task, want=3))["items"]:
            votes = []
            for item in found["items"]:
                seen[item["prompt"][0]["content"]] = item["texts"][0]
                strength = 2 if "answer a" in item["texts"][1] else -2
                votes.append({"id": new_id(), "lease": item["lease"], "strength": strength, "guideline": 1})
            assert len(voter.post("/api/votes", votes=votes)["saved"]) == 3
        assert (found["state"], found["mine"], found["ahead"]) == ("done", 24, 0)
        orders.append(seen)
    assert 0 < sum(orders[0][prompt] != orders[1][prompt] for prompt in orders[0]) < 24
    for voter in voters:
        mirror = voter.get(f"/api/me/mirror?task={task}")
        assert mirror["n"] == 24 and 0 < mirror["left"]["mean"] < 1 and mirror["left"]["n"] == 24
        data = voter.get("/api/me/data")
        assert [event["kind"] for event in data["events"]] == ["join", *["vote"] * 24]
        said = b"".join(answer.body + str(answer.headers).encode() for answer in voter.sent).decode()
        assert [name for name in SOURCES if name in said] == []
    with room.store.reading() as connection:
        assert audit(connection).whole


def test_nothing_that_an_annotator_is_sent_names_a_source(room: Room) -> None:
    """Of every mode, gold and repeats among them, and of what is refused."""
    shapes: dict[str, tuple[int, dict[str, Any]]] = {
        "pair": (2, {"strength": 1}),
        "harm": (2, {"strength": -1}),
        "ranking": (3, {"ranks": [1, 2, 2]}),
        "rating": (3, {"rating": [7, 1, None]}),
        "edit": (1, {"text": "better"}),
    }
    ada = Voter(room, "Ada")
    for mode, (answers, said) in shapes.items():
        task = room.open_task(
            name=mode, mode=mode, count=8, answers=answers, gold_share=0.3, repeat_share=0.2
        )
        room.store.do(items.add_items, task, [ranking(n, answers) for n in range(20, 23)], gold=True)
        while (found := ada.next(task))["items"]:
            lease = found["items"][0]["lease"]
            id = new_id()
            wrong = {"id": id, "lease": lease, "sure": 9, **said}
            taken = ada.post("/api/votes", votes=[wrong, {"id": id, "lease": lease, **said}])
            assert [each["code"] for each in taken["refused"]] == ["invalid"] and len(taken["saved"]) == 1
            ada.ask(f"/api/votes/{id}/undo", "POST", {"undo": new_id()})
            ada.post("/api/votes", votes=[{"id": new_id(), "lease": lease, "flags": ["unsafe:0"], **said}])
        ada.get(f"/api/me/mirror?task={task}")
    ada.get("/api/me")
    ada.get("/api/me/data")
    sent = b"".join(answer.body + str(answer.headers).encode() for answer in ada.sent).decode()
    assert len(ada.sent) > 60 and [name for name in SOURCES if name in sent] == []


def test_the_same_vote_twice_is_one_and_its_id_is_good_for_nothing_else(room: Room) -> None:
    task, ada = room.open_task(), Voter(room, "Ada")
    lease = ada.next(task)["items"][0]["lease"]
    vote = {"id": new_id(), "lease": lease, "strength": 3, "note": "why", "ms": 900}
    assert ada.post("/api/votes", votes=[vote]) == ada.post("/api/votes", votes=[vote, vote][:1])
    taken = ada.post(
        "/api/votes", votes=[vote | {"strength": -3}, vote, {**vote, "id": "no"} | {"id": "x" * 8}]
    )
    assert [each["code"] for each in taken["refused"]] == ["other_payload"]
    assert [each["id"] for each in taken["saved"]] == [vote["id"], "x" * 8]
    assert ada.get("/api/me")["tasks"][0]["mine"] == 1


def test_votes_of_one_request_share_a_commit(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """All are submitted before one is waited for."""
    task, ada = room.open_task(count=3), Voter(room, "Ada")
    leases = [item["lease"] for item in ada.next(task, want=3)["items"]]
    submitted: list[Any] = []
    submit = room.store.submit

    class Waited:
        def __init__(self, *about: Any) -> None:
            submitted.append(about)
            self.future = submit(*about)

        def result(self) -> Any:
            assert len(submitted) == 3
            return self.future.result()

    monkeypatch.setattr(room.store, "submit", Waited)
    votes = [{"id": new_id(), "lease": lease, "strength": 1} for lease in leases]
    monkeypatch.setattr(room.store, "do", lambda operation, *about: submit(operation, *about).result())
    assert len(ada.post("/api/votes", votes=votes)["saved"]) == 3


def test_a_vote_is_taken_back_and_given_anew(room: Room) -> None:
    task, ada = room.open_task(count=1), Voter(room, "Ada")
    item = ada.next(task)["items"][0]
    vote, undo = ada.vote(item["lease"]), new_id()
    for _ in range(2):  # the answer may be lost on the way
        assert ada.post(f"/api/votes/{vote}/undo", undo=undo) == item
    assert (
        ada.get("/api/me")["tasks"][0] | {"mine": 0, "ahead": 1, "left": 1} == ada.get("/api/me")["tasks"][0]
    )
    assert refusal(ada.ask(f"/api/votes/{vote}/undo", "POST", {"undo": new_id()})) == (409, "stale")
    assert refusal(ada.ask("/api/votes/nobody-gave-it/undo", "POST", {"undo": undo})) == (404, "not_found")
    ada.vote(item["lease"], -1)
    bob = Voter(room, "Bob")
    assert refusal(bob.ask(f"/api/votes/{vote}/undo", "POST", {"undo": new_id()})) == (403, "not_yours")


def test_what_is_skipped_goes_to_others_with_its_flags(room: Room) -> None:
    task, ada, bob = room.open_task(count=1), Voter(room, "Ada"), Voter(room, "Bob")
    lease = ada.next(task)["items"][0]["lease"]
    assert bob.next(task) | {"state": "others", "with_others": 1, "items": []} == bob.next(task)
    skip = {"id": new_id(), "lease": lease, "skip": True, "flags": ["broken"], "note": "cut off", "ms": 5}
    assert ada.post("/api/votes", votes=[skip]) == ada.post("/api/votes", votes=[skip])
    talked = {**skip, "id": new_id(), "strength": 1}
    assert ada.post("/api/votes", votes=[talked])["refused"][0]["code"] == "invalid"
    assert ada.next(task)["state"] == "done", "it does not come back"
    assert len(bob.next(task)["items"]) == 1
    said = [event["said"] for event in ada.get("/api/me/data")["events"] if event["kind"] == "skip"]
    assert said[0]["given"] == {"flags": ["broken"], "note": "cut off"}


def test_a_late_vote_is_taken_and_says_so(room: Room) -> None:
    task, ada, bob = room.open_task(count=1), Voter(room, "Ada"), Voter(room, "Bob")
    mine = ada.next(task)["items"][0]["lease"]
    room.clock.on(121)
    theirs = bob.next(task)["items"][0]["lease"]
    assert ada.post("/api/leases", renew=[mine]) == {"held": []}
    bob.vote(theirs)
    ada.vote(mine)
    data = [voter.get("/api/me/data")["events"][-1]["said"]["late"] for voter in (ada, bob)]
    assert data == [1, 0]


def test_leases_are_renewed_and_released(room: Room) -> None:
    task, ada, bob = room.open_task(count=1), Voter(room, "Ada"), Voter(room, "Bob")
    lease = ada.next(task)["items"][0]["lease"]
    for _ in range(4):
        room.clock.on(100)
        assert ada.post("/api/leases", renew=[lease]) == {"held": [lease]}
    assert bob.next(task)["state"] == "others"
    ada.post("/api/leases", release=[lease])
    assert bob.next(task)["state"] == "more"


def test_what_is_somebody_elses_is_refused(room: Room) -> None:
    task, ada, bob = room.open_task(), Voter(room, "Ada"), Voter(room, "Bob")
    lease = ada.next(task)["items"][0]["lease"]
    taken = bob.post("/api/votes", votes=[{"id": new_id(), "lease": lease, "strength": 1}])
    assert taken == {"saved": [], "refused": [{**taken["refused"][0], "code": "not_yours"}]}
    for body in ({"renew": [lease]}, {"release": [lease]}):
        assert refusal(bob.ask("/api/leases", "POST", body)) == (403, "not_yours")
    assert refusal(bob.ask("/api/runs")) == (403, "not_yours")
    assert bob.get("/api/session") | {"role": "annotator", "folder": ""} == bob.get("/api/session")


def test_who_was_erased_is_signed_out_and_in_nothing(room: Room) -> None:
    task, ada = room.open_task(), Voter(room, "Ada")
    ada.vote(ada.next(task)["items"][0]["lease"], note="a peculiar note")
    answer = ada.ask("/api/me", "DELETE", {})
    assert answer.json == {"erased": 2} and "Max-Age=0" in answer.headers["set-cookie"]
    assert refusal(ada.ask("/api/me")) == (401, "sign_in")
    with room.store.reading() as connection:
        assert audit(connection).whole and audit(connection).erased == 2
    assert b"peculiar" not in b"".join(
        file.read_bytes() for file in room.store.folder.iterdir() if file.is_file()
    )


def test_who_signs_out_is_out(room: Room) -> None:
    ada = Voter(room, "Ada")
    assert ada.ask("/api/session", "DELETE", {}).status == 200
    assert refusal(ada.ask("/api/me")) == (401, "sign_in")


def test_an_instructor_votes_too_and_is_here_again_after_an_erasure(room: Room) -> None:
    task = room.open_task()

    def vote() -> None:
        item = room.ask(f"/api/tasks/{task}/next", method="POST", body={}).json["items"][0]
        body = {"votes": [{"id": new_id(), "lease": item["lease"], "strength": 0}]}
        assert len(room.ask("/api/votes", method="POST", body=body).json["saved"]) == 1

    for _ in range(2):
        vote()
        me = room.get("/api/me")
        assert (me["name"], me["role"], me["tasks"][0]["mine"]) == ("", "instructor", 1)
        assert room.ask("/api/me", method="DELETE", body={}).status == 200
        assert room.get("/api/me")["tasks"][0]["mine"] == 0
    with room.store.reading() as connection:
        assert audit(connection).whole


def test_a_closed_task_takes_what_it_gave_and_is_listed_for_those_who_voted(room: Room) -> None:
    task, ada, bob = room.open_task(), Voter(room, "Ada"), Voter(room, "Bob")
    first, second = ada.next(task, want=2)["items"]
    ada.vote(first["lease"])
    room.store.do(tasks.set_state, task, "closed")
    ada.vote(second["lease"])
    assert ada.next(task)["state"] == "closed"
    assert [each["state"] for each in ada.get("/api/me")["tasks"]] == ["closed"]
    assert bob.get("/api/me")["tasks"] == []


def test_a_full_disk_acknowledges_nothing_and_the_same_votes_are_sent_again(room: Room) -> None:
    task, ada = room.open_task(), Voter(room, "Ada")
    leases = [item["lease"] for item in ada.next(task, want=2)["items"]]
    votes = [{"id": new_id(), "lease": lease, "strength": 1, "note": "x" * 1900} for lease in leases]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))  # no file takes a byte more
    try:
        answer = ada.ask("/api/votes", "POST", {"votes": votes})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert refusal(answer) == (503, "not_saved") and "room on the disk" in answer.json["error"]["remedy"]
    assert len(ada.post("/api/votes", votes=votes)["saved"]) == 2


def test_truth_is_held_against_gold_items_alone(room: Room) -> None:
    task, ada = room.open_task(count=30, gold_share=0.5), Voter(room, "Ada")
    room.store.do(items.add_items, task, [ranking(n) for n in range(50, 56)], gold=True)
    right = total = 0
    while (found := ada.next(task))["items"]:
        assert (total := total or found["ahead"]) == found["mine"] + found["ahead"], "no total tells of one"
        item = found["items"][0]
        known = int(item["prompt"][0]["content"].strip("Question ?")) >= 50
        right += known
        best = 3 if "answer a" in item["texts"][1] else -3
        ada.vote(item["lease"], -best if right == 2 and known else best)
    mirror = ada.get(f"/api/me/mirror?task={task}")
    assert mirror["gold"]["n"] == right > 2 and mirror["gold"]["mean"] == pytest.approx((right - 1) / right)
    assert mirror["left"]["n"] == 30 and mirror["repeats"]["mean"] is None


# --- the guideline


def test_what_changed_since_a_person_read_is_shown(room: Room) -> None:
    task, ada = room.open_task(GUIDELINE), Voter(room, "Ada")
    first = ada.get(f"/api/tasks/{task}/guideline")
    assert (first["version"], first["since"], first["changed"]) == (1, 0, [])
    assert ada.get("/api/me")["tasks"][0] | {"guideline": 1, "read": 0} == ada.get("/api/me")["tasks"][0]
    ada.vote(ada.next(task)["items"][0]["lease"], guideline=1)
    room.store.do(tasks.set_guideline, task, GUIDELINE.replace("kind", "short") + "3. Is it safe?\n")
    assert ada.next(task)["guideline"] == 2
    changed = [{"before": "Is it kind?", "after": "Is it short?\nIs it safe?"}]
    for query in ("", "?since=1"):
        second = ada.get(f"/api/tasks/{task}/guideline{query}")
        assert (second["version"], second["since"], second["changed"]) == (2, 1, changed)
    assert ada.get(f"/api/tasks/{task}/guideline?since=2")["changed"] == []


def test_a_guideline_is_typed_blocks_and_never_markup() -> None:
    said = (
        "## Title\n\nPlain *soft* **hard** `code` [a link](javascript:alert(1)) <b>bold</b>\n\n"
        "- one\n  - two\n\n    more of two\n\n3. three\n\n> said\n\n```\nx < y\n```\n\n"
        "<script>alert(1)</script>\n\n![a picture](http://evil.example/x.png)\n"
    )
    found = [block.model_dump(exclude_defaults=True) for block in blocks_of(said)]
    kinds = [(block["kind"], block.get("level"), block.get("number")) for block in found]
    assert kinds == [
        ("heading", 2, None),
        ("paragraph", None, None),
        ("point", 1, None),
        ("point", 2, None),
        ("paragraph", None, None),
        ("point", 1, 3),
        ("quote", None, None),
        ("code", None, None),
        ("paragraph", None, None),
        ("paragraph", None, None),
    ]
    marks = [(span["text"], span["mark"]) for span in found[1]["spans"]]
    assert ("soft", "emphasis") in marks and ("hard", "strong") in marks and ("code", "code") in marks
    texts = ["".join(span["text"] for span in block["spans"]) for block in found]
    assert "<b>bold</b>" in texts[1] and texts[8] == "<script>alert(1)</script>" and texts[9] == "a picture"
    assert texts[7] == "x < y" and blocks_of("") == blocks_of("\n\n") == []
    assert changes_of("a\n\nb", "a\n\nc\n\nd")[0].model_dump() == {"before": "b", "after": "c\nd"}


def test_hostile_texts_come_through_as_text(room: Room) -> None:
    ada = Voter(room, "Ada")
    evil = ["<img src=x onerror=alert(1)>", "\u202eturned", "half \ud83d", "# no heading\x00"]
    for number, said in enumerate(evil):
        task = room.store.do(tasks.add_task, tasks.Task(name=f"t{number}", mode="pair", question=said), said)
        room.store.do(items.add_items, task, [ranking(number)])
        assert ada.get(f"/api/tasks/{task}/guideline")["version"] == 1
        ada.vote(ada.next(task)["items"][0]["lease"], note=said.replace("\ud83d", "?"))
    shown = json.dumps([ada.get("/api/me"), ada.get("/api/me/data")], ensure_ascii=False)
    assert evil[0] in shown and evil[1] in shown and "half ?" in shown
