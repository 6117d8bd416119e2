"""What every storage must do: the four verbs, and each ability, its own or the fall-back, with its laws.

Everything is asked through the contract, so the suite says nothing of how a storage does it. Processes are started as
fresh interpreters that get the storage pickled, or forked.
"""

from __future__ import annotations

import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path

from .. import _abilities
from ..model import Buffer, Item, Record
from ..protocols import Ranks, Storage
from ._agreement import agree

NAME = "cube-0123456789/0123456789abcdef0123/00112233445566778899aabbccddeeff00112233"
NAMES = [
    NAME,
    "cube-0123456789/0123456789abcdef0123/00112233445566778899aabbccddeeff00112234",
    "cube-0123456789/0123456789abcdef0124/00112233445566778899aabbccddeeff00112233",
    "cube-0123456780/0123456789abcdef0123/00112233445566778899aabbccddeeff00112233",
    "cube-0123456789/0123456789abcdef0123",
    "a/b",
    "a/b.pkl",
    "a/b-c",
    "a/b/c",
    "a/b/c.d",
    "a/b/c-d",
    "a/b/c_d",
    "a/b/c.pkl",
    "a/bb/c",
    "a.b/c..d/e",
    "0/1/2",
    f"{'s' * 64}/{'v' * 64}/{'a' * 64}",
]
SUFFIXES = ("", ".pkl", ".json")


def put(storage: Storage, name: str, body: bytes, head: bytes = b"head", mark: int = 0, suffix: str = "") -> None:
    storage.write(name, [body], lambda: head, size=len(body), mark=mark, suffix=suffix)


def get(storage: Storage, name: str) -> tuple[bytes, int, bytes] | None:
    record = storage.read(name)
    return None if record is None else (record.head, record.mark, bytes(record.body))


def stored(storage: Storage, prefix: str = "") -> dict[str, Item]:
    """What a scan lists, but for the words that a storage may keep as entries."""
    items = [item for item in storage.scan(prefix) if not item.name.startswith("words/")]
    assert len({item.name for item in items}) == len(items), "a scan lists an entry twice"
    return {item.name: item for item in items}


class Boom(Exception):
    pass


class StorageSuite:
    """Give ``make`` in a subclass. ``kept``: whether another process, or a pickled copy, sees the same entries.
    ``many``: how many entries it is to hold at least; more than one page of a listing is best.
    ``ordered``: whether a storage with ``Ranks`` of its own knows which entry was written first.
    """

    kept = True
    many = 1500
    ordered = True

    def make(self, tmp_path: Path) -> Storage:
        raise NotImplementedError("a subclass returns a new, empty storage in tmp_path")

    def reopen(self, storage: Storage) -> Storage:
        """Another object on the same entries; by default what the pickled storage becomes."""
        return pickle.loads(pickle.dumps(storage))  # type: ignore[no-any-return]

    # -- the four verbs

    def test_has_the_four_verbs(self, tmp_path: Path) -> None:
        assert isinstance(self.make(tmp_path), Storage)

    def test_reading_what_is_absent_makes_nothing(self, tmp_path: Path) -> None:
        storage = self.make(tmp_path / "place")
        assert storage.read(NAME) is None
        assert stored(storage) == {}
        storage.remove(NAME)
        assert not list(tmp_path.iterdir())

    def test_gives_back_what_was_written(self, tmp_path: Path) -> None:
        storage = self.make(tmp_path)
        storage.write(NAME, iter([b"one ", b"", b"two"]), lambda: b"the head", size=7, mark=3)
        record = storage.read(NAME)
        assert isinstance(record, Record)
        assert (record.head, record.mark, bytes(record.body)) == (b"the head", 3, b"one two")
        assert type(record.head) is bytes

    def test_every_name_is_another_entry(self, tmp_path: Path) -> None:
        storage = self.make(tmp_path)
        for name in NAMES:
            put(storage, name, name.encode(), head=name.encode())
        for name in NAMES:
            assert get(storage, name) == (name.encode(), 0, name.encode())
        assert set(stored(storage)) == set(NAMES)
        for name in NAMES[::2]:
            storage.remove(name)
        for index, name in enumerate(NAMES):
            assert (storage.read(name) is None) == (index % 2 == 0), name

    def test_one_entry_a_name_whatever_the_suffix(self, tmp_path: Path) -> None:
        storage = self.make(tmp_path)
        for number, suffix in enumerate((*SUFFIXES, *reversed(SUFFIXES))):
            put(storage, NAME, b"%d" % number, head=b"h%d" % number, suffix=suffix)
            assert get(storage, NAME) == (b"h%d" % number, 0, b"%d" % number)
            assert list(stored(storage)) == [NAME]
        storage.remove(NAME)
        assert storage.read(NAME) is None

    def test_replaces(self, tmp_path: Path) -> None:
        storage = self.make(tmp_path)
        for body in (b"a long one " * 1000, b"short", b"", b"x" * 200_000, b"short again"):
            put(storage, NAME, body, head=b"h" * (len(body) % 300), mark=len(body))
            assert get(storage, NAME) == (b"h" * (len(body) % 300), len(body), body)

    def test_removes_any_number_of_times(self, tmp_path: Path) -> None:
        storage = self.make(tmp_path)
        put(storage, NAMES[0], b"1")
        put(storage, NAMES[1], b"2")
        for _ in range(3):
            storage.remove(NAMES[0])
            assert storage.read(NAMES[0]) is None
            assert get(storage, NAMES[1]) == (b"head", 0, b"2")

    def test_an_empty_body_and_an_empty_head_are_an_entry(self, tmp_path: Path) -> None:
        storage = self.make(tmp_path)
        storage.write(NAME, (), bytes, size=0, mark=0)
        assert get(storage, NAME) == (b"", 0, b"")
        assert stored(storage) == {NAME: Item(NAME, 0, 0, b"")}

    def test_marks_and_heads_of_every_size(self, tmp_path: Path) -> None:
        storage = self.make(tmp_path)
        for mark in (0, 1, 255, 256, 2**31, 2**63 - 1):
            for length in (0, 1, 60, 254, 255, 256, 5000, 70_000):
                put(storage, NAME, b"body", head=b"h" * length, mark=mark)
                assert get(storage, NAME) == (b"h" * length, mark, b"body")
                assert stored(storage) == {NAME: Item(NAME, length + 4, mark, b"h" * length)}
                assert _abilities.heads(storage).head(NAME) == (b"h" * length, mark)

    def test_bodies_of_every_size(self, tmp_path: Path) -> None:
        storage = self.make(tmp_path)
        for size in (1, 3999, 4096, 65_535, 65_536, 65_537, 300_000, 1_000_000, 5_000_001):
            body = random.Random(size).randbytes(size)
            for suffix in SUFFIXES:
                put(storage, NAME, body, suffix=suffix)
                assert get(storage, NAME) == (b"head", 0, body)
                assert stored(storage)[NAME].size == size + 4

    def test_takes_buffers_of_every_kind(self, tmp_path: Path) -> None:
        from array import array

        storage = self.make(tmp_path)
        numbers = array("d", [1.5, 2.5])
        parts: list[Buffer] = [
            b"bytes",
            bytearray(b"bytearray"),
            memoryview(b"view of bytes")[2:],
            memoryview(bytearray(b"view")),
            memoryview(numbers),
            memoryview(bytes(12)).cast("B", (3, 4)),
            memoryview(b""),
            memoryview(array("d")),
        ]
        body = b"".join(bytes(part) for part in parts)
        for above in (0, 100_000):
            longer = [*parts, b"x" * above]
            storage.write(NAME, longer, lambda: b"head", size=len(body) + above, mark=0)
            assert get(storage, NAME) == (b"head", 0, body + b"x" * above)

    def test_many_parts(self, tmp_path: Path) -> None:
        storage = self.make(tmp_path)
        parts = [b"%d," % number for number in range(40_000)]
        size = sum(map(len, parts))
        storage.write(NAME, parts, lambda: b"head", size=size, mark=0)
        assert get(storage, NAME) == (b"head", 0, b"".join(parts))

    def test_head_is_asked_once_after_all_parts(self, tmp_path: Path) -> None:
        for size in (10, 200_000):
            storage = self.make(tmp_path / str(size))
            order: list[str] = []

            def parts(size: int = size, order: list[str] = order) -> Iterator[bytes]:
                for _ in range(2):
                    order.append("part")
                    yield b"x" * (size // 2)

            def head(order: list[str] = order) -> bytes:
                order.append("head")
                return b"made on the way"

            storage.write(NAME, parts(), head, size=size, mark=0)
            assert order == ["part", "part", "head"]
            assert get(storage, NAME) == (b"made on the way", 0, b"x" * size)

    def test_what_fails_leaves_the_old_entry(self, tmp_path: Path) -> None:
        def parts(size: int) -> Iterator[bytes]:
            yield b"y" * (size // 2)
            raise Boom

        def head() -> bytes:
            raise Boom

        for size in (10, 200_000):
            for suffix in SUFFIXES:
                storage = self.make(tmp_path / f"{size}{suffix}")
                for before in (None, b"the old one"):
                    if before is not None:
                        put(storage, NAME, before, suffix=suffix)
                    expected = None if before is None else (b"head", 0, before)
                    attempts: list[tuple[Iterable[Buffer], Callable[[], bytes], int]] = [
                        (parts(size), lambda: b"new", size),
                        ([b"y" * size], head, size),
                        ([b"y" * size], lambda: b"new", size + 1),
                        ([b"y" * size], lambda: b"new", size - 1),
                    ]
                    for body, make_head, announced in attempts:
                        try:
                            storage.write(NAME, body, make_head, size=announced, mark=0, suffix=suffix)
                        except (Boom, ValueError):
                            pass
                        else:
                            raise AssertionError("a write of which a part failed went through")
                        assert get(storage, NAME) == expected
                        assert len(stored(storage)) == (before is not None)

    def test_scan_goes_by_components(self, tmp_path: Path) -> None:
        storage = self.make(tmp_path)
        for name in NAMES:
            put(storage, name, b"12345", head=b"678")
        for prefix in (
            "",
            "a",
            "a/b",
            "a/b/c",
            "a.b",
            "cube-0123456789",
            "cube-0123456789/0123456789abcdef0123",
            "nobody",
        ):
            expected = {name for name in NAMES if not prefix or name.startswith(prefix + "/")}
            found = stored(storage, prefix)
            assert set(found) == expected, prefix
            assert all(item == (item.name, 8, 0, b"678") for item in found.values())

    def test_scan_beside_writes(self, tmp_path: Path) -> None:
        storage = self.make(tmp_path)
        steady = [f"f/v/{number:040x}" for number in range(50)]
        for name in steady:
            put(storage, name, b"steady")
        seen = []
        for number, item in enumerate(storage.scan()):
            put(storage, f"g/v/{number:040x}", b"new")
            storage.remove(f"g/v/{number // 2:040x}")
            seen.append(item.name)
            assert number < 5000, "a scan does not end while entries are written"
        assert set(steady) <= set(seen)

    def test_many_entries(self, tmp_path: Path) -> None:
        storage = self.make(tmp_path)
        names = [f"f/v{number % 3}/{number * 7919:040x}" for number in range(self.many)]
        for name in names:
            put(storage, name, name.encode())
        assert set(stored(storage)) == set(names)
        assert all(get(storage, name) == (b"head", 0, name.encode()) for name in names[::50])

    def test_who_changes_a_body_changes_nothing_stored(self, tmp_path: Path) -> None:
        storage = self.make(tmp_path)
        for size in (100, 1_000_000):
            put(storage, NAME, b"x" * size, suffix=".pkl")
            for _ in range(2):
                record = storage.read(NAME)
                assert record is not None
                view = memoryview(record.body)
                assert bytes(view[:3]) == b"xxx"
                if not view.readonly:
                    view[:3] = b"new"
            assert get(storage, NAME) == (b"head", 0, b"x" * size)

    def test_a_body_stays_what_it_was(self, tmp_path: Path) -> None:
        storage = self.make(tmp_path)
        for size in (100, 1_000_000):
            put(storage, NAME, b"x" * size)
            record = storage.read(NAME)
            assert record is not None
            put(storage, NAME, b"y" * size)
            storage.remove(NAME)
            assert bytes(record.body) == b"x" * size

    def test_identity_is_another_one_after_each_write(self, tmp_path: Path) -> None:
        storage = self.make(tmp_path)
        seen = set()
        for number in range(3):
            put(storage, NAME, b"%d" % number * 300_000)
            record = storage.read(NAME)
            assert record is not None
            if record.identity is None:
                return
            assert storage.read(NAME) == record
            seen.add((record.identity, record.head))
        assert len({identity for identity, _ in seen}) == 3

    def test_answers_random_commands_as_it_must(self, tmp_path: Path) -> None:
        agree(self.make(tmp_path), count=300, seed=11, kept=self.kept)

    # -- others at the same time

    def test_readers_never_see_a_mixture(self, tmp_path: Path) -> None:
        storage = self.make(tmp_path)
        put(storage, NAME, _body(0), head=_head(0))
        stop = threading.Event()
        wrong: list[object] = []

        def write(seed: int) -> None:
            rng = random.Random(seed)
            try:
                for _ in range(60):
                    number = rng.randrange(1000)
                    put(storage, NAME, _body(number), head=_head(number), mark=number, suffix=rng.choice(SUFFIXES))
            except BaseException as error:
                wrong.append(error)

        def read() -> None:
            try:
                while not stop.is_set():
                    found = get(storage, NAME)
                    if found is None:
                        wrong.append("the entry was gone for a moment")
                    elif found != (_head(found[1]), found[1], _body(found[1])):
                        wrong.append(found[:2])
            except BaseException as error:
                wrong.append(error)

        readers = [threading.Thread(target=read) for _ in range(2)]
        writers = [threading.Thread(target=write, args=(seed,)) for seed in range(2)]
        for thread in readers + writers:
            thread.start()
        for thread in writers:
            thread.join()
        stop.set()
        for thread in readers:
            thread.join()
        assert not wrong, wrong[:3]
        assert storage.read(NAME) is not None

    def test_threads_write_their_own(self, tmp_path: Path) -> None:
        storage = self.make(tmp_path)
        wrong: list[object] = []

        def work(thread: int) -> None:
            try:
                for number in range(15):
                    name = f"f/v/{100 * thread + number:040x}"
                    put(storage, name, name.encode())
                    assert get(storage, name) == (b"head", 0, name.encode())
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong, wrong[:3]
        assert len(stored(storage)) == 120

    def test_processes_share_one_store(self, tmp_path: Path) -> None:
        if not self.kept:
            return
        storage = self.make(tmp_path)
        calls = ["share(4)"] if hasattr(os, "fork") else [f"work({number})" for number in range(4)]
        children = [_child(storage, call) for call in calls]  # all of them may be the first
        assert [child.wait() for child in children] == [0] * len(calls)
        assert len(stored(storage)) == 4 * 20
        assert get(storage, "f/v/" + "3" * 38 + "19") == (b"head", 0, b"3 19" * 100)
        words = _abilities.words(storage)
        assert words.word("f") == _abilities.words(self.reopen(storage)).word("f") != 0

    def test_a_killed_writer_leaves_the_old_entry(self, tmp_path: Path) -> None:
        if not self.kept:
            return
        storage = self.make(tmp_path)
        put(storage, NAMES[0], b"the old one")
        assert _child(storage, "die(1000, 3_000_000)").wait() == -signal.SIGKILL
        for other in (storage, self.reopen(storage)):
            assert get(other, NAMES[0]) == (b"head", 0, b"the old one")
            assert other.read(NAMES[1]) is None
            assert list(stored(other)) == [NAMES[0]]
        put(storage, NAMES[0], b"the new one")
        put(storage, NAMES[1], b"another")
        assert get(self.reopen(storage), NAMES[0]) == (b"head", 0, b"the new one")

    def test_goes_on_in_a_forked_child(self, tmp_path: Path) -> None:
        if not hasattr(os, "fork"):
            return
        storage = self.make(tmp_path)
        put(storage, NAMES[0], b"from the parent")
        assert get(storage, NAMES[0]) is not None
        child = os.fork()
        if not child:
            status = 1
            try:
                assert get(storage, NAMES[0]) == (b"head", 0, b"from the parent")
                put(storage, NAMES[1], b"from the child")
                _abilities.words(storage).bump("f")
                status = 0
            finally:
                os._exit(status)
        for _ in range(20):
            put(storage, NAMES[2], b"from the parent too")
        assert os.waitpid(child, 0)[1] == 0
        if self.kept:
            assert get(storage, NAMES[1]) == (b"head", 0, b"from the child")
            assert _abilities.words(storage).word("f") != 0
        assert get(storage, NAMES[2]) == (b"head", 0, b"from the parent too")

    def test_pickles_as_its_place(self, tmp_path: Path) -> None:
        storage = self.make(tmp_path)
        put(storage, NAME, b"body")
        assert len(pickle.dumps(storage)) < 2000, "a pickled storage is where it is, not what it holds"
        again = pickle.loads(pickle.dumps(storage))
        assert isinstance(again, Storage)
        if self.kept:
            assert get(again, NAME) == (b"head", 0, b"body")
            again.remove(NAME)
            assert storage.read(NAME) is None

    # -- the abilities, its own or the fall-backs

    def test_heads(self, tmp_path: Path) -> None:
        storage = self.make(tmp_path)
        heads = _abilities.heads(storage)
        assert heads.head(NAME) is None
        for size in (0, 10, 100_000, 1_000_000):
            put(storage, NAME, b"x" * size, head=b"%d" % size, mark=7)
            assert heads.head(NAME) == (b"%d" % size, 7)
            assert heads.head(NAMES[1]) is None
        storage.remove(NAME)
        assert heads.head(NAME) is None

    def test_batch(self, tmp_path: Path) -> None:
        storage = self.make(tmp_path)
        batch = _abilities.batch(storage)
        assert batch.read_many([NAME]) == {}
        for number, name in enumerate(NAMES):
            put(storage, name, name.encode() * (1 + number % 2 * 5000))
        found = batch.read_many([*NAMES[1:], "f/v/absent", NAMES[3]])
        assert {name: bytes(record.body) for name, record in found.items()} == {
            name: name.encode() * (1 + number % 2 * 5000) for number, name in enumerate(NAMES) if number
        }
        assert batch.read_many([]) == {}

    def test_words_are_never_the_same_again(self, tmp_path: Path) -> None:
        storage = self.make(tmp_path)
        words = _abilities.words(storage)
        seen = [words.word("f")]
        for _ in range(5):
            seen.append(words.bump("f"))
            assert words.word("f") == seen[-1]
            if self.kept:
                words = _abilities.words(self.reopen(storage))
                assert words.word("f") == seen[-1]
        assert seen == sorted(set(seen))
        assert all(0 <= word < 2**63 for word in seen)

    def test_a_look_brings_an_entry_and_its_words(self, tmp_path: Path) -> None:
        storage = self.make(tmp_path)
        look = _abilities.look(storage)
        word = _abilities.words(storage)
        assert look("f/1/a", ("f", "g"), True) == (None, [word.word("f"), word.word("g")])
        assert look("f/1/a", ("f",), False) == (None, [word.word("f")])
        put(storage, "f/1/a", b"body", b"head", mark=7)
        bumped = word.bump("f")
        record, found = look("f/1/a", ("f.edits", "f"), True)
        assert record is not None
        assert (record.head, record.mark, bytes(record.body)) == (b"head", 7, b"body")
        assert list(found) == [word.word("f.edits"), bumped]
        record, found = look("f/1/a", ("f",), False)
        assert record is not None
        assert (record.head, record.mark, bytes(record.body)) == (b"head", 7, b"")
        assert list(found) == [bumped]
        put(storage, "f/1/a", b"body", b"h" * 3000)
        record, _ = look("f/1/a", ("f",), False)
        assert record is not None
        assert record.head == b"h" * 3000

    def test_words_of_other_scopes_stay(self, tmp_path: Path) -> None:
        words = _abilities.words(self.make(tmp_path))
        scopes = ["f", "f.edits", "g", "tag.0123", "s" * 64]
        before = {scope: words.word(scope) for scope in scopes}
        words.bump("f")
        assert {scope: words.word(scope) for scope in scopes[1:]} == {scope: before[scope] for scope in scopes[1:]}
        assert words.word("f") != before["f"]

    def test_words_bumped_at_once_are_all_different(self, tmp_path: Path) -> None:
        storage = self.make(tmp_path)
        words = _abilities.words(storage)
        seen: list[int] = []

        def work() -> None:
            for _ in range(10):
                seen.append(words.bump("f"))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(seen)) == len(seen) == 40
        assert words.word("f") in seen

    def test_a_watch_shows_every_bump(self, tmp_path: Path) -> None:
        storage = self.make(tmp_path)
        words = _abilities.words(storage)
        put(storage, NAME, b"there is something now")
        watch = words.watch("f")
        if watch is None:
            return
        others = [words]
        if self.kept:
            others.append(_abilities.words(self.reopen(storage)))
        for other in others:
            before = watch[0]
            other.bump("f")
            assert watch[0] != before
        if self.kept:
            before = watch[0]
            assert _child(storage, "bump('f')").wait() == 0
            assert watch[0] != before
        assert words.watch("f")[0] == watch[0]  # type: ignore[index]

    def test_ranks(self, tmp_path: Path) -> None:
        storage = self.make(tmp_path)
        ranks = _abilities.ranks(storage)
        assert ranks.lowest("", 5) == []
        assert ranks.totals("") == (0, 0)
        names = [f"{'f' if number % 2 else 'g'}/v/{number:040x}" for number in range(10)]
        sizes = [10, 100_000, 20, 200_000, 30, 1, 40, 2, 50, 3]
        for name, size in zip(names, sizes, strict=True):
            put(storage, name, b"x" * size)
        assert ranks.totals("") == (10, sum(sizes) + 40)
        assert ranks.totals("f") == (5, sum(sizes[1::2]) + 20)
        assert ranks.totals("nobody") == (0, 0)
        ranks.rank({name: 20.0 - number for number, name in enumerate(names[:8])})
        expected = {names[8], names[9]}
        lowest = ranks.lowest("", 10)
        assert {item.name for item in lowest[:2]} == expected, "what was never ranked goes first"
        assert [item.name for item in lowest[2:]] == names[7::-1]
        assert [item.name for item in ranks.lowest("f", 3)] == [names[9], names[7], names[5]]
        assert ranks.lowest("f", 1) == [stored(storage)[names[9]]]
        ranks.rank({names[7]: 100.0, names[8]: 50.0, names[9]: 60.0, "f/v/absent": -1.0})
        assert [item.name for item in ranks.lowest("", 10)][-3:] == [names[8], names[9], names[7]]
        for name in names[:5]:
            storage.remove(name)
        put(storage, names[9], b"x" * 1000)
        assert ranks.totals("") == (5, 1 + 40 + 2 + 50 + 1000 + 20)
        assert {item.name for item in ranks.lowest("", 10)} == set(names[5:])

    def test_never_ranked_goes_by_time_of_writing(self, tmp_path: Path) -> None:
        storage = self.make(tmp_path)
        if not (self.ordered and isinstance(storage, Ranks)):
            return
        names = [f"f/v/{number * 7919 % 101:040x}" for number in range(20)]
        for number, name in enumerate(names):
            put(storage, name, b"x" * (1 + number % 3 * 50_000))
        put(storage, names[0], b"again")
        assert [item.name for item in storage.lowest("f", 20)] == [*names[1:], names[0]]

    def test_records_of_memo_itself_are_not_ranked(self, tmp_path: Path) -> None:
        storage = self.make(tmp_path)
        ranks = _abilities.ranks(storage)
        put(storage, "f/v", b"two components", mark=0)
        put(storage, "f/v/result", b"three", head=b"", mark=5)
        _abilities.words(storage).bump("f")
        assert ranks.totals("") == ranks.totals("f") == (1, 5)
        assert [item.name for item in ranks.lowest("", 5)] == ["f/v/result"]
        assert _abilities.purge(storage).purge("f", 5, 10) == 0

    def test_purge(self, tmp_path: Path) -> None:
        storage = self.make(tmp_path)
        purge = _abilities.purge(storage)
        assert purge.purge("f", 2**63 - 1, 10) == 0
        for number in range(12):
            put(storage, f"f/v{number % 2}/{number:040x}", b"x" * (number % 4 * 30_000), mark=number)
            put(storage, f"g/v/{number:040x}", b"", mark=number)
        assert purge.purge("f", 8, 3) == 3
        assert purge.purge("f", 8, 3) == 3
        assert purge.purge("f", 8, 100) == 2
        assert purge.purge("f", 8, 100) == 0
        assert sorted(item.mark for item in stored(storage, "f").values()) == [8, 9, 10, 11]
        assert len(stored(storage, "g")) == 12

    def test_locks(self, tmp_path: Path) -> None:
        locks = _abilities.locks(self.make(tmp_path))
        had: list[bool] = []

        def attempt(name: str) -> None:
            with locks.lock(name, 0.0) as mine:
                had.append(mine)

        with locks.lock("f/v/a", 1.0) as mine:
            assert mine is True
            for name in ("f/v/a", "f/v/b"):
                thread = threading.Thread(target=attempt, args=(name,))
                thread.start()
                thread.join()
        assert had == [False, True]
        attempt("f/v/a")
        assert had[-1] is True


def _head(number: int) -> bytes:
    return b"head of %d" % number


def _body(number: int) -> bytes:
    return b"%d " % number * (2000 if number % 2 else 20_000)  # small and big, for storages that part them


def _child(storage: Storage, call: str) -> subprocess.Popen[bytes]:
    """A fresh interpreter that runs a function of ``_Child`` with the storage pickled."""
    code = f"import sys; from memo.testing import _storage as suite; suite._Child(bytes.fromhex(sys.argv[1])).{call}"
    paths = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(
        [sys.executable, "-c", code, pickle.dumps(storage).hex()], env={**os.environ, "PYTHONPATH": paths}
    )


class _Child:
    def __init__(self, pickled: bytes) -> None:
        self.pickled = pickled

    @cached_property
    def storage(self) -> Storage:
        return pickle.loads(self.pickled)  # type: ignore[no-any-return]

    def share(self, processes: int) -> None:
        """``work`` in so many processes, each of which gets the storage pickled: forked while there is none yet."""
        children = []
        for number in range(processes):
            children.append(os.fork())
            if not children[-1]:
                status = 1
                try:
                    _Child(self.pickled).work(number)
                    status = 0
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(status)
        sys.exit(sum(os.waitpid(child, 0)[1] != 0 for child in children))

    def work(self, child: int) -> None:
        for number in range(20):
            put(self.storage, f"f/v/{str(child) * 38}{number:02d}", b"%d %d" % (child, number) * 100)
            _abilities.words(self.storage).bump("f")

    def bump(self, scope: str) -> None:
        _abilities.words(self.storage).bump(scope)

    def die(self, *sizes: int) -> None:
        def write(name: str, size: int) -> None:
            self.storage.write(name, parts(size), lambda: b"new", size=size, mark=0)

        def parts(size: int) -> Iterator[bytes]:
            yield b"y" * (size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

        put(self.storage, NAMES[2], b"opened")
        self.storage.remove(NAMES[2])
        for size in sizes:
            for name in NAMES[:2]:
                if os.fork() == 0:  # a kill for each name
                    write(name, size)
                os.wait()
        write(NAMES[1], sizes[-1])
