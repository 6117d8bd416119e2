"""Batches: one look-up, only what is missing is computed, order kept, nothing done is lost; on every kind of executor."""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import memo
from memo import Cache, OptionError, persist

SECONDS = 60


@pytest.fixture(params=["sqlite", "files"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Cache:
    return Cache(tmp_path / "place", storage=request.param)


def counting(cache: Cache, **options: object):
    calls: list[object] = []

    @cache.persist(ignore=["calls"], **options)
    def f(x, y=1, *, calls=calls):
        calls.append(x)
        if x == "bad":
            raise ValueError(x)
        return [x, y]

    return f, calls


def test_only_what_is_missing_is_computed_and_order_is_kept(cache: Cache) -> None:
    f, calls = counting(cache)
    f(3)
    assert f.map([5, 3, 1, 5, 3]) == [[5, 1], [3, 1], [1, 1], [5, 1], [3, 1]]
    assert calls == [3, 5, 1]
    results = f.map(iter([5, 3, 1, 5, 3]))
    assert len({id(result) for result in results}) == 5, "no two results share an object"
    assert calls == [3, 5, 1]
    assert f.map([]) == []
    assert f.starmap([(5,), (3, 2)]) == [[5, 1], [3, 2]]
    assert len(calls) == 4
    info = f.cache_info()
    assert (info.hits, info.misses) == (9, 4)


def test_one_trip_for_all(tmp_path: Path) -> None:
    from memo.storages.memory import Memory

    class Batches(Memory):
        reads, batches = 0, 0

        def read(self, name):
            Batches.reads += 1
            return super().read(name)

        def read_many(self, names):
            Batches.batches += 1
            return {name: record for name in names if (record := super(Batches, self).read(name)) is not None}

    @persist(storage=Batches())
    def f(x):
        return x

    f.map(range(300))
    Batches.reads = Batches.batches = 0
    assert f.map(range(300)) == list(range(300))
    assert (Batches.batches, Batches.reads) == (0, 0), "this process has them"
    f.delete(7)  # all look again
    Batches.reads = 0
    assert f.map(range(300)) == list(range(300))
    assert Batches.batches == 1
    assert Batches.reads < 9


def test_one_failing_input_does_not_lose_the_others(cache: Cache) -> None:
    f, calls = counting(cache)
    with pytest.raises(ValueError, match="bad") as caught:
        f.map([1, "bad", 2])
    assert "1 of 3 inputs failed" in caught.value.__notes__[0]
    assert f.is_cached(1)
    assert f.is_cached(2)
    done = {one.input: one for one in f.as_completed([1, "bad", 3])}
    assert done[1].result() == [1, 1]
    assert done[3].value == [3, 1]
    assert isinstance(done["bad"].error, ValueError)
    with pytest.raises(ValueError):
        done["bad"].result()
    assert calls == [1, "bad", 2, "bad", 3]


def test_what_is_stored_comes_first(cache: Cache) -> None:
    f, _ = counting(cache)
    f(3)
    assert [one.input for one in f.as_completed([1, 2, 3])] == [3, 1, 2]


def test_interrupting_keeps_what_is_done(cache: Cache) -> None:
    @cache.persist
    def f(x):
        if x == 3:
            raise KeyboardInterrupt
        return x

    with pytest.raises(KeyboardInterrupt):
        f.map(range(5))
    assert [f.is_cached(x) for x in range(5)] == [True, True, True, False, False]


def test_progress(cache: Cache, capsys: pytest.CaptureFixture[str]) -> None:
    f, _ = counting(cache)
    seen = []
    f.map([1, 2, 2], progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    f.map([1, 2, 4], progress=True)
    assert "3/3" in capsys.readouterr().err


def test_methods_and_partials(cache: Cache) -> None:
    class Model:
        def __init__(self, rate):
            self.rate = rate

        @cache.persist
        def predict(self, x, y=0):
            return self.rate * x + y

    model = Model(3)
    assert model.predict.map([1, 2]) == [3, 6]
    assert model.predict.starmap([(1, 1)]) == [4]
    assert [one.value for one in model.predict.as_completed([1])] == [3]


def test_modes(cache: Cache) -> None:
    f, calls = counting(cache)
    with memo.mode("off"):
        f.map([1, 1])
    assert len(calls) == 2
    with ThreadPoolExecutor(2) as pool, memo.mode("read-only"):
        f.map([1, 2], pool)
    assert not f.is_cached(1)
    f(1)
    with memo.mode("only-cached"), pytest.raises(memo.NotCachedError):
        f.map([1, 2])
    calls.clear()
    with memo.mode("refresh"):
        f.map([1])
    assert calls == [1]


def test_misuse(cache: Cache) -> None:
    f, _ = counting(cache)
    with pytest.raises(OptionError, match="submit"):
        f.map([1], executor=3)
    with pytest.raises(OptionError, match="chunk"):
        f.map([1], chunk=0)

    @cache.persist
    def generator(x):
        yield x

    with pytest.raises(OptionError, match="generator"):
        generator.map([1])


def test_async(cache: Cache) -> None:
    calls = []

    @cache.persist(ignore=["calls"])
    async def f(x, y=1, calls=calls):
        calls.append(x)
        if x == "bad":
            raise ValueError(x)
        return [x, y]

    async def main():
        assert await f.map([3, 1, 3]) == [[3, 1], [1, 1], [3, 1]]
        assert await f.starmap([(3, 2)]) == [[3, 2]]
        with pytest.raises(ValueError):
            await f.map([7, "bad", 8])
        assert await f.is_cached(8)
        with pytest.raises(OptionError, match="async"):
            f.as_completed([1])

    asyncio.run(main())
    assert sorted(map(str, calls)) == ["1", "3", "3", "7", "8", "bad"]


# ----------------------------------------------------------------------------------------------------- executors


def log_and_square(x, log):
    with open(log, "a") as file:
        file.write("x")
    if x == -1:
        raise ValueError(x)
    return x * x


def test_threads(cache: Cache) -> None:
    f, calls = counting(cache)
    with ThreadPoolExecutor(3) as pool:
        assert f.map(range(20), pool, chunk=3) == [[x, 1] for x in range(20)]
        assert f.map(range(20), pool) == [[x, 1] for x in range(20)]
    assert sorted(calls) == list(range(20))


SCRIPT = """
import sys, os
from concurrent.futures import ProcessPoolExecutor
import itertools
import multiprocessing
from memo import Cache, persist

cache = Cache(sys.argv[1], storage=sys.argv[3])

class Point:
    def __init__(self, x): self.x = x
    def __eq__(self, other): return type(other) is Point and self.x == other.x

@cache.persist(ignore=["parent"])
def f(point, parent=0):
    if point.x == -1:
        raise ValueError("bad")
    return Point(point.x + 1), os.getpid() != parent

g = cache.persist(lambda x: (x, os.getpid()))

def main():
    kind = sys.argv[2]
    if kind == "loky":
        from joblib.externals.loky import get_reusable_executor
        pool = get_reusable_executor(2)
    elif kind == "dask":
        from dask.distributed import Client, LocalCluster
        cluster = LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None)
        client = Client(cluster)
        pool = client.get_executor()
    else:
        pool = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(kind))
    points = [Point(x) for x in range(8)]
    parent = os.getpid()
    f(points[3], parent)
    results = f.starmap([(point, parent) for point in points], pool)
    assert [point for point, _ in results] == [Point(x + 1) for x in range(8)], results
    assert [elsewhere for _, elsewhere in results] == [x != 3 for x in range(8)], results
    assert all(f.is_cached(point) for point in points)
    lambdas = g.map(range(4), pool)
    assert [x for x, _ in lambdas] == list(range(4)) and parent not in {pid for _, pid in lambdas}
    assert g.map(range(4)) == lambdas
    done = list(f.as_completed([Point(1), Point(-1), Point(20)], pool))
    assert [type(one.error) for one in done].count(ValueError) == 1, done
    assert f.is_cached(Point(20))
    print("fine", flush=True)
    if kind == "dask":
        client.close()
        cluster.close()

if __name__ == "__main__":
    main()
"""


def pools() -> list[Any]:
    """Each kind of pool with one storage, each storage by a pool that forks and by one that starts; the rest is slow."""
    told = {("fork", "sqlite"), ("spawn", "files"), ("loky", "sqlite"), ("dask", "files")}
    return [
        pytest.param(*pair, marks=() if pair in told else pytest.mark.slow)
        for pair in itertools.product(("fork", "spawn", "loky", "dask"), ("sqlite", "files"))
    ]


@pytest.mark.parametrize(("kind", "storage"), pools())
def test_processes(tmp_path: Path, kind: str, storage: str) -> None:
    if kind not in multiprocessing.get_all_start_methods() and kind in ("fork", "spawn"):
        pytest.skip(f"{kind} does not exist here")
    if kind == "dask":
        pytest.importorskip("distributed")
    (tmp_path / "job.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "job.py", str(tmp_path / "place"), kind, storage],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=2 * SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert "fine" in done.stdout


def test_a_worker_that_dies_loses_only_its_own(cache: Cache) -> None:
    import os

    parent = os.getpid()

    @cache.persist
    def f(x):
        if x == 2 and os.getpid() != parent:
            os._exit(3)
        return x

    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        done = {one.input: one for one in f.as_completed([1, 2], pool, chunk=1)}
    assert done[2].error is not None
    assert f.map([1, 2]) == [1, 2]


def test_threads_that_ask_for_the_same_batch_compute_it_once(cache: Cache) -> None:
    f, calls = counting(cache)
    barrier = threading.Barrier(3)

    def one(_):
        barrier.wait(SECONDS)
        return f.map(range(10))

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(one, range(3))) == [[[x, 1] for x in range(10)]] * 3
    assert sorted(calls) == list(range(10))
