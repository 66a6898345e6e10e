"""Jobs of the Hugging Face Hub, by huggingface_hub's own functions: their price, start, state and end.

Requests that get no answer are repeated; what the Hub refuses is an error with the Hub's reason.
"""

import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from studio.errors import RunError, StudioError, one_line
from studio.model import hub_models
from studio.remote import bundle, turn
from studio.remote.record import JobRecord
from studio.remote.worker import ATTEMPT_LABEL, RUN_LABEL

if TYPE_CHECKING:
    from studio.remote.forecast import Workload

IMAGE = "ghcr.io/astral-sh/uv:python3.12-bookworm"
ENDED = ("COMPLETED", "CANCELED", "ERROR", "DELETED")
RETRY_SECONDS = 5.0
LOOKUPS = 3
"""How often a job is looked up, where the answer to its start was lost, before the start is requested again."""
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


@dataclass(frozen=True)
class Offers:
    """The machines that an account can pay for."""

    account: str
    prices: dict[str, float | None]
    """Dollars an hour by flavor; None where the Hub does not say it."""
    work: "Workload | None" = None
    """What the run computes, for which they are asked; None where that is not known."""

    def quote(self, flavor: str, seconds: int) -> JobRecord:
        """Return a job's price, as the record of a run that has no id yet; raises RunError for an unknown flavor."""
        if flavor not in self.prices:
            raise RunError("remote.flavor", flavor=flavor[:40], flavors=", ".join(self.prices))
        about = {"flavor": flavor, "seconds": seconds, "dollars_per_hour": self.prices[flavor]}
        return JobRecord(repository=f"{self.account}/restyle", **about)


class HubJobs:
    """The jobs of one account. `token` stays in memory, and goes to a job as a secret."""

    def __init__(self, token: str | None = None):
        """Raise RunError where there is no token; the Hub is asked nothing yet."""
        from huggingface_hub import HfApi, get_token

        self._token = token or get_token()
        if not self._token:
            raise RunError("remote.no_token")
        self.api: Any = HfApi(endpoint=hub_models.endpoint(), token=self._token)

    @cached_property
    def account(self) -> str:
        """The token's account; raises RunError where the Hub is out of reach, HubRefusal for a wrong token."""
        if not hub_models.reachable():
            raise RunError("remote.offline")
        return str(_answered_now(self.api.whoami)["name"])

    def offers(self) -> Offers:
        """Return the machines and their prices."""
        account, prices = self.account, {}
        for offer in _answered_now(self.api.list_jobs_hardware):
            hours = _PER_HOUR.get(offer.unit_label.lower())
            prices[offer.name] = offer.unit_cost_usd * hours if hours else None
        return Offers(account, prices)

    def submit(self, run_id: str, record: JobRecord, settings: dict[str, str], call: Callable[..., Any]) -> Any:
        """Start the job of `record.attempt`: where an answer is lost, it is looked up by its labels.

        A lost request may still arrive after that; then there are two jobs, of which one trains (`turn`). `call`
        carries out a request until it is answered.
        """
        labels = {RUN_LABEL: run_id, ATTEMPT_LABEL: str(record.attempt)}
        url = f"{hub_models.endpoint()}/{record.repository}/resolve/main/{bundle.JOB}"
        command = ["uv", "run", url, "--repository", record.repository, "--seconds", str(record.seconds)]
        command += ["--attempt", str(record.attempt)]
        command += [word for path, value in settings.items() for word in ("--set", f"{path}={value}")]
        environment = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_ENDPOINT": hub_models.endpoint()}
        while True:
            submission = secrets.token_hex(8)
            try:
                return answer(
                    self.api.run_job,
                    image=IMAGE,
                    command=command,
                    env={**environment, turn.SUBMISSION: submission},
                    secrets={"HF_TOKEN": self._token},
                    flavor=record.flavor,
                    timeout=record.seconds,
                    labels={**labels, turn.SUBMISSION_LABEL: submission},
                    namespace=record.owner,
                )
            except ConnectionError:
                for _ in range(LOOKUPS):
                    time.sleep(RETRY_SECONDS)
                    if jobs := call(lambda: self.find(record, labels)):
                        return jobs[0]

    def find(self, record: JobRecord, labels: dict[str, str]) -> list[Any]:
        """Return the jobs with these labels, the newest first."""
        return answer(lambda: list(self.api.list_jobs(labels=labels, namespace=record.owner)))

    def active(self, run_id: str, record: JobRecord) -> list[Any]:
        """Return the jobs of a run that have not ended, the newest first."""
        return [job for job in self.find(record, {RUN_LABEL: run_id}) if job.status.stage not in ENDED]

    def inspect(self, record: JobRecord) -> Any:
        """Return the newest job as it is now; None where the Hub has none of its id."""
        try:
            return answer(self.api.inspect_job, job_id=record.job, namespace=record.owner)
        except HubRefusal as refusal:
            if refusal.status == 404:
                return None
            raise

    def cancel(self, record: JobRecord, job: str | None) -> None:
        """Cancel a job; one that has ended stays as it is."""
        try:
            answer(self.api.cancel_job, job_id=job, namespace=record.owner)
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
        reason = one_line(getattr(error, "server_message", None) or type(error).__name__)
        refusal = HubRefusal("remote.refused", status=status, detail=reason)
        refusal.status = status
    raise refusal


def _answered_now(request: Callable[[], Result]) -> Result:
    """Return the Hub's answer before a run is there; raises RunError where there is none."""
    try:
        return answer(request)
    except ConnectionError as error:
        raise RunError("remote.unreachable", detail=str(error)) from None
