"""The prompted base: its prompt is kept with the run, edited, put back, compared and measured."""

import json
from pathlib import Path

import pytest
from sea import GREEDY

from studio import gpu
from studio.compare.columns import ADAPTED, BASE, Column, CompareRequest
from studio.data.conversation import Turn
from studio.errors import CompareError
from studio.style import prompted_store
from studio.style.prompted_store import from_text, to_text
from studio.style.request import StyleRequest

OWN = "Talk like a sailor.\n\nuser: What is wind?\n\nassistant: Aye,\nwind it be."


def test_a_prompt_is_written_and_read_again_also_where_an_example_looks_like_a_turn():
    shots = (Turn("user", "Who?"), Turn("assistant", "Two lines,\n\nand user: more."))
    column = Column("base", system="Be brief.\nBe kind.", shots=shots)
    assert from_text(to_text(column)) == column
    odd = Column("base", shots=(Turn("user", "Who?"), Turn("assistant", "I ask:\nuser: what?")))
    assert len(from_text(to_text(odd)).shots) == 2
    assert from_text(OWN).shots[1].content == "Aye,\nwind it be."


@pytest.mark.parametrize("written", ["", "  \n", "assistant: Aye.", "Hm.\nuser: Why?", "user:\nassistant: Aye."])
def test_a_prompt_that_is_empty_or_not_in_pairs_is_refused(written):
    with pytest.raises(CompareError):
        from_text(written)


def test_the_automatic_prompt_is_chosen_without_the_meter_and_an_edited_one_takes_its_place(run):
    automatic = prompted_store.of_run(run).column
    lines = Path(run.config().data.source.name).read_text("utf-8").splitlines()
    answers = {json.loads(line)["output"] for line in lines}
    assert len(automatic.shots) == 8
    assert all(turn.content in answers for turn in automatic.shots if turn.role == "assistant")
    assert prompted_store.prompt_tokens(run, automatic) > prompted_store.prompt_tokens(run, from_text(OWN)) > 0

    assert prompted_store.edit(run, OWN).column == from_text(OWN)
    assert prompted_store.of_run(run).column == from_text(OWN)
    assert prompted_store.edit(run, to_text(automatic)).edited is None
    prompted_store.edit(run, OWN)
    assert prompted_store.edit(run, "").column == automatic
    assert prompted_store.of_run(run).column == automatic

    (run.path / "style" / "prompted.json").write_text('{"edited": {"shots": 3}}', encoding="utf-8")
    assert prompted_store.of_run(run).column == automatic


def test_the_prompted_base_is_a_column_as_any_other(run):
    columns = (BASE, ADAPTED, prompted_store.column_of(run))
    made = gpu.thread().compare(CompareRequest(run.id, ("What is 99?",), GREEDY, columns)).result()
    assert made.proof.verified, made.proof.problems
    assert len(set(made.proof.prompt_sha256)) == 2


def test_the_meter_measures_the_edited_prompt_and_records_which(run):
    def measured():
        return gpu.thread().style(StyleRequest(run.id, generation=GREEDY)).result().report

    first = measured()
    rival = next(each.column for each in first.columns if each.column and not each.column.is_plain)
    assert prompted_store.read(run).automatic == rival
    assert first.prompt_sha256 == prompted_store.sha256(rival)
    assert not first.prompt_edited

    prompted_store.edit(run, OWN)
    edited = measured()
    assert edited.id != first.id
    assert edited.prompt_edited
    assert edited.prompt_sha256 == prompted_store.sha256(from_text(OWN)) != first.prompt_sha256
    assert from_text(OWN) in [each.column for each in edited.columns]
    prompted_store.edit(run, "")
    assert measured().id == first.id
