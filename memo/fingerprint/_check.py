"""The generated check: has anything that was followed been rebound?

One boolean expression, run with the dictionary of the module of which most is read as globals, so that each name
costs one specialised load and one comparison of identities (4 ns) whatever the size of the module. Constants sit in
closure cells. What is not a name there (cells, ``__code__``, some names of other modules) is compared in the same
function; for many names of another module, for classes and for names that were missing, it calls others.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from keyword import iskeyword
from operator import is_
from types import CellType, CodeType, FunctionType, ModuleType

from ._class import counts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_INLINE = 3  #: names: for more of one module, a function of its own costs less than looking each up in its dictionary
_MANY = 200  #: terms: compiling more takes milliseconds, which a process that asks once need not pay


class Watch:
    """Collects what was looked at while following; ``compiled()`` is the check."""

    __slots__ = ("absences", "cells", "classes", "dicts", "entries", "functions", "more", "registered")

    def __init__(self) -> None:
        self.dicts: dict[int, tuple[dict[str, Any], dict[str, Any], set[str]]] = {}
        self.cells: dict[int, tuple[CellType, Any]] = {}
        self.functions: dict[int, tuple[FunctionType, CodeType, Any, Any]] = {}
        self.classes: dict[int, Snapshot] = {}
        self.more: list[Callable[[], bool]] = []
        self.registered = False
        self.entries: list[tuple[Mapping[str, Any], str, Any]] = []
        self.absences: dict[tuple[int, str], dict[str, Any]] = {}

    def name(self, namespace: dict[str, Any], name: str, value: Any) -> None:
        self.dicts.setdefault(id(namespace), (namespace, {}, set()))[1].setdefault(name, value)

    def missing(self, namespace: dict[str, Any], name: str) -> None:
        self.dicts.setdefault(id(namespace), (namespace, {}, set()))[2].add(name)

    def absent(self, namespace: dict[str, Any], name: str) -> None:
        """An attribute that a module has not; builtins do not stand in for it."""
        self.absences[id(namespace), name] = namespace

    def cell(self, cell: CellType, value: Any) -> None:
        self.cells.setdefault(id(cell), (cell, value))

    def function(self, function: FunctionType, defaults: bool = True) -> None:
        found = (function.__defaults__, function.__kwdefaults__) if defaults else (ANY, ANY)
        keywords = function.__kwdefaults__ or {}
        if defaults and id(function) not in self.functions:
            for name, value in keywords.items():
                self.entry(keywords, name, value)
        self.functions[id(function)] = (function, function.__code__, *found)

    def entry(self, holder: Mapping[str, Any], name: str, value: Any) -> None:
        """Of a dictionary that is no module's: one of attributes, of defaults."""
        self.entries.append((holder, name, value))

    def class_(self, cls: type) -> None:
        self.classes[id(cls)] = Snapshot(cls)

    def registrations(self) -> None:
        """Of classes with abstract ones, which no dictionary shows: Python counts them all."""
        if not self.registered:
            from abc import get_cache_token

            known = get_cache_token()
            self.more.append(lambda: get_cache_token() == known)
            self.registered = True

    def still(self) -> bool:
        """The check without generated code: for objects seen once or twice."""
        for namespace, names, missing in self.dicts.values():
            builtins = _builtins(namespace)
            for name, value in names.items():
                if namespace.get(name, builtins.get(name, self)) is not value:
                    return False
            for name in missing:
                if name in namespace or name in builtins:
                    return False
        for cell, value in self.cells.values():
            if _contents(cell) is not value:
                return False
        for function, code, defaults, keywords in self.functions.values():
            if (
                function.__code__ is not code
                or (defaults is not ANY and function.__defaults__ is not defaults)
                or (keywords is not ANY and function.__kwdefaults__ is not keywords)
            ):
                return False
        for holder, name, value in self.entries:
            if holder.get(name, self) is not value:
                return False
        if any(name in namespace for (_, name), namespace in self.absences.items()):
            return False
        return all(same() for same in self.classes.values()) and all(more() for more in self.more)

    def compiled(self) -> Callable[[], bool] | None:
        """The generated check; None when there is nothing to check. A large one is made when it is first run again."""
        if sum(len(names) for _, names, _ in self.dicts.values()) + len(self.functions) < _MANY:
            return self._compiled()
        made: list[Callable[[], bool] | None] = []

        def check() -> bool:
            if not made:
                made.append(None)
                return self.still()
            made[0] = made[0] or self._compiled()
            return made[0] is None or made[0]()

        return check

    def _compiled(self) -> Callable[[], bool] | None:
        terms: list[str] = []
        values: list[Any] = []
        calls: list[Callable[[], bool]] = []
        home = max((found[:2] for found in self.dicts.values()), key=lambda found: len(found[1]), default=(_BARE,))[0]
        for namespace, names, missing in self.dicts.values():
            plain = {n: v for n, v in names.items() if n.isidentifier() and not iskeyword(n)}
            odd = [(n, v) for n, v in names.items() if n not in plain]
            own = [f"{name} is {{}}" for name in plain]
            if namespace is home:
                terms += own
                values += plain.values()
            elif len(own) <= _INLINE and type(namespace) is dict and all(name in namespace for name in plain):
                module = _module_of(namespace)  # an attribute of a module is found faster than an entry of a dictionary
                terms += [f"{{}}[{name!r}] is {{}}" if module is None else f"{{}}.{name} is {{}}" for name in plain]
                for value in plain.values():
                    values += (namespace if module is None else module, value)
            else:
                calls.append(_generate(own, list(plain.values()), namespace))
            if missing or odd:
                calls.append(_absent(namespace, tuple(sorted(missing)), odd))
        for function, code, defaults, keywords in self.functions.values():
            terms.append("{}.__code__ is {}")
            values += (function, code)
            if defaults is not None and defaults is not ANY:
                terms.append("{}.__defaults__ is {}")
                values += (function, defaults)
            if keywords is not None and keywords is not ANY:
                terms.append("{}.__kwdefaults__ is {}")
                values += (function, keywords)
        for cell, value in self.cells.values():
            if value is EMPTY:
                terms.append("{}({}) is {}")
                values += (_contents, cell, EMPTY)
            else:
                terms.append("{}.cell_contents is {}")
                values += (cell, value)
        for holder, name, value in self.entries:
            terms.append(f"{{}}[{name!r}] is {{}}")
            values += (holder, value)
        for (_, name), namespace in self.absences.items():
            terms.append(f"{name!r} not in {{}}")
            values.append(namespace)
        calls += self.classes.values()
        calls += self.more
        terms += ["{}()"] * len(calls)
        values += calls
        return _generate(terms, values, home) if terms else None


_BARE: dict[str, Any] = {"__builtins__": {}}
_GONE = Exception  #: of a name, of an entry in another module's dictionary, of a cell; or of somebody's module
EMPTY = object()  #: in place of the contents of a cell that has none
ANY = object()  #: in place of defaults that do not count


def _module_of(namespace: dict[str, Any]) -> ModuleType | None:
    module = sys.modules.get(str(namespace.get("__name__")))
    return module if type(module) is ModuleType and vars(module) is namespace else None


def _contents(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return EMPTY


def _builtins(namespace: dict[str, Any]) -> dict[str, Any]:
    found = namespace.get("__builtins__")
    if found is None:
        import builtins as found
    return found if isinstance(found, dict) else vars(found)


class Snapshot:
    """A class as it was; called, whether it still is. What libraries add while it is used (caches) does not count."""

    __slots__ = ("bases", "cls", "counted", "values")

    def __init__(self, cls: type) -> None:
        self.cls = cls
        self.values = list(cls.__dict__.values())
        self.bases = cls.__bases__
        self.counted = self._counted()

    def _counted(self) -> dict[str, Any]:
        return {name: value for name, value in list(self.cls.__dict__.items()) if counts(self.cls, name, value)}

    def __call__(self) -> bool:
        now = list(self.cls.__dict__.values())
        if self.cls.__bases__ is not self.bases:
            return False
        if len(now) == len(self.values) and all(map(is_, now, self.values)):
            return True
        counted = self._counted()
        if counted.keys() != self.counted.keys() or not all(counted[n] is v for n, v in self.counted.items()):
            return False
        self.values = now
        return True


def _absent(namespace: dict[str, Any], names: tuple[str, ...], odd: list[tuple[str, Any]]) -> Callable[[], bool]:
    builtins = _builtins(namespace)

    def absent() -> bool:
        for name in names:
            if name in namespace or name in builtins:
                return False
        return all(namespace.get(name) is value for name, value in odd)

    return absent


def _generate(terms: list[str], values: list[Any], namespace: dict[str, Any]) -> Callable[[], bool]:
    """``def check(): return term and term ...``, under a name that no module has; each ``{}`` is the next of ``values``."""
    kept = {id(value): value for value in values}  # once each: cells are copied at every call
    known = {number: f"_memo_{i}_" for i, number in enumerate(kept)}
    cells = list(known.values())
    names = iter([known[id(value)] for value in values])
    parts = []
    for term in terms:
        while "{}" in term:
            term = term.replace("{}", next(names), 1)
        parts.append(term)
    text = (
        f"def _memo_outer_({', '.join([*cells, '_memo_gone_'])}):\n"
        " def _memo_check_():\n"
        "  try:\n"
        f"   if {' and '.join(parts)}: return True\n"  # faster than to return the expression, which keeps each answer
        "  except _memo_gone_: pass\n"
        "  return False\n"
        " return _memo_check_\n"
    )
    outer = next(c for c in compile(text, "<memo check>", "exec", dont_inherit=True).co_consts if type(c) is CodeType)
    inner = next(c for c in outer.co_consts if type(c) is CodeType)
    by_name = dict(zip([*cells, "_memo_gone_"], [*kept.values(), _GONE], strict=True))
    closure = tuple(CellType(by_name[name]) for name in inner.co_freevars)
    return FunctionType(inner, namespace, "check", None, closure)
