"""Reads budgets.toml and judges figures by it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

Figures = Mapping[str, Mapping[str, float]]  # figure -> peer -> seconds


class Budget(NamedTuple):
    what: str
    measure: str
    against: str
    limit: Fraction
    limit_now: Fraction

    @property
    def row(self) -> str:
        return self.measure.partition(".")[0]

    def ratio(self, figures: Figures) -> float | None:
        """memo's figure over the other's; None if one of them could not be measured."""
        seconds = figures.get(self.measure, {})
        if "memo" not in seconds or self.against not in seconds:
            return None
        return seconds["memo"] / seconds[self.against]

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


def _budget(*, what: str, measure: str, against: str, limit: object, limit_now: object = None) -> Budget:
    last = Fraction(str(limit))
    return Budget(what, measure, against, last, last if limit_now is None else Fraction(str(limit_now)))
