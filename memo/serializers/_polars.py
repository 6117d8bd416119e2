"""polars frames pickled as the Arrow buffers that they are, instead of as a copy inside the stream.

Only columns whose type Arrow is known to give back exactly; everything else is left to polars itself, as are small
frames and slices of large ones (Arrow's buffers would be those of the whole). What is stored refers to polars and
pyarrow only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

_SMALL = 64 * 1024
_NUMBERS = "Int8 Int16 Int32 Int64 UInt8 UInt16 UInt32 UInt64 Float32 Float64"
_EXACT = frozenset(_NUMBERS.split()) | {"Boolean", "String", "Binary", "Date", "Datetime", "Duration", "Time"}


def reducers() -> dict[type, Callable[[Any], Any]]:
    """For a pickler's dispatch table, in a process that has imported polars."""
    polars = sys.modules["polars"]
    return {polars.DataFrame: _frame, polars.Series: _series}


def _frame(frame: Any) -> Any:
    if frame.estimated_size() >= _SMALL and all(map(_exact, frame.dtypes)):
        try:
            table = frame.to_arrow()
        except ImportError:  # pyarrow is not installed
            return frame.__reduce_ex__(5)
        if table.get_total_buffer_size() <= 1.2 * table.nbytes:
            return sys.modules["polars"].from_arrow, (table,)
    return frame.__reduce_ex__(5)


def _series(series: Any) -> Any:
    if series.estimated_size() >= _SMALL and _exact(series.dtype):
        return type(series.to_frame()).to_series, (series.to_frame(),)
    return series.__reduce_ex__(5)


def _exact(dtype: Any) -> bool:
    kind = dtype.base_type().__name__
    return kind in _EXACT or (kind == "List" and _exact(dtype.inner))
