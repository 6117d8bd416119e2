"""The options of ``@persist`` that say how long a result is good, and which are kept, as one policy."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .protocols import Policy

#: the options that are policies, in the order in which they are asked: the cheap ones first, and what says most to a person
OPTIONS = (
    "policy", "ttl", "idle_ttl", "cache_exceptions", "store_if_slower_than", "store_if", "tags", "depends", "validate",
)  # fmt: skip


def policy_of(given: dict[str, Any]) -> Policy | None:
    """The policy of these options, those that are None left out; None where there are none.

    Raises OptionError for what can't be right.
    """
    if not given:
        return None
    from . import policies
    from ._cache import checked_policy
    from ._made_from import depends

    make: dict[str, Callable[[Any], Policy]] = {
        "policy": checked_policy,
        "ttl": policies.Ttl,
        "idle_ttl": policies.IdleTtl,
        "cache_exceptions": policies.Exceptions,
        "store_if_slower_than": policies.SlowerThan,
        "store_if": policies.StoreIf,
        "tags": policies.Tags,
        "depends": depends,
        "validate": policies.Validate,
    }
    return policies.all_of(*(make[name](given[name]) for name in OPTIONS if name in given))
