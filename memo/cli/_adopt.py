"""Old results under new code, after a look at what changed: adopt."""

from __future__ import annotations

from time import time

from . import _filters
from ._clearing import confirm
from ._output import Nothing, counted, escape
from ._places import located, opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable

    from memo._opened import Opened

    from ._places import Command


def add(command: Callable[[str, Command, str], ArgumentParser]) -> None:
    made = command("adopt", adopt, "keep a function's results after a change that does not matter: shows it, and asks")
    made.add_argument("function_name", metavar="FUNCTION", help="its full name, or the end of it")
    made.add_argument(
        "--from", dest="renamed_from", metavar="NAME", help="what it was called before it was renamed or moved"
    )
    made.add_argument("--undo", action="store_true", help="take back what was adopted for it")
    _filters.add(made)
    made.add_argument("-n", "--dry-run", action="store_true", help="show what changed and what would be adopted")
    made.add_argument("-y", "--yes", action="store_true", help="do not ask; needed where nobody can answer")


def adopt(arguments: Namespace) -> None:
    from memo import sharing

    location, storage, _ = opened(arguments)
    place = sharing.reach(located(arguments)[0])
    if arguments.undo:
        _undo(arguments, place, location)
        return
    filters = _filters.chosen(arguments, time(), storage)
    plan = sharing.plan(storage, arguments.function_name, filters, arguments.renamed_from)
    if not plan.entries:
        raise Nothing(f"{plan.source_function} has no results of other code in {location} that {plan.function} lacks")
    for version, count, changes in plan.changes:
        print(f"{counted(count, 'result', 'results')} of version {version[:8]}:")
        for line in changes.splitlines():
            print(f"  {escape(line)}")
    what = f"{counted(len(plan.entries), 'result', 'results')} of {plan.source_function}"
    if arguments.dry_run:
        print(f"would adopt {what} for version {plan.version[:8]} of {escape(plan.function)}")
        return
    if not arguments.yes:
        confirm(f"adopt {what} for {plan.function} as it is now?")
    done = sharing.adopt(place, plan, sharing.known_keys())
    print(f"adopted {counted(done, 'result', 'results')} for {escape(plan.function)}; memo adopt --undo takes it back")


def _undo(arguments: Namespace, place: Opened, location: str) -> None:
    from memo import sharing

    name, there = sharing.undo(place, arguments.function_name, dry_run=True)
    if not there:
        raise Nothing(f"nothing in {location} was adopted for {name}")
    what = f"{counted(there, 'adopted result', 'adopted results')} of {name}"
    if arguments.dry_run:
        print(f"would take back {escape(what)}")
        return
    if not arguments.yes:
        confirm(f"take back {what}?")
    sharing.undo(place, arguments.function_name)
    print(f"took back {escape(what)}")
