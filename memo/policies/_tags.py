"""A policy of tags: words by which entries of several functions are cleared together, in O(1).

Each tag has a word in the storage, as each function has; clearing a tag moves it. The stamp holds a digest and the word
of each tag, so an entry with another word was cleared. Nothing is listed, and every process sees it at its next call.
"""

from __future__ import annotations

from typing import Any

from memo._tag import ALL, ONE, STAMP, digest, scope_of
from memo.errors import OptionError
from memo.model import Fresh, Raised, Stale

from ._common import lru, misplaced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from memo.model import Call, Head
    from memo.protocols import Words


class Tags:
    """``tags``: texts, or a function of (arguments, result) that gives texts; arguments are a dict by name.

    ``words`` gives the words of the place, which the engine hands in by ``at()``.
    """

    def __init__(
        self,
        tags: Iterable[str] | Callable[[Mapping[str, Any], Any], Iterable[str]],
        words: Callable[[], Words | None] | None = None,
    ) -> None:
        if isinstance(tags, (str, bytes)):
            raise OptionError(f"tags must be a list of texts: write tags=[{tags!r}]")
        self.tags: Any = tags if callable(tags) else _checked(tuple(tags))
        self._words = words
        self._seen: dict[
            str, tuple[Words, Sequence[int], int, int]
        ] = {}  # scope -> (of what, watched, its number, word)

    def __reduce__(self) -> tuple[type[Tags], tuple[Any]]:
        return Tags, (self.tags,)

    def __repr__(self) -> str:
        return f"Tags({getattr(self.tags, '__qualname__', self.tags)})"

    def at(self, words: Callable[[], Words | None]) -> Tags:
        """The same tags in a place; its words are asked for whenever they are needed."""
        return Tags(self.tags, words)

    def begin(self, call: Call, /) -> Any:
        # the words before the computation: what is cleared while it runs must be found cleared
        if callable(self.tags):
            return call, self._word(ALL)
        return [(tag, self._word(scope_of(digest(tag)))) for tag in self.tags]

    def seal(self, token: Any, outcome: Any, /) -> bytes | None:
        if callable(self.tags):
            call, moved = token
            if isinstance(outcome, Raised):
                return None  # without a result nothing says which tags it would have
            tags = _checked(tuple(self.tags(call.arguments, outcome)))
            token = [(tag, self._word(scope_of(digest(tag)))) for tag in dict.fromkeys(tags)]
            if self._word(ALL) != moved:
                return None  # one of these may have been cleared while it ran
        if any(word is None for _, word in token):
            return None
        return STAMP + bytes((len(token),)) + b"".join(ONE.pack(digest(tag), word) for tag, word in token)

    def fresh(self, stamp: bytes, head: Head, call: Call, now: float, /) -> Fresh | Stale:
        kept = stamp[len(STAMP) + 1 :]
        if stamp[: len(STAMP)] != STAMP or len(stamp) <= len(STAMP) or len(kept) != ONE.size * stamp[len(STAMP)]:
            return Stale("stored without tags")
        for tag, word in ONE.iter_unpack(kept):
            if self._word(scope_of(tag)) != word:
                return Stale(f"tag {self._called(tag)} was cleared")
        if not callable(self.tags) and {digest(tag) for tag in self.tags} != {tag for tag, _ in ONE.iter_unpack(kept)}:
            return Stale(f"its tags are not {', '.join(map(repr, self.tags))}")
        return misplaced(head, now) or Fresh(0.0)

    rank = staticmethod(lru)

    def _word(self, scope: str) -> int | None:
        """The word now: from memory while its mirror has not moved. None where there is no place to ask."""
        words = self._words() if self._words is not None else None
        if words is None:
            return None
        known = self._seen.get(scope)
        if known is not None and known[0] is words and known[1][0] == known[2]:
            return known[3]
        watched = words.watch(scope)
        if watched is None:
            return words.word(scope)
        moved = watched[0]  # before the word itself, so that a change in between shows as one
        word = words.word(scope)
        if len(self._seen) > 10_000:
            self._seen.clear()
        self._seen[scope] = words, watched, moved, word
        return word

    def _called(self, tag: bytes) -> str:
        names = () if callable(self.tags) else self.tags
        return next((repr(name) for name in names if digest(name) == tag), "of it")


def _checked(tags: tuple[Any, ...]) -> tuple[str, ...]:
    for tag in tags:
        if not isinstance(tag, str) or not tag:
            raise OptionError(f"tags must be texts that are not empty; got {tag!r}")
    if len(tags) > 100:
        raise OptionError(f"an entry takes at most 100 tags; got {len(tags)}")
    return tags
