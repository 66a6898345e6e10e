"""Carry out this folder's run of Restyle Studio, or continue it from its newest checkpoint.

    uv run job.py                            in this folder, which keeps the checkpoints
    uv run job.py --repository YOU/NAME      and in a private repository of the Hub (HF_TOKEN), from which it resumes

SIGTERM makes a checkpoint and ends. The studio's code is in studio.zip; nothing else has to be installed.
"""

import argparse
import contextlib
import os
import sys
import zipfile
from pathlib import Path


def read_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repository", help="the private repository of the Hub that keeps the run, OWNER/NAME")
    parser.add_argument("--seconds", type=float, help="make a checkpoint and end before so many seconds are over")
    parser.add_argument("--attempt", type=int, default=0, help="the number of this job, for the studio that started it")
    parser.add_argument("--paused-code", type=int, default=0, help="the exit code where the run is not finished")
    parser.add_argument("--set", action="append", default=[], help="a setting to change as the run is resumed")
    return parser.parse_args()


def main() -> None:
    """Fetch the folder where it is not here, and start the studio's worker in it."""
    repository = read_options().repository
    folder = Path(__file__).resolve().parent
    if not (folder / "studio.zip").is_file():  # the script was started by its address
        folder = Path.cwd() / "restyle-job"
    if repository:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import RepositoryNotFoundError

        with contextlib.suppress(RepositoryNotFoundError):  # the worker makes it
            snapshot_download(repository, local_dir=folder)
    with zipfile.ZipFile(folder / "studio.zip") as archive:
        archive.extractall(folder / "code")
    os.environ["PYTHONPATH"] = str(folder / "code")
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    os.environ["RESTYLE_HOME"] = str(folder / "home")
    os.chdir(folder)
    os.execv(sys.executable, [sys.executable, "-m", "studio.remote.worker", *sys.argv[1:]])


if __name__ == "__main__":
    main()
