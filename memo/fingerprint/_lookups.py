"""Names that are looked up at run time, and modules imported then: coarse, so that nothing is missed.

``eval``, ``globals()``, ``sys.modules`` and the like widen to the function's whole module; a module that is imported by
name counts as a whole.
"""

from __future__ import annotations

import sys
from types import FunctionType, ModuleType

from ._loaded import sights
from ._modules import Expected, imported
from ._project import distribution_of_file
from ._tree import LOOKUPS, Chain, Piece

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._walk import Walk

_EVALUATE = frozenset({"eval", "exec", "compile"})
_OWN_NAMES = frozenset({"eval", "exec", "globals", "__import__"})


def builtin(walk: Walk, function: FunctionType, name: str, found: Piece) -> None:
    if name not in _OWN_NAMES:
        return
    shown = f"{name} in {function.__module__}.{function.__qualname__}"
    if name == "__import__":
        import_by_name(walk, function, found, name)
    elif name in _EVALUATE:
        walk.follows["not followed"][shown] = None
    walk.tokens.append(f"module {own_module(walk, function)}")


def is_lookup(value: object) -> bool:
    """``from importlib import import_module``, under whatever name."""
    return type(value) is FunctionType and value.__name__ in LOOKUPS and value.__module__ == "importlib"


def library(walk: Walk, function: FunctionType, module: ModuleType, rest: Chain, found: Piece) -> None:
    shown = f"{function.__module__}.{function.__qualname__}"
    if module.__name__ == "importlib" and rest[0] == "import_module":
        import_by_name(walk, function, found, rest[0])
    elif module.__name__ == "sys" and rest[0] in ("modules", "_getframe"):
        walk.follows["not followed"][f"sys.{rest[0]} in {shown}"] = None
        walk.tokens.append(f"module {own_module(walk, function)}")
    _patched(walk, module, rest)


def _patched(walk: Walk, module: ModuleType, rest: Chain) -> None:
    """Code of the project that was put into a library counts where the library is used by that name."""
    value: object = module
    for attribute in rest:
        inside = getattr(value, "__dict__", {})
        if not isinstance(value, ModuleType) or attribute not in inside:
            return
        value = inside[attribute]
        if type(value) is FunctionType and "__wrapped__" not in value.__dict__:
            ours = value.__module__ != module.__name__ and walk.is_project(value.__globals__)
        else:
            ours = isinstance(value, type) and not isinstance(value, ModuleType) and walk.is_project_class(value)
        if ours:
            shown = f"{inside.get('__name__')}.{attribute}"
            walk.watch.name(inside, attribute, value)
            walk.tokens.append(f"patched {shown} {walk.edge(value, shown, shown, True)}")


def import_by_name(walk: Walk, function: FunctionType, found: Piece, read: str) -> None:
    """``read`` is what the look-up is called there."""
    shown = f"{read} in {function.__module__}.{function.__qualname__}"
    names = sorted(name for called, name in found.named if called == read)
    if not names:
        walk.follows["not followed"][shown] = None
        walk.tokens.append(f"module {own_module(walk, function)}")
    for name in names:
        level = len(name) - len(name.lstrip("."))
        follow_import(walk, function, level, name[level:], frozenset({()}), found)


def own_module(walk: Walk, function: FunctionType) -> str:
    module = sys.modules.get(function.__globals__.get("__name__", ""))
    if module is None or vars(module) is not function.__globals__:
        return "none"
    return walk.node(module)


def follow_import(
    walk: Walk, function: FunctionType, level: int, module: str, used: frozenset[Chain], piece: Piece
) -> None:
    """A module imported while the function runs: by its file, so that it does not matter whether it is loaded."""
    if not level and module in ("importlib", "sys"):  # looked up by name through a module that is imported here
        for chain in sorted(used - {()}):
            library(walk, function, sys.modules[module], chain, piece)
    found = imported(function.__globals__, level, module, used, walk.home)
    for path in sorted(found.packages):
        installed = distribution_of_file(path)
        if installed is not None:
            walk.packages[installed.name] = installed.version
    for name in found.names:
        walk.follows["code"][name] = None
    walk.follows["not followed"].update(dict.fromkeys(found.missing))
    walk.tokens.append(f"import {found.digest.hex()}")
    if found.names:
        walk.sights.extend(sights(function.__globals__, level, module, used, walk.home))
    if found.expected:
        expected = Expected(found.expected)
        for target, name, inside, value in expected.deviating():
            walk.watch.name(inside, name, value)
            expected.accepted[target, name] = value
            token = walk.edge(value, f"{target}.{name}", f"{target}.{name}", True)
            walk.tokens.append(f"instead {target}.{name} {token}")
        walk.watch.more.append(expected.check)
