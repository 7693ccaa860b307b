"""Expressions that tokenizers of the field cut words with are run; those that may take for ever are not."""

from __future__ import annotations

import pytest

from alignlab.models.patterns import why_harmful

USED = [
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",  # GPT-2
    # Llama 3
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| "
        r"?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    # GPT-4o
    (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+"
    ),
    # DeepSeek
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"""
    r""" ?[\p{P}\p{S}]+[\r\n]*""",
    r" ?[^(\s|[.,!?…。，、।۔،])]+",
    r"\d{1,3}(?=(?:\d{3})*\b)",
    r"[\p{Han}]+|[\p{Lu}&&[^\p{Han}]]*[\p{Ll}&&[^\p{Han}]]+",
    " {2,}",
    r"[0-9][0-9][0-9]",
    r"(?<=\p{L})\p{N}",
    r"[]a]+",
    "[[:alpha:]]+",
]
HARMFUL = [
    r"(a+)+$",
    r"(a*)*b",
    r"(a|a)*b",
    r"(a|aa)+$",
    r"(?:a|b|ab)*c",
    r"a*a*a*b",
    r".*.*x",
    r"^\s+\s+\s+x",
    r"(a?){50}a{50}",
    "a?" * 30 + "a" * 30,
    "a{0,60}a{0,60}a{0,60}b",
    r"(.*a){20}",
    r"(a{1,50}){1,50}b",
    r"(\w+\s?)*x",
    r"(x+x+)+y",
    r"(?=(a+)+b)",
    r"(?>(a+)+)b",
    r"(a+?)+?b",
    r"(a)\1+",
    r"a{1,99999}",
    "(" * 100 + ")" * 100,
    "[a",
    "(a",
    "a)",
    "+",
    "a" * 5000,
]


@pytest.mark.parametrize("pattern", USED)
def test_what_the_field_uses_is_run(pattern):
    assert why_harmful(pattern) == ""


@pytest.mark.parametrize("pattern", HARMFUL)
def test_what_may_take_for_ever_is_not(pattern):
    assert why_harmful(pattern)
