"""What a process and its card take, with and without NVIDIA's management library."""

import sys
from types import SimpleNamespace

import psutil
import pytest

from studio.train import heartbeat
from studio.train.heartbeat import GpuUsage


def refuse(*_):
    raise ModuleNotFoundError("pynvml")


@pytest.fixture
def card(monkeypatch):
    """A card that torch uses."""
    cuda = SimpleNamespace(
        is_available=lambda: True,
        is_initialized=lambda: True,
        mem_get_info=lambda number: (3, 10),
        temperature=lambda number: 61,
        utilization=lambda number: 97,
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    return cuda


def test_the_process_and_the_machine_are_looked_at():
    found = heartbeat.measure()

    assert 0 < found.memory <= found.machine == psutil.virtual_memory().total


def test_without_a_card_there_is_none(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)

    assert heartbeat.measure().card is None
    assert "torch" not in sys.modules


def test_a_card_tells_what_it_knows(card):
    assert heartbeat.measure().card == GpuUsage(used=7, total=10, temperature=61, utilization=97)

    card.utilization = refuse
    assert heartbeat.measure().card == GpuUsage(used=7, total=10, temperature=61)


def test_without_the_library_torch_tells_the_memory(card):
    card.temperature = card.utilization = refuse

    assert heartbeat.measure().card == GpuUsage(used=7, total=10)


def test_a_card_that_nobody_uses_yet_is_left_alone(card):
    card.is_initialized = lambda: False

    assert heartbeat.measure().card is None


def test_a_lost_card_is_left_out(card):
    def fail(number):
        raise RuntimeError("CUDA error: device-side assert triggered")

    card.mem_get_info = fail

    assert heartbeat.measure().card is None
