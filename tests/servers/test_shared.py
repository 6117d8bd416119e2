"""examples/shared.py as a user runs it: one command, two machines, one server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "shared.py"
FOUND = "156,159 takes 382 steps to 1"


def run(tmp_path: Path, *arguments: str) -> list[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MEMO_")}
    command = [sys.executable, "-W", "error", str(EXAMPLE), *arguments]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.parametrize("given", [False, True], ids=["its own", "one that is given"])
def test_two_machines_on_one_redis(redis_server, tmp_path, given):
    first, second = run(tmp_path, "redis", *([redis_server.url] if given else []))
    assert first.startswith("first machine: 8 computed, 0 found in ")
    assert second.startswith("second machine: 0 computed, 8 found in ")
    assert first.endswith(FOUND)
    assert second.endswith(FOUND)
    assert not list(tmp_path.iterdir())
    assert bool(redis_server.client().dbsize()) == given
