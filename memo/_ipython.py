"""``%memo`` in IPython and Jupyter: what a session wants to know and do about the functions that it has persisted.

The decision: ``stats``, ``clear``, ``why`` and ``mode`` are about this session's functions, as they are in its memory;
whatever else is given is a command of ``memo``, about the place on disk.
"""

from __future__ import annotations

import ast
import gc
from fnmatch import fnmatchcase
from types import FunctionType
from typing import Any

from . import _saved, settings
from ._handle import runner_of
from .errors import OptionError

USAGE = """\
%memo stats                  hits, misses and seconds saved of this session, by function
%memo clear [NAME|PATTERN]   clear the stored results of this session's functions: all, f, or shop.*
%memo why f(3)               why this call would compute, or since when it is stored
%memo mode [MODE]            normal, refresh, read-only, only-cached or off, from here on
%memo ls, where, prune, ...  a command of memo; %memo --help lists them
"""


def load(shell: Any) -> None:
    """``%load_ext memo`` adds the magic ``%memo``."""
    shell.register_magic_function(lambda line: memo(line, shell.user_ns), "line", "memo")


def memo(line: str, names: dict[str, Any]) -> None:
    """What ``%memo line`` does; ``names`` are the session's."""
    command, _, rest = line.strip().partition(" ")
    rest = rest.strip()
    try:
        if not command:
            print(USAGE, end="")
        elif command == "stats" and not rest:
            print("\n".join(_saved.lines()))
        elif command == "clear" and not rest.startswith("-"):
            _clear(rest, names)
        elif command == "why" and rest.endswith(")"):
            print(_why(rest, names))
        elif command == "mode":
            if rest:
                settings.set_flags(mode=rest)
            print(settings.current("", None).name)
        else:
            _command(line)
    except OptionError as error:
        print(f"%memo: {error}")


def _clear(wanted: str, names: dict[str, Any]) -> None:
    """Functions are found among all that live: nothing has to keep a list of them for this."""
    own = runner_of(names.get(wanted))
    if own is not None:
        runners = [own]
    else:
        found = (runner_of(one) for one in gc.get_objects() if type(one) is FunctionType)
        runners = [one for one in found if one is not None and fnmatchcase(one.name, wanted or "*")]
    if not runners:
        raise OptionError(f"no persisted function of this session is called {wanted!r}; %memo stats lists those called")
    for name in sorted({runner.name for runner in runners}):
        print(f"cleared {name}")
    for runner in {runner.name: runner for runner in runners}.values():
        runner.clear()


def _why(call: str, names: dict[str, Any]) -> Any:
    try:
        tree = ast.parse(call, mode="eval").body
    except SyntaxError:
        tree = None
    if not isinstance(tree, ast.Call):
        raise OptionError(f"why takes a call as you would write it, such as f(3), not {call!r}")
    asked = ast.Attribute(tree.func, "why", ast.Load())
    if runner_of(_value(tree.func, names)) is None:
        raise OptionError(f"{ast.unparse(tree.func)} is not persisted")
    answer = _value(ast.Call(asked, tree.args, tree.keywords), names)
    return _awaited(answer) if hasattr(answer, "__await__") else answer


def _awaited(answer: Any) -> Any:
    """Of an async function. The session's own loop is running, so it takes another thread."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, answer).result()


def _value(tree: ast.expr, names: dict[str, Any]) -> Any:
    return eval(compile(ast.fix_missing_locations(ast.Expression(tree)), "<%memo why>", "eval"), names)


def _command(line: str) -> None:
    import shlex

    from .cli import main

    main(shlex.split(line))
