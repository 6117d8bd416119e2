"""Modes and settings, and the one order in which they count.

    argument of persist > ``with memo.mode(...)`` > flag of the program > environment > pyproject.toml > default

The decision: nothing of it costs a hit. Whatever makes a mode other than normal possible puts something into `ACTIVE`,
and a wrapper only looks whether that list is empty; environment and pyproject.toml are looked at once a process.
Worker processes follow what their parent was told by flags (see `_tell_children`), and so does the program that
``memo run`` becomes.
"""

from __future__ import annotations

import os
import sys
import time
from contextvars import ContextVar

from ._clearing import Request, new_tokens, take
from ._project import project_table
from ._tuples import NamedTuple
from .errors import OptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MODES = ("normal", "refresh", "read-only", "only-cached", "off")


class Mode(NamedTuple):
    """A mode and when it was entered, in seconds since the epoch: in refresh, what was stored before that is stale."""

    name: str
    since: float


NORMAL = Mode("normal", 0.0)

#: Not empty while anything but normal could be in force anywhere in this process: a wrapper then goes the long way.
ACTIVE: list[object] = []

# What `with memo.mode` entered, innermost last: (mode, pattern, who).
_entered: ContextVar[tuple[tuple[Mode, str, object], ...]] = ContextVar("memo_modes", default=())


class _Flags(NamedTuple):
    """What the flags of the program said, for the whole process."""

    mode: Mode | None = None
    functions: str = "*"
    location: str | None = None


_flags = _Flags()
_flags_active = object()
_environment: Mode | None = None
_first_start: str | None = None
_looked = False


def mode_named(name: object, option: str = "mode") -> Mode:
    """The `Mode` of that name, entered now; OptionError with the list of modes otherwise.

    >>> mode_named("refresh").name
    'refresh'
    """
    if name not in MODES:
        raise OptionError(f"{option} is one of {', '.join(map(repr, MODES))}, not {name!r}")
    return Mode(str(name), time.time())


class mode:
    """``with memo.mode("refresh"):`` another mode for the persisted functions called inside.

    ``"refresh"`` computes each key once again; ``"read-only"`` serves hits and stores nothing; ``"only-cached"`` raises
    `NotCachedError` instead of computing; ``"off"`` calls through; ``"normal"`` undoes an outer mode. ``functions``
    restricts it by a shell pattern on the full name (``"mypackage.models.*"``). They nest: the innermost that fits counts.

    It holds for this thread or task, and for tasks started inside. Threads and executors started inside do not inherit
    it (they begin in the mode of the process); ``asyncio.to_thread`` does. An unknown name raises `OptionError`.
    """

    def __init__(self, name: str, functions: str = "*") -> None:
        mode_named(name)
        if not isinstance(functions, str) or not functions:
            raise OptionError(f"mode(functions=) is a pattern such as 'mypackage.*', not {functions!r}")
        self._name, self._functions = name, functions

    def __enter__(self) -> Mode:
        entered = mode_named(self._name)
        ACTIVE.append(self)
        _entered.set((*_entered.get(), (entered, self._functions, self)))
        return entered

    def __exit__(self, *exception: object) -> None:
        ACTIVE.remove(self)
        within = _entered.get()
        # not there at all if it is left in another context than it was entered in (an async generator that is closed)
        for i in reversed(range(len(within))):
            if within[i][2] is self:
                _entered.set(within[:i] + within[i + 1 :])
                break


def current(function: str, own: Mode | None = None, start: str | None = None) -> Mode:
    """The mode in force for a function, by its full name.

    ``own`` is the argument of persist; ``start`` the file of the function, whose project's pyproject.toml counts
    (without it, that of the first function that was decorated).
    """
    if own is not None:
        return own
    for entered, functions, _ in reversed(_entered.get()):
        if _fits(function, functions):
            return entered
    if not _looked:
        _look()
    if _flags.mode is not None and _fits(function, _flags.functions):
        return _flags.mode
    if _environment is not None:
        return _environment
    return _project_mode(start) or NORMAL


def _fits(function: str, pattern: str) -> bool:
    if pattern == "*":
        return True
    from fnmatch import fnmatchcase

    return fnmatchcase(function, pattern)


# -------------------------------------------------------------------------------------------------------- flags


def set_flags(
    *, mode: str | None = None, functions: str | None = None, location: str | None = None, clear: bool = False
) -> None:
    """What the user of the program said on its command line, for the whole process; None leaves what was said before.

    ``functions`` (a pattern) restricts the modes and the clearing that are asked for. ``clear`` asks for the results of
    each function that this program has persisted to be cleared once, those decorated later too.
    """
    _look()
    said = _flags
    if mode is not None:
        said = said._replace(mode=mode_named(mode))
    if functions is not None:
        said = said._replace(functions=functions)
        for request in _requests:
            if request.source == "flag":
                request.functions = functions
    if location is not None:
        said = said._replace(location=location)
    if clear:
        _drop_request()
        _requests.append(Request("flag", said.functions, new_tokens()))
    _use(said)
    _tell_children()


def no_flags() -> None:
    """Forget what `set_flags` was told, as tests that run a program's main() several times want it."""
    _look()
    _drop_request()
    _use(_Flags())
    _tell_children()


class flags:
    """``with settings.flags(...):`` what `set_flags` takes, for the whole process, until the block is left.

    For tests of programs: what was said before comes back, whatever the program's own flags said inside.
    """

    def __init__(
        self, *, mode: str | None = None, functions: str | None = None, location: str | None = None, clear: bool = False
    ) -> None:
        self._said = {"mode": mode, "functions": functions, "location": location, "clear": clear}

    def __enter__(self) -> None:
        _look()
        self._before = _flags, [(one, one.functions) for one in _requests if one.source == "flag"]
        set_flags(**self._said)  # type: ignore[arg-type]

    def __exit__(self, *exception: object) -> None:
        said, requests = self._before
        _drop_request()
        for request, functions in requests:
            request.functions = functions
            _requests.append(request)
        _use(said)
        _tell_children()


def _use(said: _Flags) -> None:
    global _flags
    _flags = said
    if _flags_active in ACTIVE:
        ACTIVE.remove(_flags_active)
    if said.mode is not None and said.mode.name != "normal":
        ACTIVE.append(_flags_active)
    for changed in tuple(_followers):
        changed()


def on_flags(changed: Callable[[], object]) -> None:
    """Have ``changed`` called after each change of the flags: who has looked up a location or a clear looks again."""
    _followers.append(changed)


_followers: list[Callable[[], object]] = []


def location() -> str | None:
    """What ``--cache-dir`` said, if anything."""
    if not _looked:
        _look()
    return _flags.location


# ----------------------------------------------------------------------------------------------------- clearing


_requests: list[Request] = []


def take_clear(function: str, clear: Callable[[], object] | None = None) -> bool:
    """True exactly once for each function and request: the function's results are to be cleared.

    To be asked at a function's first call, and again after `on_flags` told of a change. ``clear`` is called before any
    other thread or worker process that asks is answered, so that none of them is served what is about to go; if it
    raises, the next one who asks is told to do it.
    """
    if not _looked:
        _look()
    if _flags.functions != "*":
        _check_flags()
    wanted = [request for request in _requests if _fits(function, request.functions)]
    return bool(wanted) and take(wanted, function, clear)


def _check_flags() -> None:
    restricts = any(request.source == "flag" for request in _requests) or _flags.mode is not None
    if _flags.functions != "*" and not restricts:
        text = f"{_flags.functions!r} restricts clearing and refreshing (--cache-clear, --cache-refresh)"
        _warn("flags", f"the pattern {text}, but neither was asked for: it does nothing")


def _drop_request() -> None:
    _requests[:] = [request for request in _requests if request.source != "flag"]


# ------------------------------------------------------------------------------------------------ worker processes

_RUN = "MEMO_RUN"


def _tell_children(**more: Any) -> None:
    """Put into the environment what worker processes can't know.

    Those that are not forked (spawn, forkserver, joblib's) do not see the command line: they would use another place or
    mode. And whoever refreshes or clears must do so as of one instant, or each worker would undo the others' work.
    """
    import json

    told: dict[str, Any] = {"flags": _flags, **more}
    if _environment is not None:
        told["mode"] = _environment
    for request in _requests:
        told[request.source] = (request.functions, request.tokens)
    os.environ[_RUN] = json.dumps(told)


def hand_over(stats: bool) -> None:
    """The program that this process is about to become (``exec``) begins with the flags that were said here.

    ``stats``: it says at its end what it saved. Nothing that this process would do at its own end will be done.
    """
    for request in _requests:
        if request.source == "flag":
            request.leave()
    _tell_children(program=os.getpid(), stats=stats)


def follow() -> None:
    """Take over the flags of the process that started this one, as workers of multiprocessing do by themselves.

    For workers that are started in another way, such as those of pytest-xdist.
    """
    _look()
    if "flags" in (told := _told()):
        _drop_request()
        _follow(told)


def _told() -> dict[str, Any]:
    text = os.environ.get(_RUN)
    if not text:
        return {}
    import json

    try:
        told = json.loads(text)
    except ValueError:
        return {}
    lengths = {"flags": 3, "mode": 2, "flag": 2, "environment": 2}
    fits = isinstance(told, dict) and all(
        (isinstance(told[key], list) and len(told[key]) == lengths.get(key)) or type(told[key]) is _PLAIN.get(key)
        for key in told
    )
    return told if fits else {}


_PLAIN = {"program": int, "stats": bool}


def _is_program(told: dict[str, Any]) -> bool:
    """Whether this is the program that ``memo run`` became (on Windows: that it started)."""
    return bool(told.get("program") == (os.getppid() if os.name == "nt" else os.getpid()))


def _is_worker() -> bool:
    """Whether this is a worker of multiprocessing (or of what builds on it), not another program that was started."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


def _follow(told: dict[str, Any]) -> None:
    """Take over the flags of the parent."""
    mode, functions, location = told["flags"]
    _use(_Flags(Mode(*mode) if mode else None, functions, location))
    if "flag" in told:
        _requests.append(Request("flag", *told["flag"]))


# --------------------------------------------------------------------------------------- environment, pyproject


def prepare(start: str | None) -> None:
    """Remember the file of the first function decorated; its pyproject.toml is not read yet.

    What the environment asks to be done once a run, though, begins now: workers may be forked before the first call.
    """
    global _first_start
    if _first_start is None:
        _first_start = start
        if "MEMO_MODE" in os.environ or "MEMO_CLEAR" in os.environ or _is_program(_told()):
            _look()


def _look() -> None:
    """The environment, once."""
    global _looked, _environment
    if _looked:
        return
    _looked = True
    told = _told()
    name = os.environ.get("MEMO_MODE", "").strip()
    if name in MODES:
        known = told.get("mode")
        _environment = Mode(*known) if known and known[0] == name else mode_named(name)
        if name != "normal":
            ACTIVE.append("MEMO_MODE")
    elif name:
        _warn("MEMO_MODE", f"MEMO_MODE={name!r} is ignored: expected one of {', '.join(MODES)}")
    pattern = _clear_pattern(os.environ.get("MEMO_CLEAR", "").strip())
    if pattern:
        known = told.get("environment")
        tokens = known[1] if known and known[0] == pattern else new_tokens()
        _requests.append(Request("environment", pattern, tokens))
    if "flags" in told and _is_program(told):
        if "flag" in told:
            told["flag"][1] = new_tokens()
        _follow(told)
        _tell_children()
        if told.get("stats"):
            from ._saved import say_at_exit

            say_at_exit()
    elif "flags" in told and _is_worker():
        _follow(told)
    elif pattern or name == "refresh":
        _tell_children()


def _clear_pattern(text: str) -> str:
    if text.lower() in ("1", "true", "yes", "on"):
        return "*"
    if text.lower() in ("", "0", "false", "no", "off"):
        return ""
    if any(letter.isspace() or letter in "/\\" for letter in text):
        expected = "expected 1, or a pattern of full function names such as mypackage.models.*"
        _warn("MEMO_CLEAR", f"MEMO_CLEAR={text!r} is ignored: {expected}")
        return ""
    return text


_project_modes: dict[str, Mode | None] = {}


def _project_mode(start: str | None) -> Mode | None:
    start = start or _first_start
    if start is None:
        return None
    if start not in _project_modes:
        table, file = project_table(start)
        name = table.get("mode")
        if name is not None and name not in MODES:
            text = f"mode = {name!r} of [tool.memo] is ignored: expected one of {', '.join(MODES)}"
            _warn(file, f"{file}: {text}")
            name = None
        if name not in (None, "normal"):
            ACTIVE.append(file)
        _project_modes[start] = None if name is None else mode_named(name)
    return _project_modes[start]


def _warn(cause: str, text: str) -> None:
    from .events import warn_once

    warn_once(cause, text)


# ------------------------------------------------------------------------------------------------------ explain


def precedence(start: str | None = None) -> list[tuple[str, str, bool]]:
    """(who may set the mode, what it says, whether that counts here), the first one that says something counts.

    What single functions and ``with`` blocks say is known only where they run.
    """
    _look()
    project = _project_mode(start or os.curdir)
    file = project_table(start or os.curdir)[1]
    said = [
        ("@persist(mode=...)", "what each function says", False),
        ("with memo.mode(...)", "the innermost block that fits", False),
        ("flag of the program", _flags.mode.name if _flags.mode is not None else "", True),
        ("MEMO_MODE", _environment.name if _environment is not None else "", True),
        (f"[tool.memo] in {file}" if file else "[tool.memo] in pyproject.toml", project.name if project else "", True),
        ("default", "normal", True),
    ]
    first = next(i for i, (_, value, known) in enumerate(said) if known and value)
    return [(who, value or "not set", i == first) for i, (who, value, _) in enumerate(said)]


def explain(start: str | None = None) -> list[tuple[str, str, str]]:
    """(setting, value, where it comes from), as ``memo where`` shows it for a file or, without, the working directory."""
    from ._place import default_place

    origin, mode, _ = next(line for line in precedence(start) if line[2])
    if origin.startswith("[tool.memo]"):
        origin = project_table(start or os.curdir)[1]
    place, where = default_place(start)
    lines = [
        ("location", place or "none: memory only", where),
        ("mode", mode, "flag" if origin == "flag of the program" else origin),
    ]
    lines += [("clear", request.functions, _SOURCES[request.source]) for request in _requests]
    level = os.environ.get("MEMO_LOG")
    lines.append(("log", level, "MEMO_LOG") if level else ("log", "off", "default"))
    return lines


_SOURCES = {"flag": "flag", "environment": "MEMO_CLEAR"}
