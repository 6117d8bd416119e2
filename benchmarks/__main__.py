"""Runs the rows in turns and compares their figures with the budgets."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from sqlite3 import sqlite_version
from typing import Any, NamedTuple

from . import __doc__ as what_it_is
from . import budgets, curves, plots, report, storages
from .peers import OTHERS, PACKAGES
from .rows import ROWS

ROOT = Path(__file__).resolve().parent.parent
#: a figure is the best of its rounds: whatever else the machine does only ever adds to it
ROUNDS = 5


class Unmeasured(Exception):
    """Why a peer has no figure for a row, in words for a person."""


class Setting(NamedTuple):
    """What is the same for all processes of a run."""

    quick: bool
    parent: Path | None  #: where the fresh folders are made
    environment: dict[str, str]


class Otherwise(Exception):
    """What another package did instead of what was to be measured."""


def environment() -> dict[str, str]:
    """Without the user's own MEMO_* settings, and with modules compiled once: installed peers are compiled already."""
    unwanted = ("MEMO_", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}


def step(row: str, peer: str, folder: Path, number: int, setting: Setting) -> dict[str, float]:
    """One process."""
    command = [sys.executable, "-m", "benchmarks.child", row, peer, str(folder), str(number)]
    command += ["--quick"] * setting.quick
    wrong = Otherwise if peer in OTHERS else Unmeasured
    with subprocess.Popen(
        command, cwd=ROOT, env=setting.environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            said, _ = process.communicate(timeout=ROWS[row].timeout)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)  # with all that it started
            if isinstance(error, subprocess.TimeoutExpired):
                raise wrong(f"took more than {ROWS[row].timeout} s")
            raise
    if process.returncode:
        raise wrong(f"ended with status {process.returncode}")
    answer: dict[str, Any] = json.loads(said)
    if "missing" in answer:
        raise Unmeasured(answer["missing"])
    if "wrong" in answer:
        raise wrong(answer["wrong"])
    return answer


def turn(row: str, peer: str, setting: Setting) -> dict[str, float]:
    """All steps of a row with one peer, in a fresh folder: figure -> seconds."""
    figures = {}
    with tempfile.TemporaryDirectory(prefix="memo-benchmarks-", dir=setting.parent) as folder:
        for number in range(len(ROWS[row].steps)):
            for part, seconds in step(row, peer, Path(folder), number, setting).items():
                figures[f"{row}.{part}" if part else row] = seconds
    return figures


class Found(NamedTuple):
    """What a run gave."""

    seconds: dict[str, dict[str, list[float]]]  #: figure -> peer -> that of each round
    problems: list[str]  #: what could not be measured
    others: list[str]  #: what other packages did instead


def run(rows: list[str], rounds: int, setting: Setting, only: list[str] | None = None) -> Found:
    """``only``: of these peers."""
    figures: dict[str, dict[str, list[float]]] = {}
    problems: dict[tuple[str, str], str] = {}
    others: dict[tuple[str, str], str] = {}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        for row in rows:
            if number >= ROWS[row].rounds:
                continue
            peers = tuple(peer for peer in ROWS[row].peers if not only or peer in only)
            if not peers:
                continue
            for peer in peers[number % len(peers) :] + peers[: number % len(peers)]:  # nobody is always first
                if (row, peer) in problems or (row, peer) in others:
                    continue
                try:
                    for figure, seconds in turn(row, peer, setting).items():
                        figures.setdefault(figure, {}).setdefault(peer, []).append(seconds)
                except Unmeasured as error:
                    problems[row, peer] = f"{row}, {peer}: {error}"
                except Otherwise as error:
                    others[row, peer] = f"{row}, {peer}: {error}"
    # what went wrong in any round has no figure
    for row, peer in [*problems, *others]:
        for figure in figures:
            if figure.partition(".")[0] == row:
                figures[figure].pop(peer, None)
    return Found(figures, list(problems.values()), list(others.values()))


def compare(kinds: list[str], options: argparse.Namespace) -> int:
    """One line a storage; 1 if any of them failed or gave a wrong answer."""
    found = {}
    for kind in kinds:
        print(kind, file=sys.stderr)
        found[kind] = storages.measured(kind, options.folder, environment(), options.quick)
    problems = [figures["problem"] for figures in found.values() if "problem" in figures]
    print(", ".join(f"{name} {version}" for name, version in versions().items()), "", sep="\n")
    print(*storages.lines(found), sep="\n")
    print(*problems, sep="\n", file=sys.stderr)
    if options.json:
        content = {"versions": versions(), "quick": options.quick, "storages": found}
        options.json.write_text(json.dumps(content, indent=2) + "\n")
    return int(bool(problems) or any(figures["errors"] for figures in found.values()))


def draw(options: argparse.Namespace) -> int:
    """The curves and their plots. Needs matplotlib before anything is measured."""
    if find_spec("matplotlib") is None:
        print('matplotlib is not installed: pip install "memo-persist[plots]"', file=sys.stderr)
        return 1
    found, early = curves.measured(
        options.folder and options.folder.resolve(), environment(), options.quick, options.peer
    )
    content = {"versions": versions(), "quick": options.quick, "curves": found, "early": early}
    options.plots.mkdir(parents=True, exist_ok=True)
    for path in plots.written(found, versions(), options.plots):
        print(path)
    print(*early, sep="\n", file=sys.stderr)
    if options.json:
        options.json.write_text(json.dumps(content, indent=2) + "\n")
    return int(any(line.startswith("memo:") for line in early))


def versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "sqlite": sqlite_version, "CPUs": str(os.cpu_count())}
    for name in ("memo-persist", "blake3", *PACKAGES, "numpy"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=what_it_is, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="exit status 1 if a budget is not held")
    parser.add_argument(
        "--only", action="append", choices=ROWS, metavar="ROW", help=f"one of {', '.join(ROWS)}; repeatable"
    )
    parser.add_argument("--peer", action="append", metavar="NAME", help="only with this one; repeatable")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, too")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help=f"default {ROUNDS}")
    parser.add_argument("--folder", type=Path, help="measure on this disk; default: the one of temporary files")
    parser.add_argument("--quick", action="store_true", help="one round of small sizes, to see that it runs")
    parser.add_argument("--long", action="store_true", help="the rows that take minutes, too")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="instead, measure curves and draw them there")
    parser.add_argument(
        "--storages",
        nargs="*",
        choices=storages.KINDS,
        metavar="STORAGE",
        help=f"instead, compare the storages of memo: all, or some of {', '.join(storages.KINDS)}",
    )
    options = parser.parse_args()
    if options.storages is not None and (options.check or options.only):
        parser.error("--storages has no budgets and no rows: leave out --check and --only")
    if options.plots and (options.check or options.only or options.storages is not None):
        parser.error("--plots has no budgets and no rows: leave out --check, --only and --storages")
    if options.quick and options.check:
        parser.error("--quick measures too little for --check")
    everybody = {peer for row in ROWS.values() for peer in row.peers}
    if unknown := set(options.peer or ()) - everybody:
        parser.error(f"--peer {unknown.pop()}: nobody is called so; there are {', '.join(sorted(everybody))}")
    if options.peer and options.check:
        parser.error("--check needs every peer: leave out --peer")
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    if options.folder and not options.folder.is_dir():
        parser.error(f"--folder {options.folder} is not a folder")
    if options.json and not options.json.parent.is_dir():
        parser.error(f"--json {options.json}: {options.json.parent} is not a folder")

    if options.plots:
        return draw(options)
    if options.storages is not None:
        return compare(options.storages or list(storages.KINDS), options)
    rows = [row for row in ROWS if row in (options.only or ()) or not (options.only or ROWS[row].long > options.long)]
    asked = [budget for budget in budgets.load() if budget.row in rows]
    disk = options.folder and options.folder.resolve()  # the children work elsewhere
    setting = Setting(options.quick, disk, environment())
    found = run(rows, 1 if options.quick else options.rounds, setting, options.peer)
    figures = {figure: {peer: min(seconds) for peer, seconds in line.items()} for figure, line in found.seconds.items()}

    print(", ".join(f"{name} {version}" for name, version in versions().items()), "", sep="\n")
    print(*report.figures_table(figures), "", sep="\n")
    print(*report.budgets_table(asked, figures), sep="\n")
    if found.others:
        print("", "other packages did otherwise, and have no figure there:", *found.others, sep="\n")
    print(*found.problems, sep="\n", file=sys.stderr)
    if options.json:
        judged = [
            {
                "what": budget.what,
                "measure": budget.measure,
                "of": budget.of,
                "against": budget.against if budget.asked is None else budget.asked,
                "limit": float(budget.limit),
                "limit_now": float(budget.limit_now),
                "ratio": budget.ratio(figures),
                "verdict": budget.verdict(budget.ratio(figures)),
            }
            for budget in asked
        ]
        content = {
            "versions": versions(),
            "quick": options.quick,
            "seconds": found.seconds,
            "budgets": judged,
            "problems": found.problems,
            "others": found.others,
        }
        options.json.write_text(json.dumps(content, indent=2) + "\n")
    return int(options.check and (bool(found.problems) or not all(budget.held(figures) for budget in asked)))


if __name__ == "__main__":
    sys.exit(main())
