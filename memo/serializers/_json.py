"""Readable JSON for values that come back from it equal and of the same type; every other value is refused when stored.

The standard library's json, because others turn NaN into null without a word. The text ends with a newline, by which a
text cut off within a number ("12" of "123") is told from a whole one.
"""

from __future__ import annotations

from json import dumps, loads
from math import isfinite
from typing import Any

from memo.errors import DamagedError, UnstorableError

from ._same import named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FunctionType

    from memo.model import Buffer

    from ._typed import Typed

_LEAVES = frozenset({str, int, bool, type(None)})
_INSTEAD = (
    "say what the function returns in its annotation, for which msgspec or pydantic must be installed"
    " (pip install \"memo-persist[msgspec]\"), or store it with serializer='pickle'"
)
_BASES = ((tuple, "list"), (list, "list"), (dict, "dict"), (str, "str"), (int, "int"), (float, "float"))


class Json:
    """None, bool, int, float (finite), str, and lists and dicts (keys: str) of these, as UTF-8 text for people.

    ``dump`` raises UnstorableError naming the place inside the value (``value["a"][3]``) for whatever JSON would change:
    tuples, sets, bytes, keys that are not str, NaN and infinities, instances of subclasses.

    For a function whose return annotation says more than JSON has (``tuple[int, str]``, a dataclass, ``dict[int, date]``),
    results are decoded by that annotation, where msgspec or pydantic is installed: they come back equal and of the same
    types, or are refused when they are stored. What was stored under another such annotation is a miss.
    """

    name = "json"
    safe = True
    suffix = ".json"

    def bind(self, function: FunctionType, /) -> Json | Typed:
        """The serializer for what this function is annotated to return: itself where JSON has all of that."""
        if "return" not in function.__annotations__:
            return self
        from ._typed import typed

        return typed(function) or self

    def dump(self, value: Any, /) -> list[Buffer]:
        try:
            if fault := _fault(value):
                path, reason = fault
                raise UnstorableError(f"value{path} {reason}; {_INSTEAD}")
            text = dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
        except RecursionError:
            raise UnstorableError("the value is nested too deeply for JSON, or contains itself") from None
        except ValueError as error:
            if isinstance(error, UnstorableError):
                raise
            raise UnstorableError(f"the value can't be written as JSON: {error}") from error  # an int of 5000 digits
        return [_encoded(text + "\n", value)]

    def load(self, data: memoryview, /) -> Any:
        if bytes(data[-1:]) != b"\n":
            raise DamagedError("JSON that was cut off: there is no newline at its end")
        return loads(str(data, "utf-8", "surrogatepass"))


def _encoded(text: str, value: Any) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # lone surrogates, such as in undecodable file names
        data = text.encode("utf-8", "backslashreplace")  # "\ud800" is how JSON itself escapes them
        return data if loads(data) == value else text.encode("utf-8", "surrogatepass")  # two in a row would join


def _fault(value: Any) -> tuple[str, str] | None:
    """Where in the value is something that would not come back, and what."""
    kind = type(value)
    if kind in _LEAVES:
        return None
    if kind is float:
        return None if isfinite(value) else ("", f"is {value!r}, which JSON has no number for")
    if kind is list:
        for index, item in enumerate(value):
            if type(item) not in _LEAVES and (fault := _fault(item)):
                return f"[{index}]{fault[0]}", fault[1]
        return None
    if kind is dict:
        for key, item in value.items():
            if type(key) is not str:
                return "", f"has the key {key!r} of type {named(type(key))}; keys in JSON are str"
            if type(item) not in _LEAVES and (fault := _fault(item)):
                return f"[{dumps(key, ensure_ascii=False)}]{fault[0]}", fault[1]
        return None
    for base, back in _BASES:
        if isinstance(value, base):
            return "", f"is of type {named(kind)}, which would come back from JSON as {back}"
    return "", f"is of type {named(kind)}, which JSON does not have"
