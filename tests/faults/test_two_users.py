"""Two users of one machine, in either order: they share a home that is open to both, or are told what to do."""

import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest

from studio import files, locks
from studio.errors import HomeError
from tests.faults import children
from tests.tiny import make_config, make_style

USER, OTHER = 65534, 65533
_READ_EVERYTHING = 1 << 2
"""CAP_DAC_READ_SEARCH: the checkout may lie where only root looks in. It allows nobody to write."""

pytestmark = pytest.mark.skipif(
    os.name == "nt" or os.geteuid() != 0, reason="only root can become one user after another"
)


def become(user: int, umask: int, reads_everything: bool) -> None:
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    if reads_everything:
        assert library.prctl(8, 1, 0, 0, 0) == 0  # PR_SET_KEEPCAPS
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    if reads_everything:
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)
        data = (ctypes.c_uint32 * 6)(*[_READ_EVERYTHING] * 3, 0, 0, 0)
        assert library.capset(header, data) == 0, os.strerror(ctypes.get_errno())
        assert library.prctl(47, 2, 2, 0, 0) == 0  # PR_CAP_AMBIENT_RAISE: the programs that it starts read, too
    os.umask(umask)
    os.environ["HOME"] = str(Path(tempfile.gettempdir()) / f"nobody-{user}")


def command_line(user: int, umask: int, *arguments: str) -> None:
    if user:
        become(user, umask, reads_everything=True)
    else:
        os.umask(umask)
    children.command_line(*arguments)


@pytest.fixture
def shared():
    """A folder that every user may write to, as /tmp is."""
    folder = Path(tempfile.mkdtemp(prefix="two-users-"))
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def ask(shared, tiny_model):
    """Run the command line as a user; returns the exit code and what was printed."""
    config = make_config(tiny_model, make_style(shared / "style.jsonl")).with_settings({"train.max_steps": 2})
    (shared / "run.yaml").write_text(config.to_yaml(), encoding="utf-8")
    home, cache = shared / "home", shared / "cache"
    for folder in (home, cache):
        folder.mkdir()
        folder.chmod(0o1777)

    def asked(user: int, *arguments: str, umask: int = 0o022):
        out = shared / f"out-{user}-{len(list(shared.iterdir()))}.txt"
        env = {"RESTYLE_CACHE": str(cache)}
        child = children.start(home, command_line, user, umask, *arguments, out=out, env=env)
        child.join(100)
        return child.exitcode, out.read_text(encoding="utf-8")

    asked.train = ("train", str(shared / "run.yaml"))
    return asked


@pytest.mark.long
@pytest.mark.parametrize("users", [(0, USER, 0), (USER, OTHER, 0, USER)], ids=["sudo first", "sudo later"])
def test_all_train_and_export_in_a_home_that_is_open_to_them(ask, users):
    for user in users:
        code, said = ask(user, *ask.train)
        assert code == 0, said
        code, said = ask(user, "export", "last", "--to", "adapter")
        assert code == 0, said


@pytest.mark.long
def test_a_strict_umask_keeps_the_runs_to_oneself_and_the_locks_open(ask):
    assert ask(USER, *ask.train, umask=0o077)[0] == 0
    code, said = ask(OTHER, *ask.train, umask=0o077)
    assert code == 0, said
    code, said = ask(OTHER, "runs", umask=0o077)
    assert code == 0, said


@pytest.mark.long
def test_a_run_of_another_is_compared_and_left_as_it_is(ask, shared):
    assert ask(USER, *ask.train)[0] == 0
    (run,) = (path.name for path in (shared / "home" / "runs").iterdir() if not path.name.startswith("."))
    for arguments in (("runs", "rename", run, "mine"), ("resume", run, "--set", "train.max_steps=4")):
        code, said = ask(OTHER, *arguments)
        assert code == 1
        assert "belongs to" in said.splitlines()[0]
        assert "Traceback" not in said
    code, said = ask(OTHER, "compare", run, "--prompt", "What is 3?", "--set", "generation.max_new_tokens=2")
    assert code == 0, said
    code, said = ask(OTHER, "runs", "delete", run)
    assert code == 1
    assert "could not be moved" in said
    code, said = ask(OTHER, "export", run, "--to", "adapter")
    assert code == 1
    assert "--out" in said
    code, said = ask(OTHER, "export", run, "--to", "adapter", "--out", str(shared / "mine"))
    assert code == 0, said


def test_a_home_of_another_is_refused_with_its_owner_and_what_to_do(ask, shared):
    (shared / "home").chmod(0o755)
    code, said = ask(USER, *ask.train)
    assert code == 1
    what, why, advice = said.strip().splitlines()
    assert str(shared / "home") in what
    assert "belongs to root" in why
    assert "RESTYLE_HOME" in advice


def test_runs_that_an_older_version_kept_closed_are_named(ask, shared):
    (shared / "home" / "runs").mkdir()
    code, said = ask(USER, *ask.train)
    assert code == 1
    assert f"{shared / 'home' / 'runs'} belongs to root" in said


def take(user: int, umask: int, path: str, act: str) -> None:
    become(user, umask, reads_everything=False)
    try:
        lock = locks.try_acquire(Path(path))
    except HomeError as error:
        print(error)
        raise SystemExit(2) from error
    raise SystemExit(0 if lock else 1)


@pytest.fixture
def other_takes(shared):
    def taken(path: Path, user: int = USER) -> int:
        child = children.start(shared, take, user, 0o077, str(path), "take")
        child.join(60)
        return child.exitcode

    return taken


@pytest.mark.parametrize("mode", [0o644, 0o444, 0o666])
def test_a_lock_of_another_is_taken_and_excludes(shared, other_takes, mode):
    path = shared / "start.lock"
    path.touch()
    path.chmod(mode)
    assert other_takes(path) == 0
    with locks.acquire(path):
        assert other_takes(path) == 1
    assert other_takes(path) == 0


def test_a_lock_is_made_for_everybody_whatever_the_umask(shared, other_takes):
    path = shared / "start.lock"
    assert other_takes(path, OTHER) == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    assert path.stat().st_uid == OTHER
    with locks.acquire(path):  # root, in a sticky folder: the kernel refuses to open it as if it were to be made
        assert other_takes(path, USER) == 1


def test_a_lock_that_is_closed_to_us_is_named(shared, other_takes):
    path = shared / "start.lock"
    path.touch(0o600)
    path.chmod(0o600)
    assert other_takes(path) == 2


def test_a_link_in_the_place_of_a_lock_is_not_followed(shared):
    (shared / "target").touch()
    (shared / "start.lock").symlink_to(shared / "target")
    with pytest.raises(HomeError):
        locks.try_acquire(shared / "start.lock")
    os.mkfifo(shared / "other.lock")
    with pytest.raises(HomeError):
        locks.try_acquire(shared / "other.lock")


def test_the_folders_of_an_open_home_are_open_and_those_of_a_closed_one_are_not(shared, monkeypatch):
    assert stat.S_IMODE(files.shared_folder(shared, "runs").stat().st_mode) == 0o1777
    closed = shared / "closed"
    closed.mkdir(0o755)
    assert not files.shared_folder(closed, "runs").stat().st_mode & 0o022
    monkeypatch.setenv("RESTYLE_CACHE", str(shared))
    assert files.user_cache("tokens").name == "tokens-0"
    monkeypatch.setenv("RESTYLE_CACHE", str(closed))
    assert files.user_cache("tokens").name == "tokens"
