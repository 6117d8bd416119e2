"""Values as the nodes of an HDF5 file, and back: a note that says what it was, and an array or more nodes by name.

The one decision: notes are JSON, and whatever is not told by note and array is refused; nothing is ever pickled. HDF5
has no times and no texts of numpy's kind, so times are stored as the numbers that they are and texts in UTF-8, with the
dtype in the note.
"""

from __future__ import annotations

from collections.abc import Callable

from memo._tuples import NamedTuple
from memo.errors import DamagedError, UnstorableError

from ._same import named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KINDS = "?biufcSUmM"  # of numpy's dtypes, besides records
_NUMBERS = {"bool": bool, "int": int, "float": float, "complex": complex}
_GROUPS: dict[str, type] = {"dict": dict, "list": list, "tuple": tuple}


class Node(NamedTuple):
    note: dict[str, Any]
    content: Any  #: an array of a dtype that HDF5 has, or a dict of nodes


def node_of(value: Any, path: str = "value") -> Node:
    """Raises UnstorableError for what would not come back equal and of the same type."""
    import numpy

    from ._numpy import as_read

    kind = type(value)
    if kind is numpy.ndarray:
        return _of_array({"kind": "array"}, value, path)
    if isinstance(value, numpy.generic) and kind is type(numpy.empty((), as_read(value.dtype))[()]):
        return _of_array({"kind": "scalar"}, numpy.asarray(value), path)
    if kind in _NUMBERS.values() and not (kind is int and value.bit_length() > 63):
        return Node({"kind": kind.__name__}, numpy.array(value))
    if kind is str:
        return Node({"kind": "str"}, texts([value], path).reshape(()))
    if kind is bytes:
        return Node({"kind": "bytes"}, numpy.frombuffer(value, "u1"))
    if value is None:
        return Node({"kind": "None"}, numpy.empty(0, "u1"))
    if kind is dict:
        for key in value:
            if type(key) is not str:
                raise UnstorableError(f"HDF5 has names for keys: {path} has the key {key!r}; use serializer='pickle'")
        return Node({"kind": "dict"}, {key: node_of(item, f"{path}[{key!r}]") for key, item in value.items()})
    if kind in (list, tuple):
        items = enumerate(value)
        return Node({"kind": kind.__name__}, {str(at): node_of(item, f"{path}[{at}]") for at, item in items})
    if kind.__module__.partition(".")[0] == "pandas" and kind.__name__ in ("DataFrame", "Series"):
        from . import _hdf5_pandas

        return _hdf5_pandas.node_of_table(value, path)
    why = "an int beyond 64 bits" if kind is int else f"of type {named(kind)}"
    raise UnstorableError(
        f"HDF5 stores arrays, numbers, texts, frames of pandas, and dicts, lists and tuples of them; {path} is {why}:"
        f" use serializer='pickle'"
    )


def value_of(node: Node) -> Any:
    kind, content = node.note["kind"], node.content
    if kind in ("array", "scalar"):
        array = _as_it_was(content, node.note["dtype"])
        return array if kind == "array" else array[()]
    if kind in _NUMBERS:
        return _NUMBERS[kind](content.item())
    if kind == "str":
        return texts_of(content.reshape(1))[0]
    if kind == "bytes":
        return content.tobytes()
    if kind == "None":
        return None
    if kind in _GROUPS:
        items = {key: value_of(item) for key, item in content.items()}
        return items if kind == "dict" else _GROUPS[kind](items.values())
    if kind in ("pandas.DataFrame", "pandas.Series"):
        from . import _hdf5_pandas

        return _hdf5_pandas.table_of(node)
    raise DamagedError(f"a value of kind {kind!r}, which memo does not know")


def _of_array(note: dict[str, Any], array: Any, path: str) -> Node:
    import numpy
    from numpy.lib import format

    from ._numpy import as_read

    dtype = array.dtype
    if (dtype.kind not in _KINDS and not dtype.names) or dtype.hasobject or repr(as_read(dtype)) != repr(dtype):
        raise UnstorableError(f"HDF5 has no place for the dtype of {path}, {dtype}: use serializer='pickle'")
    note = {**note, "dtype": format.dtype_to_descr(dtype)}
    if dtype.kind in "mM":
        return Node(note, array.view(f"{dtype.str[0]}i8"))
    if dtype.kind == "U":
        try:
            return Node(note, numpy.asarray(numpy.char.encode(array, "utf-8")))
        except UnicodeEncodeError as error:
            raise UnstorableError(f"{path} has a text that is no Unicode: {error}; use serializer='pickle'") from error
    return Node(note, array)


def _as_it_was(array: Any, description: Any) -> Any:
    import numpy
    from numpy.lib import format

    dtype = format.descr_to_dtype(_with_tuples(description))
    if dtype.hasobject:
        raise DamagedError("an array of objects, which memo never writes")
    if dtype.kind == "U":
        return numpy.asarray(numpy.char.decode(array, "utf-8")).astype(dtype)
    return array.view(dtype)


def _with_tuples(description: Any) -> Any:
    """JSON has made lists of the tuples in a record's dtype."""
    if isinstance(description, str):
        return description
    return [(name, _with_tuples(kind), *map(tuple, shape)) for name, kind, *shape in description]


def texts(values: list[str], path: str) -> Any:
    """Texts as an array of bytes in UTF-8, all of the longest's length."""
    import numpy

    try:
        encoded = [value.encode() for value in values]
    except UnicodeEncodeError as error:
        raise UnstorableError(f"{path} has a text that is no Unicode: {error}; use serializer='pickle'") from error
    longest = max(map(len, encoded), default=0) or 1
    if longest * len(encoded) > 8 * sum(map(len, encoded)) + (1 << 20):
        raise UnstorableError(
            f"in HDF5 all texts of {path} would be as long as the longest, {longest} bytes: use serializer='pickle'"
        )
    if any(value.endswith(b"\0") for value in encoded):
        raise UnstorableError(f"{path} has a text that ends in \\0, which HDF5 loses: use serializer='pickle'")
    return numpy.array(encoded, f"S{longest}")


def texts_of(array: Any) -> list[str]:
    return [value.decode() for value in array.tolist()]


def named_members(content: dict[str, Node], valid: Callable[[str], bool]) -> list[tuple[str, dict[str, Any], Any]]:
    """(name, note, content) of the nodes in a group: their keys as names if all can be, else their positions.

    HDF5 may list members in another order, and some keys can't be names: so each note has its place, and such a key.
    """
    as_keys = all(map(valid, content))
    members = []
    for at, (key, node) in enumerate(content.items()):
        note = {"at": at, **node.note} if as_keys else {"at": at, "key": key, **node.note}
        members.append((key if as_keys else f"n{at}", note, node.content))
    return members
