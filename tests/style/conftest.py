"""What the tests of the meter share."""

import pytest
from following import trained
from sea import SETTINGS, write_rows


@pytest.fixture
def run(tiny_config, tmp_path):
    """A run on 22 rows that kept 22, with a checkpoint at each of its two steps."""
    return trained(tiny_config, **SETTINGS, **write_rows(tmp_path / "sea.jsonl", 44))
