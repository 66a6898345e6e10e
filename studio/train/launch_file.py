"""What one of accelerate's launch files would do with a run, said before anything is started."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from studio.config import RunConfig
from studio.errors import RunError
from studio.files import home
from studio.i18n import Message, message
from studio.model import estimate, load, quantization
from studio.model.hardware import precision
from studio.train import plan

Kind = Literal["copies", "sharded", "processors"]
"""The whole model on each GPU; a part of its weights on each; processes without a GPU."""

_BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0}


@dataclass(frozen=True)
class Launch:
    """What a launch file says."""

    kind: Kind
    processes: int
    machines: int
    facts: tuple[Message, ...]
    """What would be done."""
    warnings: tuple[Message, ...]
    blocks: tuple[Message, ...]
    """Why it would not work."""
    commands: tuple[str, ...]
    """What to type: one line for each machine."""


def check(path: Path, config: RunConfig, run: str) -> Launch:
    """Say what the launch file at `path` would do with the run of a config, which is called `run` on the command line.

    Raises RunError for a file that accelerate cannot read, or that asks for what the studio cannot do.
    """
    settings = _read(path)
    kind = _kind(settings, path)
    processes, machines = settings.num_processes, settings.num_machines
    each = processes // machines
    facts = [message(f"log.launch.{kind}", processes=processes, machines=machines, each=each)]
    blocks = list(_blocks(settings, kind, config))
    try:
        divided = plan.divide_batch(config.train, processes)
        size, times = divided.batch_size, divided.gradient_accumulation // processes
        facts.append(message("log.launch.batch", run=run, rows=size * times * processes, size=size, times=times))
    except RunError as error:
        blocks.append(error.message)
    if located := load.locate(config.model):
        held = _weights(config, located) / (processes if kind == "sharded" else 1)
        facts.append(message("log.launch.weights", model=located.id, size=f"{held / 1e9:.1f}"))
    if kind == "sharded" and config.samples.mode == "auto":
        facts.append(message("log.launch.no_strip"))
    warnings = tuple(_warnings(settings, kind, each))
    return Launch(kind, processes, machines, tuple(facts), warnings, tuple(blocks), _commands(path, machines, run))


def _read(path: Path) -> Any:
    from accelerate.commands.config.config_args import load_config_from_file

    try:
        settings = load_config_from_file(str(path))
        if settings.num_processes < 1 or settings.num_machines < 1:
            raise ValueError("num_processes and num_machines are numbers from 1")
    except Exception as error:  # whatever a file that is no launch file makes of it
        detail = " ".join(str(error).split())[:200]
        raise RunError("run.launch_file", file=str(path), detail=detail) from error
    return settings


def _kind(settings: Any, path: Path) -> Kind:
    kind = settings.distributed_type.value
    if kind == "MULTI_GPU":
        return "processors" if settings.use_cpu else "copies"
    if kind == "FSDP":
        return "sharded"
    raise RunError("run.launch_kind", file=str(path), kind=kind)


def _blocks(settings: Any, kind: Kind, config: RunConfig) -> Any:
    if settings.num_processes % settings.num_machines:
        yield message("log.launch.uneven", processes=settings.num_processes, machines=settings.num_machines)
    if settings.num_machines > 1 and settings.main_process_ip in (None, "FILL-IN"):
        yield message("log.launch.no_address")
    if settings.num_machines > 1 and not settings.main_process_port:
        yield message("log.launch.no_port")
    if kind == "sharded":
        for name, wanted in (("fsdp_version", 2), ("fsdp_state_dict_type", "FULL_STATE_DICT")):
            if (actual := settings.fsdp_config.get(name)) != wanted:
                yield message("log.launch.fsdp", name=name, wanted=wanted, found=str(actual))
        if config.model.quantization != "none":
            yield RunError("run.sharded_quantized", quantization=config.model.quantization).message


def _warnings(settings: Any, kind: Kind, each: int) -> Any:
    import torch

    if settings.mixed_precision not in (None, "no"):
        yield message("log.launch.precision", precision=settings.mixed_precision)
    if kind != "processors" and (here := torch.cuda.device_count()) < each:
        yield message("log.launch.fewer_cards", here=here, each=each)
    if settings.num_machines > 1:
        yield message("log.launch.home", home=str(home()))


def _weights(config: RunConfig, located: load.Located) -> float:
    """Return the bytes of a base's weights as a run loads them."""
    number = precision(config.model.precision, located.settings.get("model_type", "")).value
    small = quantization.choose(config.model.quantization, located.settings, located.id).value
    return estimate.parameters(located.path) * load.QUANTIZED_BYTES.get(small, _BYTES[number])


def _commands(path: Path, machines: int, run: str) -> tuple[str, ...]:
    def command(machine: int) -> str:
        rank = ["--machine_rank", str(machine)] if machines > 1 else []
        return shlex.join(["accelerate", "launch", "--config_file", str(path), *rank, "-m", "studio", "train", run])

    return tuple(command(machine) for machine in range(machines))
