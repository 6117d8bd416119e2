"""The figures as text: a table of seconds, and a table of ratios beside their budgets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

from .budgets import Budget, Figures
from .rows import ROWS


def seconds(value: float | None) -> str:
    """Three digits and a unit."""
    if value is None:
        return "-"
    for unit, factor in (("s", 1), ("ms", 1e3), ("µs", 1e6)):
        if value * factor >= 1:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"


def quantity(measure: str, value: float | None) -> str:
    """A figure in the unit that its name says: bytes, else seconds."""
    if value is not None and measure.endswith("bytes"):
        return f"{value:.3g} B"
    return seconds(value)


def ratio(value: float | Fraction | None) -> str:
    """``0.13x``; below a tenth as a fraction, ``1/140``."""
    if value is None:
        return "-"
    return f"{float(value):.3g}x" if value >= 0.1 or value <= 0 else f"1/{float(1 / value):.0f}"


def table(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns as wide as their widest cell, the first one to the left."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for first, *rest in lines:
        yield "  ".join(
            [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
        )


def figures_table(figures: Figures) -> Iterator[str]:
    peers = list(dict.fromkeys(peer for row in ROWS.values() for peer in row.peers))
    used = [peer for peer in peers if any(peer in line for line in figures.values())]
    lines = [("best of the rounds", *used)]
    for name, line in figures.items():
        row, _, part = name.partition(".")
        what = f"{ROWS[row].what}: {part}" if part else ROWS[row].what
        lines.append((what, *(quantity(name, line.get(peer)) for peer in used)))
    return table(lines)


def budgets_table(budgets: Iterable[Budget], figures: Figures) -> Iterator[str]:
    lines = [("measured in this run", "of", "beside", "ratio", "floor", "today", "goal", "")]
    for budget in budgets:
        value = budget.ratio(figures)
        beside = quantity(budget.measure, budget.asked) if budget.against == "asked" else budget.against
        limits = ratio(budget.limit_now), ratio(budget.limit)
        least = ratio(budget._replace(of="floor").ratio(figures)) if budget.of == "memo" else "-"
        lines.append((budget.what, budget.of, beside, ratio(value), least, *limits, budget.verdict(value)))
    return table(lines)
