"""docs/ci.md: the recipe is run as it stands, in two checkouts one after the other."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import memo

DOC = (Path(__file__).parent.parent / "docs" / "ci.md").read_text(encoding="utf-8")

PIPELINE = """
import steps
for n in range(3):
    steps.square(n)
    steps.text(n)
"""
STEPS = """
from memo import persist

@persist
def square(n):
    print("computing square")
    return n ** 2

@persist
def text(n):
    print("computing text")
    return str(n) {change}
"""


def job(
    checkout: Path, tools: Path, change: str = "", carried: Path | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """One job: a checkout of its own, the recipe, and what it prints."""
    checkout.mkdir(parents=True)
    (checkout / "pipeline.py").write_text(PIPELINE, encoding="utf-8")
    (checkout / "steps.py").write_text(STEPS.format(change=change), encoding="utf-8")
    (checkout / "pyproject.toml").touch()
    if carried is not None:  # the CI's cache puts it there before the job begins
        shutil.copy(carried, checkout / "results.memo")
    script = re.findall(r"```sh\n(.*?)```", DOC, re.DOTALL)[0]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MEMO_", "XDG_"))}
    environment = {**kept, "PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(checkout), **env}
    environment["PYTHONPATH"] = str(Path(memo.__file__).parent.parent)
    return subprocess.run(
        ["sh", "-eu"], input=script, cwd=checkout, env=environment, capture_output=True, text=True, timeout=100
    )


def test_the_recipe_in_two_checkouts(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, words in (("memo", "-m memo"), ("python", "")):
        (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n', encoding="utf-8")
        (tools / name).chmod(stat.S_IRWXU)
    key = "a-secret-of-the-continuous-integration"
    first = job(tmp_path / "first", tools, MEMO_SIGNING_KEY=key)
    assert (first.returncode, first.stdout.count("computing")) == (0, 6), first
    second = tmp_path / "other" / "second"
    carried = tmp_path / "results.memo"
    shutil.move(tmp_path / "first" / "results.memo", carried)
    shutil.rmtree(tmp_path / "first")
    done = job(second, tools, carried=carried, MEMO_SIGNING_KEY=key)
    assert (done.returncode, done.stdout.count("computing")) == (0, 0), done
    done = job(tmp_path / "third", tools, carried=carried, change='+ "!"', MEMO_SIGNING_KEY=key)
    assert (done.stdout.count("computing square"), done.stdout.count("computing text")) == (0, 3), done
    done = job(tmp_path / "stranger", tools, carried=carried, MEMO_SIGNING_KEY="another-key-of-somebody-else")
    assert (done.returncode, done.stdout.count("computing")) == (0, 6), done
