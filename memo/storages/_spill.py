"""Small entries in one storage, big ones in another: each where it is fastest and takes least room.

A name lives in one of the two; where it is in both, the small one counts. Both writes commit first and remove the other
copy then, so a kill in between loses nothing: after a write to ``big`` the older entry is still served from ``small``
(that write never returned), after a write to ``small`` the new one hides the older in ``big``.

Two writes of one name at once, one to each, must not remove each other: the big one removes only the small entry that it
found when it began, and gives way to one that came meanwhile. That check and a small write exclude each other among the
threads of a process; between processes the few microseconds of the check are left, and cost an entry at worst.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from .. import _abilities
from ..model import Buffer, Item, Record
from ..protocols import Locks, Storage
from ._lock import Turns


class _BigWrite:
    """A write to ``big`` that is going on, and whether a small one of its name came after it began."""

    def __init__(self, name: str) -> None:
        self.name, self.overtaken = name, False


class Spill:
    """Bodies of at most ``above`` bytes go to ``small``, larger ones to ``big``. Words and locks are those of ``small``."""

    def __init__(self, small: Storage, big: Storage, above: int = 65536) -> None:
        self.small, self.big, self.above = small, big, above
        self._read = small.read
        self._turns = Turns()
        self._writes: set[_BigWrite] = set()
        self._moved = object()  # another one before each removal of the other copy
        # a storage that can tell at once that it has nothing of that name spares each miss the second look
        self._may_have: Callable[[str], bool] = getattr(big, "may_have", _maybe)
        self._heads = [_abilities.heads(storage) for storage in (small, big)]
        self._batch = [_abilities.batch(storage) for storage in (small, big)]
        self._ranks = [_abilities.ranks(storage) for storage in (small, big)]
        self._purge = [_abilities.purge(storage) for storage in (small, big)]
        words = _abilities.words(small)
        self.word, self.bump, self.watch = words.word, words.bump, words.watch
        if isinstance(small, Locks):  # a fall-back here would hide that there are none beyond this process
            self.lock = small.lock

    def __reduce__(self) -> tuple[type[Spill], tuple[Storage, Storage, int]]:
        return Spill, (self.small, self.big, self.above)

    def __repr__(self) -> str:
        return f"Spill({self.small!r}, {self.big!r}, above={self.above})"

    def read(self, name: str, /) -> Record | None:
        record = self._read(name)
        if record is None and self._may_have(name):
            while record is None:
                moved = self._moved
                record = self.big.read(name) or self._read(name)  # it may move between two looks
                if moved is self._moved:
                    break
        return record

    def write(
        self,
        name: str,
        parts: Iterable[Buffer],
        head: Callable[[], bytes],
        /,
        *,
        size: int,
        mark: int,
        suffix: str = "",
    ) -> None:
        if size > self.above:
            this = _BigWrite(name)
            self._writes.add(this)
            try:
                before = self._heads[0].head(name)
                self.big.write(name, parts, head, size=size, mark=mark, suffix=suffix)
                with self._turns[name]:
                    now = self._heads[0].head(name)
                    if now is not None:
                        self._moved = object()
                        if now == before and not this.overtaken:
                            self.small.remove(name)
                        elif not any(other.name == name for other in self._writes - {this}):
                            self.big.remove(name)
            finally:
                self._writes.discard(this)
        else:
            with self._turns[name]:
                self.small.write(name, parts, head, size=size, mark=mark, suffix=suffix)
                for other in tuple(self._writes):
                    if other.name == name:
                        other.overtaken = True
                if self._may_have(name):
                    self._moved = object()
                    self.big.remove(name)

    def remove(self, name: str, /) -> None:
        if self._may_have(name):
            self.big.remove(name)  # first: what hides it goes last
        self.small.remove(name)

    def scan(self, prefix: str = "", /) -> Iterator[Item]:
        yield from self.small.scan(prefix)
        for item in self.big.scan(prefix):
            if self._heads[0].head(item.name) is None:
                yield item

    # -- the abilities of both

    def head(self, name: str, /) -> tuple[bytes, int] | None:
        small, big = self._heads
        found = small.head(name)
        if found is None and self._may_have(name):
            found = big.head(name) or small.head(name) or big.head(name)
        return found

    def read_many(self, names: Sequence[str], /) -> Mapping[str, Record]:
        small, big = self._batch
        found = dict(small.read_many(names))
        found.update(big.read_many([name for name in names if name not in found and self._may_have(name)]))
        return found

    def rank(self, ranks: Mapping[str, float], /) -> None:
        for storage in self._ranks:
            storage.rank(ranks)

    def lowest(self, scope: str, n: int, /) -> list[Item]:
        """The lowest of both. One that tells no ranks with its lowest counts as never ranked."""
        found: list[tuple[float, float, Item]] = []
        for storage in self._ranks:
            if ranked := getattr(storage, "ranked", None):
                found += ranked(scope, n)
            else:
                found += [(float("-inf"), 0.0, item) for item in storage.lowest(scope, n)]
        found.sort(key=lambda one: one[:2])
        return [item for _, _, item in found[:n]]

    def totals(self, scope: str, /) -> tuple[int, int]:
        (entries, size), (more, others) = (storage.totals(scope) for storage in self._ranks)
        return entries + more, size + others

    def purge(self, scope: str, below_mark: int, limit: int, /) -> int:
        done = 0
        for storage in reversed(self._purge):  # what a small copy hides goes before it
            if done < limit:
                done += storage.purge(scope, below_mark, limit - done)
        return done

    # -- upkeep: what the two have of it

    def ruined(self, error: Exception, /) -> bool:
        return any(own(error) for storage in (self.small, self.big) if (own := getattr(storage, "ruined", None)))

    def close(self) -> None:
        self._each("close")

    def reset(self) -> None:
        self._each("reset")

    def compact(self) -> None:
        self._each("compact")

    def _each(self, method: str) -> None:
        for storage in (self.small, self.big):
            if own := getattr(storage, method, None):
                own()


def _maybe(name: str, /) -> bool:
    return True
