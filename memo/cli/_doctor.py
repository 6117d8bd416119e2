"""memo doctor: what could make a cache slow, unsafe or useless here, and what to do about it.

Each check gives what it found and the way out, or nothing. None reads the entries (``memo verify`` does) or changes anything.
"""

from __future__ import annotations

import os
import stat
import sys

from memo import _place, _upkeep, _verify
from memo._tuples import NamedTuple
from memo.errors import MemoError

from ._output import Nothing, as_json, counted, pairs, say
from ._places import absent, located, opened
from ._verify import folder_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Iterator

    from memo._place import Marker
    from memo.protocols import Storage

    from ._places import Command


_OWN = ("items", "raised")  #: not chosen by name, and always there

#: extra of memo -> the module that it brings
EXTRAS = {
    "arrow": "pyarrow", "cli": "rich", "diskcache": "diskcache", "fsspec": "fsspec", "gs": "gcsfs", "hdf5": "h5py",
    "lz4": "lz4", "msgspec": "msgspec", "postgresql": "psycopg", "progress": "tqdm", "pydantic": "pydantic",
    "pytables": "tables", "redis": "redis", "s3": "s3fs", "sqlalchemy": "sqlalchemy",
    "zstd": "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd",
}  # fmt: skip


class Symptom(NamedTuple):
    what: str
    advice: str
    serious: bool = True  #: else it is only good to know


def add(command: Callable[[str, Command, str], ArgumentParser]) -> None:
    parser = command(
        "doctor", doctor, "look for what could go wrong with this place and this Python, and say what to do"
    )
    parser.add_argument("--json", action="store_true", help="for programs")


def doctor(arguments: Namespace) -> None:
    location, _ = located(arguments)
    found = [*_of_python(), _of_extras()]
    if not absent(location):
        try:
            _, storage, marker = opened(arguments)
        except (MemoError, OSError, ImportError) as error:
            found.append(Symptom(f"the place can't be opened: {error}", "what it says has to be mended first"))
        else:
            folder = folder_of(arguments)
            if folder:
                found += _of_folder(folder, marker)
            found += _of_entries(storage, folder)
    if arguments.json:
        as_json([one._asdict() for one in found])
    for one in () if arguments.json else found:
        pairs([("found" if one.serious else "note", one.what), ("advice", one.advice)])
        print()
    serious = sum(one.serious for one in found)
    if serious:
        raise Nothing(f"{counted(serious, 'thing', 'things')} found; the place is {_place.shown(location)}")
    if not arguments.json:
        say(f"nothing found that needs you; the place is {_place.shown(location)}")


def _of_python() -> Iterator[Symptom]:
    """This interpreter and what is installed in it."""
    import memo

    others = _other_packages(os.path.dirname(os.path.abspath(memo.__file__)))
    if others:
        yield Symptom(
            f"there is another package named memo: {', '.join(others)}",
            "which one is imported depends on sys.path; remove one (pip uninstall), or use separate environments",
        )
    try:
        import sqlite3
    except ImportError:
        yield Symptom("this Python has no sqlite3", 'use Cache(..., storage="files"), or a Python that has it')
        return
    if sqlite3.threadsafety == 0:
        yield Symptom("this SQLite was built without locks for threads", 'use storage="files", or another Python')
    if sqlite3.sqlite_version_info < (3, 35):
        yield Symptom(f"SQLite {sqlite3.sqlite_version} is older than 3.35", 'use storage="files", or a newer Python')


def _of_extras() -> Symptom:
    here = [extra for extra, module in EXTRAS.items() if _is_there(module)]
    lacking = [extra for extra in EXTRAS if extra not in here]
    what = f"memo's extras that are there: {', '.join(here) or 'none'}; not there: {', '.join(lacking) or 'none'}"
    one = lacking[0] if lacking else "..."
    return Symptom(what, f'none is needed until something asks for it: pip install "memo-persist[{one}]"', False)


def _is_there(module: str) -> bool:
    from importlib.util import find_spec

    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even what it lies in
        return False


def _other_packages(here: str) -> list[str]:
    from importlib.metadata import packages_distributions

    found = [name for name in packages_distributions().get("memo", ()) if name != "memo-persist"]
    for entry in sys.path:
        there = os.path.join(os.path.abspath(entry or os.curdir), "memo")
        for path in (there, f"{there}.py"):
            module = os.path.isfile(os.path.join(path, "__init__.py")) or (
                path.endswith(".py") and os.path.isfile(path)
            )
            if module and os.path.realpath(path) != os.path.realpath(here):
                found.append(path)
    return sorted(set(found))


def _of_folder(folder: str, marker: Marker) -> Iterator[Symptom]:
    if marker.storage in ("sqlite", "shelve", "diskcache") and _place.is_network(folder):
        yield Symptom(
            f"{folder} lies on a network disk, and its storage is {marker.storage}, which relies on locks that such disks lack",
            "give a folder on a local disk, or make a new place with storage='files'",
        )
    if marker.storage == "sqlite" and (version := _sqlite_version()) < (3, 51, 3):
        yield Symptom(
            f"SQLite {'.'.join(map(str, version))} can damage a write-ahead log that two connections write and checkpoint at once",
            "memo's own writers take turns, so that it does not happen; let no other program write to entries.db",
            serious=False,
        )
    if (why := _place.owner_ok(folder)) is not None:
        yield Symptom(why, "without that results are computed and not loaded, unless trust_folder=True")
    elif hasattr(os, "getuid"):
        mode = stat.S_IMODE(os.stat(folder).st_mode)
        if mode & 0o077:
            yield Symptom(
                f"others may look into {folder} (mode {mode:04o})", f"chmod go= {folder}, if that is not on purpose"
            )
    if not os.access(folder, os.W_OK):
        yield Symptom(
            f"you may not write to {folder}", "what it has is served, what it lacks is computed and not stored"
        )
    room = os.statvfs(folder) if hasattr(os, "statvfs") else None
    if room is not None and (room.f_bavail * room.f_frsize < 50_000_000 or (room.f_files and room.f_favail < 1000)):
        yield Symptom(f"the disk of {folder} is nearly full", "memo prune, or Cache(max_size=...)")


def _sqlite_version() -> tuple[int, ...]:
    import sqlite3

    return sqlite3.sqlite_version_info


def _of_entries(storage: Storage, folder: str) -> Iterator[Symptom]:
    """What lies there, by the heads alone."""
    from memo import codecs, serializers

    for one in _verify.litter(storage, folder):
        yield Symptom(f"{one.what}: {one.why}", "memo verify --repair takes it away")
    names: set[tuple[str, bool]] = set()
    for entry in _upkeep.entries(storage):
        if entry.head is not None and entry.live:
            names.add((entry.head.serializer.partition(":")[0], False))
            names.update((codec, True) for codec in entry.head.codecs)
    for name, is_codec in sorted(names):
        try:
            if name not in _OWN:
                codecs.codec(name) if is_codec else serializers.serializer(name)
        except ImportError as error:
            yield Symptom(f"results stored by {name!r} can't be read here", str(error))
        except MemoError:
            yield Symptom(
                f"results stored by {name!r} can't be read here: nothing of that name is installed",
                "install the package that it comes from, or have these results computed again",
            )
