"""Old results under the code as it is now, after a change that a person has judged to be harmless.

A result's key holds the code version that made it. Adopting copies each result of other versions under the current one,
where nothing is yet, with its head sealed for its new name; the old ones stay, so that going back hits as before. What
was written is listed in a small record beside the results, ``<scope>/adopted``, so that it can be taken back.
"""

from __future__ import annotations

import json

from memo import _abilities, _entry, _sweep, _upkeep
from memo._tuples import NamedTuple
from memo.errors import DamagedError, OptionError
from memo.explain import changes, of_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from memo._opened import Opened
    from memo._upkeep import Filters, Listed
    from memo.protocols import Storage


class Plan(NamedTuple):
    """What adopting would do. ``source`` is the scope whose results are adopted; another function's after a rename."""

    function: str
    scope: str
    source: str
    source_function: str
    version: str  #: the current one
    entries: list[Listed]  #: newest first; one for each call
    changes: list[
        tuple[str, int, str]
    ]  #: an older version, how many of its results, what sets it apart from the current one


def plan(storage: Storage, function: str, filters: Filters, renamed_from: str | None = None) -> Plan:
    """Raises OptionError where that is not one function, or nothing says what its current code is."""
    scope, name = _one(storage, function)
    source, source_name = (scope, name) if renamed_from is None else _one(storage, renamed_from)
    version = _sweep.current(storage, scope).version
    if not version:
        raise OptionError(
            f"nothing says which code {name} has now: call it once with memo, so that its code version is known"
        )
    mark = _abilities.words(storage).word(scope)
    there = {
        item.name.rpartition("/")[2] for item in storage.scan(f"{scope}/{version}") if item.mark == mark and item.head
    }
    found: dict[str, Listed] = {}
    older: dict[str, int] = {}
    chosen = filters._replace(functions=source_name)
    for one in sorted(_upkeep.entries(storage, chosen), key=lambda one: -(one.head.created if one.head else 0.0)):
        arguments = one.key.rpartition("/")[2]
        its_own = one.key.partition("/")[0] != source or (source == scope and one.version == version)
        if its_own or not one.live or one.head is None or arguments in there or arguments in found:
            continue
        found[arguments] = one
        older[one.version] = older.get(one.version, 0) + 1
    now = of_version(storage, scope, version)
    told = [(each, count, changes(of_version(storage, source, each), now)) for each, count in older.items()]
    return Plan(name, scope, source, source_name, version, list(found.values()), told)


def adopt(opened: Opened, what: Plan, keys: Sequence[bytes] = ()) -> int:
    """How many results were adopted; those that can't be verified are left alone."""
    storage = opened.storage
    word = opened.words.word(what.scope)
    written: dict[str, float] = {}
    for one in what.entries:
        name = f"{what.scope}/{what.version}/{one.key.rpartition('/')[2]}"
        record = storage.read(one.key)
        if record is None or not record.head:
            continue
        try:
            signed = _entry.is_signed(record.head)
            _entry.verify(one.key, record, keys if signed else ())
            stamp = _entry.unpack(record.head).stamp
            head = _entry.with_stamp(one.key, record.head, record.body, stamp, keys[0] if keys else None, name)
        except DamagedError:
            continue
        if _write(opened, name, record.body, head, word):
            written[name] = _entry.unpack(head).created
    if written:
        _note(storage, what.scope, {**_adopted(storage, what.scope), **written})
        opened.words.bump(f"{what.scope}.edits")
    return len(written)


def undo(opened: Opened, function: str, *, dry_run: bool = False) -> tuple[str, int]:
    """Takes back all that was adopted for a function: its name, and how many results."""
    scope, name = _one(opened.storage, function)
    adopted = [one for one, created in _adopted(opened.storage, scope).items() if _is_it(opened, one, created)]
    if not dry_run:
        for one in adopted:
            opened.storage.remove(one)
        opened.storage.remove(f"{scope}/adopted")
        opened.words.bump(f"{scope}.edits")
    return name, len(adopted)


def _write(opened: Opened, name: str, body: object, head: bytes, word: int) -> bool:
    from ._copy import suffix

    data = memoryview(body)  # type: ignore[arg-type]
    unpacked = _entry.unpack(head)
    ending = suffix(unpacked.serializer, unpacked.codecs)
    if opened.room is None:
        opened.storage.write(name, [data], lambda: head, size=data.nbytes, mark=word, suffix=ending)
        return True
    with opened.room.taken(name, data.nbytes + len(head)) as fits:
        if fits:
            opened.storage.write(name, [data], lambda: head, size=data.nbytes, mark=word, suffix=ending)
    return fits


def _one(storage: Storage, function: str) -> tuple[str, str]:
    """Scope and full name; the end of a name will do where it is the only one that ends so."""
    found = _upkeep.functions(storage, function) or _upkeep.functions(storage, f"*.{function}")
    if len(found) == 1:
        return next(iter(found.items()))
    known = ", ".join(sorted(found.values() or _upkeep.functions(storage).values())[:5]) or "nothing"
    what = "no function is" if not found else f"{len(found)} functions are"
    raise OptionError(f"{what} called {function!r} here; there is {known}")


def _is_it(opened: Opened, name: str, created: float) -> bool:
    """Whether it is what was adopted, and not computed anew since."""
    found = opened.heads.head(name)
    try:
        return found is not None and bool(found[0]) and _entry.unpack(found[0]).created == created
    except DamagedError:
        return False


def _adopted(storage: Storage, scope: str) -> dict[str, float]:
    """What was adopted for a function, and when it was computed."""
    record = storage.read(f"{scope}/adopted")
    try:
        names = {} if record is None else dict(json.loads(bytes(record.body)))
    except (ValueError, TypeError):
        return {}
    return {name: when for name, when in names.items() if name.startswith(f"{scope}/") and name.count("/") == 2}


def _note(storage: Storage, scope: str, names: dict[str, float]) -> None:
    body = json.dumps(names).encode()
    storage.write(f"{scope}/adopted", [body], bytes, size=len(body), mark=0)
