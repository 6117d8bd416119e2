"""pyarrow: columns by type and values, whatever their chunks, offsets, dictionaries, and bytes under missing values.

Each array is brought to one form: numbers with nought where a value is missing, lengths instead of offsets, the
values instead of a dictionary's numbers; then its buffers are hashed where they lie.
"""

from __future__ import annotations

import sys

from ._digest import digest
from ._node import BARE, FIELDS, KEYED, Node, leaf, node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._node import Described, Handler


def handler(cls: type, name: str) -> Handler | None:
    arrow = sys.modules["pyarrow"]
    if cls is arrow.Table or cls is arrow.RecordBatch:
        return _table
    if cls is arrow.ChunkedArray or issubclass(cls, arrow.Array):
        return lambda value: node(
            "arrow", (values(value),), content="chunked" if cls is arrow.ChunkedArray else "array"
        )
    if issubclass(cls, arrow.Scalar):
        return lambda value: node("arrow", (values(arrow.array([value.as_py()], value.type)),), content="scalar")
    if issubclass(cls, arrow.DataType):
        return lambda value: leaf("arrow.type", _name(value))
    if cls is arrow.Field:
        return _field
    if cls is arrow.Schema:
        return lambda value: node("arrow.schema", ([value.field(i) for i in range(len(value))], value.metadata))
    if cls is arrow.Buffer:
        return lambda value: leaf("arrow.buffer", value.size, digest(memoryview(value)))
    return None


def _name(kind: Any) -> str:
    return str(kind)  # pyarrow's own notation: it says all that makes two types equal, but for metadata of fields


def _field(value: Any) -> Described:
    return node("arrow.field", (value.type, value.metadata), content=(value.name, value.nullable))


def _table(value: Any) -> Described:
    columns = [node("column", (values(column),)) for column in value.columns]
    content = Node(b"[" + len(columns).to_bytes(4, "little"), columns, KEYED, value.column_names)
    parts = (value.schema, content)
    return node("arrow.table", parts, FIELDS, ("schema", ""), (type(value).__qualname__, value.num_rows))


def values(array: Any) -> Node:
    """An array (or one in chunks) as a node of its own."""
    arrow = sys.modules["pyarrow"]
    if isinstance(array, arrow.ChunkedArray):
        array = (
            array.chunk(0)
            if array.num_chunks == 1
            else arrow.concat_arrays(array.chunks or [arrow.array([], array.type)])
        )
    kind, types = array.type, arrow.types
    if isinstance(kind, arrow.BaseExtensionType):
        return node("arrow", (values(array.storage),), content=_name(kind))
    if types.is_dictionary(kind):
        return node("arrow", (values(array.dictionary_decode()),), content=_name(kind))
    missing = _bits(array.is_null()) if array.null_count else None
    head = (_name(kind), len(array), missing)
    if types.is_null(kind):
        return node("arrow", (), content=head)
    if types.is_struct(kind):
        return node("arrow", [values(part) for part in array.flatten()], content=head)
    if types.is_boolean(kind):
        return node("arrow", (), content=(*head, _bits(array.fill_null(False))))
    if types.is_map(kind):
        entry = arrow.struct([("key", kind.key_type), ("value", kind.item_type)])
        return _lists(array.cast(arrow.list_(entry)), head)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _lists(array, head)
    if types.is_string(kind) or types.is_binary(kind) or types.is_large_string(kind) or types.is_large_binary(kind):
        return _texts(array, head)
    if types.is_string_view(kind) or types.is_binary_view(kind):
        wide = arrow.large_string() if types.is_string_view(kind) else arrow.large_binary()
        return _texts(array.cast(wide), head)
    if types.is_primitive(kind) or types.is_decimal(kind) or types.is_fixed_size_binary(kind):
        return _fixed(array, head)
    return node("arrow", (array.to_pylist(),), content=head)  # unions, run lengths, views of lists


def _bits(array: Any) -> bytes:
    """The digest of an array of truth values, one byte each."""
    return digest(array.cast("uint8").to_numpy(zero_copy_only=False))


def _fixed(array: Any, head: tuple[Any, ...]) -> Node:
    arrow = sys.modules["pyarrow"]
    width = array.type.byte_width if not arrow.types.is_decimal(array.type) else array.type.bit_width // 8
    start, stop = array.offset * width, (array.offset + len(array)) * width
    view = memoryview(array.buffers()[1])[start:stop] if stop > start else b""
    if array.null_count:  # the bytes of a missing value mean nothing
        numpy = sys.modules["numpy"]
        rows = numpy.frombuffer(view, "u1").reshape(-1, width).copy()
        rows[array.is_null().to_numpy(zero_copy_only=False)] = 0
        view = rows.reshape(-1)
    return node("arrow", (), content=(*head, digest(view)))


def _texts(array: Any, head: tuple[Any, ...]) -> Node:
    import pyarrow.compute as compute

    if array.null_count:
        array = array.fill_null("" if "string" in str(array.type) else b"")
    lengths = compute.binary_length(array).cast("int64")
    total = compute.sum(lengths).as_py() or 0
    if not total:
        data: Any = b""
    else:
        _, offsets, content = array.buffers()
        large = "large" in str(array.type)
        first = memoryview(offsets).cast("q" if large else "i")[array.offset]
        data = memoryview(content)[first : first + total]
    return node("arrow", (), content=(*head, digest(_bytes(lengths)), total, digest(data)))


def _bytes(numbers: Any) -> Any:
    return numbers.to_numpy(zero_copy_only=False).view("u1") if len(numbers) else b""


def _lists(array: Any, head: tuple[Any, ...]) -> Node:
    import pyarrow.compute as compute

    lengths = compute.list_value_length(array).cast("int64").fill_null(0)
    return node("arrow", (values(array.flatten()),), BARE, content=(*head, digest(_bytes(lengths))))
