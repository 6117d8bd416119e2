"""Disks and folders as they are: full, without inodes, read-only, of somebody else, of nobody, without a home.

Some of it needs root: to mount a tiny disk, and to become somebody else, since root passes mode bits. Skipped otherwise.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from places import KINDS, SIZES, forget, persisted, value, watched

from memo import Cache, events, persist

Anew = Callable[[str, str, str], Path]
NOBODY, SOMEBODY = 65534, 12345  #: ids of users


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a disk in memory, with options."""
    points: list[Path] = []

    def mount(options: str) -> Path:
        point = tmp_path / f"disk{len(points)}"
        point.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(point)], capture_output=True)
        if done.returncode:
            pytest.skip("may not mount here")
        points.append(point)
        return point

    yield mount
    for point in points:
        subprocess.run(["umount", "-l", str(point)], check=True)


def as_user(user: int, work: Callable[[], Any]) -> Any:
    """What ``work`` gives in a child process of that user."""
    if os.getuid():
        pytest.skip("only root may become somebody else")
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
            answer: tuple[bool, Any] = (True, work())
        except BaseException:
            answer = (False, traceback.format_exc())
        with open(writing, "wb") as pipe:
            pipe.write(pickle.dumps(answer))
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    ok, result = pickle.loads(told)
    assert ok, result
    return result


def calls(folder: Path, kind: str, size: int, xs: range) -> tuple[list[int], list[str]]:
    """As a new process: which of these calls computed, and what was told. Values are right."""
    one = persisted(folder, kind, size)

    def work() -> None:
        for x in xs:
            assert one.f(x) == value(x, size)

    _, texts = watched(work, raising=False)
    forget(one)
    return one.calls, texts


@pytest.mark.parametrize("lacking", ["room", "inodes"])
@pytest.mark.parametrize("size", [2_000, 80_000])
@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk(mounted: Callable[[str], Path], kind: str, size: int, lacking: str) -> None:
    disk = mounted("size=16m,nr_inodes=60" if lacking == "inodes" else "size=3m")
    place = disk / "place"
    kept, texts = calls(place, kind, size, range(10))
    assert (len(kept), texts) == (10, [])
    filler = []
    while True:  # nothing is left
        path = disk / f"filler{len(filler)}"
        try:
            with open(path, "wb") as file:
                filler.append(path)
                while lacking == "room":
                    os.write(file.fileno(), bytes(4096))
        except OSError:
            break
    computed, texts = calls(place, kind, size, range(100))
    assert set(range(10)).isdisjoint(computed), "hits need no room"
    assert len(computed) == 90
    if lacking == "room" or kind == "files":  # a database with room in it needs no inode for more rows
        assert len(texts) == 1
        assert any(reason in texts[0] for reason in ("No space left", "disk is full", "disk I/O error")), texts
    for path in filler:
        path.unlink(missing_ok=True)
    left = list(place.rglob("_new/*"))
    assert left == [], "nothing half written stays"
    subprocess.run(["mount", "-o", "remount,size=64m,nr_inodes=10000", str(disk)], check=True)
    computed, texts = calls(place, kind, size, range(100))
    assert set(range(10)).isdisjoint(computed)
    assert texts == []
    assert calls(place, kind, size, range(100)) == ([], []), "100 of 100"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_that_may_only_be_read(place: Anew, kind: str, size: str) -> None:
    """Hits, and values for misses: at once, since a lock that is not to be had is no reason to wait."""
    folder = place("a load", kind, size)
    for path in [folder.parent, folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o444)
    computed, texts = as_user(NOBODY, lambda: calls(folder, kind, SIZES[size], range(3)))
    assert computed == [1, 2]
    assert len(texts) <= 1
    folder.parent.chmod(0o700)


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_that_may_not_even_be_entered(place: Anew, kind: str) -> None:
    folder = place("a load", kind, "small")
    folder.parent.chmod(0o755)
    folder.chmod(0o700)
    computed, texts = as_user(NOBODY, lambda: calls(folder, kind, SIZES["small"], range(3)))
    assert computed == [0, 1, 2]
    assert len(texts) == 1
    assert "Permission denied" in texts[0]


@pytest.mark.parametrize("kind", KINDS)
def test_what_belongs_to_somebody_else_is_not_loaded(place: Anew, kind: str) -> None:
    folder = place("a load", kind, "small")
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, SOMEBODY, SOMEBODY)
        path.chmod(0o755 if path.is_dir() else 0o644)
    folder.parent.chmod(0o755)
    for user in (0, NOBODY):  # root in a container, on the mounted folder of a user outside
        computed, texts = as_user(user, lambda: calls(folder, kind, SIZES["small"], range(2)))
        assert computed == [0, 1]
        assert len(texts) == 1
        assert f"belongs to the user with id {SOMEBODY}" in texts[0]
        assert "trust_folder=True" in texts[0]
    assert as_user(SOMEBODY, lambda: calls(folder, kind, SIZES["small"], range(2)))[0] == [1]


def test_a_user_without_a_home_has_a_cache_in_memory(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MEMO_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/nonexistent")
    calls = []

    def work() -> Any:
        def g(x: int) -> list[int]:
            calls.append(x)
            return [x]

        g = persist(g, name="faults.homeless", code="off", version=1)
        events._warned.clear()
        return watched(lambda: [g(1), g(1), g(2)], raising=False)

    result, texts = as_user(NOBODY, work)
    assert result == [[1], [1], [2]]
    assert len(texts) == 1
    assert "MEMO_DIR" in texts[0]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
@pytest.mark.parametrize("kind", ["sqlite", "files", "shelve"])
def test_nobody_else_can_look_inside_whatever_the_umask(memory: Path, kind: str, umask: int) -> None:
    """As a user, since root passes what an umask takes away."""
    memory.chmod(0o777)

    def work(folder: Path) -> Any:
        one = Cache(folder, storage=kind).persist(
            lambda x: value(x, 100_000 * x), name="faults.u", code="off", version=1
        )
        values, _ = watched(lambda: [one(x) == value(x, 100_000 * x) for x in (0, 1)], raising=False)
        return values, umask == 0o777 or (one.is_cached(0) and one.is_cached(1))

    def with_umask() -> Any:
        os.umask(umask)
        return work(memory / "above" / "place")

    work(memory / "another")  # whatever is imported for it may lie where only root may look
    assert as_user(NOBODY, with_umask) == ([True, True], True)
    for path in [memory / "above", *(memory / "above").rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, f"{path} has mode {path.stat().st_mode:o}"
