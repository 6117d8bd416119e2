"""What other code, another Python or another serializer has stored: readable or recomputed, with one warning that says why."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from test_fingerprint_code_edits import other_pythons

from memo import Cache
from memo.storages.memory import Memory

STORAGES = ("sqlite", "files", "shelve", "memory")


class Frozen:
    """Pickled by name, as classes of a user's module are."""

    def __init__(self, x: int) -> None:
        self.x = x


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of the user's, with a class Point."""
    module = ModuleType("shapes_of_the_user")

    class Point(Frozen):
        pass

    Point.__module__, Point.__qualname__ = module.__name__, "Point"
    module.Point = Point  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def renamed(module: ModuleType) -> None:
    module.Dot = module.Point  # type: ignore[attr-defined]
    module.Dot.__qualname__ = "Dot"
    del module.Point


def other_module(module: ModuleType) -> None:
    del sys.modules[module.__name__]
    moved = sys.modules["figures_of_the_user"] = ModuleType("figures_of_the_user")
    moved.Point = module.Point  # type: ignore[attr-defined]
    module.Point.__module__ = moved.__name__


def refuses(module: ModuleType) -> None:
    def setstate(self: Any, state: Any) -> None:
        if "y" not in state:
            raise ValueError("a point has an y by now")
        self.__dict__.update(state)

    class Point(module.Point):  # type: ignore[misc, name-defined]
        def __getstate__(self) -> Any:
            return {**self.__dict__, "y": 0}

        __setstate__ = setstate

    Point.__module__, Point.__qualname__ = module.__name__, "Point"
    module.Point = Point  # type: ignore[attr-defined]


def slots(module: ModuleType) -> None:
    class Point:
        __slots__ = ("y",)

    Point.__module__, Point.__qualname__ = module.__name__, "Point"
    module.Point = Point  # type: ignore[attr-defined]


def made_otherwise(module: ModuleType) -> None:
    class Point(Frozen):
        def __new__(cls, x: int) -> Any:
            return super().__new__(cls)

    Point.__module__, Point.__qualname__ = module.__name__, "Point"
    module.Point = Point  # type: ignore[attr-defined]


CHANGES: dict[str, tuple[Callable[[ModuleType], None], str]] = {
    "renamed": (renamed, "Can't get attribute 'Point' on <module 'shapes_of_the_user'"),
    "moved to another module": (other_module, "No module named 'shapes_of_the_user'"),
    "its __setstate__ refuses": (refuses, "ValueError: a point has an y by now"),
    "it has slots now": (slots, "AttributeError: 'Point' object has no attribute"),
    "its __new__ wants more": (made_otherwise, "missing 1 required positional argument: 'x'"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", STORAGES)
def test_a_class_that_is_no_longer_what_it_was(
    tmp_path: Path, kind: str, change: str, shapes: ModuleType, told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    in_memory = Memory()

    def asked(x: int = 1) -> Any:
        """As a new process."""
        cache = Cache(storage=in_memory) if kind == "memory" else Cache(tmp_path / "place", storage=kind)

        def make(x: int) -> Any:
            calls.append(x)
            module = sys.modules.get("shapes_of_the_user") or sys.modules["figures_of_the_user"]
            kind = getattr(module, "Point", None) or module.Dot
            made = kind.__new__(kind, *[x] * (change == "its __new__ wants more" and kind is not old))
            setattr(made, "y" if hasattr(kind, "__slots__") else "x", x)
            return made

        return cache.persist(make, name="foreign.make", code="off", version=1)(x)

    old = shapes.Point  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "figures_of_the_user", ModuleType("nothing"))
    before = asked()
    assert type(asked()) is type(before)
    assert (calls, told()) == ([1], [])
    work, why = CHANGES[change]
    work(shapes)
    after = asked()
    assert calls == [1, 1]
    assert len(told()) == 1
    assert why in told()[0]
    assert type(asked()) is type(after)
    if change == "its __new__ wants more":
        return  # what can't be unpickled never can
    assert (calls, len(told())) == ([1, 1], 1), "in its place is what can be loaded"


def test_a_function_that_gives_other_types_by_now_and_another_serializer(tmp_path: Path, told: Any) -> None:
    """Each cache reads what any of the others wrote, or says nothing and computes: a serializer may be changed at will."""
    calls: list[str] = []

    def f(x: int) -> list[int]:
        calls.append(serializer)
        return [x] * 3

    names = ["pickle", "json", "auto", "joblib", "pickle"]
    for serializer in names:
        persisted = Cache(tmp_path / "place", serializer=serializer).persist(f, name="foreign.f", code="off", version=1)
        assert persisted(1) == [1] * 3
        assert persisted(names.index(serializer)) == [names.index(serializer)] * 3
    assert calls == ["pickle", "pickle", "auto", "joblib"], "1 was stored once, for all of them"
    assert told() == []


PROGRAM = """
    import pathlib, sys
    from memo import persist, MemoWarning

    @persist(location="place", storage=sys.argv[1])
    def f(x):
        print("computed", end=" ")
        return {"of": x, "large": b"x" * (100_000 * (x == 2)), "set": {1, 2}, "none": None}

    @persist(location="place", storage=sys.argv[1])
    def g(x):
        print("computed", end=" ")
        return pathlib.PurePosixPath("a") / str(x)

    for x in range(3):
        assert f(x) == {"of": x, "large": b"x" * (100_000 * (x == 2)), "set": {1, 2}, "none": None}
        assert g(x) == pathlib.PurePosixPath("a") / str(x)
"""


@pytest.mark.parametrize("kind", ["sqlite", "files", "shelve"])
def test_two_pythons_share_a_place(tmp_path: Path, kind: str) -> None:
    others = other_pythons()
    if not others:
        pytest.skip("no other Python that has memo")
    (tmp_path / "program.py").write_text(textwrap.dedent(PROGRAM))

    def run(python: str) -> tuple[str, list[str]]:
        environment = {**os.environ, "PYTHONWARNINGS": "always::memo.MemoWarning"}
        command = [python, "-B", "program.py", kind]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stderr
        return done.stdout, [line for line in done.stderr.splitlines() if "MemoWarning" in line]

    for python in others:
        for path in sorted(tmp_path.glob("place*")):
            path.rename(tmp_path / f"away{len(list(tmp_path.iterdir()))}")
        assert run(sys.executable) == ("computed " * 6, [])
        out, said = run(python)
        if said and kind == "shelve":
            assert "this Python has no dbm." in said[0], "a shelf is read by who has its dbm"
            continue
        # a class may lie elsewhere in the other Python: then that result is computed, and one warning names the class
        assert (out, said) == ("", []) or (out.count("computed") <= 3 and len(said) == 1 and "pathlib" in said[0]), (
            out,
            said,
        )
        out, said = run(sys.executable)
        assert (out, said) == ("", []) or (out.count("computed") <= 3 and len(said) == 1 and "pathlib" in said[0])
