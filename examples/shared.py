"""One job on two machines that share a cache: what the first has computed, the second finds.

    python examples/shared.py redis                    # on a redis-server that it starts, and stops afterwards
    python examples/shared.py redis redis://host:6379  # on yours
    python examples/shared.py s3                       # on an S3 server that it starts (pip install "moto[server]")
    python examples/shared.py s3 s3://bucket/folder    # in your bucket

Each machine is a process of its own, with nothing in common with the other but the server: the second is started when
the first is done, and told only the server's address and the key that entries are signed with. Entries are pickles, and
whoever can write to a server could put another one there; with a key in MEMO_SIGNING_KEY only what was signed is loaded.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.request import urlopen

from memo import Cache
from memo.storages import Tiered

BLOCKS = [(start, start + 25_000) for start in range(1, 200_000, 25_000)]


def longest(start: int, stop: int) -> tuple[int, int]:
    """The number from ``start`` up to ``stop`` whose Collatz sequence has the most steps, and how many."""
    best = (0, start)
    for number in range(start, stop):
        value, steps = number, 0
        while value != 1:
            value = value // 2 if value % 2 == 0 else 3 * value + 1
            steps += 1
        best = max(best, (steps, number))
    return best[1], best[0]


def machine(cache: Cache) -> None:
    """The whole job of one machine."""
    persisted = cache.persist(longest)
    began = time.perf_counter()
    number, steps = max((persisted(*block) for block in BLOCKS), key=lambda found: found[1])
    seconds = time.perf_counter() - began
    counts = persisted.cache_info()
    print(f"{counts.misses} computed, {counts.hits} found in {seconds:.2f} s: {number:,} takes {steps} steps to 1")


# ------------------------------------------------------------------------------------------------------- the caches


def redis_cache(url: str, folder: Path) -> Cache:
    """A server in memory needs nothing near at hand: ``folder``, which is the machine's own, stays empty."""
    return Cache(url)


def s3_cache(url: str, folder: Path) -> Cache:
    """A bucket is far away: what a machine has found there once, it has in a folder of its own from then on."""
    return Cache(storage=Tiered(folder / "near", url))


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """A redis-server that listens on a socket in ``folder`` and keeps nothing on disk; its URL."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        sys.exit("there is no redis-server here: install one (apt-get install redis-server), or give the URL of yours")
    path = folder / "socket"
    command = [program, "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            while not path.exists() and server.poll() is None:
                time.sleep(0.01)
            yield f"unix://{path}"
        finally:
            server.terminate()


@contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """A server that speaks S3 and keeps everything in memory, with one bucket in it; its URL."""
    try:
        import moto.server  # noqa: F401
        from s3fs import S3FileSystem
    except ImportError as error:
        sys.exit(f'{error}: pip install "memo-persist[s3]" "moto[server]", or give the URL of your bucket')
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    os.environ.update(
        AWS_ENDPOINT_URL=address, AWS_ACCESS_KEY_ID="me", AWS_SECRET_ACCESS_KEY="secret", AWS_DEFAULT_REGION="us-east-1"
    )
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            while server.poll() is None:
                try:
                    urlopen(f"{address}/moto-api/", timeout=1).close()
                    break
                except OSError:
                    time.sleep(0.05)
            S3FileSystem(skip_instance_cache=True).mkdir("bucket")
            yield "s3://bucket/results"
        finally:
            server.terminate()


#: what makes a machine's cache, and what starts a server where none is given
KINDS: dict[str, tuple[Callable[[str, Path], Cache], Callable[[Path], AbstractContextManager[str]]]] = {
    "redis": (redis_cache, redis_server),
    "s3": (s3_cache, s3_server),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("url", nargs="?", help="of a server that runs already")
    parser.add_argument("--machine", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    make_cache, start_server = KINDS[arguments.kind]
    if arguments.machine:
        machine(make_cache(arguments.url, arguments.machine))
        return
    os.environ.setdefault("MEMO_SIGNING_KEY", secrets.token_hex())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.url:
            two_machines(arguments.kind, arguments.url, folder)
        else:
            with start_server(folder) as url:
                two_machines(arguments.kind, url, folder)


def two_machines(kind: str, url: str, folder: Path) -> None:
    for name in ("first machine", "second machine"):
        print(f"{name}: ", end="", flush=True)
        own = folder / name
        own.mkdir(mode=0o700)
        subprocess.run([sys.executable, __file__, kind, url, "--machine", str(own)], check=True)


if __name__ == "__main__":
    main()
