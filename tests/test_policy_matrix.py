"""Every policy on every storage, across a restart, under a handed-in clock.

The first phase runs in a process of its own; the later ones are the next runs of the program, at a later time. Storages
that need a server are in tests/servers.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import warm

from memo import Cache, Env, Package, Value, _opened, events
from memo.policies import IdleTtl, Ttl, Version, any_of
from memo.storages import Memory

START = 2e9
CLOCKS = (START, START + 60, START + 400)  #: of the three phases
MEMORY = Memory()


class Failing(Exception):
    pass


class Run:
    """One phase: a clock, and functions that note their calls."""

    def __init__(self, location: str, storage: str | None, folder: Path, phase: int) -> None:
        self.location, self.storage, self.folder, self.phase, self.now = location, storage, folder, phase, CLOCKS[phase]
        self.computed: dict[str, list[str]] = {}
        self.fails = False
        self.caches: list[Cache] = []

    def cache(self, **options: Any) -> Cache:
        """One without options, as a program has; each with options is a new one."""
        if not options and self.caches:
            return self.caches[0]
        if self.storage == "memory":
            cache = Cache(storage=MEMORY, **options)
        elif self.storage is None:
            cache = Cache(self.location, trust_folder=True, **options)
        else:
            cache = Cache(self.location, storage=self.storage, **options)
        cache.clock = lambda: self.now
        if not options:
            self.caches.append(cache)
        return cache

    def function(self, name: str, body: Callable[[str], Any] | None = None, **options: Any) -> Any:
        noted = self.computed.setdefault(name, [])

        def f(x: str) -> Any:
            noted.append(x)
            if self.fails:
                raise Failing(x)
            return [x, self.phase] if body is None else body(x)

        return self.cache().persist(f, name=name, code="off", version=1, **options)

    # -- what each policy is asked in each phase; the last phase is where its result is no longer good

    def simple(self) -> None:
        file = self.folder / "data.txt"
        if self.phase != 1:
            file.write_text(f"phase {self.phase}")
        env = {"MEMO_TEST_REGION": "south"} if self.phase == 2 else {}
        os.environ.pop("MEMO_TEST_REGION", None)
        os.environ.update(env)
        late = self.phase == 2
        for name, options in {
            "ttl": {"ttl": 100},
            "ttl of the value": {"ttl": lambda value: 100},
            "ttl until": {"ttl": datetime.fromtimestamp(START + 100)},
            "idle_ttl": {"idle_ttl": 100},
            "validate": {"validate": lambda head: head.created == self.now or not late},
            "file": {"depends": [file]},
            "env": {"depends": [Env("MEMO_TEST_REGION"), Package("pytest")]},
            "value": {"depends": [Value(lambda: {"late": late})]},
            "policy": {"policy": Version("2" if late else "1")},
            "any_of": {"policy": any_of(Ttl(100), IdleTtl(50))},
        }.items():
            f = self.function(name, **options)
            assert f("a") == f("a") == ["a", 2 if late else 0], name
        os.environ.pop("MEMO_TEST_REGION", None)

    def choosing(self) -> None:
        f = self.function("store_if", store_if=lambda value: value[0] != "skip")
        f("a"), f("skip"), f("skip")
        self.function("too quick", store_if_slower_than="1h")("a")
        self.function("slow enough", store_if_slower_than=0)("a")

    def raising(self) -> None:
        def raises(x: str) -> Any:
            raise KeyError(x)

        f = self.function("exceptions", raises, cache_exceptions={KeyError: 100})
        for _ in "12":
            with pytest.raises(KeyError):
                f("a")

    def tagged(self) -> None:
        if self.phase == 2:
            self.cache().clear(tag="red")
        self.function("tags", tags=["red", "round"])("a")
        self.function("tags of the result", tags=lambda arguments, result: [arguments["x"], "red"])("a")
        self.function("other tag", tags=["round"])("a")

    def made_from(self) -> None:
        equal = self.function("equal", lambda x: [x], ttl=100)
        other = self.function("other", ttl=100)
        self.function("made from equal", lambda x: equal(x), depends=[equal])("a")
        self.function("made from other", lambda x: other(x), depends=[other])("a")

    def late(self) -> None:
        f = self.function("stale_while_revalidate", ttl=100, stale_while_revalidate=1000)
        assert f("a") == ["a", 0], "also when it has expired"
        for thread in threading.enumerate():
            if thread.name == "memo-renew":
                thread.join(60)
        assert f("a") == ["a", 2 if self.phase == 2 else 0]
        g = self.function("stale_if_error", ttl=100, stale_if_error=1000)
        self.fails = self.phase == 2
        assert g("a") == ["a", 0]
        self.fails = False

    def all(self) -> dict[str, list[str]]:
        for step in (self.simple, self.choosing, self.raising, self.tagged, self.made_from, self.late):
            step()
        return self.computed


ONCE = (["a"], [], ["a"])  #: stored, still good, no longer good
EXPECTED = {
    **dict.fromkeys(
        [
            "ttl", "ttl of the value", "idle_ttl", "validate", "file", "env", "value", "policy", "any_of",
            "exceptions", "tags", "tags of the result", "equal", "other", "made from other", "stale_while_revalidate",
            "stale_if_error",
        ],
        ONCE,
    ),
    "ttl until": (["a"], [], ["a", "a"]),  # that moment has passed
    "store_if": (["a", "skip", "skip"], ["skip", "skip"], ["skip", "skip"]),
    "too quick": (["a"], ["a"], ["a"]),
    "slow enough": (["a"], [], []),
    "other tag": (["a"], [], []),
    "made from equal": (["a"], [], []),
}  # fmt: skip


def check(location: str, storage: str | None, folder: Path) -> None:
    """The three phases, the first one in another process where there is anything that outlives one."""
    events._warned.clear()
    if storage == "memory":
        MEMORY.__init__()  # type: ignore[misc]
    for phase in range(3):
        if phase == 0 and storage != "memory":
            done = warm.run([__file__, location, storage or "", str(folder)], timeout=300, loaded="pytest")
            assert (done.returncode, done.stderr) == (0, "")
            computed = json.loads(done.stdout)
        else:
            computed = Run(location, storage, folder, phase).all()
        assert computed == {name: phases[phase] for name, phases in EXPECTED.items()}, f"phase {phase}"


def check_limits(location: str, storage: str | None, folder: Path, evict: str) -> None:
    """What a limit holds after a restart, and what goes then."""
    events._warned.clear()
    if storage == "memory":
        MEMORY.__init__()  # type: ignore[misc]
    for phase in range(2):
        run = Run(location, storage, folder, phase)
        cache = run.cache(max_entries=4, evict=evict)
        f = cache.persist(lambda x: [x], name="limited", code="off", version=1)
        if phase and evict == "lru":
            assert [f.is_cached(x) for x in range(6)] == [False, False, True, True, True, True]
        for x in range(6, 8) if phase else range(6):
            run.now += 1
            f(x)
            assert f.cache_info().currsize <= 4
        assert f.cache_info().currsize == 4
        if (opened := cache.ready()) is not None and opened.room is not None:
            opened.room.flush()
            _opened._rooms.pop(opened.place, None)  # the next run begins with what is written
        if evict == "lru":
            assert f.is_cached(7 if phase else 5)


STORAGES = ["sqlite", "files", "shelve", "memory", "sql"]


def located(folder: Path, storage: str) -> tuple[str, str | None]:
    folder.mkdir(exist_ok=True)
    if storage == "sql":
        pytest.importorskip("sqlalchemy")
        return f"sqlite+pysqlite:///{folder / 'results.db'}", None
    return str(folder / "place"), storage


@pytest.mark.parametrize("storage", STORAGES)
def test_policies(tmp_path: Path, storage: str) -> None:
    check(*located(tmp_path / "here", storage), tmp_path)


@pytest.mark.parametrize("evict", ["lru", "cost"])
@pytest.mark.parametrize("storage", STORAGES)
def test_limits(tmp_path: Path, storage: str, evict: str) -> None:
    check_limits(*located(tmp_path / "here", storage), tmp_path, evict)


if __name__ == "__main__":
    where, kind, beside = sys.argv[1:]
    print(json.dumps(Run(where, kind or None, Path(beside), 0).all()))
