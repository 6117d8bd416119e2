"""Which Cache a function stores into: the location named, or the default place of where the function lives.

One Cache for equal options, so that the functions of a program share connections and flights; found at the first call
and not at decoration, so that flags and the order of decoration do not matter.
"""

from __future__ import annotations

import os

from . import events, settings
from ._place import default_folder, is_url, shown, split_location
from .errors import OptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._cache import Cache


class Default:
    """The location that is used when none is named: found from where the function lives."""

    def __repr__(self) -> str:
        return "<the default place>"

    def __reduce__(self) -> str:
        return "DEFAULT"


DEFAULT = Default()


_by_location: dict[tuple[object, ...], Cache] = {}


def by_location(**shortcuts: Any) -> Cache:
    """The Cache of these shortcuts, one for equal ones, so that a program's functions share connections and flights."""
    from ._cache import Cache

    key = tuple(sorted(shortcuts.items()))
    try:
        return _by_location.setdefault(key, _by_location.get(key) or Cache(**shortcuts))
    except TypeError:  # an object that can't be hashed is its own place
        return Cache(**shortcuts)


_defaults: dict[tuple[str, Cache], Cache] = {}


def resolve(cache: Cache, start: str) -> Cache:
    """``cache`` itself, or, where it names no location, the one at the default place of the file ``start``."""
    if cache.location is not DEFAULT or cache.needs_no_folder:
        return cache
    folder = settings.location() or default_folder(start)
    if folder is None:
        events.warn_once(
            "no-home",
            "there is no home folder to keep results in, so they are kept in memory only, until this process ends."
            " Name a folder in the environment variable MEMO_DIR, or @persist(location=...)",
        )
    key = (folder or "", cache)
    found = _defaults.get(key)
    if found is None:
        from ._cache import Cache

        options = cache.__reduce__()[1][0] | ({"location": folder} if folder else {"storage": "memory"})
        found = _defaults[key] = Cache(**options)
    return found


def checked_location(location: Any, storage: Any) -> tuple[Any, Any]:
    """The location as text, None or DEFAULT, and the storage; OptionError for what can't be right, alone or together.

    ``kind:path`` comes back as the folder and the kind. Unknown names, schemes and libraries that are missing
    raise here, not at the first call.
    """
    if location is not None and location is not DEFAULT and not isinstance(location, (str, os.PathLike)):
        raise OptionError(
            f"location must be a folder (text or path), a URL or None, not {type(location).__name__}"
            + (": give a storage object as storage=" if callable(getattr(location, "read", None)) else "")
        )
    if isinstance(location, (str, os.PathLike)):
        location = os.fspath(location)
        if not location:
            raise OptionError("location is an empty text: name a folder, or leave it out for the default place")
    if isinstance(location, str) and is_url(location):
        if storage is not None:
            raise OptionError(
                f"the URL {shown(location)!r} says which storage it is: give it without storage=, or a folder with it"
            )
        storage, location = split_location(location)
        if not location:
            raise OptionError(f"location='{storage}:' names no folder: write '{storage}:path'")
        if storage is None:
            from .storages import open_url

            open_url(location)  # connects to nothing; a library that is missing is told here too
    if storage is not None and not isinstance(storage, str):
        if type(storage).__module__.startswith("diskcache."):
            raise OptionError(
                "a cache of diskcache is no storage by itself: write storage=Diskcache(it), of memo.storages"
            )
        missing = [verb for verb in ("read", "write", "remove", "scan") if not callable(getattr(storage, verb, None))]
        if missing:
            raise OptionError(
                f"storage must be a name or an object with read, write, remove and scan;"
                f" {type(storage).__name__} has no {' and no '.join(missing)}"
                + (
                    ": write Diskcache(...), of memo.storages"
                    if type(storage).__module__.startswith("diskcache.")
                    else ""
                )
            )
        if location is not DEFAULT:
            raise OptionError("give a location or a storage object, not both: the object has its own place")
    elif isinstance(storage, str):
        from .storages import opener

        opener(storage)
    return location, storage
