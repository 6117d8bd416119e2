"""Finding the cause: the nearest of what was stored, and the one thing that sets it apart.

Nearest is, in this order: the same arguments under other code or other captured data; the same code with fewest other
arguments, and of these the one with fewest other values inside; the latest. Whatever is cleared is no neighbour.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from memo._tuples import NamedTuple
from memo._units import show_seconds

from ._kept import Seen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_CLOSE = 100  #: candidates whose values are compared one by one
_DIFF = 400  #: lines
_UNKNOWN = "00000000"


class Why(NamedTuple):
    """Why a call computes, or did. ``str()`` is for people, ``as_dict()`` for JSON."""

    function: str
    #: "hit", "never seen", "renamed", "argument", "parameters", "constant", "code", "package", "version", "option",
    #: "expired", "clock", "policy", "cleared", "deleted", "evicted", "not stored", "damaged", "serializer", "load",
    #: "mode", "off", "unkeyable" or "storage"
    cause: str
    text: str  #: one or more sentences; the first line says it all
    path: str | None = None  #: what differs: ``cfg["lr"]``, a function, a constant, a package, an option
    before: str | None = None  #: its value when the nearest result was stored, as far as known
    after: str | None = None  #: its value now
    diff: str | None = None  #: unified, of the code that changed
    stored: float | None = None  #: when the nearest result was stored, in seconds since the epoch
    seconds: float | None = None  #: what computing it took
    key: str | None = None

    @property
    def line(self) -> str:
        """The cause in one line, for a log."""
        return self.text.partition("\n")[0]

    def as_dict(self) -> dict[str, Any]:
        return self._asdict()

    def __str__(self) -> str:
        return f"{self.text}\n{self.diff}" if self.diff else self.text


class Part(NamedTuple):
    """One difference."""

    cause: str
    text: str
    path: str | None
    before: str | None = None
    after: str | None = None
    diff: str | None = None


def moment(when: float) -> str:
    """A time for people: local, to the second.

    >>> len(moment(0.0))
    19
    """
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))


def kind_of(why: str) -> str:
    """The short kind of what the engine or a policy said in words; "" for an absence, whose cause has to be found."""
    for begin, kind in (
        ("never seen", ""), ("cleared", "cleared"), ("deleted", "deleted"), ("damaged", "damaged"),
        ("mode ", "mode"), ("expired", "expired"), ("version ", "version"), ("could not be loaded", "load"),
        ("stored by", "serializer"),
    ):  # fmt: skip
        if why.startswith(begin):
            return kind
    if "in the future" in why:
        return "clock"
    if why.startswith(("stored under", "not stored for", "policy")):
        return "policy"
    if "can't be used" in why or "is off" in why:
        return "off"
    return "storage"


def cause(
    function: str,
    target: Seen,
    mark: int,
    earlier: list[Seen],
    captures: dict[str, dict[str, str]],
    version: Callable[[str], dict[str, Any]],
) -> Why:
    """Why ``target`` found nothing, where there was nothing under its name: compared with ``earlier`` calls."""
    same = [one for one in earlier if (one.version, one.arguments) == (target.version, target.arguments)]
    if same:
        last = same[-1]
        when = moment(last.when)
        if last.mark != mark:
            return Why(function, "cleared", f"cleared: it was stored at {when}, and cleared since", stored=last.when)
        if last.stored:
            text = (
                f"evicted: it was stored at {when} and has been removed since, by a limit or by clearing by age or size"
            )
            return Why(function, "evicted", text, stored=last.when)
        text = f"not stored: it was computed at {when}, but its result was not kept (the warning or policy says why)"
        return Why(function, "not stored", text)
    found = nearest(target, mark, earlier)
    if found is None:
        if any(one.stored for one in earlier):
            text = "never seen: all that was stored for this function has been cleared"
            return Why(function, "never seen", text)
        return Why(function, "never seen", "never seen: nothing was stored for this function")
    parts = differences(target, found, captures, version)
    first = parts[0]
    text = "; ".join(part.text for part in parts[:4])
    if len(parts) > 4:
        text += f"; and {len(parts) - 4} more"
    diff = "\n".join(part.diff for part in parts if part.diff)
    text += f"\ncompared with the nearest call that was stored, of {moment(found.when)}"
    return Why(function, *first[:1], text, *first[2:5], diff or None, found.when)


def nearest(target: Seen, mark: int, earlier: list[Seen]) -> Seen | None:
    candidates = [one for one in earlier if one.mark == mark and one.stored]
    if not candidates:
        return None

    def rank(one: Seen) -> tuple[bool, bool, int, bool]:
        others = len(_others(target, one))
        if one.captures != target.captures and one.version == target.version:
            return others > 0, False, others + 1, not one.shown
        return others > 0, one.version != target.version, others, not one.shown

    ranks = [rank(one) for one in candidates]
    best = min(ranks)
    close = [one for one, each in zip(candidates, ranks, strict=True) if each == best][-_CLOSE:]
    # the latest of those with fewest other values; min() takes the first
    return min(reversed(close), key=lambda one: len(_changed(target.shown, one.shown)))


def _others(target: Seen, one: Seen) -> list[str]:
    """The parameters that differ, or that may: an unknown one is only named when nothing else is known to differ."""
    if one.names != target.names:
        return [name for name in (*target.names, *one.names) if (name in target.names) != (name in one.names)] or [
            "order"
        ]
    known: list[str] = []
    unknown: list[str] = []
    for index, name in enumerate(target.names):
        here, there = target.notes[8 * index : 8 * index + 8], one.notes[8 * index : 8 * index + 8]
        if _UNKNOWN in (here, there):
            seen = name in target.shown and name in one.shown
            differs = seen and any(_belongs(path, name) for path in _changed(target.shown, one.shown))
            (known if differs else unknown).append(name)
        elif here != there:
            known.append(name)
    if not known and one.version == target.version and one.captures == target.captures:
        return unknown or list(target.names)
    return known


def _changed(now: dict[str, str], then: dict[str, str]) -> list[str]:
    return [path for path in {**now, **then} if now.get(path) != then.get(path)]


# ------------------------------------------------------------------------------------------------- what is different


def differences(
    target: Seen, found: Seen, captures: dict[str, dict[str, str]], version: Callable[[str], dict[str, Any]]
) -> list[Part]:
    """The most telling first; never empty."""
    parts = []
    if target.version != found.version:
        parts += of_versions(version(found.version), version(target.version))
    if target.names == found.names and target.captures != found.captures:
        parts += _of_data(captures.get(found.captures), captures.get(target.captures))
    if target.names != found.names:
        if not parts:
            parts.append(_of_parameters(target.names, found.names))
        return parts
    others = _others(target, found)
    return parts + [part for name in others for part in _of_argument(name, target, found, len(others))]


def _of_parameters(now: tuple[str, ...], then: tuple[str, ...]) -> Part:
    before, after = ", ".join(then) or "none", ", ".join(now) or "none"
    different = [name for name in (*now, *then) if (name in now) != (name in then)]
    text = f"parameters: other ones count (ignore=, key=): {before} -> {after}"
    return Part("parameters", text, different[0] if different else None, before, after)


def _of_argument(name: str, target: Seen, found: Seen, of: int) -> list[Part]:
    then = {path: text for path, text in found.shown.items() if _belongs(path, name)}
    now = {path: text for path, text in target.shown.items() if _belongs(path, name)}
    if not then:
        value = now.get(name)
        return [
            Part("argument", f"argument {name}: another value{f', now {value}' if value else ''}", name, None, value)
        ]
    changed = _changed(now, then)
    # what is inside tells more than the label around it
    inner = [path for path in changed if not any(other != path and _belongs(other, path) for other in changed)]
    parts = [_leaf("argument", path, then.get(path), now.get(path)) for path in inner]
    if parts:
        return parts
    at = 8 * target.names.index(name)
    if of > 1 and _UNKNOWN in (target.notes[at : at + 8], found.notes[at : at + 8]):
        return [
            Part(
                "argument", f"argument {name}: may have changed ({now.get(name)})", name, then.get(name), now.get(name)
            )
        ]
    text = f"argument {name}: other content, beyond what is kept of it ({now.get(name)})"
    return [Part("argument", text, name, then.get(name), now.get(name))]


def _leaf(cause: str, path: str, before: str | None, after: str | None) -> Part:
    if before is None:
        return Part(cause, f"{cause} {path} added: {after}", path, None, after)
    if after is None:
        return Part(cause, f"{cause} {path} gone: was {before}", path, before, None)
    return Part(cause, f"{cause} {path} {before} -> {after}", path, before, after)


def _belongs(path: str, name: str) -> bool:
    return path == name or (path.startswith(name) and path[len(name)] in ".[")


def _of_data(then: dict[str, str] | None, now: dict[str, str] | None) -> list[Part]:
    changed = _changed(now, then) if now is not None and then is not None else []
    if now is None or then is None or not changed:
        text = "constant: data that the code reads from outside its arguments changed"
        return [Part("constant", text + ("" if changed else ", beyond what is kept of it"), None)]
    inner = [path for path in changed if not any(other != path and _belongs(other, path) for other in changed)]
    return [_leaf("constant", path, then.get(path), now.get(path)) for path in inner]


def of_versions(then: dict[str, Any], now: dict[str, Any]) -> list[Part]:
    """What sets two code versions apart. Never empty."""
    if not then or not now:
        return [Part("code", "code: it changed; the text of the other version is not kept", None)]
    parts = []
    for option in ("version", "code", "packages"):
        before, after = then["options"].get(option), now["options"].get(option)
        if before != after:
            cause = "version" if option == "version" else "option"
            text = f"{cause}: {option}= {before!r} -> {after!r}"
            parts.append(Part(cause, text, option, _or_none(before), _or_none(after)))
    parts += _of_texts(then["texts"], now["texts"])
    for name in {**then["packages"], **now["packages"]}:
        before, after = then["packages"].get(name), now["packages"].get(name)
        if before != after:
            text = f"package {name} {before or 'not used'} -> {after or 'not used'}"
            parts.append(Part("package", text, name, before, after))
    if parts:
        return parts
    for kind in ("code", "by type", "not followed"):
        old, new = then["follows"].get(kind, []), now["follows"].get(kind, [])
        gone, added = [one for one in old if one not in new], [one for one in new if one not in old]
        if gone or added:
            before, after = gone[0] if gone else None, added[0] if added else None
            text = f"code: what it reaches changed: {before or 'nothing'} -> {after or 'nothing'}"
            return [Part("code", text, after or before, before, after)]
    if then["python"] != now["python"]:
        text = f"code: there is no source, only bytecode, and that is Python's own: {then['python']} -> {now['python']}"
        return [Part("code", text, "python", then["python"], now["python"])]
    return [Part("code", "code: a class changed, or what a name stands for; no text of that is kept", None)]


def _of_texts(then: dict[str, str], now: dict[str, str]) -> list[Part]:
    changed = [name for name in now if name in then and now[name] != then[name]]
    added = [name for name in now if name not in then]
    gone = [name for name in then if name not in now]
    parts = [Part("code", f"code of {name} changed", name, diff=diff(name, then[name], now[name])) for name in changed]
    parts += [Part("code", f"code now runs {name}", name, diff=diff(name, "", now[name])) for name in added]
    parts += [Part("code", f"code no longer runs {name}", name, diff=diff(name, then[name], "")) for name in gone]
    return parts


def diff(name: str, before: str, after: str) -> str:
    from difflib import unified_diff

    lines = list(
        unified_diff(before.splitlines(), after.splitlines(), f"{name} (stored)", f"{name} (now)", lineterm="")
    )
    if len(lines) > _DIFF:
        lines[_DIFF:] = [f"... {len(lines) - _DIFF} more lines"]
    return "\n".join(lines)


def _or_none(value: Any) -> str | None:
    return None if value is None else str(value)


def expiry(why: str, stored: float, now: float) -> str:
    """When it expired, from the policy's own words; the policy alone knows."""
    from memo._units import seconds

    try:
        return moment(now - seconds(why.removeprefix("expired ").partition(" ago")[0]))
    except Exception:
        return f"{show_seconds(now - stored)} after it was stored"
