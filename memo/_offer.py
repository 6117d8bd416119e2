"""What one process records, read by others of the host while it grows: one file a key, there only while somebody follows.

Who finds that another process has the key makes an empty file ``_tapes/<digest of the key>`` in the place and reads it.
The recording process looks for that file at each item; where it is there it appends what it has so far, and all that
follows. So a recording that nobody follows costs one look an item and nothing on the disk. The frames (of ``_items``) go in
pieces, each with its length and a digest over key, mark and piece, signed where the cache signs: nothing is decoded before
it is whole and known to be this recording's. The file is removed by who recorded, and by who takes the key over.
"""

from __future__ import annotations

import os
import time
from struct import Struct

from ._items import frame_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._attempt import Attempt
    from ._items import Tape

_PIECE = Struct("<Q16s")
_MOST = 1 << 20  #: bytes of a piece
_LEFT = 86400.0  #: seconds after which a file is one of a process that was killed
_FLAGS = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


def path_of(attempt: Attempt) -> str:
    """Empty where no other process can follow: behind a URL, in memory, or without locks."""
    from blake3 import blake3

    place = attempt.opened.place
    if not place or "://" in place:
        return ""
    return os.path.join(place, "_tapes", blake3(attempt.call.key.encode()).hexdigest(16))


class _Seal:
    """The digest of each piece, in their order."""

    def __init__(self, attempt: Attempt, keys: tuple[bytes, ...]) -> None:
        self._keys: tuple[Any, ...] = keys or (None,)
        self._about = f"{attempt.call.key}|{attempt.state.mark}|".encode()
        self._number = 0

    def next(self, piece: bytes) -> list[bytes]:
        """With each of the keys; the first one signs."""
        from blake3 import blake3

        about = b"%s%d|" % (self._about, self._number)
        self._number += 1
        return [blake3(about + piece, key=key).digest(16) for key in self._keys]


class Offer:
    """The writing side, for one recording."""

    def __init__(self, attempt: Attempt) -> None:
        self._path, self._file, self._done = path_of(attempt), -1, 0
        self._attempt = attempt

    def add(self, tape: Tape) -> None:
        """All that is on the tape and was not offered yet, if somebody is there. Raises nothing."""
        if not self._path or (self._file < 0 and not os.path.exists(self._path)):
            return
        try:
            if self._file < 0:
                self._begin()
            while piece := tape.raw(self._done, _MOST):
                os.write(self._file, _PIECE.pack(len(piece), self._seal.next(piece)[0]) + piece)
                self._done += len(piece)
        except OSError:  # those who follow wait for the end
            self.close()

    def _begin(self) -> None:
        self._file = os.open(self._path, _FLAGS | os.O_APPEND)
        if os.fstat(self._file).st_size:  # of a recording that was killed: whoever reads it waits for the end
            raise FileExistsError(self._path)
        self._seal = _Seal(self._attempt, self._attempt.runner.cache()._keys)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            remove(self._path)
        self._file, self._path = -1, ""


class Follow:
    """The reading side. Making it asks for the frames."""

    def __init__(self, attempt: Attempt) -> None:
        self._path, self._file, self._at, self._held = path_of(attempt), -1, 0, bytearray()
        if not self._path:
            return
        self._seal = _Seal(attempt, attempt.runner.cache()._keys)
        folder = os.path.dirname(self._path)
        try:
            os.makedirs(folder, 0o700, exist_ok=True)
            for name in os.listdir(folder):
                other = os.path.join(folder, name)
                if os.lstat(other).st_mtime < time.time() - _LEFT:
                    remove(other)
            self._file = os.open(self._path, _FLAGS | os.O_CREAT, 0o600)
        except OSError:  # a place that can only be read: it waits for the end
            pass

    def frames(self) -> list[tuple[bool, str, bytes]]:
        """The next ones, if they are there by now: (whether it is the end, serializer, bytes)."""
        found: list[tuple[bool, str, bytes]] = []
        while not found and self._file >= 0 and (piece := self._piece()) is not None:
            self._held += piece
            while (frame := frame_at(self._held)) is not None:
                found.append(frame[:3])
                del self._held[: frame[3]]
        return found

    def _piece(self) -> bytes | None:
        start = os.pread(self._file, _PIECE.size, self._at)
        if len(start) < _PIECE.size:
            return None
        length, digest = _PIECE.unpack(start)
        piece = os.pread(self._file, length, self._at + _PIECE.size) if length <= _MOST else b""
        if len(piece) < length:
            return None
        from hmac import compare_digest

        if not any(compare_digest(digest, own) for own in self._seal.next(piece)):  # another's, or damaged
            self.close()
            return None
        self._at += _PIECE.size + length
        return piece

    def close(self, over: bool = False) -> None:
        """``over``: nobody writes there any more."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            if over:
                remove(self._path)


def remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
