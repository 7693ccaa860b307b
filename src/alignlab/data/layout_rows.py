"""Records -> rows with the columns that others read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..records import Comparison, Completion, Message, Prompt, Ranking

Rows = list[dict[str, Any]]


def turns(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [message.to_json() for message in messages]


def answer(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def extras(record: Comparison) -> dict[str, float]:
    """Columns that a comparison has only where there is something in them."""
    columns = {"margin": record.margin, "label": record.label}
    return {name: value for name, value in columns.items() if value is not None}


def preference(record: Comparison) -> dict[str, Any]:
    return {
        "prompt": turns(record.prompt.messages),
        "chosen": answer(record.chosen),
        "rejected": answer(record.rejected),
    } | extras(record)


def implicit(record: Comparison) -> dict[str, Any]:
    before = turns(record.prompt.messages)
    return {"chosen": before + answer(record.chosen), "rejected": before + answer(record.rejected)} | extras(
        record
    )


def ranking(record: Ranking) -> dict[str, Any]:
    row = record.to_json()
    row.pop("meta", None)
    row.pop("ranking_meta", None)
    if "labels" in record.meta:
        row["ranking_meta"] = {"labels": list(record.meta["labels"])}
    return row


def alpaca(prompt: Prompt) -> dict[str, Any]:
    """Alpaca's columns with LLaMA-Factory's `system` and `history` where there is something to put there."""
    messages = list(prompt.messages)
    row: dict[str, Any] = {"instruction": messages[-1].content, "input": ""}
    if messages[0].role == "system":
        row["system"] = messages.pop(0).content
    if len(messages) > 1:
        row["history"] = [
            [asked.content, said.content]
            for asked, said in zip(messages[:-1:2], messages[1:-1:2], strict=True)
        ]
    return row


SPEAKERS = {"system": "system", "user": "human", "assistant": "gpt"}


def sharegpt(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"from": SPEAKERS[message.role], "value": message.content} for message in messages]


def gpt_turn(text: str) -> dict[str, str]:
    return {"from": "gpt", "value": text}


def hh(record: Comparison) -> dict[str, Any]:
    names = {"user": "Human", "assistant": "Assistant"}
    turns = [f"\n\n{names[message.role]}: {message.content}" for message in record.prompt.messages]
    before = "".join(turns) + "\n\nAssistant: "
    return {"chosen": before + record.chosen, "rejected": before + record.rejected}


def best_first(record: Ranking) -> list[Completion]:
    places = sorted(range(len(record.ranks)), key=record.ranks.__getitem__)
    return [record.completions[place] for place in places]


def ultrafeedback(record: Ranking) -> dict[str, Any]:
    """Scores stand for the ranks: the worst of K distinct ones gets 1, the best K."""
    places = sorted(set(record.ranks), reverse=True)
    completions = []
    for completion, rank in zip(record.completions, record.ranks, strict=True):
        score = float(1 + places.index(rank))
        completions.append({"response": completion.text, "model": completion.source, "overall_score": score})
    return {"instruction": record.prompt.text, "completions": completions}


def label_studio(record: Ranking) -> dict[str, Any]:
    """A task that is annotated: of two answers by `pairwise`, of more by `ranker`. What people see of the
    prompt is its last turn.
    """
    data: dict[str, Any] = {"prompt": record.prompt.text, "messages": turns(record.prompt.messages)}
    data["annotator"] = record.annotator
    if len(record.ranks) == 2:
        first, second = record.completions
        data |= {"text1": first.text, "text2": second.text}
        data |= {"finished": [first.finished, second.finished], "sources": [first.source, second.source]}
        selected = "left" if record.ranks[0] < record.ranks[1] else "right"
        result = {"from_name": "pw", "to_name": "text1,text2", "type": "pairwise"}
        return _annotated(data, result | {"value": {"selected": selected}})
    names = [f"answer-{place}" for place in range(1, 1 + len(record.ranks))]
    data["items"] = [
        {"id": name, "title": name, "body": each.text, "finished": each.finished, "source": each.source}
        for name, each in zip(names, record.completions, strict=True)
    ]
    order = [name for _, name in sorted(zip(record.ranks, names, strict=True))]
    result = {"from_name": "rank", "to_name": "items", "type": "ranker"}
    return _annotated(data, result | {"value": {"ranker": order}})


def _annotated(data: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    return {"data": data, "annotations": [{"was_cancelled": False, "result": [result]}]}


def argilla(record: Ranking) -> dict[str, Any]:
    """A record with a response to a ranking question."""
    names = [f"response-{place}" for place in range(1, 1 + len(record.ranks))]
    texts = {name: each.text for name, each in zip(names, record.completions, strict=True)}
    ranked = [{"value": name, "rank": rank} for name, rank in zip(names, record.ranks, strict=True)]
    about = {
        "annotator": record.annotator,
        "finished": [each.finished for each in record.completions],
        "sources": [each.source for each in record.completions],
    }
    return {
        "id": record.prompt.id,
        "fields": {"prompt": record.prompt.text} | texts,
        "responses": {"ranking": [{"value": ranked, "status": "submitted"}]},
        "metadata": about,
    }
