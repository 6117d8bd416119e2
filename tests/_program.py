"""A small program with persisted functions, run as people run theirs: as a process of its own, again and again."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

import warm

#: the beginning of a program: two functions that say when they compute
FUNCTIONS = """
    from memo import persist

    @persist
    def square(n):
        print("square", n)
        return n * n

    @persist
    def cube(n):
        print("cube", n)
        return n ** 3
"""


class Program:
    """``program.py`` in a folder, which stores in ``place`` beside it where no flag says otherwise.

    ``command``: what runs it, after the interpreter. ``loaded``: modules that are there already, since they load slowly.
    """

    def __init__(self, folder: Path, text: str, *command: str, loaded: str = "") -> None:
        self.folder, self.place = folder, folder / "place"
        self.command, self.loaded = command or ("program.py",), loaded
        (folder / "program.py").write_text(textwrap.dedent(text), encoding="utf-8")

    def __call__(self, *words: str, status: int = 0, **environment: str) -> tuple[list[str], str]:
        """What it printed (a line is a computation), and what it said on standard error."""
        own = {"MEMO_DIR": str(self.place), "TMPDIR": str(self.folder), "NO_COLOR": "1", "COLUMNS": "120"}
        environ = {**os.environ, **own, **environment}
        done = warm.run([*self.command, *words], env=environ, cwd=self.folder, loaded=self.loaded)
        assert done.returncode == status, done.stderr
        return done.stdout.splitlines(), done.stderr
