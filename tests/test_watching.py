"""A pipeline as it is watched: in terminals of several widths, and in none."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from alignlab.pipeline.view import table, time_left
from alignlab.recipes.summary import closing

SCRIPT = """
import sys
from pathlib import Path
from alignlab.pipeline import runner as pipeline
from tests_stages import stage
def main():
    pipeline.PRELOAD = "json"
    plan = pipeline.Pipeline(Path(sys.argv[1]), workers=2)
    text = "held-out loss 2.411 [2.3, 2.5] (n = 150) -> 0.612 [0.59, 0.63] (n = 150), "
    a = plan.stage("sft", stage, text=text + "which is a long line for a narrow terminal")
    b = plan.stage("a-stage-with-a-name-that-is-longer-than-most", stage, text="short", after=a)
    c = plan.stage("reward", stage, text="accuracy 0.71", after=a)
    plan.stage("ppo", stage, text="reward 0.1 -> 0.9", after=[b, c])
    plan.run()
    print("the end")
if __name__ == "__main__":
    main()
"""
STAGES = """
import json, sys, time
from pathlib import Path
from alignlab.run import RunDir
def stage(*, out, resume, text, after=""):
    run = RunDir.open(out, stage="sft", config={"settings": {}}, seed=0)
    run.note(f"{out.name}: 2,850 of 3,000 records fit into 512 tokens (longest 700); "
             "90,000 of 120,000 tokens are trained on")
    print("from stdout \\x1b[31mred\\u202e", flush=True)
    sys.stderr.write("begun, "); sys.stderr.write("and ended\\n")
    for done in range(4):
        progress = {"done": done, "total": 4, "seconds_left": 0.3 * (4 - done)}
        (run.path / "progress.json").write_text(json.dumps(progress))
        time.sleep(0.3)
    run.finish({})
    return {"text": text}
"""


@pytest.fixture
def command(tmp_path: Path) -> tuple[list[str], dict[str, str]]:
    (tmp_path / "tests_stages.py").write_text(STAGES)
    (tmp_path / "watched.py").write_text(SCRIPT)
    (tmp_path / "torch.py").write_text(
        "def set_num_threads(n): ...\n"
    )  # a stage of its own has nothing to compute here
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH", "")])])
    return [sys.executable, str(tmp_path / "watched.py"), str(tmp_path / "out")], {
        **os.environ,
        "PYTHONPATH": paths,
        "TERM": "xterm-256color",
    }


def in_terminal(arguments: list[str], environment: dict[str, str], columns: int) -> list[str]:
    """The screen after each change, lines joined by line ends: what somebody who watches sees."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 60, columns, 0, 0))
    process = subprocess.Popen(
        arguments,
        env={**environment, "COLUMNS": str(columns)},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        close_fds=True,
    )
    os.close(theirs)
    screen, shots, rest = Screen(columns), list[str](), b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        if not piece:
            break
        rest = screen.feed(rest + piece)
        shots.append("\n".join(screen.lines))
    os.close(ours)
    assert process.wait(timeout=60) == 0, shots[-1]
    return shots


class Screen:
    """As much of a terminal as rich uses: printing with wrapping, carriage returns, moving up, erasing."""

    def __init__(self, columns: int) -> None:
        self.columns, self.lines, self.row, self.column, self.wrapped = columns, [""], 0, 0, 0

    def feed(self, data: bytes) -> bytes:
        """Returns what is not whole yet."""
        text = data.decode("utf-8", "ignore")
        at = 0
        while at < len(text):
            if text[at] == "\x1b":
                found = re.compile(r"\x1b(?:\[([?0-9;]*)([A-Za-z])|[=>()78].?)").match(text, at)
                if not found:
                    break
                self.control(found[1] or "", found[2] or "")
                at = found.end()
                continue
            self.put(text[at])
            at += 1
        return text[at:].encode()

    def control(self, numbers: str, letter: str) -> None:
        if letter == "A":
            self.row = max(0, self.row - int(numbers or 1))
        elif letter == "K":
            self.lines[self.row] = "" if numbers == "2" else self.lines[self.row][: self.column]

    def put(self, char: str) -> None:
        if char == "\n":
            self.row, self.column = self.row + 1, 0
        elif char == "\r":
            self.column = 0
        else:
            if self.column == self.columns:
                self.row, self.column, self.wrapped = self.row + 1, 0, self.wrapped + 1
                self.grow()
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + char + line[self.column + 1 :]
            self.column += 1
        self.grow()

    def grow(self) -> None:
        self.lines += [""] * (self.row + 1 - len(self.lines))


@pytest.mark.parametrize("columns", [80, 100, 200])
def test_bars_notes_and_the_whole_in_a_terminal(
    columns: int, command: tuple[list[str], dict[str, str]]
) -> None:
    shots = in_terminal(*command, columns)
    last = shots[-1].rstrip().split("\n")
    assert last[-1] == "the end" and not any(
        "█" in line or "loading" in line or "all stages" in line for line in last
    )
    assert (
        max(map(len, last)) <= columns
        and "\u202e" not in shots[-1]
        and any("\\x1b[31mred\\u202e" in line for line in last)
    )
    whole = " ".join(shots[-1].split())
    assert (
        whole.count("records fit into 512 tokens") == 4
        and whole.count("begun, and ended") == 4
        and "which is a long line for a narrow terminal" in whole
    )
    middle = [shot for shot in shots if "2/4" in shot and "█" in shot]
    assert middle, shots[-5:]
    for shot in middle:
        bars = [line for line in shot.split("\n") if "█" in line]
        assert all(re.fullmatch(r"(all stages|\S+) +█+ +\d+/\d+.*", line.strip()) for line in bars), (
            shot
        )  # nothing was printed into a bar
        assert max(map(len, bars)) <= columns
    assert any(re.search(r"all stages +█* +1/4, about \d+ s left", shot) for shot in shots)
    assert not any(
        re.search(r"all stages +0/4, about", shot) for shot in shots
    )  # nothing has ended: nobody knows


def test_the_plan_says_what_is_to_come(command: tuple[list[str], dict[str, str]], tmp_path: Path) -> None:
    """While it works, and at the end."""
    arguments, environment = command
    plan, seen = tmp_path / "out" / "plan.json", list[dict[str, str]]()
    process = subprocess.Popen(
        arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None:
        if plan.exists():
            seen.append({row["name"]: row["state"] for row in json.loads(plan.read_text())["stages"]})
        time.sleep(0.05)
    assert process.returncode == 0
    assert list(seen[0].values()) == ["running", "waiting", "waiting", "waiting"]
    stages = {row["name"]: row for row in json.loads(plan.read_text())["stages"]}
    assert {row["state"] for row in stages.values()} == {"done"}
    assert stages["ppo"]["needs"] == ["a-stage-with-a-name-that-is-longer-than-most", "reward"]
    assert stages["ppo"]["stage"] == "stage" and stages["ppo"]["text"] == ""


def test_plain_lines_where_there_is_no_terminal(command: tuple[list[str], dict[str, str]]) -> None:
    done = subprocess.run(command[0], env=command[1], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout == "the end\n", done.stderr
    lines = done.stderr.splitlines()
    assert "\x1b" not in done.stderr and "█" not in done.stderr and "\r" not in done.stderr
    assert (
        sum(line.endswith(" started") for line in lines) == 4
        and sum(bool(re.match(r" +\d+\.\d s  \S+ +took +\d+\.\d s  ", line)) for line in lines) == 4
    )
    assert any(
        line.strip()
        == (
            "sft: 2,850 of 3,000 records fit into 512 tokens (longest 700); 90,000 of 120,000 tokens are "
            "trained on"
        )
        for line in lines
    )
    assert sum("which is a long line for a narrow terminal" in line for line in lines) == 1


def planned(
    name: str,
    target: Any,
    state: str,
    seconds: float = 0.0,
    needs: tuple[Any, ...] = (),
    out: Path = Path("none"),
) -> Any:
    return SimpleNamespace(name=name, target=target, state=state, seconds=seconds, needs=list(needs), out=out)


def test_how_long_is_left_is_a_schedule_of_what_is_to_come(tmp_path: Path) -> None:
    def train() -> None: ...
    def measure() -> None: ...

    assert time_left([planned("a", train, "waiting")], 2) is None
    done, evaluated = planned("a", train, "done", 10.0), planned("e", measure, "done", 2.0)
    b, c = planned("b", train, "waiting", needs=(done,)), planned("c", train, "waiting", needs=(done,))
    assert time_left([done, evaluated], 2) == 0.0
    assert time_left([done, evaluated, b, c], 2) == 10.0 and time_left([done, evaluated, b, c], 1) == 20.0
    d = planned("d", measure, "waiting", needs=(b, c))
    assert time_left([done, evaluated, b, c, d], 2) == 12.0
    unlike = planned("x", print, "waiting")
    assert time_left([done, evaluated, unlike], 2) == 6.0  # the mean of all that ended
    (tmp_path / "r.partial").mkdir()
    (tmp_path / "r.partial" / "progress.json").write_text(
        json.dumps({"done": 1, "total": 4, "seconds_left": 3.0})
    )
    running = planned("r", print, "running", time.perf_counter(), out=tmp_path / "r")
    assert time_left([running], 2) == 3.0 and time_left([running, planned("z", print, "waiting")], 2) is None


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_the_last_table_fits(width: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    S = {"mean": 0.5, "ci": [0.4, 0.6], "n": 1000}
    keys = (
        "gold",
        "helpful",
        "harmless",
        "honest",
        "compliance_with_harm",
        "over_refusal",
        "win_rate_vs_sft",
        "kl_from_sft",
        "mean_length",
        "compliance_seen",
        "compliance_held_out",
        "look_alike_refusal",
        "evasive",
    )
    for recipe, models in (
        ("instructgpt", ("base", "sft", "dpo", "best_of_n", "ppo", "unpenalised")),
        ("constitutional", ("base", "sft-helpful", "sl_cai", "rl_cai", "dpo_cai", "helpful_only")),
    ):
        summary = {
            "recipe": recipe,
            "seconds": 3.0,
            "sampled_tokens": 12345,
            "stages": [{"was_done": False, "seconds": 1.0}],
            "models": {name: {"path": str(tmp_path / name), **dict.fromkeys(keys, S)} for name in models},
        }
        for name, figures in summary["models"].items():
            suffix = "_one" if name == "best_of_n" else "_sampled"
            figures |= {f"{key}{suffix}": S for key in keys if key not in ("win_rate_vs_sft", "kl_from_sft")}
            figures["ties_vs_sft"] = S
        if "best_of_n" in models:
            summary["models"]["best_of_n"]["picks"] = {"n": 4, "temperature": 0.8}
        said = closing(summary, tmp_path / "report.html", tmp_path)
        before = said.split("Shares from")[0].split("\n")
        assert (
            max(map(len, before)) <= width
            and all(name in said for name in models if name != "best_of_n")
            and "helps harm" in said
            or recipe == "constitutional"
        )
        assert said.split("Shares from")[0].count("0.50") >= 9 * len(models)
        assert "0.50 / 0.50" in said and "0.50 to 0.50 of the prompts are ties" in " ".join(said.split())
        picks = said.partition("picks, T=0.8")[2].partition("Shares from")[0]
        assert not picks or "one sample" in picks and " / " not in picks and "beats one" in picks


def test_a_table_that_is_too_wide_is_turned_and_then_cut() -> None:
    rows = [["", "one", "two"], *([name, "1", "2"] for name in ("a" * 12, "b" * 12, "c" * 12))]
    assert table(rows, 30)[0].split() == ["one", "two"]
    wide = [
        ["", *(f"figure {i}" for i in range(9))],
        *([name, *"123456789"] for name in ("a" * 12, "b" * 12, "c" * 12)),
    ]
    turned = table(wide, 60)
    assert turned[0].split() == ["a" * 12, "b" * 12, "c" * 12] and len(turned) == 10
    cut = table(wide, 30)
    assert (
        max(map(len, cut)) <= 30
        and sum("figure 3" in line for line in cut) == 3
        and sum(not line for line in cut) == 2
    )
