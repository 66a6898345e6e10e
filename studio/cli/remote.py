"""The options of `train` for another machine: --on, --flavor, --timeout, --write-job."""

import contextlib
from pathlib import Path
from typing import Literal

import typer

from studio.cli import console
from studio.cli.console import out, print_plain, text
from studio.config import RunConfig
from studio.errors import StudioError
from studio.remote import record
from studio.remote.record import FLAVOR, TIMEOUT
from studio.runs import Run

Place = Literal["hf-jobs"]
"""Where a run can be carried out but here."""


def start(
    config: RunConfig,
    flavor: str | None,
    timeout: str | None,
    *,
    delete_repository: bool,
    check: bool,
    sure: bool,
    as_json: bool,
) -> Run | None:
    """Say what a job costs at most, and start it; None where that was only asked for, or is declined."""
    from studio.data import prepare
    from studio.model import catalogue
    from studio.remote import bundle, follow, forecast, hub_jobs

    bundle.require_sendable(config)
    seconds = hub_jobs.parse_duration(timeout or TIMEOUT)
    flavor = flavor or FLAVOR
    jobs = hub_jobs.HubJobs()
    quote = jobs.offers().quote(flavor, seconds)
    if not as_json:
        known = quote.dollars_per_hour is not None
        prices = {"price": f"{quote.dollars_per_hour:.2f}", "most": f"{quote.most_dollars:.2f}"} if known else {}
        about = {"flavor": flavor, "hours": f"{seconds / 3600:.3g}", "account": jobs.account}
        print_plain(text("remote.price" if known else "remote.no_price", **about, **prices))
        with contextlib.suppress(StudioError):  # the job itself reads the rows, and says what is wrong with them
            report = prepare.inspect(config) if forecast.card_of(flavor) else None
            work = forecast.workload(config, report, catalogue.describe(config.model).parameters)
            for sentence in forecast.sentences(work, quote):
                print_plain(str(sentence))
        print_plain(text("remote.deletes" if delete_repository else "remote.keeps"))
    elif check:
        console.print_json(quote.model_dump(include={"flavor", "seconds", "dollars_per_hour"}))
    if check:
        return None
    if not sure:
        typer.confirm(text("cli.remote_sure"), abort=True, err=True)
    return follow.start(jobs, config, quote.model_copy(update={"delete_repository": delete_repository}))


def outcome(run: Run) -> dict[str, object]:
    """Return where a run was carried out, for a JSON document; empty for one of this machine."""
    job = record.load(run)
    return {"repository": job.repository, "repository_deleted": job.deleted} if job else {}


def write(config: RunConfig, folder: Path, as_json: bool) -> None:
    """Write the folder that carries out a run on another machine."""
    from studio.remote import bundle

    run_id = bundle.export(config, folder)
    if as_json:
        console.print_json({"run": run_id, "path": str(folder)})
        return
    console.print_path(folder)
    out.print(text("cli.job_written"))
