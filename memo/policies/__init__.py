"""The socket of policies: what to remember of a call, whether an entry is still good, which entries go first.

The contract is ``memo.protocols.Policy``; a policy is any object with these four methods. Stamps are bytes, time is
handed in, and an entry sealed by another policy is stale, never an error.
"""

from __future__ import annotations

from ._age import Forever, Ttl
from ._combined import all_of, any_of
from ._common import lru, misplaced
from ._version import Version

__all__ = ["Forever", "Ttl", "Version", "all_of", "any_of", "lru", "misplaced"]
