"""What has no value, and why: said in a message instead of found out deep inside of it.

Types that are not listed and can't be taken apart are refused as well, with what Python says of them; iterators are
known by having ``__next__``.
"""

from __future__ import annotations

from ._objects import refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._node import Handler


def _because(reason: str, *names: str) -> dict[str, Handler]:
    return dict.fromkeys(names, refuse(reason))


REFUSED: dict[str, Handler] = {
    **_because(
        "it is running code, which can't be looked at without running it",
        "builtins.generator",
        "builtins.async_generator",
        "builtins.coroutine",
        "builtins.frame",
        "builtins.traceback",
    ),
    **_because("an open file has a position and an outside, and no value", "_io._IOBase", "mmap.mmap"),
    **_because(
        "it coordinates threads, tasks or processes, and has no value",
        "_thread.lock",
        "_thread.RLock",
        "threading._RLock",
        "threading.Condition",
        "threading.Event",
        "threading.Semaphore",
        "threading.Barrier",
        "threading.Thread",
        "queue.Queue",
        "_queue.SimpleQueue",
        "asyncio.mixins._LoopBoundMixin",
        "_asyncio.Future",
        "concurrent.futures._base.Future",
        "concurrent.futures._base.Executor",
        "multiprocessing.synchronize.SemLock",
        "multiprocessing.process.BaseProcess",
        "subprocess.Popen",
    ),
    **_because(
        "it is a connection to something outside of the program",
        "_socket.socket",
        "sqlite3.Connection",
        "sqlite3.Cursor",
        "multiprocessing.connection._ConnectionBase",
    ),
    **_because(
        "what it refers to may be gone at any time",
        "weakref.ReferenceType",
        "weakref.WeakValueDictionary",
        "weakref.WeakKeyDictionary",
        "_weakrefset.WeakSet",
    ),
}
