"""What killed processes left behind in the folder of a place, taken away by whoever stores something there later.

The decision: litter is told by its name and its age alone, so nobody has to keep a record of it and every process may
sweep. What is written aside is touched by nobody for an hour. What was set aside as damaged stays for a week, for a person
who wants to look into it, and of each kind there is only the last one. Results have names of their own and are never
looked at here; what lies between the files of a storage is the storage's own to sweep.
"""

from __future__ import annotations

import os
from time import time

from . import _beats
from ._aside import STALE, age, discard
from ._place import TEMPORARY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .protocols import Storage

KEPT = 7 * 86400.0  #: seconds for which what was set aside as damaged may be looked into


def sweep(storage: Storage, folder: str, lock: str) -> None:
    """``folder``: of the place, "" where it has none; ``lock``: its lock file. Raises what the storage and the disk raise."""
    if folder:
        for path, _ in lying(folder, KEPT):
            discard(path)
        _beats.sweep(storage, time())
        _lock_of_each_key(lock + "s")
    elif lock:
        _locks_of_urls(os.path.dirname(lock))
    if (own := getattr(storage, "sweep", None)) is not None:
        own()


def lying(folder: str, kept: float) -> Iterator[tuple[str, str]]:
    """(path, why it is litter) of what lies in the folder of a place; ``kept``: seconds for what was set aside as damaged."""
    for name in os.listdir(folder):
        why, good_for = _about(name, kept)
        path = os.path.join(folder, name)
        if why and age(path) > good_for:
            yield path, why
    tapes = os.path.join(folder, "_tapes")  # see _offer
    for name in os.listdir(tapes) if os.path.isdir(tapes) else ():
        path = os.path.join(tapes, name)
        if age(path) > STALE:
            yield path, "left behind by a process that was killed while it recorded a generator"


def _lock_of_each_key(folder: str) -> None:
    """Where the system has no locks on bytes, and each key a file: those that nobody holds."""
    if not os.path.isdir(folder):
        return
    from filelock import FileLock, Timeout

    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if age(path) > STALE:
            try:
                with FileLock(path, timeout=0, mode=0o600):
                    os.unlink(path)  # who waits for it sees that it is gone, and makes another
            except (Timeout, OSError):
                continue


def _locks_of_urls(folder: str) -> None:
    """Lock files of URLs that no process has begun to use for a week. Who goes on with one only saves less work."""
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if name.endswith(".lock") and age(path) > KEPT:
            discard(path)


def _about(name: str, kept: float) -> tuple[str, float]:
    if name.startswith(TEMPORARY) and name.endswith(".tmp"):
        return "left behind by a process that was killed while it made the place", STALE
    if ".damaged" in name:
        return "set aside because it was damaged", kept
    if name.endswith((".new", ".new-wal", ".new-shm", ".new-journal")):
        return "left behind by a process that was killed while it made the storage", STALE
    return "", 0.0
