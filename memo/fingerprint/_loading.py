"""The moment at which a module has been loaded, which is when what it holds is what loading gives.

Whoever imports it later, and whatever is done to it then: a finder in front of the others hands on their answer and has the
loader say when it is done. It is there only while such modules are awaited.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_awaited: set[str] = set()


def await_loading(module: str) -> None:
    _awaited.add(module)
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)


class _Finder:
    """Of the import system (``importlib.abc.MetaPathFinder``)."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in _awaited:
            return None
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find is not None and finder is not self else None
            if spec is not None:
                _listen(spec)
                return spec
        return None


_FINDER: Any = _Finder()


def _listen(spec: Any) -> None:
    loader = spec.loader
    execute: Callable[[Any], None] | None = getattr(loader, "exec_module", None)

    def exec_module(module: Any) -> None:
        try:
            del loader.exec_module
        except AttributeError:
            pass
        before = set(sys.modules) - {spec.name}
        execute(module)  # type: ignore[misc]
        _loaded(spec.name, set(sys.modules) - before)

    if execute is not None:
        try:
            loader.exec_module = exec_module
        except (AttributeError, TypeError):  # a loader that takes no attributes: then it is first seen later
            pass


def _loaded(module: str, fresh: set[str]) -> None:
    """``fresh``: all that came with it."""
    _awaited.discard(module)
    if not _awaited and _FINDER in sys.meta_path:
        sys.meta_path.remove(_FINDER)
    try:
        from ._code import digest_of, see
        from ._loaded import note

        note(fresh, digest_of, see)
    except Exception:  # an import is not ours to break: what can't be read now is first seen later
        pass
