"""Put the models of all columns onto the device, for the length of a visit."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio import runs
from studio.compare.columns import NOW, Column
from studio.config import RunConfig
from studio.data import tokens
from studio.errors import CompareError, ModelError, StudioError
from studio.files import sha256
from studio.i18n import Message, message
from studio.model import beside, fit, hub_adapter, load, probe, quantization, saved, uploaded
from studio.model.adapter import TUNED, ModelHost
from studio.model.fit import Fit
from studio.model.load import Located
from studio.model.probe import Probe
from studio.model.saved import WEIGHTS
from studio.runs import Run, checkpoints

BASE = "__base__"
"""PEFT's name of the base in a batch."""


@dataclass(frozen=True)
class Source:
    """Where a column's adapter comes from."""

    folder: Path | None
    """None for the one that is being trained."""
    run: Run | None
    """The run that made it, where that is known."""
    made_for: dict[str, Any] | None = None
    """The base it was made for, where its folder does not say so."""
    note: Message | None = None


@dataclass(frozen=True)
class Models:
    """What answers: base and adapters in one model, on the device."""

    model: Any
    """A PEFT model, or the base alone where no adapter takes part."""
    tokenizer: Any
    stops: list[int]
    """Tokens that end an answer."""
    names: tuple[str, ...]
    """PEFT's name of each column's adapter; `BASE` for the base."""
    mixes: bool
    """Whether all columns can be one batch."""

    @contextmanager
    def using(self, name: str | None) -> Iterator[None]:
        """Let one adapter (or the base) answer whole batches, where the columns cannot be mixed."""
        if name is None or not hasattr(self.model, "peft_config"):
            yield
            return
        with _using(self.model, name):
            yield


@contextmanager
def _using(model: Any, name: str) -> Iterator[None]:
    before = beside.active(model)
    beside.use(model, None if name == BASE else name)
    try:
        yield
    finally:
        beside.put_back(before)


@dataclass(frozen=True)
class Placed(Models):
    """The models of all columns, and what a comparison of them rests on."""

    sources: tuple[Source | None, ...]
    """None for the base."""
    hashes: tuple[str | None, ...]
    """SHA-256 of each adapter: of its file, or of its weights in memory while it is trained."""
    base_sha256: str
    probe: Probe
    notes: tuple[Message, ...]
    fits: tuple[Fit | None, ...]
    """How it is known of each column's adapter that it was made for this base; None for the base."""

    @property
    def unproven(self) -> tuple[Message, ...]:
        """What is not known of the adapters, and would have to be."""
        words = {"shapes": "compare.unproven.base", "vouched": "compare.unproven.vouched"}
        return tuple(
            message(words[found.known], number=number, made_for=found.made_for)
            for number, found in enumerate(self.fits, 1)
            if found and found.known in words
        )


@contextmanager
def placed(
    host: ModelHost, run: Run, config: RunConfig, columns: Sequence[Column], training: Run | None
) -> Iterator[Placed]:
    """Place the columns' models, and take them away again from a model that trains.

    The caller keeps the state of the model (`adapter.untouched`). Raises CompareError for an adapter that is not there
    or that was made for another base.
    """
    if training is not None and training.id != run.id:
        raise CompareError("compare.training_other", run=training.id)
    if training is not None and host.adapter != run.id:
        raise CompareError("compare.not_yet", run=run.id)
    sources = [None if column.is_base else source(run, column, training) for column in columns]
    located = host.loaded.located if training is not None and host.loaded else located_base(config)
    fits = [found and _fit(found, located) for found in sources]
    if training is None:
        host.base(config.model, located)
    assert host.loaded is not None
    assert host.probe is not None
    loaded = host.loaded
    mine = set(host.peft.peft_config) if host.peft is not None else set()
    aliases: list[str] = []
    names: list[str] = []
    try:
        for found, column in zip(fits, columns, strict=True):
            names.append(_name(host, found, column, aliases))
        model = loaded.model if host.peft is None else host.peft
        refused = _refusal(model, names, loaded.tokenizer.pad_token_id)
        notes = [found.note for found in sources if found and found.note]
        notes = [note for number, note in enumerate(notes) if note not in notes[:number]]
        if refused:
            notes.append(refused)
        yield Placed(
            model=model,
            tokenizer=loaded.tokenizer,
            stops=sorted(tokens.stop_ids(loaded.tokenizer, loaded.model.generation_config)),
            names=tuple(names),
            sources=tuple(sources),
            hashes=tuple(found and _hash(model, found) for found in sources),
            mixes=not refused and host.peft is not None and set(names) != {BASE},
            base_sha256=str(loaded.located.identity["weights"]),
            probe=host.probe,
            notes=tuple(notes),
            fits=tuple(fits),
        )
    finally:
        if host.peft is not None:
            beside.forget_names(host.peft)
            used = {name.partition("~")[0] for name in names} & set(host.peft.peft_config)
            kept = mine if training is not None or not used else used  # what is used is likely to be asked again
            beside.remove(host.peft, [*aliases, *(set(host.peft.peft_config) - kept)])


def located_base(config: RunConfig) -> Located:
    """Return where a run's base is; raises ModelError when it is not on this machine."""
    located = load.locate(config.model)
    if located is None:
        raise ModelError("model.not_here", id=config.model.id)
    return located


def _fit(found: Source, located: Located) -> Fit:
    """Judge an adapter before anything is loaded; the one that is being trained sits in its base."""
    if found.folder is None:
        return Fit(None, located.id, "weights")
    return fit.judge(saved.read(found.folder), located, found.made_for)


def source(run: Run, column: Column, training: Run | None) -> Source:
    """Find the adapter of a column; raises CompareError when there is none."""
    if column.adapter == NOW:
        return Source(None, run) if training is not None else _result(run)
    if column.step is not None:
        there = checkpoints.all_of(run.path)
        found = next((path for path in there if checkpoints.step_of(path) == column.step), None)
        if found is None:
            steps = ", ".join(str(checkpoints.step_of(path)) for path in there) or "–"
            raise CompareError("compare.no_step", run=run.id, step=column.step, steps=steps)
        return Source(found, run, run.resolved()["base"])
    if column.adapter.startswith(uploaded.PREFIX):
        return Source(uploaded.find(column.adapter), None)
    if re.fullmatch(r"[\w-]+", column.adapter) and not Path(column.adapter).is_dir():
        return _result(runs.find(column.adapter))
    if hub_adapter.is_named(column.adapter):
        return Source(hub_adapter.here(column.adapter), None)
    return Source(Path(column.adapter).expanduser(), _run_of(Path(column.adapter).expanduser()))


def _result(run: Run) -> Source:
    """Return a run's result, or its newest checkpoint while it has none."""
    if run.has_adapter:
        return Source(run.adapter, run)
    there = checkpoints.all_of(run.path)
    if not there:
        raise CompareError("compare.no_adapter", run=run.id)
    newest = checkpoints.newest_complete(run.path)
    note = message("compare.note.checkpoint", run=run.id, step=checkpoints.step_of(newest))
    return Source(newest, run, run.resolved()["base"], note)


def _run_of(folder: Path) -> Run | None:
    """Return the run that a folder lies in, if it does."""
    try:
        return runs.find(folder.resolve().relative_to(runs.folder()).parts[0])
    except (ValueError, IndexError, StudioError):
        return None


def _name(host: ModelHost, found: Fit | None, column: Column, aliases: list[str]) -> str:
    """Return PEFT's name of a column's adapter, loaded beside the others; another strength is an alias of it."""
    if found is None:
        return BASE
    name = TUNED if found.saved is None else host.load_adapter(found.saved, found.made_for)
    if column.strength == 1:
        return name
    alias = f"{name}~{len(aliases)}"
    beside.add_alias(host.peft, name, alias, column.strength)
    aliases.append(alias)
    return alias


def _hash(model: Any, found: Source) -> str:
    return beside.fingerprint(model, TUNED) if found.folder is None else sha256(found.folder / WEIGHTS)


def _refusal(model: Any, names: Sequence[str], pad: int) -> Message | None:
    """Return why these columns are not one batch: their rows are coupled (LLM.int8), or PEFT does not mix them.

    DoRA is not mixed, nor are models that join the batch with the tokens (OPT) or send tokens to experts. So the trial
    has several tokens, padding, and a second pass with a cache, as answers have. In others PEFT's names reach the wrong
    rows without an error (MPT), so each column must say alone what it says in the batch.
    """
    import torch

    if set(names) <= {BASE}:
        return None
    if quantization.couples_rows(model):
        return message("compare.note.in_turn_int8")
    ids = torch.arange(3, device=model.device).repeat(len(names), 1)
    mask = torch.ones_like(ids)
    mask[:, 0], ids[:, 0] = 0, pad
    settings = {"max_new_tokens": 2, "min_new_tokens": 2, "do_sample": False, "pad_token_id": pad}
    try:
        model.generate(input_ids=ids, attention_mask=mask, adapter_names=list(names), **settings)
        mixed = probe.logits(model, ids, mask, adapter_names=list(names))[:, -1]
    except (ValueError, NotImplementedError, RuntimeError, IndexError, TypeError, KeyError, AttributeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        beside.forget_names(model)
        detail = " ".join(str(error).split())[:200] or type(error).__name__
        return message("compare.note.in_turn", detail=detail)
    for number, name in enumerate(names):
        with _using(model, name):
            alone = probe.logits(model, ids, mask)[:, -1]
        apart = (mixed[number] - alone[number]).abs().max().item()
        if not apart <= _NEAR[model.dtype.itemsize] * alone[number].abs().max().item():
            return message("compare.note.in_turn", detail=f"Δ logits = {apart:.2g}")
    return None


_NEAR = {4: 1e-3, 2: 0.1}
"""How far the logits of a batch may be from those of a column alone, as a share of the largest, by bytes a number."""
