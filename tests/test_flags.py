"""Cache flags in a program of the user's: what is parsed, what contradicts, and what a run then does."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import pytest
from _program import FUNCTIONS, Program

import memo.flags
from memo import settings
from memo.errors import OptionError

PROGRAM = (
    FUNCTIONS
    + """
    import argparse
    import memo.flags

    parser = argparse.ArgumentParser()
    parser.add_argument("--numbers", type=int, default=2)
    memo.flags.add_arguments(parser)
    given = parser.parse_args()
    assert list(vars(given)) == ["numbers"], given

    @persist
    def later(n):
        print("later", n)
        return -n

    for n in range(given.numbers):
        square(n), cube(n), later(n), square(n)
"""
)

ALL = [f"{name} {n}" for n in range(2) for name in ("square", "cube", "later")]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """One that has run, so that everything is stored."""
    program = Program(tmp_path, PROGRAM)
    assert program() == (ALL, "")
    assert program() == ([], "")
    return program


def test_clear_computes_and_stores_again(program: Program) -> None:
    assert program("--cache-clear") == (ALL, "")
    assert program() == ([], "")


def test_clear_also_takes_what_this_run_does_not_ask_for(program: Program) -> None:
    program("--cache-clear", "--numbers=1")
    assert program()[0] == ["square 1", "cube 1", "later 1"]


def test_clear_of_some_functions(program: Program) -> None:
    assert program("--cache-clear", "--cache-function", "*.square")[0] == ["square 0", "square 1"]
    assert program("--cache-function=program.[cl]*", "--cache-clear")[0] == [
        line for line in ALL if "square" not in line
    ]
    assert program() == ([], "")


def test_refresh_computes_each_key_once_and_keeps_the_others(program: Program) -> None:
    assert program("--cache-refresh", "--numbers=1") == (ALL[:3], "")
    assert program() == ([], "")
    assert program("--cache-refresh", "--cache-function=*.cube")[0] == ["cube 0", "cube 1"]


def test_no_cache_neither_reads_nor_writes(program: Program) -> None:
    again = ["square 0", "cube 0", "later 0", "square 0"]
    assert program("--no-cache", "--numbers=1")[0] == again
    assert program("--no-cache", "--numbers=3")[0][-4:] == ["square 2", "cube 2", "later 2", "square 2"]
    assert program("--numbers=3")[0] == ["square 2", "cube 2", "later 2"]


def test_readonly_reads_and_does_not_write(program: Program) -> None:
    for _ in range(2):
        assert program("--cache-readonly", "--numbers=3")[0][:3] == ["square 2", "cube 2", "later 2"]


def test_only_raises_instead_of_computing(program: Program) -> None:
    assert program("--cache-only") == ([], "")
    assert (
        "NotCachedError: no stored result for program.square(n=2)"
        in program("--cache-only", "--numbers=3", status=1)[1]
    )


def test_dir_is_used_for_functions_that_name_none(program: Program) -> None:
    assert program("--cache-dir", "other")[0] == ALL
    assert (program.folder / "other" / "memo.json").exists()
    assert program("--cache-dir", str(program.folder / "other")) == ([], "")


def test_a_location_in_the_code_comes_before_the_flag(tmp_path: Path) -> None:
    program = Program(tmp_path, PROGRAM.replace("@persist", '@persist(location="mine")'))
    assert program("--cache-dir", "other")[0] == ALL
    assert (tmp_path / "mine" / "memo.json").exists()
    assert not (tmp_path / "other").exists()


def test_what_was_called_before_the_flags_were_parsed_follows_them_too(tmp_path: Path) -> None:
    program = Program(tmp_path, PROGRAM.replace("parser = argparse", "square(0), square(0)\n    parser = argparse", 1))
    assert program("--numbers=1")[0] == ["square 0", "cube 0", "later 0"]
    assert program("--numbers=1") == ([], "")
    for flag, lines in {
        "--cache-clear": ["square 0", "cube 0", "later 0"],
        "--cache-refresh": ["square 0", "cube 0", "later 0"],
        "--no-cache": ["square 0", "cube 0", "later 0", "square 0"],
        "--cache-dir=other": ["square 0", "cube 0", "later 0"],
    }.items():
        assert program("--numbers=1", flag)[0] == lines, flag


def test_stats_at_exit_on_standard_error(program: Program) -> None:
    computed, said = program("--cache-stats", "--numbers=3")
    assert computed == ["square 2", "cube 2", "later 2"]
    lines = said.splitlines()
    assert lines[0].startswith("memo: 9 hits, 3 misses, ")
    assert sorted(line.split(", ")[0] for line in lines[1:]) == [
        "memo:   program.cube: 2 hits",
        "memo:   program.later: 2 hits",
        "memo:   program.square: 5 hits",
    ]
    assert all(line.endswith(" s saved") for line in lines)


def test_flags_reach_workers(tmp_path: Path) -> None:
    program = Program(
        tmp_path,
        """
        import argparse, multiprocessing, os
        import memo.flags
        from memo import persist

        @persist
        def square(n):
            with open("computed", "a") as file:
                file.write(f"{n}\\n")
            return n * n

        if __name__ == "__main__":
            parser = argparse.ArgumentParser()
            memo.flags.add_arguments(parser)
            parser.parse_args()
            with multiprocessing.get_context("spawn").Pool(int(os.environ["WORKERS"])) as pool:
                assert pool.map(square, range(6), chunksize=1) == [n * n for n in range(6)]
        """,
    )

    def computed(*flags: str, workers: int = 1) -> list[str]:
        (tmp_path / "computed").write_text("")
        assert program(*flags, WORKERS=str(workers))[1] == ""
        return sorted((tmp_path / "computed").read_text().split())

    every = [str(n) for n in range(6)]
    assert computed() == every
    assert computed() == []
    assert computed("--cache-clear", workers=2) == every  # neither clears what the other has just stored
    assert computed("--cache-refresh", workers=2) == every
    assert computed() == []
    assert computed("--no-cache") == every
    assert computed("--cache-dir=other") == every
    assert computed("--cache-dir=other") == []


# ------------------------------------------------------------------------------------------------------ parsing


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the flags told settings."""
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(settings, "set_flags", lambda **given: calls.append(given))
    return calls


def parser(**options: Any) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(**options)
    memo.flags.add_arguments(made)
    return made


@pytest.mark.parametrize(
    "flags",
    [
        ["--cache-only", "--cache-refresh"],
        ["--cache-refresh", "--cache-only"],
        ["--no-cache", "--cache-clear"],
        ["--cache-clear", "--no-cache"],
        ["--cache-readonly", "--cache-clear"],
        ["--cache-only", "--cache-readonly"],
        ["--cache-function", "x", "--no-cache"],
    ],
)
def test_contradictions_are_errors_of_the_parser(
    flags: list[str], said: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        parser().parse_args(flags)
    names = [flag for flag in flags if flag.startswith("-")]
    assert f"error: argument {names[1]}: not allowed with {names[0]}: " in capsys.readouterr().err


def test_what_goes_together(said: list[dict[str, Any]]) -> None:
    made = parser()
    for flags in (
        ["--cache-clear", "--cache-refresh", "--cache-function=x.*"],
        ["--no-cache", "--no-cache", "--cache-dir=x"],
        ["--cache-only"],
        ["--cache-refresh"],  # another run of the parser, in tests of the program
    ):
        assert vars(made.parse_args(flags)) == {}
    assert said == [
        {"clear": True},
        {"mode": "refresh"},
        {"functions": "x.*"},
        {"mode": "off"},
        {"mode": "off"},
        {"location": os.path.abspath("x")},
        {"mode": "only-cached"},
        {"mode": "refresh"},
    ]


def test_subcommands_and_parents(said: list[dict[str, Any]]) -> None:
    common = argparse.ArgumentParser(add_help=False)
    memo.flags.add_arguments(common)
    main = argparse.ArgumentParser()
    main.add_subparsers(dest="command").add_parser("train", parents=[common])
    assert vars(main.parse_args(["train", "--cache-clear"])) == {"command": "train"}
    assert said == [{"clear": True}]


def test_a_pattern_given_to_the_subcommand_restricts_what_the_program_was_given(tmp_path: Path) -> None:
    text = """
        import argparse, memo.flags
        from memo import settings
        main = argparse.ArgumentParser()
        memo.flags.add_arguments(main)
        memo.flags.add_arguments(main.add_subparsers().add_parser("train"))
        main.parse_args()
        print(settings.take_clear("shop.f"), settings.take_clear("till.f"))
    """
    program = Program(tmp_path, text)
    assert program("--cache-clear", "train", "--cache-function=shop.*") == (["True False"], "")


def test_a_pattern_for_nothing_says_so(tmp_path: Path) -> None:
    said = Program(tmp_path, PROGRAM)("--cache-function=x.*")[1]
    assert said.count("MemoWarning") == 1
    assert "--cache-clear, --cache-refresh" in said


@pytest.mark.parametrize("flag", ["--cache-dir=", "--cache-function= "])
def test_empty_values_are_errors_of_the_parser(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parser().parse_args([flag])
    assert f"argument {flag.partition('=')[0]}: expected a" in capsys.readouterr().err


def test_a_folder_that_is_no_cache_is_an_error_of_the_parser(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(SystemExit, match="2"):
        parser().parse_args(["--cache-dir", str(tmp_path)])
    assert "is not a cache of memo" in capsys.readouterr().err


@pytest.mark.parametrize("handler", ["error", "resolve"])
@pytest.mark.parametrize("option", ["--cache-clear", "--no-cache", "--cache-dir"])
def test_an_option_that_the_program_has_is_not_taken_away(option: str, handler: str) -> None:
    made = argparse.ArgumentParser(conflict_handler=handler)
    made.add_argument(option, dest="mine", nargs="?", const="yes")
    before = made.format_help()
    with pytest.raises(OptionError, match=f"has {option} already; .*prefix="):
        memo.flags.add_arguments(made)
    assert made.format_help() == before
    memo.flags.add_arguments(made, prefix="memo")
    assert made.parse_args([option]).mine == "yes"


def test_prefix_renames_all(said: list[dict[str, Any]]) -> None:
    made = argparse.ArgumentParser(prog="p")
    memo.flags.add_arguments(made, prefix="results")
    assert "cache-" not in made.format_usage()
    made.parse_args(["--results-clear", "--results-refresh", "--results-function=f", "--results-dir=x"])
    for flag in ("--no-results", "--results-readonly", "--results-only"):
        made.parse_args([flag])
    assert len(said) == 7


@pytest.mark.parametrize("prefix", ["", "-x", "a b", None, 3])
def test_a_prefix_that_can_not_be(prefix: Any) -> None:
    with pytest.raises(OptionError, match="prefix= is a word"):
        memo.flags.add_arguments(argparse.ArgumentParser(), prefix=prefix)


def test_what_is_no_parser_is_refused() -> None:
    with pytest.raises(OptionError, match="ArgumentParser, not Namespace"):
        memo.flags.add_arguments(argparse.Namespace())  # type: ignore[arg-type]


@pytest.mark.parametrize("stream", ["sys.stderr = None", "sys.stderr.close()"])
def test_stats_break_nothing_when_nobody_can_read_them(tmp_path: Path, stream: str) -> None:
    text = PROGRAM + f"    import sys\n    {stream}\n"
    assert Program(tmp_path, text)("--cache-stats")[0] == ALL
