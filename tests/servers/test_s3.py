"""Objects in a bucket behind real HTTP, alone and as the far tier of several machines; and all that can go wrong there."""

from __future__ import annotations

import itertools

import pytest

from memo.storages import Objects
from memo.testing import StorageSuite, agree

_numbers = itertools.count()


def objects(server, **options):
    """A store of its own in the server."""
    return Objects(f"s3://{server.bucket(f'bucket-{next(_numbers)}')}/results", **options)


class TestS3(StorageSuite):
    many = 300
    ordered = False  # S3 knows the second in which an object was written

    @pytest.fixture(autouse=True)
    def _server(self, s3_server):
        self.server = s3_server

    def make(self, tmp_path):
        return objects(self.server)


@pytest.mark.timeout(300)
def test_agrees(s3_server):
    agree(objects(s3_server))
