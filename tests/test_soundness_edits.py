"""Edits to a sample project that runs: what can change the result changes the key, and nothing else does.

A hundred edits by hand, and every constant, operator, comparison and name of the project altered by machine. Nobody
says what each of them does: each edited project is run as well, with and without `@persist`, against what the
original stored. Where the results differ `@persist` must compute; where only words that never count differ, it must not.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROJECT = {
    "shop/__init__.py": '"""A shop."""\nfrom .prices import PRICES as prices\n',
    "shop/app.py": '''"""Orders."""
import functools
import importlib
import math
from os import getpid

from memo import persist

import shop.deep.tax
from . import rules, tools
from .decorators import counted, scaled
from .models import Basket, Kind, Line, Money, Settings
from .star import *
from .tools import round_up as up

RATE = 0.25
LIMITS = {"low": 1, "high": {"a": [10, 20]}}
STEPS = [tools.add, tools.double]
NAMES = frozenset({"ann", "bob"})
SETTINGS = Settings(level=2)
half = functools.partial(tools.divide, by=2)
UNUSED = 5


@scaled(3)
def weight(x):
    return x + 1


def make(n):
    def inner(x):
        return x + n

    return inner


plus = make(4)
first, second = (lambda x: x + 1), (lambda x: x * 2)


def lazy(x):
    from .late import fee

    return fee(x)


def dynamic(x):
    return getattr(rules, "rule_" + "ab"[x % 2])(x)


def named(x):
    return importlib.import_module("shop.named").run(x)


def factorial(n):
    return 1 if n < 2 else n * factorial(n - 1)


def unused(x):
    return x - UNUSED


@persist
def total(x, rate=RATE, *, seed=0):
    """The sum of everything."""
    # each part is seen in the result
    parts = [up(x * rate), len(NAMES), LIMITS["high"]["a"][1], SETTINGS.level, seed]
    for step in STEPS:
        parts.append(step(x))
    parts += [half(x), weight(x), plus(x), first(x), second(x), lazy(x), dynamic(x), named(x), factorial(4)]
    basket = Basket([Line("tea", 2), Line("cup", 1, Kind.GIFT)])
    parts += [basket.sum(), len(basket), basket.best.name, repr(Money(3) + Money(4)), starred(x) + STAR]
    parts += [shop.deep.tax.tax(x), counted(x), math.floor(2.5), [y for y in range(3) if y != x]]
    match x:
        case 3:
            parts.append("one")
        case _:
            parts.append("many")
    try:
        tools.check(x)
    except ValueError as error:
        parts.append(str(error))
    return getpid(), parts
''',
    "shop/tools.py": """
def add(x, n=1): return x + n
def double(x): return x * 2
def divide(x, by): return x / by


def round_up(x):
    return int(x + below()) if x > 0 else 0


def below():
    return 0.5


def check(x):
    assert x is not None
    if x < 5:
        raise ValueError("small")


def stranger(x):
    return x + 99
""",
    "shop/prices.py": 'PRICES = {"tea": 3, "cup": 5}\nOTHER = {"hat": 7}\n',
    "shop/models.py": '''
import dataclasses
import enum

import shop
from .tools import double


class Kind(enum.Enum):
    PLAIN = 1
    GIFT = 2

    @property
    def factor(self):
        return self.value * 10


@dataclasses.dataclass(frozen=True)
class Line:
    name: str
    count: int = 1
    kind: Kind = Kind.PLAIN

    def price(self):
        return shop.prices[self.name] * self.count + self.kind.factor


class Sized:
    extra = 1

    def __len__(self):
        return len(self.lines) + self.extra


class Basket(Sized):
    """Lines."""

    def __init__(self, lines):
        self.lines = list(lines)

    def sum(self):
        return sum(line.price() for line in self.lines)

    @property
    def best(self):
        return max(self.lines, key=self.rank)

    @staticmethod
    def rank(line):
        return double(line.count)

    def never(self):
        return 77


class Money:
    __slots__ = ("amount",)

    def __init__(self, amount):
        self.amount = amount

    def __add__(self, other):
        return type(self)(self.amount + other.amount)

    def __repr__(self):
        return f"Money({self.amount:>4})"


@dataclasses.dataclass
class Settings:
    level: int = 1


class Nobody:
    a = 1
''',
    "shop/decorators.py": """
import functools


def scaled(by):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(x):
            return function(x) * by + OFFSET

        return wrapper

    return decorate


OFFSET = 6


@functools.lru_cache(maxsize=None)
def counted(x):
    return x + 8


def idle(x):
    return x
""",
    "shop/star.py": "STAR = 9\nHIDDEN = 4\n\n\ndef starred(x):\n    return x + 11\n\n\ndef hidden(x):\n    return x\n",
    "shop/rules.py": "def rule_a(x):\n    return x + 12\n\n\ndef rule_b(x):\n    return x + 13\n",
    "shop/late.py": "from .later import base\n\nFEE = 14\nIDLE = 15\n\n\ndef fee(x):\n    return base(x) + FEE\n\n\ndef idle(x):\n    return x\n",
    "shop/later.py": "def base(x):\n    return x + 16\n\n\ndef idle(x):\n    return x + 1\n",
    "shop/named.py": "def run(x):\n    return x + 17\n",
    "shop/deep/__init__.py": "",
    "shop/deep/tax.py": "from ..tools import add as plus\nfrom ..star import STAR as EXTRA\n\n\ndef tax(x):\n    return plus(x, n=EXTRA)\n\n\ndef idle(x):\n    return 18\n",
}  # fmt: skip

APP, TOOLS, MODELS, DECO, LATE = (f"shop/{name}.py" for name in ("app", "tools", "models", "decorators", "late"))
Edit = tuple[str, str, str, str]

#: (what, file, old, new): none of these can change a result
SAME: list[Edit] = [
    ("comment", APP, "# each part is seen in the result", "# parts"),
    ("comment of a helper", TOOLS, "def below():\n", "def below():\n    # one half\n"),
    ("docstring", APP, "The sum of everything.", "A sum."),
    ("docstring of the module", APP, '"""Orders."""', ""),
    ("docstring of the package", "shop/__init__.py", "A shop.", "The shop."),
    ("docstring of a class", MODELS, '    """Lines."""\n\n', ""),
    ("docstring given", TOOLS, "def below():\n", 'def below():\n    """Half."""\n'),
    ("blank lines", APP, "def make(n):", "\n\n\ndef make(n):"),
    ("formatting", APP, "parts += [half(x), weight(x),", "parts += [\n        half(x),\n        weight(x),"),
    ("brackets", TOOLS, "return x * 2", "return (x * 2)"),
    ("quotes", APP, 'LIMITS["high"]["a"][1]', "LIMITS['high']['a'][1]"),
    ("number spelled", "shop/star.py", "STAR = 9", "STAR = 0x9"),
    ("trailing comma", APP, "frozenset({\"ann\", \"bob\"})", "frozenset({\"ann\", \"bob\",})"),
    ("semicolon", DECO, "OFFSET = 6", "OFFSET = 6;"),
    ("annotation of a parameter", APP, "def make(n):", "def make(n: int):"),
    ("annotation of a result", TOOLS, "def below():", "def below() -> float:"),
    ("annotation of a method", MODELS, "def price(self):", "def price(self) -> int:"),
    ("annotation of a local", APP, "    basket = ", "    basket: Basket = "),
    ("order of functions", TOOLS, "def add(x, n=1): return x + n\ndef double(x): return x * 2\n", "def double(x): return x * 2\ndef add(x, n=1): return x + n\n"),
    ("order of methods", MODELS, "    @staticmethod\n    def rank(line):\n        return double(line.count)\n\n    def never(self):\n        return 77\n", "    def never(self):\n        return 77\n\n    @staticmethod\n    def rank(line):\n        return double(line.count)\n"),
    ("order of imports", APP, "import functools\nimport importlib\n", "import importlib\nimport functools\n"),
    ("order of a dict", "shop/prices.py", '{"tea": 3, "cup": 5}', '{"cup": 5, "tea": 3}'),
    ("order of a set", APP, '{"ann", "bob"}', '{"bob", "ann"}'),
    ("moved within the module", DECO, "OFFSET = 6\n", "\n\nOFFSET = 6\n"),
    ("unused function", APP, "return x - UNUSED", "return x + UNUSED"),
    ("unused constant", APP, "UNUSED = 5", "UNUSED = 6"),
    ("unused function elsewhere", TOOLS, "return x + 99", "return x + 98"),
    ("unused function of a starred module", "shop/star.py", "def hidden(x):\n    return x", "def hidden(x):\n    return 1"),
    ("unused constant of a starred module", "shop/star.py", "HIDDEN = 4", "HIDDEN = 5"),
    ("unused constant beside a used one", "shop/prices.py", '"hat": 7', '"hat": 8'),
    ("unused class", MODELS, "class Nobody:\n    a = 1", "class Nobody:\n    a = 2"),
    ("unused function of a decorator's module", DECO, "def idle(x):\n    return x", "def idle(x):\n    return 2"),
    ("unused function of a module imported inside", LATE, "def idle(x):\n    return x", "def idle(x):\n    return 3"),
    ("unused constant of a module imported inside", LATE, "IDLE = 15", "IDLE = 16"),
    ("unused function two modules down", "shop/later.py", "return x + 1\n", "return x + 2\n"),
    ("unused function of a submodule", "shop/deep/tax.py", "return 18", "return 19"),
    ("new function", TOOLS, "def below():", "def brand_new(): pass\n\n\ndef below():"),
    ("new import", TOOLS, "def add(", "import json\ndef add("),
    ("new alias", APP, "UNUSED = 5", "UNUSED = 5\nother = tools.stranger"),
    ("pass", MODELS, "class Nobody:\n", "class Nobody:\n    pass\n"),
    ("constant computed", APP, "RATE = 0.25", "RATE = 1 / 4"),
    ("memo's options", APP, "@persist\n", "@persist(ttl='9d')\n"),
    ("own keyword default that is given", APP, "seed=0", "seed=1"),
    ("own default that is given", APP, "rate=RATE", "rate=0.75"),
    ("global with the name of a local", APP, "UNUSED = 5", "UNUSED = 5\nparts = basket = 3"),
]  # fmt: skip

#: what can: each alters the result, and the test makes sure that it does
CHANGES: list[Edit] = [
    ("own body", APP, "up(x * rate)", "up(x + rate)"),
    ("own constant", APP, '"one"', '"two"'),
    ("own order", APP, "half(x), weight(x)", "weight(x), half(x)"),
    ("own comprehension", APP, "if y != x", "if y == x"),
    ("own pattern", APP, "case 3:", "case 2:"),
    ("own except", APP, "str(error)", "repr(error)"),
    ("set", APP, '{"ann", "bob"}', '{"ann"}'),
    ("nested data", APP, "[10, 20]", "[10, 21]"),
    ("data by type", APP, "[10, 20]", "[10, 20.0]"),
    ("captured instance", APP, "Settings(level=2)", "Settings(level=3)"),
    ("captured instance by default", APP, "Settings(level=2)", "Settings()"),
    ("partial's argument", APP, "by=2", "by=4"),
    ("partial's function", TOOLS, "return x / by", "return x // by"),
    ("functions in a list, order", APP, "[tools.add, tools.double]", "[tools.double, tools.add]"),
    ("functions in a list, fewer", APP, "[tools.add, tools.double]", "[tools.add]"),
    ("function in a list", TOOLS, "return x * 2", "return x * 3"),
    ("helper's default", TOOLS, "n=1", "n=2"),
    ("decorator's argument", APP, "@scaled(3)", "@scaled(4)"),
    ("decorator taken away", APP, "@scaled(3)\n", ""),
    ("decorated function", APP, "def weight(x):\n    return x + 1", "def weight(x):\n    return x + 2"),
    ("decorator's body", DECO, "function(x) * by + OFFSET", "function(x) * by - OFFSET"),
    ("decorator's constant", DECO, "OFFSET = 6", "OFFSET = 7"),
    ("cached helper", DECO, "return x + 8", "return x + 9"),
    ("closure's value", APP, "plus = make(4)", "plus = make(5)"),
    ("closure's body", APP, "return x + n", "return x - n"),
    ("first lambda", APP, "(lambda x: x + 1)", "(lambda x: x + 2)"),
    ("second lambda", APP, "(lambda x: x * 2)", "(lambda x: x * 3)"),
    ("lambdas swapped", APP, "first, second =", "second, first ="),
    ("import inside", APP, "from .late import fee", "from .later import base as fee"),
    ("function imported inside", LATE, "base(x) + FEE", "base(x) - FEE"),
    ("constant of a module imported inside", LATE, "FEE = 14", "FEE = 15"),
    ("function two modules down", "shop/later.py", "return x + 16", "return x + 17"),
    ("function looked up by name", "shop/rules.py", "return x + 13", "return x + 14"),
    ("module imported by name", "shop/named.py", "return x + 17", "return x + 18"),
    ("name made at run time", APP, '"ab"', '"ba"'),
    ("recursion", APP, "n * factorial(n - 1)", "n + factorial(n - 1)"),
    ("recursion's end", APP, "if n < 2", "if n < 3"),
    ("dataclass default", MODELS, "kind: Kind = Kind.PLAIN", "kind: Kind = Kind.GIFT"),
    ("dataclass method", MODELS, "* self.count +", "* self.count -"),
    ("enum value", MODELS, "GIFT = 2", "GIFT = 3"),
    ("enum property", MODELS, "self.value * 10", "self.value * 11"),
    ("attribute of a base", MODELS, "extra = 1", "extra = 2"),
    ("method of a base", MODELS, "len(self.lines) + self.extra", "len(self.lines) - self.extra"),
    ("method", MODELS, "sum(line.price() for", "max(line.price() for"),
    ("property", MODELS, "max(self.lines", "min(self.lines"),
    ("static method", MODELS, "return double(line.count)", "return -double(line.count)"),
    ("operator", MODELS, "self.amount + other.amount", "self.amount * other.amount"),
    ("__repr__", MODELS, ":>4", ":>5"),
    ("data of another module", "shop/prices.py", '"tea": 3', '"tea": 4'),
    ("re-export of another", "shop/__init__.py", "PRICES as prices", 'OTHER as prices; prices.update(tea=1, cup=1)'),
    ("star import's function", "shop/star.py", "return x + 11", "return x + 12"),
    ("star import's constant", "shop/star.py", "STAR = 9", "STAR = 10"),
    ("relative import's name", "shop/deep/tax.py", "import STAR as", "import HIDDEN as"),
    ("keyword given", "shop/deep/tax.py", "n=EXTRA", "n=-EXTRA"),
    ("helper's helper", TOOLS, "return 0.5", "return 1.5"),
    ("alias of another", APP, "import round_up as up", "import double as up"),
    ("definition replaced", TOOLS, "def stranger(x):", "def double(x):"),
    ("raised text", TOOLS, '"small"', '"tiny"'),
    ("condition", TOOLS, "if x < 5", "if x < 1"),
]  # fmt: skip

RUNNER = """
import importlib, json, os, sys
import memo

found = {}
for label, folder in json.load(sys.stdin):
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        with memo.mode("off"):
            try:
                from shop.app import total
                expected = repr(total(3, 2.5, seed=7)[1])
            except Exception as error:
                found[label] = [True, "raises", ""]
                continue
        process, parts = total(3, 2.5, seed=7)
        found[label] = [process == os.getpid(), expected, repr(parts)]
    finally:
        sys.path.remove(folder)
        for known in [k for k in sys.modules if k.partition(".")[0] == "shop"]:
            del sys.modules[known]
json.dump(found, sys.stdout)
"""

Found = dict[str, tuple[bool, str, str]]  # label -> whether it was computed, what computing gives, what @persist gave


def write(folder: Path, edit: tuple[str, str, str] | None = None) -> str:
    for name, text in PROJECT.items():
        if edit is not None and edit[0] == name:
            assert edit[1] in text, f"the edit does not apply: {edit[1]!r}"
            text = text.replace(edit[1], edit[2], 1)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(folder)


def run(jobs: list[tuple[str, str]], place: Path, seed: str) -> Found:
    done = subprocess.run(
        [sys.executable, "-B", "-W", "error::memo.MemoWarning", "-c", RUNNER], input=json.dumps(jobs), capture_output=True, text=True,
        timeout=300, env={**os.environ, "PYTHONHASHSEED": seed, "MEMO_DIR": str(place)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {label: tuple(found) for label, found in json.loads(done.stdout).items()}  # type: ignore[misc]


@pytest.fixture(scope="module")
def runs(once: Any, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Every edited project in one fresh process, after another one stored the original's result."""

    def made() -> Found:
        top = tmp_path_factory.mktemp("edits")
        first = run([("", write(top / "original"))], top / "place", "1")
        jobs = [(label, write(top / str(n), edit)) for n, (label, *edit) in enumerate(SAME + CHANGES)]  # type: ignore[arg-type]
        jobs.append(("undone", write(top / "undone")))
        return {**first, **run(jobs, top / "place", "2")}

    return {label: tuple(found) for label, found in once("soundness-edits", made).items()}


def test_there_are_a_hundred(runs: Found) -> None:
    assert len(SAME) + len(CHANGES) >= 100
    assert len({label for label, *_ in SAME + CHANGES}) == len(SAME) + len(CHANGES)
    assert not runs["undone"][0]


@pytest.mark.parametrize("label", [label for label, *_ in SAME])
def test_an_edit_that_cannot_change_the_result(runs: Found, label: str) -> None:
    computed, expected, got = runs[label]
    assert got == expected == runs[""][1]
    assert not computed, "needless"


@pytest.mark.parametrize("label", [label for label, *_ in CHANGES])
def test_an_edit_that_can_change_the_result(runs: Found, label: str) -> None:
    computed, expected, got = runs[label]
    assert expected not in (runs[""][1], "raises"), "the edit changes nothing"
    assert computed
    assert got == expected, "stale"


# ------------------------------------------------------------------------------------------------------ by machine


def mutants(text: str) -> Iterator[tuple[str, str]]:
    """(what, text) for every constant, operator, comparison and condition that can be altered by itself."""
    count = sum(1 for _ in ast.walk(ast.parse(text)))
    for at in range(count):
        tree = ast.parse(text)
        node = list(ast.walk(tree))[at]
        match node:
            case ast.Constant(value=bool() | None):
                continue
            case ast.Constant(value=int() | float()):
                node.value += 1
            case ast.Constant(value=str()):
                node.value += "x"
            case ast.BinOp():
                node.op = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
            case ast.Compare():
                node.ops = [ast.Eq() if isinstance(node.ops[0], ast.NotEq) else ast.NotEq()]
            case ast.IfExp():
                node.body, node.orelse = node.orelse, node.body
            case ast.Call(args=[first, second, *_]):
                node.args[:2] = [second, first]
            case ast.Return(value=ast.expr()) if not isinstance(node.value, ast.Tuple):
                node.value = ast.Tuple([node.value, ast.Constant(5)], ast.Load())
            case _:
                continue
        yield (
            f"{type(node).__name__} in line {getattr(node, 'lineno', 0)} ({at})",
            ast.unparse(ast.fix_missing_locations(tree)),
        )


@pytest.mark.slow
def test_every_alteration_that_changes_the_result_is_seen(tmp_path: Path) -> None:
    """Some 150 of them, of which most change the result. `ast.unparse` drops comments and layout besides, which must not count either."""
    first = run([("", write(tmp_path / "original"))], tmp_path / "place", "1")[""]
    jobs = []
    for name, text in PROJECT.items():
        for label, altered in (("nothing", ast.unparse(ast.parse(text))), *mutants(text)):
            jobs.append((f"{name}: {label}", write(tmp_path / str(len(jobs)), (name, text, altered)) if text else ""))
    found = run([job for job in jobs if job[1]], tmp_path / "place", "2")
    changing = {label for label, (_, expected, _) in found.items() if expected not in (first[1], "raises")}
    assert len(changing) > 80
    assert {label for label in changing if not found[label][0]} == set(), "stale"
    assert {label for label, (_, expected, got) in found.items() if got != expected != "raises"} == set(), "stale"
    needless = {label for label, (computed, *_) in found.items() if computed and label.endswith(": nothing")}
    assert needless == set()
