"""Checks of the template and of the tokens: what the model would see, and what it would be trained on."""

from __future__ import annotations

from collections import Counter

from ...models.chat import completion_ids, prompt_ids, texts
from ...models.chat_template import begin_ids, end_token_id, marks, template_of, writes_its_end
from ...records import Comparison, Text
from ..checks import reads_otherwise, teaches
from ..formats import completions_of
from .findings import Finding, Patient, Verdict, ends, excerpt, prompt_of, texts_of


def template(p: Patient) -> list[Finding]:
    """Messages that cannot be rendered, and a model with no end to write."""
    if not p.refused:
        return []
    reasons = Counter(error.what for error in p.refused.values())
    error = next(iter(p.refused.values()))
    return p.found(
        "template",
        "broken",
        f"cannot be rendered: {', '.join(list(reasons)[:3])}",
        error.remedy or "give another template with --model.chat_template",
        list(p.refused),
        lambda i: p.refused[i].where or excerpt(p.records[i]),
    )


def end_of_turn(p: Patient) -> list[Finding]:
    """Does what is trained end with a token that the model stops at?"""
    t = p.reader.tokenizer
    if not template_of(t) or p.refused or not p.records or isinstance(p.records[0], Text):
        return []
    found, end = [], end_token_id(t)
    name = t.convert_ids_to_tokens(end)
    if not writes_its_end(t):
        found.append(
            Finding(
                "end-of-turn",
                "look",
                (
                    f"the chat template writes no end token behind an answer; {name} stands in, here in "
                    "training and in sampling"
                ),
                (
                    "a template that writes the end token itself, if other libraries are to train or serve "
                    "the model"
                ),
            )
        )
    if end not in p.reader.stops:
        stops = ", ".join(map(str, t.convert_ids_to_tokens(sorted(p.reader.stops)))) or "nothing"
        found.append(
            Finding(
                "end-of-turn",
                "look",
                (
                    f"answers are trained to end with {name}, and the model's own files stop at {stops}; "
                    "here sampling stops at both"
                ),
                f"add {end} to eos_token_id in its generation_config.json, or other libraries will not stop",
            )
        )
    unfinished = [i for i, record in enumerate(p.records) if ends(record) and not any(ends(record))]
    if unfinished:
        verdict: Verdict = "broken" if len(unfinished) == len(p.records) else p.rare(unfinished)
        found.extend(
            p.found(
                "end-of-turn",
                verdict,
                "have no completion that ends: no end token is trained on in them",
                (
                    "sample with a larger max_new_tokens, or take them out: a model learns to stop from "
                    "completions that stop"
                ),
                unfinished,
            )
        )
    return found


def pad_is_end(p: Patient) -> list[Finding]:
    t = p.reader.tokenizer
    pad = t.pad_token_id
    if pad is not None and pad not in {
        *p.reader.stops,
        *([end_token_id(t)] if template_of(t) and not p.refused else []),
    }:
        return []
    what = f"the pad token is an end token ({t.pad_token})" if pad is not None else "there is no pad token"
    return [
        Finding(
            "pad-is-end",
            "note",
            f"{what}; here masks come from lengths, so the real end is trained on and scored all the same",
            (
                "a pad token of its own, if a library that masks by pad id is to train the model: it would "
                "never learn to stop there"
            ),
        )
    ]


def empty_mask(p: Patient) -> list[Finding]:
    rows = [
        i for i, sequences in enumerate(p.sequences) if sequences and not teaches(p.records[i], sequences)
    ]
    return p.found(
        "empty-mask",
        "broken",
        "have a sequence in which no token carries the loss",
        "take them out: an empty completion that is not finished, or a template that drops it",
        rows,
    )


def double_bos(p: Patient) -> list[Finding]:
    t, found = p.reader.tokenizer, []
    bos = t.bos_token_id
    if bos is None or not p.records:
        return []
    rows = [
        i
        for i, sequences in enumerate(p.sequences)
        if any(sequence.ids[:2] == [bos, bos] for sequence in sequences)
    ]
    if rows:
        found.extend(
            p.found(
                "double-bos",
                "broken" if len(rows) > len(p.records) / 2 else "look",
                f"begin with {t.bos_token} twice",
                "take it out of the template, or out of texts that were rendered already",
                rows,
            )
        )
    own = begin_ids(t) == [bos]
    written = [sequences[0].ids[:1] == [bos] for sequences in p.sequences if sequences]
    if own and any(written):
        found.append(
            Finding(
                "double-bos",
                "note",
                (
                    f"the template writes {t.bos_token} and the tokenizer adds it too; here nothing is "
                    "added to what the template writes"
                ),
                "elsewhere, tokenise rendered text with add_special_tokens=False",
            )
        )
    elif own and written and not p.reader.own_template and not isinstance(p.records[0], Text):
        found.append(
            Finding(
                "double-bos",
                "look",
                (
                    f"the tokenizer puts {t.bos_token} before a text, and the chat template does not: the "
                    "model is trained without it"
                ),
                (
                    f"write {{{{ bos_token }}}} at the start of the template, if the model was pretrained "
                    f"with {t.bos_token}"
                ),
            )
        )
    return found


def boundary_merges(p: Patient) -> list[Finding]:
    """Tokens that would span prompt and completion if both were tokenised in one piece."""
    t = p.reader.tokenizer
    said: dict[int, str] = {}
    for i, record in enumerate(p.records):
        if i in p.refused or not completions_of(record):
            continue
        prompt, completion = prompt_of(record), completions_of(record)[0]
        apart = [*prompt_ids(t, prompt), *completion_ids(t, prompt, completion, finished=False)]
        together = t("".join(texts(t, prompt, completion)), add_special_tokens=False)["input_ids"]
        if apart != together:
            k = next(
                (k for k, (x, y) in enumerate(zip(apart, together, strict=False)) if x != y),
                min(len(apart), len(together)),
            )
            said[i] = (
                f"apart {t.convert_ids_to_tokens(apart[k : k + 3])}, together "
                f"{t.convert_ids_to_tokens(together[k : k + 3])}"
            )
    return p.found(
        "boundary-merges",
        "note",
        (
            "have other tokens where the completion begins when prompt and completion are tokenised in "
            "one piece; here they are tokenised apart, in training as in sampling"
        ),
        (
            "a template that ends its generation prompt with a special token or a line break, if "
            "another library is to train on this"
        ),
        list(said),
        said.__getitem__,
    )


def special_tokens_in_text(p: Patient) -> list[Finding]:
    """Turn marks and special tokens that somebody wrote into a text: in an answer or a system message they
    become the real ones.
    """
    pattern = marks(p.reader.tokenizer)
    said = {
        i: f"{match[0]!r} in {text[max(0, match.start() - 20) :][:60]!r}"
        for i, record in enumerate(p.records)
        for text in texts_of(record)
        if (match := pattern.search(text))
    }
    return p.found(
        "special-tokens-in-text",
        "look",
        (
            "hold a special token or turn mark of this model in their text: in an answer it is read "
            "as a real one, in a user's turn it is pulled apart"
        ),
        ("take the marks out of answers; elsewhere, break them up before anybody's text reaches a model"),
        list(said),
        said.__getitem__,
    )


def too_long(p: Patient) -> list[Finding]:
    """What is cut to fit or is lost, what differs no more, and pairs that would become identical if their
    ends were cut.
    """
    found: list[Finding] = []
    read = [i for i, sequences in enumerate(p.sequences) if sequences]
    long = [i for i in read if p.needs[i][0] > p.max_length]
    lost = [i for i in long if p.needs[i][1] > p.max_length]
    said = (
        f"({len(long) / max(1, len(p.records)):.1%}) are longer than {p.max_length} tokens (the longest "
        f"{max((p.needs[i][0] for i in long), default=0)}): "
    )
    said += f"{len(long) - len(lost)} are cut (--truncate {p.truncate}) and {len(lost)} are lost"
    remedy = (
        "a larger max_length if the context allows it: the table above says what each keeps; or --truncate "
        "drop, to leave out what would be cut"
    )
    if lost and len(lost) == len(read):
        found.append(
            Finding(
                "too-long",
                "broken",
                f"nothing fits into {p.max_length} tokens, and nothing can be cut to it",
                "a larger max_length, if the model's context holds as many; shorter rows; or another model",
                len(read),
            )
        )
    elif long:
        found.extend(
            p.found("too-long", "broken" if len(lost) > len(read) / 2 else p.rare(long), said, remedy, long)
        )
    alike = [
        i
        for i in read
        if isinstance(p.records[i], Comparison) and p.sequences[i][0].ids == p.sequences[i][1].ids
    ]
    cut = [
        i
        for i in long
        if len({tuple(sequence.ids[: p.max_length]) for sequence in p.sequences[i]}) < len(p.sequences[i])
        and i not in alike
    ]
    if cut:
        found.extend(
            p.found(
                "alike-when-cut",
                "note",
                (
                    f"would have identical completions if their ends were cut at {p.max_length} tokens, and "
                    "--truncate end would drop them"
                ),
                "a larger max_length before --truncate end, or another library, trains on them",
                cut,
            )
        )
    if alike:
        found.extend(
            p.found(
                "same-tokens",
                p.rare(alike),
                "have the same tokens in chosen and rejected, though the texts differ",
                "take them out: training drops them",
                alike,
            )
        )
    return found


def reward_reads_otherwise(p: Patient) -> list[Finding]:
    """The same chat, rendered by the policy and by the reward model."""
    if p.reward is None or not p.records or isinstance(p.records[0], Text):
        return []
    rows, said = [], {}
    for i in range(min(len(p.records), 200)):
        if i in p.refused:
            continue
        if difference := reads_otherwise(p.reader.tokenizer, p.reward.tokenizer, p.records[i]):
            rows.append(i)
            said[i] = difference
    return p.found(
        "reward-reads-otherwise",
        "broken",
        f"(of the first 200) are read otherwise by the reward model {p.reward.name}",
        "train the reward model from the policy's own SFT model, or give both the same template",
        rows,
        said.__getitem__,
    )
