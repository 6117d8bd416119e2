"""Every error and warning of memo, so that one file shows what can reach a caller.

    MemoError                   everything below
    ├── OptionError             an option, a location or a decoration that can't be right (also a TypeError)
    ├── UnkeyableError          an argument without a canonical value (also a TypeError)
    ├── NotCachedError          asked for a stored result only, and there is none (also a KeyError)
    ├── PlaceError              a folder or URL that is not a cache of memo, or one of another kind (also an OSError)
    ├── UnstorableError         a value that this serializer would not give back equal (also a ValueError)
    ├── DamagedError            stored bytes that fail a check (also a ValueError); inside memo always a miss
    └── UnreachableError        a server that does not answer (also a ConnectionError); inside memo always a miss
    MemoWarning                 the cache could not do its work; the call went on without it
    └── CostlyCacheWarning      the hits of a function cost more than running it

Each carries its evidence as attributes and survives pickling, since calls cross processes.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .model import Miss


class MemoError(Exception):
    """Base of all errors that memo raises."""


class OptionError(MemoError, TypeError):
    """Misuse: raised at decoration, when a Cache is made, or on the command line."""


class UnkeyableError(MemoError, TypeError):
    """An argument (or a captured value) has no canonical value, so no key can be made from it.

    Attributes:
        path: where in the value it sits, such as ``config["hooks"][2]``; starts with the parameter.
        kind: the type that can't be keyed, as ``module.QualName``.
        reason: why not, in a few words.
    """

    def __init__(self, path: str, kind: str, reason: str = "it has no value that could be compared") -> None:
        self.path, self.kind, self.reason = path, kind, reason
        super().__init__(path, kind, reason)

    def __str__(self) -> str:
        parameter = self.path
        for stop in ".[":
            parameter = parameter.split(stop, 1)[0]
        return (
            f"{self.path} is a {self.kind}, which can't be part of a cache key: {self.reason}. Ways out: leave it out"
            f" with @persist(ignore=[{parameter!r}]); say what counts with @persist(key={{{parameter!r}: function}}); or"
            f" teach memo the type with @memo.hasher({self.kind.rsplit('.', 1)[-1]}) or a method __memo_fingerprint__."
        )


class NotCachedError(MemoError, KeyError):
    """There is no stored result for this call, and none may be computed. ``miss`` says why."""

    def __init__(self, miss: Miss) -> None:
        self.miss = miss
        super().__init__(miss)

    def __str__(self) -> str:
        return f"no stored result for {self.miss.call}: {self.miss.why}"


class PlaceError(MemoError, OSError):
    """A location that memo did not make, that holds another kind of storage, or that can't be used."""


class UnstorableError(MemoError, ValueError):
    """The serializer refuses a value that it would not give back equal and of the same type."""


class DamagedError(MemoError, ValueError):
    """Stored bytes that are not what was written. Inside memo this is always a miss, never an exception."""


class UnreachableError(MemoError, ConnectionError):
    """A storage that does not answer, or is left alone for a while because it did not.

    Attributes:
        kind: the type of the error that came first, as ``ConnectionRefusedError``.
        cause: what it said.
    """

    def __init__(self, kind: str, cause: str) -> None:
        self.kind, self.cause = kind, cause
        super().__init__(kind, cause)

    def __str__(self) -> str:
        return f"{self.kind}: {self.cause}" if self.cause else self.kind


class MemoWarning(UserWarning):
    """The cache could not do its work; the value was returned all the same. Once per cause."""


class CostlyCacheWarning(MemoWarning):
    """The hits of a function cost more than running it would. Once per function, after some twenty hits that lost."""
