"""Every page of the lecture in a browser: nothing is asked of anybody, nothing is wider than a phone, axe
finds nothing, all of it is reached by keys, and the slides print one to a page.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from alignlab import cli

from ..looking import WITH_BROWSER, Watching, browser

__all__ = ["browser"]  # a fixture
pytestmark = [pytest.mark.campaign, WITH_BROWSER]
REACHED = """() => {
  const wanted = "a[href], button, input, select, textarea, summary, [tabindex='0']";
  const shown = (one) => one.checkVisibility({ visibilityProperty: true }) && !one.disabled
    && !(one.type === "radio" && document.querySelector(`[name="${one.name}"]`) !== one);
  return [...document.querySelectorAll(wanted)].filter((one) => shown(one) && one.tabIndex >= 0).length;
}"""
MARK = """() => {
  const one = document.activeElement, fresh = one !== document.body && !one.dataset.reached;
  one.dataset.reached = "1";
  return fresh;
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("with a space ü") / "site"
    assert cli.main(["lecture", "--slides", "--out", str(out), "--no-open"]) == 0
    return out


def test_every_page_in_each_light_and_width(browser: Any, site: Path) -> None:
    watching, wrong = Watching(browser), []
    for page in sorted(site.glob("*.html")):
        wrong += watching.look(watching.enter(page.as_uri()))
    assert wrong + watching.wrong == []
    watching.context.close()


def test_every_control_is_reached_by_keys(browser: Any, site: Path) -> None:
    watching = Watching(browser)
    for page in sorted(site.glob("[0-9b]*.html")):
        opened = watching.enter(page.as_uri())
        opened.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        wanted, found = opened.evaluate(REACHED), 0
        while opened.keyboard.press("Tab") or opened.evaluate(MARK):
            found += 1
        assert found >= wanted > 20, page.name
    watching.context.close()


def test_a_prediction_is_made_by_keys(browser: Any, site: Path) -> None:
    watching = Watching(browser)
    page = watching.enter((site / "4-rlhf.html").as_uri())
    answer = page.locator(".predict .answer").first
    assert answer.get_attribute("open") is None
    page.locator(".predict .option").first.focus()
    page.keyboard.press("Enter")
    assert answer.get_attribute("open") is not None
    watching.context.close()


def test_slides_print_one_to_a_page(browser: Any, site: Path) -> None:
    watching = Watching(browser)
    page = watching.enter((site / "slides.html").as_uri())
    slides = page.locator("section.s").count()
    printed = page.pdf(prefer_css_page_size=True, print_background=True)
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == slides > 60
    watching.context.close()
