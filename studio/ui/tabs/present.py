"""Presentation mode: what was compared, and the scoreboard's rows, slide by slide over the whole screen."""

from pathlib import Path

import gradio as gr

from studio.compare.comparison import AnswerPair, Comparison
from studio.errors import CompareError
from studio.evaluate.evaluation_store import Evaluation
from studio.reports.run_card import answer_pairs
from studio.ui import present_views
from studio.ui.comparable import names
from studio.ui.tabs.compare import CompareTab
from studio.ui.vote_state import pairs_of

_OPEN = "() => setTimeout(() => document.dispatchEvent(new Event('present')), 300)"


def build() -> gr.HTML:
    """Build the slides, which are not shown until they are asked for."""
    code = (Path(__file__).parent.parent / "present.js").read_text(encoding="utf-8")
    return gr.HTML(elem_id="stage", js_on_load=code)


def pairs(
    last: Comparison | None, evaluation: Evaluation | None, called: tuple[str, str], language: str
) -> list[AnswerPair]:
    """Return what there is to present: the last comparison with all its columns, then the scoreboard's rows; each once.

    `called` is what base and run are called.
    """
    on_screen = answer_pairs(last, called, language)[:1] if last and last.answers and len(last.answers[0]) > 1 else ()
    each_once: dict[str, AnswerPair] = {}
    for pair in [*on_screen, *pairs_of(evaluation)]:
        each_once.setdefault(pair.id, pair)
    return list(each_once.values())


def connect(slides: gr.HTML, head: CompareTab, evaluation: gr.State) -> None:
    """Connect the button that opens the slides."""
    language = head.language

    def present(run_id: str | None, last: Comparison | None, evaluation: Evaluation | None) -> str:
        called = names(run_id, language)
        on_slides = pairs(last, evaluation, called, language)
        if not on_slides:
            raise CompareError("compare.no_pairs")
        return present_views.stage(on_slides, *called, language)

    event = head.present.click(present, [head.run, head.last, evaluation], slides)
    event.then(None, None, None, js=_OPEN)
