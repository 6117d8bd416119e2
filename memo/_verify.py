"""Every entry of a place read and held against its digest, and everything found that is no entry.

No body is decoded, so verifying is safe wherever an entry comes from. Repairing takes away what is certainly worth nothing:
what is not as it was written, and what killed writers left behind over an hour ago. What only can't be judged here (signed
with a key that is not known, of another format) is said, and stays.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from . import _entry, _litter
from ._aside import discard
from ._place import MARKER, read_marker
from ._tuples import NamedTuple
from ._upkeep import Filters, entries
from .errors import DamagedError
from .model import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .protocols import Storage


class Finding(NamedTuple):
    """Something that is not as it should be."""

    kind: str  #: "damaged", "litter", or "unknown": it can't be judged here
    what: str  #: a key, or a path
    why: str
    function: str = ""
    repaired: bool = False


class Verified(NamedTuple):
    """What a look at everything has found."""

    entries: int  #: as they were written
    bytes: int  #: of these
    findings: tuple[Finding, ...]


def verify(
    storage: Storage, folder: str = "", keys: Sequence[bytes] = (), pattern: str = "*", *, repair: bool = False
) -> Verified:
    """``folder``: of the place, if it is one; ``keys``: with which its entries may be signed."""
    found: list[Finding] = []
    if pattern == "*":
        found += litter(storage, folder, repair=repair)
    good = size = 0
    for listed in entries(storage, Filters(functions=pattern)):
        try:
            record = storage.read(listed.key)
            if record is None:  # removed meanwhile
                continue
            judged = _judge(listed.key, record, keys)
        except DamagedError as error:
            judged = "damaged", str(error)
        if judged is None:
            good, size = good + 1, size + listed.size
            continue
        kind, why = judged
        if repair and kind == "damaged":
            storage.remove(listed.key)
        found.append(Finding(kind, listed.key, why, listed.function, repair and kind == "damaged"))
    return Verified(good, size, tuple(found))


def litter(storage: Storage, folder: str = "", *, repair: bool = False) -> Iterator[Finding]:
    """What is no entry: of the storage, as far as it can say, and of the place itself."""
    findings = getattr(storage, "findings", None)
    told = set()
    if findings is not None:
        for kind, what, why in findings(repair):
            told.add(what)
            yield Finding(kind, what, why, "", repair)
    if not folder:
        return
    for path, why in _litter.lying(folder, -1.0):
        if path not in told:
            if repair:
                discard(path)
            yield Finding("litter", path, why, "", repair)
    if not os.path.lexists(os.path.join(folder, MARKER)) and read_marker(folder) is not None:
        yield Finding("damaged", os.path.join(folder, MARKER), "it is gone; CACHEDIR.TAG has what it said")


def _judge(key: str, record: Record, keys: Sequence[bytes]) -> tuple[str, str] | None:
    """What is wrong with an entry: None where it is as it was written."""
    head = record.head
    if not head:  # what a deleted entry leaves behind
        return None
    try:
        _entry.verify(key, record, keys)
    except DamagedError as error:
        known = _entry.is_unsigned(head)
        if known and keys:  # not signed: judged by the digest that everybody can make
            try:
                _entry.verify(key, record)
            except DamagedError as damage:
                return "damaged", str(damage)
        return ("damaged" if (known and not keys) or not _entry.is_head(head) else "unknown"), str(error)
    return None
