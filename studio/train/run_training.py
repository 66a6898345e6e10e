"""One run, from its settings to a saved adapter."""

import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from studio import runs
from studio.config import RunConfig
from studio.data import provenance
from studio.data.prepare import PreparedData, prepare, table
from studio.errors import RunError
from studio.events import Changed
from studio.files import replace_folder, size_of
from studio.i18n import message
from studio.model import adapter, load, processes, skeleton
from studio.model.adapter import ModelHost
from studio.model.hardware import device, free_memory_each, versions
from studio.model.load import Located
from studio.runs import RunWriter, State, checkpoints
from studio.train import distributed, plan, preflight, recorded_rows, resume, samples, setting_warnings, start_adapter
from studio.train.best_adapter import BestAdapter, BestStyle, LastSound
from studio.train.interrupts import NonFiniteLoss, StopRequested
from studio.train.plan import Plan


def train(
    run: RunWriter,
    host: ModelHost,
    run_jobs: Callable[[], None],
    *,
    resumed: bool = False,
    token: str | None = None,
    open_meter: samples.OpenMeter | None = None,
    visited: bool = True,
) -> None:
    """Carry out a run, or resume it from its newest checkpoint; its directory says how it ended.

    `run_jobs` is called between two micro-batches and runs short jobs of others. A stop keeps the adapter as it is
    then, a pause makes a checkpoint, a cancel keeps what is saved already. `token` is for downloading the model, and
    `open_meter` makes what measures the style of the sample answers. A run that is `visited` may be compared with its
    base meanwhile, for whose proof the base is probed first. Errors are the caller's to record; RunError when
    a resumed run's settings, data or base are not those it began with. Where several processes train together, this
    is the main process's part; see `distributed.train_worker`.
    """
    config = run.config()
    resume_from = checkpoints.newest_complete(run.path) if resumed and checkpoints.all_of(run.path) else None
    resume_step = checkpoints.step_of(resume_from) if resume_from else 0
    distributed.clear_failures(run)
    processes.broadcast(run.path)

    def on_progress(share: float | None = None) -> None:
        if action := run.requested():
            raise StopRequested(action)
        if share is not None:
            run.advance(progress=share)

    def on_micro_batch() -> None:
        run_jobs()
        distributed.raise_if_requested(run)

    def save(folder: Path) -> None:
        adapter.save(host.peft, host.loaded.tokenizer, folder, host.loaded.located.identity, host.whole)

    run.enter(State.PREPARING)
    best = BestAdapter(run, save if config.train.keep == "best" else None, config.train.early_stopping)
    best_style = BestStyle(run, save if config.train.keep == "style" else None)
    guarded = config.train.method != "sft" and config.train.keep == "last" and config.preference.style_guard == "auto"
    last_sound = LastSound(run, save if guarded else None)
    watching = last_sound if guarded else best_style
    trainer: Any = None
    keep, ended = True, State.FINISHED
    try:
        try:
            planned, prepared, located = _prepare(run, config, host, on_progress, token, resume_from, visited)
            best.rewind_to(resume_step)
            best_style.rewind_to(resume_step)
            last_sound.rewind_to(resume_step)
        except BaseException:
            processes.broadcast(None)  # there is nothing to train
            raise
        processes.broadcast((planned, resume_from, resumed))
        from studio.train.trainer import build_trainer

        rows = prepared.train, prepared.validation
        trainer = build_trainer(run, config, planned, host, *rows, on_micro_batch, best, resumed=resumed)
        if config.train.method == "sft":
            from studio.train import frozen_layers

            frozen_layers.keep(run, planned, trainer, resumed=resume_from is not None)
        if processes.sharded():
            run.note(message("log.launch.no_strip"))
        elif config.samples.mode != "off":

            def open_strip() -> samples.SampleWriter | None:
                seconds = preflight.training_seconds(config, planned, prepared.report, located) or 0.0
                seconds /= processes.world_size()
                resumed_at = resume_step if resumed else None
                return samples.start(
                    run, host, prepared, planned.steps, seconds, on_progress, resumed_at, watching, open_meter
                )

            trainer.open_strip = open_strip
            trainer.is_exhausted = lambda: last_sound.is_exhausted
        if config.train.method != "sft":
            run.enter_phase("reference")
            trainer.prepare_reference(functools.partial(recorded_rows.keep_reference, run.path))
        distributed.raise_if_requested(run)
        trainer.fit(resume_from)
    except NonFiniteLoss as error:
        step, rate = trainer.state.global_step + 1, config.train.learning_rate
        last_finite = trainer.restore_last_finite()
        host.gather()
        if last_finite:
            save(run.adapter)
            run.note(message("log.kept_good", step=last_finite), "warning")
        if skipped := trainer.overflowed:
            raise RunError("run.not_finite_float16", step=step, rate=rate, skipped=skipped) from error
        raise RunError("run.not_finite", step=step, rate=rate) from error
    except StopRequested as stop:
        ended, keep = (State.PAUSED if stop.action == "pause" else State.STOPPED), stop.action == "stop"
        if stop.action == "pause" and trainer:
            trainer.save_last_checkpoint()
    if keep:
        if trainer:
            host.gather()
        run.enter_phase("saving")
        kept = best_style if config.train.keep == "style" else last_sound if last_sound.is_exhausted else best
        if kept.adapter.exists():
            replace_folder(run.adapter, lambda draft: shutil.copytree(kept.adapter, draft, dirs_exist_ok=True))
            run.resolve({"kept_step": kept.step})
            run.note(kept.reason)
        elif trainer and trainer.state.global_step:
            save(run.adapter)
            if config.train.keep == "style":
                run.note(message("log.style.none_kept"), "warning")
        elif resume_from and not run.has_adapter:
            adapter.save_from_checkpoint(resume_from, run.adapter, run.resolved()["base"])
    host.remove_adapter()
    run.enter(ended)


def _prepare(
    run: RunWriter,
    config: RunConfig,
    host: ModelHost,
    on_progress: Callable[[float | None], None],
    token: str | None,
    resume_from: Path | None,
    visited: bool,
) -> tuple[Plan, PreparedData, Located]:
    """Fetch and load the base, read the rows, decide how the run will be carried out, and record all of it."""
    on_progress(None)
    run.enter_phase("fetching")
    located = load.fetch(config.model, on_progress, token)
    processes.broadcast(located.id)
    start_adapter.check_base(run, located)
    on_progress(None)
    run.enter_phase("reading")
    prepared = prepare(config, load.load_tokenizer(config.model), on_progress, runs.day_of(run.id))
    report = prepared.report
    fingerprints = {"data": prepared.sha256, "base": located.identity}
    if resume_from:
        resume.require_same(run, fingerprints)
        if not (resume_from / ("optimizer.bin" if processes.sharded() else "optimizer.pt")).exists():
            raise RunError("run.was_whole" if processes.sharded() else "run.was_sharded", run=run.id)
    run.note(message("log.rows", rows=report.rows, usable=report.usable, validation=report.validation))
    for problem in report.problems:
        run.note(problem.message, "warning")
    recorded_rows.write_rows(run.path, prepared.train, prepared.validation)
    on_progress(None)
    decided = run.resolved().get("carried_out", {}) if resume_from else {}
    planned = plan.make(
        config,
        located,
        rows=len(prepared.train),
        longest=prepared.longest,
        free=free_memory_each(host.base_bytes),
        before={name: value for name, value in decided.items() if name in plan.DECIDED},
    )
    continued = [start_adapter.shape_choice(config, None, run.resolved().get("start"))] if config.model.adapter else []
    for choice in (*continued, *planned.choices):
        run.record_choice(choice.name, choice.value, choice.reason)
    run.note(planned.trained)
    for warning in (*planned.warnings, *setting_warnings.find(config, located, len(prepared.train))):
        run.note(warning, "warning")
    if not planned.memory.is_whole:
        skeleton.require_trainable(located.path, config.lora)
    run.resolve(
        {
            "carried_out": {name: getattr(planned.settings, name) for name in (*plan.DECIDED, *plan.SHORTENED)},
            "trained_parameters": planned.skeleton.trained,
            "trained_modules": planned.skeleton.modules,
            "memory_bytes": round(planned.memory.total),
            "most_tokens": planned.most_tokens,
            "cut_at": report.cut_at,
        }
    )
    preflight.require_disk(planned, shutil.disk_usage(run.path).free + size_of(run.path))  # what is kept is in the need
    run.enter_phase("loading")
    host.remove_adapter()
    loaded = host.base(config.model, located, probed=visited)
    for choice in loaded.choices:
        run.record_choice(choice.name, choice.value, choice.reason)
    on_progress(None)
    mapping = report.detected.mapping.model_dump(mode="json")
    if (origin := provenance.count(table(config.data), prepared.train_numbers)) is not None:
        run.resolve({"material": origin})
    if (judgements := provenance.count_judgements(table(config.data), prepared.train_numbers)) is not None:
        run.resolve({"judgements": judgements})
    config_at_start = run.started_config().model_dump(mode="json")
    run.resolve(
        {**fingerprints, "config": config_at_start, "mapping": mapping, "versions": versions(), "device": device()}
    )
    return planned, prepared, located


def record_changes(run: RunWriter, settings: dict[str, Any]) -> None:
    """Record settings that are changed as the run is resumed, as an event and in `resolved.json`."""
    if settings:
        known, step = run.resolved(), run.status().step
        decided = {n: v for n, v in known.get("carried_out", {}).items() if f"train.{n}" not in settings}
        changes = [*known.get("changes", []), {"step": step, "settings": settings}]
        run.resolve({"carried_out": decided, "changes": changes})
        run.emit(Changed(step=step, settings=settings))
