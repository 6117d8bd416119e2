"""What killed writers left between the files of entries: told from what is in use, and taken away.

The decision: a payload is litter when no entry names it, and whatever else is not in its place when nobody has written to
it for an hour. Entries themselves are never judged here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

from .._aside import STALE, age, discard, unlink
from ..errors import DamagedError
from . import _payload
from ._entry_file import EntryFile, is_payload
from ._layout import Layout


def sweep_new(layout: Layout) -> None:
    """What was never put in its place."""
    for path in _never_placed(layout):
        discard(path)


def sweep(layout: Layout, orphaned: Callable[[str], bool] | None, remove_if: Callable[..., None]) -> None:
    """Takes away what is in no use; of folders in which something changed since the last time.

    ``orphaned(name)``: says of an entry that was written since then whether nothing points to it; ``remove_if(name, stamp)``
    takes that one out.
    """
    sweep_new(layout)
    if not os.path.isdir(layout.folder):
        return
    since = _last_swept(layout.folder) - 2 * STALE
    for folder, file in layout.walk(since=since):
        path = os.path.join(folder, file)
        if is_payload(file):
            if _is_lost(path):
                unlink(path)
        elif orphaned is not None:
            name, stamp = layout.name(folder, file), _stamp(path)
            if time.time() - stamp[1] / 1e9 > STALE and orphaned(name):
                remove_if(name, stamp)  # unless it was written anew in this moment


def compact(layout: Layout) -> None:
    """Takes away what is in no use, in every folder, and empty folders."""
    sweep_new(layout)
    for folder, file in list(layout.walk()):
        path = os.path.join(folder, file)
        if is_payload(file) and _is_lost(path):
            unlink(path)
    for folder, _, _ in os.walk(layout.folder, topdown=False):
        try:
            os.rmdir(folder)
        except OSError:  # not empty
            pass


def findings(layout: Layout, entry: type[EntryFile], repair: bool) -> Iterator[tuple[str, str, str]]:
    """What lies here and is no entry: ("damaged" or "litter", path, why). ``repair`` takes it away."""
    for folder, file in list(layout.walk()):
        path = os.path.join(folder, file)
        if (found := _wrong(path, file, entry)) is not None:
            if repair:
                discard(path)
            yield found[0], path, found[1]
    for path in _never_placed(layout):
        if repair:
            discard(path)
        yield "litter", path, "left behind by a writer that was killed"


def _never_placed(layout: Layout) -> Iterator[str]:
    try:
        names = os.listdir(layout.new)
    except OSError:
        return
    for name in names:
        path = os.path.join(layout.new, name)
        if age(path) > STALE:
            yield path


def _wrong(path: str, file: str, entry: type[EntryFile]) -> tuple[str, str] | None:
    if is_payload(file):
        return ("litter", "a payload that no entry names: its writer was killed") if _is_lost(path) else None
    try:
        with entry(path) as opened:
            opened.end()
    except FileNotFoundError:
        return ("damaged", "it is not a regular file") if os.path.lexists(path) else None
    except DamagedError as error:
        return "damaged", str(error)
    return None


def _is_lost(payload: str) -> bool:
    """Whether no entry has this payload, and no writer may be about to make it one."""
    if age(payload) <= STALE:
        return False
    folder, file = os.path.split(payload)
    try:
        with EntryFile(os.path.join(folder, file.partition("-")[0])) as entry:
            return entry.end().payload != file
    except (OSError, DamagedError):
        return True


def _last_swept(folder: str) -> float:
    """In seconds since the epoch; from now on it is this moment."""
    path = os.path.join(folder, "_swept")
    try:
        before = os.lstat(path).st_mtime
    except FileNotFoundError:
        before = 0.0
    discard(path)
    os.close(_payload.create(path))
    return before


def _stamp(path: str) -> tuple[int, int]:
    """As `Files.stamp`; of a file that is gone by now, no file's."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return 0, time.time_ns()
    return status.st_ino, status.st_mtime_ns
