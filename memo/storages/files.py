"""Each entry a file that other programs can open: the payload byte for byte, what memo knows of it behind or beside it.

An entry lies at ``<folder>/<scope>/<version>/_<2 letters>/<last component>`` and is

- ``<last>.pkl`` or ``<last>``, for the suffixes ".pkl" and "": one file. The payload, the head, and 40 bytes that say
  where they end; whoever reads a pickle stops at its end.
- for any other suffix (".json", ".npy", ".parquet"), whose readers want nothing behind the payload: a payload
  ``<last>-<8 hex><suffix>``, and a small file ``<last>`` that holds the head and the payload's name. The small file is
  what is renamed into place, and a payload's name is never used again, so the two are always a pair.

Everything is written aside and renamed, and who renames or removes has the name for himself meanwhile: so nobody removes
what another process has just put there. On a network disk, whose locks are not to be relied on, there is none: there a
kill in the middle of a removal may lose what was put there in that very moment, and never mixes anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from .._abilities import EntryWords, ScannedRanks
from .._aside import unlink
from ..errors import DamagedError
from ..model import Buffer, Item, Record
from . import _payload
from ._entry_file import ONE_FILE, EntryFile, end_of, is_payload, payload_of
from ._layout import Layout
from ._lock import NameLocks, Turns
from ._mirror import Mirror


class Files:
    """Entries as files under ``folder``; nothing is made before the first write.

    Bodies of at least ``map_from`` bytes are given back mapped, copy-on-write. ``durable``: a write is on the disk
    before it returns. Raises OSError as the disk does, and DamagedError for a file that is not what was written.
    """

    _entry: type[EntryFile] = EntryFile
    _forms: tuple[str, ...] = ONE_FILE  # suffixes of the file that has the head; looked for in this order

    def __init__(self, folder: str | os.PathLike[str], *, map_from: int = 256 * 1024, durable: bool = False) -> None:
        self.folder, self.map_from, self.durable = os.fspath(folder), map_from, durable
        self._layout = Layout(self.folder)
        self._path = self._layout.path
        self._swept = False
        self._turns, self._locks = Turns(), NameLocks(os.path.join(self.folder, "_locks"))
        self._moved = object()  # another one before each removal of an entry's other form
        self._synced: set[str] = set()  # folders whose names are on the disk
        self._words = EntryWords(self)
        ranks = ScannedRanks(self, self._listed)  # of this process: the disk keeps only the times of writing
        self.rank, self.lowest, self.ranked, self.totals = ranks.rank, ranks.lowest, ranks.ranked, ranks.totals
        self._mirror = Mirror(os.path.join(self.folder, "_words.map"))

    def __reduce__(self) -> tuple[Callable[..., Files], tuple[type[Files], str, int, bool]]:
        return _rebuilt, (type(self), self.folder, self.map_from, self.durable)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.folder!r})"

    # -- the four verbs

    def read(self, name: str, /) -> Record | None:
        path = self._path(name)
        for _ in range(10):
            entry = self._find(path)
            if entry is None:
                break
            with entry:
                record = entry.load(self.map_from)
            if record is not None:
                return record
        self._mirror.check()
        return None

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
        path = self._path(name)
        if not self._swept:
            from . import _left

            self._swept = True
            _left.sweep_new(self._layout)
        litter: list[str] = []
        try:
            target = self._make(litter, name, parts, head, size, mark, suffix)
            with self._turns[name], self._locks(name) as alone:
                old = self._files(path, target)
                _payload.place(litter[-1], target)
                litter.clear()
                self._moved = object()
                for removal in old:
                    removal(alone)
        finally:
            for aside in litter:
                unlink(aside)
        if self.durable:
            self._sync(os.path.dirname(path))

    def _sync(self, folder: str) -> None:
        """The folder, and once those above it: a new one may be lost with all that is in it."""
        _payload.sync(folder)
        while folder not in self._synced and len(folder) >= len(self.folder):
            self._synced.add(folder)
            folder = os.path.dirname(folder)
            _payload.sync(folder)

    def _make(
        self,
        litter: list[str],
        name: str,
        parts: Iterable[Buffer],
        head: Callable[[], bytes],
        size: int,
        mark: int,
        suffix: str,
    ) -> str:
        """The entry's file, complete, last in ``litter``; and what it is to be called."""
        path = self._path(name)
        folder, stem = os.path.split(path)
        payload = payload_of(stem, suffix)
        with self._aside(litter) as file:
            _payload.reserve(file, size)
            if (done := _payload.write_parts(file, parts)) != size:
                raise ValueError(f"the parts of this body are {done} bytes, {size} were announced")
            end = end_of(head(), mark, size, payload)
            if not payload:
                _payload.write_parts(file, end)
        if not payload:
            return path + suffix
        with self._aside(litter) as file:
            _payload.write_parts(file, end)
        _payload.place(litter[0], os.path.join(folder, payload))
        litter[0] = os.path.join(folder, payload)
        return path

    def remove(self, name: str, /) -> None:
        self.remove_if(name, None)

    def scan(self, prefix: str = "", /) -> Iterator[Item]:
        return (item for _, item in self._listed(prefix))

    def _listed(self, prefix: str) -> Iterator[tuple[float, Item]]:
        """(time of writing in seconds, item) of every entry."""
        for folder, file in self._layout.walk(prefix):
            if is_payload(file):
                continue
            try:
                with self._entry(os.path.join(folder, file)) as entry:
                    end = entry.end()
            except (OSError, DamagedError):  # removed meanwhile, or damaged: reading it says so
                continue
            yield end.written / 1e9, Item(self._layout.name(folder, file), end.size + len(end.head), end.mark, end.head)

    # -- what it does better than a fall-back could

    def head(self, name: str, /) -> tuple[bytes, int] | None:
        entry = self._find(self._path(name))
        if entry is None:
            return None
        with entry:
            end = entry.end()
        return end.head, end.mark

    def stamp(self, name: str, /) -> tuple[int, int] | None:
        """What tells this write of a name from any other."""
        entry = self._find(self._path(name))
        if entry is None:
            return None
        with entry:
            return entry.inode()

    def remove_if(self, name: str, stamp: tuple[int, int] | None, /) -> None:
        """Removes the entry if it is still that of ``stamp``; None: whichever it is."""
        with self._turns[name]:
            if there := self._files(self._path(name), "", only=stamp):
                with self._locks(name) as alone:
                    for removal in there:
                        removal(alone)

    def word(self, scope: str, /) -> int:
        return self._words.word(scope)

    def bump(self, scope: str, /) -> int:
        word = self._words.bump(scope)
        self._mirror.changed(scope)
        return word

    def watch(self, scope: str, /) -> Sequence[int] | None:
        return self._mirror.watch(scope)

    # -- upkeep

    def sweep(self, orphaned: Callable[[str], bool] | None = None, /) -> None:
        """Takes away what killed writers left behind over an hour ago. Folders in which nothing changed since are not read.

        ``orphaned(name)``: says of an entry that was written since the last time whether nothing points to it.
        """
        from . import _left

        _left.sweep(self._layout, orphaned, self.remove_if)

    def compact(self) -> None:
        """Removes what killed writers left behind, and empty folders."""
        from . import _left

        _left.compact(self._layout)

    def findings(self, repair: bool, /) -> Iterator[tuple[str, str, str]]:
        """What lies here and is no entry: ("damaged" or "litter", path, why). ``repair`` takes it away."""
        from . import _left

        return _left.findings(self._layout, self._entry, repair)

    # -- the files of an entry

    def _find(self, path: str) -> EntryFile | None:
        """The entry's file, open. Where a crash left it in both forms, the one written last."""
        found: list[EntryFile] = []
        moved = None
        while not found and moved is not self._moved:  # a write may give it the other form between the two looks
            moved = self._moved
            found = [entry for suffix in self._forms if (entry := self._opened(path + suffix)) is not None]
        if len(found) == 2:
            found.sort(key=EntryFile.written)
            found.pop(0).close()
        return found[0] if found else None

    def _files(self, path: str, target: str, only: tuple[int, int] | None = None) -> list[Callable[[bool], None]]:
        """What removes the files that this entry has now, but for ``target``, unless they were replaced meanwhile."""
        removals: list[Callable[[bool], None]] = []
        for suffix in self._forms:
            entry = self._opened(path + suffix)
            if entry is None:
                continue
            with entry:
                if only is not None and entry.inode() != only:
                    continue
                try:
                    payload = entry.end().payload
                except DamagedError:
                    payload = ""
                if path + suffix != target:
                    removals.append(partial(_unlink_same, path + suffix, entry.inode()))
            if payload:
                removals.append(partial(_unlink_payload, os.path.join(os.path.dirname(path), payload)))
        return removals

    def _opened(self, path: str) -> EntryFile | None:
        try:
            return self._entry(path)
        except FileNotFoundError:
            return None

    @contextmanager
    def _aside(self, litter: list[str]) -> Iterator[int]:
        """A new file to write to, entered in ``litter`` until it has a place."""
        path = os.path.join(self._layout.new, os.urandom(8).hex())
        file = _payload.create(path)
        litter.append(path)
        try:
            yield file
            if self.durable:
                os.fsync(file)
        finally:
            os.close(file)


def _unlink_same(path: str, inode: tuple[int, int], alone: bool) -> None:
    """Unlinks the file if it is that one. ``alone``: nobody puts another one there meanwhile.

    Else it is taken aside first, so that another one can be put back. Looked at before that, too: a kill before it is put
    back would lose what another process has just written.
    """
    folder, file = os.path.split(path)
    stem, dot, suffix = file.partition(".")
    aside = os.path.join(folder, f"{stem}-{os.urandom(4).hex()}{dot}{suffix}")
    try:
        status = os.lstat(path)
        if (status.st_ino, status.st_mtime_ns) != inode:
            return
        if alone:
            os.unlink(path)
            return
        os.rename(path, aside)
        status = os.lstat(aside)
        if (status.st_ino, status.st_mtime_ns) != inode:
            os.link(aside, path)
    except (FileNotFoundError, FileExistsError):
        pass
    unlink(aside)


def _unlink_payload(path: str, alone: bool) -> None:
    unlink(path)  # its name is never used again


def _rebuilt(kind: type[Files], folder: str, map_from: int, durable: bool) -> Files:
    return kind(folder, map_from=map_from, durable=durable)
