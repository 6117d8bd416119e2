"""``%memo``: in a real kernel of Jupyter, and each of its commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import memo
from memo import _ipython, settings

jupyter = pytest.importorskip("jupyter_client.manager")


def test_in_a_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMO_DIR", str(tmp_path / "place"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    manager, client = jupyter.start_new_kernel(startup_timeout=100, kernel_name="python3", cwd=str(tmp_path))

    def run(cell: str) -> str:
        said: list[str] = []

        def heard(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "error":
                said.append("\n".join(content["traceback"]))
            elif message["msg_type"] == "stream":
                said.append(content["text"])
            elif message["msg_type"] in ("execute_result", "display_data"):  # the latter: a table of rich
                said.append(content["data"]["text/plain"])

        client.execute_interactive(cell, timeout=100, output_hook=heard)
        return "".join(said)

    try:
        cell = "@memo.persist\ndef f(x):\n    print('computing', x)\n    return [x] * factor\nf(3), f(3)"
        assert run("import memo\n%load_ext memo\nfactor = 2") == ""
        assert run(cell) == "computing 3\n([3, 3], [3, 3])"
        assert run(cell) == "([3, 3], [3, 3])", "the cell that is run again is the same function"
        assert run("factor = 3\nf(3)") == "computing 3\n[3, 3, 3]", "what another cell changes counts"
        assert run("%memo stats").startswith("memo: ")
        assert "factor" in run("factor = 4\n%memo why f(3)")
        assert run("factor = 3\n%memo clear f").startswith("cleared ")
        assert run("f(3)") == "computing 3\n[3, 3, 3]"
        assert "FUNCTION" in run("%memo ls")
        assert run("%memo mode off") == "off\n"
        assert run("f(3)") == "computing 3\n[3, 3, 3]"
        assert run("%memo mode normal") == "normal\n"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.fixture
def names(tmp_path: Path) -> Iterator[dict[str, Any]]:
    cache = memo.Cache(tmp_path / "place")

    @cache.persist(name="lab.square")
    def square(n: int) -> int:
        return n * n

    @cache.persist(name="lab.wait")
    async def wait(n: int) -> int:
        return n

    yield {"square": square, "wait": wait, "plain": len, "three": 3}
    settings.no_flags()


def said(line: str, names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    _ipython.memo(line, names)
    return capsys.readouterr().out


def test_clear(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    square = names["square"]
    for wanted in ("square", "lab.*", "lab.square", ""):
        square(3)
        assert square.is_cached(3)
        assert "cleared lab.square\n" in said(f"clear {wanted}", names, capsys)
        assert not square.is_cached(3), wanted
    assert "no persisted function of this session is called 'nobody'" in said("clear nobody", names, capsys)


def test_why(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    names["square"](3)
    assert "stored" in said("why square(three)", names, capsys)
    assert "argument n 3 -> 5" in said("why square(n=5)", names, capsys)
    assert "never" in said("why wait(1)", names, capsys)
    assert "plain is not persisted" in said("why plain([])", names, capsys)
    assert "takes a call as you would write it" in said("why 3 + (4)", names, capsys)
    with pytest.raises(NameError):
        _ipython.memo("why square(nobody)", names)


def test_mode(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert said("mode", names, capsys) == "normal\n"
    assert said("mode read-only", names, capsys) == "read-only\n"
    assert settings.current("any.function").name == "read-only"
    assert "mode is one of 'normal'" in said("mode sometimes", names, capsys)


def test_other_commands_are_those_of_memo(
    names: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names["square"](3)
    assert "lab.square" in said(f"-l '{tmp_path / 'place'}' ls", names, capsys)
    assert str(tmp_path) in said(f"where -l '{tmp_path / 'place'}'", names, capsys)
    assert said("", names, capsys) == _ipython.USAGE
