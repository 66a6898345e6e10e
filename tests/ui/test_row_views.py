"""One row, its tokens, and the table of raw rows."""

import html
from dataclasses import replace

from studio.i18n import text
from studio.ui import data_state, row_views
from studio.ui.data_state import Column, DataState

EVIL = '<img src=x onerror="alert(1)">'


def a_look() -> DataState:
    columns = (Column("q", "text", "prompt"), Column("more", "list"), Column("more.0.a", "text", "completion"))
    return DataState("jsonl", "utf-8", columns=columns, cells=(("why?", "[…]", ""), ("torn line",)))


def test_tokens_carry_their_label_and_special_ones_stand_out():
    markup = row_views.tokens_html([("<|im_start|>", "context"), (" Aye", "trained"), ("\n", "cut")], "en")

    assert '<span class="t context special">&lt;|im_start|&gt;</span>' in markup
    assert '<span class="t trained"> Aye</span>' in markup
    assert "↵" in markup
    for label in ("context", "trained", "cut"):
        assert text(f"ui.tokens.{label}") in markup


def test_a_very_long_row_is_shown_without_its_middle_and_says_so():
    spans = [(f" {number}", "trained") for number in range(10_000)]

    markup = row_views.tokens_html(spans, "en")

    assert markup.count('class="t trained"') == 1 + 1500 + 300
    assert text("ui.preview.gap", n="8,200") in markup
    assert " 9999<" in markup


def test_the_token_line_counts_and_tells_the_end():
    good = row_views.tokens_line(61, 43, True, "en")

    assert "61 tokens · 43 trained (70 %)" in good
    assert "ends by itself" in good
    assert "cut before its end" in row_views.tokens_line(61, 43, False, "en")
    assert "(0 %)" in row_views.tokens_line(0, 0, False, "en")


def test_nothing_of_a_row_becomes_html():
    evil = replace(a_look(), columns=(Column(EVIL, "text", "prompt"),), cells=((EVIL,), (EVIL, EVIL)))
    shown = [
        row_views.tokens_html([(EVIL, "context")], "en"),
        row_views.raw_row({EVIL: EVIL}, evil.columns, "en"),
        row_views.table_html(evil, "en"),
        row_views.structure_html(evil, "en"),
    ]

    for markup in shown:
        assert "<img" not in markup
        assert html.escape(EVIL) in markup


def test_the_table_marks_columns_in_use_and_keeps_rows_that_cannot_be_read():
    markup = row_views.table_html(a_look(), "en")

    assert markup.count('class="used"') == 2  # `more` holds the answer inside
    assert "more.0.a" not in markup
    assert text("ui.rows.unreadable") in markup


def test_the_structure_tells_kind_encoding_rows_and_types():
    markup = row_views.structure_html(a_look(), "en", counted=1200)

    for words in ("JSONL", "UTF-8", "1,200 rows", "3 columns", "more.0.a", text("ui.types.list")):
        assert words in markup


def test_marks_follow_the_mapping():
    used = data_state.using(a_look(), {"shape": "text", "text": "more", "prompt": ["q"], "completion": "q"})

    assert [column.use for column in used.columns] == ["", "text", ""]
