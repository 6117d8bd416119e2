"""Bytes of files: written in one pass without a second copy, read or mapped so that the file can't be changed by it."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterable

from .. import _group
from ..model import Buffer
from ._disk import make_folder
from ._parts import views

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T")

GATHER = 1024  # buffers that one writev takes
CHUNK = 1 << 22  # bytes gathered before they are written
RESERVE = 1 << 20  # from this size on the room is reserved first: faster, and a full disk is known at once

_TRIES = 10  # as often may a folder be gone again

_FLAGS = sum(getattr(os, flag, 0) for flag in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))


def create(path: str) -> int:
    """A new file that nobody may write again, for its owner only, whatever the umask. Folders are made as needed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS
    return _group.opened(path, _within(os.path.dirname(path), lambda: os.open(path, flags, 0o400)))


def _within(folder: str, step: Callable[[], T]) -> T:
    """``step()``, its folder made as needed; and again where ``compact`` took it away while it was still empty."""
    for _ in range(_TRIES):
        try:
            return step()
        except FileNotFoundError:
            make_folder(folder)
    return step()


def place(source: str, target: str) -> None:
    try:
        _within(os.path.dirname(target), lambda: os.replace(source, target))
    except IsADirectoryError:  # no entry of memo's: out of the way, where it is swept
        os.rename(target, os.path.join(os.path.dirname(source), os.urandom(8).hex()))
        os.replace(source, target)


def open_file(path: str) -> int:
    """A regular file to read. FileNotFoundError also for what is none: a link, a pipe, a folder."""
    try:
        file = os.open(path, os.O_RDONLY | _FLAGS)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK, errno.EISDIR):
            raise FileNotFoundError(errno.ENOENT, "not a regular file", path)
        raise
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise FileNotFoundError(errno.ENOENT, "not a regular file", path)
    return file


def write_parts(file: int, parts: Iterable[Buffer]) -> int:
    """All parts in order; how many bytes they were."""
    total = gathered = 0
    waiting: list[memoryview] = []
    for view in views(parts):
        waiting.append(view)
        gathered += view.nbytes
        if gathered >= CHUNK or len(waiting) == GATHER:
            _write(file, waiting)
            total, gathered, waiting = total + gathered, 0, []
    _write(file, waiting)
    return total + gathered


def _write(file: int, waiting: list[memoryview]) -> None:
    first = 0
    while first < len(waiting):  # one call takes at most 2 GB, and may take less than it was given
        done = os.writev(file, waiting[first:]) if hasattr(os, "writev") else os.write(file, waiting[first])
        while first < len(waiting) and done >= waiting[first].nbytes:
            done -= waiting[first].nbytes
            first += 1
        if done:
            waiting[first] = waiting[first][done:]


def reserve(file: int, size: int) -> None:
    """Room for ``size`` bytes, where the disk can promise it; OSError (ENOSPC) where it has less."""
    if size >= RESERVE and hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file, 0, size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise


def sync(path: str) -> None:
    """A file or folder, on the disk."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def read_exactly(file: int, size: int, offset: int) -> bytes:
    """``size`` bytes from ``offset``; fewer only where the file ends."""
    data = os.pread(file, size, offset)
    while len(data) < size and (more := os.pread(file, size - len(data), offset + len(data))):
        data += more
    return data


def map_or_read(file: int, size: int) -> memoryview:
    """The first ``size`` bytes as writable memory of its own: mapped copy-on-write, or read where that can't be done."""
    import mmap

    try:
        if sys.version_info >= (3, 13):  # before, each mapping keeps a duplicate of the descriptor
            return memoryview(mmap.mmap(file, size, access=mmap.ACCESS_COPY, trackfd=False))
        return memoryview(mmap.mmap(file, size, access=mmap.ACCESS_COPY))
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENODEV):
            raise
    data = memoryview(bytearray(size))
    done = 0
    while done < size and (got := os.preadv(file, [data[done:]], done)):
        done += got
    return data[:done]


def identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
