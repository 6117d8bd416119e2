"""One computation per key, over threads and processes; and nobody waits for the dead, for himself, or in a circle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from memo import Cache, MemoWarning, persist

STORAGES = ("sqlite", "files", "shelve")
SECONDS = 60  # bounds a hang


def in_threads(n: int, function) -> list:
    barrier = threading.Barrier(n)

    def one(i: int):
        barrier.wait(SECONDS)
        return function(i)

    with ThreadPoolExecutor(n) as pool:
        return [future.result(SECONDS) for future in [pool.submit(one, i) for i in range(n)]]


@pytest.mark.parametrize("kind", [*STORAGES, "memory"])
def test_threads_compute_once(tmp_path: Path, kind: str) -> None:
    log = tmp_path / "log"
    cache = Cache(storage="memory") if kind == "memory" else Cache(tmp_path / "place", storage=kind)

    @cache.persist(ignore=["log", "started"])
    def slow(x, log, started):
        with open(log, "a") as file:
            file.write("x")
        started.wait(0.2)  # others come in meanwhile; never set
        return [x]

    results = in_threads(8, lambda i: slow(1, log, threading.Event()))
    assert results == [[1]] * 8
    assert log.read_text() == "x"
    assert len({id(result) for result in results}) == 8, "no two callers share an object"


def test_when_the_leader_raises_the_others_try(tmp_path: Path) -> None:
    log = tmp_path / "log"

    @persist(location=tmp_path / "place", ignore=["log", "i"])
    def fails_first(x, log, i):
        with open(log, "a") as file:
            file.write("x")
        if log.stat().st_size == 1:
            threading.Event().wait(0.2)
            raise ValueError(x)
        return x

    def call(i: int):
        try:
            return fails_first(7, log, i)
        except ValueError:
            return "raised"

    results = in_threads(4, call)
    assert sorted(map(str, results)) == ["7", "7", "7", "raised"]


@pytest.mark.parametrize(
    ("kind", "depth"),
    [
        *((kind, 60 if kind == "shelve" else 150) for kind in STORAGES),
        pytest.param("shelve", 150, marks=pytest.mark.slow),
    ],
)
def test_recursion(tmp_path: Path, kind: str, depth: int) -> None:
    calls = []

    @persist(location=tmp_path / "place", storage=kind, ignore=["calls"])
    def fib(n, calls=calls):
        calls.append(n)
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    assert fib(depth) == {60: 1548008755920, 150: 9969216677189303386214405760200}[depth]
    assert len(calls) == depth + 1


def test_equal_arguments_in_recursion_raise_what_python_raises(tmp_path: Path) -> None:
    @persist(location=tmp_path / "place")
    def endless(x):
        return endless(x)

    with pytest.raises(RecursionError):
        endless(1)


def test_mutual_nesting_over_threads_is_no_deadlock(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "place")
    both = threading.Barrier(2)

    @cache.persist(ignore=["depth", "both"])
    def ping(x, depth, both=both):
        if depth == 0:
            both.wait(SECONDS)
            return pong(x, 1)
        return x

    @cache.persist(ignore=["depth", "both"])
    def pong(x, depth, both=both):
        if depth == 0:
            both.wait(SECONDS)
            return ping(x, 1)
        return x

    assert in_threads(2, lambda i: ping(1, 0) if i else pong(1, 0)) == [1, 1]


def test_what_was_computed_before_a_clear_is_not_stored(tmp_path: Path) -> None:
    inside, go = threading.Event(), threading.Event()

    @persist(location=tmp_path / "place", ignore=["inside", "go"])
    def f(x, inside=inside, go=go):
        inside.set()
        assert go.wait(SECONDS)
        return [x]

    with ThreadPoolExecutor(2) as pool:
        older = pool.submit(f, 1)
        assert inside.wait(SECONDS)
        f.cache_clear()
        inside.clear()
        newer = pool.submit(f, 1)  # joins no flight that began before the clear
        assert inside.wait(SECONDS)
        go.set()
        assert older.result(SECONDS) == newer.result(SECONDS) == [1]
    assert f.cache_info().misses == 2
    assert f.is_cached(1)


@pytest.mark.parametrize("touch", ["set", "delete", "refresh"])
def test_a_flight_does_not_overwrite_what_came_since(tmp_path: Path, touch: str) -> None:
    inside, go = threading.Event(), threading.Event()
    answers = iter(["old", "refreshed", "new"])

    @persist(location=tmp_path / "place", ignore=["inside", "go", "answers"])
    def f(x, inside=inside, go=go, answers=answers):
        answer = next(answers)
        if answer == "old":
            inside.set()
            assert go.wait(SECONDS)
        return answer

    f.set("there", 1)
    with ThreadPoolExecutor(1) as pool:
        from memo import mode

        def refreshing():
            with mode("refresh"):
                return f(1)

        older = pool.submit(refreshing)
        assert inside.wait(SECONDS)
        {"set": lambda: f.set("set", 1), "delete": lambda: f.delete(1), "refresh": lambda: f.refresh(1)}[touch]()
        go.set()
        assert older.result(SECONDS) == "old"
    assert f.get_or(None, 1) == {"set": "set", "delete": None, "refresh": "refreshed"}[touch]


def test_a_flight_is_stored_when_another_key_was_touched(tmp_path: Path) -> None:
    @persist(location=tmp_path / "place")
    def f(x, do=None):
        if x == 1:
            f.set("other", 2)
            f.delete(3)
        return x

    f(1)
    assert f.is_cached(1)
    assert f(2) == "other"


# ---------------------------------------------------------------------------------------------------- processes

WORKER = """
import sys, threading
from memo import persist

@persist(location=sys.argv[1], storage=sys.argv[2], ignore=["log"])
def slow(x, log):
    with open(log, "a") as file:
        file.write("x")
    if sys.argv[4] == "hold":
        print("computing", flush=True)
        sys.stdin.read()
    threading.Event().wait(0.3)
    return x

print(slow(1, sys.argv[3]), flush=True)
"""


def worker(tmp_path: Path, kind: str, how: str = "") -> subprocess.Popen:
    script = tmp_path / "worker.py"
    if not script.exists():  # another worker may be reading it
        script.write_text(WORKER)
    command = [
        sys.executable,
        "-X",
        "faulthandler",
        "-W",
        "error",
        str(script),
        str(tmp_path / "place"),
        kind,
        str(tmp_path / "log"),
        how,
    ]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.parametrize("kind", STORAGES)
def test_processes_compute_once(tmp_path: Path, kind: str) -> None:
    workers = [worker(tmp_path, kind) for _ in range(4)]
    assert [(w.communicate(timeout=SECONDS)[0], w.returncode) for w in workers] == [("1\n", 0)] * 4
    assert (tmp_path / "log").read_text() == "x"


def test_nobody_waits_for_the_dead(tmp_path: Path) -> None:
    holder = worker(tmp_path, "sqlite", "hold")
    assert holder.stdout is not None
    assert holder.stdout.readline() == "computing\n"
    waiting = worker(tmp_path, "sqlite")
    holder.send_signal(signal.SIGKILL)
    assert waiting.communicate(timeout=SECONDS)[0] == "1\n"
    holder.communicate(timeout=SECONDS)
    assert (tmp_path / "log").read_text() == "xx"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_in_the_middle_of_a_computation(tmp_path: Path) -> None:
    @persist(location=tmp_path / "place", ignore=["depth"])
    def f(x, depth=0):
        if depth:
            return x
        child = os.fork()
        if child == 0:
            try:
                os._exit(0 if f(x, 1) == x and f(x + 1, 1) == x + 1 else 1)
            finally:
                os._exit(2)
        return x if os.waitpid(child, 0)[1] == 0 else "the child failed"

    assert f(1) == 1
    assert f(2) == 2


def test_mutual_nesting_over_two_places_is_no_deadlock(tmp_path: Path) -> None:
    both = threading.Barrier(2)

    @persist(location=tmp_path / "one", ignore=["depth", "both"])
    def ping(x, depth, both=both):
        if depth == 0:
            both.wait(SECONDS)
            return pong(x, 1)
        return x

    @persist(location=tmp_path / "two", ignore=["depth", "both"])
    def pong(x, depth, both=both):
        if depth == 0:
            both.wait(SECONDS)
            return ping(x, 1)
        return x

    assert in_threads(2, lambda i: ping(1, 0) if i else pong(1, 0)) == [1, 1]


def test_who_has_waited_long_enough_computes_too(tmp_path: Path) -> None:
    inside, go = threading.Event(), threading.Event()

    @persist(location=tmp_path / "place", ignore=["first", "inside", "go"], wait="10ms")
    def f(x, first, inside=inside, go=go):
        if first:
            inside.set()
            assert go.wait(SECONDS)
        return x

    with ThreadPoolExecutor(1) as pool:
        older = pool.submit(f, 1, True)
        assert inside.wait(SECONDS)
        assert f(1, False) == 1
        go.set()
        assert older.result(SECONDS) == 1
    assert f.cache_info().misses == 2


def test_a_refresh_that_was_overtaken_by_a_clear_is_not_stored(tmp_path: Path) -> None:
    @persist(location=tmp_path / "place", ignore=["clear"])
    def f(x, clear=False):
        if clear:
            f.cache_clear()
        return x

    f(1)
    assert f.refresh(1, clear=True) == 1
    assert not f.is_cached(1)
    assert f.refresh(1) == 1
    assert f.is_cached(1)


def test_a_refresh_while_captured_data_changed_is_not_stored(tmp_path: Path) -> None:
    @persist(location=tmp_path / "place")
    def f(x):
        global RATE
        RATE += 1
        return RATE

    with pytest.warns(MemoWarning, match="changed while it ran"):
        assert f.refresh(1) == 2
    assert f.cache_info().currsize == 0


RATE = 1


FORK_IN_AN_IMPORT = """
    import importlib.machinery, os, signal, sys, threading
    from memo import persist

    importing, forking, forked = threading.Event(), threading.Event(), threading.Event()

    class Slow:
        def find_spec(self, name, path, target=None):
            if name == sys.argv[2] and not forking.is_set():
                spec = importlib.machinery.PathFinder.find_spec(name, path)
                run = spec.loader.exec_module
                def exec_module(module):  # while it is looked for Python itself has a fork wait
                    importing.set()
                    forking.wait()
                    forked.wait(0.2)  # a fork that does not wait for this is over by then
                    run(module)
                spec.loader.exec_module = exec_module
                return spec

    sys.meta_path.insert(0, Slow())

    @persist(location=sys.argv[1])
    def f(x):
        return [x]

    def of_the_user():
        import colorsys

    os.register_at_fork(before=forking.set, after_in_parent=forked.set)  # told last, asked first
    thread = threading.Thread(target=of_the_user if sys.argv[2] == "colorsys" else lambda: f(1))
    thread.start()
    importing.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        __import__(sys.argv[2])
        os._exit(0 if f(2) == [2] else 1)
    thread.join()
    print(os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("module", ["memo.storages.sqlite", "colorsys"])  # the latter by another than memo
def test_a_fork_while_another_thread_loads_what_memo_needs(tmp_path: Path, module: str) -> None:
    (tmp_path / "program.py").write_text(textwrap.dedent(FORK_IN_AN_IMPORT))
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "program.py", "place", module],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_a_finalizer_that_calls_while_its_thread_stores(tmp_path: Path) -> None:
    """Signal handlers and finalizers run in the middle of whatever their thread does: no lock may be one that they wait for."""
    cache = Cache(storage="memory", max_entries=10)

    @cache.persist(code="off", version=1)
    def f(x):
        return [x]

    f(0)
    storage = cache.storage

    class Entries(dict):
        def __setitem__(self, name, record):
            super().__setitem__(name, record)
            if "within" in name:
                values.append(f(7))

    values: list[list[int]] = []
    storage._entries = Entries(storage._entries)
    thread = threading.Thread(
        target=lambda: storage.write("within/a/b", [b"x"], lambda: b"head", size=1, mark=0), daemon=True
    )
    thread.start()
    thread.join(SECONDS)
    assert values == [[7]]
