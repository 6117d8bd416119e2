"""Places in memory, since thousands of them are made and removed here."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from places import SIZES, forget, persisted

from memo import _cache


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where there is one: thousands of places are made and removed here."""
    shared = "/dev/shm"
    if not os.access(shared, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="memo-faults-", dir=shared) as folder:
        yield Path(folder)


@pytest.fixture
def place(memory: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], Path]:
    """Makes a copy of a place in which f(0) is stored; for a new place, the name of one."""
    monkeypatch.setattr(_cache, "_RETRY", 0.0)
    numbers = itertools.count()
    made: dict[tuple[str, str], Path] = {}

    def anew(scene: str, kind: str, size: str) -> Path:
        folder = memory / f"{next(numbers)}"
        if scene != "a new place":
            template = memory / f"template-{kind}-{size}"
            if (kind, size) not in made:
                made[kind, size] = template
                one = persisted(template, kind, SIZES[size])
                one.f(0)
                forget(one)
            shutil.copytree(template, folder)
        return folder

    return anew
