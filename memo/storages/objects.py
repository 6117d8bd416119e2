"""Buckets and whatever else fsspec reaches: one object per entry, the same bytes as a file of the storage "files".

An object is ``<url>/<scope>/<version>/_<last component>``: the payload, the head, and 40 bytes that say where they end.
So an entry comes in one trip, a large one in parts, its head alone by a range read of the last few KB, and a large body
goes up in parts as it is made, with its digest behind it. A look-up asks for one object by its name and lists nothing;
fsspec's caches of listings and of instances are off, since others write here.

An object appears whole or not at all: S3 puts it, or completes its parts, in one step; with a disk behind the URL it is
written aside and moved. Of two writers the last one counts, which the contract asks for. S3 keeps the parts of an upload
whose writer was killed until a lifecycle rule of the bucket (AbortIncompleteMultipartUpload) removes them.

A word is the mark of an empty entry, never the same number twice. One that is not there is made, by a conditional write
where the store has it: the first one counts for all. So words that are lost, to a rule of the bucket or to somebody who
emptied it, bring nothing back that was cleared, neither here nor in the near tier of any machine.

Every trip is bounded: ``timeout`` seconds, and one more per MB. What fails at once is tried a second time, by us and not
by the client, whose pauses would end in a time-out that does not tell why.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from time import monotonic, time
from typing import Any

from .._abilities import EntryWords, ScannedRanks, new_word
from .._aside import STALE
from ..errors import DamagedError, MemoError, OptionError
from ..model import Buffer, Item, Record
from ._disk import make_folder
from ._entry_file import END_SIZE, checked, end_of, fields_of
from ._lock import Turns
from ._parts import views

_HEAD = 4096  # bytes from the end in which nearly every head fits
_WHOLE = 1 << 18  # bytes from the end in which most entries fit
_PART = 8 << 20  # bytes of one part of an upload, 10,000 of which are S3's limit
_BATCH = 200  # objects asked for at once

_S3 = ("s3", "s3a")
#: where an object is put in one step; elsewhere it is written aside and moved
_AT_ONCE = (*_S3, "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci", "memory")
#: what writes an object only if there is none, where one step does it
_CREATE = {scheme: {"mode": "create"} for scheme in (*_S3, "memory")}
_EXTRAS = {"s3": ("s3fs", "s3"), "s3a": ("s3fs", "s3"), "gs": ("gcsfs", "gs"), "gcs": ("gcsfs", "gs")}
_WRITTEN = ("LastModified", "last_modified", "mtime", "updated", "created")  # as the file systems call it

_inherited: list[object] = []  # of the parent of a forked process: their end would talk to a thread that is not there


class Objects:
    """Entries as objects under ``url``: ``s3://bucket/prefix``, ``gs://...``, ``file:///folder``, ``memory://x``, ...

    The bucket must exist; the right to list it is needed, without it S3 says "access denied" for what is not there.

    Args:
        timeout: seconds that a trip may take, and one more per MB.
        storage_options: of the fsspec file system: ``key``, ``secret``, ``endpoint_url``, ``anon``, ... Without any,
            credentials are found as the client library finds them.

    Raises OSError from every verb: TimeoutError, ConnectionError, PermissionError (access denied), FileNotFoundError (no
    such bucket); DamagedError for an object that is not what was written; ImportError here where an extra is missing.
    """

    def __init__(self, url: str, *, timeout: float = 2.0, **storage_options: Any) -> None:
        self.scheme, separator, _ = url.partition("://")
        if not separator:
            raise OptionError(f"objects lie behind a URL such as 's3://bucket/prefix', not {url!r}")
        client, extra = _EXTRAS.get(self.scheme, ("fsspec", "fsspec"))
        for module in ("fsspec", client):
            if find_spec(module) is None:
                raise ImportError(
                    f'{self.scheme}:// needs {module}, which is not installed: pip install "memo-persist[{extra}]"'
                )
        self.url, self.timeout, self._options = url.rstrip("/"), timeout, storage_options
        self._opened: tuple[int, Any, str] | None = None
        self._turns = Turns()
        self._words, self._unkept = EntryWords(self), 0
        self.bump, self.watch = self._words.bump, self._words.watch
        self._order = ScannedRanks(self, self._listed)
        self.rank, self.totals = self._order.rank, self._order.totals

    def __reduce__(self) -> tuple[Callable[..., Objects], tuple[str, float, dict[str, Any]]]:
        return _objects, (self.url, self.timeout, self._options)

    def __repr__(self) -> str:
        _, at, rest = self.url.partition("://")[2].rpartition("@")
        return f"Objects('{self.scheme}://{'***@' if at else ''}{rest}')"

    # -- the four verbs

    def read(self, name: str, /) -> Record | None:
        path = self._path(name)
        last = self._bytes(path, _WHOLE)
        if last is None or (extent := _extent(last, name)) <= len(last):
            return None if last is None else _record(last, name)
        data = self._in_parts(path, extent, last[-END_SIZE:]) if extent > _PART else None
        whole = data or self._bytes(path, 0, extent)
        return None if whole is None else _record(whole, name)

    def _in_parts(self, path: str, extent: int, end: bytes) -> bytearray | None:
        """A large object without a second copy of it, several parts at once; None if it became another meanwhile."""
        data = bytearray(extent)
        for first in range(0, extent, 2 * _PART):
            starts = list(range(first, min(first + 2 * _PART, extent), _PART))
            ends = [min(start + _PART, extent) for start in starts]
            pieces = self._ask("cat_ranges", [path] * len(starts), starts, ends, size=ends[-1] - first)
            for start, stop, piece in zip(starts, ends, pieces, strict=True):
                if isinstance(piece, Exception) or len(piece) != stop - start:
                    return None
                data[start:stop] = piece
        # the time of writing is in it: while the end is the same, nobody has written in between
        return data if self._bytes(path, END_SIZE) == end else None

    def write(
        self,
        name: str,
        parts: Iterable[Buffer],
        head: Callable[[], bytes],
        /,
        *,
        size: int,
        mark: int,
        suffix: str = "",
    ) -> None:
        self._write(name, parts, head, size, mark)

    def _write(
        self,
        name: str,
        parts: Iterable[Buffer],
        head: Callable[[], bytes],
        size: int,
        mark: int,
        **options: str,
    ) -> None:
        path = self._path(name)
        if self.scheme in _S3 and size > _PART:
            with self._uploaded(path) as write:
                self._write_parts(write, parts, head, size, mark)
        elif self.scheme in _AT_ONCE:
            pieces: list[Buffer] = []
            self._write_parts(pieces.append, parts, head, size, mark)
            self._ask("pipe_file", path, b"".join(pieces), size=size, **options)
        else:
            with self._moved(path) as write:
                self._write_parts(write, parts, head, size, mark)

    def remove(self, name: str, /) -> None:
        try:
            self._ask("rm_file", self._path(name))
        except (FileNotFoundError, NotADirectoryError):
            pass

    def scan(self, prefix: str = "", /) -> Iterator[Item]:
        return self._filled([item.name for _, item in self._listed(prefix)])

    # -- what it does better than a fall-back could

    def head(self, name: str, /) -> tuple[bytes, int] | None:
        data = self._bytes(self._path(name), _HEAD)
        return None if data is None else self._end(name, data)

    def word(self, scope: str, /) -> int:
        name = f"words/{scope}"
        try:
            found = self.head(name)
        except DamagedError:  # what it was nobody knows: another one, so all that was stored under it counts as cleared
            self.remove(name)
            found = None
        if found is None:
            try:
                self._write(name, (), bytes, 0, new_word(), **_CREATE.get(self.scheme, {}))
            except FileExistsError:
                pass
            except PermissionError:  # who may not write has stored nothing under any word
                self._unkept = self._unkept or new_word()
                return self._unkept
            found = self.head(name)
        return self._words.word(scope) if found is None else found[1]

    def read_many(self, names: Sequence[str], /) -> Mapping[str, Record]:
        found: dict[str, Record] = {}
        for name, data in self._ends(names, _WHOLE):
            record = _record(data, name) if _extent(data, name) <= len(data) else self.read(name)
            if record is not None:
                found[name] = record
        return found

    def lowest(self, scope: str, n: int, /) -> list[Item]:
        return list(self._filled([item.name for item in self._order.lowest(scope, n)]))

    def down(self, error: Exception, /) -> bool:
        """A bucket that is missing or closed to us has answered."""
        answers = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, MemoError)
        return isinstance(error, OSError) and not isinstance(error, answers)

    def sweep(self, orphaned: Callable[[str], bool] | None = None, /) -> None:
        """Takes away what killed writers left behind over an hour ago, where objects are written aside and moved."""
        if self.scheme in _AT_ONCE:
            return
        try:
            found = self._ask("ls", f"{self._system()[1]}/_new", detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return
        for info in found:
            if time() - _written(info) > STALE:
                self._ask("rm", info["name"], recursive=True)

    # -- listings: names, sizes and times come with them, heads do not

    def _listed(self, prefix: str) -> Iterator[tuple[float, Item]]:
        """(time of writing in seconds, item without mark and head) of every entry."""
        fs, root = self._system()
        above = [checked(component) for component in prefix.split("/")] if prefix else []
        try:
            found = self._ask("find", "/".join([root, *above]), size=100 << 20, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return
        for path, info in found.items():
            *folders, last = fs._strip_protocol(path)[len(root) + 1 :].split("/")
            if folders and last[:1] == "_" and folders[0][:1] != "_":
                yield _written(info), Item("/".join([*folders, last[1:]]), info["size"] - END_SIZE, 0, b"")

    def _filled(self, names: Sequence[str]) -> Iterator[Item]:
        for name, data in self._ends(names, _HEAD):
            try:
                end = self._end(name, data)
                size = _extent(data, name) - END_SIZE
            except DamagedError:  # reading it says so
                continue
            if end is not None:
                yield Item(name, size, end[1], end[0])

    def _ends(self, names: Sequence[str], size: int) -> Iterator[tuple[str, bytes]]:
        """The last ``size`` bytes of each object that is there, many at once."""
        for at in range(0, len(names), _BATCH):
            some = names[at : at + _BATCH]
            paths = [self._path(name) for name in some]
            for name, data in zip(some, self._ask("cat_ranges", paths, -size, None, size=len(some) << 17), strict=True):
                if not isinstance(data, Exception):
                    yield name, data
                elif not isinstance(data, (FileNotFoundError, NotADirectoryError)):
                    raise _plain(data, self)

    def _end(self, name: str, data: bytes) -> tuple[bytes, int] | None:
        """Head and mark from the last bytes; where a head of unusual size is not whole in them, with another look."""
        _, length, _, mark, _ = fields_of(data, name)
        if length + END_SIZE > len(data):
            again = self._bytes(self._path(name), length + END_SIZE, length)
            if again is None:
                return None
            if len(again) <= len(data):
                raise DamagedError(f"{name} has lost its beginning")
            return self._end(name, again)
        stop = len(data) - END_SIZE
        return data[stop - length : stop], mark

    # -- trips

    def _system(self) -> tuple[Any, str]:
        """The file system and the path of the URL in it: one of this process, since threads and sockets don't outlive a fork."""
        opened = self._opened
        if opened is None or opened[0] != os.getpid():
            with self._turns[self.url]:
                opened = self._opened
                if opened is None or opened[0] != os.getpid():
                    if opened is not None:
                        _inherited.append(opened)
                    opened = self._opened = (os.getpid(), *self._open())
        return opened[1:]

    def _open(self) -> tuple[Any, str]:
        import fsspec

        options = {"skip_instance_cache": True, "use_listings_cache": False, **self._options}
        if self.scheme in _S3:
            bounded = {
                "connect_timeout": self.timeout,
                "read_timeout": self.timeout,
                "retries": {"total_max_attempts": 2},
            }
            options["config_kwargs"] = bounded | options.get("config_kwargs", {})
            options.setdefault("max_concurrency", 1)  # more would ask for the size first: a trip on every read
        elif self.scheme in ("file", "local"):
            options.setdefault("auto_mkdir", True)
        fs, root = fsspec.core.url_to_fs(self.url, **options)
        if self.scheme in _S3:
            from functools import partial

            fs.retries = 1
            fs.connect(timeout=10 * self.timeout)  # looks for credentials, reaches no bucket
            fs.call_s3 = partial(fs.call_s3, timeout=self.timeout + _PART / 1e6)  # what the parts of an upload go by
        return fs, root.rstrip("/")

    def _path(self, name: str) -> str:
        *folders, last = map(checked, name.split("/"))
        return "/".join([self._system()[1], *folders, "_" + last])

    def _bytes(self, path: str, last: int, size: int = 0) -> bytes | None:
        """The last bytes of an object, 0: all; None where there is none. ``size``: how many, if they may be many."""
        try:
            return self._ask("cat_file", path, start=-last if last else None, size=size)  # type: ignore[no-any-return]
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def _ask(self, verb: str, *arguments: Any, size: int = 0, **options: Any) -> Any:
        fs = self._system()[0]
        if fs.async_impl:
            options["timeout"] = self.timeout + size / 1e6
        began = monotonic()
        try:
            with _said_plainly(self):
                return getattr(fs, verb)(*arguments, **options)
        except OSError as error:
            if not self.down(error) or monotonic() - began > self.timeout / 4:
                raise
        # what fails at once may be a connection that a restart has cut, or a store that asks to try again
        with _said_plainly(self):
            return getattr(fs, verb)(*arguments, **options)

    # -- writing

    def _write_parts(
        self,
        write: Callable[[Buffer], object],
        parts: Iterable[Buffer],
        head: Callable[[], bytes],
        size: int,
        mark: int,
    ) -> None:
        done = 0
        for view in views(parts):
            done += view.nbytes
            for at in range(0, view.nbytes, _PART):  # what is larger would be copied whole
                write(view[at : at + _PART])
        if done != size:
            raise ValueError(f"the parts of this body are {done} bytes, {size} were announced")
        for piece in end_of(head(), mark, size, ""):
            write(piece)

    @contextmanager
    def _uploaded(self, path: str) -> Iterator[Callable[[Buffer], object]]:
        """An object of S3 in parts: there once all have arrived, and nothing of it before."""
        fs = self._system()[0]
        with _said_plainly(self):
            file = fs.open(path, "wb", block_size=_PART, autocommit=False)

        def write(piece: Buffer) -> None:
            with _said_plainly(self):
                file.write(piece)

        try:
            yield write
            with _said_plainly(self):
                file.close()
                file.commit()
        except BaseException as error:
            file.closed = True  # else it would be completed when it is collected
            if not (isinstance(error, OSError) and self.down(error)):
                file.discard()
            raise

    @contextmanager
    def _moved(self, path: str) -> Iterator[Callable[[Buffer], object]]:
        """A file written aside and moved into place."""
        fs, root = self._system()
        if self.scheme in ("file", "local"):
            make_folder(root)  # others may not look into it, whatever the umask
        aside = f"{root}/_new/{os.urandom(8).hex()}"
        try:
            with _said_plainly(self):
                file = fs.open(aside, "wb")
            with file:
                yield file.write
            if self.scheme in ("file", "local") and os.path.isdir(path):  # out of the way, where it is swept
                os.rename(path, aside + "-")
            with _said_plainly(self):
                fs.mv(aside, path)
        except BaseException:
            try:
                fs.rm_file(aside)
            except Exception:
                pass
            raise


@contextmanager
def _said_plainly(storage: Objects) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        plain = _plain(error, storage)
        if plain is error:
            raise
        raise plain from error


def _plain(error: Exception, storage: Objects) -> Exception:
    """An OSError that says what is wrong: clients have errors of their own, and time-outs without a word."""
    if isinstance(error, TimeoutError) and not str(error):
        return TimeoutError(f"{storage!r} did not answer within {storage.timeout:g} s")
    return error if isinstance(error, OSError) else ConnectionError(f"{type(error).__name__}: {error}")


def _extent(data: Buffer, name: str) -> int:
    """How long the whole object is."""
    size, length, _, _, named = fields_of(data, name)
    return size + length + named + END_SIZE


def _record(data: bytes | bytearray, name: str) -> Record:
    size, length, _, mark, _ = fields_of(data, name)
    if _extent(data, name) != len(data):
        raise DamagedError(f"{name} is {len(data)} bytes, {_extent(data, name)} were written")
    # a small body in bytes of its own, which a front may keep; a large one where it is
    body: Buffer = bytes(data[:size]) if size < _WHOLE else memoryview(data)[:size]
    return Record(bytes(data[size : size + length]), mark, body)


def _written(info: Mapping[str, Any]) -> float:
    when = next((info[key] for key in _WRITTEN if info.get(key) is not None), 0.0)
    if isinstance(when, str):
        from datetime import datetime

        when = datetime.fromisoformat(when)
    return float(when.timestamp() if hasattr(when, "timestamp") else when)


def _objects(url: str, timeout: float, options: dict[str, Any]) -> Objects:
    return Objects(url, timeout=timeout, **options)
