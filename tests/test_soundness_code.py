"""Versions of code, end to end through `@persist`: small programs, edited between fresh processes.

Each case is a package of its own, written so that an edit stands inside it: ``<<before||after>>``. Processes with
other hash seeds share one place: the first runs every program as it is before its edit, the second as it is after;
the third has some in the first state again, in another folder and under ``-O``. In the slow stage one has all in the first
state, in another folder, and one all in the second, under ``-O``. What `@persist` gives must always be what computing
would give just then, and it must compute only where the case says so.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

MISS, HIT = "miss", "hit"
HEADER = "from os import getpid\nfrom memo import persist\n"
EDIT = re.compile(r"<<(.*?)\|\|(.*?)>>", re.S)
F = "\n@persist\ndef f(x):\n    return getpid(), "

CASES: list[tuple[str, str, str]] = []


def case(expected: str, name: str, text: str) -> None:
    assert EDIT.search(text), name
    assert name not in [known for _, known, _ in CASES], name
    CASES.append((expected, name, text))


def miss(name: str, text: str, returns: str = "") -> None:
    case(MISS, name, text + (F + returns if returns else ""))


def hit(name: str, text: str, returns: str = "") -> None:
    case(HIT, name, text + (F + returns if returns else ""))


# its own code
miss("own body", F + "x <<+||->> 1")
miss("own constant", F + "x + <<1||2>>")
miss("own constant by type", F + "repr(<<1||1.0>>)")
miss("own constant to True", F + "repr(<<1||True>>)")
miss("own constant by sign", F + "repr(<<0.0||-0.0>>)")
miss("own text", F + "'<<a||b>>'")
miss("own text to bytes", F + "repr(<<||b>>'a')")
miss("own comparison", F + "x <<<||>=>> 1")
miss("own f-string", F + "f'{x!<<r||s>>}{x:<<3||4>>}'")
miss("order of calls", F + "<<(abs(x), -x)||(-x, abs(x))>>")
miss("own keyword", F + "sorted([1, 2], reverse=<<True||False>>)")
miss("own slice", F + "[1, 2, 3][<<1:||:1>>]")
miss("own star", F + "[<<*||>>(1, 2)]")
miss("own attribute", F + "(3).<<real||imag>>")
miss("own condition", F + "1 if <<x||not x>> else 2")
miss("own generator", F + "list(y <<+||->> 1 for y in [x])")
miss("own comprehension's filter", F + "[y for y in (1, 2) if y > <<0||1>>]")
miss("own lambda inside", F + "(lambda y: y + <<1||2>>)(x)")
miss(
    "own nested function",
    "@persist\ndef f(x):\n    def g(y):\n        def h(z): return z + <<1||2>>\n        return h(y)\n    return getpid(), g(x)\n",
)
miss("own nested class", "@persist\ndef f(x):\n    class C:\n        a = <<1||2>>\n    return getpid(), C.a\n")
miss(
    "own nested class's annotation",
    "@persist\ndef f(x):\n    class C:\n        a: <<int||str>>\n    return getpid(), str(C.__annotations__)\n",
)
miss("own nested default", "@persist\ndef f(x):\n    def g(y=<<1||2>>): return y\n    return getpid(), g()\n")
miss(
    "own try",
    "@persist\ndef f(x):\n    try:\n        return getpid(), 1 // 0\n    except <<ZeroDivisionError||ArithmeticError>>:\n        return getpid(), 3\n",
)
miss(
    "own match",
    "@persist\ndef f(x):\n    match x:\n        case <<1||2>>: return getpid(), 3\n        case _: return getpid(), 4\n",
)
miss("own walrus", F + "(y := x <<+||->> 1) + y")
miss("own assignment", "@persist\ndef f(x):\n    x <<+||->>= 1\n    return getpid(), x\n")
miss("own loop", "@persist\ndef f(x):\n    for i in range(<<2||3>>): x += i\n    return getpid(), x\n")
miss("own assert", "@persist\ndef f(x):\n    assert x <<>||>=>> 0\n    return getpid(), x\n")
miss(
    "own global statement's use",
    "n = 1\n@persist\ndef f(x):\n    def g():\n        global n\n        return n\n    return getpid(), g() <<+||->> 1\n",
)
miss("parameter more", "@persist\ndef f(x<<||, y=2>>):\n    return getpid(), x<<||+ y>>\n")

# not counted
hit("comment", "# <<one||two>>\n" + F + "x  # <<a||b>>")
hit("docstring", "@persist\ndef f(x):\n    '''<<one||two>>'''\n    return getpid(), x\n")
hit("docstring given", "@persist\ndef f(x):\n    <<||'''New.'''>>\n    return getpid(), x\n")
hit("docstring of a helper", "def g(x):\n    '''<<one||two>>'''\n    return x\n", "g(x)")
hit(
    "docstring of a class",
    "class C:\n    '''<<one||two>>'''\n    def m(self):\n        '''<<one||two>>'''\n        return 1\n",
    "C().m()",
)
hit("docstring of the module", "'''<<one||two>>'''\n", "x")
hit("formatting", F + "<<x+1||( x\n   + 1 )>>")
hit("quotes", F + "<<'a'||\"a\">>")
hit("number spelled", F + "<<1000||1_000>> + <<16||0x10>>")
hit("blank lines", "<<||\n\n\n>>" + F + "x")
hit("trailing comma", F + "max(x, 2<<||,>>)")
hit("annotation", "@persist\ndef f(x<<||: int>>)<<||-> object>>:\n    return getpid(), x\n")
hit("annotation of a helper", "def g(x<<: int||: str>>): return x\n", "g(x)")
hit("annotation of a local", "@persist\ndef f(x):\n    y<<||: int>> = x\n    return getpid(), y\n")
hit("pass", "class C:\n    a = 1\n    <<||pass>>\n", "C.a")
hit(
    "order of definitions",
    "<<def g(x): return x\ndef h(x): return x + 1||def h(x): return x + 1\ndef g(x): return x>>\n",
    "g(h(x))",
)
hit("order of constants", "<<A = 1\nB = 2||B = 2\nA = 1>>\n", "A - B")
hit(
    "order of methods",
    "class C:\n<<    def g(self): return 1\n    def h(self): return 2||    def h(self): return 2\n    def g(self): return 1>>\n",
    "C().g()",
)
hit("unrelated function", "def g(x): return <<1||2>>\n", "x")
hit("unrelated constant", "A = <<1||2>>\n", "x")
hit("unrelated class", "class C:\n    a = <<1||2>>\n", "x")
hit("unrelated import", "<<||import json>>\n", "x")
hit(
    "unrelated function of a used module",
    "from . import util\n" + F + "util.g(x)\n# --- util.py\ndef g(x): return x\ndef h(x): return <<1||2>>\n",
)
hit("unrelated constant of a used module", "from . import util\n" + F + "util.A\n# --- util.py\nA = 1\nB = <<1||2>>\n")
hit("helper that is not called", "def g(x): return <<1||2>>\ndef h(x): return g(x)\n", "x")
hit("constant computed otherwise", "A = <<3||1 + 2>>\n", "A")
hit("dict otherwise", "A = <<{'a': 1, 'b': 2}||{'b': 2, 'a': 1}>>\n", "sorted(A)")
hit("set otherwise", "A = <<{'a', 'b'}||{'b', 'a'}>>\n", "sorted(A)")
hit(
    "import otherwise",
    "<<from . import util||from . import util as util>>\n" + F + "util.g(x)\n# --- util.py\ndef g(x): return x\n",
)
hit("memo's options", "@persist<<||(ttl='1h')>>\ndef f(x): return getpid(), x\n")
hit(
    "memo imported otherwise",
    "<<from memo import persist as p||import memo; p = memo.persist>>\n@p\ndef f(x): return getpid(), x\n",
)
hit("helper persisted", "<<||@persist>>\ndef g(x): return x\n", "g(x)")
hit(
    "name of a local of the same name as a global",
    "y = <<1||2>>\n@persist\ndef f(x):\n    y = x\n    return getpid(), y\n",
)
hit("global only written", "n = <<1||2>>\n@persist\ndef f(x):\n    global n\n    n = 5\n    return getpid(), x\n")
hit("own default", "@persist\ndef f(x, seed=<<0||1>>): return getpid(), seed\ndef go(): return f(1, seed=7)\n")
hit(
    "own keyword default",
    "@persist\ndef f(x, *, seed=<<0||1>>): return getpid(), seed\ndef go(): return f(1, seed=7)\n",
)
hit(
    "own mutable default",
    "@persist\ndef f(x, seed=<<[0]||[1]>>): return getpid(), seed\ndef go(): return f(1, seed=[7])\n",
)
hit(
    "own default that is a function",
    "def g(x): return <<1||2>>\n@persist\ndef f(x, h=g): return getpid(), h(x)\ndef go(): return f(1, h=abs)\n",
)
hit(
    "logger",
    "import logging\nlog = logging.getLogger(<<__name__||'other'>>)\n@persist\ndef f(x):\n    log.debug('x')\n    return getpid(), x\n",
)
hit(
    "method that another class has",
    "class C:\n    def m(self): return 1\nclass D:\n    def m(self): return <<1||2>>\n",
    "C().m()",
)
hit("under __main__", "x = 1\nif __name__ == '__main__':\n    print(<<1||2>>)\n", "x")

# its own defaults, where they matter
miss("own default that is used", "@persist\ndef f(x, seed=<<0||1>>): return getpid(), seed\n")
miss(
    "own default in a recursion",
    "@persist\ndef f(x, seed=<<0||1>>): return getpid(), seed + (f(x - 1)[1] if x else 0)\ndef go(): return f(1, seed=7)\n",
)
miss(
    "own default in a recursion by a helper",
    "def g(x): return f(x)[1]\n@persist\ndef f(x, seed=<<0||1>>): return getpid(), seed + (g(x - 1) if x else 0)\ndef go(): return f(1, seed=7)\n",
)
miss(
    "own mutable default in a recursion",
    "@persist\ndef f(x, seed=<<[0]||[1]>>): return getpid(), seed + (f(x - 1)[1] if x else [])\ndef go(): return f(1, seed=[7])\n",
)
miss(
    "own default read",
    "import inspect\n@persist\ndef f(x, seed=<<0||1>>): return getpid(), str(inspect.signature(f))\ndef go(): return f(1, seed=7)\n",
)

# helpers
miss("helper", "def g(x): return x + <<1||2>>\n", "g(x)")
miss(
    "helper of a helper of a helper",
    "def a(x): return x + <<1||2>>\ndef b(x): return a(x)\ndef c(x): return b(x)\n",
    "c(x)",
)
miss("helper defined below", F + "g(x)\ndef g(x): return x + <<1||2>>\n")
miss("helper of another module", "from .util import g\n" + F + "g(x)\n# --- util.py\ndef g(x): return x + <<1||2>>\n")
miss(
    "helper through a module", "from . import util\n" + F + "util.g(x)\n# --- util.py\ndef g(x): return x + <<1||2>>\n"
)
miss(
    "helper through a package",
    "import PKG.sub.util\n"
    + F
    + "PKG.sub.util.g(x)\n# --- sub/__init__.py\n# --- sub/util.py\ndef g(x): return x + <<1||2>>\n",
)
miss(
    "helper by an alias",
    "from .util import g as other\n" + F + "other(x)\n# --- util.py\ndef g(x): return x + <<1||2>>\n",
)
miss("helper by an assigned alias", "def g(x): return x + <<1||2>>\nh = g\n", "h(x)")
miss("helper by a star import", "from .util import *\n" + F + "g(x)\n# --- util.py\ndef g(x): return x + <<1||2>>\n")
miss(
    "helper re-exported",
    "from .util import g\n"
    + F
    + "g(x)\n# --- util.py\nfrom .origin import g\n# --- origin.py\ndef g(x): return x + <<1||2>>\n",
)
miss(
    "re-export of another",
    "from .util import g\n"
    + F
    + "g(x)\n# --- util.py\nfrom .origin import <<g||h as g>>\n# --- origin.py\ndef g(x): return x + 1\ndef h(x): return x + 2\n",
)
miss(
    "relative import of a relative import",
    "from .sub import g\n"
    + F
    + "g(x)\n# --- sub/__init__.py\nfrom .deep import g\n# --- sub/deep.py\nfrom ..origin import h as g\n# --- origin.py\ndef h(x): return x + <<1||2>>\n",
)
miss(
    "conditional definition",
    "A = <<1||2>>\nif A == 1:\n    def g(x): return 1\nelse:\n    def g(x): return 2\n",
    "g(x)",
)
miss("definition replaced below", "def g(x): return x\n<<def h||def g>>(x): return x + 1\n", "g(x)")
miss("helper's default", "def g(x, k=<<1||2>>): return x + k\n", "g(x)")
miss("helper's keyword default", "def g(x, *, k=<<1||2>>): return x + k\n", "g(x)")
miss("helper's mutable default", "def g(x, k=[<<1||2>>]): return k\n", "g(x)")
miss("helper's default that is a function", "def h(x): return x + <<1||2>>\ndef g(x, k=h): return k(x)\n", "g(x)")
miss("function in a list", "def g(x): return x + <<1||2>>\nALL = [abs, g]\n", "[h(x) for h in ALL]")
miss("function in a dict", "def g(x): return x + <<1||2>>\nALL = {'g': g}\n", "ALL['g'](x)")
miss("function in a tuple", "def g(x): return x + <<1||2>>\nALL = (g,)\n", "ALL[0](x)")
miss(
    "function deep in containers",
    "def g(x): return x + <<1||2>>\nALL = {'a': [({'g': g},)]}\n",
    "ALL['a'][0][0]['g'](x)",
)
miss("function in an object", "def g(x): return x + <<1||2>>\nclass C: pass\nc = C()\nc.g = g\n", "c.g(x)")
miss("lambda", "g = lambda x: x + <<1||2>>\n", "g(x)")
miss("second lambda of a line", "g, h = (lambda x: x + 1), (lambda x: x + <<2||3>>)\n", "h(x)")
hit("other lambda of a line", "g, h = (lambda x: x + <<1||7>>), (lambda x: x + 2)\n", "h(x)")
miss("partial", "import functools\ndef g(a, x): return a + x\nh = functools.partial(g, <<1||2>>)\n", "h(x)")
miss(
    "function of a partial",
    "import functools\ndef g(a, x): return a + x + <<1||2>>\nh = functools.partial(g, 1)\n",
    "h(x)",
)
miss("lru_cache", "import functools\n@functools.lru_cache\ndef g(x): return x + <<1||2>>\n", "g(x)")
miss(
    "singledispatch",
    "import functools\n@functools.singledispatch\ndef g(x): return 0\n@g.register\ndef _(x: int): return <<1||2>>\n",
    "g(x)",
)
miss(
    "contextmanager",
    "import contextlib\n@contextlib.contextmanager\ndef g(x): yield x + <<1||2>>\n@persist\ndef f(x):\n    with g(x) as y:\n        return getpid(), y\n",
)
miss(
    "mutual recursion",
    "def g(x): return h(x - 1) if x else <<1||2>>\ndef h(x): return g(x - 1) if x > 0 else 0\n",
    "g(x + 1)",
)
miss("persisted helper", "@persist\ndef g(x): return x + <<1||2>>\n", "g(x)")
miss("persisted helper's helper", "def h(x): return x + <<1||2>>\n@persist\ndef g(x): return h(x)\n", "g(x)")
miss("generator function", "def g(x):\n    yield x + <<1||2>>\n", "list(g(x))")
miss(
    "coroutine",
    "async def g(x): return x + <<1||2>>\n@persist\ndef f(x):\n    try: g(x).send(None)\n    except StopIteration as stop: return getpid(), stop.value\n",
)
miss("function attribute", "def g(x): return x\ng.k = <<1||2>>\n", "g.k")
miss(
    "wrapped function's attribute",
    "import functools\ndef g(x): return x + <<1||2>>\n@functools.wraps(g)\ndef h(x): return h.__wrapped__(x)\n",
    "h(x)",
)
miss("nested function of a helper", "def g(x):\n    def h(y): return y + <<1||2>>\n    return h(x)\n", "g(x)")

# decorators
miss(
    "decorator under ours",
    "def deco(g):\n    def wrapper(x): return getpid(), g(x)[1] + <<1||2>>\n    return wrapper\n@persist\n@deco\ndef f(x): return getpid(), x\n",
)
miss(
    "decorated function under ours",
    "def deco(g):\n    def wrapper(x): return g(x)\n    return wrapper\n@persist\n@deco\ndef f(x): return getpid(), x + <<1||2>>\n",
)
miss(
    "decorator of a helper",
    "import functools\ndef deco(g):\n    @functools.wraps(g)\n    def wrapper(x): return g(x) + <<1||2>>\n    return wrapper\n@deco\ndef g(x): return x\n",
    "g(x)",
)
miss(
    "decorated helper",
    "import functools\ndef deco(g):\n    @functools.wraps(g)\n    def wrapper(x): return g(x)\n    return wrapper\n@deco\ndef g(x): return x + <<1||2>>\n",
    "g(x)",
)
miss(
    "decorator with an argument",
    "def deco(n):\n    def inner(g):\n        return lambda x: g(x) + n\n    return inner\n@deco(<<1||2>>)\ndef g(x): return x\n",
    "g(x)",
)
miss(
    "decorator's helper",
    "def add(x): return x + <<1||2>>\ndef deco(g): return lambda x: add(g(x))\n@deco\ndef g(x): return x\n",
    "g(x)",
)
miss(
    "decorator that is a class",
    "class deco:\n    def __init__(self, g): self.g = g\n    def __call__(self, x): return self.g(x) + <<1||2>>\n@deco\ndef g(x): return x\n",
    "g(x)",
)
miss(
    "function decorated by a class",
    "class deco:\n    def __init__(self, g): self.g = g\n    def __call__(self, x): return self.g(x)\n@deco\ndef g(x): return x + <<1||2>>\n",
    "g(x)",
)
miss("decorator taken away", "def deco(g): return lambda x: g(x) + 1\n<<@deco||>>\ndef g(x): return x\n", "g(x)")
miss(
    "decorator that registers",
    "ALL = {}\ndef register(g):\n    ALL[g.__name__] = g\n    return g\n@register\ndef g(x): return x + <<1||2>>\n",
    "ALL['g'](x)",
)

# data
miss("constant", "A = <<1||2>>\n", "A")
miss("constant by type", "A = <<1||True>>\n", "repr(A)")
miss("constant by sign", "A = <<0.0||-0.0>>\n", "repr(A)")
miss("constant of a helper", "A = <<1||2>>\ndef g(x): return A\n", "g(x)")
miss("constant of another module", "from .util import A\n" + F + "A\n# --- util.py\nA = <<1||2>>\n")
miss("attribute of a module", "from . import util\n" + F + "util.A\n# --- util.py\nA = <<1||2>>\n")
miss("constant made of a constant", "A = <<1||2>>\nB = A + 1\n", "B")
miss("list", "A = [1, <<2||3>>]\n", "A")
miss("dict", "A = {'a': {'b': [<<2||3>>]}}\n", "A")
miss("set", "A = {'a', '<<b||c>>'}\n", "sorted(A)")
miss("tuple with a list", "A = (1, [<<2||3>>])\n", "A")
miss("bytes", "A = bytearray(b'<<a||b>>')\n", "bytes(A)")
miss("array", "import array\nA = array.array('i', [<<1||2>>])\n", "A.tolist()")
miss("date", "import datetime\nA = datetime.date(2024, 1, <<1||2>>)\n", "str(A)")
miss("pattern", "import re\nA = re.compile('<<a||b>>')\n", "A.pattern")
miss("path", "import pathlib\nA = pathlib.PurePosixPath('<<a||b>>')\n", "str(A)")
miss("instance", "class C:\n    def __init__(self, a): self.a = a\nc = C(<<1||2>>)\n", "c.a")
miss("instance's class", "class C:\n    def m(self): return <<1||2>>\nc = C()\n", "c.m()")
miss(
    "frozen instance",
    "import dataclasses\n@dataclasses.dataclass(frozen=True)\nclass C:\n    a: int\nc = C(<<1||2>>)\n",
    "c.a",
)
miss(
    "frozen instance's method",
    "import dataclasses\n@dataclasses.dataclass(frozen=True)\nclass C:\n    a: int\n    def m(self): return self.a + <<1||2>>\nc = C(1)\n",
    "c.m()",
)
miss("closure cell", "def make(n):\n    def g(x): return x + n\n    return g\ng = make(<<1||2>>)\n", "g(x)")
miss("closure cell with a list", "def make(n):\n    def g(x): return n\n    return g\ng = make([<<1||2>>])\n", "g(x)")
miss(
    "closure cell with a function",
    "def make(h):\n    def g(x): return h(x)\n    return g\ndef h(x): return x + <<1||2>>\ng = make(h)\n",
    "g(x)",
)
miss(
    "persisted closure",
    "def make(n):\n    @persist\n    def g(x): return getpid(), x + n\n    return g\nf = make(<<1||2>>)\n",
)
miss(
    "persisted closure over a list",
    "def make(n):\n    @persist\n    def g(x): return getpid(), n\n    return g\nf = make([<<1||2>>])\n",
)
miss("sentinel to a value", "A = <<object()||None>>\n", "A is None")
hit("sentinel", "A = object()\n# <<1||2>>\n", "x is A")
miss("builtin shadowed", "<<||def len(x): return 9>>\n", "len([x])")
miss(
    "name defined later",
    "<<||A = 2>>\n@persist\ndef f(x):\n    try: return getpid(), A\n    except NameError: return getpid(), 'none'\n",
)
miss(
    "global of an object with a lock",
    "import threading\nclass C:\n    def __init__(self, a): self.a, self.lock = a, threading.Lock()\nc = C(<<1||2>>)\n",
    "c.a",
)
miss("numpy array", "import numpy\nA = numpy.array([1, <<2||3>>])\n", "A.tolist()")
miss("numpy array by dtype", "import numpy\nA = numpy.array([1, 2], dtype='<<i4||i8>>')\n", "str(A.dtype)")
miss("environment kept at import", "import os\nA = os.environ.get('NO_SUCH_THING', '<<a||b>>')\n", "A")

# classes
C = "class C:\n    <<a = 1||a = 2>>\n"
miss("class attribute", C, "C.a")
miss("method", "class C:\n    def m(self): return <<1||2>>\n", "C().m()")
miss("method of a base", "class B:\n    def m(self): return <<1||2>>\nclass C(B): pass\n", "C().m()")
miss(
    "method of a base elsewhere",
    "from .util import B\nclass C(B): pass\n"
    + F
    + "C().m()\n# --- util.py\nclass B:\n    def m(self): return <<1||2>>\n",
)
miss("bases", "class A:\n    a = 1\nclass B:\n    a = 2\nclass C(<<A, B||B, A>>): pass\n", "C.a")
miss("metaclass", "class M(type):\n    def m(cls): return <<1||2>>\nclass C(metaclass=M): pass\n", "C.m()")
miss("__init_subclass__", "class B:\n    def __init_subclass__(cls): cls.a = <<1||2>>\nclass C(B): pass\n", "C.a")
miss("__init__", "class C:\n    def __init__(self): self.a = <<1||2>>\n", "C().a")
miss("__new__", "class C:\n    def __new__(cls): return <<1||2>>\n", "C()")
miss("property", "class C:\n    @property\n    def a(self): return <<1||2>>\n", "C().a")
miss(
    "setter",
    "class C:\n    @property\n    def a(self): return self.b\n    @a.setter\n    def a(self, v): self.b = v + <<1||2>>\n@persist\ndef f(x):\n    c = C()\n    c.a = x\n    return getpid(), c.a\n",
)
miss(
    "cached_property",
    "import functools\nclass C:\n    @functools.cached_property\n    def a(self): return <<1||2>>\n",
    "C().a",
)
miss("static method", "class C:\n    @staticmethod\n    def a(): return <<1||2>>\n", "C.a()")
miss("class method", "class C:\n    @classmethod\n    def a(cls): return <<1||2>>\n", "C.a()")
miss("operator", "class C:\n    def __add__(self, o): return <<1||2>>\n", "C() + 1")
miss("call", "class C:\n    def __call__(self): return <<1||2>>\n", "C()()")
miss("item", "class C:\n    def __getitem__(self, i): return <<1||2>>\n", "C()[0]")
miss("iteration", "class C:\n    def __iter__(self): return iter([<<1||2>>])\n", "list(C())")
miss("__getattr__", "class C:\n    def __getattr__(self, n): return <<1||2>>\n", "C().any")
miss("__repr__", "class C:\n    def __repr__(self): return '<<1||2>>'\n", "repr(C())")
miss(
    "context of a class",
    "class C:\n    def __enter__(self): return <<1||2>>\n    def __exit__(self, *a): pass\n@persist\ndef f(x):\n    with C() as c: return getpid(), c\n",
)
miss("descriptor", "class D:\n    def __get__(self, o, t): return <<1||2>>\nclass C:\n    a = D()\n", "C.a")
miss("helper of a method", "def g(): return <<1||2>>\nclass C:\n    def m(self): return g()\n", "C().m()")
miss("constant of a method", "A = <<1||2>>\nclass C:\n    def m(self): return A\n", "C().m()")
miss(
    "super()",
    "class B:\n    def m(self): return <<1||2>>\nclass C(B):\n    def m(self): return super().m()\n",
    "C().m()",
)
miss("class through a helper", C + "def g(): return C()\n", "g().a")
miss("class in a dict", C + "ALL = {'c': C}\n", "ALL['c'].a")
miss("slots", "class C:\n    __slots__ = ('a', <<'b'||'c'>>)\n", "C.__slots__")
miss("dataclass default", "import dataclasses\n@dataclasses.dataclass\nclass C:\n    a: int = <<1||2>>\n", "C().a")
miss(
    "dataclass factory",
    "import dataclasses\n@dataclasses.dataclass\nclass C:\n    a: list = dataclasses.field(default_factory=lambda: [<<1||2>>])\n",
    "C().a",
)
miss(
    "dataclass field's type",
    "import dataclasses\n@dataclasses.dataclass\nclass C:\n    a: <<int||str>> = 1\n",
    "[str(f.type) for f in dataclasses.fields(C)]",
)
miss(
    "dataclass field's order",
    "import dataclasses\n@dataclasses.dataclass\nclass C:\n    <<a: int = 1\n    b: int = 2||b: int = 2\n    a: int = 1>>\n",
    "repr(C())",
)
miss(
    "dataclass option",
    "import dataclasses\n@dataclasses.dataclass(<<order=True||frozen=True>>)\nclass C:\n    a: int = 1\n",
    "hasattr(C, '__setattr__') and C.__dataclass_params__.frozen",
)
miss("enum", "import enum\nclass C(enum.Enum):\n    A = <<1||2>>\n", "C.A.value")
miss("enum method", "import enum\nclass C(enum.Enum):\n    A = 1\n    def m(self): return <<1||2>>\n", "C.A.m()")
miss("enum member in a constant", "import enum\nclass C(enum.Enum):\n    A = 1\n    B = 2\nD = C.<<A||B>>\n", "D.value")
miss("named tuple default", "import typing\nclass C(typing.NamedTuple):\n    a: int = <<1||2>>\n", "C().a")
miss("named tuple fields", "import collections\nC = collections.namedtuple('C', 'a <<b||c>>')\n", "C._fields")
miss("attrs", "import attr\n@attr.define\nclass C:\n    a: int = <<1||2>>\n", "C().a")
miss(
    "attrs converter",
    "import attr\ndef g(v): return v + <<1||2>>\n@attr.define\nclass C:\n    a: int = attr.field(converter=g)\n",
    "C(1).a",
)
miss("pydantic default", "import pydantic\nclass C(pydantic.BaseModel):\n    a: int = <<1||2>>\n", "C().a")
miss(
    "pydantic validator",
    "import pydantic\nclass C(pydantic.BaseModel):\n    a: int\n    @pydantic.field_validator('a')\n    @classmethod\n    def v(cls, v): return v + <<1||2>>\n",
    "C(a=1).a",
)
miss(
    "pydantic type",
    "import pydantic\nclass C(pydantic.BaseModel):\n    a: <<int||str>>\n@persist\ndef f(x):\n    try: return getpid(), C(a=1).a\n    except ValueError: return getpid(), 'invalid'\n",
)
miss("abstract base", "import abc\nclass B(abc.ABC):\n    def m(self): return <<1||2>>\nclass C(B): pass\n", "C().m()")
miss(
    "protocol's method",
    "import typing\nclass B(typing.Protocol):\n    def m(self): return <<1||2>>\nclass C(B): pass\n",
    "C().m()",
)
miss(
    "generic",
    "import typing\nT = typing.TypeVar('T')\nclass B(typing.Generic[T]):\n    def m(self): return <<1||2>>\nclass C(B[int]): pass\n",
    "C().m()",
)
miss("class made by type()", "C = type('C', (), {'m': lambda self: <<1||2>>})\n", "C().m()")
miss("class decorator", "def deco(cls):\n    cls.a = <<1||2>>\n    return cls\n@deco\nclass C: pass\n", "C.a")
miss("nested class", "class C:\n    class D:\n        a = <<1||2>>\n", "C.D.a")
miss("method assigned", "def m(self): return <<1||2>>\nclass C: pass\nC.m = m\n", "C().m()")
miss(
    "total_ordering",
    "import functools\n@functools.total_ordering\nclass C:\n    def __eq__(self, o): return False\n    def __lt__(self, o): return <<True||False>>\n",
    "C() > C()",
)

# imports inside
miss(
    "import inside",
    "@persist\ndef f(x):\n    from .util import g\n    return getpid(), g(x)\n# --- util.py\ndef g(x): return x + <<1||2>>\n",
)
miss(
    "import of a module inside",
    "@persist\ndef f(x):\n    from . import util\n    return getpid(), util.g(x)\n# --- util.py\ndef g(x): return x + <<1||2>>\n",
)
miss(
    "absolute import inside",
    "@persist\ndef f(x):\n    import PKG.util\n    return getpid(), PKG.util.g(x)\n# --- util.py\ndef g(x): return x + <<1||2>>\n",
)
miss(
    "import inside with a name",
    "@persist\ndef f(x):\n    import PKG.util as u\n    return getpid(), u.g(x)\n# --- util.py\ndef g(x): return x + <<1||2>>\n",
)
miss(
    "import inside a helper",
    "def h(x):\n    from .util import g\n    return g(x)\n"
    + F
    + "h(x)\n# --- util.py\ndef g(x): return x + <<1||2>>\n",
)
miss(
    "import inside of an import inside",
    "@persist\ndef f(x):\n    from .util import g\n    return getpid(), g(x)\n# --- util.py\ndef g(x):\n    from .origin import h\n    return h(x)\n# --- origin.py\ndef h(x): return x + <<1||2>>\n",
)
miss(
    "constant of a module imported inside",
    "@persist\ndef f(x):\n    from .util import g\n    return getpid(), g(x)\n# --- util.py\nA = <<1||2>>\ndef g(x): return A\n",
)
miss(
    "class of a module imported inside",
    "@persist\ndef f(x):\n    from .util import C\n    return getpid(), C().m()\n# --- util.py\nclass C:\n    def m(self): return <<1||2>>\n",
)
miss(
    "star of a module imported inside",
    "@persist\ndef f(x):\n    from .util import g\n    return getpid(), g(x)\n# --- util.py\nfrom .origin import *\n# --- origin.py\ndef g(x): return x + <<1||2>>\n",
)
miss(
    "data of a module imported inside",
    "@persist\ndef f(x):\n    from .util import A\n    return getpid(), A['a']\n# --- util.py\nA = {'a': <<1||2>>}\n",
)
miss(
    "computed constant of a module imported inside",
    "@persist\ndef f(x):\n    from .util import A\n    return getpid(), A\n# --- util.py\nB = <<1||2>>\nA = B + 1\n",
)
hit(
    "unused of a module imported inside",
    "@persist\ndef f(x):\n    from .util import g\n    return getpid(), g(x)\n# --- util.py\ndef g(x): return x\ndef h(x): return <<1||2>>\n",
)
miss(
    "try import",
    "@persist\ndef f(x):\n    try:\n        from .util import g\n    except ImportError:\n        return getpid(), 0\n    return getpid(), g(x)\n# --- util.py\ndef g(x): return x + <<1||2>>\n",
)

# looked up at run time
miss(
    "getattr on a module",
    "from . import util\n" + F + "getattr(util, 'gh'[0])(x)\n# --- util.py\ndef g(x): return x + <<1||2>>\n",
)
miss("globals()", "def g(x): return x + <<1||2>>\n", "globals()['gh'[0]](x)")
miss("globals() of a helper", "def g(x): return x + <<1||2>>\ndef h(x): return globals()['gh'[0]](x)\n", "h(x)")
miss(
    "import_module",
    "import importlib\n"
    + F
    + "importlib.import_module('PKG.util').g(x)\n# --- util.py\ndef g(x): return x + <<1||2>>\n",
)
miss(
    "import_module by a relative name",
    "import importlib\n"
    + F
    + "importlib.import_module('.util', __package__).g(x)\n# --- util.py\ndef g(x): return x + <<1||2>>\n",
)
miss(
    "import_module by its own name",
    "from importlib import import_module\n"
    + F
    + "import_module('PKG.util').g(x)\n# --- util.py\ndef g(x): return x + <<1||2>>\n",
)
miss("__import__", F + "__import__('PKG.util', fromlist=['g']).g(x)\n# --- util.py\ndef g(x): return x + <<1||2>>\n")
miss("eval", "def g(x): return x + <<1||2>>\n", "eval('g(x)')")
miss(
    "exec",
    "def g(x): return x + <<1||2>>\n@persist\ndef f(x):\n    space = {}\n    exec('y = g(1)', globals(), space)\n    return getpid(), space['y']\n",
)
miss("sys.modules", "import sys\ndef g(x): return x + <<1||2>>\n", "sys.modules[__name__].g(x)")
miss(
    "vars() of a module",
    "from . import util\n" + F + "vars(util)['gh'[0]](x)\n# --- util.py\ndef g(x): return x + <<1||2>>\n",
)
miss(
    "__dict__ of a module",
    "from . import util\n" + F + "util.__dict__['gh'[0]](x)\n# --- util.py\ndef g(x): return x + <<1||2>>\n",
)
miss(
    "__subclasses__",
    "class B: pass\nclass C(B):\n    def m(self): return <<1||2>>\n",
    "[c().m() for c in B.__subclasses__()]",
)
miss("getattr on a class", "class C:\n    def m(self): return <<1||2>>\n", "getattr(C(), 'mn'[0])()")
miss(
    "module __getattr__", "from . import util\n" + F + "util.any\n# --- util.py\ndef __getattr__(n): return <<1||2>>\n"
)
miss(
    "module in a dict",
    "from . import util\nALL = {'u': util}\n" + F + "ALL['u'].g(x)\n# --- util.py\ndef g(x): return x + <<1||2>>\n",
)
miss(
    "module in a local",
    "from . import util\n@persist\ndef f(x):\n    u = util\n    return getpid(), u.g(x)\n# --- util.py\ndef g(x): return x + <<1||2>>\n",
)
miss(
    "module as an argument of a helper",
    "from . import util\ndef h(m, x): return m.g(x)\n"
    + F
    + "h(util, x)\n# --- util.py\ndef g(x): return x + <<1||2>>\n",
)

# arguments that carry code
miss(
    "function as an argument",
    "def g(x): return x + <<1||2>>\n@persist\ndef f(h): return getpid(), h(1)\ndef go(): return f(g)\n",
)
miss(
    "helper of a function as an argument",
    "def k(x): return x + <<1||2>>\ndef g(x): return k(x)\n@persist\ndef f(h): return getpid(), h(1)\ndef go(): return f(g)\n",
)
miss(
    "default of a function as an argument",
    "def g(x, k=<<1||2>>): return x + k\n@persist\ndef f(h): return getpid(), h(1)\ndef go(): return f(g)\n",
)
miss(
    "mutable default of a function as an argument",
    "def g(x, k=[<<1||2>>]): return k\n@persist\ndef f(h): return getpid(), h(1)\ndef go(): return f(g)\n",
)
miss("lambda as an argument", "@persist\ndef f(h): return getpid(), h(1)\ndef go(): return f(lambda x: x + <<1||2>>)\n")
miss(
    "partial as an argument",
    "import functools\ndef g(a, x): return a + x + <<1||2>>\n@persist\ndef f(h): return getpid(), h(1)\ndef go(): return f(functools.partial(g, 1))\n",
)
miss(
    "class as an argument",
    "class C:\n    def m(self): return <<1||2>>\n@persist\ndef f(c): return getpid(), c().m()\ndef go(): return f(C)\n",
)
miss(
    "instance as an argument",
    "class C:\n    def m(self): return <<1||2>>\n@persist\ndef f(c): return getpid(), c.m()\ndef go(): return f(C())\n",
)
miss(
    "instance of a subclass as an argument",
    "class B:\n    def m(self): return <<1||2>>\nclass C(B): pass\n@persist\ndef f(c): return getpid(), c.m()\ndef go(): return f(C())\n",
)
miss(
    "instances in a list as an argument",
    "class C:\n    def m(self): return <<1||2>>\n@persist\ndef f(c): return getpid(), c[0].m()\ndef go(): return f([C()])\n",
)
miss(
    "dataclass as an argument",
    "import dataclasses\n@dataclasses.dataclass\nclass C:\n    a: int\n    def m(self): return self.a + <<1||2>>\n@persist\ndef f(c): return getpid(), c.m()\ndef go(): return f(C(1))\n",
)
miss(
    "bound method as an argument",
    "class C:\n    def m(self): return <<1||2>>\n@persist\ndef f(m): return getpid(), m()\ndef go(): return f(C().m)\n",
)
miss(
    "module as an argument",
    "from . import util\n@persist\ndef f(m): return getpid(), m.g(1)\ndef go(): return f(util)\n# --- util.py\ndef g(x): return x + <<1||2>>\n",
)
miss(
    "enum member as an argument",
    "import enum\nclass C(enum.Enum):\n    A = <<1||2>>\n@persist\ndef f(c): return getpid(), c.value\ndef go(): return f(C.A)\n",
)
miss(
    "named tuple as an argument",
    "import typing\nclass C(typing.NamedTuple):\n    a: int\n    def m(self): return <<1||2>>\n@persist\ndef f(c): return getpid(), c.m()\ndef go(): return f(C(1))\n",
)
miss(
    "persisted function as an argument",
    "@persist\ndef g(x): return x + <<1||2>>\n@persist\ndef f(h): return getpid(), h(1)\ndef go(): return f(g)\n",
)
hit(
    "function as an argument, comment",
    "def g(x): return x  # <<1||2>>\n@persist\ndef f(h): return getpid(), h(1)\ndef go(): return f(g)\n",
)
hit(
    "instance as an argument, other class",
    "class C: pass\nclass D:\n    a = <<1||2>>\n@persist\ndef f(c): return getpid(), 1\ndef go(): return f(C())\n",
)

# persisted methods
METHOD = "class C:\n    def __init__(self, a): self.a = a\n    @persist\n    def f(self, x): return getpid(), self.a + x<<|| + 1>>\n"
miss("persisted method", METHOD + "def go(): return C(1).f(1)\n")
miss(
    "instance of a persisted method",
    "class C:\n    def __init__(self, a): self.a = a\n    @persist\n    def f(self, x): return getpid(), self.a\ndef go(): return C(<<1||2>>).f(1)\n",
)
miss(
    "other method of a persisted method's class",
    "class C:\n    @persist\n    def f(self, x): return getpid(), self.g()\n    def g(self): return <<1||2>>\ndef go(): return C().f(1)\n",
)
miss(
    "base of a persisted method's class",
    "class B:\n    def g(self): return <<1||2>>\nclass C(B):\n    @persist\n    def f(self, x): return getpid(), self.g()\ndef go(): return C().f(1)\n",
)
miss(
    "persisted method of a base, in a subclass",
    "class B:\n    @persist\n    def f(self, x): return getpid(), self.g()\nclass C(B):\n    def g(self): return <<1||2>>\ndef go(): return C().f(1)\n",
)
miss(
    "persisted class method",
    "class C:\n    a = <<1||2>>\n    @persist\n    @classmethod\n    def f(cls, x): return getpid(), cls.a\ndef go(): return C.f(1)\n",
)
miss(
    "persisted class method of a subclass",
    "class B:\n    @classmethod\n    @persist\n    def f(cls, x): return getpid(), cls.a\nclass C(B):\n    a = <<1||2>>\ndef go(): return C.f(1)\n",
)
miss(
    "persisted static method",
    "class C:\n    @persist\n    @staticmethod\n    def f(x): return getpid(), x + <<1||2>>\ndef go(): return C.f(1)\n",
)
miss(
    "persisted property",
    "class C:\n    @persist\n    @property\n    def f(self): return getpid(), <<1||2>>\ndef go(): return C().f\n",
)
hit(
    "persisted method, comment",
    "class C:\n    @persist\n    def f(self, x): return getpid(), x  # <<1||2>>\ndef go(): return C().f(1)\n",
)

# spelled otherwise
SPELLED = "@persist\ndef f(x, y=2, *args, k=3, **more): return getpid(), (x, y, args, k, sorted(more))\n"
hit("by name", SPELLED + "def go(): return f(<<1||x=1>>)\n")
hit("default given", SPELLED + "def go(): return f(1<<||, 2>>)\n")
hit("keyword default given", SPELLED + "def go(): return f(1<<||, k=3>>)\n")
hit("keywords in another order", SPELLED + "def go(): return f(<<x=1, y=5||y=5, x=1>>)\n")
hit("further keywords in another order", SPELLED + "def go(): return f(1, <<a=1, b=2||b=2, a=1>>)\n")
hit("starred", SPELLED + "def go(): return f(<<1, 2, 3||*(1, 2), *[3]>>)\n")
hit("by a dict", SPELLED + "def go(): return f(<<1, k=4||**{'k': 4, 'x': 1}>>)\n")
miss("other keyword", SPELLED + "def go(): return f(1, <<a||b>>=1)\n")
miss("further arguments", SPELLED + "def go(): return f(1, 2, <<3||[3]>>)\n")
miss("further argument or keyword", SPELLED + "def go(): return f(1, 2, <<3||k=3>>)\n")
miss("required keyword", "@persist\ndef f(*, m): return getpid(), repr(m)\ndef go(): return f(m=<<1||True>>)\n")
hit(
    "ignored",
    "@persist(ignore=['log'])\ndef f(x, log=None): return getpid(), x\ndef go(): return f(1, <<print||log=object()>>)\n",
)
hit(
    "key of a parameter",
    "@persist(key={'x': len})\ndef f(x): return getpid(), len(x)\ndef go(): return f(<<[1]||[2]>>)\n",
)
miss(
    "key of a parameter, other",
    "@persist(key={'x': len})\ndef f(x): return getpid(), len(x)\ndef go(): return f(<<[1]||[2, 3]>>)\n",
)
hit(
    "key of the call",
    "@persist(key=lambda call: call.arguments['x'] % 2)\ndef f(x): return getpid(), x % 2\ndef go(): return f(<<1||3>>)\n",
)

# less than following
hit("code off", "def g(x): return <<1||1 + 0>>\n@persist(code='off', version=1)\ndef f(x): return getpid(), g(x)\n")
miss("code off, other version", "@persist(code='off', version=<<1||2>>)\ndef f(x): return getpid(), x\n")
miss("version", "@persist(version=<<1||2>>)\ndef f(x): return getpid(), x\n")
hit("code own, helper", "def g(x): return <<1||1 + 0>>\n@persist(code='own')\ndef f(x): return getpid(), g(x)\n")
miss("code own, own", "@persist(code='own')\ndef f(x): return getpid(), x + <<1||2>>\n")
hit(
    "code own, default",
    "@persist(code='own')\ndef f(x, seed=<<1||2>>): return getpid(), seed\ndef go(): return f(1, seed=3)\n",
)

# identity
miss("name", "@persist(name='PKG.<<a||b>>')\ndef f(x): return getpid(), x\n")
miss(
    "same-named classes",
    "class A:\n    class T:\n        @persist\n        def f(self): return getpid(), 'A'\nclass B:\n    class T:\n        @persist\n        def f(self): return getpid(), 'B'\ndef go(): return <<A||B>>().T().f()\n",
)
miss(
    "nested functions of one name",
    "def a():\n    @persist\n    def inner(x): return getpid(), 'a'\n    return inner\ndef b():\n    @persist\n    def inner(x): return getpid(), 'b'\n    return inner\ndef go(): return <<a||b>>()(1)\n",
)
miss(
    "executed code",
    "space = dict(globals())\nexec('@persist\\ndef f(x): return getpid(), x + <<1||2>>', space)\nf = space['f']\n",
)
hit(
    "executed code, formatted",
    "space = dict(globals())\nexec('@persist\\ndef f(x): return getpid(), x<<+||  +  >>1', space)\nf = space['f']\n",
)
miss("persisted lambda", "f = persist(lambda x: (getpid(), x + <<1||2>>))\n")
miss(
    "two persisted lambdas of a line",
    "f, g = persist(lambda x: (getpid(), x)), persist(lambda x: (getpid(), -x))\ndef go(): return <<f||g>>(1)\n",
)

# more of everything
miss("mutable class attribute", "class C:\n    a = [<<1||2>>]\n", "C.a")
miss(
    "class attribute that is an instance",
    "class D:\n    def m(self): return <<1||2>>\nclass C:\n    d = D()\n",
    "C.d.m()",
)
miss("handlers in a class", "def g(x): return x + <<1||2>>\nclass C:\n    table = {'g': g}\n", "C.table['g'](x)")
miss("mutable keyword default of a helper", "def g(x, *, k=[<<1||2>>]): return k\n", "g(x)")
miss("callable instance", "class C:\n    def __call__(self, x): return x + <<1||2>>\ng = C()\n", "g(x)")
miss(
    "function in a slot",
    "def g(x): return x + <<1||2>>\nclass C:\n    __slots__ = ('h',)\nc = C()\nc.h = g\n",
    "c.h(x)",
)
miss("bound method in a constant", "class C:\n    def m(self): return <<1||2>>\nm = C().m\n", "m()")
miss(
    "__missing__ of a captured dict",
    "class D(dict):\n    def __missing__(self, k): return <<1||2>>\nd = D()\n",
    "d['a']",
)
miss("__eq__ of a captured instance", "class C:\n    def __eq__(self, o): return <<True||False>>\nc = C()\n", "c == 1")
miss(
    "__str__ of an exception",
    "class E(Exception):\n    def __str__(self): return '<<a||b>>'\n@persist\ndef f(x):\n    try: raise E\n    except E as e: return getpid(), str(e)\n",
)
miss("loop variable in a default", "fs = [lambda x, n=n: x + n for n in (<<1||2>>,)]\n", "fs[0](x)")
miss(
    "partialmethod",
    "import functools\nclass C:\n    def m(self, a): return a\n    n = functools.partialmethod(m, <<1||2>>)\n",
    "C().n()",
)
miss(
    "singledispatchmethod",
    "import functools\nclass C:\n    @functools.singledispatchmethod\n    def m(self, a): return 0\n    @m.register\n    def _(self, a: int): return <<1||2>>\n",
    "C().m(1)",
)
miss(
    "alias of a generic with a class",
    "class C:\n    def m(self): return <<1||2>>\nT = list[C]\n",
    "T.__args__[0]().m()",
)
miss("union with a class", "class C:\n    def m(self): return <<1||2>>\nT = C | int\n", "T.__args__[0]().m()")
miss("literal", "import typing\nT = typing.Literal['<<a||b>>']\n", "T.__args__")
miss(
    "star import by __all__",
    "from .util import *\n@persist\ndef f(x):\n    try: return getpid(), h(x)\n    except NameError: return getpid(), 'none'\n# --- util.py\n__all__ = ['g'<<||, 'h'>>]\ndef g(x): return x\ndef h(x): return x\n",
)
miss(
    "package's re-export",
    "from . import sub\n"
    + F
    + "sub.g(x)\n# --- sub/__init__.py\nfrom .a import g\n# --- sub/a.py\ndef g(x): return x + <<1||2>>\n",
)
miss(
    "chain of modules",
    "from . import sub\n"
    + F
    + "sub.a.b.g(x)\n# --- sub/__init__.py\nfrom . import a\n# --- sub/a.py\nfrom . import b\n# --- sub/b.py\ndef g(x): return x + <<1||2>>\n",
)
miss("library patched", "import json\ndef mine(x): return <<1||2>>\njson.mine = mine\n", "json.mine(x)")
miss("context variable's default", "import contextvars\nv = contextvars.ContextVar('v', default=<<1||2>>)\n", "v.get()")
miss("context variable's value", "import contextvars\nv = contextvars.ContextVar('v')\nv.set(<<1||2>>)\n", "v.get()")
miss(
    "import inside by a condition",
    "@persist\ndef f(x):\n    if x:\n        from .a import g\n    else:\n        from .b import g\n    return getpid(), g(x)\n# --- a.py\ndef g(x): return x + <<1||2>>\n# --- b.py\ndef g(x): return x\n",
)
miss(
    "base of a class imported inside",
    "@persist\ndef f(x):\n    from .a import C\n    return getpid(), C().m()\n# --- a.py\nfrom .b import B\nclass C(B): pass\n# --- b.py\nclass B:\n    def m(self): return <<1||2>>\n",
)
miss(
    "decorator of a function imported inside",
    "@persist\ndef f(x):\n    from .a import g\n    return getpid(), g(x)\n# --- a.py\nfrom .b import deco\n@deco\ndef g(x): return x\n# --- b.py\ndef deco(g): return lambda x: g(x) + <<1||2>>\n",
)
miss(
    "made by a factory of a module imported inside",
    "@persist\ndef f(x):\n    from .a import g\n    return getpid(), g(x)\n# --- a.py\nfrom .b import make\ng = make(3)\n# --- b.py\ndef make(n): return lambda x: x + n + <<1||2>>\n",
)
miss(
    "chain of modules imported inside",
    "@persist\ndef f(x):\n    from . import sub\n    return getpid(), sub.a.g(x)\n# --- sub/__init__.py\nfrom . import a\n# --- sub/a.py\ndef g(x): return x + <<1||2>>\n",
)
miss(
    "package's __init__ of a module imported inside",
    "@persist\ndef f(x):\n    from .sub import a\n    return getpid(), a.g(x)\n# --- sub/__init__.py\nfrom . import a\na.K = <<1||2>>\n# --- sub/a.py\ndef g(x): return x + K\n",
)
miss(
    "getattr on a module imported inside",
    "@persist\ndef f(x):\n    from . import a\n    return getpid(), getattr(a, 'gh'[0])(x)\n# --- a.py\ndef g(x): return x + <<1||2>>\n",
)
miss(
    "module imported inside, in a local",
    "@persist\ndef f(x):\n    from . import a\n    b = a\n    return getpid(), b.g(x)\n# --- a.py\ndef g(x): return x + <<1||2>>\n",
)
miss(
    "module imported inside, as an argument of a helper",
    "def h(m, x): return m.g(x)\n@persist\ndef f(x):\n    from . import a\n    return getpid(), h(a, x)\n# --- a.py\ndef g(x): return x + <<1||2>>\n",
)
miss(
    "import inside a method",
    "class C:\n    def m(self):\n        from .a import g\n        return g(1)\n"
    + F
    + "C().m()\n# --- a.py\ndef g(x): return x + <<1||2>>\n",
)
miss(
    "import inside a function as an argument",
    "def h(x):\n    from .a import g\n    return g(x)\n@persist\ndef f(h): return getpid(), h(1)\ndef go(): return f(h)\n# --- a.py\ndef g(x): return x + <<1||2>>\n",
)
miss(
    "import inside a nested function",
    "@persist\ndef f(x):\n    def h():\n        from .a import g\n        return g(x)\n    return getpid(), h()\n# --- a.py\ndef g(x): return x + <<1||2>>\n",
)
miss(
    "order of enum members",
    "import enum\nclass C(enum.Enum):\n    <<A = 1\n    B = 2||B = 2\n    A = 1>>\n",
    "[c.name for c in C]",
)
miss(
    "order of fields of a typed dict",
    "import typing\nclass C(typing.TypedDict):\n    <<a: int\n    b: int||b: int\n    a: int>>\n",
    "list(C.__annotations__)",
)
miss(
    "order of fields of attrs",
    "import attr\n@attr.s\nclass C:\n    <<a = attr.ib(default=1)\n    b = attr.ib(default=1)||b = attr.ib(default=1)\n    a = attr.ib(default=1)>>\n",
    "repr(C())",
)
miss(
    "order of fields of pydantic",
    "import pydantic\nclass C(pydantic.BaseModel):\n    <<a: int = 1\n    b: int = 1||b: int = 1\n    a: int = 1>>\n",
    "repr(C())",
)
miss(
    "pydantic config",
    "import pydantic\nclass C(pydantic.BaseModel):\n    model_config = {'extra': '<<ignore||allow>>'}\n    a: int = 1\n",
    "repr(C(b=2))",
)
miss(
    "pydantic constraint",
    "import pydantic\nclass C(pydantic.BaseModel):\n    a: int = pydantic.Field(1, ge=<<0||5>>)\n@persist\ndef f(x):\n    try: return getpid(), C(a=2).a\n    except ValueError: return getpid(), 'invalid'\n",
)
miss(
    "pydantic submodel",
    "import pydantic\nclass D(pydantic.BaseModel):\n    a: int = <<1||2>>\nclass C(pydantic.BaseModel):\n    d: D = D()\n",
    "C.model_validate({'d': {}}).d.a",
)
miss(
    "pydantic submodel by annotation",
    "import pydantic\nclass D(pydantic.BaseModel):\n    a: int = <<1||2>>\nclass C(pydantic.BaseModel):\n    d: D\n",
    "C.model_validate({'d': {}}).d.a",
)
miss(
    "pydantic computed field",
    "import pydantic\nclass C(pydantic.BaseModel):\n    @pydantic.computed_field\n    @property\n    def a(self) -> int: return <<1||2>>\n",
    "C().a",
)
miss(
    "pydantic validator in Annotated",
    "import pydantic, typing\ndef v(a): return a + <<1||2>>\nclass C(pydantic.BaseModel):\n    a: typing.Annotated[int, pydantic.AfterValidator(v)]\n",
    "C(a=1).a",
)
miss(
    "attrs validator",
    "import attr\ndef v(s, a, value):\n    if value > <<0||5>>: raise ValueError\n@attr.define\nclass C:\n    a: int = attr.field(validator=v)\n@persist\ndef f(x):\n    try: return getpid(), C(3).a\n    except ValueError: return getpid(), 'invalid'\n",
)
miss(
    "attrs factory",
    "import attr\nclass C: pass\n@attr.define\nclass C:\n    a: list = attr.Factory(lambda: [<<1||2>>])\n",
    "C().a",
)
miss(
    "attrs default by a method",
    "import attr\n@attr.define\nclass C:\n    a: int = attr.field()\n    @a.default\n    def _d(self): return <<1||2>>\n",
    "C().a",
)
miss(
    "dataclass field's option",
    "import dataclasses\n@dataclasses.dataclass\nclass C:\n    a: int = dataclasses.field(default=1, repr=<<True||False>>)\n",
    "repr(C())",
)
miss(
    "dataclass __post_init__",
    "import dataclasses\n@dataclasses.dataclass\nclass C:\n    a: int = 1\n    def __post_init__(self): self.a += <<1||2>>\n",
    "C().a",
)
miss(
    "dataclass inherits a default",
    "import dataclasses\n@dataclasses.dataclass\nclass B:\n    a: int = <<1||2>>\n@dataclasses.dataclass\nclass C(B):\n    b: int = 3\n",
    "C().a",
)
miss("make_dataclass", "import dataclasses\nC = dataclasses.make_dataclass('C', [('a', int, <<1||2>>)])\n", "C().a")
miss("enum by functional form", "import enum\nC = enum.Enum('C', {'A': <<1||2>>})\n", "C.A.value")
miss(
    "enum _missing_",
    "import enum\nclass C(enum.Enum):\n    A = 1\n    B = 2\n    @classmethod\n    def _missing_(cls, v): return cls.<<A||B>>\n",
    "C(9).name",
)
miss(
    "enum __str__",
    "import enum\nclass C(enum.Enum):\n    A = 1\n    def __str__(self): return '<<a||b>>'\n",
    "str(C.A)",
)
miss("str enum's base", "import enum\nclass C(<<str, enum.Enum||enum.StrEnum>>):\n    A = 'a'\n", "str(C.A)")
miss("flag boundary", "import enum\nclass C(enum.Flag, boundary=enum.<<KEEP||CONFORM>>):\n    A = 1\n", "C(3).value")
miss(
    "ABC's abstract method",
    "import abc\nclass B(abc.ABC):\n    <<||@abc.abstractmethod>>\n    def m(self): return 1\nclass C(B): pass\n@persist\ndef f(x):\n    try: return getpid(), C().m()\n    except TypeError: return getpid(), 'abstract'\n",
)
miss(
    "virtual subclass", "import abc\nclass B(abc.ABC): pass\nclass C: pass\n<<||B.register(C)>>\n", "isinstance(C(), B)"
)
miss(
    "inner function's decorator",
    "def deco(g): return lambda x: g(x) + <<1||2>>\n@persist\ndef f(x):\n    @deco\n    def h(x): return x\n    return getpid(), h(x)\n",
)
miss(
    "inner function's default",
    "A = <<1||2>>\n@persist\ndef f(x):\n    def h(x, a=A): return a\n    return getpid(), h(x)\n",
)
miss(
    "inner class's base",
    "class B:\n    def m(self): return <<1||2>>\n@persist\ndef f(x):\n    class C(B): pass\n    return getpid(), C().m()\n",
)
miss("inner comprehension's global", "A = <<1||2>>\n", "[A + y for y in (1,)]")
miss("global in an f-string", "A = <<1||2>>\n", "f'{A:{A}}'")
miss("global in a nested f-string", "A = <<1||2>>\n", "f'{f\"{A}\"}'")
miss("global in a lambda's default", "A = <<1||2>>\n", "(lambda a=A: a)()")
miss(
    "global in a pattern",
    "class K:\n    A = <<1||2>>\n@persist\ndef f(x):\n    match x:\n        case K.A: return getpid(), 'yes'\n        case _: return getpid(), 'no'\n",
)
miss(
    "class in a pattern",
    "class K:\n    __match_args__ = ('<<a||b>>',)\n    def __init__(self): self.a, self.b = 1, 2\n@persist\ndef f(x):\n    match K():\n        case K(1): return getpid(), 'yes'\n        case _: return getpid(), 'no'\n",
)
miss(
    "global in an except",
    "class A(Exception): pass\nclass B(<<A||Exception>>): pass\n@persist\ndef f(x):\n    try: raise B\n    except A: return getpid(), 'A'\n    except Exception: return getpid(), 'B'\n",
)
miss(
    "global deleted and set",
    "A = 1\ndel A\n<<||A = 2>>\n@persist\ndef f(x):\n    try: return getpid(), A\n    except NameError: return getpid(), 'none'\n",
)
miss(
    "shadowed in a class body",
    "A = <<1||2>>\n@persist\ndef f(x):\n    class C:\n        A = A\n    return getpid(), C.A\n",
)
miss("read before it is a local of a comprehension", "A = [<<1||2>>]\n", "[A for A in A]")
miss(
    "global read after a nested global statement",
    "A = <<1||2>>\n@persist\ndef f(x):\n    A = 5\n    def g():\n        global A\n        return A\n    return getpid(), g()\n",
)
miss(
    "nonlocal",
    "def make():\n    n = <<1||2>>\n    def add():\n        nonlocal n\n        n += 0\n        return n\n    return add\ng = make()\n",
    "g()",
)
miss(
    "cell of a cell",
    "def a(n):\n    def b():\n        def c(): return n\n        return c\n    return b\ng = a(<<1||2>>)\n",
    "g()()",
)
miss(
    "function of a cell's object",
    "class K:\n    def __init__(self, g): self.g = g\ndef make(k): return lambda x: k.g(x)\ndef h(x): return x + <<1||2>>\ng = make(K(h))\n",
    "g(x)",
)
miss("string to a docstring that is read", "def g():\n    '''<<a||b>>'''\n", "g.__doc__")
miss("docstring of a class that is read", "class C:\n    '''<<a||b>>'''\n", "C.__doc__")
miss("annotations that are read", "def g(x: <<int||str>>): pass\n", "str(g.__annotations__)")
miss("name of a function that is read", "def <<g||h>>(x): return x\nk = <<g||h>>\n", "k.__name__")
miss("name of a class that is read", "class <<C||D>>: pass\nk = <<C||D>>\n", "k.__name__")
miss(
    "numpy ufunc made of a function",
    "import numpy\ndef g(x): return x + <<1||2>>\nu = numpy.vectorize(g)\n",
    "u([1]).tolist()",
)
miss("operator object with a function", "import operator\nG = operator.<<itemgetter(0)||itemgetter(1)>>\n", "G([1, 2])")
miss("method of a builtin with data", "A = [<<1||2>>].copy\n", "A()")
miss("sorted by a helper", "def k(x): return <<x||-x>>\n", "sorted([1, 2], key=k)")
miss("reduce by a helper", "import functools\ndef k(a, b): return a <<+||->> b\n", "functools.reduce(k, [1, 2])")
miss(
    "thread pool with a helper",
    "from concurrent.futures import ThreadPoolExecutor\ndef g(x): return x + <<1||2>>\n@persist\ndef f(x):\n    with ThreadPoolExecutor(1) as pool:\n        return getpid(), list(pool.map(g, [x]))\n",
)
miss("queue of data", "import collections\nQ = collections.deque([<<1||2>>])\n", "list(Q)")
miss("default dict's factory", "import collections\nD = collections.defaultdict(lambda: <<1||2>>)\n", "D.copy()['a']")
miss("chain map of constants", "import collections\nA = collections.ChainMap({'a': <<1||2>>})\n", "A['a']")
miss("proxy of constants", "import types\nA = types.MappingProxyType({'a': <<1||2>>})\n", "A['a']")
miss("namespace of constants", "import types\nA = types.SimpleNamespace(a=<<1||2>>)\n", "A.a")
miss("cyclic data", "A = [<<1||2>>]\nA.append(A)\n", "A[0]")
miss(
    "data and code in a cycle",
    "class N:\n    def __init__(self): self.g = g\n    def m(self): return <<1||2>>\ndef g(x): return n.m()\nn = N()\n",
    "n.g(x)",
)
miss("frozenset of functions", "def g(x): return x + <<1||2>>\nA = frozenset([g])\n", "[h(x) for h in A]")
miss("set of classes", "class C:\n    a = <<1||2>>\nA = {C}\n", "[c.a for c in A]")
miss("functions as keys", "def g(x): return x + <<1||2>>\nA = {g: 1}\n", "[h(x) for h in A]")
miss("swapped functions", "def g(x): return 1\ndef h(x): return 2\nA = <<(g, h)||(h, g)>>\n", "A[0](x)")
miss(
    "swapped methods",
    "class C:\n    def g(self): return 1\n    def h(self): return 2\n    <<||g, h = h, g>>\n",
    "C().g()",
)
miss(
    "swapped instances",
    "class C:\n    def __init__(self, a): self.a = a\na, b = C(1), C(2)\nA = <<[a, b]||[b, a]>>\n",
    "A[0].a",
)
miss(
    "moved between two classes",
    "class A:\n    <<k = 1||>>\n    z = 0\nclass B:\n    <<||k = 1>>\n    z = 0\n",
    "(hasattr(A, 'k'), hasattr(B, 'k'))",
)
miss("moved between two functions", "def g(x): return x<< + 1||>>\ndef h(x): return x<<|| + 1>>\n", "(g(x), h(x))")
miss("moved between two constants", "A = <<1||2>>\nB = <<2||1>>\n", "(A, B)")
miss(
    "moved between two modules",
    "from . import a, b\n" + F + "(a.K, b.K)\n# --- a.py\nK = <<1||2>>\n# --- b.py\nK = <<2||1>>\n",
)
miss("moved between two defaults", "def g(a=<<1||2>>, b=<<2||1>>): return a, b\n", "g()")
miss("moved between two cells", "def make(a, b): return lambda: (a, b)\ng = make(<<1, 2||2, 1>>)\n", "g()")
miss(
    "one name instead of another of the same value",
    "A = 1\nB = 1\nC = B\n@persist\ndef f(x):\n    return getpid(), x + <<A||-A>>\n",
)
miss(
    "same function under two names", "def g(x): return 1\ndef h(x): return 1 + <<0||1>>\nA, B = g, h\n", "(A(x), B(x))"
)
miss("two equal constants, one changed", "A = 1\nB = <<1||2>>\n", "A + B")
miss("two equal functions, one changed", "def g(x): return 1\ndef h(x): return <<1||2>>\n", "(g(x), h(x))")
G = "import inspect\ndef g(x):\n    # <<one||two>>\n    return x\n"
miss("source of a helper", G, "inspect.getsource(g)")
miss("source of a helper, imported otherwise", "from inspect import getsource as s\n" + G, "s(g)")
miss("source of a helper, asked by another", G + "def h(): return inspect.getsource(g)\n", "h()")
miss(
    "source of a helper, asked inside",
    G + "@persist\ndef f(x):\n    import inspect as i\n    return getpid(), i.getsource(g)\n",
)
miss("source of a class", "import inspect\nclass C:\n    # <<one||two>>\n    a = 1\n", "inspect.getsource(C)")
miss(
    "source of a module",
    "import inspect\nfrom . import util\n" + F + "inspect.getsource(util)\n# --- util.py\n# <<one||two>>\n",
)
miss("docstring asked for", "import inspect\ndef g():\n    '<<a||b>>'\n", "inspect.getdoc(g)")
miss("signature asked for", "import inspect\ndef g(x: <<int||str>>): pass\n", "str(inspect.signature(g))")
miss("type hints asked for", "import typing\ndef g(x: <<int||str>>): pass\n", "str(typing.get_type_hints(g))")
hit("comment where only the signature is asked for", G, "str(inspect.signature(g))")
UFUNC = "import numpy\nK = <<1||2>>\ndef g(x): return x + K\n"
miss("ufunc of a function", UFUNC + "u = numpy.frompyfunc(g, 1, 1)\n", "u(x)")
miss("ufunc of a function in a list", UFUNC + "u = [numpy.frompyfunc(g, 1, 1)]\n", "u[0](x)")
miss(
    "ufunc of a function as argument",
    UFUNC + "@persist\ndef h(u): return getpid(), u(1)\ndef go(): return h(numpy.frompyfunc(g, 1, 1))\n",
)
miss("vectorized function of a type", UFUNC + "u = numpy.vectorize(g, otypes=[int])\n", "u([x]).tolist()")
for name, lines in {
    "import_module": "from importlib import import_module as im; return getpid(), im('PKG.util').D",
    "import_module of an alias": "import importlib as il; im = il.import_module; return getpid(), im('PKG.util').D",
    "import_module by keyword": "import importlib; return getpid(), importlib.import_module(name='PKG.util').D",
    "import_module by a name": "import importlib; return getpid(), importlib.import_module(NAME).D",
    "import_module by a table": "import importlib; return getpid(), importlib.import_module(TABLE['a']).D",
    "import_module in a helper": "return getpid(), load('PKG.util').D",
    "import_module of a package": "import importlib; return getpid(), importlib.import_module('.util', 'PKG').D",
    "import_module by map": "from importlib import import_module; return getpid(), [*map(import_module, ['PKG.util'])][0].D",
    "partial of import_module": "import functools, importlib as i; return getpid(), functools.partial(i.import_module, 'PKG.util')().D",
    "__import__": "return getpid(), __import__('PKG.util', fromlist=['D']).D",
    "locate": "import pydoc; return getpid(), pydoc.locate('PKG.util').D",
    "resolve_name": "from pkgutil import resolve_name as r; return getpid(), r('PKG.util:D')",
    "run_module": "import runpy; return getpid(), runpy.run_module('PKG.util')['D']",
}.items():
    miss(
        name + " inside",
        "import importlib\nNAME = 'PKG.util'\nTABLE = {'a': NAME}\ndef load(name): return importlib.import_module(name)\n"
        f"@persist\ndef f(x):\n    {lines}\n# --- util.py\nD = <<1||2>>\n",
    )
hit(
    "module that is looked up nowhere",
    "import importlib\n@persist\ndef f(x):\n    return getpid(), (importlib.import_module('PKG.util').D, 'PKG.other')\n"
    "# --- util.py\nD = 1\n# --- other.py\nD = <<1||2>>\n",
)
miss("flag of a library", "import json\njson.PKG = <<1||2>>\n", "json.PKG")
miss("flag of a library by type", "import json\njson.PKG = <<1||True>>\n", "repr(json.PKG)")
miss("flag of a library by getattr", "import json\n<<||json.PKG = 1>>\n", "getattr(json, 'PKG', 0)")
miss("flag of a library by hasattr", "import json\n<<||json.PKG = 1>>\n", "hasattr(json, 'PKG')")
miss("flag of a compiled library", "import math\nmath.PKG = <<1||2>>\n", "math.PKG")
miss("flag of a package", "import numpy\nnumpy.linalg.PKG = <<1||2>>\n", "numpy.linalg.PKG")
miss("flag of sys", "import sys\nsys.PKG = <<1||2>>\n", "sys.PKG")
miss("flag of sys by getattr", "import sys\n<<||sys.PKG = 1>>\n", "getattr(sys, 'PKG', 0)")
miss("flag among the builtins", "import builtins\nbuiltins.PKG = <<1||2>>\n", "PKG")
miss("flag of builtins", "import builtins\nbuiltins.PKG = <<1||2>>\n", "builtins.PKG")
miss("helper among the builtins", "import builtins\nbuiltins.PKG = lambda x: <<1||2>>\n", "PKG(x)")
miss("dict of a library", "import json\njson.PKG = {'a': <<1||2>>}\n", "json.PKG['a']")
miss("object of a library", "import json\nclass C: pass\njson.PKG = C()\njson.PKG.a = <<1||2>>\n", "json.PKG.a")
miss(
    "namespace of a library",
    "import json, types\njson.PKG = types.SimpleNamespace(a=<<1||2>>)\n",
    "json.PKG.a",
)
miss("array of a library", "import json, numpy\njson.PKG = numpy.array([<<1||2>>])\n", "json.PKG.sum()")
miss("flag of a library's class", "import json\njson.JSONDecoder.PKG = <<1||2>>\n", "json.JSONDecoder.PKG")
miss(
    "flag of a library's class imported",
    "from json import JSONDecoder\nJSONDecoder.PKG = <<1||2>>\n",
    "JSONDecoder.PKG",
)
miss(
    "method put into a library's class",
    "import json\njson.JSONDecoder.PKG = staticmethod(lambda x: <<1||2>>)\n",
    "json.JSONDecoder.PKG(x)",
)
miss("constant of a library changed", "import colorsys\n<<||colorsys.ONE_SIXTH = 5>>\n", "colorsys.ONE_SIXTH")
miss(
    "function of a library wrapped",
    "import colorsys, functools\nold = colorsys.rgb_to_hls\n@functools.wraps(old)\ndef g(*a): return old(*a), <<1||2>>\n"
    "colorsys.rgb_to_hls = g\n",
    "colorsys.rgb_to_hls(1, 2, 3)",
)
miss(
    "function of a library by a partial",
    "import colorsys, functools\ndef g(a, *b): return a\ncolorsys.hls_to_rgb = functools.partial(g, <<1||2>>)\n",
    "colorsys.hls_to_rgb(1)",
)
miss(
    "function of a library by a cached one",
    "import colorsys, functools\n@functools.lru_cache\ndef g(a): return <<1||2>>\ncolorsys.yiq_to_rgb = g\n",
    "colorsys.yiq_to_rgb(1)",
)
miss(
    "function of a library by another of it",
    "import colorsys\n<<||colorsys.rgb_to_yiq = colorsys.rgb_to_hsv>>\n",
    "colorsys.rgb_to_yiq(1, 2, 3)",
)
miss(
    "function of a library by one of another",
    "import colorsys, operator\n<<||colorsys.hsv_to_rgb = max>>\n",
    "colorsys.hsv_to_rgb(1, 0, 0)",
)
miss(
    "class of a library by one of the project",
    "import sched, enum\nclass C(sched.scheduler):\n    a = <<1||2>>\nsched.scheduler = C\n",
    "sched.scheduler.a",
)
miss(
    "flag of a library imported inside",
    "import json\njson.PKG = <<1||2>>\n@persist\ndef f(x):\n    import json\n    return getpid(), json.PKG\n",
)
miss(
    "flag of a library from an import inside",
    "import json\njson.PKG = <<1||2>>\n@persist\ndef f(x):\n    from json import PKG as K\n    return getpid(), K\n",
)
miss(
    "function of a library imported inside",
    "import json\nold = json.dumps\njson.PKG = lambda x: <<1||2>>\n@persist\ndef f(x):\n    import json as j\n    return getpid(), j.PKG(x)\n",
)
hit("library attribute used elsewhere", "import json\njson.PKG = <<1||2>>\njson.PKG2 = 1\n", "json.PKG2")
hit(
    "flag of a library only written",
    "import json\njson.PKG = <<1||2>>\n@persist\ndef f(x):\n    json.PKG = x\n    return getpid(), x\n",
)
hit("how the program was started", "import sys\nsys.argv.append('<<a||b>>')\n", "len(sys.argv) > 0 and x")
hit(
    "version of a library read",
    "import numpy\nnumpy.__version__ = numpy.__version__ + '<<||.1>>'\n",
    "numpy.__version__ > '' and x",
)
hit("library attribute unused", "import json\njson.PKG = <<1||2>>\n", "json.dumps(x)")
hit(
    "order of enum methods",
    "import enum\nclass C(enum.Enum):\n    A = 1\n<<    def g(self): return 1\n    def h(self): return 2||    def h(self): return 2\n    def g(self): return 1>>\n",
    "C.A.g()",
)
hit("value set again", "A = 1\n<<||A = 1>>\n", "A")
hit("alias more", "def g(x): return x\n<<||h = g>>\n", "g(x)")
hit("helper moved in its module", "<<def g(x): return x||>>\nA = 1\n<<||def g(x): return x>>\n", "g(x) + A")
hit(
    "type parameter of an annotation",
    "import typing\ndef g(x<<: typing.Any||: 'typing.Optional[int]'>>): return x\n",
    "g(x)",
)
hit(
    "star import's other names",
    "from .util import *\n" + F + "g(x)\n# --- util.py\ndef g(x): return x\ndef h(x): return <<1||2>>\n<<||K = 3>>\n",
)
hit(
    "other key of a captured module",
    "from . import util\nALL = {'g': util.g}\n" + F + "ALL['g'](x)\n# --- util.py\ndef g(x): return x\nK = <<1||2>>\n",
)
hit("unrelated statement", "<<||import os; os.getcwd()>>\n", "x")
hit(
    "unused of a package",
    "from .sub import a\n" + F + "a.g(x)\n# --- sub/__init__.py\nK = <<1||2>>\n# --- sub/a.py\ndef g(x): return x\n",
)
hit("lock", "import threading\nL = threading.<<Lock()||Lock()>>\n@persist\ndef f(x):\n    with L: return getpid(), x\n")

miss("names that memo might use", "check = outer = s = k = state = <<1||2>>\n", "(check, outer, s, k, state)")

RUNNER = """
import importlib, json, os, sys
import memo

root, order, seen = sys.argv[1], sys.argv[2], {}
sys.path.insert(0, root)
names = sorted(n for n in os.listdir(root) if n.startswith("case"))
for name in names if order == "forwards" else names[::-1]:
    try:
        app = importlib.import_module(name + ".app")
        go = getattr(app, "go", None) or (lambda: app.f(1))
        process, value = go()
        again = go()
        with memo.mode("off"):
            expected = go()[1]
        seen[name] = [process == os.getpid(), repr(value), repr(expected), again == (process, value)]
    except Exception as error:
        raise RuntimeError(name) from error
json.dump(seen, sys.stdout)
"""


def write(root: Path, side: int, step: int = 1) -> None:
    """Every program, or every so many, as they are before (side 1) or after (side 2) their edits."""
    for number, (_, _, text) in list(enumerate(CASES))[::step]:
        folder = root / f"case{number:03}"
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("")
        text = EDIT.sub(lambda found: found[side], text).replace("PKG", folder.name)
        name = "app.py"
        for part in re.split(r"^# --- (.*)\n", HEADER + text, flags=re.M):
            if part.endswith(".py"):
                name = part
                continue
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(part)


def run(root: Path, place: Path, seed: str, order: str, *flags: str) -> dict[str, list[str | bool]]:
    done = subprocess.run(
        [sys.executable, *flags, "-B", "-W", "error::memo.MemoWarning", "-c", RUNNER, str(root), order],
        capture_output=True, text=True, timeout=110, env={**os.environ, "PYTHONHASHSEED": seed, "MEMO_DIR": str(place), "PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str | bool]] = json.loads(done.stdout)
    return found


if __name__ != "__main__":
    import pytest

    Found = dict[str, list[str | bool]]
    PART = 3  # of which one is run a third time by default

    @pytest.fixture(scope="module")
    def places(once: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Found]]:
        """Where the programs are, and what was seen before their edits and after them."""

        def made() -> tuple[str, list[Found]]:
            top = tmp_path_factory.mktemp("code")
            write(top / "before", 1)
            write(top / "after", 2)
            return str(top), [
                run(top / "before", top / "place", "1", "forwards"),
                run(top / "after", top / "place", "2", "backwards"),
            ]

        top, found = once("soundness-code", made)
        return Path(top), found

    def test_there_are_many() -> None:
        assert len(CASES) >= 250

    @pytest.mark.parametrize(("number", "expected", "name"), [(n, e, name) for n, (e, name, _) in enumerate(CASES)])
    def test_edit(places: tuple[Path, list[Found]], number: int, expected: str, name: str) -> None:
        first, second = (run[f"case{number:03}"] for run in places[1])
        for _, value, truth, repeated in (first, second):
            assert value == truth, f"stale: {value} instead of {truth}"
            assert repeated, "needless: computed twice in one process"
        assert first[0], "nothing was stored yet"
        assert second[0] is (expected == MISS), expected

    def test_some_as_they_were(places: tuple[Path, list[Found]]) -> None:
        """In another folder, under another seed, and under -O at the same time."""
        top = places[0]
        write(top / "part", 1, PART)
        part = run(top / "part", top / "place", "3", "backwards", "-O")
        assert len(part) == len(CASES[::PART])
        assert wrong(part) == {}

    @pytest.mark.slow
    def test_all_as_they_were(places: tuple[Path, list[Found]]) -> None:
        """Before the edit in another folder, after it under -O."""
        top = places[0]
        write(top / "elsewhere" / "before", 1)
        for found in (
            run(top / "elsewhere" / "before", top / "place", "3", "backwards"),
            run(top / "after", top / "place", "4", "forwards", "-O"),
        ):
            assert len(found) == len(CASES)
            assert wrong(found) == {}

    def wrong(found: Found) -> dict[str, str]:
        """What is not as it must be where nothing is new, by the name of its case."""
        seen = {}
        for folder, (computed, value, truth, repeated) in found.items():
            name = CASES[int(folder.removeprefix("case"))][1]
            if value != truth:
                seen[name] = f"stale: {value} instead of {truth}"
            elif computed or not repeated:
                seen[name] = f"needless: {'the code is as it was' if computed else 'computed twice in one process'}"
        return seen
