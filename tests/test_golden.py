"""Places written by each released format are read, or cleanly recomputed: nothing in between.

``python tests/test_golden.py write`` adds the sample of the current format; a sample is never changed afterwards.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from memo import Cache, _entry

GOLDEN = Path(__file__).parent / "golden"
CALLS = [(1,), ("text",), ((1, 2.5, None),), ({"b": [1, 2], "a": {3, 4}},), (b"bytes",), ("large",)]


def result(x: Any) -> Any:
    return b"large" * 15_000 if x == "large" else {"of": x, "list": [x] * 3}


def persisted(folder: Path, kind: str) -> tuple[Any, list[Any]]:
    calls: list[Any] = []

    def f(x, calls):
        calls.append(x)
        return result(x)

    cache = Cache(folder, storage=kind)
    return cache.persist(f, name="golden.f", code="off", version="1", ignore=["calls"]), calls


def written() -> list[Path]:
    return sorted(GOLDEN.glob("format-*/*"))


def test_there_is_a_sample_of_the_current_format() -> None:
    assert {path.name for path in GOLDEN.glob(f"format-{_entry.FORMAT}/*")} == {"sqlite", "files"}


@pytest.mark.parametrize("place", written(), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_released_format_is_read_or_recomputed(place: Path, tmp_path: Path) -> None:
    copy = tmp_path / "place"
    shutil.copytree(place, copy)
    copy.chmod(0o700)
    f, calls = persisted(copy, place.name)
    for args in CALLS:
        assert f(*args, calls) == result(*args)
    if place.parent.name == f"format-{_entry.FORMAT}":
        assert calls == [], "what this format wrote is a hit"
    again, calls = persisted(copy, place.name)
    for args in CALLS:
        assert again(*args, calls) == result(*args)
    assert calls == []


if __name__ == "__main__" and sys.argv[1:] == ["write"]:
    for kind in ("sqlite", "files"):
        folder = GOLDEN / f"format-{_entry.FORMAT}" / kind
        shutil.rmtree(folder, ignore_errors=True)
        f, calls = persisted(folder, kind)
        for args in CALLS:
            f(*args, calls)
        for leftover in (".gitignore", "flights.lock", "words.map", "entries.lock", "files/_words.map"):
            (folder / leftover).unlink(missing_ok=True)
