"""blake3 over buffers: the one hash of memo, 20 bytes wherever a digest is part of a key.

Large buffers are hashed by several threads. Their number is always given: with ``blake3.AUTO`` the library uses one
process-wide pool, whose threads do not exist in a forked child, which then waits for them for ever.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

LENGTH = 20  #: bytes of a digest: 160 bits
THREADED = 8 << 20  #: bytes from which starting threads pays

_blake3: Callable[..., Any] | None = None


def _load() -> Callable[..., Any]:
    global _blake3
    from blake3 import blake3

    _blake3 = blake3
    return blake3


def threads() -> int:
    import os

    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(count, 16)


def digest(data: Any) -> bytes:
    """The digest of one contiguous buffer of bytes, which is not copied."""
    hashed = _blake3 or _load()
    if len(data) < THREADED:
        found: bytes = hashed(data).digest(LENGTH)
    else:
        found = hashed(data, max_threads=threads()).digest(LENGTH)
    return found


def digest_parts(parts: Iterable[Any]) -> bytes:
    """The digest of several buffers one after the other: that of their concatenation."""
    hasher = (_blake3 or _load())()
    for part in parts:
        hasher.update(part)
    found: bytes = hasher.digest(LENGTH)
    return found


def digest_file(path: str) -> bytes:
    """The digest of a file's content. Raises OSError for whatever is no regular file: reading might use it up."""
    import os
    import stat

    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(f"not a regular file: {path}")
    hasher = (_blake3 or _load())(max_threads=threads())
    hasher.update_mmap(path)
    found: bytes = hasher.digest(LENGTH)
    return found
