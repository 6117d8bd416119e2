"""Code versions within one process: what `check` and `mutable` notice, and code that comes from no file."""

from __future__ import annotations

import functools
import importlib
import linecache
import logging
import sys
import textwrap
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memo.fingerprint._code import Followed, code_of, follow
from memo.fingerprint._project import is_project, package_of


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., types.ModuleType]]:
    """Makes modules of files: module(name="source", ...) gives the first one."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made: list[str] = []

    def make(**sources: str) -> types.ModuleType:
        for name, text in sources.items():
            path = tmp_path / (name.replace("__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
            made.append(name.replace("__", "."))
        importlib.invalidate_caches()
        for name in made:
            sys.modules.pop(name, None)
        return importlib.import_module(made[-len(sources)])

    yield make
    for name in made:
        sys.modules.pop(name, None)


def key(followed: Followed) -> tuple[str, bytes, bytes]:
    return followed.version, followed.captures, followed.mutable() if followed.mutable else b""


def checks(followed: Followed) -> bool:
    assert followed.check is not None
    return followed.check()


SOURCE = """
    import other

    LIMIT = 3
    BIG = {"a": [1]}

    class Model:
        size = 1
        def run(self):
            return LIMIT

    def helper(x, k=1):
        return x + k

    def substitute(x, k=1):
        return x - k

    def f(x):
        return helper(x) + other.twice(x) + Model().run() + LIMIT + len(BIG)
"""
OTHER = """
    FACTOR = 2
    def twice(x):
        return x * FACTOR
"""


def patch_name(m: Any) -> None:
    m.helper = m.substitute


def patch_code(m: Any) -> None:
    m.helper.__code__ = m.substitute.__code__


def patch_defaults(m: Any) -> None:
    m.helper.__defaults__ = (2,)


def patch_attribute(m: Any) -> None:
    m.other.twice = m.substitute


def patch_far_constant(m: Any) -> None:
    m.other.FACTOR = 3


def patch_method(m: Any) -> None:
    m.Model.run = lambda self: 4


def patch_class_attribute(m: Any) -> None:
    m.Model.size = 2


def patch_class(m: Any) -> None:
    m.Model = type("Model", (), {"run": lambda self: 4})


def patch_constant(m: Any) -> None:
    m.LIMIT = 4


def patch_mutable_by_another(m: Any) -> None:
    m.BIG = {"a": [2]}


def shadow_builtin(m: Any) -> None:
    m.len = lambda x: 0


REBOUND = [
    patch_name,
    patch_code,
    patch_defaults,
    patch_attribute,
    patch_far_constant,
    patch_method,
    patch_class_attribute,
    patch_class,
    patch_constant,
    patch_mutable_by_another,
    shadow_builtin,
]


@pytest.mark.parametrize("patch", REBOUND, ids=lambda patch: patch.__name__)
def test_what_is_rebound_is_seen_and_counts(module: Any, patch: Callable[[Any], None]) -> None:
    m = module(sample=SOURCE, other=OTHER)
    before = follow(m.f)
    known = key(before)
    assert checks(before)
    patch(m)
    assert not checks(before)
    after = follow(m.f)
    assert checks(after)
    assert key(after) != known


def test_rebinding_to_an_equal_value_is_the_same_key(module: Any) -> None:
    m = module(sample=SOURCE, other=OTHER)
    before = follow(m.f)
    m.LIMIT, m.BIG = int("3"), {"a": [1]}
    m.other.FACTOR = int("2")
    assert key(follow(m.f)) == key(before)
    patch_name(m)
    assert key(follow(m.f)) != key(before)


def test_deleted_and_later_defined_names(module: Any) -> None:
    m = module(sample="def f(x):\n    return later(x)\n")
    before = follow(m.f)
    assert checks(before)
    m.later = lambda x: x
    assert not checks(before)
    after = follow(m.f)
    assert after.version != before.version
    del m.later
    assert not checks(after)
    assert key(follow(m.f)) == key(before)


def test_mutable_captures_are_looked_at_each_time(module: Any) -> None:
    m = module(sample=SOURCE, other=OTHER)
    followed = follow(m.f)
    assert followed.mutable is not None
    before = followed.mutable()
    m.BIG["a"].append(2)
    assert checks(followed)
    assert followed.mutable() != before
    m.BIG["a"].pop()
    assert followed.mutable() == before


def test_captured_instances_arrays_and_sets(module: Any) -> None:
    numpy = pytest.importorskip("numpy")
    m = module(
        sample="""
        import numpy as np
        class Box:
            def __init__(self): self.n = 1
            def more(self): return self.n
        box, array, names = Box(), np.arange(3), {"a"}
        def f(x):
            return box.more() + array.sum() + len(names)
        """
    )
    followed = follow(m.f)
    assert followed.mutable is not None
    seen = {followed.mutable()}
    m.box.n = 2
    seen.add(followed.mutable())
    m.array[1] = 9
    seen.add(followed.mutable())
    m.names.add("b")
    seen.add(followed.mutable())
    m.Box.more = lambda self: 0
    seen.add(followed.mutable())
    assert len(seen) == 5
    assert followed.packages == {"numpy": numpy.__version__}


def test_functions_without_mutable_captures_pay_nothing(module: Any) -> None:
    m = module(sample="N = 2\ndef f(x):\n    return x + N\n")
    followed = follow(m.f)
    assert followed.mutable is None
    assert len(followed.captures) == 20
    assert follow(module(empty="def f(x):\n    return x\n").f).captures == b""


def test_closures_of_one_factory_are_each_their_own() -> None:
    def make(n: Any) -> Callable[[int], Any]:
        def inner(x: int) -> Any:
            return n, x

        return inner

    assert key(follow(make(1))) == key(follow(make(1)))
    values = [1, 1.0, True, "1", None, (1,), [1], {"n": 1}]
    assert len({key(follow(make(value))) for value in values}) == len(values)
    assert len({code_of(make(value)) for value in values}) == len(values)
    # which closure holds which value counts, not only which values there are
    assert code_of(make([make([1]), make([2])])) != code_of(make([make([2]), make([1])]))
    assert code_of(make((make([1]), make([2])))) != code_of(make((make([2]), make([1]))))


def test_a_cell_is_watched() -> None:
    n = 1

    def f(x: int) -> int:
        return x + n

    followed = follow(f)
    assert checks(followed)
    n = 2
    assert not checks(followed)
    assert key(follow(f)) != key(followed)


def test_two_lambdas_on_a_line() -> None:
    one, two, three = lambda x: x + 1, lambda x: x + 2, lambda x: x + 1
    assert follow(one).version != follow(two).version
    assert follow(one).version == follow(three).version
    nested = (lambda: lambda: 1), (lambda: lambda: 2)
    assert len({follow(f).version for f in (*nested, nested[0](), nested[1]())}) == 4


def test_code_without_a_file() -> None:
    def made(text: str) -> Any:
        space: dict[str, Any] = {}
        exec(text, space)
        return space["f"]

    same = made("N = 1\ndef f(x):\n    return x + N\n")
    assert key(follow(same)) == key(follow(made("\n\nN = 1\ndef f(x):\n    return x + N\n")))
    for other in ("N = 2\ndef f(x):\n    return x + N\n", "N = 1\ndef f(x):\n    return x - N\n"):
        assert key(follow(made(other))) != key(follow(same))
    helper = "def h(x):\n    return x + {}\ndef f(x):\n    return h(x)\n"
    assert follow(made(helper.format(1))).version != follow(made(helper.format(2))).version
    assert any("bytecode" in line for line in follow(same).follows["not followed"])


def test_notebook_cells_count_by_their_source() -> None:
    def cell(number: int, text: str) -> Any:
        path = f"<ipython-input-{number}-abc>"
        linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)
        space = {"__name__": "__main__"}
        exec(compile(text, path, "exec"), space)
        return space["f"]

    one = follow(cell(1, 'def f(x):\n    "Doc."\n    return x + 1\n'))
    two = follow(cell(2, "# moved, and run again\n\ndef f(x):\n    return x + 1  # same\n"))
    assert one.version == two.version
    assert follow(cell(3, "def f(x):\n    return x + 2\n")).version != one.version
    assert one.follows["not followed"] == []


def test_source_edited_while_running(module: Any, tmp_path: Path) -> None:
    text = "def f(x):\n    return x + 1\n\ndef g(x):\n    return x\n"
    m = module(edited=text)
    (tmp_path / "edited.py").write_text(text.replace("+ 1", "+ 2"))  # not what runs, and of the same size
    stale = follow(m.f)
    fresh = follow(module(edited=text.replace("+ 1", "+ 2")).f)
    assert stale.version != fresh.version
    original = follow(module(edited=text).f)
    assert original.version not in (stale.version, fresh.version)  # told by bytecode, as the source is not to be had


def test_lines_added_above_while_running(module: Any, tmp_path: Path) -> None:
    text = "def f(x):\n    return x + 1\n"
    known = follow(module(moved=text).f)
    m = module(moved="# line\n" + text)
    (tmp_path / "moved.py").write_text("# one\n# two\n# three\n" + text)
    assert follow(m.f).version == known.version


def test_reloaded_module(module: Any, tmp_path: Path) -> None:
    m = module(again="def f(x):\n    return x + 1\n")
    before = follow(m.f)
    (tmp_path / "again.py").write_text("def f(x):\n    return x + 22\n")
    importlib.invalidate_caches()
    importlib.reload(m)
    assert not checks(before) or follow(m.f).version != before.version
    assert follow(m.f).version != before.version
    assert follow(m.f).follows["not followed"] == []


def test_things_without_a_value_count_by_place_and_type(module: Any) -> None:
    m = module(
        sample="""
        import logging, threading
        LOG, LOCK, NOTHING = logging.getLogger("a"), threading.Lock(), object()
        CONFIG = {"lr": 0.1, "lock": threading.Lock()}
        class Holder:
            def __init__(self):
                self.lock, self.n = threading.Lock(), 1
        HOLDER = Holder()
        def f(x):
            return LOG, LOCK, NOTHING, CONFIG, HOLDER
        """
    )
    followed = follow(m.f)
    assert followed.mutable is not None
    by_type = " ".join(followed.follows["by type"])
    for name in ("LOG", "LOCK", "NOTHING", "CONFIG", "HOLDER"):
        assert f"sample.{name}" in by_type
    before = followed.mutable()
    m.CONFIG["lr"] = 0.2  # the lock beside it makes nobody blind
    changed = followed.mutable()
    assert changed != before
    m.HOLDER.n = 2
    assert followed.mutable() != changed
    m.HOLDER.n, m.CONFIG["lr"], m.LOCK = 1, 0.1, threading.Lock()
    assert key(follow(m.f)) == key(followed) or follow(m.f).version == followed.version
    assert followed.mutable() == before
    m.LOCK = logging.getLogger("b")
    assert follow(m.f).version != followed.version


def test_own_off_and_version(module: Any) -> None:
    m = module(sample=SOURCE, other=OTHER)
    own, off, known = follow(m.f, code="own"), follow(m.f, code="off"), follow(m.f)
    patch_name(m)
    assert follow(m.f, code="own").version == own.version
    assert follow(m.f, code="off") == off
    assert off.check is None
    assert off.mutable is None
    everything = [own, off, known]
    for code in ("own", "off", "follow"):
        everything += [follow(m.f, code=code, version="1"), follow(m.f, code=code, version=2)]
    assert len({e.version for e in everything}) == len(everything)
    assert all(len(e.version) == 20 and int(e.version, 16) >= 0 for e in everything)


def test_packages(module: Any) -> None:
    numpy = pytest.importorskip("numpy")
    m = module(sample="import numpy as np\ndef f(x):\n    return np.linalg.norm(x)\n")
    assert follow(m.f).packages == {"numpy": numpy.__version__}
    assert follow(m.f, packages="major").packages == {"numpy": numpy.__version__.split(".")[0]}
    assert follow(m.f, packages="minor").packages == {"numpy": ".".join(numpy.__version__.split(".")[:2])}
    assert follow(m.f, packages="ignore").packages == {}
    assert len({follow(m.f, packages=p).version for p in ("exact", "minor", "major", "ignore")}) == 4


def test_distributions_named_otherwise_than_their_module() -> None:
    pytest.importorskip("sklearn")
    found = package_of("sklearn")
    assert found is not None
    assert found[0] == "scikit-learn"
    assert package_of("json") is None
    assert not is_project("json")
    assert not is_project("numpy")
    assert not is_project("memo.fingerprint")
    assert is_project(__name__)


def test_a_distribution_installed_from_a_folder_is_project_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "lib" / "site-packages"
    for name, url in (
        ("fromfolder", '{"url": "file:///src", "dir_info": {}}'),
        ("fromgit", '{"url": "https://example.org/x.git", "vcs_info": {"vcs": "git"}}'),
        ("fromwheel", '{"url": "file:///w.whl", "archive_info": {}}'),
        ("fromindex", None),
    ):
        (site / name).mkdir(parents=True)
        (site / name / "__init__.py").write_text("def work(x):\n    return x\n")
        info = site / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "RECORD").write_text(f"{name}/__init__.py,,\n")
        if url:
            (info / "direct_url.json").write_text(url)
    monkeypatch.syspath_prepend(str(site))
    found = {}
    for name in ("fromfolder", "fromgit", "fromwheel", "fromindex"):
        found[name] = is_project(importlib.import_module(name))
    assert found == {"fromfolder": True, "fromgit": True, "fromwheel": False, "fromindex": False}
    # a function follows the code of its own distribution, wherever that lies
    assert follow(importlib.import_module("fromindex").work).follows["code"] == ["fromindex.work"]
    for name in found:
        sys.modules.pop(name, None)


def test_long_chains_need_no_stack(module: Any) -> None:
    lines = ["def f0(x):\n    return x\n"]
    lines += [f"def f{n}(x):\n    return f{n - 1}(x)\n" for n in range(1, 3000)]
    m = module(chain="".join(lines))
    followed = follow(m.f2999)
    assert len(followed.follows["code"]) == 3000
    deep: Any = len
    for _ in range(5000):
        deep = functools.partial(deep)
    assert len(code_of(wrapping(3000))) == 20
    terms = module(terms="def f(x):\n    return " + " + ".join(["x"] * 900) + "\n")
    assert follow(terms.f).version


def wrapping(depth: int) -> Any:
    def outer(inner: Any) -> Any:
        def wrapper(x: Any) -> Any:
            return inner(x)

        return wrapper

    function: Any = len
    for _ in range(depth):
        function = outer(function)
    return function


def test_values_and_code_that_refer_to_each_other(module: Any) -> None:
    m = module(
        sample="""
        REGISTRY = {}
        def register(f):
            REGISTRY[f.__name__] = f
            return f
        @register
        def a(x):
            return REGISTRY["b"](x)
        @register
        def b(x):
            return REGISTRY["a"](x)
        class Node:
            def link(self): return HEAD
        HEAD = Node()
        class Tail:
            def link(self): return END, HEAD
        END = Tail()
        HEAD.other = END
        def f(x):
            return a(x), HEAD.link(), END
        """
    )
    followed = follow(m.f)
    assert followed.mutable is not None
    before = followed.mutable()
    assert before == followed.mutable()
    assert key(follow(m.f)) == key(followed)
    m.REGISTRY["b"] = lambda x: x
    assert followed.mutable() != before


def test_code_of_values(module: Any) -> None:
    m = module(sample=SOURCE, other=OTHER)
    things = [
        m.f,
        m.helper,
        m.Model,
        functools.partial(m.helper, 1),
        functools.partial(m.helper, 2),
        m.other,
        len,
        dict,
    ]
    assert len({code_of(thing) for thing in things}) == len(things)
    assert all(len(code_of(thing)) == 20 for thing in things)
    before = {name: code_of(getattr(m, name)) for name in ("f", "Model", "helper")}
    assert before == {name: code_of(getattr(m, name)) for name in before}
    m.LIMIT = 4
    assert code_of(m.f) != before["f"]
    assert code_of(m.Model) != before["Model"]
    assert code_of(m.helper) == before["helper"]
    m.LIMIT = 3
    assert before == {name: code_of(getattr(m, name)) for name in before}
    for _ in range(40):  # the check of what is asked for often is compiled
        assert code_of(m.f) == before["f"]
    patch_code(m)
    assert code_of(m.helper) != before["helper"]


def test_a_module_imported_inside_is_the_same_before_and_after_it_is_loaded(module: Any) -> None:
    sources = {
        "lazy": "def f(x):\n    import lazied\n    return lazied.work(x) + lazied.N\n",
        "lazied": "N = 1\nM = 2\ndef work(x):\n    return x\ndef idle(x):\n    return x\n",
    }
    m = module(**sources)
    before = follow(m.f)
    m.f(1)
    assert checks(before)
    after = follow(m.f)
    assert key(before) == key(after)
    sys.modules["lazied"].M = 3  # type: ignore[attr-defined]
    assert checks(before)
    for name, value in (("N", 5), ("work", lambda x: -x)):
        setattr(sys.modules["lazied"], name, value)
        assert not checks(after)
        changed = follow(m.f)
        assert key(changed) != key(after)
        after = changed


def test_what_was_followed_is_reported(module: Any) -> None:
    m = module(sample=SOURCE + "\n    def g(x):\n        return eval('x')\n", other=OTHER)
    follows = follow(m.f).follows
    assert set(follows) == {"code", "data", "by type", "not followed", "packages"}
    assert {"sample.f", "sample.helper", "other.twice", "sample.Model"} <= set(follows["code"])
    assert {"sample.LIMIT", "sample.BIG", "other.FACTOR"} <= set(follows["data"])
    assert any("eval" in line for line in follow(m.g).follows["not followed"])
    texts = follow(m.f).texts()
    assert texts["sample.helper"] == "def helper(x, k=1):\n    return x + k"
    assert texts["sample.LIMIT"] == "3"


def test_the_version_of_dynamic_code_covers_its_whole_module(module: Any) -> None:
    text = "def hidden(x):\n    return x\ndef f(x):\n    return {}(x)\n"
    for look in ("eval('hidden')", "globals()['hidden']"):
        before = follow(module(dyn=text.format(look)).f)
        after = follow(module(dyn=text.format(look).replace("return x\n", "return -x\n", 1)).f)
        assert key(before) != key(after)


def test_memo_itself_never_counts(module: Any) -> None:
    text = """
        from memo_like import persist

        @persist(ttl=1)
        def g(x):
            return x

        @persist
        def f(x):
            return g(x) + {}
        """

    class State:
        """Stands for memo's own, which must not be looked into."""

    State.__module__ = "memo._state"

    def persist(*given: Any, **options: Any) -> Any:
        def decorate(function: Any) -> Any:
            state, space = State(), {"__name__": "memo._wrapper"}
            source = "def outer(state):\n def wrapper(*a):\n  return state(*a)\n return wrapper\n"
            exec(compile(source, "<memo wrapper>", "exec"), space)
            made: Any = functools.wraps(function)(space["outer"](state))  # type: ignore[operator]
            return made

        return decorate(*given) if given else decorate

    sys.modules["memo_like"] = types.ModuleType("memo_like")
    sys.modules["memo_like"].persist = persist  # type: ignore[attr-defined]
    try:
        base = follow(module(wrapped=text.format(1)).f)
        assert follow(module(wrapped=text.format(1).replace("ttl=1", "ttl=2")).f).version == base.version
        assert follow(module(wrapped=text.format(1).replace("@persist(ttl=1)\n", "\n")).f).version == base.version
        assert follow(module(wrapped=text.format(2)).f).version != base.version
        helper = text.format(1).replace("return x\n", "return -x\n")
        m = module(wrapped=helper)
        assert follow(m.f).version != base.version
        assert follow(m.f).follows["code"] == ["wrapped.f", "wrapped.g"]
    finally:
        del sys.modules["memo_like"]


def test_modules_imported_by_a_name_made_at_run_time(module: Any) -> None:
    text = "from importlib import import_module as load\ndef f(x):\n    return load({}).work(x)\n"
    one = follow(module(dynamic=text.format("'plain_one'"), plain_one="def work(x):\n    return 1\n").f)
    two = follow(module(dynamic=text.format("'plain_one'"), plain_one="def work(x):\n    return 2\n").f)
    assert one.version != two.version
    unknown = follow(module(dynamic=text.format("'plain' + str(x)")).f)
    assert any("load in dynamic.f" in line for line in unknown.follows["not followed"])


def test_threads_follow_at_once(module: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    m = module(sample=SOURCE, other=OTHER)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: (key(follow(m.f)), code_of(m.Model)), range(64)))
    assert len(set(found)) == 1


def test_frozen_values_are_looked_at_once(module: Any) -> None:
    text = """
        from dataclasses import dataclass
        from typing import NamedTuple
        @dataclass(frozen=True)
        class Config:
            lr: float
            def other(self):
                return DEFAULT
        class Pair(NamedTuple):
            left: int
        DEFAULT, PAIR = Config(0.1), Pair(1)
        def f(x):
            return DEFAULT.other(), PAIR
        """
    known = follow(module(frozen=text).f)
    assert known.mutable is None
    for old, new in (("0.1", "0.2"), ("Pair(1)", "Pair(2)"), ("return DEFAULT\n", "return -DEFAULT\n")):
        assert key(follow(module(frozen=text.replace(old, new, 1)).f)) != key(known)


def test_a_changed_working_directory_plays_no_part(tmp_path: Path) -> None:
    import subprocess

    (tmp_path / "script.py").write_text(
        "import os, sys\n"
        "def f(x):\n    return x\n"
        "if len(sys.argv) > 1:\n    os.chdir('/')\n"
        "from memo.fingerprint._code import follow\n"
        "print(follow(f).version, follow(f).follows['not followed'])\n"
    )
    commands = (["script.py"], ["script.py", "away"], ["-m", "script", "away"])
    runs = [
        subprocess.run([sys.executable, *c], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        for c in commands
    ]
    assert runs[0].endswith("[]\n")
    assert len(set(runs)) == 1
