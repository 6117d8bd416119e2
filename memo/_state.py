"""One consistent view of a persisted function: what its wrapper reads once a call, swapped whole when anything changes.

Valid while the watched word is the one seen and nothing that was followed has been rebound. So no call ever sees half of
a change, and a hit needs no lock.
"""

from __future__ import annotations

from itertools import count
from time import monotonic

from . import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from ._front import Front
    from .fingerprint._code import Followed

_NEVER: Sequence[int] = (0,)


class State:
    """Where the wrapper may not ask the front (captures that change in place, no watched word) ``seen`` is -1."""

    __slots__ = (
        "__weakref__", "asks", "busy", "captures", "check", "edits", "encode", "followed", "front", "hits", "mark", "mutable", "prefix",
        "seen", "shorten", "table", "trusted_until", "watch", "word",
    )  # fmt: skip

    # what the wrapper reads
    watch: Sequence[int]
    seen: int
    busy: list[object]  #: not empty: some mode or listener is about, go the long way
    check: Callable[[], bool] | None
    front: dict[bytes, Any]
    hits: count[int]
    encode: Callable[[tuple[Any, ...]], bytes]
    shorten: Callable[[bytes], bytes]
    # what run() reads
    asks: bool  #: its words are yet to be asked for, together with the entry: it is for one call alone
    table: Front | None
    word: Sequence[int] | None  #: the watched word; None where the storage has none to watch
    trusted_until: float  #: where words can't be watched: the monotonic time until which what was read of them counts
    edits: int  #: what it was, or where it can't be watched the word itself
    mark: int
    followed: Followed | None
    captures: bytes
    mutable: (
        Callable[[], bytes] | None
    )  #: the fingerprint, now, of captures that can change in place; None: there are none
    prefix: str  #: ``scope/version/``

    def __init__(self, hits: count[int], encode: Callable[[tuple[Any, ...]], bytes]) -> None:
        self.watch, self.seen, self.busy, self.check = _NEVER, -1, settings.ACTIVE, None
        self.front, self.hits = {}, hits
        self.encode, self.shorten, self.asks = encode, shorten, False
        self.table, self.word, self.edits, self.mark, self.trusted_until = None, None, 0, 0, 0.0
        self.followed, self.captures, self.mutable, self.prefix = None, b"", None, ""

    def all_captures(self) -> bytes:
        return self.captures if self.mutable is None else self.captures + self.mutable()

    def holds(self) -> bool:
        """Whether nothing has changed since this view was made."""
        good = monotonic() < self.trusted_until if self.word is None else self.word[0] == self.edits
        return good and (self.check is None or self.check())


def shorten(encoded: bytes) -> bytes:
    """What stands for a long encoding in the front and in the digest of the arguments."""
    from blake3 import blake3

    return b"#" + blake3(encoded).digest()
