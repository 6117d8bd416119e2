"""Options that exclude each other, said at decoration: one would do nothing, or break what the other promises.

The decision: a mode and ``location=None`` contradict nothing that only does less under them, since both are often set from
outside, for a run, around a decoration that stays as it is.
"""

from __future__ import annotations

from math import inf

from ._units import show_seconds
from .errors import OptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._cache import Cache

#: what can make a result old, which is what is served late
_AGE = ("ttl", "idle_ttl", "validate", "depends", "tags", "policy", "cache_exceptions")


def of_persist(given: dict[str, Any], cache: Cache) -> None:
    """OptionError for options of one function that contradict each other. ``given``: those that were, by name."""
    from .policies import Forever

    given = {name: value for name, value in given.items() if value is not None}
    for late in ("stale_while_revalidate", "stale_if_error"):
        if late in given and type(cache.policy) is Forever and not any(name in given for name in _AGE):
            raise OptionError(
                f"{late}= serves results for a while after they expired, but nothing says when these expire: add ttl=,"
                f" idle_ttl=, validate= or depends=, or leave {late}= out"
            )
    if "idle_ttl" in given and "ttl" in given:
        from .policies import IdleTtl, Ttl

        ttl, idle = Ttl(given["ttl"]).seconds, IdleTtl(given["idle_ttl"]).idle
        if idle >= ttl and ttl != inf:
            raise OptionError(
                f"idle_ttl={show_seconds(idle)} never counts beside ttl={show_seconds(ttl)}, since results are too old before"
                f" they could lie unused for so long: make idle_ttl shorter, or leave it out"
            )
    if given.get("code") == "off" and "packages" in given:
        raise OptionError(
            f"packages={given['packages']!r} says how versions of packages count that the followed code uses, but code='off'"
            f" follows none: leave packages= out, put the versions into version=, or name them in depends=[Package(...)]"
        )
    if given.get("mode") == "only-cached" and cache.location is None:
        raise OptionError(
            "mode='only-cached' never computes and location=None never stores, so every call would raise NotCachedError:"
            " name a location, or take another mode"
        )


def of_generator(name: str, policy: Any) -> None:
    """OptionError for what asks for a generator's result, which is nothing that could be handed over."""
    from .policies import StoreIf, Tags, Ttl

    for one in getattr(policy, "policies", (policy,)):
        if isinstance(one, StoreIf):
            option = "store_if="
        elif isinstance(one, Tags) and callable(one.tags):
            option = "tags= as a function of the result"
        elif isinstance(one, Ttl) and one.of is not None:
            option = "ttl= as a function of the result"
        else:
            continue
        raise OptionError(
            f"{option} is not for generators: {name}() has no result, what it yields is handed on at once"
        )


def of_cache(*, limited: bool, evict: str, trust: str, trust_folder: bool) -> None:
    """OptionError for options of a Cache that contradict each other."""
    if evict != "lru" and not limited:
        raise OptionError(
            f"evict={evict!r} says which entries go first when room is short, but nothing limits it: add max_size= or"
            f" max_entries=, or leave evict= out"
        )
    if trust == "data" and trust_folder:
        raise OptionError(
            "trust_folder=True loads pickles from a folder that others may write to, trust='data' loads none at all:"
            " leave one of them out"
        )
