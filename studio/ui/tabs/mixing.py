"""The mix of adapters, under the columns that are added: which, how much of each, how; saved as one, and measured."""

import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from studio import gpu, runs
from studio.compare import mixes
from studio.compare.columns import NOW, Column, MixRequest
from studio.compare.mixes import Mix
from studio.errors import AccessError, CompareError, StudioError
from studio.i18n import message, text
from studio.model import adapter_mix
from studio.style.request import StyleRequest
from studio.ui import comparable, jobs, launch, style_views, views
from studio.ui.comparable import MIX
from studio.ui.failures import box
from studio.ui.words import Words

PARTS = 3
WEIGHTS = (70, 30, 30)
"""Weights in percent to begin with."""
MAX_WEIGHT = 150
KIND = "mix style"


class MixEditor:
    """The parts of a mix, visible while a column is one."""

    def __init__(self, words: Words):
        self.language = words.language
        self.adapters: list[gr.Dropdown] = []
        self.weights: list[gr.Slider] = []
        with gr.Column(visible=False, elem_id="mix") as self.row:
            words.hint("ui.mix.about")
            with gr.Row(elem_classes="extra"):
                for number, weight in enumerate(WEIGHTS, 1):
                    with gr.Column(min_width=240, elem_id=f"mix-{number}"):
                        self.adapters.append(words.make(gr.Dropdown, label=f"ui.mix.adapters.{number}", choices=[]))
                        self.weights.append(
                            words.make(
                                gr.Slider,
                                label=f"ui.mix.weights.{number}",
                                minimum=0,
                                maximum=MAX_WEIGHT,
                                step=5,
                                value=weight,
                            )
                        )
            with gr.Row(elem_classes="extra"):
                self.combination = words.make(
                    gr.Dropdown,
                    label="ui.mix.combination",
                    choices={name: f"ui.mix.combinations.{name}" for name in adapter_mix.COMBINATIONS},
                    value=adapter_mix.COMBINATIONS[0],
                    elem_id="mix-combination",
                    scale=3,
                    min_width=240,
                )
                self.density = words.make(
                    gr.Slider,
                    label="ui.mix.density",
                    minimum=5,
                    maximum=100,
                    step=5,
                    value=round(100 * mixes.DENSITY),
                    visible=False,
                    scale=4,
                    min_width=240,
                )
            with gr.Row(elem_classes="jumps"):
                self.save = words.button("ui.mix.save", size="sm", min_width=160, elem_id="mix-save")
                self.file = words.make(
                    gr.DownloadButton, label="ui.mix.download", size="sm", min_width=160, visible=False
                )
                self.measure = words.button("ui.mix.measure", size="sm", min_width=160, elem_id="mix-measure")
                self.stop = words.button("ui.score.stop", size="sm", interactive=False, min_width=90)
            self.status = gr.HTML(elem_id="mix-said")

    @property
    def inputs(self) -> list[Any]:
        """What says what the mix is, as `mix_of` takes it."""
        parts = zip(self.adapters, self.weights, strict=True)
        return [*(control for part in parts for control in part), self.combination, self.density]

    def connect(self, run: gr.Dropdown, open_: gr.State, who: list[gr.Dropdown]) -> None:
        """Connect the events; `who` says what each added column is, and `open_` whether it is there."""
        language = self.language

        def show_mix(run_id: str | None, are_open: tuple[bool, ...], *rest: Any) -> dict[Any, Any]:
            chosen, adapters = rest[: len(who)], rest[len(who) :]
            if not (run_id and any(is_open and kind == MIX for is_open, kind in zip(are_open, chosen, strict=True))):
                return {self.row: gr.update(visible=False)}
            choices = [
                each for each in _offered(run_id, language) if each[1] != MIX and not each[1].startswith("base+")
            ]
            known = [name for _, name in choices]
            names = [name if name in known else None for name in adapters]
            if not any(names):
                names[:2] = [*known[:1], *[name for name in known if not name.startswith("step-")][1:2]][:2]
                names = [*names, None, None, None][:PARTS]
            parts = zip(self.adapters, names, strict=True)
            return {
                self.row: gr.update(visible=True),
                **{part: gr.update(choices=[(text("ui.mix.none", language), ""), *choices], value=name or "")
                   for part, name in parts},
            }  # fmt: skip

        def save(run_id: str | None, *values: Any) -> Iterator[dict[Any, Any]]:
            if runs.is_restricted():
                raise AccessError("access.guest")
            target = runs.find(_required(run_id))
            yield {self.status: views.paragraph(message("ui.mix.saving"), language, "hint")}
            try:
                saved = gpu.thread().save_mix(MixRequest(target.id, mix_column(values))).result()
            except StudioError as error:
                yield {self.status: box(error.message, language)}
                return
            packed = shutil.make_archive(
                str(launch.temporary() / saved.folder.name), "zip", saved.folder.parent, saved.folder.name
            )
            name = views.column_label(Column(adapter=saved.column), language)
            yield {
                self.status: views.paragraph(message("ui.mix.saved", name=name), language),
                self.file: gr.update(value=packed, visible=True),
                **{part: gr.update(choices=_offered(run_id, language)) for part in who},
            }

        def measure(request: gr.Request, run_id: str | None, *values: Any) -> Iterator[dict[Any, Any]]:
            if runs.is_restricted():
                raise AccessError("access.guest")
            target, column = runs.find(_required(run_id)), mix_column(values)
            mix = mixes.outside_of(column.mix, target)
            done = ""
            yield {self.measure: gr.update(interactive=False), self.stop: gr.update(interactive=True)}
            try:
                for style in mixes.runs_of(mix):
                    title = views.paragraph(
                        message("ui.mix.style_of", name=views.run_name(style.id)), language, "section"
                    )
                    wanted = StyleRequest(style.id, (Column(adapter=NOW), Column(adapter=str(mix))), prompted=False)
                    job = jobs.keep(request, KIND, gpu.thread().style(wanted))
                    report = None
                    for so_far in job.updates():
                        report = so_far.report
                        yield {self.status: done + title + style_views.progress(so_far, language)}
                    if report is None:
                        break
                    done += title + style_views.figures(report, language)
            except StudioError as error:
                done += box(error.message, language)
            if not done:
                done = views.paragraph(message("ui.mix.no_style"), language, "hint")
            yield {
                self.status: done,
                self.measure: gr.update(interactive=True),
                self.stop: gr.update(interactive=False),
            }

        def stop(request: gr.Request) -> None:
            jobs.stop(request, KIND)

        gr.on(
            [open_.change, *(each.change for each in who)],
            show_mix,
            [run, open_, *who, *self.adapters],
            [self.row, *self.adapters],
        )
        self.combination.input(lambda name: gr.update(visible=adapter_mix.prunes(name)), self.combination, self.density)
        self.save.click(save, [run, *self.inputs], [self.status, self.file, *who])
        outputs = [self.status, self.measure, self.stop]
        self.measure.click(measure, [run, *self.inputs], outputs)
        self.stop.click(stop, None, None, concurrency_limit=None)


def _offered(run_id: str | None, language: str) -> list[tuple[str, str]]:
    return comparable.who(run_id, comparable.comparable(), language)


def _required(run_id: str | None) -> str:
    if not run_id:
        raise CompareError("ui.no_run")
    return run_id


def mix_column(values: Sequence[Any], strength: float | None = 100) -> Column:
    """Return the column of the values of `MixEditor.inputs`, at a strength in percent; raises CompareError."""
    *parts, combination, density = values
    chosen = [(name, (weight or 0) / 100) for name, weight in zip(parts[::2], parts[1::2], strict=True) if name]
    mix = Mix(tuple(chosen), combination, (density or 0) / 100)
    return Column(adapter=str(mix), strength=(100 if strength is None else strength) / 100)
