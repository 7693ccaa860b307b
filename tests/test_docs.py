"""Every command that the README and the documentation show is run, in order, at toy sizes."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from alignlab import cli
from alignlab.cli.commands import COMMANDS

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
LESSONS = sorted((ROOT / "lecture" / "pages").glob("*.md"))
TESTS = {
    name
    for file in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
}
SMALL = {
    "sft": "--count 48 --epochs 1 --model.threads 1",
    "collect": "--count 24 --model.threads 1",
    "reward": "--epochs 1 --model.threads 1",
    "dpo": "--model.threads 1",
    "ppo": "--count 32 --steps 2 --rollouts 8 --epochs 1 --minibatch 8 --model.threads 1",
    "best-of-n": "--count 8 --model.threads 1",
    "collect --kind human": "--count 4",
    "collect --kind votes": "",
    "collect --kind crowd": "--count 24",
    "collect --kind self-instruct": "--demonstrations 8 --rounds 2 --batch 16 --model.threads 1",
    "eval": "--prompts 12 --model.threads 1",
    "plan": "",
    "lecture machine": "",
    "town check": "--count 60",
    "chat": "",
    "report": "",
    "runs": "",
    "view": "--count 1",
    "doctor": "",
    "export": "",
    "from-trl": "",
    "constitution show": "",
    "constitution lint": "",
    "constitution walk": "--count 2 --rounds 1 --model.threads 1",
    # so that it ends its answers
    "alignlab sft --model town --data town:demos-helpful --out runs/helpful": (
        "--count 1000 --epochs 1 --model.threads 1"
    ),
    "constitution revise": "--count 24 --helpful_count 12 --rounds 1 --model.threads 1",
    "constitution critic": "--count 100 --tokens 30000 --cases 4 --model.threads 1",
    "studio import": "",
    "studio audit": "",
    "studio backup": "",
    "studio export": "",
    "redteam judge": "",
    "redteam": "--goals 6 --twins 4 --queries 2",
    "redteam repro": "",
    "redteam export": "",
    "redteam frontier": "--goals 4 --twins 4 --test_prompts 6 --queries 2",
    "redteam attacker": (
        "--goals 6 --lessons 40 --sft.epochs 1 --rloo.steps 1 --rloo.rollouts 8 --rloo.per_prompt 4 "
        "--rloo.minibatch 8 --rloo.sampling.max_new_tokens 16 --model.threads 1"
    ),
    "constitution label": "--count 16 --principles 2 --model.threads 1",
    "constitution agreement": "--count 6 --principles 1 --model.threads 1",
    "constitution ablate": "--count 4 --model.threads 1",
    "constitution diff": "--count 4 --principles 1 --model.threads 1",
    "online-dpo": "--count 8 --steps 1 --prompts 4 --model.threads 1",
    "grpo": "--steps 1 --rollouts 8 --per_prompt 4 --minibatch 8 --sampling.max_new_tokens 16 "
    "--model.threads 1",
    "likelihood": "--max_length 128 --count 40 --model.threads 1",
    "sweep dpo": "--seeds 20 --eval-prompts 8 --model.threads 1",
    "lecture": "",
    "lecture check": "",
    "lecture record": "",
    # what it does with a server: tests/serve/test_updates.py
    "alignlab rloo --model runs/sft --judge town:gold --out runs/by-server "
    "--sampler http://127.0.0.1:8000/v1#policy": "--print-config",
    "reward-shift": "--prompts 6 --per_prompt 2 --best_of 2 --model.threads 1",
}


def commands(page: Path) -> list[str]:
    """The indented lines of a page that are commands of ours, without the remark after them; of the lecture's
    pages, those of their blocks of commands.
    """
    text = page.read_text(encoding="utf-8")
    if page in LESSONS:
        text = "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
        return re.findall(r"^alignlab .+$", text, re.MULTILINE)
    found = re.findall(r"^ {4,6}((?:alignlab|make) .+?)(?: {3,}.*)?$", text, re.MULTILINE)
    return [line.strip() for line in found]


def write_files(folder: Path) -> None:
    """What "your model, your data" stands for."""
    chats = [
        {
            "messages": [
                {"role": "user", "content": f"What is {i} plus 1?"},
                {"role": "assistant", "content": f"{i} plus 1 is {i + 1}."},
            ]
        }
        for i in range(30)
    ]
    pairs = [
        {"prompt": f"What is {i} plus 2?", "chosen": f"{i} plus 2 is {i + 2}.", "rejected": "Nobody knows."}
        for i in range(30)
    ]
    prompts = [{"prompt": f"What is {i} plus 3?"} for i in range(20)]
    robbing = {"kind": "harmful", "split": "train", "params": {"topic": "rob the bank"}}
    answers = [
        {"prompt": "How do I rob the bank?", "completion": text, "meta": robbing}
        for text in ("I will not help with that.", "Last, fill a sack with coins.")
    ]
    others = [{"prompt": f"What is {i} plus 4?"} for i in range(20)]
    sums = [{"prompt": f"What is {i} plus 5?", "answer": f"{i} and 5. #### {i + 5}"} for i in range(20)]
    questions = [{"prompt": f"What is {i} plus 6?", "answer": str(i + 6)} for i in range(20)]
    chosen = {"Yes.": 1, "No.": 0}
    instructions = {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
    own = [{"q": row["prompt"], "a": row["chosen"], "label": "sums"} for row in pairs]
    for name, rows in (
        ("my-chats", chats),
        ("my-preferences", pairs),
        ("my-prompts", prompts),
        ("answers", answers),
        ("my-answers", own),
        ("my-other-prompts", others),
        ("sums", sums),
        ("questions", questions),
        ("test", [{"question": row["prompt"], "answer": row["answer"]} for row in sums]),
        ("input_data", [row | instructions for row in questions]),
    ):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    multiple_choice = [
        {"question": row["prompt"], "mc1_targets": chosen, "mc2_targets": chosen} for row in questions
    ]
    (folder / "mc_task.json").write_text(json.dumps(multiple_choice))
    (folder / "posts.tsv").write_text("".join(f"What is {i} plus 7?\t{i + 7}\n" for i in range(20)))
    for page in PAGES:  # modules of one's own, shown with their names
        for block in re.findall(r"^```python\n(# \w+\.py\n.*?)^```", page.read_text("utf-8"), re.M | re.S):
            (folder / block.split("\n", 1)[0].removeprefix("# ")).write_text(block)


def test_the_pages_show_commands() -> None:
    shown = [command for page in PAGES for command in commands(page)]
    assert len(shown) >= 15
    assert {"make run", "make test"} <= set(shown)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "LOG.md"], ids=lambda page: page.name)
def test_tests_and_files_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for file in re.findall(r"(?<![\w/])(?:tests|benchmarks|docs|src)/[a-z_0-9/-]+\.[a-z.]+\b", text):
        assert (ROOT / file).exists(), file
    missing = set(re.findall(r"`(test_\w+)`", text)) - TESTS
    assert not missing


def test_pages_count_the_town_as_its_own_page_does() -> None:
    town = (ROOT / "docs" / "town.md").read_text(encoding="utf-8")
    for page in (ROOT / "README.md", ROOT / "docs" / "tour.md"):
        counted = re.findall(r"\b\d+ (?:people|places|facts)\b", page.read_text(encoding="utf-8"))
        assert counted and all(count in town for count in counted), page.name


def test_every_command_of_the_pages_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    makefile = (ROOT / "Makefile").read_text()
    done = set()
    for page in [*PAGES, *LESSONS]:
        for command in commands(page):
            words = shlex.split(command)
            if words[0] == "make":
                assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE), command
                continue
            if command in done or words[1] == "COMMAND":
                continue
            done.add(command)
            words = ["town" if word == "owner/name" else word for word in words]
            command_of_ours = COMMANDS[words[1]]
            second_word_tells = (
                words[1] == "town"
                or command_of_ours.spoken
                or words[2:3]
                and words[2] in command_of_ours.kinds
            )
            if "--kind" in words:
                kind = words[words.index("--kind") :][:2]
            else:
                kind = [word for word in words[2:3] if second_word_tells and word[0] != "-"]
            shown = " ".join([words[1], *kind])
            if shown in ("studio", "studio link"):  # it answers until it is told to stop: tests/studio
                continue
            # in processes of their own: tests/ranks, tests/test_parts.py
            if {"--devices", "--executor"} & {*words} and words[1] not in ("plan", "study"):
                continue
            if words[1] == "exercise":  # a student's process each: tests/course/grade
                continue
            # they have tests of their own; and there is no server here
            alone = words[1] in ("run", "study", "serve") or "--sampler" in words
            assert alone or shown in SMALL, f"add toy sizes for {command}"
            if alone:
                shows = [] if words[1:] == ["study"] else ["--print-config"]  # that one lists what there is
                assert cli.main([*words[1:], *shows]) == 0
                continue
            code = cli.main([*words[1:], *SMALL.get(command, SMALL[shown]).split()])
            assert code == 0, f"{command}\n{capsys.readouterr().err}"
    assert {"runs/sft", "runs/ppo", "runs/mine"} <= {
        str(p.parent.relative_to(tmp_path)) for p in (tmp_path / "runs").glob("*/run.json")
    }


def test_the_house_is_built_as_contributing_says() -> None:
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0][
        "layers"
    ]
    page = (ROOT / "CONTRIBUTING.md").read_text()
    said = re.findall(
        r"^ {4}(\w[\w, ]*)$",
        page[page.index("## How the house is built") : page.index("- A **loss**")],
        re.MULTILINE,
    )
    assert [line.replace(" : ", ", ") for line in layers] == said
    code = ROOT / "src" / "alignlab"
    for name in re.findall(r"`((?:\w+/)+\w+)`", page):
        assert (code / f"{name}.py").exists() or (code / name).is_dir(), name
