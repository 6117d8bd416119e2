"""How an entry becomes a row of the database, and a row an entry again.

The integer key is the last 8 bytes of the name's last component, a digest of 20, XORed with a constant of what stands
before it. The other 12 bytes of the digest begin the record and are compared, so a clash of keys is a miss, and the two
together give the name back. Prefixes are kept once, in a table of their own. The record is one blob, since each
further column costs a look-up more than a slice of bytes does:

    12 bytes  the beginning of the digest
     1 byte   length of the head, or 255: then 4 bytes length of the head and 8 bytes mark follow (else the mark is 0)
     head, body

A last component that is no digest goes by its own digest, and is kept as text as well.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable

from ..errors import DamagedError
from ..model import Buffer, Record

split = struct.Struct(">12sq").unpack  # of a digest
begin = struct.Struct("12sB").unpack_from  # of a record
fromhex = bytes.fromhex
_long = struct.Struct(">Iq")
_EPOCH = 1_577_836_800  # 2020


#: What the keys of a prefix are XORed with; one number a version of a function.
salts: dict[str, int] = {}


def key_of(name: str) -> tuple[str, int, bytes, str | None]:
    """Prefix, key, the first 12 bytes of the digest, and the last component where it is no digest."""
    prefix, _, last = name.rpartition("/")
    try:
        digest, number = split(fromhex(last))
        return prefix, number ^ _salt(prefix), digest, None
    except (ValueError, struct.error):
        from blake3 import blake3

        digest, number = split(blake3(last.encode()).digest(20))
        return prefix, number ^ _salt(prefix), digest, last


def _salt(prefix: str) -> int:
    salt = salts.get(prefix)
    if salt is None:
        from blake3 import blake3

        salt = salts[prefix] = int.from_bytes(blake3(prefix.encode()).digest(8), "big", signed=True)
    return salt


def name_of(prefix: str, number: int, record: bytes, last: str | None) -> str:
    if last is None:
        last = record[:12].hex() + (number ^ _salt(prefix)).to_bytes(8, "big", signed=True).hex()
    return f"{prefix}/{last}"


def pack(digest: bytes, head: bytes, mark: int, body: Iterable[Buffer]) -> bytes:
    length = len(head)
    about = bytes((length,)) if length < 255 and not mark else b"\xff" + _long.pack(length, mark)
    return b"".join((digest, about, head, *body))


def unpack_long(record: bytes) -> Record:
    """A record with a mark, or a long head."""
    length, mark = _long.unpack_from(record, 13)
    return Record(record[25 : 25 + length], mark, record[25 + length :])


def about(start: bytes) -> tuple[bytes, int, int]:
    """(head, mark, where the body begins) of a record, or of as much of it as there is."""
    try:
        length = start[12]
        if length < 255:
            return start[13 : 13 + length], 0, 13 + length
        length, mark = _long.unpack_from(start, 13)
        return start[25 : 25 + length], mark, 25 + length
    except (IndexError, struct.error):
        raise DamagedError("a row is too short for an entry")


def now() -> int:
    """Hundred thousandths of a second since 2020, six bytes of a row.

    Tells which write came first, and where a scope's words begin: above those of a database that was deleted since.
    """
    return time.time_ns() // 10_000 - _EPOCH * 100_000


def seconds(written: int) -> float:
    return written / 100_000 + _EPOCH
