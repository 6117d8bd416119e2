"""The one walk behind export, import, merge, push and pull: entries of one storage that another one lacks.

An entry holds nothing of where it lies, so it is copied as it is: body and head, under the same name. Two things belong
to a place and are made anew: the mark, which becomes the receiver's "cleared" word, read before anything is copied (so
what is cleared there meanwhile stays cleared); and the words of tags in the stamp. Who wins is decided entry by entry:
the one computed last. So a copy that was broken off is taken up where it was by doing it again, and two at once into one
place do no harm.
"""

from __future__ import annotations

from memo import _abilities, _entry, _sweep, _tag, _upkeep
from memo._tuples import NamedTuple
from memo.errors import DamagedError, PlaceError
from memo.model import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from memo._limits import Room
    from memo._upkeep import Filters, Listed
    from memo.protocols import Storage, Words

    Progress = Callable[[int, int, int], object]

_FEW = 32  #: entries of a function for which the receiver is asked one by one, instead of for all that it has
_WINDOW = 1000  #: entries handed to the threads at once
_TOGETHER = 200  #: entries read and written together where a trip costs nothing
_BYTES = 1 << 20  #: what those may take
_GONE, _SAME, _DAMAGED, _TOO_LARGE = 0, -1, -2, -3  #: why an entry was not copied


class Copied(NamedTuple):
    """What a copy did, or would do."""

    entries: int = 0  #: copied
    bytes: int = 0
    functions: tuple[str, ...] = ()  #: full names of those of which something was copied, sorted
    same: int = 0  #: not copied: the receiver has them, or newer ones
    damaged: int = 0  #: not copied: they can't be read
    left_out: int = 0  #: not copied: larger than the receiver's limit


class _Wanted(NamedTuple):
    scope: str
    mark: int  #: the function's word here
    word: int  #: and there
    entries: list[Listed]


def copy(
    source: Storage,
    target: Storage | None,
    filters: Filters,
    *,
    room: Room | None = None,
    keys: Sequence[bytes] = (),
    trusted: bool = True,
    dry_run: bool = False,
    threads: int = 1,
    progress: Progress | None = None,
) -> Copied:
    """Copies the live entries that ``filters`` select; ``target`` None is a place that is yet to be made (dry run).

    ``room``: the receiver's limits. ``keys`` check signatures. ``progress(done, of, bytes)`` is called as it goes.

    Raises PlaceError, with nothing changed, where something would be copied that runs code when it is loaded, is not
    signed by one of ``keys``, and the source is not ``trusted``.
    """
    walk = _Walk(source, target, room, keys)
    wanted = list(walk.wanted(filters))
    everything = [one for each in wanted for one in each.entries]
    if not trusted and (unsafe := sum(1 for one in everything if _runs_code(one, bool(keys)))):
        raise PlaceError(
            f"{unsafe:,} of {len(everything):,} entries run code when they are loaded, and are not signed with a key that"
            " is known here: copy them only from somebody whom you would let run code here, by saying --trust"
            " (trust=True); or give the key in MEMO_SIGNING_KEY. Nothing was copied"
        )
    if dry_run or target is None:
        names = tuple(sorted({one.function for one in everything}))
        return Copied(len(everything), sum(one.size for one in everything), names, walk.same, walk.damaged)
    outcomes: list[int] = []
    functions = set()
    size = 0
    for each in wanted:
        walk.records(each)
        before = size
        for one, sent in _each(each, walk.send, threads):
            outcomes.append(sent)
            if sent > 0:
                size += sent
                functions.add(one.function)
            if progress is not None:
                progress(len(outcomes), len(everything), size)
        if size > before:
            walk.there.bump(f"{each.scope}.edits")  # fronts look again
    if room is not None:
        room.flush()
    return Copied(
        sum(1 for sent in outcomes if sent > 0),
        size,
        tuple(sorted(functions)),
        walk.same + outcomes.count(_SAME),
        walk.damaged + outcomes.count(_DAMAGED),
        outcomes.count(_TOO_LARGE),
    )


def _each(
    wanted: _Wanted, send: Callable[[_Wanted, list[Listed]], list[int]], threads: int
) -> Iterator[tuple[Listed, int]]:
    if threads == 1:
        for some in _together(wanted.entries):
            yield from zip(some, send(wanted, some), strict=True)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads, "memo-copy") as pool:
        for at in range(0, len(wanted.entries), _WINDOW):
            some = wanted.entries[at : at + _WINDOW]
            yield from zip(some, pool.map(lambda one: send(wanted, [one])[0], some), strict=True)


def _together(entries: list[Listed]) -> Iterator[list[Listed]]:
    some: list[Listed] = []
    size = 0
    for one in entries:
        if some and (len(some) == _TOGETHER or size + one.size > _BYTES):
            yield some
            some, size = [], 0
        some.append(one)
        size += one.size
    if some:
        yield some


class _Walk:
    """Two storages and what is known of them."""

    def __init__(self, source: Storage, target: Storage | None, room: Room | None, keys: Sequence[bytes]) -> None:
        self.source, self.room, self.keys = source, room, keys
        self.batch = _abilities.batch(source)
        self.here = _abilities.words(source)
        self.target = target
        if target is not None:
            self.there = _abilities.words(target)
            self.heads_there = _abilities.heads(target)
            self.write = _abilities.writer(target)
        self.tags_here, self.tags_there = _remembered(self.here), _remembered(None if target is None else self.there)
        self.same = self.damaged = 0

    # -- what there is to do

    def wanted(self, filters: Filters) -> Iterator[_Wanted]:
        found: dict[str, list[Listed]] = {}
        for one in _upkeep.entries(self.source, filters):
            if one.head is None:
                self.damaged += one.live
            elif one.live and self._moved(one.head.stamp) is not None:
                found.setdefault(one.key.partition("/")[0], []).append(one)
        for scope, entries in found.items():
            mark = self.here.word(scope)
            if self.target is None:
                yield _Wanted(scope, mark, 0, entries)
                continue
            word = self.there.word(scope)
            there = self._there(scope, word, entries)
            lacking = [one for one in entries if there.get(one.key, 0.0) < one.head.created]  # type: ignore[union-attr]
            self.same += len(entries) - len(lacking)
            if lacking:
                yield _Wanted(scope, mark, word, lacking)

    def _there(self, scope: str, word: int, entries: list[Listed]) -> dict[str, float]:
        """When what the receiver has of a function was computed, by key."""
        assert self.target is not None
        if len(entries) > _FEW:
            items: Iterable[tuple[str, bytes, int]] = (
                (item.name, item.head, item.mark) for item in self.target.scan(scope) if item.name.count("/") == 2
            )
        else:
            items = ((one.key, *(self.heads_there.head(one.key) or (b"", 0))) for one in entries)
        return {name: created for name, head, mark in items if mark == word and (created := self._good(head))}

    def _good(self, packed: bytes) -> float:
        """When it was computed; 0 for what is no hit there."""
        try:
            head = _entry.unpack(packed) if packed else None
        except DamagedError:
            return 0.0
        if head is None or _tag.moved(head.stamp, self.tags_there, self.tags_there) is None:
            return 0.0
        return head.created

    def _moved(self, stamp: bytes) -> bytes | None:
        return _tag.moved(stamp, self.tags_here, self.tags_there)

    # -- doing it

    def records(self, wanted: _Wanted) -> None:
        """What is kept beside a function's entries: its name, how long they are good, what their code was."""
        scope = wanted.scope
        versions = dict.fromkeys(one.version for one in wanted.entries)
        for name in (f"names/{scope}", f"{scope}/current", *(f"{scope}/{version}" for version in versions)):
            self._record(name)
        if _sweep.current(self.source, scope).idle != float("inf"):
            for one in wanted.entries:
                self._record("/".join((scope, "used-" + one.key.partition("/")[2].replace("/", "-"))))

    def _record(self, name: str) -> None:
        assert self.target is not None
        try:
            record = None if self.heads_there.head(name) is not None else self.source.read(name)
        except DamagedError:  # an explanation or a name less
            return
        if record is not None:
            head, body = bytes(record.head), record.body
            self.target.write(name, [body], lambda: head, size=len(body), mark=record.mark)

    def send(self, wanted: _Wanted, some: list[Listed]) -> list[int]:
        """Copies entries; of each its size in bytes, or why it was not copied."""
        assert self.target is not None
        outcomes, ready = [], []
        records = self._records([one.key for one in some])
        for one in some:
            entry = self._ready(wanted, one, records.get(one.key))
            if isinstance(entry, int):
                outcomes.append(entry)
                continue
            size = len(entry[1].head) + memoryview(entry[1].body).nbytes
            if self.room is None:
                ready.append(entry)
            else:
                size = self._with_room(self.room, one, entry, size)
            outcomes.append(size)
        if ready:
            self.write(ready)
        return outcomes

    def _records(self, names: list[str]) -> Mapping[str, Record]:
        try:
            return self.batch.read_many(names)
        except DamagedError:  # each alone says which
            return {}

    def _ready(self, wanted: _Wanted, one: Listed, record: Record | None) -> tuple[str, Record, str] | int:
        """What is to be written there, with its suffix, or why nothing is."""
        try:
            record = record or self.source.read(one.key)
            if record is None or not record.head or record.mark != wanted.mark:
                return _GONE  # removed or cleared meanwhile
            self._verify(one.key, record)
            head = self._restamped(one.key, record)
        except DamagedError:
            return _DAMAGED
        if head is None:
            return _GONE
        found = self.heads_there.head(one.key)
        unpacked = _entry.unpack(head, one.function)
        if found is not None and found[1] == wanted.word and self._good(found[0]) >= unpacked.created:
            return _SAME  # somebody else was faster
        return one.key, Record(head, wanted.word, record.body), suffix(unpacked.serializer, unpacked.codecs)

    def _with_room(self, room: Room, one: Listed, entry: tuple[str, Record, str], size: int) -> int:
        with room.taken(one.key, size) as fits:
            if not fits:
                return _TOO_LARGE
            self.write([entry])
        unpacked = _entry.unpack(entry[1].head, one.function)
        room.used(one.key, unpacked, unpacked.created)
        return size

    def _verify(self, name: str, record: Record) -> None:
        signed = _entry.is_signed(record.head)
        if not signed or self.keys:  # without a key only who reads it can tell
            _entry.verify(name, record, self.keys if signed else ())

    def _restamped(self, name: str, record: Record) -> bytes | None:
        """The head with the receiver's words in it; None where that can't be made."""
        stamp = _entry.unpack(record.head).stamp
        moved = self._moved(stamp)
        if moved == stamp:
            return bytes(record.head)
        if moved is None:
            return None
        if _entry.is_signed(record.head) and not self.keys:
            raise DamagedError("it is signed and has tags, and there is no key to sign it anew")
        return _entry.with_stamp(name, record.head, record.body, moved, self.keys[0] if self.keys else None)


def _remembered(words: Words | None) -> Callable[[str], int]:
    """Looks up each word once."""
    known: dict[str, int] = {}

    def word(scope: str) -> int:
        if scope not in known:
            known[scope] = 0 if words is None else words.word(scope)
        return known[scope]

    return word


def _runs_code(one: Listed, keyed: bool) -> bool:
    """Whether loading it may run what is in it, and nobody known has signed it."""
    if one.signed and keyed:  # whether it is by this key shows when it is read
        return False
    from memo.errors import OptionError
    from memo.serializers import is_safe, serializer

    assert one.head is not None
    try:
        return not is_safe(serializer(one.head.serializer.partition(":")[0]))
    except (OptionError, ImportError):
        return True


_suffixes: dict[str, str] = {}


def suffix(name: str, codecs: tuple[str, ...]) -> str:
    """What files with such a body are called at the end; "" for what is compressed, or not known here."""
    if codecs:
        return ""
    if name not in _suffixes:
        from memo.errors import OptionError
        from memo.serializers import serializer

        try:
            _suffixes[name] = getattr(serializer(name.partition(":")[0]), "suffix", "")
        except (OptionError, ImportError):
            _suffixes[name] = ""
    return _suffixes[name]
