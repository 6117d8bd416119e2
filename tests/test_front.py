"""What is served from memory: never the result of arguments that are merely equal, never an object that a caller holds."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memo import Cache, events, mode

NAN = float("nan")
ALIKE = [0, 0.0, -0.0, False, None, 1, 1.0, True, NAN, "", "0", "1", "x" * 300, 2**70, b"", (), (1,), (1.0,), 0j, -0j]


class Whole(int):
    """An int to ``==`` and ``hash``, and not to a function that looks at its type."""


class Equal:
    """Equal to everything, with the hash of 1."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return hash(1)


def told(first: Any, second: Any = None) -> list[str]:
    return [type(first).__name__, repr(first), type(second).__name__, repr(second)]


class Kept:
    """What hypothesis may use for all of its examples."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.f = Cache(storage="memory").persist(told, name="front.told", **options)


@pytest.mark.parametrize("ignore", [(), ("second",)])
@given(calls=st.lists(st.tuples(st.sampled_from(ALIKE), st.sampled_from(ALIKE)), min_size=2, max_size=12))
def test_arguments_that_are_equal_and_not_the_same(ignore: tuple[str, ...], calls: list[tuple[Any, Any]]) -> None:
    f = Kept({"ignore": ignore}).f
    for first, second in [*calls, *calls, *calls]:
        found, expected = f(first, second=second), told(first, second)
        assert found[:2] == expected[:2]
        assert ignore or found == expected
        found.append("changed by its caller")


@pytest.mark.parametrize("other", [Whole(1), Equal()], ids=["Whole", "Equal"])
def test_no_object_passes_for_a_number(other: Any) -> None:
    f = Cache(storage="memory", on_unkeyable="bypass").persist(told, name="front.objects", version=2)
    for _ in range(3):
        assert f(1)[0] == "int"
        assert f(other)[0] == type(other).__name__


def test_hits_count_and_are_heard_of_whichever_way_they_are_found(tmp_path: Path) -> None:
    f = Cache(tmp_path).persist(told, name="front.counted")
    for value in (1, 1, 1, 0.5, 0.5, "x" * 300, "x" * 300):
        f(value)
    assert f.cache_info()[:2] == (4, 3)
    heard: list[Any] = []
    stop = events.on_event(lambda event: heard.append(event) if event.kind == "hit" else None)
    try:
        assert f(1) == told(1)
        assert f(0.5) == told(0.5)
    finally:
        stop()
    assert [event.why for event in heard] == ["front", "front"]
    assert f.cache_info()[:2] == (6, 3)


@pytest.mark.parametrize("value", [7, None, "text", [1, 2], {"a": [1]}, (1, 2)], ids=repr)
def test_what_one_call_does_to_a_result_no_other_sees(tmp_path: Path, value: Any) -> None:
    def f(n: int) -> Any:
        return deepcopy(value)

    f = Cache(tmp_path).persist(f, name="front.value", code="off", version=repr(value))
    for _ in range(3):
        found = f(1)
        assert found == value
        if isinstance(found, list):
            found.append(3)
        elif isinstance(found, dict):
            found["a"].append(2)
            found["b"] = 1


def test_a_clear_or_a_new_value_is_seen_at_once(tmp_path: Path) -> None:
    one, other = (Cache(tmp_path).persist(told, name="front.cleared") for _ in range(2))
    for _ in range(3):
        assert one(1) == told(1)
    other.set(["set"], 1)
    assert one(1) == ["set"]
    other.delete(1)
    assert one(1) == told(1)
    other.cache_clear()
    before = one.cache_info().misses
    assert one(1) == told(1)
    assert one.cache_info().misses == before + 1


def test_methods_and_functions_without_arguments() -> None:
    cache = Cache(storage="memory")

    @cache.persist(name="front.nothing")
    def nothing() -> list[int]:
        return [1]

    class Thing:
        @cache.persist(ignore=["self"], name="front.method")
        def double(self, n: int, *rest: int, by: int = 2) -> int:
            return n * by + sum(rest)

    thing = Thing()
    for _ in range(3):
        assert nothing() == [1]
        assert (thing.double(2), thing.double(True), thing.double(2, 1), thing.double(2, by=3)) == (4, 2, 5, 6)


def test_the_front_is_bounded() -> None:
    from memo._front import LIMIT
    from memo._handle import runner_of

    f = Cache(storage="memory").persist(lambda n: "x" * 100_000 + str(n), name="front.bounded", code="off", version=1)
    for n in range(LIMIT // 50_000):
        assert f(n).endswith(str(n))
    table = runner_of(f).state.table
    assert table.size <= LIMIT
    assert len(table._direct) <= LIMIT // 100_000


def test_what_is_asked_for_twice_is_kept_for_more(tmp_path: Path) -> None:
    from memo._front import Once
    from memo._handle import runner_of

    Cache(tmp_path).persist(told, name="front.twice")(1)
    f = Cache(tmp_path).persist(told, name="front.twice")
    f(1).append("changed by its caller")
    table = runner_of(f).state.table
    once = table.size
    assert (list(map(type, table.held.values())), table._direct) == ([Once], {})
    for _ in range(3):
        found = f(1)
        assert found == told(1)
        found.append("changed by its caller")
        assert (table.held, len(table._direct)) == ({}, 1)
    assert 0 < table.size - once < 1000
    assert f.cache_info()[:2] == (4, 0)


@pytest.mark.parametrize("argument", [3, 0.0, "x" * 300, (1,)], ids=["direct", "zero", "long", "tuple"])
@pytest.mark.parametrize("touches", [1, 2, 3])
@pytest.mark.parametrize(
    ("before", "after"),
    [(1, 2), (1, [2]), ([1], 2), ({"a": [1]}, {"a": [2]}), ([1], list(range(100_000))), (b"1", b"2" * 300_000)],
    ids=["plain", "to flat", "to plain", "pickled", "to large", "to long"],
)
def test_a_refreshed_result_replaces_what_was_served_before(
    argument: Any, touches: int, before: Any, after: Any
) -> None:
    results = [before]
    f = Cache(storage="memory").persist(lambda argument: results[0], name="front.refreshed", code="off", version=1)
    for _ in range(touches):
        assert f(argument) == before
    results[0] = after
    with mode("refresh"):
        assert [f(argument), f(argument)] == [after, after]
    assert [f(argument) for _ in range(3)] == [after, after, after]


def test_a_refreshed_result_that_is_not_kept_in_memory_replaces_what_was(tmp_path: Path) -> None:
    """An array, whose bytes stay where they lie, and an exception."""
    numpy = pytest.importorskip("numpy")
    results: list[Any] = [1, 1]

    @Cache(tmp_path).persist(name="front.unkept", code="off", version=1, cache_exceptions={KeyError: "1h"})
    def f(number: int) -> Any:
        if isinstance(results[number], Exception):
            raise results[number]
        return results[number]

    for _ in range(3):
        assert [f(0), f(1)] == [1, 1]
    results[:] = numpy.arange(10_000), KeyError("new")
    for refreshed in (True, False, False):
        with mode("refresh" if refreshed else "normal"):
            assert f(0)[9_999] == 9_999
            with pytest.raises(KeyError, match="new"):
                f(1)
