"""The built pages: what they load, how large they are, that they are what `web/` builds, and that they show
text as everything else here does.
"""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from alignlab.report.walk import word_diff
from alignlab.text.escapes import visible

WEB = Path(__file__).parents[2] / "web"
STATIC = Path(__file__).parents[2] / "src" / "alignlab" / "studio" / "static"
TABLE = json.loads((WEB / "tests" / "text.json").read_text(encoding="utf-8"))
ENTRY, SCREEN, ALL = 90_000, 30_000, 250_000  # bytes, gzipped
ADDRESS = re.compile(r"""(?:https?:)?//[\w.-]+\.\w{2,}""")
NAMESPACES = ("//www.w3.org", "//svelte.dev")  # of SVG, and of the words of an error: neither is loaded


def zipped(file: Path) -> int:
    return len(gzip.compress(file.read_bytes(), mtime=0))


def test_pages_show_text_as_it_is_shown_elsewhere() -> None:
    """`web/tests/text.test.ts` holds the pages to the same table."""
    for row in TABLE["visible"]:
        assert visible(row["text"]) == row["seen"]
    for row in TABLE["difference"]:
        assert [list(change) for change in word_diff(row["before"], row["after"])] == row["changes"]


def test_pages_load_nothing_from_elsewhere() -> None:
    for file in STATIC.iterdir():
        found = ADDRESS.findall(file.read_text(encoding="utf-8"))
        assert [address for address in found if not address.endswith(NAMESPACES)] == [], file.name


def test_the_first_page_runs_under_the_policy() -> None:
    """No script and no style in the page itself: the policy lets neither run."""
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]*\ssrc=)", page)


def test_pages_are_small() -> None:
    sizes = {file.name: zipped(file) for file in STATIC.iterdir()}
    assert sizes["index.js"] + sizes["index.css"] <= ENTRY
    assert max(size for name, size in sizes.items() if name != "index.js") <= SCREEN
    assert sum(sizes.values()) <= ALL


@pytest.mark.skipif(
    not (WEB / "node_modules").is_dir() or not shutil.which("npm"),
    reason="the pages' tools are not here: npm ci --ignore-scripts in web/",
)
def test_pages_are_what_web_builds(tmp_path: Path) -> None:
    built = tmp_path / "static"
    for command in (["run", "types"], ["run", "build", "--", "--outDir", str(built)]):
        subprocess.run(["npm", *command], cwd=WEB, check=True, capture_output=True)
    assert sorted(file.name for file in built.iterdir()) == sorted(file.name for file in STATIC.iterdir())
    for file in built.iterdir():
        assert file.read_bytes() == (STATIC / file.name).read_bytes(), f"{file.name}: npm run build in web/"
