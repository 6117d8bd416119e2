"""What is kept for explanations, and where: the last calls of a function, and the text of each version of its code.

Two small records beside the results, with names of two components, so that nothing counts, evicts or purges them:
``scope/recent`` has the last misses, written every few seconds and at the end of a process, and ``scope/<version>`` what
a code version was made of, written once. Both are compressed JSON and carry mark 0; what they say of arguments from
before a clear is dropped by the next write. Losing them costs an explanation, never a result.
"""

from __future__ import annotations

import os
from _thread import RLock
from collections import deque
from itertools import islice

from memo._call import main_name
from memo._tuples import NamedTuple
from memo.model import Call

from ._shown import leaves, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from memo._opened import Opened
    from memo.fingerprint._code import Followed
    from memo.protocols import Storage

CALLS = 1000  #: remembered of each function
EVERY = 5.0  #: seconds between writes
_CAPTURES = 32  #: states of the captured data
_TEXT, _TEXTS = 20_000, 1_000_000  #: characters of one function's text, of all
_LARGEST = 64 << 20  #: bytes that a record may unpack to
_FORMAT = 1


class Seen(NamedTuple):
    """A call that was computed."""

    version: str
    arguments: str  #: the first 16 characters of that component of the key
    when: float  #: seconds since the epoch
    mark: int
    stored: bool
    why: str  #: what the engine said at that time
    notes: str  #: hex; 8 characters a parameter, then 8 for the captured data if there is any
    names: tuple[str, ...]
    shown: dict[str, str]

    @property
    def captures(self) -> str:
        """The checksum of the captured data; empty where there is none."""
        return self.notes[8 * len(self.names) :]


class History:
    """The last calls of one function: those of this process, and those that were found when it was first asked."""

    def __init__(self, opened: Opened, scope: str, function: str) -> None:
        self.opened, self.scope, self.function = opened, scope, function
        # (key, when, mark, stored, why, notes, names, encoding, copies or leaves): unpacked when somebody asks
        self.calls: deque[tuple[Any, ...]] = deque(maxlen=CALLS)
        self.captures: dict[str, dict[str, str]] = {}
        self.versions: set[str] = set()  #: known to have their record
        self.written = 0.0
        self.unwritten = False
        self._older: list[Seen] | None = None
        self._known: dict[tuple[Any, ...], Seen] = {}
        self._lock = RLock()

    def all(self, limit: int = CALLS) -> list[Seen]:
        """Oldest first."""
        own = [self._unpacked(call) for call in islice(reversed(self.calls.copy()), limit)][::-1]
        if len(own) < limit:
            own = [*self.older()[-(limit - len(own)) :], *own]
        return own

    def _unpacked(self, call: tuple[Any, ...]) -> Seen:
        found = self._known.get(call[:2])
        if found is None:
            if len(self._known) > 2 * CALLS:
                self._known.clear()
            found = self._known[call[:2]] = seen(call)
        return found

    def before(self, version: str) -> dict[str, Any]:
        """The record of the code version that was used before this one; empty when there is none."""
        for one in reversed(self.all()):
            if one.version != version:
                return read(self.opened.storage, f"{self.scope}/{one.version}")
        return {}

    def older(self) -> list[Seen]:
        if self._older is None:
            with self._lock:
                if self._older is None:
                    calls, captures = recent(self.opened.storage, self.scope)
                    self.captures = {**captures, **self.captures}
                    self._older = calls
        return self._older

    def write(self, now: float) -> None:
        """Merged with what is there, so that processes at the same time lose little of each other's."""
        if self.opened.gone():
            return  # the folder was deleted: what is left of it must not be brought back without its marker
        if not self._lock.acquire(blocking=False):
            return
        try:
            self.written, self.unwritten = now, False
            calls, captures = recent(self.opened.storage, self.scope)
            mark = self.opened.words.word(self.scope)
            known = {(call.arguments, call.when) for call in calls}
            calls += [one for one in map(seen, list(self.calls)) if (one.arguments, one.when) not in known]
            captures |= self.captures
            kept = [one if one.mark == mark else one._replace(shown={}) for one in calls[-CALLS:]]
            self.opened.name(Call(self.function, self.scope, (), ()))  # nothing of it may have been stored
            used = [one.captures for one in reversed(kept) if one.mark == mark]
            used = [one for one in dict.fromkeys(used) if one in captures][:_CAPTURES]
            rows = [(*one[:-1], list(one.shown.items())) for one in kept]
            write(
                self.opened.storage,
                f"{self.scope}/recent",
                {"format": _FORMAT, "calls": rows, "captures": {name: captures[name] for name in used}},
            )
        finally:
            self._lock.release()

    def after_fork(self) -> None:
        self._lock = RLock()


def seen(call: tuple[Any, ...]) -> Seen:
    key, when, mark, stored, why, notes, names, shown = call
    if type(shown) is bytes:
        from marshal import loads

        shown = loads(shown)
    if type(shown) is tuple:
        shown = leaves(names, shown)
    _, version, arguments = key.split("/")
    return Seen(version, arguments[:16], when, mark, stored, why, notes.hex(), names, shown)


# ------------------------------------------------------------------------------------------------------ the records


def recent(storage: Storage, scope: str) -> tuple[list[Seen], dict[str, dict[str, str]]]:
    """The calls of earlier, oldest first, and the captured data by its checksum."""
    found = read(storage, f"{scope}/recent")
    try:
        rows = found["calls"]
        calls = [
            Seen(**{**dict(zip(Seen._fields, row, strict=True)), "names": tuple(row[7]), "shown": dict(row[8])})
            for row in rows
        ]
        captures = {str(name): dict(data) for name, data in found["captures"].items()}
    except (LookupError, TypeError, ValueError, AttributeError):
        return [], {}
    return calls, captures


def read(storage: Storage, name: str) -> dict[str, Any]:
    """A record, empty when it is absent, damaged or of another format."""
    import json
    import zlib

    try:
        record = storage.read(name)
        if record is None:
            return {}
        found = json.loads(zlib.decompressobj().decompress(bytes(record.body), _LARGEST))
    except Exception:  # whatever a storage raises: an explanation is not worth an error
        return {}
    return found if isinstance(found, dict) and found.get("format") == _FORMAT else {}


def write(storage: Storage, name: str, content: dict[str, Any]) -> None:
    import json
    import zlib

    body = zlib.compress(json.dumps(content, separators=(",", ":")).encode(), 6)
    storage.write(name, [body], bytes, size=len(body), mark=0)


def describe(
    function: str, counted: tuple[str, ...], options: dict[str, Any], followed: Followed, before: dict[str, Any]
) -> dict[str, Any]:
    """What a code version was made of. Texts of what is as it was in the version ``before`` are taken from there."""
    import sys

    from memo.fingerprint._source import piece

    texts: Any = followed.texts
    running = {_by_main(name): one for name, one in getattr(texts, "functions", {}).items()}
    digests = {name: piece(one).digest.hex()[:16] for name, one in running.items()}
    known, old = before.get("digests", {}), before.get("texts", {})
    code = {name: old[name] for name in running if name in old and known.get(name) == digests[name]}
    if len(code) < len(running):  # making them is slow; without the captured data, whose repr may be long
        code |= type(texts)(None, {name: one for name, one in running.items() if name not in code})()
    room, kept = _TEXTS, {}
    for name in running:
        kept[name] = code.get(name, "")[: min(_TEXT, room)]
        room -= len(kept[name])
    return {
        "format": _FORMAT,
        "function": function,
        "parameters": list(counted),
        "options": options,
        "python": ".".join(map(str, sys.version_info[:2])),
        "packages": dict(followed.packages),
        "texts": kept,
        "digests": digests,
        "follows": {
            kind: list(map(_by_main, names))
            for kind, names in followed.follows.items()
            if kind not in ("data", "packages")
        },
    }


def data_of(followed: Followed) -> dict[str, str]:
    """The captured data as it is now: name and path -> short text."""
    named: dict[str, Any] = {}
    for label, value in getattr(followed.texts, "values", ()):
        named[_name(label, followed.follows.get("data", []))] = value
    found = {}
    for name, value in named.items():
        found.update(leaves((name,), (value,)) if type(value) not in _ATOMS else {name: plain(value)})
    return found


_ATOMS = (int, str, float, bool, type(None))


def _name(label: str, shown: list[str]) -> str:
    """The name that reports use: inside the digest, what belongs to a node goes by the node's number."""
    number, _, rest = label.partition(" default ")
    if rest:
        ends, begins = f"({rest}=)", "\0"
    else:
        number, _, rest = label.partition(".")
        ends, begins = f".{rest}", f"{rest} in "
    if not number.isdecimal():
        return label
    fits = [name for name in shown if name.endswith(ends) or name.startswith(begins)]
    return _by_main(fits[0]) if len(fits) == 1 else rest


def _by_main(name: str) -> str:
    """A script's functions go by the name that it would be imported under, as their results do."""
    return main_name() + name.removeprefix("__main__") if name.startswith("__main__.") else name


# -------------------------------------------------------------------------------------------- the end of the process

_open: list[Any] = []  #: weak references to places with histories


def history(opened: Opened, scope: str, function: str) -> History:
    found = opened.histories.get(scope)
    if found is None:
        if not opened.histories:
            from weakref import ref

            if not _open:
                import atexit

                atexit.register(write_all)
            _open.append(ref(opened, _open.remove))
        found = opened.histories.setdefault(scope, History(opened, scope, function))
    return found  # type: ignore[no-any-return]


def write_all() -> None:
    """What has not been written yet."""
    from time import time

    for reference in list(_open):
        opened = reference()
        for one in list(opened.histories.values()) if opened is not None else ():
            if one.unwritten:
                try:
                    one.write(time())
                except Exception:
                    continue


def _after_fork() -> None:
    for reference in _open:
        opened = reference()
        for one in opened.histories.values() if opened is not None else ():
            one.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
