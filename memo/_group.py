"""Places that a group of people on one machine share: whatever is made in one is the group's as well.

The place's own folder says so (set-group-ID, and the group may write); it is noted when it is opened, and whoever makes
a file or folder inside gives the group what it gives the owner, whatever the umask. Everywhere else nothing is looked at.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SHARED = 0o2020  #: set-group-ID, and the group may write
_places: set[str] = set()


def note(folder: str) -> bool:
    """Whether a place is shared, by its folder."""
    try:
        shared = os.stat(folder).st_mode & _SHARED == _SHARED
    except OSError:
        return False
    if shared:
        _places.add(folder.rstrip(os.sep) + os.sep)
    return shared


def opened(path: str, file: int) -> int:
    """The file just opened, maybe made, at a path."""
    if _places and _is_shared(path):
        mode = os.fstat(file).st_mode & 0o777
        wanted = mode | (mode & 0o700) >> 3
        if mode != wanted:
            try:
                os.fchmod(file, wanted)
            except OSError:  # somebody else's, who did it himself
                pass
    return file


def made(folder: str) -> None:
    """A folder just made."""
    if _places and _is_shared(folder):
        os.chmod(folder, 0o2770)


def share(folder: str, group: int) -> None:
    """Gives a folder to a group; raises PermissionError where this user is not in it."""
    os.chown(folder, -1, group)
    os.chmod(folder, 0o2770)


def number(group: Any) -> int:
    """The number of a group, given by name or number. Raises KeyError, ValueError or TypeError for what is none."""
    if isinstance(group, str):
        import grp

        return grp.getgrnam(group).gr_gid
    if isinstance(group, bool) or not isinstance(group, int) or group < 0:
        raise TypeError(group)
    return group


def _is_shared(path: str) -> bool:
    return any(path.startswith(place) for place in tuple(_places))
