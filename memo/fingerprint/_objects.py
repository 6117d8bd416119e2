"""Which handler takes a type, what stands for a class, and what any object is made of.

The order: what the user taught memo (``@hasher``, ``__memo_fingerprint__``, ``__dask_tokenize__``), then what memo
knows of the standard library and of the libraries for data, then class and reduced state, as pickle and copy take it
apart (``copyreg``, ``__reduce_ex__``, ``__getstate__``). Foreign types are recognised by the names of their classes'
modules, so nothing is imported that the program has not imported.
"""

from __future__ import annotations

import copyreg
import sys
from marshal import dumps

from ._code import code_of
from ._hooks import HASHERS
from ._node import BARE, FIELDS, Node, Refusal, node
from ._project import is_project_class, label_of
from ._values import LEAVES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from ._node import Described, Handler

#: Attributes that are computed from the others, with a hash seed at that.
DERIVED = frozenset({"_attrs_cached_hash", "__weakref__"})

#: Packages whose types have handlers of their own: module of this folder with ``handler(cls, name)``, and perhaps
#: ``extra(value)``: the attributes that a subclass added.
FAMILIES = {
    "numpy": "_arrays",
    "scipy": "_sparse",
    "torch": "_torch",
    "pandas": "_pandas",
    "polars": "_polars",
    "pyarrow": "_arrow",
    "networkx": "_networks",
}


class Plans(dict[type, "Handler"]):
    """The handlers found so far. It lives for one encoding only: classes may be patched and hashers added between two."""

    def __missing__(self, cls: type) -> Handler:
        found = self[cls] = handler_of(cls)
        return found


def kind_of(value: object) -> str:
    cls = type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def class_head(cls: type) -> bytes:
    """What stands for the class of an instance: its name, and for classes of the project the version of their code."""
    module = cls.__module__
    code = b""
    if is_project_class(cls):
        code = code_of(cls)
        space = sys.modules.get(module)
        module = label_of(vars(space)) if space is not None else module
    return dumps((module, cls.__qualname__, code), 2)


def handler_of(cls: type) -> Handler:
    for base in cls.__mro__:
        if base in HASHERS:
            return _taught(cls, HASHERS[base], "hasher")
    if cls.__module__ == "memo._reference":  # a reference is worth the value it leads to
        return lambda value: value.encoding
    if hasattr(cls, "__memo_fingerprint__"):
        return _taught(cls, cls.__memo_fingerprint__, "__memo_fingerprint__")
    if hasattr(cls, "__dask_tokenize__"):
        return _dask(cls)
    return _known(cls)


def _dask(cls: type) -> Handler:
    taught = _taught(cls, cls.__dask_tokenize__, "__dask_tokenize__")  # type: ignore[attr-defined]

    def handler(value: Any) -> Described:
        try:
            return taught(value)
        except ImportError:  # libraries have the method for those who have dask
            return _known(cls)(value)

    return handler


def _known(cls: type) -> Handler:
    from . import _standard

    if "enum" in sys.modules and isinstance(cls, sys.modules["enum"].EnumMeta):
        return _member(cls)
    if issubclass(cls, type):
        return _standard.class_value
    for base in cls.__mro__:
        name = f"{base.__module__}.{base.__qualname__}"
        known = _standard.HANDLERS.get(name)
        extra: Callable[[Any], Mapping[str, Any]] = _attributes_of
        if known is None:
            family = FAMILIES.get(base.__module__.partition(".")[0])
            if family is None or base.__module__.partition(".")[0] not in sys.modules:
                continue
            from importlib import import_module

            module = import_module(f"{__package__}.{family}")
            known = module.handler(base, name)
            extra = getattr(module, "extra", extra)
        if known is not None:
            if base is cls:
                if name in _standard.LEAVES:
                    LEAVES[cls] = known
                return known
            return _derived(cls, base, known, extra)
    if cls is object:
        return refuse("an object() has an identity, and no value")
    if hasattr(cls, "__next__"):
        return refuse("an iterator is used up by looking at it")
    return _object(cls)


def refuse(reason: str) -> Handler:
    def handler(value: Any) -> Described:
        raise Refusal(reason)

    return handler


def _taught(cls: type, function: Callable[[Any], Any], name: str) -> Handler:
    head = b">" + dumps((name,), 2) + class_head(cls)

    def handler(value: Any) -> Described:
        answer = function(value)
        if answer is value:
            raise Refusal(f"its {name} answers with the object itself")
        return Node(head, (answer,), BARE)

    return handler


def _derived(cls: type, base: type, known: Handler, extra: Callable[[Any], Mapping[str, Any]]) -> Handler:
    """A subclass of a known type: its class, what the base sees, and the attributes that came with the subclass."""
    head = b">" + dumps(("derived",), 2) + class_head(cls)
    slots = [name for name in _slots(cls) if not hasattr(base, name)]

    def handler(value: Any) -> Described:
        seen = known(value)
        added = dict(extra(value))
        added.update((name, getattr(value, name)) for name in slots if hasattr(value, name))
        content = Node(b"=" + seen, ()) if isinstance(seen, bytes) else seen
        return Node(head, (content, attributes(added)), BARE)

    return handler


def _attributes_of(value: Any) -> Mapping[str, Any]:
    return getattr(value, "__dict__", {})


def _slots(cls: type) -> list[str]:
    return list(copyreg._slotnames(cls))  # type: ignore[attr-defined]


def attributes(state: Mapping[Any, Any], left_out: frozenset[str] = DERIVED) -> Node:
    names = sorted([name for name in state if name not in left_out])
    return node("attributes", [state[name] for name in names], FIELDS, names, tuple(names))


def _member(cls: type) -> Handler:
    """A member of an enumeration is its name; a flag, which may combine several, its value."""
    head = class_head(cls)
    flag = issubclass(cls, sys.modules["enum"].Flag)

    def handler(value: Any) -> Described:
        return b"=" + dumps(("enum", value._value_ if flag else value._name_), 2) + head

    return handler


def _object(cls: type) -> Handler:
    """Any other object: its class and its state."""
    head = class_head(cls)
    own_state = getattr(cls, "__getstate__", None) is not object.__getstate__
    reducer = copyreg.dispatch_table.get(cls)

    def handler(value: Any) -> Described:
        try:
            reduced = reducer(value) if reducer is not None else value.__reduce_ex__(4)
        except Exception as error:
            raise Refusal(f"its state can't be had ({type(error).__name__}: {error})") from error
        if type(reduced) is str:
            return by_name(value, reduced, head)
        function, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        children: list[Any] = []
        name = getattr(function, "__name__", "")  # pickle knows these two by name as well
        if name in ("__newobj__", "__newobj_ex__") and arguments[0] is cls:
            arguments = arguments[1:]
        elif function is not cls:
            children.append(function)
        made = len(children)
        children.extend(arguments)
        if children:
            children = [node("arguments", children)]
        if type(state) is tuple and len(state) == 2 and not own_state and type(state[1]) is dict:
            state = {**(state[0] or {}), **state[1]}  # attributes and slots
        if type(state) is dict and all(type(name) is str for name in state):
            children.append(attributes(state))
        elif state is not None:
            children.append(state)
        if items is not None:
            children.append(list(items))
        if pairs is not None:
            children.append(dict(pairs))
        form = (made, bool(arguments), state is not None, items is not None, pairs is not None)
        return Node(b">" + dumps(("object", form), 2) + head, children, BARE)

    return handler


def by_name(value: Any, name: str, head: bytes) -> bytes:
    return b"=" + dumps(("global", _home(value, name), name), 2) + head


def _home(value: Any, name: str) -> str:
    """The module in which an object that is pickled by name is found."""
    for module in (getattr(value, "__module__", None), type(value).__module__):
        found: Any = sys.modules.get(module) if type(module) is str else None
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is value:
            return str(module)
    from pickle import whichmodule  # type: ignore[attr-defined]

    found = whichmodule(value, name)
    if getattr(sys.modules.get(found), name, None) is not value:
        raise Refusal("its state can't be had (it is pickled by a name that leads elsewhere)")
    return str(found)
