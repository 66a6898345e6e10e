"""What the Compare tab shows of a comparison."""

import html
from dataclasses import replace

import pytest

from studio.compare.columns import ADAPTED, BASE, Column, CompareRequest
from studio.compare.comparison import Comparison
from studio.compare.proof import Proof
from studio.config import GenerationConfig
from studio.generation.generate import ColumnAnswer
from studio.generation.likelihood import TokenScores
from studio.i18n import LANGUAGES, message, text
from studio.ui import compare_views as views

EVIL = '<img src=x onerror="alert(1)">'
SONG = "[Verse]\nThe lamp is lit\nThe tide is low\n\n[Chorus]\nRow, row home\nRow, row home"

PROOF = Proof(
    prompt_sha256=("a" * 64, "a" * 64),
    adapter_sha256=(None, "b" * 64),
    base_sha256="c" * 64,
    precision="float32",
    base_is_untouched=True,
    base_difference=0.0,
    tolerance=1e-5,
    sides_differ=0.25,
    template_as_trained=True,
)


def comparison(before="Boil it.", after="Boil her.", columns=(BASE, ADAPTED), end="turn", proof=PROOF, **settings):
    sides = tuple(
        ColumnAnswer(words, tuple(range(9)), 2.0, 0.5, end) for words in (before, after, *[before] * (len(columns) - 2))
    )
    request = CompareRequest("run", (settings.pop("prompt", "How?"),), GenerationConfig(**settings), columns)
    return Comparison(request, (sides,), (), proof)


@pytest.mark.parametrize("view", views.VIEWS)
def test_nothing_of_an_answer_is_taken_for_markup(view):
    made = comparison(EVIL, f"{EVIL}\n{EVIL}\nsecond line", prompt=EVIL)
    chat = replace(made, request=made.next_turn(EVIL))
    for language in LANGUAGES:
        for shown in (made, chat):
            assert "<img" not in "".join(views.answer(shown, number, view, language) for number in range(2))


def test_words_of_one_side_are_marked_with_a_line_of_its_own():
    made = comparison()

    assert '<mark class="own one">it</mark>' in views.answer(made, 0, "difference", "en")
    assert '<mark class="own two">her</mark>' in views.answer(made, 1, "difference", "en")
    assert "67 %" in views.shared_line(made, "en")


def test_an_answer_that_streams_is_shown_as_it_is():
    going = comparison(end=None)

    assert "cursor" in views.answer(going, 1, "difference", "en")
    assert views.shared_line(going, "en") == ""


def test_lyrics_have_tags_hooks_and_are_copied_with_them():
    shown = views.song(SONG, "en")

    assert "[Verse 1]" in shown
    assert "♪1 ×2" in shown
    assert 'data-copy="[Verse 1]\nThe lamp is lit' in shown
    assert text("ui.lyrics.one_line", "en") in views.song("One line.", "en")


def test_a_caption_tells_tokens_speed_first_token_and_end():
    caption = views.caption(comparison().answers[0][1], "en")

    assert caption == '<p class="caption">9 tokens · 5.3/s · first after 0.5 s · ended by itself</p>'


def test_a_chat_shows_what_each_column_said_before():
    made = comparison("one", "two")
    chat = Comparison(made.next_turn("And then?"), made.answers)

    assert [words in views.answer(chat, 1, "plain", "en") for words in ("How?", "two", "And then?")] == [True] * 3
    assert "earlier" not in views.answer(made, 1, "plain", "en")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "problem",
    [
        message("compare.wrong.same", first=1, second=2),
        message("compare.wrong.base", difference="0.5"),
        message("compare.wrong.template", number=2),
    ],
    ids=lambda problem: problem.key,
)
def test_the_badge_says_verified_or_says_loudly_what_is_wrong(language, problem):
    good = views.badge(comparison(), language)
    bad = views.badge(comparison(proof=replace(PROOF, problems=(problem,))), language)

    assert text("ui.proof.verified", language) in good
    assert 'role="alert"' not in good
    assert text("ui.proof.wrong", language) in bad
    assert all(html.escape(line) in bad for line in problem.text(language).splitlines())
    assert 'role="alert"' in bad
    assert text("ui.proof.verified", language) not in bad
    for hashed in ("a" * 52, "b" * 52, "c" * 52):
        assert hashed in good


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_badge_says_loudly_what_is_not_proven(language):
    left = message("compare.unproven.base", number=2, made_for=EVIL)
    shown = views.badge(comparison(proof=replace(PROOF, made_for=(None, "shapes"), unproven=(left,))), language)

    assert 'role="alert"' in shown
    for key in ("ui.proof.unproven", "ui.proof.made_for", "ui.proof.known.shapes"):
        assert text(key, language) in shown
    for key in ("ui.proof.verified", "ui.proof.wrong"):
        assert text(key, language) not in shown
    assert "<img" not in shown


def test_the_badge_does_not_claim_one_prompt_where_a_column_was_told_more():
    told = (BASE, ADAPTED, Column("base", system="Be brief."))
    proof = replace(PROOF, prompt_sha256=("a" * 64, "a" * 64, "d" * 64), adapter_sha256=(None, "b" * 64, None))

    assert text("ui.proof.sampled_told") in views.badge(comparison(columns=told, proof=proof), "en")
    assert text("ui.proof.greedy") in views.badge(comparison(temperature=0), "en")


def test_no_verdict_before_all_answers_are_there():
    assert text("ui.proof.none") in views.badge(None, "en")
    assert text("ui.proof.going") in views.badge(comparison(proof=None), "en")


def test_the_headings_name_what_answers():
    assert "Before" in views.column_title(BASE, 0, "SmolLM2", "run 1", "en")
    assert "run 1" in views.column_title(ADAPTED, 1, "SmolLM2", "run 1", "en")
    assert "50 %" in views.column_title(Column(strength=0.5), 2, "SmolLM2", "run 1", "en")
    assert "<img" not in views.column_title(BASE, 0, EVIL, EVIL, "en")


def test_likelihood_marks_by_strength_and_tells_figures():
    logarithms = {"Aye": (-5.0, -0.5), " the": (-1.0, -1.01), EVIL: (-0.1, -3.0)}
    token_scores = tuple(TokenScores(*each) for each in logarithms.items())

    shown = views.answer(comparison(), 1, "likelihood", "en", token_scores)

    assert 'class="w up s3"' in shown
    assert 'class="w even"' in shown
    assert 'class="w down s3"' in shown
    assert "<img" not in shown
    assert (views.times(4.5), views.times(-4.5), views.times(0.0)) == ("×90", "÷90", "×1.0")
