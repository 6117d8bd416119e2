"""Making room: what limits cost a store, and how fast expired entries go. Each is beside the same without them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter, time
from typing import Any

from .functions import reach_5
from .peers import Wrong
from .small import SCALE

Figures = dict[str, float]


def stores(peer: str, folder: Path, quick: bool) -> Figures:
    """Seconds a store on a full place, all that it evicts included: a mean, since evictions come in batches.

    "unlimited" is the same cache without a limit, which holds as many entries when the clock starts.
    """
    from memo import Cache

    entries = 200 if quick else 2_000
    limits = {"max_entries": entries} if peer == "memo" else {}
    cached = Cache(folder, strict=True, **limits).persist(reach_5)
    for n in range(entries):
        cached(n, scale=SCALE)
    numbers = range(entries, 3 * entries)
    started = perf_counter()
    for n in numbers:
        cached(n, scale=SCALE)
    seconds = (perf_counter() - started) / len(numbers)
    found = sum(1 for _ in cached.entries())
    if not (entries * 0.9 <= found <= entries if limits else found == 3 * entries):
        raise Wrong(f"{found} entries are left")
    return {"": seconds}


def expire(peer: str, folder: Path, quick: bool) -> Figures:
    """Stores entries that an hour ago were good for a minute."""
    count = 1_000 if quick else 100_000
    if peer == "sqlite3":
        raw(folder, count)
        return {}
    cache = _cache(folder)
    then = time() - 3600
    cache.clock = lambda: then  # while they are stored nothing expires, and nothing is swept away
    cached: Callable[..., Any] = cache.persist(small, ttl="1m")
    for n in range(count):
        cached(n)
    return {}


def small(n: int) -> dict[str, float]:
    return {"n": n, "half": n / 2}


def purge(peer: str, folder: Path, quick: bool) -> Figures:
    """Takes them all off the disk. "sqlite3" deletes as many rows, a thousand in a transaction."""
    count = 1_000 if quick else 100_000
    if peer == "sqlite3":
        execute = _connect(folder)
        started = perf_counter()
        for first in range(0, count, 1_000):
            execute("DELETE FROM results WHERE key BETWEEN ? AND ?", (first, first + 999))
        return {"": perf_counter() - started}
    cache = _cache(folder)
    cached = cache.persist(small, ttl="1m")
    started = perf_counter()
    gone = cache.clear(expired=True).entries
    seconds = perf_counter() - started
    left = sum(1 for _ in cached.entries())
    if gone != count or left:
        raise Wrong(f"{gone} of {count} entries went, and {left} are left")
    return {"": seconds}


def raw(folder: Path, count: int) -> None:
    from pickle import dumps

    execute = _connect(folder)
    execute("BEGIN")
    for n in range(count):
        execute("INSERT INTO results VALUES (?, ?)", (n, dumps(small(n))))
    execute("COMMIT")


def _connect(folder: Path) -> Callable[..., Any]:
    from .peers import connection

    execute: Callable[..., Any] = connection(folder).execute
    return execute


def _cache(folder: Path) -> Any:
    from memo import Cache

    return Cache(folder, storage="sqlite", strict=True)
