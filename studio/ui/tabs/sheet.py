"""The reading sheet: people read one answer at a time and note whether it sounds natural and whether it is wrong."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio import runs
from studio.errors import CompareError
from studio.evaluate.blind_vote import checked_name
from studio.evaluate.evaluation_store import Evaluation
from studio.evaluate.human_reading import MAX_NOTE_CHARACTERS, Sheet
from studio.journal import digest
from studio.ui import ballot_views as views
from studio.ui.frame import Frame
from studio.ui.scoreboard_views import measured_at
from studio.ui.tabs.ballot import written
from studio.ui.tabs.compare import CompareTab
from studio.ui.vote_state import pairs_of
from studio.ui.words import Words

_DOWNLOAD = "() => setTimeout(() => document.querySelector('#sheet-file').click(), 300)"
_ANSWERS = {"yes": True, "no": False}


@dataclass(frozen=True)
class SheetTab:
    """The tab's components."""

    reader: gr.Textbox
    begin: gr.Button
    progress: gr.HTML
    answer: gr.HTML
    natural: gr.Radio
    wrong: gr.Radio
    note: gr.Textbox
    save: gr.Button
    export: gr.Button
    file: gr.DownloadButton
    item: gr.State
    """The answer on the screen: the pair's id and the side; None for none."""

    @property
    def outputs(self) -> list[Any]:
        """What changes with every answer."""
        parts = [self.progress, self.answer, self.natural, self.wrong, self.note]
        return [*parts, self.begin, self.save, self.export, self.item]


def build(words: Words) -> SheetTab:
    """Build the sheet inside the current tab."""
    with gr.Column(elem_classes="card"):
        words.make(gr.HTML, text="ui.sheet.about", frame="<p>{}</p>")
        with gr.Row(elem_classes="ask"):
            reader = words.make(
                gr.Textbox,
                label="ui.sheet.reader",
                max_lines=1,
                scale=3,
                min_width=220,
                elem_id="reader",
                max_length=80,
            )
            begin = words.make(gr.Button, text="ui.sheet.begin", variant="primary", scale=1, min_width=150)
            export = words.make(gr.Button, text="ui.sheet.export", interactive=False, scale=1, min_width=150)
        progress = gr.HTML(elem_id="sheet-progress")
    with gr.Column(elem_classes="card"):
        answer = words.make(gr.HTML, text="ui.sheet.empty", frame='<p class="empty">{}</p>', elem_id="sheet-answer")
        with gr.Row():
            natural, wrong = (
                words.make(
                    gr.Radio,
                    label=f"ui.sheet.{name}",
                    choices={choice: f"compare.sheet.{choice}" for choice in _ANSWERS},
                    min_width=200,
                    elem_id=f"sheet-{name}",
                )
                for name in ("natural", "wrong")
            )
        note = words.make(
            gr.Textbox, label="ui.sheet.note", lines=2, max_length=MAX_NOTE_CHARACTERS, elem_id="sheet-note"
        )
        save = words.make(gr.Button, text="ui.sheet.save", interactive=False, elem_id="sheet-save")
        file = words.make(gr.DownloadButton, label="ui.sheet.export", visible="hidden", elem_id="sheet-file")
    return SheetTab(reader, begin, progress, answer, natural, wrong, note, save, export, file, gr.State(None))


def render(
    tab: SheetTab, run_id: str | None, evaluation: Evaluation | None, reader: str, started: bool, language: str
) -> dict[Any, Any]:
    """Return what shows the next answer to read, in a language."""
    pairs = {pair.id: pair for pair in pairs_of(evaluation)} if run_id else {}
    item, done = None, 0
    has_started = started and bool(pairs) and bool((reader or "").strip())
    if has_started and run_id:
        name = checked_name(reader)
        read = {(r.item, r.side) for r in _sheet(run_id, evaluation).readings() if r.reader == name}
        waiting = [(each, side) for each in pairs for side in ("before", "after") if (each, side) not in read]
        done = 2 * len(pairs) - len(waiting)
        item = min(waiting, key=lambda one: digest("read", name, *one), default=None)
    words = views.empty("ui.vote.ready" if pairs else "ui.sheet.empty", language)
    if item:
        words = views.answer(pairs[item[0]].prompt, getattr(pairs[item[0]], item[1]))
    elif has_started:
        words = views.empty("ui.sheet.over", language)
    return {
        tab.progress: (views.progress(done, 2 * len(pairs), language) if has_started else "")
        + measured_at(evaluation, language),
        tab.answer: words,
        tab.natural: gr.update(value=None, interactive=item is not None),
        tab.wrong: gr.update(value=None, interactive=item is not None),
        tab.note: gr.update(value="", interactive=item is not None),
        tab.begin: gr.update(interactive=bool(pairs)),
        tab.save: gr.update(interactive=item is not None),
        tab.export: gr.update(interactive=bool(pairs)),
        tab.item: item,
    }


def _sheet(run_id: str | None, evaluation: Evaluation | None) -> Sheet:
    if run_id is None:
        raise CompareError("compare.no_items")
    return Sheet(runs.find(run_id).path / "compare", pairs_of(evaluation))


def connect(tab: SheetTab, head: CompareTab, evaluation: gr.State, frame: Frame) -> None:
    """Connect the tab's events."""
    language = frame.language

    def begin(run_id: str | None, evaluation: Evaluation | None, reader: str) -> dict[Any, Any]:
        checked_name(reader or "")
        return render(tab, run_id, evaluation, reader, True, language)

    def save(
        run_id: str | None,
        evaluation: Evaluation | None,
        reader: str,
        item: tuple[str, Any] | None,
        natural: str | None,
        wrong: str | None,
        note: str,
    ) -> dict[Any, Any]:
        if item is None:
            return {tab.item: None}
        marks = (None if value is None else _ANSWERS[value] for value in (natural, wrong))
        _sheet(run_id, evaluation).note(
            reader, item[0], item[1], *marks, note or "", evaluation.id if evaluation else ""
        )
        return render(tab, run_id, evaluation, reader, True, language)

    def export(run_id: str | None, evaluation: Evaluation | None) -> dict[Any, Any]:
        return {tab.file: gr.update(value=written("readings.csv", _sheet(run_id, evaluation).to_csv(language)))}

    sheet_inputs = [head.run, evaluation, tab.reader]
    gr.on([tab.begin.click, tab.reader.submit], begin, sheet_inputs, tab.outputs)
    tab.save.click(save, [*sheet_inputs, tab.item, tab.natural, tab.wrong, tab.note], tab.outputs)
    tab.export.click(export, sheet_inputs[:2], tab.file).success(None, None, None, js=_DOWNLOAD)
