"""How long a job will take: the arithmetic, the warning, and what is not known."""

from types import SimpleNamespace

import numpy
import pytest

from studio.config import RunConfig
from studio.remote import forecast
from studio.remote.forecast import Workload, card_of, seconds, sentences
from studio.remote.record import JobRecord

WORK = Workload(tokens=1e6, parameters=10**9, operations=4, is_single=False)


def quote(flavor="t4-small", hours=2.0, price=0.4):
    return JobRecord(repository="a/b", flavor=flavor, seconds=int(hours * 3600), dollars_per_hour=price)


def keys(*given):
    return [sentence.key.removeprefix("remote.forecast.") for sentence in sentences(*given)]


def test_a_range_follows_from_the_published_speed_and_the_shares_of_it():
    low, high = seconds(WORK, card_of("t4-small"))

    assert low == pytest.approx(4e15 / (0.4 * 65e12) + 180)
    assert high == pytest.approx(4e15 / (0.05 * 65e12) + 600)
    single = Workload(WORK.tokens, WORK.parameters, WORK.operations, is_single=True)
    assert seconds(single, card_of("t4-small"))[1] > 5 * (high - 600)
    assert seconds(WORK, card_of("h200"))[1] < high


def test_the_card_is_known_by_the_flavor():
    names = {
        "t4-medium": "T4",
        "l4x4": "L4",
        "l40sx1": "L40S",
        "a10g-largex2": "A10G",
        "a100x8": "A100",
        "h100": "H100",
    }

    assert {flavor: card_of(flavor).name for flavor in names} == names
    assert card_of("cpu-basic") is None
    assert keys(WORK, quote("cpu-basic")) == ["card"]
    assert keys(None, quote()) == ["rows"]


def test_a_time_limit_that_is_shorter_is_named():
    large = Workload(1e8, 10**9, 4, is_single=False)  # 4.3 to 34 hours

    assert keys(WORK, quote()) == ["time", "price", "basis"]
    assert keys(large, quote(hours=2))[-1] == "too_short"
    assert keys(large, quote(hours=10))[-1] == "may_be_short"
    assert keys(large, quote(hours=40, price=None)) == ["time", "basis"]
    words = " ".join(str(sentence) for sentence in sentences(large, quote()))
    for part in ("4.3 to 34 hours on t4-small", "$1.73 to $13.74", "measured on no GPU", "5% to 40% of the 65 TFLOPS"):
        assert part in words


def test_the_workload_is_that_of_the_settings_and_rows():
    report = SimpleNamespace(
        lengths=numpy.array([10]), usable=100, train=90, token_figures={"padded_random": 5000, "padded_grouped": 4000}
    )
    train = {"train.batch_size": 4, "train.gradient_accumulation": 2, "lora.layers": "all"}
    config = RunConfig().with_settings({**train, "train.epochs": 3, "train.length_grouping": False})

    made = forecast.workload(config, report, 7)

    assert (made.tokens, made.parameters) == (50 * 3 * 90, 7)
    assert forecast.workload(config.with_settings({"train.max_steps": 5}), report, 7).tokens == 50 * 5 * 8
    assert forecast.workload(config.with_settings({"train.length_grouping": True}), report, 7).tokens == 40 * 3 * 90
    checkpointed = config.with_settings({"train.gradient_checkpointing": "on"})
    assert forecast.workload(checkpointed, report, 7).operations == 6 > made.operations == 4
    assert forecast.workload(config, None, 7) is None
    assert forecast.workload(config, report, None) is None
