"""Jobs of the Hugging Face Hub, by huggingface_hub's own functions: their price, start, state and end.

Requests that get no answer are repeated; what the Hub refuses is an error with the Hub's reason.
"""

import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

from studio.errors import RunError, StudioError
from studio.model import hub_models
from studio.remote import bundle
from studio.remote.record import JobRecord
from studio.remote.worker import ATTEMPT_LABEL, RUN_LABEL

IMAGE = "ghcr.io/astral-sh/uv:python3.12-bookworm"
ENDED = ("COMPLETED", "CANCELED", "ERROR", "DELETED")
RETRY_SECONDS = 5.0
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_PER_HOUR = {"second": 3600.0, "minute": 60.0, "hour": 1.0}
_LEAST_SECONDS = 60

Result = TypeVar("Result")


def parse_duration(text: str) -> int:
    """Return the seconds of `90m`, `2h`, `1d` or `7200`; raises RunError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", text.strip().lower())
    seconds = int(float(match[1]) * _UNITS[match[2] or "s"]) if match else 0
    if seconds < _LEAST_SECONDS:
        raise RunError("remote.timeout", value=text[:40])
    return seconds


class HubJobs:
    """The jobs of one account. `token` stays in memory, and goes to a job as a secret."""

    def __init__(self, token: str | None = None):
        """Raise RunError where the Hub is out of reach, or the token may not start jobs."""
        from huggingface_hub import HfApi, get_token

        if not hub_models.reachable():
            raise RunError("remote.offline")
        self._token = token or get_token()
        if not self._token:
            raise RunError("remote.no_token")
        self.api: Any = HfApi(endpoint=hub_models.endpoint(), token=self._token)
        self.account = str(_answered_now(self.api.whoami)["name"])

    def quote(self, flavor: str, seconds: int) -> JobRecord:
        """Return a job's price, as the record of a run that has no id yet; raises RunError for an unknown flavor."""
        offers = {offer.name: offer for offer in _answered_now(self.api.list_jobs_hardware)}
        offer = offers.get(flavor)
        if offer is None:
            raise RunError("remote.flavor", flavor=flavor[:40], flavors=", ".join(offers))
        hours = _PER_HOUR.get(offer.unit_label.lower())
        price = offer.unit_cost_usd * hours if hours else None
        return JobRecord(repository=f"{self.account}/restyle", flavor=flavor, seconds=seconds, dollars_per_hour=price)

    def submit(self, run_id: str, record: JobRecord, settings: dict[str, str], call: Callable[..., Any]) -> Any:
        """Start the job of `record.attempt`, exactly one: where an answer is lost, it is looked up by its labels.

        `call` carries out a request until it is answered.
        """
        labels = {RUN_LABEL: run_id, ATTEMPT_LABEL: str(record.attempt)}
        url = f"{hub_models.endpoint()}/{record.repository}/resolve/main/{bundle.JOB}"
        command = ["uv", "run", url, "--repository", record.repository, "--seconds", str(record.seconds)]
        command += ["--attempt", str(record.attempt)]
        command += [word for path, value in settings.items() for word in ("--set", f"{path}={value}")]
        while True:
            try:
                return answer(
                    self.api.run_job,
                    image=IMAGE,
                    command=command,
                    env={"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_ENDPOINT": hub_models.endpoint()},
                    secrets={"HF_TOKEN": self._token},
                    flavor=record.flavor,
                    timeout=record.seconds,
                    labels=labels,
                    namespace=record.owner,
                )
            except ConnectionError:
                time.sleep(RETRY_SECONDS)
                if job := call(lambda: self.find(record, labels)):
                    return job

    def find(self, record: JobRecord, labels: dict[str, str]) -> Any:
        """Return the newest job with these labels; None where there is none."""
        return next(iter(answer(lambda: list(self.api.list_jobs(labels=labels, namespace=record.owner)))), None)

    def active(self, run_id: str, record: JobRecord) -> Any:
        """Return the job of a run that has not ended; None where all have."""
        labels = {RUN_LABEL: run_id}
        jobs = answer(lambda: list(self.api.list_jobs(labels=labels, namespace=record.owner)))
        return next((job for job in jobs if job.status.stage not in ENDED), None)

    def inspect(self, record: JobRecord) -> Any:
        """Return the newest job as it is now; None where the Hub has none of its id."""
        try:
            return answer(self.api.inspect_job, job_id=record.job, namespace=record.owner)
        except HubRefusal as refusal:
            if refusal.status == 404:
                return None
            raise

    def cancel(self, record: JobRecord) -> None:
        """Cancel the newest job; one that has ended stays as it is."""
        try:
            answer(self.api.cancel_job, job_id=record.job, namespace=record.owner)
        except HubRefusal as refusal:
            if refusal.status not in (400, 404, 409):
                raise

    def log(self, record: JobRecord) -> str:
        """Return what the newest job has printed."""
        lines = self.api.fetch_job_logs(job_id=record.job, namespace=record.owner)
        return "".join(f"{line}\n" for line in lines)


class HubRefusal(StudioError):
    """The Hub has answered, and refused."""

    status: int


def answer(request: Callable[..., Result], **arguments: Any) -> Result:
    """Return the Hub's answer; raises HubRefusal for a refusal and ConnectionError where there is no answer."""
    import httpx

    try:
        return request(**arguments)
    except (httpx.HTTPError, OSError) as error:
        response = getattr(error, "response", None)
        status = getattr(response, "status_code", None)
        if status is None or status >= 500 or status == 429:
            raise ConnectionError(type(error).__name__) from None  # the text of a request may hold the token
        refusal = HubRefusal("remote.refused", status=status, detail=_reason(error))
        refusal.status = status
    raise refusal


def _answered_now(request: Callable[[], Result]) -> Result:
    """Return the Hub's answer before a run is there; raises RunError where there is none."""
    try:
        return answer(request)
    except ConnectionError as error:
        raise RunError("remote.unreachable", detail=str(error)) from None


def _reason(error: Any) -> str:
    return " ".join(str(getattr(error, "server_message", None) or type(error).__name__).split())[:200]


def until_answered(request: Callable[[], Result], on_wait: Callable[[], None]) -> Result:
    """Carry out a request until the Hub answers; `on_wait` is called before each repetition, and may raise."""
    while True:
        try:
            return answer(request)
        except ConnectionError:
            on_wait()
