"""A policy that looks at what a result was made from, besides arguments and code: files, the environment, packages ...

What each dependency is lies outside (``memo.File``, ``memo.Env``, ...): here it is anything with ``state() -> bytes``. It
is looked at before the computation and after it: what changed meanwhile is not stored. The stamp has eight bytes each,
so that a miss can say which one changed.
"""

from __future__ import annotations

from typing import Any, Protocol

from memo.model import Fresh, Stale

from ._common import lru, misplaced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from memo.model import Call, Head

_TAG = b"dep:"
_SIZE = 8


class Dependency(Protocol):
    """``state()`` is the same while nothing has changed, in every process; ``str()`` is what a miss calls it."""

    def state(self) -> bytes: ...


class Depends:
    """Good while each of ``on`` is in the state in which it was when the result was computed. Asked at every call."""

    def __init__(self, *on: Dependency) -> None:
        self.on = on

    def __repr__(self) -> str:
        return f"Depends({', '.join(map(repr, self.on))})"

    def begin(self, call: Call, /) -> bytes:
        return self._states()

    def seal(self, token: bytes, outcome: Any, /) -> bytes | None:
        return _TAG + token if self._states() == token else None

    def fresh(self, stamp: bytes, head: Head, call: Call, now: float, /) -> Fresh | Stale:
        if stamp[:4] != _TAG or len(stamp) != len(_TAG) + _SIZE * len(self.on):
            return Stale("stored with other dependencies")
        for number, one in enumerate(self.on):
            at = len(_TAG) + _SIZE * number
            if _digest(one) != stamp[at : at + _SIZE]:
                return Stale(f"{one} changed")
        return misplaced(head, now) or Fresh(0.0)

    rank = staticmethod(lru)

    def _states(self) -> bytes:
        return b"".join(map(_digest, self.on))


def _digest(dependency: Dependency) -> bytes:
    from blake3 import blake3

    return blake3(dependency.state()).digest(_SIZE)
