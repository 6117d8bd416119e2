"""JSON that comes back as what the function says that it returns: dataclasses, tuples, sets, dates, models, int keys.

msgspec or pydantic decode by the annotation; neither is believed. What is stored is decoded again at once and refused
unless it is the value, in its types and all the way down. The digest of the annotation (of the fields of its classes as
well) is in the serializer's name, ``json:<16 hex>``, so a result is never decoded as another type than it was stored as.
"""

from __future__ import annotations

import enum
import re
import typing
from collections.abc import Callable
from types import NoneType, SimpleNamespace, UnionType
from typing import Any

from memo.errors import DamagedError, UnstorableError

from ._same import changed_in, is_record, named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FunctionType

    from memo.model import Buffer

#: what msgspec decodes to the very type; it takes any other class as well, and fails at the first value
_MSGSPEC = {
    *("bool", "int", "float", "str", "bytes", "bytearray", "NoneType", "list", "tuple", "set", "frozenset", "dict"),
    *("object", "decimal.Decimal", "uuid.UUID"),
    *("datetime.datetime", "datetime.date", "datetime.time", "datetime.timedelta"),
}
_UNIONS = (typing.Union, UnionType)
_JSON = {None, NoneType, bool, int, float, str, list, dict, object, Any}


class Typed:
    """A serializer for one annotation. ``dump`` raises UnstorableError, naming the place, for what would not come back."""

    suffix = ".json"
    safe = True  # code runs at loading only as far as the annotated classes have validators: none that the data choose

    def __init__(self, digest: str, shown: str, encode: Callable[[Any], bytes], decode: Callable[[Any], Any]) -> None:
        self.name = f"json:{digest}"
        self._shown, self._encode, self._decode = shown, encode, decode

    def __repr__(self) -> str:
        return f"Json() for {self._shown}"

    def dump(self, value: Any, /) -> list[Buffer]:
        try:
            data = self._encode(value)
            changed = changed_in(value, self._decode(data))
        except Exception as error:  # each library has its own
            raise UnstorableError(
                f"a {type(value).__qualname__} can't be written as JSON and read back as {self._shown}: {error}"
            ) from error
        if changed:
            raise UnstorableError(
                f"value{changed[0]} {changed[1]} when it is read back from JSON as {self._shown}; annotate what the"
                f" function returns more exactly, or store it with serializer='pickle'"
            )
        return [data + b"\n"]

    def load(self, data: memoryview, /) -> Any:
        if bytes(data[-1:]) != b"\n":
            raise DamagedError("JSON that was cut off: there is no newline at its end")
        return self._decode(data)


def typed(function: FunctionType) -> Typed | None:
    """The serializer for what a function is annotated to return.

    None where that is what JSON has itself, or nothing that can be found out, or neither msgspec nor pydantic is
    installed or knows it.
    """
    annotation = _returned(function)
    if annotation is None or _is_json(annotation):
        return None
    kinds: dict[Any, None] = {}
    try:
        told = _told(annotation, kinds)
    except Exception:  # fields whose types are for type checkers only: nobody could decode them
        return None
    for engine in (_msgspec, _pydantic):
        try:
            encode, decode = engine(annotation, kinds)
        except Exception:  # it is not installed, or does not know such a type
            continue
        from blake3 import blake3

        digest: str = blake3(f"{engine.__name__} {told}".encode()).hexdigest(8)
        return Typed(digest, _shown(annotation), encode, decode)
    return None


# ------------------------------------------------------------------------------------------------------- annotations


def _returned(function: FunctionType) -> Any:
    try:
        annotation = function.__annotations__.get("return")
        if annotation is None:
            return None
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        names = {name: cell.cell_contents for name, cell in cells}
        # that of the result alone: another one that can't be found must not be in its way
        holder: Any = SimpleNamespace(__annotations__={"return": annotation})
        return typing.get_type_hints(holder, function.__globals__, names, include_extras=True)["return"]
    except Exception:  # names that are for type checkers only, empty cells
        return None


def _is_json(annotation: Any) -> bool:
    """Whether JSON itself tells all values of that type apart."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is None:
        return isinstance(annotation, typing.Hashable) and annotation in _JSON
    if origin is dict:
        return arguments[0] is str and _is_json(arguments[1])
    return origin in (list, *_UNIONS) and all(map(_is_json, arguments))


def _shown(annotation: Any) -> str:
    return (
        annotation.__qualname__ if isinstance(annotation, type) and not typing.get_args(annotation) else str(annotation)
    )


def _told(annotation: Any, kinds: dict[Any, None]) -> str:
    """The annotation in words that are another's whenever the decoded value could be. ``kinds``: the classes in it."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return f"Literal{arguments!r}"
    if origin is typing.Annotated:
        return (
            f"{_told(annotation.__origin__, kinds)} {re.sub(' at 0x[0-9a-fA-F]+', '', repr(annotation.__metadata__))}"
        )
    if origin in _UNIONS:
        return " | ".join(_told(each, kinds) for each in arguments)
    if arguments:
        return f"{_told(origin, kinds)}[{', '.join(_told(each, kinds) for each in arguments)}]"
    if annotation is None:
        annotation = NoneType
    if hasattr(annotation, "__value__"):  # type X = ...
        return _told(annotation.__value__, kinds)
    if hasattr(annotation, "__supertype__"):  # NewType
        return _told(annotation.__supertype__, kinds)
    if not isinstance(annotation, type):
        return str(annotation)
    name = named(annotation)
    if annotation in kinds:
        return name
    kinds[annotation] = None
    if issubclass(annotation, enum.Enum):
        return f"{name}{[(member.name, repr(member.value)) for member in annotation]}"
    fields = _fields(annotation)
    if not fields:
        return name
    defaults = [(key, _default(of)) for key, of in _omitted(annotation).items()]
    return f"{name}{{{', '.join(f'{key}: {_told(each, kinds)}' for key, each in fields.items())}}}{defaults or ''}"


def _fields(kind: type) -> dict[str, Any]:
    for own in ("model_fields", "__pydantic_fields__"):  # pydantic's models and dataclasses
        if fields := kind.__dict__.get(own) or getattr(kind, own, None):
            return {f"{name} {field.alias or ''}": field.annotation for name, field in fields.items()}
    if not is_record(kind):
        return {}
    return typing.get_type_hints(kind, include_extras=True)


def _omitted(kind: type) -> dict[str, Any]:
    """Defaults that stand for fields which are not written."""
    fields = getattr(kind, "__pydantic_fields__", {})
    found = {name: field.default_factory or field.default for name, field in fields.items()}
    if hasattr(kind, "__struct_defaults__"):  # msgspec's structs
        found |= {str(index): default for index, default in enumerate(kind.__struct_defaults__)}
    return found


def _default(value: Any) -> str:
    plain = value is None or type(value) in (bool, int, float, str, bytes)
    return repr(value) if plain else named(value if isinstance(value, type) else type(value))


# --------------------------------------------------------------------------------------------------------- libraries


def _msgspec(annotation: Any, kinds: dict[Any, None]) -> tuple[Callable[[Any], bytes], Callable[[Any], Any]]:
    import msgspec

    for kind in kinds:
        if named(kind) not in _MSGSPEC and not (is_record(kind) or issubclass(kind, enum.Enum)):
            raise TypeError(kind)
        if hasattr(kind, "__pydantic_validator__"):
            raise TypeError(kind)
    decode = msgspec.json.Decoder(annotation).decode
    encode = msgspec.json.Encoder().encode
    return lambda value: msgspec.json.format(encode(value), indent=2), decode


def _pydantic(annotation: Any, kinds: dict[Any, None]) -> tuple[Callable[[Any], bytes], Callable[[Any], Any]]:
    import pydantic

    adapter = pydantic.TypeAdapter(annotation)

    def encode(value: Any) -> bytes:
        # fields that were not set are left out, since a model knows which were
        options = {"by_alias": True, "exclude_unset": True, "round_trip": True, "warnings": False}
        return adapter.dump_json(value, indent=2, **options)  # type: ignore[arg-type]

    return encode, lambda data: adapter.validate_json(bytes(data))
