"""How memo and its peers are set up: each as its own documentation says, with nothing tuned for or against it.

A peer is a callable ``(function, folder) -> function`` whose result stores what ``function`` returned below ``folder``.
Each is imported where it is opened, so that no process carries the weight of another's.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import floor

Function = Callable[..., Any]


class Wrong(Exception):
    """The peer did not do what was to be measured: a hit was computed, a result was not stored, a value was another."""


def memo(function: Function, folder: Path) -> Function:
    from memo import persist

    return persist(location=folder, code="follow")(function)


def joblib(function: Function, folder: Path) -> Function:
    from joblib import Memory

    cached: Function = Memory(str(folder), verbose=0).cache(function)
    return cached


def diskcache(function: Function, folder: Path) -> Function:
    from diskcache import Cache

    cached: Function = Cache(str(folder)).memoize()(function)
    return cached


def cachier(function: Function, folder: Path) -> Function:
    """A file a result, as its documentation advises where a function has many; one file for all is slower with few, too."""
    from cachier import cachier

    cached: Function = cachier(cache_dir=folder, separate_files=True)(function)
    return cached


def checkpointer(function: Function, folder: Path) -> Function:
    from checkpointer import checkpoint

    cached: Function = checkpoint(directory=folder, verbosity=0)(function)
    return cached


def lru_cache(function: Function, folder: Path) -> Function:
    """The limit: a dictionary in C, gone with its process. What it keeps says another process, as what is stored does."""
    from functools import lru_cache

    def earlier(*arguments: Any, **named: Any) -> Any:
        return function(*arguments, **named) | {"process": 0}

    return lru_cache(maxsize=None)(earlier)


# Raw sqlite3 is the floor: what is left when a cache leaves out everything that makes it one. A kept connection in WAL
# mode, one statement in autocommit, the value pickled, and the argument itself as the integer key. It has no binding of
# arguments, no digest, no code or freshness to look at and nothing to verify, and it could serve one function only; but
# it is durable over the end of a process and right with many of them, as the caches are, which a dictionary is not.
# WAL with synchronous=NORMAL is what SQLite's documentation recommends for most programs, and is faster than its default.


def connection(folder: Path) -> Any:
    import sqlite3

    connection = sqlite3.connect(folder / "results.db", isolation_level=None, timeout=60)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("CREATE TABLE IF NOT EXISTS results (key INTEGER PRIMARY KEY, value BLOB NOT NULL)")
    return connection


def sqlite3_select(function: Function, folder: Path) -> Function:
    """select + loads; a key that is absent raises TypeError."""
    from pickle import loads

    execute = connection(folder).execute

    def call(n: int, scale: float) -> Any:
        return loads(execute("SELECT value FROM results WHERE key = ?", (n,)).fetchone()[0])

    return call


def sqlite3_insert(function: Function, folder: Path) -> Function:
    """The function, dumps + insert, without looking first."""
    from pickle import dumps

    execute = connection(folder).execute

    def call(n: int, scale: float) -> Any:
        value = function(n, scale)
        execute("INSERT INTO results VALUES (?, ?)", (n, dumps(value)))
        return value

    return call


def sqlite3_both(function: Function, folder: Path) -> Function:
    """select + loads; what is absent is computed and inserted."""
    from pickle import dumps, loads

    execute = connection(folder).execute

    def call(n: int, scale: float) -> Any:
        row = execute("SELECT value FROM results WHERE key = ?", (n,)).fetchone()
        if row is not None:
            return loads(row[0])
        value = function(n, scale)
        execute("INSERT OR IGNORE INTO results VALUES (?, ?)", (n, dumps(value)))
        return value

    return call


# Raw files are the other floor: a file a result, written aside and renamed, the argument itself as its name.


def files_read(function: Function, folder: Path) -> Function:
    """open, read, loads; a key that is absent raises FileNotFoundError."""
    from pickle import loads

    def call(n: int, scale: float) -> Any:
        with open(f"{folder}/{n}", "rb", buffering=0) as file:
            return loads(file.read())

    return call


def files_write(function: Function, folder: Path) -> Function:
    """The function, dumps, a new file, rename."""
    import os
    from pickle import dumps

    def call(n: int, scale: float) -> Any:
        value = function(n, scale)
        with open(f"{folder}/{n}~", "xb", buffering=0) as file:
            file.write(dumps(value))
        os.rename(f"{folder}/{n}~", f"{folder}/{n}")
        return value

    return call


PACKAGES = {"joblib": joblib, "diskcache": diskcache, "cachier": cachier, "checkpointer": checkpointer}

#: what serves a call that was stored, and what serves one that was not; a cache does both with one callable
HITS = {
    "memo": memo,
    **PACKAGES,
    "lru_cache": lru_cache,
    "sqlite3": sqlite3_select,
    "files": files_read,
    "floor": floor.small,
}
MISSES = {**HITS, "sqlite3": sqlite3_insert, "files": files_write}
BOTH = {**HITS, "sqlite3": sqlite3_both}
#: where one of these does not do what a row asks, that is worth a line, and no fault of memo's
OTHERS = {*PACKAGES, "lru_cache"}
