"""The parts of a body: joined for storages that keep it in one piece, as byte views for those that write files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..model import Buffer


def join(parts: Iterable[Buffer], size: int) -> bytes:
    """The body in one piece; raises ValueError where it is not of the size that was announced."""
    body = b"".join(parts)
    if len(body) != size:
        raise ValueError(f"the parts of this body are {len(body)} bytes, {size} were announced")
    return body


def views(parts: Iterable[Buffer]) -> Iterator[memoryview]:
    """Each part as bytes in place, empty ones left out (they can't be cast)."""
    for part in parts:
        view = memoryview(part)
        if view.nbytes:
            yield view if view.format == "B" and view.ndim == 1 else view.cast("B")
