"""A folder in which every text that anybody but us wrote tries to be a script, to lead outside, or to break
the page.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from alignlab.constitution.files import load
from alignlab.records import Chain, Completion, Prompt, Ranking, Round, Score
from alignlab.report.walk import walked
from alignlab.studio.desk import Desk
from alignlab.studio.scan import id_of
from alignlab.votes import assignment, items, people, tasks, voting

from .conftest import sample, write_campaign, write_log, write_run
from .test_constitutions import MINE
from .test_walks import DIGEST, write_table

AWAY = "//outside.example"
PAYLOADS = (
    "<script>alert(1)</script>",
    f"<script src={AWAY}/x.js></script>",
    "<img src=x onerror=alert(1)>",
    f"<img src={AWAY}/x.png>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "</script><script>alert(1)</script>",
    "</textarea><img src=x onerror=alert(1)>",
    "</title><script>alert(1)</script>",
    "'\"><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)" autofocus onfocus="alert(1)',
    "javascript:alert(1)",
    "[a](javascript:alert(1))",
    f"![a]({AWAY}/x.png)",
    "{{constructor.constructor('alert(1)')()}}",
    "${alert(1)}",
    f"<iframe src={AWAY}></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    f"<link rel=stylesheet href={AWAY}/x.css>",
    f"<style>@import '{AWAY}/x.css'; * {{ display: none }}</style>",
    f"<base href={AWAY}>",
    f"<meta http-equiv=refresh content='0;url={AWAY}'>",
    f"<form action={AWAY}><button autofocus>press</button></form>",
    f"<object data={AWAY}></object><embed src={AWAY}>",
    "<details open ontoggle=alert(1)>",
    f"<video src={AWAY} autoplay onerror=alert(1)>",
    "\u202e<b>turned</b>\u2066\u200b",
    "\x1b]8;;http:" + AWAY + "\x07link\x1b[31m",
    "W" * 3000,
    "__proto__",
)


def hostile(folder: Path) -> None:
    """Runs, a campaign, a walk, a constitution, a report and a store, all of them written by somebody who
    means harm.
    """
    group, said = folder / PAYLOADS[2], [{"role": p, "content": p} for p in PAYLOADS[:3]]
    rows = [
        sample(
            step, place, place - step, place % 2, completion=p, prompt=[*said, {"role": "user", "content": p}]
        )
        | {"reason": p, "meta": {"kind": p}, p: p, "shown": True}
        for step in range(3)
        for place, p in enumerate(PAYLOADS)
    ]
    settings = {"settings": {p: p for p in PAYLOADS}, "options": {"model": PAYLOADS[0]}}
    figures = {"gold_last": 0.75, **{p: 0.5 for p in PAYLOADS}}
    remarks = [{"step": 1, "rule": p, "level": "warn", "message": p, "what": p} for p in PAYLOADS]
    probes = [
        {"step": s, "probe": p, "prompt": said, "completion": p, "gold": 0.5}
        for s in (0, 2)
        for p in PAYLOADS
    ]
    tokens = [
        {"step": 0, "place": place, "pieces": [p, p], "logprob": [-0.5, -1], "ref": [-1, -1]}
        for place, p in enumerate(PAYLOADS)
    ]
    metrics = [{"step": step, "objective/kl": step / 10, **{p: step for p in PAYLOADS}} for step in range(3)]
    logs = {"metrics": metrics, "samples": rows, "health": remarks, "probes": probes, "tokens": tokens}
    sft = write_run(group / PAYLOADS[4], "sft", key="s", summary=figures, config=settings)
    ppo = write_run(group / PAYLOADS[14], parents=[str(sft)], logs=logs, summary=figures, config=settings)
    write_run(group / PAYLOADS[28][:99], PAYLOADS[0], parents=[str(ppo)], summary=figures)
    write_run(folder / "plain" / "ppo", logs=logs, summary=figures, config=settings)
    for name in ("sft", "ppo"):
        measured = [
            {"step": 0, "id": p, "decoding": "greedy", "gold": i % 2, "completion": p + name, "prompt": said}
            for i, p in enumerate(PAYLOADS)
        ]
        parent = str(folder / "plain" / name) if name == "ppo" else str(sft)
        write_run(folder / "plain" / f"eval-{name}", "eval", parents=[parent], logs={"samples": measured})
    campaign(folder / "campaign")
    turns = [
        Chain(Prompt.user(p), p, (Round("no-harm", 1, p, True, f"{p} again"),), constitution=DIGEST)
        for p in PAYLOADS
    ]
    town = load("town")
    write_table(
        folder / "studio" / "w", "walk", [walked(one, town, (Score(0.0), Score(1.0))) for one in turns]
    )
    made = folder / "studio" / "constitutions"
    made.mkdir(parents=True, exist_ok=True)
    (made / "mine.toml").write_text(MINE.replace("Be good.", PAYLOADS[0]).replace("Two lines.", PAYLOADS[2]))
    (group / f"{PAYLOADS[24]}.html").write_text(
        "<!doctype html><title>A report</title><script>alert(1)</script>"
    )
    store(folder)


def campaign(folder: Path) -> None:
    user = [{"role": "user", "content": PAYLOADS[0]}]
    made = write_campaign(folder, target=PAYLOADS[2])
    findings = [
        {
            "prompt": [{"role": "user", "content": p}],
            "meta": {"kind": p, "params": {"topic": p}},
            "finished": True,
        }
        | {"id": f"F-{i:03}", "severity": "high", "category": p, "attacks": [p], "family": p, "goal": p}
        | {"original": user, "goals": 1, "completion": p, "of": 9, "seed": 1, "judge": p, "residue": p}
        | {"human": None, "notes": {p: p}, "p_refusal": 0.25, "queries": 3, "reason": p}
        for i, p in enumerate(PAYLOADS)
    ]
    write_log(made / "data" / "findings.jsonl", findings)


def store(folder: Path) -> None:
    """Two tasks with items, people and votes."""
    desk = Desk(folder, port=0)
    guideline = "\n\n".join(f"- {p}" for p in PAYLOADS)
    for mode in ("pair", "ranking"):
        about = tasks.Task(name=f"{mode} {PAYLOADS[0]}", mode=mode, question=PAYLOADS[2], overlap=2)
        task = desk.store.do(tasks.add_task, about, guideline)
        prompts = [Prompt.user(f"{p} {mode}") for p in PAYLOADS]
        asked = [
            Ranking(prompt, (Completion(prompt, f"a {p}"), Completion(prompt, f"b {p}")), (1, 2))
            for prompt, p in zip(prompts, PAYLOADS, strict=True)
        ]
        desk.store.do(items.add_items, task, asked)
        for name in (PAYLOADS[2], PAYLOADS[0]) if mode == "pair" else ():
            person = desk.store.do(people.join, name).id
            for n in range(10):
                lease = desk.store.do(assignment.ask, task, person).items[0].lease
                more = {
                    "strength": (-2, 2)[n % 2] if name == PAYLOADS[0] else 2,
                    "ms": 2000,
                    "note": PAYLOADS[3],
                }
                ballot = voting.Ballot(id=f"{len(name)}-ballot-{n}", lease=lease, **more)
                desk.store.do(voting.vote_on, person, ballot)
    desk.close()


RUN, OTHER = id_of("plain/ppo"), id_of("plain/eval-ppo")
SCREENS = (
    "/",
    "/#group=plain",
    f"/#group={quote(PAYLOADS[2])}",
    "/runs",
    f"/run/{RUN}#step=1",
    f"/run/{OTHER}",
    f"/compare#runs={id_of('plain/eval-sft')},{OTHER}",
    "/talk",
    "/vote",
    "/vote#task={task}",
    "/learn",
    "/shelf",
    "/redteam#finding=F-003",
    "/constitution#name=mine",
    "/constitution#name=mine&text=1",
    "/agree",
    "/agree#new=1",
    *(
        f"/agree#task={{task}}&tab={tab}"
        for tab in ("quality", "people", "disputes", "items", "power", "outside")
    ),
    "/class",
    "/class/room",
)
