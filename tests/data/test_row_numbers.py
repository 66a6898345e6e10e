"""A row that is looked at: one that is not there is refused, and one that is not in use says so."""

import pytest

from studio.data.preview import preview_row
from studio.ui import data_state


@pytest.mark.parametrize(("pick", "unused"), [("first", [9, 10]), ("random", None)])
def test_a_row_beyond_the_limit_says_that_it_is_not_used(tiny_config, pick, unused):
    config = tiny_config.with_settings({"data.limit": 8, "data.pick": pick})
    rows = preview_row(config, 0).rows
    said = [n + 1 for n in range(rows) if any("not used" in note.text() for note in preview_row(config, n).notes)]
    assert len(said) == rows - 8
    assert unused is None or said[:2] == unused
    assert not preview_row(tiny_config, rows - 1).notes


def test_a_number_out_of_range_is_refused_and_the_arrows_go_round(tiny_config):
    look = data_state.preview(data_state.DataState(), lambda: tiny_config, 1)
    assert look.preview
    assert look.rows > 2
    for number in (0, -3, look.rows + 1):
        refused = data_state.preview(look, lambda: tiny_config, number)
        assert refused.preview is None
        assert f"no row {number}" in refused.preview_failure.text()
    assert data_state.step(look, look.rows, 1) == 1
    assert data_state.step(look, 1, -1) == look.rows
