"""Durations and sizes: what people write is read exactly, what is shown reads back, nonsense is refused."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memo._units import seconds, show_bytes, show_seconds, size_bytes
from memo.errors import OptionError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", 90),
        ("1h30m", 5400),
        (" 1h 30 min ", 5400),
        ("7d", 604800),
        ("1.5 h", 5400),
        ("2 weeks", 1209600),
        ("250ms", 0.25),
        ("30", 30),
        ("0", 0),
        (timedelta(hours=2), 7200),
        (12.5, 12.5),
        (3, 3),
        (math.inf, math.inf),
    ],
)
def test_durations(text, expected):
    assert seconds(text) == expected
    assert type(seconds(text)) is float


TEXTS = ["", "h", "soon", "-5s", "1h30", "1 M", "1.s", "5 s!", "1e3", "nan", "٣s", "1" * 40, "1" * 5000 + "s"]
OTHERS = [True, None, -1, math.nan, -math.inf, 10**400, timedelta(days=-1), b"5s", [1], 1j]


@pytest.mark.parametrize("nonsense", [*TEXTS, *OTHERS], ids=lambda value: repr(value)[:12])
def test_nonsense_durations_are_refused_by_name(nonsense):
    with pytest.raises(OptionError, match="ttl must be a number of seconds") as caught:
        seconds(nonsense, "ttl")
    assert repr(nonsense)[:40] in str(caught.value), "it says what came"
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2 GB", 2 * 10**9),
        ("2GiB", 2**31),
        ("1.1 GB", 1_100_000_000),
        ("500 mb", 5 * 10**8),
        ("512", 512),
        ("7 B", 7),
        ("3 KiB", 3072),
        ("1 kb", 1000),
        (4096, 4096),
        (2e9, 2 * 10**9),
        (0, 0),
        ("1 PiB", 2**50),
    ],
)
def test_sizes(text, expected):
    assert size_bytes(text) == expected
    assert type(size_bytes(text)) is int


@pytest.mark.parametrize(
    "nonsense",
    ["", "GB", "2G", "-1 MB", "1 GB 2 MB", "lots", "1,5 GB", "1e9", -1, 1.5, math.nan, math.inf, True, None, b"5"],
    ids=repr,
)
def test_nonsense_sizes_are_refused_by_name(nonsense):
    with pytest.raises(OptionError, match="max_size must be a number of bytes") as caught:
        size_bytes(nonsense, "max_size")
    assert repr(nonsense) in str(caught.value)


def test_a_number_too_long_to_print_is_refused_too():
    with pytest.raises(OptionError):
        seconds(10**5000)
    with pytest.raises(OptionError):
        size_bytes(-(10**5000))


@given(st.floats(min_value=1e-9, max_value=1e12))
def test_what_is_shown_of_a_duration_reads_back(duration):
    assert seconds(show_seconds(duration)) == pytest.approx(duration, rel=0.02)


@given(st.integers(min_value=0, max_value=10**21))
def test_what_is_shown_of_a_size_reads_back(size):
    assert size_bytes(show_bytes(size)) == pytest.approx(size, rel=0.01)


@given(st.floats())
def test_any_duration_can_be_shown(duration):
    assert show_seconds(duration)


@given(st.text(max_size=20))
def test_any_text_is_a_duration_or_refused(text):
    try:
        assert seconds(text) >= 0
    except OptionError:
        pass


@given(st.text(alphabet="0123456789.kKmMgGiIbB -", max_size=12))
def test_any_text_is_a_size_or_refused(text):
    try:
        assert size_bytes(text) >= 0
    except OptionError:
        pass


@given(st.integers(0, 400), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_terms_add_up(days, hours, minutes, secs):
    expected = timedelta(days=days, hours=hours, minutes=minutes, seconds=secs)
    assert seconds(f"{days}d {hours}h{minutes}m {secs} s") == expected.total_seconds()
    assert seconds(expected) == expected.total_seconds()
