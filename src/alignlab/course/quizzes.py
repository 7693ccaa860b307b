"""Items of a quiz: on a page, and on the terminal, where answers stay in a file of the reader's own."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, Protocol

from ..errors import DataError, UserError
from ..run.outputs import write_document
from ..text.documents import Malformed, from_json, read_text
from ..text.escapes import visible
from ..text.nearest import nearest
from . import plain
from .course import Course


class Text(Protocol):
    def text(self, markdown: str, /) -> str: ...


def item(item: dict[str, Any], number: int, page: Text) -> str:
    """An item as HTML. Without a script the answer opens by hand."""
    question = f'<span class="number">{number}</span> {page.text(item["question"])}'
    asked, right = _order(item, page) if item.get("kind") == "order" else _options(item, number, page)
    return (
        f'<fieldset><legend>{question}</legend>{asked}<p class="feedback" role="status"></p>'
        f'<details class="why"><summary>Answer</summary><div><b>{right}</b> {page.text(item["why"])}</div>'
        "</details></fieldset>"
    )


def _options(item: dict[str, Any], number: int, page: Text) -> tuple[str, str]:
    name = escape(f"{item['id']}-{number}", quote=True)
    labels, right = [], ""
    for option in item["options"]:
        shown = page.text(option["text"])
        mark = ' data-right="1"' if option.get("right") else ""
        right = shown if option.get("right") else right
        labels.append(f'<label{mark}><input type="radio" name="{name}"> <span>{shown}</span></label>')
    return "".join(labels), right


def _order(item: dict[str, Any], page: Text) -> tuple[str, str]:
    rows = shuffled(item)
    lines = "".join(
        f'<button type="button" class="line" data-place="{place}"><span class="place"></span>'
        f"<span>{page.text(text)}</span></button>"
        for place, text in rows
    )
    right = "".join(f"<li>{page.text(line)}</li>" for line in item["lines"])
    count = len(item["lines"])
    return (
        f'<div class="order" data-lines="{count}"><p class="quiet">Choose {count} lines in their order.</p>'
        f"{lines}</div>",
        f"<ol>{right}</ol>",
    )


def shuffled(item: dict[str, Any]) -> list[tuple[int, str]]:
    """The lines of a puzzle, each with its place from 1, 0 for one that belongs nowhere; in an order that
    follows from the item's name.
    """
    rows = [*enumerate(item["lines"], 1), *((0, line) for line in item.get("distractors", []))]
    random.Random(str(item["id"])).shuffle(rows)
    return rows


def ask(course: Course, form: str, answers: Path) -> dict[str, Any]:
    """Ask a quiz on the terminal; what was answered is kept in a file and sent nowhere.

    Returns:
        right, of, answers (file), misconceptions (the sentences of those that were chosen).
    Raises:
        UserError: there is no such quiz. DataError: the file of answers is none.
    """
    name = form if form in course.quizzes else f"form-{form}"
    items = course.quizzes.get(name)
    if not items:
        raise UserError(
            f"there is no quiz {form!r}",
            remedy=nearest(form, course.quizzes) or f"one of: {', '.join(course.quizzes)}",
        )
    kept = _kept(answers)
    given: dict[str, Any] = {}
    for number, one in enumerate(items, 1):
        print(f"\n{number} of {len(items)}  {visible(plain.text(one['question'], course))}")
        given[one["id"]] = _asked(one, course)
        print(("Right. " if given[one["id"]]["right"] else "No. ") + visible(plain.text(one["why"], course)))
    kept.setdefault("quizzes", {}).setdefault(name, []).append(given)
    write_document(answers, {"schema": 1, **kept})
    right = sum(answer["right"] for answer in given.values())
    chosen = [answer["misconception"] for answer in given.values() if answer["misconception"]]
    said = [course.misconceptions.get(key, key) for key in dict.fromkeys(chosen)]
    text = [f"\n{right} of {len(items)} right. Your answers: {answers}"]
    text += [f"  to think about again: {sentence}" for sentence in said]
    return {
        "quiz": name,
        "right": right,
        "of": len(items),
        "answers": str(answers),
        "misconceptions": said,
        "text": "\n".join(text),
    }


def _kept(answers: Path) -> dict[str, Any]:
    if not answers.exists():
        return {}
    try:
        kept = from_json(read_text(answers))
    except (OSError, Malformed) as error:
        raise DataError(f"cannot read your answers: {error}", where=str(answers)) from None
    if not isinstance(kept, dict) or not isinstance(kept.get("quizzes", {}), dict):
        raise DataError("this is no file of answers", where=str(answers), remedy="--answers FILE")
    return {name: value for name, value in kept.items() if name != "schema"}


def _asked(item: dict[str, Any], course: Course) -> dict[str, Any]:
    if item.get("kind") == "order":
        rows = shuffled(item)
        _list([plain.text(text, course) for _, text in rows])
        places = _numbers(f"{len(item['lines'])} letters in their order: ", len(rows))
        chosen = [rows[place][0] for place in places]
        return {
            "chosen": chosen,
            "right": chosen == list(range(1, len(item["lines"]) + 1)),
            "misconception": "",
        }
    options = item["options"]
    _list([plain.text(option["text"], course) for option in options])
    [place] = _numbers("your answer: ", len(options), only=1)
    option = options[place]
    right = bool(option.get("right"))
    return {"chosen": place, "right": right, "misconception": option.get("misconception", "")}


def _list(texts: Sequence[str]) -> None:
    for place, text in enumerate(texts):
        print(f"  {chr(ord('a') + place)}  {visible(text.strip())}")


def _numbers(prompt: str, most: int, only: int = 0) -> list[int]:
    """Letters that somebody types, as places from 0; asked again until they are there."""
    while True:
        print(prompt, end="", flush=True)
        line = sys.stdin.readline()
        if not line:
            raise UserError("the quiz ended before its last answer", remedy="alignlab lecture quiz --form a")
        letters = [letter for letter in line.lower() if letter.isalnum()]
        places = [ord(letter) - ord("a") for letter in letters]
        if places and all(0 <= place < most for place in places) and len(places) == (only or len(places)):
            return places
        print(f"  letters from a to {chr(ord('a') + most - 1)}, please")
