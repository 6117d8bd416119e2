"""A storage that is looked into and never changed: a colleague's cache, a release's results, a bucket without the rights.

Whatever would change it raises PermissionError, which the engine says once; results are computed and not kept. Ranks
and locks are not passed on: taking one is a change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NoReturn

from .. import _abilities
from ..model import Buffer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..protocols import Storage


class ReadOnly:
    """``storage`` without write, remove, bump and purge: those raise PermissionError."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.read, self.scan = storage.read, storage.scan
        self.head = _abilities.heads(storage).head
        self.read_many = _abilities.batch(storage).read_many
        words = _abilities.words(storage)
        self.word, self.watch = words.word, words.watch
        if _abilities.has_look(storage):
            self.look = storage.look

    def __reduce__(self) -> tuple[type[ReadOnly], tuple[Storage]]:
        return ReadOnly, (self.storage,)

    def __repr__(self) -> str:
        return f"ReadOnly({self.storage!r})"

    def write(
        self,
        name: str,
        parts: Iterable[Buffer],
        head: Callable[[], bytes],
        /,
        *,
        size: int,
        mark: int,
        suffix: str = "",
    ) -> None:
        self._refuse("stored")

    def remove(self, name: str, /) -> None:
        self._refuse("removed")

    def bump(self, scope: str, /) -> int:
        self._refuse("cleared")

    def purge(self, scope: str, below_mark: int, limit: int, /) -> int:
        self._refuse("removed")

    def down(self, error: Exception, /) -> bool:
        """A refusal is no outage."""
        own = getattr(self.storage, "down", None)
        return not isinstance(error, PermissionError) and (own(error) if own else isinstance(error, OSError))

    def _refuse(self, what: str) -> NoReturn:
        raise PermissionError(f"{self!r} is only read: nothing is {what} there")
