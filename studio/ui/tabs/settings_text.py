"""All settings as YAML, to be kept, edited and taken back; and the command that starts the same run."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gradio as gr

from studio.config import RunConfig
from studio.i18n import Message, message
from studio.ui import settings_file, views
from studio.ui.frame import Frame
from studio.ui.words import Words

_DOWNLOAD = """(text) => {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], {type: 'application/yaml'}));
  link.download = 'run.yaml';
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}"""
_COPY = """() => {
  const text = document.querySelector('#command pre')?.textContent ?? '';
  const byHand = () => {
    const area = document.createElement('textarea');
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  };
  if (navigator.clipboard) navigator.clipboard.writeText(text).catch(byHand); else byHand();
  return [];
}"""
"""Without a secure address there is no clipboard for a page: then the old way."""


class SettingsText:
    """The components."""

    def __init__(self, words: Words):
        self.language = words.language
        with words.make(gr.Accordion, label="ui.recipe.yaml", open=False):
            self.text = words.make(
                gr.Textbox,
                label="ui.recipe.yaml_text",
                info="ui.recipe.yaml_help",
                lines=14,
                max_lines=14,
                elem_id="yaml",
                elem_classes="mono",
            )
            self.note = gr.HTML(elem_id="yaml-note")
            with gr.Row(elem_classes="jumps"):
                self.apply = words.button("ui.recipe.yaml_apply", size="sm", min_width=96)
                self.discard = words.button("ui.recipe.yaml_discard", size="sm", min_width=96)
                self.download = words.button("ui.recipe.yaml_download", size="sm", min_width=96)
                self.upload = words.make(
                    gr.UploadButton,
                    label="ui.recipe.yaml_upload",
                    file_types=[".yaml", ".yml"],
                    size="sm",
                    min_width=96,
                    elem_id="yaml-upload",
                )
        with words.make(gr.Accordion, label="ui.recipe.command", open=False):
            self.command = gr.HTML(elem_id="command")
            with gr.Row(elem_classes="ask"):
                self.copied = gr.HTML(elem_id="copied")
                self.copy = words.button("ui.recipe.copy", size="sm", scale=0, min_width=96)
        self.written = gr.State("")
        """The text that was made from the form; where it differs, the user has edited it."""
        self.notes = gr.State(())
        """What is said under the text since it was applied."""

    @property
    def of_form(self) -> list[Any]:
        """What follows the form."""
        return [self.text, self.written, self.notes, self.note, self.command, self.copied]

    def note_text(self, config: RunConfig, text: str | None, written: str, notes: Sequence[Message]) -> dict[Any, Any]:
        """Return what makes the text follow the form; an edited text stays until it is applied or discarded."""
        updates = {self.copied: ""}
        if text and text != written:  # none before the field was on the screen
            return {**updates, self.note: views.paragraph(message("ui.recipe.yaml_edited"), self.language, "hint")}
        fresh = config.to_yaml()
        if text != fresh:
            notes = ()  # it was about settings that have changed since
        return {
            **updates,
            self.text: fresh,
            self.written: fresh,
            self.notes: notes,
            self.note: _note(notes, self.language),
        }

    def applied(self, config: RunConfig, notes: Sequence[Message]) -> dict[Any, Any]:
        """Return what the text shows once it is in the form."""
        fresh = config.to_yaml()
        words = (message("ui.recipe.yaml_applied"), *notes)
        return {self.text: fresh, self.written: fresh, self.notes: words, self.note: _note(words, self.language)}

    def connect(self, frame: Frame, take: Callable[[str], dict[Any, Any]], filled: list[Any]) -> None:
        """Connect the events; `take(text)` fills the form, or says why not and changes nothing."""
        language = self.language
        form = frame.form

        def receive(path: str) -> Iterator[Any]:
            text = settings_file.read(path)
            yield {self.text: text}  # to be mended there, if it is refused
            yield take(text)

        def discard(base: RunConfig, *values: Any) -> dict[Any, Any]:
            fresh = form.read(values, base).to_yaml()
            return {self.text: fresh, self.written: fresh, self.notes: (), self.note: ""}

        def edited(text: str, written: str) -> str:
            return views.paragraph(message("ui.recipe.yaml_edited"), language, "hint") if text != written else ""

        def show_copied() -> str:
            return views.paragraph(message("ui.recipe.copied"), language, "good")

        whole = list(dict.fromkeys([*filled, *self.of_form]))
        text = [self.text]
        text_outputs = [self.text, self.written, self.notes, self.note]
        typed = self.text.input(edited, [*text, self.written], self.note)
        self.apply.click(take, text, whole, cancels=[typed])  # it would say too late that nothing is applied
        self.discard.click(discard, frame.config_inputs, text_outputs, cancels=[typed])
        self.upload.upload(receive, [self.upload], whole)
        self.download.click(None, self.text, None, js=_DOWNLOAD)
        self.copy.click(show_copied, None, self.copied, js=_COPY)


def _note(notes: Sequence[Message], language: str) -> str:
    return "".join(views.paragraph(each, language, "good" if each is notes[0] else "hint") for each in notes)
