"""Programs of the tests, each in a process of its own that need not load Python and memo again.

One Python that has loaded memo waits; for each program it is forked, and the child runs it as Python would run a script,
a module (``-m``) or a text (``-c``). What a test can ask of such a process is all that a process does after its start.
What a start itself gives is not among it: options of the interpreter and seeds of hashes (``run`` starts a new Python
where they are asked for), and which modules are there: tests of what is loaded start a new Python themselves.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import pkgutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
LENGTH = struct.Struct("!i")
#: what only a new Python heeds
AT_THE_START = (
    "MEMO_LOG", "PYTHONHASHSEED", "PYTHONHOME", "PYTHONIOENCODING", "PYTHONMALLOC", "PYTHONOPTIMIZE", "TZ",
)  # fmt: skip


def run(
    command: Sequence[str | os.PathLike[str]],
    *,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    input: str = "",
    timeout: float = 100,
    check: bool = False,
    loaded: str = "",
) -> subprocess.CompletedProcess[str]:
    """As ``subprocess.run([sys.executable, *command], capture_output=True, encoding="utf-8")`` does it.

    ``loaded``: names of modules that are there already, too, for programs that need some that load slowly.
    """
    words = [os.fspath(word) for word in command]
    environ = dict(os.environ if env is None else env)
    where = os.path.abspath(cwd or os.curdir)
    if not hasattr(os, "fork") or _understood(words) is None or any(environ.get(name) for name in AT_THE_START):
        return subprocess.run(
            [sys.executable, *words], cwd=where, env=environ, input=input, timeout=timeout, check=check,
            capture_output=True, encoding="utf-8",
        )  # fmt: skip
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        stdin.write(input.encode())
        stdin.seek(0)
        code = _waiting(loaded, bool(environ.get("PYTHONWARNDEFAULTENCODING"))).asked(
            words, where, environ, [file.fileno() for file in (stdin, stdout, stderr)], timeout
        )
        texts = []
        for file in (stdout, stderr):
            file.seek(0)
            texts.append(file.read().decode().replace("\r\n", "\n"))
    done = subprocess.CompletedProcess([sys.executable, *words], code, *texts)
    if check:
        done.check_returncode()
    return done


def _understood(words: list[str]) -> tuple[list[str], bool, list[str]] | None:
    """(filters of warnings, whether -B, the program and its arguments); None if there is more before the program."""
    filters, no_bytecode, at = [], False, 0
    while at < len(words) and words[at].startswith("-") and words[at] not in ("-c", "-m"):
        if words[at] == "-B":
            no_bytecode = True
        elif words[at] == "-W":
            at += 1
            filters.append(words[at])
        else:
            return None
        at += 1
    return (filters, no_bytecode, words[at:]) if at < len(words) else None


# ------------------------------------------------------------------------------------------- the one that waits


class _Waiting:
    def __init__(self, loaded: str, encodings: bool) -> None:
        self.ours, theirs = socket.socketpair()
        environ = {name: text for name, text in os.environ.items() if not name.startswith(("PYTHON", "MEMO_"))}
        command = [sys.executable, "-B", *["-X", "warn_default_encoding"] * encodings]
        command += [__file__, str(theirs.fileno()), *loaded.split()]
        self.process = subprocess.Popen(command, env=environ, cwd="/", pass_fds=[theirs.fileno()])
        theirs.close()
        self.owner = os.getpid()
        atexit.register(self.close)

    def close(self) -> None:
        """It ends when nobody can ask it any more."""
        if self.owner == os.getpid():
            self.ours.close()
            self.process.wait()

    def asked(self, words: list[str], cwd: str, environ: dict[str, str], files: list[int], timeout: float) -> int:
        message = json.dumps([words, cwd, environ]).encode("utf-8", "surrogateescape")
        socket.send_fds(self.ours, [LENGTH.pack(len(message))], files)
        self.ours.sendall(message)
        pid = self._number()
        self.ours.settimeout(timeout)
        try:
            return self._number()
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            self.ours.settimeout(None)
            self._number()
            raise subprocess.TimeoutExpired(words, timeout) from None
        finally:
            self.ours.settimeout(None)

    def _number(self) -> int:
        found = self.ours.recv(LENGTH.size, socket.MSG_WAITALL)
        if len(found) < LENGTH.size:
            raise RuntimeError(f"the Python that is forked for programs ended with {self.process.wait()}")
        return int(LENGTH.unpack(found)[0])


_all: dict[tuple[str, bool], _Waiting] = {}


def _waiting(loaded: str, encodings: bool) -> _Waiting:
    """``encodings``: one that warns where a text is opened without saying in which encoding."""
    found = _all.get((loaded, encodings))
    if found is None or found.owner != os.getpid():
        found = _all[loaded, encodings] = _Waiting(loaded, encodings)
    return found


# ------------------------------------------------------------------------------------------------ its own side


def _load(others: list[str]) -> None:
    """All of memo but what needs an extra, and what its parts load when they are first used."""
    import argparse, concurrent.futures, http, inspect, logging, multiprocessing, pickle, runpy, shutil, sqlite3  # noqa: E401, F401, I001
    from importlib import import_module, metadata  # noqa: F401

    import blake3  # noqa: F401

    import memo

    for found in pkgutil.walk_packages(memo.__path__, "memo."):
        if not found.name.startswith("memo.testing") and not found.name.endswith("__main__"):
            try:
                import_module(found.name)
            except ImportError:
                pass
    for name in others:
        import_module(name)


def _serve(connection: socket.socket) -> tuple[list[str], str, dict[str, str]]:
    """For ever in the process that waits; each child comes out of it with its program."""
    while True:
        start, files, _, _ = socket.recv_fds(connection, LENGTH.size, 3)
        if not start:
            os._exit(0)
        message = connection.recv(LENGTH.unpack(start)[0], socket.MSG_WAITALL)
        child = os.fork()
        if not child:
            connection.close()
            for number, file in enumerate(files):
                os.dup2(file, number)
                os.close(file)
            words, cwd, environ = json.loads(message.decode("utf-8", "surrogateescape"))
            return words, cwd, environ
        for file in files:
            os.close(file)
        connection.sendall(LENGTH.pack(child))
        connection.sendall(LENGTH.pack(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))


def _become(words: list[str], cwd: str, environ: dict[str, str], paths: list[str]) -> Any:
    """What a start would have made of the process; gives what runs the program."""
    import runpy
    import warnings
    from types import ModuleType

    understood = _understood(words)
    assert understood is not None
    filters, no_bytecode, (program, *arguments) = understood
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    sys.dont_write_bytecode = no_bytecode or bool(environ.get("PYTHONDONTWRITEBYTECODE"))
    sys.warnoptions[:] = [*filter(None, environ.get("PYTHONWARNINGS", "").split(",")), *filters]
    warnings._processoptions(sys.warnoptions)  # type: ignore[attr-defined]
    sys.stdin, sys.stdout = open(0, encoding="utf-8"), open(1, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: SIM115
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]
    main = sys.modules["__main__"] = ModuleType("__main__")
    sys.modules["__mp_main__"] = main  # as multiprocessing has it
    main.__dict__["__builtins__"] = __builtins__
    sys.path[:] = [*filter(None, environ.get("PYTHONPATH", "").split(os.pathsep)), *paths]
    if program == "-m":
        sys.path.insert(0, os.getcwd())
        sys.argv[:] = ["-m", *arguments[1:]]
        return lambda: runpy._run_module_as_main(arguments[0])  # type: ignore[attr-defined]
    if program == "-c":
        sys.path.insert(0, "")
        sys.argv[:] = ["-c", *arguments[1:]]
        return lambda: exec(compile(arguments[0], "<string>", "exec", dont_inherit=True), main.__dict__)
    sys.path.insert(0, os.path.dirname(os.path.realpath(program)))
    sys.argv[:] = [program, *arguments]
    file = main.__file__ = os.path.abspath(program)
    main.__dict__["__cached__"] = None
    return lambda: exec(compile(Path(file).read_bytes(), file, "exec", dont_inherit=True), main.__dict__)


def _until_it_ends(program: Any) -> int:
    try:
        program()
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        print(error.code, file=sys.stderr)
        return 1
    except BaseException as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename in (__file__, "<frozen runpy>"):
            trace = trace.tb_next
        error.__traceback__ = trace
        sys.excepthook(type(error), error, trace)
        return 1
    return 0


def _main() -> NoReturn:
    connection = socket.socket(fileno=int(sys.argv[1]))
    paths = sys.path[1:]
    sys.path.insert(0, str(ROOT))
    _load(sys.argv[2:])
    gc.collect()
    gc.freeze()
    code = _until_it_ends(_become(*_serve(connection), paths))
    # as Python ends, but for taking apart what is loaded, which would last longer than most programs here
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:  # a program may have taken it away
            stream.flush()
    os._exit(code & 0xFF)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _main()
