"""memo: ``@persist`` stores what a function returned, on disk, and gives it back for equal arguments.

The face: every public name once, sorted. Each is loaded when it is first used, so that ``import memo`` costs next to
nothing in a program that may never call a persisted function.
"""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._cache import Cache as Cache
    from ._dependencies import Env as Env
    from ._dependencies import Package as Package
    from ._dependencies import Value as Value
    from ._persist import persist as persist
    from ._reference import Reference as Reference
    from .errors import CostlyCacheWarning as CostlyCacheWarning
    from .errors import DamagedError as DamagedError
    from .errors import MemoError as MemoError
    from .errors import MemoWarning as MemoWarning
    from .errors import NotCachedError as NotCachedError
    from .errors import OptionError as OptionError
    from .errors import PlaceError as PlaceError
    from .errors import UnkeyableError as UnkeyableError
    from .errors import UnstorableError as UnstorableError
    from .events import on_event as on_event
    from .fingerprint import File as File
    from .fingerprint import HashBy as HashBy
    from .fingerprint import NoHash as NoHash
    from .fingerprint import hasher as hasher
    from .model import Event as Event
    from .policies import Depends as Depends
    from .policies import Exceptions as Exceptions
    from .policies import Forever as Forever
    from .policies import IdleTtl as IdleTtl
    from .policies import SlowerThan as SlowerThan
    from .policies import StoreIf as StoreIf
    from .policies import Tags as Tags
    from .policies import Ttl as Ttl
    from .policies import Validate as Validate
    from .policies import Version as Version
    from .policies import all_of as all_of
    from .policies import any_of as any_of
    from .protocols import AsyncPersisted as AsyncPersisted
    from .protocols import CacheInfo as CacheInfo
    from .protocols import Persisted as Persisted
    from .settings import mode as mode

_HOMES = {
    "AsyncPersisted": "protocols",
    "Cache": "_cache",
    "CacheInfo": "protocols",
    "CostlyCacheWarning": "errors",
    "DamagedError": "errors",
    "Depends": "policies",
    "Env": "_dependencies",
    "Event": "model",
    "Exceptions": "policies",
    "File": "fingerprint",
    "Forever": "policies",
    "HashBy": "fingerprint",
    "IdleTtl": "policies",
    "MemoError": "errors",
    "MemoWarning": "errors",
    "NoHash": "fingerprint",
    "NotCachedError": "errors",
    "OptionError": "errors",
    "Package": "_dependencies",
    "Persisted": "protocols",
    "PlaceError": "errors",
    "SlowerThan": "policies",
    "StoreIf": "policies",
    "Tags": "policies",
    "Reference": "_reference",
    "Ttl": "policies",
    "UnkeyableError": "errors",
    "UnstorableError": "errors",
    "Validate": "policies",
    "Value": "_dependencies",
    "Version": "policies",
    "all_of": "policies",
    "any_of": "policies",
    "hasher": "fingerprint",
    "mode": "settings",
    "on_event": "events",
    "persist": "_persist",
}
_MODULES = (
    "codecs",
    "errors",
    "events",
    "flags",
    "policies",
    "protocols",
    "serializers",
    "settings",
    "storages",
    "testing",
)

__all__ = sorted(_HOMES)


def load_ipython_extension(shell: object) -> None:
    """``%load_ext memo`` in IPython and Jupyter calls this."""
    from ._ipython import load

    load(shell)


def __getattr__(name: str) -> object:
    from importlib import import_module

    home = _HOMES.get(name)
    if home is not None:
        value = globals()[name] = getattr(import_module(f"memo.{home}"), name)
        return value
    if name in _MODULES:
        return import_module(f"memo.{name}")
    raise AttributeError(f"module 'memo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
