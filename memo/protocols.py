"""The verbs: what a storage, a serializer, a codec and a policy must be able to do, and nothing more.

Each is small enough to be written in an evening. Nothing is inherited: whatever has the methods fits, and plugs are
handed over as instances. The six optional abilities are found by the names of their verbs; ``_abilities`` has a
fall-back over the four verbs for each, so that a storage with nothing but the verbs is complete.
"""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractContextManager
from typing import Any, Concatenate, NamedTuple, ParamSpec, Protocol, Self, TypeVar, overload, runtime_checkable

from .model import Buffer, Call, Fresh, Head, Item, Record, Stale


@runtime_checkable
class Storage(Protocol):
    """Named entries. A storage knows no time, types, functions or policy: four verbs.

    Names are 2 or 3 components joined by "/", each ``[a-z0-9][a-z0-9._-]*`` (lower case only: some disks fold case).
    Any method may raise whatever its engine raises: memo turns it into a miss and one warning.
    """

    def read(self, name: str, /) -> Record | None:
        """The entry in one trip, or None when there is none."""
        ...

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
        """Replace the entry, all or nothing.

        ``parts`` are the body, consumed once and in order, ``size`` bytes together; then ``head()`` is called (so that
        digests are made on the way), then it commits. ``suffix`` (".json") is for storages whose files people open.
        A reader sees the old entry or the new one, never a mixture; if anything raises, the old one stays.
        """
        ...

    def remove(self, name: str, /) -> None:
        """Idempotent."""
        ...

    def scan(self, prefix: str = "", /) -> Iterator[Item]:
        """Every entry whose name is ``prefix`` followed by further components; "" is everything. In no order.

        Entries written or removed meanwhile may or may not be seen; it never raises because of them.
        """
        ...


@runtime_checkable
class Heads(Protocol):
    """The head without fetching the body: for freshness, listing, validation."""

    def head(self, name: str, /) -> tuple[bytes, int] | None: ...


@runtime_checkable
class Batch(Protocol):
    """Many entries in one trip; absent names are left out."""

    def read_many(self, names: Sequence[str], /) -> Mapping[str, Record]: ...


@runtime_checkable
class Words(Protocol):
    """One integer a scope, kept in the storage; two bumps never leave the same word behind.

    A scope is one component (``[a-z0-9][a-z0-9._-]*``). ``watch`` is a sequence whose item 0 is another one after each
    bump of that scope, by whatever process, and may be another one without a bump; None where looking costs a trip.
    """

    def word(self, scope: str, /) -> int: ...
    def bump(self, scope: str, /) -> int: ...
    def watch(self, scope: str, /) -> Sequence[int] | None: ...


@runtime_checkable
class Look(Words, Protocol):
    """Words of a storage that is never watched, where each verb is a trip: an entry and the words it depends on in one.

    The words are those of the same moment as the entry, or of an earlier one. ``whole``: False for an empty body.
    """

    def look(self, name: str, scopes: Sequence[str], whole: bool, /) -> tuple[Record | None, Sequence[int]]: ...


@runtime_checkable
class Ranks(Protocol):
    """Eviction: a policy turns an entry into one sortable number, the engine removes the lowest.

    ``scope`` is the first component of names, or "" for all. Entries never ranked come first, oldest write first.
    """

    def rank(self, ranks: Mapping[str, float], /) -> None: ...
    def lowest(self, scope: str, n: int, /) -> list[Item]: ...
    def totals(self, scope: str, /) -> tuple[int, int]:
        """(entries, bytes)."""
        ...


@runtime_checkable
class Locks(Protocol):
    """Flights beyond one host. Yields True if the lock was had within ``timeout`` seconds (0: one try), False if not.

    The context may be left by another thread than the one that entered it.
    """

    def lock(self, name: str, timeout: float, /) -> AbstractContextManager[bool]: ...


@runtime_checkable
class Purge(Protocol):
    """Removes at most ``limit`` entries under ``scope`` with a mark below ``below_mark``; how many it removed."""

    def purge(self, scope: str, below_mark: int, limit: int, /) -> int: ...


@runtime_checkable
class Serializer(Protocol):
    """value <-> buffers. ``name`` is written into each head; ``suffix`` (".pkl") may be given for storages of files."""

    @property
    def name(self) -> str: ...
    def dump(self, value: Any, /) -> Sequence[Buffer]:
        """The value as buffers, together one stream. Raises UnstorableError for what would not come back equal."""
        ...

    def load(self, data: memoryview, /) -> Any:
        """The value from that stream. ``data`` is writable where it is memory of its own (mapped copy-on-write)."""
        ...


@runtime_checkable
class Codec(Protocol):
    """buffers <-> buffers: compress, sign. ``name`` is written into each head."""

    @property
    def name(self) -> str: ...
    def encode(self, parts: Sequence[Buffer], /) -> Sequence[Buffer]: ...
    def decode(self, data: memoryview, /) -> memoryview: ...


@runtime_checkable
class Policy(Protocol):
    """What to remember of a call, whether an entry is still good, which entries go first. Time is handed in, in seconds."""

    def begin(self, call: Call, /) -> Any:
        """Before computing: a token that seal() gets."""
        ...

    def seal(self, token: Any, outcome: Any, /) -> bytes | None:
        """After computing: the stamp kept in the head, or None for "do not store". An exception may be the outcome."""
        ...

    def fresh(self, stamp: bytes, head: Head, call: Call, now: float, /) -> Fresh | Stale: ...
    def rank(self, head: Head, uses: int, /) -> float:
        """Lowest goes first."""
        ...


TYPE_CHECKING = False
if TYPE_CHECKING:
    from concurrent.futures import Executor
    from typing import TypeAlias

    from ._map import Done
    from ._plan import Plan
    from ._reference import Reference

    Progress: TypeAlias = bool | Callable[[int, int], object]

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R", covariant=True)
S = TypeVar("S")


class CacheInfo(NamedTuple):
    """What ``f.cache_info()`` tells: the first four as ``functools.lru_cache`` does."""

    hits: int  #: of this process
    misses: int  #: of this process
    maxsize: int | None  #: entries allowed; None: no limit
    currsize: int  #: entries stored for this function, by whatever process
    bytes: int  #: what they take
    seconds_saved: float  #: what the hits of this process would have taken to compute
    key_seconds: float = 0.0  #: what keys took in this process, of arguments that are not plain
    load_seconds: float = 0.0  #: what hits took in this process that were not served from memory
    evicted: int = 0  #: entries of it that this process took out to make room


class Persisted(Protocol[P, R]):  # type: ignore[misc]
    """A persisted function, for type checkers: the function itself, with handles on it.

    Every handle that takes arguments takes those of the function. On a method they are bound like the method itself.
    """

    @property
    def __name__(self) -> str: ...
    @property
    def __wrapped__(self) -> Callable[P, R]: ...
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def __get__(self, instance: None, owner: type, /) -> Self: ...
    @overload
    def __get__(
        self: Persisted[Concatenate[Any, Q], S], instance: object, owner: type | None = None, /
    ) -> Persisted[Q, S]: ...

    def cache_info(self) -> CacheInfo: ...
    def cache_clear(self) -> None: ...
    def cache_parameters(self) -> dict[str, Any]: ...
    def cache_key(self, *args: P.args, **kwargs: P.kwargs) -> str: ...
    def is_cached(self, *args: P.args, **kwargs: P.kwargs) -> bool: ...
    def get(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    def get_or(self, default: S, /, *args: P.args, **kwargs: P.kwargs) -> R | S: ...
    def set(self, value: Any, /, *args: P.args, **kwargs: P.kwargs) -> None: ...
    def delete(self, *args: P.args, **kwargs: P.kwargs) -> bool: ...
    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    def entries(self) -> list[Entry]: ...
    def why(self, *args: P.args, **kwargs: P.kwargs) -> Any: ...
    def call_and_shelve(self, *args: P.args, **kwargs: P.kwargs) -> Reference: ...
    def plan(self, calls: Iterable[Iterable[Any]], /) -> Plan: ...
    def map(
        self,
        inputs: Iterable[Any],
        executor: Executor | None = None,
        progress: Progress = False,
        chunk: int | None = None,
    ) -> list[R]: ...
    def starmap(
        self,
        inputs: Iterable[Iterable[Any]],
        executor: Executor | None = None,
        progress: Progress = False,
        chunk: int | None = None,
    ) -> list[R]: ...
    def as_completed(
        self,
        inputs: Iterable[Any],
        executor: Executor | None = None,
        progress: Progress = False,
        chunk: int | None = None,
    ) -> Iterator[Done]: ...


class AsyncHandles(Protocol[P, R]):
    """The handles of ``async def`` functions: coroutines, since each may have to read or write."""

    @property
    def __name__(self) -> str: ...
    async def cache_info(self) -> CacheInfo: ...
    async def cache_clear(self) -> None: ...
    async def cache_parameters(self) -> dict[str, Any]: ...
    async def cache_key(self, *args: P.args, **kwargs: P.kwargs) -> str: ...
    async def is_cached(self, *args: P.args, **kwargs: P.kwargs) -> bool: ...
    async def get(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    async def get_or(self, default: S, /, *args: P.args, **kwargs: P.kwargs) -> R | S: ...
    async def set(self, value: Any, /, *args: P.args, **kwargs: P.kwargs) -> None: ...
    async def delete(self, *args: P.args, **kwargs: P.kwargs) -> bool: ...
    async def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    async def entries(self) -> list[Entry]: ...
    async def why(self, *args: P.args, **kwargs: P.kwargs) -> Any: ...


class AsyncPersisted(AsyncHandles[P, R], Protocol[P, R]):  # type: ignore[misc]
    """A persisted ``async def`` function: what it gives is to be awaited, as before."""

    @property
    def __wrapped__(self) -> Callable[P, Coroutine[Any, Any, R]]: ...
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]: ...
    @overload
    def __get__(self, instance: None, owner: type, /) -> Self: ...
    @overload
    def __get__(
        self: AsyncPersisted[Concatenate[Any, Q], S], instance: object, owner: type | None = None, /
    ) -> AsyncPersisted[Q, S]: ...
    async def call_and_shelve(self, *args: P.args, **kwargs: P.kwargs) -> Reference: ...
    async def plan(self, calls: Iterable[Iterable[Any]], /) -> Plan: ...
    async def map(self, inputs: Iterable[Any], progress: Progress = False, chunk: int = 100) -> list[R]: ...
    async def starmap(
        self, inputs: Iterable[Iterable[Any]], progress: Progress = False, chunk: int = 100
    ) -> list[R]: ...


class AsyncPersistedItems(AsyncHandles[P, R], Protocol[P, R]):
    """A persisted async generator function; R is what a call gives: an async iterator."""

    @property
    def __wrapped__(self) -> Callable[P, R]: ...
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def __get__(self, instance: None, owner: type, /) -> Self: ...
    @overload
    def __get__(
        self: AsyncPersistedItems[Concatenate[Any, Q], S], instance: object, owner: type | None = None, /
    ) -> AsyncPersistedItems[Q, S]: ...
    async def call_and_shelve(self, *args: P.args, **kwargs: P.kwargs) -> Reference: ...


class Decorator(Protocol):
    """``@persist(...)``: whatever it decorates keeps its signature and kind."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, S]], /) -> AsyncPersisted[P, S]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, function: Callable[P, AsyncGenerator[S, Any]], /
    ) -> AsyncPersistedItems[P, AsyncGenerator[S, Any]]: ...
    @overload
    def __call__(self, function: Callable[P, AsyncIterator[S]], /) -> AsyncPersistedItems[P, AsyncIterator[S]]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, function: Callable[P, S], /) -> Persisted[P, S]: ...


class CachePersist(Protocol):
    """``@cache.persist`` and ``@cache.persist(...)``."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, S]], /, **options: Any) -> AsyncPersisted[P, S]: ...
    @overload
    def __call__(
        self, function: Callable[P, AsyncGenerator[S, Any]], /, **options: Any
    ) -> AsyncPersistedItems[P, AsyncGenerator[S, Any]]: ...
    @overload
    def __call__(
        self, function: Callable[P, AsyncIterator[S]], /, **options: Any
    ) -> AsyncPersistedItems[P, AsyncIterator[S]]: ...
    @overload
    def __call__(self, function: Callable[P, S], /, **options: Any) -> Persisted[P, S]: ...
    @overload
    def __call__(self, /, **options: Any) -> Decorator: ...


class Entry(NamedTuple):
    """One line of ``f.entries()``."""

    key: str
    head: Head
    size: int  #: bytes, head and body
