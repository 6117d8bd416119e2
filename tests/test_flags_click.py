"""The cache flags in programs of click and typer: the same flags, and nothing of them reaches the functions."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from _program import FUNCTIONS, Program

import memo.flags
from memo import settings
from memo.errors import OptionError

click = pytest.importorskip("click")
testing = pytest.importorskip("click.testing")
typer = pytest.importorskip("typer")

CLICK = """
    import click
    import memo.flags

    @click.command()
    @click.option("--numbers", default=2)
    @memo.flags.click_options
    def main(**given):
        assert list(given) == ["numbers"], given
        for n in range(given["numbers"]):
            square(n), cube(n)

    main()
"""
TYPER = """
    from typing import Annotated
    import typer
    import memo.flags

    app = typer.Typer()

    @app.command()
    @memo.flags.typer_options
    def main(numbers: Annotated[int, typer.Option(help="how many")] = 2):
        for n in range(numbers):
            square(n), cube(n)

    app()
"""
PROGRAMS = {
    "click": FUNCTIONS + CLICK,
    "typer": "    from __future__ import annotations\n" + FUNCTIONS + TYPER,
}


@pytest.mark.parametrize("kind", PROGRAMS)
def test_a_program_takes_every_flag(tmp_path: Path, kind: str) -> None:
    program = Program(tmp_path, PROGRAMS[kind], loaded="click typer")
    every = ["square 0", "cube 0", "square 1", "cube 1"]
    assert program() == (every, "")
    assert program() == ([], "")
    assert program("--cache-clear") == (every, "")
    assert program("--cache-refresh", "--cache-function", "*.cube") == (["cube 0", "cube 1"], "")
    assert program("--no-cache") == (every, "")
    assert program("--numbers=3", "--cache-readonly") == (["square 2", "cube 2"], "")
    assert "NotCachedError" in program("--numbers=3", "--cache-only", status=1)[1]
    assert program("--cache-dir=other") == (every, "")
    assert (tmp_path / "other" / "memo.json").exists()
    computed, said = program("--cache-stats")
    assert computed == []
    assert said.startswith("memo: 4 hits, 0 misses, ")
    assert "not allowed with --cache-clear" in program("--cache-clear", "--no-cache", status=2)[1]
    shown = "\n".join(program("--help")[0])
    for flag in ("--cache-clear", "--cache-function", "PATTERN", "--no-cache", "--cache-stats", "--numbers"):
        assert flag in shown


# ------------------------------------------------------------------------------------------ click, in this process


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the flags told settings."""
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(settings, "set_flags", lambda **given: calls.append(given))
    return calls


def run(command: Any, *flags: str) -> Any:
    return testing.CliRunner().invoke(command, flags)


def on_a_function() -> Any:
    @click.command()
    @memo.flags.click_options
    @click.option("--mine")
    def main(mine: str) -> None:
        click.echo(f"mine {mine}")

    return main


def on_a_command() -> Any:
    @memo.flags.click_options
    @click.command()
    @click.option("--mine")
    def main(mine: str) -> None:
        click.echo(f"mine {mine}")

    return main


@pytest.mark.parametrize("made", [on_a_function, on_a_command])
def test_above_and_below_the_command(made: Callable[[], Any], said: list[dict[str, Any]]) -> None:
    done = run(made(), "--cache-function=x", "--mine=1", "--cache-clear", "--cache-dir", "place")
    assert (done.exit_code, done.output) == (0, "mine 1\n")
    assert said == [{"functions": "x"}, {"clear": True}, {"location": os.path.abspath("place")}]
    shown = [line.split()[0] for line in run(made(), "--help").output.splitlines() if line.startswith("  --")]
    ours = [option for option in shown if "cache" in option]
    assert ours == [
        "--cache-clear", "--cache-refresh", "--cache-function", "--no-cache", "--cache-readonly", "--cache-only",
        "--cache-dir", "--cache-stats",
    ]  # fmt: skip


def test_a_group_and_its_command_are_one_run(said: list[dict[str, Any]]) -> None:
    @click.group()
    @memo.flags.click_options
    def main() -> None: ...

    @main.command()
    @memo.flags.click_options
    def train() -> None: ...

    assert run(main, "--cache-clear", "train", "--cache-refresh").exit_code == 0
    assert said == [{"clear": True}, {"mode": "refresh"}]
    done = run(main, "--cache-clear", "train", "--no-cache")
    assert done.exit_code == 2
    assert "not allowed with --cache-clear: --no-cache neither reads nor writes the cache" in done.output


@pytest.mark.parametrize("flags", [["--cache-dir="], ["--cache-function= "]])
def test_empty_values_are_errors_of_the_parser(flags: list[str], said: list[dict[str, Any]]) -> None:
    done = run(on_a_function(), *flags)
    assert done.exit_code == 2
    assert "expected a" in done.output
    assert said == []


def test_prefix(said: list[dict[str, Any]]) -> None:
    @click.command()
    @memo.flags.click_options(prefix="results")
    def main() -> None: ...

    assert run(main, "--results-clear", "--results-readonly").exit_code == 2
    assert run(main, "--no-results").exit_code == 0
    assert "cache-" not in run(main, "--help").output
    assert said == [{"clear": True}, {"mode": "off"}]


def test_an_option_that_the_command_has_is_not_taken_away() -> None:
    def main() -> None: ...

    with pytest.raises(OptionError, match=r"has --cache-dir already; .*prefix="):
        memo.flags.click_options(click.option("--cache-dir")(main))
    with pytest.raises(OptionError, match=r"has --no-cache already"):
        memo.flags.click_options(click.command()(click.option("--use-cache/--no-cache")(lambda use_cache: None)))


def test_an_option_added_later_is_not_taken_away_either() -> None:
    @click.command()
    @click.option("--cache-only", is_flag=True)
    @memo.flags.click_options
    def main(cache_only: bool) -> None: ...

    assert isinstance(run(main).exception, OptionError)


def test_completion_does_nothing(said: list[dict[str, Any]]) -> None:
    main = on_a_function()
    main.make_context("main", ["--cache-clear"], resilient_parsing=True)
    assert said == []


@pytest.mark.parametrize("decorate", [memo.flags.click_options, memo.flags.typer_options])
def test_what_is_refused(decorate: Any) -> None:
    with pytest.raises(OptionError, match="decorates a function"):
        decorate("main")
    with pytest.raises(OptionError, match="prefix= is a word"):
        decorate(prefix="-x")(lambda: None)


# ------------------------------------------------------------------------------------------ typer, in this process


def invoke(app: Any, *flags: str) -> Any:
    from typer.testing import CliRunner

    return CliRunner().invoke(app, flags)


def test_typer_leaves_the_function_as_it_was(said: list[dict[str, Any]]) -> None:
    got: list[Any] = []

    def main(name: str, times: int = 1, *, loud: bool = False) -> str:
        """What it does."""
        got.append((name, times, loud))
        return "done"

    command = memo.flags.typer_options(main)
    assert command("x", loud=True) == "done"
    assert command.__doc__ == "What it does."
    app = typer.Typer()
    app.command()(command)
    done = invoke(app, "y", "--cache-clear", "--loud", "--cache-function", "z.*", "--times", "3")
    assert done.exit_code == 0, done.output
    assert got == [("x", 1, True), ("y", 3, True)]
    assert said == [{"clear": True}, {"functions": "z.*"}]
    shown = invoke(app, "--help").output
    assert "What it does." in shown
    assert "--cache-stats" in shown


def test_typer_callback_and_command_with_another_prefix(said: list[dict[str, Any]]) -> None:
    app = typer.Typer()

    @app.callback()
    @memo.flags.typer_options(prefix="results")
    def common(ctx: typer.Context) -> None:
        assert ctx.invoked_subcommand == "train"

    @app.command()
    def train(epochs: int = 1) -> None: ...

    assert invoke(app, "--results-readonly", "train").exit_code == 0
    assert said == [{"mode": "read-only"}]
    done = invoke(app, "--results-readonly", "--no-results", "train")
    assert done.exit_code == 2
    assert "not allowed with --results-readonly" in " ".join(done.output.replace("│", " ").split())


def test_typer_has_the_option_already() -> None:
    app = typer.Typer()

    @app.command()
    @memo.flags.typer_options
    def main(cache_dir: str = "") -> None: ...

    assert isinstance(invoke(app).exception, OptionError)
