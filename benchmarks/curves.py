"""How figures grow: the first touch of a key over the number of entries, storing and loading over the size of a result.

Each point is measured in a process of its own, on keys that no process has touched before. The entries of a larger point
are added to those of a smaller one. A peer ends where it would take too long to get there; its curve then is shorter.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

from . import peers
from .functions import reach_5
from .peers import Wrong
from .small import SCALE, check

ROOT = Path(__file__).resolve().parent.parent
FLOAT = 8  # bytes
COUNTS = (100, 1_000, 10_000, 100_000)
SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)  # bytes
PEERS = ("memo", *peers.PACKAGES, "sqlite3", "files")
#: seconds for which one peer may be filled with entries, and of one process
PATIENCE, TIMEOUT = 60.0, 300

#: curve -> peer -> (at, seconds) of each point
Curves = dict[str, dict[str, list[tuple[int, float]]]]


# ------------------------------------------------------------------------------------------------------- the steps


def filled(peer: str, folder: Path, begin: int, end: int) -> dict[str, float]:
    """Stores the results of ``begin`` to ``end``; gives up after a while."""
    cached, started = peers.MISSES[peer](reach_5, folder), perf_counter()
    for n in range(begin, end):
        cached(n, scale=SCALE)
        if perf_counter() - started > PATIENCE:
            return {"at": n}
    return {}


def touched(peer: str, folder: Path, begin: int, end: int) -> dict[str, float]:
    """Seconds of a hit on a key that this process has not asked for; all over what is stored. Some to warm up before."""
    cached, seconds = peers.HITS[peer](reach_5, folder), []
    numbers = [n * 7919 % end for n in range(min(end, 400))]  # a prime: each once
    check(reach_5, cached, numbers[:50], stored=True)
    for n in numbers[50:]:
        started = perf_counter()
        result = cached(n, scale=SCALE)
        seconds.append(perf_counter() - started)
        if result["process"] == os.getpid() or result["n"] != n:
            raise Wrong(f"{n} was computed again, or is another")
    return {"first touch": median(seconds)}


def stored(peer: str, folder: Path, begin: int, end: int) -> dict[str, float]:
    """Seconds of a call that stores ``end`` bytes, beyond the function."""
    from .arrays import block

    cached, floats, seconds = peers.MISSES[peer](block, folder), end // FLOAT, []
    cached(end * 10, scale=50.0)
    for n in range(end * 10 + 1, end * 10 + 4):
        started = perf_counter()
        block(n, float(floats))
        bare = perf_counter() - started
        started = perf_counter()
        cached(n, scale=float(floats))
        seconds.append(perf_counter() - started - bare)
    return {"stored": max(median(seconds), 1e-7)}


def loaded(peer: str, folder: Path, begin: int, end: int) -> dict[str, float]:
    """Seconds of the first hit on them in a process."""
    from .arrays import block

    cached, floats, seconds = peers.HITS[peer](block, folder), end // FLOAT, []
    cached(end * 10, scale=50.0)
    for n in range(end * 10 + 1, end * 10 + 4):
        started = perf_counter()
        values = cached(n, scale=float(floats))
        seconds.append(perf_counter() - started)
        if values[0] == os.getpid() or len(values) != floats or values[-1] != n + floats - 1:
            raise Wrong(f"{n} was computed again, or is another")
    return {"loaded": median(seconds)}


STEPS: dict[str, Callable[[str, Path, int, int], dict[str, float]]] = {
    step.__name__: step for step in (filled, touched, stored, loaded)
}

# ------------------------------------------------------------------------------------------------------- the curves


def measured(
    parent: Path | None, environment: dict[str, str], quick: bool, only: list[str] | None = None
) -> tuple[Curves, list[str]]:
    """All curves, of these peers, and in words why some end early."""
    curves: Curves = {"first touch": {}, "stored": {}, "loaded": {}}
    early = []
    for points, step in ((COUNTS[: 2 if quick else None], _entries), (SIZES[: 2 if quick else None], _sizes)):
        peers = [peer for peer in PEERS if not only or peer in only]
        with tempfile.TemporaryDirectory(prefix="memo-benchmarks-", dir=parent) as above:
            for before, at in zip((0, *points), points, strict=False):
                print(f"{step.__name__[1:]}: {at:,}", file=sys.stderr)
                for peer in list(peers):  # side by side at each point: the machine may do something else at the next
                    folder = Path(above, peer)
                    folder.mkdir(exist_ok=True)
                    try:
                        for name, seconds in step(before, at, partial(_run, peer, folder, environment)).items():
                            curves[name].setdefault(peer, []).append((at, seconds))
                    except Wrong as error:
                        early.append(f"{peer}: {error}")
                        peers.remove(peer)
    return curves, early


def _entries(before: int, at: int, run: Callable[..., dict[str, float]]) -> dict[str, float]:
    found = run("filled", before, at)
    if found:
        raise Wrong(f"{found['at']:,.0f} of {at:,} entries after {PATIENCE:.0f} s, and no more")
    return run("touched", before, at)


def _sizes(before: int, at: int, run: Callable[..., dict[str, float]]) -> dict[str, float]:
    return run("stored", 0, at) | run("loaded", 0, at)


def _run(peer: str, folder: Path, environment: dict[str, str], step: str, begin: int, end: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.curves", step, peer, str(folder), str(begin), str(end)]
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        raise Wrong(f"{step} at {end} took more than {TIMEOUT} s")
    if done.returncode:
        raise Wrong(f"{step} at {end}: {(done.stderr.strip() or 'failed').splitlines()[-1]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.curves", description="One point of one peer.")
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("begin", type=int)
    parser.add_argument("end", type=int)
    options = parser.parse_args()
    print(json.dumps(STEPS[options.step](options.peer, options.folder, options.begin, options.end)))


if __name__ == "__main__":
    main()
