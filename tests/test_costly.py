"""What hits cost is counted, and a function whose hits cost more than running it is named once."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from memo import Cache, CostlyCacheWarning, MemoWarning, _run, events
from memo._counts import Counts

Told = Callable[[], list[str]]


def persisted(place: Path, **options: Any) -> Any:
    return Cache(place).persist(lambda x: x, name="costly.f", code="off", version=1, **options)


@pytest.fixture
def slow_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock around a key or a load finds it a tenth of a second later."""
    ticks = count()
    monkeypatch.setattr(_run, "perf_counter", lambda: next(ticks) / 10)


@pytest.mark.usefixtures("slow_clock")
def test_keys_that_take_longer_than_the_function(tmp_path: Path, told: Told) -> None:
    f = persisted(tmp_path)
    for _ in range(20):
        f([1])
    assert told() == [], "too little to tell"
    for _ in range(80):
        f([1])
    (text,) = told()
    assert text.startswith("hits of costly.f cost more than running it: 3")
    assert "for keys" in text
    assert "store_if_slower_than" in text
    info = f.cache_info()
    assert info.hits == 99
    assert 9 < info.key_seconds < 12
    assert issubclass(CostlyCacheWarning, MemoWarning)


@pytest.mark.usefixtures("slow_clock")
def test_loads_that_take_longer_than_the_function(tmp_path: Path, told: Told) -> None:
    f = persisted(tmp_path)
    for number in range(100):
        f(number)
    assert (f.cache_info().key_seconds, f.cache_info().load_seconds) == (0, 0), "plain arguments, nothing loaded"
    g = persisted(tmp_path)
    for number in range(100):
        g(number)
    assert [text.partition(" cost more")[0] for text in told()] == ["hits of costly.f"]
    assert 9 < g.cache_info().load_seconds < 12
    line = next(line for line in events.totals() if line.function == "costly.f")
    assert line.load_seconds > 9


def test_a_cheap_cache_is_not_named(tmp_path: Path, told: Told) -> None:
    f = persisted(tmp_path)
    for number in range(50):
        f(number), f([number])
    g = persisted(tmp_path)
    for number in range(50):
        g(number), g([number])
    assert told() == []
    assert g.cache_info().key_seconds > 0
    assert g.cache_info().load_seconds > 0


def weighed(hits: list[tuple[float, float]]) -> None:
    counts = Counts("costly.weighed")
    try:
        for took, seconds in hits:
            counts.hit(seconds, took)
    finally:
        from memo import _counts

        _counts._all.remove(counts)


@pytest.mark.parametrize(
    ("hits", "named"),
    [
        ([(0.1, 0.01)] * 40, True),
        ([(0.01, 0.1)] * 1000, False),
        ([(100.0, 0.01)] + [(0.001, 0.01)] * 1000, False),  # one pause of a disk
        ([(1.0, 0.5)] * 100 + [(0.001, 30)] * 5, True),
        ([(1.0, 0.5)] * 10 + [(0.001, 30)] * 5 + [(1.0, 0.5)] * 90, False),  # it saves more than it loses
        ([(0.1, 0.0)] * 100, False),  # set by hand
    ],
)
def test_what_is_evidence(hits: list[tuple[float, float]], named: bool, told: Told) -> None:
    weighed(hits)
    assert bool(told()) is named
