"""A policy that lets exceptions be kept, each kind for a time of its own. It has nothing to say of values.

The stamp names the classes of the exception, so that what the code says now applies to what is stored.
"""

from __future__ import annotations

from math import inf
from typing import Any

from memo._units import seconds, show_seconds
from memo.errors import OptionError
from memo.model import Fresh, Raised, Stale

from ._common import lru, misplaced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from memo.model import Call, Head

_TAG, _LAST = b"raised:", b",builtins.BaseException"


class Exceptions:
    """``kept``: classes of exceptions, or ``{class: ttl}`` with durations (None: as long as values are).

    Of several that fit an exception the most special counts. Raises OptionError for anything but classes of Exception.
    """

    def __init__(self, kept: type[Exception] | Iterable[type[Exception]] | Mapping[type[Exception], Any]) -> None:
        given: Any = (kept,) if isinstance(kept, type) else kept
        kinds: dict[Any, Any] = dict(given) if hasattr(given, "items") else dict.fromkeys(given)
        for kind in kinds:
            if not isinstance(kind, type) or not issubclass(kind, Exception):
                raise OptionError(f"cache_exceptions takes classes of Exception, such as (ValueError,); got {kind!r}")
        self.types = tuple(kinds)
        self.ttl = {kind: inf if ttl is None else seconds(ttl, "cache_exceptions") for kind, ttl in kinds.items()}
        self._named = {_name(kind): ttl for kind, ttl in self.ttl.items()}

    def __repr__(self) -> str:
        kept = (kind.__qualname__ + ("" if ttl == inf else f": {show_seconds(ttl)}") for kind, ttl in self.ttl.items())
        return f"Exceptions({', '.join(kept)})"

    def begin(self, call: Call, /) -> None:
        return None

    def seal(self, token: None, outcome: Any, /) -> bytes | None:
        if not isinstance(outcome, Raised):
            return b""
        if not isinstance(outcome.error, self.types):
            return None
        return _TAG + b",".join(map(_name, type(outcome.error).__mro__[:-1]))

    def fresh(self, stamp: bytes, head: Head, call: Call, now: float, /) -> Fresh | Stale:
        until = inf
        if stamp:
            if not stamp.startswith(_TAG) or stamp.find(_LAST) != len(stamp) - len(_LAST):
                return Stale("stored under another policy")
            names = stamp[len(_TAG) :].split(b",")
            ttl = next((self._named[name] for name in names if name in self._named), None)
            if ttl is None:
                return Stale(f"it raised {names[0].decode()}, which is not kept any more")
            until = head.created + ttl
            if now >= until:
                return Stale(
                    f"expired {show_seconds(now - until)} ago (an exception's ttl, {show_seconds(ttl)})", until
                )
        return misplaced(head, now) or Fresh(until)

    rank = staticmethod(lru)


def _name(kind: type) -> bytes:
    return f"{kind.__module__}.{kind.__qualname__}".encode("utf-8", "backslashreplace")
