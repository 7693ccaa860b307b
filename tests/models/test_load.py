"""Loading and saving: what is refused, what comes back as it was, precision, pad tokens, heads, GGUF, hub
names.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GPT2Config,
    T5Config,
    T5ForConditionalGeneration,
)

from alignlab.errors import ModelError
from alignlab.models import devices
from alignlab.models.batch import pad
from alignlab.models.chat import Rendered, example
from alignlab.models.devices import multiplies_bf16
from alignlab.models.folder import check_folder
from alignlab.models.forward import token_logprobs_of
from alignlab.models.load import is_reward, load_policy, load_reward_model
from alignlab.models.saving import save_policy, save_reward_model
from alignlab.models.state import load_tensors, trainable_tensors
from alignlab.records import Prompt
from alignlab.settings import AdapterSettings, ModelSettings

from .conftest import ASSISTANT, BOS, END, EOS, PAD, build_tokenizer, gpt2, last_token_scores, llama

AS_IS = ModelSettings(device="cpu")


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def rows(tokenizer: Any, pad_id: int) -> Any:
    texts = ("the baker", "the bread is good.", "no")
    return pad(
        [example(tokenizer, Prompt.user("who bakes?"), text, finished=text != "no") for text in texts], pad_id
    )


# what is refused


def break_(folder: Path, what: str) -> None:
    match what:
        case "no config":
            (folder / "config.json").unlink()
        case "code in the config":
            edit(folder / "config.json", auto_map={"AutoModelForCausalLM": "modeling.Evil"})
        case "code in the tokenizer":
            edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["tok.Evil", None]})
        case "pickles only":
            (folder / "model.safetensors").unlink()
            (folder / "pytorch_model.bin").write_bytes(b"\x80\x04")
        case "pickles beside":
            (folder / "weights.pt").write_bytes(b"\x80\x04")
        case "no weights":
            (folder / "model.safetensors").unlink()
        case "no tokenizer":
            (folder / "tokenizer.json").unlink()
        case "config is not JSON":
            (folder / "config.json").write_text("{")
        case "config is a list":
            (folder / "config.json").write_text("[]")
        case "broken safetensors":
            (folder / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0not json at all!")
        case "cut safetensors":
            data = (folder / "model.safetensors").read_bytes()
            (folder / "model.safetensors").write_bytes(data[: len(data) // 2])
        case "a layer is missing":
            tensors = load_file(folder / "model.safetensors")
            save_file(
                {n: t for n, t in tensors.items() if "layers.1.mlp.down" not in n},
                folder / "model.safetensors",
                {"format": "pt"},
            )
        case "another width":
            edit(folder / "config.json", vocab_size=400)
        case "broken tokenizer":
            (folder / "tokenizer.json").write_text('{"model": 3}')
        case "unknown architecture":
            edit(folder / "config.json", model_type="nothing-known")


REFUSED = {
    "no config": "no config.json",
    "code in the config": "auto_map",
    "code in the tokenizer": "auto_map",
    "pickles only": "pickled weights",
    "pickles beside": "pickled weights",
    "no weights": "holds no weights",
    "no tokenizer": "no tokenizer",
    "config is not JSON": "not a JSON file",
    "config is a list": "holds a list",
    "broken safetensors": "cannot load",
    "cut safetensors": "cannot load",
    "a layer is missing": "1 weights are missing or have another shape",
    "another width": "model.embed_tokens.weight among them",
    "broken tokenizer": "cannot load",
    "unknown architecture": "cannot load",
}


@pytest.mark.parametrize("what", REFUSED)
def test_folders_that_are_refused(folder, what):
    break_(folder, what)
    with pytest.raises(ModelError, match=REFUSED[what]) as caught:
        load_policy(folder, AS_IS)
    error = caught.value
    assert error.exit_code == 4 and str(folder) in error.where and error.remedy
    if not REFUSED[what].startswith(("cannot load", "1 weights", "model.embed")):  # seen from the files alone
        with pytest.raises(ModelError, match=REFUSED[what]):
            check_folder(folder)


def test_a_trainer_may_leave_its_state_beside(folder):
    for name in ("training_args.bin", "optimizer.pt", "rng_state_0.pth"):
        (folder / name).write_bytes(b"\x80\x04")
    check_folder(folder)


def test_no_pickle_is_opened(folder, monkeypatch):
    (folder / "training_args.bin").write_bytes(b"\x80\x04")
    for module, name in ((torch, "load"), (__import__("pickle"), "load"), (__import__("pickle"), "loads")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("a pickle was opened"))
    load_reward_model(folder, AS_IS, init_head=True)


@pytest.mark.parametrize(
    "ref", ["nowhere", "./nowhere", "/nowhere/at/all", "a/b/c", "some.gguf", "folder/some.gguf"]
)
def test_names_of_nothing(ref):
    with pytest.raises(ModelError, match="there is no model"):
        load_policy(ref, AS_IS)


def test_a_hub_name_is_fetched_without_pickles_and_checked(folder, monkeypatch):
    import huggingface_hub

    asked: list[dict[str, Any]] = []

    def snapshot(name: str, **options: Any) -> str:
        asked.append({"name": name} | options)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert load_policy("owner/name", AS_IS).name == "owner/name"
    assert not is_reward(Path("owner/name"))  # asked before it is fetched
    assert asked[0]["name"] == "owner/name" and not any(
        "bin" in pattern or pattern == "*" for pattern in asked[0]["allow_patterns"]
    )
    break_(folder, "code in the config")
    with pytest.raises(ModelError, match="auto_map"):
        load_policy("owner/name", AS_IS)


def test_a_hub_name_without_a_network(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="neither as a folder nor on the hub"):
        load_policy("owner/alignlab-test-nothing", AS_IS)


# what comes back


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_saved_policy_is_the_policy(tmp_path, tokenizer, kind, precision):
    {"llama": llama, "gpt2": gpt2}[kind]().save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    settings = ModelSettings(device="cpu", precision=precision)
    policy = load_policy(tmp_path / "base", settings)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    assert {p.dtype for p in policy.model.parameters()} == {dtype} and not any(
        p.requires_grad for p in policy.model.parameters()
    )
    save_policy(policy, tmp_path / "saved", card="# A card\n")
    names = {item.name for item in (tmp_path / "saved").iterdir()}
    assert names >= {
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "chat_template.jinja",
        "model.safetensors",
        "README.md",
    }
    assert (tmp_path / "saved" / "README.md").read_text() == "# A card\n" and not (
        tmp_path / "saved.partial"
    ).exists()
    assert "alignlab" not in (tmp_path / "saved" / "config.json").read_text()
    assert {t.dtype for t in load_file(tmp_path / "saved" / "model.safetensors").values()} == {dtype}

    again = load_policy(tmp_path / "saved", settings)
    batch = rows(tokenizer, policy.pad_id)
    assert all(p.equal(q) for p, q in zip(again.model.parameters(), policy.model.parameters(), strict=True))
    torch.testing.assert_close(
        token_logprobs_of(again.model, batch), token_logprobs_of(policy.model, batch), atol=1e-5, rtol=0
    )
    theirs = AutoModelForCausalLM.from_pretrained(
        tmp_path / "saved", dtype=dtype
    )  # transformers alone reads it too
    torch.testing.assert_close(
        token_logprobs_of(theirs, batch),
        token_logprobs_of(policy.model, batch),
        atol=1e-5 if precision == "fp32" else 0.1,
        rtol=0,
    )
    assert AutoTokenizer.from_pretrained(tmp_path / "saved").chat_template == tokenizer.chat_template


def test_saving_over_a_folder_replaces_it(folder):
    policy = load_policy(folder, AS_IS)
    (folder / "stale.txt").write_text("of the model before")
    save_policy(policy, folder, card="new")
    assert not (folder / "stale.txt").exists() and (folder / "README.md").read_text() == "new"


def test_a_save_that_fails_leaves_the_old_folder(folder, monkeypatch):
    policy = load_policy(folder, AS_IS)
    monkeypatch.setattr(
        policy.tokenizer, "save_pretrained", lambda _: (_ for _ in ()).throw(OSError("disk full"))
    )
    with pytest.raises(OSError, match="disk full"):
        save_policy(policy, folder, card="")
    monkeypatch.undo()
    check_folder(folder)
    save_policy(policy, folder, card="")  # and what was left of the attempt is no obstacle
    load_policy(folder, AS_IS)


def test_training_tensors_go_out_and_in(folder):
    policy, other = (load_policy(folder, AS_IS, trainable=True) for _ in range(2))
    assert policy.model.training and all(p.requires_grad for p in policy.model.parameters())
    with torch.no_grad():
        for p in policy.model.parameters():
            p.add_(1)
    load_tensors(other.model, trainable_tensors(policy.model, "x"), "x")
    assert all(p.equal(q) for p, q in zip(policy.model.parameters(), other.model.parameters(), strict=True))
    assert trainable_tensors(load_policy(folder, AS_IS).model) == {}


@pytest.mark.parametrize(
    ("native", "big", "expected"),
    [(True, 10, torch.bfloat16), (True, 10**9, torch.float32), (False, 10, torch.float32)],
)
def test_auto_precision(folder, monkeypatch, native, big, expected):
    monkeypatch.setattr(devices, "multiplies_bf16", lambda _: native)
    monkeypatch.setattr(devices, "BIG", big)
    assert load_policy(folder, AS_IS).model.dtype == expected


@pytest.mark.parametrize("kind", ["policy", "trained", "adapter", "reward"])
@pytest.mark.parametrize(
    ("native", "precision", "size", "says"),
    [
        (False, "bf16", 10**9, "precision = bf16: this cpu does not report that it multiplies bf16"),
        (False, "auto", 10, "precision = auto: this cpu"),
        (False, "auto", 10**9, ""),
        (False, "fp32", 10, ""),
        (True, "bf16", 10, ""),
        (True, "auto", 10, ""),
    ],
)
def test_a_precision_that_is_only_emulated_is_said_once_and_before_anything_is_done(
    folder, monkeypatch, capsys, kind, native, precision, size, says
):
    monkeypatch.setattr(devices, "multiplies_bf16", lambda _: native)
    monkeypatch.setattr(devices, "BIG", size)
    devices._say_emulated.cache_clear()
    settings, lora = ModelSettings(device="cpu", precision=precision), AdapterSettings(rank=2)
    for _ in range(2):
        if kind == "reward":
            load_reward_model(folder, settings, init_head=True, trainable=True)
        else:
            load_policy(folder, settings, lora if kind == "adapter" else None, trainable=kind != "policy")
    err = capsys.readouterr().err
    assert (err == "") if not says else (err.count("\n") == 1 and says in err), err


def test_the_probe_asks_the_device(monkeypatch):
    for can, expected in (
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
        ({"avx2": True, "avx512_bf16": False}, False),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda can=can: can)
        assert multiplies_bf16(torch.device("cpu")) is expected


# ends and pads


def test_every_token_that_ends_a_completion(folder):
    assert load_policy(folder, AS_IS).end_ids == {EOS, END}  # the tokenizer's, and the template's
    edit(folder / "generation_config.json", eos_token_id=[EOS, 17])
    policy = load_policy(folder, AS_IS)
    assert policy.end_ids == {EOS, END, 17}
    save_policy(policy, folder, card="")
    assert sorted(json.loads((folder / "generation_config.json").read_text())["eos_token_id"]) == sorted(
        {EOS, END, 17}
    )


def test_others_stop_at_the_end_of_a_turn(folder):
    """transformers' generate(), reading the saved generation config, stops at the template's end token."""
    policy = load_policy(folder, AS_IS)
    save_policy(policy, folder, card="")
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.lm_head.weight.zero_()  # tied: all logits are 0 then, and the bias below decides
    model.lm_head.register_forward_hook(
        lambda _, __, logits: logits + 9 * torch.nn.functional.one_hot(torch.tensor(END), 300)
    )
    assert model.generate(torch.tensor([[BOS, 9]]), max_new_tokens=5, do_sample=False)[0].tolist() == [
        BOS,
        9,
        END,
    ]


def test_a_published_generation_config_that_forgets_to_sample_can_be_saved(folder):
    edit(folder / "generation_config.json", temperature=0.6, top_p=0.9, do_sample=False)
    save_policy(load_policy(folder, AS_IS), folder, card="")
    assert json.loads((folder / "generation_config.json").read_text())["temperature"] == 0.6


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, PAD),
        ({"pad_token": "</s>"}, BOS),
        ({"pad_token": None}, BOS),
        ({"pad_token": "<end>"}, BOS),
        ({"pad_token": "</s>", "bos_token": "</s>"}, 0),
        ({"pad_token": "<beyond>"}, BOS),
    ],
)
def test_the_pad_id_ends_nothing_and_has_an_embedding(tmp_path, options, expected):
    llama().save_pretrained(tmp_path)
    build_tokenizer(**options).save_pretrained(tmp_path)  # "<beyond>" is token 300 of a vocabulary of 300
    policy = load_policy(tmp_path, AS_IS)
    assert policy.pad_id == expected and policy.pad_id not in policy.end_ids
    reward_model = load_reward_model(tmp_path, AS_IS, init_head=True)
    assert (
        reward_model.pad_id
        == reward_model.model.config.pad_token_id
        == reward_model.tokenizer.pad_token_id
        == expected
    )


@pytest.mark.parametrize("kind", ["policy", "reward"])
def test_the_end_token_learns_when_it_is_the_pad_token_too(tmp_path, kind):
    """pad = eos in the config makes torch give that embedding no gradient: the input side of TRL #1623,
    #2059, #3091.
    """
    llama(pad_token_id=EOS, tie_word_embeddings=False).save_pretrained(tmp_path)
    build_tokenizer(pad_token="</s>").save_pretrained(tmp_path)
    batch = pad([Rendered([9, EOS, 10], [0, 0, 1])], EOS)
    if kind == "policy":
        model = load_policy(tmp_path, AS_IS, trainable=True).model
        token_logprobs_of(model, batch).sum().backward()
    else:
        model = load_reward_model(tmp_path, AS_IS, init_head=True, trainable=True).model
        last_token_scores(model, batch).sum().backward()
    assert model.get_input_embeddings().weight.grad[EOS].any()


# heads


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_saved_reward_model_is_the_reward_model(tmp_path, folder, precision):
    settings = ModelSettings(device="cpu", precision=precision)
    reward_model = load_reward_model(folder, settings, init_head=True, trainable=True)
    assert reward_model.model.score.weight.std().item() == pytest.approx(33**-0.5, rel=0.4)
    assert (reward_model.mean, reward_model.std) == (0.0, 1.0)
    reward_model.normalize(1.5, 0.25)
    save_reward_model(reward_model, tmp_path / "rm", card="# RM")
    assert {item.name for item in (tmp_path / "rm").iterdir()} >= {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "chat_template.jinja",
        "README.md",
    }
    again = load_reward_model(tmp_path / "rm", settings)
    assert (again.mean, again.std, again.pad_id) == (1.5, 0.25, PAD)
    batch = rows(again.tokenizer, again.pad_id)
    scores = last_token_scores(reward_model.model, batch)
    assert (
        all(
            p.equal(q) for p, q in zip(again.model.parameters(), reward_model.model.parameters(), strict=True)
        )
        and scores.std() > 0
    )
    torch.testing.assert_close(last_token_scores(again.model, batch), scores, atol=1e-5, rtol=0)
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "rm", dtype=torch.float32)
    found = theirs(input_ids=batch.ids_BT, attention_mask=batch.attention_mask_BT).logits
    assert found.shape == (3, 1) and theirs.config.num_labels == 1
    torch.testing.assert_close(found[:, 0], scores, atol=1e-5 if precision == "fp32" else 0.2, rtol=0)


def test_a_new_head_is_the_same_every_time_and_sits_on_the_same_body(folder):
    first, second = (load_reward_model(folder, AS_IS, init_head=True) for _ in range(2))
    assert first.model.score.weight.equal(second.model.score.weight)
    batch = rows(first.tokenizer, PAD)
    inputs = {"input_ids": batch.ids_BT, "attention_mask": batch.attention_mask_BT}
    body = load_policy(folder, AS_IS).model.model(**inputs).last_hidden_state
    torch.testing.assert_close(first.model.model(**inputs).last_hidden_state, body, atol=1e-5, rtol=0)


def test_kinds_are_not_mixed_up(tmp_path, folder):
    with pytest.raises(ModelError, match="no scalar head") as caught:
        load_reward_model(folder, AS_IS)
    assert "alignlab reward" in caught.value.remedy
    save_reward_model(load_reward_model(folder, AS_IS, init_head=True), tmp_path / "rm", card="")
    for call in (
        lambda: load_policy(tmp_path / "rm", AS_IS),
        lambda: load_reward_model(tmp_path / "rm", AS_IS, init_head=True),
    ):
        with pytest.raises(ModelError, match="this is a reward model"):
            call()
    tensors = load_file(tmp_path / "rm" / "model.safetensors")
    save_file(
        {n: t for n, t in tensors.items() if n != "score.weight"},
        tmp_path / "rm" / "model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(ModelError, match="score.weight"):
        load_reward_model(tmp_path / "rm", AS_IS)
    edit(tmp_path / "rm" / "config.json", id2label={"0": "bad", "1": "good"}, label2id={"bad": 0, "good": 1})
    save_file(
        tensors | {"score.weight": torch.zeros(2, 32)},
        tmp_path / "rm" / "model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(ModelError, match="2 labels"):
        load_reward_model(tmp_path / "rm", AS_IS)


def test_an_architecture_that_does_not_continue_text(tmp_path, tokenizer):
    T5ForConditionalGeneration(
        T5Config(vocab_size=300, d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
    ).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="cannot load"):
        load_policy(tmp_path, AS_IS)


def test_a_chat_template_is_installed_on_loading(folder):
    (folder / "chat_template.jinja").unlink()
    bare = load_policy(folder, AS_IS)
    assert bare.tokenizer.chat_template is None and bare.end_ids == {EOS}
    policy = load_policy(folder, ModelSettings(device="cpu", chat_template="chatml"))
    assert ASSISTANT not in example(policy.tokenizer, Prompt.user("who?"), "no").ids
    save_policy(policy, folder, card="")
    assert load_policy(folder, AS_IS).tokenizer.chat_template == policy.tokenizer.chat_template


def test_threads_and_device(folder):
    before = torch.get_num_threads()
    policy = load_policy(folder, ModelSettings(device="cpu", threads=1))
    assert torch.get_num_threads() == 1 and policy.device.type == policy.model.device.type == "cpu"
    torch.set_num_threads(before)
    auto = load_policy(folder, ModelSettings()).device
    assert auto.type == (
        "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    )


# GGUF


def write_gguf(path: Path) -> dict[str, torch.Tensor]:
    """A tiny GPT-2 in GGUF with a byte-level tokenizer; returns the tensors of the model it holds."""
    gguf = pytest.importorskip("gguf")
    tokenizer = build_tokenizer()
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    model = gpt2(n_positions=1024)
    config: GPT2Config = model.config
    writer = gguf.GGUFWriter(path, "gpt2")
    writer.add_block_count(config.n_layer)
    writer.add_context_length(config.n_positions)
    writer.add_embedding_length(config.n_embd)
    writer.add_feed_forward_length(4 * config.n_embd)
    writer.add_head_count(config.n_head)
    writer.add_layer_norm_eps(config.layer_norm_epsilon)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([token for token, _ in vocabulary])
    writer.add_token_types([3 if i < 6 else 1 for _, i in vocabulary])
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    names = {
        "attn.c_attn": "attn_qkv",
        "attn.c_proj": "attn_output",
        "mlp.c_fc": "ffn_up",
        "mlp.c_proj": "ffn_down",
        "ln_1": "attn_norm",
        "ln_2": "ffn_norm",
    }
    tensors = {name: t for name, t in model.state_dict().items() if name != "lm_head.weight"}
    for name, tensor in tensors.items():
        parts = name.removeprefix("transformer.").split(".")
        if parts[0] == "h":
            stem = f"blk.{parts[1]}.{names['.'.join(parts[2:-1])]}"
            tensor = tensor.T if parts[-1] == "weight" and parts[-2].startswith("c_") else tensor
        else:
            stem = {"wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm"}[parts[0]]
        writer.add_tensor(f"{stem}.{parts[-1]}", tensor.contiguous().numpy())
    writer.add_tensor("output.weight", model.lm_head.weight.detach().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tensors


def test_a_gguf_file(tmp_path):
    tensors = write_gguf(tmp_path / "tiny.gguf")
    policy = load_policy(tmp_path / "tiny.gguf", ModelSettings(device="cpu", chat_template="chatml"))
    loaded = policy.model.state_dict()
    for name, tensor in tensors.items():
        torch.testing.assert_close(loaded[name], tensor)
    assert policy.tokenizer.eos_token_id == EOS and policy.tokenizer.decode(
        policy.tokenizer("the baker")["input_ids"]
    ).endswith("the baker")
    save_policy(policy, tmp_path / "folder", card="")
    batch = rows(policy.tokenizer, policy.pad_id)
    again = load_policy(tmp_path / "folder", AS_IS)
    torch.testing.assert_close(token_logprobs_of(again.model, batch), token_logprobs_of(policy.model, batch))
    assert last_token_scores(
        load_reward_model(tmp_path / "tiny.gguf", AS_IS, init_head=True).model, batch
    ).shape == (3,)


def test_a_broken_gguf_file(tmp_path):
    (tmp_path / "bad.gguf").write_bytes(b"GGUF\3\0\0\0")
    with pytest.raises(ModelError, match="cannot load"):
        load_policy(tmp_path / "bad.gguf", AS_IS)


def test_a_tokenizer_with_tokens_that_the_model_was_not_given(folder):
    """An IndexError in the middle of training, where somebody forgot to resize the embeddings."""

    def given(**tokens):
        changed = build_tokenizer()
        for special, names in tokens.items():
            changed.add_tokens(names.split(), special_tokens=special == "special")
        return changed

    changed = given(special="<picture>")
    changed.save_pretrained(folder)
    assert (
        load_policy(folder, ModelSettings(device="cpu")).tokenizer.convert_tokens_to_ids("<picture>") == 300
    ), "which nothing writes"
    changed.chat_template = "{% for m in messages %}<picture>{{ m.content }}</s>{% endfor %}"
    for unfit in (given(plain="baker"), changed):
        unfit.save_pretrained(folder)
        for call in (
            lambda: load_policy(folder, ModelSettings(device="cpu")),
            lambda: load_reward_model(folder, ModelSettings(device="cpu"), init_head=True),
        ):
            with pytest.raises(ModelError, match=r"id 300\), and the model only 300 embeddings"):
                call()
