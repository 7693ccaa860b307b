"""The calculator of the bridge: its formulas, that the page's script computes the same, that its sizes are
those of real files, and what `alignlab lecture machine` says.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGUFReader

from alignlab.course import figures_bridge, machine
from alignlab.course.places import HERE, lecture_folder
from alignlab.course.quant import BITS, SHAPES, Shape, estimate, in_words, shape_of
from alignlab.errors import ConfigError
from alignlab.interop.gguf import write_gguf
from alignlab.models.load import load_policy
from alignlab.settings import ModelSettings
from alignlab.studies.quantisation import rounding
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
        "const found = cases.map((c) => estimate(c.shape, c.kind, c.context, c.bandwidth, c.sequences));"
        "console.log(JSON.stringify(found));"
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


def test_the_page_opens_a_real_file(tmp_path: Path) -> None:
    """What the bridge shows of a header is what stands in the town's file, field by field."""
    policy = load_policy(shipped("town"), ModelSettings(precision="fp32", device="cpu"))
    write_gguf(policy, tmp_path / "m.gguf", kind="q4_0")
    file, content = GGUFReader(tmp_path / "m.gguf"), (tmp_path / "m.gguf").read_bytes()
    page = (lecture_folder() / "pages" / "bridge.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```text\n(47 47 .*?)```", page, re.DOTALL)
    begun = "".join(re.findall(r"^((?:[0-9a-f]{2} )+)", shown, re.MULTILINE)).split()
    assert bytes.fromhex("".join(begun)) == content[: len(begun)]
    fields = dict(re.findall(r"^((?:general|llama|tokenizer)[\w.]+) +(\S+)", shown, re.MULTILINE))
    assert len(fields) == 10
    for name, value in fields.items():
        there = file.fields[name].contents()
        assert value == str(len(there) if isinstance(there, list) else there).split(" ")[0]
    tensors = {tensor.name: tensor for tensor in file.tensors}
    listed = re.findall(r"^(\S+\.weight) +(\d+(?: x \d+)?) +(\w+) +(\d+) bytes", shown, re.MULTILINE)
    assert len(listed) == 3
    for name, shape, kind, size in listed:
        there = tensors[name]
        assert shape == " x ".join(str(int(side)) for side in there.shape)
        assert (kind, int(size)) == (there.tensor_type.name.lower(), int(there.n_bytes))


def test_a_drawn_block_has_the_codes_of_the_file() -> None:
    weights = torch.randn(8, 32, generator=torch.Generator().manual_seed(5))
    there = rounding.coded(weights, 4)
    for row, codes, scale in zip(weights.tolist(), there.codes.tolist(), there.scales, strict=True):
        ours = figures_bridge.coded(row)
        assert ours == (pytest.approx(float(scale)), codes)
