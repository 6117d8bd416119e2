"""Spot checks: a share of the hits is computed again and compared, to find functions whose results depend on what no key has.

What was computed is what the caller gets, and the stored result is dropped, so that the next call stores anew. The
draws are memo's own: those of the program are not disturbed.
"""

from __future__ import annotations

from . import events, settings
from ._tuples import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._run import Runner
    from .model import Call

_random: Any = None
_LONG = 60  #: characters of a value in a warning


class Doubted(NamedTuple):
    """A hit of an ``async def`` function that is to be checked on its loop."""

    call: Call
    value: Any
    values: tuple[Any, ...]


def drawn(runner: Runner) -> bool:
    """Whether this hit is checked."""
    global _random
    if _random is None:
        from random import Random

        _random = Random()
    share = runner.cache().spot_check
    return _random.random() < share and settings.current(runner.name, runner.mode, runner.file).name != "only-cached"


def checked(runner: Runner, call: Call, value: Any, values: tuple[Any, ...]) -> Any:
    """What a hit gives: its value, or where it is drawn and differs, what computing gives."""
    if not drawn(runner):
        return value
    if runner.kind != "function":
        return Doubted(call, value, values)
    try:
        computed = runner.invoke(runner.function, values)
    except Exception as error:
        return kept(runner, call, value, error)
    return compared(runner, call, value, computed)


async def checked_later(runner: Runner, doubted: Doubted) -> Any:
    try:
        computed = await runner.invoke(runner.function, doubted.values)
    except Exception as error:
        return kept(runner, doubted.call, doubted.value, error)
    from ._async import in_thread

    return await in_thread(compared, runner, doubted.call, doubted.value, computed)


def kept(runner: Runner, call: Call, value: Any, error: Exception) -> Any:
    """What could not be computed again can't be compared."""
    _tell(runner, f"computing {call} again raised {type(error).__name__}: {error}; the stored result was used")
    return value


def compared(runner: Runner, call: Call, stored: Any, computed: Any) -> Any:
    found = difference(stored, computed)
    if found is None:
        return stored
    path, how = found
    _tell(
        runner,
        f"computing {call} again gave another result than the stored one: result{path} {how}. Something that it depends"
        f" on is neither an argument nor code: name it in depends=, give a ttl=, or draw with a seed. The stored result was"
        f" dropped",
    )
    _drop(runner, call)
    return computed


def difference(stored: Any, computed: Any) -> tuple[str, str] | None:
    """Path to the first difference and what it is; None for what a key would not tell apart either."""
    from .errors import UnkeyableError
    from .fingerprint import encoding

    try:
        if encoding(stored) == encoding(computed):
            return None
        return _within(stored, computed) or ("", f"was {_short(stored)} and is {_short(computed)}")
    except (UnkeyableError, RecursionError):
        return _within(stored, computed)


def _within(one: Any, other: Any, depth: int = 0) -> tuple[str, str] | None:
    """The first difference inside, down to what has no parts."""
    if one is other or depth > 100:
        return None
    if type(one) is not type(other):
        return "", f"was of type {type(one).__qualname__} and is of type {type(other).__qualname__}"
    parts = _parts(one), _parts(other)
    if parts[0] is None or parts[1] is None:
        return None if _equal(one, other) else ("", f"was {_short(one)} and is {_short(other)}")
    for path, mine in parts[0].items():
        if path not in parts[1]:
            return path, f"was {_short(mine)} and is not there"
        if (found := _within(mine, parts[1][path], depth + 1)) is not None:
            return path + found[0], found[1]
    added = next((path for path in parts[1] if path not in parts[0]), None)
    return None if added is None else (added, f"is {_short(parts[1][added])} and was not there")


def _parts(value: Any) -> dict[str, Any] | None:
    """What a value consists of, by the path to it; None for what has no parts."""
    kind = type(value)
    if kind is dict:
        return {f"[{key!r}]": each for key, each in value.items()}
    if kind in (list, tuple):
        return {f"[{index}]": each for index, each in enumerate(value)}
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        if getattr(value, "ndim", 0) == 0 or not hasattr(value, "ravel"):
            return None
        from numpy import unravel_index

        flat = value.ravel()
        if len(flat) > 1_000_000:
            return None
        return {f"{list(map(int, unravel_index(at, value.shape)))}": each for at, each in enumerate(flat.tolist())}
    if hasattr(value, "columns") and hasattr(value, "__getitem__"):  # a table
        return {f"[{name!r}]": value[name] for name in value.columns}
    if hasattr(kind, "_fields"):
        return {f".{name}": getattr(value, name) for name in kind._fields}
    own = getattr(value, "__dict__", None)
    return {f".{name}": each for name, each in own.items()} if type(own) is dict and own else None


def _equal(one: Any, other: Any) -> bool:
    from .errors import UnkeyableError
    from .fingerprint import encoding

    try:
        return encoding(one) == encoding(other)
    except UnkeyableError:
        try:
            return bool(one == other)
        except Exception:  # an __eq__ that raises, or gives what has no truth
            return True


def _drop(runner: Runner, call: Call) -> None:
    cache = runner.cache()
    opened = cache.ready()
    if opened is None:
        return
    try:
        mark = opened.words.word(call.scope)
        opened.touch(call.scope)
        opened.storage.write(call.key, (), bytes, size=0, mark=mark)
        opened.touch(call.scope)  # fronts look again
    except Exception as error:
        cache.trouble("delete", error, call=call)


def _tell(runner: Runner, text: str) -> None:
    events.warn_once(f"{runner.name}:spot check", f"spot check: {text}")


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _LONG else text[: _LONG - 1] + "…"
