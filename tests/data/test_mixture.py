"""Mixtures: names that cannot be mistaken, shares that hold, draws that repeat."""

import json

import pytest

from alignlab import names
from alignlab.data.mixture import Source, mix, sources
from alignlab.errors import ConfigError, UserError
from alignlab.records import Demonstration, Prompt


def shown(tag, n):
    return [Demonstration(Prompt.user(f"{tag} {i}?"), f"{tag}.") for i in range(n)]


def tags(records):
    return [record.prompt.text.split()[0] for record in records]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mix:0.3=town:demos+0.7=a.jsonl", [("town:demos", 0.3), ("a.jsonl", 0.7)]),
        ("mix:1=C:\\data\\a.jsonl+3=owner/name", [("C:\\data\\a.jsonl", 1), ("owner/name", 3)]),
        ("mix:.5=c++/a+b=c.jsonl+2=runs/x,y", [("c++/a+b=c.jsonl", 0.5), ("runs/x,y", 2)]),
    ],
)
def test_names_are_read_as_they_are_meant(name, expected):
    assert sources(name) == [Source(data, weight) for data, weight in expected]


def test_files_name_paths_beside_them(tmp_path):
    (tmp_path / "a.jsonl").write_text("")
    (tmp_path / "m.toml").write_text(
        '[[source]]\ndata = "town:demos"\nweight = 1\n[[source]]\ndata = "a.jsonl"\nweight = 0.5\n'
    )
    expected = [Source("town:demos", 1), Source(str(tmp_path / "a.jsonl"), 0.5)]
    assert sources(f"mix:{tmp_path / 'm.toml'}") == expected
    (tmp_path / "m.json").write_text(
        json.dumps({"source": [{"data": "town:demos", "weight": 1}, {"data": "a.jsonl", "weight": 0.5}]})
    )
    assert sources(f"mix:{tmp_path / 'm.json'}") == expected
    (tmp_path / "m.json").write_text(
        json.dumps(
            {
                "source": [
                    {"data": "town:demos", "weight": 1},
                    {"data": "columns:prompt=q,completion=a:a.jsonl", "weight": 0.5},
                ]
            }
        )
    )
    assert (
        sources(f"mix:{tmp_path / 'm.json'}")[1].data
        == f"columns:prompt=q,completion=a:{tmp_path / 'a.jsonl'}"
    )


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("mix:nowhere.toml", "cannot be read"),
        ("mix:", "cannot be read"),
        ("mix:a.jsonl+0.5=b", "no weight"),
        ("mix:0=a+1=b", "weight of a is 0"),
        ("mix:1=a+2=a", "twice"),
        ("mix:1=+2=a", "no name"),
        ("mix:1=mix:2=a+1=b", "mixture cannot hold"),
    ],
)
def test_names_that_mean_nothing(name, says):
    with pytest.raises(ConfigError, match=says) as caught:
        sources(name)
    assert caught.value.where and caught.value.remedy


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[source]\n", "not TOML"),
        ("x = 1", "tables named source"),
        ('[[source]]\ndata = "a"\nwieght = 1', "'wieght'"),
        ('[[source]]\ndata = "a"', "needs data"),
        ('[[source]]\ndata = "a"\nweight = true', "needs data"),
        ("source = 3", "tables named"),
        ('[[source]]\ndata = "a"\nweight = nan', "weight of a is nan"),
        (f'[[source]]\ndata = "a"\nweight = {"9" * 400}', "more than 300 digits"),
        ('[[source]]\ndata = "a"\nweight = 1e-300', "weight of a is 1e-300"),
    ],
)
def test_files_that_mean_nothing(tmp_path, text, says):
    (tmp_path / "m.toml").write_text(text)
    with pytest.raises(ConfigError, match=says) as caught:
        sources(f"mix:{tmp_path / 'm.toml'}")
    assert "m.toml" in caught.value.where and caught.value.remedy


def test_shares_hold_and_nothing_is_repeated():
    parts = [(Source("a", 0.25), shown("a", 10)), (Source("b", 0.75), shown("b", 100))]
    mixed, said = mix(parts, seed=0)
    assert len(mixed) == 40 and tags(mixed).count("a") == 10 and len({r.prompt.id for r in mixed}) == 40
    assert "a: 10 of 10 (share 0.250, asked 0.250)" in said and "b: 30 of 100" in said
    assert mix(parts, seed=0)[0] == mixed and mix(parts, seed=1)[0] != mixed
    assert tags(mixed) != sorted(tags(mixed)), "the sources are shuffled into one another"
    assert set(tags(mixed[:10])) == {"a", "b"}
    few, said = mix(parts, seed=0, count=7)
    assert len(few) == 7 and sorted(tags(few)).count("a") == 2 and "7 records of 40 possible" in said


def test_what_two_sources_share_counts_once():
    both = shown("x", 5)
    mixed, said = mix(
        [(Source("a", 1), both + shown("a", 5)), (Source("b", 1), both + shown("b", 5))], seed=0
    )
    assert len(mixed) == len({r.prompt.id for r in mixed}) == 10 and "5 are in an earlier source" in said
    with pytest.raises(ConfigError, match="nothing of b"):
        mix([(Source("a", 1), both), (Source("b", 1), both)], seed=0)
    with pytest.raises(ConfigError, match="nothing of b"):
        mix([(Source("a", 99), shown("a", 20)), (Source("b", 1), shown("b", 20))], seed=0)


def test_a_mixture_is_data_like_any_other(tmp_path):
    file = tmp_path / "mine.jsonl"
    file.write_text(
        "".join(
            json.dumps({"prompt": f"Q{i}?", "chosen": "Yes.", "rejected": "No."}) + "\n" for i in range(30)
        )
    )
    name = f"mix:1=town:demos-clean+2={file}"
    assert names.data.kind(name) == "demonstration"
    found = names.data.read_data(name, "demonstration", seed=3)
    assert len(found.records) == 45 and sum(r.completion == "Yes." for r in found.records) == 30
    assert (
        found.digest
        == names.data.read_data(name, "demonstration", seed=3).digest
        != names.data.read_data(name, "demonstration", seed=4).digest
    )
    assert (
        "mine.jsonl: 30 rows (preference) -> 30 demonstrations" in found.report
        and "a mixture of 45 records" in found.report
    )
    assert len(names.data.read_data(name, "prompt", count=12).records) == 12
    with pytest.raises(
        UserError, match=r"holds demonstrations where comparisons are needed\n.*alignlab doctor"
    ):
        names.data.read_data(name, "comparison")
    assert found.runs == ()
