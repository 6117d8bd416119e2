"""What has to be left in order before a fork, in one hook; and a fork waits while another thread loads what memo needs.

A child has the locks of imports as they were, but not the thread that would let go of them: it would wait for ever for a
module that another thread was just loading (CPython frees only what the forking thread holds). memo loads most of itself
when it is first needed, so a pool made while other threads make their first calls did meet this. The decision: the fork
waits those milliseconds, never longer than ``PATIENCE``; and what such a module wants to be done before a fork is done
for this fork, too, which Python's own list of hooks would not do.
"""

from __future__ import annotations

import os
import sys
from _thread import RLock, get_ident  # threading would be loaded for this alone
from time import monotonic, sleep

from ._tuples import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

PATIENCE = 5.0  # seconds: an import may be waiting for the very thread that forks

_MACHINERY = ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>")


class _Hooks(NamedTuple):
    before: Callable[[], object]
    in_parent: Callable[[], object] | None
    in_child: Callable[[], object] | None


_all: list[_Hooks] = []
_begun: list[_Hooks] = []  # those asked before the fork that goes on: only they are told of its end
_one = RLock()  # one fork at a time


def register(
    before: Callable[[], object],
    after_in_parent: Callable[[], object] | None = None,
    after_in_child: Callable[[], object] | None = None,
) -> None:
    """As `os.register_at_fork`, which will do for hooks that have nothing ``before``."""
    _all.append(_Hooks(before, after_in_parent, after_in_child))


def _before() -> None:
    _one.acquire()
    _wait()
    _begun.extend(reversed(_all))
    try:
        _call([hooks.before for hooks in _begun])
    finally:
        _wait()  # while those waited for this and that, other threads went on


def _wait() -> None:
    end = monotonic() + PATIENCE
    while _importing() and monotonic() < end:
        sleep(0.001)


def _in_parent() -> None:
    begun = _begun[::-1]
    _begun.clear()
    try:
        _call([hooks.in_parent for hooks in begun])
    finally:
        _one.release()  # last: what another fork asks must not come before this one's end was told


def _in_child() -> None:
    global _one
    begun = _begun[::-1]
    _begun.clear()
    _one = RLock()
    _call([hooks.in_child for hooks in begun])


def _call(hooks: list[Callable[[], object] | None]) -> None:
    """One that fails keeps no other from being asked; Python says what it raised."""
    failed = None
    for hook in hooks:
        try:
            if hook is not None:
                hook()
        except Exception as error:
            failed = error
    if failed is not None:
        raise failed


def _importing() -> bool:
    own = get_ident()
    return any(_imports(frame) for thread, frame in sys._current_frames().items() if thread != own)


def _imports(frame: FrameType | None) -> bool:
    """Whether a thread that is in this frame is importing what memo may need in the child.

    That is whatever memo asked for, itself or through Python's library, and all of that library, whoever asked: it loads
    modules late, too, as `inspect` for an `isinstance` of a protocol since Python 3.12. What else functions of the user
    load is not waited for: that may take long, and memo does not need it.
    """
    inside = False
    while frame is not None:
        package = (frame.f_globals.get("__name__") or "").partition(".")[0]
        if frame.f_code.co_filename in _MACHINERY:
            inside = True
            if frame.f_code.co_name == "_find_and_load" and _is_of_library(frame.f_locals.get("name")):
                return True
        elif inside and package == "memo":
            return True
        elif package not in sys.stdlib_module_names:
            inside = False
        frame = frame.f_back
    return False


def _is_of_library(module: object) -> bool:
    return isinstance(module, str) and module.partition(".")[0] in sys.stdlib_module_names


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
