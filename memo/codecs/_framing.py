"""The length before a compressed stream, and decoding that never makes more than that many bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from memo.errors import DamagedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from memo.model import Buffer

_PIECE = 64 * 1024  # of compressed bytes: small enough that no decompressor has to keep and copy a long rest


class Decompressor(Protocol):
    """What zlib, zstd and lz4 decompressors have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: Any, max_length: int, /) -> bytes: ...


def length_of(parts: Sequence[Buffer]) -> bytes:
    return sum(memoryview(part).nbytes for part in parts).to_bytes(8, "little")


def decoded(data: memoryview, stream: Decompressor) -> memoryview:
    """What is in ``data`` behind its length, as memory of its own, so that arrays can lie in it uncopied."""
    length = int.from_bytes(data[:8], "little")
    out = bytearray()
    for at in range(8, len(data), _PIECE):
        if stream.eof:
            break
        out += stream.decompress(data[at : at + _PIECE], length - len(out) + 1)
        if len(out) > length:
            raise DamagedError(f"a compressed body holds more than the {length} bytes that it says")
    if len(out) != length or not stream.eof or stream.unused_data:
        raise DamagedError(f"a compressed body does not hold the {length} bytes that it says")
    return memoryview(out)
