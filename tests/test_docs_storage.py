"""The worked example of docs/storage.md is a storage, to the letter."""

import re
import sys
from pathlib import Path

import pytest
import warm

from memo.testing import agree

TEXT = (Path(__file__).parent.parent / "docs" / "storage.md").read_text(encoding="utf-8")
EXAMPLE, USE, SUITE = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture(scope="module", autouse=True)
def example(tmp_path_factory):
    """The example as a module that child processes can import, too."""
    folder = tmp_path_factory.mktemp("example")
    (folder / "docs_example.py").write_text(EXAMPLE, encoding="utf-8")
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))


def suite():
    """The suite as the text gives it, with the class of the text."""
    scope = {"Flat": lambda folder: __import__("docs_example").Flat(folder)}
    exec(SUITE, scope)
    return scope["TestFlat"]


TestFlat = suite()
TestFlat.__module__ = __name__


@pytest.mark.slow
def test_random_commands(tmp_path):
    agree(TestFlat().make(tmp_path))


def test_takes_at_most_fifty_lines():
    assert len([line for line in EXAMPLE.splitlines() if line.strip()]) <= 50


def test_it_is_used_as_the_text_says(tmp_path):
    """Storage of its own, so that a second run computes nothing."""
    program = f"{EXAMPLE}{USE}print(square.cache_info()[:2])\n"
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    run = ["-W", "error", "program.py"]
    said = [warm.run(run, cwd=tmp_path, check=True).stdout for _ in range(2)]
    assert said == ["(1, 1)\n", "(2, 0)\n"]
    assert list((tmp_path / "results").iterdir())


def test_abilities_and_methods_are_those_there_are():
    from memo import protocols

    for name, methods in re.findall(r"\| `(\w+)` \| (`.*?`) \|", TEXT.partition("## What else")[2]):
        wanted = {method for method in vars(getattr(protocols, name)) if not method.startswith("_")}
        assert set(re.findall(r"`(\w+)\(", methods)) == wanted
