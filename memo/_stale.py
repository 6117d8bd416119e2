"""Old results served on purpose: at once while a new one is computed beside the call, or because the function raised.

How late a result is counts from the moment when it expired; where a policy does not say when that was, from when it was
computed. A renewal runs in a thread that the end of the program does not wait for: what it stores is stored whole or not.
"""

from __future__ import annotations

import os

from . import events
from ._tuples import NamedTuple
from .model import Event, Hit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._attempt import Attempt

_renewing: set[tuple[str, str]] = set()  # place and key, for which a thread of this process is at it


class Late(NamedTuple):
    """What is served, and the attempt that renews it."""

    hit: Hit
    attempt: Attempt


def may_renew(attempt: Attempt) -> bool:
    """Whether the old result is served at once."""
    window = attempt.runner.options.stale_while_revalidate
    return attempt.opened is not None and attempt.miss.stale is not None and attempt.miss.late < window


def in_background(late: Late, fly: Callable[[Attempt], object]) -> Any:
    """The old result; the new one is computed by a thread, one a key: ``fly`` does that."""
    attempt = late.attempt
    key = attempt.opened.place or str(id(attempt.opened)), attempt.call.key
    if key not in _renewing:
        _renewing.add(key)
        from threading import Thread

        Thread(target=_renew, args=(attempt, key, fly), name="memo-renew", daemon=True).start()
    return attempt.runner.hit(attempt.call, late.hit)


def _renew(attempt: Attempt, key: tuple[str, str], fly: Callable[[Attempt], object]) -> None:
    try:
        fly(attempt)
    except Exception as error:
        told(attempt, error, "could not be renewed")
    finally:
        _renewing.discard(key)


def instead(attempt: Attempt, error: BaseException) -> Hit | None:
    """The old result in place of an exception, where that is wanted; the exception goes to the log."""
    window, miss = attempt.runner.options.stale_if_error, attempt.miss
    if not isinstance(error, Exception) or miss.stale is None or miss.late >= window:
        return None
    told(attempt, error, "served stale")
    return miss.stale


def told(attempt: Attempt, error: BaseException, what: str) -> None:
    why = f"{what}, since it raised {type(error).__name__}: {error}"
    events.emit(Event("error", attempt.runner.name, attempt.call.key, why, 0.0, 0))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renewing.clear)
