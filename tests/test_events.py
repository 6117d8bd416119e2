"""Listeners, the log, warnings that never raise, and counters."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memo import events, settings
from memo.errors import MemoWarning, OptionError
from memo.model import Event

MISS = Event("miss", "shop.price", "shop-1/2/3", "never seen", 1.25, 0)
HIT = Event("hit", "shop.price", "shop-1/2/3", "", 0.0, 2048)


def run(folder: Path, text: str, *flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MEMO_", "PYTHONWARN"))}
    (folder / "program.py").write_text(textwrap.dedent(text))
    return subprocess.run(
        [sys.executable, *flags, "program.py"],
        env={**clean, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )


# ---------------------------------------------------------------------------------------------------- listeners


def test_a_listener_hears_events_until_it_is_taken_off() -> None:
    heard: list[Event] = []
    before = len(settings.ACTIVE)
    stop = events.on_event(heard.append)
    again = events.on_event(heard.append)
    assert len(settings.ACTIVE) == before + 2  # hits of the front are told too
    assert events.wanted("hit")
    events.emit(MISS)
    again()
    events.emit(HIT)
    stop()
    stop()
    events.emit(HIT)
    assert heard == [MISS, MISS, HIT]
    assert len(settings.ACTIVE) == before


def test_a_listener_that_raises_is_logged_and_taken_off(caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: Event) -> None:
        raise ValueError("no good")

    heard: list[Event] = []
    before = len(settings.ACTIVE)
    events.on_event(broken)
    stop = events.on_event(heard.append)
    for _ in range(2):
        events.emit(HIT)
    stop()
    assert heard == [HIT, HIT]
    assert len(settings.ACTIVE) == before
    lines = [record for record in caplog.records if "broken" in record.getMessage()]
    assert len(lines) == 1
    assert lines[0].exc_info is not None


def test_a_listener_may_be_taken_off_by_itself_and_interrupt_passes() -> None:
    def once(event: Event) -> None:
        stop()
        raise KeyboardInterrupt

    stop = events.on_event(once)
    with pytest.raises(KeyboardInterrupt):
        events.emit(HIT)
    events.emit(HIT)


def test_a_listener_must_be_callable() -> None:
    with pytest.raises(OptionError, match="not str"):
        events.on_event("print")  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------ logging


def test_one_info_line_a_miss_with_cause_and_time_and_debug_for_hits(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="memo")
    events.emit(MISS)
    events.emit(HIT)
    assert not events.wanted("hit")
    caplog.set_level(logging.DEBUG, logger="memo")
    events.emit(HIT)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "miss shop.price: never seen, computed in 1.25 s  [shop-1/2/3]"),
        ("DEBUG", "hit shop.price, 2,048 bytes  [shop-1/2/3]"),
    ]


EMIT = """
    import sys
    from memo import events
    from memo.model import Event
    events.emit(Event("miss", "shop.price", "k", "cleared", 0.0125, 0))
    events.emit(Event("hit", "shop.price", "k", "", 0.0, 5))
    print("logging" in sys.modules)
"""


@pytest.mark.parametrize(("level", "lines"), [("info", 1), ("DEBUG", 2), ("warning", 0)])
def test_memo_log_shows_lines_on_standard_error(tmp_path: Path, level: str, lines: int) -> None:
    done = run(tmp_path, EMIT, MEMO_LOG=level)
    assert done.stdout == "True\n"
    assert len(done.stderr.splitlines()) == lines
    assert not lines or "memo: miss shop.price: cleared, computed in 12.5 ms" in done.stderr


def test_nobody_listening_loads_no_logging_and_prints_nothing(tmp_path: Path) -> None:
    done = run(tmp_path, EMIT)
    assert (done.stdout, done.stderr) == ("False\n", "")


@pytest.mark.parametrize("setup", ["level=10", "level=10, stream=sys.stdout"])
def test_a_program_that_shows_its_log_on_standard_error_gets_each_line_once(tmp_path: Path, setup: str) -> None:
    done = run(
        tmp_path, f"import logging, sys\nlogging.basicConfig({setup})\n" + textwrap.dedent(EMIT), MEMO_LOG="info"
    )
    assert done.stderr.count("cleared") == 1


def test_a_wrong_memo_log_costs_one_warning(tmp_path: Path) -> None:
    for flags in ((), ("-W", "error")):
        done = run(tmp_path, EMIT, *flags, MEMO_LOG="loud")
        assert done.stdout == "True\n"
        assert done.stderr.count("MEMO_LOG='loud' is ignored: expected one of debug, info,") == (not flags)


def test_a_log_handler_that_raises_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            raise ValueError

    broken = Broken()
    logger = logging.getLogger("memo")
    logger.addFilter(broken)
    caplog.set_level(logging.DEBUG, logger="memo")
    try:
        events.emit(MISS)
    finally:
        logger.removeFilter(broken)


# ----------------------------------------------------------------------------------------------------- warnings


def test_one_warning_a_cause_that_points_at_the_users_line() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")  # what the garbage of other tests says
        warnings.simplefilter("always", MemoWarning)
        for _ in range(3):
            events.warn_once("test: one", "it is broken")
        events.warn_once("test: another", "it is broken")
    assert {warning.category for warning in caught} == {MemoWarning}
    assert [str(warning.message) for warning in caught] == ["it is broken"] * 2
    assert caught[0].filename == __file__


def test_a_warning_points_past_generated_wrappers() -> None:
    namespace: dict[str, Any] = {"warn_once": events.warn_once, "__name__": __name__}
    exec(compile("def wrapper(): warn_once('test: wrapper', 'x')", "<memo wrapper of f>", "exec"), namespace)
    with pytest.warns(MemoWarning) as caught:
        namespace["wrapper"]()
    assert [w.filename for w in caught if w.category is MemoWarning] == [__file__]


def test_warnings_as_errors_are_only_logged(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
        import logging, sys
        from memo import events
        logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(name)s %(message)s")
        for _ in range(2):
            events.warn_once("disk", "the disk is full")
        """,
        "-W",
        "error",
    )
    assert (done.stdout, done.stderr) == ("WARNING memo the disk is full\n", "")


def test_one_warning_from_many_threads() -> None:
    start = threading.Barrier(8)

    def work() -> None:
        start.wait(10)
        events.warn_once("test: threads", "x")

    threads = [threading.Thread(target=work) for _ in range(8)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", MemoWarning)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(caught) == 1


# ----------------------------------------------------------------------------------------------------- counters


@pytest.fixture
def no_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_counts", {})
    monkeypatch.setattr(events, "_sources", [])


@given(
    steps=st.lists(st.tuples(st.sampled_from("ab"), *[st.integers(0, 9)] * 4), max_size=20), split=st.integers(0, 20)
)
def test_totals_are_the_sum_of_what_was_counted_here_and_elsewhere(
    steps: list[tuple[str, int, int, int, int]], split: int
) -> None:
    events._counts.clear()
    for function, hits, misses, seconds, size in steps[:split]:
        events.count(function, hits=hits, misses=misses, seconds_saved=seconds, bytes=size)
    remove = events.register(lambda: [events.Totals(*step) for step in steps[split:]])
    try:
        found = {line.function: line[1:5] for line in events.totals()}
        assert events.totals() == events.totals()  # reading changes nothing
    finally:
        remove()
        remove()
    for function in "ab":
        own = [step[1:] for step in steps if step[0] == function]
        assert found.get(function, (0, 0, 0, 0)) == tuple(
            sum(column) for column in zip((0, 0, 0, 0), *own, strict=True)
        )
    events._counts.clear()


@pytest.mark.usefixtures("no_counts")
def test_what_saved_most_comes_first() -> None:
    events.count("little", hits=5, seconds_saved=1.0)
    events.count("much", hits=1, seconds_saved=9.0)
    assert [line.function for line in events.totals()] == ["much", "little"]


@pytest.mark.usefixtures("no_counts")
def test_no_count_is_lost_between_threads() -> None:
    old = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=lambda: [events.count("f", hits=1) for _ in range(2000)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(old)
    assert events.totals() == [events.Totals("f", 8000)]


@pytest.mark.usefixtures("no_counts")
def test_a_forked_child_counts_for_itself_and_hangs_on_no_lock() -> None:
    events.count("f", hits=3)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with events._lock:
            held.set()
            done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    pid = os.fork()
    if pid == 0:
        events.count("f", hits=1)
        os._exit(0 if events.totals() == [events.Totals("f", 1)] else 1)
    done.set()
    thread.join()
    assert os.waitpid(pid, 0)[1] == 0
    assert events.totals() == [events.Totals("f", 3)]
