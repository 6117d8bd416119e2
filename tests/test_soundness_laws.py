"""Laws of digests that two processes are needed for, or long lists: equal values in another process, under another seed."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_fingerprint_values import VALUES, canon, mutants, rebuilt

from memo.fingerprint import _values, encode, fingerprint

CHILD = """
import pickle, sys
from memo.fingerprint import encode, fingerprint
while True:
    try:
        values = pickle.load(sys.stdin.buffer)
    except EOFError:
        break
    answer = [fingerprint(value) for value in values], encode(("x", "y"), (values, 1))
    sys.stdout.buffer.write(pickle.dumps(answer))
    sys.stdout.buffer.flush()
"""


class Other:
    """A process with another hash seed, that is asked for digests."""

    def __init__(self, seed: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )

    def asked(self, values: list[Any]) -> tuple[list[bytes], bytes]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(pickle.dumps(values))
        self.process.stdin.flush()
        found: tuple[list[bytes], bytes] = pickle.load(self.process.stdout)
        return found


@pytest.fixture(scope="module")
def others() -> Iterator[list[Other]]:
    found = [Other("11"), Other("12")]
    yield found
    for other in found:
        other.process.communicate(timeout=20)


@given(VALUES, st.randoms(use_true_random=False))
def test_equal_in_another_process_under_another_seed(others: list[Other], value: Any, draw: Any) -> None:
    """And any single mutation differs there as here."""
    varied = [value, rebuilt(value, draw), *(mutant for _, mutant in zip(range(20), mutants(value), strict=False))]
    here = [fingerprint(each) for each in varied], encode(("x", "y"), (varied, 1))
    for other in others:
        assert other.asked(varied) == here
    text = canon(value)
    for each, digest in zip(varied, here[0], strict=True):
        assert (digest == here[0][0]) == (canon(each) == text), each


class Int(int):
    pass


class Float(float):
    def __float__(self) -> float:
        raise AssertionError("looked at by a method of its own")


ODD = [
    True, None, 1, 1.5, -0.0, float("nan"), float("inf"), 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**63, "i", b"i\0\0\0\0",
    bytearray(b"i\0\0\0"), 1j, [1], (1,), {1}, {1: 1}, range(1), Int(1), Float(1.5), ..., Exception, memoryview(b"iiii"),
]  # fmt: skip


@pytest.mark.parametrize("kind", [int, float])
@pytest.mark.parametrize("at", [0, 1, 700, -1])
def test_a_long_list_is_taken_for_numbers_only_if_all_are(kind: type, at: int) -> None:
    """`_numbers` against the type of each item; what it takes is what marshal and the slower way make of it."""
    plain = [kind(n) for n in range(1500)]
    assert _values._numbers(plain) is not None
    digests = {fingerprint(plain): "plain"}
    for odd in ODD:
        items = [*plain]
        items[at] = odd
        narrow = kind is float or -(2**31) < odd < 2**31 if type(odd) is kind else False
        if not narrow and not (kind is int and odd == -(2**31) and type(odd) is int):
            assert _values._numbers(items) is None, odd
        digest = fingerprint(items)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_values, "LONG", 1 << 60)
            assert fingerprint(items) == digest, odd
        if odd != plain[at] or type(odd) is not kind:
            assert digests.setdefault(digest, repr(odd)) == repr(odd)


def test_long_lists_with_something_shared_a_million_times_end() -> None:
    """marshal would walk into it again and again."""
    item: Any = 1
    for _ in range(60):
        item = [item, item]
    for kind in (int, float):
        numbers: list[Any] = [kind(n) for n in range(1500)]
        numbers[700] = item
        assert fingerprint(numbers) == fingerprint([*numbers])
