"""The layers below the first adapter, computed once and kept over the epochs.

Where adapters sit in the upper layers only, the lower ones give a row the same hidden states in each epoch. Rows are
packed with others each time, and a matrix product may round a row's numbers otherwise beside others; so a row's hidden
states are always those of the micro-batch that it was in first, in the first epoch. They depend on the run's rows and
their order alone: on no limit of memory, and on no pause. An evaluation has the same micro-batches each time.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from studio.config import RunConfig
from studio.data.health import Report
from studio.i18n import Message, message
from studio.model import processes, weights
from studio.model.hardware import device
from studio.model.load import Located
from studio.runs import RunWriter
from studio.train import recorded_rows
from studio.train.plan import Plan

RECORD = "frozen_layers"
"""The entry of `resolved.json`: how many layers are kept, 0 for none."""
MEMORY_SHARE = 0.5
"""Share of the memory that the forecast leaves free which hidden states may fill."""


@dataclass(eq=False)
class _MicroBatch:
    """The arguments of a packed micro-batch, and the hidden states above the frozen layers (1 × tokens × size)."""

    arguments: dict[str, Any]
    hidden: Any = None


class FrozenLayers:
    """Takes the place of a model's lowest layers in packed passes, while `patched`.

    `most_bytes` is what is kept at most; what has no room is computed each time, to the same bits.
    """

    def __init__(self, body: Any, layers: Sequence[Any], count: int, most_bytes: float):
        self._body, self._lower, self._upper = body, layers[:count], layers[count:]
        self.most_bytes, self.bytes = most_bytes, 0
        self._first: dict[bytes, tuple[_MicroBatch, int, int]] = {}
        self._evaluated: dict[bytes, _MicroBatch] = {}

    def add_first_epoch(self, parts: Iterator[dict[str, Any]]) -> None:
        """Name the micro-batches of the first epoch, in order, where a run resumes and has computed them before."""
        for part in parts:
            arguments = {name: value for name, value in part.items() if name not in ("index", "targets")}
            self._places(_MicroBatch({**arguments, "use_cache": False}))

    @contextlib.contextmanager
    def patched(self) -> Iterator[None]:
        """Let the model's packed passes begin above the frozen layers."""
        forward = self._body.forward

        def from_above(*args: Any, **kwargs: Any) -> Any:
            if args or kwargs.get("cu_seq_lens_q") is None:
                return forward(*args, **kwargs)
            hidden = self._hidden(forward, kwargs)
            with _replaced(self._lower, lambda before: hidden):
                return forward(**kwargs)

        with _set_forward(self._body, from_above):
            yield

    def _hidden(self, forward: Callable[..., Any], arguments: dict[str, Any]) -> torch.Tensor:
        """Return the hidden states of a micro-batch, each row's from where it was computed first."""
        micro_batch = _MicroBatch(arguments)
        computed: dict[_MicroBatch, torch.Tensor] = {}

        def of(part: _MicroBatch) -> torch.Tensor:
            if part.hidden is not None:
                return part.hidden
            if part not in computed:
                computed[part] = self._compute(forward, part)
            return computed[part]

        if not self._body.training:
            key = repr([arguments["cu_seq_lens_q"].tolist(), arguments["input_ids"].tolist()]).encode()
            return of(self._evaluated.setdefault(key, micro_batch))
        return torch.cat([of(part)[:, begin:end] for part, begin, end in self._places(micro_batch)], dim=1)

    def _places(self, micro_batch: _MicroBatch) -> list[tuple[_MicroBatch, int, int]]:
        """Return where the rows of a micro-batch were computed first: here, for those that have not been before."""
        ids = micro_batch.arguments["input_ids"][0]
        cuts = itertools.pairwise(micro_batch.arguments["cu_seq_lens_q"].tolist())
        return [self._first.setdefault(ids[a:b].numpy().tobytes(), (micro_batch, a, b)) for a, b in cuts]

    def _compute(self, forward: Callable[..., Any], part: _MicroBatch) -> torch.Tensor:
        """Return what the frozen layers make of a micro-batch, and keep it if there is room."""
        reached: list[torch.Tensor] = []

        def catch(hidden: torch.Tensor) -> torch.Tensor:
            reached[:] = reached or [hidden]
            return hidden

        with torch.no_grad(), _replaced(self._upper, catch):
            forward(**part.arguments)
        (hidden,) = reached
        size = hidden.numel() * hidden.element_size()
        if self.bytes + size <= self.most_bytes:
            part.hidden = hidden
            self.bytes += size
        return hidden


@contextlib.contextmanager
def _set_forward(module: Any, forward: Callable[..., Any]) -> Iterator[None]:
    before = vars(module).get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if before is None:
            del module.forward
        else:
            module.forward = before


@contextlib.contextmanager
def _replaced(layers: Sequence[Any], output: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[None]:
    """Let layers return `output` of their input instead of computing anything."""

    def forward(hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        return output(hidden_states)

    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(_set_forward(layer, forward))
        yield


def find(model: Any) -> tuple[Any, Any, int] | None:
    """Return a PEFT model's body, its layers, and how many of them lie below the first adapter; None without any."""
    body = model.get_base_model().base_model
    count = getattr(body.config.get_text_config(), "num_hidden_layers", None)
    lists = [part for part in body.children() if isinstance(part, torch.nn.ModuleList) and len(part) == count]
    trained = {weights for weights in model.parameters() if weights.requires_grad}
    if len(lists) != 1 or not trained:
        return None
    (layers,) = lists
    frozen = list(itertools.takewhile(lambda layer: trained.isdisjoint(layer.parameters()), layers))
    if not frozen or not trained <= set(layers.parameters()):
        return None
    return body, layers, len(frozen)


def is_random(config: Any) -> bool:
    """Whether a base model has dropout of its own, as far as its config says."""
    settings = config.get_text_config().to_dict().items()
    named = (value for name, value in settings if "dropout" in name or name.endswith("pdrop"))
    return any(isinstance(value, float) and value > 0 for value in named)


def is_supported(trainer: Any, body: Any, layers: Any, count: int) -> bool:
    """Whether a model's upper layers need of the lower ones the hidden states alone: tried out on two short rows."""
    if is_random(trainer.model.config):
        return False
    size = body.config.get_text_config().vocab_size
    rows = [{"input_ids": [(7 * n + k) % size for n in range(1, k)], "labels": [1] * (k - 1)} for k in (6, 9)]
    (part,) = trainer.data_collator.__class__(1_000, 0, packed=True, scored=True)(rows)["parts"]
    arguments = {**{name: part[name] for name in part if name not in ("index", "targets")}, "use_cache": False}
    frozen, was_training = FrozenLayers(body, layers, count, float("inf")), trainer.model.training
    trainer.model.eval()
    try:
        with torch.no_grad(), trainer.compute_loss_context_manager(), trainer.pass_context():
            known = body(**arguments).last_hidden_state
            with frozen.patched():
                again = [body(**arguments).last_hidden_state for _ in range(2)]
        return all(torch.equal(known, each) for each in again)
    except Exception:  # a layer of another kind may fail in any way
        return False
    finally:
        trainer.model.train(was_training)


@dataclass(frozen=True)
class Decision:
    """Whether the frozen layers' hidden states are kept."""

    is_on: bool
    reason: Message
    room: float
    """Bytes that they may fill."""


def decide(
    planned: Plan, count: int, *, rows: int, tokens: int, packed: bool, is_supported: Callable[[], bool]
) -> Decision:
    """Decide whether to keep what the lowest `count` layers give, over epochs of `rows` rows with `tokens` in all."""
    width = 4 if planned.precision.value == "float32" else 2
    need = tokens * planned.skeleton.hidden * width
    room = MEMORY_SHARE * max(0.0, planned.free - planned.memory.total)
    settings = planned.settings

    def choose() -> str:
        if planned.steps <= _steps_of_epoch(planned, rows):
            return "once"
        on_processor = device() == "cpu" and processes.world_size() == 1
        if not on_processor or settings.gradient_checkpointing == "on" or not packed:
            return "elsewhere"
        if need > room:
            return "memory"
        return "on" if is_supported() else "unsupported"

    figures = {"layers": count, "all": planned.skeleton.layers}
    figures |= {"need": f"{need / 1e6:,.0f}", "room": f"{room / 1e6:,.0f}"}
    chosen = choose()
    return Decision(chosen == "on", message(f"choice.frozen_layers.{chosen}", **figures), room)


def expected_saving(config: RunConfig, planned: Plan, report: Report, located: Located) -> float:
    """Return the share of all forward passes, by weights, that a planned run will probably not compute."""
    count = planned.skeleton.layers - planned.skeleton.layers_trained
    if not count or config.train.method != "sft":
        return 0.0
    decision = decide(
        planned,
        count,
        rows=report.train,
        tokens=report.token_figures["total"] * (report.train + report.validation) // report.usable,
        packed=config.train.neftune_alpha is None,
        is_supported=lambda: not is_random(weights.read_config(located.path)),
    )
    if not decision.is_on:
        return 0.0
    in_frozen = planned.skeleton.in_layers / planned.skeleton.total * count / planned.skeleton.layers
    return in_frozen * (1 - _steps_of_epoch(planned, report.train) / planned.steps)


def _steps_of_epoch(planned: Plan, rows: int) -> int:
    return -(-rows // (planned.settings.batch_size * planned.settings.gradient_accumulation))


def keep(run: RunWriter, planned: Plan, trainer: Any, *, resumed: bool) -> None:
    """Let a `StudioTrainer` keep the frozen layers' hidden states where that saves time, and record the choice."""
    if (below := find(trainer.model)) is None:
        return
    body, layers, count = below
    rows = [part for part in (trainer.train_dataset, trainer.eval_dataset) if part is not None]
    decision = decide(
        planned,
        count,
        rows=len(trainer.train_dataset),
        tokens=sum(sum(recorded_rows.row_lengths(part)) for part in rows),
        packed=trainer.packed,
        is_supported=lambda: resumed or is_supported(trainer, body, layers, count),
    )
    if resumed:
        count = run.resolved().get(RECORD, 0)
    else:
        run.record_choice(RECORD, count if decision.is_on else "off", decision.reason)
        count = count if decision.is_on else 0
        run.resolve({RECORD: count})
    if count:
        frozen = FrozenLayers(body, layers, count, decision.room)
        if resumed and (order := recorded_rows.first_epoch(run.path)):
            frozen.add_first_epoch(_parts(trainer, order))
        trainer.add_pass_context(frozen.patched)


def _parts(trainer: Any, order: list[int]) -> Iterator[dict[str, Any]]:
    """Yield the micro-batches of an epoch."""
    rows, size = trainer.train_dataset.select(order), trainer.args.train_batch_size
    for begin in range(0, len(rows), size):
        yield from trainer.data_collator([rows[at] for at in range(begin, min(begin + size, len(rows)))])["parts"]
