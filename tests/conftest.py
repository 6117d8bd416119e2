"""Every test gets places of its own: nothing is ever written into the cache of whoever runs the tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# MEMO_TEST_SERVERS is not memo's: it tells tests/servers that a missing server is a failure
for name in [name for name in os.environ if name.startswith("MEMO_") and name != "MEMO_TEST_SERVERS"]:
    del os.environ[name]


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMO_DIR", str(tmp_path / "default-place"))


collect_ignore = ["typing"]  # checked by mypy and pyright, never run
