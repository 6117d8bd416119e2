"""Which entries a command is about: the same options on every command that takes them."""

from __future__ import annotations

from argparse import ArgumentTypeError

from memo._units import seconds, size_bytes
from memo._upkeep import Filters, functions
from memo.errors import OptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable
    from typing import TypeVar

    from memo.protocols import Storage

    T = TypeVar("T")


def add_pattern(parser: ArgumentParser) -> None:
    parser.add_argument(
        "pattern",
        metavar="PATTERN",
        nargs="?",
        default="*",
        help="full names of functions, * for any text (default: all)",
    )


def add(parser: ArgumentParser) -> None:
    add_pattern(parser)
    parser.add_argument("--older-than", metavar="AGE", type=_age, help="only what was computed longer ago: 90s, 2h, 7d")
    parser.add_argument("--tag", metavar="TAG", help="only what has this tag")
    parser.add_argument("--expired", action="store_true", help="only what is not good any more, by the function's ttl")
    parser.add_argument("--stale-code", action="store_true", help="only what other code made than that used last")
    parser.add_argument("--larger-than", metavar="SIZE", type=_size, help="only what takes more room: 500kB, 2GB, 2GiB")


def add_none(parser: ArgumentParser) -> None:
    """For a command that takes a pattern alone."""
    parser.set_defaults(older_than=None, larger_than=None, tag=None, expired=False, stale_code=False)


def chosen(arguments: Namespace, now: float) -> Filters:
    before = None if arguments.older_than is None else now - arguments.older_than
    return Filters(
        arguments.pattern,
        before,
        arguments.larger_than,
        arguments.tag,
        now if arguments.expired else None,
        arguments.stale_code,
    )


def nothing_found(arguments: Namespace, location: str, storage: Storage) -> str:
    """Why there is nothing to show, and what the user may have meant."""
    pattern = arguments.pattern
    if arguments.tag is not None:
        return f"nothing in {location} has the tag {arguments.tag!r}"
    if arguments.expired or arguments.stale_code:
        return f"nothing in {location} is {'expired' if arguments.expired else 'made by other code'}"
    if arguments.older_than is not None or arguments.larger_than is not None:
        return f"nothing in {location} is as old and as large as that"
    if pattern != "*" and not functions(storage, pattern) and (known := sorted(functions(storage).values())):
        like = sorted(functions(storage, f"*{pattern}*").values()) or known
        shown = ", ".join(like[:5]) + (", ..." if len(like) > 5 else "")
        return f"no function in {location} has a full name like {pattern!r}; there is {shown}"
    return f"nothing is stored in {location}" + ("" if pattern == "*" else f" for {pattern!r}")


def _age(text: str) -> float:
    return _checked(seconds, text, "AGE")


def _size(text: str) -> int:
    return _checked(size_bytes, text, "SIZE")


def _checked(read: Callable[[str, str], T], text: str, what: str) -> T:
    try:
        return read(text, what)
    except OptionError as error:  # argparse shows the text of this one error only, after the option's name
        raise ArgumentTypeError(str(error)) from None
