"""Keys while a program runs and however it is started, end to end through `@persist`.

What is rebound or changed in place between two calls of one process is seen at the next call; scripts, modules, workers,
notebooks, optimised runs and programs without source find each other's results, and nobody else's.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import py_compile
import shutil
import subprocess
import sys
import sysconfig
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import warm

import memo

NAMES = itertools.count()
Load = Callable[..., ModuleType]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """load(app="source", ...) makes a package of these modules and imports its app."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(**sources: str) -> ModuleType:
        package = f"running{next(NAMES)}"
        (tmp_path / package).mkdir()
        for name, text in {"__init__": "", **sources}.items():
            head = "import sys\nfrom memo import persist\n" if name == "app" else ""
            (tmp_path / package / f"{name}.py").write_text(head + textwrap.dedent(text))
        importlib.invalidate_caches()
        return importlib.import_module(f"{package}.app")

    return make


F = "\n@persist\ndef f(x):\n    return "

# (name, source of app, of util, what happens between two calls, whether the second call may give the first result)
CHANGES: list[tuple[str, str, str, str]] = [
    ("constant", "A = 1" + F + "A", "", "m.A = 2"),
    ("constant by type", "A = 1" + F + "repr(A)", "", "m.A = True"),
    ("constant of a helper", "A = 1\ndef g(): return A" + F + "g()", "", "m.A = 2"),
    ("constant elsewhere", "from . import util" + F + "util.A", "A = 1", "m.util.A = 2"),
    ("constant imported", "from .util import A" + F + "A", "A = 1", "m.A = 2"),
    ("list in place", "A = [1]" + F + "list(A)", "", "m.A.append(2)"),
    ("dict in place", "A = {'a': [1]}" + F + "str(A)", "", "m.A['a'].append(2)"),
    ("set in place", "A = {1}" + F + "sorted(A)", "", "m.A.add(2)"),
    ("dict of another module in place", "from . import util" + F + "str(util.A)", "A = {}", "m.util.A['k'] = 1"),
    ("list in a tuple", "A = (1, [1])" + F + "str(A)", "", "m.A[1].append(2)"),
    ("instance's attribute", "class C: a = 1\nc = C()" + F + "c.a", "", "m.c.a = 2"),
    ("deep attribute", "class C: pass\nc = C()\nc.d = C()\nc.d.a = 1" + F + "c.d.a", "", "m.c.d.a = 2"),
    ("instance's method", "class C:\n    def m(self): return 1\nc = C()" + F + "c.m()", "", "m.c.m = lambda: 2"),
    ("class attribute", "class C: a = 1" + F + "C.a", "", "m.C.a = 2"),
    ("class attribute more", "class C: a = 1" + F + "getattr(C, 'b', 0)", "", "m.C.b = 2"),
    ("class attribute in place", "class C: a = [1]" + F + "list(C.a)", "", "m.C.a.append(2)"),
    ("method", "class C:\n    def m(self): return 1" + F + "C().m()", "", "m.C.m = lambda self: 2"),
    ("method's code", "class C:\n    def m(self): return 1\ndef h(self): return 2" + F + "C().m()", "", "m.C.m.__code__ = m.h.__code__"),
    ("method of a base", "class B:\n    def m(self): return 1\nclass C(B): pass" + F + "C().m()", "", "m.B.m = lambda self: 2"),
    ("bases", "class A:\n    a = 1\nclass B:\n    a = 2\nclass C(A): pass" + F + "C.a", "", "m.C.__bases__ = (m.B,)"),
    ("property", "class C:\n    @property\n    def a(self): return 1" + F + "C().a", "", "m.C.a = property(lambda self: 2)"),
    ("static method", "class C:\n    @staticmethod\n    def a(): return 1" + F + "C.a()", "", "m.C.a = staticmethod(lambda: 2)"),
    ("metaclass", "class M(type):\n    def m(cls): return 1\nclass C(metaclass=M): pass" + F + "C.m()", "", "m.M.m = lambda cls: 2"),
    ("class", "class C: a = 1\nclass D: a = 2" + F + "C.a", "", "m.C = m.D"),
    ("class of an instance", "class C: a = 1\nclass D: a = 2\nc = C()" + F + "c.a", "", "m.c.__class__ = m.D"),
    ("helper", "def g(): return 1" + F + "g()", "", "m.g = lambda: 2"),
    ("helper's code", "def g(): return 1\ndef h(): return 2" + F + "g()", "", "m.g.__code__ = m.h.__code__"),
    ("helper's default", "def g(a=1): return a" + F + "g()", "", "m.g.__defaults__ = (2,)"),
    ("helper's keyword default", "def g(*, a=1): return a" + F + "g()", "", "m.g.__kwdefaults__ = {'a': 2}"),
    ("helper's keyword default in place", "def g(*, a=1): return a" + F + "g()", "", "m.g.__kwdefaults__['a'] = 2"),
    ("helper's mutable default", "def g(a=[1]): return list(a)" + F + "g()", "", "m.g.__defaults__[0].append(2)"),
    ("helper's attribute", "def g(): return 1\ng.a = 1" + F + "g.a", "", "m.g.a = 2"),
    ("helper's attribute in place", "def g(): return 1\ng.a = [1]" + F + "list(g.a)", "", "m.g.a.append(2)"),
    ("helper elsewhere", "from . import util" + F + "util.g()", "def g(): return 1", "m.util.g = lambda: 2"),
    ("helper's helper elsewhere", "from .util import g" + F + "g()", "def h(): return 1\ndef g(): return h()", "sys.modules[m.g.__module__].h = lambda: 2"),
    ("own code", "def h(x): return 2" + F + "1", "", "m.f.__wrapped__.__code__ = m.h.__code__"),
    ("function in a list", "def g(): return 1\nA = [g]" + F + "A[0]()", "", "m.A[0] = lambda: 2"),
    ("code of a function in a list", "def g(): return 1\ndef h(): return 2\nA = [g]" + F + "A[0]()", "", "m.g.__code__ = m.h.__code__"),
    ("constant of a function in a list", "K = 1\ndef g(): return K\nA = [g]" + F + "A[0]()", "", "m.K = 2"),
    ("constant of a method of a captured instance", "K = 1\nclass C:\n    def m(self): return K\nc = C()" + F + "c.m()", "", "m.K = 2"),
    ("closure cell", "def make():\n    n = 1\n    def set(v):\n        nonlocal n\n        n = v\n    @persist\n    def f(x): return n\n    return f, set\nf, set = make()", "", "m.set(2)"),
    ("closure cell in place", "def make():\n    n = [1]\n    @persist\n    def f(x): return list(n)\n    return f, n\nf, n = make()", "", "m.n.append(2)"),
    ("cell of a helper", "def make():\n    n = 1\n    def set(v):\n        nonlocal n\n        n = v\n    def g(): return n\n    return g, set\ng, set = make()" + F + "g()", "", "m.set(2)"),
    ("name deleted", "A = 1\n@persist\ndef f(x):\n    try: return A\n    except NameError: return 0\n", "", "del m.A"),
    ("name defined", "@persist\ndef f(x):\n    try: return A\n    except NameError: return 0\n", "", "m.A = 1"),
    ("attribute defined", "from . import util\n@persist\ndef f(x):\n    try: return util.A\n    except AttributeError: return 0\n", "", "m.util.A = 1"),
    ("builtin shadowed", F + "len([x])", "", "m.len = lambda x: 2"),
    ("module replaced", "from . import util" + F + "util.A", "A = 1", "m.util = type('U', (), {'A': 2})"),
    ("import inside, function", "@persist\ndef f(x):\n    from .util import g\n    return g()\n", "def g(): return 1", "patch('g', lambda: 2)"),
    ("import inside, constant", "@persist\ndef f(x):\n    from .util import A\n    return A\n", "A = 1", "patch('A', 2)"),
    ("import inside, computed", "@persist\ndef f(x):\n    from .util import A\n    return A\n", "A = int('1')", "patch('A', 2)"),
    ("import inside, made", "@persist\ndef f(x):\n    from .util import g\n    return g()\n", "def make(n): return lambda: n\ng = make(1)", "patch('g', lambda: 2)"),
    ("import inside, function of elsewhere", "def h(): return 2\n@persist\ndef f(x):\n    from .util import g\n    return g()\n", "def g(): return 1", "patch('g', m.h)"),
    ("import inside, class", "@persist\ndef f(x):\n    from .util import C\n    return C.a\n", "class C:\n    a = 1", "patch('C', type('C', (), {'a': 2}))"),
    ("import inside, helper's helper", "@persist\ndef f(x):\n    from .util import g\n    return g()\n", "def h(): return 1\ndef g(): return h()", "patch('h', lambda: 2)"),
    ("import inside, method", "@persist\ndef f(x):\n    from .util import C\n    return C().m()\n", "class C:\n    def m(self): return 1", "patch('C').m = lambda self: 2"),
    ("numpy array in place", "import numpy\nA = numpy.zeros(3)" + F + "A.sum()", "", "m.A[1] = 2"),
    ("bytearray in place", "A = bytearray(b'a')" + F + "bytes(A)", "", "m.A.append(98)"),
    ("enum member's value in place", "import enum\nclass C(enum.Enum):\n    A = [1]" + F + "list(C.A.value)", "", "m.C.A.value.append(2)"),
    ("context variable", "import contextvars\nv = contextvars.ContextVar('v', default=1)" + F + "v.get()", "", "m.v.set(2)"),
    ("partial's argument in place", "import functools\ndef g(a): return list(a)\nh = functools.partial(g, [1])" + F + "h()", "", "m.h.args[0].append(2)"),
    ("proxy's dict in place", "import types\nD = {'a': 1}\nA = types.MappingProxyType(D)" + F + "dict(A)", "", "m.D['a'] = 2"),
    ("flag of a library", "import json\njson.one = 1" + F + "json.one", "", "m.json.one = 2"),
    ("flag of a library more", "import json" + F + "getattr(json, 'two', 0)", "", "m.json.two = 2"),
    ("flag of a library tried", "import json\n@persist\ndef f(x):\n    try: return json.four\n    except AttributeError: return 0\n", "", "m.json.four = 2"),
    ("flag of a library in place", "import json\njson.three = [1]" + F + "list(json.three)", "", "m.json.three.append(2)"),
    ("flag of a library's package", "import numpy\nnumpy.linalg.flag = 1" + F + "numpy.linalg.flag", "", "m.numpy.linalg.flag = 2"),
    ("flag of sys", "sys.one = 1" + F + "sys.one", "", "m.sys.one = 2"),
    ("flag among the builtins", "import builtins\nbuiltins.FLAG = 1" + F + "FLAG", "", "m.builtins.FLAG = 2"),
    ("flag of a library's class", "import cmd" + F + "cmd.Cmd.prompt", "", "m.cmd.Cmd.prompt = '; '"),
    ("flag of a library by an import inside", "import json\njson.five = 1\n@persist\ndef f(x):\n    import json\n    return json.five\n", "", "m.json.five = 2"),
    ("function of a library", "import colorsys" + F + "colorsys.rgb_to_yiq(1, 1, 1)", "", "m.colorsys.rgb_to_yiq = lambda *a: 2"),
    ("function of a library by another", "import colorsys" + F + "colorsys.rgb_to_hsv(1, 2, 3)", "", "m.colorsys.rgb_to_hsv = m.colorsys.rgb_to_hls"),
    ("function of a library by an import inside", "@persist\ndef f(x):\n    import colorsys\n    return colorsys.yiq_to_rgb(1, 1, 1)\n", "", "import colorsys; colorsys.yiq_to_rgb = lambda *a: 2"),
    ("function of a compiled library", "import math" + F + "math.cbrt(8)", "", "m.math.cbrt = lambda x: 3"),
    ("function of a library, patched again", "import colorsys\ncolorsys.one = lambda: 1" + F + "colorsys.one()", "", "m.colorsys.one = lambda: 2"),
    ("code of a function put into a library", "import colorsys\ndef g(): return 1\ndef h(): return 2\ncolorsys.two = g" + F + "colorsys.two()", "", "m.g.__code__ = m.h.__code__"),
    ("class of a library", "import sched" + F + "sched.scheduler.__name__", "", "m.sched.scheduler = type('Mine', (m.sched.scheduler,), {})"),
    ("method of a library's class", "import cmd" + F + "cmd.Cmd.default(cmd.Cmd(stdout=sys.stderr), '')", "", "m.cmd.Cmd.default = lambda self, line: 2"),
    ("globals()", "A = 1" + F + "globals()['A']", "", "m.A = 2"),
    ("getattr on a module", "from . import util" + F + "getattr(util, 'A')", "A = 1", "m.util.A = 2"),
    ("eval", "A = 1" + F + "eval('A')", "", "m.A = 2"),
]  # fmt: skip

REBOUND = {  # to an equal thing: no other key
    "constant": ("A = 1000" + F + "A", "m.A = int('1000')"),
    "list": ("A = [1]" + F + "list(A)", "m.A = [1]"),
    "function": ("def g(): return 1" + F + "g()", "old = m.g; m.g = type(old)(old.__code__, old.__globals__, 'g')"),
    "unrelated": ("A = 1\nB = 1" + F + "A", "m.B = 2"),
    "unrelated of a class": ("class C: a = 1\nclass D: a = 1" + F + "C.a", "m.D.a = 2"),
    "own default": ("@persist\ndef f(x, y=1): return x\n", "m.f.__wrapped__.__defaults__ = (2,)"),
    "change and back": ("A = [1]" + F + "list(A)", "m.A.append(2); m.A.pop()"),
}


def change(app: ModuleType, statement: str) -> None:
    def patch(name: str, *value: Any) -> Any:
        util = importlib.import_module(app.__package__ + ".util")  # type: ignore[operator]
        if value:
            setattr(util, name, value[0])
        return getattr(util, name)

    exec(statement, {"m": app, "patch": patch, "sys": sys, "__name__": app.__name__})


@pytest.mark.parametrize(("app", "util", "statement"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES])
def test_a_change_between_two_calls_is_seen(load: Load, app: str, util: str, statement: str) -> None:
    m = load(app=app, util=util)
    first = m.f(1)
    assert m.f(1) == first == m.f.__wrapped__(1)
    assert m.f.cache_info()[:2] == (1, 1)
    change(m, statement)
    second = m.f.__wrapped__(1)
    assert repr(second) != repr(first), "the change changes nothing"
    assert repr(m.f(1)) == repr(second), "stale"
    assert repr(m.f(1)) == repr(second)
    assert m.f.cache_info()[:2] == (2, 2), "needless"


@pytest.mark.parametrize("name", REBOUND)
def test_what_is_rebound_to_its_equal_is_found(load: Load, name: str) -> None:
    app, statement = REBOUND[name]
    m = load(app=app)
    m.f(1)
    change(m, statement)
    assert m.f(1) == m.f.__wrapped__(1)
    assert m.f.cache_info()[:2] == (1, 1)


def test_every_change_is_a_key_of_its_own(load: Load) -> None:
    """Back and forth between two states finds what each stored."""
    m = load(app="A = [1]\nB = 1" + F + "(list(A), B)")
    for _ in range(3):
        for a, b in itertools.product(([1], [2]), (1, 2)):
            m.A[:], m.B = a, b
            assert m.f(1) == (a, b)
    assert m.f.cache_info()[:2] == (8, 4)


def test_methods_patched_on_the_class_of_an_argument(load: Load) -> None:
    m = load(app="class C:\n    def m(self): return 1\n@persist\ndef f(c): return c.m()\n")
    assert m.f(m.C()) == 1
    m.C.m = lambda self: 2
    assert m.f(m.C()) == 2


# ------------------------------------------------------------------------------------------------------- threads


@pytest.mark.parametrize("rounds", [5, pytest.param(30, marks=pytest.mark.slow)])
@pytest.mark.parametrize("code", ["follow", "own"])
def test_threads_call_a_fresh_function_at_once(load: Load, code: str, rounds: int) -> None:
    for _ in range(rounds):
        m = load(
            app=f"""
            def h(x): return x
            @persist(code={code!r})
            def f(x):
                from .util import g
                from . import other
                return g(h(x)) + other.k(x)
            """,
            util="K = {}\ndef g(x): return x + len(K)\n"
            + "".join(f"def g{i}(x): return x + {i}\n" for i in range(200)),
            other="from .util import *\ndef k(x): return g1(x) + g199(x)\n",
        )
        begin, found, errors = threading.Barrier(8), [], []

        def call(
            n: int, f: Any = m.f, begin: Any = begin, found: list[Any] = found, errors: list[Any] = errors
        ) -> None:
            try:
                begin.wait()
                found.append(f(n) == f.__wrapped__(n))
                f(n)
                found.append(f.cache_key(n))
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=call, args=(n % 2,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        assert len(set(found)) == 3, "all right, and one key for each of two arguments"


# --------------------------------------------------------------------------------------------------------- starts

PROGRAM = """
import os, sys, dataclasses, enum, typing
from memo import persist
import tool

@dataclasses.dataclass(frozen=True)
class Point:
    x: int

class Colour(enum.Enum):
    RED = 1

class Pair(typing.NamedTuple):
    a: int

class Slots:
    __slots__ = ("a",)

def helper(x):
    return x + tool.K

@persist
def f(*args):
    return os.getpid(), helper(1)

class C:
    def __init__(self, a): self.a = a
    @persist
    def m(self, x): return os.getpid(), self.a

def main():
    slots = Slots()
    slots.a = 1
    first = f(1, {"a", "b"}, Point(1), Colour.RED, Pair(1), slots, C(1), helper, C)
    second = C(1).m(1)
    assert first[1] == 1 + 1 and second[1] == 1
    return [first[0] == os.getpid(), second[0] == os.getpid()]

if __name__ == "__main__":
    print(main())
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "program.py").write_text(PROGRAM)
    (folder / "tool.py").write_text("K = 1\n")
    return folder


def start(folder: Path, *command: str, cwd: Path | None = None, **environ: str) -> str:
    done = subprocess.run(
        [sys.executable, "-B", "-W", "error::memo.MemoWarning", *command], cwd=cwd or folder, capture_output=True, text=True, timeout=100,
        env={**os.environ, "PYTHONHASHSEED": "random", "PYTHONPATH": os.pathsep.join([str(Path(memo.__file__).parents[1]), str(folder)]), **environ},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


IMPORTED = "import program; print(program.main())"


def test_however_a_program_is_started(program: Path, tmp_path: Path) -> None:
    assert start(program, "program.py") == "[True, True]"
    starts = {
        "again": ("program.py",),
        "by its path": (str(program / "program.py"),),
        "as a module": ("-m", "program"),
        "imported": ("-c", IMPORTED),
        "optimised": ("-O", "program.py"),
        "without docstrings": ("-OO", "program.py"),
        "in development": ("-X", "dev", "program.py"),
    }
    for name, command in starts.items():
        assert start(program, *command) == "[False, False]", name
    assert start(program, str(program / "program.py"), cwd=tmp_path) == "[False, False]", "another working directory"
    moved = tmp_path / "there" / "deeper"
    shutil.copytree(program, moved)
    for path in moved.iterdir():
        os.utime(path, (1, 1))
    assert start(moved, "program.py") == "[False, False]", "another folder, other times"
    linked = tmp_path / "linked"
    linked.symlink_to(program)
    assert start(linked, "program.py") == "[False, False]", "through a link"
    (moved / "tool.py").write_text("K = 1  # one\n\n\ndef more(): pass\n")
    assert start(moved, "program.py") == "[False, False]"
    (moved / "tool.py").write_text("K = 1.0\n")
    assert start(moved, "program.py") == "[True, False]"


WORKERS = """
import multiprocessing, os, sys
import program

def job(_):
    return program.main()

if __name__ == "__main__":
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        print(pool.map(job, [0, 1]))
"""


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_workers_find_what_was_stored(program: Path, method: str) -> None:
    assert start(program, "program.py") == "[True, True]"
    (program / "workers.py").write_text(WORKERS)
    assert start(program, "workers.py", method) == "[[False, False], [False, False]]"


MAIN_WORKERS = PROGRAM.replace(
    'print(main())', 'import multiprocessing\n    with multiprocessing.get_context("spawn").Pool(1) as pool:\n'
    '        there = pool.apply(main)\n    print(there, main())',
)  # fmt: skip


def test_functions_of_main_in_workers(program: Path) -> None:
    (program / "program.py").write_text(MAIN_WORKERS)
    assert start(program, "program.py") == "[True, True] [False, False]", "the worker stored it"
    assert start(program, "-m", "program") == "[False, False] [False, False]"


def test_without_source(program: Path) -> None:
    """Compiled modules alone: keys of their own, by bytecode, that hold and see changes all the same."""
    for name in ("program", "tool"):
        py_compile.compile(str(program / f"{name}.py"), cfile=str(program / f"{name}.pyc"), doraise=True)
        (program / f"{name}.py").rename(program / f"{name}.txt")
    assert start(program, "-c", IMPORTED) == "[True, True]"
    assert start(program, "-c", IMPORTED) == "[False, False]"
    (program / "tool.txt").write_text("K = True\n")
    py_compile.compile(str(program / "tool.txt"), cfile=str(program / "tool.pyc"), doraise=True)
    assert start(program, "-c", IMPORTED) == "[True, False]"


def test_in_an_archive(program: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "archive"), "zip", program)
    for expected in ("[True, True]", "[False, False]"):
        assert start(tmp_path, "-c", f"import sys; sys.path.insert(0, {archive!r}); {IMPORTED}") == expected


NOTEBOOK = """
import linecache, os, sys
cells = {cells!r}
space = {{"__name__": "__main__", "__builtins__": __builtins__}}
for number, text in enumerate(cells):
    name = f"/tmp/ipykernel_{{os.getpid()}}/{{number}}.py"
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    exec(compile(text, name, "exec"), space)
main = sys.modules["__main__"]
main.__dict__.update(space)
"""


def notebook(folder: Path, *cells: str) -> str:
    """As a kernel runs cells: each its own file name, with the number of the process in it."""
    text = NOTEBOOK.format(cells=["import os\nfrom memo import persist", *cells])
    done = warm.run(["-B", "-W", "error::memo.MemoWarning", "-c", text], cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_notebooks(tmp_path: Path) -> None:
    f = "@persist\ndef f(x):\n    return os.getpid(), g(x)\n"
    g, call = "def g(x):\n    return x + 1\n", "print(f(1)[0] == os.getpid(), f(1)[1])"
    assert notebook(tmp_path, g, f, call) == "True 2"
    assert notebook(tmp_path, g, f, call) == "False 2"
    assert notebook(tmp_path, f, "# another cell", g, call) == "False 2", "cells renumbered and reordered"
    assert notebook(tmp_path, g + "\n# comment", f, call) == "False 2"
    assert notebook(tmp_path, g.replace("1", "2"), f, call) == "True 3", "another notebook's helper"
    assert notebook(tmp_path, g, f.replace("g(x)", "-g(x)"), call) == "True -2", "another notebook's f"
    assert notebook(tmp_path, g, f, call) == "False 2"
    assert notebook(tmp_path, g, f, "f(1)", g.replace("1", "3"), call) == "True 4", "a cell run again"


def test_edit_run_undo(program: Path) -> None:
    text = (program / "tool.py").read_text()
    for expected, edited in (("[True, True]", text), ("[True, False]", "K = 1.0"), ("[False, False]", text)):
        (program / "tool.py").write_text(edited)
        assert start(program, "program.py") == expected


def test_source_edited_while_it_runs(load: Load, tmp_path: Path) -> None:
    """What runs counts, not what stands in the file by now; reloading makes it run."""
    m = load(app="from . import util" + F + "util.g()", util="def g(): return 1")
    path = Path(m.util.__file__ or "")
    assert m.f(0) == 1
    path.write_text("def g(): return 2")
    assert m.f(1) == 1
    assert m.f(2) == 1
    os.utime(path, (5, 5))  # or a reload within the same second would find what is compiled
    importlib.reload(m.util)
    assert m.f(1) == 2
    path.write_text("def g(): return 1")
    os.utime(path, (9, 9))
    importlib.reload(m.util)
    assert m.f(1) == 1
    assert m.f.cache_info()[:2] == (1, 4)


COMPILED = """
#include <Python.h>
static PyObject *g(PyObject *self, PyObject *x) {{ return PyLong_FromLong({value}); }}
static PyMethodDef methods[] = {{{{"g", g, METH_O, ""}}, {{NULL, NULL, 0, NULL}}}};
static struct PyModuleDef module = {{PyModuleDef_HEAD_INIT, "fast", NULL, -1, methods}};
PyMODINIT_FUNC PyInit_fast(void) {{ return PyModule_Create(&module); }}
"""


def test_compiled_code_of_the_project_counts_by_its_file(tmp_path: Path) -> None:
    compiler, include = shutil.which("cc"), sysconfig.get_path("include")
    if compiler is None or not Path(include, "Python.h").exists():
        pytest.skip("no compiler, or no headers of Python")
    for use in ("import fast" + F + "os.getpid(), fast.g(x)", "from fast import g" + F + "os.getpid(), g(x)"):
        folder = tmp_path / str(len(use))
        folder.mkdir()
        (folder / "program.py").write_text(
            "import os\nfrom memo import persist\n" + use + "\nprint(f(1)[0] == os.getpid(), f(1)[1])"
        )
        for value, expected in ((1, "True 1"), (1, "False 1"), (2, "True 2")):
            (folder / "fast.c").write_text(COMPILED.format(value=value))
            command = [
                compiler,
                "-shared",
                "-fPIC",
                f"-I{include}",
                "fast.c",
                "-o",
                "fast.so",
                "-undefined",
                "dynamic_lookup",
            ]
            subprocess.run(command[: None if sys.platform == "darwin" else -2], cwd=folder, check=True)
            assert start(folder, "program.py") == expected


def test_a_key_does_not_name_where_or_when(program: Path, tmp_path: Path) -> None:
    """One key from two folders, users' homes and seeds: listing it shows nothing of them."""
    ask = "import program, json; print(json.dumps(program.f.cache_key({'a', 'b'}, program.Point(1))))"
    keys = {json.loads(start(program, "-c", ask, HOME=str(tmp_path / home), PYTHONHASHSEED=home)) for home in "123"}
    assert len(keys) == 1


def test_an_argument_that_changes_itself_when_it_is_used(load: Load) -> None:
    """It counts as it was when it was handed over: a fresh one finds the result, a used one is another value."""
    m = load(
        app="""
        class Tokenizer:
            def __init__(self): self.settings = {}
            def __call__(self, text):
                self.settings["length"] = len(text)
                return text.split()
        @persist
        def f(tokenizer, text): return tokenizer(text)
        """
    )
    for _ in range(2):
        assert m.f(m.Tokenizer(), "a b") == ["a", "b"]
    assert m.f.cache_info()[:2] == (1, 1)


def test_instances_of_persisted_methods_can_be_collected(load: Load) -> None:
    import gc
    import weakref

    m = load(app="class C:\n    def __init__(self, a): self.a = a\n    @persist\n    def f(self): return self.a\n")
    one, two = m.C(1), m.C(2)
    assert (one.f(), two.f(), m.C(1).f()) == (1, 2, 1)
    gone = weakref.ref(one)
    del one
    gc.collect()
    assert gone() is None


def test_what_a_check_holds_can_be_collected(load: Load) -> None:
    """The check of a closure holds what it reads, and is held by nothing but the one who asked."""
    import gc
    import weakref

    from memo.fingerprint._code import follow

    m = load(app="class C: a = 1\ndef make(c): return lambda x: c.a\n")
    held = m.C()
    f = m.make(held)
    followed = follow(f)
    assert followed.mutable is not None
    gone = weakref.ref(held)
    del f, held, followed
    gc.collect()
    assert gone() is None
