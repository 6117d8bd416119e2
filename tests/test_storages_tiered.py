"""A near tier before a far one, seen from several machines: each a near tier of its own, all on one far tier."""

import os
import pickle
import subprocess
import sys
import warnings

import pytest

from memo import Cache, MemoWarning, NotCachedError, _abilities, events
from memo.errors import PlaceError
from memo.protocols import Batch, Heads, Locks, Purge, Words
from memo.storages import Files, Memory, Patient, ReadOnly, Sqlite, Tiered
from memo.testing import StorageSuite, agree
from memo.testing._storage import NAME, get, put


class TestTieredMemory(StorageSuite):
    kept = False
    ordered = False

    def make(self, tmp_path):
        return Tiered(Memory(), Far())


class TestTieredFolders(StorageSuite):
    def make(self, tmp_path):
        return Tiered(tmp_path / "near", Files(tmp_path / "far"))

    def test_answers_random_commands_as_it_must(self, tmp_path):  # in one process: see below
        agree(self.make(tmp_path), count=300, seed=11, kept=False)


@pytest.mark.slow
def test_sqlite_before_files_agrees_with_all_storages(tmp_path):
    # One process: others on the same near folder see what is overwritten or removed by the word that goes with it, which
    # raw verbs lack: one that has just read an entry from afar would keep a copy of it beyond its removal.
    agree(Tiered(tmp_path / "near", Files(tmp_path / "far")), count=2000, kept=False)


class Far:
    """Four verbs on a shared store: no watch, a count of what was asked, and it may be down."""

    def __init__(self, inner=None):
        self.inner = inner or Memory()
        self.failing = None
        self.asked = []

    def __reduce__(self):
        return Far, (self.inner,)

    def __repr__(self):
        return f"Far({id(self)})"

    def _ask(self, verb, name):
        self.asked.append((verb, name))
        if self.failing is not None:
            raise self.failing

    def read(self, name, /):
        self._ask("read", name)
        return self.inner.read(name)

    def write(self, name, parts, head, /, *, size, mark, suffix=""):
        self._ask("write", name)
        self.inner.write(name, parts, head, size=size, mark=mark, suffix=suffix)

    def remove(self, name, /):
        self._ask("remove", name)
        self.inner.remove(name)

    def scan(self, prefix="", /):
        self._ask("scan", prefix)
        return self.inner.scan(prefix)


def square(x):
    return [x * x]


FARS = {
    "four verbs": lambda tmp_path: Far(),
    "watched memory": lambda tmp_path: Memory(),
    "watched files": lambda tmp_path: Files(tmp_path / "far"),
    "watched sqlite": lambda tmp_path: Sqlite(tmp_path / "far"),
}


@pytest.fixture(params=FARS)
def far(request, tmp_path):
    return FARS[request.param](tmp_path)


class Machine:
    """A near tier of its own, and one function; ``computed`` how often it ran here."""

    def __init__(self, near, far, **options):
        self.now = 0.0
        self.storage = Tiered(near, Patient(far, clock=lambda: self.now) if isinstance(far, Far) else far)
        self.f = Cache(storage=self.storage, **options).persist(square)

    def later(self):
        """So much that a far tier that was down is asked again."""
        self.now += 100

    @property
    def computed(self):
        return self.f.cache_info().misses


@pytest.fixture
def machines(tmp_path, far):
    return Machine(tmp_path / "near a", far), Machine(tmp_path / "near b", far)


def warned(call):
    """(what it gave, the texts of the warnings of memo)."""
    events._warned.clear()  # of other tests
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        value = call()
    return value, [str(one.message) for one in found if issubclass(one.category, MemoWarning)]


# ------------------------------------------------------------------------------------------- two machines


def test_what_one_machine_computed_is_a_hit_on_the_other(machines):
    a, b = machines
    assert a.f(3) == b.f(3) == b.f(3) == [9]
    assert (a.computed, b.computed) == (1, 0)


def test_a_copy_is_served_without_the_far_tier(tmp_path):
    far = Far()
    a, b = Machine(tmp_path / "a", far), Machine(tmp_path / "b", far)
    a.f(3), b.f(3)
    far.asked.clear()
    for machine in (a, b, Machine(tmp_path / "b", far)):  # the last: another process of that machine
        assert machine.f(3) == [9]
        assert machine.computed == (machine is a)
    assert not [name for _, name in far.asked if name.count("/") == 2]


def test_a_copy_is_what_was_written_bit_for_bit(machines):
    a, b = (machine.storage for machine in machines)
    for size in (0, 10, 300_000):
        put(a, NAME, b"x" * size, head=b"head %d" % size, mark=7, suffix=".json")
        edits = NAME.partition("/")[0] + ".edits"
        a.bump(edits)
        assert b.word(edits) == a.word(edits)
        for _ in range(2):
            assert get(b, NAME) == (b"head %d" % size, 7, b"x" * size)


@pytest.mark.parametrize("edit", ["delete", "cache_clear", "clear the cache", "clear old", "set", "refresh"])
def test_an_edit_on_one_machine_is_seen_by_the_other(machines, edit):
    a, b = machines
    a.f(3), b.f(3), b.f(4)
    if edit == "delete":
        assert a.f.delete(3)
    elif edit == "cache_clear":
        a.f.cache_clear()
    elif edit == "clear the cache":
        Cache(storage=a.storage).clear()
    elif edit == "clear old":
        Cache(storage=a.storage).clear(older_than=0)
    elif edit == "set":
        a.f.set(["by hand"], 3)
    else:
        a.f.refresh(3)
    before = b.computed
    gone = edit not in ("set", "refresh")
    assert b.f.is_cached(3) != gone
    assert b.f(3) == (["by hand"] if edit == "set" else [9])
    assert b.computed == before + gone
    b.f(4)
    assert b.computed == before + gone + edit.startswith(("cache", "clear"))


def test_a_copy_made_in_the_middle_of_an_edit_does_not_outlive_it(machines):
    """Machine b reads what a is about to overwrite, between the word before and the word after."""
    a, b = (machine.storage for machine in machines)
    words, edits = _abilities.words(a), NAME.partition("/")[0] + ".edits"
    put(a, NAME, b"old")
    words.bump(edits)
    assert get(b, NAME) == (b"head", 0, b"old")
    put(a, NAME, b"new", head=b"new")
    assert get(b, NAME) in [(b"head", 0, b"old"), (b"new", 0, b"new")]
    words.bump(edits)
    b.word(edits)
    assert get(b, NAME) == (b"new", 0, b"new")


def test_a_copy_from_before_an_edit_of_another_key_is_not_fetched_again(tmp_path):
    far = Far()
    a, b = Machine(tmp_path / "a", far), Machine(tmp_path / "b", far)
    far.head = lambda name, /: (found := far.inner.read(name)) and found[:2]
    a, b = Machine(tmp_path / "a", far), Machine(tmp_path / "b", far)
    a.f(3), a.f(4), b.f(3)
    a.f.delete(4)
    far.asked.clear()
    assert b.f(3) == b.f(3) == [9]
    assert b.computed == 0
    assert not [name for _, name in far.asked if name.count("/") == 2]


def test_who_finds_his_copy_expired_takes_the_other_machines_new_one(tmp_path, far):
    now = [1000.0]
    functions = []
    for name in "ab":
        cache = Cache(storage=Tiered(tmp_path / name, far))
        cache.clock = lambda: now[0]
        functions.append(cache.persist(square, ttl=100))
    a, b = functions
    a(3), b(3)
    now[0] = 1101.0
    assert a(3) == b(3) == b(3) == [9]
    assert (a.cache_info().misses, b.cache_info().misses) == (2, 0)


# ------------------------------------------------------------------------------------------------ kills


KILLED = """
import os, pickle, signal, sys
from memo.testing._storage import NAME, put
from memo.storages._tiered import Tiered
storage = pickle.loads(bytes.fromhex(sys.argv[1]))
at = sys.argv[2]
tier = storage.near if at == "near" else storage.far
write = tier.write
def die(name, *args, **kwargs):
    if name == NAME:
        os.kill(os.getpid(), signal.SIGKILL)
    write(name, *args, **kwargs)
tier.write = die
put(storage, NAME, b"new", head=b"new")
"""


@pytest.mark.parametrize(("at", "expected"), [("near", b"new"), ("far", b"old")])
def test_killed_between_the_two_writes(tmp_path, at, expected):
    far = Files(tmp_path / "far")
    a, b = Tiered(tmp_path / "a", far), Tiered(tmp_path / "b", far)
    put(a, NAME, b"old", head=b"old")
    words, edits = _abilities.words(a), NAME.partition("/")[0] + ".edits"
    words.bump(edits)  # as whoever writes by hand does
    command = [sys.executable, "-c", KILLED, pickle.dumps(a).hex(), at]
    assert subprocess.run(command, check=False).returncode == -9
    for storage in (a, b, Tiered(tmp_path / "a", far)):
        assert get(storage, NAME) == (expected, 0, expected)


# --------------------------------------------------------------------------------------- the far tier is down


def test_the_near_tier_goes_on_alone(tmp_path):
    far = Far()
    a = Machine(tmp_path / "a", far)
    a.f(3)
    far.failing = ConnectionError("nobody there")
    (values, texts) = warned(lambda: [a.f(3), a.f(4), a.f(4), a.f(3)])
    assert values == [[9], [16], [16], [9]]
    assert a.computed == 2
    assert len(texts) == 1
    assert "ConnectionError: nobody there" in texts[0]
    again = Machine(tmp_path / "a", far)  # another process, which never saw the far tier
    assert warned(lambda: [again.f(3), again.f(4)])[0] == [[9], [16]]
    assert again.computed == 0
    far.failing = None
    again.later(), a.later()
    b = Machine(tmp_path / "b", far)
    assert again.f(3) == b.f(3) == [9]
    assert (again.computed, b.computed) == (0, 0)
    assert a.f(5) == b.f(5) == [25]
    assert b.computed == 0


def test_while_it_is_down_a_clear_that_this_machine_knows_of_holds(tmp_path):
    far = Far()
    a = Machine(tmp_path / "a", far)
    a.f(3)
    a.f.cache_clear()
    far.failing = ConnectionError("nobody there")
    for machine in (a, Machine(tmp_path / "a", far)):
        with pytest.raises(NotCachedError):
            warned(lambda machine=machine: machine.f.get(3))
    assert warned(lambda: a.f(3))[0] == [9]
    assert a.computed == 2


@pytest.mark.parametrize("edit", ["delete", "cache_clear"])
def test_an_edit_while_it_is_down_says_so_and_nothing_is_served_that_it_meant(tmp_path, edit):
    far = Far()
    a = Machine(tmp_path / "a", far)
    a.f(3)
    far.failing = ConnectionError("nobody there")
    if edit == "delete":
        _, texts = warned(lambda: a.f.delete(3))
        assert any("nobody there" in text for text in texts)
    else:
        _, texts = warned(a.f.cache_clear)
        assert any("nobody there" in text for text in texts)
    assert warned(lambda: a.f(3))[0] == [9]
    assert a.computed == 2


def test_a_machine_that_never_knew_the_words_computes(tmp_path):
    far = Far()
    far.failing = ConnectionError("nobody there")
    a = Machine(tmp_path / "a", far)
    value, texts = warned(lambda: [a.f(3), a.f(3)])
    assert value == [[9], [9]]
    assert len(texts) == 1
    far.failing = None
    a.later()
    assert a.f(3) == a.f(3) == [9]
    assert a.computed == 3


def test_tags_hold_while_it_is_down(tmp_path):
    far = Far()
    a = Machine(tmp_path / "a", far)
    a.f = Cache(storage=a.storage).persist(square, tags=["one"])
    a.f(3)
    far.failing = ConnectionError("nobody there")
    again = Machine(tmp_path / "a", far)
    again.f = Cache(storage=again.storage).persist(square, tags=["one"])
    assert warned(lambda: [a.f(3), again.f(3)])[0] == [[9], [9]]
    assert again.computed == 0
    far.failing = None
    a.later()
    Cache(storage=a.storage).clear(tag="one")
    far.failing = ConnectionError("nobody there")
    once_more = Machine(tmp_path / "a", far)
    once_more.f = Cache(storage=once_more.storage).persist(square, tags=["one"])
    assert warned(lambda: [a.f(3), once_more.f(3)])[0] == [[9], [9]]
    assert (
        a.computed + once_more.computed == 1 + 1
    )  # the first, and one after the clear, which the folder keeps for both


def test_a_clear_of_old_ones_that_is_killed_leaves_no_copies(tmp_path):
    far = Far()
    a, b = Machine(tmp_path / "a", far), Machine(tmp_path / "b", far)
    for x in range(3):
        a.f(x), b.f(x)

    def killed(name):
        far.inner.remove(name)
        raise KeyboardInterrupt

    far.remove = killed
    with pytest.raises(KeyboardInterrupt):
        Cache(storage=a.storage).clear(older_than=0)
    assert sum(b.f.is_cached(x) for x in range(3)) == sum(a.f.is_cached(x) for x in range(3)) == 2


def test_what_was_kept_here_meanwhile_goes_with_a_clear_from_elsewhere(tmp_path):
    far = Far()
    a, b = Machine(tmp_path / "a", far), Machine(tmp_path / "b", far)
    a.f(1), b.f(1)
    far.failing = ConnectionError("nobody there")
    warned(lambda: a.f(3))
    far.failing = None
    a.later()
    b.f.cache_clear()
    a.f(3)
    assert a.computed == 3


# --------------------------------------------------------------------------------------- the near tier is down


class Full(Memory):
    def write(self, name, parts, head, /, *, size, mark, suffix=""):
        raise OSError(28, "No space left on device")


def test_a_full_near_tier_loses_nothing(tmp_path):
    far = Far()
    a, b = Machine(Full(), far), Machine(tmp_path / "b", far)
    value, texts = warned(lambda: [a.f(3), a.f(3), a.f(4)])
    assert value == [[9], [9], [16]]
    assert a.computed == 2
    assert len(texts) == 1
    assert "near tier" in texts[0]
    assert "No space left" in texts[0]
    assert b.f(4) == [16]
    assert b.computed == 0


def test_a_ruined_near_tier_is_made_anew(tmp_path):
    far = Far()
    a = Machine(tmp_path / "a", far)
    a.f(3)
    database = next(path for path in (tmp_path / "a").iterdir() if path.suffix in (".sqlite", ".db", ".sqlite3"))
    a.storage.close()
    for extra in (tmp_path / "a").glob(database.name + "-*"):
        extra.unlink()
    os.chmod(database, 0o600)
    database.write_bytes(b"ruined " * 10_000)
    again = Machine(tmp_path / "a", far)
    assert warned(lambda: again.f(3))[0] == [9]
    assert again.f(3) == [9]
    assert again.computed == 0
    far.asked.clear()
    assert again.f(3) == [9]
    assert not [name for _, name in far.asked if name.count("/") == 2]


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_no_tier(tmp_path):
    (tmp_path / "near").mkdir()
    os.chown(tmp_path / "near", 4242, 4242)
    with pytest.raises(PlaceError, match="4242"):
        Tiered(tmp_path / "near", Memory())


def test_abilities_are_those_of_the_far_tier(tmp_path):
    tiered = Tiered(Memory(), Far())
    for ability in (Heads, Batch, Words, Purge):
        assert isinstance(tiered, ability)
    assert not isinstance(tiered, Locks)
    assert Tiered("files:" + str(tmp_path / "x"), Memory()).near.folder == str(tmp_path / "x" / "files")


# --------------------------------------------------------------------------------------------- read only


def test_read_only_serves_and_changes_nothing(tmp_path):
    inner = Files(tmp_path)
    made = Cache(storage=inner).persist(square)
    made(3)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    storage = ReadOnly(inner)
    f = Cache(storage=storage).persist(square)
    value, texts = warned(lambda: [f(3), f(4), f(4), f(5)])
    assert value == [[9], [16], [16], [25]]
    assert f.cache_info().misses == 3
    assert len(texts) == 1
    assert "only read" in texts[0]
    assert "nothing is stored" in texts[0]
    for change in (lambda: storage.remove(NAME), lambda: storage.bump("f"), lambda: storage.purge("f", 1, 1)):
        with pytest.raises(PermissionError):
            change()
    with pytest.raises(PermissionError):
        put(storage, NAME, b"body")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before
    assert [item.name for item in storage.scan()] == [item.name for item in inner.scan()]
    assert storage.read_many([NAME]) == {}
