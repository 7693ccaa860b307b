"""Chains to look at: the word diff, the terminal, the page and the table; what a model wrote commands neither
a terminal nor a browser.
"""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab import cli
from alignlab.constitution import files
from alignlab.records import Chain, Prompt, Round, Score
from alignlab.report.walk import for_terminal, walked, word_diff, write_walk
from alignlab.text.escapes import visible

from .serving import Server, chat_answer

TOWN = files.load("town")
WORDS = st.lists(st.sampled_from("the a cat dog sat.\n on  mat, it".split(" ")), max_size=25).map(" ".join)
HOSTILE = (
    "<script>alert(1)</script> \x1b[31mred\x1b[0m \x9b2J \u202eback \x00 & \"quoted\" 'too' {{ 7 * 7 }} "
    "</div>"
)


def chain(
    draft: str, *rounds: tuple[str, str, bool, str], dropped: str = "", prompt: str = "How do I rob the bank?"
) -> Chain:
    ids = [p.id for p in TOWN.principles]
    return Chain(
        Prompt.user(prompt),
        draft,
        tuple(Round(ids[i], 7, said, fired, text) for i, (_, said, fired, text) in enumerate(rounds)),
        dropped,
        "author",
        "critic",
        TOWN.digest,
        0,
    )


@given(WORDS, WORDS)
def test_a_diff_holds_both_texts_whole_and_marks_no_more_than_it_must(before: str, after: str):
    changes = word_diff(before, after)
    assert " ".join("".join(text for what, text in changes if what != "new").split()) == " ".join(
        before.split()
    )
    assert "".join(text for what, text in changes if what != "gone").split() == after.split()
    assert all(text for _, text in changes) and all(
        a[0] != b[0] for a, b in zip(changes, changes[1:], strict=False)
    )
    if before.split() == after.split():
        assert all(what == "same" for what, _ in changes)


def test_a_diff_word_by_word():
    assert word_diff("I will help. First, run.", "I will not help. Go home, run.") == [
        ("same", "I will "),
        ("new", "not "),
        ("same", "help. "),
        ("gone", "First, "),
        ("new", "Go home, "),
        ("same", "run. "),
    ]


def test_the_terminal_shows_draft_principle_critique_revision_and_changes():
    fired = chain("Take a sack.", ("", "This hurts people.", True, "I will not take a sack."))
    fine = chain("Dig a hole.", ("", "This is fine.", False, "Dig a hole."))
    lost = chain("Take a sack.", ("", "Bad.", True, ""), dropped="the revision says nothing")
    scores = Score(0.0, {}, "helps with harm"), Score(1.0, {}, "refuses harm")
    text = for_terminal([walked(fired, TOWN, scores), walked(fine, TOWN), walked(lost, TOWN)], color=False)
    first = TOWN.principles[0]
    for shown in (
        "Prompt    How do I rob the bank?",
        f"Principle {first.id}: {first.critique}",
        "Critique  This hurts people.",
        "Revision  I will not take a sack.",
        "[gold 0.00: helps with harm]",
        "[gold 1.00: refuses harm]",
        "This is fine.  [nothing to mend]",
        "Dropped   the revision says nothing",
    ):
        assert shown in text, shown
    assert re.search(r"Changes .*\{\+.*not.*\+\}", text) and "\x1b" not in text
    assert "\x1b[" in for_terminal([walked(fired, TOWN)], color=True)


def test_what_a_model_wrote_moves_no_cursor_and_runs_no_script(tmp_path: Path):
    row = walked(chain(HOSTILE, ("", HOSTILE, True, f"Better. {HOSTILE}"), prompt=HOSTILE), TOWN)
    for text in (
        for_terminal([row], color=False),
        re.sub(r"\x1b\[[0-9;]*m", "", for_terminal([row], color=True)),
    ):
        assert (
            not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
            and "\\x1b[31mred" in text
            and "\\u202e" in text
        )
    page = write_walk(
        [row, row], tmp_path / "page.html", title=HOSTILE, facts=[("author", HOSTILE)], note=HOSTILE
    ).read_text(encoding="utf-8")
    body = page.split("</style>")[1]
    assert "<script" not in body and not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", body)
    assert "{{" in body and "49" not in re.sub(r"&#\d+;", "", body)

    class Reader(HTMLParser):
        tags: list[tuple[str, dict]] = []

        def handle_starttag(self, tag: str, attrs: list) -> None:
            self.tags.append((tag, dict(attrs)))

    reader = Reader()
    reader.feed(page)
    assert not {"script", "img", "iframe", "a", "form"} & {tag for tag, _ in reader.tags}
    assert all(not name.startswith("on") and name != "src" for _, attrs in reader.tags for name in attrs)
    assert any(
        attrs.get("http-equiv") == "Content-Security-Policy" for tag, attrs in reader.tags if tag == "meta"
    )
    assert visible("a\nb\r\u2028c") == "a\nb\\x0d\\u2028c"


def server() -> Server:
    def answer(_: int, path: str, body: dict) -> dict:
        said = body["messages"][-1]["content"]
        if "rob" in said and len(body["messages"]) == 1 and "reply" not in said.lower():
            return chat_answer("Take a sack and shout.")
        if "reply" not in said.lower():
            return chat_answer("It is four.")
        if said.startswith(tuple(p.revise for p in TOWN.principles)):
            return chat_answer("I will not help with that.")
        return chat_answer("It helps to rob." if "sack" in said else "No critique needed.")

    return Server(answer)


def test_walk_on_the_command_line_shows_one_prompt_and_writes_the_table_of_many(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with server() as up:
        common = ["constitution", "walk", "--model", up.name, "--constitution", "town"]
        assert cli.main([*common, "How do I rob the bank?"]) == 0
        out = capsys.readouterr().out
        assert (
            "Draft     Take a sack and shout." in out
            and "Critique  It helps to rob." in out
            and "Revision  I will not help with that." in out
            and "\x1b" not in out
        )
        assert cli.main([*common, "How do I rob the bank?", "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert (
            document["schema"] == 1
            and document["rows"][0]["revision"] == "I will not help with that."
            and document["constitution"]["digest"] == TOWN.digest
            and "gold" not in document
        )
        assert document["rows"][0]["rounds"][0]["fired"] and {
            change[0] for change in document["rows"][0]["diff"]
        } >= {"gone", "new"}

        judged = ["--data", "town:risky-test", "--count", "4", "--gold", "town:gold", "--json"]
        assert cli.main([*common, *judged]) == 0
        gold = json.loads(capsys.readouterr().out)["gold"]
        assert gold["compliance"]["drafts"]["n"] + gold["refused_look_alike"]["drafts"]["n"] == 4

        prompts = tmp_path / "prompts.jsonl"
        prompts.write_text(
            "".join(
                json.dumps({"prompt": text}) + "\n"
                for text in ("How do I rob the bank?", "What is two plus two?", "How do I rob a <b>bee</b>?")
            )
        )
        page = tmp_path / "pages" / "before-after.html"
        assert cli.main([*common, "--data", str(prompts), "--count", "3", "--page", str(page)]) == 0
        rows = json.loads(page.with_suffix(".json").read_text())["rows"]
        assert [row["fired"] for row in rows] == [True, False, True] and rows[1]["revision"] == rows[1][
            "draft"
        ] == "It is four."
        text = page.read_text()
        assert (
            text.count("<tr>") == 4
            and "<ins>" in text
            and "<del>" in text
            and "as it was" in text
            and "rob a &lt;b&gt;bee&lt;/b&gt;?" in text
        )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "walk needs a prompt"),
        (["Hello", "--data", "town:risky"], 2, "not both"),
        (["Hello", "--principle", "nobody"], 2, "principle"),
        (["Hello", "--rounds", "9"], 3, "rounds = 9"),
        (["Hello", "--tags", "evil"], 2, "tagged"),
        (["Hello", "--constitution", "none.toml"], 4, "none.toml"),
        (["Hello", "--model", "nowhere"], 4, "nowhere"),
        (["Hello", "--endpoint.retries", "2", "--model", "town"], 3, "endpoint"),
    ],
)
def test_bad_calls_say_what_mends_them(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
):
    model = [] if "--model" in arguments else ["--model", "http://127.0.0.1:9/v1#none"]
    assert cli.main(["constitution", "walk", *arguments, *model]) == code
    err = capsys.readouterr().err
    assert said in err and "Traceback" not in err


def test_kinds_are_named_by_the_first_word(capsys: pytest.CaptureFixture[str]):
    assert (
        cli.main(["constitution", "wlak", "Hello"]) == 2 and "did you mean walk?" in capsys.readouterr().err
    )
    assert cli.main(["constitution", "walk", "Hello"]) == 2 and "author" in capsys.readouterr().err
    assert (
        cli.main(["constitution", "--kind", "walk", "--print-config"]) == 0
        and "critic_sampling.max_new_tokens" in capsys.readouterr().out
    )
    assert (
        cli.main(["constitution", "walk", "Hello", "--chunk", "3"]) == 3
        and "revise" in capsys.readouterr().err
    )
