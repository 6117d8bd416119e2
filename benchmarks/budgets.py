"""Reads budgets.toml and judges figures by it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

Figures = Mapping[str, Mapping[str, float]]  # figure -> peer -> seconds, or what the figure's name says


class Budget(NamedTuple):
    what: str
    measure: str
    of: str  #: whose figure is judged
    against: str  #: whose figure is the 1; "asked" where that is a number
    asked: float | None
    limit: Fraction
    limit_now: Fraction

    @property
    def row(self) -> str:
        return self.measure.partition(".")[0]

    def ratio(self, figures: Figures) -> float | None:
        """The figure over the other's, or over what is asked; None if one of them could not be measured."""
        found = figures.get(self.measure, {})
        one = self.asked if self.against == "asked" else found.get(self.against)
        if self.of not in found or not one:
            return None
        return found[self.of] / one

    def verdict(self, ratio: float | None) -> str:
        if ratio is None:
            return "NOT MEASURED"
        if ratio <= self.limit:
            return "ok"
        return "ok today" if ratio <= self.limit_now else "OVER"

    def held(self, figures: Figures) -> bool:
        return self.verdict(self.ratio(figures)).startswith("ok")


def load() -> list[Budget]:
    """Limits may be numbers or fractions in text ("1/30"); one key too many or too few raises TypeError."""
    with open(Path(__file__).with_name("budgets.toml"), "rb") as file:
        lines = tomllib.load(file)["budget"]
    return [_budget(**line) for line in lines]


def _budget(
    *,
    what: str,
    measure: str,
    limit: object,
    limit_now: object = None,
    of: str = "memo",
    against: str = "asked",
    asked: float | None = None,
) -> Budget:
    if (against == "asked") is (asked is None):
        raise TypeError(f"{what}: a budget is against a peer, or against what is asked")
    last = Fraction(str(limit))
    return Budget(what, measure, of, against, asked, last, last if limit_now is None else Fraction(str(limit_now)))
