"""Why a call missed: what the engine hands over on a miss, and the answers made from it when somebody asks.

A hit pays nothing. A miss pays for a checksum of each argument and a row in a list; texts of values are made before the
call runs only where the function could change them. Nothing here raises into a call: what fails costs an explanation.
"""

from __future__ import annotations

from binascii import crc32
from marshal import dumps, loads

from ._kept import EVERY, data_of, describe, history, write
from ._shown import leaves, notes, small

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from memo._opened import Opened
    from memo._run import Runner
    from memo._state import State
    from memo.model import Call, Miss

    from ._asked import changes as changes
    from ._asked import misses as misses
    from ._asked import of_version as of_version
    from ._asked import remembered as remembered
    from ._asked import unkeyable as unkeyable
    from ._asked import why as why
    from ._cause import Why as Why
    from ._kept import Seen as Seen

    Looked = tuple[bytes, tuple[str, ...], Any]

__all__ = ["Why", "changes", "line", "look", "misses", "of_version", "remember", "remembered", "unkeyable", "why"]

_NOTHING: Looked = (b"", (), {})
_KEY = ("key",)


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import _asked

    return getattr(_asked, name)


def look(runner: Runner, call: Call, captures: bytes, key: bytes) -> Looked:
    """Before computing: (notes for the head, what the arguments are called, their texts or the encoding that has them).

    ``key`` is the encoding of the arguments that count, or what stands for it when it is long.
    """
    try:
        by_key = runner.options.key
        names = call.parameters if by_key is None or type(by_key) is dict else _KEY
        if key[0] == 40:  # "(": plain values, which are all in there
            values = call.values if by_key is None else loads(key)
            found = [crc32(dumps(value, 2)).to_bytes(4, "little") for value in values]
            shown: Any = key
        elif by_key is None:
            found, shown = small(call.values) or (notes(key, call.values), None)
            if shown is None:
                shown = leaves(names, call.values)
        else:
            found = notes(key, None) or [b"\0\0\0\0"] * len(names)
            # what key= made of the values is not here; those that it leaves alone are
            made = by_key if isinstance(by_key, dict) else call.arguments
            shown = {}
            for name, value in call.arguments.items():
                shown.update({} if name in made else leaves((name,), (value,)))
        if captures:
            found.append(crc32(captures).to_bytes(4, "little"))
        return b"".join(found), names, shown
    except Exception:
        return _NOTHING


def remember(
    runner: Runner, opened: Opened, call: Call, state: State, looked: Looked, why: str, stored: bool, now: float
) -> None:
    """After computing. ``why`` is what the engine said of the miss."""
    try:
        found, names, shown = looked
        kept = opened.histories.get(runner.scope) or history(opened, call.scope, runner.name)
        kept.calls.append((call.key, now, state.mark, stored, why, found, names, shown))
        followed = state.followed
        if stored and followed is not None:
            if followed.version not in kept.versions:
                _keep_version(runner, opened, state)
            checksum = found[4 * len(names) :].hex()
            if checksum and checksum not in kept.captures:
                kept.captures[checksum] = data_of(followed)
                while len(kept.captures) > 64:
                    kept.captures.pop(next(iter(kept.captures)))
        kept.unwritten = True
        if now - kept.written > EVERY:
            if kept.written:
                kept.write(now)
            else:
                kept.written = now  # the first ones wait, so that a short program writes once
    except Exception:
        return


def keep_version(runner: Runner, opened: Opened, state: State) -> None:
    """What its code is, from its first use on: who wants to know what changed need not wait for a result."""
    try:
        if (
            state.followed is not None
            and state.followed.version not in history(opened, runner.scope, runner.name).versions
        ):
            from memo.model import Call

            _keep_version(runner, opened, state)
            opened.name(Call(runner.name, runner.scope, (), ()))
    except Exception:
        return


def _keep_version(runner: Runner, opened: Opened, state: State) -> None:
    """The text of this code version, once: while its source is still what runs."""
    followed = state.followed
    assert followed is not None
    name = state.prefix[:-1]
    kept = history(opened, runner.scope, runner.name)
    kept.versions.add(followed.version)
    if opened.heads.head(name) is None:
        before = kept.before(followed.version)
        made = described(runner, state, before)
        write(opened.storage, name, made)
        if made["packages"] and before:
            from ._asked import warn_of_upgrade

            warn_of_upgrade(runner.name, before, made)


def described(runner: Runner, state: State, before: dict[str, Any]) -> dict[str, Any]:
    assert state.followed is not None
    options = runner.options
    said = {"version": options.version, "code": options.code, "packages": options.packages}
    return describe(runner.name, runner.counted, said, state.followed, before)


def line(runner: Runner, opened: Opened | None, call: Call, miss: Miss) -> str:
    """The cause of a miss in one line, for a log that is listened to; quick, so it knows the last calls only."""
    try:
        if opened is None or miss.why != "never seen":
            return miss.why
        from ._asked import found_nothing
        from ._kept import CALLS

        kept = history(opened, call.scope, runner.name)
        calls = kept.all(CALLS if len(kept.calls) < 20 else 50)
        at = next(
            at
            for at in range(len(calls) - 1, -1, -1)
            if call.key.endswith(calls[at].version + "/" + calls[at].arguments, 0, -24)
        )
        return found_nothing(runner, opened, calls[at], calls[at].mark, calls[:at]).line
    except Exception:
        return miss.why
