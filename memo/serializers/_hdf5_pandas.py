"""Frames of pandas as nodes: an array a column where numpy has its dtype, else a few arrays that make it.

pandas' own way (HDFStore) pickles labels, texts and empty attributes. Here a frame that is not told by arrays and JSON,
or that would not be the same when it is put together again, is refused.
"""

from __future__ import annotations

import json
from typing import Any

from memo.errors import DamagedError, UnstorableError

from ._hdf5_nodes import Node, node_of, texts, texts_of, value_of
from ._tables import changed_pandas


def node_of_table(value: Any, path: str) -> Node:
    kind = f"pandas.{type(value).__name__}"
    note = {"kind": kind, "attrs": value.attrs, "name": getattr(value, "name", None) if value.ndim == 1 else None}
    try:
        note = json.loads(json.dumps(note, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise UnstorableError(f"the attrs or the name of {path} can't be written as JSON: {error}") from error
    index = _of_index(value.index, f"{path}.index")
    if value.ndim == 1:
        node = Node(note, {"index": index, "values": _of_values(value, path)})
    else:
        labels = list(map(str, value.columns))
        names = labels if len(set(labels)) == len(labels) else list(map(str, range(len(labels))))
        data = {name: _of_values(value.iloc[:, at], f"{path}[{name!r}]") for at, name in enumerate(names)}
        columns = _of_index(value.columns, f"{path}.columns")
        node = Node(note, {"index": index, "columns": columns, "data": Node({"kind": "dict"}, data)})
    try:
        changed = changed_pandas(value, table_of(node))
    except (TypeError, ValueError) as error:
        changed = str(error)
    if changed:
        raise UnstorableError(f"{path}, a {kind}, would not come back equal: {changed}; use serializer='pickle'")
    return node


def table_of(node: Node) -> Any:
    import pandas

    note, content = node
    index = _index_of(content["index"])
    if note["kind"] == "pandas.Series":
        made = _series_of(content["values"], index)
        made.name = note["name"]
    else:
        columns = {at: _series_of(each, index) for at, each in enumerate(content["data"].content.values())}
        made = pandas.DataFrame(columns, index=index, copy=False)
        made.columns = _index_of(content["columns"])
    made.attrs = note["attrs"]
    return made


def _series_of(node: Node, index: Any) -> Any:
    import pandas

    values = _values_of(node)
    return pandas.Series(values, index=index, dtype=values.dtype, copy=False)  # without a dtype it guesses one


def _of_index(index: Any, path: str) -> Node:
    import pandas

    note: dict[str, Any] = {"kind": "index", "names": list(index.names), "freq": getattr(index, "freqstr", None)}
    if any(type(name) not in (str, int, type(None)) for name in index.names):
        raise UnstorableError(f"{path} has the names {list(index.names)}, not only texts and numbers")
    if type(index) is pandas.RangeIndex:
        return Node({**note, "range": [index.start, index.stop, index.step]}, {})
    levels = [index.get_level_values(level) for level in range(index.nlevels)]
    return Node(
        {**note, "multi": isinstance(index, pandas.MultiIndex)},
        {f"level{at}": _of_values(level, path) for at, level in enumerate(levels)},
    )


def _index_of(node: Node) -> Any:
    import pandas

    note = node.note
    if "range" in note:
        return pandas.RangeIndex(*note["range"], name=note["names"][0])
    levels = [pandas.Index(level, dtype=level.dtype, copy=False) for level in map(_values_of, node.content.values())]
    if note["multi"]:
        return pandas.MultiIndex.from_arrays(levels, names=note["names"])
    index = levels[0].rename(note["names"][0])
    if note["freq"] is not None:
        index.freq = note["freq"]
    return index


def _of_values(values: Any, path: str) -> Node:
    """Of a column or an index of one level."""
    import numpy
    import pandas

    dtype = values.dtype
    if isinstance(dtype, numpy.dtype):
        if dtype.hasobject and all(type(value) is str for value in values):
            return Node({"kind": "objects"}, texts(list(values), path))
        return node_of(values.to_numpy(), path)
    array = values.array
    if isinstance(dtype, pandas.DatetimeTZDtype):
        return Node({"kind": "zoned", "tz": str(dtype.tz)}, {"utc": node_of(array.tz_convert(None).to_numpy(), path)})
    if isinstance(dtype, pandas.StringDtype):
        note = {"kind": "string", "storage": dtype.storage, "nan": dtype.na_value is not pandas.NA}
        filled = texts(array.to_numpy(object, na_value="").tolist(), path)
        return Node(note, {"texts": Node({"kind": "texts"}, filled), "missing": node_of(array.isna(), path)})
    if isinstance(dtype, pandas.CategoricalDtype):
        codes, categories = node_of(array.codes, path), _of_values(array.categories, path)
        return Node({"kind": "categories", "ordered": bool(dtype.ordered)}, {"codes": codes, "categories": categories})
    if str(dtype) in _masked():
        filled, missing = array.to_numpy(dtype.numpy_dtype, na_value=0), node_of(array.isna(), path)
        return Node({"kind": "masked", "dtype": str(dtype)}, {"values": node_of(filled, path), "missing": missing})
    raise UnstorableError(f"HDF5 has no place for the dtype of {path}, {dtype}: use serializer='pickle'")


def _values_of(node: Node) -> Any:
    import pandas

    note, content = node
    kind = note["kind"]
    if kind == "array":
        return value_of(node)
    if kind == "objects":
        return pandas.array(texts_of(content), dtype=object).to_numpy()
    if kind == "zoned":
        return pandas.DatetimeIndex(value_of(content["utc"])).tz_localize("UTC").tz_convert(note["tz"]).array
    if kind == "string":
        missing = value_of(content["missing"])
        values = [
            None if gone else text for gone, text in zip(missing, texts_of(content["texts"].content), strict=True)
        ]
        na = {"na_value": float("nan")} if note["nan"] else {}  # pandas before 2.3 knows no other than NA
        return pandas.array(values, dtype=pandas.StringDtype(note["storage"], **na))
    if kind == "categories":
        categories = _values_of(content["categories"])
        labels = pandas.Index(categories, dtype=categories.dtype)
        return pandas.Categorical.from_codes(value_of(content["codes"]), labels, ordered=note["ordered"])
    if kind == "masked":
        return _masked()[note["dtype"]](value_of(content["values"]), value_of(content["missing"]))
    raise DamagedError(f"a column of kind {kind!r}, which memo does not know")


def _masked() -> dict[str, Any]:
    """Names of the dtypes that can miss values -> what makes an array from values and gaps."""
    from pandas import arrays

    sizes = [f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)]
    return {
        **dict.fromkeys(sizes, arrays.IntegerArray),
        **dict.fromkeys(("Float32", "Float64"), arrays.FloatingArray),
        "boolean": arrays.BooleanArray,
    }
