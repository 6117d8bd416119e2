"""What only the shelf promises: plain ``shelve`` opens it, one flavour of dbm for ever, and nothing decoded but data."""

import dbm
import errno
import importlib
import json
import os
import pickle
import shelve
import signal
import sys
import threading
import time

import pytest

from memo.errors import DamagedError, PlaceError
from memo.storages import open_storage
from memo.storages.shelve import FLAVOURS, Shelve
from memo.testing import StorageSuite

NAME = "f-01/v1/" + "ab" * 20


def has(flavour):
    try:
        importlib.import_module(flavour)
    except ImportError:
        return False
    return True


HERE = [flavour for flavour in FLAVOURS if has(flavour)]


class OfOneFlavour(StorageSuite):
    many = 150
    flavour = ""

    def make(self, tmp_path):
        return Shelve(tmp_path, flavour=self.flavour)


for _flavour in HERE:
    _title = "Test" + _flavour.replace(".", "_")
    globals()[_title] = type(_title, (OfOneFlavour,), {"flavour": _flavour})


def put(storage, body=b"body", name=NAME):
    storage.write(name, [body], lambda: b"head", size=len(body), mark=3)


@pytest.mark.parametrize("flavour", HERE)
def test_plain_shelve_shows_the_entries(tmp_path, flavour):
    put(Shelve(tmp_path, flavour=flavour))
    db = importlib.import_module(flavour).open(str(tmp_path / "shelf"), "r")
    with shelve.Shelf(db) as shelf:
        assert dict(shelf) == {NAME: (b"head", 3, b"body")}


def test_the_flavour_is_named_beside_the_file(tmp_path):
    put(open_storage("shelve", str(tmp_path)))
    named = json.loads((tmp_path / "shelve.json").read_text())["flavour"]
    assert named == HERE[0]
    assert dbm.whichdb(str(tmp_path / "shelf")) == named


def test_another_flavour_is_refused(tmp_path):
    put(Shelve(tmp_path, flavour="dbm.dumb"))
    for attempt in (
        lambda: Shelve(tmp_path, flavour="dbm.gnu").read(NAME),
        lambda: put(Shelve(tmp_path, flavour="dbm.gnu")),
    ):
        with pytest.raises(PlaceError, match=r"a shelf of dbm\.dumb, not of dbm\.gnu: use another location"):
            attempt()
    assert bytes(Shelve(tmp_path).read(NAME).body) == b"body"


def test_a_flavour_that_this_python_lacks_is_refused(tmp_path, monkeypatch):
    put(Shelve(tmp_path, flavour="dbm.dumb"))
    (tmp_path / "shelve.json").write_text('{"flavour": "dbm.gnu"}')
    monkeypatch.setitem(sys.modules, "dbm.gnu", None)
    for attempt in (lambda: Shelve(tmp_path).read(NAME), lambda: put(Shelve(tmp_path))):
        with pytest.raises(PlaceError, match=r"this Python has no dbm\.gnu"):
            attempt()


@pytest.mark.parametrize("label", ["", "{}", "[1]", '{"flavour": "os"}', '{"flavour": null}'])
def test_a_damaged_label_is_set_aside_and_imports_nothing(tmp_path, label):
    storage = Shelve(tmp_path)
    put(storage)
    (tmp_path / "shelve.json").write_text(label)
    with pytest.raises(DamagedError, match=r"shelve\.json") as raised:
        storage.read(NAME)
    assert storage.ruined(raised.value)
    storage.reset()
    assert storage.read(NAME) is None
    put(storage)
    assert bytes(storage.read(NAME).body) == b"body"


@pytest.mark.parametrize("flavour", HERE)
def test_a_ruined_shelf_is_set_aside_once(tmp_path, flavour):
    storages = [Shelve(tmp_path, flavour=flavour) for _ in range(2)]
    put(storages[0], b"x" * 5000)
    for file in tmp_path.iterdir():
        if file.name.startswith("shelf") and file.suffix != ".lock":
            file.write_bytes(b"\xff ruined " * 1000)
    for storage in storages:
        with pytest.raises(DamagedError, match="is not what") as raised:
            storage.read(NAME)
        assert storage.ruined(raised.value)
        assert not storage.ruined(PermissionError(13, "no"))
    storages[0].reset()
    put(storages[0])
    storages[1].reset()
    assert bytes(storages[1].read(NAME).body) == b"body"


class Evil:
    def __reduce__(self):
        return os.mkdir, ("made by a pickle",)


@pytest.mark.parametrize(
    "value",
    [
        pickle.dumps(Evil()),
        b"",
        b"no pickle",
        pickle.dumps([1]),
        pickle.dumps(("text", 0, b"")),
        pickle.dumps((b"", b"", b"")),
    ],
)
def test_a_foreign_value_is_damage_and_runs_nothing(tmp_path, monkeypatch, value):
    monkeypatch.chdir(tmp_path)
    storage = Shelve(tmp_path / "place", flavour="dbm.dumb")
    put(storage)
    import dbm.dumb

    with dbm.dumb.open(str(tmp_path / "place" / "shelf"), "c") as shelf:
        shelf[NAME.encode()] = value
    with pytest.raises(DamagedError) as raised:
        storage.read(NAME)
    assert not storage.ruined(raised.value)
    assert list(storage.scan()) == []
    assert os.listdir(tmp_path) == ["place"]
    put(storage, b"healed")
    assert bytes(storage.read(NAME).body) == b"healed"


def test_is_private_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        put(Shelve(tmp_path / "place"))
    finally:
        os.umask(before)
    assert os.stat(tmp_path / "place").st_mode & 0o077 == 0
    for file in (tmp_path / "place").iterdir():
        assert file.stat().st_mode & 0o177 == 0, file


def test_a_flavour_that_does_not_exist_is_refused_at_once(tmp_path):
    with pytest.raises(ValueError, match=r"flavour is one of .*dbm\.dumb"):
        Shelve(tmp_path, flavour="bsddb")


def test_a_kill_in_the_index_of_dbm_dumb_loses_nothing(tmp_path, monkeypatch):
    storage = Shelve(tmp_path, flavour="dbm.dumb")
    for number in range(5):
        storage.write(f"f/v/{number}", [b"x" * 100], lambda: b"head", size=100, mark=0)
    whole = (tmp_path / "shelf.dir").read_bytes()

    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("memo.storages._dumb.os.replace", killed)
        with pytest.raises(Killed):
            storage.write("f/v/5", [b"x" * 100], lambda: b"head", size=100, mark=0)
    with open(tmp_path / "shelf.dir", "r+b") as file:
        file.truncate(len(file.read()) - 7)  # and what was appended for the new one is torn
    assert whole in (tmp_path / "shelf.dir").read_bytes()
    again = Shelve(tmp_path)
    assert {item.name for item in again.scan()} == {f"f/v/{number}" for number in range(5)}
    again.write("f/v/6", [b"y"], lambda: b"head", size=1, mark=0)
    assert len(list(Shelve(tmp_path).scan())) == 6
    assert not list(tmp_path.glob("*.new"))


def test_a_disk_or_another_program_in_the_way_is_no_damage(tmp_path, monkeypatch):
    import sqlite3

    storage = Shelve(tmp_path, flavour="dbm.dumb")
    put(storage, b"x")

    def locked(*_):  # as dbm.sqlite3 has it
        try:
            raise sqlite3.OperationalError("database or disk is full")
        except sqlite3.Error as error:
            raise OSError(str(error))

    def held(*_):  # as dbm.gnu has it, where plain shelve has it open
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    for fails in (locked, held):
        with monkeypatch.context() as patch:
            patch.setattr("memo.storages._dumb.open", fails)
            with pytest.raises(OSError) as raised:
                storage.read(NAME)
        assert not storage.ruined(raised.value)
    assert bytes(storage.read(NAME).body) == b"x"


def test_a_damaged_value_takes_no_memory(tmp_path):
    """Unpickling it would: its index into what was memoized is a random number."""
    storage = Shelve(tmp_path)
    for body in (b"", b"head", b"x" * 300, b"x" * 70_000):
        for mark in (0, 255, 65_536, 1 << 31, 1 << 63):
            storage.write(NAME, [body], lambda: b"head", size=len(body), mark=mark)
            assert tuple(storage.read(NAME))[:3] == (b"head", mark, body)
    with storage._open(write=True) as shelf:
        shelf[NAME.encode()] = b'J{"format": 1, "storage": "sqlite", "made_by": "memo", "limits": {}, "options": {}}'
    with pytest.raises(DamagedError, match="not as it was written"):
        storage.read(NAME)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_waits_for_a_thread_that_has_the_shelf_open(tmp_path):
    storage, has_it, done = Shelve(tmp_path), threading.Event(), []
    storage.write(NAME, [b"body"], lambda: b"head", size=4, mark=0)

    def work():
        with storage._open(write=True) as shelf:
            has_it.set()
            while storage._lock.gate is None:  # until somebody forks
                time.sleep(0.001)
            shelf[b"f-01/other"] = shelf[NAME.encode()]
        done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    has_it.wait()
    child = os.fork()
    if not child:
        signal.alarm(60)
        os._exit(0 if storage.read(NAME).body == storage.read("f-01/other").body == b"body" else 1)
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert storage._lock.gate is None
    assert storage.read("f-01/other").body == b"body"
