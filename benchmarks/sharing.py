"""What it takes to send a cache along: ``python -m benchmarks.sharing``.

Each figure is compared with a raw sqlite3 that inserts (or selects) as many rows of the same bytes, one transaction a row,
in the same run. A second push of an unchanged cache must transfer nothing; that is checked, not timed.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from memo import Cache


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def raw(folder: Path, entries: int) -> tuple[float, float]:
    """Seconds in which sqlite3 alone inserts and selects the same."""
    db = sqlite3.connect(folder / "raw.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=NORMAL")
    db.execute("CREATE TABLE entries(k TEXT PRIMARY KEY, record BLOB)")
    body = bytes(70)

    def insert() -> None:
        for number in range(entries):
            db.execute("INSERT INTO entries VALUES(?,?)", (f"shop.price-0123456789/0123456789/{number:040x}", body))

    def select() -> None:
        for number in range(entries):
            key = f"shop.price-0123456789/0123456789/{number:040x}"
            db.execute("SELECT record FROM entries WHERE k=?", (key,)).fetchone()

    took = timed(insert)[0], timed(select)[0]
    db.close()
    return took


def measure(folder: Path, entries: int, storage: str) -> dict[str, float]:
    """Seconds of each step."""
    source = Cache(folder / "source", storage=storage)
    price = source.persist(name="shop.price", version=1, code="off")(lambda n: n)
    for number in range(entries):
        price(number)
    target = Cache(folder / "target", storage=storage)
    insert, select = raw(folder, entries)
    found = {"raw insert": insert, "raw select": select}
    found["export"], _ = timed(lambda: source.export(folder / "results.memo"))
    found["import"], copied = timed(lambda: target.import_(folder / "results.memo", trust=True))
    assert copied.entries == entries
    found["push unchanged"], copied = timed(lambda: source.push(folder / "target"))
    assert (copied.entries, copied.bytes, copied.same) == (0, 0, entries)
    found["open the file, first hit"], _ = timed(
        lambda: Cache(folder / "results.memo", trust_folder=True).persist(
            price.__wrapped__, name="shop.price", version=1, code="off"
        )(0)
    )
    return found


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sharing", description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--storage", choices=("sqlite", "files"), default="sqlite")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="memo-benchmarks-") as folder:
        found = measure(Path(folder), arguments.entries, arguments.storage)
    if arguments.json:
        print(json.dumps(found))
        return
    print(f"{arguments.entries:,} entries, {arguments.storage}")
    for step, seconds in found.items():
        ratio = "" if step.startswith("raw") else f"  {seconds / found['raw insert']:.2f}x the raw inserts"
        print(f"{step:<25} {seconds:8.2f} s{ratio}")


if __name__ == "__main__":
    main()
