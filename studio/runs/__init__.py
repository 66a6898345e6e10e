"""Runs: their directories, what is known of them, and what may be done with them.

`directory` is a run as its readers see it, `writer` as its owner writes it. `curve` folds a run's events; `history` has
a summary of every run. `checkpoints`, `metadata` (name, note, publication) and `trash` are what their names say.
"""

from studio.runs.directory import (
    RESOURCE_USAGE,
    Action,
    Run,
    State,
    Status,
    alive_runs,
    all_runs,
    created_at,
    day_of,
    find,
    folder,
    is_id,
    is_restricted,
    remote_owner,
    require_writable,
    try_find,
    try_status,
    visible_only,
)
from studio.runs.writer import RunWriter, create, new_id, scratch
