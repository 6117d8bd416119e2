"""memo show, compact, completion; tables for people; and what the README says of the command."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import warm

from memo import Cache, _place, cli
from memo.cli import _completion, main

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")

PROGRAM = """
import sys
from memo import Cache
cache = Cache(sys.argv[1], storage=sys.argv[2])

@cache.persist(name="shop.price", version=1)
def price(n, currency="eur"):
    return n * 2

@cache.persist(name="shop.picture", version=1)
def picture(n):
    return "x" * n

for n in range(int(sys.argv[3])):
    price(n)
if sys.argv[3] == "3":
    picture(100_000)
"""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Filled by one process; two more were served."""
    folder = tmp_path_factory.mktemp("filled")
    (folder / "shop.py").write_text(PROGRAM, encoding="utf-8")
    for kind in ("sqlite", "files"):
        for calls in ("3", "2", "1"):
            warm.run([folder / "shop.py", folder / kind, kind, calls], check=True)
    return {kind: folder / kind for kind in ("sqlite", "files")}


@pytest.fixture(params=["sqlite", "files"])
def place(request: pytest.FixtureRequest, filled: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled[request.param], tmp_path / request.param))


@pytest.fixture
def ran(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command in this process: (exit code, standard output, standard error)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(one) for one in arguments])
        return code, *capsys.readouterr()

    return run


def process(*arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MEMO_")}
    return warm.run(["-m", "memo", *map(str, arguments)], env={**kept, **env})


# ------------------------------------------------------------------------------------------------- what people ask


def test_hits_of_programs_that_ended_are_told(place: Path, ran: Any) -> None:
    code, out, _ = ran("ls", "-l", place, "--json")
    found = {one["function"]: one for one in json.loads(out)}
    assert (code, found["shop.price"]["hits"], found["shop.picture"]["hits"]) == (0, 3, 0)
    assert found["shop.price"]["saved"] > 0
    assert found["shop.price"]["used"] > found["shop.price"]["newest"]
    total = json.loads(ran("stats", "-l", place, "--json")[1])
    assert (total["hits"], [one["function"] for one in total["never_hit"]]) == (3, ["shop.picture"])
    assert [one["function"] for one in total["big"]] == ["shop.picture", "shop.price"]
    _, out, _ = ran("stats", "-l", place)
    assert "by 3 hits" in out
    assert re.search(r"^never hit +shop.picture \(100 kB\)$", out, re.MULTILINE)
    assert [line.split()[-6] for line in ran("ls", "-l", place)[1].splitlines()[1:]].count("never") in (0, 1)


def test_what_is_stale_is_told(tmp_path: Path, ran: Any) -> None:
    cache = Cache(tmp_path / "place")
    cache.clock = lambda: 1e9
    cache.persist(name="old", version=1, code="off", ttl="1h")(lambda n: n)(1)
    cache.persist(name="changed", version=1, code="off")(lambda n: n)(1)
    cache.persist(name="changed", version=2, code="off")(lambda n: n)(1)
    code, out, _ = ran("stats", "-l", tmp_path / "place", "--json")
    total = json.loads(out)
    assert (code, total["stale_entries"], {one["function"] for one in total["stale"]}) == (0, 2, {"old", "changed"})
    assert "to prune" in ran("stats", "-l", tmp_path / "place")[1]
    assert "pruned 2 entries" in ran("prune", "--yes", "-l", tmp_path / "place")[1]
    assert json.loads(ran("stats", "-l", tmp_path / "place", "--json")[1])["stale_entries"] == 0


def test_show_tells_all_of_one_result(place: Path, ran: Any) -> None:
    entries = json.loads(ran("ls", "--entries", "--argument", "n=2", "-l", place, "--json")[1])
    (key,) = [one["key"] for one in entries]
    done = process("show", key.rpartition("/")[2][:12], "-l", place)
    assert (done.returncode, done.stderr) == (0, "")
    told = dict(re.split(" {2,}", line, maxsplit=1) for line in done.stdout.splitlines())
    assert (told["function"], told["key"], told["argument n"], told["argument currency"]) == (
        "shop.price",
        key,
        "2",
        "'eur'",
    )
    shown = json.loads(ran("show", key, "--json", "-l", place)[1])
    assert shown["arguments"] == {"n": "2", "currency": "'eur'"}
    assert (shown["live"], shown["signed"], shown["serializer"]) == (True, False, "pickle")
    code, out, err = ran("show", "zzz", "-l", place)
    assert (code, out, "ls --entries" in err) == (1, "", True)
    code, out, err = ran("show", "shop.price", "-l", place)
    assert (code, out, "3 results" in err) == (2, "", True)
    assert len([line for line in err.splitlines() if line.startswith("  shop.price-")]) == 3  # to choose from


def test_compact_gives_room_back(place: Path, ran: Any) -> None:
    ran("clear", "-f", "shop.picture", "--yes", "-l", place)
    before = json.loads(ran("ls", "-l", place, "--json")[1])
    code, out, _ = ran("compact", "--dry-run", "-l", place)
    assert (code, out.startswith(f"would compact {place}")) == (0, True)
    done = process("compact", "-l", place)
    assert (done.returncode, done.stdout.startswith(f"compacted {place}: ")) == (0, True)
    assert json.loads(ran("ls", "-l", place, "--json")[1]) == before


def test_prune_takes_the_filters(place: Path, ran: Any) -> None:
    Cache(place).persist(name="shop.price", version=2)(lambda n: n)(1)
    assert ran("prune", "--larger-than", "1MB", "--yes", "-l", place)[0] == 1
    assert "3 entries" in ran("prune", "--larger-than", "1B", "--dry-run", "-l", place)[1]


# ------------------------------------------------------------------------------------------------------ terminals


def on_terminal(*arguments: object, **env: str) -> str:
    """What a command shows on a terminal."""
    ours, theirs = pty.openpty()
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "TERM")}
    command = [sys.executable, "-m", "memo", *map(str, arguments)]
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env={**kept, "COLUMNS": "150", **env}) as running:
        os.close(theirs)
        shown = b""
        while True:
            try:
                more = os.read(ours, 65536)
            except OSError:  # Linux says so when the other end is closed
                break
            if not more:
                break
            shown += more
        assert running.wait(60) == 0
    os.close(ours)
    return shown.decode()


def test_tables_are_rich_on_a_terminal_and_plain_elsewhere(place: Path) -> None:
    pytest.importorskip("rich")
    plain = process("ls", "-l", place).stdout
    rich = on_terminal("ls", "-l", place, TERM="xterm-256color")
    assert "\x1b[1m" in rich
    assert "shop.picture" in rich
    assert "\x1b" not in plain
    assert "\x1b" not in on_terminal("ls", "-l", place, TERM="dumb")
    uncoloured = on_terminal("ls", "-l", place, TERM="xterm-256color", NO_COLOR="1")
    assert not re.search("\x1b\\[[0-9;]*(3[0-9]|4[0-9])", uncoloured)
    narrow = process("ls", "-l", place, FORCE_COLOR="1", TERM="xterm", COLUMNS="40").stdout
    assert "\x1b[1m" in narrow
    assert "shop.picture" in narrow  # in one piece


def test_tables_are_plain_without_rich(place: Path, ran: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setitem(sys.modules, "rich.console", None)
    code, out, err = ran("ls", "-l", place)
    assert (code, err, "\x1b" in out, out.split()[:2]) == (0, "", False, ["FUNCTION", "ENTRIES"])


def test_stored_names_are_no_markup(tmp_path: Path, ran: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")
    Cache(tmp_path / "place").persist(name="[bold]x[/nothing]\x1b[2J", version=1, code="off")(lambda n: n)(1)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "150")
    code, out, _ = ran("ls", "-l", tmp_path / "place")
    assert (code, r"[bold]x[/nothing]\x1b[2J" in out, "\x1b[2J" in out) == (0, True, False)


# ----------------------------------------------------------------------------------------------------- completion


#: what is typed before Tab -> what there is to choose from
LINES = {
    "memo st": {"stats"},
    "memo -l x pru": {"prune"},
    "memo clear --ol": {"--older-than"},
    "memo ls --js": {"--json"},
    "memo completion f": {"fish"},
    "memo run --cache-cl": {"--cache-clear"},
    "memo import resul": {"results.memo"},
    "memo -l resul": {"results.memo"},
    "memo ls resul": set(),
}


def needs(shell: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"there is no {shell} on the PATH: apt-get install {shell}")


@pytest.fixture
def typed(tmp_path: Path) -> Path:
    """A folder with something to complete to."""
    (tmp_path / "results.memo").touch()
    return tmp_path


def test_bash_completes(ran: Any, typed: Path) -> None:
    needs("bash")
    script = ran("completion", "bash")[1]
    for line in LINES:
        words = line.split()
        script += f"COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; COMPREPLY=(); _memo; echo ${{COMPREPLY[@]}}\n"
    done = subprocess.run(["bash", "-u"], input=script, capture_output=True, text=True, timeout=60, cwd=typed)
    assert (done.returncode, done.stderr) == (0, "")
    assert [set(line.split()) for line in done.stdout.splitlines()] == list(LINES.values())


def test_fish_completes(ran: Any, typed: Path) -> None:
    needs("fish")
    script = ran("completion", "fish")[1]
    for line in LINES:
        script += f"complete -C '{line}' | string replace -r '\\t.*' '' | string join ' '; echo .\n"
    home = {name: str(typed) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")}
    done = subprocess.run(
        ["fish", "--no-config"], input=script, capture_output=True, text=True, timeout=60, cwd=typed,
        env={**os.environ, **home},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert [set(line.split()) for line in done.stdout.split(".\n")[:-1]] == list(LINES.values())


def test_zsh_completes(ran: Any, typed: Path) -> None:
    """On a terminal, as it is typed: Tab, and then a key that writes down what stands in the line."""
    needs("zsh")
    start = ran("completion", "zsh")[1] + "show() { print -r -- $BUFFER >> $ZDOTDIR/shown; BUFFER= }\nzle -N show\n"
    start += "bindkey '^X^P' show\nsetopt no_beep\nPS1='READY> '\n"
    (typed / ".zshrc").write_text("autoload -U compinit\ncompinit -u -D\n" + start, encoding="utf-8")
    ours, theirs = pty.openpty()
    env = {**os.environ, "ZDOTDIR": str(typed), "HOME": str(typed), "TERM": "dumb"}
    command = ["zsh", "-d", "-i"]  # no settings of the machine's
    said = b""
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=typed, env=env) as shell:
        try:
            os.close(theirs)
            while b"READY> " not in said:  # before, the terminal is not the shell's
                said += os.read(ours, 65536)
            os.write(ours, "".join(f"{line}\t\x18\x10" for line in LINES).encode() + b"exit\r")
            with suppress(OSError):  # Linux says so when the other end is closed
                while more := os.read(ours, 65536):
                    said += more
            assert shell.wait(60) == 0
        finally:
            shell.kill()
            os.close(ours)
    shown = (typed / "shown").read_text(encoding="utf-8").splitlines()
    completed = [" ".join([*line.split()[:-1], *(one or line.split()[-1:])]) for line, one in LINES.items()]
    assert [line.strip() for line in shown] == completed, said


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell(shell: str, ran: Any) -> None:
    code, script, err = ran("completion", shell)
    assert (code, err) == (0, "")
    for command in cli.COMMANDS:
        assert command in script
    for option in ("older-than", "stale-code", "trust", "dry-run"):
        assert option in script
    if shutil.which(shell):  # it is at least read by the shell without a complaint
        before = "autoload -U compinit && compinit -u -D\n" if shell == "zsh" else ""
        command = [shell, "-f"] if shell == "zsh" else [shell]
        done = subprocess.run(command, input=before + script, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")


# ------------------------------------------------------------------------------------------------- the parser


def test_each_command_is_in_the_module_that_the_table_says() -> None:
    everything = _completion.known()
    assert set(everything) - {""} == set(cli.COMMANDS)
    for command in cli.COMMANDS:
        (alone,) = [one for one in cli.parser([command])._actions if one.dest == "==SUPPRESS==" and one.choices] or [
            next(one for one in cli.parser([command])._actions if hasattr(one, "_choices_actions"))
        ]
        assert command in alone.choices  # type: ignore[operator]


def test_the_reference_of_the_readme_is_that_of_the_parser() -> None:
    """Each command has a row, and each of its options stands in the row or in the paragraph on the filters."""
    rows = dict(re.findall(r"^\| `memo ([a-z]+)[^|]*\|(.*)\|$", README, re.MULTILINE))
    shared = README[README.index("PATTERN is full names") :].partition("\n## ")[0]
    known = _completion.known()
    assert set(rows) == set(known) - {""}
    for command, one in known.items():
        for spellings, takes, _ in one.options if command else ():
            text = README if command == "run" else rows[command] + shared  # its flags have a table of their own
            said = [spelling for spelling in spellings if f"`{spelling}" in text]
            assert said or "--help" in spellings, f"memo {command} {spellings} {takes}"
    told = {
        one for one in re.findall(r"`(--[a-z-]+)", "".join(rows.values()) + shared) if not one.startswith("--cache")
    }
    assert told <= {spelling for one in known.values() for option in one.options for spelling in option[0]}


def test_reading_commands_have_json_and_removing_ones_ask() -> None:
    known = {
        name: {spelling for option in one.options for spelling in option[0]}
        for name, one in _completion.known().items()
    }
    for command in (
        "ls",
        "show",
        "stats",
        "why",
        "ps",
        "where",
        "verify",
        "doctor",
        "export",
        "import",
        "merge",
        "push",
    ):
        assert "--json" in known[command]
    for command in ("clear", "prune", "adopt"):
        assert {"--dry-run", "--yes"} <= known[command]
    filters = {"--function", "--tag", "--older-than", "--larger-than", "--expired", "--stale-code", "--argument"}
    for command in ("ls", "stats", "clear", "prune", "export", "import", "merge", "push", "pull"):
        assert filters <= known[command]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere platformdirs is asked")
@pytest.mark.parametrize("xdg", [None, "", " ", "/somewhere/caches", "relative"])
def test_the_default_folder_is_that_of_platformdirs(xdg: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if xdg is None:
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", xdg)
    ours, theirs = os.path.join(_place._xdg_caches(), "memo"), _place._platform_caches()
    assert ours == theirs or not os.path.isabs(theirs)  # older ones take a relative path as it is
