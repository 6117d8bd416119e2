"""What the memo command prints: plain text, aligned, safe to show in a terminal.

Stored names come from other people's code and, in shared places, from other people: whatever a terminal could take for
an order (control characters, text direction) is shown escaped. Machines read ``--json``.
"""

from __future__ import annotations

import os
import sys

from memo._units import show_bytes, show_seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Nothing(Exception):
    """Ends a command that found nothing to show or to do, or to which the user said no: exit code 1."""


def escape(text: str) -> str:
    """The text with everything that is not printable as ``\\x1b``, ``\\u202e``, ...

    >>> escape("ok \\x1b[31m")
    'ok \\\\x1b[31m'
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def table(titles: Sequence[str], rows: Iterable[Sequence[str]], right: str = "") -> None:
    """Columns two spaces apart. ``right``: one letter a column, "r" for figures; the others are flush left."""
    if _is_for_people():
        try:
            return _rich_table(titles, rows, right)
        except ImportError:  # the extra "cli" is not installed: plain, as in a file
            pass
    lines = [list(titles), *([escape(cell) for cell in row] for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(titles))]
    for line in lines:
        cells = [
            cell.rjust(width) if right[at : at + 1] == "r" else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def _is_for_people() -> bool:
    """Whether the output is a terminal that can more than text; FORCE_COLOR says so of any output, as elsewhere."""
    if os.environ.get("FORCE_COLOR"):
        return True
    return sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


def _rich_table(titles: Sequence[str], rows: Iterable[Sequence[str]], right: str) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # NO_COLOR is rich's own business; nothing that is stored is taken for its markup
    shown = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for at, title in enumerate(titles):
        figures = right[at : at + 1] == "r"
        shown.add_column(title, justify="right" if figures else "left", overflow="fold", no_wrap=figures)
    for row in rows:
        shown.add_row(*(Text(escape(cell)) for cell in row))
    console = Console(file=sys.stdout, highlight=False)
    # where it is too wide the terminal breaks lines, as without rich, rather than rich names into pieces of two letters
    console.width = max(console.width, console.measure(shown, options=console.options.update(width=10_000)).maximum)
    console.print(shown)


def pairs(rows: Iterable[tuple[str, str]]) -> None:
    """A name and what there is to say about it, one a line."""
    found = list(rows)
    width = max(len(name) for name, _ in found)
    for name, text in found:
        print(f"{name:<{width}}  {escape(text)}".rstrip())


def as_json(value: object) -> None:
    import json

    # ASCII: reads the same whatever the encoding of the terminal or of the pipe
    json.dump(value, sys.stdout, indent=2)
    print()


def say(text: str) -> None:
    """To standard error, so that what is piped on holds results only. Further lines are indented: none looks like ours."""
    first, *more = text.split("\n")
    print("\n".join([f"memo: {escape(first)}", *(f"  {escape(line.strip())}" for line in more)]), file=sys.stderr)


class Progress:
    """How far a copy is, on standard error where that is a terminal: one line that is written over."""

    def __init__(self) -> None:
        self._shown, self._next = sys.stderr.isatty(), 0.0

    def __call__(self, done: int, of: int, size: int) -> None:
        from time import monotonic

        if self._shown and (done == of or monotonic() >= self._next):
            self._next = monotonic() + 0.1
            print(f"\r{done:,} of {of:,} entries, {show_bytes(size)} ", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._next:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def ago(then: float | None, now: float) -> str:
    """How long since ``then``, in whole seconds; both are seconds since the epoch.

    >>> ago(None, 5.0), ago(4.8, 5.0), ago(0.0, 90.4), ago(65.0, 5.0)
    ('-', 'now', '90 s ago', 'in 60 s')
    """
    if then is None:
        return "-"
    if abs(now - then) < 1:
        return "now"
    return f"{show_seconds(round(now - then))} ago" if then <= now else f"in {show_seconds(round(then - now))}"


def counted(number: int, one: str, many: str) -> str:
    """A number with its noun.

    >>> counted(1, "entry", "entries"), counted(12345, "entry", "entries")
    ('1 entry', '12,345 entries')
    """
    return f"{number:,} {one if number == 1 else many}"
