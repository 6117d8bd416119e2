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
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

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


class RedisServer:
    """A redis-server of our own: 127.0.0.1 only, nothing on disk, whatever it holds is gone with its process."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program, self._folder = program, folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> Any:
        """A connection of the test's own, for looking at and changing what the server holds."""
        import redis

        return redis.Redis(host="127.0.0.1", port=self.port)

    def start(self, *options: str) -> None:
        """Start it, empty, and wait until it answers. ``options``: of redis-server, as ``"--maxmemory", "2mb"``."""
        command = [
            self._program, "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._folder), "--save", "",
            "--appendonly", "no", "--daemonize", "no", "--logfile", str(self._folder / "redis.log"), *options,
        ]  # fmt: skip
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        until = time.monotonic() + _BIRTH
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                self.kill()
                raise RuntimeError(f"redis-server did not start: {(self._folder / 'redis.log').read_text()[-2000:]}")
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

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
