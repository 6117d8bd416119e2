"""How an entry becomes a row of the database, and a row an entry again.

The integer key is the end of the name's last component, a digest of 20 bytes, XORed with a constant of what stands before
it: its high 16 bits are that constant's, so that the entries of one version of a function lie together, and the low 48
are the digest's. The other 14 bytes of the digest begin the record and are compared, so a clash of keys is a miss, and
the two together give the name back. Prefixes are kept once, in a table of their own. The record is one blob, since each
further column costs a look-up more than a slice of bytes does:

    14 bytes  the beginning of the digest
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
begin = struct.Struct(">12shB").unpack_from  # of a record: the digest's first 14 bytes, the last two as a number
fromhex = bytes.fromhex
_long = struct.Struct(">Iq")
_EPOCH = 1_577_836_800  # 2020
LOW = (1 << 48) - 1  # the bits of a key that come from the digest
DIGEST = 14  # bytes of the digest in the record
SHORT, LONG = DIGEST + 1, DIGEST + 13  # where the head begins


#: What the keys of a prefix are XORed with; one number a version of a function.
salts: dict[str, int] = {}


def key_of(name: str) -> tuple[str, int, bytes, str | None]:
    """Prefix, key, the first 14 bytes of the digest, and the last component where it is no digest."""
    prefix, _, last = name.rpartition("/")
    text: str | None = None
    try:
        digest = fromhex(last)
        _, number = split(digest)
    except (ValueError, struct.error):
        from blake3 import blake3

        digest, text = blake3(last.encode()).digest(20), last
        _, number = split(digest)
    return prefix, (number & LOW) ^ salt(prefix), digest[:DIGEST], text


def salt(prefix: str) -> int:
    found = salts.get(prefix)
    if found is None:
        from blake3 import blake3

        found = salts[prefix] = int.from_bytes(blake3(prefix.encode()).digest(8), "big", signed=True)
    return found


def name_of(prefix: str, number: int, record: bytes, last: str | None) -> str:
    if last is None:
        last = record[:DIGEST].hex() + ((number ^ salt(prefix)) & LOW).to_bytes(6, "big").hex()
    return f"{prefix}/{last}"


def pack(digest: bytes, head: bytes, mark: int, body: Iterable[Buffer]) -> bytes:
    length = len(head)
    about = bytes((length,)) if length < 255 and not mark else b"\xff" + _long.pack(length, mark)
    return b"".join((digest, about, head, *body))


def unpack(record: bytes) -> Record:
    """Raises DamagedError for what is too short for an entry."""
    head, mark, end = about(record)
    return Record(head, mark, record[end:])


def about(start: bytes) -> tuple[bytes, int, int]:
    """(head, mark, where the body begins) of a record, or of as much of it as there is."""
    try:
        length = start[DIGEST]
        if length < 255:
            return start[SHORT : SHORT + length], 0, SHORT + length
        length, mark = _long.unpack_from(start, SHORT)
        return start[LONG : LONG + length], mark, LONG + length
    except (IndexError, struct.error):
        raise DamagedError("a row is too short for an entry")


def now() -> int:
    """Hundred thousandths of a second since 2020, six bytes of a row.

    Tells which write came first, and where a scope's words begin: above those of a database that was deleted since.
    """
    return time.time_ns() // 10_000 - _EPOCH * 100_000


def seconds(written: int) -> float:
    return written / 100_000 + _EPOCH
