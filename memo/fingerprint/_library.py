"""What a function reads of libraries: their version speaks for them, but not for what was put into them.

A name in a library's module counts when it holds what the library did not put there (code of the project, a function of
another place or by another name), and when it holds data, which costs no more than a look. Whether it still holds the same
is part of the check. What a library keeps for itself, options behind objects say, counts by type; what the interpreter
says of how it was started is environment, and not followed.
"""

from __future__ import annotations

import sys
from types import CodeType, FunctionType, MethodType, ModuleType

from ._captured import is_functools, is_immutable, is_member, unwrapped
from ._project import is_project
from ._tree import STORED, Chain, constant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._walk import Walk

_ENVIRONMENT = frozenset({
    "argv", "orig_argv", "path", "modules", "executable", "_base_executable", "prefix", "exec_prefix",
    "base_prefix", "base_exec_prefix", "warnoptions", "_xoptions", "version", "hexversion", "api_version",
    "copyright", "meta_path", "path_hooks", "path_importer_cache", "pycache_prefix", "abiflags",
    "dont_write_bytecode", "platlibdir", "_git", "_framework", "builtin_module_names", "stdlib_module_names",
    "last_exc", "last_type", "last_value", "last_traceback", "ps1", "ps2", "tracebacklimit", "implementation",
    "stdin", "stdout", "stderr", "_home", "_stdlib_dir",
})  # of sys  # fmt: skip
_CONTAINERS = frozenset(
    {"list", "dict", "set", "bytearray", "OrderedDict", "defaultdict", "deque", "Counter", "SimpleNamespace"}
)
_MADE, _DEFINED = "made", "def"  #: by a call, an import, a decorator; by a plain ``def``
_HEAP, _FIXED = 1 << 9, 1 << 8  # of __flags__: a class made at run time; one whose attributes can't be set


def _top(name: object) -> str:
    return name.partition(".")[0].lstrip("_") if isinstance(name, str) else ""


def _are_one(module: str, other: str) -> bool:
    """Of one library; the standard library is one."""
    if _top(module) == _top(other):
        return True
    return all(n.partition(".")[0] in sys.stdlib_module_names for n in (module, other))


def is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


class Given:
    """The names that a module's own code binds, and to what: read from its compiled form."""

    __slots__ = ("names", "open")

    def __init__(self, code: CodeType) -> None:
        self.names: dict[str, str] = {}  #: "=" and the constant, _DEFINED or _MADE
        self.open = False  #: it has ``import *``
        self._read(code)
        for inner in code.co_consts:
            if type(inner) is CodeType:
                self._read_inner(inner)

    def _read(self, code: CodeType) -> None:
        from opcode import opname

        before = _MADE
        high = 0
        for at in range(0, len(code.co_code), 2):
            name, arg = opname[code.co_code[at]], code.co_code[at + 1] | high
            high = arg << 8 if name == "EXTENDED_ARG" else 0
            if name == "STORE_NAME" or name == "STORE_GLOBAL":
                again = code.co_names[arg] in self.names
                self.names[code.co_names[arg]] = _MADE if again else before
            elif name == "IMPORT_STAR" or (name == "CALL_INTRINSIC_1" and arg == 2):
                self.open = True
            if name == "LOAD_CONST":
                value = code.co_consts[arg]
                before = "=" + constant(value) if is_immutable(value) else _MADE
            elif name == "LOAD_SMALL_INT":
                before = "=" + constant(arg)
            elif name in ("MAKE_FUNCTION", "SET_FUNCTION_ATTRIBUTE"):
                before = _DEFINED
            elif name not in ("EXTENDED_ARG", "CACHE"):
                before = _MADE

    def _read_inner(self, code: CodeType) -> None:
        from ._bytecode import nested_code

        for inner in nested_code(code):
            if "STORE_GLOBAL" in _instructions(inner):
                self.names.update(dict.fromkeys(inner.co_names, _MADE))


def _instructions(code: CodeType) -> set[str]:
    from opcode import opname

    return {opname[number] for number in code.co_code[::2]}


_given: dict[str, tuple[ModuleType, Given | None]] = {}


def given(module: ModuleType) -> Given | None:
    """None for what was not written in Python."""
    known = _given.get(module.__name__)
    if known is None or known[0] is not module:
        try:
            code = module.__spec__.loader.get_code(module.__name__)  # type: ignore[union-attr]
        except Exception:  # a loader of its own
            code = None
        known = _given[module.__name__] = (module, Given(code) if type(code) is CodeType else None)
    return known[1]


def _binding(module: ModuleType, attribute: str, value: Any) -> str:
    """How the module's own code binds the name; "" where it does not."""
    own = given(module)
    if own is None:
        return ""
    if attribute in own.names:
        return own.names[attribute]
    top = _top(module.__name__)
    if own.open:
        for name, other in list(sys.modules.items()):
            if other is not module and _top(name) == top and getattr(other, "__dict__", {}).get(attribute) is value:
                return _MADE
    return ""


def _said(value: Any, name: str) -> str:
    try:
        found = getattr(value, name, "")
    except Exception:  # a proxy, a stand-in
        return ""
    return found if isinstance(found, str) else ""


def is_own(module: ModuleType, attribute: str, value: Any) -> bool:
    """Whether the library itself put a module, function, class or object there, as far as can be told."""
    if isinstance(value, ModuleType):
        return _are_one(module.__name__, value.__name__)
    its, called = _said(value, "__module__"), _said(value, "__name__")
    if not called:
        if given(module) is not None:
            return _binding(module, attribute, value) != ""
        return _are_one(module.__name__, type(value).__module__)
    if its and not _are_one(module.__name__, its):
        return False
    if called == attribute or module.__name__.partition(".")[0] not in sys.stdlib_module_names:
        return called == attribute
    # what the standard library calls otherwise differs between versions of Python
    return _binding(module, attribute, value) == _MADE


def is_of_module(method: Any) -> bool:
    """Whether a bound method is what a library offers as a function, its object being the library's own."""
    module = sys.modules.get(type(method.__self__).__module__)
    named = method.__name__
    return module is not None and vars(module).get(named) is method and not is_project(vars(module))


def _carries_ours(walk: Walk, value: Any) -> bool:
    """Code of the project, be it inside of what a library made of it."""
    for _ in range(20):
        value = unwrapped(value)
        if isinstance(value, type):
            return walk.is_project_class(value)
        if isinstance(value, ModuleType):
            return walk.is_project(vars(value))
        if isinstance(value, (MethodType, staticmethod, classmethod)):
            value = value.__func__
        elif isinstance(value, property):
            value = value.fget
        elif type(value) is FunctionType:
            named = value.__globals__.get("__name__")
            if is_project(value.__globals__, walk.home):  # a bare dictionary is whose it says it is
                return isinstance(named, str) or walk.is_project(value.__module__ or "")
            if "__wrapped__" not in value.__dict__:
                return False
            value = value.__dict__["__wrapped__"]
        elif is_functools(value):
            value = getattr(value, "func", None) or getattr(value, "__wrapped__", None)
        else:
            return walk.is_project_class(type(value))
    return False


def is_data(value: Any) -> bool:
    return is_immutable(value) or (
        type(value).__name__ in _CONTAINERS and type(value).__module__ in ("builtins", "collections", "types")
    )


_first: dict[tuple[str, str], Any] = {}


def _is_given(module: ModuleType, attribute: str, value: Any) -> bool:
    """Whether it is the data that importing the module gives, as far as can be told."""
    if given(module) is not None:
        made = _binding(module, attribute, value)
        if made != _MADE:
            return is_immutable(value) and made == "=" + constant(value)
    return _first.setdefault((module.__name__, attribute), value) is value


def read(walk: Walk, module: ModuleType, rest: Chain, late: bool = False) -> ModuleType | None:
    """Follows a chain of names through modules of libraries; the one at its end, if it ends with one.

    ``late``: the module is imported while the function runs, so that a key may not depend on whether it is loaded:
    data that loading gives does not count.
    """
    key = (id(module), rest, late)
    if key not in walk.ends:
        walk.ends[key] = _read(walk, module, rest, late)
    return walk.ends[key]


def _read(walk: Walk, module: ModuleType, rest: Chain, late: bool) -> ModuleType | None:
    value: Any = module
    holder, attribute = module, ""
    while rest and isinstance(value, ModuleType) and not walk.is_project(vars(value)):
        attribute, rest = rest[0], rest[1:]
        holder, inside = value, vars(value)
        if attribute == STORED or is_dunder(attribute):
            if attribute == "__dict__":
                walk.follows["not followed"][f"{holder.__name__}.__dict__"] = None
            return None
        if holder is sys and attribute in _ENVIRONMENT:
            walk.follows["not followed"][f"sys.{attribute}"] = None
            return None
        if attribute not in inside:
            walk.watch.absent(inside, attribute)
            return None
        value = inside[attribute]
        if rest[:1] == (STORED,) and not isinstance(value, ModuleType):
            return None
        walk.watch.name(inside, attribute, value)
    if not attribute:
        return module
    shown = f"{holder.__name__}.{attribute}"
    if _counts(walk, holder, attribute, value, late):
        bind(walk, vars(holder), attribute, value, shown)
    elif isinstance(value, type) and rest:
        read_class(walk, value, rest)
    return value if isinstance(value, ModuleType) and not walk.is_project(vars(value)) else None


def _counts(walk: Walk, module: ModuleType, attribute: str, value: Any, late: bool) -> bool:
    if is_data(value):
        return not late or not _is_given(module, attribute, value)
    if is_member(value) or _carries_ours(walk, value):
        return True
    if is_own(module, attribute, value):
        if not _said(value, "__name__"):
            kind = type(value)
            walk.follows["by type"][f"{module.__name__}.{attribute} ({kind.__module__}.{kind.__qualname__})"] = None
        return False
    return True


def _token(walk: Walk, value: Any, shown: str) -> str:
    called = _said(value, "__name__")
    if called and not isinstance(value, (FunctionType, type, ModuleType)) and not _carries_ours(walk, value):
        return f"{_top(_said(value, '__module__'))}:{called}"  # a function of compiled code, of whatever type
    return walk.edge(value, shown, shown, True)


def bind(walk: Walk, namespace: dict[str, Any], attribute: str, value: Any, shown: str) -> None:
    key = (id(namespace), attribute)
    token = walk.bindings.get(key)
    if token is None:
        token = walk.bindings[key] = _token(walk, value, shown)
    walk.tokens.append(f"in {shown} {token}")


def read_class(walk: Walk, cls: type, rest: Chain) -> None:
    """The same for an attribute of a library's class: ``Client.timeout``."""
    attribute = rest[0]
    if attribute == STORED or rest[1:2] == (STORED,) or is_dunder(attribute):
        return
    holder = next((base for base in cls.__mro__ if attribute in base.__dict__), None)
    if holder is None or walk.is_project_class(holder) or holder.__flags__ & _FIXED or not holder.__flags__ & _HEAP:
        return
    value = holder.__dict__[attribute]
    if is_member(value):
        return
    walk.watch.entry(holder.__dict__, attribute, value)
    if is_data(value) or _carries_ours(walk, value):
        shown = f"{holder.__module__}.{holder.__qualname__}.{attribute}"
        walk.tokens.append(f"in {shown} {walk.edge(value, shown, shown, True)}")


_builtins: dict[str, Any] = {}  #: those that are Python's own


def read_builtin(walk: Walk, name: str, value: Any) -> None:
    """A name that is found among the builtins: what others put there counts."""
    if _builtins.get(name, walk) is value:
        return
    import builtins

    own = _said(value, "__name__") == name and _said(value, "__module__") == "builtins"
    if (
        own
        or is_dunder(name)
        or value is Ellipsis
        or value is NotImplemented
        or type(value).__module__ == "_sitebuiltins"
    ):
        _builtins[name] = value
    else:
        bind(walk, vars(builtins), name, value, f"builtins.{name}")
