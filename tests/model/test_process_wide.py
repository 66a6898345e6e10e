"""What a page thread does beside a run does not change the run: torch's defaults stay, and the device is left alone."""

import threading
import time

import pytest
import torch
from following import losses, wait_until_over

from studio import gpu
from studio.config import LoraSettings
from studio.model import estimate, hardware, skeleton


@pytest.fixture
def default_types(monkeypatch):
    """What torch's default type was set to, by any thread."""
    seen = []
    real = torch.set_default_dtype
    monkeypatch.setattr(torch, "set_default_dtype", lambda dtype: (seen.append(dtype), real(dtype)))
    return seen


def forget():
    for counted in (skeleton.build, skeleton.modules, skeleton.saved_bytes_per_layer):
        counted.cache_clear()


@pytest.mark.parametrize("precision", ["bfloat16", "float16", "float32"])
def test_a_skeleton_never_sets_torchs_default_type(tiny_model, default_types, precision):
    forget()
    skeleton.build(tiny_model, LoraSettings(r=4))
    skeleton.modules(tiny_model)
    kept = skeleton.saved_bytes_per_layer(tiny_model, LoraSettings(r=4), precision, "auto", 16)
    assert default_types == []
    assert kept > 0


@pytest.mark.parametrize("init", ["default", "gaussian", "orthogonal"])
def test_a_skeleton_draws_no_random_number(tiny_model, init):
    forget()
    before = torch.get_rng_state()
    skeleton.build(tiny_model, LoraSettings(r=4, init=init))
    skeleton.saved_bytes_per_layer(tiny_model, LoraSettings(r=4, dropout=0.1, init=init), "float32", "auto", 16)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_skeleton_is_the_same_while_another_thread_loads_a_model_in_16_bit(tiny_model):
    counted = {}
    for default in (torch.float32, torch.bfloat16):
        forget()
        torch.set_default_dtype(default)  # what transformers does while it loads
        try:
            counted[default] = skeleton.saved_bytes_per_layer(tiny_model, LoraSettings(r=4), "bfloat16", "auto", 16)
        finally:
            torch.set_default_dtype(torch.float32)
    assert counted[torch.float32] == counted[torch.bfloat16]


@pytest.mark.long
def test_a_run_is_equal_to_the_last_bit_with_checks_beside_it(tiny_config, tiny_model):
    config = tiny_config.with_settings({"train.max_steps": 20, "samples.mode": "off"})
    alone = gpu.thread().start_run(config)
    wait_until_over(alone)
    over = threading.Event()

    def check():
        while not over.is_set():
            forget()
            skeleton.saved_bytes_per_layer(tiny_model, LoraSettings(r=4), "bfloat16", "auto", 16)

    threads = [threading.Thread(target=check) for _ in range(2)]
    for thread in threads:
        thread.start()
    beside = gpu.thread().start_run(config)
    wait_until_over(beside)
    over.set()
    for thread in threads:
        thread.join()
    assert losses(beside) == losses(alone)
    assert (beside.adapter / "adapter_model.safetensors").read_bytes() == (
        alone.adapter / "adapter_model.safetensors"
    ).read_bytes()
    assert torch.get_default_dtype() is torch.float32


@pytest.fixture
def unknown(monkeypatch):
    monkeypatch.setattr(estimate, "_known", {})


def test_the_speed_is_not_measured_beside_what_uses_the_device(unknown, monkeypatch):
    measured = []
    monkeypatch.setattr(estimate, "_measure_matmul", lambda precision: (measured.append(precision), (1e9, True))[1])
    found = []
    with estimate.device_in_use:
        asking = threading.Thread(target=lambda: found.append(estimate.matmul_speed("float32")))
        asking.start()
        asking.join()
        assert (found, measured) == ([None], [])
        assert estimate.matmul_speed("float32") == 1e9  # by the thread that uses it itself
    assert measured == ["float32"]


def test_a_measurement_that_was_disturbed_is_not_kept(unknown, monkeypatch):
    made = iter([(1e8, False), (1e9, True), (5e8, True)])
    monkeypatch.setattr(estimate, "_measure_matmul", lambda precision: next(made))
    assert estimate.matmul_speed("float32") == 1e8
    assert estimate.matmul_speed("float32") == 1e8
    later = time.monotonic() + estimate.DISTURBED_SECONDS + 1
    monkeypatch.setattr(estimate.time, "monotonic", lambda: later)
    assert estimate.matmul_speed("float32") == 1e9
    assert estimate.matmul_speed("float32") == 1e9


@pytest.mark.parametrize(
    ("seconds", "steady"), [((1.0, 1.0, 1.0), True), ((1.0, 1.0, 2.0), True), ((1.0, 1.5, 2.0), False)]
)
def test_a_measurement_whose_best_two_speeds_are_apart_was_disturbed(monkeypatch, seconds, steady):
    ticks = [0.0, 1.0, 0.0]  # the pass that is not counted, and the begin of all
    for each in seconds:
        ticks += [0.0, each]
    moments = iter([*ticks, sum(seconds)])
    monkeypatch.setattr(estimate.time, "perf_counter", lambda: next(moments))
    busy = iter([0.0, sum(seconds) * torch.get_num_threads()])
    monkeypatch.setattr(estimate.time, "process_time", lambda: next(busy))
    assert estimate._measure_matmul("float32") == (pytest.approx(5 * 2 * 1024**3), steady)


def test_a_measurement_during_which_the_cores_were_not_ours_was_disturbed(monkeypatch):
    moments = iter([0.0, 1.0, 0.0, *3 * [0.0, 1.0], 3.0])
    monkeypatch.setattr(estimate.time, "perf_counter", lambda: next(moments))
    busy = iter([0.0, 0.5 * 3 * torch.get_num_threads()])
    monkeypatch.setattr(estimate.time, "process_time", lambda: next(busy))
    assert estimate._measure_matmul("float32")[1] is False


def test_a_check_while_a_run_trains_says_that_its_time_cannot_be_told(tiny_config, unknown):
    from studio.train import preflight

    with estimate.device_in_use:
        found = []
        asking = threading.Thread(target=lambda: found.append(preflight.check(tiny_config, hardware.free_memory())))
        asking.start()
        asking.join()
    assert found[0].plan is not None
    assert found[0].seconds is None
    assert found[0].report.epoch_seconds is None


@pytest.mark.parametrize("processes", [1, 2])
def test_what_torch_keeps_of_freed_memory_counts_as_free(monkeypatch, processes):
    monkeypatch.setattr(hardware.processes, "world_size", lambda: processes)
    cuda = {"device_count": lambda: 2, "current_device": lambda: 1, "mem_get_info": lambda card: (10 * (card + 1), 99)}
    cuda |= {"memory_reserved": lambda card: 7 + card, "memory_allocated": lambda card: 4}
    for name, answer in cuda.items():
        monkeypatch.setattr(torch.cuda, name, answer)
    assert hardware.free_memory_of_cards() == ([10 + 3, 20 + 4] if processes == 1 else [20 + 4])
