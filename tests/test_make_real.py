"""docs/real-models.md is written from figures alone: every one lands on the page, what shows nothing is
called so, and no path of a machine stays.
"""

from __future__ import annotations

import gzip
import json
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from alignlab.data.split import by_question
from alignlab.records import Comparison, Prompt, read_jsonl

from .scripts import ROOT, script


def share(mean: float, half: float = 0.05, n: int = 200) -> dict[str, Any]:
    return {"mean": mean, "ci": [mean - half, mean + half], "n": n}


LIKELIHOOD = {
    "loss": share(2.1),
    "margin": share(-3.0, 1.0),
    "chosen_likelier": share(0.46),
    "paired": {"loss": share(-0.02, 0.01), "margin": share(0.1, 0.5)},
}
EVAL = {
    "gold_sampled": share(0.2),
    "mean_length": 21.5,
    "paired": {"sampled": share(0.31, 0.1)},
    "win_rate_vs_sft": share(0.61),
    "kl_from_sft": share(1.5),
}
SUMMARIES: dict[str, dict[str, Any]] = {
    "reward": {
        "length_floor": share(0.47),
        "spread": {"of_wrong": share(0.3), "of_right": share(0.2)},
        **{how: {"accuracy": share(0.58)} for how in ("mean", "worst", "uncertainty")},
    },
    "rloo": {"score_first": 0.1, "score_last": 0.9, "kl_last": 1.4},
    "ppo": {"score_first": 0.1, "score_last": 0.2, "kl_last": 0.3},
    "rejection": {
        "proxy_first": 0.1,
        "proxy_last": 0.25,
        "kl_last": 0.2,
        "rounds": [{"proxy_best": 0.8, "clipped_ratio": 0.4}] * 2,
    },
    "revise": {
        "chains": 64,
        "kept": share(0.6),
        "reasons": {"the draft is not finished": 16},
        "fired": share(0.9),
        "changed": share(1.0),
        "helpful": 23,
    },
    "sl-cai": {"demonstrations": 57},
    "agreement": {
        "labels": {"n": 60, "accuracy": share(0.47, 0.12), "kappa": share(-0.1), "ece": share(0.05)},
        "order_effect": share(0.13),
        "order_flips": share(0.9),
    },
    **{
        f"{goals}-{name}": {"plain": share(0.9, n=80), "over_refusal": share(0.04, n=80)}
        for goals in ("harmbench", "xstest")
        for name in ("instruct", "sl-cai")
    },
    **{
        f"battery-{goals}": {
            "plain": share(0.75, n=12),
            "all": share(0.95),
            "labels": {"refusal": 30, "partial": 5, "compliance": 55, "void": 10},
            "attacks": {"story": {"asr": share(0.7)}, "base64": {"asr": share(0.1)}},
        }
        for goals in ("harmbench", "jailbreakbench", "xstest")
    },
    "kto": {"accuracy": share(0.55)},
    "dpo": {"accuracy": share(0.56)},
    "gemma-dpo": {"accuracy": share(0.53), "comparisons": 210},
}


@pytest.fixture
def figures(tmp_path: Path) -> tuple[Path, list[dict[str, Any]]]:
    """Rows as the benchmark writes them, for the very commands that it gives."""
    real = script("benchmarks/real_model.py")
    args = Namespace(
        smollm2="/there/smol", gguf="/there/smol.gguf", gemma="/there/gemma.gguf", out=tmp_path / "out"
    )
    plan = real.commands(
        args,
        {
            "hh": f"{args.out}/data/hh.jsonl",
            "prompts": "p",
            "prompts-test": "t",
            "oasst": "/data/oasst.jsonl",
            "questions": "q",
            "harmbench": "/data/h.csv",
            "jailbreakbench": "/data/j.csv",
            "xstest": "/data/x.csv",
        },
    )
    rows = [
        {
            "name": name,
            "command": "alignlab " + " ".join(words),
            "cpu_seconds": 61.0,
            "peak_gb": 2.5,
            "members": [share(0.5), share(0.57)],
            "learnt": 516,
            "same": share(0.75, n=16),
            "summary": SUMMARIES.get(name, EVAL if name.startswith("eval") else LIKELIHOOD),
        }
        for name, words in plan.items()
    ]
    return tmp_path, rows


def page(folder: Path, rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> str:
    maker = script("docs/make_real.py")
    (folder / "out").mkdir(exist_ok=True)
    (folder / "out" / "real.json").write_text(json.dumps(rows))
    monkeypatch.setattr(maker, "DOCS", folder)
    monkeypatch.setattr(sys, "argv", ["make_real.py", str(folder / "out" / "real.json"), "--data", "/data/"])
    maker.main()
    return (folder / "real-models.md").read_text(encoding="utf-8")


def test_corrected_rates_are_of_the_shipped_card(
    figures: tuple[Path, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    maker = script("docs/make_real.py")
    shown = (ROOT / "docs/real-models.md").read_text(encoding="utf-8")
    assert maker.corrected_anew(shown) == shown, "python docs/make_real.py"
    for row in figures[1]:
        if row["name"].startswith("battery-"):
            row["summary"] = row["summary"] | {"plain": share(0.75, n=12), "all": share(1.0, n=12)}
            row["summary"]["attacks"] = {"story": {"asr": share(0.25, n=12)}}
    now = page(*figures, monkeypatch)
    older = now.replace("accuracy 0.9", "accuracy 0.8")
    rate = maker.say(maker.correction("refusal")(27, 36), 2)
    assert f"{rate} |" in older and older != now
    assert maker.corrected_anew(older.replace(f"{rate} |", "0.70 [0.60, 0.80] |")) == now


def test_prompts_stand_on_one_side_and_answers_to_harm_are_never_shown(tmp_path: Path) -> None:
    """One short conversation of each opening, prompts apart by side as the stages split them, and HH in no
    stage that learns demonstrations.
    """
    real = script("benchmarks/real_model.py")
    rows = [
        {
            side: (
                f"\n\nHuman: question {i % 40}?\n\nAssistant: {side} {i} "
                f"{'long ' * (80 if i % 5 == 0 else 1)}"
            )
            for side in ("chosen", "rejected")
        }
        for i in range(60)
    ]
    (tmp_path / "hh_rlhf").mkdir()
    with gzip.open(tmp_path / "hh_rlhf" / "harmless-base-train-1788.jsonl.gz", "wt") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "oasst_sample").mkdir()
    asked = [{"role": "user", "content": "What is a fair?"}, {"role": "assistant", "content": "A market."}]
    (tmp_path / "oasst_sample" / "oasst_conversations.jsonl").write_text(
        json.dumps({"messages": asked}) + "\n"
    )
    found = real.prepare(tmp_path, tmp_path / "out")
    assert [p.messages[-1].content for p in read_jsonl(found["questions"], Prompt)] == ["What is a fair?"]
    pairs, learnt, test = (
        read_jsonl(found[name], kind)
        for name, kind in (("hh", Comparison), ("prompts", Prompt), ("prompts-test", Prompt))
    )
    assert len({c.prompt.text for c in pairs}) == len(pairs) == 32 and all(
        c.prompt.messages[0] == real.BRIEF and "long long" not in c.chosen for c in pairs
    )
    assert (
        {p.id for p in learnt}.isdisjoint(p.id for p in test)
        and {p.id for p in (*learnt, *test)} == {c.prompt.id for c in pairs}
        and test
    )
    assert by_question(pairs, real.HELD_OUT, real.SEED)[1] == [
        c for c in pairs if c.prompt.id in {p.id for p in test}
    ]
    plan = real.commands(Namespace(smollm2="m", gguf="m", gemma="m", out=tmp_path / "out"), found)
    assert all(
        found["oasst"] in words and found["hh"] not in words
        for name, words in plan.items()
        if words[0] == "sft" and name != "sl-cai"
    )
    assert str(tmp_path / "out" / "revise") in plan["sl-cai"] and found["prompts"] in plan["revise"], (
        "requests alone, answered and revised by the model itself"
    )
    assert all(found["prompts-test"] not in words for words in plan.values() if words[0] != "eval")
    kept = {found[name] for name in ("harmbench", "jailbreakbench", "xstest")}
    assert all(
        words[0] == "redteam" and "--fix" not in words for words in plan.values() if kept & set(words)
    ), "for evaluation, never learnt from"


def test_every_figure_lands_on_the_page(
    figures: tuple[Path, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, rows = figures
    text = page(folder, rows, monkeypatch)
    assert "12 of 16 chains are the same" in text and "--critic http://127.0.0.1:8351/v1#smollm2" in text
    assert (
        "| after SL-CAI | 0.90 [0.85, 0.95] |" in text
        and "no more than a coin" in text
        and "| `story` | 0.70 [0.65, 0.75] |" in text
        and "Requests: 12 of harmbench, 12 of" in text
        and (
            "| the plain request | 0.75 [0.70, 0.80] | 0.75 [0.70, 0.80] | 0.75 [0.70, 0.80] | 0.75 [0.59, "
            "0.86] | 0.7"
        )
        in text
        and "16 dropped: the draft is not finished" in text
    )
    for title in ("member 1", "worst", "RLOO", "rejection sampling", "KTO", "DPO", "PPO", "SFT, then DPO"):
        assert title in text
    assert (
        "0.570 [0.520, 0.620]" in text
        and "+0.31 [+0.21, +0.41]" in text
        and "from 0.10 to 0.90, KL to 1.40" in text
        and "516 comparisons" in text
    )
    assert "Better than a coin and than length: member 1, mean, worst, uncertainty." in text
    assert "which shows nothing: the interval holds one half" in text and "moved reward +0.31" in text
    assert (
        str(folder) not in text
        and "/there" not in text
        and "DATA/oasst.jsonl" in text
        and "GEMMA.gguf" in text
        and "`alignlab sft --model SMOLLM2 " in text
    )


def test_what_shows_nothing_is_called_so_and_what_is_missing_is_left_out(
    figures: tuple[Path, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, rows = figures
    rows = [row for row in rows if not row["name"].endswith("ppo")]
    for row in rows:
        row["members"] = [share(0.48), share(0.51)]
        if row["name"] == "reward":
            row["summary"] = row["summary"] | {
                how: {"accuracy": share(0.5)} for how in ("mean", "worst", "uncertainty")
            }
        if row["name"] == "eval-rloo":
            row["summary"] = row["summary"] | {"paired": {"sampled": share(0.01, 0.2)}}
        if row["name"] == "likelihood-rloo":
            row["summary"] = row["summary"] | {
                "paired": {"loss": share(0.0, 0.01), "margin": share(0.1, 0.5)}
            }
    text = page(folder, rows, monkeypatch)
    assert (
        "No interval leaves out a coin: the best, member 1, is at 0.510" in text
        and "that shows nothing" in text
    )
    assert "- RLOO: none of the three" in text and "| PPO |" not in text
