"""What counts of a class: its own dictionary, but for what Python or a library put there by itself.

Generated methods (of dataclasses, attrs, named tuples, pydantic) are left out: their code differs between versions
of Python and follows from the fields, which count instead.
"""

from __future__ import annotations

import sys
from types import FunctionType

from ._project import label_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LEFT_OUT = frozenset(
    [
        "__doc__",
        "__module__",
        "__qualname__",
        "__weakref__",
        "__dict__",
        "_abc_impl",
        "__abstractmethods__",
        "__firstlineno__",
        "__static_attributes__",
        "__annotations__",
        "__annotate__",
        "__annotate_func__",
        "__annotations_cache__",
        "__parameters__",
        "__dataclass_fields__",
        "__dataclass_params__",
        "__attrs_attrs__",
        "__attrs_props__",
        "__attrs_own_setattr__",
        "_is_protocol",
        "_is_runtime_protocol",
        "__protocol_attrs__",
        "__non_callable_proto_members__",
        "__callable_proto_members_only__",
        "__classcell__",
        "__slotnames__",
        "__required_keys__",
        "__optional_keys__",
        "__readonly_keys__",
        "__mutable_keys__",
        "__closed__",
        "__extra_items__",
        "__type_params__",
        "__getstate__",
        "__setstate__",
        "__orig_bases__",
        "__signature__",
        "__msgspec_cache__",
        "__replace__",
    ]
)
_OF_ENUM = frozenset(
    [
        "_member_map_",
        "_member_names_",
        "_value2member_map_",
        "_unhashable_values_",
        "_unhashable_values_map_",
        "_hashable_values_",
        "_new_member_",
        "_use_args_",
        "_member_type_",
        "_value_repr_",
        "_generate_next_value_",
        "__new__",
        "_flag_mask_",
        "_boundary_",
        "_all_bits_",
        "_singles_mask_",
        "_inverted_",
        "_sort_order_",
        "__reduce_ex__",
        "__or__",
        "__and__",
        "__xor__",
        "__ror__",
        "__rand__",
        "__rxor__",
        "__invert__",
        "__format__",
        "__repr__",
        "__str__",
    ]
)
_OF_STRUCT = (
    "frozen", "eq", "order", "array_like", "repr_omit_defaults", "omit_defaults", "forbid_unknown_fields", "tag", "tag_field",
)  # fmt: skip
_OF_MEMBER = frozenset({"_value_", "_name_", "__objclass__", "_sort_order_", "_inverted_", "_hash_"})
_GENERATED = frozenset({"<string>", "<__array_function__ internals>"})


def class_items(cls: type) -> list[tuple[str, Any]]:
    """(name, value) of everything that makes the class what it is, sorted by name."""
    own = cls.__dict__
    items: dict[str, Any] = {}
    pydantic = "__pydantic_fields__" in own
    enum = sys.modules.get("enum")
    is_enum = enum is not None and isinstance(cls, enum.EnumMeta)
    for name, value in list(own.items()):  # a library may add to it from another thread
        if not counts(cls, name, value):
            continue
        if pydantic and name in ("model_fields", "__class_vars__", "__private_attributes__", "__fields__"):
            continue
        if is_enum and ((name in _OF_ENUM and not _written(name, value)) or name in own["_member_map_"]):
            continue
        function = getattr(value, "__func__", value)
        if type(function) is FunctionType and _is_generated(cls, name, function):
            continue
        if type(value).__name__ in ("member_descriptor", "getset_descriptor", "_tuplegetter"):
            items[name] = type(value).__name__
            continue
        items[name] = value
    if is_enum:
        items["order of members"] = tuple(own["_member_map_"])
        if own.get("_boundary_") is not None:
            items["boundary"] = own["_boundary_"]._name_
        for name, member in own["_member_map_"].items():
            items[f"member {name}"] = member._value_
    if "_field_defaults" in own and "_fields" in own:  # a named tuple
        del items["_field_defaults"]
        items.update((f"default {name}", value) for name, value in own["_field_defaults"].items())
    annotations = _annotations(cls)
    if len(annotations) > 1:  # that of fields, and thus of arguments
        items["order of annotations"] = tuple(annotations)
    for name, annotation in annotations.items():
        items[f": {name}"] = annotation if isinstance(annotation, type) else describe(annotation)
        for index, part in enumerate(_classes_in(annotation, cls)):  # libraries such as pydantic run these
            items[f": {name} {index}"] = part
    for name, field in _fields(cls).items():
        items[f"field {name}"] = field
    if own.get("__abstractmethods__"):
        items["abstract"] = tuple(sorted(own["__abstractmethods__"]))
    if "_abc_impl" in own:
        items.update(_registered(cls))
    if "__orig_bases__" in own:
        items["generic"] = tuple(describe(base) for base in own["__orig_bases__"])
    return sorted(items.items())


def attributes_of_members(cls: type) -> list[tuple[Any, str, Any]]:
    """(member, name, value) of what the members of an enumeration hold besides their names and values."""
    members = cls.__dict__.get("_member_map_")
    return [
        (member, name, value)
        for member in (members.values() if isinstance(members, dict) else ())
        for name, value in sorted(getattr(member, "__dict__", {}).items())
        if name not in _OF_MEMBER
    ]


def _registered(cls: type) -> dict[str, Any]:
    """The classes that were made subclasses of an abstract one by ``register``."""
    from _abc import _get_dump  # type: ignore[import-not-found]

    found = [known for known in (reference() for reference in _get_dump(cls)[0]) if known is not None]
    names = sorted(f"{known.__module__}.{known.__qualname__}" for known in found)
    return {"registered": tuple(names)} if names else {}


def counts(cls: type, name: str, value: Any) -> bool:
    """Not put there by Python or a library, which may do so at any time."""
    if name == "__init__" and _inherits(cls, value):
        return False
    return not ((name in _LEFT_OUT and not _written(name, value)) or name.startswith("__pydantic_"))


def _inherits(cls: type, init: Any) -> bool:
    """The first instance of a class derived from a Protocol writes down which ``__init__`` it inherits."""
    for base in cls.__mro__[1:]:
        inherited = base.__dict__.get("__init__")
        if inherited is not None and getattr(inherited, "__module__", "") != "typing":
            return inherited is init
    return False


def _written(name: str, value: Any) -> bool:
    """A method of that name is somebody's code, unless the library made it."""
    function = getattr(value, "__func__", value)
    return (
        type(function) is FunctionType
        and function.__code__.co_filename not in _GENERATED
        and function.__globals__.get("__name__", "").partition(".")[0] not in sys.stdlib_module_names
    )


def _is_generated(cls: type, name: str, function: FunctionType) -> bool:
    path = function.__code__.co_filename
    if path == "<string>":
        made_for = function.__globals__.get("__name__", "")
        return (name.startswith("__") and "__dataclass_fields__" in cls.__dict__) or str(made_for).startswith(
            "namedtuple_"
        )
    if path.startswith("<attrs generated"):
        return True
    module = str(function.__globals__.get("__name__"))
    return module.partition(".")[0] in (
        "typing",
        "collections",
        "dataclasses",
        "enum",
        "functools",
        "reprlib",
        "pydantic",
        "attr",
        "abc",
    ) and (name.startswith("_"))


def _annotations(cls: type) -> dict[str, Any]:
    if sys.version_info >= (3, 14):
        import annotationlib

        found = annotationlib.get_annotations(cls, format=annotationlib.Format.FORWARDREF)
    else:
        found = dict(cls.__dict__).get("__annotations__") or {}
    return dict(found)


def describe(annotation: Any, depth: int = 0) -> str:
    """A type expression as text that is the same in every process and version of Python."""
    if isinstance(annotation, str):
        return annotation
    if annotation is None or annotation is type(None):
        return "None"
    if isinstance(annotation, type) and not hasattr(annotation, "__origin__"):
        module = annotation.__module__
        space = sys.modules.get(module)
        label = label_of(vars(space)) if space is not None else module
        return annotation.__qualname__ if module == "builtins" else f"{label}.{annotation.__qualname__}"
    origin = getattr(annotation, "__origin__", None)
    arguments = getattr(annotation, "__args__", None)
    kind = type(annotation).__name__
    if kind in ("UnionType", "_UnionGenericAlias", "Union"):
        return "|".join(sorted(describe(a, depth + 1) for a in annotation.__args__))
    if origin is not None and depth < 20:
        more = (*(arguments or ()), *getattr(annotation, "__metadata__", ()))
        return f"{describe(origin, depth + 1)}[{','.join(describe(a, depth + 1) for a in more)}]"
    if kind == "ForwardRef":
        return str(annotation.__forward_arg__)
    if isinstance(annotation, (list, tuple)) and depth < 20:
        return "[" + ",".join(describe(a, depth + 1) for a in annotation) + "]"
    if isinstance(annotation, (bool, int, float, bytes, complex)):
        return f"{kind}:{annotation!r}"
    name = getattr(annotation, "__name__", None) or getattr(annotation, "_name", None)
    if isinstance(name, str):
        return name
    text = repr(annotation)
    return kind if " at 0x" in text else text


def _classes_in(annotation: Any, cls: type) -> list[type]:
    """The classes that a type expression names, as objects or as words of a text."""
    found: dict[type, None] = {}
    todo, limit = [annotation], 100
    for part in todo:
        if isinstance(part, str):
            space = getattr(sys.modules.get(cls.__module__), "__dict__", {})
            todo += [space[word] for word in _words(part) if isinstance(space.get(word), type)]
        elif isinstance(part, type) and not hasattr(part, "__origin__"):
            if part is not cls and part is not annotation and part.__module__ != "builtins":
                found[part] = None
        elif type(part).__name__ == "ForwardRef":
            todo.append(part.__forward_arg__)
        elif isinstance(part, (list, tuple)):
            todo += part
        elif len(todo) < limit:
            todo += [a for a in (getattr(part, "__args__", None) or ()) if not isinstance(a, (int, bytes))]
    return sorted(found, key=lambda c: (c.__module__, c.__qualname__))


def _words(text: str) -> list[str]:
    out, word = set(), ""
    for character in text + " ":
        if character.isidentifier() or (word and character.isdigit()):
            word += character
        elif word:
            out.add(word)
            word = ""
    return sorted(out)


def _fields(cls: type) -> dict[str, Any]:
    """The fields of a dataclass, an attrs class or a pydantic model, as tuples of what the user said about each."""
    own = cls.__dict__
    out: dict[str, Any] = {}
    dataclasses = sys.modules.get("dataclasses")
    if "__dataclass_fields__" in own and dataclasses is not None:
        for name, field in own["__dataclass_fields__"].items():
            said = {"default": field.default, "factory": field.default_factory}
            for key, value in said.items():
                if value is not dataclasses.MISSING:
                    out[f"{name} {key}"] = value
            out[name] = (field.init, field.repr, field.compare, field.hash, bool(field.kw_only))
            for key, value in field.metadata.items():
                out[f"{name} metadata {key}"] = value
        params = own["__dataclass_params__"]
        out["params"] = tuple(
            bool(getattr(params, k)) for k in ("init", "repr", "eq", "order", "unsafe_hash", "frozen")
        )
    if "__attrs_attrs__" in own:
        out["order"] = tuple(field.name for field in own["__attrs_attrs__"])
    for field in own.get("__attrs_attrs__", ()):
        out[field.name] = tuple(bool(getattr(field, key)) for key in ("repr", "eq", "order", "init", "kw_only"))
        for key in ("validator", "converter", "default", "on_setattr"):
            value = getattr(field, key)
            if key == "default" and type(value).__name__ == "Factory":
                value = value.factory
            elif key == "default" and type(value).__name__ == "_Nothing":
                continue
            if value is not None:
                out[f"{field.name} {key}"] = value
    for name, field in (own.get("__private_attributes__") or {}).items():
        for key in ("default", "default_factory"):
            value = getattr(field, key, None)
            if value is not None and type(value).__name__ != "PydanticUndefinedType":
                out[f"{name} {key}"] = value
    if "__struct_fields__" in dir(type(cls)):  # msgspec keeps them where no dictionary shows them
        out["struct"] = tuple(cls.__struct_encode_fields__)  # type: ignore[attr-defined]
        out["struct options"] = tuple(ascii(getattr(cls.__struct_config__, key, None)) for key in _OF_STRUCT)  # type: ignore[attr-defined]
        for index, value in enumerate(cls.__struct_defaults__):  # type: ignore[attr-defined]
            if type(value).__module__ != "msgspec._core":
                out[f"default {index}"] = value
            elif hasattr(value, "factory"):
                out[f"default {index} factory"] = value.factory
    for name, field in (own.get("__pydantic_fields__") or {}).items():
        for key in ("default", "default_factory", "alias", "validation_alias", "metadata", "frozen", "discriminator"):
            value = getattr(field, key, None)
            if value is not None and type(value).__name__ != "PydanticUndefinedType":
                out[f"{name} {key}"] = value
    return out
