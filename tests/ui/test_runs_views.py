"""The list of runs, several curves in one chart, and a run's page: from what is on the disk to what is shown."""

import html
import json
import time

import gradio as gr
import pytest
from numpy import arange, array

from studio import presets, runs
from studio.events import Chosen, Evaluated, Step
from studio.i18n import LANGUAGES, message, text
from studio.reports import run_metadata
from studio.runs import State, checkpoints, history, metadata, trash
from studio.runs.curve import Curve
from studio.ui import overlay_views, run_page_views, runs_views
from studio.ui.curve_views import TRAIN, VALIDATION
from studio.ui.following import Following
from studio.ui.overlay_views import LETTERS, Laid
from studio.ui.run_reader import RunSnapshot
from studio.ui.runs_views import RunsQuery
from studio.ui.tabs import runs as runs_tab
from studio.ui.tabs import train as train_tab
from studio.ui.words import Words

NOW = 2_000.0


def make(name: str, losses, state: State = State.FINISHED, **settings):
    run = runs.create(presets.load("quickstart").with_settings({"name": name, **settings}))
    for number, loss in enumerate(losses, 1):
        run.emit(Step(step=number, total=9, epoch=0.1, loss=loss, learning_rate=1e-3, tokens=5))
    run.enter(state, step=len(losses), total=9, started=1_000.0, ended=1_000.0 + 60 * len(losses))
    return run


@pytest.fixture
def three():
    first = make("gamma", [3.0, 2.0])
    metadata.annotate(first, "<i>for the talk</i>")
    second = make("Alpha", [3.0, 1.0, 2.5], State.STOPPED, **{"lora.r": 4})
    second.emit(Evaluated(step=2, loss=1.5))
    third = make("beta", [])
    (third.path / "status.json").write_text("{")
    return [first, second, third]


def names(shown: RunsQuery) -> list[str]:
    return [run.name for run in runs_views.listed(history.all_summaries(), shown)]


def test_the_list_is_sorted_by_any_column_and_what_is_unknown_comes_last(three):
    assert names(RunsQuery(sort="name", descending=False)) == ["Alpha", "beta", "gamma"]
    assert names(RunsQuery(sort="name", descending=True)) == ["gamma", "beta", "Alpha"]
    assert names(RunsQuery(sort="last", descending=False)) == ["gamma", "Alpha", "beta"]
    assert names(RunsQuery(sort="best", descending=False)) == ["Alpha", "gamma", "beta"]
    assert names(RunsQuery(sort="time", descending=True))[:2] == ["Alpha", "gamma"]
    for column in runs_views.COLUMNS:
        assert len(names(RunsQuery(sort=column))) == 3


def test_search_and_state_narrow_the_list(three):
    assert names(RunsQuery(query="TALK")) == ["gamma"]
    assert names(RunsQuery(query="captain quickstart")).count("Alpha") == 1
    assert names(RunsQuery(query="nothing like it")) == []
    assert names(RunsQuery(state="stopped")) == ["Alpha"]
    assert names(RunsQuery(state="damaged")) == ["beta"]
    assert names(RunsQuery(state="alive")) == []


def test_a_press_on_a_head_sorts_and_a_second_one_turns_round():
    by_name = RunsQuery().sorted_by("name")
    assert (by_name.sort, by_name.descending) == ("name", False)
    assert by_name.sorted_by("name").descending
    assert RunsQuery().sorted_by("no such column") == RunsQuery()


def test_what_a_browser_has_kept_chooses_no_more_than_six_and_what_is_gone_is_let_go():
    look = RunsQuery.of({"chosen": [*"abcdefgh"]})
    assert look.chosen == tuple("abcdef")
    assert look.choosing("abcdefgh", "bcdef").chosen == tuple("bcdef")
    assert look.among({"b", "c"}).chosen == ("b", "c")


def test_what_a_filter_hides_stays_chosen_and_the_order_is_that_of_the_choice():
    look = RunsQuery().choosing("abc", "c").choosing("abc", "ac")
    assert look.chosen == ("c", "a")
    assert look.choosing("b", "b").chosen == ("c", "a", "b")
    assert look.choosing("ab", "b").chosen == ("c", "b")


@pytest.mark.parametrize(
    "kept",
    [None, [], "x", {"sort": 3, "state": "x", "most": -1, "chosen": "ab", "open": 4}, {"chosen": list("aab") * 9}],
)
def test_whatever_a_browser_has_kept_can_be_shown(kept, three):
    look = RunsQuery.of(kept)
    assert RunsQuery.of(vars(look)) == look
    assert runs_views.table(history.all_summaries(), look, "en", NOW)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_table_holds_every_run_in_words_and_nothing_typed_becomes_markup(three, language):
    metadata.rename(three[0], '<script>"x"</script>')
    shown = runs_views.table(history.all_summaries(), RunsQuery(chosen=(three[1].id,)), language, NOW)
    assert "<script>" not in shown
    assert "<i>for" not in shown
    assert shown.count("<tr ") == 3
    assert shown.count(" checked") == 1
    assert text("state.damaged", language) in shown
    assert text("ui.series.validation", language) in shown
    assert 'aria-sort="descending"' in shown
    assert "<polyline" in shown
    assert text("ui.runs.empty", language) in runs_views.table([], RunsQuery(), language, NOW)


@pytest.mark.parametrize("language", LANGUAGES)
def test_many_runs_are_shown_page_by_page(language, three):
    found = history.all_summaries() * 40
    shown = runs_views.table(found, RunsQuery(), language, NOW)
    assert shown.count("<tr ") == runs_views.MOST_ROWS
    assert text("ui.runs.more", language, count=50, left=70) in shown


def laid(*curves) -> list[Laid]:
    config = presets.load("quickstart")
    return [
        Laid(letter, f"run {letter}", Curve(steps=arange(1, len(curve) + 1), losses=array(curve)), config)
        for letter, curve in zip(LETTERS, curves, strict=False)
    ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_curves_are_told_apart_by_letter_and_dashes_and_ordered_in_words(language):
    chosen = laid([3.0, 2.0], [3.0, 1.0], [2.0])
    told = overlay_views.sentence(chosen, TRAIN, language)
    assert told.index("B 1.000") < told.index("A 2.000")
    assert "1.000" in told
    legend = overlay_views.legend(chosen, TRAIN, language)
    assert legend.count("stroke-dasharray") == 2
    assert len(set(overlay_views.DASHES.values())) == len(LETTERS)
    assert overlay_views.sentence(chosen, VALIDATION, language) == text(
        "ui.runs.overlay_few", language, series=text("ui.series.validation", language)
    )


def test_the_charts_dashes_are_those_of_the_legend():
    from studio.ui.theme import css

    for letter, dashes in overlay_views.DASHES.items():
        rule = f'#overlay path[stroke="{overlay_views.COLOURS[letter]}"] {{ stroke-dasharray: {dashes}; }}'
        assert dashes == "none" or rule in css()


@pytest.mark.parametrize("language", LANGUAGES)
def test_only_settings_that_differ_are_in_the_table(three, language):
    rows = run_metadata.differing([run.config() for run in three[:2]])
    rows.pop("name")
    assert rows == {"lora.r": (16, 4)}
    table = overlay_views.differences(laid([1.0], [1.0]), rows, language)
    assert text("config.lora.r.title", language) in table
    assert text("config.train.epochs.title", language) not in table
    assert text("ui.runs.no_differences", language) in overlay_views.differences(laid([1.0]), {}, language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_runs_page_tells_everything(language):
    run = make("captain <b>", [3.0, 2.0], **{"train.learning_rate": 0.5})
    run.emit(Chosen(name="precision", value="float32", reason=message("log.usable", rows=3, usable=2)))
    run.resolve({"data": "d" * 64, "base": {"id": "a/b", "weights": "w" * 64}, "versions": {"torch": "2", "zz": "1"}})
    for step in (1, 2):
        checkpoints.write(run.path, step, lambda folder: (folder / "optimizer.pt").write_bytes(b"x" * 200_000))
    found = run_metadata.read(run)
    head = run_page_views.head(found, language, NOW)
    assert "captain &lt;b&gt;" in head
    assert text("state.finished", language) in head
    settings = run_page_views.settings(found, language)
    assert "0.5 <small>← 0.0018" in settings
    assert "256" in settings
    rests = run_page_views.rests_on(found, language)
    assert ("d" * 16) in rests
    assert "torch 2 · zz 1" in rests
    assert "float32" in run_page_views.choices(found.choices, language)
    assert text("ui.runs.checkpoints", language, count=2, steps="1, 2") in run_page_views.results(found, language)
    assert text("ui.runs.part.checkpoints", language) in run_page_views.disk(found, language)
    assert "0.2 MB" in run_page_views.spare(found, language)
    assert run_page_views.wrong(found, language) == ""


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_damaged_run_has_a_page_that_says_so(three, language):
    (three[2].path / "run.yaml").unlink()
    (three[2].path / "resolved.json").write_text("[")
    found = run_metadata.read(three[2])
    assert "status.json" in run_page_views.wrong(found, language)
    assert text("ui.runs.no_settings", language) in run_page_views.settings(found, language)
    assert run_page_views.head(found, language, NOW)
    assert not found.can_resume


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_run_that_failed_before_its_first_checkpoint_is_started_anew_and_the_page_says_why(language):
    run = make("nothing", [3.0], State.FAILED)
    found = run_metadata.read(run)
    assert not found.can_resume
    reason = text("ui.runs.why.nothing_to_resume", language)
    assert text("ui.runs.clone", language) in reason
    assert html.escape(reason) in run_page_views.why(found, language)
    following = Following(run.id, RunSnapshot(found.summary.status))
    shown = train_tab._why(following, language)
    assert text("ui.train.why.again", language) in shown
    assert not following.can_go_on


@pytest.fixture
def tab():
    with gr.Blocks():
        yield runs_tab.RunsTab(Words())


def test_a_look_without_news_sends_nothing_and_news_only_what_changed(three, tab):
    look = RunsQuery(chosen=(three[0].id, three[1].id))
    first = tab.updates(look, TRAIN, None)
    seen = first[tab.session]
    assert tab.table in first
    assert tab.overlay in first
    assert tab.updates(look, TRAIN, seen) == {}

    metadata.rename(three[2], "delta")
    news = tab.updates(look, TRAIN, seen)
    assert set(news) == {tab.table, tab.session}
    gone = tab.updates(look, TRAIN, news[tab.session])
    assert gone == {}
    trash.delete(three[0])
    after = tab.updates(look, TRAIN, news[tab.session])
    assert after[tab.saved_query]["chosen"] == (three[1].id,)
    assert tab.trash in after


def test_an_open_run_that_goes_on_is_read_on(tab):
    run = make("live", [3.0], State.TRAINING)
    look = RunsQuery(open=run.id)
    seen = tab.updates(look, TRAIN, None)[tab.session]
    assert tab.updates(look, TRAIN, seen).keys() <= {tab.page.head, tab.session}
    run.emit(Step(step=2, total=9, epoch=0.1, loss=2.0, learning_rate=1e-3, tokens=5))
    news = tab.updates(look, TRAIN, seen)
    assert tab.page.chart in news
    assert "2.00" in news[tab.page.loss]


def test_what_lies_in_the_trash_is_listed_with_its_way_back(three):
    trash.delete(three[0])
    shown = runs_views.trash(trash.deleted_runs(), "ko")
    assert f'data-run="{three[0].id}"' in shown
    assert text("ui.runs.trash_empty", "ko") in runs_views.trash([], "ko")


def test_a_scoreboard_of_another_version_is_left_out(three):
    folder = three[0].path / "compare" / "abc"
    folder.mkdir(parents=True)
    (folder / "scoreboard.json").write_text(json.dumps({"at": time.time()}))
    assert run_metadata.read(three[0]).evaluations == []
