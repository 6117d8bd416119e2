"""Arrays, dicts of arrays and frames as an HDF5 file that any program opens: written by h5py, or as PyTables writes.

A group is a dict, a list, a tuple or a frame, a dataset is an array or a number; a value that is no group is the dataset
``/value``. What it was says the attribute ``memo`` of each, as JSON. Both kinds of file are read with h5py, since PyTables
unpickles whatever looks like a pickle in the attributes of a file that it opens. Links to other files are not followed.
"""

from __future__ import annotations

import json
from keyword import iskeyword
from typing import Any

from memo._libhdf5 import h5py_file, need, tables_file
from memo.errors import DamagedError, UnstorableError

from ._hdf5_nodes import Node, named_members, node_of, value_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from memo.model import Buffer

_NOTE = "memo"
_LONGEST = 60_000  # bytes of a note: attributes have room for 64 KB


class Hdf5:
    """Arrays of numbers, texts, times and records; numbers, str, bytes, None; dicts (keys: str), lists and tuples of
    them; ``pandas.DataFrame`` and ``Series`` without columns of objects.

    ``dump`` raises UnstorableError for what would not come back equal and of the same type, the constructor ImportError
    without h5py. Storing a value takes up to four times its size of further memory.
    """

    name = "hdf5"
    suffix = ".h5"
    safe = True

    def __init__(self) -> None:
        need("h5py", "hdf5")

    def dump(self, value: Any, /) -> list[Buffer]:
        node = _root(value)
        with h5py_file() as file:
            _note(file.attrs, node.note)
            _write(file, node.content)
            file.flush()
            return [file.id.get_file_image()]

    def load(self, data: memoryview, /) -> Any:
        with h5py_file(data) as file:
            root = _read(file, len(data))
        return value_of(root.content["value"] if root.note["kind"] == "value" else root)


class Pytables:
    """As `Hdf5`, in files as PyTables makes them: an Array for an array, a Table for records (of one dimension).

    The constructor raises ImportError without PyTables and h5py.
    """

    name = "pytables"
    suffix = ".h5"
    safe = True

    def __init__(self) -> None:
        need("tables", "pytables")
        need("h5py", "pytables")

    def dump(self, value: Any, /) -> list[Buffer]:
        node = _root(value)
        with tables_file() as file:
            _note(file.root._v_attrs, node.note)
            _write_tables(file, file.root, node.content)
            return [file.get_file_image()]

    load = Hdf5.load


def _root(value: Any) -> Node:
    node = node_of(value)
    return node if isinstance(node.content, dict) else Node({"kind": "value"}, {"value": node})


def _note(attributes: Any, note: dict[str, Any]) -> None:
    import numpy

    text = json.dumps(note).encode()
    if len(text) > _LONGEST:
        raise UnstorableError("HDF5 has room for 64 KB of names and attrs a frame: use serializer='pickle'")
    attributes[_NOTE] = numpy.bytes_(text)


def _write(group: Any, content: dict[str, Node]) -> None:
    for name, note, inner in named_members(content, _is_name):
        if isinstance(inner, dict):
            made = group.create_group(name)
            _write(made, inner)
        else:
            made = group.create_dataset(name, data=inner)
        _note(made.attrs, note)


def _read(node: Any, size: int) -> Node:
    """``size``: of the file; no array in it can be larger."""
    import h5py
    import numpy

    note = json.loads(bytes(node.attrs[_NOTE]))
    if isinstance(node, h5py.Dataset):
        if node.nbytes > size or node.external or node.is_virtual or node.dtype.hasobject:
            raise DamagedError(f"a dataset {node.name} that memo has not written")
        array = numpy.empty(node.shape, node.dtype)
        if array.size:
            node.read_direct(array)
        return Node(note, array)
    members = []
    for name in node:
        if not isinstance(node.get(name, getlink=True), h5py.HardLink):
            raise DamagedError(f"a link in {node.name}, which memo never makes")
        members.append((name, _read(node[name], size)))
    members.sort(key=lambda member: member[1].note["at"])
    return Node(note, {inner.note.get("key", name): inner for name, inner in members})


def _write_tables(file: Any, group: Any, content: dict[str, Node]) -> None:
    for name, note, inner in named_members(content, _is_natural):
        if isinstance(inner, dict):
            made = file.create_group(group, name)
            _write_tables(file, made, inner)
        else:
            make = file.create_table if inner.dtype.names else file.create_array
            try:
                made = make(group, name, obj=inner)
                if inner.dtype.names and (inner.ndim != 1 or made.description._v_dtype != inner.dtype):
                    raise ValueError("it would be another table")
                if _is_cut(inner):
                    raise ValueError("a text would end at its first \\0")
            except (TypeError, ValueError, LookupError, RuntimeError) as error:
                raise UnstorableError(
                    f"PyTables can't store an array of {inner.dtype} in {inner.ndim} dimensions ({error}):"
                    f" use serializer='hdf5'"
                ) from error
        _note(made._v_attrs, note)


def _is_name(key: str) -> bool:
    return key.isprintable() and "/" not in key and key not in ("", ".")


def _is_cut(array: Any) -> bool:
    """Whether it has texts with a zero in them."""
    if array.dtype.names:
        return any(_is_cut(array[name]) for name in array.dtype.names)
    return array.dtype.kind == "S" and any(b"\0" in text for text in array.ravel().tolist())


def _is_natural(key: str) -> bool:
    """Names that PyTables takes without a warning."""
    return key.isidentifier() and not iskeyword(key) and not key.startswith("_")
