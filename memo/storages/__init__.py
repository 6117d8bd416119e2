"""Where results live, by name: one registry, each storage in a module of its own that is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..protocols import Storage

__all__ = ["open_storage", "opener"]


def _sqlite(folder: str, *, above: int = 65536, **options: Any) -> Storage:
    from ._spill import Spill
    from .files import Files
    from .sqlite import Sqlite

    return Spill(Sqlite(folder, **options), Files(folder + "/files"), above=above)


def _files(folder: str, **options: Any) -> Storage:
    from .files import Files

    return Files(folder + "/files", **options)


def _shelve(folder: str, **options: Any) -> Storage:
    from .shelve import Shelve

    return Shelve(folder, **options)


def _memory(folder: str, **options: Any) -> Storage:
    from .memory import Memory

    return Memory(**options)


_OPENERS: dict[str, Callable[..., Storage]] = {
    "sqlite": _sqlite,
    "files": _files,
    "shelve": _shelve,
    "memory": _memory,
}


def opener(kind: str, /) -> Callable[..., Storage]:
    """What opens a storage of that name: a callable that takes a folder. Raises OptionError for an unknown name.

    Names are "sqlite", "files", "shelve", "memory", and those that an installed distribution registers under the entry
    point group ``memo.storages``, which is looked through only for another name than these.
    """
    found = _OPENERS.get(kind)
    if found is None:
        from importlib.metadata import entry_points

        for point in entry_points(group="memo.storages", name=kind):
            _OPENERS[kind] = point.load()
            return _OPENERS[kind]
        from ..errors import OptionError

        known = ", ".join(map(repr, _OPENERS))
        raise OptionError(f"no storage is called {kind!r}: it is one of {known}, or a name that a plug-in registers")
    return found


def open_storage(kind: str, folder: str, /, **options: Any) -> Storage:
    """The storage of that name in ``folder``; nothing is opened or made before its first use.

    "sqlite" puts bodies above ``above=65536`` bytes into files beside the database. Other options are those of the
    storage's own class.
    """
    return opener(kind)(folder, **options)
