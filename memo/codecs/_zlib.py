"""zlib, because it is always there; zstd is several times faster and as small."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from memo.errors import DamagedError, OptionError

from ._framing import decoded, length_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from memo.model import Buffer


class Zlib:
    """``level`` is zlib's: 1 is fastest, 9 smallest. What was stored at another level is read all the same."""

    name = "zlib"
    optional = True

    def __init__(self, level: int = 6) -> None:
        if type(level) is not int or not 0 <= level <= 9:
            raise OptionError(f"Zlib(level=...) must be an int from 0 to 9; got {level!r}")
        self.level = level

    def __repr__(self) -> str:
        return f"Zlib(level={self.level})"

    def encode(self, parts: Sequence[Buffer], /) -> list[Buffer]:
        stream = zlib.compressobj(self.level)
        return [length_of(parts), *filter(None, map(stream.compress, parts)), stream.flush()]

    def decode(self, data: memoryview, /) -> memoryview:
        try:
            return decoded(data, zlib.decompressobj())
        except zlib.error as error:
            raise DamagedError(f"a body that zlib can't read: {error}") from error
