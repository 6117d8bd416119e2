"""Which place a command is about, why that one, and opening it without making anything."""

from __future__ import annotations

import os

from memo import _place
from memo._opening import open_place
from memo._project import project_root
from memo.errors import OptionError, PlaceError

from ._output import Nothing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable
    from typing import TypeAlias

    from memo._place import Marker
    from memo.protocols import Storage

    Command: TypeAlias = Callable[[Namespace], None]


def located(arguments: Namespace) -> tuple[str, str]:
    """The location, and why that one."""
    if arguments.location is not None:
        if not arguments.location.strip():
            raise OptionError(
                "--location is empty; give a folder or a URL, or leave it out for the project's own place"
            )
        return _place.absolute(arguments.location), "given with --location"
    location, source = _place.default_place(None)
    if location is None:
        raise PlaceError(f"there is no place to look at: {source}, or name one with --location")
    if source == "default":
        return location, f"the default of the project in {project_root(None)}"
    return location, "the environment variable MEMO_DIR" if source == "MEMO_DIR" else f"[tool.memo] in {source}"


def opened(arguments: Namespace) -> tuple[str, Storage, Marker]:
    """Location, storage and marker. Raises PlaceError for what memo did not make, Nothing for a default not yet made."""
    location, source = located(arguments)
    if absent(location):
        if arguments.location is None:
            raise Nothing(f"nothing is stored yet in {location} ({source})")
        raise PlaceError(
            f"there is no cache at {location}: no such folder. Check the path; memo where shows the default"
        )
    return _place.shown(location), *open_place(location)


def absent(location: str) -> bool:
    """Whether it is a folder that does not exist. Of a URL only its storage can tell."""
    _, folder = _place.split_location(location)
    return not _place.is_url(folder) and not os.path.lexists(folder)
