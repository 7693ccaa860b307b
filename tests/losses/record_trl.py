"""Record what TRL's own code makes of fixed tensors, for `test_against_trl.py`. Not run by the tests.

    python tests/losses/record_trl.py

once where trl==1.16.0 is installed, once where trl==1.12.0 is (the last with PPO). Each environment writes
its own cases into `trl.json` beside this file and leaves those of the other version alone. A loss that sits
inside a trainer's method is had by calling that method on a stand-in that holds what it reads; PPO's, which
sit in the middle of `train`, are read off the local variables of that very method while it trains the town's
smallest model. Nothing of TRL's is typed in again here.
"""

from __future__ import annotations

import inspect
import json
import sys
import tempfile
from collections import defaultdict
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import trl
from torch import Tensor

OUT = Path(__file__).with_name("trl.json")
MODEL = Path(__file__).parents[2] / "src/alignlab/town/models/town-s"
SEED = 20261125


def plain(x: Any) -> Any:
    """Tensors as nested lists, numbers as they are; exact: a float64's repr is read back to the same bits."""
    return (
        x.detach().tolist()
        if isinstance(x, Tensor)
        else [plain(v) for v in x]
        if isinstance(x, (list, tuple))
        else x
    )


def case(function: Any, text: str, inputs: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
    """One recorded case, with the place of the line of TRL's source that holds `text`."""
    lines, first = inspect.getsourcelines(function)
    at = first + next(i for i, line in enumerate(lines) if text in line)
    file = Path(inspect.getsourcefile(function) or "").as_posix()
    return {
        "source": f"trl/{file.rpartition('/trl/')[2]}:{at} {function.__qualname__}",
        "inputs": {k: plain(v) for k, v in inputs.items()},
        "outputs": {k: plain(v) for k, v in outputs.items()},
    }


class Alone:
    """accelerate's Accelerator, as far as a loss asks it: one process, nothing to gather."""

    device, num_processes, process_index, sync_gradients = torch.device("cpu"), 1, 0, True
    gather = gather_for_metrics = reduce = staticmethod(lambda x, **_: x)
    unwrap_model = staticmethod(lambda model: model)


class Body(torch.nn.Module):
    """The policy, as far as a loss asks it beside its forward pass."""

    is_gradient_checkpointing = False


def stand_in(**held: Any) -> SimpleNamespace:
    return SimpleNamespace(
        accelerator=Alone(),
        _metrics={m: defaultdict(list) for m in ("train", "eval")},
        model=Body(),
        aux_loss_enabled=False,
        _total_train_tokens=0,
        _tp_size=1,
        is_encoder_decoder=False,
        **held,
    )


def answering(log_probs: dict[int, Tensor]) -> Any:
    """A model whose log-probabilities are given: by the first token id of its input."""

    def model(input_ids: Tensor, **_: Any) -> SimpleNamespace:
        found = log_probs[int(input_ids[0, 0])]
        return SimpleNamespace(
            log_probs=found,
            entropy=found.detach() * 0,
            mean_logits=found.detach() * 0,
            is_top1=found.detach() > 0,
        )

    return model


def masks(g: torch.Generator, rows: int, width: int) -> Tensor:
    """Completion masks (rows, width): a prompt of one to three tokens, a completion of two and more, padding
    on the right.
    """
    mask = torch.zeros(rows, width, dtype=torch.long)
    for row in mask:
        begin = int(torch.randint(1, 4, (), generator=g))
        end = int(torch.randint(begin + 2, width + 1, (), generator=g))
        row[begin:end] = 1
    return mask


def logprobs(g: torch.Generator, mask: Tensor, scale: float = 1.0) -> Tensor:
    """Log-probabilities (B, T - 1) as TRL lays them out: those of tokens 1 .. T - 1; 0 outside the
    completion.
    """
    return -(torch.rand(mask[:, 1:].shape, generator=g, dtype=torch.float64) * 3 * scale + 0.01) * mask[:, 1:]


def dpo(g: torch.Generator) -> dict[str, Any]:
    from trl import DPOTrainer

    cases = {}
    mask = masks(g, 8, 9)
    policy, reference = logprobs(g, mask), logprobs(g, mask)
    for name, weights, beta, smoothing in (
        ("sigmoid", {"sigmoid": 1.0}, 0.1, 0.0),
        ("sigmoid_beta", {"sigmoid": 1.0}, 0.7, 0.0),
        ("hinge", {"hinge": 1.0}, 0.3, 0.0),
        ("ipo", {"ipo": 1.0}, 0.2, 0.0),
        ("robust", {"robust": 1.0}, 0.1, 0.2),
        ("sigmoid_smoothed", {"sigmoid": 1.0}, 0.1, 0.2),
        ("sigmoid_norm", {"sigmoid_norm": 1.0}, 2.0, 0.0),
        ("sigmoid_sft", {"sigmoid": 1.0, "sft": 0.2}, 0.1, 0.0),
    ):
        loss_types = list(weights)
        leaf = policy.clone().requires_grad_()
        ids = torch.ones(mask.shape, dtype=torch.long)
        me = stand_in(
            beta=beta,
            label_smoothing=smoothing,
            loss_types=loss_types,
            loss_weights=list(weights.values()),
            f_divergence_type="reverse_kl",
            ld_alpha=None,
            use_weighting=False,
            precompute_ref_logps=False,
            ref_model=answering({1: reference}),
            args=SimpleNamespace(gradient_checkpointing_kwargs=None),
        )
        loss = DPOTrainer._compute_loss(
            me,
            answering({1: leaf}),
            {"input_ids": ids, "attention_mask": ids, "completion_mask": mask},
            False,
        )
        loss.backward()
        metrics = {k: v[-1] for k, v in me._metrics["train"].items() if k.startswith(("rewards", "logps"))}
        cases[f"dpo/{name}"] = case(
            DPOTrainer._compute_loss,
            f'loss_type == "{loss_types[-1]}"',
            {
                "mask_BT": mask,
                "logprobs_BT": policy,
                "ref_logprobs_BT": reference,
                "beta": beta,
                "label_smoothing": smoothing,
                **({"sft_weight": weights["sft"]} if "sft" in weights else {}),
            },
            {"loss": loss, "gradient_BT": leaf.grad, **metrics},
        )
    return cases


def kto(g: torch.Generator) -> dict[str, Any]:
    from trl import KTOTrainer

    cases = {}
    for name, beta, weights in (("balanced", 0.1, (1.0, 1.0)), ("weighted", 0.5, (1.0, 1.4))):
        mask, kl_mask = masks(g, 6, 9), masks(g, 6, 9)
        label = torch.tensor([True, False, True, True, False, True])
        policy, reference = logprobs(g, mask), logprobs(g, mask)
        kl_reference = logprobs(g, kl_mask)
        kl_policy = kl_reference * 0.9
        leaf = policy.clone().requires_grad_()
        ids = torch.ones(mask.shape, dtype=torch.long)
        me = stand_in(
            beta=beta,
            loss_type="kto",
            calculate_KL=True,
            desirable_weight=weights[0],
            undesirable_weight=weights[1],
            precompute_ref_logps=False,
            ref_model=answering({1: reference, 2: kl_reference}),
            args=SimpleNamespace(gradient_checkpointing_kwargs=None),
        )
        me._compute_kl_logps = lambda model, batch, me=me: KTOTrainer._compute_kl_logps(me, model, batch)
        batch = {
            "input_ids": ids,
            "attention_mask": ids,
            "completion_mask": mask,
            "label": label,
            "KL_input_ids": ids * 2,
            "KL_attention_mask": ids,
            "KL_completion_mask": kl_mask,
        }
        loss = KTOTrainer._compute_loss(me, answering({1: leaf, 2: kl_policy}), batch, False)
        loss.backward()
        cases[f"kto/{name}"] = case(
            KTOTrainer._compute_loss,
            "chosen_losses = 1 - F.sigmoid(self.beta * (chosen_logratios - kl))",
            {
                "logprobs_BT": policy,
                "ref_logprobs_BT": reference,
                "kl_logprobs_BT": kl_policy,
                "kl_ref_logprobs_BT": kl_reference,
                "label_B": label,
                "beta": beta,
                "desirable_weight": weights[0],
                "undesirable_weight": weights[1],
            },
            {"loss": loss, "gradient_BT": leaf.grad, "kl": me._metrics["train"]["kl"][-1]},
        )
    return cases


def reference_free(g: torch.Generator) -> dict[str, Any]:
    """SimPO and CPO-SimPO's log-probability, ORPO: the loss from logits, by TRL's forward pass over a model
    whose logits are given.
    """
    from trl.experimental.cpo import CPOTrainer
    from trl.experimental.orpo import ORPOTrainer

    cases = {}
    mask = masks(g, 6, 8)
    ids = torch.randint(0, 11, mask.shape, generator=g)
    logits = torch.randn(*mask.shape, 11, generator=g, dtype=torch.float64)
    seen = (mask.flip(1).cumsum(1).flip(1) > 0).long()  # prompt and completion, no padding
    batch = {
        f"{side}_{what}": x[half]
        for side, half in (("chosen", slice(0, 3)), ("rejected", slice(3, 6)))
        for what, x in (
            ("input_ids", ids),
            ("attention_mask", seen),
            ("labels", ids.masked_fill(mask == 0, -100)),
        )
    }
    for name, kind, held in (
        (
            "simpo",
            CPOTrainer,
            {
                "loss_type": "simpo",
                "beta": 2.0,
                "simpo_gamma": 0.5,
                "cpo_alpha": 0.0,
                "alpha": 0.0,
                "label_smoothing": 0.0,
            },
        ),
        ("orpo", ORPOTrainer, {"beta": 0.1, "padding_value": 0}),
    ):
        leaf = logits.clone().requires_grad_()
        me = stand_in(pad_token_id=0, **held)
        me.concatenated_inputs, me.get_batch_logps = kind.concatenated_inputs, kind.get_batch_logps
        for method in ("concatenated_forward", "cpo_loss", "odds_ratio_loss"):
            if hasattr(kind, method):
                setattr(me, method, getattr(kind, method).__get__(me))
        model = lambda input_ids, leaf=leaf, **_: SimpleNamespace(logits=leaf)  # noqa: E731
        loss, metrics = kind.get_batch_loss_metrics(me, model, batch)
        loss.backward()
        cases[name] = case(
            kind.cpo_loss if name == "simpo" else kind.odds_ratio_loss,
            "def ",
            {
                "ids_BT": ids,
                "mask_BT": mask,
                "attention_mask_BT": seen,
                "logits_BTV": logits,
                **{k: held[k] for k in ("beta", "simpo_gamma") if k in held},
            },
            {
                "loss": loss,
                "gradient_BTV": leaf.grad,
                **{
                    k: float(v)
                    for k, v in metrics.items()
                    if k.startswith(("rewards", "logps", "nll", "log_odds"))
                },
            },
        )
    return cases


def group_losses(g: torch.Generator) -> dict[str, Any]:
    from trl import GRPOTrainer, RLOOTrainer

    cases = {}
    mask = (torch.arange(7) < torch.tensor([7, 3, 5, 1, 6, 4])[:, None]).long()
    old = -torch.rand(mask.shape, generator=g, dtype=torch.float64) * 3 - 0.01
    policy = old + 0.3 * torch.randn(mask.shape, generator=g, dtype=torch.float64)
    reference = old + 0.5 * torch.randn(mask.shape, generator=g, dtype=torch.float64)
    advantages = torch.tensor([1.2, -0.7, 0.3, -1.1, 0.9, -0.6], dtype=torch.float64)
    prompt = torch.ones(6, 2, dtype=torch.long)
    inputs = {
        "prompt_ids": prompt,
        "prompt_mask": prompt,
        "completion_ids": torch.ones_like(mask),
        "completion_mask": mask,
        "advantages": advantages,
    }

    def given(x: Tensor) -> Any:
        return lambda *_, **__: (x, torch.zeros_like(x), None)

    for name, loss_type, beta, level in (
        ("grpo", "grpo", 0.0, "token"),
        ("grpo_kl", "grpo", 0.05, "token"),
        ("dr_grpo", "dr_grpo", 0.0, "token"),
        ("dapo", "dapo", 0.0, "token"),
        ("bnpo", "bnpo", 0.0, "token"),
        ("gspo", "grpo", 0.0, "sequence"),
    ):
        leaf = policy.clone().requires_grad_()
        me = stand_in(
            loss_type=loss_type,
            beta=beta,
            importance_sampling_level=level,
            epsilon_low=0.2,
            epsilon_high=0.28,
            top_entropy_quantile=1.0,
            off_policy_mask_threshold=None,
            use_vllm=False,
            current_gradient_accumulation_steps=1,
            max_completion_length=7,
            _entropy_bonus_enabled=False,
            _get_per_token_logps_and_entropies=given(leaf),
            args=SimpleNamespace(delta=None, use_bias_correction_kl=False, steps_per_generation=1),
        )
        loss = GRPOTrainer._compute_loss(
            me,
            None,
            inputs
            | {
                "old_per_token_logps": old,
                "ref_per_token_logps": reference,
                "num_items_in_batch": mask.sum(),
            },
        )
        loss.backward()
        metrics = {
            k: v[-1]
            for k, v in me._metrics["train"].items()
            if k in ("kl", "clip_ratio/region_mean", "clip_ratio/low_mean", "clip_ratio/high_mean")
        }
        cases[f"group/{name}"] = case(
            GRPOTrainer._compute_loss,
            f'"{loss_type}"',
            {
                "mask_BT": mask,
                "logprobs_BT": policy,
                "old_logprobs_BT": old,
                "ref_logprobs_BT": reference,
                "advantages_B": advantages,
                "beta": beta,
                "epsilon_low": 0.2,
                "epsilon_high": 0.28,
                "max_completion_length": 7,
            },
            {"loss": loss, "gradient_BT": leaf.grad, **metrics},
        )
    leaf = policy.clone().requires_grad_()
    me = stand_in(epsilon_low=0.2, epsilon_high=0.28, _get_per_token_logps_and_entropies=given(leaf))
    loss = RLOOTrainer._compute_loss(me, None, inputs | {"old_logps": (old * mask).sum(1)})
    loss.backward()
    cases["group/rloo"] = case(
        RLOOTrainer._compute_loss,
        "per_sequence_loss = ",
        {
            "mask_BT": mask,
            "logprobs_BT": policy,
            "old_logprobs_BT": old,
            "advantages_B": advantages,
            "epsilon_low": 0.2,
            "epsilon_high": 0.28,
        },
        {"loss": loss, "gradient_BT": leaf.grad},
    )
    return cases


def advantages(g: torch.Generator) -> dict[str, Any]:
    """Of a real trainer on the town's smallest model, whose rewards are given; read from what it logs."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

    cases = {}
    scores = [[0.1, 0.9, 0.4, 0.4], [2.0, 2.0, 2.0, 2.0], [-1.0, 3.0, 0.5, -0.25]]
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    for name, config, kind, more in (
        ("rloo", RLOOConfig, RLOOTrainer, {}),
        ("grpo", GRPOConfig, GRPOTrainer, {"scale_rewards": "group"}),
        ("dr_grpo", GRPOConfig, GRPOTrainer, {"scale_rewards": "none"}),
        ("grpo_batch", GRPOConfig, GRPOTrainer, {"scale_rewards": "batch"}),
    ):
        with tempfile.TemporaryDirectory() as folder:
            args = config(
                output_dir=folder,
                per_device_train_batch_size=12,
                num_generations=4,
                max_completion_length=4,
                beta=0.0,
                max_steps=1,
                report_to=[],
                use_cpu=True,
                bf16=False,
                save_strategy="no",
                disable_tqdm=True,
                seed=SEED,
                **more,
            )
            trainer = kind(
                model=AutoModelForCausalLM.from_pretrained(MODEL),
                args=args,
                processing_class=tokenizer,
                reward_funcs=lambda completions, **_: [s for row in scores for s in row],
                train_dataset=Dataset.from_list([{"prompt": f"Question {i}"} for i in range(3)]),
            )
            trainer.train()
            found = torch.tensor(list(trainer._logs["advantages"])).view(3, 4)
        text = (
            "advantages = rewards - baselines"
            if name == "rloo"
            else "advantages = rewards - mean_grouped_rewards"
        )
        cases[f"advantages/{name}"] = case(
            kind._generate_and_score_completions, text, {"scores_PG": scores}, {"advantages_PG": found}
        )
    return cases


def reward(g: torch.Generator) -> dict[str, Any]:
    from trl import RewardTrainer

    cases = {}
    scores = torch.randn(10, 1, generator=g, dtype=torch.float64) * 2
    margin = torch.rand(5, generator=g, dtype=torch.float64)
    for name, with_margin, center in (
        ("plain", False, None),
        ("margin", True, None),
        ("center", False, 0.01),
        ("margin_center", True, 0.1),
    ):
        leaf = scores.clone().requires_grad_()
        me = stand_in(args=SimpleNamespace(center_rewards_coefficient=center))
        inputs = {"attention_mask": torch.ones(10, 3, dtype=torch.long)} | (
            {"margin": margin} if with_margin else {}
        )
        loss = RewardTrainer.compute_loss(me, lambda leaf=leaf, **_: SimpleNamespace(logits=leaf), inputs)
        loss.backward()
        assert leaf.grad is not None
        metrics = {
            k: me._metrics["train"][k][-1]
            for k in ("accuracy", "margin", "min_reward", "mean_reward", "max_reward")
        }
        cases[f"reward/{name}"] = case(
            RewardTrainer.compute_loss,
            "loss = -nn.functional.logsigmoid",
            {
                "chosen_B": scores[:5, 0],
                "rejected_B": scores[5:, 0],
                "margin_B": margin if with_margin else None,
                "center": center or 0.0,
            },
            {
                "loss": loss,
                "gradient_chosen_B": leaf.grad[:5, 0],
                "gradient_rejected_B": leaf.grad[5:, 0],
                **metrics,
            },
        )
    return cases


def tokens(g: torch.Generator) -> dict[str, Any]:
    from trl.trainer.utils import entropy_from_logits, selective_log_softmax

    logits, ids = (
        torch.randn(3, 6, 13, generator=g, dtype=torch.float64) * 3,
        torch.randint(0, 13, (3, 6), generator=g),
    )
    cases = {}
    for temperature in (1.0, 0.7):
        cases[f"tokens/temperature_{temperature}"] = case(
            selective_log_softmax,
            "def ",
            {"logits_BTV": logits, "ids_BT": ids, "temperature": temperature},
            {
                "logprobs_BT": selective_log_softmax(logits[:, :-1], ids[:, 1:], temperature=temperature),
                "entropy_BT": entropy_from_logits(logits / temperature),
            },
        )
    return cases


def ppo(g: torch.Generator) -> dict[str, Any]:
    """What `PPOTrainer.train` computes while it trains: rewards, advantages, returns and both losses, of its
    own rollouts.
    """
    import numpy as np
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
    from trl.experimental.ppo import PPOConfig, PPOTrainer
    from trl.experimental.ppo.ppo_trainer import masked_whiten

    tokenizer = AutoTokenizer.from_pretrained(MODEL, padding_side="left")
    if tokenizer.pad_token_id == tokenizer.eos_token_id:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(0)

    def scalar():
        return AutoModelForSequenceClassification.from_pretrained(
            MODEL, num_labels=1, pad_token_id=tokenizer.pad_token_id
        )

    policy = lambda: AutoModelForCausalLM.from_pretrained(MODEL)  # noqa: E731
    lines, first = inspect.getsourcelines(PPOTrainer.train)
    line_of = lambda text: first + next(i for i, line in enumerate(lines) if text in line)  # noqa: E731
    rollout_at, update_at = line_of("b_inds = np.random.permutation"), line_of("accelerator.backward(loss)")
    rollout_names = (
        "scores",
        "logprobs",
        "ref_logprobs",
        "values",
        "rewards",
        "advantages",
        "returns",
        "padding_mask",
        "padding_mask_p1",
        "kl",
    )
    update_names = (
        "new_logprobs",
        "mb_logprobs",
        "mb_advantage",
        "vpred",
        "mb_values",
        "mb_return",
        "pg_loss",
        "vf_loss",
        "pg_clipfrac",
        "vf_clipfrac",
    )
    cases = {}
    for name, whiten_rewards, estimator in (("k1", False, "k1"), ("k3_whitened", True, "k3")):
        torch.manual_seed(SEED)
        np.random.seed(SEED)
        texts = [
            "The baker said that",
            "In the morning",
            "Yes, the river",
            "Our town has a",
            "What is the",
            "A letter came",
            "She is",
            "To the north",
        ]
        data = Dataset.from_list(
            [{"input_ids": tokenizer(t, add_special_tokens=False)["input_ids"]} for t in texts]
        )
        seen: dict[str, Any] = {"rollout": {}, "updates": []}

        def watch(frame: Any, event: str, _: Any, seen: dict[str, Any] = seen) -> Any:
            if frame.f_code is not PPOTrainer.train.__code__:
                return None
            if event == "line" and frame.f_lineno == rollout_at and not seen["rollout"]:
                seen["rollout"] = {k: frame.f_locals[k].detach().clone() for k in rollout_names}
            if event == "line" and frame.f_lineno == update_at:
                held = frame.f_locals
                rows = {"rows": held["micro_batch_inds"].tolist()}
                seen["updates"].append(
                    rows | {k: held[k].detach().clone() for k in update_names if k in held}
                )
            return watch

        with tempfile.TemporaryDirectory() as folder:
            args = PPOConfig(
                output_dir=folder,
                per_device_train_batch_size=8,
                gradient_accumulation_steps=1,
                num_mini_batches=1,
                num_ppo_epochs=3,
                total_episodes=8,
                response_length=10,
                local_rollout_forward_batch_size=8,
                stop_token_id=tokenizer(".", add_special_tokens=False)["input_ids"][-1],
                kl_coef=0.2,
                kl_estimator=estimator,
                whiten_rewards=whiten_rewards,
                cliprange=0.1,
                cliprange_value=0.05,
                vf_coef=0.1,
                gamma=0.98,
                lam=0.95,
                learning_rate=1e-3,
                lr_scheduler_type="constant",
                num_sample_generations=0,
                use_cpu=True,
                bf16=False,
                report_to="none",
                save_strategy="no",
                seed=SEED,
            )
            reference = policy()
            with torch.no_grad():
                for p in reference.parameters():
                    p.mul_(1.0 + 0.05 * torch.randn(p.shape, generator=g))
            trainer = PPOTrainer(
                args=args,
                processing_class=tokenizer,
                model=policy(),
                ref_model=reference,
                reward_model=scalar(),
                value_model=scalar(),
                train_dataset=data,
                eval_dataset=data,
            )
            sys.settrace(watch)
            try:
                trainer.train()
            finally:
                sys.settrace(None)
        settings = {
            "kl_coef": 0.2,
            "kl_estimator": estimator,
            "whiten_rewards": whiten_rewards,
            "cliprange": 0.1,
            "cliprange_value": 0.05,
            "gamma": 0.98,
            "lam": 0.95,
        }
        given = {
            k: seen["rollout"].pop(k)
            for k in ("scores", "logprobs", "ref_logprobs", "values", "padding_mask", "padding_mask_p1")
        }
        cases[f"ppo/rollout_{name}"] = case(
            PPOTrainer.train, "# 4. compute rewards", given | settings, seen["rollout"]
        )
        for i, found in enumerate(seen["updates"]):
            figures = {k: found.pop(k) for k in ("pg_loss", "vf_loss")}
            rows = found.pop("rows")
            masks = {
                "padding_mask": given["padding_mask"][rows],
                "padding_mask_p1": given["padding_mask_p1"][rows],
            }
            cases[f"ppo/update_{name}_{i}"] = case(
                PPOTrainer.train, "pg_losses = -mb_advantage * ratio", found | masks | settings, figures
            )
    x, mask = (
        torch.randn(4, 6, generator=g, dtype=torch.float64),
        (torch.arange(6) < torch.tensor([6, 2, 4, 5])[:, None]),
    )
    cases["whiten"] = case(
        masked_whiten,
        "def ",
        {"x_BT": x, "mask_BT": mask.long()},
        {"whitened_BT": masked_whiten(x, mask), "mean_kept_BT": masked_whiten(x, mask, shift_mean=False)},
    )
    return cases


def version(name: str, held: dict[str, Any]) -> str:
    """The cases of one version as JSON, one a line."""
    head = {key: value for key, value in held.items() if key != "cases"}
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in held["cases"].items())
    return f'{json.dumps(name)}: {json.dumps(head)[:-1]}, "cases": {{\n{lines}\n}}}}'


def main() -> None:
    recorders = (
        [ppo]
        if trl.__version__.startswith("1.12.")
        else [tokens, dpo, kto, reference_free, reward, group_losses, advantages]
    )
    cases = {}
    for record in recorders:
        cases |= record(torch.Generator().manual_seed(SEED))
    book = json.loads(OUT.read_text()) if OUT.exists() else {}
    import transformers

    book[f"trl {trl.__version__}"] = {
        "recorded": date.today().isoformat(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "seed": SEED,
        "cases": cases,
    }
    OUT.write_text("{\n" + ",\n".join(version(name, held) for name, held in sorted(book.items())) + "\n}\n")
    print(f"{OUT}: {len(cases)} cases of trl {trl.__version__}")


if __name__ == "__main__":
    main()
