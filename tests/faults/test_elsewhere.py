"""The promises for the other storages, in what applies: shelve, memory, SQLAlchemy, fsspec, diskcache.

Entries are damaged and swapped through the storage itself, the files of those that have files of their own on the disk, and
calls of the system and of their libraries fail. Right values, no exception, one warning, healed at the call after next.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import os
import pickle
import random
import shutil
import sqlite3
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from faulty import ERRORS, Faults, injected
from places import SIZES, Persisted, forget, value, watched
from test_damage import DAMAGES, files, put

from memo import Cache, MemoWarning, _cache, _entry
from memo.model import Head
from memo.storages.memory import Memory

NEEDS = {"diskcache": "diskcache", "sql": "sqlalchemy", "file": "fsspec", "memory-url": "fsspec"}
KINDS = ["shelve", "memory", "diskcache", "sql", "file", "memory-url"]
X = 0


@functools.cache
def in_memory(folder: Path) -> Memory:
    """Its content is that of the process, whoever opens it."""
    return Memory()


def persisted(folder: Path, kind: str, size: str, **options: Any) -> Persisted:
    """As another process would have it."""
    if kind in ("sql", "file", "memory-url") and not options:
        options = {"trust_folder": True}
    calls: list[int] = []

    def f(x: int) -> bytes:
        calls.append(x)
        return value(x, SIZES[size])

    if kind in NEEDS:
        pytest.importorskip(NEEDS[kind])
    match kind:
        case "memory":
            cache = Cache(storage=in_memory(folder), **options)
        case "sql":
            cache = Cache(f"sqlite:///{folder}/entries.sqlite", **options)
        case "file":
            cache = Cache(f"file://{folder}/objects", **options)
        case "memory-url":
            cache = Cache(f"memory://{folder}", **options)
        case _:
            cache = Cache(folder, storage=kind, **options)
    return Persisted(cache.persist(f, name="faults.f", code="off", version=1), calls, cache)


@pytest.fixture(autouse=True)
def _at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_cache, "_RETRY", 0.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # where the lock files of URLs are


def ask(folder: Path, kind: str, size: str, x: int = X) -> tuple[list[int], list[str]]:
    """A new process asks: what it computed, and what was told."""
    one = persisted(folder, kind, size)
    result, texts = watched(lambda: one.f(x), raising=False)
    assert result == value(x, SIZES[size])
    forget(one)
    return one.calls, texts


def healed(folder: Path, kind: str, size: str, about: object, calls: int = 1) -> list[str]:
    """Right now, a hit at the call after next, and it stores; what was told first."""
    computed, texts = ask(folder, kind, size)
    assert len(computed) <= 1, about
    assert len(texts) <= 1, (about, texts)
    ask(folder, kind, size)
    assert ask(folder, kind, size) == ([], []), about
    ask(folder, kind, size, 7)
    assert ask(folder, kind, size, 7) == ([], []), about
    return texts


# --------------------------------------------------------------------------------------------------------- entries


def flipped(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


ENTRY: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "a bit": flipped,
    "cut off": lambda data, rng: data[: rng.randrange(1, len(data))],
    "emptied": lambda data, rng: b"",
    "extended": lambda data, rng: data + b"x",
    "zeroed": lambda data, rng: bytes(len(data)),
    "noise": lambda data, rng: rng.randbytes(len(data)),
}


PARTS = ("head", "body")


@pytest.mark.parametrize(("kind", "size"), [*((kind, "small") for kind in KINDS), ("diskcache", "large")])
def test_damaged_entries(memory: Path, kind: str, size: str) -> None:
    """In one of the two parts, in the other on the next storage: who looks at them is the same for all."""
    start = KINDS.index(kind)
    damaged(memory, kind, size, [(how, PARTS[at % 2]) for at, how in enumerate(ENTRY, start)])


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_entries_in_both_parts(memory: Path, kind: str, size: str) -> None:
    damaged(memory, kind, size, itertools.product(ENTRY, PARTS))


def damaged(memory: Path, kind: str, size: str, damages: Iterable[tuple[str, str]]) -> None:
    ask(memory, kind, size)
    rng = random.Random(f"{kind} {size}")
    for how, part in damages:
        one = persisted(memory, kind, size)
        storage, name = one.cache.storage, one.f.cache_key(X)
        good = storage.read(name)
        assert good is not None
        head, body = bytes(good.head), bytes(good.body)
        head, body = (ENTRY[how](head, rng), body) if part == "head" else (head, ENTRY[how](body, rng))
        storage.write(name, [body], lambda head=head: head, size=len(body), mark=good.mark)
        forget(one)
        texts = healed(memory, kind, size, (how, part))
        if (how, part) != ("emptied", "head"):  # that says that it was deleted
            assert texts, (how, part)
            assert any(why in texts[0] for why in ("digest does not fit", "head", "entry of memo", "format")), texts


@pytest.mark.parametrize("kind", ["files", "shelve", "diskcache", "file", "memory-url"])
def test_a_damaged_word_brings_nothing_back_and_heals(memory: Path, kind: str) -> None:
    """What was cleared stays so: all that was stored under a word that can't be read counts as cleared."""
    one = persisted(memory, kind, "small")
    one.f(X), one.f.cache_clear(), one.f(X)
    storage, scope = one.cache.storage, one.f.cache_key(X).partition("/")[0]
    match kind:
        case "diskcache":
            storage._at(f"memo:word:{scope}").set(f"memo:word:{scope}", "no number")
        case "shelve":
            with storage._open(write=True) as shelf:
                shelf[f"words/{scope}".encode()] = b"noise"
        case "memory-url":
            storage.storage._ask("pipe_file", storage.storage._path(f"words/{scope}"), b"noise")
        case _:
            for path in files(memory):
                if "words" in path.parts:
                    put(path, b"noise")
    forget(one)
    computed, _ = ask(memory, kind, "small")
    assert computed == [X], "nobody knows whether it was cleared since"
    assert ask(memory, kind, "small") == ([], [])
    two = persisted(memory, kind, "small")
    two.f(X), two.f.cache_clear(), two.f(X), two.f.cache_clear()
    assert two.calls == [X]
    forget(two)
    assert ask(memory, kind, "small")[0] == [X]


@pytest.mark.parametrize("kind", KINDS)
def test_swapped_entries(memory: Path, kind: str) -> None:
    ask(memory, kind, "small", 0), ask(memory, kind, "small", 1)
    one = persisted(memory, kind, "small")
    storage, names = one.cache.storage, [one.f.cache_key(x) for x in (0, 1)]
    records = [storage.read(name) for name in names]
    for name, record in zip(names, reversed(records), strict=True):
        body, head = bytes(record.body), bytes(record.head)  # type: ignore[union-attr]
        storage.write(name, [body], lambda head=head: head, size=len(body), mark=record.mark)  # type: ignore[union-attr]
    forget(one)
    for x in (0, 1):
        computed, texts = ask(memory, kind, "small", x)
        assert (computed, len(texts)) == ([x], 1)
        assert "digest does not fit" in texts[0]
        assert ask(memory, kind, "small", x) == ([], [])


RUN: list[int] = []


def ran(x: int) -> None:
    RUN.append(x)


class Planted:
    """What an attacker stores: unpickling it leaves a mark."""

    def __reduce__(self) -> Any:
        return ran, (1,)


def test_the_plant_works() -> None:
    """Else the tests below would prove nothing."""
    pickle.loads(pickle.dumps(Planted()))
    assert RUN == [1]
    RUN.clear()


GUARDS: dict[str, dict[str, Any]] = {
    "signed": {"sign": "a secret of this test alone"},
    "data": {"trust": "data"},
    "restricted": {"trust": "restricted"},
}


SERIALIZERS = ("pickle", "joblib", "raised", "auto")
CODECS: tuple[tuple[str, ...], ...] = ((), ("zlib",))


@pytest.mark.parametrize("guard", GUARDS)
@pytest.mark.parametrize("kind", ["sqlite", "files", *KINDS])
def test_planted_entries_run_nothing(memory: Path, kind: str, guard: str) -> None:
    """Whole and valid, by somebody who knows the format and may write there, under each name that a call looks at.

    What is decoded is the same on each storage, so one is tried with all; all are with all in the slow form.
    """
    plants = itertools.product(SERIALIZERS, CODECS) if kind == "sqlite" else [("pickle", ()), ("auto", ("zlib",))]
    planted(memory, kind, guard, plants)


@pytest.mark.slow
@pytest.mark.parametrize("guard", GUARDS)
@pytest.mark.parametrize("kind", ["files", *KINDS])
def test_planted_entries_of_every_kind_run_nothing(memory: Path, kind: str, guard: str) -> None:
    planted(memory, kind, guard, itertools.product(SERIALIZERS, CODECS))


def planted(memory: Path, kind: str, guard: str, plants: Iterable[tuple[str, tuple[str, ...]]]) -> None:
    options, body = GUARDS[guard], pickle.dumps(Planted())
    for serializer, codecs in plants:
        one = persisted(memory, kind, "small", **options)
        one.f(X)
        name, storage = one.f.cache_key(X), one.cache.storage
        scope = name.partition("/")[0]
        there = storage.read(name)
        assert there is not None
        content = zlib.compress(body) if codecs else body
        head = Head("faults.f", 1.7e9, 1.0, serializer, codecs, len(content), b"", body)
        storage.write(name, [content], _entry.sealing(name, [content], head), size=len(content), mark=there.mark)
        for record in (f"names/{scope}", f"{scope}/current", f"{scope}/recent", f"{scope}/uses", "flights/h-1"):
            storage.write(record, [body], bytes, size=len(body), mark=0)
        forget(one)
        two = persisted(memory, kind, "small", **options)
        result, texts = watched(lambda two=two: (two.f(X), two.f(X + 1)), raising=False)
        two.cache.verify(), two.f.why(X), two.f.entries(), two.cache.prune()
        forget(two)
        assert (RUN, result) == ([], (value(0, SIZES["small"]), value(1, SIZES["small"]))), (serializer, texts)
        assert two.calls[:1] == [X], (serializer, "nothing of it was taken")


@pytest.mark.parametrize("column", ["body", "head", "mark", "size"])
@pytest.mark.parametrize(
    "others",
    [["'text'", "NULL", "-1"], pytest.param(["5", "1e300", "x''", "9e99"], marks=pytest.mark.slow)],
    ids=["some", "more"],
)
def test_columns_that_hold_something_else(memory: Path, column: str, others: list[str]) -> None:
    """SQLite takes any kind of value in any column."""
    ask(memory, "sql", "small")
    for other in others:
        with contextlib.closing(sqlite3.connect(memory / "entries.sqlite")) as db, db:
            try:
                db.execute(f"UPDATE memo SET {column} = {other} WHERE name LIKE '%/%/%'")
            except sqlite3.IntegrityError:
                continue
        healed(memory, "sql", "small", (column, other))


# ----------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("kind", ["shelve", "diskcache", "file"])
@pytest.mark.parametrize("how", ["half", "noise", "gone"])
def test_each_of_their_files(memory: Path, kind: str, how: str) -> None:
    damaged_files(memory, kind, how, ["large"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["shelve", "diskcache", "file"])
@pytest.mark.parametrize("how", DAMAGES)
def test_each_of_their_files_in_every_way(memory: Path, kind: str, how: str) -> None:
    damaged_files(memory, kind, how, SIZES)


def damaged_files(memory: Path, kind: str, how: str, sizes: Iterable[str]) -> None:
    for size in sizes:
        template = memory / f"template-{size}"
        for x in (0, 1):
            ask(template, kind, size, x)
        for number, path in enumerate(files(template)):
            name = path.relative_to(template)
            if name.name == "memo.json":
                continue  # the place's: see test_damage
            folder = memory / size / str(number)
            shutil.copytree(template, folder)
            DAMAGES[how](folder / name)
            healed(folder, kind, size, f"{name} is {how}")
            computed, _ = ask(folder, kind, size, 1)
            assert computed in ([], [1])
            shutil.rmtree(folder)


def test_a_shelf_whose_label_is_lost_is_kept(memory: Path) -> None:
    for x in range(5):
        ask(memory, "shelve", "small", x)
    (memory / "shelve.json").unlink()
    ask(memory, "shelve", "small", 7)
    assert [ask(memory, "shelve", "small", x)[0] for x in range(5)] == [[]] * 5


# ----------------------------------------------------------------------------------------------------------- calls


@contextmanager
def failing(n: int, how: int, for_good: bool, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """As ``injected``; also what these libraries call by other names."""
    with (
        monkeypatch.context() as patch,
        injected(lambda count: count == n or (for_good and count > n), how) as faults,
    ):

        def also(module: Any, name: str, error: Callable[[], BaseException]) -> None:
            original = getattr(module, name, open)

            def call(*args: Any, **kwargs: Any) -> Any:
                if faults.reached(f"{module.__name__}.{name}"):
                    raise error()
                return original(*args, **kwargs)

            patch.setattr(module, name, call, raising=False)

        def as_os() -> OSError:
            return OSError(how, os.strerror(how))

        patch.setattr(sqlite3.dbapi2, "connect", lambda *args, **kwargs: sqlite3.connect(*args, **kwargs))
        for flavour in ("dbm.gnu", "dbm.ndbm", "dbm.dumb"):
            try:
                module = __import__(flavour, fromlist=["open"])
            except ImportError:
                continue
            also(module, "open", as_os)
        try:
            import fsspec.implementations.local as local
        except ImportError:
            pass
        else:
            also(local, "open", as_os)
        yield faults


def each(memory: Path, kind: str, size: str, for_good: bool, step: int, patch: pytest.MonkeyPatch) -> int:
    """A load of what is stored, and a store of what is not, with each ``step``-th call failing; how many did."""
    template = memory / "template"
    ask(template, kind, size)
    # what is locked for good diskcache itself tries again for a minute, each time
    errors = [how for how in ERRORS if not (kind == "diskcache" and for_good and how == errno.EBUSY)]
    for done in itertools.count():
        n, how, x = 1 + done // 2 * step, errors[done // 2 % len(errors)], done & 1
        folder = memory / "copy"
        shutil.copytree(template, folder)
        one = persisted(folder, kind, size)
        with failing(n, how, for_good, patch) as faults:
            result, texts = watched(lambda one=one, x=x: one.f(x), raising=bool(done & 2))
        about = f"call {n}, {faults.last}, fails by {errno.errorcode[how]}: {texts}"
        assert result == value(x, SIZES[size]), about
        assert len({text.partition("(")[0] for text in texts}) <= 2, about
        assert one.f(x) == value(x, SIZES[size]), about
        forget(one)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MemoWarning)
            _second, _ = ask(folder, kind, size, x)
        assert ask(folder, kind, size, x) == ([], []), about
        assert ask(folder, kind, size, 0) == ([], []), f"lost: {about}"
        shutil.rmtree(folder)
        if not faults.failed and x:
            return done
    raise AssertionError


@pytest.mark.parametrize("kind", ["shelve", "diskcache", "sql", "file"])
def test_some_calls_fail(memory: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for_good = kind in ("shelve", "sql")
    assert each(memory, kind, "small", for_good, 11, monkeypatch) > 1


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("size", "for_good"), [("small", False), ("small", True), ("large", False)])
@pytest.mark.parametrize("kind", ["shelve", "diskcache", "sql", "file"])
def test_every_call_fails(memory: Path, kind: str, size: str, for_good: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert each(memory, kind, size, for_good, 1, monkeypatch) > 10
