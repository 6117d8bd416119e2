"""Each command with each option and each cache flag as a process of its own, on what a project begins with."""

from __future__ import annotations

from pathlib import Path

import pytest
from _every import every_command, every_flag

pytestmark = pytest.mark.timeout(600)  # a hang bound for dozens of processes on a machine that does much else
KINDS = pytest.mark.parametrize(
    ("kind", "fresh"),
    [("sqlite", False), ("files", False), pytest.param("sqlite", True, marks=pytest.mark.slow)],
    ids=["sqlite", "files", "sqlite-fresh"],
)


@KINDS
def test_every_command(kind: str, fresh: bool, tmp_path: Path) -> None:
    every_command(tmp_path, f"{kind}:{tmp_path}/place", fresh=fresh)


@KINDS
def test_every_flag(kind: str, fresh: bool, tmp_path: Path) -> None:
    every_flag(tmp_path, f"{kind}:{tmp_path}/place", fresh=fresh)
