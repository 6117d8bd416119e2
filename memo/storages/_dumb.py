"""dbm.dumb as it is, but for one thing: its index is replaced in one step.

It rewrites the index, a text, at each close. A kill in the middle would leave half of it, and with it all entries lost;
so the new one is written aside and renamed. Data is only ever written where the index does not point yet, or over an
entry that is being replaced, so the rest holds by itself.
"""

from __future__ import annotations

import os
from dbm import dumb
from functools import partial
from typing import Any


def open(path: str, flag: str, mode: int) -> Any:
    """As ``dbm.dumb.open``."""
    _drop_torn_line(path + ".dir")
    shelf: Any = dumb.open(path, flag, mode)  # noqa: SIM115 (closed by who asked for it)
    shelf._commit = partial(_commit, shelf, path + ".dir", mode)
    return shelf


def _commit(shelf: Any, index: str, mode: int) -> None:
    if shelf._index is None or not shelf._modified:
        return
    new = index + ".new"
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), mode)
    with os.fdopen(file, "w", encoding="latin-1") as lines:
        for key, where in shelf._index.items():
            lines.write(f"{key.decode('latin-1')!r}, {where!r}\n")
    os.replace(new, index)
    shelf._modified = False


def _drop_torn_line(index: str) -> None:
    """The last one, of a process that was killed while it wrote it: nobody was told that its entry is stored."""
    try:
        with os.fdopen(os.open(index, os.O_RDONLY), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if not size or os.pread(file.fileno(), 1, size - 1) == b"\n":
                return
            content = file.read()
        whole = content.rfind(b"\n") + 1
        if content[whole : whole + 1] in (b"'", b'"'):  # else it is no line of dbm.dumb's: damage, which is told
            os.truncate(index, whole)
    except OSError:  # there is none, or it can only be read: opening it says so
        return
