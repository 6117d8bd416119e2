"""Suites that every storage, serializer and policy must pass, memo's own and third parties'.

    from memo.testing import StorageSuite

    class TestMine(StorageSuite):
        def make(self, tmp_path):
            return Mine(tmp_path)

``agree(storage)`` gives it a stream of random commands and compares each answer with what is right.

Plain classes with plain asserts; pytest collects them by the name of the subclass and gives ``tmp_path``.
"""

from __future__ import annotations

from typing import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._agreement import agree as agree
    from ._policy import PolicySuite as PolicySuite
    from ._serializer import SerializerSuite as SerializerSuite
    from ._storage import StorageSuite as StorageSuite

__all__ = ["PolicySuite", "SerializerSuite", "StorageSuite", "agree"]

_WHERE = {"PolicySuite": "_policy", "SerializerSuite": "_serializer", "StorageSuite": "_storage", "agree": "_agreement"}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_WHERE[name]}", __name__), name)
