"""Reading ahead: with the row that is asked for, some of those that lie behind it.

A program that is run again asks for most of what it stored, and a select of 64 rows takes a tenth of the time a row of
64 selects. The rows of one version of a function lie together in the database, in the order of their digests,
that is by chance: nothing tells which is next, but where the rows read so far end tells how many there are.

Two bounds keep it from costing more than it gains: at most eight rows are read for one that was asked for, and nothing
of a function that has more entries than are worth keeping here. Whoever uses it drops it when a watched word changes.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import error

from ..model import Record
from ._database import Database
from ._rows import LOW, SHORT, about, begin, fromhex, salt, split

PER_TOUCH = 8
CHUNK = 64  #: rows of the first select; each is as large as all before
MOST = 10_000  #: entries; a function that has more is not read ahead
ROW = 2000  #: bytes; larger ones are read when they are asked for

_QUERY = f"SELECT k, record FROM entries WHERE k BETWEEN ? AND ? AND size < {ROW} LIMIT ?"
_new = tuple.__new__


class Ahead:
    """Called with a name, as ``read`` is. Not made for names of another prefix.

    ``read`` reads the one that was not read ahead, or whose head begins with ``stub``: that is for a storage over this one.
    """

    __slots__ = ("_begin", "_database", "_end", "_fetched", "_read", "_rows", "_salt", "_stub", "_touched")

    def __init__(self, read: Callable[[str], Record | None], database: Database, prefix: str, stub: bytes) -> None:
        self._read, self._database, self._salt, self._stub = read, database, salt(prefix), stub
        self._begin = self._salt & ~LOW
        self._end = self._begin | LOW
        self._rows: dict[int, bytes] = {}  # each is given once
        self._touched = self._fetched = 0

    def __call__(self, name: str, /) -> Record | None:
        self._touched += 1
        rows = self._rows
        if rows:
            try:
                digest, number = split(fromhex(name[-40:]))
                record = rows.pop((number & LOW) ^ self._salt)
                found, more, length = begin(record)
                if found == digest and more == number >> 48:
                    if length < 255:
                        length += SHORT
                        head, mark, body = record[SHORT:length], 0, record[length:]
                    else:
                        head, mark, end = about(record)
                        body = record[end:]
                    if not head.startswith(self._stub):
                        return _new(Record, (head, mark, body, None))
            except (KeyError, ValueError, TypeError, error):  # not read yet, or damaged
                pass
        there = self._read(name)
        if there is not None and self._touched * PER_TOUCH >= self._fetched + (self._fetched or CHUNK):
            self._fetch()
        return there

    def _fetch(self) -> None:
        """The next rows; they are as many again as all before."""
        count = self._fetched or CHUNK
        try:
            found = self._database.rows(_QUERY, (self._begin, self._end, count))
        except Exception:  # reading one by one says what is wrong
            found = []
        self._rows.update(found)
        self._fetched += count
        if len(found) == count:
            self._begin = found[-1][0] + 1
            there = self._fetched * (LOW + 1) // ((self._begin & LOW) or 1)
            if there <= MOST and self._begin <= self._end:
                return
        self._touched = -(1 << 62)  # all of them were read, or there are too many: no more
