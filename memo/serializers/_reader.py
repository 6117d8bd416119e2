"""A file over a buffer, without the copy of it that BytesIO would make."""

from __future__ import annotations

import io
from typing import Any


class _Raw(io.RawIOBase):
    def __init__(self, data: memoryview) -> None:
        self.data, self.at = data, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self.at = max(0, offset + (0, self.at, len(self.data))[whence])
        return self.at

    def readinto(self, into: Any, /) -> int:
        piece = self.data[self.at : self.at + len(into)]
        into[: len(piece)] = piece
        self.at += len(piece)
        return len(piece)


def reader(data: memoryview) -> io.BufferedReader:
    return io.BufferedReader(_Raw(data))
