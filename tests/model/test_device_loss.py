"""A card that a failed kernel has taken from the process: it is said, nothing hangs, each start tells what to do."""

import pytest
import torch
from following import wait_until_over

from studio import gpu
from studio.compare.columns import CompareRequest
from studio.errors import DeviceError
from studio.export.request import ExportRequest
from studio.job import as_studio_error
from studio.model import hardware
from studio.runs import State
from studio.train.packed_trainer import PackedTrainer

ASSERT = "CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronously reported"


@pytest.fixture(autouse=True)
def found_again(monkeypatch):
    """Each test begins with a device, and leaves one."""
    monkeypatch.setattr(hardware, "_lost", "")


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError(ASSERT),
        RuntimeError(ASSERT),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: unspecified launch failure"),
        RuntimeError("CUDA error: misaligned address"),
        RuntimeError("CUDA error: uncorrectable ECC error encountered"),
    ],
    ids=lambda error: str(error)[12:40],
)
def test_errors_after_which_the_context_is_gone_are_known(error):
    told = as_studio_error(error)
    assert told.key == "device.lost"
    assert "Restart the studio" in told.text()
    assert hardware.is_device_lost()


@pytest.mark.parametrize(
    ("error", "key"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "device.memory"),
        (RuntimeError("CUDA error: out of memory"), "device.memory"),
        (RuntimeError("CUDA error: no kernel image is available for execution on the device"), "unexpected"),
        (RuntimeError("shapes cannot be multiplied"), "unexpected"),
        (ValueError("CUDA error: device-side assert triggered, says a text"), "unexpected"),
    ],
    ids=["memory", "memory of the driver", "kernel image", "shapes", "no error of torch"],
)
def test_other_errors_leave_the_device(error, key):
    assert as_studio_error(error).key == key
    assert not hardware.is_device_lost()


def test_the_run_fails_with_the_reason_the_next_is_paused_and_starts_are_told_to_restart(tiny_config, monkeypatch):
    real = PackedTrainer.training_step

    def step(self, *args, **kwargs):
        if self.state.global_step == 3:
            raise torch.AcceleratorError(ASSERT)
        return real(self, *args, **kwargs)

    thread = gpu.GpuThread()
    saving = tiny_config.with_settings({"train.save": "steps", "train.save_steps": 2})
    with monkeypatch.context() as patched:
        patched.setattr(PackedTrainer, "training_step", step)
        run = thread.start_run(saving)
        waiting = thread.start_run(tiny_config, wait=True)
        assert wait_until_over(run) is State.FAILED
        assert run.status().error.key == "errors.device.lost"
        assert "device-side assert" in run.status().error.text()
        assert wait_until_over(waiting) is State.PAUSED
    for start in (lambda: thread.start_run(tiny_config), lambda: thread.resume_run(run.id)):
        with pytest.raises(DeviceError) as caught:
            start()
        assert caught.value.key == "device.restart"
    with pytest.raises(DeviceError, match="restart"):
        thread.compare(CompareRequest(run.id, ("What is 3?",), tiny_config.generation)).result()
    with pytest.raises(DeviceError, match="restart"):
        thread.export(ExportRequest(run.id, "adapter")).result()
    thread.close()
    monkeypatch.setattr(hardware, "_lost", "")  # another process
    for each in (run, waiting):
        gpu.thread().resume_run(each.id)
        assert wait_until_over(each) is State.FINISHED


def test_nothing_asks_the_lost_device_for_its_memory_back(monkeypatch):
    from studio.model.adapter import ModelHost

    def gone():
        raise torch.AcceleratorError(ASSERT)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", gone)
    as_studio_error(torch.AcceleratorError(ASSERT))
    ModelHost().release()
