"""Commands that look at results and change nothing: ls, show, stats."""

from __future__ import annotations

from time import time

from memo import _upkeep
from memo._place import split_location
from memo._units import show_bytes, show_seconds
from memo.errors import OptionError

from . import _filters
from ._output import Nothing, ago, as_json, counted, pairs, table
from ._places import located, opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable
    from typing import Any

    from memo._upkeep import Listed, Usage
    from memo.protocols import Storage

    from ._places import Command

_MOST = 3  #: functions named in a line of stats


def add(command: Callable[[str, Command, str], ArgumentParser]) -> None:
    listing = command("ls", ls, "list the functions that have stored results, or the results, newest first")
    _filters.add_pattern(listing)
    _filters.add(listing)
    listing.add_argument("-e", "--entries", action="store_true", help="one line a stored result")
    totals = command("stats", stats, "how much is stored, and the computing time that it saves")
    _filters.add_pattern(totals)
    _filters.add(totals)
    one = command("show", show, "all that is known of one stored result, without loading it")
    one.add_argument(
        "key", metavar="KEY", help="of ls --entries: its arguments, or the beginning of them, or a whole key"
    )
    for parser in (listing, one, totals):
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
        functions = [one for one in _upkeep.usage(storage, filters, now) if one.entries]
        _show_functions(functions, now, arguments.json)
        found = bool(functions)
    if not found:
        raise Nothing(_filters.nothing_found(arguments, location, storage))


def _show_functions(functions: list[Usage], now: float, json: bool) -> None:
    if json:
        as_json([one._asdict() for one in functions])
    elif functions:
        table(
            ("FUNCTION", "ENTRIES", "SIZE", "COMPUTED IN", "HITS", "SAVED", "STALE", "VERSIONS", "NEWEST"),
            (
                (
                    one.function,
                    f"{one.entries:,}",
                    show_bytes(one.bytes),
                    show_seconds(one.seconds),
                    f"{one.hits:,}" if one.hits else "never",
                    show_seconds(one.saved) if one.hits else "-",
                    f"{one.stale:,}" if one.stale else "-",
                    str(one.versions),
                    ago(one.newest, now),
                )
                for one in functions
            ),
            right=" rrrrrrrr",
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


def show(arguments: Namespace) -> None:
    now = time()
    location, storage, _ = opened(arguments)
    found = _by_key(storage, arguments.key)
    if not found:
        raise Nothing(
            f"no result in {location} has a key that begins with {arguments.key!r}; memo ls --entries has them"
        )
    if len(found) > 1:
        keys = "\n  ".join(one.key for one in found[:10])
        raise OptionError(
            f"{len(found)} results have a key that begins with {arguments.key!r}: say more of it\n  {keys}"
        )
    one = found[0]
    called, made_of = _remembered(storage, one)
    told = {**_entry(one), "live": one.live, "signed": one.signed, "arguments": called, "made_of": made_of}
    if arguments.json:
        as_json(told)
        return
    head = one.head
    rows = [("function", one.function), ("key", one.key), ("size", show_bytes(one.size))]
    if head is not None:
        rows += [
            ("computed", f"{ago(head.created, now)}, in {show_seconds(head.seconds)}"),
            ("format", ", ".join((head.serializer, *head.codecs))),
        ]
    state = (
        "damaged: computed again at its next call" if head is None else "good, as far as its function's policy says so"
    )
    rows.append(("state", state if one.live else "cleared: still on the disk, never served"))
    rows.append(("signed", "yes" if one.signed else "no"))
    rows += [(f"argument {name}", value) for name, value in called.items()]
    rows += [(f"package {name}", version) for name, version in made_of.get("packages", {}).items()]
    rows += [("code of", name) for name in made_of.get("code", [])]
    pairs(rows)


def _by_key(storage: Storage, key: str) -> list[Listed]:
    """The results with this key, or whose arguments (or key, from its beginning) begin so."""
    every = _upkeep.entries(storage)
    found = [one for one in every if one.key.startswith(key) or one.key.rpartition("/")[2].startswith(key)]
    return [one for one in found if one.key == key] or found


def _remembered(storage: Storage, one: Listed) -> tuple[dict[str, str], dict[str, Any]]:
    """The arguments of its call and what its code was made of, as far as that is kept."""
    from memo.explain import of_version, remembered

    scope, version, arguments = one.key.split("/")
    calls = [seen for seen in remembered(storage, scope) if (seen.version, seen.arguments) == (version, arguments[:16])]
    made = of_version(storage, scope, version)
    about = {"packages": made["packages"], "code": sorted(made["texts"]), "python": made["python"]} if made else {}
    return (calls[-1].shown if calls else {}), about


def stats(arguments: Namespace) -> None:
    from memo._limits import evicted

    now = time()
    location, storage, _ = opened(arguments)
    functions = _upkeep.usage(storage, _filters.chosen(arguments, now, storage), now)
    total = _total(location, functions)
    total["evicted"], total["evicted_bytes"] = evicted(split_location(located(arguments)[0])[1])
    if arguments.json:
        as_json(total)
    else:
        hits = counted(total["hits"], "hit", "hits")
        rows = [
            ("place", location),
            ("functions", f"{total['functions']:,}"),
            ("entries", f"{total['entries']:,}"),
            ("size", show_bytes(total["bytes"])),
            ("computed in", f"{show_seconds(total['seconds'])}: what using each entry once saves"),
            ("saved", f"{show_seconds(total['saved'])}, by {hits} of programs that have ended"),
            ("newest", ago(total["newest"], now)),
            ("oldest", ago(total["oldest"], now)),
        ]
        for title, key in (("big", "bytes"), ("never hit", "bytes"), ("stale", "stale_bytes")):
            names = total[title.replace(" ", "_")]
            shown = [f"{one['function']} ({show_bytes(one[key])})" for one in names[:_MOST]]
            if names:
                rows.append(
                    (title, ", ".join(shown) + (f", and {len(names) - _MOST} more" if len(names) > _MOST else ""))
                )
        if total["stale_entries"]:
            stale = counted(total["stale_entries"], "entry", "entries")
            rows.append(("to prune", f"{stale}, {show_bytes(total['stale_bytes'])}: expired, or made by other code"))
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

    def named(chosen: Callable[[Usage], bool], size: Callable[[Usage], int]) -> list[dict[str, Any]]:
        some = sorted((one for one in functions if one.entries and chosen(one)), key=size, reverse=True)
        return [{"function": one.function, "bytes": one.bytes, "stale_bytes": one.stale_bytes} for one in some]

    return {
        "place": location,
        "functions": sum(1 for one in functions if one.entries),
        "entries": sum(one.entries for one in functions),
        "bytes": sum(one.bytes for one in functions),
        "seconds": sum(one.seconds for one in functions),
        "hits": sum(one.hits for one in functions),
        "saved": sum(one.saved for one in functions),
        "oldest": min(times, default=None),
        "newest": max(times, default=None),
        "damaged": sum(one.damaged for one in functions),
        "dead": sum(one.dead for one in functions),
        "stale_entries": sum(one.stale for one in functions),
        "stale_bytes": sum(one.stale_bytes for one in functions),
        "big": named(lambda one: True, lambda one: one.bytes)[:_MOST],
        "never_hit": named(lambda one: not one.hits, lambda one: one.bytes),
        "stale": named(lambda one: bool(one.stale), lambda one: one.stale_bytes),
    }
