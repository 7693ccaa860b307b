"""Pages in a browser, for tests: what they did that they must not do, and what axe finds in each view."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

CHROMIUM = shutil.which("chromium")
AXE = Path(__file__).parents[1] / "web" / "node_modules" / "axe-core" / "axe.min.js"
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
OVER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
WITH_BROWSER = pytest.mark.skipif(
    CHROMIUM is None or importlib.util.find_spec("playwright") is None,
    reason="no playwright (pip install playwright) or no chromium",
)


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
