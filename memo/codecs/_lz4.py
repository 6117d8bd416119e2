"""lz4: the fastest to read, and the least small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from memo.errors import DamagedError, OptionError

from ._framing import decoded, length_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from memo.model import Buffer


def _frame() -> Any:
    from importlib import import_module

    try:
        return import_module("lz4.frame")
    except ImportError:
        raise ImportError('the codec lz4 needs the package lz4: pip install "memo-persist[lz4]"') from None


class Lz4:
    """``level`` is lz4's: 0 is fastest, 16 smallest. What was stored at another level is read all the same.

    Raises ImportError without the package ``lz4``.
    """

    name = "lz4"
    optional = True

    def __init__(self, level: int = 0) -> None:
        _frame()
        if type(level) is not int or not 0 <= level <= 16:
            raise OptionError(f"Lz4(level=...) must be an int from 0 to 16; got {level!r}")
        self.level = level

    def __repr__(self) -> str:
        return f"Lz4(level={self.level})"

    def encode(self, parts: Sequence[Buffer], /) -> list[Buffer]:
        stream = _frame().LZ4FrameCompressor(compression_level=self.level)
        return [length_of(parts), stream.begin(), *filter(None, map(stream.compress, parts)), stream.flush()]

    def decode(self, data: memoryview, /) -> memoryview:
        try:
            return decoded(data, _frame().LZ4FrameDecompressor())
        except RuntimeError as error:
            raise DamagedError(f"a body that lz4 can't read: {error}") from error
