"""Settings: where each value came from, and what is said about one that is wrong."""

import json
from dataclasses import dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab import settings
from alignlab.errors import ConfigError
from alignlab.recipes import settings as recipes_settings
from alignlab.recipes.settings import FAST, PipelineSettings
from alignlab.settings import OptimSettings, PPOSettings, SFTSettings, setting
from alignlab.settings.resolve import config_hash, dotted, from_dict, resolve, to_dict

from .scripts import studies_settings


@dataclass(frozen=True, kw_only=True)
class Oven:
    heat: float = setting(180.0, "degrees")
    fan: bool = setting(False, "moves the air")


@dataclass(frozen=True, kw_only=True)
class Cake:
    eggs: int = setting(3, "how many")
    kind: Literal["plum", "apple"] = setting("plum", "the fruit")
    name_of_baker: str = setting("", "who")
    oven: Oven = field(default_factory=lambda: Oven(heat=200.0))


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "cake.toml"
    file.write_text(text)
    return file


def test_flag_over_file_over_preset_over_default_with_the_origin_of_each(tmp_path):
    file = write(tmp_path, "eggs = 5\n[oven]\nfan = true\nheat = 150\n")
    preset = Cake(eggs=4, kind="apple", oven=Oven(heat=90.0))
    cake, origins = resolve(Cake, file=file, flags={"oven.heat": "1e2"}, preset=preset)
    assert cake == Cake(eggs=5, kind="apple", oven=Oven(heat=100.0, fan=True))
    assert origins == {
        "eggs": f"file {file}",
        "kind": "preset",
        "name_of_baker": "default",
        "oven.heat": "flag",
        "oven.fan": f"file {file}",
    }
    assert resolve(Cake)[0] == Cake() and set(resolve(Cake)[1].values()) == {"default"}


@pytest.mark.parametrize("typed", ["name_of_baker", "name-of-baker"])
def test_flags_have_dashes_or_underscores(typed):
    assert resolve(Cake, flags={typed: "Ann-Marie"})[0].name_of_baker == "Ann-Marie"
    with pytest.raises(ConfigError, match=f"--{typed}s"):
        resolve(Cake, flags={f"{typed}s": "Ann"})


@pytest.mark.parametrize(
    ("typed", "value"),
    [("true", True), ("Yes", True), ("1", True), ("FALSE", False), ("no", False), ("0", False)],
)
def test_truth_is_spelled_in_three_ways(typed, value):
    assert (
        resolve(Cake, flags={"oven.fan": typed}, preset=Cake(oven=Oven(fan=not value)))[0].oven.fan is value
    )


@pytest.mark.parametrize(
    ("typed", "value"),
    [("12", 12), ("-3", -3), ("1e6", 1_000_000), ("10_000", 10_000), ("9007199254740993", 2**53 + 1)],
)
def test_whole_numbers(typed, value):
    found = resolve(Cake, flags={"eggs": typed})[0].eggs
    assert found == value and type(found) is int


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("eggs", "3.5", "a whole number"),
        ("eggs", "three", "a whole number"),
        ("eggs", "inf", "a whole number"),
        ("eggs", "true", "a whole number"),
        ("oven.heat", "hot", "a number"),
        ("oven.heat", "nan", "a number"),
        ("oven.fan", "maybe", "true or false"),
        ("oven.fan", "2", "true or false"),
        ("kind", "pear", "one of plum, apple"),
        ("eggs", "", "a whole number"),
    ],
)
def test_a_wrong_value_is_named_with_its_key_and_what_was_expected(name, value, expected):
    with pytest.raises(ConfigError) as caught:
        resolve(Cake, flags={name: value})
    assert (
        caught.value.what == f"{name} = {value!r} is not {expected}"
        and caught.value.where == f"--{name}"
        and caught.value.exit_code == 3
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("eggs = true", "a whole number"),
        ("eggs = [1]", "a whole number"),
        ("eggs = 1.5", "a whole number"),
        ("name_of_baker = 3", "text"),
        ("name_of_baker = false", "text"),
        ("oven.heat = inf", "a number"),
        ("oven.heat = true", "a number"),
        ("kind = 3", "one of plum, apple"),
        ("oven.fan = 1979-05-27", "true or false"),
    ],
)
def test_a_wrong_value_in_a_file_too(tmp_path, line, expected):
    file = write(tmp_path, line)
    with pytest.raises(ConfigError, match=f"is not {expected}") as caught:
        resolve(Cake, file=file)
    assert caught.value.where == str(file)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("egs", "eggs"),
        ("oven.heet", "oven.heat"),
        ("heat", "oven.heat"),
        ("cake.eggs", "eggs"),
        ("oven", "oven."),
    ],
)
def test_an_unknown_name_gets_the_nearest_known_one_and_its_place(tmp_path, name, near):
    with pytest.raises(ConfigError, match=f"there is no setting '{name}'") as caught:
        resolve(Cake, flags={name: "1"})
    assert near in caught.value.remedy and caught.value.where == f"--{name}"
    file = write(tmp_path, f"{name} = 1")
    with pytest.raises(ConfigError) as caught:
        resolve(Cake, file=file)
    assert near in caught.value.remedy and caught.value.where == str(file)


def test_an_unknown_name_like_no_other():
    with pytest.raises(ConfigError) as caught:
        resolve(Cake, flags={"zzz": "1"})
    assert "--print-config" in caught.value.remedy


def test_the_table_of_the_command_wins_over_the_top_and_other_commands_tables_are_let_be(tmp_path):
    file = write(
        tmp_path,
        (
            "eggs = 2\n[oven]\nheat = 100\n[bake-cake]\neggs = 7\n[bake-cake.oven]\nfan = "
            "true\n[bread]\nflour = 500\n"
        ),
    )
    cake, origins = resolve(Cake, file=file, section="bake_cake")
    assert cake == Cake(eggs=7, oven=Oven(heat=100.0, fan=True)) and origins["eggs"] == f"file {file}"
    with pytest.raises(ConfigError, match="'bread.flour'|'bake_cake"):
        resolve(Cake, file=file)  # without a section nothing else belongs into the file
    assert resolve(Cake, file=file, section="bake_cake", sections=["bake-cake", "bread"])[0] == cake
    with pytest.raises(ConfigError, match=r"bread\.flour"):
        resolve(Cake, file=file, section="bake_cake", sections=["bake-cake"])
    only_bread = write(tmp_path, "[bread]\nflour = 500\n")
    assert resolve(Cake, file=only_bread, section="bake_cake", sections=["bread"])[0] == Cake()
    with pytest.raises(ConfigError, match=r"bread\.flour"):
        resolve(Cake, file=only_bread, section="bake_cake")


@pytest.mark.parametrize("text", ["egs = 1\n[cake]\neggs = 1", "[cake]\negs = 1", "[cake.ovn]\nheat = 1"])
def test_a_mistake_beside_or_in_the_table_is_found(tmp_path, text):
    with pytest.raises(ConfigError, match="there is no setting"):
        resolve(Cake, file=write(tmp_path, text), section="cake")


def test_a_file_that_is_missing_or_no_toml_or_has_no_table_where_one_is_needed(tmp_path):
    with pytest.raises(ConfigError, match="cannot read"):
        resolve(Cake, file=tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="not TOML") as caught:
        resolve(Cake, file=write(tmp_path, "eggs = = 3"))
    assert "line 1" in str(caught.value)
    with pytest.raises(ConfigError, match="not a table"):
        resolve(Cake, file=write(tmp_path, "cake = 3"), section="cake")


def test_dotted_names_have_type_default_and_help_and_nested_defaults_are_those_of_the_whole():
    known = dotted(Cake)
    assert list(known) == ["eggs", "kind", "name_of_baker", "oven.heat", "oven.fan"]
    assert (known["oven.heat"].type, known["oven.heat"].default, known["oven.heat"].help) == (
        float,
        200.0,
        "degrees",
    )
    assert (
        dotted(PipelineSettings)["unpenalised.kl_coef"].default == 0.0
        and dotted(PPOSettings)["optim.lr"].default != OptimSettings().lr
    )


def test_every_setting_of_every_stage_has_a_help_text_and_can_be_given_as_a_flag():
    rooms = (settings, recipes_settings, *studies_settings())
    kinds = {kind for room in rooms for kind in vars(room).values() if is_dataclass(kind)}
    kinds = {kind for kind in kinds if isinstance(kind, type)}
    assert len(kinds) > 10
    for kind in kinds:
        known = dotted(kind)
        assert not [f"{kind.__name__}.{name}" for name, one in known.items() if not one.help]
        config, origins = resolve(
            kind, flags={name.replace("_", "-"): str(one.default) for name, one in known.items()}
        )
        assert config == kind(), kind.__name__
        assert not [f"{kind.__name__}.{name}" for name in known if origins[name] != "flag"]


@given(
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.text(),
    st.sampled_from(["plum", "apple"]),
)
def test_settings_survive_json_and_flags(eggs, heat, fan, baker, kind):
    cake = Cake(eggs=eggs, kind=kind, name_of_baker=baker, oven=Oven(heat=heat, fan=fan))
    plain = json.loads(json.dumps(to_dict(cake)))
    assert from_dict(Cake, plain) == cake and config_hash(plain) == config_hash(to_dict(cake))
    flags = {
        "eggs": str(eggs),
        "kind": kind,
        "name-of-baker": baker,
        "oven.heat": repr(heat),
        "oven.fan": str(fan),
    }
    assert resolve(Cake, flags=flags)[0] == cake


def test_from_dict_fills_in_defaults_and_is_strict():
    assert from_dict(Cake, {"oven": {"fan": True}}) == replace(Cake(), oven=Oven(heat=200.0, fan=True))
    assert from_dict(PipelineSettings, to_dict(FAST)) == FAST
    with pytest.raises(ConfigError, match="'oven.fann'") as caught:
        from_dict(Cake, {"oven": {"fann": True}})
    assert "oven.fan" in caught.value.remedy


def test_the_hash_depends_on_every_value_and_not_on_the_order():
    plain = to_dict(SFTSettings())
    assert config_hash(plain) == config_hash(dict(reversed(plain.items()))) and len(config_hash(plain)) == 16
    hashes = {
        config_hash(to_dict(resolve(SFTSettings, flags={name: "3"})[0]))
        for name, known in dotted(SFTSettings).items()
        if known.type is int
    }
    assert len(hashes) == sum(known.type is int for known in dotted(SFTSettings).values())
    assert config_hash({"a": 1}) != config_hash({"a": 1.5}) != config_hash({"a": "1.5"})
