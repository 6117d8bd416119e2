"""Every kind of definition: one version whatever started it, and an edit of any of them is seen."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_fingerprint_code_edits import other_pythons, run

ZOO = """
import abc, collections, contextlib, dataclasses, datetime, decimal, enum, functools, logging, pathlib, re, typing, weakref
from dataclasses import KW_ONLY, dataclass, field

log = logging.getLogger(__name__)
T = typing.TypeVar("T")


class Proto(typing.Protocol):
    x: int

    def go(self) -> int: ...


@typing.runtime_checkable
class Checkable(typing.Protocol):
    def walk(self) -> int:
        return 11


class Generic(typing.Generic[T]):
    def get(self, x: T) -> T:
        return 12


class OfInt(Generic[int]):
    pass


class Typed(typing.TypedDict, total=False):
    a: int
    b: str


class Flags(enum.IntFlag):
    A = 1
    B = 2
    AB = 3


class Strict(enum.Flag, boundary=enum.STRICT):
    A = enum.auto()
    B = enum.auto()


class Text(enum.StrEnum):
    x = "a"

    @classmethod
    def _missing_(cls, value):
        return 13


class Mixed(str, enum.Enum):
    A = "a"

    def __str__(self):
        return "s14"


class Inner:
    def deep(self):
        return 15


@dataclass(slots=True, kw_only=True, order=True)
class Slotted:
    x: int = 16
    y: "list[Inner]" = field(default_factory=list, repr=False, metadata={"unit": 17})


@dataclass(unsafe_hash=True)
class Abstract(abc.ABC):
    x: int
    _: KW_ONLY
    z: typing.ClassVar[int] = 18
    w: dataclasses.InitVar[int] = 19

    def __post_init__(self, w):
        self.v = w + 20

    @functools.cached_property
    def kept(self):
        return 21

    @abc.abstractmethod
    def ab(self): ...


class Named(typing.NamedTuple):
    a: int
    b: str = "x22"

    def m(self):
        return 23


Classic = collections.namedtuple("Classic", "p q", defaults=[24])


@functools.total_ordering
class Ordered:
    def __eq__(self, other):
        return 25

    def __lt__(self, other):
        return False


@contextlib.contextmanager
def managed():
    yield 26


@functools.singledispatch
def single(x):
    return 27


@single.register
def _(x: int):
    return 28


class Dispatch:
    @functools.singledispatchmethod
    def m(self, x):
        return 29

    @m.register
    def _(self, x: int):
        return 30


class Special:
    __slots__ = ("a", "__dict__", "__weakref__")
    __hash__ = None
    part = functools.partialmethod(lambda self, a: a + 31, 32)

    def __init_subclass__(cls, **named):
        return 33

    def __class_getitem__(cls, item):
        return 34


class Missing(dict):
    def __missing__(self, key):
        return 35


class Failure(ValueError):
    code = 36


async def asynchronous(x):
    async with x as y:
        async for z in y:
            yield z + 37


@functools.cache
def fib(n):
    return n if n < 38 else fib(n - 1) + fib(n - 2)


def matching(x):
    match x:
        case {"a": [1, *rest], **named}:
            return rest, named
        case Named(a=39) | Flags.A:
            return 2
        case str() as s if (n := len(s)) > 3:
            return n
        case _:
            pass
    try:
        return f"{x!r:>{10}} {x=} a" f"b{40}"
    except* (ValueError, Failure) as e:
        raise
    finally:
        log.info("x")


class Callable_:
    def __call__(self, x):
        return x + 41


class Holder:
    items = [42]


def defaults(f=lambda x: x + 43, *, g=Callable_()):
    return f, g


CALL = Callable_()
RX = re.compile("a44+")
DEC = decimal.Decimal("1.45")
DAY = datetime.date(2020, 1, 1)
PLACE = pathlib.PurePosixPath("a/b46")
CONST = (1, "a", frozenset({"x", "y", "z47"}), 1.5, b"z", None, ..., -0.0)
INSTANCE = Slotted(x=48)
NAMED = Named(49)
WEAK = weakref.WeakValueDictionary()
METHOD = CALL.__call__
HANDLES = {("a", 1): functools.partial(matching, y=50)}


def names():
    import inside

    return [
        Proto, Checkable, OfInt, Typed, Flags, Strict, Text, Mixed, Slotted, Abstract, Named, Classic, Ordered, managed,
        single, Dispatch, Special, Missing, Failure, asynchronous, fib, matching, CALL, Holder, defaults, RX, DEC, DAY,
        PLACE, CONST, INSTANCE, NAMED, WEAK, METHOD, HANDLES, Text.x, Flags.A, __name__, __file__, inside.name,
    ]
"""
INSIDE = """
from zoopkg.inner import table
TABLE = table(51)

def name(x):
    return TABLE, x + 52
"""
INNER = """
def table(n):
    return {"n": n + 53}

def other():
    return 1
"""
SCRIPT = """
if __name__ == "__main__":
    import json
    from memo.fingerprint._code import follow
    r = follow(names, packages="ignore")
    assert r.check()
    print(json.dumps([r.version, r.captures.hex(), r.mutable().hex()]))
"""


def build(folder: Path, number: int = 0) -> Path:
    files = {"zoopkg/__init__.py": "", "zoopkg/zoo.py": ZOO + SCRIPT, "inside.py": INSIDE, "zoopkg/inner.py": INNER}
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(re.sub(rf"(?<!\d){number}(?!\d)", str(number + 100), text) if number else text)
    return folder


def start(folder: Path, *command: str) -> list[str]:
    environ = {**os.environ, "PYTHONPATH": str(folder), "PYTHONHASHSEED": "random"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=environ, cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


def test_every_number_in_every_kind_of_definition_counts(tmp_path: Path) -> None:
    jobs = [("", str(build(tmp_path / "base")), "zoopkg.zoo", "names")]
    for number in range(11, 54):
        jobs.append((str(number), str(build(tmp_path / str(number), number)), "zoopkg.zoo", "names"))
    found = run(jobs)
    base = found.pop("")
    assert [label for label, version in found.items() if version == base] == []
    assert len({json.dumps(version) for version in found.values()}) == len(found)


def test_however_it_was_started(tmp_path: Path) -> None:
    folder = build(tmp_path / "here")
    script = str(folder / "zoopkg" / "zoo.py")
    by_script = start(folder, sys.executable, script)
    assert start(folder, sys.executable, "-m", "zoopkg.zoo") == by_script
    assert start(folder, sys.executable, "-O", script) == by_script
    assert start(build(tmp_path / "there"), sys.executable, str(tmp_path / "there" / "zoopkg" / "zoo.py")) == by_script
    imported = f"import sys; sys.path.insert(0, {str(folder)!r}); from zoopkg import zoo; {CALL}"
    assert start(folder, sys.executable, "-c", imported) == by_script
    # what a call made in a module that was loaded before anybody looked might have been changed since: it counts
    assert start(folder, sys.executable, "-c", f"import inside; {imported}")[:2] == by_script[:2]


CALL = "from memo.fingerprint._code import follow; import json; r = follow(zoo.names, packages='ignore'); print(json.dumps([r.version, r.captures.hex(), r.mutable().hex()]))"


def test_other_versions_of_python(tmp_path: Path) -> None:
    others = other_pythons()
    if not others:
        pytest.skip("no other Python that has memo")
    folder = build(tmp_path / "here")
    script = str(folder / "zoopkg" / "zoo.py")
    known = start(folder, sys.executable, script)
    for python in others:
        assert start(folder, python, script) == known, python
        assert start(folder, python, "-O", "-m", "zoopkg.zoo") == known, python
