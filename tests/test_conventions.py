"""What people expect of any tool and no other test holds: extras, entry points, versions, encodings."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import memo
from memo.cli import _doctor, main

ROOT = Path(memo.__file__).parent
PROJECT = Path(__file__).parent.parent / "pyproject.toml"
#: what is for the people who work on memo, or for its examples
WORKSHOP = {"servers", "examples", "test", "bench", "plots", "lint"}


@pytest.fixture(scope="module")
def project() -> dict[str, dict[str, dict[str, str]]]:
    return tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]  # type: ignore[no-any-return]


def test_types_travel_with_the_package() -> None:
    assert (ROOT / "py.typed").is_file()


def test_the_command_is_what_python_runs_with_m(project: dict[str, dict[str, str]]) -> None:
    assert project["scripts"] == {"memo": "memo.cli:main"}
    assert "from memo.cli import main" in (ROOT / "__main__.py").read_text(encoding="utf-8")


def test_pytest_finds_the_plug_in(project: dict[str, dict[str, dict[str, str]]]) -> None:
    assert project["entry-points"]["pytest11"] == {"memo": "memo_pytest"}


def test_extras_are_lower_case_and_the_doctor_knows_each(project: dict[str, dict[str, str]]) -> None:
    extras = set(project["optional-dependencies"])
    assert all(re.fullmatch("[a-z][a-z0-9]*", extra) for extra in extras)
    assert extras - WORKSHOP == set(_doctor.EXTRAS)


def test_who_lacks_a_package_is_told_a_line_that_works(project: dict[str, dict[str, str]]) -> None:
    """Each says an extra that there is, in quotes: zsh takes brackets for a pattern."""
    lines = [
        line
        for file in ROOT.rglob("*.py")
        for line in re.findall(r"pip install[^\n]*memo-persist\[[^\n]*", file.read_text(encoding="utf-8"))
    ]
    assert len(lines) > 8
    for line in lines:
        named = re.match(r'pip install \\?"memo-persist\[(\{?\w+\}?)\]\\?"', line)
        assert named, line
        assert named[1] in project["optional-dependencies"] or named[1].startswith("{"), line


def test_the_doctor_lists_the_extras(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "-l", str(tmp_path / "none")])
    told = capsys.readouterr().out
    for extra in _doctor.EXTRAS:
        assert extra in told
