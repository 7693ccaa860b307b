"""IFEval: instructions whose keeping can be checked by a program (Zhou et al. 2023, Instruction-Following
Evaluation for Large Language Models; data and checks:
github.com/google-research/google-research/tree/master/instruction_following_eval).

24 of the 25 kinds of instruction that the data has are checked, as the authors' program checks them; four of
them can come out otherwise than there (`ifeval_checks` says where). A prompt with any other is not asked, and
counted.

As its authors score it: a prompt is right if all its instructions are kept (`prompt_strict`, the score), or
are kept by the answer without its first line, its last line, its asterisks, or any of these together
(`prompt_loose`); `instruction_strict` and `instruction_loose` are shares of all instructions. An empty answer
keeps none.

Not to be compared with published figures: those are over all 541 prompts, and answers there are not cut;
`--sampling.max_new_tokens 1280` is what harnesses of others give.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import DataError
from ..records import Completion, Prompt, Score
from .ifeval_checks import CHECKS
from .statistics import bootstrap, mean_ci
from .tasks import Results, Task, Words, columns_of


def question(prompt: Prompt) -> Prompt | None:
    """The prompt as it is; None where one of its instructions cannot be checked."""
    instructions = _instructions(prompt)
    if any(kind not in CHECKS for kind, _ in instructions):
        return None
    for kind, options in instructions:
        try:
            CHECKS[kind]("word", **options)
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            raise DataError(f"{kind} with kwargs {options!r:.80}: {error}") from None
    return prompt


def _instructions(prompt: Prompt) -> list[tuple[str, dict[str, Any]]]:
    kinds, options = columns_of(prompt, "instruction_id_list", "kwargs")
    lists = isinstance(kinds, list) and isinstance(options, list)
    if not lists or not kinds or len(kinds) != len(options):
        raise DataError("instruction_id_list and kwargs must be two lists of one length")
    if not all(isinstance(row, Mapping) for row in options):
        raise DataError("kwargs must hold a table for each instruction")
    instructions = []
    for kind, row in zip(kinds, options, strict=True):
        given = {name: value for name, value in row.items() if value is not None}
        instructions.append((str(kind), given))
    return instructions


def variants(answer: str) -> list[str]:
    """The eight ways in which the authors' loose score takes an answer: with and without asterisks, each
    whole and without its first line, its last, or both.
    """
    lines = answer.split("\n")
    cut = ["\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1])]
    texts = [answer, *cut]
    return texts + [text.replace("*", "") for text in texts]


def score(completion: Completion) -> Score:
    instructions = _instructions(completion.prompt)
    answers = variants(completion.text)
    strict = loose = 0
    by_kind: dict[str, list[float]] = {}
    broken = []
    for kind, options in instructions:
        keeps = _keeps(completion.text, kind, options)
        strict += keeps
        loose += any(_keeps(text, kind, options) for text in answers)
        by_kind.setdefault(kind, []).append(float(keeps))
        if not keeps:
            broken.append(kind)
    parts = {
        "loose": float(loose == len(instructions)),
        "instructions": float(len(instructions)),
        "kept": float(strict),
        "kept_loose": float(loose),
    }
    parts |= {kind: sum(values) / len(values) for kind, values in by_kind.items()}
    return Score(float(not broken), parts, f"not kept: {', '.join(broken)}" if broken else "all kept")


def _keeps(answer: str, kind: str, options: Mapping[str, Any]) -> bool:
    return bool(answer.strip()) and CHECKS[kind](answer, **options)


def more(results: Results) -> dict[str, Any]:
    """Shares of instructions, with a bootstrap over prompts, as those of one prompt hang together; and the
    share kept of each kind.
    """
    parts = [score.parts for _, score in results]
    prompts = [completion.prompt.id for completion, _ in results]
    counts = np.array([part["instructions"] for part in parts])
    figures: dict[str, Any] = {}
    for figure, part in (("instruction_strict", "kept"), ("instruction_loose", "kept_loose")):
        kept = np.array([row[part] for row in parts])
        share = bootstrap(lambda rows, kept=kept: float(kept[rows].sum() / counts[rows].sum()), prompts)
        figures[figure] = share | {"instructions": int(counts.sum())}
    by_kind: dict[str, Any] = {}
    for kind in CHECKS:
        values = [row[kind] for row in parts if kind in row]
        if values:
            by_kind[kind] = mean_ci(values)
    return figures | {"by_instruction": by_kind}


TASK = Task(
    "ifeval",
    figure="prompt_strict",
    needs=(
        "--data input_data.jsonl of Google's instruction_following_eval: prompt, instruction_id_list, kwargs"
    ),
    question=question,
    score=score,
    figures={"prompt_loose": "loose"},
    more=more,
    words=Words(
        note=(
            "IFEval (Zhou et al. 2023), n = {n} prompts of {data}. A prompt with an instruction that is not "
            "checked here (an answer's language) is not asked: not comparable with figures over all 541."
        ),
        heads={
            "prompt_strict": "prompts, strict",
            "prompt_loose": "prompts, loose",
            "instruction_strict": "instructions, strict",
            "instruction_loose": "instructions, loose",
        },
        glossary=[
            (
                "prompts, instructions",
                "The share of prompts whose instructions are all kept; of instructions.",
            ),
            ("strict, loose", "The answer as it is; or without its first or last line or its asterisks."),
        ],
        knows=True,
    ),
)
