"""Presentation mode: what was compared, and the scoreboard's rows, slide by slide over the whole screen."""

from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from studio.compare.ask import Comparison
from studio.compare.evaluate import Evaluation
from studio.compare.journal import Pair
from studio.errors import CompareError
from studio.ui import present_views
from studio.ui.failures import shown
from studio.ui.frame import Frame
from studio.ui.tabs.ballot import pairs_of
from studio.ui.tabs.compare import CompareTab, names
from studio.ui.words import Words

QUIET = {"show_progress": "hidden", "api_visibility": "undocumented"}
_OPEN = "() => setTimeout(() => document.dispatchEvent(new Event('present')), 300)"


@dataclass(frozen=True)
class Stage:
    """The button that opens the presentation, and the slides."""

    go: gr.Button
    slides: gr.HTML


def build(words: Words) -> Stage:
    """Build the button and the slides inside the current row."""
    go = words.make(gr.Button, text="ui.present.go", elem_id="present")
    code = (Path(__file__).parent.parent / "present.js").read_text(encoding="utf-8")
    return Stage(go, gr.HTML(elem_id="stage", js_on_load=code))


def pairs(last: Comparison | None, found: Evaluation | None) -> list[Pair]:
    """Return what there is to present: the last comparison, then the scoreboard's rows; each once."""
    there = []
    if last is not None and last.answers and len(last.answers[0]) > 1:
        there.append(Pair(last.request.prompts[0], *last.texts()[:2]))
    return list({pair.id: pair for pair in [*there, *pairs_of(found)]}.values())


def connect(stage: Stage, head: CompareTab, found: gr.State, frame: Frame) -> None:
    """Connect the button."""

    @shown
    def present(language: str, run_id: str | None, last: Comparison | None, found: Evaluation | None) -> str:
        there = pairs(last, found)
        if not there:
            raise CompareError("compare.no_pairs")
        return present_views.stage(there, *names(run_id, language), language)

    event = stage.go.click(present, [frame.language, head.run, head.last, found], stage.slides, **QUIET)
    event.then(None, None, None, js=_OPEN)
