"""Power cuts: what was written is recorded, what was not yet synced is dropped, torn or reordered, and memo opens what is left.

Without ``durable`` the last moments may be lost, and nothing is ever wrong; with it nothing is lost that a call returned.
The disk that is played back promises as little as POSIX does: the bytes of a file are there after its own fsync, a name in
a folder after the folder's, in any order before that.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from places import forget, persisted, value

from memo import Cache, MemoWarning, OptionError
from memo.storages.sqlite import Sqlite

SIZE, CALLS = 300, 12


class Disk:
    """What was done below ``root``: changes of names, bytes written to files, and what was synced, in order."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.done: list[tuple[Any, ...]] = []
        self.told: list[int] = []  #: how many of these were done when a call returned
        self._files: dict[int, Any] = {}  # descriptor -> inode, or the path of a folder
        self._inodes: dict[str, int] = {}

    @contextmanager
    def recording(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        with monkeypatch.context() as patch:
            for name in ("open", "write", "writev", "fsync", "rename", "replace", "link", "unlink", "mkdir", "close"):
                patch.setattr(os, name, self._recorded(name, getattr(os, name)))
            yield

    def _recorded(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            self._note(name, result, *args)
            return result

        return call

    def _note(self, name: str, result: Any, first: Any, *rest: Any) -> None:
        below = isinstance(first, str) and first.startswith(self.root)
        if name == "open" and below:
            if os.path.isdir(first):
                self._files[result] = first
            else:
                if first not in self._inodes:
                    self._inodes[first] = len(self.done) + 1
                    self.done.append(("create", first, self._inodes[first]))
                self._files[result] = self._inodes[first]
        elif name in ("rename", "replace", "link") and below:
            inode = self._inodes.get(first) if name == "link" else self._inodes.pop(first, None)
            if inode is not None:
                self._inodes[rest[0]] = inode
            self.done.append(("link" if name == "link" else "rename", first, rest[0]))
        elif name == "unlink" and below:
            self._inodes.pop(first, None)
            self.done.append(("unlink", first))
        elif name == "mkdir" and below:
            self.done.append(("mkdir", first))
        elif name == "close":
            self._files.pop(first, None)
        elif first in self._files:
            if name == "fsync":
                inode = self._files[first]
                if not isinstance(inode, str) and not any(step[:2] == ("data", inode) for step in self.done):
                    path = next(path for path, its in self._inodes.items() if its == inode)
                    self.done.append(("data", inode, Path(path).read_bytes()))  # written by a file object of Python's
                self.done.append(("sync", inode))
            elif name in ("write", "writev"):
                data = rest[0] if name == "write" else b"".join(rest[0])
                self.done.append(("data", self._files[first], bytes(data)[:result]))

    def left(self, count: int, rng: random.Random, keep: float) -> tuple[dict[str, int], dict[int, bytes], set[str]]:
        """After the first ``count``: names, contents, folders; of what was not synced each piece only by chance."""
        names: dict[str, int] = {}
        folders = {self.root}
        data: dict[int, bytes] = {}
        synced: dict[int, int] = {}
        last: dict[str, int] = {}
        for at, step in enumerate(self.done[:count]):
            if step[0] == "sync" and isinstance(step[1], int):
                synced[step[1]] = len(data.get(step[1], b""))
            elif step[0] == "sync":
                last[step[1]] = at
            elif step[0] == "data":
                data[step[1]] = data.get(step[1], b"") + step[2]
        for at, step in enumerate(self.done[:count]):
            if step[0] in ("sync", "data"):
                continue
            if (
                at > last.get(os.path.dirname(step[-1] if step[0] in ("rename", "link") else step[1]), -1)
                and rng.random() >= keep
            ):
                continue
            if step[0] == "create":
                names[step[1]] = step[2]
            elif step[0] == "mkdir":
                folders.add(step[1])
            elif step[0] == "unlink":
                names.pop(step[1], None)
            else:
                inode = self._was(step[1], at)
                if step[0] == "rename":
                    names.pop(step[1], None)
                names[step[2]] = inode
        for inode, content in data.items():
            sure = synced.get(inode, 0)
            kept = rng.randint(sure, len(content)) if rng.random() < keep else sure
            zeros = b"\0" * rng.choice([0, len(content) - kept])  # a file may have its length before its bytes
            data[inode] = content[:kept] + zeros
        return names, data, folders

    def _was(self, path: str, at: int) -> int:
        """The inode that had this name before step ``at``."""
        names: dict[str, int] = {}
        for step in self.done[:at]:
            if step[0] == "create":
                names[step[1]] = step[2]
            elif step[0] == "unlink":
                names.pop(step[1], None)
            elif step[0] in ("rename", "link"):
                inode = names.get(step[1], -1) if step[0] == "link" else names.pop(step[1], -1)
                names[step[2]] = inode
        return names.get(path, -1)

    def materialise(self, target: Path, count: int, rng: random.Random, keep: float) -> None:
        names, data, folders = self.left(count, rng, keep)
        target.mkdir()
        for folder in sorted(folders):
            there = target / os.path.relpath(folder, self.root)
            if there.parent.is_dir():  # else it hangs in the air
                there.mkdir(exist_ok=True)
        for path, inode in names.items():
            there = target / os.path.relpath(path, self.root)
            if there.parent.is_dir() and not there.is_dir():
                there.write_bytes(data.get(inode, b""))


def opened_after(folder: Path, kind: str, sure: int) -> None:
    """A new process on what is left: right values, no exception, and of the first ``sure`` calls nothing is lost."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MemoWarning)
        one = persisted(folder, kind, SIZE)
        for x in range(CALLS):
            assert one.f(x) == value(x, SIZE)
        forget(one)
    assert min(one.calls, default=CALLS) >= sure, f"lost {one.calls}, {sure} had returned"


@pytest.mark.parametrize("cuts", [15, pytest.param(300, marks=pytest.mark.slow)])
@pytest.mark.parametrize("durable", [False, True])
def test_files_after_a_power_cut(memory: Path, durable: bool, cuts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    root = memory / "disk"
    root.mkdir()
    disk, rng = Disk(root), random.Random(7)
    one = persisted(root / "place", "files", SIZE, durable=durable)
    with disk.recording(monkeypatch):
        for x in range(CALLS):
            one.f(x)
            disk.told.append(len(disk.done))
    assert any(step[0] == "data" for step in disk.done)
    for number in range(cuts):
        count, keep = rng.randint(0, len(disk.done)), rng.choice([0.0, 0.3, 0.7, 1.0])
        target = memory / f"{number}"
        disk.materialise(target, count, rng, keep)
        sure = sum(at <= count for at in disk.told) if durable else 0
        opened_after(target / "place", "files", sure)
        shutil.rmtree(target)


@pytest.mark.parametrize("cuts", [10, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("durable", [False, True])
def test_sqlite_after_a_power_cut(memory: Path, durable: bool, cuts: int) -> None:
    """What the database and its log are when each call returns; of the log everything behind that may be lost or torn."""
    place, images, rng = memory / "place", [], random.Random(7)
    one = persisted(place, "sqlite", SIZE, durable=durable)
    for x in range(CALLS):
        one.f(x)
        images.append({path.name: path.read_bytes() for path in place.iterdir() if path.is_file()})
    for number in range(cuts):
        told = rng.randint(1, CALLS)
        before, after = images[told - 1], images[min(told, CALLS - 1)]
        target = memory / f"{number}"
        shutil.copytree(place, target)
        for path in target.iterdir():
            if path.is_file():
                path.unlink()
        for name, content in after.items():
            if name.endswith("-shm"):
                continue  # never synced: SQLite makes it anew
            if name.endswith("-wal"):
                least = len(before[name]) if durable else 0
                kept = rng.randint(least, len(content))
                content = content[:kept] + rng.choice([b"", bytes(len(content) - kept), rng.randbytes(100)])
            (target / name).write_bytes(content)
        opened_after(target, "sqlite", told if durable else 0)
        shutil.rmtree(target)
    forget(one)


def test_sqlite_waits_for_the_disk_when_it_is_to_be_durable(tmp_path: Path) -> None:
    for durable, level in ((False, 1), (True, 2)):
        storage = Sqlite(tmp_path / str(durable), durable=durable)
        storage.write("a/b/c", [b"x"], lambda: b"h", size=1, mark=0)
        connection = storage._database.here.connection
        assert connection.execute("PRAGMA synchronous").fetchone() == (level,)  # 1 NORMAL, 2 FULL
        storage.close()
    assert sqlite3.sqlite_version_info >= (3, 7)


def test_durable_is_for_those_that_can(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="durable=True is for the storages 'sqlite' and 'files', not 'shelve'"):
        Cache(tmp_path, storage="shelve", durable=True)
    one = persisted(tmp_path / "place", "shelve", SIZE)
    assert one.f(1) == value(1, SIZE)
    two = Cache(tmp_path / "place", durable=True)
    with pytest.warns(MemoWarning, match="durable=True is for"):
        assert two.persist(lambda: 7)() == 7
