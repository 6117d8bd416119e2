"""Tables of pandas, polars and pyarrow, as an Arrow IPC file (mapped) or as Parquet (small): formats that others read.

Nothing in them is code, and never a pickle. What the formats have no place for (which library's table it was, ``attrs``)
stands as JSON under the key ``memo`` of the schema's metadata. A frame is converted back when it is stored, and refused
unless it is the same to the last dtype: Arrow has fewer types than they have.
Formats: the file format of https://arrow.apache.org/docs/format/Columnar.html, and https://parquet.apache.org.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from memo.errors import OptionError, UnstorableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from memo.model import Buffer


class Arrow:
    """``pandas.DataFrame`` and ``Series``, ``polars.DataFrame`` and ``Series``, ``pyarrow.Table``.

    Tables of pyarrow, of polars (but for 16 bytes a text), and columns of numbers without gaps of pandas are the mapped
    file itself, in memory of one's own. Files open with ``pyarrow.ipc.open_file``, ``pandas.read_feather`` and ``polars.read_ipc``. ``dump`` raises UnstorableError for
    what would not come back equal (objects of mixed types, periods, intervals); the constructor ImportError without
    pyarrow.
    """

    name = "arrow"
    suffix = ".arrow"
    safe = True

    def __init__(self) -> None:
        _needs_pyarrow(self.name)

    def dump(self, value: Any, /) -> list[Buffer]:
        import pyarrow

        from . import _tables

        table = _tables.table_of(value, self.name, views=True)
        if isinstance(value, pyarrow.Table):  # the format is its own
            return _written(table, unify=False)
        _tables.check(value, table)
        return _written(table, unify=True)

    def load(self, data: memoryview, /) -> Any:
        import pyarrow

        from . import _tables

        buffer = pyarrow.py_buffer(data)
        if buffer.address % 8:  # within a larger piece of memory
            buffer = pyarrow.py_buffer(data := memoryview(bytearray(data)))
        return _tables.value_of(pyarrow.ipc.open_file(buffer).read_all(), data)


class Parquet:
    """As `Arrow`, compressed and so about half the size, and never mapped. Files open with any reader of Parquet.

    ``compression`` is pyarrow's: "snappy", "zstd", "lz4", "gzip", "brotli" or "none". What was stored with another one
    is read all the same.
    """

    name = "parquet"
    suffix = ".parquet"
    safe = True

    def __init__(self, compression: str = "snappy") -> None:
        _needs_pyarrow(self.name)
        known = ("brotli", "gzip", "lz4", "none", "snappy", "zstd")
        if compression not in known:
            raise OptionError(f"Parquet(compression=...) must be one of {', '.join(known)}; got {compression!r}")
        self.compression = compression

    def __repr__(self) -> str:
        return f"Parquet(compression={self.compression!r})"

    def dump(self, value: Any, /) -> list[Buffer]:
        import pyarrow
        from pyarrow import parquet

        from . import _tables

        table = _tables.table_of(value, self.name, views=False)
        stream = pyarrow.BufferOutputStream()
        try:
            parquet.write_table(table, stream, compression=self.compression)
            buffer = stream.getvalue()
            back = parquet.ParquetFile(buffer).read()  # it has fewer types than Arrow
        except (pyarrow.ArrowException, ValueError) as error:
            raise UnstorableError(f"Parquet can't hold this {type(value).__name__}: {error}") from error
        _tables.check(value, back)
        return [memoryview(buffer)]

    def load(self, data: memoryview, /) -> Any:
        import pyarrow
        from pyarrow import parquet

        from . import _tables

        return _tables.value_of(parquet.ParquetFile(pyarrow.py_buffer(data)).read(), None)


def _needs_pyarrow(name: str) -> None:
    if find_spec("pyarrow") is None:  # importing it takes a fifth of a second: not before there is a table
        raise ImportError(f'the serializer {name} needs the package pyarrow: pip install "memo-persist[arrow]"')


class _Parts(list["Buffer"]):
    """A file that keeps what is written: the table's own memory, without a copy."""

    closed = False

    def write(self, part: Any, /) -> int:
        view = memoryview(part)
        self.append(view)
        return len(view)

    def flush(self) -> None:
        pass

    close = flush


def _written(table: Any, *, unify: bool) -> list[Buffer]:
    """A file has one dictionary a column. ``unify``: where the column's pieces have several, make one of them."""
    import pyarrow

    parts = _Parts()
    options = pyarrow.ipc.IpcWriteOptions(unify_dictionaries=unify)
    try:
        with pyarrow.ipc.new_file(pyarrow.PythonFile(parts, "w"), table.schema, options=options) as writer:
            writer.write_table(table)
    except pyarrow.ArrowException as error:
        raise UnstorableError(f"an Arrow file can't hold this table: {error}") from error
    return parts
