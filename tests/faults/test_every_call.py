"""Each call of the operating system and of SQLite, in a load and in a store, fails once, and from then on for good.

As SQLite's own tests do it: fail the first, the second, ... until the operation completes untouched.
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import signal
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from faulty import ERRORS, INTERRUPT, KILL, MEMORY, SHORT, SQLITE, injected
from places import KINDS, SCENES, SIZES, check, persisted, value, watched

from memo import MemoWarning

Anew = Callable[[str, str, str], Path]


def each(
    place: Anew, kind: str, size: str, scene: str, hows: Sequence[Any], *, for_good: bool, start: int = 1, step: int = 1
) -> int:
    """The scene with its ``start``-th call failing, then with each ``step``-th after it, until none fails; how many did."""
    x, right = SCENES[scene], value(SCENES[scene], SIZES[size])
    for done in itertools.count():
        n, how = start + done * step, hows[done % len(hows)]
        folder = place(scene, kind, size)
        one = persisted(folder, kind, SIZES[size])
        result, texts = None, []
        with injected(lambda count, n=n: count == n or (for_good and count > n), how) as faults:
            try:
                result, texts = watched(lambda one=one: one.f(x), raising=bool(done & 1))
            except KeyboardInterrupt:
                assert how == INTERRUPT
        if faults.failed:
            about = f"call {n}, {faults.last}, fails by {how}: {texts}"
            assert result == (None if how == INTERRUPT else right), about
            of_sqlite = [text for text in texts if "OperationalError" in text]
            assert max(len(of_sqlite), len(texts) - len(of_sqlite)) <= 1, f"one warning; {about}"
            assert all(reason(how, text) in text for text in texts), f"the true cause; {about}"
        computed = len(one.calls)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MemoWarning)
            computed += check(folder, one, kind, size, x, scene != "a new place")
        left = [
            file.name for file in folder.rglob("*") if file.parent.name == "_new" or file.suffix in (".tmp", ".new")
        ]
        shutil.rmtree(folder)
        if not faults.failed:
            return done
        assert texts or how == INTERRUPT or computed <= (scene != "a load"), f"not a word; {about}"
        assert not left or for_good or faults.last in ("unlink", "mkdir"), f"litter {left}; {about}"
    raise AssertionError


def reason(how: Any, text: str) -> str:
    """What a warning must say of a failure."""
    if how == MEMORY:
        return "MemoryError"
    return SQLITE[how] if "OperationalError" in text else os.strerror(how)


SAMPLES = list(itertools.product(KINDS, SIZES, SCENES))


@pytest.mark.parametrize("for_good", [False, True])
@pytest.mark.parametrize(("kind", "size", "scene"), SAMPLES)
def test_a_sample_of_the_calls_fails(place: Anew, kind: str, size: str, scene: str, for_good: bool) -> None:
    start = 1 + (2 * SAMPLES.index((kind, size, scene)) + for_good) % 15  # together they meet many of them
    assert each(place, kind, size, scene, ERRORS, for_good=for_good, start=start, step=25) >= 1


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("for_good", [False, True])
@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize(("kind", "size", "scene"), SAMPLES)
def test_every_call_fails(place: Anew, kind: str, size: str, scene: str, error: int, for_good: bool) -> None:
    assert each(place, kind, size, scene, [error], for_good=for_good) > 15


@pytest.mark.parametrize("step", [2, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("kind", "size"), list(itertools.product(KINDS, SIZES)))
def test_calls_that_do_half_of_what_they_were_asked_for(place: Anew, kind: str, size: str, step: int) -> None:
    for scene in ("a store", "a load"):
        each(place, kind, size, scene, [SHORT], for_good=True, step=step)


@pytest.mark.slow
@pytest.mark.parametrize("how", [INTERRUPT, MEMORY])
@pytest.mark.parametrize(("kind", "size", "scene"), SAMPLES)
def test_control_c_and_a_full_memory_at_every_call(place: Anew, kind: str, size: str, scene: str, how: str) -> None:
    assert each(place, kind, size, scene, [how], for_good=False) > 15


@pytest.mark.parametrize(("kind", "how"), list(itertools.product(KINDS, [INTERRUPT, MEMORY])))
def test_control_c_and_a_full_memory_at_some_calls(place: Anew, kind: str, how: str) -> None:
    each(place, kind, "large", "a store", [how], for_good=False, start=2, step=17)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("kind", "size", "scene"), SAMPLES)
def test_a_kill_at_every_call(place: Anew, kind: str, size: str, scene: str) -> None:
    killed_at_each(place, kind, size, scene)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_at_some_calls(place: Anew, kind: str) -> None:
    killed_at_each(place, kind, "large", "a store", start=3, step=23)


def killed_at_each(place: Anew, kind: str, size: str, scene: str, start: int = 1, step: int = 1) -> None:
    x = SCENES[scene]
    for n in itertools.count(start, step):
        folder = place(scene, kind, size)
        child = os.fork()
        if not child:
            with injected(lambda count, n=n: count == n, KILL):
                persisted(folder, kind, SIZES[size]).f(x)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        one = persisted(folder, kind, SIZES[size])
        _, texts = watched(lambda one=one: one.f(x), raising=False)
        assert texts == [], "a half written entry would be told as damaged"
        check(folder, one, kind, size, x, scene != "a new place")
        left = [file for file in folder.rglob("*") if file.parent.name == "_new"]
        assert sum(file.stat().st_size for file in left) <= SIZES[size] + 1000, "at most what was being written"
        shutil.rmtree(folder)
        if status == 0:
            return
        assert os.WTERMSIG(status) == signal.SIGKILL
