"""``trust="restricted"``: of pickles only what is on a list is loaded, whatever else lies in the storage."""

from __future__ import annotations

import collections
import datetime
import decimal
import os
import pathlib
import pickle
import uuid
from pathlib import Path
from typing import Any

import pytest

from memo import Cache, MemoWarning, OptionError, UnstorableError, _entry, events
from memo.model import Head
from memo.serializers import Restricted

VALUES = [
    {"a": [1, 2.5, None, True, b"bytes", "text", (1, 2), {3, 4}, frozenset({5}), 1j, range(3)]},
    collections.OrderedDict(a=1),
    collections.Counter("abca"),
    collections.defaultdict(list, a=[1]),
    datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
    datetime.timedelta(seconds=3),
    decimal.Decimal("1.5"),
    uuid.UUID(int=7),
    pathlib.PurePosixPath("a/b"),
    bytearray(b"x" * 200_000),
]


class Point:
    def __init__(self, x: int) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and other.x == self.x

    __hash__ = None  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def warned_anew() -> None:
    events._warned.clear()


def asked(folder: Path, value: Any, serializer: Any = None, **options: Any) -> int:
    """As a new process: how often it computed."""
    events._warned.clear()
    cache = Cache(folder, serializer=serializer, trust="restricted", **options)
    calls = []

    def f() -> Any:
        calls.append(1)
        return value

    assert cache.persist(f, name="restricted.f", code="off", version=1)() is not None
    return len(calls)


def loaded(value: Any, restricted: Restricted | None = None) -> Any:
    restricted = restricted or Restricted()
    return restricted.load(memoryview(b"".join(bytes(part) for part in restricted.dump(value))))


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_what_is_data_comes_back(value: Any) -> None:
    back = loaded(value)
    assert back == value
    assert type(back) is type(value)


def test_arrays_and_frames_come_back() -> None:
    numpy, pandas = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    for array in (numpy.arange(5), numpy.arange(100_000.0), numpy.array(["a", "bc"]), numpy.float32(2)):
        assert numpy.array_equal(loaded(array), array)
        assert loaded(array).dtype == array.dtype
    dates = pandas.to_datetime(["2026-01-01", "2026-01-02"])
    frame = pandas.DataFrame({0: [1, 2], 1: [1.5, 2.5], 2: numpy.array(["x", 2], dtype=object), 3: dates})
    pandas.testing.assert_frame_equal(loaded(frame), frame)
    pandas.testing.assert_series_equal(loaded(frame[1]), frame[1])


def test_a_cache_of_it_hits(tmp_path: Path) -> None:
    assert [asked(tmp_path, {1, 2}) for _ in "12"] == [1, 0]
    assert asked(tmp_path, {1, 2}, serializer="pickle") == 0


def test_what_would_not_be_loaded_is_not_stored_and_the_list_can_be_added_to(tmp_path: Path) -> None:
    with pytest.warns(MemoWarning, match=r"can't be stored by 'pickle'.*test_restricted\.Point.*allow=\["):
        assert asked(tmp_path, Point(1)) == 1
    for allow in ([Point], [f"{__name__}.Point"], [f"{__name__}.*"], Point):
        folder = tmp_path / str(len(str(allow)))
        assert [asked(folder, Point(1), Restricted(allow)) for _ in "12"] == [1, 0]
        cache = pickle.loads(pickle.dumps(Cache(folder, serializer=Restricted(allow), trust="restricted")))
        assert cache.serializer.load(memoryview(pickle.dumps(Point(2)))) == Point(2)


class Reduced:
    def __init__(self, *reduced: Any) -> None:
        self.reduced = reduced

    def __reduce__(self) -> Any:
        return self.reduced


def attacks(mark: Path) -> list[bytes]:
    """Pickles that would make the file ``mark``."""
    make = f"open({str(mark)!r}, 'w')"
    frozen = pickle.dumps(Reduced(os.system, (f"touch {mark}",)))
    return [
        frozen,
        pickle.dumps(Reduced(eval, (make,)), 0),
        pickle.dumps(Reduced(open, (str(mark), "w"))),
        pickle.dumps([1, {"deep": (Reduced(exec, (make,)),)}]),
        # by the attributes of what is allowed: protocol 4 looks up dotted names
        b"\x80\x04\x8c\x0bcollections\x8c\x10_sys.modules.get\x93\x8c\x02os\x85R.",
        f"ctest_restricted\nos.system\n(V touch {mark}\ntR.".encode(),
        b"\x80\x04\x8c\x0ftest_restricted\x8c\tos.system\x93\x8c" + bytes([len(f"touch {mark}")]) + f"touch {mark}".encode() + b"\x85R.",
        pickle.dumps(Reduced(getattr, ("x", "upper"))),
    ]  # fmt: skip


@pytest.mark.parametrize("storage", ["sqlite", "files", "shelve"])
@pytest.mark.parametrize("serializer", ["pickle", "cloudpickle", "joblib", "raised"])
def test_planted_pickles_do_nothing(tmp_path: Path, storage: str, serializer: str) -> None:
    mark = tmp_path / "m"
    for number, body in enumerate(attacks(mark)):
        folder = tmp_path / f"{number}"
        restricted = Restricted([f"{__name__}.*"])
        assert asked(folder, [1], restricted, storage=storage) == 1
        cache = Cache(folder, storage=storage)
        (name,) = (item.name for item in cache.storage.scan() if item.name.count("/") == 2)
        there = cache.storage.read(name)
        assert there is not None
        head = Head("restricted.f", 1.7e9, 1.0, serializer, (), len(body), b"", b"")
        cache.storage.write(name, [body], _entry.sealing(name, [body], head), size=len(body), mark=there.mark)
        getattr(cache.storage, "close", bool)()
        events._warned.clear()
        if serializer == "pickle":
            with pytest.warns(MemoWarning, match="could not load"):
                assert asked(folder, [1], restricted, storage=storage) == 1
        else:
            assert asked(folder, [1], restricted, storage=storage) == 1
        assert not mark.exists()
        assert asked(folder, [1], restricted, storage=storage) == 0


def test_others_that_may_run_code_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="may run code when it loads, which trust='restricted' rules out"):
        Cache(tmp_path, serializer="cloudpickle", trust="restricted")
    assert Cache(tmp_path, serializer="json", trust="restricted").serializer.name == "json"
    for wrong in ("Point", 7, ["*"], [".x"]):
        with pytest.raises(OptionError, match="allow takes"):
            Restricted(wrong)  # type: ignore[arg-type]
    with pytest.raises(UnstorableError):
        Restricted().dump(lambda: 1)
