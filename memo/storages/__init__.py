"""Where results live, by name and by URL: one registry, each storage in a module of its own that is imported when it is
asked for.

A name ("sqlite", "files") is a kind of folder: the folder's marker says it for ever after. ``kind:path`` is that kind in
that folder. A URL with ``//`` is a server or a store that other programs run: its scheme says which storage speaks to it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..protocols import Storage
    from ._patient import Patient as Patient
    from ._readonly import ReadOnly as ReadOnly
    from ._spill import Spill as Spill
    from ._tiered import Tiered as Tiered
    from .diskcache import Diskcache as Diskcache
    from .files import Files as Files
    from .hdf5 import Hdf5 as Hdf5
    from .memory import Memory as Memory
    from .objects import Objects as Objects
    from .pytables import Pytables as Pytables
    from .redis import Redis as Redis
    from .shelve import Shelve as Shelve
    from .sql import Sql as Sql
    from .sqlite import Sqlite as Sqlite

__all__ = ["fixed_options", "open_storage", "open_url", "opener", "url_opener"]


def _sqlite(folder: str, *, above: int = 65536, durable: bool = False, **options: Any) -> Storage:
    from ._spill import Spill
    from .files import Files
    from .sqlite import Sqlite

    return Spill(Sqlite(folder, durable=durable, **options), Files(folder + "/files", durable=durable), above=above)


def _files(folder: str, **options: Any) -> Storage:
    from .files import Files

    return Files(folder + "/files", **options)


def _shelve(folder: str, **options: Any) -> Storage:
    from .shelve import Shelve

    return Shelve(folder, **options)


def _diskcache(folder: str, **options: Any) -> Storage:
    from .diskcache import Diskcache

    return Diskcache(folder + "/diskcache", **options)


def _memory(folder: str, **options: Any) -> Storage:
    from .memory import Memory

    return Memory(**options)


def _hdf5(folder: str, **options: Any) -> Storage:
    from .hdf5 import Hdf5

    return Hdf5(folder + "/hdf5", **options)


def _pytables(folder: str, **options: Any) -> Storage:
    from .pytables import Pytables

    return Pytables(folder + "/pytables", **options)


_OPENERS: dict[str, Callable[..., Storage]] = {
    "sqlite": _sqlite,
    "files": _files,
    "shelve": _shelve,
    "memory": _memory,
    "hdf5": _hdf5,
    "pytables": _pytables,
    "diskcache": _diskcache,
}

#: name of a storage, which is that of the extra too -> the library that it needs
_NEEDS = {"diskcache": "diskcache", "hdf5": "h5py", "pytables": "tables"}

#: class -> its module
_HOMES = {
    "Diskcache": "diskcache",
    "Files": "files",
    "Hdf5": "hdf5",
    "Memory": "memory",
    "Objects": "objects",
    "Patient": "_patient",
    "Pytables": "pytables",
    "ReadOnly": "_readonly",
    "Redis": "redis",
    "Shelve": "shelve",
    "Spill": "_spill",
    "Sql": "sql",
    "Sqlite": "sqlite",
    "Tiered": "_tiered",
}

#: scheme of a URL, up to a "+" in it -> the class that takes the whole URL
_SCHEMES: dict[str, str] = {
    **dict.fromkeys(("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "file", "memory"), "Objects"),
    **dict.fromkeys(("postgresql", "postgres", "sqlite", "mysql", "mariadb", "mssql", "oracle"), "Sql"),
    **dict.fromkeys(("redis", "rediss", "valkey", "valkeys", "unix"), "Redis"),
}


def opener(kind: str, /) -> Callable[..., Storage]:
    """What opens a storage of that name: a callable that takes a folder. Raises OptionError for an unknown name, and
    ImportError where the library of one is not installed.

    Names are those that memo brings, such as "sqlite" and "files", and those that an installed distribution registers
    under the entry point group ``memo.storages``, which is looked through only for another name than these.
    """
    if kind in _NEEDS:
        from .._libhdf5 import need

        need(_NEEDS[kind], kind)
    found = _OPENERS.get(kind) or _foreign(kind)
    if found is None:
        from ..errors import OptionError

        known = ", ".join(map(repr, _OPENERS))
        raise OptionError(f"no storage is called {kind!r}: it is one of {known}, or a name that a plug-in registers")
    return found


def _foreign(name: str) -> Callable[..., Storage] | None:
    from importlib.metadata import entry_points

    for point in entry_points(group="memo.storages", name=name):
        found: Callable[..., Storage] = point.load()
        return found
    return None


def open_storage(kind: str, folder: str, /, **options: Any) -> Storage:
    """The storage of that name in ``folder``; nothing is opened or made before its first use.

    "sqlite" puts bodies above ``above=65536`` bytes into files beside the database. Other options are those of the
    storage's own class.
    """
    return opener(kind)(folder, **options)


def fixed_options(kind: str, /) -> dict[str, Any]:
    """What a new place of that kind is opened with for ever after, whatever Python opens it: kept in its marker."""
    if kind != "shelve":
        return {}
    from .shelve import best_flavour

    return {"flavour": best_flavour()}


def url_opener(url: str, /) -> Callable[..., Storage]:
    """What opens a URL with ``//``: a callable that takes it whole. Raises OptionError for a scheme that nobody knows.

    Schemes of other distributions are looked up as names are, under ``memo.storages``.
    """
    scheme = url.partition("://")[0].lower()
    name = _SCHEMES.get(scheme.partition("+")[0])
    if name is not None:
        return __getattr__(name)  # type: ignore[no-any-return]
    found = _foreign(scheme)
    if found is None:
        from ..errors import OptionError

        known = ", ".join(f"{each}://" for each in _SCHEMES)
        raise OptionError(f"no storage takes URLs that begin with {scheme}://; those known begin with {known}")
    return found


def open_url(url: str, /, **options: Any) -> Storage:
    """The storage of a URL with ``//``, left alone for a while when it is down; nothing is connected to before its first use."""
    from ._patient import Patient

    storage = url_opener(url)(url, **options)
    return Patient(storage, timeout=getattr(storage, "timeout", 2.0))


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module("." + _HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
