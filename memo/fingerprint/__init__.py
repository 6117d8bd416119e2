"""Any value to a digest, any function to the version of its code.

Equal values have equal encodings, in any process and on any machine, and nothing else has: the canonical encoding of a
value carries type and length at every node and follows from the value alone, never from ``hash()``, ``id()``,
``repr()``, the order of a set or what objects are shared. Everything here is imported when it is first asked for.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._hooks import File, HashBy, NoHash, hasher, marks
    from ._values import digest, encode, encoding, fingerprint

__all__ = ["File", "HashBy", "NoHash", "digest", "encode", "encoding", "fingerprint", "hasher", "marks"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in ("digest", "encode", "encoding", "fingerprint"):
        from . import _values as home
    else:
        from . import _hooks as home  # type: ignore[no-redef]
    value = globals()[name] = getattr(home, name)
    return value
