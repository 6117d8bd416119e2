"""The way to a storage: what lies at a folder, file or URL is opened as what it says that it is.

Apart from what a program does with an open place (``_opened``), since those who only look need no more than this.
"""

from __future__ import annotations

import os
from contextlib import suppress

from . import _group
from ._place import (
    FILE,
    FORMAT,
    MARKER,
    Marker,
    is_url,
    make_place,
    marker_of,
    new_marker,
    owner_ok,
    read_marker,
    shown,
    split_location,
)
from .errors import PlaceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .protocols import Storage

DURABLE = ("sqlite", "files")  #: storages that can say when something is on the disk
PLACE = "place/marker"  #: the entry that is to a URL what memo.json is to a folder


def open_place(
    location: str | os.PathLike[str],
    *,
    kind: str | None = None,
    create: bool = False,
    trust: bool = True,
    limits: dict[str, Any] | None = None,
    group: int | None = None,
    durable: bool = False,
) -> tuple[Storage, Marker]:
    """The storage of a folder or URL, and its marker. ``create`` makes a new place where there is none.

    A URL that is to be created is not connected to: what there is to say of it comes with its first use.
    ``limits`` are written into a folder that has none; in the marker that is given back are those that count.
    ``durable``: what is stored is on the disk before the call returns.

    Raises:
        PlaceError: the place was not made by memo, holds another kind of storage than ``kind``, does not exist
            (without ``create``), or belongs to somebody who is not trusted (without ``trust``).
    """
    from .storages import fixed_options, open_storage, open_url

    asked, where = split_location(os.fspath(location))
    if is_url(where):
        storage = open_url(where)
        if create:
            return storage, new_marker("")._replace(limits=limits or {})
        record = storage.read(PLACE)
        found = None if record is None else marker_of(bytes(record.body), shown(where))
        if found is None:
            raise PlaceError(f"there is no cache at {shown(where)}: memo has stored nothing there. Check the address")
        return storage, found
    kind = kind or asked
    folder = os.path.abspath(where)
    if kind is None and (os.path.isfile(folder) or (folder.endswith(FILE) and not os.path.isdir(folder))):
        return _open_file(folder, trust)
    marker = read_marker(folder)
    if marker is None:
        if not create:
            raise PlaceError(f"there is no cache at {folder}")
        marker = make_place(folder, kind, limits=limits, options=fixed_options, group=group)
    elif limits and not marker.limits:
        marker = make_place(folder, limits=limits)
    elif create and not os.path.lexists(os.path.join(folder, MARKER)):
        with suppress(OSError):  # a folder that can only be read
            make_place(folder)
    if kind is not None and kind != marker.storage:
        raise PlaceError(
            f"the cache at {folder} was made with storage={marker.storage!r}, not {kind!r}: leave the option out, name"
            f" another location, or delete the folder"
        )
    if not _group.note(folder) and group is not None:
        raise PlaceError(
            f"{folder} was made for one person alone, and shared_group= was asked for: chgrp -R it, and"
            f" chmod -R g+rwX,g+s (files: g+r), or name another place"
        )
    if not trust and (why := owner_ok(folder, group)):
        raise PlaceError(f"{folder} is not trusted: {why}. If you trust who can write there, pass trust_folder=True")
    options = marker.options
    if durable:
        if marker.storage not in DURABLE:
            raise PlaceError(
                f"durable=True is for the storages {' and '.join(DURABLE)}; the cache at {folder} is a {marker.storage!r}"
            )
        options = {**options, "durable": True}
    return open_storage(marker.storage, folder, **options), marker


def _open_file(path: str, trust: bool) -> tuple[Storage, Marker]:
    """What ``memo export`` made, read in place."""
    from .storages.archive import Archive

    if not os.path.exists(path):
        raise PlaceError(f"there is no file {path}: memo export makes it (a cache's folder may not end so)")
    archive = Archive(path)
    try:
        manifest = archive.manifest()
    except PlaceError as error:
        raise PlaceError(f"{path} can't be a cache: it is a file, and {error}") from None
    if not trust and (why := owner_ok(path)):
        raise PlaceError(f"{path} is not trusted: {why}. If you trust who can write there, pass trust_folder=True")
    return archive, Marker(FORMAT, "archive", str(manifest.get("made_by")), {})
