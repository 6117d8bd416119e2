"""The memo command, each time in a process of its own, on places that real persisted functions have filled."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import warm

PROGRAM = """
import sys
from memo import persist

@persist(location=sys.argv[1], storage=sys.argv[2])
def price(n):
    return n * 2

class Till:
    @staticmethod
    @persist(location=sys.argv[1], storage=sys.argv[2])
    def total(n):
        return "x" * n

for n in range(3):
    price(n)
Till.total(100_000)
"""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("filled")
    program = folder / "shop.py"
    program.write_text(PROGRAM, encoding="utf-8")
    for kind in ("sqlite", "files"):
        warm.run([program, folder / kind, kind], check=True, env=environment(folder))
    return {kind: folder / kind for kind in ("sqlite", "files")}


@pytest.fixture(params=["sqlite", "files"])
def place(request: pytest.FixtureRequest, filled: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled[request.param], tmp_path / request.param))


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MEMO_", "XDG_", "PYTHONUN"))}
    return {**kept, "HOME": str(home), "PYTHONWARNINGS": "error::ResourceWarning", **more}


def memo(*arguments: object, cwd: Path | None = None, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    home = cwd or Path(os.devnull).parent
    command = ["-m", "memo", *map(str, arguments)]
    return warm.run(command, input=stdin, cwd=cwd, env=environment(home, **env))


def read(*arguments: object, cwd: Path | None = None, code: int = 0, **env: str) -> Any:
    done = memo(*arguments, "--json", cwd=cwd, **env)
    assert done.returncode == code, done
    return json.loads(done.stdout)


def names(place: Path) -> set[str]:
    done = memo("ls", "-l", place, "--json")
    return {one["function"] for one in json.loads(done.stdout)}


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


# ------------------------------------------------------------------------------------------------------- looking


def test_commands_leave_nothing_open_for_python_to_complain_of(place: Path) -> None:
    """In processes that Python itself starts and takes apart; elsewhere here they are forked."""
    env = {**environment(place.parent), "PYTHONWARNINGS": "always::ResourceWarning"}
    for command in (["ls"], ["ls", "--entries"], ["stats"], ["where"], ["clear", "*.price", "--yes"]):
        line = [sys.executable, "-m", "memo", *command, "-l", place]
        done = subprocess.run(line, capture_output=True, text=True, env=env, timeout=60)
        assert (done.returncode, done.stderr) == (0, ""), command


def test_ls_shows_functions_newest_first_in_aligned_columns(place: Path) -> None:
    done = memo("ls", "-l", place)
    assert (done.returncode, done.stderr) == (0, "")
    title, *lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["shop.Till.total", "1"], ["shop.price", "3"]]
    assert title.split()[:3] == ["FUNCTION", "ENTRIES", "SIZE"]
    assert len({len(line) for line in (title, *lines)}) == 1
    assert all(line[len("shop.Till.total")] == " " and line.endswith(("ago", "now")) for line in lines)
    assert "\x1b" not in done.stdout


def test_ls_json_is_for_programs(place: Path) -> None:
    till, price = read("ls", "-l", place)
    assert (price["function"], price["entries"], price["versions"], price["damaged"]) == ("shop.price", 3, 1, 0)
    assert till["bytes"] > 100_000 > price["bytes"] > 0
    assert price["oldest"] < price["newest"] < till["newest"]


def test_ls_takes_a_pattern(place: Path) -> None:
    assert [one["function"] for one in read("ls", "*.price", "-l", place)] == ["shop.price"]


def test_ls_entries_shows_each_result(place: Path) -> None:
    entries = read("ls", "-l", place, "--entries")
    assert [one["function"] for one in entries] == ["shop.Till.total", *["shop.price"] * 3]
    assert [one["created"] for one in entries] == sorted((one["created"] for one in entries), reverse=True)
    assert {one["serializer"] for one in entries} == {"pickle"}
    assert all(one["key"].split("/")[1] == one["version"] for one in entries)
    shown = memo("ls", "--entries", "shop.price", "-l", place).stdout.splitlines()
    assert [line.split()[0] for line in shown] == ["FUNCTION", *["shop.price"] * 3]


def test_ls_selects_by_age_and_size(place: Path) -> None:
    assert [one["function"] for one in read("ls", "-l", place, "--larger-than", "50kB")] == ["shop.Till.total"]
    assert len(read("ls", "-l", place, "--older-than", "0s")) == 2
    assert read("ls", "-l", place, "--older-than", "7d", code=1) == []


def test_stats_adds_up(place: Path) -> None:
    total = read("stats", "-l", place)
    assert (total["functions"], total["entries"], total["damaged"], total["dead"]) == (2, 4, 0, 0)
    assert total["bytes"] == sum(one["bytes"] for one in read("ls", "-l", place))
    shown = memo("stats", "-l", place)
    assert shown.returncode == 0
    assert "entries      4\n" in shown.stdout


def test_where_says_what_it_is(place: Path) -> None:
    found = read("where", "-l", place)
    assert (found["place"], found["because"], found["exists"]) == (str(place), "given with --location", True)
    assert found["marker"]["storage"] == place.name
    assert (found["entries"], found["on_disk"] > found["bytes"] > 100_000) == (4, True)
    shown = memo("where", "-l", place)
    assert shown.returncode == 0
    assert f"storage  {place.name}\n" in shown.stdout


# ------------------------------------------------------------------------------------------------ which place


def test_the_location_may_stand_before_or_after_the_command(place: Path) -> None:
    before, after = (
        memo(*order).stdout for order in (("-l", place, "ls", "--json"), ("ls", "--json", "--location", place))
    )
    assert before == after != ""


def test_the_place_comes_from_the_environment_or_the_project(place: Path, tmp_path: Path) -> None:
    project = tmp_path / "project" / "deep"
    project.mkdir(parents=True)
    (project.parent / "pyproject.toml").write_text('[tool.memo]\nlocation = "../cache"\n', encoding="utf-8")
    shutil.copytree(place, tmp_path / "cache")
    assert len(read("ls", cwd=project)) == 2
    assert read("where", cwd=project)["because"].startswith("[tool.memo] in ")
    found = read("where", cwd=project, MEMO_DIR=str(place))
    assert (found["place"], found["because"]) == (str(place), "the environment variable MEMO_DIR")


def test_a_default_place_that_does_not_exist_is_nothing_found_and_is_not_made(tmp_path: Path) -> None:
    (tmp_path / "setup.py").touch()
    for command in (["ls"], ["stats"], ["clear", "--yes"]):
        done = memo(*command, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        assert "nothing is stored yet in " in done.stderr
        assert str(tmp_path) in done.stderr
    found = read("where", cwd=tmp_path, code=1)
    assert (found["exists"], str(tmp_path) in found["because"]) == (False, True)
    assert [one.name for one in tmp_path.iterdir()] == ["setup.py"]


@pytest.mark.parametrize("command", [["ls"], ["stats"], ["where"], ["clear", "--yes"]])
def test_a_named_place_that_does_not_exist_is_an_error_and_is_not_made(tmp_path: Path, command: list[str]) -> None:
    refused(memo(*command, "-l", tmp_path / "gone"), "no cache", "gone")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [["ls"], ["where"], ["clear", "--yes"]])
def test_a_folder_that_memo_did_not_make_is_refused_and_left_alone(tmp_path: Path, command: list[str]) -> None:
    thesis = tmp_path / "thesis.txt"
    thesis.write_text("three years", encoding="utf-8")
    refused(memo(*command, "-l", tmp_path), str(tmp_path), "not a cache of memo", "thesis.txt")
    assert [one.name for one in tmp_path.iterdir()] == ["thesis.txt"]
    refused(memo(*command, "-l", thesis), "it is a file")
    assert thesis.read_text(encoding="utf-8") == "three years"


def test_an_empty_folder_is_not_made_a_cache(tmp_path: Path) -> None:
    refused(memo("ls", "-l", tmp_path), "no cache")
    assert list(tmp_path.iterdir()) == []


def test_a_cache_of_a_newer_memo_is_refused(place: Path) -> None:
    marker = json.loads((place / "memo.json").read_text(encoding="utf-8"))
    (place / "memo.json").chmod(0o600)
    (place / "memo.json").write_text(json.dumps({**marker, "format": 99}), encoding="utf-8")
    refused(memo("ls", "-l", place), "format 99")


# ------------------------------------------------------------------------------------------------------ clearing


def test_clear_with_yes(place: Path) -> None:
    done = memo("clear", "*.price", "--yes", "-l", place)
    assert done.returncode == 0, done
    assert "cleared 3 entries of 1 function" in done.stdout
    assert "  shop.price\n" in done.stdout
    assert names(place) == {"shop.Till.total"}
    assert memo("clear", "-y", "-l", place).returncode == 0
    assert names(place) == set()
    assert memo("clear", "-y", "-l", place).returncode == 1


def test_what_was_cleared_is_computed_again(place: Path, filled: dict[str, Path]) -> None:
    program = filled[place.name].parent / "shop.py"
    memo("clear", "--yes", "-l", place)
    warm.run([program, place, place.name], check=True)
    assert read("stats", "-l", place)["entries"] == 4


def test_clear_by_size_leaves_the_rest(place: Path) -> None:
    assert memo("clear", "--larger-than", "50 kB", "--yes", "-l", place).returncode == 0
    assert names(place) == {"shop.price"}


def test_clear_by_age_leaves_what_is_young(place: Path) -> None:
    done = memo("clear", "--older-than", "1h", "--yes", "-l", place)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(names(place)) == 2


def test_a_dry_run_shows_and_leaves(place: Path) -> None:
    done = memo("clear", "--dry-run", "-l", place)
    assert done.returncode == 0, done
    assert "would clear 4 entries of 2 functions" in done.stdout
    assert len(names(place)) == 2


def test_clear_asks_nobody_and_does_nothing_where_there_is_no_terminal(place: Path) -> None:
    refused(memo("clear", "-l", place, stdin="y\n"), "--yes", "--dry-run")
    assert len(names(place)) == 2


@pytest.mark.parametrize(("answer", "code", "left"), [(b"y\n", 0, 0), (b"\n", 1, 2), (b"n\n", 1, 2), (b"\x04", 1, 2)])
def test_clear_asks_a_person(place: Path, answer: bytes, code: int, left: int) -> None:
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "memo", "clear", "-l", place],
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        os.write(ours, answer)
        _, errors = process.communicate(timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)
    assert process.returncode == code
    assert b"clear 4 entries of 2 functions" in errors
    assert len(names(place)) == left


# ------------------------------------------------------------------------------------------- a good neighbour


def test_found_nothing_says_what_there_is(place: Path) -> None:
    done = memo("ls", "price", "-l", place)
    assert (done.returncode, done.stdout) == (1, "")
    assert "'price'" in done.stderr
    assert "shop.price" in done.stderr
    assert "Till" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["COMMAND"]),
        (["lst"], ["lst", "ls"]),
        (["ls", "--older-than", "soon"], ["--older-than", "soon", "7d"]),
        (["ls", "--larger-than", "2 G"], ["--larger-than", "2 G", "GB"]),
        (["ls", "-l", ""], ["--location is empty"]),
        (["clear", "--jes"], ["--jes"]),
    ],
)
def test_misuse_is_explained(arguments: list[str], words: list[str]) -> None:
    refused(memo(*arguments), *words)


def test_version_and_help() -> None:
    import memo as package

    assert memo("--version").stdout == f"memo {package.__version__}\n"
    shown = memo("--help")
    assert shown.returncode == 0
    for word in ("ls", "stats", "clear", "where", "exit codes", "--location"):
        assert word in shown.stdout


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_broken_pipe_is_quiet(place: Path, unbuffered: str) -> None:
    source, sink = os.pipe()
    os.close(source)
    try:
        done = into(sink, place, unbuffered)
    finally:
        os.close(sink)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device of a full disk")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_the_output_is_an_error(place: Path, unbuffered: str) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        done = into(full, place, unbuffered)
    finally:
        os.close(full)
    assert done.returncode == 2
    assert done.stderr.startswith(b"memo: error: ")
    assert (b"No space left" in done.stderr, done.stderr.count(b"\n")) == (True, 1)


def into(output: int, place: Path, unbuffered: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "memo", "ls", "-l", place],
        stdout=output,
        stderr=subprocess.PIPE,
        env=environment(place, PYTHONUNBUFFERED=unbuffered),
        timeout=60,
    )


def test_names_can_give_the_terminal_no_orders(place: Path) -> None:
    from memo._opened import open_place

    storage, _ = open_place(str(place))
    for record in list(storage.scan("names")):
        name = "evil\x1b[2J\r\u202e€".encode()
        storage.write(record.name, [name], lambda: b"", size=len(name), mark=0)
    for encoding in ("utf-8", "ascii"):
        shown = memo("ls", "-l", place, PYTHONIOENCODING=encoding)
        assert shown.returncode == 0
        assert r"evil\x1b[2J\r\u202e" in shown.stdout
        assert not set(shown.stdout) & set("\x1b\r\u202e")
    assert names(place) == {"evil\x1b[2J\r\u202e€"}


def test_the_users_code_is_not_imported(place: Path, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    assert len(read("ls", "-l", place, cwd=tmp_path)) == 2


def test_ls_loads_nothing_heavy(place: Path) -> None:
    heavy = {"asyncio", "cloudpickle", "dataclasses", "joblib", "logging", "numpy", "pickle", "platformdirs", "shutil"}
    if sys.version_info < (3, 12):  # from then on typing itself loads it, to look at a runtime-checkable protocol
        heavy.add("inspect")
    code = f"import sys; from memo.cli import main; main(); print(sorted({heavy} & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code, "ls", "-l", place], capture_output=True, encoding="utf-8", timeout=60
    )
    assert "shop.price" in done.stdout
    assert done.stderr == "[]\n"
