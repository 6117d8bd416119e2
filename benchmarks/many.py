"""Many processes at once on one cache: how long they wait for one another, and how much they get done together.

A step starts the processes, waits until all of them have opened the cache, and lets them go together. What they computed
is counted in a file that the functions themselves write, so that nobody is believed who says he did not compute.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any

from . import peers
from .functions import reach_5
from .peers import Wrong
from .small import SCALE, check

ROOT = Path(__file__).resolve().parent.parent
PROCESSES, THREADS = 8, 4
KEYS, EACH = 50, 0.05  #: of "flights": keys, and the seconds that each takes
ONE = 1.0  #: of "one": the seconds that the result takes
WARM = 500

Figures = dict[str, float]


def slow(n: int, taking: float, log: str) -> dict[str, float]:
    """Takes its seconds without using a core, and says in the log that it ran."""
    with open(log, "a") as file:
        file.write(f"{n}\n")
    time.sleep(taking)
    return {"n": n, "process": os.getpid()}


# ----------------------------------------------------------------------------------------------- what a process does


def one(peer: str, folder: Path, number: int, quick: bool) -> Callable[[], object]:
    cached = peers.MISSES[peer](slow, folder)
    cached(-1 - number, 0.0, str(folder / "warm"))
    return lambda: cached(0, ONE / 10 if quick else ONE, str(folder / "log"))


def _in_threads(cached: peers.Function, orders: list[list[int]], log: str) -> list[set[float]]:
    def thread(order: list[int]) -> set[float]:
        return {cached(n, EACH, log)["n"] for n in order}

    with ThreadPoolExecutor(len(orders)) as pool:
        return list(pool.map(thread, orders))


def flights(peer: str, folder: Path, number: int, quick: bool) -> Callable[[], object]:
    """Every thread asks for every key, all in one order: nobody can be faster than the keys one after the other."""
    cached = peers.MISSES[peer](slow, folder)
    cached(-1 - number, 0.0, str(folder / "warm"))
    return lambda: len(_in_threads(cached, [list(range(5 if quick else KEYS))] * THREADS, str(folder / "log")))


def shuffled(peer: str, folder: Path, number: int, quick: bool) -> Callable[[], object]:
    """Every thread asks for every key in an order of its own, so that many are computed at the same time."""
    cached = peers.MISSES[peer](slow, folder)
    cached(-1 - number, 0.0, str(folder / "warm"))
    keys = range(5 if quick else KEYS)
    orders = [random.Random(number * THREADS + thread).sample(keys, len(keys)) for thread in range(THREADS)]
    return lambda: len(_in_threads(cached, orders, str(folder / "log")))


def hits(peer: str, folder: Path, number: int, quick: bool) -> Callable[[], object]:
    """As many hits as there are seconds for: how many, and in what time."""
    cached, numbers = peers.HITS[peer](reach_5, folder), range(WARM)
    check(reach_5, cached, numbers, stored=True)

    def run() -> Figures:
        calls, began = 0, perf_counter()
        while perf_counter() - began < (0.1 if quick else 1.0):
            for n in numbers:
                cached(n, scale=SCALE)
            calls += len(numbers)
        return {"calls": calls, "seconds": perf_counter() - began}

    return run


def mixed(peer: str, folder: Path, number: int, quick: bool) -> Callable[[], object]:
    """Nine hits, then something new, again and again."""
    cached, numbers = peers.BOTH[peer](reach_5, folder), range(WARM)
    check(reach_5, cached, numbers, stored=True)

    def run() -> dict[str, Any]:
        calls, stores, began = 0, [], perf_counter()
        while perf_counter() - began < (0.1 if quick else 1.5):
            for n in range(9 * len(stores), 9 * len(stores) + 9):
                cached(n % WARM, scale=SCALE)
            new = (number + 1) * 10_000_000 + len(stores)
            started = perf_counter()
            cached(new, scale=SCALE)
            stores.append(perf_counter() - started)
            calls += 10
        seconds = perf_counter() - began
        check(reach_5, cached, range(new - min(len(stores), 50) + 1, new + 1), stored=False)
        return {"calls": calls, "seconds": seconds, "stores": stores}

    return run


# ----------------------------------------------------------------------------------------------- all of them together


def together(work: Callable[..., object], peer: str, folder: Path, quick: bool) -> tuple[float, list[Any]]:
    """(seconds from the word to the last answer, what each process said)."""
    command = [sys.executable, "-m", "benchmarks.many", work.__name__, peer, str(folder)]
    processes = [
        subprocess.Popen(
            [*command, str(number), *["--quick"] * quick],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(2 if quick else PROCESSES)
    ]
    try:
        if any(process.stdout.readline() != "ready\n" for process in processes if process.stdout):
            raise Wrong("a process could not begin")
        began = perf_counter()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [process.stdout.readline() for process in processes if process.stdout]
        seconds = perf_counter() - began
        if any(process.wait() for process in processes):
            raise Wrong("a process failed")
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    return seconds, [json.loads(line) for line in said]


def _counted(log: Path, keys: int) -> None:
    runs = Counter(log.read_text().split())
    if len(runs) != keys or set(runs.values()) != {1}:
        raise Wrong(f"{sum(runs.values())} computations instead of {keys}")


def asked_one(peer: str, folder: Path, quick: bool) -> Figures:
    seconds, _ = together(one, peer, folder, quick)
    _counted(folder / "log", 1)
    return {"": seconds}


def asked_all(peer: str, folder: Path, quick: bool) -> Figures:
    figures = {}
    for name, work in {"same order": flights, "own orders": shuffled}.items():
        below = folder / work.__name__
        below.mkdir()
        figures[name], _ = together(work, peer, below, quick)
        _counted(below / "log", 5 if quick else KEYS)
    return figures


def filled(peer: str, folder: Path, quick: bool) -> Figures:
    """What all processes find."""
    check(reach_5, peers.MISSES[peer](reach_5, folder), range(WARM), stored=False)
    return {}


def throughput(peer: str, folder: Path, quick: bool) -> Figures:
    """Seconds a call of all processes together, and of the slowest hundredth of the stores the fastest."""
    figures = {}
    for work in (hits, mixed):
        _, said = together(work, peer, folder, quick)
        figures[work.__name__] = 1 / sum(one["calls"] / one["seconds"] for one in said)
    stores = sorted(seconds for one in said for seconds in one["stores"])
    return figures | {"p99 of a store": stores[int(len(stores) * 0.99)]}


WORK = {work.__name__: work for work in (one, flights, shuffled, hits, mixed)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many", description="One of many processes.")
    parser.add_argument("work", choices=WORK)
    parser.add_argument("peer")
    parser.add_argument("folder", type=Path)
    parser.add_argument("number", type=int)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    run = WORK[options.work](options.peer, options.folder, options.number, options.quick)
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(run()), flush=True)


if __name__ == "__main__":
    main()
