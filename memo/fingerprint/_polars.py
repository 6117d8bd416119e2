"""polars: columns by name, type and values, read with polars alone, so that no key depends on pyarrow being there.

Numbers and times through their physical form, with nought where a value is missing; texts as a list; lists as lengths
and items; structures field by field; categories as the texts that they stand for.
"""

from __future__ import annotations

import sys

from ._node import FIELDS, KEYED, Node, leaf, node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._node import Described, Handler


def handler(cls: type, name: str) -> Handler | None:
    polars = sys.modules["polars"]
    if cls is polars.DataFrame:
        return _frame
    if cls is polars.Series:
        return lambda value: node("polars.Series", (_values(value),), content=value.name)
    if isinstance(cls, polars.datatypes.DataTypeClass):
        return lambda value: leaf("polars.type", _name(value))
    return None


def _name(kind: Any) -> str:
    return str(kind)  # polars' own notation of a type


def _frame(value: Any) -> Described:
    columns = [_values(column) for column in value.get_columns()]
    content = Node(b"[" + len(columns).to_bytes(4, "little"), columns, KEYED, value.columns)
    return node("polars.DataFrame", (value.columns, content), FIELDS, ("columns", ""), value.height)


def _values(series: Any) -> Node:
    polars = sys.modules["polars"]
    kind = series.dtype
    missing = series.is_null().to_numpy() if series.null_count() else None
    head = (_name(kind), len(series))
    if kind in (polars.Categorical, polars.Enum):
        return node("polars", (series.cast(polars.String).to_list(),), content=head)
    if kind == polars.Struct:
        fields = [_values(series.struct.field(name)) for name in series.struct.fields]
        return node("polars", (missing, *fields), content=head)
    if kind == polars.Array:
        return node("polars", (missing, series.to_list()), content=head)
    if kind == polars.List:
        lengths = series.list.len().fill_null(0).to_numpy()
        full = series.filter((series.list.len() > 0).fill_null(False))
        return node("polars", (missing, lengths, _values(full.explode())), content=head)
    if kind.is_numeric() and not kind.is_decimal():
        return node("polars", (missing, series.fill_null(0).to_numpy()), content=head)
    if kind.is_temporal():
        return node("polars", (missing, series.to_physical().fill_null(0).to_numpy()), content=head)
    if kind == polars.Boolean:
        return node("polars", (missing, series.fill_null(False).to_numpy()), content=head)
    return node("polars", (series.to_list(),), content=head)  # texts, bytes, decimals, objects
