"""The memo command: sees and clears what is stored, without importing the code that stored it.

argparse and plain text, because people wait for ``memo ls``. A command is a function of the parsed arguments: it returns
when it is done, and raises ``Nothing`` or a MemoError otherwise. A new one is such a function and its options in the
``add`` of its module, and imports for itself what the others do not need.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._places import Command

DONE, NOTHING, FAILED = 0, 1, 2  #: exit codes

_EXIT_CODES = """\
exit codes:
  0  done
  1  nothing found, or you answered no; verify and doctor: something was found
  2  used wrongly, or it could not be done

The place is the one of the project in the working directory (see "memo where"), or what -l says.
Sizes are written 500, 64kB, 2GB, 2GiB; ages 90s, 2h, 7d, 1h30m. PATTERN is matched against full names of functions as
file names are: "pkg.module.*", "*.train"; quote it, so that the shell leaves it alone.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. Never raises for what a user can get wrong.

    Without ``argv`` it is taken from the command line, and the process is taken to end soon.
    """
    if argv is None:
        gc.disable()  # it never pays in so short a life: a tenth of the time of `memo ls`
        # memo's own texts are English, and looking for translations of argparse's loads locale and searches the disk
        vars(argparse)["_"] = vars(argparse)["ngettext"] = _untranslated
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal can't show is no reason to fail
    try:
        return _written(argv)
    except KeyboardInterrupt:
        return 130  # as shells have it: 128 + SIGINT
    finally:
        if argv is None:
            gc.freeze()  # the interpreter would look through all of it once more at its end: another tenth


def _untranslated(text: str, plural: str = "", number: int = 1) -> str:
    return text if number == 1 else plural


def _written(argv: Sequence[str] | None) -> int:
    try:
        try:
            return _run(argv)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:  # `memo ls | head -1`: the reader has what it wanted
        _drop_output()
        return DONE
    except OSError as error:  # a full disk behind `memo ls > file`
        from ._output import say

        _drop_output()
        say(f"error: the output can't be written: {error}")
        return FAILED


def _drop_output() -> None:
    """Python tries to write what is left once more when it ends, and would complain once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(argv: Sequence[str] | None) -> int:
    try:
        arguments = parser(sys.argv[1:] if argv is None else argv).parse_args(argv)
    except SystemExit as stop:  # --help, --version, or misuse that argparse has explained
        return stop.code if isinstance(stop.code, int) else FAILED
    import warnings

    from memo.errors import MemoError, UnreachableError

    from ._output import Nothing, say

    with warnings.catch_warnings():
        # the message alone: the line of memo's source that warns tells the user of a command nothing
        warnings.showwarning = lambda message, *_, **__: say(f"warning: {message}")
        try:
            arguments.run(arguments)
        except Nothing as nothing:
            say(str(nothing))
            return NOTHING
        except BrokenPipeError:
            raise
        except UnreachableError as error:  # of a server
            say(f"error: {error}\nIs the address right, does it run, and may you use it?")
            return FAILED
        except (MemoError, OSError) as error:
            say(f"error: {error}")
            return FAILED
        except Exception as error:  # a storage raises whatever its engine raises
            say(f"error: {type(error).__name__}: {error}")
            return FAILED
    return DONE


def _formatter(prog: str) -> argparse.HelpFormatter:
    """argparse makes one for every option it is given, and without a width loads shutil to ask the terminal."""
    try:
        width = int(os.environ.get("COLUMNS") or os.get_terminal_size().columns)
    except (ValueError, OSError):
        width = 80
    return argparse.RawDescriptionHelpFormatter(prog, width=max(width, 40) - 2)


#: command -> the module of it; in the order of the help
COMMANDS = {
    **dict.fromkeys(("ls", "show", "stats"), "_reading"),
    "why": "_why",
    **dict.fromkeys(("clear", "prune", "compact"), "_clearing"),
    **dict.fromkeys(("export", "import", "merge", "push", "pull"), "_sharing"),
    "adopt": "_adopt",
    "ps": "_ps",
    "run": "_program",
    "where": "_where",
    "verify": "_verify",
    "doctor": "_doctor",
    "completion": "_completion",
}


def parser(argv: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser; with the command alone that ``argv`` names, where it names one, since each costs time to make."""
    from importlib import import_module

    from memo import __version__

    made = argparse.ArgumentParser(
        prog="memo",
        description="See, clear and share what @persist has stored.",
        epilog=_EXIT_CODES,
        formatter_class=_formatter,
        allow_abbrev=False,
    )
    made.add_argument("--version", action="version", version=f"memo {__version__}")
    _location(made, default=None)
    commands = made.add_subparsers(title="commands", metavar="COMMAND", required=True, prog="memo")

    def command(name: str, run: Command, summary: str) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name, help=summary, description=summary, allow_abbrev=False, formatter_class=_formatter
        )
        added.set_defaults(run=run)
        # suppressed: what was given before the command must not be overwritten by a default after it
        _location(added, default=argparse.SUPPRESS)
        return added

    asked = _asked(argv)
    for module in [COMMANDS[asked]] if asked in COMMANDS else dict.fromkeys(COMMANDS.values()):
        import_module(f".{module}", __name__).add(command)
    return made


def _asked(argv: Sequence[str]) -> str:
    """The first word that is neither an option nor the place of one."""
    words = iter(argv)
    for word in words:
        if word in ("-l", "--location"):
            next(words, None)
        elif not word.startswith("-"):
            return word
    return ""


def _location(parser: argparse.ArgumentParser, default: str | None) -> None:
    parser.add_argument(
        "-l", "--location", metavar="PLACE", default=default, help="a cache folder or URL (default: see memo where)"
    )
