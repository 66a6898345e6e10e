"""A card is made of what was compared, as a file that the page may serve."""

import json
from dataclasses import replace

import pytest
from PIL import Image
from test_compare_views import comparison

from studio import runs
from studio.compare.columns import BASE, Column
from studio.errors import CompareError
from studio.ui import cards, launch


@pytest.fixture
def made(tiny_config, monkeypatch):
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    run = runs.create(tiny_config)
    one = comparison("Boil it.", "<b>Aye</b>", (BASE, Column(strength=0.5), Column("base", system="Be brief.")))
    return replace(one, request=replace(one.request, run_id=run.id))


def test_a_card_has_all_columns_and_names_them(made):
    card = cards.card(made, ("SmolLM2", "run 1"), "en")

    assert (card.pairs[0].before, card.pairs[0].after) == ("Boil it.", "<b>Aye</b>")
    assert (card.base, card.adapter) == ("SmolLM2", "run 1 · Adapter of this run at 50 %")
    assert [(side.kind, side.name) for side in card.sides(card.pairs[0])] == [
        ("before", "SmolLM2"),
        ("after", "run 1 · Adapter of this run at 50 %"),
        ("third", "SmolLM2 · Base model, with a system prompt"),
    ]


@pytest.mark.parametrize("kind", cards.KINDS)
def test_every_kind_is_written_below_the_temporary_folder(made, kind):
    path = cards.write(cards.card(made, ("SmolLM2", "run 1"), "en"), kind)

    assert path.is_relative_to(launch.temporary())
    if kind in cards.PICTURES:
        with Image.open(path) as picture:
            assert picture.size == cards.card_png.SIZES[cards.PICTURES[kind]]
    elif kind == "json":
        assert json.loads(path.read_text(encoding="utf-8"))["pairs"][0]["before"] == "Boil it."
    else:
        assert "Boil it." in path.read_text(encoding="utf-8")


def test_without_two_answers_there_is_no_card(made):
    with pytest.raises(CompareError):
        cards.card(None, ("", ""), "en")
    with pytest.raises(CompareError):
        cards.card(replace(made, answers=((made.answers[0][0],),)), ("", ""), "en")
