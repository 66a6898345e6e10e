"""One run in several processes: the same losses as in one, and one end for all of them."""

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from following import loss_by_step, wait_for, wait_until_over

from studio import gpu, runs
from studio.config import RunConfig
from studio.errors import DeviceError, ModelError, RunError
from studio.model import processes
from studio.runs import State, checkpoints
from studio.train import distributed, plan, recorded_rows
from studio.ui import following

LAUNCH = Path(__file__).parents[2] / "presets" / "accelerate" / "processors.yaml"
SETTINGS = {
    "train.max_steps": 24,
    "train.batch_size": 4,
    "train.gradient_accumulation": 2,
    "train.learning_rate": 1e-3,
    "train.schedule": "constant",  # so that a run that is made longer is what a longer run would be
    "train.save": "steps",
    "train.save_steps": 4,
    "train.eval_steps": 8,
    "train.keep": "best",
    "data.limit": 23,  # 18 of them are trained, so that the last step of each epoch is short of rows
    "data.validation": {"kind": "fraction", "fraction": 0.2},
}


@pytest.fixture
def config(tiny_config):
    return tiny_config.with_settings(SETTINGS)


@pytest.fixture
def alone(config):
    """The same run in one process."""
    run = gpu.thread().start_run(config)
    assert wait_until_over(run) is State.FINISHED
    return run


@pytest.fixture
def launch(tmp_path, monkeypatch, request):
    """Start a command of the studio in two processes, which are ended with the test."""
    launcher, started = sys.executable, []
    request.getfixturevalue("warm_python")
    monkeypatch.setenv("PYTHON_EXEC", sys.executable)  # with what the launcher starts its processes

    def begin(*arguments: str, **variables: str) -> subprocess.Popen:
        command = [launcher, "-m", "accelerate.commands.launch", "--config_file", str(LAUNCH)]
        told = open(tmp_path / f"launched-{len(started)}.txt", "w")  # noqa: SIM115
        launched = subprocess.Popen(
            [*command, "-m", "studio", *arguments],
            stdout=told,
            stderr=subprocess.STDOUT,
            env=os.environ | variables,
            start_new_session=True,
        )
        told.close()
        launched.told = Path(told.name)
        started.append(launched)
        return launched

    yield begin
    for launched in started:
        if launched.poll() is None:
            os.killpg(launched.pid, signal.SIGKILL)
            launched.wait()


def the_run(launched: subprocess.Popen, seconds: float = 120):
    """Return the newest run, once there is one."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := runs.all_runs():
            return found[0]
        assert launched.poll() is None, launched.told.read_text()
        time.sleep(0.05)
    raise AssertionError("no run was begun")


def write(config: RunConfig, tmp_path: Path) -> str:
    path = tmp_path / "run.yaml"
    path.write_text(config.to_yaml(), encoding="utf-8")
    return str(path)


def evaluated(run) -> dict[int, float]:
    return {event.step: event.loss for event in run.events()[0] if event.type == "evaluated"}


def assert_same(run, other) -> None:
    """The losses of a run are those of another one; it may have been evaluated more often, where it was interrupted."""
    assert list(loss_by_step(run)) == list(loss_by_step(other))
    assert list(loss_by_step(run).values()) == pytest.approx(list(loss_by_step(other).values()), abs=1e-4)
    found, wanted = evaluated(run), evaluated(other)
    assert wanted
    assert [found[step] for step in wanted] == pytest.approx(list(wanted.values()), abs=1e-4)


@pytest.mark.long
def test_two_processes_train_like_one_pause_together_and_go_on_as_one(config, tmp_path, launch):
    launched = launch("train", write(config, tmp_path), "--json")
    run = the_run(launched)
    wait_for(run, lambda status: status.step >= 9)
    followed = following.newest()  # as the page does, in another process
    assert (followed.run_id, followed.alive, followed.can_be_tried) == (run.id, True, True)
    assert followed.silent == 0
    run.request("pause")
    assert launched.wait(60) == 0, launched.told.read_text()
    assert run.status().state is State.PAUSED
    assert following.follow(run.id).can_go_on
    stopped = run.status().step
    assert checkpoints.step_of(checkpoints.newest_complete(run.path)) == stopped < 24
    assert {path.name for path in checkpoints.newest_complete(run.path).glob("rng_state_*")} == {
        "rng_state_0.pth",
        "rng_state_1.pth",
    }
    assert [event.value for event in run.events()[0] if event.type == "chosen" and event.name == "processes"] == ["2"]
    states = [event.state for event in run.events()[0] if event.type == "state"]
    assert states == ["queued", "preparing", "training", "paused"]

    alone = gpu.thread().start_run(config)
    assert wait_until_over(alone) is State.FINISHED
    gpu.thread().resume_run(run.id)
    assert wait_until_over(run) is State.FINISHED
    assert_same(run, alone)


@pytest.mark.slow
def test_one_process_is_taken_up_by_two_which_stop_together(config, alone, tmp_path, launch):
    short = gpu.thread().start_run(config.with_settings({"train.max_steps": 13}))
    assert wait_until_over(short) is State.FINISHED
    launched = launch("resume", short.id, "--set", "train.max_steps=24", "--json")
    assert launched.wait(120) == 0, launched.told.read_text()
    assert short.status().state is State.FINISHED
    assert_same(short, alone)

    launched = launch("train", write(config.with_settings({"train.max_steps": 100_000}), tmp_path), "--json")
    while (run := the_run(launched)).id == short.id:
        time.sleep(0.05)
    wait_for(run, lambda status: status.step >= 3)
    run.request("stop")
    assert launched.wait(60) == 0, launched.told.read_text()
    assert run.status().state is State.STOPPED
    assert run.has_adapter


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_the_kill_of_one_process_ends_the_run_which_can_go_on(config, tmp_path, launch, killed):
    launched = launch("train", write(config.with_settings({"train.max_steps": 100_000}), tmp_path))
    run = the_run(launched)
    wait_for(run, lambda status: status.step >= 9)
    children = psutil.Process(launched.pid).children(recursive=True)
    next(child for child in children if child.environ().get("RANK") == str(killed)).kill()
    assert launched.wait(60) != 0
    status = run.status()
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
    if killed:
        assert status.state is State.FAILED
        assert status.error.key == "errors.device.process_gone"
    else:
        assert status.state is State.INTERRUPTED
    gpu.thread().resume_run(run.id)
    wait_for(run, lambda now: now.step > status.step)
    run.request("cancel")
    assert wait_until_over(run) is State.STOPPED


@pytest.mark.slow
def test_sigterm_to_the_launcher_pauses_the_run(config, tmp_path, launch):
    launched = launch("train", write(config.with_settings({"train.max_steps": 100_000}), tmp_path), "--json")
    run = the_run(launched)
    wait_for(run, lambda status: status.step >= 3)
    launched.terminate()
    launched.wait(60)
    assert run.status().state is State.PAUSED
    assert checkpoints.step_of(checkpoints.newest_complete(run.path)) == run.status().step


@pytest.mark.slow
def test_weights_that_are_spread_train_alike(config, alone, tmp_path):
    """FSDP itself, with gloo: what accelerate does for GPUs only is done for two processes without one."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_multi_gpu_env
    from safetensors.torch import load_file

    given = ["--config_file", str(LAUNCH.with_name("fsdp.yaml")), "-m", "studio"]
    environment = prepare_multi_gpu_env(_validate_launch_command(launch_command_parser().parse_args(given))[0])
    script = str(Path(__file__).with_name("sharded.py"))

    def launch(*arguments: str) -> None:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", script]
        ran = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, timeout=200)
        assert ran.returncode == 0, ran.stdout + ran.stderr

    launch("train", write(config, tmp_path), "--set", "train.max_steps=13", "--json")
    run = runs.find("last")
    gpu.thread().resume_run(run.id, {"train.max_steps": 24})
    assert wait_until_over(run) is State.FAILED
    assert run.status().error.key == "errors.run.was_sharded"
    launch("resume", run.id, "--json")
    assert run.status().state is State.FINISHED
    assert not (run.path / "samples.jsonl").exists()
    assert_same(run, alone)
    tuned, wanted = (load_file(each.adapter / "adapter_model.safetensors") for each in (run, alone))
    assert tuned.keys() == wanted.keys()
    assert max(float((tuned[name] - wanted[name]).abs().max()) for name in wanted) < 1e-3


@pytest.mark.slow
def test_rows_that_do_not_divide_are_refused_before_there_is_a_run(config, tmp_path, launch):
    odd = config.with_settings({"train.batch_size": 3, "train.gradient_accumulation": 1})
    launched = launch("train", write(odd, tmp_path), COLUMNS="300")
    assert launched.wait(120) == 1
    told = launched.told.read_text()
    assert "The 3 rows of a step cannot be divided among 2 processes" in told
    assert "2 / 4" in told
    assert runs.all_runs() == []


@pytest.mark.parametrize("rows", [16, 17, 19, 24, 3])
@pytest.mark.parametrize(("count", "size"), [(2, 2), (4, 1), (3, 4), (1, 5)])
def test_all_rows_are_dealt_once_in_steps_of_the_same_length(monkeypatch, rows, count, size):
    order = list(reversed(range(rows)))
    monkeypatch.setattr(processes, "world_size", lambda: count)
    dealt = []
    for number in range(count):
        monkeypatch.setattr(processes, "rank", lambda number=number: number)
        share = recorded_rows.DistributedBatchSampler(order, size)
        dealt.append(list(share))
        assert len(dealt[-1]) == len(share) == -(-rows // (size * count))
        assert {len(batch) for batch in dealt[-1]} == {size}
    together = [list(itertools.chain(*batches)) for batches in zip(*dealt, strict=True)]
    assert [row for batch in together for row in batch if row != rows] == order
    assert all(rows not in batch for batch in together[:-1])  # only the last one is filled up


@pytest.mark.parametrize(
    ("count", "asked", "found"),
    [(1, (4, 2), (4, 2)), (2, (4, 2), (4, 2)), (2, (4, 1), (2, 2)), (4, (4, 3), (3, 4)), (3, (4, 3), (4, 3))],
)
def test_a_step_keeps_its_rows_and_the_largest_micro_batch_that_divides(monkeypatch, count, asked, found):
    monkeypatch.setattr(processes, "world_size", lambda: count)
    settings = RunConfig().train.model_copy(update={"batch_size": asked[0], "gradient_accumulation": asked[1]})
    divided = plan.divide_batch(settings)
    assert (divided.batch_size, divided.gradient_accumulation) == found
    assert divided.gradient_accumulation % count == 0


def test_what_does_not_divide_is_refused_with_what_would(monkeypatch):
    monkeypatch.setattr(processes, "world_size", lambda: 8)
    settings = RunConfig().train.model_copy(update={"batch_size": 4, "gradient_accumulation": 3})
    with pytest.raises(RunError) as refused:
        plan.divide_batch(settings)
    assert refused.value.values == {"rows": 12, "processes": 8, "near": "8 / 16", "fewer": 6}


def test_the_error_of_another_process_becomes_that_of_the_run(finished_run, monkeypatch):
    monkeypatch.setattr(processes, "rank", lambda: 1)
    monkeypatch.setattr(distributed, "LINGER_SECONDS", 0.1)
    gone = DeviceError(processes.LOST_PEER, count=2)
    assert distributed.failure_cause(finished_run, gone) is gone
    distributed.write_failure(distributed.NullRunWriter(finished_run.path), DeviceError("device.memory"))
    assert distributed.failure_cause(finished_run, gone).message.key == "errors.device.memory"
    own = ModelError("model.not_here", id="x")
    assert distributed.failure_cause(finished_run, own) is own
    distributed.clear_failures(finished_run)
    assert distributed.failure_cause(finished_run, gone) is gone


def test_one_that_looks_on_writes_nothing(finished_run):
    before = {path: path.read_bytes() for path in finished_run.path.rglob("*") if path.is_file()}
    run = distributed.NullRunWriter(finished_run.path)
    run.request("stop")
    run.enter(State.TRAINING, step=3)
    run.enter_phase("saving")
    run.resolve({"x": 1})
    run.update(step=5)
    assert run.requested() is None
    (run.path / "control.json").unlink()
    assert {path: path.read_bytes() for path in finished_run.path.rglob("*") if path.is_file()} == before
