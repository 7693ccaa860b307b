"""A run that is killed and begun again ends in the same bits as one that was left alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from alignlab.errors import DataError, ResumeRefused
from alignlab.methods import direct, kto, pretrain, reward_model, sft
from alignlab.models import devices
from alignlab.models.load import load_policy, load_reward_model
from alignlab.models.optimizer import MasterAdamW
from alignlab.models.state import Trained, trainable_tensors
from alignlab.records import Completion, Demonstration, Prompt, Ranking
from alignlab.run import RunDir, read_run
from alignlab.settings import (
    AdapterSettings,
    DPOSettings,
    KTOSettings,
    ModelSettings,
    OptimSettings,
    PretrainSettings,
    RewardSettings,
    SFTSettings,
    SimPOSettings,
)

from .conftest import Killed, tiny_llama

OPTIM = OptimSettings(lr=3e-3)
LORA = AdapterSettings(rank=4, alpha=8, dropout=0.2)
PROMPTS = [Prompt.user(f"{i} apples?") for i in range(14)]
DEMOS = [Demonstration(prompt, "yes " * (1 + i % 4)) for i, prompt in enumerate(PROMPTS)]
RANKINGS = [
    Ranking(p, tuple(Completion(p, text) for text in ("yes, all", "some of them", "no")), (1, 2, 3))
    for p in PROMPTS
]

Train = Callable[[Path, RunDir, AdapterSettings], tuple[Any, dict[str, Any]]]


def train_sft(base: Path, run: RunDir, adapter: AdapterSettings) -> tuple[Any, dict[str, Any]]:
    policy = load_policy(base, ModelSettings(), adapter, trainable=True)
    settings = SFTSettings(epochs=2, batch=4, micro_batch=3, held_out=0.2, optim=OPTIM, adapter=adapter)
    return policy.model, sft.train(run, policy, DEMOS, settings, seed=5)


def train_reward(base: Path, run: RunDir, adapter: AdapterSettings) -> tuple[Any, dict[str, Any]]:
    model = load_reward_model(base, ModelSettings(), adapter=adapter, init_head=True, trainable=True)
    settings = RewardSettings(epochs=2, batch=4, held_out=0.2, optim=OPTIM, adapter=adapter)
    return model.model, reward_model.train(run, model, RANKINGS, settings, seed=5)


def train_dpo(base: Path, run: RunDir, adapter: AdapterSettings) -> tuple[Any, dict[str, Any]]:
    policy = load_policy(base, ModelSettings(), adapter, trainable=True)
    settings = DPOSettings(
        epochs=2, batch=4, micro_batch=3, pairs_per_prompt=1, held_out=0.2, optim=OPTIM, adapter=adapter
    )
    return policy.model, direct.train(run, policy, RANKINGS, settings, seed=5)


def train_simpo(base: Path, run: RunDir, adapter: AdapterSettings) -> tuple[Any, dict[str, Any]]:
    policy = load_policy(base, ModelSettings(), adapter, trainable=True)
    settings = SimPOSettings(
        epochs=6, batch=4, pairs_per_prompt=1, held_out=0.2, optim=OPTIM, adapter=adapter
    )
    return policy.model, direct.train(run, policy, RANKINGS, settings, seed=5)


def train_kto(base: Path, run: RunDir, adapter: AdapterSettings) -> tuple[Any, dict[str, Any]]:
    policy = load_policy(base, ModelSettings(), adapter, trainable=True)
    settings = KTOSettings(epochs=3, batch=8, micro_batch=3, held_out=0.2, optim=OPTIM, adapter=adapter)
    return policy.model, kto.train(run, policy, [u for r in RANKINGS for u in r.unpaired()], settings, seed=5)


def train_base(base: Path, run: RunDir, adapter: AdapterSettings) -> tuple[Any, dict[str, Any]]:
    rows = torch.randint(0, 260, (pretrain.HELD_OUT_ROWS + 12, 9), generator=torch.Generator().manual_seed(0))
    settings = PretrainSettings(batch=2, context=8, optim=OPTIM, model=ModelSettings(precision="fp32"))
    model = tiny_llama()
    return model, pretrain.pretrain(run, model, rows, settings)


CASES = [
    (train_sft, AdapterSettings()),
    (train_sft, LORA),
    (train_reward, AdapterSettings()),
    (train_reward, LORA),
    (train_dpo, AdapterSettings()),
    (train_dpo, LORA),
    (train_simpo, AdapterSettings()),
    (train_kto, AdapterSettings()),
    (train_kto, LORA),
    (train_base, AdapterSettings()),
]


@pytest.mark.parametrize(
    ("train", "adapter"), CASES, ids=lambda case: getattr(case, "__name__", "") or f"rank {case.rank}"
)
def test_a_killed_run_ends_in_the_same_bits(
    train: Train,
    adapter: AdapterSettings,
    base: Path,
    open_run: Callable[..., RunDir],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("ALIGNLAB_SAVE_EVERY_STEPS", "1")
    torch.manual_seed(1)
    whole = open_run("whole")
    model, summary = train(base, whole, adapter)

    torch.manual_seed(1)
    die_at = 5 if train is train_base else 3  # pretraining writes metrics after its last step only
    with pytest.raises(Killed):
        train(base, open_run("killed", die_at=die_at), adapter)
    torch.manual_seed(2)  # what a process has drawn before is of no account
    again = open_run("killed")
    assert again.load_state()[0] == die_at
    other, found = train(base, again, adapter)

    assert found == summary | {key: found[key] for key in ("seconds",) if key in found}
    for (name, tensor), (_, same) in zip(
        trainable_tensors(model).items(), trainable_tensors(other).items(), strict=True
    ):
        assert torch.equal(tensor, same), name
    assert without_time(again) == without_time(whole)


def without_time(run: RunDir) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in row.items() if not key.startswith("time/")}
        for row in read_run(run.path).metrics
    ]


@pytest.mark.parametrize("train", [train_sft, train_reward, train_dpo, train_kto, train_base])
def test_a_run_killed_after_its_last_step_gives_the_same_summary(
    train: Train, base: Path, open_run: Callable[..., RunDir], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ALIGNLAB_SAVE_EVERY_STEPS", "1")
    _, summary = train(
        base, open_run("killed"), AdapterSettings()
    )  # never finished: all of its steps are kept
    _, again = train(base, open_run("killed"), AdapterSettings())
    assert again == summary | {key: again[key] for key in ("seconds",) if key in again}


def test_pretraining_learns_and_says_when_there_is_too_little(open_run: Callable[..., RunDir]):
    rows = (torch.arange(9) + torch.arange(pretrain.HELD_OUT_ROWS + 120)[:, None]) % 20
    settings = PretrainSettings(
        batch=4,
        context=8,
        optim=OptimSettings(lr=1e-2, max_grad_norm=0.0),
        model=ModelSettings(precision="fp32"),
    )
    summary = pretrain.pretrain(open_run(), tiny_llama(), rows, settings)
    assert summary["num_tokens"] == 30 * 4 * 8 and summary["eval_loss"] < 2 < math.log(
        260
    )  # the last is what a model knows that knows nothing
    with pytest.raises(DataError, match="too few"):
        pretrain.pretrain(open_run("few"), tiny_llama(), rows[:258], settings)


@pytest.mark.parametrize(
    ("precision", "says"), [("bf16", "precision = bf16: this cpu"), ("auto", "fp32 is taken"), ("fp32", "")]
)
def test_pretraining_says_what_precision_is_only_emulated(
    precision: Any,
    says: str,
    open_run: Callable[..., RunDir],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(devices, "multiplies_bf16", lambda _: False)
    devices._say_emulated.cache_clear()
    settings = PretrainSettings(batch=2, context=8, optim=OPTIM, model=ModelSettings(precision=precision))
    pretrain.pretrain(
        open_run(), tiny_llama(), torch.zeros(pretrain.HELD_OUT_ROWS + 6, 9, dtype=torch.long), settings
    )
    err = capsys.readouterr().err
    assert says in err and ("multiplies bf16" in err) == bool(says)


def test_a_schedule_is_the_one_that_was_asked_for(open_run: Callable[..., RunDir]):
    rows = torch.zeros(pretrain.HELD_OUT_ROWS + 20, 9, dtype=torch.long)
    last = {}
    for schedule in ("constant", "linear", "cosine"):
        optim = replace(OPTIM, schedule=schedule, warmup=0.0)
        run = open_run(schedule)
        pretrain.pretrain(
            run,
            tiny_llama(),
            rows,
            PretrainSettings(batch=2, context=8, optim=optim, model=ModelSettings(precision="fp32")),
        )
        last[schedule] = read_run(run.path).metrics[-1]["learning_rate"]
    assert last["constant"] == OPTIM.lr and OPTIM.lr > last["linear"] > last["cosine"]


def test_a_state_that_other_code_wrote_is_refused_in_words(tmp_path: Path) -> None:
    """Its tensors had other names: nothing of it is taken, and nothing is learned from half of it."""
    model = torch.nn.Linear(2, 1)

    def opened() -> RunDir:
        return RunDir.open(tmp_path / "run", stage="sft", config={}, seed=0, resume=True)

    run = opened()
    run.save_state(1, trainable_tensors(model) | {"optim.count": torch.tensor(1)}, {})
    with pytest.raises(ResumeRefused, match="written by other code: no 'model_optim") as caught:
        Trained(opened(), {}, model=(model, MasterAdamW(list(model.parameters()), OPTIM, total_steps=2)))
    assert "--no-resume" in caught.value.remedy
