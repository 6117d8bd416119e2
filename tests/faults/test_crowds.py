"""Many at once: processes on cold keys, forks and pools while threads are in the database, readers under all upkeep.

Right values, one computation a key, nothing said, no hang. The forms by default take a few seconds; the long ones are slow.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from places import KINDS

from memo import Cache, CostlyCacheWarning, MemoWarning

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def value(x: int) -> bytes:
    return b"%06d" % x * (20_000 if x % 10 == 9 else 10)  # each tenth beyond what is kept in rows


def persisted(folder: Path, kind: str, **options: Any) -> tuple[Cache, Any]:
    log = str(folder.parent / "computed")

    def f(x: int) -> bytes:
        file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, b"%d\n" % x)
        os.close(file)
        return value(x)

    cache = Cache(folder, storage=kind, **options)
    return cache, cache.persist(f, name="crowd.f", code="off", version=1)


def quiet(work: Callable[[], object]) -> None:
    """Not a word of memo's, in any thread, but that such a function is not worth it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        work()
    said = [one for one in caught if issubclass(one.category, MemoWarning)]
    texts = [str(one.message) for one in said if one.category is not CostlyCacheWarning]
    assert texts == [], texts


def forked(work: Callable[[], object]) -> int:
    child = os.fork()
    if not child:
        code = 1
        try:
            quiet(work)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return child


def ended(children: list[int]) -> None:
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * len(children)


# ------------------------------------------------------------------------------------------------------ cold keys


def crowd(folder: Path, kind: str, processes: int, rounds: int, shuffled: bool) -> None:
    """Processes that all begin at once on a place that is not there, and all ask for every key."""
    reading, writing = os.pipe()

    def work(number: int) -> None:
        os.close(writing)
        os.read(reading, 1)
        f, order = persisted(folder / "place", kind)[1], list(range(rounds))
        if shuffled:
            random.Random(number).shuffle(order)
        for x in order:
            assert f(x) == value(x)

    children = [forked(lambda number=number: work(number)) for number in range(processes)]
    os.close(writing)
    ended(children)
    os.close(reading)
    computed = sorted(map(int, (folder / "computed").read_text().split()))
    assert computed == list(range(rounds)), "each of them once"


@pytest.mark.parametrize("kind", KINDS)
def test_a_few_processes_on_cold_keys(memory: Path, kind: str) -> None:
    crowd(memory, kind, 6, 30, shuffled=kind == "files")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_32_processes_and_200_rounds_on_cold_keys(memory: Path, kind: str, shuffled: bool) -> None:
    crowd(memory, kind, 32, 200, shuffled)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_32_processes_on_cold_keys_of_a_shelf(memory: Path) -> None:
    crowd(memory, "shelve", 32, 30, shuffled=True)  # each operation opens the file


# ---------------------------------------------------------------------------------- readers while all else goes on


def upkeep(folder: Path, cache: Cache, f: Any) -> list[Callable[[], object]]:
    return [
        f.cache_clear,
        lambda: cache.clear("crowd.*", older_than=0),
        cache.prune,
        getattr(cache.storage, "compact", cache.prune),
        lambda: cache.export(folder / "all.memo"),
        lambda: cache.import_(folder / "all.memo", trust=True) if (folder / "all.memo").exists() else None,
        lambda: f.delete(3),
        lambda: f.refresh(4),
        cache.verify,
    ]


def read_under_upkeep(folder: Path, kind: str, readers: int, processes: int, rounds: int) -> None:
    cache, f = persisted(folder / "place", kind, max_entries=12)
    f(0)
    stop = threading.Event()
    wrong: list[object] = []

    def read(start: int, wanted: Callable[[], bool]) -> None:
        x, g = start, persisted(folder / "place", kind)[1]
        while wanted():
            x = (x + 7) % 20
            if g(x) != value(x):
                wrong.append(x)

    def guarded(start: int) -> None:
        try:
            read(start, lambda: not stop.is_set())
        except BaseException:
            wrong.append(traceback.format_exc())

    def in_process(start: int) -> None:
        parent = os.getppid()
        read(start, lambda: not (folder / "stop").exists() and os.getppid() == parent)
        assert wrong == [], wrong

    def held() -> int:
        return sum(entry.head is not None for entry in f.entries())

    def all_of_it() -> None:
        threads = [threading.Thread(target=guarded, args=(start,)) for start in range(readers)]
        for thread in threads:
            thread.start()
        try:
            works = upkeep(folder, cache, f)
            for number in range(rounds):
                works[number % len(works)]()
                if kind == "sqlite":  # a folder is not listed in one moment
                    assert held() <= 12, "the limit holds at every moment"
        finally:
            stop.set()
            for thread in threads:
                thread.join(60)

    children = [forked(lambda start=start: in_process(start)) for start in range(processes)]
    try:
        quiet(all_of_it)
    finally:
        (folder / "stop").touch()
        ended(children)
    assert wrong == [], wrong
    assert held() <= 12
    assert Cache(folder / "place").verify()[2] == ()


@pytest.mark.parametrize("kind", KINDS)
def test_readers_while_others_clear_evict_compact_and_export(memory: Path, kind: str) -> None:
    read_under_upkeep(memory, kind, readers=2, processes=1, rounds=18)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", KINDS)
def test_readers_while_others_clear_evict_compact_and_export_for_long(memory: Path, kind: str) -> None:
    read_under_upkeep(memory, kind, readers=4, processes=4, rounds=300)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_readers_of_a_shelf_while_others_clear_evict_and_export(memory: Path) -> None:
    read_under_upkeep(memory, "shelve", readers=4, processes=4, rounds=60)


# --------------------------------------------------------------------- threads x processes x fork, spawn, forkserver

POOLS = """
import multiprocessing, os, sys, threading
from memo import MemoWarning, persist

@persist(location=sys.argv[1], storage=sys.argv[2])
def square(x):
    return [x * x] * (20_000 if x % 10 == 9 else 10)

def right(x):
    return [x * x] * (20_000 if x % 10 == 9 else 10)

def work(x):
    wrong = []
    def again():
        if square(x) != right(x) or square(x + 1) != right(x + 1):
            wrong.append(x)
    threads = [threading.Thread(target=again) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return not wrong

def busy(stop, number):
    x = 10_000 * number
    while not stop.is_set():
        x += 1
        assert square(x) == right(x)

def forks(times):
    # from a thread, beside another one that forks too
    for number in range(times):
        child = os.fork()
        if not child:
            os._exit(0 if square(number) == right(number) and square(-number) == right(-number) else 1)
        assert os.waitpid(child, 0)[1] == 0

if __name__ == "__main__":
    processes, keys, times = map(int, sys.argv[3:6])
    stop, failed = threading.Event(), []
    def watched(function, *args):
        try:
            function(*args)
        except BaseException as error:
            failed.append(repr(error))
    threads = [threading.Thread(target=watched, args=(busy, stop, number)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for number, method in enumerate(sys.argv[6:]):
        with multiprocessing.get_context(method).Pool(processes) as pool:
            start = 1000 * number
            assert all(pool.map(work, range(start, start + keys), chunksize=3))
    forking = [threading.Thread(target=watched, args=(forks, times)) for _ in range(2)]
    for thread in forking:
        thread.start()
    for thread in forking:
        thread.join()
    stop.set()
    for thread in threads:
        thread.join()
    assert failed == [], failed
    assert all(square.is_cached(1000 * number + x) for number in range(len(sys.argv[6:])) for x in range(keys))
    print("well")
"""


def pools(tmp_path: Path, kind: str, *arguments: object) -> None:
    script = tmp_path / "pools.py"
    script.write_text(POOLS)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-X", "faulthandler", str(script)]
    done = subprocess.run(
        [*command, str(tmp_path / "place"), kind, *map(str, arguments)], capture_output=True, text=True, timeout=600
    )
    assert (done.stdout, done.stderr, done.returncode) == ("well\n", "", 0)


@pytest.mark.timeout(600)
def test_pools_and_forks_while_other_threads_are_in_the_database(tmp_path: Path) -> None:
    pools(tmp_path, "sqlite", 2, 9, 5, "fork", "spawn")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", KINDS)
def test_pools_and_forks_for_long(tmp_path: Path, kind: str) -> None:
    pools(tmp_path, kind, 4, 60, 40, "fork", "spawn", "forkserver", "fork")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["shelve", "diskcache"])
def test_pools_and_forks_with_a_library_that_keeps_a_file_open(tmp_path: Path, kind: str) -> None:
    if kind == "diskcache":
        pytest.importorskip("diskcache")
    pools(tmp_path, kind, 4, 15, 8, "fork", "spawn", "forkserver", "fork")


# ------------------------------------------------------------------------------- whatever another thread has at a fork

ALL_LOCKS = """
import gc, os, signal, sys, threading
free = threading.Event()
os.register_at_fork(after_in_parent=free.set)  # before memo's, some of which take locks
from memo import Cache, _forks, _libhdf5
from memo.storages import _database, _lock

def function(place, **options):
    def f(x):
        return [x]
    return Cache(place, **options).persist(f, name="f" + str(len(functions)), code="off", version=1)

functions = []
for kind in sys.argv[2:]:
    place = os.path.join(sys.argv[1], kind.partition(":")[0])
    functions.append(function(kind + place + ".db", trust_folder=True) if ":" in kind else function(place, storage=kind))
for f in functions:
    assert f(1) == [1]

LOCKS = (type(threading.RLock()), type(threading.Lock()))
def locks():
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "memo":
            yield from ((name + "." + key, value) for key, value in vars(module).items())
    for one in gc.get_objects():
        if str(type(one).__module__).partition(".")[0] == "memo":
            for key in {*getattr(one, "__dict__", ()), *getattr(type(one), "__slots__", ())}:
                value = getattr(one, key, None)
                for each in value if type(value) is list else [value]:
                    yield type(one).__qualname__ + "." + key, each
        if isinstance(one, type) and str(one.__module__).partition(".")[0] == "memo":  # cached_property of Python 3.11
            yield from ((one.__qualname__ + "." + key, getattr(value, "lock", None)) for key, value in vars(one).items())

for one in gc.get_objects():
    if type(one) is _lock.HeldOverForks:
        one._patience = 0.01
for module in list(sys.modules.values()):
    if module.__name__.partition(".")[0] == "memo" and hasattr(module, "PATIENCE"):
        module.PATIENCE = 0.01

# whoever has these gives them back soon, and a fork waits for it
waited_for = [_forks._one, _libhdf5._lock, _database._forking]
found = {id(value): (name, value) for name, value in locks() if isinstance(value, LOCKS)}
found = [one for one in found.values() if one[1] not in waited_for and not one[0].endswith(("._gate", "._landed"))]
taken = threading.Event()

def take_all():
    had = [lock for name, lock in found if lock.acquire(blocking=False)]
    taken.set()
    free.wait()
    for lock in had:
        lock.release()

thread = threading.Thread(target=take_all)
thread.start()
taken.wait()
child = os.fork()
if not child:
    signal.alarm(60)
    os._exit(0 if all(f(x) == [x] for f in functions for x in (1, 2)) else 1)
thread.join()
assert all(f(x) == [x] for f in functions for x in (1, 3))
print(os.waitpid(child, 0)[1], len(found) > 20, "the locks:", *sorted({name for name, _ in found}))
"""


def test_a_child_waits_for_no_lock_that_another_thread_had(tmp_path: Path) -> None:
    kinds = ["sqlite", "files", "shelve", "memory"]
    kinds += ["diskcache"] if find_spec("diskcache") else []
    kinds += ["sqlite:///"] if find_spec("sqlalchemy") else []
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", ALL_LOCKS, str(tmp_path), *kinds]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (done.stdout[:6], done.stderr) == ("0 True", ""), done.stdout
