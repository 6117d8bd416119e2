"""Stores that several clients share, under load: each with memo, and with nothing but its own client.

    python -m benchmarks.shared                      # every store that can be had here
    python -m benchmarks.shared redis --clients 8 --calls 5000

Client processes start together and make their calls: nine of ten ask for one of ``WARM`` results that are there, one of
ten for a new one, which is stored. An error ends a client (``strict=True``), and what was stored is looked up afterwards,
each result by its value: it is a failure if one is lost. The raw client does the least that could be called the same: one
get and loads, or the function, dumps and one set. It has no key of code and arguments, no check of what it reads, no
clearing, and nobody waits for anybody.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import random
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WARM = 500
PATIENCE = 30.0  #: seconds that a trip to the bucket may take: eight clients at once wait for one thread of moto

Lookup = Callable[[int], Any]


def payload(x: int) -> list[int]:
    """About a kilobyte, made in no time."""
    return [x + n * n for n in range(200)]


def warm(calls: int) -> int:
    """How many results are there before: not more than a client makes calls, so that a short run is short."""
    return min(WARM, calls)


def keys(client: int, calls: int) -> list[int]:
    """What a client asks for; new ones are its own."""
    rng = random.Random(client)
    return [(client + 1) * 1_000_000 + n if rng.random() < 0.1 else rng.randrange(warm(calls)) for n in range(calls)]


# ------------------------------------------------------------------------------------------------------ the stores


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """A redis-server that keeps nothing on disk; the URL of its socket."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        raise FileNotFoundError("there is no redis-server on the PATH: apt-get install redis-server")
    socket = folder / "socket"
    command = [program, "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            while not socket.exists() and server.poll() is None:
                time.sleep(0.01)
            yield f"unix://{socket}"
        finally:
            server.terminate()


def raw_redis(location: str) -> Lookup:
    from redis import Redis

    client: Any = Redis.from_url(location)

    def lookup(x: int) -> Any:
        found = client.get(f"raw:{x}")
        if found is not None:
            return pickle.loads(found)
        value = payload(x)
        client.set(f"raw:{x}", pickle.dumps(value, 5))
        return value

    return lookup


@contextmanager
def diskcache(folder: Path) -> Iterator[str]:
    yield f"diskcache:{folder / 'place'}"


def raw_diskcache(location: str) -> Lookup:
    from diskcache import Cache

    cache = Cache(location.removeprefix("diskcache:") + "-raw", eviction_policy="none", cull_limit=0)

    def lookup(x: int) -> Any:
        value = cache.get(x)
        if value is None:
            value = payload(x)
            cache.set(x, value)
        return value

    return lookup


@contextmanager
def s3(folder: Path) -> Iterator[str]:
    """A bucket of moto, which answers some hundred requests a second, whoever asks."""
    import moto.server  # noqa: F401
    import s3fs  # noqa: F401

    from examples.shared import s3_server

    with s3_server(folder) as url:
        yield url


def raw_s3(location: str) -> Lookup:
    import s3fs

    bucket: Any = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False, max_concurrency=1)
    folder = location.rpartition("s3://")[2]

    def lookup(x: int) -> Any:
        try:
            return pickle.loads(bucket.cat_file(f"{folder}-raw/{x}"))
        except FileNotFoundError:
            value = payload(x)
            bucket.pipe_file(f"{folder}-raw/{x}", pickle.dumps(value, 5))
            return value

    return lookup


@contextmanager
def tiered(folder: Path) -> Iterator[str]:
    """The same bucket behind a folder that the clients share, as the processes of one machine do."""
    with s3(folder) as url:
        yield f"tiered:{folder / 'near'}:{url}"


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """The server of the tests, as durable as it is delivered: every store waits for the disk."""
    sys.path.insert(0, str(ROOT / "tests" / "servers"))
    from _postgres import PostgresServer

    server = PostgresServer()
    try:
        server.start("fsync=on", "autovacuum=on", "shared_buffers=128MB")
        yield server.url
    finally:
        server.remove()


def raw_postgresql(location: str) -> Lookup:
    import psycopg

    client: Any = psycopg.connect(location, autocommit=True)
    try:
        client.execute("CREATE TABLE raw (x bigint PRIMARY KEY, value bytea NOT NULL)")
    except psycopg.errors.DuplicateTable:
        pass

    def lookup(x: int) -> Any:
        row = client.execute("SELECT value FROM raw WHERE x = %s", (x,), binary=True).fetchone()
        if row is not None:
            return pickle.loads(row[0])
        value = payload(x)
        client.execute("INSERT INTO raw VALUES (%s, %s) ON CONFLICT DO NOTHING", (x, pickle.dumps(value, 5)))
        return value

    return lookup


@contextmanager
def sqlite(folder: Path) -> Iterator[str]:
    """SQLite through SQLAlchemy: what this storage costs without a server."""
    import sqlalchemy  # noqa: F401

    yield f"sqlite:///{folder / 'entries.db'}"


def raw_sqlite(location: str) -> Lookup:
    import sqlite3

    client = sqlite3.connect(location.removeprefix("sqlite:///") + ".raw", isolation_level=None, timeout=60)
    client.execute("CREATE TABLE IF NOT EXISTS raw (x INTEGER PRIMARY KEY, value BLOB NOT NULL)")

    def lookup(x: int) -> Any:
        row = client.execute("SELECT value FROM raw WHERE x = ?", (x,)).fetchone()
        if row is not None:
            return pickle.loads(row[0])
        value = payload(x)
        client.execute("INSERT OR IGNORE INTO raw VALUES (?, ?)", (x, pickle.dumps(value, 5)))
        return value

    return lookup


#: name -> (what starts it and gives its location, its own client); a store more is a line more
STORES: dict[str, tuple[Callable[[Path], AbstractContextManager[str]], Callable[[str], Lookup]]] = {
    "redis": (redis, raw_redis),
    "postgresql": (postgresql, raw_postgresql),
    "sqlite": (sqlite, raw_sqlite),
    "diskcache": (diskcache, raw_diskcache),
    "s3": (s3, raw_s3),
    "tiered": (tiered, raw_s3),
}


def memo_client(location: str) -> Lookup:
    from memo import Cache, CostlyCacheWarning
    from memo.storages import Tiered, open_url

    warnings.simplefilter("ignore", CostlyCacheWarning)  # the function takes no time, so that the store shows

    # strict: whatever the cache would only warn of ends the client; a store that has no hurry is given time
    if location.startswith("tiered:"):
        _, near, far = location.split(":", 2)
        cache = Cache(storage=Tiered(near, open_url(far, timeout=PATIENCE)), strict=True)
    elif "s3://" in location:
        cache = Cache(storage=open_url(location, timeout=PATIENCE), strict=True)
    else:
        cache = Cache(location, strict=True, trust_folder=True)
    lookup: Lookup = cache.persist(payload, name="benchmarks.shared.payload")
    return lookup


def opened(store: str, how: str, location: str) -> Lookup:
    return memo_client(location) if how == "memo" else STORES[store][1](location)


# ------------------------------------------------------------------------------------------------------ the clients


def client(store: str, how: str, location: str, number: int, calls: int) -> None:
    """One process: says that it is ready, waits for the others, and prints the seconds of each call."""
    lookup = opened(store, how, location)
    lookup(0)
    print("ready", flush=True)
    sys.stdin.readline()
    hits: list[float] = []
    stores: list[float] = []
    for x in keys(number, calls):
        began = time.perf_counter()
        value = lookup(x)
        seconds = time.perf_counter() - began
        (hits if x < WARM else stores).append(seconds)
        if value != payload(x):
            sys.exit(f"a wrong value for {x}")
    print(json.dumps([hits, stores]), flush=True)


def load(store: str, how: str, location: str, clients: int, calls: int) -> tuple[float, list[float], list[float]]:
    """(seconds from the start of the first to the end of the last, those of each hit, of each store)."""
    lookup = opened(store, how, location)
    for x in range(warm(calls)):
        lookup(x)
    command = [sys.executable, "-m", "benchmarks.shared", store, "--calls", str(calls)]
    processes = [
        subprocess.Popen(
            [*command, "--client", how, location, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for number in range(clients)
    ]
    for process in processes:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise SystemExit(f"{store}, {how}: a client could not begin")
    began = time.perf_counter()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.stdout.readline() for process in processes if process.stdout is not None]
    seconds = time.perf_counter() - began
    if any(process.wait() for process in processes):
        raise SystemExit(f"{store}, {how}: a client failed")
    hits: list[float] = []
    stores: list[float] = []
    for line in map(json.loads, said):
        hits += line[0]
        stores += line[1]
    if how == "memo":
        persisted: Any = lookup
        asked = {x for number in range(clients) for x in keys(number, calls)} | set(range(warm(calls)))
        lost = sum(persisted.get_or(None, x) != payload(x) for x in asked)
        if lost:
            raise SystemExit(f"{store}: {lost} of {len(asked)} results are lost")
    return seconds, hits, stores


def line_of(how: str, calls: int, seconds: float, hits: list[float], stores: list[float]) -> str:
    def at(values: list[float], part: float) -> str:
        return f"{sorted(values)[int(part * (len(values) - 1))] * 1e6:9,.0f}" if values else f"{'-':>9}"

    figures = (at(hits, 0.5), at(hits, 0.99), at(stores, 0.5), at(stores, 0.99))
    return f"  {how:6}{calls / seconds:12,.0f}" + "".join(figures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("stores", nargs="*", metavar="STORE", help=", ".join(STORES))
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--calls", type=int, default=5000, help="of each client")
    parser.add_argument("--client", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := set(arguments.stores) - set(STORES):
        parser.error(f"no store is called {unknown.pop()!r}: there are {', '.join(STORES)}")
    if arguments.client:
        how, location, number = arguments.client
        client(arguments.stores[0], how, location, int(number), arguments.calls)
        return
    calls = arguments.clients * arguments.calls
    print(f"{arguments.clients} clients x {arguments.calls:,} calls, 90% found, 10% new, on {os.cpu_count()} cores")
    print(f"{'':8}{'calls/s':>12}{'hit µs':>9}{'p99':>9}{'store µs':>9}{'p99':>9}")
    for store in arguments.stores or STORES:
        with tempfile.TemporaryDirectory() as folder:
            try:
                with STORES[store][0](Path(folder)) as location:
                    print(store)
                    for how in ("memo", "raw"):
                        print(line_of(how, calls, *load(store, how, location, arguments.clients, arguments.calls)))
            except (ImportError, FileNotFoundError) as error:
                print(f"{store}: left out, {error}")
                if arguments.stores:
                    raise SystemExit(1)


if __name__ == "__main__":
    main()
