"""An adapter folder of ours opens in plain PEFT and plain transformers, from anywhere; what it names is
looked up on this machine alone.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import (
    AutoPeftModelForCausalLM,
    AutoPeftModelForSequenceClassification,
    LoraConfig,
    PeftModel,
    get_peft_model,
)
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from alignlab import cli
from alignlab.errors import ModelError
from alignlab.interop.gguf import write_gguf
from alignlab.models.forward import token_logprobs_of
from alignlab.models.load import load_policy, load_reward_model
from alignlab.models.reader import load_reader
from alignlab.models.saving import save_policy, save_reward_model
from alignlab.settings import AdapterSettings

from .conftest import gpt2, last_token_scores, llama
from .test_adapters import CPU, LORA, taught_policy, taught_reward

HEAD = AdapterSettings(rank=3, alpha=7, target="q_proj, lm_head")
OTHERS = {
    "same": LORA,
    "another rank and scale": AdapterSettings(rank=3, alpha=7),
    "other layers": AdapterSettings(rank=2, alpha=3, target="q_proj, down_proj"),
    "the head too": HEAD,
    "the embedding too": AdapterSettings(rank=2, target="q_proj, embed_tokens"),
}


def logprobs(model: Any, batch: Any) -> torch.Tensor:
    return token_logprobs_of(model.eval(), batch)


def close(found: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(found, wanted, atol=3e-5, rtol=0)


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_peft_and_transformers_open_any_adapter_from_anywhere(tmp_path, monkeypatch, tokenizer, kind, depth):
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    {"llama": llama, "gpt2": gpt2}[kind]().save_pretrained("../base")
    tokenizer.save_pretrained("../base")
    ref = "../base"
    for i in range(depth):
        policy, batch = taught_policy(ref)
        save_policy(policy, Path(ref := f"../{i}"), card="")
    wanted = logprobs(policy.model, batch)
    monkeypatch.chdir("/")
    folder = tmp_path / ref.removeprefix("../")
    config = json.loads((folder / "adapter_config.json").read_text())
    assert (
        config["base_model_name_or_path"] == str(tmp_path / "base") and not (folder / "config.json").exists()
    )
    assert config["r"] == depth * 4 and config["lora_alpha"] == depth * 8, "the scale is as it was"
    close(logprobs(AutoPeftModelForCausalLM.from_pretrained(folder), batch), wanted)
    close(
        logprobs(
            PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tmp_path / "base"), folder), batch
        ),
        wanted,
    )
    theirs = AutoModelForCausalLM.from_pretrained(folder).eval()
    assert (
        theirs(batch.ids_BT, attention_mask=batch.attention_mask_BT).logits
        - policy.model(batch.ids_BT, attention_mask=batch.attention_mask_BT).logits
    )[batch.attention_mask_BT.bool()].abs().max() < 2e-4
    close(logprobs(load_policy(folder, CPU).model, batch), wanted)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("other", OTHERS)
def test_adapters_of_other_ranks_and_layers_become_one(folder, tmp_path, other):
    for name, below, settings in (
        ("1", folder, LORA),
        ("2", tmp_path / "1", OTHERS[other]),
        ("3", tmp_path / "2", LORA),
    ):
        policy, batch = taught_policy(below, adapter=settings)
        save_policy(policy, tmp_path / name, card="")
    wanted = logprobs(policy.model, batch)
    close(logprobs(AutoPeftModelForCausalLM.from_pretrained(tmp_path / "3"), batch), wanted)
    close(logprobs(load_policy(tmp_path / "3", CPU).model, batch), wanted)
    more, _ = taught_policy(tmp_path / "3", adapter=None)  # and it trains on as one
    save_policy(more, tmp_path / "4", card="")
    close(
        logprobs(AutoPeftModelForCausalLM.from_pretrained(tmp_path / "4"), batch), logprobs(more.model, batch)
    )
    assert (logprobs(more.model, batch) - wanted).abs().max() > 0.01


@pytest.mark.filterwarnings("ignore")
def test_a_layer_that_is_held_in_full_below_an_adapter_on_it(folder, tmp_path):
    theirs = get_peft_model(
        AutoModelForCausalLM.from_pretrained(folder),
        LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["lm_head"], task_type="CAUSAL_LM"),
    )
    with torch.no_grad():
        for name, p in theirs.named_parameters():
            if "modules_to_save" in name:
                p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(0)))
    theirs.save_pretrained(tmp_path / "theirs")
    policy, batch = taught_policy(tmp_path / "theirs", adapter=HEAD)
    save_policy(policy, tmp_path / "ours", card="")
    close(
        logprobs(AutoPeftModelForCausalLM.from_pretrained(tmp_path / "ours"), batch),
        logprobs(policy.model, batch),
    )


@pytest.mark.parametrize(
    "options", [{"use_dora": True}, {"bias": "lora_only"}, {"trainable_token_indices": [1, 2]}]
)
def test_kinds_that_cannot_be_put_together_are_said_before_training(folder, tmp_path, options):
    theirs = get_peft_model(
        AutoModelForCausalLM.from_pretrained(folder),
        LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM", **options),
    )
    theirs.save_pretrained(tmp_path / "theirs")
    load_policy(tmp_path / "theirs", CPU)
    load_policy(tmp_path / "theirs", CPU, trainable=True)  # going on with it is no trouble
    with pytest.raises(ModelError, match="cannot be saved together") as caught:
        load_policy(tmp_path / "theirs", CPU, LORA, trainable=True)
    assert "export --merge" in caught.value.remedy


def test_reward_adapters_keep_their_scale_and_open_elsewhere(folder, tmp_path):
    policy, _ = taught_policy(folder)
    save_policy(policy, tmp_path / "sft", card="")
    ref, made = tmp_path / "sft", None
    for name in ("reward", "value"):
        made, batch = taught_reward(ref, init_head=name == "reward")
        made.normalize(1.5, 0.25)
        made.model.config.cost_model = True
        save_reward_model(made, ref := tmp_path / name, card="")
        assert not (ref / "config.json").exists()
        wanted = last_token_scores(made.model, batch)
        again = load_reward_model(ref, CPU)
        assert (again.mean, again.std, again.model.config.cost_model) == (1.5, 0.25, True)
        theirs = [
            AutoPeftModelForSequenceClassification.from_pretrained(ref, num_labels=1),
            AutoModelForSequenceClassification.from_pretrained(ref, num_labels=1),
        ]
        for model in theirs:
            model.config.pad_token_id = made.pad_id
            torch.testing.assert_close(
                model.eval()(input_ids=batch.ids_BT, attention_mask=batch.attention_mask_BT).logits[:, 0],
                wanted,
                atol=1e-5,
                rtol=0,
            )


def test_a_scale_that_is_no_number(folder, tmp_path):
    made, _ = taught_reward(folder)
    save_reward_model(made, tmp_path / "reward", card="")
    notes = json.loads((tmp_path / "reward" / "alignlab.json").read_text())
    whole = load_reward_model(folder, CPU, init_head=True)
    save_reward_model(whole, tmp_path / "whole", card="")
    for wrong in (
        {"score_std": "x"},
        {"score_mean": float("nan")},
        {"score_mean": 10**400},
        {"score_std": float("inf")},
        {"cost_model": []},
    ):
        (tmp_path / "reward" / "alignlab.json").write_text(json.dumps(notes | wrong))
        edit(tmp_path / "whole" / "config.json", **wrong)
        for name in ("reward", "whole"):
            with pytest.raises(ModelError, match="no number|not a JSON file|claims score_mean"):
                load_reward_model(tmp_path / name, CPU)
        edit(tmp_path / "whole" / "config.json", score_mean=0.0, score_std=1.0, cost_model=False)
    for wrong in ({"from_here": 3}, {"base": None}):
        (tmp_path / "reward" / "alignlab.json").write_text(json.dumps(notes | wrong))
        with pytest.raises(ModelError, match="no path"):
            load_reward_model(tmp_path / "reward", CPU)


def test_a_config_of_others_beside_an_adapter_changes_nothing(folder, tmp_path):
    policy, batch = taught_policy(folder)
    save_policy(policy, tmp_path / "first", card="")
    (tmp_path / "first" / "config.json").write_text(
        json.dumps(json.loads((folder / "config.json").read_text()) | {"max_position_embeddings": 7})
    )
    close(logprobs(load_policy(tmp_path / "first", CPU).model, batch), logprobs(policy.model, batch))
    assert load_reader(tmp_path / "first", CPU).context == 128


@pytest.mark.filterwarnings("ignore")
def test_an_adapter_on_a_gguf_file(folder, tmp_path):
    pytest.importorskip("gguf")
    write_gguf(load_policy(folder, CPU), tmp_path / "base.gguf", kind="f32")
    for name, below in (("1", tmp_path / "base.gguf"), ("2", tmp_path / "1")):
        policy, batch = taught_policy(below)
        save_policy(policy, tmp_path / name, card="")
    wanted = logprobs(policy.model, batch)
    close(logprobs(load_policy(tmp_path / "2", CPU).model, batch), wanted)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="base.gguf")
    close(logprobs(PeftModel.from_pretrained(theirs, tmp_path / "2"), batch), wanted)


@pytest.mark.filterwarnings("ignore")
def test_runs_of_the_command_line_open_elsewhere(tmp_path, monkeypatch):
    pairs = [
        {"prompt": f"What is {i} plus 2?", "chosen": f"{i} plus 2 is {i + 2}.", "rejected": "Nobody knows."}
        for i in range(12)
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs))
    monkeypatch.chdir(tmp_path)
    more = ["--adapter.rank", "2", "--epochs", "1", "--model.threads", "1"]
    assert cli.main(["sft", "--model", "town-s", "--count", "24", "--out", "runs/sft", *more]) == 0
    assert cli.main(["dpo", "--model", "runs/sft", "--data", "pairs.jsonl", "--out", "runs/dpo", *more]) == 0
    assert (
        cli.main(["reward", "--model", "runs/sft", "--data", "pairs.jsonl", "--out", "runs/reward", *more])
        == 0
    )
    monkeypatch.chdir("/")
    runs, ids = tmp_path / "runs", torch.tensor([[5, 9, 40]])
    for name in ("sft", "dpo"):
        wanted = load_policy(runs / name / "checkpoint", CPU).model(ids).logits
        for auto in (AutoPeftModelForCausalLM, AutoModelForCausalLM):
            torch.testing.assert_close(
                auto.from_pretrained(runs / name / "checkpoint", dtype=torch.float32).eval()(ids).logits,
                wanted,
                atol=1e-4,
                rtol=0,
            )
    theirs = AutoPeftModelForSequenceClassification.from_pretrained(
        runs / "reward" / "checkpoint", dtype=torch.float32, num_labels=1
    ).eval()
    torch.testing.assert_close(
        theirs(ids).logits,
        load_reward_model(runs / "reward" / "checkpoint", CPU).model(ids).logits,
        atol=1e-4,
        rtol=0,
    )


# where the base lies


def test_runs_that_move_together_find_each_other(tmp_path, tokenizer):
    (old := tmp_path / "old" / "runs").mkdir(parents=True)
    llama().save_pretrained(old / "sft" / "checkpoint")
    tokenizer.save_pretrained(old / "sft" / "checkpoint")
    policy, batch = taught_policy(old / "sft" / "checkpoint")
    save_policy(
        policy, old / "dpo.partial" / "checkpoint", card=""
    )  # as a run writes it before it gets its name
    (old / "dpo.partial").rename(old / "dpo")
    shutil.move(tmp_path / "old", tmp_path / "new")
    new = tmp_path / "new" / "runs"
    close(logprobs(load_policy(new / "dpo" / "checkpoint", CPU).model, batch), logprobs(policy.model, batch))
    config = json.loads((new / "dpo" / "checkpoint" / "adapter_config.json").read_text())
    missing = config | {
        "base_model_name_or_path": "/somewhere/else"
    }  # somebody wrote another: that one is meant
    (new / "dpo" / "checkpoint" / "adapter_config.json").write_text(json.dumps(missing))
    with pytest.raises(ModelError, match="/somewhere/else"):
        load_policy(new / "dpo" / "checkpoint", CPU)
    (new / "dpo" / "checkpoint" / "adapter_config.json").write_text(json.dumps(config))
    shutil.rmtree(new / "sft")
    with pytest.raises(ModelError, match="base model cannot be used") as caught:
        load_policy(new / "dpo" / "checkpoint", CPU)
    assert (
        str(old / "sft" / "checkpoint") in str(caught.value)
        and "set base_model_name_or_path in" in caught.value.remedy
    )


def test_adapters_that_are_each_others_base(folder, tmp_path):
    policy, _ = taught_policy(folder)
    for name, base in (("a", "b"), ("b", "a"), ("c", "c")):
        save_policy(policy, tmp_path / name, card="")
        file = tmp_path / name / "adapter_config.json"
        file.write_text(
            json.dumps(json.loads(file.read_text()) | {"base_model_name_or_path": str(tmp_path / base)})
        )
    for name in "abc":
        with pytest.raises(ModelError, match="itself"):
            load_policy(tmp_path / name, CPU)
    for base in (
        "../in/x",
        "x" * 10_000,
        "owner/name; rm -r x",
        "owner/na\x1bme",
        "a\0b/c",
        "/nowhere/at/all",
        3,
        ["owner/name"],
    ):
        edit(tmp_path / "a" / "adapter_config.json", base_model_name_or_path=base)
        with pytest.raises(ModelError, match="the adapter's base model") as caught:
            load_policy(tmp_path / "a", CPU)
        assert "hf download" not in caught.value.remedy  # none of them is a hub name
        assert "set base_model_name_or_path in" in caught.value.remedy and str(tmp_path / "a") in str(
            caught.value
        )


# the hub


def in_cache(home: Path, name: str, model: Path) -> None:
    """The model as the hub's client keeps it."""
    repo = home / "hub" / f"models--{name.replace('/', '--')}"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("0" * 40)
    shutil.copytree(model, repo / "snapshots" / ("0" * 40))


SCRIPT = """
import json, socket, sys
asked, found = [], {}
def refuse(*args, **_):
    asked.append(str(args[-1]))
    raise OSError("no network here")
socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = socket.create_connection = refuse
from alignlab.errors import UserError
from alignlab.models.load import load_policy, load_reward_model
from alignlab.models.saving import save_policy, save_reward_model
from alignlab.models.reader import load_reader
from alignlab.settings import AdapterSettings, ModelSettings
lora = AdapterSettings(rank=2)
for folder in sys.argv[1:]:
    settings = ModelSettings(device="cpu", download=folder.endswith("-download"))
    head, out, said = dict(init_head=True, adapter=lora, trainable=True), folder + "-out", []
    asked.clear()
    for call in (lambda: load_policy(folder, settings), lambda: load_reader(folder, settings),
                 lambda: save_policy(load_policy(folder, settings, lora, trainable=True), out, card=""),
                 lambda: save_reward_model(load_reward_model(folder, settings, **head), out + "-rm", card=""),
                 lambda: load_reward_model(out + "-rm", settings)):
        try:
            call()
        except UserError as error:
            said.append(str(error))
    found[folder.rpartition("/")[2]] = {"asked": asked[:], "said": said}
print(json.dumps(found))
"""


def test_what_a_folder_names_is_not_asked_for_on_the_hub(folder, tmp_path):
    """A process that may ask for anything, whose connections are counted and refused."""
    policy, _ = taught_policy(folder)
    for name, base in (
        ("missing", "owner/none"),
        ("missing-download", "owner/none"),
        ("cached", "owner/name"),
        ("bare", "owner/name"),
    ):
        save_policy(policy, tmp_path / name, card="")
        edit(tmp_path / name / "adapter_config.json", base_model_name_or_path=base, revision="evil")
    (tmp_path / "bare" / "tokenizer.json").unlink()  # the base's is taken
    edit(
        folder / "config.json",
        _name_or_path="evil/one",
        attn_implementation="kernels-community/flash-attn",
        base_model_name_or_path="evil/two",
    )
    edit(folder / "tokenizer_config.json", name_or_path="evil/three")
    edit(folder / "generation_config.json", _name_or_path="evil/four")
    in_cache(tmp_path / "home", "owner/name", folder)
    env = {
        key: value for key, value in os.environ.items() if not key.startswith(("HF_", "TRANSFORMERS_"))
    } | {"HF_HOME": str(tmp_path / "home")}
    folders = [str(tmp_path / name) for name in ("missing", "cached", "bare", "missing-download")]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *folders],
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["cached"] == found["bare"] == {"asked": [], "said": []}
    assert found["missing"]["asked"] == [] and len(found["missing"]["said"]) == 5
    assert all(
        word in found["missing"]["said"][0]
        for word in (
            "there is no model owner/none",
            "hf download owner/none",
            "--model.download true",
            "base_model_name_or_path",
        )
    )
    assert found["missing-download"]["asked"], "or this test could not tell"
    for out in ("cached-out", "cached-out-rm"):
        assert (
            json.loads((tmp_path / out / "adapter_config.json").read_text())["base_model_name_or_path"]
            == "owner/name"
        ), "not the cache's own folder"
        assert "base" not in json.loads((tmp_path / out / "alignlab.json").read_text())


def test_one_adapter_over_two_holds_them_to_the_last_bit(folder, tmp_path):
    first, _ = taught_policy(folder)
    save_policy(first, tmp_path / "1", card="")
    second, _ = taught_policy(tmp_path / "1")
    save_policy(second, tmp_path / "2", card="")
    one, two = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("1", "2"))
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
    assert two[name + "A.weight"][:4].equal(one[name + "A.weight"]) and two[name + "B.weight"][:, :4].equal(
        one[name + "B.weight"]
    )
