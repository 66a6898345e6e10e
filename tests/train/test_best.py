"""The best adapter over a resume, and over a kill at any moment of its being kept."""

import pytest

from studio import runs
from studio.config import RunConfig
from studio.events import Interval, StyleMeasured
from studio.train.best_adapter import BestAdapter, LastSound


@pytest.fixture
def run():
    return runs.create(RunConfig())


def watch(run, patience=None):
    """A Best whose adapters are files that hold what was last seen."""

    def save(folder):
        folder.mkdir()
        (folder / "adapter").write_text(folder.name)

    return BestAdapter(run, save, patience)


def kept(run):
    return sorted(path.name for path in (run.path / "best").iterdir())


def test_only_the_best_adapter_is_kept_under_its_step(run):
    best = watch(run)
    assert not best.adapter.exists()
    for step, loss in ((5, 2.0), (10, 1.0), (15, 1.5)):
        assert not best.add_loss(step, loss)
    assert kept(run) == ["step-000010"]
    assert (best.adapter / "adapter").read_text() == "step-000010"


def test_a_run_that_goes_back_behind_its_best_keeps_it_and_comes_by_there_again(run):
    best = watch(run)
    for step, loss in ((5, 2.0), (10, 1.0), (15, 1.5)):
        best.add_loss(step, loss)
    for gone_back_to in (5, 0):  # killed twice, once before anything was seen again
        best = watch(run)
        best.rewind_to(gone_back_to)
        assert (best.step, best.loss) == (10, 1.0)
        assert best.adapter.exists()
        assert not best.is_evaluated(10)
    for step, loss in ((5, 2.0), (10, 1.0), (15, 1.5)):
        best.add_loss(step, loss)
    assert best.is_evaluated(10)
    assert kept(run) == ["step-000010"]
    assert [event.step for event in run.events()[0] if event.type == "best"] == [5, 10, 10]


def test_a_kill_between_the_adapter_and_its_record_leaves_the_one_that_is_recorded(run, monkeypatch):
    best = watch(run)
    best.add_loss(5, 2.0)

    def killed(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("studio.train.best_adapter.replace_file", killed)
    with pytest.raises(KeyboardInterrupt):
        best.add_loss(10, 1.0)
    monkeypatch.undo()
    assert kept(run) == ["step-000005", "step-000010"]
    best = watch(run)
    best.rewind_to(5)
    assert (best.step, best.loss) == (5, 2.0)
    assert kept(run) == ["step-000005"]


def test_patience_counts_what_was_seen_since_the_best_also_over_a_resume(run):
    best = watch(run, patience=2)
    assert [best.add_loss(step, loss) for step, loss in ((5, 1.0), (10, 2.0))] == [False, False]
    best = watch(run, patience=2)
    best.rewind_to(10)
    assert best.add_loss(15, 2.0)


def guard(run):
    def save(folder):
        folder.mkdir()
        (folder / "adapter").write_text(folder.name)

    return LastSound(run, save)


def measured(step, sound):
    some = Interval(value=1.0, low=0.0, high=2.0)
    values = {"answers": 8, "strength": some, "fit": some, "perplexity_distance": some, "fluent": sound}
    return StyleMeasured(step=step, sound=sound, **values)


def test_two_unsound_points_in_a_row_end_a_preference_run_and_the_last_sound_adapter_is_kept(run):
    last = guard(run)
    for step, sound in ((0, False), (2, True), (4, False), (6, True), (8, False)):
        last.add_point(measured(step, sound))
        assert not last.is_exhausted
    last.add_point(measured(10, False))
    assert last.is_exhausted
    assert kept(run) == ["step-000006"]


def test_what_was_unsound_from_the_start_ends_nothing(run):
    last = guard(run)
    for step in range(0, 12, 2):
        last.add_point(measured(step, False))
    assert not last.is_exhausted
    assert not last.adapter.parent.exists()


def test_a_resume_forgets_the_unsound_points_after_it(run):
    last = guard(run)
    for step, sound in ((2, True), (4, False), (6, False)):
        last.add_point(measured(step, sound))
    again = guard(run)
    again.rewind_to(4)
    assert not again.is_exhausted
    again.add_point(measured(6, False))
    assert again.is_exhausted
    assert kept(run) == ["step-000002"]
