"""Why a call missed: each kind of miss with its true cause, path and diff, as text, as JSON, in the log, by the command.

All cases run in two processes: in the first, each module is as it was; then its source, its package or its options
change; in the second, each module asks ``why`` and then makes the call that it asked about.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import warm

import memo
from memo import Cache, persist
from memo.explain import Why

HEADER = "import os, sys, time, memo\nfrom memo import Cache, persist, Ttl, Version\n"


class Case(NamedTuple):
    before: str  #: the module in the first process; it stores something
    after: str  #: in the second; ``ask()`` asks and ``go()`` calls
    cause: str
    path: str | None = None
    values: tuple[str | None, str | None] = (None, None)
    says: str = ""  #: part of the first line
    diff: tuple[str, ...] = ()  #: lines of the diff
    logged: bool = True  #: the event's ``why`` is the first line, and so is what the command says


def same(source: str, before: str, after: str, *rest: Any, **more: Any) -> Case:
    """One source, another call."""
    return Case(f"{source}\nf({before})\n", f"{source}\n{asking(after)}", *rest, **more)


def asking(arguments: str) -> str:
    return f"def ask(): return f.why({arguments})\ndef go(): return f({arguments})\n"


PLAIN = "@persist\ndef f(n, seed=0): return n + seed"
ANY = "@persist\ndef f(x, y=0): return y"
HELPED = "def helper(n): return n * {factor}\n@persist\ndef f(n): return helper(n) + 1\n"
OBJECT = "class Options:\n    def __init__(self, depth): self.depth, self.name = depth, 'tree'\n" + ANY
CLOCKED = "cache = Cache()\n@cache.persist(ttl='1h')\ndef f(n): return n\nfrom memo._handle import runner_of\nclock = runner_of(f).cache()\n"
METHOD = "class Till:\n    def __init__(self, rate): self.rate = rate\n    @persist\n    def f(self, n): return n * self.rate\n"
USES = "import fakelib\n@persist{options}\ndef f(n): return fakelib.work(n)\n"

CASES = {
    # arguments
    "scalar": same(PLAIN, "3", "4", "argument", "n", ("3", "4")),
    "several": same(PLAIN, "3", "4, seed=7", "argument", "n", ("3", "4"), "seed 0 -> 7"),
    "in_a_dict": same(ANY, '{"lr": 0.1, "b": 2}', '{"b": 2, "lr": 0.2}', "argument", 'x["lr"]', ("0.1", "0.2")),
    "deep": same(ANY, '{"net": [{"w": 64}, 8]}', '{"net": [{"w": 32}, 8]}', "argument", 'x["net"][0]["w"]', ("64", "32")),
    "key_added": same(ANY, '{"a": 1}', '{"a": 1, "b": 2}', "argument", 'x["b"]', (None, "2"), "added"),
    "key_gone": same(ANY, '{"a": 1, "b": 2}', '{"a": 1}', "argument", 'x["b"]', ("2", None), "gone"),
    "type_only": same(ANY, "1", "1.0", "argument", "x", ("1", "1.0")),
    "list_or_tuple": same(ANY, "[1, 2]", "(1, 2)", "argument", "x", ("list of 2", "tuple of 2")),
    "in_a_set": same(ANY, "{1, 2}", "{1, 3}", "argument", "x", ("set({1, 2})", "set({1, 3})")),
    "attribute": same(OBJECT, "Options(3)", "Options(4)", "argument", "x.depth", ("3", "4")),
    "array": same(
        "import numpy\n" + ANY, "numpy.arange(9.0), 1", "numpy.arange(9.0) * 2, 1",
        "argument", "x", ("numpy.ndarray float64 (9,)",) * 2, "other content",
    ),
    "one_of_two_arrays": same(
        "import numpy\n" + ANY, "numpy.ones(10_000), numpy.ones(300)", "numpy.ones(10_000), numpy.zeros(300)",
        "argument", "y", ("numpy.ndarray float64 (300,)",) * 2, "other content",
    ),
    "shape": same(
        "import numpy\n" + ANY, "numpy.ones((30, 2))", "numpy.ones((20, 3))",
        "argument", "x", ("numpy.ndarray float64 (30, 2)", "numpy.ndarray float64 (20, 3)"),
    ),
    "beyond_what_is_kept": same(ANY, "list(range(5000))", "list(range(4999)) + [0]", "argument", "x", ("list of 5000",) * 2),
    "long_text": same(ANY, "'a' * 9000, 1", "'a' * 9000 + 'b', 1", "argument", "x", says="9,001 characters"),
    "stars": same(
        "@persist\ndef f(*parts, **options): return 1", "1, 2, a=3", "1, 2, a=4", "argument", 'options["a"]', ("3", "4")
    ),
    "key_option": same(
        "@persist(key={'x': len})\ndef f(x): return 1", "'ab'", "'abc'", "argument", "x", ("2", "3")
    ),
    "secret": same("@persist\ndef f(api_key): return 1", "'hunter2'", "'hunter3'", "argument", "api_key", ("(not kept)",) * 2),
    "method": Case(
        METHOD + "Till(2).f(1)", METHOD + "def ask(): return Till(3).f.why(1)\ndef go(): return Till(3).f(1)\n",
        "argument", "self.rate", ("2", "3"),
    ),
    "nearest_of_many": Case(
        ANY + "\nfor i in range(9): f({'a': i, 'b': i, 'c': 1})\nf({'a': 5, 'b': 6, 'c': 1})\nf({'a': 8, 'b': 0, 'c': 2})",
        ANY + "\n" + asking("{'a': 5, 'b': 6, 'c': 3}"), "argument", 'x["c"]', ("1", "3"),
    ),
    "parameters": Case(
        "@persist\ndef f(n, seed=0): return n\nf(1)", "@persist(ignore=['seed'])\ndef f(n, seed=0): return n\n" + asking("1"),
        "parameters", "seed", ("n, seed", "n"),
    ),
    "unkeyable": Case(
        ANY, ANY + "\ndef ask(): return f.why({'h': [open(os.devnull)]})\ngo = None",
        "unkeyable", 'x["h"][0]', (None, "_io.TextIOWrapper"),
    ),
    # code and data
    "own_code": Case(
        "@persist\ndef f(n): return n * 2\nf(1)", "@persist\ndef f(n): return n * 3\n" + asking("1"),
        "code", "case_own_code.f", diff=("-    return n * 2", "+    return n * 3", "--- case_own_code.f (stored)"),
    ),
    "helper": Case(
        HELPED.format(factor=2) + "f(1)", HELPED.format(factor=5) + asking("1"),
        "code", "case_helper.helper", diff=("-    return n * 2", "+    return n * 5"),
    ),
    "helper_and_argument": Case(
        HELPED.format(factor=2) + "f(1)", HELPED.format(factor=5) + asking("2"),
        "code", "case_helper_and_argument.helper", says="argument n 1 -> 2", diff=("-    return n * 2",),
    ),
    "same_arguments_under_old_code": Case(
        HELPED.format(factor=2) + "f(1)", HELPED.format(factor=5) + "f(2)\n" + asking("1"),
        "code", "case_same_arguments_under_old_code.helper",
    ),
    "other_module": Case(
        "import changing\n@persist\ndef f(n): return changing.scale(n)\nf(1)",
        "import changing\n@persist\ndef f(n): return changing.scale(n)\n" + asking("1"),
        "code", "changing.scale", diff=("-    return n / 1", "+    return n / 2"),
    ),
    "new_helper": Case(
        "@persist\ndef f(n): return n\nf(1)", "def more(n): return n\n@persist\ndef f(n): return more(n)\n" + asking("1"),
        "code", "case_new_helper.f", says="code now runs case_new_helper.more", diff=("+def more(n):",),
    ),
    "method_of_a_class": Case(
        "class A:\n    def m(self): return 1\n@persist\ndef f(n): return A().m()\nf(1)",
        "class A:\n    def m(self): return 2\n@persist\ndef f(n): return A().m()\n" + asking("1"),
        "code", "case_method_of_a_class.A.m", diff=("-    return 1", "+    return 2"),
    ),
    "base_of_a_class": Case(
        "class B: pass\nclass A: pass\n@persist\ndef f(n): return A().__class__\nf(1)",
        "class B: pass\nclass A(B): pass\n@persist\ndef f(n): return A().__class__\n" + asking("1"),
        "code", "case_base_of_a_class.B", (None, "case_base_of_a_class.B"),
    ),
    "constant": Case(
        "RATE = 0.19\n@persist\ndef f(n): return n * RATE\nf(1)", "RATE = 0.2\n@persist\ndef f(n): return n * RATE\n" + asking("1"),
        "constant", "case_constant.RATE", ("0.19", "0.2"),
    ),
    "class_attribute": Case(
        "class A: z = 1\n@persist\ndef f(n): return A.z\nf(1)", "class A: z = 2\n@persist\ndef f(n): return A.z\n" + asking("1"),
        "constant", "case_class_attribute.A.z", ("1", "2"),
    ),
    "captured_dict": Case(
        "CONF = {'k': 1, 'l': [2]}\n@persist\ndef f(n): return CONF['k']\nf(1)",
        "CONF = {'k': 1, 'l': [3]}\n@persist\ndef f(n): return CONF['k']\n" + asking("1"),
        "constant", 'case_captured_dict.CONF["l"][0]', ("2", "3"),
    ),
    "captured_dict_of_one_process": Case(
        "f = None", "CONF = {'k': 1}\n@persist\ndef f(n): return CONF['k']\nf(1)\nCONF['k'] = 2\n" + asking("1"),
        "constant", 'case_captured_dict_of_one_process.CONF["k"]', ("1", "2"),
    ),
    "closure": Case(
        "def make(a):\n    @persist(name='made')\n    def f(n): return n + a\n    return f\nmake(2)(1)",
        "def make(a):\n    @persist(name='made')\n    def f(n): return n + a\n    return f\nf = make(3)\n" + asking("1"),
        "constant", "a in make.<locals>.f", ("2", "3"),
    ),
    "package": Case(
        USES.format(options="") + "f(1)", USES.format(options="") + asking("1"), "package", "fakelib", ("1.0", "1.1")
    ),
    "packages_option": Case(
        USES.format(options="(packages='major')") + "f(1)", USES.format(options="(packages='ignore')") + asking("1"),
        "option", "packages", ("major", "ignore"),
    ),
    "version_option": Case(
        "@persist(version=1)\ndef f(n): return n\nf(1)", "@persist(version=2)\ndef f(n): return n\n" + asking("1"),
        "version", "version", ("1", "2"),
    ),
    "code_option": Case(
        "@persist\ndef f(n): return n\nf(1)", "@persist(code='own')\ndef f(n): return n\n" + asking("1"),
        "option", "code", ("follow", "own"),
    ),
    "renamed": Case(
        "@persist(name='old.f')\ndef f(n): return [n]\nf(1)", "@persist(name='new.f')\ndef f(n): return [n]\n" + asking("1"),
        "renamed", "name", ("old.f", "new.f"),
    ),
    "never_seen": Case("f = None", "@persist\ndef f(n): return (n, 'never')\n" + asking("1"), "never seen"),
    # what is stored and can't be used
    "expired": Case(
        CLOCKED + "f(1)", CLOCKED + "clock.clock = lambda: time.time() + 7200\n" + asking("1"), "expired", "ttl", says="expired 60 min"
    ),
    "clock": Case(CLOCKED + "clock.clock = lambda: time.time() + 7200\nf(1)", CLOCKED + asking("1"), "clock", says="in the future"),
    "policy": Case(
        "@persist(policy=Version('1'))\ndef f(n): return n\nf(1)", "@persist(ttl=60)\ndef f(n): return n\n" + asking("1"),
        "policy", says="another policy",
    ),
    "policy_version": Case(
        "@persist(policy=Version('1'))\ndef f(n): return n\nf(1)",
        "@persist(policy=Version('2'))\ndef f(n): return n\n" + asking("1"), "version", "version", ("1", "2"),
    ),
    "cleared": Case(PLAIN + "\nf(1)", PLAIN + "\nf.cache_clear()\n" + asking("1"), "cleared"),
    "cleared_and_purged": Case(
        PLAIN + "\nf(1)", PLAIN + "\nclock = __import__('memo._handle', fromlist=['x']).runner_of(f).cache()\n"
        "clock.clear('case_cleared_and_purged.f')\n" + asking("1"), "cleared",
    ),
    "all_cleared": Case(PLAIN + "\nf(1)", PLAIN + "\nf.cache_clear()\n" + asking("2"), "never seen", says="has been cleared"),
    "deleted": Case(PLAIN + "\nf(1)", PLAIN + "\nf.delete(1)\n" + asking("1"), "deleted"),
    "evicted": Case(
        CLOCKED + "f(1)", CLOCKED + "clock.storage.remove(f.cache_key(1))\n" + asking("1"), "evicted"
    ),
    "not_stored": Case(
        "@persist\ndef f(n): return (i for i in [n])\nf(1)", "@persist\ndef f(n): return (i for i in [n])\n" + asking("1"), "not stored"
    ),
    "damaged": Case(
        CLOCKED + "f(1)",
        CLOCKED + "r = clock.storage.read(f.cache_key(1))\n"
        "clock.storage.write(f.cache_key(1), [b'x' * len(r.body)], lambda: r.head, size=len(r.body), mark=r.mark)\n"
        + asking("1"), "damaged", says="digest",
    ),
    "serializer": Case(
        "class Own:\n    name = 'own'\n    def dump(self, value): return [b'x']\n    def load(self, data): return 1\n"
        "@persist(serializer=Own())\ndef f(n): return n\nf(1)", "@persist\ndef f(n): return n\n" + asking("1"),
        "serializer", "serializer", ("own", "pickle"),
    ),
    "load": Case(
        "class Gone: pass\n@persist(code='off', version=1)\ndef f(n): return Gone()\nf(1)",
        "@persist(code='off', version=1)\ndef f(n): return 1\n" + asking("1"), "load", says="Gone",
    ),
    "refresh": Case(
        PLAIN + "\nf(1)", PLAIN + "\nrefreshing = memo.mode('refresh', functions='case_refresh.*')\nrefreshing.__enter__()\n" + asking("1"),
        "mode", "mode", (None, "refresh"), logged=False,
    ),
    "off": Case(
        PLAIN + "\nf(1)", "@persist(mode='off')\ndef f(n, seed=0): return n\n" + asking("1"), "mode", "mode", (None, "off"),
        logged=False,
    ),
    "no_location": Case("f = None", "@persist(location=None)\ndef f(n): return n\n" + asking("1"), "off", "location", (None, "None"), logged=False),
    "broken_place": Case(
        "f = None", "@persist(location=__file__)\ndef f(n): return n\n" + asking("1"), "storage", logged=False
    ),
    "hit": Case(PLAIN + "\nf(1)", PLAIN + "\n" + asking("1"), "hit", says="computing it took", logged=False),
}  # fmt: skip

DRIVER = """
import importlib, json, sys, warnings
import memo
found = {}
for name in sys.argv[1:]:
    module = importlib.import_module("case_" + name)
    if not hasattr(module, "ask"):
        continue
    events = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        why = module.ask()
        stop = memo.on_event(events.append)
        if module.go:
            module.go()
    stop()
    logged = [event.why for event in events if event.kind == "miss"]
    found[name] = {"json": json.loads(json.dumps(why.as_dict())), "text": str(why), "line": why.line, "logged": logged}
    found[name]["warned"] = [str(one.message) for one in warned]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def told(once: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What every case said in the second process, and what the command says after it."""
    found: dict[str, Any] = once("explained", lambda: explained(tmp_path_factory.mktemp("explained")))
    return found


def explained(folder: Path) -> dict[str, Any]:
    project, site = folder / "project", folder / "lib" / "site-packages"
    project.mkdir()
    (project / "pyproject.toml").touch()
    (project / "driver.py").write_text(DRIVER)
    names = {name for name in os.environ if not name.startswith("MEMO_")}
    env = {name: os.environ[name] for name in names} | {
        "MEMO_DIR": str(folder / "place"), "PYTHONPATH": os.pathsep.join((str(project), str(site))),
        "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip

    def run(*arguments: str) -> str:
        done = warm.run(["-W", "ignore", *arguments], env=env, cwd=project)
        assert done.returncode == 0, done.stderr
        return done.stdout

    for step, release in ((0, "1.0"), (1, "1.1")):
        for name, case in CASES.items():
            (project / f"case_{name}.py").write_text(HEADER + case[step])
        (project / "changing.py").write_text(f"def scale(n):\n    return n / {step + 1}\n")
        install(site, release)
        output = run("driver.py", *CASES)
    found: dict[str, Any] = json.loads(output)
    command = run("-m", "memo", "why", "*", "--last", "1", "--json")
    found["command"] = {one["function"]: one for one in json.loads(command)}
    found["command text"] = run("-m", "memo", "why", "*", "--last", "1")
    return found


def install(site: Path, release: str) -> None:
    (site / "fakelib").mkdir(parents=True, exist_ok=True)
    (site / "fakelib" / "__init__.py").write_text("def work(x):\n    return x\n")
    for old in site.glob("*.dist-info"):
        for file in old.iterdir():
            file.unlink()
        old.rmdir()
    info = site / f"fakelib-{release}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: fakelib\nVersion: {release}\n")
    (info / "RECORD").write_text("fakelib/__init__.py,,\n")


@pytest.mark.parametrize("name", CASES)
def test_cause(told: dict[str, Any], name: str) -> None:
    case, said = CASES[name], told[name]
    found = said["json"]
    assert found["cause"] == case.cause, said["text"]
    assert case.says in said["line"]
    if case.path is not None:
        assert found["path"] == case.path, said["text"]
    if case.values != (None, None):
        assert (found["before"], found["after"]) == case.values
        for value in case.values:
            assert value is None or value in said["line"] or case.cause == "mode"
    for line in case.diff:
        assert line in found["diff"].splitlines()
        assert line in said["text"].splitlines()
    if not case.diff:
        assert said["text"] == found["text"] or found["diff"]


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.logged and name != "unkeyable"])
def test_the_log_and_the_command_say_the_same(told: dict[str, Any], name: str) -> None:
    said, case = told[name], CASES[name]
    assert len(said["logged"]) == 1
    function = said["json"]["function"]
    command = told["command"][function]
    assert command["cause"] == case.cause
    if case.cause in ("argument", "parameters", "constant", "code", "package", "option", "evicted", "not stored"):
        assert said["logged"] == [said["line"]]
        assert {key: command[key] for key in ("text", "path", "before", "after", "diff")} == {
            key: said["json"][key] for key in ("text", "path", "before", "after", "diff")
        }
    assert command["text"].splitlines()[0] in told["command text"]


def test_an_upgrade_is_warned_of(told: dict[str, Any]) -> None:
    assert len(told["package"]["warned"]) == 1
    assert "computes anew, since package fakelib 1.0 -> 1.1" in told["package"]["warned"][0]
    assert "packages='minor'" in told["package"]["warned"][0]
    assert "memo adopt " in told["package"]["warned"][0]
    assert not any(told[name]["warned"] for name in ("helper", "scalar", "version_option"))


def test_hidden_values_are_nowhere(told: dict[str, Any]) -> None:
    assert "hunter" not in json.dumps(told)


# ------------------------------------------------------------------------------------------------ of one process


def test_what_is_kept_is_no_result(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "place")

    @cache.persist
    def f(x: int) -> int:
        return x

    f(1)
    from memo.explain._kept import write_all

    write_all()
    names = [item.name for item in cache.storage.scan()]
    assert sorted(name.count("/") for name in names) == [1, 1, 1, 1, 2]
    assert len(f.entries()) == f.cache_info().currsize == 1
    assert cache.clear().entries == 1
    assert cache.clear().entries == 0


def test_a_note_is_four_bytes_a_parameter(tmp_path: Path) -> None:
    @persist(location=tmp_path / "place")
    def f(a, b, *c, d=1, **e):
        return None

    for arguments in ((1, 2), ([1], {"b": {2}}), ("x" * 5000, b"y" * 90_000, None)):
        f(*arguments)
    assert {len(entry.head.notes) for entry in f.entries()} == {20}


def test_arguments_of_before_a_clear_are_not_kept(tmp_path: Path) -> None:
    from memo.explain._kept import recent, write_all

    cache = Cache(tmp_path / "place")

    @cache.persist
    def f(x: str) -> None:
        return None

    def kept() -> list[dict[str, str]]:
        write_all()
        scope = f.cache_key("").partition("/")[0]
        return [one.shown for one in recent(cache.storage, scope)[0]]

    f("first")
    assert kept() == [{"x": "'first'"}]
    f.cache_clear()
    f("second")
    assert kept() == [{}, {"x": "'second'"}]
    assert f.why("first").cause == "cleared"


def test_the_last_thousand_calls(tmp_path: Path) -> None:
    from memo.explain._kept import CALLS, recent, write_all

    cache = Cache(storage="memory")

    @cache.persist
    def f(x: int) -> int:
        return x

    for x in range(CALLS + 200):
        f(x)
    write_all()
    scope = f.cache_key(0).partition("/")[0]
    calls = recent(cache.storage, scope)[0]
    assert [call.shown["x"] for call in calls] == [str(x) for x in range(200, CALLS + 200)]
    record = cache.storage.read(f"{scope}/recent")
    assert record is not None
    assert len(record.body) < 60 * CALLS


def test_arguments_that_the_function_changes_are_told_as_they_came(tmp_path: Path) -> None:
    @persist(location=tmp_path / "place")
    def f(rows, end):
        rows.append(end)
        return rows

    class Bag:
        def __init__(self) -> None:
            self.rows: list[int] = []

    @persist(location=tmp_path / "place")
    def g(bag, end):
        bag.rows.append(end)

    f([1, 2], 3)
    assert f.why([1, 2], 4).text.startswith("argument end 3 -> 4\n")
    assert f.why([1, 5], 3).text.startswith("argument rows[1] 2 -> 5\n")
    g(Bag(), 3)
    assert g.why(Bag(), 4).text.startswith("argument end 3 -> 4\n")


def test_entries_whose_values_are_forgotten_still_tell_the_parameter(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "place")

    @cache.persist
    def f(n, cfg):
        return n

    f(1, {"a": 1})
    again = Cache(tmp_path / "place").persist(f.__wrapped__)
    assert again.why(1, {"a": 1}).cause == "hit"
    found = again.why(1, {"a": 2})
    assert (found.cause, found.path, found.before) == ("argument", "cfg", None)


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, (2, 3)], 4: None}, {1, 2}, frozenset({"a"}), [{"x": i} for i in range(20)], b"x" * 91, 10**5000,
        float("nan"), [[[[1]]]], type, len, lambda: 1, Path("a"), "x" * 3000, range(3), {"a" * 300: {"b" * 300: {1, "c"}}},
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_any_argument_is_told_from_its_neighbours(tmp_path: Path, value: object) -> None:
    @persist(location=tmp_path / "place")
    def f(before, x, after):
        return None

    f([1], value, {"k": 1})
    assert f.why([1], value, {"k": 1}).cause == "hit"
    for arguments, path in ((([1], value, {"k": 2}), 'after["k"]'), (([2], value, {"k": 1}), "before[0]")):
        found = f.why(*arguments)
        assert (found.cause, found.path) == ("argument", path), found.text
    found = f.why([1], (value, "other"), {"k": 1})
    assert found.path is not None
    assert found.path.startswith("x")


def test_values_and_texts_are_bounded(tmp_path: Path) -> None:
    from memo.explain._shown import MANY, leaves

    class Wide:
        def __init__(self) -> None:
            self.__dict__.update({f"field{i}": ["x" * 1000] * 1000 for i in range(1000)})

    cyclic: list[object] = []
    cyclic.append(cyclic)
    for value in (Wide(), cyclic, [[]] * 10**5, {i: {i: i} for i in range(10**5)}):
        found = leaves(("x", "last"), (value, 1))
        assert found["last"] == "1"
        assert len(found) <= MANY
        assert sum(map(len, found)) + sum(map(len, found.values())) < 3000


def test_code_of_the_user_is_not_run_for_it(tmp_path: Path) -> None:
    class Loud:
        def __init__(self) -> None:
            self.n = 1

        def __repr__(self) -> str:
            raise AssertionError("printed")

        def __getattr__(self, name: str) -> object:
            raise AttributeError(name)

    @persist(location=tmp_path / "place")
    def f(x):
        return None

    f(Loud())
    loud = Loud()
    loud.n = 2
    assert f.why(loud).path == "x.n"


def test_a_broken_record_costs_the_explanation_only(tmp_path: Path) -> None:
    cache = Cache(storage="memory")

    @cache.persist
    def f(x):
        return [x]

    f(1)
    scope, version, _ = f.cache_key(1).split("/")
    for name in (f"{scope}/recent", f"{scope}/{version}"):
        cache.storage.write(name, [b"noise"], bytes, size=5, mark=0)
    assert f(2) == [2]
    assert f.why(3).line == "argument x 2 -> 3"
    again = cache.persist(version=2)(f.__wrapped__)
    found = again.why(1)
    assert (found.cause, found.diff) == ("code", None)
    assert again(1) == [1]


@pytest.mark.parametrize("row", [[1] * 9, ["v", "a", 1.0, 0, True, "", 5, ["x"], {"x": 3}], []])
def test_a_record_of_another_shape(row: list[object]) -> None:
    from memo.explain._kept import write

    storage = Cache(storage="memory").storage

    def f(x):
        return [x]

    first = Cache(storage=storage).persist(f)
    assert first(1) == [1]
    scope, version, _ = first.cache_key(1).split("/")
    write(storage, f"{scope}/recent", {"format": 1, "calls": [row], "captures": {"x": []}})
    write(storage, f"{scope}/{version}", {"format": 1})
    again = Cache(storage=storage).persist(f, version=2)
    for ask in (1, 2):
        assert again.why(ask).cause in ("never seen", "code", "version")
    stop = memo.on_event(lambda event: None)
    assert again(1) == [1]
    stop()


def test_what_key_makes_of_a_call() -> None:
    cache = Cache(storage="memory")

    @cache.persist(key=lambda call: call.arguments["x"] % 10)
    def f(x):
        return None

    f(12)
    assert f.why(22).cause == "hit"
    found = f.why(33)
    assert (found.cause, found.path, found.before, found.after) == ("argument", "key", "2", "3")


def test_an_upgraded_package_is_no_code_change() -> None:
    """Only what differs is named: `of_versions` on what two versions were made of."""
    from memo.explain._cause import of_versions

    then = {"options": {}, "texts": {"f": "def f(): pass"}, "packages": {"a": "1"}, "follows": {}, "python": "3.11"}
    assert [part.path for part in of_versions(then, {**then, "packages": {"a": "2"}, "python": "3.12"})] == ["a"]
    assert [part.path for part in of_versions(then, {**then, "python": "3.12"})] == ["python"]
    assert [part.path for part in of_versions(then, {**then, "texts": {}})] == ["f"]


def test_why_is_a_value() -> None:
    why = Why("f", "argument", "argument n 1 -> 2\nmore", "n", "1", "2", "-a\n+b")
    assert why.line == "argument n 1 -> 2"
    assert str(why) == "argument n 1 -> 2\nmore\n-a\n+b"
    assert json.loads(json.dumps(why.as_dict()))["path"] == "n"


def test_wrong_arguments_raise_as_the_call_would(tmp_path: Path) -> None:
    @persist(location=tmp_path / "place")
    def f(x):
        return x

    with pytest.raises(TypeError, match="missing 1 required"):
        f.why()
