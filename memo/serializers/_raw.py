"""The payload and nothing else: with the storage "files" the file is byte for byte the result.

Nothing in it tells where it ends; that a body was cut off is what the cache's digest finds.
"""

from __future__ import annotations

from typing import Any

from memo.errors import UnstorableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from memo.model import Buffer


class Text:
    """str as UTF-8, lone surrogates included. ``dump`` raises UnstorableError for anything else."""

    name = "text"
    safe = True
    suffix = ".txt"

    def dump(self, value: Any, /) -> list[Buffer]:
        return [_exactly(str, value, self.name).encode("utf-8", "surrogatepass")]

    def load(self, data: memoryview, /) -> str:
        return str(data, "utf-8", "surrogatepass")


class Bytes:
    """bytes as they are. ``dump`` raises UnstorableError for anything else, ``bytearray`` too."""

    name = "bytes"
    safe = True
    suffix = ".bin"

    def dump(self, value: Any, /) -> list[Buffer]:
        return [_exactly(bytes, value, self.name)]

    def load(self, data: memoryview, /) -> bytes:
        return bytes(data)


def _exactly(kind: type, value: Any, name: str) -> Any:
    if type(value) is kind:
        return value
    came = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    raise UnstorableError(f"serializer={name!r} stores {kind.__name__} only, not {came}; use serializer='pickle'")
