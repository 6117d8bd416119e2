"""A Cache against a dict: calls, sets, deletes, clears, tags, ages, modes, new processes and crashes, in any order."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from places import Persisted, forget

import memo
from memo import Cache, MemoWarning, NotCachedError

TTL = 100.0
KEYS = st.integers(0, 4)


def place() -> str:
    """In memory where that can be had: each step may wait for a slow disk."""
    return tempfile.mkdtemp(prefix="memo-machine-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)


class Machine(RuleBasedStateMachine):
    """``model``: what is stored, by key: (value, when). Each computation gives another value, so old ones are recognised."""

    kind = ""

    @initialize()
    def begin(self) -> None:
        self.folder = place()
        self.now, self.computed = 1_000_000.0, 0
        self.model: dict[int, tuple[Any, float]] = {}
        self.shared = Cache(storage="memory") if self.kind == "memory" else None
        self.open()

    def open(self) -> None:
        cache = self.shared or Cache(self.folder, storage=self.kind)
        cache.clock = lambda: self.now
        calls: list[int] = []

        def f(x: int) -> tuple[int, int, bytes]:
            self.computed += 1
            return x, self.computed, b"x" * (70_000 if x == 4 else 10)

        wrapped = cache.persist(
            f,
            name="machine.f",
            code="off",
            version=1,
            ttl=TTL,
            tags=lambda arguments, result: [f"tag{arguments['x'] % 2}"],
        )
        self.one = Persisted(wrapped, calls, cache)

    def good(self, x: int) -> Any:
        stored = self.model.get(x)
        return stored[0] if stored is not None and self.now - stored[1] < TTL else None

    @rule(x=KEYS)
    def call(self, x: int) -> None:
        before, there = self.computed, self.good(x)
        value = self.one.f(x)
        if there is not None:
            assert value == there
            assert self.computed == before
        else:
            assert self.computed == before + 1
            assert value[:2] == (x, self.computed)
            self.model[x] = value, self.now

    @rule(x=KEYS)
    def look(self, x: int) -> None:
        assert self.one.f.is_cached(x) == (self.good(x) is not None)
        assert self.one.f.get_or(None, x) == self.good(x)

    @rule(x=KEYS, value=st.integers())
    def set(self, x: int, value: int) -> None:
        self.one.f.set(value, x)
        self.model[x] = value, self.now

    @rule(x=KEYS)
    def delete(self, x: int) -> None:
        self.one.f.delete(x)
        self.model.pop(x, None)

    @rule(x=KEYS)
    def refresh(self, x: int) -> None:
        value = self.one.f.refresh(x)
        assert value[:2] == (x, self.computed)
        self.model[x] = value, self.now

    @rule()
    def clear(self) -> None:
        self.one.f.cache_clear()
        self.model.clear()

    @rule(tag=st.integers(0, 1))
    def clear_tag(self, tag: int) -> None:
        self.one.cache.clear(tag=f"tag{tag}")
        self.model = {x: stored for x, stored in self.model.items() if x % 2 != tag}

    @rule()
    def prune(self) -> None:
        self.one.cache.prune()

    @rule(seconds=st.sampled_from([1.0, 30.0, 99.0, 101.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(x=KEYS, mode=st.sampled_from(["off", "read-only", "only-cached", "refresh"]))
    def in_a_mode(self, x: int, mode: str) -> None:
        before, there = self.computed, self.good(x)
        with memo.mode(mode):
            try:
                value = self.one.f(x)
            except NotCachedError:
                assert (mode, there) == ("only-cached", None)
                return
        if mode in ("read-only", "only-cached") and there is not None:
            assert (value, self.computed) == (there, before)
        else:
            assert value[:2] == (x, before + 1)
            if mode == "refresh":
                self.model[x] = value, self.now

    @rule()
    def verified(self) -> None:
        assert self.one.cache.verify().findings == ()

    @precondition(lambda self: self.kind != "memory")
    @rule()
    def another_process(self) -> None:
        forget(self.one)
        self.open()

    @precondition(lambda self: self.kind != "memory")
    @rule()
    def a_crash(self) -> None:
        """Nothing is closed, and a copy of what lies on the disk is all that the next one has."""
        folder = place()
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        before, self.folder = self.folder, folder
        forget(self.one)
        shutil.rmtree(before)
        self.open()

    def teardown(self) -> None:
        if hasattr(self, "one"):
            forget(self.one)
            shutil.rmtree(self.folder)


def run(kind: str, examples: int) -> None:
    machine = type("Machine", (Machine,), {"kind": kind})
    with warnings.catch_warnings():
        warnings.simplefilter("error", MemoWarning)
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=25,
                deadline=None,
                database=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            ),
        )


@pytest.mark.parametrize("kind", ["sqlite", "files", "shelve", "memory"])
def test_a_cache_is_a_dict(kind: str) -> None:
    run(kind, 3)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", ["sqlite", "files", "shelve", "memory"])
def test_a_cache_is_a_dict_for_long(kind: str) -> None:
    run(kind, 60)
