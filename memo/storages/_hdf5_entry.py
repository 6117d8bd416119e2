"""Each entry an HDF5 file that h5py, PyTables and h5dump open: all that the storages of h5py and of PyTables do alike.

A body that is an HDF5 file itself (serializers "hdf5" and "pytables") *is* the entry: its arrays are the datasets of
the file. Any other body is one dataset of bytes, ``/body``. Attributes of the root say which entry it is: ``memo_name``
(function, code version, arguments), ``memo_written`` (UTC), ``memo_mark`` and ``memo_head``; a head above 60,000 bytes
is no attribute, which has room for 64 KB at most.

An attribute more changes some 90 bytes of a body that is an HDF5 file, and a body must come back to the bit. So behind
the end of the HDF5 file, where its readers do not look, stand the head once more, those bytes as they were, and 56 bytes
that say where everything is. Entries are read by that, without either library and its locks; one of them makes each
file, in memory. For the rest this is the storage of files.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Iterable
from typing import Any

from .._libhdf5 import SIGNATURE
from ..errors import DamagedError
from ..model import Buffer, Record
from . import _payload
from ._entry_file import End, EntryFile
from ._parts import join
from .files import Files

SUFFIX = ".h5"
_MAGIC = b"memo\r\nh5"
#: length of the HDF5 file; start and length of the body in it; mark; time of writing in ns; lengths of head and undo
_END = struct.Struct("<QQQQQII8s")
_UNDO = struct.Struct("<QB")  # where in the body, and the byte that was there
_TAIL = 4096  # read at once from the end: nearly every head fits
_LONGEST = 60_000
_ALIGNED = 64  # what lies otherwise is read and not mapped: arrays in it would be slow, or refused by compiled code


class Hdf5Entry(EntryFile):
    def load(self, map_from: int) -> Record:
        status = os.fstat(self._file)
        end = self.end()
        body: Buffer
        if end.size >= max(map_from, 1) and end.start % _ALIGNED == 0:
            body = _payload.map_or_read(self._file, end.start + end.size)[end.start :]
        else:
            body = _payload.read_exactly(self._file, end.size, end.start)
        if end.undo:
            body = memoryview(body if isinstance(body, memoryview) and not body.readonly else bytearray(body))
            try:
                for position, byte in _UNDO.iter_unpack(end.undo):
                    body[position] = byte
            except (struct.error, IndexError):
                raise DamagedError(f"{self.path} is not as it was written")
        return Record(end.head, end.mark, body, _payload.identity(status))

    def _parse(self, tail: bytes, total: int) -> End:
        try:
            image, start, size, mark, written, head, undo, magic = _END.unpack_from(tail, len(tail) - _END.size)
        except struct.error:
            raise DamagedError(f"{self.path} is too short for an entry")
        extent = head + undo + _END.size
        if magic != _MAGIC or total != image + extent or start + size > image:
            raise DamagedError(f"{self.path} is not as it was written")
        if extent > len(tail):
            tail = _payload.read_exactly(self._file, extent, total - extent)
        at = len(tail) - extent
        return End(size, tail[at : at + head], mark, written, "", start, tail[at + head : at + head + undo])


class Hdf5Files(Files):
    """Files of which ``_image(body, attributes, whole)`` makes the HDF5 file: of a body that is one, or around it."""

    _entry = Hdf5Entry
    _forms = (SUFFIX,)

    def _image(self, body: bytes, attributes: dict[str, Any], whole: bool) -> bytes:
        raise NotImplementedError

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
        target = self._path(name) + SUFFIX
        body = join(parts, size)
        packed, written = head(), time.time_ns()
        image, start, undo = self._around(body, _attributes(name, packed, mark, written), suffix)
        end = _END.pack(len(image), start, size, mark, written, len(packed), len(undo), _MAGIC)
        pieces = [image, packed, undo, end]
        with self._aside(litter) as file:
            _payload.reserve(file, sum(map(len, pieces)))
            _payload.write_parts(file, pieces)
        return target

    def _around(self, body: bytes, attributes: dict[str, Any], suffix: str) -> tuple[bytes, int, bytes]:
        """The HDF5 file, where in it the body starts, and what undoes its changes."""
        # from version 2 on there is a checksum near the signature, which HDF5 1.14 leaves wrong in an image
        if suffix == SUFFIX and body.startswith(SIGNATURE) and body[len(SIGNATURE) :][:1] < b"\x02":
            try:
                image = self._image(body, attributes, True)
            except (OSError, ValueError, RuntimeError):  # it only begins like one
                pass
            else:
                return image, 0, _changed(body, image)
        image = self._image(body, attributes, False)
        start = image.find(body[:_ALIGNED])
        while not image.startswith(body, start):
            start = image.index(body[:_ALIGNED], start + 1)
        return image, start, b""


def _attributes(name: str, head: bytes, mark: int, written: int) -> dict[str, Any]:
    import numpy

    day = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(written / 1e9))
    found = {"memo_name": numpy.bytes_(name), "memo_written": numpy.bytes_(day), "memo_mark": numpy.uint64(mark)}
    return found | {"memo_head": numpy.frombuffer(head, "u1")} if 0 < len(head) <= _LONGEST else found


def _changed(body: bytes, image: bytes) -> bytes:
    import numpy

    before, after = (numpy.frombuffer(data, "u1", len(body)) for data in (body, image))
    return b"".join(_UNDO.pack(at, body[at]) for at in numpy.flatnonzero(before != after).tolist())
