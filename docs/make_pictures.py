"""Takes the pictures of README.md from the recorded run: `python docs/make_pictures.py` starts a studio in an
empty folder and writes docs/pictures. It wants playwright, Debian's chromium and Pillow.

    first.webp   the first ten seconds of the map
    map.png      the map after them
    run.png      PPO, at a step in the middle
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from alignlab.studio.scan import RECORDED, id_of

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
from studio_rows.opened import studio  # noqa: E402
from studio_rows.paint import DOORS  # noqa: E402

FOLDER = Path(__file__).with_name("pictures")
WIDE, HIGH = 1280, 720
NO_PLACE = "document.querySelector('.folder').textContent = 'runs'"  # of the machine that takes them
SMALL = (960, 540)  # of the recording
FRAME, END = 200, 10_400  # milliseconds
STEP = 12  # of PPO that is shown
MOST = {"first.webp": 1_000_000, "map.png": 250_000, "run.png": 250_000}  # bytes


def recording(page: Any, url: str) -> bytes:
    """Ten seconds by the page's own clock, so that no frame is late."""
    page.clock.install(time=0)
    page.clock.pause_at(1000)
    page.goto(url)
    page.wait_for_selector("section[aria-label='What was made from what'] li.node")
    page.wait_for_selector(".answers .panel", state="attached")
    page.wait_for_selector(".face canvas", state="attached")
    page.evaluate(NO_PLACE)
    frames: list[Image.Image] = []
    lasts: list[int] = []
    for _ in range(0, END, FRAME):
        shown = page.screenshot()
        frame = Image.open(io.BytesIO(shown)).convert("RGB").resize(SMALL, Image.Resampling.LANCZOS)
        if frames and frames[-1].tobytes() == frame.tobytes():
            lasts[-1] += FRAME
        else:
            frames.append(frame)
            lasts.append(FRAME)
        page.clock.run_for(FRAME)
    lasts[-1] += 4000
    file = io.BytesIO()
    more = {"append_images": frames[1:], "duration": lasts, "loop": 0, "quality": 75, "method": 6}
    frames[0].save(file, "WEBP", save_all=True, minimize_size=True, **more)
    return file.getvalue()


def picture(page: Any, url: str, there: str, *, whole: bool) -> bytes:
    """A page as it is once something is there, in few colors."""
    page.goto(url)
    page.wait_for_selector(there)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1500)
    page.evaluate(NO_PLACE)
    image = Image.open(io.BytesIO(page.screenshot(full_page=whole))).convert("RGB").quantize(128)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--into", type=Path, default=FOLDER)
    into = parser.parse_args().into
    into.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        view = {"width": WIDE, "height": HIGH}
        with studio(Path(name) / "runs") as opened:
            url = opened.url
            context = browser.new_context(viewport=view)
            made = {"first.webp": recording(context.new_page(), url)}
            entered = browser.new_context(viewport=view, storage_state=context.storage_state())
            base = url.partition("#")[0]
            run = f"{base}run/{id_of(f'{RECORDED}/ppo')}#step={STEP}"
            made["map.png"] = picture(entered.new_page(), base, f"text={DOORS[0]}", whole=True)
            made["run.png"] = picture(entered.new_page(), run, ".curves canvas", whole=False)
        browser.close()
    for file, data in made.items():
        (into / file).write_bytes(data)
        print(f"{file} {len(data):,} bytes of {MOST[file]:,}")
        if len(data) > MOST[file]:
            raise SystemExit(f"{file} is too large")


if __name__ == "__main__":
    main()
