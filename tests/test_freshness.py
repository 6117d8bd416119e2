"""The options that say how long a result is good and which are kept, through persisted functions, on each storage."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from memo import Cache, Env, MemoWarning, NotCachedError, OptionError, Package, Value, events, persist
from memo.storages import Memory

STORAGES = ["sqlite", "files", "shelve", "memory", "sql"]
START = 2e9


class Lab:
    """One place, a clock, and functions persisted in it; ``again()`` is the next run of the program."""

    def __init__(self, folder: Path, storage: str) -> None:
        self.folder, self.storage, self.now = folder, storage, START
        self.memory = Memory()
        self.calls: list[Any] = []

    def cache(self, **options: Any) -> Cache:
        if self.storage == "memory":
            cache = Cache(storage=self.memory, **options)
        elif self.storage == "sql":
            self.folder.mkdir(exist_ok=True)
            cache = Cache(f"sqlite+pysqlite:///{self.folder / 'results.db'}", trust_folder=True, **options)
        else:
            cache = Cache(self.folder, storage=self.storage, **options)
        cache.clock = lambda: self.now
        return cache

    def again(self, *, of: Callable[[Any], Any] | None = None, **options: Any) -> Any:
        """A function that notes its calls, as another run of the program would make it."""
        calls = self.calls

        def f(x: Any) -> Any:
            calls.append(x)
            return [x] if of is None else of(x)

        return self.cache().persist(f, name="lab.f", code="off", version=1, **options)

    def computed(self) -> list[Any]:
        found = list(self.calls)
        self.calls.clear()
        return found


@pytest.fixture(params=STORAGES)
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Lab:
    events._warned.clear()
    return Lab(tmp_path / "place", request.param)


def test_ttl(lab: Lab) -> None:
    f = lab.again(ttl="1h")
    f(1), f(1)
    lab.now += 3599
    f(1), lab.again(ttl="1h")(1)
    assert lab.computed() == [1]
    lab.now += 2
    f(1)
    assert lab.computed() == [1]
    lab.now += 3000
    lab.again(ttl="1h")(1)
    assert lab.computed() == [], "the hour began anew"
    lab.again(ttl="30m")(1)
    assert lab.computed() == [1], "another ttl in code counts for what is stored"


def test_ttl_until_a_moment_and_of_the_value(lab: Lab) -> None:
    f = lab.again(ttl=datetime.fromtimestamp(START + 100))
    f(1)
    lab.now += 99
    f(1)
    lab.now += 1
    f(1)
    assert lab.computed() == [1, 1]
    g = lab.again(ttl=lambda value: value[0])
    g(50), g(500), g(50), g(500)
    lab.now += 100
    g = lab.again(ttl=lambda value: value[0])
    g(50), g(500)
    assert lab.computed() == [50, 500, 50]


def test_an_entry_from_the_future_is_stale(lab: Lab) -> None:
    f = lab.again(ttl="1h")
    lab.now += 1000
    f(1)
    lab.now -= 500
    lab.again(ttl="1h")(1)
    assert lab.computed() == [1, 1]


def test_idle_ttl_counts_from_the_last_use(lab: Lab) -> None:
    f = lab.again(idle_ttl=1000)
    f(1), f(2)
    for _ in range(5):
        lab.now += 900
        assert f(1) == [1]
    assert lab.computed() == [1, 2]
    lab.now += 900
    g = lab.again(idle_ttl=1000)
    g(1)
    assert lab.computed() == [], "the uses of an earlier run count"
    g(2)
    assert lab.computed() == [2]
    lab.now += 1001
    g(1)
    assert lab.computed() == [1]


def test_validate_is_asked_at_every_call(lab: Lab) -> None:
    good = [True]
    f = lab.again(validate=lambda head: good[0] and head.size < 1000)
    f(1), f(1)
    assert lab.computed() == [1]
    good[0] = False
    f(1), f(1)
    assert lab.computed() == [1, 1]
    good[0] = True
    f(1), lab.again(validate=lambda head: True)(1)
    assert lab.computed() == []


def test_store_if(lab: Lab) -> None:
    f = lab.again(store_if=lambda value: value != [0])
    f(0), f(0), f(1), f(1)
    assert lab.computed() == [0, 0, 1]


def test_store_if_slower_than(lab: Lab) -> None:
    quick, slow = lab.again(store_if_slower_than="1h"), lab.again(store_if_slower_than=0)
    quick(1), quick(1)
    assert lab.computed() == [1, 1]
    slow(1), slow(1)
    assert lab.computed() == [1]


class Failure(Exception):
    def __init__(self, code: int, hint: str) -> None:
        super().__init__(code, hint)
        self.code = code


def failing(x: Any) -> Any:
    if x == "pass":
        return x
    raise {"code": Failure(7, "try later"), "key": KeyError(x), "value": ValueError(x)}[x]


def test_exceptions_are_kept_and_raised_again(lab: Lab) -> None:
    for _ in "12":
        f = lab.again(of=failing, cache_exceptions=(Failure, LookupError))
        for _ in "12":
            with pytest.raises(Failure) as raised:
                f("code")
            assert (raised.value.args, raised.value.code) == ((7, "try later"), 7)
            with pytest.raises(KeyError):
                f("key")
    assert lab.computed() == ["code", "key"]
    shown = "".join(traceback.format_exception(raised.value))
    assert "in failing" in shown.partition("memo stored this exception")[2], "where it was raised when it was computed"
    with pytest.raises(Failure):
        f.get("code")
    assert f.is_cached("code")
    assert f.cache_info().hits == 4


def test_other_exceptions_are_not_kept(lab: Lab) -> None:
    f = lab.again(of=failing, cache_exceptions=LookupError)
    for _ in "12":
        with pytest.raises(ValueError, match="value"):
            f("value")
    assert (f("pass"), f("pass")) == ("pass", "pass")
    assert lab.computed() == ["value", "value", "pass"]
    plain = lab.again(of=failing)
    for _ in "12":
        with pytest.raises(KeyError):
            plain("key")
    assert lab.computed() == ["key", "key"]


def test_exceptions_have_a_ttl_of_their_own(lab: Lab) -> None:
    f = lab.again(of=failing, cache_exceptions={LookupError: "1m"})
    for moment, expected in ((0, ["key", "pass"]), (59, []), (2, ["key"])):
        lab.now += moment
        with pytest.raises(KeyError):
            f("key")
        f("pass")
        assert lab.computed() == expected


def test_an_exception_that_can_not_be_pickled_is_raised_all_the_same(lab: Lab) -> None:
    class Local(Exception):
        pass

    def raising(x: Any) -> Any:
        raise Local(x)

    f = lab.again(of=raising, cache_exceptions=Local)
    with pytest.warns(MemoWarning, match="can't be pickled"), pytest.raises(Local):
        f(1)
    with pytest.raises(Local):
        f(1)
    assert lab.computed() == [1, 1]


def test_depends_on_files_folders_and_patterns(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "data/deep").mkdir(parents=True)
    file, other, deep = tmp_path / "one.csv", tmp_path / "data/a.txt", tmp_path / "data/deep/b.txt"
    for path in (file, other, deep):
        path.write_text("1")
    f = lab.again(depends=[file, str(tmp_path / "data"), str(tmp_path / "*.csv"), tmp_path / "absent"])
    f(1), f(1)
    assert lab.computed() == [1]
    changes: list[Callable[[], object]] = [
        lambda: file.write_text("2"),
        lambda: deep.write_text("2"),
        lambda: (tmp_path / "data/new.txt").write_text("1"),
        lambda: (tmp_path / "two.csv").write_text("1"),
        lambda: (tmp_path / "absent").write_text(""),
        lambda: os.replace(other, tmp_path / "data/renamed.txt"),
        lambda: (tmp_path / "two.csv").unlink(),
    ]
    for change in changes:
        change()
        f(1), f(1)
        assert lab.computed() == [1]
    file.write_text("2")  # touched, with the same content
    os.utime(file, (1, 1))
    f(1)
    assert lab.computed() == []


def test_a_miss_names_the_dependency_that_changed(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "rates.csv"
    file.write_text("1")
    f = lab.again(depends=[Env("MEMO_ABSENT"), file])
    f(1)
    file.write_text("2")
    assert f"{file} changed" in str(f.why(1))


def test_depends_on_the_environment_packages_and_values(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    region = {"name": "north", "codes": [1, 2]}
    f = lab.again(depends=[Env("MEMO_TEST_X"), Package("pytest"), Package("no-such-package"), Value(lambda: region)])
    f(1), f(1)
    assert lab.computed() == [1]
    monkeypatch.setenv("MEMO_TEST_X", "")
    f(1), f(1)
    assert lab.computed() == [1], "set and empty is not unset"
    region["codes"] = [1, 3]
    f(1), f(1)
    assert lab.computed() == [1]


def test_what_changes_during_the_computation_is_returned_and_not_stored(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_text("1")

    def careless(x: Any) -> str:
        text = file.read_text()
        file.write_text(text + x)
        return text

    f = lab.again(of=careless, depends=[file])
    assert (f("a"), f("b"), f("")) == ("1", "1a", "1ab")
    assert f("") == "1ab"
    assert lab.computed() == ["a", "b", ""]


def test_tags_clear_entries_of_several_functions(lab: Lab) -> None:
    cache = lab.cache()

    def made(name: str, tags: Any) -> Any:
        def f(x: Any) -> Any:
            lab.calls.append((name, x))
            return x

        return cache.persist(f, name=name, code="off", version=1, tags=tags)

    users, posts, plain = made("users", ["web", "users"]), made("posts", ["web"]), made("plain", None)
    everything = users, posts, plain

    def ask() -> list[Any]:
        for f in everything:
            f(1)
        return lab.computed()

    assert ask() == [("users", 1), ("posts", 1), ("plain", 1)]
    assert ask() == []
    cache.clear(tag="users")
    assert ask() == [("users", 1)]
    lab.cache().clear(tag="web")  # another program
    assert ask() == [("users", 1), ("posts", 1)]
    cache.clear(tag="nobody's")
    assert ask() == []


def test_tags_of_arguments_and_result(lab: Lab) -> None:
    f = lab.again(tags=lambda arguments, result: [f"user-{arguments['x']}", f"first-{result[0]}"])
    f(1), f(2)
    f.__wrapped__  # noqa: B018
    lab.computed()
    lab.cache().clear(tag="user-1")
    f(1), f(2)
    assert lab.computed() == [1]
    lab.cache().clear(tag="first-2")
    f(1), f(2)
    assert lab.computed() == [2]


def test_options_work_together(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "x"
    f = lab.again(ttl="1h", depends=[file], tags=["t"], store_if=lambda v: v != [0], cache_exceptions={KeyError: 1})
    f(1), f(1), f(0), f(0)
    assert lab.computed() == [1, 0, 0]
    file.write_text("")
    f(1)
    lab.cache().clear(tag="t")
    f(1)
    lab.now += 3601
    f(1), f(1)
    assert lab.computed() == [1, 1, 1]


@pytest.mark.parametrize("option", ["validate", "store_if", "ttl", "tags", "depends"])
def test_a_question_of_the_user_that_raises_costs_one_warning(lab: Lab, option: str) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("broken question")

    f = lab.again(**{option: [Value(broken)] if option == "depends" else broken})
    with pytest.warns(MemoWarning, match="broken question") as warned:
        assert (f(1), f(1)) == ([1], [1])
    assert [w.category for w in warned].count(MemoWarning) == 1  # others come from other tests' garbage
    assert lab.computed() == [1, 1]


def test_only_cached_says_what_is_stale(lab: Lab) -> None:
    f = lab.again(ttl=10)
    f(1)
    lab.now += 11
    with pytest.raises(NotCachedError, match="expired 1 s ago"):
        lab.again(ttl=10, mode="only-cached")(1)


@pytest.mark.parametrize(
    "options",
    [
        {"ttl": "soon"}, {"ttl": -1}, {"idle_ttl": "soon"}, {"validate": 1}, {"store_if": 1}, {"store_if_slower_than": "x"},
        {"cache_exceptions": [int]}, {"cache_exceptions": "ValueError"}, {"depends": "file.csv"}, {"depends": [1]},
        {"depends": [Env]}, {"tags": "tag"}, {"tags": [1]}, {"policy": 1}, {"expire": 1}, {"ttl_seconds": 1},
    ],
)  # fmt: skip
def test_what_can_not_be_right_raises_at_decoration(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        persist(**options)


def test_a_tag_filters_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from memo.cli import main

    lab = Lab(tmp_path / "place", "sqlite")
    f = lab.again(tags=lambda arguments, result: [f"user-{arguments['x']}"], ttl="1h")
    f(1), f(2)
    place = str(tmp_path / "place")
    assert main(["ls", "-l", place, "--tag", "user-1", "--entries", "--json"]) == 0
    assert capsys.readouterr().out.count('"key"') == 1
    assert main(["clear", "-l", place, "--tag", "user-1", "--yes"]) == 0
    assert "cleared 1 entry" in capsys.readouterr().out
    assert main(["ls", "-l", place, "--tag", "user-1"]) == 1
    f(1), f(2)
    assert lab.computed() == [1, 2, 1]
