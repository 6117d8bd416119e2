"""scipy.sparse: what is stored where, whatever the order in which it was put in and the width of the indices.

Formats differ, as their classes do, and so do entries that are stored twice or as zero: a program can see them.
"""

from __future__ import annotations

import sys

from ._node import FIELDS, node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._node import Described, Handler


def handler(cls: type, name: str) -> Handler | None:
    sparse: Any = sys.modules.get("scipy.sparse")
    if sparse is None or not issubclass(cls, (sparse.sparray, sparse.spmatrix)):
        return None
    if cls.__module__.partition(".")[0] != "scipy" or not hasattr(sparse, cls.__qualname__):
        return None

    def describe(value: Any) -> Described:
        fields = _PARTS[value.format](value)
        shape = tuple(map(int, value.shape))
        return node("scipy.sparse", list(fields.values()), FIELDS, list(fields), (cls.__qualname__, shape))

    return describe


_STORED = frozenset(
    {"_shape", "maxprint", "data", "indices", "indptr", "coords", "offsets", "rows", "dtype", "_dict"}
    | {"has_canonical_format"}
)


def extra(value: Any) -> dict[str, Any]:
    own = vars(value)
    return {name: own[name] for name in own if name not in _STORED and not name.startswith("_has_")}


def _wide(indices: Any) -> Any:
    return indices.astype("i8", copy=False)


def _compressed(value: Any) -> dict[str, Any]:
    indices, data = value.indices, value.data
    if not value.has_sorted_indices:
        numpy = sys.modules["numpy"]
        rows = numpy.repeat(numpy.arange(len(value.indptr) - 1), numpy.diff(value.indptr))
        order = numpy.lexsort((indices, rows))
        indices, data = indices[order], data[order]
    return {"data": data, "indices": _wide(indices), "indptr": _wide(value.indptr)}


def _coordinates(value: Any) -> dict[str, Any]:
    coords = value.coords
    order = sys.modules["numpy"].lexsort(coords[::-1])
    return {"data": value.data[order], "coords": [_wide(axis[order]) for axis in coords]}


def _diagonals(value: Any) -> dict[str, Any]:
    order = value.offsets.argsort(kind="stable")
    return {"data": value.data[order], "offsets": _wide(value.offsets[order])}


_PARTS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "csr": _compressed,
    "csc": _compressed,
    "bsr": _compressed,
    "coo": _coordinates,
    "dia": _diagonals,
    "dok": lambda value: {"items": dict(value.items()), "dtype": value.dtype},
    "lil": lambda value: {"rows": value.rows, "data": value.data, "dtype": value.dtype},
}
