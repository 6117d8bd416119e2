"""An entry as one value, for stores that keep bytes under a key and know nothing of heads:

    4 bytes length of the head, 8 bytes mark, big-endian; head, body

So a reader never sees half of a write, and the head can be had from the beginning alone.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any

from ..errors import DamagedError
from ..model import Buffer, Record
from ._parts import views

ABOUT = struct.Struct(">IQ")
START = 1024  #: bytes of a value in which its head ends, as a rule
_SMALL = 1 << 16  #: bytes; a slice of less is copied


def value_of(parts: Iterable[Buffer], head: Callable[[], bytes], size: int, mark: int) -> list[memoryview]:
    """The value in pieces, the body in place; raises ValueError where the body is not of the size that was announced."""
    body = list(views(parts))
    heading = head()
    if (found := sum(map(len, body))) != size:
        raise ValueError(f"the parts of this body are {found} bytes, {size} were announced")
    return [memoryview(ABOUT.pack(len(heading), mark) + heading), *body]


def record_of(name: str, value: Any) -> Record:
    """Raises DamagedError for what is no such value."""
    about = head_of(name, value)
    if about is None:
        raise DamagedError(f"the entry {name} is shorter than its head")
    start = ABOUT.size + len(about[0])
    return Record(*about, value[start:] if len(value) < _SMALL else memoryview(value)[start:])


def head_of(name: str, start: Any) -> tuple[bytes, int] | None:
    """(head, mark) of a value, or of as much of it as holds its head; None if that is too little. Raises DamagedError."""
    if type(start) is not bytes or len(start) < ABOUT.size:
        raise DamagedError(f"the entry {name} is not as it was written")
    length, mark = ABOUT.unpack_from(start)
    end = ABOUT.size + length
    return (start[ABOUT.size : end], mark) if len(start) >= end else None
