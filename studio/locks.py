"""Locks between processes, which the users of one machine share.

A lock is an empty file under flock(2), made for everybody to open, whatever the umask; one that is not ours is opened
for reading, where that is all that is permitted (filelock refuses it). It is never removed: a second file of its name
would be another lock.
"""

import contextlib
import errno
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from studio.files import access_error

POLL_SECONDS = 0.05
_BUSY = (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK)


@contextlib.contextmanager
def acquire(
    path: Path, on_wait: Callable[[], None] = lambda: None, poll_seconds: float = POLL_SECONDS
) -> Iterator[None]:
    """Hold the lock at `path`; `on_wait` is called after every failed try, and may raise to give up."""
    while (lock := try_acquire(path)) is None:
        on_wait()
        time.sleep(poll_seconds)
    try:
        yield
    finally:
        lock()


def try_acquire(path: Path) -> Callable[[], None] | None:
    """Acquire the lock at `path` if it is free, and return what releases it; None where it is not; raises HomeError."""
    if os.name == "nt":
        from filelock import FileLock, Timeout

        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        return lock.release
    import fcntl

    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with contextlib.suppress(FileNotFoundError):
            # the lock is the file that is at the path now, not one that was removed meanwhile
            if os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False)):
                return lambda: os.close(descriptor)
    except OSError as error:
        if error.errno not in _BUSY:
            os.close(descriptor)
            raise access_error(path, error) from error
    os.close(descriptor)
    return None


def try_acquire_all(paths: Iterable[Path]) -> Callable[[], None] | None:
    """Acquire all of these locks, or none, and return what releases them; None where one is not free."""
    with contextlib.ExitStack() as acquired:
        for path in paths:
            if (lock := try_acquire(path)) is None:
                return None
            acquired.callback(lock)
        return acquired.pop_all().close


def _open(path: Path) -> int:
    """Open the file of a lock; it is created if missing."""
    flags = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # it may be another's: no link is followed, no pipe waited for
    while True:
        for access in (os.O_RDWR, os.O_RDONLY):
            try:
                descriptor = os.open(path, access | flags)
            except FileNotFoundError:
                _create(path)
                break
            except OSError as error:
                if access == os.O_RDWR and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                    continue
                raise access_error(path, error) from error
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return descriptor
            os.close(descriptor)
            raise access_error(path, OSError(errno.EINVAL, os.strerror(errno.EINVAL)))


def _create(path: Path) -> None:
    """Create the file of a lock: under its name it has its mode already, so that every user can open it."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        descriptor = os.open(draft, flags, 0o666)
        try:
            os.fchmod(descriptor, 0o666)
            os.link(draft, path)
        finally:
            os.close(descriptor)
            draft.unlink(missing_ok=True)
    except FileExistsError:
        return
    except OSError:  # a file system without links (FAT, some network shares) has no owners to keep apart either
        try:
            os.close(os.open(path, flags, 0o666))
        except FileExistsError:
            return
        except OSError as error:
            raise access_error(path, error) from error
