"""Abilities are found, not declared: a storage's own where it has one, else a fall-back over the four verbs."""

import threading

from memo import _abilities
from memo.protocols import Batch, Heads, Locks, Purge, Ranks, Words
from memo.storages._spill import Spill
from memo.storages.memory import Memory
from memo.storages.sqlite import Sqlite
from memo.testing import StorageSuite


class Bare:
    """Nothing but the four verbs."""

    def __init__(self):
        self.inner = Memory()

    def read(self, name, /):
        return self.inner.read(name)

    def write(self, name, parts, head, /, *, size, mark, suffix=""):
        self.inner.write(name, parts, head, size=size, mark=mark, suffix=suffix)

    def remove(self, name, /):
        self.inner.remove(name)

    def scan(self, prefix="", /):
        return self.inner.scan(prefix)


class TestBare(StorageSuite):
    """Every fall-back keeps the laws."""

    kept = False

    def make(self, tmp_path):
        return Bare()


class TestSpillOfBare(StorageSuite):
    kept = False
    ordered = False  # neither of the two can say when

    def make(self, tmp_path):
        return Spill(Bare(), Bare(), above=1000)


ALL = [
    (_abilities.heads, Heads),
    (_abilities.batch, Batch),
    (_abilities.words, Words),
    (_abilities.ranks, Ranks),
    (_abilities.locks, Locks),
    (_abilities.purge, Purge),
]


def test_a_storages_own_ability_is_used(tmp_path):
    storage = Sqlite(tmp_path)
    own = {protocol for resolve, protocol in ALL if resolve(storage) is storage}
    assert own == {Heads, Batch, Words, Ranks, Purge}


def test_what_a_storage_lacks_is_made_up():
    bare = Bare()
    for resolve, protocol in ALL:
        found = resolve(bare)
        assert found is not bare
        assert isinstance(found, protocol)
        assert not isinstance(bare, protocol)


def test_a_spill_does_not_pretend_to_lock_beyond_this_process(tmp_path):
    assert not isinstance(Spill(Sqlite(tmp_path), Memory()), Locks)


def test_racing_bumps_never_leave_the_same_word():
    """Both read the word before either writes: the worst that four verbs allow."""
    both = threading.Barrier(2, timeout=30)

    class Slow(Bare):
        def read(self, name, /):
            found = super().read(name)
            both.wait()
            return found

    storage = Slow()
    words = []
    threads = [threading.Thread(target=lambda: words.append(_abilities.words(storage).bump("f"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(words)) == 2


def test_a_lock_without_end_waits_and_one_with_an_end_gives_up():
    locks = _abilities.locks(Bare())
    got = []

    def wait():
        with locks.lock("f/v/a", -1) as mine:
            got.append(mine)

    with locks.lock("f/v/a", 0) as mine:
        assert mine
        thread = threading.Thread(target=wait)
        thread.start()
        with locks.lock("f/v/a", 0) as other:
            assert other is False
        assert got == []
    thread.join()
    assert got == [True]
