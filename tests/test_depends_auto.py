"""depends="auto": the files that a run opened are checked at the next hit, and what can't be seen is named."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from memo import Cache, OptionError, persist

Told = Callable[[], list[str]]


class Lab:
    """Functions of one place, and the calls that they computed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.calls = folder, []

    def auto(self, body: Callable[[Any], Any], name: str = "auto.f", **options: Any) -> Any:
        def f(x: Any) -> Any:
            self.calls.append(name)
            return body(x)

        cache = Cache(self.folder)
        return cache.persist(f, name=name, code="off", version=1, depends="auto", **options)

    def computed(self) -> int:
        found = len(self.calls)
        self.calls.clear()
        return found


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path / "place")


def by_descriptor(path: str) -> str:
    file = os.open(path, os.O_RDONLY)
    try:
        return os.read(file, 100).decode()
    finally:
        os.close(file)


@pytest.mark.parametrize("read", [lambda path: Path(path).read_text(), lambda path: open(path).read(), by_descriptor])  # noqa: SIM115
def test_what_is_opened_counts(lab: Lab, tmp_path: Path, read: Callable[[str], str], told: Told) -> None:
    file = tmp_path / "data.txt"
    file.write_text("one")
    f = lab.auto(read)
    assert [f(str(file)), f(str(file)), lab.auto(read)(str(file))] == ["one"] * 3
    assert lab.computed() == 1
    file.write_text("two")
    assert [f(str(file)), lab.auto(read)(str(file))] == ["two"] * 2
    assert lab.computed() == 1
    os.utime(file, (1, 1))
    assert f(str(file)) == "two"
    assert lab.computed() == 0, "the same content"
    file.write_text("three")
    assert f"{file} changed" in str(f.why(str(file)))
    assert told() == []


def test_a_file_that_was_not_there(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "settings.ini"

    def body(x: int) -> str:
        try:
            return file.read_text()
        except FileNotFoundError:
            return "defaults"

    f = lab.auto(body)
    assert [f(1), f(1)] == ["defaults"] * 2
    file.write_text("own")
    assert [f(1), f(1)] == ["own"] * 2
    assert lab.computed() == 2


def test_what_it_writes_itself_is_no_dependency(lab: Lab, tmp_path: Path) -> None:
    output = tmp_path / "report.txt"

    def body(x: int) -> str:
        output.write_text(str(x))
        return output.read_text()

    f = lab.auto(body)
    assert [f(1), f(1), f(2), f(1)] == ["1", "1", "2", "1"]
    output.unlink()
    assert f(1) == "1"
    assert lab.computed() == 2


def test_a_relative_path_is_looked_up_from_where_the_run_is(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "data.txt").write_text(name)
    f = lab.auto(lambda x: Path("data.txt").read_text())
    for name in ("here", "there", "here"):
        monkeypatch.chdir(tmp_path / name)
        assert [f(1), f(1)] == [name] * 2
    assert lab.computed() == 3


def test_what_changes_while_it_runs_is_not_stored(lab: Lab, tmp_path: Path, told: Told) -> None:
    file = tmp_path / "data.txt"
    file.write_text("0")

    def body(x: int) -> str:
        text = file.read_text()
        subprocess.run([sys.executable, "-c", f"open({str(file)!r}, 'a').write('1')"], check=True)
        return text

    f = lab.auto(body)
    assert [f(1), f(1)] == ["0", "01"]
    assert told() == [f"a result of auto.f was returned, not stored: {file} changed while it ran"]


def test_persisted_functions_inside_count_by_their_results(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "data.txt"
    file.write_text("a,b")
    load = lab.auto(lambda x: file.read_text().strip(), "auto.load")
    count = lab.auto(lambda x: len(load(x)), "auto.count")
    assert [load(1), count(1), count(1)] == ["a,b", 3, 3], "a hit inside opens no file"
    assert lab.computed() == 2
    file.write_text("a,b \n")
    assert count(1) == 3
    assert lab.computed() == 1, "an equal result of what it was made from"
    file.write_text("a,b,c")
    assert count(1) == 5
    assert lab.computed() == 2


def test_tasks_and_other_threads(lab: Lab, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("one", "two")]
    for file in files:
        file.write_text("1")
    calls = []

    async def f(x: int) -> str:
        calls.append(x)
        await asyncio.sleep(0)
        return files[x].read_text()

    f = Cache(tmp_path / "place").persist(f, name="auto.task", code="off", version=1, depends="auto")

    async def main() -> None:
        assert await asyncio.gather(f(0), f(1), f(0)) == ["1", "1", "1"]
        files[1].write_text("2")
        assert await asyncio.gather(f(0), f(1)) == ["1", "2"]

    reading = threading.Thread(target=lambda: [file.read_text() for file in files])
    reading.start()
    asyncio.run(main())
    reading.join()
    assert sorted(calls) == [0, 1, 1], "each task has the files that it opened"


def test_what_python_and_memo_open_is_left_out(lab: Lab, tmp_path: Path) -> None:
    def body(x: int) -> int:
        import json.tool

        Path(json.__file__).read_bytes()
        os.urandom(3)
        return x

    f = lab.auto(body)
    f(1)
    assert b"touched:[[],{}]" in f.entries()[0].head.stamp


def test_what_can_not_be_seen_is_named_once(tmp_path: Path, told: Told) -> None:
    pytest.importorskip("numpy")
    cache = Cache(tmp_path)

    def helper() -> str:
        return os.environ["HOME"] + (os.getenv("MEMO_X") or "")

    @cache.persist(depends="auto")
    def f(x: int) -> Any:
        import sqlite3

        import numpy as np

        sqlite3.connect(":memory:").close()
        return helper(), time.time(), datetime.now(), date.today(), random.random(), np.random.rand()

    f(1), f(1), f(2)
    (text,) = told()
    assert "it reads the environment (os.environ, os.getenv)" in text
    assert "it looks at the clock (datetime.date.today, datetime.datetime.now, time.time)" in text
    assert "it draws without a seed that can be seen (numpy.random.rand, random.random)" in text
    assert "files that are opened by sqlite3" in text
    assert "may be missed" in text


def test_nothing_is_said_of_what_can_be_seen(tmp_path: Path, told: Told) -> None:
    @Cache(tmp_path).persist(depends="auto")
    def f(x: int) -> float:
        random.seed(x)
        return random.Random(x).random() + random.random()

    f(1)
    assert told() == []


def test_in_another_process(tmp_path: Path) -> None:
    program, data = tmp_path / "program.py", tmp_path / "data.txt"
    program.write_text(
        "import sys\nfrom memo import persist\n"
        "@persist(location=sys.argv[1], depends='auto')\n"
        "def f(path):\n    print('computed')\n    return open(path).read()\n"
        "print(f(sys.argv[2]))\n"
    )
    seen = []
    for text in ("1", "1", "2"):
        data.write_text(text)
        done = subprocess.run(
            [sys.executable, str(program), str(tmp_path / "place"), str(data)],
            capture_output=True, text=True, timeout=100, check=True,
        )  # fmt: skip
        seen.append(done.stdout.split())
    assert seen == [["computed", "1"], ["1"], ["computed", "2"]]


def test_not_for_generators() -> None:
    with pytest.raises(OptionError, match=r"depends='auto'.* is not for generators"):

        @persist(depends="auto")
        def f(x: int) -> Any:
            yield x
