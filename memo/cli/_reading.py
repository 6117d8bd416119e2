"""Commands that look and change nothing: ls, stats, where."""

from __future__ import annotations

import os
from time import time

from memo import _upkeep, settings
from memo._limits import evicted
from memo._place import shown, split_location
from memo._units import show_bytes, show_seconds

from . import _filters
from ._output import Nothing, ago, as_json, pairs, table
from ._places import absent, located, opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable
    from typing import Any

    from memo._upkeep import Listed, Usage

    from ._places import Command


def add(command: Callable[[str, Command, str], ArgumentParser]) -> None:
    listing = command("ls", ls, "list the functions that have stored results, or the results, newest first")
    _filters.add_pattern(listing)
    _filters.add(listing)
    listing.add_argument("-e", "--entries", action="store_true", help="one line a stored result")
    totals = command("stats", stats, "how much is stored, and the computing time that it saves")
    _filters.add_pattern(totals)
    _filters.add(totals)
    place = command("where", where, "which place this is, why this one, what it holds, and the settings in force")
    for parser in (listing, totals, place):
        parser.add_argument("--json", action="store_true", help="for programs: bytes, seconds, seconds since the epoch")


def ls(arguments: Namespace) -> None:
    now = time()
    location, storage, _ = opened(arguments)
    filters = _filters.chosen(arguments, now, storage)
    if arguments.entries:
        entries = [one for one in _upkeep.entries(storage, filters) if one.live]
        entries.sort(key=lambda one: (-(one.head.created if one.head else 0.0), one.key))
        _show_entries(entries, now, arguments.json)
        found = bool(entries)
    else:
        functions = [one for one in _upkeep.usage(storage, filters) if one.entries]
        _show_functions(functions, now, arguments.json)
        found = bool(functions)
    if not found:
        raise Nothing(_filters.nothing_found(arguments, location, storage))


def _show_functions(functions: list[Usage], now: float, json: bool) -> None:
    if json:
        as_json([one._asdict() for one in functions])
    elif functions:
        table(
            ("FUNCTION", "ENTRIES", "SIZE", "COMPUTED IN", "VERSIONS", "NEWEST"),
            (
                (
                    one.function,
                    f"{one.entries:,}",
                    show_bytes(one.bytes),
                    show_seconds(one.seconds),
                    str(one.versions),
                    ago(one.newest, now),
                )
                for one in functions
            ),
            right=" rrrrr",
        )


def _show_entries(entries: list[Listed], now: float, json: bool) -> None:
    if json:
        as_json([_entry(one) for one in entries])
    elif entries:
        table(
            ("FUNCTION", "VERSION", "ARGUMENTS", "SIZE", "COMPUTED IN", "STORED", "FORMAT"),
            (
                (
                    one.function,
                    one.version[:8],
                    one.key.rpartition("/")[2][:12],
                    show_bytes(one.size),
                    show_seconds(one.head.seconds) if one.head else "-",
                    ago(one.head.created if one.head else None, now),
                    ", ".join((one.head.serializer, *one.head.codecs)) if one.head else "damaged",
                )
                for one in entries
            ),
            right="   rrr",
        )


def _entry(one: Listed) -> dict[str, Any]:
    head = one.head
    return {
        "function": one.function,
        "key": one.key,
        "version": one.version,
        "bytes": one.size,
        "created": head.created if head else None,
        "seconds": head.seconds if head else None,
        "serializer": head.serializer if head else None,
        "codecs": list(head.codecs) if head else None,
        "damaged": head is None,
    }


def stats(arguments: Namespace) -> None:
    now = time()
    location, storage, _ = opened(arguments)
    functions = _upkeep.usage(storage, _filters.chosen(arguments, now, storage))
    total = _total(location, functions)
    total["evicted"], total["evicted_bytes"] = evicted(split_location(located(arguments)[0])[1])
    if arguments.json:
        as_json(total)
    else:
        rows = [
            ("place", location),
            ("functions", f"{total['functions']:,}"),
            ("entries", f"{total['entries']:,}"),
            ("size", show_bytes(total["bytes"])),
            ("computed in", f"{show_seconds(total['seconds'])}: what using each entry once saves"),
            ("newest", ago(total["newest"], now)),
            ("oldest", ago(total["oldest"], now)),
        ]
        if total["damaged"]:
            rows.append(("damaged", f"{total['damaged']:,}: computed again at their next call"))
        if total["dead"]:
            rows.append(("cleared", f"{total['dead']:,}, still on the disk"))
        if total["evicted"]:
            rows.append(
                ("evicted", f"{total['evicted']:,} in all, {show_bytes(total['evicted_bytes'])}, by its limits")
            )
        pairs(rows)
    if not total["entries"]:
        raise Nothing(_filters.nothing_found(arguments, location, storage))


def _total(location: str, functions: list[Usage]) -> dict[str, Any]:
    times = [time for one in functions for time in (one.oldest, one.newest) if time is not None]
    return {
        "place": location,
        "functions": sum(1 for one in functions if one.entries),
        "entries": sum(one.entries for one in functions),
        "bytes": sum(one.bytes for one in functions),
        "seconds": sum(one.seconds for one in functions),
        "oldest": min(times, default=None),
        "newest": max(times, default=None),
        "damaged": sum(one.damaged for one in functions),
        "dead": sum(one.dead for one in functions),
    }


def where(arguments: Namespace) -> None:
    location, source = located(arguments)
    found: dict[str, Any] = {"place": shown(location), "because": source, "exists": not absent(location)}
    if found["exists"] or arguments.location is not None:
        _, storage, marker = opened(arguments)
        used = _upkeep.usage(storage)
        found["marker"] = marker._asdict()
        found["entries"], found["bytes"] = sum(one.entries for one in used), sum(one.bytes for one in used)
        found["on_disk"] = _on_disk(split_location(location)[1])
    in_force = [
        {"setting": name, "value": value, "from": origin}
        for name, value, origin in settings.explain()
        if name != "location"  # that is what the lines above are about
    ]
    if arguments.json:
        as_json({**found, "settings": in_force})
    else:
        rows = [("place", found["place"]), ("because", source)]
        if "marker" in found:
            rows.extend((name.replace("_", " "), str(value)) for name, value in found["marker"].items() if value)
            rows.append(("entries", f"{found['entries']:,}, {show_bytes(found['bytes'])}"))
            if found["on_disk"] is not None:
                rows.append(("on disk", show_bytes(found["on_disk"])))
        pairs(rows)
        if in_force:
            print()
            table(("SETTING", "VALUE", "FROM"), [[str(cell) for cell in row.values()] for row in in_force])
    if not found["exists"]:
        raise Nothing(f"nothing is stored yet in {found['place']}")


def _on_disk(location: str) -> int | None:
    """Bytes of all files of a folder, as the disk allots them; None for what is not a folder."""
    if not os.path.isdir(location):
        return None
    total = 0
    for folder, _, files in os.walk(location):
        for name in files:
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512  # POSIX counts in 512, whatever the disk
            except OSError:  # gone meanwhile
                continue
    return total
