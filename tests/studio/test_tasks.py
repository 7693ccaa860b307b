"""What an instructor does with a task, over HTTP: from a run to people's votes, and on to a run again."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from alignlab.studio.guard import FILE, MOST
from alignlab.studio.scan import id_of
from alignlab.votes import assignment, voting
from alignlab.votes.people import join

from ..votes.asking import new_id, ranking
from .conftest import HOST, Studio, task_in, write_log, write_run

PAIR = {"name": "second", "mode": "pair", "overlap": 2, "held_out": 0.0}


def post(studio: Studio, target: str, body: Any, status: int = 200, *, method: str = "POST") -> Any:
    answer = studio.ask(target, method=method, body=body)
    assert answer.status == status, answer.body
    return answer.json


def new_task(studio: Studio, **more: Any) -> str:
    return post(studio, "/api/tasks", PAIR | more)["id"]


def send(studio: Studio, task: str, file: bytes, *, ending: str = "jsonl", **more: Any) -> Any:
    query = urlencode({"ending": ending, **more})
    return studio.ask(f"/api/tasks/{task}/import?{query}", method="POST", file=file)


def lines(rankings: Any) -> bytes:
    return b"".join((json.dumps(one.to_json()) + "\n").encode() for one in rankings)


def with_rankings(studio: Studio, count: int = 12, name: str = "demo/collect") -> str:
    folder = write_run(studio.desk.inside.root / name, "collect")
    (folder / "data").mkdir()
    write_log(folder / "data" / "rankings.jsonl", [ranking(n, 3).to_json() for n in range(count)])
    return id_of(name)


def everybody_votes(studio: Studio, task: str, strengths: dict[str, Callable[[str], int]]) -> None:
    """Each person votes on all that they are asked: a strength of the answer called "a" over "b"."""
    store = studio.desk.store
    for name, strength in strengths.items():
        person = store.do(join, name).id
        while asked := store.do(assignment.ask, task, person).items:
            first, turned = asked[0], asked[0].texts[0] > asked[0].texts[1]
            wanted = strength(first.prompt[-1].content)
            ballot = voting.Ballot(id=new_id(), lease=first.lease, strength=-wanted if turned else wanted)
            store.do(voting.vote_on, person, ballot)


# --- tasks


def test_a_folder_without_votes_is_not_given_a_store(studio: Studio) -> None:
    assert studio.get("/api/tasks") == {"rows": [], "there": False}
    assert studio.get("/api/audit")["events"] == 0
    for path in ("", "/items", "/agreement", "/annotators", "/disputes", "/power", "/export"):
        assert studio.ask(f"/api/tasks/{'0' * 24}{path}").status == 404
    assert post(studio, "/api/backup", {}, 404)["error"]["remedy"]
    assert not (studio.desk.inside.root / "studio").exists()


def test_a_task_is_made_opened_closed_and_its_guideline_has_versions(studio: Studio) -> None:
    task = new_task(studio, guideline="Be **fair**.", question="Which is right?")
    found = studio.get(f"/api/tasks/{task}")
    assert found["question"] == "Which is right?" and found["state"] == "open" and found["items"] == 0
    changed = post(studio, f"/api/tasks/{task}", {"guideline": "Be kind.", "state": "closed"}, method="PATCH")
    assert [row["text"] for row in changed["guidelines"]] == ["Be **fair**.", "Be kind."]
    assert changed["state"] == "closed"
    assert [row["id"] for row in studio.get("/api/tasks")["rows"]] == [task]
    assert post(studio, "/api/tasks", PAIR, 409)["error"]["code"] == "name_taken"
    for wrong in (
        {"mode": "essay"},
        {"overlap": 0},
        {"gold_share": 0.4, "repeat_share": 0.4},
        {"name": " x"},
    ):
        assert post(studio, "/api/tasks", PAIR | {"name": "other"} | wrong, 422)["error"]["what"]


def test_people_get_groups_by_which_figures_are_asked(studio: Studio) -> None:
    task = task_in(studio)
    ada, bob = studio.get(f"/api/tasks/{task}")["persons"]
    assert (ada["called"], ada["name"], bob["called"]) == ("P1", "Ida", "P2")
    changed = post(studio, f"/api/tasks/{task}", {"groups": {ada["id"]: ["old"]}}, method="PATCH")
    assert changed["persons"][0]["groups"] == ["old"]
    assert [row["called"] for row in studio.get(f"/api/tasks/{task}/annotators?group=old")["rows"]] == ["P1"]
    nobody = {"groups": {"0" * 24: ["old"]}}
    assert post(studio, f"/api/tasks/{task}", nobody, 404, method="PATCH")["error"]["code"] == "not_found"


def test_a_field_of_the_address_is_none_of_the_body(studio: Studio) -> None:
    task = new_task(studio)
    assert post(studio, f"/api/tasks/{task}", {"id": "0" * 24, "state": "closed"}, 422, method="PATCH")
    assert studio.get(f"/api/tasks/{task}")["state"] == "open"


# --- items


def test_items_from_rankings_are_drawn_once_and_shown_first(studio: Studio) -> None:
    run, task = with_rankings(studio), new_task(studio)
    source = {"source": "rankings", "runs": [run]}
    shown = post(studio, "/api/sources", source | {"mode": "pair"})
    assert shown["count"] == 12 and len(shown["texts"]) == 2 and shown["prompt"][0]["role"] == "user"
    added = post(studio, f"/api/tasks/{task}/items", source | {"count": 5})
    assert added["added"] == 5
    again = post(studio, f"/api/tasks/{task}/items", source | {"count": 50})
    assert again == {"added": 7, "left_out": {"there already": 5}, "leaks": []}
    page = studio.get(f"/api/tasks/{task}/items?limit=10")
    rest = studio.get(f"/api/tasks/{task}/items?limit=10&cursor={page['next']}")
    rows = page["rows"] + rest["rows"]
    assert [row["place"] for row in rows] == list(range(12)) and rest["next"] is None
    assert {row["why"] for row in rows} == {"random"} and {row["needed"] for row in rows} == {2}
    gold = post(studio, f"/api/tasks/{task}/items", source | {"count": 2, "gold": True})
    assert gold["added"] == 2
    shown = studio.get(f"/api/tasks/{task}/items?why=gold")["rows"]
    assert [row["needed"] for row in shown] == [0, 0], "as many as there are people"


def test_items_from_evaluations_of_the_same_prompts(studio: Studio) -> None:
    task, root = new_task(studio), studio.desk.inside.root
    for name in ("sft", "dpo"):
        rows = [
            {"step": 0, "id": f"q{n}", "decoding": "greedy", "gold": 1, "completion": f"{name} says {n}"}
            | {"prompt": [{"role": "user", "content": f"Question {n}?"}], "meta": {"kind": "fact"}}
            for n in range(4)
        ]
        write_run(root / f"pair/{name}", name)
        write_run(
            root / f"pair/eval-{name}", "eval", parents=[str(root / f"pair/{name}")], logs={"samples": rows}
        )
    runs = [id_of("pair/sft"), id_of("pair/dpo")]
    added = post(studio, f"/api/tasks/{task}/items", {"source": "eval", "runs": runs})
    assert added["added"] == 4 and {leak["word"] for leak in added["leaks"]} == set()
    row = studio.get(f"/api/tasks/{task}/items")["rows"][0]
    assert sorted(text.split()[0] for text in row["texts"]) == ["dpo", "sft"]
    assert studio.get(f"/api/tasks/{task}")["kinds"] == ["fact"]
    for wrong in (runs[:1], [runs[0], id_of("demo/ppo")]):
        asked = {"source": "eval", "runs": wrong}
        assert post(studio, f"/api/tasks/{task}/items", asked, 422)["error"]["field"] == "runs"


def test_items_from_two_steps_of_a_run(studio: Studio) -> None:
    task = new_task(studio)
    said = [{"role": "user", "content": "Hello?"}]
    probes = [{"step": s, "probe": "p", "prompt": said, "completion": f"at {s}"} for s in (0, 5)]
    write_run(studio.desk.inside.root / "demo/long", logs={"probes": probes})
    source = {"source": "steps", "runs": [id_of("demo/long")]}
    added = post(studio, f"/api/tasks/{task}/items", source | {"a": 0, "b": 5})
    assert added["added"] == 1
    assert studio.get(f"/api/tasks/{task}/items")["rows"][0]["texts"] in (["at 0", "at 5"], ["at 5", "at 0"])
    for steps in ({}, {"a": 0}, {"a": 5, "b": 5}, {"a": 0, "b": 4}):
        assert post(studio, f"/api/tasks/{task}/items", source | steps, 422)["error"]["what"]


def test_an_answer_that_says_who_wrote_it_is_listed(studio: Studio) -> None:
    task, root = new_task(studio), studio.desk.inside.root
    folder = write_run(root / "told", "collect")
    (folder / "data").mkdir()
    one = ranking(0).to_json()
    one["completions"] = ["As an AI language model I cannot.", "The bell is red."]
    write_log(folder / "data" / "rankings.jsonl", [one])
    added = post(studio, f"/api/tasks/{task}/items", {"source": "rankings", "runs": [id_of("told")]})
    assert [leak["word"] for leak in added["leaks"]] == ["As an AI language model"]
    assert studio.get(f"/api/tasks/{task}/items")["rows"][0]["leaks"] == ["As an AI language model"]


@pytest.mark.parametrize(
    "line",
    [
        "{}\n",
        "not JSON\n",
        '{"prompt": 1}\n',
        '{"prompt": "a", "completions": 3}\n',
        '{"prompt": "a", "completions": ["b", "c"], "ranks": ["x", []]}\n',
        '{"prompt": "a", "completions": ["b", "c"], "ranks": [1, 2], "ranking_meta": {"safer": true}}\n',
        "x" * (2**20 + 1) + "\n",
    ],
)
def test_rankings_that_cannot_be_read_end_in_a_sentence(studio: Studio, line: str) -> None:
    folder = write_run(studio.desk.inside.root / "bad", "collect")
    (folder / "data").mkdir()
    (folder / "data" / "rankings.jsonl").write_text(line)
    asked = {"source": "rankings", "runs": [id_of("bad")]}
    error = post(studio, f"/api/tasks/{new_task(studio)}/items", asked, 422)["error"]
    assert error["what"] and error["field"] == "runs"


def test_a_link_out_of_the_folder_is_not_read(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    write_log(tmp_path / "secret" / "rankings.jsonl", [ranking(0).to_json()])
    folder = write_run(studio.desk.inside.root / "linked", "collect")
    (folder / "data").symlink_to(tmp_path / "secret")
    asked = {"source": "rankings", "runs": [id_of("linked")]}
    post(studio, f"/api/tasks/{new_task(studio)}/items", asked, 422)


# --- figures


def test_figures_of_a_task(studio: Studio) -> None:
    task = task_in(studio)
    found = studio.get(f"/api/tasks/{task}/agreement")
    assert found["votes"] == 6 and found["people"] == 2
    shares = list(found["shares"].values())
    assert found["chance_kappa"] == pytest.approx(sum(share**2 for share in shares))
    labels = sum(share > 0 for share in shares)
    assert found["chance_ac1"] == pytest.approx(sum(p * (1 - p) for p in shares) / (labels - 1))
    assert set(found["raw"]) == {"mean", "low", "high", "n"}
    people = studio.get(f"/api/tasks/{task}/annotators")
    assert [(row["called"], row["votes"], row["seconds"]) for row in people["rows"]] == [
        ("P1", 3, 2.0),
        ("P2", 3, 2.0),
    ]
    assert [(row["a"], row["b"]) for row in people["matrix"]] in ([("P1", "P2")], [("P2", "P1")])
    assert studio.get(f"/api/tasks/{task}/agreement?slice=none")["votes"] == 0
    assert studio.get(f"/api/tasks/{task}/agreement?why=gold")["votes"] == 0
    assert studio.ask(f"/api/tasks/{task}/agreement?why=other").status == 422
    power = studio.get(f"/api/tasks/{task}/power")
    assert power["share"]["votes"] == 6 and power["next"] == "vote" and "40" in power["curve"]["why"]


def test_disputes_say_who_said_what_by_pseudonym_and_are_decided(studio: Studio) -> None:
    run, task = with_rankings(studio, 6), new_task(studio, mode="pair")
    post(studio, f"/api/tasks/{task}/items", {"source": "rankings", "runs": [run]})
    everybody_votes(studio, task, {"Ada": lambda _: -2, "Bob": lambda asked: 1 if "3" in asked else -1})
    found = studio.get(f"/api/tasks/{task}/disputes")
    assert found["total"] == 1
    [row] = found["rows"]
    assert row["pairs"] == [{"first": 0, "second": 1, "votes": [1, 0, 1]}] and row["decision"] is None
    assert sorted(voice["called"] for voice in row["voices"]) == ["P1", "P2"]
    assert "Ada" not in json.dumps(found)
    body = {"item": row["item"], "ranks": [2, 1], "note": "the second is right"}
    assert post(studio, f"/api/tasks/{task}/adjudications", body)["changed"] == 1
    decided = studio.get(f"/api/tasks/{task}/disputes")["rows"][0]["decision"]
    assert decided == {"ranks": [2, 1], "note": "the second is right"}
    for wrong in ({"ranks": [1]}, {"ranks": [1, 2, 3]}, {"ranks": [0, 1]}, {"item": "0" * 24}):
        answer = studio.ask(f"/api/tasks/{task}/adjudications", method="POST", body=body | wrong)
        assert answer.status in (404, 422), wrong
    made = post(studio, f"/api/tasks/{task}/snapshot", {"merge": "majority"})
    rows = [json.loads(line) for line in open(Path(made["path"]) / "data" / "rankings.jsonl")]
    of = {one["prompt"][0]["content"]: one["ranks"] for one in rows}
    assert [ranks for asked, ranks in of.items() if "3" in asked] == [[2, 1]]
    assert studio.get("/api/audit")["whole"]


# --- what to ask next


def test_disputed_items_get_more_votes(studio: Studio) -> None:
    run, task = with_rankings(studio, 6), new_task(studio)
    post(studio, f"/api/tasks/{task}/items", {"source": "rankings", "runs": [run]})
    everybody_votes(studio, task, {"Ada": lambda _: -2, "Bob": lambda asked: 1 if "3" in asked else -1})
    chosen = post(studio, f"/api/tasks/{task}/select", {"how": "disputed", "count": 5})
    assert chosen["changed"] == 1
    row = next(row for row in studio.get(f"/api/tasks/{task}/items?why=disputed")["rows"])
    assert (row["got"], row["needed"]) == (2, 4)
    assert studio.get("/api/tasks")["rows"][0]["left"] == 2


def test_what_a_reward_model_doubts_is_asked_first(studio: Studio) -> None:
    root, task = studio.desk.inside.root, new_task(studio, random_share=0.5)
    run = with_rankings(studio, 4)
    post(studio, f"/api/tasks/{task}/items", {"source": "rankings", "runs": [run]})
    listed = studio.get(f"/api/tasks/{task}/items")["rows"]
    apart = {row["id"]: place for place, row in enumerate(listed)}
    scored = [
        {"step": 0, "prompt": row["prompt"], "completion": text, "proxy": float(apart[row["id"]] * (n > 0))}
        for row in listed
        for n, text in enumerate(row["texts"])
    ]
    write_run(root / "demo/reward", "reward")
    write_run(root / "demo/ppo2", parents=[str(root / "demo/reward")], logs={"samples": scored})
    studio.desk.shelf.look(fresh=0)
    body = {"how": "uncertain", "count": 3}
    assert post(studio, f"/api/tasks/{task}/select", body, 422)["error"]["field"] == "judge"
    unscored = body | {"judge": id_of("demo/sft")}
    assert post(studio, f"/api/tasks/{task}/select", unscored, 422)["error"]["field"] == "judge"
    for judge in ("demo/ppo2", "demo/reward"):
        found = post(studio, f"/api/tasks/{task}/select", body | {"judge": id_of(judge)})
        assert found["changed"] == 2 and found["left_out"]["kept to be asked by chance"] == 1
    rows = studio.get(f"/api/tasks/{task}/items?why=uncertain")["rows"]
    assert sorted(apart[row["id"]] for row in rows) == [0, 1]
    assert post(studio, f"/api/tasks/{task}/select", {"how": "power", "count": 1})["changed"] == 1


# --- out and in


def test_a_snapshot_is_a_run_of_collect(studio: Studio, tmp_path: Path) -> None:
    from alignlab.settings import VotesSettings
    from alignlab.stages import vote_rankings

    task = task_in(studio)
    made = post(studio, f"/api/tasks/{task}/snapshot", {"merge": "soft", "seed": 3})
    out = Path(made["path"])
    assert out.parent == studio.desk.inside.root / "studio" / "snapshots"
    data = (out / "data" / "rankings.jsonl").read_bytes()
    assert made["sha256"] == hashlib.sha256(data).hexdigest() and made["commands"][0].startswith(
        "alignlab reward"
    )
    assert studio.get(f"/api/runs/{made['run']}")["stage"] == "collect"
    asked: dict[str, Any] = {
        "task": "first",
        "folder": str(studio.desk.inside.root),
        "seed": 3,
        "resume": False,
    }
    vote_rankings(**asked, out=tmp_path / "own", settings=VotesSettings(merge="soft"))
    assert (tmp_path / "own" / "data" / "rankings.jsonl").read_bytes() == data
    again = post(studio, f"/api/tasks/{task}/snapshot", {})
    assert again["run"] != made["run"] and again["head"] == made["head"]
    empty = new_task(studio)
    assert post(studio, f"/api/tasks/{empty}/snapshot", {}, 422)["error"]["what"]


def test_a_snapshot_needs_no_torch(studio: Studio) -> None:
    task_in(studio)
    studio.desk.store.close()
    code = f"""if True:
        import sys
        from pathlib import Path
        from alignlab.studio import schema
        from alignlab.studio.answers import outside
        from alignlab.studio.desk import Desk, Visit
        desk = Desk(Path({str(studio.desk.inside.root)!r}), port=1)
        with desk.store.reading() as connection:
            id = outside.tasks.tasks_of(connection)["first"]
        visit = Visit(desk, desk.door, "instructor", "", ())
        outside.snapshot(visit, schema.SnapshotAsked(id=id))
        desk.close()
        print([name for name in ("torch", "transformers", "pyarrow") if name in sys.modules])
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout == "[]\n", done.stderr + done.stdout


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "parquet"])
def test_an_export_comes_with_its_card(studio: Studio, ending: str) -> None:
    task = task_in(studio)
    format = "votes" if ending in ("csv", "parquet") else "records"
    target = f"/api/tasks/{task}/export?format={format}&ending={ending}"
    answer = studio.ask(target)
    assert answer.status == 200 and answer.headers["content-type"] == FILE
    assert answer.headers["content-disposition"] == f'attachment; filename="first-{format}.{ending}"'
    card = studio.ask(f"{target}&part=card").json
    assert card["sha256"] == hashlib.sha256(answer.body).hexdigest() and card["votes"] == 6
    assert card["head"].startswith(str(studio.get("/api/audit")["events"]))
    if ending == "csv":
        assert len(list(csv.DictReader(io.StringIO(answer.body.decode())))) == 6
    for wrong in ("format=none", "format=label-studio&ending=csv", f"format={format}&ending=exe"):
        assert studio.ask(f"/api/tasks/{task}/export?{wrong}").status == 422, wrong


def test_records_come_back_byte_for_byte(studio: Studio) -> None:
    body = studio.ask(f"/api/tasks/{task_in(studio)}/export").body
    other = new_task(studio, name="other")
    taken = send(studio, other, body, votes=True).json
    assert (taken["items"], taken["votes"]) == (4, 6) or taken["votes"] == 6
    assert send(studio, other, body, votes=True).json["votes"] == 0, "twice is once"
    back = studio.ask(f"/api/tasks/{other}/export").body
    assert sorted(back.splitlines()) == sorted(body.splitlines())


def test_items_come_from_files_of_others(studio: Studio) -> None:
    task = new_task(studio, mode="pair")
    table = "prompt,chosen,rejected\n" + "".join(f"What is {n}?,It is {n}.,No idea {n}.\n" for n in range(3))
    assert send(studio, task, table.encode(), ending="csv").json["items"] == 3
    assert send(studio, task, lines([ranking(n) for n in range(2)])).json["items"] == 2
    listed = json.dumps([ranking(n).to_json() for n in range(4, 6)]).encode()
    assert send(studio, task, listed, ending="json", gold=True).json["items"] == 2
    assert studio.get(f"/api/tasks/{task}")["items"] == 5, "gold items are none of them"


HOSTILE: dict[str, tuple[str, bytes]] = {
    "nothing": ("jsonl", b""),
    "blanks": ("jsonl", b"\n\n  \n"),
    "cut in the middle": ("jsonl", lines([ranking(0)])[:-30]),
    "another program's": ("jsonl", b"\x7fELF\x02\x01\x01" + bytes(2000)),
    "a page": ("json", b"<!doctype html><script>alert(1)</script>"),
    "packed, and more when unpacked": ("jsonl", gzip.compress(bytes(2**24))),
    "no table": ("parquet", b"PAR1" + bytes(64) + b"PAR1"),
    "a table that is cut": ("parquet", b"PAR1" + b"\x15\x04"),
    "nested without an end": ("json", b"[" * 100_000),
    "keys of another kind": ("jsonl", b'{"model": "x", "layers": 12}\n'),
    "no UTF-8": ("jsonl", b'{"prompt": "\xff\xfe"}\n'),
    "a pickle": ("jsonl", b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94."),
    "a line without an end": ("csv", b'prompt,chosen,rejected\n"' + b"x" * 2_000_000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_is_none_ends_in_a_sentence(studio: Studio, name: str) -> None:
    task, (ending, body) = new_task(studio), HOSTILE[name]
    answer = send(studio, task, body, ending=ending)
    assert answer.status == 422 and len(answer.json["error"]["what"]) > 5
    said = json.dumps(answer.json)
    assert "/tmp" not in said and "sent." not in said, said
    assert studio.get(f"/api/tasks/{task}")["items"] == 0


def test_a_file_that_is_too_large_is_not_kept(studio: Studio) -> None:
    task = new_task(studio)
    target = f"/api/tasks/{task}/import?ending=jsonl"
    told = [("Host", HOST), ("Cookie", studio.cookie), ("Content-Type", FILE)]
    claimed = studio.raw("POST", target, [*told, ("Content-Length", str(MOST[FILE] + 1))], b"x")
    assert claimed.status == 413
    sent = studio.raw("POST", target, told, bytes(MOST[FILE] + 1))
    assert sent.status == 413 and sent.json["error"]["remedy"] == "split it"


def test_a_file_is_taken_where_one_is_asked_for_alone(studio: Studio) -> None:
    task = new_task(studio)
    assert studio.ask("/api/tasks", method="POST", file=b"{}").status == 415
    assert studio.ask(f"/api/tasks/{task}/import?ending=jsonl", method="POST", body={}).status == 415
    assert send(studio, task, b"x", ending="gz").status == 422
    assert send(studio, task, lines([ranking(0)]), votes=True, gold=True).status == 422


def test_a_backup_is_whole_and_an_audit_says_so(studio: Studio) -> None:
    task_in(studio)
    made = post(studio, "/api/backup", {})
    file = studio.desk.inside.root / made["file"]
    assert hashlib.sha256(file.read_bytes()).hexdigest() == made["sha256"]
    assert post(studio, "/api/backup", {})["file"] != made["file"]
    audit = studio.get("/api/audit")
    assert audit["whole"] and audit["head"] == made["head"] and audit["votes"] == 6
