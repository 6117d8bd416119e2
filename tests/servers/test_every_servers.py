"""Each command with each option and each cache flag as a process of its own, on a server; and a bucket to push to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from _every import Shop, every_command, every_flag

pytestmark = pytest.mark.timeout(600)  # a hang bound for dozens of processes on a machine that does much else


def test_every_command_on_redis(redis_server: Any, tmp_path: Path) -> None:
    every_command(tmp_path, redis_server.url)


def test_every_flag_on_redis(redis_server: Any, tmp_path: Path) -> None:
    every_flag(tmp_path, redis_server.url)
    assert "there is no cache at redis://" in Shop(tmp_path, redis_server.url[:-1] + "1").refused("ls")
    redis_server.kill()
    assert "Is the address right, does it run" in Shop(tmp_path, redis_server.url).refused("stats")


def test_push_and_pull_of_a_bucket(s3_server: Any, tmp_path: Path) -> None:
    bucket = f"s3://{s3_server.bucket('pushed')}/results"
    mine = Shop(tmp_path, str(tmp_path / "mine"))
    mine.run("price=1", "price=2", "quote=7")
    assert mine.told("push", bucket, "--dry-run", "-f", "shop.price")[0]["entries"] == 2
    assert mine.told("push", bucket)[0]["entries"] == 3
    assert "pushed 0 entries (0 B)" in mine.memo("push", bucket)
    assert [one["entries"] for one in Shop(tmp_path, bucket).told("ls")] == [1, 2]
    (tmp_path / "other").mkdir()
    theirs = Shop(tmp_path / "other", str(tmp_path / "other" / "place"))
    assert "--trust" in theirs.refused("pull", bucket)
    assert theirs.told("pull", bucket, "--trust", "-f", "*.price")[0]["entries"] == 2
    assert theirs.told("pull", bucket, "--trust")[0].items() >= {"entries": 1, "same": 2}.items()
    assert theirs.run("price=1", "quote=7")[0] == []
