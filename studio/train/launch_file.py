"""What one of accelerate's launch files would do with a run, said before anything is started."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from studio.config import RunConfig
from studio.errors import RunError, one_line
from studio.files import home
from studio.i18n import Message, message
from studio.model import estimate, load, quantization
from studio.model.hardware import precision
from studio.model.memory import BYTES_PER_NUMBER
from studio.train import plan

Kind = Literal["copies", "sharded", "processors"]
"""The whole model on each GPU; a part of its weights on each; processes without a GPU."""


@dataclass(frozen=True)
class Launch:
    """What a launch file says."""

    kind: Kind
    processes: int
    machines: int
    facts: tuple[Message, ...]
    warnings: tuple[Message, ...]
    blocks: tuple[Message, ...]
    commands: tuple[str, ...]
    """What to type: one line for each machine."""


def check(path: Path, config: RunConfig, run: str) -> Launch:
    """Say what a launch file would do with a config, called `run`; raises RunError where it cannot be used."""
    import torch
    from accelerate.commands.config.config_args import load_config_from_file

    try:
        settings = load_config_from_file(str(path))
        if settings.num_processes < 1 or settings.num_machines < 1:
            raise ValueError("num_processes and num_machines are numbers from 1")
    except Exception as error:  # accelerate raises whatever it meets in a file that is no launch file
        raise RunError("run.launch_file", file=str(path), detail=one_line(error)) from error
    kind: Kind = {"MULTI_GPU": "processors" if settings.use_cpu else "copies", "FSDP": "sharded"}.get(
        settings.distributed_type.value
    )
    if kind is None:
        raise RunError("run.launch_kind", file=str(path), kind=settings.distributed_type.value)
    processes, machines = settings.num_processes, settings.num_machines
    each = processes // machines
    facts = [message(f"log.launch.{kind}", processes=processes, machines=machines, each=each)]
    blocks: list[Message] = []
    warnings: list[Message] = []
    if processes % machines:
        blocks.append(message("log.launch.uneven", processes=processes, machines=machines))
    if machines > 1:
        if settings.main_process_ip in (None, "FILL-IN"):
            blocks.append(message("log.launch.no_address"))
        if not settings.main_process_port:
            blocks.append(message("log.launch.no_port"))
    if kind == "sharded":
        for name, wanted in (("fsdp_version", 2), ("fsdp_state_dict_type", "FULL_STATE_DICT")):
            if (actual := settings.fsdp_config.get(name)) != wanted:
                blocks.append(message("log.launch.fsdp", name=name, wanted=wanted, found=str(actual)))
        if config.model.quantization != "none":
            blocks.append(RunError("run.sharded_quantized", quantization=config.model.quantization).message)
    if settings.mixed_precision not in (None, "no"):
        warnings.append(message("log.launch.precision", precision=settings.mixed_precision))
    if kind != "processors" and (here := torch.cuda.device_count()) < each:
        warnings.append(message("log.launch.fewer_cards", here=here, each=each))
    if machines > 1:
        warnings.append(message("log.launch.home", home=str(home())))
    try:
        divided = plan.divide_batch(config.train, processes)
        size, times = divided.batch_size, divided.gradient_accumulation // processes
        facts.append(message("log.launch.batch", run=run, rows=size * times * processes, size=size, times=times))
    except RunError as error:
        blocks.append(error.message)
    if located := load.locate(config.model):
        number = precision(config.model.precision, located.settings.get("model_type", "")).value
        small = quantization.choose(config.model.quantization, located.settings, located.id).value
        weight_bytes = estimate.parameters(located.path) * load.QUANTIZED_BYTES.get(small, BYTES_PER_NUMBER[number])
        weight_bytes /= processes if kind == "sharded" else 1
        facts.append(message("log.launch.weights", model=located.id, size=f"{weight_bytes / 1e9:.1f}"))
    if kind == "sharded" and config.samples.mode == "auto":
        facts.append(message("log.launch.no_strip"))
    ranks = [["--machine_rank", str(machine)] for machine in range(machines)] if machines > 1 else [[]]
    launch = ["accelerate", "launch", "--config_file", str(path)]
    commands = tuple(shlex.join([*launch, *rank, "-m", "studio", "train", run]) for rank in ranks)
    return Launch(kind, processes, machines, tuple(facts), tuple(warnings), tuple(blocks), commands)
