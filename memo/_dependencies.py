"""What results may depend on besides arguments and code: ``@persist(depends=["prices.csv", Env("REGION")])``.

Each has ``state()``: bytes that stay the same while nothing has changed, in every process and at whatever place. The
decision: files count by content. A file whose size, time and inode are what they were is not read again in this process;
that shortcut never leaves the process, and is not trusted for files that were written a moment ago.
"""

from __future__ import annotations

import os
import time
from typing import Any

from .errors import OptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .policies import Depends

_YOUNG = 2.0  #: seconds; some disks tell times no finer
_KNOWN = 10_000

_digests: dict[str, tuple[tuple[int, int, int, int], bytes]] = {}


class Path:
    """A file, a folder with all that is below it, or a pattern with ``*``, ``?``, ``[...]``, ``**``: by content.

    What lies at the place counts, not what the place is called: names count only below a folder or pattern.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)

    def __repr__(self) -> str:
        return f"Path({self.path!r})"

    def __str__(self) -> str:
        return self.path

    def state(self) -> bytes:
        path = os.path.expanduser(self.path)
        if not os.path.lexists(path) and any(sign in path for sign in "*?["):
            from glob import glob

            base = os.path.dirname(path.split("*")[0].split("?")[0].split("[")[0])
            found = sorted(one for one in glob(path, recursive=True) if os.path.isfile(one))
            return _listed((os.path.relpath(one, base or os.curdir), one) for one in found)
        if os.path.isdir(path):
            below = [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]
            return _listed((os.path.relpath(one, path), one) for one in sorted(below))
        return content(path)


def _listed(files: Iterable[tuple[str, str]]) -> bytes:
    """Names and contents, each name behind its length, so that no two listings read alike."""
    parts = [b"folder"]
    for name, path in files:
        encoded = name.replace(os.sep, "/").encode("utf-8", "surrogateescape")
        parts += (len(encoded).to_bytes(4), encoded, content(path))
    return b"".join(parts)


def content(path: str) -> bytes:
    """Digest of a file's content; one of two words where there is no file, or none that can be read."""
    from .fingerprint._digest import digest_file

    try:
        about = os.stat(path)
        seen = about.st_size, about.st_mtime_ns, about.st_ino, about.st_dev
        known = _digests.get(path)
        if known is not None and known[0] == seen:
            return known[1]
        found = digest_file(path)
        if time.time() - about.st_mtime > _YOUNG:
            if len(_digests) >= _KNOWN:
                _digests.clear()
            _digests[path] = seen, found
        return found
    except (FileNotFoundError, NotADirectoryError):
        return b"absent"
    except OSError:
        return b"unreadable"


class Env:
    """An environment variable: ``Env("REGION")``. Not being set is a state like any other."""

    __module__ = "memo"

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not name:
            raise OptionError(f"Env takes the name of an environment variable, such as Env('REGION'); got {name!r}")
        self.name = name

    def __repr__(self) -> str:
        return f"Env({self.name!r})"

    def __str__(self) -> str:
        return f"environment variable {self.name}"

    def state(self) -> bytes:
        value = os.environ.get(self.name)
        return b"unset" if value is None else b"=" + value.encode("utf-8", "surrogateescape")


class Package:
    """The version of an installed distribution: ``Package("numpy")``. Not being installed is a state like any other."""

    __module__ = "memo"

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not name:
            raise OptionError(f"Package takes the name of a distribution, such as Package('numpy'); got {name!r}")
        self.name = name

    def __repr__(self) -> str:
        return f"Package({self.name!r})"

    def __str__(self) -> str:
        return f"package {self.name}"

    def state(self) -> bytes:
        state = _versions.get(self.name)
        if state is None:  # what is installed while a process runs is not what runs
            from importlib.metadata import PackageNotFoundError, version

            try:
                state = b"=" + version(self.name).encode()
            except PackageNotFoundError:
                state = b"absent"
            _versions[self.name] = state
        return state


_versions: dict[str, bytes] = {}


class Value:
    """What a function gives: ``Value(schema_version)``. It is called at every look-up; anything that can be keyed counts."""

    __module__ = "memo"

    def __init__(self, function: Callable[[], Any]) -> None:
        if not callable(function):
            raise OptionError(f"Value takes a function without arguments; got {function!r}")
        self.function = function

    def __repr__(self) -> str:
        return f"Value({getattr(self.function, '__qualname__', self.function)})"

    def __str__(self) -> str:
        return f"the value of {getattr(self.function, '__qualname__', self.function)}()"

    def state(self) -> bytes:
        from .fingerprint import fingerprint

        return fingerprint(self.function(), str(self))


def depends(on: Any) -> Depends:
    """The policy of ``depends=``: paths as text, and anything with ``state()``. Raises OptionError for anything else."""
    from .policies import Depends

    if isinstance(on, (str, bytes, os.PathLike)) or hasattr(on, "state"):
        raise OptionError(f"depends must be a list: write depends=[{on!r}]")
    found = []
    for one in on:
        if isinstance(one, (str, os.PathLike)):
            found.append(Path(one))
        elif callable(getattr(one, "state", None)) and not isinstance(one, type):
            found.append(one)
        else:
            raise OptionError(
                f"depends takes paths, Env, Package, Value, persisted functions, references to their results, and objects"
                f" with state() -> bytes; got {one!r}"
            )
    return Depends(*found)
