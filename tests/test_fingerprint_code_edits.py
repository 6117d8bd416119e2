"""Edits to a sample project: what can change the result changes the key, and nothing else does.

Each edit is a project folder of its own; one fresh process imports them all in turn and prints what `follow` makes of
the same function, so that two processes with other hash seeds settle everything.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROJECT = {
    "proj/__init__.py": "",
    "proj/main.py": '''
"""The module."""
import abc
import functools
import importlib
import logging
import math

import proj.deep.inner
from proj import util
from proj.deco import deco
from proj.models import Base, Color, Model, Options, Pair, Point, Settings, Temperature
from proj.reexport import exported
from proj.star import *
from proj.util import helper as alias

THRESHOLD = 0.5
ZERO = 0.0
FLAG = 1
TEXT = "text"
CONFIG = {"lr": 0.1, "nested": {"sizes": [1, 2]}}
HANDLERS = [util.first, util.second]
TABLE = {"third": util.third}
PAIR = (util.fourth, 3)
NAMES = {"ann", "bob", "cat"}
PART = functools.partial(util.fifth, 2)
CACHED = functools.lru_cache(util.sixth)
SENTINEL = object()
LOG = logging.getLogger(__name__)
OPTIONS = Options(3)
UNUSED = 1
counter = 0


@deco
def decorated(x):
    return x + 1


def make(n):
    def inner(x):
        return x + n

    return inner


closed = make(3)
two = lambda x: x + 1, lambda x: x + 2


def with_default(x, k=10, *, fn=util.seventh, size=(1, 2)):
    return fn(x) + k + len(size)


def guarded(x):
    assert util.checked(x), "not checked"
    return x


def unrelated(x):
    return x - 1


def unused(x):
    # nobody calls this
    return unrelated(x)


def lazy(x):
    from proj import late
    from .late import fetched
    import proj.later as later

    return fetched(x) + late.plain(x) + later.thing(x)


def dynamic(x, name):
    return getattr(proj.plugins, name)(x)


def by_name(x):
    return importlib.import_module("proj.named").run(x)


def annotated(x: Base, y: "int" = 2) -> int:
    z: int = x
    return z


def counting(x):
    global counter
    counter = 5
    return x


def scopes(x):
    unrelated = 3
    def nested(y):
        nonlocal unrelated
        unrelated += y
        return [scoped(unrelated) for scoped in (abs, math.sqrt)]
    return nested(x)


def recursive(n):
    return 1 if n < 1 else mutual(n - 1)


def mutual(n):
    return recursive(n - 1)


def f(x):
    """What it does."""
    # a comment
    total = alias(x) * THRESHOLD + ZERO + FLAG + len(TEXT)
    total += proj.deep.inner.work(x) + util.VALUE + exported(x) + starred(x) + STAR
    for handler in HANDLERS:
        total += handler(x)
    total += TABLE["third"](x) + PAIR[0](x) + PART(x) + CACHED(x) + CONFIG["lr"] + len(NAMES)
    total += decorated(x) + closed(x) + two[1](x) + with_default(x) + guarded(x) + lazy(x)
    total += Model(x).run() + Point(1, 2).norm() + Color.RED.weight() + Settings().size
    total += Temperature(2).value + OPTIONS.level + sum(Pair(1, 2))
    total += dynamic(x, "plug") + by_name(x) + annotated(x) + counting(x) + recursive(3) + len(scopes(x))
    if SENTINEL is None:
        LOG.info("never")
    return total
''',
    "proj/util.py": """
import json

VALUE = 7
OTHER = 8


def helper(x):
    return below(x) + 1


def below(x):
    def inner(y):
        return y * 2
    return inner(x)


def first(x): return x + 1
def second(x): return x + 2
def third(x): return x + 3
def fourth(x): return x + 4
def fifth(a, x): return x + a
def sixth(x): return x + 6
def seventh(x): return x + 7
def checked(x): return x is not None


def stranger(x):
    return x + OTHER
""",
    "proj/models.py": '''
import abc
import dataclasses
import enum
import typing

SCALE = 2
LIMITS = {"low": 1}


class Meta(type):
    def __call__(cls, *args, **kwargs):
        return super().__call__(*args, **kwargs)


class Root(abc.ABC):
    def run(self):
        return self.step() + 1

    @abc.abstractmethod
    def step(self): ...


class Base(Root):
    """A base."""

    factor = 3

    def step(self):
        return self.x * self.factor


class Model(Base):
    def __init__(self, x):
        self.x = x

    @property
    def size(self):
        return 4

    @staticmethod
    def static(x):
        return x + 5

    @classmethod
    def build(cls, x):
        return cls(x + 6)

    def __add__(self, other):
        return self.x + other + SCALE

    def not_called(self):
        return LIMITS["low"]


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    y: int = 5
    tags: list = dataclasses.field(default_factory=list)

    def norm(self) -> float:
        return self.x + self.y


class Color(enum.Enum):
    RED = 1
    BLUE = 2

    def weight(self):
        return self.value * 10


class Settings:
    size: int = 3
    name: str


class Descriptor:
    def __get__(self, obj, owner):
        return obj.degrees + 1


class Temperature(metaclass=Meta):
    value = Descriptor()
    __slots__ = ("degrees",)

    def __init__(self, degrees):
        self.degrees = degrees


class Pair(typing.NamedTuple):
    left: int
    right: int = 2


class Options:
    def __init__(self, level):
        self.level = level

    def read(self):
        return self.level + 1


class Nobody:
    pass
''',
    "proj/deco.py": """
import functools


def deco(function):
    @functools.wraps(function)
    def wrapper(*args):
        return adjust(function(*args))
    return wrapper


def adjust(x):
    return x + 100
""",
    "proj/star.py": """
STAR = 1
HIDDEN = 2


def starred(x):
    return x + 1


def star_unused(x):
    return x
""",
    "proj/reexport.py": "from .origin import exported, other\n",
    "proj/origin.py": "def exported(x):\n    return x + 1\n\n\ndef other(x):\n    return x\n",
    "proj/deep/__init__.py": "",
    "proj/deep/inner.py": "from ..util import VALUE as V\n\ndef work(x):\n    return x + V\n\ndef idle(x):\n    return 1\n",
    "proj/late.py": """
from .latest import basis

RATE = 3
OTHER = 4


def fetched(x):
    return x * RATE + basis(x)


def plain(x):
    return x + 1


def never(x):
    return x * OTHER
""",
    "proj/latest.py": "def basis(x):\n    return x + 1\n\n\ndef idle(x):\n    return x\n",
    "proj/later.py": "def thing(x):\n    return x + 1\n",
    "proj/plugins.py": "def plug(x):\n    return x + 1\n",
    "proj/named.py": "def run(x):\n    return x + 1\n",
}
PROJECT["proj/main.py"] += "\n\nimport proj.plugins\n"

MAIN, UTIL, MODELS, DECO = "proj/main.py", "proj/util.py", "proj/models.py", "proj/deco.py"
LATE = "proj/late.py"

CHANGES = [
    ("own body", MAIN, "* THRESHOLD", "/ THRESHOLD"),
    ("operator", MAIN, "total = alias(x) *", "total = alias(x) -"),
    ("constant", MAIN, "THRESHOLD = 0.5", "THRESHOLD = 0.6"),
    ("constant by sign of zero", MAIN, "ZERO = 0.0", "ZERO = -0.0"),
    ("constant 1 to True", MAIN, "FLAG = 1", "FLAG = True"),
    ("constant 1 to 1.0", MAIN, "FLAG = 1", "FLAG = 1.0"),
    ("constant text", MAIN, 'TEXT = "text"', 'TEXT = "test"'),
    ("constant text to bytes", MAIN, 'TEXT = "text"', 'TEXT = b"text"'),
    ("literal by type", MAIN, "recursive(3)", "recursive(3.0)"),
    ("mutable global", MAIN, '"lr": 0.1', '"lr": 0.2'),
    ("nested mutable global", MAIN, '"sizes": [1, 2]', '"sizes": [1, 3]'),
    ("set", MAIN, '"bob"', '"bib"'),
    ("aliased helper", UTIL, "return below(x) + 1", "return below(x) + 2"),
    ("helper's helper", UTIL, "def below(x):", "def below(x, extra=0):"),
    ("nested function of a helper's helper", UTIL, "return y * 2", "return y * 3"),
    ("module attribute", UTIL, "VALUE = 7", "VALUE = 9"),
    ("function in a list", UTIL, "def second(x): return x + 2", "def second(x): return x - 2"),
    ("order of a list of functions", MAIN, "[util.first, util.second]", "[util.second, util.first]"),
    ("function in a dict", UTIL, "return x + 3", "return x - 3"),
    ("function in a tuple", UTIL, "return x + 4", "return x - 4"),
    ("value beside a function in a tuple", MAIN, "(util.fourth, 3)", "(util.fourth, 4)"),
    ("function of a partial", UTIL, "return x + a", "return x - a"),
    ("argument of a partial", MAIN, "partial(util.fifth, 2)", "partial(util.fifth, 3)"),
    ("lru_cache", UTIL, "return x + 6", "return x - 6"),
    ("helper's default", MAIN, "k=10", "k=11"),
    ("helper's default by type", MAIN, "k=10", "k=10.0"),
    ("helper's keyword default", MAIN, "size=(1, 2)", "size=(1, 3)"),
    ("default that is a function", UTIL, "return x + 7", "return x - 7"),
    ("function used in an assert", UTIL, "return x is not None", "return x is None"),
    ("decorator's wrapper", DECO, "return adjust(function(*args))", "return -adjust(function(*args))"),
    ("decorator's helper", DECO, "return x + 100", "return x + 101"),
    ("decorated function", MAIN, "def decorated(x):\n    return x + 1", "def decorated(x):\n    return x + 2"),
    ("decorator taken away", MAIN, "@deco\n", ""),
    ("closure's value", MAIN, "closed = make(3)", "closed = make(4)"),
    ("closure's body", MAIN, "return x + n", "return x - n"),
    ("second lambda of a line", MAIN, "lambda x: x + 2", "lambda x: x + 3"),
    ("first lambda of a line", MAIN, "two = lambda x: x + 1", "two = lambda x: x - 1"),
    ("star import's function", "proj/star.py", "def starred(x):\n    return x + 1", "def starred(x):\n    return x + 9"),
    ("star import's constant", "proj/star.py", "STAR = 1", "STAR = 3"),
    ("re-exported function", "proj/origin.py", "return x + 1", "return x - 1"),
    ("re-export of another", "proj/reexport.py", "exported, other", "other as exported, other"),
    ("attribute chain", "proj/deep/inner.py", "return x + V", "return x - V"),
    ("relative import's name", "proj/deep/inner.py", "import VALUE as V", "import OTHER as V"),
    ("method", MODELS, "return self.step() + 1", "return self.step() + 2"),
    ("method of a base", MODELS, "self.x * self.factor", "self.x / self.factor"),
    ("class attribute", MODELS, "factor = 3", "factor = 4"),
    ("property", MODELS, "return 4", "return 5"),
    ("static method", MODELS, "return x + 5", "return x - 5"),
    ("class method", MODELS, "cls(x + 6)", "cls(x - 6)"),
    ("operator method", MODELS, "self.x + other + SCALE", "self.x - other + SCALE"),
    ("constant of an operator method", MODELS, "SCALE = 2", "SCALE = 3"),
    ("mutable constant of a method", MODELS, '"low": 1', '"low": 2'),
    ("base class", MODELS, "class Model(Base):", "class Model(Root):"),
    ("another base", MODELS, "class Settings:", "class Settings(Root):"),
    ("metaclass", MODELS, "return super().__call__(*args, **kwargs)", "return super().__call__(*args)"),
    ("metaclass taken away", MODELS, "class Temperature(metaclass=Meta):", "class Temperature:"),
    ("descriptor", MODELS, "obj.degrees + 1", "obj.degrees + 2"),
    ("slots", MODELS, '("degrees",)', '("degrees", "more")'),
    ("class-body annotation", MODELS, "name: str", "name: bytes"),
    ("class-body default", MODELS, "size: int = 3", "size: int = 4"),
    ("dataclass default", MODELS, "y: int = 5", "y: int = 6"),
    ("dataclass field's type", MODELS, "    x: int\n", "    x: float\n"),
    ("dataclass factory", MODELS, "default_factory=list", "default_factory=dict"),
    ("dataclass option", MODELS, "frozen=True", "order=True"),
    ("order of dataclass fields", MODELS, "    x: int\n    y: int = 5\n", "    y: int\n    x: int = 5\n"),
    ("dataclass method", MODELS, "return self.x + self.y", "return self.x - self.y"),
    ("enum member", MODELS, "BLUE = 2", "BLUE = 3"),
    ("enum method", MODELS, "self.value * 10", "self.value * 11"),
    ("named tuple default", MODELS, "right: int = 2", "right: int = 3"),
    ("captured instance's state", MAIN, "Options(3)", "Options(4)"),
    ("captured instance's class", MODELS, "return self.level + 1", "return self.level + 2"),
    ("import inside a function", LATE, "x * RATE", "x / RATE"),
    ("constant of a module imported inside", LATE, "RATE = 3", "RATE = 5"),
    ("module imported by one imported inside", "proj/latest.py", "return x + 1", "return x + 2"),
    ("attribute of a module imported inside", LATE, "def plain(x):\n    return x + 1", "def plain(x):\n    return x"),
    ("module imported inside with a name", "proj/later.py", "return x + 1", "return x + 2"),
    ("getattr on a module", "proj/plugins.py", "return x + 1", "return x + 2"),
    ("another function for getattr on a module", "proj/plugins.py", "def plug", "def more(x): return x\n\ndef plug"),
    ("importlib.import_module", "proj/named.py", "return x + 1", "return x + 2"),
    ("mutual recursion", MAIN, "return recursive(n - 1)", "return recursive(n - 2)"),
    ("comprehension in a nested function", MAIN, "(abs, math.sqrt)", "(abs, math.sin)"),
    ("sentinel becomes a value", MAIN, "SENTINEL = object()", "SENTINEL = None"),
    ("parameter renamed", MAIN, "def mutual(n):\n    return recursive(n - 1)", "def mutual(k):\n    return recursive(k - 1)"),
    ("assertion", MAIN, "assert util.checked(x)", "assert not util.checked(x)"),
    ("async", UTIL, "def third(x)", "async def third(x)"),
    ("definition replaced below", UTIL, "def stranger(x):", "def helper(x):"),
]  # fmt: skip

SAME = [
    ("comment", MAIN, "# a comment", "# another comment"),
    ("docstring of the function", MAIN, '"""What it does."""', '"""Other words."""'),
    ("docstring taken away", MAIN, '    """What it does."""\n', ""),
    ("docstring of the module", MAIN, '"""The module."""', ""),
    ("docstring of a class", MODELS, '"""A base."""', '"""Base."""'),
    ("docstring given to a helper", UTIL, "def helper(x):\n", 'def helper(x):\n    "Helps."\n'),
    ("blank lines", MAIN, "def f(x):", "\n\n\n\ndef f(x):"),
    ("line breaks and brackets", MAIN, "total += decorated(x) + closed(x)", "total += (\n        decorated(x)\n        + closed(x)\n    )"),
    ("quotes", MAIN, '"third"](x)', "'third'](x)"),
    ("number written otherwise", UTIL, "VALUE = 7", "VALUE = 0x7"),
    ("trailing comma", MAIN, "PART(x)", "PART(x,)"),
    ("unrelated function", MAIN, "return x - 1", "return x - 2"),
    ("function that is not called", MAIN, "return unrelated(x)", "return unrelated(x) + 1"),
    ("unused constant", MAIN, "UNUSED = 1", "UNUSED = 2"),
    ("unrelated function of a used module", UTIL, "return x + OTHER", "return x - OTHER"),
    ("unrelated constant of a used module", UTIL, "OTHER = 8", "OTHER = 9"),
    ("new function", UTIL, "def helper(x):", "def brand_new(x):\n    return 1\n\n\ndef helper(x):"),
    ("new import", UTIL, "import json", "import json\nimport pickle"),
    ("unused class", MODELS, "class Nobody:\n    pass", "class Nobody:\n    x = 1"),
    ("annotation of a parameter", MAIN, "def annotated(x: Base,", "def annotated(x: Model,"),
    ("annotation taken away", MAIN, "def annotated(x: Base,", "def annotated(x,"),
    ("annotation of a result", MAIN, "-> int:", "-> float:"),
    ("annotation of a local", MAIN, "z: int = x", "z = x"),
    ("annotation of a method", MODELS, "def norm(self) -> float:", "def norm(self):"),
    ("order of definitions", UTIL, "def first(x): return x + 1\ndef second(x): return x + 2\n", "def second(x): return x + 2\ndef first(x): return x + 1\n"),
    ("order of methods", MODELS, "    @property\n    def size(self):\n        return 4\n\n    @staticmethod\n    def static(x):\n        return x + 5\n", "    @staticmethod\n    def static(x):\n        return x + 5\n\n    @property\n    def size(self):\n        return 4\n"),
    ("order of a dict", MAIN, '{"lr": 0.1, "nested": {"sizes": [1, 2]}}', '{"nested": {"sizes": [1, 2]}, "lr": 0.1}'),
    ("order of a set", MAIN, '{"ann", "bob", "cat"}', '{"cat", "ann", "bob"}'),
    ("value computed otherwise", MAIN, "THRESHOLD = 0.5", "THRESHOLD = 1 / 2"),
    ("star import's unused function", "proj/star.py", "def star_unused(x):\n    return x", "def star_unused(x):\n    return 2"),
    ("star import's unused constant", "proj/star.py", "HIDDEN = 2", "HIDDEN = 3"),
    ("other function of the origin", "proj/origin.py", "def other(x):\n    return x", "def other(x):\n    return 3"),
    ("other function down an attribute chain", "proj/deep/inner.py", "return 1", "return 2"),
    ("unused function of a module imported inside", LATE, "return x * OTHER", "return x / OTHER"),
    ("unused constant of a module imported inside", LATE, "OTHER = 4", "OTHER = 5"),
    ("unused function two imports away", "proj/latest.py", "def idle(x):\n    return x", "def idle(x):\n    return 1"),
    ("comment in a module imported inside", LATE, "RATE = 3", "RATE = 3  # per cent"),
    ("global that is only written", MAIN, "counter = 0", "counter = 1"),
    ("global with the name of a local", MAIN, "def unrelated(x):", "def unrelated(x, y=2):"),
    ("an alias more", MAIN, "UNUSED = 1", "UNUSED = util.stranger"),
    ("package's __init__ docstring", "proj/__init__.py", "", '"""The package."""\n'),
    ("pass", MODELS, "def step(self): ...", "def step(self): pass"),
    ("import order", MAIN, "import functools\nimport importlib\n", "import importlib\nimport functools\n"),
    ("line moved within the module", MAIN, "closed = make(3)\n", "\nclosed = make(3)  # moved\n"),
    ("logger's name", MAIN, "getLogger(__name__)", 'getLogger("proj")'),
]  # fmt: skip

RUNNER = """
import importlib, json, sys
from memo.fingerprint._code import follow

folders = json.load(sys.stdin)
found = {}
for label, folder, module, name in folders:
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        function = getattr(importlib.import_module(module), name)
        result = follow(function)
        mutable = result.mutable().hex() if result.mutable is not None else ""
        assert result.check is None or result.check() is True, label
        found[label] = [result.version, result.captures.hex(), mutable]
    except Exception as error:
        raise RuntimeError(label) from error
    finally:
        sys.path.remove(folder)
        for known in [k for k in sys.modules if k.partition(".")[0] == module.partition(".")[0]]:
            del sys.modules[known]
json.dump(found, sys.stdout)
"""


def write(folder: Path, edit: tuple[str, str, str] | None = None) -> Path:
    for name, text in PROJECT.items():
        if edit is not None and edit[0] == name:
            assert edit[1] in text, f"the edit does not apply: {edit[1]!r}"
            text = text.replace(edit[1], edit[2], 1)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def run(
    jobs: list[tuple[str, str, str, str]], *flags: str, python: str = sys.executable, **environ: str
) -> dict[str, list[str]]:
    done = subprocess.run(
        [python, *flags, "-B", "-c", RUNNER],
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONHASHSEED": "random", **environ},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


EDITS = [(label, (file, old, new), True) for label, file, old, new in CHANGES] + [
    (label, (file, old, new), False) for label, file, old, new in SAME
]


@pytest.fixture(scope="module")
def versions(once: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    def made() -> dict[str, list[str]]:
        top = tmp_path_factory.mktemp("edits")
        jobs = [("", str(write(top / "base")), "proj.main", "f")]
        for number, (label, edit, _) in enumerate(EDITS):
            jobs.append((label, str(write(top / f"edit{number}", edit)), "proj.main", "f"))
        first = run(jobs, PYTHONHASHSEED="1")
        second = run(jobs[:1] + jobs[:0:-10], PYTHONHASHSEED="2")
        assert first == first | second  # the seed and what ran before play no part
        return first

    found: dict[str, list[str]] = once("code-edits", made)
    return found


@pytest.mark.slow
def test_the_seed_and_what_ran_before_play_no_part(versions: dict[str, list[str]], tmp_path: Path) -> None:
    """In the other order, and all of them; the quick form of it is where the versions are made."""
    jobs = [("", str(write(tmp_path / "base")), "proj.main", "f")]
    for number, (label, edit, _) in enumerate(EDITS):
        jobs.append((label, str(write(tmp_path / f"edit{number}", edit)), "proj.main", "f"))
    assert run(jobs[:1] + jobs[:0:-1], PYTHONHASHSEED="2") == versions


@pytest.mark.parametrize(("label", "changes"), [(label, changes) for label, _, changes in EDITS])
def test_edit(versions: dict[str, list[str]], label: str, changes: bool) -> None:
    assert (versions[label] != versions[""]) is changes


def test_no_two_edits_are_mistaken_for_each_other(versions: dict[str, list[str]]) -> None:
    seen: dict[str, str] = {}
    for label, _, changes in EDITS:
        if changes:
            assert seen.setdefault(json.dumps(versions[label]), label) == label


def test_another_folder_and_optimised_runs_are_the_same(versions: dict[str, list[str]], tmp_path: Path) -> None:
    job = [("", str(write(tmp_path / "elsewhere" / "checkout")), "proj.main", "f")]
    for flags in ((), ("-O",), ("-OO",)):
        assert run(job, *flags)[""] == versions[""]


def test_another_version_of_python_is_the_same(versions: dict[str, list[str]], tmp_path: Path) -> None:
    others = other_pythons()
    if not others:
        pytest.skip("no other Python that has memo")
    job = [("", str(write(tmp_path)), "proj.main", "f")]
    for python in others:
        assert run(job, python=python)[""] == versions[""], python


def other_pythons() -> list[str]:
    """Interpreters of other versions that can import memo and its dependencies ($OTHER_PYTHONS, or on the path)."""
    import shutil

    named = os.environ.get("OTHER_PYTHONS", "").split(os.pathsep)
    candidates = [*named, *(shutil.which(f"python3.{minor}") for minor in range(11, 15))]
    found = []
    for python in filter(None, candidates):
        test = "import sys, memo, blake3; print(sys.version_info[:2])"
        try:
            done = subprocess.run([python, "-c", test], capture_output=True, text=True, timeout=60)
        except OSError:
            continue
        if done.returncode == 0 and done.stdout.strip() != str(sys.version_info[:2]):
            found.append(python)
    return found
