"""The flags themselves: their names, what each asks for, and which can't be given together.

The decision: parsers differ in how they are told of options and of errors, and in nothing else. So they take the table
from here, and hand what was given back to `take`, in the order in which it was given.
"""

from __future__ import annotations

from .. import settings
from .._tuples import NamedTuple
from ..errors import OptionError, PlaceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

# Flags that decide for the whole run, so that no two of them, nor one with clear, refresh or a pattern, make sense.
_MODES = {"off": "neither reads nor writes the cache", "read-only": "stores nothing", "only-cached": "computes nothing"}


class Flag(NamedTuple):
    """``option`` as it is typed; ``does``, whatever the prefix; ``value``, how its value is shown, None without one."""

    option: str
    does: str
    value: str | None
    help: str


class RefusedError(Exception):
    """What was given can't be; each parser says so in its own way."""


def flags(prefix: str) -> list[Flag]:
    """All of them. OptionError for what can't begin an option."""
    if not isinstance(prefix, str) or not prefix.replace("-", "").isalnum() or prefix.startswith("-"):
        raise OptionError(f"prefix= is a word such as 'cache' or 'results', not {prefix!r}")
    return [
        Flag(f"--{prefix}-clear", "clear", None, "clear the stored results of this program first"),
        Flag(f"--{prefix}-refresh", "refresh", None, "compute everything again, once, and store it"),
        Flag(f"--{prefix}-function", "function", "PATTERN", "clear or refresh only these: 'model.*'"),
        Flag(f"--no-{prefix}", "off", None, "compute everything; neither use nor change stored results"),
        Flag(f"--{prefix}-readonly", "read-only", None, "use stored results, store nothing"),
        Flag(f"--{prefix}-only", "only-cached", None, "fail instead of computing what is not stored"),
        Flag(f"--{prefix}-dir", "dir", "DIR", "keep stored results in this folder"),
        Flag(f"--{prefix}-stats", "stats", None, "say at the end what the stored results saved"),
    ]


def untaken(wanted: list[Flag], taken: Container[str], whose: str, way_out: str) -> list[Flag]:
    """The flags, if the program has none of these options itself; OptionError otherwise."""
    if both := [flag.option for flag in wanted if flag.option in taken]:
        raise OptionError(
            f"{whose} has {', '.join(both)} already; {way_out} gives memo's options other names, here --memo-clear"
        )
    return wanted


def take(flag: Flag, value: str, given: dict[str, str]) -> None:
    """Do what a flag asks for; RefusedError if it contradicts one given before, or its value can't be.

    ``given`` is what this run of the parser was given so far (option -> what it does), and is added to.
    """
    _check(flag, given)
    if flag.does == "clear":
        settings.set_flags(clear=True)
    elif flag.does == "function":
        if not value.strip():
            raise RefusedError("expected a pattern of full function names, such as 'model.*'")
        settings.set_flags(functions=value.strip())
    elif flag.does == "dir":
        settings.set_flags(location=_place(value))
    elif flag.does == "stats":
        from .._saved import say_at_exit

        say_at_exit()
    else:
        settings.set_flags(mode=flag.does)


def _check(flag: Flag, given: dict[str, str]) -> None:
    if flag.does in ("dir", "stats"):
        return
    for other, does in given.items():
        ruling = next((d for d in (flag.does, does) if d in _MODES), None)
        if ruling and does != flag.does:
            by = flag.option if ruling == flag.does else other
            raise RefusedError(f"not allowed with {other}: {by} {_MODES[ruling]}")
    given[flag.option] = flag.does


def _place(location: str) -> str:
    from .._location import checked_location
    from .._place import absolute, is_url, read_marker, split_location

    if not location.strip():
        raise RefusedError("expected a folder")
    place = absolute(location)  # now: the program may change its working directory
    try:
        checked_location(place, None)
        _, folder = split_location(place)
        if not is_url(folder):
            read_marker(folder)
    except (OptionError, PlaceError) as error:
        raise RefusedError(str(error))
    except OSError as error:
        raise RefusedError(f"{place} can't be used: {error.strerror or error}")
    return place
