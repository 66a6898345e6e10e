"""What it saves to keep the layers below the first adapter over the epochs: the quickstart with and without.

    python -m tests.bench.frozen_layers [ROWS] [PAIRS]

Three epochs of the quickstart's first rows (64 by default), in pairs, each pair in the other order than the one before.
Times are of all steps, by the processor and by the clock, without the start and the save. Losses and adapters of a pair
must be equal to the last bit.
"""

import hashlib
import os
import statistics
import sys
import tempfile
import time
from typing import Any

SETTINGS = {"train.epochs": 3, "train.logging_steps": 1, "train.save": "no", "samples.mode": "off"}


def trained(config: Any, times: list[tuple[float, float]]) -> tuple[float, float, list[float], str]:
    """Train, and return seconds of the processor and the clock, the losses, and the adapter's hash."""
    from studio import gpu

    run = gpu.thread().start_run(config)
    while run.status().state.alive:
        time.sleep(0.2)
    assert run.status().state == "finished", run.status()
    losses = [event.loss for event in run.events()[0] if event.type == "step"]
    weights = (run.adapter / "adapter_model.safetensors").read_bytes()
    return *times[-1], losses, hashlib.sha256(weights).hexdigest()


def main() -> None:
    """Measure the pairs and print them."""
    rows, pairs = (int(word) for word in (sys.argv[1:] + ["64", "2"][len(sys.argv) - 1 :])[:2])
    with tempfile.TemporaryDirectory() as home:
        os.environ["RESTYLE_HOME"] = home
        from studio.model import hardware

        hardware.prepare_process()
        from studio import gpu, presets
        from studio.train import frozen_layers
        from studio.train.run_trainer import RunTrainer

        config = presets.load(presets.QUICKSTART).with_settings({**SETTINGS, "data.limit": rows})
        supported, fit = frozen_layers.is_supported, RunTrainer.fit
        times: list[tuple[float, float]] = []

        def timed(trainer: Any, *arguments: Any) -> None:
            began = time.process_time(), time.perf_counter()
            fit(trainer, *arguments)
            times.append((time.process_time() - began[0], time.perf_counter() - began[1]))

        RunTrainer.fit = timed
        ratios = []
        for number in range(pairs):
            measured = {}
            for kept in (True, False) if number % 2 == 0 else (False, True):
                frozen_layers.is_supported = supported if kept else lambda *_: False
                measured[kept] = trained(config, times)
            with_it, without = measured[True], measured[False]
            assert with_it[2:] == without[2:], "losses or adapters differ"
            ratios.append((with_it[0] / without[0], with_it[1] / without[1]))
            print(f"processor {ratios[-1][0]:.3f}, clock {ratios[-1][1]:.3f}, equal to the last bit", flush=True)
        gpu.shutdown()
    print(f"medians: processor {statistics.median(r[0] for r in ratios):.3f}", end=", ")
    print(f"clock {statistics.median(r[1] for r in ratios):.3f}")


if __name__ == "__main__":
    main()
