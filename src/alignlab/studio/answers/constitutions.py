"""Constitutions: shipped ones are read, those below the folder also written; lint says what is wrong."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import threading
from contextlib import suppress
from pathlib import Path

from ...constitution import files
from ...constitution.lint import lint
from ...constitution.places import FIELDS, Place, places
from ...errors import DataError
from ...text.disk import write_whole
from .. import schema
from ..desk import Desk, Visit
from ..inside import text
from ..problems import Refused
from ..scan import below

FOLDER = "studio/constitutions"  # below the studio's folder
ENDING = ".toml"
MOST_BYTES = 4 * schema.MOST_TEXT
MOST_FILES = 200
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,47}")
_writing = threading.Lock()  # one looks at what is there and writes, then the next


def constitutions(visit: Visit, asked: schema.Nothing) -> schema.Constitutions:
    """Those that are shipped, and those of the folder."""
    desk = visit.desk
    names = [*files.SHIPPED, *_names(desk)]
    return schema.Constitutions(rows=[_row(desk, name) for name in names], folder=FOLDER)


def _names(desk: Desk) -> list[str]:
    """Of files whose names are ones; links and folders are none."""
    found = []
    with suppress(OSError), os.scandir(desk.inside.root / FOLDER) as entries:
        for entry in entries:
            name = entry.name.removesuffix(ENDING)
            whole = entry.name.endswith(ENDING) and entry.is_file(follow_symlinks=False)
            if whole and NAME.fullmatch(name):
                found.append(name)
    return sorted(set(found) - set(files.SHIPPED))[:MOST_FILES]


def _row(desk: Desk, name: str) -> schema.ConstitutionRow:
    problem = ""
    try:
        said = linted(_text(desk, name), name)
        wrong = [one for one in said.findings if one.severity == "error"]
        problem = wrong[0].text if wrong else ""
    except Refused as refusal:
        said, problem = _nothing(), refusal.message
    return schema.ConstitutionRow(
        name=name,
        shipped=name in files.SHIPPED,
        title=said.title,
        version=said.version,
        digest=said.digest,
        principles=len(said.principles),
        problem=problem,
    )


def constitution(visit: Visit, asked: schema.ConstitutionAsked) -> schema.Constitution:
    """One of them, with what lint says of it and where its principles stand in the text."""
    return _document(visit.desk, asked.name, _text(visit.desk, asked.name))


def put(visit: Visit, asked: schema.ConstitutionGiven) -> schema.Constitution:
    """Write one below the folder, whole. `If-Match` has the `etag` of the text that was edited, and is left
    out for a new one; if another text stands there, 409 says which (`now`).
    """
    desk = visit.desk
    if asked.name in files.SHIPPED:
        raise Refused(422, "a shipped constitution stays as it is", remedy="another name", field="name")
    try:
        content = asked.text.encode("utf-8")
    except UnicodeEncodeError:
        raise Refused(422, "the text is no Unicode", field="text") from None
    with _writing:
        there, match = _there(desk, asked.name), visit.match.strip().strip('"')
        if there is not None and not match:
            raise Refused(
                409, f"there is a constitution {asked.name} already", remedy="another name", now=there
            )
        if match != (_etag(there) if there is not None else ""):
            what = "it was changed meanwhile" if there else "it is not there any more"
            raise Refused(409, what, remedy="join the two texts, and save again", now=there or "")
        try:
            with write_whole(desk.inside.own(FOLDER) / f"{asked.name}{ENDING}") as staging:
                staging.write_bytes(content)
        except OSError as error:
            raise Refused(503, f"not saved: {error.strerror or error}", where=FOLDER) from None
    return _document(desk, asked.name, asked.text)


def lint_text(visit: Visit, asked: schema.LintAsked) -> schema.Linted:
    """What is wrong with a text, each thing with field and line; nothing is written."""
    return linted(asked.text, "text")


def file_of(desk: Desk, name: str) -> str:
    """What `--constitution` takes. Raises Refused: 404, 413; 422 one that cannot be used."""
    said = linted(_text(desk, name), name)
    if wrong := [one for one in said.findings if one.severity == "error"]:
        where = f"line {wrong[0].line}" if wrong[0].line else ""
        raise Refused(422, f"{name} cannot be used: {wrong[0].text}", where=where, remedy="mend it first")
    return name if name in files.SHIPPED else str(desk.inside.root / FOLDER / f"{name}{ENDING}")


# --- texts


def _text(desk: Desk, name: str) -> str:
    """Raises Refused: 404, 413."""
    if name in files.SHIPPED:
        return (Path(files.__file__).parent / "defaults" / f"{name}{ENDING}").read_text(encoding="utf-8")
    there = _there(desk, name)
    if there is None:
        raise Refused(404, f"there is no constitution {name}", field="name")
    return there


def _there(desk: Desk, name: str) -> str | None:
    """What stands in the file of a name; None where there is none. Raises Refused: 413, it is no text that
    can be edited here.
    """
    try:
        with desk.inside.binary(below(FOLDER, f"{name}{ENDING}")) as file:
            data = file.read(MOST_BYTES + 1)
    except OSError:
        return None
    if len(data) > MOST_BYTES:
        raise Refused(413, f"{name} is longer than {MOST_BYTES:,} bytes", remedy="edit it elsewhere")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(413, f"{name} is not UTF-8", remedy="edit it elsewhere") from None


def _etag(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def _document(desk: Desk, name: str, content: str) -> schema.Constitution:
    shipped = name in files.SHIPPED
    file = name if shipped else str(desk.inside.root / FOLDER / f"{name}{ENDING}")
    command = ["alignlab", "run", "--recipe", "constitutional", "--constitution", file]
    return schema.Constitution(
        **dict(linted(content, name)),
        name=name,
        shipped=shipped,
        text=content,
        etag=_etag(content),
        command=shlex.join([*command, "--out", f"runs/{name}"]),
    )


# --- what is said of a text


def linted(content: str, name: str) -> schema.Linted:
    """What a text holds and what is wrong with it. One that is none has one finding, which says why."""
    where = places(content)
    try:
        found = files.parsed(content, Path(f"{name}{ENDING}"))
    except DataError as error:
        return _unreadable(error, where, content.count("\n") + 1)
    if len(where) != len(found.principles):
        where = []
    at: dict[str, int] = {}
    for place, principle in enumerate(found.principles):
        at.setdefault(principle.id, place)
    last = {principle.id: place for place, principle in enumerate(found.principles)}
    findings = []
    for one in lint(found):
        principle = (last if one.kind == "duplicate id" else at).get(one.ids[0]) if one.ids else None
        findings.append(
            schema.LintFinding(
                kind=one.kind,
                severity=one.severity,
                ids=[text(id, 100) for id in one.ids[:20]],
                text=text(one.text, schema.CUT),
                principle=principle,
                field=one.field,
                line=_line(where, principle, one.field),
            )
        )
    return schema.Linted(
        title=text(found.name, 200),
        version=text(found.version, 100),
        digest=found.digest,
        principles=[
            schema.PrincipleText(
                id=text(one.id),
                critique=text(one.critique),
                revise=text(one.revise),
                compare=text(one.compare),
                tags=[text(tag) for tag in one.tags],
                exemplars=len(one.exemplars),
                lines=where[place].fields if where else {},
            )
            for place, one in enumerate(found.principles)
        ],
        findings=findings[: schema.MOST_ROWS],
    )


def _line(where: list[Place], principle: int | None, field: str) -> int | None:
    if not where or principle is None:
        return None
    place = where[principle]
    return place.fields.get(field, (place.line, 0))[0]


def _unreadable(error: DataError, where: list[Place], lines: int) -> schema.Linted:
    """Line and principle are in the words of the error, where they are known."""
    said = (
        error.what.partition(": ")[2] if error.what.startswith("the constitution is no TOML") else error.what
    )
    at = re.search(r"at line (\d{1,6})|at end of document", said)
    which = re.match(r"principle (\d{1,6})", said)
    principle = int(which[1]) - 1 if which and int(which[1]) <= len(where) else None
    field = next((name for name in FIELDS if re.search(rf"\b{name}\b", said.partition(": ")[2])), "")
    line = int(at[1] or lines) if at else _line(where, principle, field)
    found = schema.LintFinding(
        kind="cannot be read",
        severity="error",
        ids=[],
        text=text(said, schema.CUT),
        principle=principle,
        field=field if principle is not None else "",
        line=line,
    )
    return _nothing().model_copy(update={"findings": [found]})


def _nothing() -> schema.Linted:
    return schema.Linted(title="", version="", digest="", principles=[], findings=[])
