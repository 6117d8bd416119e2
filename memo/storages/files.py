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
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from .. import _aside
from .._abilities import EntryWords, ScannedRanks
from ..errors import DamagedError
from ..model import Buffer, Item, Record
from . import _payload
from ._entry_file import ONE_FILE, EntryFile, checked, end_of, is_payload, name_of, payload_of, stem_of
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
        self._new = os.path.join(self.folder, "_new")
        self._swept = False
        self._turns, self._locks = Turns(), NameLocks(os.path.join(self.folder, "_locks"))
        self._moved = object()  # another one before each removal of an entry's other form
        self._folders: dict[str, str] = {}
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
            self._sweep()
        litter: list[str] = []
        try:
            target = self._make(litter, name, parts, head, size, mark, suffix)
            with self._turns[name], self._locks(name) as alone:
                old = self._files(path, target)
                _payload.place(litter[-1], target)
                litter.clear()
                self._moved = object()
                for unlink in old:
                    unlink(alone)
        finally:
            for aside in litter:
                _aside.unlink(aside)
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
        above = [checked(component) for component in prefix.split("/")] if prefix else []
        for folder, file in self._walk(os.path.join(self.folder, *above), len(above)):
            if is_payload(file):
                continue
            try:
                with self._entry(os.path.join(folder, file)) as entry:
                    end = entry.end()
            except (OSError, DamagedError):  # removed meanwhile, or damaged: reading it says so
                continue
            yield end.written / 1e9, Item(self._name(folder, file), end.size + len(end.head), end.mark, end.head)

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
                    for unlink in there:
                        unlink(alone)

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
        self._sweep()
        if not os.path.isdir(self.folder):
            return
        since = self._last_swept() - 2 * _aside.STALE
        for folder, file in self._walk(self.folder, 0, since):
            path = os.path.join(folder, file)
            if is_payload(file):
                if _aside.age(path) > _aside.STALE and not _is_named(path):
                    _aside.unlink(path)
            elif orphaned is not None:
                name, stamp = self._name(folder, file), _stamp(path)
                if time.time() - stamp[1] / 1e9 > _aside.STALE and orphaned(name):
                    self.remove_if(name, stamp)  # unless it was written anew in this moment

    def _last_swept(self) -> float:
        """In seconds since the epoch; from now on it is this moment."""
        path = os.path.join(self.folder, "_swept")
        try:
            before = os.lstat(path).st_mtime
        except FileNotFoundError:
            before = 0.0
        _aside.discard(path)
        os.close(_payload.create(path))
        return before

    def compact(self) -> None:
        """Removes what killed writers left behind, and empty folders."""
        self._sweep()
        for folder, file in list(self._walk(self.folder, 0)):
            path = os.path.join(folder, file)
            if is_payload(file) and _aside.age(path) > _aside.STALE and not _is_named(path):
                _aside.unlink(path)
        for folder, _, _ in os.walk(self.folder, topdown=False):
            try:
                os.rmdir(folder)
            except OSError:  # not empty
                pass

    def findings(self, repair: bool, /) -> Iterator[tuple[str, str, str]]:
        """What lies here and is no entry: ("damaged" or "litter", path, why). ``repair`` takes it away."""
        for folder, file in list(self._walk(self.folder, 0)):
            path = os.path.join(folder, file)
            if (found := self._wrong(path, file)) is not None:
                if repair:
                    _aside.discard(path)
                yield found[0], path, found[1]
        for name in os.listdir(self._new) if os.path.isdir(self._new) else ():
            path = os.path.join(self._new, name)
            if _aside.age(path) > _aside.STALE:
                if repair:
                    _aside.discard(path)
                yield "litter", path, "left behind by a writer that was killed"

    def _wrong(self, path: str, file: str) -> tuple[str, str] | None:
        if is_payload(file):
            if _aside.age(path) > _aside.STALE and not _is_named(path):
                return "litter", "a payload that no entry names: its writer was killed"
            return None
        try:
            with self._entry(path) as entry:
                entry.end()
        except FileNotFoundError:
            return ("damaged", "it is not a regular file") if os.path.lexists(path) else None
        except DamagedError as error:
            return "damaged", str(error)
        return None

    def _sweep(self) -> None:
        self._swept = True
        try:
            names = os.listdir(self._new)
        except OSError:
            return
        for name in names:
            path = os.path.join(self._new, name)
            if _aside.age(path) > _aside.STALE:
                _aside.discard(path)

    # -- names and files

    def _path(self, name: str) -> str:
        """Where the entry lies, without suffix."""
        prefix, _, last = name.rpartition("/")
        folder = self._folders.get(prefix) or self._folder(prefix)
        stem = stem_of(last)
        return f"{folder}/_{stem[:2]}/{stem}"

    def _folder(self, prefix: str) -> str:
        folder = self._folders[prefix] = os.path.join(self.folder, *map(checked, prefix.split("/")))
        return folder

    def _name(self, folder: str, file: str) -> str:
        """The entry's name, from where its file lies."""
        above = os.path.relpath(os.path.dirname(folder), self.folder).replace(os.sep, "/")
        return f"{above}/{name_of(file)}"

    def _walk(self, folder: str, level: int, since: float = 0.0) -> Iterator[tuple[str, str]]:
        """(folder, file) of everything under a folder that stands for ``level`` components of names.

        ``since``: only from folders in which something came or went after that, in seconds since the epoch.
        """
        try:
            with os.scandir(folder) as found:
                entries = list(found)
        except (FileNotFoundError, NotADirectoryError):
            return
        for entry in entries:
            if level and entry.name[0] == "_":
                try:
                    if since > 0 and entry.stat(follow_symlinks=False).st_mtime < since:
                        continue
                    files = os.listdir(entry.path)
                except (FileNotFoundError, NotADirectoryError):
                    continue
                yield from ((entry.path, file) for file in files)
            elif level < 2 and entry.name[0] != "_" and entry.is_dir(follow_symlinks=False):
                yield from self._walk(entry.path, level + 1, since)

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
        unlinks: list[Callable[[bool], None]] = []
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
                    unlinks.append(partial(_unlink_same, path + suffix, entry.inode()))
            if payload:
                unlinks.append(partial(_unlink_payload, os.path.join(os.path.dirname(path), payload)))
        return unlinks

    def _opened(self, path: str) -> EntryFile | None:
        try:
            return self._entry(path)
        except FileNotFoundError:
            return None

    @contextmanager
    def _aside(self, litter: list[str]) -> Iterator[int]:
        """A new file to write to, entered in ``litter`` until it has a place."""
        path = os.path.join(self._new, os.urandom(8).hex())
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
    _aside.unlink(aside)


def _stamp(path: str) -> tuple[int, int]:
    """As `Files.stamp`; of a file that is gone by now, no file's."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return 0, time.time_ns()
    return status.st_ino, status.st_mtime_ns


def _unlink_payload(path: str, alone: bool) -> None:
    _aside.unlink(path)  # its name is never used again


def _is_named(payload: str) -> bool:
    """Whether an entry has this payload."""
    folder, file = os.path.split(payload)
    try:
        with EntryFile(os.path.join(folder, file.partition("-")[0])) as entry:
            return entry.end().payload == file
    except (OSError, DamagedError):
        return False


def _rebuilt(kind: type[Files], folder: str, map_from: int, durable: bool) -> Files:
    return kind(folder, map_from=map_from, durable=durable)
