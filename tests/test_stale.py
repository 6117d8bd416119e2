"""Old results served on purpose: at once while a new one is computed, or because the function raised."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path
from typing import Any

import pytest
import warm

from memo import Cache, OptionError, persist

START = 2e9
STORAGES = ["sqlite", "files", "shelve", "memory"]


class Lab:
    def __init__(self, folder: Path, storage: str) -> None:
        self.now, self.calls, self.fails, self.gate = START, 0, False, threading.Event()
        self.gate.set()
        self.done = threading.Semaphore(0)
        self.cache = Cache(storage="memory") if storage == "memory" else Cache(folder, storage=storage)
        self.cache.clock = lambda: self.now

    def function(self, **options: Any) -> Any:
        def f(x: Any) -> Any:
            self.calls += 1
            number = self.calls
            assert self.gate.wait(60)
            try:
                if self.fails:
                    raise RuntimeError("the service is down")
                return x, number
            finally:
                self.done.release()

        return self.cache.persist(f, name="stale.f", code="off", version=1, **options)

    def coroutine(self, **options: Any) -> Any:
        async def f(x: Any) -> Any:
            self.calls += 1
            await asyncio.sleep(0)
            if self.fails:
                raise RuntimeError("the service is down")
            return x, self.calls

        return self.cache.persist(f, name="stale.f", code="off", version=1, **options)


@pytest.fixture(params=STORAGES)
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Lab:
    return Lab(tmp_path / "place", request.param)


def stored(f: Any, number: int) -> None:
    """Waits until the renewal is stored."""
    for _ in range(60_000):
        if f.get_or((0, 0), 1)[1] == number:
            return
        threading.Event().wait(0.001)
    raise AssertionError("the renewal was not stored")


def test_the_old_value_at_once_and_a_new_one_in_the_background(lab: Lab) -> None:
    f = lab.function(ttl=100, stale_while_revalidate=50)
    assert f(1) == (1, 1)
    lab.now += 101
    lab.gate.clear()
    assert [f(1) for _ in range(5)] == [(1, 1)] * 5, "while the renewal runs"
    lab.gate.set()
    stored(f, 2)
    assert f(1) == (1, 2)
    assert lab.calls == 2, "one renewal for all that asked meanwhile"


def test_what_is_too_late_is_computed_in_the_call(lab: Lab) -> None:
    f = lab.function(ttl=100, stale_while_revalidate=50)
    f(1)
    lab.now += 150
    assert f(1) == (1, 2)


def test_a_renewal_that_fails_is_logged_and_tried_again(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    f = lab.function(ttl=100, stale_while_revalidate=50)
    f(1)
    lab.done.acquire()
    lab.now += 101
    lab.fails = True
    with caplog.at_level(logging.INFO, "memo"):
        assert f(1) == (1, 1)
        assert lab.done.acquire(timeout=60)
        for thread in threading.enumerate():
            if thread.name == "memo-renew":
                thread.join(60)
    assert "could not be renewed, since it raised RuntimeError: the service is down" in caplog.text
    lab.fails = False
    assert f(1) == (1, 1)
    stored(f, 3)


def test_stale_if_error(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    f = lab.function(ttl=100, stale_if_error="1h")
    f(1)
    lab.now += 200
    lab.fails = True
    with caplog.at_level(logging.INFO, "memo"):
        assert (f(1), f(1)) == ((1, 1), (1, 1))
    assert lab.calls == 3, "it is tried at every call"
    assert "served stale, since it raised RuntimeError: the service is down" in caplog.text
    with pytest.raises(RuntimeError, match="is down"):
        f(2)
    lab.fails = False
    assert f(1) == (1, 5)
    lab.now += 100 + 3600
    lab.fails = True
    with pytest.raises(RuntimeError, match="is down"):
        f(1)


def test_what_was_cleared_is_never_served(lab: Lab) -> None:
    f = lab.function(ttl=100, stale_while_revalidate="1h", stale_if_error="1h")
    f(1)
    lab.now += 101
    f.cache_clear()
    lab.fails = True
    with pytest.raises(RuntimeError):
        f(1)


def test_both_on_async_functions(lab: Lab) -> None:
    f = lab.coroutine(ttl=100, stale_while_revalidate=50, stale_if_error="1h")

    async def scenario() -> None:
        assert await f(1) == (1, 1)
        lab.now += 101
        assert await f(1) == (1, 1)
        for _ in range(60_000):
            if await f.get_or(None, 1) == (1, 2):
                break
            await asyncio.sleep(0.001)
        assert await f(1) == (1, 2)
        lab.now += 300
        lab.fails = True
        assert await f(1) == (1, 2)
        with pytest.raises(RuntimeError):
            await f(2)

    asyncio.run(scenario())


def test_the_end_of_the_program_does_not_wait_for_a_renewal(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        """
import sys, threading
from memo import Cache

cache = Cache(sys.argv[1])
now = [2e9]
cache.clock = lambda: now[0]
never = threading.Event()

@cache.persist(ttl=1, stale_while_revalidate=100, name="f", code="off", version=1)
def f(x):
    if now[0] > 2e9:
        never.wait()
    return x

f(1)
now[0] += 10
print(f(1))
"""
    )
    done = warm.run([program, tmp_path / "place"])
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


@pytest.mark.parametrize("options", [{"stale_while_revalidate": "soon"}, {"stale_if_error": -1}])
def test_what_is_no_duration_raises(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(options))):
        persist(**options)
