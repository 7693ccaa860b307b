"""The picture of RLHF's dynamics: the same bytes each time, and text of a model that stays text."""

from __future__ import annotations

import json
import re
from pathlib import Path

from alignlab.course import dynamics
from alignlab.course.build import asset
from alignlab.course.records import Record


def document() -> dict:
    """A record of two arms and three steps, of which one answer would like to be a script."""
    series = {
        name: [[0.0, 0.5, 1.0], [0.0, 0.4, 0.8], [0.0, 0.6, 1.2]]
        for _, names, _ in dynamics.PANELS.values()
        for name in names
    }
    said = [
        {
            "step": step,
            "text": "</script><script>alert(1)</script>",
            "ends": True,
            "gold": 0.0,
            "reason": "wrong",
        }
        for step in (0, 2)
    ]
    arm = {"series": series, "answers": [{"answers": said}], "health": []}
    return {"seeds": [20], "probes": ["Who?"], "figures": {"steps": 3, "arms": {"0": arm, "0.2": arm}}}


def test_the_picture_is_drawn_twice_to_the_same_bytes_and_holds_model_text_as_data_alone() -> None:
    drawn = dynamics.fragment(Record("dynamics", document()))
    assert drawn == dynamics.fragment(Record("dynamics", document()))
    [inside] = re.findall(r'<script type="application/json">(.*?)</script>', drawn)
    data = json.loads(inside)
    [[(first, which), (last, again)]] = data["arms"][1]["answers"]
    assert (first, last) == (0, 2) and which == again and len(data["said"]) == 1
    assert data["said"][which]["text"] == "</script><script>alert(1)</script>"
    assert drawn.count("<script") == 1 and drawn.count("<svg") == 2
    assert "<td>no penalty</td><td>2</td>" in drawn


def test_its_script_is_short_and_writes_text_nodes_alone() -> None:
    script = asset("dynamics.js")
    assert len(script.splitlines()) <= 250
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|fetch|http(?!://www\.w3)", script
    )


def test_what_is_recorded_is_whole_and_small() -> None:
    path = Path(__file__).parents[2] / "lecture/record/dynamics.json"
    assert path.stat().st_size <= 250_000
    found = json.loads(path.read_text())
    steps = found["figures"]["steps"]
    assert list(found["figures"]["arms"]) == ["0", "0.05", "0.2", "1"]
    for arm in found["figures"]["arms"].values():
        assert all(len(line) == steps for band in arm["series"].values() for line in band)
        assert len(arm["answers"]) == len(found["probes"])
