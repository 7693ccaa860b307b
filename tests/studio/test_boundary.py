"""Who is let in: every row of the table under every attack, so that a new row is tested on the day it is
added.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from alignlab.studio.guard import ALWAYS, MOST_BODY, POLICY, SANDBOX
from alignlab.studio.table import SCREENS, TABLE

from .conftest import HOST, PORT, Headers, Studio

Fill = Callable[[str], str]
ROWS = [(row.method, row.path) for row in TABLE] + [("GET", path) for path in (*SCREENS, "/static/x.js")]
OURS = ("Origin", f"http://{HOST}")
JSON = ("Content-Type", "application/json")
ATTACKS: dict[str, tuple[int, Headers]] = {
    "a name that was made to resolve to here": (421, [("Host", f"evil.example:{PORT}")]),
    "our name without the port": (421, [("Host", "127.0.0.1")]),
    "another server of this machine": (421, [("Host", "127.0.0.1:8000")]),
    "a name that ends in ours": (421, [("Host", f"127.0.0.1.evil.example:{PORT}")]),
    "our name with a dot": (421, [("Host", f"localhost.:{PORT}")]),
    "our name behind a user": (421, [("Host", f"{HOST}@evil.example")]),
    "no name": (421, []),
    "two names": (421, [("Host", HOST), ("Host", "evil.example")]),
    "our name twice": (421, [("Host", HOST), ("Host", HOST)]),
    "any address": (421, [("Host", f"0.0.0.0:{PORT}")]),
    "a page from elsewhere": (403, [("Host", HOST), ("Origin", "http://evil.example")]),
    "a page of a file or a sandbox": (403, [("Host", HOST), ("Origin", "null")]),
    "a page of another port": (403, [("Host", HOST), ("Origin", "http://127.0.0.1:3000")]),
    "a page of our other name": (403, [("Host", HOST), ("Origin", f"http://localhost:{PORT}")]),
    "a page by another scheme": (403, [("Host", HOST), ("Origin", f"https://{HOST}")]),
    "an origin that only begins like ours": (
        403,
        [("Host", HOST), ("Origin", f"http://{HOST}.evil.example")],
    ),
    "an empty origin": (403, [("Host", HOST), ("Origin", "")]),
    "two origins": (403, [("Host", HOST), OURS, ("Origin", "http://evil.example")]),
    "a request from another site": (403, [("Host", HOST), ("Sec-Fetch-Site", "cross-site")]),
    "a request from another port": (403, [("Host", HOST), ("Sec-Fetch-Site", "same-site")]),
    "our origin from another site": (403, [("Host", HOST), OURS, ("Sec-Fetch-Site", "cross-site")]),
    "two sites": (403, [("Host", HOST), ("Sec-Fetch-Site", "none"), ("Sec-Fetch-Site", "cross-site")]),
    "a name behind a proxy": (421, [("Host", "evil.example"), ("X-Forwarded-Host", HOST)]),
    "a cookie twice": (400, [("Host", HOST), ("Cookie", "a=1"), ("Cookie", "b=2")]),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_row_lets_an_attack_through(studio: Studio, filled: Fill, attack: str) -> None:
    status, headers = ATTACKS[attack]
    held = [] if attack.startswith("a cookie") else [("Cookie", studio.cookie)]
    for method, path in ROWS:
        answer = studio.raw(method, filled(path), [*headers, *held, JSON], b"{}")
        assert answer.status == status, (method, path)
        assert set(answer.json) == {"error"} and "set-cookie" not in answer.headers
        assert_closed(answer.headers)


def test_a_link_on_another_page_leads_to_screens_alone(studio: Studio, filled: Fill) -> None:
    """As a whole, not in a frame; and what asks for data is refused as before."""
    there = [("Host", HOST), ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")]
    document = ("Sec-Fetch-Dest", "document")
    for method, path in ROWS:
        screen = path in SCREENS
        let_in = {200, 404} if screen else {403}
        assert studio.raw(method, filled(path), [*there, document, JSON], b"{}").status in let_in, path
        for frame in ("iframe", "frame", "object", "embed", "empty", "script", "image"):
            framed = [*there, ("Sec-Fetch-Dest", frame), JSON]
            assert studio.raw(method, filled(path), framed, b"{}").status == 403, (path, frame)
        origin = [*there, document, JSON, ("Origin", "http://evil.example")]
        assert studio.raw(method, filled(path), origin, b"{}").status == 403, path
        assert studio.raw("POST", filled(path), [*there, document, JSON], b"{}").status == 403, path


def assert_closed(headers: Any) -> None:
    for name, value in ALWAYS.items():
        assert headers[name.lower()] == value
    assert headers["content-security-policy"] in (POLICY, SANDBOX)
    assert not [name for name in headers if name.startswith("access-control-")]


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_a_form_of_another_page_is_no_body(studio: Studio, filled: Fill, kind: str | None) -> None:
    more = [("Content-Type", f"{kind}; a=application/json")] if kind else []
    for row in TABLE:
        if row.method != "GET":
            headers = [("Host", HOST), OURS, ("Cookie", studio.cookie), *more]
            assert studio.raw(row.method, filled(row.path), headers, b"{}").status == 415, row


def test_a_preflight_is_told_nothing_and_no_other_method_is_known(studio: Studio, filled: Fill) -> None:
    asked = [("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", "content-type")]
    known = {
        path: {row.method for row in TABLE if re.fullmatch(re.sub(r"{\w+}", "[^/]+", row.path), path)}
        for _, path in ROWS
    }
    for path in known:
        for method in {"OPTIONS", "PUT", "PATCH", "POST", "DELETE", "TRACE"} - known[path]:
            over = ("X-HTTP-Method-Override", "GET")
            headers = [("Host", HOST), ("Cookie", studio.cookie), JSON, over, *asked]
            answer = studio.raw(method, filled(path), headers)
            assert answer.status in (404, 405), (method, path)
            assert_closed(answer.headers)


def test_answers_that_are_let_through_carry_the_same_headers(studio: Studio, filled: Fill) -> None:
    for row in TABLE:
        if row.method == "GET":
            answer = studio.ask(filled(row.path))
            assert answer.status == 200, (row.path, answer.body)
            assert answer.headers["cache-control"] == "no-store"
            assert_closed(answer.headers)
            wanted = SANDBOX if row.form == "page" else POLICY
            assert answer.headers["content-security-policy"] == wanted


@pytest.mark.parametrize(
    "cookie", ["", "NAME=", "NAME=wrong", "OTHER=RIGHT", "NAME=\xe9", "NAME=ENDED", "other=x; NAME=wrong"]
)
def test_a_row_answers_those_alone_whose_role_may(studio: Studio, filled: Fill, cookie: str) -> None:
    name, right = studio.cookie.split("=", 1)
    ended = studio.desk.sessions.exchange(studio.desk.sessions.link())
    studio.desk.sessions.end(ended)
    cookie = cookie.replace("NAME", name).replace("OTHER", "alignlab_studio_1").replace("RIGHT", right)
    cookie = cookie.replace("ENDED", ended)
    for row in TABLE:
        headers = [("Host", HOST), JSON, *([("Cookie", cookie)] if cookie else [])]
        answer = studio.raw(row.method, filled(row.path), headers, b"not even JSON")
        if row.role == "anyone":
            assert answer.status == 400, "what is asked is read, for anybody may ask"
        else:
            assert answer.status == 401 and answer.json["error"]["code"] == "sign_in", row


def test_an_annotator_is_let_into_no_row_of_an_instructor(studio: Studio, filled: Fill) -> None:
    sessions = studio.desk.sessions
    digest, (_, end) = next(iter(sessions._sessions.items()))
    sessions._sessions[digest] = "annotator", end
    for row in TABLE:
        if row.role == "instructor":
            answer = studio.ask(filled(row.path), method=row.method, body={})
            assert answer.status == 403 and answer.json["error"]["code"] == "not_yours", row


def test_what_no_role_gives_is_given_to_nobody(studio: Studio, filled: Fill) -> None:
    """Ids that are none, of others, or paths: no row answers with a file."""
    for row in TABLE:
        if "{id}" not in row.path or row.method != "GET":
            continue
        for name in ("000000000000", "..%2f..%2fetc", "%2e%2e", "demo", "0" * 5000, "🎈", "00000000000g"):
            path = row.path.replace("{id}", name).replace("{row}", "0")
            path += "?step=1&place=0" if path.endswith("/tokens") else ""
            assert studio.ask(path).status in (404, 422), path
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/static/.."):
        assert studio.ask(path).status == 404, path


def test_a_link_is_good_for_one_exchange_and_its_cookie_for_this_port_alone(studio: Studio) -> None:
    token = studio.desk.sessions.link()
    answer = studio.ask("/api/session", method="POST", body={"token": token}, signed_in=False)
    assert answer.status == 200 and answer.json["role"] == "instructor"
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"alignlab_studio_{PORT}=") and token not in cookie
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    held = [("Host", HOST), ("Cookie", cookie.partition(";")[0]), JSON]
    assert studio.raw("GET", "/api/health", held).status == 200
    again = studio.ask("/api/session", method="POST", body={"token": token}, signed_in=False)
    assert again.status == 409 and "studio link" in again.json["error"]["remedy"]
    assert studio.raw("DELETE", "/api/session", held).status == 200
    assert studio.raw("GET", "/api/health", held).status == 401


def test_a_session_ends_by_itself() -> None:
    from alignlab.studio.sessions import HOURS, MOST, Sessions

    now = 0.0
    sessions = Sessions(lambda: now)
    cookie = sessions.exchange(sessions.link())
    assert sessions.role_of(cookie) == "instructor"
    now = HOURS * 3600.0
    assert sessions.role_of(cookie) == "anyone"
    for _ in range(3 * MOST):
        sessions.link()
    assert len(sessions._links) == MOST


def test_the_key_of_the_file_gives_another_link(studio: Studio) -> None:
    key = studio.desk.link_key
    answer = studio.ask("/api/link", method="POST", body={"key": key}, signed_in=False)
    token = answer.json["url"].partition("#token=")[2]
    assert studio.ask("/api/session", method="POST", body={"token": token}, signed_in=False).status == 200
    for wrong in ("", "x", key[:-1], f"{key} ", "\udc00"):
        asked = studio.ask("/api/link", method="POST", body={"key": wrong}, signed_in=False)
        assert asked.status in (400, 401), wrong


def test_bodies_and_queries_are_bounded_and_hold_known_fields_alone(studio: Studio) -> None:
    def status(body: bytes, *more: tuple[str, str]) -> int:
        return studio.raw("POST", "/api/session", [("Host", HOST), JSON, *more], body).status

    assert status(b'{"token": "' + b"x" * MOST_BODY + b'"}') == 413
    assert status(b"{}", ("Content-Length", str(MOST_BODY + 1))) == 413
    assert status(b"{}", ("Content-Length", "-1")) == 413
    assert status(b"{") == 400 and status(b"\xff") == 400 and status(b"[" * 10_000) == 400
    assert status(b"[]") == 422 and status(b"{}") == 422
    assert status(b'{"token": "x", "role": "instructor"}') == 422
    assert status(b'{"token": "' + b"x" * 201 + b'"}') == 422
    assert studio.ask("/api/runs?limit=201").status == 422
    assert studio.ask("/api/runs?limit=1&limit=2").status == 400
    assert studio.ask("/api/runs/000000000000?id=111111111111").status == 400
    assert studio.ask("/api/runs?" + "x" * 300).status == 422


def test_a_bug_shows_no_trace(studio: Studio, capsys: pytest.CaptureFixture[str]) -> None:
    studio.desk.shelf.look = None  # type: ignore[assignment]
    answer = studio.ask("/api/runs")
    assert answer.status == 500 and "Traceback" not in answer.body.decode()
    name = answer.json["error"]["where"].split()[1]
    assert f"bug {name}" in capsys.readouterr().err
