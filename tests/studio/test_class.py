"""A class on a local network: another application at a port of its own, in which nobody is an instructor."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from alignlab import cli
from alignlab.errors import ConfigError, ResourceError
from alignlab.studio import addresses, log, schema
from alignlab.studio.app import application, class_application
from alignlab.studio.classroom import BACKUPS, HOUR, KEPT, LITTLE, Classroom
from alignlab.studio.endpoint import Door, Endpoint
from alignlab.studio.limits import LIMITS, MOST_KNOWN, OTHERS, Limit, Limits
from alignlab.studio.log import Log
from alignlab.studio.sessions import HOURS
from alignlab.studio.table import CLASS, CLASS_SCREENS, TABLE
from alignlab.votes import assignment, lesson, people, tasks, voting
from alignlab.votes.errors import NotSaved
from alignlab.votes.items import add_items
from alignlab.votes.people import MOST_PEOPLE
from alignlab.votes.schema import event
from alignlab.votes.store import audit, studio_folder

from ..votes.asking import ranking
from .conftest import HOST as STUDIO
from .conftest import Answer, Headers, Studio, task_in
from .test_boundary import ATTACKS, JSON, Fill, assert_closed
from .test_command import begun, raw

HOST = "192.168.7.5:8711"
OURS = ("Origin", f"http://{HOST}")


class Pupils(Studio):
    """The class port of a desk; `app` is the class's, `studio` the instructor's."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.now = 0.0
        self.desk.limits = Limits(lambda: self.now)
        self.door = Door(frozenset({HOST}), "alignlab_class_8711", True)
        self.log = Log(studio_folder(folder)) if self.desk.store else None
        assert self.log
        given = self.desk.store, self.door, [f"http://{HOST}"], self.desk.limits, self.log
        self.room = self.desk.classroom = Classroom(*given, clock=lambda: self.now)
        self.pupils, self.studio = class_application(self.desk), application(self.desk)
        self.app = self.pupils

    def at(self, target: str, method: str = "GET", body: Any = None, cookie: str = "") -> Answer:
        """The answer to a page of the class."""
        headers: list[tuple[str, str]] = [("Host", HOST)]
        if method != "GET":
            headers += [OURS, JSON]
        if cookie:
            headers.append(("Cookie", cookie))
        return self.raw(method, target, headers, json.dumps(body or {}).encode())

    def lead(self, target: str, body: Any = None, status: int = 200) -> Any:
        """The answer to the instructor, at the studio."""
        self.app = self.studio
        try:
            answer = self.ask(target, method="GET" if body is None else "POST", body=body)
        finally:
            self.app = self.pupils
        assert answer.status == status, answer.body
        return answer.json

    def join(self, name: str, **more: str) -> tuple[str, str]:
        """The cookie and the return code of somebody who joins."""
        answer = self.at("/api/join", "POST", {"code": self.room.lesson.code, "name": name, **more})
        assert answer.status == 200, answer.body
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Path=/" in cookie
        return cookie.partition(";")[0], answer.json["return_code"]

    def wrong(self, code: str = "WRONG234", name: str = "x", **more: str) -> Answer:
        return self.at("/api/join", "POST", {"code": code, "name": name, **more})


@pytest.fixture
def studio(folder: Path) -> Iterator[Studio]:
    """The one that `filled` fills."""
    made = Pupils(folder)
    made.room.hold(open=True)
    yield made
    made.desk.close()


@pytest.fixture
def pupils(studio: Pupils) -> Pupils:
    return studio


# --- who is let in


def test_nothing_of_an_instructor_is_there(pupils: Pupils, filled: Fill) -> None:
    """Whoever asks, with whatever cookie by whatever name."""
    token = pupils.cookie.partition("=")[2]
    joined, _ = pupils.join("Ada")
    cookies = ["", joined, pupils.cookie, f"{pupils.door.cookie}={token}", f"{pupils.cookie}; {joined}"]
    for row in TABLE:
        for cookie in cookies:
            answer = pupils.at(filled(row.path), row.method, cookie=cookie)
            if row not in CLASS:
                assert answer.status in (404, 405), (row, cookie)
            elif row.role == "annotator" and joined not in cookie:
                assert answer.status == 401 and answer.json["error"]["code"] == "sign_in", (row, cookie)
            pupils.now += 1
    assert {row.role for row in CLASS} == {"annotator", "anyone"}
    assert [row.path for row in CLASS if row.role == "anyone"] == ["/api/join"], "no link is good there"


def test_no_row_lets_an_attack_through(pupils: Pupils, filled: Fill) -> None:
    cookie, _ = pupils.join("Ada")
    rows = [(row.method, row.path) for row in CLASS]
    rows += [("GET", path) for path in (*CLASS_SCREENS, "/static/x.js")]
    for attack, (status, theirs) in ATTACKS.items():
        headers: Headers = [(name, value.replace(STUDIO, HOST)) for name, value in theirs]
        held = [] if attack.startswith("a cookie") else [("Cookie", cookie)]
        for method, path in rows:
            answer = pupils.raw(method, filled(path), [*headers, *held, JSON], b"{}")
            assert answer.status == status, (attack, method, path)
            assert set(answer.json) == {"error"} and "set-cookie" not in answer.headers
            assert_closed(answer.headers)


def test_who_is_removed_is_forgotten_and_comes_in_only_if_let_in(pupils: Pupils) -> None:
    ada, code = pupils.join("Ada")
    bob, _ = pupils.join("Bob")
    task = task_in(pupils)
    pupils.lead("/api/class", {"task": task})
    given = pupils.at(f"/api/tasks/{task}/next", "POST", {}, ada).json["items"][0]
    vote = {"id": "ada-votes", "lease": given["lease"], "strength": 1}
    assert pupils.at("/api/votes", "POST", {"votes": [vote]}, ada).json["saved"]
    seats = {seat["name"]: seat for seat in pupils.lead("/api/class")["annotators"]}
    before, votes = pupils.room.lesson.code, pupils.lead("/api/class")["votes"]

    pupils.app = pupils.studio
    removed = pupils.ask(f"/api/class/people/{seats['Ada']['id']}", method="DELETE", body={})
    again = pupils.ask(f"/api/class/people/{seats['Ada']['id']}", method="DELETE", body={})
    own = pupils.ask("/api/class/people/instructor", method="DELETE", body={})
    pupils.app = pupils.pupils
    assert removed.status == 200 and again.status == own.status == 404
    assert "Ada" not in {seat["name"] for seat in removed.json["annotators"]}
    assert removed.json["votes"] == votes - 1 and removed.json["code"] == pupils.room.lesson.code != before

    assert pupils.at("/api/me", cookie=ada).status == 401 and pupils.at("/api/me", cookie=bob).status == 200
    for more in ({}, {"return_code": code}):
        assert pupils.wrong(before, "Ada", **more).json["error"]["code"] == "wrong_code"
    with pupils.desk.store.reading() as connection:
        assert audit(connection).whole
        erased = connection.execute(select(event.c.payload).where(event.c.kind == "erase")).scalar_one()
    assert json.loads(erased) == {"by": "instructor"}
    back, _ = pupils.join("Ada")  # who is told the new code is let in, and is somebody new
    assert pupils.at("/api/me", cookie=back).json["id"] != seats["Ada"]["id"]


def test_who_changes_something_says_of_which_page(pupils: Pupils, filled: Fill) -> None:
    """Browsers say nothing else of it to an address of a local network."""
    cookie, _ = pupils.join("Ada")
    for row in CLASS:
        if row.method != "GET":
            asked = pupils.raw(row.method, filled(row.path), [("Host", HOST), JSON, ("Cookie", cookie)])
            assert asked.status == 403 and asked.json["error"]["code"] == "foreign_origin", row
            form = [("Host", HOST), OURS, ("Content-Type", "text/plain"), ("Cookie", cookie)]
            assert pupils.raw(row.method, filled(row.path), form, b"{}").status == 415, row


def test_with_a_certificate_pages_of_http_are_others() -> None:
    from alignlab.studio.guard import Exactly

    access = Exactly({HOST}, scheme="https")
    assert not access.is_foreign([f"https://{HOST}"], [], HOST)
    assert access.is_foreign([f"http://{HOST}"], [], HOST)


def test_the_pages_of_a_class_are_its_own(pupils: Pupils) -> None:
    for path in CLASS_SCREENS:
        answer = pupils.at(path)
        assert answer.status == 404 or b"alignlab class" in answer.body
    for path in ("/runs", "/run/000000000000", "/class", "/class/room", "/shelf"):
        assert pupils.at(path).status == 404


# --- joining


def test_somebody_joins_leaves_and_comes_back(pupils: Pupils) -> None:
    cookie, code = pupils.join("Ada  Lovelace")
    me = pupils.at("/api/session", cookie=cookie).json
    assert me["role"] == "annotator" and me["folder"] == ""
    assert re.fullmatch("[A-HJKMNP-Z2-9]{8}", code)
    taken = pupils.wrong(pupils.room.lesson.code, "ada lovelace")
    assert taken.status == 409 and taken.json["error"]["code"] == "name_taken"
    other, again = pupils.join("ADA LOVELACE", return_code=code.lower())
    assert again is None and other != cookie
    assert pupils.at("/api/session", "DELETE", cookie=cookie).status == 200
    assert pupils.at("/api/session", cookie=cookie).status == 401
    assert pupils.at("/api/session", cookie=other).status == 200
    assert len(pupils.lead("/api/class")["annotators"]) == 1


def test_a_code_may_be_written_as_people_write(pupils: Pupils) -> None:
    code = pupils.room.lesson.code
    for n, said in enumerate((code.lower(), f"{code[:4]} {code[4:]}", f" {code[:4]}-{code[4:]}\n")):
        assert pupils.wrong(said, f"name {n}").status == 200
    for said in ("", "12345678", f"{code}A", code[:-1], "ＡＢＣＤＥＦＧＨ", "\x00" * 8):
        assert pupils.wrong(said).status == 401


def test_a_wrong_return_code_is_a_guess(pupils: Pupils) -> None:
    pupils.join("Ada")
    code = pupils.room.lesson.code
    for n in range(10):
        answer = pupils.wrong(code, "Ada", return_code=f"WRONG{n:03}")
        assert answer.status == 401 and answer.json["error"]["field"] == "return_code"
    assert pupils.wrong(code, "Ada", return_code="WRONG234").status == 429


def test_names_of_every_script_and_of_none(pupils: Pupils) -> None:
    code = pupils.room.lesson.code
    fine = [
        "小明",
        "علی\u200cرضا",
        "ישראל",
        "นภา",
        "Ngũgĩ",
        "Ō",
        "o\u0308",
        "👩\u200d🔬",
        "<b>Bo</b>",
        "' OR 1=1",
    ]
    fine += ["\u202eadA", "x" * 40, "= SUM(1)", "../../etc"]
    for name in fine:
        answer = pupils.wrong(code, name)
        assert answer.status == 200, (name, answer.body)
        assert not any(mark in answer.json["name"] for mark in "\u200c\u200d\u202e")
    pupils.now = 1.0
    for name in ("", " ", "\u200b", "x" * 41, "a\x00b", "\x1b[31m", "\ud800"):
        assert pupils.wrong(code, name).status in (400, 422), name
    for same in ("علیرضا", "Ö", "BO\u00ad", "\u2066小明"):
        known = pupils.wrong(code, same)
        assert known.status == (200 if same == "BO\u00ad" else 409), same
    names = {seat["name"] for seat in pupils.lead("/api/class")["annotators"]}
    assert "<b>Bo</b>" in names and "adA" in names


def test_there_is_room_for_two_hundred(pupils: Pupils) -> None:
    waiting = [pupils.desk.store.submit(people.join, f"person {n}") for n in range(MOST_PEOPLE - 1)]
    for each in waiting:
        each.result()
    pupils.join("the last")
    full = pupils.wrong(pupils.room.lesson.code, "one more")
    assert full.status == 422 and str(MOST_PEOPLE) in full.json["error"]["what"]


def test_the_teacher_s_browser_stays_the_teacher_s(pupils: Pupils) -> None:
    asked = {"code": pupils.room.lesson.code, "name": "Ada"}
    refused = pupils.lead("/api/join", asked, 409)
    assert "private window" in refused["error"]["remedy"]


def test_a_studio_without_a_class_says_how_there_is_one(folder: Path) -> None:
    studio = Studio(folder)
    assert studio.get("/api/class") | {"served": False, "open": False, "code": ""} == studio.get("/api/class")
    assert studio.get("/api/class/room")["rows"] == []
    for path in ("/api/class", "/api/join"):
        cookie = path == "/api/class"
        body = {"open": True} if cookie else {"code": "ABCDEFGH", "name": "Ada"}
        refused = studio.ask(path, method="POST", body=body, signed_in=cookie)
        assert refused.status == 409 and "--class" in refused.json["error"]["remedy"]
    assert not (studio.desk.inside.root / "studio").exists(), "a folder that is looked at stays as it is"


# --- how often


def test_ten_wrong_codes_of_an_address_a_minute(pupils: Pupils) -> None:
    code = pupils.room.lesson.code
    cookie, _ = pupils.join("Ada")
    for _ in range(10):
        assert pupils.wrong().json["error"]["code"] == "wrong_code"
    for said in ("WRONG234", code):
        answer = pupils.wrong(said, "Bo")
        assert answer.status == 429 and 1 <= int(answer.headers["retry-after"]) <= 60
    assert pupils.at("/api/session", cookie=cookie).status == 200
    pupils.client = "192.168.7.9"
    assert pupils.wrong(code, "Bo").status == 200
    pupils.client, pupils.now = "127.0.0.1", 60.0
    assert pupils.wrong(code, "Cy").status == 200 and pupils.wrong().status == 401


def test_fifty_wrong_codes_close_the_door_and_the_teacher_sees_it(pupils: Pupils) -> None:
    cookie, _ = pupils.join("Ada")
    for n in range(50):
        pupils.client, pupils.now = f"192.168.7.{n // 10}", pupils.now + 0.1
        assert pupils.wrong().status == 401
    pupils.client = "192.168.7.99"
    assert pupils.wrong(pupils.room.lesson.code, "Bo").status == 429
    assert pupils.at("/api/session", cookie=cookie).status == 200, "whoever has joined goes on"
    [trouble] = pupils.lead("/api/class")["troubles"]
    assert "50 wrong codes" in trouble["what"] and "60 s" in trouble["what"] and trouble["remedy"]
    pupils.now += 60.0
    assert pupils.wrong(pupils.room.lesson.code, "Bo").status == 200
    assert pupils.lead("/api/class")["troubles"] == []


def test_wrong_links_are_counted_too(folder: Path) -> None:
    studio = Studio(folder)
    for _ in range(10):
        assert studio.ask("/api/session", method="POST", body={"token": "x"}, signed_in=False).status == 401
    token = studio.desk.sessions.link()
    assert studio.ask("/api/session", method="POST", body={"token": token}, signed_in=False).status == 429
    studio.desk.limits = Limits()
    assert studio.ask("/api/session", method="POST", body={"token": token}, signed_in=False).status == 200


def test_four_votes_and_ten_of_everything_else_a_second_a_person(pupils: Pupils) -> None:
    def taken(visit: Any, asked: schema.Nothing) -> schema.Nothing:
        """Nothing."""
        return schema.Nothing()

    given = schema.Nothing, schema.Nothing, taken
    rows = [Endpoint("POST", path, "annotator", *given) for path in ("/api/votes", "/api/other")]
    cookies = [pupils.join(name)[0] for name in ("Ada", "Bo")]
    pupils.app = class_application(pupils.desk, rows)
    for path, most in (("/api/votes", 4), ("/api/other", 10)):
        for _ in range(most):
            assert pupils.at(path, "POST", cookie=cookies[0]).status == 200
        refused = pupils.at(path, "POST", cookie=cookies[0])
        assert (refused.status, refused.headers["retry-after"]) == (429, "1")
        assert pupils.at(path, "POST", cookie=cookies[1]).status == 200
    pupils.now = 1.0
    assert pupils.at("/api/votes", "POST", cookie=cookies[0]).status == 200
    known = {(row.method, row.path): row.limits for row in TABLE}
    assert LIMITS.keys() <= known.keys()
    assert known["POST", "/api/tasks/{id}/next"] == OTHERS == (Limit(10, 1, "person"),)
    application_rows = application(pupils.desk, rows)
    pupils.app = application_rows
    for _ in range(30):
        assert pupils.ask("/api/votes", method="POST", body={}).status == 200, "at the desk nobody is counted"


def test_what_is_counted_is_bounded() -> None:
    limits, limit = Limits(lambda: 0.0), Limit(1, 60, "address", wrong=True)
    for n in range(MOST_KNOWN + 100):
        limits.wrong("row", [limit], "", f"address {n}")
    assert len(limits._asked) == MOST_KNOWN


# --- what outlives what


def test_a_class_survives_a_restart(folder: Path) -> None:
    first = Pupils(folder)
    first.room.hold(open=True, minutes=45)
    cookie, code = first.join("Ada")
    before = first.room.lesson
    first.desk.close()
    second = Pupils(folder)
    try:
        assert second.room.lesson == before and before.code and before.until
        assert second.at("/api/session", cookie=cookie).json["role"] == "annotator"
        assert second.join("Ada", return_code=code)[1] is None
        [seat] = second.lead("/api/class")["annotators"]
        assert (seat["name"], seat["state"]) == ("Ada", "here")
    finally:
        second.desk.close()


def test_a_session_ends_after_twelve_hours(pupils: Pupils, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    cookie, _ = pupils.join("Ada")
    later = time.time_ns() + HOURS * 3600 * 10**9
    monkeypatch.setattr("alignlab.studio.desk.time.time_ns", lambda: later)
    assert pupils.at("/api/session", cookie=cookie).status == 401


def with_a_task(pupils: Pupils, count: int = 3) -> str:
    settings = tasks.Task(name="first", mode="pair", overlap=9, held_out=0.0, random_share=1.0)
    task = pupils.desk.store.do(tasks.add_task, settings)
    pupils.desk.store.do(add_items, task, [ranking(n) for n in range(count)])
    return task


def test_the_class_is_opened_closed_and_given_a_task(pupils: Pupils) -> None:
    task = with_a_task(pupils)
    before = pupils.lead("/api/class")
    assert before["open"] and before["task"] is None and before["tasks"] == [{"id": task, "name": "first"}]
    found = pupils.lead("/api/class", {"task": task, "minutes": 45})
    assert found["code"] == before["code"] and found["task"]["name"] == "first"
    assert 44 * 60 < found["seconds_left"] <= 45 * 60 and found["items"] == 3
    fresh = pupils.lead("/api/class", {"new_code": True})
    assert fresh["code"] not in ("", before["code"])
    assert pupils.wrong(before["code"]).status == 401
    closed = pupils.lead("/api/class", {"open": False})
    assert (closed["open"], closed["code"], closed["seconds_left"]) == (False, "", None)
    assert pupils.wrong("").json["error"]["code"] == "class_closed"
    assert state_of(pupils, task) == "closed" and closed["task"]["id"] == task
    assert pupils.lead("/api/class", {"minutes": 5}, 409)["error"]["code"] == "stale"
    assert pupils.lead("/api/class", {"task": "nobody-has-it"}, 200)["task"] is None
    opened = pupils.lead("/api/class", {"open": True, "task": task})
    assert opened["code"] not in ("", before["code"], fresh["code"]) and state_of(pupils, task) == "open"
    assert pupils.lead("/api/class", {"task": "nobody-has-it"}, 404)["error"]["code"] == "not_found"
    assert pupils.lead("/api/class", {"minutes": 9999}, 422)["error"]["field"] == "minutes"


def test_a_class_is_asked_what_the_class_votes_on_and_nothing_else(pupils: Pupils) -> None:
    task = with_a_task(pupils)
    other = pupils.desk.store.do(tasks.add_task, tasks.Task(name="blind", mode="pair"))
    cookie, _ = pupils.join("Ada")
    assert pupils.at("/api/me", cookie=cookie).json["tasks"] == []
    pupils.room.hold(task=task)
    assert [one["id"] for one in pupils.at("/api/me", cookie=cookie).json["tasks"]] == [task]
    given = pupils.at(f"/api/tasks/{task}/next", "POST", {"want": 1}, cookie).json["items"]
    vote = {"id": "a-vote-of-hers", "lease": given[0]["lease"], "strength": 1}
    assert pupils.at("/api/votes", "POST", {"votes": [vote]}, cookie).json["saved"]
    assert pupils.lead("/api/class")["annotators"][0]["votes"] == 1
    pupils.room.hold(task=other)
    mine = {one["id"]: one["state"] for one in pupils.at("/api/me", cookie=cookie).json["tasks"]}
    assert mine == {task: "closed", other: "open"}, "what she said stays hers to look at"
    erased = pupils.at("/api/me", "DELETE", cookie=cookie)
    assert erased.status == 200 and erased.headers["set-cookie"].startswith(f'{pupils.door.cookie}="";')
    assert pupils.at("/api/me", cookie=cookie).status == 401


def state_of(pupils: Pupils, task: str) -> str:
    with pupils.desk.store.reading() as connection:
        return tasks.task_of(connection, task)[1]


def test_the_class_closes_by_itself(pupils: Pupils) -> None:
    task = with_a_task(pupils)
    pupils.room.hold(task=task, minutes=1)
    code, until = pupils.room.lesson.code, pupils.room.lesson.until
    pupils.room._wall = lambda: until - 1
    pupils.room.tend()
    assert pupils.wrong(code, "Ada").status == 200
    pupils.room._wall = lambda: until
    assert pupils.wrong(code, "Bo").json["error"]["code"] == "class_closed"
    pupils.room.tend()
    assert pupils.room.lesson.code == "" and state_of(pupils, task) == "closed"


# --- what the teacher sees


def test_who_is_where_and_on_what_they_differ(pupils: Pupils) -> None:
    task = with_a_task(pupils)
    pupils.room.hold(task=task)
    store, names = pupils.desk.store, ("Ada", "Bo", "Cy", "Di")
    cookies = [pupils.join(name)[0] for name in names]
    with store.reading() as connection:
        ids = {person.name: person.id for person in people.people_of(connection)}
        secret = store.do(lambda transaction: transaction.secret)
    for name, wanted in (("Ada", 0), ("Bo", 1), ("Cy", 1)):
        leased = store.do(assignment.ask, task, ids[name], want=3).items
        for n, each in enumerate(leased):
            first = each.texts[0].startswith("answer a")
            ballot = voting.Ballot(
                id=f"{name}-vote-{n}", lease=each.lease, strength=2 * ((wanted == 0) != first) * 2 - 2
            )
            store.do(voting.vote_on, ids[name], ballot)
    store.do(assignment.ask, task, ids["Di"])
    pupils.now += 59.0
    for cookie in cookies[1:]:
        assert pupils.at("/api/session", cookie=cookie).status == 200
    pupils.now += 1.0
    found = pupils.lead("/api/class")
    seats = {seat["name"]: (seat["state"], seat["ago"], seat["votes"]) for seat in found["annotators"]}
    assert seats == {
        "Ada": ("away", 60.0, 3),
        "Bo": ("here", 1.0, 3),
        "Cy": ("here", 1.0, 3),
        "Di": ("looking", 1.0, 0),
    }
    assert (found["votes"], found["items"], found["disputed"]) == (9, 3, 3)
    assert found["alpha"]["n"] == 3 and found["alpha"]["value"] < 0.2
    room = pupils.lead("/api/class/room")
    assert room["total"] == 3 and len(room["rows"]) == 3 and room["question"]
    for row in room["rows"]:
        assert row["votes"] == [1, 0, 2] and row["first"].startswith("answer a")
        assert row["second"].startswith("answer b") and row["prompt"][0]["content"].startswith("Question")
    said = json.dumps(room)
    assert not [word for word in (*names, *ids.values(), secret, "model-") if word in said]
    store.do(
        voting.vote_on, ids["Di"], voting.Ballot(id="later-vote", lease=_lease(pupils, task), strength=0)
    )
    assert pupils.lead("/api/class")["alpha"] == found["alpha"], "figures hold for some seconds"
    pupils.now += 6.0
    assert max(sum(row["votes"]) for row in pupils.lead("/api/class/room")["rows"]) == 4


def _lease(pupils: Pupils, task: str) -> str:
    with pupils.desk.store.reading() as connection:
        ids = {person.name: person.id for person in people.people_of(connection)}
    return pupils.desk.store.do(assignment.ask, task, ids["Di"]).items[0].lease


def test_the_code_is_drawn_for_a_camera(pupils: Pupils) -> None:
    import segno

    [address] = pupils.lead("/api/class")["addresses"]
    there = segno.make(f"http://{HOST}/#code={pupils.room.lesson.code}", error="m", micro=False)
    dark = [(x, y) for y, row in enumerate(there.matrix_iter(border=4)) for x, on in enumerate(row) if on]
    squares = re.findall(r"M(\d+) (\d+)h1v1h-1z", address["qr"]["path"])
    assert [(int(x), int(y)) for x, y in squares] == dark and address["url"] == f"http://{HOST}"
    assert address["qr"]["size"] == there.symbol_size(border=4)[0]
    assert re.fullmatch(r"[Mhvz0-9 -]*", address["qr"]["path"])


def test_troubles_are_told_with_what_mends_them(pupils: Pupils, monkeypatch: pytest.MonkeyPatch) -> None:
    cookie, _ = pupils.join("Ada")

    def full(*_: object) -> None:
        raise NotSaved("not saved: database or disk is full", where="/x", remedy="make room on the disk")

    with monkeypatch.context() as broken:
        broken.setattr(pupils.desk.store, "do", full)
        answer = pupils.at("/api/session", "DELETE", cookie=cookie)
        assert answer.status == 503 and answer.json["error"]["code"] == "not_saved"
    [trouble] = pupils.lead("/api/class")["troubles"]
    assert "disk is full" in trouble["what"] and "kept on each phone" in trouble["remedy"]
    pupils.now = 61.0
    assert pupils.lead("/api/class")["troubles"] == []
    free = shutil.disk_usage(pupils.desk.inside.root)._replace(free=LITTLE - 1)
    monkeypatch.setattr("alignlab.studio.classroom.shutil.disk_usage", lambda _: free)
    [trouble] = pupils.lead("/api/class")["troubles"]
    assert "nearly full" in trouble["what"] and str(pupils.desk.inside.root) in trouble["what"]


# --- backups


def test_a_backup_an_hour_while_it_is_open_and_five_are_kept(pupils: Pupils) -> None:
    folder = pupils.desk.store.folder / BACKUPS
    made: list[str] = []
    for _ in range(KEPT + 2):
        pupils.room.tend()
        pupils.room.tend()
        new = {file.name for file in folder.glob("*.db")} - set(made)
        assert len(new) == 1, "one, and no other within the hour"
        [name] = new
        made.append(f"votes-20200101-00000{len(made)}.db")
        os.rename(folder / name, folder / made[-1])
        os.utime(folder / made[-1], (0, 0))
        pupils.now += HOUR
    assert sorted(file.name for file in folder.iterdir()) == made[-KEPT:]
    assert stat.S_IMODE((folder / made[-1]).stat().st_mode) == 0o600
    pupils.room.hold(open=False)
    pupils.room.tend()
    assert len(list(folder.iterdir())) == KEPT, "none of a class that is closed"


def test_one_that_was_made_before_a_restart_counts(pupils: Pupils) -> None:
    folder = pupils.desk.store.folder / BACKUPS
    pupils.room.tend()
    pupils.room._next_backup = 0.0
    pupils.room.tend()
    assert len(list(folder.iterdir())) == 1


def test_a_backup_that_fails_is_told_and_the_class_goes_on(
    pupils: Pupils, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path) -> None:
        raise NotSaved("the copy was not made: disk is full", remedy="make room")

    with monkeypatch.context() as broken:
        broken.setattr(pupils.desk.store, "backup", full)
        pupils.room.tend()
    [trouble] = pupils.lead("/api/class")["troubles"]
    assert "no backup was made" in trouble["what"] and "the class goes on" in trouble["remedy"]
    pupils.join("Ada")
    pupils.room.tend()
    assert pupils.lead("/api/class")["troubles"], "it is not tried without end"
    pupils.now += 60.0
    pupils.room.tend()
    assert pupils.lead("/api/class")["troubles"] == []


# --- the log


def lines(pupils: Pupils) -> list[dict[str, Any]]:
    assert pupils.log
    return [json.loads(line) for line in pupils.log.file.read_text().splitlines()]


def test_the_log_says_who_did_what_and_holds_no_secret(pupils: Pupils) -> None:
    cookie, code = pupils.join("Ada Lovelace")
    pupils.wrong("WRONG234", "Somebody Else", return_code="SECRET99")
    pupils.at("/api/session", cookie=cookie)
    pupils.at(f"/api/map?token={code}", cookie=cookie)
    pupils.at(f"/nowhere/{code}")
    pupils.lead("/api/class", {"new_code": True})
    pupils.lead("/api/runs?q=mysecretquery")
    with pupils.desk.store.reading() as connection:
        [ada] = people.people_of(connection)
    rows = lines(pupils)
    assert {"route": "GET /api/session", "role": "annotator", "who": ada.id, "status": 200}.items() <= next(
        row for row in rows if row["route"] == "GET /api/session"
    ).items()
    assert [row["who"] for row in rows if row["route"] == "POST /api/class"] == ["instructor"] * 2
    assert {row["status"] for row in rows if row["route"] == log.OF_NONE} == {404}
    known = {"time", "route", "role", "who", "status", "ms", "bytes", "left_out"}
    routes = {f"{row.method} {row.path}" for row in TABLE} | {log.OF_NONE}
    for row in rows:
        assert row.keys() <= known and row["route"] in routes
    text = pupils.log.file.read_text()  # type: ignore[union-attr]
    tokens = [cookie.partition("=")[2], pupils.cookie.partition("=")[2], code, pupils.room.lesson.code]
    for secret in [*tokens, "Ada", "Somebody", "SECRET99", "WRONG234", "mysecretquery", "127.0.0.1", HOST]:
        assert secret not in text, secret
    assert stat.S_IMODE(os.stat(pupils.log.file).st_mode) == 0o600  # type: ignore[union-attr]


def test_what_cannot_be_logged_is_not_done(pupils: Pupils) -> None:
    cookie, _ = pupils.join("Ada")
    audit = pupils.log._audit  # type: ignore[union-attr]
    kept, audit._file = audit._file, os.open("/dev/full", os.O_WRONLY)
    before = pupils.room.lesson.code
    asked = {"code": before, "name": "Bo"}
    for _ in range(2):
        refused = pupils.at("/api/join", "POST", asked)
        assert refused.status == 503 and refused.json["error"]["code"] == "not_saved"
    assert pupils.lead("/api/class", {"new_code": True}, 503)["error"]["remedy"]
    assert pupils.at("/api/session", cookie=cookie).status == 200, "what changes nothing is answered"
    found = pupils.lead("/api/class")
    assert found["code"] == before and len(found["annotators"]) == 1
    assert "cannot be written" in found["troubles"][0]["what"]
    os.close(audit._file)
    audit._file = kept
    assert pupils.at("/api/join", "POST", asked).status == 200
    assert pupils.lead("/api/class")["troubles"] == []


def test_the_log_cannot_fill_a_disk_and_strangers_push_nothing_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "MOST", 4000)
    monkeypatch.setattr("alignlab.studio.log.time.monotonic", lambda: 1.0)
    made = Log(tmp_path)
    for _ in range(1000):
        made.end(log.OF_NONE, "anyone", "", status=404, ms=1.0, sent=2)
    assert len(made.file.read_text().splitlines()) == log.STRANGERS
    monkeypatch.setattr("alignlab.studio.log.time.monotonic", lambda: 2.0)
    made.end(log.OF_NONE, "anyone", "", status=404, ms=1.0, sent=2)
    assert json.loads(made.file.read_text().splitlines()[-1])["left_out"] == 1000 - log.STRANGERS
    for n in range(200):
        made.begin("POST /api/votes", "annotator", f"{n}")
    made.close()
    both = [made.file.with_name("audit.jsonl.1"), made.file]
    assert sorted(tmp_path.iterdir()) == sorted(both)
    assert all(file.stat().st_size <= 4000 and stat.S_IMODE(file.stat().st_mode) == 0o600 for file in both)
    last = [json.loads(line)["who"] for file in both for line in file.read_text().splitlines()]
    assert last == [str(n) for n in range(200 - len(last), 200)]


@pytest.mark.parametrize("kind", ["a link", "a pipe", "a folder"])
def test_a_log_that_leads_elsewhere_is_none(tmp_path: Path, kind: str) -> None:
    file = tmp_path / log.FILE
    make = {"a link": lambda: file.symlink_to("/tmp/x"), "a pipe": lambda: os.mkfifo(file)}
    make.get(kind, file.mkdir)()
    with pytest.raises(ResourceError, match="no regular file"):
        Log(tmp_path)


# --- the command


def test_two_ports_one_store_one_end(folder: Path) -> None:
    more = ["--class", "--host", "127.0.0.1", "--class-port", "0", "--allow-host", "Class.example", "--json"]
    process = begun(folder, *more)
    try:
        said = json.loads(process.stdout.readline())  # type: ignore[union-attr]
        named, there = said["class"]["urls"]
        port = int(there.rpartition(":")[2])
        assert named == f"http://Class.example:{port}" and there == f"http://127.0.0.1:{port}"
        assert len(said["class"]["code"]) == 8
        head = f"Host: 127.0.0.1:{port}\r\n"
        assert b" 404 " in raw(port, f"GET /api/map HTTP/1.1\r\n{head}\r\n")
        assert b" 401 " in raw(port, f"GET /api/session HTTP/1.1\r\n{head}\r\n")
        other = f"Host: class.example:{port}\r\n"
        assert b" 401 " in raw(port, f"GET /api/session HTTP/1.1\r\n{other}\r\n")
        assert b" 421 " in raw(port, f"GET / HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n")
        mine = f"Host: 127.0.0.1:{said['port']}\r\n"
        assert b" 421 " in raw(port, f"GET / HTTP/1.1\r\n{mine}\r\n")
        assert b" 421 " in raw(said["port"], f"GET / HTTP/1.1\r\n{head}\r\n")
        assert b" 401 " in raw(said["port"], f"GET /api/class HTTP/1.1\r\n{mine}\r\n")
    finally:
        process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143
    with pytest.raises(ConnectionRefusedError):
        raw(port, "GET / HTTP/1.1\r\n\r\n")


def test_what_cannot_be_held_is_said(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin = ["studio", str(folder), "--port", "0", "--no-open"]
    assert cli.main([*begin, "--host", "0.0.0.0"]) == 3
    assert "--class" in capsys.readouterr().err
    assert cli.main([*begin, "--class", "--cert", "x.pem"]) == 3
    assert "--key" in capsys.readouterr().err
    (tmp_path / "x.pem").write_text("no certificate")
    none = ["--cert", str(tmp_path / "x.pem"), "--key", str(tmp_path / "x.pem")]
    assert cli.main([*begin, "--class", "--host", "127.0.0.1", *none]) == 3
    assert "PEM" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="is no name"):
        addresses.opened(host="127.0.0.1", port=0, allow="a b", certificate=())
    first = addresses.opened(host="127.0.0.1", port=0, allow="", certificate=())
    try:
        first.sockets[0].listen()
        port = str(first.sockets[0].getsockname()[1])
        assert cli.main([*begin, "--class", "--host", "127.0.0.1", "--class-port", port]) == 8
        assert "--class-port" in capsys.readouterr().err
    finally:
        first.close()


def test_addresses_are_private_ones_or_the_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """The internet is let in by --host alone."""
    answers = iter(["203.0.113.9", "192.168.1.5", "192.168.1.5", "8.8.8.8"])

    class Asking:
        def __init__(self, *_: object) -> None: ...
        def __enter__(self) -> Asking:
            return self

        def __exit__(self, *_: object) -> None: ...
        def connect(self, _: object) -> None: ...
        def getsockname(self) -> tuple[str, int]:
            return next(answers, "127.0.0.1"), 0

    monkeypatch.setattr("alignlab.studio.addresses.socket.socket", Asking)
    found = addresses.own()
    assert "192.168.1.5" in found and "8.8.8.8" not in found
    assert addresses.own() == ["127.0.0.1"]


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl, which makes a certificate")
def test_with_a_certificate_it_speaks_https(folder: Path, tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    made += ["-subj", "/CN=x", "-days", "1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(made, check=True, capture_output=True)
    import ssl
    from http.client import HTTPSConnection

    more = ["--class", "--host", "127.0.0.1", "--class-port", "0", "--cert", str(cert), "--key", str(key)]
    process = begun(folder, *more, "--json")
    try:
        said = json.loads(process.stdout.readline())["class"]  # type: ignore[union-attr]
        [url] = said["urls"]
        assert url.startswith("https://")
        context = ssl.create_default_context(cafile=str(cert))
        context.check_hostname = False
        connection = HTTPSConnection(url.removeprefix("https://"), context=context, timeout=10)
        body = json.dumps({"code": said["code"], "name": "Ada"})
        connection.request("POST", "/api/join", body, {"Content-Type": "application/json", "Origin": url})
        answer = connection.getresponse()
        assert answer.status == 200 and "Secure" in answer.headers["Set-Cookie"]
        connection.close()
    finally:
        process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143


def test_a_lesson_is_closed_until_there_is_one(pupils: Pupils) -> None:
    assert lesson.Lesson() == lesson.Lesson(code="", task="", until=0)
    assert not lesson.Lesson(until=1).is_over(2) and lesson.Lesson("x", until=2).is_over(2)
    assert not lesson.Lesson("x").is_over(2)
