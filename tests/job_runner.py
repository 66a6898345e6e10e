"""What the stand-in for the Hub does with jobs: it runs them, each as processes of this machine in a folder of its own.

A job's command is that of `uv run ADDRESS`: the script is fetched with the job's token, and run by this Python. A job
that reaches its time limit is killed, and a cancelled one too. Nobody is told the values of its secrets.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

HARDWARE = (("cpu-basic", 0.000167, "minute"), ("t4-small", 0.006667, "minute"))
PYTHON = sys.executable


@dataclass
class Job:
    id: str
    owner: str
    spec: dict[str, Any]
    stage: str = "SCHEDULING"
    message: str | None = None
    created: float = field(default_factory=time.time)
    started: float | None = None
    finished: float | None = None
    process: subprocess.Popen | None = None
    log: list[str] = field(default_factory=list)

    def about(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "createdAt": _iso(self.created),
            "startedAt": _iso(self.started),
            "finishedAt": _iso(self.finished),
            "dockerImage": self.spec["dockerImage"],
            "command": self.spec["command"],
            "arguments": [],
            "environment": self.spec["environment"],
            "secrets": dict.fromkeys(self.spec.get("secrets", {})),
            "flavor": self.spec["flavor"],
            "labels": self.spec.get("labels", {}),
            "status": {"stage": self.stage, "message": self.message},
            "durations": {"runningSecs": int((self.finished or time.time()) - self.started) if self.started else None},
            "owner": {"id": "0" * 24, "name": self.owner, "type": "user"},
        }

    def end(self, stage: str, message: str | None = None) -> None:
        """Kill what runs, as the Hub ends a container."""
        if self.stage in ("SCHEDULING", "RUNNING"):
            self.stage, self.message, self.finished = stage, message, time.time()
        if self.process:
            with_group(self.process, signal.SIGKILL)


def with_group(process: subprocess.Popen, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _iso(at: float | None) -> str | None:
    return at and datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class JobRunner:
    """The jobs of the stand-in, the newest last."""

    def __init__(self, hub: Any):
        self.hub = hub
        self.all: list[Job] = []
        self.waiting = False
        """Whether no machine is free: jobs stay scheduled."""
        self.held: list[Job] = []
        """Jobs for which no machine is free, whatever is true of others."""
        self.late = 0
        """How many more requests for a job get no answer, and arrive only when `arrive` is called."""
        self.on_the_way: list[tuple[str, dict[str, Any]]] = []
        """Those requests."""
        self.lost_answers = 0
        """How many more jobs start without an answer to whoever started them."""
        self.refusal: tuple[int, str] | None = None
        """The status and the reason with which jobs are refused."""
        self.on_start: Callable[[Job], None] = lambda job: None
        self._folder = Path()

    def start(self, owner: str, spec: dict[str, Any]) -> Job:
        job = Job(f"{len(self.all):024x}", owner, spec)
        self.all.append(job)
        threading.Thread(target=self._run, args=(job,), daemon=True).start()
        return job

    def arrive(self) -> Job:
        """Let the request that is on the way for the longest time arrive."""
        return self.start(*self.on_the_way.pop(0))

    def close(self) -> None:
        for job in self.all:
            job.end("CANCELED")

    def _run(self, job: Job) -> None:
        import httpx

        while (self.waiting or job in self.held) and job.stage == "SCHEDULING":
            time.sleep(0.05)
        if job.stage != "SCHEDULING":
            return
        uv, run, address, *arguments = job.spec["command"]
        assert (uv, run) == ("uv", "run")
        secrets = job.spec.get("secrets", {})
        folder = Path(tempfile.mkdtemp(dir=self.hub.folder.parent, prefix="job-"))
        script = httpx.get(address, headers={"Authorization": f"Bearer {secrets['HF_TOKEN']}"}).raise_for_status()
        (folder / "job.py").write_bytes(script.content)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "HF_HOME": str(folder / "huggingface"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_USER_AGENT_ORIGIN": "job",
            "RESTYLE_CACHE": str(folder / "cache"),
            "RESTYLE_SYNC_SECONDS": "1",
            "OMP_NUM_THREADS": "1",
            **job.spec["environment"],
            **secrets,
        }
        job.started, job.stage = time.time(), "RUNNING"
        (folder / "work").mkdir()
        job.process = subprocess.Popen(
            [PYTHON, str(folder / "job.py"), *arguments],
            cwd=folder / "work",
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        limit = threading.Timer(job.spec["timeoutSeconds"], job.end, ("ERROR", "Job timeout"))
        limit.daemon = True
        limit.start()
        self.on_start(job)
        with job.process.stdout as printed:
            job.log.extend(line.rstrip("\n") for line in printed)
        code = job.process.wait()
        limit.cancel()
        job.end("ERROR" if code else "COMPLETED", f"exit code {code}" if code else None)


class Jobs:
    """The part of the handler that is about jobs."""

    hub: Any

    def is_away(self) -> bool:
        """Close the connection without an answer, where this machine's network is gone."""
        if self.hub.away and "origin/job" not in self.headers.get("User-Agent", ""):
            self.close_connection = True
            return True
        return False

    def tell_jobs(self, path: str, token: str | None) -> None:
        if path == "/api/jobs/hardware":
            offers = [
                {
                    "name": name,
                    "prettyName": name,
                    "cpu": "4 vCPU",
                    "ram": "15 GB",
                    "unitCostMicroUSD": round(price * 1e6),
                    "unitCostUSD": price,
                    "unitLabel": unit,
                }
                for name, price, unit in HARDWARE
            ]
            return self._json(offers)
        account = self.hub.accounts.get(token)
        owner, *rest = path.removeprefix("/api/jobs/").split("/")
        if account is None or owner != account.name:
            return self._refuse(403, "", "not your jobs")
        if not rest:
            asked = parse_qs(urlsplit(self.path).query).get("label", [])
            labels = [label.split("=", 1) for label in asked]
            jobs = [
                job for job in reversed(self.hub.jobs.all) if all(job.spec["labels"].get(k) == v for k, v in labels)
            ]
            return self._json([job.about() for job in jobs])
        job = next((each for each in self.hub.jobs.all if each.id == rest[0]), None)
        if job is None:
            return self._refuse(404, "", "no such job")
        if rest[1:] == ["logs"]:
            events = "".join(f"data: {json.dumps({'timestamp': '', 'data': line})}\n\n" for line in job.log)
            return self._send(200, events.encode())
        return self._json(job.about())

    def take_job(self, path: str, body: bytes, account: Any, token: str) -> None:
        owner, *rest = path.removeprefix("/api/jobs/").split("/")
        if owner != account.name:
            return self._refuse(403, "", "not your jobs")
        if rest[1:] == ["cancel"]:
            job = next(each for each in self.hub.jobs.all if each.id == rest[0])
            job.end("CANCELED")
            return self._json({})
        if self.hub.jobs.refusal:
            return self._refuse(self.hub.jobs.refusal[0], "", self.hub.jobs.refusal[1])
        spec = json.loads(body)
        assert spec["timeoutSeconds"], "a job has a time limit"
        assert all(len(value) <= 100 for value in spec["labels"].values())
        if self.hub.jobs.late:
            self.hub.jobs.late -= 1
            self.hub.jobs.on_the_way.append((owner, spec))
            self.close_connection = True
            return None
        job = self.hub.jobs.start(owner, spec)
        if self.hub.jobs.lost_answers:
            self.hub.jobs.lost_answers -= 1
            self.close_connection = True
            return None
        return self._json(job.about())
