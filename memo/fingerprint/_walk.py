"""The walk: from a function through live values to everything of the project that it runs or reads.

Values, not names in source: aliases, star imports, re-exports, patched methods and conditional definitions come out
right without a rule of their own. Each piece of code is a node with a number, given in the order of discovery along
sorted names, so that recursion needs no stack and the order of definitions does not count. Three things come out:
code goes into the version, immutable data into the captures, and mutable values are kept to be looked at again at
every call; what they hold, code included, is in neither.
"""

from __future__ import annotations

import builtins
import sys
from types import (
    BuiltinFunctionType,
    CellType,
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)

from ._captured import (
    ATOMS,
    Mutable,
    carries_code,
    frozen_fields,
    is_functools,
    is_immutable,
    is_member,
    parts_of,
    unwrapped,
)
from ._check import EMPTY, Watch
from ._class import attributes_of_members, class_items
from ._library import is_of_module, read_builtin, read_class
from ._loaded import Sight
from ._lookups import (
    builtin,
    by_any_name,
    described,
    describes,
    description,
    follow_import,
    import_by_name,
    is_lookup,
    library,
    modules_named,
    own_module,
)
from ._project import compiled, home_of, is_memo, is_project, is_project_class, label_of, package_of
from ._source import piece
from ._tree import STORED, Chain, Piece

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_C_FUNCTIONS = (BuiltinFunctionType, MethodWrapperType)
_DESCRIPTORS = (GetSetDescriptorType, MemberDescriptorType, MethodDescriptorType, WrapperDescriptorType)
_OF_MODULE = frozenset(
    {"__name__", "__file__", "__spec__", "__doc__", "__package__", "__loader__", "__path__", "__cached__", "__debug__"}
)  # say how and from where the program was started
_DESCRIBING = frozenset({"__doc__", "__annotations__"})
_BY_TYPE = frozenset({"logging", "_thread", "threading", "_contextvars", "_io", "socket", "_socket"})


_BY_VALUE = frozenset({"ContextVar", "Context", "_local", "Event", "StringIO", "BytesIO"})  # of these modules


class Walk:
    """One walk. ``tokens`` is what the version is made of, ``data`` the captures, ``mutable`` what may change.

    ``bound``: the defaults of the root are arguments of each call, and count as such; unless its code reaches it again
    and so may call it without them. Those of ``ignore`` never count.
    """

    def __init__(self, root: Any, bound: bool = False, ignore: tuple[str, ...] = ()) -> None:
        self.ignore = ignore
        self.root = root = unwrapped(root)
        inner = root.__func__ if type(root) is MethodType else root
        namespace = getattr(inner, "__globals__", None)
        if namespace is None and isinstance(inner, type):
            module = sys.modules.get(inner.__module__)
            namespace = vars(module) if module is not None else {}
        self.home = home_of(namespace) if namespace else ""
        self.again = False  #: whether the root is reached from what it runs
        self.describes: set[str] = set()  #: what is asked about code, besides what it does
        self.looks_up = False  #: whether a module is looked up by a name that is not known
        self.nodes: list[Any] = []
        self.numbers: dict[int, int] = {}
        self.tokens: list[str] = []
        self.data: list[tuple[str, Any]] = []
        self.mutable: list[Mutable] = []
        self.sights: list[Sight] = []  #: names read of modules that are imported inside
        self.watch = Watch()
        self.packages: dict[str, str] = {}
        self.follows: dict[str, dict[str, None]] = {
            key: {} for key in ("code", "data", "by type", "not followed", "packages")
        }
        self.functions: dict[str, FunctionType] = {}
        self.bindings: dict[tuple[int, str], str] = {}
        self.ends: dict[tuple[int, Chain, bool], ModuleType | None] = {}  #: of chains that lead into libraries
        self._project: dict[int, bool] = {}
        self.tokens.append(f"root {self.edge(root, '', '', False)}")
        self.bound = bound and type(root) is FunctionType
        for number, node in enumerate(self.nodes):  # grows while it is read
            self._expand(number, node)
            if number == len(self.nodes) - 1 and self.bound and self.again:
                self.bound = False
                self._defaults(0, root)
            if number == len(self.nodes) - 1 and self.looks_up and self.functions:
                self.looks_up = False
                by_any_name(self)
        if self.describes:
            described(self)

    # what a value is

    def is_project(self, namespace: dict[str, Any] | str) -> bool:
        if isinstance(namespace, str):
            return is_project(namespace, self.home)
        known = self._project.get(id(namespace))
        if known is None:
            known = self._project[id(namespace)] = is_project(namespace, self.home)
        return known

    def node(self, value: Any) -> str:
        number = self.numbers.get(id(value))
        if number == 0:
            self.again = True
        if number is None:
            number = self.numbers[id(value)] = len(self.nodes)
            self.nodes.append(value)
        return f"#{number}"

    def _installed(self, module: Any, name: str) -> str:
        if isinstance(module, str):
            self.package(module)
            if module.partition(".")[0] in sys.stdlib_module_names:  # where in the library differs between versions
                module = module.partition(".")[0].lstrip("_")
        return f"{module}:{name}"

    def package(self, module: str) -> None:
        found = package_of(module)
        if found is not None:
            self.packages[found[0]] = found[1]

    def _by_type(self, value: Any, shown: str) -> str:
        kind = type(value)
        self.follows["by type"][f"{shown} ({kind.__module__}.{kind.__qualname__})"] = None
        return f"by type {kind.__module__}:{kind.__qualname__}"

    def edge(self, value: Any, label: str, shown: str, shared: bool) -> str:
        """What stands for a value in the digest of the node that reads it."""
        kind = type(value)
        if kind in ATOMS or is_immutable(value):
            self.data.append((label, value))
            self.follows["data"][shown] = None
            return "data"
        if is_memo(kind.__module__):
            return "memo"
        value = unwrapped(value)
        kind = type(value)
        if kind is FunctionType:
            if is_memo(value.__globals__.get("__name__") or ""):
                return "memo"
            if self.is_project(value.__globals__):
                return self.node(value)
            name = self._installed(value.__globals__.get("__name__"), value.__qualname__)
            if value.__closure__ or value.__dict__:
                return f"{name} {self.node(value)}"
            return name
        if isinstance(value, type):
            if is_memo(value.__module__):
                return "memo"
            if not self.is_project_class(value):
                return self._installed(value.__module__, value.__qualname__)
            if compiled(value.__module__):
                return f"{value.__module__}:{value.__qualname__}{compiled(value.__module__)}"
            return self.node(value)
        if kind is ModuleType or isinstance(value, ModuleType):
            if is_memo(value.__name__):
                return "memo"
            if not self.is_project(vars(value)):
                return self._installed(value.__name__, "")
            return self.node(value)
        if (kind in _C_FUNCTIONS or kind is MethodType) and is_of_module(value):  # random.random, of a hidden object
            return self._installed(type(value.__self__).__module__, value.__name__)
        if kind in _C_FUNCTIONS:
            owner = getattr(value, "__self__", None)
            name = self._installed(getattr(value, "__module__", None) or "builtins", value.__qualname__)
            name += compiled(getattr(value, "__module__", None))
            if owner is None or isinstance(owner, ModuleType):
                return name
            return f"{name} {self.edge(owner, label + ' self', shown, shared)}"
        if kind in _DESCRIPTORS:
            return self._installed(value.__objclass__.__module__, value.__qualname__)
        if kind in (MethodType, property, staticmethod, classmethod) or is_functools(value):
            return self.node(value)
        if (kind is tuple or kind is frozenset) and value:
            return self.node(value)
        if is_member(value):
            return f"{self.edge(kind, label + ' class', shown, shared)} {value._name_}"
        fields = frozen_fields(value)
        if fields is not None:
            self.data.append((label, fields))
            self.follows["data"][shown] = None
            return f"{self.edge(kind, label + ' class', shown, shared)} data"
        environment = kind.__module__ == "os" and kind.__name__ == "_Environ"
        if kind is object or environment or (kind.__module__ in _BY_TYPE and kind.__name__ not in _BY_VALUE):
            return self._by_type(value, shown)
        if "__wrapped__" in getattr(value, "__dict__", ()) and not self.is_project_class(kind):
            return f"{self._installed(kind.__module__, kind.__qualname__)} {self.node(value)}"
        self.package(kind.__module__)
        self.mutable.append(Mutable(label, value, shared, shown))
        return "mutable"

    def is_project_class(self, cls: type) -> bool:
        return is_project_class(cls, self.home)

    # what a node holds

    def _expand(self, number: int, node: Any) -> None:
        kind = type(node)
        emit = self.tokens.append
        emit(f"node {number}")
        if kind is FunctionType:
            if self.is_project(node.__globals__):
                self._function(number, node)
            else:
                self._wrapper(number, node)
            return
        if isinstance(node, type):
            self._class(number, node)
            return
        if isinstance(node, ModuleType):
            self._module(number, node)
            return
        emit(kind.__name__)
        for name, value in sorted(parts_of(node).items()):
            emit(f"{name} {self.edge(value, f'{number}.{name}', name, False)}")

    def _function(self, number: int, function: FunctionType) -> None:
        emit = self.tokens.append
        found = piece(function)
        shown = f"{function.__module__}.{function.__qualname__}"
        if self.functions.setdefault(shown, function) is not function:
            self.functions[f"{shown}#{number}"] = function
        self.follows["code"][shown] = None
        if not found.tree:
            self.follows["not followed"][f"source of {shown} (its bytecode is)"] = None
        emit("function " + found.digest.hex())
        if number or not self.bound:
            self._defaults(number, function)
        else:
            self.watch.function(function, defaults=False)
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        for chain in found.reads:
            self._read(number, function, cells, chain, found)
        if "__class__" in cells and ("__class__",) not in found.reads:  # of super()
            self._read(number, function, cells, ("__class__",), found)
        for (level, module), used in sorted(found.imports.items()):
            follow_import(self, function, level, module, used, found)
        if found.dynamic and found.dynamic != {"__dict__"}:
            emit("module " + own_module(self, function))
            self.follows["not followed"][f"{', '.join(sorted(found.dynamic))} in {shown}"] = None
        wrapped = function.__dict__.get("__wrapped__")
        if wrapped is not None:
            emit("wrapped " + self.edge(wrapped, f"{number}.__wrapped__", shown, False))

    def _defaults(self, number: int, function: FunctionType) -> None:
        self.watch.function(function)
        shown = f"{function.__module__}.{function.__qualname__}"
        defaults = function.__defaults__ or ()
        code = function.__code__
        parameters = code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount]
        named = [(str(index), *both) for index, both in enumerate(zip(parameters, defaults, strict=False))]
        keywords = [(name, name, value) for name, value in sorted((function.__kwdefaults__ or {}).items())]
        for name, parameter, value in [*named, *keywords]:
            if not number and parameter in self.ignore:
                continue
            token = self.edge(value, f"{number} default {name}", f"{shown}({name}=)", False)
            self.tokens.append(f"default {name} {token}")

    def _read(
        self, number: int, function: FunctionType, cells: dict[str, CellType], chain: Chain, found: Piece
    ) -> None:
        """One chain of names: where it leads, while it leads through modules."""
        emit = self.tokens.append
        name, rest = chain[0], chain[1:]
        namespace = function.__globals__
        key: tuple[int, str]
        if name in cells:
            cell = cells[name]
            try:
                value = cell.cell_contents
            except ValueError:
                value = EMPTY
            self.watch.cell(cell, value)
            if value is EMPTY:
                emit(f"{name} empty")
                return
            key, shown, shared = (id(cell), ""), f"{name} in {function.__qualname__}", False
        else:
            if name in _OF_MODULE:
                return
            if name in namespace:
                value = namespace[name]
            else:
                value = getattr(builtins, name, EMPTY)
                if value is EMPTY:
                    self.watch.missing(namespace, name)
                    emit(f"{name} missing")
                    return
                self.watch.name(namespace, name, value)
                builtin(self, function, name, found)
                read_builtin(self, name, value)
                return
            self.watch.name(namespace, name, value)
            key, shown, shared = (id(namespace), name), f"{label_of(namespace)}.{name}", True
        read = name
        while rest and isinstance(value, ModuleType):
            if not self.is_project(vars(value)):
                library(self, function, value, rest, found)
                emit(f"{read} {self.edge(value, '', read, shared)}")
                return
            attribute = rest[0]
            if attribute == STORED:
                return
            inside = vars(value)
            if len(rest) > 1 and rest[1] == STORED and not isinstance(inside.get(attribute), ModuleType):
                return  # written, not read
            if attribute == "__dict__":
                break
            if attribute not in inside:
                self.watch.absent(inside, attribute)
                emit(f"{read} {attribute} missing")
                if type(value) is not ModuleType:  # a class of its own, with properties
                    emit(f"{read} class {self.edge(type(value), '', read, False)}")
                if "__getattr__" in inside:
                    emit(f"{read} {self.node(value)}")
                return
            read = f"{read}.{attribute}"
            key, shown, shared = (id(inside), attribute), f"{label_of(inside)}.{attribute}", True
            value = inside[attribute]
            self.watch.name(inside, attribute, value)
            rest = rest[1:]
        if rest == (STORED,) and isinstance(value, ModuleType):
            return
        if isinstance(value, ModuleType) and not rest and not self.is_project(vars(value)):
            library(self, function, value, rest, found)
        describes(self, value)
        if isinstance(value, ModuleType) and not rest and self.is_project(vars(value)):
            for inner in modules_named(value, found):
                emit(f"{read} in {self.edge(inner, '', read, False)}")
        if is_lookup(value):
            import_by_name(self, function, found, read.rpartition(".")[2])
        token = self.bindings.get(key)
        if token is None:
            label = f"{shown}" if shared else f"{number}.{read}"
            token = self.edge(value, label, shown, shared)
            # seen again, it is the binding that was seen first
            self.bindings[key] = token if token[0] == "#" else f"{token} {number}.{read}"
        emit(f"{read} {token}")
        if rest and isinstance(value, type) and not self.is_project_class(value):
            read_class(self, value, rest)
        if rest and rest[0] in _DESCRIBING and isinstance(value, (FunctionType, type)):
            emit(f"{read} {rest[0]} {description(value, rest[0])}")  # not code, but here it is read
        if rest and type(value) is FunctionType and rest[0] in value.__dict__ and rest[0] != "__wrapped__":
            attribute = f"{number}.{read}.{rest[0]}"
            if not is_memo(value.__globals__.get("__name__") or "") and unwrapped(value) is value:
                self.watch.entry(value.__dict__, rest[0], value.__dict__[rest[0]])
                emit(f"{attribute} {self.edge(value.__dict__[rest[0]], attribute, shown + '.' + rest[0], False)}")

    def _wrapper(self, number: int, function: FunctionType) -> None:
        """A function of a library: its code counts by version, but its cells may hold code of the project."""
        self.tokens.append("wrapper")
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        registry = function.__dict__.get("registry")
        if type(registry) is MappingProxyType:  # functools.singledispatch
            known = dict(registry)
            self.watch.more.append(lambda: registry == known)
            for cls, value in sorted(registry.items(), key=lambda item: (item[0].__module__, item[0].__qualname__)):
                token = self.edge(value, f"{number}.{cls.__qualname__}", cls.__qualname__, False)
                self.tokens.append(f"{self.edge(cls, '', '', False)} {token}")
            return
        for name, cell in sorted(cells.items()):
            try:
                value = cell.cell_contents
            except ValueError:
                continue
            if carries_code(value) or is_immutable(value):
                self.watch.cell(cell, value)
                self.tokens.append(f"{name} {self.edge(value, f'{number}.{name}', name, False)}")
        wrapped = function.__dict__.get("__wrapped__")
        if wrapped is not None:
            self.tokens.append(f"wrapped {self.edge(wrapped, f'{number}.__wrapped__', '', False)}")

    def _class(self, number: int, cls: type) -> None:
        emit = self.tokens.append
        module = sys.modules.get(cls.__module__)
        emit(f"class {label_of(vars(module)) if module is not None else cls.__module__}:{cls.__qualname__}")
        shown = f"{cls.__module__}.{cls.__qualname__}"
        self.follows["code"][shown] = None
        self.watch.class_(cls)
        if "_abc_impl" in cls.__dict__:
            self.watch.registrations()
        for index, base in enumerate(cls.__bases__):
            emit(f"base {index} {self.edge(base, '', '', False)}")
        if type(cls) is not type:
            emit(f"metaclass {self.edge(type(cls), '', '', False)}")
        for member, name, value in attributes_of_members(cls):
            self.watch.entry(member.__dict__, name, value)
            token = self.edge(value, f"{number}.{member._name_}.{name}", f"{shown}.{member._name_}.{name}", False)
            emit(f"{member._name_}.{name} {token}")
        for name, value in class_items(cls):
            token = self.edge(value, f"{number}.{name}", f"{shown}.{name}", False)
            emit(f"{name} {token}")

    def _module(self, number: int, module: ModuleType) -> None:
        """Looked into by names made at run time: everything that it holds, but for other modules."""
        namespace = vars(module)
        self.tokens.append("module")
        self.follows["code"][module.__name__] = None
        size = len(namespace)
        self.watch.more.append(lambda: len(namespace) == size)  # a name more
        for name in sorted(n for n in list(namespace) if isinstance(n, str)):
            value = namespace[name]
            if (name.startswith("__") and name.endswith("__") and name != "__getattr__") or isinstance(
                value, ModuleType
            ):
                continue
            self.watch.name(namespace, name, value)
            key = (id(namespace), name)
            token = self.bindings.get(key)
            if token is None:
                shown = f"{label_of(namespace)}.{name}"
                token = self.edge(value, shown, shown, True)
                self.bindings[key] = token if token[0] == "#" else f"{token} {number}.{name}"
            self.tokens.append(f"{name} {token}")
