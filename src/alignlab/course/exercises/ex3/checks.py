"""The properties of exercise 3 that are more than one function's numbers."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ....run import derive_seed
from ....studies.closed_form_settings import ClosedFormSettings
from ....studies.closed_form_task import Task, kl, make_task, optimum
from ...grade.exercise import Finding
from ...grade.match import generator, judged, named, separating
from ...grade.runner import Asked
from .oracle import CLIP, LOSS, advantages, policy_loss, shaped_rewards

SIZES = ClosedFormSettings()
GROUPS, OF = 4000, 4  # sampled gradients, and completions of each
NEAR, HALF = 0.02, 0.25  # shares of the reference's distance to the optimum: all points, and half of them


# --- the gradient, against one that is a sum


def _along(task: Task, table_PSV: Tensor, d_PSV: Tensor, prompts_B: Tensor, ids_B: Tensor) -> Tensor:
    """(B, T): how log p of each token changes along a direction in the space of tables."""
    states_BT = task.states_CT[ids_B]
    d_BTV, logits_BTV = d_PSV[prompts_B[:, None], states_BT], table_PSV[prompts_B[:, None], states_BT]
    mean_BT = (logits_BTV.softmax(-1) * d_BTV).sum(-1)
    return d_BTV.gather(2, task.ids_CT[ids_B][:, :, None]).squeeze(2) - mean_BT


def _exact(task: Task, table_PSV: Tensor) -> Tensor:
    """The gradient of E r - beta KL, the mean over prompts, by enumeration."""
    table = table_PSV.clone().requires_grad_()
    log_p = task.log_table(table)
    worth_PC = task.reward_PC - task.beta * (log_p - task.log_ref_PC)
    [gradient] = torch.autograd.grad((log_p.exp() * worth_PC).sum(1).mean(), [table])
    return gradient


class Sampled:
    """4,000 groups drawn from a policy away from the reference, and the directions they are looked at in."""

    def __init__(self, seed: int) -> None:
        g = generator(seed, "gradient")
        self.task = task = make_task(SIZES, derive_seed(seed, "task"))
        self.table = task.ref_PSV + 0.5 * torch.randn(task.ref_PSV.shape, generator=g, dtype=torch.float64)
        prompts = torch.randint(len(task.reward_PC), (GROUPS,), generator=g)
        table_PC = task.log_table(self.table).exp()
        self.ids_B = torch.multinomial(table_PC[prompts], OF, replacement=True, generator=g).flatten()
        self.prompts_B = prompts.repeat_interleave(OF)
        exact = _exact(task, self.table)
        drawn = [torch.randn(exact.shape, generator=g, dtype=torch.float64) for _ in range(2)]
        self.directions = [d / d.norm() for d in (exact, *drawn)]
        self.exact = [float((exact * d).sum()) for d in self.directions]
        logp_BT = task.logprobs(self.table, self.prompts_B, self.ids_B)
        ref_BT = task.logprobs(task.ref_PSV, self.prompts_B, self.ids_B)
        mask_BT, scores_B = torch.ones_like(logp_BT), task.reward_PC[self.prompts_B, self.ids_B]
        rewards_BT = shaped_rewards(scores_B, logp_BT, ref_BT, mask_BT, task.beta)
        self.case = {
            "logp_BT": logp_BT,
            "old_BT": logp_BT.clone(),
            "adv_BT": advantages(rewards_BT, mask_BT, OF),
            "mask_BT": mask_BT,
            "clip": CLIP,
            "tokens": float(len(scores_B)),
        }

    def errors(self, gradient_BT: Tensor, right_BT: Tensor) -> list[float]:
        """How many standard errors the mean of the sampled gradients is from the exact one, by direction. The
        errors are those of the right loss: one that is all noise hides behind none of its own.
        """
        found: list[float] = []
        for d, exact in zip(self.directions, self.exact, strict=True):
            along_BT = _along(self.task, self.table, d, self.prompts_B, self.ids_B)
            mine_G, right_G = (
                -(part_BT * along_BT).sum(1).view(GROUPS, OF).sum(1) * GROUPS
                for part_BT in (gradient_BT, right_BT)
            )
            found.append(float((mine_G.mean() - exact) / (right_G.std() / math.sqrt(GROUPS))))
        return found


def sampled_gradient(asked: Asked, seed: int, left: dict[str, Any]) -> Finding | None:
    """The mean of 4,000 sampled gradients is the exact gradient, within three standard errors.

    The draws are the first for which this holds of the right loss: in three directions it fails by chance
    once in a hundred.
    """
    for n in range(20):
        sampled = Sampled(derive_seed(seed, "sampled", n))
        logp_BT = sampled.case["logp_BT"].clone().requires_grad_()
        loss = policy_loss(logp_BT, *list(sampled.case.values())[1:])
        [right_BT] = torch.autograd.grad(loss, [logp_BT])
        if max(map(abs, sampled.errors(right_BT, right_BT))) <= 3:
            break
    [answer] = asked.calls(LOSS.name, [sampled.case], LOSS.gradient)
    if answer.value is None and not answer.error:
        return Finding("policy_loss gives back nothing yet", unwritten=True)
    if answer.error:
        return Finding(f"policy_loss stopped: {answer.error}", unwritten=answer.unwritten)
    gradient_BT = torch.zeros_like(right_BT) if answer.gradient is None else answer.gradient.to(torch.float64)
    errors = sampled.errors(gradient_BT, right_BT) if gradient_BT.shape == right_BT.shape else [math.inf]
    worst = max(map(abs, errors))
    if worst <= 3:
        return None
    text = f"the mean of {GROUPS:,} sampled gradients is {worst:.0f} standard errors from the exact gradient"
    if not gradient_BT.any():
        text = "no gradient comes out of policy_loss: whatever is learnt from it stays as it is"
    cases = separating(LOSS, seed)
    answers = asked.calls(LOSS.name, cases, LOSS.gradient)
    example = judged(LOSS, asked, cases, answers, True)
    return named(LOSS, asked, cases, answers, Finding(text, example.example if example else ()))


# --- a training, looked on


def trained(asked: Asked, seed: int, left: dict[str, Any]) -> dict[str, Any]:
    """What came of the student's `train`, once; with what can be computed of it exactly."""
    if "trained" not in left:
        left["trained"] = measured(asked.drive("train", given(seed)), seed)
    return left["trained"]


def given(seed: int) -> dict[str, Any]:
    """What the driver is given: a task and settings that follow from the seed."""
    task = make_task(SIZES, derive_seed(seed, "task"))
    settings = {name: getattr(SIZES, name) for name in ("steps", "lr", "group", "groups")}
    return {
        "reward_PC": task.reward_PC,
        "ref_PSV": task.ref_PSV,
        "beta": task.beta,
        "length": SIZES.length,
        "settings": settings | {"clip": CLIP, "seed": derive_seed(seed, "train") % 2**31},
    }


def measured(found: dict[str, Any], seed: int) -> dict[str, Any]:
    """Figures of a training: `share` of the reference's distance that is left, `kl` from the reference, how
    the first draws are spread, and what the driver saw; {"error"} where there was none.
    """
    if "error" in found:
        return {"error": found["error"], "unwritten": found.get("kind") == "NotImplementedError"}
    task = make_task(SIZES, derive_seed(seed, "task"))
    try:
        table = found["table_PSV"].to(torch.float64)
        saw: dict[str, Any] = found["saw"]
        if table.shape != task.ref_PSV.shape:
            return {"error": f"train gives a table of shape {tuple(table.shape)}", "unwritten": False}
        if not table.isfinite().all():
            return {"error": "train gives a table that is not finite", "unwritten": False}
        log_ref, log_p = task.log_ref_PC, task.log_table(table)
        best = optimum(log_ref, task.reward_PC, task.beta)
        away, start = kl(log_p, best).mean().item(), kl(log_ref, best).mean().item()
        figures = {name: value for name, value in saw.items() if not isinstance(value, Tensor)}
        figures |= {
            "away": away,
            "share": away / start,
            "kl": kl(log_p, log_ref).mean().item(),
            "best_kl": kl(best, log_ref).mean().item(),
            "reward": (log_p.exp() * task.reward_PC).sum(1).mean().item(),
            "moved": float((table - task.ref_PSV).abs().max()),
            "digests": [_digest(t) for t in found["tables"][:100]],
            "trace": _after_8_steps(task, found["tables"]),
        }
        return figures | _draws(task, found["first"], saw)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
        return {"error": f"train gives back what is no table ({type(error).__name__})", "unwritten": False}


def _after_8_steps(task: Task, tables: Tensor) -> float | None:
    """KL from the reference, nats: what a receipt says where the last bits cannot be the same."""
    if len(tables) < 2:
        return None
    return kl(task.log_table(tables[1].to(torch.float64)), task.log_ref_PC).mean().item()


def _digest(table: Tensor) -> str:
    return hashlib.sha256(table.to(torch.float64).contiguous().numpy().tobytes()).hexdigest()[:12]


def _draws(task: Task, first: dict[str, Tensor], saw: dict[str, Any]) -> dict[str, Any]:
    """Of the first completions that were scored: `draws_z`, how many standard errors their mean
    log-probability is from minus the entropy of the policy that is to have drawn them; `different` ones per
    prompt; `off`, how far the log-probabilities that were learnt from are from those of any of them.
    """
    if not first:
        return {"draws_z": math.inf, "different": 0.0, "off": math.inf}
    p, ids, table = first["prompts_B"], first["ids_BT"], first["table_PSV"].to(torch.float64)
    number = torch.zeros_like(p)
    for place in range(ids.shape[1]):
        number = number * SIZES.vocabulary + ids[:, place]
    log_p = task.log_table(table)
    mean_P = (log_p.exp() * log_p).sum(1)
    spread_P = (log_p.exp() * (log_p - mean_P[:, None]).square()).sum(1)
    z = (log_p[p, number] - mean_P[p]).sum() / spread_P[p].sum().sqrt().clamp_min(1e-9)
    pairs = torch.stack([p, number], 1).unique(dim=0)
    off = math.inf
    if "logp_BT" in saw:
        true_BT = task.logprobs(table, p, number)
        off = torch.cdist(saw["logp_BT"].to(torch.float64), true_BT, p=math.inf).min(1).values.max().item()
    return {"draws_z": z.item(), "different": len(pairs) / len(p.unique()), "off": off}


SIGNS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "greedy": lambda f: f["different"] == 1.0,
    "enumerated": lambda f: abs(f["draws_z"]) > 6,
    "old-keeps-its-gradient": lambda f: f["old_has_gradient"],
    "one-off": lambda f: f["off"] > 1e-6,
    "never-cleared": lambda f: f["kept"] > f["backwards"] / 2,
    "reference-is-the-policy": lambda f: f.get("reference_gap", 1.0) == 0.0 and f["moved"] > 0.5,
    "old-is-stale": lambda f: f["first_gap"] > 1e-6,
    "k1-in-the-loss": lambda f: f.get("beta", 0.0) == 0.0 and f["kl"] > 1.5 * f["best_kl"],
    "k3-in-the-loss": lambda f: f.get("beta", 0.0) == 0.0 and f["kl"] <= 1.5 * f["best_kl"],
}
"""What a training shows of a mistake that no single function has; the first that fits is named."""


def _named(f: dict[str, Any], left: dict[str, Any], text: str, earned: float = 0.0) -> Finding:
    """A finding of the training. What a wrong function does to it is that function's: it is named once."""
    if left.get("wrong"):
        return Finding(f"{text} (mend {' and '.join(sorted(left['wrong']))} first)", earned=earned)
    sign = next((name for name, fits in SIGNS.items() if fits(f)), "")
    mistakes = (sign,) if sign else ()
    mark = "" if sign else _mark(f)
    return Finding(text, mistakes=mistakes, share=(1, 1) if sign else (0, 0), fingerprint=mark, earned=earned)


def _mark(f: dict[str, Any]) -> str:
    """An id of how a training went wrong: what was seen, and roughly where it ends. Tasks differ, and so may
    the ids of two students who have made the same mistake.
    """
    ends = [f["share"] <= most for most in (NEAR, HALF, 0.9, 1.1)] + [
        f["kl"] < f["best_kl"],
        f["moved"] > 0.5,
    ]
    seen = [f.get("beta", -1.0) == 0.0, "beta" in f, f["losses"] > 0]
    return hashlib.sha256(repr(ends + seen).encode()).hexdigest()[:8]


def _of_training(
    says: Callable[[dict[str, Any], dict[str, Any]], Finding | None],
) -> Callable[[Asked, int, dict[str, Any]], Finding | None]:
    def check(asked: Asked, seed: int, left: dict[str, Any]) -> Finding | None:
        figures = trained(asked, seed, left)
        if figures.get("unwritten"):
            return Finding("train, or a function it calls, is not written yet", unwritten=True)
        if "error" in figures:
            return Finding(f"train stopped: {figures['error']}")
        return says(figures, left)

    return check


@_of_training
def first_ratio(f: dict[str, Any], left: dict[str, Any]) -> Finding | None:
    if not f["losses"]:
        return Finding("train does not use policy_loss")
    if f["first_gap"] == 0.0:
        return None
    gap = f["first_gap"]
    return _named(f, left, f"on the first minibatch of a batch log p and old log p differ by up to {gap:.2g}")


@_of_training
def sampling(f: dict[str, Any], left: dict[str, Any]) -> Finding | None:
    if not f["steps"]:
        return Finding("train scores no completion")
    if abs(f["draws_z"]) <= 6 and f["different"] > 1:
        return None
    return _named(
        f, left, f"the first completions are no draws of the policy ({f['draws_z']:+.0f} standard errors)"
    )


@_of_training
def near_optimum(f: dict[str, Any], left: dict[str, Any]) -> Finding | None:
    if f["share"] <= NEAR:
        return None
    text = f"training ends {f['away']:.2f} nats from the best policy, {f['share']:.0%} of where it began"
    return _named(f, left, text, earned=0.5 if f["share"] <= HALF else 0.0)
