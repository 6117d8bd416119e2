"""The storages of memo, each through the shared suite."""

import pickle
import random
import subprocess
import sys
import time

import pytest

from memo.errors import OptionError
from memo.storages import open_storage, opener
from memo.storages._spill import Spill
from memo.storages.files import Files
from memo.storages.memory import Memory
from memo.storages.shelve import Shelve
from memo.storages.sqlite import Sqlite
from memo.testing import StorageSuite


class TestSqlite(StorageSuite):
    def make(self, tmp_path):
        return Sqlite(tmp_path)


class TestFiles(StorageSuite):
    def make(self, tmp_path):
        return Files(tmp_path)


class TestShelve(StorageSuite):
    many = 250  # dbm.dumb, which every Python has, reads its whole index at each opening

    def make(self, tmp_path):
        return Shelve(tmp_path)


class TestMemory(StorageSuite):
    kept = False

    def make(self, tmp_path):
        return Memory()


class TestDefault(StorageSuite):
    def make(self, tmp_path):
        return open_storage("sqlite", str(tmp_path))


class TestSpillOfMemory(StorageSuite):
    """Over storages with no ability but words, so that the fall-backs are what is tested."""

    kept = False

    def make(self, tmp_path):
        return Spill(Memory(), Memory(), above=1000)


@pytest.mark.parametrize("kind", ["sqlite", "files", "shelve", "memory"])
def test_opening_by_name_makes_nothing(kind, tmp_path):
    storage = open_storage(kind, str(tmp_path / "place"))
    assert storage.read("f/v/a") is None
    assert not list(tmp_path.iterdir())


def test_an_unknown_name_says_which_there_are():
    with pytest.raises(
        OptionError, match=r"no storage is called 'sqllite': it is one of 'sqlite', 'files', 'shelve', 'memory'"
    ):
        opener("sqllite")


def test_a_plug_in_is_found_by_its_entry_point(tmp_path, monkeypatch):
    folder = tmp_path / "plug_in-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: plug-in\nVersion: 1\n")
    (folder / "entry_points.txt").write_text("[memo.storages]\nmine = plug_in:Mine\n")
    (tmp_path / "plug_in.py").write_text(
        "class Mine:\n    def __init__(self, folder, **options):\n        self.got = folder, options\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert open_storage("mine", "/place", size=3).got == ("/place", {"size": 3})


WRITER = """
import pickle, random, sys
storage, seed = pickle.loads(bytes.fromhex(sys.argv[1])), int(sys.argv[2])
rng = random.Random(seed)
for number in range(1_000_000):
    size, suffix = rng.choice((10, 1000, 70_000, 400_000)), rng.choice((".pkl", ".json", ""))
    tag = b"%d.%d " % (seed, number)
    name, body = f"f/v/{rng.randrange(300):040x}", tag * (size // len(tag))
    storage.write(name, [body], lambda: tag, size=len(body), mark=number, suffix=suffix)
    print(name, flush=True)
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["sqlite", "files"])
def test_what_was_stored_outlives_any_kill(tmp_path, kind):
    """Two writers on the same names, killed again and again: what one of them said is stored is there, and whole."""
    storage, told, rng = open_storage(kind, str(tmp_path)), set(), random.Random(1)
    until, seed = time.monotonic() + 20, 0
    while time.monotonic() < until or len(told) <= 100:  # on a busy machine it takes longer
        command = [sys.executable, "-c", WRITER, pickle.dumps(storage).hex()]
        writers = [subprocess.Popen([*command, str(seed + one)], stdout=subprocess.PIPE) for one in range(2)]
        seed += 2
        time.sleep(rng.uniform(0.05, 0.35))  # when the kill comes, not what it waits for
        for writer in writers:
            writer.kill()
            lines = writer.communicate()[0].decode().splitlines(keepends=True)
            told.update(line.strip() for line in lines if line.endswith("\n"))
        for name in told:
            record = storage.read(name)
            assert record is not None, name
            assert bytes(record.body) == record.head * (len(record.body) // len(record.head))
