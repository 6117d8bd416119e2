"""Fingerprints of arrays, frames, tables, matrices, graphs and estimators."""

from __future__ import annotations

import copy
import datetime
import io
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sparse
from hypothesis import given
from hypothesis import strategies as st

from memo.errors import UnkeyableError
from memo.fingerprint import encode, fingerprint


def same(*values: Any) -> None:
    assert len({fingerprint(value) for value in values}) == 1


def differ(*values: Any) -> None:
    found = [fingerprint(value) for value in values]
    assert len(set(found)) == len(found)


def round_trip(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


# numpy


def test_views_strides_and_memory_orders() -> None:
    cube = np.arange(24.0).reshape(2, 3, 4)
    same(
        cube,
        np.asfortranarray(cube),
        cube.copy(),
        np.repeat(cube, 2, axis=2)[:, :, ::2],
        cube[::-1].copy()[::-1],
        round_trip(cube),
        round_trip(np.asfortranarray(cube)),
    )
    differ(cube, cube.reshape(6, 4), cube.astype("f4"), cube.astype(">f8"), cube.view("i8"), cube.tolist(), -cube)
    large = np.random.default_rng(0).random((700, 900))  # several blocks
    same(large, np.asfortranarray(large), np.ascontiguousarray(large.T).T)
    same(large[::3, ::7], large[::3, ::7].copy())
    same(np.broadcast_to(np.arange(3), (400_000, 3)), np.broadcast_to(np.arange(3), (400_000, 3)).copy())
    differ(np.zeros((0, 3)), np.zeros((3, 0)), np.zeros(0), np.zeros(0, "f4"))


def test_scalars_and_arrays_without_dimensions() -> None:
    differ(np.array(1), np.int64(1), 1, np.int32(1), np.uint8(1), np.bool_(True), np.float64(1), np.array([1]))
    differ(np.array([1, 2], "u1"), b"\1\2", bytearray(b"\1\2"), [1, 2], memoryview(b"\1\2"), (1, 2))
    differ(np.datetime64("2024"), np.datetime64("2024-01"), np.timedelta64(1, "s"), np.timedelta64(1, "m"))
    differ(np.array(["2024"], "M8[D]"), np.array(["2024"], "M8[s]"), np.array(["2025"], "M8[s]"))
    number = np.float64(0.5)
    same(
        {"a": number, "b": number}, {"a": np.float64(0.5), "b": np.float64(0.5)}, round_trip({"a": number, "b": number})
    )


def test_bytes_that_mean_nothing_do_not_count() -> None:
    padded = np.zeros(2, dtype=np.dtype([("a", "i1"), ("b", "f8")], align=True))
    other = padded.copy()
    other.view("u1").reshape(2, -1)[:, 1:8] = 7
    assert bytes(padded) != bytes(other)
    same(padded, other, round_trip(padded))
    differ(padded, np.zeros(2, dtype=[("a", "i1"), ("b", "f8")]), np.zeros(2, dtype=[("a", "i1"), ("c", "f8")]))
    third = np.full(3, np.longdouble(1) / 3)
    same(third, round_trip(third), np.array([np.longdouble(1) / 3] * 3))
    differ(third, third + np.finfo(third.dtype).eps)


def test_arrays_of_objects_strings_and_structures() -> None:
    objects = np.array([1, "a", None, [1]], dtype=object)
    same(objects, copy.deepcopy(objects), objects.reshape(2, 2).reshape(4))
    differ(objects, np.array([1, "a", None, [2]], dtype=object), objects.reshape(2, 2), objects.tolist())
    strings = np.dtypes.StringDType()
    same(np.array(["a", "bc"], dtype=strings), np.array(["a", "x", "bc"], dtype=strings)[::2])
    differ(np.array(["a", "bc"], dtype=strings), np.array(["a", "bc"]), np.array(["a", "bd"], dtype=strings))
    mixed = np.array([(1, [1])], dtype=[("a", "i4"), ("o", object)])
    same(mixed, round_trip(mixed))
    differ(mixed, np.array([(1, [2])], dtype=[("a", "i4"), ("o", object)]))
    with pytest.raises(UnkeyableError) as caught:
        encode(("x",), ({"a": np.array([1, object()], dtype=object)},))
    assert caught.value.path == 'x["a"][1]'


def test_a_structured_dtype_before_and_after_pickling() -> None:
    dtype = np.dtype([("a", "<i4"), ("b", "S3", (2,)), ("c", [("d", "f8")])])
    same(dtype, round_trip(dtype))
    same(np.zeros(2, dtype), round_trip(np.zeros(2, dtype)), np.zeros(2, round_trip(dtype)))


def test_masked_matrix_record_and_mapped(tmp_path: Path) -> None:
    masked = np.ma.array([1, 2, 3], mask=[0, 1, 0])
    same(masked, masked.copy(), round_trip(masked))
    differ(masked, np.ma.array([1, 2, 3]), np.ma.array([1, 2, 3], mask=[0, 0, 1]), np.array([1, 2, 3]))
    same(np.ma.array([1, 2]), np.ma.array([1, 2], mask=[0, 0]))
    differ(np.matrix([[1]]), np.array([[1]]))
    np.save(tmp_path / "a.npy", np.arange(10.0))
    same(np.arange(10.0), np.load(tmp_path / "a.npy", mmap_mode="r"))


class Unit(np.ndarray):  # type: ignore[type-arg]
    pass


def test_subclasses_of_arrays() -> None:
    metres, feet, none = (np.arange(3).view(Unit) for _ in range(3))
    metres.unit, feet.unit = "m", "ft"  # type: ignore[attr-defined]
    differ(metres, feet, none, np.arange(3))


def test_random_state() -> None:
    same(np.random.default_rng(1), copy.deepcopy(np.random.default_rng(1)), round_trip(np.random.default_rng(1)))
    drawn, spawned = np.random.default_rng(1), np.random.default_rng(1)
    drawn.random()
    spawned.spawn(1)
    differ(np.random.default_rng(1), drawn, spawned, np.random.default_rng(2))
    differ(np.random.Generator(np.random.MT19937(1)), np.random.Generator(np.random.Philox(1)))
    legacy = np.random.RandomState(1)
    same(legacy, round_trip(legacy))
    differ(legacy, np.random.RandomState(2))


def test_any_item_of_a_large_array_counts() -> None:
    numbers = np.random.default_rng(0).random(510_000)
    seen = {fingerprint(numbers)}
    for place in np.random.default_rng(1).integers(0, len(numbers), 50):
        kept, numbers[place] = numbers[place], -1.0
        seen.add(fingerprint(numbers))
        numbers[place] = kept
    assert len(seen) == 51
    assert fingerprint(numbers) in seen


def test_large_arrays_are_not_copied() -> None:
    numbers = np.zeros((2000, 2500))  # 40 MB
    for value in (numbers, {"a": [numbers]}, np.asfortranarray(numbers), numbers[::2, ::3]):
        fingerprint(np.zeros((10, 10), order="F"))
        tracemalloc.start()
        encode(("x",), (value,))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4 << 20


@given(st.data())
def test_any_layout_of_an_array(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(["u1", "<i4", ">i4", "f8", "c16", "M8[ns]", "U3", "S2", "?"]))
    shape = tuple(data.draw(st.lists(st.integers(0, 5), max_size=3)))
    count = int(np.prod(shape, dtype=int))
    raw = np.array(data.draw(st.lists(st.integers(0, 1), min_size=count, max_size=count)), dtype="i8")
    value = raw.astype(dtype).reshape(shape)
    order = data.draw(st.permutations(range(len(shape))))
    moved = np.ascontiguousarray(value.transpose(order)).transpose(np.argsort(order)) if shape else value.copy()
    assert fingerprint(value) == fingerprint(moved)
    back = round_trip(value)
    assert (fingerprint(back) == fingerprint(value)) == (back.dtype == value.dtype)  # 0-d arrays lose their byte order
    if count:
        changed = value.copy().reshape(-1)
        changed[data.draw(st.integers(0, count - 1))] = np.array(7).astype(dtype) if dtype != "?" else not changed[0]
        assert (fingerprint(changed.reshape(shape)) == fingerprint(value)) == np.array_equal(
            changed.reshape(shape), value
        )


# pandas


def frame() -> pd.DataFrame:
    return pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None], "c": [1.0, np.nan, 2]})


def test_frames_by_any_route() -> None:
    value = frame()
    stored = io.BytesIO()
    value.to_parquet(stored)
    wide = value.copy()
    wide["d"] = 0
    same(
        value,
        frame(),
        value.copy(),
        round_trip(value),
        pd.concat([value[["a"]], value[["b", "c"]]], axis=1),
        pd.concat([value.iloc[:1], value.iloc[1:]]),
        value.drop_duplicates(),
        pd.concat([value, value.iloc[2:]]).drop_duplicates(),
        value.iloc[::-1].iloc[::-1],
        wide.drop(columns="d"),
        pd.read_parquet(io.BytesIO(stored.getvalue())),
    )
    numbers = np.arange(12.0).reshape(4, 3)
    names = list("abc")
    same(
        pd.DataFrame(numbers, columns=names),
        pd.DataFrame(np.asfortranarray(numbers), columns=names, copy=False),
        pd.DataFrame({name: numbers[:, i] for i, name in enumerate(names)}),
    )


def test_everything_of_a_frame_counts() -> None:
    value = frame()
    noted, flagged = value.copy(), value.set_flags(allows_duplicate_labels=False)
    noted.attrs["unit"] = "m"
    differ(
        value,
        noted,
        flagged,
        value.rename(columns={"a": "z"}),
        value.rename_axis("index"),
        value.rename_axis(columns="columns"),
        value.set_index("a"),
        value.astype({"a": "int32"}),
        value.astype({"a": "Int64"}),
        value.astype({"b": "category"}),
        value.astype({"b": "string"}),
        value.astype({"b": object}),
        value[["b", "a", "c"]],
        value.iloc[::-1],
        value.iloc[:2],
        value["a"],
        value[["a"]],
        value.to_dict("list"),
    )


def test_index() -> None:
    same(pd.RangeIndex(3), pd.Index([0, 1, 2]), pd.Index([0, 1, 2, 4])[:3])
    same(pd.RangeIndex(5, 6), pd.Index([5]))
    same(pd.RangeIndex(0), pd.RangeIndex(3, 3), pd.Index([], dtype="int64"))
    same(pd.RangeIndex(6, 0, -2), pd.Index([6, 4, 2]))
    differ(
        pd.Index([0, 1, 2]), pd.Index([0, 1, 3]), pd.Index([0, 1, 2], name="x"), pd.Index([0.0, 1, 2]), pd.Index([0, 2])
    )
    days = pd.date_range("2024", periods=3)
    same(days, days.copy(), round_trip(days))
    differ(days, days[[0, 1, 2]], days.tz_localize("UTC"), days + pd.Timedelta(1, "s"))
    both = pd.MultiIndex.from_tuples([("a", 1), ("b", 2), ("c", 3)], names=["x", "y"])
    same(both[:2], pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["x", "y"]))
    differ(both, both.rename(["x", "z"]), both[::-1], both.droplevel(0))


def test_categories() -> None:
    letters = pd.Series(["a", "b"], dtype="category")
    same(letters, letters.copy(), round_trip(letters))
    differ(
        letters,
        letters.astype(object),
        letters.cat.reorder_categories(["b", "a"]),
        letters.cat.as_ordered(),
        letters.cat.add_categories(["z"]),
    )


NUMBERS: list[Any] = [1, 0, None]
DAYS: list[Any] = ["2024-01-01", "2024-01-02", None]
TEXTS: list[Any] = ["x", "", None]
DTYPES = {
    **dict.fromkeys(("Int64", "Float64", "boolean", "int64[pyarrow]", "timedelta64[ns]", "object"), NUMBERS),
    **dict.fromkeys(("datetime64[ns]", "datetime64[s]", "datetime64[ns, Europe/Berlin]", "period[D]"), DAYS),
    **dict.fromkeys(("string", "string[python]", "string[pyarrow]", "category"), TEXTS),
    "Sparse[int64]": [1, 0, 0],
    "interval[int64]": [pd.Interval(0, 1), pd.Interval(1, 2), pd.Interval(3, 4)],
}


@pytest.mark.parametrize("dtype", DTYPES)
def test_columns_of_every_dtype(dtype: str) -> None:
    value = pd.Series(DTYPES[dtype]).astype(dtype)  # type: ignore[call-overload]
    same(value, pd.concat([value, value]).iloc[:3], round_trip(value), value.iloc[::-1].iloc[::-1])
    differ(value, value.iloc[[1, 0, 2]].reset_index(drop=True), value.rename("name"), value.iloc[:2])
    same(value.array, value.copy().array)
    same(value.dtype, round_trip(value.dtype))


def test_missing_values_hide_nothing() -> None:
    one, other = pd.array([1, 2, 3], dtype="Int64"), pd.array([1, 9, 3], dtype="Int64")
    one[1] = other[1] = pd.NA
    same(one, other)
    differ(one, pd.array([1, 0, 3], dtype="Int64"))


def test_pandas_scalars() -> None:
    moment = pd.Timestamp("2024-01-01", tz="UTC")
    same(moment, round_trip(moment))
    differ(
        moment,
        pd.Timestamp("2024-01-01"),
        pd.Timestamp("2024-01-01").as_unit("ns"),
        pd.Timestamp("2024-01-01").to_pydatetime(),
        pd.NaT,
        pd.NA,
        None,
        pd.Timedelta("1s"),
        pd.Timedelta("2s"),
        pd.Period("2024-01"),
        pd.Period("2024-01-01"),
        pd.Interval(0, 1),
        pd.Interval(0, 1, closed="both"),
        pd.offsets.MonthEnd(1),
        pd.offsets.MonthEnd(2),
    )


class Geo(pd.DataFrame):
    _metadata = ["crs"]  # noqa: RUF012


def test_subclasses_of_frames_count_what_they_name() -> None:
    one, other = Geo(frame()), Geo(frame())
    one.crs, other.crs = "a", "b"
    differ(one, other, frame())
    same(one, round_trip(one))


def test_unique_strings_passed_twice() -> None:
    column = pd.Series(["b", "a", "b"])
    same(column.unique(), column.unique(), pd.Series(["b", "a"]).unique())


def test_paths_into_frames() -> None:
    with pytest.raises(UnkeyableError) as caught:
        encode(("data",), (pd.DataFrame({"a": [1], "b": [object()]}),))
    assert caught.value.path == 'data["b"][0]'


# arrow and polars


def table() -> pa.Table:
    return pa.table(
        {
            "int": [1, None, 3],
            "text": ["x", None, "yy"],
            "list": [[1], None, [2, 3]],
            "dictionary": pa.array(["u", "v", "u"]).dictionary_encode(),
            "struct": [{"q": 1}, None, {"q": None}],
            "bool": [True, None, False],
            "map": pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int64())),
            "decimal": pa.array([1, None, 3]).cast(pa.decimal128(30, 2)),
            "day": pa.array([datetime.date(2024, 1, 1), None, datetime.date(2025, 1, 1)]),
            "fixed": pa.array([b"ab", None, b"cd"], pa.binary(2)),
            "view": pa.array(["x", None, "a text that is longer than it fits"], pa.string_view()),
            "pairs": pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int64(), 2)),
            "null": pa.nulls(3),
        }
    )


def test_tables_by_any_route() -> None:
    value = table()
    taken = value.drop_columns(["view", "pairs"])
    same(value, table(), round_trip(value), pa.concat_tables([value, value]).slice(3))
    same(value, pa.concat_tables([value.slice(0, 1), value.slice(1)]))
    same(taken, taken.take([0, 1, 2]))
    differ(
        value,
        value.slice(1),
        value.drop_columns("int"),
        value.replace_schema_metadata({"x": "y"}),
        value.rename_columns([f"c{i}" for i in range(value.num_columns)]),
        value.to_batches()[0],
    )


@pytest.mark.parametrize("name", table().column_names)
def test_columns_of_arrow(name: str) -> None:
    column = table().column(name)
    twice = pa.chunked_array([*column.chunks, *column.chunks])
    same(
        column,
        twice.slice(3),
        twice.slice(0, 3),
        pa.chunked_array([column.chunk(0).slice(0, 1), column.chunk(0).slice(1)]),
    )
    differ(column, column.slice(0, 2), twice)
    if name != "null":
        differ(column.chunk(0), pa.concat_arrays([column.chunk(0).slice(0, 1)] * 3))
    same(column[0], column[0])


def test_bytes_under_missing_values_do_not_count() -> None:
    shown, hidden = pa.array([1, 2, 3]), pa.array([1, 9, 3])
    mask = pa.array([True, False, True]).buffers()[1]
    one, other = (pa.Array.from_buffers(pa.int64(), 3, [mask, numbers.buffers()[1]]) for numbers in (shown, hidden))
    same(one, other, pa.array([1, None, 3]))
    differ(one, pa.array([1, 0, 3]), pa.array([1, None, 3], pa.int32()))


def polars_frame() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "int": [1, None, 3],
            "text": ["x", None, "yy"],
            "list": [[1], None, [2, 3]],
            "category": pl.Series(["u", "v", "v"], dtype=pl.Categorical),
            "enum": pl.Series(["u", "v", "v"], dtype=pl.Enum(["u", "v"])),
            "struct": [{"q": 1}, None, {"q": None}],
            "bool": [True, None, False],
            "day": [datetime.date(2024, 1, 1), None, datetime.date(2025, 1, 1)],
            "moment": [datetime.datetime(2024, 1, 1), None, datetime.datetime(2025, 1, 1)],
            "decimal": pl.Series([1, None, 3]).cast(pl.Decimal(10, 2)),
            "bytes": [b"x", None, b""],
            "array": pl.Series([[1, 2], None, [3, 4]], dtype=pl.Array(pl.Int64, 2)),
            "nested": [[{"a": [1]}], [], None],
            "float": [0.5, None, float("nan")],
        }
    )


def test_polars_by_any_route() -> None:
    value = polars_frame()
    same(value, polars_frame(), round_trip(value), pl.concat([value[:1], value[1:]]), pl.concat([value, value])[3:])
    differ(
        value,
        value[1:],
        value.drop("int"),
        value.rename({"int": "z"}),
        value.with_columns(pl.col("int").cast(pl.Int32)),
        value.select(reversed(value.columns)),
    )


@pytest.mark.parametrize("name", polars_frame().columns)
def test_columns_of_polars(name: str) -> None:
    column = polars_frame()[name]
    same(column, pl.concat([column, column])[3:], column.clone())
    differ(column, column[:2], column[[0, 0, 2]], column[[2, 1, 0]], column.alias("other"))
    same(column.dtype, polars_frame()[name].dtype)


def test_empty_lists_and_missing_lists_differ() -> None:
    kind = pl.List(pl.Int64)
    differ(*(pl.Series(rows, dtype=kind) for rows in ([[], [1]], [None, [1]], [[1], []], [[1], None], [[None], [1]])))
    listed = pa.list_(pa.int64())
    differ(*(pa.array(rows, listed) for rows in ([[], [1]], [None, [1]], [[1], []], [[1], None], [[None], [1]])))


# matrices, graphs, estimators, tensors


@pytest.mark.parametrize("format_", ["csr", "csc", "coo", "bsr", "dia", "dok", "lil"])
def test_sparse_matrices(format_: str) -> None:
    dense = np.array([[1, 0, 2], [0, 0, 3.0]])
    for kind in ("array", "matrix"):
        value = getattr(sparse, f"{format_}_{kind}")(dense)
        same(value, value.copy(), round_trip(value))
        differ(value, value * 2, getattr(sparse, f"{format_}_{kind}")(dense.astype("f4")), dense)
    differ(*(getattr(sparse, f"{format_}_{kind}")(dense) for kind in ("array", "matrix")))


def test_sparse_matrices_in_any_order() -> None:
    ordered = sparse.csr_array(np.array([[1, 0, 2], [0, 0, 0.0]]))
    turned = sparse.csr_array((np.array([2.0, 1.0]), np.array([2, 0]), np.array([0, 2, 2])), shape=(2, 3))
    same(ordered, turned)
    assert turned.indices.tolist() == [2, 0]  # looking has changed nothing
    entries = (np.array([1.0, 2.0]), (np.array([0, 1]), np.array([1, 0])))
    back = (entries[0][::-1], (entries[1][0][::-1], entries[1][1][::-1]))
    same(sparse.coo_array(entries, shape=(2, 2)), sparse.coo_array(back, shape=(2, 2)))
    differ(sparse.coo_array(entries, shape=(2, 2)), sparse.coo_array(entries, shape=(2, 3)))


class Roads(nx.DiGraph):  # type: ignore[type-arg]
    pass


def test_graphs() -> None:
    one, other = nx.Graph([(1, 2), (2, 3)]), nx.Graph([(2, 3), (2, 1)])
    same(one, other, round_trip(one))
    before = fingerprint(one)
    assert (len(one.degree), len(one.adj)) == (3, 3)  # which the graph keeps
    assert fingerprint(one) == before
    heavy, named = nx.Graph([(1, 2), (2, 3)]), nx.Graph([(1, 2), (2, 3)], name="x")
    heavy[1][2]["weight"] = 2
    differ(one, heavy, named, nx.DiGraph(one), nx.MultiGraph(one), nx.Graph([(1, 2)]), Roads(one))


def test_estimators() -> None:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline

    same(make_pipeline(Ridge(1)), copy.deepcopy(make_pipeline(Ridge(1))))
    differ(make_pipeline(Ridge(1)), make_pipeline(Ridge(2)), Ridge(1))
    x = np.random.default_rng(0).random((30, 3))
    y = x[:, 0] > 0.5

    def forest(seed: int) -> Any:
        return RandomForestClassifier(3, random_state=seed).fit(x, y)

    same(forest(0), forest(0), round_trip(forest(0)))
    differ(forest(0), forest(1), RandomForestClassifier(3, random_state=0))


def test_tensors() -> None:
    torch = pytest.importorskip("torch")
    value = torch.arange(6.0).reshape(2, 3)
    same(value, value.clone(), value.t().contiguous().t(), torch.arange(12.0)[:6].reshape(2, 3), round_trip(value))
    differ(value, value + 1, value.double(), value.reshape(3, 2), value.clone().requires_grad_(), value.numpy())
    differ(torch.ones(2, dtype=torch.bfloat16), torch.ones(2, dtype=torch.float16))
    layer = torch.nn.Linear(2, 1)
    before = fingerprint(layer)
    same(layer, copy.deepcopy(layer))
    with torch.no_grad():
        layer.weight[0, 0] += 1
    assert fingerprint(layer) != before
