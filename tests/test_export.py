"""`alignlab export`: any data name into a file that others read."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from alignlab import cli
from alignlab.data import load_records
from alignlab.models.load import load_policy, load_reward_model
from alignlab.models.saving import save_policy, save_reward_model
from alignlab.settings import AdapterSettings, ModelSettings
from alignlab.town import base


def run(*words, capsys):
    code = cli.main([str(word) for word in words])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def test_town_demonstrations_into_every_ending(tmp_path, capsys):
    for ending, format in (
        (".jsonl", "trl"),
        (".json", "sharegpt"),
        (".csv", "alpaca"),
        (".parquet", "messages"),
    ):
        code, out, err = run(
            "export",
            "--data",
            "town:demos",
            "--count",
            60,
            "--format",
            format,
            "--out",
            tmp_path / f"a{ending}",
            capsys=capsys,
        )
        rows = 58 if ending == ".csv" else 60  # two go on over several turns
        assert code == 0 and f"60 records -> {rows} rows" in out and f"notes of {rows}" in out, err
        assert load_records(tmp_path / f"a{ending}", "demonstration").report.kept == rows
    assert (
        "2 with a list, which CSV cannot hold"
        in run(
            "export",
            "--data",
            "town:demos",
            "--count",
            60,
            "--format",
            "alpaca",
            "--out",
            tmp_path / "b.csv",
            capsys=capsys,
        )[1]
    )


def test_a_document_of_what_was_done_and_no_overwriting(tmp_path, capsys):
    rows = [
        {"prompt": "Q?", "completions": ["a", "b", "c"], "ranks": [1, 2, 2]},
        {"prompt": "P?", "completions": ["a", "b"], "scores": [0, 1]},
    ]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = (
        "export",
        "--data",
        tmp_path / "r.jsonl",
        "--format",
        "hh",
        "--out",
        tmp_path / "hh.jsonl",
        "--json",
    )
    code, out, _ = run(*words, capsys=capsys)
    document = json.loads(out)
    assert code == 0 and (
        document["schema"],
        document["kind"],
        document["read"],
        document["written"],
        document["left_out"],
    ) == (1, "ranking", 2, 3, {"a tie": 1})
    code, _, err = run(*words, capsys=capsys)
    assert code == 2 and "there already" in err and "--overwrite" in err
    assert run(*words, "--overwrite", capsys=capsys)[0] == 0


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (
            ("--data", "town:demos", "--format", "hh", "--out", "x.jsonl"),
            4,
            "demonstration cannot be read as a comparison",
        ),
        (("--data", "town:demos", "--out", "x.txt"), 2, "ending in .txt"),
        (("--data", "town:demos"), 2, "a file"),
        (("--data", "nowhere.jsonl", "--out", "x.jsonl"), 4, "no such file"),
        (("--data", "town:demos", "--format", "trll", "--out", "x.jsonl"), 2, "did you mean trl"),
    ],
)
def test_mistakes(tmp_path, monkeypatch, capsys, words, code, says):
    monkeypatch.chdir(tmp_path)
    found, _, err = run("export", "--count", 5, *words, capsys=capsys)
    assert found == code and says in err, err
    assert not list(tmp_path.iterdir())


# models without adapters

CPU = ModelSettings(device="cpu", precision="fp32")
IDS = torch.tensor([[5, 9, 40, 77, 300]])


def learnt(model):
    """As after training: an adapter that does something."""
    with torch.no_grad():
        for i, (name, p) in enumerate(model.named_parameters()):
            if "lora_B" in name or name.endswith("modules_to_save.default.weight"):
                p.add_(0.02 * torch.randn(p.shape, generator=torch.Generator().manual_seed(i)))
    return model.eval()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A policy's adapter, one on it, a reward model's adapter on that, and a whole reward model."""
    folder, lora = tmp_path_factory.mktemp("models"), AdapterSettings(rank=2)
    for name, below in (("one", base.shipped("town-s")), ("two", folder / "one")):
        policy = load_policy(below, CPU, lora, trainable=True)
        learnt(policy.model)
        save_policy(policy, folder / name, card="")
    for name, adapter in (("reward", lora), ("whole-reward", None)):
        scorer = load_reward_model(folder / "two", CPU, init_head=True, adapter=adapter, trainable=True)
        learnt(scorer.model)
        scorer.normalize(1.5, 0.5)
        save_reward_model(scorer, folder / name, card="")
    return folder


@pytest.mark.parametrize("name", ["one", "two", "town-s"])
def test_a_policy_without_its_adapters(made, tmp_path, capsys, name):
    model = name if name == "town-s" else made / name
    code, out, err = run(
        "export", "--merge", "--model", model, "--out", tmp_path / "deep" / "plain", "--json", capsys=capsys
    )
    document = json.loads(out)
    assert (
        code == 0 and document["bytes"] == (tmp_path / "deep" / "plain" / "model.safetensors").stat().st_size
    ), err
    assert not {"adapter_config.json", "alignlab.json"} & {
        file.name for file in (tmp_path / "deep" / "plain").iterdir()
    }
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["plain"]
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "deep" / "plain")
    assert theirs.dtype == torch.float32 and theirs.config.tie_word_embeddings
    ours = load_policy(base.shipped(name) if name == "town-s" else model, CPU)
    torch.testing.assert_close(theirs(IDS).logits, ours.model(IDS).logits, atol=1e-4, rtol=0)
    assert load_policy(tmp_path / "deep" / "plain", CPU).end_ids == ours.end_ids


@pytest.mark.parametrize("name", ["reward", "whole-reward"])
def test_a_reward_model_without_its_adapters(made, tmp_path, capsys, name):
    code, _, err = run(
        "export", "--merge", "--model", made / name, "--out", tmp_path / "plain", capsys=capsys
    )
    assert code == 0, err
    wanted = load_reward_model(made / name, CPU)
    again = load_reward_model(tmp_path / "plain", CPU)
    assert (again.mean, again.std) == (1.5, 0.5)
    for model in (again.model, AutoModelForSequenceClassification.from_pretrained(tmp_path / "plain")):
        torch.testing.assert_close(model(IDS).logits, wanted.model(IDS).logits, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--merge", "--out", "x"), 2, "a model and a folder"),
        (("--merge", "--model", "town-s"), 2, "a model and a folder"),
        (("--merge", "--model", "town-s", "--out", "there"), 2, "there already"),
        (("--merge", "--model", "town-s", "--out", "link"), 2, "there already"),
        (("--merge", "--model", "town-s", "--out", "there", "--overwrite"), 3, "never replaced"),
        (("--merge", "--gguf", "--model", "town-s", "--out", "x.gguf"), 3, "--gguf"),
        (("--merge", "--data", "town:demos", "--out", "x"), 3, "--merge writes a model"),
        (("--merge", "--quantize", "f16", "--model", "town-s", "--out", "x"), 3, "--quantize"),
        (("--model", "town-s", "--out", "x"), 3, "--merge"),
        (("--merge", "--model", "./nowhere", "--out", "deep/x"), 4, "there is no model"),
    ],
)
def test_mistakes_with_merge(tmp_path, monkeypatch, capsys, words, code, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    found, _, err = run("export", *words, capsys=capsys)
    assert found == code and says in err, err
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["link", "there"]
