"""Small entries in one storage, big ones in another: each where it is fastest and takes least room.

The small storage has an entry of every name. For a big body it holds a stub that says how big it is. So a name
that is not there costs one look and no second one in the other storage, and one commit decides which of two writes
counts. A kill between the big write and its stub loses nothing that a call had returned; what it leaves behind in
``big`` is overwritten by the next write of that name, or purged with the dead entries.

A small write removes only the very body that the stub which it replaces stands for, never one that another process is
just putting in its place. So of two writes at once one is there afterwards, whichever stub or entry came last.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from .. import _abilities
from ..model import Buffer, Bulk, Cheap, Item, Record
from ._lock import Turns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..protocols import Storage

_STUB = (
    b"\x00in big\x00"  # no head of an entry begins so; then 8 bytes of size (head and body), 8 bytes digest of its head
)
_STUB_SIZE = len(_STUB) + 16
_STALE = 3600.0  # seconds after which a body without a stub is nobody's


class Spill:
    """Bodies of at most ``above`` bytes go to ``small``, larger ones to ``big``. Words and locks are those of ``small``."""

    def __init__(self, small: Storage, big: Storage, above: int = 65536) -> None:
        self.small, self.big, self.above = small, big, above
        self._read = small.read
        self._heads, self._big_heads = _abilities.heads(small), _abilities.heads(big)
        self._batch, self._big_batch = _abilities.batch(small), _abilities.batch(big)
        self._ranks, self._big_ranks = _abilities.ranks(small), _abilities.ranks(big)
        self._purges = _abilities.purge(small), _abilities.purge(big)
        self._stamp: Callable[[str], Any] = getattr(big, "stamp", self._big_heads.head)
        self._remove_if: Callable[[str, Any], object] = getattr(big, "remove_if", self._remove_same)
        self._turns = Turns()
        self._spilled: bool | None = None  # whether anything is known to be in big; None: not looked yet
        self.rank = self._ranks.rank
        if (take_out := getattr(small, "take_out", None)) is not None:
            self.cheapest, self.take_out = self._cheapest, take_out
        words = _abilities.words(small)
        self.word, self.bump, self.watch = words.word, words.bump, words.watch
        if _abilities.has_locks(small):  # a fall-back here would hide that there are none beyond this process
            self.lock = small.lock

    def __reduce__(self) -> tuple[type[Spill], tuple[Storage, Storage, int]]:
        return Spill, (self.small, self.big, self.above)

    def __repr__(self) -> str:
        return f"Spill({self.small!r}, {self.big!r}, above={self.above})"

    def read(self, name: str, /) -> Record | None:
        record = self._read(name)
        while record is not None and record[0][:8] == _STUB:
            found = self.big.read(name)
            if found is not None:
                return found
            before, record = record, self._read(name)
            if record == before:
                return None  # its body is gone; a write that moved it to the small storage would show
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
            sealed: list[bytes] = []

            def seal() -> bytes:
                sealed.append(head())
                return sealed[0]

            self._spilled = True
            with self._turns[name]:
                self.big.write(name, parts, seal, size=size, mark=mark, suffix=suffix)
                stub = _STUB + (size + len(sealed[0])).to_bytes(8, "little") + _digest(sealed[0])
                self.small.write(name, (), lambda: stub, size=0, mark=mark)
            return
        if not self._had_spilled():  # nothing can be in the way: no look at what was there
            self.small.write(name, parts, head, size=size, mark=mark, suffix=suffix)
            return
        with self._turns[name]:
            body = self._body(name)
            self.small.write(name, parts, head, size=size, mark=mark, suffix=suffix)
            if body is not None:
                self._remove_if(name, body)

    def write_many(self, entries: Sequence[tuple[str, Record, str]], /) -> None:
        """Small ones together, where no big one is in the way; the others one by one."""
        together = []
        for entry in entries:
            name, (head, mark, body, _), suffix = entry
            if memoryview(body).nbytes > self.above or self._is_stub(name):
                _abilities.write_record(self, name, head, body, mark, suffix)
            else:
                together.append(entry)
        if together:
            _abilities.writer(self.small)(together)

    def remove(self, name: str, /) -> None:
        with self._turns[name]:
            body = self._body(name)
            self.small.remove(name)
            if body is not None:
                self._remove_if(name, body)

    def remove_many(self, names: Sequence[str], /) -> None:
        """Those without a body in ``big`` together; where nothing is in there, none is looked for."""
        spilled = {name for name in names if self._body(name) is not None} if self._has_by_now() else set()
        _abilities.remover(self.small)([name for name in names if name not in spilled])
        for name in spilled:
            self.remove(name)

    def _had_spilled(self) -> bool:
        """As it was when somebody looked first, so that a write costs no look."""
        if self._spilled is None:
            self._spilled = next(iter(self.big.scan()), None) is not None
        return self._spilled

    def _is_stub(self, name: str) -> bool:
        found = self._heads.head(name) if self._had_spilled() else None
        return found is not None and found[0][:8] == _STUB

    def _body(self, name: str) -> Any:
        """The stamp of the body that the stub stands for; None where there is no stub, or another body by now."""
        stub = self._heads.head(name)
        if stub is None or stub[0][:8] != _STUB:
            return None
        stamp, found = self._stamp(name), self._big_heads.head(name)
        return stamp if found is not None and _digest(found[0]) == stub[0][16:] else None

    def _remove_same(self, name: str, stamp: Any) -> None:
        if self._big_heads.head(name) == stamp:
            self.big.remove(name)

    def scan(self, prefix: str = "", /) -> Iterator[Item]:
        return self._shown(self.small.scan(prefix))

    def _shown(self, items: Iterable[Item]) -> Iterator[Item]:
        """Stubs as the entries that they stand for."""
        for item in items:
            if item.head[:8] != _STUB:
                yield item
            elif (found := self._big_heads.head(item.name)) is not None:
                yield Item(item.name, int.from_bytes(item.head[8:16], "little"), item.mark, found[0])

    def bulk(self, scope: str, length: int, /) -> Iterator[Bulk | Item]:
        """Results many at once, as far as the small storage can: a stub is so short that it comes as an item."""
        bulk = getattr(self.small, "bulk", None)
        if bulk is None:
            yield from (item for item in self.scan(scope) if _abilities.is_result(item.name))
            return
        for one in bulk(scope, length):
            if type(one) is Item:
                yield from self._shown((one,))
            else:
                yield one

    # -- the abilities of both

    def ahead(self, prefix: str, /) -> Callable[[str], Record | None]:
        """A ``read`` for names of this prefix that may give what was there at any time since now."""
        ahead = getattr(self.small, "ahead", None)
        return self.read if ahead is None else ahead(prefix, self.read, _STUB)

    def head(self, name: str, /) -> tuple[bytes, int] | None:
        found = self._heads.head(name)
        while found is not None and found[0][:8] == _STUB:
            if (big := self._big_heads.head(name)) is not None:
                return big
            before, found = found, self._heads.head(name)
            if found == before:
                return None
        return found

    def read_many(self, names: Sequence[str], /) -> Mapping[str, Record]:
        read = self._batch.read_many(names)
        stubs = [name for name, record in read.items() if record[0][:8] == _STUB]
        if not stubs:
            return read
        found = dict(read)
        for name in stubs:
            del found[name]
        found.update(self._big_batch.read_many(stubs))
        return found

    def lowest(self, scope: str, n: int, /) -> list[Item]:
        return list(self._shown(self._ranks.lowest(scope, n)))

    def ranked(self, scope: str, n: int, /, **how: Any) -> list[tuple[float, float, Item]]:
        ranked: Callable[..., list[tuple[float, float, Item]]] | None = getattr(self._ranks, "ranked", None)
        if ranked is None:
            return [(0.0, 0.0, item) for item in self.lowest(scope, n)]
        shown = ((rank, written, self._shown((item,))) for rank, written, item in ranked(scope, n, **how))
        return [(rank, written, item) for rank, written, items in shown for item in items]

    def _cheapest(self, n: int, but: str, timed: bool) -> list[Cheap] | None:
        """None where something lies in the big storage: then each entry has to be looked at."""
        return None if self._has_by_now() else self.small.cheapest(n, but, timed)  # type: ignore[attr-defined]

    def _has_by_now(self) -> bool:
        """As ``_had_spilled``, where what another process has spilled since must not be missed."""
        self._spilled = self._spilled or next(iter(self.big.scan()), None) is not None
        return self._spilled

    def totals(self, scope: str, /) -> tuple[int, int]:
        entries, size = self._ranks.totals(scope)
        big, more = self._big_ranks.totals(scope)
        return entries, size - big * _STUB_SIZE + more

    def purge(self, scope: str, below_mark: int, limit: int, /) -> int:
        # each has all the dead of its own: a stub and its body go alike, by the mark that both carry
        return max(purge.purge(scope, below_mark, limit) for purge in self._purges)

    # -- upkeep: what the two have of it

    def ruined(self, error: Exception, /) -> bool:
        return any(own(error) for storage in (self.small, self.big) if (own := getattr(storage, "ruined", None)))

    def close(self) -> None:
        self._each("close")

    def reset(self) -> None:
        self._each("reset")

    def sweep(self, orphaned: Callable[[str], bool] | None = None, /) -> None:
        if (own := getattr(self.small, "sweep", None)) is not None:
            own(orphaned)
        if (own := getattr(self.big, "sweep", None)) is not None:
            own(lambda name: self._body(name) is None)

    def compact(self) -> None:
        for _ in self._orphans(repair=True):
            pass
        self._each("compact")

    def findings(self, repair: bool, /) -> Iterator[tuple[str, str, str]]:
        """What is wrong in both, and between them: ("damaged" or "litter", name or path, why)."""
        for storage in (self.small, self.big):
            if (own := getattr(storage, "findings", None)) is not None:
                yield from own(repair)
        for item in list(self.small.scan()):
            if item.head[:8] == _STUB and self.head(item.name) is None:
                if repair:
                    self.small.remove(item.name)
                yield "damaged", item.name, "its body is gone"
        yield from self._orphans(repair)

    def _orphans(self, repair: bool) -> Iterator[tuple[str, str, str]]:
        """Bodies without a stub, for over an hour: their writers were killed in between."""
        ranked = getattr(self._big_ranks, "ranked", None)
        for _, written, item in ranked("", 1 << 62) if ranked is not None else ():
            if time.time() - written <= _STALE:
                continue
            stamp, found = self._stamp(item.name), self._big_heads.head(item.name)
            if found is not None and found[0] == item.head and self._body(item.name) is None:
                if repair:  # that very one, not what another process is just putting in its place
                    self._remove_if(item.name, stamp)
                yield "litter", item.name, "a body that nothing points to: its writer was killed"

    def _each(self, method: str) -> None:
        for storage in (self.small, self.big):
            if own := getattr(storage, method, None):
                own()


def _digest(head: bytes) -> bytes:
    from blake3 import blake3

    return blake3(head).digest(8)
