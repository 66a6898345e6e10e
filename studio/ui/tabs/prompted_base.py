"""The prompt of the prompted base, under the columns that are added: edited, or put back to the automatic one."""

import html
from typing import Any

import gradio as gr

from studio import runs
from studio.compare.columns import Column
from studio.errors import CompareError
from studio.i18n import text
from studio.style import prompted_store
from studio.style.prompted_store import PromptedBase
from studio.ui.words import Words

PROMPTED = "base+prompted"
"""What an added column is called that is the base with the run's prompt."""


class PromptEditor:
    """A text box with the prompt of a run, visible while a column is the prompted base."""

    def __init__(self, words: Words):
        self.language = words.language
        with gr.Column(visible=False, elem_id="prompted-base") as self.row:
            self.text = words.make(
                gr.Textbox,
                label="ui.prompted.label",
                info="ui.prompted.help",
                value="",
                lines=6,
                max_lines=14,
                elem_id="prompted-text",
            )
            with gr.Row(elem_classes="jumps"):
                self.automatic = words.button("ui.prompted.automatic", size="sm", min_width=160)
                self.cost = gr.HTML(elem_id="prompted-cost")

    def connect(self, run: gr.Dropdown, open_: gr.State, who: list[gr.Dropdown]) -> None:
        """Connect the events; `who` says what each added column is, and `open_` whether it is there."""

        def show_prompt(run_id: str | None, are_open: tuple[bool, ...], *chosen: str | None) -> dict[Any, Any]:
            wanted = any(is_open and kind == PROMPTED for is_open, kind in zip(are_open, chosen, strict=True))
            if not (wanted and run_id):
                return {self.row: gr.update(visible=False)}
            target = runs.find(run_id)
            return {self.row: gr.update(visible=True), **self._show(target, prompted_store.of_run(target))}

        def save_prompt(run_id: str | None, written: str) -> dict[Any, Any]:
            if not run_id:
                return {}
            target = runs.find(run_id)
            return self._show(target, prompted_store.edit(target, written or ""))

        gr.on(
            [open_.change, *(each.change for each in who)],
            show_prompt,
            [run, open_, *who],
            [self.row, self.text, self.automatic, self.cost],
        )
        parts = [self.text, self.automatic, self.cost]
        self.text.blur(save_prompt, [run, self.text], parts, trigger_mode="always_last")
        self.automatic.click(save_prompt, [run, gr.State("")], parts)

    def _show(self, run: runs.Run, prompt: PromptedBase) -> dict[Any, Any]:
        column = prompt.column
        cost = ""
        if column:
            words = text("ui.prompted.tokens", self.language, tokens=prompted_store.prompt_tokens(run, column))
            if prompt.edited:
                words = f"{text('ui.prompted.edited', self.language)} · {words}"
            cost = f'<p class="hint">{html.escape(words)}</p>'
        return {
            self.text: prompted_store.to_text(column) if column else "",
            self.automatic: gr.update(interactive=prompt.edited is not None),
            self.cost: cost,
        }


def column(run_id: str, written: str | None) -> Column:
    """Return the column of the prompt in the text box; raises CompareError for one that cannot be used."""
    if not (written or "").strip():
        raise CompareError("ui.prompted_empty")
    return prompted_store.read(runs.find(run_id)).parse(written or "")
