"""Every screen in a browser, over a folder of hostile texts: nothing of them runs, nothing is asked of
elsewhere, nothing is wider than a phone, axe finds nothing; and people vote, by keys alone.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from .hostile import SCREENS, hostile
from .test_command import begun

CHROMIUM = shutil.which("chromium")
AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
VIEWS = [(size, scheme) for size in (WIDE, PHONE) for scheme in ("light", "dark")]
LISTEN = """
window.reports = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.reports.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sample}`));
"""
RULES = '{ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], resultTypes: ["violations"] }'
FOUND = f"""async () => (await axe.run(document, {RULES})).violations
  .map((one) => `${{one.id}}: ${{one.nodes.slice(0, 3).map((node) => node.html.slice(0, 200))}}`)"""
OPEN = """async () => {
  const { rows } = await (await fetch("/api/tasks")).json();
  const body = JSON.stringify({ open: true, task: rows.find((one) => one.mode === "pair").id });
  const headers = { "Content-Type": "application/json" };
  return (await fetch("/api/class", { method: "POST", headers, body })).status;
}"""
OVER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

pytestmark = [
    pytest.mark.campaign,
    pytest.mark.skipif(
        CHROMIUM is None or importlib.util.find_spec("playwright") is None,
        reason="no playwright (pip install playwright) or no chromium",
    ),
]


class Watching:
    """What pages did that they must not do."""

    def __init__(self, browser: Any, **more: Any) -> None:
        self.wrong: list[str] = []
        self.context = browser.new_context(viewport=WIDE, **more)
        self.context.add_init_script(LISTEN)
        if AXE.is_file():
            self.context.add_init_script(path=str(AXE))
        self.context.on("request", self.requested)
        self.context.on("page", lambda page: self.watch(page))
        self.hosts: set[str] = set()

    def requested(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.netloc not in self.hosts:
            self.wrong.append(f"asked {request.url}")

    def watch(self, page: Any) -> None:
        page.on("dialog", lambda dialog: (self.wrong.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("pageerror", lambda error: self.wrong.append(f"{page.url}: {error}"))
        page.on("console", lambda said: self.said(page, said))

    def said(self, page: Any, said: Any) -> None:
        if said.type == "error" and "Failed to load resource" not in said.text:
            self.wrong.append(f"{page.url}: {said.text}")

    def enter(self, url: str) -> Any:
        self.hosts.add(urlsplit(url).netloc)
        page = self.context.new_page()
        page.goto(url)
        return page

    def look(self, page: Any) -> list[str]:
        """What is wrong with a page as it is, in each view."""
        wrong = []
        for size, scheme in VIEWS:
            page.set_viewport_size(size)
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            page.wait_for_timeout(50)
            over, found = page.evaluate(OVER), page.evaluate(FOUND) if AXE.is_file() else []
            found += [f"{over} px too wide"] if over > 0 else []
            wrong += [f"{page.url} {size['width']} {scheme}: {one}" for one in found]
        return wrong + [f"{page.url}: {one}" for one in page.evaluate("window.reports")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = importlib.import_module("playwright.sync_api").sync_playwright().start()
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
    yield browser
    browser.close()
    playwright.stop()


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
