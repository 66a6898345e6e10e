"""What a process and its card take, with and without NVIDIA's management library."""

import sys
from types import SimpleNamespace

import psutil
import pytest

from studio.model import resource_usage
from studio.model.resource_usage import GpuUsage


class Refused(Exception):
    """The management library's error."""


def library(**answers):
    """A management library that knows one card and gives these answers, or refuses."""

    def handle(uuid):
        if uuid != b"GPU-1f2e":
            raise Refused
        return "handle"

    def answer(name):
        def asked(*_):
            if name not in answers:
                raise Refused
            return answers[name]

        return asked

    return SimpleNamespace(
        NVMLError=Refused,
        NVML_TEMPERATURE_GPU=0,
        nvmlDeviceGetHandleByUUID=handle,
        nvmlDeviceGetMemoryInfo=answer("memory"),
        nvmlDeviceGetTemperature=answer("temperature"),
        nvmlDeviceGetUtilizationRates=answer("rates"),
    )


@pytest.fixture
def card(monkeypatch):
    """A card that torch uses."""
    cuda = SimpleNamespace(
        is_available=lambda: True,
        is_initialized=lambda: True,
        get_device_properties=lambda number: SimpleNamespace(uuid="1f2e"),
        mem_get_info=lambda number: (3, 10),
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    return cuda


def test_the_process_and_the_machine_are_looked_at():
    found = resource_usage.measure()

    assert 0 < found.memory <= found.machine == psutil.virtual_memory().total


def test_without_a_card_there_is_none(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)

    assert resource_usage.measure().card is None
    assert "torch" not in sys.modules


def test_a_card_tells_what_it_knows(card, monkeypatch):
    memory = SimpleNamespace(used=4, total=10)
    full = library(memory=memory, temperature=61, rates=SimpleNamespace(gpu=97))
    monkeypatch.setattr(resource_usage, "_nvml", lambda: full)
    assert resource_usage.measure().card == GpuUsage(used=4, total=10, temperature=61, utilization=97)

    monkeypatch.setattr(resource_usage, "_nvml", lambda: library(memory=memory))
    assert resource_usage.measure().card == GpuUsage(used=4, total=10)


@pytest.mark.parametrize("there", [None, library()])
def test_without_the_library_torch_tells_the_memory(card, monkeypatch, there):
    monkeypatch.setattr(resource_usage, "_nvml", lambda: there)

    assert resource_usage.measure().card == GpuUsage(used=7, total=10)


def test_a_card_that_nobody_uses_yet_is_left_alone(card, monkeypatch):
    card.is_initialized = lambda: False

    assert resource_usage.measure().card is None


def test_a_machine_without_the_package_is_no_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)

    assert resource_usage._nvml.__wrapped__() is None
