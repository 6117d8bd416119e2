"""zstd: about as small as zlib at several times its speed. Part of Python from 3.14 on, ``backports.zstd`` before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from memo.errors import DamagedError, OptionError

from ._framing import decoded, length_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from memo.model import Buffer


def _zstd() -> Any:
    from importlib import import_module

    for name in ("compression.zstd", "backports.zstd"):
        try:
            return import_module(name)
        except ImportError:
            pass
    raise ImportError('the codec zstd needs Python 3.14 or backports.zstd: pip install "memo-persist[zstd]"')


class Zstd:
    """``level`` is zstd's, 1 to 22, or below 0 for speed. What was stored at another level is read all the same.

    Raises ImportError where neither Python itself nor ``backports.zstd`` has it.
    """

    name = "zstd"
    optional = True

    def __init__(self, level: int = 3) -> None:
        lowest, highest = _zstd().CompressionParameter.compression_level.bounds()
        if type(level) is not int or not lowest <= level <= highest:
            raise OptionError(f"Zstd(level=...) must be an int from {lowest} to {highest}; got {level!r}")
        self.level = level

    def __repr__(self) -> str:
        return f"Zstd(level={self.level})"

    def encode(self, parts: Sequence[Buffer], /) -> list[Buffer]:
        stream = _zstd().ZstdCompressor(level=self.level)
        return [length_of(parts), *filter(None, map(stream.compress, parts)), stream.flush()]

    def decode(self, data: memoryview, /) -> memoryview:
        zstd = _zstd()
        try:
            return decoded(data, zstd.ZstdDecompressor())
        except zstd.ZstdError as error:
            raise DamagedError(f"a body that zstd can't read: {error}") from error
