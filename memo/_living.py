"""The objects of one kind that are alive, for those who visit all of them: before a fork, after it, at exit.

``weakref.WeakSet`` fails under such a visitor when another thread makes a new object at that moment: before a fork this
would leave locks taken for ever. The decision: a set of plain references, listed in one step of the interpreter.
"""

from __future__ import annotations

from _weakref import ref  # weakref would be loaded for this alone

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Generic, TypeVar

    T = TypeVar("T")
else:  # typing would be loaded for this alone
    T = None

    class Generic:
        def __class_getitem__(cls, kind):
            return cls


class Living(Generic[T]):
    """Holds nobody alive. For objects that compare as themselves."""

    def __init__(self) -> None:
        self._references: set[ref[T]] = set()

    def add(self, one: T) -> None:
        self._references.add(ref(one, self._references.discard))

    def __iter__(self) -> Iterator[T]:
        for reference in list(self._references):
            one = reference()
            if one is not None:
                yield one
