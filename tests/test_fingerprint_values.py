"""Fingerprints of values: the laws, the ways they are built, what is refused, and what users may say."""

from __future__ import annotations

import asyncio
import collections
import copy
import dataclasses
import datetime
import decimal
import enum
import functools
import io
import itertools
import marshal
import math
import multiprocessing
import os
import pickle
import random
import socket
import sqlite3
import struct
import threading
import types
import uuid
import weakref
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memo.errors import OptionError, UnkeyableError
from memo.fingerprint import File, HashBy, NoHash, _graph, _hooks, _values, digest, encode, fingerprint, hasher, marks

# values, drawn

PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, 1, -1, 2**31, 2**64]),
    st.floats(),
    st.sampled_from([0.0, -0.0, 1.0]),
    st.text(max_size=4),
    st.binary(max_size=4),
    st.complex_numbers(),
)
LEAVES = st.one_of(
    PLAIN,
    st.dates(),
    st.datetimes(timezones=st.none() | st.just(datetime.UTC)),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.fractions(),
    st.uuids(),
    st.sampled_from([..., range(3), NotImplemented]),
)
KEYS = st.one_of(PLAIN, st.tuples(PLAIN, PLAIN), st.frozensets(st.integers(), max_size=3), st.dates())


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    row = st.fixed_dictionaries({"a": inner}, optional={"b": inner, "c": PLAIN})
    return st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.lists(PLAIN, min_size=14, max_size=20),
        st.dictionaries(st.text(max_size=3), inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=4),
        st.sets(KEYS, max_size=4),
        st.frozensets(KEYS, max_size=4),
        st.lists(row, min_size=14, max_size=18),
        st.lists(st.lists(inner, max_size=2), min_size=14, max_size=18).map(tuple),
        st.lists(inner, max_size=3).map(collections.deque),
        st.dictionaries(st.text(max_size=3), inner, max_size=3).map(collections.OrderedDict),
        st.dictionaries(st.sampled_from("abc"), inner).map(lambda d: types.SimpleNamespace(**d)),
    )


VALUES = st.recursive(LEAVES, containers, max_leaves=12)


def canon(value: Any) -> str:
    """What is equal, said once more: slowly, and in another way."""
    kind = type(value)
    if kind is float:
        content = struct.pack(">d", value).hex()
    elif kind is complex:
        content = struct.pack(">dd", value.real, value.imag).hex()
    elif kind is collections.OrderedDict:
        content = ",".join(canon(key) + "=" + canon(item) for key, item in value.items())
    elif kind is dict or kind is types.SimpleNamespace:
        pairs = (value if kind is dict else vars(value)).items()
        content = ",".join(sorted(canon(key) + "=" + canon(item) for key, item in pairs))
    elif kind in (set, frozenset):
        content = ",".join(sorted(map(canon, value)))
    elif kind in (list, tuple, collections.deque):
        content = ",".join(map(canon, value))
    elif kind is decimal.Decimal:
        content = repr(value.as_tuple())
    else:
        content = ascii(value)
    return f"{kind.__name__}<{content}>"


def rebuilt(value: Any, draw: random.Random) -> Any:
    """An equal value, put together in another order and of other objects."""
    kind = type(value)
    if kind in (list, tuple, collections.deque):
        return kind(rebuilt(item, draw) for item in value)
    if kind in (set, frozenset):
        items = [rebuilt(item, draw) for item in value]
        draw.shuffle(items)
        return kind(items)
    if kind is dict:
        pairs = [(rebuilt(key, draw), rebuilt(item, draw)) for key, item in value.items()]
        draw.shuffle(pairs)
        return dict(pairs)
    if kind is collections.OrderedDict:
        return kind((key, rebuilt(item, draw)) for key, item in value.items())
    if kind is str:
        return "".join(list(value))
    if kind is int:
        return int(str(value))
    return copy.deepcopy(value)


def mutants(value: Any) -> Iterator[Any]:
    """Every value that differs in one place."""
    kind = type(value)
    if kind in (list, tuple, collections.deque):
        items = list(value)
        yield kind([*items, None])
        yield (tuple if kind is list else list)(items)
        for i, item in enumerate(items):
            yield kind(items[:i] + items[i + 1 :])
            for mutant in mutants(item):
                yield kind([*items[:i], mutant, *items[i + 1 :]])
    elif kind in (dict, collections.OrderedDict):
        pairs = list(value.items())
        yield list(pairs)
        for i, (key, item) in enumerate(pairs):
            yield kind(pairs[:i] + pairs[i + 1 :])
            yield kind([*pairs[:i], ((key, "other"), item), *pairs[i + 1 :]])
            for mutant in mutants(item):
                yield kind([*pairs[:i], (key, mutant), *pairs[i + 1 :]])
    elif kind in (set, frozenset):
        yield (set if kind is frozenset else frozenset)(value)
        for item in value:
            yield kind(other for other in value if other is not item)
            yield kind([*(other for other in value if other is not item), (item, "other")])
    elif kind is types.SimpleNamespace:
        for mutant in mutants(vars(value)):
            if type(mutant) is dict and all(type(key) is str for key in mutant):
                yield types.SimpleNamespace(**mutant)
    elif kind in (int, bool):
        yield float(value) if abs(value) < 2**53 else value + 1
        yield int(value) + 1
        yield str(value)
    elif kind is float:
        yield struct.unpack(">d", (struct.unpack(">Q", struct.pack(">d", value))[0] ^ 1).to_bytes(8, "big"))[0]
        yield -value
    elif kind in (str, bytes):
        yield value + value[:1] if value else value + kind(b"x" if kind is bytes else "x")  # type: ignore[arg-type]
        yield value.encode("utf-8", "surrogatepass") if kind is str else value.decode("latin-1")
    else:
        yield [value]
        yield ascii(value)


@given(VALUES, st.randoms(use_true_random=False))
def test_equal_values_have_equal_digests(value: Any, draw: random.Random) -> None:
    expected = fingerprint(value)
    assert fingerprint(pickle.loads(pickle.dumps(value))) == expected
    assert fingerprint(copy.deepcopy(value)) == expected
    assert fingerprint(rebuilt(value, draw)) == expected
    assert encode(("x", "y"), (value, 1)) == encode(("x", "y"), (rebuilt(value, draw), 1))


@given(VALUES)
def test_any_single_mutation_changes_the_digest(value: Any) -> None:
    expected, text = fingerprint(value), canon(value)
    for _, mutant in zip(range(200), mutants(value), strict=False):
        assert (fingerprint(mutant) == expected) == (canon(mutant) == text), mutant


@given(VALUES, VALUES)
def test_digests_are_equal_for_equal_values_only(one: Any, other: Any) -> None:
    assert (fingerprint(one) == fingerprint(other)) == (canon(one) == canon(other))


@given(VALUES)
def test_the_fast_path_and_the_graph_write_the_same_bytes(value: Any) -> None:
    fast = _values.flat(value, 50)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_graph, "flat", lambda value, depth: _values.flat(value, 0))
        slow = _graph.encodings((value,), ("value",), [])[0]
    assert fast is None or fast == slow


@given(st.lists(PLAIN, max_size=5).map(tuple))
def test_plain_values_are_encoded_as_the_wrapper_does(values: tuple[Any, ...]) -> None:
    assert encode(tuple("abcdefgh"[: len(values)]), values) == marshal.dumps(values, 2)


# how a value came to be does not count


def same(*values: Any) -> None:
    assert len({fingerprint(value) for value in values}) == 1


def differ(*values: Any) -> None:
    found = [fingerprint(value) for value in values]
    assert len(set(found)) == len(found)


def test_types_are_told_apart() -> None:
    differ(0, False, 0.0, -0.0, 0j, "0", b"0", None, [], (), {}, set(), frozenset(), "", b"", bytearray())
    differ([1], (1,), {1}, frozenset({1}), {1: None}, collections.deque([1]), [True], [1.0], ["1"], [[1]])
    differ(("ab", "c"), ("a", "bc"), ("abc",), ["ab", "c"], (("ab",), "c"))
    differ({"a": 1}, collections.OrderedDict(a=1), collections.defaultdict(int, a=1), collections.Counter(a=1))
    differ({1: "a"}, {1.0: "a"}, {True: "a"}, {"1": "a"}, {b"1": "a"})
    differ({1}, {1.0}, {True})
    same(math.nan, float("nan"))


def test_rows_that_python_calls_equal_are_told_apart() -> None:
    """A dict of keys or of whole rows would mix these up."""

    class Name(str):
        pass

    rows = [{"a": 1, "b": 2} for _ in range(20)]
    for other in ({"a": True, "b": 2}, {"a": 1.0, "b": 2}, {Name("a"): 1, "b": 2}, {"b": 1, "a": 2}, {"a": 1}):
        differ(rows, [*rows[:-1], other])
    same(rows, [*rows[:-1], {"b": 2, "a": 1}])
    differ([{"a": None}] * 20, [{}] * 20, [{"a": None}] * 19 + [{}], [{}] * 19 + [{"a": None}])
    differ([[1, 2], [3]] * 10, [[1], [2, 3]] * 10, [(1, 2), (3,)] * 10, ([1, 2], [3]) * 10)


def test_shared_and_copied_parts_are_the_same() -> None:
    part = [1, {"a": 2}]
    text = "some text"
    same([part, part], [part, copy.deepcopy(part)])
    same([text, text], [text, "some " + "text"[:4]])
    point = complex(1, 2)
    same({"a": point, "b": point}, {"a": point, "b": complex(1, 2)})
    name = types.SimpleNamespace(x=[1])
    same([name, name], [name, copy.deepcopy(name)])


def test_shared_parts_cost_nothing() -> None:
    value: list[Any] = [1]
    tree: Any = types.SimpleNamespace(leaf=1)
    for _ in range(200):
        value = [value, value]
        tree = types.SimpleNamespace(left=tree, right=tree)
    assert fingerprint(value) != fingerprint([value, value]) != fingerprint(tree)


@pytest.mark.parametrize("count", [20_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_many_thousand_levels(count: int) -> None:
    def deep(bottom: Any, levels: int = count) -> Any:
        value: Any = [bottom]
        for i in range(levels):
            value = {"next": value} if i % 2 else [value]
        return value

    one, other = deep(1), deep(2)
    assert fingerprint(one) != fingerprint(other)
    same(deep(1, 5000), deep(1, 5000))
    with pytest.raises(UnkeyableError) as caught:
        fingerprint(deep(threading.Lock(), 5000))
    assert caught.value.path == "value" + '["next"][0]' * 2500 + "[0]"


# values that contain themselves


class Node:
    def __init__(self, name: Any) -> None:
        self.name, self.links = name, []
        self.known: set[Node] = set()


def wheel(names: list[Any]) -> list[Node]:
    nodes = [Node(name) for name in names]
    for i, node in enumerate(nodes):
        node.links += [nodes[i - 1], nodes[(i + 1) % len(nodes)]]
        node.known |= {nodes[0], node, nodes[i - 1]}
    return nodes


def test_self_reference() -> None:
    def ring(*items: Any) -> list[Any]:
        value: list[Any] = list(items)
        value.append({"again": value})
        return value

    same(ring(1), ring(1), pickle.loads(pickle.dumps(ring(1))))
    differ(ring(1), ring(2), ring(1, 1), [1, {"again": None}], [1, {"again": [1, {"again": None}]}])
    shared = ring(1)
    same([shared, shared], [ring(1), ring(1)])
    same({"a": shared, "b": shared[1]}, {"a": ring(1), "b": ring(1)[1]})


def test_cycles_with_sets_have_one_encoding() -> None:
    """Sets of objects are walked by address: nothing of that may remain."""
    names = list(range(12))
    same(wheel(names), wheel(names), pickle.loads(pickle.dumps(wheel(names))))
    same(wheel([0] * 12), wheel([0] * 12))
    differ(wheel(names), wheel(names[::-1]), wheel([*names[:-1], 99]), wheel(names[:-1]))
    differ(wheel([0] * 12)[0], wheel([0] * 11 + [1])[0])


def test_long_cycles() -> None:
    def chain(count: int, last: Any) -> Any:
        nodes = [types.SimpleNamespace(last=None) for _ in range(count)]
        for before, after in itertools.pairwise(nodes):
            before.next, after.previous = after, before
        nodes[-1].last = last
        return nodes[0]

    same(chain(300, 1), chain(300, 1))
    differ(chain(300, 1), chain(300, 2), chain(301, 1))


def test_what_no_program_can_tell_apart_is_equal() -> None:
    one: list[Any] = []
    one.append(one)
    two: list[Any] = [[]]
    two[0].append(two)
    same(one, two)


# objects


class Config:
    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)

    def run(self) -> None:
        pass


class Other(Config):
    pass


@dataclasses.dataclass(frozen=True)
class Frozen:
    a: int
    b: Any = None


class Model(pydantic.BaseModel):
    a: int
    b: list[float] = []


class Slots:
    __slots__ = ("__weakref__", "a", "b")


class Kept:
    """State by its own account."""

    def __init__(self, value: Any) -> None:
        self.value, self.cache = value, object()

    def __getstate__(self) -> Any:
        return {"value": self.value}


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


class Listed(list):  # type: ignore[type-arg]
    pass


class Name(str):
    __slots__ = ("note",)


class Moment(datetime.datetime):
    pass


def slotted(**attributes: Any) -> Slots:
    value = Slots()
    for name, attribute in attributes.items():
        setattr(value, name, attribute)
    return value


def test_objects_by_class_and_state() -> None:
    same(Config(a=1, b=2), Config(b=2, a=1), pickle.loads(pickle.dumps(Config(a=1, b=2))))
    differ(Config(a=1), Config(a=2), Config(b=1), Other(a=1), Config(), Config(a=Config(a=1)), {"a": 1})
    same(Frozen(1), Frozen(1, None))
    differ(Frozen(1), Frozen(2), Frozen(1, 2), Frozen(1, Frozen(1)), (1, None))
    same(Model(a=1, b=[2]), Model(b=[2], a=1))
    differ(Model(a=1), Model(a=2), Model(a=1, b=[1.0]))
    same(slotted(a=1), slotted(a=1))
    differ(slotted(a=1), slotted(b=1), slotted(a=1, b=None), slotted())
    same(Kept(1), Kept(1))
    differ(Kept(1), Kept(2))
    differ(Colour.RED, Colour.BLUE, "r", "RED")
    same(Colour.RED, Colour("r"))


def test_classes_of_one_name() -> None:
    def make(module: str) -> type:
        return type("Twin", (), {"__module__": module, "__qualname__": "Twin"})

    differ(make("json")(), make("pickle")())


def test_subclasses_keep_what_their_base_sees_and_add_their_own() -> None:
    listed, noted = Listed([1]), Listed([1])
    noted.note = 2  # type: ignore[attr-defined]
    differ(listed, noted, [1], Listed([2]))
    name = Name("a")
    name.note = 1  # type: ignore[attr-defined]
    differ(name, Name("a"), "a")
    differ(Moment(2024, 1, 1), datetime.datetime(2024, 1, 1), Moment(2024, 1, 2))
    counted = collections.Counter("ab")
    same(counted, collections.Counter("ba"))


def test_what_an_override_says_is_not_what_is_stored() -> None:
    class Liar(list):  # type: ignore[type-arg]
        def __iter__(self) -> Iterator[Any]:
            return iter([])

        def __len__(self) -> int:
            return 0

    differ(Liar([1]), Liar([2]), Liar())


def test_functions_partials_and_methods() -> None:
    def double(x: int) -> int:
        return x * 2

    def triple(x: int) -> int:
        return x * 3

    differ(double, triple, functools.partial(double), functools.partial(double, 1), functools.partial(triple, 1))
    differ(functools.partial(double, x=1), functools.partial(double, x=2))
    differ(Config(a=1).run, Config(a=2).run, Other(a=1).run)
    same(Config(a=1).run, Config(a=1).run)
    differ([1].append, [2].append, [1].pop, len, sum, str.upper, str.lower, int.__add__)
    same(int | str, str | int)
    differ(int, float, list[int], list[str], int | str)
    same({"f": double}, {"f": double})


def test_state_that_hashing_leaves_behind_does_not_count() -> None:
    import attr

    frozen = attr.make_class("frozen", ["a"], frozen=True, cache_hash=True)(1)
    before = fingerprint(frozen)
    hash(frozen)
    assert fingerprint(frozen) == before


def test_looking_changes_nothing() -> None:
    """Neither the global random state nor the value."""
    random.seed(0)
    before = random.getstate()
    value = Config(a=[1, {2}], b=io.BytesIO(b"abc"))
    value.b.read(1)
    fingerprint(value)
    assert random.getstate() == before
    assert value.b.tell() == 1
    assert vars(value).keys() == {"a", "b"}


# refusals


def generator() -> Iterator[int]:
    yield 1


async def coroutine() -> None:
    pass


REFUSED: dict[str, Any] = {
    "open file": functools.partial(open, os.devnull),
    "binary file": functools.partial(open, os.devnull, "rb"),
    "socket": socket.socket,
    "lock": threading.Lock,
    "rlock": threading.RLock,
    "event": threading.Event,
    "condition": threading.Condition,
    "thread": threading.Thread,
    "local": threading.local,
    "generator": generator,
    "iterator": lambda: iter([1]),
    "map": lambda: map(str, [1]),
    "enumerate": lambda: enumerate([1]),
    "zip": lambda: zip([1], [2], strict=True),
    "connection": lambda: sqlite3.connect(":memory:"),
    "asyncio lock": asyncio.Lock,
    "multiprocessing lock": lambda: multiprocessing.get_context("spawn").Lock(),
    "weakref": lambda: weakref.ref(Config),
    "bare object": object,
    "system random": random.SystemRandom,
    "match": lambda: __import__("re").match("a", "a"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_the_path_and_the_ways_out(name: str) -> None:
    value = REFUSED[name]()
    config = {"hooks": [1, 2, value], "other": 1}
    with pytest.raises(UnkeyableError) as caught:
        encode(("x", "config"), (1, config))
    error = caught.value
    assert error.path == 'config["hooks"][2]'
    assert error.kind.rpartition(".")[2] == type(value).__qualname__.rpartition(".")[2]
    for way_out in ("ignore=['config']", "key={'config'", "@memo.hasher(", "__memo_fingerprint__"):
        assert way_out in str(error)
    assert isinstance(error, TypeError)
    getattr(value, "close", bool)()


def test_paths() -> None:
    bad = threading.Lock()
    pair = collections.namedtuple("pair", "left right")
    for value, path in [
        (bad, "x"),
        ([bad], "x[0]"),
        ((1, bad), "x[1]"),
        ({"a": bad}, 'x["a"]'),
        ({1: bad, "a": 1}, "x[1]"),
        ({'"': bad}, "x['\"']"),
        ({1, bad}, "x[...]"),
        (Config(a=bad), "x.a"),
        (Config(a=[{"b": Frozen(1, bad)}]), 'x.a[0]["b"].b'),
        (pair(1, bad), "x.right"),
        ([{"a": 1}] * 20 + [{"a": bad}], 'x[20]["a"]'),
        (collections.OrderedDict(k=bad), 'x["k"]'),
        (functools.partial(print, bad), "x.args[0]"),
        (functools.partial(print, end=bad), 'x.keywords["end"]'),
        (Config(a=bad).run, "x.__self__.a"),
        (slotted(b=bad), "x.b"),
    ]:
        with pytest.raises(UnkeyableError) as caught:
            encode(("x",), (value,))
        assert caught.value.path == path


def test_iterators_are_not_consumed() -> None:
    numbers, lines = generator(), iter([1, 2])
    for value in (numbers, lines):
        with pytest.raises(UnkeyableError):
            fingerprint([value])
    assert list(numbers) == [1]
    assert list(lines) == [1, 2]


def test_a_refused_value_is_never_taken_for_another() -> None:
    random.seed(0)
    for _ in range(2):
        for value in (1, 2):
            with pytest.raises(UnkeyableError):
                encode(("a", "b"), (value, threading.Lock()))
        random.seed(0)


def test_an_error_of_the_users_own_method_is_named() -> None:
    class Broken:
        def __reduce__(self) -> Any:
            raise RuntimeError("not today")

    with pytest.raises(UnkeyableError, match=r"x\[0\].*RuntimeError: not today"):
        encode(("x",), ([Broken()],))


# what users say


@pytest.fixture
def _no_hashers() -> Iterator[None]:
    before = dict(_hooks.HASHERS)
    yield
    _hooks.HASHERS.clear()
    _hooks.HASHERS.update(before)
    _values.LEAVES.clear()


class Session:
    def __init__(self, url: str) -> None:
        self.url, self.lock = url, threading.Lock()


class Subsession(Session):
    pass


@pytest.mark.usefixtures("_no_hashers")
def test_hasher() -> None:
    with pytest.raises(UnkeyableError):
        fingerprint(Session("a"))

    @hasher(Session)
    def by_url(session: Session) -> str:
        return session.url

    assert by_url(Session("a")) == "a"
    same(Session("a"), Session("a"))
    differ(Session("a"), Session("b"), Subsession("a"), "a")

    @hasher(uuid.UUID)
    def nothing(value: uuid.UUID) -> None:
        return None

    same([uuid.UUID(int=1)], [uuid.UUID(int=2)])

    @hasher(Session)
    def by_lock(session: Session) -> Any:
        return {"lock": session.lock}

    with pytest.raises(UnkeyableError) as caught:
        encode(("x",), ({"s": Session("a")},))
    assert caught.value.path == 'x["s"]["lock"]'


@pytest.mark.parametrize("kind", [int, dict, str, object, list, "int"])
def test_hasher_refuses_what_it_could_not_keep(kind: Any) -> None:
    with pytest.raises(OptionError):
        hasher(kind)


def test_methods_of_ones_own() -> None:
    class Mine:
        def __init__(self, value: Any) -> None:
            self.value, self.lock = value, threading.Lock()

        def __memo_fingerprint__(self) -> Any:
            return [self.value]

    class Dask:
        def __init__(self, value: Any) -> None:
            self.value, self.lock = value, threading.Lock()

        def __dask_tokenize__(self) -> Any:
            return ("dask", self.value)

    class WithoutDask:
        def __init__(self, value: Any) -> None:
            self.value = value

        def __dask_tokenize__(self) -> Any:
            raise ImportError("dask")

    class Circular:
        def __memo_fingerprint__(self) -> Any:
            return self

    same(Mine(1), Mine(1))
    differ(Mine(1), Mine(2), [1], Dask(1), Dask(2), ("dask", 1), WithoutDask(1), WithoutDask(2))
    with pytest.raises(UnkeyableError, match="the object itself"):
        fingerprint(Circular())


def test_marks() -> None:
    def plain(a: NoHash[int], b: Annotated[str, HashBy[len]], c: int, d: HashBy[abs] = 0) -> NoHash[int]:  # type: ignore[valid-type]
        return a

    globals_ = {**globals(), "Quiet": NoHash[dict]}  # type: ignore[type-arg]
    found = marks(plain.__annotations__, globals_)
    assert found == {"a": NoHash, "b": len, "d": abs}
    assert marks({"a": NoHash[int], "b": Annotated[int, "x", NoHash], "c": "Quiet", "d": "Unknown"}, globals_) == {
        "a": NoHash,
        "b": NoHash,
        "c": NoHash,
    }
    assert marks({"a": "NoHash[OnlyForTypeCheckers]"}, globals_) == {"a": NoHash}
    assert marks({}) == {}
    with pytest.raises(OptionError):
        HashBy[3]  # type: ignore[type-arg]


def test_file_counts_by_content(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"a" * 100_000)
    other.write_bytes(b"a" * 100_000)
    same(File(one), File(other), File(str(one)), pickle.loads(pickle.dumps(File(one))))
    before = fingerprint(File(one))
    with open(File(one), "r+b") as file:
        file.seek(50_000)
        file.write(b"b")
    assert fingerprint(File(one)) != before
    assert str(File(one)) == str(one)
    other.write_bytes(b"")
    assert fingerprint(File(other)) != before
    for missing in (tmp_path / "missing", tmp_path, Path(os.devnull)):
        with pytest.raises(UnkeyableError) as caught:
            encode(("data",), ([File(missing)],))
        assert caught.value.path == "data[0]"


def test_digest_is_blake3_of_any_buffer() -> None:
    import blake3

    for size in (0, 10, 9 << 20):
        data = os.urandom(size)
        assert digest(data) == digest(memoryview(data)) == digest(bytearray(data)) == blake3.blake3(data).digest(20)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_a_forked_child_hashes_large_buffers() -> None:
    """Threads of the parent are not there in the child."""
    value = [bytes(20 << 20)]
    expected = fingerprint(value)
    child = os.fork()
    if not child:
        os._exit(0 if fingerprint(value) == expected else 1)
    ended = threading.Event()
    status: list[int] = []

    def wait() -> None:
        status.append(os.waitpid(child, 0)[1])
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    if not ended.wait(30):
        os.kill(child, 9)
    assert ended.wait(30)
    assert status == [0]


def test_threads_get_the_same_digests() -> None:
    values = [Config(a=[{"b": i}], c={1, "x", Frozen(i)}) for i in range(50)]
    expected = [fingerprint(value) for value in values]
    found: dict[int, list[bytes]] = {}

    def work(number: int) -> None:
        found[number] = [fingerprint(value) for value in values]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(found.values()) == [expected] * 4


def test_fractions_decimals_and_zones() -> None:
    differ(decimal.Decimal("1"), decimal.Decimal("1.0"), decimal.Decimal("-1"), Fraction(1), 1, 1.0)
    with decimal.localcontext() as context:
        context.capitals = 0
        same_digest = fingerprint(decimal.Decimal("1E+9"))
    assert same_digest == fingerprint(decimal.Decimal("1E+9"))
    noon = datetime.datetime(2024, 10, 27, 2, 30)
    differ(noon, noon.replace(fold=1), noon.replace(tzinfo=datetime.UTC))


def test_no_set_has_the_bytes_of_a_bytes_object():
    # marshal writes bytes with a tag, a length and the content: a container's own tag must be none of marshal's
    from memo.fingerprint import encode

    forged = b"\0u\x55\1\0\0" + b"x" * 341
    assert encode(("x",), ([{"x" * 341}],)) != encode(("x",), ([forged],))
    assert encode(("x",), ({"x" * 341},)) != encode(("x",), (bytearray(forged),))
