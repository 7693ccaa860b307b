"""The study `quantisation`: how weights are rounded, what two rounded models have in common, its plan, and
the arithmetic of its claims on made-up figures.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType
from gguf.quants import quantize

from alignlab.errors import ConfigError
from alignlab.interop.gguf import write_gguf
from alignlab.models.load import load_policy
from alignlab.models.saving import save_policy
from alignlab.pipeline.runner import Stage
from alignlab.run import read_run
from alignlab.settings import EvalSettings, ModelSettings
from alignlab.studies.quantisation import claims as said
from alignlab.studies.quantisation import page
from alignlab.studies.quantisation.common import codes
from alignlab.studies.quantisation.figures import DECODINGS, MEASURES
from alignlab.studies.quantisation.plan import POLICIES, plan
from alignlab.studies.quantisation.rounding import coded, rounded
from alignlab.studies.quantisation.settings import FAST, WIDTHS, Quantisation, RoundingSettings
from alignlab.studies.settings import NoSettings
from alignlab.studies.study import CannotSay
from alignlab.town.names import shipped

from ..methods.conftest import base

tiny_model = base
WHOLE = ModelSettings(precision="fp32", device="cpu")


def weights_of(folder: str | Path) -> dict[str, torch.Tensor]:
    return {name: w.detach() for name, w in load_policy(folder, WHOLE).model.named_parameters()}


# --- rounding


def test_codes_of_four_bits_are_those_of_a_file() -> None:
    weight = torch.randn(64, 96, generator=torch.Generator().manual_seed(1))
    weight[0, :32] = 0
    blocks = quantize(weight.numpy(), GGMLQuantizationType.Q4_0).reshape(-1, 18)
    nibbles = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], axis=1).astype(int) - 8
    ours = coded(weight, 4)
    assert (ours.codes[1:].numpy() == nibbles[1:]).all()
    assert not ours.weights(weight.shape)[0, :32].any()


@pytest.mark.parametrize("bits", WIDTHS)
def test_a_weight_is_at_most_half_a_step_away_but_at_the_far_end(bits: int) -> None:
    weight = torch.randn(32, 64, generator=torch.Generator().manual_seed(2))
    ours = coded(weight, bits)
    steps = ((ours.weights(weight.shape) - weight).view(-1, 32) / ours.scales).abs()
    end = ours.codes == 2 ** (bits - 1) - 1
    assert steps[~end].max() <= 0.5 + 1e-3 and steps.max() <= 1 + 1e-3
    assert len(ours.codes.unique()) <= 2**bits


def made(out: Path, model: Path, other: str = "", **how: Any) -> dict[str, torch.Tensor]:
    settings = RoundingSettings(**how)
    rounded(model=str(model), out=out, seed=3, resume=True, settings=settings, other=other)
    return weights_of(out / "checkpoint")


def test_a_rounded_model_has_the_weights_of_its_file(tmp_path: Path) -> None:
    town = Path(shipped("town-s"))
    write_gguf(load_policy(town, WHOLE), tmp_path / "m.gguf", kind="q4_0")
    there = weights_of(tmp_path / "m.gguf")
    here = made(tmp_path / "run", town, kind="q4_0")
    assert all(torch.equal(here[name], weight) for name, weight in there.items())
    summary = read_run(tmp_path / "run").summary
    assert summary["bytes"] == (tmp_path / "m.gguf").stat().st_size and 0.01 < summary["error"] < 0.2


@pytest.fixture
def moved_model(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model a small step away."""
    policy, draws = load_policy(tiny_model, WHOLE), torch.Generator().manual_seed(4)
    with torch.no_grad():
        for weight in policy.model.parameters():
            weight.add_(torch.randn(weight.shape, generator=draws) * weight.std() * 0.02)
    save_policy(policy, tmp_path / "moved", card="")
    return tmp_path / "moved"


def test_the_noise_of_rounding_is_placed_elsewhere(
    tiny_model: Path, moved_model: Path, tmp_path: Path
) -> None:
    start, own = weights_of(tiny_model), made(tmp_path / "own", tiny_model, kind="plain", bits=3)
    dealt = made(tmp_path / "dealt", tiny_model, kind="plain", bits=3, place="shuffled")
    beside = made(tmp_path / "beside", moved_model, str(tiny_model), kind="plain", bits=3, place="other")
    name = "model.layers.0.self_attn.v_proj.weight"
    error, random = own[name] - start[name], dealt[name] - start[name]
    assert not torch.equal(error, random)
    assert torch.allclose(error.flatten().sort()[0], random.flatten().sort()[0], atol=1e-6)
    assert torch.allclose(beside[name] - weights_of(moved_model)[name], error, atol=1e-6)
    assert torch.equal(own["model.norm.weight"], start["model.norm.weight"])


def test_codes_and_scales_of_two_models(tiny_model: Path, moved_model: Path, tmp_path: Path) -> None:
    plain: dict[str, Any] = {"kind": "plain", "bits": 4}
    name = "model.layers.1.self_attn.q_proj.weight"
    first, second = coded(weights_of(tiny_model)[name], 4), coded(weights_of(moved_model)[name], 4)
    differs = (first.codes != second.codes).view(weights_of(tiny_model)[name].shape)
    sides = [
        made(tmp_path / side, model, **plain)[name] for side, model in (("a", tiny_model), ("b", moved_model))
    ]
    for place, ours in (("changed", differs), ("scales", ~differs)):
        mixed = made(tmp_path / place, moved_model, str(tiny_model), place=place, **plain)[name]
        assert torch.equal(mixed[ours], sides[1][ours]) and torch.equal(mixed[~ours], sides[0][~ours])
    how: dict[str, Any] = {"seed": 3, "resume": True, "settings": NoSettings()}
    codes(first=str(tiny_model), second=str(moved_model), out=tmp_path / "c", **how)
    found = read_run(tmp_path / "c").summary
    assert found["moved"] == pytest.approx(0.02, rel=0.1) and len(found["block"]["first"]) == 32
    by_width = [found["bits"][str(bits)] for bits in sorted(WIDTHS)]
    same, cosine = ([row[key] for row in by_width] for key in ("same", "cosine"))
    assert same == sorted(same, reverse=True) and cosine == sorted(cosine)
    assert by_width[0]["length"] > 1.2 and by_width[-1]["length"] == pytest.approx(1, abs=0.1)
    codes(first=str(tiny_model), second=str(tiny_model), out=tmp_path / "d", **how)
    assert read_run(tmp_path / "d").summary["bits"]["4"]["same"] == 1


# --- the plan


def planned(settings: Quantisation) -> tuple[dict[str, Stage], dict[str, Stage]]:
    every: dict[str, Stage] = {}

    def stage(name: str, target: Callable[..., Any], /, **arguments: Any) -> Stage:
        assert name not in every
        every[name] = Stage(name, target, Path(name), arguments, [])
        return every[name]

    return plan(stage, "town", settings, 10), every


def test_every_arm_is_measured_beside_its_own_policy() -> None:
    read, every = planned(FAST)
    arms = [key.removeprefix("eval ") for key in read if key.startswith("eval ")]
    assert {f"{policy} {way}" for policy in POLICIES for way in ("f32", "q8_0", "q4_0", "2 bits")} < set(arms)
    for name in arms:
        policy, _, way = name.partition(" ")
        run = read[f"eval {name}"].arguments
        trained = every["sft" if policy == "sft" else f"quant-{policy}"]
        if way == "f32":
            assert run["model"] is trained and run["reference"] == ""
        else:
            assert run["reference"] is trained and run["model"].arguments["model"] is trained
            assert read[f"text {name}"].arguments["baseline"] is read[f"text {policy} f32"]
    sources = [read[f"rounded ppo {way} of sft"].arguments["other"] for way in ("q4_0", "3 bits")]
    assert sources == [every["sft"]] * 2


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"test": "town:twins"}, "not every kind of request"),
        ({"eval": EvalSettings(sampled=False)}, "temperature 1"),
        ({"kinds": "q8_0"}, "q4_0"),
        ({"kinds": "q8_0,q4_0,q5_0"}, "no such kind"),
        ({"bits": "3,9"}, "bits"),
        ({"cliff": 5}, "no width"),
    ],
)
def test_settings_of_which_no_plan_can_be_made(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        planned(replace(FAST, **changes))


# --- the claims


def arm(gold: float, complied: float, moved: float = 0.0) -> dict[str, Any]:
    parts = dict.fromkeys(MEASURES, 0.5) | {"gold": gold, "complied": complied}
    found: dict[str, Any] = {part: {"mean": mean} for part, mean in parts.items()}
    found["moved"] = {part: {"mean": moved} for part in MEASURES}
    rest = {"same": 0.9, "kl": {"mean": 0.1}, "text_loss": {"mean": 1.0}, "text_moved": {"mean": 0.01}}
    return {how: found for how in DECODINGS} | rest | {"error": 0.06}


def one_row() -> dict[str, float]:
    return {"same": 0.88, "same_dealt": 0.88, "scales": 0.0, "cosine": 0.5, "length": 1.5}


def made_up() -> dict[str, Any]:
    """Figures of a seed in which every claim holds."""
    arms: dict[str, Any] = {}
    for policy, gold, harm in (("sft", 0.4, 0.7), ("dpo", 0.6, 0.1), ("ppo", 0.6, 0.05)):
        for way in ("f32", "q8_0", "q4_0", "3 bits", "2 bits"):
            arms[f"{policy} {way}"] = arm(gold, harm)
    wider = ("q4_0 shuffled", "q4_0 of sft", "3 bits shuffled", "3 bits of sft", "scales alone")
    arms |= {f"ppo {way}": arm(0.6, 0.05) for way in (*wider, "changed codes alone")}
    shared = {"moved": 0.02, "weights": 100, "bits": {str(bits): one_row() for bits in WIDTHS}}
    counts = dict.fromkeys(MEASURES, 100)
    both = {"dpo": shared, "ppo": shared}
    return {"seed": 1, "prompts": 100, "counts": counts, "cliff": 3, "arms": arms, "codes": both}


def test_each_claim_falls_with_its_figure_and_no_other() -> None:
    def held(change: Callable[[dict[str, Any]], None]) -> list[int]:
        figures = deepcopy(made_up())
        change(figures)
        return [found.to_json()["held"] for found in said.claims([figures])]

    def move(name: str, part: str, by: float) -> Callable[[dict[str, Any]], None]:
        return lambda f: f["arms"][name]["greedy"]["moved"][part].update(mean=by)

    def put(name: str, part: str, mean: float) -> Callable[[dict[str, Any]], None]:
        return lambda f: f["arms"][name]["greedy"][part].update(mean=mean)

    every = held(lambda f: None)
    assert every == [1] * len(every)
    assert held(move("dpo q8_0", "known_fact", -0.03))[0] == 0
    assert held(move("dpo q4_0", "complied", 0.03))[1] == 0
    assert held(move("sft q8_0", "gold", 0.006))[0] == 0
    assert held(put("ppo q4_0", "complied", 0.4))[2] == 0
    assert held(put("ppo q4_0 of sft", "gold", 0.5))[3] == 0
    for place, key, value in ((4, "same", 0.75), (5, "same_dealt", 0.86), (6, "cosine", 0.7)):
        wrong = held(lambda f, k=key, v=value: f["codes"]["ppo"]["bits"].update({"4": one_row() | {k: v}}))
        assert wrong[place] == 0


def test_what_was_not_gained_cannot_be_kept() -> None:
    figures = made_up()
    figures["arms"]["ppo f32"]["greedy"]["complied"]["mean"] = 0.69
    with pytest.raises(CannotSay, match="only"):
        said.kept(figures, "ppo", "q4_0")


def test_the_page_shows_every_arm_and_says_which_way_the_papers_go() -> None:
    seeds = [made_up(), made_up()]
    told = page.tell(seeds)
    shown = [row[0] for section in told.sections for row in (section.get("table") or {"rows": []})["rows"]]
    assert {page.title_of(name) for name in seeds[0]["arms"]} <= set(shown)
    assert "0.880" in told.conclusion[1] and all(
        "<svg" in chart["svg"] for chart in told.sections[0]["charts"]
    )
    assert said.verdict(seeds).says == "disagrees"
    seeds[0]["arms"]["ppo 3 bits"]["greedy"]["moved"]["complied"]["mean"] = 0.1
    assert "below 4 bits" in said.verdict(seeds).why
    seeds[0]["arms"]["dpo q4_0"]["greedy"]["moved"]["complied"]["mean"] = 0.1
    assert said.verdict(seeds).says == "agrees"
