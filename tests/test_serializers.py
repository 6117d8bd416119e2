"""Serializers: what goes in comes out, equal and of the same type, or is refused when it is stored."""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys
from array import array
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.dtypes import StringDType

from memo import Cache
from memo.errors import DamagedError, OptionError, UnstorableError
from memo.serializers import Bytes, Cloudpickle, Joblib, Json, Numpy, Pickle, _joblib, serializer
from memo.serializers import Text as TextSerializer
from memo.testing._serializer import SerializerSuite

Point = namedtuple("Point", "x y")


class Colour(IntEnum):
    RED = 1


class Text(str):
    pass


@dataclass
class Sample:
    name: str
    data: np.ndarray

    def __eq__(self, other):
        return type(other) is Sample and self.name == other.name and bool((self.data == other.data).all())


class Strided:
    """Hands pickle a buffer with holes, which pickle can't write."""

    def __reduce_ex__(self, protocol):
        return Strided, (pickle.PickleBuffer(memoryview(bytes(90_000))[::2]),)


def objects():
    return [
        *(b"", b"bytes", bytearray(b"ab"), b"x" * 300_000, bytearray(b"y" * 300_000), "z" * 300_000, 1j, ...),
        *((), (1, (2,)), {1, 2}, frozenset({3}), {1: "a", None: 2, (1, 2): 3}, range(3), Point(1, [2]), Colour.RED),
        *(float("inf"), date(2024, 2, 29), Path("a/b"), Text("t"), OrderedDict(b=1, a=2), len, Path.exists, Sample),
    ]


def arrays():
    big = np.arange(300_000, dtype="f8")
    frame = pd.DataFrame({"i": range(9000), "f": np.linspace(0, 1, 9000), "s": [f"n{i}" for i in range(9000)]})
    return [
        *(np.arange(5), np.zeros(0), np.array(3.5), np.arange(4000, dtype="i4"), big, big.reshape(500, 600)),
        *(np.asfortranarray(big.reshape(500, 600)), big[::3], big.astype(">f8"), np.array(["a", None], dtype=object)),
        *(np.zeros(3000, dtype=[("a", "i2"), ("b", "f8")]), {"x": big, "y": [big[:5000], big[5000:9000]]}, (big, big)),
        *(
            Sample("s", big),
            frame,
            frame["f"],
            frame.set_index(["s", "i"]),
            pd.Series(["a", "b", "a"]).astype("category"),
        ),
    ]


class TestPickle(SerializerSuite):
    refused = ((i for i in "generator"), sys.__stderr__, [memoryview(b"x"), lambda: 1], sys._getframe(), Strided())

    def make(self):
        return Pickle()

    def zoo(self):
        local = [pa.table({"a": range(20000)}), pl.DataFrame({"a": [1, 2], "b": ["x", None]})]
        return [*super().zoo(), *objects(), *arrays(), *local, array("d", [1.5] * 9000)]


class TestCloudpickle(SerializerSuite):
    refused = ((i for i in "generator"), sys.__stderr__, memoryview(b"x"))

    def make(self):
        return Cloudpickle()

    def zoo(self):
        return [*super().zoo(), *objects(), *arrays()]


class TestJson(SerializerSuite):
    refused = (
        *((), {"a": [1, (2,)]}, {1: 2}, {None: 1}, {True: 1}, {1, 2}, b"x", bytearray(), float("nan"), [float("-inf")]),
        *(
            Text("t"),
            {Text("t"): 1},
            Colour.RED,
            OrderedDict(a=1),
            Point(1, 2),
            np.float64(1),
            np.int64(1),
            1j,
            10**5000,
        ),
        *(Sample, date(2024, 2, 29), object(), np.arange(3)),
    )

    def make(self):
        return Json()

    def zoo(self):
        return [*super().zoo(), "\ud83d\ude00", {"\ud800\\": "\\ud800"}, ["\ud800", "😀", '"'], 1e22, 5e-324]


class TestJoblib(SerializerSuite):
    refused = (lambda: 1, sys.__stderr__)

    def make(self):
        return Joblib()

    def zoo(self):
        return [*super().zoo(), *objects(), *arrays()]


class TestJoblibCompressed(TestJoblib):
    def make(self):
        return Joblib(compress=("zlib", 1))


class TestJoblibCopied(TestJoblib):
    def make(self):
        return Joblib(mmap=False)


class TestText(SerializerSuite):
    tells_its_end = False
    refused = (None, b"bytes", 1, Text("t"), ["a"])

    def make(self):
        return TextSerializer()

    def zoo(self):
        return ["", "text", "ü\r\n\0 ", "\ud800", "\ud83d\ude00", "x" * 200_000]


class TestBytes(SerializerSuite):
    tells_its_end = False
    refused = (None, "text", bytearray(b"x"), memoryview(b"x"), 1)

    def make(self):
        return Bytes()

    def zoo(self):
        return [b"", b"bytes", bytes(range(256)), b"x" * 200_000]


class TestNumpy(SerializerSuite):
    refused = (
        *(None, 1.5, [1, 2], np.float64(1), np.array([None]), np.ma.array([1]), {"a": [1]}, {1: np.arange(3)}),
        *({"a": {"b": np.arange(3)}}, {"a\0b": np.arange(3)}, {"\ud800": np.arange(3)}, (np.arange(3), "x")),
        *(np.rec.array([(1, 2)]), np.zeros(2, dtype=[("a", object)]), np.array(["a", "bc"], dtype=StringDType())),
        *(np.zeros(2, np.dtype([("a", "i1"), ("b", "f8")], align=True)), np.zeros(2, dtype=[("☃", "i4")])),
    )

    def make(self):
        return Numpy()

    def zoo(self):
        plain = [value for value in arrays() if type(value) is np.ndarray and not value.dtype.hasobject]
        record = np.zeros(3, dtype=np.dtype({"names": ["a", "b"], "formats": ["i1", "f8"], "offsets": [0, 8]}))
        others = [
            np.array(["2024-02-29", "NaT"], "M8[s]"),
            np.array(["ü", ""]),
            np.zeros((0, 3)),
            np.array([b"x", b""]),
        ]
        named = np.zeros(2, dtype=[("größe", "i4")])
        return [
            *(
                *plain,
                record,
                *others,
                named,
                np.array([np.nan, -0.0]),
                np.zeros((3, 0, 2), order="F"),
                np.zeros(2, "V0"),
            ),
            *({}, (), [], {"a": np.arange(3), "dir/b c.npy": np.arange(40_000.0), "": np.array(1)}, [np.arange(2)]),
            *((np.arange(9), named, np.asfortranarray(np.arange(6).reshape(2, 3))), {"☃": np.zeros((2, 0))}),
        ]


def round_trip(plug, value):
    return plug.load(memoryview(b"".join(plug.dump(value))))


# -------------------------------------------------------------------------------------------------------- pickle


def test_small_values_are_plain_pickles():
    for value in (None, 5, "text", {"a": [1, 2]}, np.arange(100), Sample("s", np.zeros(3))):
        data = b"".join(Pickle().dump(value))
        assert data[0] == 0x80
        assert SerializerSuite().same(pickle.loads(data), value)


@pytest.mark.parametrize("kind", [Pickle, Cloudpickle])
def test_large_values_are_pickles_that_plain_pickle_loads(kind):
    read_only = np.arange(5000.0)
    read_only.flags.writeable = False
    values = [
        np.arange(5000.0),
        read_only,
        {"×" * 151: np.ones((151, 500)), "same": [np.ones(3000)] * 2},  # the opcode of a buffer is the byte 151
        {number: np.full(3000, number) for number in range(300)},
        [
            np.asfortranarray(np.arange(90_000.0).reshape(300, 300)),
            bytearray(b"x" * 20_000),
            Sample("s", np.ones(4000)),
        ],
    ]
    for value in values:
        body = b"".join(kind().dump(value))
        assert SerializerSuite().same(pickle.loads(body), value)
        assert SerializerSuite().same(kind().load(memoryview(bytearray(body))), value)


def test_a_body_is_laid_out_as_the_module_says():
    """Built by hand, so that whatever is written later, what is stored is read."""
    from struct import pack

    array = np.arange(3, dtype="<i4")
    left_out: list[pickle.PickleBuffer] = []
    stream = pickle.dumps(array, 5, buffer_callback=left_out.append)
    before, after = stream[11:].split(b"\x97")
    at = 9 + 24 + 16 + len(stream) + 1 + len(before) + 15
    index = pack("<4sIQQQQ", b"mbuf", 0, 1, len(stream), at, 12) + stream
    indexed = b"\x80\x05N0B" + pack("<I", len(index)) + index + b"0" + before
    indexed += b"B" + pack("<I", 0) + b"0\x96" + pack("<Q", 12) + array.tobytes() + after
    alone = pack("<4sIQQQQ", b"mbuf", 0, 1, len(stream), 40 + len(stream), 12) + stream + array.tobytes()
    assert (pickle.loads(indexed) == array).all()
    for body in (indexed, alone):
        assert (Pickle().load(memoryview(body)) == array).all()
    foreign = indexed.replace(b"mbuf" + bytes(4), b"mbuf" + b"\xff\xff\0\0")
    with pytest.raises(DamagedError, match="another version of Python"):
        Pickle().load(memoryview(foreign))


def test_a_stream_of_many_frames_is_for_memo_alone():
    value = [np.full(2100, number) for number in range(1500)]
    body = b"".join(Pickle().dump(dict(enumerate(value)) | {"long": "x" * 70_000}))
    assert body[:4] == b"mbuf"
    back = Pickle().load(memoryview(bytearray(body)))
    assert all((back[number] == one).all() for number, one in enumerate(value))


def test_large_buffers_are_views_of_the_array_at_aligned_offsets():
    small, medium, large = np.arange(10.0), np.arange(5000.0), np.arange(400_000.0)
    parts = Pickle().dump({"s": small, "m": medium, "l": large})
    at, found = 0, {}
    for part in parts:
        for source in (medium, large):
            if np.shares_memory(np.frombuffer(part, "u1"), source):
                found[source.size] = at
        at += len(part)
    assert set(found) == {5000, 400_000}, "no copy of the large ones"
    assert found[5000] % 64 == 0
    assert found[400_000] % 4096 == 0


def test_arrays_lie_in_writable_memory_without_a_copy():
    value = {"m": np.arange(5000.0), "l": np.arange(400_000.0)}
    memory = bytearray(b"".join(Pickle().dump(value)))
    back = Pickle().load(memoryview(memory))
    whole = np.frombuffer(memory, "u1")
    for name in value:
        assert np.shares_memory(back[name], whole)
        assert back[name].flags.aligned
        assert (back[name] == value[name]).all()


def test_a_read_only_array_stays_read_only():
    value = np.arange(50_000)
    value.flags.writeable = False
    assert not round_trip(Pickle(), value).flags.writeable


def test_one_array_twice_is_stored_once_and_stays_one():
    value = np.arange(100_000.0)
    parts = Pickle().dump([value, value])
    assert sum(map(len, parts)) < 1.1 * value.nbytes
    back = round_trip(Pickle(), [value, value])
    assert back[0] is back[1]


@given(st.lists(st.integers(0, 60_000), max_size=6))
def test_any_mixture_of_sizes_comes_back(sizes):
    value = [np.arange(size, dtype="u1") for size in sizes]
    assert SerializerSuite().same(value, round_trip(Pickle(), value))


def test_lambdas_and_local_classes_come_back():
    factor = 3

    class Local:
        def __init__(self, data):
            self.data = data

    scale, thing = round_trip(Pickle(), (lambda x: x * factor, Local(np.arange(50_000))))
    assert scale(2) == 6
    assert thing.data.sum() == sum(range(50_000))
    assert thing.data.flags.writeable


def test_code_of_another_python_is_refused():
    data = bytearray(b"".join(Pickle().dump(lambda: 1)))
    data[data.index(b"mbuf") + 4] ^= 1
    with pytest.raises(DamagedError, match="another version of Python"):
        Pickle().load(memoryview(data))


def test_a_buffer_beyond_the_end_is_refused():
    data = b"".join(Pickle().dump(np.arange(50_000)))
    with pytest.raises(DamagedError, match="cut off"):
        Pickle().load(memoryview(data)[:-1000])


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_as_it_was_after_a_long_load(enabled):
    seen = []
    value = [Sample("s", np.arange(1)) for _ in range(5000)]
    data = memoryview(b"".join(Pickle().dump([value, Witness(seen)])))
    was = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        Pickle().load(data)
        assert gc.isenabled() == enabled
        with pytest.raises((pickle.UnpicklingError, EOFError)):
            Pickle().load(data[:-1])
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if was else gc.disable)()
    assert WITNESSED[-1] is False, "paused meanwhile"


WITNESSED: list[bool] = []


class Witness:
    def __init__(self, seen):
        pass

    def __reduce__(self):
        return _witness, ()


def _witness():
    WITNESSED.append(gc.isenabled())


def test_what_can_not_be_pickled_is_named():
    with open(__file__) as file, pytest.raises(UnstorableError, match=r"a TextIOWrapper can't be pickled: .*Wrapper"):
        Pickle().dump(file)


MAIN = """
import sys
from memo.serializers import serializer
class Point:
    def __init__(self, x): self.x = x
def double(x): return 2 * x
if sys.argv[1] == "dump":
    class Local: pass
    made = {values}
    sys.stdout.buffer.write(b"".join(serializer("pickle").dump(made)))
else:
    got = serializer("pickle").load(memoryview(sys.stdin.buffer.read()))
    print([type(got[0]) is Point, got[1] is double, got[2](4)])
"""


@pytest.mark.parametrize("third", ["abs", "lambda x: Point(double(x)).x"])
def test_things_of_the_script_come_back_as_the_script_s_own(tmp_path, third):
    script = tmp_path / "script.py"
    script.write_text(MAIN.replace("{values}", f"[Point(1), double, {third}]"))
    data = subprocess.run([sys.executable, script, "dump"], capture_output=True, check=True).stdout
    shown = subprocess.run([sys.executable, script, "load"], input=data, capture_output=True, check=True).stdout
    assert shown.decode().strip() == f"[True, True, {4 if third == 'abs' else 8}]"


BY_VALUE = """
import sys
from memo import Cache
class Point:
    def __init__(self, x): self.x = x
def double(x): return 2 * x
def make(n):
    print("computing")
    class Local:
        def twice(self): return double(n)
    return [Point(n), double, lambda x: Point(double(x)).x, Local(), Local]
got = Cache(sys.argv[1], serializer="cloudpickle").persist(make, code="off", version=1, name="make")(7)
point, function, scale, local, kind = got
print(point.x, function(3), scale(4), local.twice(), type(local) is kind)
"""


def test_cloudpickle_brings_what_the_script_has_into_other_processes(tmp_path):
    (tmp_path / "script.py").write_text(BY_VALUE)
    # a script without Point and double: they can only come from the stored result
    (tmp_path / "other.py").write_text(
        "import sys\nfrom memo import Cache\ndef make(n): raise AssertionError\n"
        + BY_VALUE.partition("got = ")[1]
        + BY_VALUE.partition("got = ")[2]
    )
    shown = [
        subprocess.run(
            [sys.executable, tmp_path / name, tmp_path / "place"], capture_output=True, check=True, text=True
        ).stdout
        for name in ("script.py", "script.py", "other.py")
    ]
    result = "7 6 8 14 True\n"
    assert shown == ["computing\n" + result, result, result]


SPAWNING = """
import multiprocessing, sys
from memo.serializers import serializer
class Point:
    def __init__(self, x): self.x = x
def work(x):
    return b"".join(serializer("pickle").dump([Point(x), bytes(size)]))
if __name__ == "__main__" and sys.argv[1:]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        sys.stdout.buffer.write(pool.apply(work, (5,)))
elif __name__ == "__main__":
    del sys.modules["__mp_main__"]  # which is there only once multiprocessing was imported
    got = serializer("pickle").load(memoryview(sys.stdin.buffer.read()))
    print(type(got[0]) is Point, got[0].x)
"""


@pytest.mark.parametrize("size", [1, 200_000])
def test_what_a_spawned_worker_stored_is_the_script_s_own(tmp_path, size):
    script = tmp_path / "script.py"
    script.write_text(f"size = {size}\n{SPAWNING}")
    data = subprocess.run([sys.executable, script, "dump"], capture_output=True, check=True).stdout
    shown = subprocess.run([sys.executable, script], input=data, capture_output=True, check=True).stdout
    assert shown.decode().split() == ["True", "5"]


# -------------------------------------------------------------------------------------------------------- polars


def frame(rows):
    numbers = pl.DataFrame({"i": range(rows), "s": [f"name {i}" if i % 7 else None for i in range(rows)]})
    return numbers.with_columns(
        b=pl.col("i") % 3 == 0,
        f=pl.col("i").cast(pl.Float32) / 3,
        d=pl.lit(date(2024, 1, 1)) + pl.duration(days=pl.col("i") % 1000),
        t=(pl.datetime(2024, 1, 1) + pl.duration(seconds=pl.col("i"))).dt.replace_time_zone("Europe/Paris"),
        l=pl.concat_list(pl.col("i"), pl.lit(None)),
    )


@pytest.mark.parametrize("rows", [0, 3, 30_000])
def test_polars_frames_come_back_equal(rows):
    value = frame(rows)
    back = round_trip(Pickle(), {"frame": value, "column": value["t"]})
    assert back["frame"].equals(value)
    assert back["frame"].schema == value.schema
    assert back["column"].equals(value["t"])
    assert (back["column"].name, back["column"].dtype) == ("t", value["t"].dtype)


@pytest.mark.parametrize("plug", [Pickle, Cloudpickle])
def test_large_polars_frames_are_not_copied_into_the_stream(plug):
    value = pl.DataFrame({"a": np.arange(400_000.0), "b": np.arange(400_000)})
    parts = plug().dump(value)
    assert sorted(map(len, parts))[-2:] == [3_200_000, 3_200_000]
    assert sum(map(len, parts)) < 6_500_000


@pytest.mark.parametrize(
    "make",
    [
        lambda: frame(90_000).slice(30_000, 9000),
        lambda: pl.concat([frame(9000), frame(9000)], rechunk=False),
        lambda: frame(9000).with_columns(c=pl.col("s").cast(pl.Categorical)),
        lambda: frame(9000).with_columns(e=pl.lit("a").cast(pl.Enum(["a", "b"]))),
        lambda: frame(9000).with_columns(s2=pl.struct("i", "s")),
        lambda: frame(9000).with_columns(n=pl.lit(None), m=pl.lit("1.25").cast(pl.Decimal(10, 2))),
        lambda: pl.DataFrame({"h": pl.Series([2**100] * 9000, dtype=pl.Int128)}),
        lambda: frame(9000).with_columns(a=pl.concat_list("i", "i").cast(pl.Array(pl.Int64, 2))),
    ],
    ids=["slice", "chunks", "categorical", "enum", "struct", "null and decimal", "int128", "array"],
)
def test_polars_columns_of_other_kinds_come_back_equal(make):
    value = make()
    data = b"".join(Pickle().dump(value))
    back = Pickle().load(memoryview(data))
    assert back.equals(value)
    assert back.schema == value.schema
    assert len(data) < 3 * value.estimated_size(), "a slice does not bring the whole"


def test_polars_objects_are_refused():
    with pytest.raises(Exception, match="Object"):
        Pickle().dump(pl.DataFrame({"o": pl.Series([object()] * 9000, dtype=pl.Object)}))


# ---------------------------------------------------------------------------------------------------------- json


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [0, 1, 2, (3,)]}, r'^value\["a"\]\[3\] is of type tuple, which would come back from JSON as list'),
        ({"a": {"ü": {1: 2}}}, r'^value\["a"\]\["ü"\] has the key 1 of type int; keys in JSON are str'),
        ([1.0, [float("nan")]], r"^value\[1\]\[0\] is nan, which JSON has no number for"),
        (Text("x"), r"^value is of type .*\.Text, which would come back from JSON as str"),
        ({"a": {1}}, r'^value\["a"\] is of type set, which JSON does not have'),
        (np.float64(1.5), r"^value is of type numpy.float64, which would come back from JSON as float"),
        ([10**5000], r"^the value can't be written as JSON: .*4300 digits"),
    ],
)
def test_json_names_the_place_of_what_it_would_change(value, message):
    with pytest.raises(UnstorableError, match=message):
        Json().dump(value)


def test_json_of_a_value_that_contains_itself():
    value: list = []
    value.append(value)
    with pytest.raises(UnstorableError, match="contains itself"):
        Json().dump(value)


def test_json_is_readable_by_people_and_others():
    data = b"".join(Json().dump({"name": "Zoë", "undecodable": "\udcff", "values": [1]}))
    assert data.decode() == '{\n  "name": "Zoë",\n  "undecodable": "\\udcff",\n  "values": [\n    1\n  ]\n}\n'


characters = st.text(st.characters() | st.characters(categories=["Cs"]), max_size=8)
trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | characters | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(characters | st.integers(), inner, max_size=3) | st.tuples(inner)
    ),
    max_leaves=12,
)


@given(trees)
def test_json_gives_back_the_same_or_refuses(value):
    try:
        back = round_trip(Json(), value)
    except UnstorableError:
        return
    assert SerializerSuite().same(value, back)


@given(trees)
def test_pickle_gives_back_the_same(value):
    assert SerializerSuite().same(value, round_trip(Pickle(), value))


# -------------------------------------------------------------------------------------------------------- joblib


def test_joblib_reads_its_own_files(tmp_path):
    import joblib

    for plug in (Joblib(), Joblib(3), Joblib("xz"), Joblib(("gzip", 1))):
        path = tmp_path / "value.joblib"
        path.write_bytes(b"".join(plug.dump({"a": np.arange(1000)})))
        assert (joblib.load(path)["a"] == np.arange(1000)).all()
        assert (Joblib().load(memoryview(path.read_bytes()))["a"] == np.arange(1000)).all()


@pytest.mark.parametrize("compress", [12, -1, "lzx", [], ("zlib",), 2.5])
def test_joblib_refuses_a_compression_that_does_not_exist(compress):
    with pytest.raises(OptionError, match="Joblib"):
        Joblib(compress)


# --------------------------------------------------------------------------------------------------------- numpy


@pytest.mark.parametrize("kind", [dict, tuple, list])
def test_numpy_opens_what_memo_wrote(tmp_path, kind):
    one, two = np.arange(10_000.0), np.asfortranarray(np.arange(6).reshape(2, 3))
    value = {"one": one, "two": two} if kind is dict else kind([one, two])
    path = tmp_path / "value.npy"
    path.write_bytes(b"".join(Numpy().dump(value)))
    with np.load(path, allow_pickle=False) as opened:
        assert list(opened) == (["one", "two"] if kind is dict else ["arr_0", "arr_1"])
        for name, array in zip(opened, (one, two), strict=True):
            assert (opened[name] == array).all()


@pytest.mark.parametrize("order", ["C", "F"])
def test_numpy_arrays_lie_in_writable_memory_without_a_copy(order):
    array = np.asarray(np.arange(60_000.0).reshape(200, 300), order=order)
    for value in (array, {"a": np.arange(3), "longer name": array, "c": array}):
        parts = Numpy().dump(value)
        assert any(np.shares_memory(np.frombuffer(part, "u1"), array) for part in parts), "written without a copy"
        memory = bytearray(b"".join(parts))
        loaded = Numpy().load(memoryview(memory))
        back = loaded if value is array else loaded["longer name"]
        assert np.shares_memory(back, np.frombuffer(memory, "u1"))
        assert (
            back.__array_interface__["data"][0] - np.frombuffer(memory, "u1").__array_interface__["data"][0]
        ) % 64 == 0
        assert back.flags.f_contiguous == (order == "F")


def test_numpy_never_unpickles(tmp_path):
    path = tmp_path / "objects.npy"
    np.save(path, np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(DamagedError, match="objects"):
        Numpy().load(memoryview(path.read_bytes()))


# -------------------------------------------------------------------------------------------------------- joblib


@pytest.mark.parametrize("order", ["C", "F"])
def test_joblib_arrays_lie_in_writable_memory(order):
    value = {"a": np.asarray(np.arange(60_000.0).reshape(200, 300), order=order), "b": [np.arange(3), np.zeros((2, 0))]}
    memory = bytearray(b"".join(Joblib().dump(value)))
    whole = np.frombuffer(memory, "u1")
    back = Joblib().load(memoryview(memory))
    assert SerializerSuite().same(value, back)
    assert np.shares_memory(back["a"], whole)
    assert back["a"].flags.f_contiguous == (order == "F")
    assert back["a"].flags.aligned
    assert type(back["a"]) is np.ndarray
    assert not np.shares_memory(Joblib(mmap=False).load(memoryview(memory))["a"], whole)
    assert not np.shares_memory(Joblib().load(memoryview(bytes(memory)))["a"], whole)
    with pytest.raises(OptionError, match=r"Joblib\(mmap=\.\.\.\) must be True or False"):
        Joblib(mmap="r+")


def test_what_joblib_maps_is_the_file_and_never_changes_it(tmp_path):
    cache = Cache(tmp_path, serializer="joblib", storage="files")

    def f():
        return {"a": np.arange(90_000.0)}

    cache.persist(f, name="f")()
    [path] = tmp_path.rglob("*.joblib")
    before = path.read_bytes()
    for _ in range(2):
        back = Cache(tmp_path, serializer="joblib").persist(f, name="f").get()
        assert (back["a"] == np.arange(90_000.0)).all()
        back["a"][:] = 7
    assert path.read_bytes() == before
    assert (joblib.load(path)["a"] == np.arange(90_000.0)).all(), "joblib itself reads it"


def test_joblib_without_its_place_holder_copies(monkeypatch):
    _joblib._unpickler.cache_clear()
    monkeypatch.delattr("joblib.numpy_pickle.NumpyArrayWrapper.read_array")
    assert _joblib._unpickler() is None
    _joblib._unpickler.cache_clear()


# ---------------------------------------------------------------------------------- text and bytes are the file itself


@pytest.mark.parametrize(
    ("name", "value"),
    [("text", "zwei\r\nZeilen ü"), ("bytes", bytes(range(256))), ("text", ""), ("bytes", b"x" * 300_000)],
)
def test_the_file_is_the_result_byte_for_byte(name, value, tmp_path):
    Cache(tmp_path, serializer=name, storage="files").persist(lambda: value, name="f")()
    [path] = [path for suffix in ("*.txt", "*.bin") for path in tmp_path.rglob(suffix)]
    with open(path, "rb") as file:
        content = file.read()
    assert (content.decode() if name == "text" else content) == value


# ------------------------------------------------------------------------------------------------------ registry


def test_names_give_one_instance_each():
    for name in ("pickle", "json", "joblib", "cloudpickle", "text", "bytes", "numpy"):
        assert serializer(name) is serializer(name)
        assert serializer(name).name == name
    plug = Joblib(compress=3)
    assert serializer(plug) is plug


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("pikle", r"there is no serializer 'pikle': expected one of .*json.*pickle.*memo\.serializers"),
        (3, "got a int without dump and load"),
        (Json, r"must be an instance, not a class: write Json\(\)"),
        (pickle, "got a module without dump and load|got a module without a name"),
    ],
)
def test_what_is_no_serializer_is_refused_clearly(choice, message):
    with pytest.raises(OptionError, match=message):
        serializer(choice)


REVERSED = """
class Reversed:
    name = "reversed"
    def dump(self, value): return [value[::-1]]
    def load(self, data): return bytes(data)[::-1]
class Misnamed(Reversed):
    name = "other"
instance = Reversed()
"""


def test_serializers_of_other_packages_are_found_by_entry_point(tmp_path):
    (tmp_path / "reversing.py").write_text(REVERSED)
    info = tmp_path / "reversing-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: reversing\nVersion: 1.0\n")
    points = "reversed = reversing:Reversed\npickle = reversing:Reversed\nmisnamed = reversing:Misnamed\n"
    (info / "entry_points.txt").write_text(f"[memo.serializers]\n{points}")
    program = """
from memo.serializers import serializer
from memo.errors import OptionError
print(serializer("reversed").dump(b"abc"), type(serializer("pickle")).__name__)
try:
    serializer("misnamed")
except OptionError as error:
    print(error)
"""
    env = {"PYTHONPATH": str(tmp_path)}
    shown = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, check=True, text=True).stdout
    first, second = shown.splitlines()
    assert first == "[b'cba'] Pickle", "memo's own names are memo's"
    assert second == "reversing:Misnamed is registered as serializer 'misnamed', but its name is 'other'"


def test_the_socket_loads_no_serializer():
    program = (
        "import sys, memo.serializers; print([m for m in sys.modules if m in ('pickle', 'json', 'joblib', 'numpy')])"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout
    assert shown.strip() == "[]"
