"""The validation loss is the mean over all trained tokens, whatever the batches that free memory allows."""

import pytest
from following import wait_until_over

from studio import gpu
from studio.files import write_json_lines
from studio.train import plan


@pytest.fixture
def uneven(tmp_path):
    """Rows whose answers have 1 to 40 tokens: a mean of batches is not the mean of tokens."""
    path = tmp_path / "uneven.jsonl"
    rows = [{"instruction": f"What is {n}?", "output": "Aye! " * (1 + 7 * (n % 2))} for n in range(20)]
    write_json_lines(path, rows)
    return str(path)


@pytest.mark.long
def test_it_is_the_same_for_batches_of_1_2_and_5_rows(tiny_config, uneven, monkeypatch):
    settings = {
        "data.source": {"kind": "file", "name": uneven},
        "data.validation": {"kind": "fraction", "fraction": 0.25},
        "train.max_steps": 2,
        "train.eval_steps": 1,
        "samples.mode": "off",
    }
    config, found = tiny_config.with_settings(settings), []
    real = plan.Plan.__init__
    for rows in (1, 2, 5):

        def changed(self, *args, rows=rows, **named):
            real(self, *args, **named)
            object.__setattr__(self, "evaluated_at_once", rows)

        monkeypatch.setattr(plan.Plan, "__init__", changed)
        run = gpu.thread().start_run(config)
        wait_until_over(run)
        found.append([event.loss for event in run.events()[0] if event.type == "evaluated"])
    assert len(found[0]) == 2
    assert found[1] == pytest.approx(found[0], rel=1e-6)
    assert found[2] == pytest.approx(found[0], rel=1e-6)
