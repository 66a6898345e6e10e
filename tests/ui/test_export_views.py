"""What the Export tab says of an export, in both languages, whatever it is called."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from studio.errors import ExportError
from studio.export.inventory import ExportEstimate, Part, SavedExport
from studio.export.verify.verification import Agreement, Verification
from studio.i18n import LANGUAGES, message, text
from studio.model.hardware import Choice
from studio.ui import export_views as views
from studio.ui import exporting
from studio.ui.exporting import ExportState
from studio.ui.tabs import card_comparisons, export
from studio.ui.tabs.card_comparisons import CardComparisons
from studio.ui.words import Words


def made(kind="adapter", equal=8, is_outdated=False, checked=True, files=(("a<b>.bin", 2_000_000),)):
    agreement = Agreement(8, equal, 0, 0.5, None, (2.5, 2.625))
    verification = Verification("adapter", "float32", agreement, "held_out", (3, 3), made=1.0) if checked else None
    return SavedExport(kind, Path("/x") / kind, 1.0, files, verification, is_outdated)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_check_is_told_with_its_figures(language):
    passed, parted = (views.verified(made(equal=equal), True, False, language) for equal in (8, 6))
    assert "✓" in passed
    assert "2.625" in passed
    assert "✗" in parted
    assert "differs" in parted
    assert text("export.verified.parted", language, parted=2) in parted
    assert text("ui.export.unverified", language) in views.verified(made(checked=False), True, False, language)
    assert "pip install cyllama" in views.verified(made("gguf", checked=False), False, False, language)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("checked", [False, True])
def test_while_it_is_checked_no_earlier_result_is_told(language, checked):
    told = views.verified(made(checked=checked), True, True, language)
    assert text("ui.export.checking", language) in told
    assert text("ui.export.unverified", language) not in told
    assert "2.625" not in told


def test_a_look_sees_that_the_export_on_the_screen_is_being_checked(finished_run, monkeypatch):
    def look(kind, phase):
        monkeypatch.setattr(exporting, "of", lambda run_id: ExportState("adapter", phase))
        return export.current_state(finished_run.id, kind)

    assert look("adapter", "verifying").is_checking
    assert look("adapter", "verifying").but_progress != look("adapter", "saving").but_progress
    assert not look("merged", "verifying").is_checking


def test_an_answer_that_comes_late_undoes_no_choice(finished_run, monkeypatch):
    """What is chosen on the page meanwhile stays: it is sent back only where it has to change."""
    with gr.Blocks():
        tab, card = export.ExportTab(Words("en")), CardComparisons(Words("en"))
    shown = partial(tab.render, finished_run.id, "merged", "auto")
    assert "value" not in shown()[tab.kind]
    assert shown(chosen="another")[tab.run]["value"] == finished_run.id
    assert "value" not in shown(chosen=finished_run.id)[tab.run]

    saved = [SimpleNamespace(id=id, comparison=SimpleNamespace(request=id)) for id in ("one", "two")]
    monkeypatch.setattr(card_comparisons, "_offered", lambda run_id: (saved, ("one",)))
    monkeypatch.setattr(views, "comparison", lambda request, language: request)
    assert card.render("run", "adapter", None, [])[card.chosen]["value"] == ["one"]
    for ticked in ([], ["two"]):
        assert "value" not in card.render("run", "merged", "run", ticked)[card.chosen]
    assert card.render("run", "merged", "run", ["two", "gone"])[card.chosen]["value"] == ["two"]


@pytest.mark.parametrize(
    ("there", "mark"),
    [
        (made(), "verified"),
        (made(equal=1), "differs"),
        (made(checked=False), "made"),
        (made(is_outdated=True), "old"),
    ],
)
def test_the_list_says_of_each_kind_what_it_is_for_and_how_it_stands(there, mark):
    told = {kind: words for words, kind in views.choices([there], "en")}
    assert list(told) == views.offered()
    first, use = told["adapter"].split("\n")
    assert first == f"Adapter · {text(f'ui.export.marks.{mark}')}"
    assert use == text("ui.export.kinds.adapter.use")
    assert "·" not in told["merged"].split("\n")[0]


def test_what_it_will_hold_is_told_with_sizes_and_what_is_in_the_way():
    precision = Choice("precision", "bfloat16", message("choice.precision.merged_as_base"))
    found = ExportEstimate(
        (Part("model", "model.safetensors", 270_000_000), Part("about", "README.md")), precision, 10**9
    )
    told = views.holds(found, "en")
    assert "270.0 MB" in told
    assert text("ui.export.small") in told
    assert "1.00 GB" in told
    assert "bfloat16" in told
    hindered = views.holds(ExportEstimate(blocker=ExportError("export.no_record", run="r<1>").message), "en")
    assert "r&lt;1&gt;" in hindered
    assert 'role="alert"' in hindered


def test_an_export_says_what_it_waits_for_how_far_it_is_and_how_it_ended():
    assert views.progress(None, "adapter", (), "en") == ""
    assert "a&lt;b" in views.progress(ExportState("adapter"), "adapter", ("a<b",), "en")
    half = views.progress(ExportState("merged", "merging", 0.5), "adapter", (), "en")
    assert "Merging" in half
    assert 'aria-valuenow="50"' in half
    failed = ExportState("gguf", failure=ExportError("export.needs_quantizer", package="cyllama").message, over=True)
    assert 'role="alert"' in views.progress(failed, "gguf", (), "ko")
    assert views.progress(failed, "adapter", (), "ko") == ""
    stopped = ExportState("gguf", failure=ExportError("export.stopped", run="r").message, over=True)
    assert 'role="alert"' not in views.progress(stopped, "gguf", (), "ko")
    noted = ExportState("merged", "done", notes=(message("export.note.base_folder", base="<x>"),), over=True)
    assert "&lt;x&gt;" in views.progress(noted, "merged", (), "en")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_merged_model_and_a_gguf_file_have_number_formats_of_their_own(language):
    names = {kind: [name for _, name in views.number_formats(kind, language)] for kind in ("merged", "gguf")}
    assert names["merged"] == ["auto", "bfloat16", "float16", "float32"]
    assert names["gguf"] == [*names["merged"], "q8_0", "q4_k_m"]


def test_names_of_files_and_lines_to_copy_stay_text():
    told = views.result(made(files=tuple((f"{n}<b>.bin", 10**6) for n in range(15))), "/x/<i>", "en")
    assert "0&lt;b&gt;.bin" in told
    assert "&lt;i&gt;" in told
    assert text("ui.export.more", "en", count=3) in told
    lines = views.usage(made(), 'cd "a"\npython ask.py "<b>"', "en")
    assert 'data-copy="cd &quot;a&quot;&#10;python ask.py &quot;&lt;b&gt;&quot;"' in lines
    assert views.usage(made(), "", "en") == ""


@pytest.mark.parametrize("language", LANGUAGES)
def test_without_a_result_the_run_that_will_have_one_is_named(language):
    assert text("ui.export.no_runs", language) in views.empty([], [], language)
    assert text("ui.export.trains", language, run="captain") in views.empty(["captain"], ["next"], language)
    assert text("ui.export.queued", language, run="next") in views.empty([], ["next"], language)


def test_another_kind_says_that_one_goes_on():
    assert views.why(ExportState("merged"), "merged", "en") == ""
    assert "Merged model" in views.why(ExportState("merged"), "adapter", "en")
    assert views.why(ExportState("merged", over=True), "adapter", "en") == ""
