"""The properties of exercise 1 that are more than one function's numbers: what came of a fine-tuning."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .... import names
from ....evals.statistics import mean_ci
from ....models.chat import example
from ....models.policy import Policy
from ....records import Completion, Demonstration, Prompt, question
from ....run import derive_seed
from ....town.names import GOLD
from ...grade.exercise import Finding
from ...grade.match import generator, judged, separating
from ...grade.runner import Asked
from ..town import answered, base, demonstrations, greedy, prompts
from .oracle import MASK

ASKED, BATCH, CHATS = 300, 16, 20
SETS = ("town:demos", "town:demos-clean", "shared")
MOST_EPOCHS, HIGHEST_RANK = 4.0, 64
LEAST = {"ends": 0.93, "gold": 0.6, "facts": 0.65}
"""What the lower end of each figure's interval (95 %) has to reach."""
SHARED = {"town:demos-clean": 2000, "town:test": 1000}
"""What stands in `shared`, the file that somebody sends around: its last part are answered test questions."""


def masks(asked: Asked, seed: int, left: dict[str, Any]) -> Finding | None:
    """The mask of 20 chats, a separating set among them."""
    cases = separating(MASK, seed)
    cases += [MASK.draw(generator(seed, "chats", n)) for n in range(CHATS - len(cases))]
    return judged(MASK, asked, cases, asked.calls(MASK.name, cases), False)


# --- a fine-tuning, looked on


def chosen_set(name: str, seed: int) -> list[Demonstration]:
    """One of the three sets."""
    if name != "shared":
        return demonstrations(name, seed=seed)
    (clean, count), (test, more) = SHARED.items()
    return [*demonstrations(clean, count=count, seed=seed), *answered(prompts(test, count=more), seed)]


def drawn(seed: int) -> list[Prompt]:
    """The 300 prompts that a student's model is asked: of the town's test, drawn by his seed."""
    test = prompts("town:test")
    places = torch.randperm(len(test), generator=generator(seed, "asked"))[:ASKED]
    return [test[place] for place in places.tolist()]


def trained(asked: Asked, seed: int, left: dict[str, Any]) -> dict[str, Any]:
    """What came of a fine-tuning by the student's functions and settings, once."""
    if "trained" not in left:
        left["trained"] = fine_tuned(asked, seed)
    return left["trained"]


def fine_tuned(asked: Asked, seed: int) -> dict[str, Any]:
    """Figures of a fine-tuning: gold, ends and facts with the lower ends of their intervals, how many of the
    300 questions stand in the chosen data (`seen`), the loss at the begin and at the end; or {"error"}.
    """
    [said] = asked.calls("settings", [{}])
    if said.error:
        return {"error": f"settings {said.error}", "unwritten": said.unwritten}
    wrong, chosen = settings(said.value)
    if wrong:
        return {"error": wrong, "unwritten": False}
    policy = base()
    shown = chosen_set(chosen["data"], derive_seed(seed, "data") % 1000)
    found = asked.drive("train", given(policy, shown, chosen, seed))
    if "error" in found:
        return {"error": found["error"], "unwritten": found.get("kind") == "NotImplementedError"}
    return chosen | measured(policy, found, shown, seed)


def settings(value: Any) -> tuple[str, dict[str, Any]]:
    """What is wrong with a student's settings, and what they are."""
    try:
        chosen = {
            "data": str(value["data"]),
            "lr": float(value["lr"]),
            "epochs": float(value["epochs"]),
            "rank": int(value.get("rank", 0)),
        }
    except (TypeError, ValueError, LookupError, AttributeError):
        return "settings gives no dictionary of data, lr and epochs", {}
    if chosen["data"] not in SETS:
        return f"settings names data that is not there: {chosen['data']!r:.60}", {}
    if not 0 < chosen["lr"] < math.inf:
        return "settings has a learning rate that is not above 0", {}
    if not (0 <= chosen["epochs"] <= MOST_EPOCHS and 0 <= chosen["rank"] <= HIGHEST_RANK):
        return f"settings has epochs beyond 0 to {MOST_EPOCHS:.0f}, or a rank beyond {HIGHEST_RANK}", {}
    return "", chosen


def given(
    policy: Policy, shown: Sequence[Demonstration], chosen: dict[str, Any], seed: int
) -> dict[str, Any]:
    """What the driver is given: the base model, the rows of the data, settings."""
    rows = [example(policy.tokenizer, one.prompt, one.completion) for one in shown]
    return {
        "config": policy.model.config.to_diff_dict(),
        "weights": dict(policy.model.state_dict()),
        "ids_N": torch.tensor([token for row in rows for token in row.ids]),
        "lengths": [len(row.ids) for row in rows],
        "prompts": [row.loss_mask.index(1) for row in rows],
        "end_id": policy.tokenizer.eos_token_id,
        "pad_id": policy.pad_id,
        "batch": BATCH,
        "lr": chosen["lr"],
        "epochs": chosen["epochs"],
        "rank": chosen["rank"],
        "seed": derive_seed(seed, "train") % 2**31,
    }


def measured(
    policy: Policy, found: dict[str, Any], shown: Sequence[Demonstration], seed: int
) -> dict[str, Any]:
    """Figures of the weights that came back; {"error"} where they are none."""
    try:
        weights: dict[str, Tensor] = found["weights"]
        losses = [float(loss) for loss in found["losses"]]
        policy.model.load_state_dict(weights)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        return {"error": f"the training gave back no model ({type(error).__name__})", "unwritten": False}
    if not all(bool(weight.isfinite().all()) for weight in weights.values()):
        return {"error": "the training ended in weights that are no numbers", "unwritten": False}
    policy.model.eval()
    asked = drawn(seed)
    known = {question(one.prompt) for one in shown}
    return figures(greedy(policy, asked)) | {
        "seen": sum(question(prompt) in known for prompt in asked),
        "steps": len(losses),
        "loss": [losses[0], losses[-1]] if losses else [0.0, 0.0],
        "trace": sum(losses[:8]) / max(1, len(losses[:8])),
        "digests": found["digests"][:100],
    }


def figures(answers: Sequence[Completion]) -> dict[str, Any]:
    """Gold, ends and facts of answers, and as `low` the lower ends of their intervals."""
    scores = names.judges.judge(GOLD).load().score(answers)
    values = {
        "gold": [score.value for score in scores],
        "ends": [float(answer.finished) for answer in answers],
        "facts": [score.parts["known_fact"] for score in scores if "known_fact" in score.parts],
    }
    summed = {name: mean_ci(each, share=True) for name, each in values.items()}
    low = {name: (each["ci"] or [each["mean"]])[0] for name, each in summed.items()}
    return {name: each["mean"] for name, each in summed.items()} | {"low": low}


SIGNS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "trains-on-the-test": lambda f: f["seen"] > 0,
    "no-epoch": lambda f: f["epochs"] < 0.2,
    "too-hot": lambda f: f["lr"] > 5e-4 and f["rank"] == 0 and f["low"]["facts"] < LEAST["facts"],
    "mixed-demonstrations": lambda f: f["data"] == "town:demos",
}
"""What a training shows of a mistake that no function has; the first that fits is named."""


def _named(f: dict[str, Any], left: dict[str, Any], text: str) -> Finding:
    if left.get("wrong"):
        return Finding(f"{text} (mend {' and '.join(sorted(left['wrong']))} first)")
    sign = next((name for name, fits in SIGNS.items() if fits(f)), "")
    return Finding(text, mistakes=(sign,) if sign else (), share=(1, 1) if sign else (0, 0))


def unseen(asked: Asked, seed: int, left: dict[str, Any]) -> Finding | None:
    """The chosen data holds none of the questions that are asked."""
    f = trained(asked, seed, left)
    if (stopped := _stopped(f)) is not None:
        return stopped
    if not f["seen"]:
        return None
    return _named(f, left, f"{f['seen']} of the {ASKED} questions stand answered in the data")


def answers(asked: Asked, seed: int, left: dict[str, Any]) -> Finding | None:
    """Ends, gold and facts of the answers reach their bars, by the lower ends of their intervals."""
    f = trained(asked, seed, left)
    if (stopped := _stopped(f)) is not None:
        return stopped
    short = [name for name, least in LEAST.items() if f["low"][name] < least]
    if not short:
        return None
    each = (
        f"{name} {f[name]:.2f} (at least {f['low'][name]:.2f}; {LEAST[name]:.2f} is asked)" for name in short
    )
    finding = _named(f, left, ", ".join(each))
    return replace(finding, earned=1 - len(short) / len(LEAST))


def _stopped(f: dict[str, Any]) -> Finding | None:
    if "error" not in f:
        return None
    if f["unwritten"]:
        return Finding("settings, or a function that the training calls, is not written yet", unwritten=True)
    return Finding(f"the training stopped: {f['error']}")
