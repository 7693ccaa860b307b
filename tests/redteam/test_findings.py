"""Delta debugging, clustering and lessons, by rule."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from alignlab.redteam.findings import ddmin, severity


def run(words: Sequence[str], works) -> tuple[list[str], int]:
    search, asked = ddmin(words), 0
    candidates = next(search)
    while True:
        asked += len(candidates)
        try:
            candidates = search.send([works(candidate) for candidate in candidates])
        except StopIteration as end:
            return end.value, asked


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=24), st.data())
@settings(max_examples=60, deadline=None)
def test_what_is_left_works_and_no_single_word_can_go(words: list[str], data) -> None:
    needed = [words[i] for i in data.draw(st.sets(st.integers(0, len(words) - 1), max_size=3))]

    def works(candidate: list[str]) -> bool:
        return all(candidate.count(word) >= needed.count(word) for word in needed) and bool(candidate)

    shortest, asked = run(words, works)
    assert works(shortest)
    rest = iter(words)
    assert all(word in rest for word in shortest)  # a subsequence
    assert len(shortest) == 1 or not any(
        works(shortest[:i] + shortest[i + 1 :]) for i in range(len(shortest))
    )
    assert asked <= 4 * len(words) ** 2 + 10


def test_what_does_not_work_again_stays_as_it_is() -> None:
    words = list("abcd")
    assert run(words, lambda candidate: False) == (words, 1)


def test_severity() -> None:
    assert [severity("direct", share) for share in (0.9, 0.2, 0.05)] == ["high", "medium", "low"]
    assert [severity("indirect", share) for share in (0.9, 0.2, 0.05)] == ["medium", "low", "low"]
