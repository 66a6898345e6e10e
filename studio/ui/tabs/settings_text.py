"""All settings as YAML, to be kept, edited and taken back; and the command that starts the same run."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class SettingsText:
    """The components."""

    text: gr.Textbox
    written: gr.State
    """The text that was made from the form; where it differs, the user has edited it."""
    notes: gr.State
    """What is said under the text since it was applied."""
    note: gr.HTML
    upload: gr.UploadButton
    download: gr.Button
    apply: gr.Button
    discard: gr.Button
    command: gr.HTML
    copy: gr.Button
    copied: gr.HTML

    @property
    def of_form(self) -> list[Any]:
        """What follows the form."""
        return [self.text, self.written, self.notes, self.note, self.command, self.copied]


def build(words: Words) -> SettingsText:
    """Build both accordions inside the current Blocks."""
    with words.make(gr.Accordion, label="ui.recipe.yaml", open=False):
        text = words.make(
            gr.Textbox,
            label="ui.recipe.yaml_text",
            info="ui.recipe.yaml_help",
            lines=14,
            max_lines=14,
            elem_id="yaml",
            elem_classes="mono",
        )
        note = gr.HTML(elem_id="yaml-note")
        with gr.Row(elem_classes="jumps"):
            apply = words.make(gr.Button, text="ui.recipe.yaml_apply", size="sm", min_width=96)
            discard = words.make(gr.Button, text="ui.recipe.yaml_discard", size="sm", min_width=96)
            download = words.make(gr.Button, text="ui.recipe.yaml_download", size="sm", min_width=96)
            upload = words.make(
                gr.UploadButton,
                label="ui.recipe.yaml_upload",
                file_types=[".yaml", ".yml"],
                size="sm",
                min_width=96,
                elem_id="yaml-upload",
            )
    with words.make(gr.Accordion, label="ui.recipe.command", open=False):
        command = gr.HTML(elem_id="command")
        with gr.Row(elem_classes="ask"):
            copied = gr.HTML(elem_id="copied")
            copy = words.make(gr.Button, text="ui.recipe.copy", size="sm", scale=0, min_width=96)
    return SettingsText(text, gr.State(""), gr.State(()), note, upload, download, apply, discard, command, copy, copied)


def note_text(
    part: SettingsText, config: RunConfig, text: str | None, written: str, notes: Sequence[Message], language: str
) -> dict[Any, Any]:
    """Return what makes the text follow the form; an edited text stays until it is applied or discarded."""
    updates = {part.copied: ""}
    if text and text != written:  # none before the field was on the screen
        return {**updates, part.note: views.paragraph(message("ui.recipe.yaml_edited"), language, "hint")}
    fresh = config.to_yaml()
    if text != fresh:
        notes = ()  # it was about settings that have changed since
    return {**updates, part.text: fresh, part.written: fresh, part.notes: notes, part.note: _note(notes, language)}


def _note(notes: Sequence[Message], language: str) -> str:
    return "".join(views.paragraph(each, language, "good" if each is notes[0] else "hint") for each in notes)


def read(text: str) -> tuple[RunConfig, str | None, Sequence[Message]]:
    """Return the settings in a text, the preset that they are, and what is to be told; raises StudioError."""
    config, notes = settings_file.take(text)
    return config, settings_file.preset_of(config), notes


def applied(part: SettingsText, config: RunConfig, notes: Sequence[Message], language: str) -> dict[Any, Any]:
    """Return what the text shows once it is in the form."""
    fresh = config.to_yaml()
    words = (message("ui.recipe.yaml_applied"), *notes)
    return {part.text: fresh, part.written: fresh, part.notes: words, part.note: _note(words, language)}


def connect(part: SettingsText, frame: Frame, take: Callable[[str], dict[Any, Any]], filled: list[Any]) -> None:
    """Connect the events; `take(text)` fills the form, or says why not and changes nothing."""
    language = frame.language
    form = frame.form

    def receive(path: str) -> Iterator[Any]:
        text = settings_file.read(path)
        yield {part.text: text}  # to be mended there, if it is refused
        yield take(text)

    def discard(base: RunConfig, *values: Any) -> dict[Any, Any]:
        fresh = form.read(values, base).to_yaml()
        return {part.text: fresh, part.written: fresh, part.notes: (), part.note: ""}

    def edited(text: str, written: str) -> str:
        return views.paragraph(message("ui.recipe.yaml_edited"), language, "hint") if text != written else ""

    def say_copied() -> str:
        return views.paragraph(message("ui.recipe.copied"), language, "good")

    whole = list(dict.fromkeys([*filled, *part.of_form]))
    text = [part.text]
    text_outputs = [part.text, part.written, part.notes, part.note]
    typed = part.text.input(edited, [*text, part.written], part.note)
    part.apply.click(take, text, whole, cancels=[typed])  # it would say too late that nothing is applied
    part.discard.click(discard, frame.config_inputs, text_outputs, cancels=[typed])
    part.upload.upload(receive, [part.upload], whole)
    part.download.click(None, part.text, None, js=_DOWNLOAD)
    part.copy.click(say_copied, None, part.copied, js=_COPY)
