"""HDF5 by h5py and as PyTables writes it: arrays and frames come back as they were, or are refused; nothing is pickled."""

import os
import pickle
import shutil
import subprocess
import sys
from decimal import Decimal

import h5py
import numpy as np
import pandas as pd
import pytest
import tables

from memo import Cache
from memo._libhdf5 import h5py_file, tables_file
from memo.errors import DamagedError, UnstorableError
from memo.serializers import Hdf5, Pytables, serializer
from memo.serializers._tables import changed_pandas
from memo.testing import SerializerSuite

KINDS = [Hdf5, Pytables]


def arrays():
    big = np.arange(30_000, dtype="f8")
    dtypes = ["?", "i1", "u2", "i4", "u8", "f2", "f4", "f8", "g", "F", "D", "G", ">i4", ">f8", ">c16"]
    fields = [("a", "i2"), ("b", "f8"), ("s", "S2"), ("t", "?")]
    return [
        *(np.array([0, 1, 1, 0], dtype) for dtype in dtypes),
        *(np.array(3, dtype) for dtype in ("?", "i2", "f8", "D", "S3", "U2", "M8[s]")),
        *(np.zeros(shape, dtype) for shape in ((0,), (0, 3), (3, 0)) for dtype in ("f8", "?", "S2", "U2", "m8[ns]")),
        *(big, big.reshape(150, 200), np.asfortranarray(big.reshape(150, 200)), big[::3], big.reshape(10, 50, 60)),
        *(np.array([b"", b"ab", b"c"]), np.array(["", "ab", "ü\U0001f600"]), np.array([["a"], ["bc"]], ">U5")),
        *(np.array(["2024-02-29", "NaT"], dtype) for dtype in ("M8[D]", "M8[ns]", ">M8[us]")),
        *(np.array([1, -5], "m8[h]"), np.array([np.nan, -0.0, np.inf]), np.zeros(0, fields)),
        np.array([(1, 2.5, b"x", True), (2, np.nan, b"yz", False)], fields),
        *(np.float64(1.5), np.int8(-1), np.bool_(True), np.complex64(1j), np.str_("ü"), np.datetime64("2024", "s")),
    ]


def hard_for_pytables():
    """Of these it makes something else."""
    return [
        np.array([b"", b"\0c"]),
        "with \0 in it",
        np.zeros((2, 2), [("a", "i2")]),
        np.array([(1, [[1.5, 2]], (3,))], [("a", ">i2"), ("b", "f8", (1, 2)), ("c", [("d", "u1")])]),
        np.zeros((), [("a", "i2")]),
        np.ones(2, np.dtype({"names": ["b", "a"], "formats": ["i1", "f4"], "offsets": [1, 5], "itemsize": 12})),
    ]


def plain():
    return [
        *(None, True, False, 0, -1, 2**63 - 1, -(2**63) + 1, 1.5, -0.0, 1e-300, float("inf"), 1j, "", "text", "ü\n "),
        *(b"", b"bytes\0", "x" * 200_000, {}, [], (), [1, [2.5, None]], {"a": [1, {"b": "c"}], "": {}}, [[]] * 3),
        {"z": 1, "a": 2, "/": 3, ".": 4, "b/c": 5, "\ud800": 6, "\0": 7, "class": 8, "_v_x": 9, "n0": 10},
        {"z": 1, "a": np.arange(3), "with space": {"m": np.zeros(2), "b": (np.ones(1), "x")}},
    ]


def frames():
    days = pd.date_range("2024", periods=3)
    mixed = pd.DataFrame(
        {
            "gap": [1.5, np.nan, -0.0], "yes": [True, False, True], "text": ["a", None, "ü"], "day": days,
            "zoned": days.tz_localize("Europe/Paris"), "span": pd.to_timedelta([1, 2, None], unit="s"),
            "kind": pd.Categorical(["a", "b", None], categories=["b", "a", "c"], ordered=True),
            "Int": pd.array([1, None, 3], dtype="Int16"), "Bool": pd.array([True, None, False], dtype="boolean"),
            "Float": pd.array([1.5, None, 2], dtype="Float32"), "u1": np.array([1, 2, 255], "u1"),
            "string": pd.array(["a", None, ""], dtype="string"), "objects": pd.Series(["a", "b", "c"], dtype=object),
            "days": pd.Categorical(days), "class": [1, 2, 3], "a/b": [1j, 2, 3],
        }
    )  # fmt: skip
    with_attrs = mixed[["gap"]].copy()
    with_attrs.attrs = {"source": "x", "parts": [1, {"a": None}]}
    labelled = mixed[["gap", "u1"]].set_axis(
        pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["one", None]), axis=1
    )
    numbers = pd.DataFrame({"i": np.arange(5000), "f": np.linspace(0, 1, 5000), "s": [f"n{i}" for i in range(5000)]})
    return [
        *(mixed, with_attrs, labelled, numbers, numbers.set_index("s"), numbers[:9].set_index(["s", "i"]), numbers[::2]),
        *(mixed.set_index("day"), mixed.set_index("zoned"), mixed.set_index(days), mixed.set_index("kind"), mixed[:0]),
        *(pd.DataFrame(), pd.DataFrame(index=[1, 2]), pd.DataFrame({"a": []}), pd.DataFrame(np.zeros((4, 3)))),
        *(mixed[["u1", "gap"]].set_axis(["same", "same"], axis=1), pd.Series([1, 2], name="s"), numbers["s"][:5]),
        *(pd.Series(days, index=["x", "y", "z"]), pd.Series(dtype="f8"), {"train": mixed, "test": [numbers[:3]]}),
    ]  # fmt: skip


class Suite(SerializerSuite):
    refused = (
        *(2**63, "ends in \0", "\ud800", {1: 2}, {1, 2}, Decimal(1), object(), np.array(["a", None], object)),
        *(np.zeros(2, "V3"), np.zeros(2, np.dtype([("a", "i1"), ("b", "f8")], align=True)), np.zeros(2, [("a", object)])),
        *(np.ma.array([1]), np.rec.array([(1,)], dtype=[("a", "i2")]), np.array(["\ud800"]), np.longlong(1)),
        *({"a": {"b": [object()]}}, {"a" * 70_000: 1, "/": 2}, memoryview(b"x")),
        pd.DataFrame({"a": [1, "x"]}),
        pd.DataFrame({"a": pd.period_range("2024", periods=2)}),
        pd.DataFrame({1: [1], "a": [2]}),
        pd.DataFrame({"a": [1]}).set_flags(allows_duplicate_labels=False),
        pd.Series([1], name=("a", 1)),
        pd.Series(["a\0", "b"]),
        pd.Series(["x" * 2_000_000] + ["y"] * 1000),
        pd.Series([{"a": 1}]),
    )  # fmt: skip

    def same(self, one, other):
        if type(one).__module__.startswith("pandas"):
            return type(one) is type(other) and changed_pandas(one, other) is None
        return super().same(one, other)


class OfHdf5(Suite):
    def make(self):
        return Hdf5()

    def zoo(self):
        return [*arrays(), *plain(), *frames(), *hard_for_pytables()]


class OfPytables(Suite):
    refused = (*Suite.refused, *hard_for_pytables())

    def make(self):
        return Pytables()

    def zoo(self):
        return [*arrays(), *plain(), *frames()]


class TestHdf5(OfHdf5):
    """Each value by one of the two, which have nearly all of their code in common; the slow ones have all by both."""

    def zoo(self):
        return super().zoo()[::2]


class TestPytables(OfPytables):
    def zoo(self):
        return super().zoo()[1::2]


@pytest.mark.slow
class TestHdf5OnAll(OfHdf5):
    pass


@pytest.mark.slow
class TestPytablesOnAll(OfPytables):
    pass


def stored(kind, value):
    return b"".join(kind().dump(value))


def opened(data, path):
    with open(path, "wb") as file:
        file.write(data)
    return path


def h5dump(*arguments):
    program = shutil.which("h5dump")
    if program is None:
        pytest.skip("h5dump is not installed (apt-get install hdf5-tools)")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=True).stdout


SAMPLE = {"numbers": np.arange(5.0), "nested": {"flags": np.array([True, False]), "words": np.array(["a", "\u00fc"])}}


@pytest.mark.parametrize("kind", KINDS)
def test_plain_tools_open_the_arrays(tmp_path, kind):
    path = opened(stored(kind, SAMPLE), tmp_path / "sample.h5")
    with h5py.File(path) as file:
        assert file["numbers"][:].tolist() == [0, 1, 2, 3, 4]
        assert file["nested/flags"][:].tolist() == [1, 0]
        assert file["nested/words"][1].decode() == "ü"
    with tables.open_file(path) as file:
        assert file.root.numbers[:].tolist() == [0, 1, 2, 3, 4]
        assert file.root.nested.flags[:].tolist() == [1, 0]
        assert file.root.nested.words[1].decode() == "ü"
    assert "0, 1, 2, 3, 4" in h5dump("-d", "/numbers", path)
    assert "memo" in h5dump("-A", path)


@pytest.mark.parametrize("kind", KINDS)
def test_columns_of_frames_are_datasets_by_their_names(tmp_path, kind):
    path = opened(stored(kind, pd.DataFrame({"a": [1, 2], "b": ["x", None]})), tmp_path / "frame.h5")
    with h5py.File(path) as file:
        assert file["data/a"][:].tolist() == [1, 2]
        assert file["data/b/texts"][:].tolist() == [b"x", b""]


@pytest.mark.parametrize("storage", ["files", "hdf5", "pytables"])
@pytest.mark.parametrize("kind", ["hdf5", "pytables"])
def test_results_are_files_that_plain_tools_open(tmp_path, kind, storage):
    def work(n):
        return {"numbers": np.arange(n), "frame": pd.DataFrame({"n": [n, None]})}

    for run in range(2):
        cached = Cache(str(tmp_path / "place"), storage=storage, serializer=kind).persist(work)
        for n in (10, 100_000):
            back = cached(n)
            assert (back["numbers"] == np.arange(n)).all()
            assert back["frame"].equals(pd.DataFrame({"n": [n, None]}))
            back["numbers"][:] = 0
        assert cached.cache_info()[:2] == ((0, 2), (2, 0))[run]
    sizes = []
    for above, _, files in os.walk(tmp_path / "place"):
        for file in files:
            if file.endswith(".h5"):
                with h5py.File(os.path.join(above, file)) as opened:
                    sizes += [len(opened["numbers"])] if "numbers" in opened else []
                with tables.open_file(os.path.join(above, file)) as opened:
                    assert "/numbers" not in opened or len(opened.root.numbers) in (10, 100_000)
    assert sorted(sizes) == [10, 100_000]


class Evil:
    def __reduce__(self):
        return os.mkdir, ("made by a pickle",)


@pytest.mark.parametrize("where", ["/", "/nested", "/numbers"])
@pytest.mark.parametrize("name", ["evil", "TITLE", "FILTERS", "memo"])
def test_a_planted_pickle_is_never_loaded(tmp_path, monkeypatch, where, name):
    monkeypatch.chdir(tmp_path)
    planted = np.bytes_(pickle.dumps(Evil(), 0))
    with h5py_file(stored(Pytables, SAMPLE)) as file:
        file[where].attrs[name] = planted
        file.flush()
        image = file.id.get_file_image()
    try:
        Pytables().load(memoryview(image))
    except ValueError:
        assert name == "memo"
    assert os.listdir(tmp_path) == []
    with tables_file(image) as file:  # so does PyTables itself, which is why it does not read here
        assert file.get_node(where)._v_attrs
    assert os.listdir(tmp_path) == ["made by a pickle"]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_pickled(kind):
    samples = {Hdf5: TestHdf5, Pytables: TestPytables}[kind]().samples()
    for data in [*(data for value, data in samples if not isinstance(value, np.ndarray)), stored(kind, SAMPLE)]:
        with h5py_file(data) as file:
            nodes = [file]
            file.visititems(lambda _, node, nodes=nodes: nodes.append(node))
            for attribute in (
                each for node in nodes for each in node.attrs.values() if not isinstance(each, h5py.Empty)
            ):
                assert attribute.dtype.kind != "O"
                assert not attribute.tobytes().endswith(b".")


def planted(change):
    with h5py_file(stored(Hdf5, SAMPLE)) as file:
        change(file)
        file.flush()
        return memoryview(file.id.get_file_image())


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.__setitem__("link", h5py.SoftLink("/numbers")),
        lambda file: file.__setitem__("link", h5py.ExternalLink("other.h5", "/numbers")),
        lambda file: file.create_dataset("out", 4, "u1", external=[("/etc/passwd", 0, 4)]),
        lambda file: file.create_dataset("huge", (1 << 40,), "u1"),
        lambda file: file.create_dataset("texts", data=["a"], dtype=h5py.string_dtype()),
        lambda file: file.create_virtual_dataset("far", h5py.VirtualLayout((4,), "u1")),
    ],
)
def test_what_memo_never_writes_is_damage(change):
    def changed(file):
        change(file)
        for node in file.values():
            if isinstance(node, h5py.Dataset) and "memo" not in node.attrs:
                node.attrs["memo"] = np.bytes_(b'{"at": 9, "kind": "array", "dtype": "|u1"}')

    with pytest.raises(DamagedError, match="memo"):
        Hdf5().load(planted(changed))


@pytest.mark.parametrize(
    "note", [b'{"at": 0, "kind": "array", "dtype": "|O"}', b'{"at": 0, "kind": "evil"}', b"{}", b""]
)
def test_a_note_that_memo_never_writes_raises(note):
    with pytest.raises((ValueError, LookupError, TypeError)):
        Hdf5().load(planted(lambda file: file["numbers"].attrs.__setitem__("memo", np.bytes_(note))))


def test_a_group_within_itself_raises():
    with pytest.raises(RecursionError):
        Hdf5().load(planted(lambda file: file["nested"].__setitem__("again", file["nested"])))


def test_what_is_refused_is_named_with_the_way_out():
    for value, message in (
        ({"a": [object()]}, r"value\['a'\]\[0\] is of type object: use serializer='pickle'"),
        (2**64, "an int beyond 64 bits"),
        (np.array([None]), "no place for the dtype of value, object"),
        (pd.DataFrame({"c": [1, "x"]}), r"value\['c'\], object: use serializer='pickle'"),
        ({3: 1}, "value has the key 3"),
    ):
        with pytest.raises(UnstorableError, match=message):
            Hdf5().dump(value)
    with pytest.raises(UnstorableError, match="use serializer='hdf5'"):
        Pytables().dump("a\0b")


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [("hdf5", "h5py", "hdf5"), ("pytables", "tables", "pytables"), ("pytables", "h5py", "pytables")],
)
def test_a_missing_library_is_named_with_what_to_do(monkeypatch, name, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr("memo.serializers._made", {})
    with pytest.raises(ImportError, match=rf'{module} is not installed: pip install "memo-persist\[{extra}\]"'):
        serializer(name)


def test_many_keys_are_no_trouble():
    value = {f"key {number}": number for number in range(300)}
    assert list(Hdf5().load(memoryview(stored(Hdf5, value))).items()) == list(value.items())


@pytest.mark.filterwarnings("ignore::memo.MemoWarning")
def test_data_alone_is_trusted(tmp_path):
    for name in ("hdf5", "pytables"):
        cached = Cache(str(tmp_path / name), serializer=name, trust="data").persist(lambda n: np.arange(n))
        assert cached(3).tolist() == [0, 1, 2]
