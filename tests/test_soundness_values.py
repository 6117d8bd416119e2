"""Keys of values, end to end through `@persist`: fresh processes, other hash seeds, no stale and no needless result.

``VALUES`` maps a name to the ways of making one value. Two names are two values: what one stored, no other may get.
Two ways of one name are equal: the second must find what the first stored. Each process runs every way of every value
against one function and one place, so that every value meets the results of all the others.
"""

from __future__ import annotations

import array
import collections
import copy
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import importlib.util
import io
import ipaddress
import json
import operator  # noqa: F401  # by eval, below
import os
import pathlib
import pickle
import random
import re
import subprocess
import sys
import types
import typing
import uuid
import zoneinfo
from collections.abc import Callable
from pathlib import Path
from typing import Any

from memo import Cache, File, UnkeyableError, hasher, on_event

Ways = list[Callable[[], Any]]
VALUES: dict[str, Ways] = {}


def has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def value(name: str, *ways: Callable[[], Any]) -> None:
    assert name not in VALUES, name
    VALUES[name] = list(ways)


def built(text: str) -> str:
    """An equal text that is not interned."""
    return "".join(list(text))


def again(make: Callable[[], Any]) -> Callable[[], Any]:
    """The same after a pickle round trip."""
    return lambda: pickle.loads(pickle.dumps(make()))


# classes of __main__, where children define them


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    y: float = 0.5


@dataclasses.dataclass
class Shift:
    x: int
    y: float = 0.5


@dataclasses.dataclass(slots=True)
class Slotted:
    a: Any
    b: Any = None


class Plain:
    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)

    def method(self) -> None:
        pass

    def other(self) -> None:
        pass


class Slots:
    __slots__ = ("a", "b")

    def __init__(self, **attributes: Any) -> None:
        for name, item in attributes.items():
            setattr(self, name, item)


class Mixed(Slots):
    pass


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Paint(enum.Enum):
    RED = 1
    BLUE = 2


class Level(enum.IntEnum):
    ONE = 1


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Text(str):
    pass


class Number(int):
    pass


class Items(list):  # type: ignore[type-arg]
    pass


class Table(dict):  # type: ignore[type-arg]
    pass


Pair = collections.namedtuple("Pair", "left right")


class Typed(typing.NamedTuple):
    left: int
    right: int


class Reduced:
    """Taken apart as pickle does it, and with a cache that does not count."""

    def __init__(self, a: int) -> None:
        self.a = a
        self.cache: dict[str, int] = {}

    def __getstate__(self) -> dict[str, int]:
        return {"a": self.a}

    def __setstate__(self, state: dict[str, int]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def used(self) -> Reduced:
        self.cache["x"] = id(self)
        return self


class Own:
    def __init__(self, a: int, secret: object) -> None:
        self.a, self.secret = a, secret

    def __memo_fingerprint__(self) -> int:
        return self.a


class Dask:
    def __init__(self, a: int) -> None:
        self.a, self.identity = a, object()

    def __dask_tokenize__(self) -> tuple[str, int]:
        return ("Dask", self.a)


class Taught:
    def __init__(self, url: str) -> None:
        self.url, self.connection = url, object()


@hasher(Taught)
def _(taught: Taught) -> str:
    return taught.url


def module_with_class(name: str) -> Any:
    """A module made at run time, with a class Point of its own."""
    module = sys.modules.get(name)
    if module is None:
        module = sys.modules[name] = types.ModuleType(name)
        exec("class Point:\n    def __init__(self, x): self.x = x\n", vars(module))
    return module


def factory(n: int) -> Callable[[int], int]:
    def inner(x: int) -> int:
        return x + n

    return inner


def add_one(x: int) -> int:
    return x + 1


def add_two(x: int) -> int:
    return x + 2


def with_default(x: int, options: Any) -> Callable[..., int]:
    def inner(x: int = x, options: Any = options) -> int:
        return x + len(options)

    return inner


def lambdas() -> tuple[Callable[[int], int], ...]:
    return (lambda x: x + 1), (lambda x: x + 2)


def executed(body: str) -> Any:
    space: dict[str, Any] = {}
    exec(f"def made(x):\n    return {body}\n", space)
    return space["made"]


def ring(numbers: list[int]) -> Any:
    nodes = [Plain(number=n) for n in numbers]
    for here, there in zip(nodes, nodes[1:] + nodes[:1], strict=True):
        here.next = there
    return nodes[0]


def itself(last: Any) -> list[Any]:
    found: list[Any] = [1]
    found += [found, last]
    return found


def deep(levels: int, end: Any = 0) -> Any:
    found = end
    for _ in range(levels):
        found = [found]
    return found


def shared(item: Any, times: int) -> list[Any]:
    return [item] * times


# numbers, texts, and what is close to them
for number in ("1", "1.0", "True", "'1'", "b'1'", "0", "0.0", "-0.0", "False", "None", "''", "b''", "1j", "-1", "2**70",
               "-(2**70)", "2**31", "2**63", "float('nan')", "float('inf')", "-float('inf')", "0.1", "0.1 + 0.2", "...",
               "NotImplemented", "complex(0.0, -0.0)", "'\\ud800'", "'é'", "'e\\u0301'", "b'\\x00'", "'\\x00'", "(1,)", "[1]",
               "{1}", "frozenset({1})", "{1: None}", "(1, 2)", "[1, 2]", "[[1, 2]]", "[[1], 2]", "[1, [2]]", "[]", "()", "{}",
               "set()", "frozenset()", "[[]]", "[()]", "([],)", "[{}]", "range(3)", "range(0, 3, 2)", "slice(1, 2)", "('ab', 'c')",
               "('a', 'bc')", "['a b', 'c']", "['a', 'b c']", "{'a': 1}", "{'a': 1.0}", "{'a': True}", "{b'a': 1}", "{'a': None}",
               "{None: 'a'}", "{1: 'a', '1': 'b'}", "{1: 'b', '1': 'a'}", "{(1, 2): 3}", "[(1, 2), 3]", "[0.0, 0]", "[0, 0.0]",
               "[True, 1]", "[1, True]", "{0.0}", "{-0.0}", "[None]", "[[None]]", "{True: 1}", "{1: 1}", "{1.0: 1}", "int", "float",
               "len", "print", "operator.add", "operator.itemgetter(1)", "operator.itemgetter(2)", "operator.attrgetter('a')",
               "operator.methodcaller('a')", "type", "object", "Exception('a')", "Exception('b')", "ValueError('a')",
               "bytearray(b'1')", "memoryview(b'1')", "list", "json", "os.getpid", "'a'.join", "'b'.join"):  # fmt: skip
    make = eval(f"lambda: {number}")
    value(number, make, make)

value("large int list", lambda: list(range(10_000)), lambda: [*range(10_000)])
value("large int list, one True", lambda: [0, True, *range(2, 10_000)])
value("large int list, one float", lambda: [0, 1.0, *range(2, 10_000)])
value("large int list, one Number", lambda: [0, Number(1), *range(2, 10_000)])
value("large int list, one bytes", lambda: [0, b"i\0\0\0\0", *range(2, 10_000)])
value("large int list, one None", lambda: [0, None, *range(2, 10_000)])
value("large float list", lambda: [n / 2 for n in range(10_000)], lambda: [float(n) / 2 for n in range(10_000)])
value("large float list, one int", lambda: [0.0, 0.5, 1, *(n / 2 for n in range(3, 10_000))])
value("large float list, one -0.0", lambda: [-0.0, *(n / 2 for n in range(1, 10_000))])
value("large tuple of ints", lambda: tuple(range(10_000)))
value("large int list ending in 2**31", lambda: [*range(9_999), 2**31])
value("large int list ending in a list", lambda: [*range(9_999), [9_999]])
value(
    "many rows",
    lambda: [{"a": i, "b": str(i)} for i in range(500)],
    lambda: [{"b": str(i), "a": i} for i in range(500)],
)
value("many rows, one other", lambda: [{"a": i, "b": str(i) if i != 250 else "x"} for i in range(500)])
value("many rows, one type other", lambda: [{"a": i if i != 250 else 250.0, "b": str(i)} for i in range(500)])
value("many rows, one without", lambda: [{"a": i, "b": str(i)} if i != 250 else {"a": i} for i in range(500)])
value("many rows as tuples", lambda: [(i, str(i)) for i in range(500)])
value("many rows as lists", lambda: [[i, str(i)] for i in range(500)])

# however built
value("text", lambda: "some text", lambda: built("some text"), lambda: "xsome textx"[1:-1], again(lambda: "some text"))
value("interned", lambda: ["name", "name"], lambda: ["name", built("name")], lambda: [built("name"), built("name")],
      lambda: [sys.intern("name")] * 2)  # fmt: skip
value("shared list", lambda: shared([1, 2], 2), lambda: [[1, 2], [1, 2]], again(lambda: shared([1, 2], 2)),
      lambda: copy.deepcopy(shared([1, 2], 2)))  # fmt: skip
value("shared object", lambda: shared(Plain(a=1), 2), lambda: [Plain(a=1), Plain(a=1)])
value("shared tuple", lambda: shared((1, "x"), 3), lambda: [(1, "x"), (1, built("x")), (1, "x")])
value(
    "dict order",
    lambda: {"a": 1, "b": 2, "c": 3},
    lambda: {"c": 3, "b": 2, "a": 1},
    lambda: dict(zip("bca", (2, 3, 1), strict=True)),
)
value("dict of dicts", lambda: {"x": {"a": 1, "b": 2}, "y": {}}, lambda: {"y": {}, "x": {"b": 2, "a": 1}})
value("mixed keys", lambda: {1: "a", "x": "b", None: "c"}, lambda: {None: "c", "x": "b", 1: "a"})
value("set order", lambda: {"a", "b", "c"}, lambda: {"c", "b", "a"}, lambda: set("abc"), lambda: set("cba"))
value("set of 1000", lambda: {str(i) for i in range(1000)}, lambda: {str(i) for i in range(999, -1, -1)})
value("set of mixed types", lambda: {1, "a", None, (1, 2), 2.5}, lambda: {2.5, (1, 2), None, built("a"), 1})
value(
    "set of frozensets",
    lambda: {frozenset({"a", "b"}), frozenset({"c"})},
    lambda: {frozenset({"c"}), frozenset({"b", "a"})},
)
value("frozenset order", lambda: frozenset("xyz"), lambda: frozenset("zyx"))
value("nested set", lambda: {"k": [{"a", "b"}, {1, 2}]}, lambda: {"k": [{"b", "a"}, {2, 1}]})
value("ordered dict", lambda: collections.OrderedDict(a=1, b=2), again(lambda: collections.OrderedDict(a=1, b=2)))
value("ordered dict otherwise", lambda: collections.OrderedDict(b=2, a=1))
value("default dict", lambda: collections.defaultdict(list, a=[1]), lambda: collections.defaultdict(list, {"a": [1]}))
value("default dict of set", lambda: collections.defaultdict(set, a=[1]))
value("counter", lambda: collections.Counter("aab"), lambda: collections.Counter("baa"))
value("deque", lambda: collections.deque([1, 2]), again(lambda: collections.deque([1, 2])))
value("deque of at most 2", lambda: collections.deque([1, 2], 2))
value("chain map", lambda: collections.ChainMap({"a": 1}, {"b": 2}), lambda: collections.ChainMap({"a": 1}, {"b": 2}))
value(
    "mapping proxy", lambda: types.MappingProxyType({"a": 1, "b": 2}), lambda: types.MappingProxyType({"b": 2, "a": 1})
)
value("simple namespace", lambda: types.SimpleNamespace(a=1, b=2), lambda: types.SimpleNamespace(b=2, a=1))
value("keys", lambda: {"a": 1, "b": 2}.keys(), lambda: {"b": 3, "a": 1}.keys())
value("cycle", lambda: itself(2), again(lambda: itself(2)), lambda: copy.deepcopy(itself(2)))
value("another cycle", lambda: itself(3))
value("ring", lambda: ring([1, 2, 3]), again(lambda: ring([1, 2, 3])))
value("ring backwards", lambda: ring([1, 3, 2]))
value("deep", lambda: deep(5_000), lambda: deep(5_000))
value("deeper by one", lambda: deep(5_001))
value("deep with another end", lambda: deep(5_000, 1))
value("array.array", lambda: array.array("i", [1, 2]), lambda: array.array("i", (1, 2)))
value("array.array of q", lambda: array.array("q", [1, 2]))
value("bytes io", lambda: io.BytesIO(b"ab"))
value("string io", lambda: io.StringIO("ab"))

# the standard library
UTC = datetime.UTC
value("date", lambda: datetime.date(2024, 1, 2), again(lambda: datetime.date(2024, 1, 2)))
value("datetime", lambda: datetime.datetime(2024, 1, 2), lambda: datetime.datetime.fromisoformat("2024-01-02"))
value(
    "datetime of utc",
    lambda: datetime.datetime(2024, 1, 2, tzinfo=UTC),
    lambda: datetime.datetime.fromtimestamp(1704153600, UTC),
)
value("datetime of a zone", lambda: datetime.datetime(2024, 1, 2, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")))
value("datetime folded", lambda: datetime.datetime(2024, 1, 2, fold=1))
value("time", lambda: datetime.time(1, 2), lambda: datetime.time.fromisoformat("01:02"))
value("timedelta", lambda: datetime.timedelta(hours=1), lambda: datetime.timedelta(seconds=3600))
value("decimal", lambda: decimal.Decimal("1.0"), lambda: decimal.Decimal("2.0") - decimal.Decimal("1.0"))
value("decimal of two places", lambda: decimal.Decimal("1.00"))
value("fraction", lambda: fractions.Fraction(1, 2), lambda: fractions.Fraction(2, 4))
value("uuid", lambda: uuid.UUID(int=5), lambda: uuid.UUID("00000000-0000-0000-0000-000000000005"))
value("path", lambda: pathlib.PurePosixPath("a/b"), lambda: pathlib.PurePosixPath("a") / "b")
value("path as text", lambda: "a/b")
value("pattern", lambda: re.compile("a+"), lambda: re.compile(built("a+")))
value("pattern with a flag", lambda: re.compile("a+", re.I))
value("address", lambda: ipaddress.ip_address("1.2.3.4"), lambda: ipaddress.ip_address(0x01020304))
value("zone", lambda: zoneinfo.ZoneInfo("Europe/Berlin"), lambda: zoneinfo.ZoneInfo.no_cache("Europe/Berlin"))
value("random state", lambda: random.Random(5), again(lambda: random.Random(5)))
value("another random state", lambda: random.Random(6))
value("list[int]", lambda: list[int], lambda: list[int])
value("list[str]", lambda: list[str])

# instances
value(
    "dataclass",
    lambda: Point(1),
    lambda: Point(x=1, y=0.5),
    again(lambda: Point(1)),
    lambda: dataclasses.replace(Point(2), x=1),
)
value("dataclass, another field", lambda: Point(2))
value("dataclass, another type of a field", lambda: Point(1, 1))
value("dataclass, equal field of another type", lambda: Point(1, 1.0))
value("another dataclass", lambda: Shift(1), again(lambda: Shift(1)))
value("dataclass with slots", lambda: Slotted(1, [2]), again(lambda: Slotted(1, [2])))
value("dataclass with slots, other", lambda: Slotted(1, (2,)))
value("class", lambda: Plain(a=1, b=2), lambda: Plain(b=2, a=1), again(lambda: Plain(a=1, b=2)))
value("class, another attribute", lambda: Plain(a=1, b=3))
value("class, another name", lambda: Plain(a=1, c=2))
value("class without attributes", lambda: Plain())
value("slots", lambda: Slots(a=1, b=2), lambda: Slots(b=2, a=1))
value("slots, one empty", lambda: Slots(a=1))
value("slots and attributes", lambda: Mixed(a=1, c=2), lambda: Mixed(c=2, a=1))
value("enum", lambda: Colour.RED, lambda: Colour(1), again(lambda: Colour.RED))
value("enum, other member", lambda: Colour.BLUE)
value("equal enum of another name", lambda: Paint.RED)
value("int enum", lambda: Level.ONE)
value("flag", lambda: Access.READ | Access.WRITE, lambda: Access(3))
value("flag of one", lambda: Access.READ)
value("named tuple", lambda: Pair(1, 2), lambda: Pair(right=2, left=1), again(lambda: Pair(1, 2)))
value("typed named tuple", lambda: Typed(1, 2), again(lambda: Typed(1, 2)))
value("str subclass", lambda: Text("1"), lambda: Text(built("1")))
value("int subclass", lambda: Number(1), again(lambda: Number(1)))
value("list subclass", lambda: Items([1, 2]), again(lambda: Items([1, 2])))
value("dict subclass", lambda: Table(a=1, b=2), lambda: Table(b=2, a=1))
value("own state", lambda: Reduced(1), lambda: Reduced(1).used())
value("other own state", lambda: Reduced(2))
value("own fingerprint", lambda: Own(1, object()), lambda: Own(1, None))
value("other own fingerprint", lambda: Own(2, None))
value("dask", lambda: Dask(1), lambda: Dask(1))
value("other dask", lambda: Dask(2))
value("taught", lambda: Taught("a"), lambda: Taught("a"))
value("other taught", lambda: Taught("b"))
value(
    "class of module a", lambda: module_with_class("a_module").Point(1), lambda: module_with_class("a_module").Point(1)
)
value("same-named class of module b", lambda: module_with_class("b_module").Point(1))
value("instances in a list", lambda: [Point(1), Plain(a=Point(2))], lambda: [Point(1), Plain(a=Point(2))])
value("exception with notes", lambda: ValueError("a", 2), again(lambda: ValueError("a", 2)))

# code
value("function", lambda: add_one, lambda: add_one)
value("another function", lambda: add_two)
value("lambda 1 of a line", lambda: lambdas()[0], lambda: lambdas()[0])
value("lambda 2 of a line", lambda: lambdas()[1], lambda: lambdas()[1])
value("closure of 1", lambda: factory(1), lambda: factory(1))
value("closure of 2", lambda: factory(2))
value("closure of 1.0", lambda: factory(1.0))  # type: ignore[arg-type]
value("defaults of a function", lambda: with_default(1, [1]), lambda: with_default(1, [1]))
value("other default of a function", lambda: with_default(2, [1]))
value("other mutable default of a function", lambda: with_default(1, [2]))
value("executed", lambda: executed("x + 1"), lambda: executed("x  +  1"))
value("executed otherwise", lambda: executed("x + 2"))
value("partial", lambda: functools.partial(add_one, 1), lambda: functools.partial(add_one, 1))
value("partial of another", lambda: functools.partial(add_two, 1))
value("partial with another", lambda: functools.partial(add_one, 2))
value("partial by name", lambda: functools.partial(add_one, x=1))
value("bound method", lambda: Plain(a=1).method, lambda: Plain(a=1).method)
value("bound method of another", lambda: Plain(a=2).method)
value("another bound method", lambda: Plain(a=1).other)
value("unbound method", lambda: Plain.method)
value("class itself", lambda: Plain, lambda: Plain)
value("another class itself", lambda: Slots)
value("functions in a dict", lambda: {"a": add_one, "b": add_two}, lambda: {"b": add_two, "a": add_one})
value("functions in a dict, swapped", lambda: {"a": add_two, "b": add_one})
value("file", lambda: File(__file__), lambda: File(os.path.relpath(__file__)))
value("file's path", lambda: __file__ and "test_soundness_values.py")

if has("attr"):
    import attr

    @attr.define
    class Defined:
        a: int

    @attr.s(auto_attribs=True, frozen=True, cache_hash=True)
    class Hashed:
        a: str

    def hashed() -> Any:
        found = Hashed("x")
        hash(found)
        return found

    value("attrs", lambda: Defined(1), again(lambda: Defined(1)))
    value("attrs, other field", lambda: Defined(2))
    value("attrs with a hash kept", lambda: Hashed("x"), hashed)

if has("pydantic"):
    import pydantic

    class Model(pydantic.BaseModel):
        a: int
        b: list[int] = []

    value(
        "pydantic",
        lambda: Model(a=1),
        lambda: Model.model_validate({"a": 1, "b": []}) and Model(a=1),
        again(lambda: Model(a=1)),
    )
    value("pydantic, other field", lambda: Model(a=2))
    value("pydantic, given default", lambda: Model(a=1, b=[1]))

if has("numpy"):
    import numpy as np

    RANDOM = np.random.RandomState(5).rand(40, 30)
    value(
        "np",
        lambda: np.arange(6),
        lambda: np.array([0, 1, 2, 3, 4, 5]),
        lambda: np.arange(12)[::2] // 2,
        again(lambda: np.arange(6)),
    )
    value("np int32", lambda: np.arange(6, dtype="i4"), lambda: np.arange(6, dtype="int32"))
    value("np uint64", lambda: np.arange(6, dtype="u8"))
    value("np float64", lambda: np.arange(6.0))
    value("np big endian", lambda: np.arange(6, dtype=">i8"))
    value("np shape", lambda: np.arange(6).reshape(2, 3), lambda: np.asfortranarray(np.arange(6).reshape(2, 3)),
          lambda: np.array([[0, 1, 2], [3, 4, 5]], order="F"))  # fmt: skip
    value("np other shape", lambda: np.arange(6).reshape(3, 2))
    value("np transposed", lambda: np.arange(6).reshape(2, 3).T, lambda: np.array([[0, 3], [1, 4], [2, 5]]))
    value("np column", lambda: RANDOM[:, 3], lambda: RANDOM[:, 3].copy(), lambda: np.asfortranarray(RANDOM)[:, 3])
    value("np other column", lambda: RANDOM[:, 4])
    value("np backwards", lambda: np.arange(6)[::-1], lambda: np.array([5, 4, 3, 2, 1, 0]))
    value("np 0-d", lambda: np.array(1), lambda: np.arange(3)[1, ...])
    value("np scalar", lambda: np.int64(1), lambda: np.arange(3)[1])
    value("np scalar of int32", lambda: np.int32(1))
    value("np float32", lambda: np.float32(1))
    value("np float 64 scalar", lambda: np.float64(1))
    value("np bool", lambda: np.bool_(True))
    value("np nan", lambda: np.array([np.nan, 1]))
    value("np -0.0", lambda: np.array([-0.0, 1]))
    value("np 0.0", lambda: np.array([0.0, 1]))
    value("np bytes", lambda: np.array([b"a", b"bc"]))
    value("np text", lambda: np.array(["a", "bc"]))
    value("np text wider", lambda: np.array(["a", "bc"], dtype="U5"))
    value(
        "np objects",
        lambda: np.array(["a", None, 1], dtype=object),
        lambda: np.array([built("a"), None, 1], dtype=object),
    )
    value("np objects, other", lambda: np.array(["a", None, 1.0], dtype=object))
    value("np datetime", lambda: np.array(["2024-01-01"], dtype="M8[D]"))
    value("np datetime of seconds", lambda: np.array(["2024-01-01"], dtype="M8[s]"))
    value(
        "np structured",
        lambda: np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        again(lambda: np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])),
    )
    value("np structured, other name", lambda: np.array([(1, 2.0)], dtype=[("a", "i4"), ("c", "f8")]))
    value("np masked", lambda: np.ma.array([1, 2], mask=[0, 1]))
    value("np masked otherwise", lambda: np.ma.array([1, 2], mask=[1, 0]))
    value("np generator", lambda: np.random.default_rng(5), again(lambda: np.random.default_rng(5)))
    value("np other generator", lambda: np.random.default_rng(6))
    value("np RandomState", lambda: np.random.RandomState(5))
    value("np dtype", lambda: np.dtype("i4"), lambda: np.dtype("int32"))
    value("np empty", lambda: np.empty((0, 3)))
    value("np empty otherwise", lambda: np.empty((3, 0)))
    value("np list of arrays", lambda: [np.arange(3), np.arange(2)], lambda: [np.arange(3).copy(), np.arange(4)[:2]])
    value(
        "np scalar shared",
        lambda: (lambda s: {"a": s, "b": s})(np.float64(2)),
        lambda: {"a": np.float64(2), "b": np.float64(2)},
    )
    value("np large", lambda: np.arange(510_000), lambda: np.arange(1_020_000)[::2] // 2)
    value("np large, one other", lambda: np.arange(510_000) + (np.arange(510_000) == 123_456))
    value("np ufunc", lambda: np.add)
    value("np function", lambda: np.mean)

if has("pandas"):
    import pandas as pd

    def frame(**columns: Any) -> Any:
        return pd.DataFrame(columns or {"a": [1, 2], "b": ["x", "y"]})

    value("pd", frame, lambda: pd.DataFrame([(1, "x"), (2, "y")], columns=["a", "b"]), lambda: frame(a=[1, 2, 2], b=["x", "y", "y"]).drop_duplicates(),
          again(frame), lambda: frame(b=["x", "y"], a=[1, 2])[["a", "b"]], lambda: pd.concat([frame()[["a"]], frame()[["b"]]], axis=1),
          lambda: pd.read_json(io.StringIO(frame().to_json(orient="table")), orient="table").reset_index(drop=True))  # fmt: skip
    value("pd columns in another order", lambda: frame()[["b", "a"]])
    value("pd column renamed", lambda: frame().rename(columns={"b": "c"}))
    value("pd index named", lambda: frame().rename_axis("n"))
    value("pd other index", lambda: frame().set_index(pd.Index([5, 6])))
    value("pd index of text", lambda: frame().set_index(pd.Index(["5", "6"])))
    value("pd other dtype", lambda: frame().astype({"a": "int32"}))
    value("pd float", lambda: frame().astype({"a": "float64"}))
    value("pd nullable", lambda: frame().astype({"a": "Int64"}))
    value("pd category", lambda: frame().astype({"b": "category"}))
    value("pd category ordered", lambda: frame().astype({"b": pd.CategoricalDtype(["x", "y"], ordered=True)}))
    value("pd other categories", lambda: frame().astype({"b": pd.CategoricalDtype(["x", "y", "z"])}))
    value("pd one cell", lambda: frame(a=[1, 3], b=["x", "y"]))
    value("pd attrs", lambda: (lambda f: f.attrs.update(unit="m") or f)(frame()))
    value("pd series", lambda: pd.Series([1, 2], name="a"), lambda: frame()["a"])
    value("pd series of another name", lambda: pd.Series([1, 2], name="b"))
    value("pd series without name", lambda: pd.Series([1, 2]))
    value("pd index", lambda: pd.Index([1, 2], name="a"))
    value("pd range index", lambda: pd.RangeIndex(3))
    value(
        "pd multi index",
        lambda: pd.MultiIndex.from_tuples([(1, "a"), (1, "b"), (2, "a"), (2, "b")]),
        lambda: pd.MultiIndex.from_product([[1, 2], ["a", "b"]]),
    )
    value("pd zoned", lambda: pd.Series(pd.to_datetime(["2024-01-01"]).tz_localize("UTC")))
    value("pd other zone", lambda: pd.Series(pd.to_datetime(["2024-01-01"]).tz_localize("Europe/Berlin")))
    value("pd naive", lambda: pd.Series(pd.to_datetime(["2024-01-01"])))
    value("pd timestamp", lambda: pd.Timestamp("2024-01-01"), lambda: pd.Timestamp(2024, 1, 1))
    value("pd timedelta", lambda: pd.Timedelta("1h"))
    value("pd NA", lambda: pd.NA)
    value("pd NaT", lambda: pd.NaT)
    value("pd unique", lambda: pd.Series(["p", "q", "p"]).unique(), lambda: pd.Series(["p", "q", "q"]).unique())
    value(
        "pd slice",
        lambda: pd.DataFrame({"a": range(100)}).iloc[10:20].reset_index(drop=True),
        lambda: pd.DataFrame({"a": range(10, 20)}),
    )
    value("pd one cell of many", lambda: pd.DataFrame({"a": np.arange(200_000) + (np.arange(200_000) == 77)}))
    value("pd many", lambda: pd.DataFrame({"a": np.arange(200_000)}))
    value("pd empty", lambda: pd.DataFrame({"a": []}))

if has("polars"):
    import polars as pl

    value("pl", lambda: pl.DataFrame({"a": [1, 2]}), lambda: pl.concat([pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [2]})]),
          lambda: pl.DataFrame({"a": [1, 2, 3]})[:2])  # fmt: skip
    value("pl renamed", lambda: pl.DataFrame({"b": [1, 2]}))
    value("pl other dtype", lambda: pl.DataFrame({"a": [1, 2]}, schema={"a": pl.Int32}))
    value("pl series", lambda: pl.Series("a", [1, 2]))

if has("pyarrow"):
    import pyarrow as pa

    value("pa", lambda: pa.table({"a": [1, 2]}), lambda: pa.concat_tables([pa.table({"a": [1]}), pa.table({"a": [2]})]),
          lambda: pa.table({"a": [0, 1, 2]}).slice(1))  # fmt: skip
    value("pa other type", lambda: pa.table({"a": pa.array([1, 2], pa.int32())}))
    value("pa array", lambda: pa.array([1, None]), lambda: pa.array([5, 1, None])[1:])


def of(module: str) -> Any:
    """Loaded when a way needs it: some load for a second, in each process that only collects tests."""
    return importlib.import_module(module)


if has("scipy"):
    value(
        "sparse",
        lambda: of("scipy.sparse").csr_matrix(np.eye(3)),
        lambda: of("scipy.sparse").coo_matrix(np.eye(3)).tocsr(),
    )
    value("sparse by columns", lambda: of("scipy.sparse").csc_matrix(np.eye(3)))
    value("sparse array", lambda: of("scipy.sparse").csr_array(np.eye(3)))

if has("sklearn"):

    def ridge(**options: float) -> Any:
        return of("sklearn.linear_model").Ridge(**options)

    def fitted() -> Any:
        return of("sklearn.linear_model").LinearRegression().fit([[0], [1]], [0, 1])

    value("estimator", lambda: ridge(alpha=2.0), lambda: ridge(alpha=2.0, tol=1e-4))
    value("estimator, other parameter", lambda: ridge(alpha=3.0))
    value("fitted", fitted, again(fitted))

if has("networkx"):

    def graph() -> Any:
        return of("networkx").Graph([(1, 2), (2, 3)])

    value("graph", graph, again(graph))
    value("directed graph", lambda: of("networkx").DiGraph([(1, 2), (2, 3)]))

if has("torch"):
    import torch

    value("tensor", lambda: torch.arange(4), lambda: torch.arange(8)[::2] // 2)
    value("tensor of floats", lambda: torch.arange(4.0))
    value("view of a tensor", lambda: torch.arange(1000)[7:8], lambda: torch.tensor([7]))


# the two processes

WAYS = [(name, number) for name, ways in VALUES.items() for number in range(len(ways))]


def look(label: str, argument: Any) -> tuple[int, str]:
    return os.getpid(), label


def run(place: str, order: str) -> list[tuple[str, int, bool, str]]:
    """(name, way, whether it was computed here, whose result came) of every way of every value."""
    persisted = Cache(place, storage="files").persist(look, ignore=["label"])
    found = []
    missed: list[str] = []
    on_event(lambda event: missed.append(event.kind) if event.kind == "miss" else None)
    for name, way in WAYS if order == "forwards" else WAYS[::-1]:
        missed.clear()
        process, label = persisted(name, VALUES[name][way]())
        computed = bool(missed)
        assert not computed or process == os.getpid()
        found.append((name, way, computed, label))
    return found


if __name__ == "__main__":
    json.dump(run(*sys.argv[1:]), sys.stdout)
else:
    import pytest

    @pytest.fixture(scope="module")
    def runs(once: Any, tmp_path_factory: pytest.TempPathFactory) -> list[dict[tuple[str, int], tuple[bool, str]]]:
        """What two fresh processes found, the first with an empty place and the second with what it stored."""

        def made() -> list[Any]:
            place, found = tmp_path_factory.mktemp("soundness"), []
            for order, seed in (("forwards", "1"), ("backwards", "2")):
                done = subprocess.run(
                    [sys.executable, "-W", "error::memo.MemoWarning", __file__, str(place), order],
                    capture_output=True, text=True, timeout=110, env={**os.environ, "PYTHONHASHSEED": seed},
                )  # fmt: skip
                assert done.returncode == 0, done.stderr
                found.append(json.loads(done.stdout))
            return found

        return [
            {(name, way): (computed, label) for name, way, computed, label in run}
            for run in once("soundness-values", made)
        ]

    def test_there_are_many() -> None:
        assert len(VALUES) > 200
        assert len(WAYS) > 300

    @pytest.mark.parametrize(("name", "way"), WAYS)
    def test_value(runs: list[dict[tuple[str, int], tuple[bool, str]]], name: str, way: int) -> None:
        first, second = (run[name, way] for run in runs)
        assert first[1] == second[1] == name, "stale: another value's result"
        assert first[0] == (way == 0), "the first way computes, the others find what it stored"
        assert not second[0], "needless: computed again in a fresh process"

    def test_what_has_no_value_is_refused_and_nothing_is_stored(tmp_path: Path) -> None:
        persisted = Cache(tmp_path / "place").persist(look)
        before = random.getstate()
        for refused in (open(os.devnull), (n for n in "ab"), iter([1]), object(), [sys.stdin]):  # noqa: SIM115
            with pytest.raises(UnkeyableError, match="argument"):
                persisted("", {"hooks": [1, refused]})
        assert persisted.cache_info().currsize == 0
        assert random.getstate() == before

    def test_any_item_of_a_large_array_is_another_key(tmp_path: Path) -> None:
        np = pytest.importorskip("numpy")
        persisted = Cache(tmp_path / "place").persist(look)
        values = np.arange(510_000)
        keys = {persisted.cache_key("", values)}
        for at in random.Random(5).sample(range(len(values)), 50):
            values[at] += 1
            keys.add(persisted.cache_key("", values))
            values[at] -= 1
        assert len(keys) == 51

    def test_a_key_that_is_listed_is_the_key_that_is_looked_up(tmp_path: Path) -> None:
        persisted = Cache(tmp_path / "place").persist(look)
        persisted("x", {"a": [1]})
        assert [entry.key for entry in persisted.entries()] == [persisted.cache_key("x", {"a": [1]})]
