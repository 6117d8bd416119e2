"""The storages of memo, each through the shared suite."""

from memo.storages import open_storage
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
