"""What stands for a tag: in the stamps of entries a digest, in the storage a word under a scope of its own."""

from __future__ import annotations

ALL = "tags"  #: the scope of a word that moves when any tag is cleared


def digest(tag: str) -> bytes:
    """What stands for a tag in stamps: 16 bytes."""
    from blake3 import blake3

    return blake3(tag.encode("utf-8", "surrogatepass")).digest(16)


def scope_of(digest: bytes) -> str:
    """Where the storage keeps the tag's word."""
    return f"tag.{digest.hex()}"
