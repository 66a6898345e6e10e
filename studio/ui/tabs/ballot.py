"""The blind vote: pairs of answers without names, voted on by button or key, revealed at the end."""

import json
import secrets
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio import runs
from studio.compare.journal import Pair
from studio.compare.standing import Evaluation
from studio.compare.vote import CHOICES, Ballot
from studio.errors import CompareError
from studio.ui import ballot_views as views
from studio.ui import launch
from studio.ui.failures import shown
from studio.ui.frame import Frame
from studio.ui.tabs.compare import CompareTab
from studio.ui.words import Words

QUIET = {"show_progress": "hidden", "api_visibility": "undocumented"}
_KEYS = (
    "document.addEventListener('keydown', event => { const place = '1234'.indexOf(event.key);"
    " if (place < 0 || event.ctrlKey || event.metaKey || event.altKey) return;"
    " if (event.target.closest('input, textarea, [contenteditable]')) return;"
    " const button = document.querySelector(`#vote-${['1', '2', 'tie', 'bad'][place]}`);"
    " if (button && !button.disabled && button.offsetParent) { event.preventDefault(); button.click(); } });"
)
"""Lets the keys 1 to 4 press the vote's buttons while they are on the screen and nothing is typed."""
_DOWNLOAD = "() => setTimeout(() => document.querySelector('#{}').click(), 300)"


@dataclass(frozen=True)
class BallotTab:
    """The tab's components."""

    voter: gr.Textbox
    begin: gr.Button
    progress: gr.HTML
    pair: gr.HTML
    buttons: dict[str, gr.Button]
    reveal: gr.Button
    result: gr.HTML
    export: gr.Button
    file: gr.DownloadButton
    item: gr.State
    """The pair on the screen; None for none."""
    revealed: gr.State

    @property
    def shown(self) -> list[Any]:
        """What changes with every vote."""
        parts = [self.progress, self.pair, *self.buttons.values(), self.reveal, self.result, self.export]
        return [*parts, self.begin, self.item, self.revealed]


def pairs_of(found: Evaluation | None) -> list[Pair]:
    """Return the answer pairs of an evaluation."""
    return [Pair(before.prompt, before.answer, after.answer) for before, after in found.pairs] if found else []


def build(words: Words) -> BallotTab:
    """Build the vote inside the current tab."""
    with gr.Column(elem_classes="card"):
        words.make(gr.HTML, text="ui.vote.about", frame="<p>{}</p>")
        with gr.Row(elem_classes="ask"):
            voter = words.make(
                gr.Textbox, label="ui.vote.voter", max_lines=1, scale=3, min_width=220, elem_id="voter", max_length=80
            )
            begin = words.make(gr.Button, text="ui.vote.begin", variant="primary", scale=1, min_width=150)
        progress = gr.HTML(elem_id="vote-progress")
    with gr.Column(elem_classes="card"):
        pair = words.make(
            gr.HTML, text="ui.vote.empty", frame='<p class="empty">{}</p>', elem_id="pair", js_on_load=_KEYS
        )
        with gr.Row(elem_classes="votes"):
            buttons = {
                choice: words.make(
                    gr.Button, text=f"ui.vote.say.{choice}", interactive=False, min_width=130, elem_id=f"vote-{choice}"
                )
                for choice in CHOICES
            }
    with gr.Column(elem_classes="card"):
        with gr.Row(elem_classes="card-head"):
            words.heading("ui.vote.result")
            reveal = words.make(gr.Button, text="ui.vote.reveal", interactive=False, size="sm", min_width=110)
            export = words.make(gr.Button, text="ui.vote.export", interactive=False, size="sm", min_width=160)
        result = words.make(gr.HTML, text="ui.vote.hidden", frame='<p class="empty">{}</p>', elem_id="vote-result")
        file = words.make(gr.DownloadButton, label="ui.vote.export", visible="hidden", elem_id="vote-file")
    return BallotTab(
        voter, begin, progress, pair, buttons, reveal, result, export, file, gr.State(None), gr.State(False)
    )


def said_again(
    tab: BallotTab,
    run_id: str | None,
    found: Evaluation | None,
    voter: str,
    item: str | None,
    revealed: bool,
    lang: str,
) -> dict[Any, Any]:
    """Return what shows the vote as it stands in a language."""
    there = bool(pairs_of(found)) and run_id is not None
    updates: dict[Any, Any] = {
        tab.begin: gr.update(interactive=there),
        tab.item: item,
        tab.revealed: revealed,
        **{button: gr.update(interactive=item is not None) for button in tab.buttons.values()},
    }
    if not there or not (voter or "").strip():
        key = "ui.vote.ready" if there else "ui.vote.empty"
        return updates | {
            tab.pair: views.empty(key, lang),
            tab.progress: "",
            tab.result: views.empty("ui.vote.hidden", lang),
            tab.reveal: gr.update(interactive=False),
            tab.export: gr.update(interactive=False),
        }
    ballot = _ballot(run_id, found)
    done, total = ballot.progress(voter)
    over = item is None and done == total
    on_paper = views.pair(ballot.shown(voter, item), lang) if item else ""
    return updates | {
        tab.progress: views.progress(done, total, lang),
        tab.pair: on_paper or views.empty("ui.vote.over" if over else "ui.vote.ready", lang),
        tab.reveal: gr.update(interactive=done > 0),
        tab.export: gr.update(interactive=revealed),
        tab.result: (
            views.result(ballot.result(), ballot.preferences(), lang)
            if revealed
            else views.empty("ui.vote.hidden", lang)
        ),
    }


def _ballot(run_id: str | None, found: Evaluation | None) -> Ballot:
    if run_id is None:
        raise CompareError("compare.no_items")
    return Ballot(runs.find(run_id).path / "compare", pairs_of(found))


def connect(tab: BallotTab, head: CompareTab, found: gr.State, frame: Frame) -> None:
    """Connect the tab's events."""

    @shown
    def begin(language: str, run_id: str | None, found: Evaluation | None, voter: str) -> dict[Any, Any]:
        following = _ballot(run_id, found).next(voter)
        item = following.item if following else None
        return said_again(tab, run_id, found, voter, item, False, language)

    @shown
    def vote(
        language: str, run_id: str | None, found: Evaluation | None, voter: str, item: str | None, choice: str
    ) -> dict[Any, Any]:
        if item is None:
            return {tab.item: None}
        ballot = _ballot(run_id, found)
        ballot.vote(voter, item, choice)
        following = ballot.next(voter)
        return said_again(tab, run_id, found, voter, following.item if following else None, False, language)

    @shown
    def reveal(
        language: str, run_id: str | None, found: Evaluation | None, voter: str, item: str | None
    ) -> dict[Any, Any]:
        return said_again(tab, run_id, found, voter, item, True, language)

    @shown
    def export(language: str, run_id: str | None, found: Evaluation | None) -> dict[Any, Any]:
        rows = _ballot(run_id, found).preferences().rows
        path = written(
            "preferences.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
        )
        return {tab.file: gr.update(value=path)}

    asked = [frame.language, head.run, found, tab.voter]
    gr.on([tab.begin.click, tab.voter.submit], begin, asked, tab.shown, **QUIET)
    for choice, button in tab.buttons.items():
        button.click(vote, [*asked, tab.item, gr.State(choice)], tab.shown, **QUIET)
    tab.reveal.click(reveal, [*asked, tab.item], tab.shown, **QUIET)
    tab.export.click(export, asked[:3], tab.file, **QUIET).success(None, None, None, js=_DOWNLOAD.format("vote-file"))


def written(name: str, content: bytes) -> str:
    """Write a file where the page may serve it from, under a name of ours; return its path."""
    folder = launch.temporary() / f"export-{secrets.token_hex(8)}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return str(folder / name)
