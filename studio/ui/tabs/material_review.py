"""The rows that were made of material as cards: kept, edited, dropped, undone, a few at a time."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from studio.data import provenance
from studio.errors import DataError
from studio.files import home
from studio.material import review as reviewing
from studio.material.review import Review
from studio.ui import launch, material_views, uploads
from studio.ui.frame import Frame
from studio.ui.page import components
from studio.ui.words import Words

CARDS = 5
"""Cards on the screen at a time."""
_ASK = (
    "let last = null;"
    " element.addEventListener('focusin', event => { last = event.target.id || null; });"
    " element.addEventListener('click', event => { const asked = event.target.closest('[data-do]');"
    " if (!asked) return; last = asked.id; trigger('click', {...asked.dataset}); });"
    " new MutationObserver(() => { if (last && document.activeElement === document.body)"
    " document.getElementById(last)?.focus({preventScroll: true}); })"
    ".observe(element, {childList: true, subtree: true});"
)
"""Makes the buttons inside the cards events of their component, and keeps the focus when they are drawn again."""

_FOCUS = (
    "(text) => { const go = () => document.querySelector('#review-editor textarea')?.focus();"
    " if (text) setTimeout(go, 100); return []; }"
)
"""Goes to the text of the row that was opened."""


class ReviewCard:
    """Shows the rows, and what was decided about them."""

    def __init__(self, words: Words):
        self.language = words.language
        self.open = words.button("ui.review.open", size="sm")
        self.path, self.first, self.editing = gr.State(None), gr.State(1), gr.State(None)
        with gr.Column(visible=False, elem_id="review") as self.panel:
            self.counts = gr.HTML(elem_id="review-counts")
            self.cards = gr.HTML(elem_id="review-cards", js_on_load=_ASK)
            with gr.Column(visible=False, elem_id="review-editor") as self.editor:
                self.text = words.make(gr.Textbox, label="ui.review.text", lines=6, max_lines=16)
                with gr.Row():
                    self.save = words.button("ui.review.save", size="sm", min_width=96)
                    self.leave = words.button("ui.review.leave", size="sm", min_width=96)
            with gr.Row():
                self.previous = words.button("ui.review.previous", size="sm", min_width=96)
                self.following = words.button("ui.review.following", size="sm", min_width=96)
                self.undo = words.button("ui.review.undo", size="sm", min_width=96)
            self.use = words.button("ui.review.use", min_width=140)
        self.outputs = components(self)

    def render(self, path: Path | None, first: int = 1, editing: int | None = None) -> dict[Any, Any]:
        """Return what shows the rows of a file from one row on; `editing` is the row whose text is open.

        Without a file, nothing is shown. Raises DataError for rows that were not made of material.
        """
        if path is None:
            return {self.path: None, self.panel: gr.update(visible=False)}
        review = Review(path)
        counts = review.counts()
        first = max(1, min(first, (counts.rows - 1) // CARDS * CARDS + 1))
        last = min(first + CARDS - 1, counts.rows)
        edited = review.cards(editing, 1)[0] if editing else None
        return {
            self.path: str(path),
            self.first: first,
            self.editing: editing,
            self.panel: gr.update(visible=True),
            self.counts: material_views.review_counts(counts, first, last, self.language),
            self.cards: material_views.review_cards(review.cards(first, CARDS), self.language),
            self.editor: gr.update(visible=edited is not None),
            self.text: reviewing.to_text(edited.sections) if edited else "",
            self.previous: gr.update(interactive=first > 1),
            self.following: gr.update(interactive=last < counts.rows),
        }

    def connect(self, frame: Frame, show_file: dict[Any, Any], name: Any, read_again: Callable[..., Any]) -> None:
        """Connect the events; the parameters are those of `MaterialCard.connect`."""

        def open_rows(kind: str, named: str) -> dict[Any, Any]:
            if kind != "file" or not str(named).endswith(".jsonl"):
                raise DataError("material.not_made", name=uploads.base_name(str(named)))
            rows = Path(named)
            Review(rows)
            return self.render(rows if rows.parent == home() / "uploads" else keep_rows(rows))

        def act(path: str, first: int, event: gr.EventData) -> Any:
            pressed = event._data if isinstance(event._data, dict) else {}
            action, row = str(pressed.get("do")), str(pressed.get("row", ""))
            if not path or not row.isdecimal():
                return gr.skip()
            if action == reviewing.EDIT:
                return self.render(Path(path), first, int(row))
            if action in (reviewing.KEEP, reviewing.DROP):
                Review(Path(path)).decide(int(row), action)
            return self.render(Path(path), first)

        def save(path: str, first: int, editing: int | None, text: str) -> Any:
            if not path or not editing:
                return gr.skip()
            Review(Path(path)).edit(editing, text)
            return self.render(Path(path), first)

        def undo(path: str, first: int) -> Any:
            if not path:
                return gr.skip()
            row = Review(Path(path)).undo()
            return self.render(Path(path), first if row is None else (row - 1) // CARDS * CARDS + 1)

        def stepping(by: int) -> Callable[[str, int], Any]:
            def step(path: str, first: int) -> Any:
                return self.render(Path(path), first + by) if path else gr.skip()

            return step

        def use_rows(path: str) -> Any:
            if not path:
                return gr.skip()
            review = Review(Path(path))
            with tempfile.TemporaryDirectory(dir=launch.temporary()) as folder:
                rows = Path(folder) / f"{uploads.title_of(review.path)}.jsonl"
                review.write(rows)
                saved_file = uploads.keep(str(rows))
            if saved_file != review.path:
                review.write_provenance(saved_file)
            return {**show_file, name: str(saved_file), **self.render(saved_file)}

        at = [self.path, self.first]
        source = [frame.form.parts["data.source.kind"], frame.form.parts["data.source.name"]]
        self.open.click(open_rows, source, self.outputs)
        acted = self.cards.click(act, at, self.outputs, trigger_mode="multiple")
        acted.then(None, self.text, None, js=_FOCUS)
        self.save.click(save, [*at, self.editing, self.text], self.outputs)
        self.leave.click(stepping(0), at, self.outputs)
        self.undo.click(undo, at, self.outputs)
        self.previous.click(stepping(-CARDS), at, self.outputs)
        self.following.click(stepping(CARDS), at, self.outputs)
        used = self.use.click(use_rows, self.path, [name, *show_file, *self.outputs])
        read_again(used, is_own=True)


def keep_rows(rows: Path) -> Path:
    """Keep rows that were made as an upload is kept, with what stands beside them; return where they are."""
    saved_file = uploads.keep(str(rows))
    if provenance.path_of(rows).is_file():
        shutil.copyfile(provenance.path_of(rows), provenance.path_of(saved_file))
    return saved_file
