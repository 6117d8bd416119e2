"""What killed processes leave behind goes with a later store; what may be of a living one, or be looked into, stays."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from memo import Cache, _litter, events
from memo._lockfile import LockFile
from memo.storages.archive import NewArchive
from memo.storages.files import Files
from memo.storages.objects import Objects

HOUR, DAY = 3600.0, 86400.0


def persisted(location: str | Path, **options: Any) -> tuple[Cache, Any]:
    cache = Cache(location, **options)
    return cache, cache.persist(lambda x, size=10: bytes([x]) * size, name="litter.f", code="off", version=1)


def aged(path: Path, seconds: float) -> Path:
    os.utime(path, (time.time() - seconds,) * 2, follow_symlinks=False)
    return path


def lying(path: Path, seconds: float, *, folder: bool = False) -> Path:
    """Something that was put there so long ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if folder:
        path.mkdir()
        (path / "inside").write_bytes(b"something")
    else:
        path.write_bytes(b"something")
    return aged(path, seconds)


def grown_old(place: Path) -> None:
    aged(place / "memo.json", 2 * HOUR)


@pytest.mark.parametrize("kind", ["sqlite", "files", "shelve", "diskcache"])
def test_the_next_store_takes_it_away(tmp_path: Path, kind: str, told: Any) -> None:
    if kind == "diskcache":
        pytest.importorskip("diskcache")
    place = tmp_path / "place"
    _, f = persisted(place, storage=kind)
    for x in range(3):
        f(x, 10), f(x, 100_000)
    names = [".memo-%016x.tmp", "entries.db.new", "entries.db.new-wal", "shelve.json.new"]
    gone = [lying(place / (name.replace("%016x", "0" * 16)), HOUR + 60) for name in names]
    gone += [lying(place / "entries.db.damaged-1", 8 * DAY), lying(place / "shelf.damaged", 8 * DAY)]
    gone += [lying(place / "diskcache.damaged", 8 * DAY, folder=True)]
    gone += [lying(place / "_tapes" / "0", HOUR + 60)]
    kept = [lying(place / "_tapes" / "1", HOUR - 60)]
    kept += [lying(place / (f".memo-{1:016x}.tmp"), HOUR - 60), lying(place / "entries.db.damaged-2", 6 * DAY)]
    if kind in ("sqlite", "files"):
        gone += [lying(place / "files" / "_new" / "0", HOUR + 60)]
        kept += [lying(place / "files" / "_new" / "1", HOUR - 60)]
    if kind == "diskcache":
        gone += [lying(place / "diskcache" / "0.new", HOUR + 60)]
        kept += [lying(place / "diskcache" / "1.new", HOUR - 60)]
    persisted(place)[1](50)
    assert all(path.exists() for path in kept + gone[:-1]), "a place of this hour has nothing so old"
    grown_old(place)
    persisted(place)[1](1)
    assert all(path.exists() for path in gone[:7]), "a hit takes no time for it"
    persisted(place)[1](51)
    assert [path.name for path in gone if path.exists()] == []
    assert [path.name for path in kept if not path.exists()] == []
    calls, g = [], persisted(place)[1]
    for x in range(3):
        assert g(x, 10) == bytes([x]) * 10
        assert g(x, 100_000) == bytes([x]) * 100_000
    assert (g.cache_info().misses, told(), calls) == (0, [], [])


def test_a_long_process_sweeps_every_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    swept = []
    monkeypatch.setattr(_litter, "sweep", lambda storage, folder, lock: swept.append(folder))
    place = tmp_path / "place"
    _cache, f = persisted(place)
    f(1)
    assert swept == []
    grown_old(place)
    f(2)
    assert swept == [], "a store asks for the time, and no more"
    now = time.monotonic()
    for hours in (1.1, 1.5, 2.3):
        monkeypatch.setattr("memo._cache.monotonic", lambda hours=hours: now + hours * HOUR)
        monkeypatch.setattr("memo._opened.monotonic", lambda hours=hours: now + hours * HOUR)
        f(int(hours * 10))
    assert swept == [str(place)] * 2


def test_a_sweep_that_fails_is_not_worth_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Any) -> None:
    def fails(*_: object) -> None:
        raise OSError("no")

    place = tmp_path / "place"
    persisted(place)[1](1)
    grown_old(place)
    monkeypatch.setattr(_litter, "sweep", fails)
    _, f = persisted(place)
    assert f(2) == b"\2" * 10
    assert f.is_cached(2)
    assert told() == []


@pytest.mark.parametrize("kind", ["sqlite", "files"])
def test_bodies_that_nobody_names(tmp_path: Path, kind: str) -> None:
    """Of writers killed between the two steps of a store; told by the time of their files, opened only where that fits."""
    place = tmp_path / "place"
    cache, f = persisted(place, storage=kind, serializer="json" if kind == "files" else "pickle")
    cache.persist(lambda x: "x" * x, name="litter.g", code="off", version=1)(100_000)
    f.set("x" * 90_000, 1)
    whole = {path for path in (place / "files").rglob("*") if path.is_file() and path.stat().st_size > 80_000}
    assert len(whole) == 2
    orphans = []
    for number, seconds in enumerate((2 * HOUR, 0.5 * HOUR)):
        if kind == "sqlite":
            name = f"litter.f-00/0a/{number:02x}00"
            Files(place / "files").write(name, [b"x" * 70_000], lambda: b"head", size=70_000, mark=0)
            orphans.append(aged(next((place / "files").rglob(f"_{number:02x}/*")), seconds))
        else:
            orphans.append(lying(next(iter(whole)).parent / f"beef-{number:08x}.json", seconds))
    for path in whole:
        aged(path, 3 * HOUR)
    grown_old(place)
    persisted(place)[1](2)
    assert [path.exists() for path in orphans] == [False, True]
    assert all(path.exists() for path in whole)
    assert (place / "files" / "_swept").stat().st_mtime > time.time() - HOUR
    folder = aged(orphans[1], 1.5 * HOUR).parent
    for above in (folder, *[path.parent for path in whole]):
        aged(above, 20 * HOUR)
    persisted(place)[1](3)
    assert orphans[1].exists(), "where nothing came or went since, nobody looks"
    aged(folder, HOUR)
    persisted(place)[1](4)
    assert not orphans[1].exists()
    assert all(path.exists() for path in whole)
    cache = Cache(place)
    assert cache.verify()[2] == ()


@pytest.mark.parametrize("method", ["sweep", "compact"])
def test_a_body_that_is_written_in_the_moment_of_the_sweep_stays(
    tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, f = persisted(tmp_path / "place")
    f(1, 90_000)
    storage: Any = cache.storage
    storage.small.remove(f.cache_key(1, 90_000))
    (body,) = [
        path for path in (tmp_path / "place" / "files").rglob("*") if path.is_file() and path.stat().st_size > 80_000
    ]
    aged(body, 2 * HOUR)
    monkeypatch.setattr("memo.storages._spill._STALE", -1.0)
    judged = storage._body

    def written_meanwhile(name: str) -> Any:
        monkeypatch.setattr(storage, "_body", judged)
        found = judged(name)
        persisted(tmp_path / "place")[1](1, 90_000)
        return found

    monkeypatch.setattr(storage, "_body", written_meanwhile)
    getattr(storage, method)()
    again = persisted(tmp_path / "place")[1]
    assert again(1, 90_000) == b"\1" * 90_000
    assert again.cache_info().misses == 0


def test_records_of_killed_processes(tmp_path: Path) -> None:
    place = tmp_path / "place"
    cache, f = persisted(place)
    f(1)

    def beat(name: str, host: str, seconds: float) -> None:
        told = {"host": host, "pid": 4_000_000, "started": 1, "beat": time.time() - seconds, "flights": []}
        body = json.dumps(told).encode()
        cache.storage.write(f"flights/{name}", [body], bytes, size=len(body), mark=0)

    beat("h-here", socket.gethostname(), 1)
    beat("h-far-and-dead", "another", 2 * HOUR)
    beat("h-far", "another", 0.5 * HOUR)  # its clock may be another
    grown_old(place)
    persisted(place)[1](2)
    assert [item.name for item in cache.storage.scan("flights")] == ["flights/h-far"]


def test_one_ruined_database_is_kept_for_a_week(tmp_path: Path) -> None:
    place = tmp_path / "place"
    for number in range(3):
        cache, f = persisted(place)
        f(number)
        cache.storage.close()  # type: ignore[attr-defined]
        aged(place / "entries.db", 30 * DAY)
        content = (place / "entries.db").read_bytes()
        (place / "entries.db").write_bytes(b"no database" + content[11:])
        os.utime(place / "entries.db", (1, 1))
        events._warned.clear()
        with pytest.warns(match="is not a database"):
            persisted(place)[1](number)
    aside = [path.name for path in place.iterdir() if ".damaged" in path.name]
    assert [name for name in aside if not name.endswith(("-wal", "-shm"))] == ["entries.db.damaged-3"]
    grown_old(place)
    persisted(place)[1](7)
    assert (place / "entries.db.damaged-3").exists(), "it is as old as its being set aside, whenever it was written"
    aged(place / "entries.db.damaged-3", 8 * DAY)
    persisted(place)[1](8)
    assert not (place / "entries.db.damaged-3").exists()


def test_a_folder_in_the_way_of_a_lock_twice(tmp_path: Path) -> None:
    place = tmp_path / "place"
    for number in range(3):
        cache, f = persisted(place)
        f(number)
        cache.storage.close()  # type: ignore[attr-defined]
        (place / "entries.lock").unlink()
        lying(place / "entries.lock", 0, folder=True)
    f = persisted(place)[1]
    assert f(9) == b"\t" * 10
    assert f.is_cached(9)
    assert sum(".damaged" in path.name for path in place.iterdir()) == 1


def test_files_written_aside_behind_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fsspec")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    storage = Objects(f"file://{tmp_path}/objects")
    storage.sweep()
    storage.write("a/b/c", [b"x"], lambda: b"head", size=1, mark=0)
    storage.sweep()
    young, old = (lying(tmp_path / "objects" / "_new" / str(hours), hours * HOUR) for hours in (0.5, 1.5))
    _, f = persisted(f"file://{tmp_path}/objects", trust_folder=True)
    f(1)
    assert (young.exists(), old.exists()) == (True, False)
    assert storage.read("a/b/c") is not None


def test_a_killed_export_goes_with_the_next_one(tmp_path: Path) -> None:
    old, young = (
        lying(tmp_path / f"all.memo.{name}.tmp", hours * HOUR) for name, hours in (("0" * 16, 2), ("1" * 16, 0.5))
    )
    other = lying(tmp_path / "all.memo.backup.tmp", 2 * HOUR)
    NewArchive(tmp_path / "all.memo").give_up()
    assert [path.exists() for path in (old, young, other)] == [False, True, True]


def test_a_lock_file_for_each_key_where_the_system_has_no_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(fcntl, "F_OFD_SETLK", raising=False)
    place = tmp_path / "place"
    _cache, f = persisted(place)
    f(1)
    assert len(list((place / "flights.locks").iterdir())) == 1
    locks = LockFile(str(place / "flights.lock"))
    for name in ("a/b/old", "a/b/young", "a/b/held"):
        with locks.lock(name) as had:
            assert had
    for name in ("old", "held"):
        aged(place / "flights.locks" / f"a-b-{name}", 2 * HOUR)
    grown_old(place)

    def left() -> set[str]:
        return {path.name for path in (place / "flights.locks").iterdir() if path.name.startswith("a-b-")}

    with locks.lock("a/b/held") as had:
        assert had
        persisted(place)[1](2)
        assert left() == {"a-b-held", "a-b-young"}
    persisted(place)[1](3)
    assert left() == {"a-b-young"}


def test_lock_files_of_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fsspec")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    _cache, f = persisted(f"file://{tmp_path}/objects", trust_folder=True)
    f(1)
    (own,) = (tmp_path / "caches" / "memo" / "flights").iterdir()
    aged(own, 9 * DAY)
    old, young = (lying(own.parent / f"{days:016x}.lock", days * DAY) for days in (8, 6))
    persisted(f"file://{tmp_path}/objects", trust_folder=True)[1](2)
    assert [path.exists() for path in (old, young)] == [False, True]
    assert not own.exists(), "its process goes on with it, and other processes make another"
    other = f"file://{tmp_path}/others"
    persisted(other, trust_folder=True)[1](1)
    (own,) = (path for path in young.parent.iterdir() if path != young)
    persisted(other, trust_folder=True)[1](2)
    assert f(3) == b"\3" * 10
