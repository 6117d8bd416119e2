"""Where a cache lives: the default folder, the marker that says what is in it, and whose it is.

The decision: a folder is a cache of memo if, and only if, it holds ``memo.json``. It is made by whoever comes first
(temporary file, then a hard link, which fails if the name exists), and says for ever after which storage is inside.
Its content stands a second time in CACHEDIR.TAG, so that one torn file does not make a cache unusable.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import sys

from . import _group, settings
from ._project import project_name, project_table
from ._project import project_root as project_root
from ._tuples import NamedTuple
from .errors import PlaceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

FORMAT = 1
MARKER = "memo.json"
TAG = "CACHEDIR.TAG"
FILE = ".memo"  #: how the names of files end that memo export makes; no folder is made with such a name
# https://bford.info/cachedir/: backup programs leave out folders with a file CACHEDIR.TAG that begins like this
SIGNATURE = "Signature: 8a477f597d28d172789f06886806bc55"
TEMPORARY = ".memo-"  # + 16 hex + ".tmp"

# What may lie in a folder that still counts as empty: what people and systems put into empty folders.
_NOTHING = {TAG, ".gitignore", ".gitkeep", ".DS_Store", "lost+found"}


# --------------------------------------------------------------------------------------------------- the default


def default_folder(start: str | None) -> str | None:
    """The folder (or URL) of functions that name none; ``start`` is their file, or None for the working directory.

    What ``--cache-dir`` said, else $MEMO_DIR, else ``location`` of [tool.memo] in the project's pyproject.toml (relative
    to that file), else ``<user cache folder>/memo/<project>-<8 hex of its root>``. None where there is no usable home:
    the results then stay in memory. Nothing is created.
    """
    return default_place(start)[0]


def default_place(start: str | None) -> tuple[str | None, str]:
    """`default_folder`, and where that comes from."""
    asked = settings.location()
    if asked:
        return absolute(asked), "flag"
    asked = os.environ.get("MEMO_DIR", "")
    if asked.strip():
        return absolute(asked), "MEMO_DIR"
    table, file = project_table(start)
    asked = table.get("location", "")
    if asked.strip():
        return absolute(asked, os.path.dirname(file)), file
    caches = _user_caches()
    if caches is None:
        return None, "no usable home folder; set MEMO_DIR"
    return os.path.join(caches, project_name(project_root(start))), "default"


def is_url(location: str) -> bool:
    """Whether a location is a URL (``redis://...``, ``diskcache:path``) and not a folder.

    >>> is_url("s3://bucket/x"), is_url("diskcache:results"), is_url("results"), is_url("C:/results")
    (True, True, False, False)
    """
    scheme, colon, _ = location.partition(":")
    return bool(colon) and len(scheme) > 1 and scheme.isascii() and scheme.replace("+", "").replace("-", "").isalnum()


def split_location(location: str) -> tuple[str | None, str]:
    """``kind:path`` as (kind of storage, folder); a folder, and a URL with ``//``, as (None, location).

    >>> split_location("files:results"), split_location("results"), split_location("redis://localhost")
    (('files', 'results'), (None, 'results'), (None, 'redis://localhost'))
    """
    if is_url(location):
        kind, _, path = location.partition(":")
        if not path.startswith("//"):
            return kind, path
    return None, location


def absolute(location: str, base: str = os.curdir) -> str:
    """A folder with its whole path, ``~`` filled in, also in ``kind:path``; a URL as it is."""
    kind, path = split_location(location)
    if kind is not None:
        return f"{kind}:{absolute(path, base)}"
    if is_url(location):
        return location
    return os.path.abspath(os.path.join(base, os.path.expanduser(location)))


def shown(location: str) -> str:
    """A location for people: without the password that a URL may carry.

    >>> shown("redis://me:secret@host/0"), shown("unix:///socket?password=secret&db=1"), shown("results")
    ('redis://me:***@host/0', 'unix:///socket?password=***&db=1', 'results')
    """
    scheme, slashes, rest = location.partition("://")
    if slashes and "?" in rest:
        import re

        rest = re.sub(r"((?:passw\w*|pwd|secret|token)=)[^&]*", r"\1***", rest, flags=re.IGNORECASE)
        location = f"{scheme}://{rest}"
    host = rest.partition("/")[0]
    if not slashes or "@" not in host:
        return location
    user, _, _ = host.rpartition("@")
    return f"{scheme}://{user.partition(':')[0]}{':***' if ':' in user else ''}{rest[len(user) :]}"


def lock_path(url: str) -> str:
    """A file for the locks of the processes of this host that share a URL; "" where there is no home for it."""
    from blake3 import blake3

    caches = _user_caches()
    if caches is None:
        return ""
    folder = os.path.join(caches, "flights")
    try:
        _make_folder(folder)
    except OSError:
        return ""
    return os.path.join(folder, blake3(url.encode("utf-8", "surrogatepass")).hexdigest(8) + ".lock")


def _user_caches() -> str | None:
    """``<user cache folder>/memo`` if it can be had: it exists, or could be made without making up a home folder."""
    folder = os.path.join(_xdg_caches(), "memo") if sys.platform == "linux" else _platform_caches()
    if not os.path.isabs(folder):
        return None
    if os.path.isdir(folder):
        return folder  # hits need no right to write
    home = os.path.expanduser("~")
    if _below(folder, home) and not os.path.isdir(home):
        return None  # HOME=/nonexistent is how systems say that an account has no home
    existing = folder
    while not os.path.lexists(existing) and existing != os.path.dirname(existing):
        existing = os.path.dirname(existing)
    return folder if os.path.isdir(existing) and os.access(existing, os.W_OK | os.X_OK) else None


def _xdg_caches() -> str:
    """What platformdirs finds on Linux, by the same rule: loading it is a third of the start of ``memo ls``."""
    folder = os.environ.get("XDG_CACHE_HOME", "").strip()
    return folder if os.path.isabs(folder) else os.path.expanduser("~/.cache")


def _platform_caches() -> str:
    from platformdirs import user_cache_dir

    return user_cache_dir("memo", appauthor=False)


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


# ---------------------------------------------------------------------------------------------------- the marker


class Marker(NamedTuple):
    """What ``memo.json`` says of a place."""

    format: int
    storage: str
    made_by: str
    limits: dict[str, Any]
    options: dict[str, Any] = {}  # noqa: RUF012 (never changed)  #: what its storage is opened with, for ever


def read_marker(folder: str) -> Marker | None:
    """What is in a folder; None when it does not exist or is empty, so that a cache may be made there.

    Raises `PlaceError` for a folder that holds other things, for a marker that can't be read and for one of a newer
    format, and OSError where the folder itself can't be looked into.
    """
    found = _look_into(folder)
    return found and found[0]


def _look_into(folder: str) -> tuple[Marker, bool] | None:
    """The marker, and whether it had to be taken from CACHEDIR.TAG because memo.json is damaged or gone."""
    path = os.path.join(folder, MARKER)
    try:
        content = _read(path)
    except FileNotFoundError:
        if (second := _second_marker(folder)) is not None:  # lost, or deleted to give the place other limits
            return second._replace(limits={}), True
        # whoever is making this place just now may have put its marker there after we looked for it
        return _look_into(folder) if _holds_marker(folder) else None
    except NotADirectoryError:
        raise PlaceError(f"{folder} can't be a cache: it is a file, or lies below one; a folder was expected") from None
    except OSError as error:
        reason = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror or str(error)
        raise PlaceError(f"the marker {path} can't be read: {reason}") from error
    marker, damaged = marker_of(content, folder), False
    if marker is None:
        marker, damaged = _second_marker(folder), True
    if marker is None:
        raise PlaceError(
            f"the marker {path} is damaged, so it is unknown what kind of cache lies in {folder}."
            f" Remove the folder, or move it away, and memo makes a new one"
        )
    return marker, damaged


def make_place(
    folder: str,
    storage: str | None = None,
    *,
    limits: Mapping[str, Any] | None = None,
    default: str | None = None,
    group: int | None = None,
    options: Callable[[str], dict[str, Any]] | None = None,
) -> Marker:
    """Make a folder a cache, or open it as what it is; the first of several processes decides.

    Args:
        storage: the kind asked for; None takes what is there. `PlaceError` if another kind is there.
        limits: recorded in the marker, in place of those there; None leaves them.
        default: the kind for a new place when none was asked for; by itself "sqlite" on a local disk and "files" on a
            network disk, where SQLite's locks can't be relied on.
        group: the number of a group of people that shares a new place.
        options: says of a kind what a new place of it is opened with for ever, such as which dbm.

    The folder and the missing ones above it are made with mode 0700, files with 0600, under any umask. Raises
    `PlaceError` as `read_marker`, and OSError if the disk refuses.
    """
    found = _look_into(folder)
    if found is None:
        _make_folder(folder)
        if group is not None:
            try:
                _group.share(folder, group)
            except PermissionError:
                raise PlaceError(
                    f"{folder} can't be given to the group with id {group}: you are not one of it"
                ) from None
        _group.note(folder)
        kind = storage or default or ("files" if is_network(folder) else "sqlite")
        made = new_marker(kind)._replace(limits=dict(limits or {}), options=options(kind) if options else {})
        _publish(folder, made, replace=False)
        found = _look_into(folder)
        if found is None:
            raise PlaceError(f"{folder} was removed while it was being made a cache")
    marker, damaged = found
    if storage is not None and storage != marker.storage:
        raise PlaceError(
            f"{folder} holds a cache of storage {marker.storage!r}, and storage={storage!r} was asked for. Leave out"
            f" storage= or give {marker.storage!r}, give another location, or remove that folder to begin anew"
        )
    wanted = marker if limits is None else marker._replace(limits=dict(limits))
    if damaged or wanted != marker:
        _publish(folder, wanted, replace=True)
    _put_once(folder, TAG, _tag(wanted))
    _put_once(folder, ".gitignore", b"# made by memo: a cache is not worth a commit\n*\n")
    return wanted


def _made_by() -> str:
    from . import __version__

    return f"memo {__version__}"


def new_marker(storage: str) -> Marker:
    """What is written into a place that this memo makes."""
    return Marker(FORMAT, storage, _made_by(), {})


def marker_of(content: bytes, where: str) -> Marker | None:
    """The marker that these bytes are, None where they are none. Raises `PlaceError` for one of a newer format."""
    marker = _parse(content)
    if marker is not None and marker.format > FORMAT:
        raise PlaceError(
            f"{where} was made by {marker.made_by} in format {marker.format}; this memo reads up to format {FORMAT}."
            f" Upgrade memo-persist, or use another place"
        )
    return marker


def text_of(marker: Marker) -> bytes:
    return (json.dumps(marker._asdict(), sort_keys=True) + "\n").encode()


def _tag(marker: Marker) -> bytes:
    about = f"{SIGNATURE}\n# This folder is a cache made by memo; it may be removed at any time.\n# {MARKER}: "
    return about.encode() + text_of(marker)


def _parse(content: bytes) -> Marker | None:
    try:
        fields = json.loads(content)
        if type(fields["format"]) is int and fields["format"] > FORMAT:  # nothing else of it is ours to expect
            return Marker(fields["format"], "", str(fields.get("made_by", "a newer memo")), {})
        fields.setdefault("options", {})
        marker = Marker(*(fields[name] for name in Marker._fields))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    kinds = (int, str, str, dict, dict)
    return marker if all(type(value) is kind for value, kind in zip(marker, kinds, strict=True)) else None


def _holds_marker(folder: str) -> bool:
    """False for a folder that is absent or as good as empty; `PlaceError` for one that holds other things."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return False
    if MARKER in names:
        return True
    others = sorted(name for name in names if name not in _NOTHING and not name.startswith(TEMPORARY))
    if others:
        shown = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        raise PlaceError(
            f"{folder} is not a cache of memo: it holds {shown} and no {MARKER}. Give an empty or a new folder"
        )
    return False


def _second_marker(folder: str) -> Marker | None:
    try:
        lines = _read(os.path.join(folder, TAG)).splitlines()
    except OSError:
        return None
    start = f"# {MARKER}: ".encode()
    return next((marker_of(line[len(start) :], folder) for line in lines if line.startswith(start)), None)


# --------------------------------------------------------------------------------------------- private on disk


def _read(path: str) -> bytes:
    # O_NONBLOCK: a pipe of that name must not hang us; O_NOFOLLOW: a link of that name is not ours
    descriptor = os.open(path, os.O_RDONLY | _CAREFUL | _NONBLOCK)
    with open(descriptor, "rb") as opened:
        return opened.read(1 << 20)


_CAREFUL = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)


def _create(path: str, content: bytes) -> None:
    """A new file with mode 0600, on disk before we go on: one marker is worth a sync."""
    descriptor = _group.opened(path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _CAREFUL, 0o600))
    with open(descriptor, "wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(descriptor)


def _publish(folder: str, marker: Marker, *, replace: bool) -> None:
    """Put the marker there whole: in place of what is there, or only if nothing is."""
    path = os.path.join(folder, MARKER)
    temporary = os.path.join(folder, f"{TEMPORARY}{os.urandom(8).hex()}.tmp")
    try:
        _create(temporary, text_of(marker))
        if replace:
            os.replace(temporary, path)
            return
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass  # another process was first: its marker counts
        except OSError:  # a disk without hard links; two that come here at the same instant wrote nearly the same
            if not os.path.lexists(path):
                os.replace(temporary, path)
        _sync(folder)
        _sync(os.path.dirname(folder))
    finally:
        try:
            os.unlink(temporary)
        except OSError:
            pass


def _sync(folder: str) -> None:
    """What a power cut leaves without its marker is nobody's: once in the life of a place this may take a moment."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError:  # Windows, and disks that can't
        pass


def _put_once(folder: str, name: str, content: bytes) -> None:
    try:
        _create(os.path.join(folder, name), content)
    except OSError:
        pass  # there already, or a folder that can only be read: neither is worth a word


def _make_folder(folder: str) -> None:
    missing = []
    path = os.path.abspath(folder)
    while not os.path.lexists(path) and path != os.path.dirname(
        path
    ):  # where nothing answers, not even the root is there
        missing.append(path)
        path = os.path.dirname(path)
    for path in reversed(missing):
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            continue
        if os.stat(path).st_mode & 0o700 != 0o700:  # an umask that takes rights from the owner too
            os.chmod(path, 0o700)


def owner_ok(folder: str, group: int | None = None) -> str | None:
    """None if what lies in a folder may be loaded; else the reason why not, for people.

    Unpickling runs code, so files count only where nobody else could have put them: the folder belongs to this user or
    root, and neither its group nor others may write there (unless the sticky bit keeps their files apart). With ``group``
    (its number) those of one group are trusted: the folder is theirs, whoever of them made it.
    """
    if not hasattr(os, "getuid"):
        return None
    try:
        # what is looked at is what was opened, not what the name means a moment later
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC | _NONBLOCK)
        try:
            found = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        return f"{folder} can't be looked at: {error.strerror or error}"
    me = os.getuid()
    if group is not None:
        if found.st_gid != group:
            return f"{folder} belongs to the group with id {found.st_gid}, not to the one that shares it (id {group})"
        if found.st_mode & 0o002:
            return f"{folder} can be written to by everybody; chmod o-w would change that"
        return None
    if found.st_uid not in (me, 0):
        return f"{folder} belongs to the user with id {found.st_uid}, not to you (id {me}) or root"
    if found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX:
        who = "everybody" if found.st_mode & 0o002 else "its group"
        return f"{folder} can be written to by {who} (mode {stat.S_IMODE(found.st_mode):04o}); chmod go-w would change that"
    return None


# ------------------------------------------------------------------------------------------------ network disks

# Names of file systems in /proc/mounts whose locks or shared memory SQLite can't rely on.
# fmt: off
_NETWORK = {
    "nfs", "nfs4", "cifs", "smb", "smbfs", "smb2", "smb3", "afs", "lustre", "gpfs", "mmfs", "beegfs", "ceph",
    "glusterfs", "orangefs", "pvfs2", "panfs", "ocfs2", "gfs2", "9p", "davfs", "coda", "moosefs", "quobyte",
    "wekafs", "acfs", "vboxsf", "prl_fs", "vmhgfs",
}
# fmt: on
# What is mounted by a program (fuse.sshfs, fuse.s3fs, fuse.rclone) is remote more often than not; these are not, and
# local NTFS and exFAT are of the kind "fuseblk".
_LOCAL_FUSE = {"fuse.fuse-overlayfs", "fuse.ecryptfs", "fuse.encfs", "fuse.gocryptfs", "fuse.bindfs", "fuse.mergerfs"}


_MOUNTS = "/proc/self/mounts"


def is_network(folder: str) -> bool:
    """Whether a folder (it need not exist yet) lies on a network disk; False where the system does not say."""
    path = os.path.realpath(folder)
    try:
        with open(_MOUNTS, "rb") as mounts:
            lines = mounts.read().splitlines()
    except OSError:
        return False
    kind = _kind_at(path, lines)
    return kind in _NETWORK or (kind.startswith("fuse.") and kind not in _LOCAL_FUSE)


def _kind_at(path: str, lines: list[bytes]) -> str:
    """The file system at a path: that of the longest mount point above it, the last one mounted there."""
    longest, kind = -1, ""
    for line in lines:
        fields = line.split(b" ")
        if len(fields) < 3:
            continue
        # blanks and the like in mount points are written in octal: \040
        point = os.fsdecode(fields[1].decode("unicode_escape").encode("latin-1"))
        if _below(path, point) and len(point) >= longest:
            longest, kind = len(point), fields[2].decode("ascii", "replace")
    return kind
