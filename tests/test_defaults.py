"""Defaults follow the model: the town's models keep the town's, any other gets the field's, and what somebody
gave wins.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alignlab import cli, settings
from alignlab.cli.commands import COMMANDS
from alignlab.recipes.settings import FAST, PipelineSettings
from alignlab.settings import AdapterSettings, SFTSettings
from alignlab.settings.defaults import (
    ANSWERING,
    LONGER,
    RATES,
    TOWN,
    TOWN_TEMPLATE,
    Known,
    followed,
    following,
    known,
)
from alignlab.settings.resolve import dotted, resolve
from alignlab.studies.over_optimisation_settings import FAST as FAST_STUDY
from alignlab.studies.over_optimisation_settings import OverOptimisation

from .scripts import ROOT

SMALL = {
    "hidden_size": 576,
    "num_hidden_layers": 30,
    "intermediate_size": 1536,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "max_position_embeddings": 2048,
}
EIGHT = {
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
}
SEVENTY = EIGHT | {
    "hidden_size": 8192,
    "num_hidden_layers": 80,
    "intermediate_size": 28672,
    "num_attention_heads": 64,
}


def model(folder: Path, config: dict[str, Any] | str, **files: Any) -> str:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    for name, value in files.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    return str(folder)


def test_a_model_of_the_town_keeps_every_default_of_every_command() -> None:
    for command in COMMANDS.values():
        for kind in {one.settings for one in (command, *command.kinds.values()) if one.settings}:
            for name in ("town", "town-s", "", "bot:clean"):
                assert followed(kind(), name) == kind()
                assert resolve(kind, following=following(name))[0] == kind()


@pytest.mark.parametrize(
    ("config", "about"),
    [(SMALL, 135e6), (EIGHT, 8e9), (SEVENTY, 70e9), (EIGHT | {"num_local_experts": 8}, 47e9)],
)
def test_the_size_of_a_model_is_told_from_its_config(
    config: dict[str, Any], about: float, tmp_path: Path
) -> None:
    found = known(model(tmp_path / "m", config))
    assert (
        not found.town
        and 0.8 < found.parameters / about < 1.2
        and found.context == config["max_position_embeddings"]
    )
    assert known(model(tmp_path / "nested", {"model_type": "gemma3", "text_config": config})) == found


@pytest.mark.parametrize("kind", RATES)
def test_every_method_gets_its_own_rate_by_size_and_adapter(kind: type, tmp_path: Path) -> None:
    names = {
        place: model(tmp_path / place, config)
        for place, config in (("small", SMALL), ("middle", EIGHT), ("large", SEVENTY))
    }
    for place, name in names.items():
        found, origins = resolve(kind, following=following(name))
        assert found.optim.lr == getattr(RATES[kind], place) < kind().optim.lr / 5
        assert "all weights of a model that is not the town's" in origins["optim.lr"]
    found, origins = resolve(kind, flags={"adapter.rank": "8"}, following=following(names["small"]))
    assert (
        found.optim.lr == RATES[kind].lora > RATES[kind].small
        and origins["optim.lr"] == "default for LoRA on a model that is not the town's"
    )


def test_no_stage_that_trains_a_model_of_others_is_forgotten() -> None:
    own = (settings.PretrainSettings, settings.CriticSettings)  # which only the town's models are trained by
    kinds = {
        one.settings
        for command in COMMANDS.values()
        for one in (command, *command.kinds.values())
        if one.settings
    }
    assert {kind for kind in kinds if "optim.lr" in dotted(kind)} == {*RATES, *own}
    assert {kind for kind in kinds if "max_length" in dotted(kind)} == set(LONGER)
    assert set(ANSWERING) < {kind for kind in kinds if "sampling.max_new_tokens" in dotted(kind)}


def test_lengths_keep_within_the_context(tmp_path: Path) -> None:
    wide, narrow, unknown = (
        model(tmp_path / str(i), config)
        for i, config in enumerate((SMALL, SMALL | {"max_position_embeddings": 256}, {}))
    )
    assert [followed(SFTSettings(), name).max_length for name in (wide, narrow, unknown)] == [1024, 256, 1024]
    assert [
        followed(settings.PPOSettings(), name).sampling.max_new_tokens for name in (wide, narrow, unknown)
    ] == [256, 128, 256]


def test_what_somebody_gave_wins_and_settings_within_settings_follow_too(tmp_path: Path) -> None:
    name = model(tmp_path / "m", SMALL)
    file = tmp_path / "s.toml"
    file.write_text("max_length = 77\n[optim]\nlr = 0.0007\n")
    found, origins = resolve(SFTSettings, file=file, flags={"epochs": "2"}, following=following(name))
    assert found == replace(SFTSettings(), max_length=77) and origins["optim.lr"] == f"file {file}"
    assert (
        resolve(SFTSettings, flags={"optim.lr": "7e-4"}, following=following(name))[1]["optim.lr"] == "flag"
    )
    for preset in (FAST, FAST_STUDY):
        kind = type(preset)
        found, origins = resolve(kind, preset=preset, following=following(name))
        assert (
            found.ppo.optim.lr == RATES[settings.PPOSettings].small
            if kind is PipelineSettings
            else found.dpo.optim.lr == RATES[settings.DPOSettings].small
        )
        assert found.sft.max_length == 1024 and found == followed(preset, name)
    lora = replace(OverOptimisation(), sft=SFTSettings(adapter=AdapterSettings(rank=4)))
    assert (
        followed(lora, name).sft.optim.lr == RATES[SFTSettings].lora
        and followed(lora, name).dpo.optim.lr == RATES[settings.DPOSettings].small
    )


def test_whatever_was_trained_from_the_town_is_the_towns(tmp_path: Path) -> None:
    trained = tmp_path / "run" / "checkpoint"
    model(trained, SMALL)
    (trained / "chat_template.jinja").write_bytes(TOWN_TEMPLATE.read_bytes())
    (tmp_path / "run" / "run.json").write_text("{}")
    assert known(str(tmp_path / "run")) == known(str(trained)) == Known(True)
    on_it = model(tmp_path / "adapter", SMALL, adapter_config={"base_model_name_or_path": str(trained)})
    assert known(on_it) == Known(True)
    elsewhere = model(tmp_path / "other", EIGHT)
    assert known(
        model(tmp_path / "adapter-2", SMALL, adapter_config={"base_model_name_or_path": elsewhere})
    ) == known(elsewhere)


@pytest.mark.parametrize(
    "config",
    [
        "",
        "[1]",
        '{"hidden_size": "many", "num_hidden_layers": -3, "max_position_embeddings": true}',
        "{" * 5000,
        '{"text_config": 3}',
    ],
)
def test_a_config_that_is_rubbish_tells_nothing(config: str, tmp_path: Path) -> None:
    found = known(model(tmp_path / "m", config))
    assert not found.town and found.parameters < 1e6 and found.context == 0
    assert followed(SFTSettings(), str(tmp_path / "m")).optim.lr == RATES[SFTSettings].small


def test_the_hub_is_asked_for_a_name_that_was_given_and_not_for_one_in_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    asked: dict[str, bool] = {}

    def download(name: str, _: str, *, local_files_only: bool) -> str:
        asked[name] = not local_files_only
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "somebody/elses"}')
    known(str(tmp_path))
    known("owner/name")
    assert asked == {"somebody/elses": False, "owner/name": True}


def test_adapters_in_a_circle_end(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    for one, other in ((a, b), (b, a)):
        model(one, SMALL, adapter_config={"base_model_name_or_path": str(other)})
    assert not known(str(a)).town
    assert not known(str(tmp_path / "nowhere")).town


def test_print_config_says_where_each_came_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = model(tmp_path / "m", SMALL)

    def asked(*words: str) -> dict[str, Any]:
        assert cli.main([*words, "--print-config", "--json"]) == 0
        settings = json.loads(capsys.readouterr().out)["settings"]
        for row in settings.values():
            row.pop("range", None)
        return settings

    assert asked("sft")["optim.lr"] == {"value": 7e-4, "from": TOWN}
    assert asked("sft", "--model", name)["optim.lr"] == {
        "value": 2e-5,
        "from": "default for all weights of a model that is not the town's (below 5B)",
    }
    assert asked("dpo", "--model", name, "--adapter.rank", "16")["optim.lr"] == {
        "value": 5e-6,
        "from": "default for LoRA on a model that is not the town's",
    }
    assert asked("redteam", name)["sft.optim.lr"]["value"] == 2e-5
    assert asked("redteam", "attacker", name)["sft.optim.lr"]["value"] == SFTSettings().optim.lr, (
        "the attacker is the town's, only its target is not"
    )
    assert asked("redteam", "attacker", "town", "--start", name)["sft.optim.lr"]["value"] == 2e-5
    assert asked("run", "--model", name, "--fast")["dpo.max_length"] == {
        "value": 1024,
        "from": "default for a model that is not the town's",
    }


def test_recipes_do_not_take_what_followed_the_model_for_a_wish(tmp_path: Path) -> None:
    from alignlab.recipes.catalogue import RECIPES
    from alignlab.recipes.catalogue import check as check_recipe

    name = model(tmp_path / "m", SMALL)
    for recipe in RECIPES:
        check_recipe(recipe, followed(PipelineSettings(), name), followed(PipelineSettings(), name))


def test_the_page_shows_the_rates_as_they_are() -> None:
    page = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    table = page[page.index("## Defaults follow the model") :].split("\n\n")[2]
    rows = {
        name: cells
        for line in table.splitlines()[2:]
        for cells in [[cell.strip() for cell in line.strip("|").split("|")]]
        for name in cells[0].split(", ")
    }
    for kind, rates in RATES.items():
        name = next(name for name, command in COMMANDS.items() if command.settings is kind)
        assert [float(cell) for cell in rows[name][2:6]] == [
            rates.small,
            rates.middle,
            rates.large,
            rates.lora,
        ], name
        assert kind().optim.lr in map(float, rows[name][1].split(", "))
