"""The Data tab's events that bring rows from elsewhere: a data set of the Hub, and validation rows of their own."""

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from studio.config import SourceConfig
from studio.errors import panics_as_errors
from studio.ui import data_state, row_views, scanning, uploads, views
from studio.ui.data_state import Checked, DataState, Offer
from studio.ui.failures import box_of
from studio.ui.frame import Frame
from studio.ui.page import components
from studio.ui.tabs.data import SOURCE, SOURCE_NAMES, VALIDATION, DataTab

FIRST = 20
"""Rows that are streamed for a look at a data set that is not here yet."""


def connect(tab: DataTab, frame: Frame, read_again: Callable[..., Any], show_and_scan: Callable[[Any], Any]) -> None:
    """Connect the events. A token is handed to the call that needs it, and kept nowhere."""
    language = frame.language
    parts, controls = frame.form.parts, tab.source
    sources = {name: parts[SOURCE + name] for name in SOURCE_NAMES}

    def ask_hub(name: str, revision: str, token: str) -> Iterator[dict[Any, Any]]:
        yield {controls.hub_status: views.waiting("ui.hub.asking", language)}
        try:
            with panics_as_errors():
                offer, state = _offer(name.strip(), revision.strip() or None, token.strip() or None)
        except Exception as error:  # shown in the place of what the Hub would have told
            yield {controls.hub_status: box_of(error, language), controls.get: gr.update(interactive=False)}
            return
        subset = next(iter(offer.parts), None)
        yield {
            controls.offer: offer,
            tab.state: state,
            tab.checked: Checked(),
            controls.hub_status: row_views.offer_html(offer, language),
            controls.get: gr.update(interactive=True),
            controls.subset: gr.update(choices=list(offer.parts), value=subset),
            **_splits(offer, subset),
            **tab.render(state, Checked()),
        }

    def _splits(offer: Offer, subset: str | None) -> dict[Any, Any]:
        splits = list(offer.parts.get(subset or "", ()))
        chosen = "train" if "train" in splits else next(iter(splits), None)
        return {
            controls.split: gr.update(choices=splits, value=chosen),
            tab.split.own: gr.update(choices=[split for split in splits if split != chosen]),
        }

    def get_hub(
        request: gr.Request, name: str, revision: str, token: str, subset: str | None, split: str | None
    ) -> Iterator[dict[Any, Any]]:
        source = SourceConfig(
            kind="hub",
            name=name.strip(),
            subset=subset or None,
            split=split or None,
            revision=revision.strip() or None,
        )
        session = f"{request.session_hash} hub"
        clean_token = token.strip() or None
        work = scanning.begin(session, lambda on_progress: _fetch(source, clean_token))
        for _ in scanning.follow(session, work):
            yield {controls.hub_status: views.waiting("ui.hub.getting", language)}
        if work.error:
            yield {controls.hub_status: box_of(work.error, language)}
            return
        yield {
            controls.hub_status: views.hint("ui.hub.here", language),
            controls.token: "",
            **{p: getattr(source, n) for n, p in sources.items()},
        }

    def choose_split(
        kind: str, upload: str | None, own: str | None, before: str, name: str | None, source: str
    ) -> dict[Any, Any]:
        if kind == "file":
            name = str(uploads.keep(upload)) if upload else name if before == "file" else None
        elif kind == "split":
            name = own or (name if before == "split" else None)
        waits = kind in ("file", "split") and not name
        hints = {"file": "ui.split.waits_file", "split": "ui.split.waits_split"}
        key = "ui.split.only_hub" if kind == "split" and source != "hub" else hints.get(kind, "")
        hint = views.hint(key, language) if waits else gr.skip()
        return {
            parts[VALIDATION + "kind"]: "none" if waits else kind,
            parts[VALIDATION + "name"]: None if waits or kind in ("none", "fraction") else name,
            parts[VALIDATION + "fraction"]: gr.update(visible=kind == "fraction"),
            parts[VALIDATION + "group"]: gr.update(visible=kind == "fraction"),
            tab.split.upload: gr.update(visible=kind == "file"),
            tab.split.own: gr.update(visible=kind == "split" and source == "hub"),
            tab.split.status: hint,
        }

    hub_inputs = [controls.hub_id, controls.revision, controls.token]
    offered = [tab.state, tab.checked, *components(controls)]
    answered = list(dict.fromkeys([*offered, tab.split.own, *tab.rendered]))
    gr.on([controls.ask.click, controls.hub_id.submit], ask_hub, hub_inputs, answered)
    splits = [controls.split, tab.split.own]
    controls.subset.input(_splits, [controls.offer, controls.subset], splits)
    got = controls.get.click(
        get_hub,
        [*hub_inputs, controls.subset, controls.split],
        [controls.hub_status, controls.token, *sources.values()],
    )
    read_again(got, is_own=True)
    file = {sources["kind"]: "file", controls.kind: "file"}
    forgotten = dict.fromkeys([controls.upload, controls.encoding, controls.sheet])
    controls.material.connect(frame, file | forgotten, sources["name"], read_again)
    split = tab.split
    validation = [parts[VALIDATION + "kind"], parts[VALIDATION + "name"]]
    changed = gr.on(
        [split.kind.change, split.upload.upload, split.upload.clear, split.own.input],
        choose_split,
        [split.kind, split.upload, split.own, *validation, sources["kind"]],
        [*validation, parts[VALIDATION + "fraction"], parts[VALIDATION + "group"], *components(split)],
    )
    show_and_scan(changed)


def _offer(name: str, revision: str | None, token: str | None) -> tuple[Offer, DataState]:
    """Ask the Hub for a data set's parts, and stream its first rows."""
    from studio.data import hub_datasets

    parts = hub_datasets.structure(name, revision, token)
    subset = next(iter(parts), None)
    splits = list(parts.get(subset or "", ()))
    split = "train" if "train" in splits else next(iter(splits), None)
    source = SourceConfig(kind="hub", name=name, subset=subset, split=split, revision=revision)
    return Offer(name, parts), data_state.of_rows(hub_datasets.first_rows(source, FIRST, token))


def _fetch(source: SourceConfig, token: str | None) -> Any:
    from studio.data import hub_datasets

    return hub_datasets.fetch(source, token)
