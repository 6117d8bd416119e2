"""Names that are looked up at run time, and modules imported then: coarse, so that nothing is missed.

``eval``, ``globals()``, ``sys.modules`` and the like widen to the function's whole module; a module that is imported by
name counts as a whole.
"""

from __future__ import annotations

import sys
from types import FunctionType, ModuleType

from ._modules import Expected, imported
from ._project import distribution_of_file
from ._tree import Chain, Piece

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._walk import Walk

_EVALUATE = frozenset({"eval", "exec", "compile"})
_OWN_NAMES = frozenset({"eval", "exec", "globals", "vars", "__import__"})


def builtin(walk: Walk, function: FunctionType, name: str, found: Piece) -> None:
    if name not in _OWN_NAMES:
        return
    shown = f"{name} in {function.__module__}.{function.__qualname__}"
    if name == "__import__":
        _named_modules(walk, function, found, shown)
    elif name in _EVALUATE:
        walk.follows["not followed"][shown] = None
    walk.tokens.append(f"module {own_module(walk, function)}")


def library(walk: Walk, function: FunctionType, module: ModuleType, rest: Chain, found: Piece) -> None:
    shown = f"{function.__module__}.{function.__qualname__}"
    if module.__name__ == "importlib" and rest[0] == "import_module":
        _named_modules(walk, function, found, f"importlib.import_module in {shown}")
    elif module.__name__ == "sys" and rest[0] in ("modules", "_getframe"):
        walk.follows["not followed"][f"sys.{rest[0]} in {shown}"] = None
        walk.tokens.append(f"module {own_module(walk, function)}")


def _named_modules(walk: Walk, function: FunctionType, found: Piece, shown: str) -> None:
    if not found.named:
        walk.follows["not followed"][shown] = None
        walk.tokens.append(f"module {own_module(walk, function)}")
    for name in sorted(found.named):
        follow_import(walk, function, 0, name, frozenset({()}))


def own_module(walk: Walk, function: FunctionType) -> str:
    module = sys.modules.get(function.__globals__.get("__name__", ""))
    if module is None or vars(module) is not function.__globals__:
        return "none"
    return walk.node(module)


def follow_import(walk: Walk, function: FunctionType, level: int, module: str, used: frozenset[Chain]) -> None:
    """A module imported while the function runs: by its file, so that it does not matter whether it is loaded."""
    found = imported(function.__globals__, level, module, used, walk.home)
    for path in sorted(found.packages):
        installed = distribution_of_file(path)
        if installed is not None:
            walk.packages[installed.name] = installed.version
    for name in found.names:
        walk.follows["code"][name] = None
    walk.follows["not followed"].update(dict.fromkeys(found.missing))
    walk.tokens.append(f"import {found.digest.hex()}")
    if found.expected:
        expected = Expected(found.expected)
        for target, name, inside, value in expected.deviating():
            walk.watch.name(inside, name, value)
            expected.accepted[target, name] = value
            token = walk.edge(value, f"{target}.{name}", f"{target}.{name}", True)
            walk.tokens.append(f"instead {target}.{name} {token}")
        walk.watch.more.append(expected.check)
