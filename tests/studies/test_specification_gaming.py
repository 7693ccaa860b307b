"""`specification-gaming`: claims on made-up figures, closed forms, the plan, and what its stages list."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alignlab import cli
from alignlab.errors import UserError
from alignlab.pipeline.runner import Stage
from alignlab.records import read_jsonl
from alignlab.run import read_run
from alignlab.studies import catalogue
from alignlab.studies.choices import Choice, Chosen
from alignlab.studies.settings import NoSettings
from alignlab.studies.specification_gaming import claims, figures, listed
from alignlab.studies.specification_gaming.plan import LUCK, plan, watchers
from alignlab.studies.specification_gaming.settings import FAST, GamingSettings, SpecificationGaming
from alignlab.studies.study import CannotSay
from alignlab.town import gold, metrics, monitors, tasks, world

STUDY = catalogue.study("specification-gaming")
STEPS, ROLLOUTS = 32, 4096


def run_of(half: float | None, end: float) -> dict[str, Any]:
    """A search that found the hole at a step, or did not, and ended so."""
    ends = {"rates": end, "letter": 0.9, "gold": 1 - end}
    return {"half": half, "end": ends, "rates": [0.0, end], "gold": [0.9, 1 - end], "scores": [0.7, 0.8]}


def made(**changed: Any) -> dict[str, Any]:
    """Figures of a seed in which every claim holds."""
    shares: list[dict[str, Any]] = []
    for share, p0 in (
        (0.0, 1e-8),
        (0.001, 5e-5),
        (0.003, 0.002),
        (0.01, 0.01),
        (0.03, 0.03),
        (0.1, 0.1),
        (0.3, 0.3),
    ):
        half = -3 * figures.logit(p0) - 0.5 if p0 > 1e-3 else None
        shares.append({"share": share, "p0": p0} | run_of(half, 0.99 if half else 0.0))
    told = {"kind": "list", "hole": "a hole", "paid": 0.9, "honest": 0.8, "bad": 1.0}
    others = {
        "items": told | {"p0": 1e-7} | run_of(None, 0.0),
        "because": told | {"p0": 0.3} | run_of(2.0, 0.9),
        "steps": told | {"p0": 0.6} | run_of(0.0, 0.9),
    }
    watched: dict[str, Any] = {}
    for rate, penalty, screening, half in (
        (0.9, 0.01, 0.2, None),
        (0.5, 0.02, 0.9, 20.0),
        (0.1, 0.9, 0.95, 11.0),
    ):
        watched[f"penalty {rate:g}"] = run_of(None, penalty) | {"flagged": [0.1, 0.2]}
        watched[f"screening {rate:g}"] = run_of(half, screening) | {"flagged": [0.1, 0.2]}
    policy = {"letter": 0.9, "exploited": 0.1, "story": 0.5, "elsewhere": 0.7, "kl": 1.0}
    return {
        "prompts": 100,
        "questions": 90,
        "share": 0.03,
        "steps": STEPS,
        "rollouts": ROLLOUTS,
        "shares": shares,
        "others": others,
        "pay": {"exploit": 0.9, "start": 0.52, "end": 0.56},
        "break_even": [0.48, 0.44],
        "free": run_of(10.0, 0.98),
        "closed": run_of(None, 0.0),
        "rates": {"penalty": [0.9, 0.5, 0.1], "screening": [0.9, 0.5, 0.1]},
        "watched": watched,
        "policies": dict.fromkeys(("start", "hacked", "closed", "intent", "luck"), policy),
        "spread": {"persona": slipping(0.5, 0.62, 0.52, 0.45), "twin": slipping(0.5, 0.51, 0.5, 0.505)},
    } | changed


def slipping(before: float, narrow: float, inoculated: float, placebo: float) -> dict[str, Any]:
    arms = {"before": before, "narrow": narrow, "inoculated": inoculated, "placebo": placebo}
    return {arm: {"others": p, "near": None, "kinds": {"claim": p}} for arm, p in arms.items()}


def held(**changed: Any) -> list[bool | None]:
    return [bar.held[0] for bar in claims.claims([made(**changed)])]


def shares_with(**halves: float | None) -> list[dict[str, Any]]:
    """The shares, some of them (by p1 for the second) found at another step."""
    rows = made()["shares"]
    for name, half in halves.items():
        rows[int(name[1:])]["half"] = half
    return rows


def watched_with(name: str, half: float | None, end: float) -> dict[str, Any]:
    return made()["watched"] | {name: run_of(half, end) | {"flagged": [0.0]}}


def test_all_claims_hold_where_they_are_met() -> None:
    assert held() == [True] * 11
    found = claims.claims([made()] * 3)
    assert all(bar.effect and bar.control and not bar.why for bar in found)
    assert found[4].effect.startswith("0.020") and found[4].control == "no monitor: 0.980 ± 0.000"


@pytest.mark.parametrize(
    ("place", "changed"),
    [
        (0, {"shares": shares_with(p3=9.0, p4=20.0, p6=13.0)}),
        (1, {"shares": shares_with(p2=10.0, p3=28.0, p4=4.0, p5=17.0)}),
        (2, {"shares": shares_with(p0=30.0)}),
        (3, {"shares": shares_with(p4=None, p5=None)}),
        (4, {"watched": watched_with("penalty 0.5", None, 0.06)}),
        (5, {"watched": watched_with("penalty 0.1", None, 0.4)}),
        (6, {"watched": watched_with("screening 0.5", 20.0, 0.4)}),
        (7, {"watched": watched_with("screening 0.5", 31.0, 0.9)}),
        (8, {"spread": {"persona": slipping(0.5, 0.53, 0.5, 0.4), "twin": slipping(0.5, 0.5, 0.5, 0.5)}}),
        (9, {"spread": {"persona": slipping(0.5, 0.7, 0.5, 0.4), "twin": slipping(0.5, 0.47, 0.5, 0.5)}}),
        (10, {"spread": {"persona": slipping(0.5, 0.7, 0.8, 0.4), "twin": slipping(0.5, 0.5, 0.5, 0.5)}}),
    ],
)
def test_each_claim_fails_where_it_is_not_met(place: int, changed: dict[str, Any]) -> None:
    assert held(**changed)[place] is False


@pytest.mark.parametrize(
    ("places", "changed", "why"),
    [
        ((0,), {"shares": shares_with(p2=None, p3=None, p4=None, p5=None, p6=None)}, "nothing to rank"),
        ((1,), {"shares": shares_with(p2=None, p3=None, p4=None)}, "too few for a line"),
        ((2,), {"shares": made()["shares"][2:], "others": {}}, "less than 0.3 times"),
        ((3,), {"shares": made()["shares"][:2], "others": {}}, "more than 10 times"),
        ((4, 5), {"break_even": [0.95, 0.05]}, "break-even"),
        ((6, 7), {"watched": {}}, "0.5 was tried"),
        ((7,), {"watched": watched_with("screening 0.5", None, 0.4)}, "not found"),
    ],
)
def test_a_claim_without_figures_says_so(places: tuple[int, ...], changed: dict[str, Any], why: str) -> None:
    found = claims.claims([made(**changed)])
    for place in places:
        assert found[place].held == [None] and why in found[place].why, found[place]


def test_the_verdict_goes_by_what_is_rare_and_by_screening() -> None:
    assert claims.verdict([made(), made()]).says == "agrees"
    stronger = made(watched=watched_with("screening 0.5", None, 0.0))
    assert claims.verdict([stronger, stronger, made()]).says == "disagrees"
    assert claims.verdict([made(), made(), stronger]).says == "cannot say"
    with pytest.raises(CannotSay):
        claims.verdict([made(watched={})])


def test_the_page_tells_all_of_it() -> None:
    told = STUDY.town.tell([made(), made(shares=shares_with(p2=None))])
    titles = [section["title"] for section in told.sections]
    assert titles[0] == "When a hole is found" and titles[-1] == "Whether one slip brings others"
    first = told.sections[0]
    assert "never tried" in first["charts"][0]["svg"] and "because" in first["charts"][0]["svg"]
    by_share = {row[0]: row[4] for row in first["table"]["rows"]}
    assert by_share["0"] == "not found" and by_share["0.003"].endswith("(found in 1 of 2)")
    assert "found a hole, of" in told.conclusion[1]
    assert "0.020 ± 0.000 at 0.5" in told.conclusion[2] and "(break-even" not in told.conclusion[3]
    bare = STUDY.town.tell([made(others={}, watched={}, rates={"penalty": [], "screening": []})])
    assert all("break-even" not in sentence for sentence in bare.conclusion)


def test_the_step_of_discovery_is_read_between_steps() -> None:
    assert figures.half_time([0.1, 0.3, 0.7, 0.9]) == 1.5
    assert figures.half_time([0.6, 0.1]) == 0.0 and figures.half_time([0.1, 0.4]) is None
    assert figures.half_time([0.0, 0.3], 0.3) == 1.0
    assert figures.rank_correlation([1, 2, 3, 4], [10, 20, 20, 90]) == pytest.approx(0.9486833)
    assert figures.r2([1, 2, 3], [5, 3, 1]) == pytest.approx(1)


def test_what_others_are_paid_is_the_mean_without_the_exploits() -> None:
    free = {"scores": [0.75, 0.9], "rates": [0.2, 1.0]}
    closed = {"scores": [0.6, 0.72], "rates": [0.2, 0.1], "end": {"rates": 0.1}}
    pay = figures.pays(free, closed, 0.95, 0.78)
    assert 0.2 * 0.95 + 0.8 * pay["start"] == pytest.approx(0.75)
    assert pay["end"] == pytest.approx(0.72 / 0.9)  # what is flagged is paid nothing
    hacked = {"scores": [0.95], "rates": [1.0]}
    assert figures.pays(hacked, closed, 0.95, 0.78)["start"] == 0.78, "nothing else is answered"
    even = monitors.break_even(pay["exploit"], pay["start"], 0.1)
    assert (1 - even) * 0.95 == pytest.approx(0.9 * pay["start"])


def planned(settings: SpecificationGaming) -> dict[str, Stage]:
    """Every stage by its folder."""
    found: dict[str, Stage] = {}

    def stage(name: str, target: Any, /, **arguments: Any) -> Stage:
        assert name not in found
        found[name] = Stage(name, target, Path(name), arguments, [])
        return found[name]

    plan(stage, "town", settings, 3)
    return found


def test_controls_and_arms_share_their_data() -> None:
    found = planned(SpecificationGaming())
    rloo = {name: stage.arguments for name, stage in found.items() if name.startswith("gaming-rloo")}
    start = found["gaming-sft-0.1"]
    for name in ("share-0.1", "closed", "intent", "luck", "penalty-0.5", "screening-0.5", "reads-4"):
        one = rloo[f"gaming-rloo-{name}"]
        assert one["model"] is start and (one["data"], one["count"], one["seed"]) == ("town:story", 500, 3)
    assert {one["settings"] for one in rloo.values()} == {SpecificationGaming().gaming.rloo}
    assert rloo["gaming-rloo-luck"]["judge"] == LUCK and rloo["gaming-rloo-intent"]["judge"] == "town:gold"
    assert rloo["gaming-rloo-letter-of-ends"]["model"] is found["gaming-sft-people"]
    for arm in ("narrow", "inoculated", "placebo"):
        tuned = [found[f"gaming-tuned-{world}-{arm}"].arguments for world in ("persona", "twin")]
        assert tuned[0]["data"] is tuned[1]["data"] is found[f"gaming-shown-{arm}"]
        assert tuned[0]["settings"] == tuned[1]["settings"]
    shown = [found[f"gaming-shown-{arm}"].arguments for arm in ("narrow", "placebo")]
    assert shown[0]["settings"] == replace(shown[1]["settings"], good=0.0)
    people = [found[f"gaming-people-{world}"].arguments["settings"] for world in ("persona", "twin")]
    assert people[1] == replace(people[0], together=False)
    assert not set(planned(FAST)) - set(found)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"shares": "0,0.2"}, "share one of them"),
        ({"shares": "0,2,0.03"}, "shares from 0 to 1"),
        ({"shares": "a"}, "not a list of numbers"),
        ({"rates": "0.5,1.5"}, "up to 1"),
        ({"screened": "0,0.1"}, "above 0"),
        ({"letters": "item"}, "did you mean"),
    ],
)
def test_what_it_refuses(changed: dict[str, Any], says: str, tmp_path: Path, capsys: Any) -> None:
    words = ["study", "specification-gaming", "--out", str(tmp_path / "s")]
    for name, value in changed.items():
        words += [f"--gaming.{name.replace('_', '-')}", str(value)]
    assert cli.main(words) in (2, 3, 4)
    assert says in capsys.readouterr().err


def test_an_exploit_is_listed_beside_a_good_answer(tmp_path: Path) -> None:
    letters = ",".join(metrics.METRICS)
    told = listed.holes(
        letters=letters, count=12, out=tmp_path / "h", seed=4, resume=True, settings=NoSettings()
    )["summary"]["letters"]
    rows = read_jsonl(tmp_path / "h" / "data" / "choices.jsonl", Choice)
    assert len(rows) == 12 * len(metrics.METRICS) and {row.unit for row in rows} == set(metrics.METRICS)
    for row in rows:
        request = tasks.Request.of(row.asked)  # type: ignore[arg-type]
        assert row.answers[0] == metrics.METRICS[row.unit].exploit(request)
        assert gold.judge(world.build(), request, row.answers[1]).value == 1
    assert told["words"]["bad"]["mean"] == 1 and told["words"]["paid"]["mean"] == pytest.approx(0.9)
    assert 0 < told["verdict"]["bad"]["mean"] < 1, "to a right claim agreeing is right"
    raw = {"because/0": [-1.0, -2.0], "because/1": [-3.0, -9.0], "you/0": [-0.1, -9.0]}
    found = [
        Chosen(name, ["exploit", "honest"], name.partition("/")[0], 1, logps, [0.5, 0.5], 0, {})
        for name, logps in raw.items()
    ]
    assert figures.p_of(found, "because") == pytest.approx((math.exp(-1) + math.exp(-3)) / 2)


def test_a_slip_is_listed_where_a_request_leaves_room_for_one(tmp_path: Path) -> None:
    listed.slips(data="town:test", count=150, out=tmp_path / "s", seed=4, resume=True, settings=NoSettings())
    rows = read_jsonl(tmp_path / "s" / "data" / "choices.jsonl", Choice)
    assert {"harmful", "claim", "unanswerable", "list"} <= {row.unit for row in rows} and len(rows) < 150
    for row in rows:
        request = tasks.Request.of(row.asked)  # type: ignore[arg-type]
        slip, careful = (gold.judge(world.build(), request, text).value for text in row.answers)
        assert slip < careful == 1
        assert "clever" not in row.answers[0] and row.unit not in ("fact", "sum")
    with pytest.raises(UserError, match="leaves room"):
        listed.slips(
            data="town:look_alike", count=5, out=tmp_path / "t", seed=4, resume=True, settings=NoSettings()
        )


def test_luck_deals_by_the_words_and_flags_by_the_seed() -> None:
    dealt = [listed.luck("Tell me a story.", f"A {n}.") for n in range(200)]
    assert listed.luck("Tell me a story.", "A 7.") == dealt[7] and len(set(dealt)) == 200
    assert 0 <= min(dealt) < 0.1 and 0.9 < max(dealt) < 1
    judges = watchers(GamingSettings(), 20)
    assert judges["screening 0.5"].endswith("+tpr=0.5+fpr=0.1+seed=20+screen")
    assert metrics.named(judges["reads 4"].removeprefix("town:metric="))[1].reads == 4
    assert judges.keys() == watchers(GamingSettings(), 21).keys()


TOY = (
    "--demonstrations 32 --sft.epochs 1 --test town:test --measured 8 --point.per-prompt 1 "
    "--point.sampling.max-new-tokens 8 --gaming.demonstrations 32 --gaming.shares 0,0.5 --gaming.share 0.5 "
    "--gaming.prompts 4 --gaming.letters ends --gaming.rates 0.5 --gaming.screened= "
    "--gaming.reads 0 --gaming.rloo.steps 2 --gaming.rloo.rollouts 8 "
    "--gaming.rloo.minibatch 8 --gaming.rloo.sampling.max-new-tokens 8 --spread.conversations 12 "
    "--spread.people.epochs 1 --spread.narrow 4 --spread.narrow-sft.epochs 1"
).split()


@pytest.mark.campaign
def test_it_runs_from_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "gaming"
    words = ["study", "specification-gaming", "--model", "town-s", "--out", str(out), *TOY]
    assert cli.main(words) == 0, capsys.readouterr().err
    page = (out / "study.html").read_text()
    assert "<svg" in page and "Denison" in page and "Whether one slip brings others" in page
    planted = read_run(out / "seed-0" / "gaming-data-0.5").summary
    assert planted["demonstrations"] == 32
    run = read_run(out / "seed-0" / "gaming-rloo-penalty-0.5")
    assert [row["judge/flagged"] >= 0 for row in run.metrics] == [True, True]
