"""Signs of life: which computations are under way, told every few seconds to whoever waits for them or asks.

One thread a process, there only while something is computed, looks once a second. What has lasted that long stands in
the record ``flights/<process>`` of its place, written anew every 5 seconds: so short computations cost nothing, and the
record of a process that was stopped or cut off grows old. Who waits goes by changes of that record, not by clocks, which
differ between hosts. Locks of the kernel end with their holder anyway; this is for those that do not, for processes that
are stopped, for circles of waits over several processes, and for ``memo ps``.
"""

from __future__ import annotations

import os
import sys
from time import monotonic, time

from . import _flight, _forks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ._flight import Flight, Flights
    from .protocols import Storage

SILENCE = 60.0  #: seconds without a beat after which nobody waits any longer
_BEAT = 5.0  #: seconds between two
_TICK = 1.0
_IDLE = 10  #: ticks without any computation after which the thread ends
_HOUR = 3600.0


_thread: Any = None
_stop: Any = None  #: an Event


def start() -> None:
    """Once a process, while there are computations; called with the guard of ``_flight`` held."""
    global _thread, _stop
    from threading import Event, Thread

    stop = _stop = Event()
    _thread = Thread(target=_run, args=(stop,), name="memo-beats", daemon=True)
    _thread.start()


def _pause() -> None:
    """Before a fork: a process of one thread can be forked without a warning, and nothing is half written."""
    if _thread is not None and _thread.is_alive():
        from threading import current_thread

        _stop.set()
        if _thread is not current_thread():
            _thread.join(_BEAT)


_forks.register(_pause, _flight.beat_again)


def _run(stop: Any) -> None:
    since: dict[Flight, float] = {}
    told: dict[Flights, tuple[float, list[Any]]] = {}
    idle = 0
    while not stop.wait(_TICK):
        now, current = time(), _flight.under_way()
        since = {flight: since.get(flight, now) for flights in current.values() for flight in flights}
        for place in {*current, *told}:
            lasting = [flight for flight in current.get(place, ()) if now - since[flight] >= _TICK / 2]
            for flight in lasting:
                if flight.recording is not None:
                    flight.recording.rest()
            _tell(place, [_entry(flight, since[flight]) for flight in lasting], now, told)
        idle = 0 if current else idle + 1
        if idle > _IDLE and _flight.stop_beating():
            return


def _entry(flight: Flight, since: float) -> dict[str, Any]:
    return {
        "key": flight.name,
        "function": flight.function,
        "since": since,
        "holds": flight.holds,
        "within": flight.parent.name if flight.parent is not None else None,
        "waits": [other.name for other in flight.waits],
    }


def _tell(place: Flights, entries: list[Any], now: float, told: dict[Flights, tuple[float, list[Any]]]) -> None:
    written, before = told.get(place, (0.0, []))
    storage = place.storage
    if storage is None or (not entries and not before):
        told.pop(place, None)
        return
    try:
        if not entries:
            told.pop(place)
            storage.remove(_own())
        elif entries != before or now - written >= _BEAT:
            if not before:
                sweep(storage, now)
            import json

            about = {
                "host": _host(),
                "pid": os.getpid(),
                "started": started(os.getpid()),
                "beat": now,
                "flights": entries,
            }
            body = json.dumps(about).encode()
            storage.write(_own(), [body], bytes, size=len(body), mark=0)
            told[place] = now, entries
    except Exception:  # a place that can't be written: those who wait go by their patience
        told[place] = now, entries


def _own() -> str:
    host = "".join(c if c.isascii() and c.isalnum() else "-" for c in _host().lower())[:30]
    return f"flights/{host or 'host'}-{os.getpid()}".replace("/-", "/h-")


def _host() -> str:
    import socket

    return socket.gethostname()


def started(pid: int) -> int | None:
    """When a process of this host began, in ticks since the boot; None where that can't be known. Numbers are reused."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


# ------------------------------------------------------------------------------------------------------- reading


def processes(storage: Storage, now: float | None = None) -> Iterator[dict[str, Any]]:
    """What each process has told last; with ``now`` (seconds since the epoch) only of those that live."""
    import json

    for item in list(storage.scan("flights")):
        try:
            record = storage.read(item.name)
            told: Any = None if record is None else json.loads(bytes(record.body))
        except (ValueError, RecursionError):
            continue
        # a record has no digest: what is not as this memo writes it is not believed
        known = _fits(told, _RECORD) and all(_fits(one, _FLIGHT) for one in told["flights"])
        if known and (now is None or _lives(told, now)):
            yield {**told, "name": item.name}


_NUMBER = (int, float)
_RECORD: dict[str, Any] = {
    "host": str, "pid": int, "started": (int, type(None)), "beat": _NUMBER, "flights": list,
}  # fmt: skip
_FLIGHT: dict[str, Any] = {
    "key": str, "function": str, "since": _NUMBER, "holds": bool, "within": (str, type(None)), "waits": list,
}  # fmt: skip


def _fits(told: Any, fields: dict[str, Any]) -> bool:
    return type(told) is dict and all(isinstance(told.get(name), kind) for name, kind in fields.items())


def _lives(told: dict[str, Any], now: float) -> bool:
    if told["host"] == _host() and sys.platform.startswith("linux"):
        return bool(started(told["pid"]) == told.get("started"))
    return bool(now - told["beat"] < SILENCE)


def sweep(storage: Storage, now: float) -> None:
    """Takes away the records of processes that were killed; on another host, of those that are silent for an hour."""
    for told in list(processes(storage)):
        if not _lives(told, now) and (told["host"] == _host() or now - told["beat"] > _HOUR):
            storage.remove(told["name"])


class Wait:
    """One wait for another process: whether it still makes sense."""

    def __init__(self, storage: Storage, flight: Flight | None, key: str) -> None:
        self._storage, self._flight, self._key = storage, flight, key
        self._life = self._looked = monotonic()
        self._beat: Any = None
        self._every = 1.5

    def is_over(self) -> bool:
        """The holder has been silent for too long, or waits for us itself."""
        now = monotonic()
        if now - self._looked < self._every:
            return False
        self._looked, self._every = now, min(self._every + 1, _BEAT)
        try:
            told = list(processes(self._storage))
        except Exception:
            return now - self._life > SILENCE
        for one in told:
            for entry in one["flights"]:
                if entry["key"] == self._key and entry["holds"] and (one["name"], one["beat"]) != self._beat:
                    self._beat, self._life = (one["name"], one["beat"]), now
        return now - self._life > SILENCE or self._is_circle(told)

    def _is_circle(self, told: list[dict[str, Any]]) -> bool:
        above = set()
        up = self._flight.parent if self._flight is not None else _flight.INSIDE.get()
        while up is not None:
            above.add(up.name)
            up = up.parent
        holders = {entry["key"]: (one, entry) for one in told for entry in one["flights"] if entry["holds"]}
        todo = [holders[self._key]] if above and self._key in holders else []
        seen: set[tuple[str, str]] = set()
        while todo:
            one, entry = todo.pop()
            key = entry["key"]
            if one["name"] == _own() and key in above:
                return True
            if (one["name"], key) not in seen:
                seen.add((one["name"], key))
                for other in one["flights"]:
                    if other["within"] == key or other["key"] in entry["waits"]:
                        if other["holds"]:
                            todo.append((one, other))
                        elif other["key"] in holders:
                            todo.append(holders[other["key"]])
        return False
