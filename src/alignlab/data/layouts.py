"""Records -> rows in the layouts that others read, and what each layout cannot carry.

A layout either leaves a record out (to write it without that part would teach something else: a system turn,
an unfinished completion) or writes it without a part that only informs (a margin, who wrote it). `data.write`
counts both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import UserError
from ..records import Comparison, Completion, Demonstration, Ranking, Record, Text, Unpaired, prompt_in
from ..text.nearest import nearest
from .formats import HH_TURN, Want, is_hh, spells_messages
from .layout_rows import (
    alpaca,
    answer,
    argilla,
    best_first,
    extras,
    gpt_turn,
    hh,
    implicit,
    label_studio,
    preference,
    ranking,
    sharegpt,
    turns,
    ultrafeedback,
)

SYSTEM, EARLIER, ORDER = "a system turn", "earlier turns", "turns out of order"
MARGIN, LABEL, TIE, UNFINISHED = "a margin", "a soft label", "a tie", "an unfinished completion"
WRITER, ANNOTATOR, NOTES = "who wrote it", "who ranked it", "notes"
BLANKS, MARK_FIRST, MARK_INSIDE = (
    "blanks around a text",
    "a text that begins with a turn mark of HH",
    "a turn mark of HH inside a text",
)
AS_JSON = "a text that spells messages in JSON"
# a text alone, without its role, is taken for a conversation if it begins like one
WORDS = frozenset({MARK_FIRST, AS_JSON})
ONE_TURN = WORDS | {SYSTEM, EARLIER, ORDER}
# no layout but ours can say either, and every reader would put an end token behind the completion
ANSWERED = frozenset({TIE, UNFINISHED})
# without its soft label a comparison is written with the favoured completion chosen
ASIDE = frozenset({MARGIN, LABEL, WRITER, ANNOTATOR, NOTES})
CARRIED = frozenset({MARGIN, LABEL})


@dataclass(frozen=True, slots=True)
class Layout:
    """One layout: its name (as `formats.detect` reads it back), who reads it, the records it holds and what
    it cannot carry.

    Attributes:
        leaves_out: a record with one of these is not written; loses: it is written without them. Everything
            else is carried.
    """

    name: str
    readers: str
    kind: Want | None  # None: any
    row: Callable[[Any], dict[str, Any]]
    leaves_out: frozenset[str] = frozenset()
    loses: frozenset[str] = frozenset()


def parts(record: Record) -> set[str]:
    """What a record has beyond a plain question and its answer, in the words of the export report."""
    if isinstance(record, Text):
        return {NOTES} if record.meta else set()
    prompt = prompt_in(record)
    roles = [message.role for message in prompt.messages]
    spoken = [role for role in roles if role != "system"]
    in_turn = spoken == ["user", "assistant"] * (len(spoken) // 2) + ["user"]
    texts = [message.content for message in prompt.messages]
    has = {
        SYSTEM: "system" in roles,
        EARLIER: len(spoken) > 1,
        ORDER: "system" in roles[1:] or not in_turn,
        NOTES: bool(prompt.meta),
    }
    match record:
        case Demonstration():
            texts.append(record.completion)
            has[NOTES] |= bool(record.meta)
        case Unpaired():
            texts.append(record.completion)
            has[UNFINISHED] = not record.finished
        case Completion():
            texts.append(record.text)
            has |= {UNFINISHED: not record.finished, WRITER: bool(record.source)}
        case Comparison():
            texts += [record.chosen, record.rejected]
            has[NOTES] |= bool(record.meta)
            has[UNFINISHED] = not (record.chosen_finished and record.rejected_finished)
            has |= {TIE: record.tie, MARGIN: record.margin is not None, LABEL: record.label is not None}
        case Ranking():
            texts += [completion.text for completion in record.completions]
            has[NOTES] |= bool(record.meta.keys() - {"labels"})
            has[UNFINISHED] = not all(completion.finished for completion in record.completions)
            has[LABEL] = "labels" in record.meta
            has[TIE] = len(set(record.ranks)) < len(record.ranks)
            has[ANNOTATOR] = bool(record.annotator)
            has[WRITER] = any(completion.source for completion in record.completions)
    has |= {
        BLANKS: any(text != text.strip() for text in texts),
        MARK_FIRST: any(map(is_hh, texts)),
        AS_JSON: any(map(spells_messages, texts)),
        MARK_INSIDE: any(map(HH_TURN.search, texts)),
    }
    return {part for part, there in has.items() if there}


LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        Layout("text", "TRL", "text", lambda r: {"text": r.text}, loses=frozenset({NOTES})),
        Layout("prompt", "TRL", "prompt", lambda r: {"prompt": turns(r.messages)}, loses=ASIDE),
        Layout(
            "messages",
            "TRL",
            "demonstration",
            lambda r: {"messages": turns(r.prompt.messages) + answer(r.completion)},
            loses=ASIDE,
        ),
        Layout(
            "prompt-completion",
            "TRL",
            "demonstration",
            lambda r: {"prompt": turns(r.prompt.messages), "completion": answer(r.completion)},
            loses=ASIDE,
        ),
        Layout("preference", "TRL, OpenRLHF", "comparison", preference, ANSWERED, ASIDE - CARRIED),
        Layout("preference-implicit", "TRL, OpenRLHF", "comparison", implicit, ANSWERED, ASIDE - CARRIED),
        Layout(
            "unpaired",
            "TRL, OpenRLHF",
            "unpaired",
            lambda r: {
                "prompt": turns(r.prompt.messages),
                "completion": answer(r.completion),
                "label": r.label,
            },
            ANSWERED,
            ASIDE,
        ),
        Layout("ranking", "alignlab", "ranking", ranking, WORDS, frozenset({NOTES, MARGIN})),
        Layout(
            "alpaca",
            "Alpaca, LLaMA-Factory",
            "demonstration",
            lambda r: alpaca(r.prompt) | {"output": r.completion},
            WORDS | {ORDER},
            ASIDE,
        ),
        Layout(
            "alpaca-preference",
            "LLaMA-Factory",
            "comparison",
            lambda r: alpaca(r.prompt) | {"chosen": r.chosen, "rejected": r.rejected},
            WORDS | ANSWERED | {ORDER},
            ASIDE,
        ),
        Layout(
            "llamafactory-ranking",
            "LLaMA-Factory, older",
            "ranking",
            lambda r: alpaca(r.prompt) | {"output": [c.text for c in best_first(r)]},
            ANSWERED | {ORDER, AS_JSON},
            ASIDE,
        ),
        Layout(
            "sharegpt",
            "ShareGPT, LLaMA-Factory",
            "demonstration",
            lambda r: {"conversations": [*sharegpt(r.prompt.messages), gpt_turn(r.completion)]},
            loses=ASIDE,
        ),
        Layout(
            "sharegpt-preference",
            "LLaMA-Factory",
            "comparison",
            lambda r: {
                "conversations": sharegpt(r.prompt.messages),
                "chosen": gpt_turn(r.chosen),
                "rejected": gpt_turn(r.rejected),
            },
            ANSWERED,
            ASIDE,
        ),
        Layout(
            "unpaired-messages",
            "LLaMA-Factory",
            "unpaired",
            lambda r: {"messages": turns(r.prompt.messages) + answer(r.completion), "label": r.label},
            ANSWERED,
            ASIDE,
        ),
        Layout(
            "hh", "Anthropic HH", "comparison", hh, ANSWERED | {SYSTEM, ORDER, MARK_INSIDE}, ASIDE | {BLANKS}
        ),
        Layout(
            "ultrafeedback",
            "UltraFeedback",
            "ranking",
            ultrafeedback,
            frozenset({SYSTEM, EARLIER, ORDER, UNFINISHED, AS_JSON}),
            ASIDE - {WRITER},
        ),
        Layout(
            "label-studio",
            "Label Studio",
            "ranking",
            label_studio,
            frozenset({TIE, AS_JSON, MARK_FIRST}),
            frozenset({NOTES, MARGIN, LABEL}),
        ),
        Layout(
            "argilla",
            "Argilla",
            "ranking",
            argilla,
            frozenset({SYSTEM, EARLIER, ORDER, AS_JSON, MARK_FIRST}),
            frozenset({NOTES, MARGIN, LABEL}),
        ),
        Layout("records", "alignlab", None, lambda r: r.to_json(), WORDS),
    )
}
PLAIN: dict[str, Layout] = {
    layout.name: layout
    for layout in (  # TRL's standard columns: texts instead of messages, one turn a prompt
        Layout("prompt", "TRL", "prompt", lambda r: {"prompt": r.text}, ONE_TURN, ASIDE),
        Layout(
            "prompt-completion",
            "TRL",
            "demonstration",
            lambda r: {"prompt": r.prompt.text, "completion": r.completion},
            ONE_TURN,
            ASIDE,
        ),
        Layout(
            "preference",
            "TRL, OpenRLHF",
            "comparison",
            lambda r: {"prompt": r.prompt.text, "chosen": r.chosen, "rejected": r.rejected} | extras(r),
            ONE_TURN | ANSWERED,
            ASIDE - CARRIED,
        ),
        Layout(
            "unpaired",
            "TRL, OpenRLHF",
            "unpaired",
            lambda r: {"prompt": r.prompt.text, "completion": r.completion, "label": r.label},
            ONE_TURN | ANSWERED,
            ASIDE,
        ),
    )
}
TRL: dict[Want, str] = {
    "text": "text",
    "prompt": "prompt",
    "demonstration": "prompt-completion",
    "comparison": "preference",
    "ranking": "preference",
    "unpaired": "unpaired",
}


def layout(name: str, kind: Want, *, plain: bool = False) -> Layout:
    """The layout of a name for records of a kind; `trl` is TRL's own for that kind, `openrlhf` and
    `llamafactory` those libraries'.

    Args:
        plain: texts instead of messages, where TRL has both.

    Raises:
        UserError: no such layout, or no plain spelling of it.
    """
    also = {
        "trl": TRL[kind],
        "openrlhf": {"demonstration": "alpaca"}.get(kind, TRL[kind]),
        "anthropic-hh": "hh",
        "llamafactory": {
            "demonstration": "sharegpt",
            "comparison": "sharegpt-preference",
            "ranking": "sharegpt-preference",
            "unpaired": "unpaired-messages",
        }.get(kind, TRL[kind]),
    }
    found = also.get(name, name)
    if found not in LAYOUTS:
        raise UserError(
            f"there is no layout {name!r}",
            remedy=f"{nearest(name, [*LAYOUTS, *also])} one of: trl, {', '.join(LAYOUTS)}".strip(),
        )
    if plain and found in PLAIN:
        return PLAIN[found]
    if plain:
        raise UserError(
            f"the layout {found} has no spelling with texts instead of messages",
            remedy=f"one of {', '.join(PLAIN)}, or without --plain",
        )
    return LAYOUTS[found]
