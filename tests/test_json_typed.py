"""JSON by the return annotation: what comes out is what went in, in value and type, or it was refused."""

from __future__ import annotations

import subprocess
import sys
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, NewType, TypedDict
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pydantic
import pytest
import warm
from hypothesis import given
from hypothesis import strategies as st

from memo import Cache, MemoWarning, UnstorableError, _entry
from memo.serializers import Json
from memo.testing._serializer import SerializerSuite

UserId = NewType("UserId", int)


class Colour(Enum):
    RED = 1
    GREEN = "g"


@dataclass
class Point:
    x: int
    y: tuple[float, ...] = ()
    seen: date | None = None


@dataclass(frozen=True, slots=True)
class Tree:
    name: str
    left: Tree | None = None
    tags: frozenset[str] = field(default_factory=frozenset)


class Row(NamedTuple):
    key: UUID
    price: Decimal


class Options(TypedDict, total=False):
    names: set[str]
    by_id: dict[int, Point]


class Struct(msgspec.Struct, omit_defaults=True):
    a: int
    b: bytes = b"none"


class Model(pydantic.BaseModel):
    count: int
    files: list[Path] = []
    inner: Model | None = None


class Loose(pydantic.BaseModel, extra="allow"):
    a: int
    _hidden: int = 0


@pydantic.dataclasses.dataclass
class Checked:
    a: int
    at: datetime | None = None


UTC = timezone.utc  # noqa: UP017 - repr tells it from a zone
POINT = Point(1, (0.5, -0.0), date(2024, 2, 29))
#: annotation, values that come back, values that are refused
PAIRS: list[tuple[Any, list[Any], list[Any]]] = [
    (Point, [POINT, Point(2)], [None, Point("x"), {"x": 1}, Point(1, [1.0]), Point(1, (1,))]),
    (list[Point], [[], [POINT] * 3], [(POINT,), [None]]),
    (Tree | None, [None, Tree("a", Tree("b", tags=frozenset("xy")))], [Tree("a", tags={"x"})]),
    (Row, [Row(UUID(int=7), Decimal("1.00"))], [(UUID(int=7), Decimal(1)), Row(7, Decimal(1))]),
    (Options, [{}, {"names": {"a"}, "by_id": {7: POINT}}], [{"other": 1}, OrderedDict()]),
    (Struct, [Struct(1), Struct(2, b"\xff\0")], [Struct("x")]),
    (Model, [Model(count=1), Model(count=2, files=[Path("a/b")], inner=Model(count=3))], [Model.model_construct(count="x")]),
    (dict[str, list[Model]], [{"a": [Model(count=1, files=[])]}], []),
    (Loose, [Loose(a=1), Loose(a=1, b="more")], []),
    (Checked, [Checked(1, datetime(2024, 1, 1, 12))], []),
    (tuple[int, str], [(1, "a")], [[1, "a"], (1.0, "a"), (True, "a"), (1, "a", "b")]),
    (tuple[int, ...], [(), (1, 2**70)], [(1, True)]),
    (dict[int, float], [{1: 0.5, -2: 1e300}], [{1: 1}, {1: float("nan")}, {True: 0.5}, {"1": 0.5}]),
    (dict[tuple[int, str], int], [], [{(1, "a"): 2}]),
    (set[int], [set(), {1, 2}], [frozenset({1}), {True}, {1.0}]),
    (frozenset[str], [frozenset("ab")], [set("ab")]),
    (tuple[float | None, ...], [(1.5, None)], [(float("nan"),), (float("inf"), None)]),
    (tuple[Any, ...], [(1, "a", [None], {"b": 1.5})], [((1,),), ({1: 2},), (POINT,)]),
    (bytes, [b"", b"\xff\0"], ["x", bytearray(b"x")]),
    (datetime, [datetime(2024, 1, 1, 1, 2, 3, 4), datetime(2024, 1, 1, tzinfo=UTC)], [datetime(2024, 1, 1, tzinfo=ZoneInfo("Europe/Paris"))]),
    (dict[str, date | time], [{"a": date(2024, 2, 29), "b": time(1, 2, 3)}], [{"a": datetime(2024, 1, 1)}]),
    (timedelta, [timedelta(days=-1, microseconds=1)], []),
    (Decimal, [Decimal("1.00"), Decimal("1E+3"), Decimal("-0")], [1]),
    (UUID, [UUID(int=2**100)], [str(UUID(int=7))]),
    (Colour, [Colour.RED, Colour.GREEN], [1, "g"]),
    (Path, [Path("a/b")], ["a/b"]),
    (complex, [1j], [1]),
    (Annotated[tuple[int, int], "size"], [(1, 2)], [[1, 2]]),
    (tuple[UserId, Literal["a", 2]], [(UserId(1), "a"), (UserId(1), 2)], [(1, "b")]),
    (Point | Tree, [POINT, Tree("a")], []),
]  # fmt: skip


def bound(annotation: Any) -> Any:
    def f(): ...

    f.__annotations__["return"] = annotation
    return Json().bind(f)


def same(one: Any, other: Any) -> bool:
    """Written independently of the check that memo makes: by what Python's own repr tells apart."""
    if isinstance(one, (set, frozenset)):
        return type(one) is type(other) and sorted(map(repr, one)) == sorted(map(repr, other))
    if isinstance(one, (Tree, dict)):
        return type(one) is type(other) and one == other
    return type(one) is type(other) and one == other and repr(one) == repr(other)


@pytest.mark.parametrize(("annotation", "good", "bad"), PAIRS, ids=range(len(PAIRS)))
def test_values_come_back_as_they_were_or_are_refused(annotation, good, bad):
    plug = bound(annotation)
    assert plug.name.startswith("json:")
    assert plug.safe
    for value in good:
        data = b"".join(plug.dump(value))
        assert data.endswith(b"\n")
        assert same(value, plug.load(memoryview(data)))
    for value in bad:
        with pytest.raises(UnstorableError):
            plug.dump(value)


def test_a_model_knows_which_fields_were_set():
    plug = bound(Model)
    for value in (Model(count=1), Model(count=1, files=[])):
        back = plug.load(memoryview(b"".join(plug.dump(value))))
        assert back.model_fields_set == value.model_fields_set
    hidden = Loose(a=1)
    hidden._hidden = 7
    with pytest.raises(UnstorableError, match="__pydantic_private__"):
        bound(Loose).dump(hidden)


def test_attributes_that_no_field_has_are_refused():
    value = Point(1)
    value.more = 2
    with pytest.raises(UnstorableError, match=r"^value has .*more"):
        bound(Point).dump(value)


@pytest.mark.parametrize(
    ("annotation", "value", "place"),
    [
        (dict[int, float], {1: 1}, r"^value\[1\] is of type int and would be float"),
        (list[Point], [Point(1), Point(1, (1,))], r"^value\[1\]\.y\[0\] is of type int and would be float"),
        (tuple[Any, ...], ({"a": {1}},), r"^value\[0\]\['a'\] is of type set and would be list"),
        (tuple[float, ...], (float("nan"),), "float.*null"),
    ],
)
def test_a_refusal_says_where(annotation, value, place):
    with pytest.raises(UnstorableError, match=place):
        bound(annotation).dump(value)


@pytest.mark.parametrize(
    "annotation", [None, int, float | None, list, dict[str, Any], list[dict[str, int | None]], object, Any]
)
def test_what_json_has_itself_needs_no_annotation(annotation):
    plug = Json()
    plug_bound = bound(annotation)
    assert type(plug_bound) is Json
    assert plug_bound.name == plug.name == "json"


@pytest.mark.parametrize("text", ["NoSuchName", "tuple[Missing, int]", "1 +"])
def test_annotations_that_can_not_be_found_out_are_none(text):
    assert bound(text).name == "json"


def test_classes_whose_fields_can_not_be_found_out_are_none(tmp_path):
    @dataclass
    class Unknown:
        a: Missing  # noqa: F821

    assert bound(Unknown).name == "json"
    f = Cache(tmp_path, serializer="json").persist(lambda: 5, name="f")
    f.__wrapped__.__annotations__["return"] = Unknown
    assert f() == f.get() == 5


def test_another_annotation_is_another_name():
    names = [bound(annotation).name for annotation, _, _ in PAIRS]
    assert len(set(names)) == len(names)
    assert names == [bound(annotation).name for annotation, _, _ in PAIRS]
    assert bound("list[Point]").name == bound(list[Point]).name, "as text too"


def test_fields_and_defaults_count():
    def variants():
        for kind, default in ((int, 1), (str, "a"), (int, 2)):

            class Changing(pydantic.BaseModel):
                a: kind = default  # type: ignore[valid-type]

            yield Changing
        for kind in (int, str):
            Changing = dataclass(type("Changing", (), {"__annotations__": {"a": kind}}))
            yield Changing

    names = [bound(kind).name for kind in variants()]
    assert len(set(names)) == 5


@given(st.dictionaries(st.integers(), st.tuples(st.floats(), st.text(), st.none() | st.dates()), max_size=5))
def test_whatever_is_stored_is_what_comes_back(value):
    plug = bound(dict[int, tuple[float, str, date | None]])
    try:
        data = b"".join(plug.dump(value))
    except UnstorableError:
        assert "nan" in repr(value) or "inf" in repr(value) or "\\ud" in repr(value)
    else:
        assert repr(plug.load(memoryview(data))) == repr(value)


class TestTyped(SerializerSuite):
    refused = (None, {"x": 1}, [POINT])

    def make(self):
        return bound(Point)

    def zoo(self):
        return [Point(1), Point(2**70, (1.5, -0.0)), Point(0, (), date(2024, 2, 29))]


# --------------------------------------------------------------------------------------------------- through a cache


def test_results_come_back_as_annotated_and_another_annotation_is_a_miss(tmp_path):
    calls: list[str] = []

    def persisted(annotation: Any):
        def f(x, calls):
            calls.append(x)
            return x, {"a": 1}

        f.__annotations__["return"] = annotation
        return Cache(tmp_path, serializer="json", storage="files").persist(f, name="f", ignore=["calls"])

    for _ in range(2):
        assert persisted(tuple[int, dict[str, int]])(7, calls) == (7, {"a": 1})
    assert calls == [7]
    assert [path.read_text() for path in tmp_path.rglob("*.json") if path.name != "memo.json"] == [
        '[\n  7,\n  {\n    "a": 1\n  }\n]\n'
    ]
    f = persisted(tuple[int, dict])
    why = f.why(7, calls)
    assert why.cause == "serializer"
    assert "as another type than the function is annotated with now" in why.text
    assert f(7, calls) == (7, {"a": 1})
    assert calls == [7, 7]
    with pytest.warns(MemoWarning, match=r"can't be stored by 'json'.*value is of type tuple"):
        assert persisted(list)(7, calls) == (7, {"a": 1})
    assert calls == [7, 7, 7], "and plain JSON is another type as well"
    by_pickle = Cache(tmp_path, storage="files").persist(f.__wrapped__, name="f", ignore=["calls"])
    assert by_pickle(7, calls) == (7, {"a": 1})
    assert calls == [7, 7, 7], "a cache of another serializer reads it as annotated too"


SCRIPT = """
from __future__ import annotations
import sys
from dataclasses import dataclass
from datetime import date
from memo import persist

@persist(location=sys.argv[1], serializer="json")
def f(n) -> dict[int, Result]:
    print("computing")
    return {n: Result(date(2024, 2, n), ("a", 1.5))}

@dataclass
class Result:
    day: date
    parts: tuple[str, float]

got = f(7)
assert got == {7: Result(date(2024, 2, 7), ("a", 1.5))}, got
print(type(f.get(7)[7]) is Result)
"""


def test_a_class_of_the_script_comes_back_in_the_next_run(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    shown = [warm.run([tmp_path / "script.py", tmp_path / "place"], check=True).stdout for _ in range(2)]
    assert shown == ["computing\nTrue\n", "True\n"]


def test_annotations_of_local_classes_and_class_variables(tmp_path):
    @dataclass
    class Local:
        limit: ClassVar[int] = 3
        a: tuple[int, ...]

    cache = Cache(tmp_path, serializer="json")

    @cache.persist
    def f(x) -> Local:
        return Local((x,))

    assert f(1) == f(1) == Local((1,))
    head = _entry.unpack(cache.storage.read(f.cache_key(1)).head)
    assert head.serializer.startswith("json:")


WITHOUT = """
import sys
{missing}
from memo.serializers import Json
def f() -> {annotation}: ...
plug = Json().bind(f)
print(plug.name == "json")
try:
    plug.dump((1, 2))
except Exception as error:
    print(error)
"""


@pytest.mark.parametrize(("missing", "found"), [("msgspec", True), ("pydantic", True), ("msgspec pydantic", False)])
def test_either_library_will_do(missing, found):
    gone = "".join(f"sys.modules[{name!r}] = None\n" for name in missing.split())
    program = WITHOUT.format(missing=gone, annotation="tuple[int, ...]")
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    if found:
        assert shown == "False\n"
    else:
        assert shown.startswith("True\nvalue is of type tuple, which would come back from JSON as list")
        assert 'pip install "memo-persist[msgspec]"' in shown
