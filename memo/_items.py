"""A recorded sequence as the body of one entry: written while a generator runs, read one item at a time.

A generator's result is one entry with one body, not an entry a chunk: it is stored, verified, evicted, copied and
cleared as one, and is there whole or not at all. Storages want to know a body's size before they get it, so the frames
are spooled into a nameless file beside the results until the generator ends; small ones stay in memory. A frame is

    kind u8 (0 item, 1 the end: what the generator returned) | length of name u8 | length u64 | serializer's name | bytes

in little-endian, and the head names the serializer ``items``. Each item is serialized when it is made, before any
consumer can change it, and loaded anew for each consumer.
"""

from __future__ import annotations

from struct import Struct

from .errors import DamagedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator
    from typing import Any

    from ._body import Bodies
    from .model import Buffer

NAME = "items"
_FRAME = Struct("<BBQ")
_ITEM, _END = 0, 1
_IN_MEMORY = 1 << 18  #: bytes; more goes to the file


class Tape:
    """The frames of a generator that runs. ``count`` items are on it; with ``ended`` it is whole."""

    def __init__(self, bodies: Bodies, folder: str) -> None:
        from tempfile import SpooledTemporaryFile

        self._bodies = bodies
        self._file = SpooledTemporaryFile(_IN_MEMORY, dir=folder or None)  # noqa: SIM115 (closed by close())
        self.size = self.count = 0
        self.ended = False

    def add(self, item: Any, kind: int = _ITEM) -> None:
        """Raises what the serializer raises for an item that it can't store, and OSError for a full disk."""
        name, parts = self._bodies.dump_item(item)
        frame = _FRAME.pack(kind, len(name), sum(memoryview(part).nbytes for part in parts))
        self._file.seek(self.size)
        self.size += self._file.write(b"".join((frame, name)))
        for part in parts:
            self.size += self._file.write(memoryview(part).cast("B") if memoryview(part).nbytes else b"")
        self.count += kind == _ITEM

    def end(self, returned: Any) -> None:
        self.add(returned, _END)
        self.ended = True

    def read(self, at: int) -> tuple[bool, str, bytes, int]:
        """The frame at a place: (whether it is the end, serializer, bytes, where the next one is)."""
        self._file.seek(at)
        kind, named, length = _FRAME.unpack(self._file.read(_FRAME.size))
        name = self._file.read(named).decode()
        return kind == _END, name, self._file.read(length), at + _FRAME.size + named + length

    def raw(self, at: int, most: int) -> bytes:
        """The bytes of frames from a place on, no more than that many."""
        self._file.seek(at)
        return self._file.read(min(most, self.size - at))

    def parts(self) -> list[Buffer]:
        """The body; for the serializer's place in `Bodies.dump`."""
        if self.size <= _IN_MEMORY:
            self._file.seek(0)
            return [self._file.read()]
        from mmap import ACCESS_READ, mmap

        self._file.flush()
        return [memoryview(mmap(self._file.fileno(), self.size, access=ACCESS_READ))]

    def load(self, name: str, body: bytes) -> Any:
        return self._bodies.load_item(name, memoryview(body))

    def __iter__(self) -> Iterator[Any]:
        """For a policy that wants to see what there is to store."""
        return iter(Replay(memoryview(b"".join(self.parts())), self._bodies.load_item))

    def close(self) -> None:
        self._file.close()


def frame_at(data: bytearray) -> tuple[bool, str, bytes, int] | None:
    """The frame that these bytes begin with, as ``Tape.read`` gives it; None where they are not all of it."""
    if len(data) < _FRAME.size:
        return None
    kind, named, length = _FRAME.unpack_from(data)
    start = _FRAME.size + named
    if len(data) < start + length:
        return None
    return kind == _END, data[_FRAME.size : start].decode(), bytes(data[start : start + length]), start + length


class Replay:
    """The stored items, loaded one by one as they are asked for; can be gone through again and again, in both ways."""

    def __init__(self, body: memoryview, load: Callable[[str, memoryview], Any]) -> None:
        self._body, self._load = body, load
        self.is_small = len(body) <= _IN_MEMORY

    def __iter__(self) -> Generator[Any, None, Any]:
        body, at = self._body, 0
        while True:
            if at + _FRAME.size > len(body):
                raise DamagedError("a recorded sequence without an end")
            kind, named, length = _FRAME.unpack_from(body, at)
            start = at + _FRAME.size + named
            at = start + length
            item = self._load(str(body[start - named : start], "utf-8"), body[start:at])
            if kind == _END:
                return item
            yield item

    async def __aiter__(self) -> AsyncIterator[Any]:
        for item in self:
            yield item
