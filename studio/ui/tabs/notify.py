"""The box that asks for a notification of the desktop; the browser does the rest."""

import html
from pathlib import Path

import gradio as gr

from studio.i18n import text


def build(language: str) -> gr.HTML:
    """Build the box inside the current Blocks, with what to say when the browser refuses."""
    words = html.escape(text("ui.notify.box", language))
    hints = "".join(_hint(kind, text(f"ui.notify.{kind}", language)) for kind in ("denied", "unsupported"))
    box = f'<label class="notify"><input type="checkbox"> {words}</label> {hints}'
    code = (Path(__file__).parent.parent / "notify.js").read_text(encoding="utf-8")
    return gr.HTML(box, elem_id="notify", js_on_load=code)


def _hint(kind: str, words: str) -> str:
    return f'<span class="hint" data-hint="{kind}" role="status" hidden>⚠ {html.escape(words)}</span>'
