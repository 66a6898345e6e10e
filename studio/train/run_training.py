"""One run, from its settings to a saved adapter."""

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from studio import runs
from studio.config import RunConfig
from studio.data.prepare import PreparedData, prepare
from studio.errors import RunError
from studio.events import Changed
from studio.files import replace_folder, size_of
from studio.i18n import message
from studio.model import adapter, load, processes, skeleton
from studio.model.adapter import ModelHost
from studio.model.hardware import device, free_memory_each, versions
from studio.model.load import Located
from studio.runs import RunWriter, State, checkpoints
from studio.train import distributed, plan, preflight, recorded_rows, resume, samples, schedule
from studio.train.best_adapter import BestAdapter
from studio.train.interrupts import NonFiniteLoss, StopRequested
from studio.train.plan import Plan


def train(
    run: RunWriter,
    host: ModelHost,
    run_jobs: Callable[[], None],
    *,
    resumed: bool = False,
    token: str | None = None,
) -> None:
    """Carry out a run, or go on with it from its newest checkpoint; its directory says how it ended.

    `run_jobs` is called between two micro-batches and runs short jobs of others. A stop that is asked for keeps the
    adapter as it is then, a pause makes a checkpoint, a cancel keeps what is kept already. `token` is for fetching the
    model. Errors are the caller's to record; RunError when a resumed run's settings, data or base are not those it
    began with. Where several processes train together, this is the first one's part; see `distributed.train_worker`.
    """
    config = run.config()
    resume_from = checkpoints.newest_complete(run.path) if resumed and checkpoints.all_of(run.path) else None
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

    run.enter(State.PREPARING)
    best = BestAdapter(
        run, config.train.keep == "best", config.train.early_stopping, lambda folder: _save(folder, host)
    )
    trainer = None
    keep = True
    try:
        trainer = _prepared_trainer(run, config, host, on_progress, on_micro_batch, best, token, resume_from, resumed)
        trainer.fit(resume_from)
        ended = State.FINISHED
    except NonFiniteLoss as error:
        raise _non_finite_error(run, trainer, host) from error
    except StopRequested as stop:
        ended, keep = (State.PAUSED if stop.action == "pause" else State.STOPPED), stop.action == "stop"
        if stop.action == "pause" and trainer:
            trainer.save_last_checkpoint()
    if keep:
        if trainer:
            host.gather()
        _save_result(run, host, best, trainer, resume_from)
    host.remove_adapter()
    run.enter(ended)


def _prepared_trainer(
    run: RunWriter,
    config: RunConfig,
    host: ModelHost,
    on_progress: Callable[[float | None], None],
    on_micro_batch: Callable[[], None],
    best: BestAdapter,
    token: str | None,
    resume_from: Path | None,
    resumed: bool,
) -> Any:
    with distributed.broadcast_on_failure():
        planned, prepared, located = _prepare(run, config, host, on_progress, token, resume_from)
        best.rewind_to(checkpoints.step_of(resume_from) if resume_from else 0)
    processes.broadcast(distributed.Start(planned, resume_from, resumed))
    rows = prepared.train, prepared.validation
    from studio.train.trainer import build_trainer

    trainer = build_trainer(run, config, planned, host, *rows, on_micro_batch, best, resumed=resumed)
    seconds = 0.0
    if config.samples.mode != "off":  # it measures the device, for half a second
        seconds = preflight.training_seconds(config, planned, prepared.report, located) or 0.0
        seconds /= processes.world_size()
    began_at = (checkpoints.step_of(resume_from) if resume_from else 0) if resumed else None
    if processes.sharded():
        run.note(message("log.launch.no_strip"))
    else:
        with contextlib.suppress(StopRequested):  # all processes are asked right after
            trainer.strip = samples.start(run, host, prepared, planned.steps, seconds, on_progress, began_at)
    distributed.raise_if_requested(run)
    return trainer


def _prepare(
    run: RunWriter,
    config: RunConfig,
    host: ModelHost,
    on_progress: Callable[[float | None], None],
    token: str | None,
    resume_from: Path | None,
) -> tuple[Plan, PreparedData, Located]:
    """Fetch and load the base, read the rows, decide how the run will be carried out, and record all of it."""
    on_progress(None)
    run.enter_phase("fetching")
    located = load.fetch(config.model, on_progress, token)
    processes.broadcast(located.id)
    on_progress(None)
    run.enter_phase("reading")
    prepared = prepare(config, load.load_tokenizer(config.model), on_progress, runs.day_of(run.id))
    fingerprints = {"data": prepared.sha256, "base": located.identity}
    if resume_from:
        resume.require_same(run, fingerprints)
        distributed.require_same_sharding(run, resume_from)
    _note_problems(run, prepared)
    recorded_rows.write_rows(run.path, prepared.train, prepared.validation)
    on_progress(None)
    decided = run.resolved().get("carried_out", {}) if resume_from else {}
    before = {name: value for name, value in decided.items() if name in plan.DECIDED}
    planned = _plan(run, config, located, prepared, host, before)
    run.enter_phase("loading")
    host.remove_adapter()
    loaded = host.base(config.model, located)
    for choice in loaded.choices:
        run.record_choice(choice.name, choice.value, choice.reason)
    on_progress(None)
    mapping = prepared.report.detected.mapping.model_dump(mode="json")
    config_at_start = run.started_config().model_dump(mode="json")
    run.resolve(
        {**fingerprints, "config": config_at_start, "mapping": mapping, "versions": versions(), "device": device()}
    )
    return planned, prepared, located


def _plan(
    run: RunWriter, config: RunConfig, located: Located, prepared: PreparedData, host: ModelHost, before: dict[str, Any]
) -> Plan:
    rows, free = len(prepared.train), free_memory_each(host.held)
    planned = plan.make(config, located, rows=rows, longest=prepared.longest, free=free, before=before)
    _record_plan(run, planned)
    if not planned.memory.is_whole:
        skeleton.require_trainable(located.path, config.lora)
    run.resolve(_plan_facts(planned, prepared))
    room = shutil.disk_usage(run.path).free + size_of(run.path)  # what a resumed run has kept is in its need
    if full := preflight.too_large_for(planned, room):
        raise full
    return planned


def _plan_facts(planned: Plan, prepared: PreparedData) -> dict[str, Any]:
    """Return what the run does in fact where the settings left it open, for whoever changes it later."""
    return {
        "carried_out": {name: getattr(planned.settings, name) for name in (*plan.DECIDED, *schedule.SHORTENED)},
        "trained_parameters": planned.skeleton.trained,
        "trained_modules": planned.skeleton.modules,
        "memory_bytes": round(planned.memory.total),
        "most_tokens": planned.most_tokens,
        "cut_at": prepared.report.cut_at,
    }


def _note_problems(run: RunWriter, prepared: PreparedData) -> None:
    report = prepared.report
    run.note(message("log.rows", rows=report.rows, usable=report.usable, validation=report.validation))
    for problem in report.problems:
        run.note(problem.message, "warning")


def record_changes(run: RunWriter, settings: dict[str, Any]) -> None:
    """Record settings that are changed as the run is resumed, as an event and in `resolved.json`."""
    if settings:
        decided = {n: v for n, v in run.resolved().get("carried_out", {}).items() if f"train.{n}" not in settings}
        run.resolve({"carried_out": decided})
        step = run.status().step
        changes = [*run.resolved().get("changes", []), {"step": step, "settings": settings}]
        run.resolve({"changes": changes})
        run.emit(Changed(step=step, settings=settings))


def _save(folder: Path, host: ModelHost) -> None:
    assert host.loaded is not None
    adapter.save(host.peft, host.loaded.tokenizer, folder, host.loaded.located.identity, host.whole)


def _save_result(run: RunWriter, host: ModelHost, best: BestAdapter, trainer: Any, resume_from: Path | None) -> None:
    """Save the best adapter where that is to be kept, else the one as it is, else the one that the run went on from."""
    run.enter_phase("saving")
    if best.adapter.exists():
        _copy(best.adapter, run.adapter)
        run.note(message("log.best", step=best.step, loss=f"{best.loss:.3f}"))
    elif trainer and trainer.state.global_step:
        _save(run.adapter, host)
    elif resume_from and not run.has_adapter:
        adapter.save_from_checkpoint(resume_from, run.adapter, run.resolved()["base"])


def _copy(folder: Path, to: Path) -> None:
    replace_folder(to, lambda draft: shutil.copytree(folder, draft, dirs_exist_ok=True))


def _non_finite_error(run: RunWriter, trainer: Any, host: ModelHost) -> RunError:
    """Keep the last adapter that was good, and return the error to raise."""
    step = trainer.state.global_step + 1
    rate = run.config().train.learning_rate
    good = trainer.restore_last_finite()
    host.gather()
    if good:
        _save(run.adapter, host)
        run.note(message("log.kept_good", step=good), "warning")
    if skipped := trainer.overflowed:
        return RunError("run.not_finite_float16", step=step, rate=rate, skipped=skipped)
    return RunError("run.not_finite", step=step, rate=rate)


def _record_plan(run: RunWriter, plan: Plan) -> None:
    """Record what the plan has chosen, what it expects, and what will be trained."""
    for choice in plan.choices:
        run.record_choice(choice.name, choice.value, choice.reason)
    run.note(plan.trained)
    for warning in plan.warnings:
        run.note(warning, "warning")
