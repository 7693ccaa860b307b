"""The wheel: that it holds what the checkout holds of the package, and how large it is."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BEFORE = 7_100_000  # bytes of the wheel without what the studio shows
PAGES, RECORDED = 1_000_000, 6_000_000
MOST = BEFORE + 8_000_000
STUDIO, LECTURE = "alignlab/studio/", "alignlab/course/"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    pytest.importorskip("hatchling", reason="hatchling builds the wheel: pip install 'alignlab[dev]'")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    [file] = folder.glob("*.whl")
    return zipfile.ZipFile(file)


def test_it_holds_every_file_of_the_package_and_no_other(wheel: zipfile.ZipFile) -> None:
    kept = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "src/alignlab", "lecture"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if kept.returncode:
        pytest.skip("no checkout of git")
    names = {name.removeprefix("src/") for name in kept.stdout.splitlines() if (ROOT / name).exists()}
    files = {LECTURE + name if name.startswith("lecture/") else name for name in names}
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == files
    assert LECTURE + "lecture/course.toml" in held
    for name in ("static/index.html", "static/index.js", "demo/run.tar.xz", "demo/card.json"):
        assert STUDIO + name in held
    assert [name for name in wheel.namelist() if name.endswith("licenses/LICENSE")]


def test_it_is_small(wheel: zipfile.ZipFile) -> None:
    def size(below: str) -> int:
        return sum(row.compress_size for row in wheel.infolist() if row.filename.startswith(below))

    assert size(f"{STUDIO}static/") <= PAGES
    assert size(f"{STUDIO}demo/") <= RECORDED
    assert Path(str(wheel.filename)).stat().st_size <= MOST
