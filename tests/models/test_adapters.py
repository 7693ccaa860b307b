"""LoRA through PEFT: reload, heads inside, the reference under it, adapters on adapters."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from peft import AutoPeftModelForCausalLM, PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from alignlab.errors import ConfigError, ModelError
from alignlab.models.batch import pad
from alignlab.models.chat import example
from alignlab.models.forward import token_logprobs_of, value_BT
from alignlab.models.load import load_policy, load_reward_model
from alignlab.models.optimizer import MasterAdamW
from alignlab.models.saving import save_policy, save_reward_model
from alignlab.records import Prompt
from alignlab.settings import AdapterSettings, ModelSettings, OptimSettings

from .conftest import last_token_scores

CPU = ModelSettings(device="cpu")
LORA = AdapterSettings(rank=4, alpha=8)


def rows(tokenizer: Any, pad_id: int) -> Any:
    return pad(
        [
            example(tokenizer, Prompt.user("who bakes?"), text)
            for text in ("the baker", "the bread is good.", "no")
        ],
        pad_id,
    )


def teach(model: Any, loss: Any, steps: int = 3) -> None:
    optimizer = MasterAdamW(
        model.parameters(), OptimSettings(lr=2e-2, schedule="constant", warmup=0.0), steps
    )
    for _ in range(steps):
        loss().backward()
        optimizer.step()
    model.eval()


def taught_policy(
    ref: Any, *, settings: ModelSettings = CPU, adapter: AdapterSettings | None = LORA
) -> tuple[Any, Any]:
    policy = load_policy(ref, settings, adapter, trainable=True)
    batch = rows(policy.tokenizer, policy.pad_id)
    teach(policy.model, lambda: -token_logprobs_of(policy.model, batch).sum())
    return policy, batch


def taught_reward(ref: Any, *, init_head: bool = True, settings: ModelSettings = CPU) -> tuple[Any, Any]:
    reward_model = load_reward_model(ref, settings, adapter=LORA, init_head=init_head, trainable=True)
    batch = rows(reward_model.tokenizer, reward_model.pad_id)
    teach(
        reward_model.model,
        lambda: -(last_token_scores(reward_model.model, batch) * torch.tensor([1.0, -1.0, 0.0])).sum(),
    )
    return reward_model, batch


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_policy_adapter_is_saved_and_read(folder, tmp_path, precision):
    settings = ModelSettings(device="cpu", precision=precision)
    policy, batch = taught_policy(folder, settings=settings)
    trained = [name for name, p in policy.model.named_parameters() if p.requires_grad]
    assert trained and all("lora_" in name for name in trained)
    assert {p.dtype for p in policy.model.parameters()} == {
        policy.model.dtype
    }  # PEFT's own fp32 adapters would be slow: the masters are fp32
    save_policy(policy, tmp_path / "adapter", card="# An adapter")
    names = {item.name for item in (tmp_path / "adapter").iterdir()}
    assert names >= {
        "adapter_config.json",
        "adapter_model.safetensors",
        "tokenizer.json",
        "chat_template.jinja",
        "README.md",
    }
    assert (
        "model.safetensors" not in names
        and (tmp_path / "adapter" / "README.md").read_text() == "# An adapter"
    )
    again = load_policy(tmp_path / "adapter", settings)
    assert all(p.equal(q) for p, q in zip(again.model.parameters(), policy.model.parameters(), strict=True))
    torch.testing.assert_close(
        token_logprobs_of(again.model, batch), token_logprobs_of(policy.model, batch), atol=1e-5, rtol=0
    )
    assert not any(p.requires_grad for p in again.model.parameters()) and again.end_ids == policy.end_ids
    if precision == "fp32":
        theirs = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "adapter")
        torch.testing.assert_close(
            token_logprobs_of(theirs, batch), token_logprobs_of(policy.model, batch), atol=1e-5, rtol=0
        )


def test_the_reference_is_the_policy_with_its_adapter_off(folder):
    policy, batch = taught_policy(folder)
    before = token_logprobs_of(load_policy(folder, CPU).model, batch)
    with policy.reference() as frozen:
        torch.testing.assert_close(token_logprobs_of(frozen, batch), before, atol=1e-5, rtol=0)
    assert (token_logprobs_of(policy.model, batch) - before).sum() > 0.1


def test_training_goes_on_with_an_adapter_that_is_there(folder, tmp_path):
    policy, batch = taught_policy(folder)
    save_policy(policy, tmp_path / "adapter", card="")
    more, _ = taught_policy(tmp_path / "adapter", adapter=None)
    assert len(more.model.peft_config) == 1
    assert token_logprobs_of(more.model, batch).sum() > token_logprobs_of(policy.model, batch).sum()


def test_an_adapter_on_a_model_that_came_as_an_adapter(folder, tmp_path):
    """The reference of the second is the model with the first, not the bare base; and it reloads so."""
    first, batch = taught_policy(folder)
    save_policy(first, tmp_path / "first", card="")
    second, _ = taught_policy(tmp_path / "first")
    with second.reference() as frozen:
        torch.testing.assert_close(
            token_logprobs_of(frozen, batch), token_logprobs_of(first.model, batch), atol=1e-5, rtol=0
        )
    save_policy(second, tmp_path / "second", card="")
    assert json.loads((tmp_path / "second" / "adapter_config.json").read_text())[
        "base_model_name_or_path"
    ] == str(folder)
    again = load_policy(tmp_path / "second", CPU)
    torch.testing.assert_close(
        token_logprobs_of(again.model, batch), token_logprobs_of(second.model, batch), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_reward_adapter_carries_its_head(folder, tmp_path, precision):
    """TRL #578, #1379: without the head in the file, scores after a reload are random."""
    settings = ModelSettings(device="cpu", precision=precision)
    reward_model, batch = taught_reward(folder, settings=settings)
    reward_model.normalize(-2.0, 0.5)
    save_reward_model(reward_model, tmp_path / "rm", card="")
    assert any(
        name.endswith("score.weight") for name in load_file(tmp_path / "rm" / "adapter_model.safetensors")
    )
    again = load_reward_model(tmp_path / "rm", settings)
    assert all(
        p.equal(q) for p, q in zip(again.model.parameters(), reward_model.model.parameters(), strict=True)
    )
    torch.testing.assert_close(
        last_token_scores(again.model, batch), last_token_scores(reward_model.model, batch), atol=1e-5, rtol=0
    )
    assert (again.mean, again.std, again.pad_id) == (-2.0, 0.5, reward_model.pad_id)
    assert value_BT(again.model, batch).shape == batch.ids_BT.shape
    if precision == "fp32":
        theirs = PeftModel.from_pretrained(
            AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1), tmp_path / "rm"
        ).eval()
        found = theirs(input_ids=batch.ids_BT, attention_mask=batch.attention_mask_BT).logits[:, 0]
        torch.testing.assert_close(found, last_token_scores(reward_model.model, batch), atol=1e-5, rtol=0)


def test_the_head_trains_in_full_beside_the_adapter(folder):
    reward_model, _ = taught_reward(folder)
    trained = {name for name, p in reward_model.model.named_parameters() if p.requires_grad}
    assert sum("score" in name for name in trained) == 1 and any("lora_" in name for name in trained)
    head = reward_model.model.get_base_model().score
    assert not head.weight.equal(head.original_module.weight)


def test_a_reward_adapter_without_its_head_is_refused(folder, tmp_path):
    reward_model, _ = taught_reward(folder)
    save_reward_model(reward_model, tmp_path / "rm", card="")
    file = tmp_path / "rm" / "adapter_model.safetensors"
    save_file({n: t for n, t in load_file(file).items() if "score" not in n}, file, {"format": "pt"})
    with pytest.raises(ModelError, match="without its head"):
        load_reward_model(tmp_path / "rm", CPU)


def test_a_value_model_is_an_adapter_on_a_reward_model(folder, tmp_path):
    """As PPO makes it: from a whole reward model, and from one that is an adapter itself."""
    whole = load_reward_model(folder, CPU, init_head=True)
    whole.normalize(3.0, 2.0)
    save_reward_model(whole, tmp_path / "whole", card="")
    thin, batch = taught_reward(folder)
    thin.normalize(4.0, 5.0)
    save_reward_model(thin, tmp_path / "thin", card="")
    for name, source in (("whole", whole), ("thin", thin)):
        value = load_reward_model(tmp_path / name, CPU, adapter=LORA, trainable=True)
        torch.testing.assert_close(
            last_token_scores(value.model, batch), last_token_scores(source.model, batch), atol=1e-5, rtol=0
        )
        assert (value.mean, value.std) == (source.mean, source.std)
        taught, _ = taught_reward(tmp_path / name, init_head=False)
        save_reward_model(taught, tmp_path / f"value-{name}", card="")
        again = load_reward_model(tmp_path / f"value-{name}", CPU)
        torch.testing.assert_close(
            last_token_scores(again.model, batch), last_token_scores(taught.model, batch), atol=1e-5, rtol=0
        )
        assert (again.mean, again.std) == (source.mean, source.std)


def test_a_reward_model_starts_from_a_policy_that_is_an_adapter(folder, tmp_path):
    policy, batch = taught_policy(folder)
    save_policy(policy, tmp_path / "sft", card="")
    reward_model = load_reward_model(tmp_path / "sft", CPU, init_head=True)
    inputs = {"input_ids": batch.ids_BT, "attention_mask": batch.attention_mask_BT}
    wanted = policy.model.get_base_model().model(**inputs).last_hidden_state
    torch.testing.assert_close(
        reward_model.model.model(**inputs).last_hidden_state, wanted, atol=1e-4, rtol=0
    )


def test_kinds_of_adapters_are_not_mixed_up(folder, tmp_path):
    policy, _ = taught_policy(folder)
    save_policy(policy, tmp_path / "policy", card="")
    reward_model, _ = taught_reward(folder)
    save_reward_model(reward_model, tmp_path / "reward", card="")
    with pytest.raises(ModelError, match="no scalar head"):
        load_reward_model(tmp_path / "policy", CPU)
    with pytest.raises(ModelError, match="reward model, not one that writes"):
        load_policy(tmp_path / "reward", CPU)


def test_an_adapter_folder_may_leave_the_tokenizer_to_its_base(folder, tmp_path):
    policy, batch = taught_policy(folder)
    policy.model.save_pretrained(tmp_path / "bare")  # as PEFT alone writes it
    again = load_policy(tmp_path / "bare", CPU)
    assert again.tokenizer.chat_template
    torch.testing.assert_close(
        token_logprobs_of(again.model, batch), token_logprobs_of(policy.model, batch), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("base", ["nowhere/to/be/found", None, "evil"])
def test_an_adapter_whose_base_is_no_good(folder, tmp_path, base):
    policy, _ = taught_policy(folder)
    save_policy(policy, tmp_path / "adapter", card="")
    if base == "evil":
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(
            json.dumps(config | {"auto_map": {"AutoModelForCausalLM": "modeling.Evil"}})
        )
    else:
        config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
        (tmp_path / "adapter" / "adapter_config.json").write_text(
            json.dumps(config | {"base_model_name_or_path": base})
        )
    with pytest.raises(ModelError, match="base model cannot be used") as caught:
        load_policy(tmp_path / "adapter", CPU)
    assert "base_model_name_or_path" in caught.value.remedy


def test_an_adapter_with_a_pickle_is_refused(folder, tmp_path):
    policy, _ = taught_policy(folder)
    save_policy(policy, tmp_path / "adapter", card="")
    (tmp_path / "adapter" / "adapter_model.safetensors").rename(tmp_path / "adapter" / "adapter_model.bin")
    with pytest.raises(ModelError, match="pickled weights"):
        load_policy(tmp_path / "adapter", CPU)


def test_named_targets(folder):
    policy = load_policy(folder, CPU, AdapterSettings(rank=2, target="q_proj, v_proj"), trainable=True)
    assert {name.split(".")[-4] for name, p in policy.model.named_parameters() if p.requires_grad} == {
        "q_proj",
        "v_proj",
    }
    with pytest.raises(ConfigError, match="no adapter fits"):
        load_policy(folder, CPU, AdapterSettings(rank=2, target="nothing"), trainable=True)
    assert not hasattr(
        load_policy(folder, CPU, LORA).model, "peft_config"
    )  # a model that is only read gets none
