"""Locks between processes, which the users of one machine share.

A lock is an empty file, and flock(2) does not ask who owns it. So it is made for everybody to open, whatever the umask,
and one that is not ours is opened as far as it may be: for reading is enough, but on NFS. filelock refuses such files.
A lock's file is never removed, since a second one of its name would be another lock.
"""

import contextlib
import errno
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from studio.files import denied

POLL_SECONDS = 0.05
"""Seconds between two tries to take a lock that somebody holds."""
_BUSY = (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK)


@contextlib.contextmanager
def held(path: Path, on_wait: Callable[[], None] = lambda: None, poll_seconds: float = POLL_SECONDS) -> Iterator[None]:
    """Hold the lock at `path`; `on_wait` is called after every try in vain, and may raise to give up.

    Threads of one process exclude each other too. Raises HomeError for a lock that cannot be opened.
    """
    while (lock := taken(path)) is None:
        on_wait()
        time.sleep(poll_seconds)
    try:
        yield
    finally:
        lock()


def taken(path: Path) -> Callable[[], None] | None:
    """Take the lock at `path` if nobody holds it, and return what gives it back; None when it is held.

    Raises HomeError for a lock that cannot be opened.
    """
    if os.name == "nt":
        return _taken_on_windows(path)
    import fcntl

    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(descriptor, path):
            return lambda: os.close(descriptor)  # which gives it back
    except OSError as error:
        if error.errno not in _BUSY:
            os.close(descriptor)
            raise denied(path, error) from error
    os.close(descriptor)
    return None


def _taken_on_windows(path: Path) -> Callable[[], None] | None:
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    return lock.release


def _open(path: Path) -> int:
    """Open a lock's file, made if it is missing."""
    flags = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # it may be another's: no link is followed, no pipe waited for
    while True:
        for access in (os.O_RDWR, os.O_RDONLY):
            try:
                descriptor = os.open(path, access | flags)
            except FileNotFoundError:
                _make(path)
                break
            except OSError as error:
                if access == os.O_RDWR and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                    continue
                raise denied(path, error) from error
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return descriptor
            os.close(descriptor)
            raise denied(path, OSError(errno.EINVAL, os.strerror(errno.EINVAL)))


def _make(path: Path) -> None:
    """Make a lock's file: it gets its name with its mode, so that nobody meets one that they may not open yet."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            os.fchmod(descriptor, 0o666)
            with contextlib.suppress(FileExistsError):
                _link(draft, path)
        finally:
            os.close(descriptor)
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise denied(path, error) from error


def _link(draft: Path, path: Path) -> None:
    try:
        os.link(draft, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links (FAT, some network shares) has no owners to keep apart either
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is still the one at `path`, and not one that was removed meanwhile."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False
