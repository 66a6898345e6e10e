"""What a run was shown is kept with it."""

import numpy
import pyarrow.parquet
import pytest
from following import wait_for, wait_until_over

from studio import gpu
from studio.data import prepare
from studio.model.load import load_tokenizer
from studio.runs import State
from studio.train.recorded_rows import LengthGroupedSampler


def rows_of(run, name="train"):
    return pyarrow.parquet.read_table(run.path / "data" / f"{name}.parquet").to_pylist()


def order_of(run):
    return numpy.load(run.path / "data" / "order.npy", allow_pickle=False)


def test_the_rows_are_kept_as_they_were_trained(tiny_config):
    config = tiny_config.with_settings({"data.validation": {"kind": "fraction", "fraction": 0.25}})
    run = gpu.thread().start_run(config)
    wait_until_over(run)
    made = prepare.prepare(config, load_tokenizer(config.model))
    assert rows_of(run) == made.train.to_list()
    assert rows_of(run, "validation") == made.validation.to_list()


@pytest.mark.parametrize("grouped", [True, False])
def test_the_order_of_each_epoch_is_kept(tiny_config, grouped):
    run = gpu.thread().start_run(tiny_config.with_settings({"train.length_grouping": grouped, "train.max_steps": 14}))
    wait_until_over(run)
    orders = order_of(run)
    assert orders.shape == (3, 24)
    assert all(sorted(order) == list(range(24)) for order in orders.tolist())
    assert orders[0].tolist() != orders[1].tolist()
    if grouped:
        groups = LengthGroupedSampler([len(row["input_ids"]) for row in rows_of(run)], 4, 42)
        groups.set_epoch(2)
        assert orders[2].tolist() == list(groups)


@pytest.mark.long
@pytest.mark.parametrize("grouped", [True, False])
def test_a_resumed_run_has_the_order_of_one_without_a_break(tiny_config, grouped):
    config = tiny_config.with_settings(
        {"train.max_steps": 60, "train.save": "steps", "train.save_steps": 10, "train.length_grouping": grouped}
    )
    run = gpu.thread().start_run(config)
    wait_for(run, lambda status: status.step >= 12)
    run.request("pause")
    assert wait_until_over(run) is State.PAUSED
    gpu.thread().resume_run(run.id)
    assert wait_until_over(run) is State.FINISHED
    whole = gpu.thread().start_run(config)
    wait_until_over(whole)
    assert order_of(run).tolist() == order_of(whole).tolist()
