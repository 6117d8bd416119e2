"""Small results of plain arguments: a repeated hit, the first touch of a key in a process, a miss.

Each step runs in a process of its own. Figures are seconds a call: the median over many passes, since a pass may meet a
flush, a checkpoint or another process; the loop itself (some 20 ns) is in all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

from . import peers
from .peers import Wrong

SCALE = 0.5


def numbers_of(quick: bool) -> range:
    return range(100 if quick else 500)


def passes(function: peers.Function, batches: Iterable[Sequence[int]]) -> float:
    """The median over the batches of the seconds that one call of a batch took."""
    seconds = []
    for numbers in batches:
        started = perf_counter()
        for n in numbers:
            function(n, scale=SCALE)
        seconds.append((perf_counter() - started) / len(numbers))
    return median(seconds)


def repeated(numbers: Sequence[int], seconds: float) -> Iterable[Sequence[int]]:
    """The same batch again and again, for some seconds."""
    end = perf_counter() + seconds
    while perf_counter() < end:
        yield numbers


def split(numbers: Sequence[int], length: int) -> Iterable[Sequence[int]]:
    return (numbers[start : start + length] for start in range(0, len(numbers), length))


def check(function: peers.Function, cached: peers.Function, numbers: Sequence[int], *, stored: bool) -> None:
    """Each result must be what ``function`` returns, computed by an earlier process if ``stored``, else by this one."""
    for n in numbers:
        result, expected = dict(cached(n, scale=SCALE)), function(n, scale=SCALE)  # lru_cache gives out what it keeps
        process = result.pop("process")
        if (process != expected.pop("process")) is not stored:
            raise Wrong(f"{n} was {'computed again' if stored else 'not computed'}")
        if result != expected:
            raise Wrong(f"{n} gave {result} instead of {expected}")


def fill(function: peers.Function, peer: str, folder: Path, quick: bool) -> dict[str, float]:
    """What the steps below find. lru_cache finds nothing of another process: its first call there fills it."""
    if peer != "lru_cache":
        check(function, peers.MISSES[peer](function, folder), numbers_of(quick), stored=False)
    return {}


def hit(function: peers.Function, peer: str, folder: Path, quick: bool) -> dict[str, float]:
    cached, numbers = peers.HITS[peer](function, folder), range(100)
    check(function, cached, numbers, stored=True)
    seconds = passes(cached, repeated(numbers, 0.02 if quick else 0.4))
    check(function, cached, numbers, stored=True)
    return {"": seconds}


def first(function: peers.Function, peer: str, folder: Path, quick: bool) -> dict[str, float]:
    """Each key once; the first batch, which opens the cache, is not counted."""
    cached, numbers = peers.HITS[peer](function, folder), numbers_of(quick)
    check(function, cached, numbers[:50], stored=True)
    seconds = passes(cached, split(numbers[50:], 50))
    check(function, cached, numbers, stored=True)
    return {"": seconds}


def miss(function: peers.Function, peer: str, folder: Path, quick: bool) -> dict[str, float]:
    """Beyond the function: what its bare call takes is subtracted. The first batch, which makes the cache, is not counted."""
    cached, numbers = peers.MISSES[peer](function, folder), numbers_of(quick)
    check(function, cached, numbers[:50], stored=False)
    bare = passes(function, split(numbers, 50))
    return {"": passes(cached, split(numbers[50:], 50)) - bare}


def stored(function: peers.Function, peer: str, folder: Path, quick: bool) -> dict[str, float]:
    """Nothing is measured: every result of ``miss`` must be there."""
    check(function, peers.HITS[peer](function, folder), numbers_of(quick), stored=True)
    return {}
