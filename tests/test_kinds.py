"""Every kind of callable is persisted, or raises at decoration and says why not."""

from __future__ import annotations

import functools
import gc
import inspect
import itertools
import math
import operator
import subprocess
import sys
import textwrap
import weakref
from pathlib import Path

import numpy as np
import pytest

from memo import Cache, OptionError


@pytest.fixture(params=["sqlite", "files"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Cache:
    return Cache(tmp_path / "place", storage=request.param)


class Log:
    """An ignored argument that counts what runs."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    def __call__(self, what: object) -> None:
        self.seen.append(what)


def test_methods_count_state_and_class_code(cache: Cache) -> None:
    log = Log()

    class Model:
        def __init__(self, rate):
            self.rate = rate

        def scale(self):
            return 10

        @cache.persist(ignore=["log"])
        def predict(self, x, log=log):
            log(x)
            return self.rate * x * self.scale()

    class Other(Model):
        def scale(self):
            return 100

    assert Model(2).predict(1) == Model(2).predict(1) == 20
    assert Model(3).predict(1) == 30
    assert Other(2).predict(1) == 200, "the class of self counts, with its code"
    changed = Model(2)
    assert changed.predict(1) == 20
    changed.rate = 5
    assert changed.predict(1) == 50
    assert log.seen == [1, 1, 1, 1]


def test_instances_can_be_collected(cache: Cache) -> None:
    class Model:
        rate = 2

        @cache.persist
        def predict(self, x):
            return [self.rate * x]

    model = Model()
    assert model.predict(1) == model.predict(1) == [2]
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_self_ignored_or_by_a_function_of_it(cache: Cache) -> None:
    class Session:
        def __init__(self, name):
            self.name, self.connection = name, object()

        @cache.persist(ignore=["self"])
        def anyone(self, x):
            return self.name, x

        @cache.persist(key={"self": lambda self: self.name})
        def by_name(self, x):
            return self.name, x

    one, two, alike = Session("one"), Session("two"), Session("one")
    assert one.anyone(1) == two.anyone(1) == ("one", 1)
    assert one.by_name(1) == ("one", 1)
    assert two.by_name(1) == ("two", 1)
    assert alike.by_name(1) == ("one", 1)
    assert Session.by_name.cache_info()[:2] == (1, 2)
    assert alike.by_name.is_cached(1)


def test_class_and_static_methods_in_either_order_and_per_subclass(cache: Cache) -> None:
    class Base:
        factor = 1

        @cache.persist
        @classmethod
        def inner(cls, x):
            return cls.factor * x

        @classmethod
        @cache.persist
        def outer(cls, x):
            return cls.factor * x

        @cache.persist
        @staticmethod
        def static_inner(x):
            return -x

        @staticmethod
        @cache.persist
        def static_outer(x):
            return -x

    class Child(Base):
        factor = 2

    for method in ("inner", "outer"):
        assert [getattr(cls, method)(3) for cls in (Base, Child, Base, Child)] == [3, 6, 3, 6]
    assert Child.inner.is_cached(3)
    assert not Child.inner.is_cached(4)
    assert Base.static_inner(1) == Child().static_inner(1) == Base.static_outer(1) == Base().static_outer(1) == -1
    assert Base.static_inner.cache_info()[:2] == (1, 1)


def test_properties(cache: Cache) -> None:
    log = Log()

    class Model:
        def __init__(self, rate):
            self.rate = rate

        @property
        @cache.persist(ignore=["self"], name="outer")
        def over(self):
            log(self.rate)
            return self.rate

        @cache.persist(key={"self": lambda self: self.rate})
        @property
        def under(self):
            return self.rate * 2

        @cache.persist(key={"self": lambda self: self.rate})
        @functools.cached_property
        def once(self):
            return self.rate * 3

    assert [Model(1).under, Model(2).under, Model(1).under] == [2, 4, 2]
    model = Model(5)
    assert (model.once, model.once, Model(5).once) == (15, 15, 15)
    assert isinstance(inspect.getattr_static(Model, "under"), property)


def test_lambdas_and_closures_are_entries_of_their_own(cache: Cache) -> None:
    double, triple = cache.persist(lambda x: x * 2), cache.persist(lambda x: x * 3)
    assert (double(2), triple(2), double(2)) == (4, 6, 4)

    def make(n):
        @cache.persist
        def add(x):
            return x + n

        return add

    one, ten = make(1), make(10)
    assert (one(1), ten(1), one(1), make(10)(1)) == (2, 11, 2, 11)
    assert len(one.entries()) == 2
    assert make(1).is_cached(1)
    assert not make(2).is_cached(1)


def test_partials(cache: Cache) -> None:
    log = Log()

    def power(base, exponent, log=log):
        log((base, exponent))
        return base**exponent

    square = cache.persist(functools.partial(power, exponent=2), ignore=["log"])
    of_two = cache.persist(functools.partial(power, 2), ignore=["log"])
    assert square(3) == square(base=3) == 9
    assert of_two(3) == of_two(exponent=3) == 8
    assert square(2) == of_two(2) == 4, "the same call, however it is filled in"
    assert log.seen == [(3, 2), (2, 3), (2, 2)]
    assert square.is_cached(3)
    assert not square.is_cached(4)
    assert square.get_or("nothing", 4) == "nothing"
    square.set("set", 4)
    assert square(4) == "set"
    assert str(inspect.signature(of_two)).startswith("(exponent, log=")


def test_callable_objects(cache: Cache) -> None:
    class Scale:
        def __init__(self, factor):
            self.factor = factor

        def __call__(self, x):
            return self.factor * x

    two, three = cache.persist(Scale(2)), cache.persist(Scale(3))
    assert (two(5), three(5), two(5)) == (10, 15, 10)
    assert two.is_cached(5)
    assert not three.is_cached(6)
    assert cache.persist(Scale(2)).is_cached(5)
    any_scale = cache.persist(Scale(7), ignore=["self"], name="any")
    assert any_scale(1) == cache.persist(Scale(8), ignore=["self"], name="any")(1) == 7


def test_c_functions_need_a_version(cache: Cache) -> None:
    for function in (math.hypot, len, operator.itemgetter(1), "text".upper, np.add, [].append):
        with pytest.raises(OptionError, match=r"whose code memo can't see: say with version="):
            cache.persist(function)
    hypot = cache.persist(math.hypot, version=1)
    assert hypot(3, 4) == hypot(3, 4) == 5.0
    assert hypot.cache_info()[:2] == (1, 1)
    assert not cache.persist(math.hypot, version=2).is_cached(3, 4)
    length = cache.persist(len, version=1)
    assert (length([1, 2]), length([1, 2]), length("abc")) == (2, 2, 3)
    second, third = (cache.persist(operator.itemgetter(n), version=1) for n in (1, 2))
    assert (second("abc"), third("abc"), second("abc")) == ("b", "c", "b")
    upper, other = cache.persist("one".upper, version=1), cache.persist("two".upper, version=1)
    assert (upper(), other(), upper()) == ("ONE", "TWO", "ONE")
    add = cache.persist(np.add, version=1)
    assert list(add(np.arange(3), 1)) == list(add(np.arange(3), 1)) == [1, 2, 3]
    assert add.cache_info()[:2] == (1, 1)


def logged(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


def injecting(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function("injected", *args, **kwargs)

    return wrapper


def test_functions_that_other_decorators_wrapped(cache: Cache) -> None:
    log = Log()

    @cache.persist(ignore=["log"], key={"when": lambda when: when[:4]})
    @logged
    def f(x, y=2, *, when="2026", log=None):
        (log or len)(())
        return x + y

    assert f(1, log=log) == f(x=1, log=log) == f(1, 2) == f(1, y=2, when="2026-11", log=log) == 3
    assert log.seen == [()]
    assert str(inspect.signature(f)).startswith("(x, y=2, *, when='2026'")
    with pytest.raises(TypeError, match="missing"):
        f()
    assert f.is_cached(x=1)
    assert not f.is_cached(1, when="2027")

    @cache.persist
    @injecting
    def g(what, x):
        return what, x

    assert g(1) == g(1) == ("injected", 1), "what a decorator does to the arguments is its own business"
    assert g(x=1) == ("injected", 1)

    @cache.persist
    @functools.lru_cache
    def h(x, y=1):
        return [x, y]

    assert h(1) == h(1, y=1) == h(x=1) == [1, 1]
    assert h.cache_info()[:2] == (2, 1)

    def cached(n):
        return functools.lru_cache(lambda x: x + n)

    one, two = cache.persist(cached(1)), cache.persist(cached(2))
    assert (one(1), two(1), one(1)) == (2, 3, 2)

    with pytest.raises(OptionError, match="names 'z'"):
        cache.persist(logged(lambda x: x), ignore=["z"])


def test_under_other_decorators(cache: Cache) -> None:
    @logged
    @cache.persist
    def f(x):
        return [x]

    assert f(1) == f(1) == [1]
    assert f.__wrapped__.cache_info()[:2] == (1, 1)


def test_what_cannot_be_persisted_says_why(cache: Cache) -> None:
    class Thing:
        def method(self):
            return 1

    for thing, says in (
        (Thing, "is a class: persist a function that makes its instances"),
        (Thing().method, "bound to an object: decorate it in the class body"),
        (functools.partial(Thing), "is a class"),
        (cache.persist(lambda: 1), "is persisted already"),
        (functools.partial(cache.persist(lambda x: 1), 1), "is persisted already"),
        (property(None, lambda self, x: None), "no getter"),
        (3, "takes options by name"),
        (itertools.count(), "takes options by name"),
    ):
        with pytest.raises(OptionError, match=says):
            cache.persist(thing)


# ------------------------------------------------------------------------------------------------- fresh processes


def python(*command: str, cwd: Path, stdin: str | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", *command], cwd=cwd, input=stdin, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


CODE = textwrap.dedent("""
    from memo import persist

    def helper(x):
        return x + 1

    @persist(location="place", storage={storage!r})
    def f(x):
        print("computing")
        return helper(x)

    print(f(1), f.cache_parameters()["name"])
    """)


@pytest.mark.parametrize("storage", ["sqlite", pytest.param("files", marks=pytest.mark.slow)])
def test_main_as_script_module_prompt_and_pipe(tmp_path: Path, storage: str) -> None:
    code = CODE.format(storage=storage)
    (tmp_path / "job.py").write_text(code)
    assert python("job.py", cwd=tmp_path) == "computing\n2 job.f\n"
    assert python("-m", "job", cwd=tmp_path) == "2 job.f\n"
    assert python("-c", code, cwd=tmp_path) == "computing\n2 f\n"
    assert python("-c", code, cwd=tmp_path) == "2 f\n"
    # since 3.13 Python keeps the text of -c: what is piped is known by its bytecode alone then, which is another version
    piped = python("-", cwd=tmp_path, stdin=code)
    assert piped == ("2 f\n" if sys.version_info < (3, 13) else "computing\n2 f\n")
    assert python("-", cwd=tmp_path, stdin=code) == "2 f\n"


NOTEBOOK = """
import linecache, sys
cells = [{helper!r}, {cell!r}, "print(f(1))"]
for number, source in enumerate(cells):
    name = f"<ipython-input-{{number}}-abc>" if sys.argv[1] == "old" else f"/tmp/ipykernel_1/{{number}}.py"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    exec(compile(source, name, "exec"), globals())
"""


@pytest.mark.parametrize("storage", ["sqlite", pytest.param("files", marks=pytest.mark.slow)])
@pytest.mark.parametrize("style", ["old", "new"])
def test_notebook_cells(tmp_path: Path, style: str, storage: str) -> None:
    cell = (
        f"from memo import persist\n@persist(location='place', storage={storage!r})\ndef f(x):\n"
        "    print('computing')\n    return helper(x)"
    )

    def session(helper: str) -> str:
        return python("-", style, cwd=tmp_path, stdin=NOTEBOOK.format(helper=helper, cell=cell))

    assert session("def helper(x): return x + 1") == "computing\n2\n"
    assert session("def helper(x): return x + 1") == "2\n"
    assert session("def helper(x): return x + 2") == "computing\n3\n"
