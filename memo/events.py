"""What memo did, for those who ask: counters, the logger "memo", listeners, and one warning per cause.

The decision: nobody asks most of the time, so nothing is loaded or made for it. ``logging`` is imported when there is
something to say and somebody who could hear it, and the front's hits, which are the fast ones, are only told to
listeners: while there is one, ``settings.ACTIVE`` sends every call the long way. Nothing here ever raises into a call.
"""

from __future__ import annotations

import os
import sys
from _thread import RLock  # threading would be loaded for this alone

from . import settings
from ._tuples import NamedTuple
from .errors import MemoWarning, OptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterable
    from types import FrameType

    from .model import Event

# The numbers of logging, so that it need not be loaded to compare them.
_DEBUG, _INFO = 10, 20
_LEVELS = {"debug": _DEBUG, "info": _INFO, "warning": 30, "error": 40, "critical": 50}

LISTENERS: list[Callable[[Event], object]] = []
_warned: set[str] = set()
_logger: logging.Logger | None = None
_asked = os.environ.get("MEMO_LOG", "")
_lock = RLock()


# ---------------------------------------------------------------------------------------------------- listeners


def on_event(listener: Callable[[Event], object]) -> Callable[[], None]:
    """Have ``listener`` called with each `Event` of this process; returns a function that takes it off again.

    It runs in the thread of the call, after the fact, so it should be quick. A listener that raises is logged and taken
    off; the call is not disturbed. While there is a listener, hits cost more: each becomes an event.

    >>> import memo.events
    >>> stop = memo.events.on_event(print)
    >>> stop()
    """
    if not callable(listener):
        raise OptionError(f"on_event() takes a callable of one Event, not {type(listener).__name__}")
    told = _Told(listener)
    LISTENERS.append(told)
    settings.ACTIVE.append(told)

    def remove() -> None:
        if told in LISTENERS:
            LISTENERS.remove(told)
        if told in settings.ACTIVE:
            settings.ACTIVE.remove(told)

    told.remove = remove
    return remove


class _Told:
    """A listener with a place of its own in the lists: the same callable may be added twice, and is removed once."""

    __slots__ = ("listener", "remove")
    remove: Callable[[], None]

    def __init__(self, listener: Callable[[Event], object]) -> None:
        self.listener = listener

    def __call__(self, event: Event) -> None:
        try:
            self.listener(event)
        except Exception:
            self.remove()
            name = getattr(self.listener, "__qualname__", type(self.listener).__name__)
            _say(_LEVELS["error"], f"a listener of memo.on_event raised and was taken off: {name}", True)


def wanted(kind: str) -> bool:
    """Whether an event of this kind would reach anybody, so that the engine need not make it otherwise."""
    if LISTENERS:
        return True
    if _logger is None and not _asked and "logging" not in sys.modules:
        return False  # a first touch can't afford more than this
    return _log().isEnabledFor(_level(kind))


def emit(event: Event) -> None:
    """Tell listeners and the log. Costs a look at two variables when nobody listens."""
    for listener in tuple(LISTENERS):
        listener(event)
    level = _level(event.kind)
    if _heard(level):
        _say(level, _line(event))


def _level(kind: str) -> int:
    # An error is told once, by a warning; the log has each of them, and must not flood whoever shows warnings.
    return _INFO if kind in ("miss", "error") else _DEBUG


def _line(event: Event) -> str:
    why = f": {event.why}" if event.why else ""
    verb = {"miss": "computed in", "hit": "loaded in", "store": "stored in"}.get(event.kind, "took")
    took = f", {verb} {_seconds(event.seconds)}" if event.seconds else ""
    size = f", {event.size:,} bytes" if event.size else ""
    return f"{event.kind} {event.function}{why}{took}{size}  [{event.key}]"


def _seconds(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


# ------------------------------------------------------------------------------------------------------ logging


def _heard(level: int) -> bool:
    """Whether the log would show it: not when nobody loaded logging and MEMO_LOG does not ask for it."""
    if _logger is None and not _asked and "logging" not in sys.modules:
        return False
    return _log().isEnabledFor(level)


def _say(level: int, text: str, with_traceback: bool = False) -> None:
    try:
        _log().log(level, "%s", text, exc_info=with_traceback)
    except Exception:  # a filter or handler of the user's that raises
        pass


def _log() -> logging.Logger:
    return _logger or _set_up()


def _set_up() -> logging.Logger:
    global _logger
    with _lock:
        if _logger is not None:
            return _logger
        import logging

        logger = logging.getLogger("memo")
        logger.addHandler(logging.NullHandler())  # a library's logger says nothing unless it is asked to
        name = os.environ.get("MEMO_LOG", "").strip().lower()
        if name in _LEVELS:
            _show(logger, _LEVELS[name])
        _logger = logger
    if name and name not in _LEVELS:
        warn_once("MEMO_LOG", f"MEMO_LOG={name!r} is ignored: expected one of {', '.join(_LEVELS)}")
    return logger


def _show(logger: logging.Logger, level: int) -> None:
    import logging

    logger.setLevel(level)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr and handler.level <= level:
            return  # the program shows its log there already; each line once
    shown = logging.StreamHandler()
    shown.setFormatter(logging.Formatter("memo: %(message)s"))
    logger.addHandler(shown)


# ----------------------------------------------------------------------------------------------------- warnings


def warn_once(cause: str, text: str, kind: type[MemoWarning] = MemoWarning) -> None:
    """One `MemoWarning` (or one of its kinds) per cause and process; never raises.

    Where the warning filters turn it into an exception (``python -W error``) it is logged instead: the cache does
    not break a call. It points at the nearest line that is not memo's own.
    """
    with _lock:
        if cause in _warned:
            return
        _warned.add(cause)
    import warnings

    try:
        warnings.warn(text, kind, stacklevel=_outside())
    except Exception:
        _say(_LEVELS["warning"], text)


def _outside() -> int:
    """The ``stacklevel`` that makes a warning of our caller point at the first line outside memo."""
    frame: FrameType | None = sys._getframe(1)
    level = 0
    while frame is not None:
        level += 1
        module = frame.f_globals.get("__name__")
        # generated wrappers run with the globals of the user's module; their file name tells them
        inside = isinstance(module, str) and (module == "memo" or module.startswith("memo."))
        if not inside and not frame.f_code.co_filename.startswith("<memo"):
            return level
        frame = frame.f_back
    return 1


# ----------------------------------------------------------------------------------------------------- counters


class Totals(NamedTuple):
    """What this process did for one function; ``seconds_saved`` is what the hits would have taken to compute.

    ``key_seconds``: what keys of arguments that are not plain took; ``load_seconds``: what hits below the front took;
    ``evicted``: entries of it that this process took out to make room.
    """

    function: str
    hits: int = 0
    misses: int = 0
    seconds_saved: float = 0.0
    bytes: int = 0
    key_seconds: float = 0.0
    load_seconds: float = 0.0
    evicted: int = 0


def _plus(a: Totals | None, b: Totals) -> Totals:
    if a is None:
        return b
    return Totals._make((a.function, *(one + more for one, more in zip(a[1:], b[1:], strict=True))))


_counts: dict[str, Totals] = {}
_sources: list[Callable[[], Iterable[Totals]]] = []


def count(
    function: str, hits: int = 0, misses: int = 0, seconds_saved: float = 0.0, bytes: int = 0, evicted: int = 0
) -> None:
    """Add to the counters of a function."""
    more = Totals(function, hits, misses, seconds_saved, bytes, evicted=evicted)
    with _lock:
        _counts[function] = _plus(_counts.get(function), more)


def register(source: Callable[[], Iterable[Totals]]) -> Callable[[], None]:
    """Have counts that are kept elsewhere (a front's) added when they are read; returns what removes it again."""
    _sources.append(source)

    def remove() -> None:
        if source in _sources:
            _sources.remove(source)

    return remove


def totals() -> list[Totals]:
    """The counts of this process, one line a function, those that saved most first."""
    with _lock:
        added = dict(_counts)
    for source in tuple(_sources):
        for more in source():
            added[more.function] = _plus(added.get(more.function), more)
    return sorted(added.values(), key=lambda line: (-line.seconds_saved, line.function))


def _fresh_lock() -> None:
    """In a forked child: a thread that held the lock is not there to let go, and the counts are of *this* process."""
    global _lock
    _lock = RLock()
    _counts.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fresh_lock)
