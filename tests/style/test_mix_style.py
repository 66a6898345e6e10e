"""A mix of two adapters, measured against the style of each."""

import json

import pytest
from following import trained
from sea import SETTINGS, write_rows

from studio.compare import mixes

QUICK = ("--set", "generation.max_new_tokens=8", "--set", "generation.temperature=0")


@pytest.fixture
def other(tiny_config, tmp_path, run):
    return trained(tiny_config, **SETTINGS, **write_rows(tmp_path / "lake.jsonl", 44), **{"train.seed": 5, "lora.r": 2})


def test_a_mix_is_a_column_beside_each_adapter_and_found_again(run, other, here):
    mix = mixes.outside_of(mixes.parse(f"mix:now=0.7,1=0.1,{other.id}=0.3@cat"), run)
    assert [each.id for each in mixes.runs_of(mix)] == [run.id, other.id]
    for style in (run, other):
        told = here("style", style.id, "--against", str(mix), "--no-prompted", "--json", *QUICK)
        assert told.returncode == 0, told.stderr
        titles = [column["title"] for column in json.loads(told.stdout)["columns"]]
        assert any(title.startswith("Mix of") for title in titles), titles
