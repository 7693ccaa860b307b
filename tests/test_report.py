"""The report: made from run folders alone, whole, safe with hostile text, silent in a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from alignlab.errors import DataError
from alignlab.report import bar_charts, charts
from alignlab.report.page import write_report
from alignlab.run import RunDir

HOSTILE = "<script>alert(1)</script> \x1b[31m <img src=http://example.invalid/x.png onerror=alert(2)> ‮"


def share(mean: float, n: int = 40) -> dict:
    return {"mean": mean, "ci": [max(0.0, mean - 0.1), min(1.0, mean + 0.1)], "n": n}


def difference(mean: float) -> dict:
    return {"mean": mean, "ci": [mean - 0.1, mean + 0.1], "n": 40, "p": 0.01}


def make_run(
    folder: Path,
    stage: str,
    summary: dict,
    *,
    settings: dict | None = None,
    options: dict | None = None,
    metrics: list[dict] = (),
    samples: list[dict] = (),
    models: list[str] = (),
    parents: list[Path] = (),
    data: dict[str, str] | None = None,
) -> None:  # type: ignore[assignment]
    run = RunDir.open(
        folder,
        stage=stage,
        config={"settings": settings or {}, "options": options or {}, "models": list(models)},
        seed=3,
        parents=parents,
        data=data,
    )
    for step, row in enumerate(metrics):
        run.log(step, row)
    run.log_samples(7, samples)
    run.finish(summary)


def answers(gold: float, text: str) -> list[dict]:
    kinds = ("fact", "how_to", "harmful", "look_alike", "unanswerable", "claim", "contested")
    return [
        {
            "prompt": [{"role": "user", "content": f"A {kind} prompt {HOSTILE}"}],
            "meta": {"kind": kind, "params": {"right": False}},
            "completion": text,
            "id": kind,
            "decoding": "greedy",
            "gold": gold,
            "reason": "because",
        }
        for kind in kinds
    ]


def misaligned(gold: float) -> dict:
    """Answers of which `gold` are aligned and all others for two reasons misunderstood."""
    rest = 1.0 - gold
    example = {"prompt": "What?", "answer": f"an example {HOSTILE}", "gold": 0.0, "reason": "off the point"}
    none = {"reasons": {}, "example": None}
    reasons = {"off the point": 0.75 * rest, "states another fact": 0.25 * rest}
    return {
        "aligned": share(gold) | {"reasons": {"right": gold}, "example": None},
        "misunderstood": share(rest) | {"reasons": reasons, "example": example},
        **{kind: share(0.0) | none for kind in ("unhelpful", "untrue", "harmful")},
    }


def bare_question(right: float, asks_on: float) -> dict:
    rest = {"wrong": 0.0, "declines": 0.0, "helps": 0.0, "other": 1.0 - right - asks_on}
    shares = {"asks_on": asks_on, "right": right} | rest
    return {"question": {deed: share(mean, 23) for deed, mean in shares.items()}}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    for name, gold in (
        ("base", 0.0),
        ("sft", 0.5),
        ("dpo", 0.7),
        ("best-of-n", 0.6),
        ("ppo", 0.8),
        ("unpenalised", 0.1),
    ):
        summary = {
            "gold": share(gold),
            "gold_sampled": share(gold),
            "helpful": share(gold),
            "compliance_with_harm": share(1 - gold, 12),
            "compliance_with_harm_sampled": share(0.09, 12),
            "over_refusal": None,
            "mean_length": 12.0,
            "kl_from_sft": share(1.5),
            "bare_answered": share(0.1),
            "misaligned": misaligned(gold),
            "misaligned_sampled": misaligned(gold / 2),
            "bare_question_sampled": bare_question(gold, 0.0),
        }
        said = answers(gold, f"{name} says {HOSTILE}")
        said += [row | {"decoding": "sampled", "completion": f"{name} at T = 1"} for row in said]
        if name == "best-of-n":
            one = {f"{key}_one": share(0.2) for key in ("gold", "helpful", "compliance_with_harm")}
            picks = {"n": 4, "temperature": 0.8}
            summary |= one | {"gold_sampled": None, "picks": picks, "win_rate_vs_sft": share(0.55)}
            summary |= {"ties_vs_sft": share(0.61), "paired": {"picked": difference(0.4)}}
            del summary["misaligned_sampled"], summary["bare_question_sampled"]
        elif name == "base":
            summary["bare_question_raw"] = bare_question(0.0, 0.875)
            text = {
                "id": "fact",
                "question": "A fact",
                "continuation": f"Where? {HOSTILE}",
                "does": "asks_on",
            }
            said.append(text)
        elif name != "sft":
            summary |= {"win_rate_vs_sft": share(0.66), "ties_vs_sft": share(0.57)}
            summary["paired"] = {"greedy": difference(gold - 0.5)}
        make_run(folder / f"eval-{name}", "eval", summary, samples=said)
    make_run(
        folder / "sft", "sft", {"demonstrations": 100}, metrics=[{"loss": 2.0 / (i + 1)} for i in range(20)]
    )
    make_run(folder / "collect", "collect", {"pairs": 321}, options={"annotator": "town:fair"})
    bins = [
        {
            "low": i / 10,
            "high": (i + 1) / 10,
            "confidence": i / 10 + 0.05,
            "accuracy": i / 10,
            "n": 5 * (i % 3),
        }
        for i in range(10)
    ]
    make_run(
        folder / "reward",
        "reward",
        {
            "accuracy": share(0.85, 900),
            "length_floor": share(0.47),
            "ceiling": 0.9,
            "ece": 0.031,
            "reliability": bins,
            "margins": {"counts": [1, 4, 2], "edges": [-1.0, 0.0, 1.0, 2.0]},
            "probes": {"flattery": share(0.9), "wrong_fact": share(0.3)},
            "gold_accuracy": share(0.9),
            "gold_accuracy_big": share(0.95),
        },
    )
    make_run(
        folder / "dpo",
        "dpo",
        {},
        metrics=[
            {"rewards/chosen": -0.1 * i, "rewards/rejected": -0.3 * i, "rewards/accuracies": 0.8}
            for i in range(9)
        ],
    )
    steps = [
        {
            "objective/scores": 0.1 * i,
            "objective/gold": 0.6 - 0.05 * i,
            "objective/kl": 0.2 * i,
            "objective/kl_k2": 0.2 * i,
            "objective/kl_k3": 0.2 * i,
            "policy/entropy_avg": 0.2,
            "completions/mean_length": 14.0,
            "policy/clipfrac_avg": 0.01,
            "val/clipfrac_avg": 0.02,
            "critic/vf_explained_var": 0.5,
        }
        for i in range(8)
    ]
    gamed = [
        {
            "prompt": [{"role": "user", "content": "What?"}],
            "completion": f"gamed {HOSTILE}",
            "proxy": 3.2,
            "gold": 0.0,
            "kl": 9.0,
            "reason": "off the point",
        }
    ]
    make_run(folder / "ppo", "ppo", {}, settings={"kl_coef": 0.1}, metrics=steps)
    make_run(folder / "ppo-unpenalised", "ppo", {}, settings={"kl_coef": 0.0}, metrics=steps, samples=gamed)
    curve = [{"n": n, "kl": 0.1 * n, "proxy": share(0.1 * n), "gold": share(0.6)} for n in (1, 2, 4)]
    make_run(folder / "best-of-n", "best-of-n", {"n": 4, "temperature": 0.8, "curve": curve})
    write_report([folder], folder / "report.html")
    return folder


def test_every_part_is_there_with_its_figures(pipeline: Path) -> None:
    page = (pipeline / "report.html").read_text()
    for title in (
        "What was made from what",
        "What each model scored",
        "before and after",
        "PPO, step by step",
        "The reward model",
        "Proxy and gold",
        "What the figures mean",
    ):
        assert title in page
    assert "321 pairs" in page and "town:fair" in page and "ECE 0.031" in page and "0.900" in page
    assert page.count("<svg") >= 12
    assert "gold +0.300" in page  # PPO's paired gain
    assert 'href="sft/"' in page and 'href="ppo-unpenalised/"' in page
    assert "gamed" in page and "proxy 3.20, gold 0.00" in page
    assert page.count('class="answer') >= 6 * 7


def test_figures_are_of_both_ways_of_decoding_with_n_and_intervals(pipeline: Path) -> None:
    page = (pipeline / "report.html").read_text()
    assert "<th>greedy / T = 1</th>" in page and "<th>helps with harm<small>n = 12</small></th>" in page
    ppo = re.search(r"<tr><td>PPO</td>.*?</tr>", page)
    assert ppo and "0.20 / 0.09<small>0.10–0.30</small><small>0.00–0.19</small>" in ppo[0]
    assert "0.66<small>0.56–0.76</small><small>ties 0.57</small>" in ppo[0]
    assert "wins against SFT, T = 1" in page and "a tie counts half" in page
    assert "harmful requests from 0.50 / 0.09 to 0.20 / 0.09" in page


def test_picks_have_a_table_of_their_own_beside_one_sample(pipeline: Path) -> None:
    page = (pipeline / "report.html").read_text()
    both, picks = re.findall(r"<table><thead>.*?</table>", page, re.DOTALL)[:2]
    assert "best of N" not in both and "greedy" not in picks and "wins against SFT" not in picks
    assert "wins against one sample at T = 0.8" in picks and "ties 0.61" in picks
    assert re.search(r"<td>best of N</td><td class=\"figure\">0.60<", picks)
    assert re.search(r"<td>one sample at T = 0.8</td><td class=\"figure\">0.20<", picks)
    assert "one pick among 4 samples at temperature 0.8" in page


def test_kinds_of_misalignment_stand_with_their_reasons_at_every_stage(pipeline: Path) -> None:
    page = (pipeline / "report.html").read_text()
    section = page[page.index("<h2>Kinds of misalignment</h2>") :]
    section = section[: section.index("<h2>", 4)]
    assert section.count("<svg") == 2 and "untrue is a kind of its own" in section
    heads, *rows = [
        re.findall(r"<t[hd]>(.*?)</t[hd]>", row) for row in re.findall("<tr>.*?</tr>", section, re.DOTALL)
    ]
    assert heads == ["greedy", "base", "SFT", "DPO", "best of N, T = 0.8", "PPO", "PPO, no penalty"]
    table = {row[0]: row[1:] for row in rows}
    assert table["aligned"] == ["0.00", "0.50", "0.70", "0.60", "0.80", "0.10"]
    assert table["misunderstood"][0] == "1.00" and table["harmful"] == ["0.00"] * 6
    assert table["· off the point"][1] == "0.38" and table["· states another fact"][1] == "0.12"
    assert "n = 40." in section and "no wider than ± 0.10" in section
    assert section.count("an example &lt;script&gt;") == 1 and "<i>SFT</i>an example" in section


def test_a_bare_question_is_set_before_base_and_assistant(pipeline: Path) -> None:
    page = (pipeline / "report.html").read_text()
    section = page[page.index("<h2>The same bare question") :]
    section = section[: section.index("<h2>", 4)]
    assert "a question, n = 23" in section and section.count("<svg") == 1
    assert "<th>base, raw text</th>" in section and "best of N" not in section
    asks = re.search(r"<tr><td>· goes on asking</td><td>(.*?)</td><td>(.*?)</td>", section)
    assert asks and asks.groups() == ("0.88", "0.00")
    said = re.findall(r"<i>([^<]*)</i>(Where\?|base at T = 1|ppo at T = 1)", section)
    assert said == [
        ("base, raw text", "Where?"),
        ("base, in chat form", "base at T = 1"),
        ("PPO, in chat form", "ppo at T = 1"),
    ]


def test_text_of_models_stays_text(pipeline: Path) -> None:
    page = (pipeline / "report.html").read_text()
    assert "<script" not in page and "<img" not in page
    assert "&lt;script&gt;" in page
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)


def test_what_is_normal_and_what_is_broken_is_on_the_page(tmp_path: Path) -> None:
    make_run(
        tmp_path / "run",
        "ppo",
        {},
        settings={"kl_coef": 0.1},
        metrics=[{"val/ratio_first": 1.5, "objective/kl": 0.0, "objective/scores": 0.0}] * 4,
    )
    page = write_report([tmp_path / "run"], tmp_path / "page.html").read_text(encoding="utf-8")
    assert (
        "Is this normal?" in page
        and "broken: ratio-not-one" in page
        and "val/ratio_first is 1.5000 at step 0" in page
        and "To turn:" in page
    )


def test_reward_shift_is_drawn_from_its_figures(tmp_path: Path) -> None:
    """Two runs, a policy whose name is hostile, one whose accuracy nothing says; the picture in the folder is
    not taken.
    """

    def row(policy: str, kind: str, kl: float, accuracy: dict) -> dict:
        return {"policy": policy, "kind": kind, "kl": share(kl), "accuracy": accuracy, "gold": share(0.5)}

    rows = [
        row("sft", "policy", 0.0, share(0.9, 300)),
        row("best of 4", "best of", 0.6, share(0.8)),
        row(HOSTILE, "policy", 7.5, share(0.61)),
        row("mute", "policy", 9.0, {"mean": None, "ci": None, "n": 0}),
    ]
    for name in ("shift-0", "shift-1"):
        make_run(tmp_path / name, "reward-shift", {"reward": "reward", "rows": rows})
        (tmp_path / name / "shift.svg").write_text("<svg><script>alert(3)</script></svg>")
    page = write_report([tmp_path], tmp_path / "page.html").read_text(encoding="utf-8")
    assert (
        "The reward model as policies move away" in page and page.count("<svg") == 3 and "<script" not in page
    )
    assert (
        page.count("0.900 (n = 300)") == 2
        and "best of n (bound)" in page
        and "– (n = 0)" in page
        and "&lt;script&gt;alert(1)" in page
    )


def test_evaluations_of_no_pipeline_are_called_as_their_runs_are_and_may_differ_in_size(
    tmp_path: Path,
) -> None:
    for name, n in (("beta-0.1/seed-1-eval", 40), ("e-two", 60)):
        make_run(
            tmp_path / name,
            "eval",
            {"gold": share(0.5, n)},
            samples=answers(0.5, "yes"),
            options={"judge": "town:gold", "data": "town:test"},
        )
    page = write_report([tmp_path], tmp_path / "page.html").read_text()
    assert (
        "beta-0.1/seed-1-eval" in page
        and "e-two" in page
        and "seed_1_eval" not in page
        and "e_two" not in page
    )
    assert "n = 40 to 60:" in page and "the same for every model" not in page


def test_single_run_and_no_run(pipeline: Path, tmp_path: Path) -> None:
    out = write_report([pipeline / "reward"], tmp_path / "one.html")
    assert "The reward model" in out.read_text()
    with pytest.raises(DataError, match="no finished run"):
        write_report([tmp_path], tmp_path / "none.html")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Somebody's runs on a model and data of their own, in folders of other names, two of them alike."""
    folder = tmp_path_factory.mktemp("mine")
    make_run(
        folder / "a" / "first",
        "sft",
        {"demonstrations": 60},
        models=["owner/small"],
        metrics=[{"loss": 2.0 - i / 9} for i in range(9)],
    )
    make_run(
        folder / "b" / "first",
        "sft",
        {"demonstrations": 60},
        models=["owner/small"],
        metrics=[{"loss": 3.0 - i / 9} for i in range(9)],
    )
    make_run(
        folder / "likes",
        "reward",
        {
            "accuracy": share(0.6, 30),
            "length_floor": share(0.5),
            "ceiling": None,
            "ece": 0.2,
            "reliability": [],
            "margins": {"counts": [1, 2], "edges": [-1.0, 0.0, 1.0]},
        },
        models=[str(folder / "a" / "first")],
        parents=[folder / "a" / "first"],
    )
    make_run(
        folder / "direct",
        "dpo",
        {},
        models=[str(folder / "a" / "first")],
        parents=[folder / "a" / "first"],
        metrics=[
            {"rewards/chosen": -0.1 * i, "rewards/margins": 0.3 * i, "rewards/accuracies": 0.8}
            for i in range(9)
        ],
    )
    make_run(
        folder / "policy",
        "ppo",
        {},
        settings={"kl_coef": 0.0},
        models=[str(folder / "a" / "first")],
        parents=[folder / "a" / "first", folder / "likes"],
        metrics=[{"objective/scores": 1.0 + i, "objective/gold": 0.5} for i in range(4)],
        samples=[
            {"prompt": "p", "completion": text, "proxy": proxy, "gold": gold, "reason": ""}
            for text, proxy, gold in (
                ("both like it", 6.0, 1.0),
                ("only the proxy", 6.0, 0.0),
                ("neither likes it", -2.0, 0.0),
                ("only gold", -2.0, 1.0),
            )
        ],
    )
    scored = {"gold": share(4.472), "gold_sampled": share(4.1), "mean_length": 80.0, "kl_from_sft": None}
    said = [
        {
            "prompt": [{"role": "user", "content": "How many apples are left?"}],
            "meta": {},
            "completion": "Three.",
            "id": "1",
            "decoding": "greedy",
            "gold": 4.4,
            "reason": "",
        }
    ]
    make_run(
        folder / "score",
        "eval",
        scored,
        options={"judge": "reward:likes"},
        models=[str(folder / "direct")],
        data={"gsm8k.jsonl": "x"},
        samples=said,
    )
    return write_report([folder], folder / "report.html").read_text(encoding="utf-8")


def test_of_own_runs_nothing_is_said_that_only_the_town_has(own: str) -> None:
    for words in ("town", "people, places", "interview", "No training step", "Askell", "base model's help"):
        assert words not in own
    assert "Not measured." in own and "what is so; reward:likes gives a score" in own
    assert "Prompts: gsm8k.jsonl, n = 40. Scores: reward:likes" in own and "How many apples are left?" in own


def test_a_score_is_called_gold_only_where_the_judge_is(own: str) -> None:
    assert "<th>reward:likes<small>" in own and "reward:likes 4.47" in own
    assert "gold 4.47" not in own and "<th>gold<" not in own and 'class="answer plain"' in own


def test_an_arrow_leads_from_a_run_to_what_was_made_of_it_and_nowhere_else(own: str) -> None:
    label = re.search(r'aria-label="([^"]* to [^"]*)"', own)
    assert label and set(label[1].split("; ")) == {
        "small to a/first",
        "small to b/first",
        "a/first to likes",
        "a/first to direct",
        "likes to policy",
    }


def test_curves_go_by_stage_and_not_by_name(own: str) -> None:
    assert (
        "SFT loss" in own and "Implicit reward, chosen" in own and ">a/first<" in own and ">b/first<" in own
    )


def test_what_the_reward_model_likes_and_the_judge_does_not_is_that(own: str) -> None:
    assert "only the proxy" in own
    assert not any(text in own for text in ("both like it", "neither likes it", "only gold"))


def test_a_bar_says_what_is_preferred(pipeline: Path) -> None:
    page = (pipeline / "report.html").read_text()
    assert "How often it prefers the clean answer" in page and "not flattery" in page


def test_letters_are_of_one_size_on_every_chart(pipeline: Path) -> None:
    page = (pipeline / "report.html").read_text()
    shown = re.findall(r'<figure style="width: min\(100%, (\d+)px\)"><svg[^>]* width="([\d.]+)pt"', page)
    assert len(shown) >= 12 and all(abs(int(pixels) - float(points) * 4 / 3) <= 1 for pixels, points in shown)


@pytest.mark.parametrize("points", [1, 2, 3])
def test_two_points_are_no_curve(tmp_path: Path, points: int) -> None:
    make_run(tmp_path / "sft", "sft", {}, metrics=[{"loss": 1.0}] * points)
    assert ("SFT loss" in write_report([tmp_path], tmp_path / "page.html").read_text(encoding="utf-8")) == (
        points > 2
    )


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
@pytest.mark.parametrize("width", [1200, 390])
def test_opens_in_a_browser_with_no_error_and_no_request(pipeline: Path, tmp_path: Path, width: int) -> None:
    log = tmp_path / "net.json"
    done = subprocess.run(
        [
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--enable-logging=stderr",
            "--v=0",
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--window-size={width},2000",
            f"--log-net-log={log}",
            f"--screenshot={tmp_path / 'page.png'}",
            f"file://{pipeline / 'report.html'}",
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (tmp_path / "page.png").stat().st_size > 20_000
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert not console, console
    urls = set(re.findall(r'"url":"(https?://[^"]+)"', log.read_text()))
    assert not {url for url in urls if "example.invalid" in url}, urls
    assert "example.invalid" not in json.dumps(sorted(urls))


def test_the_legend_of_shares_stands_in_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(bar_charts, "as_svg", lambda figure, title: drawn.append(figure) or "")
    parts = (
        "goes on asking",
        "answers right",
        "answers wrong",
        "declines",
        "helps with harm",
        "something else",
    )
    for some in (parts, ("aligned", "unhelpful", "untrue", "misunderstood", "harmful"), parts[:1]):
        bars = {"base, raw text": dict.fromkeys(some, 1 / len(some))}
        bar_charts.shares(bars, title="Kinds", x="share", colors=dict.fromkeys(some, "#205fa8"))
        figure = drawn.pop()
        figure.draw_without_rendering()
        legend = figure.legends[0].get_window_extent()
        assert 0 <= legend.x0 and legend.x1 <= figure.bbox.width and legend.y0 >= 0, some


def test_series_are_told_apart_without_color() -> None:
    """Each of `curves` and `lines` has a marker of its own, twelve of them; of two bars one is hatched."""
    points = {str(n): charts.Curve([0, 1, 2], [n, n, n], kind="points") for n in range(12)}
    drawn = charts.curves(points, title="T", x="x", y="y")
    legend = drawn[drawn.index('id="legend_1"') :]
    assert len(set(re.findall(r'<use xlink:href="#(\w+)"', legend))) == 12
    plain = charts.lines({"a": ([0, 1, 2], [1, 2, 3]), "b": ([0, 1, 2], [3, 2, 1])}, title="T", x="x", y="y")
    assert len(set(re.findall(r'<use xlink:href="#(m\w+)" x="[^"]*" y="[^"]*" style="fill', plain))) == 2
    assert "<pattern" in bar_charts.before_after({"a": (0.5, 0.7)}, title="T", x="x")
