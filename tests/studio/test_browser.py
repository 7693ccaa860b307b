"""Every screen in a browser, over a folder of hostile texts: nothing of them runs, nothing is asked of
elsewhere, nothing is wider than a phone, axe finds nothing; and people vote, by keys alone.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from ..looking import AXE, WIDE, WITH_BROWSER, Watching, browser
from .hostile import SCREENS, hostile
from .test_command import begun

OPEN = """async () => {
  const { rows } = await (await fetch("/api/tasks")).json();
  const body = JSON.stringify({ open: true, task: rows.find((one) => one.mode === "pair").id });
  const headers = { "Content-Type": "application/json" };
  return (await fetch("/api/class", { method: "POST", headers, body })).status;
}"""

__all__ = ["browser"]  # a fixture
pytestmark = [pytest.mark.campaign, WITH_BROWSER]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """What a studio with a class says of where it is."""
    folder = tmp_path_factory.mktemp("hostile") / "runs"
    hostile(folder)
    process = begun(folder, "--class", "--host", "127.0.0.1", "--class-port", "0", "--json")
    yield json.loads(process.stdout.readline())  # type: ignore[union-attr]
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143


@pytest.fixture(scope="module")
def entered(browser: Any, told: Any) -> Iterator[tuple[Watching, Any]]:
    watching = Watching(browser)
    page = watching.enter(told["url"])
    page.wait_for_selector("nav a[aria-current]")
    yield watching, page
    watching.context.close()


def test_every_screen_in_each_light_and_width(entered: tuple[Watching, Any]) -> None:
    watching, page = entered
    base = f"http://{urlsplit(page.url).netloc}"
    tasks = page.evaluate("fetch('/api/tasks').then((answer) => answer.json())")["rows"]
    wrong = []
    for screen in SCREENS:
        page.set_viewport_size(WIDE)
        page.goto("about:blank")
        page.goto(base + screen.replace("{task}", tasks[0]["id"]))
        page.wait_for_selector("main h1")
        page.wait_for_load_state("networkidle")
        wrong += watching.look(page)
    if not AXE.is_file():
        print("axe-core is not here: npm ci --ignore-scripts in web/", file=sys.stderr)
    assert wrong + watching.wrong == []


def test_a_class_is_joined_and_votes_by_keys_alone(
    browser: Any, told: Any, entered: tuple[Watching, Any]
) -> None:
    assert entered[1].evaluate(OPEN) == 200
    watching = Watching(browser)
    page = watching.enter(told["class"]["urls"][0])
    page.wait_for_selector("input[name=code]")
    wrong = watching.look(page)
    page.keyboard.type(told["class"]["code"])
    page.keyboard.press("Tab")
    page.keyboard.type("<img src=x onerror=alert(1)> Ida")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Begin to vote").focus()
    page.keyboard.press("Enter")
    page.locator("section[aria-label=Guideline] button.first").focus()
    page.keyboard.press("Enter")
    for number in range(1, 4):
        page.wait_for_selector(f"article[aria-label='item {number}']")
        page.keyboard.press("123"[number - 1])
    page.wait_for_selector("article[aria-label='item 4']")
    page.wait_for_selector(".progress:has-text('3 of'):has-text('saved')")
    wrong += watching.look(page)
    page.keyboard.press("u")
    page.wait_for_selector(".progress:has-text('2 of')")
    assert wrong + watching.wrong == []
    watching.context.close()
