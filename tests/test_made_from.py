"""Results as dependencies: what is made from another's result is good as long as that gives an equal one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from memo import Cache, OptionError, persist
from memo.storages import Memory

Told = Callable[[], list[str]]


class Lab:
    """``load`` gives what lies in ``rows``, for an hour; ``again()`` is the next run of the program."""

    def __init__(self, folder: Path, storage: str) -> None:
        self.folder, self.storage, self.now, self.memory = folder, storage, 2e9, Memory()
        self.rows: dict[Any, Any] = {1: [1, 2], 2: [5]}
        self.calls: list[Any] = []

    def cache(self) -> Cache:
        cache = Cache(storage=self.memory) if self.storage == "memory" else Cache(self.folder, storage=self.storage)
        cache.clock = lambda: self.now
        return cache

    def again(self, body: Any = None, of: Any = None, **options: Any) -> tuple[Any, Any]:
        """(load, a function that is made from it)"""
        cache, calls, rows = self.cache(), self.calls, self.rows

        def load(number: Any) -> Any:
            calls.append(("load", number))
            return rows[number if isinstance(number, int) else number[0]]

        load = cache.persist(load, name="lab.load", code="off", version=1, ttl="1h")

        def total(number: Any) -> int:
            calls.append(("total", number))
            return sum(load(number)) if body is None else body(load, number)

        on = [load] if of is None else of(load)
        return load, cache.persist(total, name="lab.total", code="off", version=1, depends=on, **options)

    def computed(self) -> list[Any]:
        found = list(self.calls)
        self.calls.clear()
        return found


@pytest.fixture(params=["sqlite", "files", "memory"])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Lab:
    return Lab(tmp_path / "place", request.param)


def test_calls_of_a_function_are_noted_and_an_equal_result_changes_nothing(lab: Lab) -> None:
    load, total = lab.again()
    assert [total(1), total(1), total(2)] == [3, 3, 5]
    assert lab.computed() == [("total", 1), ("load", 1), ("total", 2), ("load", 2)]
    lab.now += 4000
    assert [lab.again()[1](1), lab.again()[1](1)] == [3, 3]
    assert lab.computed() == [("load", 1)], "computed to an equal result"
    lab.now += 4000
    lab.rows[1] = [1, 2, 3]
    load, total = lab.again()
    assert total(1) == 6
    assert lab.computed() == [("load", 1), ("total", 1)]
    lab.rows[1] = [7]
    assert load.refresh(1) == [7]
    assert [total(1), lab.again()[1](1), lab.again()[1](2)] == [7, 7, 5]
    assert [name for name, _ in lab.computed()] == ["load", "total", "load"]


def test_a_reason_names_the_function(lab: Lab) -> None:
    load, total = lab.again()
    total(1)
    lab.rows[1] = [8]
    load.refresh(1)
    assert "a result of lab.load that it was made from changed" in str(total.why(1))


def test_arguments_that_can_not_be_written_down_are_found_by_key(lab: Lab) -> None:
    load, total = lab.again()
    key = (1, "x")
    assert [total(key), total(key), lab.again()[1](key)] == [3, 3, 3]
    assert [name for name, _ in lab.computed()] == ["total", "load"]
    lab.now += 4000
    load, total = lab.again()
    load(key)  # an equal result
    assert total(key) == 3
    assert [name for name, _ in lab.computed()] == ["load"]
    load.delete(key)
    assert total(key) == 3
    assert [name for name, _ in lab.computed()] == ["total", "load"], "it was gone, so nobody could tell"
    lab.rows[1] = [9]
    load.refresh(key)
    assert total(key) == 9


def test_what_another_calls_is_its_own_business(lab: Lab) -> None:
    cache = lab.cache()
    calls: list[str] = []
    inner = cache.persist(lambda x: calls.append("inner") or x, name="inner", code="off", version=1)
    middle = cache.persist(lambda x: (calls.append("middle"), inner(x))[1], name="middle", code="off", version=1)
    outer = cache.persist(
        lambda x: (calls.append("outer"), middle(x))[1], name="outer", code="off", version=1, depends=[inner, middle]
    )
    assert outer(1) == 1
    inner.refresh(1)
    assert outer(1) == 1
    assert calls == ["outer", "middle", "inner", "inner"]


def test_a_call_that_is_not_kept_or_raises_keeps_nothing(lab: Lab, told: Told) -> None:
    cache = lab.cache()
    seen: list[int] = []

    def fails(x: int) -> int:
        raise KeyError(x)

    fails = cache.persist(fails, name="fails", code="off", version=1)

    def careful(x: int) -> int:
        seen.append(x)
        try:
            return fails(x)
        except KeyError:
            return 0

    careful = cache.persist(careful, name="careful", code="off", version=1, depends=[fails])
    assert [careful(1), careful(1)] == [0, 0]
    assert seen == [1, 1]
    assert told() == ["a result of careful was returned, not stored: fails raised"]


def test_results_and_references(lab: Lab) -> None:
    load, total = lab.again(of=lambda load: [partial(load, 1), "no such file"])
    assert [total(1), total(1)] == [3, 3]
    lab.now += 4000
    assert lab.again(of=lambda load: [partial(load, 1), "no such file"])[1](1) == 3
    assert [name for name, _ in lab.computed()].count("total") == 1
    load, total = lab.again(of=lambda load: [load.call_and_shelve(1)], body=lambda load, number: number)
    total(5)
    lab.computed()
    load.refresh(1)
    assert total(5) == 5
    assert lab.computed() == [("load", 1)], "an equal result"
    lab.rows[1] = [0]
    load.refresh(1)
    total(5)
    assert lab.computed() == [("load", 1), ("total", 5)]
    load.delete(1)
    total(5), total(5)
    assert lab.computed() == [("total", 5)], "nothing is computed for a reference"


def test_a_function_without_arguments_is_a_result(lab: Lab) -> None:
    cache, rate, calls = lab.cache(), [2], []
    rates = cache.persist(lambda: list(rate), name="rates", code="off", version=1, ttl="1h")
    f = cache.persist(lambda x: calls.append(x) or x, name="f", code="off", version=1, depends=[rates])
    f(1), f(1)
    lab.now += 4000
    f(1)
    assert calls == [1]
    rate[0] = 3
    f(1)
    assert calls == [1], "still good for an hour"
    rates.refresh()
    f(1)
    assert calls == [1, 1]


def test_in_tasks(lab: Lab) -> None:
    cache = lab.cache()
    calls: list[str] = []
    load = cache.persist(lambda x: calls.append("load") or [x], name="load", code="off", version=1)

    async def total(x: int) -> int:
        calls.append("total")
        await asyncio.sleep(0)
        return sum(load(x))

    total = cache.persist(total, name="total", code="off", version=1, depends=[load])

    async def main() -> None:
        assert await asyncio.gather(total(1), total(2), total(1)) == [1, 2, 1]
        assert sorted(calls) == ["load", "load", "total", "total"]
        calls.clear()
        load.set([7], 1)
        assert await asyncio.gather(total(1), total(2)) == [7, 2]
        assert calls == ["total"]

    asyncio.run(main())


def test_refused_at_decoration(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    load = cache.persist(lambda x: x, name="load")
    with pytest.raises(OptionError, match="must be a list"):
        persist(depends=load)
    with pytest.raises(OptionError, match="all of its arguments filled in"):
        persist(depends=[partial(load)])

    async def later() -> int:
        return 1

    with pytest.raises(OptionError, match="takes no coroutine"):
        persist(depends=[cache.persist(later)])
    with pytest.raises(OptionError, match="not for generators"):

        @persist(depends=[load])
        def items() -> Any:
            yield load(1)
