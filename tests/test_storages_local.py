"""What the storages on a local disk promise, seen from persisted functions."""

import dbm
import json
import os
import pickle
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from memo import Cache, MemoWarning, persist
from memo.errors import PlaceError
from memo.storages.shelve import FLAVOURS


def files_below(folder):
    return [Path(above, file) for above, _, files in os.walk(folder) for file in files]


def run(folder, code, count=1):
    """Processes with the same code at once; what they print. A warning or an error in one of them fails."""
    prelude = f"import os, sys, threading\nfrom memo import Cache\ncache = Cache({str(folder)!r}, strict=True)\n"
    command = [sys.executable, "-W", "error", "-c", prelude + code]
    children = [
        subprocess.Popen([*command, str(number)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for number in range(count)
    ]
    said = [child.communicate(timeout=110) for child in children]
    assert not [error for _, error in said if error], said[0][1][-2000:]
    assert [child.returncode for child in children] == [0] * count
    return [out for out, _ in said]


# ------------------------------------------------------------------------------------------------------- sqlite


@pytest.mark.parametrize("each", [8, pytest.param(32, marks=pytest.mark.slow)])
def test_many_processes_make_one_cache_at_once(tmp_path, monkeypatch, each):
    monkeypatch.setenv("EACH", str(each))
    code = """
@cache.persist
def square(x):
    return x * x

inside, outside = os.pipe()
children = []
for child in range(int(os.environ["EACH"])):
    pid = os.fork()
    if not pid:
        os.close(outside)
        os.read(inside, 1)  # all begin at once
        status = 1
        try:
            assert square(child) == square(child) == child * child
            assert square(1000 + 100 * int(sys.argv[1]) + child) == (1000 + 100 * int(sys.argv[1]) + child) ** 2
            status = 0
        finally:
            os._exit(status)
    children.append(pid)
os.close(outside)
sys.exit(sum(os.waitpid(pid, 0)[1] != 0 for pid in children))
"""
    place = tmp_path / "place"
    run(place, code, count=2)
    items = [item for item in Cache(place).storage.scan() if item.name.count("/") == 2]
    assert len(items) == each + 2 * each


def test_the_database_is_a_write_ahead_log_synced_now_and_then(tmp_path):
    cache = Cache(tmp_path / "place")
    cache.persist(abs_of)(-1)
    with sqlite3.connect(tmp_path / "place" / "entries.db") as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert cache.storage.small._database.rows("PRAGMA synchronous") == [(1,)]  # NORMAL


def abs_of(x):
    return abs(x)


def test_nobody_carries_the_log_over_while_another_writes(tmp_path):
    """A checkpoint is part of a write, or of compact(): both wait for the lock that a writer holds."""
    storage = Cache(tmp_path / "place").storage
    storage.small.write("f-01/v1/a", [b"x"], bytes, size=1, mark=0)
    waiting = type(storage.small)(storage.small.folder, timeout=0.2)
    log = tmp_path / "place" / "entries.db-wal"
    with storage.small._database.queue:
        before = log.stat().st_size
        assert before > 0
        assert waiting.read("f-01/v1/a") is not None
        for attempt in (waiting.compact, lambda: waiting.bump("f"), lambda: waiting.remove("f-01/v1/a")):
            with pytest.raises(TimeoutError, match="locked"):
                attempt()
        waiting.close()
        assert log.stat().st_size == before
    waiting.compact()
    assert log.stat().st_size == 0


def test_compact_leaves_less_than_a_fifth_when_nine_tenths_were_deleted(tmp_path):
    cache = Cache(tmp_path / "place")

    @cache.persist
    def noise(number):
        return np.random.default_rng(number).bytes(1000 if number % 100 else 100_000)

    for number in range(1000):
        noise(number)
    cache.storage.compact()
    before = sum(file.stat().st_size for file in files_below(tmp_path))
    for number in range(1000):
        if number % 10 != number // 100 % 10:
            assert noise.delete(number)
    assert noise.cache_info().currsize == 100
    cache.clear("nobody")
    cache.storage.compact()
    after = sum(file.stat().st_size for file in files_below(tmp_path))
    assert after < before / 5
    assert sum(noise.is_cached(number) for number in range(1000)) == 100


# -------------------------------------------------------------------------------------------------------- files


def _text(path):
    return path.read_bytes().decode()


def _pickled(path):
    with open(path, "rb") as file:
        return pickle.load(file)


def _joblib(path):
    import joblib

    return joblib.load(path)


VALUE = {"name": "größer", "numbers": [1, 2.5, None]}
#: serializer -> suffix, what opens such a file, a value; another serializer is another line
OPENED = {
    "json": (".json", lambda path: json.loads(path.read_bytes()), VALUE),
    "text": (".txt", _text, "größer\r\n"),
    "bytes": (".bin", Path.read_bytes, b"\0\1\r\n"),
    "numpy": (".npy", np.load, np.arange(100_000.0)),
    "joblib": (".joblib", _joblib, np.arange(100_000.0)),
    "pickle": (".pkl", _pickled, VALUE),
    "cloudpickle": (".pkl", _pickled, np.arange(100_000.0)),
}


@pytest.mark.parametrize("serializer", OPENED)
def test_payloads_are_opened_by_other_programs(tmp_path, serializer):
    suffix, opened, value = OPENED[serializer]
    place = tmp_path / "place"

    @persist(location=place, storage="files", serializer=serializer)
    def result():
        return value

    result()
    (payload,) = [file for file in files_below(place) if file.suffix == suffix and file.name != "memo.json"]
    assert np.array_equal(opened(payload), value) if isinstance(value, np.ndarray) else opened(payload) == value
    name = str(payload.relative_to(place / "files"))
    assert re.fullmatch(r"[a-z0-9._-]{1,64}/[0-9a-f]{1,64}/_[0-9a-f]{2}/[0-9a-f]{1,64}(-[0-9a-f]{8})?\.[a-z]+", name)
    assert len(name) < 200


PATCH_AND_STORE = """
import fcntl, random
fcntl.flock = fcntl.lockf = lambda *arguments: None
fcntl.fcntl = lambda *arguments: b""
from memo.storages import _lock
class Nothing:
    def __enter__(self): return self
    def __exit__(self, *exception): return None
_lock.Turns.__getitem__ = lambda self, name: Nothing()

@cache.persist
def value(number):
    return [number] * (20 if number % 2 else 20_000)

def work(seed):
    rng = random.Random(seed)
    try:
        for _ in range(int(os.environ["ROUNDS"])):
            number = rng.randrange(12)
            assert value(number) == [number] * (20 if number % 2 else 20_000)
            if rng.random() < 0.2:
                value.delete(number)
            if rng.random() < 0.2:
                value.refresh(number)
    except BaseException as error:
        print(repr(error))

threads = [threading.Thread(target=work, args=(10 * int(sys.argv[1]) + number,)) for number in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


@pytest.mark.parametrize("rounds", [50, pytest.param(150, marks=pytest.mark.slow)])
def test_files_are_right_where_no_lock_of_the_disk_or_of_memo_does_anything(tmp_path, monkeypatch, rounds):
    monkeypatch.setenv("ROUNDS", str(rounds))
    place = tmp_path / "place"
    Cache(place, storage="files").storage  # noqa: B018 (makes the place)
    assert run(place, PATCH_AND_STORE, count=2) == ["", ""]


# ------------------------------------------------------------------------------------------------------- shelve


def test_the_flavour_of_a_shelf_is_named_by_the_place_and_another_is_refused(tmp_path):
    place = tmp_path / "place"
    persist(location=place, storage="shelve")(abs_of)(-1)
    marker = json.loads((place / "memo.json").read_text())
    flavour = marker["options"]["flavour"]
    assert flavour == dbm.whichdb(str(place / "shelf"))
    other = next(one for one in FLAVOURS if one != flavour)
    (place / "memo.json").write_text(json.dumps(marker | {"options": {"flavour": other}}))
    said = re.escape(f"{place} is a shelf of {flavour}, not of {other}: use another location")
    with pytest.raises(PlaceError, match=said):
        Cache(place, strict=True).persist(abs_of)(-1)
    with pytest.warns(MemoWarning, match=said):
        assert Cache(place).persist(abs_of)(-1) == 1


def test_a_place_of_a_shelf_that_this_python_can_not_open_says_so(tmp_path, monkeypatch):
    place = tmp_path / "place"
    persist(location=place, storage="shelve")(abs_of)(-1)
    flavour = json.loads((place / "memo.json").read_text())["options"]["flavour"]
    for file in place.rglob("*.json"):  # as a Python that has it would have written them
        file.write_text(file.read_text().replace(flavour, "dbm.gnu"))
    monkeypatch.setitem(sys.modules, "dbm.gnu", None)
    with pytest.warns(MemoWarning, match="this Python has no dbm.gnu, which .* names"):
        assert Cache(place).persist(abs_of)(-1) == 1


EIGHT_THREADS = """
@cache.persist
def value(number):
    return [number] * (number % 7 * 100)

def work(thread):
    try:
        for number in range(4):
            assert value(number) == [number] * (number % 7 * 100)
            own = 1000 * int(sys.argv[1]) + 100 * thread + number
            assert value(own) == [own] * (own % 7 * 100)
    except BaseException as error:
        print(repr(error))

threads = [threading.Thread(target=work, args=(1 + number,)) for number in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_a_shelf_takes_eight_threads_in_each_of_two_processes(tmp_path):
    place = tmp_path / "place"
    storage = Cache(place, storage="shelve").storage
    assert run(place, EIGHT_THREADS, count=2) == ["", ""]
    assert len([item for item in storage.scan() if item.name.count("/") == 2]) == 4 + 2 * 8 * 4
