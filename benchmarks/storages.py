"""The same things done with every storage: ``python -m benchmarks --storages``.

A storage more is a line more in KINDS. All of it goes through a persisted function, so what is compared is what a user
gets. Each storage has its steps in processes of its own; what a step stored, the next one must find.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

from .functions import reach_5
from .report import seconds, table
from .small import SCALE, passes, repeated, split

ROOT = Path(__file__).resolve().parent.parent


class Kind(NamedTuple):
    """``location`` is what `Cache` gets, with the folder of the measurement filled in."""

    location: str
    options: dict[str, Any] = {}  # noqa: RUF012 (never changed)
    entries: int = 100_000  #: how many small results are stored; fewer where that would take minutes
    full: int = 1 << 30  #: bytes among which a single result is deleted; 0: not measured
    kept: bool = True  #: whether another process finds what one stored


KINDS = {
    "sqlite": Kind("sqlite:{folder}"),
    "files": Kind("files:{folder}"),
    "shelve": Kind("shelve:{folder}", entries=300, full=0),  # dbm.dumb reads its whole index at each opening
    "hdf5": Kind("hdf5:{folder}", entries=5_000, full=0),  # a file is made by a library in about a millisecond
    "pytables": Kind("pytables:{folder}", entries=5_000, full=0),
    "memory": Kind("", {"storage": "memory"}, full=0, kept=False),
}

VALUE = 20_000_000  # bytes
PIECE = 60_000  # bytes; as large as a row of the default storage gets


def noise(number: int, size: int) -> bytes:
    return number.to_bytes(8, "little") * (size // 8)


def small(n: int) -> dict[str, float]:
    return {"n": n, "half": n / 2}


def opened(kind: str, folder: Path, function: Callable[..., Any]) -> Any:
    from memo import Cache

    of = KINDS[kind]
    location = {"location": of.location.format(folder=folder / "place")} if of.location else {}
    return Cache(**location, **of.options, strict=True).persist(function)


# ------------------------------------------------------------------------------------------------------- the steps


def calls(kind: str, folder: Path, quick: bool) -> dict[str, float]:
    """Seconds of a miss beyond the function, and of a hit in the same process."""
    cached, numbers = opened(kind, folder, reach_5), range(100 if quick else 500)
    cached(-1, scale=SCALE)
    bare = passes(reach_5, split(numbers, 50))
    miss = passes(lambda n, scale: cached(n, scale=scale), split(numbers, 50)) - bare
    hit = passes(cached, repeated(numbers[:100], 0.02 if quick else 0.3))
    return {"miss": miss, "hit": hit} | _found(cached, len(numbers) + 1)


def again(kind: str, folder: Path, quick: bool) -> dict[str, float]:
    """Seconds of the first hit on a key in a process."""
    if not KINDS[kind].kept:
        return {}
    cached, numbers = opened(kind, folder, reach_5), range(100 if quick else 500)
    for n in numbers[:50]:
        cached(n, scale=SCALE)
    first = passes(cached, split(numbers[50:], 50))
    return {"first touch": first} | _found(cached, 0)


def large(kind: str, folder: Path, quick: bool) -> dict[str, float]:
    """Seconds of storing 20 MB."""
    cached, size = opened(kind, folder, noise), VALUE // (20 if quick else 1)
    cached(0, 800)
    started = perf_counter()
    noise(1, size)
    bare = perf_counter() - started
    started = perf_counter()
    cached(1, size)
    figures = {"20 MB stored": perf_counter() - started - bare}
    if not KINDS[kind].kept:
        figures |= _loaded(cached, size)
    return figures


def large_again(kind: str, folder: Path, quick: bool) -> dict[str, float]:
    """Seconds of loading 20 MB in a process that has not seen them."""
    if not KINDS[kind].kept:
        return {}
    cached = opened(kind, folder, noise)
    cached(0, 800)
    return _loaded(cached, VALUE // (20 if quick else 1)) | _found(cached, 0)


def _loaded(cached: Any, size: int) -> dict[str, float]:
    started = perf_counter()
    value = cached(1, size)
    taken = perf_counter() - started
    return {"20 MB loaded": taken} | ({} if value == noise(1, size) else {"errors": 1})


def many(kind: str, folder: Path, quick: bool) -> dict[str, float]:
    """Many small entries: seconds each, errors, bytes and inodes each."""
    count = KINDS[kind].entries // (100 if quick else 1)
    before = _room(folder)
    cached = opened(kind, folder, small)
    started = perf_counter()
    errors = sum(_fails(cached, n) for n in range(count))
    figures = {"stored": float(count), "each": (perf_counter() - started) / count, "errors": errors}
    if not KINDS[kind].kept:
        return figures | {"errors": errors + count - cached.cache_info().currsize}
    return figures | {"before": before[0], "inodes before": before[1]}


def many_again(kind: str, folder: Path, quick: bool) -> dict[str, float]:
    """Everything that `many` stored is found, and right; then how much room it takes."""
    if not KINDS[kind].kept:
        return {}
    count = KINDS[kind].entries // (100 if quick else 1)
    cached = opened(kind, folder, small)
    errors = sum(_fails(cached, n) for n in range(count))
    return {"errors": errors + cached.cache_info().misses}


def _fails(cached: Any, n: int) -> bool:
    try:
        return bool(cached(n) != {"n": n, "half": n / 2})
    except Exception:
        return True


def delete(kind: str, folder: Path, quick: bool) -> dict[str, float]:
    """Seconds that a single delete takes beside 1 GB of others: the worst of some."""
    count = KINDS[kind].full // PIECE // (100 if quick else 1)
    if not count:
        return {}
    cached = opened(kind, folder, noise)
    for n in range(count):
        cached(n, PIECE)
    taken, errors = [], 0
    for n in range(0, count, count // 20 or 1):
        started = perf_counter()
        errors += not cached.delete(n, PIECE)
        taken.append(perf_counter() - started)
        errors += cached.is_cached(n, PIECE)
    return {"delete": median(taken), "worst delete": max(taken), "errors": errors}


def _found(cached: Any, misses: int) -> dict[str, float]:
    return {"errors": abs(cached.cache_info().misses - misses)}


def _room(folder: Path) -> tuple[int, int]:
    """Bytes of all files, and how many files and folders."""
    total = inodes = 0
    for above, folders, files in os.walk(folder):
        inodes += len(folders) + len(files)
        total += sum(os.lstat(os.path.join(above, file)).st_size for file in files)
    return total, inodes


STEPS: dict[str, Callable[[str, Path, bool], dict[str, float]]] = {
    step.__name__: step for step in (calls, again, large, large_again, many, many_again, delete)
}

# ------------------------------------------------------------------------------------------------------- the table

COLUMNS = ("hit", "first touch", "miss", "20 MB stored", "20 MB loaded", "delete", "worst delete", "each")


def measured(kind: str, parent: Path | None, environment: dict[str, str], quick: bool) -> dict[str, Any]:
    """All figures of one storage, in a fresh folder; "problem" where a step failed."""
    figures: dict[str, Any] = {"errors": 0}
    with tempfile.TemporaryDirectory(prefix="memo-benchmarks-", dir=parent) as folder:
        for step in STEPS:
            command = [sys.executable, "-m", "benchmarks.storages", kind, folder, step, *["--quick"] * quick]
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
            if done.returncode:
                last = (done.stderr.strip() or f"status {done.returncode}").splitlines()[-1]
                figures.setdefault("problem", f"{kind}, {step}: {last}")
                continue
            found = json.loads(done.stdout)
            figures["errors"] += found.pop("errors", 0)
            figures |= found
            if step == "many_again" and KINDS[kind].kept and "stored" in figures:
                size, inodes = _room(Path(folder))
                figures["bytes an entry"] = (size - figures.pop("before")) / figures["stored"]
                figures["inodes an entry"] = (inodes - figures.pop("inodes before")) / figures["stored"]
    return figures


def lines(found: dict[str, dict[str, Any]]) -> Iterator[str]:
    """The table; for storages whose entries lie in files of the folder with the room that they take."""
    head = ("", *COLUMNS, "of", "bytes", "inodes", "errors")
    rows = [head]
    for kind, figures in found.items():
        times = (seconds(figures.get(column)) for column in COLUMNS)
        room = [f"{figures[name]:.3g}" if name in figures else "-" for name in ("bytes an entry", "inodes an entry")]
        rows.append((kind, *times, f"{figures.get('stored', 0):.0f}", *room, f"{figures['errors']:.0f}"))
    return table(rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.storages", description="Run one step of one storage.")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    print(json.dumps(STEPS[options.step](options.kind, options.folder, options.quick)))


if __name__ == "__main__":
    main()
