"""The plug-in for pytest: ``--memo-clear``, ``--memo-mode``, and the fixtures ``memo_cache`` and ``memo_off``.

The decision: a module of its own beside the package, because pytest imports every plug-in that is installed, and memo
must not be loaded into runs that do not use it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from memo import Cache

_MODES = ("normal", "refresh", "read-only", "only-cached", "off")  # settings.MODES, without importing it


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("memo", "stored results of @persist")
    group.addoption(
        "--memo-clear",
        action="store_true",
        help="clear the stored results of persisted functions first, each function at its first call",
    )
    group.addoption("--memo-mode", choices=_MODES, help="the mode of all persisted functions in this run")


def pytest_configure(config: pytest.Config) -> None:
    clear, mode = config.getoption("--memo-clear"), config.getoption("--memo-mode")
    if not clear and mode is None:
        return
    if clear and mode in ("off", "read-only", "only-cached"):
        raise pytest.UsageError(f"--memo-clear is not allowed with --memo-mode={mode}, which changes nothing stored")
    from memo import settings

    if hasattr(config, "workerinput"):  # of xdist: they clear once in all, and refresh as of one instant
        settings.follow()
        return
    settings.set_flags(mode=mode, clear=clear)
    config.add_cleanup(settings.no_flags)  # a run inside another program's process leaves nothing behind


@pytest.fixture
def memo_cache(tmp_path: Path) -> Iterator[Cache]:
    """A `memo.Cache` in a folder of this test's own; persisted functions that name no location store there, too."""
    from memo import Cache, settings

    location = str(tmp_path / "memo")
    with settings.flags(location=location):
        yield Cache(location)


@pytest.fixture
def memo_off() -> Iterator[None]:
    """Persisted functions call through in this test: nothing is read, nothing is stored."""
    from memo import settings

    with settings.flags(mode="off"):
        yield
