"""Comparing on a GPU that is lent for a call at a time, with a stand-in that forks and kills as ZeroGPU does."""

import json
import pickle
import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
import pytest
from test_gpu_slices import STAND_IN, run_program

from studio import gpu, gpu_slices, job_slices
from studio.compare import compare_job
from studio.compare.columns import CompareRequest
from studio.compare.comparison import Comparison
from studio.config import GenerationConfig
from studio.errors import CompareError, DeviceError, StudioError
from studio.evaluate import evaluation_job
from studio.generation.generate import ColumnAnswer
from studio.generation.job_context import JobContext
from studio.i18n import DEFAULT_LANGUAGE
from studio.job import Job
from studio.model.adapter import ModelHost

GREEDY = GenerationConfig(temperature=0.0, max_new_tokens=12)


@dataclass(frozen=True)
class Progress:
    done: int
    stopped: bool = False


def here(seconds: float = 60):
    """Return what works in this process instead of a slice's, for so many seconds."""

    def run_slice(arguments, variables):
        return json.dumps({"time_over": job_slices.work_in_slice(Path(arguments[2]), seconds)})

    return lambda: run_slice


def run(work, borrow) -> list:
    """Return the updates of a job in slices; raises what its user would be told."""
    shown: list = []
    job_slices.in_slices(work, borrow)(JobContext(ModelHost(), None, shown.append, threading.Event()))
    return shown


def count_to(path: Path, total: int, job: JobContext) -> None:
    """Count on from what the file holds, and keep the numbers as they come."""
    while (done := len(path.read_text())) < total:
        if job.stop.is_set():
            job.show(Progress(done, stopped=True))
            return
        path.write_text("x" * (done + 1))
        job.show(Progress(done + 1))
        time.sleep(0.05)
    job.show(Progress(total))


def refuse(job: JobContext) -> None:
    raise CompareError("compare.no_step", run="r", step=3, steps="–")


def answer(text: str, job: JobContext) -> None:
    """Answer as long as there is time; with a first token or without."""
    side = ColumnAnswer(text, tuple(text.encode()), end="stopped")
    request = CompareRequest("r", ("p",), GREEDY)
    while not job.stop.is_set():
        time.sleep(0.01)
    job.show(Comparison(request, ((side, side),)))


@pytest.fixture
def numbers(tmp_path) -> Path:
    path = tmp_path / "numbers"
    path.write_text("")
    return path


def test_what_keeps_its_answers_goes_on_in_the_next_slice(numbers):
    slices = []

    def borrow():
        slices.append(len(numbers.read_text()))
        return here(0.3)()

    updates = run(partial(count_to, numbers, 15), borrow)
    assert len(slices) > 1
    assert updates[-1] == Progress(15)
    assert not any(update.stopped for update in updates)  # the end of a slice is not that of the work
    assert [each.done for each in updates] == sorted(each.done for each in updates)


def test_a_killed_slice_is_followed_by_the_next_one_where_it_has_brought_something(numbers):
    calls = []

    def run_slice(arguments, variables):
        calls.append(len(numbers.read_text()))
        if len(calls) > 1:
            return here()()(arguments, variables)
        job_slices.work_in_slice(Path(arguments[2]), 0.2)
        raise RuntimeError("GPU task aborted")

    assert run(partial(count_to, numbers, 8), lambda: run_slice)[-1] == Progress(8)
    assert len(calls) == 2
    assert calls[1] > 0


@pytest.mark.parametrize(("begins", "key"), [(False, "not_lent"), (True, "slice_ended")])
def test_where_no_gpu_is_lent_or_it_is_taken_away_three_lines_say_so(numbers, begins, key):
    calls = []

    def run_slice(arguments, variables):
        calls.append(1)
        if begins:
            (Path(arguments[2]) / "started").touch()
        raise RuntimeError("You have exceeded your GPU quota")

    with pytest.raises(DeviceError) as raised:
        run(partial(count_to, numbers, 3), lambda: run_slice)
    assert raised.value.key == f"device.{key}"
    lines = raised.value.message.text(DEFAULT_LANGUAGE).splitlines()
    assert len(lines) == 3
    assert "exceeded your GPU quota" in lines[0]
    assert len(calls) == 1


def test_an_error_of_the_work_comes_back_as_it_is():
    with pytest.raises(CompareError) as raised:
        run(refuse, here())
    assert raised.value.key == "compare.no_step"
    assert raised.value.values["step"] == 3


def test_a_comparison_whose_time_is_over_shows_what_it_has_and_says_so():
    *_, last = run(partial(answer, "Aye"), here(0.2))
    assert last.texts() == ("Aye", "Aye")
    assert [note.key for note in last.notes] == ["compare.note.slice_over"]


def test_a_comparison_without_a_word_is_an_error():
    with pytest.raises(DeviceError) as raised:
        run(partial(answer, ""), here(0.2))
    assert raised.value.key == "device.slice_ended"


def test_stop_reaches_the_slice(numbers):
    job = Job(job_slices.in_slices(partial(count_to, numbers, 200), here()))
    threading.Thread(target=job.run, args=(None, None, lambda: False), daemon=True).start()
    updates = job.updates()
    next(updates)
    job.stop()
    *_, last = updates
    assert last.stopped


def test_the_jobs_that_answer_are_lent_a_gpu(finished_run, monkeypatch):
    """All of them can be pickled, and come back from the thread as they would without a slice."""
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    works = []
    monkeypatch.setattr(job_slices, "in_slices", lambda work: works.append(pickle.dumps(work)) or refuse)
    request = CompareRequest(finished_run.id, ("Who?",), GREEDY)
    thread = gpu.thread()
    for ask in (
        partial(thread.compare, request),
        partial(thread.score_answer, request, (1, 2)),
        partial(thread.evaluate, evaluation_job.EvaluationRequest(finished_run.id)),
    ):
        with pytest.raises(StudioError):
            ask().result()
    assert [pickle.loads(work).func.__name__ for work in works] == ["compare", "score_answer", "evaluate"]


@pytest.mark.usefixtures("warm_python")
def test_another_process_streams_the_answers_that_this_one_would_give(finished_run, monkeypatch):
    request = CompareRequest(finished_run.id, ("Where is the harbour?",), GREEDY)
    known = gpu.thread().compare(request).result()
    monkeypatch.setattr(gpu_slices, "_POLL_SECONDS", 0.005)
    updates = run(partial(compare_job.compare, request), lambda: gpu_slices.run_slice)
    assert [side.ids for side in updates[-1].answers[0]] == [side.ids for side in known.answers[0]]
    assert updates[-1].proof.verified
    assert updates[-1].proof == known.proof


def test_a_process_that_is_killed_takes_its_slice_with_it(finished_run):
    printed = run_program(ask_of_stand_in(finished_run.id), {"SPACES_ZERO_GPU": "true", "RESTYLE_SLICE_SECONDS": "1"})
    assert "GPU task aborted" in printed
    end = time.monotonic() + 10
    while time.monotonic() < end and slices_alive():
        time.sleep(0.05)
    assert not slices_alive()


def slices_alive() -> list:
    return [p for p in psutil.process_iter(["cmdline"]) if "studio.job_slices" in " ".join(p.info["cmdline"] or ())]


@pytest.mark.slow
def test_the_whole_on_a_stand_in(finished_run):
    request = CompareRequest(finished_run.id, ("Where is the harbour?",), GREEDY)
    known = gpu.thread().compare(request, keep=False).result()
    printed = run_program(ask_of_stand_in(finished_run.id), {"SPACES_ZERO_GPU": "true"})
    count, ids = json.loads(printed)
    assert count > 2
    assert ids == [list(side.ids) for side in known.answers[0]]


def ask_of_stand_in(run_id: str) -> str:
    """Return a program that compares as the page does where the stand-in lends a GPU."""
    return f"""
import json, sys
sys.path.insert(0, {str(STAND_IN)!r})
from studio.model import hardware
hardware.prepare_process()
from studio import gpu, gpu_slices
from studio.compare import compare_job
from studio.compare.columns import CompareRequest
from studio.config import GenerationConfig
gpu_slices.borrow()
request = CompareRequest({run_id!r}, ("Where is the harbour?",), GenerationConfig(temperature=0.0, max_new_tokens=12))
try:
    updates = list(gpu.thread().compare(request).updates())
    print(json.dumps([len(updates), [side.ids for side in updates[-1].answers[0]]]))
except Exception as error:
    print(error)
gpu.shutdown()
"""
