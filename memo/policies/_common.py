"""What is a policy, what every policy asks first, and the rank that they share."""

from __future__ import annotations

from memo._units import show_seconds
from memo.model import Stale

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeGuard

    from memo.model import Head
    from memo.protocols import Policy

_VERBS = ("begin", "seal", "fresh", "rank")
SKEW = 60.0  # seconds by which the clocks of two machines may differ
_HOUR = 3600.0


def is_policy(given: Any) -> TypeGuard[Policy]:
    """Asked by the names of the verbs, as `_abilities` does: every program that persists asks it before its first result."""
    return not isinstance(given, type) and all(callable(getattr(given, verb, None)) for verb in _VERBS)


def misplaced(head: Head, now: float) -> Stale | None:
    """Stale for an entry from more than 60 s in the future: a clock was wrong, so its age says nothing."""
    if head.created <= now + SKEW:
        return None
    return Stale(f"made {show_seconds(head.created - now)} in the future: a clock was or is wrong")


def lru(head: Head, uses: int, /) -> float:
    """The least recently made entry first; each use counts as if it had been made an hour later."""
    return head.created + _HOUR * uses
