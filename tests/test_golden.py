"""Places written by each released format are read, or cleanly recomputed: nothing in between.

``python tests/test_golden.py write`` adds the samples that are missing of the current formats; a sample is never changed
afterwards. A shelf's is of dbm.dumb, which every Python has.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from memo import Cache, _entry
from memo.storages import archive

KINDS = ("sqlite", "files", "shelve")
GOLDEN = Path(__file__).parent / "golden"
CALLS = [(1,), ("text",), ((1, 2.5, None),), ({"b": [1, 2], "a": {3, 4}},), (b"bytes",), ("large",)]


def result(x: Any) -> Any:
    return b"large" * 15_000 if x == "large" else {"of": x, "list": [x] * 3}


def made(x: Any, calls: list[Any]) -> Any:
    calls.append(x)
    return result(x)


def persisted(folder: Path, kind: str) -> tuple[Any, list[Any]]:
    calls: list[Any] = []
    cache = Cache(folder, storage=kind)
    return cache.persist(made, name="golden.f", code="off", version="1", ignore=["calls"]), calls


def written() -> list[Path]:
    return sorted(path for path in GOLDEN.glob("format-*/*") if path.is_dir())


def exported() -> Path:
    return GOLDEN / f"format-{_entry.FORMAT}" / f"archive-{archive.FORMAT}.memo"


def test_there_is_a_sample_of_the_current_format() -> None:
    there = {path.name for path in GOLDEN.glob(f"format-{_entry.FORMAT}/*")}
    assert there >= {*KINDS, exported().name}


@pytest.mark.parametrize(
    "file", sorted(GOLDEN.glob("format-*/*.memo")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_an_export_of_a_released_format_is_read_or_said_to_be_none(file: Path, tmp_path: Path) -> None:
    copy = shutil.copy(file, tmp_path / "sample.memo")
    calls: list[Any] = []
    f = Cache(copy).persist(made, name="golden.f", code="off", version="1", ignore=["calls"])
    for args in CALLS:
        assert f(*args, calls) == result(*args)
    if file == exported():
        assert calls == [], "what this format wrote is a hit"
    cache = Cache(tmp_path / "place")
    assert cache.import_(copy, trust=True).entries in (0, len(CALLS))
    f = cache.persist(made, name="golden.f", code="off", version="1", ignore=["calls"])
    for args in CALLS:
        assert f(*args, calls) == result(*args)


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
    import memo.storages.shelve

    memo.storages.shelve.best_flavour = lambda: "dbm.dumb"
    for kind in KINDS:
        folder = GOLDEN / f"format-{_entry.FORMAT}" / kind
        if folder.exists():
            continue
        f, calls = persisted(folder, kind)
        for args in CALLS:
            f(*args, calls)
        for leftover in (".gitignore", "flights.lock", "words.map", "entries.lock", "files/_words.map", "shelf.lock"):
            (folder / leftover).unlink(missing_ok=True)
    if not exported().exists():
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(exported().parent / "sqlite", f"{folder}/copy")
            Cache(f"{folder}/copy", trust_folder=True).export(exported())
