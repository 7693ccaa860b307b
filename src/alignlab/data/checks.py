"""What of the data fits the model: found before the first step, not in the middle of training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..errors import CheckFailed, DataError, ModelError
from ..models.chat import Rendered, begin_ids, example, prompt_ids, text_ids
from ..models.template import TemplateBound
from ..records import Comparison, Completion, Demonstration, Prompt, Ranking, Record, Text, Unpaired

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

R = TypeVar("R", bound=Record)


@dataclass(slots=True)
class FitReport:
    """How many records fit.

    Attributes:
        read, kept: records; dropped: records by reason, and completions taken out of rankings that go on without them.
        longest: tokens of the longest sequence seen, kept or not; tokens, learned: tokens kept, and those of them that carry the loss.
    """

    max_length: int
    read: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    longest: int = 0
    tokens: int = 0
    learned: int = 0

    def drop(self, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    def __str__(self) -> str:
        line = f"{self.kept} of {self.read} records fit into {self.max_length} tokens (longest {self.longest}); "
        line += f"{self.learned:,} of {self.tokens:,} tokens are trained on"
        return line + (f"\n  dropped: {', '.join(f'{count} {reason}' for reason, count in self.dropped.items())}" if self.dropped else "")

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def encode(record: Record, tokenizer: PreTrainedTokenizerBase) -> list[Rendered]:
    """The token sequences of a record with their loss masks, one a completion: chosen before rejected, a ranking's in its order.

    A prompt ends with the generation prompt and has nothing to learn; every token of a text is learned.
    """
    match record:
        case Prompt():
            ids = prompt_ids(tokenizer, record)
            return [Rendered(ids, [0] * len(ids))]
        case Text():
            before, ids = begin_ids(tokenizer), text_ids(tokenizer, record.text)
            return [Rendered(ids, [0] * len(before) + [1] * (len(ids) - len(before)))]
        case Demonstration():
            return [example(tokenizer, record.prompt, record.completion)]
        case Unpaired():
            return [example(tokenizer, record.prompt, record.completion, finished=record.finished)]
        case Completion():
            return [example(tokenizer, record.prompt, record.text, finished=record.finished)]
        case Comparison():
            return [example(tokenizer, record.prompt, record.chosen, finished=record.chosen_finished),
                    example(tokenizer, record.prompt, record.rejected, finished=record.rejected_finished)]
        case Ranking():
            return [rendered for completion in record.completions for rendered in encode(completion, tokenizer)]


def with_room(prompts: Sequence[Prompt], tokenizer: PreTrainedTokenizerBase, *, context: int, new_tokens: int) -> tuple[list[Prompt], str]:
    """The prompts that leave room for `new_tokens` in a context of so many tokens, and what to tell of those that do not ("" if all do).

    Raises:
        DataError: no prompt does.
    """
    kept, report = fit(prompts, tokenizer, context - new_tokens,
                       remedy=f"the model's context is {context}: shorter prompts, a smaller sampling.max_new_tokens, or another model")
    said = f"{report.kept} of {report.read} prompts leave room for {new_tokens} new tokens in the model's context of {context} (longest {report.longest})"
    return kept, said if report.dropped else ""


def fit(records: Iterable[R], tokenizer: PreTrainedTokenizerBase, max_length: int, *, remedy: str = "", ties: bool = False) -> tuple[list[R], FitReport]:
    """The records that fit into `max_length` tokens and differ after encoding, with a report.

    Nothing is cut to fit: a cut completion would be scored, or learned, as if it had ended there. A ranking loses the completions
    that do not fit, or that encode as an earlier one does, and stays while two of different rank are left.

    Args:
        remedy: what to tell the user if nothing fits because it is too long.
        ties: a ranking stays while two completions are left, of equal rank or not.

    Raises:
        DataError: a record with nothing to learn (a template or tokenizer that masks everything), or no record that fits.
    """
    report = FitReport(max_length)
    kept: list[R] = []
    for record in records:
        report.read += 1
        sequences = encode(record, tokenizer)
        report.longest = max([report.longest, *(len(sequence.ids) for sequence in sequences)])
        if not teaches(record, sequences):
            raise DataError(f"nothing to learn in {_excerpt(record)}: no token carries the loss", where=f"record {report.read}",
                            remedy="look at it with `alignlab view`; an unfinished empty completion, or a wrong chat template")
        fitting = without_long(record, sequences, max_length, report, ties=ties)
        if fitting is None:
            continue
        kept.append(fitting[0])
        report.tokens += sum(len(sequence.ids) for sequence in fitting[1])
        report.learned += sum(sum(sequence.loss_mask) for sequence in fitting[1])
    report.kept = len(kept)
    if not kept:
        raise DataError(f"no record fits: {report}", where=f"the longest has {report.longest} tokens",
                        remedy=(remedy or f"raise max_length to {report.longest}, if the model's context holds as many") if report.longest > max_length else "")
    return kept, report


def teaches(record: Record, sequences: Sequence[Rendered]) -> bool:
    """Whether every sequence of the record has a token that carries the loss; a prompt has none to have."""
    return isinstance(record, Prompt) or all(any(sequence.loss_mask) for sequence in sequences)


def without_long(record: R, sequences: Sequence[Rendered], max_length: int, report: FitReport, *, ties: bool = False) -> tuple[R, Sequence[Rendered]] | None:
    """The record and its sequences as far as they fit, or None; what was dropped is counted in the report."""
    fits = [len(sequence.ids) <= max_length for sequence in sequences]
    different = len({tuple(sequence.ids) for sequence in sequences})
    if not isinstance(record, Ranking):
        if not all(fits):
            report.drop("too long")
        elif different < len(sequences):
            report.drop("the same tokens chosen and rejected")
        else:
            return record, sequences
        return None
    seen: set[tuple[int, ...]] = set()
    stay: list[int] = []
    for i, sequence in enumerate(sequences):
        ids = tuple(sequence.ids)
        if fits[i] and ids not in seen:
            stay.append(i)
        seen.add(ids)
    if len(stay) < 2 or (len({record.ranks[i] for i in stay}) < 2 and not ties):
        report.drop("fewer than two different completions that fit")
        return None
    if len(stay) == len(sequences):
        return record, sequences
    report.drop("rankings that lost a completion (too long, or the tokens of another)")
    return cast("R", record.only(stay)), [sequences[i] for i in stay]


def _excerpt(record: Record) -> str:
    text = record.text if isinstance(record, Text | Prompt) else record.prompt.text
    return f"{type(record).__name__.lower()} {text!r:.60}"


def reads_otherwise(policy: Any, reward: Any, record: Record) -> str:
    """How a reward model's rendering of a record differs from the policy's; nothing if it does not."""
    try:
        ours, theirs = encode(record, policy), encode(record, reward)
    except TemplateBound:
        raise
    except ModelError as error:
        return error.what
    for a, b in zip(ours, theirs, strict=True):
        if a.ids != b.ids:
            mine, other = policy.decode(a.ids), reward.decode(b.ids)
            if mine == other:
                return "the same text in other tokens: the vocabularies differ"
            place = next((k for k, (x, y) in enumerate(zip(mine, other, strict=False)) if x != y), min(len(mine), len(other)))
            return f"policy {mine[max(0, place - 10):][:40]!r}, reward model {other[max(0, place - 10):][:40]!r}"
    return ""


def require_one_reading(policy: Any, reward: Any, records: Sequence[Record], name: str) -> None:
    """Refuse to train a policy against a model that reads the same chats in other tokens: its scores and values would be of another text.

    Raises:
        CheckFailed: with the first place at which the two renderings part.
    """
    for record in records[:50]:
        if difference := reads_otherwise(policy, reward, record):
            raise CheckFailed(f"the policy and {name} read the same chat otherwise: {difference}", where=_excerpt(record),
                              remedy="train the reward model from the policy's own SFT model, or give both the same chat template")
