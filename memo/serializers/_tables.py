"""Tables of pandas and polars as Arrow's, and back as they were."""

from __future__ import annotations

import json
import sys
from typing import Any

from memo.errors import DamagedError, UnstorableError

from ._same import changed_in, named

_KEY = b"memo"
_MAPPED = "iufmM"  # kinds of numpy's dtypes that lie in Arrow's memory as in numpy's


def table_of(value: Any, serializer: str, *, views: bool) -> Any:
    """The table of a value; UnstorableError for what is none, or has something that Arrow does not.

    ``views``: texts of polars as they lie in its memory, in a form that Arrow has and Parquet has not.
    """
    import pyarrow

    kind, made = named(type(value)), None
    notes: dict[str, Any] = {}
    try:
        if type(value) is pyarrow.Table:
            kind, made = "pyarrow.Table", value
        elif type(value) is getattr(sys.modules.get("polars"), "DataFrame", None):
            kind, made = "polars.DataFrame", _of_polars(value, views)
        elif type(value) is getattr(sys.modules.get("polars"), "Series", None):
            kind, made = "polars.Series", _of_polars(value.to_frame(), views)
        elif type(value) is getattr(sys.modules.get("pandas"), "DataFrame", None):
            kind, (made, notes) = "pandas.DataFrame", _of_pandas(value)
        elif type(value) is getattr(sys.modules.get("pandas"), "Series", None):
            kind, (made, notes) = "pandas.Series", _of_pandas(value.to_frame("value"))
            if type(value.name) not in (str, int, type(None)):
                raise TypeError(f"its name is {value.name!r}, neither a text nor a number")
            notes |= {"name": value.name, "attrs": value.attrs}
    except (pyarrow.ArrowException, TypeError, ValueError, OverflowError, NotImplementedError) as error:
        raise UnstorableError(f"serializer={serializer!r} can't store this {kind}: {error}") from error
    if made is None:
        raise UnstorableError(
            f"serializer={serializer!r} stores tables of pandas, polars and pyarrow, not {kind}; use serializer='pickle'"
        )
    metadata = made.schema.metadata or {}
    if _KEY in metadata or any(map(_is_foreign, made.schema.types)):
        raise UnstorableError(
            f"serializer={serializer!r} can't store this {kind}: it has a column of a type that is not Arrow's own, or"
            f" metadata of memo's; use serializer='pickle'"
        )
    try:
        note = json.dumps({"kind": kind, **notes}, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UnstorableError(f"the attrs or the name of this {kind} can't be written as JSON: {error}") from error
    return made.replace_schema_metadata({**metadata, _KEY: note})


def value_of(table: Any, data: memoryview | None) -> Any:
    """What the table was made of; ``data`` is the memory that it lies in, where its columns may lie in it as well."""
    metadata = dict(table.schema.metadata or {})
    try:
        notes = json.loads(metadata.pop(_KEY))
    except KeyError:
        raise DamagedError("a table that memo has not written") from None
    kind = notes["kind"]
    table = table.replace_schema_metadata(metadata or None)
    table.validate()
    if kind == "pyarrow.Table":
        return table
    if kind in ("polars.DataFrame", "polars.Series"):
        import polars

        frame: Any = polars.from_arrow(table)
        frame.columns = table.column_names  # it has names of its own for empty ones
        return frame if kind == "polars.DataFrame" else frame.to_series()
    if kind not in ("pandas.DataFrame", "pandas.Series"):
        raise DamagedError(f"a table of kind {kind!r}, which memo does not know")
    value = _to_pandas(table, data)
    if notes["columns"] is not None:
        *numbers, name = notes["columns"]
        value.columns = sys.modules["pandas"].RangeIndex(*numbers, name=name)
    if notes["freq"] is not None:
        value.index.freq = notes["freq"]
    if kind == "pandas.Series":
        value = value["value"]
        value.name = notes["name"]
    value.attrs = notes["attrs"]
    return value


def check(value: Any, table: Any) -> None:
    """UnstorableError unless what the table comes back as is the value."""
    import pyarrow

    if isinstance(value, pyarrow.Table):
        back = value_of(table, None)
        same = back.schema.equals(value.schema, check_metadata=True) and all(map(_equal, value.columns, back.columns))
        changed = None if same else f"its columns or its schema would be others: {value.schema} {back.schema}"
    else:
        back = value_of(table, None)
        changed = (_changed_polars if named(type(value)).startswith("polars.") else changed_pandas)(value, back)
    if changed:
        raise UnstorableError(
            f"this {named(type(value))} would not come back equal: {changed}; use serializer='pickle'"
        )


def _equal(one: Any, other: Any) -> bool:
    """Whether two columns are equal, where a NaN is equal to another one."""
    from pyarrow import types

    if one.equals(other) or not types.is_floating(one.type):
        return bool(one.equals(other))
    import numpy

    gaps = one.is_null().equals(other.is_null())
    return gaps and numpy.array_equal(one.to_numpy(), other.to_numpy(), equal_nan=True)


def _is_foreign(kind: Any) -> bool:
    """Whether a column is of a type that another process may not know."""
    import pyarrow

    if isinstance(kind, pyarrow.ExtensionType):
        return True
    return any(_is_foreign(kind.field(index).type) for index in range(kind.num_fields))


# ------------------------------------------------------------------------------------------------------------ polars


def _of_polars(frame: Any, views: bool) -> Any:
    if not views:
        return frame.to_arrow()
    import polars

    table = frame.to_arrow(compat_level=polars.CompatLevel.newest())
    if (
        table.get_total_buffer_size() > 1.2 * frame.estimated_size() + 4096
    ):  # a slice, whose texts are those of the whole
        return frame.to_arrow()
    return table


def _changed_polars(value: Any, back: Any) -> str | None:
    if type(value) is not type(back):
        return f"it would be a {named(type(back))}"
    one, other = (each.schema if hasattr(each, "schema") else (each.name, each.dtype) for each in (value, back))
    if one != other:
        return f"{one} would be {other}"
    return None if value.equals(back) else "its values differ"


# ------------------------------------------------------------------------------------------------------------ pandas


def _of_pandas(frame: Any) -> tuple[Any, dict[str, Any]]:
    import pyarrow

    bare = frame.copy(deep=False)
    bare.attrs = {}
    table = pyarrow.Table.from_pandas(bare)
    columns = frame.columns
    plain = type(columns) is sys.modules["pandas"].RangeIndex
    return table, {
        "attrs": frame.attrs,
        "freq": getattr(frame.index, "freqstr", None),
        "columns": [columns.start, columns.stop, columns.step, columns.name] if plain else None,
    }


def _to_pandas(table: Any, data: memoryview | None) -> Any:
    """The frame: columns of numbers without gaps in the memory ``data`` itself, all others as Arrow makes them."""
    if data is None:
        return table.to_pandas()
    if data.readonly:
        whole = memoryview(bytearray(data))  # pandas lets columns be written to
        import pyarrow

        table = (
            pyarrow.ipc.open_file(pyarrow.py_buffer(whole)).read_all().replace_schema_metadata(table.schema.metadata)
        )
        data = whole
    import pandas

    frame = table.to_pandas(split_blocks=True)
    columns = {}
    for index in range(frame.shape[1]):
        column = frame.iloc[:, index]
        array = _in_memory(table.column(index), column.dtype, data)
        columns[index] = column.copy() if array is None else array  # it may lie in Arrow's memory, which is read-only
    made = pandas.DataFrame(columns, index=frame.index, copy=False)
    made.columns = frame.columns
    return made


def _in_memory(column: Any, dtype: Any, data: memoryview) -> Any:
    """A column as an array in ``data``; None where it does not lie there as numpy would have it."""
    import numpy
    import pyarrow

    if not isinstance(dtype, numpy.dtype) or dtype.kind not in _MAPPED or column.null_count or column.num_chunks != 1:
        return None
    chunk = column.chunk(0)
    try:
        if chunk.type.bit_width != 8 * dtype.itemsize or not _as_in_numpy(chunk.type, dtype):
            return None
    except ValueError:  # of no fixed width
        return None
    memory = pyarrow.py_buffer(data)
    start = chunk.buffers()[1].address - memory.address + chunk.offset * dtype.itemsize
    if not 0 <= start <= len(data) - len(chunk) * dtype.itemsize:
        return None
    return numpy.ndarray(len(chunk), dtype, data, start)


def _as_in_numpy(kind: Any, dtype: Any) -> bool:
    import pyarrow

    if dtype.kind in "mM":
        unit = getattr(kind, "unit", None)
        return unit is not None and dtype.name.endswith(f"[{unit}]")
    return bool(kind == pyarrow.from_numpy_dtype(dtype))


def changed_pandas(value: Any, back: Any) -> str | None:
    if type(value) is not type(back):
        return f"it would be a {named(type(back))}"
    if not value.flags.allows_duplicate_labels:
        return "its flag allows_duplicate_labels would be lost"
    if value.ndim == 1:
        if change := changed_in([value.name, value.attrs], [back.name, back.attrs]):
            return f"its name and attrs{change[0]} {change[1]}"
        value, back = value.to_frame("value"), back.to_frame("value")
    elif change := changed_in(value.attrs, back.attrs):
        return f"its attrs{change[0]} {change[1]}"
    for axis in ("index", "columns"):
        if found := _changed_index(getattr(value, axis), getattr(back, axis)):
            return f"its {axis} {found}"
    for index in range(value.shape[1]):
        one, other = value.iloc[:, index], back.iloc[:, index]
        if found := _changed_values(one, other):
            return f"column {value.columns[index]!r} {found}"
    return None


def _changed_index(one: Any, other: Any) -> str | None:
    if type(one) is not type(other):
        return f"is a {type(one).__name__} and would be a {type(other).__name__}"
    freq, its = getattr(one, "freq", None), getattr(other, "freq", None)
    if change := changed_in(list(one.names), list(other.names)):
        return f"has names{change[0]} of which one {change[1]}"
    if freq != its:
        return f"has the freq {freq} and would have {its}"
    if one.nlevels == 1:
        return _changed_values(one, other)
    for level in range(one.nlevels):
        if found := _changed_values(one.get_level_values(level), other.get_level_values(level)):
            return f"level {level} {found}"
    return None


def _changed_values(one: Any, other: Any) -> str | None:
    """Of a column or an index."""
    if one.dtype != other.dtype or repr(one.dtype) != repr(other.dtype):
        return f"is of {one.dtype!r} and would be {other.dtype!r}"
    if not one.equals(other):
        return "would have other values"
    if one.dtype == object:
        change = changed_in(list(one), list(other))
        return f"at {change[0]} {change[1]}" if change else None
    return None
