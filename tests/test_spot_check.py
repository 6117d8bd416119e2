"""A share of the hits is computed again and compared: what differs is named, and the caller gets what is right."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import memo
from memo import Cache, OptionError, _spot
from memo._spot import difference

Told = Callable[[], list[str]]


def hidden(place: Path, share: float = 1, **options: Any) -> tuple[Any, list[Any], list[Any]]:
    """A function that depends on what no key has, the list in which that lies, and its calls."""
    secret, calls = [1], []

    def f(x: Any) -> Any:
        calls.append(x)
        return {"x": [x, secret[0]]}

    cache = Cache(place, spot_check=share)
    return cache.persist(f, name="spot.f", code="off", version=1, **options), secret, calls


def test_a_difference_is_named_once_and_the_right_result_returned(tmp_path: Path, told: Told) -> None:
    f, secret, calls = hidden(tmp_path)
    assert [f(1), f(1), f([2]), f([2])] == [{"x": [1, 1]}] * 2 + [{"x": [[2], 1]}] * 2
    assert calls == [1, 1, [2], [2]]
    assert told() == []
    secret[0] = 7
    assert f(1) == {"x": [1, 7]}
    (text,) = told()
    assert "spot.f(x=1)" in text
    assert "result['x'][1] was 1 and is 7" in text
    assert f([2]) == {"x": [[2], 7]}
    assert len(told()) == 1, "once a function"
    calls.clear()
    assert [f(1), hidden(tmp_path, 0)[0](1)] == [{"x": [1, 7]}] * 2, "the stored result was dropped and is right again"
    assert calls == [1]


def test_a_share_of_the_hits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_spot, "_random", random.Random(1))
    f, _, calls = hidden(tmp_path, 0.1)
    random.seed(5)
    before = random.getstate()
    for _ in range(300):
        f(1)
    assert random.getstate() == before, "the program's own draws are not disturbed"
    assert 10 < len(calls) < 60
    assert f.cache_info()[:2] == (299, 1)


def test_what_can_not_be_computed_again_is_served(tmp_path: Path, told: Told) -> None:
    down = [False]

    @Cache(tmp_path, spot_check=1).persist(ignore=["down"])
    def f(x: int, down: list[bool] = down) -> int:
        if down[0]:
            raise OSError("no network")
        return x

    assert f(1) == 1
    down[0] = True
    assert f(1) == 1
    assert "raised OSError: no network; the stored result was used" in told()[0]


def test_modes(tmp_path: Path) -> None:
    f, secret, calls = hidden(tmp_path)
    f(1)
    secret[0] = 2
    with memo.mode("only-cached"):
        assert f(1) == {"x": [1, 1]}
    with memo.mode("off"):
        assert f(1) == {"x": [1, 2]}
    assert calls == [1, 1]


def test_tasks(tmp_path: Path, told: Told) -> None:
    secret = [1]

    async def f(x: int) -> list[int]:
        await asyncio.sleep(0)
        return [x, secret[0]]

    f = Cache(tmp_path, spot_check=1).persist(f, name="spot.later", code="off", version=1)

    async def main() -> None:
        assert [await f(1), await f(1)] == [[1, 1], [1, 1]]
        secret[0] = 2
        assert [await f(1), await f(1)] == [[1, 2], [1, 2]]

    asyncio.run(main())
    assert ["result[1] was 1 and is 2" in text for text in told()] == [True]


def test_generators_are_replayed_all_the_same(tmp_path: Path) -> None:
    @Cache(tmp_path, spot_check=1).persist
    def items(n: int) -> Any:
        yield from range(n)

    assert [list(items(3)), list(items(3))] == [[0, 1, 2]] * 2


class Point(NamedTuple):
    x: float
    y: float


class Thing:
    def __init__(self, **parts: Any) -> None:
        self.__dict__.update(parts)


def test_paths() -> None:
    np, pd = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    assert difference([1, {"a": (2, 3)}], [1, {"a": (2, 4)}]) == ("[1]['a'][1]", "was 3 and is 4")
    assert difference({"a": 1}, {}) == ("['a']", "was 1 and is not there")
    assert difference([], [1]) == ("[0]", "is 1 and was not there")
    assert difference(1, 1.0) == ("", "was of type int and is of type float")
    assert difference(Point(1, 2), Point(1, 3)) == (".y", "was 2 and is 3")
    assert difference(Thing(a=1, b=[2]), Thing(a=1, b=[5])) == (".b[0]", "was 2 and is 5")
    assert difference(np.zeros((2, 2)), np.array([[0.0, 0], [1, 0]])) == ("[1, 0]", "was 0.0 and is 1.0")
    found = difference(pd.DataFrame({"a": [1], "b": [2]}), pd.DataFrame({"a": [1], "b": [3]}))
    assert found is not None
    assert found[0].startswith("['b']")
    for same in ({1, 2}, float("nan"), np.array([np.nan]), {"b": 1, "a": 2}, None, Thing(x=1)):
        assert difference(same, same) is None
    assert difference(float("nan"), float("nan")) is None
    assert difference({"a": 1, "b": 2}, {"b": 2, "a": 1}) is None


@pytest.mark.parametrize("share", [-0.1, 1.1, "1%", True, None])
def test_refused(share: Any) -> None:
    with pytest.raises(OptionError, match="share from 0 to 1"):
        Cache(spot_check=share)
