"""A class that votes over HTTP, and somebody of it in a browser: rows `keys` and `class` of studio.py."""

from __future__ import annotations

import random
import threading
import time
from argparse import Namespace
from pathlib import Path

from sqlalchemy import func, select
from votes import pair, syncs

from alignlab.votes import items, lesson, schema, tasks
from alignlab.votes.store import Store, audit, studio_folder

from .opened import Asker, Opened, browser, line, median, p95, studio

CLASS = ("--class", "--host", "127.0.0.1", "--class-port", "0")
OVERLAP = 3
PACE = 1.0  # seconds from one vote of a person to the next, in the mean
WATCH = """() => {
  window.took = [];
  let begun = 0, last = "";
  addEventListener("keydown", (event) => { if (/^[1-7]$/.test(event.key)) begun = performance.now(); }, true);
  new MutationObserver(() => {
    const label = document.querySelector("main article[aria-label^='item']")?.getAttribute("aria-label");
    if (!label || label === last) return;
    last = label;
    const from = begun;
    begun = 0;
    if (from) requestAnimationFrame(() => requestAnimationFrame(() => took.push(performance.now() - from)));
  }).observe(document.body, { subtree: true, childList: true, attributes: true });
}"""


def prepared(folder: Path, votes: int) -> None:
    """A store with a task that needs more votes than that, so that nobody is left without an item, and an
    open class that votes on it.
    """
    with Store.open(studio_folder(folder), url="") as store:
        task = store.do(tasks.add_task, tasks.Task(name="class", mode="pair", overlap=OVERLAP))
        store.do(items.add_items, task, map(pair, range(2 * votes // OVERLAP)))
        store.do(lesson.hold, open=True, task=task)


class Voter(Asker):
    """Somebody of a class, who votes at about the pace of a person who is in a hurry."""

    def __init__(self, opened: Opened, number: int) -> None:
        told = opened.told["class"]
        super().__init__(told["urls"][0])
        self.draw, self.took, self.saved = random.Random(number), [], 0
        while self.ask("POST", "/api/join", {"code": told["code"], "name": f"Person {number}"})[0] == 429:
            time.sleep(0.5)
        self.task = self.get("/api/me")["tasks"][0]["id"]

    def vote(self, most: int, over: threading.Event) -> None:
        while self.saved < most and not over.is_set():
            status, found = self.ask("POST", f"/api/tasks/{self.task}/next", {"want": 3})
            if status == 429:
                time.sleep(0.3)
                continue
            if not found["items"]:
                return
            for item in found["items"][: most - self.saved]:
                time.sleep(PACE * (0.5 + self.draw.random()))
                ballot = {"id": f"{item['lease']}-vote", "lease": item["lease"]}
                ballot["strength"] = self.draw.randint(-3, 3)
                begun = time.perf_counter()
                taken = self.post("/api/votes", {"votes": [ballot]})
                self.took.append(1000 * (time.perf_counter() - begun))
                self.saved += len(taken["saved"])
            if left := [item["lease"] for item in found["items"][most:]]:
                self.post("/api/leases", {"release": left})


def at_once(opened: Opened, people: int, most: int, over: threading.Event) -> tuple[list[Voter], list]:
    voters = [Voter(opened, number) for number in range(people)]
    threads = [threading.Thread(target=voter.vote, args=(most, over), daemon=True) for voter in voters]
    for thread in threads:
        thread.start()
    return voters, threads


def durable(folder: Path, asked: Namespace) -> None:
    """How long a vote takes until it is on the disk, and what the studio takes of memory."""
    wanted = asked.people * asked.votes
    prepared(folder, wanted)
    one_sync = p95(syncs(folder))
    with studio(folder, *CLASS) as opened:
        voters, threads = at_once(opened, asked.people, asked.votes, threading.Event())
        for thread in threads:
            thread.join()
        memory = opened.most_memory
    took = [each for voter in voters for each in voter.took]
    with Store.open(studio_folder(folder), url="") as store, store.reading() as connection:
        stored = connection.execute(select(func.count()).select_from(schema.vote)).scalar_one()
        whole = audit(connection).whole
    bar = max(50.0, 4 * one_sync)
    many = f"n {len(took):,}, median {median(took):.0f} ms, one sync of this disk {one_sync:.1f} ms, p95"
    line(
        f"vote durable, {asked.people} clients, one vote a second each",
        f"{bar:.0f} ms, p95",
        f"{p95(took):.0f} ms; {many}",
        "class",
        met=p95(took) <= bar,
    )
    told = f"{memory:.0f} MB; {stored:,} of {wanted:,} stored, history {'whole' if whole else 'BROKEN'}"
    line("memory of a class that votes", "250 MB", told, "class", met=memory <= 250 and stored == wanted)


def keys(folder: Path, asked: Namespace) -> None:
    """How long it takes from a key to the next item on the screen, while the others vote."""
    others = asked.people - 1
    prepared(folder, asked.keys * asked.people)
    over = threading.Event()
    with studio(folder, *CLASS) as opened, browser() as chromium:
        _, threads = at_once(opened, others, asked.keys, over)
        page = chromium.new_context(viewport={"width": 420, "height": 900}).new_page()
        told = opened.told["class"]
        page.goto(told["urls"][0])
        page.wait_for_selector("input[name=code]")
        page.keyboard.type(told["code"])
        page.keyboard.press("Tab")
        page.keyboard.type("In the browser")
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Begin to vote").click()
        page.wait_for_selector("article[aria-label='item 1']")
        page.evaluate(WATCH)
        for number in range(asked.keys):
            page.wait_for_selector(f"article[aria-label='item {number + 1}']")
            page.wait_for_timeout(350)  # a person may send four times a second
            page.keyboard.press("1234567"[number % 7])
            page.wait_for_selector(f"article[aria-label='item {number + 2}'], button:text-is('Go on')")
            if page.get_by_role("button", name="Go on").is_visible():
                page.get_by_role("button", name="Go on").click()
        page.wait_for_timeout(200)
        took = page.evaluate("took")
        over.set()
        for thread in threads:
            thread.join()
    said = f"{p95(took):.0f} ms; n {len(took)}, median {median(took):.0f} ms, {others} people voting beside"
    line("key to the next item painted", "100 ms, p95", said, "keys", met=p95(took) <= 100)
