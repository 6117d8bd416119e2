"""What modules imported while a function runs hold, once they are loaded: as they were first seen, or changed since.

What loading gives can't be known before, and a key may not depend on whether a module is loaded. So a name counts for
nothing until its module is loaded and as long as its value is what loading gave, which is noted at that very moment
(``_loading``); from then on it counts by its value, code and captures included, while that differs. Of a module that was
loaded before memo ever looked, what loading gave is known only where the file's text says it completely; all else that
is read of it always counts by its value.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FunctionType, ModuleType

from .._tuples import NamedTuple
from . import _source
from ._captured import unwrapped
from ._library import is_dunder
from ._loading import await_loading
from ._modules import imported, is_loading_elsewhere, place_of
from ._project import is_memo, is_project
from ._source import Source
from ._tree import STORED, Chain
from ._written import is_surely_as_written

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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

    def value(self, just_loaded: bool = False) -> Any:
        """What it is now; UNKNOWN where nothing can be said."""
        found: Any = sys.modules.get(self.module)
        if not isinstance(found, ModuleType) or (not just_loaded and is_loading_elsewhere(found)):
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
            ready = just_loaded or not is_loading_elsewhere(found)
            return found if is_project(found, self.home) and ready else UNKNOWN
        return UNKNOWN if is_memo(type(found).__module__) else found


_first: dict[Sight, bytes] = {}
_unloaded: set[Sight] = set()  #: when memo looked


def since_first(sight: Sight, digest: bytes, value: Any) -> bytes:
    """What stands for it in the captures, ``digest`` being the fingerprint of its value: b"" while that is the first."""
    if value is UNKNOWN:
        _unloaded.add(sight)
        return b""
    if value is _GONE:  # a submodule that is yet to be imported is none that was deleted
        return b"" if sight not in _first else sight.shown.encode() + b"\0gone"
    first = _first.get(sight)
    if first is None and (sight in _unloaded or _is_surely_first(sight)):
        first = _first[sight] = digest
    return b"" if first == digest else sight.shown.encode() + b"\0" + digest


_beside: dict[Sight, list[Sight]] = {}  #: what a name leads to in other modules, by the files
_then: dict[Sight, list[bytes]] = {}  #: what stood for these when the name's module was loaded


def beside(sight: Sight) -> list[Sight]:
    """While its module is not loaded: names of modules that are, which loading it will find as they are by then."""
    return [other for other in _beside.get(sight, ()) if other.module in sys.modules]


def at_loading(sight: Sight) -> list[bytes]:
    """What was found otherwise than its file says when the module was loaded: it is in all that it holds."""
    return _then.get(sight, [])


_found_loaded: set[Sight] = set()  #: before memo looked, and not as their files alone say


def _is_surely_first(sight: Sight) -> bool:
    """Whether a module that was loaded before memo looked holds what loading gave, as far as the name leads."""
    if sight in _found_loaded:
        return False
    with _source.reading:
        found = imported({}, 0, sight.module, frozenset({sight.chain}), sight.home)
        sure = _is_known(sight, found.expected) and all(map(_is_surely_given, found.expected))
        _source.release()
    if not sure:
        _found_loaded.add(sight)
    return sure


def _is_known(sight: Sight, items: list[tuple[str, str, Source, str]]) -> bool:
    """Whether the file says of every name that is read that there is one."""
    if sight.chain:
        return (sight.module, sight.chain[0]) in {item[:2] for item in items}
    namespace = getattr(sys.modules.get(sight.module), "__dict__", {})
    source = sight.source
    return source is not None and all(
        isinstance(value, ModuleType) or is_dunder(name) or is_surely_as_written(value, name, source, namespace)
        for name, value in list(namespace.items())
    )


def _is_surely_given(item: tuple[str, str, Source, str]) -> bool:
    module, name, source, _ = item
    namespace = getattr(sys.modules.get(module), "__dict__", None)
    if namespace is None:
        return True
    return name in namespace and is_surely_as_written(namespace[name], name, source, namespace)


See = Callable[[Sight], tuple[list[bytes], dict[Sight, None]]]


def note(modules: set[str], digest_of: Callable[[Any, Sight], tuple[bytes, dict[Sight, None]]], see: See) -> None:
    """They have been loaded, just now: what names of theirs are read holds what loading gives."""
    todo = [sight for sight in list(_unloaded) if sight.module in modules]
    for sight in todo:  # grows while it is read
        value = sight.value(just_loaded=True)
        if sight in _first or not is_data(value):
            continue
        _first[sight], inner = digest_of(value, sight)
        todo += [other for other in inner if other.module in modules and other not in _first]
        found = [see(other)[0] for other in beside(sight) if other.module not in modules]
        _then[sight] = [changed for changes in found for changed in changes]


def is_data(value: Any) -> bool:
    return value is not UNKNOWN and value is not _GONE


def sights(
    namespace: dict[str, Any],
    level: int,
    module: str,
    used: frozenset[Chain],
    home: str,
    items: list[tuple[str, str, Source, str]],
) -> list[Sight]:
    """Of the chains that a function reads of a module it imports; ``items`` is all that they lead to."""
    found = []
    for chain in sorted(used):
        if STORED not in chain:
            place = place_of(namespace, level, module, chain, home)
            if place is not None:
                sight = Sight(place[0], place[1], home, place[2])
                if sight.module not in sys.modules:
                    _await(sight)
                    if sight not in _beside:
                        _beside[sight] = _led_to(items, sight)
                found.append(sight)
    return found


def _await(sight: Sight) -> None:
    _unloaded.add(sight)
    await_loading(sight.module)


def _led_to(items: list[tuple[str, str, Source, str]], sight: Sight) -> list[Sight]:
    found = []
    for module, name, source, form in items:
        if module == sight.module or form == "import" or form[:1] == "=":
            continue  # what is written as a constant is compared by ``Expected``
        other = Sight(module, (name,), sight.home, source)
        if not form and module not in sys.modules:
            _await(other)
        found.append(other)
    return found
