"""Names that are looked up at run time, and modules imported then: coarse, so that nothing is missed.

``eval``, ``globals()``, ``sys.modules`` and the like widen to the function's whole module; a module that is imported by
name counts as a whole.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from types import FunctionType, ModuleType

from ._class import describe
from ._library import read
from ._loaded import sights
from ._modules import Expected, imported, is_module_of
from ._project import distribution_of_file, file_of, is_project
from ._source import piece, source_of
from ._tree import STORED, Chain, Piece, may_be_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._walk import Walk

LOOKUPS = frozenset(
    {
        "import_module",
        "__import__",
        "locate",
        "resolve_name",
        "run_module",
        "import_string",
        "import_object",
        "instantiate",
    }
)  #: functions of libraries that find a module, or what lies in one, by its name
DESCRIBING = {
    **dict.fromkeys(("getsource", "getsourcelines", "getcomments", "findsource", "getblock"), "source"),
    **dict.fromkeys(("getdoc", "render_doc"), "__doc__"),
    **dict.fromkeys(("signature", "getfullargspec", "get_annotations", "get_type_hints"), "__annotations__"),
}  #: functions of libraries that tell what else does not count: texts, docstrings, annotations
_FEW = 100  #: a larger container is no table of modules
_EVALUATE = frozenset({"eval", "exec", "compile"})
_GETTING = frozenset({"getattr", "hasattr"})
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


def describes(walk: Walk, value: object) -> None:
    """``from inspect import getsource``, under whatever name."""
    if type(value) is FunctionType and value.__name__ in DESCRIBING and not is_project(value.__globals__):
        walk.describes.add(DESCRIBING[value.__name__])


def is_lookup(value: object) -> bool:
    """``from importlib import import_module``, under whatever name."""
    return type(value) is FunctionType and value.__name__ in LOOKUPS and not is_project(value.__globals__)


def library(
    walk: Walk, function: FunctionType, module: ModuleType, rest: Chain, found: Piece, late: bool = False
) -> None:
    """A chain of names that leads into a library; ``late``: the module is imported while the function runs."""
    shown = f"{function.__module__}.{function.__qualname__}"
    _looks_up(walk, function, module.__name__, rest, found)
    end = read(walk, module, rest, late)
    if end is not None and not _GETTING.isdisjoint(chain[0] for chain in found.reads if len(chain) == 1):
        names = sorted({name for called, name in found.named if called in _GETTING})
        for name in names:
            read(walk, end, (name,), late)
        if not names:
            walk.follows["not followed"][f"getattr of {end.__name__} in {shown}"] = None


def _looks_up(walk: Walk, function: FunctionType, module: str, rest: Chain, found: Piece) -> None:
    shown = f"{function.__module__}.{function.__qualname__}"
    if rest and rest[-1] in DESCRIBING:
        walk.describes.add(DESCRIBING[rest[-1]])
        walk.follows["not followed"][f"{rest[-1]} of arguments in {shown}"] = None
    if rest and rest[-1] in LOOKUPS:
        import_by_name(walk, function, found, rest[-1])
    elif module == "sys" and rest[:1] in (("modules",), ("_getframe",)):
        walk.follows["not followed"][f"sys.{rest[0]} in {shown}"] = None
        walk.tokens.append(f"module {own_module(walk, function)}")


def described(walk: Walk) -> None:
    """Somewhere it is asked how code is written: of all that is followed this counts too."""
    kinds = sorted(walk.describes)
    for node in walk.nodes:
        if isinstance(node, (FunctionType, type)) and "source" in kinds:
            try:
                from inspect import getsource

                walk.tokens.append(f"source {getsource(node)!a}")
            except (OSError, TypeError):
                walk.follows["not followed"][f"source of {node.__module__}.{node.__qualname__}"] = None
        elif isinstance(node, ModuleType) and "source" in kinds:
            text = source_of(file_of(vars(node)))
            walk.tokens.append(f"source {text and text.text!a}")
        if isinstance(node, (FunctionType, type)):
            walk.tokens += [f"{kind} {description(node, kind)}" for kind in kinds if kind != "source"]
        elif isinstance(node, ModuleType) and "__doc__" in kinds:
            walk.tokens.append(f"__doc__ {node.__doc__!a}")


def description(value: object, kind: str) -> str:
    found = getattr(value, kind, None)
    if kind == "__doc__":
        return ascii(found)
    return ", ".join(f"{name}: {describe(annotation)}" for name, annotation in (found or {}).items())


def modules_named(module: ModuleType, found: Piece) -> list[ModuleType]:
    """Modules that are reached by constant names: ``getattr(getattr(util, "inner"), "name")``."""
    names = sorted({name for called, name in found.named if called in _GETTING})
    todo = [module]
    for outer in todo:  # grows while it is read
        inner = [vars(outer).get(name) for name in names]
        todo += [value for value in inner if isinstance(value, ModuleType) and value not in todo]
    return todo[1:]


def import_by_name(walk: Walk, function: FunctionType, found: Piece, read: str) -> None:
    """``read`` is what the look-up is called there. Where no call by that name says which module, ``by_any_name``."""
    shown = f"{read} in {function.__module__}.{function.__qualname__}"
    names = sorted(name for called, name in found.named if called == read)
    absolute = [name for name in names if name[0] != "."]
    if not absolute or read not in ("import_module", "__import__"):
        walk.looks_up = True
    if not names:
        walk.follows["not followed"][shown] = None
        walk.tokens.append(f"module {own_module(walk, function)}")
    for name in names:
        level = len(name) - len(name.lstrip("."))
        follow_import(walk, function, level, name[level:], frozenset({()}), found)


def by_any_name(walk: Walk) -> None:
    """Somewhere a module is looked up by a name that is not there: whatever text of what is followed names one counts."""
    reading = [(function, piece(function)) for function in walk.functions.values()]
    names = {name for function, found in reading for name in _names_read(function, found)}
    modules = {_module_in(walk.home, name) for name in names if name[0] != "."} - {""}
    for name in names:
        if name[0] == ".":
            modules.update(_module_in(walk.home, package + name) for package in sorted(modules))
    for name in sorted(modules - {""}):
        follow_import(walk, reading[0][0], 0, name, frozenset({()}), reading[0][1])


def _module_in(home: str, name: str) -> str:
    """The module of the project that a text begins with: ``proj.x``, ``proj.x:D``, ``proj.x.D``; or ""."""
    name = name.partition(":")[0]
    while name and not is_module_of(home, name):
        name = name.rpartition(".")[0]
    return name


def _names_read(function: FunctionType, found: Piece) -> set[str]:
    """Texts that may be a module's name: in the function itself, and in the data that it reads."""
    names = set(found.texts)
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    todo: list[object] = [*(function.__defaults__ or ())]
    for chain in found.reads:
        if chain[0] in cells:
            with suppress(ValueError):
                todo.append(cells[chain[0]].cell_contents)
        else:
            todo.append(function.__globals__.get(chain[0]))
    for value in todo:
        if isinstance(value, str):
            names.add(value)
        elif isinstance(value, (tuple, list, set, frozenset, dict)) and len(value) <= _FEW:
            names.update(item for item in value if isinstance(item, str))
            names.update(item for item in getattr(value, "values", tuple)() if isinstance(item, str))
    return {name for name in names if may_be_module(name)}


def own_module(walk: Walk, function: FunctionType) -> str:
    module = sys.modules.get(function.__globals__.get("__name__", ""))
    if module is None or vars(module) is not function.__globals__:
        return "none"
    return walk.node(module)


def _of_library(walk: Walk, function: FunctionType, module: str, used: frozenset[Chain], piece: Piece) -> None:
    """What is read of a library that is imported here; as soon as it is loaded."""
    loaded = sys.modules.get(module)
    if isinstance(loaded, ModuleType) and not walk.is_project(vars(loaded)):
        for chain in sorted(used):
            library(walk, function, loaded, chain, piece, late=True)
    elif loaded is None:
        for chain in sorted(used):
            _looks_up(walk, function, module, chain, piece)
        if any(STORED not in chain for chain in used):
            walk.watch.more.append(lambda: module not in sys.modules)


def follow_import(
    walk: Walk, function: FunctionType, level: int, module: str, used: frozenset[Chain], piece: Piece
) -> None:
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
    if not level and module not in found.names:
        _of_library(walk, function, module, used, piece)
    if found.names:
        walk.sights.extend(sights(function.__globals__, level, module, used, walk.home, found.expected))
    if found.expected:
        expected = Expected(found.expected)
        for target, name, inside, value in expected.deviating():
            walk.watch.name(inside, name, value)
            expected.accepted[target, name] = value
            token = walk.edge(value, f"{target}.{name}", f"{target}.{name}", True)
            walk.tokens.append(f"instead {target}.{name} {token}")
        walk.watch.more.append(expected.check)
