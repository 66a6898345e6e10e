"""Presets and bundled data sets are what they say."""

import re

import pytest

from studio import presets
from studio.config import SourceConfig
from studio.data import prepare, source


@pytest.mark.parametrize("name", presets.names())
def test_a_presets_data_can_be_used_as_a_whole(name):
    config = presets.load(name)
    report = prepare.inspect(presets.offline_sample(config).with_settings({"model.id": "nobody/nothing"}))
    assert report.usable == report.rows > 0


def test_the_quickstarts_data_is_all_in_one_style():
    config = presets.load("quickstart")
    rows = list(prepare.table(config.data).rows())
    assert len(rows) >= 200
    assert all(re.search(config.evaluation.marker, row["output"]) for row in rows)
    assert len({row["instruction"].lower() for row in rows}) == len(rows)


def test_the_held_out_prompts_are_not_in_the_training_rows():
    config = presets.load("quickstart")
    seen = {row["instruction"].lower() for row in prepare.table(config.data).rows()}
    held = prepare.held_out(config.evaluation.prompts)
    assert len(set(held)) == 40
    assert not seen & {prompt.lower() for prompt in held}


@pytest.mark.parametrize("name", presets.names())
def test_the_pinned_prompts_are_not_in_the_training_rows(name):
    config = presets.offline_sample(presets.load(name))
    rows = list(prepare.table(config.data).rows())
    cells = {str(cell).strip() for row in rows for cell in row.values()}
    said = {turn["content"] for row in rows for turn in row.get("messages", ())}
    joined = {", ".join(str(row.get(f"key{number}") or "") for number in range(1, 6)) for row in rows}
    assert config.samples.prompts or config.evaluation.prompts
    assert not set(config.samples.prompts) & (cells | said | joined)


@pytest.mark.parametrize("name", presets.datasets())
def test_every_bundled_set_can_be_read(name):
    assert source.open_table(SourceConfig(name=name)).first
