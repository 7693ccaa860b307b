"""ROUGE-L against the table of the longest common subsequence; the pool against comparing with each text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.text.rouge import Pool, rouge_l, words

TEXTS = st.lists(st.sampled_from("a b c d the".split()), max_size=9).map(" ".join)


def table(a: list[str], b: list[str]) -> int:
    """The textbook's dynamic programme."""
    rows = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            rows[i + 1][j + 1] = rows[i][j] + 1 if x == y else max(rows[i][j + 1], rows[i + 1][j])
    return rows[-1][-1]


@given(TEXTS, TEXTS)
def test_rouge_l_is_the_f_measure_of_the_longest_common_subsequence(a: str, b: str):
    first, second = words(a), words(b)
    expected = 2 * table(first, second) / (len(first) + len(second)) if first or second else 0.0
    assert rouge_l(a, b) == pytest.approx(expected) and rouge_l(a, b) == rouge_l(b, a)


def test_published_example():
    # Lin 2004, section 3: S1 "police killed the gunman", S2 "police kill the gunman", S3 "the gunman kill
    # police"
    assert rouge_l("police killed the gunman", "police kill the gunman") == 0.75
    assert rouge_l("police killed the gunman", "the gunman kill police") == 0.5


@given(st.lists(TEXTS, max_size=6), TEXTS)
def test_the_pool_s_nearest_is_the_largest(texts: list[str], asked: str):
    assert Pool(texts).nearest(asked) == pytest.approx(
        max((rouge_l(asked, text) for text in texts), default=0.0)
    )


def test_case_and_punctuation_do_not_count():
    pool = Pool()
    assert pool.nearest("anything") == 0.0
    pool.add("What is it, then?")
    assert pool.nearest("what IS it then") == 1.0 and pool.nearest("") == 0.0
