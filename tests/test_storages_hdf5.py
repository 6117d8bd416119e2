"""What only the storages of h5py and PyTables promise: entries that plain tools open, and bodies that are HDF5 files."""

import io
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading

import h5py
import numpy as np
import pytest
import tables

from memo import Cache, _libhdf5
from memo.errors import DamagedError
from memo.storages import Hdf5, Pytables, _hdf5_entry
from memo.testing import StorageSuite

NAME = "cube-0123456789/v1/" + "ab" * 20
BIG = 300_000
KINDS = [Hdf5, Pytables]


class TestHdf5(StorageSuite):
    many = 150

    def make(self, tmp_path):
        return Hdf5(tmp_path)


class TestPytables(StorageSuite):
    many = 150
    crowds_are_slow = True  # processes and threads beside pandas are below

    def make(self, tmp_path):
        return Pytables(tmp_path)


def put(storage, body, suffix="", head=b"head", mark=3, name=NAME):
    storage.write(name, [body], lambda: head, size=len(body), mark=mark, suffix=suffix)


def the_file(folder):
    (found,) = [
        os.path.join(above, file)
        for above, _, files in os.walk(folder)
        for file in files
        if os.path.basename(above) != "_locks"
    ]
    return found


def h5_files(folder):
    return [os.path.join(above, file) for above, _, files in os.walk(folder) for file in files if file.endswith(".h5")]


def entry_name(path):
    with h5py.File(path) as file:
        return bytes(file.attrs["memo_name"])


def made_by_h5py(size=1000):
    file = io.BytesIO()
    with h5py.File(file, "w") as h5:
        h5["numbers"] = np.arange(size, dtype="f8")
        h5["group/flags"] = np.arange(7) % 2
        h5.attrs["of the user"] = "kept"
    return file.getvalue()


def made_in_the_newest_format():
    file = io.BytesIO()
    with h5py.File(file, "w", libver="latest") as h5:
        h5["numbers"] = np.arange(1000)
    return file.getvalue()


def made_by_tables(size=1000):
    with tables.open_file("made", "w", driver="H5FD_CORE", driver_core_backing_store=0) as file:
        file.create_array("/", "numbers", obj=np.arange(size, dtype="f8"))
        file.create_array("/group", "flags", obj=np.arange(7) % 2, createparents=True)
        return file.get_file_image()


def h5dump(*arguments):
    program = shutil.which("h5dump")
    if program is None:
        pytest.skip("h5dump is not installed (apt-get install hdf5-tools)")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=True)
    assert not done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_plain_tools_show_the_bytes_and_whose_they_are(tmp_path, kind):
    body = bytes(range(256)) * 10
    put(kind(tmp_path), body)
    path = the_file(tmp_path)
    assert path.endswith(f"/{'ab' * 20}.h5")
    with h5py.File(path) as file:
        assert file["body"][:].tobytes() == body
        assert file.attrs["memo_name"] == NAME.encode()
        assert file.attrs["memo_head"].tobytes() == b"head"
        assert file.attrs["memo_mark"] == 3
        assert file.attrs["memo_written"].startswith(b"20")
    with tables.open_file(path) as file:
        assert file.root.body[:].tobytes() == body
        assert file.root._v_attrs.memo_name == NAME.encode()
        assert file.root._v_attrs.memo_head.tobytes() == b"head"
    shown = h5dump("-d", "/body", path)
    assert "250, 251, 252, 253, 254, 255" in shown
    shown = h5dump("-A", path)
    for part in (NAME, "memo_written", "memo_mark", "104, 101, 97, 100"):
        assert part in shown


@pytest.mark.parametrize("make", [made_by_h5py, made_by_tables])
@pytest.mark.parametrize("size", [1000, BIG])
@pytest.mark.parametrize("kind", KINDS)
def test_a_body_that_is_an_hdf5_file_is_the_entry(tmp_path, kind, size, make):
    body, storage = make(size), kind(tmp_path)
    put(storage, body, ".h5")
    for _ in range(2):
        record = storage.read(NAME)
        assert bytes(record.body) == body, "to the bit"
        memoryview(record.body)[:8] = b"changed!"
    path = the_file(tmp_path)
    assert os.path.getsize(path) < len(body) + 12_000
    with h5py.File(path) as file:
        assert (file["numbers"][:] == np.arange(size)).all()
        assert file["group/flags"][:].tolist() == [0, 1, 0, 1, 0, 1, 0]
        assert file.attrs["memo_name"] == NAME.encode()
        assert make is made_by_tables or file.attrs["of the user"] == "kept"
    with tables.open_file(path) as file:
        assert (file.root.numbers[:] == np.arange(size)).all()
        assert file.root._v_attrs.memo_head.tobytes() == b"head"
    assert "0, 1, 0, 1, 0, 1, 0" in h5dump("-d", "/group/flags", path)
    assert NAME in h5dump("-a", "memo_name", path)


@pytest.mark.parametrize("kind", KINDS)
def test_other_bodies_that_look_alike_are_bytes(tmp_path, kind):
    storage = kind(tmp_path)
    for body in (
        _libhdf5.SIGNATURE,
        made_by_h5py()[:-100],
        made_in_the_newest_format(),
        _libhdf5.SIGNATURE + b"no file at all" * 1000,
    ):
        put(storage, body, ".h5")
        assert bytes(storage.read(NAME).body) == body
        with h5py.File(the_file(tmp_path)) as file:
            assert file["body"][:].tobytes() == body


@pytest.mark.parametrize("kind", KINDS)
def test_the_right_bytes_are_found_among_the_like(tmp_path, kind):
    storage = kind(tmp_path)
    for body in (bytes(1), bytes(100), bytes(5000), b"\xff" * 8, bytes(64) + b"x" * 64, bytes(BIG), b"TREE"):
        put(storage, body)
        assert bytes(storage.read(NAME).body) == body


@pytest.mark.parametrize("kind", KINDS)
def test_big_bodies_are_mapped_where_arrays_may_begin(tmp_path, kind):
    storage = kind(tmp_path)
    for body, suffix in ((b"x" * BIG, ""), (made_by_h5py(BIG), ".h5")):
        put(storage, body, suffix)
        found = storage.read(NAME).body
        assert isinstance(found, memoryview)
        assert not found.readonly
        assert np.frombuffer(found, "u1").ctypes.data % 64 == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_head_is_no_attribute(tmp_path, kind):
    storage = kind(tmp_path)
    for length in (60_000, 70_000):
        put(storage, b"body", head=b"h" * length)
        assert storage.read(NAME).head == b"h" * length == storage.head(NAME)[0]
        with h5py.File(the_file(tmp_path)) as file:
            assert ("memo_head" in file.attrs) == (length == 60_000)


@pytest.mark.parametrize("suffix", ["", ".h5"])
@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_told_and_healed_by_the_next_write(tmp_path, kind, suffix):
    body = made_by_h5py()
    for damage in (
        lambda data: b"",
        lambda data: data[:30],
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data[1:],
        lambda data: data + b"more",
        lambda data: b"\0" * len(data),
        lambda data: data[:-56] + b"\xff" * 48 + data[-8:],
    ):
        storage = kind(tmp_path)
        put(storage, body, suffix)
        path = the_file(tmp_path)
        with open(path, "rb") as file:
            data = file.read()
        os.chmod(path, 0o600)
        with open(path, "wb") as file:
            file.write(damage(data))
        with pytest.raises(DamagedError):
            storage.read(NAME)
        with pytest.raises(DamagedError):
            storage.head(NAME)
        assert list(storage.scan()) == []
        put(storage, body, suffix)
        assert bytes(storage.read(NAME).body) == body


def test_an_undo_that_leads_elsewhere_is_damage(tmp_path, monkeypatch):
    storage = Hdf5(tmp_path)
    monkeypatch.setattr(_hdf5_entry, "_changed", lambda body, image: _hdf5_entry._UNDO.pack(1 << 40, 1))
    put(storage, made_by_h5py(), ".h5")
    with pytest.raises(DamagedError):
        storage.read(NAME)


@pytest.mark.filterwarnings("ignore::memo.MemoWarning")
@pytest.mark.parametrize("kind", ["hdf5", "pytables"])
def test_swapped_and_changed_entries_are_computed_again(tmp_path, kind):
    def work(n):
        return [n] * 30

    cached = Cache(str(tmp_path / "place"), storage=kind).persist(work)
    assert [cached(n) for n in (1, 2, 1)] == [[1] * 30, [2] * 30, [1] * 30]
    again = Cache(str(tmp_path / "place"), storage=kind).persist(work)
    one, two = (path for path in h5_files(tmp_path) if entry_name(path).count(b"/") == 2)
    os.rename(one, one + "x")
    os.rename(two, one)
    os.rename(one + "x", two)
    assert [again(1), again(2)] == [[1] * 30, [2] * 30]
    assert again.cache_info()[:2] == (0, 2)
    third = Cache(str(tmp_path / "place"), storage=kind).persist(work)
    assert [third(1), third(2)] == [[1] * 30, [2] * 30]
    assert third.cache_info()[:2] == (2, 0)


@pytest.mark.parametrize("umask", [0o000, 0o077])
@pytest.mark.parametrize("kind", KINDS)
def test_is_private_whatever_the_umask(tmp_path, umask, kind):
    before = os.umask(umask)
    try:
        put(kind(tmp_path / "above" / "place"), made_by_h5py(), ".h5")
    finally:
        os.umask(before)
    for folder, _, files in os.walk(tmp_path / "above"):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        for file in files:
            mode = stat.S_IMODE(os.stat(os.path.join(folder, file)).st_mode)
            assert mode == (0o600 if folder.endswith("_locks") else 0o400)


@pytest.mark.parametrize(("kind", "module", "extra"), [(Hdf5, "h5py", "hdf5"), (Pytables, "tables", "pytables")])
def test_a_missing_library_is_named_with_what_to_do(tmp_path, monkeypatch, kind, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf'{module} is not installed: pip install "memo-persist\[{extra}\]"'):
        kind(tmp_path)
    for options in ({"storage": extra}, {"location": f"{extra}:{tmp_path}"}):
        with pytest.raises(ImportError, match="memo-persist"):
            Cache(**options)


@pytest.mark.parametrize("kind", KINDS)
def test_reading_loads_neither_library(tmp_path, kind):
    put(kind(tmp_path), made_by_h5py(), ".h5")
    code = (
        "import sys; from memo.storages import Hdf5, Pytables;"
        f"storage = {kind.__name__}({str(tmp_path)!r}); assert storage.read({NAME!r}) and storage.head({NAME!r});"
        "print({'h5py', 'tables', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("forks", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_a_fork_in_the_middle_of_a_write(tmp_path, forks):
    storages = [kind(tmp_path / kind.__name__) for kind in KINDS]
    image, stop, wrong = made_by_h5py(20_000), threading.Event(), []

    def write(storage, number):
        try:
            while not stop.is_set():
                put(storage, image, ".h5", name=f"f/v/{number:040x}")
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=write, args=(each, n)) for n, each in enumerate(storages * 2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(forks):
            child = os.fork()
            if not child:
                signal.alarm(60)  # a lock that nobody gives back
                status = 1
                try:
                    for storage in storages:
                        put(storage, image, ".h5")
                        assert bytes(storage.read(NAME).body) == image
                    status = 0
                finally:
                    os._exit(status)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong


def hammer(place, table, seed, count, rounds):
    """A process of the test below: threads with both storages and both serializers, beside somebody's pandas."""
    import random

    import pandas as pd

    from memo.serializers import serializer

    storages = [kind(os.path.join(place, kind.__name__)) for kind in KINDS]
    serializers = [serializer("hdf5"), serializer("pytables")]
    expected, stop, wrong = pd.read_hdf(table), threading.Event(), []

    def guarded(work, *arguments):
        try:
            work(*arguments)
        except BaseException as error:
            wrong.append(repr(error))

    def read_tables():
        while not stop.is_set():
            assert pd.read_hdf(table).equals(expected)

    def work(thread):
        rng = random.Random(seed * 100 + thread)
        for _ in range(rounds):
            number, which = rng.randrange(1000), rng.randrange(2)
            value = {"numbers": np.full(rng.choice((3, 50_000)), number), "number": number}
            parts = serializers[which].dump(value)
            size, name = sum(map(len, parts)), f"f/v/{rng.randrange(8)}"
            rng.choice(storages).write(
                name, parts, lambda number=number: b"%d" % number, size=size, mark=which, suffix=".h5"
            )
            record = rng.choice(storages).read(f"f/v/{rng.randrange(8)}")
            if record is not None:
                back = serializers[record.mark].load(memoryview(record.body))
                assert back["number"] == int(record.head)
                assert set(back["numbers"].tolist()) == {back["number"]}

    beside = threading.Thread(target=guarded, args=(read_tables,))
    threads = [threading.Thread(target=guarded, args=(work, number)) for number in range(count)]
    for thread in [beside, *threads]:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    beside.join()
    assert not wrong, wrong[:3]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("processes", "threads", "rounds"), [(2, 4, 8), pytest.param(8, 8, 60, marks=pytest.mark.slow)]
)
def test_processes_and_threads_beside_pandas(tmp_path, processes, threads, rounds):
    import pandas as pd

    table = str(tmp_path / "table.h5")
    pd.DataFrame({"a": np.arange(2000), "b": np.linspace(0, 1, 2000)}).to_hdf(table, key="x")
    code = "import sys, test_storages_hdf5 as own; own.hammer(*sys.argv[1:3], *map(int, sys.argv[3:]))"
    paths = os.pathsep.join([os.path.dirname(__file__), *filter(None, sys.path)])
    children = [
        subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-c", code, str(tmp_path / "place"), table]
            + [str(number) for number in (seed, threads, rounds)],
            env={**os.environ, "PYTHONPATH": paths},
        )
        for seed in range(processes)
    ]
    assert [child.wait() for child in children] == [0] * processes
    names = {f"f/v/{number}" for number in range(8)}
    for kind in KINDS:
        assert {item.name for item in kind(tmp_path / "place" / kind.__name__).scan()} <= names
    litter = [file for above, _, files in os.walk(tmp_path / "place") for file in files if "_new" in above]
    assert not litter


@pytest.mark.parametrize("kind", ["hdf5", "pytables"])
def test_without_a_serializer_arrays_are_datasets_and_the_rest_is_stored_too(tmp_path, kind):
    calls = []

    def made():
        def f(x):
            calls.append(x)
            return {"a": np.arange(5)} if x == 1 else {1, 2} if x == 2 else None

        return Cache(f"{kind}:{tmp_path / 'place'}").persist(f, name="h5.default", code="off", version=1)

    for f in (made(), made()):
        assert f(1)["a"].tolist() == [0, 1, 2, 3, 4]
        assert f(2) == {1, 2}
        assert f(3) is None
    assert calls == [1, 2, 3]
    found = []
    for path in (tmp_path / "place").rglob("*.h5"):
        with h5py.File(path) as file:
            file.visititems(lambda name, node: found.append((name, node.shape)) if hasattr(node, "shape") else None)
    assert any(name.endswith("a") and shape == (5,) for name, shape in found), found
