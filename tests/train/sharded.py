"""The studio's command line in one of several processes without a GPU, with weights that are spread as on GPUs.

accelerate spreads weights (FSDP) on GPUs only, so here it is told that these processes have some; all that is computed
and sent is real. Everything else about the launch is what `presets/accelerate/fsdp.yaml` makes of the environment.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from studio.model import hardware

hardware.prepare_process()

import torch  # noqa: E402
from accelerate import DistributedType, PartialState  # noqa: E402

from studio.cli import main  # noqa: E402

torch.distributed.init_process_group("gloo")
PartialState._prepare_backend = lambda self, *given, **named: ("gloo", DistributedType.MULTI_GPU)
PartialState.set_device = lambda self: setattr(self, "device", torch.device("cpu"))
main()
