"""Entries in a shelf of the standard library: one dbm file that ``shelve.open(path)`` shows as (head, mark, body).

Which dbm a Python has differs from machine to machine, and none reads another's files, so the flavour is fixed: in the
``memo.json`` of the place, and in ``shelve.json`` beside the file, for a shelf without a place. No flavour allows a second writer: each operation opens the file, under a lock, and closes it.
Values are pickles of a plain tuple, read by their opcodes and never unpickled: a damaged one could take all memory there is.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import pickle
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from .. import _forks
from .._aside import set_aside
from .._living import Living
from ..errors import DamagedError, PlaceError
from ..model import Buffer, Item, Record
from ._disk import make_folder
from ._lock import FolderLock, HeldOverForks
from ._parts import join

FLAVOURS = ("dbm.sqlite3", "dbm.gnu", "dbm.ndbm", "dbm.dumb")  # the best first
# fmt: off
_NOT_DAMAGE = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EIO,
    errno.ENOMEM, errno.EINTR, errno.EBUSY, errno.EAGAIN, errno.ENOLCK, errno.ESTALE, errno.ETIMEDOUT,
)
# fmt: on
#: what SQLite says, as an operational error, of a database that is damaged
_OTHER_SCHEMA = ("no such", "malformed", "has no column")
PAGE = 100  # entries of a listing read under one lock


class _RuinedError(DamagedError):
    """The shelf as a whole, not one entry."""


class Shelve:
    """Entries of ``folder/shelf``, in the ``flavour`` of dbm given, or the best that this Python has.

    ``timeout``: seconds to wait for others. A file of dbm.sqlite3 can't be read where nothing can be written.
    """

    def __init__(self, folder: str | os.PathLike[str], *, flavour: str | None = None, timeout: float = 30.0) -> None:
        if flavour is not None and flavour not in FLAVOURS:
            raise ValueError(f"flavour is one of {', '.join(FLAVOURS)}, not {flavour!r}")
        self.folder, self.flavour, self.timeout = os.fspath(folder), flavour, timeout
        self._path = os.path.join(self.folder, "shelf")
        self._label = os.path.join(self.folder, "shelve.json")
        self._failed: tuple[int, int] | None = None
        self._lock = FolderLock(os.path.join(self.folder, "shelf.lock"), timeout)
        _all.add(self)

    def __reduce__(self) -> tuple[Callable[..., Shelve], tuple[str, str | None, float]]:
        return _shelve, (self.folder, self.flavour, self.timeout)

    def __repr__(self) -> str:
        return f"Shelve({self.folder!r})"

    def read(self, name: str, /) -> Record | None:
        with self._open(write=False) as shelf:
            found = shelf.get(name.encode())
        return None if found is None else _load(found)

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
        body = join(parts, size)
        value = pickle.dumps((head(), mark, body), 4)
        with self._open(write=True) as shelf:
            shelf[name.encode()] = value

    def remove(self, name: str, /) -> None:
        with self._open(write=False) as shelf:
            there = name.encode() in shelf
        if there:
            with self._open(write=True) as shelf:
                if name.encode() in shelf:
                    del shelf[name.encode()]

    def scan(self, prefix: str = "", /) -> Iterator[Item]:
        start = f"{prefix}/".encode() if prefix else b""
        with self._open(write=False) as shelf:
            # a dbm object is no dictionary: not every flavour can be iterated
            names = [name for name in shelf.keys() if name.startswith(start)]  # noqa: SIM118
        for first in range(0, len(names), PAGE):
            with self._open(write=False) as shelf:
                page = [(name, shelf.get(name)) for name in names[first : first + PAGE]]
            for name, found in page:
                try:
                    if found is not None:
                        head, mark, body, _ = _load(found)
                        yield Item(name.decode(), len(head) + len(body), mark, head)
                except DamagedError:  # reading it says so
                    pass

    # -- upkeep

    def ruined(self, error: Exception, /) -> bool:
        """Whether an error of this storage says that the file itself is damaged, so that ``reset()`` is due."""
        return isinstance(error, _RuinedError)

    def reset(self) -> None:
        """Sets shelf and label aside as ``*.damaged``, over those of an earlier time; the next write makes new ones.

        Not where another process already has: then the label is another one than that of the failure.
        """
        with self._lock:
            if _stamp(self._label) != self._failed:
                return
            for file in os.listdir(self.folder):
                if file.startswith(("shelf", "shelve.json")) and not file.endswith((".lock", ".damaged")):
                    path = os.path.join(self.folder, file)
                    set_aside(path, path + ".damaged")

    # -- the file

    @contextmanager
    def _open(self, write: bool) -> Iterator[MutableMapping[bytes, bytes]]:
        """The file under the lock; an empty mapping where there is nothing to read."""
        if not write and not os.path.exists(self._label):
            yield {}
            return
        with self._lock:
            flavour = self._flavour(write)
            if flavour is None:
                yield {}
                return
            module = _module(flavour, self._label)
            try:
                shelf = module.open(self._path, "c" if write else "r", 0o600)
                try:
                    yield shelf
                finally:
                    shelf.close()
            except Exception as error:  # of dbm alone: nothing else is done with an open shelf
                if not _is_damage(error, self._path):
                    raise
                raise self._ruined(f"{self._path} is not what {flavour} wrote ({error!r})")

    def _flavour(self, write: bool) -> str | None:
        """What the label says; it is made by the first write."""
        try:
            with open(self._label, encoding="utf-8") as label:
                named = json.load(label)["flavour"]
            if named not in FLAVOURS:
                raise ValueError(f"it names {named!r}")
        except FileNotFoundError:
            return self._make() if write else None
        except IsADirectoryError:  # out of the way
            set_aside(self._label, self._label + ".damaged")
            return self._make() if write else self.flavour
        except (ValueError, KeyError, TypeError) as error:
            if self.flavour is not None:  # only the label is damaged
                return self._make() if write else self.flavour
            raise self._ruined(f"{self._label} does not say which dbm the shelf beside it is of ({error})")
        if self.flavour not in (None, named):
            raise PlaceError(f"{self.folder} is a shelf of {named}, not of {self.flavour}: use another location")
        return str(named)

    def _make(self) -> str:
        named = self.flavour or best_flavour()
        make_folder(self.folder)
        dbm = _module(named, self._label)  # its file is made before its label: then "r" finds one
        try:
            if self.flavour is None:
                raise DamagedError("what lies there may be of another flavour")
            dbm.open(self._path, "c", 0o600).close()  # else it has only lost its label
        except Exception as error:
            if not _is_damage(error, self._path):
                raise
            dbm.open(self._path, "n", 0o600).close()
        new = self._label + ".new"
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as label:
            json.dump({"flavour": named}, label)
        os.replace(new, self._label)
        return named

    def _ruined(self, why: str) -> _RuinedError:
        self._failed = _stamp(self._label)
        return _RuinedError(why)


def _module(flavour: str, label: str) -> Any:
    if flavour == "dbm.dumb":
        from . import _dumb

        return _dumb
    try:
        return importlib.import_module(flavour)
    except ImportError:
        raise PlaceError(
            f"this Python has no {flavour}, which {label} names: use a Python that has it, or another location"
        )


def best_flavour() -> str:
    for flavour in FLAVOURS:
        try:
            importlib.import_module(flavour)
        except ImportError:
            continue
        return flavour
    raise PlaceError("this Python has no dbm module at all")


def _is_damage(error: Exception, path: str) -> bool:
    """Whether it lies in the file, and not in the disk, in rights, or in another program that has the file open."""
    cause = error.__context__  # dbm.sqlite3 raises an OSError without a number from within
    if type(cause).__name__ == "OperationalError":
        if "unable to open" in str(cause):  # for want of descriptors or rights, or because it is gone
            return not os.path.isfile(path)
        return any(part in str(cause) for part in _OTHER_SCHEMA)
    return not (isinstance(error, OSError) and error.errno in _NOT_DAMAGE)


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns


#: opcodes of pickle that a tuple of bytes, a number and bytes is made of -> how many bytes of length or of number follow
_BYTES = {b"C": 1, b"B": 4, b"\x8e": 8}
_NUMBERS = {b"K": 1, b"M": 2, b"J": 4, b"\x8a": 1}


def _load(value: bytes) -> Record:
    """What was pickled, read by its opcodes: unpickling what is damaged could take all memory, or import something."""
    found: list[Any] = []
    known: list[Any] = []
    at = 2
    try:
        if value[:2] != b"\x80\x04":
            raise ValueError("no pickle of protocol 4")
        while (code := value[at : at + 1]) != b".":
            at += 1
            if code in _BYTES or code in _NUMBERS:
                width = _BYTES.get(code) or _NUMBERS[code]
                number = int.from_bytes(value[at : at + width], "little", signed=code == b"J")
                at += width
                if code in _BYTES or code == b"\x8a":
                    data = value[at : at + number]
                    if len(data) < number:
                        raise ValueError("it is cut off")
                    at += number
                    found.append(data if code in _BYTES else int.from_bytes(data, "little", signed=True))
                else:
                    found.append(number)
            elif code == b"\x94":  # of the tuple, too
                known.append(found[-1])
            elif code == b"h":  # head and body are the same bytes
                found.append(known[value[at]])
                at += 1
            elif code == b"\x95":
                at += 8
            elif code != b"\x87":
                raise ValueError(f"{code!r} is no part of an entry")
        head, mark, body = found
    except (ValueError, IndexError) as error:
        raise DamagedError(f"an entry of a shelf is not as it was written: {error}")
    if at + 1 != len(value) or type(head) is not bytes or type(mark) is not int or type(body) is not bytes:
        raise DamagedError("an entry of a shelf is not as it was written")
    return Record(head, mark, body)


# A child that was forked while another thread has the shelf open would inherit what its library keeps in the process:
# SQLite believes in locks that it does not have, and waits for those of its own for ever.
_all: Living[Shelve] = Living()
_shelves = HeldOverForks(_forks.PATIENCE)

_forks.register(lambda: _shelves.take([one._lock for one in _all]), _shelves.give, _shelves.forget)


def _shelve(folder: str, flavour: str | None, timeout: float) -> Shelve:
    return Shelve(folder, flavour=flavour, timeout=timeout)
