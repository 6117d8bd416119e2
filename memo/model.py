"""The nouns of DESIGN: what is handed from one step of the pipe to the next.

Named tuples, because a look-up makes several of them and a tuple is the cheapest immutable thing there is.
None of them has behaviour beyond its name, and none imports anything of memo but the way to make them.
"""

from __future__ import annotations

from ._tuples import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


Buffer = bytes | bytearray | memoryview


class Call(NamedTuple):
    """A function with its arguments bound: defaults filled in, ignored ones gone.

    ``key`` is where its result lives: ``scope/version/arguments``, three components of ``[a-z0-9._-]``.
    """

    function: str  #: full name: module + qualified name
    key: str
    parameters: tuple[str, ...]
    values: tuple[Any, ...]  #: one per parameter; ``*args`` a tuple, ``**kwargs`` a dict

    @property
    def scope(self) -> str:
        """The function's component of the key: what is cleared, counted and listed together."""
        return self.key.partition("/")[0]

    @property
    def arguments(self) -> dict[str, Any]:
        return dict(zip(self.parameters, self.values, strict=True))

    def __str__(self) -> str:
        shown = ", ".join(f"{name}={_short(value)}" for name, value in zip(self.parameters, self.values, strict=True))
        return f"{self.function}({shown})"


def _short(value: object, limit: int = 60) -> str:
    try:
        text = repr(value)
    except Exception:  # a user's __repr__ may raise; a message must not
        text = f"<{type(value).__name__}>"
    return text if len(text) <= limit else text[: limit - 1] + "…"


class Head(NamedTuple):
    """What is known about a stored result without loading it."""

    function: str  #: full name of the function
    created: float  #: seconds since the epoch, when the computation ended
    seconds: float  #: what the computation took
    serializer: str
    codecs: tuple[str, ...]  #: in the order in which they were applied
    size: int  #: bytes of the body as stored
    stamp: bytes  #: what the policy remembered
    notes: bytes  #: what explain.py remembered: four bytes a parameter
    used: float = 0.0  #: seconds since the epoch, the last use; kept only for policies that look at it (``idle``)


class Raised(NamedTuple):
    """The outcome of a function that raised: what policies are asked about, and what is stored of it.

    ``trace`` is the traceback as text, since frames can't be stored.
    """

    error: BaseException
    trace: str


class Hit(NamedTuple):
    """Found, fresh and loaded. ``None`` is a value like any other."""

    head: Head
    value: Any


class Miss(NamedTuple):
    """Not usable, and why, in words for a person: ``never seen``, ``cleared``, ``expired 3 s ago`` ..."""

    call: Call
    why: str
    stale: Hit | None = None  #: what is there all the same, where somebody wants to be served that
    late: float = 0.0  #: seconds since it expired


class Fresh(NamedTuple):
    """Still good, and until when (seconds since the epoch) a front may serve it without asking again: inf for ever, 0 never."""

    until: float


class Stale(NamedTuple):
    """Not good any more, and since when (seconds since the epoch), where the policy can tell."""

    why: str
    since: float | None = None


class Record(NamedTuple):
    """What a storage gives back for a name.

    ``identity`` is set by storages whose bodies are files that are never rewritten in place: (device, inode,
    mtime in ns, size). A body verified once under an identity need not be verified again in this process.
    """

    head: bytes
    mark: int
    body: Buffer
    identity: tuple[int, int, int, int] | None = None


class Item(NamedTuple):
    """One line of a storage's listing; ``size`` is head and body, in bytes."""

    name: str
    size: int
    mark: int
    head: bytes


class Bulk(NamedTuple):
    """Many lines of a listing in one: the results of one code version with one mark."""

    prefix: str  #: scope/version
    mark: int
    entries: int
    size: int  #: head and body, in bytes
    heads: bytes  #: the first bytes of each head, one after the other, each as long as was asked for


class Cheap(NamedTuple):
    """An entry that goes first where room is made, as briefly as a storage can say it."""

    rank: float  #: -inf: never ranked
    written: float  #: seconds since the epoch
    size: int  #: head and body, in bytes
    scope: str
    ticket: Any  #: by which the storage takes it out; where it is an Item, that is the entry


class Event(NamedTuple):
    """What ``memo.on_event`` hands to a listener."""

    kind: str  #: "hit", "miss", "store", "evict" or "error"
    function: str
    key: str
    why: str
    seconds: float
    size: int
