"""The reading sheet: people read one answer at a time and note whether it sounds natural and whether it is wrong."""

from typing import Any

import gradio as gr

from studio import runs
from studio.errors import CompareError
from studio.evaluate.blind_vote import checked_name
from studio.evaluate.evaluation_store import Evaluation
from studio.evaluate.human_reading import MAX_NOTE_CHARACTERS, Sheet
from studio.journal import digest
from studio.ui import ballot_views as views
from studio.ui import downloads
from studio.ui.page import components
from studio.ui.scoreboard_views import measured_at
from studio.ui.tabs.compare import CompareTab
from studio.ui.vote_state import pairs_of
from studio.ui.words import Words

_ANSWERS = {"yes": True, "no": False}


class SheetTab:
    """The tab's components."""

    def __init__(self, words: Words):
        self.language = words.language
        with gr.Column(elem_classes="card"):
            words.paragraph("ui.sheet.about")
            with gr.Row(elem_classes="ask"):
                self.reader = words.make(
                    gr.Textbox,
                    label="ui.sheet.reader",
                    max_lines=1,
                    scale=3,
                    min_width=220,
                    elem_id="reader",
                    max_length=80,
                )
                self.begin = words.button("ui.sheet.begin", variant="primary", scale=1, min_width=150)
                self.export = words.button("ui.sheet.export", interactive=False, scale=1, min_width=150)
            self.progress = gr.HTML(elem_id="sheet-progress")
        with gr.Column(elem_classes="card"):
            self.answer = words.empty("ui.sheet.empty", elem_id="sheet-answer")
            with gr.Row():
                self.natural, self.wrong = (
                    words.make(
                        gr.Radio,
                        label=f"ui.sheet.{name}",
                        choices={choice: f"compare.sheet.{choice}" for choice in _ANSWERS},
                        min_width=200,
                        elem_id=f"sheet-{name}",
                    )
                    for name in ("natural", "wrong")
                )
            self.note = words.make(
                gr.Textbox, label="ui.sheet.note", lines=2, max_length=MAX_NOTE_CHARACTERS, elem_id="sheet-note"
            )
            self.save = words.button("ui.sheet.save", interactive=False, elem_id="sheet-save")
            self._file = downloads.Download(words, "ui.sheet.export", "sheet-file")
        self.item = gr.State(None)
        """The answer on the screen: the pair's id and the side; None for none."""
        self.outputs = components(self)

    def render(self, run_id: str | None, evaluation: Evaluation | None, reader: str, started: bool) -> dict[Any, Any]:
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
        words = views.empty("ui.vote.ready" if pairs else "ui.sheet.empty", self.language)
        if item:
            words = views.answer(pairs[item[0]].prompt, getattr(pairs[item[0]], item[1]))
        elif has_started:
            words = views.empty("ui.sheet.over", self.language)
        return {
            self.progress: (views.progress(done, 2 * len(pairs), self.language) if has_started else "")
            + measured_at(evaluation, self.language),
            self.answer: words,
            self.natural: gr.update(value=None, interactive=item is not None),
            self.wrong: gr.update(value=None, interactive=item is not None),
            self.note: gr.update(value="", interactive=item is not None),
            self.begin: gr.update(interactive=bool(pairs)),
            self.save: gr.update(interactive=item is not None),
            self.export: gr.update(interactive=bool(pairs)),
            self.item: item,
        }

    def connect(self, head: CompareTab, evaluation: gr.State) -> None:
        """Connect the tab's events."""
        language = self.language

        def begin(run_id: str | None, evaluation: Evaluation | None, reader: str) -> dict[Any, Any]:
            checked_name(reader or "")
            return self.render(run_id, evaluation, reader, True)

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
                return {self.item: None}
            marks = (None if value is None else _ANSWERS[value] for value in (natural, wrong))
            _sheet(run_id, evaluation).note(
                reader, item[0], item[1], *marks, note or "", evaluation.id if evaluation else ""
            )
            return self.render(run_id, evaluation, reader, True)

        def export(run_id: str | None, evaluation: Evaluation | None) -> dict[Any, Any]:
            return self._file.fetch(downloads.write("readings.csv", _sheet(run_id, evaluation).to_csv(language)))

        sheet_inputs = [head.run, evaluation, self.reader]
        gr.on([self.begin.click, self.reader.submit], begin, sheet_inputs, self.outputs)
        self.save.click(save, [*sheet_inputs, self.item, self.natural, self.wrong, self.note], self.outputs)
        self.export.click(export, sheet_inputs[:2], self._file.outputs)


def _sheet(run_id: str | None, evaluation: Evaluation | None) -> Sheet:
    if run_id is None:
        raise CompareError("compare.no_items")
    return Sheet(runs.find(run_id).path / "compare", pairs_of(evaluation))
