"""Who is let in: which names, which pages, on which addresses."""

from __future__ import annotations

import json

import pytest
from starlette.datastructures import Headers

from alignlab import cli
from alignlab.serve.access import Access, is_loopback
from alignlab.serve.refusal import Refusal

from .conftest import Running


def status(access: Access, **headers: str) -> int:
    try:
        access.check(Headers({name.replace("_", "-"): value for name, value in headers.items()}))
    except Refusal as refusal:
        return refusal.status
    return 200


@pytest.mark.parametrize(
    ("host", "here", "there"),
    [
        ("localhost", 200, 200),
        ("LOCALHOST:8000", 200, 200),
        ("127.0.0.1:8000", 200, 200),
        ("[::1]:8000", 200, 200),
        ("", 200, 200),
        ("evil.example", 421, 421),
        ("evil.example:8000", 421, 421),
        ("localhost.evil.example", 421, 421),
        ("127.0.0.1.evil.example", 421, 421),
        ("localhost:8000:1", 421, 421),
        ("[", 421, 421),
        ("10.1.2.3:8000", 421, 200),
        ("[fe80::1]:8000", 421, 200),
        ("lab.example:8000", 421, 200),
        ("Lab.Example", 421, 200),
    ],
)
def test_a_server_answers_to_its_own_names(host: str, here: int, there: int) -> None:
    """`there` is bound elsewhere: an address cannot be made to resolve to anything, and a name is one that it
    was told.
    """
    assert status(Access(), host=host) == here
    assert status(Access(local=False, names=["0.0.0.0", "lab.example"]), host=host) == there


@pytest.mark.parametrize(
    ("origin", "code"),
    [
        ("http://localhost:3000", 200),
        ("https://127.0.0.1", 200),
        ("http://[::1]:5173", 200),
        ("https://lab.example", 200),
        ("http://10.1.2.3:8000", 200),
        ("http://evil.example", 403),
        ("null", 403),
        ("", 403),
        ("http://localhost.evil.example", 403),
        ("http://evil.example/http://localhost", 403),
        ("http://localhost@evil.example", 403),
        ("file://", 403),
        ("chrome-extension://abc", 403),
        ("http://10.1.2.4:8000", 403),
        ("http://[", 403),
        ("localhost", 403),
        ("javascript:localhost", 403),
    ],
)
def test_a_page_from_elsewhere_is_refused(origin: str, code: int) -> None:
    access = Access(local=False, names=["lab.example"])
    assert status(access, host="10.1.2.3:8000", origin=origin) == code
    if code == 200:
        assert status(access, host="10.1.2.3:8000", origin=origin, sec_fetch_site="cross-site") == 200, (
            "localhost and 127.0.0.1 are two sites to a browser"
        )


@pytest.mark.parametrize(
    ("site", "code"),
    [
        ("cross-site", 403),
        ("Cross-Site", 403),
        ("same-origin", 200),
        ("same-site", 200),
        ("none", 200),
        ("", 200),
    ],
)
def test_what_a_browser_says_of_where_it_comes_from(site: str, code: int) -> None:
    assert status(Access(), host="localhost", sec_fetch_site=site) == code


def test_two_origins_are_both_looked_at_and_the_key_comes_last() -> None:
    with pytest.raises(Refusal) as refusal:
        Access(key="k").check(
            Headers(
                raw=[
                    (b"host", b"localhost"),
                    (b"origin", b"http://localhost"),
                    (b"origin", b"http://evil.example"),
                ]
            )
        )
    assert refusal.value.status == 403
    assert (
        status(Access(key="k"), host="localhost") == 401
        and status(Access(key="k"), host="localhost", authorization="Bearer k") == 200
    )
    assert (
        status(Access(key="k"), host="localhost", authorization="Bearer k", origin="http://evil.example")
        == 403
    )


def test_nothing_is_worked_out_for_a_page_from_elsewhere(running: Running) -> None:
    before = running.server.active, running.engine.sampler._prompts
    for headers in ({"origin": "http://evil.example"}, {"sec_fetch_site": "cross-site"}):
        for method, path in (
            ("POST", "/v1/chat/completions"),
            ("POST", "/v1/completions"),
            ("GET", "/v1/models"),
            ("GET", "/v1/models/tiny"),
            ("GET", "/health"),
        ):
            code, _, body = running.raw(
                method, path, b"{}" if method == "POST" else None, content_type="application/json", **headers
            )
            assert code == 403 and json.loads(body)["error"]["code"] == "foreign_origin"
    assert (running.server.active, running.engine.sampler._prompts) == before
    assert (
        running.post(
            "/v1/chat/completions",
            {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1},
            origin="http://localhost:3000",
        )[0]
        == 200
    )


@pytest.mark.parametrize(
    ("address", "yes"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("::ffff:0.0.0.0", False),
        ("fe80::1%eth0", False),
    ],
)
def test_what_only_this_machine_reaches(address: str, yes: bool) -> None:
    assert is_loopback(address) == yes


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "0", "0x0", "192.0.2.1", "::ffff:0.0.0.0"])
def test_other_machines_are_not_let_in_without_a_key(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["serve", "town-s", "--port", "0", "--host", host]) == 3
    said = capsys.readouterr().err
    assert "no key is asked for" in said and "--api-key-env" in said
