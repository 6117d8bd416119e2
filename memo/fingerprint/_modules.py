"""Modules imported while a function runs: their code from the files, whether they are loaded or not.

A version that looked at the loaded module when there is one would differ between the first and the second call of a
process. So names are followed within the syntax trees, and imports from file to file: the statements that make a name
what it is, and those that run for their effect. Once the module is loaded it is compared with its file: what was put
in place of a function, class or plain constant that is written there counts by its value, and so does what takes the
place of anything else that was once seen there.
"""

from __future__ import annotations

import _ast
import os
import sys
from collections.abc import Callable
from types import ModuleType

from .._tuples import NamedTuple
from . import _source
from ._project import is_memo, is_project_file
from ._source import Source, source_of
from ._tree import STORED, Chain, Piece, constant, live_statements, piece_of
from ._written import is_as_written, seen_class

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_EFFECT: Chain = ("",)  #: nothing of the module is used, but importing it runs it
_DEFINITIONS = (_ast.FunctionDef, _ast.AsyncFunctionDef, _ast.ClassDef)


class Statement(NamedTuple):
    piece: Piece
    effect: bool  #: runs whatever is used of the module
    form: str  #: "def", "class", "import", "=" and the constant of ``NAME = constant``; "" for all else


class File(NamedTuple):
    name: str
    package: str
    source: Source | None
    statements: list[Statement]


class Imported(NamedTuple):
    digest: bytes
    names: list[str]  #: modules followed
    packages: set[str]  #: files of installed modules imported on the way
    missing: list[str]  #: what could not be found
    expected: list[tuple[str, str, Source, str]]  #: module, name, its file, the form of the statement that makes it


def _spec(name: str) -> Any:
    """Where a module lies, without importing its parents."""
    loaded = sys.modules.get(name)
    spec = getattr(loaded, "__spec__", None)
    if spec is not None:
        return spec
    path = None
    parent = name.rpartition(".")[0]
    if parent:
        path = getattr(_spec(parent), "submodule_search_locations", None)
        if path is None:
            return None
        path = list(path)
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        if find is None:
            continue
        try:
            spec = find(name, path)
        except Exception:  # somebody's import hook
            continue
        if spec is not None:
            return spec
    return None


_parsed: dict[str, tuple[Source, list[Statement]]] = {}


def _file(name: str, home: str) -> File | str | None:
    """The module's statements; the path of one that is not the project's; None when it has no source."""
    spec = _spec(name)
    if spec is None:
        return None
    folders = spec.submodule_search_locations
    origin = spec.origin
    if origin in (None, "built-in", "frozen"):
        if not folders or origin is not None:
            return ""
        for folder in folders:  # a package without __init__
            path: str = os.path.realpath(os.path.join(folder, "_"))
            if is_project_file(path, home):
                return File(name, name, None, [])
        return path
    path = os.path.realpath(origin)
    if not is_project_file(path, home):
        return path
    source = source_of(path, again=True) if path.endswith(".py") else None
    if source is None:
        return None
    known = _parsed.get(path)
    if known is None or known[0] is not source:
        if not source.parse():
            return None
        known = _parsed[path] = (source, [_statement(s, source.own) for s in live_statements(source.tree.body)])
    return File(name, name if folders is not None else name.rpartition(".")[0], source, known[1])


def _statement(node: Any, own: frozenset[str]) -> Statement:
    kind = type(node)
    piece = piece_of(node, own, body_only=False)
    effect = True
    form = ""
    if kind in _DEFINITIONS:
        effect = any(True for d in node.decorator_list if not own.intersection(c[0] for c in _reads(d, own)))
        form = "" if effect else "class" if kind is _ast.ClassDef else "def"
        effect = effect or bool(getattr(node, "keywords", ()))  # a metaclass, __init_subclass__
    elif kind in (_ast.Import, _ast.ImportFrom):
        effect, form = False, "import"
    elif kind in (_ast.Assign, _ast.AnnAssign):
        targets = node.targets if kind is _ast.Assign else [node.target]
        effect = not all(_is_name(t) for t in targets)
        if not effect and len(targets) == 1 and type(node.value) is _ast.Constant:
            form = "=" + constant(node.value.value)
    return Statement(piece, effect, form)


def _reads(node: Any, own: frozenset[str]) -> tuple[Chain, ...]:
    return piece_of(node, own, body_only=False).reads


def _is_name(target: Any) -> bool:
    if type(target) in (_ast.Tuple, _ast.List):
        return all(_is_name(t) for t in target.elts)
    return type(target) is _ast.Name


def _absolute(package: str, level: int, module: str) -> str:
    if not level:
        return module
    for _ in range(level - 1):
        package = package.rpartition(".")[0]
    return f"{package}.{module}" if module and package else package or module


def _binds(file: File, name: str) -> bool:
    return any(name in s.piece.binds for s in file.statements)


def _start(namespace: dict[str, Any], level: int, module: str) -> str:
    package = namespace.get("__package__")
    if not isinstance(package, str):
        name = str(namespace.get("__name__", ""))
        package = name if "__path__" in namespace else name.rpartition(".")[0]
    return _absolute(package, level, module)


def _submodule(file: File, chain: Chain) -> str:
    """The submodule that a chain leads to, where its first name is one."""
    if chain and chain[0] and file.package == file.name and not _binds(file, chain[0]):
        inner = f"{file.name}.{chain[0]}"
        if _spec(inner) is not None:
            return inner
    return ""


def is_module_of(home: str, name: str) -> bool:
    """Whether there is a module of the project of that name."""
    return not is_memo(name) and isinstance(_file(name, home), File)


def place_of(
    namespace: dict[str, Any], level: int, module: str, chain: Chain, home: str
) -> tuple[str, Chain, Source | None] | None:
    """The module of the project that a chain leads to, what is left of the chain, and the module's file."""
    target = _start(namespace, level, module)
    while target and not is_memo(target):
        file = _file(target, home)
        if file is None or isinstance(file, str):
            break
        inner = _submodule(file, chain)
        if not inner:
            return target, chain, file.source
        target, chain = inner, chain[1:]
    return None


def imported(namespace: dict[str, Any], level: int, module: str, used: frozenset[Chain], home: str) -> Imported:
    """Follows what ``used`` names of the module, through every module of the project that this reaches."""
    found = Imported(b"", [], set(), [], [])
    names: set[str] = set()
    parts: set[tuple[str, bytes]] = set()
    seen: set[tuple[str, Chain]] = set()
    todo: list[tuple[str, Chain]] = []

    def want(target: str, chains: frozenset[Chain]) -> None:
        todo.append((target, _EFFECT))
        todo.extend((target, chain) for chain in chains if not (chain and chain[-1] == STORED))

    start = _start(namespace, level, module)
    want(start, used)
    # "from package import module", never read: that it is imported counts
    todo += [(start, chain) for chain in used if len(chain) == 2 and chain[1] == STORED]
    while todo:
        target, chain = todo.pop()
        if not target or is_memo(target) or (target, chain) in seen:
            continue
        seen.add((target, chain))
        above = target.rpartition(".")[0]
        if above:
            todo.append((above, _EFFECT))  # importing a.b runs a/__init__.py
        file = _file(target, home)
        if isinstance(file, str):
            found.packages.add(file)
            continue
        if file is None:
            found.missing.append(f"import of {target}")
            parts.add((target, b"missing"))
            continue
        names.add(target)
        inner = _submodule(file, chain)
        if inner:
            todo.append((inner, _EFFECT if chain[1:] == (STORED,) else chain[1:]))
            continue
        if chain[1:] == (STORED,):
            continue
        needed = _collect(file, chain, parts, want)
        for name in sorted(needed) if file.source is not None else ():
            forms = [s.form for s in file.statements if name in s.piece.binds]
            item = (target, name, file.source, forms[0] if len(forms) == 1 else "")
            if forms and item not in found.expected:
                found.expected.append(item)  # type: ignore[arg-type]
    from blake3 import blake3

    text = b"".join(name.encode() + b"\0" + digest + b"\0" for name, digest in sorted(parts))
    found.names.extend(sorted(names))
    return found._replace(digest=blake3(text).digest(16))


def _collect(
    file: File, chain: Chain, parts: set[tuple[str, bytes]], want: Callable[[str, frozenset[Chain]], None]
) -> set[str]:
    """Adds the statements that make a name what it is (all of them for ``()``), and those that run for their effect.

    Returns the names that are needed for it.
    """
    needed: set[Chain] = {chain} if chain and chain[0] else set()
    rest = list(file.statements)
    changed = True
    while changed:
        changed = False
        first = {c[0] for c in needed}
        for statement in list(rest):
            if chain and not statement.effect and not statement.piece.binds & first:
                continue
            rest.remove(statement)
            parts.add((file.name, statement.piece.digest))
            needed.update(statement.piece.reads)
            changed = True
    for statement in file.statements:
        piece = statement.piece
        for (level, module), used in piece.imports.items():
            target = _absolute(file.package, level, module)
            inside = {c for c in used if c and c[-1] != STORED} if statement not in rest else set()
            want(target, frozenset(inside | {c for c in used if not c}))
        for name, places in piece.names.items():
            for level, module, prefix in places:
                target = _absolute(file.package, level, module)
                chains = {prefix + c[1:] for c in needed if c[0] == name}
                if not chain:
                    chains.add(prefix)
                if target == file.name and prefix and _spec(f"{target}.{prefix[0]}") is not None:
                    want(f"{target}.{prefix[0]}", frozenset(c[1:] for c in chains))  # a package that imports of itself
                elif chains:
                    want(target, frozenset(chains))
    return {c[0] for c in needed}


def is_loading_elsewhere(module: ModuleType) -> bool:
    """Whether another thread is at it: it is not what it will be, and this one's import will wait for it."""
    if not getattr(module.__spec__, "_initializing", False):
        return False
    frame = sys._getframe()
    while frame is not None:
        if frame.f_globals is vars(module) and frame.f_code.co_name == "<module>":
            return False
        frame = frame.f_back  # type: ignore[assignment]
    return True


class Expected:
    """The check of modules imported inside: once loaded, do they hold what their files say?"""

    __slots__ = ("accepted", "classes", "failed", "items", "known", "pending")

    def __init__(self, items: list[tuple[str, str, Source, str]]) -> None:
        self.items = items
        self.accepted: dict[tuple[str, str], Any] = {}
        self.known: list[tuple[dict[str, Any], str, Any]] = []
        self.classes: list[Callable[[], bool]] = []
        self.pending: set[str] = set()  #: modules that are not loaded
        self.failed = False  #: once is for good: following again makes another

    def deviating(self) -> list[tuple[str, str, dict[str, Any], Any]]:
        """(module, name, its dictionary, value) of what is something else than the file says."""
        found = []
        self.pending = {item[0] for item in self.items if item[0] not in sys.modules}
        self.known, self.classes = [], []
        for module, name, source, form in self.items:
            loaded = sys.modules.get(module)
            namespace = getattr(loaded, "__dict__", None)
            if namespace is None or name not in namespace:
                continue
            if isinstance(loaded, ModuleType) and is_loading_elsewhere(loaded):
                self.pending.add(module)
                continue
            value = namespace[name]
            self.known.append((namespace, name, value))
            as_written = is_as_written(value, name, source, form, namespace)
            if as_written and isinstance(value, type):
                self.classes.append(seen_class(module, name))
            if as_written and (module, name) in self.accepted:
                self.failed = True  # set back
            if not as_written and self.accepted.get((module, name), self) is not value:
                found.append((module, name, namespace, value))
        return found

    def check(self) -> bool:
        for namespace, name, value in self.known:
            if namespace.get(name, self) is not value:
                break
        else:
            loaded = sys.modules
            if not any(name in loaded for name in self.pending) and all(same() for same in self.classes):
                return not self.failed
        with _source.reading:  # another thread may be forgetting the trees
            if self.deviating():
                self.failed = True
            _source.release()
        return not self.failed
