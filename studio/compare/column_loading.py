"""Load the models of all columns onto the device, and unload them afterwards."""

import json
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
from studio.errors import CompareError, StudioError
from studio.files import sha256
from studio.generation.generate import BASE_MODEL, ModelSet, use_adapter
from studio.generation.job_context import JobContext
from studio.i18n import Message, message
from studio.journal import digest
from studio.model import (
    adapter_files,
    adapter_mix,
    compatibility,
    hub_adapters,
    load,
    multi_adapter,
    probe,
    quantization,
    uploaded_adapters,
)
from studio.model.adapter import TUNED, ModelHost
from studio.model.adapter_files import WEIGHTS
from studio.model.compatibility import Compatibility
from studio.model.load import Located
from studio.model.probe import Probe
from studio.runs import Run, checkpoints


@dataclass(frozen=True)
class AdapterSource:
    """Where a column's adapter comes from."""

    folder: Path | None
    """None for the one that is being trained."""
    run: Run | None
    """The run that made it, where that is known."""
    made_for: dict[str, Any] | None = None
    """The base it was made for, where its folder does not say so."""
    note: Message | None = None


@dataclass(frozen=True)
class LoadedColumns(ModelSet):
    """The models of all columns, with what the proof of a comparison needs."""

    sources: tuple[tuple[AdapterSource, ...], ...]
    """Of each column: none for the base, one for an adapter, several for a mix."""
    hashes: tuple[str | None, ...]
    """SHA-256 of each adapter: of its file, or of its weights in memory while it is trained; of a mix, of what it is
    made of. None for the base."""
    base_sha256: str
    probe: Probe
    notes: tuple[Message, ...]
    fits: tuple[tuple[Compatibility, ...], ...]
    """How it is known of each of `sources` that it was made for this base."""

    @property
    def unproven(self) -> tuple[Message, ...]:
        """What is not known of the adapters, and would have to be for a proof."""
        keys = {"shapes": "compare.unproven.base", "vouched": "compare.unproven.vouched"}
        return tuple(
            message(keys[fit.known], number=number, made_for=fit.made_for)
            for number, fits in enumerate(self.fits, 1)
            for fit in fits
            if fit.known in keys
        )


@contextmanager
def load_columns(
    host: ModelHost,
    run: Run,
    config: RunConfig,
    columns: Sequence[Column],
    training: Run | None,
    keep_all: bool = False,
) -> Iterator[LoadedColumns]:
    """Load the columns' models, and remove them afterwards from a model that trains; raises CompareError.

    `keep_all` leaves all adapters where they are, so that columns can be loaded while others answer.
    """
    if training is not None and training.id != run.id:
        raise CompareError("compare.training_other", run=training.id)
    if training is not None and host.adapter != run.id:
        raise CompareError("compare.not_yet", run=run.id)
    sources = [
        () if column.is_base else tuple(find_adapter(run, part, training) for part in column.parts)
        for column in columns
    ]
    located = host.loaded.located if training is not None and host.loaded else load.require(config.model)
    # before anything is loaded
    fits = [tuple(_check_compatibility(source, located) for source in each) for each in sources]
    for column, each in zip(columns, fits, strict=True):
        _require_mixable(column, each)
    if training is None:
        host.base(config.model, located)
    loaded = host.loaded
    loaded_before = set(host.peft.peft_config) if host.peft is not None else set()
    aliases: list[str] = []
    names: list[str] = []
    used: set[str] = set()
    try:
        for fit, column in zip(fits, columns, strict=True):
            if not fit:
                names.append(BASE_MODEL)
                continue
            name, strength = _load(host, fit, column, used)
            if strength != 1:  # the adapter itself may be another column
                alias = f"{name}{_STRENGTH}{strength!r}".replace(".", "_")  # a module's name has no dot
                multi_adapter.add_alias(host.peft, name, alias, strength)
                aliases.append(alias)
                name = alias
            names.append(name)
        model = loaded.model if host.peft is None else host.peft
        obstacle = _batching_obstacle(model, names, loaded.tokenizer.pad_token_id)
        notes = [*(source.note for each in sources for source in each), obstacle]
        yield LoadedColumns(
            model=model,
            tokenizer=loaded.tokenizer,
            stops=sorted(tokens.stop_ids(loaded.tokenizer, loaded.model.generation_config)),
            names=tuple(names),
            mixes=not obstacle and host.peft is not None and set(names) != {BASE_MODEL},
            sources=tuple(sources),
            hashes=tuple(_hash(column, each, model) for column, each in zip(columns, sources, strict=True)),
            base_sha256=str(loaded.located.identity["weights"]),
            probe=host.probe,
            notes=tuple(note for number, note in enumerate(notes) if note and note not in notes[:number]),
            fits=tuple(fits),
        )
    finally:
        if host.peft is not None:
            multi_adapter.remove_batch_hooks(host.peft)
            used &= set(host.peft.peft_config)
            # what was used is likely to be used again
            remaining = loaded_before if training is not None or not used else used
            unused = set() if keep_all else set(host.peft.peft_config) - remaining
            multi_adapter.remove(host.peft, [*aliases, *unused])


@contextmanager
def load_idle_columns(job: JobContext, run: Run, columns: Sequence[Column]) -> Iterator[LoadedColumns]:
    """Load the columns' models as `load_columns`, without gradients; raises DeviceError while a run is active."""
    import torch

    job.require_idle()
    with torch.no_grad(), load_columns(job.host, run, run.config(), columns, None) as models:
        yield models


def _load(host: ModelHost, fits: Sequence[Compatibility], column: Column, used: set[str]) -> tuple[str, float]:
    """Load a column's adapter, or mix it; return its name in the PEFT model, which is added to `used`, and strength."""
    names = [TUNED if fit.saved is None else host.load_adapter(fit.saved, fit.made_for) for fit in fits]
    used |= set(names)
    if column.mix is None:
        return names[0], column.strength
    weights = [weight for _, weight in column.mix.taking_part]
    if len(names) == 1:
        return names[0], column.strength * weights[0]
    combination, density = column.mix.combination, column.mix.density
    name = f"mix-{digest(json.dumps([names, weights, combination, density]))[:24]}"
    if name not in host.peft.peft_config:
        adapter_mix.add(host.peft, names, weights, combination, density, name)
    used.add(name)
    return name, column.strength


def _require_mixable(column: Column, fits: Sequence[Compatibility]) -> None:
    if len(fits) < 2:
        return
    if any(fit.saved is None for fit in fits):
        raise CompareError("compare.mix.training")
    adapter_mix.require_mixable([fit.saved for fit in fits if fit.saved], column.mix.combination)


def _hash(column: Column, sources: Sequence[AdapterSource], model: Any) -> str | None:
    """Return a hash of what a column's adapter is made of; None for the base."""
    hashes = [
        sha256(source.folder / WEIGHTS) if source.folder else multi_adapter.fingerprint(model, TUNED)
        for source in sources
    ]
    return column_hash(column, hashes)


def column_hash(column: Column, hashes: Sequence[str]) -> str | None:
    """Return the hash of a column's adapter, given those of the adapters that take part; None for the base."""
    if column.mix is None or not hashes:
        return hashes[0] if hashes else None
    weights = [weight for _, weight in column.mix.taking_part]
    if weights == [1.0]:  # it is that adapter
        return hashes[0]
    how = (column.mix.combination, column.mix.density) if len(hashes) > 1 else ()
    return digest(json.dumps([list(hashes), weights, *how]))


def _check_compatibility(source: AdapterSource, located: Located) -> Compatibility:
    if source.folder is None:  # the one in training, which is in its base already
        return Compatibility(None, located.id, "weights")
    return compatibility.check(adapter_files.read(source.folder), located, source.made_for)


def find_adapter(run: Run, column: Column, training: Run | None) -> AdapterSource:
    """Find the adapter of a column; raises CompareError when there is none."""
    if column.adapter == NOW:
        return AdapterSource(None, run) if training is not None else _final_adapter(run)
    if column.step is not None:
        saved = {checkpoints.step_of(path): path for path in checkpoints.all_of(run.path)}
        if column.step not in saved:
            steps = ", ".join(map(str, saved)) or "–"
            raise CompareError("compare.no_step", run=run.id, step=column.step, steps=steps)
        return AdapterSource(saved[column.step], run, run.resolved().get("base"))
    if column.adapter.startswith(uploaded_adapters.PREFIX):
        return AdapterSource(uploaded_adapters.find(column.adapter), None)
    if re.fullmatch(r"[\w-]+", column.adapter) and not Path(column.adapter).is_dir():
        return _final_adapter(runs.find(column.adapter))
    if hub_adapters.is_hub_id(column.adapter):
        return AdapterSource(hub_adapters.local_folder(column.adapter), None)
    folder = Path(column.adapter).expanduser()
    try:
        return AdapterSource(folder, runs.find(folder.resolve().relative_to(runs.folder()).parts[0]))
    except (ValueError, IndexError, StudioError):  # it is in no run's folder
        return AdapterSource(folder, None)


def _final_adapter(run: Run) -> AdapterSource:
    """Return a run's result, or its newest checkpoint while it has none."""
    if run.has_adapter:
        return AdapterSource(run.adapter, run)
    if not checkpoints.all_of(run.path):
        raise CompareError("compare.no_adapter", run=run.id)
    newest = checkpoints.newest_complete(run.path)
    note = message("compare.note.checkpoint", run=run.id, step=checkpoints.step_of(newest))
    return AdapterSource(newest, run, run.resolved().get("base"), note)


def _batching_obstacle(model: Any, names: Sequence[str], pad: int) -> Message | None:
    """Return why these columns are not one batch: their rows are coupled (LLM.int8), or PEFT does not mix them.

    DoRA is not mixed, nor are models that join the batch with the tokens (OPT) or send tokens to experts. So the trial
    has several tokens, padding, and a second pass with a cache, as answers have. In others PEFT's names reach the wrong
    rows without an error (MPT), so each column must say alone what it says in the batch. The same adapters are tried
    once for a model, at whatever strengths; not the trained one, whose name another run may have next.
    """
    if set(names) <= {BASE_MODEL}:
        return None
    if quantization.couples_rows(model):
        return message("compare.note.in_turn_int8")
    adapters = tuple(name.partition(_STRENGTH)[0] for name in names)
    if TUNED in adapters:
        return _try_batch(model, names, pad)
    tried = vars(model).setdefault("_tried_batches", {})
    if adapters not in tried:
        tried[adapters] = _try_batch(model, names, pad)
    return tried[adapters]


def _try_batch(model: Any, names: Sequence[str], pad: int) -> Message | None:
    import torch

    ids = torch.arange(3, device=model.device).repeat(len(names), 1)
    mask = torch.ones_like(ids)
    mask[:, 0], ids[:, 0] = 0, pad
    settings = {"max_new_tokens": 2, "min_new_tokens": 2, "do_sample": False, "pad_token_id": pad}
    try:
        model.generate(input_ids=ids, attention_mask=mask, adapter_names=list(names), **settings)
        together = probe.logits(model, ids, mask, adapter_names=list(names))[:, -1]
    except (ValueError, NotImplementedError, RuntimeError, IndexError, TypeError, KeyError, AttributeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        multi_adapter.remove_batch_hooks(model)
        detail = " ".join(str(error).split())[:200] or type(error).__name__
        return message("compare.note.in_turn", detail=detail)
    for number, name in enumerate(names):
        with use_adapter(model, name):
            alone = probe.logits(model, ids, mask)[:, -1]
        difference = (together[number] - alone[number]).abs().max().item()
        if not difference <= LOGIT_TOLERANCE[model.dtype.itemsize] * alone[number].abs().max().item():
            return message("compare.note.in_turn", detail=f"Δ logits = {difference:.2g}")
    return None


_STRENGTH = "~"
"""What stands between an adapter's name and its strength in the name of an alias."""
LOGIT_TOLERANCE = {4: 1e-3, 2: 0.1}
"""How far the logits of a batch may be from those of a column alone, as a share of the largest, by bytes a number."""
