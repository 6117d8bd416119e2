"""memo adopt: results of old code under new code, on purpose, and back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import warm

from memo.cli import main

PROGRAM = """
import sys
from memo import Cache
cache = Cache(sys.argv[1])

def helper(n):
    {comment}
    return n {operator} 2

@cache.persist(name={name!r})
def price(n):
    print("computing", n)
    return helper(n)

if sys.argv[2] == "ask":
    price.is_cached(0)
else:
    for n in range(3):
        price(n)
"""


class Shop:
    """A program that is edited and run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.place = folder, folder / "place"
        (folder / "pyproject.toml").touch()
        self.name, self.operator = "shop.price", "*"

    def run(self, what: str = "run", **env: str) -> int:
        """How many results were computed."""
        program = self.folder / "shop.py"
        program.write_text(PROGRAM.format(comment="pass", operator=self.operator, name=self.name), encoding="utf-8")
        done = warm.run([program, self.place, what], env={**os.environ, **env})
        assert done.returncode == 0, done.stderr
        return done.stdout.count("computing")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    made = Shop(tmp_path)
    assert made.run() == 3
    return made


@pytest.fixture
def ran(capsys: pytest.CaptureFixture[str], shop: Shop) -> Any:
    def run(*arguments: object) -> tuple[int, str, str]:
        code = main(["-l", str(shop.place), *map(str, arguments)])
        return code, *capsys.readouterr()

    return run


def test_a_harmless_change_is_shown_asked_about_adopted_and_taken_back(shop: Shop, ran: Any) -> None:
    shop.operator = "+ 0 +"
    assert shop.run("ask") == 0  # computes nothing, and tells which code is the current one
    code, out, err = ran("adopt", "shop.price", "--dry-run")
    assert (code, err) == (0, "")
    assert "3 results of version" in out
    assert "-    return n * 2" in out
    assert "+    return n + 0 + 2" in out
    code, out, err = ran("adopt", "price")  # nobody can be asked
    assert (code, "--yes" in err) == (2, True)
    done = warm.run(["-m", "memo", "-l", shop.place, "adopt", "shop.price", "--yes"])
    assert (done.returncode, "adopted 3 results for shop.price" in done.stdout) == (0, True)
    assert shop.run() == 0
    assert ran("adopt", "shop.price", "--yes")[0] == 1  # there is nothing left to adopt
    assert "would take back 3" in ran("adopt", "shop.price", "--undo", "--dry-run")[1]
    assert ran("adopt", "shop.price", "--undo", "--yes")[0] == 0
    assert ran("adopt", "shop.price", "--undo", "--yes")[0] == 1
    assert shop.run() == 3
    shop.operator = "*"
    assert shop.run() == 0  # the old ones were never touched


def test_undo_leaves_what_was_computed_since(shop: Shop, ran: Any) -> None:
    shop.operator = "+ 0 +"
    shop.run("ask")
    ran("adopt", "shop.price", "--yes")
    ran("clear", "shop.price", "--yes")
    assert shop.run() == 3
    assert ran("adopt", "shop.price", "--undo", "--yes")[0] == 1
    assert shop.run() == 0


def test_a_renamed_function_takes_over_its_results(shop: Shop, ran: Any) -> None:
    shop.name = "store.price_of"
    assert shop.run("ask") == 0
    assert ran("adopt", "store.price_of")[0] == 1
    code, out, _ = ran("adopt", "store.price_of", "--from", "shop.price", "--yes")
    assert (code, "adopted 3 results" in out) == (0, True)
    assert shop.run() == 0


def test_filters_choose(shop: Shop, ran: Any) -> None:
    shop.operator = "+ 0 +"
    shop.run("ask")
    assert "adopted 1 result" in ran("adopt", "shop.price", "--argument", "n=1", "--yes")[1]
    assert shop.run() == 2


def test_unknown_functions_are_named(shop: Shop, ran: Any) -> None:
    code, _, err = ran("adopt", "shop.prize")
    assert (code, "shop.price" in err) == (2, True)


def test_signed_results_are_adopted_with_the_key_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "a-secret-of-sixteen-or-more"
    shop = Shop(tmp_path)
    shop.run(MEMO_SIGNING_KEY=secret)
    shop.operator = "+ 0 +"
    shop.run("ask", MEMO_SIGNING_KEY=secret)
    main(["-l", str(shop.place), "adopt", "shop.price", "--yes"])
    assert "adopted 0 results" in capsys.readouterr().out
    monkeypatch.setenv("MEMO_SIGNING_KEY", secret)
    main(["-l", str(shop.place), "adopt", "shop.price", "--yes"])
    assert "adopted 3 results" in capsys.readouterr().out
    assert shop.run(MEMO_SIGNING_KEY=secret) == 0


def test_an_upgraded_package_is_shown(tmp_path: Path) -> None:
    from memo.explain import changes

    then: dict[str, Any] = {"options": {}, "texts": {}, "packages": {"numpy": "2.1"}, "follows": {}, "python": "3.11"}
    assert changes(then, {**then, "packages": {"numpy": "2.2"}}) == "package numpy 2.1 -> 2.2"
