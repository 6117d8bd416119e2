"""The table of what is measured. A new row is one line here, its steps in a module, and its limits in budgets.toml.

A step is a function ``(peer, folder, quick) -> {part: seconds}``. The steps of a row run one after the other in one
fresh folder, each in a process of its own, and together give the figures of one peer: "row" for the part "", else
"row.part". A step that finds a wrong result raises `peers.Wrong`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from . import functions, keys, large, many, million, peers, room, small, start, workload

Step = Callable[[str, Path, bool], dict[str, float]]


class Row(NamedTuple):
    what: str
    peers: tuple[str, ...]
    steps: tuple[Step, ...]
    rounds: int = 99  #: at most; fewer where one takes long
    timeout: int = 300  #: seconds after which a step hangs
    long: bool = False  #: minutes: only with --long, or by its name


PACKAGES = tuple(peers.PACKAGES)
CACHES = ("memo", *PACKAGES, "sqlite3", "files")
CHECKED = (*CACHES, "floor")
#: those that follow code, and the floors
FOLLOWERS = ("memo", "checkpointer", "sqlite3", "lru_cache")
KEYS = ("memo", "joblib", "pickle")


def _of(function: Callable[..., object], *steps: Callable[..., dict[str, float]]) -> tuple[Step, ...]:
    return tuple(partial(step, function) for step in steps)


ROWS = {
    "hit": Row(
        "hit in a warm process, reaching 5 names", (*CACHES, "lru_cache"), _of(functions.reach_5, small.fill, small.hit)
    ),
    "hit-20": Row("hit in a warm process, reaching 20 names", FOLLOWERS, _of(keys.reach_20, small.fill, small.hit)),
    "hit-100": Row(
        "hit in a warm process, reaching 100 names", FOLLOWERS, _of(functions.reach_100, small.fill, small.hit)
    ),
    "first": Row("first touch of a key in a process", CHECKED, _of(functions.reach_5, small.fill, small.first)),
    "miss": Row("miss, beyond the function", CHECKED, _of(functions.reach_5, small.miss, small.stored)),
    "array": Row("result of 200 MB", ("memo", *PACKAGES, "files", "floor", "memcpy"), (large.store, large.load)),
    "argument": Row("argument of 100 MB", ("memo", *PACKAGES, "lru_cache", *large.BARE), (large.remember, large.take)),
    "key-small": Row("key of small arguments", KEYS, _of(keys.small, keys.made)),
    "key-ints": Row("key of a million ints", KEYS, _of(keys.ints, keys.made)),
    "key-dicts": Row("key of 200,000 dicts", KEYS, _of(keys.dicts, keys.made)),
    "key-array": Row("key of an array of 100 MB", KEYS, _of(keys.array, keys.made)),
    "key-frame": Row("key of a frame of 100 MB", KEYS, _of(keys.frame, keys.made)),
    "import": Row("import in a fresh interpreter", ("memo", *PACKAGES), (start.imported,)),
    "start": Row(
        "import, decoration and first hit",
        ("memo", *PACKAGES),
        (*_of(functions.reach_5, small.fill), start.started),
    ),
    "ls": Row("memo ls, from a shell", ("memo", "python"), (start.placed, start.listed)),
    "one": Row("eight processes ask for one missing result of 1 s", ("memo", *PACKAGES), (many.asked_one,), 3, 60),
    "flights": Row("8 x 4 threads ask for 50 missing results of 50 ms", ("memo",), (many.asked_all,), 3),
    "eight": Row("eight processes, a call", ("memo", "diskcache", "sqlite3"), (many.filled, many.throughput), 3),
    "limit": Row("store on a full place", ("memo", "unlimited"), (room.stores,)),
    "purge": Row("100,000 expired entries purged", ("memo", "sqlite3"), (room.expire, room.purge), 1),
    "evicted": Row("seconds saved of a recorded workload", ("lru", "cost", "optimum"), (workload.saved,), 1),
    "share": Row("100,000 entries to another place", ("memo", "sqlite3"), (million.share,), 1),
    "million": Row(
        "a million entries", ("memo", "ten thousand"), (million.fill, million.look, million.upkeep), 1, 7200, long=True
    ),
}
