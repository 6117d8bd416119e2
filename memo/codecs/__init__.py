"""The socket of codecs: buffers <-> buffers. A codec's name is in the head of each entry that went through it.

Those that only make a body smaller say so by ``optional = True`` and are left out where they gain under 10 %; the head
then does not name them. Those of other packages are found by the entry point group ``memo.codecs`` (an instance, or
something that makes one when called without arguments), which is read only for a name that memo does not know.

Every compressed body is the length of what went in (u64, little-endian) and then the compressor's own stream, so that
``decode`` knows when to stop: a stream that would grow beyond it is damage, not memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from memo.errors import OptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from memo.model import Buffer
    from memo.protocols import Codec

    from ._lz4 import Lz4 as Lz4
    from ._zlib import Zlib as Zlib
    from ._zstd import Zstd as Zstd

#: class -> its module; the name of a codec is its class's in lower case
_HOMES = {"Lz4": "_lz4", "Zlib": "_zlib", "Zstd": "_zstd"}
_CLASSES = {name.lower(): name for name in _HOMES}
_made: dict[str, Codec] = {}

_GAIN = 0.9  #: what is left of a body that was worth the work, at most
_SMALL = 100  #: bytes; less than this is stored as it is
_LARGE = 1 << 20  #: bytes from which a sample is tried first
_PIECES, _PIECE = 16, 8 << 10  #: of the sample, and the bytes of each


def codec(choice: str | Codec, /) -> Codec:
    """The codec of that name at its default level (one instance a process), or the object itself if it is one.

    Raises OptionError for anything else, ImportError where the package that it needs is missing.

    >>> codec("zlib")
    Zlib(level=6)
    """
    if not isinstance(choice, str):
        return _checked(choice)
    if choice not in _made:
        _made[choice] = __getattr__(_CLASSES[choice])() if choice in _CLASSES else _foreign(choice)
    return _made[choice]


def chain(choice: str | Codec | Sequence[str | Codec] | None, /) -> tuple[Codec, ...]:
    """The codecs of ``compress=``: none, one, or several in the order in which they are applied. Raises as `codec`.

    >>> chain(["zlib"])
    (Zlib(level=6),)
    """
    if choice is None:
        return ()
    return tuple(map(codec, choice)) if isinstance(choice, (list, tuple)) else (codec(choice),)  # type: ignore[arg-type]


def encode(codecs: Sequence[Codec], parts: Sequence[Buffer], /) -> tuple[Sequence[Buffer], tuple[str, ...]]:
    """The body through the codecs that are worth it, and their names."""
    names = []
    for each in codecs:
        encoded = _smaller(each, parts) if getattr(each, "optional", False) else each.encode(parts)
        if encoded is not None:
            parts = encoded
            names.append(each.name)
    return parts, tuple(names)


def _smaller(each: Codec, parts: Sequence[Buffer]) -> Sequence[Buffer] | None:
    size = _size(parts)
    if size < _SMALL:
        return None
    if size >= _LARGE:
        sample = _sample(parts, size)
        if _size(each.encode([sample])) > _GAIN * len(sample):
            return None
    encoded = each.encode(parts)
    return encoded if _size(encoded) <= _GAIN * size else None


def _size(parts: Sequence[Buffer]) -> int:
    return sum(memoryview(part).nbytes for part in parts)


def _sample(parts: Sequence[Buffer], size: int) -> bytes:
    """Pieces from all over the body."""
    step, sample, at = size // _PIECES, bytearray(), 0  # at: where the next piece begins within the part
    for part in parts:
        view = memoryview(part).cast("B")
        while at < len(view):
            sample += view[at : at + _PIECE]
            at += step
        at -= len(view)
    return bytes(sample)


def _foreign(name: str) -> Codec:
    from importlib.metadata import entry_points

    for point in entry_points(group="memo.codecs", name=name):
        made = point.load()
        if isinstance(made, type) or not hasattr(made, "encode"):
            made = made()
        if _checked(made).name != name:  # an entry is read back by the name in its head
            raise OptionError(f"{point.value} is registered as codec {name!r}, but its name is {made.name!r}")
        return _checked(made)
    raise OptionError(f"there is no codec {name!r}: expected one of {', '.join(sorted(_CLASSES))}, or an object")


def _checked(choice: Any) -> Codec:
    if isinstance(choice, type):
        raise OptionError(f"a codec must be an instance, not a class: write {choice.__name__}()")
    missing = [verb for verb in ("encode", "decode") if not callable(getattr(choice, verb, None))]
    name = getattr(choice, "name", None)
    if missing or not isinstance(name, str) or not name.isprintable() or "," in name or not 0 < len(name) <= 40:
        raise OptionError(
            f"a codec must be a name ({', '.join(sorted(_CLASSES))}) or an object with encode, decode and a name of 1 to"
            f" 40 printable characters without a comma; got {choice!r}"
        )
    checked: Codec = choice
    return checked


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module("." + _HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
