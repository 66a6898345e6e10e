"""The folder that another machine needs to carry out a run: the run, its rows, this studio's code, and job files.

    job.py       sets up its requirements (PEP 723) and trains: `uv run job.py`
    studio.zip   this studio's code without its page, and the bundled data
    home/        the home of the studio there, with this one run
    rows/        the files that the settings name
    task.yaml    the same as a SkyPilot task
    job.sh       the same as a Slurm job

The settings of the run there name the rows by their place in the folder, so the folder may lie anywhere.
"""

import contextlib
import re
import shutil
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import studio
from studio.config import BUILTIN_MODEL, RunConfig, SourceConfig
from studio.data import provenance, source
from studio.errors import RunError
from studio.files import access_error, replace_file
from studio.remote import bootstrap
from studio.runs import Run, State, Status, checkpoints
from studio.train import start_adapter

JOB = "job.py"
_ROOT = Path(studio.__file__).parent.parent
_CODE = ("studio/**/*", "presets/*.yaml", "presets/data/*")
_NOT_CODE = ("ui", "docs", "__pycache__")
NOT_SENT = ("control.json", "vitals.json", "remote.json", "exports", "compare")
"""Parts of a run's directory that belong to one machine, or that no training reads."""

_TASK = """\
# SkyPilot: sky jobs launch task.yaml --env REPOSITORY=you/name --secret HF_TOKEN
# Checkpoints go to that private repository of the Hub, and a preempted job resumes from there.
name: {name}
resources:
  accelerators: {{T4: 1, L4: 1, A10G: 1}}
  use_spot: true
  job_recovery:
    max_restarts_on_errors: 3
workdir: .
envs:
  REPOSITORY: ""
secrets:
  HF_TOKEN: ""
setup: |
  pip install -q uv
run: |
  uv run job.py ${{REPOSITORY:+--repository "$REPOSITORY"}}
"""

_SLURM = """\
#!/bin/bash
# Slurm: sbatch job.sh, in this folder, which all nodes have to reach. Add your cluster's partition and account.
#SBATCH --job-name={name}
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=4
#SBATCH --mem=32G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@180

# 3 minutes before the time limit, and when the job is preempted, the run makes a checkpoint; then it is queued again.
cd "${{SLURM_SUBMIT_DIR:-.}}" || exit 1
uv run job.py --paused-code 75 &
training=$!
trap 'kill -TERM "$training"' USR1 TERM
while kill -0 "$training" 2>/dev/null; do
  wait "$training"
done
wait "$training"
code=$?
if [ "$code" -eq 75 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
"""


def require_sendable(config: RunConfig) -> None:
    """Raise RunError for a base that is a folder of this machine: it would have to be uploaded as a whole."""
    if config.model.id != BUILTIN_MODEL and Path(config.model.id).expanduser().exists():
        raise RunError("remote.local_base", model=config.model.id)


def write(run: Run, folder: Path) -> None:
    """Write the folder of a run, with its checkpoints; what is on the Hub stays there. Raises StudioError."""
    config = run.started_config()
    home = folder / "home" / "runs" / run.id
    home.mkdir(parents=True)
    (folder / "rows").mkdir()
    copy_run(run, home)
    replace_file(home / "run.yaml", _portable(config, folder / "rows").to_yaml())
    status = run.status()
    unowned = Status(state=State.PAUSED, created=status.created, heartbeat=status.heartbeat, step=status.step)
    replace_file(home / "status.json", unowned.model_dump_json(indent=1))
    _zip_code(folder / "studio.zip")
    packages = "".join(f'#     "{line}",\n' for line in requirements())
    header = f'# /// script\n# requires-python = ">=3.11"\n# dependencies = [\n{packages}# ]\n# ///\n'
    replace_file(folder / JOB, header + Path(bootstrap.__file__).read_text(encoding="utf-8"))
    for name, content in (("task.yaml", _TASK), ("job.sh", _SLURM)):
        replace_file(folder / name, content.format(name=run.id))


def export(config: RunConfig, folder: Path) -> str:
    """Make a run and write its folder for another machine, without a run here; returns the run's id."""
    from studio import runs

    if folder.exists():
        raise RunError("remote.folder_exists", folder=str(folder))
    config, start = start_adapter.resolve(config)
    run = start_adapter.create_run(config, start, (), {})
    try:
        run.enter(State.PAUSED)
        write(run, folder)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise access_error(folder, error) from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(runs.folder() / run.id)
    return run.id


def copy_run(run: Run, target: Path) -> None:
    """Copy a run's directory as it is at this moment, also while it is trained; raises OSError where a part vanishes.

    Checkpoints come first: what is appended meanwhile (events, the order of rows) is then as new as they are, or newer,
    as it is after a kill. They never change, so they are linked where that is possible.
    """
    for checkpoint in checkpoints.all_of(run.path):
        shutil.copytree(checkpoint, target / "checkpoints" / checkpoint.name, copy_function=_link)
    for path in sorted(run.path.iterdir()):
        if path.name.startswith(".") or path.name in ("checkpoints", *NOT_SENT):
            continue
        if path.is_dir():
            shutil.copytree(path, target / path.name, ignore=shutil.ignore_patterns(".*"))
        else:
            shutil.copyfile(path, target / path.name)


def _link(file: str, target: str) -> None:
    try:
        Path(target).hardlink_to(file)
    except OSError:
        shutil.copyfile(file, target)


def _portable(config: RunConfig, rows: Path) -> RunConfig:
    """Return the settings with the files that they name in `rows`, where they are copied."""
    changes: dict[str, Any] = {}
    data = config.data
    if data.source.kind == "file":
        name = _copy(source.path_of(data.source), rows, "train")
        changes["data.source"] = {**data.source.model_dump(), "kind": "file", "name": name}
    if data.validation.kind == "file":
        named = SourceConfig(kind="file", name=str(data.validation.name))
        changes["data.validation.name"] = _copy(source.path_of(named), rows, "validation")
    return config.with_settings(changes)


def _copy(file: Path, rows: Path, part: str) -> str:
    """Copy a file with what stands beside it about its origin; returns its name in the folder, with no name of ours."""
    target = rows / f"{part}{file.suffix.lower()}"
    shutil.copyfile(file, target)
    if (facts := provenance.path_of(file)).is_file():
        shutil.copyfile(facts, provenance.path_of(target))
    return target.relative_to(rows.parent).as_posix()


def _zip_code(target: Path) -> None:
    """Pack the studio's code; the same code gives the same bytes."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for pattern in _CODE for path in _ROOT.glob(pattern)):
            part = path.relative_to(_ROOT)
            if path.is_file() and not set(part.parts) & set(_NOT_CODE):
                archive.writestr(zipfile.ZipInfo(part.as_posix()), path.read_bytes(), zipfile.ZIP_DEFLATED)


def requirements() -> list[str]:
    """Return the studio's requirements, pinned to the versions here: a resumed run goes on with those it began with."""
    pinned = []
    for line in (_ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines():
        if name := re.match(r"[\w-]+", line):
            with contextlib.suppress(PackageNotFoundError):  # an optional one
                requirement = f"{name[0]}=={version(name[0]).partition('+')[0]}"
                marker = line.partition(";")[2].strip()
                pinned.append(f"{requirement}; {marker}".replace('"', "'") if marker else requirement)
    return pinned


def release(run: Path) -> None:
    """Let a run's directory that came from another machine have no owner, so that it can be resumed at once."""
    status = Status.model_validate_json((run / "status.json").read_bytes())
    state = State.PAUSED if status.state.alive else status.state
    released = status.model_copy(update={"state": state, "owner": None})
    replace_file(run / "status.json", released.model_dump_json(indent=1))
