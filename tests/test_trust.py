"""``trust="data"``: whatever lies in a storage, nothing of it is unpickled."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import warm

from memo import Cache, MemoWarning, OptionError, _entry, events
from memo.model import Head

STORAGES = ["sqlite", "files", "shelve"]


class Planted:
    """What an attacker stores: unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (str(self.path), "w")


def persisted(cache: Cache, name: str = "trust.f") -> tuple[Any, list[Any]]:
    calls: list[Any] = []

    def f(x: Any, calls: list[Any]) -> dict[str, Any]:
        calls.append(x)
        return {"of": x}

    return cache.persist(f, name=name, code="off", version=1, ignore=["calls"]), calls


@pytest.fixture(autouse=True)
def warned_anew() -> None:
    events._warned.clear()


def plant(folder: Path, storage: str, serializer: str, body: bytes) -> None:
    """A whole and valid entry under the key of f(1), as anybody could make it who can write there."""
    cache = Cache(folder, storage=storage, serializer="json")
    f, calls = persisted(cache)
    f(1, calls)
    name = f.cache_key(1, calls)
    there = cache.storage.read(name)
    assert there is not None
    head = Head("trust.f", 1.7e9, 1.0, serializer, (), len(body), b"", b"")
    cache.storage.write(name, [body], _entry.sealing(name, [body], head), size=len(body), mark=there.mark)


@pytest.mark.parametrize("serializer", ["pickle", "cloudpickle", "joblib", "nobody's"])
@pytest.mark.parametrize("storage", STORAGES)
def test_a_planted_pickle_is_a_miss_and_never_run(tmp_path: Path, storage: str, serializer: str) -> None:
    mark = tmp_path / "was-here"
    plant(tmp_path / "place", storage, serializer, pickle.dumps(Planted(mark)))
    f, calls = persisted(Cache(tmp_path / "place", storage=storage, serializer="json", trust="data"))
    assert f(1, calls) == {"of": 1}
    assert calls == [1]
    assert not mark.exists()
    f, calls = persisted(Cache(tmp_path / "place", storage=storage, serializer="json", trust="data"))
    assert f(1, calls) == {"of": 1}
    assert calls == [], "what was computed took its place"


def test_the_plant_works_where_pickles_are_trusted(tmp_path: Path) -> None:
    """Else the tests above would prove nothing."""
    mark = tmp_path / "was-here"
    plant(tmp_path / "place", "sqlite", "pickle", pickle.dumps(Planted(mark)))
    f, calls = persisted(Cache(tmp_path / "place"))
    f(1, calls)
    assert mark.exists()


def test_data_only_needs_no_folder_of_ones_own(tmp_path: Path) -> None:
    folder = tmp_path / "place"
    f, calls = persisted(Cache(folder, serializer="json"))
    f(1, calls)
    folder.chmod(0o777)
    with pytest.warns(MemoWarning, match="is not trusted"):
        f, calls = persisted(Cache(folder, serializer="json"))
        f(1, calls)
    assert calls == [1]
    f, calls = persisted(Cache(folder, serializer="json", trust="data"))
    f(1, calls)
    assert calls == []


def test_pickle_and_data_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="may run code"):
        Cache(tmp_path, serializer="pickle", trust="data")
    with pytest.raises(OptionError, match=r"trust must be .*'data'"):
        Cache(tmp_path, trust="nobody")


def test_without_a_serializer_each_result_is_stored_as_data(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")

    def run() -> list[Any]:
        calls: list[Any] = []

        def f(x: Any, calls: list[Any]) -> Any:
            calls.append(x)
            return {1: b"bytes", 2: "text", 3: {"a": [1, None]}, 4: numpy.arange(3), 5: {1, 2}}[x]

        f = Cache(tmp_path / "place", trust="data").persist(
            f, name="trust.auto", code="off", version=1, ignore=["calls"]
        )
        for x, kind in ((1, bytes), (2, str), (3, dict), (4, numpy.ndarray)):
            assert type(f(x, calls)) is kind
        with pytest.warns(MemoWarning, match="can't be stored by 'auto'"):
            events._warned.clear()
            assert f(5, calls) == {1, 2}
        return calls

    assert run() == [1, 2, 3, 4, 5]
    assert run() == [5], "a set only a pickle could hold"


def test_no_call_unpickles_anything(tmp_path: Path) -> None:
    """Python itself tells of each class that an unpickling looks up."""
    program = tmp_path / "program.py"
    program.write_text(
        """
import sys
from memo import Cache

cache = Cache(sys.argv[1], serializer="json", trust="data")

@cache.persist
def f(x):
    return {"of": x, "long": "x" * 100_000}

f(1), f(1), f.why(1), f.why(2), f.entries(), f.get(1), f.cache_info()
sys.addaudithook(lambda event, args: print("UNPICKLED", args) if event == "pickle.find_class" else None)
f(1), f(2), f(2), f.refresh(2), f.why(1), f.why(3), f.entries(), f.get(1), f.delete(1), f.cache_clear(), f(1)
"""
    )
    for _ in "12":
        done = warm.run([program, tmp_path / "place"])
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
