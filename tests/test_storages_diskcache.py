"""Entries in caches of diskcache: the contract, and rows that diskcache itself would unpickle."""

from __future__ import annotations

import os
import pickle
import signal
import sqlite3
import stat
import threading

import diskcache
import pytest

from memo import Cache, OptionError, PlaceError, persist
from memo.errors import DamagedError
from memo.storages import diskcache as _diskcache
from memo.storages import open_storage
from memo.storages.diskcache import Diskcache
from memo.testing import StorageSuite

NAME = "f-01/v1/00112233445566778899aabbccddeeff00112233"
EXECUTED = []


def put(storage, body=b"body", name=NAME):
    storage.write(name, [body], lambda: b"head", size=len(body), mark=3)


class TestFolder(StorageSuite):
    many = 300

    def make(self, tmp_path):
        return open_storage("diskcache", str(tmp_path))


class TestCache(StorageSuite):
    many = 300

    def make(self, tmp_path):
        self.folder = tmp_path / "mine"
        return Diskcache(diskcache.Cache(str(self.folder)))

    def test_reading_what_is_absent_makes_nothing(self, tmp_path):
        storage = self.make(tmp_path)
        assert (storage.read(NAME), list(storage.scan())) == (None, [])
        assert len(diskcache.Cache(str(self.folder))) == 0


class TestFanoutCache(TestCache):
    crowds_are_slow = True

    def make(self, tmp_path):
        self.folder = tmp_path / "mine" / "000"
        return Diskcache(diskcache.FanoutCache(str(tmp_path / "mine"), shards=3))


# ---------------------------------------------------------------------------------------- what must not be unpickled


def run():
    EXECUTED.append("ran")


class Malicious:
    def __reduce__(self):
        return run, ()


def plant(folder, key, value, **columns):
    """A row as whoever may write to the database can make one."""
    row = {"raw": 1, "mode": 4, "filename": None, "store_time": 0.0, "size": 0} | columns
    with sqlite3.connect(os.path.join(folder, "cache.db")) as db:
        db.execute("DELETE FROM Cache WHERE key = ?", (key,))
        db.execute(
            "INSERT INTO Cache(key, value, raw, mode, filename, store_time, size) VALUES(?,?,?,?,?,?,?)",
            (key, value, row["raw"], row["mode"], row["filename"], row["store_time"], row["size"]),
        )


@pytest.fixture
def executed():
    EXECUTED.clear()
    return EXECUTED


def test_a_row_that_would_be_unpickled_is_refused_unread(tmp_path, executed):
    storage = Diskcache(tmp_path / "place")
    put(storage)
    blob = pickle.dumps(Malicious())
    plant(tmp_path / "place", "memo:" + NAME, blob)
    theirs = diskcache.Cache(str(tmp_path / "place"))
    theirs.get("memo:" + NAME)
    assert executed == ["ran"], "diskcache itself runs it: otherwise this tests nothing"
    executed.clear()
    for attempt in (lambda: storage.read(NAME), lambda: storage.head(NAME)):
        with pytest.raises(DamagedError, match="unpickled"):
            attempt()
    assert list(storage.scan()) == []
    plant(tmp_path / "place", "memo:word:f", blob)
    assert storage.word("f") == storage.word("f") > 10**12, "another word, so that nothing stored before is taken"
    put(storage)
    assert storage.read(NAME).body == b"body"
    assert executed == []


def test_a_pickle_in_a_file_and_pickled_keys_are_not_loaded_either(tmp_path, executed):
    storage = Diskcache(tmp_path / "place")
    put(storage, bytes(100_000))
    (file,) = (tmp_path / "place").rglob("*.val")
    file.chmod(0o600)
    file.write_bytes(pickle.dumps(Malicious()))
    plant(tmp_path / "place", "memo:" + NAME, None, filename=str(file.relative_to(tmp_path / "place")))
    plant(tmp_path / "place", pickle.dumps(Malicious()), b"", raw=0, mode=1)
    with pytest.raises(DamagedError):
        storage.read(NAME)
    assert list(storage.scan()) == []
    storage.remove(NAME)
    assert storage.read(NAME) is None
    assert executed == []


def test_no_path_of_a_row_is_followed(tmp_path):
    storage = Diskcache(tmp_path / "place")
    put(storage)
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(4) + bytes(8) + b"something of the user's")
    for path in ("../secret", str(secret)):
        plant(tmp_path / "place", "memo:" + NAME, None, mode=2, filename=path)
        with pytest.raises(DamagedError):
            storage.read(NAME)
        storage.remove(NAME)
        assert secret.exists(), "the removal of such a row removes no file outside"
        plant(tmp_path / "place", "memo:" + NAME, None, mode=2, filename=path)
        put(storage)
        assert secret.exists()


def test_a_persisted_function_computes_instead(tmp_path, told, executed):
    location = f"diskcache:{tmp_path / 'place'}"
    cache = Cache(location)

    @cache.persist(code="off", version=1)
    def f(x):
        return [x]

    f(1)
    plant(tmp_path / "place" / "diskcache", "memo:" + f.cache_key(1), pickle.dumps(Malicious()))
    for _ in range(3):
        assert f(1) == [1]
    assert executed == []
    assert len(told()) == 1
    assert "unpickled" in told()[0]
    assert f.is_cached(1)


# ------------------------------------------------------------------------------------------------------ as a place


def test_a_folder_by_its_name(tmp_path):
    place = tmp_path / "place"

    @persist(location=f"diskcache:{place}", code="off", version=1)
    def f(x):
        return bytes(x)

    assert [len(f(x)) for x in (10, 10, 100_000)] == [10, 10, 100_000]
    assert f.cache_info().currsize == 2
    assert (place / "memo.json").exists()
    with pytest.raises(PlaceError):
        Cache(str(place), storage="files").storage.read("a/b")
    found = diskcache.Cache(str(place / "diskcache"))
    assert found.check() == []
    assert (found.eviction_policy, found.cull_limit) == ("none", 0)
    for folder, _, files in os.walk(place / "diskcache"):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        for file in files:
            assert stat.S_IMODE(os.stat(os.path.join(folder, file)).st_mode) == 0o600, file


def test_a_cache_that_is_given_stays_as_it_is(tmp_path):
    mine = diskcache.Cache(str(tmp_path / "mine"), disk=diskcache.JSONDisk, size_limit=12345678, disk_compress_level=6)
    mine["own"] = {"kept": [1, 2]}
    storage = Diskcache(mine)
    put(storage)
    put(storage, bytes(100_000), NAME[:-1] + "4")
    assert len(list(storage.scan())) == 2
    again = diskcache.Cache(str(tmp_path / "mine"), disk=diskcache.JSONDisk)
    assert again["own"] == {"kept": [1, 2]}
    assert (again.size_limit, again.disk_compress_level) == (12345678, 6)
    assert len(again) == 3


def test_a_fanout_cache_finds_keys_where_we_put_them(tmp_path):
    mine = diskcache.FanoutCache(str(tmp_path / "mine"), shards=5, size_limit=5_000_000)
    storage = Diskcache(mine)
    names = [f"f/v/{number:040x}" for number in range(30)]
    for name in names:
        put(storage, name=name)
    assert all("memo:" + name in mine for name in names)
    assert diskcache.FanoutCache(str(tmp_path / "mine"), shards=5, size_limit=5_000_000).size_limit == 1_000_000


@pytest.mark.parametrize("kind", [diskcache.Cache, diskcache.FanoutCache])
def test_a_cache_as_storage_names_the_way(tmp_path, kind):
    with pytest.raises(OptionError, match=r"write storage=Diskcache\(it\)"):
        persist(storage=kind(str(tmp_path)))
    with pytest.raises(OptionError, match=r"a folder, a diskcache\.Cache or a FanoutCache"):
        Diskcache(3)


def test_an_evicted_word_brings_nothing_back_that_was_cleared(tmp_path):
    mine = diskcache.Cache(str(tmp_path))
    runs = []

    @persist(storage=Diskcache(mine), code="off", version=1, ignore=["runs"])
    def f(x, runs):
        runs.append(x)
        return x

    f(1, runs)
    f.cache_clear()
    words = [key for key in mine if key.startswith("memo:word:")]
    assert len(words) == 2
    for key in words:
        del mine[key]
    f(1, runs)
    f(1, runs)
    assert runs == [1, 1]


def test_locks_of_a_given_cache(tmp_path):
    mine = diskcache.Cache(str(tmp_path))
    one, other = Diskcache(mine), Diskcache(mine)
    with one.lock(NAME, 0) as had, other.lock(NAME, 0.05) as too:
        assert (had, too) == (True, False)
    with one.lock(NAME, 0):
        mine.set("memo:lock:" + NAME, "of somebody else")
    assert mine["memo:lock:" + NAME] == "of somebody else"


def test_a_ruined_database_is_set_aside(tmp_path, told):
    place = tmp_path / "place"

    @persist(location=f"diskcache:{place}", code="off", version=1)
    def f(x):
        return [x]

    f(1)
    open_storage("diskcache", str(place)).close()
    path = place / "diskcache" / "cache.db"
    path.write_bytes(b"no database at all, " * 1000)
    for rest in ("-wal", "-shm"):
        path.with_name("cache.db" + rest).unlink(missing_ok=True)

    @persist(location=f"diskcache:{place}/.", code="off", version=1, name=f.__wrapped__.__qualname__)
    def g(x):
        return [x]

    assert [g(1), g(2), g(2)] == [[1], [2], [2]]
    assert g.is_cached(2)
    assert (place / "diskcache.damaged").is_dir()
    assert told()


def test_sixteen_threads(tmp_path):
    storage, wrong = open_storage("diskcache", str(tmp_path)), []

    def work(seed):
        try:
            for number in range(30):
                name = f"f/v/{(seed + number) % 20:040x}"
                put(storage, name.encode() * (1 + number % 2 * 1000), name)
                assert bytes(storage.read(name).body[:44]) == name.encode()
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:3]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_inherits_no_connection_of_any_thread(tmp_path) -> None:
    """It would believe in locks that SQLite had in the parent."""
    storage = open_storage("diskcache", str(tmp_path))
    put(storage)
    used, end = threading.Event(), threading.Event()

    def work() -> None:
        with storage._caches[0].transact():
            put(storage, b"other", NAME[:-1] + "4")
        used.set()
        end.wait()

    thread = threading.Thread(target=work)
    thread.start()
    used.wait()
    _diskcache._before_fork()  # nobody opens one meanwhile, either
    taken: list[bool] = []
    other = threading.Thread(target=lambda: taken.append(_diskcache._opening.acquire(blocking=False)))
    other.start()
    other.join()
    _diskcache._after_fork_in_parent()
    assert taken == [False]
    child = os.fork()
    if not child:
        signal.alarm(60)
        closed = storage._caches[0].connection is None
        put(storage, b"child")
        os._exit(0 if closed and storage.read(NAME).body == b"child" else 1)
    end.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert storage.read(NAME).body == b"child"
