"""memo export, import, merge, push and pull: what they say and refuse, by main() in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from memo import Cache
from memo.cli import main


def fill(place: Path, numbers: range, kind: str | None = None) -> None:
    price = Cache(place, storage=kind).persist(name="shop.price", version=1, code="off", tags=["daily"])(lambda n: n)
    total = Cache(place).persist(name="shop.total", version=1, code="off")(lambda text: text * 2)
    for n in numbers:
        price(n)
    total("spam")
    from memo.explain._kept import write_all

    write_all()  # what is remembered of calls is written at the end of a process


@pytest.fixture
def ran(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command in this process: (exit code, standard output, standard error)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(one) for one in arguments])
        return code, *capsys.readouterr()

    return run


@pytest.fixture(params=["sqlite", "files"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    fill(tmp_path / "place", range(3), request.param)
    return tmp_path / "place"


def entries(place: Path) -> int:
    from memo import _upkeep

    return sum(1 for one in _upkeep.entries(Cache(place).storage) if one.live)


def made(folder: Path) -> list[Path]:
    """What is there, but for what comes and goes with SQLite's connections."""
    return sorted(one for one in folder.rglob("*") if not one.name.startswith("entries.db-"))


def test_each_command_and_what_it_says(place: Path, tmp_path: Path, ran: Any) -> None:
    file, other = tmp_path / "results.memo", tmp_path / "other"
    code, out, err = ran("export", file, "-l", place)
    assert (code, err, out.startswith("exported 4 entries (")) == (0, "", True)
    assert out.endswith(f"to {file}\n  shop.price\n  shop.total\n")
    code, out, err = ran("import", file, "-l", other)
    assert (code, out, "--trust" in err) == (2, "", True)
    code, _, err = ran("import", file, "--trust", "-l", other)
    assert (code, err, entries(other)) == (0, "", 4)
    fill(other, range(2, 5))
    code, out, _ = ran("push", other, "-l", place)
    assert (code, out) == (0, f"pushed 0 entries (0 B) to {other}; 4 there already\n")
    code, out, _ = ran("pull", other, "--trust", "--json", "-l", place)
    assert (code, entries(place)) == (0, 6)
    assert json.loads(out)[0].items() >= {"place": str(other), "entries": 2, "same": 4, "damaged": 0}.items()
    code, out, _ = ran("merge", place, file, "--trust", "-l", f"files:{tmp_path}/union")
    assert (code, entries(tmp_path / "union")) == (0, 6)
    merged = [line.split()[:2] for line in out.splitlines() if line[0] != " "]
    assert merged == [["merged", "6"], ["merged", "0"]]
    # a file is a place like any other
    assert ran("ls", "-l", file, "--json")[1].count('"function": "shop.') == 2


def test_filters_are_those_of_ls(place: Path, tmp_path: Path, ran: Any) -> None:
    def pushed(*filters: str) -> int:
        code, out, _ = ran("push", tmp_path / "other", "--dry-run", "--json", "-l", place, *filters)
        return int(json.loads(out)[0]["entries"]) if code == 0 else -code

    assert pushed() == 4
    assert pushed("-f", "*.total") == 1
    assert pushed("--tag", "daily") == 3
    assert pushed("--argument", "n=2") == 1
    assert pushed("--argument", "spam", "--function", "shop.*") == 1
    assert pushed("--older-than", "1h") == -1
    assert pushed("--larger-than", "1MB") == -1
    assert not (tmp_path / "other").exists()


def test_a_dry_run_makes_nothing(place: Path, tmp_path: Path, ran: Any) -> None:
    ran("export", tmp_path / "results.memo", "-l", place)
    before = made(tmp_path)
    for command in (
        ["export", tmp_path / "new.memo", "-l", place],
        ["push", tmp_path / "new", "-l", place],
        ["push", f"files:{tmp_path}/new", "-l", place],
        ["import", tmp_path / "results.memo", "--trust", "-l", tmp_path / "new"],
        ["merge", place, "-l", tmp_path / "new"],
    ):
        code, out, _ = ran(*command, "--dry-run")
        assert (code, out.splitlines()[0].split()[:5]) == (
            0,
            ["would", "have", f"{command[0]}ed".replace("eed", "ed"), "4", "entries"],
        )
    assert made(tmp_path) == before


def test_what_can_not_be_done_is_said_and_changes_nothing(place: Path, tmp_path: Path, ran: Any) -> None:
    (tmp_path / "thesis.txt").write_text("three years", encoding="utf-8")
    before = made(tmp_path)
    for command, words in (
        (["import", tmp_path / "thesis.txt", "--trust"], "no export of memo"),
        (["import", tmp_path / "gone.memo", "--trust"], "there is no file"),
        (["export", tmp_path / "thesis.txt"], "not replaced"),
        (["export", tmp_path / "none" / "results.memo"], "results.memo can't be written: No such file or directory: "),
        (["pull", tmp_path / "gone", "--trust"], "no cache at"),
        (["push", place], "this place itself"),
        (["push", "nonsense://x"], "nonsense://"),
        (["merge", place.parent / "gone", place], "no cache at"),
    ):
        code, out, err = ran(*command, "-l", place)
        assert (code, out) == (2, ""), command
        assert words in err
    assert made(tmp_path) == before
    code, _, err = ran("export", tmp_path / "none.memo", "-f", "nothing.*", "-l", place)
    assert (code, "there is shop.price" in err, (tmp_path / "none.memo").exists()) == (1, True, False)


def test_merging_from_a_folder_that_others_may_write_to_needs_trust(place: Path, tmp_path: Path, ran: Any) -> None:
    place.chmod(0o777)
    assert ran("merge", place, "-l", tmp_path / "mine")[0] == 2
    assert ran("merge", place, "--trust", "-l", tmp_path / "mine")[0] == 0


def test_damaged_entries_are_told(tmp_path: Path, ran: Any) -> None:
    fill(tmp_path / "place", range(2), "files")
    one = next((tmp_path / "place" / "files").rglob("*.pkl"))
    one.chmod(0o600)
    one.write_bytes(b"?" + one.read_bytes()[1:])
    code, out, err = ran("export", tmp_path / "results.memo", "-l", tmp_path / "place")
    assert (code, out.startswith("exported 2 entries"), "1 entry is damaged" in err) == (0, True, True)
