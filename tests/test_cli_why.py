"""memo why, as a process of its own: it knows what is stored and never imports the code that stored it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import warm

PROGRAM = """
import sys
from memo import persist

BASE = {base}

def helper(n):
    return n {operator} 2

@persist(location=sys.argv[1], storage=sys.argv[2])
def price(n, cfg=None):
    return helper(n) + BASE

@persist(location=sys.argv[1], storage=sys.argv[2])
def evil(text):
    return text

class Till:
    @persist(location=sys.argv[1], storage=sys.argv[2], name="shop.Till.total")
    def total(self, n):
        return n

price(1, {{"lr": 0.1}})
price(1, {{"lr": 0.2}})
evil("\\x1b[31m")
Till().total(3)
"""


@pytest.fixture(scope="module", params=["sqlite", "files"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    program = folder / "shop.py"
    for base, operator in (("1", "+"), ("1", "*"), ("5", "*")):
        program.write_text(PROGRAM.format(base=base, operator=operator), encoding="utf-8")
        warm.run([program, folder / "place", request.param], check=True)
    program.write_text("raise SystemExit('imported')", encoding="utf-8")
    return folder / "place"


def memo(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return warm.run(["-m", "memo", "-l", place, "why", *arguments], cwd=place.parent)


def test_each_miss_with_its_cause(place: Path) -> None:
    done = memo(place, "shop.price", "--last", "10", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert [(one["cause"], one["path"], one["before"], one["after"]) for one in told] == [
        ("constant", "shop.BASE", "1", "5"),
        ("constant", "shop.BASE", "1", "5"),
        ("code", "shop.helper", None, None),
        ("code", "shop.helper", None, None),
        ("argument", 'cfg["lr"]', "0.1", "0.2"),
        ("never seen", None, None, None),
    ]
    assert told[0]["arguments"] == {"n": "1", "cfg": "dict of 1", 'cfg["lr"]': "0.2"}
    assert told[2]["diff"].splitlines()[-2:] == ["-    return n + 2", "+    return n * 2"]
    assert told[0]["version"] == told[2]["version"] != told[4]["version"]


def test_text(place: Path) -> None:
    done = memo(place, "shop.price", "-n", "3")
    assert done.returncode == 0
    assert done.stdout.count("computed ") == 3
    assert "  constant shop.BASE 1 -> 5\n" in done.stdout
    assert "  code of shop.helper changed\n" in done.stdout
    assert "  -    return n + 2\n  +    return n * 2\n" in done.stdout
    assert "argument" not in done.stdout


def test_the_end_of_a_name_will_do(place: Path) -> None:
    assert memo(place, "price", "--json").stdout == memo(place, "shop.price", "--json").stdout
    assert "shop.Till.total(self=shop.Till, n=3)" in memo(place, "total").stdout


def test_nothing_goes_to_the_terminal_that_it_could_take_for_an_order(place: Path) -> None:
    done = memo(place, "shop.evil")
    assert "\\x1b[31m" in done.stdout
    assert "\x1b" not in done.stdout


def test_what_is_not_there(place: Path) -> None:
    done = memo(place, "shop.prise")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no function" in done.stderr
    assert "shop.price" in done.stderr
    done = memo(place, "price", "--last", "0")
    assert done.returncode == 2
    assert "a number from 1 on" in done.stderr


def test_listings_do_not_count_what_is_kept_for_it(place: Path) -> None:
    told = json.loads(warm.run(["-m", "memo", "-l", place, "ls", "--json"], check=True).stdout)
    assert {one["function"]: (one["entries"], one["versions"], one["dead"]) for one in told} == {
        "shop.price": (6, 2, 0),
        "shop.evil": (1, 1, 0),
        "shop.Till.total": (1, 1, 0),
    }
