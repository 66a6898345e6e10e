"""What a run keeps of the job that carries it out elsewhere: `remote.json` in its directory. It holds no token."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from studio.files import read_as, replace_file
from studio.runs import Run

FILE = "remote.json"
FLAVOR, TIMEOUT = "t4-small", "2h"
"""What is taken where nothing else is chosen."""


class JobRecord(BaseModel):
    """Where a run is carried out."""

    model_config = ConfigDict(frozen=True)

    repository: str
    """The private repository that keeps the run, OWNER/NAME; jobs are its owner's."""
    flavor: str
    seconds: int
    """The longest that a job may take."""
    dollars_per_hour: float | None = None
    """The price as the Hub said it; None where it did not."""
    attempt: int = 0
    """Number of the newest job that was submitted, or was about to be; 0 before the first."""
    job: str | None = None
    """Its id; None while the Hub has not given one."""
    offset: int = 0
    """Bytes of the repository's events that are in the run's own."""
    delete_repository: bool = False
    """Whether the repository is deleted once the run has ended, and all of it is here and compared."""
    deleted: bool = False
    """Whether it was."""

    @property
    def owner(self) -> str:
        """The account that pays."""
        return self.repository.split("/")[0]

    @property
    def most_dollars(self) -> float | None:
        """What one job costs at most; None where the price is not known."""
        return None if self.dollars_per_hour is None else self.dollars_per_hour * self.seconds / 3600


def load(run: Run) -> JobRecord | None:
    """Return the record of a run; None for a run of this machine."""
    return read_as(JobRecord, run.path / FILE)


def save(run: Path, record: JobRecord) -> None:
    """Write the record of a run whose directory is `run`."""
    replace_file(run / FILE, record.model_dump_json(indent=1))
