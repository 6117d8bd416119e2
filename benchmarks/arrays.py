"""The functions of large values that are measured; apart from the small ones, which should not import numpy."""

from __future__ import annotations

import os
import time

import numpy as np


def make(count: int) -> np.ndarray:
    """``count`` floats. The first two tell which process computed them and how many seconds that took."""
    started = time.perf_counter()
    values = np.arange(count, dtype="float64")
    values[0] = os.getpid()
    values[1] = time.perf_counter() - started
    return values


def look(values: np.ndarray) -> dict[str, float]:
    """Takes a large argument and does next to nothing with it: what is left is the price of its key."""
    return {"middle": float(values[len(values) // 2]), "process": os.getpid()}


def block(n: int, scale: float) -> np.ndarray:
    """``scale`` floats that no other ``n`` has; the first one tells which process computed them."""
    values = np.arange(n, n + int(scale), dtype="float64")
    values[0] = os.getpid()
    return values
