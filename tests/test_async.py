"""async def functions: what is stored is the result, the loop never waits, and nobody is cancelled for another."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import memo
from memo import Cache, NotCachedError, persist
from memo.storages.memory import Memory

SECONDS = 60  # bounds a hang


def run(coroutine):
    async def bounded():
        return await asyncio.wait_for(coroutine, SECONDS)

    return asyncio.run(bounded())


@pytest.fixture(params=["sqlite", "files"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Cache:
    return Cache(tmp_path / "place", storage=request.param)


def counting(cache: Cache, **options: object):
    calls: list[object] = []

    @cache.persist(ignore=["calls"], **options)
    async def f(x, y=2, *, calls=calls):
        calls.append(x)
        await asyncio.sleep(0)
        return [x, y]

    return f, calls


def test_the_result_is_stored_and_never_the_coroutine(cache: Cache) -> None:
    f, calls = counting(cache)
    assert inspect.iscoroutinefunction(f)
    assert asyncio.iscoroutinefunction(f)

    async def main():
        return [await f(1), await f(x=1), await f(1, y=2), await f([1, {"a": (2, 3)}]), await f([1, {"a": (2, 3)}])]

    assert run(main()) == [[1, 2]] * 3 + [[[1, {"a": (2, 3)}], 2]] * 2
    assert len(calls) == 2
    assert run(f(1)) == [1, 2], "in another loop"
    assert len(calls) == 2


def test_handles_are_coroutines(cache: Cache) -> None:
    f, calls = counting(cache)

    async def main():
        assert not await f.is_cached(1)
        with pytest.raises(NotCachedError):
            await f.get(1)
        assert await f.get_or("nothing", 1) == "nothing"
        assert await f(1) == await f.get(1) == [1, 2]
        await f.set([7], 1)
        assert await f(1) == [7]
        assert await f.refresh(1) == await f(1) == [1, 2]
        assert len(calls) == 2
        assert (await f.cache_info())[:2] == (2, 2)
        assert len(await f.entries()) == 1
        assert await f.cache_key(1) == (await f.entries())[0].key
        assert "hit" in str(await f.why(1))
        assert await f.delete(1)
        assert not await f.is_cached(1)
        await f(1)
        await f.cache_clear()
        assert not await f.is_cached(1)
        assert (await f.cache_parameters())["serializer"] == "pickle"

    run(main())


def test_methods(cache: Cache) -> None:
    class Model:
        def __init__(self, rate):
            self.rate = rate

        @cache.persist
        async def predict(self, x):
            return self.rate * x

        @cache.persist
        @classmethod
        async def best(cls):
            return cls.__name__

        @staticmethod
        @cache.persist
        async def static(x):
            return [x]

    async def main():
        one = Model(2)
        assert await one.predict(10) == await Model(2).predict(x=10) == 20
        assert await Model(3).predict(10) == 30
        assert await one.predict.is_cached(10)
        assert not await one.predict.is_cached(11)
        assert inspect.iscoroutinefunction(one.predict)
        assert await Model.best() == await one.best() == "Model"
        assert await Model.static(1) == await one.static(1) == [1]

    run(main())


def test_modes(cache: Cache) -> None:
    f, calls = counting(cache)

    async def main():
        with memo.mode("off"):
            await f(1)
        with memo.mode("read-only"):
            await f(1)
        assert len(calls) == 2
        with memo.mode("only-cached"), pytest.raises(NotCachedError):
            await f(1)
        await f(1)
        with memo.mode("refresh"):
            await f(1)
        assert len(calls) == 4

    run(main())


def test_exceptions_pass_and_are_not_stored(cache: Cache) -> None:
    @cache.persist
    async def f(x):
        raise KeyError(x)

    for _ in range(2):
        with pytest.raises(KeyError, match="5"):
            run(f(5))
    assert f.__wrapped__ is not None


# ----------------------------------------------------------------------------------------------------- the loop


class Watched(Memory):
    """Says in which threads it is used."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()

    def read(self, name):
        self.threads.add(threading.get_ident())
        return super().read(name)

    def write(self, name, parts, head, **options):
        self.threads.add(threading.get_ident())
        return super().write(name, parts, head, **options)

    def scan(self, prefix=""):
        self.threads.add(threading.get_ident())
        return super().scan(prefix)


def test_storage_is_never_used_on_the_loop() -> None:
    storage = Watched()

    @persist(storage=storage)
    async def f(x):
        return {"x": x}

    async def main():
        for _ in range(2):
            await asyncio.gather(*[f(n) for n in range(3)])
        await f.refresh(1)
        await f.set(1, 1)
        await f.delete(1)
        await f.why(9)
        await f.cache_info()
        await f.cache_clear()
        await f(1)
        return threading.get_ident()

    assert run(main()) not in storage.threads
    assert storage.threads


def test_large_arguments_are_hashed_and_large_results_made_off_the_loop() -> None:
    where: list[int] = []

    class Large:
        def __getstate__(self):
            where.append(threading.get_ident())
            return {"bytes": b"x" * 1_000_000}

    @persist(storage=Memory())
    async def f(x, y):
        return Large()

    async def main():
        await f(Large(), list(range(100_000)))
        return threading.get_ident()

    here = run(main())
    assert len(where) >= 2
    assert here not in where


def test_a_front_hit_needs_no_thread(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    f, calls = counting(cache)
    g, _ = counting(cache, ttl="1h", name="g")
    arguments = [1, "text", [1, 2], {"a": {"b": (1, 2.5)}}]

    async def main():
        for x in arguments * 2:  # the first call of all makes the place, and a new one's words may still change
            await f(x)
            await g(x)

        def refuse(*args):
            raise AssertionError("a thread was used")

        monkeypatch.setattr(memo._async, "in_thread", refuse)
        for x in arguments:
            assert await f(x) == await g(x) == [x, 2]

    run(main())
    assert len(calls) == len(arguments)


def test_asyncio_is_not_loaded_for_sync_functions(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom memo import persist\n@persist(location=sys.argv[1])\ndef f(x): return x\nf(1); f(1); f([1])\n"
        "assert 'asyncio' not in sys.modules\n"
    )
    subprocess.run([sys.executable, str(script), str(tmp_path / "place")], check=True)


# ---------------------------------------------------------------------------------------------------- the flight


def slow(cache: Cache):
    calls, gates = [], []

    @cache.persist(ignore=["calls", "gates"])
    async def f(x, calls=calls, gates=gates):
        calls.append(x)
        gates.append(asyncio.Event())
        await gates[-1].wait()
        return [x]

    return f, calls, gates


async def until(condition) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def test_two_hundred_tasks_one_computation(cache: Cache) -> None:
    f, calls = counting(cache)

    async def main():
        return await asyncio.gather(*[f(1) for _ in range(200)])

    results = run(main())
    assert results == [[1, 2]] * 200
    assert calls == [1]
    assert len({id(result) for result in results}) == 200, "no two callers share an object"


def test_cancelling_one_does_not_cancel_the_others(cache: Cache) -> None:
    f, calls, gates = slow(cache)

    async def main():
        first = asyncio.create_task(f(1))
        await until(lambda: gates)
        others = [asyncio.create_task(f(1)) for _ in range(3)]
        await asyncio.sleep(0.05)
        first.cancel()
        others[0].cancel()
        for task in (first, others[0]):
            with pytest.raises(asyncio.CancelledError):
                await task
        gates[0].set()
        return [await task for task in others[1:]]

    assert run(main()) == [[1]] * 2
    assert calls == [1]


def test_cancelling_all_stores_nothing_and_leaves_no_lock(cache: Cache) -> None:
    f, calls, gates = slow(cache)
    ended = []

    async def main():
        tasks = [asyncio.create_task(f(1)) for _ in range(3)]
        await until(lambda: gates)
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        ended.extend(await asyncio.gather(*tasks, return_exceptions=True))
        assert not await f.is_cached(1)
        # another process could have it now: nothing of ours is in its way
        await until(lambda: cache._opened.flights._flights == {})
        again = asyncio.create_task(f(1))
        await until(lambda: len(gates) == 2)
        gates[1].set()
        return await again

    assert run(main()) == [1]
    assert [type(one) for one in ended] == [asyncio.CancelledError] * 3
    assert calls == [1, 1]
    script = (
        f"from memo._lockfile import LockFile; print(LockFile({str(Path(cache.location) / 'flights.lock')!r})"
        f".lock({run(f.cache_key(1))!r}).__enter__())"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "True\n"


def test_a_timeout_around_the_only_waiter_ends_the_computation(cache: Cache) -> None:
    steps = []

    @cache.persist(ignore=["steps"])
    async def f(x, steps=steps):
        steps.append("began")
        try:
            await asyncio.sleep(SECONDS)
        finally:
            steps.append("ended")

    async def main():
        task = asyncio.create_task(f(1))
        await until(lambda: steps)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(task, 0.01)
        assert steps == ["began", "ended"]

    run(main())


def test_when_the_leader_raises_the_others_try(cache: Cache) -> None:
    calls = []

    @cache.persist(ignore=["calls"])
    async def f(x, calls=calls):
        calls.append(x)
        first = len(calls) == 1
        await asyncio.sleep(0.05)
        if first:
            raise ValueError(x)
        return x

    async def main():
        return await asyncio.gather(*[f(1) for _ in range(3)], return_exceptions=True)

    assert sorted(map(str, run(main()))) == ["1", "1", "1"]
    assert len(calls) > 1


def test_several_loops_and_threads_share_one_computation(cache: Cache) -> None:
    calls = []
    options = {"name": "both", "code": "off", "version": 1, "ignore": ["calls"]}

    @cache.persist(**options)
    async def f(x, calls=calls):
        calls.append(x)
        await asyncio.sleep(0.3)
        return [x]

    @cache.persist(**options)
    def g(x, calls=calls):
        calls.append(x)
        threading.Event().wait(0.3)
        return [x]

    barrier = threading.Barrier(6)

    def one(i):
        barrier.wait(SECONDS)
        return g(1) if i % 2 else run(f(1))

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(one, range(6))) == [[1]] * 6
    assert calls == [1]


def test_a_loop_that_ends_frees_who_waits_in_another(cache: Cache) -> None:
    f, calls, gates = slow(cache)
    began, waiting = threading.Event(), threading.Event()

    async def abandoned():
        task = asyncio.create_task(f(1))
        await until(lambda: gates)
        began.set()
        assert await asyncio.to_thread(waiting.wait, SECONDS)
        await asyncio.sleep(0.1)
        del task  # asyncio.run cancels what is left

    async def other():
        task = asyncio.create_task(f(1))
        await asyncio.sleep(0.05)
        waiting.set()
        await until(lambda: len(gates) == 2)
        gates[1].set()
        return await task

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(asyncio.run, abandoned())
        assert began.wait(SECONDS)
        assert run(other()) == [1]
        first.result(SECONDS)
    assert calls == [1, 1]


def test_nested_and_recursive(cache: Cache) -> None:
    calls = []

    @cache.persist(ignore=["calls"])
    async def fib(n, calls=calls):
        calls.append(n)
        return n if n < 2 else await fib(n - 1) + await fib(n - 2)

    assert run(fib(150)) == 9969216677189303386214405760200
    assert len(calls) == 151

    @cache.persist(ignore=["depth"])
    async def again(x, depth):
        return x if depth == 3 else await again(x, depth + 1)

    assert run(again(1, 0)) == 1


def test_mutual_nesting_is_no_deadlock(cache: Cache) -> None:
    both = []

    @cache.persist(ignore=["depth", "both"])
    async def ping(x, depth, both=both):
        if depth == 0:
            both.append(1)
            await until(lambda: len(both) == 2)
            return (await asyncio.gather(pong(x, 1), ping(x + 1, 1)))[0]
        return x

    @cache.persist(ignore=["depth", "both"])
    async def pong(x, depth, both=both):
        if depth == 0:
            both.append(1)
            await until(lambda: len(both) == 2)
            return (await asyncio.gather(ping(x, 1), pong(x + 1, 1)))[0]
        return x

    async def main():
        return await asyncio.gather(ping(1, 0), pong(1, 0))

    assert run(main()) == [1, 1]


def test_sync_within_async_within_sync(cache: Cache) -> None:
    @cache.persist
    def inner(x):
        return [x]

    @cache.persist
    async def middle(x):
        return inner(x) + await asyncio.to_thread(inner, x + 1)

    @cache.persist
    def outer(x):
        return asyncio.run(middle(x))

    assert outer(1) == outer(1) == [1, 2]
    assert (inner.cache_info()[:2], outer.cache_info()[:2]) == ((0, 2), (1, 1))


def test_exceptions_are_kept_where_that_is_asked_for(cache: Cache) -> None:
    calls = []

    @cache.persist(ignore=["calls"], cache_exceptions=KeyError)
    async def f(x, calls=calls):
        calls.append(x)
        raise KeyError(x)

    for _ in range(3):
        with pytest.raises(KeyError, match="5"):
            run(f(5))
    assert calls == [5]
