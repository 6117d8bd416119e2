"""Who computes what at this moment, from the signs of life that processes leave in the place."""

from __future__ import annotations

from time import time

from memo import _abilities, _beats, _entry
from memo._units import show_seconds
from memo.errors import DamagedError

from ._output import Nothing, ago, as_json, table
from ._places import opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable

    from memo.protocols import Storage

    from ._places import Command


def add(command: Callable[[str, Command, str], ArgumentParser]) -> None:
    parser = command(
        "ps", ps, "which calls are being computed, by which process, since when, and what they took last time"
    )
    parser.add_argument("--json", action="store_true", help="for programs: seconds, and seconds since the epoch")


def ps(arguments: Namespace) -> None:
    now = time()
    location, storage, _ = opened(arguments)
    found = [
        {
            "function": entry["function"],
            "key": entry["key"],
            "state": "computing" if entry["holds"] else "waiting",
            "since": entry["since"],
            "last_seconds": _last(storage, entry["key"]),
            "pid": process["pid"],
            "host": process["host"],
            "beat": process["beat"],
        }
        for process in _beats.processes(storage, now)
        for entry in process["flights"]
    ]
    found.sort(key=lambda one: one["since"])
    if arguments.json:
        as_json(found)
    elif found:
        rows = [
            (
                one["function"],
                one["state"],
                ago(one["since"], now),
                "-" if one["last_seconds"] is None else show_seconds(one["last_seconds"]),
                str(one["pid"]),
                one["host"],
            )
            for one in found
        ]
        table(("FUNCTION", "STATE", "SINCE", "LAST TIME", "PID", "HOST"), rows, "llrrrl")
    if not found:
        raise Nothing(f"nothing has been computing for more than a second in {location}")


def _last(storage: Storage, key: str) -> float | None:
    """Seconds that this call took when it was stored, or the newest one of its function."""
    try:
        before = _abilities.heads(storage).head(key)
        if before is not None and before[0]:
            return _entry.unpack(before[0]).seconds
    except DamagedError:
        pass
    scope = key.partition("/")[0]
    newest = None
    for item in storage.scan(scope):
        if item.name.count("/") == 2 and item.head:
            try:
                head = _entry.unpack(item.head)
            except DamagedError:
                continue
            if newest is None or head.created > newest.created:
                newest = head
    return None if newest is None else newest.seconds
