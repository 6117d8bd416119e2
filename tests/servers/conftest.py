"""Real servers for the storages that speak to one, each started by the test that asks for it and stopped after it.

A server that can't be had is a skip that says what is missing and how to get it. With MEMO_TEST_SERVERS=required in the
environment, as .ci/run sets it, that is a failure: no storage passes there without its server.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from _postgres import PostgresServer

REQUIRED = os.environ.get("MEMO_TEST_SERVERS", "") == "required"
_BIRTH = 20.0  # seconds that a server may take to answer for the first time


def not_here(what: str) -> NoReturn:
    """A skip, or where servers are required a failure: ``what`` says what is missing and what installs it."""
    if REQUIRED:
        pytest.fail(f"MEMO_TEST_SERVERS=required, but {what}", pytrace=False)
    pytest.skip(what)


def needs(module: str) -> Any:
    """A module of the extra "servers"."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        not_here(f'{module} can\'t be imported ({error}): pip install "memo-persist[servers]"')


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A process of our own that answers on a port of 127.0.0.1; what it holds is gone with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    def start(self, *options: str) -> None:
        """Start it, empty, and wait until it answers. ``options``: more of the command line."""
        log = self._folder / "server.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*self.command(), *options], stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        until = time.monotonic() + _BIRTH
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > until:
                self.kill()
                raise RuntimeError(f"{self.command()[0]} did not start: {log.read_text()[-2000:]}")
            time.sleep(0.01)

    @property
    def running(self) -> bool:
        return self._process is not None

    def command(self) -> list[str]:
        raise NotImplementedError

    def answers(self) -> bool:
        raise NotImplementedError

    def kill(self) -> None:
        """SIGKILL: connections break, new ones are refused. A stopped one dies as well."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self, *options: str) -> None:
        """Killed if need be, and started again on the same port, empty."""
        self.kill()
        self.start(*options)

    def stop(self) -> None:
        """SIGSTOP: connections stand and new ones are taken, but nothing answers."""
        self._signal(signal.SIGSTOP)

    def cont(self) -> None:
        """SIGCONT: what was asked meanwhile is answered now."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None, "the server does not run"
        self._process.send_signal(number)


class RedisServer(Server):
    """A redis-server: nothing on disk. ``start`` takes its options, as ``"--maxmemory", "2mb"``."""

    def __init__(self, program: str, folder: Path) -> None:
        super().__init__(folder)
        self._program = program

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> Any:
        """A connection of the test's own, for looking at and changing what the server holds."""
        import redis

        return redis.Redis(host="127.0.0.1", port=self.port)

    def command(self) -> list[str]:
        return [
            self._program, "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._folder), "--save", "",
            "--appendonly", "no", "--daemonize", "no",
        ]  # fmt: skip

    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


class S3Server(Server):
    """moto: S3 over real HTTP. Whoever is to be refused needs ``denying`` for the next start."""

    denying = False

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        # the first request of all is let through: the one that makes the bucket
        shell = ["env", "INITIAL_NO_AUTH_ACTION_COUNT=1"] if self.denying else []
        return [*shell, sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.endpoint}/moto-api/", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def client(self) -> Any:
        """A connection of the test's own, for making buckets and looking at what is in them."""
        import boto3

        return boto3.client("s3", endpoint_url=self.endpoint, aws_access_key_id="test", aws_secret_access_key="test")

    def bucket(self, name: str = "bucket") -> str:
        """A new bucket; its name."""
        self.client().create_bucket(Bucket=name)
        return name


@pytest.fixture
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A running, empty redis-server of this test alone."""
    needs("redis")
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        not_here("there is no redis-server on the PATH: apt-get install redis-server")
    server = RedisServer(program, tmp_path_factory.mktemp("redis"))
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="module")
def _moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    for module in ("s3fs", "boto3", "moto.server"):
        needs(module)
    server = S3Server(tmp_path_factory.mktemp("s3"))
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def s3_server(_moto: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """A running S3 server, and an environment in which ``s3://`` means that one; tests share it, so take a new bucket."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    settings = {
        "AWS_ENDPOINT_URL": _moto.endpoint, "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    if not _moto.running:
        _moto.start()
    return _moto


@pytest.fixture(scope="session")
def _postgres() -> Iterator[PostgresServer]:
    needs("psycopg")
    needs("sqlalchemy")
    try:
        server = PostgresServer()
    except ModuleNotFoundError as error:
        not_here(f'there is no PostgreSQL ({error}): pip install "memo-persist[servers]"')
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def postgres_server(_postgres: PostgresServer) -> PostgresServer:
    """A running PostgreSQL, the same for all tests of this process: each keeps to tables of its own, and may kill it."""
    _postgres.revive()
    return _postgres


class _Delay:
    """Between client and server: each answer comes ``seconds`` later; ``trips`` counts questions, each after an answer."""

    def __init__(self, port: int, seconds: float) -> None:
        self._target, self._seconds, self.trips = port, seconds, 0
        self._guard = threading.Lock()
        self.socket = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            asking = [False]
            threading.Thread(target=self._pump, args=(client, server, 0, asking, True), daemon=True).start()
            threading.Thread(
                target=self._pump, args=(server, client, self._seconds, asking, False), daemon=True
            ).start()

    def _pump(
        self, source: socket.socket, target: socket.socket, seconds: float, asking: list[bool], asks: bool
    ) -> None:
        try:
            while data := source.recv(1 << 16):
                with self._guard:
                    self.trips += asks and not asking[0]
                    asking[0] = asks
                time.sleep(seconds)  # this is the slowness itself
                target.sendall(data)
        except OSError:
            pass
        finally:
            target.close()


@pytest.fixture
def delayed() -> Iterator[Callable[[int, float], int]]:
    """A port of 127.0.0.1 behind which a server on another port answers so many seconds later."""
    delays: list[_Delay] = []

    def delay(port: int, seconds: float) -> int:
        delays.append(_Delay(port, seconds))
        return int(delays[-1].socket.getsockname()[1])

    yield delay
    for each in delays:
        each.socket.close()


@pytest.fixture
def counted() -> Iterator[Callable[[int], _Delay]]:
    """What counts the trips to a port of 127.0.0.1: its own ``socket`` leads there."""
    counters: list[_Delay] = []

    def count(port: int) -> _Delay:
        counters.append(_Delay(port, 0.0))
        return counters[-1]

    yield count
    for each in counters:
        each.socket.close()
