"""How a run stands, in figures and in words."""

import pytest

from studio.i18n import LANGUAGES, text
from studio.model.resource_usage import GpuUsage, ResourceUsage
from studio.runs import State, Status
from studio.ui import status_views
from studio.ui.run_reader import RunSnapshot

RUN = "20261121-230100-sea-captain-1f2e"


def glance(state: State = State.TRAINING, **changes) -> RunSnapshot:
    values = {"state": state, "created": 0.0, "heartbeat": 100.0, "phase": "training", "step": 10, "total": 40}
    told = {name: changes.pop(name) for name in list(changes) if name in Status.model_fields}
    return RunSnapshot(Status(**{**values, **told}), **changes)


def test_the_time_left_follows_the_speed_of_the_last_steps():
    assert status_views.time_left(glance(seconds_per_step=4.0)) == pytest.approx(120.0)
    assert status_views.time_left(glance(seconds_per_step=None)) is None
    assert status_views.time_left(glance(seconds_per_step=4.0, step=0)) is None
    assert status_views.time_left(glance(State.FINISHED, seconds_per_step=4.0, step=40)) is None


def test_the_panel_tells_phase_step_time_and_figures():
    vitals = ResourceUsage(at=99.0, memory=1_900_000_000, machine=8_000_000_000)
    now = glance(seconds_per_step=4.0, loss=1.4, rate=2e-4, tokens_per_second=148.4, usage=vitals)

    panel = status_views.status_panel(RUN, now, "en")

    assert 'aria-valuenow="25"' in panel
    for words in ("Training", "sea-captain", "10 / 40", "2 min", "1.40", "0.0002", "148", "1.9 / 8.0 GB"):
        assert words in panel


def test_a_card_shows_its_own_memory_and_what_else_it_tells():
    card = GpuUsage(used=4_000_000_000, total=16_000_000_000, temperature=61)

    panel = status_views.status_panel(RUN, glance(usage=ResourceUsage(at=1.0, memory=1, machine=2, card=card)), "en")

    assert "4.0 / 16.0 GB" in panel
    assert "61 °C" in panel
    assert text("ui.status.names.utilization", "en") not in panel


def test_figures_that_are_not_known_yet_keep_their_place():
    early, later = glance(), glance(seconds_per_step=4.0, loss=1.4, rate=2e-4, tokens_per_second=148.4)

    names = [name for name, _ in status_views.figures(early, "en")]

    assert names == [name for name, _ in status_views.figures(later, "en")]
    assert dict(status_views.figures(early, "en"))[text("ui.status.names.loss", "en")] == status_views.NOT_KNOWN


def test_a_phase_without_known_share_has_a_bar_that_only_moves():
    panel = status_views.status_panel(RUN, glance(State.PREPARING, phase="loading", step=0, total=0), "en")

    assert "Loading the model" in panel
    assert "aria-valuenow" not in panel


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_run_at_work_says_that_the_page_may_be_closed_and_a_silent_one_warns(language):
    heard, quiet, silent = (
        status_views.status_panel(RUN, glance(), language, silent=seconds) for seconds in (0.0, 20.0, 40.0)
    )

    assert text("ui.status.now", language) in heard
    assert text("ui.status.ago", language, time=text("ui.time.seconds", language, n=20)) in quiet
    assert 'class="life safe"' in quiet
    assert 'class="life bad"' in silent
    assert "⚠" in silent


@pytest.mark.parametrize("state", [state for state in State if state not in (State.PREPARING, State.TRAINING)])
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_run_that_waits_or_is_over_says_what_comes_next(state, language):
    panel = status_views.status_panel(RUN, glance(state), language)

    assert text(f"ui.status.over.{state.value}", language) in panel
    assert f'data-alive="{int(state is State.QUEUED)}"' in panel


def test_without_a_run_the_panel_says_how_to_get_one():
    assert text("ui.status.none", "ko") in status_views.status_panel(None, None, "ko")


def test_the_run_bar_says_that_it_is_stopping():
    assert "Stopping" in status_views.run_bar(RUN, glance(), "en", stopping="stopping")


@pytest.mark.parametrize("kept", ["adapter", "checkpoint", "nothing"])
def test_the_end_of_a_stopped_run_says_what_is_kept(kept):
    panel = status_views.status_panel(RUN, glance(State.STOPPED), "ko", outcome=kept)
    assert text(f"ui.status.kept.{kept}", "ko") in panel
    assert text("ui.status.over.stopped", "ko") not in panel
