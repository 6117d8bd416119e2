"""Mode off opens no storage at all, even a corrupt one; and `memo where` shows who says which mode counts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import warm

import memo
from memo import Cache, cli, settings

Told = Callable[[], list[str]]
STORAGES = ["sqlite", "files", "shelve"]


def ruined(folder: Path, storage: str) -> dict[str, tuple[bytes, int]]:
    """A place with a result, all of whose files are garbage; what they hold."""
    f = Cache(folder, storage=storage).persist(lambda x: x, name="off.other", code="off", version=1)
    f(1)
    for file in folder.rglob("*"):
        if file.is_file():
            file.chmod(0o600)
            file.write_bytes(b"\0garbage\xff" * 500)
    return contents(folder)


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(file.relative_to(folder)): (file.read_bytes(), file.stat().st_mtime_ns)
        for file in folder.rglob("*")
        if file.is_file()
    }


@pytest.fixture
def _flags() -> Iterator[None]:
    yield
    settings.no_flags()


@pytest.mark.usefixtures("_flags")
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("by", ["argument", "with", "flag"])
def test_off_opens_nothing(tmp_path: Path, storage: str, by: str, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "place"
    before = ruined(folder, storage)
    monkeypatch.setattr(Cache, "_open", lambda self: pytest.fail("it was opened"))
    cache, calls = Cache(folder, storage=storage), []
    option = {"mode": "off"} if by == "argument" else {}
    f = cache.persist(lambda x: calls.append(x) or [x], name="off.f", code="off", version=1, **option)
    g = cache.persist(lambda x: iter([x]), name="off.g", code="off", version=1, ttl="1h", depends=["a"], **option)
    if by == "flag":
        settings.set_flags(mode="off")
    with memo.mode("off") if by == "with" else nullcontext():
        keyless: Any = (x for x in ())
        assert [f(1), f(1), f(keyless), list(g(1))] == [[1], [1], [keyless], [1]]
        assert (f.is_cached(1), f.get_or(7, 1), f.refresh(2), f.map([3])) == (False, 7, [2], [[3]])
        assert (f.delete(1), f.plan([(1,)]).misses) == (False, 1)
        assert "mode" in str(f.why(1))
    assert calls == [1, 1, keyless, 2, 3]
    assert told() == []
    assert contents(folder) == before


PROGRAM = """
import sys
from memo import persist
@persist(location=sys.argv[1], storage="sqlite")
def f(x): return [x]
print(f(1), f(1), f.is_cached(1))
"""


@pytest.mark.parametrize("by", ["environment", "pyproject"])
def test_off_from_outside(tmp_path: Path, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ruined(tmp_path / "place", "sqlite")
    (tmp_path / "program.py").write_text(PROGRAM)
    if by == "environment":
        monkeypatch.setenv("MEMO_MODE", "off")
    else:
        (tmp_path / "pyproject.toml").write_text('[tool.memo]\nmode = "off"\n')
    done = warm.run(["program.py", tmp_path / "place"], cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("[1] [1] False\n", "")
    assert contents(tmp_path / "place") == before


def test_the_order_of_precedence_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(settings, "_project_modes", {})
    monkeypatch.setattr(settings, "ACTIVE", [])
    (tmp_path / "pyproject.toml").write_text('[tool.memo]\nmode = "read-only"\n')
    Cache(tmp_path / "place").persist(lambda: 1, name="f", code="off", version=1)()

    def shown() -> list[tuple[str, str, bool]]:
        assert cli.main(["where", "-l", str(tmp_path / "place"), "--json"]) == 0
        return [(one["who"], one["says"], one["counts"]) for one in json.loads(capsys.readouterr().out)["modes"]]

    assert [(says, counts) for _, says, counts in shown()] == [
        ("what each function says", False), ("the innermost block that fits", False), ("not set", False), ("not set", False),
        ("read-only", True), ("normal", False),
    ]  # fmt: skip
    assert [who.split(" in ")[0] for who, _, _ in shown()] == [
        "@persist(mode=...)", "with memo.mode(...)", "flag of the program", "MEMO_MODE", "[tool.memo]", "default",
    ]  # fmt: skip
    monkeypatch.setattr(settings, "_environment", settings.mode_named("off"))
    assert [one[:2] for one in shown() if one[2]] == [("MEMO_MODE", "off")]
    monkeypatch.setattr(settings, "_flags", settings._Flags(settings.mode_named("refresh")))
    assert [one[:2] for one in shown() if one[2]] == [("flag of the program", "refresh")]
    assert cli.main(["where", "-l", str(tmp_path / "place")]) == 0
    assert "MODE IS SAID BY" in capsys.readouterr().out
