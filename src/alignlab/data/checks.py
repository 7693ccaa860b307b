"""What of the data fits the model: found before the first step, not in the middle of training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from os.path import commonprefix
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..errors import CheckFailed, DataError, ModelError
from ..models.chat import Rendered, example, prompt_ids, text_ids
from ..models.chat_template import begin_ids
from ..models.template import TemplateBound
from ..records import (
    Comparison,
    Completion,
    Demonstration,
    Prompt,
    Ranking,
    Record,
    Text,
    Unpaired,
    prompt_in,
)
from . import lengths
from .lengths import Truncate

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ..settings import KTOSettings, PairSettings, RewardSettings, SFTSettings

R = TypeVar("R", bound=Record)


@dataclass(slots=True)
class FitReport:
    """How many records fit.

    Attributes:
        read, kept: records; cut: those of the kept that were cut to fit; lost: those that are not kept
            because of their length.
        dropped: records by reason, and completions taken out of rankings that go on without them.
        needs: what `lengths.needs` says of each record. longest: tokens of the longest sequence seen, kept or
            not; tokens, learned: tokens kept, and those of them that carry the loss.
    """

    max_length: int
    read: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    longest: int = 0
    tokens: int = 0
    learned: int = 0
    cut: int = 0
    lost: int = 0
    needs: list[tuple[int, int]] = field(default_factory=list)

    def drop(self, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    def __str__(self) -> str:
        line = (
            f"{self.kept} of {self.read} records fit into {self.max_length} tokens (longest {self.longest})"
        )
        if self.cut:
            line += f", {self.cut} of them cut"
        line += f"; {self.learned:,} of {self.tokens:,} tokens are trained on"
        if self.dropped:
            line += f"\n  dropped: {', '.join(f'{count} {reason}' for reason, count in self.dropped.items())}"
        if self.cut or self.lost:
            line += f"\n{self.lengths()}"
        return line

    def lengths(self) -> str:
        """What other lengths would keep, as a table."""
        return lengths.told(lengths.table(self.needs, here=self.max_length), here=self.max_length)


def encode(record: Record, tokenizer: PreTrainedTokenizerBase) -> list[Rendered]:
    """The token sequences of a record with their loss masks, one per completion: chosen before rejected, a
    ranking's in its order.

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
            return [
                example(tokenizer, record.prompt, record.chosen, finished=record.chosen_finished),
                example(tokenizer, record.prompt, record.rejected, finished=record.rejected_finished),
            ]
        case Ranking():
            encoded: list[Rendered] = []
            for completion in record.completions:
                encoded += encode(completion, tokenizer)
            return encoded


FEWEST_STEPS = 10  # in which rows that fill no batch teach anything


def enough(
    name: str,
    report: FitReport,
    settings: SFTSettings | RewardSettings | PairSettings | KTOSettings,
    held_out: Sequence[Any] | None,
    *,
    learn: int,
    test: int,
    least: int,
) -> str:
    """What to tell, before training, of rows that are too few to learn from or to measure; "" where they are
    enough.

    Args:
        report: of `fit`: where it was the rows that were lost to their length that would have made enough, it
            does not go on unless `anyway`.
        held_out: the rows to measure on that were handed over, of none nothing is to be measured; None: a
            share of the data, as the settings say.
        learn, test: rows to learn from, and prompts to measure on.
        least: prompts below which no figure can be stated.

    Raises:
        DataError: without the rows that were lost to their length those that are left are too few.
    """
    batch, epochs = settings.batch, settings.epochs
    wanted = settings.held_out if held_out is None else float(bool(held_out))
    few, steps = [], math.ceil(epochs * math.ceil(learn / batch))
    grown = report.read / max(1, report.kept)  # by how much what was lost would have made it more
    missed, ways = False, []
    if learn < batch and steps < FEWEST_STEPS:
        passes = "pass makes" if epochs == 1 else "passes make"
        few.append(
            f"{learn} rows to learn from do not fill one batch of {batch}, and {epochs:g} {passes} {steps} "
            f"step{'s' * (steps != 1)}"
        )
        ways.append("a smaller --batch or more --epochs")
        missed = learn * grown >= batch
    if wanted and test < least:
        few.append(f"{test} held-out prompts are too few to measure anything on ({least} or more)")
        ways.append("a larger --held_out, or --held_out 0 to measure nothing")
        share = wanted if wanted < 1 else 0
        missed = missed or least <= max(test, share * (learn + test)) * grown
    if few and report.lost and missed and not settings.anyway:
        raise DataError(
            f"{name}: {report.lost} of {report.read} rows are lost to max_length {report.max_length}, "
            f"and {'; '.join(few)}\n{report.lengths()}",
            remedy=f"a larger --max_length; another --truncate; {'; '.join(ways)}; or --anyway true",
        )
    return f"{name}: {'; '.join(few)}" if few else ""


def with_room(
    prompts: Sequence[Prompt], tokenizer: PreTrainedTokenizerBase, *, context: int, new_tokens: int
) -> tuple[list[Prompt], str]:
    """The prompts that leave room for `new_tokens` in a context of so many tokens, and what to tell of those
    that do not ("" if all do).

    Raises:
        DataError: no prompt does.
    """
    kept, report = fit(
        prompts,
        tokenizer,
        context - new_tokens,
        remedy=(
            f"the model's context is {context}: shorter prompts, a smaller sampling.max_new_tokens, or "
            "another model"
        ),
    )
    if not report.dropped:
        return kept, ""
    return kept, (
        f"{report.kept} of {report.read} prompts leave room for {new_tokens} new tokens in the model's "
        f"context of {context} (longest {report.longest})"
    )


def fit(
    records: Iterable[R],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    *,
    truncate: Truncate = "drop",
    anyway: bool = True,
    remedy: str = "",
    ties: bool = False,
    encode: Callable[[Any, Any], list[Rendered]] = encode,
    setting: str = "max_length",
) -> tuple[list[R], FitReport]:
    """The records that fit into `max_length` tokens, or are cut to it, and differ after encoding, with a
    report.

    A ranking loses the completions that do not fit, or that encode as an earlier one does, and stays while
    two of different rank are left. A demonstration whose end is cut is given back whole: what encodes it cuts
    it at `max_length`.

    Args:
        truncate: what is done with records that are too long (`data.lengths`).
        anyway: go on even if more than half of them are lost to their length.
        remedy: what to tell the user if nothing fits because it is too long.
        ties: a ranking stays while two completions are left, of equal rank or not.
        encode: how a record is read; setting: what its length is set by, for errors.

    Raises:
        DataError: a record with nothing to learn (a template or tokenizer that masks everything); no record
            that fits; or most of them lost.
    """
    report = FitReport(max_length)
    kept: list[R] = []
    for record in records:
        report.read += 1
        sequences = encode(record, tokenizer)
        longest = max((len(sequence.ids) for sequence in sequences), default=0)
        report.longest = max(report.longest, longest)
        if not teaches(record, sequences):
            raise DataError(
                f"nothing to learn in {_excerpt(record)}: no token carries the loss",
                where=f"record {report.read}",
                remedy=(
                    "look at it with `alignlab view`; an unfinished empty completion, or a wrong chat "
                    "template"
                ),
            )
        report.needs.append(
            lengths.needs(record, sequences, tokenizer, truncate, below=min(max_length, lengths.LENGTHS[0]))
        )
        cut = None
        if longest > max_length:
            cut = lengths.shortened(record, sequences, tokenizer, max_length, truncate, encode)
        fitting = without_long(*(cut or (record, sequences)), max_length, report, ties=ties)
        report.cut += bool(cut and fitting)
        report.lost += longest > max_length and not fitting
        if fitting is None:
            continue
        kept.append(fitting[0])
        report.tokens += sum(len(sequence.ids) for sequence in fitting[1])
        report.learned += sum(sum(sequence.loss_mask) for sequence in fitting[1])
    report.kept = len(kept)
    if not kept:
        raised = remedy or f"raise {setting} to {report.longest}, if the model's context holds as many"
        raise DataError(
            f"no record fits: {report}",
            where=f"the longest has {report.longest} tokens",
            remedy=raised if report.longest > max_length else "",
        )
    if not anyway and report.lost > report.read / 2:
        raise DataError(
            (
                f"{report.lost} of {report.read} rows are lost to {setting} {max_length}, more than "
                f"half\n{report.lengths()}"
            ),
            where=f"truncate = {truncate}",
            remedy=(
                f"a larger --{setting}, as far as the model's context goes; another --truncate; or --anyway "
                "true"
            ),
        )
    return kept, report


def teaches(record: Record, sequences: Sequence[Rendered]) -> bool:
    """Whether every sequence of the record has a token that carries the loss; a prompt has none to have."""
    return isinstance(record, Prompt) or all(any(sequence.loss_mask) for sequence in sequences)


def without_long(
    record: R, sequences: Sequence[Rendered], max_length: int, report: FitReport, *, ties: bool = False
) -> tuple[R, Sequence[Rendered]] | None:
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
    return f"{type(record).__name__.lower()} {prompt_in(record).text!r:.60}"


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
            near = slice(max(0, len(commonprefix([mine, other])) - 10), None)
            return f"policy {mine[near][:40]!r}, reward model {other[near][:40]!r}"
    return ""


def require_one_reading(policy: Any, reward: Any, records: Sequence[Record], name: str) -> None:
    """Refuse to train a policy against a model that reads the same chats in other tokens: its scores and
    values would be of another text.

    Raises:
        CheckFailed: with the first place at which the two renderings part.
    """
    for record in records[:50]:
        if difference := reads_otherwise(policy, reward, record):
            raise CheckFailed(
                f"the policy and {name} read the same chat otherwise: {difference}",
                where=_excerpt(record),
                remedy=(
                    "train the reward model from the policy's own SFT model, or give both the same chat "
                    "template"
                ),
            )
