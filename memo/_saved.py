"""What the results stored so far saved a run: said at its end, on standard error, by whatever flag asks for it.

The decision: the lines go by functions and are made when asked for, of the counters that are kept anyway.
"""

from __future__ import annotations

import sys

from . import events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .events import Totals

_registered = False


def say_at_exit() -> None:
    """Print `lines` when this process ends; asked twice, still once."""
    global _registered
    if not _registered:
        _registered = True
        import atexit

        atexit.register(_say)


def asked() -> bool:
    """Whether `say_at_exit` was called in this process."""
    return _registered


def lines() -> list[str]:
    """One line for all functions that were called in this process, and one for each, those that saved most first."""
    each = events.totals()
    whole = events.Totals(
        "all",
        sum(one.hits for one in each),
        sum(one.misses for one in each),
        sum(one.seconds_saved for one in each),
        key_seconds=sum(one.key_seconds for one in each),
        load_seconds=sum(one.load_seconds for one in each),
        evicted=sum(one.evicted for one in each),
    )
    return [f"memo: {_told(whole)}"] + [f"memo:   {one.function}: {_told(one)}" for one in each]


def _told(one: Totals) -> str:
    spent = one.key_seconds + one.load_seconds
    evicted = f", {one.evicted:,} evicted" if one.evicted else ""
    return f"{one.hits:,} hits, {one.misses:,} misses{evicted}, {spent:,.2g} s for keys and loads, {one.seconds_saved:,.3g} s saved"


def _say() -> None:
    if sys.stderr is None:  # print() would then choose standard output, which is the program's
        return
    try:
        print("\n".join(lines()), file=sys.stderr, flush=True)
    except (OSError, ValueError):  # closed by the program, or by who read it
        pass
