"""Locations that are more than a folder: ``kind:path``, and URLs, here those of a storage that a plug-in brings."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import warm

from memo import Cache, OptionError, persist

PLUG_IN = """
from memo.storages import Files

class Toy:
    def __init__(self, url):
        self.url = url
        files = Files(url.removeprefix("toy://").rpartition("@")[2])
        self.read, self.write, self.remove, self.scan = files.read, files.write, files.remove, files.scan

    def __reduce__(self):
        return Toy, (self.url,)
"""
PROGRAM = """
import sys
from memo import persist

@persist(location=sys.argv[1])
def double(x):
    print("computing", x)
    return 2 * x

print(double(4), double(4), double.cache_info().hits)
"""


@pytest.fixture
def plug_in(tmp_path: Path) -> Path:
    """A folder with an installed distribution that registers ``toy://``."""
    site = tmp_path / "site"
    (site / "toystore-1.0.dist-info").mkdir(parents=True)
    (site / "toystore-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: toystore\nVersion: 1.0\n")
    (site / "toystore-1.0.dist-info/entry_points.txt").write_text("[memo.storages]\ntoy = toystore:Toy\n")
    (site / "toystore.py").write_text(PLUG_IN)
    (tmp_path / "program.py").write_text(PROGRAM)
    return site


def run(site: Path, *arguments: str, key: str = "a key of these tests") -> subprocess.CompletedProcess[str]:
    found = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "PYTHONPATH": found, "XDG_CACHE_HOME": str(site.parent / "caches")}
    environment["MEMO_SIGNING_KEY"] = key.replace(" ", "-")
    return warm.run(arguments, env=environment, cwd=site.parent)


def test_a_kind_before_the_path_says_the_storage(tmp_path: Path) -> None:
    cache = Cache(f"shelve:{tmp_path / 'place'}")

    @cache.persist
    def f(x: int) -> int:
        return x + 1

    assert (f(1), f(1)) == (2, 2)
    assert cache.location == str(tmp_path / "place")
    assert type(cache.storage).__name__ == "Shelve"
    assert '"storage": "shelve"' in (tmp_path / "place/memo.json").read_text()
    again = pickle.loads(pickle.dumps(cache))
    assert (again.location, type(again.storage).__name__) == (cache.location, "Shelve")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"location": "nosuch://x"}, "begin with nosuch://"),
        ({"location": "nosuch:x"}, "no storage is called 'nosuch'"),
        ({"location": "files:"}, "names no folder"),
        ({"location": "files:x", "storage": "sqlite"}, "without storage="),
        ({"location": "redis://me:secret@host", "storage": "sqlite"}, r"redis://me:\*\*\*@host"),
        ({"location": ""}, "empty"),
    ],
)
def test_what_can_not_be_right_raises_at_decoration(options: dict[str, str], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        persist(**options)


def test_a_url_of_a_plug_in_serves_two_runs_and_the_command_line(plug_in: Path, tmp_path: Path) -> None:
    url = f"toy://me:secret@{tmp_path / 'store'}"
    empty = run(plug_in, "-m", "memo", "ls", "-l", url)
    assert empty.returncode == 2, empty
    assert "there is no cache at toy://me:***@" in empty.stderr
    first, second = run(plug_in, "program.py", url), run(plug_in, "program.py", url)
    assert (first.stdout, first.stderr) == ("computing 4\n8 8 1\n", "")
    assert (second.stdout, second.stderr) == ("8 8 2\n", "")
    listed = run(plug_in, "-m", "memo", "ls", "-l", url)
    assert "program.double" in listed.stdout, listed
    where = run(plug_in, "-m", "memo", "where", "-l", url)
    assert "toy://me:***@" in where.stdout
    assert "secret" not in where.stdout + where.stderr + listed.stdout
    assert run(plug_in, "-m", "memo", "clear", "--yes", "-l", url).returncode == 0
    assert run(plug_in, "program.py", url).stdout == "computing 4\n8 8 1\n"


def test_a_url_without_a_key_costs_one_warning(plug_in: Path, tmp_path: Path) -> None:
    url = f"toy://me:secret@{tmp_path / 'store'}"
    for printed in ("computing 4\n8 8 1\n", "8 8 2\n"):
        done = run(plug_in, "program.py", url, key="")
        assert done.stdout == printed
        assert done.stderr.count("MemoWarning") == 1
        assert "are not signed" in done.stderr
        assert "secret" not in done.stderr


def test_threads_and_processes_of_one_host_share_the_flights_of_a_url(plug_in: Path, tmp_path: Path) -> None:
    program = tmp_path / "two.py"
    program.write_text(
        """
import sys, time
from memo import persist

@persist(location=sys.argv[1])
def slow(x):
    open(sys.argv[2], "a").write("once\\n")
    time.sleep(0.5)
    return x

slow(1)
"""
    )
    url, log = f"toy://{tmp_path / 'store'}", tmp_path / "log"
    environment = {**os.environ, "PYTHONPATH": str(plug_in), "XDG_CACHE_HOME": str(tmp_path / "caches")}
    environment["MEMO_SIGNING_KEY"] = "a-key-of-these-tests"
    runs = [
        subprocess.Popen([sys.executable, str(program), url, str(log)], env=environment, cwd=tmp_path) for _ in "123"
    ]
    assert [one.wait(60) for one in runs] == [0, 0, 0]
    assert log.read_text() == "once\n"
