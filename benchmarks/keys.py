"""The price of a key: what it takes to make one from arguments of several shapes. Figures are seconds a key.

memo's is `cache_key`, of a function that is warm, with code and captures in it. joblib's is `joblib.hash`, as `Memory`
calls it on the dictionary of the arguments; `pickle.dumps` is what a cache would need before it could hash anything.
"""

from __future__ import annotations

from collections.abc import Callable
from os import getpid
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from .peers import Wrong

Make = Callable[[bool], tuple[Any, Any]]  # quick -> arguments, and others that must have another key

K0, K1, K2, K3, K4, K5, K6, K7 = range(8)
L0, L1, L2, L3, L4, L5, L6, L7 = range(8)


def ks(n: int) -> int:
    return n + K0 + K1 + K2 + K3 + K4 + K5 + K6 + K7


def ls(n: int) -> int:
    return n + L0 + L1 + L2 + L3 + L4 + L5 + L6 + L7


def reach_20(n: int, scale: float = 1.0) -> dict[str, float]:
    """Runs or reads 20 names: two functions, their sixteen constants, getpid and float."""
    return {"n": float(n), "value": ks(ls(n)) * scale, "process": getpid()}


def look(first: Any, second: Any = None) -> None:
    """Never called: only its keys are asked for."""


def small(quick: bool) -> tuple[Any, Any]:
    return ("a name", 3), ("a name", 3.0)


def ints(quick: bool) -> tuple[Any, Any]:
    numbers = list(range(10_000 if quick else 1_000_000))
    return (numbers,), ([*numbers[:-1], True],)


def dicts(quick: bool) -> tuple[Any, Any]:
    rows = [{"id": i, "name": f"name {i}", "value": i / 4, "ok": True} for i in range(5_000 if quick else 200_000)]
    return (rows,), ([*rows[:-1], rows[-1] | {"ok": 1}],)


def array(quick: bool) -> tuple[Any, Any]:
    import numpy as np

    values = np.arange(625_000 if quick else 12_500_000, dtype="float64")
    other = values.copy()
    other[len(other) // 2] += 1
    return (values,), (other,)


def frame(quick: bool) -> tuple[Any, Any]:
    """100 MB of numbers, in ten columns; texts are another matter, and are where peers lose more."""
    import numpy as np
    import pandas as pd

    rows = 62_500 if quick else 1_250_000
    values = pd.DataFrame({f"c{i}": np.arange(rows, dtype="float64") + i for i in range(10)})
    return (values,), (values.rename(columns={"c9": "c10"}),)


def _memo(folder: Path) -> Callable[..., object]:
    from memo import persist

    return persist(location=folder)(look).cache_key


def _joblib(folder: Path) -> Callable[..., object]:
    from joblib import hash

    return lambda first, second=None: hash({"first": first, "second": second})


def _pickle(folder: Path) -> Callable[..., object]:
    from pickle import dumps

    return lambda first, second=None: dumps((first, second))


PEERS = {"memo": _memo, "joblib": _joblib, "pickle": _pickle}


def made(make: Make, peer: str, folder: Path, quick: bool) -> dict[str, float]:
    arguments, others = make(quick)
    key = PEERS[peer](folder)
    if key(*arguments) == key(*others) or key(*arguments) != key(*arguments):
        raise Wrong("equal arguments have two keys, or others the same")
    times = 2_000 if make is small else 1
    seconds = []
    for _ in range(7):
        started = perf_counter()
        for _ in range(times):
            key(*arguments)
        seconds.append((perf_counter() - started) / times)
    return {"": median(seconds)}
