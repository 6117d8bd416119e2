"""Names the function, and makes the Call with its key.

The key is ``scope/version/arguments``. Scope is the function's name made safe (a slug for people, a digest so that no
two functions share it), version is the code version, arguments is the digest of the captured data and the encoded
arguments. No path, time, host or generation is in it, so that a cache can be moved and shared.
"""

from __future__ import annotations

import sys
from types import FunctionType

from .model import Call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SLUG = 48  # characters; with the digest a scope stays below the 64 that a component may have
_ARGUMENTS = 20  # bytes of the digest


def full_name(function: FunctionType) -> str:
    """Module and qualified name; ``__main__`` by the name it would be imported under, so that ``-m`` and scripts agree.

    In a notebook or at a prompt the qualified name alone: there is no module that another run could import.
    """
    module = function.__module__
    if module in ("__main__", "__mp_main__"):
        module = main_name()
    return f"{module}.{function.__qualname__}" if module else function.__qualname__


def main_name() -> str:
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name != "__main__":
        return str(spec.name)
    file = getattr(main, "__file__", None)
    if not file or getattr(main, "__name__", "") == "__mp_main__":
        # a spawned worker runs the script under __mp_main__, its file is found there
        file = getattr(sys.modules.get("__mp_main__"), "__file__", None) or file
    if not file or file.startswith("<"):  # a prompt, a notebook, a pipe
        return ""
    stem = str(file).replace("\\", "/").rpartition("/")[2]
    return stem.removesuffix(".py")


def scope_of(name: str) -> str:
    """The component under which all results of the function of this full name lie.

    >>> scope_of("shop.Cart.total")
    'shop.cart.total-46c0661fd7'
    """
    from blake3 import blake3

    slug = "".join(c if c in "abcdefghijklmnopqrstuvwxyz0123456789._-" else "-" for c in name.lower())
    slug = slug[-_SLUG:].lstrip("._-") or "f"  # a name's end tells more than its beginning
    return f"{slug}-{blake3(name.encode('utf-8', 'surrogatepass')).hexdigest(5)}"


_blake3: Any = None
_new = tuple.__new__


def make_call(
    name: str, prefix: str, captures: bytes, encoded: bytes, parameters: tuple[str, ...], values: tuple[Any, ...]
) -> Call:
    """``prefix`` is ``scope/version/``; ``encoded`` the canonical bytes of the arguments that count."""
    global _blake3
    if _blake3 is None:  # bound once: this is on the way of every first touch
        from blake3 import blake3 as _blake3
    digest = _blake3(captures + encoded).digest(_ARGUMENTS).hex()  # faster than its hexdigest()
    return _new(Call, (name, prefix + digest, parameters, values))
