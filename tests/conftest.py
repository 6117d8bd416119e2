"""Every test gets places of its own: nothing is ever written into the cache of whoever runs the tests."""

from __future__ import annotations

import compileall
import gc
import importlib.util
import itertools
import json
import os
import re
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# a machine that is busy with other things draws slowly, which says nothing about a strategy
_LAWS: Any = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
settings.register_profile("quick", max_examples=40, **_LAWS)
settings.register_profile("many", max_examples=300, **_LAWS)  # --hypothesis-profile=many, as .ci/run has it
settings.load_profile("quick")

# MEMO_TEST_SERVERS is not memo's: it tells tests/servers that a missing server is a failure
for name in [name for name in os.environ if name.startswith("MEMO_") and name != "MEMO_TEST_SERVERS"]:
    del os.environ[name]


_number = itertools.count()


def pytest_configure(config: pytest.Config) -> None:
    """memo is compiled once for the hundreds of processes that tests start, and what tests write never is.

    A program that is edited within a second might else be taken for what it was before.
    """
    spec = importlib.util.find_spec("memo")
    if not hasattr(config, "workerinput") and spec is not None:
        for folder in spec.submodule_search_locations or ():
            compileall.compile_dir(folder, quiet=2)
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Thousands of tests are collected and stay: no search for garbage looks through them, now or later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


#: what takes longest of a storage's suite, and asks little of what it doesn't share with its sibling
CROWDS = (
    "test_many_entries", "test_scan_beside_writes", "test_readers_never_see_a_mixture", "test_threads_write_their_own",
    "test_processes_share_one_store",
)  # fmt: skip


def pytest_itemcollected(item: pytest.Item) -> None:
    """``crowds_are_slow`` in a class: its sibling, of the same code for the most part, has them by default."""
    if getattr(getattr(item, "cls", None), "crowds_are_slow", False) and item.name in CROWDS:
        item.add_marker(pytest.mark.slow)


def pytest_collection_finish() -> None:
    """From here on not in this process either; the tests themselves are kept as pytest has compiled them."""
    sys.dont_write_bytecode = True


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each worker gets one half, so that what a module sets up is set up once; who is through takes from the other."""
    if config.getoption("dist") != "load":
        return None
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log)


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As pytest's own, which looks for a free number among all folders of all tests, each time."""
    name = re.sub(r"\W", "_", request.node.name)[:30]
    return tmp_path_factory.mktemp(f"{name}{next(_number)}", numbered=False)


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[], Any]], Any]:
    """``once(name, make)``: what ``make()`` gives, by way of JSON; it is called in one of the workers only."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent

    def made(name: str, make: Callable[[], Any]) -> Any:
        from filelock import FileLock

        file = folder / f"{name}.json"
        with FileLock(f"{file}.lock"):
            if not file.exists():
                file.write_text(json.dumps(make()), encoding="utf-8")
            return json.loads(file.read_text(encoding="utf-8"))

    return made


@pytest.fixture(autouse=True)
def _place(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMO_DIR", str(tmp_path_factory.getbasetemp() / f"default-place{next(_number)}"))


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
