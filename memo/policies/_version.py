"""A version that the user counts up: the stamp holds the one under which an entry was made."""

from __future__ import annotations

from math import inf
from typing import Any

from memo.errors import OptionError
from memo.model import Fresh, Stale

from ._common import lru, misplaced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from memo.model import Call, Head

_TAG = b"version:"


class Version:
    """Good while the version is the one that it was made under: a str (or an int, which counts as its digits).

    Raises OptionError for anything else, and for more than 200 characters.
    """

    def __init__(self, version: str | int) -> None:
        if not isinstance(version, (str, int)) or isinstance(version, bool) or len(str(version)) > 200:
            raise OptionError(f"version must be a str of at most 200 characters or an int; got {version!r}")
        self.version = str(version)
        self.stamp = _TAG + self.version.encode("utf-8", "surrogatepass")

    def __repr__(self) -> str:
        return f"Version({self.version!r})"

    def begin(self, call: Call, /) -> None:
        return None

    def seal(self, token: None, outcome: Any, /) -> bytes | None:
        return self.stamp

    def fresh(self, stamp: bytes, head: Head, call: Call, now: float, /) -> Fresh | Stale:
        if stamp == self.stamp:
            return misplaced(head, now) or Fresh(inf)
        if not stamp.startswith(_TAG):
            return Stale(f"stored under another policy, not under version {self.version!r}")
        return Stale(f"version {stamp[len(_TAG) :].decode(errors='replace')!r} is not {self.version!r}")

    rank = staticmethod(lru)
