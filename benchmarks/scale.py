"""A thousand calls looked up in one trip, and a million entries in one place: ``python -m benchmarks.scale``.

Not a row of the table, since filling a place takes a minute or more. What is compared lies side by side and is measured in
turns; a ratio is of medians, since whatever else the machine does comes and goes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter
from typing import Any

from . import peers
from .functions import reach_5

SCALE = 0.5
FEW = 100  #: the large place has so many times the entries of the one that it is compared with
BATCH = 1_000
Line = tuple[str, float, str]


def filled(folder: Path, entries: int) -> Any:
    """A function whose results for 0 to ``entries`` are stored, with nothing of them in memory."""
    folder.mkdir(exist_ok=True)
    cached: Any = peers.memo(reach_5, folder)
    for n in range(entries):
        cached(n, scale=SCALE)
    return peers.memo(reach_5, folder)


def seconds(work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return perf_counter() - started


def passes(cached: Any, numbers: list[int]) -> float:
    """Of one call; all of them must be hits."""
    taken = seconds(lambda: [cached(n, scale=SCALE) for n in numbers]) / len(numbers)
    return taken


def batch(parent: Path) -> Iterator[Line]:
    from memo import Cache

    folder = parent / "batch"
    filled(folder, BATCH)
    storage, calls = Cache(folder).storage, [(n, SCALE) for n in range(BATCH)]
    names = [item.name for item in storage.scan() if item.name.count("/") == 2]
    read_many: Any = storage.read_many  # type: ignore[attr-defined]
    yield (
        "look-up of 1,000 in one trip, each",
        median(seconds(lambda: read_many(names)) for _ in range(30)) / BATCH,
        "s",
    )
    new = [median(seconds(lambda: peers.memo(reach_5, folder).starmap(calls)) for _ in range(1)) for _ in range(10)]  # type: ignore[attr-defined]
    yield "starmap of 1,000 stored calls, each", median(new) / BATCH, "s"


def entries(parent: Path, many: int) -> Iterator[Line]:
    random, places, few = Random(7), {}, max(many // FEW, 50)
    for count in (few, many):
        taken = seconds(lambda count=count: places.update({count: filled(parent / f"of-{count}", count)}))  # type: ignore[misc]
        print(f"{count:,} entries stored in {taken:.0f} s", file=sys.stderr)
    first: dict[int, list[float]] = {few: [], many: []}
    again: dict[int, list[float]] = {few: [], many: []}
    for _ in range(40):
        for count, cached in places.items():
            numbers = [random.randrange(count) for _ in range(50)]
            first[count].append(passes(cached, numbers))
            again[count].append(min(passes(cached, numbers) for _ in range(5)))
    for what, found in (("repeated hit", again), ("first touch, by chance", first)):
        yield f"{what}, beside {few:,} entries", median(found[many]) / median(found[few]), "x"
    folder = parent / f"of-{many}"
    for cached in places.values():
        if cached.cache_info().misses:
            raise peers.Wrong("what was stored was computed again")
    size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file() and file.suffix != ".db-shm")
    yield "on the disk with the log of writes, each", size / many, "bytes"
    yield "cache_info", seconds(places[many].cache_info), "s"
    for command in ("stats", "ls"):
        run = [sys.executable, "-m", "memo", command, "-l", str(folder)]
        yield f"memo {command}", seconds(lambda run=run: subprocess.run(run, check=True, capture_output=True)), "s"  # type: ignore[misc]
    yield "cache_clear", seconds(places[many].cache_clear), "s"
    stores = [seconds(lambda n=n: places[many](n, scale=SCALE)) for n in range(50)]  # type: ignore[misc]
    yield "a miss while the cleared are purged, median", median(stores), "s"
    yield "a miss while the cleared are purged, longest", max(stores), "s"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000, help="default 1,000,000; 0: leave these out")
    parser.add_argument("--folder", type=Path, help="measure on this disk; default: the one of temporary files")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, too")
    options = parser.parse_args()
    lines: list[Line] = []
    with tempfile.TemporaryDirectory(prefix="memo-scale-", dir=options.folder) as folder:
        parts = [batch(Path(folder))]
        parts += [entries(Path(folder), options.entries)] * bool(options.entries)
        for part in parts:
            for what, figure, unit in part:
                lines.append((what, figure, unit))
                shown = f"{figure * 1e6:,.2f} us" if unit == "s" and figure < 0.01 else f"{figure:,.2f} {unit}"
                print(f"{what:<78} {shown}", flush=True)
    if options.json:
        options.json.write_text(
            json.dumps([dict(zip(("what", "figure", "unit"), line, strict=True)) for line in lines])
        )


if __name__ == "__main__":
    main()
