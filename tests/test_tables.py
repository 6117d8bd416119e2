"""Arrow and Parquet: tables come back from every library as they were, to the last dtype, or are refused."""

from __future__ import annotations

import io
import mmap
import subprocess
import sys
from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import warm
from pandas.testing import assert_frame_equal, assert_series_equal
from pyarrow import parquet

from memo import Cache, _entry
from memo.errors import DamagedError, OptionError, UnstorableError
from memo.serializers import Arrow, Parquet, serializer
from memo.testing._serializer import SerializerSuite

both = pytest.mark.parametrize("make", [Arrow, Parquet, lambda: Parquet("zstd")], ids=["arrow", "parquet", "zstd"])


def numbers(rows=30_000):
    return pd.DataFrame(
        {"i": np.arange(rows), "f": np.linspace(0, 1, rows), "s": [f"n{i}" for i in range(rows)], "j": np.arange(rows, dtype="i4")}
    )  # fmt: skip


def mixed():
    return pd.DataFrame(
        {
            "gap": [1.5, np.nan, -0.0], "yes": [True, False, True], "text": ["a", None, "ü"], "day": pd.date_range("2024", periods=3),
            "zoned": pd.date_range("2024", periods=3, tz="Europe/Paris"), "span": pd.to_timedelta([1, 2, None], unit="s"),
            "kind": pd.Categorical(["a", "b", None], categories=["b", "a", "c"], ordered=True), "Int": pd.array([1, None, 3], dtype="Int16"),
            "Bool": pd.array([True, None, False], dtype="boolean"), "f4": np.array([1, 2, 3], "f4"), "u1": np.array([1, 2, 255], "u1"),
            "bytes": pd.Series([b"a", None, b"\xff"], dtype=object), "dec": pd.Series([Decimal("1.25")] * 3, dtype=object),
            "days": pd.Series([date(2024, 2, 29), None, date(1, 1, 1)], dtype=object), "arrow": pd.array([1, None, 2], dtype="int64[pyarrow]"),
            "dict": [{"a": 1, "b": "x"}] * 3,
        }
    )  # fmt: skip


def with_attrs():
    frame = numbers(5)
    frame.attrs = {"source": "x", "parts": [1, {"a": None}]}
    return frame


def pandas_values():
    frame = numbers(6)
    columns = frame[["i", "f"]].set_axis(
        pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")], names=["one", None]), axis=1
    )
    return [
        numbers(), mixed(), with_attrs(), frame.set_index("s"), frame.set_index(["s", "i"]), frame[::2], frame.iloc[2:4],
        frame.set_index(pd.date_range("2024", periods=6, freq="D", name="when")), frame.set_index(pd.Index([3, 1, 2, 2, 0, 9])),
        frame.set_index(frame["s"].astype("category")), frame.set_axis(pd.Index(["i", "f", "s", "j"], name="what"), axis=1), columns,
        pd.DataFrame(), pd.DataFrame(index=[1, 2]), pd.DataFrame({"a": []}), numbers(0), pd.DataFrame({"a": np.zeros((3, 2))[:, 1]}), pd.DataFrame(np.zeros((3, 4))),
        pd.DataFrame(np.asfortranarray(np.arange(6.0).reshape(3, 2)), columns=["x", "y"]), frame.set_index(pd.RangeIndex(3, 15, 2, name="r")),
        frame["f"], frame["s"], frame["f"].rename(None), mixed()["zoned"], frame.set_index("s")["i"], mixed()["kind"].rename(3),
    ]  # fmt: skip


def polars_values():
    rows = 9000
    frame = pl.DataFrame({"i": range(rows), "s": [f"name {i}" if i % 7 else None for i in range(rows)]}).with_columns(
        pl.lit("1.25").cast(pl.Decimal(10, 2)).alias("dec"), pl.lit(None).alias("none"), pl.struct("i", "s").alias("struct"),
        pl.col("s").cast(pl.Categorical).alias("cat"), pl.lit("a").cast(pl.Enum(["b", "a"])).alias("enum"), pl.lit(b"\xff").alias("bytes"),
        pl.concat_list("i", pl.lit(None)).alias("list"), (pl.col("i").cast(pl.Float32) / 3).alias("f4"), (pl.col("i") % 3 == 0).alias("yes"),
        pl.datetime(2024, 1, 1).dt.replace_time_zone("Europe/Paris").alias("zoned"), pl.date(2024, 2, 29).alias("day"),
        pl.duration(milliseconds=pl.col("i")).alias("span"), pl.time(1, 2, 3).alias("time"),
    )  # fmt: skip
    large = pl.DataFrame({"a": np.arange(90_000.0), "b": [float("nan"), None, -0.0] * 30_000})
    return [
        frame,
        large,
        frame.clear(),
        pl.DataFrame(),
        frame[100:200],
        pl.concat([large, large], rechunk=False),
        frame["s"],
        large["b"],
        frame["enum"][5:7],
    ]


def pyarrow_values():
    table = pa.table(
        {"a": np.arange(30_000), "s": [f"n{i}" for i in range(30_000)], "n": [None, 1.5, float("nan")] * 10_000}
    )
    noted = table.replace_schema_metadata({"who": "me", "pandas": "{}"})
    field = pa.schema([pa.field("x", pa.int8(), nullable=False, metadata={"unit": "m"})])
    twice = pa.table([pa.array([1]), pa.array(["x"])], names=["same", "same"])
    return [
        table,
        noted,
        table[:0],
        pa.table({}),
        table[100:200],
        pa.concat_tables([table, table]),
        pa.table([pa.array([1, 2], pa.int8())], schema=field),
        twice,
    ]


REFUSED = [
    None, [1], {"a": np.arange(3)}, np.arange(3), pd.Index([1]), pl.DataFrame({"a": [1]}).lazy(), pa.array([1]),
    pd.DataFrame({"a": [1, "x"]}), pd.DataFrame({"a": [[1], [2]]}), pd.DataFrame({"a": [object()]}),
    pd.DataFrame({"a": pd.period_range("2024", periods=2, freq="D")}), pd.DataFrame({"a": pd.interval_range(0, 2)}),
    pd.DataFrame([[1, 2]], columns=["a", "a"]), pd.DataFrame({"a": pd.Series([1, 2], dtype=object)}),
    pd.DataFrame({"a": pd.Series([None, float("nan"), "x"], dtype=object)}), pd.DataFrame({"a": [1 + 2j]}),
    pd.DataFrame({"a": pd.arrays.SparseArray([0, 0, 1])}), pd.Series([1], name=("a", 1)), pd.Series([{"a": (1,)}]),
    pl.DataFrame({"o": pl.Series([object()], dtype=pl.Object)}), pl.DataFrame({"h": pl.Series([2**100], dtype=pl.Int128)}),
    pa.table({"a": pa.array([1])}).replace_schema_metadata({"memo": "mine"}),
]  # fmt: skip


class Frame(pd.DataFrame):
    pass


class Tables(SerializerSuite):
    refused = (*REFUSED, Frame({"a": [1]}), pd.DataFrame({"a": [1]}).set_flags(allows_duplicate_labels=False))

    def zoo(self):
        return [*pandas_values(), *polars_values(), *pyarrow_values()]

    def same(self, one, other):
        if type(one) is not type(other):
            return False
        if isinstance(one, pd.DataFrame):
            assert_frame_equal(one, other, check_exact=True)
            return one.attrs == other.attrs and [*map(repr, one.dtypes)] == [*map(repr, other.dtypes)]
        if isinstance(one, pd.Series):
            assert_series_equal(one, other, check_exact=True)
            return one.attrs == other.attrs
        if isinstance(one, pl.DataFrame):
            return one.schema == other.schema and one.equals(other)
        if isinstance(one, pl.Series):
            return (one.name, one.dtype) == (other.name, other.dtype) and one.equals(other)
        return one.schema.equals(other.schema, check_metadata=True) and all(
            map(same_column, one.columns, other.columns)
        )


def same_column(one, other):
    """By the text where there may be NaN."""
    if pa.types.is_floating(one.type):
        return repr(one.to_pylist()) == repr(other.to_pylist())
    return one.equals(other)


class TestArrow(Tables):
    def make(self):
        return Arrow()


class TestParquet(Tables):
    def make(self):
        return Parquet()


class TestParquetZstd(Tables):
    def make(self):
        return Parquet("zstd")

    def zoo(self):
        return super().zoo()[::5]  # it differs in how bytes are packed alone


@pytest.mark.slow
class TestParquetZstdOnAll(Tables):
    def make(self):
        return Parquet("zstd")


def mapped(tmp_path, parts):
    path = tmp_path / "body"
    path.write_bytes(b"".join(parts))
    with open(path, "rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))


def inside(address, size, body):
    start = pa.py_buffer(body).address
    return start <= address and address + size <= start + len(body)


def test_polars_and_pyarrow_tables_are_the_mapped_file(tmp_path):
    frame = pl.DataFrame({"a": np.arange(90_000.0), "s": [f"a longer name {i}" for i in range(90_000)]})
    table = pa.table({"a": np.arange(90_000.0), "s": [f"n{i}" for i in range(90_000)]})
    for number, value in enumerate((frame, table)):
        (folder := tmp_path / str(number)).mkdir()
        body = mapped(folder, Arrow().dump(value))
        back = Arrow().load(body)
        arrow = back if number else back.to_arrow(compat_level=pl.CompatLevel.newest())
        for column in arrow.columns:
            for buffer in column.chunk(0).buffers():
                views = buffer is not None and buffer.size == 16 * len(
                    value
                )  # what polars has of its own for each text
                assert buffer is None or views or buffer.size < 100_000 or inside(buffer.address, buffer.size, body)


def test_numbers_of_pandas_are_the_mapped_file_and_can_be_written_to(tmp_path):
    value = numbers()
    value["when"] = pd.date_range("2024", periods=len(value), freq="s")
    path_body = mapped(tmp_path, Arrow().dump(value))
    back = Arrow().load(path_body)
    for name in ("i", "f", "j", "when"):
        array = back[name].to_numpy()
        assert inside(array.__array_interface__["data"][0], array.nbytes, path_body), name
    before = (tmp_path / "body").read_bytes()
    back.loc[0, "i"] = 77
    back["f"] += 1
    back.iloc[3, 3] = 5
    assert back["i"][0] == 77
    assert (tmp_path / "body").read_bytes() == before, "in memory of its own"


@pytest.mark.parametrize("memory", [memoryview, lambda data: memoryview(bytearray(data))], ids=["database", "mapped"])
@both
def test_every_column_can_be_written_to(make, memory):
    data = b"".join(make().dump(mixed()))
    for name in mixed().columns.drop("dict"):  # pandas does not take a dict there
        back = make().load(memory(data))
        back.loc[0, name] = back.loc[2, name]
        back.iloc[2] = back.iloc[1]
    assert_frame_equal(make().load(memory(data)), mixed())


def test_written_without_a_copy():
    for value in (pl.DataFrame({"a": np.arange(90_000.0)}), pa.table({"a": np.arange(90_000.0)}), numbers()):
        source = value["f"].to_numpy() if isinstance(value, pd.DataFrame) else value["a"].to_numpy()
        parts = Arrow().dump(value)
        assert any(np.shares_memory(np.frombuffer(part, "u1"), source) for part in parts if len(part) > 1000)


def test_a_slice_does_not_bring_the_whole():
    frame = pl.DataFrame({"s": [f"a longer name {i}" for i in range(90_000)], "a": np.arange(90_000)})
    for value in (
        frame[100:200],
        frame[100:200]["s"],
        numbers()[100:200],
        pa.table({"s": frame["s"].to_list()})[100:200],
    ):
        assert sum(map(len, Arrow().dump(value))) < 20_000


def test_dictionaries_of_several_pieces():
    pieces = [pa.array(["x", "y"]).dictionary_encode(), pa.array(["z", "x"]).dictionary_encode()]
    with pytest.raises(UnstorableError, match=r"[Dd]ictionary"):
        Arrow().dump(pa.table({"d": pa.chunked_array(pieces)}))
    for value in (
        pa.table({"d": pa.chunked_array([pieces[0]] * 2)}),
        pl.concat([pl.Series(["a", "b"], dtype=pl.Categorical)] * 2, rechunk=False),
    ):
        assert Arrow().load(memoryview(b"".join(Arrow().dump(value)))).equals(value)


@both
def test_other_programs_read_the_files(make, tmp_path):
    for value in (numbers(50), pl.DataFrame({"i": [1], "s": ["x"]}), pa.table({"i": [1], "s": ["x"]})):
        cache = Cache(tmp_path / type(value).__module__.partition(".")[0], serializer=make(), storage="files")
        cache.persist(lambda value=value: value, name="f", ignore=["value"])()
        plug = make()
        [path] = (tmp_path / type(value).__module__.partition(".")[0]).rglob(f"*{plug.suffix}")
        if plug.name == "arrow":
            table, frame, other = (
                pa.ipc.open_file(path).read_all(),
                pd.read_feather(path),
                pl.read_ipc(path),
            )
        else:
            table, frame, other = parquet.read_table(path), pd.read_parquet(path), pl.read_parquet(path)
        assert (
            table["i"].to_pylist()
            == frame["i"].to_list()
            == other["i"].to_list()
            == list(value["i"].to_pylist() if plug and hasattr(value["i"], "to_pylist") else value["i"])
        )


def test_other_tables_and_kinds_are_damage():
    sink = io.BytesIO()
    table = pa.table({"a": [1]})
    for note in (None, {"memo": '{"kind": "numpy.ndarray"}'}):
        table = table.replace_schema_metadata(note)
        with pa.ipc.new_file(sink := io.BytesIO(), table.schema) as writer:
            writer.write_table(table)
        with pytest.raises(DamagedError):
            Arrow().load(memoryview(sink.getvalue()))


def test_a_frame_of_another_process(tmp_path):
    program = f"""
import sys
from memo import Cache
def f(kind):
    print("computing")
    import numpy
    if kind == "pandas":
        import pandas
        return pandas.DataFrame({{"a": numpy.arange(90_000), "t": pandas.date_range("2024", periods=90_000, tz="UTC")}})
    import polars
    return polars.DataFrame({{"a": range(90_000), "s": ["x"] * 90_000}})
for kind in ("pandas", "polars"):
    persisted = Cache({str(tmp_path / "place")!r}, serializer=sys.argv[1]).persist(f, code="own")
    got = persisted(kind)
    print(type(got).__module__.partition(".")[0], got["a"].sum(), got.dtypes.iloc[1] if kind == "pandas" else got.dtypes[1])
"""
    for name in ("arrow", "parquet"):
        for expected in (2, 0) if name == "arrow" else (0,):
            shown = warm.run(["-c", program, name], check=True, loaded="numpy pandas polars pyarrow.parquet").stdout
            assert shown.count("computing") == expected
            assert "pandas 4049955000 datetime64[us, UTC]" in shown or "pandas 4049955000 datetime64[ns, UTC]" in shown
            assert "polars 4049955000 String" in shown


def test_parquet_options():
    with pytest.raises(OptionError, match=r"Parquet\(compression=\.\.\.\) must be one of .*zstd.*got 'zip'"):
        Parquet("zip")
    value = numbers()
    data = b"".join(Parquet("zstd").dump(value))
    assert len(data) < len(b"".join(Parquet("none").dump(value)))
    assert_frame_equal(Parquet().load(memoryview(data)), value)


@pytest.mark.parametrize("name", ["arrow", "parquet"])
def test_without_pyarrow_it_says_what_to_install(name):
    program = f"""
import sys
sys.modules["pyarrow"] = None
from memo import Cache
try:
    Cache("x", serializer={name!r})
except ImportError as error:
    print(error)
"""
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout
    assert shown == f'the serializer {name} needs the package pyarrow: pip install "memo-persist[arrow]"\n'


def test_refusals_say_what(tmp_path):
    for value, message in (
        (
            pd.DataFrame({"a": pd.Series([1, 2], dtype=object)}),
            r"column 'a' is of dtype\('O'\) and would be dtype\('int64'\); use serializer='pickle'",
        ),
        (numbers(2).assign(b=pd.period_range("2024", periods=2, freq="D")), "a type that is not Arrow's own"),
        (None, r"stores tables of pandas, polars and pyarrow, not NoneType; use serializer='pickle'"),
    ):
        with pytest.raises(UnstorableError, match=message):
            serializer("arrow").dump(value)


def test_the_head_names_it(tmp_path):
    cache = Cache(tmp_path, serializer="arrow")
    f = cache.persist(numbers, name="numbers")
    f()
    assert _entry.unpack(cache.storage.read(f.cache_key()).head).serializer == "arrow"
    assert_frame_equal(Cache(tmp_path).persist(numbers, name="numbers").get(), numbers())
