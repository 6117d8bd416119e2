"""Walking a storage: usage, listing and clearing, on a bare four-verb storage and on the real ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memo import Cache, _abilities, _upkeep
from memo._entry import sealing
from memo._upkeep import Filters, usage
from memo.model import Bulk, Head, Item, Record
from memo.storages import ReadOnly, _eviction, open_storage
from memo.storages.sqlite import Sqlite

NOW = 1_000_000.0
F, G = "shop-0000000001", "till-0000000002"
OLD, NEW = "a" * 20, "b" * 20


class Bare:
    """Four verbs over a dict, so that everything else comes from the fall-backs."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[bytes, int, bytes]] = {}

    def read(self, name: str) -> Record | None:
        if name not in self.rows:
            return None
        head, mark, body = self.rows[name]
        return Record(head, mark, body)

    def write(
        self, name: str, parts: Any, head: Callable[[], bytes], *, size: int, mark: int, suffix: str = ""
    ) -> None:
        body = b"".join(parts)
        self.rows[name] = (head(), mark, body)

    def remove(self, name: str) -> None:
        self.rows.pop(name, None)

    def scan(self, prefix: str = "") -> Iterator[Item]:
        for name, (head, mark, body) in list(self.rows.items()):
            if not prefix or name.startswith(prefix + "/"):
                yield Item(name, len(head) + len(body), mark, head)


@pytest.fixture(params=["bare", "memory", "sqlite", "files"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return Bare() if request.param == "bare" else open_storage(request.param, str(tmp_path))


def named(storage: Any, scope: str, name: bytes) -> None:
    storage.write(f"names/{scope}", [name], lambda: b"", size=len(name), mark=0)


def put(
    storage: Any,
    scope: str,
    number: int,
    *,
    version: str = NEW,
    age: float = 0.0,
    seconds: float = 1.0,
    body: bytes = b"value",
    mark: int | None = None,
) -> str:
    key = f"{scope}/{version}/{number:040x}"
    head = Head("", NOW - age, seconds, "pickle", (), len(body), b"", b"")
    mark = _abilities.words(storage).word(scope) if mark is None else mark
    storage.write(key, [body], sealing(key, [body], head), size=len(body), mark=mark)
    return key


def raw(storage: Any, name: str, head: bytes, mark: int) -> None:
    storage.write(name, [b""], lambda: head, size=0, mark=mark)


def shop(storage: Any) -> Any:
    """Two functions: shop.price with an old and a new version, till.Till.<locals>.total with one large entry."""
    named(storage, F, b"shop.price")
    named(storage, G, b"till.Till.<locals>.total")
    put(storage, F, 1, version=OLD, age=5000, seconds=2.0)
    put(storage, F, 2, age=300)
    put(storage, F, 3, age=20)
    put(storage, G, 1, age=1000, seconds=60.0, body=bytes(5000))
    return storage


def live(storage: Any) -> set[str]:
    return {one.key for one in _upkeep.entries(storage) if one.live}


def everything(storage: Any) -> list[tuple[Item, int]]:
    words = _abilities.words(storage)
    return [(item, words.word(item.name.partition("/")[0])) for item in sorted(storage.scan())]


# ------------------------------------------------------------------------------------------------------- looking


def test_functions_are_known_by_their_full_names(storage: Any) -> None:
    shop(storage)
    assert _upkeep.functions(storage) == {F: "shop.price", G: "till.Till.<locals>.total"}
    assert _upkeep.functions(storage, "shop.*") == {F: "shop.price"}
    assert _upkeep.functions(storage, "SHOP.*") == {}


def test_a_full_name_is_its_own_pattern_whatever_is_in_it(storage: Any) -> None:
    named(storage, F, b"m.f[int]")
    assert _upkeep.functions(storage, "m.f[int]") == {F: "m.f[int]"}


def test_a_name_that_cant_be_read_is_replaced_by_the_scope(storage: Any) -> None:
    named(storage, F, b"\xff\xfe")
    assert _upkeep.functions(storage) == {F: F}


def test_usage_sums_what_each_function_has_newest_first(storage: Any) -> None:
    shop(storage)
    sizes = {item.name: item.size for item in storage.scan()}
    price, total = _upkeep.usage(storage)
    assert price == (
        "shop.price",
        F,
        3,
        sum(size for name, size in sizes.items() if name.startswith(F)),
        4.0,
        NOW - 5000,
        NOW - 20,
        2,
        0,
        0,
        *(0, 0, 0, 0.0, None),
    )
    assert (total.function, total.entries, total.seconds, total.versions) == ("till.Till.<locals>.total", 1, 60.0, 1)
    assert total.bytes > 5000


def test_records_of_the_engine_and_deleted_entries_are_not_entries(storage: Any) -> None:
    shop(storage)
    word = _abilities.words(storage).bump("tag.00")
    before = _upkeep.usage(storage)
    raw(storage, f"{F}/{NEW}", b"code", word)
    raw(storage, f"{F}/{NEW}/{99:040x}", b"", _abilities.words(storage).word(F))
    assert _upkeep.usage(storage) == before


def test_damaged_heads_are_counted_and_nothing_is_raised(storage: Any) -> None:
    shop(storage)
    word = _abilities.words(storage).word(F)
    raw(storage, f"{F}/{NEW}/{7:040x}", b"garbage", word)
    raw(storage, f"{F}/{NEW}/{8:040x}", b"\x93m\x09" + bytes(60), word)
    price = next(one for one in _upkeep.usage(storage) if one.scope == F)
    assert (price.entries, price.damaged, price.seconds) == (5, 2, 4.0)
    assert sorted(one.key[-1] for one in _upkeep.entries(storage) if one.head is None) == ["7", "8"]


def test_entries_of_a_cleared_word_are_dead(storage: Any) -> None:
    shop(storage)
    _upkeep.forget(storage, F)
    put(storage, F, 4)
    price = next(one for one in _upkeep.usage(storage) if one.scope == F)
    assert (price.entries, price.dead, price.versions) == (1, 3, 1)
    assert {one.key[-1] for one in _upkeep.entries(storage, Filters("shop.*")) if one.live} == {"4"}


def test_looking_loads_no_body() -> None:
    class Watched(Bare):
        def read(self, name: str) -> Record | None:
            assert name.count("/") == 1, f"the body of {name} was loaded"
            return super().read(name)

    storage = shop(Watched())
    assert len(_upkeep.usage(storage)) == 2
    assert _upkeep.clear(storage, now=NOW, larger_than=1000).entries == 1


def test_a_function_whose_name_was_lost_is_shown_and_cleared(storage: Any) -> None:
    put(storage, F, 1)
    assert [one.function for one in _upkeep.usage(storage)] == [F]
    assert _upkeep.clear(storage, now=NOW).functions == (F,)
    assert live(storage) == set()


# ------------------------------------------------------------------------------------------------------ clearing


def test_clearing_a_function_leaves_names_and_other_functions(storage: Any) -> None:
    shop(storage)
    kept = [item for item in storage.scan() if item.name.startswith(("names/", G))]
    size = next(one.bytes for one in _upkeep.usage(storage) if one.scope == F)
    assert _upkeep.clear(storage, functions="shop.*", now=NOW) == (3, size, ("shop.price",), 0)
    assert live(storage) == {f"{G}/{NEW}/{1:040x}"}
    assert list(storage.scan(F)) == []
    assert sorted(kept) == sorted(item for item in storage.scan() if item.name.startswith(("names/", G)))


def test_clearing_moves_both_words(storage: Any) -> None:
    shop(storage)
    words = _abilities.words(storage)
    before = [words.word(one) for one in (F, f"{F}.edits", G, f"{G}.edits")]
    _upkeep.clear(storage, functions="shop.*", now=NOW)
    after = [words.word(one) for one in (F, f"{F}.edits", G, f"{G}.edits")]
    assert [one != other for one, other in zip(before, after, strict=True)] == [True, True, False, False]


def test_a_clear_that_is_interrupted_has_cleared() -> None:
    class Stuck(Bare):
        def remove(self, name: str) -> None:
            raise OSError("the disk went away")

    storage = shop(Stuck())
    with pytest.raises(OSError, match="went away"):
        _upkeep.clear(storage, now=NOW)
    assert live(storage) == set()


def test_what_is_stored_while_a_clear_runs_stays() -> None:
    class Busy(Bare):
        def scan(self, prefix: str = "") -> Iterator[Item]:
            if prefix == F and f"{F}/{NEW}/{9:040x}" not in self.rows:
                put(self, F, 9)  # a call that began after the clear
            return super().scan(prefix)

    storage = shop(Busy())
    assert _upkeep.clear(storage, functions="shop.*", now=NOW).entries == 3
    assert live(storage) == {f"{F}/{NEW}/{9:040x}", f"{G}/{NEW}/{1:040x}"}


def test_clearing_again_finds_nothing_but_frees_what_was_left(storage: Any) -> None:
    shop(storage)
    _upkeep.forget(storage, F)
    assert _upkeep.clear(storage, functions="shop.*", now=NOW) == (0, 0, (), 3)
    assert _upkeep.clear(storage, functions="shop.*", now=NOW) == (0, 0, (), 0)


def test_clearing_by_age_and_size_takes_what_fits_both(storage: Any) -> None:
    shop(storage)
    words = _abilities.words(storage)
    before = [words.word(one) for one in (F, f"{F}.edits", f"{G}.edits")]
    assert _upkeep.clear(storage, older_than=200, larger_than=1000, now=NOW).functions == ("till.Till.<locals>.total",)
    assert _upkeep.clear(storage, older_than=200, now=NOW).entries == 2
    assert live(storage) == {f"{F}/{NEW}/{3:040x}"}
    after = [words.word(one) for one in (F, f"{F}.edits", f"{G}.edits")]
    assert [one != other for one, other in zip(before, after, strict=True)] == [False, True, True]


def test_an_entry_of_unknown_age_is_not_old(storage: Any) -> None:
    word = _abilities.words(storage).word(F)
    raw(storage, f"{F}/{NEW}/{7:040x}", b"written by a newer memo", word)
    assert _upkeep.clear(storage, older_than=0, now=NOW).entries == 0
    assert _upkeep.clear(storage, larger_than=10, now=NOW).entries == 1


def test_more_dead_entries_than_one_batch(monkeypatch: pytest.MonkeyPatch, storage: Any) -> None:
    monkeypatch.setattr(_upkeep, "_BATCH", 4)
    for number in range(11):
        put(storage, F, number)
    assert _upkeep.clear(storage, now=NOW).entries == 11
    assert list(storage.scan(F)) == []


@pytest.mark.parametrize("options", [{}, {"functions": "shop.*"}, {"older_than": 200.0}, {"larger_than": 1000}])
def test_a_dry_run_tells_the_same_and_changes_nothing(storage: Any, options: dict[str, Any]) -> None:
    shop(storage)
    before = everything(storage)
    planned = _upkeep.clear(storage, now=NOW, dry_run=True, **options)
    assert everything(storage) == before
    assert planned.entries > 0
    assert _upkeep.clear(storage, now=NOW, **options) == planned


entry = st.tuples(st.sampled_from([F, G]), st.integers(0, 9), st.integers(0, 400), st.integers(0, 300), st.booleans())
limit = st.none() | st.integers(0, 400)


@given(st.lists(entry), st.sampled_from(["*", "shop.*", "*.total", "nobody"]), limit, limit)
def test_what_is_listed_is_what_goes(rows: list[Any], pattern: str, age: int | None, size: int | None) -> None:
    storage = Bare()
    named(storage, F, b"shop.price")
    named(storage, G, b"till.total")
    for _ in range(2):
        for scope in (F, G):
            _upkeep.forget(storage, scope)
    for scope, number, old, length, alive in rows:
        put(storage, scope, number, age=old, body=bytes(length), mark=None if alive else 0)
    listed = _upkeep.entries(storage, Filters(pattern, None if age is None else NOW - age, size))
    expected = {one.key for one in listed if one.live}
    before = live(storage)
    cleared = _upkeep.clear(storage, functions=pattern, older_than=age, larger_than=size, now=NOW)
    assert live(storage) == before - expected
    assert cleared.entries == len(expected)


def test_counting_many_at_once_is_counting_each(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "place")

    @cache.persist(name="bulk.sized", code="off", version=1)
    def sized(n: int) -> bytes:
        return b"x" * n

    @cache.persist(name="bulk.tagged", code="off", version=1, ttl="1m", tags=lambda arguments, result: ["t" * 20] * 40)
    def tagged(n: int) -> int:
        return n

    sizes = (0, 1, 100, 3_800, 4_100, 30_000, 70_000, 200_000)
    for n in sizes:
        sized(n)
    sized.cache_clear()
    for n in sizes[1:]:
        sized(n)
    sized.delete(1)
    sized.delete(200_000)
    for n in range(5):
        tagged(n)
    cache.persist(lambda n: n, name="bulk.sized", code="off", version=2)(1)
    storage = cache.storage
    names = [item.name for item in storage.scan("") if item.name.count("/") == 2 and item.head]
    storage.write(names[0], [b"damaged" * 9], lambda: b"no head", size=63, mark=0)
    storage.write(names[-1], [b"d"], lambda: b"", size=1, mark=0)
    each = ReadOnly(storage)
    assert not hasattr(each, "bulk")
    for pattern in ("*", "bulk.sized", "bulk.t*", "none"):
        for now in (None, time.time() + 3600):
            assert usage(storage, Filters(pattern), now) == usage(each, Filters(pattern), now)
    assert sum(one.entries for one in usage(storage)) > 8
    for function in (sized, tagged):
        listed = function.entries()
        damaged = sum(one.damaged for one in usage(storage, Filters(f"bulk.{function.__name__}")))
        assert function.cache_info().currsize == len(listed) + damaged
    storage.remove(names[0])
    for function in (sized, tagged):
        info = function.cache_info()
        assert (info.currsize, info.bytes) == (len(function.entries()), sum(one.size for one in function.entries()))


HEAD = b"\x93m\x01\x00".ljust(60, b"h")


@pytest.mark.parametrize(
    "heads",
    [
        [(HEAD, 0)] * 3,
        [(HEAD, 7)] * 3,
        [(HEAD + b"\1" * 300, 0)] * 3,  # its length is kept in more bytes, as those with a mark
        [(HEAD, 0), (HEAD + b"\1" * 300, 0)],
        [(HEAD, 0), (HEAD, 7), (HEAD, 0)],
        [(HEAD, 7), (HEAD, 0)],
        [(HEAD, 7), (HEAD + b"\1" * 300, 8)],
        [(HEAD, 0), (b"", 0), (b"short", 7)],
        [(b"\0" * 60, 0)] * 2,
        [(HEAD + b"\1" * 5_000, 0), (HEAD, 0)],
        [*[(HEAD, 7)] * 20, (HEAD + b"\1" * 5_000, 7), (HEAD, 8)],
        [*[(HEAD, 0)] * 20, (HEAD + b"\1" * 300, 0), (HEAD, 8)],
        [*[(HEAD, 0)] * 20, (HEAD[:24], 0), (HEAD[:24], 8)],
        [(HEAD[:24], 0), *[(HEAD, 0)] * 20],
    ],
    ids=str.split(
        "unmarked marked long mixed-lengths mixed-marks marked-first two-marks short zeros overflowing few-others few-longer"
        " few-shorter shorter-first"
    ),
)
@pytest.mark.parametrize("pages", [1, 1000], ids=["pieces", "whole"])
def test_a_sum_of_rows_is_that_of_its_items(
    heads: list[tuple[bytes, int]], pages: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_eviction, "PIECE", pages)
    storage = Sqlite(tmp_path)
    for number, (head, mark) in enumerate(heads):
        storage.write(
            f"scope/version/{number * 12_345_678_912_345:040x}", [b"body"], lambda head=head: head, size=4, mark=mark
        )
    for length in (0, 1, 16, 32):
        size, found = 0, []
        for one in storage.bulk("", length):
            size += one.size
            if isinstance(one, Bulk):
                assert len(one.heads) == length * one.entries
                found += [(one.mark, one.heads[n * length : (n + 1) * length]) for n in range(one.entries)]
            else:
                found.append((one.mark, one.head[:length]))
        assert sorted(found) == sorted((mark, head[:length]) for head, mark in heads)
        assert size == sum(len(head) + 4 for head, _ in heads)
