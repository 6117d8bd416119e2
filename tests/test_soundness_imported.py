"""Modules imported while a function runs: what they hold counts, and whether they are loaded does not."""

from __future__ import annotations

import importlib
import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import warm

import memo

NAMES = itertools.count()
Load = Callable[..., ModuleType]
HEAD = "import importlib\nfrom memo import persist\n@persist\ndef f(x):\n    "


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """load(app="source", ...) makes a package of these modules and imports its app; PKG stands for its name."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(**sources: str) -> ModuleType:
        package = f"imported{next(NAMES)}"
        (tmp_path / package).mkdir()
        for name, text in {"__init__": "", **sources}.items():
            (tmp_path / package / f"{name}.py").write_text(text.replace("PKG", package))
        importlib.invalidate_caches()
        return importlib.import_module(f"{package}.app")

    return make


def util_of(app: ModuleType) -> ModuleType:
    return sys.modules[f"{app.__package__}.util"]


FORMS = {
    "from": "from .util import D\n    return str(D)",
    "from, with a name": "from PKG.util import D as E\n    return str(E)",
    "absolute": "import PKG.util\n    return str(PKG.util.D)",
    "absolute, with a name": "import PKG.util as u\n    return str(u.D)",
    "relative": "from . import util\n    return str(util.D)",
    "in a helper": "return h()\ndef h():\n    from .util import D\n    return str(D)",
    "by a function there": "from .util import g\n    return g()",
    "by an import there": "from .util import k\n    return k()",
    "by a method there": "from . import util\n    return util.C().m()",
    "by importlib": "return str(importlib.import_module('PKG.util').D)",
    "by getattr": "from . import util\n    return str(getattr(util, 'D'))",
    "handed on": "from .middle import D\n    return str(D)",
    "handed on by an import inside": "from .middle import h\n    return h()",
}
UTIL = """
class V:
    def __init__(self, n): self.n = n
    def __repr__(self): return f"V({self.n})"
    def __setitem__(self, key, value): self.n = value
def make(): return {"x": 1}
D = VALUE
def g(): return str(D)
def k():
    from .util import D
    return str(D)
class C:
    def m(self): return str(D)
"""
MIDDLE = "from .util import D\ndef h():\n    from . import util\n    return str(util.D)\n"


@pytest.mark.parametrize("value", ["{'x': 1}", "make()", "V(1)"])
@pytest.mark.parametrize("form", FORMS)
def test_data_changed_in_place(load: Load, form: str, value: str) -> None:
    m = load(app=HEAD + FORMS[form] + "\n", util=UTIL.replace("VALUE", value), middle=MIDDLE)
    first = m.f(1)
    assert m.f(1) == first
    assert m.f.cache_info()[:2] == (1, 1), "loading it was a change"
    util_of(m).D["x"] = 2
    second = m.f.__wrapped__(1)
    assert second != first
    assert [m.f(1), m.f(1)] == [second, second], "stale"
    assert m.f.cache_info()[:2] == (2, 2), "needless"
    util_of(m).D["x"] = 1
    assert m.f(1) == first
    assert m.f.cache_info()[:2] == (3, 2), "needless when set back"
    util_of(m).D["x"] = 3
    assert m.f(1) == m.f.__wrapped__(1) != second
    assert m.f.cache_info()[:2] == (3, 3)


@pytest.mark.parametrize("form", [form for form in FORMS if form != "handed on"])
def test_data_rebound(load: Load, form: str) -> None:
    m = load(app=HEAD + FORMS[form] + "\n", util=UTIL.replace("VALUE", "make()"), middle=MIDDLE)
    util = None
    for value in ({"x": 1}, {"x": 2}, {"x": 1}, {"x": 2}, {"x": 1}):
        if util is not None:
            util.D = value
        assert m.f(1) == str(value)
        util = util_of(m)
    assert m.f.cache_info()[:2] == (3, 2)


@pytest.mark.parametrize(
    ("body", "util", "change"),
    [
        ("util.C.a", "class C: a = [1]\n", "util.C.a.append(2)"),
        ("util.C().m()", "class C:\n    a = [1]\n    def m(self): return self.a\n", "util.C.a.append(2)"),
        ("util.g()", "def g(a=[1]): return a\n", "util.g.__defaults__[0].append(2)"),
        ("util.g.a", "def g(): pass\ng.a = [1]\n", "util.g.a.append(2)"),
        ("util.g()", "def make(a): return lambda: a\ng = make([1])\n", "util.g.__closure__[0].cell_contents.append(2)"),
        ("util.D['g']()", "A = [1]\ndef g(): return A\nD = {'g': g}\n", "util.A.append(2)"),
        ("util.D['g']()", "def g(): return 1\nD = {'g': g}\n", "util.g.__code__ = (lambda: 2).__code__"),
        ("util.A", "import math\nA = math.sqrt(4)\n", "util.A = 3.0"),
        ("util.A.sum()", "import numpy\nA = numpy.zeros(3)\n", "util.A[1] = 2"),
        ("util.D['a']", "import threading\nD = {'a': 1, 'lock': threading.Lock()}\n", "util.D['a'] = 2"),
    ],
)
def test_what_else_holds_data(load: Load, body: str, util: str, change: str) -> None:
    m = load(app=HEAD + "from . import util\n    return str(" + body + ")\n", util=util)
    first = m.f(1)
    assert m.f(1) == first
    exec(change, {"util": util_of(m)})
    assert m.f(1) == m.f.__wrapped__(1) != first
    assert m.f.cache_info()[:2] == (1, 2)


def test_modules_that_import_each_other_inside(load: Load) -> None:
    """Functions that reach themselves through modules and containers, and what they read on the way."""
    m = load(
        app=HEAD + "from . import a\n    return str(a.go(x))\n",
        a="D = {'n': [1]}\ndef go(n):\n    from . import b\n    return D['n'], n and b.TABLE['back'](n - 1)\n",
        b="E = [1]\ndef back(n):\n    from . import a, app\n    return E, a.go(n), app.f\nTABLE = {'back': back}\n",
    )
    m.f.__wrapped__(0)
    a, b = (sys.modules.get(f"{m.__package__}.{name}") for name in "ab")
    assert a is not None
    assert b is not None
    seen = set()
    for first, second in itertools.product((1, 2), repeat=2):
        a.D["n"][0], b.E[0] = first, second
        seen.add(m.f(0))
        seen.add(m.f(2))
    before = m.f.cache_info()
    assert before[:2] == (0, 8)
    for first, second in itertools.product((2, 1), repeat=2):
        a.D["n"][0], b.E[0] = first, second
        assert m.f(2).startswith(f"([{first}]")
        assert f"[{second}]" in m.f(2)
    assert m.f.cache_info()[:2] == (8, 8)


def test_a_module_that_is_loaded_late_is_no_change(load: Load) -> None:
    """Some calls import it, others do not."""
    m = load(
        app=HEAD + "from . import a\n    return a.go(x)\n",
        a="def go(n):\n    if n:\n        from .util import D\n        return str(D)\n    return ''\n",
        util="D = {'n': 1}\n",
    )
    assert [m.f(0), m.f(0), m.f(1), m.f(0), m.f(1)] == ["", "", "{'n': 1}", "", "{'n': 1}"]
    assert m.f.cache_info()[:2] == (3, 2)
    util_of(m).D["n"] = 2
    assert m.f(1) == "{'n': 2}"


def test_threads_that_load_it_at_once(load: Load) -> None:
    for _ in range(5):
        m = load(
            app=HEAD + "from . import util\n    return x, len(util.D)\n",
            util="import time\nD = {}\nfor i in range(20):\n    D[i] = i\n    time.sleep(0.0005)\n",
        )
        results: list[tuple[int, int]] = []

        def call(n: int, f: Callable[[int], tuple[int, int]] = m.f, to: list[tuple[int, int]] = results) -> None:
            to.append(f(n))

        threads = [threading.Thread(target=call, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(results) == [(n, 20) for n in range(6)]
        assert [m.f(n) for n in range(6)] == sorted(results)
        assert m.f.cache_info()[:2] == (6, 6)


PROGRAM = """
import sys
from memo import persist
@persist
def f(x):
    BODY
calls = [f(1)]
if "late" in sys.argv:
    import PKG.util, PKG.middle
calls += [f(1)]
print(calls, f.cache_info()[:2], "PKG.util" in sys.modules)
"""


@pytest.mark.parametrize("form", ["from, with a name", "absolute", "absolute, with a name", "by a function"])
def test_unchanged_in_another_process(tmp_path: Path, form: str) -> None:
    body = FORMS.get(form, "from PKG.util import g\n    return g()")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "util.py").write_text(UTIL.replace("VALUE", "make()"))
    (tmp_path / "package" / "middle.py").write_text(MIDDLE)
    (tmp_path / "app.py").write_text(PROGRAM.replace("BODY", body).replace("PKG", "package"))

    def run(*more: str) -> str:
        done = warm.run(["-W", "error::memo.MemoWarning", "app.py", *more], cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    one = "{'x': 1}"
    assert run() == f"{[one, one]} (1, 1) True"
    assert run() == f"{[one, one]} (2, 0) False"
    assert run("late") == f"{[one, one]} (2, 0) True"


@pytest.mark.parametrize(
    "lines",
    [
        "import importlib; return importlib.import_module('conf').D + x",
        "from importlib import import_module; return import_module('conf').D + x",
    ],
)
def test_a_module_imported_by_name_inside(tmp_path: Path, lines: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom memo import persist\n"
        f"def f(x):\n    print('computing')\n    {lines}\n"
        "print(persist(f, location=sys.argv[1])(1))\n"
    )

    def run(data: str) -> str:
        (tmp_path / "conf.py").write_text(data)
        return warm.run(["-B", script, tmp_path / "place"], check=True).stdout

    assert [run("D = 1"), run("D = 1"), run("D = 2"), run("D = 2"), run("D = 1")] == [
        "computing\n2\n", "2\n", "computing\n3\n", "3\n", "2\n",
    ]  # fmt: skip


# (body of the function after its imports, util, what is done to it)
MUTATED: dict[str, tuple[str, str, str]] = {
    "literal": ("from PKG.util import D; return D['x']", "D = {'x': 1}", "util.D['x'] = N"),
    "made": ("from PKG.util import D; return D['x']", "def make(): return {'x': 1}\nD = make()", "util.D['x'] = N"),
    "constant": ("from PKG.util import K; return K", "K = 1", "util.K = N"),
    "class": ("from PKG.util import C; return C.a", "class C:\n    a = 1\n    def m(self): return 1", "util.C.a = N"),
    "default": ("from PKG.util import g; return g()", "def g(a=1): return a", "util.g.__defaults__ = (N,)"),
    "default in place": ("from PKG.util import g; return list(g())", "def g(a=[]): return a", "util.g()[:] = [N]"),
    "function": ("from PKG.util import g; return g()", "def g(): return 0", "util.g = lambda: N"),
    "new name": ("import PKG.util as u; return getattr(u, 'N', 0)", "K = 1", "util.N = N"),
    "by name": ("import importlib; return importlib.import_module('PKG.util').K", "K = 1", "util.K = N"),
    "made, through another": ("from PKG.mid import h; return h()", "D = dict(x=1)", "util.D['x'] = N"),
    "through another on top": ("from PKG.top import h; return h()", "D = dict(x=1)", "util.D['x'] = N"),
    "class through another": ("from PKG.top import k; return k()", "D = 0\nclass C:\n    a = 1", "util.C.a = N"),
    "through another": ("from PKG.mid import h; return h()", "D = {'x': 1}", "util.D['x'] = N"),
}
MUTATE = """
import os, sys
from memo import persist
when, N = sys.argv[1], int(sys.argv[2])
def change():
    import package.util as util
    CHANGE
def g():
    BODY
@persist
def f(x):
    BODY
@persist
def call(g):
    return g()
if when == "before":
    change()
print(f(1), call(g), end=" ")
if when == "late":
    change()
    print(f(1), call(g), end=" ")
print(f.cache_info()[:2], call.cache_info()[:2])
"""


@pytest.mark.parametrize("name", MUTATED)
def test_changed_before_memo_sees_it_loaded(tmp_path: Path, name: str) -> None:
    """By the program, before the first call or between two; found again in the same state, and unharmed in another."""
    body, util, change = MUTATED[name]
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "util.py").write_text(util + "\n")
    (tmp_path / "package" / "mid.py").write_text("def h():\n    from package.util import D\n    return D['x']\n")
    top = "from package.util import D\nimport package.util as u\ndef h(): return D['x']\ndef k(): return u.C.a\n"
    (tmp_path / "package" / "top.py").write_text(top)
    text = MUTATE.replace("BODY", body).replace("CHANGE", change).replace("PKG", "package")
    (tmp_path / "app.py").write_text(text)

    def run(*arguments: str) -> str:
        done = warm.run(["-W", "error::memo.MemoWarning", "app.py", *arguments], cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    changed = {n: f"[{n}]" if "place" in name else str(n) for n in (2, 3)}
    first = {"default in place": "[]", "function": "0", "new name": "0"}.get(name, "1")
    assert run("late", "2") == f"{first} {first} {changed[2]} {changed[2]} (0, 2) (0, 2)"
    assert run("before", "3") == f"{changed[3]} {changed[3]} (0, 1) (0, 1)"
    assert run("before", "3") == f"{changed[3]} {changed[3]} (1, 0) (1, 0)"
    assert run("late", "3") == f"{first} {first} {changed[3]} {changed[3]} (2, 0) (2, 0)"
    assert run("never", "0") == f"{first} {first} (1, 0) (1, 0)"


def test_loaded_before_or_not_is_one_key_where_the_file_says_all(tmp_path: Path) -> None:
    (tmp_path / "util.py").write_text(
        "import os\nfrom collections import deque\nA: int = 1\nD = {'a': [1, (2, -3.5)], 'b': {None}}\n"
        "class B:\n    x = [1]\nclass C(B):\n    '''Doc.'''\n    a: int = 1\n    __slots__ = ('s',)\n"
        "    def m(self, k=2, *, j=(1,)): return self.a, k, j, os.sep, deque([A])\n"
        "def g(x=[]): return C().m(), D, C.x, x\n"
    )
    (tmp_path / "app.py").write_text(
        "import sys\nfrom memo import persist\n@persist\ndef f(x):\n    from util import g\n    return g()\n"
        "if sys.argv[1] == 'loaded': import util\nprint(f.cache_key(1), f(1) and f.cache_key(1))\n"
    )
    keys = set()
    for how in ("loaded", "not"):
        command = [sys.executable, "app.py", how]
        environ = {**os.environ, "PYTHONPATH": str(Path(memo.__file__).parents[1])}
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environ, check=True)
        keys.update(done.stdout.split())
    assert len(keys) == 1


def test_the_import_system_is_left_as_it_was(load: Load) -> None:
    before = list(sys.meta_path)
    m = load(app=HEAD + "from .util import D\n    return str(D), D.__class__\n", util="D = {}\n")
    assert m.f.cache_key(1)
    m.f(1)
    assert sys.meta_path == before
    loader = util_of(m).__loader__
    assert "exec_module" not in vars(loader)
    assert importlib.reload(util_of(m)).__loader__.get_source is not None
