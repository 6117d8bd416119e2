"""Size limits: held at every moment by any number of processes, and what goes first."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import memo
from memo import Cache, MemoWarning, OptionError, events
from memo.model import Call
from memo.storages import Memory

STORAGES = ["sqlite", "files", "shelve", "memory", "sql"]
START = 2e9


class Lab:
    def __init__(self, folder: Path, storage: str) -> None:
        self.folder, self.storage, self.now, self.memory = folder, storage, START, Memory()
        self.calls: list[Any] = []
        self.looking: Cache | None = None

    def cache(self, **options: Any) -> Cache:
        if self.storage == "memory":
            cache = Cache(storage=self.memory, **options)
        elif self.storage == "sql":
            self.folder.mkdir(exist_ok=True)
            cache = Cache(f"sqlite+pysqlite:///{self.folder / 'results.db'}", trust_folder=True, **options)
        else:
            cache = Cache(self.folder, storage=self.storage, **options)
        cache.clock = self.clock
        return cache

    def clock(self) -> float:
        self.now += 1
        return self.now

    def function(self, size: int = 1000, **options: Any) -> Any:
        calls = self.calls

        def f(x: Any) -> bytes:
            calls.append(x)
            return str(x).encode().ljust(size, b".")

        return self.cache(**options).persist(f, name="limits.f", code="off", version=1)

    def stored(self) -> tuple[int, int]:
        """As another opener sees it, who has been there since he first looked."""
        if self.looking is None:
            self.looking = self.cache()
        entries = [item for item in self.looking.storage.scan() if item.name.count("/") == 2 and item.head]
        return len(entries), sum(item.size for item in entries)


@pytest.fixture(params=STORAGES)
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Lab:
    events._warned.clear()
    return Lab(tmp_path / "place", request.param)


def test_never_more_entries_than_allowed(lab: Lab) -> None:
    f = lab.function(max_entries=10)
    for x in range(40):
        f(x)
        assert lab.stored()[0] <= 10
    assert lab.stored()[0] >= 9
    assert f.cache_info().maxsize == 10


def test_never_more_bytes_than_allowed(lab: Lab) -> None:
    f = lab.function(max_size="20 kB")
    for x in range(60):
        f(x)
        assert lab.stored()[1] <= 20_000
    assert lab.stored()[1] >= 17_000


def test_lru_keeps_what_is_used(lab: Lab) -> None:
    cache = lab.cache(max_entries=4)

    def function() -> Any:  # each with a front of its own, as in another process
        return cache.persist(lambda x: x, name="limits.f", code="off", version=1)

    f = function()
    for x in (1, 2, 3, 4):
        f(x)
    g = function()
    g(1), g(2)
    g(5), g(6)
    h = function()
    assert [x for x in range(1, 7) if h.is_cached(x)] == [1, 2, 5, 6]


@pytest.mark.parametrize(("size", "listened"), [(10, False), (10, True), (100_000, False)])
def test_lru_is_one_order_whichever_way_is_taken(tmp_path: Path, size: int, listened: bool) -> None:
    """SQLite takes out by keys, unless names are to be told or something lies in files beside it."""
    stop = memo.on_event(lambda event: None) if listened else None
    try:
        cache = Lab(tmp_path / "place", "sqlite").cache(max_entries=4)

        def function() -> Any:
            return cache.persist(lambda x: b"." * (size + x), name="limits.f", code="off", version=1)

        f = function()
        for x in (1, 2, 3, 4):
            f(x)
        assert len(function()(1)) == size + 1
        f(5)
        assert [x for x in range(1, 6) if function().is_cached(x)] == [1, 3, 4, 5]
        function()(3)
        f(6), f(7)
        assert [x for x in range(1, 8) if function().is_cached(x)] == [3, 5, 6, 7]
    finally:
        if stop is not None:
            stop()


def test_cost_keeps_what_saves_most_for_its_bytes(lab: Lab) -> None:
    """Seconds are handed in with what is stored, since a test does not wait for them."""
    cache = lab.cache(max_entries=6, evict="cost")
    f = cache.persist(lambda x: x, name="limits.f", code="off", version=1)
    f(0)
    opened, policy = cache.ready(), cache.policy
    mark = opened.words.word(f.cache_key(0).partition("/")[0])
    seconds = {1: 50.0, 2: 0.001, 3: 40.0, 4: 0.002, 5: 30.0, 6: 0.003, 7: 20.0, 8: 0.001, 9: 10.0}
    for x, took in seconds.items():
        call = Call("limits.f", f.cache_key(x), ("x",), (x,))
        assert cache.store(call, x, took, mark, b"", policy, None, b"") is not None
    assert {1, 3, 5, 7, 9} <= {x for x in seconds if f.is_cached(x)}


@pytest.mark.parametrize("storage", ["sqlite", "files", "shelve", "memory"])
def test_old_riches_fade(tmp_path: Path, storage: str) -> None:
    """What was worth most once goes when it is never asked for, and others come and go at their price.

    Where a storage tells ranks, that is: elsewhere the floor rises only by what entries are worth by themselves.
    """
    lab = Lab(tmp_path / "place", storage)
    cache = lab.cache(max_entries=2, evict="cost")
    f = cache.persist(lambda x: x, name="limits.f", code="off", version=1)
    f(0)
    mark = cache.ready().words.word(f.cache_key(0).partition("/")[0])
    for x in range(1, 30):
        call = Call("limits.f", f.cache_key(x), ("x",), (x,))
        cache.store(call, x, 10.0 if x == 1 else 1.0, mark, b"", cache.policy, None, b"")
    assert not f.is_cached(1)


def test_a_result_larger_than_the_limit_is_returned_not_stored(lab: Lab) -> None:
    f = lab.function(max_size="20 kB")
    for x in range(5):
        f(x)
    big = lab.function(size=30_000, max_size="20 kB")
    with pytest.warns(MemoWarning, match="more than the place"):
        assert len(big("big")) == 30_000
    assert lab.stored()[0] == 5, "it must not empty the cache"


def test_replacing_an_entry_evicts_no_other(lab: Lab) -> None:
    f = lab.function(max_entries=5)
    for x in range(5):
        f(x)
    for _ in range(5):
        f.refresh(1)
    assert lab.stored()[0] == 5


def test_clearing_makes_room(lab: Lab) -> None:
    f = lab.function(max_entries=20)
    for x in range(20):
        f(x)
    lab.cache(max_entries=20).clear()
    for x in range(20):
        f(x)
    assert lab.stored()[0] >= 19


def test_an_eviction_is_told(lab: Lab) -> None:
    seen: list[Any] = []
    stop = memo.on_event(lambda event: seen.append(event) if event.kind == "evict" else None)
    try:
        f = lab.function(max_entries=2)
        for x in range(4):
            f(x)
    finally:
        stop()
    assert len(seen) == 2
    assert all(event.size > 1000 and "max_entries=2" in event.why for event in seen)


def test_evictions_are_counted_and_logged(
    lab: Lab, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    from memo import _saved, cli

    before = dict(events._counts)
    events._counts.clear()
    try:
        f = lab.function(max_entries=3)
        with caplog.at_level("DEBUG", "memo"):
            for number in range(5):
                f(number)
        assert f.cache_info().evicted == 2
        assert [line.evicted for line in events.totals() if line.function == "limits.f"] == [2]
        assert any("limits.f" in line and "2 evicted" in line for line in _saved.lines())
        told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("evict")]
        assert len(told) == 2
        assert all("evict limits.f: max_entries=3, evict=lru" in line for line in told)
        if lab.storage in ("sqlite", "files", "shelve"):  # the others have no folder that outlives them
            cli.main(["stats", "-l", str(lab.folder)])
            assert "evicted      2 in all" in capsys.readouterr().out
    finally:
        events._counts.update(before)


@pytest.mark.parametrize("storage", ["sqlite", "files", "shelve"])
def test_the_place_has_the_limits(tmp_path: Path, storage: str) -> None:
    events._warned.clear()
    lab = Lab(tmp_path / "place", storage)
    f = lab.function(max_entries=3)
    f(0)
    with pytest.warns(MemoWarning, match=r"max_entries=3.*which counts.*max_entries=100"):
        other = lab.function(max_entries=100)
        other(1)
    unlimited = lab.function()
    for x in range(10):
        other(x), unlimited(x + 100)
        assert lab.stored()[0] <= 3
    assert '"max_entries": 3' in (tmp_path / "place/memo.json").read_text()


def test_limits_may_be_given_to_a_place_that_has_none(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "place", "sqlite")
    f = lab.function()
    for x in range(10):
        f(x)
    g = lab.function(max_entries=4)
    g(10)
    assert lab.stored()[0] <= 4
    assert pickle.loads(pickle.dumps(lab.cache(max_entries=4, max_size="1 MB"))).limits.max_size == 1_000_000


WORKER = """
import sys
from memo import Cache

cache = Cache(sys.argv[1], storage=sys.argv[2], max_entries=50)
f = cache.persist(lambda x: x * 1000, name="limits.worker", code="off", version=1)
for x in range(int(sys.argv[3]), int(sys.argv[3]) + int(sys.argv[4])):
    f(str(x))
    entries = sum(1 for item in cache.storage.scan() if item.name.count("/") == 2 and item.head)
    assert entries <= 60, entries  # a listing is no snapshot: it may see one that goes and one that comes
"""


@pytest.mark.parametrize(
    ("storage", "each"), [("sqlite", 150), ("files", 60), pytest.param("files", 150, marks=pytest.mark.slow)]
)
def test_several_processes_hold_one_limit(tmp_path: Path, storage: str, each: int) -> None:
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path / "place"), storage, str(start), str(each)],
            env={**os.environ},
        )
        for start in (0, 1000, 2000)
    ]
    assert [worker.wait(110) for worker in workers] == [0, 0, 0]
    assert Lab(tmp_path / "place", storage).stored()[0] <= 50


@pytest.mark.parametrize(
    "options",
    [{"max_entries": 0}, {"max_entries": True}, {"max_entries": "10"}, {"max_size": "big"}, {"max_size": 0}, {"evict": "x"}],
)  # fmt: skip
def test_what_can_not_be_right_raises(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        Cache(**options)


def test_a_stopped_process_in_the_turn_of_the_limits_costs_a_bounded_wait_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Any
) -> None:
    """Whoever holds the turn lives and does not go on, as a stopped process does: others store again when it is over."""
    from memo import _limits
    from memo._lockfile import LockFile

    monkeypatch.setattr(_limits, "PATIENCE", 0.3)
    cache = Cache(tmp_path / "place", max_entries=10)
    f = cache.persist(lambda x: [x], name="stopped.f", code="off", version=1)
    f(0)
    with LockFile(str(tmp_path / "place" / "flights.lock")).lock("limits/turn") as had:
        assert had
        assert [f(x) for x in range(1, 4)] == [[1], [2], [3]]
        (text,) = told()
        assert "kept others from storing for 0.3 s" in text
    assert f(4) == [4]
    assert [f.is_cached(x) for x in range(5)] == [True, False, False, False, True]
    assert cache._opened is not None
    assert cache._opened.room is not None
    assert cache._opened.room._impatient_until == 0.0
