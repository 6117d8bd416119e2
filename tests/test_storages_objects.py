"""Objects in memory and on the disk; tests/servers/test_s3.py has those in a bucket."""

import uuid

import pytest

from memo.storages import Objects
from memo.testing import StorageSuite, agree


class TestFile(StorageSuite):
    many = 400

    def make(self, tmp_path):
        return Objects(f"file://{tmp_path}/objects")


class TestMemory(StorageSuite):
    kept = False
    many = 300

    def make(self, tmp_path):
        return Objects(f"memory://{uuid.uuid4()}")


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_agrees_with_all_storages(kind, tmp_path):
    agree(Objects(f"file://{tmp_path}/x" if kind == "file" else f"memory://{uuid.uuid4()}"), kept=kind == "file")
