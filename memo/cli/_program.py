"""``memo run``: another program under cache flags, for those whose program has none.

The decision: the process becomes that program (``exec``), as it would run without memo: its own ``__main__``, its own
arguments, standard streams, signals and exit code. It follows the flags when it first persists something, if it does.
"""

from __future__ import annotations

import argparse
import os
import sys

from memo.errors import OptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._places import Command


def add(command: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    parser = command("run", run, "run a program of Python under cache flags: memo run --cache-clear script.py ...")
    parser.usage = "memo run [flags] script.py [arguments]\n       memo run [flags] -m module [arguments]"
    parser.add_argument(
        "-m", dest="module", nargs=argparse.REMAINDER, help="a module and its arguments, instead of a script"
    )
    parser.add_argument("program", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    parse = parser.parse_known_args

    def with_flags(*given: Any) -> Any:  # not before somebody runs a program: the other commands start without them
        from memo.flags import add_arguments

        parser.parse_known_args = parse  # type: ignore[method-assign]
        add_arguments(parser)
        return parse(*given)

    parser.parse_known_args = with_flags  # type: ignore[method-assign,assignment]


def run(arguments: argparse.Namespace) -> None:
    from memo import _saved, settings
    from memo._place import absolute

    if arguments.module is not None:
        program = ["-m", *arguments.module, *arguments.program]
    else:
        program = arguments.program[1:] if arguments.program[:1] == ["--"] else arguments.program
    if program in ([], ["-m"]):
        raise OptionError("name a program: memo run script.py ..., or memo run -m module ...")
    if arguments.location is not None:
        settings.set_flags(location=absolute(arguments.location))
    settings.hand_over(stats=_saved.asked())
    sys.stdout.flush()
    line = [sys.executable, *program]
    if os.name == "nt":  # exec there starts another process and ends this one at once
        import subprocess

        raise SystemExit(subprocess.call(line))
    os.execv(sys.executable, line)
