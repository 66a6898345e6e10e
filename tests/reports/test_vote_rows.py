"""Votes and readings become rows to train on: who won, what is left out, and where the answers are from."""

import json

import pytest
from following import trained

from studio import runs
from studio.compare import comparison_history
from studio.compare.columns import BASE, Column, CompareRequest
from studio.compare.comparison import AnswerPair, Comparison
from studio.config import GenerationConfig
from studio.data import prepare
from studio.data.conversation import Turn
from studio.errors import RunError
from studio.evaluate import vote_pairs
from studio.evaluate.blind_vote import Ballot
from studio.evaluate.human_reading import Sheet
from studio.evaluate.vote_pairs import VotePair, VotePairs
from studio.files import to_json, write_json_lines
from studio.generation.generate import ColumnAnswer
from studio.i18n import message
from studio.model.load import load_tokenizer
from studio.reports import vote_rows
from studio.runs import State
from studio.style import style_store
from studio.style.report import StyleReport

COLUMN = Column("adapter", strength=0.66)
PAIRS = [AnswerPair(f"What is {n}?", f"It is {n}, lad.", f"It is {n}, matey.") for n in range(8)]


@pytest.fixture
def run(tiny_config):
    return trained(tiny_config)


@pytest.fixture
def compared(run):
    """The run with a stored comparison of each pair, at a strength of 66 %."""
    for pair in PAIRS:
        request = CompareRequest(run.id, (pair.prompt,), GenerationConfig(), (BASE, COLUMN))
        sides = tuple(ColumnAnswer(text, (1,) * 5, 1.0, 0.1, "turn") for text in pair.answers)
        comparison_history.save(run, Comparison(request, (sides,)))
    return run


def cast(run, *choices, voter="ann"):
    """Vote on the pairs in their order, with the base's answer shown first."""
    ballot = Ballot(run.path / "compare", PAIRS)
    for pair, choice in zip(PAIRS, choices, strict=False):
        if choice:
            ballot.vote(voter, pair.id, choice, comparison="x")


def test_a_report_of_the_meter_that_has_measured_nothing_is_passed_over(compared):
    report = StyleReport(compared.id, "0" * 16, ("hi",), "0", too_little=message("style.too_little.text"))
    path = style_store.path_of(compared, report.id)
    path.parent.mkdir()
    path.write_text(to_json(report))
    cast(compared, "2")
    assert len(vote_rows.collect(compared).pairs) == 1


def test_the_preferred_answer_is_chosen_and_its_column_stays_known(compared):
    cast(compared, "2", "1")
    rows = vote_rows.collect(compared)
    first, second = rows.pairs
    assert (first["instruction"], first["output"]) == ("What is 0?", "It is 0, matey.")
    assert first["rejected"] == "It is 0, lad."
    assert first["answer_column"] == COLUMN.title() != first["rejected_column"] == BASE.title()
    assert second["output"] == "It is 1, lad."
    assert [(row["output"], row["label"]) for row in rows.verdicts[:2]] == [
        ("It is 0, matey.", True),
        ("It is 0, lad.", False),
    ]


def test_what_decides_nothing_is_counted_and_not_trained_on_as_a_pair(compared):
    cast(compared, "tie", "bad", "1", "2")
    cast(compared, "", "", "2", "2", voter="ben")
    rows = vote_rows.collect(compared)
    assert [row["output"] for row in rows.pairs] == ["It is 3, matey."]
    assert {kind: n for kind, n in rows.counts.items() if n} == {"votes": 6, "tie": 2, "bad": 1, "divided": 1}
    labels = {row["output"]: row["label"] for row in rows.verdicts}
    assert labels["It is 0, lad."] is labels["It is 0, matey."] is True
    assert labels["It is 1, lad."] is labels["It is 1, matey."] is False
    assert not any(row["instruction"] == "What is 2?" for row in rows.verdicts)
    said = " ".join(sentence.text() for sentence in rows.summary)
    assert "6 votes" in said
    assert "disagree on 1 pair" in said


def test_pairs_that_were_made_to_be_voted_on_are_rows_too(run):
    pair = VotePair("What is 3?", ("three", "it be three"), ("a", "b"), 0.9, (COLUMN, Column()))
    vote_pairs.write(run, VotePairs("0" * 16, (pair,), 0))
    ballot = Ballot(run.path / "compare", [pair.pair], in_order=True)
    ballot.vote("ann", pair.pair.id, "1" if ballot.first("ann", pair.pair.id) == "after" else "2", sides=pair.sides)
    [row] = vote_rows.collect(run).pairs
    assert (row["output"], row["rejected"]) == ("it be three", "three")
    assert (row["answer_column"], row["rejected_column"]) == (Column().title(), COLUMN.title())


def test_a_later_vote_takes_the_place_of_an_earlier_one_and_the_majority_counts(compared):
    for voter, choice in (("ann", "1"), ("ann", "2"), ("ben", "2"), ("cat", "1")):
        cast(compared, choice, voter=voter)
    rows = vote_rows.collect(compared)
    assert [row["output"] for row in rows.pairs] == ["It is 0, matey."]
    assert rows.counts["votes"] == 3


def test_readings_are_judgements_too(compared):
    sheet = Sheet(compared.path / "compare", PAIRS)
    sheet.note("ann", PAIRS[0].id, "after", natural=True)
    sheet.note("ann", PAIRS[0].id, "before", natural=False)
    sheet.note("ann", PAIRS[1].id, "after", natural=True, wrong=True)
    sheet.note("ann", PAIRS[2].id, "after", natural=True)
    sheet.note("ben", PAIRS[2].id, "after", natural=False)
    rows = vote_rows.collect(compared)
    assert [(row["output"], row["judged_by"]) for row in rows.pairs] == [("It is 0, matey.", "reading")]
    assert [(row["output"], row["label"]) for row in rows.verdicts[2:]] == [("It is 1, matey.", False)]
    assert (rows.counts["readings"], rows.counts["undecided"]) == (5, 1)


def test_votes_whose_answers_are_gone_are_counted(run):
    cast(run, "1", "2")
    rows = vote_rows.collect(run)
    assert not rows.pairs
    assert rows.counts["gone"] == 2
    with pytest.raises(RunError, match="no judgements"):
        vote_rows.settings(run, rows)


def test_the_prompt_that_is_trained_is_the_one_that_was_compared(compared):
    cast(compared, *["2"] * 8)
    config, count = vote_rows.settings(compared, vote_rows.collect(compared))
    assert count == 8
    tokenizer = load_tokenizer(config.model)
    row = prepare.prepare(config, tokenizer).train[0]
    from studio.data import tokens

    asked = tokens.prompt_ids(
        prepare.run_renderer(compared, tokenizer).question([Turn("user", "What is 0?")]), tokenizer
    )
    assert row["input_ids"][: len(asked)] == row["rejected_ids"][: len(asked)] == list(asked)


def test_a_text_template_finds_the_columns_that_it_names(tiny_config, tmp_path):
    settings = {"data.prompt": {"style": "text", "template": "Q: {instruction}\nA: {output}"}}
    run = trained(tiny_config, **settings)
    for pair in PAIRS:
        request = CompareRequest(run.id, (pair.prompt,), GenerationConfig(), (BASE, COLUMN))
        sides = tuple(ColumnAnswer(text, (1,) * 5, 1.0, 0.1, "turn") for text in pair.answers)
        comparison_history.save(run, Comparison(request, (sides,)))
    cast(run, *["2"] * 8)
    config, _ = vote_rows.settings(run, vote_rows.collect(run))
    tokenizer = load_tokenizer(config.model)
    text = tokenizer.decode(prepare.prepare(config, tokenizer).train[0]["input_ids"])
    assert text == "Q: What is 0?\nA: It is 0, matey.<|im_end|>"


def test_the_command_trains_on_the_votes(compared, here):
    cast(compared, *["2"] * 8)
    checked = here("prefer", compared.id, "--check")
    assert "8 votes" in checked.stdout
    assert checked.returncode == 0, checked.stderr
    settings = ["--set", "train.learning_rate=5e-3", "--set", "train.epochs=8"]
    done = json.loads(here("prefer", compared.id, *settings, "--json").stdout)
    assert done["state"] == "finished"
    run = runs.find(done["id"])
    assert run.config().train.method == "dpo"
    assert run.resolved()["start"]["ancestors"][0]["run"] == compared.id
    assert run.resolved()["judgements"]["answer_column"] == {COLUMN.title(): 8}
    last = [event for event in run.events()[0] if event.type == "step"][-1]
    assert last.accuracy == 1.0
    assert last.margin > 0.2


def test_both_bad_can_be_learned_as_bad_answers(compared, here):
    cast(compared, *["bad"] * 4, *["2"] * 4)
    done = json.loads(here("prefer", compared.id, "--method", "kto", "--set", "train.epochs=1", "--json").stdout)
    run = runs.find(done["id"])
    assert run.config().train.method == "kto"
    assert run.status().state is State.FINISHED
    assert run.resolved()["judgements"]["judged_by"] == {"comparison": 16}


def test_a_file_of_preferences_is_taken_as_it_is(run, here, tmp_path):
    path = tmp_path / "pairs.jsonl"
    rows = [{"prompt": pair.prompt, "chosen": pair.after, "rejected": pair.before} for pair in PAIRS]
    write_json_lines(path, rows)
    done = json.loads(here("prefer", run.id, "--from", str(path), "--set", "train.epochs=1", "--json").stdout)
    assert runs.find(done["id"]).config().train.method == "dpo"
    assert done["step"] == 2
    path.write_text("".join(json.dumps({**row, "label": True}) + "\n" for row in rows).replace("rejected", "other"))
    done = json.loads(here("prefer", run.id, "--from", str(path), "--set", "train.epochs=1", "--json").stdout)
    assert runs.find(done["id"]).config().train.method == "kto"
    path.write_text(json.dumps({"prompt": "a", "output": "b"}) + "\n")
    assert "worse answers" in here("prefer", run.id, "--from", str(path)).stderr
