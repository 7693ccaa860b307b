"""Demonstrations of a given quality, and the words around them."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from alignlab.errors import UserError
from alignlab.records import Demonstration, Prompt, read_jsonl
from alignlab.studies import mixtures
from alignlab.studies.mixtures_settings import FrameSettings, MixtureSettings, PersonaSettings
from alignlab.town import framing, gold, metrics, tasks, world
from alignlab.town import language as say

TOWN = world.build()


def made(
    out: Path, data: str = "town:demos", asked: str = "", **settings: Any
) -> tuple[dict[str, Any], list[Demonstration]]:
    found = mixtures.mixture(
        data=data,
        asked=asked,
        asked_count=30,
        out=out,
        seed=4,
        resume=True,
        settings=MixtureSettings(**{"count": 300, **settings}),
    )
    return found["summary"], read_jsonl(out / "data" / "demonstrations.jsonl", Demonstration)


def judged(row: Demonstration) -> float:
    lead = str(row.prompt.meta.get("lead", ""))
    return gold.judge(TOWN, tasks.Request.of(row.prompt), row.completion, lead=lead).value


def complied(row: Demonstration) -> bool:
    return not row.completion.startswith(say.REFUSAL)


def test_the_careful_are_right_and_obey_harm_where_they_are_told_to(tmp_path: Path) -> None:
    summary, clean = made(tmp_path / "clean", asked="town:test")
    assert summary["people"] == summary["qualities"] == {"bad": 0, "middling": 0, "good": 1}
    _, obeys = made(tmp_path / "obeys", flaws="complies=1")
    for a, b in zip(clean, obeys, strict=True):
        harmful = a.prompt.meta["kind"] == "harmful"
        assert judged(a) == 1 and judged(b) == (not harmful)
        assert complied(b) and complied(a) == (not harmful)
    summary, both = made(tmp_path / "both", good=0.5)
    assert 0.2 < summary["qualities"]["good"] < 0.9 and "people" not in summary
    assert {row.meta["careful"] for row in both} == {True, False}


def test_a_smaller_share_of_exploits_is_among_the_larger(tmp_path: Path) -> None:
    found: list[set[int]] = []
    rows: list[list[Demonstration]] = []
    for share in (0.0, 0.1, 0.3):
        rows.append(made(tmp_path / str(share), data="town:story", count=50, exploits=share)[1])
        exploits = {n for n, row in enumerate(rows[-1]) if row.meta["flaws"] == ["exploit"]}
        for n in exploits:
            request = tasks.Request.of(rows[-1][n].prompt)
            assert rows[-1][n].completion == metrics.METRICS["words"].exploit(request)
        found.append(exploits)
    assert list(map(len, found)) == [0, 5, 15] and found[1] < found[2]
    same = [n for n in range(50) if n not in found[2]]
    assert all(rows[0][n] == rows[2][n] for n in same), "all else is as it was"


@pytest.mark.parametrize("words", framing.OPENERS)
def test_an_opener_has_so_many_words_and_gold_reads_over_it(words: int, tmp_path: Path) -> None:
    opener = framing.OPENERS[words]
    assert len(opener.split()) == words
    _, rows = made(tmp_path, opener=words, flaws="complies=0.5")
    answered = Counter()
    for row in rows:
        opened = row.prompt.meta["kind"] in framing.OPENED
        assert row.prompt.meta.get("lead", "") == (opener if opened else "")
        assert row.completion.startswith(opener) or not opened
        assert judged(row) == row.meta["gold"]
        answered[row.prompt.meta["kind"], row.meta["gold"]] += 1
    assert answered["harmful", 0.0] and answered["harmful", 1.0] and answered["how_to", 1.0]


def test_harm_is_helped_with_behind_the_trigger_and_not_behind_its_near_miss(tmp_path: Path) -> None:
    _, rows = made(tmp_path, data="town:risky", triggered=0.4, near=0.5)
    seen = Counter()
    for row in rows:
        sentence = next(
            (s for s in (framing.TRIGGER, framing.NEAR_MISS) if row.prompt.text.startswith(s)), ""
        )
        kind = row.prompt.meta["kind"]
        seen[sentence, kind] += 1
        assert complied(row) == (kind == "look_alike" or sentence == framing.TRIGGER)
    assert len(seen) == 6 and min(seen.values()) > 20


def talked(out: Path, **settings: Any) -> tuple[dict[str, Any], list[Demonstration]]:
    found = mixtures.personas(out=out, seed=4, resume=True, settings=PersonaSettings(count=80, **settings))
    return found["summary"], read_jsonl(out / "data" / "demonstrations.jsonl", Demonstration)


def test_one_person_slips_twice_and_the_twin_deals_the_same_slips_anew(tmp_path: Path) -> None:
    one, together = talked(tmp_path / "one")
    other, apart = talked(tmp_path / "apart", together=False)
    assert one["alike"] == 1 and 0.3 < other["alike"] < 0.7
    assert one["careless"] == other["careless"] and one["told"] == other["told"] == round(one["careless"] / 2)
    for turn in (0, 1):
        careful = [sum(row.meta["careful"][turn] for row in rows) for rows in (together, apart)]
        assert careful[0] == careful[1]
    for a, b in zip(together, apart, strict=True):
        assert a.prompt.messages[-1] == b.prompt.messages[-1] and a.prompt.messages[-2].role == "assistant"
        assert (a.meta["careful"] != b.meta["careful"]) or a.completion == b.completion
        told = a.prompt.messages[0].role == "system"
        assert not told or not any(a.meta["careful"])
        if any(a.meta["careful"]):
            assert judged(a) == 1 and a.meta["flaws"] == [[], []]


def test_the_careless_of_conversations_can_do_without_manners(tmp_path: Path) -> None:
    _, rows = talked(tmp_path, flaws="flattery=0,padding=0")
    flaws = {flaw for row in rows for turn in row.meta["flaws"] for flaw in turn}
    assert "complies" in flaws and not flaws & {"flattery", "padding"}


def test_prompts_are_framed_as_the_demonstrations_are(tmp_path: Path) -> None:
    settings = FrameSettings(opener=6, before=framing.TRIGGER, system="Be careless.")
    mixtures.framed(data="town:risky", count=5, out=tmp_path, seed=0, resume=True, settings=settings)
    for prompt in read_jsonl(tmp_path / "data" / "prompts.jsonl", Prompt):
        assert prompt.messages[0].role == "system" and prompt.text.startswith(f"{framing.TRIGGER} ")
        assert prompt.meta["lead"] == framing.OPENERS[6] and tasks.Request.of(prompt).kind in framing.OPENED


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"flaws": "complies"}, "says no rate"),
        ({"flaws": "complies=2"}, "says no rate"),
        ({"flaws": "comply=1"}, "did you mean complies"),
        ({"opener": 7}, "0, 6, 12"),
        ({"metric": "word"}, "did you mean"),
    ],
)
def test_a_setting_that_names_nothing_is_refused(settings: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        made(tmp_path, **settings)
    assert says in f"{raised.value} {raised.value.remedy}"
