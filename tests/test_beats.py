"""Who waits for another process goes on when it dies, is stopped, or waits for us; `memo ps` shows who computes what."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from memo import Cache, _beats, cli, persist

SECONDS = 60

WORKER = """
import os, sys, threading, time
from memo import _beats, persist

place, log, how = sys.argv[1:4]
if len(sys.argv) > 4:  # else at the pace of memo itself
    _beats.SILENCE, _beats._BEAT, _beats._TICK = float(sys.argv[4]), 0.5, 0.1

@persist(location=place, ignore=["log", "how"])
def slow(x, log, how):
    with open(log, "a") as file:
        file.write("x")
    if how == "hold":
        print("computing", flush=True)
        sys.stdin.read()
    if how == "raise":
        raise ValueError(x)
    time.sleep(float(how) if how.replace(".", "").isdigit() else 0.2)
    return x

try:
    print(slow(1, log, how), flush=True)
except ValueError:
    print("raised", flush=True)
"""


def worker(tmp_path: Path, *how: str) -> subprocess.Popen:
    script = tmp_path / "worker.py"
    if not script.exists():
        script.write_text(WORKER)
    command = [sys.executable, str(script), str(tmp_path / "place"), str(tmp_path / "log"), *how]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def held(tmp_path: Path, silence: str = "60") -> subprocess.Popen:
    holder = worker(tmp_path, "hold", silence)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "computing\n"
    return holder


def until(condition) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def records(tmp_path: Path) -> list:
    return list(_beats.processes(Cache(tmp_path / "place").storage, time.time()))


def test_ps_shows_who_computes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = str(tmp_path / "place")
    holder = held(tmp_path)
    try:
        until(lambda: records(tmp_path))
        assert cli.main(["ps", "-l", place]) == 0
        line = capsys.readouterr().out.splitlines()[1]
        assert "worker.slow" in line
        assert "computing" in line
        assert str(holder.pid) in line
        assert cli.main(["ps", "-l", place, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)[0]
        assert told["pid"] == holder.pid
        assert told["last_seconds"] is None
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate(timeout=SECONDS)
    assert cli.main(["ps", "-l", place]) == 1, "the dead compute nothing"
    assert "nothing" in capsys.readouterr().err


def test_how_long_it_took_last_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert worker(tmp_path, "0.3").communicate(timeout=SECONDS)[0] == "1\n"
    monkeypatch.setenv("MEMO_MODE", "refresh")
    holder = held(tmp_path)
    try:
        until(lambda: records(tmp_path))
        cli.main(["ps", "-l", str(tmp_path / "place"), "--json"])
        told = json.loads(capsys.readouterr().out)[0]
        assert told["state"] == "computing"
        assert 0.25 < told["last_seconds"] < SECONDS
    finally:
        holder.communicate("", timeout=SECONDS)
    until(lambda: not records(tmp_path))


def the_silent_are_not_waited_for(folder: Path) -> None:
    holder = held(folder)
    try:
        until(lambda: records(folder))
        holder.send_signal(signal.SIGSTOP)
        waiting = worker(folder, "quick", "2")
        assert waiting.communicate(timeout=SECONDS)[0] == "1\n"
        assert (folder / "log").read_text() == "xx"
        holder.send_signal(signal.SIGCONT)
        assert holder.communicate("", timeout=SECONDS)[0] == "1\n"
    finally:
        holder.kill()


def test_who_lives_is_waited_for_beyond_the_silence_and_the_silent_are_not(tmp_path: Path) -> None:
    """Both at once, in two places, since all that either does is wait."""
    living, silent = tmp_path / "living", tmp_path / "silent"
    living.mkdir()
    silent.mkdir()
    holder = held(living)
    waiting, since = worker(living, "quick", "4"), time.monotonic()
    try:
        the_silent_are_not_waited_for(silent)
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.communicate(timeout=max(7 - (time.monotonic() - since), 0.1))
    finally:
        assert holder.communicate("", timeout=SECONDS)[0] == "1\n"
    assert waiting.communicate(timeout=SECONDS)[0] == "1\n"
    assert (living / "log").read_text() == "x"


CIRCLE = """
import sys, time, os
from pathlib import Path
from memo import _beats, persist

_beats._BEAT, _beats._TICK = 0.5, 0.1
place, me, here = sys.argv[1], sys.argv[2], Path(sys.argv[3])

def meet(name):
    (here / name).touch()
    while len(list(here.glob("*.met"))) < 2:
        time.sleep(0.01)

@persist(location=place, ignore=["depth"], code="off", version=1, name="ping")
def ping(x, depth=0):
    if depth:
        return x
    meet("ping.met")
    return pong(x, 1)

@persist(location=place, ignore=["depth"], code="off", version=1, name="pong")
def pong(x, depth=0):
    if depth:
        return x
    meet("pong.met")
    return ping(x, 1)

print((ping if me == "ping" else pong)(1), flush=True)
"""


def test_processes_that_wait_for_each_other_go_on(tmp_path: Path) -> None:
    (tmp_path / "circle.py").write_text(CIRCLE)
    both = [
        subprocess.Popen(
            [sys.executable, "circle.py", "place", me, str(tmp_path)], cwd=tmp_path, stdout=subprocess.PIPE, text=True
        )
        for me in ("ping", "pong")
    ]
    assert [one.communicate(timeout=SECONDS)[0] for one in both] == ["1\n", "1\n"]


def test_a_paused_consumer_does_not_hold_up_other_processes(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom memo import _beats, persist\n_beats._TICK = 0.1\n@persist(location='place')\ndef f(n):\n    yield from range(n)\n"
        "items = f(3)\nprint(next(items), flush=True)\nif sys.argv[1] == 'pause': sys.stdin.read()\nprint(*items)\n"
    )
    (tmp_path / "items.py").write_text(script)
    command = [sys.executable, "items.py"]
    pipes = {"cwd": tmp_path, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    first = subprocess.Popen([*command, "pause"], **pipes)
    assert first.stdout is not None
    assert first.stdout.readline() == "0\n"
    assert subprocess.Popen([*command, "go"], **pipes).communicate(timeout=SECONDS)[0] == "0\n1 2\n"
    assert first.communicate("", timeout=SECONDS)[0] == "1 2\n"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_first_run_of_90_seconds_is_one(tmp_path: Path) -> None:
    both = [worker(tmp_path, "90") for _ in range(2)]
    assert [one.communicate(timeout=240)[0] for one in both] == ["1\n", "1\n"]
    assert (tmp_path / "log").read_text() == "x"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(20))
def test_schedules_of_kill_stop_and_raise(tmp_path: Path, seed: int) -> None:
    choice = random.Random(seed)
    workers = [worker(tmp_path, choice.choice(["0.3", "0.1", "raise"]), "4") for _ in range(4)]
    stopped = []
    for one in workers:
        time.sleep(choice.random() * 0.4)
        what = choice.choice(["kill", "stop", "none", "none"])
        if what == "kill":
            one.kill()
        elif what == "stop" and one.poll() is None:
            one.send_signal(signal.SIGSTOP)
            stopped.append(one)
    try:
        for one in workers:
            if one not in stopped:
                assert one.communicate(timeout=SECONDS)[0] in ("1\n", "raised\n", "")
    finally:
        for one in stopped:
            one.send_signal(signal.SIGCONT)
    for one in stopped:
        assert one.communicate(timeout=SECONDS)[0] in ("1\n", "raised\n")
    assert worker(tmp_path, "0").communicate(timeout=SECONDS)[0] == "1\n"


STORM = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
from memo import persist

@persist(location=sys.argv[1], storage=sys.argv[3], ignore=["log"])
def slow(x, log):
    with open(log, "a") as file:
        file.write(f"{x}\\n")
    threading.Event().wait(0.05)
    return x * x

with ThreadPoolExecutor(4) as pool:
    results = list(pool.map(lambda _: [slow(x, sys.argv[2]) for x in range(50)], range(4)))
assert results == [[x * x for x in range(50)]] * 4
"""


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("files", marks=pytest.mark.slow)])
def test_eight_processes_of_four_threads_compute_fifty_keys_once(tmp_path: Path, kind: str) -> None:
    (tmp_path / "storm.py").write_text(STORM)
    command = [sys.executable, "-W", "error", "storm.py", "place", "log", kind]
    workers = [subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) for _ in range(8)]
    for one in workers:
        assert one.communicate(timeout=SECONDS)[1] == ""
        assert one.returncode == 0
    assert sorted(map(int, (tmp_path / "log").read_text().split())) == list(range(50))


def test_records_of_the_killed_are_swept(tmp_path: Path) -> None:
    for _ in range(2):
        holder = held(tmp_path)
        until(lambda pid=holder.pid: any(one["pid"] == pid for one in records(tmp_path)))
        holder.kill()
        holder.communicate(timeout=SECONDS)
    assert len(list(Cache(tmp_path / "place").storage.scan("flights"))) == 1


def test_nothing_beats_where_nothing_is_computed(tmp_path: Path) -> None:
    import threading

    @persist(location=tmp_path / "other")
    def f(x):
        return x

    f(1)
    f(1)
    assert list(Cache(tmp_path / "other").storage.scan("flights")) == []
    assert sum(thread.name == "memo-beats" for thread in threading.enumerate()) <= 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_of_one_thread_is_forked_and_goes_on_beating(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    monkeypatch.setattr(_beats, "_TICK", 0.1)
    seen = []

    @persist(location=tmp_path / "place", ignore=["seen"])
    def f(x, seen=seen):
        until(lambda: records(tmp_path))
        child = os.fork()
        if child == 0:
            os._exit(sum(thread.name == "memo-beats" for thread in threading.enumerate()))
        seen.append(os.waitpid(child, 0)[1])
        seen.append(any(thread.name == "memo-beats" for thread in threading.enumerate()))
        return x

    assert f(1) == 1
    assert seen == [0, True]


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b"7",
        b'{"host": 1, "pid": "../../x", "beat": "then", "flights": 7}',
        b'{"host": "h", "pid": 1, "started": 1, "beat": 1, "flights": [{"key": 7}, null]}',
        b'{"host": "h", "pid": 1, "started": 1, "beat": NaN, "flights": [7]}',
    ],
    ids=["empty", "half", "deep", "a number", "other kinds", "other flights", "no time"],
)
def test_records_that_are_not_as_memo_writes_them_are_not_believed(tmp_path: Path, record: bytes) -> None:
    import time

    from memo import _beats

    storage = Cache(tmp_path / "place").storage
    storage.write("flights/h-1", [record], bytes, size=len(record), mark=0)
    assert list(_beats.processes(storage)) == []
    wait = _beats.Wait(storage, None, "a/b/c")
    wait._looked -= 10
    assert wait.is_over() is False
    _beats.sweep(storage, time.time())
