"""Rows of the field's data formats -> records. The way back is in `layouts`.

`detect` names the format of a row from its columns, `convert` turns the row into records of the kind that a stage wants.
A row that is broken is a `DataError`; a row that is sound but teaches nothing (a tie, a completion nobody liked) raises `Useless`,
so that the reader of the file can drop it and count it.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os.path import commonprefix
from typing import Any, Literal, get_args

from ..errors import DataError
from ..records import (
    Comparison,
    Completion,
    Demonstration,
    Message,
    Prompt,
    Ranking,
    Record,
    Role,
    Text,
    Unpaired,
    check_label,
    ranks_from_scores,
    role_of,
)

Want = Literal["text", "prompt", "demonstration", "comparison", "ranking", "unpaired"]
WANTS: tuple[Want, ...] = get_args(Want)
Row = Mapping[str, Any]

NEEDS: dict[Want, str] = {
    "text": "a column `text`",
    "prompt": "a column `prompt` (text, or messages that end with the user's turn)",
    "demonstration": "columns `prompt` and `completion`, or `messages` with an assistant turn",
    "comparison": "columns `prompt`, `chosen` and `rejected`",
    "ranking": "columns `prompt`, `completions` and `ranks` or `scores`, or a comparison's columns",
    "unpaired": "columns `prompt`, `completion` and `label` (true or false), or a ranking's or a comparison's columns",
}


KINDS: dict[Want, type[Any]] = {"text": Text, "prompt": Prompt, "demonstration": Demonstration, "comparison": Comparison,
                                "ranking": Ranking, "unpaired": Unpaired}


class Useless(Exception):
    """A sound row with nothing to learn from; its text is the reason, in the words of the load report."""


# --- values -------------------------------------------------------------------------------------------------------------------------

LABELS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


def _text(value: Any, column: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{column} must be text, not {type(value).__name__} ({value!r:.60})")
    if "\0" in value:
        raise DataError(f"{column} holds a NUL character ({value!r:.60})", remedy="take the NUL characters out of the file")
    if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
        raise DataError(f"{column} holds half of a surrogate pair ({value!r:.60}): no text encoding can write it",
                        remedy="write the file again with whole characters")
    return value


def _number(value: Any, column: str) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{column} must be a finite number, not {value!r:.60}")
    return number


def _list(value: Any, column: str) -> list[Any]:
    if not isinstance(value, list):
        raise DataError(f"{column} must be a list, not {type(value).__name__} ({value!r:.60})",
                        remedy="lists need JSONL, JSON or Parquet" if isinstance(value, str) else "")
    return value


def _flag(value: Any) -> bool | None:
    """True or false however it is spelled (bool, 0 and 1, CSV's text); None for anything else."""
    return LABELS.get(str(value).lower())


def _content(value: Any) -> str:
    """A turn's text: a string, or a list of `{"type": "text", "text"}` parts."""
    if isinstance(value, list):
        if not all(isinstance(part, Mapping) and part.get("type") == "text" for part in value):
            raise DataError(f"a message holds parts that are not text ({value!r:.60})", remedy="alignlab reads text only")
        return "".join(_text(part.get("text"), "a message part") for part in value)
    return _text(value, "a message's content")


HH_TURN = re.compile(r"\n\n(Human|Assistant):")


def is_hh(value: Any) -> bool:
    """Is this a conversation in Anthropic's HH notation?"""
    return isinstance(value, str) and HH_TURN.match(value) is not None


def hh_messages(text: str) -> tuple[Message, ...]:
    """Turns of an HH string (Bai et al. 2022). Two assistant turns in a row are one turn in two paragraphs."""
    pieces = HH_TURN.split(text)
    messages: list[Message] = []
    for speaker, body in zip(pieces[1::2], pieces[2::2], strict=True):
        role: Role = "user" if speaker == "Human" else "assistant"
        if messages and messages[-1].role == role == "assistant":
            body = messages.pop().content + "\n\n" + body.strip()
        messages.append(Message(role, body.strip()))
    return tuple(messages)


def _messages(value: Any, column: str) -> tuple[Message, ...]:
    """Turns from a string (HH notation or one user turn), one message, or a list of role/content or from/value messages."""
    if isinstance(value, str):
        text = _text(value, column)
        return hh_messages(text) if is_hh(text) else (Message("user", text),)
    items = [value] if isinstance(value, Mapping) else value
    if not isinstance(items, list) or not items:
        raise DataError(f"{column} must be text or a list of messages, not {value!r:.60}")
    messages = []
    for item in items:
        if not isinstance(item, Mapping):
            raise DataError(f"{column} holds {item!r:.60}, which is not a message", remedy='a message is {"role": "user", "content": "..."}')
        speaker = item.get("role") or item.get("from")
        content = item["content"] if item.get("content") is not None else item.get("value")
        messages.append(Message(role_of(speaker), _content(content)))
    return tuple(messages)


def _prompt_of(messages: Sequence[Message], row: Row) -> Prompt:
    if not messages or messages[-1].role != "user":
        last = f"not the {messages[-1].role}'s" if messages else "but nothing stands before the answer"
        raise DataError(f"a prompt must end with the user's turn, {last}", remedy="mend the order of the turns, or take the row out")
    system = row.get("system")
    if system and messages[0].role != "system":
        messages = (Message("system", _text(system, "system")), *messages)
    return Prompt(tuple(messages), _meta(row))


def _meta(row: Row, column: str = "meta") -> Row:
    """What the row's source noted, as our own files keep it; nothing if the column is something else."""
    meta = row.get(column)
    return meta if isinstance(meta, Mapping) else {}


PROMPTS = ("prompt", "question", "query", "instruction")
COMPLETIONS = ("completion", "response", "answer", "output")
COMPLETION_LISTS = ("completions", "responses", "generations", "answers")
SCORE_LISTS = ("scores", "ratings")
ITEM_SCORES = ("overall_score", "score", "rating", "fine-grained_score")


def _first(columns: set[str], names: Sequence[str]) -> str:
    """The first of the names that is among the columns, or the empty string."""
    return next((name for name in names if name in columns), "")


def columns_of(row: Row) -> set[str]:
    """Columns that hold something: Parquet and JSON write null for a column that a row does not have."""
    return {name for name, value in row.items() if value is not None}


def _prompt(row: Row) -> Prompt:
    """The prompt of a row: its messages, or its text with Alpaca's `input` and LLaMA-Factory's `history` around it."""
    column = _first(columns_of(row), PROMPTS)
    if column != "instruction":
        messages = _messages(row[column], column)
        if is_hh(row[column]) and len(messages) > 1 and messages[-1] == Message("assistant", ""):
            messages = messages[:-1]  # HH prompts end with the cue "Assistant:"
        return _prompt_of(messages, row)
    parts = [_text(row["instruction"], "instruction"), _text(row.get("input") or row.get("context") or "", "input")]
    earlier = []
    for pair in _list(row.get("history") or [], "history"):
        if len(_list(pair, "history")) != 2:
            raise DataError(f"history holds pairs of an instruction and its answer, not {pair!r:.60}")
        earlier += [Message("user", _text(pair[0], "history")), Message("assistant", _text(pair[1], "history"))]
    return _prompt_of([*earlier, Message("user", "\n".join(part for part in parts if part))], row)


def _completion(value: Any, column: str, prompt: Prompt) -> str:
    """A completion's text; a conversation that starts with the prompt's own turns gives what comes after them."""
    if isinstance(value, str) and not is_hh(value):
        return _text(value, column)
    messages = _messages(value, column)
    *earlier, last = messages
    if last.role != "assistant" or tuple(earlier) not in ((), prompt.messages):
        raise DataError(f"{column} must be text or one assistant turn, not the turns {', '.join(m.role for m in messages)}",
                        remedy="put the earlier turns into `prompt`")
    return last.content


# --- formats ------------------------------------------------------------------------------------------------------------------------

def _read_string(row: Any, want: Want) -> list[Record]:
    text = _text(row, "the row")
    return [Text(text)] if want == "text" else [_prompt_of(_messages(text, "the row"), {})]


def _read_text(row: Row, want: Want) -> list[Record]:
    return [Text(_text(row["text"], "text"), _meta(row))]


def _read_prompt(row: Row, want: Want) -> list[Record]:
    return [_prompt(row)]


def _conversation(row: Row, want: Want) -> list[Record]:
    """The last assistant turn as a demonstration; as a prompt, a conversation that ends with the user stays whole."""
    column = _first(columns_of(row), ("messages", "conversations", "conversation"))
    messages = _messages(row[column], column)
    answers = [i for i, message in enumerate(messages) if message.role == "assistant"]
    if not answers or (want == "prompt" and messages[-1].role == "user"):
        return [_prompt_of(messages, row)]
    return [Demonstration(_prompt_of(messages[:answers[-1]], row), messages[answers[-1]].content)]


def _read_demonstration(row: Row, want: Want) -> list[Record]:
    prompt = _prompt(row)
    column = _first(columns_of(row), COMPLETIONS)
    if row.get("finished") is False and want != "prompt":
        raise Useless("unfinished completion")
    return [Demonstration(prompt, _completion(row[column], column, prompt), _meta(row, "completion_meta"))]


def _read_instances(row: Row, want: Want) -> list[Record]:
    task = _text(row["instruction"], "instruction")
    records: list[Record] = []
    for instance in _list(row["instances"], "instances"):
        if not isinstance(instance, Mapping) or not {"input", "output"} <= instance.keys():
            raise DataError(f"an instance needs `input` and `output`, not {instance!r:.60}")
        records += _read_demonstration({"instruction": task, **instance}, want)
    return records


def _label(row: Row) -> bool:
    return bool(_flag(row[_first(columns_of(row), ("label", "kto_tag"))]))


def _read_unpaired(row: Row, want: Want) -> list[Record]:
    [shown] = _read_demonstration({**row, "finished": True}, want)
    assert isinstance(shown, Demonstration)
    return [Unpaired(shown.prompt, shown.completion, _label(row), row.get("finished") is not False)]


def _read_unpaired_conversation(row: Row, want: Want) -> list[Record]:
    [shown] = _conversation(row, "demonstration")
    if not isinstance(shown, Demonstration):
        raise DataError("a labelled conversation needs an assistant turn")
    return [Unpaired(shown.prompt, shown.completion, _label(row))]


def _pair(prompt: Prompt, chosen: str, rejected: str, row: Row) -> list[Record]:
    margin, label = row.get("margin"), row.get("label")
    return [Comparison(prompt, chosen, rejected, None if margin in (None, "") else _number(margin, "margin"), row.get("tie") is True,
                       row.get("chosen_finished") is not False, row.get("rejected_finished") is not False, _meta(row, "comparison_meta"),
                       None if label in (None, "") else check_label(_spelled(label)))]


def _spelled(value: Any) -> Any:
    """The number that a text spells, as CSV has it; anything else as it is."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _read_preference(row: Row, want: Want) -> list[Record]:
    prompt = _prompt(row)
    return _pair(prompt, _completion(row["chosen"], "chosen", prompt), _completion(row["rejected"], "rejected", prompt), row)


def _read_sharegpt_preference(row: Row, want: Want) -> list[Record]:
    prompt = _prompt_of(_messages(row["conversations"], "conversations"), row)
    return _pair(prompt, _completion(row["chosen"], "chosen", prompt), _completion(row["rejected"], "rejected", prompt), row)


def _read_implicit(row: Row, want: Want) -> list[Record]:
    """The prompt is what both conversations begin with."""
    if isinstance(row["chosen"], str) and isinstance(row["rejected"], str) and not is_hh(row["chosen"]):
        return _read_implicit_strings(row)
    chosen, rejected = _messages(row["chosen"], "chosen"), _messages(row["rejected"], "rejected")
    same = 0
    while same < min(len(chosen), len(rejected)) - 1 and chosen[same] == rejected[same]:
        same += 1
    if [m.role for m in chosen[same:]] != ["assistant"] or [m.role for m in rejected[same:]] != ["assistant"]:
        raise Useless("chosen and rejected answer different prompts")
    return _pair(_prompt_of(chosen[:same], row), chosen[-1].content, rejected[-1].content, row)


def _read_implicit_strings(row: Row) -> list[Record]:
    chosen, rejected = _text(row["chosen"], "chosen"), _text(row["rejected"], "rejected")
    if chosen == rejected:
        raise Useless("chosen and rejected are the same")
    shared = commonprefix([chosen, rejected])
    if not (shared[-1:].isspace() or (chosen[len(shared):][:1].isspace() and rejected[len(shared):][:1].isspace())):
        shared = re.sub(r"\S*\Z", "", shared)  # cut between words, not inside one
    if not shared.strip():
        raise Useless("chosen and rejected share no prompt")
    return _pair(Prompt.user(shared.rstrip()), chosen[len(shared):].strip(), rejected[len(shared):].strip(), row)


def _ranked(row: Row, texts: Sequence[str], *, ranks: Sequence[Any] | None = None, scores: Sequence[Any] | None = None,
            sources: Any = None, prompt: Prompt) -> list[Record]:
    """A ranking from ranks (1 is best) or, without them, from scores (more is better)."""
    finished = _list(row.get("finished") or [True] * len(texts), "finished")
    sources = _list(sources or [""] * len(texts), "sources")
    order = ranks if ranks is not None else scores
    if order is None:
        raise DataError("a ranking needs `ranks` or `scores`")
    if not len(order) == len(texts) == len(finished) == len(sources):
        raise DataError(f"{len(texts)} completions have {len(order)} {'scores' if ranks is None else 'ranks'}, "
                        f"{len(finished)} `finished` and {len(sources)} sources")
    if None in order:
        raise Useless("a completion without a score")
    numbers = [_number(value, "a rank or score") for value in order]
    places = ranks_from_scores(numbers) if ranks is None else [int(number) for number in numbers]
    if ranks is not None and [float(place) for place in places] != numbers:
        raise DataError(f"ranks must be whole numbers, not {ranks!r:.60}", remedy="name the column `scores` if more is better")
    completions = tuple(Completion(prompt, text, finished=bool(ended), source=str(source or ""))
                        for text, ended, source in zip(texts, finished, sources, strict=True))
    meta = {**_meta(row, "ranking_meta"), **({"scores": numbers} if ranks is None else {})}
    return [Ranking(prompt, completions, tuple(places), str(row.get("annotator") or ""), meta)]


def _read_ranking(row: Row, want: Want) -> list[Record]:
    """Completions as texts beside `ranks` or `scores`, or as objects that carry their own (UltraFeedback, Nectar)."""
    prompt, columns = _prompt(row), columns_of(row)
    if want == "prompt":
        return [prompt]
    column = _first(columns, COMPLETION_LISTS)
    items = _list(row[column], column)
    if items and all(isinstance(item, Mapping) and "role" not in item for item in items):
        texts = [_text(item.get(_first(columns_of(item), (*COMPLETIONS, "text"))), f"a text in {column}") for item in items]
        ranks = [item["rank"] for item in items] if all("rank" in item for item in items) else None
        scores = None if ranks else [_item_score(item) for item in items]
        return _ranked(row, texts, ranks=ranks, scores=scores, sources=[item.get("model") or "" for item in items], prompt=prompt)
    texts = [_completion(item, f"a text in {column}", prompt) for item in items]
    score_column = _first(columns, SCORE_LISTS)
    ranks = _list(row["ranks"], "ranks") if row.get("ranks") is not None else None
    scores = _list(row[score_column], score_column) if score_column else None
    return _ranked(row, texts, ranks=ranks, scores=scores, sources=row.get("sources") or row.get("models"), prompt=prompt)


def _item_score(item: Row) -> float | None:
    """UltraFeedback's overall score, or the mean of its ratings by aspect ("N/A" left out)."""
    column = _first(columns_of(item), ITEM_SCORES)
    if column:
        return _number(item[column], column)
    aspects = item.get("annotations")
    ratings = [str(aspect.get("Rating")) for aspect in aspects.values() if isinstance(aspect, Mapping)] if isinstance(aspects, Mapping) else []
    numbers = [float(rating) for rating in ratings if re.fullmatch(r"[0-9]+(\.[0-9]+)?", rating)]
    return sum(numbers) / len(numbers) if numbers else None


def _read_best_first(row: Row, want: Want) -> list[Record]:
    prompt = _prompt(row)
    texts = [_text(text, "a text in output") for text in row["output"]]
    return _ranked(row, texts, ranks=range(1, len(texts) + 1), prompt=prompt)


def _numbered(row: Row, name: str) -> dict[str, Any]:
    """Values of columns like `answer1` or `answer_a` by their number or letter."""
    found = ((re.fullmatch(rf"{name}_?([0-9ab])", column), value) for column, value in row.items())
    return {match[1]: value for match, value in found if match}


def _read_numbered(row: Row, want: Want) -> list[Record]:
    """`answer1`, `answer2` with `score1`, `score2` (Vicuna reviews, WebGPT), or two responses and the better one's number (PKU)."""
    prompt, answers, scores = _prompt(row), _numbered(row, "(?:answer|response)"), _numbered(row, r"(?:.*_)?(?:score|rating)")
    if want == "prompt":
        return [prompt]
    numbers = sorted(answers)
    texts = [_text(answers[number], f"answer {number}") for number in numbers]
    models = _numbered(row, "model")
    sources = [models.get(number, "") for number in numbers]
    safe, safer = _numbered({name.removesuffix("_safe"): value for name, value in row.items()}, "is_response"), str(row.get("safer_response_id"))
    labels = ({"safe": [_flag(safe[n]) for n in numbers]} if set(numbers) <= safe.keys() else {}) | (
        {"safer": [1 if n == safer else 2 for n in numbers]} if safer in numbers else {})
    row = {**row, "ranking_meta": labels} if labels else row
    if set(numbers) <= scores.keys():
        return _ranked(row, texts, scores=[scores[number] for number in numbers], sources=sources, prompt=prompt)
    better = str(row["better_response_id"])
    if better not in numbers:
        raise DataError(f"better_response_id is {better!r:.40}, but the responses are {', '.join(numbers)}")
    return _ranked(row, texts, ranks=[1 if number == better else 2 for number in numbers], sources=sources, prompt=prompt)


@dataclass(frozen=True, slots=True)
class Format:
    """One format of the field: its name, the records it holds, its columns in words, how to know it and how to read it."""

    name: str
    kind: Want
    columns: str
    matches: Callable[[Row, set[str]], bool]
    read: Callable[[Any, Want], list[Record]]


def _has_label(row: Row, has: set[str]) -> bool:
    return _flag(row.get(_first(has, ("label", "kto_tag")))) is not None


def _has_numbered(row: Row, has: set[str]) -> bool:
    answers = _numbered(row, "(?:answer|response)")
    return len(answers) > 1 and bool(_first(has, PROMPTS)) and (
        "better_response_id" in has or answers.keys() <= _numbered(row, r"(?:.*_)?(?:score|rating)").keys())


FORMATS: tuple[Format, ...] = (  # the first that matches is the row's format
    Format("ranking", "ranking", "prompt, completions, ranks or scores",
           lambda row, has: bool(_first(has, PROMPTS) and _first(has, COMPLETION_LISTS)), _read_ranking),
    Format("llamafactory-ranking", "ranking", "instruction, input, output (a list, best first)",
           lambda row, has: "instruction" in has and isinstance(row.get("output"), list)
           and all(isinstance(item, str) for item in row["output"]), _read_best_first),
    Format("sharegpt-preference", "comparison", "conversations, chosen, rejected",
           lambda row, has: {"conversations", "chosen", "rejected"} <= has, _read_sharegpt_preference),
    Format("preference", "comparison", "prompt, chosen, rejected",
           lambda row, has: {"chosen", "rejected"} <= has and bool(_first(has, PROMPTS)), _read_preference),
    Format("hh", "comparison", "chosen, rejected (\\n\\nHuman: ... \\n\\nAssistant: ...)",
           lambda row, has: is_hh(row.get("chosen")) and is_hh(row.get("rejected")), _read_implicit),
    Format("preference-implicit", "comparison", "chosen, rejected", lambda row, has: {"chosen", "rejected"} <= has, _read_implicit),
    Format("numbered-answers", "ranking", "question, answer1, answer2, score1, score2", _has_numbered, _read_numbered),
    Format("unpaired", "unpaired", "prompt, completion, label",
           lambda row, has: bool(_first(has, PROMPTS) and _first(has, COMPLETIONS)) and _has_label(row, has), _read_unpaired),
    Format("unpaired-messages", "unpaired", "messages, label",
           lambda row, has: bool(_first(has, ("messages", "conversations"))) and _has_label(row, has), _read_unpaired_conversation),
    Format("prompt-completion", "demonstration", "prompt, completion",
           lambda row, has: bool(_first(has, PROMPTS[:3]) and _first(has, COMPLETIONS)), _read_demonstration),
    Format("self-instruct", "demonstration", "instruction, instances", lambda row, has: {"instruction", "instances"} <= has, _read_instances),
    Format("alpaca", "demonstration", "instruction, input, output",
           lambda row, has: "instruction" in has and bool(_first(has, COMPLETIONS)), _read_demonstration),
    Format("messages", "demonstration", "messages", lambda row, has: "messages" in has, _conversation),
    Format("sharegpt", "demonstration", "conversations", lambda row, has: bool(_first(has, ("conversations", "conversation"))), _conversation),
    Format("prompt", "prompt", "prompt", lambda row, has: bool(_first(has, PROMPTS)), _read_prompt),
    Format("text", "text", "text", lambda row, has: "text" in has, _read_text),
)
STRING = Format("string", "prompt", "a text a row", lambda row, has: isinstance(row, str), _read_string)
KNOWN_COLUMNS = {*PROMPTS, *COMPLETIONS, *COMPLETION_LISTS, *SCORE_LISTS, "chosen", "rejected", "messages", "conversations", "label", "ranks",
                 "instances", "input", "text"}


def _format(row: Any) -> Format:
    if isinstance(row, str):
        return STRING
    if not isinstance(row, Mapping):
        raise DataError(f"a row must be an object with named columns, not {type(row).__name__} ({row!r:.60})")
    has = columns_of(row)
    for form in FORMATS:
        if form.matches(row, has):
            return form
    names = ", ".join(repr(name)[:40] for name in list(row)[:8]) or "none"
    near = {name: match[0] for name in row if (match := difflib.get_close_matches(str(name).lower(), KNOWN_COLUMNS, 1)) and match[0] != name}
    guess = "".join(f"rename {name!r:.40} to {match!r}; " for name, match in near.items())
    raise DataError(f"no known format has the columns {names}", remedy=guess + f"a training row has {NEEDS['demonstration']}")


def detect(row: Any) -> str:
    """Name of the format that a row is written in (a `Format.name`, or `string`).

    Raises:
        DataError: the row is no object, or no format has its columns.
    """
    return _format(row).name


def kind_of(row: Any) -> Want:
    """What the format of a row holds by nature: a conversation that ends with the user is a prompt. Raises as `detect`."""
    form = _format(row)
    return "prompt" if form.read is _conversation and isinstance(_conversation(row, "prompt")[0], Prompt) else form.kind


TIED = "tie", "all completions tied"
EVEN = "a soft label of one half"


def flaw(record: Record) -> str:
    """Why a record teaches nothing, or the empty string.

    In a ranking an empty completion may stand: a policy wrote it and an annotator placed it.
    """
    match record:
        case Text(text):
            return "" if text.strip() else "empty text"
        case Prompt():
            return "" if record.text.strip() else "empty prompt"
        case Comparison(tie=True):
            return TIED[0]
        case Comparison() if record.chosen.strip() == record.rejected.strip():
            return "chosen and rejected are the same"
        case Comparison() if not (record.chosen.strip() and record.rejected.strip()):
            return "empty completion"
        case Demonstration() | Unpaired() if not record.completion.strip():
            return "empty completion"
        case Ranking() if len({completion.text.strip() for completion in record.completions}) < 2:
            return "fewer than two different completions"
        case Ranking() if len(set(record.ranks)) < 2:
            return TIED[1]
    return "" if isinstance(record, Text) else flaw(record.prompt)


def as_kind(record: Record, want: Want) -> list[Record]:
    """A record as records of the wanted kind.

    Raises:
        Useless: nothing of that kind is in this one record.
        DataError: nothing of that kind can ever be in such a record.
    """
    if isinstance(record, KINDS[want]):
        return [record]
    match record:
        case Demonstration() | Comparison() | Ranking() | Unpaired() if want == "prompt":
            return [record.prompt]
        case Comparison() if want in ("demonstration", "unpaired") and record.label is not None:
            if record.label == 0.5:
                raise Useless(EVEN)
            return as_kind(record.favoured, want)
        case Comparison() if want == "demonstration":
            return [_shown(record.prompt, record.chosen, record.chosen_finished)]
        case Comparison() if want == "unpaired":
            return [Unpaired(record.prompt, record.chosen, True, record.chosen_finished),
                    Unpaired(record.prompt, record.rejected, False, record.rejected_finished)]
        case Comparison() if want == "ranking":
            sources = record.meta.get("sources") or ("", "")  # as `Ranking.comparisons` notes them
            completions = (Completion(record.prompt, record.chosen, finished=record.chosen_finished, source=sources[0]),
                           Completion(record.prompt, record.rejected, finished=record.rejected_finished, source=sources[1]))
            meta = ({} if record.margin is None else {"margin": record.margin}) | ({"safe": record.meta["safe"]} if "safe" in record.meta else {})
            meta |= {} if record.label is None else {"labels": [record.label]}
            ranks = (1, 1) if record.tie else (2, 1) if record.label is not None and record.label < 0.5 else (1, 2)
            return [Ranking(record.prompt, completions, ranks, record.meta.get("annotator", ""), meta)]
        case Ranking() if want == "comparison":
            return list(record.comparisons())
        case Ranking() if want == "unpaired":
            return list(record.unpaired())
        case Ranking() if want == "demonstration":
            best = record.completions[record.ranks.index(min(record.ranks))]
            return [_shown(record.prompt, best.text, best.finished)]
        case Unpaired() if want == "demonstration":
            if not record.label:
                raise Useless("disliked completion")
            return [_shown(record.prompt, record.completion, record.finished)]
    raise DataError(f"a {type(record).__name__.lower()} cannot be read as a {want}", remedy=f"a {want} needs {NEEDS[want]}")


def _shown(prompt: Prompt, completion: str, finished: bool) -> Demonstration:
    """The best completion as a demonstration, unless it would teach to stop in the middle or to say nothing."""
    if not finished or not completion.strip():
        raise Useless("empty completion" if finished else "unfinished completion")
    return Demonstration(prompt, completion)


def convert(row: Any, want: Want) -> list[Record]:
    """A row in any known format -> records of the wanted kind (several for a ranking's pairs or a task's instances).

    Conversions: a conversation -> the demonstration of its last assistant turn; a preference -> the demonstration of its chosen
    completion, or a ranking of two, or two unpaired completions; a ranking -> its comparisons, its completions by themselves
    (`Ranking.unpaired`), or the demonstration of its best; anything with a prompt -> the prompt.

    Raises:
        DataError: the row is broken, or its format never holds what is wanted.
        Useless: the row is sound but holds nothing to learn from.
    """
    records: list[Record] = []
    for record in _format(row).read(row, want):
        reason = flaw(record.prompt if want == "prompt" and not isinstance(record, Prompt | Text) else record)
        if reason and not (want == "ranking" and reason in TIED):  # a reward model may learn from ties
            raise Useless(reason)
        records += as_kind(record, want)
    return records
