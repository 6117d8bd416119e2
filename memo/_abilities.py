"""What a storage does not do itself: each optional ability over nothing but the four verbs.

Asked once when a cache opens: ``words(storage)`` is the storage itself where it has that ability, otherwise a fall-back
that is right on any storage and slower. So a third party's four verbs are a complete storage, and nothing else in memo
asks what a storage can do. What `isinstance` says of an ability's protocol is asked here by the names of its verbs, which
takes a hundredth of the time and loads nothing: `typing` reads the whole class each time, and loads `inspect` for it since
Python 3.12.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

from .errors import DamagedError
from .model import Buffer, Item, Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeGuard

    from .protocols import Batch, Heads, Locks, Look, Purge, Ranks, Storage, Words


def _has(storage: Storage, *verbs: str) -> bool:
    return all(getattr(storage, verb, None) is not None for verb in verbs)


def _has_heads(storage: Storage) -> TypeGuard[Heads]:
    return _has(storage, "head")


def _has_batch(storage: Storage) -> TypeGuard[Batch]:
    return _has(storage, "read_many")


def _has_words(storage: Storage) -> TypeGuard[Words]:
    return _has(storage, "word", "bump", "watch")


def has_look(storage: Storage) -> TypeGuard[Look]:
    return _has(storage, "look", "word", "bump", "watch")


def _has_ranks(storage: Storage) -> TypeGuard[Ranks]:
    return _has(storage, "rank", "lowest", "totals")


def has_locks(storage: Storage) -> TypeGuard[Locks]:
    return _has(storage, "lock")


def _has_purge(storage: Storage) -> TypeGuard[Purge]:
    return _has(storage, "purge")


def heads(storage: Storage) -> Heads:
    """The head of one entry; the fall-back fetches the body too."""
    return storage if _has_heads(storage) else ReadHeads(storage)


def batch(storage: Storage) -> Batch:
    """Many entries at once; the fall-back makes one trip each."""
    return storage if _has_batch(storage) else OneByOne(storage)


def words(storage: Storage) -> Words:
    """The words of scopes; the fall-back keeps each in an entry ``words/<scope>`` and can't be watched."""
    return storage if _has_words(storage) else EntryWords(storage)


def look(storage: Storage) -> Callable[[str, Sequence[str], bool], tuple[Record | None, Sequence[int]]]:
    """An entry and the words it depends on; the fall-back makes a trip for each."""
    return storage.look if has_look(storage) else LookForEach(storage).look


def ranks(storage: Storage) -> Ranks:
    """The order of eviction; the fall-back remembers ranks in this process and scans."""
    return storage if _has_ranks(storage) else ScannedRanks(storage)


def locks(storage: Storage) -> Locks:
    """Flights; the fall-back knows only the threads of this process."""
    return storage if has_locks(storage) else ThreadLocks()


def purge(storage: Storage) -> Purge:
    """Removal of dead entries; the fall-back scans."""
    return storage if _has_purge(storage) else ScannedPurge(storage)


def remover(storage: Storage) -> Callable[[Sequence[str]], object]:
    """Removal of many entries; in few trips where the storage has ``remove_many``, else one by one."""

    def one_by_one(names: Sequence[str]) -> None:
        for name in names:
            storage.remove(name)

    return getattr(storage, "remove_many", one_by_one)


def writer(storage: Storage) -> Callable[[Sequence[tuple[str, Record, str]]], object]:
    """Writing of many entries (name, record, suffix); in few trips where the storage has ``write_many``, else one by one.

    Each is written all or nothing, as ``write`` does it.
    """

    def one_by_one(entries: Sequence[tuple[str, Record, str]]) -> None:
        for name, (head, mark, body, _), suffix in entries:
            write_record(storage, name, head, body, mark, suffix)

    return getattr(storage, "write_many", one_by_one)


def write_record(storage: Storage, name: str, head: bytes, body: Buffer, mark: int, suffix: str) -> None:
    storage.write(name, [body], lambda: head, size=memoryview(body).nbytes, mark=mark, suffix=suffix)


class ReadHeads:
    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def head(self, name: str, /) -> tuple[bytes, int] | None:
        record = self._storage.read(name)
        return None if record is None else (record.head, record.mark)


class OneByOne:
    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def read_many(self, names: Sequence[str], /) -> Mapping[str, Record]:
        return {name: record for name in names if (record := self._storage.read(name)) is not None}


class EntryWords:
    """Words kept as entries: the word of a scope is the mark of the empty entry ``words/<scope>``.

    Nothing can be changed in one step over four verbs, so two bumps at once may both start from the same word. What
    counts is that a word never comes back: each new one is the time with 32 random bits on top, above the previous.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def word(self, scope: str, /) -> int:
        try:
            record = self._storage.read(f"words/{scope}")
        except DamagedError:  # what it was nobody knows, so all that was stored under it counts as cleared
            return self._write(scope, new_word())
        return 0 if record is None else record.mark

    def bump(self, scope: str, /) -> int:
        return self._write(scope, new_word(self.word(scope)))

    def _write(self, scope: str, word: int) -> int:
        self._storage.write(f"words/{scope}", (), bytes, size=0, mark=word)
        return word

    def watch(self, scope: str, /) -> Sequence[int] | None:
        return None


class LookForEach:
    def __init__(self, storage: Storage) -> None:
        self._storage, self._words, self._heads = storage, words(storage), heads(storage)

    def look(self, name: str, scopes: Sequence[str], whole: bool, /) -> tuple[Record | None, Sequence[int]]:
        found = [self._words.word(scope) for scope in scopes]  # first: a change in between then shows in the entry
        if whole:
            return self._storage.read(name), found
        return headed(self._heads.head(name)), found


def headed(about: tuple[bytes, int] | None) -> Record | None:
    """A head as an entry whose body was not asked for."""
    return None if about is None else Record(*about, b"")


def new_word(above: int = 0) -> int:
    """A word that never was one before, larger than ``above``: the time, in ns since the epoch, and 32 random bits."""
    import random
    import time

    return max(time.time_ns(), above) + 1 + random.SystemRandom().getrandbits(32)


def is_result(name: str) -> bool:
    """Names of two components are memo's own small records, words among them: they are not counted, ranked or purged."""
    return name.count("/") == 2


class ScannedRanks:
    """Ranks in the memory of this process, the order by scanning. Entries never ranked go first, oldest write first.

    ``listed(scope)`` gives (time of writing in seconds, item) of every entry where a storage knows that time; otherwise
    the order of the scan stands for it.
    """

    def __init__(self, storage: Storage, listed: Callable[[str], Iterable[tuple[float, Item]]] | None = None) -> None:
        self._listed = listed or (lambda scope: ((0.0, item) for item in storage.scan(scope)))
        self._ranks: dict[str, float] = {}

    def rank(self, ranks: Mapping[str, float], /) -> None:
        self._ranks.update(ranks)

    def lowest(self, scope: str, n: int, /) -> list[Item]:
        return [item for _, _, item in self.ranked(scope, n)]

    def ranked(self, scope: str, n: int, /) -> list[tuple[float, float, Item]]:
        """The lowest with their ranks (-inf: never ranked) and times of writing."""
        import heapq

        ranks, never = self._ranks, float("-inf")
        found = [
            (ranks.get(item.name, never), written, item)
            for written, item in self._listed(scope)
            if is_result(item.name)
        ]
        if not scope:  # what is gone needs no rank
            self._ranks = {item.name: rank for rank, _, item in found if rank != never}
        return heapq.nsmallest(n, found, key=lambda one: one[:2])

    def totals(self, scope: str, /) -> tuple[int, int]:
        sizes = [item.size for _, item in self._listed(scope) if is_result(item.name)]
        return len(sizes), sum(sizes)


class ThreadLocks:
    """Named locks of this process, each there only as long as somebody holds or wants it. Timeout -1 waits for ever."""

    def __init__(self) -> None:
        self._guard = threading.RLock()
        self._named: dict[str, tuple[threading.Lock, int]] = {}

    def lock(self, name: str, timeout: float, /) -> AbstractContextManager[bool]:
        return self._held(name, timeout)

    @contextmanager
    def _held(self, name: str, timeout: float) -> Iterator[bool]:
        with self._guard:
            lock, users = self._named.get(name, (threading.Lock(), 0))
            self._named[name] = lock, users + 1
        had = False
        try:
            had = lock.acquire(timeout=timeout if timeout >= 0 else -1)
            yield had
        finally:
            if had:
                lock.release()
            with self._guard:
                lock, users = self._named[name]
                if users == 1:
                    del self._named[name]
                else:
                    self._named[name] = lock, users - 1


class ScannedPurge:
    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def purge(self, scope: str, below_mark: int, limit: int, /) -> int:
        from itertools import islice

        dead: Callable[[Item], bool] = lambda item: item.mark < below_mark and is_result(item.name)  # noqa: E731
        names = [item.name for item in islice(filter(dead, self._storage.scan(scope)), limit)]
        for name in names:
            self._storage.remove(name)
        return len(names)
