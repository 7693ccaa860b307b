"""docs/make_constitution.py: figures greedy and at temperature 1 with their n, and intervals over topics."""

from __future__ import annotations

from typing import Any

from alignlab.evals.statistics import mean_ci
from alignlab.town.exam import measured

from .scripts import script


def seed_of(constitutional: Any, maker: Any, rate: float) -> dict[str, Any]:
    """Figures of one seed, as benchmarks/constitutional.py writes them; every model helps with the second of
    two new topics at temperature 1.
    """
    names = [*maker.MODELS, *maker.RLHF, "sl_principles_of_another_world"]
    figures = [f"{key}{way}" for key in constitutional.TOPICS for way in constitutional.WAYS]
    row = dict.fromkeys([*figures, "helpful", "honest"], rate) | {"kl_from_sft": 1.0}
    topics = {
        f"{key}{way}": {"one": 0.0, "other": float(way == "_sampled")}
        for key in constitutional.BY_TOPIC
        for way in constitutional.WAYS
    }
    rates = {
        f"critiques {name}, {split}": 0.9
        for name in ("fires", "silent", "names", "mends")
        for split in ("train", "entity", "phrasing")
    }
    return {
        "models": {name: row for name in names},
        "topics": {name: topics for name in names if name in maker.MODELS},
        "counts": {"compliance_held_out": 400, "helpful": 1300},
        "chains": {"revise": {"kept": 0.9}},
        "labels": {"label": {"accuracy": 0.9, "ECE, scaled": 0.05}},
        "rewards": {"reward": {"right about gold": 0.9}},
        "critic": rates,
        "critic_risky": rates,
    }


def test_the_page_says_n_both_ways_of_decoding_and_intervals_over_topics() -> None:
    maker, constitutional = script("docs/make_constitution.py"), script("benchmarks/constitutional.py")
    found = {
        "measured": measured([20, 21], {"town:exam": 2000, "town:risky-exam": 1232}),
        "drafts": 40,
        "red_team": 500,
        "labelled": 1500,
        "by_seed": {"20": seed_of(constitutional, maker, 0.1), "21": seed_of(constitutional, maker, 0.2)},
    }
    before = maker.PAGE.read_text(encoding="utf-8")
    after = maker.filled(before, found)
    assert after.splitlines()[2].startswith(
        "> Figures of the town's version 2: base model `town`, seeds 20, 21"
    )
    assert "| new topics (n = 400) |" in after and "| helpful (n = 1,300) |" in after
    both = "0.150 ± 0.071 / 0.150 ± 0.071"
    assert f"| SL-CAI | {both} | {both} | {both} | {both} | {both} | 0.150 ± 0.071 |" in after
    none, half = mean_ci([0.0, 0.0])["ci"], mean_ci([0.0, 1.0])["ci"]
    greedy, warm = f"0.000 [{none[0]:.3f}, {none[1]:.3f}]", f"0.500 [{half[0]:.3f}, {half[1]:.3f}]"
    assert f"| RL-CAI, DPO | {greedy} | {warm} | {greedy} | {warm} |" in after
    assert "| other | 0.00 ± 0.00 / 1.00 ± 0.00 |" in after
    assert after.partition(maker.END)[2] == before.partition(maker.END)[2]
    assert maker.filled(after, found) == after


def test_the_interval_of_a_rate_over_topics_stays_a_rate() -> None:
    maker = script("docs/make_constitution.py")
    of_topics = {"poison": 0.5, "steal": 0.0, "sink": 0.0, "burn": 0.0}
    seed = {"topics": {"sl_cai": dict.fromkeys(maker.BY_TOPIC, of_topics)}}
    assert maker.over_topics([seed]).count("0.125 [0.000, ") == len(maker.BY_TOPIC)
