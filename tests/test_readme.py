"""The README is the manual: its code runs, and it names every option, handle, flag, variable and command there is."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

import pytest
import warm

import memo
from memo import _handle, _peers, flags

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_code_blocks_run(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) > 8
    script = tmp_path / "readme.py"
    script.write_text("\n".join(blocks), encoding="utf-8")
    environment = {**os.environ, "MEMO_DIR": str(tmp_path / "place")}
    command = ["-W", "error", script]
    for computed in (5, 2):
        # In the second run simulate() is stored: only the modes "refresh" and "off" compute.
        done = warm.run(command, cwd=tmp_path, env=environment)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("computing") <= computed
    assert done.stdout.count("computing") == 2


def test_first_two_commands_are_one_line_each() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for block, word in zip(blocks[:2], ("examples/survey.py", "pytest"), strict=True):
        assert block.startswith("python3 -m venv ")
        assert block.count("\n") == 1
        assert word in block


def documented(words: object) -> list[str]:
    return [word for word in words if f"`{word}" not in README and f"{word}(" not in README and word not in README]


def test_everything_is_named() -> None:
    parser = argparse.ArgumentParser()
    flags.add_arguments(parser)
    given = [option for action in parser._actions for option in action.option_strings if "cache" in option]
    assert documented(given) == []
    assert documented([*_peers.OF_PERSIST, *_peers.OF_CACHE]) == []
    assert documented([*_handle._WITHOUT, *_handle._WITH_ARGUMENTS]) == []
    assert documented(["MEMO_DIR", "MEMO_MODE", "MEMO_CLEAR", "MEMO_LOG"]) == []
    assert documented(memo.settings.MODES) == []


@pytest.mark.parametrize("command", ["ls", "stats", "why", "clear", "where"])
def test_every_command_is_named(command: str) -> None:
    done = warm.run(["-m", "memo", command, "--help"])
    assert done.returncode == 0
    assert f"memo {command}" in README
    for option in re.findall(r"--[a-z][a-z-]+", done.stdout):
        assert option in README or option == "--help", option


def test_every_module_says_why_it_exists() -> None:
    for file in Path(memo.__file__).parent.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert text.startswith('"""'), file
