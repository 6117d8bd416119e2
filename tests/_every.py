"""Every command with every option of it, and every cache flag, each as a process: one story, told of each storage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import warm

PROGRAM = """
    import argparse
    import memo.flags
    from memo import persist

    @persist(tags=["daily"])
    def price(n):
        print("price", n)
        return n {operator} 2

    @persist(tags=["daily"], ttl={ttl})
    def quote(n):
        print("quote", n)
        return n {operator} 2

    @persist
    def slow(n):
        print("slow", n, flush=True)
        return input()

    if __name__ == "__main__":
        parser = argparse.ArgumentParser()
        parser.add_argument("calls", nargs="*")
        memo.flags.add_arguments(parser)
        for call in parser.parse_args().calls:
            name, _, n = call.partition("=")
            if n:
                globals()[name](int(n))
            else:
                globals()[name].is_cached(0)
"""
OLD, NEW = {"operator": "*", "ttl": None}, {"operator": "+ 0 +", "ttl": "'1ms'"}

#: all filters, for the one result that all of them select: expired, of old code, ...
EVERY = [
    "--function", "shop.quote", "--tag", "daily", "--older-than", "0s", "--larger-than", "1B", "--expired", "--stale-code",
    "--argument", "n=7",
]  # fmt: skip


class Shop:
    """A program in ``folder`` and the cache at ``place`` that it fills; what was run is noted.

    ``fresh``: each process is a new Python; else it is forked from one. Both tell where an encoding is left open.
    """

    def __init__(self, folder: Path, place: str, fresh: bool = True) -> None:
        self.folder, self.place, self.fresh = folder, place, fresh
        self.driven: list[list[str]] = []
        self.edit(OLD)

    def edit(self, code: dict[str, Any]) -> None:
        (self.folder / "shop.py").write_text(textwrap.dedent(PROGRAM.format(**code)), encoding="utf-8")

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MEMO_", "XDG_"))}
        # text is UTF-8 whatever the locale says, so each file that is opened has to say so
        encodings = {"PYTHONWARNDEFAULTENCODING": "1", "PYTHONWARNINGS": "error::EncodingWarning"}
        return {**kept, **encodings, "HOME": str(self.folder), "COLUMNS": "100"}

    def start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *command], cwd=self.folder, env=self._environment(), text=True, encoding="utf-8",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *words: str, status: int = 0) -> tuple[list[str], str]:
        """The program, at the place by its own flag: what it computed, and what it said."""
        self.driven.append([*words, "--cache-dir"])
        found, out, said = self._ended("shop.py", "--cache-dir", self.place, *words)
        assert found == status, (words, out, said)
        return out.splitlines(), said

    def memo(self, *words: object, code: int | tuple[int, ...] = 0) -> str:
        """A command about the place: what it printed."""
        status, out, said = self._command(words)
        assert status in (code if isinstance(code, tuple) else (code,)), (words, out, said)
        return out

    def refused(self, *words: object) -> str:
        """A command that fails: what it said."""
        status, out, said = self._command(words)
        assert (status, out) == (2, ""), (words, out, said)
        return said

    def _command(self, words: tuple[object, ...]) -> tuple[int, str, str]:
        self.driven.append([str(word) for word in words])
        found, out, said = self._ended("-m", "memo", "-l", self.place, *self.driven[-1])
        assert "Traceback" not in said
        return found, out, said

    def _ended(self, *command: str) -> tuple[int, str, str]:
        if not self.fresh:
            done = warm.run(command, cwd=self.folder, env=self._environment(), timeout=120)
            return done.returncode, done.stdout, done.stderr
        with self.start(*command) as process:
            out, said = process.communicate(timeout=120)
        return process.returncode, out, said

    def told(self, *words: object, code: int | tuple[int, ...] = 0) -> Any:
        return json.loads(self.memo(*words, "--json", code=code))


def every_command(folder: Path, place: str, fresh: bool = True) -> None:
    shop = Shop(folder, place, fresh)
    memo, told = shop.memo, shop.told
    file, other = folder / "results.memo", f"files:{folder}/other"
    assert shop.run("price=1", "price=2", "price=3", "quote=7")[0] == ["price 1", "price 2", "price 3", "quote 7"]
    shop.edit(NEW)
    assert shop.run("price", "quote")[0] == []  # now it is known that there is other code
    computing = shop.start("-m", "memo", "-l", place, "run", "shop.py", "slow=1")
    assert computing.stdout is not None
    assert computing.stdout.readline() == "slow 1\n"

    # looking
    assert told("where")["entries"] == 4
    assert [line.split()[:2] for line in memo("ls").splitlines()][1:] == [["shop.quote", "1"], ["shop.price", "3"]]
    (entry,) = told("ls", "--entries", *EVERY)
    assert told("show", entry["key"])["arguments"] == {"n": "7"}
    assert told("stats", *EVERY)["entries"] == 1
    (why,) = told("why", "shop.price", "--last", "1")
    assert (why["function"], why["cause"]) == ("shop.price", "argument")
    assert told("verify", "--repair")["findings"] == []
    told("doctor", code=(0, 1))  # it may find something in the Python that runs this
    assert "complete" in memo("completion", "bash")

    # under the code as it is now
    assert "would adopt 1 result" in memo("adopt", "quote", "--dry-run", *EVERY)
    assert "would adopt 3 results" in memo("adopt", "quote", "--from", "price", "--dry-run")
    memo("adopt", "price", "--yes")
    assert shop.run("price=1", "price=3")[0] == []
    assert "took back 3" in memo("adopt", "price", "--undo", "--yes")

    # to other places and back
    assert told("export", file, "--dry-run", *EVERY)[0]["entries"] == 1
    assert told("push", other, "--dry-run", *EVERY)[0]["entries"] == 1
    assert told("export", file)[0]["entries"] == told("push", other)[0]["entries"] == 4
    assert "would clear 1 entry" in memo("clear", "--dry-run", *EVERY)
    assert "cleared 1 entry" in memo("clear", "--yes", *EVERY)
    taken = told("pull", other, "--trust")[0]
    assert (taken["entries"], taken["same"]) == (1, 3)
    assert "cleared 4 entries" in memo("clear", "shop.[pq]*", "--yes")
    for command, source in (("import", file), ("pull", other), ("merge", file)):
        # the texts of arguments stay where the calls were computed, so nothing is found by them
        assert told(command, source, "--trust", "--dry-run", *EVERY, code=1)[0]["entries"] == 0
    assert told("import", file, "--trust")[0]["entries"] == 4
    assert [(one["entries"], one["same"]) for one in told("merge", file, other, "--trust")] == [(0, 4), (0, 4)]

    # taking away
    assert "would prune 1 entry" in memo("prune", "--dry-run", *EVERY)
    assert "pruned 4 entries" in memo("prune", "--yes")
    memo("compact", "--dry-run", code=(0, 1))  # not every storage has room to give back
    memo("compact", code=(0, 1))

    # programs
    until = time.monotonic() + 60
    while not (running := told("ps", code=(0, 1))):
        assert time.monotonic() < until
    assert [(one["function"], one["pid"]) for one in running] == [("shop.slow", computing.pid)]
    _, said = computing.communicate("done\n", timeout=120)
    assert computing.returncode == 0, said
    assert memo("run", "shop.py", "slow=1", "price=4") == "price 4\n"
    assert memo("run", "-m", "shop", "price=4") == ""
    covers(shop)


def covers(shop: Shop) -> None:
    """Whether each command was run, and with each of its options; those of ``memo run`` are flags of programs, too."""
    from memo.cli import COMMANDS, _completion
    from memo.flags._options import flags

    known = _completion.known()
    assert {words[0] for words in shop.driven} >= set(COMMANDS)
    everywhere = {"-h", "-l", *(flag.option for flag in flags("cache"))}
    for command in COMMANDS:
        given = {word for words in shop.driven if words[0] == command for word in words}
        for spellings, _, _ in known[command].options:
            assert given & set(spellings) or everywhere & set(spellings), f"memo {command} {spellings} is not run"


def every_flag(folder: Path, place: str, fresh: bool = True) -> None:
    from memo.flags._options import flags

    shop = Shop(folder, place, fresh)
    both, calls = ["price 1", "quote 1"], ["price=1", "quote=1"]
    assert shop.run(*calls)[0] == both
    for given, computed in (
        ([], []),
        (["--cache-clear"], both),
        (["--cache-refresh", "--cache-function", "*.quote"], ["quote 1"]),
        (["--no-cache"], both),
        (["--cache-readonly", "price=2"], ["price 2"]),
        (["--cache-readonly", "price=2"], ["price 2"]),
        (["--cache-only"], []),
    ):
        assert shop.run(*given, *calls)[0] == computed, given
    assert "no stored result for shop.price(n=2)" in shop.run("--cache-only", "price=2", status=1)[1]
    assert "memo: 2 hits, 0 misses" in shop.run("--cache-stats", *calls)[1]
    assert {word for words in shop.driven for word in words} >= {flag.option for flag in flags("cache")}
