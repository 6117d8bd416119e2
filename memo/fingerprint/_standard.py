"""Builtin and standard-library types: what each is made of, so that the encoding is the same in every Python.

Known by name, ``module.QualName``: nothing is imported for a type that the program does not use. Of subclasses only
the part is read here that the base class keeps, with the base class's own methods, whatever the subclass overrides.
"""

from __future__ import annotations

import sys
from marshal import dumps

from ._code import code_of
from ._digest import digest
from ._node import BARE, FIELDS, ITEMS, KEYED, PAIRS, SET, Node, Refusal, leaf, node
from ._objects import attributes, class_head
from ._refused import REFUSED
from ._values import sorted_keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._node import Described, Handler


def _count(items: Any) -> bytes:
    return len(items).to_bytes(4, "little")


# containers: the forms that _values gives up on


def _list(value: Any) -> Described:
    items = list.copy(value)
    return Node(b"[" + _count(items), items)


def _tuple(value: Any) -> Described:
    items = list(tuple.__iter__(value))
    fields = getattr(type(value), "_fields", None)  # of a named tuple
    if fields is not None and len(fields) == len(items):
        return Node(b"(" + _count(items), items, FIELDS, fields)
    return Node(b"(" + _count(items), items)


def _dict(value: Any) -> Described:
    items = dict(dict.items(value))
    keys = sorted_keys(items)
    if keys is None:
        keys = list(items)
        return Node(b"D" + _count(keys), [*keys, *items.values()], PAIRS, keys)
    return Node(b"d" + dumps(keys, 2), (keyed(keys, [items[key] for key in keys]),), BARE)


def keyed(keys: list[Any], values: list[Any]) -> Node:
    """Values in the order of their keys, encoded as a list; paths name the keys."""
    return Node(b"[" + _count(values), values, KEYED, keys)


def _set(value: Any) -> Described:
    items = list(set.__iter__(value))
    return Node(b"M" + _count(items), items, SET)


def _frozenset(value: Any) -> Described:
    items = list(frozenset.__iter__(value))
    return Node(b"Z" + _count(items), items, SET)


def _ordered_dict(value: Any) -> Described:
    pairs = list(sys.modules["collections"].OrderedDict.items(value))
    keys = [key for key, _ in pairs]
    return node("OrderedDict", (keys, keyed(keys, [item for _, item in pairs])))


def _defaultdict(value: Any) -> Described:
    return node("defaultdict", (value.default_factory, dict(dict.items(value))))


def _deque(value: Any) -> Described:
    return node("deque", list(value), ITEMS, content=value.maxlen)


def _keys(value: Any) -> Described:
    return node("dict_keys", list(value), SET)


def _dict_values(value: Any) -> Described:
    return node("dict_values", list(value), ITEMS)


def _dict_items(value: Any) -> Described:
    return node("dict_items", list(value), SET)


# buffers


def _bytearray(value: Any) -> Described:
    with memoryview(value) as view:
        return leaf("bytearray", len(view), digest(view))


def _memoryview(value: Any) -> Described:
    flat = value.cast("B") if value.c_contiguous and value.nbytes else value.tobytes()
    return leaf("memoryview", value.format, value.shape, digest(flat))


def _array(value: Any) -> Described:
    if value.typecode in "uw":
        text = value.tounicode()
        return leaf("array", value.typecode, len(value), digest(text.encode("utf-8", "surrogatepass")))
    if sys.byteorder == "big":
        value = value[:]
        value.byteswap()
    with memoryview(value) as view:
        return leaf("array", value.typecode, value.itemsize, len(value), digest(view.cast("B")))


def _bytes_io(value: Any) -> Described:
    with value.getbuffer() as view:
        return leaf("BytesIO", value.tell(), len(view), digest(view))


def _string_io(value: Any) -> Described:
    return leaf("StringIO", value.tell(), value.getvalue())


# time


def _zoned(name: str, content: tuple[Any, ...], zone: Any) -> Described:
    if zone is None:
        return leaf(name, *content)
    return node(name, (zone,), FIELDS, ("tzinfo",), content)


def _datetime(value: Any) -> Described:
    content = (
        value.year,
        value.month,
        value.day,
        value.hour,
        value.minute,
        value.second,
        value.microsecond,
        value.fold,
    )
    return _zoned("datetime", content, value.tzinfo)


def _time(value: Any) -> Described:
    return _zoned("time", (value.hour, value.minute, value.second, value.microsecond, value.fold), value.tzinfo)


def _timezone(value: Any) -> Described:
    offset, *name = value.__getinitargs__()
    return leaf("timezone", offset.days, offset.seconds, offset.microseconds, *name)


def _context_variable(value: Any) -> Described:
    """By what it is now, in the context of the call."""
    try:
        return node("ContextVar", (value.get(),), FIELDS, ("get()",), value.name)
    except LookupError:
        return leaf("ContextVar", value.name)


def _context(value: Any) -> Described:
    return node("Context", [(variable.name, item) for variable, item in value.items()], SET)


def _type_adapter(value: Any) -> Described:
    """Of pydantic; what it made of the type holds addresses."""
    names = ("_type", "_config")
    return node("TypeAdapter", [getattr(value, name, None) for name in names], FIELDS, names)


def _hash_object(value: Any) -> Described:
    return leaf("hash", value.name, value.digest(32) if "shake" in value.name else value.digest())


def _decimal_context(value: Any) -> Described:
    """Without the flags that using it sets."""
    traps = sorted(signal.__name__ for signal, on in value.traps.items() if on)
    return leaf(
        "decimal.Context", value.prec, value.rounding, value.Emin, value.Emax, value.capitals, value.clamp, traps
    )


def _zone_info(value: Any) -> Described:
    if value.key is None:
        raise Refusal("a ZoneInfo that was made from a file has no name")
    return leaf("ZoneInfo", value.key)


# code and what holds it


def _code(value: Any) -> Described:
    return leaf("code", code_of(value))


def class_value(value: Any) -> Described:
    return b"=" + dumps(("class",), 2) + class_head(value)


def _builtin(value: Any) -> Described:
    owner = value.__self__
    if owner is None or type(owner) is type(sys):
        return leaf("builtin", value.__module__ or "", value.__qualname__)
    return node("builtin method", (owner,), FIELDS, ("__self__",), value.__name__)


def _descriptor(value: Any) -> Described:
    return node("descriptor", (value.__objclass__,), content=value.__name__)


def _partial(value: Any) -> Described:
    return node(
        "partial",
        (value.func, value.args, dict(value.keywords), attributes(vars(value))),
        FIELDS,
        ("func", "args", "keywords", ""),
    )


def _parts(name: str, *fields: str) -> Handler:
    """A type that is no more than these attributes."""
    return lambda value: node(name, [getattr(value, field) for field in fields], FIELDS, fields)


def _exception(value: Any) -> Described:
    kept = [name for name in ("filename", "filename2", "path") if hasattr(value, name) and name not in vars(value)]
    return node(
        "exception", (value.args, attributes({name: getattr(value, name) for name in kept})), FIELDS, ("args", "")
    )


def _path(value: Any) -> Described:
    windows = isinstance(value, sys.modules["pathlib"].PureWindowsPath)
    return leaf("path" if hasattr(value, "exists") else "pure path", "windows" if windows else "posix", str(value))


def _decimal(value: Any) -> Described:
    sign, digits, exponent = value.as_tuple()  # str() depends on the context
    return leaf("Decimal", sign, "".join(map(str, digits)), exponent)


def _union(value: Any) -> Described:
    return node("union", list(value.__args__), SET)


_PATHS = [
    f"{module}.{name}"
    for module in ("pathlib", "pathlib._local")
    for name in ("PurePosixPath", "PureWindowsPath", "PosixPath", "WindowsPath")
]
_HASHES = (
    "_hashlib.HASH", "_hashlib.HASHXOF", "_hashlib.HMAC", "hmac.HMAC", "_md5.md5", "_sha1.sha1", "_blake2.blake2b",
    "_blake2.blake2s",
)  # fmt: skip
_ADDRESSES = [f"ipaddress.IPv{v}{kind}" for v in "46" for kind in ("Address", "Interface", "Network")]


def _address(name: str) -> Handler:
    return lambda value: leaf(name, str(value))


#: By module.QualName. Those whose values are immutable and small come first, see LEAVES.
HANDLERS: dict[str, Handler] = {
    "builtins.ellipsis": lambda value: leaf("Ellipsis"),
    "builtins.NotImplementedType": lambda value: leaf("NotImplemented"),
    "builtins.range": lambda value: leaf("range", value.start, value.stop, value.step),
    "datetime.date": lambda value: leaf("date", value.year, value.month, value.day),
    "datetime.datetime": _datetime,
    "datetime.time": _time,
    "datetime.timedelta": lambda value: leaf("timedelta", value.days, value.seconds, value.microseconds),
    "datetime.timezone": _timezone,
    "zoneinfo.ZoneInfo": _zone_info,
    "_contextvars.ContextVar": _context_variable,
    "decimal.Decimal": _decimal,
    "fractions.Fraction": lambda value: leaf("Fraction", value.numerator, value.denominator),
    "uuid.UUID": lambda value: leaf("UUID", value.int),
    **dict.fromkeys(_PATHS, _path),
    **{name: _address(name) for name in _ADDRESSES},
}
LEAVES = frozenset(HANDLERS)
HANDLERS |= {
    "builtins.int": lambda value: leaf("int", int.__index__(value)),
    "builtins.float": lambda value: leaf("float", float.__pos__(value)),
    "builtins.complex": lambda value: leaf("complex", complex.__pos__(value)),
    "builtins.str": lambda value: leaf("str", str.__str__(value)),
    "builtins.bytes": lambda value: leaf("bytes", bytes.__getitem__(value, slice(None))),
    "builtins.list": _list,
    "builtins.tuple": _tuple,
    "builtins.dict": _dict,
    "builtins.set": _set,
    "builtins.frozenset": _frozenset,
    "builtins.dict_keys": _keys,
    "builtins.dict_values": _dict_values,
    "builtins.dict_items": _dict_items,
    "builtins.mappingproxy": lambda value: node("mappingproxy", (dict(value),)),
    "types.SimpleNamespace": lambda value: node("SimpleNamespace", (attributes(vars(value)),)),
    "collections.OrderedDict": _ordered_dict,
    "collections.defaultdict": _defaultdict,
    "collections.deque": _deque,
    "builtins.bytearray": _bytearray,
    "builtins.memoryview": _memoryview,
    "array.array": _array,
    "_io.BytesIO": _bytes_io,
    "_io.StringIO": _string_io,
    "_struct.Struct": lambda value: leaf("Struct", value.format),
    "decimal.Context": _decimal_context,
    **dict.fromkeys(_HASHES, _hash_object),
    "typing.NewType": lambda value: node("NewType", (value.__supertype__,), content=value.__name__),
    "_contextvars.Context": _context,
    "pydantic.type_adapter.TypeAdapter": _type_adapter,
    "builtins.slice": _parts("slice", "start", "stop", "step"),
    "re.Pattern": lambda value: leaf("re.Pattern", value.pattern, value.flags),
    "types.UnionType": _union,
    "typing._UnionGenericAlias": _union,
    "typing.Union": _union,
    "builtins.BaseException": _exception,
    "builtins.function": _code,
    "builtins.module": _code,
    "builtins.builtin_function_or_method": _builtin,
    "builtins.method": _parts("method", "__func__", "__self__"),
    "builtins.method-wrapper": _parts("method-wrapper", "__self__", "__name__"),
    "builtins.method_descriptor": _descriptor,
    "builtins.classmethod_descriptor": _descriptor,
    "builtins.wrapper_descriptor": _descriptor,
    "builtins.getset_descriptor": _descriptor,
    "builtins.member_descriptor": _descriptor,
    "builtins.property": _parts("property", "fget", "fset", "fdel"),
    "builtins.staticmethod": _parts("staticmethod", "__func__"),
    "builtins.classmethod": _parts("classmethod", "__func__"),
    "functools.partial": _partial,
    "functools.cached_property": _parts("cached_property", "func", "attrname"),
    "functools._lru_cache_wrapper": _parts("lru_cache", "__wrapped__"),
    **REFUSED,
}
