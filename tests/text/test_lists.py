"""Lists of options, and lists a piece at a time."""

from alignlab.text.lists import by_comma, pieces


def test_a_list_with_commas_has_no_empty_words() -> None:
    assert by_comma(" a, b c ,,d,") == ["a", "b c", "d"]
    assert by_comma("") == by_comma(" , ") == []


def test_pieces_are_in_order_and_the_last_may_be_shorter() -> None:
    assert pieces([1, 2, 3, 4, 5], 2) == [[1, 2], [3, 4], [5]]
    assert pieces((), 3) == []
