"""examples/shared.py and benchmarks/shared.py as a user runs them: one command each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "shared.py"
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


@pytest.mark.parametrize("store", ["redis", "diskcache"])
def test_clients_under_load_lose_nothing(redis_server, store):
    loaded(store, "3", "100")


def loaded(store, clients, calls):
    """Errors, wrong values and lost results end it; here with a small load, whose figures say nothing."""
    command = [sys.executable, "-m", "benchmarks.shared", store, "--clients", clients, "--calls", calls]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in lines[2:]] == [store, "memo", "raw"]
    assert all(len(line) == 6 for line in lines[3:])


@pytest.mark.parametrize("store", ["postgresql", "sqlite"])
def test_clients_of_a_database_lose_nothing(postgres_server, store):
    loaded(store, "3", "100")


@pytest.mark.parametrize("store", ["s3", "tiered"])
def test_clients_of_a_bucket_lose_nothing(s3_server, store):
    loaded(store, "2", "30")


def test_a_store_that_nobody_knows():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.shared", "nothing"], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 2
    assert "no store is called 'nothing'" in done.stderr


@pytest.mark.parametrize("given", [False, True], ids=["its own", "one that is given"])
def test_two_machines_on_one_bucket(s3_server, tmp_path, given):
    first, second = run(tmp_path, "s3", *([f"s3://{s3_server.bucket()}/folder"] if given else []))
    assert first.startswith("first machine: 8 computed, 0 found in ")
    assert second.startswith("second machine: 0 computed, 8 found in ")
    assert first.endswith(FOUND)
    assert second.endswith(FOUND)
    assert not list(tmp_path.iterdir())
