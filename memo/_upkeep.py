"""Whatever walks a storage: who is in it, what it holds, and taking things out.

Functions over any Storage, used alike by ``Cache.clear``, by the handles of a persisted function and by the command
line. Two decisions: no body is ever loaded, and clearing a whole function is two bumped words (``forget``), whatever
its size; taking the dead rows off the disk is separate work that may be stopped and taken up again at any time.

What lies in a storage: ``scope/version/arguments`` are results, ``names/<scope>`` has a function's full name as its
body, all other names of two components are small records of the engine and none of our business. An entry is live
while its mark is its function's "cleared" word; dead ones are misses that still take room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from . import _abilities
from ._entry import BEGINNING, beginnings, is_signed, unpack
from ._sweep import Current, current, is_expired, shelved_name, used_name
from ._tag import ALL, digest, scope_of
from ._tuples import NamedTuple
from ._uses import Uses, uses
from .errors import DamagedError
from .model import Bulk, Head, Item, Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .protocols import Storage

_NAMES = "names"
_BATCH = 1000  #: rows removed in one go: other processes get their turn in between


class Filters(NamedTuple):
    """Which entries: all that is given must hold."""

    functions: str = "*"  #: a pattern as in file names (``*``, ``?``, ``[abc]``), or a full name
    created_before: float | None = None  #: seconds since the epoch
    larger_than: int | None = None  #: bytes of head and body
    tag: str | None = None
    expired_at: float | None = None  #: only what was not good any more then, in seconds since the epoch
    stale_code: bool = False  #: only what other code made than that which its function used last
    where: Callable[[Listed], bool] | None = None  #: asked last


def filters(
    function: str = "*",
    now: float = 0.0,
    *,
    tag: str | None = None,
    older_than: Any = None,
    larger_than: Any = None,
    expired: bool = False,
    stale_code: bool = False,
    where: Callable[[Listed], bool] | None = None,
) -> Filters:
    """From what people write: ages as seconds, text ("7d") or timedelta, sizes as bytes or text ("2 MB")."""
    from ._units import seconds, size_bytes

    before = None if older_than is None else now - seconds(older_than, "older_than")
    size = None if larger_than is None else size_bytes(larger_than, "larger_than")
    return Filters(function, before, size, tag, now if expired else None, stale_code, where)


class Listed(NamedTuple):
    """One stored result."""

    function: str  #: full name, or the scope where that was lost
    key: str  #: scope/version/arguments
    head: Head | None  #: None: damaged, or of another format
    size: int  #: bytes of head and body
    live: bool
    signed: bool = False

    @property
    def version(self) -> str:
        """The code version that made it."""
        return self.key.split("/")[1]


class Usage(NamedTuple):
    """What one function has in a storage. All but ``dead`` counts live entries only."""

    function: str
    scope: str
    entries: int
    bytes: int
    seconds: float  #: what computing these entries took: what one hit on each of them saves
    oldest: float | None  #: seconds since the epoch; None where no head could be read
    newest: float | None
    versions: int  #: code versions
    damaged: int  #: of ``entries``: the head can't be read, so the next call for it computes
    dead: int  #: cleared and not yet off the disk
    stale: int  #: of ``entries``: made by other code than that used last, or expired
    stale_bytes: int
    hits: int  #: served by processes that have ended
    saved: float  #: seconds that those hits would have taken to compute
    used: float | None  #: when such a process ended last; None: never


class Cleared(NamedTuple):
    """What a clear took away, or would."""

    entries: int  #: live ones
    bytes: int
    functions: tuple[str, ...]  #: full names of those that lost an entry, sorted
    dead: int  #: entries cleared earlier whose room was freed now


def functions(storage: Storage, pattern: str = "*") -> dict[str, str]:
    """scope -> full name of every function that has stored something here."""
    wanted = _matcher(pattern)
    names = [item.name for item in storage.scan(_NAMES)]
    records = _abilities.batch(storage).read_many(names)
    found = {}
    for name in names:
        scope = name.partition("/")[2]
        function = _text(records.get(name)) or scope
        if wanted(function):
            found[scope] = function
    return found


def entries(storage: Storage, filters: Filters = Filters()) -> Iterator[Listed]:  # noqa: B008 (a tuple: immutable)
    """The stored results, in no order, dead ones too. Damaged heads never raise."""
    words = _abilities.words(storage)
    known: dict[str, int] = {}
    currents: dict[str, Current] = {}
    for function, scope, item in _walk(storage, filters.functions):
        if scope not in known:
            known[scope] = words.word(scope)
        listed = Listed(
            function, item.name, _head(item, function), item.size, item.mark == known[scope], is_signed(item.head)
        )
        if not _selected(listed, filters):
            continue
        if filters.expired_at is not None or filters.stale_code:
            if scope not in currents:
                currents[scope] = current(storage, scope)
            if not _outlived(storage, listed, filters, currents[scope]):
                continue
        if filters.where is None or filters.where(listed):
            yield listed


def usage(storage: Storage, filters: Filters = Filters(), now: float | None = None) -> list[Usage]:  # noqa: B008
    """One line a function, newest first. Functions without any entry of their own, live or dead, are left out.

    ``now``, in seconds since the epoch, is for what is expired: without it that is not looked at.
    """
    sums: dict[str, _Sum] = {}
    expired = Filters(expired_at=now)
    for one in _counted(storage, filters, now):
        scope = (one.some.prefix if type(one) is _Many else one.key).partition("/")[0]  # type: ignore[union-attr]
        if scope not in sums:
            sums[scope] = _Sum(current(storage, scope))
        total = sums[scope]
        limits = total.current
        other = bool(one.live and limits.version and one.version != limits.version)
        if type(one) is _Many:
            total.add_many(one, other)
        elif type(one) is Listed:
            late = one.live and now is not None and limits.ends and _outlived(storage, one, expired, limits)
            total.add(one, other or late)
    result = [total.usage(scope, uses(storage, scope)) for scope, total in sums.items()]
    return sorted(result, key=lambda one: (-(one.newest or 0.0), one.function))


def count(storage: Storage, scope: str) -> tuple[int, int]:
    """How many live entries a function has, and their bytes."""
    mark, entries, size = _abilities.words(storage).word(scope), 0, 0
    for item in _in_bulk(storage, scope, 0):
        if item.mark == mark:
            if type(item) is Bulk:
                entries, size = entries + item.entries, size + item.size
            elif type(item) is Item and item.head:
                entries, size = entries + 1, size + item.size
    return entries, size


class _Many(NamedTuple):
    """Stored results of one code version, unnamed."""

    function: str
    some: Bulk
    live: bool

    @property
    def version(self) -> str:
        return self.some.prefix.partition("/")[2]


def _counted(storage: Any, filters: Filters, now: float | None) -> Iterator[Listed | _Many]:
    """What `entries` gives, without a step of Python for each where nothing has to be asked about each."""
    if filters != Filters(filters.functions) or not hasattr(storage, "bulk"):
        yield from entries(storage, filters)
        return
    words, names = _abilities.words(storage), functions(storage, filters.functions)
    known: dict[str, int] = {}
    singly = set()  #: scopes whose entries expire
    for prefix in [""] if filters.functions == "*" else names:
        for item in storage.bulk(prefix, BEGINNING):
            scope = item[0].partition("/")[0]
            if scope not in known:
                known[scope] = words.word(scope)
                if now is not None and current(storage, scope).ends:
                    singly.add(scope)
            if scope in singly:
                continue
            live, function = item.mark == known[scope], names.get(scope, scope)
            if type(item) is Bulk:
                yield _Many(function, item, live)
            elif item.head:
                yield Listed(function, item.name, _head(item, function), item.size, live)
    for scope in singly:
        function = names.get(scope, scope)
        for item in storage.scan(scope):
            if _abilities.is_result(item.name) and item.head:
                yield Listed(function, item.name, _head(item, function), item.size, item.mark == known[scope])


def _in_bulk(storage: Any, scope: str, length: int) -> Iterator[Bulk | Item]:
    if hasattr(storage, "bulk"):
        yield from storage.bulk(scope, length)
    else:
        yield from (item for item in storage.scan(scope) if _abilities.is_result(item.name))


def clear(
    storage: Storage,
    *,
    now: float,
    functions: str = "*",
    tag: str | None = None,
    older_than: float | None = None,
    larger_than: int | None = None,
    expired: bool = False,
    stale_code: bool = False,
    where: Callable[[Listed], bool] | None = None,
    dry_run: bool = False,
) -> Cleared:
    """Forget results, and free their room.

    Without ``older_than`` (seconds), ``larger_than`` (bytes), ``expired``, ``stale_code`` and ``where`` whole functions are forgotten, at once and first of
    all: what is being computed meanwhile is returned to its caller and not stored. With them only the live entries for
    which all hold. Entries whose age can't be read are never taken to be old: a newer memo may know how to read them.
    """
    chosen = older_than is not None or larger_than is not None or expired or stale_code or where is not None
    if tag is None and not chosen:
        return _clear_functions(storage, functions, dry_run)
    if tag is not None and not chosen and functions == "*" and not dry_run:
        clear_tag(storage, tag)  # first of all: what is being computed meanwhile is not stored
    before = None if older_than is None else now - older_than
    filters = Filters(functions, before, larger_than, tag, now if expired else None, stale_code, where)
    return _clear_entries(storage, filters, dry_run)


def prune(storage: Storage, *, now: float, filters: Filters = Filters(), dry_run: bool = False) -> Cleared:  # noqa: B008
    """Take off what nobody will be served any more: what is expired, what other code made than that which a function used
    last, and what was cleared before; of these, what ``filters`` select. What is good stays.
    """
    currents: dict[str, Current] = {}
    lost: dict[str, str] = {}
    kept: list[str] = []
    count = size = dead = 0
    for listed in list(entries(storage, filters)):
        scope = listed.key.partition("/")[0]
        if scope not in currents:
            currents[scope] = current(storage, scope)
        if listed.live:
            expired, other = Filters(expired_at=now), Filters(stale_code=True)
            if not any(_outlived(storage, listed, each, currents[scope]) for each in (expired, other)):
                kept.append(listed.key)
                continue
            count, size, lost[scope] = count + 1, size + listed.size, listed.function
        else:
            dead += 1
        if not dry_run:
            storage.remove(listed.key)
    if not dry_run and filters == Filters(filters.functions):  # else it has not seen all that these have
        for prefix in (*currents, "shelved") if filters == Filters() else currents:
            _remove_orphans(storage, prefix, kept)
    return Cleared(count, size, tuple(sorted(set(lost.values()))), dead)


def _remove_orphans(storage: Storage, prefix: str, kept: list[str]) -> None:
    """Small records of entries, of uses and for references, whose entry is not there any more."""
    small = [item.name for item in storage.scan(prefix) if item.name.count("/") == 1]
    of = shelved_name if prefix == "shelved" else used_name
    if small := [name for name in small if prefix == "shelved" or name.startswith(f"{prefix}/used-")]:
        named = set(map(of, kept))
        for name in small:
            if name not in named:
                storage.remove(name)


def forget(storage: Storage, scope: str) -> int:
    """Clear a function in O(1): its entries are dead from now on, and fronts look again. Returns the new word."""
    words = _abilities.words(storage)
    word = words.bump(scope)
    words.bump(f"{scope}.edits")  # second: a front that looks again must find the first one done
    return word


def clear_tag(storage: Storage, tag: str) -> None:
    """What has this tag is stale from now on, in O(1)."""
    words = _abilities.words(storage)
    words.bump(scope_of(digest(tag)))
    words.bump(ALL)  # second: who sees this one moved finds the first one moved


def purge_dead(storage: Storage, scope: str, word: int, limit: int) -> int:
    """Take at most ``limit`` entries that were written before ``word`` off the disk; how many there were."""
    return _abilities.purge(storage).purge(scope, word, limit)


def _clear_functions(storage: Storage, pattern: str, dry_run: bool) -> Cleared:
    words = _abilities.words(storage)
    before: dict[str, int] = {}
    after: dict[str, int] = {}

    def begin(scope: str) -> None:
        before[scope] = words.word(scope)
        after[scope] = before[scope] if dry_run else forget(storage, scope)

    for scope in functions(storage, pattern):
        begin(scope)
    gone: dict[str, int] = {}
    size = dead = 0
    for function, scope, item in _walk(storage, pattern):
        if scope not in before:  # its name was lost, or it is new
            begin(scope)
        if item.mark == before[scope]:
            gone[function] = gone.get(function, 0) + 1
            size += item.size
        elif item.mark < after[scope]:
            dead += 1
    if not dry_run:
        for scope, word in after.items():
            while purge_dead(storage, scope, word, _BATCH) >= _BATCH:
                pass
    return Cleared(sum(gone.values()), size, tuple(sorted(gone)), dead)


def _clear_entries(storage: Storage, filters: Filters, dry_run: bool) -> Cleared:
    # a list: some storages can't remove what they are just walking over
    listed = [one for one in entries(storage, filters) if one.live]
    gone = {one.key.partition("/")[0]: one.function for one in listed}
    if not dry_run:
        words, remove = _abilities.words(storage), _abilities.remover(storage)
        # first as well: where it is killed half-way, nobody keeps a copy of what it has removed
        for scope in gone:
            words.bump(f"{scope}.edits")
        for at in range(0, len(listed), _BATCH):
            remove([one.key for one in listed[at : at + _BATCH]])
        for scope in gone:
            words.bump(f"{scope}.edits")
    return Cleared(len(listed), sum(one.size for one in listed), tuple(sorted(set(gone.values()))), 0)


def _walk(storage: Storage, pattern: str) -> Iterator[tuple[str, str, Item]]:
    """(full name, scope, item) of every result of the functions that match."""
    names = functions(storage, pattern)
    # "*" walks everything, so that results whose function's name was lost are seen as well
    for prefix in [""] if pattern == "*" else names:
        for item in storage.scan(prefix):
            # an empty head is what a deleted entry leaves behind: nothing that a person would count
            if item.name.count("/") == 2 and item.head:
                scope = item.name.partition("/")[0]
                yield names.get(scope, scope), scope, item


class _Sum:
    """A Usage while it grows: a million entries must not be held to be counted."""

    def __init__(self, current: Current) -> None:
        self.current = current
        self.function = ""
        self.entries = self.bytes = self.damaged = self.dead = self.stale = self.stale_bytes = 0
        self.seconds = 0.0
        self.oldest: float | None = None
        self.newest: float | None = None
        self.versions: set[str] = set()

    def add(self, one: Listed, stale: bool) -> None:
        self.function = one.function
        if stale:
            self.stale += 1
            self.stale_bytes += one.size
        if not one.live:
            self.dead += 1
            return
        self.entries += 1
        self.bytes += one.size
        self.versions.add(one.version)
        if one.head is None:
            self.damaged += 1
            return
        created = one.head.created
        self.seconds += one.head.seconds
        self.oldest = created if self.oldest is None else min(self.oldest, created)
        self.newest = created if self.newest is None else max(self.newest, created)

    def add_many(self, many: _Many, stale: bool) -> None:
        some, self.function = many.some, many.function
        if stale:
            self.stale += some.entries
            self.stale_bytes += some.size
        if not many.live:
            self.dead += some.entries
            return
        self.entries += some.entries
        self.bytes += some.size
        self.versions.add(many.version)
        damaged, seconds, times = beginnings(some.heads)
        self.damaged += damaged
        self.seconds += seconds
        for time in times:
            self.oldest = time if self.oldest is None else min(self.oldest, time)
            self.newest = time if self.newest is None else max(self.newest, time)

    def usage(self, scope: str, uses: Uses) -> Usage:
        fields = {name: value for name, value in vars(self).items() if name != "current"}
        fields |= {"scope": scope, "versions": len(self.versions)}
        return Usage(**fields, hits=uses.hits, saved=uses.seconds, used=uses.last or None)


def _head(item: Item, function: str) -> Head | None:
    try:
        return unpack(item.head, function)
    except DamagedError:
        return None


def _text(record: Record | None) -> str:
    try:
        return "" if record is None else str(record.body, "utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return ""


def _selected(listed: Listed, filters: Filters) -> bool:
    if filters.larger_than is not None and listed.size <= filters.larger_than:
        return False
    if filters.tag is not None and not _has_tag(listed, filters.tag):
        return False
    if filters.created_before is None:
        return True
    return listed.head is not None and listed.head.created < filters.created_before


def _outlived(storage: Storage, listed: Listed, filters: Filters, now: Current) -> bool:
    if filters.stale_code and (not now.version or listed.version == now.version):
        return False
    if filters.expired_at is None:
        return True
    return listed.head is not None and is_expired(storage, listed.key, listed.head, now, filters.expired_at)


def _has_tag(listed: Listed, tag: str) -> bool:
    # sixteen bytes of a digest are in no stamp by chance, so it need not be known which policies made it
    return listed.head is not None and digest(tag) in listed.head.stamp


def _matcher(pattern: str) -> Callable[[str], bool]:
    if pattern == "*":
        return lambda name: True
    from fnmatch import fnmatchcase

    return lambda name: name == pattern or fnmatchcase(name, pattern)
