"""Examples are written by hand, or begin with the run's own rows."""

import pytest
from following import wait_until_over

from studio import gpu
from studio.data.formats import Turn
from studio.errors import CompareError
from studio.ui import examples


def test_what_is_written_is_read_again():
    turns = (Turn("user", "How?"), Turn("assistant", "So."), Turn("user", "왜?"), Turn("assistant", "그래서."))

    assert examples.written(turns) == "How?\nSo.\n\n왜?\n그래서."
    assert examples.parsed(examples.written(turns)) == turns


@pytest.mark.parametrize("written", ["", "  \n", "only a question", "one\ntwo\nthree"])
def test_a_question_without_an_answer_is_refused(written):
    with pytest.raises(CompareError):
        examples.parsed(written)


def test_a_run_offers_its_own_first_rows(tiny_config):
    run = gpu.thread().start_run(tiny_config)
    wait_until_over(run)

    assert examples.of_run(run.id).startswith("What is 0?\nAye, 0 it be, says the sea.\n\nWhat is 1?")
    assert examples.of_run("20260101-000000-gone-0000") == ""
