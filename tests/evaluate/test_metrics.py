"""The scoreboard's figures are the libraries' own, and its verdicts keep chance out."""

import json
import random
from dataclasses import replace

import numpy
import pytest
from pydantic import TypeAdapter
from rouge_score import rouge_scorer
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.significance import _bootstrap_resample

from studio import presets
from studio.config import SourceConfig
from studio.data import source
from studio.errors import CompareError
from studio.evaluate import metrics, scoreboard
from studio.evaluate.metrics import METRICS, Sample, longest_loop, metric_context, words
from studio.evaluate.scoreboard import Scoreboard, score
from studio.files import to_json
from studio.i18n import has

ENGLISH = [
    ("How do I boil an egg?", "Seven minutes in hot water, then cool it.", "Put the egg in water for seven minutes."),
    ("Why does it rain?", "Clouds cool and their water falls.", "The water in clouds falls when they cool."),
    ("What is snow?", "Frozen water from the clouds.", "Frozen water from the clouds."),
    ("How far is the moon?", "About 384,000 kilometers.", "I don't know."),
    ("What is bread made of?", "Flour, water, salt and yeast.", "Flour and flour and flour and flour and water."),
    ("Who wrote it?", "Nobody knows who wrote it.", ""),
    ("Say something short.", "Yes.", "Yes, but why, and why, and why not?"),
]
KOREAN = [
    ("달걀은 어떻게 삶나요?", "끓는 물에 7분 동안 삶고 찬물에 식히세요.", "달걀을 끓는 물에 넣고 7분 기다리세요."),
    ("비는 왜 오나요?", "구름이 식으면 물방울이 떨어져요.", "구름의 물방울이 떨어져서 비가 와요."),
    ("눈은 무엇인가요?", "구름에서 내리는 얼음 알갱이예요.", "구름에서 내리는 얼음 알갱이예요."),
    ("달은 얼마나 먼가요?", "약 38만 킬로미터 떨어져 있어요.", "잘 모르겠어요."),
    ("빵은 무엇으로 만드나요?", "밀가루와 물, 소금, 효모로 만들어요.", "밀가루 밀가루 밀가루 밀가루로 만들어요."),
    ("누가 썼나요?", "누가 썼는지 아무도 몰라요.", "세종대왕이 바다는 바다를 썼어요."),
]


def samples(rows, answer=2, **changes):
    return [replace(Sample(row[0], row[1], row[answer]), **changes) for row in rows]


def perfect(rows):
    return samples(rows, answer=1)


@pytest.mark.parametrize(("rows", "tokenizer"), [(ENGLISH, "13a"), (KOREAN, "ko-mecab")], ids=["en", "ko"])
def test_bleu_and_chrf_are_what_sacrebleu_says(rows, tokenizer):
    board = score(samples(rows), perfect(rows))
    answers, references = [row[2] for row in rows], [[row[1] for row in rows]]

    assert board.score("bleu").before == pytest.approx(BLEU(tokenize=tokenizer).corpus_score(answers, references).score)
    assert board.score("chrf").before == pytest.approx(CHRF().corpus_score(answers, references).score)
    assert board.score("bleu").before > 1
    assert board.score("bleu").after == pytest.approx(100)
    assert board.score("chrf").after == pytest.approx(100)


def test_a_figure_of_drawn_rows_is_what_sacrebleu_says_of_those_rows():
    answers, references = [row[2] for row in ENGLISH], [[row[1] for row in ENGLISH]]
    shared = metric_context(references[0], None)
    for name, metric in (("bleu", BLEU()), ("chrf", CHRF())):
        measure = next(m for m in METRICS if m.name == name)
        statistics = measure.statistics(samples(ENGLISH), shared)
        for seed in range(20):
            drawn = random.Random(seed).choices(range(len(ENGLISH)), k=len(ENGLISH))
            direct = metric.corpus_score([answers[i] for i in drawn], [[references[0][i] for i in drawn]]).score
            counts = numpy.bincount(drawn, minlength=len(ENGLISH))
            assert float(measure.figure(counts @ statistics, shared)) == pytest.approx(direct)


def test_rouge_is_what_rouge_score_says_of_english():
    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"])
    board = score(samples(ENGLISH), perfect(ENGLISH))

    for kind in ("rouge1", "rouge2", "rougeL"):
        direct = [scorer.score(reference, answer)[kind].fmeasure for _, reference, answer in ENGLISH]
        assert board.score(kind).before == pytest.approx(100 * numpy.mean(direct))


def test_rouge_sees_korean_where_the_library_alone_sees_nothing():
    alone = rouge_scorer.RougeScorer(["rouge1"]).score("바다는 넓어요", "바다를 봐요")["rouge1"].fmeasure
    shared = metric_context(["바다는 넓어요"], None)

    assert alone == 0
    assert shared.tokenize("바다는 넓어요.") == ["바다", "는", "넓", "어요"]
    assert shared.rouge("바다는 넓어요", "바다를 봐요")["rouge1"].fmeasure == pytest.approx(2 / 7)


def test_without_mecab_korean_is_counted_in_characters_and_it_is_said(monkeypatch):
    monkeypatch.setattr(metrics, "find_spec", lambda name: None)
    board = score(samples(KOREAN), perfect(KOREAN))
    direct = BLEU(tokenize="char").corpus_score([row[2] for row in KOREAN], [[row[1] for row in KOREAN]]).score
    choice = next(choice for choice in board.choices if choice.name == "tokenizer")

    assert board.score("bleu").before == pytest.approx(direct)
    assert choice.value == "char"
    assert "mecab-ko" in choice.reason.text()


def test_perplexity_weighs_every_token_the_same():
    before = [Sample("a", "x", "y", nll=1.0, nll_tokens=30), Sample("b", "x", "y", nll=4.0, nll_tokens=10)]
    after = [replace(sample, nll=0.5) for sample in before]
    board = score(before, after)

    assert board.score("perplexity").before == pytest.approx(numpy.exp((30 * 1.0 + 10 * 4.0) / 40))
    assert board.score("perplexity").after == pytest.approx(numpy.exp(0.5))
    assert board.score("perplexity").gain == pytest.approx(-board.score("perplexity").difference)


def test_a_row_without_a_figure_on_one_side_is_left_out_on_both():
    before = [Sample(str(i), "x", "y", nll=float(i), nll_tokens=10) for i in range(1, 4)]
    after = [*before[:2], replace(before[2], nll=None)]
    board = score(before, after)

    assert board.score("perplexity").rows == 2
    assert board.score("perplexity").before == pytest.approx(numpy.exp(1.5))


def test_exact_match_ignores_white_space_only():
    rows = [("a", "two words", " two\n words "), ("b", "Yes", "yes")]
    assert score(samples(rows), samples(rows)).score("exact_match").before == 50


def test_json_is_asked_for_only_where_most_references_are_json():
    rows = [("a", '{"x": 1}', '{"x": 1}'), ("b", "[1, 2]", "Sure: [1, 2]"), ("c", "no", "7")]
    board = score(samples(rows), perfect(rows))

    assert board.score("valid_json").before == pytest.approx(100 / 3)
    assert board.score("valid_json").after == pytest.approx(200 / 3)
    plain = score(samples(ENGLISH), perfect(ENGLISH))
    assert plain.score("valid_json") is None
    assert "not JSON" in plain.left_out["valid_json"].text()


@pytest.mark.parametrize(
    ("text", "loop"),
    [
        ("", 0),
        ("every word is new here", 0),
        ("la la la", 2),
        ("to the sea, to the sea", 3),
        ("to the sea, to the sea, to the", 3),
        ("a b a b a b c c", 4),
        ("the egg and the egg", 0),
        ("바다로 가자 바다로 가자 바다로 가자", 4),
    ],
)
def test_the_longest_loop_counts_words_said_again_at_once(text, loop):
    assert longest_loop(text) == loop
    assert longest_loop(text) == naive_loop(words(text))


def naive_loop(said):
    best = 0
    for start in range(len(said)):
        for period in range(1, len(said) - start):
            copies = 0
            while said[start : start + period] == said[start + (copies + 1) * period : start + (copies + 2) * period]:
                copies += 1
            best = max(best, copies * period)
    return best


def test_the_longest_loop_is_the_naive_one_on_any_text():
    for seed in range(200):
        said = random.Random(seed).choices("abc", k=24)
        assert longest_loop(" ".join(said)) == naive_loop(said)


def test_length_and_repetition_are_better_when_nearer_to_the_references():
    refrain = "la la la la"
    before = [Sample(str(i), refrain, "one two three four") for i in range(8)]
    after = [replace(sample, answer="la la la la") for sample in before]
    board = score(before, after)

    assert board.score("distinct_1").before == 100
    assert board.score("distinct_1").after == board.score("distinct_1").reference == 25
    assert board.score("distinct_1").verdict == "better"
    assert board.score("longest_loop").verdict == "better"
    assert board.score("length").gain == len("one two three four") - len(refrain)


def test_means_that_agree_do_not_hide_that_every_answer_has_the_wrong_length():
    rows = [(str(i), "x" * 50, "x" * (10 if i % 2 else 90)) for i in range(8)]
    length = score(samples(rows), perfect(rows)).score("length")

    assert length.before == length.after == length.reference == 50
    assert (length.difference, length.gain, length.verdict) == (0, 40, "better")


def test_ends_and_the_marker_need_no_reference():
    before = [Sample(str(i), None, "Hello", ended_by_itself=i < 2) for i in range(8)]
    after = [replace(sample, answer="Aye, matey", ended_by_itself=True) for sample in before]
    board = score(before, after, marker=r"(?i)\bmatey\b")

    assert (board.score("ends").before, board.score("ends").after) == (25, 100)
    assert (board.score("marker").before, board.score("marker").after) == (0, 100)
    assert board.score("marker").verdict == "better"
    assert {score.name for score in board.scores} == {"ends", "marker"}
    assert set(board.left_out) == {measure.name for measure in METRICS} - {"ends", "marker"}
    assert board.gains == (None,) * 8


def test_the_interval_of_a_mean_is_the_one_that_drawing_rows_gives():
    chance = random.Random(1)
    rows = [(str(i), "yes", "yes" if chance.random() < 0.3 else "no") for i in range(60)]
    tuned = [Sample(row[0], row[1], "yes" if chance.random() < 0.6 else "no") for row in rows]
    made = score(samples(rows), tuned, resamples=4000).score("exact_match")

    gains = numpy.array([100.0 * ((t.answer == "yes") - (row[2] == "yes")) for t, row in zip(tuned, rows, strict=True)])
    error = gains.std() / numpy.sqrt(len(gains))
    assert made.gain == pytest.approx(gains.mean())
    assert made.gain_interval[0] == pytest.approx(gains.mean() - 1.96 * error, abs=0.25 * error)
    assert made.gain_interval[1] == pytest.approx(gains.mean() + 1.96 * error, abs=0.25 * error)


def test_the_interval_of_bleu_is_the_one_that_sacrebleus_bootstrap_gives():
    rows = (ENGLISH * 6)[:40]
    bleu = BLEU(references=[[row[1] for row in rows]])
    statistics = bleu._extract_corpus_statistics([row[2] for row in rows], None)
    _, direct = _bootstrap_resample(statistics, bleu, 1000)
    made = score(samples(rows, answer=1), samples(rows)).score("bleu")  # the base is perfect: its 100 never varies

    low, high = numpy.percentile([one.score for one in direct], [2.5, 97.5])
    assert made.difference_interval[0] + 100 == pytest.approx(low, abs=2)
    assert made.difference_interval[1] + 100 == pytest.approx(high, abs=2)
    assert made.verdict == "worse"


def test_one_lucky_row_is_no_verdict():
    rows = [("a", "the answer", "nonsense")]
    made = score(samples(rows), perfect(rows)).score("chrf")
    assert made.gain > 80
    assert made.gain_interval is None
    assert made.verdict == "unclear"
    five = [(str(i), "the answer", "nonsense") for i in range(5)]
    assert score(samples(five), perfect(five)).score("chrf").verdict == "unclear"
    six = [*five, ("5", "the answer", "nonsense")]
    assert score(samples(six), perfect(six)).score("chrf").verdict == "better"


def test_the_same_answers_twice_make_no_difference():
    board = score(samples(KOREAN, nll=2.0, nll_tokens=9), samples(KOREAN, nll=2.0, nll_tokens=9))

    assert {(made.difference, made.gain, made.verdict) for made in board.scores} == {(0, 0, "unclear")}
    assert board.rows_by_gain() == board.rows_by_gain(worse=True) == []


def test_the_biggest_wins_and_losses_come_first():
    before = [Sample(str(i), "x", "y", nll=2.0, nll_tokens=5) for i in range(5)]
    after = [replace(sample, nll=nll) for sample, nll in zip(before, [2.5, 1.0, 2.0, 0.5, 4.0], strict=True)]
    board = score(before, after)

    assert board.rows_by_gain() == [3, 1]
    assert board.rows_by_gain(worse=True) == [4, 0]
    assert board.rows_by_gain(1, worse=True) == [4]
    assert board.choices[-1].value == "nll"


def test_rows_are_sorted_in_one_unit_even_when_some_likelihoods_are_unknown():
    before = samples(ENGLISH, nll=2.0, nll_tokens=5)
    after = [*perfect(ENGLISH)[:-1], replace(before[-1], nll=1.0)]
    board = score(before, after)

    direct = CHRF()
    wanted = [
        direct.sentence_score(a.answer, [a.reference]).score - direct.sentence_score(b.answer, [b.reference]).score
        for b, a in zip(before, after, strict=True)
    ]
    assert board.gains == pytest.approx(wanted)
    assert board.choices[-1].value == "chrf"


def test_the_same_seed_gives_the_same_scoreboard_and_it_survives_a_file():
    before, after = samples(ENGLISH, nll=900.0, nll_tokens=4), samples(ENGLISH, nll=1.0, nll_tokens=4)
    board = score(before, after, marker="yes")

    assert board == score(before, after, marker="yes")
    assert board.score("perplexity").before == float("inf")
    assert board.score("perplexity").verdict == "better"
    assert TypeAdapter(Scoreboard).validate_json(to_json(board)) == board
    assert json.loads(to_json(board))["rows"] == len(ENGLISH)


def test_texts_are_read_once_however_often_rows_are_drawn(monkeypatch):
    read, extract = [], BLEU._extract_corpus_statistics

    def counted(metric, answers, references):
        read.append(len(answers))
        return extract(metric, answers, references)

    monkeypatch.setattr(BLEU, "_extract_corpus_statistics", counted)
    board = score(samples(ENGLISH), perfect(ENGLISH))

    assert board.resamples == 1000
    assert read == [len(ENGLISH)] * 2


def test_the_share_done_is_reported_and_scoring_can_be_ended():
    shares = []
    score(samples(ENGLISH), perfect(ENGLISH), on_progress=shares.append)
    assert shares == sorted(shares)
    assert len(set(shares)) == len(METRICS)
    assert len(shares) > len(METRICS) * len(ENGLISH)

    def stop(share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score(samples(ENGLISH), perfect(ENGLISH), on_progress=stop)


@pytest.mark.parametrize(
    ("before", "after", "marker", "key"),
    [
        ([], [], None, "compare.no_rows"),
        (samples(ENGLISH), [], None, "compare.no_rows"),
        (samples(ENGLISH), samples(ENGLISH[:-1]), None, "compare.unpaired"),
        (samples(ENGLISH), samples(ENGLISH[::-1]), None, "compare.unpaired"),
        (samples(ENGLISH), samples(ENGLISH), "(unclosed", "compare.marker"),
    ],
)
def test_what_cannot_be_scored_says_why(before, after, marker, key):
    with pytest.raises(CompareError) as raised:
        score(before, after, marker=marker)
    assert raised.value.key == key
    assert raised.value.text("ko")


def test_a_marker_that_would_search_forever_is_stopped(monkeypatch):
    monkeypatch.setattr(metrics, "MARKER_SECONDS", 0.2)
    rows = [("a", "x", "a" * 60 + "b")]
    with pytest.raises(CompareError) as raised:
        score(samples(rows), samples(rows), marker="(a|aa)+$")
    assert raised.value.key == "compare.marker_slow"


def test_the_marker_of_the_quickstart_is_read_as_pythons_own_expressions_are():
    import re

    pattern = presets.load("quickstart").evaluation.marker
    outputs = [row["output"] for row in source.open_table(SourceConfig(kind="bundled", name="captain")).rows()]
    marker = metric_context(outputs, pattern).marker

    assert [bool(marker.search(text)) for text in outputs] == [bool(re.search(pattern, text)) for text in outputs]


def test_the_language_is_the_one_of_the_references():
    assert metrics.detect_language([row[1] for row in KOREAN]) == "ko"
    assert metrics.detect_language([row[1] for row in ENGLISH]) == "en"
    assert metrics.detect_language(["LoRA는 r=16, alpha=32로 학습해요"]) == "ko"
    assert metrics.detect_language(["The Korean word for sea is 바다."]) == "en"
    assert metrics.detect_language([]) == "en"
    assert score(samples(KOREAN), perfect(KOREAN)).language == "ko"


@pytest.mark.parametrize("measure", METRICS, ids=lambda measure: measure.name)
def test_every_measure_has_words(measure):
    assert has(f"compare.measures.{measure.name}.name")
    assert has(f"compare.measures.{measure.name}.help")
    assert has(measure.missing)


def test_the_general_set_is_small_of_both_languages_and_hidden():
    rows = list(source.open_table(SourceConfig(kind="bundled", name="general-heldout")).rows())
    languages = [metrics.detect_language([row["instruction"]]) for row in rows]

    assert len(rows) == len({row["instruction"] for row in rows}) == 24
    assert languages.count("ko") == languages.count("en") == 12
    assert all(0 < len(row["output"]) < 60 for row in rows)
    assert "general-heldout" not in presets.datasets()


def test_the_general_set_has_nothing_of_a_presets_style():
    rows = list(source.open_table(SourceConfig(kind="bundled", name="general-heldout")).rows())
    marked = [sample.answer for sample in (Sample("", None, row["output"]) for row in rows)]
    pattern = presets.load("quickstart").evaluation.marker

    board = score([Sample("", None, text) for text in marked], [Sample("", None, text) for text in marked], pattern)
    assert board.score("marker").before == 0


def test_fewer_rows_than_a_sign_test_needs_are_not_enough():
    assert 2 * 0.5**scoreboard.MIN_ROWS < 1 - scoreboard.CONFIDENCE < 2 * 0.5 ** (scoreboard.MIN_ROWS - 1)
