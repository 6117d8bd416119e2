"""Durations and sizes as people write them: "90s", "1h30m", "2 GB", "2 GiB".

Options take text because 604800 and 2147483648 are where mistakes hide. One decision: text without a unit is seconds
or bytes, and a unit that people read in two ways ("2G", "1M") is refused instead of guessed.
"""

from __future__ import annotations

import re

from .errors import OptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import timedelta

_SECONDS = {
    **dict.fromkeys(("ns",), (1, 10**9)),
    **dict.fromkeys(("us", "µs", "μs"), (1, 10**6)),  # the micro sign and the Greek letter look the same
    **dict.fromkeys(("ms",), (1, 1000)),
    **dict.fromkeys(("", "s", "sec", "second", "seconds"), (1, 1)),
    **dict.fromkeys(("m", "min", "minute", "minutes"), (60, 1)),
    **dict.fromkeys(("h", "hr", "hour", "hours"), (3600, 1)),
    **dict.fromkeys(("d", "day", "days"), (86400, 1)),
    **dict.fromkeys(("w", "week", "weeks"), (604800, 1)),
}
_BYTES = {"": 1, "b": 1, "byte": 1, "bytes": 1}
for _power, _letter in enumerate("kmgtp", 1):
    _BYTES[_letter + "b"] = 1000**_power
    _BYTES[_letter + "ib"] = 1024**_power

#: compiled by the first text there is: most programs give numbers or none
_TERM = r"([0-9]{1,30})(?:\.([0-9]{1,30}))? *([a-zµμ]*)"


def seconds(duration: str | int | float | timedelta, option: str = "duration") -> float:
    """Seconds in a duration: a number of seconds, a ``timedelta``, or text such as "90s", "1h30m", "1.5 h", "7d".

    ``option`` is what the message calls it. Infinity is allowed. Raises OptionError for anything else.

    >>> seconds("1h30m"), seconds("250 ms"), seconds(90)
    (5400.0, 0.25, 90.0)
    """
    total: float | None = None
    if isinstance(duration, str):
        total = _sum_of_terms(duration.strip())
    elif isinstance(duration, (int, float)) and not isinstance(duration, bool):
        try:
            total = float(duration)
        except OverflowError:
            pass
    elif hasattr(duration, "total_seconds"):  # a timedelta, without importing datetime to ask
        total = float(duration.total_seconds())
    if total is None or not total >= 0:  # written so that nan is refused too
        raise OptionError(
            f'{option} must be a number of seconds, a timedelta or text such as "90s", "1h30m", "7d" (units ms, s, m,'
            f" h, d, w), and not negative; got {_shown(duration)}"
        )
    return total


def size_bytes(size: str | int, option: str = "size") -> int:
    """Bytes in a size: a whole number, or text such as "500 MB" (10**6) or "2 GiB" (2**30), in any case.

    ``option`` is what the message calls it. Raises OptionError for anything else.

    >>> size_bytes("2 GB"), size_bytes("1.5 KiB"), size_bytes(4096)
    (2000000000, 1536, 4096)
    """
    total: int | None = None
    if isinstance(size, str):
        if (match := re.fullmatch(_TERM, size.strip(), re.IGNORECASE)) and (factor := _BYTES.get(match[3].lower())):
            fraction = match[2] or ""  # in integers: floats would make "1.1 GB" one byte short
            total = int(match[1] + fraction) * factor // 10 ** len(fraction)
    elif isinstance(size, (int, float)) and not isinstance(size, bool) and size % 1 == 0:  # 2e9 too
        total = int(size)
    if total is None or total < 0:
        raise OptionError(
            f'{option} must be a number of bytes or text such as "500 MB", "2 GB" (powers of 1000) or "2 GiB" (powers'
            f" of 1024), and not negative; got {_shown(size)}"
        )
    return total


def show_seconds(duration: float) -> str:
    """A duration for people, to about three digits; ``seconds`` reads it back.

    >>> show_seconds(0.0042), show_seconds(60), show_seconds(9000), show_seconds(200000)
    ('4.2 ms', '60 s', '2 h 30 min', '2 d 8 h')
    """
    if duration < 0:
        return "-" + show_seconds(-duration)
    if duration < 120:
        for unit, name in ((1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms")):
            if float(text := f"{duration / unit:.3g}") < 1000:
                return f"{text} {name}" if duration else "0 s"
        return f"{duration:.3g} s"
    if not duration < 1e15:  # infinite, or not a number
        return f"{duration:.3g} s"
    if duration < 7200:
        small, ratio, names = 1, 60, ("min", "s")
    elif duration < 2 * 86400:
        small, ratio, names = 60, 60, ("h", "min")
    else:
        small, ratio, names = 3600, 24, ("d", "h")
    first, rest = divmod(round(duration / small), ratio)
    return f"{first} {names[0]} {rest} {names[1]}" if rest else f"{first} {names[0]}"


def show_bytes(size: int) -> str:
    """A size for people, to three digits; ``size_bytes`` reads it back.

    >>> show_bytes(512), show_bytes(1500), show_bytes(2 * 10**9)
    ('512 B', '1.5 kB', '2 GB')
    """
    if size < 0:
        return "-" + show_bytes(-size)
    for power, name in enumerate(("B", "kB", "MB", "GB", "TB", "PB")):
        if float(text := f"{size / 1000**power:.3g}") < 1000:
            return f"{text} {name}"
    return f"{size // 1000**5} PB"


def _sum_of_terms(text: str) -> float | None:
    terms = re.findall(_TERM, text)
    if not terms or re.sub(_TERM, "", text).strip():
        return None
    total = 0.0
    for whole, fraction, unit in terms:
        if unit not in _SECONDS or (not unit and len(terms) > 1):  # "1h30": minutes or seconds?
            return None
        factor, divisor = _SECONDS[unit]
        total += int(whole + fraction) * factor / (divisor * 10 ** len(fraction))
    return total


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # an int of thousands of digits, a user's own __repr__
        text = "a value"
    return (text if len(text) <= 60 else text[:59] + "…") + f" ({type(value).__name__})"
