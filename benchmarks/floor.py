"""What no cache can leave out that keeps memo's promises: raw sqlite3 and raw files, and the checks, in one function.

Goals are ratios to raw sqlite3, which finds what another function stored under the same number, believes whatever lies on
the disk, and computes a result as often as it is asked for at once. A cache must not. This one makes a key of the function
and its arguments, holds every entry against its digest, gives one caller the key and lets the others wait, stands in the queue
of all writers, and keeps what it has loaded for the next call. It has no layers, options, policies or explanations, so
what memo costs beyond it can be worked on, and what it costs beyond raw sqlite3 can't.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from struct import Struct
from threading import Thread
from typing import Any

_HEAD = Struct("<dfQ")  # when it was computed, in how many seconds, how many bytes it has
_DIGEST = 16  # bytes
_LOCK = Struct("hhqqi4x")  # struct flock of Linux, 64 bit
_ENTRIES = "CREATE TABLE IF NOT EXISTS entries (k INTEGER PRIMARY KEY, size INTEGER, written INTEGER, record BLOB)"


def small(function: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    """Small results: from memory, else from the database, else computed and stored."""
    import fcntl
    from marshal import dumps as plain
    from pickle import dumps, loads
    from time import perf_counter, time

    from blake3 import blake3

    from .peers import connection

    database = connection(folder)
    database.execute(_ENTRIES)
    execute, path = database.cursor().execute, folder / "results.db"
    made = path.stat().st_ino
    queue, keys = (os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o600) for name in ("queue", "keys"))
    # nothing of what it calls: that is found once, not at each call
    version = blake3(function.__code__.co_code).digest()
    front: dict[bytes, bytes] = {}

    def call(n: int, scale: float = 1.0) -> Any:
        key = plain((n, scale), 2)
        kept = front.get(key)
        if kept is not None:
            return loads(kept)
        name = blake3(version + key).digest(20)
        number = int.from_bytes(name[:8], "little", signed=True)
        row = execute("SELECT record FROM entries WHERE k = ?", (number,)).fetchone()
        if row is not None:
            record = row[0]
            end = _HEAD.size + _DIGEST
            head, body = record[: _HEAD.size], record[end:]
            if blake3(body + head + name).digest(_DIGEST) == record[_HEAD.size : end]:
                created, _, size = _HEAD.unpack(head)
                if created <= time() and size == len(body):
                    front[key] = body
                    return loads(body)
        if os.stat(path).st_ino != made:
            raise FileNotFoundError(path)
        at = int.from_bytes(name[8:15], "little")
        fcntl.fcntl(keys, fcntl.F_OFD_SETLKW, _LOCK.pack(fcntl.F_WRLCK, 0, at, 1, 0))
        started = perf_counter()
        value = function(n, scale)
        seconds = perf_counter() - started
        body = dumps(value, 5)
        head = _HEAD.pack(time(), seconds, len(body))
        record = b"".join((head, blake3(body + head + name).digest(_DIGEST), body))
        fcntl.flock(queue, fcntl.LOCK_EX)
        execute("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)", (number, len(body), int(time()), record))
        fcntl.flock(queue, fcntl.LOCK_UN)
        fcntl.fcntl(keys, fcntl.F_OFD_SETLK, _LOCK.pack(fcntl.F_UNLCK, 0, at, 1, 0))
        front[key] = body
        return value

    return call


def write(view: memoryview, path: Path, digest: Callable[[memoryview], object] | None = None) -> None:
    """Large results: one raw write of them; with ``digest`` another thread makes theirs meanwhile."""
    thread = Thread(target=digest, args=(view,)) if digest else None
    if thread is not None:
        thread.start()
    left = view
    with open(path, "wb", buffering=0) as file:
        while left:  # one write takes at most 2 GB
            left = left[file.write(left) :]
    if thread is not None:
        thread.join()
