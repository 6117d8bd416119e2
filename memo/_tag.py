"""What stands for a tag: in the stamps of entries a digest, in the storage a word under a scope of its own."""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

STAMP = b"tags:"  #: then how many in one byte, then each
ONE = Struct("<16sQ")  #: digest and word
_DECLINED = 0xFFFF
ALL = "tags"  #: the scope of a word that moves when any tag is cleared


def digest(tag: str) -> bytes:
    """What stands for a tag in stamps: 16 bytes."""
    from blake3 import blake3

    return blake3(tag.encode("utf-8", "surrogatepass")).digest(16)


def scope_of(digest: bytes) -> str:
    """Where the storage keeps the tag's word."""
    return f"tag.{digest.hex()}"


def moved(stamp: bytes, here: Callable[[str], int], there: Callable[[str], int]) -> bytes | None:
    """A stamp with the words that its tags have in another place; None where one of them was cleared here.

    ``here`` and ``there`` give the word of a scope. Stamps without tags come back as they are.
    """
    if STAMP not in stamp:
        return stamp
    if stamp.startswith(STAMP):
        kept = stamp[len(STAMP) + 1 :]
        if len(kept) != ONE.size * stamp[len(STAMP)]:
            return stamp
        tags = [
            (digest, word == here(scope_of(digest)), there(scope_of(digest))) for digest, word in ONE.iter_unpack(kept)
        ]
        if not all(good for _, good, _ in tags):
            return None
        return stamp[: len(STAMP) + 1] + b"".join(ONE.pack(digest, word) for digest, _, word in tags)
    return _combined(stamp, here, there) if stamp[:3] in (b"all", b"any") else stamp


def _combined(stamp: bytes, here: Callable[[str], int], there: Callable[[str], int]) -> bytes | None:
    """The stamp of policies made of policies (see policies._combined): each child's behind its length, two bytes."""
    at, parts = 5, [stamp[:5]]
    for _ in range(int.from_bytes(stamp[3:5])):
        length = int.from_bytes(stamp[at : at + 2])
        own = b"" if length == _DECLINED else stamp[at + 2 : at + 2 + length]
        child = moved(own, here, there)
        if child is None:
            if stamp[:3] == b"all":
                return None
            child = bytes(len(own))  # no stamp at all: one of the others may still hold it
        parts += stamp[at : at + 2], child
        at += 2 + len(own)
    made = b"".join(parts)
    return made if at == len(stamp) == len(made) else stamp
