"""The card in JSON and Markdown: everything on it, and nothing of an answer taken for markup."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from studio.compare.comparison import AnswerPair
from studio.errors import CompareError
from studio.files import to_json
from studio.i18n import catalogue, text
from studio.reports import comparison_card
from studio.reports.comparison_card import Card, downsample, format_number, format_signed, to_markdown


def test_a_card_needs_answers():
    with pytest.raises(CompareError) as raised:
        Card("x", "base", "adapter", ())
    assert raised.value.key == "compare.no_pairs"


def test_json_holds_everything(card):
    read = json.loads(to_json(card))

    assert (read["title"], read["pairs"][0]["after"]) == (card.title, card.pairs[0].after)
    assert [one["name"] for one in read["scoreboard"]["scores"]] == [one.name for one in card.scoreboard.scores]
    assert read["losses"] == [3.5, 2.0, "NaN", 1.0, 0.5]
    assert [phase["kind"] for phase in read["reading"]["phases"]] == [phase.kind for phase in card.reading.phases]
    assert read["reading"]["findings"][0]["figures"]["lowest"] == 2.3


def test_markdown_holds_everything_in_words(card):
    made = to_markdown(card)

    answers = card.pairs[0].prompt, card.pairs[0].after
    for words in (card.title, card.base, *answers, "LoRA r 16", card.data_hash, "Exaggerates: 122 %"):
        assert words in made
    assert "Loss: 3.50 → 0.50. 1 value that is not a number is left out. █▅▂▁" in made
    for one in card.scoreboard.scores:
        assert f"| {text(f'compare.measures.{one.name}.name')} (" in made
    assert "Not measured: Valid JSON. Most references are not JSON." in made
    assert "## What the curve says\n\n- Fast fall in steps 1 to" in made
    assert "- ✓ Going well: the loss is down from" in made


@pytest.mark.parametrize("answer", ["```\n# out\n```", "````\n````` out", "~~~\n<script>", "`", "line\r\n```js\nx"])
def test_no_answer_breaks_out_of_its_fence(card, answer):
    made = to_markdown(replace(card, pairs=(AnswerPair(answer, answer, answer),)))
    fences = [line for line in made.splitlines() if re.fullmatch(r"`{3,}(text)?", line)]
    longest = max(map(len, re.findall("`+", answer)), default=0)
    own = [line for line in fences if len(line.removesuffix("text")) > longest]

    assert len(own) == 6
    assert own[::2] == [f"{line}text" for line in own[1::2]]
    assert made.count("text\n" + answer.replace("\r\n", "\n") + "\n`") == 3


def test_names_and_recipe_are_one_line_without_meaning_in_markdown(card):
    made = to_markdown(replace(card, title="a\n# b", adapter="[x](http://y) <b> `c` | d", recipe=("- 1. *x*", "3) y")))

    assert made.startswith("# a \\# b\n")
    assert "\\[x\\](http://y) \\<b\\> \\`c\\` \\| d" in made
    assert "- \\- 1. \\*x\\*" in made
    assert "- 3\\) y" in made


def test_figures_are_short_and_signed():
    figures = [0, 0.126, 1.5, 23.46, 1204.4, -3.2, float("inf"), float("nan")]
    assert [format_number(value) for value in figures] == ["0", "0.13", "1.50", "23.5", "1,204", "−3.20", "∞", "–"]
    assert [format_signed(value) for value in (1.5, -1.5, 0, float("inf"))] == ["+1.50", "−1.50", "0", "+∞"]


def test_a_long_curve_is_thinned_by_means():
    assert downsample([1, 2, 3, 4], 2) == [1.5, 3.5]
    assert downsample([1, float("nan"), 3], 9) == [1, 3]
    assert downsample([], 9) == []
    assert len(downsample(range(1000), 120)) == 120


def test_every_word_of_the_card_is_in_the_catalogues_and_none_is_left_over():
    folder = Path(comparison_card.__file__).parent
    sources = [path.read_text(encoding="utf-8") for path in folder.glob("*card*") if path.suffix != ".css"]
    asked = {name for source in sources for name in re.findall(r"""words\(\s*["'](\w+)["']""", source)}
    quoted = {name for source in sources for name in re.findall(r"""["'](?:card\.)?(\w+)["']""", source)}
    held = {key.removeprefix("card.") for key in catalogue("en") if key.startswith("card.")}

    assert len(asked) > 10
    assert asked <= held <= quoted
