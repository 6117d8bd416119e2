"""Policies made of policies, by functions and not by operators.

The stamp is a tag, the number of children, and each child's stamp behind its length (u16, big-endian; 0xffff: this one
would not have stored it). A stamp of another shape was made by other policies, so it reads as stale. Where all must hold
and none remembers anything the stamp is empty: such options may come and go without recomputing what is stored.
"""

from __future__ import annotations

from math import inf

from memo.errors import OptionError
from memo.model import Fresh, Stale

from ._age import Forever
from ._common import is_policy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from memo.model import Call, Head
    from memo.protocols import Policy

_DECLINED = 0xFFFF


def all_of(*policies: Policy) -> Policy:
    """Good while all of them say so, stored only if all of them would. The first one ranks.

    >>> from memo.policies import Ttl, Version
    >>> all_of(Ttl("1h"), Version("2"))
    all_of(Ttl(3600), Version('2'))
    """
    return _combined(True, policies)


def any_of(*policies: Policy) -> Policy:
    """Good while at least one of them says so, stored if at least one of them would. The first one ranks."""
    return _combined(False, policies)


class _Combined:
    def __init__(self, every: bool, policies: tuple[Policy, ...]) -> None:
        self.every, self.policies = every, policies
        self.tag = b"all" if every else b"any"
        shortest = min((getattr(one, "good_for", inf) for one in policies), default=inf)
        #: seconds after which none is good any more
        self.good_for = shortest if every else inf
        #: the shortest: uses are noticed often enough for each
        self.idle = min((idle for one in policies if (idle := getattr(one, "idle", 0.0))), default=0.0)
        if any(getattr(one, "around", None) for one in policies):
            self.around = self._around

    def __repr__(self) -> str:
        return f"{self.tag.decode()}_of({', '.join(map(repr, self.policies))})"

    def at(self, words: Any) -> Policy:
        return _Combined(self.every, tuple(placed(one, words) for one in self.policies))

    def begin(self, call: Call, /) -> list[Any]:
        return [policy.begin(call) for policy in self.policies]

    def _around(self, token: list[Any], function: Any, /) -> Any:
        for policy, one in zip(self.policies, token, strict=True):
            if (around := getattr(policy, "around", None)) is not None:
                function = around(one, function)
        return function

    def seal(self, token: list[Any], outcome: Any, /) -> bytes | None:
        stamps = [policy.seal(one, outcome) for policy, one in zip(self.policies, token, strict=True)]
        wanted = [stamp is not None for stamp in stamps]
        if not (all(wanted) if self.every else any(wanted)):
            return None
        return b"" if self.every and not any(stamps) else _joined(self.tag, stamps)

    def fresh(self, stamp: bytes, head: Head, call: Call, now: float, /) -> Fresh | Stale:
        stamps = [b""] * len(self.policies) if self.every and not stamp else _split(self.tag, stamp)
        if stamps is None or len(stamps) != len(self.policies):
            return Stale("stored under other policies")
        good, bad = [], []
        for policy, one in zip(self.policies, stamps, strict=True):
            verdict = Stale(f"not stored for {policy!r}") if one is None else policy.fresh(one, head, call, now)
            if isinstance(verdict, Fresh):
                good.append(verdict.until)
            elif self.every:
                return verdict
            else:
                bad.append(verdict.why)
        if not good:
            return Stale("; ".join(bad))
        return Fresh(min(good) if self.every else max(good))

    def rank(self, head: Head, uses: int, /) -> float:
        return self.policies[0].rank(head, uses)


def placed(policy: Policy, words: Any) -> Policy:
    """The policy over the words of a place, where it has to do with words."""
    at = getattr(policy, "at", None)
    return policy if at is None else at(words)


def _combined(every: bool, policies: tuple[Policy, ...]) -> Policy:
    for policy in policies:
        if not is_policy(policy):
            what = f"the class {policy.__name__}" if isinstance(policy, type) else repr(policy)
            name = "all_of" if every else "any_of"
            raise OptionError(f"{name} takes policies (Ttl('1h'), Version('2'), ...); got {what}")
    if len(policies) < 2:
        return policies[0] if policies else Forever()
    return _Combined(every, policies)


def _joined(tag: bytes, stamps: list[bytes | None]) -> bytes:
    parts = [tag, len(stamps).to_bytes(2)]
    for stamp in stamps:
        parts += (_DECLINED.to_bytes(2),) if stamp is None else (len(stamp).to_bytes(2), stamp)
    return b"".join(parts)


def _split(tag: bytes, stamp: bytes) -> list[bytes | None] | None:
    """The children's stamps; None if ``stamp`` is not what ``_joined`` makes."""
    if not stamp.startswith(tag) or len(stamp) < len(tag) + 2:
        return None
    at, stamps = len(tag), list[bytes | None]()
    count = int.from_bytes(stamp[at : at + 2])
    at += 2
    for _ in range(count):
        length = int.from_bytes(stamp[at : at + 2])
        at += 2
        stamps.append(None if length == _DECLINED else stamp[at : at + length])
        at += 0 if length == _DECLINED else length
    return stamps if at == len(stamp) else None
