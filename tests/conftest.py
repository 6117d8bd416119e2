"""Every test gets places of its own: nothing is ever written into the cache of whoever runs the tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

for name in [name for name in os.environ if name.startswith("MEMO_")]:
    del os.environ[name]


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMO_DIR", str(tmp_path / "default-place"))


collect_ignore = ["typing"]  # checked by mypy and pyright, never run
