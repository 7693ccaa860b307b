"""The data doctor: what in the data, the template or the pairing of models would break training, or quietly
spoil it.

A finding is `broken` (training refuses, or would learn something else than was meant), `look` (worth a look
before training) or `note` (what this library does about it, and others may not). What training itself refuses
is decided by the same functions (`checks`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from ...errors import DataError, ModelError
from ...models.reader import Reader
from ...models.template import TemplateBound
from ...records import Record
from ..checks import encode
from ..lengths import LENGTHS, needs, table
from ..load_report import LoadReport
from .findings import Diagnosis, Finding, Patient
from .rows import (
    columns_not_read,
    damaged_text,
    doubtful_rows,
    labels_alike,
    mixed_formats,
    roles_out_of_order,
    teaches_nothing,
    unreadable_rows,
)
from .together import (
    contradictions,
    duplicates,
    leaked_prompts,
    length_bias,
    repeated_prompts,
    similar_records,
)
from .tokens import (
    boundary_merges,
    double_bos,
    empty_mask,
    end_of_turn,
    pad_is_end,
    reward_reads_otherwise,
    special_tokens_in_text,
    template,
    too_long,
)


def examine(
    records: Sequence[Record],
    places: Sequence[str],
    reader: Reader,
    *,
    source: str,
    kind: str,
    max_length: int = 0,
    report: LoadReport | None = None,
    broken: Sequence[DataError] = (),
    reward: Reader | None = None,
    against: Sequence[Record] = (),
    against_name: str = "",
) -> Diagnosis:
    """Every check over records that all are of one kind.

    Args:
        places: where each record stands, for people.
        max_length: tokens that training would allow; 0 = the model's context.
        report, broken: what the loader said, and the rows that it could not read.
        reward: a reward model that is to score answers to these prompts; against: records whose prompts must
            not be here.
    """
    patient = Patient(
        records,
        places,
        report,
        broken,
        reader,
        min(max_length or reader.context, reader.context),
        reward,
        against,
        against_name,
    )
    for i, record in enumerate(records):
        try:
            sequences = encode(record, reader.tokenizer)
            patient.needs.append(
                needs(record, sequences, reader.tokenizer, patient.truncate, below=LENGTHS[0])
            )
            patient.sequences.append(sequences)
        except TemplateBound:
            raise
        except ModelError as error:
            patient.sequences.append([])
            patient.needs.append((0, 0))
            patient.refused[i] = error
    read = [row for row, sequences in zip(patient.needs, patient.sequences, strict=True) if sequences]
    diagnosis = Diagnosis(
        source,
        kind,
        len(records),
        tokens=_tokens(patient),
        truncate=patient.truncate,
        lengths=table(read, here=max_length, context=reader.context),
    )
    for check in CHECKS:
        findings = check(patient)
        diagnosis.findings += findings
        if not findings:
            diagnosis.passed.append(check.__name__.strip("_").replace("_", "-"))
    diagnosis.findings.sort(key=lambda finding: ("broken", "look", "note").index(finding.verdict))
    return diagnosis


def _tokens(p: Patient) -> dict[str, float]:
    lengths = sorted(len(sequence.ids) for sequences in p.sequences for sequence in sequences)
    if not lengths:
        return {}
    learned = sum(sum(sequence.loss_mask) for sequences in p.sequences for sequence in sequences)
    return {
        "sequences": len(lengths),
        "median": median(lengths),
        "p95": lengths[int(0.95 * (len(lengths) - 1))],
        "longest": lengths[-1],
        "trained_share": learned / max(1, sum(lengths)),
        "max_length": p.max_length,
    }


CHECKS: tuple[Callable[[Patient], list[Finding]], ...] = (
    unreadable_rows,
    mixed_formats,
    template,
    end_of_turn,
    pad_is_end,
    empty_mask,
    double_bos,
    boundary_merges,
    too_long,
    special_tokens_in_text,
    damaged_text,
    columns_not_read,
    doubtful_rows,
    teaches_nothing,
    roles_out_of_order,
    labels_alike,
    duplicates,
    repeated_prompts,
    contradictions,
    similar_records,
    length_bias,
    leaked_prompts,
    reward_reads_otherwise,
)
