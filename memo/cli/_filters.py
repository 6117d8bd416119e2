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

    from memo._upkeep import Listed
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
    """The pattern is an option as well, so that commands with arguments of their own take the same filters."""
    parser.add_argument("-f", "--function", metavar="PATTERN", help="full names of functions, * for any text")
    parser.add_argument("--tag", metavar="TAG", help="only what has this tag")
    parser.add_argument("--older-than", metavar="AGE", type=_age, help="only what was computed longer ago: 90s, 2h, 7d")
    parser.add_argument("--larger-than", metavar="SIZE", type=_size, help="only what takes more room: 500kB, 2GB, 2GiB")
    parser.add_argument("--expired", action="store_true", help="only what is not good any more, by the function's ttl")
    parser.add_argument("--stale-code", action="store_true", help="only what other code made than that used last")
    parser.add_argument(
        "--argument", metavar="TEXT", help="only calls with this text in their arguments, as far as memo remembers them"
    )


def add_none(parser: ArgumentParser) -> None:
    """For a command that takes a pattern alone."""
    parser.set_defaults(
        function=None, older_than=None, larger_than=None, tag=None, expired=False, stale_code=False, argument=None
    )


def pattern(arguments: Namespace) -> str:
    given: str | None = arguments.function
    return getattr(arguments, "pattern", "*") if given is None else given


def chosen(arguments: Namespace, now: float, storage: Storage) -> Filters:
    return Filters(
        pattern(arguments),
        None if arguments.older_than is None else now - arguments.older_than,
        arguments.larger_than,
        arguments.tag,
        now if arguments.expired else None,
        arguments.stale_code,
        None if arguments.argument is None else _with_argument(storage, arguments.argument),
    )


def _with_argument(storage: Storage, text: str) -> Callable[[Listed], bool]:
    """The last calls of each function are remembered with the texts of their arguments; entries hold only digests."""
    known: dict[str, set[tuple[str, str]]] = {}

    def where(listed: Listed) -> bool:
        scope, version, arguments = listed.key.split("/")
        if scope not in known:
            from memo.explain import remembered

            known[scope] = {
                (one.version, one.arguments)
                for one in remembered(storage, scope)
                if any(text in f"{name}={value}" for name, value in one.shown.items())
            }
        return (version, arguments[:16]) in known[scope]

    return where


def nothing_found(arguments: Namespace, location: str, storage: Storage) -> str:
    """Why there is nothing to show, and what the user may have meant."""
    asked = pattern(arguments)
    if asked != "*" and not functions(storage, asked) and (known := sorted(functions(storage).values())):
        like = sorted(functions(storage, f"*{asked}*").values()) or known
        shown = ", ".join(like[:5]) + (", ..." if len(like) > 5 else "")
        return f"no function in {location} has a full name like {asked!r}; there is {shown}"
    if arguments.tag is not None:
        return f"nothing in {location} has the tag {arguments.tag!r}"
    if arguments.argument is not None:
        return f"no call that is remembered in {location} has {arguments.argument!r} in its arguments"
    if arguments.expired or arguments.stale_code:
        return f"nothing in {location} is {'expired' if arguments.expired else 'made by other code'}"
    if arguments.older_than is not None or arguments.larger_than is not None:
        return f"nothing in {location} is as old and as large as that"
    return f"nothing is stored in {location}" + ("" if asked == "*" else f" for {asked!r}")


def _age(text: str) -> float:
    return _checked(seconds, text, "AGE")


def _size(text: str) -> int:
    return _checked(size_bytes, text, "SIZE")


def _checked(read: Callable[[str, str], T], text: str, what: str) -> T:
    try:
        return read(text, what)
    except OptionError as error:  # argparse shows the text of this one error only, after the option's name
        raise ArgumentTypeError(str(error)) from None
