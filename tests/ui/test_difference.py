"""Two answers are compared word by word."""

import pytest

from studio.ui.difference import Piece, compare


def marked(pieces):
    return [piece.text for piece in pieces if piece.own]


def whole(pieces):
    return "".join(piece.text for piece in pieces)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("Boil it for seven minutes.", "Aye, boil her for seven minutes, matey!"),
        ("", "a word\n\nand another  one"),
        ("바다는 넓습니다.", "바다를 봅니다.\n등대가 켜진다."),
        ("It's <b>bold</b>", "It’s &lt;b&gt;"),
        ("한글", "한글"),
    ],
)
def test_the_pieces_of_a_side_are_its_answer(one, two):
    found = compare(one, two)

    assert (whole(found.one), whole(found.two)) == (one, two)


def test_equal_answers_have_no_marks():
    found = compare("The sea, the sea.", "The sea, the sea.")

    assert (marked(found.one), marked(found.two), found.shared) == ([], [], 1.0)


def test_words_of_one_side_only_are_marked():
    found = compare("Boil it for seven minutes.", "Boil her for seven minutes.")

    assert (marked(found.one), marked(found.two)) == (["it"], ["her"])
    assert found.shared == pytest.approx(5 / 6)


def test_words_in_a_row_are_one_mark_and_the_space_beside_it_is_not_marked():
    found = compare("Sail on.", "Sail over the deep sea on.")

    assert marked(found.two) == ["over the deep sea"]
    assert found.one == (Piece("Sail on.", False),)


def test_of_korean_words_that_begin_alike_only_the_ending_is_marked():
    found = compare("나는 바다는 좋다", "나는 바다를 좋다")

    assert (marked(found.one), marked(found.two)) == (["는"], ["를"])


def test_composed_and_decomposed_hangul_are_the_same():
    found = compare("\u1112\u1161\u11ab\u1100\u1173\u11af", "한글")

    assert found.shared == 1.0


def test_nothing_in_common_and_nothing_at_all():
    assert compare("sea", "land").shared == 0.0
    assert compare("", "").shared == 1.0
