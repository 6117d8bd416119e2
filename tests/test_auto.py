"""The serializer "auto": by the type of the result the safest that gives it back; the head says which it was."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from memo import Cache, MemoWarning, UnstorableError, _entry
from memo.errors import DamagedError
from memo.serializers import Arrow, Auto, Bytes, Json, Numpy, Pickle, is_safe, serializer
from memo.testing._serializer import SerializerSuite


@dataclass
class Result:
    day: date
    parts: tuple[int, ...]


#: value, serializer in the head, suffix of the file
CHOICES = [
    *((None, "json", ".json"), (True, "json", ".json"), (1.5, "json", ".json"), ({"a": [1, None]}, "json", ".json")),
    *(("text", "text", ".txt"), ("", "text", ".txt"), (b"\xff", "bytes", ".bin")),
    *((np.arange(3), "numpy", ".npy"), ({"a": np.arange(3), "b": np.zeros(2)}, "numpy", ".npy"), ((np.arange(2),), "numpy", ".npy")),
    (pd.DataFrame({"a": [1], "b": ["x"]}), "arrow", ".arrow"),
    (pd.Series([1.5], name="s"), "arrow", ".arrow"),
    (pl.DataFrame({"a": [1]}), "arrow", ".arrow"),
    (pa.table({"a": [1]}), "arrow", ".arrow"),
]  # fmt: skip
ONLY_PICKLED = [
    *((1, 2), {1, 2}, {1: 2}, float("nan"), bytearray(b"x"), np.float64(1), np.array([None, "x"]), {"a": np.arange(2), "b": 1}),
    *(Result(date(2024, 1, 1), ()), pd.DataFrame({"a": [1, "x"]}), pd.Timestamp("2024"), 1j, [()], {"a": b"x"}, ()),
]  # fmt: skip


class Zoo(SerializerSuite):
    tells_its_end = False

    def same(self, one, other):
        if isinstance(one, pa.Table):
            return type(other) is pa.Table and one.equals(other)
        if isinstance(one, Result):
            return one == other and type(one.parts) is type(other.parts)
        return super().same(one, other)


class TestAuto(Zoo):
    refused = ((i for i in "generator"),)

    def make(self):
        return Auto()

    def zoo(self):
        values = [value for value in ONLY_PICKLED if not isinstance(value, np.ndarray)]
        return [
            *super().zoo(),
            *pickle.loads(pickle.dumps([value for value, _, _ in CHOICES])),
            *pickle.loads(pickle.dumps(values)),
        ]


class TestDataOnly(Zoo):
    refused = (*ONLY_PICKLED, lambda: 1)

    def make(self):
        return Auto(pickle=False)

    def zoo(self):
        return [*super().zoo(), *pickle.loads(pickle.dumps([value for value, _, _ in CHOICES]))]


@pytest.mark.parametrize(("value", "name", "suffix"), CHOICES, ids=range(len(CHOICES)))
@pytest.mark.parametrize("plug", [Auto(), Auto(pickle=False)], ids=["any", "data only"])
def test_the_head_names_what_wrote_it(plug, value, name, suffix, tmp_path):
    cache = Cache(tmp_path, serializer=plug, storage="files")
    f = cache.persist(lambda: value, name="f")
    f()
    assert _entry.unpack(cache.storage.read(f.cache_key()).head).serializer == name
    [path] = [path for path in tmp_path.rglob(f"*{suffix}") if path.name != "memo.json"]
    parts = b"".join(serializer(name).dump(value))
    assert path.read_bytes() == parts, "a plain file of its kind"
    for other in ("auto", "pickle", "json"):  # read by a cache of whatever serializer
        back = Cache(tmp_path, serializer=other).persist(lambda: value, name="f").get()
        assert Zoo().same(value, back)


def test_what_only_a_pickle_holds_is_one(tmp_path):
    cache = Cache(tmp_path, serializer="auto")
    for number, value in enumerate(ONLY_PICKLED):
        f = cache.persist(lambda value=value: value, name=f"f{number}", ignore=["value"])
        f()
        assert _entry.unpack(cache.storage.read(f.cache_key()).head).serializer == "pickle"


def test_data_only_refuses_it_with_every_reason(tmp_path):
    with pytest.raises(
        UnstorableError,
        match=r"no serializer takes this dict\. numpy: .*dtype.*json: value\[\"a\"\] is of type numpy\.ndarray",
    ):
        Auto(pickle=False).pick({"a": np.array([None])})
    f = Cache(tmp_path, serializer=Auto(pickle=False)).persist(lambda: {1, 2}, name="f")
    with pytest.warns(MemoWarning, match="no serializer takes this set"):
        assert f() == {1, 2}
    assert not f.is_cached()


def test_data_only_reads_no_pickle():
    pickled = Auto().dump({1, 2})
    assert Auto().load(memoryview(b"".join(pickled))) == {1, 2}
    with pytest.raises(DamagedError, match="'pickle', which Auto"):
        Auto(pickle=False).load(memoryview(b"".join(pickled)))


def test_annotations_count(tmp_path):
    calls = []

    def f(n, calls) -> Result:
        calls.append(n)
        return Result(date(2024, 1, n), (n,))

    for _ in range(2):
        cache = Cache(tmp_path, serializer=Auto(pickle=False))
        persisted = cache.persist(f, name="f", ignore=["calls"])
        assert persisted(7, calls) == Result(date(2024, 1, 7), (7,))
    assert calls == [7]
    head = _entry.unpack(cache.storage.read(persisted.cache_key(7, calls)).head)
    assert head.serializer.startswith("json:")
    by_pickle = Cache(tmp_path).persist(f, name="f", ignore=["calls"])
    assert by_pickle(7, calls) == Result(date(2024, 1, 7), (7,))
    assert calls == [7]


def test_which_are_safe():
    safe = {
        name
        for name in ("arrow", "auto", "bytes", "cloudpickle", "joblib", "json", "numpy", "parquet", "pickle", "text")
        if is_safe(serializer(name))
    }
    assert safe == {"arrow", "bytes", "json", "numpy", "parquet", "text"}
    assert is_safe(Auto(pickle=False))
    assert all(map(is_safe, (Arrow(), Bytes(), Json(), Numpy())))
    assert not is_safe(Pickle())


def test_a_cache_that_loads_data_only_reads_no_pickle(tmp_path):
    from memo._body import Bodies

    f = Cache(tmp_path).persist(lambda: {1, 2}, name="f")
    f()
    head = _entry.unpack(Cache(tmp_path).storage.read(f.cache_key()).head)
    why = Bodies(Auto(pickle=False), data_only=True).loader(head)
    assert why == "stored by 'pickle', which may run code when it is loaded; this cache loads data only"
