"""The Python that the documentation shows runs, in order, on small data; and the pages that `make docs`
builds are all there.
"""

from __future__ import annotations

import doctest
import importlib
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch

from alignlab import lab, names, plugins
from alignlab.errors import DataError, UserError
from alignlab.records import Comparison, Completion, Prompt, Ranking, write_jsonl

from .scripts import ROOT, script

REFERENCE = {
    "api/lab": ["lab"],
    "api/losses": ["losses"],
    "api/methods": ["methods", "methods.sft", "methods.direct", "methods.ppo"],
    "api/records": ["records.prompts", "records.completions", "records.preferences", "records.jsonl"],
    "api/sampling": ["sampling", "sampling.local"],
    "api/feedback": ["feedback", "feedback.agreement"],
    "api/tasks": ["evals.tasks", "evals.by_name"],
    "api/plugins": ["plugins"],
}


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_page_from_python_runs_and_dpo_learns_what_the_function_prefers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_jsonl("my-chats.jsonl", lab.demonstrations("town:demos", count=320))
    write_jsonl("my-prompts.jsonl", lab.prompts("town:prompts", count=40, seed=1))
    page = blocks("python.md", "python")
    dpo = next(block for block in page if "dpo_loss" in block)
    code = [line for line in dpo.splitlines() if line.strip() and not line.strip().startswith("#")]
    assert len(code) <= 30, "thirty lines"
    space: dict[str, Any] = {}
    for number, block in enumerate(page):
        small = block.replace('"town"', '"town-s"')
        exec(compile(small, f"docs/python.md, block {number}", "exec"), space)
        if block is dpo:
            learned = moved(space["policy"], space["reference"], space["pairs"])
    assert learned > 0.01
    assert Path("my-run/summary.json").exists() and Path("my-dpo/config.json").exists()


@torch.no_grad()
def moved(policy: Any, reference: Any, pairs: list[Comparison]) -> float:
    """By how many nats log p(chosen) gained on log p(rejected), in the mean."""
    batch = lab.batch(policy, pairs)
    gained_N2 = (lab.logprobs(policy, batch) - lab.logprobs(reference, batch)).sum(1).view(-1, 2)
    return (gained_N2[:, 0] - gained_N2[:, 1]).mean().item()


@pytest.mark.parametrize("page", REFERENCE)
def test_the_reference_names_modules_whose_examples_run(page: str) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    for name in REFERENCE[page]:
        assert f"alignlab.{name}" in text
        failed, _ = doctest.testmod(importlib.import_module(f"alignlab.{name}"))
        assert not failed, name


def test_every_page_stands_in_the_index_once() -> None:
    docs = ROOT / "docs"
    listed = [line for block in blocks("index.md", "{toctree}") for line in block.splitlines()]
    listed = [line for line in listed if line and not line.startswith(":")]
    there = [str(page.relative_to(docs).with_suffix("")) for page in docs.rglob("*.md")]
    assert sorted(listed) == sorted(set(there) - {"index"})
    assert set(REFERENCE) == {page for page in listed if page.startswith("api/")}


def test_a_docstring_becomes_text_in_which_no_sign_means_anything() -> None:
    said = """\
        A loss on |y| and *_logps, with `code`.

            L = a * b
              + c

        >>> 1 + 1
        2

        Args:
            *_logps: (B,) in nats,
                over `tokens`.

        Raises:
            ValueError: never.
        """
    assert script("docs/conf.py").as_rst(textwrap.dedent(said).splitlines()) == [
        r"A loss on \|y\| and \*\_logps, with ``code``.",
        "",
        *("::", "", "        L = a * b", "          + c", ""),
        *(">>> 1 + 1", "2", ""),
        *("**Args:**", "", r"- **\*\_logps**: (B,) in nats, over ``tokens``.", ""),
        *("**Raises:**", "", "- **ValueError**: never.", ""),
    ]


def test_the_plug_ins_of_the_page_have_their_names_in_a_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for block in blocks("plugins.md", "python"):
        (tmp_path / block.split("\n", 1)[0].removeprefix("# ")).write_text(block)
    [table] = blocks("plugins.md", "toml")
    groups = tomllib.loads(table)["project"]["entry-points"]
    info = tmp_path / "of_the_page-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: of_the_page\nVersion: 1.0\n")
    lines = []
    for group, entries in groups.items():
        lines += [f"[{group}]", *(f"{name} = {place}" for name, place in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    assert {f"alignlab.{kind}s" for kind in plugins.KINDS} == set(groups)
    for kind in plugins.KINDS:
        [(name, place)] = groups[f"alignlab.{kind}s"].items()
        assert plugins.installed(kind) == (name,)
        assert plugins.load(kind, name) is plugins.load(kind, place)
    (tmp_path / "posts.tsv").write_text("Where?\tBy the well.\n")
    [shown] = lab.demonstrations(f"forum:{tmp_path}/posts.tsv")
    assert shown.completion == "By the well."


def test_importing_the_package_and_its_verbs_is_light() -> None:
    said = (
        "import sys, alignlab; from alignlab import lab; alignlab.lab is lab or exit(2); exit('torch' in "
        "sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", said]).returncode == 0


# --- verbs of `lab` that no page shows


def test_data_in_hand_is_read_as_files_are(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"prompt": "Where?", "chosen": "Here.", "rejected": text} for text in ("There.", "Here.")]
    [pair] = lab.comparisons(rows)
    assert pair.rejected == "There." and "dropped: 1" in capsys.readouterr().err
    assert lab.comparisons([pair]) == [pair]
    said = [Completion(Prompt.user("Where?"), text, finished=text != "By") for text in ("By", "By me.\0")]
    assert [shown.completion for shown in lab.demonstrations(said)] == ["By me.\0"]  # as it was written
    assert "1 unfinished completion" in capsys.readouterr().err
    with pytest.raises(DataError, match="'Here.' is str|is int, and no row"):
        lab.demonstrations([7])
    with pytest.raises(UserError, match="the town has no data set"):
        lab.prompts("town:promts")


def test_a_row_is_what_was_sampled_or_what_the_template_makes_of_it() -> None:
    policy = lab.policy("town-s", trainable=False)
    assert not any(weight.requires_grad for weight in policy.model.parameters())
    prompt = Prompt.user("Where does Igor live?")
    [written] = lab.answer(policy, [prompt], max_new_tokens=6)
    batch = lab.batch(policy, [written])
    assert batch.ids_BT.tolist() == [[*written.prompt_ids, *written.ids]]
    logprobs_BT = lab.logprobs(policy, batch)
    assert logprobs_BT.sum().item() == pytest.approx(sum(written.logprobs), abs=1e-4)
    said = [Completion(prompt, text) for text in ("By the well.", "There.")]
    ranking = Ranking(prompt, tuple(said), (1, 2))
    assert lab.batch(policy, [ranking]).ids_BT.tolist() == lab.batch(policy, said).ids_BT.tolist()
    [pair] = lab.comparisons([ranking])
    assert lab.batch(policy, [pair]).ids_BT.tolist() == lab.batch(policy, said).ids_BT.tolist()
    with pytest.raises(DataError, match="does not fit the model's context"):
        lab.batch(policy, [Completion(prompt, "By the well. " * 400)])


def test_judges_are_names_functions_and_judges() -> None:
    said = [Completion(prompt, "By the well.") for prompt in lab.prompts("town:prompts", count=2)]
    assert lab.score("constant", said).tolist() == [0, 0]
    by_name = names.judges.judge("town:gold").load()
    assert lab.score(by_name, said).equal(lab.score("town:gold", said))
    with pytest.raises(DataError, match="asks for answer"):
        lab.score(lambda answer: 1.0, said)
