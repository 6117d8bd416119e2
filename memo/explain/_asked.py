"""The answers: for a call that somebody asks about, and for those that lie in a storage."""

from __future__ import annotations

from itertools import islice

from memo import _abilities, _entry, events, settings
from memo._units import show_seconds
from memo.errors import DamagedError
from memo.model import Hit

from . import described, look
from ._cause import Why, cause, expiry, kind_of, moment, of_versions
from ._kept import Seen, data_of, history, read, recent, seen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from memo._opened import Opened
    from memo._run import Runner
    from memo._state import State
    from memo.errors import UnkeyableError
    from memo.model import Call, Head, Miss
    from memo.protocols import Storage


_SCANNED = 20_000  #: entries that are looked at beside the last calls


def unkeyable(function: str, error: UnkeyableError) -> Why:
    text = f"unkeyable: {error.path} is a {error.kind}, which can't be part of a cache key: {error.reason}"
    return Why(function, "unkeyable", text, error.path, None, error.kind)


def why(runner: Runner, state: State | None, call: Call, opened: Opened | None, captures: bytes, key: bytes) -> Why:
    """What a call with these arguments would find now, and why. Computes nothing."""
    name = runner.name
    mode = settings.current(name, runner.mode, runner.file)
    if mode.name == "off":
        return Why(
            name, "mode", "mode: it is off, so every call computes and nothing is looked up", "mode", None, "off"
        )
    if not key:
        return Why(name, "unkeyable", "unkeyable: an argument has no key, so the call bypasses the cache")
    cache = runner.cache()
    if cache.location is None and opened is None:
        return Why(name, "off", "off: location=None switches caching off", "location", None, "None")
    if state is None or opened is None:
        return Why(name, "storage", f"storage: the cache at {cache.location} can't be used; the warning says why")
    now = cache.clock()
    policy = runner.policy()
    since = mode.since if mode.name == "refresh" else 0.0
    try:
        there = opened.heads.head(call.key)
        outcome = cache.lookup(call, state.mark, now, policy, since, None, b"")
    except Exception as error:  # strict, or a policy of the user's
        return Why(name, "storage", f"storage: {type(error).__name__}: {error}", key=call.key)
    if isinstance(outcome, Hit):
        head = outcome.head
        text = f"hit: stored at {moment(head.created)}; computing it took {show_seconds(head.seconds)}"
        for kind in ("by type", "not followed"):  # why it is a hit although something changed
            if state.followed is not None and (of := state.followed.follows.get(kind)):
                text += f"\n{'counted ' if kind == 'by type' else ''}{kind}: {', '.join(of)}"
        return Why(name, "hit", text, stored=head.created, seconds=head.seconds, key=call.key)
    if there is not None or outcome.why != "never seen":
        return _there(name, outcome, there, call, now, cache.serializer.name)
    looked = look(runner, call, captures, key)
    target = _target(call, state, looked, now)
    try:
        earlier = _with_entries(history(opened, call.scope, name).all(), opened, call.scope, target)
        return found_nothing(runner, opened, target, state.mark, earlier, state)._replace(key=call.key)
    except Exception as error:  # records that were written by who knows whom
        text = f"never seen; what there is to compare it with can't be read ({type(error).__name__}: {error})"
        return Why(name, "never seen", text, key=call.key)


def _there(name: str, miss: Miss, there: tuple[bytes, int] | None, call: Call, now: float, serializer: str) -> Why:
    """There is something under its name that can't be used."""
    head: Head | None
    try:
        head = _entry.unpack(there[0], name) if there and there[0] else None
    except DamagedError:
        head = None
    kind = kind_of(miss.why) or "storage"
    stored = head.created if head else None
    at = f"; it was stored at {moment(head.created)}" if head else ""
    path = before = after = None
    text = miss.why if kind in ("cleared", "deleted", "damaged", "expired", "mode") else f"{kind}: {miss.why}"
    if kind == "expired" and head is not None:
        before, after = moment(head.created), expiry(miss.why, head.created, now)
        path = "ttl"
    elif kind == "serializer" and head is not None:
        path, before, after = "serializer", head.serializer, serializer
    elif kind == "mode":
        path, after = "mode", "refresh"
        text = "mode: it is refresh, so what was stored before it began is computed again once"
    elif kind == "version":
        path = "version"
        words = miss.why.split("'")
        before, after = (words[1], words[3]) if len(words) == 5 else (None, None)
    return Why(name, kind, text + at, path, before, after, None, stored, head.seconds if head else None, call.key)


def _target(call: Call, state: State, looked: Any, now: float) -> Seen:
    notes, names, shown = looked
    return seen((call.key, now, state.mark, True, "never seen", notes, names, shown))


def _with_entries(calls: list[Seen], opened: Opened, scope: str, target: Seen) -> list[Seen]:
    """The last calls, and before them what else is stored of this function: its values are not known."""
    known = {(one.version, one.arguments) for one in calls}
    found = []
    try:
        for item in islice(opened.storage.scan(scope), _SCANNED):
            parts = item.name.split("/")
            if len(parts) != 3 or not item.head or (parts[1], parts[2][:16]) in known:
                continue
            head = _entry.unpack(item.head)
            notes = head.notes.hex()
            if len(notes) == len(target.notes):  # else other parameters counted, and which is not known
                at, mark = head.created, item.mark
                found.append(Seen(parts[1], parts[2][:16], at, mark, True, "", notes, target.names, {}))
    except Exception:  # what was found so far will do
        pass
    return sorted(found, key=lambda one: one.when) + calls


def found_nothing(
    runner: Runner, opened: Opened, target: Seen, mark: int, earlier: list[Seen], state: State | None = None
) -> Why:
    """For a call of this process: there is nothing under its name."""
    kept = history(opened, runner.scope, runner.name)
    kept.older()
    state = state or runner.state
    captures = dict(kept.captures)
    followed = state.followed

    def version(number: str) -> dict[str, Any]:
        found = read(opened.storage, f"{runner.scope}/{number}")
        if not found and followed is not None and number == followed.version:
            found = described(runner, state, kept.before(number))
        return found

    if followed is not None and target.captures and target.captures not in captures:
        captures[target.captures] = data_of(followed)
    found = cause(runner.name, target, mark, earlier, captures, version)
    if found.cause == "never seen" and not earlier:
        if _was_cleared(opened, runner.scope, mark):
            return found._replace(text="never seen: what was stored for this function has been cleared")
        return _elsewhere(runner.name, opened.storage, runner.scope, target.version) or found
    return found


def _was_cleared(opened: Opened, scope: str, mark: int) -> bool:
    return any(item.mark != mark and item.name.count("/") == 2 for item in islice(opened.storage.scan(scope), 10))


def _elsewhere(function: str, storage: Storage, scope: str, version: str) -> Why | None:
    """The same code under another name, or a function of the same name in another module."""
    names = [item.name.partition("/")[2] for item in storage.scan("names")]
    records = _abilities.batch(storage).read_many([f"names/{name}" for name in names if name != scope])
    last = function.rpartition(".")[2]
    alike = None
    for record, body in sorted((name, bytes(record.body)) for name, record in records.items()):
        other = body.decode("utf-8", "replace")
        if read(storage, f"{record.partition('/')[2]}/{version}"):
            text = f"renamed: {other} -> {function} is the same code; @persist(name={other!r}) finds its results"
            return Why(function, "renamed", text, "name", other, function)
        if other.rpartition(".")[2] == last and alike is None:
            text = f"never seen: nothing was stored for {function}, but there is {other}; name= keeps results over a rename"
            alike = Why(function, "never seen", text, "name", other, function)
    return alike


def warn_of_upgrade(function: str, before: dict[str, Any], made: dict[str, Any]) -> None:
    """Once, when results are computed again for no other reason than another version of a library."""
    parts = of_versions(before, made)
    if all(part.cause == "package" for part in parts):
        events.warn_once(
            f"{function}:packages",
            f"{function} computes anew, since {'; '.join(part.text for part in parts)}. If that does not change its"
            f" results, keep the old ones: memo adopt {function}; or say how much of a version counts from now on:"
            " @persist(packages='minor'), 'major' or 'ignore'",
        )


# ---------------------------------------------------------------------------------------------- without the program


def remembered(storage: Storage, scope: str) -> list[Seen]:
    """The last calls of a function that computed, oldest first, with the texts of their arguments."""
    return recent(storage, scope)[0]


def of_version(storage: Storage, scope: str, version: str) -> dict[str, Any]:
    """What a code version was made of (``texts``, ``packages``, ``python``, ...); empty where that is not kept."""
    return read(storage, f"{scope}/{version}")


def changes(then: dict[str, Any], now: dict[str, Any]) -> str:
    """What sets two code versions apart, as `of_version` gives them, in lines with the diffs of their texts."""
    lines = []
    for part in of_versions(then, now):
        lines.append(part.text)
        lines += part.diff.splitlines() if part.diff else ()
    return "\n".join(lines)


def misses(storage: Storage, scope: str, function: str, limit: int) -> list[tuple[Seen, Why]]:
    """The last calls of a function that computed, newest first, each with its cause, from what is stored alone."""
    calls, captures = recent(storage, scope)
    versions: dict[str, dict[str, Any]] = {}

    def version(number: str) -> dict[str, Any]:
        if number not in versions:
            versions[number] = read(storage, f"{scope}/{number}")
        return versions[number]

    return list(islice(_explained(storage, scope, calls, captures, function, version), limit))


def _explained(
    storage: Storage,
    scope: str,
    calls: list[Seen],
    captures: dict[str, dict[str, str]],
    function: str,
    version: Callable[[str], dict[str, Any]],
) -> Iterator[tuple[Seen, Why]]:
    for at in range(len(calls) - 1, -1, -1):
        one = calls[at]
        if one.why == "set":  # by hand: known, but no miss
            continue
        kind = kind_of(one.why)
        if kind:
            before = [each for each in calls[:at] if (each.version, each.arguments) == (one.version, one.arguments)]
            text = one.why if one.why.startswith(kind) else f"{kind}: {one.why}"
            yield one, Why(function, kind, text, stored=before[-1].when if before else None)
        else:
            found = cause(function, one, one.mark, calls[:at], captures, version)
            if found.cause == "never seen" and not at:
                found = _elsewhere(function, storage, scope, one.version) or found
            yield one, found
