"""One entry as a file: the payload, the head, and 40 bytes that say where they end; and what such files are called."""

from __future__ import annotations

import os
import re
import struct
import time

from .._tuples import NamedTuple
from ..errors import DamagedError
from ..model import Buffer, Record
from . import _payload

MAGIC = b"memo\r\n\x1a1"
#: payload's length, head's length, time of writing in ns, mark, length of the payload's file name (0: it is in here)
_END = struct.Struct("<QIQQI8s")
END_SIZE = _END.size
_TAIL = 4096  # read at once from the end: nearly every head fits

#: Suffixes of formats whose readers stop at the payload's end; tried in this order when an entry is looked for.
ONE_FILE = (".pkl", "")

_COMPONENT = re.compile(r"[a-z0-9][a-z0-9._-]*")
_SUFFIX = re.compile(r"(\.[a-z0-9]{1,16}){0,3}")
_TO_STEM = str.maketrans(".-", "=~")  # neither is in a name, so the first "." or "-" of a file's name ends its stem
_TO_NAME = str.maketrans("=~", ".-")


class End(NamedTuple):
    size: int
    head: bytes
    mark: int
    written: int
    payload: str
    start: int = 0  #: where in the file the body begins
    undo: bytes = b""  #: what to put back into it (HDF5)


def checked(component: str) -> str:
    """ValueError for what is no component of a name: a path is made of it, and it may not lead elsewhere."""
    if _COMPONENT.fullmatch(component) is None:
        raise ValueError(
            f"{component!r} can't be part of a name: those are of lower case letters, digits, '.', '_', '-'"
        )
    return component


def stem_of(last: str) -> str:
    return last if last.islower() and last.isalnum() and last.isascii() else checked(last).translate(_TO_STEM)


def name_of(file: str) -> str:
    return file.partition(".")[0].translate(_TO_NAME)


def is_payload(file: str) -> bool:
    return "-" in file


def payload_of(stem: str, suffix: str) -> str:
    """The file's name for a payload of its own, or "" where it is in one file with the head."""
    if suffix in ONE_FILE:
        return ""
    if _SUFFIX.fullmatch(suffix) is None:
        raise ValueError(f"{suffix!r} is no suffix of a file: expected something like '.json'")
    return f"{stem}-{os.urandom(4).hex()}{suffix}"


def end_of(head: bytes, mark: int, size: int, payload: str) -> list[bytes]:
    name = payload.encode()
    return [head, name, _END.pack(size, len(head), time.time_ns(), mark, len(name), MAGIC)]


def fields_of(tail: Buffer, where: object) -> tuple[int, int, int, int, int]:
    """What the last bytes of an entry say: payload's size, head's size, time of writing in ns, mark, size of a file's name.

    Raises DamagedError where they are not the end of an entry.
    """
    if len(tail) >= END_SIZE:
        *fields, magic = _END.unpack_from(tail, len(tail) - END_SIZE)
        if magic == MAGIC:
            return tuple(fields)
    raise DamagedError(f"{where} is not as it was written, or too short for an entry")


class EntryFile:
    """Open for reading; FileNotFoundError where there is none."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._file = -1
        self._file = _payload.open_file(path)

    def __enter__(self) -> EntryFile:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    __del__ = close

    def end(self) -> End:
        size = os.fstat(self._file).st_size
        start = max(size - _TAIL, 0)
        return self._parse(_payload.read_exactly(self._file, size - start, start), size)

    def written(self) -> int:
        try:
            return self.end().written
        except DamagedError:
            return 0

    def load(self, map_from: int) -> Record | None:
        """The entry; None where it was replaced between opening this file and its payload."""
        status = os.fstat(self._file)
        whole = status.st_size if status.st_size < map_from else 0
        start = 0 if whole else max(status.st_size - _TAIL, 0)
        tail = _payload.read_exactly(self._file, status.st_size - start, start)
        end = self._parse(tail, status.st_size)
        if end.payload:
            return self._load_payload(end, map_from)
        body = tail[: end.size] if whole else _payload.map_or_read(self._file, end.size)
        return Record(end.head, end.mark, body, _payload.identity(status))

    def _load_payload(self, end: End, map_from: int) -> Record | None:
        try:
            file = _payload.open_file(os.path.join(os.path.dirname(self.path), end.payload))
        except FileNotFoundError:
            if os.fstat(self._file).st_nlink:
                raise DamagedError(f"{self.path} has lost its payload {end.payload}")
            return None
        try:
            status = os.fstat(file)
            if status.st_size != end.size:
                raise DamagedError(f"{end.payload} is {status.st_size} bytes, {end.size} were written")
            mapped = end.size >= map_from and end.size
            body = _payload.map_or_read(file, end.size) if mapped else _payload.read_exactly(file, end.size, 0)
            return Record(end.head, end.mark, body, _payload.identity(status))
        finally:
            os.close(file)

    def _parse(self, tail: bytes, total: int) -> End:
        """``tail``: the last bytes of the file, which has ``total``."""
        size, length, written, mark, named = fields_of(tail, self.path)
        extent = length + named + END_SIZE
        if total != (0 if named else size) + extent:
            raise DamagedError(f"{self.path} is not as it was written")
        if extent > len(tail):
            tail = _payload.read_exactly(self._file, extent, total - extent)
        stop = len(tail) - END_SIZE - named
        payload = tail[stop : stop + named].decode("ascii", "replace")
        if named and (os.sep in payload or not is_payload(payload)):
            raise DamagedError(f"{self.path} names a payload that can't be one")
        return End(size, tail[stop - length : stop], mark, written, payload)

    def inode(self) -> tuple[int, int]:
        """Which file it is; numbers are used again, so with the time it was made."""
        status = os.fstat(self._file)
        return status.st_ino, status.st_mtime_ns
