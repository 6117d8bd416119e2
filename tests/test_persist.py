"""What a user sees of @persist: results, handles, modes, errors."""

from __future__ import annotations

import gc
import inspect
import pickle
import textwrap
import warnings
import weakref
from pathlib import Path

import pytest
import warm

import memo
from memo import Cache, NotCachedError, OptionError, UnkeyableError, persist

KINDS = ("sqlite", "files", "shelve", "memory")


def counting(tmp_path: Path, **options: object):
    """A persisted function and the list of what it was called with."""
    calls: list[object] = []

    where = {} if "cache" in options else at(tmp_path, options.pop("storage", None))

    @persist(**{"ignore": ["calls"], **where, **options})
    def f(x, y=2, *, calls=calls):
        calls.append((x, y))
        return [x, y]

    return f, calls


def at(tmp_path: Path, kind: object) -> dict[str, object]:
    if kind == "memory":
        return {"cache": Cache(storage="memory")}  # one of its own: by name alone all functions would share it
    return {"storage": kind, "location": tmp_path / "place"}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


# ------------------------------------------------------------------------------------------------- hits and misses


def test_second_call_is_a_hit_however_spelled(tmp_path: Path, kind: str) -> None:
    f, calls = counting(tmp_path, storage=kind)
    assert f(1) == f(1) == f(x=1) == f(1, 2) == f(1, y=2) == [1, 2]
    assert calls == [(1, 2)]
    info = f.cache_info()
    assert (info.hits, info.misses, info.currsize) == (4, 1, 1)
    assert info.bytes > 0


def test_arguments_count_by_type_and_value(tmp_path: Path) -> None:
    f, calls = counting(tmp_path)
    for x in (1, 1.0, True, "1", b"1", None, 0.0, -0.0, (1,), [1], {1}, {"a": 1, "b": 2}):
        assert f(x)[0] == x
        assert type(f(x)[0]) is type(x)
    assert f({"b": 2, "a": 1})[0] == {"a": 1, "b": 2}
    assert len(calls) == 12


@pytest.mark.parametrize("value", [None, 0, "", False, [], {}, (), ..., float("inf"), 2**100, "x" * 3000, b"\0"])
def test_any_value_is_a_value(tmp_path: Path, kind: str, value: object) -> None:
    calls = []

    @persist(ignore=["calls"], **at(tmp_path, kind))
    def g(calls=calls):
        calls.append(1)
        return value

    for _ in range(3):
        result = g()
        assert result == value
        assert type(result) is type(value)
    assert calls == [1]


def test_what_a_caller_does_to_a_result_never_shows(tmp_path: Path, kind: str) -> None:
    @persist(**at(tmp_path, kind))
    def g(n):
        return {"a": [n], "b": n}

    for _ in range(4):
        result = g(1)
        assert result == {"a": [1], "b": 1}
        result["a"].append(99)
        result["c"] = 0


def test_exceptions_pass_and_are_not_stored(tmp_path: Path) -> None:
    calls = []

    @persist(location=tmp_path / "p", ignore=["calls"])
    def g(x, calls=calls):
        calls.append(x)
        raise KeyError(x)

    for _ in range(2):
        with pytest.raises(KeyError, match="5"):
            g(5)
    assert calls == [5, 5]


def test_a_wrong_call_raises_what_the_function_would(tmp_path: Path) -> None:
    f, _ = counting(tmp_path)
    with pytest.raises(TypeError, match=r"f\(\) missing 1 required positional argument: 'x'"):
        f()
    with pytest.raises(TypeError, match="unexpected keyword argument 'z'"):
        f(1, z=3)
    with pytest.raises(TypeError, match="missing 1 required"):
        f.is_cached()


def test_every_shape_of_signature(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "p")

    @cache.persist
    def g(a, /, b, c=3, *args, d, e=5, **kw):
        return a, b, c, args, d, e, kw

    assert g(1, 2, d=4) == g(1, b=2, d=4) == (1, 2, 3, (), 4, 5, {})
    assert (
        g(1, 2, 3, 9, 8, d=4, z=1, y=2) == g(1, 2, 3, 9, 8, y=2, z=1, d=4) == (1, 2, 3, (9, 8), 4, 5, {"z": 1, "y": 2})
    )
    assert g.cache_info()[:2] == (2, 2)

    @cache.persist
    def awkward(type, len, _memo_k, next=1):
        return type, len, _memo_k, next

    assert awkward(1, 2, 3) == awkward(1, 2, _memo_k=3) == (1, 2, 3, 1)
    assert awkward.cache_info().hits == 1


def test_ignore_and_key(tmp_path: Path) -> None:
    calls = []

    @persist(location=tmp_path / "p", ignore=["verbose", "calls"], key={"when": lambda when: when[:4]})
    def g(when, verbose=False, calls=calls):
        calls.append(when)
        return when

    assert g("2026-01") == g("2026-02", verbose=True) == g("2026", open) == "2026-01"
    assert calls == ["2026-01"]

    @persist(location=tmp_path / "p", key=lambda call: sorted(call.arguments["items"]))
    def h(items):
        return len(items)

    assert h([3, 1]) == h([1, 3]) == 2
    assert h.cache_info()[:2] == (1, 1)


def test_marks_on_parameters(tmp_path: Path) -> None:
    @persist(location=tmp_path / "p")
    def g(x: memo.HashBy[len], log: memo.NoHash[object], y: int = 1):
        return x

    assert g("ab", open) == g("cd", print) == "ab"
    assert g("abc", None) == "abc"


def test_an_argument_without_a_key(tmp_path: Path) -> None:
    f, calls = counting(tmp_path)
    with pytest.raises(UnkeyableError, match=r"x\[1\].*ignore="):
        f([1, (i for i in ())])
    assert calls == []
    with pytest.raises(UnkeyableError):
        f.is_cached(iter(()))
    assert f.cache_info().currsize == 0

    cache = Cache(tmp_path / "q", on_unkeyable="bypass")
    seen = []

    @cache.persist(ignore=["seen"])
    def g(x, seen=seen):
        seen.append(x)
        return 1

    iterator = iter([1, 2])
    assert g(iterator) == g(iterator) == 1
    assert len(seen) == 2
    assert list(iterator) == [1, 2]
    assert g(3) == g(3) == 1
    assert len(seen) == 3


# ---------------------------------------------------------------------------------------------------- handles


def test_handles(tmp_path: Path, kind: str) -> None:
    f, calls = counting(tmp_path, storage=kind)
    assert not f.is_cached(1)
    with pytest.raises(NotCachedError, match="never seen") as caught:
        f.get(1)
    assert isinstance(caught.value, KeyError)
    assert caught.value.miss.why == "never seen"
    assert f.get_or("nothing", 1) == "nothing"
    assert calls == []
    assert f(1) == [1, 2]
    assert f.is_cached(1)
    assert f.get(1) == f.get_or(None, x=1) == [1, 2]
    f.set([7], 1)
    assert f(1) == f.get(1) == [7]
    assert f.refresh(1) == f(1) == [1, 2]
    assert calls == [(1, 2), (1, 2)]
    assert f.delete(1)
    assert not f.delete(1)
    assert not f.is_cached(1)
    assert f(1) == [1, 2]
    f(2)
    assert len(f.entries()) == 2
    assert {entry.key for entry in f.entries()} == {f.cache_key(1), f.cache_key(2)}
    assert all(entry.head.serializer == "pickle" and entry.head.size > 0 for entry in f.entries())
    f.cache_clear()
    assert not f.is_cached(1)
    assert f.entries() == []
    assert f.cache_info().currsize == 0
    assert f(1) == [1, 2]
    assert len(calls) == 5
    parameters = f.cache_parameters()
    assert parameters["serializer"] == "pickle"
    assert parameters["ignore"] == ("calls",)
    assert f.__wrapped__(5, calls=[]) == [5, 2]


def test_a_clear_is_seen_by_another_cache_object_on_the_same_place(tmp_path: Path) -> None:
    def make():
        cache = Cache(tmp_path / "p")

        def f(x):
            return [x]

        return cache.persist(name="f")(f)

    one, two = make(), make()
    assert one(1) == two(1) == [1]
    assert two.cache_info()[:2] == (1, 0)
    assert two(1) == [1]
    one.cache_clear()
    assert not two.is_cached(1)
    two(1)
    assert two.cache_info().misses == 1
    one.set("other", 1)
    assert two(1) == "other"
    one.delete(1)
    assert two(1) == [1]


def test_still_a_real_function(tmp_path: Path) -> None:
    @persist(location=tmp_path)
    def f(a: int, b: str = "x", *c: int, d: float = 1.0, **e: int) -> bool:
        """What it does."""
        return True

    assert inspect.isfunction(f)
    assert str(inspect.signature(f)) == "(a: 'int', b: 'str' = 'x', *c: 'int', d: 'float' = 1.0, **e: 'int') -> 'bool'"
    assert (f.__name__, f.__doc__, f.__module__) == ("f", "What it does.", __name__)
    assert not inspect.iscoroutinefunction(f)
    assert pickle.loads(pickle.dumps(at_module_level)) is at_module_level


@persist(storage="memory")
def at_module_level(x):
    return x + 1


# --------------------------------------------------------------------------------------------------- methods


def test_methods(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "p")

    class Model:
        def __init__(self, rate):
            self.rate = rate

        @cache.persist
        def predict(self, x):
            return self.rate * x

        @cache.persist
        @classmethod
        def best(cls):
            return cls.__name__

        @classmethod
        @cache.persist
        def worst(cls):
            return cls.__name__

        @staticmethod
        @cache.persist
        def static(x):
            return [x]

        @cache.persist
        @staticmethod
        def static_too(x):
            return (x,)

        @property
        @cache.persist
        def double(self):
            return self.rate * 2

    class Child(Model):
        pass

    one, two = Model(2), Model(3)
    assert one.predict(10) == one.predict(x=10) == Model(2).predict(10) == Model.predict(one, 10) == 20
    assert two.predict(10) == 30
    assert Model.predict.cache_info()[:2] == (3, 2)
    assert one.predict.is_cached(10)
    assert not one.predict.is_cached(11)
    assert one.predict.refresh(10) == 20
    one.predict.set(5, 10)
    assert one.predict(10) == 5
    assert two.predict(10) == 30
    assert one.predict.get_or(None, 10) == 5
    assert one.predict.delete(10)
    assert one.predict(10) == 20
    assert Model.best() == one.best() == "Model"
    assert Child.best() == "Child"
    assert Child.best.is_cached()
    assert Model.worst() == Model.worst() == "Model"
    assert Child.worst() == "Child"
    assert Model.static(1) == one.static(1) == [1]
    assert Model.static_too(1) == one.static_too(1) == (1,)
    assert (one.double, two.double, one.double) == (4, 6, 4)
    assert str(inspect.signature(one.predict)) == "(x)"
    assert inspect.isfunction(Model.predict)


# ------------------------------------------------------------------------------------------------------ modes


def test_modes(tmp_path: Path) -> None:
    f, calls = counting(tmp_path)
    with memo.mode("only-cached"), pytest.raises(NotCachedError):
        f(1)
    with memo.mode("read-only"):
        assert f(1) == [1, 2]
    assert not f.is_cached(1)
    f(1)
    with memo.mode("only-cached"):
        assert f(1) == [1, 2]
    assert len(calls) == 2
    with memo.mode("off"):
        f(1)
        f(1)
        assert not f.is_cached(1)
    assert len(calls) == 4
    with memo.mode("refresh"):
        f(1)
        f(1)
    assert len(calls) == 5
    f(1)
    assert len(calls) == 5
    with memo.mode("off", functions="nothing.*"):
        f(1)
    assert len(calls) == 5
    with pytest.raises(OptionError, match="'normal', 'refresh'"):
        memo.mode("sometimes")


def test_own_mode(tmp_path: Path) -> None:
    f, calls = counting(tmp_path, mode="off")
    f(1)
    f(1)
    assert len(calls) == 2
    assert not (tmp_path / "place").exists()


def test_no_location_is_no_caching(tmp_path: Path) -> None:
    f, calls = counting(tmp_path, location=None)
    f(1)
    f(1)
    assert len(calls) == 2


def test_ttl_by_the_entries_own_age(tmp_path: Path, kind: str) -> None:
    now = [1_800_000_000.0]
    cache = at(tmp_path, kind).get("cache") or Cache(tmp_path / "place", storage=kind)
    cache.clock = lambda: now[0]
    f, calls = counting(tmp_path, cache=cache, ttl="1h")
    f(1)
    f(1)
    assert len(calls) == 1
    now[0] += 3599
    f(1)
    assert len(calls) == 1
    now[0] += 2
    with pytest.raises(NotCachedError, match=r"expired 1 s ago \(ttl 60 min\)"):
        f.get(1)
    f(1)
    assert len(calls) == 2
    longer, calls = counting(tmp_path, cache=cache, ttl="1d", name=f.cache_parameters()["name"])
    now[0] += 7200
    longer(1)
    assert calls == [], "another ttl in the code counts for what is stored"
    now[0] -= 86400
    with pytest.raises(NotCachedError, match="in the future"):
        longer.get(1)


def test_a_persisted_closure_can_be_collected(tmp_path: Path) -> None:
    class Big: ...

    def make():
        big = Big()

        @persist(location=tmp_path / "p", code="own")
        def f(x):
            return x if big is None else [x]

        return f, weakref.ref(big)

    f, ref = make()
    assert f(1) == f(1) == [1]
    del f
    gc.collect()
    assert ref() is None


def test_two_functions_under_one_name_are_reported(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "p")

    def one(x):
        return 1

    def two(x):
        return 2

    first = cache.persist(one, name="shared.name")
    with pytest.warns(memo.MemoWarning, match=r"one and .*two are both persisted as name='shared\.name'"):
        second = cache.persist(two, name="shared.name")
    assert (first(0), second(0), first(0), second(0)) == (1, 2, 1, 2)


# ------------------------------------------------------------------------------------------------------- misuse


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"expire": 3}, "memo's word for it is ttl"),
        ({"cachedir": "x"}, "memo's word for it is location"),
        ({"serialiser": "json"}, "Did you mean 'serializer'"),
        ({"ignore": "x"}, r"write ignore=\['x'\]"),
        ({"ignore": ["z"]}, "names 'z', which .*f.* does not take: its parameters are x"),
        ({"key": {"z": len}}, "names 'z'"),
        ({"key": 3}, "key must be a function"),
        ({"key": {"x": len}, "ignore": ["x"]}, "choose one"),
        ({"code": "none"}, "'follow', 'own' or 'off'"),
        ({"code": "off"}, "needs version="),
        ({"packages": "all"}, "packages must be"),
        ({"mode": "on"}, "'normal', 'refresh'"),
        ({"ttl": "soon"}, "soon"),
        ({"ttl": -1}, "-1"),
        ({"storage": "sqlit"}, "sqlit"),
        ({"storage": 3}, "no read"),
        ({"serializer": "yaml"}, "yaml"),
        ({"location": 3}, "location must be a folder"),
        ({"location": ""}, "empty"),
        ({"location": "nowhere://here"}, "nowhere"),
        ({"cache": "place"}, r"Cache\('place'\)"),
        ({"name": ""}, "name must be a text"),
        ({"version": [1]}, "version must be"),
        ({"policy": 3}, "policy must have"),
    ],
)
def test_options_that_cannot_be_right(options: dict, says: str) -> None:
    with pytest.raises(OptionError, match=says):

        @persist(**options)
        def f(x): ...


def test_functions_that_cannot_be_persisted() -> None:
    for function, says in (
        (len, r"whose code memo can't see: say with version="),
        (int, "is a class"), ("text", "options by name"), (persist(storage="memory")(lambda: 1), "persisted already"),
    ):  # fmt: skip
        with pytest.raises(OptionError, match=says):
            persist(function)


def test_nothing_is_made_before_the_first_call(tmp_path: Path) -> None:
    f, _ = counting(tmp_path)
    assert list(tmp_path.iterdir()) == []
    f(1)
    assert (tmp_path / "place" / "memo.json").exists()


# ------------------------------------------------------------------------------------------------ the cache fails


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    (place / "thesis.txt").write_text("mine")
    f, calls = counting(tmp_path)
    with pytest.warns(memo.MemoWarning, match="place") as warned:
        assert f(1) == f(1) == [1, 2]
    assert [w.category for w in warned].count(memo.MemoWarning) == 1  # others come from other tests' garbage
    assert len(calls) == 2
    assert [p.name for p in place.iterdir()] == ["thesis.txt"]


def test_another_storage_than_the_places(tmp_path: Path) -> None:
    f, _ = counting(tmp_path, storage="files")
    f(1)
    g, _ = counting(tmp_path, storage="shelve")
    with pytest.warns(memo.MemoWarning, match="made with storage='files', not 'shelve'"):
        assert g(1) == [1, 2]
    assert f.is_cached(1)
    with pytest.raises(memo.PlaceError, match="files"):
        _ = Cache(tmp_path / "place", storage="shelve").storage


def test_a_result_that_cannot_be_stored(tmp_path: Path) -> None:
    @persist(location=tmp_path / "p", serializer="json")
    def g(x):
        return {x}

    with pytest.warns(memo.MemoWarning, match="can't be stored by 'json'"):
        assert g(1) == {1}
    assert g(1) == {1}


def test_under_error_filters_the_cache_logs_instead(tmp_path: Path) -> None:
    (tmp_path / "place").write_text("a file in the way")
    f, calls = counting(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert f(1) == f(1) == [1, 2]
    assert len(calls) == 2


def test_strict_raises(tmp_path: Path) -> None:
    (tmp_path / "place").write_text("a file in the way")
    cache = Cache(tmp_path / "place", strict=True)
    f = cache.persist(lambda x: x)
    with pytest.raises(memo.PlaceError):
        f(1)


def test_what_changes_while_it_runs_is_not_stored(tmp_path: Path) -> None:
    global RATE

    @persist(location=tmp_path / "p")
    def g(x):
        global RATE
        RATE += 1
        return RATE

    RATE = 1
    with pytest.warns(memo.MemoWarning, match="changed while it ran"):
        assert g(1) == 2
    assert g.cache_info().currsize == 0


RATE = 1


# ---------------------------------------------------------------------------------------------- fresh processes

SCRIPT = """
from memo import persist
import helper

RATE = {rate}

def local(x):
    return x * RATE

@persist(location={place!r})
def f(x, d=None):
    print("computing")
    return helper.add(local(x))

print(f(3), f(3, d=None))
"""


def run(
    folder: Path, place: Path, rate: int = 2, helper: str = "def add(x): return x + 1", script: str = SCRIPT
) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "helper.py").write_text(helper)
    (folder / "script.py").write_text(textwrap.dedent(script.format(rate=rate, place=str(place))))
    done = warm.run(["-W", "error", "-B", folder / "script.py"])
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_across_processes(tmp_path: Path) -> None:
    place, here = tmp_path / "place", tmp_path / "a"
    assert run(here, place) == "computing\n7 7\n"
    assert run(here, place) == "7 7\n"
    assert run(tmp_path / "b", place) == "7 7\n", "another folder is the same code"
    commented = "# a comment\n\ndef add(x):\n    '''doc'''\n    return (x\n        + 1)"
    assert run(here, place, helper=commented) == "7 7\n"
    assert run(here, place, rate=5) == "computing\n16 16\n"
    assert run(here, place, helper="def add(x): return x + 2") == "computing\n8 8\n"
    assert run(here, place) == "7 7\n", "old results stay"
    assert run(here, place, helper="def add(x): return x + 1\ndef other(): return 3") == "7 7\n"


def test_functions_of_one_shape_share_their_code_and_keep_their_names(tmp_path):
    """The wrapper is compiled once a shape, under names of its own."""
    from memo import _wrapper

    def first(a, b=1, /, c=2, *rest, d, e=3, **more):
        return a, b, c, rest, d, e, more

    def second(_memo0, y=4, /, z=5, *others, u, v=6, **keywords):
        return _memo0, y, z, others, u, v, keywords

    cache = Cache(tmp_path / "place")
    one = cache.persist(first)
    compiled = len(_wrapper._codes)
    third = cache.persist(lambda r, s=1, /, t=2, *p, q, o=3, **n: (r, s, t, p, q, o, n), name="third")
    assert len(_wrapper._codes) == compiled
    for persisted, plain in ((one, first), (cache.persist(second), second), (third, third.__wrapped__)):
        names = list(inspect.signature(plain).parameters)
        assert list(inspect.signature(persisted, follow_wrapped=False).parameters) == names
        by_name = {names[4]: 7, names[2]: 8, "w": 9, names[0]: "positional only names may be among the others"}
        for _ in range(2):
            assert persisted(1, **by_name) == plain(1, **by_name)
            assert persisted(1, 2, 3, 4, **{names[4]: 5}) == plain(1, 2, 3, 4, **{names[4]: 5})
        for wrong in ((), (1,)):
            with pytest.raises(TypeError) as raised:
                persisted(*wrong)
            with pytest.raises(TypeError) as expected:
                plain(*wrong)
            assert str(raised.value).rpartition(".")[2] == str(expected.value).rpartition(".")[2]
