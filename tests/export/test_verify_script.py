"""The check of a script repeats the first steps of the run, and leaves the export as it is."""

import numpy
import pytest
from following import trained

from studio import gpu
from studio.export import script
from studio.export.export_context import load_context
from studio.export.request import ExportRequest
from studio.export.verify import verification
from studio.export.verify.checks import verify
from studio.export.verify.verification import LOSS_TOLERANCE, compare_losses
from studio.model.adapter import ModelHost

pytestmark = pytest.mark.usefixtures("warm_python")


def checked(run, folder):
    return verify(load_context(run), folder, ModelHost(), lambda phase, share: None)


def test_its_first_losses_are_the_runs_and_nothing_is_left_in_the_folder(finished_run, monkeypatch):
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    made = gpu.thread().export(ExportRequest(finished_run.id, "script", verify=True)).result()
    found = made.verification
    assert found == verification.read(made.folder)
    assert found.passed
    assert (found.losses.tried, found.losses.equal, found.losses.last) == (3, 3, 3)
    assert {path.name for path in made.folder.iterdir()} == {
        *("data", "hub_checkpoints.py", "losses.csv", "packed_trainer.py", "requirements.txt", "restyle.json"),
        *("tokenizer", "train.py"),
    }
    assert "3 of 3 losses" in found.sentences()[0].text("en")


def test_rows_in_another_order_are_found(finished_run, tmp_path):
    folder = script.export(load_context(finished_run), tmp_path / "mine")
    order = numpy.load(folder / "data" / "order.npy")
    numpy.save(folder / "data" / "order.npy", order[:, ::-1])
    found = checked(finished_run, folder)
    assert not found.passed
    assert found.losses.tried == 3
    assert found.losses.equal + found.losses.near < 3
    assert "differ" in found.sentences()[-1].text("en")


@pytest.mark.slow
def test_it_repeats_as_many_steps_as_three_losses_take(tiny_config, tmp_path):
    run = trained(tiny_config, **{"train.logging_steps": 2, "train.max_steps": 8})
    found = checked(run, script.export(load_context(run), tmp_path / "mine"))
    assert found.passed
    assert (found.losses.tried, found.losses.last) == (3, 4)


def test_losses_that_differ_by_rounding_are_as_good_as_equal_and_others_are_not():
    wanted = {1: 4.0, 2: 3.0, 10: 2.0}
    assert compare_losses(wanted, dict(wanted), "float32").equal == 3
    rounded = compare_losses(wanted, {1: 4.0, 2: 3.0 * (1 + LOSS_TOLERANCE["float32"] / 2), 10: 2.0}, "float32")
    assert (rounded.equal, rounded.near, rounded.last) == (2, 1, 10)
    assert rounded.holds
    assert rounded.apart == pytest.approx(LOSS_TOLERANCE["float32"] / 2)
    assert not compare_losses(wanted, {1: 4.0, 2: 3.1, 10: 2.0}, "bfloat16").holds
    assert not compare_losses(wanted, {1: 4.0, 2: 3.0}, "float32").holds
