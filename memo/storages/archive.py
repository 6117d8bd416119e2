"""Many entries in one file that can be sent along: what ``memo export`` makes, read in place, never changed.

The file is a zip of three members, none of them named by what is in it, so that no tool that unpacks it can be led
astray: ``memo.json`` (what this is), ``index`` (a row an entry: name, head, place and digest of its body) and
``bodies`` (uncompressed, one after the other, each at a multiple of 64 bytes of the file, so that arrays are mapped
where they lie). The index is read whole and believed only after every row of it was found to point into the file.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from errno import EINVAL
from mmap import ACCESS_COPY, ACCESS_READ, ALLOCATIONGRANULARITY, mmap
from struct import Struct
from struct import error as StructError

from .._aside import STALE, age, unlink
from .._tuples import NamedTuple
from ..errors import DamagedError, PlaceError
from ..model import Buffer, Item, Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

FORMAT = 1
_MANIFEST, _INDEX, _BODIES = "memo.json", "index", "bodies"
_ROW = Struct("<HIQQ16s")  #: length of name, length of head, offset in bodies, size, digest
_ALIGNED = 64
_MAPPED = 256 * 1024  #: bytes of a body from which it is mapped
_LARGEST = 1 << 32  #: bytes of an index
#: what is raised over a file that is none of ours
_FOREIGN = (
    zipfile.BadZipFile, zlib.error, EOFError, LookupError, ValueError, TypeError, RuntimeError, OverflowError, StructError,
)  # fmt: skip
_FIRST = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_FURTHER = _FIRST | frozenset("._-")


class Row(NamedTuple):
    head: bytes
    offset: int
    size: int
    digest: bytes


class Archive:
    """The entries of one file. Whatever would change it raises PermissionError.

    Raises PlaceError where the file is no export of memo, or not whole.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._rows: dict[str, Row] | None = None
        self._checked: set[str] = set()

    def __reduce__(self) -> tuple[type[Archive], tuple[str]]:
        return Archive, (self.path,)

    def __repr__(self) -> str:
        return f"Archive({self.path!r})"

    def manifest(self) -> dict[str, Any]:
        """What the file says of itself: ``format``, ``made_by``, ``made`` (seconds since the epoch), ``entries``, ..."""
        self._open()
        return dict(self._manifest)

    # -- the four verbs

    def read(self, name: str, /) -> Record | None:
        row = self._open().get(name)
        if row is None:
            return None
        body: Buffer
        start = self._start + row.offset
        if row.size < _MAPPED:
            body = self._map[start : start + row.size]
        else:  # a map of its own, copied where it is written to: what a caller changes nobody else gets
            before = start % ALLOCATIONGRANULARITY
            with open(self.path, "rb") as file:
                if os.fstat(file.fileno())[:3] != self._file:
                    raise DamagedError(f"{self.path} was replaced while it was read")
                whole = mmap(file.fileno(), before + row.size, access=ACCESS_COPY, offset=start - before)
            body = memoryview(whole)[before:]
        if name not in self._checked:
            if _digest(name, row.head, (body,)) != row.digest:
                raise DamagedError(f"the entry {name} in {self.path} is not what was written")
            self._checked.add(name)
        return Record(row.head, 0, body, (*self._identity, row.offset))

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
        self._refuse("stored")

    def remove(self, name: str, /) -> None:
        self._refuse("removed")

    def scan(self, prefix: str = "", /) -> Iterator[Item]:
        under = prefix and prefix + "/"
        for name, row in self._open().items():
            if name.startswith(under):
                yield Item(name, row.size + len(row.head), 0, row.head)

    # -- abilities

    def head(self, name: str, /) -> tuple[bytes, int] | None:
        row = self._open().get(name)
        return None if row is None else (row.head, 0)

    def read_many(self, names: Sequence[str], /) -> Mapping[str, Record]:
        found = {}
        for name in names:
            try:
                record = self.read(name)
            except DamagedError:  # the others are none the worse
                continue
            if record is not None:
                found[name] = record
        return found

    def word(self, scope: str, /) -> int:
        return 0

    def bump(self, scope: str, /) -> int:
        self._refuse("cleared")

    def watch(self, scope: str, /) -> Sequence[int] | None:
        return (0,)  # nothing in it ever changes

    def purge(self, scope: str, below_mark: int, limit: int, /) -> int:
        self._refuse("removed")

    # -- the file

    def _refuse(self, what: str) -> NoReturn:
        raise PermissionError(f"{self.path} is only read: nothing is {what} there")

    def _open(self) -> dict[str, Row]:
        if self._rows is None:
            try:
                self._rows = self._load()
            except FileNotFoundError:
                raise PlaceError(f"there is no file {self.path}") from None
            except (*_FOREIGN, OSError) as error:
                if isinstance(error, OSError) and error.errno != EINVAL:  # of a place before the beginning
                    raise
                raise PlaceError(f"{self.path} is no export of memo, or not the whole of it: {error}") from None
        return self._rows

    def _load(self) -> dict[str, Row]:
        with open(self.path, "rb") as file, zipfile.ZipFile(file) as members:
            if set(members.namelist()) != {_MANIFEST, _INDEX, _BODIES}:
                raise ValueError("it holds other things")
            manifest = json.loads(_member(members, _MANIFEST, 1 << 20))
            if manifest["format"] > FORMAT:
                raise PlaceError(
                    f"{self.path} was made by {manifest['made_by']} as a file of format {manifest['format']}; this memo"
                    f" reads up to format {FORMAT}. Upgrade memo-persist"
                )
            index = _member(members, _INDEX, _LARGEST)
            bodies = members.getinfo(_BODIES)
            if bodies.compress_type != zipfile.ZIP_STORED:
                raise ValueError("its bodies are compressed")
            file.seek(bodies.header_offset)
            header = file.read(30)
            if header[:4] != b"PK\x03\x04":
                raise ValueError("its bodies are not where it says")
            start = bodies.header_offset + 30 + int.from_bytes(header[26:28], "little")
            start += int.from_bytes(header[28:30], "little")
            found = os.fstat(file.fileno())
            if start + bodies.file_size > found.st_size:
                raise ValueError("its bodies are cut off")
            if _hash(index).hex() != manifest["index"]:
                raise ValueError("its index is not what was written")
            rows = dict(_rows(index, bodies.file_size))
            self._map = mmap(file.fileno(), 0, access=ACCESS_READ)
        self._manifest, self._start = manifest, start
        self._file = found[:3]
        self._identity = (found.st_dev, found.st_ino, found.st_mtime_ns)
        return rows


class NewArchive:
    """A file of entries while it is made: written aside, and put in its place whole by ``finish``."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.abspath(os.fspath(path))
        _sweep(self.path)
        self._aside = f"{self.path}.{os.urandom(8).hex()}.tmp"
        self._rows: dict[str, Row] = {}
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        self._file = open(os.open(self._aside, flags, 0o600), "w+b")  # noqa: SIM115 (closed by finish and give_up)
        self._zip = zipfile.ZipFile(self._file, "w", allowZip64=True)
        self._bodies: Any = self._zip.open(_fixed(_BODIES), "w", force_zip64=True)
        self._start = self._file.tell()
        self._at = 0

    def read(self, name: str, /) -> Record | None:
        return None

    def head(self, name: str, /) -> tuple[bytes, int] | None:
        row = self._rows.get(name)
        return None if row is None else (row.head, 0)

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
        before = -(self._start + self._at) % _ALIGNED if size >= _ALIGNED else 0
        self._bodies.write(bytes(before))
        body = list(parts)
        for part in body:
            self._bodies.write(part)
        heading = head()
        self._rows[name] = Row(heading, self._at + before, size, _digest(name, heading, body))
        self._at += before + size

    def remove(self, name: str, /) -> None:
        self._rows.pop(name, None)

    def scan(self, prefix: str = "", /) -> Iterator[Item]:
        return iter(())  # it begins empty

    def word(self, scope: str, /) -> int:
        return 0

    def bump(self, scope: str, /) -> int:
        return 0

    def watch(self, scope: str, /) -> Sequence[int] | None:
        return None

    def finish(self, about: Mapping[str, Any]) -> int:
        """Puts the file in its place; its size in bytes."""
        self._bodies.close()
        index = b"".join(
            _ROW.pack(len(name), len(row.head), row.offset, row.size, row.digest) + name.encode() + row.head
            for name, row in self._rows.items()
        )
        manifest = {"format": FORMAT, **about, "index": _hash(index).hex()}
        self._zip.writestr(_fixed(_INDEX), index, zipfile.ZIP_DEFLATED)
        self._zip.writestr(_fixed(_MANIFEST), json.dumps(manifest, indent=1, sort_keys=True) + "\n")
        self._zip.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        size = os.fstat(self._file.fileno()).st_size
        self._file.close()
        os.replace(self._aside, self.path)
        return size

    def give_up(self) -> None:
        """Leaves nothing behind; after ``finish`` it does nothing."""
        if not self._file.closed:
            try:
                self._bodies.close()
                self._zip.close()
            except OSError:  # a full disk, which is why it is given up
                pass
            self._file.close()
            os.unlink(self._aside)


def _sweep(path: str) -> None:
    """What killed exports to the same file left beside it over an hour ago."""
    folder, file = os.path.split(path)
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        middle = name.removeprefix(file + ".").removesuffix(".tmp")
        if len(name) == len(file) + 21 and len(middle) == 16 and age(os.path.join(folder, name)) > STALE:
            unlink(os.path.join(folder, name))


def _fixed(name: str) -> zipfile.ZipInfo:
    """A member that only its owner may read once it is unpacked."""
    made = zipfile.ZipInfo(name)
    made.external_attr = 0o600 << 16
    return made


def _member(members: zipfile.ZipFile, name: str, largest: int) -> bytes:
    if members.getinfo(name).file_size > largest:
        raise ValueError(f"its {name} is too large")
    return members.read(name)


def _rows(index: bytes, end: int) -> Iterator[tuple[str, Row]]:
    at = 0
    while at < len(index):
        if at + _ROW.size > len(index):
            raise ValueError("its index is cut off")
        named, headed, offset, size, digest = _ROW.unpack_from(index, at)
        at += _ROW.size
        name, head = index[at : at + named].decode("ascii"), index[at + named : at + named + headed]
        at += named + headed
        if at > len(index) or offset + size > end or not _is_name(name):
            raise ValueError(f"a row of its index is impossible: {name[:200]!r}")
        yield name, Row(head, offset, size, digest)


def _is_name(name: str) -> bool:
    components = name.split("/")
    return len(components) in (2, 3) and all(
        one and one[0] in _FIRST and _FURTHER.issuperset(one) for one in components
    )


def _digest(name: str, head: bytes, parts: Iterable[Buffer]) -> bytes:
    from blake3 import blake3

    hasher = blake3(len(head).to_bytes(4, "little") + name.encode() + b"\0" + head)
    for part in parts:
        hasher.update(part)
    return hasher.digest(16)


def _hash(data: bytes) -> bytes:
    from blake3 import blake3

    return blake3(data).digest(16)
