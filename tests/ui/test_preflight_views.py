"""What is known of a run before it starts, as the page says it."""

from types import SimpleNamespace

import gradio as gr
import pytest

from studio.i18n import message
from studio.train import preflight
from studio.train.measure import TrialResult
from studio.train.plan import OomAdvice
from studio.train.preflight import Preflight
from studio.ui import preflight_views
from studio.ui.preflight_views import Rate
from studio.ui.scanning import Replaced
from studio.ui.tabs.preflight_card import PreflightCard, _Check
from studio.ui.words import Words


@pytest.fixture
def found(tiny_config):
    return preflight.check(tiny_config, free=8e9)


def test_a_sound_run_is_said_to_fit_with_its_steps_and_nothing_in_its_way(found):
    told = preflight_views.headline(found, "en")
    assert "fits in memory" in told
    assert "6 steps" in told
    assert "nothing blocks" in told
    assert 'class="good"' in told


def test_the_bar_names_every_part_of_the_memory_in_words(found):
    told = preflight_views.preflight(found, None, "ko")
    assert all(f'class="{part}"' in told for part in preflight_views.PARTS)
    assert "활성값" in told
    assert 'role="img" aria-label="메모리에 들어가요' in told


def test_too_little_memory_is_said_with_both_figures(tiny_config):
    told = preflight_views.headline(preflight.check(tiny_config, free=1e6), "en")
    assert "may not fit in memory" in told
    assert "1 MB free" in told
    assert 'class="bad"' in told


def test_what_blocks_is_listed_and_its_markup_is_text():
    block = message("errors.run.target", target="<b>q</b>", modules="q_proj")
    told = preflight_views.preflight(Preflight(blocks=(block,)), None, "en")
    assert "Cannot start: 1 problem to fix." in told
    assert "&lt;b&gt;q&lt;/b&gt;" in told
    assert "<b>q</b>" not in told


def test_what_was_measured_is_said_beside_the_forecast(found):
    told = preflight_views.preflight(found, TrialResult(1_300_000_000, 2.5, 150.0), "en")
    assert "at most 1.3 GB, 2.50 s a step, about 2 min in all" in told


def test_the_price_of_an_hour_becomes_the_cost_of_the_run(found):
    from dataclasses import replace

    long = replace(found, seconds=5400.0)
    assert "about 1.20 USD" in preflight_views.preflight(long, None, "en", Rate(0.8, "USD"))
    assert "약 1,800.00 원" in preflight_views.preflight(long, None, "ko", Rate(1200, "원"))
    assert "about 0.012 &lt;b&gt;" in preflight_views.preflight(
        replace(found, seconds=54.0), None, "en", Rate(0.8, "<b>")
    )
    assert Rate.of(None, "USD") is None
    assert Rate.of(0, "USD") is None


def test_more_than_is_free_goes_over_the_line_where_the_device_ends(found):
    from dataclasses import replace

    half = replace(found, plan=replace(found.plan, free=found.plan.memory.total / 2))
    told = preflight_views.preflight(half, None, "en")
    assert '<b class="limit" style="left:50.00%"></b>' in told
    assert 'class="limit"' not in preflight_views.preflight(found, None, "en")


def test_the_automatic_choices_are_said_with_their_reasons(found):
    assert "Now 4 × 1: 4 rows a step, as asked" in preflight_views.reason("train.batch_split", (found, None), "en")
    assert "직접 골랐어요" in preflight_views.reason("model.precision", (found, None), "ko")
    assert preflight_views.reason("model.precision", message("errors.ui.no_data"), "en") == ""


def test_a_model_that_is_not_here_leaves_the_forecast_open(tiny_config):
    told = preflight_views.preflight(Preflight(), None, "en")
    assert "once the model is on this machine" in told


def test_the_suggestions_stand_in_their_order():
    ways = [
        OomAdvice({"train.batch_size": 2}, message("log.relief.split", batch=2, accumulation=4), resumes=True),
        OomAdvice({"model.quantization": "nf4"}, message("log.relief.nf4"), resumes=False),
    ]
    told = preflight_views.suggestions(ways, "en")
    assert told.index("micro-batches of 2") < told.index("4 bit")
    assert preflight_views.suggestions([], "en") == ""


def test_the_buttons_come_back_when_other_work_takes_the_place_of_what_was_begun_by_hand(tiny_config, monkeypatch):
    monkeypatch.setattr(preflight, "check", lambda *_: Preflight())
    with gr.Blocks():
        card = PreflightCard(Words(), SimpleNamespace(reasons={}), gr.Button(), gr.HTML())
    request = SimpleNamespace(session_hash="buttons")

    def look(config, by_hand):
        return card._follow(_Check(by_hand=by_hand, config=config), None, None, request, waits=False)

    pressed = look(tiny_config, by_hand=True)
    assert not next(pressed)[card.check]["visible"]
    changed = look(tiny_config.with_settings({"lora.r": 2}), by_hand=False)
    seen = [next(changed)]
    with pytest.raises(Replaced):
        list(pressed)
    seen += changed

    assert [update[card.check]["visible"] for update in seen if card.check in update][-1]
