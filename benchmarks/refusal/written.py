"""Answers written for the refusal classifier: how assistants refuse, refuse in part and oblige, in many
manners. The sentences are in `sentences.toml`.

They are here because the answers that people have labelled come from a few models, each with a manner of its
own ("I cannot fulfil your request"). `tasks` has harmless things and ones that sound harmful in equal
measure, and both stand in refusals and in help alike, so that no topic counts for either.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Example = tuple[str, str, str]
"""Request, answer, label: refusal, partial or compliance."""


def rows(*, seed: int, each: int = 3) -> Iterator[Example]:
    """Every sentence in `each` settings, and help of every manner."""
    said = tomllib.loads((Path(__file__).parent / "sentences.toml").read_text(encoding="utf-8"))
    rng = random.Random(f"written-{seed}")
    yield from _refusals(said, rng, each)
    yield from _refusals_that_help(said, rng)
    yield from _help_with_an_opener(said, rng, each)
    yield from _about_rights(said, rng, each)
    yield from _sermons(said, rng, each)
    yield from _about_events(said)
    yield from _about_feats(said, rng, each)
    yield from _about_somebody(said, rng, each)
    yield from _help(said, rng, each)


def _example(said: dict[str, Any], rng: random.Random, task: str, answer: str, label: str) -> Example:
    return rng.choice(said["asked"]).replace("_T_", task), answer.replace("_T_", task), label


def _refusals(said: dict[str, Any], rng: random.Random, each: int) -> Iterator[Example]:
    for sentence in said["refusals"]:
        for _ in range(each):
            task = rng.choice(said["tasks"])
            more = rng.sample(said["after"], rng.choice((0, 0, 1, 2)))
            yield _example(said, rng, task, " ".join([sentence, *more]), "refusal")
    for sentence in said["refusals"]:
        task = rng.choice(said["tasks"])
        gap, offer, offered = (
            rng.choice((" ", "\n\n")),
            rng.choice(said["safer"]),
            rng.choice(said["harmless"]),
        )
        yield _example(said, rng, task, f"{sentence}{gap}{offer}\n\n{offered}", "refusal")


def _refusals_that_help(said: dict[str, Any], rng: random.Random) -> Iterator[Example]:
    """Some go on to help without a word between."""
    for _ in range(3 * len(said["refusals"]) // 2):
        task = rng.choice(said["tasks"])
        turn = rng.choice((f" {rng.choice(said['turns'])}\n\n", " ", "\n\n"))
        asked = rng.choice(said["asked"])
        answer = f"{rng.choice(said['refusals'])}{turn}{rng.choice(said['bodies'])}"
        yield asked.replace("_T_", task), answer.replace("_T_", task), "partial"


def _help_with_an_opener(said: dict[str, Any], rng: random.Random, each: int) -> Iterator[Example]:
    for opener in said["openers"]:
        for _ in range(3 * each):
            task, gap = rng.choice(said["tasks"]), rng.choice((" ", "\n\n"))
            asked, answer = rng.choice(said["asked"]), f"{opener}{gap}{rng.choice(said['bodies'])}"
            yield asked.replace("_T_", task), answer.replace("_T_", task), "compliance"


def _about_rights(said: dict[str, Any], rng: random.Random, each: int) -> Iterator[Example]:
    for sentences, who, label in (("unfair", "people", "refusal"), ("absurd", "things", "compliance")):
        for sentence in said[sentences]:
            for _ in range(2 * each):
                somebody, right = rng.choice(said[who]), rng.choice(said["rights"])
                asked = rng.choice(said["why"]).replace("_W_", somebody).replace("_R_", right)
                answer = sentence.replace("_W_", somebody).replace("_R_", right)
                yield asked, answer[0].upper() + answer[1:], label


def _sermons(said: dict[str, Any], rng: random.Random, each: int) -> Iterator[Example]:
    for sentence in said["sermons"]:
        for _ in range(2 * each):
            task, asked = rng.choice(said["tasks"]), rng.choice(said["asked"])
            answer = " ".join([sentence, *rng.sample(said["preached"], rng.randint(1, 4))])
            yield asked.replace("_T_", task), answer.replace("_T_", task), "refusal"


def _about_events(said: dict[str, Any]) -> Iterator[Example]:
    for pairs, label in (("denials", "refusal"), ("histories", "compliance")):
        for pair in said[pairs]:
            for event in said["events"]:
                answer = pair["said"].replace("_E_", event)
                yield pair["asked"].replace("_E_", event), answer[0].upper() + answer[1:], label


def _about_feats(said: dict[str, Any], rng: random.Random, each: int) -> Iterator[Example]:
    """What no human being can do, asked of some people."""
    for sentences, label in (
        ("unable", "compliance"),
        ("unable_preached", "partial"),
        ("offended", "refusal"),
    ):
        for sentence in said[sentences]:
            for _ in range(2 * each):
                somebody, feat = rng.choice(said["people"]), rng.choice(said["feats"])
                asked = rng.choice(said["why_unable"]).replace("_W_", somebody).replace("_I_", feat)
                yield asked, sentence.replace("_W_", somebody).replace("_I_", feat), label


def _about_somebody(said: dict[str, Any], rng: random.Random, each: int) -> Iterator[Example]:
    """Personal details: not to have those of public and invented people is an answer."""
    for who, sentences, label in (
        ("private", "private_said", "refusal"),
        ("public", "public_said", "compliance"),
        ("invented", "invented_said", "compliance"),
        ("invented", "invented_defended", "partial"),
        ("invented", "invented_refused", "refusal"),
    ):
        for sentence in said[sentences]:
            for _ in range(2 * each):
                somebody, detail = rng.choice(said[who]), rng.choice(said["details"])
                asked = rng.choice(said["asked_of"]).replace("_P_", somebody).replace("_D_", detail)
                answer = sentence.replace("_P_", somebody).replace("_D_", detail)
                yield asked, answer[0].upper() + answer[1:], label


def _help(said: dict[str, Any], rng: random.Random, each: int) -> Iterator[Example]:
    for opener in said["opinions"]:
        for body in said["bodies"]:
            task = rng.choice(said["tasks"])
            yield rng.choice(said["asked"]).replace("_T_", task), f"{opener} {body}", "compliance"
    for body in said["bodies"]:
        for _ in range(2 * each):
            task = rng.choice(said["tasks"])
            yield _example(said, rng, task, body, "compliance")
