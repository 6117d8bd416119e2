"""The small functions that are measured, in a module that every process imports, as a user's would be.

Each result carries the process that computed it, so that whoever gets it can tell a stored result from a computed one;
a counter in a global would be data that the function reads, and thus part of its key.
"""

from __future__ import annotations

import os

OFFSET = 7
WEIGHTS = (0.25, 0.5, 0.25)


def shifted(n: int) -> int:
    return n + OFFSET


def weighted(value: float) -> float:
    return sum(weight * value for weight in WEIGHTS)


def reach_5(n: int, scale: float = 1.0) -> dict[str, float]:
    """Runs or reads 5 names of this module: shifted, weighted, OFFSET, WEIGHTS, os."""
    return {"n": n, "value": weighted(shifted(n) * scale), "process": os.getpid()}


A0, A1, A2, A3, A4, A5, A6, A7, A8, A9 = range(10)
B0, B1, B2, B3, B4, B5, B6, B7, B8, B9 = range(10)
C0, C1, C2, C3, C4, C5, C6, C7, C8, C9 = range(10)
D0, D1, D2, D3, D4, D5, D6, D7, D8, D9 = range(10)
E0, E1, E2, E3, E4, E5, E6, E7, E8, E9 = range(10)
F0, F1, F2, F3, F4, F5, F6, F7, F8, F9 = range(10)
G0, G1, G2, G3, G4, G5, G6, G7, G8, G9 = range(10)
H0, H1, H2, H3, H4, H5, H6, H7, H8, H9 = range(10)
I0, I1, I2, I3, I4, I5, I6, I7, I8, I9 = range(10)


def a(n: int) -> int:
    return n + A0 + A1 + A2 + A3 + A4 + A5 + A6 + A7 + A8 + A9


def b(n: int) -> int:
    return n + B0 + B1 + B2 + B3 + B4 + B5 + B6 + B7 + B8 + B9


def c(n: int) -> int:
    return n + C0 + C1 + C2 + C3 + C4 + C5 + C6 + C7 + C8 + C9


def d(n: int) -> int:
    return n + D0 + D1 + D2 + D3 + D4 + D5 + D6 + D7 + D8 + D9


def e(n: int) -> int:
    return n + E0 + E1 + E2 + E3 + E4 + E5 + E6 + E7 + E8 + E9


def f(n: int) -> int:
    return n + F0 + F1 + F2 + F3 + F4 + F5 + F6 + F7 + F8 + F9


def g(n: int) -> int:
    return n + G0 + G1 + G2 + G3 + G4 + G5 + G6 + G7 + G8 + G9


def h(n: int) -> int:
    return n + H0 + H1 + H2 + H3 + H4 + H5 + H6 + H7 + H8 + H9


def i(n: int) -> int:
    return n + I0 + I1 + I2 + I3 + I4 + I5 + I6 + I7 + I8 + I9


def reach_100(n: int, scale: float = 1.0) -> dict[str, float]:
    """Runs or reads 100 names of this module: nine functions, their ninety constants, os."""
    return {"n": n, "value": a(b(c(d(e(f(g(h(i(n))))))))) * scale, "process": os.getpid()}
