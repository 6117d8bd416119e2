"""A request to clear each function's results once, agreed upon by all threads and processes of a run.

A pool of workers would otherwise clear once each, and throw away what the others have computed by then. The decision: a
folder of empty files, one a function; who holds the lock of an empty one clears, and then writes into it.
"""

from __future__ import annotations

import os
from _thread import RLock  # threading would be loaded for this alone
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class Request:
    """One request to clear, by a flag or by MEMO_CLEAR, and for which functions this process knows it to be done."""

    def __init__(self, source: str, functions: str, tokens: str | None) -> None:
        self.source, self.functions, self.tokens = source, functions, tokens
        self.done: set[str] = set()

    def leave(self) -> None:
        """Take off the folder of tokens: this process ends in a way in which nothing is done at exit."""
        if self.tokens is not None:
            import shutil

            shutil.rmtree(self.tokens, ignore_errors=True)
            self.tokens = None

    @contextmanager
    def first(self, function: str) -> Iterator[bool]:
        """Whether this process is the first of those that work together; the others wait until the block is left."""
        if self.tokens is None:
            yield True  # without a folder for tokens each process is on its own
            return
        try:
            import fcntl

            from blake3 import blake3

            name = blake3(function.encode("utf-8", "surrogatepass")).hexdigest(16)
            token = os.open(os.path.join(self.tokens, name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except (ImportError, OSError):
            yield os.path.isdir(self.tokens)  # if it is gone, the run that asked for it has ended
            return
        try:
            fcntl.flock(token, fcntl.LOCK_EX)
            todo = os.fstat(token).st_size == 0
            yield todo
            if todo:
                os.write(token, b"cleared")
        finally:
            fcntl.flock(token, fcntl.LOCK_UN)  # closing is not enough where a forked child has the descriptor too
            os.close(token)


def take(requests: Iterable[Request], function: str, clear: Callable[[], object] | None) -> bool:
    """Whether the function was still to be cleared for any of the requests; ``clear`` has been called if so."""
    with _lock:
        taken = False
        for request in requests:
            if function in request.done:
                continue
            with request.first(function) as todo:
                if todo and clear is not None and not taken:
                    clear()
                taken = taken or todo
            request.done.add(function)
        return taken


def new_tokens() -> str | None:
    """A folder with one file for each function cleared, by which worker processes agree; removed at exit."""
    import atexit
    import shutil
    import tempfile

    try:
        folder = tempfile.mkdtemp(prefix="memo-")
    except OSError:
        return None
    owner = os.getpid()
    atexit.register(lambda: shutil.rmtree(folder, ignore_errors=True) if os.getpid() == owner else None)
    return folder


def _fresh_lock() -> None:
    """In a forked child: a thread that held the lock is not there to let go."""
    global _lock
    _lock = RLock()


_lock = RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fresh_lock)
