"""QLoRA without a GPU: the built-in model in 4 bit learns the quickstart's style.

python -m pytest -m slow tests/train/test_builtin_quantized.py
"""

import pytest
from following import losses, wait_until_over

from studio import gpu, presets
from studio.model import builtin
from studio.runs import State


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("ignore:.*bitsandbytes.*")
def test_the_built_in_model_trains_in_4_bit_to_a_falling_loss():
    builtin.fetch()
    settings = {"model.quantization": "nf4", "train.max_steps": 20}
    run = gpu.thread().start_run(presets.load("quickstart").with_settings(settings))
    assert wait_until_over(run, 900) is State.FINISHED, run.status().error and run.status().error.text()
    found = losses(run)
    assert sum(found[-5:]) / 5 < sum(found[:5]) / 5 - 1.0
    chosen = {event.name: event.value for event in run.events()[0] if event.type == "chosen"}
    assert chosen["quantization"] == "nf4"
