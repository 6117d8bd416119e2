"""``memo run``: a program without flags of its own, under cache flags, and otherwise as it would run by itself."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from _program import FUNCTIONS, Program

PROGRAM = (
    FUNCTIONS
    + """
    import os, sys

    if __name__ == "__main__":
        print(sys.argv[1:], os.path.basename(sys.argv[0]))
        square(2), cube(2)
"""
)
BOTH = ["square 2", "cube 2"]


class Run(Program):
    def __init__(self, folder: Path, text: str = PROGRAM) -> None:
        super().__init__(folder, text, "-m", "memo", "run")

    def computed(self, *line: str) -> list[str]:
        lines, said = self(*line)
        assert said == ""
        return lines[1:]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_flags_of_a_program_that_has_none(run: Run, tmp_path: Path) -> None:
    assert run.computed("program.py") == BOTH
    assert run.computed("program.py") == []
    assert run.computed("--cache-clear", "program.py") == BOTH
    assert run.computed("--cache-refresh", "--cache-function", "*.cube", "program.py") == ["cube 2"]
    assert run.computed("--no-cache", "program.py") == BOTH
    assert run.computed("--cache-only", "program.py") == []
    assert run.computed("--cache-dir", "other", "program.py") == BOTH
    assert run.computed("-l", "other", "program.py") == []
    lines, said = run("--cache-stats", "program.py")
    assert (len(lines), said.splitlines()[0].split(", ")[:2]) == (1, ["memo: 2 hits", "0 misses"])
    assert [p.name for p in tmp_path.glob("memo-*")] == [], "no folder of tokens is left"


def test_the_program_gets_its_own_arguments(run: Run) -> None:
    assert run("program.py", "--cache-clear", "--", "-m", "x")[0][0] == "['--cache-clear', '--', '-m', 'x'] program.py"
    assert run("--no-cache", "-m", "program", "--no-cache", "-v", "--", "x")[0][0] == (
        "['--no-cache', '-v', '--', 'x'] program.py"
    )
    assert run("--", "program.py", "a")[0][0] == "['a'] program.py"


def test_a_script_and_its_module_under_run_share_their_results(run: Run) -> None:
    run("program.py")
    assert run.computed("-m", "program") == []


def test_exit_code_and_signal_are_the_programs(tmp_path: Path) -> None:
    run = Run(tmp_path, "import os, sys\nif sys.argv[1:]: os.kill(os.getpid(), 15)\nsys.exit(7)\n")
    run("program.py", status=7)
    run("program.py", "kill", status=-signal.SIGTERM)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ([], "name a program"),
        (["-m"], "name a program"),
        (["--cache-clear"], "name a program"),
        (["--cache-clear", "--no-cache", "program.py"], "not allowed with --cache-clear"),
        (["--cache-dir=", "program.py"], "expected a folder"),
        (["--bogus", "program.py"], "--bogus"),
    ],
)
def test_misuse(run: Run, line: list[str], says: str) -> None:
    assert says in run(*line, status=2)[1]


def test_flags_reach_workers_but_no_other_program(tmp_path: Path) -> None:
    run = Run(
        tmp_path,
        """
        import multiprocessing, os, subprocess, sys
        from memo import persist

        @persist
        def square(n):
            with open("computed", "a") as file:
                file.write(f"{n}\\n")
            return n * n

        if __name__ == "__main__":
            if sys.argv[1:]:
                square(0)
            else:
                with multiprocessing.get_context("spawn").Pool(int(os.environ["WORKERS"])) as pool:
                    assert pool.map(square, range(6), chunksize=1) == [n * n for n in range(6)]
                subprocess.run([sys.executable, __file__, "another"], check=True)
        """,
    )

    def computed(*flags: str, workers: int = 1) -> list[str]:
        (tmp_path / "computed").write_text("")
        run(*flags, "program.py", WORKERS=str(workers))
        return sorted((tmp_path / "computed").read_text().split())

    every = [str(n) for n in range(6)]
    assert computed() == every
    assert computed() == []
    assert computed("--cache-clear", workers=2) == every, "once for all workers, and not once more by the other program"
    assert computed("--no-cache") == every, "the other program has what is stored"


def test_help_shows_the_flags(run: Run) -> None:
    shown = "\n".join(run("--help")[0])
    for text in ("memo run [flags] script.py", "-m module", "--cache-clear", "--cache-dir DIR", "--cache-stats"):
        assert text in shown
