"""What a batch of calls would find, without computing anything: for an estimate before a long run."""

from __future__ import annotations

from itertools import islice

from . import _beats, _entry, settings
from ._tuples import NamedTuple
from .errors import DamagedError
from .model import Fresh, Head

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ._opened import Opened
    from ._run import Runner

_SCANNED = 1000  #: entries of the function that are looked at for what a computation takes


class Planned(NamedTuple):
    """One call: what it would find ("hit", "miss", "stale", "wait"), and the seconds that it would take to compute."""

    arguments: tuple[Any, ...]
    finds: str
    seconds: float


class Plan(NamedTuple):
    """What a batch would find. ``seconds`` is what is to be computed, one after the other, by the times on record."""

    calls: list[Planned]
    hits: int
    misses: int
    stale: int  #: stored, and expired
    waits: int  #: being computed by somebody else
    seconds: float


def plan(runner: Runner, calls: Iterable[Any], partial: tuple[tuple[Any, ...], dict[str, Any]]) -> Plan:
    cache = runner.cache()
    mode = settings.current(runner.name, runner.mode, runner.file).name
    opened = None if mode == "off" else cache.ready()
    state = runner.valid() if opened is not None and mode != "refresh" else None
    usual = _usual(opened, runner) if opened is not None else 0.0
    under_way = _under_way(opened) if opened is not None else set()
    planned = []
    for given in calls:
        arguments = (*partial[0], *given)
        finds, seconds = "miss", usual
        call = None
        if opened is not None and state is not None:
            call, _ = runner.call_of(state, runner.bind(*arguments, **partial[1]))
        if call is not None and opened is not None and state is not None:
            head = _head(opened.head(call.key), state.mark)
            if head is not None:
                seconds = head.seconds
                fresh = runner.policy().fresh(head.stamp, head, call, cache.clock())
                finds = "hit" if isinstance(fresh, Fresh) else "stale"
            if finds != "hit" and call.key in under_way:
                finds = "wait"
        planned.append(Planned(arguments, finds, seconds))
    hits, misses, stale, waits = (sum(one.finds == f for one in planned) for f in ("hit", "miss", "stale", "wait"))
    seconds = sum(one.seconds for one in planned if one.finds in ("miss", "stale"))
    return Plan(planned, hits, misses, stale, waits, seconds)


def _head(found: tuple[bytes, int] | None, mark: int) -> Head | None:
    if found is None or not found[0] or found[1] != mark:
        return None
    try:
        return _entry.unpack(found[0])
    except DamagedError:
        return None


def _usual(opened: Opened, runner: Runner) -> float:
    """The mean of what stored calls of this function took."""
    try:
        items = islice(opened.storage.scan(runner.scope), _SCANNED)
        heads = [_head((item.head, 0), 0) for item in items if item.name.count("/") == 2]
        seconds = [head.seconds for head in heads if head is not None]
    except Exception as error:
        runner.cache().trouble("list", error)
        return 0.0
    return sum(seconds) / len(seconds) if seconds else 0.0


def _under_way(opened: Opened) -> set[str]:
    found = {flight.name for flight in opened.flights.under_way()}
    try:
        from time import time

        found.update(entry["key"] for one in _beats.processes(opened.storage, time()) for entry in one["flights"])
    except Exception:  # it is an estimate
        pass
    return found
