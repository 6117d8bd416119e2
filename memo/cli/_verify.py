"""memo verify: is every entry as it was written?"""

from __future__ import annotations

import os

from memo import _entry, _place, _verify
from memo._units import show_bytes

from ._output import Nothing, as_json, counted, table
from ._places import located, opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable

    from memo._verify import Finding

    from ._places import Command


def add(command: Callable[[str, Command, str], ArgumentParser]) -> None:
    parser = command(
        "verify", verify, "read every result and hold it against its digest; exit code 1 if anything is wrong"
    )
    parser.add_argument("pattern", nargs="?", default="*", metavar="PATTERN", help="only these functions")
    parser.add_argument(
        "--repair",
        action="store_true",
        help="take away what is not as it was written, and what killed processes left over an hour ago",
    )
    parser.add_argument("--json", action="store_true", help="for programs")


def verify(arguments: Namespace) -> None:
    location, storage, _ = opened(arguments)
    keys = tuple(map(_entry.signing_key, os.environ.get("MEMO_SIGNING_KEY", "").split()))
    verified = _verify.verify(storage, folder_of(arguments), keys, arguments.pattern, repair=arguments.repair)
    if arguments.json:
        as_json({**verified._asdict(), "findings": [one._asdict() for one in verified.findings]})
    else:
        show(verified.findings)
        print(f"{counted(verified.entries, 'result is', 'results are')} as written, {show_bytes(verified.bytes)}")
    if verified.findings:
        raise Nothing(said(verified.findings, location))


def folder_of(arguments: Namespace) -> str:
    """The folder of the place; "" where it is none."""
    _, where = _place.split_location(located(arguments)[0])
    return where if os.path.isdir(where) else ""


def show(findings: tuple[Finding, ...]) -> None:
    if findings:
        rows = [(one.kind, one.function, one.what, one.why, "taken away" if one.repaired else "") for one in findings]
        table(("KIND", "FUNCTION", "WHAT", "WHY", ""), rows)


def said(findings: tuple[Finding, ...], location: str) -> str:
    found = f"{counted(len(findings), 'thing', 'things')} found in {location}"
    if all(one.repaired for one in findings):
        return f"{found}, all taken away"
    left = [one for one in findings if not one.repaired]
    if all(one.kind == "unknown" for one in left):
        return f"{found}; what can't be judged here stays (is MEMO_SIGNING_KEY set, and memo new enough?)"
    return f"{found}; memo verify --repair takes away what is damaged or left behind. A call heals its own entry anyway"
