"""Runs as jobs of the Hub: against a stand-in that carries out each job as processes with a tiny model."""

import json
import threading
import time

import pytest
from following import losses, wait_for, wait_until_over

from studio import gpu, runs
from studio.errors import StudioError
from studio.events import Resumed
from studio.files import replace_file, sha256, user_cache
from studio.remote import follow, hub_jobs, mirror, record, turn
from studio.remote.hub_jobs import HubJobs
from studio.runs import State, checkpoints

TOKEN = "hf_of_alice"


@pytest.fixture
def hub(hub_stand_in, monkeypatch):
    hub_stand_in.account(TOKEN, "alice")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(follow, "POLL_SECONDS", 0.3)
    monkeypatch.setattr(hub_jobs, "RETRY_SECONDS", 0.2)
    hub_stand_in.folder.mkdir(parents=True)
    return hub_stand_in


@pytest.fixture
def config(tiny_config):
    """Six steps, saved at every second."""
    return tiny_config.with_settings(
        {"model.id": "someone/tiny", "train.save": "steps", "train.save_steps": 2, "samples.mode": "off"}
    )


@pytest.fixture
def long_config(config):
    """Enough steps for something to happen meanwhile."""
    return config.with_settings({"train.max_steps": 300, "train.save_steps": 20, "train.epochs": 100})


def begin(config, seconds=600, **choices):
    jobs = HubJobs()
    return follow.start(jobs, config, jobs.offers().quote("t4-small", seconds).model_copy(update=choices))


def over(run):
    return wait_until_over(run, 250)  # a job imports the libraries twice


def reason(run):
    return run.status().error and run.status().error.text()


def notes(run):
    return [event.message.key for event in run.events()[0] if event.type == "note"]


def wait_until_noted(run, key):
    deadline = time.monotonic() + 60
    while key not in notes(run):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wait_for_job(hub, number=1):
    end = time.monotonic() + 30
    while len(hub.jobs.all) < number:
        assert time.monotonic() < end
        time.sleep(0.02)
    return hub.jobs.all[number - 1]


def test_a_run_is_carried_out_by_a_job_and_comes_back_whole(hub, config, home, here, tmp_path):
    (tmp_path / "run.yaml").write_text(config.to_yaml(), encoding="utf-8")
    given = ("train", str(tmp_path / "run.yaml"), "--on", "hf-jobs", "--timeout", "10m")
    most = "costs $0.40 an hour. In at most 0.167 h, the account alice pays at most $0.07"
    said = " ".join(here(*given, "--check").stdout.split())
    assert most in said
    assert "How long it takes on t4-small is not known" in said  # the model is not here yet
    assert here(*given, input="n\n").returncode == 1
    assert hub.jobs.all == runs.all_runs() == []
    followed = here(*given, "--yes", "--json")
    run = runs.find("last")
    assert followed.returncode == 0, (followed.stderr, reason(run), hub.jobs.all[0].log)
    assert run.status().state is State.FINISHED
    local = gpu.thread().start_run(config)
    over(local)

    said = " ".join(here(*given, "--check").stdout.split())
    assert "It will probably take 3 to 10 minutes on t4-small. That costs $0.02 to $0.07." in said
    assert "The time limit may be too short" in said
    assert losses(run) == losses(local)
    assert sha256(run.adapter / "adapter_model.safetensors") == sha256(local.adapter / "adapter_model.safetensors")
    assert run.resolved()["config"] == run.started_config().model_dump(mode="json")
    assert run.resolved()["data"] == local.resolved()["data"]
    assert checkpoints.step_of(checkpoints.newest_complete(run.path)) == 6
    assert "log.remote.price" in notes(run)
    assert "log.remote.kept" in notes(run)
    stays = record.load(run).repository
    assert {"repository": stays, "repository_deleted": False}.items() <= json.loads(followed.stdout).items()
    assert not (user_cache("remote") / run.id).exists()
    [job] = hub.jobs.all
    assert job.spec["secrets"] == {"HF_TOKEN": TOKEN}
    assert job.spec["timeoutSeconds"] == 600
    repository = hub.repositories[record.load(run).repository]
    assert repository.private
    written = [path for folder in (home, repository.folder) for path in folder.rglob("*") if path.is_file()]
    assert [path for path in written if TOKEN.encode() in path.read_bytes()] == []
    assert TOKEN not in "".join(job.log)


@pytest.mark.long
def test_the_repository_is_deleted_once_all_of_it_is_here_and_only_then(hub, config, monkeypatch):
    run = begin(config, delete_repository=True)
    assert over(run) is State.FINISHED, (reason(run), hub.jobs.all[0].log)
    assert record.load(run).repository not in hub.repositories
    assert record.load(run).deleted
    assert "log.remote.deleted" in notes(run)

    again = begin(config.with_settings({"name": "again"}), delete_repository=True)
    whole = mirror.differences

    def without_weights(*arguments):
        (again.adapter / "adapter_model.safetensors").write_bytes(b"damaged")
        return whole(*arguments)

    monkeypatch.setattr(mirror, "differences", without_weights)
    assert over(again) is State.FINISHED, (reason(again), hub.jobs.all[1].log)
    [told] = [
        event.message for event in again.events()[0] if event.type == "note" and "not_deleted" in event.message.key
    ]
    assert told.values["names"] == "adapter/adapter_model.safetensors"
    assert record.load(again).repository in hub.repositories
    assert not record.load(again).deleted


@pytest.mark.long
def test_a_request_that_arrives_late_gives_a_second_job_of_which_one_trains(hub, config):
    hub.jobs.late, hub.jobs.waiting = 1, True
    run = begin(config)
    first = wait_for_job(hub)  # the second request, after three looks at the list
    wait_for(run, lambda status: status.phase == "remote_queue")
    assert record.load(run).job == first.id
    hub.jobs.held.append(first)
    late = hub.jobs.arrive()
    hub.jobs.waiting = False
    assert over(run) is State.FINISHED, (reason(run), late.log)
    assert (first.stage, late.stage) == ("CANCELED", "COMPLETED")
    assert record.load(run).job == late.id
    assert "log.remote.rival" in notes(run)
    assert len(losses(run)) == 6


@pytest.mark.long
def test_a_job_that_comes_when_another_has_the_turn_trains_nothing(hub, config, monkeypatch):
    def leave(self):
        return False

    monkeypatch.setattr(follow._Follower, "_turns_to_another", leave)  # as where the studio was closed
    hub.jobs.late = 1
    run = begin(config)
    first = wait_for_job(hub)
    wait_for(run, lambda status: status.state is State.TRAINING or status.step > 0 or not status.state.alive)
    late = hub.jobs.arrive()
    assert over(run) is State.FINISHED, (reason(run), first.log)
    end = time.monotonic() + 60
    while late.stage in ("SCHEDULING", "RUNNING"):
        assert time.monotonic() < end, late.log
        time.sleep(0.05)
    assert late.stage == "COMPLETED"
    assert late.log == [f"run {run.id}: another job carries it out"]


def test_only_one_of_many_jobs_takes_a_turn(hub):
    api = HubJobs().api
    api.create_repo("alice/restyle-x", private=True)
    turn.open_for(api, "alice/restyle-x", 2)
    taken = {}

    def take(name, attempt=2):
        taken[name] = turn.take(api, "alice/restyle-x", attempt, name)

    takers = [threading.Thread(target=take, args=(f"job {number}",)) for number in range(4)]
    for each in takers:
        each.start()
    for each in takers:
        each.join(60)
    assert sorted(taken.values()) == [False, False, False, True]
    [winner] = [name for name, is_taken in taken.items() if is_taken]
    assert turn.take(api, "alice/restyle-x", 2, winner)  # its answer may have been lost
    assert not turn.close(api, "alice/restyle-x", 2)
    turn.open_for(api, "alice/restyle-x", 3)
    assert not turn.take(api, "alice/restyle-x", 2, winner)  # of an attempt that is over
    assert turn.close(api, "alice/restyle-x", 3)
    assert not turn.take(api, "alice/restyle-x", 3, "late")


@pytest.mark.long
def test_an_app_that_starts_follows_the_jobs_again_and_starts_none(hub, config, monkeypatch):
    hub.jobs.waiting = True
    run = leave_alone(hub, config, monkeypatch)
    assert [each.id for each in follow.follow_again()] == [run.id]
    assert follow.follow_again() == []
    hub.jobs.waiting = False
    assert over(run) is State.FINISHED, (reason(run), hub.jobs.all[0].log)
    assert len(hub.jobs.all) == 1
    assert follow.follow_again() == []

    hub.jobs.waiting = True
    dead = leave_alone(hub, config.with_settings({"name": "dead"}), monkeypatch)
    hub.jobs.all[1].end("ERROR", "the machine is gone")
    monkeypatch.delenv("HF_TOKEN")
    assert follow.follow_again() == []  # without a token it stays as it is, and can be resumed with one
    assert dead.status().state is State.INTERRUPTED
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert [each.id for each in follow.follow_again()] == [dead.id]
    assert over(dead) is State.INTERRUPTED
    assert "the machine is gone" in reason(dead)
    assert len(hub.jobs.all) == 2


@pytest.mark.slow
def test_a_lost_network_a_dead_job_and_a_pause_change_nothing_in_the_result(hub, long_config):
    run = begin(long_config)
    wait_for(run, lambda status: status.step >= 20)
    hub.away = True
    wait_until_noted(run, "log.remote.lost")
    assert run.status().state.alive
    hub.away = False
    wait_until_noted(run, "log.remote.back")
    assert notes(run).count("log.remote.lost") == 1

    hub.jobs.all[0].end("ERROR", "the machine is gone")
    assert over(run) is State.INTERRUPTED
    assert "the machine is gone" in reason(run)
    saved = checkpoints.step_of(checkpoints.newest_complete(run.path))
    known = max(event.step for event in run.events()[0] if event.type == "step")
    assert known - saved <= 20, "a save interval"
    gpu.thread().resume_run(run.id)
    wait_for(run, lambda status: status.state is State.TRAINING)
    run.request("pause")
    assert over(run) is State.PAUSED, (reason(run), hub.jobs.all[1].log)
    paused = run.status().step
    assert hub.jobs.all[1].stage == "COMPLETED"
    assert saved <= paused < 300, "it was to be paused on its way"
    assert checkpoints.step_of(checkpoints.newest_complete(run.path)) == paused

    gpu.thread().resume_run(run.id)
    assert over(run) is State.FINISHED, (reason(run), hub.jobs.all[2].log)
    here = gpu.thread().start_run(long_config)
    over(here)
    resumed = [event.step for event in run.events()[0] if isinstance(event, Resumed)]
    assert resumed[1] >= saved
    assert resumed[2] == paused
    assert {event.step: event.loss for event in run.events()[0] if event.type == "step"} == dict(
        enumerate(losses(here), 1)
    )
    assert sha256(run.adapter / "adapter_model.safetensors") == sha256(here.adapter / "adapter_model.safetensors")


@pytest.mark.long
def test_shortly_before_the_time_is_over_the_run_is_paused(hub, long_config):
    def start_early(job):
        job.started = time.time() + 25 - 540  # the pause of a job of 600 s is after 540

    hub.jobs.on_start = start_early
    run = begin(long_config.with_settings({"train.max_steps": 20000, "train.epochs": 1000}))
    assert over(run) is State.PAUSED, (reason(run), hub.jobs.all[0].log)
    assert "log.remote.time_over" in notes(run)


def test_one_run_has_one_job_where_the_answer_is_lost_or_it_is_started_twice(hub, config):
    hub.jobs.waiting, hub.jobs.lost_answers = True, 1
    run = begin(config)
    wait_for(run, lambda status: status.phase == "remote_queue")
    assert record.load(run).job == hub.jobs.all[0].id
    with pytest.raises(StudioError, match="same settings"):
        begin(config)
    with pytest.raises(StudioError):
        gpu.thread().resume_run(run.id)
    run.request("cancel")
    assert over(run) is State.STOPPED
    assert [job.stage for job in hub.jobs.all] == ["CANCELED"]
    assert [each.id for each in runs.all_runs()] == [run.id]


def leave_alone(hub, config, monkeypatch):
    """Return a run whose job waits, and whose process is gone."""

    left = threading.Event()

    def leave(self, seconds):
        left.set()
        threading.Event().wait()

    with monkeypatch.context() as patched:
        patched.setattr(follow._Follower, "_wait", leave)
        run = begin(config)
        wait_for_job(hub, len(hub.jobs.all) + 1)
        wait_for(run, lambda status: status.phase == "remote_queue")
        assert left.wait(60)
    status = json.loads((run.path / "status.json").read_text())
    status["owner"]["started"] -= 1000  # another process, which is gone
    replace_file(run.path / "status.json", json.dumps(status))
    assert run.status().state is State.INTERRUPTED
    return run


@pytest.mark.long
def test_a_run_whose_process_has_ended_is_followed_again(hub, config, monkeypatch):
    hub.jobs.waiting = True
    run = leave_alone(hub, config, monkeypatch)
    gpu.thread().resume_run(run.id)
    hub.jobs.waiting = False
    assert over(run) is State.FINISHED, (reason(run), hub.jobs.all[0].log)
    assert len(hub.jobs.all) == 1
    assert len(losses(run)) == 6


def test_what_cannot_be_started_says_why_and_starts_nothing(hub, config, tiny_config, monkeypatch):
    with pytest.raises(StudioError, match=r"no machine called t5.*cpu-basic, t4-small"):
        HubJobs().offers().quote("t5", 600)
    with pytest.raises(StudioError, match="folder of this one"):
        begin(tiny_config)
    for wrong in ("2 weeks", "30s", "", "-1h"):
        with pytest.raises(StudioError, match="no time limit"):
            hub_jobs.parse_duration(wrong)
    assert [hub_jobs.parse_duration(text) for text in ("90m", "2h", "1.5h", "7200")] == [5400, 7200, 5400, 7200]
    assert runs.all_runs() == []
    hub.jobs.refusal = 402, "You have no credit"
    refused = begin(config)
    assert over(refused) is State.INTERRUPTED
    assert "no credit" in reason(refused)
    assert refused.status().can_resume(has_checkpoint=False)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(StudioError, match="no token"):
        HubJobs()
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(StudioError, match="refused"):
        HubJobs().offers()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(StudioError, match="out of reach"):
        HubJobs().offers()
    assert hub.jobs.all == []
