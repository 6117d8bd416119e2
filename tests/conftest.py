"""Every test gets places of its own: nothing is ever written into the cache of whoever runs the tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# a machine that is busy with other things draws slowly, which says nothing about a strategy
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

# MEMO_TEST_SERVERS is not memo's: it tells tests/servers that a missing server is a failure
for name in [name for name in os.environ if name.startswith("MEMO_") and name != "MEMO_TEST_SERVERS"]:
    del os.environ[name]


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMO_DIR", str(tmp_path / "default-place"))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[str]]]:
    """What memo warns of from here on, as if this were a new process: a function that gives the texts so far."""
    import warnings

    from memo import MemoWarning, events

    monkeypatch.setattr(events, "_warned", set())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield lambda: [str(one.message) for one in caught if issubclass(one.category, MemoWarning)]


collect_ignore = ["typing"]  # checked by mypy and pyright, never run
