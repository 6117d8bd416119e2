"""Large arrays, as results and as arguments. Figures are seconds; numpy is imported before the clock starts."""

from __future__ import annotations

import os
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from . import floor, peers
from .peers import Wrong

FLOAT = 8  # bytes
SMALL = 1000  # floats
REPEATS = 20  #: hits after the first one; the interpreter itself has got used to code after eight
BARE = ("blake3", "memcpy")  #: what an argument is beside that is no cache


def floats(megabytes: int, quick: bool) -> int:
    return megabytes * 1_000_000 // FLOAT // (20 if quick else 1)


def _made(values: Any, count: int, *, here: bool) -> None:
    """Must be the array that ``arrays.make`` makes, computed by this process or by an earlier one."""
    if len(values) != count or any(values[at] != at for at in (2, 99, count // 2, count - 1)):
        raise Wrong("another array came back")
    if bool(values[0] == os.getpid()) is not here:
        raise Wrong("the array was not computed" if here else "the array was computed again")


def store(peer: str, folder: Path, quick: bool) -> dict[str, float]:
    """A call less the function's own time, which the array tells; "files" is one raw write of the same bytes.

    "floor" is that write and a digest of them. The cache was opened by a small store before, as ``load`` has it: opening
    takes as long for a small result. "memcpy" has nothing to store; it is the floor of a copy in memory.
    """
    from . import arrays

    count = floats(200, quick)
    if peer == "memcpy":
        return {}
    if peer in ("files", "floor"):
        from blake3 import blake3

        view, digest = arrays.make(count).data.cast("B"), blake3 if peer == "floor" else None
        started = perf_counter()
        floor.write(view, folder / "raw", digest)
        return {"store": perf_counter() - started}

    cached = peers.MISSES[peer](arrays.make, folder)
    cached(SMALL)
    started = perf_counter()
    values = cached(count)
    seconds = perf_counter() - started
    _made(values, count, here=True)
    return {"store": seconds - float(values[1])}


def load(peer: str, folder: Path, quick: bool) -> dict[str, float]:
    """The first hit on the array in a process, then the same call again. The cache was opened by another hit before."""
    from . import arrays

    count = floats(200, quick)
    if peer == "floor":
        return {}
    if peer in ("files", "memcpy"):
        return _bare(peer, folder, count)
    cached = peers.HITS[peer](arrays.make, folder)
    _made(cached(SMALL), SMALL, here=False)
    seconds = []
    for _ in range(1 + REPEATS):
        started = perf_counter()
        values = cached(count)
        seconds.append(perf_counter() - started)
        _made(values, count, here=False)
        values[2:100] = 0  # must reach neither the next hit nor the disk
        del values  # its memory goes back here, not while the next call is timed
    return {"first": seconds[0], "repeat": median(seconds[1:])}


def _bare(peer: str, folder: Path, count: int) -> dict[str, float]:
    """One raw read of the file into memory, or one copy of as many bytes there."""
    import numpy as np

    values = None if peer == "files" else np.ones(count)
    seconds = []
    for _ in range(1 + REPEATS):
        started = perf_counter()
        got = np.fromfile(folder / "raw") if values is None else values.copy()
        seconds.append(perf_counter() - started)
        del got
    return {"first": seconds[0], "repeat": median(seconds[1:])}


def _argument(quick: bool) -> Any:
    import numpy as np

    return np.random.default_rng(0).random(floats(100, quick))


def take(peer: str, folder: Path, quick: bool) -> dict[str, float]:
    """A hit whose argument is a large array; "blake3" is one bare pass over its bytes, a thread for each core, as memo.

    "memcpy" is one copy of them.
    """
    from . import arrays

    values = _argument(quick)
    if peer == "blake3":
        from blake3 import blake3

        view = values.data.cast("B")
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

        def call(_: Any) -> Any:
            return blake3(view, max_threads=cores).digest()

    elif peer == "memcpy":

        def call(_: Any) -> Any:
            return values.copy()

    else:
        call = peers.HITS[peer](arrays.look, folder)
        if call(values)["process"] == os.getpid():
            raise Wrong("an equal array in another process was computed again")

    seconds = []
    for _ in range(7):
        started = perf_counter()
        call(values)
        seconds.append(perf_counter() - started)

    if peer not in BARE:
        values[len(values) // 2] += 1
        if call(values) != arrays.look(values):
            raise Wrong("a change in the middle of the array was not seen")
    return {"": median(seconds)}


def remember(peer: str, folder: Path, quick: bool) -> dict[str, float]:
    """What ``take`` finds."""
    from . import arrays

    if peer not in BARE:
        peers.MISSES[peer](arrays.look, folder)(_argument(quick))
    return {}
