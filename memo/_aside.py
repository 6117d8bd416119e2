"""Files that are out of the way: half-written ones, damaged ones, and what has no other use than to go.

The decision: what is written aside is its writer's for an hour (``STALE``), since nobody can tell a slow writer from one
that was killed; then anybody may take it away. What can't be removed stays, as no result depends on it.
"""

from __future__ import annotations

import os
import time
from math import inf

STALE = 3600.0  #: seconds after which what was written aside is nobody's any more


def age(path: str) -> float:
    """Seconds since the file was last written; -inf where there is none, as others take things away, too."""
    try:
        return time.time() - os.lstat(path).st_mtime
    except FileNotFoundError:
        return -inf


def unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def discard(path: str) -> None:
    """A file, a link, or a folder with all that is in it; what can't be removed stays."""
    try:
        unlink(path)
    except OSError:
        from shutil import rmtree

        rmtree(path, ignore_errors=True)  # follows no links


def set_aside(path: str, target: str) -> None:
    """Renames what is damaged, in place of what was there before it; how long it stays is counted from now."""
    discard(target)
    os.rename(path, target)
    try:
        os.utime(target, follow_symlinks=False)
    except (OSError, NotImplementedError):  # of another user; Windows
        pass
