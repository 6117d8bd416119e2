"""What modules imported while a function runs hold, once they are loaded: as they were first seen, or changed since.

What loading gives can't be known before, and a key may not depend on whether a module is loaded. So a name counts for
nothing until its module is loaded and as long as its value is what it was when it was first seen so, which is at the
end of the call that loaded it; from then on it counts by its value, code and captures included, while that differs.
"""

from __future__ import annotations

import sys
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from ._captured import unwrapped
from ._modules import is_loading_elsewhere, place_of
from ._project import is_memo, is_project
from ._source import Source
from ._tree import STORED, Chain

UNKNOWN = object()  #: not loaded, or not the project's
_GONE = object()  #: the module is loaded, and has no such name


class Sight(NamedTuple):
    """A name that is read of a module imported inside."""

    module: str
    chain: Chain  #: () for the module itself
    home: str
    source: Source | None  #: another file under the name is another thing to see

    @property
    def shown(self) -> str:
        return ".".join((self.module, *self.chain))

    def value(self) -> Any:
        """What it is now; UNKNOWN where nothing can be said."""
        found: Any = sys.modules.get(self.module)
        if not isinstance(found, ModuleType) or is_loading_elsewhere(found):
            return UNKNOWN
        for name in self.chain:
            if isinstance(found, FunctionType) and unwrapped(found) is found and name in found.__dict__:
                return found, found.__dict__[name]
            if not isinstance(found, ModuleType):
                break
            if not is_project(found, self.home):
                return UNKNOWN
            if name not in vars(found):
                return _GONE
            found = vars(found)[name]
        found = unwrapped(found)
        if isinstance(found, ModuleType):
            return found if is_project(found, self.home) and not is_loading_elsewhere(found) else UNKNOWN
        return UNKNOWN if is_memo(type(found).__module__) else found


_first: dict[Sight, bytes] = {}


def since_first(sight: Sight, digest: bytes, value: Any) -> bytes:
    """What stands for it in the captures, ``digest`` being the fingerprint of its value: b"" while that is the first."""
    if value is UNKNOWN:
        return b""
    if value is _GONE:  # a submodule that is yet to be imported is none that was deleted
        return b"" if sight not in _first else sight.shown.encode() + b"\0gone"
    return b"" if _first.setdefault(sight, digest) == digest else sight.shown.encode() + b"\0" + digest


def is_data(value: Any) -> bool:
    return value is not UNKNOWN and value is not _GONE


def sights(namespace: dict[str, Any], level: int, module: str, used: frozenset[Chain], home: str) -> list[Sight]:
    """Of the chains that a function reads of a module it imports."""
    found = []
    for chain in sorted(used):
        if STORED not in chain:
            place = place_of(namespace, level, module, chain, home)
            if place is not None:
                found.append(Sight(place[0], place[1], home, place[2]))
    return found
