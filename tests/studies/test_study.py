"""What holds of any study: its claims, its two forms, and what becomes of one that fails, is killed, or meets
another at the same runs.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from alignlab.errors import ConfigError, ResumeRefused
from alignlab.run.lock import lock, release
from alignlab.stages.stage import open_run
from alignlab.studies import catalogue
from alignlab.studies.command import form_of
from alignlab.studies.page import claims_of, held, verdict_of
from alignlab.studies.settings import ShareSettings
from alignlab.studies.study import Bar, CannotSay, Form, Mirror, Study, Verdict, bar, value

TOY = Path(__file__).parent / "toy.py"


def toy(out: Path, runs: str = "", seeds: str = "1", pace: float = 0.0, fails: int = -1) -> Any:
    """The toy study begun as a process of its own."""
    words = [sys.executable, str(TOY), str(out), runs, seeds, str(pace), str(fails)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(words, start_new_session=True, **pipes)


def ended(process: Any) -> tuple[int, str]:
    """Exit code and all that it said."""
    said = "".join(process.communicate(timeout=240))
    return process.returncode, said


def figures(out: Path) -> dict[str, Any]:
    return json.loads((out / "summary.json").read_text())["figures"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, str]:
    """The toy study on seeds 1, 2 and 3, of which 2 fails."""
    out = tmp_path_factory.mktemp("whole") / "study"
    return out, *ended(toy(out, seeds="1,2,3", fails=2))


def test_a_seed_that_fails_leaves_the_others(whole: tuple[Path, int, str]) -> None:
    out, code, said = whole
    assert code == 4 and "Seed 2 failed: the toy is broken" in said, said
    summary = json.loads((out / "summary.json").read_text())
    assert summary["seeds"] == [1, 3] and set(summary["figures"]) == {"1", "3"}
    assert "Seeds 1, 3; mean ± standard deviation over these 2." in summary["measured_on"]
    page = (out / "study.html").read_text()
    assert "Seed 2 failed: the toy is broken" in page and "2 of 2 seeds" in page
    assert (out / "seed-2/first").is_dir() and not (out / "seed-2/third").exists()
    assert {stage["name"] for stage in summary["stages"]} >= {"seed-3/third", "seed-2/first"}


def test_the_page_has_claims_controls_papers_and_the_verdict(whole: tuple[Path, int, str]) -> None:
    out, _, said = whole
    page, summary = (out / "study.html").read_text(), json.loads((out / "summary.json").read_text())
    meant = "third is a control that is not to learn, for nobody asks it anything."
    for text in (meant, "Toys work.", "Toymaker 1900", "9 of 10 toys work", "A broken toy.", "A better toy."):
        assert text in page, text
    assert summary["verdict"] == {"says": "cannot say", "why": "nothing was compared."}
    assert "It cannot say. nothing was compared." in page and "cannot say: nothing was compared." in said
    first, never = summary["bars"]
    assert first["held"] == 2 and first["control"].startswith("control: ") and first["effect"] in page
    assert (never["held"], never["of"], never["unknown"]) == (0, 2, 2)
    unknown = "0 of 2 seeds (could not be computed in 2 of 2: never has no figure)"
    assert f"held in {unknown}: never is 1" in said and unknown in page


def test_a_study_that_is_killed_goes_on_to_the_same_figures(
    whole: tuple[Path, int, str], tmp_path: Path
) -> None:
    out = tmp_path / "study"
    process = toy(out, pace=0.5)
    begun = out / "seed-1/second.partial/did.txt"
    while not begun.exists() and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)  # the study and every process that it began
    process.communicate()
    assert not (out / "summary.json").exists() and (out / "seed-1/first").is_dir()
    made = (out / "seed-1/first/run.json").read_bytes()
    code, said = ended(toy(out))
    assert code == 0, said
    assert (
        figures(out)["1"] == figures(whole[0])["1"] and (out / "seed-1/first/run.json").read_bytes() == made
    )
    did = (out / "seed-1/second/did.txt").read_text().split()
    assert set(did) == set("012345") and len(did) <= 7  # the piece in which it was killed, once more


def test_two_studies_at_once_share_their_runs(whole: tuple[Path, int, str], tmp_path: Path) -> None:
    """While a third process is making the first run, both wait; then one makes what the other uses."""
    runs = tmp_path / "runs"
    first = runs / "seed-1/first.partial"
    lock(first)
    both = [toy(tmp_path / name, str(runs), pace=0.1) for name in ("a", "b")]
    for process in both:
        while "another process is making first: waiting" not in process.stderr.readline():
            assert process.poll() is None
    release(first)
    ends = [ended(process) for process in both]
    assert [code for code, _ in ends] == [0, 0], ends
    assert figures(tmp_path / "a") == figures(tmp_path / "b") == {"1": figures(whole[0])["1"]}
    for stage in ("first", "second", "third"):
        assert len((runs / "seed-1" / stage / "did.txt").read_text().split()) == 6


def test_runs_of_other_settings_are_found_before_anything_starts(tmp_path: Path) -> None:
    """Of any stage, the last one too: nothing before it is made, and a remedy is said."""
    for number in (1, 2):
        out = tmp_path / f"seed-{number}/third"
        run = open_run("toy", out, ShareSettings(parts=3), number, True)
        run.finish({"value": 0.5})
    code, said = ended(toy(tmp_path, seeds="1,2"))
    assert code == ResumeRefused.exit_code and "2 of these 6 stages made by other settings" in said, said
    assert "seed-1/third the first of them" in said and "parts: 3 then, 1 now" in said
    assert "another --runs" in said
    assert not list(tmp_path.glob("seed-*/first*"))


def test_every_study_is_read_without_torch() -> None:
    """The catalogue, its questions, pages and bars: torch takes seconds to load, and only stages need it."""
    told = (
        "import sys; from alignlab.studies import catalogue; [catalogue.study(name) for name in "
        "catalogue.STUDIES]; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", told], check=False).returncode == 0


def test_a_claim_that_cannot_be_computed_never_counts_as_held() -> None:
    seeds = [{"gain": {"mean": 0.2}}, {"gain": {"mean": None}}, {"gain": {"mean": float("nan")}}]
    found = bar("it gains", seeds, lambda s: value(s["gain"], "the gain") > 0.1)
    assert list(found.held) == [True, None, None]
    assert held(found.to_json()) == "1 of 3 seeds (could not be computed in 2 of 3: the gain has no figure)"
    with pytest.raises(ValueError, match="says why"):
        Bar("it gains", [None])
    with pytest.raises(ValueError, match="beside its control"):
        Bar("it gains", [True], effect="0.2")


def test_an_effect_stands_beside_its_control_where_both_are_known() -> None:
    seeds = [{"gain": 0.2, "placebo": 0.0}, {"gain": 0.4, "placebo": 0.1}, {"gain": 0.9, "placebo": None}]
    found = bar(
        "it gains",
        seeds,
        lambda s: s["gain"] > 0.3,
        effect=lambda s: s["gain"],
        control=lambda s: value(s["placebo"], "the placebo"),
        against="placebo",
    )
    assert (found.effect, found.control) == ("0.300 ± 0.141", "placebo: 0.050 ± 0.071")
    plain = Bar("it ends", [True])
    table = claims_of({"bars": [found.to_json(), plain.to_json()], "claims": "fixed before"})
    assert table["heads"] == ["claim", "measured", "control", "held in"]
    assert table["rows"][1] == ["it ends", "-", "-", "1 of 1 seeds"]
    assert claims_of({"bars": [plain.to_json()], "claims": ""})["rows"] == [["it ends", "1 of 1 seeds"]]


def never(*_: Any) -> Any:
    raise CannotSay("nothing")


def test_a_study_has_two_forms_or_says_why_and_a_claim_has_all_that_judges_it() -> None:
    form, judged = Form(never, never, never), Form(never, never, never, never)
    with pytest.raises(ValueError, match="why there is none"):
        Study(title="T", controls="", town=form)
    with pytest.raises(ValueError, match="why there is none"):
        Study(title="T", controls="", town=form, real=form, town_alone="it is a toy")
    all_of_it: dict[str, Any] = {
        "claim": "c",
        "mirrors": (Mirror("p", "f", "n"),),
        "falsified_by": "f",
        "would_change_my_mind": "w",
    }
    assert Study(title="T", controls="", town=judged, town_alone="it is a toy", **all_of_it)
    for left_out in ("mirrors", "falsified_by", "would_change_my_mind"):
        with pytest.raises(ValueError, match="a verdict"):
            Study(title="T", controls="", town=judged, town_alone="t", **(all_of_it | {left_out: ()}))
    with pytest.raises(ValueError, match="a verdict"):
        Study(title="T", controls="", town=judged, real=form, **all_of_it)
    assert verdict_of(judged, []) == Verdict("cannot say", "nothing.") and verdict_of(form, []) is None


@pytest.mark.parametrize("name", catalogue.STUDIES)
def test_a_model_that_is_not_the_towns_takes_the_form_for_others_or_is_told_why_not(
    name: str, tmp_path: Path
) -> None:
    study = catalogue.study(name)
    (tmp_path / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    assert form_of(name, study, "town-s") is study.town
    if study.real:
        assert form_of(name, study, str(tmp_path)) is study.real
    else:
        with pytest.raises(ConfigError, match="is none of them") as said:
            form_of(name, study, str(tmp_path))
        assert study.town_alone in str(said.value) and "--model town" in said.value.remedy
