"""GSM8K: word problems from primary school, right by their final number (Cobbe et al. 2021, Training
Verifiers to Solve Math Word Problems; data and scoring: github.com/openai/grade-school-math).

As its authors score it: the number behind `####` in the answer, commas taken out, is letter for letter the
number behind `####` in the reference; an answer without `####` is wrong. They trained models to write that
mark; others must be told of it, so `FORM` stands behind each question. `last_number` asks for less, as others
do who quote figures: the last number of the answer has the reference's value.

Not to be compared with published figures: no examples stand before the question (papers give 5 or 8), one
greedy answer counts, and the question goes through the model's own chat template.
"""

from __future__ import annotations

import re
from dataclasses import replace

from ..errors import DataError
from ..records import Completion, Message, Prompt, Score
from .scored import last_number
from .tasks import Task, Words, columns_of

FINAL = re.compile(r"#### (-?[0-9.,]+)")
FORM = "\n\nWork it out step by step. End with a line that holds the final number alone: #### NUMBER"


def final_number(text: str) -> str | None:
    """The number behind the first `####`, as it is compared."""
    match = FINAL.search(text)
    return match[1].strip().replace(",", "") if match else None


def question(prompt: Prompt) -> Prompt:
    (answer,) = columns_of(prompt, "answer")
    if final_number(str(answer)) is None:
        raise DataError("the reference answer has no number behind ####")
    *earlier, last = prompt.messages
    return replace(prompt, messages=(*earlier, Message(last.role, last.content + FORM)))


def score(completion: Completion) -> Score:
    reference = final_number(str(completion.prompt.meta["columns"]["answer"])) or ""
    number = final_number(completion.text)
    loosely = last_number(completion.text) == last_number(reference)
    reason = "no number behind ####" if number is None else f"it says {number}"
    return Score(
        float(number == reference), {"last_number": float(loosely)}, f"{reason}, right is {reference}"
    )


TASK = Task(
    "gsm8k",
    figure="accuracy",
    needs="--data test.jsonl of github.com/openai/grade-school-math: question, answer with #### NUMBER",
    question=question,
    score=score,
    figures={"last_number": "last_number"},
    words=Words(
        note=(
            "GSM8K (Cobbe et al. 2021), n = {n} of {data}, no examples before the question. Right: the "
            "number behind #### is the reference's. Published figures are mostly with 5 or 8 examples: not "
            "comparable."
        ),
        heads={"accuracy": "right", "last_number": "last number right"},
        glossary=[
            ("right", "The number behind #### is letter for letter the reference's, commas taken out."),
            ("last number right", "The last number of the answer is the reference's, marked by #### or not."),
        ],
        knows=True,
    ),
)
