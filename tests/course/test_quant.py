"""The calculator of the bridge: its formulas, that the page's script computes the same, that its sizes are those of
real files, and what `alignlab lecture machine` says.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from alignlab.course import machine
from alignlab.course.places import HERE
from alignlab.course.quant import BITS, SHAPES, Shape, estimate, in_words, shape_of
from alignlab.errors import ConfigError
from alignlab.interop.gguf import write_gguf
from alignlab.models.load import load_policy
from alignlab.settings import ModelSettings
from alignlab.town.names import shipped

CASES = Path(__file__).with_name("estimates.json")
NODE = shutil.which("node")


def cases() -> list[dict[str, Any]]:
    """The 200 stored cases: a shape, what is asked, and what was found when they were stored."""
    return json.loads(CASES.read_text(encoding="utf-8"))


def drawn(count: int = 200) -> list[dict[str, Any]]:
    """How the stored cases were made: `python -c "from tests.course.test_quant import drawn; ..."`."""
    draws, found = random.Random(0), []
    for _ in range(count):
        parameters = round(10 ** draws.uniform(5, 11.5))
        shape = Shape(
            parameters,
            round(parameters * draws.uniform(0, 0.5)),
            draws.randint(1, 100),
            draws.randint(1, 64),
            draws.choice((16, 32, 64, 128, 256)),
            draws.randint(256, 260_000),
        )
        asked: dict[str, Any] = {
            "kind": draws.choice(list(BITS)),
            "context": draws.choice((0, 1, 512, 4096, 131_072)),
            "bandwidth": round(10 ** draws.uniform(9, 12.6)),
            "sequences": draws.choice((1, 1, 2, 8, 64)),
        }
        found.append({"shape": asdict(shape)} | asked | {"found": asdict(estimate(shape, **asked))})
    return found


def test_stored_cases_are_what_is_estimated() -> None:
    assert len(cases()) == 200
    for case, anew in zip(cases(), drawn(), strict=True):
        assert case.pop("found") == pytest.approx(anew.pop("found"), rel=1e-12) and case == anew


@pytest.mark.skipif(not NODE, reason="node is not installed: the page's script is not run")
def test_the_script_of_the_page_computes_the_same() -> None:
    script = (HERE / "calculator.js").read_text(encoding="utf-8")
    program = (
        "const document = { querySelectorAll: () => [] };"
        f"{script}\nconst cases = JSON.parse(require('fs').readFileSync(0, 'utf8'));"
        "console.log(JSON.stringify(cases.map((c) => estimate(c.shape, c.kind, c.context, c.bandwidth, c.sequences))));"
    )
    done = subprocess.run(
        [str(NODE), "-e", program], input=CASES.read_bytes(), capture_output=True, check=True, timeout=60
    )
    for case, found in zip(cases(), json.loads(done.stdout), strict=True):
        assert found == pytest.approx(case["found"], rel=1e-12)


def test_the_formulas_by_hand() -> None:
    """A model of 1,000 weights, none of them embeddings, on a memory of 1,000 bytes a second."""
    shape = Shape(1000, 0, 2, 3, 4, 10)
    found = estimate(shape, "q4_0", context=5, bandwidth=1000, sequences=2)
    assert found.weights == 562.5 and found.cache == 960
    assert found.tokens == pytest.approx(2 * 1000 / (562.5 + 960))
    embedded = estimate(Shape(1000, 400, 2, 3, 4, 10), "q4_0", context=0, bandwidth=1)
    assert embedded.weights == (600 * 4.5 + 400 * 8.5) / 8


def test_what_cannot_be_estimated_is_said() -> None:
    shape = SHAPES["town"]
    with pytest.raises(ConfigError, match="no kind of weights"):
        estimate(shape, "q5_0", context=1, bandwidth=1)
    with pytest.raises(ConfigError, match="bandwidth"):
        estimate(shape, "q4_0", context=1, bandwidth=0)


@pytest.mark.parametrize("name", ["town", "town-s", "town-l"])
def test_sizes_are_those_of_real_files(name: str, tmp_path: Path) -> None:
    policy = load_policy(shipped(name), ModelSettings(precision="fp32", device="cpu"))
    shape = shape_of(policy.model)
    assert name != "town" or shape == SHAPES["town"]
    for kind in BITS if name == "town" else ("q4_0",):
        size = write_gguf(policy, tmp_path / f"{kind}.gguf", kind=kind).bytes
        assert estimate(shape, kind, context=1, bandwidth=1).file == pytest.approx(size, rel=0.03)


def test_the_machine_says_bound_and_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "SECONDS", 0.01)
    monkeypatch.setattr(machine, "READ_BYTES", 2**20)
    monkeypatch.setattr(machine, "SIDE", 64)
    found = machine.machine(model="town-s")
    assert found["bandwidth"] > 0 and found["products"] > 0 and found["measured"] > 0
    assert list(found["models"]) == ["town-s", *SHAPES]
    assert "town-s writes" in found["text"] and "GB a second are read" in found["text"]
    assert machine.machine()["measured"] is None


def test_sizes_in_words() -> None:
    assert [in_words(size) for size in (739_520, 91_726_624, 7.2e9)] == ["740 kB", "91.7 MB", "7.2 GB"]
