"""Many entries: what a million of them cost beside ten thousand, and moving a hundred thousand to another place."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from .peers import Wrong
from .room import small
from .sharing import raw

Figures = dict[str, float]

COUNTS = {"memo": 1_000_000, "ten thousand": 10_000}
SHARED = 100_000


def _persisted(folder: Path) -> Any:
    from memo import Cache

    return Cache(folder / "place", storage="sqlite", strict=True).persist(small)


def fill(peer: str, folder: Path, quick: bool) -> Figures:
    cached = _persisted(folder)
    for n in range(_count(peer, quick)):
        cached(n)
    return {}


def _count(peer: str, quick: bool) -> int:
    return COUNTS[peer] // (1000 if quick else 1)


def look(peer: str, folder: Path, quick: bool) -> Figures:
    """Seconds of the first touch of a key and of a repeated hit, over keys from everywhere; bytes an entry, all files."""
    cached, count = _persisted(folder), _count(peer, quick)
    numbers = [n * 7919 % count for n in range(min(2_000, count))]
    first = median(_timed(cached, n) for n in numbers)
    again = median(_timed(cached, n) for n in numbers[-200:])
    if cached.cache_info().misses:
        raise Wrong(f"{cached.cache_info().misses} of {len(numbers)} results are lost")
    size = sum(os.lstat(os.path.join(above, file)).st_size for above, _, files in os.walk(folder) for file in files)
    return {"first touch": first, "hit": again, "bytes": size / count}


def _timed(cached: Any, n: int) -> float:
    started = perf_counter()
    value = cached(n)
    seconds = perf_counter() - started
    if value != small(n):
        raise Wrong(f"{n} gave {value}")
    return seconds


def upkeep(peer: str, folder: Path, quick: bool) -> Figures:
    """Seconds of `memo stats`, the start of the program included, and of clearing the function."""
    command = [sys.executable, "-m", "memo", "stats", "-l", str(folder / "place")]
    started = perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    stats = perf_counter() - started
    cached = _persisted(folder)
    cached(0)
    started = perf_counter()
    cached.cache_clear()
    seconds = perf_counter() - started
    if cached.is_cached(0):
        raise Wrong("it is not cleared")
    return {"stats": stats, "clear": seconds}


def share(peer: str, folder: Path, quick: bool) -> Figures:
    """Seconds of taking over a file of entries, and of a push to a place that has them all already.

    Beside them sqlite3 alone: as many inserts of as many bytes, one by one, and as many selects.
    """
    count = SHARED // (100 if quick else 1)
    if peer == "sqlite3":
        return dict(zip(("import", "push unchanged"), raw(folder, count), strict=True))
    from memo import Cache

    cached = _persisted(folder)
    for n in range(count):
        cached(n)
    cache = Cache(folder / "place")
    cache.export(folder / "all.memo")
    other = Cache(folder / "other")
    started = perf_counter()
    taken = other.import_(folder / "all.memo", trust=True).entries
    figures = {"import": perf_counter() - started}
    started = perf_counter()
    pushed = cache.push(folder / "other")
    figures["push unchanged"] = perf_counter() - started
    if taken != count or pushed.entries or pushed.same != count:
        raise Wrong(f"{taken} of {count} entries were imported, {pushed.entries} of 0 pushed again")
    return figures
