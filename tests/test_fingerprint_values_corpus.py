"""A corpus of values with one digest each: in every process, under every hash seed, in every Python, for ever.

Run as a script it prints the digests as JSON; with ``write`` it renews the
golden file. A change of a golden digest is a change of format: what everybody has stored would be computed again.
"""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import io
import ipaddress
import json
import math
import operator
import os
import pathlib
import random
import re
import subprocess
import sys
import types
import uuid
import zoneinfo
from pathlib import Path
from typing import Any

import attr
import numpy as np
import pytest

from memo.fingerprint import encode, fingerprint

GOLDEN = Path(__file__).parent / "golden" / "fingerprints.json"


@dataclasses.dataclass(frozen=True)
class Point:
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


class Slots:
    __slots__ = ("a", "b")

    def __init__(self, a: Any) -> None:
        self.a = a


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Mode(enum.IntFlag):
    READ = 1
    WRITE = 2


class Text(str):
    pass


class Items(list):  # type: ignore[type-arg]
    pass


Pair = collections.namedtuple("Pair", "left right")


@attr.s(auto_attribs=True, frozen=True, cache_hash=True)
class Hashed:
    a: int


@attr.define
class Defined:
    a: int


def ring() -> list[Any]:
    nodes: list[Any] = [Plain(number=i) for i in range(5)]
    for i, node in enumerate(nodes):
        node.next, node.others = nodes[(i + 1) % 5], {nodes[i - 1], nodes[i - 2]}
    return nodes


def itself() -> list[Any]:
    value: list[Any] = [1]
    value.append({"back": value, "list": [value]})
    return value


BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


def standard() -> dict[str, Any]:
    """Builtins and the standard library."""
    return {
        "none": None,
        "true": True,
        "one": 1,
        "one.float": 1.0,
        "one.text": "1",
        "one.bytes": b"1",
        "zero": 0,
        "zero.float": 0.0,
        "minus.zero": -0.0,
        "nan": math.nan,
        "inf": math.inf,
        "complex": 1 + 0j,
        "huge": 10**40,
        "long.text": "äöü€" * 1000,
        "surrogate": "\udcff",
        "bytes.64k": bytes(70_000),
        "ellipsis": ...,
        "not implemented": NotImplemented,
        "list": [],
        "tuple": (),
        "dict": {},
        "set": set(),
        "frozenset": frozenset(),
        "bytearray": bytearray(b"1"),
        "memoryview": memoryview(b"1"),
        "list.1": [1],
        "tuple.1": (1,),
        "set.1": {1},
        "nested": {"a": [1, {"b": (2, {"c": [None, 1.5]})}], "d": "e"},
        "boundary.1": ("ab", "c"),
        "boundary.2": ("a", "bc"),
        "dict.mixed": {1: 2, "a": 3, None: 4, (1, 2): 5},
        "set.mixed": {1, "a", None, (1, (2,)), frozenset({3})},
        "set.text": {"abc", "def", "ghi"},
        "ints": list(range(2000)),
        "rows": [{"id": i, "name": f"n{i}"} for i in range(30)],
        "rows.ragged": [{"id": i, **({"even": True} if i % 2 else {})} for i in range(30)],
        "rows.lists": [[i] * (i % 4) for i in range(30)],
        "rows.deep": [{"at": {"x": i, "y": [i]}} for i in range(30)],
        "rows.tuples": tuple((i, str(i)) for i in range(30)),
        "bytes.in.list": [bytes(70_000), 1],
        "range": range(0, 10, 3),
        "slice": slice(1, None, 2),
        "deque": collections.deque([1, 2]),
        "deque.max": collections.deque([1, 2], 3),
        "counter": collections.Counter("hello"),
        "defaultdict": collections.defaultdict(list, a=[1]),
        "ordered.ab": collections.OrderedDict(a=1, b=2),
        "ordered.ba": collections.OrderedDict(b=2, a=1),
        "chainmap": collections.ChainMap({"a": 1}, {"b": 2}),
        "decimal": decimal.Decimal("1.0"),
        "decimal.00": decimal.Decimal("1.00"),
        "decimal.nan": decimal.Decimal("NaN"),
        "fraction": fractions.Fraction(1, 3),
        "date": datetime.date(2024, 2, 29),
        "datetime": datetime.datetime(2024, 2, 29, 1, 2, 3, 4),
        "datetime.fold": datetime.datetime(2024, 2, 29, 1, 2, 3, 4, fold=1),
        "datetime.utc": datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC),
        "datetime.zone": datetime.datetime(2024, 2, 29, tzinfo=BERLIN),
        "datetime.offset": datetime.datetime(2024, 2, 29, tzinfo=datetime.timezone(datetime.timedelta(hours=1))),
        "time": datetime.time(1, 2),
        "timedelta": datetime.timedelta(1, 2, 3),
        "timezone": datetime.timezone(datetime.timedelta(hours=1), "X"),
        "zone": BERLIN,
        "uuid": uuid.UUID(int=5),
        "path": pathlib.PurePosixPath("a/b"),
        "path.windows": pathlib.PureWindowsPath("a/b"),
        "path.real": pathlib.Path("a/b"),
        "pattern": re.compile("a+"),
        "pattern.flags": re.compile("a+", re.IGNORECASE),
        "pattern.bytes": re.compile(b"a+"),
        "address": ipaddress.ip_address("10.0.0.1"),
        "address.6": ipaddress.ip_address("::1"),
        "network": ipaddress.ip_network("10.0.0.0/8"),
        "array": array.array("i", [1, 2]),
        "array.double": array.array("d", [1, 2]),
        "array.short": array.array("h", [1, 0, 2, 0]),
        "mappingproxy": types.MappingProxyType({"a": 1}),
        "namespace": types.SimpleNamespace(a=1, b=[2]),
        "bytesio": io.BytesIO(b"abc"),
        "stringio": io.StringIO("abc"),
        "exception": ValueError("x", 1),
        "exception.key": KeyError("x", 1),
        "exception.os": OSError(2, "no", "file"),
        "partial": functools.partial(int, base=2),
        "partial.args": functools.partial(int, "1", base=2),
        "random": random.Random(1),
        "itemgetter": operator.itemgetter(1, 2),
        "len": len,
        "upper": str.upper,
        "bound": [1].append,
        "class": int,
        "class.date": datetime.date,
        "generic": list[int],
        "union": int | str | None,
        "keys": {"a": 1, "b": 2}.keys(),
        "cycle": itself(),
    }


def classes() -> dict[str, Any]:
    """Instances of classes of the project, whose code counts."""
    return {
        "point": Point(1),
        "point.2": Point(2),
        "points": [Point(i) for i in range(20)],
        "slotted": Slotted(1, [Slotted(2)]),
        "plain": Plain(x=1, y=[Plain(z=2)]),
        "slots": Slots(1),
        "enum": Colour.RED,
        "enum.blue": Colour.BLUE,
        "flag": Mode.READ | Mode.WRITE,
        "flag.read": Mode.READ,
        "enum.keys": {Colour.RED: 1, Colour.BLUE: 2},
        "text": Text("1"),
        "items": Items([1]),
        "pair": Pair(1, [2]),
        "attrs.hashed": Hashed(1),
        "attrs": Defined(1),
        "method": Plain(x=1).method,
        "ring": ring(),
    }


def arrays() -> dict[str, Any]:
    floats = np.arange(24.0).reshape(2, 3, 4)
    return {
        "float": floats,
        "float32": floats.astype("f4"),
        "big endian": floats.astype(">f8"),
        "other shape": floats.reshape(6, 4),
        "int": np.arange(5),
        "uint8": np.array([1, 2], "u1"),
        "0-d": np.array(1.0),
        "scalar": np.float64(1.0),
        "scalar.int": np.int32(1),
        "bool": np.bool_(True),
        "empty": np.zeros((0, 3)),
        "empty.2": np.zeros((3, 0)),
        "text": np.array(["a", "bc"]),
        "bytes": np.array([b"a", b"bc"]),
        "strings": np.array(["a", "bc"], dtype=np.dtypes.StringDType()),
        "object": np.array([1, "a", None, [2]], dtype=object),
        "structured": np.array([(1, 2.0)], dtype=[("a", "i1"), ("b", "f8")]),
        "aligned": np.array([(1, 2.0)], dtype=np.dtype([("a", "i1"), ("b", "f8")], align=True)),
        "day": np.array(["2024-02-29"], "M8[D]"),
        "second": np.array(["2024-02-29"], "M8[s]"),
        "datetime64": np.datetime64("2024-02-29"),
        "timedelta64": np.timedelta64(1, "h"),
        "masked": np.ma.array([1, 2, 3], mask=[0, 1, 0]),
        "generator": np.random.default_rng(1),
        "generator.mt": np.random.Generator(np.random.MT19937(1)),
        "randomstate": np.random.RandomState(1),
        "seed": np.random.SeedSequence(1),
        "dtype": np.dtype("f8"),
        "ufunc": np.sin,
        "type": np.float64,
        "complex": np.array([1 + 2j]),
        "in a list": [np.arange(3), np.arange(3), {"a": np.arange(4)}],
    }


def digests(values: dict[str, Any]) -> dict[str, str]:
    return {name: fingerprint(value).hex() for name, value in values.items()}


CORPORA = {"standard": standard, "classes": classes, "arrays": arrays}


@pytest.mark.parametrize("corpus", CORPORA)
def test_golden(corpus: str) -> None:
    assert digests(CORPORA[corpus]()) == json.loads(GOLDEN.read_text())[corpus]


def test_all_values_of_the_corpus_differ() -> None:
    found: dict[str, str] = {}
    for corpus, values in CORPORA.items():
        for name, digest in digests(values()).items():
            assert digest not in found, f"{corpus} {name} is taken for {found[digest]}"
            found[digest] = f"{corpus} {name}"


@pytest.mark.parametrize("seed", ["0", "1", "random"])
def test_same_in_a_new_process_under_any_hash_seed(seed: str, tmp_path: Path) -> None:
    """Run as a script there, imported here: the names of classes do not depend on that either."""
    printed = subprocess.run(
        [sys.executable, __file__],
        env={**os.environ, "PYTHONHASHSEED": seed},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert json.loads(printed) == {name: digests(make()) for name, make in CORPORA.items()}


def test_digests_do_not_depend_on_who_was_asked_before() -> None:
    forwards = {name: fingerprint(value) for name, value in standard().items()}
    backwards = {name: fingerprint(value) for name, value in reversed(standard().items())}
    assert forwards == backwards


def test_encode_of_any_value_is_no_encoding_of_plain_values() -> None:
    for name, value in (standard() | classes() | arrays()).items():
        encoding = encode(("x",), (value,))
        plain = type(value) in (int, str, float, bool, type(None), bytes, complex)
        assert encoding.startswith(b"(") == plain, name
        assert plain or len(encoding) <= 1024, name


if __name__ == "__main__":
    result = {name: digests(make()) for name, make in CORPORA.items()}
    if sys.argv[1:] == ["write"]:
        GOLDEN.write_text(json.dumps(result, indent=1) + "\n")
    else:
        print(json.dumps(result))
