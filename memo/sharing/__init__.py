"""Caches that more than one run, person or machine uses: results go from place to place as they lie.

Every way is the same walk (``_copy``) between two storages; what differs is who opens what. A file of results is a
storage like any other (``storages.archive``), so exporting is copying into a new one, and importing is copying from it.
"""

from __future__ import annotations

import os
from time import time

from memo._entry import signing_key
from memo._limits import limits_of
from memo._opened import Opened, open_place
from memo._place import absolute, is_url, shown, split_location
from memo.errors import OptionError, PlaceError

from ._adopt import adopt as adopt
from ._adopt import plan as plan
from ._adopt import undo as undo
from ._copy import Copied as Copied
from ._copy import copy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from memo._upkeep import Filters
    from memo.protocols import Storage

    from ._copy import Progress

_THREADS = 8  #: where a trip takes longer than the work


def export(
    source: Storage,
    path: str | os.PathLike[str],
    filters: Filters,
    *,
    keys: Sequence[bytes] = (),
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Copied:
    """Into one file, which is in its place when it is whole; no file where there is nothing to export."""
    from memo import __version__
    from memo.storages.archive import Archive, NewArchive

    path = os.path.abspath(path)
    if os.path.lexists(path):
        if not os.path.isfile(path):
            raise PlaceError(f"{path} is there already and no file: give another name")
        try:
            Archive(path).manifest()
        except PlaceError as error:
            raise PlaceError(f"{error}. It is not replaced: remove it, or give another name") from None
    if dry_run:
        return copy(source, None, filters, keys=keys, dry_run=True)
    try:
        made = NewArchive(path)
    except OSError as error:  # of a name aside, which nobody has asked for
        raise PlaceError(f"{path} can't be written: {error.strerror}: {os.path.dirname(path)}") from None
    try:
        copied = copy(source, made, filters, keys=keys, progress=progress)
        if copied.entries:
            about = {"entries": copied.entries, "bytes": copied.bytes, "functions": copied.functions}
            made.finish({"made_by": f"memo {__version__}", "made": time(), **about})
    finally:
        made.give_up()
    return copied


def give(
    source: Opened,
    place: str | os.PathLike[str],
    filters: Filters,
    *,
    keys: Sequence[bytes] = (),
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Copied:
    """What another place lacks of this one. It is made where it is not there, and not for a dry run."""
    where, folder = _other(source, place)
    if dry_run and not is_url(folder) and not os.path.lexists(folder):
        return copy(source.storage, None, filters, keys=keys, dry_run=True)
    target = reach(where, create=not dry_run or is_url(folder))  # what is behind a URL is made by its first entry
    if not dry_run:
        target.mark()
    return copy(
        source.storage, target.storage, filters,
        room=target.room, keys=keys, dry_run=dry_run, threads=_threads(source.place, folder), progress=progress,
    )  # fmt: skip


def take(
    target: Opened | None,
    place: str | os.PathLike[str],
    filters: Filters,
    *,
    keys: Sequence[bytes] = (),
    trusted: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Copied:
    """What this place lacks of another one, or of a file; None is a place that is not there, for a dry run."""
    if target is None:
        return copy(open_place(absolute(os.fspath(place)))[0], None, filters, keys=keys, trusted=trusted, dry_run=True)
    where, folder = _other(target, place)
    source, _ = open_place(where)
    return copy(
        source, target.storage, filters,
        room=target.room, keys=keys, trusted=trusted, dry_run=dry_run, threads=_threads(target.place, folder),
        progress=progress,
    )  # fmt: skip


def reach(location: str, *, create: bool = False) -> Opened:
    """A place, open, with its limits. Nothing of it is loaded as a value, so it may be anybody's."""
    where = absolute(location)
    storage, marker = open_place(where, create=create)
    return Opened(storage, split_location(where)[1], limits_of(marker.limits))


def known_keys() -> tuple[bytes, ...]:
    """Those that signatures are checked with, where no Cache says so: of MEMO_SIGNING_KEY."""
    return tuple(map(signing_key, os.environ.get("MEMO_SIGNING_KEY", "").split()))


def _other(opened: Opened, place: str | os.PathLike[str]) -> tuple[str, str]:
    """The location of another place than this, and the folder or URL in it."""
    where = absolute(os.fspath(place))
    folder = split_location(where)[1]
    same = os.path.exists(folder) and os.path.exists(opened.place) and os.path.samefile(folder, opened.place)
    if same or folder == opened.place:
        raise OptionError(f"{shown(where)} is this place itself: name another one")
    return where, folder


def _threads(*places: str) -> int:
    return _THREADS if any(map(is_url, places)) else 1
