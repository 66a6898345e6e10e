"""What is known of a run before it starts, as the page says it."""

import pytest

from studio.i18n import message
from studio.train import preflight
from studio.train.measure import Measured
from studio.train.preflight import Preflight
from studio.train.relief import Relief
from studio.ui import before_views


@pytest.fixture
def found(tiny_config):
    return preflight.check(tiny_config, free=8e9)


def test_a_sound_run_is_said_to_fit_with_its_steps_and_nothing_in_its_way(found):
    told = before_views.verdict(found, "en")
    assert "fits in memory" in told
    assert "6 steps" in told
    assert "nothing blocks" in told
    assert 'class="good"' in told


def test_the_bar_names_every_part_of_the_memory_in_words(found):
    told = before_views.preflight(found, None, "ko")
    assert all(f'class="{part}"' in told for part in before_views.PARTS)
    assert "활성값" in told
    assert 'role="img" aria-label="메모리에 들어가요' in told


def test_too_little_memory_is_said_with_both_figures(tiny_config):
    told = before_views.verdict(preflight.check(tiny_config, free=1e6), "en")
    assert "may not fit in memory" in told
    assert "1 MB free" in told
    assert 'class="bad"' in told


def test_what_blocks_is_listed_and_its_markup_is_text():
    block = message("errors.run.target", target="<b>q</b>", modules="q_proj")
    told = before_views.preflight(Preflight(blocks=(block,)), None, "en")
    assert "Cannot start: 1 to mend." in told
    assert "&lt;b&gt;q&lt;/b&gt;" in told
    assert "<b>q</b>" not in told


def test_what_was_measured_is_said_beside_the_forecast(found):
    told = before_views.preflight(found, Measured(found.plan, 1_300_000_000, 2.5, 150.0), "en")
    assert "at most 1.3 GB, 2.50 s a step, about 2 min in all" in told


def test_the_ways_out_stand_in_their_order():
    ways = [
        Relief({"train.batch_size": 2}, message("log.relief.split", batch=2, accumulation=4), resumes=True),
        Relief({"model.quantization": "nf4"}, message("log.relief.nf4"), resumes=False),
    ]
    told = before_views.ways_out(ways, "en")
    assert told.index("micro-batches of 2") < told.index("4 bit")
    assert before_views.ways_out([], "en") == ""
