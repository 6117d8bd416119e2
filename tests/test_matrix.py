"""Every storage with every serializer: a result is the same on the miss and in a later run, or refused so that one sees it.

A new storage or serializer is one line in a table here; those of memo's registry must be in it.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import warm

from memo import Cache, MemoWarning, UnstorableError, events, serializers, storages
from memo.serializers import Joblib, Parquet
from memo.storages import Memory
from memo.testing._serializer import SerializerSuite

SIGNED = {"sign": "secret of the matrix"}  # else URLs warn that nobody answers for their pickles
#: name -> the options of a Cache on it, from a folder
STORAGES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "sqlite": lambda folder: {"location": f"sqlite:{folder}"},
    "files": lambda folder: {"location": f"files:{folder}"},
    "shelve": lambda folder: {"location": f"shelve:{folder}"},
    "memory": lambda folder: {"storage": _memory(folder)},
    "hdf5": lambda folder: {"location": f"hdf5:{folder}"},
    "pytables": lambda folder: {"location": f"pytables:{folder}"},
    "diskcache": lambda folder: {"location": f"diskcache:{folder}"},
    "sqlalchemy": lambda folder: {"location": f"sqlite:///{folder}/sql.db", **SIGNED},
    "fsspec": lambda folder: {"location": f"file://{folder}", **SIGNED},
}
SIZES = {"1 byte": 1, "10 KB": 10_000, "2 MB": 2_000_000, "20 MB": 20_000_000}
SIZED = set(SIZES)
EVERYTHING = {"None", *SIZED, "frame", "nested arrays"}
MEGABYTES = {"2 MB", "20 MB"}
#: name -> (what Cache takes, the values that it stores, whose kind of value the sized ones are)
SERIALIZERS: dict[str, tuple[Callable[[], Any], set[str], str]] = {
    "pickle": (lambda: "pickle", EVERYTHING, "bytes"),
    "cloudpickle": (lambda: "cloudpickle", EVERYTHING, "bytes"),
    "joblib": (lambda: "joblib", EVERYTHING, "array"),
    "joblib, compressed": (lambda: Joblib(compress=1), EVERYTHING, "array"),
    "auto": (lambda: "auto", EVERYTHING, "bytes"),
    "json": (lambda: "json", {"None", *SIZED}, "text"),
    "text": (lambda: "text", SIZED, "text"),
    "bytes": (lambda: "bytes", SIZED, "bytes"),
    "numpy": (lambda: "numpy", SIZED, "array"),
    "hdf5": (lambda: "hdf5", EVERYTHING, "array"),
    "pytables": (lambda: "pytables", EVERYTHING, "array"),
    "arrow": (lambda: "arrow", {"frame", *SIZED}, "frame"),
    "parquet": (lambda: "parquet", {"frame", *SIZED}, "frame"),
    "parquet, zstd": (lambda: Parquet("zstd"), {"frame", *SIZED}, "frame"),
}

_memory: Callable[[Path], Memory] = functools.cache(lambda folder: Memory())  # the later run's is the same one


def test_all_of_the_registry_is_in_the_tables():
    assert storages._OPENERS.keys() <= STORAGES.keys()
    assert serializers._CLASSES.keys() - {"raised"} <= SERIALIZERS.keys()  # which is for exceptions alone


def value(name: str, kind: str) -> Any:
    """A new one at each call, but for the largest, which nobody here changes."""
    if name in SIZED:
        return _sized(SIZES[name], kind)
    if name == "frame":
        return pd.DataFrame(
            {"i": range(500), "f": np.linspace(0, 1, 500), "s": [f"n{i}" for i in range(500)]}
        ).set_index("s")
    return {"a": np.arange(5.0), "b": [np.zeros((40, 50)), {"c": np.arange(3)}]} if name == "nested arrays" else None


@functools.cache
def _sized(size: int, kind: str) -> Any:
    if kind == "text":
        return "x" * size
    array = np.arange(-(-size // 8), dtype="f8").view("u1")[:size]
    if kind == "frame":
        return pd.DataFrame({"a": array.view("f8") if size > 1 else array})
    return array.tobytes() if kind == "bytes" else array


def persisted(options: dict[str, Any], serializer: str, **more: Any) -> Any:
    plug, _, kind = SERIALIZERS[serializer]
    cache = Cache(**options, serializer=plug(), **more)
    name = serializer.replace(", ", "_")
    return cache.persist(lambda of: value(of, kind), name=name, code="off", version=1)


def outcome(f: Any, serializer: str, name: str) -> str:
    """Of asking for a stored result: "equal", "absent" or what it is instead."""
    back = f.get_or(Ellipsis, name)
    if back is Ellipsis:
        return "absent"
    return "equal" if SerializerSuite().same(value(name, SERIALIZERS[serializer][2]), back) else repr(back)[:200]


def pairs() -> Iterator[Any]:
    """Each serializer into rows and into files of its own; each storage of bytes, of arrays and of HDF5. The rest is slow.

    What a storage gets is bytes, and small results of all pairs come back in another process below.
    """
    for storage, serializer in itertools.product(STORAGES, SERIALIZERS):
        told = storage in ("sqlite", "files") or serializer in ("pickle", "numpy", "hdf5")
        yield pytest.param(storage, serializer, marks=() if told else pytest.mark.slow)


@pytest.mark.parametrize(("storage", "serializer"), list(pairs()))
def test_the_same_on_miss_and_hit_or_refused(storage, serializer, tmp_path, monkeypatch):
    check(STORAGES[storage](tmp_path), serializer, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("serializer", SERIALIZERS)
@pytest.mark.parametrize("storage", STORAGES)
def test_twenty_megabytes_are_the_same_or_refused(storage, serializer, tmp_path, monkeypatch):
    check(STORAGES[storage](tmp_path), serializer, monkeypatch, names={"20 MB"})


def check(
    options: dict[str, Any],
    serializer: str,
    monkeypatch: pytest.MonkeyPatch,
    names: Collection[str] = EVERYTHING - {"20 MB"},
) -> None:
    _, fits, kind = SERIALIZERS[serializer]
    for name in sorted(names):
        monkeypatch.setattr(events, "_warned", set())  # as in a new process
        f = persisted(options, serializer)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", MemoWarning)
            assert SerializerSuite().same(value(name, kind), f(name)), f"{name} on the miss"
            if name not in MEGABYTES:
                assert SerializerSuite().same(value(name, kind), f(name)), f"{name} in the same process"
        told = [str(one.message) for one in caught if issubclass(one.category, MemoWarning)]
        if name in fits:
            assert told == [], name
            assert outcome(persisted(options, serializer), serializer, name) == "equal", name
        else:
            assert len(told) == 1, f"{name}: one warning for two calls"
            assert "can't be stored by" in told[0]
            assert outcome(persisted(options, serializer), serializer, name) == "absent", name
            with pytest.raises(UnstorableError):
                persisted(options, serializer, strict=True)(name)


@pytest.mark.parametrize("storage", [name for name in STORAGES if name != "memory"])
def test_the_same_in_another_process(storage, tmp_path):
    options = STORAGES[storage](tmp_path)
    small = EVERYTHING - MEGABYTES
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MemoWarning)
        for serializer in SERIALIZERS:
            f = persisted(options, serializer)
            for name in small:
                f(name)
    libraries = "numpy pandas pytest joblib h5py tables pyarrow.parquet"
    shown = warm.run([__file__, "read", json.dumps(options), *small], check=True, loaded=libraries).stdout
    expected = {
        serializer: {name: "equal" if name in fits else "absent" for name in small}
        for serializer, (_, fits, _) in SERIALIZERS.items()
    }
    assert json.loads(shown) == expected


# --------------------------------------------------------------------------------------------------------- very large

LARGE = """
import sys, numpy, warnings
from memo import Cache
warnings.simplefilter("error")
size, kind, storage, folder = 2_200_000_000, *sys.argv[1:]

def make():
    print("computing")
    if kind == "bytes":
        return b"0123456789" * (size // 10)
    return numpy.arange(size // 8) if kind == "array" else "x" * size

f = Cache(folder, storage=storage).persist(make, code="off", version=1)
for turn in ("first", "again"):
    got = f()
    assert type(got) is {"bytes": bytes, "array": numpy.ndarray, "text": str}[kind], type(got)
    if kind == "bytes":
        assert len(got) == size and got[:10] == got[-10:] == b"0123456789" and got.count(b"9") == size // 10
    elif kind == "text":
        assert len(got) == got.count("x") == size
    else:
        assert got.shape == (size // 8,) and got[0] == 0 and got[-1] == size // 8 - 1 and (got[1:] - got[:-1] == 1).all()
        got[7] = 0
    del got
print(f.cache_info().hits)
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["bytes", "array", "text"])
@pytest.mark.parametrize("storage", ["sqlite", "files"])
def test_a_result_of_more_than_two_gigabytes(storage, kind, tmp_path):
    if shutil.disk_usage(tmp_path).free < 6 << 30 or _free_memory() < 10 << 30:
        pytest.skip("it takes 6 GB of disk and 10 GB of memory")
    shown = []
    try:
        for _ in range(2):
            command = [sys.executable, "-c", LARGE, kind, storage, tmp_path / "place"]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=290)
            assert done.returncode == 0, done.stderr
            shown.append(done.stdout.split())
    finally:
        shutil.rmtree(tmp_path / "place", ignore_errors=True)
    assert shown == [["computing", "1"], ["2"]]


def _free_memory() -> int:
    try:
        found = Path("/proc/meminfo").read_text().partition("MemAvailable:")[2]
        return int(found.split()[0]) << 10
    except (OSError, IndexError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__" and sys.argv[1:2] == ["read"]:
    given = json.loads(sys.argv[2])
    found = {
        serializer: {name: outcome(f, serializer, name) for name in sys.argv[3:]}
        for serializer in SERIALIZERS
        for f in [persisted(given, serializer)]
    }
    print(json.dumps(found))
