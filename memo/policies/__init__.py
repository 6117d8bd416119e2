"""The socket of policies: what to remember of a call, whether an entry is still good, which entries go first.

The contract is ``memo.protocols.Policy``; a policy is any object with these four methods. Stamps are bytes, time is
handed in, and an entry sealed by another policy is stale, never an error. Four more a policy may have: ``idle`` (seconds),
if it looks at the last use, ``good_for`` (seconds) after which entries may be taken off the disk, ``at(words)``, which
gives the same policy over the words of a place, and ``around(token, function)``, which gives what runs in the function's
place, for what is to be seen while it runs.
"""

from __future__ import annotations

from ._age import Forever, IdleTtl, Ttl
from ._combined import all_of, any_of, placed
from ._common import is_policy, lru, misplaced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._depends import Depends
    from ._exceptions import Exceptions
    from ._tags import Tags
    from ._validity import SlowerThan, StoreIf, Validate
    from ._version import Version

#: what few ask for is imported when it is asked for
_HOMES = {
    "Depends": "_depends", "Exceptions": "_exceptions", "SlowerThan": "_validity", "StoreIf": "_validity", "Tags": "_tags",
    "Validate": "_validity", "Version": "_version",
}  # fmt: skip

__all__ = [
    "Depends",
    "Exceptions",
    "Forever",
    "IdleTtl",
    "SlowerThan",
    "StoreIf",
    "Tags",
    "Ttl",
    "Validate",
    "Version",
    "all_of",
    "any_of",
    "is_policy",
    "lru",
    "misplaced",
    "placed",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module("." + _HOMES[name], __name__), name)
    return value
