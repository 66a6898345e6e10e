"""The queue of the GPU thread: runs wait, change places, and answer what is asked of them."""

import contextlib
import threading
import time
import weakref
from types import SimpleNamespace

import pytest
from following import wait_for, wait_until_over

from studio import gpu, locks, runs
from studio.compare.columns import CompareRequest, EvaluationRequest
from studio.config import GenerationConfig
from studio.errors import DeviceError, RunError
from studio.generation import generate
from studio.job import Job
from studio.model import hardware, probe
from studio.runs import State


@pytest.fixture
def training(tiny_config):
    """A run that trains until it is told to end."""
    run = gpu.thread().start_run(tiny_config.with_settings({"train.max_steps": 100_000}))
    wait_for(run, lambda status: status.step > 0)
    yield run
    if run.status().state.alive:
        run.request("cancel")
        wait_until_over(run)


@pytest.mark.long
def test_runs_that_wait_are_carried_out_in_the_order_that_they_were_moved_to(training, tiny_config):
    first, second, third = (gpu.thread().start_run(tiny_config, wait=True) for _ in range(3))
    assert gpu.thread().queued() == [first.id, second.id, third.id]
    gpu.thread().move(third.id, 0)
    assert gpu.thread().queued() == [third.id, first.id, second.id]
    training.request("stop")
    for run in (first, second, third):
        assert wait_until_over(run) is State.FINISHED
    began = {run.id: run.status().started for run in (first, second, third)}
    assert sorted(began, key=began.get) == [third.id, first.id, second.id]
    assert gpu.thread().queued() == []


def test_without_leave_to_wait_a_second_start_is_refused(training, tiny_config):
    with pytest.raises(DeviceError, match=training.id):
        gpu.thread().start_run(tiny_config)
    assert gpu.thread().queued() == []


@pytest.mark.parametrize(
    ("action", "state"), [("pause", State.PAUSED), ("stop", State.STOPPED), ("cancel", State.STOPPED)]
)
def test_a_run_that_waits_answers_at_once(training, tiny_config, action, state):
    waiting = gpu.thread().start_run(tiny_config, wait=True)
    waiting.request(action)
    assert wait_until_over(waiting, 10) is state
    assert training.status().state is State.TRAINING
    assert gpu.thread().queued() == []


def test_a_run_that_was_paused_while_it_waited_can_be_resumed(training, tiny_config):
    waiting = gpu.thread().start_run(tiny_config, wait=True)
    waiting.request("pause")
    assert wait_until_over(waiting, 10) is State.PAUSED
    gpu.thread().resume_run(waiting.id, wait=True)
    assert gpu.thread().queued() == [waiting.id]
    training.request("cancel")
    assert wait_until_over(waiting) is State.FINISHED


def test_only_a_run_that_waits_can_be_moved(training):
    with pytest.raises(RunError, match="not in the queue"):
        gpu.thread().move(training.id, 0)


def test_closing_pauses_the_run_that_trains_and_those_that_wait(tiny_config):
    thread = gpu.GpuThread()
    run = thread.start_run(tiny_config.with_settings({"train.max_steps": 100_000}))
    waiting = thread.start_run(tiny_config, wait=True)
    wait_for(run, lambda status: status.step > 0)
    thread.close()
    assert run.status().state is State.PAUSED
    assert waiting.status().state is State.PAUSED


def test_a_token_is_nowhere_in_a_waiting_runs_words(training, tiny_config):
    waiting = gpu.thread().start_run(tiny_config, wait=True, token="hf_canary")
    assert "hf_canary" not in repr(gpu.thread()._queue)
    assert not any(b"hf_canary" in path.read_bytes() for path in waiting.path.rglob("*") if path.is_file())
    waiting.request("cancel")
    wait_until_over(waiting, 10)


@pytest.fixture
def slow_answers(monkeypatch):
    """Let every answer take most of a minute, a token at a time."""
    put = generate._Stream.put
    monkeypatch.setattr(generate._Stream, "put", lambda self, value: (time.sleep(0.05), put(self, value)))
    monkeypatch.setattr("studio.compare.column_loading.tokens", SimpleNamespace(stop_ids=lambda *given: {2}))
    return GenerationConfig(max_new_tokens=900, temperature=0.0)


def begun(job):
    """Wait until a job has shown its first answers."""
    shown = job.updates()
    next(shown)
    return shown


@pytest.mark.long
@pytest.mark.parametrize("kind", ["evaluate", "compare"])
def test_while_a_job_goes_on_the_runs_that_wait_answer_within_a_forward_pass(tiny_config, slow_answers, kind):
    run = gpu.thread().start_run(tiny_config.with_settings({"evaluation.prompts": "captain-heldout"}))
    assert wait_until_over(run) is State.FINISHED
    if kind == "compare":
        job = gpu.thread().compare(CompareRequest(run.id, ("What is 3?",), slow_answers))
    else:
        job = gpu.thread().evaluate(EvaluationRequest(run.id, generation=slow_answers, limit=2))
    shown = begun(job)
    waiting = [gpu.thread().start_run(tiny_config, wait=True) for _ in range(4)]
    for each, action in zip(waiting, ("pause", "stop", "cancel"), strict=False):
        each.request(action)
    assert [wait_until_over(each, 10) for each in waiting[:3]] == [State.PAUSED, State.STOPPED, State.STOPPED]
    gpu.thread().move(waiting[3].id, 0)
    assert gpu.thread().queued() == [waiting[3].id]
    assert not job.done.is_set()
    job.stop()
    list(shown)
    assert wait_until_over(waiting[3]) is State.FINISHED


def test_a_comparison_makes_way_for_what_is_asked_of_the_run_that_trains(training, slow_answers):
    request = CompareRequest(training.id, ("What is 3?",), slow_answers)
    job, later = gpu.thread().compare(request), gpu.thread().compare(request)
    shown = begun(job)
    training.request("pause")
    assert wait_until_over(training, 10) is State.PAUSED
    *_, last = shown
    assert [side.end for side in last.answers[0]] == ["stopped", "stopped"]
    begun(later)  # it has waited, and is answered by the checkpoint that the pause has made
    later.stop()
    assert "checkpoint" in later.result().notes[0].text()


def test_closing_does_not_wait_for_a_long_answer(tiny_config, slow_answers):
    thread = gpu.GpuThread()
    run = thread.start_run(tiny_config)
    wait_until_over(run)
    shown = begun(thread.compare(CompareRequest(run.id, ("What is 3?",), slow_answers)))
    thread.close()
    *_, last = shown
    assert last.answers[0][0].end == "stopped"
    assert last.answers[0][0].tokens < 900


def test_closing_pauses_a_run_that_was_taken_from_the_queue_and_has_not_begun(tiny_config, monkeypatch):
    thread = gpu.GpuThread()
    begin, closing = thread._train, threading.Thread(target=thread.close)

    def close_and_begin(waiting):
        closing.start()
        thread._work.acquire()  # close has asked all runs that it knows of, and waits for the thread
        begin(waiting)

    monkeypatch.setattr(thread, "_train", close_and_begin)
    run = thread.start_run(tiny_config.with_settings({"train.max_steps": 40}))
    closing_state = wait_until_over(run)
    closing.join()
    assert closing_state is State.PAUSED


@pytest.fixture
def device_is_taken(home):
    """The device is another process's, as far as its lock tells."""
    folder = home / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as taken:
        for name in hardware.devices():
            taken.enter_context(locks.acquire(folder / f"{name}.lock"))
        yield taken


def test_a_run_that_waits_for_the_device_keeps_no_comparison_waiting(finished_run, device_is_taken, tiny_config):
    waiting = gpu.thread().start_run(tiny_config)
    wait_for(waiting, lambda status: status.phase == "waiting")
    made = gpu.thread().compare(CompareRequest(finished_run.id, ("What is 3?",), tiny_config.generation)).result()
    assert all(side.text for side in made.answers[0])
    assert waiting.status().phase == "waiting"
    device_is_taken.close()
    assert wait_until_over(waiting) is State.FINISHED


@pytest.mark.parametrize(("action", "state"), [("pause", State.PAUSED), ("stop", State.STOPPED)])
def test_a_run_that_waits_for_the_device_answers(device_is_taken, tiny_config, action, state):
    waiting = gpu.thread().start_run(tiny_config)
    wait_for(waiting, lambda status: status.phase == "waiting")
    waiting.request(action)
    assert wait_until_over(waiting, 10) is state


class Cards:
    """Stands in for `torch.cuda` with NVIDIA cards, in the order that CUDA_VISIBLE_DEVICES gives them."""

    def __init__(self, monkeypatch, *uuids):
        monkeypatch.setattr(hardware, "device", lambda: "cuda" if uuids else "cpu")
        monkeypatch.setattr("torch.cuda.device_count", lambda: len(uuids))
        monkeypatch.setattr("torch.cuda.get_device_properties", lambda card: SimpleNamespace(uuid=uuids[card]))


def test_a_card_has_one_name_whatever_its_place(monkeypatch):
    Cards(monkeypatch, "aaaa-1", "bbbb-2")
    assert hardware.devices() == ("GPU-aaaa-1", "GPU-bbbb-2")
    Cards(monkeypatch, "bbbb-2")
    assert hardware.devices() == ("GPU-bbbb-2",)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-cccc-3")
    assert hardware.devices() == ("MIG-cccc-3",)


def test_two_processes_use_two_cards_and_two_never_one(monkeypatch, home):
    Cards(monkeypatch, "a")
    first = gpu._lock_devices()
    Cards(monkeypatch, "b")
    second = gpu._lock_devices()
    assert first
    assert second
    Cards(monkeypatch, "a")
    assert gpu._lock_devices() is None
    second()
    Cards(monkeypatch, "b", "a")  # both or none: what was taken of them is given back
    assert gpu._lock_devices() is None
    Cards(monkeypatch, "b")
    assert gpu._lock_devices()


def test_a_run_begins_beside_one_of_another_process_on_another_card(monkeypatch, tiny_config):
    from studio import runs

    other = runs.create(tiny_config, ["GPU-a"])  # nobody carries it out, and its owner lives
    monkeypatch.setattr(hardware, "devices", lambda: ("GPU-a",))
    with pytest.raises(DeviceError, match=other.id):
        gpu.thread().start_run(tiny_config)
    monkeypatch.setattr(hardware, "devices", lambda: ("GPU-b",))
    assert wait_until_over(gpu.thread().start_run(tiny_config)) is State.FINISHED


def test_a_run_that_nobody_visits_is_not_probed_and_ends_in_the_same_bits(tiny_config, tmp_path, here, monkeypatch):
    """The command line's; whoever compares it later compares with a base that was loaded for it."""
    recorded: list[int] = []
    real = probe.record
    monkeypatch.setattr(probe, "record", lambda *given: recorded.append(1) or real(*given))
    gpu.shutdown()  # another test may have left a base
    (tmp_path / "run.yaml").write_text(tiny_config.to_yaml(), encoding="utf-8")
    assert here("train", str(tmp_path / "run.yaml")).returncode == 0
    alone = runs.find("last")
    assert recorded == []
    visited = gpu.thread().start_run(tiny_config)
    assert wait_until_over(visited) is State.FINISHED
    assert recorded == [1]
    ends = [(run.adapter / "adapter_model.safetensors").read_bytes() for run in (alone, visited)]
    assert ends[0] == ends[1]


def test_a_base_that_was_trained_on_without_a_probe_is_loaded_anew_for_a_proof(tiny_config):
    gpu.shutdown()
    gpu.thread().is_visited = False
    try:
        run = gpu.thread().start_run(tiny_config)
        assert wait_until_over(run) is State.FINISHED
        trained_on = gpu.thread()._host.loaded
        request = CompareRequest(run.id, ("Who?",), GenerationConfig(temperature=0, max_new_tokens=4))
        assert gpu.thread().compare(request).result().proof.verified
        assert gpu.thread()._host.loaded is not trained_on
    finally:
        gpu.shutdown()


def test_a_thread_that_was_closed_keeps_no_model(finished_run):
    thread = gpu.thread()
    request = CompareRequest(finished_run.id, ("What is 3?",), GenerationConfig(max_new_tokens=2))
    thread.compare(request, keep=False).result()
    bases = []
    thread.submit(Job(lambda job: bases.append(weakref.ref(job.host.loaded.model)))).done.wait(60)
    assert bases[0]() is not None

    gpu.shutdown()
    hardware.collect_garbage()
    assert bases[0]() is None
