"""Places to be damaged: persisted functions on them, each as another process would have it, and what must hold after."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from memo import Cache, MemoWarning, _opened, events

KINDS = ["sqlite", "files"]
SIZES = {"small": 10, "large": 300_000}  # beyond what Spill keeps in rows, and from where bodies are mapped
SCENES = {"a new place": 1, "a store": 2, "a load": 0}  #: and its argument; 0 is stored in the place already
GENERAL = "faults.f"


class Persisted(NamedTuple):
    f: Any
    calls: list[int]
    cache: Cache


def persisted(folder: Path, kind: str, size: int, *, durable: bool = False) -> Persisted:
    """As another process would have it: nothing is shared but the place."""
    calls: list[int] = []

    def f(x: int) -> bytes:
        calls.append(x)
        return value(x, size)

    cache = Cache(folder, storage=kind, durable=durable)
    return Persisted(cache.persist(f, name=GENERAL, code="off", version=1), calls, cache)


def value(x: int, size: int) -> bytes:
    return (b"%06d" % x) * (size // 6 + 1)


def forget(one: Persisted) -> None:
    """What a process keeps open or in memory of a place."""
    opened = one.cache._opened
    if opened is not None:
        for storage in (opened.storage, getattr(opened.storage, "small", None)):
            if hasattr(storage, "close"):
                storage.close()
        opened.lock_file.close()
        _opened._flights.pop(opened.place, None)


class Told(logging.Handler):
    """What memo says, as warnings or, where those would raise, in its log."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            self.texts.append(record.getMessage())


def watched(do: Callable[[], Any], raising: bool) -> tuple[Any, list[str]]:
    """The result, and what memo told, as warnings or (under ``-W error``) in the log."""
    events._warned.clear()
    logger, handler = logging.getLogger("memo"), Told()
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings(record=not raising) as caught:
            warnings.simplefilter("error" if raising else "always")
            result = do()
    finally:
        logger.removeHandler(handler)
    if raising:
        return result, handler.texts
    return result, [str(one.message) for one in caught or () if issubclass(one.category, MemoWarning)]


def check(folder: Path, one: Persisted, kind: str, size: str, x: int, kept: bool) -> int:
    """The failure is over: right at once, stored at the latest by the next call, nothing lost. How often it computed."""
    right = value(x, SIZES[size])
    assert one.f(x) == right
    forget(one)
    second = persisted(folder, kind, SIZES[size])
    assert second.f(x) == right
    forget(second)
    third = persisted(folder, kind, SIZES[size])
    assert third.f(x) == right
    if kept:
        assert third.f(0) == value(0, SIZES[size])
    assert third.calls == [], "healed at the call after next, and nothing lost"
    forget(third)
    return len(second.calls)
