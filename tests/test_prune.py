"""What nobody will be served any more is taken off the disk: with later stores, and by prune."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from memo import Cache
from memo.cli import main
from memo.storages import Memory

START = 2e9
STORAGES = ["sqlite", "files", "shelve", "memory", "sql"]


class Lab:
    def __init__(self, folder: Path, storage: str) -> None:
        self.folder, self.storage, self.now, self.memory = folder, storage, START, Memory()

    def cache(self) -> Cache:
        if self.storage == "memory":
            cache = Cache(storage=self.memory)
        elif self.storage == "sql":
            self.folder.mkdir(exist_ok=True)
            cache = Cache(f"sqlite+pysqlite:///{self.folder / 'results.db'}", trust_folder=True)
        else:
            cache = Cache(self.folder, storage=self.storage)
        cache.clock = lambda: self.now
        return cache

    def function(self, version: int = 1, **options: Any) -> Any:
        return self.cache().persist(lambda x: [x], name="prune.f", code="off", version=version, **options)

    def there(self) -> int:
        return sum(1 for item in self.cache().storage.scan() if item.name.count("/") == 2 and item.head)


@pytest.fixture(params=STORAGES)
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Lab:
    return Lab(tmp_path / "place", request.param)


def test_expired_entries_go_with_later_stores(lab: Lab) -> None:
    f = lab.function(ttl=100)
    for x in range(50):
        f(x)
    lab.now += 200
    for x in range(1000, 1010):
        f(x)
    assert lab.there() <= 12


def test_what_is_still_good_or_may_be_served_stale_stays(lab: Lab) -> None:
    f = lab.function(ttl=100, stale_if_error=1000)
    for x in range(30):
        f(x)
    lab.now += 200
    for x in range(1000, 1010):
        f(x)
    assert lab.there() == 40


def test_clear_expired_goes_by_the_ttl_used_last(lab: Lab) -> None:
    f = lab.function(ttl="1h")
    f(1), f(2)
    lab.now += 1800
    f(3)
    assert lab.cache().clear(expired=True).entries == 0
    lab.now += 1801
    planned = lab.cache().clear(expired=True, dry_run=True)
    assert (planned.entries, planned.functions) == (2, ("prune.f",))
    assert lab.there() == 3
    assert lab.cache().clear(expired=True).entries == 2
    assert lab.there() == 1
    lab.function(ttl="1m")(3)
    lab.now += 61
    assert lab.cache().clear(expired=True).entries == 1


def test_clear_expired_knows_of_idle_entries(lab: Lab) -> None:
    f = lab.function(idle_ttl=1000)
    f(1), f(2)
    lab.now += 900
    f(1)
    lab.now += 200
    assert lab.cache().clear(expired=True).entries == 1
    assert f.is_cached(1)
    assert not f.is_cached(2)


def test_stale_code_is_all_but_what_was_used_last(lab: Lab) -> None:
    old, new = lab.function(1), lab.function(2)
    old(1), old(2)
    new(1)
    assert lab.cache().clear(stale_code=True, dry_run=True).entries == 2
    again = lab.function(1)  # back on the old branch, where everything is a hit
    again(1)
    assert lab.cache().clear(stale_code=True).entries == 1
    assert again.is_cached(1)
    assert not lab.function(2).is_cached(1)


def test_prune_takes_all_of_it_and_nothing_else(lab: Lab) -> None:
    old, f = lab.function(1), lab.function(2, ttl=100)
    old(1)
    f(1)
    lab.now += 60
    f(2), f(3)
    lab.now += 50
    g = lab.cache().persist(lambda x: x, name="prune.g", code="off", version=1)
    g(1), g(2)
    g.cache_clear()
    g(3)
    planned = lab.cache().prune(dry_run=True)
    done = lab.cache().prune()
    assert planned == done
    assert (done.entries, done.functions) == (2, ("prune.f",))
    assert lab.there() == 3
    assert [h.is_cached(x) for h, x in ((f, 2), (f, 3), (g, 3))] == [True] * 3


def test_what_was_noted_of_entries_goes_with_them(lab: Lab) -> None:
    f = lab.function(idle_ttl=100)
    other = lab.cache().persist(lambda x: [-x], name="prune.other", code="off", version=1)
    for x in range(3):
        f.call_and_shelve(x)
        other.call_and_shelve(x)
    lab.now += 50
    f(0)
    lab.now += 60
    small = lambda: sorted(  # noqa: E731
        item.name.partition("/")[0]
        for item in lab.cache().storage.scan()
        if "shelved/" in item.name or "/used-" in item.name
    )
    assert small().count("shelved") == 6
    assert len(small()) == 7
    lab.cache().prune("prune.f")  # of other functions it knows nothing
    assert lab.there() == 4
    assert small().count("shelved") == 6
    lab.cache().prune()
    assert small().count("shelved") == 4
    assert len(small()) == 5
    lab.now += 1000
    lab.cache().prune()
    assert small() == ["shelved"] * 3
    other.delete(0)
    lab.cache().prune()
    assert small() == ["shelved"] * 2
    assert other.call_and_shelve(1).get() == [-1]


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab = Lab(tmp_path / "place", "sqlite")
    lab.now = 1e9  # long ago
    lab.function(ttl=100)(1)
    lab.function(2, ttl=100)(1)
    place = str(tmp_path / "place")
    assert main(["ls", "-l", place, "--stale-code", "--entries", "--json"]) == 0
    assert capsys.readouterr().out.count('"key"') == 1
    assert main(["ls", "-l", place, "--expired", "--entries", "--json"]) == 0
    assert capsys.readouterr().out.count('"key"') == 2
    assert main(["prune", "-l", place, "--dry-run"]) == 0
    assert "would prune 2 entries of 1 function" in capsys.readouterr().out
    assert main(["prune", "-l", place, "--yes"]) == 0
    assert "pruned 2 entries" in capsys.readouterr().out
    assert main(["prune", "-l", place, "--yes"]) == 1
    assert "nothing to prune" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user")
def test_a_place_that_can_only_be_read_serves_hits_without_a_word(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "place", "files")
    lab.function(1)(1)
    for folder, _, files in os.walk(tmp_path / "place"):
        for name in files:
            os.chmod(os.path.join(folder, name), 0o444)
        os.chmod(folder, 0o555)
    os.chmod(tmp_path, 0o755)
    program = """
import os, sys
from memo import Cache

def serve(place):
    cache = Cache(place, storage="files", trust_folder=True)
    cache.clock = lambda: 2e9
    f = cache.persist(lambda x: [x], name="prune.f", code="off", version=1)
    return f(1), f(1)

serve(sys.argv[2]), serve(sys.argv[2])  # imports now what could not be read later
os.setgid(65534); os.setuid(65534)
print(*serve(sys.argv[1]))
"""
    parent = tmp_path
    while parent != parent.parent:  # pytest's folders are private
        os.chmod(parent, os.stat(parent).st_mode | 0o055)
        parent = parent.parent
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "place"), str(tmp_path / "warm")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[1] [1]\n", "")
