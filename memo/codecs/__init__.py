"""The socket of codecs: buffers <-> buffers. A codec's name is in the head of each entry that went through it.

Every compressed body is the length of what went in (u64, little-endian) and then the compressor's own stream, so that
``decode`` knows when to stop: a stream that would grow beyond it is damage, not memory.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from memo.errors import OptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from memo.protocols import Codec

    from ._lz4 import Lz4 as Lz4
    from ._zlib import Zlib as Zlib
    from ._zstd import Zstd as Zstd

#: class -> its module; the name of a codec is its class's in lower case
_HOMES = {"Lz4": "_lz4", "Zlib": "_zlib", "Zstd": "_zstd"}
_CLASSES = {name.lower(): name for name in _HOMES}
_made: dict[str, Codec] = {}


def codec(choice: str | Codec, /) -> Codec:
    """The codec of that name at its default level (one instance a process), or the object itself if it is one.

    Raises OptionError for anything else, ImportError where the package that it needs is missing.

    >>> codec("zlib")
    Zlib(level=6)
    """
    if isinstance(choice, str):
        if choice not in _made:
            if choice not in _CLASSES:
                known = ", ".join(sorted(_CLASSES))
                raise OptionError(f"there is no codec {choice!r}: expected one of {known}, or an object")
            _made[choice] = __getattr__(_CLASSES[choice])()
        return _made[choice]
    if isinstance(choice, type):
        raise OptionError(f"a codec must be an instance, not a class: write {choice.__name__}()")
    missing = [verb for verb in ("encode", "decode") if not callable(getattr(choice, verb, None))]
    name = getattr(choice, "name", None)
    if missing or not isinstance(name, str) or not name.isprintable() or "," in name or not 0 < len(name) <= 40:
        raise OptionError(
            f"a codec must be a name ({', '.join(sorted(_CLASSES))}) or an object with encode, decode and a name of 1 to"
            f" 40 printable characters without a comma; got {choice!r}"
        )
    return choice


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module("." + _HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
