"""pandas: frames by their columns, never by the blocks that these happen to lie in.

Two frames are the same when their columns, index, names, dtypes, attrs and flags are, by whatever route they came. An
index of whole numbers in equal steps is the same whether it is stored as a range or in full. Categories count in
their order, the frequency of an index too: programs can see them.
"""

from __future__ import annotations

import sys

from ._arrays import array
from ._node import BARE, FIELDS, KEYED, Node, leaf, node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ._node import Described, Handler


def handler(cls: type, name: str) -> Handler | None:
    pandas = sys.modules["pandas"]
    if cls.__module__.partition(".")[0] != "pandas":
        return None
    if cls is pandas.DataFrame:
        return _frame
    if cls is pandas.Series:
        return _series
    if cls is pandas.MultiIndex:
        return _multi_index
    if issubclass(cls, pandas.Index):
        return _index
    if issubclass(cls, pandas.api.extensions.ExtensionArray):
        return _ARRAYS.get(cls.__qualname__)
    if issubclass(cls, pandas.api.extensions.ExtensionDtype):
        return _dtype
    if cls is pandas.Timestamp or cls is pandas.Timedelta:
        return _moment
    if cls is pandas.Period:
        return lambda value: node("Period", (value.freq,), content=value.ordinal)
    if cls is pandas.Interval:
        return lambda value: node("Interval", (value.left, value.right), FIELDS, ("left", "right"), value.closed)
    if cls is type(pandas.NaT) or cls is type(pandas.NA):
        return lambda value: leaf("pandas", cls.__qualname__)
    return None


def extra(value: Any) -> Mapping[str, Any]:
    """What subclasses add: pandas lets them name it."""
    return {name: getattr(value, name, None) for name in getattr(value, "_metadata", ()) if name != "_name"}


def _frame(value: Any) -> Described:
    columns = [_column(value.iloc[:, i]) for i in range(value.shape[1])]
    content = Node(b"[" + len(columns).to_bytes(4, "little"), columns, KEYED, list(value.columns))
    flags = bool(value.flags.allows_duplicate_labels)
    parts = (value.columns, value.index, content, value.attrs)
    return node("DataFrame", parts, FIELDS, ("columns", "index", "", "attrs"), flags)


def _series(value: Any) -> Described:
    flags = bool(value.flags.allows_duplicate_labels)
    parts = (_column(value), value.index, value.name, value.attrs)
    return node("Series", parts, FIELDS, ("array", "index", "name", "attrs"), flags)


def _column(value: Any) -> Any:
    """The values of a Series or an Index: numpy's where they are numpy's."""
    return value.to_numpy() if isinstance(value.dtype, sys.modules["numpy"].dtype) else value.array


def _index(value: Any) -> Described:
    freq = getattr(value, "freq", None)
    return node("Index", (_steps(value) or _column(value), list(value.names), freq), FIELDS, ("array", "names", "freq"))


def _steps(value: Any) -> Node | None:
    """Whole numbers in equal steps."""
    size = len(value)
    if isinstance(value, sys.modules["pandas"].RangeIndex):
        start, step = value.start, value.step
    elif value.dtype == "int64" and isinstance(value.dtype, sys.modules["numpy"].dtype):
        numbers = value.to_numpy()
        start, step = (int(numbers[0]) if size else 0), (int(numbers[1]) - int(numbers[0]) if size > 1 else 0)
        if size > 2 and (numbers[-1] != start + (size - 1) * step or (numbers[1:] - numbers[:-1] != step).any()):
            return None
    else:
        return None
    return node("steps", (), content=(start if size else 0, step if size > 1 else 0, size))


def _multi_index(value: Any) -> Described:
    levels = [value.get_level_values(i) for i in range(value.nlevels)]
    return node("MultiIndex", levels, KEYED, list(value.names))


def _categorical(value: Any) -> Described:
    return node("Categorical", (value.codes, value.categories), FIELDS, ("codes", "categories"), bool(value.ordered))


def _masked(value: Any) -> Described:
    missing = value.isna()
    kind = value.dtype.numpy_dtype
    return node("masked", (value.to_numpy(kind, na_value=kind.type(0)), missing), content=value.dtype.name)


def _texts(value: Any) -> Described:
    texts = value.to_numpy(object, na_value=None).tolist()
    return node("strings", (value.dtype, texts), FIELDS, ("dtype", ""))


def _arrow(value: Any) -> Described:
    return node("ArrowDtype", (value.dtype, value.__arrow_array__()), FIELDS, ("dtype", ""))


def _moments(value: Any) -> Described:
    return node("moments", (value.dtype, value.asi8), FIELDS, ("dtype", ""))


def _intervals(value: Any) -> Described:
    return node("intervals", (value.left, value.right), FIELDS, ("left", "right"), value.closed)


def _sparse(value: Any) -> Described:
    where = value.sp_index.to_int_index().indices
    return node("sparse", (value.sp_values, where, value.fill_value), BARE, content=len(value))


_ARRAYS: dict[str, Handler] = {
    "Categorical": _categorical,
    "IntegerArray": _masked,
    "FloatingArray": _masked,
    "BooleanArray": _masked,
    "StringArray": _texts,
    "ArrowStringArray": _arrow,
    "ArrowExtensionArray": _arrow,
    "DatetimeArray": _moments,
    "TimedeltaArray": _moments,
    "PeriodArray": _moments,
    "IntervalArray": _intervals,
    "SparseArray": _sparse,
    "NumpyExtensionArray": lambda value: array(value.to_numpy()),
}


def _dtype(value: Any) -> Described:
    """An extension dtype is what its class says makes two of them equal."""
    names = [name for name in (*value._metadata, "na_value") if hasattr(value, name)]
    return node("pandas.dtype", [getattr(value, name) for name in names], FIELDS, names, type(value).__qualname__)


def _moment(value: Any) -> Described:
    number = int(value.asm8.view("i8"))
    fold = getattr(value, "fold", 0)
    return node(type(value).__qualname__, (getattr(value, "tzinfo", None),), content=(number, value.unit, fold))
