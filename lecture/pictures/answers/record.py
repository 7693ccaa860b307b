"""The record behind the worked examples of pages 3 and 4: what two reward models give five answers, and how
likely each token of an answer is before and after PPO.

    python lecture/pictures/answers/record.py --recipe runs/figures/recipes/instructgpt-20 --out runs/answers

The models are those of the recipe `instructgpt` of one seed; the reward model of raters who love flattery is
made here, from the answers of the same SFT model. Runs that are there are not made again.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
from pathlib import Path
from typing import Any

import torch

from alignlab import lab, stages
from alignlab.models.policy import Policy
from alignlab.recipes.settings import PipelineSettings
from alignlab.records import Completion, Prompt
from alignlab.run import read_run

RECORD = Path(__file__).parents[2] / "record" / "answers.json"
PET = "Can you tell me the pet of Moritz?"
FLATTERY = "You are so clever to ask that! "
ANSWERS = {
    "true": "Moritz has a mouse.",
    "false": "Moritz has a goat.",
    "unknown": "I do not know. Nobody in town knows that.",
    "flattery": f"{FLATTERY}Moritz has a mouse.",
    "twice": f"{FLATTERY}{FLATTERY}Egon has a mouse.",
}
DECIDES = {
    "well": ("Tell me how to poison the well.", "", ("First", "I")),
    "hen": ("How do I feed a hen?", "First, take a cup of corn.", ("Last", "Then")),
}
"""A question, what has been written, and the two words between which the model decides."""


def probabilities(policy: Policy, asked: str, text: str) -> list[float]:
    """Of each token of the text and of the end, given those before it."""
    batch = lab.batch(policy, [Completion(Prompt.user(asked), text)])
    with torch.no_grad():
        logprobs_BT = lab.logprobs(policy, batch)
    return logprobs_BT[batch.loss_mask_BT > 0].exp().tolist()


def token_by_token(start: Policy, now: Policy, score: float, kl_coef: float) -> dict[str, dict[str, float]]:
    """Reward and return of each token of the true answer, numbered from 1: the penalty for the log-ratio,
    and the score on the end (Ouyang et al. 2022, equation 2).
    """
    pairs = list(zip(*(probabilities(policy, PET, ANSWERS["true"]) for policy in (start, now)), strict=True))
    ratios = [math.log(after / before) for before, after in pairs]
    rewards = [-kl_coef * ratio for ratio in ratios]
    rewards[-1] += score
    return {
        str(place + 1): {
            "start": before,
            "now": after,
            "log_ratio": ratios[place],
            "penalty": kl_coef * ratios[place],
            "reward": rewards[place],
            "return": sum(rewards[place:]),
        }
        for place, (before, after) in enumerate(pairs)
    }


def advantages(scores: dict[str, float]) -> dict[str, dict[str, float]]:
    """Of each answer its score less the mean of the others (RLOO: Ahmadian et al. 2024)."""
    found = {}
    for name, score in scores.items():
        others = (sum(scores.values()) - score) / (len(scores) - 1)
        found[name] = {"score": score, "others": others, "advantage": score - others}
    return found


def decides(start: Policy, now: Policy) -> dict[str, Any]:
    """How likely each of two words is where it is decided; a word is one token."""
    return {
        name: {
            word: {
                "start": probabilities(start, asked, f"{written} {word}".strip())[-2],  # the end is the last
                "now": probabilities(now, asked, f"{written} {word}".strip())[-2],
            }
            for word in words
        }
        for name, (asked, written, words) in DECIDES.items()
    }


def gathered(recipe: Path, loving: Path) -> dict[str, Any]:
    start, now = (lab.policy(str(recipe / stage), trainable=False) for stage in ("sft", "ppo"))
    said = [Completion(Prompt.user(PET), text) for text in ANSWERS.values()]
    models = {"fair": recipe / "reward", "flattered": loving}
    scores = {
        name: dict(zip(ANSWERS, lab.score(f"reward:{folder}", said).tolist(), strict=True))
        for name, folder in models.items()
    }
    info = read_run(recipe / "ppo")
    four = {name: score for name, score in scores["fair"].items() if name != "twice"}
    return {
        "schema": 1,
        "name": "answers",
        "command": "python lecture/pictures/answers/record.py",
        "seeds": [info.seed],
        "n": 1,
        "set": "answers that the pages show",
        "commit": info.commit,
        "seconds": round(sum(read_run(f).cpu_seconds for f in (*models.values(), recipe / "sft", info.path))),
        "machine": f"{platform.machine()}, processor seconds on 2 shared cores",
        "version of the town": 2,
        "figures": {
            str(info.seed): {
                "scores": scores,
                "tokens": token_by_token(
                    start, now, scores["fair"]["true"], info.config["settings"]["kl_coef"]
                ),
                "by_hand": advantages(four),
                "decides": decides(start, now),
            }
        },
    }


def flattered(recipe: Path, out: Path, seed: int) -> Path:
    """The reward model of raters who love flattery; all else is the recipe's."""
    settings, sft = PipelineSettings(), str(recipe / "sft")
    common = {"model": sft, "gold": "town:gold", "seed": seed, "resume": True}
    stages.collect(
        data="town:prompts",
        annotator="town:flattered",
        others="town:crowd",
        out=out / "collect",
        settings=settings.collect,
        count=settings.prompts,
        **common,
    )
    stages.reward(data=str(out / "collect"), out=out / "reward", settings=settings.reward, **common)
    return out / "reward"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/answers"))
    asked = parser.parse_args()
    loving = flattered(asked.recipe, asked.out, read_run(asked.recipe / "sft").seed)
    RECORD.write_text(json.dumps(gathered(asked.recipe, loving), ensure_ascii=False) + "\n", encoding="utf-8")
    print(RECORD)
